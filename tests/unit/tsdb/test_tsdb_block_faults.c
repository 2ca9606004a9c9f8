/*
 * Blocks that are damaged, disks that fail, memory that is refused.
 */
#include "unit/tsdb/block_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/base/random.h"

static const struct rig_shape small = {.seed = 11,
                                       .series_count = 9,
                                       .sample_count = 40,
                                       .start_ms = INT64_C(1672531200000),
                                       .step_ms = 15000,
                                       .has_histograms = true};
/* Enough for some runs of symbols and of postings in the least memory there is to sort in. */
static const struct rig_shape larger = {.seed = 12,
                                        .series_count = 900,
                                        .sample_count = 2,
                                        .start_ms = INT64_C(1672531200000),
                                        .step_ms = 15000};

/* ---- damage --------------------------------------------------------------------------------- */

/* Either the same is read, or the error says in which file and where. */
static void expect_right_or_told(const struct block_meta *meta, const char *file, size_t offset,
                                 uint64_t hash)
{
    struct quarry_error error = {0};
    uint64_t found = 0, count = 0;
    enum quarry_status status = block_rig_read(block_rig_disk, meta, &found, &count, &error);

    if (status == QUARRY_OK) {
        if (found != hash) {
            fail_msg("%s, byte %zu: other samples", file, offset);
        }
        return;
    }
    if ((status != QUARRY_CORRUPT && status != QUARRY_UNSUPPORTED) ||
        strstr(error.text, block_rig_path(meta, NULL)) == NULL ||
        strstr(error.text, "offset ") == NULL) {
        fail_msg("%s, byte %zu: %s: %s", file, offset, quarry_status_name(status), error.text);
    }
}

static void change_each_byte(const struct block_meta *meta, const char *file, uint64_t hash)
{
    char path[256];
    size_t byte_count = 0;
    uint64_t random = 77;

    (void)snprintf(path, sizeof path, "%s", block_rig_path(meta, file));
    uint8_t *bytes = block_rig_load(path, &byte_count);
    for (size_t i = 0; i < byte_count; i++) {
        uint8_t held = bytes[i];

        bytes[i] ^= (uint8_t)(1 + random_u64(&random) % 255);
        block_rig_store(path, bytes, byte_count);
        expect_right_or_told(meta, file, i, hash);
        bytes[i] = held;
    }
    block_rig_store(path, bytes, byte_count);
    free(bytes);
}

static void cut_everywhere(const struct block_meta *meta, const char *file, uint64_t hash)
{
    char path[256];
    size_t byte_count = 0;

    (void)snprintf(path, sizeof path, "%s", block_rig_path(meta, file));
    uint8_t *bytes = block_rig_load(path, &byte_count);
    for (size_t i = 0; i < byte_count; i++) {
        block_rig_store(path, bytes, i);
        expect_right_or_told(meta, file, i, hash);
    }
    block_rig_store(path, bytes, byte_count);
    free(bytes);
}

static const char *const files[] = {"chunks/000001", "index", "meta.json", "tombstones"};

static void a_changed_byte_is_told_or_does_not_matter(void **state)
{
    struct block_meta meta;
    uint64_t hash = block_rig_hash(&small);

    (void)state;
    assert_int_equal(block_rig_write(block_rig_disk, &small, 0, &meta, NULL), QUARRY_OK);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        change_each_byte(&meta, files[i], hash);
    }
}

static void a_file_that_was_cut_is_told(void **state)
{
    struct block_meta meta;
    uint64_t hash = block_rig_hash(&small);

    (void)state;
    assert_int_equal(block_rig_write(block_rig_disk, &small, 0, &meta, NULL), QUARRY_OK);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        cut_everywhere(&meta, files[i], hash);
    }
}

static void a_file_that_is_not_there_is_told(void **state)
{
    struct block_meta meta;
    uint64_t hash = 0, count = 0;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct quarry_error error = {0};

        assert_int_equal(block_rig_write(block_rig_disk, &small, 0, &meta, NULL), QUARRY_OK);
        assert_int_equal(quarry_vfs_remove(block_rig_disk, block_rig_path(&meta, files[i]), NULL),
                         QUARRY_OK);
        assert_int_equal(block_rig_read(block_rig_disk, &meta, &hash, &count, &error),
                         i == 0 ? QUARRY_CORRUPT : QUARRY_NOT_FOUND);
        assert_non_null(strstr(error.text, meta.ulid));
    }
}

