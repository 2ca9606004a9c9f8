/*
 * The loop of a worker.
 *
 *     pass:   epoll_wait  ->  callbacks note what can be done, in the order of events
 *             mail            connections that arrive, functions that were posted
 *             ready           each connection that has something to do, once; then their answers
 *             heavy           those whose last turn was long, for some 100 us
 *             deadlines       of those that have passed, some
 *             drain           some slots, when the server ends
 *
 * libevent's loop is run for one round at a time, and does not wait when there is something left to
 * do: a connection that yielded comes after all others that are ready, and after a look at the
 * sockets. So does one that brought or was given much in its last turn, a *heavy* one: who floods
 * us waits for those who ask now and then, and they wait for a turn or two of his and not for all
 * of his connections. Every list is worked off in bounded pieces, so that a pass is short whatever
 * is asked.
 *
 * Nothing of a worker is locked: its connections are its own, others reach it by its mailbox. Its
 * event base is made without locks as well.
 *
 * Rejected: libevent's bufferevents, which have a buffer for each connection and a lock; one loop
 * for all threads; SO_REUSEPORT, see acceptor.c.
 */
#include <serve/worker.h>

#include <event2/event.h>
#include <stdio.h>
#include <unistd.h>

#include <serve/listener.h>

/* What a pass does at most of each kind. */
#define MESSAGES_PER_PASS 256u
#define EXPIRIES_PER_PASS 16u
#define SLOTS_PER_PASS    64u
/* For how long heavy connections are run before the sockets are looked at again. One is in any
 * case. Twice as long has others wait twice as long beside a flood; half of it is a look for each
 * turn. */
#define HEAVY_NS UINT64_C(100000)
/* How exact deadlines are. They are ten seconds and more; tests have shorter ones. */
#define TICK_US 100000

static void worker_run(void *argument);

/* ---- making and ending ---------------------------------------------------------------------- */

static struct event_base *worker_base_create(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    if (config != NULL &&
        event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV) == 0 &&
        event_config_require_features(config, EV_FEATURE_O1) == 0) {
        base = event_base_new_with_config(config);
    }
    if (config != NULL) {
        event_config_free(config);
    }
    return base;
}

static bool worker_take_buffers(struct serve_worker *worker)
{
    const struct serve_memory *memory = serve_worker_memory(worker);

    worker->shared = serve_buffer_take(memory, SERVE_SHARED_BYTES);
    worker->record = serve_buffer_take(memory, SERVE_RECORD_BYTES);
    worker->batch.room = serve_buffer_take(memory, SERVE_BATCH_BYTES);
    worker->outbox.room = serve_buffer_take(memory, SERVE_OUTBOX_BYTES);
    worker->stack = serve_buffer_take(memory, OS_THREAD_STACK_BYTES);
    worker->base = worker_base_create();
    return worker->shared != NULL && worker->record != NULL && worker->batch.room != NULL &&
           worker->outbox.room != NULL && worker->stack != NULL && worker->base != NULL;
}

enum quarry_status serve_worker_init(struct serve_worker *worker, struct serve_net *net,
                                     uint32_t index)
{
    worker->net = net;
    worker->index = index;
    serve_list_init(&worker->ready);
    serve_list_init(&worker->heavy);
    serve_deadlines_init(&worker->deadlines);
    worker->limits_version = UINT32_MAX;
    enum quarry_status status = serve_mailbox_init(&worker->mailbox, &net->memory);
    if (status == QUARRY_OK && !worker_take_buffers(worker)) {
        status = QUARRY_NO_MEMORY;
    }
    if (status != QUARRY_OK) {
        serve_worker_fini(worker);
    }
    return status;
}

void serve_worker_fini(struct serve_worker *worker)
{
    const struct serve_memory *memory = serve_worker_memory(worker);

    serve_slots_fini(&worker->slots);
    if (worker->base != NULL) {
        event_base_free(worker->base);
        worker->base = NULL;
    }
    serve_buffer_give(memory, worker->stack);
    serve_buffer_give(memory, worker->outbox.room);
    serve_buffer_give(memory, worker->batch.room);
    serve_buffer_give(memory, worker->record);
    serve_buffer_give(memory, worker->shared);
    worker->stack = worker->shared = worker->record = worker->batch.room = NULL;
    worker->outbox.room = NULL;
    serve_mailbox_fini(&worker->mailbox);
}

