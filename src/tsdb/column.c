/*
 * Columns of values: the shortest of several forms, found by measuring them.
 *
 *     form: order + 4 × mapping, 1 byte | parameter, 1 byte | …
 *
 *     mapping 0  bits        | differences |                    value >> parameter, which loses
 *                                                               nothing: low bits are zero in all
 *     mapping 1  decimals    | exceptions | differences |       integers of parameter % 16 places,
 *                                                               shifted by parameter / 16
 *                              runs, then gap, length - 1,      values that are none
 *                              8 bytes each
 *     mapping 2  dictionary  | 8 bytes × (parameter + 1) | differences |       entries by number
 *     mapping 3  nearly      | exceptions | differences |       as decimals; an integer holds how
 *                                                               far off the value is, too
 *     form 3     constant    | 8 bytes |                        parameter 0
 *     form 7     constant    | integer |                        parameter places
 *
 *     differences: order 0, 1 or 2 (differences.c), in frames of 64 (frame.c); runs, gaps,
 *     lengths and the integer are varints, the integer zigzag; a gap is what lies between two runs.
 *
 * What is measured are mostly decimals: then a counter's growth fits a few bits, where the bits of
 * its doubles jump about. decimal.h says why m / 10^places gives the very bits back, and what is
 * nearly a decimal. A few values may be none: the stale marker that ends a series, NaN while there
 * is nothing to measure. They are told beside, by runs, and repeat the value before in the frames,
 * which is free with order 1. Other doubles are taken as integers with the zeros that all end in
 * cut off: their differences have some bits less than exclusive ors, and frames take both alike.
 * Integers that are all multiples of a power of two, such as bytes in pages, have their zeros cut
 * off as well. A dictionary is for few values far apart: a state that goes back and forth between 0
 * and 1e9.
 *
 * Whatever was chosen is decoded again and compared. Were there a difference, the column would be
 * the plain bits, which cannot differ.
 *
 * Invariants
 *   1. A column that was encoded decodes to the same bits (verified for each).
 *   2. Readers look at [bytes, bytes + byte_count) alone, and yield `count` values or fewer.
 *   3. Runs of exceptions are in the order of their indexes, and do not overlap.
 *
 * Locking: none. Cost, in instructions a value (callgrind, gcc 12): to encode, verifying included,
 * 10 for a constant, 420 to 450 for decimals, 630 for doubles; to read 2 for a constant, 25 for
 * decimals, 21 for doubles: 0.5 to 2.5 ns. What node_exporter shows takes 0.52 bytes a sample, and
 * 0.7 ns to read, 1.6 where values change.
 *
 * Rejected: exclusive ors with their own lengths, as in a head, for doubles: random ones are 8.5
 * bytes that way and 7.1 in frames, and reading takes five times as long. Choosing by frame instead
 * of by column: a series is of one kind for four hours. Trying fewer places with more exceptions:
 * values of one source have the same. zstd behind it all, as VictoriaMetrics does: 9 % less on
 * what node_exporter shows, for a second pass over all that is read.
 *
 * Source: VictoriaMetrics' decimals; ALP (SIGMOD 2024) for dividing back, and verifying.
 */
#include <tsdb/column.h>

#include <string.h>

#include <tsdb/column_form.h>
#include <tsdb/decimal.h>
#include <tsdb/differences.h>

/* Entries of a dictionary. More of them rarely pay for themselves in a window. */
#define DICTIONARY_MAX 32u
/* One run in so many values may be of no decimals, and one. */
#define EXCEPTIONS_SHARE 16u

/* What a column will be. */
struct choice {
    uint32_t mapping;
    uint32_t parameter;
    uint32_t order;
    uint32_t run_count; /* of exceptions */
    size_t bytes;       /* bound */
    uint64_t dictionary[DICTIONARY_MAX];
};

/* ---- mappings: values become integers in `scratch` ------------------------------------------ */

static uint32_t runs_max(uint32_t count)
{
    return count / EXCEPTIONS_SHARE + 1;
}

/* The places that values need which are decimals at all; or more than the most, if too many are
 * none. */
