/*
 * Reading chains of float samples: head.c's codes, back.
 *
 *     chain     | chunklet | ──> | chunklet | ──> | chunklet, growing |
 *                    └ load: copied; then take: samples in pieces of any size
 *
 * A chunklet is copied when it is loaded: 17 loads that hit two cache lines, after which the writer
 * may do what it likes. The copy has words of zeros behind it, so that a code that begins within
 * the payload may be decoded before it is looked at whether it also ends there.
 *
 * Chunklets also come from files. Whatever their bits are, a reader looks at its copy alone, and
 * yields no more samples than a chunklet counts; a code that does not end in the chunklet, a
 * decimal that is too large or more bits than samples make it corrupt for good.
 *
 * Invariants
 *   1. at_bits <= used_bits before each code, or the reader is corrupt and `left` is 0.
 *   2. repeats <= left.
 *   3. After the last sample of a chain, `head` is the writer's.
 *
 * Locking: none. Cost: head.c.
 *
 * Rejected: decoding in place, which costs an atomic load for every word and code, and lets a
 * damaged file's chunklet change under the checks.
 */
#include <tsdb/head.h>

#include <tsdb/bits.h>
#include <tsdb/head_step.h>

Q_STATIC_ASSERT((TSDB_CHUNKLET_PAYLOAD_BITS + 70 + 2 + 63) / 64 + 1 < TSDB_READER_WORDS,
                "what a code may look at lies in the copy");

/* Bits of a word that was looked at which are left behind a code's prefix, of up to 3 bits. */
#define AHEAD_BITS 61u

void tsdb_reader_init(struct tsdb_reader *reader)
{
    reader->head = (struct tsdb_head){0};
    reader->decimal = 0;
    reader->left = reader->repeats = 0;
    reader->at_bits = reader->used_bits = 0;
    reader->is_corrupt = false;
}

static void give_up(struct tsdb_reader *reader)
{
    reader->is_corrupt = true;
    reader->left = reader->repeats = 0;
}

uint32_t tsdb_reader_load(struct tsdb_reader *reader, const struct tsdb_chunklet *chunklet,
                          uint32_t number)
{
    const struct tsdb_chunklet_view view = tsdb_chunklet_look(chunklet);

    Q_ASSERT(reader->left == 0);
    for (uint32_t i = 0; i < TSDB_READER_WORDS; i++) { /* ordered by the acquire of word 0 */
        reader->words[i] =
            i < TSDB_CHUNKLET_PAYLOAD_WORDS ? atomic_load_relaxed_u64(&chunklet->payload[i]) : 0;
    }
    head_step_onwards(&reader->head);
    reader->head.tail = number;
    reader->at_bits = 0;
    reader->used_bits = view.used_bits;
    reader->left = view.count;
    reader->repeats = 0;
    if (reader->is_corrupt || view.kind != TSDB_CHUNKLET_FLOATS ||
        view.used_bits > TSDB_CHUNKLET_PAYLOAD_BITS || (view.count == 0 && view.used_bits != 0)) {
        give_up(reader);
    }
    return view.next;
}

/* ---- codes: each moves *at behind what it read ---------------------------------------------- */

static uint64_t get_bits(const uint64_t *words, size_t *at, uint32_t count)
{
    uint64_t bits = tsdb_bits_low(tsdb_bits_peek(words, *at), count);

    *at += count;
    return bits;
}

static bool get_xor(struct tsdb_head *head, const uint64_t *words, size_t *at)
{
    uint32_t shift = head->shift, width = head->width;
    const uint64_t ahead = tsdb_bits_peek(words, *at);

    *at += 1;
    if ((ahead & 1) != 0) {
        shift = (ahead >> 1) & 63;
        width = ((ahead >> 7) & 63) + 1;
        *at += 12;
    }
    if (Q_UNLIKELY(shift + width > 64 || width == 0)) {
        return false;
    }
    uint64_t xored = get_bits(words, at, width) << shift;
    head_step_xor(head, xored, shift, width);
    return true;
}

/* `ahead`: the bits at *at, of which AHEAD_BITS are known. */
static bool get_decimal(struct tsdb_reader *reader, size_t *at, uint64_t ahead)
{
    const int64_t limit = INT64_C(1) << 53; /* of what is nearly a decimal */
    struct tsdb_head *head = &reader->head;
    uint64_t z;
    uint32_t length = tsdb_golomb_in(ahead, AHEAD_BITS, head->order, &z);

    *at += length;
    if (Q_UNLIKELY(length == 0 && !tsdb_golomb_get(reader->words, at, head->order, &z))) {
        return false;
    }
    int64_t growth = varint_unzigzag(z) + head_growth_expected(head);
    int64_t m = reader->decimal + growth;
    if (Q_UNLIKELY(m <= -limit || m >= limit)) {
        return false;
    }
    head_step_decimal(head, growth, z, tsdb_decimal_bits(m, head->scale));
    reader->decimal = m;
    return true;
}

static bool get_escape(struct tsdb_reader *reader, size_t *at)
{
    struct tsdb_head *head = &reader->head;
    const uint64_t *words = reader->words;

    if (get_bits(words, at, 1) == 0) {
        head_step_raw(head, get_bits(words, at, 64));
    } else {
        uint32_t scale = (uint32_t)get_bits(words, at, 5);
        head_step_scale(head, scale, get_bits(words, at, 64));
    }
    if (head->scale == HEAD_SCALE_XOR) {
        return true;
    }
    if (head->scale > TSDB_NEARLY + TSDB_NEARLY_SCALE_MAX ||
        (head->scale > TSDB_DECIMAL_KIB && head->scale < TSDB_NEARLY)) {
        return false;
    }
    reader->decimal = head_decimal(head);
    return true;
}

