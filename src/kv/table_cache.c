/*
 * Open tables, each in its file's `table`.
 *
 *     file->table ──> kv_open_table {references, is_used} ──> what `open` made
 *                        │ in a ring; a hand goes round
 *
 * A point read finds its table by two loads, inside the epoch, and counts nothing. Iterators and
 * compactions count.
 *
 * *Opening.* One thread opens a file's table, with no lock; who comes meanwhile waits on a word of
 * its own stack, and is given a reference, or the error. So a burst of readers on a cold file makes
 * one opening, not a hundred.
 *
 * *Closing.* At the bound the hand looks for a table that nobody counts and that was not used since
 * it last came by. It is taken from its file; who has found it before may still be inside the
 * epoch, so it waits in limbo for them to leave, and then loses the cache's reference. Whoever
 * drops the last one closes it.
 *
 * Invariants:
 *   1. A table in the ring is in its file's `table`, and has the cache's reference.
 *   2. A table in limbo is in no file, and has the cache's reference until its stamp is past.
 *   3. open_count is ring, limbo, and those that only others count.
 *   4. A file is in the list of openings at most once.
 *
 * The bound is one on what is kept: what is in use, or cannot be closed yet, may pass it.
 *
 * Locking: one mutex around ring, limbo and openings; nothing is opened, closed or waited for under
 * it. Rejected: shards; the lock is taken when a table is opened, not when it is used.
 */
#include <kv/table_cache.h>

#include <inttypes.h>

#include <quarry/epoch.h>

/* A thread that waits for another's opening; on its stack. */
struct waiter {
    struct waiter *next;
    struct kv_open_table *table; /* counted for it; NULL: it failed */
    enum quarry_status status;
    struct quarry_error *error;
    _Atomic uint32_t is_done;
};

/* An opening under way; on the stack of who opens. */
struct opening {
    struct opening *next;
    const struct kv_file *file;
    struct waiter *waiters;
};

struct kv_table_cache {
    struct kv_table_cache_options options; /* const */
    _Atomic uint32_t open_count;
    struct os_mutex mutex;
    /* guarded by mutex */
    struct kv_open_table *hand; /* in the ring; NULL: it is empty */
    struct kv_open_table *limbo, *limbo_last;
    struct opening *openings;
    struct kv_table_cache_stats stats;
};

/* ---- the ring ------------------------------------------------------------------------------- */

static void ring_insert(struct kv_table_cache *cache, struct kv_open_table *table)
{
    if (cache->hand == NULL) {
        table->next = table->previous = table;
        cache->hand = table;
        return;
    }
    /* Just behind the hand: it comes by last. */
    table->next = cache->hand;
    table->previous = cache->hand->previous;
    table->previous->next = table;
    table->next->previous = table;
}

static void ring_remove(struct kv_table_cache *cache, struct kv_open_table *table)
{
    if (table->next == table) {
        cache->hand = NULL;
    } else {
        table->previous->next = table->next;
        table->next->previous = table->previous;
        cache->hand = cache->hand == table ? table->next : cache->hand;
    }
    table->next = table->previous = NULL;
}

/* From the ring into limbo. */
static void detach_locked(struct kv_table_cache *cache, struct kv_open_table *table)
{
    ring_remove(cache, table);
    /* Relaxed: the stamp below says until when it may still be seen. */
    atomic_store_relaxed_ptr(&table->file->table, NULL);
    table->file = NULL;
    table->stamp = ref_epoch_now(cache->options.epoch);
    if (cache->limbo == NULL) {
        cache->limbo = table;
    } else {
        cache->limbo_last->next = table;
    }
    cache->limbo_last = table;
}

/* ---- closing -------------------------------------------------------------------------------- */

static void close_table(struct kv_open_table *table)
{
    struct kv_table_cache *cache = table->cache;

    cache->options.ops->close(cache->options.argument, table->table);
    kv_memory_give(cache->options.memory, table);
    /* Release: pairs with the acquire in kv_table_cache_destroy. */
    (void)atomic_sub_release_u32(&cache->open_count, 1);
}

void kv_open_table_release(struct kv_open_table *table)
{
    if (ref_count_release(&table->references)) {
        close_table(table);
    }
}

/* The oldest in limbo that nobody can find any more. NULL: none. */
static struct kv_open_table *take_past(struct kv_table_cache *cache, bool is_ending)
{
    os_mutex_lock(&cache->mutex);
    struct kv_open_table *table = cache->limbo;
    if (table != NULL && (is_ending || ref_epoch_is_past(cache->options.epoch, table->stamp))) {
        cache->limbo = table->next;
    } else {
        table = NULL;
    }
    os_mutex_unlock(&cache->mutex);
    return table;
}

static bool has_limbo(struct kv_table_cache *cache)
{
    os_mutex_lock(&cache->mutex);
    bool has = cache->limbo != NULL;
    os_mutex_unlock(&cache->mutex);
    return has;
}

