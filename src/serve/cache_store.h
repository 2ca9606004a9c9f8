/*
 * The cache, as the configuration wants it.
 */
#ifndef QUARRY_SERVE_CACHE_STORE_H
#define QUARRY_SERVE_CACHE_STORE_H

#include <quarry/cache.h>

#include <serve/config.h>
#include <serve/data_dir.h>

/*
 * Opens the cache, and logs what was found in its file.
 *
 * `memory`: borrowed until the cache is closed. `observe`: may be NULL. `ret_cache`: own.
 * Errors: as quarry_cache_create.
 */
enum quarry_status serve_cache_open(struct quarry_memory *memory, const struct serve_config *config,
                                    const struct serve_data_dir *data_dir,
                                    quarry_cache_observe_function *observe,
                                    struct quarry_cache **ret_cache, struct quarry_error *error);
/* Changes what can change while it is in use. */
void serve_cache_apply(struct quarry_cache *cache, const struct serve_config *config,
                       uint64_t budget_bytes);
/*
 * Logs that the disk of the cache's file is full, or has room again, when that has changed.
 * `told_bytes`: quarry_cache_disk_limit as it was then; 0 at first.
 */
void serve_cache_tell_disk(const struct quarry_cache *cache, uint64_t *told_bytes);

#endif
