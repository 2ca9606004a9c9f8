/*
 * The executor: threads for what must wait for a disk, for room, or for a long walk.
 *
 *     worker:    request ─ copied ─> job ─┐                  ┌─> posted: the answer, and on
 *     executor:                           └ queue ─ thread ──┘
 *
 * A connection has one job at most and waits for it, so answers keep their order without anybody
 * seeing to it. The job has all that it needs: the words, and a copy of the session with its queue
 * and its watched keys; when it is done the session takes them back, or, if the connection has gone
 * meanwhile, they end with it.
 *
 * Invariants:
 *   1. A job is the queue's, then a thread's, then the posted function's, which ends it: whoever
 *      has it is the only one, but for is_cancelled.
 *   2. A session whose job is under way has neither queue nor watched keys.
 *   3. What a job wrote for durability `power` is synced before it is posted.
 *
 * Who writes under `power` is synced here, by the thread that wrote: it may wait, and the store
 * syncs for all who ask at a time.
 *
 * A post that fails is tried again: its worker has no memory for a message at the moment, or it is
 * ending, and then the net is too, and so are we.
 *
 * Locking: a mutex, a leaf, for the queue of jobs. Memory: pages for each job; a stack a thread.
 */
#include <serve/resp/admin.h>
#include <serve/resp/state.h>

#include <stdio.h>
#include <string.h>

/* Between posts that fail. */
#define POST_AGAIN_NS (1 * Q_MS_NS)
#define STACK_BYTES   OS_THREAD_STACK_BYTES

struct resp_job {
    struct serve_link link;
    struct serve_worker *worker;
    uint64_t connection_id;
    struct resp_session session; /* a copy: invariant 2 */
    struct resp_request *request;
    struct resp_reply reply;
    enum resp_outcome outcome;
    uint64_t duration_ns;
    _Atomic bool is_cancelled;
};

static struct {
    struct os_mutex mutex;
    struct serve_list queue;  /* guarded by mutex */
    _Atomic uint32_t turn;    /* a futex: changes when a job comes, or the end */
    _Atomic bool is_stopping; /* release: pairs with acquires in threads */
    _Atomic uint64_t count;   /* jobs that are not done */
    uint32_t thread_count;
    struct os_thread threads[RESP_SLOW_THREADS_MAX];
    void *stacks[RESP_SLOW_THREADS_MAX];
} executor;

/* ---- jobs ----------------------------------------------------------------------------------- */

/* Everything but the request, which lies behind it. */
static size_t job_bytes(void)
{
    return size_align_up(sizeof(struct resp_job), 16);
}

static void job_end(struct resp_job *job)
{
    resp_session_forget(&job->session, resp_the_door.settings.keyspace);
    resp_reply_fini(&job->reply);
    (void)atomic_sub_relaxed_u64(&executor.count, 1);
    serve_buffer_give(&resp_the_door.pages, job);
}

bool resp_executor_take(struct resp_turn *turn, const struct resp_command *command,
                        const struct quarry_kv_slice *words, size_t word_count)
{
    struct resp_session *session = &turn->state->session;
    struct resp_job *job = serve_buffer_take(&resp_the_door.pages,
                                             job_bytes() + resp_request_bytes(words, word_count));

    Q_ASSERT(turn->state->job == NULL);
    if (job == NULL) {
        return false;
    }
    *job = (struct resp_job){
        .worker = serve_connection_worker(turn->connection),
        .connection_id = serve_connection_id(turn->connection),
        .session = *session,
        .request = resp_request_copy((char *)job + job_bytes(), command, words, word_count),
    };
    job->session.connection = NULL;
    job->session.has_written = false;
    session->queue = NULL; /* invariant 2 */
    session->watch = NULL;
    resp_reply_init_memory(&job->reply, &resp_the_door.pages, resp_reply_bytes_max(),
                           session->protocol);
    turn->state->job = job;
    (void)atomic_add_relaxed_u64(&executor.count, 1); /* a figure */
    os_mutex_lock(&executor.mutex);
    serve_list_append(&executor.queue, &job->link);
    os_mutex_unlock(&executor.mutex);
    (void)atomic_add_release_u32(&executor.turn, 1); /* pairs with the acquire in run */
    os_futex_wake(&executor.turn, 1);
    return true;
}

void resp_executor_forget(struct resp_job *job)
{
    /* Relaxed: it is looked at now and then. */
    atomic_store_relaxed_bool(&job->is_cancelled, true);
}

uint64_t resp_executor_count(void)
{
    return atomic_load_relaxed_u64(&executor.count);
}

/* ---- what comes of one, by the connection's worker ------------------------------------------- */

/* The session goes on where the copy has got to. */
static void take_back(struct resp_session *session, struct resp_session *copy)
{
    session->scope = copy->scope;
    session->protocol = copy->protocol;
    session->is_in_multi = copy->is_in_multi;
    session->is_multi_broken = copy->is_multi_broken;
    memcpy(session->name, copy->name, sizeof session->name);
    session->reply_mode = copy->reply_mode;
    session->wants_to_close = copy->wants_to_close;
    session->queue = copy->queue;
    session->watch = copy->watch;
    copy->queue = NULL;
    copy->watch = NULL;
}

static void note_executed(const struct resp_turn *turn, struct resp_job *job)
{
    const struct resp_call call = {
        .session = &turn->state->session,
        .command = job->request->command,
        .words = job->request->words,
        .word_count = job->request->word_count,
        .reply = &job->reply,
        .keyspace = resp_the_door.settings.keyspace,
        .now_ms = turn->worker->now_ms,
    };

    resp_note_done(&call, serve_worker_index(turn->worker->worker), job->duration_ns);
}

