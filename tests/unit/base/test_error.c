/* Messages are formatted, cut where they must be, and never written past their storage. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include <base/base.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/death.h"

#define TEXT_MAX (QUARRY_ERROR_TEXT_BYTES - 1)

/* An error with a guard behind it, both filled with rubbish. */
struct guarded {
    struct quarry_error error;
    unsigned char guard[16];
};

static struct guarded rubbish(void)
{
    struct guarded guarded;
    memset(&guarded, 0xee, sizeof guarded);
    return guarded;
}

static void assert_guard_is_whole(const struct guarded *guarded)
{
    for (size_t i = 0; i < sizeof guarded->guard; i++)
        assert_int_equal(guarded->guard[i], 0xee);
    assert_non_null(memchr(guarded->error.text, '\0', QUARRY_ERROR_TEXT_BYTES));
}

static void an_error_keeps_status_and_text_and_returns_the_status(void **state)
{
    (void)state;
    struct guarded guarded = rubbish();
    enum quarry_status status =
        error_set(&guarded.error, QUARRY_NO_MEMORY, "lane '%s': %d pages wanted", "window", 3);
    assert_int_equal(status, QUARRY_NO_MEMORY);
    assert_int_equal(guarded.error.status, QUARRY_NO_MEMORY);
    assert_int_equal(guarded.error.os_errno, 0);
    assert_string_equal(guarded.error.text, "lane 'window': 3 pages wanted");
    assert_guard_is_whole(&guarded);
}

static void an_os_error_says_what_errno_means(void **state)
{
    (void)state;
    struct guarded guarded = rubbish();
    enum quarry_status status =
        error_set_os(&guarded.error, QUARRY_PERMISSION, EACCES, "open '%s'", "kv/LOCK");
    assert_int_equal(status, QUARRY_PERMISSION);
    assert_int_equal(guarded.error.status, QUARRY_PERMISSION);
    assert_int_equal(guarded.error.os_errno, EACCES);
    assert_string_equal(guarded.error.text, "open 'kv/LOCK': Permission denied");
    error_set_os(&guarded.error, QUARRY_IO, 123456, "read");
    assert_string_equal(guarded.error.text, "read: errno 123456");
    assert_int_equal(guarded.error.os_errno, 123456);
    assert_guard_is_whole(&guarded);
}

static void a_caller_without_an_error_gets_the_status(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, QUARRY_BUSY, "%s", "x"), QUARRY_BUSY);
    assert_int_equal(error_set_os(NULL, QUARRY_IO, EIO, "%s", "x"), QUARRY_IO);
}

static void a_second_error_replaces_the_first(void **state)
{
    (void)state;
    struct quarry_error error = {0};
    error_set_os(&error, QUARRY_IO, EIO, "a long first message that must not shine through");
    error_set(&error, QUARRY_BUSY, "short");
    assert_string_equal(error.text, "short");
    assert_int_equal(error.status, QUARRY_BUSY);
    assert_int_equal(error.os_errno, 0);
}

static void texts_are_cut_with_an_ellipsis_from_the_first_byte_too_many(void **state)
{
    (void)state;
    char text[600];
    memset(text, 'x', sizeof text);
    for (size_t length = 0; length < sizeof text; length++) {
        struct guarded guarded = rubbish();
        error_set(&guarded.error, QUARRY_IO, "%.*s", (int)length, text);
        assert_guard_is_whole(&guarded);
        if (length <= TEXT_MAX) {
            assert_int_equal(strlen(guarded.error.text), length);
            assert_int_equal(strspn(guarded.error.text, "x"), length);
        } else {
            assert_int_equal(strlen(guarded.error.text), TEXT_MAX);
            assert_int_equal(strspn(guarded.error.text, "x"), TEXT_MAX - 3);
            assert_string_equal(guarded.error.text + TEXT_MAX - 3, "...");
        }
    }
}

static void an_os_meaning_that_does_not_fit_is_cut_too(void **state)
{
    (void)state;
    const char *meaning = ": Permission denied";
    char text[600];
    memset(text, 'x', sizeof text);
    for (size_t length = 0; length < sizeof text; length++) {
        struct guarded guarded = rubbish();
        error_set_os(&guarded.error, QUARRY_PERMISSION, EACCES, "%.*s", (int)length, text);
        assert_guard_is_whole(&guarded);
        size_t got = strlen(guarded.error.text);
        if (length + strlen(meaning) <= TEXT_MAX) {
            assert_string_equal(guarded.error.text + length, meaning);
        } else {
            assert_int_equal(got, TEXT_MAX);
            assert_string_equal(guarded.error.text + got - 3, "...");
            assert_null(strstr(guarded.error.text, "......"));
        }
        assert_int_equal(guarded.error.os_errno, EACCES);
    }
}

