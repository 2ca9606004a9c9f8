/* Compaction in a store: what every reader sees stays the same, whatever is compacted. */
#include "unit/kv/back_rig.h"
#include "unit/base/rounds.h"

#include <kv/background.h>

static void run_history(uint64_t seed, uint32_t change_count)
{
    back_begin(seed);
    back.options.level0_compact = 1 + (uint32_t)(seed % 4);
    back.options.compression_bottom =
        seed % 3 == 0 ? QUARRY_KV_COMPRESSION_LZ4 : QUARRY_KV_COMPRESSION_NONE;
    back_open();
    for (uint32_t i = 0; i < change_count; i++) {
        back_change();
        if (i % 97 == 0) {
            back_check();
        }
        if (i % 499 == 0) {
            back_work();
            back_check();
        }
    }
    back_check();
    back_work();
    back_check();
    back_compact();
    back_check();
    back_end();
}

static void test_random_histories_read_as_the_model_says(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 24; seed++) {
        run_history(seed * 7919, 1500);
    }
}

static void test_nothing_is_left_of_what_was_deleted(void **state)
{
    (void)state;
    back_begin(11);
    back_open();
    for (uint32_t key = 0; key < BACK_KEYS; key++) {
        back_put(key);
    }
    back_flush();
    for (uint32_t key = 0; key < BACK_KEYS; key += 2) {
        back_delete(key);
    }
    back_delete_range(40, BACK_KEYS);
    back_compact();
    assert_int_equal(back_deletion_count(), 0);
    assert_int_equal(back_entry_count(), 20);
    back_check();
    back_delete_range(0, BACK_KEYS);
    back_compact();
    assert_int_equal(back_entry_count(), 0);
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        assert_int_equal(back_file_count(level), 0);
    }
    assert_int_equal(back_count_names(KV_FILE_TABLE), 0);
    back_end();
}

static void test_a_snapshot_keeps_what_it_sees(void **state)
{
    (void)state;
    back_begin(12);
    back_open();
    for (uint32_t key = 0; key < BACK_KEYS; key++) {
        back_put(key);
    }
    back_take(0);
    back_delete_range(0, BACK_KEYS);
    back_compact();
    assert_true(back_entry_count() >= BACK_KEYS);
    back_check();
    back_release(0);
    back_compact();
    assert_int_equal(back_entry_count(), 0);
    back_check();
    back_end();
}

static void test_files_that_do_not_overlap_are_moved(void **state)
{
    (void)state;
    back_begin(13);
    back.options.level0_compact = 1;
    back_open();
    for (uint32_t key = 0; key < BACK_KEYS; key += 10) {
        for (uint32_t i = 0; i < 10; i++) {
            back_put(key + i);
        }
        back_flush();
        back_work();
    }
    assert_true(back.kv->counts != NULL);
    uint64_t moves = 0;
    for (uint32_t i = 0; i < KV_COUNT_STRIPES; i++) {
        moves += back.kv->counts[i].count[KV_COUNT_MOVES];
    }
    assert_true(moves >= 5);
    back_check();
    back_end();
}

static void test_a_range_deletion_drops_files_without_reading_them(void **state)
{
    (void)state;
    back_begin(14);
    back.options.level0_compact = 8;
    back_open();
    for (uint32_t key = 0; key < BACK_KEYS; key++) {
        back_put_large(key, 1000);
    }
    back_compact();
    uint64_t before = quarry_vfs_fault_count(back.vfs, QUARRY_VFS_OP_READ);
    back_delete_range(0, BACK_KEYS);
    back_flush();
    back_work();
    assert_int_equal(back_file_count(6), 0);
    assert_int_equal(quarry_vfs_fault_count(back.vfs, QUARRY_VFS_OP_READ), before);
    back_check();
    back_end();
}

/* Entries whose sequences became 0 at the bottom look older than any deletion. */
static void test_what_is_newer_than_a_range_deletion_is_not_dropped_by_it(void **state)
{
    (void)state;
    back_begin(15);
    back_open();
    for (uint32_t key = 0; key < BACK_KEYS; key++) {
        back_put_large(key, 300);
    }
    back_compact();
    back_delete_range(0, BACK_KEYS);
    back_flush();
    for (uint32_t key = 10; key < 20; key++) {
        back_put_large(key, 300);
    }
    back_compact();
    back_work();
    back_check();
    assert_int_equal(back_entry_count(), 10);
    back_end();
}

