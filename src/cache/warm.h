/*
 * A cache whose items outlive its process. warm.c has the essay.
 */
#ifndef QUARRY_CACHE_WARM_H
#define QUARRY_CACHE_WARM_H

#include <cache/types.h>

/*
 * The lane of the file that the options name, if they do: cache->file_lane. cache->lane is there,
 * and has all but the cells of items. Errors: as quarry_lane_create.
 */
enum quarry_status cache_warm_open(struct quarry_cache *cache,
                                   const struct quarry_cache_options *options,
                                   struct quarry_error *error);
/* Where the slab's pages lie, and who is told of them. */
void cache_warm_slab_options(struct quarry_cache *cache, struct quarry_slab_options *slab_options);
/*
 * Finds the tenants and the items of the file; all parts of the cache are there, the default tenant
 * too, and nothing is in them. Sets cache->recovery, the clock and the sequence. Does nothing
 * without a file. `thread_count`: 0: a CPU each.
 */
enum quarry_status cache_warm_recover(struct quarry_cache *cache, uint32_t thread_count,
                                      struct quarry_error *error);
/*
 * Ends the slab: after the last change, before the account and cache->lane end. A file keeps what
 * is there and is closed. Also where cache_warm_recover has failed, or was not called; then the
 * file stays as it is. With no slab it ends the file's lane alone.
 */
void cache_warm_close(struct quarry_cache *cache);

/* Notes the clock and the sequence; some times a second. */
void cache_warm_tick(struct quarry_cache *cache);

/*
 * A tenant has been added, or is about to go, its items gone already: the file knows ids by names.
 * Under tenants_mutex.
 */
enum quarry_status cache_warm_add_tenant(struct quarry_cache_tenant *tenant);
void cache_warm_remove_tenant(struct quarry_cache_tenant *tenant);
/* A tenant's flushed_sequence or flush_at has changed; before anybody is told so. */
void cache_warm_note_flush(struct quarry_cache_tenant *tenant);

#endif
