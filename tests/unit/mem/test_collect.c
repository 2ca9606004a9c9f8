/*
 * Collecting: empty spans of threads that sleep, by anybody who needs the memory.
 */
#include "unit/mem/mem_rig.h"

#include <pthread.h>
#include <stdatomic.h>

#include <mem/remote.h>

/* A thread that allocates, sleeps while others act, and ends. */
struct sleeper {
    pthread_t thread;
    pthread_barrier_t barrier;
    void *object[512];
    bool frees_itself;
};

static void *allocate_and_sleep(void *argument)
{
    struct sleeper *sleeper = argument;

    for (uint32_t i = 0; i < COUNT_OF(sleeper->object); i++) {
        sleeper->object[i] = take(objects.general_pool, 1000);
    }
    for (uint32_t i = 0; sleeper->frees_itself && i < COUNT_OF(sleeper->object); i++) {
        mem_free(&objects, sleeper->object[i]);
    }
    (void)pthread_barrier_wait(&sleeper->barrier); /* asleep from here */
    (void)pthread_barrier_wait(&sleeper->barrier); /* until here */
    return NULL;
}

static void put_to_sleep(struct sleeper *sleeper, bool frees_itself)
{
    sleeper->frees_itself = frees_itself;
    assert_int_equal(pthread_barrier_init(&sleeper->barrier, NULL, 2), 0);
    assert_int_equal(pthread_create(&sleeper->thread, NULL, allocate_and_sleep, sleeper), 0);
    (void)pthread_barrier_wait(&sleeper->barrier);
}

static void wake(struct sleeper *sleeper)
{
    (void)pthread_barrier_wait(&sleeper->barrier);
    assert_int_equal(pthread_join(sleeper->thread, NULL), 0);
    (void)pthread_barrier_destroy(&sleeper->barrier);
}

static void free_from(struct sleeper *sleeper, uint32_t first, uint32_t step)
{
    for (uint32_t i = first; i < COUNT_OF(sleeper->object); i += step) {
        mem_free(&objects, sleeper->object[i]);
    }
    mem_remote_flush(mem_thread_find(&objects));
}

static void spans_of_a_sleeper_that_others_emptied_are_collected(void **state)
{
    static struct sleeper sleeper;

    (void)state;
    put_to_sleep(&sleeper, false);
    uint64_t pages = pool_pages(objects.general_pool);
    assert_true(pages >= 64);
    free_from(&sleeper, 0, 1);
    assert_int_equal(pool_pages(objects.general_pool), pages);
    mem_check();
    /* All but the one that it allocates from. */
    assert_int_equal(mem_heap_collect(&objects), (pages - 1) << PAGE_SHIFT);
    assert_int_equal(pool_pages(objects.general_pool), 1);
    mem_check();
    wake(&sleeper);
    assert_int_equal(pool_pages(objects.general_pool), 0);
}

static void spans_with_an_object_in_use_are_left_to_their_thread(void **state)
{
    static struct sleeper sleeper;

    (void)state;
    put_to_sleep(&sleeper, false);
    uint64_t pages = pool_pages(objects.general_pool);
    free_from(&sleeper, 1, 2);
    assert_int_equal(mem_heap_collect(&objects), 0);
    assert_int_equal(pool_pages(objects.general_pool), pages);
    mem_check();
    /* Their mail is there still. */
    free_from(&sleeper, 0, 2);
    assert_int_equal(mem_heap_collect(&objects), (pages - 1) << PAGE_SHIFT);
    wake(&sleeper);
}

static void spans_that_a_sleeper_kept_empty_are_collected(void **state)
{
    static struct sleeper sleeper;

    (void)state;
    put_to_sleep(&sleeper, true);
    uint64_t pages = pool_pages(objects.general_pool);
    assert_true(pages > MEM_IDLE_PAGES_LEAST / 2);
    assert_int_equal(mem_heap_collect(&objects), (pages - 1) << PAGE_SHIFT);
    mem_check();
    wake(&sleeper);
}

static void a_full_budget_is_filled_from_what_a_sleeper_keeps(void **state)
{
    static struct sleeper sleeper;

    (void)state;
    put_to_sleep(&sleeper, false);
    free_from(&sleeper, 0, 1);
    (void)page_heap_trim(heap);
    uint64_t pages = pool_pages(objects.general_pool);
    assert_int_equal(page_heap_set_limit(heap, heap_committed()), QUARRY_OK);
    void *object = mem_alloc(objects.general_pool, (pages - 1) * PAGE_BYTES / 2);
    assert_non_null(object);
    mem_free(&objects, object);
    assert_int_equal(page_heap_set_limit(heap, Q_GIB(4)), QUARRY_OK);
    wake(&sleeper);
}

static void what_nobody_keeps_is_not_found_twice(void **state)
{
    (void)state;
    mem_free(&objects, take(objects.general_pool, 1000));
    (void)mem_heap_collect(&objects);
    assert_int_equal(mem_heap_collect(&objects), 0);
}

/* ---- while everybody works ------------------------------------------------------------------ */

static atomic_bool is_over;
static _Atomic(void *) swap[32];

static void *work(void *argument)
{
    uint64_t step = (uint64_t)(uintptr_t)argument;

    while (!atomic_load(&is_over)) {
        void *object = mem_alloc(objects.general_pool, 16 + step * 37 % 9000);
        Q_ASSERT(object != NULL);
        pattern_write(object, 16, step);
        mem_free(&objects, atomic_exchange(&swap[step++ % COUNT_OF(swap)], object));
    }
    return NULL;
}

static void collecting_disturbs_nobody(void **state)
{
    pthread_t thread[3];

    (void)state;
    atomic_store(&is_over, false);
    for (uintptr_t i = 0; i < COUNT_OF(thread); i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, work, (void *)i), 0);
    }
    for (uint32_t i = 0; i < 3000; i++) {
        (void)mem_heap_collect(&objects);
    }
    atomic_store(&is_over, true);
    for (uint32_t i = 0; i < COUNT_OF(thread); i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    mem_check();
    for (uint32_t i = 0; i < COUNT_OF(swap); i++) {
        mem_free(&objects, atomic_exchange(&swap[i], NULL));
    }
    mem_remote_flush(mem_thread_find(&objects));
    (void)mem_heap_collect(&objects);
    assert_int_equal(pool_pages(objects.general_pool), 0);
}

int main(void)
{
#define on_a_heap(test) cmocka_unit_test_setup_teardown(test, mem_set_up, mem_tear_down)
    const struct CMUnitTest tests[] = {
        on_a_heap(spans_of_a_sleeper_that_others_emptied_are_collected),
        on_a_heap(spans_with_an_object_in_use_are_left_to_their_thread),
        on_a_heap(spans_that_a_sleeper_kept_empty_are_collected),
        on_a_heap(a_full_budget_is_filled_from_what_a_sleeper_keeps),
        on_a_heap(what_nobody_keeps_is_not_found_twice),
        on_a_heap(collecting_disturbs_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
