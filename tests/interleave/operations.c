/*
 * The hooked operations: a place to switch threads, the operation on the model's memory, a line of
 * the trace. Outside of a schedule they act on memory as it is.
 *
 * Planted bugs are made here, by changing what an operation of the product does, so that the source
 * under test never holds one.
 */
#include "interleave/operations.h"

#include <string.h>

#include "interleave/memory.h"
#include "interleave/schedule.h"
#include "interleave/trace.h"

/* A store or modification that a planted bug makes trade places with the next operation. */
struct put_off {
    struct interleave_site site;
    volatile void *object; /* NULL: none */
    size_t bytes;
    uint64_t operand;
    bool is_new; /* the next operation has not been yet */
};

static const struct interleave_plant *planted;
static uint64_t *planted_count;
static struct put_off put_off[INTERLEAVE_THREADS_MAX];

static void store_now(const struct interleave_site *site, volatile void *object, size_t bytes,
                      uint64_t value);
static uint64_t modify_now(const struct interleave_site *site, volatile void *object, size_t bytes,
                           uint64_t operand);

/* ---- planted bugs --------------------------------------------------------------------------- */

void operations_plant(const struct interleave_plant *plant, uint64_t *met_count)
{
    planted = plant;
    planted_count = met_count;
}

void operations_begin_schedule(void)
{
    memset(put_off, 0, sizeof put_off);
}

static bool is_planted(const struct interleave_site *site)
{
    return planted != NULL && planted->kind == site->kind &&
           strcmp(planted->function, site->function) == 0 &&
           (planted->object == NULL || strstr(site->object, planted->object) != NULL);
}

/* Whether the operation at `site` suffers `change`. */
static bool suffers(const struct interleave_site *site, enum interleave_change change)
{
    if (Q_LIKELY(planted == NULL) || planted->change != change || !is_planted(site)) {
        return false;
    }
    ++*planted_count;
    return true;
}

static enum interleave_order order_of(const struct interleave_site *site)
{
    return suffers(site, INTERLEAVE_WEAKEN) ? INTERLEAVE_RELAXED : site->order;
}

/* ---- steps ---------------------------------------------------------------------------------- */

static uint64_t cut(uint64_t bits, size_t bytes)
{
    return bytes == 8 ? bits : bits & ((UINT64_C(1) << (8 * bytes)) - 1);
}

static void end_step(const struct trace_step *step)
{
    uint32_t thread = schedule_thread();
    struct put_off *later = &put_off[thread];

    trace_add(step);
    schedule_end_step();
    if (Q_LIKELY(later->object == NULL)) {
        return;
    }
    if (later->is_new) {
        later->is_new = false;
        return;
    }
    struct put_off now = *later;
    later->object = NULL;
    if (now.site.kind == INTERLEAVE_STORE) {
        store_now(&now.site, now.object, now.bytes, now.operand);
    } else {
        (void)modify_now(&now.site, now.object, now.bytes, now.operand);
    }
}

static void note(const struct interleave_site *site, const volatile void *object,
                 enum trace_note what)
{
    end_step(&(struct trace_step){
        .site = *site, .object = object, .thread = (uint8_t)schedule_thread(), .note = what});
}

static void put_off_one(const struct interleave_site *site, volatile void *object, size_t bytes,
                        uint64_t operand)
{
    put_off[schedule_thread()] = (struct put_off){
        .site = *site, .object = object, .bytes = bytes, .operand = operand, .is_new = true};
    note(site, object, TRACE_PUT_OFF);
}

/* The place of an operation; others may have gone first. */
static struct memory_place *approach_place(const struct interleave_site *site,
                                           const volatile void *object)
{
    bool is_new;
    struct memory_place *place = memory_touch(object, schedule_thread(), &is_new);

    if (is_new) {
        schedule_restart(); /* from now on it is a place to switch; earlier it was none */
    }
    bool is_shared = (place->thread_mask & (place->thread_mask - 1)) != 0;
    schedule_point(is_shared && !schedule_trusts(site->file));
    place->last_thread = (uint8_t)schedule_thread();
    return place;
}

/* Its location; NULL: nobody else touches the object, and memory will do. */
static struct memory_location *approach(const struct interleave_site *site,
                                        const volatile void *object, size_t bytes)
{
    struct memory_place *place = approach_place(site, object);

    return place->location == NULL ? NULL : memory_find(place, bytes);
}

