/*
 * Words and numbers of memcached's lines.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include <serve/memcached_scan.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static struct memcached_word word_of(const char *text)
{
    return (struct memcached_word){text, strlen(text)};
}

static void a_line_is_cut_at_its_spaces(void **state)
{
    struct memcached_words words;

    (void)state;
    memcached_split(word_of("  set a  b "), &words);
    assert_int_equal(words.count, 3);
    assert_true(MEMCACHED_WORD_IS(words.at[0], "set"));
    assert_true(MEMCACHED_WORD_IS(words.at[1], "a"));
    assert_true(MEMCACHED_WORD_IS(words.at[2], "b"));
    assert_int_equal(words.rest.length, 0);
    memcached_split(word_of("   "), &words);
    assert_int_equal(words.count, 0);
    memcached_split(word_of(""), &words);
    assert_int_equal(words.count, 0);
}

static void what_stands_beyond_the_last_word_is_the_rest(void **state)
{
    struct memcached_words words;

    (void)state;
    memcached_split(word_of("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23  "),
                    &words);
    assert_int_equal(words.count, MEMCACHED_WORDS_MAX);
    assert_int_equal(words.rest.length, 0);
    memcached_split(word_of("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 x y"),
                    &words);
    assert_int_equal(words.count, MEMCACHED_WORDS_MAX);
    assert_true(MEMCACHED_WORD_IS(words.rest, "x y"));
}

static void numbers_are_read_as_the_c_library_reads_them(void **state)
{
    static const struct {
        const char *text;
        bool is_good;
        uint64_t number;
    } cases[] = {
        {"0", true, 0},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"99999999999999999999999", false, 0},
        {"+7", true, 7},
        {"-1", false, 0},
        {"-18446744073709551615", true, 1},
        {"\t5", true, 5},
        {"5\tx", true, 5},
        {"5x", false, 0},
        {"", false, 0},
        {"+", false, 0},
        {"-", false, 0},
        {" ", false, 0},
        {"0x10", false, 0},
        {"000000000000000000000000012", true, 12},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t number = 42;

        assert_int_equal(memcached_read_u64(word_of(cases[i].text), &number), cases[i].is_good);
        assert_int_equal(number, cases[i].is_good ? cases[i].number : 42);
    }
}

static void narrow_numbers_are_refused_where_they_are_signed_and_cut_where_not(void **state)
{
    int32_t number = 0;
    uint32_t flags = 0;

    (void)state;
    assert_true(memcached_read_i32(word_of("2147483647"), &number));
    assert_int_equal(number, INT32_MAX);
    assert_true(memcached_read_i32(word_of("-2147483648"), &number));
    assert_int_equal(number, INT32_MIN);
    assert_false(memcached_read_i32(word_of("2147483648"), &number));
    assert_false(memcached_read_i32(word_of("-2147483649"), &number));
    assert_false(memcached_read_i32(word_of("1.5"), &number));
    assert_true(memcached_read_u32(word_of("4294967295"), &flags));
    assert_int_equal(flags, UINT32_MAX);
    assert_true(memcached_read_u32(word_of("4294967301"), &flags));
    assert_int_equal(flags, 5);
    assert_false(memcached_read_u32(word_of("-5"), &flags));
}

static void fractions_are_read(void **state)
{
    double number = 0;
    char text[128];

    (void)state;
    assert_true(memcached_read_fraction(word_of("0.25"), &number));
    assert_true(number > 0.24 && number < 0.26);
    assert_false(memcached_read_fraction(word_of("x"), &number));
    assert_false(memcached_read_fraction(word_of(""), &number));
    memset(text, '1', sizeof text);
    assert_false(memcached_read_fraction((struct memcached_word){text, sizeof text}, &number));
}

static void numbers_are_written_as_printf_writes_them(void **state)
{
    (void)state;
    for (uint32_t digits = 0; digits < 20; digits++) {
        uint64_t power = 1;

        for (uint32_t i = 0; i < digits; i++) {
            power *= 10;
        }
        for (int64_t delta = -2; delta <= 2; delta++) {
            uint64_t number = power + (uint64_t)delta;
            char wanted[32];
            char written[MEMCACHED_NUMBER_BYTES + 1];

            snprintf(wanted, sizeof wanted, "%" PRIu64, number);
            *memcached_write_u64(written, number) = '\0';
            assert_string_equal(written, wanted);
            *memcached_write_short(written, number) = '\0';
            assert_string_equal(written, wanted);
        }
    }
}

static void base64_goes_there_and_back(void **state)
{
    uint8_t bytes[64];
    char text[MEMCACHED_BASE64_BYTES(64)];
    uint8_t again[64];

    (void)state;
    for (size_t count = 1; count <= sizeof bytes; count++) {
        for (size_t i = 0; i < count; i++) {
            bytes[i] = (uint8_t)(i * 37 + count);
        }
        size_t length = memcached_base64_encode(text, bytes, count);

        assert_int_equal(length, MEMCACHED_BASE64_BYTES(count));
        assert_int_equal(
            memcached_base64_decode(again, count, (struct memcached_word){text, length}), count);
        assert_memory_equal(again, bytes, count);
        assert_int_equal(
            memcached_base64_decode(again, count - 1, (struct memcached_word){text, length}), 0);
    }
}

static void what_is_not_base64_is_refused(void **state)
{
    static const char *const texts[] = {
        "",     "A",    "AA",    "AAA",      "A===", "====",   "AA=A",
        "=AAA", "AA*A", "AAAA=", "AA==AAAA", "AA A", "AAA\x80"};
    uint8_t bytes[16];

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(memcached_base64_decode(bytes, sizeof bytes, word_of(texts[i])), 0);
    }
    assert_int_equal(memcached_base64_decode(bytes, sizeof bytes, word_of("Zm9v")), 3);
    assert_memory_equal(bytes, "foo", 3);
}

static void uris_hide_what_is_not_plain(void **state)
{
    char text[64];

    (void)state;
    *memcached_write_uri(text, "aZ0-._~:/ %\x01\xff", 13) = '\0';
    assert_string_equal(text, "aZ0-._~%3A%2F%20%25%01%FF");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_cut_at_its_spaces),
        cmocka_unit_test(what_stands_beyond_the_last_word_is_the_rest),
        cmocka_unit_test(numbers_are_read_as_the_c_library_reads_them),
        cmocka_unit_test(narrow_numbers_are_refused_where_they_are_signed_and_cut_where_not),
        cmocka_unit_test(fractions_are_read),
        cmocka_unit_test(numbers_are_written_as_printf_writes_them),
        cmocka_unit_test(base64_goes_there_and_back),
        cmocka_unit_test(what_is_not_base64_is_refused),
        cmocka_unit_test(uris_hide_what_is_not_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
