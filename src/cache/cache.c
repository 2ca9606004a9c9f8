/*
 * A cache as a whole: made of a lane, an account, an epoch domain, a slab and tenants; its clock;
 * its thread.
 *
 *   memory_lane   struct quarry_cache │ tenants, tables, queues …      structures
 *   lane          pages of cells                                       the same, or over a file
 *   account       charged for both: what the budget sees
 *
 * Creating goes from the ground up, and undoes itself in the reverse order where it fails; closing
 * is the same undoing. Items are not looked at when it ends: their pages go whole, or stay in the
 * file as they are.
 *
 * The clock is the wall's at creation, moved on by the monotonic one: steps of the wall clock do
 * not make items expire. It is read in turns and by who shifts it, not by requests, for whom `now`
 * is a load. Before a new second is shown, flushes that were due by it have begun.
 *
 * The thread does what quarry_cache_turn does, and rests for TURN_REST_NS when there is nothing to
 * do. It ends before anything else does.
 */
#include <quarry/cache.h>

#include <stdio.h>
#include <string.h>

#include <cache/account.h>
#include <cache/policy.h>
#include <cache/tenant.h>
#include <cache/types.h>
#include <cache/warm.h>

#define NAME_DEFAULT   "cache"
#define SIZE_MIN_BYTES Q_MIB(1)
#define STRIPES_MAX    64u
/* Between turns with nothing to do: an item is found expired, and memory free, as much later. */
#define TURN_REST_NS UINT64_C(20000000)
#define NS_PER_S     UINT64_C(1000000000)
/* Tenants whose index a turn looks at. */
#define TENANTS_A_TURN 16u

/* ---- clock ---------------------------------------------------------------------------------- */

void cache_clock_tick(struct quarry_cache *cache)
{
    uint64_t passed_s = (os_monotonic_ns(cache->os) - cache->monotonic_base_ns) / NS_PER_S;
    int64_t shift_s = atomic_load_relaxed_i64(&cache->clock_shift_s);
    uint32_t now = (uint32_t)((int64_t)(cache->wall_base_s + passed_s) + shift_s);

    if (now != cache_now(cache)) {
        quarry_epoch_enter(cache->epoch);
        cache_tenants_flush_due(cache, now);
        quarry_epoch_leave(cache->epoch);
        atomic_store_release_u32(&cache->now, now);
    }
}

uint32_t quarry_cache_now(const struct quarry_cache *cache)
{
    return cache_now(cache);
}

void quarry_cache_shift_clock(struct quarry_cache *cache, int64_t seconds)
{
    (void)atomic_add_relaxed_i64(&cache->clock_shift_s, seconds);
    cache_clock_tick(cache);
}

void cache_wait_for_readers(struct quarry_cache *cache)
{
    uint64_t stamp = ref_epoch_now(cache->epoch);

    for (;;) {
        ref_epoch_advance(cache->epoch);
        if (ref_epoch_is_past(cache->epoch, stamp)) {
            return;
        }
        os_yield();
    }
}

/* ---- turns ---------------------------------------------------------------------------------- */

/* Lets the indexes of some tenants grow, the next ones each time. */
static bool turn_indexes(struct quarry_cache *cache)
{
    uint32_t limit = atomic_load_acquire_u32(&cache->tenant_limit);
    bool is_more = false;

    for (uint32_t i = 0; i < TENANTS_A_TURN && i < limit; i++) {
        uint32_t id = cache->turn_tenant < limit ? cache->turn_tenant : 0;
        struct quarry_cache_tenant *tenant = cache_tenant_of(cache, id);
        is_more |= tenant != NULL && cache_index_turn(tenant);
        cache->turn_tenant = id + 1;
    }
    return is_more;
}

bool quarry_cache_turn(struct quarry_cache *cache)
{
    if (!os_mutex_try_lock(&cache->turn_mutex)) {
        return false;
    }
    cache_clock_tick(cache);
    cache_warm_tick(cache);
    bool is_more = turn_indexes(cache);
    is_more |= cache_policy_turn(cache);
    os_mutex_unlock(&cache->turn_mutex);
    return is_more;
}