/* Mutexes and futexes always have one. */
static struct memory_location *approach_lock(const struct interleave_site *site,
                                             _Atomic uint32_t *word)
{
    return memory_find(approach_place(site, word), sizeof *word);
}

/* ---- atomics -------------------------------------------------------------------------------- */

uint64_t interleave_load(const struct interleave_site *site, const volatile void *object,
                         size_t bytes)
{
    uint16_t numbers[MEMORY_CANDIDATES_MAX];

    if (!schedule_is_on()) {
        return memory_raw_load(object, bytes);
    }
    if (suffers(site, INTERLEAVE_SKIP)) {
        note(site, object, TRACE_SKIPPED);
        return planted->value;
    }
    struct memory_location *location = approach(site, object, bytes);
    enum interleave_order order = order_of(site);
    uint32_t taken = 0;
    uint64_t newest = memory_raw_load(object, bytes), bits = newest;
    if (location != NULL) {
        uint32_t count = memory_candidates(location, schedule_thread(), order, numbers);
        taken = schedule_choose_odd(count);
        bits = memory_load(location, schedule_thread(), order, numbers[taken]);
    }
    end_step(&(struct trace_step){.site = *site,
                                  .object = object,
                                  .before = bits,
                                  .other = newest,
                                  .thread = (uint8_t)schedule_thread(),
                                  .note = taken > 0 ? TRACE_OLD : TRACE_PLAIN});
    return bits;
}

static void store_now(const struct interleave_site *site, volatile void *object, size_t bytes,
                      uint64_t value)
{
    struct memory_location *location = approach(site, object, bytes);

    enum interleave_order order = order_of(site);
    if (location != NULL) {
        memory_store(location, schedule_thread(), order, cut(value, bytes));
    } else {
        memory_raw_store(object, bytes, value);
        memory_settle(schedule_thread(), order);
    }
    schedule_note_store();
    end_step(&(struct trace_step){.site = *site,
                                  .object = object,
                                  .after = cut(value, bytes),
                                  .thread = (uint8_t)schedule_thread()});
}

void interleave_store(const struct interleave_site *site, volatile void *object, size_t bytes,
                      uint64_t value)
{
    if (!schedule_is_on()) {
        memory_raw_store(object, bytes, value);
    } else if (suffers(site, INTERLEAVE_SKIP)) {
        note(site, object, TRACE_SKIPPED);
    } else if (suffers(site, INTERLEAVE_SWAP)) {
        put_off_one(site, object, bytes, value);
    } else {
        store_now(site, object, bytes, suffers(site, INTERLEAVE_REPLACE) ? planted->value : value);
    }
}

static uint64_t result_of(enum interleave_kind kind, uint64_t before, uint64_t operand)
{
    switch ((int)kind) {
    case INTERLEAVE_ADD:
        return before + operand;
    case INTERLEAVE_SUB:
        return before - operand;
    case INTERLEAVE_OR:
        return before | operand;
    case INTERLEAVE_AND:
        return before & operand;
    default:
        Q_ASSERT(kind == INTERLEAVE_EXCHANGE);
        return operand;
    }
}

static uint64_t modify_now(const struct interleave_site *site, volatile void *object, size_t bytes,
                           uint64_t operand)
{
    struct memory_location *location = approach(site, object, bytes);
    uint32_t thread = schedule_thread();
    enum interleave_order order = order_of(site);
    uint64_t before = memory_raw_load(object, bytes);
    uint64_t after = cut(result_of(site->kind, before, operand), bytes);

    if (location != NULL) {
        (void)memory_load(location, thread, order, location->newest);
        memory_modify(location, thread, order, after);
    } else {
        memory_raw_store(object, bytes, after);
        memory_settle(thread, order);
    }
    schedule_note_store();
    end_step(&(struct trace_step){.site = *site,
                                  .object = object,
                                  .before = before,
                                  .after = after,
                                  .thread = (uint8_t)thread});
    return before;
}