static void on_wake(evutil_socket_t fd, short events, void *argument)
{
    struct serve_worker *worker = argument;

    (void)fd, (void)events;
    serve_mailbox_quiet(&worker->mailbox);
    worker->has_mail = true;
}

static void on_tick(evutil_socket_t fd, short events, void *argument)
{
    struct serve_worker *worker = argument;

    (void)fd, (void)events;
    worker->is_ticking = false;
    worker->may_be_due = true;
}

enum quarry_status serve_worker_start(struct serve_worker *worker, size_t state_bytes)
{
    char name[OS_THREAD_NAME_BYTES];

    if (!serve_slots_init(&worker->slots, serve_worker_memory(worker), worker->index,
                          sizeof(struct serve_connection) + state_bytes)) {
        return QUARRY_NO_MEMORY;
    }
    (void)event_assign(&worker->tick_event, worker->base, -1, 0, on_tick, worker);
    (void)event_assign(&worker->wake_event, worker->base, worker->mailbox.wake_fd,
                       EV_READ | EV_PERSIST, on_wake, worker);
    if (event_add(&worker->wake_event, NULL) != 0) {
        return QUARRY_NO_MEMORY;
    }
    (void)snprintf(name, sizeof(name), "quarry-net-%u", worker->index % 1000);
    return os_thread_start(&worker->thread, name, worker->stack, OS_THREAD_STACK_BYTES, worker_run,
                           worker);
}

void serve_worker_join(struct serve_worker *worker)
{
    if (worker->thread.is_started) {
        serve_mailbox_wake(&worker->mailbox);
        os_thread_join(&worker->thread);
    }
}

/* ---- what others ask ------------------------------------------------------------------------ */

/* is_heavy changes in the connection's own run only, when it is in neither. */
static struct serve_list *worker_list_of(struct serve_worker *worker,
                                         const struct serve_connection *connection)
{
    return connection->is_heavy ? &worker->heavy : &worker->ready;
}

void serve_worker_make_ready(struct serve_worker *worker, struct serve_connection *connection)
{
    if (!serve_link_is_listed(&connection->ready_link)) {
        serve_list_append(worker_list_of(worker, connection), &connection->ready_link);
    }
}

void serve_worker_forget_ready(struct serve_worker *worker, struct serve_connection *connection)
{
    if (serve_link_is_listed(&connection->ready_link)) {
        serve_list_remove(worker_list_of(worker, connection), &connection->ready_link);
    }
}

void serve_worker_tick(struct serve_worker *worker)
{
    static const struct timeval interval = {.tv_usec = TICK_US};

    if (!worker->is_ticking && (worker->deadlines.count > 0 || worker->is_draining)) {
        worker->is_ticking = event_add(&worker->tick_event, &interval) == 0;
    }
}

size_t serve_worker_input_bytes_max(const struct serve_connection *connection)
{
    const struct serve_limits *limits = &connection->worker->limits;
    bool is_stranger = connection->listener->needs_login && connection->identity.rights == 0;

    return is_stranger ? size_min_u64(limits->stranger_bytes_max, limits->input_bytes_max)
                       : limits->input_bytes_max;
}

void serve_worker_tell(const struct serve_connection *connection, enum serve_news news,
                       const char *text)
{
    const struct serve_hooks *hooks = &connection->worker->net->hooks;

    if (hooks->tell != NULL) {
        hooks->tell(hooks->argument, news, serve_connection_peer(connection), text);
    }
}

uint32_t serve_worker_index(const struct serve_worker *worker)
{
    return worker->index;
}

bool serve_post(struct serve_worker *worker, uint64_t connection_id,
                serve_posted_function *function, void *argument)
{
    struct serve_message message = {
        .function = function, .connection_id = connection_id, .argument = argument};

    Q_ASSERT(function != NULL);
    return serve_mailbox_post(&worker->mailbox, &message);
}

/* ---- too much waits ------------------------------------------------------------------------- */

