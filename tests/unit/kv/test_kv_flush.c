/* Flushing, changes of files, and what happens when the disk does not do its part. */
#include "unit/kv/back_rig.h"

#include <stdio.h>
#include <string.h>

#include <kv/background_parts.h>
#include <kv/commit.h>

static void test_layers_that_wait_become_one_file(void **state)
{
    (void)state;
    back_begin(21);
    back.options.write_buffer_count = 5;
    back.options.level0_compact = 8;
    back_open();
    for (uint32_t round = 0; round < 3; round++) {
        back_put(1);
        back_put(2 + round);
        assert_int_equal(kv_rotate(back.kv, NULL, NULL), QUARRY_OK);
    }
    assert_int_equal(back.kv->immutable_count, 3);
    assert_true(quarry_kv_step(back.kv));
    assert_int_equal(back.kv->immutable_count, 0);
    assert_int_equal(back_file_count(0), 1);
    assert_int_equal(back_entry_count(), 4); /* what was overwritten is not written */
    assert_int_equal(back.events[QUARRY_KV_EVENT_FLUSHED], 1);
    back_check();
    back_end();
}

static void test_deletions_are_flushed_as_well(void **state)
{
    (void)state;
    back_begin(22);
    back_open();
    back_delete(1);
    back_delete_range(4, 9);
    back_flush();
    assert_int_equal(back_entry_count(), 2);
    assert_int_equal(back_deletion_count(), 3); /* the range counts as both */
    back_end();
}

static void test_an_empty_store_flushes_to_nothing(void **state)
{
    (void)state;
    back_begin(23);
    back_open();
    back_flush();
    assert_int_equal(back_file_count(0), 0);
    back_compact();
    assert_false(quarry_kv_step(back.kv));
    back_work();
    back_end();
}

static void test_flushing_forgets_the_log(void **state)
{
    (void)state;
    back_begin(24);
    back_open();
    for (uint32_t round = 0; round < 20; round++) {
        back_put(round);
        back_flush();
    }
    assert_true(back_count_names(KV_FILE_LOG) <= 3);
    back_close();
    back_open();
    back_check();
    back_end();
}

static void test_files_stay_while_they_are_held(void **state)
{
    (void)state;
    back_begin(25);
    back_open();
    for (uint32_t key = 0; key < BACK_KEYS; key++) {
        back_put(key);
    }
    back_flush();
    back_put(0);
    back_flush();
    kv_files_hold(back.kv);
    kv_files_hold(back.kv);
    uint32_t before = back_count_names(KV_FILE_TABLE);
    back_compact();
    assert_true(back_count_names(KV_FILE_TABLE) > before);
    kv_files_let_go(back.kv);
    assert_true(back_count_names(KV_FILE_TABLE) > before);
    kv_files_let_go(back.kv);
    uint32_t file_count = 0;
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        file_count += back_file_count(level);
    }
    assert_int_equal(back_count_names(KV_FILE_TABLE), file_count);
    back_check();
    back_end();
}

static void test_a_large_batch_is_flushed(void **state)
{
    struct quarry_kv_batch *batch;
    char value[1000];

    (void)state;
    back_begin(26);
    back_open();
    assert_int_equal(quarry_kv_batch_create(back.kv, false, &batch), QUARRY_OK);
    memset(value, 'v', sizeof(value));
    for (uint32_t i = 0; i < 200; i++) {
        char key[16];
        snprintf(key, sizeof(key), "large%03u", i);
        assert_int_equal(quarry_kv_batch_put(batch, key, 8, value, sizeof(value)), QUARRY_OK);
    }
    assert_int_equal(quarry_kv_write(back.kv, NULL, batch, NULL), QUARRY_OK);
    quarry_kv_batch_destroy(batch);
    back_flush();
    assert_int_equal(back_entry_count(), 200);
    assert_int_equal(quarry_kv_exists(back.kv, NULL, "large123", 8, NULL), QUARRY_OK);
    back_end();
}

/* ---- errors of the disk --------------------------------------------------------------------- */

static void set_fault(uint64_t first, uint64_t count, const char *path, enum quarry_status status)
{
    const struct quarry_vfs_fault fault = {
        .path_contains = path, .first = first, .count = count, .status = status, .os_errno = 5};

    quarry_vfs_fault_set(back.vfs, 0, &fault);
}

