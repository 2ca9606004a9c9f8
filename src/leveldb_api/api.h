/*
 * LevelDB's C API, version 1.23, as libquarry-leveldb.so shows it: 68 functions. What each does is
 * in LevelDB's own leveldb/c.h, which programs include; here are the facts that both sides must
 * agree on, so that building needs no LevelDB.
 *
 * Conventions. Where there is an `errptr`, a failure replaces the text that it points to by another
 * one, of malloc; success leaves it alone. What is returned as bytes is of malloc, and the
 * caller's. Types are the library's own behind the caller's pointers.
 *
 * Threads: a database from any thread at once, but closing; a batch, an iterator and options from
 * one at a time.
 */
#ifndef QUARRY_LEVELDB_API_API_H
#define QUARRY_LEVELDB_API_API_H

#include <stddef.h>
#include <stdint.h>

#include <quarry/export.h>

struct leveldb_t;
struct leveldb_cache_t;
struct leveldb_comparator_t;
struct leveldb_env_t;
struct leveldb_filterpolicy_t;
struct leveldb_iterator_t;
struct leveldb_logger_t; /* no function makes one */
struct leveldb_options_t;
struct leveldb_readoptions_t;
struct leveldb_snapshot_t;
struct leveldb_writebatch_t;
struct leveldb_writeoptions_t;

/* ---- a database ----------------------------------------------------------------------------- */

/* Returns: own; NULL: it failed. */
QUARRY_EXPORT struct leveldb_t *leveldb_open(const struct leveldb_options_t *options,
                                             const char *name, char **errptr);
QUARRY_EXPORT void leveldb_close(struct leveldb_t *db);
QUARRY_EXPORT void leveldb_put(struct leveldb_t *db, const struct leveldb_writeoptions_t *options,
                               const char *key, size_t keylen, const char *val, size_t vallen,
                               char **errptr);
QUARRY_EXPORT void leveldb_delete(struct leveldb_t *db,
                                  const struct leveldb_writeoptions_t *options, const char *key,
                                  size_t keylen, char **errptr);
QUARRY_EXPORT void leveldb_write(struct leveldb_t *db, const struct leveldb_writeoptions_t *options,
                                 struct leveldb_writebatch_t *batch, char **errptr);
/* Returns: own; NULL: it is not there, or failed. `vallen`: 0 then. */
QUARRY_EXPORT char *leveldb_get(struct leveldb_t *db, const struct leveldb_readoptions_t *options,
                                const char *key, size_t keylen, size_t *vallen, char **errptr);
QUARRY_EXPORT struct leveldb_iterator_t *
leveldb_create_iterator(struct leveldb_t *db, const struct leveldb_readoptions_t *options);
QUARRY_EXPORT const struct leveldb_snapshot_t *leveldb_create_snapshot(struct leveldb_t *db);
QUARRY_EXPORT void leveldb_release_snapshot(struct leveldb_t *db,
                                            const struct leveldb_snapshot_t *snapshot);
/* Returns: own, with a NUL; NULL: there is no such property. */
QUARRY_EXPORT char *leveldb_property_value(struct leveldb_t *db, const char *propname);
QUARRY_EXPORT void leveldb_approximate_sizes(struct leveldb_t *db, int num_ranges,
                                             const char *const *range_start_key,
                                             const size_t *range_start_key_len,
                                             const char *const *range_limit_key,
                                             const size_t *range_limit_key_len, uint64_t *sizes);
/* A key of NULL: from the first, or to the last. */
QUARRY_EXPORT void leveldb_compact_range(struct leveldb_t *db, const char *start_key,
                                         size_t start_key_len, const char *limit_key,
                                         size_t limit_key_len);

/* ---- databases that are not open ------------------------------------------------------------ */

QUARRY_EXPORT void leveldb_destroy_db(const struct leveldb_options_t *options, const char *name,
                                      char **errptr);
QUARRY_EXPORT void leveldb_repair_db(const struct leveldb_options_t *options, const char *name,
                                     char **errptr);