static uint32_t find_scale(const uint64_t *bits, uint32_t count, uint32_t scale_min,
                           uint32_t scale_max)
{
    uint32_t scale = scale_min, run_count = 0;
    int64_t m;

    for (uint32_t i = 0; i < count; i++) {
        if ((i > 0 && bits[i] == bits[i - 1]) || tsdb_decimal_get(bits[i], scale, &m)) {
            continue;
        }
        uint32_t more = scale_min == 0 ? tsdb_decimal_scale(bits[i], scale + 1)
                                       : tsdb_nearly_scale(bits[i], scale + 1);
        if (more <= scale_max) {
            scale = more;
        } else if (++run_count > runs_max(count)) {
            return more;
        }
    }
    return scale;
}

/* Cuts off the zeros that all integers end in, up to COLUMN_SHIFT_MAX. Returns how many. */
static uint32_t shift_decimals(int64_t *m, uint32_t count)
{
    uint64_t all = UINT64_C(1) << COLUMN_SHIFT_MAX;

    for (uint32_t i = 0; i < count; i++) {
        all |= (uint64_t)m[i];
    }
    uint32_t shift = bits_trailing_zeros_u64(all);
    for (uint32_t i = 0; i < count; i++) {
        m[i] >>= shift; /* of negative ones too: no bits are lost */
    }
    return shift;
}

/* Returns how many runs of equal values are no decimals of `scale` places; these repeat the one
 * before. */
static uint32_t map_decimals(const uint64_t *bits, uint32_t count, uint32_t scale, int64_t *ret_m)
{
    uint32_t run_count = 0;
    int64_t m = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (!tsdb_decimal_get(bits[i], scale, &m)) {
            run_count += i == 0 || bits[i] != bits[i - 1];
        }
        ret_m[i] = m;
    }
    return run_count;
}

static void map_bits(const uint64_t *bits, uint32_t count, uint32_t shift, int64_t *ret_m)
{
    for (uint32_t i = 0; i < count; i++) {
        ret_m[i] = (int64_t)(bits[i] >> shift);
    }
}

/* The number of `bits` in a dictionary of `count` rising entries; `count` if it is not there. */
static uint32_t find_entry(const uint64_t *dictionary, uint32_t count, uint64_t bits)
{
    uint32_t at = 0;

    while (at < count && dictionary[at] < bits) {
        at++;
    }
    return at < count && dictionary[at] == bits ? at : count;
}

static uint32_t enter(uint64_t *dictionary, uint32_t count, uint64_t bits)
{
    uint32_t at = count;

    for (; at > 0 && dictionary[at - 1] > bits; at--) {
        dictionary[at] = dictionary[at - 1];
    }
    dictionary[at] = bits;
    return count + 1;
}

/* The entries that values need; 0 when they are more than DICTIONARY_MAX. */
static uint32_t find_dictionary(const uint64_t *bits, uint32_t count, uint64_t *ret_dictionary)
{
    uint32_t known = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (find_entry(ret_dictionary, known, bits[i]) < known) {
            continue;
        }
        if (known == DICTIONARY_MAX) {
            return 0;
        }
        known = enter(ret_dictionary, known, bits[i]);
    }
    return known;
}

static void map_dictionary(const uint64_t *bits, uint32_t count, const uint64_t *dictionary,
                           uint32_t known, int64_t *ret_m)
{
    for (uint32_t i = 0; i < count; i++) {
        ret_m[i] = find_entry(dictionary, known, bits[i]);
    }
}

/* The scale of a choice of decimals, exact or nearly. */
static uint32_t scale_of(const struct choice *choice)
{
    return COLUMN_SCALE(choice->parameter) + (choice->mapping == COLUMN_NEARLY ? TSDB_NEARLY : 0);
}

static bool has_decimals(const struct choice *choice)
{
    return choice->mapping == COLUMN_DECIMALS || choice->mapping == COLUMN_NEARLY;
}

static void map_by(const uint64_t *bits, uint32_t count, const struct choice *choice,
                   int64_t *ret_m)
{
    if (has_decimals(choice)) {
        (void)map_decimals(bits, count, scale_of(choice), ret_m);
        (void)shift_decimals(ret_m, count);
    } else if (choice->mapping == COLUMN_DICTIONARY) {
        map_dictionary(bits, count, choice->dictionary, choice->parameter + 1, ret_m);
    } else {
        map_bits(bits, count, choice->parameter, ret_m);
    }
}

/* ---- choosing ------------------------------------------------------------------------------- */