/* Two overlapping generations of files and a memtable, so that there is something of each kind. */
static void fill(uint64_t seed)
{
    back_begin(seed);
    back.options.durability = QUARRY_KV_POWER;
    back_open();
    for (uint32_t key = 0; key < BACK_KEYS; key++) {
        back_put(key);
    }
    back_compact();
    back_take(0);
    for (uint32_t key = 0; key < BACK_KEYS; key += 3) {
        back_put(key);
    }
    back_delete_range(10, 20);
    back_flush();
    for (uint32_t key = 0; key < BACK_KEYS; key += 4) {
        back_merge(key);
    }
}

static enum quarry_status flush_and_compact(void)
{
    const struct quarry_kv_slice none = {NULL, 0};
    enum quarry_status status = quarry_kv_flush(back.kv, NULL);

    return status == QUARRY_OK ? quarry_kv_compact_range(back.kv, none, none, NULL) : status;
}

/* The disk is well again: after some steps the store is too, and nothing is left lying about. */
static void recover_and_check(void)
{
    struct quarry_kv_state kv_state;

    quarry_vfs_fault_set(back.vfs, 0, NULL);
    back_check();
    for (uint32_t i = 0; i < 10; i++) {
        (void)quarry_kv_step(back.kv);
    }
    quarry_kv_read_state(back.kv, &kv_state);
    assert_false(kv_state.is_read_only);
    back_put(5);
    assert_int_equal(flush_and_compact(), QUARRY_OK);
    back_check();
    back_release(0);
    back_compact();
    back_work();
    uint32_t file_count = 0;
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        file_count += back_file_count(level);
    }
    assert_int_equal(back_count_names(KV_FILE_TABLE), file_count);
    assert_int_equal(back_count_names(KV_FILE_MANIFEST), 1);
    back_close();
    back_open();
    back_check();
    back_end();
}

static void sweep(uint64_t count, enum quarry_status status, uint64_t step)
{
    uint64_t failed = 0;

    for (uint64_t first = 1;; first += step) {
        fill(31);
        set_fault(first, count, NULL, status);
        enum quarry_status got = flush_and_compact();
        uint64_t hits = quarry_vfs_fault_hits(back.vfs, 0);
        failed += got != QUARRY_OK;
        recover_and_check();
        if (hits == 0) {
            break;
        }
    }
    assert_true(failed > 10);
}

static void test_an_io_error_at_any_place_changes_nothing_that_is_read(void **state)
{
    (void)state;
    sweep(1, QUARRY_IO, 1);
}

static void test_a_disk_that_fails_for_a_while_is_gone_on_with(void **state)
{
    (void)state;
    sweep(25, QUARRY_IO, 3);
}

static void test_no_space_at_any_place_changes_nothing_that_is_read(void **state)
{
    (void)state;
    sweep(1, QUARRY_NO_SPACE, 2);
}

static void bound(enum kv_part part, uint64_t more_bytes)
{
    struct quarry_account *account = back.kv->part[part];
    struct quarry_account_state account_state;
    uint64_t ceiling = 0; /* none */

    if (more_bytes != UINT64_MAX) {
        quarry_account_read(account, &account_state);
        ceiling = account_state.charged_bytes + more_bytes + 1;
    }
    assert_int_equal(quarry_account_set_bounds(account, 0, ceiling), QUARRY_OK);
}

static void sweep_memory(enum kv_part part, uint64_t step_bytes)
{
    enum quarry_status status = QUARRY_NO_MEMORY;
    uint32_t failed = 0;

    for (uint64_t more_bytes = 0; status != QUARRY_OK; more_bytes += step_bytes) {
        fill(41);
        bound(part, more_bytes);
        status = flush_and_compact();
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
        failed += status != QUARRY_OK;
        bound(part, UINT64_MAX);
        recover_and_check();
    }
    assert_true(failed >= 3);
}

static void test_no_memory_at_any_place_changes_nothing_that_is_read(void **state)
{
    (void)state;
    sweep_memory(KV_PART_COMPACTION, 512);
    sweep_memory(KV_PART_META, 512);
}

/* Somebody else's bytes in what compactions may use: he gives them back when asked often enough. */
struct holder {
    struct quarry_account *account;
    uint64_t charged_bytes;
    uint32_t ask_count, ask_count_max;
};

