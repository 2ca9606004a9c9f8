/*
 * Logs: what is written is read, in both ways of writing; torn and damaged at every byte, what is
 * read is the beginning of what was written; syncs that fail are told.
 */
#include "unit/kv/mem_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include <kv/log_read.h>
#include <kv/log_write.h>

#include "unit/base/random.h"

#define SEGMENT Q_MIB(2)

static struct quarry_vfs *disk, *faulty;
static struct quarry_vfs_file *file;

static int set_up(void **state)
{
    mem_rig_set_up(state);
    assert_int_equal(quarry_vfs_memory_create(1, &disk), QUARRY_OK);
    assert_int_equal(quarry_vfs_fault_create(disk, 1, &faulty), QUARRY_OK);
    assert_int_equal(
        quarry_vfs_open(faulty, "/log", QUARRY_VFS_WRITE | QUARRY_VFS_CREATE, &file, NULL),
        QUARRY_OK);
    return 0;
}

static int tear_down(void **state)
{
    quarry_vfs_close(file);
    quarry_vfs_fault_destroy(faulty);
    quarry_vfs_memory_destroy(disk);
    return mem_rig_tear_down(state);
}

static struct kv_log *log_make(uint64_t segment_bytes)
{
    const struct kv_log_options options = {
        .file = file, .name = "log", .memory = &rig_kv_memory, .segment_bytes = segment_bytes};
    struct quarry_error error = {0};
    struct kv_log *made = NULL;

    if (kv_log_create(&options, &made, &error) != QUARRY_OK) {
        fail_msg("kv_log_create: %s", error.text);
    }
    return made;
}

static uint64_t append(struct kv_log *to, struct kv_slice head, struct kv_slice body)
{
    struct kv_log_record record;
    struct quarry_error error = {0};
    uint64_t end = 0;

    kv_log_record_init(&record, body);
    record.head = head;
    if (kv_log_append(to, &record, &end, &error) != QUARRY_OK) {
        fail_msg("kv_log_append: %s", error.text);
    }
    assert_int_equal(kv_log_end(to), end);
    return end;
}

static struct kv_log_reader *reader_make(bool is_paranoid)
{
    const struct kv_log_reader_options options = {.file = file,
                                                  .name = "log",
                                                  .memory = &rig_kv_memory,
                                                  .number = 0x500000007,
                                                  .record_bytes_max = Q_MIB(64),
                                                  .is_paranoid = is_paranoid};
    struct kv_log_reader *reader = NULL;

    assert_int_equal(kv_log_reader_create(&options, &reader, NULL), QUARRY_OK);
    return reader;
}

/* Record `i` of a history: a pattern of a length that follows from it. */
static size_t length_of(uint32_t i)
{
    uint64_t random = i;

    switch (i % 8) {
    case 0:
        return random_u64(&random) % 3;
    case 1:
        return KV_LOG_BLOCK_BYTES - 2 * KV_LOG_HEADER_BYTES + random_u64(&random) % 16;
    case 2:
        return random_u64(&random) % Q_KIB(200);
    default:
        return random_u64(&random) % 3000;
    }
}

static char *pattern(uint32_t i, size_t byte_count)
{
    char *bytes = malloc(byte_count + 1);

    assert_non_null(bytes);
    for (size_t j = 0; j < byte_count; j++) {
        bytes[j] = (char)(i * 31 + j * 7 + j / 251);
    }
    return bytes;
}

static void append_pattern(struct kv_log *to, uint32_t i)
{
    size_t byte_count = length_of(i), head = byte_count < 12 ? byte_count : 12;
    char *bytes = pattern(i, byte_count);

    append(to, kv_slice(bytes, head), kv_slice(bytes + head, byte_count - head));
    free(bytes);
}

static void assert_pattern(struct kv_slice record, uint32_t i)
{
    size_t byte_count = length_of(i);
    char *bytes = pattern(i, byte_count);

    assert_int_equal(record.count, byte_count);
    if (byte_count != 0) {
        assert_memory_equal(record.bytes, bytes, byte_count);
    }
    free(bytes);
}