/* ---- disks that fail ------------------------------------------------------------------------ */

static void when_an_operation_fails_there_is_no_block(void **state)
{
    struct quarry_vfs *failing = NULL;
    struct block_meta meta;
    uint64_t failures = 0;

    (void)state;
    assert_int_equal(quarry_vfs_fault_create(block_rig_disk, 1, &failing), QUARRY_OK);
    for (uint64_t first = 1;; first++) {
        const struct quarry_vfs_fault fault = {
            .first = first, .count = 1, .status = QUARRY_IO, .is_partial = first % 2 == 1};
        struct quarry_error error = {0};

        quarry_vfs_fault_set(failing, 0, &fault);
        enum quarry_status status = block_rig_write(failing, &larger, 1, &meta, &error);
        if (quarry_vfs_fault_hits(failing, 0) == 0) {
            assert_int_equal(status, QUARRY_OK);
            break;
        }
        if (status != QUARRY_IO || error.text[0] == '\0') {
            fail_msg("operation %llu: %s", (unsigned long long)first, quarry_status_name(status));
        }
        assert_int_equal(block_rig_name_count("/blocks"), 0);
        failures++;
    }
    assert_true(failures > 60);
    quarry_vfs_fault_destroy(failing);
}

static void a_full_disk_leaves_no_block(void **state)
{
    struct block_meta meta;
    struct quarry_error error = {0};

    (void)state;
    for (uint64_t space = Q_KIB(4); space < Q_KIB(128); space += Q_KIB(4)) {
        quarry_vfs_memory_set_space(block_rig_disk, space);
        assert_int_equal(block_rig_write(block_rig_disk, &larger, 1, &meta, &error),
                         QUARRY_NO_SPACE);
        assert_int_equal(block_rig_name_count("/blocks"), 0);
    }
    quarry_vfs_memory_set_space(block_rig_disk, UINT64_MAX);
    assert_int_equal(block_rig_write(block_rig_disk, &larger, 1, &meta, &error), QUARRY_OK);
}

static void when_a_read_fails_it_is_told(void **state)
{
    struct quarry_vfs *failing = NULL;
    struct block_meta meta;
    uint64_t hash = 0, count = 0, failures = 0;

    (void)state;
    assert_int_equal(block_rig_write(block_rig_disk, &small, 0, &meta, NULL), QUARRY_OK);
    assert_int_equal(quarry_vfs_fault_create(block_rig_disk, 1, &failing), QUARRY_OK);
    for (uint64_t first = 1;; first++, failures++) {
        const struct quarry_vfs_fault fault = {.first = first, .count = 1, .status = QUARRY_IO};

        quarry_vfs_fault_set(failing, 0, &fault);
        enum quarry_status status = block_rig_read(failing, &meta, &hash, &count, NULL);
        if (quarry_vfs_fault_hits(failing, 0) == 0) {
            assert_int_equal(status, QUARRY_OK);
            assert_int_equal(hash, block_rig_hash(&small));
            break;
        }
        assert_int_equal(status, QUARRY_IO);
    }
    assert_true(failures > 12);
    quarry_vfs_fault_destroy(failing);
}

/* ---- a loss of power ------------------------------------------------------------------------ */

static bool take_block(void *argument, const char *name)
{
    if (block_ulid_is(name)) {
        memcpy(((struct block_meta *)argument)->ulid, name, BLOCK_ULID_BYTES);
    }
    return true;
}

/* Whatever is there under a block's name is the whole block. */
static void expect_whole(struct quarry_vfs *disk, bool must_be_there)
{
    struct block_meta found = {.ulid = ""};
    uint64_t hash = 0, count = 0;

    assert_int_equal(quarry_vfs_list(disk, "/blocks", take_block, &found, NULL), QUARRY_OK);
    assert_true(found.ulid[0] != '\0' || !must_be_there);
    if (found.ulid[0] != '\0') {
        assert_int_equal(block_rig_read(disk, &found, &hash, &count, NULL), QUARRY_OK);
        assert_int_equal(hash, block_rig_hash(&small));
    }
}

