/*
 * The threads of background work, and who sleeps when.
 *
 *     writers, flushes   ── wakes ──>    workers       sleep while there is nothing to do
 *     workers            ── changes ──>  waiters       sleep until lists are others
 *
 * Workers sleep on a word that counts wishes, waiters on one that counts changes. Who sleeps has
 * read the word before he looked, and says so before he sleeps; who changes something counts, and
 * then looks whether somebody sleeps. Both are sequentially consistent, so one of the two sees the
 * other (invariant 1).
 *
 * Before it looks for work each worker sees to it that the next log is ready, for which a writer
 * that rotates would have to wait (log_set.c).
 *
 * Once a second the first worker syncs the log, so that a loss of power costs a second of writes at
 * most that asked for no more; bounds the logs; removes what readers have left; and looks at the
 * disk's space where that is short.
 *
 * Workers run behind the process's other threads (os_thread_step_back): where there are as many of
 * both as CPUs a writer would else wait for a worker's time slice, some milliseconds. Writers that
 * use all CPUs do not starve them: they are paced, or wait, for what is not flushed.
 *
 * Closing: `is_closing` is set, and workers are woken: compactions end at their next entry, and a
 * flush at its end.
 *
 * Invariants:
 *   1. No wake-up is lost: see above.
 *
 * Locking: none; the words are atomic. Memory: a stack for each thread, of the store's lane.
 */
#include <kv/background_parts.h>

#include <quarry/memory.h>

#include <kv/commit.h>
#include <kv/log_set.h>
#include <kv/throttle.h>

/* Waiters look again, for what is not told: that a store is being closed. */
#define WAIT_NS UINT64_C(100000000)
/* Pieces of work that fail one after the other before waiting for them ends. */
#define WAIT_FAILURES_MAX 5u
/* The same where it is memory that they are refused: as long as a write waits for memory. */
#define WAIT_MEMORY_NS UINT64_C(10000000000)

/* ---- waking --------------------------------------------------------------------------------- */

static void ring(_Atomic uint32_t *word, const _Atomic uint32_t *sleepers)
{
    (void)atomic_add_seq_cst_u32(word, 1);
    /* Sequentially consistent, as is who counts himself and then reads the word: invariant 1. */
    if (atomic_load_seq_cst_u32(sleepers) != 0) {
        os_futex_wake(word, UINT32_MAX);
    }
}

static void sleep_on(_Atomic uint32_t *word, _Atomic uint32_t *sleepers, uint32_t seen,
                     uint64_t timeout_ns)
{
    (void)atomic_add_seq_cst_u32(sleepers, 1);
    if (atomic_load_seq_cst_u32(word) == seen) {
        os_futex_wait(word, seen, timeout_ns);
    }
    (void)atomic_sub_seq_cst_u32(sleepers, 1);
}

void kv_background_wake(struct quarry_kv *kv)
{
    if (kv->background != NULL) {
        ring(&kv->background->wakes, &kv->background->sleepers);
    }
}

void kv_background_changed(struct quarry_kv *kv)
{
    ring(&kv->background->changes, &kv->background->waiters);
    kv_background_wake(kv);
}