/* Reads records 0, 1, … to the end. Returns: how many. */
static uint32_t read_patterns(bool is_paranoid, enum quarry_status expected,
                              struct kv_log_end *ret_end)
{
    struct kv_log_reader *reader = reader_make(is_paranoid);
    struct quarry_error error = {0};
    struct kv_slice record;
    enum quarry_status status;
    uint32_t count = 0;

    while ((status = kv_log_read(reader, &record, &error)) == QUARRY_OK) {
        assert_pattern(record, count++);
    }
    if (expected != QUARRY_OK) {
        assert_int_equal(status, expected);
        assert_int_equal(kv_log_read(reader, &record, NULL), expected);
    }
    kv_log_reader_end(reader, ret_end);
    assert_int_equal(ret_end->record_count, count);
    kv_log_reader_destroy(reader);
    return count;
}

static void what_is_written_is_read(void **state)
{
    static const uint64_t segments[] = {0, SEGMENT};
    struct kv_log_end end;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(segments); i++) {
        assert_int_equal(quarry_vfs_truncate(file, 0, NULL), QUARRY_OK);
        struct kv_log *to = log_make(segments[i]);
        assert_int_equal(kv_log_is_mapped(to), segments[i] != 0);
        for (uint32_t j = 0; j < 400; j++) {
            append_pattern(to, j);
        }
        uint64_t written_end = kv_log_end(to), size = 0;
        assert_true(written_end > 2 * SEGMENT);
        /* Before it is closed too: zeros follow, or nothing. */
        assert_int_equal(read_patterns(true, QUARRY_NOT_FOUND, &end), 400);
        assert_int_equal(end.ending, KV_LOG_ENDS_CLEAN);
        assert_int_equal(end.offset, written_end);
        assert_int_equal(end.dropped_bytes, 0);
        assert_int_equal(kv_log_close(to, NULL), QUARRY_OK);
        assert_int_equal(quarry_vfs_size(file, &size, NULL), QUARRY_OK);
        assert_int_equal(size, written_end);
        assert_int_equal(read_patterns(true, QUARRY_NOT_FOUND, &end), 400);
    }
}

static void a_record_may_end_anywhere_in_its_block(void **state)
{
    static char bytes[KV_LOG_BLOCK_BYTES];

    (void)state;
    for (size_t left = 0; left < 20; left++) {
        assert_int_equal(quarry_vfs_truncate(file, 0, NULL), QUARRY_OK);
        struct kv_log *to = log_make(left % 2 == 0 ? 0 : SEGMENT);
        append(to, kv_slice(bytes, 0),
               kv_slice(bytes, KV_LOG_BLOCK_BYTES - KV_LOG_HEADER_BYTES - left));
        append(to, text_slice("head"), text_slice("-body"));
        append(to, text_slice(""), text_slice(""));
        struct kv_log_reader *reader = reader_make(true);
        struct kv_slice record;
        assert_int_equal(kv_log_read(reader, &record, NULL), QUARRY_OK);
        assert_int_equal(kv_log_read(reader, &record, NULL), QUARRY_OK);
        assert_slice(record, "head-body");
        assert_int_equal(kv_log_read(reader, &record, NULL), QUARRY_OK);
        assert_int_equal(record.count, 0);
        assert_int_equal(kv_log_read(reader, &record, NULL), QUARRY_NOT_FOUND);
        kv_log_reader_destroy(reader);
        kv_log_close(to, NULL);
    }
}

/* Some records, small, that go over a block's end. */
static uint64_t write_small(uint64_t ends[40])
{
    struct kv_log *to = log_make(0);
    char *bytes = pattern(0, 2000);

    for (uint32_t i = 0; i < 40; i++) {
        ends[i] = append(to, kv_slice("", 0), kv_slice(bytes, i % 10 == 9 ? 2000 : i * 45));
    }
    free(bytes);
    uint64_t end = kv_log_end(to);
    kv_log_close(to, NULL);
    return end;
}

