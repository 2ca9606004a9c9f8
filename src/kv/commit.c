/*
 * Committing: how a batch becomes a part of the store.
 *
 *     plan, checksum │ commit lock: sequence, room, log │ insert │ publish │ sync
 *     any thread       one after the other                any      in order   shared
 *
 * Before the lock a batch is checked, its nodes' sizes are added up, and the checksum of a long one
 * is made. Under the lock it gets its sequence, its room in the memtable and its place in the log:
 * copies into mapped memory, no system call, for what needs one (a full memtable, a broken log, a
 * budget that is used up) leaves the lock and comes again. After the lock it is inserted, by many
 * threads at once. Then it is published, in the order of the lock, so that what a reader sees is
 * always all of the first so many writes.
 *
 * Publishing: a ring of words, one for each write under way, by its *ticket*.
 *
 *     word      end of its sequences │ waiting │ done │ turn
 *     ring      … 0 │ 0 │ turn │ done │ 0 │ done │ 0 …
 *                        ↑ the oldest that is not published
 *
 * The *turn* goes along the ring. Who has inserted sets `done`: if the turn was there already, it
 * publishes its end, passes the turn on, and goes on for as long as it finds `done` at the next. If
 * it was not, somebody before it will publish it: it looks for a moment, then says that it is
 * waiting and sleeps. One or two locked instructions, no compare-and-swap that could fail.
 *
 * A full memtable is rotated by the writer who found it so: log and memtable are made before the
 * lock, and writers under way are waited for under it, a matter of microseconds, so that nobody
 * writes to a layer that is immutable. Large batches become layers with a log of their own, between
 * two memtables.
 *
 * A log that fails is never written again. Its write is refused, its memtable is rotated out, and
 * until that is in files no write is acknowledged: a log that follows a gap would be lost with it.
 * This is an *obstacle*, which writers find under the lock and see to without it; so is a barrier.
 *
 * Invariants
 *   1. visible_sequence <= last_sequence; both rise; they are equal when no ticket is out.
 *   2. A slot is zero, or has the turn alone, when its ticket is given out.
 *   3. The mutable layer has writers only between the commit lock and their publishing.
 *   4. With an obstacle nothing is committed.
 *
 * A budget that is used up must let what is in memtables be flushed, or nothing comes back: so
 * reserves are charged while all is well, and given to the budget by who is refused memory.
 *
 * Locking: rotate_mutex (one rotation at a time; files are made under it), then commit_mutex, then
 * the store's. Waiting for the background is done with none.
 * Cost, by callgrind, keys of 16 bytes in order and values of 100: 1,820 instructions a put, half
 * of them the memtable's, 500 the log's; in batches of 1,000, 800 each, making the batch included,
 * and the copy to the log. What is not instructions: a cache miss in the table of keys, fetched
 * ahead, and page faults of the log's mapping and of a memtable's new memory, one for each 15 puts.
 *
 * Rejected: a leader that writes for a group (LevelDB, RocksDB): the others wait for it even where
 * nothing is synced. Inserting under the lock. Publishing by a compare-and-swap on the visible
 * sequence: a writer whose turn has not come would have to spin.
 *
 * Source: Pebble's commit pipeline, RocksDB's concurrent memtable writes.
 */
#include <kv/commit.h>

#include <os/os.h>

#include <kv/background.h>
#include <kv/commit_parts.h>
#include <kv/log_set.h>
#include <kv/read.h>

/* Bits of a slot; the end of its sequences is above them. */
#define SLOT_TURN    UINT64_C(1)
#define SLOT_DONE    UINT64_C(2)
#define SLOT_WAITING UINT64_C(4)
#define SLOT_SHIFT   3
/* Looks at the visible sequence before sleeping: about what inserting a short batch takes. */
#define LOOKS 200u
/* In a budget that is used up: a small memtable and a log that writes; the buffers of a table. */
static const uint64_t reserve_bytes[KV_RESERVES] = {
    [KV_RESERVE_ROTATE] = Q_KIB(192),
    [KV_RESERVE_FLUSH] = Q_KIB(448),
};

Q_STATIC_ASSERT(KV_SEQUENCE_MAX <= UINT64_MAX >> SLOT_SHIFT, "a sequence fits a slot");

