/*
 * Epochs: when a stamp is past, who holds it up, and what becomes of threads that end inside.
 */
#include "unit/page/simulated_heap.h"

#include <pthread.h>
#include <stdatomic.h>

#include <ref/ref.h>

#include "unit/os/child.h"

static struct quarry_epoch *epoch;

static struct quarry_epoch *epoch_make(void)
{
    struct quarry_epoch *made = NULL;

    assert_int_equal(quarry_epoch_create((struct quarry_memory *)(void *)heap, &made), QUARRY_OK);
    return made;
}

static int set_up(void **state)
{
    (void)state;
    heap_begin(&(struct heap_setup){.has_real_backing = true});
    epoch = epoch_make();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    quarry_epoch_destroy(epoch);
    heap_end();
    return 0;
}

static void advance(uint32_t times)
{
    for (uint32_t i = 0; i < times; i++) {
        ref_epoch_advance(epoch);
    }
}

/* ---- a thread that is told when to leave ---------------------------------------------------- */

struct sitter {
    pthread_t thread;
    atomic_bool is_inside;
    atomic_bool may_leave;
    uint32_t depth;
};

static void *sit(void *argument)
{
    struct sitter *sitter = argument;

    for (uint32_t i = 0; i < sitter->depth; i++) {
        quarry_epoch_enter(epoch);
    }
    atomic_store(&sitter->is_inside, true);
    while (!atomic_load(&sitter->may_leave)) {
        os_yield();
    }
    for (uint32_t i = 0; i < sitter->depth; i++) {
        quarry_epoch_leave(epoch);
    }
    return NULL;
}

static void sitter_begin(struct sitter *sitter, uint32_t depth)
{
    *sitter = (struct sitter){.depth = depth};
    assert_int_equal(pthread_create(&sitter->thread, NULL, sit, sitter), 0);
    while (!atomic_load(&sitter->is_inside)) {
        os_yield();
    }
}

static void sitter_end(struct sitter *sitter)
{
    atomic_store(&sitter->may_leave, true);
    assert_int_equal(pthread_join(sitter->thread, NULL), 0);
}

/* ---- stamps --------------------------------------------------------------------------------- */

static void a_stamp_is_past_after_two_advances_when_nobody_is_inside(void **state)
{
    (void)state;
    uint64_t stamp = ref_epoch_now(epoch);

    assert_false(ref_epoch_is_past(epoch, stamp));
    advance(1);
    assert_false(ref_epoch_is_past(epoch, stamp));
    advance(1);
    assert_true(ref_epoch_is_past(epoch, stamp));
    assert_false(ref_epoch_is_past(epoch, ref_epoch_now(epoch)));
}

static void the_stamp_of_what_was_never_reachable_is_past_from_the_start(void **state)
{
    (void)state;
    assert_true(ref_epoch_is_past(epoch, REF_EPOCH_STAMP_PAST));
}

static void a_reader_inside_holds_up_stamps_until_it_leaves(void **state)
{
    (void)state;
    struct sitter sitter;
    sitter_begin(&sitter, 1);
    uint64_t stamp = ref_epoch_now(epoch);

    advance(20);
    assert_false(ref_epoch_is_past(epoch, stamp));
    sitter_end(&sitter);
    advance(1);
    assert_true(ref_epoch_is_past(epoch, stamp));
}

static void a_reader_that_came_later_holds_up_nothing_older(void **state)
{
    (void)state;
    struct sitter sitter;
    uint64_t stamp = ref_epoch_now(epoch);
    advance(2);
    sitter_begin(&sitter, 1);

    advance(2);
    assert_true(ref_epoch_is_past(epoch, stamp));
    sitter_end(&sitter);
}

static void the_outermost_entry_counts(void **state)
{
    (void)state;
    quarry_epoch_enter(epoch);
    uint64_t stamp = ref_epoch_now(epoch);
    advance(3);
    quarry_epoch_enter(epoch);
    quarry_epoch_enter(epoch);
    quarry_epoch_leave(epoch);
    quarry_epoch_leave(epoch);
    advance(3);
    assert_false(ref_epoch_is_past(epoch, stamp));
    quarry_epoch_leave(epoch);
    advance(1);
    assert_true(ref_epoch_is_past(epoch, stamp));
}

static void entries_nest_4095_deep(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < REF_EPOCH_DEPTH_MASK; i++) {
        quarry_epoch_enter(epoch);
    }
    uint64_t stamp = ref_epoch_now(epoch);
    for (uint32_t i = 0; i < REF_EPOCH_DEPTH_MASK - 1; i++) {
        quarry_epoch_leave(epoch);
    }
    advance(3);
    assert_false(ref_epoch_is_past(epoch, stamp));
    quarry_epoch_leave(epoch);
    advance(1);
    assert_true(ref_epoch_is_past(epoch, stamp));
}