static uint32_t read_small(bool is_paranoid, enum quarry_status *ret_status,
                           struct kv_log_end *ret_end)
{
    struct kv_log_reader *reader = reader_make(is_paranoid);
    char *bytes = pattern(0, 2000);
    struct kv_slice record;
    uint32_t count = 0;

    while ((*ret_status = kv_log_read(reader, &record, NULL)) == QUARRY_OK) {
        assert_int_equal(record.count, count % 10 == 9 ? 2000 : count * 45);
        assert_true(record.count == 0 || memcmp(record.bytes, bytes, record.count) == 0);
        count++;
    }
    kv_log_reader_end(reader, ret_end);
    kv_log_reader_destroy(reader);
    free(bytes);
    return count;
}

static void cut_at_every_byte_it_has_what_was_whole(void **state)
{
    uint64_t ends[40], end = write_small(ends);
    struct kv_log_end ret;
    enum quarry_status status;

    (void)state;
    assert_true(end > KV_LOG_BLOCK_BYTES);
    for (uint64_t bytes = end; bytes-- > 0;) {
        uint32_t whole = 0;
        while (whole < 40 && ends[whole] <= bytes) {
            whole++;
        }
        assert_int_equal(quarry_vfs_truncate(file, bytes, NULL), QUARRY_OK);
        assert_int_equal(read_small(true, &status, &ret), whole);
        assert_int_equal(status, QUARRY_NOT_FOUND);
        assert_int_equal(ret.offset, whole == 0 ? 0 : ends[whole - 1]);
        assert_true(ret.ending == KV_LOG_ENDS_CUT_OFF || ret.ending == KV_LOG_ENDS_CLEAN);
        assert_true(ret.ending == KV_LOG_ENDS_CUT_OFF || ret.dropped_bytes == 0);
    }
}

static void a_flipped_byte_ends_it_there(void **state)
{
    uint64_t ends[40], end = write_small(ends);
    struct kv_log_end ret;
    enum quarry_status status;

    (void)state;
    for (uint64_t at = 0; at < end; at++) {
        unsigned char byte, flipped;
        size_t read;
        uint32_t whole = 0;
        while (ends[whole] <= at) {
            whole++;
        }
        quarry_vfs_read(file, at, &byte, 1, &read, NULL);
        flipped = byte ^ 0x40;
        quarry_vfs_write(file, at, &flipped, 1, NULL);
        uint32_t count = read_small(false, &status, &ret);
        assert_int_equal(status, QUARRY_NOT_FOUND);
        /* Filling at the end of a block is not looked at. */
        if (count != 40) {
            assert_int_equal(count, whole);
            assert_true(ret.ending != KV_LOG_ENDS_CLEAN);
            assert_true(ret.dropped_bytes > 0);
            assert_true(kv_log_ending_text(ret.ending)[0] != '\0');
        }
        assert_int_equal(read_small(true, &status, &ret), count);
        /* The last one may have been torn while it was written. */
        assert_int_equal(status, count >= 39 ? QUARRY_NOT_FOUND : QUARRY_CORRUPT);
        quarry_vfs_write(file, at, &byte, 1, NULL);
    }
    assert_int_equal(read_small(true, &status, &ret), 40);
}

