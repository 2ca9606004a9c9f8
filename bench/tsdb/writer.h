/*
 * Remote writes: the samples of a fleet, over connections that each have a part of its series.
 */
#ifndef QUARRY_BENCH_TSDB_WRITER_H
#define QUARRY_BENCH_TSDB_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bench/tsdb/fleet.h>
#include <bench/tsdb/http.h>

#define BENCH_WRITER_LINKS_MAX 8u

/* Where a fleet's samples are in time. */
struct bench_schedule {
    int64_t begin_ms;    /* of step 0 */
    int64_t interval_ms; /* from step to step */
};

struct bench_writer_link {
    struct bench_http http;
    uint32_t first_series, series_count;
    uint64_t position; /* in the steps that are being written: step × series_count + series */
    bool is_waiting;   /* for an answer */
};

/* What answers there were. */
struct bench_answers {
    uint64_t taken;   /* 2xx */
    uint64_t busy;    /* 429 and 503: come again */
    uint64_t refused; /* other ones */
    uint64_t taken_samples;
};

struct bench_writer {
    struct bench_fleet *fleet; /* borrowed */
    struct bench_schedule schedule;
    uint32_t batch; /* samples of a request */
    uint32_t link_count;
    struct bench_writer_link link[BENCH_WRITER_LINKS_MAX];
    struct bench_answers answers;
    uint64_t sent_bytes;   /* bodies, compressed */
    char *plain, *packed;  /* owned: a request */
    char last_answer[160]; /* the last that refused; for people */
};

/* Opens `link_count` connections. Ends the process when the server refuses one. */
void bench_writer_init(struct bench_writer *writer, const struct bench_server *server,
                       struct bench_fleet *fleet, struct bench_schedule schedule, uint32_t batch,
                       uint32_t link_count);
void bench_writer_fini(struct bench_writer *writer);

/*
 * Writes steps `first` … `end` − 1, in each connection's order, as fast as the server takes them,
 * and waits for all answers. A request that is not taken is not sent again. Ends the process when
 * the server closes a connection.
 */
void bench_writer_run(struct bench_writer *writer, uint64_t first, uint64_t end);
/* Whether every request was taken; else says on stderr what was answered. */
bool bench_writer_is_right(const struct bench_writer *writer);
/* The time of a step. */
int64_t bench_schedule_at(const struct bench_schedule *schedule, uint64_t step);

#endif