static uint64_t give_when_asked_often(void *argument, uint64_t wanted_bytes)
{
    struct holder *holder = argument;
    uint64_t bytes = holder->charged_bytes;

    (void)wanted_bytes;
    if (bytes == 0 || ++holder->ask_count < holder->ask_count_max) {
        return 0;
    }
    holder->charged_bytes = 0;
    quarry_account_uncharge(holder->account, bytes);
    return bytes;
}

/* Compacts all beside a holder. Returns: how often he was asked. */
static uint32_t compact_beside_holder(uint32_t ask_count_max, enum quarry_status wanted)
{
    const struct quarry_kv_slice none = {NULL, 0};
    struct holder holder = {.ask_count_max = ask_count_max, .charged_bytes = Q_MIB(1)};
    struct quarry_account_options options = {.name = "holder",
                                             .parent = back.kv->part[KV_PART_COMPACTION],
                                             .reclaim = give_when_asked_often,
                                             .argument = &holder};

    assert_int_equal(quarry_account_create(back.memory, &options, &holder.account, NULL),
                     QUARRY_OK);
    assert_int_equal(quarry_account_charge(holder.account, holder.charged_bytes), QUARRY_OK);
    bound(KV_PART_COMPACTION, 0);
    assert_int_equal(quarry_kv_compact_range(back.kv, none, none, NULL), wanted);
    bound(KV_PART_COMPACTION, UINT64_MAX);
    quarry_account_uncharge(holder.account, holder.charged_bytes);
    quarry_account_destroy(holder.account);
    return holder.ask_count;
}

static void test_a_range_that_finds_no_memory_is_tried_again(void **state)
{
    (void)state;
    fill(43);
    assert_int_equal(quarry_kv_flush(back.kv, NULL), QUARRY_OK);
    uint32_t ask_count = compact_beside_holder(UINT32_MAX, QUARRY_NO_MEMORY);
    assert_true(ask_count >= 5); /* five tries */
    (void)compact_beside_holder(ask_count, QUARRY_OK);
    recover_and_check();
}

/* Power goes at any place of a flush and a compaction: what was acknowledged is there. */
static void test_power_lost_at_any_place_loses_nothing(void **state)
{
    (void)state;
    for (uint64_t first = 1;; first += 2) {
        struct quarry_vfs *after;
        fill(32);
        set_fault(first, 0, NULL, QUARRY_IO); /* nothing gets through from then on */
        enum quarry_status got = flush_and_compact();
        uint64_t hits = quarry_vfs_fault_hits(back.vfs, 0);
        assert_int_equal(
            quarry_vfs_memory_crash(back.disk, (uint32_t)(first * 37 % 101), first, &after),
            QUARRY_OK);
        back_release(0);
        (void)quarry_kv_close(back.kv, NULL);
        quarry_vfs_fault_destroy(back.vfs);
        quarry_vfs_memory_destroy(back.disk);
        back.disk = after;
        assert_int_equal(quarry_vfs_fault_create(after, 1, &back.vfs), QUARRY_OK);
        back.options.vfs = back.vfs;
        back_open();
        back_check();
        back_end();
        if (hits == 0) {
            assert_int_equal(got, QUARRY_OK);
            break;
        }
    }
}

static void test_a_manifest_that_cannot_be_written_turns_the_store_read_only(void **state)
{
    struct quarry_kv_state kv_state;
    struct quarry_error error;

    (void)state;
    fill(33);
    set_fault(1, 0, "MANIFEST", QUARRY_IO);
    assert_int_equal(quarry_kv_flush(back.kv, NULL), QUARRY_IO);
    quarry_kv_read_state(back.kv, &kv_state);
    assert_true(kv_state.is_read_only);
    assert_int_equal(back.events[QUARRY_KV_EVENT_READ_ONLY], 1);
    assert_int_equal(quarry_kv_put(back.kv, NULL, "k", 1, "v", 1, &error), QUARRY_PERMISSION);
    assert_true(back.kv->background->undecided_count != 0);
    /* It is not known whether the manifest has them. */
    assert_int_equal(back_count_names(KV_FILE_TABLE),
                     back_file_count(0) + back_file_count(5) + back_file_count(6) +
                         (uint32_t)back.kv->background->undecided_count);
    back_check();
    quarry_vfs_fault_set(back.vfs, 0, NULL);
    assert_true(quarry_kv_step(back.kv));
    assert_int_equal(back.events[QUARRY_KV_EVENT_RESUMED], 1);
    assert_int_equal(back.kv->background->undecided_count, 0);
    recover_and_check();
}

