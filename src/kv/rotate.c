/*
 * Rotating, and the rest of what a write does without the commit lock when something is in its way.
 *
 *     mutable, log 12  ──full──>  immutable, log 12    mutable, log 15
 *
 * A rotation makes what it needs first: the next log is ready mostly, the memtable's arena is a
 * spare of the last one that was flushed, and room for a view. Then, under the commit lock, writers
 * under way are waited for, and a few pointers change.
 *
 * How many layers may wait to be flushed is bounded: who would add another waits for the
 * background, or does its work where the store is stepped. Where the budget refuses a memtable of
 * the usual size one of the smallest is made: 64 KiB are enough to go on with, so that what is in
 * the full one can be flushed, and its memory comes back. Where not even that is to be had, what
 * the background is at is waited for, since each flush and compaction gives memory back as it ends
 * (write_memory.c).
 *
 * Large batches: the batch is a layer with the current log for itself, so the mutable memtable,
 * which must be empty, turns to another log. Recovery finds a log for each layer, as always.
 *
 * Barriers and repairs: see commit.c. A barrier is an obstacle that somebody takes away; a repair
 * is one that any writer does: it rotates, waits for the flush, and goes on.
 *
 * Locking: rotate_mutex over all of a rotation; the background is waited for with no lock held.
 */
#include <kv/commit_parts.h>

#include <kv/background.h>
#include <kv/background_parts.h>
#include <kv/log_set.h>

/* ---- what a rotation needs ------------------------------------------------------------------ */

struct fresh {
    struct kv_layer *layer;
    struct kv_view *view;
};

static void drop_fresh(struct quarry_kv *kv, struct fresh *fresh)
{
    kv_layer_release(fresh->layer);
    kv_view_unreserve(kv, fresh->view);
    *fresh = (struct fresh){NULL, NULL};
}

static enum quarry_status make_layer(struct quarry_kv *kv, struct kv_layer **ret_layer,
                                     struct quarry_error *error)
{
    enum quarry_status status = kv_layer_create_memtable(kv, ret_layer, error);

    if (status == QUARRY_NO_MEMORY) {
        status = kv_layer_create_sized(kv, QUARRY_ARENA_CAPACITY_MIN, ret_layer, error);
    }
    return status;
}

static enum quarry_status try_prepare_fresh(struct quarry_kv *kv, struct fresh *fresh,
                                            struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    if (kv->log != NULL) {
        status = kv_log_set_prepare(kv->log, error);
    }
    if (status == QUARRY_OK) {
        status = make_layer(kv, &fresh->layer, error);
    }
    if (status == QUARRY_OK) {
        status = kv_view_reserve(kv, kv->immutable_capacity + 1, &fresh->view);
        if (status != QUARRY_OK) {
            (void)error_set(error, status, "store '%s': no memory for a view", kv->path);
        }
    }
    if (status != QUARRY_OK) {
        drop_fresh(kv, fresh);
    }
    return status;
}

/* What is left of a budget is for what lets it be flushed. */
static enum quarry_status prepare_fresh(struct quarry_kv *kv, struct fresh *fresh,
                                        struct quarry_error *error)
{
    quarry_reserve_begin(kv->memory);
    enum quarry_status status = try_prepare_fresh(kv, fresh, error);
    if (status == QUARRY_NO_MEMORY && kv_commit_release_reserve(kv, KV_RESERVE_ROTATE)) {
        status = try_prepare_fresh(kv, fresh, error);
    }
    quarry_reserve_end(kv->memory);
    return status;
}

/* ---- rotating ------------------------------------------------------------------------------- */

static uint64_t next_log(struct quarry_kv *kv)
{
    uint64_t number = kv->log == NULL ? kv_new_file_number(kv) : kv_log_set_turn(kv->log);

    Q_ASSERT(number != 0); /* it was made ready under rotate_mutex */
    return number;
}

static bool log_has_failed(struct quarry_kv *kv)
{
    return kv->log != NULL && kv_log_set_status(kv->log, NULL) != QUARRY_OK;
}

/* Whether the log has to be left whatever is in the memtable. */
static bool must_turn(struct quarry_kv *kv)
{
    const struct kv_commit *commit = kv->commit;

    return log_has_failed(kv) ||
           ((commit->obstacles & KV_OBSTACLE_REPAIR) != 0 && commit->repair_number == 0);
}