void kv_table_cache_collect(struct kv_table_cache *cache)
{
    struct kv_open_table *table;

    if (!has_limbo(cache)) {
        return;
    }
    for (uint32_t i = 0; i < REF_EPOCH_ADVANCES; i++) {
        ref_epoch_advance(cache->options.epoch);
    }
    while ((table = take_past(cache, false)) != NULL) {
        kv_open_table_release(table);
    }
}

/* Whether the hand may take a table; it gives those that were used another round. */
static bool is_idle(struct kv_open_table *table)
{
    /* Relaxed: a hint. */
    if (atomic_exchange_relaxed_bool(&table->is_used, false)) {
        return false;
    }
    return ref_count_read(&table->references) == 1;
}

static uint32_t detach_idle(struct kv_table_cache *cache, uint32_t count)
{
    uint32_t detached = 0;

    os_mutex_lock(&cache->mutex);
    /* Relaxed: a bound on the steps. Two rounds find every table that is idle. */
    uint32_t step_max = 2 * atomic_load_relaxed_u32(&cache->open_count);
    for (uint32_t step = 0; step < step_max && cache->hand != NULL && detached < count; step++) {
        struct kv_open_table *table = cache->hand;
        cache->hand = table->next;
        if (is_idle(table)) {
            detach_locked(cache, table);
            detached++;
        }
    }
    cache->stats.evicted_count += detached;
    os_mutex_unlock(&cache->mutex);
    return detached;
}

uint32_t kv_table_cache_shrink(struct kv_table_cache *cache, uint32_t count)
{
    uint32_t detached = detach_idle(cache, count);

    kv_table_cache_collect(cache);
    return detached;
}

void kv_table_cache_forget(struct kv_table_cache *cache, struct kv_file *file)
{
    os_mutex_lock(&cache->mutex);
    struct kv_open_table *table = atomic_load_relaxed_ptr(&file->table); /* under the lock */
    if (table != NULL) {
        detach_locked(cache, table);
    }
    os_mutex_unlock(&cache->mutex);
}

/* ---- opening -------------------------------------------------------------------------------- */

static struct opening *find_opening(struct kv_table_cache *cache, const struct kv_file *file)
{
    struct opening *opening = cache->openings;

    while (opening != NULL && opening->file != file) {
        opening = opening->next;
    }
    return opening;
}

static void remove_opening(struct kv_table_cache *cache, struct opening *opening)
{
    struct opening **link = &cache->openings;

    while (*link != opening) {
        link = &(*link)->next;
    }
    *link = opening->next;
}

static enum quarry_status wait_for(struct waiter *waiter, struct kv_open_table **ret_table)
{
    /* Acquire: pairs with the release in tell. */
    while (atomic_load_acquire_u32(&waiter->is_done) == 0) {
        os_futex_wait(&waiter->is_done, 0, UINT64_MAX);
    }
    if (waiter->status == QUARRY_OK) {
        *ret_table = waiter->table;
    }
    return waiter->status;
}

/* `waiter`: has a reference already. Its stack may be gone as soon as it is told. */
static void tell(struct waiter *waiter, struct kv_open_table *table, enum quarry_status status,
                 const struct quarry_error *error)
{
    waiter->table = table;
    waiter->status = status;
    if (status != QUARRY_OK && waiter->error != NULL) {
        *waiter->error = *error;
    }
    /* Release: pairs with the acquire in wait_for. */
    atomic_store_release_u32(&waiter->is_done, 1);
    os_futex_wake(&waiter->is_done, 1);
}

static enum quarry_status make_table(struct kv_table_cache *cache, struct kv_file *file,
                                     struct kv_open_table **ret_table, struct quarry_error *error)
{
    struct kv_open_table *table = kv_memory_take(cache->options.memory, sizeof(*table));

    if (table == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "table %" PRIu64 ": no memory to open it",
                         file->number);
    }
    enum quarry_status status =
        cache->options.ops->open(cache->options.argument, file, &table->table, error);
    if (status != QUARRY_OK) {
        kv_memory_give(cache->options.memory, table);
        return status;
    }
    ref_count_init(&table->references); /* the cache's */
    atomic_store_relaxed_bool(&table->is_used, true);
    table->file = file;
    table->cache = cache;
    (void)atomic_add_relaxed_u32(&cache->open_count, 1);
    *ret_table = table;
    return QUARRY_OK;
}

/* Publishes what was opened. Returns: those who waited, each with a reference if it is there. */
static struct waiter *publish(struct kv_table_cache *cache, struct opening *opening,
                              struct kv_file *file, struct kv_open_table *table)
{
    os_mutex_lock(&cache->mutex);
    remove_opening(cache, opening);
    if (table != NULL) {
        ref_count_acquire(&table->references); /* the caller's */
        for (struct waiter *waiter = opening->waiters; waiter != NULL; waiter = waiter->next) {
            ref_count_acquire(&table->references);
        }
        ring_insert(cache, table);
        cache->stats.opened_count++;
        /* Release: pairs with the acquire in kv_open_table_peek. */
        atomic_store_release_ptr(&file->table, table);
    }
    os_mutex_unlock(&cache->mutex);
    return opening->waiters;
}

