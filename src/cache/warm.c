/*
 * A cache that is as it was after a restart: what the parts do for it, and in which order.
 *
 *   memory_lane   anonymous: the cache, indexes, queues, the slab's records
 *   lane          the file: pages of the slab, and what the file says of itself (file.c)
 *
 * So the file holds what is worth keeping and nothing else, and what is made anew at each start is
 * memory without a disk behind it. Refs of 48 bits are the same after a restart, so what refers to
 * a cell from within the file (an item to its extents) needs no repair.
 *
 * Opening: the lane and the file's head; the slab, with hooks that note its pages; then, in
 * cache_warm_recover, tenants, clock and items come back (recover.c), or the file is begun anew and
 * says why. A tenant that comes back is parked until it is added by its name (tenant.c).
 *
 * Closing: the slab is detached, which leaves its pages in the file; the file is written to its
 * disk and says that it was closed. A process that is killed has done neither, and loses nothing,
 * for all that is noted is noted as it happens: pages by the hooks, tenants and flushes before the
 * calls return; but the clock and the sequence, which are noted some times a second, and are
 * allowed for.
 *
 * The clock goes on from the later of what the file says and what the machine says, so that an
 * expiry never moves away.
 *
 * A full file system. Pages of the lane are backed by blocks before they are touched, so it is
 * QUARRY_NO_SPACE to who wants one: to the slab, and from there to a set, which evicts for its cell
 * as it does when the budget is used up; what there was is the cache's size from then on
 * (refill.c). Nothing here is written without such blocks.
 *
 * Locking: none of its own; tenants are changed under tenants_mutex, pages noted by who takes them.
 */
#include <cache/warm.h>

#include <stdio.h>
#include <string.h>

#include <cache/file.h>
#include <cache/recover.h>
#include <cache/reserve.h>
#include <cache/tenant.h>

/* ---- the lane ------------------------------------------------------------------------------- */

/*
 * A file may be longer than the addresses that a lane has by default, from a larger cache: up to
 * what the memory has.
 */
#define RESERVED_BYTES_MIN (UINT64_C(1) << 34)
#define RESERVED_BYTES_MAX (UINT64_C(1) << 44)

static enum quarry_status lane_create(struct quarry_cache *cache, const char *path,
                                      struct quarry_error *error)
{
    char name[QUARRY_NAME_BYTES];
    struct quarry_lane_options options = {.name = name, .file_path = path};

    if ((size_t)snprintf(name, sizeof(name), "%s.file", cache->name) >= sizeof(name)) {
        return error_set(error, QUARRY_BAD_INPUT, "cache '%s': with a file a name has %zu bytes",
                         cache->name, sizeof(name) - sizeof(".file"));
    }
    enum quarry_status status = quarry_lane_create(cache->heap, &options, &cache->lane, error);
    for (uint64_t bytes = RESERVED_BYTES_MIN;
         status == QUARRY_NO_ADDRESS && bytes <= RESERVED_BYTES_MAX; bytes *= 2) {
        options.reserved_bytes = bytes;
        status = quarry_lane_create(cache->heap, &options, &cache->lane, error);
    }
    return status;
}

enum quarry_status cache_warm_open(struct quarry_cache *cache,
                                   const struct quarry_cache_options *options,
                                   struct quarry_error *error)
{
    struct cache_file *file;

    if (options->file_path == NULL) {
        cache->lane = cache->memory_lane;
        return QUARRY_OK;
    }
    enum quarry_status status = lane_create(cache, options->file_path, error);
    if (status != QUARRY_OK) {
        return status;
    }
    file = cache_memory_take(cache, sizeof(*file));
    if (file == NULL) {
        return QUARRY_NO_MEMORY;
    }
    status = cache_file_open(file, cache->account, cache->lane, error);
    if (status != QUARRY_OK) {
        cache_memory_give(cache, file, sizeof(*file));
        return status;
    }
    cache->file = file;
    return QUARRY_OK;
}

/* ---- pages ---------------------------------------------------------------------------------- */

static enum quarry_status page_note(struct quarry_cache *cache, const struct quarry_slab_page *page)
{
    const struct cache_file_page noted = {
        .lane_page = cache_file_page_number(cache->file, page->base),
        .page_count = (uint32_t)(page->bytes / QUARRY_PAGE_BYTES),
        .class_id = page->class_id,
        .page = page->page,
        .cell_bytes = page->cell_bytes,
        .is_zero = page->is_zero,
    };

