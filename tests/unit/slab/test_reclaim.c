/*
 * A slab whose account is asked for memory by its own calls: what the reclaimer does to the slab,
 * in the same thread and in the middle of a call, is kept.
 */
#include "unit/slab/slab_rig.h"

#include <pthread.h>

#define CLASSES 60u

/* Two cells of each of many classes, taken by a thread that lives on and has its magazines. */
static pthread_barrier_t barrier;
static quarry_ref first[CLASSES], second[CLASSES];
static uint32_t given_class;
static uint32_t asked_count;
static struct quarry_account *asked;
static struct quarry_slab *own;

static size_t bytes_of(uint32_t number)
{
    return 64 + (size_t)number * 96;
}

static void *take_pairs(void *unused)
{
    struct quarry_cell cell;

    (void)unused;
    for (uint32_t i = 0; i < CLASSES; i++) {
        assert_int_equal(quarry_slab_take(own, bytes_of(i), &cell), QUARRY_OK);
        first[i] = cell.ref;
        assert_int_equal(quarry_slab_take(own, bytes_of(i), &cell), QUARRY_OK);
        second[i] = cell.ref;
    }
    (void)pthread_barrier_wait(&barrier);
    (void)pthread_barrier_wait(&barrier);
    return NULL;
}

/* Gives the other cell of the class, for which the caller is just making a magazine. */
static uint64_t give_second(void *unused, uint64_t wanted_bytes)
{
    (void)unused;
    asked_count++;
    assert_int_equal(quarry_account_set_bounds(asked, 0, 0), QUARRY_OK);
    quarry_slab_give(own, second[given_class]);
    second[given_class] = QUARRY_REF_NIL;
    return wanted_bytes;
}

static void close_ceiling(void)
{
    struct quarry_account_state state;

    quarry_account_read(asked, &state);
    assert_int_equal(quarry_account_set_bounds(asked, 0, state.charged_bytes), QUARRY_OK);
}

static void begin(void)
{
    heap_begin(&(struct heap_setup){.reserved_bytes = Q_GIB(16), .has_real_backing = true});
    struct quarry_memory *memory = (struct quarry_memory *)(void *)heap;
    const struct quarry_account_options account_options = {
        .name = "asked", .is_all_pages = true, .reclaim = give_second};
    assert_int_equal(quarry_account_create(memory, &account_options, &asked, NULL), QUARRY_OK);
    const struct quarry_slab_options options = {
        .name = "own", .account = asked, .lane = (struct quarry_lane *)(void *)lane_make("own")};
    assert_int_equal(quarry_slab_create(memory, &options, &own, NULL), QUARRY_OK);
    asked_count = 0;
}

static void end(void)
{
    quarry_slab_destroy(own);
    quarry_account_destroy(asked);
    heap_end();
}

static void a_reclaimer_that_gives_cells_makes_the_magazine_first(void **state)
{
    struct quarry_slab_stats stats;
    struct quarry_error error = {0};
    pthread_t thread;

    (void)state;
    begin();
    assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
    assert_int_equal(pthread_create(&thread, NULL, take_pairs, NULL), 0);
    (void)pthread_barrier_wait(&barrier);
    for (given_class = 0; given_class < CLASSES; given_class++) {
        close_ceiling();
        quarry_slab_give(own, first[given_class]);
    }
    assert_true(asked_count > 1);
    for (uint32_t i = 0; i < CLASSES; i++) {
        quarry_slab_give(own, second[i]);
    }
    quarry_slab_read_stats(own, &stats);
    assert_int_equal(stats.live_count, 0);
    if (quarry_slab_validate(own, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    (void)pthread_barrier_wait(&barrier);
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)pthread_barrier_destroy(&barrier);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reclaimer_that_gives_cells_makes_the_magazine_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
