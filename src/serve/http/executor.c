/*
 * The executor: threads for handlers that may wait.
 *
 *     worker      request ── queue ──┐                  ┌── posted: the connection goes on
 *     executor                       └── http_request_run ──┘
 *
 * A request has all that its handler needs, so it goes as it is. Its connection waits for it, and
 * is looked at now and then meanwhile: who asked and has gone has his request cancelled.
 *
 * A request that pauses before its next piece lies beside the queue until it is due. Every thread
 * without work sleeps no longer than until the next one is, so it does not matter which of them is
 * busy then. They are few, such as watchers of the console, and are looked through one by one.
 *
 * Invariants:
 *   1. A request is the queue's or pauses, then a thread's, then the posted function's: whoever has
 * it is the only one, but for is_cancelled.
 *   2. A request whose connection has gone is ended by the posted function.
 *
 * A post that fails is tried again: its worker has no memory for a message at the moment, or it is
 * ending, and then the net is too, and so are we.
 *
 * Locking: a mutex, a leaf, for the queue. Memory: a stack a thread; a queue's links lie in the
 * requests, of which each connection has one.
 */
#include <serve/http/state.h>

#include <stdio.h>

/* Between posts that fail. */
#define POST_AGAIN_NS (1 * Q_MS_NS)
#define STACK_BYTES   OS_THREAD_STACK_BYTES

static struct {
    struct os_mutex mutex;
    struct serve_list queue;  /* guarded by mutex */
    struct serve_list paused; /* likewise */
    _Atomic uint32_t turn;    /* a futex: changes when a request comes, or the end */
    _Atomic bool is_stopping; /* release: pairs with acquires in threads */
    uint32_t thread_count;
    struct os_thread threads[HTTP_THREADS_MAX];
    void *stacks[HTTP_THREADS_MAX];
} executor;

void http_executor_take(struct serve_connection *connection, struct http_request *request)
{
    request->worker = serve_connection_worker(connection);
    request->connection_id = serve_connection_id(connection);
    uint64_t pause_ns = request->was_run ? request->call.pause_ns : 0;
    request->due_ns = pause_ns == 0 ? 0 : os_monotonic_ns(os_real()) + pause_ns;
    os_mutex_lock(&executor.mutex);
    serve_list_append(pause_ns == 0 ? &executor.queue : &executor.paused, &request->link);
    os_mutex_unlock(&executor.mutex);
    (void)atomic_add_release_u32(&executor.turn, 1); /* pairs with the acquire in run */
    os_futex_wake(&executor.turn, pause_ns == 0 ? 1 : UINT32_MAX);
}

void http_executor_forget(struct http_request *request)
{
    /* Relaxed: it is looked at now and then. */
    atomic_store_relaxed_bool(&request->is_cancelled, true);
}

/* By the connection's worker. */
static void executed(struct serve_connection *connection, void *argument)
{
    struct http_request *request = argument;

    if (connection == NULL) {
        http_request_end(request); /* invariant 2 */
    } else {
        http_executed(connection, request);
    }
}

/* Puts those that are due behind the queue. Returns: how long until the next one is. */
static uint64_t wake_due_locked(uint64_t now_ns)
{
    uint64_t sleep_ns = UINT64_MAX;
    struct serve_link *next;

    for (struct serve_link *link = serve_list_first(&executor.paused); link != NULL; link = next) {
        const struct http_request *request = serve_list_entry(link, struct http_request, link);

        next = serve_list_next(&executor.paused, link);
        if (request->due_ns <= now_ns) {
            serve_list_remove(&executor.paused, link);
            serve_list_append(&executor.queue, link);
        } else {
            sleep_ns = size_min_u64(sleep_ns, request->due_ns - now_ns);
        }
    }
    return sleep_ns;
}

/* The next request; NULL: there is none, and the next one is due in *ret_sleep_ns. */
static struct http_request *take_first(bool is_stopping, uint64_t *ret_sleep_ns)
{
    uint64_t now_ns = is_stopping ? UINT64_MAX : os_monotonic_ns(os_real());

    os_mutex_lock(&executor.mutex);
    *ret_sleep_ns = wake_due_locked(now_ns);
    struct serve_link *link = serve_list_first(&executor.queue);
    if (link != NULL) {
        serve_list_remove(&executor.queue, link);
    }
    os_mutex_unlock(&executor.mutex);
    return link == NULL ? NULL : serve_list_entry(link, struct http_request, link);
}

static void post(struct http_request *request)
{
    while (!serve_post(request->worker, request->connection_id, executed, request)) {
        if (atomic_load_acquire_bool(&executor.is_stopping)) {
            http_request_end(request); /* its connection has ended, or is about to */
            return;
        }
        os_sleep_ns(POST_AGAIN_NS);
    }
}

static void run(void *argument)
{
    (void)argument;
    for (;;) {
        /* Acquire: pairs with the release of who adds a request, or stops. */
        uint32_t turn = atomic_load_acquire_u32(&executor.turn);
        bool is_stopping = atomic_load_acquire_bool(&executor.is_stopping);
        uint64_t sleep_ns = 0;
        struct http_request *request = take_first(is_stopping, &sleep_ns);

        if (request != NULL) {
            if (!atomic_load_relaxed_bool(&request->is_cancelled)) {
                http_request_run(request);
            }
            post(request);
        } else if (is_stopping) {
            return;
        } else {
            os_futex_wait(&executor.turn, turn, sleep_ns);
        }
    }
}

/* ---- opening -------------------------------------------------------------------------------- */

static enum quarry_status start_thread(uint32_t index)
{
    char name[OS_THREAD_NAME_BYTES];

    executor.stacks[index] = serve_buffer_take(&http_the_door.pages, STACK_BYTES);
    if (executor.stacks[index] == NULL) {
        return QUARRY_NO_MEMORY;
    }
    (void)snprintf(name, sizeof name, "quarry-http-%u", (uint8_t)index);
    enum quarry_status status = os_thread_start(&executor.threads[index], name,
                                                executor.stacks[index], STACK_BYTES, run, NULL);
    if (status != QUARRY_OK) {
        serve_buffer_give(&http_the_door.pages, executor.stacks[index]);
    }
    return status;
}

enum quarry_status http_executor_open(uint32_t thread_count, struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    Q_ASSERT(thread_count > 0 && thread_count <= HTTP_THREADS_MAX);
    os_mutex_init(&executor.mutex, OS_RANK_LEAF, 0);
    serve_list_init(&executor.queue);
    serve_list_init(&executor.paused);
    atomic_store_relaxed_bool(&executor.is_stopping, false); /* nobody else is there */
    executor.thread_count = 0;
    while (status == QUARRY_OK && executor.thread_count < thread_count) {
        status = start_thread(executor.thread_count);
        executor.thread_count += status == QUARRY_OK ? 1 : 0;
    }
    if (status != QUARRY_OK) {
        http_executor_stop();
        return error_set(error, status, "cannot start %u threads for HTTP", thread_count);
    }
    return QUARRY_OK;
}

void http_executor_stop(void)
{
    atomic_store_release_bool(&executor.is_stopping, true);
    (void)atomic_add_release_u32(&executor.turn, 1);
    os_futex_wake(&executor.turn, UINT32_MAX);
    for (uint32_t i = 0; i < executor.thread_count; i++) {
        os_thread_join(&executor.threads[i]);
        serve_buffer_give(&http_the_door.pages, executor.stacks[i]);
    }
    executor.thread_count = 0;
}
