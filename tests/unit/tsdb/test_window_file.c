/*
 * Files of sealed windows: what is written is read; power lost at every operation, every operation
 * failing once, every byte changed: all else is read, and what is lost is told.
 */
#include "unit/tsdb/disk_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tsdb/section_file.h>
#include <tsdb/window_file.h>

#include "unit/base/random.h"

#define SECTIONS 8u
#define PIECES   5u

/* What a file is made of: of a version, so that one can be told from the next. */
struct content {
    char *bytes[SECTIONS];
    size_t counts[SECTIONS];
    struct tsdb_slice pieces[SECTIONS][PIECES];
    struct tsdb_section sections[SECTIONS];
};

static void content_make(struct content *content, uint64_t version, size_t bytes_max)
{
    uint64_t random = version;

    for (uint32_t i = 0; i < SECTIONS; i++) {
        size_t count = i == 3 ? 0 : random_u64(&random) % bytes_max, at = 0;
        content->counts[i] = count;
        content->bytes[i] = malloc(count + 1);
        assert_non_null(content->bytes[i]);
        for (size_t j = 0; j < count; j++) {
            content->bytes[i][j] = (char)random_u64(&random);
        }
        for (uint32_t piece = 0; piece < PIECES; piece++) {
            size_t left = count - at;
            size_t taken = piece == PIECES - 1 ? left : random_u64(&random) % (left / 2 + 1);
            content->pieces[i][piece] = (struct tsdb_slice){content->bytes[i] + at, taken};
            at += taken;
        }
        content->sections[i] = (struct tsdb_section){i * 7, i, content->pieces[i], PIECES};
    }
}

static void content_free(struct content *content)
{
    for (uint32_t i = 0; i < SECTIONS; i++) {
        free(content->bytes[i]);
    }
}

static struct tsdb_section_place place(int64_t window)
{
    return tsdb_window_file_place(rig_vfs, RIG_DIRECTORY, &rig_small, window);
}

static enum quarry_status content_write(const struct content *content, int64_t window)
{
    const struct tsdb_section_place at = place(window);

    return tsdb_section_file_write(&at, content->sections, SECTIONS, NULL);
}

/* What was told to be lost of a section. */
struct lost {
    uint32_t index;
    uint64_t end, byte_count;
    uint64_t stretches;
    const char *expected; /* its bytes */
    const char *read;
};

static void note_lost(void *argument, const struct tsdb_section_info *info, uint64_t offset,
                      uint64_t byte_count)
{
    struct lost *lost = argument;

    assert_int_equal(info->index, lost->index);
    assert_true(offset >= lost->end && offset + byte_count <= info->byte_count);
    /* What lies between the stretches is right. */
    assert_memory_equal(lost->read + lost->end, lost->expected + lost->end, offset - lost->end);
    for (uint64_t i = 0; i < byte_count; i++) {
        assert_int_equal(lost->read[offset + i], 0);
    }
    lost->end = offset + byte_count;
    lost->byte_count += byte_count;
    lost->stretches++;
}

/* Reads a section and checks it. Returns: how much was told to be lost of it. */
static uint64_t assert_section(struct tsdb_section_file *file, size_t number,
                               const struct content *content)
{
    const struct tsdb_section_info info = tsdb_section_file_info(file, number);
    char *buffer = malloc(content->counts[number] + 1);
    struct lost lost = {
        .index = (uint32_t)number, .expected = content->bytes[number], .read = buffer};

    assert_non_null(buffer);
    assert_int_equal(info.kind, number * 7);
    assert_int_equal(info.index, number);
    assert_int_equal(info.byte_count, content->counts[number]);
    enum quarry_status status =
        tsdb_section_file_read(file, number, buffer, note_lost, &lost, NULL);
    assert_int_equal(status, lost.byte_count == 0 ? QUARRY_OK : QUARRY_CORRUPT);
    assert_memory_equal(buffer + lost.end, content->bytes[number] + lost.end,
                        content->counts[number] - lost.end);
    free(buffer);
    return lost.byte_count;
}

/* Reads all of a window. `ret_lost`: how many bytes are told to be lost. */
static enum quarry_status read_all(const struct content *content, int64_t window,
                                   uint64_t *ret_lost)
{
    const struct tsdb_section_place at = place(window);
    struct tsdb_section_file *file = NULL;
    enum quarry_status status = tsdb_section_file_open(&at, &file, NULL);

    *ret_lost = 0;
    if (status != QUARRY_OK) {
        return status;
    }
    assert_int_equal(tsdb_section_file_count(file), SECTIONS);
    for (size_t i = 0; i < SECTIONS; i++) {
        *ret_lost += assert_section(file, i, content);
    }
    tsdb_section_file_close(file);
    return QUARRY_OK;
}

