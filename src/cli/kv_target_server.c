/*
 * A server as `quarry kv` uses it, through the RESP door. What is not of ordered keys is spoken as
 * to any Redis.
 *
 *     get        GET, PTTL                       property   KV.PROPERTY name
 *     change     SET … PXAT, DEL, KV.DELRANGE    walk       KV.RANGE from to LIMIT n [REV], page
 *                in a pipeline, or MULTI … EXEC             by page, from behind the last key
 *
 * A walk is not of one moment: what is written meanwhile may be met or not. A server without
 * KV.RANGE is walked by SCAN: unordered, and only without bounds.
 *
 * Locking: none; of one thread.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cli/cmd_kv.h>

#define PAGE_KEYS 512u
/* Sent before answers are read: more could fill both ends' buffers. */
#define PIPELINE_MAX   256u
#define PIPELINE_BYTES Q_KIB(256)
#define NUMBER_BYTES   24u

static struct quarry_kv_slice text(const char *word)
{
    return (struct quarry_kv_slice){word, strlen(word)};
}

static struct quarry_kv_slice bytes_of(const struct redis_value *value)
{
    return (struct quarry_kv_slice){value->bytes, value->byte_count};
}

/* ---- get ------------------------------------------------------------------------------------ */

static uint64_t wall_ms(void)
{
    return quarry_vfs_wall_ns(quarry_vfs_posix()) / Q_MS_NS;
}

static int server_get(struct kv_target *target, struct quarry_kv_slice key, bool *ret_is_found,
                      struct kv_bytes *ret_value, uint64_t *ret_expires_ms)
{
    struct redis_value value = {0}, left = {0};
    int code = redis_client_add(target->client, 2, (struct quarry_kv_slice[]){text("GET"), key});

    code = code == CLI_OK
               ? redis_client_add(target->client, 2, (struct quarry_kv_slice[]){text("PTTL"), key})
               : code;
    code = code == CLI_OK ? redis_client_flush(target->client) : code;
    code = code == CLI_OK ? redis_client_read(target->client, &value) : code;
    code = code == CLI_OK ? redis_client_read(target->client, &left) : code;
    if (code == CLI_OK && value.kind != REDIS_STRING && value.kind != REDIS_NIL) {
        code = redis_client_refused(target->client, &value);
    }
    *ret_is_found = value.kind == REDIS_STRING;
    *ret_expires_ms =
        left.kind == REDIS_INTEGER && left.integer > 0 ? wall_ms() + (uint64_t)left.integer : 0;
    if (code == CLI_OK && *ret_is_found &&
        !kv_bytes_set(ret_value, value.bytes, value.byte_count)) {
        code = kv_tool_fail(target->command, QUARRY_NO_MEMORY, NULL);
    }
    redis_value_free(&value);
    redis_value_free(&left);
    return code;
}

/* ---- changes -------------------------------------------------------------------------------- */

/* Bounds are words as ZRANGE BYLEX has them: "[key" or "(key"; "-" and "+" for those that are none.
 */
static int bound_word(const struct kv_command *command, struct quarry_kv_slice key, char sign,
                      struct kv_bytes *ret_word)
{
    bool is_made = key.bytes == NULL ? kv_bytes_set(ret_word, sign == '[' ? "-" : "+", 1)
                                     : kv_bytes_set(ret_word, &sign, 1) &&
                                           kv_bytes_add(ret_word, key.bytes, key.byte_count);

    return is_made ? CLI_OK : kv_tool_fail(command, QUARRY_NO_MEMORY, NULL);
}

static int add_range(struct kv_target *target, struct quarry_kv_slice from,
                     struct quarry_kv_slice to)
{
    struct kv_bytes from_word = {0}, to_word = {0};
    int code = bound_word(target->command, from, '[', &from_word);

    code = code == CLI_OK ? bound_word(target->command, to, '(', &to_word) : code;
    if (code == CLI_OK) {
        code = redis_client_add(target->client, 3,
                                (struct quarry_kv_slice[]){text("KV.DELRANGE"),
                                                           kv_bytes_slice(&from_word),
                                                           kv_bytes_slice(&to_word)});
    }
    kv_bytes_free(&from_word);
    kv_bytes_free(&to_word);
    return code;
}