void cache_wake(struct quarry_cache *cache)
{
    uint32_t expected = CACHE_THREAD_REST;

    if (atomic_load_relaxed_u32(&cache->thread_word) == CACHE_THREAD_REST &&
        atomic_cas_relaxed_u32(&cache->thread_word, &expected, CACHE_THREAD_WAKE)) {
        os_futex_wake(&cache->thread_word, 1);
    }
}

static void thread_run(void *argument)
{
    struct quarry_cache *cache = argument;

    for (;;) {
        uint32_t expected = CACHE_THREAD_WAKE;
        (void)atomic_cas_relaxed_u32(&cache->thread_word, &expected, CACHE_THREAD_REST);
        if (expected == CACHE_THREAD_END) {
            return;
        }
        if (!quarry_cache_turn(cache)) {
            os_futex_wait(&cache->thread_word, CACHE_THREAD_REST, TURN_REST_NS);
        }
    }
}

static enum quarry_status thread_start(struct quarry_cache *cache)
{
    uint64_t page_count = OS_THREAD_STACK_BYTES / QUARRY_PAGE_BYTES;
    enum quarry_status status =
        quarry_account_pages_alloc(cache->account, cache->memory_lane, page_count, &cache->stack);

    return status != QUARRY_OK ? status
                               : os_thread_start(&cache->thread, "quarry-cache", cache->stack,
                                                 OS_THREAD_STACK_BYTES, thread_run, cache);
}

static void thread_stop(struct quarry_cache *cache)
{
    if (cache->thread.is_started) {
        atomic_store_relaxed_u32(&cache->thread_word, CACHE_THREAD_END);
        os_futex_wake(&cache->thread_word, 1);
        os_thread_join(&cache->thread);
    }
    if (cache->stack != NULL) {
        quarry_account_pages_free(cache->account, cache->memory_lane, cache->stack);
        cache->stack = NULL;
    }
}

/* ---- creating ------------------------------------------------------------------------------- */

static uint32_t stripe_count_of(void)
{
    struct os_machine machine;
    uint32_t count = 1;

    os_machine_read("", &machine);
    while (count < STRIPES_MAX && count < 2 * machine.cpu_count) {
        count *= 2;
    }
    return count;
}

static uint64_t size_of(struct quarry_memory *memory, const struct quarry_cache_options *options)
{
    struct quarry_ledger ledger;

    if (options->size_bytes != 0) {
        return options->size_bytes;
    }
    (void)quarry_memory_ledger(memory, &ledger, NULL, 0);
    return ledger.limit_bytes;
}

/* The name that an account of this name and parent has. False: it is too long. */
static bool full_name_of(const struct quarry_cache_options *options, char *ret_name)
{
    struct quarry_account_state parent = {0};

    if (options->parent != NULL) {
        quarry_account_read(options->parent, &parent);
    }
    int length = snprintf(ret_name, QUARRY_NAME_BYTES, "%s%s%s", parent.name,
                          parent.name[0] == 0 ? "" : ".", options->name);
    return length > 0 && length < QUARRY_NAME_BYTES;
}

static enum quarry_status check(const struct quarry_cache_options *options, char *ret_name,
                                struct quarry_error *error)
{
    if (options->name[0] == 0 || !full_name_of(options, ret_name)) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "cache: a name has 1 to %d bytes, its parents' included",
                         QUARRY_NAME_BYTES - 1);
    }
    if (options->size_bytes != 0 && options->size_bytes < SIZE_MIN_BYTES) {
        return error_set(error, QUARRY_BAD_INPUT, "cache '%s': %llu bytes, at least %llu", ret_name,
                         (unsigned long long)options->size_bytes,
                         (unsigned long long)SIZE_MIN_BYTES);
    }
    if (options->value_bytes_max > QUARRY_CACHE_VALUE_BYTES_MAX) {
        return error_set(error, QUARRY_BAD_INPUT, "cache '%s': values of %llu bytes, at most %llu",
                         ret_name, (unsigned long long)options->value_bytes_max,
                         (unsigned long long)QUARRY_CACHE_VALUE_BYTES_MAX);
    }
    if (options->tenants_max > CACHE_TENANTS_MAX) {
        return error_set(error, QUARRY_BAD_INPUT, "cache '%s': %u tenants, at most %u", ret_name,
                         options->tenants_max, CACHE_TENANTS_MAX);
    }
    return QUARRY_OK;
}

