/*
 * The crew: a queue of jobs, and threads that take the first.
 *
 *     query A ── post ──┐                      ┌── thread 0
 *     query B ── post ──┴─> job ─ job ─ job ──>┴── thread 1
 *     query A <─ finish: takes its job out of the queue and does it, or waits for the thread
 *
 * Invariants:
 *   1. A job is the queue's (WAITING), then a thread's or its poster's (RUNNING), then its poster's
 *      (DONE). It leaves the queue under the mutex, so that one of them has it.
 *   2. Nobody touches a job behind the store that makes it DONE but to wake its poster: a wake of
 *      an address where nobody sleeps does nothing.
 *
 * Locking: a mutex, a leaf, for the queue. Memory: stacks; links lie in the jobs.
 */
#include <promql/crew.h>

#include <os/os.h>

#include <stdio.h>

enum { JOB_WAITING = 1, JOB_RUNNING, JOB_DONE };

struct promql_crew {
    struct quarry_account *account; /* const */
    struct quarry_pool *pool;       /* const */
    struct os_mutex mutex;
    struct promql_job *first, *last; /* guarded by mutex */
    _Atomic uint32_t turn;           /* a futex: changes when a job comes, or the end */
    _Atomic bool is_stopping;        /* release: pairs with the acquire in threads */
    uint32_t thread_count;           /* const after creation */
    struct os_thread threads[PROMQL_CREW_MAX];
    void *stacks[PROMQL_CREW_MAX];
};

/* ---- jobs ----------------------------------------------------------------------------------- */

static void carry_out(struct promql_job *job)
{
    job->run(job);
    atomic_store_release_u32(&job->state, JOB_DONE); /* pairs with the acquire in wait */
    os_futex_wake(&job->state, 1);                   /* invariant 2 */
}

/* The first job; NULL: there is none. */
static struct promql_job *take_first(struct promql_crew *crew)
{
    os_mutex_lock(&crew->mutex);
    struct promql_job *job = crew->first;
    if (job != NULL) {
        crew->first = job->next;
        crew->last = crew->first == NULL ? NULL : crew->last;
        atomic_store_relaxed_u32(&job->state, JOB_RUNNING); /* the mutex orders it */
    }
    os_mutex_unlock(&crew->mutex);
    return job;
}

/* Takes a job out of the queue, if it is still there. Cost: O(jobs before it). */
static bool take_out(struct promql_crew *crew, struct promql_job *wanted)
{
    struct promql_job *before = NULL;

    os_mutex_lock(&crew->mutex);
    struct promql_job *job = crew->first;
    while (job != NULL && job != wanted) {
        before = job;
        job = job->next;
    }
    if (job != NULL) {
        *(before == NULL ? &crew->first : &before->next) = job->next;
        crew->last = crew->last == job ? before : crew->last;
    }
    os_mutex_unlock(&crew->mutex);
    return job != NULL;
}

/* Waits until a thread is done with a job. */
static void wait_for(struct promql_job *job)
{
    for (;;) {
        /* Acquire: pairs with the release in carry_out, and brings what the thread wrote. */
        uint32_t state = atomic_load_acquire_u32(&job->state);
        if (state == JOB_DONE) {
            return;
        }
        os_futex_wait(&job->state, state, UINT64_MAX);
    }
}

void promql_crew_post(struct promql_crew *crew, struct promql_job *job)
{
    job->next = NULL;
    atomic_store_relaxed_u32(&job->state, JOB_WAITING); /* the mutex orders it */
    os_mutex_lock(&crew->mutex);
    *(crew->first == NULL ? &crew->first : &crew->last->next) = job;
    crew->last = job;
    os_mutex_unlock(&crew->mutex);
    (void)atomic_add_release_u32(&crew->turn, 1); /* pairs with the acquire in run */
    os_futex_wake(&crew->turn, 1);
}

void promql_crew_finish(struct promql_crew *crew, struct promql_job *job)
{
    if (take_out(crew, job)) {
        job->run(job);
    } else {
        wait_for(job);
    }
}

