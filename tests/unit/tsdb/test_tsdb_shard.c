/*
 * Chunklets that requests promise and use, one request between the steps of another.
 */
#include "unit/base/cmocka_all.h"

#include <string.h>

#include <quarry/memory.h>

#include <tsdb/shard.h>

static struct quarry_memory *memory;
static struct quarry_account *account;
static struct quarry_lane *lane;
static struct tsdb_open_shard shard;
static struct tsdb_chain chain;
static struct tsdb_head head;
static int64_t t_ms;

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
    shard = (struct tsdb_open_shard){.used_count = 0};
    chain = (struct tsdb_chain){TSDB_CHUNKLET_NONE, TSDB_CHUNKLET_NONE};
    head = (struct tsdb_head){.tail = TSDB_CHUNKLET_NONE};
    t_ms = 0;
    tsdb_space_init(&shard.chunklets, lane, account);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(shard.holder_count, 0);
    assert_int_equal(shard.promised_count, 0);
    assert_int_equal(shard.left_count, 0);
    tsdb_space_give(&shard.chunklets);
    quarry_account_destroy(account);
    quarry_lane_destroy(lane);
    quarry_memory_destroy(memory);
    return 0;
}

/* A value that fits no code but its 64 bits, at a time that nobody expects. */
static struct tsdb_sample next_sample(void)
{
    t_ms += 1 + t_ms % 7 * 1000;
    uint64_t bits = (uint64_t)t_ms * UINT64_C(0x9e3779b97f4a7c15);
    return (struct tsdb_sample){t_ms, (bits & ~(UINT64_C(0x7ff) << 52)) | UINT64_C(1) << 61};
}

static void promise(uint32_t count, bool is_frugal)
{
    uint64_t end = tsdb_shard_promise(&shard, count, is_frugal);

    assert_int_equal(tsdb_space_back(&shard.chunklets, end), QUARRY_OK);
}

static void append(uint32_t *promised)
{
    tsdb_shard_append(&shard, &chain, &head, next_sample(), promised);
}

/* A chain whose last chunklet has room for one sample more and for no other. */
static void fill(void)
{
    uint32_t promised = 100;

    promise(promised, false);
    append(&promised);
    for (;;) {
        struct tsdb_head after = head;
        struct tsdb_chunklet *tail = tsdb_open_chunklet(&shard, head.tail);
        int64_t before_ms = t_ms;
        assert_true(tsdb_head_fits(&head, tail, next_sample()));
        t_ms = before_ms;
        struct tsdb_chunklet copy = *tail;
        (void)tsdb_head_append(&after, &copy, next_sample(), (struct tsdb_spare){0});
        bool is_last = !tsdb_head_fits(&after, &copy, next_sample());
        t_ms = before_ms;
        if (is_last) {
            break;
        }
        append(&promised);
    }
    tsdb_shard_release(&shard, promised, false, true);
    assert_int_equal(shard.promised_count, 0);
}

static bool fits(void)
{
    int64_t before_ms = t_ms;
    bool has_room = tsdb_shard_has_room(&shard, &chain, &head, next_sample());

    t_ms = before_ms;
    return has_room;
}

static bool can_append(bool is_late)
{
    int64_t before_ms = t_ms;
    bool can = tsdb_shard_can_append(&shard, &chain, &head, next_sample(), is_late);

    t_ms = before_ms;
    return can;
}

/* What fits takes no chunklet, what does not takes one: for every place within one. */
static void what_is_said_to_fit_does(void **state)
{
    uint32_t promised = 1000, taken_count = 0;

    (void)state;
    promise(promised, false);
    append(&promised);
    for (uint32_t i = 0; i < 3000; i++) {
        uint32_t before = promised;
        bool has_room = fits();
        if (i % 5 == 0) { /* a repeat: it always does */
            struct tsdb_sample sample = {head.t_ms + head.step_ms, head.bits};
            assert_true(tsdb_shard_has_room(&shard, &chain, &head, sample));
            tsdb_shard_append(&shard, &chain, &head, sample, &promised);
            assert_int_equal(promised, before);
            t_ms = sample.t_ms;
            continue;
        }
        append(&promised);
        assert_int_equal(before - promised, has_room ? 0 : 1);
        taken_count += !has_room;
    }
    assert_true(taken_count > 100);
    tsdb_shard_release(&shard, promised, false, true);
}

static void a_frugal_request_takes_what_another_has_over(void **state)
{
    uint32_t none = 0, promised = 1;

    (void)state;
    fill();
    assert_true(tsdb_shard_may_be_frugal(&shard) && fits());
    promise(0, true);
    assert_false(tsdb_shard_may_be_frugal(&shard)); /* the second is not */
    promise(1, false);
    append(&promised); /* and comes first */
    assert_int_equal(promised, 1);
    assert_false(fits() || can_append(false));
    tsdb_shard_release(&shard, promised, false, true);
    assert_int_equal(shard.left_count, 1);
    assert_true(can_append(false) && can_append(true));
    uint32_t used_count = shard.used_count;
    append(&none);
    assert_int_equal(shard.used_count, used_count + 1);
    assert_int_equal(shard.left_count, 0);
    tsdb_shard_release(&shard, 0, true, true);
}

static void what_is_left_goes_with_the_frugal_request(void **state)
{
    (void)state;
    fill();
    promise(0, true);
    promise(3, false);
    tsdb_shard_release(&shard, 3, false, true);
    assert_int_equal(shard.promised_count, 3);
    promise(2, false);
    tsdb_shard_release(&shard, 0, true, true);
    assert_int_equal(shard.left_count, 0);
    assert_int_equal(shard.promised_count, 2);
    tsdb_shard_release(&shard, 2, false, true); /* nobody is left to leave it to */
}

static void what_was_given_up_is_left_to_nobody(void **state)
{
    (void)state;
    fill();
    promise(0, true);
    (void)tsdb_shard_promise(&shard, 1000, false); /* it was refused the memory */
    tsdb_shard_release(&shard, 1000, false, false);
    assert_int_equal(shard.left_count, 0);
    assert_int_equal(shard.promised_count, 0);
    assert_true(can_append(false)); /* there is room as before */
    assert_false(can_append(true));
    tsdb_shard_release(&shard, 0, true, false);
}

#define SHARD_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHARD_TEST(what_is_said_to_fit_does),
        SHARD_TEST(a_frugal_request_takes_what_another_has_over),
        SHARD_TEST(what_is_left_goes_with_the_frugal_request),
        SHARD_TEST(what_was_given_up_is_left_to_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