static void zeros_are_the_end_and_something_behind_them_is_a_hole(void **state)
{
    uint64_t ends[40], end = write_small(ends);
    struct kv_log_end ret;
    enum quarry_status status;

    (void)state;
    assert_int_equal(quarry_vfs_preallocate(file, end, Q_MIB(1), NULL), QUARRY_OK);
    assert_int_equal(read_small(true, &status, &ret), 40);
    assert_int_equal(status, QUARRY_NOT_FOUND);
    assert_int_equal(ret.ending, KV_LOG_ENDS_CLEAN);
    assert_int_equal(ret.dropped_bytes, 0);
    assert_int_equal(quarry_vfs_write(file, end + 70000, "x", 1, NULL), QUARRY_OK);
    assert_int_equal(read_small(false, &status, &ret), 40);
    assert_int_equal(ret.ending, KV_LOG_ENDS_AT_HOLE);
    assert_int_equal(ret.dropped_bytes, 70001);
    /* A record that was torn, to the paranoid: no record is behind it. */
    assert_int_equal(read_small(true, &status, &ret), 40);
    assert_int_equal(status, QUARRY_NOT_FOUND);
    assert_int_equal(ret.ending, KV_LOG_ENDS_CUT_OFF);
}

static void a_last_record_whose_sectors_are_lacking_is_cut_off(void **state)
{
    char *bytes = pattern(0, 3000);
    static const char zeros[4096];
    struct kv_log_end ret;
    enum quarry_status status;

    (void)state;
    struct kv_log *to = log_make(0);
    append(to, text_slice(""), text_slice(""));
    uint64_t begin = append(to, text_slice(""), kv_slice(bytes, 45));
    uint64_t end = append(to, text_slice(""), kv_slice(bytes, 90 - 1));
    kv_log_close(to, NULL);
    to = log_make(0);
    assert_int_equal(quarry_vfs_truncate(file, 0, NULL), QUARRY_OK);
    append(to, text_slice(""), text_slice(""));
    (void)append(to, text_slice(""), kv_slice(bytes, 45));
    end = append(to, text_slice(""), kv_slice(bytes, 3000));
    kv_log_close(to, NULL);
    free(bytes);
    /* The sectors from 1024 on were never written. */
    assert_int_equal(quarry_vfs_write(file, 1024, zeros, end - 1024, NULL), QUARRY_OK);
    assert_int_equal(read_small(true, &status, &ret), 2);
    assert_int_equal(status, QUARRY_NOT_FOUND);
    assert_int_equal(ret.ending, KV_LOG_ENDS_CUT_OFF);
    assert_int_equal(ret.offset, begin);
}

/* A fragment by hand, at an offset. */
static size_t write_fragment(uint64_t at, unsigned type, const char *number, const char *bytes)
{
    char fragment[64];
    size_t header = number != NULL ? 11 : 7, count = strlen(bytes);

    fragment[6] = (char)type;
    if (number != NULL) {
        memcpy(fragment + 7, number, 4);
    }
    memcpy(fragment + header, bytes, count);
    endian_store_le_u16(fragment + 4, (uint16_t)count);
    endian_store_le_u32(fragment, crc32c_mask(crc32c_value(fragment + 6, header - 6 + count)));
    assert_int_equal(quarry_vfs_write(file, at, fragment, header + count, NULL), QUARRY_OK);
    return header + count;
}

static void recycled_fragments_are_read_up_to_those_of_another_log(void **state)
{
    struct kv_log_reader *reader;
    struct kv_log_end end;
    struct kv_slice record;
    uint64_t at = 0;

    (void)state;
    at += write_fragment(at, 5, "\x07\0\0\0", "one");
    at += write_fragment(at, 6, "\x07\0\0\0", "t");
    at += write_fragment(at, 7, "\x07\0\0\0", "w");
    at += write_fragment(at, 8, "\x07\0\0\0", "o");
    write_fragment(at, 5, "\x06\0\0\0", "old");
    reader = reader_make(true);
    assert_int_equal(kv_log_read(reader, &record, NULL), QUARRY_OK);
    assert_slice(record, "one");
    assert_int_equal(kv_log_read(reader, &record, NULL), QUARRY_OK);
    assert_slice(record, "two");
    assert_int_equal(kv_log_read(reader, &record, NULL), QUARRY_NOT_FOUND);
    kv_log_reader_end(reader, &end);
    assert_int_equal(end.ending, KV_LOG_ENDS_RECYCLED);
    assert_int_equal(end.offset, at);
    kv_log_reader_destroy(reader);
}