void promql_crew_withdraw(struct promql_crew *crew, struct promql_job *job)
{
    if (!take_out(crew, job)) {
        wait_for(job);
    }
}

/* ---- threads -------------------------------------------------------------------------------- */

static void run(void *argument)
{
    struct promql_crew *crew = argument;

    for (;;) {
        /* Acquire: pairs with the release of who posts a job, or stops. */
        uint32_t turn = atomic_load_acquire_u32(&crew->turn);
        struct promql_job *job = take_first(crew);

        if (job != NULL) {
            carry_out(job);
        } else if (atomic_load_acquire_bool(&crew->is_stopping)) {
            return;
        } else {
            os_futex_wait(&crew->turn, turn, UINT64_MAX);
        }
    }
}

static void *take_charged(struct promql_crew *crew, size_t bytes)
{
    void *taken = quarry_alloc(crew->pool, bytes);

    if (taken != NULL && quarry_account_charge(crew->account, bytes) != QUARRY_OK) {
        quarry_free(crew->pool, taken);
        return NULL;
    }
    return taken;
}

static enum quarry_status start_thread(struct promql_crew *crew, uint32_t index)
{
    char name[OS_THREAD_NAME_BYTES];
    void *stack = take_charged(crew, OS_THREAD_STACK_BYTES);

    if (stack == NULL) {
        return QUARRY_NO_MEMORY;
    }
    (void)snprintf(name, sizeof name, "quarry-query-%u", (uint8_t)index);
    enum quarry_status status =
        os_thread_start(&crew->threads[index], name, stack, OS_THREAD_STACK_BYTES, run, crew);
    if (status != QUARRY_OK) {
        quarry_free(crew->pool, stack);
        quarry_account_uncharge(crew->account, OS_THREAD_STACK_BYTES);
        return status;
    }
    crew->stacks[index] = stack;
    return QUARRY_OK;
}

enum quarry_status promql_crew_create(struct quarry_account *account, struct quarry_pool *pool,
                                      uint32_t thread_count, struct promql_crew **ret_crew,
                                      struct quarry_error *error)
{
    struct promql_crew maker = {.account = account, .pool = pool};
    struct promql_crew *crew = take_charged(&maker, sizeof *crew);
    enum quarry_status status = crew == NULL ? QUARRY_NO_MEMORY : QUARRY_OK;

    Q_ASSERT(thread_count > 0 && thread_count <= PROMQL_CREW_MAX);
    if (crew != NULL) {
        *crew = maker;
        os_mutex_init(&crew->mutex, OS_RANK_LEAF, 0);
    }
    while (status == QUARRY_OK && crew->thread_count < thread_count) {
        status = start_thread(crew, crew->thread_count);
        crew->thread_count += status == QUARRY_OK ? 1 : 0;
    }
    if (status != QUARRY_OK) {
        promql_crew_destroy(crew);
        return error_set(error, status, "cannot start %u threads for queries", thread_count);
    }
    *ret_crew = crew;
    return QUARRY_OK;
}

void promql_crew_destroy(struct promql_crew *crew)
{
    if (crew == NULL) {
        return;
    }
    Q_ASSERT(crew->first == NULL);
    atomic_store_release_bool(&crew->is_stopping, true); /* pairs with the acquire in run */
    (void)atomic_add_release_u32(&crew->turn, 1);
    os_futex_wake(&crew->turn, UINT32_MAX);
    for (uint32_t i = 0; i < crew->thread_count; i++) {
        os_thread_join(&crew->threads[i]);
        quarry_free(crew->pool, crew->stacks[i]);
        quarry_account_uncharge(crew->account, OS_THREAD_STACK_BYTES);
    }
    struct quarry_account *account = crew->account;
    quarry_free(crew->pool, crew);
    quarry_account_uncharge(account, sizeof *crew);
}

uint32_t promql_crew_thread_count(const struct promql_crew *crew)
{
    return crew->thread_count;
}
