#include "unit/base/cmocka_all.h"

#include <string.h>

#include <serve/resp/parse.h>
#include <serve/resp/words.h>

static const struct resp_parse_limits limits = {.bulk_bytes_max = 1000};
static struct quarry_kv_slice words[16];
static uint32_t count;
static size_t taken;
static struct resp_cursor cursor;
static struct resp_parse_error error;
static char room[RESP_LINE_BYTES_MAX];

static enum resp_parsed parse(const char *bytes, size_t byte_count)
{
    memset(&cursor, 0, sizeof cursor);
    return resp_parse_request(&cursor, bytes, byte_count, &limits, words, 16, &count, &taken,
                              &error);
}

#define PARSE(text) parse(text, sizeof(text) - 1)

static void assert_word(uint32_t index, const char *text)
{
    assert_true(index < count);
    assert_int_equal(words[index].byte_count, strlen(text));
    assert_memory_equal(words[index].bytes, text, strlen(text));
}

static void a_whole_request_is_its_words(void **state)
{
    (void)state;
    assert_int_equal(PARSE("*3\r\n$3\r\nSET\r\n$0\r\n\r\n$12\r\nhello, world\r\n+rest"),
                     RESP_PARSED_ALL);
    assert_int_equal(count, 3);
    assert_word(0, "SET");
    assert_word(1, "");
    assert_word(2, "hello, world");
    assert_int_equal(taken, 38);
}

static void a_request_cut_anywhere_wants_more(void **state)
{
    static const char request[] = "*2\r\n$4\r\nECHO\r\n$103\r\n";
    char whole[200];
    size_t length = sizeof request - 1;

    (void)state;
    memset(whole, 'x', sizeof whole);
    memcpy(whole, request, length);
    memcpy(whole + length + 103, "\r\n", 2);
    for (size_t cut = 1; cut < length + 105; cut++) {
        assert_int_equal(parse(whole, cut), RESP_PARSED_MORE);
        assert_true(count <= 1 && taken <= cut);
    }
    assert_int_equal(parse(whole, length + 105), RESP_PARSED_ALL);
    assert_int_equal(words[1].byte_count, 103);
    assert_int_equal(taken, length + 105);
}

static void what_was_read_can_be_gone_on_with(void **state)
{
    (void)state;
    assert_int_equal(PARSE("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$900\r\nvvv"), RESP_PARSED_MORE);
    assert_int_equal(count, 2);
    assert_int_equal(cursor.words_left, 1);
    assert_true(cursor.has_bulk);
    assert_int_equal(cursor.bulk_bytes, 900);
    assert_int_equal(taken, 26);
}

static void empty_requests_are_passed_over(void **state)
{
    (void)state;
    assert_int_equal(PARSE("*0\r\n*1"), RESP_PARSED_NONE);
    assert_int_equal(taken, 4);
    assert_int_equal(PARSE("*-1\r\n"), RESP_PARSED_NONE);
    assert_int_equal(taken, 5);
}

