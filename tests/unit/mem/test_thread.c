/*
 * Threads: what they leave behind when they end, and what may still happen while they do.
 */
#include "unit/mem/mem_rig.h"

#include <pthread.h>

#include <mem/remote.h>

static void *objects_left[200];

static void *allocate_and_leave(void *argument)
{
    struct mem_pool *pool = argument;

    for (uint32_t i = 0; i < COUNT_OF(objects_left); i++) {
        objects_left[i] = take(pool, 1 + i * 97 % 5000);
        pattern_write(objects_left[i], 1 + i * 97 % 5000, i);
    }
    return NULL;
}

static void free_what_was_left(void)
{
    for (uint32_t i = 0; i < COUNT_OF(objects_left); i++) {
        pattern_check(objects_left[i], 1 + i * 97 % 5000, i);
        mem_free(&objects, objects_left[i]);
    }
    mem_remote_flush(mem_thread_find(&objects));
    (void)mem_heap_collect(&objects);
}

static void *allocate_and_free(void *argument)
{
    struct mem_pool *pool = argument;

    for (uint32_t i = 0; i < 2000; i++) {
        mem_free(&objects, take(pool, 1 + i * 131 % 60000));
    }
    return NULL;
}

static void a_thread_that_ends_gives_every_page_back(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 10; i++) {
        in_thread(allocate_and_free, objects.general_pool);
        assert_null(objects.threads);
        assert_int_equal(pool_pages(objects.general_pool), 0);
        mem_check();
    }
}

static void what_an_ended_thread_left_in_use_stays_and_can_be_freed(void **state)
{
    (void)state;
    in_thread(allocate_and_leave, objects.general_pool);
    assert_null(objects.threads);
    mem_check();
    free_what_was_left();
    assert_int_equal(pool_pages(objects.general_pool), 0);
}

static void threads_that_come_and_go_take_no_more_than_one(void **state)
{
    (void)state;
    in_thread(allocate_and_free, objects.general_pool);
    uint64_t metadata_bytes = heap_totals().metadata_bytes;
    for (uint32_t i = 0; i < 200; i++) {
        in_thread(allocate_and_free, objects.general_pool);
    }
    assert_int_equal(heap_totals().metadata_bytes, metadata_bytes);
}

static void *free_what_was_left_in_thread(void *argument)
{
    (void)argument;
    for (uint32_t i = 0; i < COUNT_OF(objects_left); i++) {
        mem_free(&objects, objects_left[i]);
    }
    return NULL;
}

static void a_thread_that_only_frees_tells_it_when_it_ends(void **state)
{
    (void)state;
    (void)allocate_and_leave(objects.general_pool);
    in_thread(free_what_was_left_in_thread, NULL);
    for (uint32_t i = 0; i < COUNT_OF(objects_left); i++) {
        assert_false(mem_is_object(&objects, objects_left[i]));
    }
    (void)mem_heap_collect(&objects);
    mem_check();
}

/* ---- after the hook ------------------------------------------------------------------------- */

/* TSan's own thread is gone after the first round. */
#if defined(__SANITIZE_THREAD__)
#define LATE_ROUNDS 1u
#else
#define LATE_ROUNDS 3u
#endif

static pthread_key_t late_key;
static uint32_t late_count;

/* Runs after ours or before it, three times over: each needs a thread's struct anew. */
static void allocate_late(void *value)
{
    void *object = mem_alloc(objects.general_pool, 100);

    Q_ASSERT(object != NULL);
    mem_free(&objects, value);
    if (++late_count < LATE_ROUNDS) {
        (void)pthread_setspecific(late_key, object);
    } else {
        mem_free(&objects, object);
    }
}

static void *end_late(void *argument)
{
    (void)argument;
    Q_ASSERT(pthread_setspecific(late_key, take(objects.general_pool, 100)) == 0);
    return NULL;
}

static void destructors_may_allocate_and_free_after_the_hook(void **state)
{
    (void)state;
    if (OS_UNDER_TSAN) {
        skip(); /* its own state of the thread is gone by then */
    }
    assert_int_equal(pthread_key_create(&late_key, allocate_late), 0);
    for (uint32_t i = 0; i < 20; i++) {
        late_count = 0;
        in_thread(end_late, NULL);
        assert_int_equal(late_count, LATE_ROUNDS);
        assert_null(objects.threads);
        assert_int_equal(pool_pages(objects.general_pool), 0);
        mem_check();
    }
    pthread_key_delete(late_key);
}

/* ---- heaps that end before their threads ---------------------------------------------------- */

struct guest {
    pthread_barrier_t barrier; /* between each two of: first heap, no heap, second heap */
    void *object;
};

static void *use_two_heaps(void *argument)
{
    struct guest *guest = argument;

    mem_free(&objects, take(objects.general_pool, 100));
    (void)pthread_barrier_wait(&guest->barrier);
    (void)pthread_barrier_wait(&guest->barrier);
    guest->object = take(objects.general_pool, 100);
    mem_free(&objects, take(objects.general_pool, 50000));
    (void)pthread_barrier_wait(&guest->barrier);
    (void)pthread_barrier_wait(&guest->barrier);
    return NULL;
}

static void a_thread_may_outlive_the_heaps_that_it_used(void **state)
{
    struct guest guest = {.object = NULL};
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_barrier_init(&guest.barrier, NULL, 2), 0);
    mem_begin(0);
    assert_int_equal(pthread_create(&thread, NULL, use_two_heaps, &guest), 0);
    (void)pthread_barrier_wait(&guest.barrier);
    mem_end();
    mem_begin(0); /* in the same slot */
    (void)pthread_barrier_wait(&guest.barrier);
    (void)pthread_barrier_wait(&guest.barrier);
    mem_check();
    mem_free(&objects, guest.object);
    mem_end();
    (void)pthread_barrier_wait(&guest.barrier);
    assert_int_equal(pthread_join(thread, NULL), 0); /* its exit finds neither */
    (void)pthread_barrier_destroy(&guest.barrier);
}

/* ---- churn ---------------------------------------------------------------------------------- */

static void *spawn(void *argument)
{
    for (uint32_t i = 0; i < 60; i++) {
        pthread_t thread;
        Q_ASSERT(pthread_create(&thread, NULL, allocate_and_free, argument) == 0);
        Q_ASSERT(pthread_join(thread, NULL) == 0);
    }
    return NULL;
}

static void threads_that_begin_and_end_at_once_leave_nothing(void **state)
{
    pthread_t thread[4];

    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(thread); i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, spawn, objects.general_pool), 0);
    }
    for (uint32_t i = 0; i < COUNT_OF(thread); i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    (void)mem_heap_collect(&objects);
    assert_null(objects.threads);
    assert_int_equal(pool_pages(objects.general_pool), 0);
}

int main(void)
{
#define on_a_heap(test) cmocka_unit_test_setup_teardown(test, mem_set_up, mem_tear_down)
    const struct CMUnitTest tests[] = {
        on_a_heap(a_thread_that_ends_gives_every_page_back),
        on_a_heap(what_an_ended_thread_left_in_use_stays_and_can_be_freed),
        on_a_heap(threads_that_come_and_go_take_no_more_than_one),
        on_a_heap(a_thread_that_only_frees_tells_it_when_it_ends),
        on_a_heap(destructors_may_allocate_and_free_after_the_hook),
        cmocka_unit_test(a_thread_may_outlive_the_heaps_that_it_used),
        on_a_heap(threads_that_begin_and_end_at_once_leave_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