static void fragments_out_of_order_or_unknown_end_it(void **state)
{
    static const struct {
        unsigned types[3];
        uint32_t records;
        enum kv_log_ending ending;
    } rows[] = {
        {{1, 3, 1}, 1, KV_LOG_ENDS_ORDER}, {{1, 4, 1}, 1, KV_LOG_ENDS_ORDER},
        {{2, 1, 1}, 0, KV_LOG_ENDS_ORDER}, {{2, 2, 4}, 0, KV_LOG_ENDS_ORDER},
        {{1, 10, 1}, 1, KV_LOG_ENDS_TYPE}, {{2, 3, 3}, 0, KV_LOG_ENDS_CUT_OFF},
        {{1, 2, 4}, 2, KV_LOG_ENDS_CLEAN},
    };
    struct kv_log_end end;
    struct kv_slice record;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint64_t at = 0;
        assert_int_equal(quarry_vfs_truncate(file, 0, NULL), QUARRY_OK);
        for (size_t j = 0; j < 3; j++) {
            at += write_fragment(at, rows[i].types[j], NULL, "some");
        }
        struct kv_log_reader *reader = reader_make(false);
        while (kv_log_read(reader, &record, NULL) == QUARRY_OK) {
        }
        kv_log_reader_end(reader, &end);
        assert_int_equal(end.record_count, rows[i].records);
        assert_int_equal(end.ending, rows[i].ending);
        kv_log_reader_destroy(reader);
    }
    struct quarry_error error = {0};
    assert_int_equal(quarry_vfs_truncate(file, 0, NULL), QUARRY_OK);
    write_fragment(0, 9, NULL, "\x01\0\0\0");
    struct kv_log_reader *reader = reader_make(false);
    assert_int_equal(kv_log_read(reader, &record, &error), QUARRY_UNSUPPORTED);
    assert_non_null(strstr(error.text, "compressed"));
    kv_log_reader_destroy(reader);
}

static void the_example_of_the_format_is_decoded(void **state)
{
    static const char example[] = "\x7e\x14\xca\xa4\x10\x00\x01"
                                  "\x34\0\0\0\0\0\0\0\x01\0\0\0\x00\x02k1";
    struct kv_slice record;
    struct kv_batch_cursor cursor;
    struct kv_batch_record change;

    (void)state;
    assert_int_equal(quarry_vfs_write(file, 0, example, sizeof example - 1, NULL), QUARRY_OK);
    struct kv_log_reader *reader = reader_make(true);
    assert_int_equal(kv_log_read(reader, &record, NULL), QUARRY_OK);
    assert_int_equal(kv_batch_sequence(record), 52);
    assert_int_equal(kv_batch_cursor_init(&cursor, record, NULL), QUARRY_OK);
    assert_int_equal(kv_batch_next(&cursor, &change, NULL), QUARRY_OK);
    assert_int_equal(change.type, KV_TYPE_DELETE);
    assert_slice(change.key, "k1");
    assert_int_equal(kv_log_read(reader, &record, NULL), QUARRY_NOT_FOUND);
    kv_log_reader_destroy(reader);
}

static void a_file_that_was_used_is_zeroed_for_the_next(void **state)
{
    uint64_t ends[40], end = write_small(ends);
    struct kv_log_end ret;
    enum quarry_status status;

    (void)state;
    assert_int_equal(kv_log_zero(file, end, NULL), QUARRY_OK);
    assert_true(quarry_vfs_fault_count(faulty, QUARRY_VFS_OP_SYNC) >= 1);
    assert_int_equal(read_small(true, &status, &ret), 0);
    assert_int_equal(ret.ending, KV_LOG_ENDS_CLEAN);
    struct kv_log *to = log_make(SEGMENT);
    append(to, text_slice(""), text_slice(""));
    assert_int_equal(read_small(true, &status, &ret), 1);
    assert_int_equal(status, QUARRY_NOT_FOUND);
    kv_log_close(to, NULL);
}

