/* Batches: their bytes, what is refused, going back, and every allocation that fails. */
#include "unit/kv/mem_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include <kv/batch_index.h>

#include "unit/base/random.h"

#define HEADER(count) "\0\0\0\0\0\0\0\0" count "\0\0\0"

static void assert_bytes(const struct quarry_kv_batch *batch, const char *bytes, size_t byte_count)
{
    struct quarry_kv_slice data = quarry_kv_batch_data(batch);

    assert_int_equal(data.byte_count, byte_count);
    assert_memory_equal(data.bytes, bytes, byte_count);
}

static void bytes_are_those_of_the_format(void **state)
{
    static const char expected[] = HEADER("\x05") "\x01\x02k1\x02v1"
                                                  "\x00\x02k2"
                                                  "\x07\x02k3"
                                                  "\x02\x02k4\x01m"
                                                  "\x03\x04"
                                                  "blob"
                                                  "\x0f\x01"
                                                  "a\x01"
                                                  "b";
    struct quarry_kv_batch *batch = batch_make(false);

    (void)state;
    assert_int_equal(quarry_kv_batch_put(batch, "k1", 2, "v1", 2), QUARRY_OK);
    assert_int_equal(quarry_kv_batch_delete(batch, "k2", 2), QUARRY_OK);
    assert_int_equal(quarry_kv_batch_single_delete(batch, "k3", 2), QUARRY_OK);
    assert_int_equal(quarry_kv_batch_merge(batch, "k4", 2, "m", 1), QUARRY_OK);
    assert_int_equal(quarry_kv_batch_log_data(batch, "blob", 4), QUARRY_OK);
    assert_int_equal(quarry_kv_batch_delete_range(batch, "a", 1, "b", 1), QUARRY_OK);
    assert_bytes(batch, expected, sizeof expected - 1);
    assert_int_equal(quarry_kv_batch_count(batch), 5);
    quarry_kv_batch_clear(batch);
    assert_bytes(batch, HEADER("\x00"), 12);
    quarry_kv_batch_destroy(batch);
    quarry_kv_batch_destroy(NULL);
}

static enum quarry_status check(const char *bytes, size_t byte_count, struct quarry_error *error)
{
    struct kv_batch_counts counts;

    return kv_batch_check(kv_slice(bytes, byte_count), &counts, error);
}
#define check_text(text, error) check(text, sizeof(text) - 1, error)

static void the_default_column_family_is_accepted_and_others_are_not(void **state)
{
    struct quarry_error error = {0};

    (void)state;
    assert_int_equal(check_text(HEADER("\x05") "\x05\x00\x01k\x01v"
                                               "\x04\x00\x01k"
                                               "\x08\x00\x01k"
                                               "\x06\x00\x01k\x01v"
                                               "\x0e\x00\x01"
                                               "a\x01"
                                               "b"
                                               "\x0d",
                                &error),
                     QUARRY_OK);
    assert_int_equal(check_text(HEADER("\x01") "\x05\x03\x01k\x01v", &error), QUARRY_UNSUPPORTED);
    assert_non_null(strstr(error.text, "column family 3"));
}

static void features_of_other_engines_are_refused_by_name(void **state)
{
    static const struct {
        char tag;
        const char *name;
    } rows[] = {{0x09, "two-phase commit"},
                {0x0a, "two-phase commit"},
                {0x0b, "two-phase commit"},
                {0x0c, "two-phase commit"},
                {0x10, "blobs"},
                {0x11, "blobs"},
                {0x12, "two-phase commit"},
                {0x13, "two-phase commit"},
                {0x14, "timestamps"},
                {0x15, "two-phase commit"},
                {0x16, "wide columns"},
                {0x17, "wide columns"}};
    char bytes[] = HEADER("\x01") "\x09\x01k";
    struct quarry_error error = {0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        bytes[12] = rows[i].tag;
        assert_int_equal(check(bytes, sizeof bytes - 1, &error), QUARRY_UNSUPPORTED);
        assert_non_null(strstr(error.text, rows[i].name));
    }
    for (int tag = 0x18; tag < 0x100; tag++) {
        bytes[12] = (char)tag;
        assert_int_equal(check(bytes, sizeof bytes - 1, &error), QUARRY_CORRUPT);
    }
}