static bool is_there(const struct content *content, int64_t window)
{
    const struct tsdb_section_place at = place(window);
    struct tsdb_section_file *file = NULL;
    bool is_same = false;
    uint64_t lost = 0;

    if (tsdb_section_file_open(&at, &file, NULL) != QUARRY_OK) {
        return false;
    }
    is_same = tsdb_section_file_info(file, 0).byte_count == content->counts[0] &&
              tsdb_section_file_info(file, 1).byte_count == content->counts[1];
    tsdb_section_file_close(file);
    if (is_same) {
        assert_int_equal(read_all(content, window, &lost), QUARRY_OK);
        assert_int_equal(lost, 0);
    }
    return is_same;
}

static void what_is_written_is_read(void **state)
{
    struct content content;
    uint64_t lost;

    (void)state;
    for (uint64_t version = 1; version < 10; version++) {
        content_make(&content, version, version % 2 == 0 ? 300000 : 500);
        assert_int_equal(content_write(&content, -7), QUARRY_OK);
        assert_int_equal(read_all(&content, -7, &lost), QUARRY_OK);
        assert_int_equal(lost, 0);
        content_free(&content);
    }
}

static void a_file_without_sections_is_read(void **state)
{
    const struct tsdb_section_place at = place(1);
    struct tsdb_section_file *file = NULL;

    (void)state;
    assert_int_equal(tsdb_section_file_open(&at, &file, NULL), QUARRY_NOT_FOUND);
    assert_int_equal(tsdb_section_file_write(&at, NULL, 0, NULL), QUARRY_OK);
    assert_int_equal(tsdb_section_file_open(&at, &file, NULL), QUARRY_OK);
    assert_int_equal(tsdb_section_file_count(file), 0);
    tsdb_section_file_close(file);
    assert_int_equal(tsdb_section_file_remove(&at, NULL), QUARRY_OK);
    assert_int_equal(tsdb_section_file_remove(&at, NULL), QUARRY_NOT_FOUND);
    assert_int_equal(tsdb_section_file_write(&at, NULL, TSDB_SECTIONS_MAX + 1, NULL),
                     QUARRY_TOO_MANY);
}

static void windows_are_found_newest_first(void **state)
{
    static const int64_t windows[] = {3, -2, 494321, INT64_MIN};
    int64_t window = INT64_MAX;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const struct tsdb_section_place at = place(windows[i]);
        assert_int_equal(tsdb_section_file_write(&at, NULL, 0, NULL), QUARRY_OK);
    }
    static const int64_t order[] = {494321, 3, -2, INT64_MIN};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(tsdb_window_file_find(rig_vfs, RIG_DIRECTORY, window, &window, NULL),
                         QUARRY_OK);
        assert_true(window == order[i]);
        window -= window == INT64_MIN ? 0 : 1;
    }
    assert_int_equal(tsdb_window_file_find(rig_vfs, "/nowhere", window, &window, NULL),
                     QUARRY_NOT_FOUND);
}

/* ---- the bytes ------------------------------------------------------------------------------ */

#define WINDOW 5
#define PATH   RIG_DIRECTORY "/window-5.qtw"

static uint8_t *read_bytes(size_t *ret_byte_count)
{
    struct quarry_vfs_file *file = NULL;
    uint64_t byte_count = 0;

    assert_int_equal(quarry_vfs_open(rig_disk, PATH, QUARRY_VFS_READ, &file, NULL), QUARRY_OK);
    assert_int_equal(quarry_vfs_size(file, &byte_count, NULL), QUARRY_OK);
    uint8_t *bytes = malloc(byte_count);
    assert_non_null(bytes);
    assert_int_equal(quarry_vfs_read(file, 0, bytes, byte_count, ret_byte_count, NULL), QUARRY_OK);
    quarry_vfs_close(file);
    return bytes;
}

static void write_bytes(const uint8_t *bytes, size_t byte_count)
{
    const uint32_t mode = QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_TRUNCATE;
    struct quarry_vfs_file *file = NULL;

    assert_int_equal(quarry_vfs_open(rig_disk, PATH, mode, &file, NULL), QUARRY_OK);
    if (byte_count != 0) {
        assert_int_equal(quarry_vfs_write(file, 0, bytes, byte_count, NULL), QUARRY_OK);
    }
    quarry_vfs_close(file);
}

