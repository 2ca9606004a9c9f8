/*
 * Parts of `quarry kv` by themselves: base64, progress, RDB files that are damaged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <cli/base64.h>
#include <cli/progress.h>
#include <cli/rdb_read.h>

/* ---- base64 --------------------------------------------------------------------------------- */

static void base64_returns_all_bytes_of_all_lengths(void **state)
{
    char bytes[64], text[BASE64_BYTES(64)], back[96];
    size_t count = 0;

    (void)state;
    for (size_t length = 0; length <= sizeof bytes; length++) {
        for (size_t i = 0; i < length; i++) {
            bytes[i] = (char)(i * 37 + length);
        }
        base64_encode(bytes, length, text);
        assert_true(base64_decode(text, strlen(text), back, &count));
        assert_int_equal(count, length);
        assert_memory_equal(back, bytes, length);
    }
    base64_encode("\xff\xef\xbe", 3, text);
    assert_string_equal(text, "/+++");
}

static void base64_refuses_what_is_none(void **state)
{
    static const char *const texts[] = {"a", "ab", "abc", "a===", "ab=c", "====", "ab c", "abc\n"};
    char out[16];
    size_t count;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_false(base64_decode(texts[i], strlen(texts[i]), out, &count));
    }
}

/* ---- progress ------------------------------------------------------------------------------- */

static void progress_tells_share_rate_and_what_is_left(void **state)
{
    struct progress progress = {.unit = "keys",
                                .total_bytes = 100 << 20,
                                .count = 1234,
                                .done_bytes = 25 << 20,
                                .begun_ns = 0};
    char line[256];

    (void)state;
    progress_format(&progress, UINT64_C(5000000000), line, sizeof line);
    assert_string_equal(line, "[#####...............]  25 %  1234 keys  5 MiB/s  15 s left");
    progress.total_bytes = 0;
    progress_format(&progress, UINT64_C(5000000000), line, sizeof line);
    assert_string_equal(line, "1234 keys  5 MiB/s");
    progress.total_bytes = 1; /* more than was thought */
    progress_format(&progress, 0, line, sizeof line);
    assert_string_equal(line, "[####################] 100 %  1234 keys  0 B/s");
}

/* ---- RDB ------------------------------------------------------------------------------------ */

/* A file of version 9: database 1; k = "v", expiring at 258 ms; n = -2; z = LZF of 12 times 'a';
 * a list of two. Without a checksum. */
static const char rdb[] = "REDIS0009"
                          "\xfa\x03"
                          "abc\xc0\x40"
                          "\xfe\x01"
                          "\xfb\x04\x01"
                          "\xfc\x02\x01\x00\x00\x00\x00\x00\x00"
                          "\x00\x01k\x01v"
                          "\x00\x01n\xc0\xfe"
                          "\x00\x01z\xc3\x06\x0c\x01"
                          "aa\xe0\x01\x00"
                          "\x01\x01l\x02\x01x\x01y"
                          "\xff\x00\x00\x00\x00\x00\x00\x00\x00";

static char seen[256];

static int note(void *argument, const struct rdb_entry *entry)
{
    size_t length = strlen(seen);

    (void)argument;
    (void)snprintf(seen + length, sizeof seen - length, "%d %.*s %s %.*s %d;", (int)entry->database,
                   (int)entry->key.byte_count, (const char *)entry->key.bytes, entry->type,
                   (int)entry->value.byte_count,
                   entry->value.bytes == NULL ? "" : (const char *)entry->value.bytes,
                   (int)entry->expires_ms);
    return 0;
}

static int read_rdb(const void *bytes, size_t byte_count, struct rdb_fault *fault)
{
    FILE *file = fmemopen((void *)(uintptr_t)bytes, byte_count, "rb");

    assert_non_null(file);
    seen[0] = '\0';
    *fault = (struct rdb_fault){0};
    int code = rdb_read(file, note, NULL, fault);
    (void)fclose(file);
    return code;
}

static void an_rdb_file_is_read_in_all_its_forms(void **state)
{
    struct rdb_fault fault;

    (void)state;
    if (read_rdb(rdb, sizeof rdb - 1, &fault) != 0) {
        fail_msg("at %d: %s", (int)fault.offset, fault.text);
    }
    assert_string_equal(seen, "1 k string v 258;1 n string -2 0;1 z string aaaaaaaaaaaa 0;"
                              "1 l list  0;");
}

static void an_rdb_file_that_is_cut_off_is_refused_wherever_it_ends(void **state)
{
    struct rdb_fault fault;

    (void)state;
    for (size_t count = 1; count < sizeof rdb - 1; count++) {
        assert_int_equal(read_rdb(rdb, count, &fault), -1);
        assert_string_not_equal(fault.text, "");
        assert_true(fault.offset <= count);
    }
}

/* Every byte with each of some changes: it is refused, or read as something else; never more. */
static void an_rdb_file_that_is_damaged_is_no_harm(void **state)
{
    static const unsigned char changes[] = {0x01, 0x40, 0x80, 0xc0, 0xff};
    struct rdb_fault fault;
    char bytes[sizeof rdb];
    unsigned refused = 0;

    (void)state;
    for (size_t at = 0; at + 1 < sizeof rdb; at++) {
        for (size_t i = 0; i < sizeof changes; i++) {
            memcpy(bytes, rdb, sizeof rdb);
            bytes[at] = (char)(bytes[at] ^ changes[i]);
            refused += read_rdb(bytes, sizeof rdb - 1, &fault) != 0;
        }
    }
    assert_in_range(refused, 100, 5 * sizeof rdb);
}

static void a_checksum_of_an_rdb_file_is_compared(void **state)
{
    struct rdb_fault fault;
    char bytes[sizeof rdb];

    (void)state;
    memcpy(bytes, rdb, sizeof rdb);
    bytes[sizeof rdb - 2] = 1;
    assert_int_equal(read_rdb(bytes, sizeof rdb - 1, &fault), -1);
    assert_non_null(strstr(fault.text, "its checksum is "));
    bytes[8] = '4'; /* a version that has none */
    assert_int_equal(read_rdb(bytes, sizeof rdb - 1, &fault), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_returns_all_bytes_of_all_lengths),
        cmocka_unit_test(base64_refuses_what_is_none),
        cmocka_unit_test(progress_tells_share_rate_and_what_is_left),
        cmocka_unit_test(an_rdb_file_is_read_in_all_its_forms),
        cmocka_unit_test(an_rdb_file_that_is_cut_off_is_refused_wherever_it_ends),
        cmocka_unit_test(an_rdb_file_that_is_damaged_is_no_harm),
        cmocka_unit_test(a_checksum_of_an_rdb_file_is_compared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
