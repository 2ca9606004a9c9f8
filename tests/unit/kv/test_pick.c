/* Picking: on trees drawn by hand, and on random ones until nothing is left to be done. */
#include "unit/kv/ver_rig.h"

#include <stdio.h>
#include <string.h>

#include <kv/pick.h>

static struct kv_picks picks;

static struct kv_pick_options wanted(void)
{
    return (struct kv_pick_options){
        .level0_compact = 4, .level_ratio = 10, .level1_bytes = 10000, .file_bytes = 1000};
}

static struct kv_pick *pick_next(struct kv_version *version, const struct kv_pick_options *options)
{
    struct kv_pick *pick = NULL;
    enum quarry_status status = kv_pick_next(version, &picks, options, &pick);

    assert_true(status == QUARRY_OK || status == QUARRY_NOT_FOUND);
    return pick;
}

static void assert_input(const struct kv_pick *pick, uint32_t which, uint32_t count,
                         const uint64_t *numbers)
{
    assert_int_equal(pick->inputs[which].file_count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(pick->inputs[which].files[i]->number, numbers[i]);
    }
}
#define NUMBERS(...)                                                                               \
    sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), (const uint64_t[])                       \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

/* ---- shapes --------------------------------------------------------------------------------- */

static void targets_come_from_the_last_level(void **state)
{
    struct kv_pick_options options = wanted();
    struct kv_shape shape;

    (void)state;
    begin_edit();
    add_sized(6, 1, "a", "z", 1000000);
    struct kv_version *version = build(NULL);
    kv_shape_of(version, &options, &shape);
    assert_int_equal(shape.base_level, 4);
    assert_int_equal(shape.target_bytes[6], 1000000);
    assert_int_equal(shape.target_bytes[5], 100000);
    assert_int_equal(shape.target_bytes[4], 10000);
    assert_int_equal(shape.target_bytes[3], 0);
    assert_int_equal(shape.debt_bytes, 0);
    kv_version_release(version);
}

static void the_base_of_an_empty_tree_is_the_last_level(void **state)
{
    struct kv_pick_options options = wanted();
    struct kv_shape shape;

    (void)state;
    begin_edit();
    struct kv_version *version = build(NULL);
    kv_shape_of(version, &options, &shape);
    assert_int_equal(shape.base_level, 6);
    assert_null(pick_next(version, &options));
    kv_version_release(version);
}

static void a_level_with_files_is_never_above_the_base(void **state)
{
    struct kv_pick_options options = wanted();
    struct kv_shape shape;

    (void)state;
    begin_edit();
    add_sized(2, 1, "a", "z", 50);
    struct kv_version *version = build(NULL);
    kv_shape_of(version, &options, &shape);
    assert_int_equal(shape.base_level, 2);
    kv_version_release(version);
}

/* ---- level 0 -------------------------------------------------------------------------------- */

static void a_deep_level_0_goes_to_the_base_with_what_it_overlaps(void **state)
{
    struct kv_pick_options options = wanted();

    (void)state;
    begin_edit();
    for (uint64_t i = 0; i < 4; i++) {
        add_file(0, 10 + i, "c", "m", 10 * i + 1, 10 * i + 9);
    }
    add_file(0, 20, "x", "y", 51, 59); /* beside them */
    add_sized(6, 1, "a", "b", 1000);
    add_sized(6, 2, "d", "e", 1000);
    add_sized(6, 3, "m", "n", 1000);
    struct kv_version *version = build(NULL);
    struct kv_pick *pick = pick_next(version, &options);
    assert_non_null(pick);
    assert_int_equal(pick->kind, KV_PICK_MERGE);
    assert_int_equal(pick->output_level, 6);
    assert_input(pick, 0, NUMBERS(13, 12, 11, 10));
    assert_input(pick, 1, NUMBERS(2, 3));
    assert_true(pick->is_last);
    assert_int_equal(pick->byte_count, 6000);
    kv_pick_destroy(pick);
    kv_version_release(version);
}