static _Thread_local struct kv_memtable_splice thread_splice;

enum quarry_status kv_commit_create(struct quarry_kv *kv, struct kv_commit **ret_commit)
{
    struct kv_commit *commit =
        kv_memory_take_aligned(&kv->small[KV_PART_META], sizeof(*commit), Q_CACHE_LINE_BYTES);

    if (commit == NULL) {
        return QUARRY_NO_MEMORY;
    }
    /* Taken before commit_mutex, and never beside install_mutex. */
    os_mutex_init(&commit->rotate_mutex, OS_RANK_KV_INSTALL, 1);
    atomic_store_relaxed_u64(&commit->slots[0], SLOT_TURN);
    *ret_commit = commit;
    return QUARRY_OK;
}

static void restore(struct quarry_kv *kv, enum kv_reserve reserve)
{
    _Atomic bool *has = &kv->commit->has_reserve[reserve];

    /* Relaxed: whoever charges or gives it back says so by the exchange. */
    if (atomic_load_relaxed_bool(has) ||
        quarry_account_charge(kv->part[KV_PART_MEMTABLE], reserve_bytes[reserve]) != QUARRY_OK) {
        return;
    }
    if (atomic_exchange_acq_rel_bool(has, true)) {
        /* Two have charged it. */
        quarry_account_uncharge(kv->part[KV_PART_MEMTABLE], reserve_bytes[reserve]);
    }
}

void kv_commit_restore_reserves(struct quarry_kv *kv)
{
    kv_reserve_refill(kv);
    restore(kv, KV_RESERVE_FLUSH);
    restore(kv, KV_RESERVE_ROTATE);
}

bool kv_commit_release_reserve(struct quarry_kv *kv, enum kv_reserve reserve)
{
    bool had = atomic_exchange_acq_rel_bool(&kv->commit->has_reserve[reserve], false);

    if (had) {
        quarry_account_uncharge(kv->part[KV_PART_MEMTABLE], reserve_bytes[reserve]);
    }
    return had;
}

void kv_commit_destroy(struct quarry_kv *kv, struct kv_commit *commit)
{
    if (commit != NULL) {
        (void)kv_commit_release_reserve(kv, KV_RESERVE_ROTATE);
        (void)kv_commit_release_reserve(kv, KV_RESERVE_FLUSH);
    }
    kv_memory_give(&kv->small[KV_PART_META], commit);
}

/* ---- publishing ----------------------------------------------------------------------------- */

static inline _Atomic uint64_t *slot_of(struct kv_commit *commit, uint64_t ticket)
{
    return &commit->slots[ticket % KV_COMMIT_SLOTS];
}

static Q_COLD void wake_waiting(struct kv_commit *commit)
{
    /* Release: pairs with the acquire in wait_until_visible. */
    (void)atomic_add_release_u32(&commit->published_change, 1);
    os_futex_wake(&commit->published_change, UINT32_MAX);
}

/* Those behind it that are done: the turn has come to the first of them. */
static Q_COLD void publish_others(struct quarry_kv *kv, uint64_t ticket, uint64_t end)
{
    struct kv_commit *commit = kv->commit;
    bool has_waiting = false;
    uint64_t before;

    do {
        atomic_store_release_u64(&kv->visible_sequence, end);
        /* Who waits has its bit set before, or sees the sequence after: acq_rel, with its `or`. */
        before = atomic_exchange_acq_rel_u64(slot_of(commit, ticket), 0);
        has_waiting |= (before & SLOT_WAITING) != 0;
        ticket++;
        atomic_store_release_u64(&commit->turn, ticket);
        before = atomic_or_acq_rel_u64(slot_of(commit, ticket), SLOT_TURN);
        end = before >> SLOT_SHIFT;
    } while ((before & SLOT_DONE) != 0);
    if (has_waiting) {
        wake_waiting(commit);
    }
}

