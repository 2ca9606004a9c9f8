/*
 * LCS: the longest common subsequence of two values.
 *
 * The classic table of (n + 1) × (m + 1) lengths, of which the cell of i and j is that of the first
 * i bytes of one value and the first j of the other; then back from its last cell to its first,
 * byte by byte. Where both ways back are as good, the second value is shortened: the stretches that
 * are told depend on it, and are Redis' so.
 *
 * Cost: 4 bytes and a comparison a cell. The table may be as long as a value (resp.bulk_max), so
 * values of some 2,800 bytes each are the end of it, and 30 ms; the executor does it.
 */
#include <serve/resp/access.h>
#include <serve/resp/key_commands.h>
#include <serve/resp/many.h>

#include <serve/buffers.h>

#include <string.h>

struct lcs {
    bool says_length, says_stretches, says_their_lengths; /* LEN, IDX, WITHMATCHLEN */
    int64_t least_bytes;                                  /* MINMATCHLEN: of a stretch */
    const uint8_t *one, *other;
    size_t one_bytes, other_bytes;
    uint32_t *lengths; /* own */
    char *text;        /* room for the subsequence, behind them */
};

/* A stretch that both values have, from its first byte to its last. */
struct stretch {
    size_t one_first, other_first, byte_count;
};

static uint32_t *cell(const struct lcs *lcs, size_t i, size_t j)
{
    return &lcs->lengths[i * (lcs->other_bytes + 1) + j];
}

/* Reads the words behind the keys. False: an error was said. */
static bool read_options(struct resp_call *call, struct lcs *lcs)
{
    for (size_t i = 3; i < call->word_count; i++) {
        if (resp_is(call->words[i], "idx")) {
            lcs->says_stretches = true;
        } else if (resp_is(call->words[i], "len")) {
            lcs->says_length = true;
        } else if (resp_is(call->words[i], "withmatchlen")) {
            lcs->says_their_lengths = true;
        } else if (resp_is(call->words[i], "minmatchlen") && i + 1 < call->word_count) {
            if (!resp_read_integer(call->words[++i], &lcs->least_bytes)) {
                resp_say_not_an_integer(call->reply);
                return false;
            }
        } else {
            resp_say_syntax_error(call->reply);
            return false;
        }
    }
    if (lcs->says_length && lcs->says_stretches) {
        resp_say_error(call->reply,
                       "ERR If you want both the length and indexes, please just use IDX.");
        return false;
    }
    return true;
}

/* Takes memory for the table. False: an error was said. */
static bool take_table(struct resp_call *call, struct lcs *lcs)
{
    size_t text_bytes = size_min(lcs->one_bytes, lcs->other_bytes), bytes;

    if (!checked_mul_size(lcs->one_bytes + 1, lcs->other_bytes + 1, &bytes) ||
        !checked_mul_size(bytes, sizeof(*lcs->lengths), &bytes) ||
        bytes > call->common->bulk_bytes_max) {
        resp_say_error(call->reply, "ERR Insufficient memory, transient memory for LCS exceeds "
                                    "proto-max-bulk-len");
        return false;
    }
    lcs->lengths = serve_buffer_take(call->common->memory, bytes + text_bytes);
    if (lcs->lengths == NULL) {
        resp_say_error(call->reply, "ERR Insufficient memory, failed allocating transient memory "
                                    "for LCS");
        return false;
    }
    lcs->text = (char *)lcs->lengths + bytes;
    return true;
}

static void fill_table(const struct lcs *lcs)
{
    for (size_t j = 0; j <= lcs->other_bytes; j++) {
        *cell(lcs, 0, j) = 0;
    }
    for (size_t i = 1; i <= lcs->one_bytes; i++) {
        *cell(lcs, i, 0) = 0;
        for (size_t j = 1; j <= lcs->other_bytes; j++) {
            uint32_t above = *cell(lcs, i - 1, j), left = *cell(lcs, i, j - 1);

            *cell(lcs, i, j) = lcs->one[i - 1] == lcs->other[j - 1] ? *cell(lcs, i - 1, j - 1) + 1
                                                                    : (above > left ? above : left);
        }
    }
}

/* The way back through the table: from the values' ends to their beginnings. */
struct way {
    const struct lcs *lcs;
    size_t i, j;
};