static void where_memory_is_short_few_files_of_level_0_are_taken_the_oldest(void **state)
{
    struct kv_pick_options options = wanted();
    struct kv_pick *pick = NULL;

    (void)state;
    options.level0_files_max = 3;
    begin_edit();
    for (uint64_t i = 0; i < 6; i++) {
        add_file(0, 10 + i, "c", "m", 10 * i + 1, 10 * i + 9);
    }
    struct kv_version *version = build(NULL);
    pick = pick_next(version, &options);
    assert_non_null(pick);
    assert_int_equal(pick->kind, KV_PICK_MERGE);
    assert_input(pick, 0, NUMBERS(12, 11, 10));
    kv_picks_begin(&picks, pick);
    struct kv_pick *beside = pick_next(version, &options); /* nor are the others joined */
    assert_null(beside);
    kv_picks_end(&picks, pick);
    kv_pick_destroy(pick);
    const struct kv_key_range all = {{NULL, 0}, {NULL, 0}, false};
    assert_int_equal(kv_pick_manual(version, &picks, &options, 0, &all, &pick), QUARRY_OK);
    assert_input(pick, 0, NUMBERS(12, 11, 10));
    kv_pick_destroy(pick);
    kv_version_release(version);
}

static void an_older_file_never_stays_below_a_newer_one_that_goes(void **state)
{
    struct kv_pick_options options = wanted();

    (void)state;
    begin_edit();
    add_file(0, 9, "n", "z", 1, 5); /* only 10 overlaps it, and must bring it */
    add_file(0, 10, "c", "p", 11, 15);
    for (uint64_t i = 1; i < 4; i++) {
        add_file(0, 10 + i, "c", "d", 10 * i + 11, 10 * i + 19);
    }
    struct kv_version *version = build(NULL);
    struct kv_pick *pick = pick_next(version, &options);
    assert_non_null(pick);
    assert_input(pick, 0, NUMBERS(13, 12, 11, 10, 9));
    kv_pick_destroy(pick);
    kv_version_release(version);
}

static void a_flat_level_0_is_moved_when_it_is_large(void **state)
{
    struct kv_pick_options options = wanted();

    (void)state;
    begin_edit();
    add_sized(0, 1, "a", "b", 9000);
    add_sized(0, 2, "c", "d", 9000);
    struct kv_version *version = build(NULL);
    assert_null(pick_next(version, &options));
    begin_edit();
    add_sized(0, 3, "e", "f", 9000);
    struct kv_version *larger = build(version);
    struct kv_pick *pick = pick_next(larger, &options);
    assert_non_null(pick);
    assert_int_equal(pick->kind, KV_PICK_MOVE);
    assert_int_equal(pick->output_level, 6);
    assert_int_equal(pick->inputs[0].file_count, 1);
    kv_pick_destroy(pick);
    kv_version_release(version);
    kv_version_release(larger);
}

static void files_of_level_0_are_joined_while_the_base_is_busy(void **state)
{
    struct kv_pick_options options = wanted();

    (void)state;
    begin_edit();
    add_sized(6, 1, "a", "z", 1000);
    for (uint64_t i = 0; i < 9; i++) {
        add_file(0, 10 + i, "c", "m", 10 * i + 1, 10 * i + 9);
    }
    struct kv_version *version = build(NULL);
    for (uint64_t number = 10; number < 13; number++) {
        file_of(version, number)->is_compacting = true;
    }
    file_of(version, 1)->is_compacting = true;
    struct kv_pick *pick = pick_next(version, &options);
    assert_non_null(pick);
    assert_int_equal(pick->kind, KV_PICK_INTRA_L0);
    assert_int_equal(pick->output_level, 0);
    assert_input(pick, 0, NUMBERS(18, 17, 16, 15, 14, 13));
    assert_false(pick->is_last);
    kv_picks_begin(&picks, pick);
    assert_null(pick_next(version, &options)); /* one at a time, and the rest is busy */
    kv_picks_end(&picks, pick);
    kv_pick_destroy(pick);
    kv_version_release(version);
}

