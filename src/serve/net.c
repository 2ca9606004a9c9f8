/*
 * The net: its parts made, started and ended in order.
 *
 *     create   memory, workers, acceptor       nothing runs
 *     listen   sockets; the kernel accepts     nothing runs
 *     start    workers, then the acceptor
 *     drain    the acceptor ends, connections end as they fall idle
 *     stop     the acceptor, then the workers; posts are refused
 *     destroy  memory
 *
 * Invariant: connection_count is what the acceptor has taken in and has not ended, wherever it is:
 * in a mailbox, or with its worker. When the acceptor has ended and the count is 0 it stays so.
 *
 * Locking: `limits_mutex` for a copy of the limits; everything else is one thread's, or atomic.
 */
#include <serve/net.h>

#include <string.h>

#include <serve/acceptor.h>
#include <serve/drain.h>
#include <serve/listener.h>
#include <serve/state.h>
#include <serve/worker.h>

/* ---- limits --------------------------------------------------------------------------------- */

void serve_net_set_limits(struct serve_net *net, const struct serve_limits *limits)
{
    struct serve_limits complete = *limits;

    serve_limits_complete(&complete, net->memory_limit_bytes);
    os_mutex_lock(&net->limits_mutex);
    net->limits = complete;
    os_mutex_unlock(&net->limits_mutex);
    /* Release: pairs with the acquire below. */
    (void)atomic_add_release_u32(&net->limits_version, 1);
    for (uint32_t i = 0; net->is_started && i < net->worker_count; i++) {
        serve_mailbox_wake(&net->workers[i]->mailbox);
    }
}

void serve_net_copy_limits(struct serve_net *net, struct serve_limits *limits, uint32_t *version)
{
    uint32_t current = atomic_load_acquire_u32(&net->limits_version);

    if (Q_UNLIKELY(current != *version)) {
        os_mutex_lock(&net->limits_mutex);
        *limits = net->limits;
        os_mutex_unlock(&net->limits_mutex);
        *version = current;
    }
}

/* ---- making --------------------------------------------------------------------------------- */

static enum quarry_status memory_init(struct serve_memory *memory, struct quarry_memory *from,
                                      struct quarry_error *error)
{
    struct quarry_account_options account = {.name = "net", .is_all_pages = true};

    memory->memory = from;
    enum quarry_status status = quarry_account_create(from, &account, &memory->account, error);
    if (status != QUARRY_OK) {
        return status;
    }
    status = quarry_lane_create(from, &(struct quarry_lane_options){.name = "net"}, &memory->lane,
                                error);
    if (status != QUARRY_OK) {
        quarry_account_destroy(memory->account);
    }
    return status;
}

static void memory_fini(struct serve_memory *memory)
{
    quarry_lane_destroy(memory->lane);
    quarry_account_destroy(memory->account);
}

static uint32_t worker_count_of(const struct serve_net_options *options)
{
    struct os_machine machine;

    if (options->worker_count != 0) {
        return options->worker_count;
    }
    os_machine_read("", &machine);
    return (uint32_t)size_max_u64(1, size_min_u64(machine.cpu_count, SERVE_WORKERS_MAX));
}

static enum quarry_status workers_init(struct serve_net *net, uint32_t count)
{
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = 0; i < count && status == QUARRY_OK; i++) {
        struct serve_worker *worker = serve_buffer_take_zeroed(&net->memory, sizeof(*worker));
        status = worker == NULL ? QUARRY_NO_MEMORY : serve_worker_init(worker, net, i);
        if (status != QUARRY_OK) {
            serve_buffer_give(&net->memory, worker);
        } else {
            net->workers[net->worker_count++] = worker;
        }
    }
    return status;
}

static void net_init(struct serve_net *net, const struct serve_memory *memory,
                     const struct serve_net_options *options)
{
    struct quarry_ledger ledger;

    net->memory = *memory;
    net->hooks = options->hooks;
    (void)quarry_memory_ledger(memory->memory, &ledger, NULL, 0);
    net->memory_limit_bytes = ledger.limit_bytes;
    net->acceptor.spare_fd = net->acceptor.wake_fd = -1;
    net->acceptor.net = net;
    os_mutex_init(&net->limits_mutex, OS_RANK_LEAF, 0);
    serve_net_set_limits(net, &options->limits);
}

enum quarry_status serve_net_create(const struct serve_net_options *options,
                                    struct serve_net **ret_net, struct quarry_error *error)
{
    struct serve_memory memory;
    uint32_t worker_count = worker_count_of(options);

    if (worker_count > SERVE_WORKERS_MAX) {
        return error_set(error, QUARRY_BAD_INPUT, "%u worker threads, of at most %u", worker_count,
                         SERVE_WORKERS_MAX);
    }
    enum quarry_status status = memory_init(&memory, options->memory, error);
    if (status != QUARRY_OK) {
        return status;
    }
    struct serve_net *net = serve_buffer_take_zeroed(&memory, sizeof(*net));
    if (net == NULL) {
        memory_fini(&memory);
        return error_set(error, QUARRY_NO_MEMORY, "no memory for the net");
    }
    net_init(net, &memory, options);
    status = serve_acceptor_init(&net->acceptor, net);
    status = status == QUARRY_OK ? workers_init(net, worker_count) : status;
    if (status != QUARRY_OK) {
        serve_net_destroy(net);
        return error_set(error, status, "no memory or descriptors for %u worker threads",
                         worker_count);
    }
    *ret_net = net;
    return QUARRY_OK;
}

