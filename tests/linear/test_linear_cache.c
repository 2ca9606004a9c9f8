/*
 * The library's cache under histories of four threads: 10^5 operations and more; `test_linear_cache
 * N` does N, and QUARRY_SOAK_SECONDS lets it last.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "linear/cache_options.h"
#include "linear/history.h"
#include "unit/base/rounds.h"

static uint64_t operation_count = ROUNDS(100000, 40000);
static uint64_t seconds;

static void run(const struct linear_cache_options *cache, uint32_t thread_count, uint32_t key_count,
                uint64_t seed)
{
    struct linear_options options = {.driver = &linear_driver_cache,
                                     .argument = cache,
                                     .thread_count = thread_count,
                                     .key_count = key_count,
                                     .operation_count = operation_count,
                                     .seconds = seconds,
                                     .seed = seed};
    struct linear_result result = linear_run(&options);

    (void)printf("%llu operations, %llu at once with others, up to %llu states of a key\n",
                 (unsigned long long)result.operation_count,
                 (unsigned long long)result.overlap_count, (unsigned long long)result.states_most);
    assert_int_equal(result.verdict, LINEAR_POSSIBLE);
    assert_int_equal(result.failed_count, 0); /* there was always something to evict */
}

static void few_keys_and_four_threads(void **state)
{
    (void)state;
    run(NULL, 4, 3, 1);
}

static void more_keys_and_four_threads(void **state)
{
    (void)state;
    run(NULL, 4, 30, 2);
}

static void a_cache_with_a_file(void **state)
{
    (void)state;
    char path[64];

    (void)snprintf(path, sizeof path, "/tmp/quarry-linear-%d", (int)getpid());
    struct linear_cache_options cache = {.file_path = path};
    run(&cache, 4, 9, 3);
    char command[160];
    (void)snprintf(command, sizeof command, "rm -f %s*", path);
    assert_int_equal(system(command), 0);
}

static void a_cache_that_evicts_beside_it(void **state)
{
    (void)state;
    const struct linear_cache_options cache = {.is_full = true};

    run(&cache, 4, 12, 4);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_keys_and_four_threads),
        cmocka_unit_test(more_keys_and_four_threads),
        cmocka_unit_test(a_cache_with_a_file),
        cmocka_unit_test(a_cache_that_evicts_beside_it),
    };
    const char *soak = getenv("QUARRY_SOAK_SECONDS");

    if (argc > 1) {
        operation_count = strtoull(argv[1], NULL, 10);
    } else if (soak != NULL) {
        seconds = strtoull(soak, NULL, 10) / 4;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
