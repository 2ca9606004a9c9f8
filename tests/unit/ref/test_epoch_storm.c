/*
 * Readers against those who reuse: what a reader has found stays what it is until it leaves.
 *
 * Objects are reachable by a few slots. Writers put another object into a slot, keep the old one
 * aside with its stamp, and fill it with something else once that is past. Every field of an object
 * says whose it is; a reader checks them over and over while it is inside. Fields are plain memory,
 * so that ThreadSanitizer sees a write that no epoch keeps from a reader, too.
 */
#include "unit/base/cmocka_all.h"

#include <pthread.h>
#include <stdatomic.h>

#include <ref/ref.h>

#include "unit/base/random.h"

#define SLOTS         4u
#define FIELDS        8u
#define READERS       2u
#define WRITERS       2u
#define OBJECTS       64u /* of each writer */
#define REUSES_WANTED 4000u
#define SECONDS_MAX   20u

struct object {
    uint64_t field[FIELDS];
    uint64_t stamp;
};

static struct quarry_memory *memory;
static struct quarry_epoch *epoch;
static _Atomic(struct object *) slot[SLOTS];
static _Atomic uint64_t last_name;
static atomic_uint writers_left;
static atomic_bool is_over;

static void fill(struct object *object)
{
    uint64_t name = atomic_fetch_add(&last_name, 1) + 1;

    for (uint32_t i = 0; i < FIELDS; i++) {
        object->field[i] = name;
    }
}

/* ---- readers -------------------------------------------------------------------------------- */

static void read_some(uint64_t *random)
{
    const struct object *object =
        atomic_load_explicit(&slot[random_u64(random) % SLOTS], memory_order_acquire);
    uint64_t name = object->field[0];

    for (uint64_t turns = random_u64(random) % 64; turns > 0; turns--) {
        for (uint32_t i = 0; i < FIELDS; i++) {
            Q_ASSERT(object->field[i] == name);
        }
        if (turns % 61 == 0) {
            os_yield();
        }
    }
}

static void *read_all_the_time(void *argument)
{
    uint64_t random = (uintptr_t)argument;

    while (!atomic_load_explicit(&is_over, memory_order_relaxed)) {
        quarry_epoch_enter(epoch);
        read_some(&random);
        if (random % 8 == 0) {
            quarry_epoch_enter(epoch);
            read_some(&random);
            quarry_epoch_leave(epoch);
            read_some(&random);
        }
        quarry_epoch_leave(epoch);
    }
    return NULL;
}

/* Threads that come, read and end. */
static void *read_and_end(void *argument)
{
    uint64_t random = (uintptr_t)argument;

    for (uint32_t i = 0; i < 20; i++) {
        quarry_epoch_enter(epoch);
        read_some(&random);
        quarry_epoch_leave(epoch);
    }
    return NULL;
}

static void *come_and_go(void *argument)
{
    for (uintptr_t i = (uintptr_t)argument; !atomic_load(&is_over); i++) {
        pthread_t thread;
        Q_ASSERT(pthread_create(&thread, NULL, read_and_end, (void *)i) == 0);
        Q_ASSERT(pthread_join(thread, NULL) == 0);
    }
    return NULL;
}

/* ---- writers -------------------------------------------------------------------------------- */

struct writer {
    struct object object[OBJECTS];
    struct object *idle[OBJECTS + SLOTS]; /* may be filled */
    uint32_t idle_count;
    struct object *aside[2 * OBJECTS + SLOTS]; /* waiting, oldest first */
    uint32_t aside_count;
    uint64_t reuse_count;
    uint64_t random;
};

static struct writer writers[WRITERS];

static void reuse_what_is_past(struct writer *writer)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < writer->aside_count; i++) {
        struct object *object = writer->aside[i];
        if (writer->idle_count < OBJECTS && ref_epoch_is_past(epoch, object->stamp)) {
            fill(object); /* at once: the worst that can be done to a reader */
            writer->idle[writer->idle_count++] = object;
            writer->reuse_count++;
        } else {
            writer->aside[kept++] = object;
        }
    }
    writer->aside_count = kept;
}

static void *replace(void *argument)
{
    struct writer *writer = argument;
    uint64_t deadline_ns = os_monotonic_ns(os_real()) + SECONDS_MAX * Q_SECOND_NS;

    /* Nobody is held up for ever: some of them are reused, however long it takes. */
    while (writer->reuse_count < OBJECTS ||
           (writer->reuse_count < REUSES_WANTED && os_monotonic_ns(os_real()) < deadline_ns)) {
        while (writer->idle_count > 0 && writer->aside_count < 2 * OBJECTS) {
            struct object *next = writer->idle[--writer->idle_count];
            struct object *old = atomic_exchange_explicit(
                &slot[random_u64(&writer->random) % SLOTS], next, memory_order_acq_rel);
            old->stamp = ref_epoch_now(epoch);
            writer->aside[writer->aside_count++] = old;
        }
        ref_epoch_advance(epoch);
        reuse_what_is_past(writer);
    }
    (void)atomic_fetch_sub(&writers_left, 1);
    return NULL;
}

static void writer_begin(struct writer *writer, uint32_t number)
{
    *writer = (struct writer){.random = number};
    for (uint32_t i = 0; i < OBJECTS; i++) {
        fill(&writer->object[i]);
        writer->idle[writer->idle_count++] = &writer->object[i];
    }
}

/* ---- the storm ------------------------------------------------------------------------------ */

static void what_a_reader_found_is_not_reused_while_it_is_inside(void **state)
{
    (void)state;
    static struct object first[SLOTS];
    pthread_t thread[READERS + WRITERS + 1];
    uint32_t thread_count = 0;

    for (uint32_t i = 0; i < SLOTS; i++) {
        fill(&first[i]);
        atomic_store(&slot[i], &first[i]);
    }
    atomic_store(&writers_left, WRITERS);
    for (uintptr_t i = 0; i < READERS; i++) {
        assert_int_equal(
            pthread_create(&thread[thread_count++], NULL, read_all_the_time, (void *)(i + 1)), 0);
    }
    assert_int_equal(pthread_create(&thread[thread_count++], NULL, come_and_go, (void *)99), 0);
    for (uint32_t i = 0; i < WRITERS; i++) {
        writer_begin(&writers[i], i + 7);
        assert_int_equal(pthread_create(&thread[thread_count++], NULL, replace, &writers[i]), 0);
    }
    while (atomic_load(&writers_left) > 0) {
        os_sleep_ns(Q_MS_NS);
    }
    atomic_store(&is_over, true);
    for (uint32_t i = 0; i < thread_count; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    assert_null(epoch->readers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_reader_found_is_not_reused_while_it_is_inside),
    };
    struct quarry_memory_options options = {.limit_bytes = Q_MIB(64), .has_no_thread = true};

    Q_ASSERT(quarry_memory_create(&options, &memory, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_epoch_create(memory, &epoch) == QUARRY_OK);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    quarry_epoch_destroy(epoch);
    quarry_memory_destroy(memory);
    return failed;
}
