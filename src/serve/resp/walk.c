/*
 * Commands over all keys of a database: SCAN, KEYS, RANDOMKEY.
 *
 * The store is ordered, so SCAN goes through it from one end to the other, and a cursor stands for
 * the key behind which to go on: what is there all the time is told once, never twice. KEYS with a
 * pattern that begins with bytes as they are, `user:*`, looks at nothing but keys that begin so.
 *
 * In EXEC, KEYS and RANDOMKEY see what the transaction has done so far; SCAN, whose walk outlives
 * it, sees the database as it was before.
 *
 * Cost: SCAN a seek and COUNT steps; KEYS a step for each key that begins as the pattern does, by a
 * thread of the executor.
 */
#include <serve/resp/access.h>
#include <serve/resp/collect.h>
#include <serve/resp/glob.h>
#include <serve/resp/key_commands.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keys that a worker looks at for one SCAN; more is for the executor. */
#define SCAN_COUNT_ON_WORKER 1000
/* And at most at all: a client that asks for more goes on by its cursor. */
#define SCAN_COUNT_MAX ((int64_t)1 << 20)
/*
 * The longest pattern, and that which a worker tries: matching takes at most its length times a
 * key's, which is 64 KiB, in steps of a nanosecond or two.
 */
#define PATTERN_BYTES_MAX       4096u
#define PATTERN_BYTES_ON_WORKER 128u
/* Keys that SCAN looks at where nothing is said. */
#define SCAN_COUNT_DEFAULT 10

/* False: an error was said: a pattern is too long. Redis' can have any length. */
static bool pattern_fits(struct resp_call *call, struct quarry_kv_slice pattern)
{
    if (pattern.byte_count <= PATTERN_BYTES_MAX) {
        return true;
    }
    resp_say_error(call->reply, "ERR pattern of %zu bytes is longer than %u", pattern.byte_count,
                   PATTERN_BYTES_MAX);
    return false;
}

/* Says why a collection was not made; whether it was made. */
static bool is_collected(struct resp_call *call, struct resp_collection *collection,
                         enum quarry_status status, const struct quarry_error *error,
                         enum resp_outcome *ret_outcome)
{
    *ret_outcome = RESP_ANSWERED;
    if (status == QUARRY_OK && collection->status == QUARRY_OK) {
        return true;
    }
    if (status == QUARRY_OK && collection->status == QUARRY_TOO_LARGE) {
        resp_say_error(call->reply, "ERR the answer is longer than %llu bytes",
                       (unsigned long long)collection->bytes_max);
    } else {
        status = status == QUARRY_OK ? collection->status : status;
        *ret_outcome = resp_fail(call, NULL, status, error);
    }
    resp_collection_fini(collection);
    return false;
}

/* ---- SCAN ----------------------------------------------------------------------------------- */

struct scan {
    uint64_t cursor;
    int64_t count;
    struct quarry_kv_slice pattern; /* bytes NULL: all */
    bool takes_none;                /* TYPE of something else than strings */
    struct resp_collection collection;
};

/* Longer texts are no number. */
#define CURSOR_BYTES 40u

/* Reads a cursor as strtoul does: signs are taken, and nothing is 0. */
static bool read_cursor(struct quarry_kv_slice word, uint64_t *ret_cursor)
{
    char text[CURSOR_BYTES + 1], *end;

    if (word.byte_count > CURSOR_BYTES) {
        return false;
    }
    memcpy(text, word.bytes, word.byte_count);
    text[word.byte_count] = '\0';
    if (text[0] == ' ' || (text[0] >= '\t' && text[0] <= '\r')) {
        return false;
    }
    errno = 0;
    unsigned long long cursor = strtoull(text, &end, 10);
    if (end != text + word.byte_count || errno == ERANGE) {
        return false;
    }
    *ret_cursor = cursor;
    return true;
}

/* Reads COUNT's number. False: an error was said. */
static bool read_count(struct resp_call *call, struct quarry_kv_slice word, int64_t *ret_count)
{
    int64_t count;

    if (!resp_read_integer(word, &count)) {
        resp_say_not_an_integer(call->reply);
        return false;
    }
    if (count < 1) {
        resp_say_syntax_error(call->reply);
        return false;
    }
    *ret_count = count < SCAN_COUNT_MAX ? count : SCAN_COUNT_MAX;
    return true;
}

