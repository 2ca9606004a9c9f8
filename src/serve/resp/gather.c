/*
 * Requests that come in pieces.
 *
 *     bytes    | SET | key | value, which comes ·········|   free   |     pages, doubled and moved
 *     places   | 0, 3 | 3, 3 | 6, … |                                     where each word is
 *
 * Most requests are whole when they are read, and are executed from where they lie; a short one
 * whose end is missing is left with the net. This is for the others: those with a long value, and
 * those with very many words. Their bytes are copied once, or come straight from the socket.
 *
 * Room grows as bytes come, not as lengths promise: who announces 32 MiB and sends nothing has
 * 64 KiB at most. Where memory ends, or the request passes request_bytes_max, what was gathered is
 * given back, the rest is read and thrown away, and the request is answered with -OOM: the client's
 * next ones are not affected. A request of somebody who has yet to log in is not kept either: no
 * login is as long, and ten words of 16 KiB from each of 10,000 strangers would be 1.6 GB.
 *
 * Invariants:
 *   1. Words lie in `bytes` one behind the other, each with its CR and LF: used is where the word
 *      under way goes on.
 *   2. After is_refused nothing is kept, and no memory is held.
 *   3. What moves is addressed by offsets until the request is whole.
 *
 * Locking: none. Cost: a copy of what did not come straight, and one more for each doubling.
 */
#include <serve/resp/state.h>

#include <string.h>

/* What is taken at first, and what a word that is announced is given ahead of its bytes. */
#define FIRST_BYTES  QUARRY_PAGE_BYTES
#define AHEAD_BYTES  Q_KIB(64)
#define TAIL_BYTES   2u
#define FIRST_PLACES (QUARRY_PAGE_BYTES / sizeof(union resp_place))

static const struct serve_memory *pages(void)
{
    return &resp_the_door.pages;
}

static void give_all(struct resp_gather *gather)
{
    serve_buffer_give(pages(), gather->bytes);
    serve_buffer_give(pages(), gather->places);
    gather->bytes = NULL;
    gather->places = NULL;
    gather->used = gather->capacity = 0;
    gather->place_count = gather->place_capacity = 0;
}

Q_COLD static void refuse(struct resp_gather *gather)
{
    give_all(gather); /* invariant 2 */
    gather->is_refused = true;
}

/* Room for `more` bytes behind what is there. */
static bool reserve(struct resp_gather *gather, size_t more)
{
    if (more <= gather->capacity - gather->used) {
        return true;
    }
    size_t capacity = serve_buffer_bytes(
        size_max(size_max(gather->used + more, gather->capacity * 2), FIRST_BYTES));
    char *bytes = serve_buffer_take(pages(), capacity);
    if (bytes == NULL) {
        return false;
    }
    if (gather->used > 0) {
        memcpy(bytes, gather->bytes, gather->used);
    }
    serve_buffer_give(pages(), gather->bytes);
    gather->bytes = bytes;
    gather->capacity = capacity;
    return true;
}

static bool reserve_place(struct resp_gather *gather)
{
    if (gather->place_count < gather->place_capacity) {
        return true;
    }
    uint32_t capacity =
        gather->place_capacity == 0 ? (uint32_t)FIRST_PLACES : gather->place_capacity * 2;
    union resp_place *places = serve_buffer_take(pages(), capacity * sizeof *places);
    if (places == NULL) {
        return false;
    }
    if (gather->place_count > 0) {
        memcpy(places, gather->places, gather->place_count * sizeof *places);
    }
    serve_buffer_give(pages(), gather->places);
    gather->places = places;
    gather->place_capacity = capacity;
    return true;
}

/* A word begins, whose length is known. */
static void begin_word(struct resp_gather *gather)
{
    gather->word_used = 0;
    gather->total_bytes += gather->cursor.bulk_bytes;
    if (gather->is_refused) {
        return;
    }
    if (gather->total_bytes > resp_the_door.settings.request_bytes_max || !reserve_place(gather)) {
        refuse(gather);
        return;
    }
    gather->places[gather->place_count++] =
        (union resp_place){.at = {gather->used, gather->cursor.bulk_bytes}};
}

static size_t word_left(const struct resp_gather *gather)
{
    return gather->cursor.bulk_bytes + TAIL_BYTES - gather->word_used;
}

