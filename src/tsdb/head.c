/*
 * How float samples become bits while their window is open.
 *
 * A chain's bits are a sequence of codes, each whole within a chunklet. A code says what differs
 * from what was expected: that as much time passes as before, and that the value stays or, as a
 * decimal, grows by what it has grown by of late.
 *
 *     after a change   after a repeat
 *     0                10                 time as expected, value changed: a value follows
 *     10               0                  time as expected, value as before
 *     110 llll r…      the same           r repeats: l bits below the highest; another code follows
 *     111 cc d… s      the same           the difference d to the time expected, zigzag, in 7, 14,
 *                                         21 or 64 bits; s: the value changed, and follows
 *
 *     value   0 …                         as the head's scale says, below
 *             10 b…                       64 bits as they are; the scale stays (NaN, a jump)
 *             11 sssss b…                 64 bits, and from here on another scale
 *     scale 0 to 13, 16 to 25: decimals   the difference to last value + mean growth, zigzag, as a
 *                                         Golomb code (bits.h) whose order follows the differences
 *     scale 31: exclusive ors             0 b…              within the last one's bits
 *                                         1 ssssss wwwwww b…  a shift, a width - 1, so many bits
 *
 * (Bits in the order in which they are written; numbers lowest bit first.)
 *
 * Repeats at the end of a chunklet have no bits at all: `count` alone says that they are there, so
 * a value that never changes costs a count, and 4 hours of it one chunklet. When a change follows,
 * the repeats are written before it, one bit each, or as one code where that is shorter. So bits
 * below `used` never change, though what readers see at their end grows by counting.
 *
 * Scale 13 is units of 1024, taken where a chain begins with some; from 16 on, doubles that are a
 * rounding or two off a decimal (decimal.h). Almost all that is measured is a
 * decimal: counts, bytes, hundredths of seconds. An exclusive or of such doubles has many bits
 * where the decimal has few: 6.9 a sample against 4.6 for a walk of integers between 0 and 100, 22
 * against 11.7 for a counter, 57 against 8.8 for one of hundredths; all that node_exporter shows
 * took 1.52 bytes a sample with exclusive ors alone. A head begins with integers, goes on to more
 * places when a value needs them, and to exclusive ors at the first value that is no decimal. Back
 * from these it looks once a chunklet.
 *
 * Invariants
 *   1. Encoder and decoder step the same head: head_step.h does all that depends on what was coded.
 * So a reader's head is the writer's (tsdb_reader_head).
 *   2. A code of a sample is at most CODE_BITS_MAX bits, its repeats included, so it fits an empty
 *      chunklet, and a decoder that starts within the payload looks no further than its copy's end.
 *   3. Bits of a chunklet end with a code, after which all samples left are repeats.
 *   4. A head changes when its sample is in, and not before.
 *
 * Locking: none; chunklet.h. Cost, in instructions (callgrind, gcc 12): to append 63 for a repeat,
 * 240 for a walk of integers, 320 for a counter; to take 7 for a repeat, 140 and 180. On what
 * node_exporter shows, 14 ns to append and 4 ns to take a sample, of 0.72 bytes, chunklets' heads
 * and slack included; where every value changes, 10 ns to take.
 *
 * Rejected: codes across chunklets, which has every reader handle both halves, to save half a code
 * of 960 bits; random doubles alone, of 67 bits each, lose 4 %. Differences of differences for
 * values: their noise is twice that of differences, half a bit a sample; the mean of late costs a
 * tenth. Widths kept and told when they change, as for exclusive ors: a Golomb code adapts by
 * itself, and outliers cost little. A code for stale markers: they come once a series, and 66 bits
 * then. A slower mean, by 1/8 or 1/16: up to 1 % more bits.
 *
 * Source: Gorilla (VLDB 2015); Prometheus' XOR2, whose joint prefix for time and value this has.
 */
#include <tsdb/head.h>

#include <tsdb/bits.h>
#include <tsdb/head_step.h>

/* Longest codes: of repeats, a time, a value. */
#define REPEATS_BITS_MAX (3 + 4 + 15)
#define TIME_BITS_MAX    (3 + 2 + 64 + 1)
#define VALUE_BITS_MAX   (2 + 5 + 64)
#define CODE_BITS_MAX    (REPEATS_BITS_MAX + TIME_BITS_MAX + VALUE_BITS_MAX)
/* A value as 64 bits, its scale kept. */
#define RAW_BITS (2 + 64)
/* From so many repeats on, one code is as short as a bit each. */
#define REPEATS_CODED_MIN 9u