/* By who has the turn. */
static inline void publish_from(struct quarry_kv *kv, uint64_t ticket, uint64_t end)
{
    struct kv_commit *commit = kv->commit;
    uint64_t next;

    /* Release: pairs with the acquire in kv_visible_sequence: what was inserted is seen. */
    atomic_store_release_u64(&kv->visible_sequence, end);
    /* Relaxed: its own; whoever is given it next comes by way of `turn`. */
    atomic_store_relaxed_u64(slot_of(commit, ticket), 0);
    /* Release: pairs with the acquire of who gives tickets out: the slot is empty. */
    atomic_store_release_u64(&commit->turn, ticket + 1);
    next = atomic_or_acq_rel_u64(slot_of(commit, ticket + 1), SLOT_TURN);
    if (Q_UNLIKELY((next & SLOT_DONE) != 0)) {
        publish_others(kv, ticket + 1, next >> SLOT_SHIFT);
    }
}

/* Until somebody else has published a write that is done. */
static Q_COLD void wait_until_visible(struct quarry_kv *kv, uint64_t ticket, uint64_t end)
{
    struct kv_commit *commit = kv->commit;

    for (uint32_t i = 0; i < LOOKS; i++) {
        if (kv_visible_sequence(kv) >= end) {
            return;
        }
        pause_cpu();
    }
    for (;;) {
        /* Acquire: pairs with the add in wake_waiting: read before the sequence is looked at. */
        uint32_t change = atomic_load_acquire_u32(&commit->published_change);
        /* The slot may be another ticket's by now: which costs that one's publisher a wake. */
        (void)atomic_or_acq_rel_u64(slot_of(commit, ticket), SLOT_WAITING);
        if (kv_visible_sequence(kv) >= end) {
            return;
        }
        os_futex_wait(&commit->published_change, change, UINT64_MAX);
    }
}

void kv_commit_publish(struct quarry_kv *kv, uint64_t ticket, uint64_t end)
{
    _Atomic uint64_t *slot = slot_of(kv->commit, ticket);

    /* Acquire: pairs with the `or` of who passed the turn. Mostly it is here already. */
    if (Q_LIKELY((atomic_load_acquire_u64(slot) & SLOT_TURN) != 0) ||
        (atomic_or_acq_rel_u64(slot, end << SLOT_SHIFT | SLOT_DONE) & SLOT_TURN) != 0) {
        publish_from(kv, ticket, end);
    } else {
        wait_until_visible(kv, ticket, end);
    }
}

void kv_commit_wait_published(struct quarry_kv *kv)
{
    struct kv_commit *commit = kv->commit;

    os_mutex_assert_held(&kv->commit_mutex);
    /* Acquire: pairs with the release in publish_from. */
    while (atomic_load_acquire_u64(&commit->turn) != commit->next_ticket) {
        os_yield();
    }
    Q_ASSERT(kv_visible_sequence(kv) == kv->last_sequence); /* invariant 1 */
}

/* ---- one write ------------------------------------------------------------------------------ */

/* LevelDB's files have puts and deletes. */
static Q_COLD enum quarry_status check_leveldb(struct quarry_kv *kv, struct kv_slice data,
                                               struct quarry_error *error)
{
    struct kv_batch_cursor cursor;
    struct kv_batch_record record;
    enum quarry_status status = kv_batch_cursor_init(&cursor, data, error);