    return cache_file_add_page(cache->file, &noted);
}

static enum quarry_status page_taken(void *argument, const struct quarry_slab_page *page)
{
    struct quarry_cache *cache = argument;
    enum quarry_status status = cache_reserve_allow_page(cache, page);

    return status != QUARRY_OK || cache->file == NULL ? status : page_note(cache, page);
}

static void page_given(void *argument, const struct quarry_slab_page *page)
{
    struct quarry_cache *cache = argument;

    cache_file_remove_page(cache->file, cache_file_page_number(cache->file, page->base));
}

void cache_warm_slab_options(struct quarry_cache *cache, struct quarry_slab_options *slab_options)
{
    slab_options->lane = cache->lane;
    slab_options->record_lane = cache->memory_lane;
    slab_options->page_taken = page_taken;
    slab_options->page_given = cache->file != NULL ? page_given : NULL;
    slab_options->page_argument = cache;
}

/* ---- tenants -------------------------------------------------------------------------------- */

/* The file, once it is there as a whole; before, tenants are noted all at once. */
static struct cache_file *file_of(const struct quarry_cache *cache)
{
    return cache->file != NULL && cache->file->is_ready ? cache->file : NULL;
}

enum quarry_status cache_warm_add_tenant(struct quarry_cache_tenant *tenant)
{
    struct cache_file *file = file_of(tenant->cache);

    return file == NULL ? QUARRY_OK
                        : cache_file_add_tenant(file, tenant->id, tenant->name, tenant->secret);
}

void cache_warm_remove_tenant(struct quarry_cache_tenant *tenant)
{
    struct cache_file *file = file_of(tenant->cache);

    if (file != NULL) {
        cache_file_remove_tenant(file, tenant->id);
    }
}

void cache_warm_free_id(struct quarry_cache *cache, uint32_t id)
{
    struct cache_file *file = file_of(cache);

    if (file != NULL) {
        cache_file_free_tenant(file, id);
    }
}

bool cache_warm_is_taken(const struct quarry_cache *cache, uint32_t id)
{
    const struct cache_file *file = file_of(cache);

    return file != NULL && cache_file_has_tenant_id(file, id);
}

void cache_warm_note_flush(struct quarry_cache_tenant *tenant, uint64_t flushed_sequence,
                           uint32_t flush_at)
{
    const struct cache_file *file = file_of(tenant->cache);
    struct cache_file_tenant *noted = file == NULL ? NULL : cache_file_tenant(file, tenant->id);

    if (noted != NULL) {
        /* Release: who finds no flush to come finds the one that has been. */
        atomic_store_relaxed_u64(&noted->flushed_sequence, flushed_sequence);
        atomic_store_release_u32(&noted->flush_at, flush_at);
    }
}

/* A tenant that the file has is the cache's. */
static enum quarry_status tenant_restore(struct quarry_cache *cache, uint32_t id,
                                         const struct cache_file_tenant *noted)
{
    struct quarry_cache_tenant *tenant = cache_tenant_of(cache, id);

    if (tenant == NULL) {
        enum quarry_status status =
            cache_tenant_restore(cache, id, noted->name, noted->secret, &tenant);
        if (status != QUARRY_OK) {
            return status == QUARRY_EXISTS ? QUARRY_OK : status; /* the second of its name */
        }
    }
    tenant->secret = noted->secret;
    /* Relaxed: nobody uses the tenant yet. */
    atomic_store_relaxed_u64(&tenant->flushed_sequence,
                             atomic_load_relaxed_u64(&noted->flushed_sequence));
    atomic_store_relaxed_u32(&tenant->flush_at, atomic_load_relaxed_u32(&noted->flush_at));
    return QUARRY_OK;
}

static enum quarry_status tenants_restore(struct quarry_cache *cache)
{
    enum quarry_status status = QUARRY_OK;

    for (uint32_t id = 0; id <= CACHE_TENANTS_MAX && status == QUARRY_OK; id++) {
        const struct cache_file_tenant *noted = cache_file_tenant(cache->file, id);
        if (noted != NULL && id < cache->tenants_max) {
            status = tenant_restore(cache, id, noted);
        }
    }
    return status;
}

/* Tenants that the cache has are the file's; nobody else's id is taken. */
static enum quarry_status tenants_note(struct quarry_cache *cache)
{
    enum quarry_status status = QUARRY_OK;

