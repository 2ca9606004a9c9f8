/*
 * The simulated twin: its table, its rule for failing calls, and its clocks.
 *
 *   struct os_sim
 *     os      -- table of sim_... functions
 *     state ---> counters, rule, clocks            sim.c
 *                reservations, a byte for a page    sim_memory.c
 *                files, a byte for a block          sim_file.c
 *
 * Invariants:
 *   1. Every call that can fail by rule is counted exactly once, before it does anything.
 *   2. A call that fails by rule changes nothing but the counts.
 *   3. The clocks never go back, and move only by os_sim_advance, os_sim_work and the price of a
 *      decommit or a collapse.
 *
 * Locking: one pthread mutex around every call, over the system calls it makes too. That is what a
 * test wants: the books and the kernel always agree. Not an os_mutex: whatever the code under test
 * does to those should not disturb its instrument.
 */
#include <stdlib.h>

#include <os/sim.h>

#define DEFAULT_WALL_START_NS (UINT64_C(1767225600) * Q_SECOND_NS) /* 2026-01-01 00:00 UTC */

static uint64_t sim_monotonic_ns(struct os *os);
static uint64_t sim_wall_ns(struct os *os);
static uint64_t sim_thread_cpu_ns(struct os *os);
static struct sim_thread *my_thread_locked(struct os_sim_state *state);
static void advance_locked(struct os_sim_state *state, uint64_t duration_ns);

static const struct os_ops sim_ops = {
    .reserve = sim_reserve,
    .reserve_zeros = sim_reserve_zeros,
    .commit = sim_commit,
    .decommit = sim_decommit,
    .uncommit = sim_uncommit,
    .collapse = sim_collapse,
    .release = sim_release,
    .file_open = sim_file_open,
    .file_close = sim_file_close,
    .file_size = sim_file_size,
    .file_resize = sim_file_resize,
    .file_map = sim_file_map,
    .file_preallocate = sim_file_preallocate,
    .file_punch = sim_file_punch,
    .file_next_data = sim_file_next_data,
    .file_read = sim_file_read,
    .file_write = sim_file_write,
    .file_sync = sim_file_sync,
    .monotonic_ns = sim_monotonic_ns,
    .wall_ns = sim_wall_ns,
    .thread_cpu_ns = sim_thread_cpu_ns,
};

void os_sim_init(struct os_sim *sim, const struct os_sim_options *options)
{
    struct os_sim_state *state = calloc(1, sizeof *state);
    Q_ASSERT(state != NULL);
    if (options != NULL)
        state->options = *options;
    state->real = os_real();
    state->monotonic_ns = Q_SECOND_NS;
    state->wall_ns = state->options.wall_start_ns;
    if (state->wall_ns == 0)
        state->wall_ns = DEFAULT_WALL_START_NS;
    int failed = pthread_mutex_init(&state->mutex, NULL);
    Q_ASSERT(failed == 0);
    sim->os = *state->real;
    sim->os.ops = &sim_ops;
    sim->state = state;
}

void os_sim_fini(struct os_sim *sim)
{
    struct os_sim_state *state = sim->state;
    sim_forget_reservations(state);
    sim_forget_files(state);
    int failed = pthread_mutex_destroy(&state->mutex);
    Q_ASSERT(failed == 0);
    free(state);
    sim->state = NULL;
}

void os_sim_fail_at(struct os_sim *sim, uint32_t kind_mask, uint64_t index,
                    enum os_sim_fail_mode mode, enum quarry_status status)
{
    Q_ASSERT(kind_mask != 0 && (kind_mask & ~OS_SIM_ANY) == 0 && status != QUARRY_OK);
    struct os_sim_state *state = sim_enter(&sim->os);
    state->rule = (struct sim_rule){
        .kind_mask = kind_mask, .mode = mode, .status = status, .calls_before = index};
    sim_leave(state);
}

void os_sim_fail_clear(struct os_sim *sim)
{
    struct os_sim_state *state = sim_enter(&sim->os);
    state->rule.kind_mask = 0;
    sim_leave(state);
}

