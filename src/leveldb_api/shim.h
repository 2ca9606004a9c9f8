/*
 * What is behind LevelDB's types, and what the files of this folder share.
 */
#ifndef QUARRY_LEVELDB_API_SHIM_H
#define QUARRY_LEVELDB_API_SHIM_H

#include <stdbool.h>

#include <quarry/block.h>
#include <quarry/kv.h>

#include <base/base.h>
#include <os/os.h>

#include <leveldb_api/api.h>

/* ---- types ---------------------------------------------------------------------------------- */

struct leveldb_comparator_t {
    void *state;
    void (*destructor)(void *state);
    int (*compare)(void *state, const char *a, size_t alen, const char *b, size_t blen);
    const char *(*name)(void *state);
};

struct leveldb_filterpolicy_t {
    void *state;
    void (*destructor)(void *state); /* NULL: a Bloom filter, of `bits_per_key` */
    char *(*create_filter)(void *state, const char *const *key_array,
                           const size_t *key_length_array, int num_keys, size_t *filter_length);
    uint8_t (*key_may_match)(void *state, const char *key, size_t length, const char *filter,
                             size_t filter_length);
    const char *(*name)(void *state);
    int bits_per_key;
};

struct leveldb_cache_t {
    struct quarry_block_cache *cache; /* NULL: it could not be made; that of all is used */
};

struct leveldb_env_t {
    bool is_default;
};

struct leveldb_options_t {
    struct leveldb_comparator_t *comparator; /* NULL: memcmp's order */
    struct leveldb_filterpolicy_t *policy;   /* NULL: no filters */
    struct leveldb_cache_t *cache;           /* NULL: that of all */
    bool create_if_missing, error_if_exists;
    bool has_logger; /* of the program's: no LOG is written */
    bool compresses;
    size_t write_buffer_size, block_size, max_file_size;
    int max_open_files, block_restart_interval;
};

struct leveldb_readoptions_t {
    struct quarry_kv_read_options read;
    const struct leveldb_snapshot_t *snapshot;
};

struct leveldb_writeoptions_t {
    struct quarry_kv_write_options write;
};

/* Changes in the form of quarry_kv_batch_data. */
struct leveldb_writebatch_t {
    char *bytes;
    size_t byte_count, capacity;
    bool is_too_large; /* something was left out: it cannot be written */
};

struct leveldb_snapshot_t {
    const struct quarry_kv_snapshot *snapshot; /* NULL: there was no memory, and reads fail */
    struct leveldb_snapshot_t *next, **link;   /* guarded by the database's mutex */
};

struct leveldb_iterator_t {
    struct quarry_kv_iterator *iterator; /* NULL: it could not be made, or the database is closed */
    struct leveldb_t *db;
    struct quarry_error error;               /* why it could not */
    struct leveldb_iterator_t *next, **link; /* guarded by the database's mutex */
};

/* What the kv store borrows of a program's functions. */
struct shim_functions {
    struct quarry_kv_comparator comparator;
    struct quarry_kv_filter_policy policy;
    char *comparator_name, *policy_name; /* own; NULL: there is none */
};

struct leveldb_t {
    /* const while it is open */
    struct quarry_kv *kv;
    char *path;
    struct shim_log *log; /* NULL: none */
    uint32_t name;        /* of its account: a place in the table of names */
    bool uses_shared_cache;
    struct shim_functions functions;
    struct os_mutex mutex;
    /* guarded by mutex */
    struct leveldb_snapshot_t *snapshots;
    struct leveldb_iterator_t *iterators;
};

/* ---- memory --------------------------------------------------------------------------------- */

/* Zeroed, of malloc. LevelDB's constructors have no way to fail: without memory the program ends,
 * with a line that says so, as it does there. */
void *shim_alloc(size_t byte_count);
/* A text of malloc; NULL: there is no memory. */
char *shim_format(const char *format, ...) Q_PRINTF(1, 2);

/* The memory of all databases, made by the first call. Returns: borrowed for ever; NULL: failed. */
struct quarry_memory *shim_memory(struct quarry_error *error);

/* A name for an account that no open database has. Errors: QUARRY_TOO_MANY. */
#define SHIM_NAME_BYTES 24u
enum quarry_status shim_name_take(uint32_t *ret_name, struct quarry_error *error);
void shim_name_give(uint32_t name);
/* Returns: `room`. */
const char *shim_name_text(uint32_t name, char room[SHIM_NAME_BYTES]);

/* The block cache of databases that have none of their own: there while anybody uses it. */
enum quarry_status shim_shared_cache_acquire(struct quarry_block_cache **ret_cache,
                                             struct quarry_error *error);
void shim_shared_cache_release(void);

/* ---- errors --------------------------------------------------------------------------------- */

/* Puts a text in the place of `*errptr`. `kind`: "IO error", …; `format`: what follows it. */
void shim_fail(char **errptr, const char *kind, const char *format, ...) Q_PRINTF(3, 4);
/* The same of an error of the store's, in LevelDB's words where it has some. `path`: of the
 * database. */
void shim_fail_store(char **errptr, const char *path, const struct quarry_error *error);
/* The same of an operation on a file, as LevelDB tells it. `name`: the file, as LevelDB names it.
 */
void shim_fail_file(char **errptr, const char *name, const struct quarry_error *error);

/* ---- options -------------------------------------------------------------------------------- */

/*
 * What the store is to be. `functions`: written; borrowed by the options. `ret_options`: without
 * name, cache and listener.
 */
void shim_options_of(const struct leveldb_options_t *options, struct shim_functions *functions,
                     struct quarry_kv_options *ret_options);
void shim_functions_fini(struct shim_functions *functions);

/* ---- the directory -------------------------------------------------------------------------- */

struct shim_log;

/* Begins a new LOG, and keeps the last one as LOG.old. Returns: own; NULL: it cannot be written. */
struct shim_log *shim_log_open(const char *path);
void shim_log_close(struct shim_log *log);
/* What a store tells: struct quarry_kv_listener. `argument`: a log. */
void shim_log_notice(void *argument, const struct quarry_kv_event_data *data);
void shim_log_write(struct shim_log *log, const char *format, ...) Q_PRINTF(2, 3);

/*
 * Looks at a directory as LevelDB does before it reads a manifest: lock, CURRENT. False: `*errptr`
 * says what is wrong.
 */
bool shim_check_directory(const struct leveldb_options_t *options, const char *path, char **errptr);

#endif