static void domains_do_not_hold_each_other_up(void **state)
{
    (void)state;
    struct quarry_epoch *other = epoch_make();
    uint64_t stamp = ref_epoch_now(epoch);

    quarry_epoch_enter(other);
    advance(2);
    assert_true(ref_epoch_is_past(epoch, stamp));
    quarry_epoch_leave(other);
    quarry_epoch_destroy(other);
}

/* ---- who has been inside longest ------------------------------------------------------------ */

static void the_age_of_the_oldest_reader_is_told(void **state)
{
    (void)state;
    struct sitter old, young;
    assert_int_equal(ref_epoch_oldest_ns(epoch), 0);
    sitter_begin(&old, 1);
    assert_int_equal(ref_epoch_oldest_ns(epoch), 1); /* inside, and just seen */
    os_sim_advance(&sim, 5000);
    sitter_begin(&young, 2);
    advance(1);
    os_sim_advance(&sim, 3000);
    assert_int_equal(ref_epoch_oldest_ns(epoch), 8000);
    sitter_end(&old);
    assert_int_equal(ref_epoch_oldest_ns(epoch), 3000);
    sitter_end(&young);
    assert_int_equal(ref_epoch_oldest_ns(epoch), 0);
}

static void a_reader_that_came_back_is_young_again(void **state)
{
    (void)state;
    quarry_epoch_enter(epoch);
    advance(1);
    os_sim_advance(&sim, 5000);
    quarry_epoch_leave(epoch);
    advance(1);
    quarry_epoch_enter(epoch);
    assert_int_equal(ref_epoch_oldest_ns(epoch), 1);
    os_sim_advance(&sim, 70);
    assert_int_equal(ref_epoch_oldest_ns(epoch), 70);
    quarry_epoch_leave(epoch);
}

/* ---- threads that end ----------------------------------------------------------------------- */

static void *enter_and_end(void *argument)
{
    (void)argument;
    quarry_epoch_enter(epoch);
    return NULL;
}

static void *enter_and_leave(void *argument)
{
    (void)argument;
    quarry_epoch_enter(epoch);
    quarry_epoch_leave(epoch);
    return NULL;
}

static void a_thread_that_ends_inside_has_left(void **state)
{
    (void)state;
    uint64_t stamp = ref_epoch_now(epoch);

    in_thread(enter_and_end, NULL);
    assert_null(epoch->readers);
    assert_int_equal(ref_epoch_oldest_ns(epoch), 0);
    advance(2);
    assert_true(ref_epoch_is_past(epoch, stamp));
}

static void threads_that_end_leave_no_reader_behind(void **state)
{
    (void)state;
    struct sitter sitters[5];

    for (uint32_t i = 0; i < 5; i++) {
        sitter_begin(&sitters[i], 1);
    }
    in_thread(enter_and_leave, NULL);
    for (uint32_t i = 0; i < 5; i++) { /* first the last, then the first, then one between */
        sitter_end(&sitters[(i * 2 + 4) % 5]);
    }
    assert_null(epoch->readers);
}

static pthread_key_t late_key;
static uint64_t late_stamp;
static bool was_late_stamp_held;

/* Runs in an ending thread, after the exit hook at the latest in its second round. */
static void late_destructor(void *round)
{
    if (round != (void *)3) {
        pthread_setspecific(late_key, (void *)((uintptr_t)round + 1));
        return;
    }
    quarry_epoch_enter(epoch);
    quarry_epoch_enter(epoch);
    late_stamp = ref_epoch_now(epoch);
    advance(3);
    was_late_stamp_held = !ref_epoch_is_past(epoch, late_stamp) && ref_epoch_oldest_ns(epoch) > 0;
    quarry_epoch_leave(epoch);
    quarry_epoch_leave(epoch);
}

static void *enter_in_destructor(void *argument)
{
    quarry_epoch_enter(epoch);
    quarry_epoch_leave(epoch);
    pthread_setspecific(late_key, (void *)1);
    return argument;
}

static void destructors_of_ended_threads_may_read_and_leave_nothing_behind(void **state)
{
    (void)state;
    assert_int_equal(pthread_key_create(&late_key, late_destructor), 0);
    was_late_stamp_held = false;
    in_thread(enter_in_destructor, NULL);
    assert_true(was_late_stamp_held);
    assert_null(epoch->readers);
    assert_int_equal(epoch->stranger_count, 0);
    advance(2);
    assert_true(ref_epoch_is_past(epoch, late_stamp));
    assert_int_equal(pthread_key_delete(late_key), 0);
}

/* ---- making and ending ---------------------------------------------------------------------- */

static void sixteen_domains_are_the_most(void **state)
{
    (void)state;
    struct quarry_epoch *more[QUARRY_EPOCHS_MAX - 1], *one_too_many = NULL;

    for (uint32_t i = 0; i < QUARRY_EPOCHS_MAX - 1; i++) {
        more[i] = epoch_make();
    }
    assert_int_equal(quarry_epoch_create((struct quarry_memory *)(void *)heap, &one_too_many),
                     QUARRY_TOO_MANY);
    assert_null(one_too_many);
    for (uint32_t i = 0; i < QUARRY_EPOCHS_MAX - 1; i++) {
        quarry_epoch_destroy(more[i]);
    }
}