/* ---- iterators ------------------------------------------------------------------------------ */

QUARRY_EXPORT void leveldb_iter_destroy(struct leveldb_iterator_t *iterator);
QUARRY_EXPORT uint8_t leveldb_iter_valid(const struct leveldb_iterator_t *iterator);
QUARRY_EXPORT void leveldb_iter_seek_to_first(struct leveldb_iterator_t *iterator);
QUARRY_EXPORT void leveldb_iter_seek_to_last(struct leveldb_iterator_t *iterator);
QUARRY_EXPORT void leveldb_iter_seek(struct leveldb_iterator_t *iterator, const char *k,
                                     size_t klen);
QUARRY_EXPORT void leveldb_iter_next(struct leveldb_iterator_t *iterator);
QUARRY_EXPORT void leveldb_iter_prev(struct leveldb_iterator_t *iterator);
/* Returns: borrowed until the iterator moves. */
QUARRY_EXPORT const char *leveldb_iter_key(const struct leveldb_iterator_t *iterator, size_t *klen);
QUARRY_EXPORT const char *leveldb_iter_value(const struct leveldb_iterator_t *iterator,
                                             size_t *vlen);
QUARRY_EXPORT void leveldb_iter_get_error(const struct leveldb_iterator_t *iterator, char **errptr);

/* ---- batches -------------------------------------------------------------------------------- */

QUARRY_EXPORT struct leveldb_writebatch_t *leveldb_writebatch_create(void);
QUARRY_EXPORT void leveldb_writebatch_destroy(struct leveldb_writebatch_t *batch);
QUARRY_EXPORT void leveldb_writebatch_clear(struct leveldb_writebatch_t *batch);
QUARRY_EXPORT void leveldb_writebatch_put(struct leveldb_writebatch_t *batch, const char *key,
                                          size_t klen, const char *val, size_t vlen);
QUARRY_EXPORT void leveldb_writebatch_delete(struct leveldb_writebatch_t *batch, const char *key,
                                             size_t klen);
QUARRY_EXPORT void leveldb_writebatch_iterate(const struct leveldb_writebatch_t *batch, void *state,
                                              void (*put)(void *state, const char *k, size_t klen,
                                                          const char *v, size_t vlen),
                                              void (*deleted)(void *state, const char *k,
                                                              size_t klen));
QUARRY_EXPORT void leveldb_writebatch_append(struct leveldb_writebatch_t *destination,
                                             const struct leveldb_writebatch_t *source);

/* ---- options -------------------------------------------------------------------------------- */

QUARRY_EXPORT struct leveldb_options_t *leveldb_options_create(void);
QUARRY_EXPORT void leveldb_options_destroy(struct leveldb_options_t *options);
/* Comparator, policy, env, logger and cache are borrowed until what is opened with them is closed.
 */
QUARRY_EXPORT void leveldb_options_set_comparator(struct leveldb_options_t *options,
                                                  struct leveldb_comparator_t *comparator);
QUARRY_EXPORT void leveldb_options_set_filter_policy(struct leveldb_options_t *options,
                                                     struct leveldb_filterpolicy_t *policy);
QUARRY_EXPORT void leveldb_options_set_create_if_missing(struct leveldb_options_t *options,
                                                         uint8_t value);
QUARRY_EXPORT void leveldb_options_set_error_if_exists(struct leveldb_options_t *options,
                                                       uint8_t value);
QUARRY_EXPORT void leveldb_options_set_paranoid_checks(struct leveldb_options_t *options,
                                                       uint8_t value);
QUARRY_EXPORT void leveldb_options_set_env(struct leveldb_options_t *options,
                                           struct leveldb_env_t *env);
QUARRY_EXPORT void leveldb_options_set_info_log(struct leveldb_options_t *options,
                                                struct leveldb_logger_t *logger);
QUARRY_EXPORT void leveldb_options_set_write_buffer_size(struct leveldb_options_t *options,
                                                         size_t bytes);
