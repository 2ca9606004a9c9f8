/*
 * Exhaustive schedules by replay.
 *
 *   choices:   2 of 3   0 of 2   1 of 2   0 of 3 ...          a schedule is a row of choices
 *              '---- replayed ----'  '- new: first of each -'
 *
 * The threads of a scenario are coroutines on one real thread. Wherever more than one thing may
 * happen next the schedule chooses; the exploration runs the scenario once for each row of choices,
 * depth first: the last choice that has an alternative takes it, and what follows is new.
 *
 * Choices are: which thread goes on before an operation on something shared (leaving a thread that
 * could go on is a preemption, and those are bounded); which goes on when one ends, blocks or
 * yields (free); which of its remembered values a load returns, and whether a weak CAS fails for no
 * reason (oddities, bounded too). Within those bounds nothing is left out. A bound of 3 preemptions
 * finds nearly every bug that any number would: studies of real ones say that most need one or two.
 *
 * Only operations on objects that two threads touch are places to switch: others commute with all.
 * Which those are is learned on the way, and the exploration begins anew when one more is found.
 *
 * A thread that yields lets others go first, and looks again when something has been stored; one
 * that goes on for SPIN_MAX operations without a store, while others wait, is made to yield. So
 * loops that wait for another thread end, and those that do not are told by the number of steps.
 *
 * Rejected: sleep sets, which do not go with a bound on preemptions; one thread a step in a fixed
 * rotation with delays, which bounds better and shows worse what happened.
 */
#include "interleave/schedule.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "interleave/coroutine.h"
#include "interleave/memory.h"
#include "interleave/operations.h"
#include "interleave/trace.h"

#define CHOICES_MAX   16384u
#define SPIN_MAX      1000u
#define RESTARTS_MAX  200u
#define SECONDS_MAX   120u
#define TRUST_ANSWERS 256u

enum thread_state { READY, WAITS_MUTEX, WAITS_FUTEX, ENDED };

struct thread {
    enum thread_state state;
    const struct memory_location *waits_for;
    bool has_timeout;
    bool has_yielded;
    uint64_t yield_stores; /* how many there were when it yielded */
    uint32_t run_length;   /* operations since it went on, or has stored */
};

struct choice {
    uint16_t taken;
    uint16_t count;
};

static struct {
    const struct interleave_scenario *scenario;
    struct interleave_result *result;
    uint32_t thread_count;
    struct thread threads[INTERLEAVE_THREADS_MAX];
    uint32_t current;
    bool must_restart;
    uint64_t store_count;
    uint32_t preemptions_left;
    uint32_t oddities_left;
    struct choice choices[CHOICES_MAX];
    uint32_t choice_count; /* of the row to replay and its continuation */
    uint32_t choice_at;
    uint64_t begin_cpu_ns;
} run;

bool schedule_is_on_now;

/* ---- switching ------------------------------------------------------------------------------ */

static void switch_to(uint32_t next)
{
    struct thread *from = &run.threads[run.current], *to = &run.threads[next];

    to->run_length = 0;
    to->has_yielded = false;
    if (to == from) {
        return;
    }
    uint32_t previous = run.current;
    run.current = next;
    coroutine_switch(previous, next);
}

/* Whether a thread could do something new. */
static bool is_eager(uint32_t thread)
{
    const struct thread *it = &run.threads[thread];

    if (it->state == WAITS_MUTEX) {
        return it->waits_for->owner == 0;
    }
    return it->state == READY && !(it->has_yielded && it->yield_stores == run.store_count);
}

/* Whether it may be let go on when nobody is eager. */
static bool is_patient(uint32_t thread)
{
    const struct thread *it = &run.threads[thread];

    return it->state == READY || (it->state == WAITS_FUTEX && it->has_timeout);
}

static uint32_t list_threads(bool (*is_wanted)(uint32_t), uint32_t except, uint32_t *ret_threads)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < run.thread_count; i++) {
        if (i != except && is_wanted(i)) {
            ret_threads[count++] = i;
        }
    }
    return count;
}