static void a_domain_in_the_place_of_another_knows_none_of_its_readers(void **state)
{
    (void)state;
    struct sitter sitter;

    quarry_epoch_enter(epoch);
    quarry_epoch_leave(epoch);
    quarry_epoch_destroy(epoch);
    epoch = epoch_make();
    uint64_t stamp = ref_epoch_now(epoch);
    assert_null(epoch->readers);
    sitter_begin(&sitter, 1);
    quarry_epoch_enter(epoch);
    advance(3);
    assert_false(ref_epoch_is_past(epoch, stamp));
    quarry_epoch_leave(epoch);
    sitter_end(&sitter);
    advance(1);
    assert_true(ref_epoch_is_past(epoch, stamp));
}

static void a_domain_that_no_memory_is_left_for_is_refused(void **state)
{
    (void)state;
    struct quarry_epoch *refused = NULL;
    struct quarry_memory *memory = (struct quarry_memory *)(void *)heap;
    struct quarry_epoch *made[QUARRY_EPOCHS_MAX];
    uint32_t made_count = 0;
    void *pieces[64];
    uint32_t piece_count = 0;

    /* What is committed for small structures is used up, and there will be no more. */
    os_sim_fail_at(&sim, OS_SIM_COMMIT, 0, OS_SIM_FOR_EVER, QUARRY_NO_MEMORY);
    while (piece_count < 64 && page_metadata_take(&heap->metadata, PAGE_METADATA_PIECE_MAX_BYTES,
                                                  &pieces[piece_count]) == QUARRY_OK) {
        piece_count++;
    }
    enum quarry_status status = QUARRY_OK;
    while (made_count < QUARRY_EPOCHS_MAX &&
           (status = quarry_epoch_create(memory, &refused)) == QUARRY_OK) {
        made[made_count++] = refused;
    }
    os_sim_fail_clear(&sim);
    for (uint32_t i = 0; i < piece_count; i++) {
        page_metadata_give(&heap->metadata, pieces[i], PAGE_METADATA_PIECE_MAX_BYTES);
    }
    for (uint32_t i = 0; i < made_count; i++) {
        quarry_epoch_destroy(made[i]);
    }
    assert_true(status == QUARRY_NO_MEMORY || made_count == QUARRY_EPOCHS_MAX - 1);
    assert_true(piece_count < 64);
}

/* ---- misuse --------------------------------------------------------------------------------- */

static void destroy_inside(void *argument)
{
    (void)argument;
    quarry_epoch_enter(epoch);
    quarry_epoch_destroy(epoch);
}

static void leave_too_often(void *argument)
{
    (void)argument;
    quarry_epoch_enter(epoch);
    quarry_epoch_leave(epoch);
    quarry_epoch_leave(epoch);
}

static void leave_without_entering(void *argument)
{
    (void)argument;
    quarry_epoch_leave(epoch);
}

static void misuse_ends_the_program_with_its_name(void **state)
{
    (void)state;
    child_assert_aborts(destroy_inside, NULL, "an epoch destroyed with somebody inside: 0x");
    child_assert_aborts(destroy_inside, NULL, "leak: epoch: reader");
    child_assert_aborts(destroy_inside, NULL, "quarry:   #0 test_ref_epoch+0x");
#ifdef QUARRY_DEBUG_CHECKS
    child_assert_aborts(destroy_inside, NULL, "quarry:   #2 test_ref_epoch+0x");
#endif
    child_assert_aborts(leave_too_often, NULL, "an epoch left that was not entered: 0x");
    child_assert_aborts(leave_without_entering, NULL, "an epoch left that was not entered: 0x");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_stamp_is_past_after_two_advances_when_nobody_is_inside),
        TEST(the_stamp_of_what_was_never_reachable_is_past_from_the_start),
        TEST(a_reader_inside_holds_up_stamps_until_it_leaves),
        TEST(a_reader_that_came_later_holds_up_nothing_older),
        TEST(the_outermost_entry_counts),
        TEST(entries_nest_4095_deep),
        TEST(domains_do_not_hold_each_other_up),
        TEST(the_age_of_the_oldest_reader_is_told),
        TEST(a_reader_that_came_back_is_young_again),
        TEST(a_thread_that_ends_inside_has_left),
        TEST(threads_that_end_leave_no_reader_behind),
        TEST(destructors_of_ended_threads_may_read_and_leave_nothing_behind),
        TEST(sixteen_domains_are_the_most),
        TEST(a_domain_in_the_place_of_another_knows_none_of_its_readers),
        TEST(a_domain_that_no_memory_is_left_for_is_refused),
        TEST(misuse_ends_the_program_with_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
