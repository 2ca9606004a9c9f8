/*
 * Objects that threads give each other, and threads that come and go. Who frees an object is never
 * who allocated it for long: each object carries the pattern of its number, checked by who frees
 * it.
 */
#include "common.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct object {
    void *memory;
    size_t bytes;
    uint64_t seed;
};

static struct object object_make(uint64_t *random, size_t max)
{
    struct object object = {.bytes = random_size(random, max), .seed = random_next(random)};

    object.memory = filled(object.bytes, object.seed);
    return object;
}

static void object_end(struct object *object)
{
    if (object->memory != NULL)
        check_and_free(object->memory, object->bytes, object->seed);
    object->memory = NULL;
}

/* ---- all at once ---------------------------------------------------------------------------- */

static void churn(void *unused, unsigned index)
{
    struct object objects[500] = {{0}};
    uint64_t random = index;

    for (unsigned step = 0; step < 60000; step++) {
        struct object *object = &objects[random_next(&random) % COUNT_OF(objects)];
        object_end(object);
        *object = object_make(&random, 64 * KIB);
    }
    for (size_t i = 0; i < COUNT_OF(objects); i++)
        object_end(&objects[i]);
    (void)unused;
}

static void objects_of_eight_threads_never_overlap(void **state)
{
    (void)state;
    threads_run(8, churn, NULL);
}

static void start_together(void *argument, unsigned index)
{
    pthread_barrier_wait(argument);
    for (size_t bytes = 1; bytes < 100000; bytes = bytes * 2 + 1)
        check_and_free(filled(bytes, index), bytes, index);
}

static void a_hundred_threads_allocate_first_at_one_moment(void **state)
{
    pthread_barrier_t barrier;
    (void)state;

    for (unsigned round = 0; round < 5; round++) {
        assert_int_equal(pthread_barrier_init(&barrier, NULL, 100), 0);
        threads_run(100, start_together, &barrier);
        assert_int_equal(pthread_barrier_destroy(&barrier), 0);
    }
}

/* Slots of the whole program: a thread takes what lies there and leaves what it made. */
struct market {
    _Atomic(struct object *) slots[512];
    unsigned steps;
};

static void trade(void *argument, unsigned index)
{
    struct market *market = argument;
    uint64_t random = index + 100;

    for (unsigned step = 0; step < market->steps; step++) {
        struct object *made = malloc(sizeof *made);
        MUST(made != NULL);
        *made = object_make(&random, 32 * KIB);
        struct object *found =
            atomic_exchange(&market->slots[random_next(&random) % COUNT_OF(market->slots)], made);
        if (found != NULL)
            object_end(found);
        free(found);
    }
}

static void market_close(struct market *market)
{
    for (size_t i = 0; i < COUNT_OF(market->slots); i++) {
        struct object *found = atomic_exchange(&market->slots[i], NULL);
        if (found != NULL)
            object_end(found);
        free(found);
    }
}

static void threads_that_exchange_objects_at_random_lose_none(void **state)
{
    static struct market market = {.steps = 60000};
    (void)state;

    threads_run(8, trade, &market);
    market_close(&market);
}

static void reallocate_traded(void *argument, unsigned index)
{
    struct market *market = argument;
    uint64_t random = index + 200;

    for (unsigned step = 0; step < market->steps; step++) {
        _Atomic(struct object *) *slot =
            &market->slots[random_next(&random) % COUNT_OF(market->slots)];
        struct object *object = atomic_exchange(slot, NULL);
        if (object == NULL) {
            object = malloc(sizeof *object);
            *object = object_make(&random, 32 * KIB);
        }
        size_t bytes = random_size(&random, 32 * KIB);
        object->memory = opaque(realloc(object->memory, bytes));
        pattern_check_prefix(object->memory, bytes < object->bytes ? bytes : object->bytes,
                             object->seed);
        pattern_fill(object->memory, bytes, object->seed);
        object->bytes = bytes;
        object = atomic_exchange(slot, object);
        if (object != NULL)
            object_end(object);
        free(object);
    }
}

static void threads_reallocate_the_objects_of_others(void **state)
{
    static struct market market = {.steps = 40000};
    (void)state;

    threads_run(6, reallocate_traded, &market);
    market_close(&market);
}