static int add_change(struct kv_target *target, const struct kv_change *change)
{
    char number[NUMBER_BYTES];

    switch (change->kind) {
    case KV_CHANGE_PUT:
        (void)snprintf(number, sizeof number, "%" PRIu64, change->expires_ms);
        return redis_client_add(target->client, change->expires_ms == 0 ? 3 : 5,
                                (struct quarry_kv_slice[]){text("SET"), change->key, change->value,
                                                           text("PXAT"), text(number)});
    case KV_CHANGE_DELETE:
    case KV_CHANGE_SINGLE_DELETE:
        return redis_client_add(target->client, 2,
                                (struct quarry_kv_slice[]){text("DEL"), change->key});
    case KV_CHANGE_DELETE_RANGE:
        return add_range(target, change->key, change->value);
    case KV_CHANGE_MERGE:
        return cli_failure(target->command->name, "a server has no merge operators");
    }
    return CLI_FAILED;
}

/* Reads the answers to what was sent. The first that is an error is told. */
static int read_answers(struct kv_target *target, size_t count)
{
    struct redis_value reply;
    int code = CLI_OK, first = CLI_OK;

    for (size_t i = 0; i < count && code == CLI_OK; i++) {
        code = redis_client_read(target->client, &reply);
        if (code == CLI_OK && reply.kind == REDIS_ERROR && first == CLI_OK) {
            first = redis_client_refused(target->client, &reply);
        }
        redis_value_free(&reply);
    }
    return code != CLI_OK ? code : first;
}

static int change_some(struct kv_target *target, const struct kv_change *changes, size_t count)
{
    int code = CLI_OK;

    for (size_t i = 0; i < count && code == CLI_OK; i++) {
        code = add_change(target, &changes[i]);
    }
    code = code == CLI_OK ? redis_client_flush(target->client) : code;
    return code == CLI_OK ? read_answers(target, count) : code;
}

static int say(struct kv_target *target, const char *word, enum redis_kind expected)
{
    struct redis_value reply;
    int code = redis_client_say(target->client, &reply, (const char *const[]){word, NULL});

    if (code == CLI_OK && reply.kind != expected) {
        code = redis_client_refused(target->client, &reply);
    }
    for (size_t i = 0; code == CLI_OK && i < reply.item_count; i++) {
        if (reply.items[i].kind == REDIS_ERROR) {
            code = redis_client_refused(target->client, &reply.items[i]);
        }
    }
    redis_value_free(&reply);
    return code;
}

static int change_pieces(struct kv_target *target, const struct kv_change *changes,
                         size_t change_count)
{
    int code = CLI_OK;

    for (size_t i = 0; i < change_count && code == CLI_OK;) {
        uint64_t byte_count = 0;
        size_t count = 0;
        while (i + count < change_count && count < PIPELINE_MAX && byte_count < PIPELINE_BYTES) {
            byte_count += changes[i + count].key.byte_count + changes[i + count].value.byte_count;
            count++;
        }
        code = change_some(target, changes + i, count);
        i += count;
    }
    return code;
}

static int server_change(struct kv_target *target, const struct kv_change *changes,
                         size_t change_count, bool is_atomic)
{
    if (!is_atomic || change_count < 2) {
        return change_pieces(target, changes, change_count);
    }
    int code = say(target, "MULTI", REDIS_STRING);
    code = code == CLI_OK ? change_pieces(target, changes, change_count) : code;
    if (code == CLI_OK) {
        return say(target, "EXEC", REDIS_ARRAY);
    }
    (void)say(target, "DISCARD", REDIS_STRING);
    return code;
}

/* ---- walks ---------------------------------------------------------------------------------- */

struct server_walk {
    struct kv_target *target;
    const struct kv_walk *walk;
    kv_visit_function *visit;
    void *argument;
    struct kv_bytes bound; /* where the next page begins; or ends, where it is reverse */
    bool has_bound, is_end;
    uint64_t count;
};

