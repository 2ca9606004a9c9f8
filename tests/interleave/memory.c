/*
 * Weak memory by views.
 *
 *   location:   value 0 ... value 3 ... value 5 (newest, and what memory really holds)
 *                             ^
 *   thread's view: "at least this one": it may load 3, 4 or 5, and then never an older one
 *
 * A store is known to its own thread at once and to others when they happen to load it; until then
 * they may find an older value. That one rule gives what store buffers and reordered loads show:
 * whether a store left late or a load was made early, the reader sees an old value. A release store
 * carries its thread's view, and a load that acquires it joins that view with its own: old values
 * of everything that was stored before are out of reach from then on. A modification takes the
 * newest value, always, and carries on what the value it modified released; so does a store by the
 * thread that released it. (Release sequences as in C17; C++20 has taken the latter out.)
 * Sequentially consistent accesses of one location are in one order for all; they promise nothing
 * about other locations than acquire and release do, as in C11.
 *
 * The barrier on all CPUs is a full one in each thread at one instant: its caller learns what the
 * others know, they learn what the caller knows. What a thread has stored since its last compiler
 * barrier does not count, for the compiler may have moved the store behind the loads that follow.
 *
 * Views also hold a vector clock, by which plain accesses are checked for races: an access is in
 * order after another if the thread's view has the clock that the other's thread had then.
 *
 * Objects that one thread alone touches have no values to remember; see memory_touch.
 *
 * Not modelled: a load that returns what is stored later in the schedule (load buffering), though
 * the race check finds the plain accesses that this would hurt; a store that comes, in the order of
 * its location, before one that was made earlier in the schedule; accesses of differing sizes to
 * overlapping objects.
 *
 * Source: the view machine is the one of the literature on operational semantics for C11 without
 * promises; the clocks are those of happens-before race detectors.
 */
#include "interleave/memory.h"

#include <string.h>

#include "interleave/schedule.h"

#define PLACES         32768u /* a power of two: slots for objects that are touched at all */
#define PLACES_MAX     (PLACES / 2)
#define VIEWS_MAX      8192u  /* of one schedule */
#define PLAIN_WORDS    65536u /* a power of two: 8-byte words that plain accesses touch */
#define PLAIN_ACCESSES INTERLEAVE_THREADS_MAX

/* The last accesses of a word of 8 bytes; a mask has a bit for each byte. */
struct plain_word {
    uintptr_t address;
    uint32_t schedule;
    uint8_t writer;
    uint8_t write_mask; /* 0: none */
    uint16_t write_clock;
    uint8_t read_mask[PLAIN_ACCESSES];
    uint16_t read_clock[PLAIN_ACCESSES];
};

static struct memory_location locations[MEMORY_LOCATIONS_MAX];
static uint32_t location_count;
static struct memory_place places[PLACES];
static uint32_t place_count;
static struct memory_view views[VIEWS_MAX];
static uint32_t view_count;
static struct plain_word plain_words[PLAIN_WORDS];
static uint32_t schedule_number;

static struct memory_view thread_views[INTERLEAVE_THREADS_MAX];
/* What no compiler may move any more. */
static struct memory_view settled_views[INTERLEAVE_THREADS_MAX];

uint64_t memory_raw_load(const volatile void *object, size_t bytes)
{
    switch (bytes) {
    case 1:
        return __atomic_load_n((const volatile uint8_t *)object, __ATOMIC_RELAXED);
    case 2:
        return __atomic_load_n((const volatile uint16_t *)object, __ATOMIC_RELAXED);
    case 4:
        return __atomic_load_n((const volatile uint32_t *)object, __ATOMIC_RELAXED);
    default:
        Q_ASSERT(bytes == 8);
        return __atomic_load_n((const volatile uint64_t *)object, __ATOMIC_RELAXED);
    }
}

void memory_raw_store(volatile void *object, size_t bytes, uint64_t bits)
{
    switch (bytes) {
    case 1:
        __atomic_store_n((volatile uint8_t *)object, (uint8_t)bits, __ATOMIC_RELAXED);
        break;
    case 2:
        __atomic_store_n((volatile uint16_t *)object, (uint16_t)bits, __ATOMIC_RELAXED);
        break;
    case 4:
        __atomic_store_n((volatile uint32_t *)object, (uint32_t)bits, __ATOMIC_RELAXED);
        break;
    default:
        Q_ASSERT(bytes == 8);
        __atomic_store_n((volatile uint64_t *)object, bits, __ATOMIC_RELAXED);
    }
}

void memory_reset(void)
{
    location_count = place_count = 0;
    memset(places, 0, sizeof places);
}

void memory_begin_schedule(void)
{
    schedule_number++;
    view_count = 0;
    memset(thread_views, 0, sizeof thread_views);
    for (uint32_t i = 0; i < INTERLEAVE_THREADS_MAX; i++) {
        thread_views[i].clock[i] = 1;
    }
    memcpy(settled_views, thread_views, sizeof settled_views);
}

