/*
 * Reading columns: frames to integers, and these back to values. column.c has the bytes.
 *
 *     bytes ── frame.c ──> differences ── differences.c ──> integers ── here ──> bits of values
 *
 * Four frames make a block. The steps are loops over 64 values that lie in a caller's block the
 * whole time; nothing is allocated. Integers become doubles without the instruction for it, which
 * takes one at a time: added to the bits of 1.5 × 2^52 they are its fraction, and subtracting it
 * leaves them, two at a time.
 *
 * Invariants
 *   1. All that open accepts can be read: forms, parameters and sizes are within what take handles,
 *      and take checks each byte's place before it looks.
 *   2. `run` is before `runs_end`, and the run behind what was taken, or runs_left is 0.
 *
 * Locking: none. Cost: column.c.
 */
#include <tsdb/column.h>

#include <string.h>

#include <tsdb/column_form.h>
#include <tsdb/decimal.h>
#include <tsdb/differences.h>

static uint32_t mapping_of(const struct tsdb_column_reader *reader)
{
    return reader->form / COLUMN_ORDERS;
}

static uint32_t order_of(const struct tsdb_column_reader *reader)
{
    return reader->form % COLUMN_ORDERS;
}

/* ---- opening: each part moves `at` behind it, or returns NULL -------------------------------- */

/* Finds out where the next run of exceptions is, of `count` values, `after` those. Returns whether
 * it is sound. */
static bool open_run(struct tsdb_column_reader *reader, const uint8_t *at, uint32_t after,
                     uint32_t count)
{
    uint32_t gap, more;
    const uint8_t *end = reader->runs_end;
    size_t gap_bytes = varint_get_u32(at, end, &gap);
    size_t more_bytes = gap_bytes == 0 ? 0 : varint_get_u32(at + gap_bytes, end, &more);

    if (more_bytes == 0 || gap >= count - after || more >= count - after - gap) {
        return false;
    }
    reader->run = at + gap_bytes + more_bytes;
    reader->run_begin = after + gap;
    reader->run_end = reader->run_begin + more + 1;
    return end - reader->run >= 8;
}

/* Walks over the exceptions, which are as many runs as they say. */
static const uint8_t *open_exceptions(struct tsdb_column_reader *reader, const uint8_t *at,
                                      const uint8_t *end, uint32_t count)
{
    uint32_t run_count;
    size_t bytes = varint_get_u32(at, end, &run_count);

    if (bytes == 0) {
        return NULL;
    }
    const uint8_t *first = at + bytes;
    reader->runs_end = end;
    reader->run_end = 0;
    at = first;
    for (uint32_t i = 0; i < run_count; i++) {
        if (!open_run(reader, at, reader->run_end, count)) {
            return NULL;
        }
        at = reader->run + 8;
    }
    reader->runs_left = run_count;
    reader->runs_end = at;
    if (run_count > 0) {
        (void)open_run(reader, first, 0, count);
    }
    return at;
}

static const uint8_t *open_dictionary(struct tsdb_column_reader *reader, const uint8_t *at,
                                      const uint8_t *end)
{
    size_t bytes = 8 * ((size_t)reader->parameter + 1);

    reader->dictionary = at;
    return bytes > (size_t)(end - at) ? NULL : at + bytes;
}

static bool open_constant(struct tsdb_column_reader *reader, const uint8_t *at, const uint8_t *end)
{
    uint64_t z;

    if (mapping_of(reader) == COLUMN_BITS) {
        if (end - at != 8) {
            return false;
        }
        reader->constant = endian_load_le_u64(at);
        return true;
    }
    if (mapping_of(reader) != COLUMN_DECIMALS ||
        varint_get_u64(at, end, &z) != (size_t)(end - at) || end == at) {
        return false;
    }
    reader->constant = tsdb_decimal_bits(varint_unzigzag(z), COLUMN_SCALE(reader->parameter));
    return true;
}

static bool is_parameter_sound(uint32_t mapping, uint32_t parameter)
{
    switch (mapping) {
    case COLUMN_DECIMALS:
        return COLUMN_SCALE(parameter) <= TSDB_DECIMAL_SCALE_MAX;
    case COLUMN_NEARLY:
        return COLUMN_SCALE(parameter) <= TSDB_NEARLY_SCALE_MAX;
    default:
        return parameter <= 63;
    }
}

static bool open_form(struct tsdb_column_reader *reader, const uint8_t *at, const uint8_t *end,
                      uint32_t count)
{
    const uint32_t mapping = mapping_of(reader);

    if (!is_parameter_sound(mapping, reader->parameter)) {
        return false;
    }
    if (order_of(reader) == COLUMN_CONSTANT) {
        return open_constant(reader, at, end);
    }
    if (mapping == COLUMN_DECIMALS || mapping == COLUMN_NEARLY) {
        at = open_exceptions(reader, at, end, count);
    } else if (mapping == COLUMN_DICTIONARY) {
        at = open_dictionary(reader, at, end);
    } else if (mapping != COLUMN_BITS) {
        return false;
    }
    return at != NULL && differences_open(&reader->differences, at, end, count, order_of(reader));
}

