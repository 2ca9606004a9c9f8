/* A chain that is read while it grows: readers see some of the first samples, all of them right. */
#include "unit/tsdb/chain_rig.h"

#include <pthread.h>
#include <stdlib.h>

#include "unit/base/cmocka_all.h"
#include "unit/tsdb/series.h"

#define READERS   2u
#define SAMPLES   960u
#define CHUNKLETS 128u
#define ROUNDS    60u

static struct tsdb_chunklet pool[CHUNKLETS];
static uint64_t bits[SAMPLES];
static int64_t t_ms[SAMPLES];
static _Atomic uint32_t appended; /* samples, told behind each append */

/* Reads what there is once. Returns how many samples, or more than there are if one was wrong. */
static uint32_t read_once(void)
{
    struct tsdb_reader reader;
    int64_t t[64];
    uint64_t values[64];
    uint32_t number = 1, count = 0, taken;

    tsdb_reader_init(&reader);
    while (number != TSDB_CHUNKLET_NONE) {
        uint32_t next = tsdb_reader_load(&reader, &pool[number - 1], number);
        while ((taken = tsdb_reader_take(&reader, 64, t, values)) > 0) {
            if (memcmp(t, t_ms + count, taken * sizeof *t) != 0 ||
                memcmp(values, bits + count, taken * sizeof *values) != 0) {
                return SAMPLES + 1;
            }
            count += taken;
        }
        number = next;
    }
    return tsdb_reader_status(&reader) == QUARRY_OK ? count : SAMPLES + 1;
}

static void *read_until_the_end(void *ret_is_right)
{
    bool is_right = true;
    uint32_t count = 0;

    while (is_right && count < SAMPLES) {
        uint32_t before = atomic_load_acquire_u32(&appended); /* pairs with the writer's release */
        if (before > 0) {
            count = read_once();
            is_right = count >= before && count <= SAMPLES;
        }
    }
    *(bool *)ret_is_right = is_right;
    return NULL;
}

static void run_round(uint32_t round)
{
    pthread_t readers[READERS];
    bool is_right[READERS];
    struct chain chain;

    series_fill(round % SERIES_KIND_COUNT, round, SAMPLES, bits);
    series_fill_times(round % TIMES_WILD, round, SAMPLES, t_ms);
    atomic_store_release_u32(&appended, 0);
    chain_init(&chain, pool, CHUNKLETS);
    for (uint32_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, read_until_the_end, &is_right[i]), 0);
    }
    for (uint32_t i = 0; i < SAMPLES; i++) {
        chain_append(&chain, t_ms[i], bits[i]);
        atomic_store_release_u32(&appended, i + 1); /* pairs with the readers' acquire */
    }
    for (uint32_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(readers[i], NULL), 0);
        assert_true(is_right[i]);
    }
}

static void readers_see_the_first_samples_while_a_chain_grows(void **unused)
{
    (void)unused;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        run_round(round);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_see_the_first_samples_while_a_chain_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
