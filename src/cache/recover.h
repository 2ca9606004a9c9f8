/*
 * Finding the items of a file again. recover.c has the essay.
 */
#ifndef QUARRY_CACHE_RECOVER_H
#define QUARRY_CACHE_RECOVER_H

#include <cache/file.h>
#include <cache/types.h>

/*
 * Has the slab and the tenants' indexes hold what is in a warm file. Its tables are adopted, its
 * tenants are those of the cache, and the clock is right; the slab and the indexes are empty.
 * Writes counts into cache->recovery, and cache->sequence.
 *
 * `thread_count`: from 1; fewer do where there is no memory for their stacks.
 * Errors: CORRUPT: what the file notes of its pages cannot be; nothing of it is in use then, and it
 * is to be begun anew. NO_MEMORY, IO.
 */
enum quarry_status cache_recover(struct quarry_cache *cache, struct cache_file *file,
                                 uint32_t thread_count);

#endif
