/*
 * A scraper without its thread, over a store of its own, for tests: pages are given to it, or
 * fetched from a small server in turns that the test takes.
 */
#ifndef QUARRY_TESTS_UNIT_SERVE_SCRAPE_RIG_H
#define QUARRY_TESTS_UNIT_SERVE_SCRAPE_RIG_H

#include "unit/base/cmocka_all.h"

#include <serve/scrape/state.h>

/* The time from which samples' times are told. */
#define RIG_BASE_MS INT64_C(1700000000000)

struct scrape_rig {
    struct quarry_memory *memory;
    struct quarry_tsdb *tsdb;
    struct scrape *scrape;
    struct scrape_options options; /* for the next rig_open */
};
extern struct scrape_rig rig;

/* A memory and a store, and no scraper. */
int rig_set_up(void **state);
/* Ends it all; nothing is left of the scraper's memory, and the store is whole. */
int rig_tear_down(void **state);

/* A scraper of one job, or of `count`, whose targets are there. */
void rig_open(const struct scrape_job *jobs, size_t count);
void rig_close(void);
struct scrape_jobs *rig_jobs(const struct scrape_job *jobs, size_t count);
/* Gives it other jobs, and has them adopted. */
void rig_apply(const struct scrape_job *jobs, size_t count);

/* The only target, or the one whose URL has that in it. */
struct target *rig_target(const char *part);

/* A page of text 0.0.4 for it at a time behind the base; and of OpenMetrics; and one that did not
 * come. */
void rig_page(struct target *target, int64_t t_ms, const char *body);
void rig_openmetrics(struct target *target, int64_t t_ms, const char *body);
void rig_no_page(struct target *target, int64_t t_ms);

/*
 * What the store has of series whose name matches, one a line, sorted, times behind the base:
 *     a{instance="h:80",job="j"} 1000=1 2000=stale
 */
void rig_expect(const char *name_pattern, const char *expected);
/* The same without the braces and what is in them. */
void rig_expect_values(const char *name_pattern, const char *expected);
/* The same as a text of malloc. */
char *rig_read(const char *name_pattern, int64_t base_ms, bool has_labels);
/* How many series there are whose name matches. */
size_t rig_series_count(const char *name_pattern);

/* Has a target scraped now, and waits for the end of it. */
void rig_scrape(struct target *target);

/* ---- a server ------------------------------------------------------------------------------- */

/*
 * What a server answers to a request, the NUL-terminated text of which it gets: all bytes of the
 * answer, of malloc. NULL: it says nothing, for ever. By the server's thread.
 */
typedef char *rig_answer_function(const char *request, size_t *ret_bytes);

/* Begins a server on a free port of 127.0.0.1. Returns: "127.0.0.1:PORT", static. */
const char *rig_serve(rig_answer_function *answer);
void rig_serve_end(void);
/* An answer of status 200. `header`: lines with their ends, or "". */
char *rig_ok(const char *header, const void *body, size_t body_bytes, size_t *ret_bytes);

#endif