/* The page ends with this key: the next one begins just behind it, or ends before it. */
static int move_bound(struct server_walk *walk, struct quarry_kv_slice key)
{
    bool is_set = kv_bytes_set(&walk->bound, key.bytes, key.byte_count) &&
                  (walk->walk->is_reverse || kv_bytes_add(&walk->bound, "", 1));

    walk->has_bound = true;
    return is_set ? CLI_OK : kv_tool_fail(walk->target->command, QUARRY_NO_MEMORY, NULL);
}

static int visit_page(struct server_walk *walk, const struct redis_value *reply, uint64_t asked)
{
    int code = CLI_OK;

    if (reply->kind != REDIS_ARRAY || reply->item_count % 2 != 0) {
        return redis_client_refused(walk->target->client, reply);
    }
    for (size_t i = 0; i < reply->item_count && code == CLI_OK; i += 2) {
        const struct kv_found found = {bytes_of(&reply->items[i]), bytes_of(&reply->items[i + 1]),
                                       0};
        code = found.key.bytes != NULL && found.value.bytes != NULL
                   ? walk->visit(walk->argument, &found)
                   : redis_client_refused(walk->target->client, &reply->items[i]);
        walk->count++;
    }
    walk->is_end = reply->item_count / 2 < asked;
    return code == CLI_OK && reply->item_count > 0
               ? move_bound(walk, bytes_of(&reply->items[reply->item_count - 2]))
               : code;
}

static int walk_page(struct server_walk *walk)
{
    bool is_reverse = walk->walk->is_reverse;
    uint64_t asked = size_min_u64(PAGE_KEYS, walk->walk->max - walk->count);
    struct quarry_kv_slice bound = kv_bytes_slice(&walk->bound);
    struct quarry_kv_slice from = walk->has_bound && !is_reverse ? bound : walk->walk->from;
    struct quarry_kv_slice to = walk->has_bound && is_reverse ? bound : walk->walk->to;
    struct kv_bytes from_word = {0}, to_word = {0};
    struct redis_value reply = {0};
    char number[NUMBER_BYTES];

    (void)snprintf(number, sizeof number, "%" PRIu64, asked);
    int code = bound_word(walk->target->command, from, '[', &from_word);
    code = code == CLI_OK ? bound_word(walk->target->command, to, '(', &to_word) : code;
    if (code == CLI_OK) {
        const struct quarry_kv_slice lower = kv_bytes_slice(&from_word),
                                     upper = kv_bytes_slice(&to_word);
        code = redis_client_call(
            walk->target->client, &reply, is_reverse ? 6 : 5,
            (struct quarry_kv_slice[]){text("KV.RANGE"), is_reverse ? upper : lower,
                                       is_reverse ? lower : upper, text("LIMIT"), text(number),
                                       text("REV")});
    }
    code = code == CLI_OK ? visit_page(walk, &reply, asked) : code;
    redis_value_free(&reply);
    kv_bytes_free(&from_word);
    kv_bytes_free(&to_word);
    return code;
}

/* ---- walks by SCAN -------------------------------------------------------------------------- */

/* The keys of a page and their values, of which some may be gone, or be no strings. */
static int visit_keys(struct server_walk *walk, const struct redis_value *keys)
{
    struct quarry_kv_slice words[2] = {text("GET")};
    struct redis_value value;
    int code = CLI_OK;

    for (size_t i = 0; i < keys->item_count && code == CLI_OK; i++) {
        words[1] = bytes_of(&keys->items[i]);
        code = redis_client_call(walk->target->client, &value, 2, words);
        if (code == CLI_OK && value.kind == REDIS_STRING && walk->count < walk->walk->max) {
            const struct kv_found found = {words[1], bytes_of(&value), 0};
            code = walk->visit(walk->argument, &found);
            walk->count++;
        }
        redis_value_free(&value);
    }
    return code;
}

