/*
 * The memory of a schedule: what each location has held, and what each thread knows of it.
 */
#ifndef QUARRY_TESTS_INTERLEAVE_MEMORY_H
#define QUARRY_TESTS_INTERLEAVE_MEMORY_H

#include "interleave/interleave.h"

/* Shared locations that one exploration may touch. Doubling it doubles the cost of a release. */
#define MEMORY_LOCATIONS_MAX 512u
/* Values that a location remembers: more than a thread may be behind. */
#define MEMORY_VALUES_MAX 64u
/* How many values, the newest included, a load chooses from. */
#define MEMORY_CANDIDATES_MAX 5u

/*
 * What a thread, or a value that was released, knows: which steps of each thread came before it,
 * and how new a value of each location it must see.
 */
struct memory_view {
    uint16_t clock[INTERLEAVE_THREADS_MAX];
    uint16_t seen[MEMORY_LOCATIONS_MAX];
};

/*
 * A value, with what an acquire of it learns from each thread: what that thread's last release
 * store or modification in this value's release sequence knew. NULL: nothing.
 */
struct memory_value {
    uint64_t bits;
    const struct memory_view *released[INTERLEAVE_THREADS_MAX];
};

struct memory_location {
    const volatile void *address;
    uint16_t index;
    /* Of one schedule: */
    uint32_t schedule;
    uint8_t bytes;
    uint16_t newest;              /* number of the newest value, from 0 */
    uint16_t floor;               /* older ones are gone for everybody */
    uint16_t seq_cst;             /* sequentially consistent loads see this one or newer */
    uint32_t owner;               /* of a mutex: thread + 1, or 0 */
    struct memory_view *unlocked; /* of a mutex: what its last owner knew */
    struct memory_value values[MEMORY_VALUES_MAX];
};

/*
 * Where an object is: one that a single thread touches, in all schedules so far, has nothing to
 * remember.
 */
struct memory_place {
    const volatile void *address;
    uint8_t thread_mask;              /* who has touched it */
    uint8_t last_thread;              /* who touched it last */
    struct memory_location *location; /* NULL: not shared yet */
};

/* Forgets all locations: a new exploration. */
void memory_reset(void);
/* Everything is as memory has it, and known to everybody. */
void memory_begin_schedule(void);

/* The place of an object, which `thread` touches; `ret_is_new`: it turns out to be shared. */
struct memory_place *memory_touch(const volatile void *object, uint32_t thread, bool *ret_is_new);
/* The location of an object, in step with what memory holds: plain writes are seen here. */
struct memory_location *memory_find(struct memory_place *place, size_t bytes);
uint64_t memory_newest(const struct memory_location *location);

/*
 * What a load may return, newest first.
 * Returns: how many, at most MEMORY_CANDIDATES_MAX; numbers of values in `ret_numbers`.
 */
uint32_t memory_candidates(const struct memory_location *location, uint32_t thread,
                           enum interleave_order order, uint16_t *ret_numbers);
uint64_t memory_load(struct memory_location *location, uint32_t thread, enum interleave_order order,
                     uint16_t number);
void memory_store(struct memory_location *location, uint32_t thread, enum interleave_order order,
                  uint64_t bits);
/* The store half of a modification of the newest value. */
void memory_modify(struct memory_location *location, uint32_t thread, enum interleave_order order,
                   uint64_t bits);

void memory_lock(struct memory_location *location, uint32_t thread);
void memory_unlock(struct memory_location *location, uint32_t thread);

/* What the thread has stored may no longer be moved behind what it does next. */
void memory_compiler_barrier(uint32_t thread);
/* An operation of `order` has been: the strong ones are barriers for the compiler. */
void memory_settle(uint32_t thread, enum interleave_order order);
void memory_process_barrier(uint32_t thread);

/*
 * A plain access of up to 8 bytes within 8 aligned ones.
 * Returns: the thread that it races with, or INTERLEAVE_THREADS_MAX.
 */
uint32_t memory_plain(uint32_t thread, uintptr_t address, size_t bytes, bool is_write);
/* Ends a step: what the thread does next is not part of what it has released. */
void memory_end_step(uint32_t thread);

/* Past the checker: memory as it is. */
uint64_t memory_raw_load(const volatile void *object, size_t bytes);
void memory_raw_store(volatile void *object, size_t bytes, uint64_t bits);

static inline bool memory_acquires(enum interleave_order order)
{
    return order == INTERLEAVE_ACQUIRE || order == INTERLEAVE_ACQ_REL ||
           order == INTERLEAVE_SEQ_CST;
}

static inline bool memory_releases(enum interleave_order order)
{
    return order == INTERLEAVE_RELEASE || order == INTERLEAVE_ACQ_REL ||
           order == INTERLEAVE_SEQ_CST;
}

#endif