/* Of those with answers that wait, and the one whose turn it is, who has the most. */
static struct serve_connection *worker_find_worst(struct serve_worker *worker)
{
    struct serve_list *list = &worker->deadlines.lists[SERVE_DEADLINE_OUTPUT];
    struct serve_connection *worst = worker->current;

    for (struct serve_link *link = serve_list_first(list); link != NULL;
         link = serve_list_next(list, link)) {
        struct serve_connection *connection =
            serve_list_entry(link, struct serve_connection, deadline.link);
        if (worst == NULL || connection->output.memory_bytes > worst->output.memory_bytes) {
            worst = connection;
        }
    }
    return worst != NULL && worst->output.memory_bytes > 0 ? worst : NULL;
}

/* Returns whether it helped, and may be done again. */
static bool worker_cut_worst(struct serve_worker *worker)
{
    struct serve_connection *worst = worker_find_worst(worker);

    if (worst == NULL) {
        return false;
    }
    serve_worker_count(&worker->counters.slow_reader_count, 1);
    serve_worker_tell(worst, SERVE_NEWS_SLOW_READER, "too many answers wait, its most of all");
    if (worst == worker->current) {
        worst->is_failed = worst->is_cut = true;
        return false;
    }
    serve_connection_cut(worst);
    return true;
}

static struct serve_worker *net_find_fullest(const struct serve_net *net)
{
    struct serve_worker *fullest = net->workers[0];

    for (uint32_t i = 1; i < net->worker_count; i++) {
        if (atomic_load_relaxed_u64(&net->workers[i]->counters.waiting_bytes) >
            atomic_load_relaxed_u64(&fullest->counters.waiting_bytes)) {
            fullest = net->workers[i];
        }
    }
    return fullest;
}

/* Cuts of its own until all workers together are below `limit_bytes`, or it has none any more. */
static void worker_cut_until(struct serve_worker *worker, uint64_t limit_bytes)
{
    while (atomic_load_relaxed_u64(&worker->net->waiting_bytes) > limit_bytes &&
           worker_cut_worst(worker)) {
    }
}

void serve_worker_bound_output_later(struct serve_worker *worker)
{
    if (Q_LIKELY(atomic_load_relaxed_u64(&worker->net->waiting_bytes) <=
                 worker->limits.output_bytes_max)) {
        return;
    }
    struct serve_worker *fullest = net_find_fullest(worker->net);

    atomic_store_release_bool(&fullest->is_asked_to_cut, true); /* as below */
    if (fullest != worker) {
        serve_mailbox_wake(&fullest->mailbox);
    }
}

void serve_worker_bound_output(struct serve_worker *worker)
{
    uint64_t limit_bytes = worker->limits.output_bytes_max;

    if (Q_LIKELY(atomic_load_relaxed_u64(&worker->net->waiting_bytes) <= limit_bytes)) {
        return;
    }
    struct serve_worker *fullest = net_find_fullest(worker->net);
    if (fullest != worker) {
        /* It sees that in its next pass; until then a quarter more may wait. Release: pairs with
         * the exchange in worker_pass, for nothing but tidiness. */
        atomic_store_release_bool(&fullest->is_asked_to_cut, true);
        serve_mailbox_wake(&fullest->mailbox);
        limit_bytes = sat_add_u64(limit_bytes, limit_bytes / 4);
    }
    worker_cut_until(worker, limit_bytes);
}

/* ---- a pass --------------------------------------------------------------------------------- */

static struct serve_connection *worker_find(struct serve_worker *worker, uint64_t id)
{
    /* 0 is nobody's: a free slot has it. */
    struct serve_connection *connection = id == 0 ? NULL : serve_slots_at(&worker->slots, id);

    return connection != NULL && connection->id == id ? connection : NULL;
}

void serve_worker_run(struct serve_worker *worker, uint64_t connection_id,
                      serve_posted_function *function, void *argument)
{
    Q_ASSERT(worker->current == NULL);
    serve_connection_run_posted(worker_find(worker, connection_id), function, argument);
}

static void worker_open_mail(struct serve_worker *worker, const struct serve_message *message)
{
    if (message->function == NULL) {
        serve_connection_begin(worker, message);
        return;
    }
    serve_worker_count(&worker->counters.posted_count, 1);
    serve_connection_run_posted(worker_find(worker, message->connection_id), message->function,
                                message->argument);
}