static bool all_have_ended(void)
{
    for (uint32_t i = 0; i < run.thread_count; i++) {
        if (run.threads[i].state != ENDED) {
            return false;
        }
    }
    return true;
}

/* Lets another thread go on, for free. Returns: false when there is none. */
static bool pass_on(void)
{
    uint32_t threads[INTERLEAVE_THREADS_MAX];
    uint32_t count = list_threads(is_eager, run.current, threads);

    if (count == 0) {
        count = list_threads(is_patient, run.current, threads);
    }
    if (count == 0) {
        return false;
    }
    uint32_t next = threads[schedule_choose(count)];
    run.threads[next].state = READY;
    switch_to(next);
    return true;
}

void schedule_quiet(bool is_quiet)
{
    schedule_is_on_now = !is_quiet;
}

uint32_t schedule_thread(void)
{
    return run.current;
}

uint32_t interleave_thread(void)
{
    return run.current;
}

void schedule_point(bool is_shared)
{
    uint32_t threads[INTERLEAVE_THREADS_MAX];
    struct thread *own = &run.threads[run.current];

    if (++own->run_length > SPIN_MAX) {
        schedule_yield();
        return;
    }
    if (!is_shared || run.preemptions_left == 0) {
        return;
    }
    uint32_t count = list_threads(is_eager, run.current, threads);
    uint32_t taken = schedule_choose(count + 1);
    if (taken > 0) {
        run.preemptions_left--;
        run.threads[threads[taken - 1]].state = READY;
        switch_to(threads[taken - 1]);
    }
}

static void wait_for(enum thread_state state, const struct memory_location *location,
                     bool has_timeout)
{
    struct thread *own = &run.threads[run.current];

    own->state = state;
    own->waits_for = location;
    own->has_timeout = has_timeout;
    if (!pass_on()) {
        if (has_timeout) {
            own->state = READY;
            return;
        }
        schedule_finding(INTERLEAVE_DEADLOCK, "deadlock: thread %u waits, and nobody can go on",
                         run.current + 1);
    }
}

void schedule_wait_mutex(const struct memory_location *location)
{
    wait_for(WAITS_MUTEX, location, false);
}

void schedule_wait_futex(const struct memory_location *location, bool has_timeout)
{
    wait_for(WAITS_FUTEX, location, has_timeout);
}

void schedule_wake_futex(const struct memory_location *location, uint32_t waiter_count)
{
    for (uint32_t i = 0; i < run.thread_count && waiter_count > 0; i++) {
        struct thread *thread = &run.threads[i];
        if (thread->state == WAITS_FUTEX && thread->waits_for == location) {
            thread->state = READY;
            waiter_count--;
        }
    }
}

void schedule_yield(void)
{
    struct thread *own = &run.threads[run.current];

    own->has_yielded = true;
    own->yield_stores = run.store_count;
    (void)pass_on();
    own->has_yielded = false;
    own->run_length = 0;
}

void schedule_note_store(void)
{
    run.store_count++;
    run.threads[run.current].run_length = 0;
}

void schedule_end_step(void)
{
    uint32_t most = run.scenario->steps != 0 ? run.scenario->steps : 20000;

    memory_end_step(run.current);
    if (trace_count() > most) {
        schedule_finding(INTERLEAVE_LIVELOCK, "livelock: more than %u steps", most);
    }
    if (run.scenario->invariant != NULL) {
        schedule_quiet(true);
        run.scenario->invariant();
        schedule_quiet(false);
    }
}

/* ---- choices -------------------------------------------------------------------------------- */