/* Files 14 to 18, of which 18 was ingested while something older was still in memory. */
static void a_file_newer_than_what_is_in_memory_is_not_joined(void **state)
{
    struct kv_pick_options options = wanted();

    (void)state;
    begin_edit();
    add_sized(6, 1, "a", "z", 1000);
    for (uint64_t i = 0; i < 9; i++) {
        add_file(0, 10 + i, "c", "m", 10 * i + 1, 10 * i + 9);
    }
    struct kv_version *version = build(NULL);
    file_of(version, 1)->is_compacting = true;
    options.unflushed_sequence = 80; /* file 18 has 81 to 89 */
    struct kv_pick *pick = pick_next(version, &options);
    assert_non_null(pick);
    assert_int_equal(pick->kind, KV_PICK_INTRA_L0);
    assert_input(pick, 0, NUMBERS(17, 16, 15, 14, 13, 12, 11, 10));
    kv_pick_destroy(pick);
    options.unflushed_sequence = 35; /* what is left is too little to be joined */
    assert_null(pick_next(version, &options));
    kv_version_release(version);
}

/* ---- levels --------------------------------------------------------------------------------- */

/* Level 5 has too much; of its files, `c` is over one small file, and `a` over two. */
static struct kv_version *two_levels(uint64_t bytes_of_c)
{
    begin_edit();
    add_sized(5, 1, "a", "b", 60000);
    add_sized(5, 2, "c", "d", bytes_of_c);
    add_sized(6, 3, "a", "aa", 400000);
    add_sized(6, 4, "b", "bb", 400000);
    add_sized(6, 5, "c", "cc", 200000);
    return build(NULL);
}

static void the_file_goes_that_brings_least_with_it(void **state)
{
    struct kv_pick_options options = wanted();

    (void)state;
    struct kv_version *version = two_levels(50000);
    struct kv_pick *pick = pick_next(version, &options);
    assert_non_null(pick);
    assert_int_equal(pick->inputs[0].level, 5);
    assert_input(pick, 0, NUMBERS(2));
    assert_input(pick, 1, NUMBERS(5));
    kv_pick_destroy(pick);
    kv_version_release(version);
}

static void deletions_weigh_what_they_may_remove(void **state)
{
    struct kv_pick_options options = wanted();
    struct kv_version *version = two_levels(50000);
    struct kv_file *file = file_of(version, 1);

    (void)state;
    /* 60,000 bytes for 800,000 below; half of them deletions: they count for themselves again. */
    file->has_counts = true;
    file->entry_count = 100;
    file->deletion_count = 1000;
    struct kv_pick *pick = pick_next(version, &options);
    assert_non_null(pick);
    assert_input(pick, 0, NUMBERS(1));
    assert_input(pick, 1, NUMBERS(3, 4));
    kv_pick_destroy(pick);
    kv_version_release(version);
}

static void what_nothing_overlaps_is_moved_unless_it_overlaps_much_below(void **state)
{
    struct kv_pick_options options = wanted();

    (void)state;
    for (uint32_t much = 0; much < 2; much++) {
        begin_edit();
        add_sized(4, 1, "c", "d", 12000);
        add_sized(5, 2, "x", "y", 90000);
        add_sized(6, 3, "c", "cc", much ? 11000 : 9000);
        add_sized(6, 4, "e", "f", 1000000);
        struct kv_version *version = build(NULL);
        struct kv_pick *pick = pick_next(version, &options);
        assert_non_null(pick);
        assert_int_equal(pick->inputs[0].level, 4);
        assert_int_equal(pick->kind, much ? KV_PICK_MERGE : KV_PICK_MOVE);
        assert_int_equal(pick->output_level, 5);
        assert_int_equal(pick->grandparent_count, 1);
        assert_int_equal(pick->inputs[1].file_count, 0);
        assert_false(pick->is_last);
        kv_pick_destroy(pick);
        kv_version_release(version);
    }
}