static void every_cut_is_seen(void **state)
{
    static const char whole[] = HEADER("\x02") "\x01\x02k1\x02v1"
                                               "\x0f\x01"
                                               "a\x01"
                                               "b";

    (void)state;
    assert_int_equal(check(whole, sizeof whole - 1, NULL), QUARRY_OK);
    for (size_t byte_count = 0; byte_count < sizeof whole - 1; byte_count++) {
        struct quarry_error error = {0};
        /* In memory of its own, so that reading on is seen by a sanitizer. */
        char *cut = kv_memory_take(&rig_kv_memory, byte_count + 1);
        memcpy(cut, whole, byte_count);
        assert_int_equal(check(cut, byte_count, &error), QUARRY_CORRUPT);
        assert_true(error.text[0] != '\0');
        kv_memory_give(&rig_kv_memory, cut);
    }
    assert_int_equal(check_text(HEADER("\x03") "\x01\x02k1\x02v1"
                                               "\x00\x01k",
                                NULL),
                     QUARRY_CORRUPT);
    assert_int_equal(check_text("\xff\xff\xff\xff\xff\xff\xff\0\x01\0\0\0\x00\x01k", NULL),
                     QUARRY_CORRUPT);
    assert_int_equal(check_text("\xfe\xff\xff\xff\xff\xff\xff\0\x01\0\0\0\x00\x01k", NULL),
                     QUARRY_OK);
}

static void what_is_too_large_or_makes_no_sense_is_not_added(void **state)
{
    const struct kv_batch_options options = {.memory = &rig_kv_memory,
                                             .comparator = &kv_bytewise,
                                             .key_bytes_max = 4,
                                             .value_bytes_max = 8};
    struct quarry_kv_batch *batch = NULL;
    struct quarry_error error = {0};
    static const char long_key[] = HEADER("\x01") "\x00\x05"
                                                  "abcde";

    (void)state;
    assert_int_equal(kv_batch_create(&options, true, &batch), QUARRY_OK);
    assert_int_equal(quarry_kv_batch_put(batch, "abcde", 5, "", 0), QUARRY_TOO_LARGE);
    assert_int_equal(quarry_kv_batch_put(batch, "abcd", 4, "123456789", 9), QUARRY_TOO_LARGE);
    assert_int_equal(quarry_kv_batch_merge(batch, "abcd", 4, "123456789", 9), QUARRY_TOO_LARGE);
    assert_int_equal(quarry_kv_batch_log_data(batch, "123456789", 9), QUARRY_TOO_LARGE);
    assert_int_equal(quarry_kv_batch_delete_range(batch, "a", 1, "bcdef", 5), QUARRY_TOO_LARGE);
    assert_int_equal(quarry_kv_batch_delete_range(batch, "b", 1, "a", 1), QUARRY_BAD_INPUT);
    assert_int_equal(quarry_kv_batch_append(
                         batch, (struct quarry_kv_slice){long_key, sizeof long_key - 1}, &error),
                     QUARRY_TOO_LARGE);
    assert_bytes(batch, HEADER("\x00"), 12);
    assert_int_equal(quarry_kv_batch_put(batch, "abcd", 4, "12345678", 8), QUARRY_OK);
    quarry_kv_batch_destroy(batch);
}

static void batches_are_appended_whole(void **state)
{
    struct quarry_kv_batch *to = batch_make(true), *from = batch_make(false);
    struct kv_batch_found found;

    (void)state;
    quarry_kv_batch_put(to, "a", 1, "1", 1);
    quarry_kv_batch_put(from, "b", 1, "2", 1);
    quarry_kv_batch_log_data(from, "x", 1);
    quarry_kv_batch_delete(from, "a", 1);
    assert_int_equal(quarry_kv_batch_append(to, quarry_kv_batch_data(from), NULL), QUARRY_OK);
    assert_int_equal(quarry_kv_batch_count(to), 3);
    assert_int_equal(kv_batch_count(kv_batch_slice(to)), 3);
    assert_true(kv_batch_index_get(to->index, text_slice("a"), 100, &found));
    assert_int_equal(found.trailer, kv_trailer(102, KV_TYPE_DELETE));
    struct quarry_kv_slice cut = quarry_kv_batch_data(from);
    cut.byte_count--;
    assert_int_equal(quarry_kv_batch_append(to, cut, NULL), QUARRY_CORRUPT);
    assert_int_equal(quarry_kv_batch_count(to), 3);
    quarry_kv_batch_destroy(from);
    quarry_kv_batch_destroy(to);
}