static void push_immutable(struct quarry_kv *kv, struct kv_layer *layer) Q_REQUIRES(&kv->mutex)
{
    Q_ASSERT(kv->immutable_count < kv->immutable_capacity);
    kv->immutable[kv->immutable_count++] = layer;
}

/* `full`: NULL, or the layer that somebody had no room in. Under commit_mutex. */
static void swap(struct quarry_kv *kv, const struct kv_layer *full, struct fresh *fresh)
{
    struct kv_commit *commit = kv->commit;

    os_mutex_assert_held(&kv->commit_mutex);
    kv_commit_wait_published(kv);
    bool turns = must_turn(kv), is_empty = kv_layer_is_empty(kv->mutable_layer);
    if ((full != NULL && kv->mutable_layer != full) || (full == NULL && is_empty && !turns)) {
        return; /* somebody has rotated; or there is nothing to rotate */
    }
    uint64_t number = next_log(kv);
    os_mutex_lock(&kv->mutex);
    struct kv_layer *before = kv->mutable_layer;
    if (!is_empty) {
        push_immutable(kv, before);
        kv->mutable_layer = fresh->layer;
        fresh->layer = NULL;
    } else if (full != NULL) {
        /* Full of what was taken and not written. */
        kv->mutable_layer = fresh->layer;
        fresh->layer = before;
    }
    kv->mutable_layer->log_number = number;
    kv_view_publish(kv, fresh->view, NULL);
    fresh->view = NULL;
    kv_throttle_look(kv);
    os_mutex_unlock(&kv->mutex);
    if (turns) {
        commit->obstacles |= KV_OBSTACLE_REPAIR;
        commit->repair_number = number;
    }
}

static size_t count_immutable(struct quarry_kv *kv)
{
    os_mutex_lock(&kv->mutex);
    size_t count = kv->immutable_count;
    os_mutex_unlock(&kv->mutex);
    return count;
}

static enum quarry_status refuse_to_wait(struct quarry_kv *kv, struct quarry_error *error)
{
    return error_set(error, QUARRY_BUSY, "store '%s': memtables are waiting to be flushed",
                     kv->path);
}

/* After a look that found something to wait for. `seen`: kv_background_changes before it. */
static enum quarry_status wait_for_background(struct quarry_kv *kv, uint64_t seen, bool never_waits,
                                              struct quarry_error *error)
{
    enum quarry_status status = kv_may_write(kv, error);

    if (status != QUARRY_OK) {
        return status;
    }
    if (never_waits) {
        return refuse_to_wait(kv, error);
    }
    kv_background_wake(kv);
    if (!kv_background_wait(kv, seen)) {
        status = kv_may_write(kv, error);
        if (status == QUARRY_OK) { /* what keeps it from being flushed: a full disk, say */
            os_mutex_lock(&kv->mutex);
            status = kv_background_trouble(kv, error);
            os_mutex_unlock(&kv->mutex);
        }
        return status != QUARRY_OK ? status : refuse_to_wait(kv, error);
    }
    return QUARRY_OK;
}

enum quarry_status kv_commit_wait_for_flush(struct quarry_kv *kv, size_t limit, bool never_waits,
                                            struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;
    uint64_t seen = kv_background_changes(kv);

    while (status == QUARRY_OK && count_immutable(kv) >= limit) {
        status = wait_for_background(kv, seen, never_waits, error);
        seen = kv_background_changes(kv);
    }
    return status;
}

/* Under rotate_mutex, so that layers only become fewer. Returns: false: too many again. */
static bool try_rotate(struct quarry_kv *kv, const struct kv_layer *full, size_t limit,
                       enum quarry_status *ret_status, struct quarry_error *error)
{
    struct fresh fresh = {NULL, NULL};

    if (count_immutable(kv) >= limit) {
        return false;
    }
    *ret_status = prepare_fresh(kv, &fresh, error);
    if (*ret_status == QUARRY_OK) {
        os_mutex_lock(&kv->commit_mutex);
        swap(kv, full, &fresh);
        os_mutex_unlock(&kv->commit_mutex);
        drop_fresh(kv, &fresh);
    }
    return true;
}