static void files_that_share_a_user_key_go_together(void **state)
{
    struct kv_pick_options options = wanted();
    struct kv_edit_file file;

    (void)state;
    begin_edit();
    file = edit_file(5, 1, "a", "m", 5, 9);
    file.byte_count = 60000;
    assert_int_equal(kv_edit_add(current_edit(), &file), QUARRY_OK);
    file = edit_file(5, 2, "m", "p", 1, 4);
    file.byte_count = 60000;
    assert_int_equal(kv_edit_add(current_edit(), &file), QUARRY_OK);
    add_sized(5, 3, "r", "s", 100);
    add_sized(6, 4, "c", "d", 20000);
    add_sized(6, 5, "r", "s", 900000);
    struct kv_version *version = build(NULL);
    struct kv_pick *pick = pick_next(version, &options);
    assert_non_null(pick);
    assert_input(pick, 0, NUMBERS(1, 2));
    assert_input(pick, 1, NUMBERS(4));
    kv_pick_destroy(pick);
    kv_version_release(version);
}

static void more_of_the_level_comes_along_for_the_same_files_below(void **state)
{
    struct kv_pick_options options = wanted();

    (void)state;
    begin_edit();
    options.level1_bytes = 100;
    add_sized(5, 1, "a", "b", 300);
    add_sized(5, 2, "d", "e", 200);
    add_sized(6, 3, "a", "f", 1000);
    struct kv_version *version = build(NULL);
    struct kv_pick *pick = pick_next(version, &options);
    assert_non_null(pick);
    assert_input(pick, 0, NUMBERS(1, 2));
    assert_input(pick, 1, NUMBERS(3));
    kv_pick_destroy(pick);
    kv_version_release(version);
}

static void nothing_is_picked_that_meets_what_is_under_way(void **state)
{
    struct kv_pick_options options = wanted();

    (void)state;
    struct kv_version *version = two_levels(70000);
    struct kv_pick *first = pick_next(version, &options);
    assert_non_null(first);
    kv_picks_begin(&picks, first);
    struct kv_pick *second = pick_next(version, &options);
    /* What is under way counts for nothing: 60,000 of 100,000 are left. */
    assert_null(second);
    file_of(version, 1)->is_compacting = true;
    struct kv_key_range all = {{NULL, 0}, {NULL, 0}, false};
    assert_int_equal(kv_pick_manual(version, &picks, &options, 5, &all, &second), QUARRY_BUSY);
    file_of(version, 1)->is_compacting = false;
    kv_picks_end(&picks, first);
    assert_int_equal(picks.count, 0);
    kv_pick_destroy(first);
    kv_version_release(version);
}

static void two_never_write_to_one_place_of_a_level(void **state)
{
    struct kv_pick_options options = wanted();
    struct kv_key_range low = {text("a"), text("k"), false}, high = {text("b"), text("z"), false};
    struct kv_pick *first = NULL, *second = NULL;

    (void)state;
    begin_edit();
    add_sized(4, 1, "a", "m", 20000);
    add_sized(3, 2, "x", "y", 10);
    add_sized(4, 3, "n", "p", 20000);
    struct kv_version *version = build(NULL);
    assert_int_equal(kv_pick_manual(version, &picks, &options, 4, &low, &first), QUARRY_OK);
    kv_picks_begin(&picks, first);
    /* 3 is free, and its range is not that of 1. */
    struct kv_key_range only = {text("n"), text("z"), false};
    assert_int_equal(kv_pick_manual(version, &picks, &options, 4, &only, &second), QUARRY_OK);
    kv_pick_destroy(second);
    assert_int_equal(kv_pick_manual(version, &picks, &options, 4, &high, &second), QUARRY_BUSY);
    first->range.end = text("o"); /* were it to write up to there */
    assert_int_equal(kv_pick_manual(version, &picks, &options, 4, &only, &second), QUARRY_BUSY);
    kv_picks_end(&picks, first);
    kv_pick_destroy(first);
    kv_version_release(version);
}

