/* Versions: built, searched, and let go. */
#include "unit/kv/ver_rig.h"

#include <stdio.h>
#include <string.h>

/* ---- building ------------------------------------------------------------------------------- */

static void an_edit_adds_removes_and_moves_files(void **state)
{
    (void)state;
    begin_edit();
    add_file(1, 4, "d", "f", 1, 1);
    add_file(1, 5, "a", "c", 1, 1);
    add_file(2, 6, "a", "z", 1, 1);
    struct kv_version *first = build(NULL);
    assert_int_equal(first->levels[1].file_count, 2);
    assert_int_equal(first->levels[1].files[0]->number, 5);
    assert_int_equal(first->levels[1].byte_count, 2000);

    begin_edit();
    remove_file(2, 6);
    add_file(3, 6, "a", "z", 1, 1);
    remove_file(1, 4);
    add_file(1, 7, "g", "h", 2, 2);
    struct kv_version *second = build(first);
    assert_ptr_equal(file_of(second, 6), file_of(first, 6)); /* moved: the same one */
    assert_int_equal(second->levels[3].file_count, 1);
    assert_int_equal(second->levels[2].file_count, 0);
    assert_null(file_of(second, 4));
    assert_int_equal(second->levels[1].files[1]->number, 7);
    kv_version_release(first);
    kv_version_release(second);
}

static void an_edit_that_does_not_fit_is_refused(void **state)
{
    static const struct {
        uint32_t remove_level, add_level;
        uint64_t remove_number, add_number;
        const char *smallest, *largest;
    } cases[] = {
        {1, 0, 99, 0, NULL, NULL}, /* is not there */
        {2, 0, 4, 0, NULL, NULL},  /* is at another level */
        {0, 1, 0, 4, "x", "y"},    /* is there */
        {0, 2, 0, 4, "x", "y"},    /* at another level */
        {0, 1, 0, 9, "e", "g"},    /* overlaps */
        {0, 1, 0, 9, "z", "y"},    /* ends before it begins */
        {0, 7, 0, 9, "x", "y"},    /* no such level */
    };

    (void)state;
    begin_edit();
    add_file(1, 4, "d", "f", 1, 1);
    struct kv_version *base = build(NULL);
    for (uint32_t i = 0; i < COUNT_OF(cases); i++) {
        struct quarry_error error = {0};
        begin_edit();
        if (cases[i].remove_number != 0) {
            remove_file(cases[i].remove_level, cases[i].remove_number);
        }
        if (cases[i].add_number != 0) {
            add_file(cases[i].add_level, cases[i].add_number, cases[i].smallest, cases[i].largest,
                     1, 1);
        }
        assert_int_equal(try_build(base, &error), QUARRY_CORRUPT);
        assert_true(error.text[0] != '\0');
    }
    begin_edit();
    add_file(1, 9, "x", "y", 7, 6);
    assert_int_equal(try_build(base, NULL), QUARRY_CORRUPT);
    begin_edit();
    remove_file(1, 4);
    remove_file(1, 4);
    assert_int_equal(try_build(base, NULL), QUARRY_CORRUPT);
    kv_version_release(base);
}

static void neighbours_may_share_a_user_key(void **state)
{
    struct kv_edit_file file;

    (void)state;
    begin_edit();
    file = edit_file(1, 4, "a", "m", 5, 9);
    assert_int_equal(kv_edit_add(current_edit(), &file), QUARRY_OK);
    file = edit_file(1, 5, "m", "z", 1, 4);
    assert_int_equal(kv_edit_add(current_edit(), &file), QUARRY_OK);
    struct kv_version *version = build(NULL);
    const struct kv_run *run = &version->levels[1];
    uint64_t prefix = kv_prefix8(text("m"));
    struct kv_key newer = {text("m"), kv_trailer_seek(7)}, older = {text("m"), kv_trailer_seek(4)};
    assert_int_equal(kv_run_find(run, &kv_bytewise, text("m"), prefix), 0);
    assert_int_equal(kv_run_find_key(run, &kv_bytewise, newer, prefix), 0);
    assert_int_equal(kv_run_find_key(run, &kv_bytewise, older, prefix), 1);
    kv_version_release(version);
}

