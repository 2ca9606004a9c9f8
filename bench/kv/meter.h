/*
 * What a row costs: time, of the processor and of the clock, of each operation and of all; bytes
 * that were written; memory.
 */
#ifndef QUARRY_BENCH_KV_METER_H
#define QUARRY_BENCH_KV_METER_H

#include <stdint.h>

#include <bench/histogram.h>

struct bench_kv_meter {
    uint64_t began_ns, began_cpu_ns, began_written_bytes;
    uint64_t last_ns; /* the end of the operation before */
    struct bench_histogram latency;
};

/* Begins, once the process is at rest. */
void bench_kv_meter_begin(struct bench_kv_meter *meter);
/* An operation has ended: its time is that since the one before. Cost: a look at the clock. */
void bench_kv_meter_lap(struct bench_kv_meter *meter);
/* What was done since the operation before is in no operation's time. */
void bench_kv_meter_skip(struct bench_kv_meter *meter);
/*
 * Ends: writes the numbers of a row of kind BENCH_KV_WORK, but for operations, bytes of users and
 * of files. Waits until the process is at rest, whose CPU time belongs to the row.
 */
void bench_kv_meter_end(struct bench_kv_meter *meter, uint64_t *numbers);

uint64_t bench_kv_now_ns(void);
/* Bytes of pages of files that this process has made dirty. */
uint64_t bench_kv_written_bytes(void);
/* Waits until the process has used next to no CPU for a while; a minute at most. */
void bench_kv_wait_for_rest(void);

#endif
