/*
 * Keys and values of `quarry bench kv`: that they are what rows take them to be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <bench/kv/figures.h>
#include <bench/kv/keys.h>

static void every_number_is_shuffled_to_once(void **state)
{
    (void)state;
    static const uint64_t counts[] = {1, 2, 3, 4, 5, 63, 64, 65, 1000, 20000};

    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        struct bench_kv_keys keys;
        uint8_t *seen = calloc(counts[c], 1);
        assert_non_null(seen);
        bench_kv_keys_init(&keys, counts[c], 100);
        for (uint64_t i = 0; i < counts[c]; i++) {
            uint64_t number = bench_kv_shuffle(&keys, i);
            assert_true(number < counts[c]);
            assert_int_equal(seen[number]++, 0);
        }
        free(seen);
        bench_kv_keys_fini(&keys);
    }
}

static void shuffled_numbers_go_up_as_often_as_down(void **state)
{
    (void)state;
    struct bench_kv_keys keys;
    uint32_t risen_count = 0;

    bench_kv_keys_init(&keys, 10000, 100);
    for (uint64_t i = 1; i < keys.count; i++) {
        risen_count += bench_kv_shuffle(&keys, i) > bench_kv_shuffle(&keys, i - 1) ? 1 : 0;
    }
    assert_in_range(risen_count, 4600, 5400);
    bench_kv_keys_fini(&keys);
}

static void keys_are_in_the_order_of_their_numbers(void **state)
{
    (void)state;
    char room[3][BENCH_KV_KEY_BYTES];

    for (uint64_t i = 0; i < 100000; i += 7) {
        struct bench_kv_bytes key = bench_kv_key(i, room[0]);
        struct bench_kv_bytes between = bench_kv_key_between(i, room[1]);
        struct bench_kv_bytes next = bench_kv_key(i + 1, room[2]);
        assert_int_equal(key.count, BENCH_KV_KEY_BYTES);
        assert_true(memcmp(key.base, between.base, BENCH_KV_KEY_BYTES) < 0);
        assert_true(memcmp(between.base, next.base, BENCH_KV_KEY_BYTES) < 0);
    }
    assert_memory_equal(bench_kv_key(6173, room[0]).base, "0000000000012346", 16);
}

static void values_tell_their_number(void **state)
{
    (void)state;
    static char room[BENCH_KV_VALUE_BYTES];
    struct bench_kv_keys keys;

    for (uint32_t bytes = 8; bytes <= BENCH_KV_VALUE_BYTES; bytes *= 2) {
        bench_kv_keys_init(&keys, 1000, bytes);
        for (uint64_t number = 0; number < 1000; number += 13) {
            struct bench_kv_bytes value = bench_kv_value(&keys, number, room);
            assert_int_equal(value.count, bytes);
            bench_kv_value_check(&keys, number, value);
        }
        bench_kv_keys_fini(&keys);
    }
}

/* The second half of a value is the first, but for the number: so a compressor finds half of it. */
static void values_repeat_themselves_once(void **state)
{
    (void)state;
    static char room[BENCH_KV_VALUE_BYTES];
    struct bench_kv_keys keys;

    bench_kv_keys_init(&keys, 1000, 100);
    for (uint64_t number = 0; number < 1000; number++) {
        (void)bench_kv_value(&keys, number, room);
        assert_memory_equal(room + 8, room + 58, 42);
        assert_memory_not_equal(room + 8, room + 16, 8);
    }
    bench_kv_keys_fini(&keys);
}

static void figures_of_nothing_written_are_unknown(void **state)
{
    (void)state;
    uint64_t numbers[BENCH_KV_NUMBERS] = {0};
    double figure[BENCH_FIGURES_MAX];

    numbers[WORK_OPERATIONS] = 1000;
    numbers[WORK_WALL_NS] = 2000000;
    numbers[WORK_CPU_NS] = 3000000;
    bench_kv_figures(BENCH_KV_WORK, numbers, figure);
    assert_true(figure[0] == 3);
    assert_true(figure[1] == 500000);
    assert_true(figure[5] != figure[5]);
    assert_true(figure[6] != figure[6]);
    numbers[WORK_USER_BYTES] = 100;
    numbers[WORK_WRITTEN_BYTES] = 250;
    bench_kv_figures(BENCH_KV_WORK, numbers, figure);
    assert_true(figure[5] == 2.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_is_shuffled_to_once),
        cmocka_unit_test(shuffled_numbers_go_up_as_often_as_down),
        cmocka_unit_test(keys_are_in_the_order_of_their_numbers),
        cmocka_unit_test(values_tell_their_number),
        cmocka_unit_test(values_repeat_themselves_once),
        cmocka_unit_test(figures_of_nothing_written_are_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