static void clear_traded(void *argument, unsigned index)
{
    struct market *market = argument;
    uint64_t random = index + 300;

    for (unsigned step = 0; step < market->steps; step++) {
        struct object *made = malloc(sizeof *made);
        *made = (struct object){.bytes = random_size(&random, 16 * KIB), .seed = step};
        made->memory = opaque(calloc(1, made->bytes));
        must_be_zero(made->memory, made->bytes);
        pattern_fill(made->memory, made->bytes, made->seed);
        made = atomic_exchange(&market->slots[random_next(&random) % 64], made);
        if (made != NULL)
            object_end(made);
        free(made);
    }
}

static void calloc_is_zero_where_other_threads_left_dirt(void **state)
{
    static struct market market = {.steps = 60000};
    (void)state;

    threads_run(6, clear_traded, &market);
    market_close(&market);
}

/* ---- producers and consumers ---------------------------------------------------------------- */

#define QUEUE_OBJECTS 4096u

struct queue {
    struct object objects[QUEUE_OBJECTS];
    _Atomic uint64_t made, used;
    uint64_t count;
};

/* One thread makes, one frees. */
static void produce_or_consume(void *argument, unsigned index)
{
    struct queue *queue = argument;
    uint64_t random = 400;

    for (uint64_t i = 0; i < queue->count; i++) {
        struct object *object = &queue->objects[i % QUEUE_OBJECTS];
        if (index == 0) {
            while (i - atomic_load(&queue->used) >= QUEUE_OBJECTS)
                sched_yield();
            *object = object_make(&random, 4 * KIB);
            atomic_store(&queue->made, i + 1);
        } else {
            while (atomic_load(&queue->made) <= i)
                sched_yield();
            object_end(object);
            atomic_store(&queue->used, i + 1);
        }
    }
}

static void a_million_objects_go_from_a_producer_to_a_consumer(void **state)
{
    static struct queue queue = {.count = 1000000};
    const size_t before = resident_bytes();
    (void)state;

    threads_run(2, produce_or_consume, &queue);
    assert_true(resident_bytes() < before + 128 * MIB);
}

#define RING_THREADS 8u

struct ring {
    pthread_barrier_t barrier;
    struct object objects[RING_THREADS][RING_THREADS][100];
};

/* Each thread makes objects for every other; then each frees those made for it. */
static void all_to_all(void *argument, unsigned index)
{
    struct ring *ring = argument;
    uint64_t random = index + 500;

    for (unsigned round = 0; round < 20; round++) {
        for (unsigned to = 0; to < RING_THREADS; to++) {
            for (size_t i = 0; i < 100; i++)
                ring->objects[index][to][i] = object_make(&random, 16 * KIB);
        }
        pthread_barrier_wait(&ring->barrier);
        for (unsigned from = 0; from < RING_THREADS; from++) {
            for (size_t i = 0; i < 100; i++)
                object_end(&ring->objects[(index + from) % RING_THREADS][index][99 - i]);
        }
        pthread_barrier_wait(&ring->barrier);
    }
}

static void every_thread_frees_the_objects_of_every_other(void **state)
{
    static struct ring ring;
    (void)state;

    assert_int_equal(pthread_barrier_init(&ring.barrier, NULL, RING_THREADS), 0);
    threads_run(RING_THREADS, all_to_all, &ring);
    assert_int_equal(pthread_barrier_destroy(&ring.barrier), 0);
}

/* A pool of objects goes round a ring of threads, each of which replaces a part. */
static void a_relay_of_threads_keeps_memory_bounded(void **state)
{
    static struct object pool[20000];
    uint64_t random = 600;
    size_t before = 0;
    (void)state;

    for (unsigned round = 0; round < 30; round++) {
        for (size_t i = round % 3; i < COUNT_OF(pool); i += 3) {
            object_end(&pool[i]);
            pool[i] = object_make(&random, 2 * KIB);
        }
        if (round == 4)
            before = resident_bytes();
    }
    assert_true(resident_bytes() < before + 64 * MIB);
    for (size_t i = 0; i < COUNT_OF(pool); i++)
        object_end(&pool[i]);
}

/* ---- threads that only free, or sleep ------------------------------------------------------- */

