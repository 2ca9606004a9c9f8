/*
 * Gates: the handshake between a thread and whoever keeps it out.
 *
 *   the gate's thread                       whoever stops it (holds the mutex)
 *   is_inside = 1                           stop |= STOP
 *   (compiler barrier)                      os_process_barrier()
 *   if stop: is_inside = 0, wait, again     wait while is_inside
 *   … inside …                              … nobody is inside …
 *   is_inside = 0  (release)                stop &= ~STOP  (release)
 *
 * Both sides write, then read what the other wrote: at least one sees the other, provided a full
 * barrier stands between the write and the read on both sides. The thread's is left out, and the
 * stopper makes every CPU execute one in its stead (membarrier). Where there is no such call, stop
 * always has the FENCED bit, so that every entry takes the slow way, with a sequentially consistent
 * exchange.
 *
 * Cost: entering and leaving, five instructions; stopping all gates of a process, a third of a
 * microsecond and a load for each.
 */
#include <os/gate.h>

void os_gate_init(struct os_gate *gate)
{
    atomic_store_relaxed_u32(&gate->is_inside, 0);
    atomic_store_relaxed_u32(&gate->stop, os_has_process_barrier() ? 0 : OS_GATE_FENCED);
}

bool os_gate_enter_slow(struct os_gate *gate, struct os_mutex *mutex)
{
    if (os_gate_is_inside(gate)) {
        return false;
    }
    for (;;) {
        if (atomic_load_seq_cst_u32(&gate->stop) & OS_GATE_STOP) {
            os_mutex_lock(mutex);
            os_mutex_unlock(mutex);
        }
        (void)atomic_exchange_seq_cst_u32(&gate->is_inside, 1);
        uint32_t stop = atomic_load_seq_cst_u32(&gate->stop);
        if (stop & OS_GATE_MARKED) {
            (void)atomic_and_relaxed_u32(&gate->stop, ~OS_GATE_MARKED);
        }
        if (!(stop & OS_GATE_STOP)) {
            return true;
        }
        atomic_store_release_u32(&gate->is_inside, 0);
    }
}

bool os_gate_mark(struct os_gate *gate)
{
    return (atomic_or_relaxed_u32(&gate->stop, OS_GATE_MARKED) & OS_GATE_MARKED) != 0;
}

void os_gate_stop(struct os_gate *gate)
{
    (void)atomic_or_seq_cst_u32(&gate->stop, OS_GATE_STOP);
}

void os_gates_barrier(void)
{
    if (os_has_process_barrier()) {
        (void)os_process_barrier();
    }
}

void os_gate_wait(struct os_gate *gate)
{
    while (atomic_load_seq_cst_u32(&gate->is_inside) != 0) {
        os_yield();
    }
}

void os_gate_reset_after_fork(struct os_gate *gate)
{
    atomic_store_relaxed_u32(&gate->is_inside, 0);
    os_gate_resume(gate);
}

void os_gate_resume(struct os_gate *gate)
{
    /* Pairs with the acquire load in os_gate_enter. */
    (void)atomic_and_release_u32(&gate->stop, ~OS_GATE_STOP);
}