/* The code of one sample. */
struct code {
    uint64_t words[4];
};
Q_STATIC_ASSERT(CODE_BITS_MAX <= 8 * sizeof(struct code), "a code fits its room (invariant 2)");
Q_STATIC_ASSERT(CODE_BITS_MAX == TSDB_HEAD_CODE_BITS_MAX, "what others count with");

/* ---- codes ---------------------------------------------------------------------------------- */

static void put_raw(struct tsdb_head *head, struct tsdb_bit_writer *writer, uint64_t bits)
{
    tsdb_bits_put(writer, 1, 2);
    tsdb_bits_put(writer, bits, 64);
    head_step_raw(head, bits);
}

static void put_scale(struct tsdb_head *head, struct tsdb_bit_writer *writer, uint64_t bits,
                      uint32_t scale)
{
    tsdb_bits_put(writer, 3 | (uint64_t)scale << 2, 7);
    tsdb_bits_put(writer, bits, 64);
    head_step_scale(head, scale, bits);
}

/* Within the last one's bits unless a code that names its own is shorter. */
static void put_xor(struct tsdb_head *head, struct tsdb_bit_writer *writer, uint64_t bits)
{
    uint64_t xored = bits ^ head->bits;
    uint32_t shift = bits_trailing_zeros_u64(xored);
    uint32_t width = 64 - shift - bits_leading_zeros_u64(xored);
    bool is_within = shift >= head->shift && shift + width <= head->shift + head->width;

    if (is_within && head->width <= width + 12) {
        tsdb_bits_put(writer, 0, 2);
        tsdb_bits_put(writer, xored >> head->shift, head->width);
        head_step_xor(head, xored, head->shift, head->width);
    } else if (2 + 12 + width <= RAW_BITS) {
        tsdb_bits_put(writer, 2 | (uint64_t)shift << 2 | (uint64_t)(width - 1) << 8, 14);
        tsdb_bits_put(writer, xored >> shift, width);
        head_step_xor(head, xored, shift, width);
    } else {
        put_raw(head, writer, bits);
    }
}

static void put_decimal(struct tsdb_head *head, struct tsdb_bit_writer *writer, int64_t m,
                        uint64_t bits)
{
    int64_t growth = m - head_decimal(head);
    uint64_t z = varint_zigzag(growth - head_growth_expected(head));

    if (1 + tsdb_golomb_length(z, head->order) > RAW_BITS) {
        put_raw(head, writer, bits);
        return;
    }
    tsdb_bits_put(writer, 0, 1);
    tsdb_golomb_put(writer, z, head->order);
    head_step_decimal(head, growth, z, bits);
}

/* NaN, infinities and -0 are exceptions in a chain of any scale. */
static bool is_exception(uint64_t bits)
{
    return (bits << 1) >> 53 == 0x7ff || bits == UINT64_C(1) << 63;
}

/* Whether a chain's first value, not 0, is one of many units of 1024: the next will be, too. */
static bool begins_with_kib(const struct tsdb_head *head, int64_t m)
{
    return head->age == 0 && head->scale == 0 && m != 0 && m % 1024 == 0;
}

/* A scale that holds `bits`, which the head's does not: exact, else nearly, else exclusive ors.
 * From nearly there is no way back to exact, or a series that is nearly decimal would go to and
 * fro. */
static uint32_t scale_for(const struct tsdb_head *head, uint64_t bits)
{
    const bool is_nearly = head->scale >= TSDB_NEARLY && head->scale < HEAD_SCALE_NONE;
    uint32_t scale = is_nearly ? TSDB_DECIMAL_SCALE_MAX + 1 : tsdb_decimal_scale(bits, 0);

    if (scale == 0 && begins_with_kib(head, (int64_t)tsdb_double_of(bits))) {
        return TSDB_DECIMAL_KIB;
    }
    if (scale > TSDB_DECIMAL_SCALE_MAX) {
        scale = tsdb_nearly_scale(bits, is_nearly ? head->scale : 0);
    }
    return scale > TSDB_NEARLY + TSDB_NEARLY_SCALE_MAX ? HEAD_SCALE_XOR : scale;
}

