/*
 * A cache: made of shards over one slab, one lane, one account.
 *
 *     | struct quarry_block_cache | shards … | stripes of counts … |      one run of pages
 *       ├─ account "store.name"     charged for all that follows
 *       ├─ lane                     of the same name: blocks and their tables die with the cache
 *       ├─ slab                     blocks up to 512 KiB
 *       ├─ epoch                    lookups without a lock
 *       └─ leaks                    who holds blocks
 *
 * The shard of a key is the upper half of its hash times their count: any count will do.
 *
 * Creating: the account's functions get the cache as their argument, so the cache's pages are
 * taken before its account is there, for the owner that the account will have, and charged when it
 * is. The account is paused until all is made, and from the beginning of closing on.
 *
 * Closing takes everything out of the shards, then looks for blocks that are left: those are held
 * by somebody, who would be left with a pointer to nothing. They are told, and the cache stays.
 */
#include <block/cache.h>

#include <stdio.h>
#include <string.h>

#include <page/page.h>

#define CAPACITY_DEFAULT ((uint64_t)8 << 20)
#define SHARDS_MAX       1024u
#define SHARD_BYTES_MIN  ((uint64_t)4 << 20)
#define ONE_SHARD_BELOW  ((uint64_t)16 << 20)
#define SHARDS_PER_CPU   4u
#define STRIPES_MIN      8u
#define CLEAR_STEP       64u

/* Payloads that files are made of, each to have cells of its own. */
static const size_t usual_payloads[] = {4096, 8192, 16384, 32768};

/* ---- how large, and how many ---------------------------------------------------------------- */

static uint32_t shard_count_of(const struct quarry_block_cache_options *options,
                               uint64_t capacity_bytes, uint32_t cpu_count)
{
    uint64_t count = (uint64_t)SHARDS_PER_CPU * cpu_count;

    if (options->shard_count != 0) {
        count = options->shard_count;
    } else if (capacity_bytes < ONE_SHARD_BELOW) {
        count = 1;
    } else if (count > capacity_bytes / SHARD_BYTES_MIN) {
        count = capacity_bytes / SHARD_BYTES_MIN;
    }
    return count > SHARDS_MAX ? SHARDS_MAX : (uint32_t)count;
}

static uint32_t stripe_count_of(uint32_t cpu_count)
{
    uint32_t count = STRIPES_MIN;

    while (count < BLOCK_STRIPES_MAX && count < SHARDS_PER_CPU * cpu_count) {
        count *= 2;
    }
    return count;
}

/* The name that an account of this name and parent has. False: it is too long. */
static bool full_name_of(const struct quarry_block_cache_options *options, char *ret_name)
{
    struct quarry_account_state parent = {0};

    if (options->parent != NULL) {
        quarry_account_read(options->parent, &parent);
    }
    int length = snprintf(ret_name, QUARRY_NAME_BYTES, "%s%s%s", parent.name,
                          parent.name[0] == 0 ? "" : ".", options->name);
    return length > 0 && length < QUARRY_NAME_BYTES;
}

/* ---- creating ------------------------------------------------------------------------------- */

/* What a cache is made from. */
struct plan {
    const struct quarry_block_cache_options *options;
    char name[QUARRY_NAME_BYTES];
    uint64_t capacity_bytes;
    uint32_t shard_count;
    uint32_t stripe_count;
};

static enum quarry_status plan_make(const struct quarry_block_cache_options *options,
                                    struct plan *ret_plan, struct quarry_error *error)
{
    struct os_machine machine;
    struct plan plan = {.options = options};

    if (options == NULL || options->name == NULL || options->name[0] == 0 ||
        !full_name_of(options, plan.name)) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "block cache: a name has 1 to %d bytes, its parents' included",
                         QUARRY_NAME_BYTES - 1);
    }
    if (options->shard_count > SHARDS_MAX) {
        return error_set(error, QUARRY_BAD_INPUT, "block cache '%s': %u shards, at most %u",
                         plan.name, options->shard_count, SHARDS_MAX);
    }
    os_machine_read("", &machine);
    plan.capacity_bytes = options->capacity_bytes == 0 ? CAPACITY_DEFAULT : options->capacity_bytes;
    plan.shard_count = shard_count_of(options, plan.capacity_bytes, machine.cpu_count);
    plan.stripe_count = stripe_count_of(machine.cpu_count);
    *ret_plan = plan;
    return QUARRY_OK;
}

