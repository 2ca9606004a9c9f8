/* Patterns of keys: against a matcher that is plainly right and slow, and against time. */
#include "unit/base/cmocka_all.h"

#include <serve/resp/glob.h>

#include <stdio.h>
#include <string.h>

static struct quarry_kv_slice slice(const char *text)
{
    return (struct quarry_kv_slice){text, strlen(text)};
}

/* ---- the oracle ----------------------------------------------------------------------------- */

/* Whether an element takes a byte; *ret_next is behind it. What glob.h says, read off slowly. */
static bool takes(const char *pattern, const char *end, char byte, const char **ret_next)
{
    if (*pattern == '\\' && pattern + 1 < end) {
        *ret_next = pattern + 2;
        return pattern[1] == byte;
    }
    if (*pattern != '[') {
        *ret_next = pattern + 1;
        return *pattern == '?' || *pattern == byte;
    }
    bool is_negated = pattern + 1 < end && pattern[1] == '^', is_in = false;
    const char *at = pattern + 1 + is_negated;
    for (; at < end && *at != ']'; at++) {
        if (*at == '\\' && end - at >= 2) {
            at++;
            is_in = is_in || *at == byte;
        } else if (end - at >= 3 && at[1] == '-') {
            signed char low = (signed char)at[0], high = (signed char)at[2];
            is_in = is_in || ((signed char)byte >= low && (signed char)byte <= high) ||
                    ((signed char)byte >= high && (signed char)byte <= low);
            at += 2;
        } else {
            is_in = is_in || *at == byte;
        }
    }
    *ret_next = at < end ? at + 1 : at;
    return is_in != is_negated;
}

/* Tries every length for every star. */
static bool matches_slowly(const char *pattern, const char *end, const char *text,
                           const char *text_end)
{
    const char *next;

    if (pattern == end) {
        return text == text_end;
    }
    if (*pattern == '*') {
        for (const char *rest = text; rest <= text_end; rest++) {
            if (matches_slowly(pattern + 1, end, rest, text_end)) {
                return true;
            }
        }
        return false;
    }
    return text < text_end && takes(pattern, end, *text, &next) &&
           matches_slowly(next, end, text + 1, text_end);
}

static bool is_wanted(struct quarry_kv_slice pattern, struct quarry_kv_slice text)
{
    const char *bytes = pattern.bytes;

    if (text.byte_count == 0) {
        return pattern.byte_count == 0 || (pattern.byte_count == 1 && bytes[0] == '*');
    }
    return matches_slowly(bytes, bytes + pattern.byte_count, text.bytes,
                          (const char *)text.bytes + text.byte_count);
}

/* ---- tests ---------------------------------------------------------------------------------- */

static uint64_t random_state = 1;

static uint32_t below(uint32_t limit)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % limit;
}

/* A text of some letters, often of few. */
static struct quarry_kv_slice random_text(char *room, uint32_t bytes_max, const char *letters)
{
    uint32_t count = below(bytes_max + 1), letter_count = (uint32_t)strlen(letters);

    for (uint32_t i = 0; i < count; i++) {
        room[i] = letters[below(letter_count)];
    }
    return (struct quarry_kv_slice){room, count};
}

static void random_patterns_match_as_the_oracle_says(void **state)
{
    uint32_t match_count = 0;

    (void)state;
    for (uint32_t round = 0; round < 400000; round++) {
        char pattern_room[16], text_room[16];
        struct quarry_kv_slice pattern =
            random_text(pattern_room, 12, below(4) == 0 ? "ab*?[]^-\\\xff\x01" : "aab**?[b-]^\\");
        struct quarry_kv_slice text =
            random_text(text_room, 10, below(8) == 0 ? "a\xff\x01\x80" : "aab-]");
        bool wanted = is_wanted(pattern, text);

        match_count += wanted;
        if (resp_glob_matches(pattern, text) != wanted) {
            fail_msg("'%.*s' and '%.*s': %d is wanted", (int)pattern.byte_count, pattern_room,
                     (int)text.byte_count, text_room, wanted);
        }
    }
    assert_true(match_count > 5000); /* else the patterns say nothing */
}

static void every_short_pattern_matches_as_the_oracle_says(void **state)
{
    static const char letters[] = "a*?[]^-\\b";
    char pattern[5], text[3];

    (void)state;
    for (uint32_t number = 0; number < 9 * 9 * 9 * 9 * 9; number++) {
        uint32_t rest = number;

        for (uint32_t i = 0; i < 5; i++, rest /= 9) {
            pattern[i] = letters[rest % 9];
        }
        for (uint32_t letter = 0; letter < 27; letter++) {
            text[0] = "ab]"[letter % 3];
            text[1] = "ab-"[letter / 3 % 3];
            text[2] = "b^a"[letter / 9];
            for (size_t count = 0; count <= 3; count++) {
                struct quarry_kv_slice all = {pattern, 5}, some = {text, count};
                assert_int_equal(resp_glob_matches(all, some), is_wanted(all, some));
            }
        }
    }
}

static void a_pattern_of_many_stars_takes_no_longer_than_its_length_times_the_texts(void **state)
{
    static char pattern[4001], text[20000];

    (void)state;
    for (size_t i = 0; i + 1 < sizeof(pattern); i += 2) {
        memcpy(pattern + i, "a*", 2);
    }
    pattern[sizeof(pattern) - 1] = 'b';
    memset(text, 'a', sizeof(text));
    /* 80 million steps; with going back to each star there would be 2^2000. */
    assert_false(resp_glob_matches((struct quarry_kv_slice){pattern, sizeof(pattern)},
                                   (struct quarry_kv_slice){text, sizeof(text)}));
}

static void a_class_behind_a_star_is_read_again_and_again_in_bounds(void **state)
{
    static char text[10000];

    (void)state;
    memset(text, 'a', sizeof(text));
    assert_false(
        resp_glob_matches(slice("*[^a-z\\]-][b"), (struct quarry_kv_slice){text, sizeof(text)}));
    assert_true(resp_glob_matches(slice("*[b-a"), (struct quarry_kv_slice){text, sizeof(text)}));
}

static void the_bytes_a_pattern_begins_with_are_known(void **state)
{
    (void)state;
    assert_int_equal(resp_glob_literal_bytes(slice("user:*")), 5);
    assert_int_equal(resp_glob_literal_bytes(slice("user")), 4);
    assert_int_equal(resp_glob_literal_bytes(slice("a?")), 1);
    assert_int_equal(resp_glob_literal_bytes(slice("a[b]")), 1);
    assert_int_equal(resp_glob_literal_bytes(slice("a\\*")), 1);
    assert_int_equal(resp_glob_literal_bytes(slice("*")), 0);
    assert_int_equal(resp_glob_literal_bytes(slice("")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_patterns_match_as_the_oracle_says),
        cmocka_unit_test(every_short_pattern_matches_as_the_oracle_says),
        cmocka_unit_test(a_pattern_of_many_stars_takes_no_longer_than_its_length_times_the_texts),
        cmocka_unit_test(a_class_behind_a_star_is_read_again_and_again_in_bounds),
        cmocka_unit_test(the_bytes_a_pattern_begins_with_are_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