static void marks_nest_and_are_gone_back_to(void **state)
{
    struct quarry_kv_batch *batch = batch_make(true);
    struct kv_batch_found found;
    size_t bytes[KV_BATCH_MARKS_MAX];
    char key[16];

    (void)state;
    assert_int_equal(quarry_kv_batch_rewind(batch), QUARRY_NOT_FOUND);
    for (uint32_t i = 0; i < KV_BATCH_MARKS_MAX; i++) {
        bytes[i] = quarry_kv_batch_data(batch).byte_count;
        assert_int_equal(quarry_kv_batch_mark(batch), QUARRY_OK);
        snprintf(key, sizeof key, "%u", i);
        quarry_kv_batch_put(batch, key, strlen(key), "v", 1);
        quarry_kv_batch_delete_range(batch, key, strlen(key), "~", 1);
    }
    assert_int_equal(quarry_kv_batch_mark(batch), QUARRY_TOO_MANY);
    for (uint32_t i = KV_BATCH_MARKS_MAX; i-- > 0;) {
        snprintf(key, sizeof key, "%u", i);
        assert_true(kv_batch_index_get(batch->index, text_slice(key), 0, &found));
        assert_int_equal(quarry_kv_batch_rewind(batch), QUARRY_OK);
        assert_int_equal(quarry_kv_batch_data(batch).byte_count, bytes[i]);
        assert_int_equal(quarry_kv_batch_count(batch), 2 * i);
        assert_int_equal(kv_batch_count(kv_batch_slice(batch)), 2 * i);
        assert_false(kv_batch_index_get(batch->index, text_slice(key), 0, &found));
        kv_batch_index_validate(batch->index);
    }
    quarry_kv_batch_destroy(batch);
}

/* Adds what must be there afterwards, or not at all. Returns: whether it came through. */
static bool try_to_fill(struct quarry_kv_batch *batch)
{
    static const char value[300];
    char key[16];

    for (uint32_t i = 0; i < 1500; i++) {
        uint32_t before = quarry_kv_batch_count(batch);
        snprintf(key, sizeof key, "%u", i * 7919 % 1500);
        enum quarry_status status =
            i % 100 == 99 ? quarry_kv_batch_delete_range(batch, key, strlen(key), "~", 1)
                          : quarry_kv_batch_put(batch, key, strlen(key), value, i % 300);
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
        assert_int_equal(quarry_kv_batch_count(batch), before + (status == QUARRY_OK));
        if (status != QUARRY_OK) {
            return false;
        }
    }
    return true;
}

static void every_allocation_fails_and_nothing_is_half_added(void **state)
{
    const struct kv_batch_options options = {.memory = &rig_kv_memory,
                                             .comparator = &kv_bytewise,
                                             .key_bytes_max = 100,
                                             .value_bytes_max = 1000};
    uint32_t refused_count = 0;
    bool is_through = false;

    (void)state;
    for (uint64_t bytes = 0; !is_through; bytes += bytes < 2000 ? 50 : bytes / 20) {
        struct quarry_kv_batch *batch = NULL;
        struct kv_batch_counts counts;
        mem_rig_leave(bytes);
        if (kv_batch_create(&options, true, &batch) == QUARRY_OK) {
            is_through = try_to_fill(batch);
            assert_int_equal(kv_batch_check(kv_batch_slice(batch), &counts, NULL), QUARRY_OK);
            assert_int_equal(kv_batch_index_count(batch->index) + counts.range_count,
                             counts.change_count);
            kv_batch_index_validate(batch->index);
            quarry_kv_batch_destroy(batch);
        }
        refused_count += !is_through;
        mem_rig_leave(UINT64_MAX);
        assert_int_equal(mem_rig_charged(), 0);
    }
    assert_true(refused_count > 20);
}

/* Reads a record in both ways from bytes of which none is readable behind them. Returns: whether it
 * was short. */