static void worker_read_mail(struct serve_worker *worker)
{
    struct serve_message message;

    for (uint32_t i = 0; i < MESSAGES_PER_PASS && worker->has_mail; i++) {
        worker->has_mail = serve_mailbox_take(&worker->mailbox, &message);
        if (worker->has_mail) {
            worker_open_mail(worker, &message);
        }
    }
}

static void worker_run_first(struct serve_list *list)
{
    struct serve_link *link = serve_list_first(list);

    serve_list_remove(list, link);
    serve_connection_run(serve_list_entry(link, struct serve_connection, ready_link));
}

/* Each that is in the list now; those that are put into it meanwhile have the next pass. */
static void worker_run_ready(struct serve_worker *worker)
{
    worker->is_running_ready = true;
    for (size_t i = worker->ready.count; i > 0 && worker->ready.count > 0; i--) {
        worker_run_first(&worker->ready);
        if (serve_outbox_is_full(worker)) {
            serve_outbox_flush(worker);
        }
    }
    worker->is_running_ready = false;
    serve_outbox_flush(worker);
}

static void worker_run_heavy(struct serve_worker *worker)
{
    uint64_t end_ns = worker->heavy.count == 0 ? 0 : os_monotonic_ns(os_real()) + HEAVY_NS;

    for (size_t i = worker->heavy.count; i > 0 && worker->heavy.count > 0; i--) {
        worker_run_first(&worker->heavy);
        if (os_monotonic_ns(os_real()) >= end_ns) {
            return;
        }
    }
}

static void worker_run_deadlines(struct serve_worker *worker)
{
    struct serve_deadline *due = NULL;

    for (uint32_t i = 0; i < EXPIRIES_PER_PASS && worker->may_be_due; i++) {
        due = serve_deadlines_due(&worker->deadlines, &worker->limits, worker->now_ns);
        worker->may_be_due = due != NULL;
        if (due != NULL) {
            serve_connection_expire(serve_list_entry(due, struct serve_connection, deadline));
        }
    }
    serve_worker_tick(worker);
}

/* The connection in a slot; NULL: none is. */
static struct serve_connection *worker_slot(struct serve_worker *worker, uint32_t index)
{
    struct serve_connection *connection = serve_slots_by_index(&worker->slots, index);

    return connection != NULL && connection->id != 0 ? connection : NULL;
}

/* Has everybody run once: who has sent nothing is idle and ends, see connection_settle. */
static void worker_drain_some(struct serve_worker *worker)
{
    uint32_t end = serve_slots_count(&worker->slots);

    for (uint32_t i = 0; i < SLOTS_PER_PASS && worker->drain_index < end; i++) {
        struct serve_connection *connection = worker_slot(worker, worker->drain_index++);
        if (connection != NULL) {
            connection->can_read = true;
            serve_worker_make_ready(worker, connection);
        }
    }
}

static void worker_destroy_all(struct serve_worker *worker)
{
    uint32_t end = serve_slots_count(&worker->slots);

    for (uint32_t i = 0; i < end; i++) {
        struct serve_connection *connection = worker_slot(worker, i);
        if (connection != NULL) {
            serve_connection_destroy(connection);
        }
    }
}

static void worker_drain(struct serve_worker *worker)
{
    /* Acquire: pairs with the release in serve_net_begin_drain. */
    if (!atomic_load_acquire_bool(&worker->net->is_draining)) {
        return;
    }
    if (!worker->is_draining) {
        worker->is_draining = true;
        worker->drain_due_ns = sat_add_u64(worker->now_ns, worker->limits.drain_ns);
        serve_worker_tick(worker);
    }
    worker_drain_some(worker);
    if (worker->now_ns >= worker->drain_due_ns) {
        worker_destroy_all(worker);
    }
}

static bool worker_has_work(const struct serve_worker *worker)
{
    return worker->ready.count > 0 || worker->heavy.count > 0 || worker->has_mail ||
           worker->may_be_due ||
           (worker->is_draining && worker->drain_index < serve_slots_count(&worker->slots));
}

