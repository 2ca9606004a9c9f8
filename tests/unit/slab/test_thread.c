/*
 * What threads keep, and what becomes of it when they end or others need it.
 */
#include "unit/slab/slab_rig.h"

#include <pthread.h>
#include <stdatomic.h>

#include "unit/os/child.h"

static void *take_and_give(void *argument)
{
    quarry_ref refs[300];

    (void)argument;
    for (uint32_t i = 0; i < COUNT_OF(refs); i++) {
        refs[i] = take_filled(64 + i % 5 * 100, i);
    }
    for (uint32_t i = 0; i < COUNT_OF(refs); i++) {
        if (i % 2 == 0) {
            quarry_slab_give(slab, refs[i]);
        } else {
            quarry_slab_retire(slab, refs[i]);
        }
    }
    return NULL;
}

static void a_thread_that_ends_leaves_nothing_behind(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 20; i++) {
        in_thread(take_and_give, NULL);
        struct quarry_slab_stats stats = slab_stats();
        assert_int_equal(stats.cached_bytes, 0);
        assert_int_equal(stats.live_count, 0);
        slab_check();
    }
    (void)quarry_slab_trim(slab);
    struct quarry_slab_stats stats = slab_stats();
    assert_int_equal(stats.page_bytes, 0);
    assert_true(stats.metadata_bytes < Q_KIB(160));
}

/* A thread that keeps cells while others act. */
struct sleeper {
    pthread_t thread;
    pthread_barrier_t barrier;
};

static void *keep_and_sleep(void *argument)
{
    struct sleeper *sleeper = argument;

    (void)take_and_give(NULL);
    (void)pthread_barrier_wait(&sleeper->barrier);
    (void)pthread_barrier_wait(&sleeper->barrier);
    return NULL;
}

static void put_to_sleep(struct sleeper *sleeper)
{
    assert_int_equal(pthread_barrier_init(&sleeper->barrier, NULL, 2), 0);
    assert_int_equal(pthread_create(&sleeper->thread, NULL, keep_and_sleep, sleeper), 0);
    (void)pthread_barrier_wait(&sleeper->barrier);
}

static void wake(struct sleeper *sleeper)
{
    (void)pthread_barrier_wait(&sleeper->barrier);
    assert_int_equal(pthread_join(sleeper->thread, NULL), 0);
    (void)pthread_barrier_destroy(&sleeper->barrier);
}

static void trimming_takes_what_a_sleeper_keeps(void **state)
{
    struct sleeper sleeper;

    (void)state;
    put_to_sleep(&sleeper);
    assert_true(slab_stats().cached_bytes > 0);
    assert_true(quarry_slab_trim(slab) > 0);
    assert_int_equal(slab_stats().page_bytes, 0);
    slab_check();
    wake(&sleeper);
}

static void a_page_whose_cells_a_sleeper_keeps_can_be_moved(void **state)
{
    struct sleeper sleeper;
    struct quarry_slab_page page;
    uint64_t cursor = 0;

    (void)state;
    put_to_sleep(&sleeper);
    while (quarry_slab_next_page(slab, &cursor, &page)) {
        enum quarry_status status =
            quarry_slab_move_page(slab, page.class_id, page.page, index_move, NULL);
        assert_int_equal(status, QUARRY_OK);
    }
    slab_check();
    assert_int_equal(slab_stats().moved_count, 0);
    wake(&sleeper);
}

static void cells_that_a_sleeper_keeps_serve_who_has_no_memory(void **state)
{
    struct sleeper sleeper;
    struct quarry_account_state account_state;
    struct quarry_cell cell;

    (void)state;
    put_to_sleep(&sleeper);
    quarry_account_read(account, &account_state);
    assert_int_equal(quarry_account_set_bounds(account, 0, account_state.charged_bytes), QUARRY_OK);
    for (uint32_t i = 0; i < 64; i++) {
        enum quarry_status status = quarry_slab_take(slab, 64, &cell);
        assert_int_equal(status, QUARRY_OK);
    }
    assert_int_equal(quarry_account_set_bounds(account, 0, 0), QUARRY_OK);
    wake(&sleeper);
}

static quarry_ref handed[1000];

static void *take_many(void *argument)
{
    (void)argument;
    for (uint32_t i = 0; i < COUNT_OF(handed); i++) {
        handed[i] = take_filled(200, i);
    }
    return NULL;
}

static void *give_many(void *argument)
{
    (void)argument;
    for (uint32_t i = 0; i < COUNT_OF(handed); i++) {
        assert_true(is_filled(quarry_slab_data(slab, handed[i]), 200, i));
        quarry_slab_give(slab, handed[i]);
    }
    return NULL;
}

