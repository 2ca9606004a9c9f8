/*
 * The heavy half of an asymmetric fence: membarrier(2).
 *
 *   frequent side                      rare side
 *   ------------------------------     ------------------------------
 *   store my flag                      store my flag
 *   atomic_compiler_barrier()          os_process_barrier()
 *   load the other's flag              load the other's flag
 *
 * The kernel interrupts every CPU that runs a thread of this process and has it run a full barrier;
 * a thread that does not run went through one when it was switched out. So at least one side sees
 * the other's flag, as if both had a full barrier, and the frequent side pays nothing.
 *
 * Invariants:
 *   1. os_has_process_barrier never changes its answer, or two sides of a handshake could rely on
 *      different protocols.
 *   2. Where it answers true the call succeeds, also in a child after fork: if the registration was
 *      not inherited the call registers again. A sandbox has to let it through.
 *
 * ThreadSanitizer cannot see the barrier, so under it there is none and both sides take the
 * sequentially consistent way. The GLOBAL command was rejected: it waits until every CPU of the
 * machine has passed the scheduler.
 *
 * Cost: a system call and one interrupt for each other running CPU of this process.
 */
#include <linux/membarrier.h>

#include <os/kernel.h>
#include <os/os.h>
#include <os/sanitizer.h>

enum { UNKNOWN, WORKS, ABSENT };
static _Atomic uint32_t barrier_state; /* atomic; leaves UNKNOWN once (invariant 1) */

static bool probe(void);
static bool register_process(void);
static long run_barrier(void);

bool os_has_process_barrier(void)
{
    /* Relaxed: the answer is the word itself, nothing else is published with it. */
    uint32_t state = atomic_load_relaxed_u32(&barrier_state);
    if (Q_UNLIKELY(state == UNKNOWN)) {
        uint32_t found = probe() ? WORKS : ABSENT;
        /* Relaxed: as above. Of threads that asked at once, the first settles it (invariant 1). */
        if (atomic_cas_relaxed_u32(&barrier_state, &state, found))
            state = found;
    }
    return state == WORKS;
}

bool os_process_barrier(void)
{
    if (!os_has_process_barrier())
        return false;
    long result = run_barrier();
    if (result == -EPERM && register_process()) /* invariant 2 */
        result = run_barrier();
    for (; result == -ENOMEM;
         result = run_barrier()) /* a set of CPUs, for the length of the call */
        os_yield();
    Q_ASSERT(result == 0);
    return true;
}

static bool probe(void)
{
    return !OS_UNDER_TSAN && register_process() && run_barrier() == 0;
}

static bool register_process(void)
{
    return os_kernel(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
}

static long run_barrier(void)
{
    return os_kernel(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}
