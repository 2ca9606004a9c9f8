/*
 * Frees by other threads: they come back to the owner, whoever sleeps or ends meanwhile.
 */
#include "unit/mem/mem_rig.h"

#include <pthread.h>
#include <stdatomic.h>

#include <mem/bins.h>
#include <mem/remote.h>

#include "unit/base/random.h"
#include "unit/os/child.h"

/* Objects that one thread hands to another. */
struct parcel {
    struct mem_pool *pool;
    void *object[4096];
    uint32_t count;
    uint32_t bytes;
};

static struct parcel parcel;

static void parcel_fill(struct mem_pool *pool, uint32_t count, uint32_t bytes)
{
    parcel.pool = pool;
    parcel.count = count;
    parcel.bytes = bytes;
    for (uint32_t i = 0; i < count; i++) {
        parcel.object[i] = take(pool, bytes);
        pattern_write(parcel.object[i], bytes, i);
    }
}

static void *free_parcel(void *argument)
{
    (void)argument;
    for (uint32_t i = 0; i < parcel.count; i++) {
        pattern_check(parcel.object[i], parcel.bytes, i);
        mem_free(&objects, parcel.object[i]);
    }
    return NULL;
}

static void *fill_parcel(void *argument)
{
    parcel_fill(argument, 1000, 128);
    return NULL;
}

static void what_another_thread_freed_is_given_out_again(void **state)
{
    static const uint32_t sizes[] = {8, 16, 48, 128, 1000, 8192, 32768};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        parcel_fill(objects.general_pool, 300, sizes[i]);
        uint64_t pages = pool_pages(objects.general_pool);
        in_thread(free_parcel, NULL);
        mem_check();
        parcel_fill(objects.general_pool, 300, sizes[i]);
        assert_true(pool_pages(objects.general_pool) <=
                    pages + mem_size_class[mem_class_of(sizes[i])].page_count);
        (void)free_parcel(NULL);
        (void)mem_heap_collect(&objects);
    }
}

static void what_ended_threads_allocated_can_be_freed(void **state)
{
    (void)state;
    in_thread(fill_parcel, objects.general_pool);
    mem_check();
    (void)free_parcel(NULL);
    mem_remote_flush(mem_thread_own(&objects));
    (void)mem_heap_collect(&objects);
    assert_int_equal(pool_pages(objects.general_pool), 0);
}

static void frees_of_the_general_pool_are_kept_back_up_to_16_kib(void **state)
{
    (void)state;
    in_thread(fill_parcel, objects.general_pool); /* 1000 objects of 128 bytes, 16 spans */
    for (uint32_t i = 0; i < parcel.count; i++) {
        mem_free(&objects, parcel.object[i]);
        assert_true(mem_thread_own(&objects)->outgoing_bytes <= MEM_OUTGOING_BYTES);
    }
    mem_remote_flush(mem_thread_own(&objects));
    assert_int_equal(mem_thread_own(&objects)->outgoing_bytes, 0);
    for (uint32_t i = 0; i < parcel.count; i++) {
        assert_false(mem_is_object(&objects, parcel.object[i]));
    }
}

/* Whose lifetime ends may have nothing in anybody's hands. */
static void frees_of_other_pools_are_told_at_once(void **state)
{
    struct mem_lifetime *lifetime = lifetime_make("window");

    (void)state;
    in_thread(fill_parcel, pool_make(lifetime, "window"));
    for (uint32_t i = 0; i < parcel.count; i++) {
        mem_free(&objects, parcel.object[i]);
        assert_false(mem_is_object(&objects, parcel.object[i]));
    }
    mem_lifetime_end(lifetime);
}

/* ---- misuse --------------------------------------------------------------------------------- */

static void *fill_one(void *argument)
{
    parcel_fill(argument, 1, 64);
    return NULL;
}

static void free_twice_remotely(void *argument)
{
    mem_free(&objects, parcel.object[0]);
    if (argument != NULL) {
        mem_remote_flush(mem_thread_own(&objects));
    }
    mem_free(&objects, parcel.object[0]);
}