/* The lane, and in it the cache with its table of tenants, all zero. */
static enum quarry_status take_pages(struct quarry_memory *memory, const char *name,
                                     uint32_t tenants_max, struct quarry_cache **ret_cache,
                                     struct quarry_error *error)
{
    size_t bytes = sizeof(struct quarry_cache) + tenants_max * sizeof(void *);
    uint64_t page_count = (bytes + QUARRY_PAGE_BYTES - 1) / QUARRY_PAGE_BYTES;
    struct quarry_lane_options lane_options = {.name = name, .wants_huge_pages = true};
    struct quarry_lane *lane = NULL;
    void *base = NULL;
    uint32_t owner = 0;

    enum quarry_status status = quarry_memory_owner(memory, name, &owner);
    if (status != QUARRY_OK) {
        return error_set(error, status, "cache '%s': no owner", name);
    }
    status = quarry_lane_create(memory, &lane_options, &lane, error);
    if (status != QUARRY_OK) {
        return status;
    }
    status = quarry_pages_alloc(lane, owner, page_count, &base);
    if (status != QUARRY_OK) {
        quarry_lane_destroy(lane);
        return error_set(error, status, "cache '%s': no memory for %u tenants", name, tenants_max);
    }
    memset(base, 0, page_count * QUARRY_PAGE_BYTES);
    struct quarry_cache *cache = base;
    cache->heap = memory;
    cache->memory_lane = lane;
    cache->own_bytes = page_count * QUARRY_PAGE_BYTES;
    cache->tenants_max = tenants_max;
    cache->tenant = (_Atomic(void *) *)(void *)(cache + 1);
    memcpy(cache->name, name, strlen(name) + 1);
    *ret_cache = cache;
    return QUARRY_OK;
}

static void set_options(struct quarry_cache *cache, const struct quarry_cache_options *options)
{
    uint64_t value_bytes_max =
        options->value_bytes_max != 0 ? options->value_bytes_max : QUARRY_CACHE_VALUE_BYTES_DEFAULT;

    cache->os = ((struct page_heap *)cache->heap)->os;
    cache->observe = options->observe;
    cache->observe_argument = options->argument;
    cache->never_evicts = options->never_evicts;
    cache->has_no_thread = options->has_no_thread;
    cache->floor_bytes = options->floor_bytes;
    cache->stripe_count = stripe_count_of();
    cache->wall_base_s = os_wall_ns(cache->os) / NS_PER_S;
    cache->monotonic_base_ns = os_monotonic_ns(cache->os);
    atomic_store_relaxed_u64(&cache->size_bytes, size_of(cache->heap, options));
    atomic_store_relaxed_u64(&cache->value_bytes_max, value_bytes_max);
    os_mutex_init(&cache->memory.mutex, OS_RANK_CACHE_MEMORY, 0);
    os_mutex_init(&cache->tenants_mutex, OS_RANK_CACHE_TENANTS, 0);
    os_mutex_init(&cache->turn_mutex, OS_RANK_CACHE_TURN, 0);
}

static enum quarry_status make_slab(struct quarry_cache *cache, struct quarry_error *error)
{
    struct quarry_slab_options options = {
        .name = cache->name, .account = cache->account, .epoch = cache->epoch, .is_fine = true};

    cache_warm_slab_options(cache, &options);
    return quarry_slab_create(cache->heap, &options, &cache->slab, error);
}

/* All parts, from the ground up. What was made stays where it fails: see unmake. */
static enum quarry_status make_parts(struct quarry_cache *cache,
                                     const struct quarry_cache_options *options,
                                     struct quarry_error *error)
{
    struct quarry_cache_tenant_options by_default = {.name = "default"};
    enum quarry_status status = cache_account_init(cache, options, error);

