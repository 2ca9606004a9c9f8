/* The hash index, against a plain list; and rooms, which it lives in. */
#include "profile_rig.h"

#include "unit/base/random.h"

#include <string.h>

#include <mem/index.h>

#define ENTRIES 1024u

static struct mem_index index_under_test;
static uint32_t tags[ENTRIES]; /* of numbers that are in; TAG_NONE: it is not */
#define TAG_NONE UINT32_MAX

static int set_up(void **state)
{
    (void)state;
    heap_begin(&(struct heap_setup){.has_real_backing = true});
    mem_index_init(&index_under_test, heap, ENTRIES);
    memset(tags, 0xff, sizeof(tags));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mem_index_fini(&index_under_test);
    heap_end();
    return 0;
}

static bool is_in(uint32_t tag, uint32_t number)
{
    uint32_t cursor = 0, found;

    do {
        found = mem_index_next(&index_under_test, tag, &cursor);
    } while (found != MEM_INDEX_NONE && found != number);
    return found == number;
}

static void check_all(void)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < ENTRIES; i++) {
        if (tags[i] != TAG_NONE) {
            assert_true(is_in(tags[i], i));
            count++;
        }
    }
    assert_int_equal(index_under_test.count, count);
}

static void an_empty_index_finds_nothing_and_costs_nothing(void **state)
{
    uint64_t before = heap_committed();
    uint32_t cursor = 0;

    (void)state;
    assert_int_equal(mem_index_next(&index_under_test, 5, &cursor), MEM_INDEX_NONE);
    assert_int_equal(index_under_test.room.committed_bytes, 0);
    assert_int_equal(heap_committed(), before);
}

/* Few different tags make long runs of probes, and some that wrap around. */
static void random_history(uint32_t tag_mask, uint64_t seed)
{
    for (int step = 0; step < 20000; step++) {
        uint32_t number = (uint32_t)(random_u64(&seed) % ENTRIES);
        if (tags[number] != TAG_NONE) {
            mem_index_remove(&index_under_test, tags[number], number);
            assert_false(is_in(tags[number], number));
            tags[number] = TAG_NONE;
        } else {
            tags[number] = (uint32_t)random_u64(&seed) & tag_mask;
            assert_true(mem_index_add(&index_under_test, tags[number], number));
        }
        if (step % 500 == 0) {
            check_all();
        }
    }
    check_all();
}

static void it_finds_what_was_added_and_not_removed(void **state)
{
    (void)state;
    random_history(0x7fffffff, 1);
}

static void it_does_so_when_tags_collide(void **state)
{
    (void)state;
    random_history(0x7c0, 2); /* homes crowd at 32 places, the last ones at the table's end */
}

static void it_is_full_at_its_count(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < ENTRIES; i++) {
        assert_true(mem_index_add(&index_under_test, i * 7, i));
    }
    assert_false(mem_index_add(&index_under_test, 1, 1));
    mem_index_remove(&index_under_test, 7, 1);
    assert_true(mem_index_add(&index_under_test, 7, 1));
}

static void clearing_forgets_everything(void **state)
{
    uint32_t tag, number;

    (void)state;
    for (uint32_t i = 0; i < 300; i++) {
        assert_true(mem_index_add(&index_under_test, i, i));
    }
    mem_index_clear(&index_under_test);
    for (uint32_t i = 0; i < index_under_test.capacity; i++) {
        assert_false(mem_index_at(&index_under_test, i, &tag, &number));
    }
    assert_true(mem_index_add(&index_under_test, 3, 3));
    assert_true(is_in(3, 3));
}

/* At every commit and reservation that growth makes. */
static void a_growth_that_fails_leaves_the_index_as_it_was(void **state)
{
    (void)state;
    for (uint64_t nth = 0; nth < 3; nth++) {
        os_sim_fail_at(&sim, OS_SIM_RESERVE | OS_SIM_COMMIT, nth, OS_SIM_FOR_EVER,
                       QUARRY_NO_MEMORY);
        uint32_t added = 0;
        while (added < ENTRIES && mem_index_add(&index_under_test, added * 3, added)) {
            added++;
        }
        assert_true(added < ENTRIES && os_sim_failed_count(&sim) > 0);
        os_sim_fail_clear(&sim);
        for (uint32_t i = 0; i < added; i++) {
            assert_true(is_in(i * 3, i));
        }
        for (uint32_t i = added; i < ENTRIES; i++) {
            assert_true(mem_index_add(&index_under_test, i * 3, i));
        }
        heap_check();
        mem_index_fini(&index_under_test);
        mem_index_init(&index_under_test, heap, ENTRIES);
    }
}

static void a_room_charges_what_it_commits_and_no_more(void **state)
{
    struct mem_room room;
    uint64_t before = heap_committed();

    (void)state;
    mem_room_init(&room, heap, Q_KIB(64));
    assert_true(mem_room_extend(&room, 1));
    assert_int_equal(heap_committed() - before, 4096);
    assert_true(mem_room_extend(&room, 4096));
    assert_int_equal(heap_committed() - before, 4096);
    assert_true(mem_room_extend(&room, Q_KIB(64)));
    assert_int_equal(heap_committed() - before, Q_KIB(64));
    memset(room.base, 1, Q_KIB(64));
    mem_room_fini(&room);
    assert_int_equal(heap_committed(), before);
}

#define INDEX_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        INDEX_TEST(an_empty_index_finds_nothing_and_costs_nothing),
        INDEX_TEST(it_finds_what_was_added_and_not_removed),
        INDEX_TEST(it_does_so_when_tags_collide),
        INDEX_TEST(it_is_full_at_its_count),
        INDEX_TEST(clearing_forgets_everything),
        INDEX_TEST(a_growth_that_fails_leaves_the_index_as_it_was),
        INDEX_TEST(a_room_charges_what_it_commits_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