static void the_end_of_a_range_deletion_is_not_in_its_file(void **state)
{
    struct kv_edit_file file = edit_file(1, 4, "a", "m", 5, 9);
    uint32_t from, to;

    (void)state;
    begin_edit();
    file.largest.trailer = kv_trailer(KV_SEQUENCE_MAX, KV_TYPE_RANGE_DELETE);
    assert_int_equal(kv_edit_add(current_edit(), &file), QUARRY_OK);
    add_file(1, 5, "m", "z", 1, 9);
    struct kv_version *version = build(NULL);
    const struct kv_run *run = &version->levels[1];
    assert_int_equal(kv_run_find(run, &kv_bytewise, text("m"), kv_prefix8(text("m"))), 1);
    assert_false(kv_file_may_have(run->files[0], &kv_bytewise, text("m")));
    assert_true(kv_file_may_have(run->files[0], &kv_bytewise, text("lz")));
    struct kv_key_range at_m = {text("m"), text("m"), false};
    assert_true(kv_run_overlap(run, &kv_bytewise, &at_m, &from, &to));
    assert_int_equal(from, 1);
    struct kv_key_range up_to_m = {text("b"), text("m"), true};
    assert_true(kv_run_overlap(run, &kv_bytewise, &up_to_m, &from, &to));
    assert_int_equal(from, 0);
    assert_int_equal(to, 1);
    kv_version_release(version);
}

static void without_memory_no_version_is_made(void **state)
{
    char keys[40][2][8];
    uint32_t failed = 0;

    (void)state;
    begin_edit();
    for (uint32_t i = 0; i < 40; i++) {
        (void)snprintf(keys[i][0], sizeof(keys[i][0]), "k%02ua", i);
        (void)snprintf(keys[i][1], sizeof(keys[i][1]), "k%02ub", i);
        add_file(i < 20 ? 0 : 2, 100 + i, keys[i][0], keys[i][1], i + 1, i + 1);
    }
    enum quarry_status status = QUARRY_NO_MEMORY;
    for (uint64_t allowed = 0; status == QUARRY_NO_MEMORY; allowed += 128) {
        uint64_t before = charged();
        allow_bytes(allowed);
        status = try_build(NULL, NULL);
        assert_int_equal(charged(), before);
        failed += status == QUARRY_NO_MEMORY;
    }
    assert_int_equal(status, QUARRY_OK);
    assert_in_range(failed, 40, 1000);
    allow_bytes(UINT64_MAX);
}

/* Beside the common beginning of keys: shorter than it, before it, behind it, or all of it. */
static void check_keys_that_begin_otherwise(const struct kv_run *run,
                                            const struct quarry_kv_comparator *comparator)
{
    static const char *const keys[] = {"",       "a",       "c",        "comm",     "comma",
                                       "common", "common-", "common.",  "common,",  "common-z",
                                       "comn",   "z",       "zzzzzzzz", "\xff\xff", "common-\xff"};

    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        struct kv_slice key = text(keys[i]);
        uint32_t walked = 0;
        while (walked < run->file_count &&
               kv_compare(comparator, run->files[walked]->largest.user, key) < 0) {
            walked++;
        }
        assert_int_equal(kv_run_find(run, comparator, key, kv_prefix8(key)), walked);
    }
}

/* ---- searching ------------------------------------------------------------------------------ */

