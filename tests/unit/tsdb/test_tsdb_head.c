/* Float samples in chains of chunklets: every kind comes back bit for bit, and so do heads. */
#include "unit/tsdb/chain_rig.h"

#include <stdlib.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"
#include "unit/tsdb/series.h"

#define SAMPLES   1200u
#define CHUNKLETS 256u
#ifdef __SANITIZE_ADDRESS__
#define SEQUENCES 60000u
#define DAMAGES   10000u
#else
#define SEQUENCES 1000000u
#define DAMAGES   100000u
#endif

static struct tsdb_chunklet pool[CHUNKLETS];
static uint64_t bits[SAMPLES], back[SAMPLES];
static int64_t t_ms[SAMPLES], t_back[SAMPLES];

static void append_all(struct chain *chain, uint32_t count)
{
    chain_init(chain, pool, CHUNKLETS);
    for (uint32_t i = 0; i < count; i++) {
        chain_append(chain, t_ms[i], bits[i]);
    }
}

/* The chain holds the first `count` samples, and a head that is read equals the writer's. */
static void assert_holds(const struct chain *chain, uint32_t count, uint32_t piece)
{
    struct tsdb_reader reader;
    uint32_t read = chain_read(chain, piece, SAMPLES, t_back, back, &reader);

    assert_int_equal(tsdb_reader_status(&reader), QUARRY_OK);
    assert_int_equal(read, count);
    assert_memory_equal(back, bits, count * sizeof *bits);
    assert_memory_equal(t_back, t_ms, count * sizeof *t_ms);
    struct tsdb_head head = tsdb_reader_head(&reader);
    assert_memory_equal(&head, &chain->head, sizeof head);
}

static void a_million_sequences_come_back_bit_for_bit(void **unused)
{
    struct chain chain;
    uint64_t state = 1;

    (void)unused;
    for (uint32_t i = 0; i < SEQUENCES; i++) {
        uint32_t count = 1 + (uint32_t)(random_u64(&state) % (i % 512 == 0 ? 1000 : 24));
        series_fill(i % SERIES_KIND_COUNT, i, count, bits);
        series_fill_times(i / SERIES_KIND_COUNT % TIMES_KIND_COUNT, i, count, t_ms);
        append_all(&chain, count);
        assert_holds(&chain, count, 1 + i % 300);
    }
}

static void a_head_is_had_back_after_every_sample(void **unused)
{
    (void)unused;
    for (uint32_t kind = 0; kind < SERIES_KIND_COUNT; kind++) {
        struct chain chain;
        chain_init(&chain, pool, CHUNKLETS);
        series_fill(kind, 7, 400, bits);
        series_fill_times(kind % TIMES_KIND_COUNT, 7, 400, t_ms);
        for (uint32_t i = 0; i < 400; i++) {
            struct tsdb_reader reader;
            chain_append(&chain, t_ms[i], bits[i]);
            assert_holds(&chain, i + 1, 256);
            (void)chain_read(&chain, 256, SAMPLES, t_back, back, &reader);
            chain.head = tsdb_reader_head(&reader); /* goes on with it */
        }
    }
}

static void a_value_that_never_changes_costs_a_count(void **unused)
{
    struct chain chain;

    (void)unused;
    series_fill(SERIES_CONSTANT, 1, 960, bits);
    series_fill_times(TIMES_REGULAR, 1, 960, t_ms);
    append_all(&chain, 960);
    assert_int_equal(chain.used, 1);
    assert_holds(&chain, 960, 256);
}

static void more_samples_than_a_chunklet_counts_go_on_into_another(void **unused)
{
    struct tsdb_reader reader;
    struct chain chain;
    uint32_t count = 0, number = 1;
    const uint32_t most = 2 * TSDB_CHUNKLET_SAMPLES_MAX + 5;

    (void)unused;
    chain_init(&chain, pool, CHUNKLETS);
    for (uint32_t i = 0; i < most; i++) {
        chain_append(&chain, 1000 * (int64_t)i, 5);
    }
    assert_int_equal(chain.used, 3);
    tsdb_reader_init(&reader);
    while (number != TSDB_CHUNKLET_NONE) {
        uint32_t next = tsdb_reader_load(&reader, &pool[number - 1], number), taken;
        while ((taken = tsdb_reader_take(&reader, SAMPLES, t_back, back)) > 0) {
            for (uint32_t i = 0; i < taken; i++, count++) {
                assert_true(t_back[i] == 1000 * (int64_t)count && back[i] == 5);
            }
        }
        number = next;
    }
    assert_int_equal(count, most);
    struct tsdb_head head = tsdb_reader_head(&reader);
    assert_memory_equal(&head, &chain.head, sizeof head);
}

static void without_a_spare_nothing_changes(void **unused)
{
    struct tsdb_spare none = {NULL, TSDB_CHUNKLET_NONE};
    struct tsdb_head head = {0}, before;
    struct chain chain;

    (void)unused;
    assert_int_equal(tsdb_head_append(&head, NULL, (struct tsdb_sample){1, 2}, none),
                     TSDB_APPEND_NEEDS_SPARE);
    assert_int_equal(head.tail, TSDB_CHUNKLET_NONE);
    series_fill(SERIES_BITS, 3, SAMPLES, bits);
    series_fill_times(TIMES_REGULAR, 3, SAMPLES, t_ms);
    chain_init(&chain, pool, CHUNKLETS);
    for (uint32_t i = 0; i < 500; i++) {
        before = chain.head;
        uint32_t used = chain.used;
        chain_append(&chain, t_ms[i], bits[i]); /* asks without one first */
        if (chain.used > 1 && chain.used != used) {
            struct tsdb_chunklet_view view = tsdb_chunklet_look(&pool[before.tail - 1]);
            assert_int_equal(view.next, chain.used);
        }
    }
    assert_true(chain.used > 30);
    assert_holds(&chain, 500, 256);
}

