/* Which name was meant. */
#include <string.h>

#include <base/base.h>

#include "unit/base/cmocka_all.h"

static const char *nearest_of(const char *typed, const char *const *names)
{
    struct nearest nearest;

    nearest_init(&nearest, typed);
    for (; *names != NULL; names++) {
        nearest_offer(&nearest, *names);
    }
    return nearest.name != NULL ? nearest.name : "";
}

#define NEAREST(typed, ...) nearest_of(typed, (const char *const[]){__VA_ARGS__, NULL})

static void a_letter_more_less_or_other_is_forgiven(void **state)
{
    (void)state;
    assert_string_equal(NEAREST("sserve", "run", "serve"), "serve");
    assert_string_equal(NEAREST("srve", "run", "serve"), "serve");
    assert_string_equal(NEAREST("sarve", "run", "serve"), "serve");
    assert_string_equal(NEAREST("sevre", "run", "serve"), "serve");
}

static void three_wrong_letters_are_another_name(void **state)
{
    (void)state;
    assert_string_equal(NEAREST("sxxxe", "serve"), "");
    assert_string_equal(NEAREST("xyz", "run"), "");
}

static void no_name_is_near_when_all_of_its_letters_are_wrong(void **state)
{
    (void)state;
    assert_string_equal(NEAREST("xy", "kv"), "");
    assert_string_equal(NEAREST("", "kv"), "");
}

static void long_names_forgive_a_quarter(void **state)
{
    (void)state;
    assert_string_equal(NEAREST("cache.recvery_thrds", "cache.recovery_threads"),
                        "cache.recovery_threads");
    assert_string_equal(NEAREST("cache.xxxxxxxx_threads", "cache.recovery_threads"), "");
}

static void the_nearest_of_several_wins_and_the_first_of_equals(void **state)
{
    (void)state;
    assert_string_equal(NEAREST("maps", "mop", "map", "tap"), "map");
    assert_string_equal(NEAREST("cap", "map", "tap"), "map");
}

static void names_too_long_to_be_typed_are_passed_over(void **state)
{
    char longest[NEAREST_NAME_BYTES_MAX + 2];

    (void)state;
    memset(longest, 'a', sizeof longest);
    longest[NEAREST_NAME_BYTES_MAX + 1] = '\0';
    assert_string_equal(NEAREST(longest, longest), "");
    longest[NEAREST_NAME_BYTES_MAX] = '\0';
    assert_string_equal(NEAREST(longest, longest), longest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_letter_more_less_or_other_is_forgiven),
        cmocka_unit_test(three_wrong_letters_are_another_name),
        cmocka_unit_test(no_name_is_near_when_all_of_its_letters_are_wrong),
        cmocka_unit_test(long_names_forgive_a_quarter),
        cmocka_unit_test(the_nearest_of_several_wins_and_the_first_of_equals),
        cmocka_unit_test(names_too_long_to_be_typed_are_passed_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