static void test_a_damaged_table_ends_compaction_and_not_reading(void **state)
{
    struct quarry_error error = {0};
    struct quarry_kv_state kv_state;
    struct quarry_vfs_file *file;
    struct kv_path path;
    const struct quarry_kv_slice none = {NULL, 0};

    (void)state;
    back_begin(34);
    back.options.level0_compact = 8;
    back_open();
    for (uint32_t key = 0; key < BACK_KEYS; key++) {
        back_put_large(key, 1000);
    }
    back_compact();
    struct kv_version *version = kv_versions_acquire(&back.kv->versions);
    assert_int_equal(kv_table_path(back.kv, version->levels[6].files[1], &path, NULL), QUARRY_OK);
    kv_version_release(version);
    assert_int_equal(quarry_vfs_open(back.disk, path.text, QUARRY_VFS_WRITE, &file, NULL),
                     QUARRY_OK);
    assert_int_equal(quarry_vfs_write(file, 700, "damage", 6, NULL), QUARRY_OK);
    quarry_vfs_close(file);
    for (uint32_t key = 0; key < BACK_KEYS; key++) {
        back_put_large(key, 900);
    }
    assert_int_equal(quarry_kv_compact_range(back.kv, none, none, &error), QUARRY_CORRUPT);
    assert_int_equal(back.events[QUARRY_KV_EVENT_CORRUPTION], 1);
    quarry_kv_read_state(back.kv, &kv_state);
    assert_true(kv_state.is_read_only);
    assert_false(quarry_kv_step(back.kv));           /* it is not tried again and again */
    for (uint32_t key = 0; key < BACK_KEYS; key++) { /* the newer entries lie before the damage */
        char name[16];
        snprintf(name, sizeof(name), "key%03u", key);
        assert_int_equal(quarry_kv_exists(back.kv, NULL, name, 6, NULL), QUARRY_OK);
    }
    back_end();
}

/* ---- a full disk ---------------------------------------------------------------------------- */

static void test_a_full_disk_refuses_puts_and_takes_deletions(void **state)
{
    struct quarry_error error;
    enum quarry_status status = QUARRY_OK;
    char value[1000] = {0};

    (void)state;
    back_begin(35);
    back.options.reserved_disk_bytes = Q_MIB(2);
    back.options.log_segment_bytes = Q_KIB(64);
    quarry_vfs_memory_set_space(back.disk, Q_MIB(4));
    back_open();
    uint32_t written = 0;
    for (; written < 20000 && status == QUARRY_OK; written++) {
        char key[16];
        snprintf(key, sizeof(key), "full%05u", written);
        status = quarry_kv_put(back.kv, NULL, key, 9, value, sizeof(value), &error);
    }
    assert_int_equal(status, QUARRY_NO_SPACE);
    assert_true(written > 100);
    struct quarry_kv_state kv_state;
    quarry_kv_read_state(back.kv, &kv_state);
    assert_false(kv_state.is_read_only);
    assert_int_equal(back.events[QUARRY_KV_EVENT_SPACE_LOW], 1); /* told once, however many ask */
    assert_int_equal(back.events[QUARRY_KV_EVENT_SPACE_BACK], 0);
    assert_int_equal(quarry_kv_delete_range(back.kv, NULL, "full", 4, "fulm", 4, &error),
                     QUARRY_OK);
    back_compact();
    back_work();
    assert_int_equal(back_entry_count(), 0);
    assert_int_equal(quarry_kv_put(back.kv, NULL, "k", 1, value, sizeof(value), &error), QUARRY_OK);
    assert_int_equal(back.events[QUARRY_KV_EVENT_SPACE_BACK],
                     back.events[QUARRY_KV_EVENT_SPACE_LOW]);
    back_end();
}

/* ---- limits --------------------------------------------------------------------------------- */

static void test_a_writer_does_the_work_that_it_would_wait_for(void **state)
{
    (void)state;
    back_begin(36);
    back.options.level0_stop = 3;
    back_open();
    for (uint32_t i = 0; i < 3000; i++) {
        back_put_large((uint32_t)back_below(BACK_KEYS), 1000);
        assert_true(back_file_count(0) <= 3);
    }
    assert_true(back.events[QUARRY_KV_EVENT_COMPACTED] != 0);
    back_check();
    back_end();
}