/* Takes the order that makes `scratch`, with `head_bytes` before it, shortest, if that is shorter
 * than what `choice` has. Returns whether it is. */
static bool choose_order(const int64_t *scratch, uint32_t count, size_t head_bytes,
                         struct choice *choice)
{
    bool is_better = false;

    for (uint32_t i = 0; i <= DIFFERENCES_ORDER_MAX; i++) {
        uint32_t order = (i + 1) % (DIFFERENCES_ORDER_MAX + 1); /* 1 first: it mostly wins */
        if (count <= order || head_bytes >= choice->bytes) {
            continue;
        }
        size_t bound = choice->bytes - head_bytes;
        size_t bytes = differences_measure(scratch, count, order, bound);
        if (bytes < bound) {
            choice->bytes = head_bytes + bytes;
            choice->order = order;
            is_better = true;
        }
    }
    return is_better;
}

/* Tries decimals, or what is nearly decimals, of the scales from `scale_min` to `scale_max`. */
static void try_decimals(const uint64_t *bits, uint32_t count, uint32_t scale_min,
                         uint32_t scale_max, int64_t *scratch, struct choice *choice)
{
    uint32_t scale = find_scale(bits, count, scale_min, scale_max);

    if (scale > scale_max) {
        return;
    }
    uint32_t run_count = map_decimals(bits, count, scale, scratch);
    uint32_t shift = shift_decimals(scratch, count);
    size_t varint_bytes = varint_length_u64(count);
    size_t head_bytes = 2 + varint_bytes + run_count * (8 + 2 * varint_bytes);
    if (run_count <= runs_max(count) && choose_order(scratch, count, head_bytes, choice)) {
        choice->mapping = scale_min == 0 ? COLUMN_DECIMALS : COLUMN_NEARLY;
        choice->parameter = COLUMN_PARAMETER(scale - scale_min, shift);
        choice->run_count = run_count;
    }
}

static void try_bits(const uint64_t *bits, uint32_t count, int64_t *scratch, struct choice *choice)
{
    uint64_t all = 0;

    for (uint32_t i = 0; i < count; i++) {
        all |= bits[i];
    }
    uint32_t shift = all == 0 ? 0 : bits_trailing_zeros_u64(all);
    map_bits(bits, count, shift, scratch);
    if (choose_order(scratch, count, 2, choice)) {
        choice->mapping = COLUMN_BITS;
        choice->parameter = shift;
    }
}

/* Asked last: its frames of entries are measured only when the entries alone are short. */
static void try_dictionary(const uint64_t *bits, uint32_t count, int64_t *scratch,
                           struct choice *choice)
{
    uint64_t dictionary[DICTIONARY_MAX];

    if (choice->bytes < count / 4 + 16) {
        return;
    }
    uint32_t known = find_dictionary(bits, count, dictionary);
    if (known == 0) {
        return;
    }
    map_dictionary(bits, count, dictionary, known, scratch);
    if (choose_order(scratch, count, 2 + 8 * (size_t)known, choice)) {
        choice->mapping = COLUMN_DICTIONARY;
        choice->parameter = known - 1;
        memcpy(choice->dictionary, dictionary, known * sizeof *dictionary);
    }
}

static void choose(const uint64_t *bits, uint32_t count, int64_t *scratch,
                   struct choice *ret_choice)
{
    *ret_choice = (struct choice){.bytes = tsdb_column_bytes_max(count)};
    try_decimals(bits, count, 0, TSDB_DECIMAL_SCALE_MAX, scratch, ret_choice);
    if (ret_choice->mapping != COLUMN_DECIMALS || ret_choice->run_count > 0) {
        try_decimals(bits, count, TSDB_NEARLY, TSDB_NEARLY + TSDB_NEARLY_SCALE_MAX, scratch,
                     ret_choice);
    }
    if (ret_choice->mapping != COLUMN_DECIMALS) {
        try_bits(bits, count, scratch, ret_choice);
    }
    try_dictionary(bits, count, scratch, ret_choice);
}

/* ---- writing -------------------------------------------------------------------------------- */

/* Values from `from` on that equal it. */
static uint32_t run_at(const uint64_t *bits, uint32_t count, uint32_t from)
{
    uint32_t end = from + 1;

    while (end < count && bits[end] == bits[from]) {
        end++;
    }
    return end - from;
}