uint32_t schedule_choose(uint32_t count)
{
    Q_ASSERT(count > 0);
    if (count == 1) {
        return 0;
    }
    if (run.choice_at == CHOICES_MAX) {
        schedule_finding(INTERLEAVE_UNBOUNDED, "more than %u choices", CHOICES_MAX);
    }
    struct choice *choice = &run.choices[run.choice_at];
    if (run.choice_at == run.choice_count) {
        *choice = (struct choice){.taken = 0, .count = (uint16_t)count};
        run.choice_count++;
    }
    if (choice->count != count) {
        schedule_finding(INTERLEAVE_UNSTEADY, "choice %u was of %u before and is of %u now",
                         run.choice_at, choice->count, count);
    }
    run.choice_at++;
    return choice->taken;
}

uint32_t schedule_choose_odd(uint32_t count)
{
    uint32_t taken = run.oddities_left > 0 ? schedule_choose(count) : 0;

    run.oddities_left -= taken > 0 ? 1 : 0;
    return taken;
}

uint32_t interleave_choose(uint32_t count)
{
    return schedule_choose(count);
}

/* Makes the row that comes next. Returns: false when all have been. */
static bool next_row(void)
{
    while (run.choice_count > 0) {
        struct choice *last = &run.choices[run.choice_count - 1];
        if (last->taken + 1u < last->count) {
            last->taken++;
            return true;
        }
        run.choice_count--;
    }
    return false;
}

void schedule_check_plain(uintptr_t address, size_t bytes, bool is_write, const void *code)
{
    for (uintptr_t at = address, end = address + bytes; at < end;) {
        size_t part = size_min(end - at, 8 - (at & 7));
        uint32_t other = memory_plain(run.current, at, part, is_write);
        if (other < INTERLEAVE_THREADS_MAX) {
            run.result->code = (uintptr_t)code;
            schedule_finding(INTERLEAVE_RACE,
                             "race: thread %u %s %zu bytes at %#lx, which thread %u has accessed, "
                             "and nothing puts the two in order",
                             run.current + 1, is_write ? "writes" : "reads", bytes,
                             (unsigned long)address, other + 1);
        }
        at += part;
    }
}

/* ---- threads and schedules ------------------------------------------------------------------ */

/*
 * What a thread runs; never returns. One that has ended leaves for another, the last one for the
 * explorer, who may come back to have it exit.
 */
static void thread_main(void)
{
    struct thread *own = &run.threads[run.current];

    run.scenario->threads[run.current]();
    if (!run.scenario->has_late_exits) {
        operations_exit_thread();
    }
    operations_end_thread();
    own->state = ENDED;
    run.store_count++;
    if (all_have_ended()) {
        coroutine_switch(run.current, COROUTINE_EXPLORER);
    } else if (!pass_on()) {
        schedule_finding(INTERLEAVE_DEADLOCK, "deadlock: those that have not ended all wait");
    }
    operations_exit_thread();
    coroutine_switch((uint32_t)(own - run.threads), COROUTINE_EXPLORER);
    abort();
}

static void thread_make(uint32_t number)
{
    struct thread *thread = &run.threads[number];

    thread->state = READY;
    thread->has_yielded = thread->has_timeout = false;
    thread->waits_for = NULL;
    thread->run_length = 0;
    coroutine_begin(number, thread_main);
}

static void run_threads(void)
{
    for (uint32_t i = 0; i < run.thread_count; i++) {
        thread_make(i);
    }
    run.current = schedule_choose(run.thread_count);
    schedule_is_on_now = true;
    coroutine_switch(COROUTINE_EXPLORER, run.current);
    schedule_is_on_now = false;
    for (uint32_t i = 0; run.scenario->has_late_exits && i < run.thread_count; i++) {
        coroutine_switch(COROUTINE_EXPLORER, i);
    }
}