/* `ahead`: the bits at *at, of which one more than AHEAD_BITS are known. */
static bool get_value(struct tsdb_reader *reader, size_t *at, uint64_t ahead)
{
    *at += 1;
    if (Q_UNLIKELY((ahead & 1) != 0)) {
        return get_escape(reader, at);
    }
    return reader->head.scale == HEAD_SCALE_XOR ? get_xor(&reader->head, reader->words, at)
                                                : get_decimal(reader, at, ahead >> 1);
}

/* A time that was not expected. Returns whether the value changed too. */
static bool get_time(struct tsdb_head *head, const uint64_t *words, size_t *at)
{
    uint32_t width = head_time_widths[get_bits(words, at, 2)];
    uint64_t off = (uint64_t)varint_unzigzag(get_bits(words, at, width));

    head_step_time(head, (int64_t)((uint64_t)head_time_expected(head) + off));
    return get_bits(words, at, 1) != 0;
}

/* The code of repeats that another follows. */
static bool get_repeats(struct tsdb_reader *reader, size_t *at)
{
    uint32_t length = (uint32_t)get_bits(reader->words, at, 4);
    uint32_t count = (1u << length) + (uint32_t)get_bits(reader->words, at, length);

    if (count >= reader->left) {
        return false;
    }
    reader->repeats = count;
    reader->head.is_fresh = 0;
    return true;
}

/* A code that begins with two ones: what is behind these. Returns whether it made sense. */
static bool decode_rare(struct tsdb_reader *reader, size_t *at, bool *ret_is_sample)
{
    bool is_sound = true;

    *ret_is_sample = get_bits(reader->words, at, 1) != 0;
    if (!*ret_is_sample) {
        return get_repeats(reader, at);
    }
    bool is_changed = get_time(&reader->head, reader->words, at);
    if (is_changed) {
        is_sound = get_value(reader, at, tsdb_bits_peek(reader->words, *at));
    }
    reader->head.is_fresh = is_changed;
    return is_sound;
}

/* Decodes one code: a sample, in the head, or repeats. Returns whether it made sense. */
static bool decode(struct tsdb_reader *reader, bool *ret_is_sample)
{
    struct tsdb_head *head = &reader->head;
    const uint64_t ahead = tsdb_bits_peek(reader->words, reader->at_bits);
    const uint32_t prefix = (uint32_t)(ahead & 1);
    size_t at = reader->at_bits + 1 + prefix;
    bool is_sound = true;

    *ret_is_sample = true;
    if (Q_UNLIKELY((ahead & 3) == 3)) {
        is_sound = decode_rare(reader, &at, ret_is_sample);
    } else {
        head->t_ms = head_time_expected(head);
        if (prefix != head->is_fresh) {
            is_sound = get_value(reader, &at, ahead >> (1 + prefix));
            head->is_fresh = 1;
        } else {
            head->is_fresh = 0;
        }
    }
    reader->at_bits = (uint32_t)at;
    return is_sound && at <= reader->used_bits;
}

/* ---- samples -------------------------------------------------------------------------------- */

static uint32_t take_repeats(struct tsdb_reader *reader, uint32_t count_max, int64_t *ret_t_ms,
                             uint64_t *ret_bits)
{
    uint32_t count = reader->repeats < count_max ? reader->repeats : count_max;
    const uint64_t bits = reader->head.bits, step = reader->head.step_ms;
    uint64_t t = (uint64_t)reader->head.t_ms;

    for (uint32_t i = 0; i < count; i++) {
        t += step;
        ret_t_ms[i] = (int64_t)t;
        ret_bits[i] = bits;
    }
    reader->head.t_ms = (int64_t)t;
    reader->repeats -= count;
    reader->left -= count;
    return count;
}

/* Makes repeats of what is left, if there are no bits for it; else decodes one code. Returns how
 * many samples that gave: 0 or 1. */
static uint32_t take_code(struct tsdb_reader *reader, int64_t *ret_t_ms, uint64_t *ret_bits)
{
    bool is_sample;

    if (reader->at_bits == reader->used_bits) {
        reader->repeats = reader->left;
        reader->head.repeats = (uint16_t)reader->left;
        return 0;
    }
    if (Q_UNLIKELY(!decode(reader, &is_sample))) {
        give_up(reader);
        return 0;
    }
    if (!is_sample) {
        return 0;
    }
    *ret_t_ms = reader->head.t_ms;
    *ret_bits = reader->head.bits;
    reader->left--;
    return 1;
}

uint32_t tsdb_reader_take(struct tsdb_reader *reader, uint32_t count_max, int64_t *ret_t_ms,
                          uint64_t *ret_bits)
{
    uint32_t count = 0;

    while (count < count_max && reader->left > 0) {
        if (reader->repeats > 0) {
            count += take_repeats(reader, count_max - count, ret_t_ms + count, ret_bits + count);
        } else {
            count += take_code(reader, ret_t_ms + count, ret_bits + count);
        }
        Q_DCHECK(reader->repeats <= reader->left);
    }
    if (reader->left == 0 && reader->at_bits != reader->used_bits) {
        reader->is_corrupt = true; /* more bits than samples */
    }
    return count;
}

struct tsdb_head tsdb_reader_head(const struct tsdb_reader *reader)
{
    Q_ASSERT(reader->left == 0 && !reader->is_corrupt);
    return reader->head;
}