static void a_failed_write_or_sync_breaks_it(void **state)
{
    static const uint32_t operations[] = {QUARRY_VFS_OP_WRITE, QUARRY_VFS_OP_SYNC};
    struct quarry_error error = {0};
    uint64_t end;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(operations); i++) {
        struct kv_log *to = log_make(0);
        struct kv_log_record record;
        uint64_t begin = append(to, text_slice(""), text_slice("one"));
        assert_int_equal(kv_log_sync(to, begin, NULL), QUARRY_OK);
        const struct quarry_vfs_fault fault = {
            .operations = 1u << operations[i], .count = 1, .status = QUARRY_IO, .os_errno = 5};
        quarry_vfs_fault_set(faulty, 0, &fault);
        kv_log_record_init(&record, text_slice("two"));
        enum quarry_status status = kv_log_append(to, &record, &end, &error);
        if (status == QUARRY_OK) {
            status = kv_log_sync(to, end, &error);
        }
        quarry_vfs_fault_set(faulty, 0, NULL);
        assert_int_equal(status, QUARRY_IO);
        /* What was synced is; nothing else ever will be. */
        assert_int_equal(kv_log_sync(to, begin, NULL), QUARRY_OK);
        assert_int_equal(kv_log_append(to, &record, &end, &error), QUARRY_IO);
        assert_int_equal(kv_log_sync(to, begin + 1, &error), QUARRY_IO);
        assert_int_equal(kv_log_status(to, &error), QUARRY_IO);
        assert_true(error.text[0] != '\0');
        assert_int_equal(kv_log_synced_end(to), begin);
        kv_log_close(to, NULL);
    }
}

static void without_room_for_a_segment_nothing_is_written_or_broken(void **state)
{
    static char bytes[Q_MIB(1)];
    struct kv_log *to = log_make(SEGMENT);
    struct kv_log_record record;
    struct kv_log_end ret;
    uint64_t end, before;

    (void)state;
    kv_log_record_init(&record, kv_slice(bytes, sizeof bytes));
    append(to, text_slice(""), kv_slice(bytes, sizeof bytes));
    before = kv_log_end(to);
    quarry_vfs_memory_set_space(disk, SEGMENT);
    assert_int_equal(kv_log_append(to, &record, &end, NULL), QUARRY_NO_SPACE);
    assert_int_equal(kv_log_end(to), before);
    assert_int_equal(kv_log_status(to, NULL), QUARRY_OK);
    quarry_vfs_memory_set_space(disk, UINT64_MAX);
    assert_int_equal(kv_log_append(to, &record, &end, NULL), QUARRY_OK);
    struct kv_log_reader *reader = reader_make(true);
    struct kv_slice read;
    while (kv_log_read(reader, &read, NULL) == QUARRY_OK) {
        assert_int_equal(read.count, sizeof bytes);
    }
    kv_log_reader_end(reader, &ret);
    assert_int_equal(ret.record_count, 2);
    kv_log_reader_destroy(reader);
    kv_log_close(to, NULL);
}

static void a_file_system_that_cannot_map_is_written_to(void **state)
{
    static const enum quarry_vfs_operation operations[] = {QUARRY_VFS_OP_PREALLOCATE,
                                                           QUARRY_VFS_OP_MAP};
    struct kv_log_end end;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(operations); i++) {
        const struct quarry_vfs_fault fault = {.operations = 1u << operations[i],
                                               .first = i == 0 ? 1 : 2,
                                               .status = QUARRY_UNSUPPORTED};
        assert_int_equal(quarry_vfs_truncate(file, 0, NULL), QUARRY_OK);
        quarry_vfs_fault_set(faulty, 0, &fault);
        struct kv_log *to = log_make(SEGMENT);
        for (uint32_t j = 0; j < 100; j++) {
            append_pattern(to, j);
        }
        assert_false(kv_log_is_mapped(to));
        quarry_vfs_fault_set(faulty, 0, NULL);
        assert_int_equal(read_patterns(true, QUARRY_NOT_FOUND, &end), 100);
        assert_int_equal(kv_log_close(to, NULL), QUARRY_OK);
        assert_int_equal(read_patterns(true, QUARRY_NOT_FOUND, &end), 100);
    }
}