/* Memory was refused. QUARRY_OK: try again. */
static enum quarry_status wait_to_rotate(struct quarry_kv *kv, struct kv_memory_wait *wait,
                                         bool never_waits, struct quarry_error *error)
{
    if (never_waits) {
        return refuse_to_wait(kv, error);
    }
    return kv_commit_wait_for_memory(kv, wait) ? QUARRY_OK : QUARRY_NO_MEMORY;
}

/* `full`: see swap. `limit`: of layers that are immutable; it waits where they are as many. */
static enum quarry_status rotate(struct quarry_kv *kv, const struct kv_layer *full, size_t limit,
                                 bool never_waits, struct quarry_error *error)
{
    struct kv_commit *commit = kv->commit;
    struct kv_memory_wait wait = {0};
    enum quarry_status status;
    bool is_done = false;

    kv_view_collect(kv); /* the arena of what was flushed is the next one */
    kv_commit_restore_reserves(kv);
    do {
        wait.seen = kv_background_changes(kv);
        status = kv_commit_wait_for_flush(kv, limit, never_waits, error);
        if (status == QUARRY_OK) {
            os_mutex_lock(&commit->rotate_mutex);
            is_done = try_rotate(kv, full, limit, &status, error);
            os_mutex_unlock(&commit->rotate_mutex);
            if (Q_UNLIKELY(status == QUARRY_NO_MEMORY)) {
                status = wait_to_rotate(kv, &wait, never_waits, error);
                is_done = status != QUARRY_OK;
            }
        }
    } while (status == QUARRY_OK && !is_done);
    kv_background_wake(kv);
    return status;
}

/* For what is no full memtable: room for it, and for the batch of another. */
static size_t limit_of_others(const struct quarry_kv *kv)
{
    return kv->immutable_capacity - 1;
}

enum quarry_status kv_commit_rotate(struct quarry_kv *kv, const struct kv_layer *full,
                                    bool never_waits, struct quarry_error *error)
{
    return rotate(kv, full, limit_of_others(kv), never_waits, error);
}

bool kv_commit_has_layers(struct quarry_kv *kv, size_t *ret_waiting_count)
{
    os_mutex_lock(&kv->commit_mutex);
    bool has = !kv_layer_is_empty(kv->mutable_layer);
    os_mutex_unlock(&kv->commit_mutex);
    *ret_waiting_count = count_immutable(kv);
    return has || *ret_waiting_count != 0;
}

enum quarry_status kv_rotate(struct quarry_kv *kv, uint64_t *ret_sequence,
                             struct quarry_error *error)
{
    os_mutex_lock(&kv->commit_mutex);
    uint64_t sequence = kv->last_sequence;
    os_mutex_unlock(&kv->commit_mutex);
    enum quarry_status status = rotate(kv, NULL, limit_of_others(kv), false, error);
    if (status == QUARRY_OK && ret_sequence != NULL) {
        *ret_sequence = sequence;
    }
    return status;
}

void kv_try_rotate(struct quarry_kv *kv)
{
    (void)rotate(kv, NULL, limit_of_others(kv), true, NULL);
}

/* ---- obstacles ------------------------------------------------------------------------------ */

static void take_obstacle_away(struct quarry_kv *kv, enum kv_obstacle obstacle)
{
    struct kv_commit *commit = kv->commit;

    os_mutex_assert_held(&kv->commit_mutex);
    commit->obstacles &= ~(uint32_t)obstacle;
    /* Release: pairs with the acquire in wait_for_barrier. */
    (void)atomic_add_release_u32(&commit->obstacle_change, 1);
    os_futex_wake(&commit->obstacle_change, UINT32_MAX);
}

static uint32_t read_obstacles(struct quarry_kv *kv, uint64_t *ret_repair_number)
{
    os_mutex_lock(&kv->commit_mutex);
    uint32_t obstacles = kv->commit->obstacles;
    *ret_repair_number = kv->commit->repair_number;
    os_mutex_unlock(&kv->commit_mutex);
    return obstacles;
}

static enum quarry_status wait_for_barrier(struct quarry_kv *kv, bool never_waits,
                                           struct quarry_error *error)
{
    struct kv_commit *commit = kv->commit;
    uint64_t repair_number;

