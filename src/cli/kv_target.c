/*
 * A store in a directory as `quarry kv` uses it, and what the three kinds of target share.
 *
 * The store's memory is one of its own, of --memory bytes: the tool stays within it whatever the
 * store's size. A verb that only reads opens it so that no lock is taken and nothing is written,
 * and can look at a store that is open elsewhere.
 *
 * Locking: none; of one thread.
 */
#include <cli/kv_target.h>

#include <stdlib.h>
#include <string.h>

#include <cli/cmd_kv.h>

/* ---- what went wrong ------------------------------------------------------------------------ */

/* What to do about it; NULL: the text says all. */
static const char *advice(const struct kv_command *command, enum quarry_status status,
                          const struct quarry_error *error)
{
    switch ((int)status) {
    case QUARRY_BUSY:
        return "somebody has it open: stop them, look at it with --read-only, or ask the server "
               "with --server";
    case QUARRY_NO_MEMORY:
        return "--memory gives it more";
    case QUARRY_CORRUPT:
        return "'quarry kv verify' looks at all of it, 'quarry kv repair' saves what there is";
    case QUARRY_NOT_FOUND:
        return (command->verb->takes & KV_TAKES_CREATE) != 0 && !command->creates
                   ? "--create makes one"
                   : NULL;
    case QUARRY_UNSUPPORTED:
        return error != NULL && strstr(error->text, "merge operator") != NULL
                   ? "--set merge_operator=stringappend, uint64add or max says which it is"
                   : NULL;
    case QUARRY_PERMISSION:
        return command->is_read_only ? "it was opened with --read-only" : NULL;
    default:
        return NULL;
    }
}

int kv_tool_fail(const struct kv_command *command, enum quarry_status status,
                 const struct quarry_error *error)
{
    const char *more = advice(command, status, error);
    const char *text =
        error != NULL && error->status != QUARRY_OK ? error->text : quarry_status_text(status);

    Q_ASSERT(status != QUARRY_OK);
    (void)cli_failure(command->name, "%s%s%s", text, more == NULL ? "" : "; ",
                      more == NULL ? "" : more);
    return status == QUARRY_BUSY ? CLI_BUSY : CLI_FAILED;
}

int kv_tool_memory(const struct kv_command *command, struct quarry_memory **ret_memory)
{
    const struct quarry_memory_options options = {.limit_bytes = command->memory_bytes};
    struct quarry_error error = {0};
    enum quarry_status status = quarry_memory_create(&options, ret_memory, &error);

    return status == QUARRY_OK ? CLI_OK : kv_tool_fail(command, status, &error);
}

/* ---- a plain store -------------------------------------------------------------------------- */

static int plain_get(struct kv_target *target, struct quarry_kv_slice key, bool *ret_is_found,
                     struct kv_bytes *ret_value, uint64_t *ret_expires_ms)
{
    struct quarry_error error = {0};
    struct quarry_kv_value value = {0};
    enum quarry_status status =
        quarry_kv_get(target->kv, NULL, key.bytes, key.byte_count, &value, &error);

    *ret_is_found = status == QUARRY_OK;
    *ret_expires_ms = 0;
    if (status == QUARRY_OK && !kv_bytes_set(ret_value, value.bytes, value.byte_count)) {
        status = QUARRY_NO_MEMORY;
    }
    quarry_kv_value_release(&value);
    return status == QUARRY_OK || status == QUARRY_NOT_FOUND
               ? CLI_OK
               : kv_tool_fail(target->command, status, &error);
}

static enum quarry_status add_change(struct quarry_kv_batch *batch, const struct kv_change *change)
{
    struct quarry_kv_slice key = change->key, value = change->value;

    switch (change->kind) {
    case KV_CHANGE_PUT:
        return quarry_kv_batch_put(batch, key.bytes, key.byte_count, value.bytes, value.byte_count);
    case KV_CHANGE_DELETE:
        return quarry_kv_batch_delete(batch, key.bytes, key.byte_count);
    case KV_CHANGE_SINGLE_DELETE:
        return quarry_kv_batch_single_delete(batch, key.bytes, key.byte_count);
    case KV_CHANGE_DELETE_RANGE:
        return quarry_kv_batch_delete_range(batch, key.bytes, key.byte_count, value.bytes,
                                            value.byte_count);
    case KV_CHANGE_MERGE:
        return quarry_kv_batch_merge(batch, key.bytes, key.byte_count, value.bytes,
                                     value.byte_count);
    }
    return QUARRY_BAD_INPUT;
}

static int plain_change(struct kv_target *target, const struct kv_change *changes,
                        size_t change_count, bool is_atomic)
{
    struct quarry_error error = {0};
    enum quarry_status status = QUARRY_OK;

    (void)is_atomic; /* a batch always is */
    quarry_kv_batch_clear(target->batch);
    for (size_t i = 0; i < change_count && status == QUARRY_OK; i++) {
        if (changes[i].expires_ms != 0) {
            return cli_failure(target->command->name,
                               "%s is a plain store, in which nothing expires: say --database, or "
                               "--server",
                               target->name);
        }
        status = add_change(target->batch, &changes[i]);
    }
    if (status == QUARRY_OK) {
        status = quarry_kv_write(target->kv, NULL, target->batch, &error);
    }
    return status == QUARRY_OK ? CLI_OK : kv_tool_fail(target->command, status, &error);
}