static void any_byte_of_a_small_file_may_change(void **state)
{
    struct content content;
    size_t byte_count = 0;
    uint64_t random = 1, lost = 0, lost_all = 0, longest = 0;

    (void)state;
    content_make(&content, 1, 500);
    assert_int_equal(content_write(&content, WINDOW), QUARRY_OK);
    uint8_t *bytes = read_bytes(&byte_count);
    for (size_t i = 0; i < SECTIONS; i++) {
        longest = content.counts[i] > longest ? content.counts[i] : longest;
    }
    for (size_t i = 0; i < byte_count; i++) {
        uint8_t before = bytes[i];
        bytes[i] ^= (uint8_t)(1 + random_u64(&random) % 255);
        write_bytes(bytes, byte_count);
        /* Headers and directories are there twice; of sections, one is lost at most. */
        assert_int_equal(read_all(&content, WINDOW, &lost), QUARRY_OK);
        assert_true(lost <= longest);
        lost_all += lost != 0;
        bytes[i] = before;
    }
    /* Each byte of a section was in a part. */
    for (size_t i = 0; i < SECTIONS; i++) {
        lost_all -= content.counts[i];
    }
    assert_int_equal(lost_all, 0);
    free(bytes);
    content_free(&content);
}

static void a_byte_of_a_large_file_costs_its_part(void **state)
{
    struct content content;
    size_t byte_count = 0;
    uint64_t random = 1, lost = 0;

    (void)state;
    content_make(&content, 2, 400000);
    assert_int_equal(content_write(&content, WINDOW), QUARRY_OK);
    uint8_t *bytes = read_bytes(&byte_count);
    for (size_t i = 0; i < 300; i++) {
        size_t at = random_u64(&random) % byte_count;
        bytes[at] ^= 0x80;
        write_bytes(bytes, byte_count);
        assert_int_equal(read_all(&content, WINDOW, &lost), QUARRY_OK);
        assert_true(lost <= TSDB_PART_BYTES);
        bytes[at] ^= 0x80;
    }
    free(bytes);
    content_free(&content);
}

static void damage_anywhere_never_gives_wrong_bytes(void **state)
{
    struct content content, other;
    size_t byte_count = 0, other_count = 0;
    uint64_t random = 1, lost = 0;

    (void)state;
    content_make(&other, 3, 200000);
    assert_int_equal(content_write(&other, WINDOW), QUARRY_OK);
    uint8_t *others = read_bytes(&other_count);
    content_make(&content, 2, 200000);
    assert_int_equal(content_write(&content, WINDOW), QUARRY_OK);
    uint8_t *bytes = read_bytes(&byte_count), *copy = malloc(byte_count);
    assert_non_null(copy);
    for (uint32_t i = 0; i < 300; i++) {
        memcpy(copy, bytes, byte_count);
        for (uint64_t hits = random_u64(&random) % 5 + 1; hits != 0; hits--) {
            size_t at = random_u64(&random) % byte_count;
            size_t count = size_min(random_u64(&random) % 100000, byte_count - at);
            size_t from = random_u64(&random) % (byte_count - count + 1);
            switch (random_u64(&random) % 3) {
            case 0:
                memset(copy + at, 0, count);
                break;
            case 1:
                memmove(copy + at, bytes + from, count);
                break;
            default: /* what another file had there */
                if (at < other_count) {
                    memcpy(copy + at, others + at, size_min(count, other_count - at));
                }
            }
        }
        write_bytes(copy,
                    random_u64(&random) % 4 == 0 ? random_u64(&random) % byte_count : byte_count);
        enum quarry_status status = read_all(&content, WINDOW, &lost);
        assert_true(status == QUARRY_OK || status == QUARRY_CORRUPT);
    }
    free(copy);
    free(others);
    free(bytes);
    content_free(&other);
    content_free(&content);
}

static void a_file_may_end_anywhere(void **state)
{
    struct content content;
    size_t byte_count = 0;
    uint64_t lost = 0;

    (void)state;
    content_make(&content, 1, 300);
    assert_int_equal(content_write(&content, WINDOW), QUARRY_OK);
    uint8_t *bytes = read_bytes(&byte_count);
    for (size_t end = 0; end < byte_count; end++) {
        write_bytes(bytes, end);
        enum quarry_status status = read_all(&content, WINDOW, &lost);
        assert_true(status == QUARRY_CORRUPT || (status == QUARRY_OK && end > 64));
    }
    free(bytes);
    content_free(&content);
}