uint64_t os_sim_failed_count(struct os_sim *sim)
{
    struct os_sim_state *state = sim_enter(&sim->os);
    uint64_t count = state->rule.failed_count;
    sim_leave(state);
    return count;
}

uint64_t os_sim_call_count(struct os_sim *sim, uint32_t kind_mask)
{
    struct os_sim_state *state = sim_enter(&sim->os);
    uint64_t count = 0;
    for (uint32_t kind = 0; kind < OS_SIM_KIND_COUNT; kind++)
        count += (kind_mask >> kind & 1) != 0 ? state->counters.calls[kind] : 0;
    sim_leave(state);
    return count;
}

void os_sim_read_counters(struct os_sim *sim, struct os_sim_counters *ret_counters)
{
    struct os_sim_state *state = sim_enter(&sim->os);
    *ret_counters = state->counters;
    sim_leave(state);
}

void os_sim_advance(struct os_sim *sim, uint64_t duration_ns)
{
    struct os_sim_state *state = sim_enter(&sim->os);
    advance_locked(state, duration_ns);
    sim_leave(state);
}

void os_sim_work(struct os_sim *sim, uint64_t duration_ns)
{
    struct os_sim_state *state = sim_enter(&sim->os);
    sim_work_locked(state, duration_ns);
    sim_leave(state);
}

struct os_sim_state *sim_enter(struct os *os)
{
    Q_STATIC_ASSERT(offsetof(struct os_sim, os) == 0, "a table is the beginning of its twin");
    struct os_sim_state *state = ((struct os_sim *)os)->state;
    int failed = pthread_mutex_lock(&state->mutex);
    Q_ASSERT(failed == 0);
    return state;
}

void sim_leave(struct os_sim_state *state)
{
    int failed = pthread_mutex_unlock(&state->mutex);
    Q_ASSERT(failed == 0);
}

/* Invariants 1 and 2. */
enum quarry_status sim_call_locked(struct os_sim_state *state, enum os_sim_kind kind)
{
    struct sim_rule *rule = &state->rule;
    uint32_t number = bits_trailing_zeros_u32((uint32_t)kind);
    Q_ASSERT(number < OS_SIM_KIND_COUNT);
    state->counters.calls[number]++;
    if ((rule->kind_mask & (uint32_t)kind) == 0 || rule->is_spent)
        return QUARRY_OK;
    if (rule->calls_before > 0) {
        rule->calls_before--;
        return QUARRY_OK;
    }
    rule->is_spent = rule->mode == OS_SIM_ONCE;
    rule->failed_count++;
    return rule->status;
}

void sim_work_locked(struct os_sim_state *state, uint64_t duration_ns)
{
    advance_locked(state, duration_ns);
    my_thread_locked(state)->cpu_ns += duration_ns;
}

static void advance_locked(struct os_sim_state *state, uint64_t duration_ns)
{
    Q_ASSERT(duration_ns <= UINT64_MAX - state->wall_ns); /* invariant 3 */
    state->monotonic_ns += duration_ns;
    state->wall_ns += duration_ns;
}

static struct sim_thread *my_thread_locked(struct os_sim_state *state)
{
    uint32_t id = os_thread_id();
    for (uint32_t i = 0; i < state->thread_count; i++)
        if (state->threads[i].id == id)
            return &state->threads[i];
    Q_ASSERT(state->thread_count < SIM_THREADS_MAX);
    struct sim_thread *thread = &state->threads[state->thread_count++];
    thread->id = id;
    return thread;
}

static uint64_t sim_monotonic_ns(struct os *os)
{
    struct os_sim_state *state = sim_enter(os);
    uint64_t now_ns = state->monotonic_ns;
    sim_leave(state);
    return now_ns;
}

static uint64_t sim_wall_ns(struct os *os)
{
    struct os_sim_state *state = sim_enter(os);
    uint64_t now_ns = state->wall_ns;
    sim_leave(state);
    return now_ns;
}

static uint64_t sim_thread_cpu_ns(struct os *os)
{
    struct os_sim_state *state = sim_enter(os);
    uint64_t cpu_ns = my_thread_locked(state)->cpu_ns;
    sim_leave(state);
    return cpu_ns;
}