/* Puts an iterator where a walk begins. Returns: whether it is at a key. */
static bool begin_walk(struct quarry_kv_iterator *iterator, bool is_reverse)
{
    return is_reverse ? quarry_kv_iterator_last(iterator) : quarry_kv_iterator_first(iterator);
}

static int plain_walk(struct kv_target *target, const struct kv_walk *walk,
                      kv_visit_function *visit, void *argument)
{
    const struct quarry_kv_read_options options = {
        .lower = walk->from, .upper = walk->to, .leaves_no_trace = true};
    struct quarry_kv_iterator *iterator = NULL;
    struct quarry_error error = {0};
    uint64_t count = 0;
    int code = CLI_OK;
    enum quarry_status status = quarry_kv_iterate(target->kv, &options, &iterator, &error);

    if (status != QUARRY_OK) {
        return kv_tool_fail(target->command, status, &error);
    }
    bool is_at_key = begin_walk(iterator, walk->is_reverse);
    for (; is_at_key && code == CLI_OK && count < walk->max; count++) {
        const struct kv_found found = {quarry_kv_iterator_key(iterator),
                                       quarry_kv_iterator_value(iterator), 0};
        code = visit(argument, &found);
        is_at_key = walk->is_reverse ? quarry_kv_iterator_previous(iterator)
                                     : quarry_kv_iterator_next(iterator);
    }
    status = quarry_kv_iterator_status(iterator, &error);
    quarry_kv_iterator_destroy(iterator);
    return code != CLI_OK || status == QUARRY_OK ? code
                                                 : kv_tool_fail(target->command, status, &error);
}

/* Of a store in a directory, plain or not. */
static int plain_property(struct kv_target *target, const char *name, struct kv_bytes *ret_text)
{
    size_t wanted = 4096;

    do {
        if (!kv_bytes_reserve(ret_text, wanted + 1)) {
            return kv_tool_fail(target->command, QUARRY_NO_MEMORY, NULL);
        }
        if (quarry_kv_property(target->kv, name, ret_text->bytes, ret_text->capacity, &wanted) !=
            QUARRY_OK) {
            return cli_failure(target->command->name,
                               "there is no property '%s'; 'quarry kv property' lists them", name);
        }
    } while (wanted >= ret_text->capacity);
    ret_text->byte_count = wanted;
    return CLI_OK;
}

const struct kv_target_ops kv_target_plain = {
    .get = plain_get,
    .change = plain_change,
    .walk = plain_walk,
    .property = plain_property,
};

/* ---- opening -------------------------------------------------------------------------------- */

static int open_plain(const struct kv_command *command, const struct quarry_kv_options *options,
                      struct kv_target *target)
{
    struct quarry_error error = {0};
    enum quarry_status status =
        quarry_kv_open(target->memory, command->path, options, &target->kv, &error);

    if (status == QUARRY_OK) {
        target->ops = &kv_target_plain;
        status = quarry_kv_batch_create(target->kv, false, &target->batch);
    }
    return status == QUARRY_OK ? CLI_OK : kv_tool_fail(command, status, &error);
}

int kv_target_open(const struct kv_command *command, bool writes, struct kv_target *ret_target)
{
    struct quarry_kv_options options;

    *ret_target = (struct kv_target){.command = command, .name = command->path};
    if (command->is_server) {
        int opened = kv_target_open_server(command, ret_target);
        return opened == CLI_OK ? CLI_OK : kv_target_close(ret_target, opened);
    }
    int code = kv_store_options(command, command->path, &options);
    if (code != CLI_OK) {
        return code;
    }
    options.read_only = options.read_only || command->is_read_only || !writes;
    options.create_if_missing = options.create_if_missing || command->creates;
    options.error_if_exists = options.error_if_exists || command->is_fresh;
    code = kv_tool_memory(command, &ret_target->memory);
    if (code == CLI_OK) {
        code = command->has_database ? kv_target_open_keyspace(command, &options, ret_target)
                                     : open_plain(command, &options, ret_target);
    }
    return code == CLI_OK ? CLI_OK : kv_target_close(ret_target, code);
}

int kv_target_close(struct kv_target *target, int code)
{
    struct quarry_error error = {0};
    enum quarry_status status = QUARRY_OK;

    if (target->client != NULL) {
        redis_client_close(target->client);
        free(target->client);
    }
    quarry_kv_batch_destroy(target->batch);
    if (target->keyspace != NULL) {
        status = keyspace_close(target->keyspace, &error);
    } else if (target->kv != NULL) {
        status = quarry_kv_close(target->kv, &error);
    }
    if (status != QUARRY_OK && code == CLI_OK) {
        code = kv_tool_fail(target->command, status, &error);
    }
    if (status != QUARRY_BUSY) {
        quarry_memory_destroy(target->memory);
    }
    *target = (struct kv_target){0};
    return code;
}

int kv_target_select(struct kv_target *target, uint32_t database)
{
    if (target->client != NULL) {
        return redis_client_select(target->client, database);
    }
    Q_ASSERT(target->keyspace != NULL && database < KEYSPACE_DATABASES_MAX);
    target->scope.database = (uint8_t)database;
    return CLI_OK;
}
