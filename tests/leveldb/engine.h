/*
 * One of the two libraries behind LevelDB's C API, loaded so that both can be in one process.
 */
#ifndef QUARRY_TESTS_LEVELDB_ENGINE_H
#define QUARRY_TESTS_LEVELDB_ENGINE_H

#include <leveldb/c.h>

/* The functions that the tests call, each of its own type. */
#define ENGINE_FUNCTIONS(X)                                                                        \
    X(open)                                                                                        \
    X(close)                                                                                       \
    X(put)                                                                                         \
    X(delete)                                                                                      \
    X(write)                                                                                       \
    X(get)                                                                                         \
    X(create_iterator)                                                                             \
    X(compact_range)                                                                               \
    X(repair_db)                                                                                   \
    X(iter_destroy)                                                                                \
    X(iter_valid)                                                                                  \
    X(iter_seek_to_first)                                                                          \
    X(iter_seek_to_last)                                                                           \
    X(iter_seek)                                                                                   \
    X(iter_next)                                                                                   \
    X(iter_prev)                                                                                   \
    X(iter_key)                                                                                    \
    X(iter_value)                                                                                  \
    X(iter_get_error)                                                                              \
    X(writebatch_create)                                                                           \
    X(writebatch_destroy)                                                                          \
    X(writebatch_put)                                                                              \
    X(writebatch_delete)                                                                           \
    X(options_create)                                                                              \
    X(options_destroy)                                                                             \
    X(options_set_comparator)                                                                      \
    X(options_set_filter_policy)                                                                   \
    X(options_set_create_if_missing)                                                               \
    X(options_set_paranoid_checks)                                                                 \
    X(options_set_write_buffer_size)                                                               \
    X(options_set_block_size)                                                                      \
    X(options_set_max_file_size)                                                                   \
    X(options_set_compression)                                                                     \
    X(comparator_create)                                                                           \
    X(comparator_destroy)                                                                          \
    X(filterpolicy_create)                                                                         \
    X(filterpolicy_create_bloom)                                                                   \
    X(filterpolicy_destroy)                                                                        \
    X(readoptions_create)                                                                          \
    X(readoptions_destroy)                                                                         \
    X(readoptions_set_verify_checksums)                                                            \
    X(writeoptions_create)                                                                         \
    X(writeoptions_destroy)                                                                        \
    X(writeoptions_set_sync)                                                                       \
    X(free)

struct engine {
    const char *name;
    void *library;
#define ENGINE_MEMBER(name) __typeof__(leveldb_##name) *name;
    ENGINE_FUNCTIONS(ENGINE_MEMBER)
#undef ENGINE_MEMBER
};

/* Loads one. The test fails if it cannot be. */
void engine_load(struct engine *engine, const char *name, const char *path);

#endif