static void worker_note_lag(struct serve_worker *worker)
{
    uint64_t lag_ns = os_monotonic_ns(os_real()) - worker->now_ns;

    if (lag_ns > atomic_load_relaxed_u64(&worker->counters.lag_max_ns)) {
        atomic_store_relaxed_u64(&worker->counters.lag_max_ns, lag_ns);
    }
}

static void worker_pass(struct serve_worker *worker)
{
    worker->now_ns = os_monotonic_ns(os_real());
    serve_worker_count(&worker->counters.pass_count, 1);
    serve_net_copy_limits(worker->net, &worker->limits, &worker->limits_version);
    worker_read_mail(worker);
    worker_run_ready(worker);
    worker_run_heavy(worker);
    /* Acquire: see serve_worker_bound_output. */
    if (Q_UNLIKELY(atomic_load_relaxed_bool(&worker->is_asked_to_cut)) &&
        atomic_exchange_acquire_bool(&worker->is_asked_to_cut, false)) {
        worker_cut_until(worker, worker->limits.output_bytes_max);
    }
    worker_run_deadlines(worker);
    worker_drain(worker);
    worker_note_lag(worker);
}

/* ---- the thread ----------------------------------------------------------------------------- */

/* Nobody is answered any more; those who posted are told so. */
static void worker_end(struct serve_worker *worker)
{
    struct serve_message message;

    serve_mailbox_close(&worker->mailbox);
    while (serve_mailbox_take(&worker->mailbox, &message)) {
        if (message.function != NULL) {
            message.function(NULL, message.argument);
        } else {
            (void)close(message.fd);
            serve_net_note_end(worker->net);
        }
    }
    worker_destroy_all(worker);
    (void)event_del(&worker->tick_event);
    (void)event_del(&worker->wake_event);
}

static void worker_run(void *argument)
{
    struct serve_worker *worker = argument;

    /* Acquire: pairs with the release in serve_net_destroy. */
    while (!atomic_load_acquire_bool(&worker->net->is_stopping)) {
        int flags = EVLOOP_ONCE | (worker_has_work(worker) ? EVLOOP_NONBLOCK : 0);
        int result = event_base_loop(worker->base, flags);
        Q_ASSERT(result >= 0);
        worker_pass(worker);
    }
    worker_end(worker);
}

/* ---- reports -------------------------------------------------------------------------------- */

struct serve_net *serve_worker_net(struct serve_worker *worker)
{
    return worker->net;
}

void serve_worker_each(struct serve_worker *worker,
                       void (*visit)(struct serve_connection *connection, void *argument),
                       void *argument)
{
    (void)serve_worker_some(worker, 0, UINT32_MAX, visit, argument);
}

uint32_t serve_worker_some(struct serve_worker *worker, uint32_t first, uint32_t slot_count,
                           void (*visit)(struct serve_connection *connection, void *argument),
                           void *argument)
{
    uint32_t count = serve_slots_count(&worker->slots);
    uint32_t end = first < count && slot_count < count - first ? first + slot_count : count;

    for (uint32_t i = first; i < end; i++) {
        struct serve_connection *connection = worker_slot(worker, i);
        if (connection != NULL && !connection->is_lingering) {
            visit(connection, argument);
        }
    }
    return end < count ? end : 0;
}

/* ---- figures -------------------------------------------------------------------------------- */

void serve_worker_read_counters(const struct serve_worker *worker,
                                struct serve_counters *ret_counters)
{
    const struct serve_counting *from = &worker->counters;

#define COPY(name) .name = atomic_load_relaxed_u64(&from->name)
    *ret_counters = (struct serve_counters){
        COPY(accepted_count),    COPY(current_count), COPY(received_bytes), COPY(sent_bytes),
        COPY(turn_count),        COPY(yield_count),   COPY(pass_count),     COPY(receive_count),
        COPY(send_count),        COPY(posted_count),  COPY(refused_count),  COPY(slow_reader_count),
        COPY(slow_writer_count), COPY(idle_count),    COPY(too_long_count), COPY(no_memory_count),
        COPY(tls_failed_count),  COPY(waiting_bytes), COPY(lag_max_ns),
    };
#undef COPY
}