    for (;;) {
        /* Acquire: pairs with the release in take_obstacle_away: read before the obstacles. */
        uint32_t change = atomic_load_acquire_u32(&commit->obstacle_change);
        if ((read_obstacles(kv, &repair_number) & KV_OBSTACLE_BARRIER) == 0) {
            return QUARRY_OK;
        }
        if (never_waits) {
            return error_set(error, QUARRY_BUSY, "store '%s': files are being ingested", kv->path);
        }
        os_futex_wait(&commit->obstacle_change, change, UINT64_MAX);
    }
}

/* Takes the barrier, when nobody else has it. Returns: the next sequence. */
static uint64_t begin_barrier(struct quarry_kv *kv)
{
    struct kv_commit *commit = kv->commit;
    bool is_mine = false;
    uint64_t sequence = 0;

    while (!is_mine) {
        (void)wait_for_barrier(kv, false, NULL);
        os_mutex_lock(&kv->commit_mutex);
        is_mine = (commit->obstacles & KV_OBSTACLE_BARRIER) == 0;
        if (is_mine) {
            commit->obstacles |= KV_OBSTACLE_BARRIER;
            kv_commit_wait_published(kv);
            sequence = kv->last_sequence + 1;
        }
        os_mutex_unlock(&kv->commit_mutex);
    }
    return sequence;
}

/*
 * The log says that a sequence was used: a batch of no changes, whose sequence is the next one.
 * Else recovery would take the gap for a lost write. Where it cannot be said, the log has failed.
 */
static bool log_sequence(struct quarry_kv *kv)
{
    char header[KV_BATCH_HEADER_BYTES] = {0};
    struct kv_log_record record;
    uint64_t end;

    os_mutex_assert_held(&kv->commit_mutex);
    if (kv->log == NULL) {
        return true;
    }
    endian_store_le_u64(header, kv->last_sequence + 1);
    kv_log_record_init(&record, kv_slice(header, sizeof(header)));
    return kv_log_set_append(kv->log, &record, &end, NULL) == QUARRY_OK;
}

enum quarry_status
kv_commit_barrier(struct quarry_kv *kv,
                  enum quarry_status (*install)(void *argument, uint64_t sequence), void *argument)
{
    uint64_t sequence = begin_barrier(kv);
    enum quarry_status status = install(argument, sequence);
    bool is_logged = true;

    os_mutex_lock(&kv->commit_mutex);
    Q_ASSERT(kv->last_sequence == sequence - 1); /* invariant 4 of commit.c */
    if (status == QUARRY_OK) {
        kv->last_sequence = sequence;
        /* Release: pairs with the acquire in kv_visible_sequence. */
        atomic_store_release_u64(&kv->visible_sequence, sequence);
        is_logged = log_sequence(kv);
    }
    take_obstacle_away(kv, KV_OBSTACLE_BARRIER);
    os_mutex_unlock(&kv->commit_mutex);
    if (!is_logged) {
        kv_commit_log_failed(kv);
    }
    return status;
}

/* ---- a log that has failed ------------------------------------------------------------------ */

static bool has_layers_below(struct quarry_kv *kv, uint64_t log_number)
{
    os_mutex_lock(&kv->mutex);
    bool has = kv->immutable_count != 0 && kv->immutable[0]->log_number < log_number;
    os_mutex_unlock(&kv->mutex);
    return has;
}

static void end_repair(struct quarry_kv *kv, uint64_t log_number)
{
    struct kv_commit *commit = kv->commit;

    os_mutex_lock(&kv->commit_mutex);
    bool is_ended =
        (commit->obstacles & KV_OBSTACLE_REPAIR) != 0 && commit->repair_number == log_number;
    if (is_ended) {
        commit->repair_number = 0;
        take_obstacle_away(kv, KV_OBSTACLE_REPAIR);
    }
    os_mutex_unlock(&kv->commit_mutex);
    if (is_ended) {
        kv_notify(kv, &(struct quarry_kv_event_data){.event = QUARRY_KV_EVENT_LOG_RETIRED});
    }
}

/* What the logs up to the one that failed have is in files when it returns. */
static enum quarry_status repair(struct quarry_kv *kv, bool never_waits, struct quarry_error *error)
{
    uint64_t log_number, seen;
    enum quarry_status status = QUARRY_OK;

