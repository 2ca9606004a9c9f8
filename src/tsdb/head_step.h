/*
 * What a head becomes with each sample: the same for the encoder (head.c) and the decoder
 * (head_read.c), which is why a reader's head is the writer's.
 *
 * Errors: none. Threads: the head's owner. Cost: a few instructions.
 */
#ifndef QUARRY_TSDB_HEAD_STEP_H
#define QUARRY_TSDB_HEAD_STEP_H

#include <tsdb/decimal.h>
#include <tsdb/head.h>

/* The scale that stands for exclusive ors. */
#define HEAD_SCALE_XOR 31u
/* No scale: the next value tells one. Of an encoder, within one code. */
#define HEAD_SCALE_NONE 30u
/* The order of the first decimal's code. */
#define HEAD_ORDER_FIRST 4u
/* Growth is remembered in units of 1 / 2^this. */
#define HEAD_MEAN_SHIFT 4u
/* A new difference counts for 1 / 2^this. Less follows slower, more takes noise for growth. */
#define HEAD_MEAN_PACE 2u
/* A difference of so many doublings more than expected, a reset or a jump, is not learned from. */
#define HEAD_JUMP_DOUBLINGS 3u
/* Codes of higher orders would be longer than the value itself. */
#define HEAD_ORDER_MAX 40u

/* Bits of the four classes of differences to the expected time. */
static const uint8_t head_time_widths[4] = {7, 14, 21, 64};

/* The time that is expected next. */
static inline int64_t head_time_expected(const struct tsdb_head *head)
{
    return (int64_t)((uint64_t)head->t_ms + head->step_ms);
}

static inline void head_step_time(struct tsdb_head *head, int64_t t_ms)
{
    uint64_t step = (uint64_t)t_ms - (uint64_t)head->t_ms;

    head->step_ms = step <= UINT32_MAX ? (uint32_t)step : 0;
    head->t_ms = t_ms;
}

/* A value came as 64 bits: they say nothing of growth. */
static inline void head_step_raw(struct tsdb_head *head, uint64_t bits)
{
    head->bits = bits;
    head->age = head->age == 0 ? 1 : head->age;
}

/* A value came as 64 bits, and what follows is coded by another scale. */
static inline void head_step_scale(struct tsdb_head *head, uint32_t scale, uint64_t bits)
{
    head->scale = (uint8_t)scale;
    head->mean = 0;
    head->order = HEAD_ORDER_FIRST;
    head->age = 0;
    head_step_raw(head, bits);
}

static inline void head_step_xor(struct tsdb_head *head, uint64_t xored, uint32_t shift,
                                 uint32_t width)
{
    head->bits ^= xored;
    head->shift = (uint8_t)shift;
    head->width = (uint8_t)width;
}

/* The integer of the last value; 0 where it is no decimal of the head's scale. */
static inline int64_t head_decimal(const struct tsdb_head *head)
{
    int64_t m = 0;

    (void)tsdb_decimal_get(head->bits, head->scale, &m);
    return m;
}

/* The growth that is expected, rounded. */
static inline int64_t head_growth_expected(const struct tsdb_head *head)
{
    return (head->mean + (1 << (HEAD_MEAN_SHIFT - 1))) >> HEAD_MEAN_SHIFT;
}

/* The value, now `bits`, grew by `growth`, which is `z`, zigzag, off what was expected. */
static inline void head_step_decimal(struct tsdb_head *head, int64_t growth, uint64_t z,
                                     uint64_t bits)
{
    uint32_t order = head->order;
    uint64_t excess = z >> order;

    if (head->age == 1) {
        head->mean = growth * (1 << HEAD_MEAN_SHIFT);
    } else if (head->age == 2 && excess >> HEAD_JUMP_DOUBLINGS == 0) {
        head->mean += (growth * (1 << HEAD_MEAN_SHIFT) - head->mean) >> HEAD_MEAN_PACE;
    }
    head->age = head->age == 0 ? 1 : 2;
    if (excess != 0) {
        order += order < HEAD_ORDER_MAX;
    } else if (order > 0 && z >> (order - 1) == 0) {
        order--;
    }
    head->order = (uint8_t)order;
    head->bits = bits;
}

/* The chain goes on into another chunklet: repeats at the end of the one before have no bits. */
static inline void head_step_onwards(struct tsdb_head *head)
{
    if (head->repeats > 0) {
        head->repeats = 0;
        head->is_fresh = 0;
    }
}

#endif