/* ---- dropping, density, by hand ------------------------------------------------------------- */

static void files_that_a_range_deletion_covers_are_dropped(void **state)
{
    struct kv_pick_options options = wanted();
    static const uint64_t between[] = {2, 500};
    const struct kv_pick_hint hint = {text("b"), text("m"), 1000, 0};

    (void)state;
    begin_edit();
    add_sized(6, 1, "a", "b", 1000);
    add_sized(6, 2, "c", "d", 1000);
    add_sized(6, 3, "e", "f", 1000);
    add_sized(6, 4, "k", "m", 1000); /* m itself is not covered */
    struct kv_version *version = build(NULL);
    options.hints = &hint;
    options.hint_count = 1;
    struct kv_pick *pick = pick_next(version, &options);
    assert_non_null(pick);
    assert_int_equal(pick->kind, KV_PICK_DROP);
    assert_input(pick, 0, NUMBERS(2, 3));
    assert_int_equal(pick->inputs[1].file_count, 0);
    kv_pick_destroy(pick);
    options.snapshots = between;
    options.snapshot_count = 2; /* both see what is in the files, and not the deletion */
    assert_null(pick_next(version, &options));
    options.snapshot_count = 1; /* 2: sees file 2 alone, whose sequence is its number */
    pick = pick_next(version, &options);
    assert_non_null(pick);
    assert_input(pick, 0, NUMBERS(3));
    kv_pick_destroy(pick);
    kv_version_release(version);
}

static void files_of_deletions_go_down_and_are_rewritten_in_the_last_level(void **state)
{
    struct kv_pick_options options = wanted();
    static const uint64_t old[] = {1};

    (void)state;
    for (uint32_t level = 5; level <= 6; level++) {
        begin_edit();
        add_sized(level, 2, "a", "c", 1000);
        struct kv_version *version = build(NULL);
        struct kv_file *file = file_of(version, 2);
        file->has_counts = true;
        file->entry_count = 200;
        file->deletion_count = 99;
        assert_null(pick_next(version, &options));
        file->deletion_count = 100;
        struct kv_pick *pick = pick_next(version, &options);
        assert_non_null(pick);
        assert_int_equal(pick->kind, KV_PICK_DENSITY);
        assert_int_equal(pick->output_level, 6);
        assert_true(pick->is_last);
        kv_pick_destroy(pick);
        /* A snapshot from before keeps its deletions in the last level: then it is no use. */
        options.snapshots = old;
        options.snapshot_count = 1;
        pick = pick_next(version, &options);
        assert_int_equal(pick == NULL, level == 6);
        kv_pick_destroy(pick);
        options.snapshot_count = 0;
        kv_version_release(version);
    }
}

static void a_marked_file_goes_down(void **state)
{
    struct kv_pick_options options = wanted();

    (void)state;
    begin_edit();
    add_sized(5, 2, "a", "c", 1000);
    struct kv_version *version = build(NULL);
    assert_null(pick_next(version, &options));
    file_of(version, 2)->wants_compaction = true;
    struct kv_pick *pick = pick_next(version, &options);
    assert_non_null(pick);
    assert_int_equal(pick->kind, KV_PICK_DENSITY);
    kv_pick_destroy(pick);
    kv_version_release(version);
}