uint64_t kv_background_changes(struct quarry_kv *kv)
{
    /* Acquire: pairs with the count in `ring`. */
    return kv->background == NULL ? 0 : atomic_load_acquire_u32(&kv->background->changes);
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* Memory comes free when others end, which failures do not count. */
static bool lasts(const struct kv_trouble *trouble, uint64_t now_ns)
{
    return trouble->status == QUARRY_NO_MEMORY
               ? sat_sub_u64(now_ns, trouble->since_ns) >= WAIT_MEMORY_NS
               : trouble->run >= WAIT_FAILURES_MAX;
}

static bool is_hopeless(struct quarry_kv *kv)
{
    uint64_t now_ns = kv_now_ns(kv);

    os_mutex_lock(&kv->mutex);
    const struct kv_trouble *trouble = kv->background->trouble;
    bool is = kv->background->is_corrupt || lasts(&trouble[KV_TROUBLE_FLUSH], now_ns) ||
              (kv->immutable_count == 0 && lasts(&trouble[KV_TROUBLE_COMPACT], now_ns));
    os_mutex_unlock(&kv->mutex);
    return is;
}

bool kv_background_wait(struct quarry_kv *kv, uint64_t seen)
{
    struct kv_background *background = kv->background;

    if (background == NULL || atomic_load_relaxed_bool(&kv->is_closing)) {
        return false;
    }
    if (kv_background_changes(kv) != seen) {
        return true;
    }
    if (kv->options.is_stepped) {
        return kv_background_step(kv);
    }
    if (is_hopeless(kv)) {
        return false;
    }
    sleep_on(&background->changes, &background->waiters, (uint32_t)seen, WAIT_NS);
    return true;
}

/* ---- threads -------------------------------------------------------------------------------- */

static void sync_log(struct quarry_kv *kv)
{
    os_mutex_lock(&kv->commit_mutex);
    uint64_t number = kv->log == NULL ? 0 : kv_log_set_number(kv->log);
    os_mutex_unlock(&kv->commit_mutex);
    if (number != 0 && kv_log_set_sync(kv->log, number, UINT64_MAX, NULL) != QUARRY_OK) {
        kv_commit_log_failed(kv);
    }
}

/* Logs that have become too long, of what is not in memtables as well: they end with the memtable.
 */
static void bound_logs(struct quarry_kv *kv)
{
    struct kv_log_set_stats stats;

    if (kv->log == NULL) {
        return;
    }
    kv_log_set_read_stats(kv->log, &stats);
    os_mutex_lock(&kv->mutex);
    bool may_rotate = kv->immutable_count == 0;
    os_mutex_unlock(&kv->mutex);
    if (may_rotate && stats.live_bytes > kv->options.log_bytes_max) {
        kv_try_rotate(kv);
    }
}

/* Once a second, by the first worker. */
static void tick(struct kv_worker *worker, uint64_t *last_ns)
{
    struct quarry_kv *kv = worker->background->kv;
    uint64_t now_ns = kv_now_ns(kv);

    if (worker != &worker->background->workers[0] || now_ns - *last_ns < KV_TICK_NS) {
        return;
    }
    *last_ns = now_ns;
    sync_log(kv);
    bound_logs(kv);
    kv_files_collect(kv);
    if (kv_space_is_low(kv)) {
        kv_space_look(kv);
    }
}

static void run_worker(void *argument)
{
    struct kv_worker *worker = argument;
    struct kv_background *background = worker->background;
    struct quarry_kv *kv = background->kv;
    uint64_t last_ns = kv_now_ns(kv);

    os_thread_step_back();
    for (;;) {
        uint64_t wait_ns;
        bool is_done;
        /* Acquire: pairs with the count in `ring`: read before the lists are. */
        uint32_t seen = atomic_load_acquire_u32(&background->wakes);
        if (atomic_load_relaxed_bool(&kv->is_closing)) {
            return;
        }
        if (kv->log != NULL && kv_may_write(kv, NULL) == QUARRY_OK) {
            kv_log_set_prepare_ahead(kv->log); /* who rotates wakes workers */
        }
        tick(worker, &last_ns);
        if (!kv_background_try(kv, &is_done, &wait_ns)) {
            sleep_on(&background->wakes, &background->sleepers, seen, wait_ns);
        }
    }
}

static enum quarry_status start_worker(struct kv_background *background, struct kv_worker *worker)
{
    struct quarry_kv *kv = background->kv;
    uint64_t page_count = OS_THREAD_STACK_BYTES / QUARRY_PAGE_BYTES;

    worker->background = background;
    enum quarry_status status =
        quarry_account_pages_alloc(kv->part[KV_PART_META], kv->lane, page_count, &worker->stack);
    if (status != QUARRY_OK) {
        return status;
    }
    status = os_thread_start(&worker->thread, "quarry-kv", worker->stack, OS_THREAD_STACK_BYTES,
                             run_worker, worker);
    if (status != QUARRY_OK) {
        quarry_account_pages_free(kv->part[KV_PART_META], kv->lane, worker->stack);
        return status;
    }
    background->worker_count++;
    return QUARRY_OK;
}

static enum quarry_status start_workers(struct kv_background *background)
{
    uint32_t count = background->kv->options.background_count + 1;
    enum quarry_status status = QUARRY_OK;

    count = count > KV_WORKERS_MAX ? KV_WORKERS_MAX : count;
    for (uint32_t i = 0; i < count && status == QUARRY_OK; i++) {
        status = start_worker(background, &background->workers[i]);
    }
    /* One does all the work, if more cannot be had. */
    return background->worker_count != 0 ? QUARRY_OK : status;
}

enum quarry_status kv_background_start(struct quarry_kv *kv, struct quarry_error *error)
{
    struct kv_background *background =
        kv_memory_take(&kv->small[KV_PART_META], sizeof(*background));
    enum quarry_status status = QUARRY_NO_MEMORY;

    if (background != NULL) {
        background->kv = kv;
        background->narrow_files = KV_NARROW_FILES;
        background->dice = kv->options.step_seed | UINT64_C(0x9e3779b900000001);
        background->wants_sweep = true;
        status = kv->throttle == NULL ? kv_throttle_create(kv, &kv->throttle) : QUARRY_OK;
        kv->background = background;
    }
    if (status == QUARRY_OK && !kv->is_read_only) {
        os_mutex_lock(&kv->mutex);
        kv_throttle_look(kv);
        os_mutex_unlock(&kv->mutex);
        kv_space_look(kv);
    }
    if (status == QUARRY_OK && !kv->is_read_only && !kv->options.is_stepped) {
        status = start_workers(background);
    }
    if (status != QUARRY_OK) {
        kv_background_stop(kv);
        return error_set(error, status, "%s: background work could not be started", kv->path);
    }
    return QUARRY_OK;
}

static void stop_workers(struct kv_background *background)
{
    struct quarry_kv *kv = background->kv;

    atomic_store_seq_cst_bool(&kv->is_closing, true);
    kv_background_wake(kv);
    for (uint32_t i = 0; i < background->worker_count; i++) {
        os_thread_join(&background->workers[i].thread);
        quarry_account_pages_free(kv->part[KV_PART_META], kv->lane, background->workers[i].stack);
    }
    background->worker_count = 0;
}

void kv_background_stop(struct quarry_kv *kv)
{
    struct kv_background *background = kv->background;
    struct kv_memory *memory = &kv->small[KV_PART_META];

    if (background == NULL) {
        return;
    }
    stop_workers(background);
    if (!kv->is_read_only) {
        kv_files_collect(kv); /* what the last piece of work has left */
    }
    for (uint32_t i = 0; i < background->hint_count; i++) {
        kv_memory_give(memory, background->hints[i].bytes);
    }
    kv_memory_give(memory, background->undecided);
    kv_memory_give(memory, background);
    kv->background = NULL;
    kv_throttle_destroy(kv->throttle);
    kv->throttle = NULL;
}