struct hand_over {
    pthread_barrier_t barrier;
    void *objects[20000];
    unsigned rounds;
    size_t bytes, resident;
};

static void make_or_free(void *argument, unsigned index)
{
    struct hand_over *hand_over = argument;

    for (unsigned round = 0; round < hand_over->rounds; round++) {
        for (size_t i = 0; index == 0 && i < COUNT_OF(hand_over->objects); i++)
            hand_over->objects[i] = filled(hand_over->bytes, i);
        pthread_barrier_wait(&hand_over->barrier);
        for (size_t i = 0; index == 1 && i < COUNT_OF(hand_over->objects); i++)
            check_and_free(hand_over->objects[i], hand_over->bytes, i);
        pthread_barrier_wait(&hand_over->barrier);
    }
    if (index == 0)
        hand_over->resident = resident_bytes();
}

static void hand_over(unsigned rounds, size_t bytes)
{
    static struct hand_over pair;
    const size_t before = resident_bytes(), live = bytes * COUNT_OF(pair.objects);

    pair.rounds = rounds;
    pair.bytes = bytes;
    assert_int_equal(pthread_barrier_init(&pair.barrier, NULL, 2), 0);
    threads_run(2, make_or_free, &pair);
    assert_int_equal(pthread_barrier_destroy(&pair.barrier), 0);
    assert_true(pair.resident < before + 3 * live + 32 * MIB);
}

static void a_thread_that_only_frees_keeps_nothing(void **state)
{
    (void)state;
    hand_over(50, 256);
    hand_over(50, 1000);
    hand_over(10, 5000);
}

static void a_thread_that_only_frees_large_objects_keeps_nothing(void **state)
{
    (void)state;
    hand_over(3, 12 * KIB);
    hand_over(2, 20 * KIB);
}

struct dormant {
    pthread_barrier_t barrier;
    void *objects[50000];
    unsigned round;
};

/* Thread 0 allocates, then only waits while thread 1 frees and allocates as much in other sizes. */
static void sleep_or_work(void *argument, unsigned index)
{
    struct dormant *dormant = argument;

    for (size_t i = 0; index == 0 && i < COUNT_OF(dormant->objects); i++)
        dormant->objects[i] = filled(400, i);
    pthread_barrier_wait(&dormant->barrier);
    for (size_t i = 0; index == 1 && i < COUNT_OF(dormant->objects); i++)
        check_and_free(dormant->objects[i], 400, i);
    for (unsigned round = 1; index == 1 && round <= 12; round++) {
        const size_t bytes = 300 + round * 60;
        for (size_t i = 0; i < COUNT_OF(dormant->objects); i++)
            dormant->objects[i] = filled(bytes, i);
        for (size_t i = 0; i < COUNT_OF(dormant->objects); i++)
            check_and_free(dormant->objects[i], bytes, i);
    }
    pthread_barrier_wait(&dormant->barrier);
}

static void a_sleeping_owner_withholds_no_memory(void **state)
{
    static struct dormant dormant;
    const size_t before = resident_bytes();
    (void)state;

    assert_int_equal(pthread_barrier_init(&dormant.barrier, NULL, 2), 0);
    threads_run(2, sleep_or_work, &dormant);
    assert_int_equal(pthread_barrier_destroy(&dormant.barrier), 0);
    /* 50 MiB live at most. */
    assert_true(resident_bytes() < before + 200 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_of_eight_threads_never_overlap),
        cmocka_unit_test(a_hundred_threads_allocate_first_at_one_moment),
        cmocka_unit_test(threads_that_exchange_objects_at_random_lose_none),
        cmocka_unit_test(threads_reallocate_the_objects_of_others),
        cmocka_unit_test(calloc_is_zero_where_other_threads_left_dirt),
        cmocka_unit_test(a_million_objects_go_from_a_producer_to_a_consumer),
        cmocka_unit_test(every_thread_frees_the_objects_of_every_other),
        cmocka_unit_test(a_relay_of_threads_keeps_memory_bounded),
        cmocka_unit_test(a_thread_that_only_frees_keeps_nothing),
        cmocka_unit_test(a_thread_that_only_frees_large_objects_keeps_nothing),
        cmocka_unit_test(a_sleeping_owner_withholds_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
