/*
 * Spaces: bytes that grow without moving, cost what is in them, and go back at once.
 */
#include "unit/base/cmocka_all.h"

#include <string.h>

#include <quarry/memory.h>

#include <tsdb/space.h>

static struct quarry_memory *memory;
static struct quarry_account *account;
static struct quarry_lane *lane;
static struct tsdb_space space;

static int set_up(void **state)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(64), .has_no_thread = true};

    (void)state;
    assert_int_equal(quarry_memory_create(&options, &memory, NULL), QUARRY_OK);
    assert_int_equal(quarry_account_create(memory, &(struct quarry_account_options){.name = "open"},
                                           &account, NULL),
                     QUARRY_OK);
    assert_int_equal(
        quarry_lane_create(memory, &(struct quarry_lane_options){.name = "window"}, &lane, NULL),
        QUARRY_OK);
    tsdb_space_init(&space, lane, account);
    return 0;
}

static uint64_t charged_bytes(void)
{
    struct quarry_account_state state;

    quarry_account_read(account, &state);
    return state.own_bytes;
}

static uint64_t in_use_bytes(void)
{
    struct quarry_ledger_row rows[16];
    struct quarry_ledger ledger;
    size_t count = quarry_memory_ledger(memory, &ledger, rows, 16);
    uint64_t bytes = 0;

    for (size_t i = 0; i < count && i < 16; i++) {
        bytes += rows[i].owner == quarry_account_owner(account) ? rows[i].in_use_bytes : 0;
    }
    return bytes;
}

static int tear_down(void **state)
{
    (void)state;
    tsdb_space_give(&space);
    assert_int_equal(charged_bytes(), 0);
    assert_int_equal(quarry_memory_validate(memory, NULL), QUARRY_OK);
    quarry_account_destroy(account);
    quarry_lane_destroy(lane);
    quarry_memory_destroy(memory);
    return 0;
}

static void it_costs_the_pages_that_are_in_it(void **state)
{
    (void)state;
    assert_int_equal(charged_bytes(), 0);
    for (uint64_t end = 1; end < Q_MIB(3); end += 5000) {
        assert_int_equal(tsdb_space_back(&space, end), QUARRY_OK);
        assert_int_equal(charged_bytes(), size_align_up_u64(end, QUARRY_PAGE_BYTES));
        assert_int_equal(in_use_bytes(), charged_bytes());
    }
    tsdb_space_give(&space);
    assert_int_equal(charged_bytes(), 0);
    assert_int_equal(in_use_bytes(), 0);
}

static void offsets_keep_their_bytes_while_it_grows(void **state)
{
    (void)state;
    for (uint64_t at = 0; at < Q_MIB(2); at += 64) {
        assert_int_equal(tsdb_space_back(&space, at + 64), QUARRY_OK);
        char *bytes = tsdb_space_at(&space, at);
        for (uint32_t i = 0; i < 64; i++) {
            assert_int_equal(bytes[i], 0);
        }
        memset(bytes, (int)(at / 64 % 251) + 1, 64);
    }
    for (uint64_t at = 0; at < Q_MIB(2); at += 64) {
        const char *bytes = tsdb_space_at(&space, at);
        assert_int_equal((unsigned char)bytes[0], at / 64 % 251 + 1);
        assert_memory_equal(bytes, bytes + 1, 63);
    }
}

static void what_comes_back_to_the_lane_is_zero_for_the_next(void **state)
{
    struct tsdb_space next;

    (void)state;
    assert_int_equal(tsdb_space_back(&space, Q_MIB(1)), QUARRY_OK);
    memset(tsdb_space_at(&space, 0), 7, Q_KIB(64));
    tsdb_space_give(&space);
    tsdb_space_init(&next, lane, account);
    assert_int_equal(tsdb_space_back(&next, Q_KIB(64)), QUARRY_OK);
    const char *bytes = tsdb_space_at(&next, 0);
    for (uint32_t i = 0; i < Q_KIB(64); i++) {
        assert_int_equal(bytes[i], 0);
    }
    tsdb_space_give(&next);
}

static void a_place_is_contiguous_and_what_is_skipped_costs_nothing(void **state)
{
    uint64_t at = 0;

    (void)state;
    assert_int_equal(tsdb_space_place(&space, 0, Q_KIB(60), &at), QUARRY_OK);
    assert_int_equal(at, 0);
    assert_int_equal(tsdb_space_back(&space, Q_KIB(60)), QUARRY_OK);
    assert_int_equal(tsdb_space_place(&space, Q_KIB(60), Q_KIB(4), &at), QUARRY_OK);
    assert_int_equal(at, Q_KIB(60));
    assert_int_equal(tsdb_space_place(&space, Q_KIB(60), Q_KIB(4) + 1, &at), QUARRY_OK);
    assert_int_equal(at, Q_KIB(64)); /* the second segment */
    assert_int_equal(tsdb_space_place(&space, Q_KIB(64), Q_MIB(1), &at), QUARRY_OK);
    assert_int_equal(at, tsdb_space_segment_start(4));
    assert_int_equal(tsdb_space_back(&space, at + Q_MIB(1)), QUARRY_OK);
    memset(tsdb_space_at(&space, at), 1, Q_MIB(1));
    assert_int_equal(charged_bytes(), Q_MIB(1) + Q_KIB(64));
    assert_int_equal(tsdb_space_place(&space, at, TSDB_SPACE_BYTES_MAX, &at), QUARRY_NO_ADDRESS);
    assert_int_equal(tsdb_space_back(&space, TSDB_SPACE_BYTES_MAX + 1), QUARRY_NO_ADDRESS);
}

static void a_refusal_leaves_it_as_it_was(void **state)
{
    (void)state;
    assert_int_equal(tsdb_space_back(&space, Q_KIB(40)), QUARRY_OK);
    uint64_t bytes = charged_bytes();
    assert_int_equal(quarry_account_set_bounds(account, 0, bytes + Q_KIB(32)), QUARRY_OK);
    assert_int_equal(tsdb_space_back(&space, Q_KIB(65)), QUARRY_OK);
    assert_int_equal(tsdb_space_back(&space, Q_KIB(80)), QUARRY_NO_MEMORY);
    assert_int_equal(charged_bytes(), Q_KIB(72));
    assert_int_equal(quarry_account_set_bounds(account, 0, 0), QUARRY_OK);
    assert_int_equal(tsdb_space_back(&space, Q_MIB(200)),
                     QUARRY_NO_MEMORY); /* the memory's limit */
    assert_true(charged_bytes() < Q_MIB(64));
    assert_int_equal(in_use_bytes(), charged_bytes());
    assert_int_equal(tsdb_space_back(&space, Q_KIB(80)), QUARRY_OK);
}

static void a_lane_that_ends_takes_it_along(void **state)
{
    (void)state;
    assert_int_equal(tsdb_space_back(&space, Q_MIB(5)), QUARRY_OK);
    quarry_lane_end(lane);
    tsdb_space_forget(&space);
    assert_int_equal(charged_bytes(), 0);
    assert_int_equal(in_use_bytes(), 0);
}

#define SPACE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPACE_TEST(it_costs_the_pages_that_are_in_it),
        SPACE_TEST(offsets_keep_their_bytes_while_it_grows),
        SPACE_TEST(what_comes_back_to_the_lane_is_zero_for_the_next),
        SPACE_TEST(a_place_is_contiguous_and_what_is_skipped_costs_nothing),
        SPACE_TEST(a_refusal_leaves_it_as_it_was),
        SPACE_TEST(a_lane_that_ends_takes_it_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
