/*
 * Checkpoints: that they are the store as it was, share its files, and are whole or not there.
 */
#include "unit/kv/out_rig.h"

#include <string.h>

#include <kv/store.h>

static void a_checkpoint_is_the_store_as_it_was(void **state)
{
    struct quarry_kv *kv = out_open("/kv");

    (void)state;
    out_fill(kv, 0, 3000, "first");
    must(quarry_kv_flush(kv, &out_error));
    out_fill(kv, 3000, 4000, "unflushed");
    must(quarry_kv_delete_range(kv, NULL, "key000100", 9, "key000200", 9, &out_error));
    must(quarry_kv_checkpoint(kv, "/copy", &out_error));
    out_fill(kv, 0, 4000, "later");
    must(quarry_kv_compact_range(kv, (struct quarry_kv_slice){0}, (struct quarry_kv_slice){0},
                                 &out_error));

    struct quarry_kv *copy = out_open("/copy");
    out_expect_fill(copy, 0, 100, "first");
    out_expect_fill(copy, 100, 200, NULL);
    out_expect_fill(copy, 200, 3000, "first");
    out_expect_fill(copy, 3000, 4000, "unflushed");
    must(quarry_kv_verify(copy, &out_error));
    out_fill(copy, 5000, 5010, "of the copy");
    out_close(copy);
    out_expect_fill(kv, 0, 4000, "later");
    out_expect_fill(kv, 5000, 5010, NULL);
    out_close(kv);
}

static void an_empty_store_has_a_checkpoint_too(void **state)
{
    struct quarry_kv *kv = out_open("/kv");

    (void)state;
    must(quarry_kv_checkpoint(kv, "/copy", &out_error));
    out_close(kv);
    kv = out_open("/copy");
    assert_int_equal(out_count(kv), 0);
    out_close(kv);
}

static void nothing_is_put_where_something_is(void **state)
{
    struct quarry_kv *kv = out_open("/kv");

    (void)state;
    out_put(kv, "a", "1");
    must(quarry_vfs_make_directory(out_vfs, "/copy", &out_error));
    out_write_file("/copy/mine", "mine");
    assert_int_equal(quarry_kv_checkpoint(kv, "/copy", &out_error), QUARRY_EXISTS);
    assert_true(out_exists("/copy/mine"));
    assert_int_equal(quarry_kv_checkpoint(kv, "/not/there", &out_error), QUARRY_NOT_FOUND);
    out_close(kv);
}

static void files_are_copied_where_they_cannot_be_linked(void **state)
{
    struct quarry_vfs *below = out_vfs;
    const struct quarry_vfs_fault no_links = {.operations = 1u << QUARRY_VFS_OP_LINK,
                                              .status = QUARRY_UNSUPPORTED};

    (void)state;
    must(quarry_vfs_fault_create(below, 1, &out_vfs));
    struct quarry_kv *kv = out_open("/kv");
    out_fill(kv, 0, 500, "first");
    quarry_vfs_fault_set(out_vfs, 0, &no_links);
    must(quarry_kv_checkpoint(kv, "/copy", &out_error));
    assert_true(quarry_vfs_fault_hits(out_vfs, 0) > 0);
    out_close(kv);
    must(quarry_kv_destroy(out_vfs, "/kv", &out_error));
    kv = out_open("/copy");
    out_expect_fill(kv, 0, 500, "first");
    out_close(kv);
    quarry_vfs_fault_destroy(out_vfs);
    out_vfs = below;
}

/* As much memory as there may be, for every amount from none to enough. */
static void without_memory_nothing_is_left(void **state)
{
    enum quarry_status status = QUARRY_NO_MEMORY;
    struct quarry_kv *kv = out_open("/kv");
    struct quarry_account_state account;
    uint32_t refusals = 0;

    (void)state;
    out_fill(kv, 0, 100, "first");
    for (uint64_t more = 1; status != QUARRY_OK; more += 32) {
        quarry_account_read(kv->part[KV_PART_META], &account);
        must(quarry_account_set_bounds(kv->part[KV_PART_META], 0, account.charged_bytes + more));
        status = quarry_kv_checkpoint(kv, "/copy", &out_error);
        must(quarry_account_set_bounds(kv->part[KV_PART_META], 0, 0));
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
        assert_true(out_exists("/copy") == (status == QUARRY_OK));
        refusals += status != QUARRY_OK;
        assert_true(more < 16u << 20);
    }
    assert_true(refusals > 3);
    out_expect_fill(kv, 0, 100, "first");
    out_close(kv);
}

