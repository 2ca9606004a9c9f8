/*
 * What an ordered store has to offer beyond Redis: KV.RANGE, KV.DELRANGE, KV.SNAPSHOT.
 *
 *   KV.RANGE start end [LIMIT n] [REV] [KEYS] [SNAPSHOT id]
 *
 * Keys from `start` to `end` in their order, which is that of memcmp, with their values. Bounds are
 * said as ZRANGE BYLEX has them:
 *
 *     [key   from, or up to, this key          -   the lowest key there could be
 *     (key   likewise, but without it          +   the highest
 *
 * LIMIT n: at most n keys; below 0: all. REV: from the highest down, `start` being the upper bound
 * then, as in ZRANGE … BYLEX REV. KEYS: no values. SNAPSHOT id: as a snapshot has them, without
 * those that have expired since. An answer is a flat array of keys and values; in RESP3 an array of
 * pairs; with KEYS an array of keys in both. It is what the database was at one moment; a longer
 * range is read in pieces by `KV.RANGE (last-key-of-the-piece + LIMIT n`, which, with a snapshot,
 * are all of one moment. An answer above a quarter of the budget is refused, and so is what the
 * budget has no room for (-OOM).
 *
 *   KV.DELRANGE start end
 *
 * Deletes the keys of a range at one moment, in a time that does not depend on how many there are;
 * so nobody knows, and the answer is OK.
 *
 *   KV.SNAPSHOT CREATE | RELEASE id | LIST
 *
 * CREATE answers the number of a snapshot of the store, by which any connection of the tenant can
 * read; it ends with RELEASE (1; 0 where there is none), with the connection that took it, or after
 * 60 s, for what it sees is kept on disk for so long. At most 16 a tenant, and 512 in all; one more
 * is an error. LIST: number, connection, age, rest of its life and sequence of each. Not in MULTI,
 * where everything is of one moment anyway.
 *
 * Cost: KV.RANGE a seek and a step a key; more than 1,000 keys, or an unknown number, are read by a
 * thread of the executor. KV.DELRANGE one write, with everything locked for it: readers step over a
 * deleted range without looking at its keys. Until compaction has come there, it costs each read
 * some.
 */
#include <serve/resp/access.h>
#include <serve/resp/collect.h>
#include <serve/resp/snapshots.h>
#include <serve/resp/text.h>
#include <serve/resp/key_commands.h>

#include <serve/buffers.h>

#include <string.h>

/* Keys that a worker reads for one KV.RANGE. */
#define RANGE_ON_WORKER 1000
/* Bounds up to here need no scratch memory. */
#define BOUND_BYTES 256u

/* ---- bounds --------------------------------------------------------------------------------- */

/* A bound as the store wants it: the first key that is in, or the first that is not. */
struct bound {
    struct quarry_kv_slice key; /* bytes NULL: there is no bound */
    bool is_beyond;             /* of a lower one: above all keys; of an upper one: below all */
    void *scratch;              /* own, or NULL */
    uint8_t room[BOUND_BYTES];
};

struct range {
    struct bound lower, upper;
};

/* The key behind a key: the same and a zero. False: no memory. */
static bool set_next(struct resp_call *call, struct bound *bound, struct quarry_kv_slice key)
{
    uint8_t *room = bound->room;

    if (key.byte_count >= BOUND_BYTES) {
        bound->scratch = serve_buffer_take(call->common->memory, key.byte_count + 1);
        room = bound->scratch;
    }
    if (room == NULL) {
        return false;
    }
    memcpy(room, key.bytes, key.byte_count);
    room[key.byte_count] = 0;
    bound->key = resp_slice(room, key.byte_count + 1);
    return true;
}

/*
 * Reads a bound. `open`: the sign that is no bound here, `-` or `+`; `next_sign`: that behind which
 * the next key is the bound. False: an error was said.
 */
