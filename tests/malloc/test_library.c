/*
 * The C library's own objects: what its functions allocate is the program's to free, and comes from
 * the malloc that the program uses.
 */
#include "common.h"

#include <dirent.h>
#include <locale.h>
#include <malloc.h>
#include <netdb.h>
#include <regex.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include <sys/socket.h>

static void strings_from_the_library_can_be_freed(void **state)
{
    char *formatted = NULL, long_text[10000];
    (void)state;

    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    char *copy = strdup(long_text), *part = strndup(long_text, 5000);
    wchar_t *wide = wcsdup(L"wide");
    assert_int_equal(asprintf(&formatted, "%s%d", long_text, 12345), 10004);
    assert_string_equal(copy, long_text);
    assert_int_equal(strlen(part), 5000);
    assert_int_equal(wcscmp(wide, L"wide"), 0);
    assert_true(malloc_usable_size(formatted) >= 10005);
    free(copy);
    free(part);
    free(wide);
    free(formatted);
}

static void getline_grows_its_buffer(void **state)
{
    FILE *file = tmpfile();
    char *line = opaque(malloc(1));
    size_t capacity = 1;
    (void)state;

    for (int length = 1; length < 200000; length *= 3)
        fprintf(file, "%0*d\n", length, 7);
    rewind(file);
    for (size_t length = 1; length < 200000; length *= 3)
        assert_int_equal(getline(&line, &capacity, file), length + 1);
    assert_true(malloc_usable_size(line) >= capacity);
    free(line);
    fclose(file);
}

static void memory_streams_grow(void **state)
{
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    (void)state;

    for (unsigned i = 0; i < 100000; i++)
        fprintf(stream, "%07u\n", i);
    assert_int_equal(fclose(stream), 0);
    assert_int_equal(length, 800000);
    assert_int_equal(memcmp(text + length - 8, "0099999\n", 8), 0);
    free(text);
}

static void paths_from_the_library_can_be_freed(void **state)
{
    char *path = realpath("/proc/self/../self", NULL), *here = getcwd(NULL, 0);
    struct dirent **entries = NULL;
    (void)state;

    assert_true(path != NULL && here != NULL && here[0] == '/');
    int count = scandir("/proc/self", &entries, NULL, alphasort);
    assert_true(count > 10);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    free(path);
    free(here);
}

static int compare_words(const void *one, const void *other)
{
    uint64_t left = *(const uint64_t *)one, right = *(const uint64_t *)other;

    return (left > right) - (left < right);
}

/* qsort of the C library merges in memory that it allocates. */
static void large_arrays_are_sorted(void **state)
{
    const size_t count = 1000000;
    uint64_t *words = opaque(malloc(count * sizeof *words)), random = 1;
    (void)state;

    for (size_t i = 0; i < count; i++)
        words[i] = random_next(&random);
    qsort(words, count, sizeof *words, compare_words);
    for (size_t i = 1; i < count; i++)
        MUST(words[i - 1] <= words[i]);
    free(words);
}

static void regular_expressions_are_compiled_and_freed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        regex_t expression;
        assert_int_equal(regcomp(&expression, "^(a|b)*[c-z]{2,9}(x+y?)+$", REG_EXTENDED), 0);
        assert_int_equal(regexec(&expression, "ababccccxxyx", 0, NULL, 0), 0);
        assert_int_not_equal(regexec(&expression, "abab", 0, NULL, 0), 0);
        regfree(&expression);
    }
}

static void search_trees_are_built_and_destroyed(void **state)
{
    static uint64_t words[20000];
    void *root = NULL;
    uint64_t random = 2;
    (void)state;

    for (size_t i = 0; i < COUNT_OF(words); i++) {
        words[i] = random_next(&random);
        assert_non_null(tsearch(&words[i], &root, compare_words));
    }
    for (size_t i = 0; i < COUNT_OF(words); i++)
        assert_non_null(tfind(&words[i], &root, compare_words));
    for (size_t i = 0; i < COUNT_OF(words); i++)
        assert_non_null(tdelete(&words[i], &root, compare_words));
    assert_null(root);
}

static void addresses_and_locales_are_allocated_and_freed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
        struct addrinfo *addresses = NULL;
        assert_int_equal(getaddrinfo("127.0.0.1", "80", &hints, &addresses), 0);
        freeaddrinfo(addresses);
        locale_t locale = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
        assert_true(locale != (locale_t)0);
        locale_t copy = duplocale(locale);
        freelocale(locale);
        freelocale(copy);
    }
}

static void the_environment_grows(void **state)
{
    char name[32], value[1000];
    (void)state;

    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "MALLOC_TEST_%u", i % 500);
        assert_int_equal(setenv(name, value + i % 900, 1), 0);
    }
    assert_int_equal(strlen(getenv("MALLOC_TEST_1")), strlen(value + 1501 % 900));
    for (unsigned i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "MALLOC_TEST_%u", i);
        assert_int_equal(unsetenv(name), 0);
    }
}

static void streams_with_buffers_come_and_go(void **state)
{
    FILE *files[50];
    (void)state;

    for (unsigned round = 0; round < 20; round++) {
        for (size_t i = 0; i < COUNT_OF(files); i++) {
            files[i] = fopen("/proc/self/status", "re");
            assert_non_null(files[i]);
            assert_true(fgetc(files[i]) == 'N');
        }
        for (size_t i = 0; i < COUNT_OF(files); i++)
            fclose(files[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_from_the_library_can_be_freed),
        cmocka_unit_test(getline_grows_its_buffer),
        cmocka_unit_test(memory_streams_grow),
        cmocka_unit_test(paths_from_the_library_can_be_freed),
        cmocka_unit_test(large_arrays_are_sorted),
        cmocka_unit_test(regular_expressions_are_compiled_and_freed),
        cmocka_unit_test(search_trees_are_built_and_destroyed),
        cmocka_unit_test(addresses_and_locales_are_allocated_and_freed),
        cmocka_unit_test(the_environment_grows),
        cmocka_unit_test(streams_with_buffers_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