/* A load and a store, with room for others between. */
static uint64_t modify_torn(const struct interleave_site *site, volatile void *object, size_t bytes,
                            uint64_t operand)
{
    struct interleave_site half = *site;

    half.kind = INTERLEAVE_LOAD;
    half.order = memory_acquires(site->order) ? INTERLEAVE_ACQUIRE : INTERLEAVE_RELAXED;
    uint64_t before = interleave_load(&half, object, bytes);
    half.kind = INTERLEAVE_STORE;
    half.order = memory_releases(site->order) ? INTERLEAVE_RELEASE : INTERLEAVE_RELAXED;
    store_now(&half, object, bytes, result_of(site->kind, before, operand));
    return before;
}

uint64_t interleave_modify(const struct interleave_site *site, volatile void *object, size_t bytes,
                           uint64_t operand)
{
    uint64_t before = memory_raw_load(object, bytes);

    if (!schedule_is_on()) {
        memory_raw_store(object, bytes, result_of(site->kind, before, operand));
    } else if (suffers(site, INTERLEAVE_SKIP)) {
        note(site, object, TRACE_SKIPPED);
        return planted->value;
    } else if (suffers(site, INTERLEAVE_SWAP)) {
        put_off_one(site, object, bytes, operand);
    } else if (suffers(site, INTERLEAVE_TEAR)) {
        return modify_torn(site, object, bytes, operand);
    } else {
        return modify_now(site, object, bytes,
                          suffers(site, INTERLEAVE_REPLACE) ? planted->value : operand);
    }
    return before;
}

/* The order of a CAS that fails. */
static enum interleave_order failure_order(enum interleave_order order)
{
    return order == INTERLEAVE_RELEASE   ? INTERLEAVE_RELAXED
           : order == INTERLEAVE_ACQ_REL ? INTERLEAVE_ACQUIRE
                                         : order;
}

static void cas_fail(const struct interleave_site *site, struct memory_location *location,
                     void *expected, uint16_t number, struct trace_step *step)
{
    enum interleave_order order = failure_order(order_of(site));
    uint64_t found = memory_load(location, schedule_thread(), order, number);

    step->other = step->before; /* what it wanted */
    step->before = found;
    step->note = found == step->other ? TRACE_ODD : TRACE_FAILED;
    memory_raw_store(expected, location->bytes, found);
}

static void cas_succeed(const struct interleave_site *site, struct memory_location *location,
                        uint64_t desired)
{
    enum interleave_order order = order_of(site);

    (void)memory_load(location, schedule_thread(), order, location->newest);
    memory_modify(location, schedule_thread(), order, desired);
    schedule_note_store();
}

static bool cas_raw(volatile void *object, size_t bytes, void *expected, uint64_t desired)
{
    uint64_t before = memory_raw_load(object, bytes);

    if (before != memory_raw_load(expected, bytes)) {
        memory_raw_store(expected, bytes, before);
        return false;
    }
    memory_raw_store(object, bytes, desired);
    return true;
}

/* On an object that nobody else touches; the weak one may still fail for no reason. */
static bool cas_alone(const struct interleave_site *site, volatile void *object, size_t bytes,
                      void *expected, uint64_t desired)
{
    uint64_t before = memory_raw_load(object, bytes), wanted = memory_raw_load(expected, bytes);
    bool is_odd =
        before == wanted && site->kind == INTERLEAVE_CAS_WEAK && schedule_choose_odd(2) > 0;
    bool is_done = !is_odd && cas_raw(object, bytes, expected, desired);

    memory_settle(schedule_thread(), order_of(site));
    end_step(&(struct trace_step){.site = *site,
                                  .object = object,
                                  .before = before,
                                  .after = desired,
                                  .other = wanted,
                                  .thread = (uint8_t)schedule_thread(),
                                  .note = is_odd    ? TRACE_ODD
                                          : is_done ? TRACE_PLAIN
                                                    : TRACE_FAILED});
    return is_done;
}

/*
 * What a CAS may do: with the newest value, succeed or fail as they compare; fail by an old value
 * that differs from what it expects; the weak one, fail by the newest though it equals it.
 */