static void view_join(struct memory_view *view, const struct memory_view *other)
{
    for (uint32_t i = 0; i < INTERLEAVE_THREADS_MAX; i++) {
        view->clock[i] = other->clock[i] > view->clock[i] ? other->clock[i] : view->clock[i];
    }
    for (uint32_t i = 0; i < location_count; i++) {
        view->seen[i] = other->seen[i] > view->seen[i] ? other->seen[i] : view->seen[i];
    }
}

static struct memory_view *view_copy(const struct memory_view *view)
{
    if (view_count == VIEWS_MAX) {
        schedule_finding(INTERLEAVE_UNBOUNDED, "more than %u releases in a schedule", VIEWS_MAX);
    }
    struct memory_view *copy = &views[view_count++];
    *copy = *view;
    return copy;
}

static struct memory_value *value_of(struct memory_location *location, uint16_t number)
{
    return &location->values[number % MEMORY_VALUES_MAX];
}

uint64_t memory_newest(const struct memory_location *location)
{
    return location->values[location->newest % MEMORY_VALUES_MAX].bits;
}

static void append(struct memory_location *location, uint64_t bits)
{
    if (location->newest == UINT16_MAX) {
        schedule_finding(INTERLEAVE_UNBOUNDED, "a location has had %u values", UINT16_MAX);
    }
    location->newest++;
    *value_of(location, location->newest) = (struct memory_value){.bits = bits};
    if (location->newest - location->floor >= (int)MEMORY_VALUES_MAX) {
        location->floor = (uint16_t)(location->newest - MEMORY_VALUES_MAX + 1);
    }
}

static struct memory_location *location_add(const volatile void *object)
{
    if (location_count == MEMORY_LOCATIONS_MAX) {
        schedule_finding(INTERLEAVE_UNBOUNDED, "more than %u atomics are shared",
                         MEMORY_LOCATIONS_MAX);
    }
    struct memory_location *location = &locations[location_count];
    *location = (struct memory_location){.address = object, .index = (uint16_t)location_count};
    location_count++;
    return location;
}

static struct memory_place *place_at(const volatile void *object)
{
    uint64_t hash = ((uintptr_t)object * UINT64_C(0x9e3779b97f4a7c15)) >> 32;

    for (;; hash++) {
        struct memory_place *place = &places[hash % PLACES];
        if (place->address == object) {
            return place;
        }
        if (place->address == NULL) {
            if (place_count++ == PLACES_MAX) {
                schedule_finding(INTERLEAVE_UNBOUNDED, "more than %u atomics", PLACES_MAX);
            }
            place->address = object;
            return place;
        }
    }
}

struct memory_place *memory_touch(const volatile void *object, uint32_t thread, bool *ret_is_new)
{
    struct memory_place *place = place_at(object);
    uint8_t mask = (uint8_t)(1u << thread), others = place->thread_mask & (uint8_t)~mask;

    *ret_is_new = others != 0 && (place->thread_mask & mask) == 0;
    if (*ret_is_new) {
        /* What the other has released here was not kept: this schedule knows too much, and is not
         * the last. */
        view_join(&thread_views[thread], &thread_views[place->last_thread]);
    }
    place->thread_mask |= mask;
    place->last_thread = (uint8_t)thread;
    if (place->location == NULL && others != 0) {
        place->location = location_add(object);
    }
    return place;
}

struct memory_location *memory_find(struct memory_place *place, size_t bytes)
{
    const volatile void *object = place->address;
    if (place->location == NULL) {
        place->location = location_add(object);
    }
    struct memory_location *location = place->location;
    uint64_t bits = memory_raw_load(object, bytes);

    if (location->schedule != schedule_number) {
        location->schedule = schedule_number;
        location->bytes = (uint8_t)bytes;
        location->newest = location->floor = location->seq_cst = 0;
        location->owner = 0;
        location->unlocked = NULL;
        location->values[0] = (struct memory_value){.bits = bits};
    } else if (location->bytes != bytes || memory_newest(location) != bits) {
        /* Somebody has written it plainly: it is a new object. */
        location->bytes = (uint8_t)bytes;
        append(location, bits);
        location->floor = location->newest;
    }
    return location;
}

uint32_t memory_candidates(const struct memory_location *location, uint32_t thread,
                           enum interleave_order order, uint16_t *ret_numbers)
{
    uint16_t oldest =
        size_max_u64(location->floor, thread_views[thread].seen[location->index]) & UINT16_MAX;
    uint32_t count = 0;

    if (order == INTERLEAVE_SEQ_CST && location->seq_cst > oldest) {
        oldest = location->seq_cst;
    }
    for (uint32_t number = location->newest + 1u; number-- > oldest;) {
        if (count == MEMORY_CANDIDATES_MAX) {
            break;
        }
        ret_numbers[count++] = (uint16_t)number;
    }
    return count;
}

void memory_settle(uint32_t thread, enum interleave_order order)
{
    if (order == INTERLEAVE_ACQ_REL || order == INTERLEAVE_SEQ_CST) {
        memory_compiler_barrier(thread);
    }
}

