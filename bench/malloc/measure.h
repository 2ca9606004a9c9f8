/*
 * `quarry-bench-child malloc …`: one measurement, in the process it is run in.
 */
#ifndef QUARRY_BENCH_MALLOC_MEASURE_H
#define QUARRY_BENCH_MALLOC_MEASURE_H

#include <stdint.h>

/* The bytes by which a child says that what is measured begins and ends now. */
#define BENCH_MARK_BEGIN 'b'
#define BENCH_MARK_END   'e'

/* What a row's process tells about itself. */
struct bench_malloc_sample {
    uint64_t operation_count; /* mallocs, frees and reallocs */
    uint64_t wall_ns;
    uint64_t cpu_ns;            /* user and system, all threads */
    uint64_t instruction_count; /* by the processor's counter; 0: it has none for us */
    uint64_t p999_ns;           /* of one operation */
    uint64_t peak_rss_bytes;    /* of the process, from its start */
    uint64_t fault_count;
};
#define BENCH_MALLOC_SAMPLE_NUMBERS 7u

/* argv[0] is "malloc". Returns: the exit code. */
int bench_malloc_child_main(int argc, char **argv);

#endif