static void another_thread_may_give_what_one_took(void **state)
{
    (void)state;
    in_thread(take_many, NULL);
    in_thread(give_many, NULL);
    assert_int_equal(slab_stats().live_count, 0);
    slab_check();
}

/* ---- batches -------------------------------------------------------------------------------- */

/* Takes some and gives them back, so many times. */
static void take_and_give_batches(size_t bytes, uint32_t count, uint32_t rounds)
{
    quarry_ref refs[256];

    assert_true(count <= COUNT_OF(refs));
    for (uint32_t round = 0; round < rounds; round++) {
        for (uint32_t i = 0; i < count; i++) {
            refs[i] = take_filled(bytes, i);
        }
        for (uint32_t i = 0; i < count; i++) {
            assert_true(is_filled(quarry_slab_data(slab, refs[i]), bytes, i));
            quarry_slab_give(slab, refs[i]);
        }
    }
}

static void batches_make_no_pages_come_and_go(void **state)
{
    (void)state;
    take_and_give_batches(4096, 100, 10);
    struct quarry_slab_stats before = slab_stats();
    take_and_give_batches(4096, 100, 100);
    struct quarry_slab_stats after = slab_stats();
    assert_int_equal(after.page_taken_count, before.page_taken_count);
    assert_int_equal(after.page_given_count, before.page_given_count);
    slab_check();
    assert_true(quarry_slab_trim(slab) > 0);
    assert_int_equal(slab_stats().page_bytes, 0);
}

static void batches_of_many_sizes_stay_within_what_a_thread_may_keep(void **state)
{
    const uint32_t size_count = 12;

    (void)state;
    for (uint32_t i = 0; i < size_count; i++) {
        take_and_give_batches(1024 + i * 400, 100, 10);
    }
    assert_true(slab_stats().cached_bytes <= SLAB_GROWN_BYTES_MAX + size_count * Q_KIB(32));
    assert_true(slab_stats().cached_bytes > SLAB_GROWN_BYTES_MAX / 2);
    slab_check();
}

static pthread_key_t late_key;

/* After all other keys' destructors, in as many rounds as there are. */
static void use_late(void *value)
{
    (void)take_and_give(NULL);
    (void)pthread_setspecific(late_key, value);
}

static void *use_at_the_end(void *argument)
{
    (void)argument;
    assert_int_equal(pthread_setspecific(late_key, &late_key), 0);
    return NULL;
}

static void a_thread_that_uses_a_slab_to_the_last_leaves_nothing_behind(void **state)
{
    (void)state;
    if (OS_UNDER_TSAN) {
        skip(); /* what it has of a thread is gone before the last round */
    }
    assert_int_equal(pthread_key_create(&late_key, use_late), 0);
    in_thread(use_at_the_end, NULL);
    assert_int_equal(pthread_key_delete(late_key), 0);
    assert_int_equal(slab_stats().cached_bytes, 0);
    assert_int_equal(slab_stats().live_count, 0);
}

/* ---- several slabs -------------------------------------------------------------------------- */

static enum quarry_status make_slab(const char *name, struct quarry_slab **ret_slab)
{
    static struct page_lane *lane;
    struct quarry_slab_options options = {.name = name};

    if (lane == NULL || page_heap_lane_of(heap, lane->base) != lane) {
        lane = lane_make("more slabs");
    }
    options.lane = (struct quarry_lane *)(void *)lane;
    return quarry_slab_create((struct quarry_memory *)(void *)heap, &options, ret_slab, NULL);
}

static void a_process_has_so_many_slabs(void **state)
{
    struct quarry_slab *more[SLAB_SLABS_MAX];

    (void)state;
    for (uint32_t i = 0; i < SLAB_SLABS_MAX - 1; i++) {
        assert_int_equal(make_slab("more", &more[i]), QUARRY_OK);
    }
    assert_int_equal(make_slab("more", &more[SLAB_SLABS_MAX - 1]), QUARRY_TOO_MANY);
    struct quarry_cell cell;
    for (uint32_t i = 0; i < SLAB_SLABS_MAX - 1; i++) {
        assert_int_equal(quarry_slab_take(more[i], 100, &cell), QUARRY_OK);
        quarry_slab_destroy(more[i]);
    }
}

struct relay {
    pthread_barrier_t barrier;
    struct quarry_slab *slab;
};

/* Uses two slabs, one after the other, in the same place of its storage. */
static void *use_two(void *argument)
{
    struct relay *relay = argument;
    struct quarry_cell cell;

    for (uint32_t i = 0; i < 2; i++) {
        (void)pthread_barrier_wait(&relay->barrier);
        assert_int_equal(quarry_slab_take(relay->slab, 100, &cell), QUARRY_OK);
        quarry_slab_give(relay->slab, cell.ref);
        (void)pthread_barrier_wait(&relay->barrier);
    }
    return NULL;
}