/* A run of files with gaps, of keys with long common beginnings; found as one by one. */
static void a_search_finds_what_a_walk_finds(void **state)
{
    static char keys[300][24];
    const uint32_t key_count = COUNT_OF(keys);
    uint64_t seed = 3;

    (void)state;
    for (uint32_t round = 0; round < 40; round++) {
        const struct quarry_kv_comparator *comparator = round % 4 == 3 ? &reversed : &kv_bytewise;
        struct kv_builder *builder = NULL;
        struct kv_version *version = NULL;
        for (uint32_t i = 0; i < key_count; i++) {
            /* Some share eight bytes, some are the prefix of the next. */
            uint32_t number = comparator == &reversed ? key_count - i : i;
            (void)snprintf(keys[i], sizeof(keys[i]), round % 2 == 0 ? "%c%03u" : "common-%c-%03u",
                           (int)('a' + number / 100), number);
        }
        begin_edit();
        for (uint32_t at = 0; at + 4 < key_count;) {
            uint32_t last = at + (uint32_t)random_below(&seed, 4);
            add_file(1, 1000 + at, keys[at], keys[last], 1, 1);
            at = last + 1 + (uint32_t)random_below(&seed, 3);
        }
        assert_int_equal(kv_builder_create(&heap, comparator, NULL, &builder), QUARRY_OK);
        assert_int_equal(kv_builder_apply(builder, current_edit(), NULL), QUARRY_OK);
        assert_int_equal(kv_builder_finish(builder, &version, NULL), QUARRY_OK);
        kv_builder_destroy(builder);
        assert_int_equal(kv_version_validate(version, NULL), QUARRY_OK);
        const struct kv_run *run = &version->levels[1];
        assert_true((run->largest_prefix8 == NULL) == (comparator == &reversed));
        for (uint32_t i = 0; i < key_count; i++) {
            struct kv_slice key = text(keys[i]);
            uint32_t walked = 0;
            while (walked < run->file_count &&
                   kv_compare(comparator, run->files[walked]->largest.user, key) < 0) {
                walked++;
            }
            assert_int_equal(kv_run_find(run, comparator, key, kv_prefix8(key)), walked);
        }
        check_keys_that_begin_otherwise(run, comparator);
        for (uint32_t i = 0; i < 200; i++) {
            uint32_t begin = (uint32_t)random_below(&seed, key_count);
            uint32_t end = begin + (uint32_t)random_below(&seed, key_count - begin);
            struct kv_key_range range = {text(keys[begin]), text(keys[end]),
                                         random_below(&seed, 2) == 0};
            uint32_t from = 0, to = 0, overlap_count = 0;
            bool any = kv_run_overlap(run, comparator, &range, &from, &to);
            for (uint32_t file = 0; file < run->file_count; file++) {
                struct kv_key_range own = kv_file_range(run->files[file]);
                bool overlaps =
                    kv_compare(comparator, own.end, range.begin) >= 0 &&
                    (kv_compare(comparator, own.begin, range.end) < 0 ||
                     (!range.is_end_open && kv_compare(comparator, own.begin, range.end) == 0));
                overlap_count += overlaps;
                assert_true(!overlaps || (file >= from && file < to));
            }
            assert_int_equal(any, overlap_count != 0);
            assert_true(!any || to - from == overlap_count);
        }
        kv_version_release(version);
    }
}

static void keys_of_all_ones_are_found(void **state)
{
    (void)state;
    begin_edit();
    add_file(1, 4, "a", "\xff\xff\xff\xff\xff\xff\xff\xff", 1, 1);
    add_file(1, 5, "\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\xff\xff\xff\xff\xff\xff\xff\xff\x05",
             1, 1);
    struct kv_version *version = build(NULL);
    struct kv_slice key = text("\xff\xff\xff\xff\xff\xff\xff\xff\x03");
    assert_int_equal(kv_run_find(&version->levels[1], &kv_bytewise, key, kv_prefix8(key)), 1);
    key = text("\xff\xff\xff\xff\xff\xff\xff\xff\x07");
    assert_int_equal(kv_run_find(&version->levels[1], &kv_bytewise, key, kv_prefix8(key)), 2);
    kv_version_release(version);
}

/* ---- level 0 -------------------------------------------------------------------------------- */

static void level_0_is_stacked_as_drawn(void **state)
{
    (void)state;
    begin_edit();
    add_file(0, 1, "a", "e", 1, 10);  /* the oldest, at the bottom */
    add_file(0, 2, "n", "p", 11, 20); /* beside it */
    add_file(0, 3, "d", "k", 21, 30); /* on 1 */
    add_file(0, 4, "b", "c", 31, 40); /* on 1, beside 3 */
    add_file(0, 5, "a", "f", 41, 50); /* on 3 and 4 */
    struct kv_version *version = build(NULL);
    static const uint32_t expected[] = {0, 1, 1, 2, 2}; /* of 5, 4, 3, 2, 1 */
    assert_int_equal(version->sublevel_count, 3);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(version->levels[0].files[i]->number, 5 - i);
        assert_int_equal(version->sublevel_of[i], expected[i]);
    }
    assert_int_equal(version->sublevels[1].file_count, 2);
    assert_int_equal(version->sublevels[1].files[0]->number, 4);
    uint32_t depth = 0;
    for (uint32_t i = 0; i < version->interval_count; i++) {
        depth = version->intervals[i].depth > depth ? version->intervals[i].depth : depth;
    }
    assert_int_equal(depth, 3);
    kv_version_release(version);
}