static void test_sequences_at_the_bottom_are_zero(void **state)
{
    (void)state;
    back_begin(16);
    back_open();
    for (uint32_t key = 0; key < BACK_KEYS; key++) {
        back_put(key);
    }
    back_compact();
    struct kv_version *version = kv_versions_acquire(&back.kv->versions);
    for (uint32_t i = 0; i < version->levels[6].file_count; i++) {
        assert_int_equal(version->levels[6].files[i]->largest_sequence, 0);
    }
    assert_true(version->levels[6].file_count != 0);
    kv_version_release(version);
    back_check();
    back_end();
}

static void test_outputs_are_about_as_large_as_wanted(void **state)
{
    (void)state;
    back_begin(17);
    back_open();
    for (uint32_t key = 0; key < BACK_KEYS; key++) {
        back_put_large(key, 1300);
    }
    back_compact();
    struct kv_version *version = kv_versions_acquire(&back.kv->versions);
    assert_true(version->levels[6].file_count >= 7);
    for (uint32_t i = 0; i < version->levels[6].file_count; i++) {
        assert_true(version->levels[6].files[i]->byte_count < Q_KIB(13));
    }
    kv_version_release(version);
    back_end();
}

static void test_a_store_reads_the_same_when_it_is_opened_again(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= ROUNDS(6, 2); seed++) {
        back_begin(seed * 104729);
        back_open();
        for (uint32_t round = 0; round < 6; round++) {
            for (uint32_t i = 0; i < 200; i++) {
                back_change();
            }
            back_close();
            back_open();
            back_check();
            assert_true(back_count_names(KV_FILE_OPTIONS) <= 2);
        }
        back_end();
    }
}

static void test_no_file_is_left_that_no_version_has(void **state)
{
    (void)state;
    back_begin(18);
    back_open();
    for (uint32_t i = 0; i < 3000; i++) {
        back_change();
    }
    for (uint32_t i = 0; i < BACK_SNAPSHOTS; i++) {
        back_release(i);
    }
    back_flush();
    back_work();
    uint32_t file_count = 0;
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        file_count += back_file_count(level);
    }
    assert_int_equal(back_count_names(KV_FILE_TABLE), file_count);
    assert_int_equal(back_count_names(KV_FILE_MANIFEST), 1);
    assert_true(back_count_names(KV_FILE_LOG) <= 3);
    assert_int_equal(back_count_names(KV_FILE_TEMPORARY), 0);
    back_end();
}

/* ---- threads -------------------------------------------------------------------------------- */

static void test_threads_compact_while_it_is_written_to(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        back_begin(seed * 31337);
        back.options.is_stepped = false;
        back.options.background_count = 2;
        back_open();
        for (uint32_t i = 0; i < 4000; i++) {
            back_change();
            if (i % 401 == 0) {
                back_check();
            }
        }
        back_work();
        back_check();
        assert_true(back.events[QUARRY_KV_EVENT_COMPACTED] != 0);
        back_end();
    }
}

static void test_closing_gives_up_what_is_under_way(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        back_begin(seed * 271);
        back.options.is_stepped = false;
        back_open();
        for (uint32_t i = 0; i < 300 + 20 * seed; i++) {
            back_change();
        }
        back_close();
        back_open();
        back_check();
        back_end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_histories_read_as_the_model_says),
        cmocka_unit_test(test_nothing_is_left_of_what_was_deleted),
        cmocka_unit_test(test_a_snapshot_keeps_what_it_sees),
        cmocka_unit_test(test_files_that_do_not_overlap_are_moved),
        cmocka_unit_test(test_a_range_deletion_drops_files_without_reading_them),
        cmocka_unit_test(test_what_is_newer_than_a_range_deletion_is_not_dropped_by_it),
        cmocka_unit_test(test_sequences_at_the_bottom_are_zero),
        cmocka_unit_test(test_outputs_are_about_as_large_as_wanted),
        cmocka_unit_test(test_a_store_reads_the_same_when_it_is_opened_again),
        cmocka_unit_test(test_no_file_is_left_that_no_version_has),
        cmocka_unit_test(test_threads_compact_while_it_is_written_to),
        cmocka_unit_test(test_closing_gives_up_what_is_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