    if ((read_obstacles(kv, &log_number) & KV_OBSTACLE_REPAIR) == 0) {
        return QUARRY_OK;
    }
    if (log_number == 0) {
        status = rotate(kv, NULL, limit_of_others(kv), never_waits, error);
        (void)read_obstacles(kv, &log_number);
    }
    seen = kv_background_changes(kv);
    while (status == QUARRY_OK && has_layers_below(kv, log_number)) {
        status = wait_for_background(kv, seen, never_waits, error);
        seen = kv_background_changes(kv);
    }
    if (status == QUARRY_OK && kv->log != NULL) {
        /* A record that was refused may be in it after all, with a sequence that comes again. */
        status = kv_log_set_drop(kv->log, log_number, error);
    }
    if (status == QUARRY_OK) {
        end_repair(kv, log_number);
    }
    return status;
}

static void note_log_failure(struct quarry_kv *kv)
{
    struct kv_commit *commit = kv->commit;

    os_mutex_lock(&kv->commit_mutex);
    if ((commit->obstacles & KV_OBSTACLE_REPAIR) == 0 || log_has_failed(kv)) {
        commit->obstacles |= KV_OBSTACLE_REPAIR;
        commit->repair_number = 0;
    }
    os_mutex_unlock(&kv->commit_mutex);
}

void kv_commit_log_failed(struct quarry_kv *kv)
{
    note_log_failure(kv);
    /* Begun now, that it may be done when the next write comes, which will see to what is left. */
    kv_try_rotate(kv);
}

/* A log that refuses a record before it writes is none that failed. */
static enum quarry_status report_failure(struct quarry_kv *kv, const struct kv_write *write)
{
    os_mutex_lock(&kv->commit_mutex);
    bool has_failed = log_has_failed(kv);
    os_mutex_unlock(&kv->commit_mutex);
    if (has_failed) {
        kv_commit_log_failed(kv);
    }
    return write->status;
}

/* ---- large batches -------------------------------------------------------------------------- */

/* The batch takes the current log, and the memtable, which is empty, another. Under commit_mutex.
 */
static enum quarry_status place_batch(struct quarry_kv *kv, struct kv_write *write,
                                      struct kv_layer *layer, struct fresh *fresh,
                                      struct quarry_error *error)
{
    enum quarry_status status = kv_layer_set_sequence(layer, kv->last_sequence + 1);

    if (status != QUARRY_OK) {
        return error_set(error, status, "store '%s': no memory for the ranges of a batch",
                         kv->path);
    }
    status = kv_commit_log(kv, write, error);
    if (status != QUARRY_OK) {
        return status;
    }
    uint64_t number = next_log(kv);
    os_mutex_lock(&kv->mutex);
    layer->log_number = kv->mutable_layer->log_number;
    kv->mutable_layer->log_number = number;
    kv_layer_acquire(layer);
    push_immutable(kv, layer);
    kv_view_publish(kv, fresh->view, NULL);
    fresh->view = NULL;
    kv_throttle_look(kv);
    os_mutex_unlock(&kv->mutex);
    kv->last_sequence += layer->counts.change_count;
    write->end_sequence = kv->last_sequence;
    /* Release: pairs with the acquire in kv_visible_sequence. No ticket is out. */
    atomic_store_release_u64(&kv->visible_sequence, kv->last_sequence);
    return QUARRY_OK;
}

/* Under commit_mutex. Returns: whether it came to its end, or is to be tried again. */
static bool try_place_batch(struct quarry_kv *kv, struct kv_write *write, struct kv_layer *layer,
                            struct fresh *fresh, struct quarry_error *error)
{
    if (kv_commit_look(kv) != KV_STEP_DONE) {
        return false;
    }
    kv_commit_wait_published(kv);
    if (!kv_layer_is_empty(kv->mutable_layer)) {
        return false;
    }
    write->status = place_batch(kv, write, layer, fresh, error);
    return true;
}

static bool try_write_batch(struct quarry_kv *kv, struct kv_write *write, struct kv_layer *layer,
                            struct quarry_error *error)
{
    struct kv_commit *commit = kv->commit;
    struct fresh fresh = {NULL, NULL};
    bool is_done = true;