static void wrong_lengths_have_redis_texts(void **state)
{
    static const struct {
        const char *bytes, *text;
    } rows[] = {
        {"*a\r\n", "invalid multibulk length"},
        {"*01\r\n", "invalid multibulk length"},
        {"*+1\r\n", "invalid multibulk length"},
        {"*65537\r\n", "invalid multibulk length"},
        {"*99999999999999999999\r\n", "invalid multibulk length"},
        {"*1\r\nPING\r\n", "expected '$', got 'P'"},
        {"*1\r\n$\r\n", "invalid bulk length"},
        {"*1\r\n$-1\r\n", "invalid bulk length"},
        {"*1\r\n$1001\r\n", "invalid bulk length"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(parse(rows[i].bytes, strlen(rows[i].bytes)), RESP_PARSED_WRONG);
        assert_string_equal(error.text + strlen("Protocol error: "), rows[i].text);
    }
}

static void lengths_without_an_end_are_refused_at_64_kib(void **state)
{
    static char digits[RESP_LINE_BYTES_MAX + 10];

    (void)state;
    memset(digits, '1', sizeof digits);
    digits[0] = '*';
    assert_int_equal(parse(digits, RESP_LINE_BYTES_MAX), RESP_PARSED_MORE);
    assert_int_equal(parse(digits, RESP_LINE_BYTES_MAX + 1), RESP_PARSED_WRONG);
    assert_string_equal(error.text, "Protocol error: too big mbulk count string");
    memcpy(digits, "*1\r\n$", 5);
    assert_int_equal(parse(digits, RESP_LINE_BYTES_MAX + 5), RESP_PARSED_WRONG);
    assert_string_equal(error.text, "Protocol error: too big bulk count string");
}

static void a_stranger_may_say_little(void **state)
{
    const struct resp_parse_limits strict = {.bulk_bytes_max = Q_MIB(1), .is_stranger = true};

    (void)state;
    assert_int_equal(
        resp_parse_request(&cursor, "*11\r\n", 5, &strict, words, 16, &count, &taken, &error),
        RESP_PARSED_WRONG);
    assert_string_equal(error.text, "Protocol error: unauthenticated multibulk length");
    assert_int_equal(resp_parse_request(&cursor, "*1\r\n$16385\r\n", 12, &strict, words, 16, &count,
                                        &taken, &error),
                     RESP_PARSED_WRONG);
    assert_string_equal(error.text, "Protocol error: unauthenticated bulk length");
}

static enum resp_parsed line(const char *text)
{
    return resp_parse_line(text, strlen(text), room, words, 16, &count, &taken, &error);
}

static void a_line_is_its_words(void **state)
{
    (void)state;
    assert_int_equal(line("  SET  k \"a b\\n\\x41\\\"\" 'it\\'s' e\"f\"\r\nPING"), RESP_PARSED_ALL);
    assert_int_equal(count, 5);
    assert_word(0, "SET");
    assert_word(1, "k");
    assert_word(2, "a b\nA\"");
    assert_word(3, "it's");
    assert_word(4, "ef");
    assert_int_equal(taken, strlen("  SET  k \"a b\\n\\x41\\\"\" 'it\\'s' e\"f\"\r\n"));
}

static void lines_of_nothing_are_passed_over(void **state)
{
    (void)state;
    assert_int_equal(line("\r\n"), RESP_PARSED_NONE);
    assert_int_equal(taken, 2);
    assert_int_equal(line("  \t\n"), RESP_PARSED_NONE);
    assert_int_equal(line("PING"), RESP_PARSED_MORE);
}

static void quotes_must_match_and_end_their_word(void **state)
{
    static const char *const wrong[] = {"\"a\n", "'a\n", "\"a\"b\n", "'a'b\n", "\"a\\\"\n"};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(line(wrong[i]), RESP_PARSED_WRONG);
        assert_string_equal(error.text, "Protocol error: unbalanced quotes in request");
    }
}

static void numbers_are_what_redis_takes_for_one(void **state)
{
    static const struct {
        const char *text;
        bool is_number;
        int64_t number;
    } rows[] = {
        {"0", true, 0},
        {"-0", false, 0},
        {"7", true, 7},
        {"-7", true, -7},
        {"07", false, 0},
        {"+7", false, 0},
        {" 7", false, 0},
        {"7 ", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"1e3", false, 0},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"99999999999999999999", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t number = 0;
        struct quarry_kv_slice word = {rows[i].text, strlen(rows[i].text)};
        assert_int_equal(resp_read_integer(word, &number), rows[i].is_number);
        assert_true(!rows[i].is_number || number == rows[i].number);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_request_is_its_words),
        cmocka_unit_test(a_request_cut_anywhere_wants_more),
        cmocka_unit_test(what_was_read_can_be_gone_on_with),
        cmocka_unit_test(empty_requests_are_passed_over),
        cmocka_unit_test(wrong_lengths_have_redis_texts),
        cmocka_unit_test(lengths_without_an_end_are_refused_at_64_kib),
        cmocka_unit_test(a_stranger_may_say_little),
        cmocka_unit_test(a_line_is_its_words),
        cmocka_unit_test(lines_of_nothing_are_passed_over),
        cmocka_unit_test(quotes_must_match_and_end_their_word),
        cmocka_unit_test(numbers_are_what_redis_takes_for_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