static void a_stale_marker_keeps_its_payload_and_the_scale(void **unused)
{
    struct chain chain;

    (void)unused;
    series_fill(SERIES_STALE, 11, 960, bits);
    series_fill_times(TIMES_REGULAR, 11, 960, t_ms);
    append_all(&chain, 960);
    assert_int_equal(chain.head.scale, 0);
    assert_holds(&chain, 960, 100);
}

static void doubles_that_become_decimals_are_coded_as_such_again(void **unused)
{
    struct chain chain;

    (void)unused;
    series_fill(SERIES_RATIOS, 12, 100, bits);
    series_fill(SERIES_COUNTER, 12, 500, bits + 100);
    series_fill_times(TIMES_REGULAR, 12, 600, t_ms);
    append_all(&chain, 100);
    assert_int_equal(chain.head.scale, 31);
    append_all(&chain, 600);
    assert_int_equal(chain.head.scale, 0);
    assert_holds(&chain, 600, 256);
}

static void what_is_nearly_decimal_is_coded_as_such(void **unused)
{
    struct chain chain;

    (void)unused;
    series_fill(SERIES_PRODUCTS, 3, 960, bits);
    series_fill_times(TIMES_REGULAR, 3, 960, t_ms);
    append_all(&chain, 960);
    assert_int_equal(chain.head.scale, 16 + 3);
    assert_true(chain.used <= 13);
    assert_holds(&chain, 960, 256);
}

static void memory_is_counted_in_units_of_1024(void **unused)
{
    struct chain chain;
    double value = 8e9;

    (void)unused;
    for (uint32_t i = 0; i < 500; i++) {
        value = (double)(1000000 + i % 7 * 4) * 1024;
        memcpy(&bits[i], &value, sizeof value);
    }
    series_fill_times(TIMES_REGULAR, 3, 960, t_ms);
    append_all(&chain, 500);
    assert_int_equal(chain.head.scale, 13);
    assert_holds(&chain, 500, 256);
    memset(&bits[500], 1, 8 * 100); /* no decimals */
    append_all(&chain, 600);
    assert_holds(&chain, 600, 256);
}

/* Damages some bits of the chain, its numbers and counts included. */
static void damage(const struct chain *chain, uint64_t *state)
{
    uint32_t flips = 1 + (uint32_t)(random_u64(state) % 6);

    for (uint32_t i = 0; i < flips; i++) {
        struct tsdb_chunklet *chunklet = &pool[random_u64(state) % chain->used];
        uint64_t word = random_u64(state) % 16, flip = UINT64_C(1) << random_u64(state) % 64;
        _Atomic uint64_t *at = word == 15 ? &chunklet->word : &chunklet->payload[word];
        atomic_store_relaxed_u64(at, atomic_load_relaxed_u64(at) ^ flip);
    }
}

static void damaged_chains_are_read_without_harm(void **unused)
{
    uint64_t state = 99;
    uint32_t found = 0;
    /* Of their exact size, so that ASan sees what lies outside. */
    int64_t *t = malloc(SAMPLES * sizeof *t);
    uint64_t *values = malloc(SAMPLES * sizeof *values);

    (void)unused;
    assert_true(t != NULL && values != NULL);
    for (uint32_t i = 0; i < DAMAGES; i++) {
        struct tsdb_reader reader;
        struct chain chain;
        uint32_t count = 1 + (uint32_t)(random_u64(&state) % 100);
        series_fill(i % SERIES_KIND_COUNT, i, count, bits);
        series_fill_times(i % TIMES_KIND_COUNT, i, count, t_ms);
        append_all(&chain, count);
        damage(&chain, &state);
        uint32_t read = chain_read(&chain, 256, SAMPLES, t, values, &reader);
        assert_true(read <= SAMPLES);
        found += tsdb_reader_status(&reader) == QUARRY_CORRUPT;
    }
    assert_true(found > DAMAGES / 10);
    free(t);
    free(values);
}

static void a_chunklet_that_holds_no_floats_is_corrupt(void **unused)
{
    struct tsdb_reader reader;

    (void)unused;
    memset((void *)pool, 0, sizeof *pool);
    assert_true(tsdb_late_append(pool, (struct tsdb_sample){1, 1}));
    tsdb_reader_init(&reader);
    assert_int_equal(tsdb_reader_load(&reader, pool, 1), TSDB_CHUNKLET_NONE);
    assert_int_equal(tsdb_reader_status(&reader), QUARRY_CORRUPT);
    assert_int_equal(tsdb_reader_take(&reader, 8, t_back, back), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_million_sequences_come_back_bit_for_bit),
        cmocka_unit_test(a_head_is_had_back_after_every_sample),
        cmocka_unit_test(a_value_that_never_changes_costs_a_count),
        cmocka_unit_test(more_samples_than_a_chunklet_counts_go_on_into_another),
        cmocka_unit_test(without_a_spare_nothing_changes),
        cmocka_unit_test(a_stale_marker_keeps_its_payload_and_the_scale),
        cmocka_unit_test(doubles_that_become_decimals_are_coded_as_such_again),
        cmocka_unit_test(what_is_nearly_decimal_is_coded_as_such),
        cmocka_unit_test(memory_is_counted_in_units_of_1024),
        cmocka_unit_test(damaged_chains_are_read_without_harm),
        cmocka_unit_test(a_chunklet_that_holds_no_floats_is_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
