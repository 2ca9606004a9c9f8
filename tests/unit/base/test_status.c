/* The status table: complete, distinct, and in the words that each protocol's clients expect. */
#include <ctype.h>
#include <string.h>

#include <base/base.h>

#include "unit/base/cmocka_all.h"

/* The last code of the header. Numbers are never reused, so 0 to here has no gap. */
#define LAST QUARRY_TOO_MANY

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static void the_numbers_are_what_they_have_always_been(void **state)
{
    (void)state;
    static const char *const names[] = {
        "ok",        "no-memory",   "no-space",   "no-address", "too-large",
        "bad-input", "not-found",   "exists",     "busy",       "io",
        "corrupt",   "unsupported", "permission", "cancelled",  "too-many",
    };
    assert_int_equal(sizeof names / sizeof names[0], LAST + 1);
    for (int i = 0; i <= LAST; i++)
        assert_string_equal(quarry_status_name((enum quarry_status)i), names[i]);
}

static void numbers_outside_the_enum_are_unknown_and_harmless(void **state)
{
    (void)state;
    static const int outside[] = {LAST + 1, 1000, 0x7fffffff, -1};
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        enum quarry_status status = (enum quarry_status)outside[i];
        assert_string_equal(quarry_status_name(status), "unknown-status");
        assert_true(strlen(quarry_status_text(status)) > 10);
        assert_false(quarry_status_is_retryable(status));
        assert_string_equal(quarry_status_memcached(status), "SERVER_ERROR unknown status");
        assert_string_equal(quarry_status_resp(status), "ERR unknown status");
        assert_int_equal(quarry_status_http(status), 500);
    }
}

static void names_and_texts_are_distinct(void **state)
{
    (void)state;
    for (int i = 0; i <= LAST + 1; i++) {
        for (int k = 0; k < i; k++) {
            enum quarry_status a = (enum quarry_status)i;
            enum quarry_status b = (enum quarry_status)k;
            assert_string_not_equal(quarry_status_name(a), quarry_status_name(b));
            assert_string_not_equal(quarry_status_text(a), quarry_status_text(b));
        }
    }
}

static void names_are_lower_case_with_hyphens_and_texts_are_sentences(void **state)
{
    (void)state;
    for (int i = 0; i <= LAST + 1; i++) {
        const char *name = quarry_status_name((enum quarry_status)i);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz-"), strlen(name));
        const char *text = quarry_status_text((enum quarry_status)i);
        assert_true(isupper((unsigned char)text[0]));
        assert_int_equal(text[strlen(text) - 1], '.');
    }
}

static void exactly_four_statuses_may_be_tried_again(void **state)
{
    (void)state;
    for (int i = 0; i <= LAST; i++) {
        bool expected = i == QUARRY_NO_MEMORY || i == QUARRY_NO_SPACE || i == QUARRY_BUSY ||
                        i == QUARRY_TOO_MANY;
        assert_int_equal(quarry_status_is_retryable((enum quarry_status)i), expected);
    }
}

static void success_is_ok_at_every_door(void **state)
{
    (void)state;
    assert_string_equal(quarry_status_memcached(QUARRY_OK), "OK");
    assert_string_equal(quarry_status_resp(QUARRY_OK), "OK");
    assert_int_equal(quarry_status_http(QUARRY_OK), 200);
}

static void failures_speak_memcached(void **state)
{
    (void)state;
    for (int i = 1; i <= LAST; i++) {
        const char *line = quarry_status_memcached((enum quarry_status)i);
        assert_true(begins_with(line, "SERVER_ERROR ") || begins_with(line, "CLIENT_ERROR ") ||
                    strcmp(line, "NOT_FOUND") == 0 || strcmp(line, "EXISTS") == 0);
        assert_int_equal(strcspn(line, "\r\n"), strlen(line));
    }
    assert_string_equal(quarry_status_memcached(QUARRY_NO_MEMORY), "SERVER_ERROR out of memory");
    assert_string_equal(quarry_status_memcached(QUARRY_TOO_LARGE),
                        "SERVER_ERROR object too large for cache");
}

static void failures_speak_resp(void **state)
{
    (void)state;
    for (int i = 1; i <= LAST; i++) {
        const char *line = quarry_status_resp((enum quarry_status)i);
        size_t code = strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        assert_true(code >= 3 && line[code] == ' ' && line[code + 1] != '\0');
        assert_int_equal(strcspn(line, "\r\n"), strlen(line));
    }
    assert_true(begins_with(quarry_status_resp(QUARRY_NO_MEMORY), "OOM "));
    assert_true(begins_with(quarry_status_resp(QUARRY_PERMISSION), "NOPERM "));
}

static void failures_speak_http_and_agree_on_whose_fault_it_is(void **state)
{
    (void)state;
    for (int i = 1; i <= LAST; i++) {
        enum quarry_status status = (enum quarry_status)i;
        int http = quarry_status_http(status);
        assert_in_range(http, 400, 599);
        if (begins_with(quarry_status_memcached(status), "CLIENT_ERROR "))
            assert_in_range(http, 400, 499);
        if (quarry_status_is_retryable(status))
            assert_in_range(http, 500, 599);
    }
    assert_int_equal(quarry_status_http(QUARRY_NO_MEMORY), 503);
    assert_int_equal(quarry_status_http(QUARRY_NOT_FOUND), 404);
    assert_int_equal(quarry_status_http(QUARRY_BAD_INPUT), 400);
    assert_int_equal(quarry_status_http(QUARRY_TOO_LARGE), 413);
    assert_int_equal(quarry_status_http(QUARRY_CORRUPT), 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_numbers_are_what_they_have_always_been),
        cmocka_unit_test(numbers_outside_the_enum_are_unknown_and_harmless),
        cmocka_unit_test(names_and_texts_are_distinct),
        cmocka_unit_test(names_are_lower_case_with_hyphens_and_texts_are_sentences),
        cmocka_unit_test(exactly_four_statuses_may_be_tried_again),
        cmocka_unit_test(success_is_ok_at_every_door),
        cmocka_unit_test(failures_speak_memcached),
        cmocka_unit_test(failures_speak_resp),
        cmocka_unit_test(failures_speak_http_and_agree_on_whose_fault_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