    if (status == QUARRY_OK) {
        status = quarry_epoch_create(cache->heap, &cache->epoch);
    }
    if (status == QUARRY_OK) {
        cache_clock_tick(cache);
        status = cache_warm_open(cache, options, error);
    }
    if (status == QUARRY_OK) {
        status = make_slab(cache, error);
    }
    if (status == QUARRY_OK) {
        status = cache_policy_init(cache);
    }
    if (status == QUARRY_OK) {
        status = quarry_cache_add_tenant(cache, &by_default, &cache->default_tenant, error);
    }
    if (status == QUARRY_OK) {
        Q_ASSERT(cache->default_tenant->id == 0);
        status = cache_warm_recover(cache, options->recovery_threads, error);
    }
    if (status == QUARRY_OK) {
        status = quarry_slab_add_size(cache->slab, CACHE_EXTENT_BYTES);
    }
    if (status == QUARRY_OK && !cache->has_no_thread) {
        status = thread_start(cache);
    }
    return status;
}

/* Whatever has been made of it. */
static void unmake(struct quarry_cache *cache)
{
    struct quarry_lane *lane = cache->memory_lane;

    thread_stop(cache);
    if (cache->account != NULL) {
        cache_account_stop(cache);
    }
    cache_tenants_destroy(cache);
    if (cache->policy != NULL) {
        cache_policy_fini(cache);
    }
    cache_warm_close(cache);
    quarry_epoch_destroy(cache->epoch);
    if (cache->account != NULL) {
        /* Pages that small pieces were cut from go with the lane. */
        quarry_account_uncharge(cache->account,
                                atomic_load_relaxed_u64(&cache->memory.taken_bytes));
        cache_account_fini(cache);
    }
    quarry_lane_destroy(lane);
}

enum quarry_status quarry_cache_create(struct quarry_memory *memory,
                                       const struct quarry_cache_options *options,
                                       struct quarry_cache **ret_cache, struct quarry_error *error)
{
    struct quarry_cache_options plan =
        options != NULL ? *options : (struct quarry_cache_options){0};
    struct quarry_cache *cache = NULL;
    char name[QUARRY_NAME_BYTES];

    plan.name = plan.name != NULL ? plan.name : NAME_DEFAULT;
    plan.tenants_max = plan.tenants_max != 0 ? plan.tenants_max : CACHE_TENANTS_DEFAULT;
    enum quarry_status status = check(&plan, name, error);
    if (status == QUARRY_OK) {
        status = take_pages(memory, name, plan.tenants_max, &cache, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    set_options(cache, &plan);
    if (error != NULL) {
        error->status = QUARRY_OK;
    }
    status = make_parts(cache, &plan, error);
    if (status != QUARRY_OK) {
        unmake(cache);
        if (error != NULL && error->status == QUARRY_OK) {
            (void)error_set(error, status, "cache '%s' could not be made: %s", name,
                            quarry_status_name(status));
        }
        return status;
    }
    cache_account_start(cache);
    *ret_cache = cache;
    return QUARRY_OK;
}

void quarry_cache_close(struct quarry_cache *cache)
{
    if (cache != NULL) {
        unmake(cache);
    }
}

void quarry_cache_read_recovery(const struct quarry_cache *cache,
                                struct quarry_cache_recovery *ret_recovery)
{
    *ret_recovery = cache->recovery;
}

/* ---- sizes ---------------------------------------------------------------------------------- */

enum quarry_status quarry_cache_set_size(struct quarry_cache *cache, uint64_t size_bytes)
{
    if (size_bytes < SIZE_MIN_BYTES) {
        return QUARRY_BAD_INPUT;
    }
    return cache_account_set_size(cache, size_bytes);
}

enum quarry_status quarry_cache_set_value_bytes_max(struct quarry_cache *cache,
                                                    uint64_t value_bytes_max)
{
    if (value_bytes_max == 0 || value_bytes_max > QUARRY_CACHE_VALUE_BYTES_MAX) {
        return QUARRY_BAD_INPUT;
    }
    atomic_store_relaxed_u64(&cache->value_bytes_max, value_bytes_max);
    return QUARRY_OK;
}