/* The lane, and in it the cache with its shards and stripes, all zero. */
static enum quarry_status take_pages(struct quarry_memory *memory, const struct plan *plan,
                                     struct quarry_block_cache **ret_cache,
                                     struct quarry_error *error)
{
    size_t bytes = sizeof(struct quarry_block_cache) +
                   plan->shard_count * sizeof(struct block_shard) +
                   plan->stripe_count * sizeof(struct block_stripe);
    uint64_t page_count = (bytes + QUARRY_PAGE_BYTES - 1) / QUARRY_PAGE_BYTES;
    struct quarry_lane_options lane_options = {.name = plan->name, .wants_huge_pages = true};
    struct quarry_lane *lane = NULL;
    void *base = NULL;
    uint32_t owner = 0;

    enum quarry_status status = quarry_memory_owner(memory, plan->name, &owner);
    if (status != QUARRY_OK) {
        return error_set(error, status, "block cache '%s': no owner", plan->name);
    }
    status = quarry_lane_create(memory, &lane_options, &lane, error);
    if (status != QUARRY_OK) {
        return status;
    }
    status = quarry_pages_alloc(lane, owner, page_count, &base);
    if (status != QUARRY_OK) {
        quarry_lane_destroy(lane);
        return error_set(error, status, "block cache '%s': no memory for %u shards", plan->name,
                         plan->shard_count);
    }
    memset(base, 0, page_count * QUARRY_PAGE_BYTES);
    struct quarry_block_cache *cache = base;
    cache->lane = lane;
    cache->heap = memory;
    cache->own_bytes = page_count * QUARRY_PAGE_BYTES;
    atomic_store_relaxed_u64(&cache->held_max_bytes, UINT64_MAX); /* until it is made */
    *ret_cache = cache;
    return QUARRY_OK;
}

static enum quarry_status make_account(struct quarry_block_cache *cache, const struct plan *plan,
                                       struct quarry_error *error)
{
    const struct quarry_block_cache_options *options = plan->options;
    struct quarry_account_options account = {
        .name = options->name,
        .parent = options->parent,
        .share = options->share,
        .priority = options->priority,
        .floor_bytes = options->floor_bytes,
        .ceiling_bytes = options->ceiling_bytes,
        .is_all_pages = true,
        .begins_paused = true,
        .pauses_in_child = true,
        .reclaim = block_cache_on_reclaim,
        .value = options->is_elastic ? block_cache_on_value : NULL,
        .set_target = options->is_elastic ? block_cache_on_target : NULL,
        .argument = cache,
    };

    enum quarry_status status =
        quarry_account_create(cache->heap, &account, &cache->account, error);
    if (status != QUARRY_OK) {
        return status;
    }
    status = quarry_account_charge(cache->account, cache->own_bytes);
    if (status != QUARRY_OK) {
        quarry_account_destroy(cache->account);
        cache->account = NULL;
        return error_set(error, status, "block cache '%s': its account has no room", plan->name);
    }
    return QUARRY_OK;
}

static enum quarry_status make_slab(struct quarry_block_cache *cache, const struct plan *plan,
                                    struct quarry_error *error)
{
    struct quarry_slab_options options = {
        .name = plan->name,
        .lane = cache->lane,
        .account = cache->account,
        .epoch = cache->epoch,
        .has_small_pages = true,
        .page_wanted = block_cache_on_page,
        .page_argument = cache,
    };
    enum quarry_status status = quarry_slab_create(cache->heap, &options, &cache->slab, error);

    for (size_t i = 0; i < sizeof(usual_payloads) / sizeof(usual_payloads[0]); i++) {
        if (status == QUARRY_OK) {
            status = quarry_slab_add_size(cache->slab, block_total_bytes(usual_payloads[i], 0));
        }
    }
    return status;
}

static enum quarry_status make_shards(struct quarry_block_cache *cache, const struct plan *plan)
{
    uint64_t part = plan->capacity_bytes / plan->shard_count;

    cache->shards = (struct block_shard *)(void *)(cache + 1);
    cache->lookups.stripes = (struct block_stripe *)(void *)(cache->shards + plan->shard_count);
    cache->lookups.mask = plan->stripe_count - 1;
    atomic_store_relaxed_u64(&cache->capacity_bytes, plan->capacity_bytes);
    atomic_store_relaxed_u64(&cache->limits.max_bytes, part == 0 ? 1 : part);
    cache->memory.cache = cache;
    cache->memory.account = cache->account;
    cache->memory.lane = cache->lane;
    for (; cache->shard_count < plan->shard_count; cache->shard_count++) {
        enum quarry_status status =
            block_shard_init(&cache->shards[cache->shard_count], (uint32_t)cache->shard_count,
                             &cache->memory, cache->epoch, part == 0 ? 1 : part);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    return QUARRY_OK;
}

static enum quarry_status make_parts(struct quarry_block_cache *cache, const struct plan *plan,
                                     struct quarry_error *error)
{
    struct page_heap *pages = (struct page_heap *)cache->heap;
    enum quarry_status status = make_account(cache, plan, error);