QUARRY_EXPORT void leveldb_options_set_max_open_files(struct leveldb_options_t *options, int count);
QUARRY_EXPORT void leveldb_options_set_cache(struct leveldb_options_t *options,
                                             struct leveldb_cache_t *cache);
QUARRY_EXPORT void leveldb_options_set_block_size(struct leveldb_options_t *options, size_t bytes);
QUARRY_EXPORT void leveldb_options_set_block_restart_interval(struct leveldb_options_t *options,
                                                              int count);
QUARRY_EXPORT void leveldb_options_set_max_file_size(struct leveldb_options_t *options,
                                                     size_t bytes);
/* 0: none, 1: Snappy. */
QUARRY_EXPORT void leveldb_options_set_compression(struct leveldb_options_t *options,
                                                   int compression);

/* ---- what options hold ---------------------------------------------------------------------- */

QUARRY_EXPORT struct leveldb_comparator_t *leveldb_comparator_create(
    void *state, void (*destructor)(void *state),
    int (*compare)(void *state, const char *a, size_t alen, const char *b, size_t blen),
    const char *(*name)(void *state));
QUARRY_EXPORT void leveldb_comparator_destroy(struct leveldb_comparator_t *comparator);

/* `create_filter` returns bytes of malloc, which are freed here. */
QUARRY_EXPORT struct leveldb_filterpolicy_t *leveldb_filterpolicy_create(
    void *state, void (*destructor)(void *state),
    char *(*create_filter)(void *state, const char *const *key_array,
                           const size_t *key_length_array, int num_keys, size_t *filter_length),
    uint8_t (*key_may_match)(void *state, const char *key, size_t length, const char *filter,
                             size_t filter_length),
    const char *(*name)(void *state));
QUARRY_EXPORT void leveldb_filterpolicy_destroy(struct leveldb_filterpolicy_t *policy);
QUARRY_EXPORT struct leveldb_filterpolicy_t *leveldb_filterpolicy_create_bloom(int bits_per_key);

QUARRY_EXPORT struct leveldb_cache_t *leveldb_cache_create_lru(size_t capacity);
QUARRY_EXPORT void leveldb_cache_destroy(struct leveldb_cache_t *cache);

QUARRY_EXPORT struct leveldb_env_t *leveldb_create_default_env(void);
QUARRY_EXPORT void leveldb_env_destroy(struct leveldb_env_t *env);
/* Returns: own: a directory for tests, which is there. */
QUARRY_EXPORT char *leveldb_env_get_test_directory(struct leveldb_env_t *env);

/* ---- options of one read, of one write ------------------------------------------------------ */

QUARRY_EXPORT struct leveldb_readoptions_t *leveldb_readoptions_create(void);
QUARRY_EXPORT void leveldb_readoptions_destroy(struct leveldb_readoptions_t *options);
QUARRY_EXPORT void leveldb_readoptions_set_verify_checksums(struct leveldb_readoptions_t *options,
                                                            uint8_t value);
QUARRY_EXPORT void leveldb_readoptions_set_fill_cache(struct leveldb_readoptions_t *options,
                                                      uint8_t value);
QUARRY_EXPORT void leveldb_readoptions_set_snapshot(struct leveldb_readoptions_t *options,
                                                    const struct leveldb_snapshot_t *snapshot);

QUARRY_EXPORT struct leveldb_writeoptions_t *leveldb_writeoptions_create(void);
QUARRY_EXPORT void leveldb_writeoptions_destroy(struct leveldb_writeoptions_t *options);
QUARRY_EXPORT void leveldb_writeoptions_set_sync(struct leveldb_writeoptions_t *options,
                                                 uint8_t value);

/* ---- the rest ------------------------------------------------------------------------------- */

QUARRY_EXPORT void leveldb_free(void *object);
QUARRY_EXPORT int leveldb_major_version(void);
QUARRY_EXPORT int leveldb_minor_version(void);

#endif
