/*
 * What users ask of the background: to flush, to compact a range, to take a step, to wait.
 *
 * A range is compacted level by level, from the top, and by the thread that asked: level 0 goes to
 * the base level at once, each level after it to the next one, so that at last all keys of the
 * range are in the last level with files. What is written meanwhile stays above. Background work
 * goes on beside it, in other ranges; where it is in the way it is waited for.
 *
 * Where memory is short it is tried again, with less and less: what a compaction could not have,
 * another one's end may have given back. A try that fails leaves the files as they were.
 *
 * In the last level deletions may be left, which a snapshot had held when they came there: its
 * files in the range are written anew if they have any, and no snapshot is out.
 */
#include <kv/background_parts.h>

#include <kv/commit.h>

#define LAST_LEVEL (QUARRY_KV_LEVELS - 1)
/*
 * Pieces of work that find no memory before whoever asked for them is told: each time less is used,
 * and others may have given some back meanwhile.
 */
#define MEMORY_TRIES_MAX 5u
/* The first pause, which doubles: 300 ms in all, in which others' flushes and reads end. */
#define PAUSE_NS UINT64_C(20000000)

/* ---- memory ------------------------------------------------------------------------------- */

/* After a try that found no memory, the `failure_count`th. Returns: whether to try again. */
static bool may_try_again(struct quarry_kv *kv, uint32_t failure_count)
{
    if (failure_count >= MEMORY_TRIES_MAX) {
        return false;
    }
    kv_view_collect(kv);
    if (!kv->options.is_stepped) {
        os_sleep_ns(PAUSE_NS << (failure_count - 1));
    }
    return true;
}

/* ---- flushing ------------------------------------------------------------------------------- */

/* Nobody is at it. Returns: QUARRY_OK: for want of memory, of which there may be more now. */
static enum quarry_status give_up_flush(struct quarry_kv *kv, uint32_t *memory_count,
                                        struct quarry_error *error)
{
    os_mutex_lock(&kv->mutex);
    enum quarry_status status = kv_background_trouble(kv, error);
    os_mutex_unlock(&kv->mutex);
    if (status == QUARRY_NO_MEMORY && may_try_again(kv, ++*memory_count)) {
        return QUARRY_OK;
    }
    return status != QUARRY_OK
               ? status
               : error_set(error, QUARRY_BUSY, "%s: memtables cannot be flushed now", kv->path);
}

/* Waits until so many layers have been flushed, ever. */
static enum quarry_status wait_for_flush(struct quarry_kv *kv, uint64_t flushed_count,
                                         uint64_t failure_count, struct quarry_error *error)
{
    struct kv_background *background = kv->background;
    enum quarry_status status = QUARRY_OK;
    uint32_t memory_count = 0;

    for (;;) {
        uint64_t seen = kv_background_changes(kv);
        os_mutex_lock(&kv->mutex);
        bool is_done = background->flushed_count >= flushed_count;
        if (!is_done && background->flush_failure_count != failure_count) {
            status = kv_background_trouble(kv, error);
            failure_count = background->flush_failure_count;
        }
        os_mutex_unlock(&kv->mutex);
        if (status == QUARRY_NO_MEMORY && may_try_again(kv, ++memory_count)) {
            status = QUARRY_OK; /* by the background */
        }
        if (is_done || status != QUARRY_OK) {
            return is_done ? QUARRY_OK : status;
        }
        kv_background_wake(kv);
        if (!kv_background_wait(kv, seen) && kv_background_changes(kv) == seen) {
            status = give_up_flush(kv, &memory_count, error);
        }
    }
}

static enum quarry_status flush(struct quarry_kv *kv, struct quarry_error *error)
{
    enum quarry_status status = kv_rotate(kv, NULL, error);

    if (status != QUARRY_OK) {
        return status;
    }
    os_mutex_lock(&kv->mutex);
    uint64_t flushed_count = kv->background->flushed_count + kv->immutable_count;
    uint64_t failure_count = kv->background->flush_failure_count;
    os_mutex_unlock(&kv->mutex);
    return wait_for_flush(kv, flushed_count, failure_count, error);
}

enum quarry_status quarry_kv_flush(struct quarry_kv *kv, struct quarry_error *error)
{
    enum quarry_status status = kv_may_write(kv, error);

    return status != QUARRY_OK ? status : flush(kv, error);
}

/* ---- compacting a range --------------------------------------------------------------------- */

