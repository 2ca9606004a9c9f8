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
 * Whoever changes the flag tells the listener, with no lock held.
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

/* Sets the flag, and tells of a change. */
static void set_low(struct quarry_kv *kv, bool is_low, uint64_t free_bytes)
{
    struct quarry_error error = {0};
    struct quarry_kv_event_data data = {
        .event = is_low ? QUARRY_KV_EVENT_SPACE_LOW : QUARRY_KV_EVENT_SPACE_BACK,
        .error = is_low ? &error : NULL,
        .free_bytes = free_bytes,
        .reserved_bytes = reserve_of(kv),
    };

    /* Relaxed: a hint; of those that change it one is told apart by the exchange. */
    if (atomic_exchange_relaxed_bool(&kv_space_of(kv)->is_low, is_low) == is_low) {
        return;
    }
    if (is_low) {
        (void)error_set(&error, QUARRY_NO_SPACE, "%s: of the disk %" PRIu64 " bytes are free",
                        kv->path, free_bytes);
    }
    kv_notify(kv, &data);
}

void kv_space_note_full(struct quarry_kv *kv)
{
    uint64_t free_bytes = 0;

    if (kv_space_of(kv) != NULL) {
        (void)quarry_vfs_free_space(kv->vfs, kv->path, &free_bytes, NULL);
        set_low(kv, true, free_bytes);
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
        set_low(kv, true, free_bytes);
    } else if (free_bytes >= sat_add_u64(reserve, reserve / 4)) {
        set_low(kv, false, free_bytes);
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