/* So many bytes of the word under way have come, and are where they belong. */
static void pass_word(struct resp_gather *gather, size_t byte_count)
{
    Q_ASSERT(byte_count <= word_left(gather));
    gather->word_used += byte_count;
    gather->used += gather->is_refused ? 0 : byte_count;
    if (word_left(gather) == 0) {
        gather->cursor.has_bulk = false;
        gather->cursor.words_left--;
    }
}

static void copy_word(struct resp_gather *gather, const char *bytes, size_t byte_count)
{
    if (!gather->is_refused && !reserve(gather, byte_count)) {
        refuse(gather);
    }
    if (!gather->is_refused && byte_count > 0) {
        memcpy(gather->bytes + gather->used, bytes, byte_count);
    }
    pass_word(gather, byte_count);
}

void resp_gather_begin(struct resp_gather *gather, const struct resp_cursor *cursor,
                       const struct quarry_kv_slice *words, uint32_t count, bool is_kept)
{
    Q_ASSERT(!gather->is_active && cursor->words_left > 0);
    *gather = (struct resp_gather){.is_active = true, .is_refused = !is_kept};
    gather->cursor.words_left = cursor->words_left + count;
    for (uint32_t i = 0; i < count; i++) {
        gather->cursor.has_bulk = true;
        gather->cursor.bulk_bytes = words[i].byte_count;
        begin_word(gather);
        copy_word(gather, words[i].bytes, words[i].byte_count);
        copy_word(gather, "\r\n", TAIL_BYTES);
    }
    gather->cursor = *cursor;
    if (cursor->has_bulk) {
        begin_word(gather);
    }
}

enum resp_parsed resp_gather_input(struct resp_gather *gather, const char **at, const char *end,
                                   const struct resp_parse_limits *limits,
                                   struct resp_parse_error *error)
{
    while (gather->cursor.words_left > 0) {
        if (!gather->cursor.has_bulk) {
            size_t taken = 0;
            enum resp_parsed parsed =
                resp_parse_bulk(&gather->cursor, *at, (size_t)(end - *at), limits, &taken, error);
            if (parsed != RESP_PARSED_ALL) {
                return parsed;
            }
            *at += taken;
            begin_word(gather);
        }
        size_t count = size_min(word_left(gather), (size_t)(end - *at));
        copy_word(gather, *at, count);
        *at += count;
        if (gather->cursor.has_bulk) {
            return RESP_PARSED_MORE;
        }
    }
    return RESP_PARSED_ALL;
}

size_t resp_gather_wants(struct resp_gather *gather, char **ret_room)
{
    size_t left = gather->cursor.has_bulk ? word_left(gather) : 0;

    if (gather->is_refused || left < RESP_WANTED_BYTES_MIN) {
        return 0;
    }
    size_t ahead = size_min(left, size_max(AHEAD_BYTES, gather->used));
    if (gather->used == gather->capacity && !reserve(gather, ahead)) {
        refuse(gather);
        return 0;
    }
    *ret_room = gather->bytes + gather->used;
    return size_min(left, gather->capacity - gather->used);
}

void resp_gather_filled(struct resp_gather *gather, size_t byte_count)
{
    Q_ASSERT(!gather->is_refused && byte_count <= gather->capacity - gather->used);
    pass_word(gather, byte_count);
}

uint64_t resp_gather_expected(const struct resp_gather *gather)
{
    uint64_t left = gather->cursor.has_bulk ? word_left(gather) : 1;

    return gather->is_active && gather->cursor.words_left > 0 ? left : 0;
}

const struct quarry_kv_slice *resp_gather_words(struct resp_gather *gather, size_t *ret_count)
{
    Q_ASSERT(gather->is_active && gather->cursor.words_left == 0);
    if (gather->is_refused) {
        return NULL;
    }
    for (uint32_t i = 0; i < gather->place_count; i++) { /* invariant 3 */
        union resp_place *place = &gather->places[i];
        size_t offset = place->at.offset, byte_count = place->at.byte_count;
        place->word = (struct quarry_kv_slice){gather->bytes + offset, byte_count};
    }
    *ret_count = gather->place_count;
    return &gather->places[0].word;
}

void resp_gather_end(struct resp_gather *gather)
{
    give_all(gather);
    *gather = (struct resp_gather){.is_active = false};
}
