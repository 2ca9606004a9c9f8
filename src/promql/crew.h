/*
 * Threads that help queries with their series: one crew for all queries of a process.
 *
 * A query posts jobs, and comes for them in the order in which it needs them: what no thread has
 * begun by then it does itself. So a query never waits for threads that are busy with others, and
 * does without any.
 */
#ifndef QUARRY_PROMQL_CREW_H
#define QUARRY_PROMQL_CREW_H

#include <quarry/lifetime.h>

#include <base/base.h>

struct promql_crew;

/* What is to be done once. The poster's storage, from promql_crew_post to promql_crew_finish. */
struct promql_job {
    void (*run)(struct promql_job *job); /* const while it is posted */
    struct promql_job *next;             /* guarded by the crew's mutex */
    /* A futex. Release when it becomes done: pairs with the acquire of who waits for it. */
    _Atomic uint32_t state;
};

/* More threads than that are of no use to a machine's memory. */
#define PROMQL_CREW_MAX 32u

/*
 * Starts threads, each with a stack of 256 KiB.
 *
 * `account`, `pool`: stacks are theirs; borrowed until it is destroyed. `thread_count`: 1 to
 * PROMQL_CREW_MAX. `ret_crew`: own; end it with promql_crew_destroy.
 * Errors: QUARRY_NO_MEMORY, QUARRY_TOO_MANY (threads). Cost: a system call a thread.
 */
enum quarry_status promql_crew_create(struct quarry_account *account, struct quarry_pool *pool,
                                      uint32_t thread_count, struct promql_crew **ret_crew,
                                      struct quarry_error *error);
/* Ends the threads. `crew`: given; NULL does nothing; no job is posted any more. */
void promql_crew_destroy(struct promql_crew *crew);

uint32_t promql_crew_thread_count(const struct promql_crew *crew);

/* Hands a job to the threads, first come, first served. Threads: any. Cost: a lock and a wake. */
void promql_crew_post(struct promql_crew *crew, struct promql_job *job);
/* Returns when the job is done: does it itself if no thread has it. Threads: the poster's. */
void promql_crew_finish(struct promql_crew *crew, struct promql_job *job);
/* Returns when no thread has the job: it was done, or is not done at all. Likewise. */
void promql_crew_withdraw(struct promql_crew *crew, struct promql_job *job);

#endif