static void answered(struct serve_connection *connection, void *argument)
{
    struct resp_job *job = argument;

    if (connection != NULL) {
        struct resp_state *state = resp_state_of(connection);
        struct resp_turn turn = {
            .connection = connection, .state = state, .worker = resp_worker_of(connection)};
        struct resp_reply reply;

        Q_ASSERT(state->job == job);
        state->job = NULL;
        take_back(&state->session, &job->session);
        note_executed(&turn, job);
        resp_reply_here(&turn, &reply);
        resp_say_reply(&reply, &job->reply);
        state->closes |= resp_reply_done(&turn, &reply) == RESP_ENDS || job->outcome == RESP_CLOSES;
    }
    job_end(job);
}

/* ---- threads -------------------------------------------------------------------------------- */

/* The next job; NULL: there is none. */
static struct resp_job *take_first(void)
{
    os_mutex_lock(&executor.mutex);
    struct serve_link *link = serve_list_first(&executor.queue);
    if (link != NULL) {
        serve_list_remove(&executor.queue, link);
    }
    os_mutex_unlock(&executor.mutex);
    return link == NULL ? NULL : serve_list_entry(link, struct resp_job, link);
}

static void execute(struct resp_job *job)
{
    struct keyspace *keyspace = resp_the_door.settings.keyspace;
    struct resp_call call = {
        .common = &resp_the_door.common,
        .session = &job->session,
        .command = job->request->command,
        .words = job->request->words,
        .word_count = job->request->word_count,
        .reply = &job->reply,
        .keyspace = keyspace,
        .now_ms = keyspace_now_ms(keyspace),
        .may_wait = true,
        .is_cancelled = &job->is_cancelled,
    };
    struct quarry_error error = {0};

    resp_pause_wait(call.command);
    uint64_t begin_ns = os_monotonic_ns(os_real());
    job->outcome = call.command->function(&call);
    job->duration_ns = os_monotonic_ns(os_real()) - begin_ns;
    if (job->outcome == RESP_BUSY) { /* it was to wait */
        resp_say_status(&job->reply, QUARRY_BUSY, NULL);
    }
    if (job->session.has_written) { /* invariant 3 */
        enum quarry_status status = quarry_kv_sync(keyspace_kv(keyspace), &error);
        if (status != QUARRY_OK) {
            resp_reply_rewind(&job->reply, 0);
            resp_say_status(&job->reply, status, &error);
            job->outcome = RESP_CLOSES;
        }
    }
}

static void post(struct resp_job *job)
{
    while (!serve_post(job->worker, job->connection_id, answered, job)) {
        if (atomic_load_acquire_bool(&executor.is_stopping)) {
            job_end(job); /* its connection has ended, or is about to */
            return;
        }
        os_sleep_ns(POST_AGAIN_NS);
    }
}

static void run(void *argument)
{
    (void)argument;
    for (;;) {
        /* Acquire: pairs with the release of who adds a job, or stops. */
        uint32_t turn = atomic_load_acquire_u32(&executor.turn);
        struct resp_job *job = take_first();

        if (job != NULL) {
            /* Relaxed: who asked may go at any moment. */
            if (!atomic_load_relaxed_bool(&job->is_cancelled)) {
                execute(job);
            }
            post(job);
        } else if (atomic_load_acquire_bool(&executor.is_stopping)) {
            return;
        } else {
            os_futex_wait(&executor.turn, turn, UINT64_MAX);
        }
    }
}

/* ---- opening -------------------------------------------------------------------------------- */

static enum quarry_status start_thread(uint32_t index)
{
    char name[OS_THREAD_NAME_BYTES];

    executor.stacks[index] = serve_buffer_take(&resp_the_door.pages, STACK_BYTES);
    if (executor.stacks[index] == NULL) {
        return QUARRY_NO_MEMORY;
    }
    (void)snprintf(name, sizeof name, "quarry-resp-%u", (uint8_t)index);
    enum quarry_status status = os_thread_start(&executor.threads[index], name,
                                                executor.stacks[index], STACK_BYTES, run, NULL);
    if (status != QUARRY_OK) {
        serve_buffer_give(&resp_the_door.pages, executor.stacks[index]);
    }
    return status;
}

enum quarry_status resp_executor_open(uint32_t thread_count, struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    Q_ASSERT(thread_count > 0 && thread_count <= RESP_SLOW_THREADS_MAX);
    os_mutex_init(&executor.mutex, OS_RANK_LEAF, 0);
    serve_list_init(&executor.queue);
    atomic_store_relaxed_bool(&executor.is_stopping, false); /* nobody else is there */
    atomic_store_relaxed_u64(&executor.count, 0);
    executor.thread_count = 0;
    while (status == QUARRY_OK && executor.thread_count < thread_count) {
        status = start_thread(executor.thread_count);
        executor.thread_count += status == QUARRY_OK ? 1 : 0;
    }
    if (status != QUARRY_OK) {
        resp_executor_stop();
        return error_set(error, status, "cannot start %u threads for commands that wait",
                         thread_count);
    }
    return QUARRY_OK;
}

void resp_executor_stop(void)
{
    atomic_store_release_bool(&executor.is_stopping, true);
    (void)atomic_add_release_u32(&executor.turn, 1);
    os_futex_wake(&executor.turn, UINT32_MAX);
    for (uint32_t i = 0; i < executor.thread_count; i++) {
        os_thread_join(&executor.threads[i]);
        serve_buffer_give(&resp_the_door.pages, executor.stacks[i]);
    }
    executor.thread_count = 0;
}