static void another_file_under_its_name_is_refused(void **state)
{
    struct content content;
    size_t byte_count = 0;
    uint64_t lost = 0;

    (void)state;
    content_make(&content, 1, 300);
    assert_int_equal(content_write(&content, 6), QUARRY_OK);
    assert_int_equal(quarry_vfs_rename(rig_vfs, RIG_DIRECTORY "/window-6.qtw", PATH, NULL),
                     QUARRY_OK);
    assert_int_equal(read_all(&content, WINDOW, &lost), QUARRY_CORRUPT);
    assert_int_equal(content_write(&content, WINDOW), QUARRY_OK);
    uint8_t *bytes = read_bytes(&byte_count);
    bytes[7] = '2';
    endian_store_le_u32(bytes, crc32c_value(bytes + 4, 60));
    write_bytes(bytes, byte_count);
    assert_int_equal(read_all(&content, WINDOW, &lost), QUARRY_UNSUPPORTED);
    bytes[6] = 'S';
    endian_store_le_u32(bytes, crc32c_value(bytes + 4, 60));
    write_bytes(bytes, byte_count);
    assert_int_equal(read_all(&content, WINDOW, &lost), QUARRY_CORRUPT);
    free(bytes);
    content_free(&content);
}

static void the_example_of_the_format_is_read(void **state)
{
    static const uint8_t head[96] = {
        0xab, 0x58, 0x1d, 0xad, 0x51, 0x54, 0x57, 0x31, 0x03, 0,    0,   0, 0,    0,    0, 0,    0,
        0,    0,    0,    0,    0,    0,    0,    0x01, 0,    0,    0,   0, 0,    0,    0, 0x20, 0,
        0,    0,    0,    0,    0,    0,    0xe3, 0,    0,    0,    0,   0, 0,    0,    0, 0,    0,
        0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,   0, 0,    0x01, 0, 0,    0,
        0x02, 0,    0,    0,    0x80, 0,    0,    0,    0,    0,    0,   0, 0x03, 0,    0, 0,    0,
        0,    0,    0,    0x62, 0xe1, 0x2a, 0x7e, 0x12, 0xe0, 0xe2, 0xe2};
    const struct tsdb_section_place at =
        tsdb_window_file_place(rig_vfs, RIG_DIRECTORY, &rig_small, 3);
    uint8_t bytes[227] = {0};
    struct tsdb_section_file *file = NULL;
    char abc[3];

    (void)state;
    memcpy(bytes, head, 96);
    memcpy(bytes + 128, "abc", 3);
    memcpy(bytes + 131, head + 64, 32);
    memcpy(bytes + 163, head, 64);
    write_bytes(bytes, sizeof(bytes));
    assert_int_equal(quarry_vfs_rename(rig_vfs, PATH, RIG_DIRECTORY "/window-3.qtw", NULL),
                     QUARRY_OK);
    assert_int_equal(tsdb_section_file_open(&at, &file, NULL), QUARRY_OK);
    const struct tsdb_section_info info = tsdb_section_file_info(file, 0);
    assert_int_equal(info.kind, 1);
    assert_int_equal(info.index, 2);
    assert_int_equal(info.byte_count, 3);
    assert_int_equal(tsdb_section_file_read(file, 0, abc, note_lost, NULL, NULL), QUARRY_OK);
    assert_memory_equal(abc, "abc", 3);
    tsdb_section_file_close(file);
}

/* ---- failing -------------------------------------------------------------------------------- */

static struct quarry_vfs *cut_disk;
static uint64_t cut_index, cut_seed;
static uint32_t cut_percent;

static void cut_power(void *argument, enum quarry_vfs_operation operation, const char *path,
                      uint64_t index)
{
    (void)argument;
    (void)operation;
    (void)path;
    if (index == cut_index) {
        assert_int_equal(quarry_vfs_memory_crash(rig_disk, cut_percent, cut_seed, &cut_disk),
                         QUARRY_OK);
    }
}

