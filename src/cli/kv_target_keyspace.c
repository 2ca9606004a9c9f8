/*
 * A database of a keyspace in a directory: what a server's clients see of it.
 *
 * Changes hold the keys that they change; ranges hold all. What has expired is not seen.
 *
 * Locking: that of the keyspace; the tool has one thread.
 */
#include <stdlib.h>

#include <cli/cmd_kv.h>

/* Keys of one change that are locked one by one; more of them lock all. */
#define KEYS_LOCKED_MAX 256u

static int keyspace_target_get(struct kv_target *target, struct quarry_kv_slice key,
                               bool *ret_is_found, struct kv_bytes *ret_value,
                               uint64_t *ret_expires_ms)
{
    struct quarry_error error = {0};
    struct keyspace_value value = {0};
    enum quarry_status status =
        keyspace_read(target->keyspace, &target->scope, key, false, &value, &error);

    *ret_is_found = status == QUARRY_OK;
    *ret_expires_ms = value.expires_ms;
    if (status == QUARRY_OK && !kv_bytes_set(ret_value, value.bytes, value.byte_count)) {
        status = QUARRY_NO_MEMORY;
    }
    if (*ret_is_found) {
        keyspace_value_release(&value);
    }
    return status == QUARRY_OK || status == QUARRY_NOT_FOUND
               ? CLI_OK
               : kv_tool_fail(target->command, status, &error);
}

/* ---- changes -------------------------------------------------------------------------------- */

static enum quarry_status apply(struct keyspace_change *change, const struct keyspace_scope *scope,
                                const struct kv_change *wanted)
{
    switch (wanted->kind) {
    case KV_CHANGE_PUT:
        return keyspace_put(change, scope, wanted->key, wanted->value, wanted->expires_ms);
    case KV_CHANGE_DELETE:
    case KV_CHANGE_SINGLE_DELETE:
        return keyspace_delete(change, scope, wanted->key);
    case KV_CHANGE_DELETE_RANGE:
        return keyspace_delete_range(change, scope, wanted->key, wanted->value);
    case KV_CHANGE_MERGE:
        return QUARRY_UNSUPPORTED;
    }
    return QUARRY_BAD_INPUT;
}

/* Whether each key can be locked by itself. */
static bool can_lock_keys(const struct kv_change *changes, size_t change_count,
                          struct quarry_kv_slice keys[KEYS_LOCKED_MAX])
{
    if (change_count > KEYS_LOCKED_MAX) {
        return false;
    }
    for (size_t i = 0; i < change_count; i++) {
        if (changes[i].kind == KV_CHANGE_DELETE_RANGE) {
            return false;
        }
        keys[i] = changes[i].key;
    }
    return true;
}

static int keyspace_target_change(struct kv_target *target, const struct kv_change *changes,
                                  size_t change_count, bool is_atomic)
{
    struct quarry_kv_slice keys[KEYS_LOCKED_MAX];
    bool locks_keys = can_lock_keys(changes, change_count, keys);
    const struct keyspace_keys set = {target->scope, keys, change_count};
    struct keyspace_change change;
    struct quarry_error error = {0};

    (void)is_atomic; /* a change always is */
    enum quarry_status status = keyspace_begin(target->keyspace, &set, locks_keys ? 1 : 0,
                                               locks_keys ? 0 : KEYSPACE_ALL_KEYS, &change);
    if (status != QUARRY_OK) {
        return kv_tool_fail(target->command, status, NULL);
    }
    for (size_t i = 0; i < change_count && status == QUARRY_OK; i++) {
        status = apply(&change, &target->scope, &changes[i]);
    }
    if (status == QUARRY_OK) {
        status = keyspace_commit(&change, &error);
    } else {
        keyspace_abort(&change);
    }
    return status == QUARRY_OK ? CLI_OK : kv_tool_fail(target->command, status, &error);
}

/* ---- walks ---------------------------------------------------------------------------------- */

static int keyspace_target_walk(struct kv_target *target, const struct kv_walk *walk,
                                kv_visit_function *visit, void *argument)
{
    const struct keyspace_walk_options options = {
        .begin = walk->from, .end = walk->to, .is_reverse = walk->is_reverse};
    struct keyspace_walk *begun = NULL;
    struct quarry_error error = {0};
    struct quarry_kv_slice key;
    struct keyspace_value value;
    uint64_t count = 0;
    int code = CLI_OK;
    enum quarry_status status =
        keyspace_walk_begin(target->keyspace, &target->scope, &options, &begun, &error);

    if (status != QUARRY_OK) {
        return kv_tool_fail(target->command, status, &error);
    }
    for (; code == CLI_OK && count < walk->max; count++) {
        status = keyspace_walk_next(begun, &key, &value, &error);
        if (status != QUARRY_OK) {
            break;
        }
        const struct kv_found found = {key, {value.bytes, value.byte_count}, value.expires_ms};
        code = visit(argument, &found);
    }
    keyspace_walk_end(begun);
    return code != CLI_OK || status == QUARRY_OK || status == QUARRY_NOT_FOUND
               ? code
               : kv_tool_fail(target->command, status, &error);
}

static int keyspace_target_property(struct kv_target *target, const char *name,
                                    struct kv_bytes *ret_text)
{
    return kv_target_plain.property(target, name, ret_text);
}

const struct kv_target_ops kv_target_keyspace = {
    .get = keyspace_target_get,
    .change = keyspace_target_change,
    .walk = keyspace_target_walk,
    .property = keyspace_target_property,
};

/* ---- opening -------------------------------------------------------------------------------- */

int kv_target_open_keyspace(const struct kv_command *command,
                            const struct quarry_kv_options *options, struct kv_target *target)
{
    const struct keyspace_options none = {0};
    const char *tenant = command->tenant != NULL ? command->tenant : "";
    struct quarry_error error = {0};
    enum quarry_status status =
        keyspace_open(target->memory, command->path, options, &none, &target->keyspace, &error);

    if (status != QUARRY_OK) {
        return kv_tool_fail(command, status, &error);
    }
    target->ops = &kv_target_keyspace;
    target->kv = keyspace_kv(target->keyspace);
    status = keyspace_scope_of(target->keyspace, tenant, (uint8_t)command->database,
                               !options->read_only, &target->scope, &error);
    if (status == QUARRY_NOT_FOUND) {
        return cli_failure(command->name, "%s has no tenant '%s'", command->path, tenant);
    }
    return status == QUARRY_OK ? CLI_OK : kv_tool_fail(command, status, &error);
}