static bool read_twice(const char *bytes, size_t byte_count)
{
    char *exact = malloc(byte_count == 0 ? 1 : byte_count);
    struct kv_batch_record record, other;

    assert_non_null(exact);
    memcpy(exact, bytes, byte_count);
    struct kv_batch_cursor cursor = {.begin = exact, .at = exact, .end = exact + byte_count};
    struct kv_batch_cursor whole = cursor;
    bool is_short = kv_batch_next_short(&cursor, &record);
    if (is_short) {
        assert_int_equal(kv_batch_next(&whole, &other, NULL), QUARRY_OK);
        assert_ptr_equal(cursor.at, whole.at);
        assert_true(record.is_change && other.is_change);
        assert_int_equal(record.type, other.type);
        assert_ptr_equal(record.key.bytes, other.key.bytes);
        assert_int_equal(record.key.count, other.key.count);
        assert_ptr_equal(record.value.bytes, other.value.bytes);
        assert_int_equal(record.value.count, other.value.count);
        assert_ptr_equal(record.pair.bytes, exact + 1);
        assert_ptr_equal(record.pair.bytes + record.pair.count, cursor.at);
    } else {
        assert_ptr_equal(cursor.at, exact);
    }
    free(exact);
    return is_short;
}

/* A put with two lengths, as given, each before as many bytes. Returns: bytes. */
static size_t put_record(char *to, const char *key_length, size_t key_bytes,
                         const char *value_length, size_t value_bytes)
{
    char *at = to;

    *at++ = 0x01;
    at = stpcpy(at, key_length);
    memset(at, 'k', key_bytes);
    at = stpcpy(at + key_bytes, value_length);
    memset(at, 'v', value_bytes);
    return (size_t)(at + value_bytes - to);
}

static void short_puts_are_read_as_others_are_and_the_rest_is_left(void **state)
{
    static char bytes[20000];
    static const struct {
        const char *key_length, *value_length;
        size_t key_bytes, value_bytes;
        bool is_short;
    } rows[] = {
        {"\x01", "\x01", 1, 1, true},
        {"\x10", "\x64", 16, 100, true},
        {"\x7f", "\x7f", 127, 127, true},
        {"\x05", "\x80\x01", 5, 128, true},
        {"\x05", "\xff\x7f", 5, 16383, true},
        {"\x05", "\x80\x80\x01", 5, 16384, false}, /* a longer value */
        {"\x80\x01", "\x01", 128, 1, false},       /* a longer key */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t count = put_record(bytes, rows[i].key_length, rows[i].key_bytes,
                                  rows[i].value_length, rows[i].value_bytes);
        assert_int_equal(read_twice(bytes, count), rows[i].is_short);
        for (size_t cut = 0; cut < count; cut += cut < 300 ? 1 : 997) {
            assert_false(read_twice(bytes, cut));
        }
    }
    assert_true(read_twice("\x01\x00\x00", 3));
    /* Lengths that are filled up with zeros are not as a node has them. */
    assert_false(read_twice("\x01\x01"
                            "k\x81\x00v",
                            6));
    assert_false(read_twice("\x01\x81\x00k\x01v", 6));
    for (unsigned tag = 0; tag < 256; tag++) {
        const char record[] = {(char)tag, 1, 'k', 1, 'v'};
        assert_int_equal(read_twice(record, sizeof(record)), tag == 0x01);
    }
}

static void random_bytes_are_read_to_an_end_or_refused(void **state)
{
    uint64_t random = 3;
    char bytes[64];

    (void)state;
    for (int i = 0; i < 100000; i++) {
        struct kv_batch_counts counts;
        for (size_t j = 0; j < sizeof bytes; j++) {
            bytes[j] = j < 12 ? (char)(j == 8) : (char)(random_u64(&random) % 24);
        }
        enum quarry_status status =
            kv_batch_check(kv_slice(bytes, 12 + random_u64(&random) % 52), &counts, NULL);
        assert_true(status == QUARRY_OK || status == QUARRY_CORRUPT ||
                    status == QUARRY_UNSUPPORTED);
    }
}

#define WITH_RIG(name) cmocka_unit_test_setup_teardown(name, mem_rig_set_up, mem_rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(bytes_are_those_of_the_format),
        WITH_RIG(the_default_column_family_is_accepted_and_others_are_not),
        WITH_RIG(features_of_other_engines_are_refused_by_name),
        WITH_RIG(every_cut_is_seen),
        WITH_RIG(what_is_too_large_or_makes_no_sense_is_not_added),
        WITH_RIG(batches_are_appended_whole),
        WITH_RIG(marks_nest_and_are_gone_back_to),
        WITH_RIG(every_allocation_fails_and_nothing_is_half_added),
        cmocka_unit_test(short_puts_are_read_as_others_are_and_the_rest_is_left),
        WITH_RIG(random_bytes_are_read_to_an_end_or_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