/* Goes on to the end of the next stretch, over what the values do not share. False: no more. */
static bool skip(struct way *way)
{
    const struct lcs *lcs = way->lcs;

    while (way->i > 0 && way->j > 0) {
        if (lcs->one[way->i - 1] == lcs->other[way->j - 1]) {
            return true;
        }
        if (*cell(lcs, way->i - 1, way->j) > *cell(lcs, way->i, way->j - 1)) {
            way->i--;
        } else {
            way->j--;
        }
    }
    return false;
}

/* The next stretch, the last ones first. False: there are no more. */
static bool next_stretch(struct way *way, struct stretch *ret_stretch)
{
    const struct lcs *lcs = way->lcs;

    if (!skip(way)) {
        return false;
    }
    size_t last = way->i;
    while (way->i > 0 && way->j > 0 && lcs->one[way->i - 1] == lcs->other[way->j - 1]) {
        way->i--;
        way->j--;
    }
    *ret_stretch =
        (struct stretch){.one_first = way->i, .other_first = way->j, .byte_count = last - way->i};
    return true;
}

static struct way way_back(const struct lcs *lcs)
{
    return (struct way){.lcs = lcs, .i = lcs->one_bytes, .j = lcs->other_bytes};
}

static bool is_told(const struct lcs *lcs, const struct stretch *stretch)
{
    return lcs->least_bytes <= 0 || stretch->byte_count >= (uint64_t)lcs->least_bytes;
}

static void say_stretch(struct resp_reply *reply, size_t first, size_t byte_count)
{
    resp_say_array(reply, 2);
    resp_say_integer(reply, (int64_t)first);
    resp_say_integer(reply, (int64_t)(first + byte_count - 1));
}

static void say_stretches(struct resp_reply *reply, const struct lcs *lcs)
{
    struct way way = way_back(lcs);
    struct stretch stretch;
    size_t count = 0;

    while (next_stretch(&way, &stretch)) {
        count += is_told(lcs, &stretch);
    }
    resp_say_map(reply, 2);
    resp_say_text(reply, "matches");
    resp_say_array(reply, count);
    way = way_back(lcs);
    while (next_stretch(&way, &stretch)) {
        if (is_told(lcs, &stretch)) {
            resp_say_array(reply, lcs->says_their_lengths ? 3 : 2);
            say_stretch(reply, stretch.one_first, stretch.byte_count);
            say_stretch(reply, stretch.other_first, stretch.byte_count);
            if (lcs->says_their_lengths) {
                resp_say_integer(reply, (int64_t)stretch.byte_count);
            }
        }
    }
    resp_say_text(reply, "len");
}

/* Says the subsequence, put together from its end. */
static void say_subsequence(struct resp_reply *reply, const struct lcs *lcs, uint32_t length)
{
    struct way way = way_back(lcs);
    struct stretch stretch;
    size_t left = length;

    while (next_stretch(&way, &stretch)) {
        left -= stretch.byte_count;
        memcpy(lcs->text + left, lcs->one + stretch.one_first, stretch.byte_count);
    }
    Q_ASSERT(left == 0);
    resp_say_bulk(reply, lcs->text, length);
}

static void answer(struct resp_reply *reply, const struct lcs *lcs)
{
    uint32_t length = *cell(lcs, lcs->one_bytes, lcs->other_bytes);

    if (lcs->says_stretches) {
        say_stretches(reply, lcs);
        resp_say_integer(reply, length);
    } else if (lcs->says_length) {
        resp_say_integer(reply, length);
    } else {
        say_subsequence(reply, lcs, length);
    }
}

/* Of values that were read. */
static void compare(struct resp_call *call, struct lcs *lcs, const struct resp_many *values)
{
    if (values->statuses[0] == QUARRY_OK) {
        lcs->one = values->values[0].bytes;
        lcs->one_bytes = values->values[0].byte_count;
    }
    if (values->statuses[1] == QUARRY_OK) {
        lcs->other = values->values[1].bytes;
        lcs->other_bytes = values->values[1].byte_count;
    }
    if (take_table(call, lcs)) {
        fill_table(lcs);
        answer(call->reply, lcs);
        serve_buffer_give(call->common->memory, lcs->lengths);
    }
}

enum resp_outcome resp_lcs(struct resp_call *call)
{
    struct lcs lcs = {0};
    struct resp_many values;
    enum resp_outcome outcome;

    if (!read_options(call, &lcs)) {
        return RESP_ANSWERED;
    }
    if (!resp_many_read(call, call->words + 1, 2, &values, &outcome)) {
        return outcome;
    }
    compare(call, &lcs, &values);
    resp_many_release(call, &values);
    return RESP_ANSWERED;
}