static bool read_bound(struct resp_call *call, struct quarry_kv_slice word, char open,
                       char next_sign, struct bound *ret_bound)
{
    const char *bytes = word.bytes;
    char sign = word.byte_count > 0 ? bytes[0] : '\0';

    ret_bound->key = resp_slice(NULL, 0);
    ret_bound->scratch = NULL;
    ret_bound->is_beyond = false;
    if (word.byte_count == 1 && (sign == '-' || sign == '+')) {
        ret_bound->is_beyond = sign != open;
        return true;
    }
    if (sign != '[' && sign != '(') {
        resp_say_error(call->reply, "ERR min or max not valid string range item");
        return false;
    }
    struct quarry_kv_slice key = resp_slice(bytes + 1, word.byte_count - 1);
    if (!resp_keys_fit(call, &key, 1)) {
        return false;
    }
    if (sign != next_sign) {
        ret_bound->key = key;
    } else if (!set_next(call, ret_bound, key)) {
        resp_say_status(call->reply, QUARRY_NO_MEMORY, NULL);
        return false;
    }
    return true;
}

static void range_fini(struct resp_call *call, struct range *range)
{
    serve_buffer_give(call->common->memory, range->lower.scratch);
    serve_buffer_give(call->common->memory, range->upper.scratch);
}

/* Reads both bounds. False: an error was said; there is nothing to be ended. */
static bool read_range(struct resp_call *call, struct quarry_kv_slice lower,
                       struct quarry_kv_slice upper, struct range *ret_range)
{
    ret_range->upper.scratch = NULL;
    if (read_bound(call, lower, '-', '(', &ret_range->lower) &&
        read_bound(call, upper, '+', '[', &ret_range->upper)) {
        return true;
    }
    range_fini(call, ret_range);
    return false;
}

/* Whether no key can be in a range. */
static bool is_empty(const struct range *range)
{
    const struct quarry_kv_slice *lower = &range->lower.key, *upper = &range->upper.key;

    if (range->lower.is_beyond || range->upper.is_beyond) {
        return true;
    }
    if (lower->bytes == NULL || upper->bytes == NULL) {
        return false;
    }
    int order = memcmp(lower->bytes, upper->bytes, size_min(lower->byte_count, upper->byte_count));
    return order > 0 || (order == 0 && lower->byte_count >= upper->byte_count);
}

/* ---- KV.RANGE ------------------------------------------------------------------------------- */

struct range_options {
    int64_t limit; /* below 0: none */
    bool is_reverse, only_keys;
    uint64_t snapshot_id; /* 0: none */
};

/* Reads a snapshot's number; false: an error was said. */
static bool read_id(struct resp_call *call, struct quarry_kv_slice word, uint64_t *ret_id)
{
    int64_t number;

    if (!resp_read_integer(word, &number)) {
        resp_say_not_an_integer(call->reply);
        return false;
    }
    *ret_id = number > 0 ? (uint64_t)number : UINT64_MAX; /* which none has */
    return true;
}

/* Reads the words behind the bounds. False: an error was said. */
static bool read_options(struct resp_call *call, struct range_options *ret_options)
{
    *ret_options = (struct range_options){.limit = -1};
    for (size_t i = 3; i < call->word_count; i++) {
        struct quarry_kv_slice word = call->words[i];
        bool has_value = i + 1 < call->word_count;

        if (resp_is(word, "rev")) {
            ret_options->is_reverse = true;
        } else if (resp_is(word, "keys")) {
            ret_options->only_keys = true;
        } else if (has_value && resp_is(word, "limit")) {
            if (!resp_read_integer(call->words[++i], &ret_options->limit)) {
                resp_say_not_an_integer(call->reply);
                return false;
            }
        } else if (has_value && resp_is(word, "snapshot")) {
            if (!read_id(call, call->words[++i], &ret_options->snapshot_id)) {
                return false;
            }
        } else {
            resp_say_syntax_error(call->reply);
            return false;
        }
    }
    return true;
}

/* Collects what a walk meets. */
static enum quarry_status collect_walk(struct resp_call *call, struct keyspace_walk *walk,
                                       const struct range_options *options,
                                       struct resp_collection *collection,
                                       struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    for (int64_t left = options->limit; left != 0 && status == QUARRY_OK; left -= left > 0) {
        struct quarry_kv_slice key;
        struct keyspace_value value;

        status = keyspace_walk_next(walk, &key, &value, error);
        if (status == QUARRY_NOT_FOUND) {
            return QUARRY_OK;
        }
        if (status == QUARRY_OK && resp_is_cancelled(call)) {
            return QUARRY_CANCELLED;
        }
        if (status == QUARRY_OK) {
            status = resp_collect(collection, key);
        }
        if (status == QUARRY_OK && !options->only_keys) {
            status = resp_collect(collection, resp_value_slice(&value));
        }
    }
    return status;
}