    for (uint32_t id = 0; id <= CACHE_TENANTS_MAX && status == QUARRY_OK; id++) {
        struct quarry_cache_tenant *tenant = cache_tenant_of(cache, id);
        if (tenant == NULL) {
            cache_file_free_tenant(cache->file, id);
        } else if (cache_file_tenant(cache->file, id) == NULL) {
            status = cache_file_add_tenant(cache->file, id, tenant->name, tenant->secret);
        }
    }
    return status;
}

/* ---- opening -------------------------------------------------------------------------------- */

/* The clock is not before what the file says. */
static void clock_restore(struct quarry_cache *cache)
{
    uint64_t noted_s = atomic_load_relaxed_u64(&cache->file->head->clock_s);
    uint64_t now_s = cache_now(cache);

    /* A time that the clock cannot have is a damaged file's. */
    if (noted_s > now_s && noted_s <= UINT32_MAX) {
        quarry_cache_shift_clock(cache, (int64_t)(noted_s - now_s));
    }
}

static enum quarry_status begin_anew(struct quarry_cache *cache, const char *why)
{
    memset(&cache->recovery, 0, sizeof(cache->recovery));
    return cache_file_begin_anew(cache->file, why);
}

/* What is in a warm file is the cache's, or is given up. */
static enum quarry_status file_recover(struct quarry_cache *cache, uint32_t thread_count)
{
    enum quarry_status status = cache_file_adopt_tables(cache->file);

    if (status == QUARRY_BAD_INPUT) {
        return begin_anew(cache, "its tables cannot lie where it says");
    }
    if (status == QUARRY_OK) {
        status = tenants_restore(cache);
    }
    if (status == QUARRY_OK) {
        clock_restore(cache);
        status = cache_recover(cache, cache->file, thread_count);
    }
    return status == QUARRY_CORRUPT ? begin_anew(cache, "what it notes of itself cannot be")
                                    : status;
}

static uint32_t threads_default(void)
{
    struct os_machine machine;

    os_machine_read("", &machine);
    return machine.cpu_count == 0 ? 1 : machine.cpu_count;
}

static void recovery_describe(struct quarry_cache *cache, uint64_t begin_ns)
{
    struct quarry_cache_recovery *recovery = &cache->recovery;

    recovery->was_cold = !cache->file->is_warm;
    recovery->was_clean = cache->file->is_warm && cache->file->was_clean;
    recovery->duration_ns = os_monotonic_ns(cache->os) - begin_ns;
    (void)snprintf(recovery->why, sizeof(recovery->why), "%s",
                   recovery->was_cold && cache->file->why[0] == '\0' ? "the file is new"
                                                                     : cache->file->why);
}

enum quarry_status cache_warm_recover(struct quarry_cache *cache, uint32_t thread_count,
                                      struct quarry_error *error)
{
    uint64_t begin_ns = os_monotonic_ns(cache->os);
    enum quarry_status status = QUARRY_OK;

    if (cache->file == NULL) {
        cache->recovery.was_cold = true;
        return QUARRY_OK;
    }
    if (cache->file->is_warm) {
        status = file_recover(cache, thread_count != 0 ? thread_count : threads_default());
    }
    if (status == QUARRY_OK) {
        status = tenants_note(cache);
    }
    if (status != QUARRY_OK) {
        return error_set(error, status, "cache '%s': its file cannot be read", cache->name);
    }
    cache->file->is_ready = true;
    cache_warm_tick(cache);
    recovery_describe(cache, begin_ns);
    return QUARRY_OK;
}

bool cache_warm_is_recovering(const struct quarry_cache *cache)
{
    return cache->file != NULL && !cache->file->is_ready;
}

/* ---- while open, and closing ---------------------------------------------------------------- */

void cache_warm_tick(struct quarry_cache *cache)
{
    if (cache->file != NULL) {
        cache_file_note(cache->file, cache_now(cache), atomic_load_relaxed_u64(&cache->sequence));
    }
}

void cache_warm_close(struct quarry_cache *cache)
{
    struct cache_file *file = cache->file;

    if (file == NULL) {
        quarry_slab_destroy(cache->slab);
    } else {
        if (cache->slab != NULL) {
            quarry_slab_detach(cache->slab);
        }
        cache_file_close(file, cache_now(cache), atomic_load_relaxed_u64(&cache->sequence));
        cache->file = NULL;
        cache_memory_give(cache, file, sizeof(*file));
    }
    if (cache->lane != cache->memory_lane) {
        quarry_lane_destroy(cache->lane);
    }
}
