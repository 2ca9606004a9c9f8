/*
 * Room on the disk.
 *
 * A store that fills its disk to the last byte cannot be compacted any more, which is what would
 * give bytes back. So `reserved_disk_bytes` are kept free: below that users' writes are refused
 * with QUARRY_NO_SPACE, before anything of them is written, while flushes, compactions and batches
 * that only delete go on.
 *
 *     free    ───────── 5/4 of the reserve ───────── reserve ────────────────── 0
 *     puts    go on       as before                  refused
 *     deletes go on       go on                      go on                      the log fails
 *
 * Between the reserve and five quarters of it nothing changes, so that one file more or less does
 * not make the door swing.
 *
 * The file system is asked when so many bytes have been written that the reserve could be half
 * gone, by the background whenever files have changed, and while it is low once in a while by
 * whoever is refused (background.c: every second). A file system that does not say is taken to have
 * room.
 *
 * Locking: none; a flag and a counter.
 */
#include <kv/background_parts.h>

#include <inttypes.h>

#include <kv/throttle.h>

static uint64_t reserve_of(const struct quarry_kv *kv)
{
    return kv->options.reserved_disk_bytes == 0 ? Q_MIB(64) : kv->options.reserved_disk_bytes;
}

bool kv_space_is_low(const struct quarry_kv *kv)
{
    const struct kv_space *space = kv_space_of(kv);

    /* Relaxed: a hint. */
    return space != NULL && atomic_load_relaxed_bool(&space->is_low);
}

void kv_space_note_full(struct quarry_kv *kv)
{
    struct kv_space *space = kv_space_of(kv);

    if (space != NULL) {
        atomic_store_relaxed_bool(&space->is_low, true);
    }
}

void kv_space_look(struct quarry_kv *kv)
{
    struct kv_space *space = kv_space_of(kv);
    uint64_t reserve = reserve_of(kv), free_bytes = 0;

    if (space == NULL || quarry_vfs_free_space(kv->vfs, kv->path, &free_bytes, NULL) != QUARRY_OK) {
        return;
    }
    atomic_store_relaxed_u64(&space->look_bytes,
                             sat_add_u64(kv_throttle_admitted_bytes(kv), reserve / 2));
    if (free_bytes < reserve) {
        atomic_store_relaxed_bool(&space->is_low, true);
    } else if (free_bytes >= sat_add_u64(reserve, reserve / 4)) {
        atomic_store_relaxed_bool(&space->is_low, false);
    }
}

enum quarry_status kv_space_admit(struct quarry_kv *kv, uint64_t admitted_bytes,
                                  struct quarry_error *error)
{
    struct kv_space *space = kv_space_of(kv);

    /* Relaxed: hints; a few too many are admitted. */
    if (Q_UNLIKELY(admitted_bytes >= atomic_load_relaxed_u64(&space->look_bytes))) {
        kv_space_look(kv);
    }
    if (Q_LIKELY(!atomic_load_relaxed_bool(&space->is_low))) {
        return QUARRY_OK;
    }
    return error_set(error, QUARRY_NO_SPACE,
                     "%s: the disk is full but for a reserve of %" PRIu64 " bytes", kv->path,
                     reserve_of(kv));
}