/* Collects a range, from a snapshot or not. */
static enum quarry_status collect_range(struct resp_call *call, const struct range *range,
                                        const struct range_options *options,
                                        const struct quarry_kv_snapshot *snapshot,
                                        struct resp_collection *collection,
                                        struct quarry_error *error)
{
    struct keyspace_walk *walk;
    const struct keyspace_walk_options walk_options = {
        .begin = range->lower.key,
        .end = range->upper.key,
        .is_reverse = options->is_reverse,
        .never_waits = !call->may_wait,
        .snapshot = snapshot,
        .change = snapshot == NULL ? call->transaction : NULL};

    if (is_empty(range)) {
        return QUARRY_OK;
    }
    enum quarry_status status =
        keyspace_walk_begin(call->keyspace, &call->session->scope, &walk_options, &walk, error);
    if (status != QUARRY_OK) {
        return status;
    }
    status = collect_walk(call, walk, options, collection, error);
    keyspace_walk_end(walk);
    return status;
}

static void say_range(struct resp_call *call, const struct range_options *options,
                      struct resp_collection *collection)
{
    if (options->only_keys || call->session->protocol < 3) {
        resp_say_array(call->reply, collection->item_count);
        resp_collection_say(collection, call->reply);
    } else {
        resp_say_array(call->reply, collection->item_count / 2);
        resp_collection_say_pairs(collection, call->reply);
    }
}

/* Reads a range and answers, by a snapshot that is held, or by none. */
static enum resp_outcome answer_range(struct resp_call *call, const struct range *range,
                                      const struct range_options *options,
                                      const struct quarry_kv_snapshot *snapshot)
{
    struct resp_collection collection = resp_collection_of(call);
    struct quarry_error error = {0};
    enum quarry_status status = collect_range(call, range, options, snapshot, &collection, &error);

    if (status == QUARRY_OK) {
        say_range(call, options, &collection);
        return RESP_ANSWERED;
    }
    resp_collection_fini(&collection);
    if (status == QUARRY_TOO_LARGE) {
        resp_say_error(call->reply, "ERR the answer is longer than %llu bytes: give a LIMIT",
                       (unsigned long long)collection.bytes_max);
        return RESP_ANSWERED;
    }
    return resp_fail(call, NULL, status, &error);
}

/* The same by the snapshot that the options name. */
static enum resp_outcome range_by_options(struct resp_call *call, const struct range *range,
                                          const struct range_options *options)
{
    struct resp_snapshots *snapshots = call->common->snapshots;
    const struct quarry_kv_snapshot *snapshot = NULL;

    if (options->snapshot_id == 0) {
        return answer_range(call, range, options, NULL);
    }
    if (snapshots != NULL) {
        resp_snapshots_tick(snapshots, call->now_ms);
        snapshot =
            resp_snapshots_acquire(snapshots, call->session->scope.tenant, options->snapshot_id);
    }
    if (snapshot == NULL) {
        resp_say_error(call->reply, "ERR no such snapshot");
        return RESP_ANSWERED;
    }
    enum resp_outcome outcome = answer_range(call, range, options, snapshot);
    resp_snapshots_release(snapshots, options->snapshot_id);
    return outcome;
}

enum resp_outcome resp_kv_range(struct resp_call *call)
{
    struct range_options options;
    struct range range;

    if (!read_options(call, &options) ||
        !read_range(call, call->words[options.is_reverse ? 2 : 1],
                    call->words[options.is_reverse ? 1 : 2], &range)) {
        return RESP_ANSWERED;
    }
    bool is_long = options.limit < 0 || options.limit > RANGE_ON_WORKER;
    enum resp_outcome outcome =
        is_long && !call->may_wait ? RESP_BUSY : range_by_options(call, &range, &options);
    range_fini(call, &range);
    return outcome;
}

/* ---- KV.DELRANGE ---------------------------------------------------------------------------- */

static enum resp_outcome delete_range(struct resp_call *call, const struct range *range)
{
    struct keyspace_change room, *change = call->transaction;
    enum resp_outcome outcome = RESP_ANSWERED;
    enum quarry_status status = QUARRY_OK;