static bool cas_now(const struct interleave_site *site, volatile void *object, size_t bytes,
                    void *expected, uint64_t desired)
{
    uint16_t numbers[MEMORY_CANDIDATES_MAX], failures[MEMORY_CANDIDATES_MAX + 1];
    struct memory_location *location = approach(site, object, bytes);
    if (location == NULL) {
        return cas_alone(site, object, bytes, expected, desired);
    }
    uint64_t wanted = memory_raw_load(expected, bytes), newest = memory_newest(location);
    uint32_t count =
        memory_candidates(location, schedule_thread(), failure_order(order_of(site)), numbers);
    uint32_t failure_count = 1;

    for (uint32_t i = 1; i < count; i++) {
        if (location->values[numbers[i] % MEMORY_VALUES_MAX].bits != wanted) {
            failures[failure_count++] = numbers[i];
        }
    }
    failures[0] = location->newest;
    if (newest == wanted && site->kind == INTERLEAVE_CAS_WEAK) {
        failures[failure_count++] = location->newest;
    }
    uint32_t taken = schedule_choose_odd(failure_count);
    bool is_done = taken == 0 && newest == wanted;
    struct trace_step step = {.site = *site,
                              .object = object,
                              .before = wanted,
                              .after = desired,
                              .thread = (uint8_t)schedule_thread()};
    if (is_done) {
        cas_succeed(site, location, desired);
    } else {
        cas_fail(site, location, expected, failures[taken], &step);
    }
    end_step(&step);
    return is_done;
}

/* As a load, a comparison and a store. */
static bool cas_torn(const struct interleave_site *site, volatile void *object, size_t bytes,
                     void *expected, uint64_t desired)
{
    struct interleave_site half = *site;
    uint64_t wanted = memory_raw_load(expected, bytes);

    half.kind = INTERLEAVE_LOAD;
    half.order = failure_order(site->order);
    uint64_t before = interleave_load(&half, object, bytes);
    if (before != wanted) {
        memory_raw_store(expected, bytes, before);
        return false;
    }
    half.kind = INTERLEAVE_STORE;
    half.order = memory_releases(site->order) ? INTERLEAVE_RELEASE : INTERLEAVE_RELAXED;
    store_now(&half, object, bytes, desired);
    return true;
}

bool interleave_cas(const struct interleave_site *site, volatile void *object, size_t bytes,
                    void *expected, uint64_t desired)
{
    desired = cut(desired, bytes);
    if (!schedule_is_on()) {
        return cas_raw(object, bytes, expected, desired);
    }
    if (suffers(site, INTERLEAVE_SKIP)) {
        note(site, object, TRACE_SKIPPED);
        return planted->value != 0;
    }
    if (suffers(site, INTERLEAVE_TEAR)) {
        return cas_torn(site, object, bytes, expected, desired);
    }
    return cas_now(site, object, bytes, expected,
                   suffers(site, INTERLEAVE_REPLACE) ? planted->value : desired);
}

void interleave_compiler_barrier(const struct interleave_site *site)
{
    if (!schedule_is_on()) {
        return;
    }
    bool is_left_out = suffers(site, INTERLEAVE_SKIP);
    if (!is_left_out) {
        memory_compiler_barrier(schedule_thread());
    }
    note(site, NULL, is_left_out ? TRACE_SKIPPED : TRACE_PLAIN);
}

/* ---- plain accesses ------------------------------------------------------------------------- */

void interleave_plain(const struct interleave_site *site, const volatile void *object, size_t bytes)
{
    if (!schedule_is_on()) {
        return;
    }
    trace_add(&(struct trace_step){
        .site = *site, .object = object, .thread = (uint8_t)schedule_thread()});
    schedule_check_plain((uintptr_t)object, bytes, site->kind == INTERLEAVE_PLAIN_WRITE, NULL);
}

/* ---- what os/ waits by ---------------------------------------------------------------------- */

/* The ranks that debug builds check; their own atomics are nobody's business here. */
static void check_order(const struct os_mutex *mutex)
{
    if (OS_MUTEX_CHECKED) {
        schedule_quiet(true);
        os_mutex_check_order(mutex);
        schedule_quiet(false);
    }
}

static void note_taken(struct os_mutex *mutex, bool is_taken)
{
    if (OS_MUTEX_CHECKED) {
        schedule_quiet(true);
        (is_taken ? os_mutex_note_taken : os_mutex_note_given)(mutex);
        schedule_quiet(false);
    }
}

static void take(struct os_mutex *mutex,
                 struct memory_location *location) Q_NO_THREAD_SAFETY_ANALYSIS
{
    memory_lock(location, schedule_thread());
    memory_raw_store(&mutex->state, sizeof mutex->state, 1);
    location->values[location->newest % MEMORY_VALUES_MAX].bits = 1;
    note_taken(mutex, true);
}

