/*
 * Hooks: ticks of several layers, their removal, and ends in reverse order.
 */
#include "unit/page/simulated_heap.h"

#include <pthread.h>
#include <string.h>

static char calls[32];

static void note(void *argument)
{
    size_t length = strlen(calls);

    assert_true(length + 1 < sizeof(calls));
    calls[length] = *(const char *)argument;
}

static int set_up(void **state)
{
    memset(calls, 0, sizeof(calls));
    return heap_set_up(state);
}

static void turn(void)
{
    os_sim_advance(&sim, PAGE_GENERATION_NS);
    page_scavenger_tick(heap);
}

static void every_layer_has_its_tick(void **state)
{
    (void)state;
    char names[] = "abcdefghi";

    for (uint32_t i = 0; i < PAGE_HOOKS_MAX; i++) {
        assert_int_equal(page_heap_add_tick(heap, note, &names[i]), QUARRY_OK);
    }
    assert_int_equal(page_heap_add_tick(heap, note, &names[8]), QUARRY_TOO_MANY);
    turn();
    assert_string_equal(calls, "abcdefgh");
    page_scavenger_tick(heap); /* no generation has passed */
    assert_string_equal(calls, "abcdefgh");
    page_heap_remove_tick(heap, note, &names[1]);
    page_heap_remove_tick(heap, note, &names[8]); /* was never there */
    turn();
    assert_string_equal(calls, "abcdefghacdefgh");
    assert_int_equal(page_heap_add_tick(heap, note, &names[8]), QUARRY_OK);
    turn();
    assert_string_equal(calls, "abcdefghacdefghaicdefgh");
}

static _Atomic uint32_t is_inside, may_leave, has_left;

static void stay(void *argument)
{
    (void)argument;
    atomic_store_release_u32(&is_inside, 1);
    while (!atomic_load_acquire_u32(&may_leave)) {
        os_yield();
    }
    os_sleep_ns(5 * Q_MS_NS);
    atomic_store_release_u32(&has_left, 1);
}

static void *tick_once(void *argument)
{
    (void)argument;
    turn();
    return NULL;
}

static void removal_waits_until_the_tick_has_been_left(void **state)
{
    (void)state;
    pthread_t thread;

    assert_int_equal(page_heap_add_tick(heap, stay, NULL), QUARRY_OK);
    assert_int_equal(pthread_create(&thread, NULL, tick_once, NULL), 0);
    while (!atomic_load_acquire_u32(&is_inside)) {
        os_yield();
    }
    atomic_store_release_u32(&may_leave, 1);
    page_heap_remove_tick(heap, stay, NULL);
    assert_int_equal(atomic_load_acquire_u32(&has_left), 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void ends_are_called_last_added_first(void **state)
{
    (void)state;
    static char names[] = "abcdefghi";

    for (uint32_t i = 0; i < PAGE_HOOKS_MAX; i++) {
        assert_int_equal(page_heap_add_end(heap, note, &names[i]), QUARRY_OK);
    }
    assert_int_equal(page_heap_add_end(heap, note, &names[8]), QUARRY_TOO_MANY);
    page_heap_remove_end(heap, note, &names[2]);
    page_heap_remove_end(heap, note, &names[8]);
    heap_restart(&(struct heap_setup){0});
    assert_string_equal(calls, "hgfedba");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, heap_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_layer_has_its_tick),
        TEST(removal_waits_until_the_tick_has_been_left),
        TEST(ends_are_called_last_added_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