/* A value that the scale does not hold: on to a scale that does, unless it is an exception. */
Q_COLD static void put_beyond_scale(struct tsdb_head *head, struct tsdb_bit_writer *writer,
                                    uint64_t bits)
{
    if (is_exception(bits)) {
        put_raw(head, writer, bits);
        return;
    }
    put_scale(head, writer, bits, scale_for(head, bits));
}

static void put_value(struct tsdb_head *head, struct tsdb_bit_writer *writer, uint64_t bits)
{
    int64_t m;

    if (head->scale == HEAD_SCALE_XOR) {
        put_xor(head, writer, bits);
    } else if (head->scale != HEAD_SCALE_NONE && tsdb_decimal_get(bits, head->scale, &m) &&
               !begins_with_kib(head, m)) {
        put_decimal(head, writer, m, bits);
    } else {
        put_beyond_scale(head, writer, bits);
    }
}

static void put_repeats(struct tsdb_head *head, struct tsdb_bit_writer *writer)
{
    uint32_t count = head->repeats;

    if (count >= REPEATS_CODED_MIN) {
        uint32_t length = bits_log2_floor_u32(count);
        tsdb_bits_put(writer, 3 | (uint64_t)length << 3, 7);
        tsdb_bits_put(writer, count - (1u << length), length);
    } else if (count > 0) {
        tsdb_bits_put(writer, head->is_fresh, count + head->is_fresh);
    }
    head_step_onwards(head);
}

static void put_time(struct tsdb_head *head, struct tsdb_bit_writer *writer, int64_t t_ms)
{
    uint64_t off = (uint64_t)t_ms - (uint64_t)head_time_expected(head);
    uint64_t z = varint_zigzag((int64_t)off);
    uint32_t class = 0;

    while (class < 3 && z >> head_time_widths[class] != 0) {
        class ++;
    }
    tsdb_bits_put(writer, 7 | class << 3, 5);
    tsdb_bits_put(writer, z, head_time_widths[class]);
}

/* The code of `sample` with the repeats before it; steps `head`. Returns its bits. */
static uint32_t encode(struct tsdb_head *head, struct tsdb_sample sample, struct code *ret_code)
{
    struct tsdb_bit_writer writer = {ret_code->words, 0};
    bool is_changed = sample.bits != head->bits;

    *ret_code = (struct code){{0}};
    put_repeats(head, &writer);
    if (sample.t_ms != head_time_expected(head)) {
        put_time(head, &writer, sample.t_ms);
        tsdb_bits_put(&writer, is_changed, 1);
    } else if (is_changed == head->is_fresh) {
        tsdb_bits_put(&writer, 0, 1);
    } else {
        tsdb_bits_put(&writer, 1, 2);
    }
    head_step_time(head, sample.t_ms);
    if (is_changed) {
        put_value(head, &writer, sample.bits);
    }
    head->is_fresh = is_changed;
    Q_DCHECK(writer.at <= CODE_BITS_MAX);
    return (uint32_t)writer.at;
}

/* ---- chunklets ------------------------------------------------------------------------------ */

/* Stores a code behind `at`, where there is room and zeros. */
static void store(struct tsdb_chunklet *chunklet, uint32_t at, const struct code *code,
                  uint32_t bit_count)
{
    uint32_t shift = at % 64;
    uint64_t carry = 0;
    _Atomic uint64_t *to = &chunklet->payload[at / 64];

    /* Bits below `at` stay; readers that loaded word 0 before look at no others. */
    carry = shift == 0 ? 0 : atomic_load_relaxed_u64(to);
    for (uint32_t done = 0, i = 0; done < shift + bit_count; done += 64, i++) {
        uint64_t word = i < 4 ? code->words[i] : 0;
        atomic_store_relaxed_u64(to + i, carry | word << shift);
        carry = shift == 0 ? 0 : word >> (64 - shift);
    }
}

/*
 * Exclusive ors are given up when two values in a row are decimals. Asked at a chunklet's beginning
 * alone: it costs up to 80 ns.
 */