static void a_range_is_compacted_by_hand_whatever_the_scores(void **state)
{
    struct kv_pick_options options = wanted();
    struct kv_key_range range = {text("c"), text("d"), false}, none = {text("q"), text("r"), false};
    struct kv_pick *pick = NULL;

    (void)state;
    begin_edit();
    add_file(0, 1, "c", "d", 100, 200);
    add_sized(5, 2, "a", "b", 1000);
    add_sized(5, 3, "d", "e", 1000);
    add_sized(6, 4, "e", "f", 1000);
    struct kv_version *version = build(NULL);
    assert_int_equal(kv_pick_manual(version, &picks, &options, 0, &range, &pick), QUARRY_OK);
    assert_int_equal(pick->output_level, 5);
    assert_input(pick, 0, NUMBERS(1));
    assert_input(pick, 1, NUMBERS(3));
    kv_pick_destroy(pick);
    assert_int_equal(kv_pick_manual(version, &picks, &options, 5, &range, &pick), QUARRY_OK);
    assert_input(pick, 0, NUMBERS(3));
    assert_input(pick, 1, NUMBERS(4));
    assert_true(pick->is_last);
    kv_pick_destroy(pick);
    assert_int_equal(kv_pick_manual(version, &picks, &options, 5, &none, &pick), QUARRY_NOT_FOUND);
    assert_int_equal(kv_pick_manual(version, &picks, &options, 0, &none, &pick), QUARRY_NOT_FOUND);
    assert_int_equal(kv_pick_manual(version, &picks, &options, 4, &range, &pick), QUARRY_NOT_FOUND);
    kv_version_release(version);
}

static void without_memory_nothing_is_picked(void **state)
{
    struct kv_pick_options options = wanted();
    struct kv_version *version = two_levels(50000);
    enum quarry_status status = QUARRY_NO_MEMORY;
    uint32_t failed = 0;

    (void)state;
    for (uint64_t allowed = 0; status == QUARRY_NO_MEMORY; allowed += 16) {
        struct kv_pick *pick = NULL;
        uint64_t before = charged();
        allow_bytes(allowed);
        status = kv_pick_next(version, &picks, &options, &pick);
        failed += status == QUARRY_NO_MEMORY;
        kv_pick_destroy(pick);
        assert_int_equal(charged(), before);
    }
    assert_int_equal(status, QUARRY_OK);
    assert_in_range(failed, 3, 1000);
    allow_bytes(UINT64_MAX);
    kv_version_release(version);
}

/* ---- a simulation --------------------------------------------------------------------------- */

/*
 * Keys are numbers of four digits. What a compaction writes is as many bytes as it read, in files
 * of the size wanted, cut at keys that are spread evenly over its range.
 */
static char names[10001][8];
static uint64_t next_number, next_sequence;

static uint32_t key_number(struct kv_slice key)
{
    uint32_t number = 0;

    for (size_t i = 0; i < key.count; i++) {
        number = number * 10 + (uint32_t)(key.bytes[i] - '0');
    }
    return number;
}

