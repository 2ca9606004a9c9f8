/*
 * How many bytes samples take: of four hours at 15 s, chunklets and their slack included when open,
 * times shared when sealed. Prints a row for each kind.
 *
 * node_exporter.zst holds scrapes of a node_exporter 1.5 on a busy machine with two CPUs, recorded
 * 3 s apart, every series that was there throughout: zstd of
 *
 *     | series, 4 bytes | samples, 4 bytes | places, 1 byte; a zigzag varint for each sample | …
 *
 * A varint is the difference to the integer before; of value × 10^places, or with 255 for places,
 * of its bits.
 */
#include "unit/tsdb/chain_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include <zstd.h>

#include <tsdb/times.h>

#include "unit/base/cmocka_all.h"
#include "unit/tsdb/series.h"

#define SAMPLES       960u
#define CHUNKLETS     256u
#define FIXTURE_BYTES (4u << 20)
#define PLACES_RAW    255u

static struct tsdb_chunklet pool[CHUNKLETS];
static uint64_t bits[SAMPLES];
static int64_t t_ms[SAMPLES], scratch[SAMPLES];
static uint8_t bytes[64 + 9 * SAMPLES];

struct figures {
    size_t samples, open_bytes, sealed_bytes;
};

static size_t open_bytes(void)
{
    struct chain chain;

    chain_init(&chain, pool, CHUNKLETS);
    for (uint32_t i = 0; i < SAMPLES; i++) {
        chain_append(&chain, t_ms[i], bits[i]);
    }
    return chain.used * (size_t)TSDB_CHUNKLET_BYTES;
}

static void count_series(struct figures *figures)
{
    figures->samples += SAMPLES;
    figures->open_bytes += open_bytes();
    figures->sealed_bytes += tsdb_column_encode(bits, SAMPLES, scratch, bytes);
}

static void assert_at_most(const char *name, const struct figures *figures, double open,
                           double sealed)
{
    double samples = (double)figures->samples;

    print_message("%-14s open %.3f  sealed %.3f bytes a sample\n", name,
                  (double)figures->open_bytes / samples, (double)figures->sealed_bytes / samples);
    assert_true((double)figures->open_bytes / samples <= open);
    assert_true((double)figures->sealed_bytes / samples <= sealed);
}

/* ---- what was recorded ---------------------------------------------------------------------- */

static uint8_t fixture[FIXTURE_BYTES];

/* Returns where the fixture ends. */
static const uint8_t *load_fixture(void)
{
    static uint8_t packed[FIXTURE_BYTES];
    FILE *file = fopen(NODE_EXPORTER, "rb");

    assert_non_null(file);
    size_t packed_count = fread(packed, 1, sizeof packed, file);
    assert_int_equal(fclose(file), 0);
    size_t count = ZSTD_decompress(fixture, sizeof fixture, packed, packed_count);
    assert_false(ZSTD_isError(count));
    return fixture + count;
}

/* Fills `bits` with the next series. Returns what is behind it. */
static const uint8_t *next_series(const uint8_t *at, const uint8_t *end)
{
    const uint8_t places = *at++;
    uint64_t last = 0;
    double power = 1;

    for (uint32_t i = 0; places != PLACES_RAW && i < places; i++) {
        power *= 10;
    }
    for (uint32_t i = 0; i < SAMPLES; i++) {
        uint64_t z;
        size_t count = varint_get_u64(at, end, &z);
        assert_true(count > 0);
        at += count;
        last += (uint64_t)varint_unzigzag(z);
        double value = (double)(int64_t)last / power;
        bits[i] = last;
        if (places != PLACES_RAW) {
            memcpy(&bits[i], &value, sizeof value);
        }
    }
    return at;
}

static void recorded_series_are_within_their_bounds(void **unused)
{
    struct figures figures = {0, 0, 0};
    const uint8_t *end = load_fixture(), *at = fixture + 8;
    const uint32_t series_count = endian_load_le_u32(fixture);

    (void)unused;
    assert_int_equal(endian_load_le_u32(fixture + 4), SAMPLES);
    assert_true(series_count > 400);
    series_fill_times(TIMES_REGULAR, 0, SAMPLES, t_ms);
    for (uint32_t i = 0; i < series_count; i++) {
        at = next_series(at, end);
        count_series(&figures);
    }
    assert_true(at == end);
    figures.sealed_bytes += tsdb_times_encode(t_ms, SAMPLES, bytes);
    assert_at_most("node_exporter", &figures, 0.9, 0.6);
}

/* ---- what was made up ----------------------------------------------------------------------- */

static void made_up_series_are_within_their_bounds(void **unused)
{
    static const struct {
        double open, sealed;
    } most[SERIES_KIND_COUNT] = {
        [SERIES_CONSTANT] = {0.14, 0.01},   [SERIES_WALK] = {0.70, 0.30},
        [SERIES_DOUBLES] = {9.0, 7.1},      [SERIES_COUNTER] = {1.5, 1.1},
        [SERIES_SLOW] = {0.14, 0.14},       [SERIES_SECONDS] = {1.21, 0.7},
        [SERIES_DURATIONS] = {3.0, 2.4},    [SERIES_RESETS] = {1.25, 0.85},
        [SERIES_STATES] = {0.7, 0.32},      [SERIES_STALE] = {1.1, 0.67},
        [SERIES_NANS] = {7.5, 8.2},         [SERIES_BITS] = {9.3, 8.2},
        [SERIES_SMALL_BITS] = {1.55, 0.42}, [SERIES_PRODUCTS] = {1.7, 1.3},
        [SERIES_RATIOS] = {7.4, 6.1},       [SERIES_EDGES] = {8.0, 8.2},
        [SERIES_MIXED] = {4.3, 7.7},
    };

    (void)unused;
    series_fill_times(TIMES_REGULAR, 0, SAMPLES, t_ms);
    for (uint32_t kind = 0; kind < SERIES_KIND_COUNT; kind++) {
        struct figures figures = {0, 0, 0};
        for (uint32_t seed = 0; seed < 32; seed++) {
            series_fill(kind, seed, SAMPLES, bits);
            count_series(&figures);
        }
        assert_at_most(series_name(kind), &figures, most[kind].open, most[kind].sealed);
    }
}

static void times_that_jitter_cost_an_open_sample_a_byte_more(void **unused)
{
    struct figures regular = {0, 0, 0}, jitter = {0, 0, 0};

    (void)unused;
    series_fill(SERIES_COUNTER, 1, SAMPLES, bits);
    series_fill_times(TIMES_REGULAR, 1, SAMPLES, t_ms);
    count_series(&regular);
    series_fill_times(TIMES_JITTER, 1, SAMPLES, t_ms);
    count_series(&jitter);
    assert_true(jitter.open_bytes > regular.open_bytes);
    assert_true(jitter.open_bytes <= regular.open_bytes + SAMPLES * 15 / 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_series_are_within_their_bounds),
        cmocka_unit_test(made_up_series_are_within_their_bounds),
        cmocka_unit_test(times_that_jitter_cost_an_open_sample_a_byte_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