static void a_thread_outlives_a_slab_and_uses_the_next(void **state)
{
    struct relay relay;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_barrier_init(&relay.barrier, NULL, 2), 0);
    assert_int_equal(pthread_create(&thread, NULL, use_two, &relay), 0);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(make_slab("next", &relay.slab), QUARRY_OK);
        (void)pthread_barrier_wait(&relay.barrier);
        (void)pthread_barrier_wait(&relay.barrier);
        quarry_slab_destroy(relay.slab);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)pthread_barrier_destroy(&relay.barrier);
}

/* Uses a slab, and ends when others have as well. */
static void *use_and_end(void *argument)
{
    struct relay *relay = argument;
    struct quarry_cell cell;

    assert_int_equal(quarry_slab_take(relay->slab, 100, &cell), QUARRY_OK);
    quarry_slab_give(relay->slab, cell.ref);
    (void)pthread_barrier_wait(&relay->barrier);
    return NULL;
}

/* What an ending thread and the slab's end both do is told apart by ThreadSanitizer. */
static void a_slab_is_destroyed_while_its_threads_end(void **state)
{
    struct relay relay;
    pthread_t thread[4];

    (void)state;
    assert_int_equal(pthread_barrier_init(&relay.barrier, NULL, COUNT_OF(thread) + 1), 0);
    for (uint32_t round = 0; round < 50; round++) {
        assert_int_equal(make_slab("ended", &relay.slab), QUARRY_OK);
        for (uint32_t i = 0; i < COUNT_OF(thread); i++) {
            assert_int_equal(pthread_create(&thread[i], NULL, use_and_end, &relay), 0);
        }
        (void)pthread_barrier_wait(&relay.barrier);
        quarry_slab_destroy(relay.slab);
        for (uint32_t i = 0; i < COUNT_OF(thread); i++) {
            assert_int_equal(pthread_join(thread[i], NULL), 0);
        }
    }
    (void)pthread_barrier_destroy(&relay.barrier);
}

/* ---- misuse --------------------------------------------------------------------------------- */

static void give_twice(void *argument)
{
    quarry_ref ref = *(quarry_ref *)argument;

    quarry_slab_give(slab, ref);
    quarry_slab_give(slab, ref);
}

static void retire_twice(void *argument)
{
    quarry_ref ref = *(quarry_ref *)argument;

    quarry_slab_retire(slab, ref);
    quarry_slab_retire(slab, ref);
}

static void give_garbage(void *argument)
{
    (void)argument;
    quarry_slab_give(slab, UINT64_C(0x1234567890abcdef));
}

static void giving_what_is_stale_ends_the_program(void **state)
{
    (void)state;
    quarry_ref ref = take_filled(100, 1);
    child_assert_aborts(give_twice, &ref, "stale");
    child_assert_aborts(retire_twice, &ref, "stale");
    child_assert_aborts(give_garbage, NULL, "stale");
    quarry_slab_give(slab, ref);
}

static void end_memory(void *unused)
{
    struct quarry_slab *left;

    (void)unused;
    quarry_slab_destroy(slab);
    quarry_epoch_destroy(epoch);
    CHILD_CHECK(make_slab("left", &left) == QUARRY_OK);
    heap_end();
}

static void end_memory_before_its_epoch(void *unused)
{
    (void)unused;
    quarry_slab_destroy(slab);
    heap_end();
}

static void a_memory_does_not_end_before_its_slabs_and_epochs(void **state)
{
    (void)state;
    child_assert_aborts(end_memory, NULL, "a memory is destroyed before a slab of it");
    child_assert_aborts(end_memory_before_its_epoch, NULL, "a memory destroyed before an epoch");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, slab_set_up, slab_tear_down)
        TEST(a_thread_that_ends_leaves_nothing_behind),
        TEST(a_thread_that_uses_a_slab_to_the_last_leaves_nothing_behind),
        TEST(trimming_takes_what_a_sleeper_keeps),
        TEST(a_page_whose_cells_a_sleeper_keeps_can_be_moved),
        TEST(cells_that_a_sleeper_keeps_serve_who_has_no_memory),
        TEST(another_thread_may_give_what_one_took),
        TEST(batches_make_no_pages_come_and_go),
        TEST(batches_of_many_sizes_stay_within_what_a_thread_may_keep),
        TEST(a_process_has_so_many_slabs),
        TEST(a_thread_outlives_a_slab_and_uses_the_next),
        TEST(a_slab_is_destroyed_while_its_threads_end),
        TEST(giving_what_is_stale_ends_the_program),
        TEST(a_memory_does_not_end_before_its_slabs_and_epochs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