static enum quarry_status open_table(struct kv_table_cache *cache, struct opening *opening,
                                     struct kv_file *file, struct kv_open_table **ret_table,
                                     struct quarry_error *error)
{
    struct kv_open_table *table = NULL;
    struct quarry_error own_error = {0};

    /* Relaxed: a bound that may be passed by a few. */
    if (atomic_load_relaxed_u32(&cache->open_count) >= cache->options.open_max) {
        (void)kv_table_cache_shrink(cache, 1);
    }
    enum quarry_status status = make_table(cache, file, &table, &own_error);
    struct waiter *waiter = publish(cache, opening, file, table), *next;
    for (; waiter != NULL; waiter = next) {
        next = waiter->next;
        tell(waiter, table, status, &own_error);
    }
    if (status != QUARRY_OK) {
        if (error != NULL) {
            *error = own_error;
        }
        return status;
    }
    *ret_table = table;
    return QUARRY_OK;
}

/* Under the lock a table of the ring keeps the cache's reference. */
static struct kv_open_table *acquire_locked(struct kv_file *file)
{
    struct kv_open_table *table = atomic_load_relaxed_ptr(&file->table);

    if (table != NULL) {
        ref_count_acquire(&table->references);
        atomic_store_relaxed_bool(&table->is_used, true); /* a hint */
    }
    return table;
}

static enum quarry_status acquire_slow(struct kv_table_cache *cache, struct kv_file *file,
                                       struct kv_open_table **ret_table, struct quarry_error *error)
{
    struct waiter waiter = {.error = error};
    struct opening own = {.file = file};

    os_mutex_lock(&cache->mutex);
    struct kv_open_table *table = acquire_locked(file);
    struct opening *opening = table == NULL ? find_opening(cache, file) : NULL;
    if (opening != NULL) {
        waiter.next = opening->waiters;
        opening->waiters = &waiter;
        cache->stats.waited_count++;
    } else if (table == NULL) {
        own.next = cache->openings;
        cache->openings = &own;
    }
    os_mutex_unlock(&cache->mutex);
    if (table != NULL) {
        *ret_table = table;
        return QUARRY_OK;
    }
    return opening != NULL ? wait_for(&waiter, ret_table)
                           : open_table(cache, &own, file, ret_table, error);
}

enum quarry_status kv_open_table_acquire(struct kv_table_cache *cache, struct kv_file *file,
                                         struct kv_open_table **ret_table,
                                         struct quarry_error *error)
{
    bool is_acquired = false;

    quarry_epoch_enter(cache->options.epoch);
    /* Acquire: pairs with the release in publish. */
    struct kv_open_table *table = atomic_load_acquire_ptr(&file->table);
    if (table != NULL) {
        is_acquired = ref_count_try_acquire(&table->references);
    }
    if (is_acquired) {
        atomic_store_relaxed_bool(&table->is_used, true); /* a hint */
    }
    quarry_epoch_leave(cache->options.epoch);
    if (is_acquired) {
        *ret_table = table;
        return QUARRY_OK;
    }
    return acquire_slow(cache, file, ret_table, error);
}

/* ---- the cache ------------------------------------------------------------------------------ */

enum quarry_status kv_table_cache_create(const struct kv_table_cache_options *options,
                                         struct kv_table_cache **ret_cache)
{
    struct kv_table_cache *cache = kv_memory_take(options->memory, sizeof(*cache));

    Q_ASSERT(options->open_max != 0);
    if (cache == NULL) {
        return QUARRY_NO_MEMORY;
    }
    cache->options = *options;
    os_mutex_init(&cache->mutex, OS_RANK_KV_TABLES, 0);
    *ret_cache = cache;
    return QUARRY_OK;
}

void kv_table_cache_destroy(struct kv_table_cache *cache)
{
    struct kv_open_table *table;

    if (cache == NULL) {
        return;
    }
    os_mutex_lock(&cache->mutex);
    while (cache->hand != NULL) {
        detach_locked(cache, cache->hand);
    }
    os_mutex_unlock(&cache->mutex);
    while ((table = take_past(cache, true)) != NULL) {
        kv_open_table_release(table);
    }
    /* Acquire: pairs with the release in close_table. */
    Q_ASSERT_MSG(atomic_load_acquire_u32(&cache->open_count) == 0, "a table is still held");
    kv_memory_give(cache->options.memory, cache);
}

void kv_table_cache_read_stats(struct kv_table_cache *cache, struct kv_table_cache_stats *ret_stats)
{
    os_mutex_lock(&cache->mutex);
    *ret_stats = cache->stats;
    os_mutex_unlock(&cache->mutex);
    /* Relaxed: a figure. */
    ret_stats->open_count = atomic_load_relaxed_u32(&cache->open_count);
}