static void test_who_never_waits_is_told_that_it_is_busy(void **state)
{
    const struct quarry_kv_write_options options = {.never_waits = true};
    enum quarry_status status = QUARRY_OK;
    char value[1000] = {0};

    (void)state;
    back_begin(37);
    back_open();
    for (uint32_t i = 0; i < 1000 && status == QUARRY_OK; i++) {
        status = quarry_kv_put(back.kv, &options, "busy", 4, value, sizeof(value), NULL);
    }
    assert_int_equal(status, QUARRY_BUSY);
    while (quarry_kv_step(back.kv)) {
    }
    assert_int_equal(quarry_kv_put(back.kv, &options, "busy", 4, value, sizeof(value), NULL),
                     QUARRY_OK);
    back_end();
}

static void test_the_same_seed_does_the_same_work(void **state)
{
    uint64_t counts[2];

    (void)state;
    for (uint32_t run = 0; run < 2; run++) {
        back_begin(38);
        back_open();
        for (uint32_t i = 0; i < 1500; i++) {
            back_change();
        }
        counts[run] = quarry_vfs_fault_count(back.vfs, QUARRY_VFS_OPS);
        back_end();
    }
    assert_int_equal(counts[0], counts[1]);
}

/* ---- threads -------------------------------------------------------------------------------- */

static void test_a_threaded_store_resumes_by_itself(void **state)
{
    struct quarry_kv_state kv_state;

    (void)state;
    back_begin(39);
    back.options.is_stepped = false;
    back_open();
    back_put(1);
    set_fault(1, 0, ".sst", QUARRY_IO);
    assert_int_equal(quarry_kv_flush(back.kv, NULL), QUARRY_IO);
    quarry_vfs_fault_set(back.vfs, 0, NULL);
    for (uint32_t i = 0; i < 10000; i++) {
        quarry_kv_read_state(back.kv, &kv_state);
        if (!kv_state.is_read_only) {
            break;
        }
        os_sleep_ns(1000000);
    }
    assert_false(kv_state.is_read_only);
    back_put(2);
    back_flush();
    back_check();
    back_end();
}

static void test_background_bytes_are_bounded(void **state)
{
    (void)state;
    back_begin(40);
    back.options.is_stepped = false;
    back.options.background_bytes_per_second = 1000000;
    back_open();
    for (uint32_t key = 0; key < BACK_KEYS; key++) {
        back_put_large(key, 1300);
    }
    uint64_t begin_ns = os_monotonic_ns(os_real());
    for (uint32_t round = 0; round < 6; round++) {
        back_flush();
        back_compact();
        back_put_large(round, 1300);
        for (uint32_t key = 0; key < BACK_KEYS; key++) {
            back_put_large(key, 1300);
        }
    }
    /* Some 12 × 78 kB, but for a burst of 50 ms. */
    assert_true(os_monotonic_ns(os_real()) - begin_ns > UINT64_C(500000000));
    back_check();
    back_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers_that_wait_become_one_file),
        cmocka_unit_test(test_deletions_are_flushed_as_well),
        cmocka_unit_test(test_an_empty_store_flushes_to_nothing),
        cmocka_unit_test(test_flushing_forgets_the_log),
        cmocka_unit_test(test_files_stay_while_they_are_held),
        cmocka_unit_test(test_a_large_batch_is_flushed),
        cmocka_unit_test(test_an_io_error_at_any_place_changes_nothing_that_is_read),
        cmocka_unit_test(test_a_disk_that_fails_for_a_while_is_gone_on_with),
        cmocka_unit_test(test_no_space_at_any_place_changes_nothing_that_is_read),
        cmocka_unit_test(test_no_memory_at_any_place_changes_nothing_that_is_read),
        cmocka_unit_test(test_a_range_that_finds_no_memory_is_tried_again),
        cmocka_unit_test(test_power_lost_at_any_place_loses_nothing),
        cmocka_unit_test(test_a_manifest_that_cannot_be_written_turns_the_store_read_only),
        cmocka_unit_test(test_a_damaged_table_ends_compaction_and_not_reading),
        cmocka_unit_test(test_a_full_disk_refuses_puts_and_takes_deletions),
        cmocka_unit_test(test_a_writer_does_the_work_that_it_would_wait_for),
        cmocka_unit_test(test_who_never_waits_is_told_that_it_is_busy),
        cmocka_unit_test(test_the_same_seed_does_the_same_work),
        cmocka_unit_test(test_a_threaded_store_resumes_by_itself),
        cmocka_unit_test(test_background_bytes_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