    while (status == QUARRY_OK && (status = kv_batch_next(&cursor, &record, error)) == QUARRY_OK) {
        if (!record.is_change || (record.type != KV_TYPE_PUT && record.type != KV_TYPE_DELETE)) {
            return error_set(error, QUARRY_UNSUPPORTED,
                             "store '%s': LevelDB's files have puts and deletes only", kv->path);
        }
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

static enum quarry_status check_counts(struct quarry_kv *kv, const struct kv_write *write,
                                       struct quarry_error *error)
{
    const struct kv_batch_counts *counts = &write->plan.counts;

    if (Q_UNLIKELY(counts->merge_count != 0 && kv->merge_operator == NULL)) {
        return error_set(error, QUARRY_UNSUPPORTED, "store '%s' has no merge operator", kv->path);
    }
    if (Q_UNLIKELY(counts->key_bytes_longest > kv->options.key_bytes_max ||
                   counts->value_bytes_longest > kv->options.value_bytes_max)) {
        return error_set(error, QUARRY_TOO_LARGE,
                         "store '%s': a key of %zu bytes, a value of %zu; at most %llu and %llu",
                         kv->path, counts->key_bytes_longest, counts->value_bytes_longest,
                         (unsigned long long)kv->options.key_bytes_max,
                         (unsigned long long)kv->options.value_bytes_max);
    }
    return kv->form == KV_EDIT_LEVELDB ? check_leveldb(kv, write->data, error) : QUARRY_OK;
}

/* None of what only deletes: that goes on when the disk is full. */
static inline uint64_t admitted_bytes(const struct kv_write *write)
{
    const struct kv_batch_counts *counts = &write->plan.counts;

    return counts->change_count == counts->delete_count + counts->range_count ? 0
                                                                              : write->data.count;
}

/* What is done before the lock. */
static inline enum quarry_status begin_write(struct quarry_kv *kv, struct kv_write *write,
                                             struct quarry_error *error)
{
    enum quarry_status status = kv_may_write(kv, error);

    if (status == QUARRY_OK) {
        status = kv_memtable_plan(write->data, &write->plan, error);
    }
    if (status == QUARRY_OK) {
        status = check_counts(kv, write, error);
    }
    if (status == QUARRY_OK) {
        status = kv_throttle_admit(kv, admitted_bytes(write), write->never_waits, error);
    }
    if (status == QUARRY_OK) {
        kv_log_record_init(&write->record, kv_slice(write->data.bytes + sizeof(write->head),
                                                    write->data.count - sizeof(write->head)));
        write->record.head = kv_slice(write->head, sizeof(write->head));
    }
    return status;
}

enum quarry_status kv_commit_log(struct quarry_kv *kv, struct kv_write *write,
                                 struct quarry_error *error)
{
    os_mutex_assert_held(&kv->commit_mutex);
    if (kv->log == NULL) {
        return QUARRY_OK;
    }
    endian_store_le_u64(write->head, kv->last_sequence + 1);
    write->log_number = kv_log_set_number(kv->log);
    return kv_log_set_append(kv->log, &write->record, &write->log_end, error);
}

/* What stands in the way of a write. */
static enum kv_step step_of(enum quarry_status status)
{
    switch ((int)status) {
    case QUARRY_NO_ADDRESS:
        return KV_STEP_FULL;
    case QUARRY_TOO_LARGE:
        return KV_STEP_LARGE;
    default:
        Q_ASSERT(status == QUARRY_NO_MEMORY);
        return KV_STEP_NO_MEMORY;
    }
}

static inline enum kv_step look_locked(struct quarry_kv *kv)
{
    struct kv_commit *commit = kv->commit;

    if (Q_UNLIKELY(commit->obstacles != 0)) {
        return KV_STEP_OBSTACLE;
    }
    if (kv->log != NULL && Q_UNLIKELY(kv_log_set_status(kv->log, NULL) != QUARRY_OK)) {
        return KV_STEP_LOG_FAILED;
    }
    /* Acquire: pairs with the release in publish_from: the slot is empty. */
    if (Q_UNLIKELY(commit->next_ticket - atomic_load_acquire_u64(&commit->turn) >=
                   KV_COMMIT_SLOTS)) {
        return KV_STEP_RING_FULL;
    }
    return KV_STEP_DONE;
}

enum kv_step kv_commit_look(struct quarry_kv *kv)
{
    os_mutex_assert_held(&kv->commit_mutex);
    return look_locked(kv);
}

/* Sequence, room and log. Under the commit lock. */
static inline enum kv_step commit_locked(struct quarry_kv *kv, struct kv_write *write,
                                         struct quarry_error *error)
{
    enum kv_step step = look_locked(kv);

    if (Q_UNLIKELY(step != KV_STEP_DONE)) {
        return step;
    }
    write->layer = kv->mutable_layer;
    struct kv_memtable *memtable = write->layer->memtable;
    enum quarry_status status = kv_memtable_prepare(memtable, &write->plan, kv->last_sequence + 1);
    if (Q_UNLIKELY(status != QUARRY_OK)) {
        return step_of(status);
    }
    write->status = kv_commit_log(kv, write, error);
    if (Q_UNLIKELY(write->status != QUARRY_OK)) {
        kv_memtable_cancel(memtable, &write->plan);
        return KV_STEP_FAILED;
    }
    kv->last_sequence += write->plan.counts.change_count;
    write->end_sequence = kv->last_sequence;
    write->ticket = kv->commit->next_ticket++;
    return KV_STEP_DONE;
}

static void count_write(struct quarry_kv *kv, const struct kv_write *write)
{
    const struct kv_batch_counts *counts = &write->plan.counts;

    kv_count(kv, KV_COUNT_PUTS,
             counts->change_count - counts->delete_count - counts->merge_count -
                 counts->range_count);
    kv_count(kv, KV_COUNT_WRITTEN_BYTES, counts->key_bytes + counts->value_bytes);
    if (kv->log != NULL) {
        kv_count(kv, KV_COUNT_LOG_BYTES, write->data.count);
    }
    if (counts->change_count != 1) {
        kv_count(kv, KV_COUNT_BATCHES, 1);
    }
    if (Q_UNLIKELY((counts->delete_count | counts->merge_count | counts->range_count) != 0)) {
        kv_count(kv, KV_COUNT_DELETES, counts->delete_count);
        kv_count(kv, KV_COUNT_MERGES, counts->merge_count);
        kv_count(kv, KV_COUNT_RANGE_DELETES, counts->range_count);
    }
}

/* It is in the order of writes: inserts it, and has it be seen. */
static inline void finish_write(struct quarry_kv *kv, struct kv_write *write)
{
    kv_memtable_apply(write->layer->memtable, &write->plan, &thread_splice);
    kv_commit_publish(kv, write->ticket, write->end_sequence);
}

void kv_commit_seek_ahead(const struct kv_memtable *memtable, const struct kv_slice *keys,
                          size_t count)
{
    kv_memtable_seek_ahead(memtable, keys, count, &thread_splice);
}

static enum quarry_status make_durable(struct quarry_kv *kv, const struct kv_write *write,
                                       struct quarry_error *error)
{
    if (kv->log == NULL) {
        return quarry_kv_flush(kv, error);
    }
    if (write->durability != QUARRY_KV_POWER) {
        return QUARRY_OK;
    }
    enum quarry_status status = kv_log_set_sync(kv->log, write->log_number, write->log_end, error);
    if (status != QUARRY_OK) {
        kv_commit_log_failed(kv);
    }
    return status;
}

/* Until it is in the order of writes, or refused. */
static enum quarry_status commit_write(struct quarry_kv *kv, struct kv_write *write,
                                       struct quarry_error *error)
{
    for (;;) {
        os_mutex_lock(&kv->commit_mutex);
        enum kv_step step = commit_locked(kv, write, error);
        os_mutex_unlock(&kv->commit_mutex);
        if (Q_LIKELY(step == KV_STEP_DONE)) {
            finish_write(kv, write);
            return QUARRY_OK;
        }
        bool is_written = false;
        enum quarry_status status = kv_commit_make_way(kv, write, step, &is_written, error);
        if (status != QUARRY_OK || is_written) {
            return status;
        }
    }
}

enum quarry_status kv_commit(struct quarry_kv *kv, const struct quarry_kv_write_options *options,
                             struct kv_slice data, struct quarry_error *error)
{
    struct kv_write write;
    enum quarry_kv_durability durability =
        options == NULL ? QUARRY_KV_DEFAULT : options->durability;

    write.data = data;
    write.wait = (struct kv_memory_wait){0};
    write.never_waits = options != NULL && options->never_waits;
    write.durability = durability == QUARRY_KV_DEFAULT ? kv->options.durability : durability;
    enum quarry_status status = begin_write(kv, &write, error);
    if (Q_LIKELY(status == QUARRY_OK)) {
        status = commit_write(kv, &write, error);
    }
    if (Q_UNLIKELY(status != QUARRY_OK)) {
        return status;
    }
    count_write(kv, &write);
    return write.durability == QUARRY_KV_NONE ||
                   (write.durability == QUARRY_KV_PROCESS && kv->log != NULL)
               ? QUARRY_OK
               : make_durable(kv, &write, error);
}