/* Reads the words from the cursor on. False: an error was said. */
static bool read_scan(struct resp_call *call, struct scan *scan)
{
    if (!read_cursor(call->words[1], &scan->cursor)) {
        resp_say_error(call->reply, "ERR invalid cursor");
        return false;
    }
    for (size_t i = 2; i < call->word_count; i += 2) {
        bool has_value = i + 1 < call->word_count;

        if (has_value && resp_is(call->words[i], "count")) {
            if (!read_count(call, call->words[i + 1], &scan->count)) {
                return false;
            }
        } else if (has_value && resp_is(call->words[i], "match")) {
            scan->pattern = call->words[i + 1];
            if (!pattern_fits(call, scan->pattern)) {
                return false;
            }
        } else if (has_value && resp_is(call->words[i], "type")) {
            scan->takes_none = !resp_is(call->words[i + 1], "string");
        } else {
            resp_say_syntax_error(call->reply);
            return false;
        }
    }
    return true;
}

static void visit(void *argument, struct quarry_kv_slice key, const struct keyspace_value *value)
{
    struct scan *scan = argument;

    (void)value;
    if (!scan->takes_none &&
        (scan->pattern.bytes == NULL || resp_glob_matches(scan->pattern, key))) {
        (void)resp_collect(&scan->collection, key); /* its status is looked at in the end */
    }
}

static void say_cursor(struct resp_reply *reply, uint64_t cursor)
{
    char text[CURSOR_BYTES];

    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)cursor);
    resp_say_text(reply, text);
}

enum resp_outcome resp_scan(struct resp_call *call)
{
    struct scan scan = {.count = SCAN_COUNT_DEFAULT, .collection = resp_collection_of(call)};
    struct quarry_error error = {0};
    enum resp_outcome outcome;
    uint64_t cursor = 0;

    if (!read_scan(call, &scan)) {
        return RESP_ANSWERED;
    }
    bool is_long =
        scan.count > SCAN_COUNT_ON_WORKER || scan.pattern.byte_count > PATTERN_BYTES_ON_WORKER;
    if (is_long && !call->may_wait) {
        return RESP_BUSY;
    }
    enum quarry_status status =
        keyspace_scan(call->keyspace, &call->session->scope, scan.cursor, (uint64_t)scan.count,
                      !call->may_wait, call->transaction, visit, &scan, &cursor, &error);
    if (status == QUARRY_NOT_FOUND) {
        resp_collection_fini(&scan.collection);
        resp_say_error(call->reply, "ERR invalid cursor");
        return RESP_ANSWERED;
    }
    if (!is_collected(call, &scan.collection, status, &error, &outcome)) {
        return outcome;
    }
    resp_say_array(call->reply, 2);
    say_cursor(call->reply, cursor);
    resp_say_array(call->reply, scan.collection.item_count);
    resp_collection_say(&scan.collection, call->reply);
    return RESP_ANSWERED;
}

/* ---- KEYS ----------------------------------------------------------------------------------- */

/* So many bytes of what a pattern begins with narrow a walk; more are of no use. */
#define PREFIX_BYTES_MAX 256u

/* The keys that begin as a pattern does, as the bounds of a walk. */
struct prefix {
    struct quarry_kv_slice begin, end;
    uint8_t room[PREFIX_BYTES_MAX];
};

static void prefix_of(struct quarry_kv_slice pattern, struct prefix *ret_prefix)
{
    size_t count = size_min(resp_glob_literal_bytes(pattern), PREFIX_BYTES_MAX);

    ret_prefix->begin = count == 0 ? resp_slice(NULL, 0) : resp_slice(pattern.bytes, count);
    memcpy(ret_prefix->room, pattern.bytes, count);
    while (count > 0 && ret_prefix->room[count - 1] == UINT8_MAX) {
        count--;
    }
    if (count > 0) {
        ret_prefix->room[count - 1]++;
    }
    ret_prefix->end = count == 0 ? resp_slice(NULL, 0) : resp_slice(ret_prefix->room, count);
}

/* Collects the keys of a walk that match. */
static enum quarry_status collect_matching(struct resp_call *call, struct keyspace_walk *walk,
                                           struct quarry_kv_slice pattern,
                                           struct resp_collection *collection,
                                           struct quarry_error *error)
{
    while (collection->status == QUARRY_OK) {
        struct quarry_kv_slice key;
        struct keyspace_value value;
        enum quarry_status status = keyspace_walk_next(walk, &key, &value, error);

        if (status != QUARRY_OK) {
            return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
        }
        if (resp_is_cancelled(call)) {
            return QUARRY_CANCELLED;
        }
        if (resp_glob_matches(pattern, key)) {
            (void)resp_collect(collection, key); /* the loop looks at its status */
        }
    }
    return QUARRY_OK;
}

