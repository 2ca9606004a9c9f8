/* Forks while threads take from an arena: in the child it is whole, and its own. */
#include "unit/arena/arena_rig.h"

#include <pthread.h>
#include <string.h>

#include "unit/os/child.h"

#define FORKS   40u
#define THREADS 3u

/* A heap on the real os: its locks are what a fork has to put right. */
static struct page_heap *real_heap;
static struct quarry_arena_keeper *keeper;
static _Atomic(void *) current; /* struct quarry_arena * */
static _Atomic bool is_over;

/* Takes and writes, step after step; the thread that fills an arena puts the next in its place. */
static void *take_for_ever(void *argument)
{
    (void)argument;
    while (!atomic_load_relaxed_bool(&is_over)) {
        struct quarry_arena *arena = atomic_load_acquire_ptr(&current);
        uint32_t offset;
        if (arena_alloc(arena, 60000, 8, &offset) == QUARRY_OK) {
            memset(arena_at(arena, offset), 'p', 60000);
        } else {
            os_yield();
        }
    }
    return NULL;
}

static void use_in_child(void *argument)
{
    struct quarry_arena *arena = argument, *next = NULL;
    struct quarry_arena_state now;
    enum quarry_status status;
    uint32_t offset, taken_count = 0;

    while ((status = quarry_arena_alloc(arena, 50000, 8, &offset)) == QUARRY_OK) {
        memset(quarry_arena_at(arena, offset), 'c', 50000);
        taken_count++;
    }
    CHILD_CHECK(status == QUARRY_NO_ADDRESS);
    CHILD_CHECK(taken_count > 0);
    quarry_arena_read(arena, &now);
    CHILD_CHECK(now.capacity_bytes - now.used_bytes < 60008);
    CHILD_CHECK(page_heap_validate(real_heap, NULL) == QUARRY_OK);
    /* Its end, and the next out of the spare. */
    quarry_arena_destroy(arena);
    CHILD_CHECK(quarry_arena_keeper_take(keeper, Q_MIB(64), &next, NULL) == QUARRY_OK);
    CHILD_CHECK(quarry_arena_alloc(next, Q_MIB(3), 8, &offset) == QUARRY_OK);
    memset(quarry_arena_at(next, offset), 'c', Q_MIB(3));
    quarry_arena_destroy(next);
    CHILD_CHECK(page_heap_validate(real_heap, NULL) == QUARRY_OK);
}

static void make_heap(struct page_lane **ret_lane)
{
    const struct page_heap_options options = {
        .limit_bytes = Q_MIB(512), .reserved_bytes = Q_GIB(4), .has_no_thread = true};
    const struct page_lane_options lane_options = {.name = "arenas", .reserved_bytes = Q_GIB(1)};

    assert_int_equal(page_heap_create(&options, &real_heap, NULL), QUARRY_OK);
    assert_int_equal(page_lane_create(real_heap, &lane_options, ret_lane, NULL), QUARRY_OK);
}

static struct quarry_arena *next_arena(void)
{
    struct quarry_arena *arena = NULL;

    assert_int_equal(quarry_arena_keeper_take(keeper, Q_MIB(64), &arena, NULL), QUARRY_OK);
    return arena;
}

static void an_arena_is_whole_in_the_child_of_a_fork(void **state)
{
    (void)state;
    struct page_lane *real_lane = NULL;
    struct quarry_arena_options options = {.lane = NULL};
    pthread_t thread[THREADS];

    make_heap(&real_lane);
    options.lane = (struct quarry_lane *)(void *)real_lane;
    assert_int_equal(quarry_arena_keeper_create((struct quarry_memory *)(void *)real_heap, &options,
                                                &keeper, NULL),
                     QUARRY_OK);
    for (uint32_t fork_count = 0; fork_count < FORKS; fork_count++) {
        struct quarry_arena *arena = next_arena();
        atomic_store_release_ptr(&current, arena);
        atomic_store_relaxed_bool(&is_over, false);
        for (uint32_t i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_create(&thread[i], NULL, take_for_ever, NULL), 0);
        }
        os_sleep_ns(fork_count % 8 * 200 * Q_US_NS);
        child_assert_succeeds(use_in_child, arena);
        atomic_store_relaxed_bool(&is_over, true);
        for (uint32_t i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_join(thread[i], NULL), 0);
        }
        assert_int_equal(page_heap_validate(real_heap, NULL), QUARRY_OK);
        quarry_arena_destroy(arena);
        /* Bare pages again, so that the next one takes steps. */
        (void)quarry_arena_keeper_reclaim(keeper, 1);
    }
    quarry_arena_keeper_destroy(keeper);
    page_heap_destroy(real_heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_arena_is_whole_in_the_child_of_a_fork),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