    if (change == NULL) {
        change = &room;
        status =
            keyspace_begin(call->keyspace, NULL, 0,
                           KEYSPACE_ALL_KEYS | (call->may_wait ? 0 : KEYSPACE_NEVER_WAITS), change);
        if (status != QUARRY_OK) {
            return resp_fail(call, NULL, status, NULL);
        }
    }
    status =
        keyspace_delete_range(change, &call->session->scope, range->lower.key, range->upper.key);
    if (status != QUARRY_OK) {
        return resp_fail(call, change, status, NULL);
    }
    if (resp_commit(call, change, &outcome)) {
        resp_say_ok(call->reply);
    }
    return outcome;
}

enum resp_outcome resp_kv_delrange(struct resp_call *call)
{
    struct range range;
    enum resp_outcome outcome = RESP_ANSWERED;

    if (!read_range(call, call->words[1], call->words[2], &range)) {
        return RESP_ANSWERED;
    }
    if (is_empty(&range)) {
        resp_say_ok(call->reply);
    } else {
        outcome = delete_range(call, &range);
    }
    range_fini(call, &range);
    return outcome;
}

/* ---- KV.SNAPSHOT ---------------------------------------------------------------------------- */

/* The door's snapshots, those of which the time is over ended. NULL: an error was said. */
static struct resp_snapshots *snapshots_of(struct resp_call *call)
{
    if (call->common->snapshots == NULL) {
        resp_say_error(call->reply, "ERR this server takes no snapshots");
        return NULL;
    }
    resp_snapshots_tick(call->common->snapshots, call->now_ms);
    return call->common->snapshots;
}

enum resp_outcome resp_kv_snapshot_create(struct resp_call *call)
{
    struct resp_snapshots *snapshots = snapshots_of(call);
    uint64_t id;

    if (snapshots == NULL) {
        return RESP_ANSWERED;
    }
    enum quarry_status status = resp_snapshots_take(snapshots, call->session->scope.tenant,
                                                    call->session->id, call->now_ms, &id);
    if (status == QUARRY_OK) {
        resp_say_integer(call->reply, (int64_t)id);
    } else if (status == QUARRY_TOO_MANY) {
        resp_say_error(call->reply, "ERR there are %u snapshots already: release one",
                       RESP_SNAPSHOTS_PER_TENANT);
    } else {
        return resp_fail(call, NULL, status, NULL);
    }
    return RESP_ANSWERED;
}

enum resp_outcome resp_kv_snapshot_release(struct resp_call *call)
{
    struct resp_snapshots *snapshots = snapshots_of(call);
    uint64_t id;

    if (snapshots != NULL && read_id(call, call->words[2], &id)) {
        resp_say_integer(call->reply, resp_snapshots_end(snapshots, call->session->scope.tenant,
                                                         id) == QUARRY_OK);
    }
    return RESP_ANSWERED;
}

static void say_field(struct resp_reply *reply, const char *name, uint64_t number)
{
    resp_say_text(reply, name);
    resp_say_integer(reply, (int64_t)number);
}

enum resp_outcome resp_kv_snapshot_list(struct resp_call *call)
{
    struct resp_snapshot_told told[RESP_SNAPSHOTS_PER_TENANT];
    struct resp_snapshots *snapshots = snapshots_of(call);

    if (snapshots == NULL) {
        return RESP_ANSWERED;
    }
    size_t count = resp_snapshots_list(snapshots, call->session->scope.tenant, told);
    resp_say_array(call->reply, count);
    for (size_t i = 0; i < count; i++) {
        resp_say_map(call->reply, 5);
        say_field(call->reply, "id", told[i].id);
        say_field(call->reply, "connection", told[i].session_id);
        say_field(call->reply, "age-ms", sat_sub_u64(call->now_ms, told[i].taken_ms));
        say_field(call->reply, "rest-ms", sat_sub_u64(told[i].ends_ms, call->now_ms));
        say_field(call->reply, "sequence", told[i].sequence);
    }
    return RESP_ANSWERED;
}

enum resp_outcome resp_kv_snapshot_help(struct resp_call *call)
{
    static const char *const lines[] = {
        "CREATE",       "    Take a snapshot for up to 60 seconds, and answer its number.",
        "RELEASE <id>", "    End one; 0: there is none.",
        "LIST",         "    Tell of those that there are.",
        NULL,
    };

    resp_say_help(call, lines);
    return RESP_ANSWERED;
}