static uint8_t *put_exceptions(uint8_t *to, const uint64_t *bits, uint32_t count, uint32_t scale,
                               uint32_t run_count)
{
    uint32_t behind = 0; /* the run before */
    int64_t m;

    to += varint_put_u32(to, run_count);
    for (uint32_t i = 0; i < count && run_count > 0; i++) {
        if (i < behind || tsdb_decimal_get(bits[i], scale, &m)) {
            continue;
        }
        uint32_t run = run_at(bits, count, i);
        to += varint_put_u32(to, i - behind);
        to += varint_put_u32(to, run - 1);
        endian_store_le_u64(to, bits[i]);
        to += 8;
        behind = i + run;
        run_count--;
    }
    return to;
}

static uint8_t *put_dictionary(uint8_t *to, const struct choice *choice)
{
    for (uint32_t i = 0; i <= choice->parameter; i++) {
        endian_store_le_u64(to, choice->dictionary[i]);
        to += 8;
    }
    return to;
}

static size_t put(const uint64_t *bits, uint32_t count, const struct choice *choice,
                  int64_t *scratch, uint8_t *ret_bytes)
{
    uint8_t *to = ret_bytes;

    *to++ = COLUMN_FORM(choice->mapping, choice->order);
    *to++ = (uint8_t)choice->parameter;
    if (has_decimals(choice)) {
        to = put_exceptions(to, bits, count, scale_of(choice), choice->run_count);
    } else if (choice->mapping == COLUMN_DICTIONARY) {
        to = put_dictionary(to, choice);
    }
    map_by(bits, count, choice, scratch);
    to += differences_put(scratch, count, choice->order, to);
    Q_ASSERT((size_t)(to - ret_bytes) <= choice->bytes);
    return (size_t)(to - ret_bytes);
}

static size_t put_constant(uint64_t bits, uint8_t *ret_bytes)
{
    uint32_t scale = tsdb_decimal_scale(bits, 0);
    int64_t m = 0;

    if (scale > TSDB_DECIMAL_SCALE_MAX) {
        ret_bytes[0] = COLUMN_FORM(COLUMN_BITS, COLUMN_CONSTANT);
        ret_bytes[1] = 0;
        endian_store_le_u64(ret_bytes + 2, bits);
        return 10;
    }
    (void)tsdb_decimal_get(bits, scale, &m);
    ret_bytes[0] = COLUMN_FORM(COLUMN_DECIMALS, COLUMN_CONSTANT);
    ret_bytes[1] = (uint8_t)scale;
    return 2 + varint_put_u64(ret_bytes + 2, varint_zigzag(m));
}

static bool is_constant(const uint64_t *bits, uint32_t count)
{
    uint32_t i = 1;

    while (i < count && bits[i] == bits[0]) {
        i++;
    }
    return i == count;
}

/* Whether a column decodes to `bits`. */
static bool verify(const uint8_t *bytes, size_t byte_count, const uint64_t *bits, uint32_t count)
{
    uint64_t block[TSDB_COLUMN_BLOCK];
    struct tsdb_column_reader reader;
    uint32_t taken, at = 0;

    if (tsdb_column_open(&reader, bytes, byte_count, count) != QUARRY_OK) {
        return false;
    }
    while ((taken = tsdb_column_take(&reader, block)) > 0) {
        if (memcmp(block, bits + at, taken * sizeof *block) != 0) {
            return false;
        }
        at += taken;
    }
    return at == count;
}

size_t tsdb_column_encode(const uint64_t *bits, uint32_t count, int64_t *scratch,
                          uint8_t *ret_bytes)
{
    const struct choice plain = {.mapping = COLUMN_BITS, .bytes = tsdb_column_bytes_max(count)};
    struct choice choice;
    size_t byte_count;

    Q_ASSERT(count > 0);
    if (is_constant(bits, count)) {
        byte_count = put_constant(bits[0], ret_bytes);
    } else {
        choose(bits, count, scratch, &choice);
        byte_count = put(bits, count, &choice, scratch, ret_bytes);
    }
    if (Q_UNLIKELY(!verify(ret_bytes, byte_count, bits, count))) {
        byte_count = put(bits, count, &plain, scratch, ret_bytes);
    }
    Q_ASSERT(byte_count <= tsdb_column_bytes_max(count));
    return byte_count;
}