static void a_second_free_by_another_thread_ends_the_program(void **state)
{
    (void)state;
    in_thread(fill_one, objects.general_pool);
    void *kept = take(objects.general_pool, 64); /* adopts the span, else it would be given back */
    assert_ptr_equal(span_of(kept), span_of(parcel.object[0]));
    child_assert_aborts(free_twice_remotely, NULL, "double free of 0x");
    in_thread(fill_one, objects.general_pool);
    child_assert_aborts(free_twice_remotely, NULL, "double free of 0x");
    child_assert_aborts(free_twice_remotely, &parcel, "double free of 0x");
    mem_free(&objects, parcel.object[0]);
    mem_free(&objects, kept);
}

/* ---- many at once --------------------------------------------------------------------------- */

#define RING_SLOTS   64u
#define RING_THREADS 4u
#define RING_STEPS   20000u

static _Atomic(void *) ring[RING_SLOTS];
static struct mem_pool *ring_pool[2];

/* Puts an object in a slot, and frees what somebody else has put there. */
static void *go_round(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument;

    for (uint32_t step = 0; step < RING_STEPS; step++) {
        size_t bytes = 1 + random_u64(&random) % (step % 97 == 0 ? 40000 : 500);
        uint64_t *object = mem_alloc(ring_pool[random_u64(&random) % 2], size_max(bytes, 8));
        Q_ASSERT(object != NULL);
        *object = (uint64_t)(uintptr_t)object;
        uint64_t *other = atomic_exchange(&ring[random_u64(&random) % RING_SLOTS], object);
        Q_ASSERT(other == NULL || *other == (uint64_t)(uintptr_t)other);
        mem_free(&objects, other);
    }
    return NULL;
}

static void threads_that_free_each_others_objects_lose_none(void **state)
{
    struct mem_lifetime *lifetime = lifetime_make("ring");
    pthread_t thread[RING_THREADS];

    (void)state;
    ring_pool[0] = objects.general_pool;
    ring_pool[1] = pool_make(lifetime, "ring");
    for (uintptr_t i = 0; i < RING_THREADS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, go_round, (void *)(i + 1)), 0);
    }
    for (uint32_t i = 0; i < RING_THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    mem_check();
    for (uint32_t i = 0; i < RING_SLOTS; i++) {
        mem_free(&objects, atomic_exchange(&ring[i], NULL));
    }
    mem_remote_flush(mem_thread_own(&objects));
    (void)mem_heap_collect(&objects);
    assert_int_equal(pool_pages(ring_pool[0]), 0);
    assert_int_equal(pool_pages(ring_pool[1]), 0);
    mem_lifetime_end(lifetime);
}

/* Its record was given up while he who freed into it had yet to mail it, and is another's now. */
static void mail_that_comes_late_does_nothing_to_who_has_the_record(void **state)
{
    struct mem_pool *pool = objects.general_pool;
    struct mem_span *records[] = {pool->large, pool->large_sampled};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(records); i++) {
        atomic_store(mem_span_remote(records[i], 0), UINT64_C(7)); /* as the last owner left it */
        mem_bins_mail(&objects, records[i]);
    }
    (void)mem_heap_collect(&objects);
    for (size_t i = 0; i < COUNT_OF(records); i++) {
        assert_int_equal(mem_span_state(records[i]), MEM_SPAN_LARGE);
        assert_int_equal(atomic_load(mem_span_remote(records[i], 0)), 7);
        assert_int_equal(atomic_load(&mem_span_cold(records[i])->mail), 0);
    }
    mem_check();
}

int main(void)
{
#define on_a_heap(test) cmocka_unit_test_setup_teardown(test, mem_set_up, mem_tear_down)
    const struct CMUnitTest tests[] = {
        on_a_heap(what_another_thread_freed_is_given_out_again),
        on_a_heap(what_ended_threads_allocated_can_be_freed),
        on_a_heap(frees_of_the_general_pool_are_kept_back_up_to_16_kib),
        on_a_heap(frees_of_other_pools_are_told_at_once),
        on_a_heap(a_second_free_by_another_thread_ends_the_program),
        on_a_heap(threads_that_free_each_others_objects_lose_none),
        on_a_heap(mail_that_comes_late_does_nothing_to_who_has_the_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