static bool may_be_decimal(const struct tsdb_head *head, uint64_t bits)
{
    return head->scale == HEAD_SCALE_XOR && bits != head->bits &&
           tsdb_decimal_scale(bits, 0) <= TSDB_DECIMAL_SCALE_MAX &&
           tsdb_decimal_scale(head->bits, 0) <= TSDB_DECIMAL_SCALE_MAX;
}

static uint32_t encode_first(struct tsdb_head *head, struct tsdb_sample sample,
                             struct code *ret_code)
{
    head_step_onwards(head);
    if (may_be_decimal(head, sample.bits)) {
        head->scale = HEAD_SCALE_NONE;
    }
    return encode(head, sample, ret_code);
}

/* Appends to a chunklet that is not the chain's first or is: `spare`, which is empty. */
static void go_on(struct tsdb_head *head, struct tsdb_chunklet *tail, struct tsdb_sample sample,
                  struct tsdb_spare spare)
{
    struct code code;
    uint32_t bit_count = encode_first(head, sample, &code);

    Q_ASSERT(spare.number != TSDB_CHUNKLET_NONE && spare.number != head->tail);
    Q_DCHECK(tsdb_chunklet_look(spare.chunklet).kind == TSDB_CHUNKLET_FREE);
    store(spare.chunklet, 0, &code, bit_count);
    tsdb_chunklet_publish(spare.chunklet, (struct tsdb_chunklet_view){.kind = TSDB_CHUNKLET_FLOATS,
                                                                      .used_bits = bit_count,
                                                                      .count = 1});
    head->tail = spare.number;
    if (tail != NULL) {
        tsdb_chunklet_link(tail, spare.number);
    }
}

/* Whether a sample is one that is counted alone. */
static bool is_repeat(const struct tsdb_head *head, struct tsdb_sample sample)
{
    return sample.bits == head->bits && sample.t_ms == head_time_expected(head);
}

bool tsdb_head_fits_slow(const struct tsdb_head *head, struct tsdb_chunklet_view view,
                         struct tsdb_sample sample)
{
    struct tsdb_head next = *head;
    struct code code;

    return is_repeat(head, sample) ||
           view.used_bits + encode(&next, sample, &code) <= TSDB_CHUNKLET_PAYLOAD_BITS;
}

/* Appends what is no repeat to the tail. Returns whether it fits; else nothing has changed. */
static bool append_code(struct tsdb_head *head, struct tsdb_chunklet *tail,
                        struct tsdb_chunklet_view view, struct tsdb_sample sample)
{
    struct tsdb_head next = *head;
    struct code code;
    uint32_t bit_count = encode(&next, sample, &code);

    if (view.used_bits + bit_count > TSDB_CHUNKLET_PAYLOAD_BITS) {
        return false;
    }
    store(tail, view.used_bits, &code, bit_count);
    view.used_bits += bit_count;
    view.count++;
    tsdb_chunklet_publish(tail, view);
    *head = next; /* invariant 4 */
    return true;
}

static bool append_to_tail(struct tsdb_head *head, struct tsdb_chunklet *tail,
                           struct tsdb_sample sample)
{
    struct tsdb_chunklet_view view = tsdb_chunklet_look(tail);

    Q_DCHECK(view.kind == TSDB_CHUNKLET_FLOATS && view.next == TSDB_CHUNKLET_NONE);
    if (view.count == TSDB_CHUNKLET_SAMPLES_MAX) {
        return false;
    }
    if (!is_repeat(head, sample)) {
        return append_code(head, tail, view, sample);
    }
    head->t_ms = sample.t_ms;
    head->repeats++;
    view.count++;
    tsdb_chunklet_publish(tail, view);
    return true;
}

enum tsdb_appended tsdb_head_append(struct tsdb_head *head, struct tsdb_chunklet *tail,
                                    struct tsdb_sample sample, struct tsdb_spare spare)
{
    Q_ASSERT((tail == NULL) == (head->tail == TSDB_CHUNKLET_NONE));
    if (tail != NULL && append_to_tail(head, tail, sample)) {
        return TSDB_APPENDED;
    }
    if (spare.chunklet == NULL) {
        return TSDB_APPEND_NEEDS_SPARE;
    }
    go_on(head, tail, sample, spare);
    return TSDB_APPENDED_ONWARDS;
}