static void after_a_loss_of_power_there_is_the_old_file_or_the_new_one(void **state)
{
    const struct quarry_vfs_fault fault = {.status = QUARRY_OK, .notice = cut_power};
    struct content old, new;
    uint64_t old_count = 0, new_count = 0;

    (void)state;
    content_make(&old, 1, 100000);
    content_make(&new, 2, 100000);
    for (uint64_t seed = 0; seed < 8; seed++) {
        cut_percent = (uint32_t)seed * 14;
        cut_seed = seed;
        for (cut_index = 1;; cut_index++) {
            disk_rig_clear();
            assert_int_equal(content_write(&old, WINDOW), QUARRY_OK);
            cut_disk = NULL;
            quarry_vfs_fault_set(rig_vfs, 0, &fault);
            assert_int_equal(content_write(&new, WINDOW), QUARRY_OK);
            quarry_vfs_fault_set(rig_vfs, 0, NULL);
            if (cut_disk == NULL) {
                break;
            }
            struct quarry_vfs *before = rig_vfs;
            rig_vfs = cut_disk;
            bool is_old = is_there(&old, WINDOW), is_new = is_there(&new, WINDOW);
            assert_true(is_old != is_new);
            assert_int_equal(tsdb_file_sweep(rig_vfs, RIG_DIRECTORY, NULL), QUARRY_OK);
            assert_int_equal(
                quarry_vfs_stat(rig_vfs, PATH ".tmp", &(uint64_t){0}, &(bool){0}, NULL),
                QUARRY_NOT_FOUND);
            old_count += is_old;
            new_count += is_new;
            rig_vfs = before;
            quarry_vfs_memory_destroy(cut_disk);
        }
        assert_true(cut_index > 10);
        /* And afterwards it is the new one. */
        disk_rig_lose_power(0, seed);
        assert_true(is_there(&new, WINDOW));
    }
    assert_true(old_count > 50 && new_count > 0);
    content_free(&old);
    content_free(&new);
}

static void any_operation_may_fail_once(void **state)
{
    struct content old, new;
    uint64_t hits = 1;

    (void)state;
    content_make(&old, 1, 100000);
    content_make(&new, 2, 100000);
    for (uint64_t index = 1; hits != 0; index++) {
        const struct quarry_vfs_fault fault = {.first = index,
                                               .count = 1,
                                               .is_partial = true,
                                               .status =
                                                   index % 2 == 0 ? QUARRY_IO : QUARRY_NO_SPACE};
        disk_rig_clear();
        assert_int_equal(content_write(&old, WINDOW), QUARRY_OK);
        quarry_vfs_fault_set(rig_vfs, 0, &fault);
        enum quarry_status status = content_write(&new, WINDOW);
        hits = quarry_vfs_fault_hits(rig_vfs, 0);
        quarry_vfs_fault_set(rig_vfs, 0, NULL);
        assert_int_equal(status, hits == 0 ? QUARRY_OK : fault.status);
        assert_true(is_there(&old, WINDOW) != is_there(&new, WINDOW));
        disk_rig_lose_power(0, index);
        assert_true(is_there(status == QUARRY_OK ? &new : &old, WINDOW));
    }
    content_free(&old);
    content_free(&new);
}

static void reading_may_fail_once_anywhere(void **state)
{
    struct content content;
    uint64_t hits = 1, lost = 0;

    (void)state;
    content_make(&content, 1, 200000);
    assert_int_equal(content_write(&content, WINDOW), QUARRY_OK);
    for (uint64_t index = 1; hits != 0; index++) {
        const struct quarry_vfs_fault fault = {.first = index, .count = 1, .status = QUARRY_IO};
        quarry_vfs_fault_set(rig_vfs, 0, &fault);
        enum quarry_status status = read_all(&content, WINDOW, &lost);
        hits = quarry_vfs_fault_hits(rig_vfs, 0);
        assert_true(status == QUARRY_IO || (status == QUARRY_OK && lost == 0));
    }
    content_free(&content);
}

static void every_allocation_that_fails_is_told(void **state)
{
    enum quarry_status status = QUARRY_NO_MEMORY;
    struct content content;
    uint64_t lost = 0, tries = 0;

    (void)state;
    content_make(&content, 1, 100000);
    for (uint64_t bytes = 0; status != QUARRY_OK; bytes += 1000, tries++) {
        disk_rig_leave(bytes);
        status = content_write(&content, WINDOW);
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
    }
    assert_true(tries > 2);
    status = QUARRY_NO_MEMORY;
    for (uint64_t bytes = 0; status != QUARRY_OK; bytes += 1000) {
        disk_rig_leave(bytes);
        status = read_all(&content, WINDOW, &lost);
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
    }
    disk_rig_leave(UINT64_MAX);
    content_free(&content);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, disk_rig_set_up, disk_rig_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read),
        TEST(a_file_without_sections_is_read),
        TEST(windows_are_found_newest_first),
        TEST(any_byte_of_a_small_file_may_change),
        TEST(a_byte_of_a_large_file_costs_its_part),
        TEST(damage_anywhere_never_gives_wrong_bytes),
        TEST(a_file_may_end_anywhere),
        TEST(another_file_under_its_name_is_refused),
        TEST(the_example_of_the_format_is_read),
        TEST(after_a_loss_of_power_there_is_the_old_file_or_the_new_one),
        TEST(any_operation_may_fail_once),
        TEST(reading_may_fail_once_anywhere),
        TEST(every_allocation_that_fails_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