/* Characters of 2, 3 and 4 bytes, shifted by 0 to 3 so that the cut meets each of their bytes. */
static void a_cut_does_not_split_a_character(void **state)
{
    (void)state;
    static const char *const characters[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    for (size_t c = 0; c < 3; c++) {
        size_t width = strlen(characters[c]);
        for (size_t shift = 0; shift < 4; shift++) {
            char text[400] = "aaa";
            text[shift] = '\0';
            for (size_t i = 0; i < 300 / width; i++)
                strcat(text, characters[c]);
            struct guarded guarded = rubbish();
            error_set_os(&guarded.error, QUARRY_BAD_INPUT, EINVAL, "%s", text);
            assert_guard_is_whole(&guarded);
            size_t kept = strlen(guarded.error.text) - 3;
            assert_string_equal(guarded.error.text + kept, "...");
            assert_memory_equal(guarded.error.text, text, kept);
            assert_int_equal((kept - shift) % width, 0);
            assert_in_range(kept, TEXT_MAX - 3 - (width - 1), TEXT_MAX - 3);
        }
    }
}

static void bytes_that_are_not_text_are_cut_all_the_same(void **state)
{
    (void)state;
    char text[400];
    memset(text, 0x80, sizeof text - 1);
    text[sizeof text - 1] = '\0';
    struct guarded guarded = rubbish();
    error_set(&guarded.error, QUARRY_BAD_INPUT, "%s", text);
    assert_guard_is_whole(&guarded);
    assert_int_equal(strlen(guarded.error.text), TEXT_MAX - 3);
}

/* In the C locale a wide character above ASCII makes vsnprintf fail. */
static void a_text_that_cannot_be_formatted_gives_way_to_the_meaning(void **state)
{
    (void)state;
    struct guarded guarded = rubbish();
    error_set(&guarded.error, QUARRY_BUSY, "before %ls", L"\x20ac");
    assert_guard_is_whole(&guarded);
    assert_string_equal(guarded.error.text, quarry_status_text(QUARRY_BUSY));
    assert_int_equal(guarded.error.status, QUARRY_BUSY);
}

static void errno_is_left_alone(void **state)
{
    (void)state;
    struct quarry_error error;
    errno = 4242;
    error_set(&error, QUARRY_BUSY, "%ls", L"\x20ac");
    error_set_os(&error, QUARRY_IO, ENOSPC, "write");
    error_set_os(&error, QUARRY_IO, 99999, "write");
    assert_int_equal(errno, 4242);
}

static void set_ok(void)
{
    struct quarry_error error;
    error_set(&error, QUARRY_OK, "fine");
}

static void set_os_without_errno(void)
{
    struct quarry_error error;
    error_set_os(&error, QUARRY_IO, 0, "fine");
}

static void an_error_without_a_failure_dies(void **state)
{
    (void)state;
    struct death death;
    death_watch(set_ok, &death);
    assert_int_equal(death.signal, SIGABRT);
    assert_non_null(strstr(death.text, "error_set: assertion failed: status != QUARRY_OK"));
    death_watch(set_os_without_errno, &death);
    assert_int_equal(death.signal, SIGABRT);
    assert_non_null(strstr(death.text, "error_set_os: assertion failed: os_errno > 0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_keeps_status_and_text_and_returns_the_status),
        cmocka_unit_test(an_os_error_says_what_errno_means),
        cmocka_unit_test(a_caller_without_an_error_gets_the_status),
        cmocka_unit_test(a_second_error_replaces_the_first),
        cmocka_unit_test(texts_are_cut_with_an_ellipsis_from_the_first_byte_too_many),
        cmocka_unit_test(an_os_meaning_that_does_not_fit_is_cut_too),
        cmocka_unit_test(a_cut_does_not_split_a_character),
        cmocka_unit_test(bytes_that_are_not_text_are_cut_all_the_same),
        cmocka_unit_test(a_text_that_cannot_be_formatted_gives_way_to_the_meaning),
        cmocka_unit_test(errno_is_left_alone),
        cmocka_unit_test(an_error_without_a_failure_dies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
