/*
 * Sets of unlike keys as fast as they are taken, a little at a time.
 */
#ifndef QUARRY_BENCH_CACHE_FLOOD_H
#define QUARRY_BENCH_CACHE_FLOOD_H

#include <stdint.h>

#include <bench/cache/link.h>

struct bench_flood {
    struct bench_links links;
    uint32_t value_bytes;
    uint32_t pipeline;
    uint64_t next_number; /* of a key */
    uint64_t sent_bytes;  /* of values */
};

/* Opens connections. Keys are none of those below 2^30. */
void bench_flood_init(struct bench_flood *flood, const struct bench_server *server,
                      uint32_t link_count);
void bench_flood_fini(struct bench_flood *flood);

/* Begins with values of so many bytes on all connections; those of before must have ended. */
void bench_flood_begin(struct bench_flood *flood, uint32_t value_bytes);
/* Takes what has come and sends as much again. Never waits. */
void bench_flood_step(struct bench_flood *flood);
/* Sends nothing more and waits for all answers. */
void bench_flood_end(struct bench_flood *flood);
/* Begins, stores until `bytes` of values have been sent, and ends, with nothing beside it. */
void bench_flood_alone(struct bench_flood *flood, uint32_t value_bytes, uint64_t bytes);
/* Answers that were wrong, and refusals. */
uint64_t bench_flood_errors(const struct bench_flood *flood);

#endif