static void what_was_synced_outlives_a_loss_of_power(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct quarry_vfs_file *live = file;
        struct quarry_vfs *after = NULL;
        struct kv_log_end end;
        assert_int_equal(quarry_vfs_truncate(file, 0, NULL), QUARRY_OK);
        struct kv_log *to = log_make(seed % 2 == 0 ? 0 : SEGMENT);
        uint32_t synced = (uint32_t)(seed % 30);
        for (uint32_t i = 0; i < 60; i++) {
            append_pattern(to, i);
            if (i + 1 == synced) {
                assert_int_equal(kv_log_sync(to, kv_log_end(to), NULL), QUARRY_OK);
                assert_int_equal(quarry_vfs_sync_directory(faulty, "/", NULL), QUARRY_OK);
            }
        }
        assert_int_equal(quarry_vfs_memory_crash(disk, 50, seed, &after), QUARRY_OK);
        if (quarry_vfs_open(after, "/log", QUARRY_VFS_READ, &file, NULL) == QUARRY_OK) {
            assert_true(read_patterns(false, QUARRY_NOT_FOUND, &end) >= synced);
            quarry_vfs_close(file);
        } else {
            assert_int_equal(synced, 0);
        }
        file = live;
        quarry_vfs_memory_destroy(after);
        kv_log_close(to, NULL);
    }
}

static void every_allocation_may_fail(void **state)
{
    uint32_t refused_count = 0;

    (void)state;
    for (uint64_t bytes = 0; bytes < Q_MIB(2); bytes += Q_KIB(8)) {
        const struct kv_log_options options = {.file = file,
                                               .name = "log",
                                               .memory = &rig_kv_memory,
                                               .segment_bytes =
                                                   bytes % Q_KIB(16) == 0 ? 0 : SEGMENT};
        const struct kv_log_reader_options reader_options = {
            .file = file, .name = "log", .memory = &rig_kv_memory, .record_bytes_max = Q_MIB(1)};
        struct kv_log *to = NULL;
        struct kv_log_reader *reader = NULL;
        mem_rig_leave(bytes);
        enum quarry_status status = kv_log_create(&options, &to, NULL);
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
        refused_count += status != QUARRY_OK;
        assert_int_equal(kv_log_close(to, NULL), QUARRY_OK);
        status = kv_log_reader_create(&reader_options, &reader, NULL);
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
        refused_count += status != QUARRY_OK;
        kv_log_reader_destroy(reader);
        mem_rig_leave(UINT64_MAX);
        assert_int_equal(mem_rig_charged(), 0);
    }
    assert_true(refused_count > 20);
}

#define WITH_DISK(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DISK(what_is_written_is_read),
        WITH_DISK(a_record_may_end_anywhere_in_its_block),
        WITH_DISK(cut_at_every_byte_it_has_what_was_whole),
        WITH_DISK(a_flipped_byte_ends_it_there),
        WITH_DISK(zeros_are_the_end_and_something_behind_them_is_a_hole),
        WITH_DISK(a_last_record_whose_sectors_are_lacking_is_cut_off),
        WITH_DISK(recycled_fragments_are_read_up_to_those_of_another_log),
        WITH_DISK(fragments_out_of_order_or_unknown_end_it),
        WITH_DISK(the_example_of_the_format_is_decoded),
        WITH_DISK(a_file_that_was_used_is_zeroed_for_the_next),
        WITH_DISK(a_failed_write_or_sync_breaks_it),
        WITH_DISK(without_room_for_a_segment_nothing_is_written_or_broken),
        WITH_DISK(a_file_system_that_cannot_map_is_written_to),
        WITH_DISK(what_was_synced_outlives_a_loss_of_power),
        WITH_DISK(every_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
