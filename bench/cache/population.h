/*
 * A server with items in it, and requests for them: what closed and open loops begin with.
 */
#ifndef QUARRY_BENCH_CACHE_POPULATION_H
#define QUARRY_BENCH_CACHE_POPULATION_H

#include <stdint.h>

#include <bench/cache/link.h>
#include <bench/cache/rows.h>
#include <bench/cache/zipf.h>

#define BENCH_POPULATION_LINKS 64u

struct bench_population {
    const struct bench_load_row *row; /* borrowed */
    struct bench_server server;
    struct bench_links links;
    struct bench_zipf zipf;
    uint64_t key_count;
    uint64_t random;
};

/*
 * Starts the job's server with room for twice the row's items, stores all of them, and waits until
 * the server has settled. The population stays where it is. Returns: false when the server did not
 * come up.
 */
bool bench_population_init(struct bench_population *population, const struct bench_load_job *job);
/* Stops the server. Returns: whether all its answers were right, which is said on stderr if not. */
bool bench_population_fini(struct bench_population *population);

/* Puts a request of the row's verb or mix, for a key by Zipf's law onto a link. */
void bench_population_next(struct bench_population *population, struct bench_link *link,
                           uint64_t due_ns);
/* An item of the row. */
struct bench_item bench_population_item(const struct bench_load_row *row, uint64_t number);
/* Stores items 0 … count − 1. */
void bench_population_fill(struct bench_links *links, const struct bench_load_row *row,
                           uint64_t count);
/* Says on stderr that so many answers were wrong. Returns: whether none was. */
bool bench_load_is_right(const struct bench_load_job *job, uint64_t wrong_count);
/* Nanoseconds of the clock that schedules go by. */
uint64_t bench_load_now_ns(void);

#endif