static void files_that_touch_overlap_unless_the_end_is_open(void **state)
{
    struct kv_edit_file file = edit_file(0, 2, "a", "c", 11, 20);

    (void)state;
    begin_edit();
    add_file(0, 1, "c", "e", 1, 10);
    assert_int_equal(kv_edit_add(current_edit(), &file), QUARRY_OK);
    struct kv_version *version = build(NULL);
    assert_int_equal(version->sublevel_count, 2);
    kv_version_release(version);
    begin_edit();
    add_file(0, 1, "c", "e", 1, 10);
    file.largest.trailer = kv_trailer(KV_SEQUENCE_MAX, KV_TYPE_RANGE_DELETE);
    assert_int_equal(kv_edit_add(current_edit(), &file), QUARRY_OK);
    version = build(NULL);
    assert_int_equal(version->sublevel_count, 1);
    kv_version_release(version);
}

/* Validation compares each pair: so random stacks say that sublevels keep every order. */
static void random_stacks_keep_the_order_of_files(void **state)
{
    static char keys[100][8];
    uint64_t seed = 11;

    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(keys); i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "k%02u", i);
    }
    for (uint32_t round = 0; round < 200; round++) {
        uint32_t file_count = 1 + (uint32_t)random_below(&seed, 40);
        begin_edit();
        for (uint32_t i = 0; i < file_count; i++) {
            uint32_t first = (uint32_t)random_below(&seed, COUNT_OF(keys));
            uint32_t last = first + (uint32_t)random_below(&seed, COUNT_OF(keys) - first);
            struct kv_edit_file file =
                edit_file(0, i + 1, keys[first], keys[last], 10 * i, 10 * i + 9);
            if (first != last && random_below(&seed, 3) == 0) {
                file.largest.trailer = kv_trailer(KV_SEQUENCE_MAX, KV_TYPE_RANGE_DELETE);
            }
            assert_int_equal(kv_edit_add(current_edit(), &file), QUARRY_OK);
        }
        struct kv_version *version = build(NULL);
        for (uint32_t i = 0; i < version->interval_count; i++) {
            uint32_t depth = 0;
            for (uint32_t at = 0; at < file_count; at++) {
                struct kv_key_range range = kv_file_range(version->levels[0].files[at]);
                /* A point of the interval: its key, or just behind it. */
                bool begins = kv_compare_bytes(range.begin, version->intervals[i].key) <= 0;
                int end = kv_compare_bytes(range.end, version->intervals[i].key);
                depth += begins && (end > 0 || (end == 0 && !range.is_end_open &&
                                                !version->intervals[i].is_after));
            }
            assert_int_equal(version->intervals[i].depth, depth);
        }
        kv_version_release(version);
    }
}

static void files_without_sequences_are_ordered_by_number(void **state)
{
    struct kv_builder *builder = NULL;
    struct kv_version *version = NULL;

    (void)state;
    begin_edit();
    for (uint64_t number = 1; number <= 3; number++) {
        struct kv_edit_file file = edit_file(0, number, "a", "b", 0, KV_SEQUENCE_MAX);
        file.has_sequences = false;
        assert_int_equal(kv_edit_add(current_edit(), &file), QUARRY_OK);
    }
    add_file(0, 4, "a", "b", 51, 60); /* flushed after them */
    assert_int_equal(kv_builder_create(&heap, &kv_bytewise, NULL, &builder), QUARRY_OK);
    assert_int_equal(kv_builder_apply(builder, current_edit(), NULL), QUARRY_OK);
    kv_builder_bound_sequences(builder, 50);
    assert_int_equal(kv_builder_finish(builder, &version, NULL), QUARRY_OK);
    kv_builder_destroy(builder);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(version->levels[0].files[i]->number, 4 - i);
    }
    assert_int_equal(version->levels[0].files[1]->largest_sequence, 50);
    kv_version_release(version);
}

/* ---- references ----------------------------------------------------------------------------- */

static uint64_t gone[16];
static uint32_t gone_count;

static void note_gone(void *argument, struct kv_file *file)
{
    gone[gone_count++] = file->number;
    kv_file_free(argument, file);
}

static void count_live(void *argument, const struct kv_file *file)
{
    (void)file;
    (*(uint32_t *)argument)++;
}