struct cutter {
    uint64_t seed;
};

static void cut_power(void *argument, enum quarry_vfs_operation operation, const char *path,
                      uint64_t index)
{
    struct cutter *cutter = argument;
    struct quarry_vfs *after = NULL;

    (void)operation;
    (void)path;
    (void)index;
    assert_int_equal(quarry_vfs_memory_crash(block_rig_disk, (uint32_t)(cutter->seed * 37 % 101),
                                             cutter->seed, &after),
                     QUARRY_OK);
    cutter->seed++;
    expect_whole(after, false);
    quarry_vfs_memory_destroy(after);
}

static void a_loss_of_power_leaves_a_whole_block_or_none(void **state)
{
    struct quarry_vfs *watching = NULL, *after = NULL;
    struct cutter cutter = {.seed = 1};
    struct block_meta meta;

    (void)state;
    assert_int_equal(quarry_vfs_sync_directory(block_rig_disk, "/", NULL), QUARRY_OK);
    assert_int_equal(quarry_vfs_fault_create(block_rig_disk, 1, &watching), QUARRY_OK);
    const struct quarry_vfs_fault notice = {.notice = cut_power, .argument = &cutter};
    quarry_vfs_fault_set(watching, 0, &notice);
    assert_int_equal(block_rig_write(watching, &small, 0, &meta, NULL), QUARRY_OK);
    assert_true(cutter.seed > 30);
    quarry_vfs_fault_destroy(watching);
    assert_int_equal(quarry_vfs_memory_crash(block_rig_disk, 0, 5, &after), QUARRY_OK);
    expect_whole(after, true);
    quarry_vfs_memory_destroy(after);
}

/* ---- memory that is refused ----------------------------------------------------------------- */

static void when_memory_is_refused_there_is_no_block(void **state)
{
    struct block_meta meta;
    uint64_t refusals = 0;

    (void)state;
    for (uint64_t left = 0;; left += 1000 + left / 20) {
        struct quarry_error error = {0};

        block_rig_leave(left);
        enum quarry_status status = block_rig_write(block_rig_disk, &small, 1, &meta, &error);
        block_rig_leave(UINT64_MAX);
        if (status == QUARRY_OK) {
            break;
        }
        assert_int_equal(status, QUARRY_NO_MEMORY);
        assert_true(error.text[0] != '\0');
        refusals++;
    }
    assert_true(refusals > 50);
}

static void when_memory_is_refused_a_reader_says_so(void **state)
{
    struct block_meta meta;
    uint64_t refusals = 0, hash = 0, count = 0;

    (void)state;
    assert_int_equal(block_rig_write(block_rig_disk, &small, 0, &meta, NULL), QUARRY_OK);
    for (uint64_t left = 0;; left += 1000 + left / 20) {
        block_rig_leave(left);
        enum quarry_status status = block_rig_read(block_rig_disk, &meta, &hash, &count, NULL);
        block_rig_leave(UINT64_MAX);
        if (status == QUARRY_OK) {
            break;
        }
        assert_int_equal(status, QUARRY_NO_MEMORY);
        refusals++;
    }
    assert_true(refusals > 30);
    assert_int_equal(hash, block_rig_hash(&small));
}

int main(void)
{
#define BLOCK_TEST(name)                                                                           \
    cmocka_unit_test_setup_teardown(name, block_rig_set_up, block_rig_tear_down)
    const struct CMUnitTest tests[] = {
        BLOCK_TEST(a_changed_byte_is_told_or_does_not_matter),
        BLOCK_TEST(a_file_that_was_cut_is_told),
        BLOCK_TEST(a_file_that_is_not_there_is_told),
        BLOCK_TEST(when_an_operation_fails_there_is_no_block),
        BLOCK_TEST(a_full_disk_leaves_no_block),
        BLOCK_TEST(when_a_read_fails_it_is_told),
        BLOCK_TEST(a_loss_of_power_leaves_a_whole_block_or_none),
        BLOCK_TEST(when_memory_is_refused_there_is_no_block),
        BLOCK_TEST(when_memory_is_refused_a_reader_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