enum quarry_status serve_net_listen(struct serve_net *net,
                                    const struct serve_listener_options *options,
                                    struct serve_listener **ret_listener,
                                    struct quarry_error *error)
{
    struct serve_acceptor *acceptor = &net->acceptor;
    struct serve_listener *listener = NULL;

    Q_ASSERT(!net->is_started && options->door != NULL && options->door->input != NULL);
    if (acceptor->listener_count == SERVE_LISTENERS_MAX) {
        return error_set(error, QUARRY_TOO_MANY, "listen on %s: %u addresses are all",
                         options->address, SERVE_LISTENERS_MAX);
    }
    enum quarry_status status = serve_listener_create(net, options, &listener, error);
    if (status != QUARRY_OK) {
        return status;
    }
    acceptor->listeners[acceptor->listener_count++] = listener;
    if (ret_listener != NULL) {
        *ret_listener = listener;
    }
    return QUARRY_OK;
}

/* ---- running -------------------------------------------------------------------------------- */

static size_t state_bytes_max(const struct serve_net *net)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < net->acceptor.listener_count; i++) {
        bytes = size_max(bytes, net->acceptor.listeners[i]->door->state_bytes);
    }
    return bytes;
}

void serve_net_stop(struct serve_net *net)
{
    /* Release: pairs with the acquires of the threads' loops. */
    atomic_store_release_bool(&net->is_stopping, true);
    serve_acceptor_join(&net->acceptor);
    for (uint32_t i = 0; i < net->worker_count; i++) {
        serve_worker_join(net->workers[i]);
    }
}

enum quarry_status serve_net_start(struct serve_net *net, struct quarry_error *error)
{
    size_t state_bytes = state_bytes_max(net);
    enum quarry_status status = QUARRY_OK;

    Q_ASSERT(!net->is_started);
    net->is_started = true;
    for (uint32_t i = 0; i < net->worker_count && status == QUARRY_OK; i++) {
        status = serve_worker_start(net->workers[i], state_bytes);
    }
    status = status == QUARRY_OK ? serve_acceptor_start(&net->acceptor) : status;
    if (status != QUARRY_OK) {
        serve_net_stop(net);
        return error_set(error, status, "cannot start %u worker threads", net->worker_count);
    }
    return QUARRY_OK;
}

uint32_t serve_net_worker_count(const struct serve_net *net)
{
    return net->worker_count;
}

struct serve_worker *serve_net_worker(struct serve_net *net, uint32_t index)
{
    Q_ASSERT(index < net->worker_count);
    return net->workers[index];
}

void serve_net_destroy(struct serve_net *net)
{
    if (net == NULL) {
        return;
    }
    struct serve_memory memory = net->memory;
    serve_net_stop(net);
    for (uint32_t i = 0; i < net->worker_count; i++) {
        serve_worker_fini(net->workers[i]);
        serve_buffer_give(&memory, net->workers[i]);
    }
    serve_acceptor_fini(&net->acceptor);
    serve_buffer_give(&memory, net);
    memory_fini(&memory);
}

/* ---- figures -------------------------------------------------------------------------------- */

uint64_t serve_net_connection_count(const struct serve_net *net)
{
    return atomic_load_relaxed_u64(&net->connection_count);
}

static void counters_add(struct serve_counters *sum, const struct serve_counters *more)
{
    sum->accepted_count += more->accepted_count;
    sum->current_count += more->current_count;
    sum->received_bytes += more->received_bytes;
    sum->sent_bytes += more->sent_bytes;
    sum->turn_count += more->turn_count;
    sum->yield_count += more->yield_count;
    sum->pass_count += more->pass_count;
    sum->receive_count += more->receive_count;
    sum->send_count += more->send_count;
    sum->posted_count += more->posted_count;
    sum->refused_count += more->refused_count;
    sum->slow_reader_count += more->slow_reader_count;
    sum->slow_writer_count += more->slow_writer_count;
    sum->idle_count += more->idle_count;
    sum->too_long_count += more->too_long_count;
    sum->no_memory_count += more->no_memory_count;
    sum->tls_failed_count += more->tls_failed_count;
    sum->waiting_bytes += more->waiting_bytes;
    sum->lag_max_ns = size_max_u64(sum->lag_max_ns, more->lag_max_ns);
}

void serve_net_read_counters(const struct serve_net *net, struct serve_counters *ret_counters)
{
    struct serve_counters sum = {0};

    for (uint32_t i = 0; i < net->worker_count; i++) {
        struct serve_counters one;
        serve_worker_read_counters(net->workers[i], &one);
        counters_add(&sum, &one);
    }
    sum.turned_away_count = atomic_load_relaxed_u64(&net->turned_away_count);
    sum.no_descriptor_count = atomic_load_relaxed_u64(&net->no_descriptor_count);
    *ret_counters = sum;
}