/* Whether level 0 has files in the range with numbers below one. */
static bool has_old_level0(struct quarry_kv *kv, const struct kv_key_range *range,
                           uint64_t first_new)
{
    struct kv_version *version = kv_versions_acquire(&kv->versions);
    const struct kv_run *level = &version->levels[0];
    bool has = false;

    for (uint32_t i = 0; i < level->file_count && !has; i++) {
        struct kv_key_range own = kv_file_range(level->files[i]);
        has = level->files[i]->number < first_new &&
              kv_ranges_overlap(version->comparator, range, &own);
    }
    kv_version_release(version);
    return has;
}

/* A level: NOT_FOUND where nothing of it is in the range. Waits for what is in the way.
 * `first_new`: files of level 0 with a number from there on may stay. */
static enum quarry_status compact_level(struct quarry_kv *kv, uint32_t level,
                                        const struct kv_key_range *range, uint64_t first_new,
                                        struct quarry_error *error)
{
    uint32_t memory_count = 0;

    for (;;) {
        uint64_t seen = kv_background_changes(kv);
        enum quarry_status status = kv_background_compact(kv, level, range, error);
        if (status == QUARRY_NO_MEMORY && may_try_again(kv, ++memory_count)) {
            continue;
        }
        if (status == QUARRY_OK && level == 0 && has_old_level0(kv, range, first_new)) {
            memory_count = 0;
            continue; /* memory is short, and not all were taken at once */
        }
        if (status != QUARRY_BUSY) {
            return status;
        }
        if (!kv_background_wait(kv, seen) && kv_background_changes(kv) == seen) {
            os_yield(); /* another thread does what is in the way */
        }
    }
}

/* Deletions that nothing needs any more; a file from before, of whose keys a filter was not asked.
 */
static bool is_leftover(const struct quarry_kv *kv, const struct kv_file *file, uint64_t first_new)
{
    return file->deletion_count + file->range_deletion_count != 0 ||
           (kv->options.compaction_filter != NULL && file->number < first_new);
}

/* Whether the last level has some of them in the range. */
static bool has_leftovers(struct quarry_kv *kv, const struct kv_key_range *range,
                          uint64_t first_new)
{
    struct kv_version *version = kv_versions_acquire(&kv->versions);
    const struct kv_run *run = &version->levels[LAST_LEVEL];
    uint32_t from = 0, to = 0;
    bool has = false;

    if (kv_run_overlap(run, version->comparator, range, &from, &to)) {
        for (uint32_t i = from; i < to; i++) {
            has |= is_leftover(kv, run->files[i], first_new);
        }
    }
    kv_version_release(version);
    /* Relaxed: a hint; entries are judged by the snapshots that are there then. */
    return has && atomic_load_relaxed_u32(&kv->snapshot_count) == 0;
}

static enum quarry_status compact(struct quarry_kv *kv, const struct kv_key_range *range,
                                  struct quarry_error *error)
{
    /* Relaxed: a number that files which are made from now on do not go below. */
    uint64_t first_new = atomic_load_relaxed_u64(&kv->next_file);
    enum quarry_status status = QUARRY_OK;

    for (uint32_t level = 0; level < LAST_LEVEL; level++) {
        status = compact_level(kv, level, range, first_new, error);
        if (status != QUARRY_OK && status != QUARRY_NOT_FOUND) {
            return status;
        }
    }
    if (has_leftovers(kv, range, first_new)) {
        status = compact_level(kv, LAST_LEVEL, range, first_new, error);
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

enum quarry_status quarry_kv_compact_range(struct quarry_kv *kv, struct quarry_kv_slice begin,
                                           struct quarry_kv_slice end, struct quarry_error *error)
{
    const struct kv_key_range range = {
        {begin.bytes, begin.byte_count}, {end.bytes, end.byte_count}, false};
    enum quarry_status status = quarry_kv_flush(kv, error);

    return status != QUARRY_OK ? status : compact(kv, &range, error);
}

/* ---- steps and waiting ---------------------------------------------------------------------- */

bool quarry_kv_step(struct quarry_kv *kv)
{
    return !kv->is_read_only && kv_background_step(kv);
}

enum quarry_status quarry_kv_wait_idle(struct quarry_kv *kv, struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    while (!kv->is_read_only && status == QUARRY_OK) {
        uint64_t seen = kv_background_changes(kv);
        if (kv_background_is_idle(kv)) {
            kv_files_collect(kv);
            break;
        }
        os_mutex_lock(&kv->mutex);
        status = kv_background_trouble(kv, error);
        os_mutex_unlock(&kv->mutex);
        if (status == QUARRY_OK) {
            kv_background_wake(kv);
            (void)kv_background_wait(kv, seen);
        }
    }
    return status;
}