    os_mutex_lock(&commit->rotate_mutex);
    if (count_immutable(kv) < kv->immutable_capacity) {
        write->status = prepare_fresh(kv, &fresh, error);
        if (write->status == QUARRY_OK) {
            os_mutex_lock(&kv->commit_mutex);
            is_done = try_place_batch(kv, write, layer, &fresh, error);
            os_mutex_unlock(&kv->commit_mutex);
            drop_fresh(kv, &fresh);
        }
    } else {
        is_done = false;
    }
    os_mutex_unlock(&commit->rotate_mutex);
    return is_done;
}

/* What is in the way of a batch: what is in the memtable, obstacles, a log. */
static enum quarry_status clear_for_batch(struct quarry_kv *kv, bool never_waits,
                                          struct quarry_error *error)
{
    enum quarry_status status = wait_for_barrier(kv, never_waits, error);

    if (status == QUARRY_OK) {
        status = repair(kv, never_waits, error);
    }
    if (status == QUARRY_OK) {
        status = rotate(kv, NULL, kv->options.write_buffer_count, never_waits, error);
    }
    return status;
}

static struct kv_memory_want want_of(const struct kv_write *write)
{
    return (struct kv_memory_want){.byte_count = write->data.count,
                                   .change_count = write->plan.counts.change_count,
                                   .never_waits = write->never_waits};
}

static enum quarry_status make_batch_layer(struct quarry_kv *kv, struct kv_write *write,
                                           struct kv_layer **ret_layer, struct quarry_error *error)
{
    const struct kv_memory_want want = want_of(write);
    enum quarry_status status = kv_layer_create_batch(kv, write->data, ret_layer, error);

    while (status == QUARRY_NO_MEMORY) {
        status = kv_commit_find_memory(kv, &want, &write->wait, error);
        if (status != QUARRY_OK) {
            return status;
        }
        status = kv_layer_create_batch(kv, write->data, ret_layer, error);
    }
    return status;
}

static enum quarry_status write_batch(struct quarry_kv *kv, struct kv_write *write,
                                      struct quarry_error *error)
{
    const struct kv_memory_want want = want_of(write);
    struct kv_layer *layer = NULL;
    enum quarry_status status = make_batch_layer(kv, write, &layer, error);
    bool is_done = false;

    while (status == QUARRY_OK && !is_done) {
        status = clear_for_batch(kv, write->never_waits, error);
        is_done = status == QUARRY_OK && try_write_batch(kv, write, layer, error);
        if (is_done && write->status == QUARRY_NO_MEMORY) {
            is_done = false;
            status = kv_commit_find_memory(kv, &want, &write->wait, error);
        }
    }
    kv_layer_release(layer);
    if (status != QUARRY_OK) {
        return status;
    }
    kv_background_wake(kv);
    return write->status == QUARRY_OK ? QUARRY_OK : report_failure(kv, write);
}

/* ---- making way ----------------------------------------------------------------------------- */

enum quarry_status kv_commit_make_way(struct quarry_kv *kv, struct kv_write *write,
                                      enum kv_step step, bool *ret_is_written,
                                      struct quarry_error *error)
{
    enum quarry_status status;
    struct kv_memory_want want;

    switch (step) {
    case KV_STEP_FULL:
        if (write->plan.byte_count >= kv->options.write_buffer_bytes / 2) {
            break;
        }
        return rotate(kv, write->layer, kv->options.write_buffer_count - 1, write->never_waits,
                      error);
    case KV_STEP_NO_MEMORY:
        want = want_of(write);
        want.full = write->layer;
        return kv_commit_find_memory(kv, &want, &write->wait, error);
    case KV_STEP_OBSTACLE:
        status = wait_for_barrier(kv, write->never_waits, error);
        return status == QUARRY_OK ? repair(kv, write->never_waits, error) : status;
    case KV_STEP_LOG_FAILED:
        note_log_failure(kv);
        return repair(kv, write->never_waits, error);
    case KV_STEP_FAILED:
        return report_failure(kv, write);
    case KV_STEP_RING_FULL:
        os_yield();
        return QUARRY_OK;
    case KV_STEP_LARGE:
    case KV_STEP_DONE:
    default:
        break;
    }
    Q_ASSERT(step == KV_STEP_LARGE || step == KV_STEP_FULL);
    *ret_is_written = true;
    return write_batch(kv, write, error);
}
