/*
 * Every refusal that arenas can meet, one after the other: each system call fails once and for
 * ever; each charge is refused, by the budget and by the account, at every limit from none to
 * enough. After each the heap, the ledger and the account agree, and what was there is there.
 */
#include "unit/arena/arena_rig.h"

#include <string.h>

#define CAPACITY Q_KIB(512)
#define PIECE    30000u

/* What was handed out, and a pattern in it. */
struct pieces {
    uint32_t offset[64];
    uint32_t count;
    enum quarry_status refusal; /* of the last that was wanted; OK: the arena is full */
};

static void take_pieces(struct quarry_arena *arena, struct pieces *pieces)
{
    uint32_t offset;

    *pieces = (struct pieces){.refusal = QUARRY_OK};
    while ((pieces->refusal = quarry_arena_alloc(arena, PIECE, 64, &offset)) == QUARRY_OK) {
        memset(quarry_arena_at(arena, offset), (int)pieces->count, PIECE);
        pieces->offset[pieces->count++] = offset;
    }
    if (pieces->refusal == QUARRY_NO_ADDRESS) {
        pieces->refusal = QUARRY_OK;
    }
}

static void check_pieces(const struct quarry_arena *arena, const struct pieces *pieces)
{
    for (uint32_t i = 0; i < pieces->count; i++) {
        const unsigned char *bytes = quarry_arena_at(arena, pieces->offset[i]);
        assert_int_equal(bytes[0], i);
        assert_int_equal(bytes[PIECE - 1], i);
    }
}

/*
 * A free stretch is reused, a keeper gives an arena, takes it back and gives it again. Returns: the
 * first refusal. Whatever fails, all of it is ended.
 */
static enum quarry_status work(void)
{
    const struct quarry_arena_options options = rig_options(CAPACITY);
    struct quarry_arena_keeper *keeper = NULL;
    struct quarry_arena *arena = NULL;
    struct pieces pieces = {.count = 0};
    struct page_run run = page_lane_alloc(lane, owner, 40, 1);

    if (run.base != NULL) {
        page_lane_free(lane, run.base);
    }
    enum quarry_status status = quarry_arena_keeper_create(memory(), &options, &keeper, NULL);
    for (int turn = 0; turn < 3 && status == QUARRY_OK; turn++) {
        status = quarry_arena_keeper_take(keeper, CAPACITY, &arena, NULL);
        if (status == QUARRY_OK) {
            take_pieces(arena, &pieces);
            check_pieces(arena, &pieces);
            rig_check();
            status = pieces.refusal;
            quarry_arena_destroy(arena);
        }
    }
    quarry_arena_keeper_destroy(keeper);
    rig_check();
    assert_int_equal(charged_bytes(), 0);
    return status;
}

static void every_system_call_fails(void **state)
{
    static const enum os_sim_fail_mode modes[] = {OS_SIM_ONCE, OS_SIM_FOR_EVER};
    uint64_t failed_count = 0;

    (void)state;
    for (size_t mode = 0; mode < COUNT_OF(modes); mode++) {
        for (uint64_t i = 0;; i++) {
            rig_begin(&(struct heap_setup){.has_real_backing = true});
            os_sim_fail_at(&sim, OS_SIM_ANY_MEMORY, i, modes[mode], QUARRY_NO_MEMORY);
            enum quarry_status status = work();
            bool is_through = os_sim_failed_count(&sim) == 0;
            os_sim_fail_clear(&sim);
            assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
            assert_int_equal(work(), QUARRY_OK);
            rig_end();
            if (is_through) {
                break;
            }
            failed_count++;
        }
    }
    /* Growth of the lane, and giving back what came backed. */
    assert_true(failed_count >= 6);
}

static void every_charge_is_refused_by_the_budget(void **state)
{
    uint32_t refused_count = 0;

    (void)state;
    rig_begin(&(struct heap_setup){.has_real_backing = true});
    assert_int_equal(work(), QUARRY_OK);
    (void)page_heap_trim(heap);
    uint64_t least_bytes = heap_committed();
    for (uint64_t spare_bytes = 0;; spare_bytes += Q_KIB(4)) {
        assert_int_equal(page_heap_set_limit(heap, least_bytes + spare_bytes), QUARRY_OK);
        enum quarry_status status = work();
        if (status == QUARRY_OK) {
            break;
        }
        assert_int_equal(status, QUARRY_NO_MEMORY);
        refused_count++;
        (void)page_heap_trim(heap);
    }
    assert_true(refused_count >= (CAPACITY - Q_KIB(64)) / Q_KIB(4));
    rig_end();
}

static void every_charge_is_refused_by_the_account(void **state)
{
    uint32_t refused_count = 0;

    (void)state;
    rig_begin(&(struct heap_setup){.has_real_backing = true});
    for (uint64_t ceiling_bytes = Q_KIB(4);; ceiling_bytes += Q_KIB(4)) {
        assert_int_equal(quarry_account_set_bounds(account, 0, ceiling_bytes), QUARRY_OK);
        enum quarry_status status = work();
        if (status == QUARRY_OK) {
            assert_true(ceiling_bytes >= CAPACITY - PIECE - PAGE_BYTES);
            break;
        }
        assert_int_equal(status, QUARRY_NO_MEMORY);
        refused_count++;
    }
    assert_true(refused_count >= (CAPACITY - Q_KIB(64)) / Q_KIB(4));
    rig_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_system_call_fails),
        cmocka_unit_test(every_charge_is_refused_by_the_budget),
        cmocka_unit_test(every_charge_is_refused_by_the_account),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