    if (status == QUARRY_OK) {
        status = quarry_epoch_create(cache->heap, &cache->epoch);
    }
    if (status == QUARRY_OK) {
        status = ref_leaks_create(pages, plan->name, &cache->leaks);
    }
    if (status == QUARRY_OK) {
        status = make_slab(cache, plan, error);
    }
    if (status == QUARRY_OK) {
        status = make_shards(cache, plan);
    }
    cache->os = pages->os;
    cache->loads_max = plan->options->loads_max;
    return status;
}

/* Whatever has been made of it. Nothing is in it, and nobody holds a block. */
static void unmake(struct quarry_block_cache *cache)
{
    struct quarry_lane *lane = cache->lane;

    while (cache->shard_count != 0) {
        block_shard_fini(&cache->shards[--cache->shard_count]);
    }
    quarry_slab_destroy(cache->slab);
    ref_leaks_destroy(cache->leaks);
    quarry_epoch_destroy(cache->epoch);
    if (cache->account != NULL) {
        quarry_account_uncharge(cache->account, cache->own_bytes);
        quarry_account_destroy(cache->account);
    }
    quarry_pages_free(lane, cache);
    quarry_lane_destroy(lane);
}

enum quarry_status quarry_block_cache_create(struct quarry_memory *memory,
                                             const struct quarry_block_cache_options *options,
                                             struct quarry_block_cache **ret_cache,
                                             struct quarry_error *error)
{
    struct plan plan;
    struct block_totals totals;
    struct quarry_block_cache *cache = NULL;
    enum quarry_status status = plan_make(options, &plan, error);

    if (status == QUARRY_OK) {
        status = take_pages(memory, &plan, &cache, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    status = make_parts(cache, &plan, error);
    if (status != QUARRY_OK) {
        unmake(cache);
        return error_set(error, status, "block cache '%s' could not be made: %s", plan.name,
                         quarry_status_name(status));
    }
    cache->fixed_bytes = block_cache_charged_bytes(cache);
    block_cache_bound(cache);
    block_cache_totals(cache, &totals);
    cache->made_ns = totals.time_ns;
    block_windows_init(&cache->windows, &totals);
    quarry_account_resume(cache->account);
    *ret_cache = cache;
    return QUARRY_OK;
}

/* ---- closing -------------------------------------------------------------------------------- */

static void clear(struct quarry_block_cache *cache)
{
    for (uint64_t i = 0; i < cache->shard_count; i++) {
        bool is_more;
        do {
            struct block_victims victims = {0};
            is_more = block_shard_clear(&cache->shards[i], CLEAR_STEP, &victims);
            block_victims_release(cache, victims);
        } while (is_more);
    }
}

/* Blocks that somebody holds, of an empty cache. */
static uint64_t count_held(struct quarry_block_cache *cache)
{
    struct quarry_slab_stats slab;

    quarry_slab_read_stats(cache->slab, &slab);
    return slab.live_count + atomic_load_relaxed_u64(&cache->large_count);
}

enum quarry_status quarry_block_cache_close(struct quarry_block_cache *cache)
{
    if (cache == NULL) {
        return QUARRY_OK;
    }
    quarry_account_pause(cache->account);
    clear(cache);
    if (count_held(cache) != 0) {
        (void)ref_leaks_report(cache->leaks);
        quarry_account_resume(cache->account);
        return QUARRY_BUSY;
    }
    for (uint32_t i = 0; i < REF_EPOCH_ADVANCES; i++) {
        ref_epoch_advance(cache->epoch);
    }
    block_large_collect(cache);
    Q_ASSERT(atomic_load_relaxed_ptr(&cache->large_limbo) == NULL);
    unmake(cache);
    return QUARRY_OK;
}

/* ---- the rest ------------------------------------------------------------------------------- */

uint64_t quarry_block_cache_handle(struct quarry_block_cache *cache)
{
    return atomic_add_relaxed_u64(&cache->last_handle, 1) + 1;
}

enum quarry_status quarry_block_cache_add_size(struct quarry_block_cache *cache,
                                               size_t payload_bytes, size_t extra_bytes)
{
    if (payload_bytes > QUARRY_SLAB_CELL_BYTES_MAX || extra_bytes > QUARRY_SLAB_CELL_BYTES_MAX ||
        block_total_bytes(payload_bytes, extra_bytes) > QUARRY_SLAB_CELL_BYTES_MAX) {
        return QUARRY_TOO_LARGE;
    }
    return quarry_slab_add_size(cache->slab, block_total_bytes(payload_bytes, extra_bytes));
}