void interleave_mutex_lock(const struct interleave_site *site,
                           struct os_mutex *mutex) Q_NO_THREAD_SAFETY_ANALYSIS
{
    if (!schedule_is_on()) {
        (os_mutex_lock)(mutex);
        return;
    }
    if (suffers(site, INTERLEAVE_SKIP)) {
        note(site, mutex, TRACE_SKIPPED);
        return;
    }
    check_order(mutex);
    struct memory_location *location = approach_lock(site, &mutex->state);
    while (location->owner != 0) {
        schedule_wait_mutex(location);
    }
    take(mutex, location);
    note(site, mutex, TRACE_PLAIN);
}

bool interleave_mutex_try_lock(const struct interleave_site *site,
                               struct os_mutex *mutex) Q_NO_THREAD_SAFETY_ANALYSIS
{
    if (!schedule_is_on()) {
        return (os_mutex_try_lock)(mutex);
    }
    struct memory_location *location = approach_lock(site, &mutex->state);
    bool is_free = location->owner == 0;
    if (is_free) {
        take(mutex, location);
    }
    note(site, mutex, is_free ? TRACE_PLAIN : TRACE_FAILED);
    return is_free;
}

void interleave_mutex_unlock(const struct interleave_site *site,
                             struct os_mutex *mutex) Q_NO_THREAD_SAFETY_ANALYSIS
{
    if (!schedule_is_on()) {
        (os_mutex_unlock)(mutex);
        return;
    }
    if (suffers(site, INTERLEAVE_SKIP)) {
        note(site, mutex, TRACE_SKIPPED);
        return;
    }
    note_taken(mutex, false);
    struct memory_location *location = approach_lock(site, &mutex->state);
    memory_unlock(location, schedule_thread());
    memory_raw_store(&mutex->state, sizeof mutex->state, 0);
    location->values[location->newest % MEMORY_VALUES_MAX].bits = 0;
    schedule_note_store();
    note(site, mutex, TRACE_PLAIN);
}

void interleave_futex_wait(const struct interleave_site *site, _Atomic uint32_t *word,
                           uint32_t expected, uint64_t timeout_ns)
{
    if (!schedule_is_on()) {
        return;
    }
    struct memory_location *location = approach_lock(site, word);
    bool sleeps = memory_newest(location) == expected;
    memory_compiler_barrier(schedule_thread());
    note(site, word, sleeps ? TRACE_PLAIN : TRACE_FAILED);
    if (sleeps) {
        schedule_wait_futex(location, timeout_ns != UINT64_MAX);
    }
}

void interleave_futex_wake(const struct interleave_site *site, _Atomic uint32_t *word,
                           uint32_t waiter_count)
{
    if (!schedule_is_on()) {
        return;
    }
    if (suffers(site, INTERLEAVE_SKIP)) {
        note(site, word, TRACE_SKIPPED);
        return;
    }
    struct memory_location *location = approach_lock(site, word);
    memory_compiler_barrier(schedule_thread());
    schedule_wake_futex(location, waiter_count);
    note(site, word, TRACE_PLAIN);
}

void interleave_yield(const struct interleave_site *site)
{
    if (!schedule_is_on()) {
        return;
    }
    memory_compiler_barrier(schedule_thread());
    note(site, NULL, TRACE_PLAIN);
    schedule_yield();
}

bool os_has_process_barrier(void)
{
    return schedule_has_barrier();
}

bool interleave_process_barrier(const struct interleave_site *site)
{
    if (!schedule_has_barrier()) {
        return false;
    }
    if (!schedule_is_on()) {
        return true;
    }
    if (suffers(site, INTERLEAVE_SKIP)) {
        note(site, NULL, TRACE_SKIPPED);
        return true;
    }
    schedule_point(true);
    memory_process_barrier(schedule_thread());
    schedule_note_store();
    note(site, NULL, TRACE_PLAIN);
    return true;
}

void operations_end_thread(void)
{
    if (put_off[schedule_thread()].object != NULL) {
        put_off[schedule_thread()].is_new = false;
        interleave_compiler_barrier(INTERLEAVE_SITE(COMPILER_BARRIER, RELAXED, "at its end"));
    }
}