static void a_checkpoint_outlives_a_loss_of_power(void **state)
{
    struct quarry_vfs *before = out_vfs, *after;
    struct quarry_kv *kv = out_open("/kv");

    (void)state;
    out_fill(kv, 0, 700, "first");
    must(quarry_kv_checkpoint(kv, "/copy", &out_error));
    must(quarry_vfs_memory_crash(before, 0, 3, &after));
    out_close(kv);
    out_vfs = after;
    kv = out_open("/copy");
    out_expect_fill(kv, 0, 700, "first");
    out_close(kv);
    quarry_vfs_memory_destroy(before);
}

/* The n-th operation on what is in the checkpoint fails, for every n. */
static void a_checkpoint_that_fails_leaves_nothing(void **state)
{
    struct quarry_vfs *below = out_vfs;
    enum quarry_status status = QUARRY_IO;
    uint64_t n;

    (void)state;
    must(quarry_vfs_fault_create(below, 1, &out_vfs));
    struct quarry_kv *kv = out_open("/kv");
    out_fill(kv, 0, 300, "first");
    for (n = 1; status != QUARRY_OK; n++) {
        const struct quarry_vfs_fault fault = {
            .path_contains = "/copy", .first = n, .count = 1, .status = QUARRY_IO};
        quarry_vfs_fault_set(out_vfs, 0, &fault);
        status = quarry_kv_checkpoint(kv, "/copy", &out_error);
        bool was_hit = quarry_vfs_fault_hits(out_vfs, 0) != 0;
        quarry_vfs_fault_set(out_vfs, 0, NULL);
        if (status != QUARRY_OK) {
            assert_true(was_hit);
            assert_false(out_exists("/copy"));
        } else if (was_hit) { /* of an operation that may fail */
            struct quarry_kv *copy = out_open("/copy");
            out_expect_fill(copy, 0, 300, "first");
            out_close(copy);
            must(quarry_kv_destroy(out_vfs, "/copy", &out_error));
            status = QUARRY_IO;
        }
        assert_true(n < 1000);
    }
    assert_true(n > 10);
    out_expect_fill(kv, 0, 300, "first");
    out_close(kv);
    quarry_vfs_fault_destroy(out_vfs);
    out_vfs = below;
}

static void a_store_that_is_only_read_has_one_of_its_files(void **state)
{
    struct quarry_kv_options options = out_options();
    struct quarry_kv *kv = out_open("/kv");

    (void)state;
    out_fill(kv, 0, 300, "first");
    must(quarry_kv_flush(kv, &out_error));
    out_close(kv);
    options.read_only = true;
    kv = out_open_with("/kv", &options);
    must(quarry_kv_checkpoint(kv, "/copy", &out_error));
    out_shut(kv);
    kv = out_open("/copy");
    out_expect_fill(kv, 0, 300, "first");
    out_put(kv, "in the log", "yes");
    out_shut(kv);

    kv = out_open_with("/copy", &options);
    out_expect(kv, "in the log", "yes");
    assert_int_equal(quarry_kv_checkpoint(kv, "/other", &out_error), QUARRY_PERMISSION);
    assert_false(out_exists("/other"));
    out_shut(kv);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, out_set_up, out_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_checkpoint_is_the_store_as_it_was),
        TEST(an_empty_store_has_a_checkpoint_too),
        TEST(nothing_is_put_where_something_is),
        TEST(files_are_copied_where_they_cannot_be_linked),
        TEST(without_memory_nothing_is_left),
        TEST(a_checkpoint_outlives_a_loss_of_power),
        TEST(a_checkpoint_that_fails_leaves_nothing),
        TEST(a_store_that_is_only_read_has_one_of_its_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
