/*
 * A cache with a file, opened again and again, for tests: one at a time.
 */
#ifndef QUARRY_TESTS_UNIT_CACHE_WARM_RIG_H
#define QUARRY_TESTS_UNIT_CACHE_WARM_RIG_H

#include "unit/base/cmocka_all.h"

#include <quarry/cache.h>

/* Open between warm_open and warm_close. */
extern struct quarry_memory *memory;
extern struct quarry_cache *cache;
extern struct quarry_cache_tenant *tenant; /* the default one */
/* The file, in a folder of its own; and another that warm_copy writes. */
extern char warm_path[128], warm_copy_path[128];

/* A folder for the files; cmocka's setup and teardown. */
int warm_set_up(void **state);
int warm_tear_down(void **state);
/* Goes on with files in another folder, "" for the first one. */
void warm_use_folder(const char *folder);

/* `options`: NULL for 64 MiB; the path is added. Returns: what quarry_cache_create said. */
enum quarry_status warm_try_open(const struct quarry_cache_options *options,
                                 struct quarry_error *error);
void warm_open(void);
void warm_close(void);
struct quarry_cache_recovery warm_recovery(void);

/* The file as it is now becomes that of a process that was killed: closes, and puts it back. */
void warm_kill(void);
/* Reads and writes the whole file; `bytes`: malloc'd. */
char *warm_read_file(size_t *ret_bytes);
void warm_write_file(const char *bytes, size_t byte_count);

/* Stores a value made of `seed`, of a tenant; it must succeed. */
void warm_put(struct quarry_cache_tenant *of, const char *key, size_t bytes, uint64_t seed);
/* Whether there is a value, and it is that. Fails where it is another. */
bool warm_has(struct quarry_cache_tenant *of, const char *key, size_t bytes, uint64_t seed);
void warm_delete(struct quarry_cache_tenant *of, const char *key);
/* Looks a key up. */
enum quarry_cache_outcome warm_get(struct quarry_cache_tenant *of, const char *key,
                                   struct quarry_cache_hit *ret_hit);
void warm_validate(void);

#endif
