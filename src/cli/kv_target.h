/*
 * What a verb of `quarry kv` works on: a store in a directory, a database of a keyspace in one, or
 * a server. Keys and values are the user's in all of them.
 *
 *     plain      quarry_kv_open: the keys as they are in the files
 *     keyspace   --database: as the server's clients see them, without prefix and header
 *     server     --server: through the RESP door
 *
 * Calls say what is wrong on stderr, and return an exit code.
 */
#ifndef QUARRY_CLI_KV_TARGET_H
#define QUARRY_CLI_KV_TARGET_H

#include <base/base.h>
#include <keyspace/keyspace.h>

#include <cli/kv_text.h>
#include <cli/redis_client.h>

struct kv_command;
struct kv_target;

enum kv_change_kind {
    KV_CHANGE_PUT,
    KV_CHANGE_DELETE,
    KV_CHANGE_SINGLE_DELETE,
    KV_CHANGE_DELETE_RANGE, /* of keys from `key` up to and without `value` */
    KV_CHANGE_MERGE,
};
struct kv_change {
    enum kv_change_kind kind;
    struct quarry_kv_slice key, value;
    uint64_t expires_ms; /* of PUT; 0: never */
};

struct kv_walk {
    struct quarry_kv_slice from, to; /* bytes NULL: no bound */
    bool is_reverse;
    uint64_t max;
};
/* What a walk meets; borrowed for the call. Returns: an exit code; what is not CLI_OK ends it. */
struct kv_found {
    struct quarry_kv_slice key, value;
    uint64_t expires_ms; /* 0: never, or not known */
};
typedef int kv_visit_function(void *argument, const struct kv_found *found);

struct kv_target_ops {
    int (*get)(struct kv_target *target, struct quarry_kv_slice key, bool *ret_is_found,
               struct kv_bytes *ret_value, uint64_t *ret_expires_ms);
    /* All at one moment, if `is_atomic`. */
    int (*change)(struct kv_target *target, const struct kv_change *changes, size_t change_count,
                  bool is_atomic);
    int (*walk)(struct kv_target *target, const struct kv_walk *walk, kv_visit_function *visit,
                void *argument);
    int (*property)(struct kv_target *target, const char *name, struct kv_bytes *ret_text);
};

struct kv_target {
    const struct kv_target_ops *ops;
    const struct kv_command *command;
    const char *name; /* the directory, or the server's address */
    /* plain and keyspace */
    struct quarry_memory *memory;
    struct quarry_kv *kv; /* NULL: a server */
    struct quarry_kv_batch *batch;
    /* keyspace */
    struct keyspace *keyspace;
    struct keyspace_scope scope;
    /* server */
    struct redis_client *client;
};

/* Opens what the command line says, for reading or writing. */
int kv_target_open(const struct kv_command *command, bool writes, struct kv_target *ret_target);
/* `code`: of what was done. Returns: it, or what went wrong with closing. */
int kv_target_close(struct kv_target *target, int code);

extern const struct kv_target_ops kv_target_plain, kv_target_keyspace, kv_target_server;
int kv_target_open_keyspace(const struct kv_command *command,
                            const struct quarry_kv_options *options, struct kv_target *target);
int kv_target_open_server(const struct kv_command *command, struct kv_target *target);

/* Another database from now on; of a keyspace or a server. */
int kv_target_select(struct kv_target *target, uint32_t database);

/* Says what failed, and what to do about it. Returns: an exit code. */
int kv_tool_fail(const struct kv_command *command, enum quarry_status status,
                 const struct quarry_error *error);
/* A memory of --memory bytes. `ret_memory`: own. */
int kv_tool_memory(const struct kv_command *command, struct quarry_memory **ret_memory);

#endif