enum resp_outcome resp_keys(struct resp_call *call)
{
    struct quarry_kv_slice pattern = call->words[1];
    struct resp_collection collection = resp_collection_of(call);
    struct quarry_error error = {0};
    struct keyspace_walk *walk;
    struct prefix prefix;
    enum resp_outcome outcome;

    if (!pattern_fits(call, pattern)) {
        return RESP_ANSWERED;
    }
    prefix_of(pattern, &prefix);
    enum quarry_status status =
        keyspace_walk_begin(call->keyspace, &call->session->scope,
                            &(struct keyspace_walk_options){.begin = prefix.begin,
                                                            .end = prefix.end,
                                                            .never_waits = !call->may_wait,
                                                            .change = call->transaction},
                            &walk, &error);
    if (status == QUARRY_OK) {
        status = collect_matching(call, walk, pattern, &collection, &error);
        keyspace_walk_end(walk);
    }
    if (!is_collected(call, &collection, status, &error, &outcome)) {
        return outcome;
    }
    resp_say_array(call->reply, collection.item_count);
    resp_collection_say(&collection, call->reply);
    return RESP_ANSWERED;
}

/* ---- RANDOMKEY ------------------------------------------------------------------------------ */

/* A number that nobody need guess at: of the call, and of those before it. */
static uint64_t random_of(const struct resp_call *call)
{
    static _Atomic uint64_t calls;
    /* Relaxed: it only has to be another one each time. */
    uint64_t seed[] = {atomic_add_relaxed_u64(&calls, 1), call->session->id, call->now_ms};

    return hash_xxh3_u64(seed, sizeof(seed), 0);
}

/* Keys of a transaction's database that one is chosen of: there it walks. */
#define RANDOM_WALK_MAX 1024u

/* Chooses of the first keys that a transaction sees, each with the same chance. */
static enum quarry_status choose_in_transaction(struct resp_call *call,
                                                struct resp_collection *chosen,
                                                struct quarry_error *error)
{
    struct keyspace_walk *walk;
    enum quarry_status status =
        keyspace_walk_begin(call->keyspace, &call->session->scope,
                            &(struct keyspace_walk_options){.never_waits = !call->may_wait,
                                                            .change = call->transaction},
                            &walk, error);

    if (status != QUARRY_OK) {
        return status;
    }
    for (uint64_t seen = 1; seen <= RANDOM_WALK_MAX; seen++) {
        struct quarry_kv_slice key;
        struct keyspace_value value;

        status = keyspace_walk_next(walk, &key, &value, error);
        if (status != QUARRY_OK) {
            break;
        }
        if (random_of(call) % seen == 0) {
            resp_collection_fini(chosen);
            status = resp_collect(chosen, key);
        }
    }
    keyspace_walk_end(walk);
    return status == QUARRY_NOT_FOUND && chosen->item_count > 0 ? QUARRY_OK : status;
}

static enum resp_outcome random_in_transaction(struct resp_call *call)
{
    struct resp_collection chosen = resp_collection_of(call);
    struct quarry_error error = {0};
    enum resp_outcome outcome;
    enum quarry_status status = choose_in_transaction(call, &chosen, &error);

    if (status == QUARRY_NOT_FOUND) {
        resp_say_null(call->reply);
        return RESP_ANSWERED;
    }
    if (is_collected(call, &chosen, status, &error, &outcome)) {
        resp_collection_say(&chosen, call->reply);
    }
    return outcome;
}

enum resp_outcome resp_randomkey(struct resp_call *call)
{
    struct keyspace_value key;
    struct quarry_error error = {0};

    if (call->transaction != NULL) {
        return random_in_transaction(call);
    }
    enum quarry_status status = keyspace_random(call->keyspace, &call->session->scope,
                                                random_of(call), !call->may_wait, &key, &error);
    if (status == QUARRY_OK) {
        resp_say_value(call->reply, &key, 0, key.byte_count);
        keyspace_value_release(&key);
    } else if (status == QUARRY_NOT_FOUND) {
        resp_say_null(call->reply);
    } else {
        return resp_fail(call, NULL, status, &error);
    }
    return RESP_ANSWERED;
}
