/*
 * The store below all databases, for who administers it: KV.PROPERTY, KV.COMPACT, KV.CHECKPOINT.
 *
 *   KV.PROPERTY name      as quarry_kv_property has them: "rocksdb.stats", "quarry.stats", …; null
 *                         where there is none of the name
 *   KV.COMPACT            answers OK when it is done
 *   KV.CHECKPOINT name    answers the path of a directory that is a store as this one is now,
 *                         checkpoints/name in the server's data directory
 *
 * A checkpoint's name is letters, digits, '-', '_' and '.', of which it does not begin with one: a
 * client says where nothing is written.
 *
 * They tell and change what is all tenants' together, so they need the right of administration. All
 * run on the executor: they read files, and wait for them.
 */
#include <serve/resp/admin_state.h>
#include <serve/resp/table.h>

#include <serve/buffers.h>

#include <stdio.h>
#include <string.h>

#define NAME_BYTES    64u
#define PATH_BYTES    1200u
#define PROPERTY_ROOM 4096u

/* False: it is too long, or has a NUL. */
static bool copy_word(struct quarry_kv_slice word, char name[NAME_BYTES])
{
    if (word.byte_count >= NAME_BYTES || memchr(word.bytes, '\0', word.byte_count) != NULL) {
        return false;
    }
    memcpy(name, word.bytes, word.byte_count);
    name[word.byte_count] = '\0';
    return true;
}

/* ---- KV.PROPERTY ---------------------------------------------------------------------------- */

/* A text that has no room on the stack. It may have grown meanwhile, and is cut off then. */
static void say_long(struct resp_call *call, const char *name, size_t byte_count)
{
    char *room = serve_buffer_take(call->common->memory, byte_count + 1);
    size_t bytes = 0;

    if (room == NULL) {
        resp_say_status(call->reply, QUARRY_NO_MEMORY, NULL);
        return;
    }
    (void)quarry_kv_property(keyspace_kv(call->keyspace), name, room, byte_count + 1, &bytes);
    resp_say_bulk(call->reply, room, size_min(bytes, byte_count));
    serve_buffer_give(call->common->memory, room);
}

enum resp_outcome resp_kv_property(struct resp_call *call)
{
    char name[NAME_BYTES], room[PROPERTY_ROOM];
    size_t bytes = 0;

    if (!call->may_wait) {
        return RESP_BUSY;
    }
    if (!copy_word(call->words[1], name) ||
        quarry_kv_property(keyspace_kv(call->keyspace), name, room, sizeof room, &bytes) !=
            QUARRY_OK) {
        resp_say_null(call->reply);
    } else if (bytes < sizeof room) {
        resp_say_bulk(call->reply, room, bytes);
    } else {
        say_long(call, name, bytes);
    }
    return RESP_ANSWERED;
}

/* ---- KV.COMPACT ----------------------------------------------------------------------------- */

enum resp_outcome resp_kv_compact(struct resp_call *call)
{
    const struct quarry_kv_slice none = {NULL, 0};
    struct quarry_error error = {0};

    if (!call->may_wait) {
        return RESP_BUSY;
    }
    enum quarry_status status =
        quarry_kv_compact_range(keyspace_kv(call->keyspace), none, none, &error);
    if (status == QUARRY_OK) {
        resp_say_ok(call->reply);
    } else {
        resp_say_status(call->reply, status, &error);
    }
    return RESP_ANSWERED;
}

/* ---- KV.CHECKPOINT -------------------------------------------------------------------------- */

static bool is_name(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789-_.";

    return name[0] != '\0' && name[0] != '.' && strspn(name, letters) == strlen(name);
}

static enum quarry_status checkpoint(struct resp_call *call, const char *name,
                                     char path[PATH_BYTES], struct quarry_error *error)
{
    struct quarry_vfs *vfs = quarry_vfs_posix();
    struct resp_settings settings;

    resp_admin_read_settings(&settings);
    if (settings.data_path[0] == '\0') {
        return error_set(error, QUARRY_UNSUPPORTED, "this server has no data directory");
    }
    (void)snprintf(path, PATH_BYTES, "%s/checkpoints", settings.data_path);
    enum quarry_status status = quarry_vfs_make_directory(vfs, path, error);
    if (status != QUARRY_OK && status != QUARRY_EXISTS) {
        return status;
    }
    (void)snprintf(path, PATH_BYTES, "%s/checkpoints/%s", settings.data_path, name);
    return quarry_kv_checkpoint(keyspace_kv(call->keyspace), path, error);
}

enum resp_outcome resp_kv_checkpoint(struct resp_call *call)
{
    char name[NAME_BYTES], path[PATH_BYTES];
    struct quarry_error error = {0};

    if (!call->may_wait) {
        return RESP_BUSY;
    }
    if (!copy_word(call->words[1], name) || !is_name(name)) {
        resp_say_error(call->reply, "ERR a checkpoint's name is letters, digits, '-', '_' and '.', "
                                    "up to 63 of them");
        return RESP_ANSWERED;
    }
    enum quarry_status status = checkpoint(call, name, path, &error);
    if (status == QUARRY_OK) {
        resp_say_text(call->reply, path);
    } else {
        resp_say_status(call->reply, status, &error);
    }
    return RESP_ANSWERED;
}