static void write_outputs(const struct kv_pick *pick)
{
    uint32_t first = key_number(pick->range.begin), last = key_number(pick->range.end);
    uint32_t count = (uint32_t)(pick->byte_count / pick->output_file_bytes) + 1;
    uint64_t low = UINT64_MAX, high = 0;

    count = count > last - first + 1 ? last - first + 1 : count;
    count = pick->output_level == 0 ? 1 : count;
    for (uint32_t which = 0; which < 2; which++) {
        for (uint32_t i = 0; i < pick->inputs[which].file_count; i++) {
            low = size_min_u64(low, pick->inputs[which].files[i]->smallest_sequence);
            high = size_max_u64(high, pick->inputs[which].files[i]->largest_sequence);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t from = first + (uint32_t)((uint64_t)(last - first + 1) * i / count);
        uint32_t to = first + (uint32_t)((uint64_t)(last - first + 1) * (i + 1) / count) - 1;
        struct kv_edit_file file =
            edit_file(pick->output_level, next_number++, names[from], names[to], low, high);
        file.byte_count = pick->byte_count / count;
        assert_int_equal(kv_edit_add(current_edit(), &file), QUARRY_OK);
    }
}

/* What a pick leads to. */
static struct kv_version *carry_out(struct kv_version *version, const struct kv_pick *pick)
{
    begin_edit();
    for (uint32_t which = 0; which < 2; which++) {
        const struct kv_pick_input *input = &pick->inputs[which];
        for (uint32_t i = 0; i < input->file_count; i++) {
            remove_file(input->level, input->files[i]->number);
            if (pick->kind == KV_PICK_MOVE) {
                struct kv_edit_file file = kv_file_describe(input->files[i], pick->output_level);
                assert_int_equal(kv_edit_add(current_edit(), &file), QUARRY_OK);
            }
        }
    }
    if (pick->kind != KV_PICK_MOVE && pick->kind != KV_PICK_DROP) {
        write_outputs(pick);
    }
    return build(version);
}

static struct kv_version *flush(struct kv_version *version, uint64_t *seed)
{
    uint32_t first = (uint32_t)random_below(seed, 9000);
    uint32_t width = random_below(seed, 2) == 0 ? 999 : (uint32_t)random_below(seed, 100);

    begin_edit();
    struct kv_edit_file file = edit_file(0, next_number++, names[first], names[first + width],
                                         next_sequence, next_sequence + 9);
    next_sequence += 10;
    file.byte_count = 500 + random_below(seed, 2000);
    assert_int_equal(kv_edit_add(current_edit(), &file), QUARRY_OK);
    struct kv_version *next = build(version);
    kv_version_release(version);
    return next;
}

static void assert_valid(const struct kv_pick *pick)
{
    for (const struct kv_pick *other = picks.first; other != NULL; other = other->next) {
        if (other->output_level != 0 && other->output_level == pick->output_level) {
            assert_false(kv_ranges_overlap(&kv_bytewise, &other->range, &pick->range));
        }
    }
    for (uint32_t which = 0; which < 2; which++) {
        for (uint32_t i = 0; i < pick->inputs[which].file_count; i++) {
            assert_false(pick->inputs[which].files[i]->is_compacting);
        }
    }
}

/* How far bytes still have to go down, at most: every compaction below level 0 lowers it. */
static uint64_t height_of(const struct kv_version *version)
{
    uint64_t height = 0;

    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        height += version->levels[level].byte_count * (QUARRY_KV_LEVELS - 1 - level);
    }
    return height;
}

/*
 * Picks one after the other until there is none. Each takes bytes down, or makes level 0 less deep
 * where it joins files of it; in the end no level has too much, and there is no debt.
 */
static struct kv_version *settle(struct kv_version *version, const struct kv_pick_options *options,
                                 uint32_t *steps)
{
    struct kv_shape before, after;
    struct kv_pick *pick;

    kv_shape_of(version, options, &before);
    while ((pick = pick_next(version, options)) != NULL) {
        assert_valid(pick);
        struct kv_version *next = carry_out(version, pick);
        kv_shape_of(next, options, &after);
        assert_true(before.debt_bytes != 0);
        assert_true(pick->kind == KV_PICK_INTRA_L0
                        ? next->levels[0].file_count < version->levels[0].file_count
                        : height_of(next) < height_of(version));
        assert_true(pick->inputs[0].level != 0 || after.score[0] <= before.score[0]);
        kv_pick_destroy(pick);
        kv_version_release(version);
        version = next;
        before = after;
        assert_in_range(++*steps, 1, 100000);
    }
    for (uint32_t level = 1; level < QUARRY_KV_LEVELS; level++) {
        assert_true(before.score[level] <= 1);
    }
    assert_true(before.score[0] < 1);
    assert_int_equal(before.debt_bytes, 0);
    return version;
}

static void random_trees_settle(void **state)
{
    struct kv_pick_options options = wanted();
    uint32_t steps = 0;

    (void)state;
    options.level_ratio = 4;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        uint64_t random = seed;
        begin_edit();
        struct kv_version *version = build(NULL);
        for (uint32_t i = 0; i < 250; i++) {
            version = flush(version, &random);
            if (random_below(&random, 5) == 0) {
                version = settle(version, &options, &steps);
            }
        }
        kv_version_release(settle(version, &options, &steps));
    }
    assert_in_range(steps, 500, 100000);
}