static int scan_page(struct server_walk *walk, char cursor[NUMBER_BYTES])
{
    struct redis_value reply;
    int code = redis_client_say(walk->target->client, &reply,
                                (const char *const[]){"SCAN", cursor, "COUNT", "512", NULL});

    if (code == CLI_OK &&
        (reply.kind != REDIS_ARRAY || reply.item_count != 2 ||
         reply.items[0].kind != REDIS_STRING || reply.items[0].byte_count >= NUMBER_BYTES ||
         reply.items[1].kind != REDIS_ARRAY)) {
        code = redis_client_refused(walk->target->client, &reply);
    }
    if (code == CLI_OK) {
        memcpy(cursor, reply.items[0].bytes, reply.items[0].byte_count + 1);
        code = visit_keys(walk, &reply.items[1]);
    }
    redis_value_free(&reply);
    return code;
}

static int walk_by_scan(struct server_walk *walk)
{
    char cursor[NUMBER_BYTES] = "0";
    int code = CLI_OK;

    if (walk->walk->from.bytes != NULL || walk->walk->to.bytes != NULL || walk->walk->is_reverse) {
        return cli_failure(walk->target->command->name,
                           "%s keeps its keys in no order: no --from, --to or --reverse there",
                           walk->target->name);
    }
    do {
        code = scan_page(walk, cursor);
    } while (code == CLI_OK && strcmp(cursor, "0") != 0 && walk->count < walk->walk->max);
    return code;
}

/* Whether the server knows KV.RANGE. */
static int ask_for_order(struct kv_target *target, bool *ret_is_ordered)
{
    struct redis_value reply;
    int code = redis_client_say(target->client, &reply,
                                (const char *const[]){"KV.RANGE", "-", "+", "LIMIT", "0", NULL});

    *ret_is_ordered = reply.kind != REDIS_ERROR || strstr(reply.bytes, "unknown command") == NULL;
    redis_value_free(&reply);
    return code;
}

static int server_walk(struct kv_target *target, const struct kv_walk *options,
                       kv_visit_function *visit, void *argument)
{
    struct server_walk walk = {
        .target = target, .walk = options, .visit = visit, .argument = argument};
    bool is_ordered = false;
    int code = ask_for_order(target, &is_ordered);

    if (code == CLI_OK && !is_ordered) {
        return walk_by_scan(&walk);
    }
    while (code == CLI_OK && !walk.is_end && walk.count < options->max) {
        code = walk_page(&walk);
    }
    kv_bytes_free(&walk.bound);
    return code;
}

/* ---- properties ----------------------------------------------------------------------------- */

static int server_property(struct kv_target *target, const char *name, struct kv_bytes *ret_text)
{
    struct redis_value reply;
    int code =
        redis_client_say(target->client, &reply, (const char *const[]){"KV.PROPERTY", name, NULL});

    if (code == CLI_OK && reply.kind == REDIS_NIL) {
        code = cli_failure(target->command->name, "%s has no property '%s'", target->name, name);
    } else if (code == CLI_OK && reply.kind != REDIS_STRING) {
        code = redis_client_refused(target->client, &reply);
    } else if (code == CLI_OK && !kv_bytes_set(ret_text, reply.bytes, reply.byte_count + 1)) {
        code = kv_tool_fail(target->command, QUARRY_NO_MEMORY, NULL);
    } else if (code == CLI_OK) {
        ret_text->byte_count--; /* the NUL */
    }
    redis_value_free(&reply);
    return code;
}

const struct kv_target_ops kv_target_server = {
    .get = server_get,
    .change = server_change,
    .walk = server_walk,
    .property = server_property,
};

/* ---- opening -------------------------------------------------------------------------------- */

int kv_target_open_server(const struct kv_command *command, struct kv_target *target)
{
    const struct redis_client_options options = {.command = command->name,
                                                 .address = command->address,
                                                 .user = command->user,
                                                 .password_path = command->password_path,
                                                 .database = command->database};

    target->name = command->address;
    target->ops = &kv_target_server;
    target->client = malloc(sizeof *target->client);
    if (target->client == NULL) {
        return kv_tool_fail(command, QUARRY_NO_MEMORY, NULL);
    }
    target->client->connection.fd = -1;
    return redis_client_open(&options, target->client);
}