uint64_t memory_load(struct memory_location *location, uint32_t thread, enum interleave_order order,
                     uint16_t number)
{
    struct memory_view *view = &thread_views[thread];
    const struct memory_value *value = value_of(location, number);

    Q_ASSERT(number >= view->seen[location->index] && number <= location->newest);
    view->seen[location->index] = number;
    for (uint32_t i = 0; memory_acquires(order) && i < INTERLEAVE_THREADS_MAX; i++) {
        if (value->released[i] != NULL) {
            view_join(view, value->released[i]);
        }
    }
    if (order == INTERLEAVE_SEQ_CST && location->seq_cst < number) {
        location->seq_cst = number;
    }
    memory_settle(thread, order);
    return value->bits;
}

/* Stores `bits`; `before` is what the value before has released that goes on being released. */
static void store(struct memory_location *location, uint32_t thread, enum interleave_order order,
                  uint64_t bits, const struct memory_value *before)
{
    struct memory_view *view = &thread_views[thread];
    struct memory_value *value;

    append(location, bits);
    view->seen[location->index] = location->newest;
    value = value_of(location, location->newest);
    memcpy(value->released, before->released, sizeof value->released);
    if (memory_releases(order)) {
        value->released[thread] = view_copy(view);
    }
    if (order == INTERLEAVE_SEQ_CST) {
        location->seq_cst = location->newest;
    }
    memory_settle(thread, order);
    memory_raw_store((volatile void *)(uintptr_t)location->address, location->bytes, bits);
}

void memory_store(struct memory_location *location, uint32_t thread, enum interleave_order order,
                  uint64_t bits)
{
    struct memory_value own = {0};

    own.released[thread] = value_of(location, location->newest)->released[thread];
    store(location, thread, order, bits, &own);
}

void memory_modify(struct memory_location *location, uint32_t thread, enum interleave_order order,
                   uint64_t bits)
{
    struct memory_value all = *value_of(location, location->newest);

    store(location, thread, order, bits, &all);
}

void memory_lock(struct memory_location *location, uint32_t thread)
{
    location->owner = thread + 1;
    if (location->unlocked != NULL) {
        view_join(&thread_views[thread], location->unlocked);
    }
    memory_compiler_barrier(thread);
}

void memory_unlock(struct memory_location *location, uint32_t thread)
{
    location->owner = 0;
    location->unlocked = view_copy(&thread_views[thread]);
    memory_compiler_barrier(thread);
}

void memory_compiler_barrier(uint32_t thread)
{
    settled_views[thread] = thread_views[thread];
}

void memory_process_barrier(uint32_t thread)
{
    memory_compiler_barrier(thread);
    for (uint32_t i = 0; i < INTERLEAVE_THREADS_MAX; i++) {
        if (i != thread) {
            view_join(&thread_views[i], &settled_views[thread]);
        }
    }
    for (uint32_t i = 0; i < INTERLEAVE_THREADS_MAX; i++) {
        view_join(&thread_views[thread], &settled_views[i]);
    }
}

void memory_end_step(uint32_t thread)
{
    if (thread_views[thread].clock[thread] == UINT16_MAX) {
        schedule_finding(INTERLEAVE_UNBOUNDED, "a thread has made %u steps", UINT16_MAX);
    }
    thread_views[thread].clock[thread]++;
}

static struct plain_word *plain_word_of(uintptr_t address)
{
    uint64_t hash = ((address >> 3) * UINT64_C(0x9e3779b97f4a7c15)) >> 32;

    for (uint32_t tries = 0; tries < PLAIN_WORDS; tries++, hash++) {
        struct plain_word *word = &plain_words[hash % PLAIN_WORDS];
        if (word->schedule != schedule_number) {
            *word = (struct plain_word){.address = address, .schedule = schedule_number};
            return word;
        }
        if (word->address == address) {
            return word;
        }
    }
    schedule_finding(INTERLEAVE_UNBOUNDED, "plain accesses touch more than %u words", PLAIN_WORDS);
}

static bool knows(uint32_t thread, uint32_t other, uint16_t clock)
{
    return other == thread || thread_views[thread].clock[other] >= clock;
}

uint32_t memory_plain(uint32_t thread, uintptr_t address, size_t bytes, bool is_write)
{
    struct plain_word *word = plain_word_of(address & ~(uintptr_t)7);
    uint8_t mask = (uint8_t)(((1u << bytes) - 1) << (address & 7));
    uint16_t clock = thread_views[thread].clock[thread];

    if ((word->write_mask & mask) != 0 && !knows(thread, word->writer, word->write_clock)) {
        return word->writer;
    }
    if (!is_write) {
        word->read_mask[thread] |= mask;
        word->read_clock[thread] = clock;
        return INTERLEAVE_THREADS_MAX;
    }
    for (uint32_t i = 0; i < INTERLEAVE_THREADS_MAX; i++) {
        if ((word->read_mask[i] & mask) != 0 && !knows(thread, i, word->read_clock[i])) {
            return i;
        }
        word->read_mask[i] &= (uint8_t)~mask;
    }
    bool is_same = word->write_mask != 0 && word->writer == thread && word->write_clock == clock;
    word->write_mask = is_same ? (uint8_t)(word->write_mask | mask) : mask;
    word->writer = (uint8_t)thread;
    word->write_clock = clock;
    return INTERLEAVE_THREADS_MAX;
}