/* Several under way at the same time, ended in any order. */
static void what_is_under_way_at_once_never_meets(void **state)
{
    struct kv_pick_options options = wanted();
    struct kv_pick *under_way[4] = {NULL};
    uint32_t most = 0;
    uint64_t seed = 5;

    (void)state;
    options.level_ratio = 4;
    options.level1_bytes = 4000;
    begin_edit();
    struct kv_version *version = build(NULL);
    for (uint32_t step = 0; step < 3000; step++) {
        uint32_t slot = (uint32_t)random_below(&seed, COUNT_OF(under_way));
        if (random_below(&seed, 3) == 0 && version->levels[0].file_count < 40) {
            version = flush(version, &seed);
        }
        if (under_way[slot] == NULL) {
            under_way[slot] = pick_next(version, &options);
            if (under_way[slot] != NULL) {
                assert_valid(under_way[slot]);
                kv_picks_begin(&picks, under_way[slot]);
                most = picks.count > most ? picks.count : most;
            }
        } else {
            kv_picks_end(&picks, under_way[slot]);
            struct kv_version *next = carry_out(version, under_way[slot]);
            kv_pick_destroy(under_way[slot]);
            kv_version_release(version);
            version = next;
            under_way[slot] = NULL;
        }
    }
    for (uint32_t slot = 0; slot < COUNT_OF(under_way); slot++) {
        if (under_way[slot] != NULL) {
            kv_picks_end(&picks, under_way[slot]);
            kv_pick_destroy(under_way[slot]);
        }
    }
    assert_in_range(most, 2, COUNT_OF(under_way));
    kv_version_release(version);
}

static int name_keys(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(names); i++) {
        (void)snprintf(names[i], sizeof(names[i]), "%05u", i);
    }
    next_number = 1;
    next_sequence = 1;
    return 0;
}

#define RIGGED(test) cmocka_unit_test_setup_teardown(test, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIGGED(targets_come_from_the_last_level),
        RIGGED(the_base_of_an_empty_tree_is_the_last_level),
        RIGGED(a_level_with_files_is_never_above_the_base),
        RIGGED(a_deep_level_0_goes_to_the_base_with_what_it_overlaps),
        RIGGED(where_memory_is_short_few_files_of_level_0_are_taken_the_oldest),
        RIGGED(an_older_file_never_stays_below_a_newer_one_that_goes),
        RIGGED(a_flat_level_0_is_moved_when_it_is_large),
        RIGGED(files_of_level_0_are_joined_while_the_base_is_busy),
        RIGGED(a_file_newer_than_what_is_in_memory_is_not_joined),
        RIGGED(the_file_goes_that_brings_least_with_it),
        RIGGED(deletions_weigh_what_they_may_remove),
        RIGGED(what_nothing_overlaps_is_moved_unless_it_overlaps_much_below),
        RIGGED(files_that_share_a_user_key_go_together),
        RIGGED(more_of_the_level_comes_along_for_the_same_files_below),
        RIGGED(nothing_is_picked_that_meets_what_is_under_way),
        RIGGED(two_never_write_to_one_place_of_a_level),
        RIGGED(files_that_a_range_deletion_covers_are_dropped),
        RIGGED(files_of_deletions_go_down_and_are_rewritten_in_the_last_level),
        RIGGED(a_marked_file_goes_down),
        RIGGED(a_range_is_compacted_by_hand_whatever_the_scores),
        RIGGED(without_memory_nothing_is_picked),
        RIGGED(random_trees_settle),
        RIGGED(what_is_under_way_at_once_never_meets),
    };
    return cmocka_run_group_tests(tests, name_keys, NULL);
}
