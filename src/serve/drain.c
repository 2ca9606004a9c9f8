/*
 * Draining: who begins it, who notices that it is over.
 *
 *     is_draining    set once ──> acceptor: takes in the last ones, closes, has_ended
 *                              ──> workers: idle connections end, busy ones when they fall idle,
 *                                           all of them after limits.drain_ns
 *     is_drained     a futex, set by whoever comes last: the acceptor, or the last connection
 *
 * Invariant: is_drained is set once both has_ended and connection_count == 0 hold. Each side writes
 * its own and then reads the other's, sequentially consistent, so at least one sees both.
 */
#include <serve/drain.h>

#include <serve/mailbox.h>
#include <serve/worker.h>

bool serve_net_is_drained(const struct serve_net *net)
{
    return atomic_load_seq_cst_bool(&net->acceptor.has_ended) &&
           atomic_load_seq_cst_u64(&net->connection_count) == 0;
}

void serve_net_note_drained(struct serve_net *net)
{
    if (serve_net_is_drained(net)) {
        /* Release: pairs with the acquire in serve_net_wait_drained. */
        atomic_store_release_u32(&net->is_drained, 1);
        os_futex_wake(&net->is_drained, UINT32_MAX);
    }
}

void serve_net_note_end(struct serve_net *net)
{
    uint64_t before = atomic_sub_seq_cst_u64(&net->connection_count, 1);

    Q_ASSERT(before > 0);
    if (before == 1) {
        serve_net_note_drained(net);
    }
}

void serve_net_begin_drain(struct serve_net *net)
{
    /* Release: pairs with the acquires in the threads' loops. */
    atomic_store_release_bool(&net->is_draining, true);
    if (!net->is_started) {
        atomic_store_release_u32(&net->is_drained, 1);
        return;
    }
    serve_acceptor_wake(&net->acceptor);
    for (uint32_t i = 0; i < net->worker_count; i++) {
        serve_mailbox_wake(&net->workers[i]->mailbox);
    }
}

bool serve_net_wait_drained(struct serve_net *net, uint64_t timeout_ns)
{
    uint64_t begin_ns = os_monotonic_ns(os_real());

    while (atomic_load_acquire_u32(&net->is_drained) == 0) {
        uint64_t waited_ns = os_monotonic_ns(os_real()) - begin_ns;
        if (waited_ns >= timeout_ns) {
            return false;
        }
        uint64_t left_ns = timeout_ns == UINT64_MAX ? UINT64_MAX : timeout_ns - waited_ns;
        os_futex_wait(&net->is_drained, 0, left_ns);
    }
    return true;
}
