/*
 * Looking ahead: what the next requests in the buffer will read, and where they will write.
 *
 *     *2 $3 GET $20 key… *2 $3 GET $20 key… *2 $3 GET …  up to 16 requests, or 4 KiB
 *     └ at                                  └ ahead
 *
 * A pipeline of GETs or SETs lies in the buffer before the first one is executed, and each of them
 * waits for memory most of its time. Their keys are taken out by a reader that knows the plain form
 * of a request alone, and fetched together (quarry_kv_prefetch, quarry_kv_prefetch_puts); then each
 * is parsed and executed as ever. What is found here decides nothing: anything that looks odd ends
 * the look.
 *
 * Locking: none. Cost: 40 instructions a request, and the store's fetching.
 */
#include <serve/resp/state.h>

#include <string.h>

#define AHEAD_BYTES_MAX Q_KIB(4)
/* A length of at most so many digits. */
#define DIGITS_MAX 4u

/* A number between a sign and a line's end. Returns: what is behind it; NULL: something else. */
static const char *take_number(const char *at, const char *end, char sign, size_t *ret_number)
{
    size_t number = 0;
    unsigned digits = 0;

    if (at == end || *at != sign) {
        return NULL;
    }
    for (at++; at < end && *at >= '0' && *at <= '9' && digits < DIGITS_MAX; at++, digits++) {
        number = 10 * number + (size_t)(*at - '0');
    }
    if (digits == 0 || end - at < 2 || at[0] != '\r' || at[1] != '\n') {
        return NULL;
    }
    *ret_number = number;
    return at + 2;
}

static const char *take_word(const char *at, const char *end, struct quarry_kv_slice *ret_word)
{
    size_t byte_count = 0;

    at = take_number(at, end, '$', &byte_count);
    if (at == NULL || (size_t)(end - at) < byte_count + 2) {
        return NULL;
    }
    *ret_word = (struct quarry_kv_slice){at, byte_count};
    return at + byte_count + 2;
}

/* GET, and what counts up and down. */
static bool reads_its_key(struct quarry_kv_slice name)
{
    return (name.byte_count == 3 && resp_is(name, "get")) ||
           (name.byte_count == 4 && (resp_is(name, "incr") || resp_is(name, "decr")));
}

static bool puts_its_key(struct quarry_kv_slice name)
{
    return name.byte_count == 3 && resp_is(name, "set");
}

/* Keys that are about to be read, or to be put. */
struct keys {
    struct quarry_kv_slice slices[KEYSPACE_PREFETCHED_MAX];
    size_t count;
};

/* Returns: behind the request; NULL: it is none of the plain ones, or not whole. */
static const char *take_request(const char *at, const char *end, struct keys *reads,
                                struct keys *puts)
{
    struct quarry_kv_slice name, word;
    size_t word_count = 0;

    at = take_number(at, end, '*', &word_count);
    if (at == NULL || word_count < 2 || (at = take_word(at, end, &name)) == NULL) {
        return NULL;
    }
    at = take_word(at, end, &word);
    if (at != NULL && reads_its_key(name)) {
        reads->slices[reads->count++] = word;
    } else if (at != NULL && puts_its_key(name)) {
        puts->slices[puts->count++] = word;
    }
    for (size_t i = 2; i < word_count && at != NULL; i++) {
        at = take_word(at, end, &word);
    }
    return at;
}

void resp_look_ahead(struct resp_turn *turn)
{
    const struct keyspace_scope *scope = &turn->state->session.scope;
    const char *at = turn->at, *next = at;
    const char *end = turn->at + size_min((size_t)(turn->end - turn->at), AHEAD_BYTES_MAX);
    struct keys reads, puts;

    reads.count = puts.count = 0;
    for (size_t i = 0; i < KEYSPACE_PREFETCHED_MAX && next != NULL; i++) {
        at = next;
        next = take_request(at, end, &reads, &puts);
    }
    /* At least behind the first request: it is not looked at again. */
    turn->ahead = size_max((size_t)(at - turn->at), 1) + turn->at;
    if (reads.count > 1) {
        keyspace_prefetch(resp_the_door.settings.keyspace, scope, reads.slices, reads.count);
    }
    if (puts.count > 1) {
        keyspace_prefetch_puts(resp_the_door.settings.keyspace, scope, puts.slices, puts.count);
    }
}
