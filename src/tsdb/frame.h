/*
 * Frames: up to 64 integers that are near each other, in as many bits as their distances need.
 *
 * What sealed columns are made of. frame.c has the bytes.
 */
#ifndef QUARRY_TSDB_FRAME_H
#define QUARRY_TSDB_FRAME_H

#include <base/base.h>

#define TSDB_FRAME_VALUES 64u
/* Bytes of a frame at most: a tag, a reference, 64 values of 64 bits. */
#define TSDB_FRAME_BYTES_MAX (1 + VARINT_U64_BYTES_MAX + 8 * TSDB_FRAME_VALUES)
/* Values of a frame that are told apart from the others. Doubling it makes planning slower by as
 * much again as it is, and helps where a wider frame is nearly as short. */
#define TSDB_FRAME_EXCEPTIONS_MAX 8u

/* How a frame will be written. */
struct tsdb_frame_plan {
    int64_t reference;    /* what the packed values are above of */
    uint32_t width;       /* bits of a packed value */
    uint32_t bytes_bound; /* bytes of the frame, or a few more */
};

/*
 * Finds the shortest way for `count` values, 1 to TSDB_FRAME_VALUES. Distances wrap.
 * Threads: any. Cost: 3 to 8 ns a value.
 */
struct tsdb_frame_plan tsdb_frame_plan(const int64_t *values, uint32_t count);

/*
 * Writes a frame. `plan`: of the same values. `ret_bytes`: room for plan.bytes_bound.
 * Returns: bytes written, plan.bytes_bound at most.
 */
size_t tsdb_frame_put(const int64_t *values, uint32_t count, struct tsdb_frame_plan plan,
                      uint8_t *ret_bytes);

/*
 * Reads a frame of `count` values, 1 to TSDB_FRAME_VALUES, at `at`; no byte at `end` or beyond.
 * Returns: bytes read; 0 where the bytes make no sense or end too early; then `ret_values` may hold
 * anything.
 * Threads: any. Cost: 0.3 to 1.5 ns a value.
 */
size_t tsdb_frame_get(const uint8_t *at, const uint8_t *end, uint32_t count, int64_t *ret_values);

#endif
