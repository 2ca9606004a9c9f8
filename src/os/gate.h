/*
 * Gates: a thread enters its own by a plain store, and somebody else can keep it out.
 *
 * For data that one thread uses all the time and others now and then. The thread enters and leaves
 * without an atomic instruction; who wants it to stay out pays for both (see gate.c).
 */
#ifndef QUARRY_OS_GATE_H
#define QUARRY_OS_GATE_H

#include <os/os.h>

/* Bits of `stop`. */
#define OS_GATE_STOP   1u /* somebody else is in there */
#define OS_GATE_FENCED 2u /* there is no process barrier: entering takes the slow handshake */
#define OS_GATE_MARKED 4u /* nobody has entered since os_gate_mark */

struct os_gate {
    _Atomic uint32_t is_inside; /* written by the gate's thread */
    _Atomic uint32_t stop;
};

void os_gate_init(struct os_gate *gate);

bool os_gate_enter_slow(struct os_gate *gate, struct os_mutex *mutex);

/*
 * Enters, by the gate's own thread, if that takes no more than a few instructions. False, and
 * outside: somebody keeps it out, has marked it, or this is a signal handler inside.
 * Cost: four instructions.
 */
static inline bool os_gate_try_enter(struct os_gate *gate)
{
    if (Q_UNLIKELY(atomic_load_relaxed_u32(&gate->is_inside) != 0)) {
        return false;
    }
    /* Pairs with the process barrier in os_gates_barrier. */
    atomic_store_relaxed_u32(&gate->is_inside, 1);
    atomic_compiler_barrier();
    /* Acquire: pairs with the release in os_gate_resume. */
    if (Q_UNLIKELY(atomic_load_acquire_u32(&gate->stop) != 0)) {
        atomic_store_release_u32(&gate->is_inside, 0);
        return false;
    }
    return true;
}

/*
 * Enters, waiting while others keep the thread out.
 * `mutex`: held by whoever stops the gate.
 * Returns: false only in a signal handler that interrupted its own thread inside.
 */
static inline bool os_gate_enter(struct os_gate *gate, struct os_mutex *mutex)
{
    return Q_LIKELY(os_gate_try_enter(gate)) || os_gate_enter_slow(gate, mutex);
}

static inline void os_gate_leave(struct os_gate *gate)
{
    /* Pairs with the load in os_gate_wait. */
    atomic_store_release_u32(&gate->is_inside, 0);
}

/*
 * Keeping threads out, with the mutex held: os_gate_stop for each gate, os_gates_barrier once,
 * os_gate_wait for each (but the caller's own, if it is inside). Then nobody is inside, and nobody
 * enters before os_gate_resume.
 */
void os_gate_stop(struct os_gate *gate);
void os_gates_barrier(void);
void os_gate_wait(struct os_gate *gate);
void os_gate_resume(struct os_gate *gate);
static inline bool os_gate_is_stopped(const struct os_gate *gate)
{
    return (atomic_load_relaxed_u32(&gate->stop) & OS_GATE_STOP) != 0;
}
/*
 * Whether the gate's own thread is inside, asked by that thread: then it is a signal handler that
 * interrupted itself. Of another thread it says nothing: one that is kept out shows as inside for a
 * moment whenever it tries to enter, and for longer if it loses its processor there.
 */
static inline bool os_gate_is_inside(const struct os_gate *gate)
{
    return atomic_load_relaxed_u32(&gate->is_inside) != 0;
}

/*
 * In the child of a fork at which the gate was stopped, for a thread that the child does not have:
 * open, and nobody inside. The thread may have been about to find that it is kept out.
 */
void os_gate_reset_after_fork(struct os_gate *gate);

/*
 * Marks the gate until its thread enters next. Returns: whether the mark was there already, so that
 * nobody has entered since. Threads: any.
 */
bool os_gate_mark(struct os_gate *gate);

#endif