static void run_schedule(void)
{
    const struct interleave_scenario *scenario = run.scenario;

    run.choice_at = 0;
    run.must_restart = false;
    run.store_count = 0;
    run.preemptions_left = scenario->preemptions != 0 ? scenario->preemptions : 3;
    run.oddities_left = scenario->has_no_oddities ? 0
                        : scenario->oddities != 0 ? scenario->oddities
                                                  : 2;
    if (scenario->set_up != NULL) {
        scenario->set_up();
    }
    trace_begin();
    memory_begin_schedule();
    operations_begin_schedule();
    run_threads();
    if (run.choice_at != run.choice_count) {
        schedule_finding(INTERLEAVE_UNSTEADY, "a schedule ended before its choices did");
    }
    if (scenario->check != NULL) {
        scenario->check();
    }
    run.result->step_count += trace_count();
}

static void give_up_when_slow(void)
{
    if (os_thread_cpu_ns(os_real()) - run.begin_cpu_ns > SECONDS_MAX * Q_SECOND_NS) {
        schedule_finding(INTERLEAVE_UNBOUNDED, "not done after %u s of CPU", SECONDS_MAX);
    }
}

static void begin_exploration(const struct interleave_scenario *scenario,
                              struct interleave_result *result)
{
    run.scenario = scenario;
    run.result = result;
    run.begin_cpu_ns = os_thread_cpu_ns(os_real());
    while (run.thread_count < INTERLEAVE_THREADS_MAX &&
           scenario->threads[run.thread_count] != NULL) {
        run.thread_count++;
    }
    Q_ASSERT(run.thread_count > 0);
    memory_reset();
    coroutines_make(run.thread_count);
}

void schedule_explore(const struct interleave_scenario *scenario,
                      struct interleave_result *ret_result)
{
    uint32_t restarts = 0;

    begin_exploration(scenario, ret_result);
    do {
        run_schedule();
        ret_result->schedule_count++;
        if (run.must_restart) {
            if (++restarts > RESTARTS_MAX) {
                schedule_finding(INTERLEAVE_UNSTEADY, "objects are at other addresses each time");
            }
            run.choice_count = 0;
            ret_result->schedule_count = ret_result->step_count = 0;
        }
        give_up_when_slow();
    } while (run.must_restart || next_row());
}

void schedule_restart(void)
{
    run.must_restart = true;
}

/* Remembers the answer for the string, which is always at the same address. */
bool schedule_trusts(const char *file)
{
    static struct {
        const char *file;
        bool is_trusted;
    } answers[TRUST_ANSWERS];
    uint32_t slot =
        (uint32_t)((uintptr_t)file * UINT64_C(0x9e3779b97f4a7c15) >> 32) % TRUST_ANSWERS;

    if (answers[slot].file != file) {
        answers[slot].file = file;
        answers[slot].is_trusted = false;
        for (uint32_t i = 0; i < INTERLEAVE_TRUSTED_MAX && run.scenario->trusted[i] != NULL; i++) {
            answers[slot].is_trusted |= strstr(file, run.scenario->trusted[i]) != NULL;
        }
    }
    return answers[slot].is_trusted;
}

bool schedule_has_barrier(void)
{
    return run.scenario == NULL || !run.scenario->has_no_barrier;
}

Q_PRINTF(1, 0) static void tell_outside(const char *format, va_list arguments)
{
    (void)vfprintf(stderr, format, arguments);
    (void)fputc('\n', stderr);
    abort();
}

Q_PRINTF(3, 0)
static void tell(struct interleave_result *result, enum interleave_verdict verdict,
                 const char *format, va_list arguments)
{
    result->verdict = verdict;
    result->schedule_count++;
    int length = vsnprintf(result->text, 1024, format, arguments);
    size_t used = size_min((size_t)(length < 0 ? 0 : length), 1023);
    used += (size_t)snprintf(result->text + used, sizeof result->text - used, "\n");
    (void)trace_print(result->text + used, sizeof result->text - used);
}

void schedule_finding(enum interleave_verdict verdict, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    if (run.result == NULL) {
        tell_outside(format, arguments);
    } else if (run.result->verdict == INTERLEAVE_CLEAN) {
        tell(run.result, verdict, format, arguments);
    }
    va_end(arguments);
    _exit(1);
}
