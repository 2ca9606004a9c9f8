/*
 * A slab against a table: random histories of taking, giving, retiring, moving, compacting and
 * trimming, with a reader inside now and then. The table knows of each key the ref, the size and
 * what the cell was filled with; and of refs that have ended that they are stale.
 *
 * Runs a million operations for each of its seeds; or as many as the first argument says.
 */
#include "unit/slab/slab_rig.h"

#include <stdlib.h>

#include "unit/base/random.h"

#define KEYS       20000u
#define STALE_REFS 4096u
#define CHECK_EACH 100000u

static uint64_t op_count = 1000000;

struct model {
    uint64_t random;
    uint64_t live_count;
    uint32_t size_kind;
    uint64_t wanted_live;
    bool is_inside; /* the epoch */
    quarry_ref stale[STALE_REFS];
};

static uint64_t roll(struct model *model, uint64_t sides)
{
    return random_u64(&model->random) % sides;
}

/* One size, a few, or any; large ones seldom. */
static size_t roll_bytes(struct model *model)
{
    switch (model->size_kind) {
    case 0:
        return 104;
    case 1:
        return 64 + roll(model, 4) * 700;
    default:
        break;
    }
    size_t bytes = 8 + roll(model, (size_t)16 << roll(model, 9));
    return roll(model, 5000) == 0 ? 8 + roll(model, Q_KIB(512) - 8) : bytes;
}

static void forget(struct model *model, uint64_t key)
{
    quarry_ref ref = index_slots[key].ref;

    index_slots[key].ref = QUARRY_REF_NIL;
    model->stale[roll(model, STALE_REFS)] = ref;
    model->live_count--;
}

static void step_put_or_end(struct model *model)
{
    uint64_t key = roll(model, KEYS);
    quarry_ref ref = index_slots[key].ref;

    if (ref == QUARRY_REF_NIL) {
        if (model->live_count < model->wanted_live) {
            index_put(key, roll_bytes(model));
            model->live_count++;
        }
        return;
    }
    const void *data = quarry_slab_data(slab, ref);
    assert_non_null(data);
    assert_true(is_filled(data, index_slots[key].bytes, key));
    forget(model, key);
    if (roll(model, 3) == 0) {
        quarry_slab_give(slab, ref);
    } else {
        quarry_slab_retire(slab, ref);
        /* Not taken again while we are inside: it stays what it was. */
        assert_true(!model->is_inside || is_filled(data, index_slots[key].bytes, key));
    }
    assert_null(quarry_slab_data(slab, ref));
}

static bool move_most(void *argument, quarry_ref old_ref, const void *old_data, quarry_ref new_ref,
                      void *new_data, size_t bytes)
{
    struct model *model = argument;

    return roll(model, 200) != 0 && index_move(NULL, old_ref, old_data, new_ref, new_data, bytes);
}

/* Moves a page, the n-th of those there are. */
static void step_move(struct model *model)
{
    struct quarry_slab_page page;
    uint64_t cursor = 0, n = roll(model, 64);

    while (quarry_slab_next_page(slab, &cursor, &page)) {
        if (n-- == 0) {
            enum quarry_status status =
                quarry_slab_move_page(slab, page.class_id, page.page, move_most, model);
            assert_true(status == QUARRY_OK || status == QUARRY_BUSY ||
                        (status == QUARRY_NOT_FOUND && page.is_moving));
            return;
        }
    }
}

static void step_compact(struct model *model)
{
    struct quarry_slab_stats before = slab_stats();
    uint64_t bytes = quarry_slab_compact(slab, roll(model, Q_MIB(4)), move_most, model);
    struct quarry_slab_stats after = slab_stats();

    assert_int_equal(before.live_count, after.live_count);
    assert_true(bytes <= before.page_bytes);
    assert_true(model->is_inside || bytes == before.page_bytes - after.page_bytes);
}

/* Every live ref of the pages is a key's. */
static void step_walk(struct model *model)
{
    struct quarry_slab_page page;
    uint64_t cursor = 0, live_count = 0;
    quarry_ref refs[300];

    while (quarry_slab_next_page(slab, &cursor, &page)) {
        uint32_t cell = 0;
        size_t count;
        while ((count = quarry_slab_live_refs(slab, page.class_id, page.page, &cell, refs,
                                              COUNT_OF(refs))) != 0) {
            for (size_t i = 0; i < count; i++) {
                uint64_t key = *(const uint64_t *)quarry_slab_data(slab, refs[i]);
                assert_true(key < KEYS && index_slots[key].ref == refs[i]);
            }
            live_count += count;
        }
    }
    assert_int_equal(live_count, model->live_count);
}

static void check_stale(const struct model *model)
{
    for (uint32_t i = 0; i < STALE_REFS; i++) {
        assert_null(quarry_slab_data(slab, model->stale[i]));
    }
}

static void enter_or_leave(struct model *model)
{
    if (epoch == NULL) {
        return;
    }
    if (model->is_inside) {
        quarry_epoch_leave(epoch);
    } else {
        quarry_epoch_enter(epoch);
    }
    model->is_inside = !model->is_inside;
}

static void step(struct model *model)
{
    switch (roll(model, 20000)) {
    case 0:
        step_compact(model);
        break;
    case 1:
        (void)quarry_slab_trim(slab);
        break;
    case 2:
        step_walk(model);
        break;
    case 3:
        model->wanted_live = roll(model, KEYS);
        break;
    case 4:
    case 5:
    case 6:
        step_move(model);
        break;
    case 7:
        check_stale(model);
        break;
    case 8:
    case 9:
        enter_or_leave(model);
        break;
    default:
        step_put_or_end(model);
        break;
    }
}

static void run(uint64_t seed, uint32_t size_kind, bool has_epoch)
{
    static struct model model;

    slab_begin(&(struct slab_setup){.has_no_epoch = !has_epoch});
    model = (struct model){.random = seed, .size_kind = size_kind, .wanted_live = KEYS / 2};
    for (uint64_t i = 0; i < op_count; i++) {
        step(&model);
        if (i % CHECK_EACH == 0) {
            index_check();
            slab_check();
        }
    }
    const struct quarry_slab_stats stats = slab_stats();
    assert_int_equal(stats.live_count, model.live_count);
    print_message("%llu cells moved, %llu moves declined, %llu pages taken, %llu given back, "
                  "%llu classes split\n",
                  (unsigned long long)stats.moved_count, (unsigned long long)stats.declined_count,
                  (unsigned long long)stats.page_taken_count,
                  (unsigned long long)stats.page_given_count,
                  (unsigned long long)stats.split_count);
    assert_true(stats.moved_count > op_count / 1000);
    check_stale(&model);
    if (model.is_inside) {
        enter_or_leave(&model);
    }
    index_clear();
    (void)quarry_slab_trim(slab);
    assert_int_equal(slab_stats().page_bytes, 0);
    check_stale(&model);
    slab_end();
}

static void cells_of_one_size(void **state)
{
    (void)state;
    run(1, 0, true);
}

static void cells_of_four_sizes(void **state)
{
    (void)state;
    run(2, 1, true);
}

static void cells_of_any_size(void **state)
{
    (void)state;
    run(3, 2, true);
}

static void cells_of_any_size_without_an_epoch(void **state)
{
    (void)state;
    run(4, 2, false);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_of_one_size),
        cmocka_unit_test(cells_of_four_sizes),
        cmocka_unit_test(cells_of_any_size),
        cmocka_unit_test(cells_of_any_size_without_an_epoch),
    };

    if (argc > 1) {
        op_count = strtoull(argv[1], NULL, 10);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