enum quarry_status tsdb_column_open(struct tsdb_column_reader *reader, const uint8_t *bytes,
                                    size_t byte_count, uint32_t count)
{
    Q_ASSERT(count > 0);
    if (byte_count < 3) {
        return QUARRY_CORRUPT;
    }
    *reader = (struct tsdb_column_reader){.form = bytes[0], .parameter = bytes[1]};
    if (!open_form(reader, bytes + 2, bytes + byte_count, count)) {
        return QUARRY_CORRUPT;
    }
    reader->differences.left = count;
    return QUARRY_OK;
}

/* ---- values: integers in place become bits --------------------------------------------------- */

static void shift_all(uint64_t *values, uint32_t count, uint32_t shift)
{
    for (uint32_t i = 0; i < count; i++) {
        values[i] <<= shift;
    }
}

/* Integers of less than 2^51: others, of damaged columns, become some value. */
static void decimals_of(uint64_t *values, uint32_t count, uint32_t scale, uint32_t shift)
{
    const double rounder = 0x1.8p52, power = tsdb_decimal_powers[scale];
    const uint64_t rounder_bits = tsdb_bits_of(rounder);

    for (uint32_t i = 0; i < count; i++) {
        double whole = tsdb_double_of((values[i] << shift) + rounder_bits) - rounder;
        values[i] = tsdb_bits_of(whole / power);
    }
}

static void integers_of(uint64_t *values, uint32_t count, uint32_t shift)
{
    const double rounder = 0x1.8p52;
    const uint64_t rounder_bits = tsdb_bits_of(rounder);

    for (uint32_t i = 0; i < count; i++) {
        double whole = tsdb_double_of((values[i] << shift) + rounder_bits) - rounder;
        values[i] = tsdb_bits_of(whole);
    }
}

static void nearly_of(uint64_t *values, uint32_t count, uint32_t scale, uint32_t shift)
{
    for (uint32_t i = 0; i < count; i++) {
        values[i] = tsdb_decimal_bits((int64_t)(values[i] << shift), TSDB_NEARLY + scale);
    }
}

static bool look_up(const struct tsdb_column_reader *reader, uint64_t *values, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (values[i] > reader->parameter) {
            return false;
        }
        values[i] = endian_load_le_u64(reader->dictionary + 8 * values[i]);
    }
    return true;
}

/* Puts the exceptions among the `count` values from `reader->taken` on in their places. */
static void put_exceptions(struct tsdb_column_reader *reader, uint64_t *values, uint32_t count)
{
    const uint32_t begin = reader->taken, end = begin + count;

    while (reader->runs_left > 0 && reader->run_begin < end) {
        const uint64_t bits = endian_load_le_u64(reader->run);
        uint32_t at = reader->run_begin < begin ? begin : reader->run_begin;
        for (; at < reader->run_end && at < end; at++) {
            values[at - begin] = bits;
        }
        if (at < reader->run_end) { /* goes on in the next frame */
            return;
        }
        reader->runs_left--;
        if (reader->runs_left > 0) { /* open has walked over all of them */
            (void)open_run(reader, reader->run + 8, reader->run_end, UINT32_MAX);
        }
    }
}

static bool values_of(struct tsdb_column_reader *reader, uint64_t *values, uint32_t count)
{
    const uint32_t scale = COLUMN_SCALE(reader->parameter);
    const uint32_t shift = COLUMN_SHIFT(reader->parameter);

    switch (mapping_of(reader)) {
    case COLUMN_DECIMALS:
        if (scale == 0) {
            integers_of(values, count, shift);
        } else {
            decimals_of(values, count, scale, shift);
        }
        put_exceptions(reader, values, count);
        return true;
    case COLUMN_NEARLY:
        nearly_of(values, count, scale, shift);
        put_exceptions(reader, values, count);
        return true;
    case COLUMN_DICTIONARY:
        return look_up(reader, values, count);
    default:
        shift_all(values, count, reader->parameter);
        return true;
    }
}

/* ---- taking --------------------------------------------------------------------------------- */

static uint32_t take_constant(struct tsdb_column_reader *reader, uint32_t count, uint64_t *ret_bits)
{
    const uint64_t constant = reader->constant;

    for (uint32_t i = 0; i < count; i++) {
        ret_bits[i] = constant;
    }
    reader->differences.left -= count;
    return count;
}

static void give_up(struct tsdb_column_reader *reader)
{
    reader->is_corrupt = true;
    reader->differences.left = 0;
}

/* Takes a frame. Returns whether it was sound. */
static bool take_frame(struct tsdb_column_reader *reader, uint32_t count, uint64_t *ret_bits)
{
    if (!differences_take(&reader->differences, count, (int64_t *)ret_bits) ||
        !values_of(reader, ret_bits, count)) {
        give_up(reader);
        return false;
    }
    reader->taken += count;
    return true;
}

uint32_t tsdb_column_take(struct tsdb_column_reader *reader, uint64_t *ret_bits)
{
    uint32_t count = (uint32_t)size_min(reader->differences.left, TSDB_COLUMN_BLOCK), done = 0;

    if (order_of(reader) == COLUMN_CONSTANT) {
        return take_constant(reader, count, ret_bits);
    }
    while (done < count) {
        uint32_t piece = (uint32_t)size_min(count - done, TSDB_FRAME_VALUES);
        if (!take_frame(reader, piece, ret_bits + done)) {
            return done;
        }
        done += piece;
    }
    return done;
}