static void files_go_with_the_last_version_that_has_them(void **state)
{
    struct kv_versions set;
    uint32_t live = 0;

    (void)state;
    gone_count = 0;
    kv_versions_init(&set, epoch);
    begin_edit();
    add_file(1, 4, "a", "b", 1, 1);
    add_file(1, 5, "c", "d", 1, 1);
    kv_versions_install(&set, build(NULL));
    struct kv_version *held = kv_versions_acquire(&set);
    begin_edit();
    remove_file(1, 4);
    kv_versions_install(&set, build(held));
    kv_versions_collect(&set, note_gone, &heap);
    assert_int_equal(gone_count, 0); /* held */
    kv_versions_visit_live(&set, count_live, &live);
    assert_int_equal(live, 3);
    assert_int_equal(set.live_count, 2);
    kv_version_release(held);
    kv_versions_collect(&set, note_gone, &heap);
    assert_int_equal(gone_count, 1);
    assert_int_equal(gone[0], 4);
    assert_int_equal(set.live_count, 1);
    kv_versions_fini(&set);
}

static void a_reader_inside_the_epoch_keeps_what_it_sees(void **state)
{
    struct kv_versions set;

    (void)state;
    gone_count = 0;
    kv_versions_init(&set, epoch);
    begin_edit();
    add_file(1, 4, "a", "b", 1, 1);
    kv_versions_install(&set, build(NULL));
    quarry_epoch_enter(epoch);
    struct kv_version *seen = kv_versions_current(&set);
    begin_edit();
    remove_file(1, 4);
    kv_versions_install(&set, build(seen));
    kv_versions_collect(&set, note_gone, &heap);
    assert_int_equal(gone_count, 0);
    assert_int_equal(seen->levels[1].files[0]->number, 4);
    quarry_epoch_leave(epoch);
    kv_versions_collect(&set, note_gone, &heap);
    assert_int_equal(gone_count, 1);
    kv_versions_fini(&set);
}

static void a_snapshot_builds_the_same_version(void **state)
{
    struct kv_edit snapshot;
    struct kv_builder *builder = NULL;
    struct kv_version *copy = NULL;

    (void)state;
    begin_edit();
    add_file(0, 1, "a", "e", 1, 10);
    add_file(0, 3, "d", "k", 21, 30);
    add_file(1, 4, "a", "b", 1, 1);
    add_file(6, 5, "c", "d", 1, 1);
    struct kv_version *version = build(NULL);
    kv_edit_init(&snapshot, &heap);
    assert_int_equal(kv_version_snapshot(version, &snapshot), QUARRY_OK);
    assert_int_equal(kv_builder_create(&heap, &kv_bytewise, NULL, &builder), QUARRY_OK);
    assert_int_equal(kv_builder_apply(builder, &snapshot, NULL), QUARRY_OK);
    assert_int_equal(kv_builder_finish(builder, &copy, NULL), QUARRY_OK);
    kv_builder_destroy(builder);
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        assert_int_equal(copy->levels[level].file_count, version->levels[level].file_count);
        for (uint32_t i = 0; i < copy->levels[level].file_count; i++) {
            assert_int_equal(copy->levels[level].files[i]->number,
                             version->levels[level].files[i]->number);
        }
    }
    struct kv_key_range range = {text("c"), text("c"), false};
    assert_true(kv_version_has_below(version, 2, &range));
    range = (struct kv_key_range){text("e"), text("z"), false};
    assert_false(kv_version_has_below(version, 1, &range));
    kv_edit_fini(&snapshot);
    kv_version_release(version);
    kv_version_release(copy);
}

#define RIGGED(test) cmocka_unit_test_setup_teardown(test, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIGGED(an_edit_adds_removes_and_moves_files),
        RIGGED(an_edit_that_does_not_fit_is_refused),
        RIGGED(neighbours_may_share_a_user_key),
        RIGGED(the_end_of_a_range_deletion_is_not_in_its_file),
        RIGGED(without_memory_no_version_is_made),
        RIGGED(a_search_finds_what_a_walk_finds),
        RIGGED(keys_of_all_ones_are_found),
        RIGGED(level_0_is_stacked_as_drawn),
        RIGGED(files_that_touch_overlap_unless_the_end_is_open),
        RIGGED(random_stacks_keep_the_order_of_files),
        RIGGED(files_without_sequences_are_ordered_by_number),
        RIGGED(files_go_with_the_last_version_that_has_them),
        RIGGED(a_reader_inside_the_epoch_keeps_what_it_sees),
        RIGGED(a_snapshot_builds_the_same_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
