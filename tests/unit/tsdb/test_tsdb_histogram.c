/* Native histograms: open, one after another, and sealed, in columns. */
#include <stdlib.h>
#include <string.h>

#include <tsdb/histogram_column.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"

#define PARTS  40u /* buckets of a side at most, in these tests */
#define SERIES 200u
#define BYTES  (1u << 20)
#define STALE  UINT64_C(0x7ff0000000000002)
#ifdef __SANITIZE_ADDRESS__
#define ROUNDS  300u
#define DAMAGES 10000u
#else
#define ROUNDS  5000u
#define DAMAGES 100000u
#endif

/* A histogram with arrays of its own. */
struct owned {
    struct tsdb_histogram h;
    struct tsdb_span spans[2][4];
    uint64_t buckets[2][PARTS];
    uint64_t custom[8];
};

static struct owned series[SERIES];
static uint8_t bytes[BYTES];
static uint64_t room_words[TSDB_HISTOGRAM_WORDS_MAX + TSDB_HISTOGRAMS_BLOCK * 2 * PARTS];
static const struct tsdb_histogram_room room = {room_words, sizeof room_words / 8};

/* ---- random series -------------------------------------------------------------------------- */

static void point_at_own(struct owned *owned)
{
    owned->h.positive.spans = owned->spans[0];
    owned->h.negative.spans = owned->spans[1];
    owned->h.positive.buckets = owned->buckets[0];
    owned->h.negative.buckets = owned->buckets[1];
    owned->h.custom_bits = owned->custom;
}

static void make_side(uint64_t *state, struct tsdb_buckets *side, struct tsdb_span *spans)
{
    side->span_count = (uint32_t)(random_u64(state) % 5);
    side->bucket_count = 0;
    for (uint32_t i = 0; i < side->span_count; i++) {
        spans[i].offset = (int32_t)(random_u64(state) % 40) - 20;
        spans[i].length = (uint32_t)(random_u64(state) % 11);
        side->bucket_count += spans[i].length;
    }
}

static void make_layout(uint64_t *state, struct owned *owned)
{
    owned->h = (struct tsdb_histogram){.schema = (int32_t)(random_u64(state) % 13) - 4};
    point_at_own(owned);
    owned->h.is_float = random_u64(state) % 2 == 0;
    owned->h.zero_threshold_bits = random_u64(state) % 2 == 0 ? 0 : random_u64(state);
    make_side(state, &owned->h.positive, owned->spans[0]);
    make_side(state, &owned->h.negative, owned->spans[1]);
    if (random_u64(state) % 8 == 0) {
        owned->h.schema = TSDB_HISTOGRAM_SCHEMA_CUSTOM;
        owned->h.custom_count = (uint32_t)(random_u64(state) % 9);
    }
    for (uint32_t i = 0; i < owned->h.custom_count; i++) {
        owned->custom[i] = random_u64(state);
    }
}

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* A count that grew, or any other in one of many cases. */
static uint64_t next_count(uint64_t *state, bool is_float, uint64_t before)
{
    uint64_t pick = random_u64(state), by = pick % 3 == 0 ? random_u64(state) % 50 : 0;
    double value;

    if (pick % 500 == 1) {
        return random_width_u64(state);
    }
    if (!is_float) {
        return before + by;
    }
    memcpy(&value, &before, sizeof value);
    return bits_of(value + (double)by / 4);
}

/* Makes `owned` what follows `before`, of the same layout. */
static void make_next(uint64_t *state, const struct owned *before, struct owned *owned)
{
    const bool is_float = before->h.is_float;

    *owned = *before;
    point_at_own(owned);
    owned->h.t_ms += 15000;
    owned->h.reset_hint = (enum tsdb_reset_hint)(random_u64(state) % 30 == 0 ? 1 : 2);
    owned->h.count = next_count(state, is_float, owned->h.count);
    owned->h.zero_count = next_count(state, is_float, owned->h.zero_count);
    owned->h.sum_bits = next_count(state, true, owned->h.sum_bits);
    for (uint32_t side = 0; side < 2; side++) {
        for (uint32_t i = 0; i < PARTS; i++) {
            owned->buckets[side][i] = next_count(state, is_float, owned->buckets[side][i]);
        }
    }
}

static void make_stale(struct owned *owned, int64_t t_ms)
{
    owned->h = (struct tsdb_histogram){.t_ms = t_ms, .sum_bits = STALE};
    point_at_own(owned);
}

static void make_series(uint64_t seed, uint32_t count)
{
    uint64_t state = seed;

    memset(series, 0, sizeof series);
    make_layout(&state, &series[0]);
    for (uint32_t i = 1; i < count; i++) {
        uint64_t pick = random_u64(&state) % 60;
        make_next(&state, &series[i - 1], &series[i]);
        if (pick == 0) {
            make_layout(&state, &series[i]);
        } else if (pick == 1) {
            make_stale(&series[i], series[i - 1].h.t_ms + 15000);
        }
    }
}

/* ---- comparing ------------------------------------------------------------------------------ */

static bool same_side(const struct tsdb_buckets *a, const struct tsdb_buckets *b)
{
    return a->bucket_count == b->bucket_count &&
           (a->bucket_count == 0 || memcmp(a->buckets, b->buckets, 8 * a->bucket_count) == 0);
}

static void assert_same(const struct tsdb_histogram *a, const struct tsdb_histogram *b)
{
    assert_true(tsdb_histogram_same_layout(a, b));
    assert_true(same_side(&a->positive, &b->positive));
    assert_true(same_side(&a->negative, &b->negative));
    assert_true(a->count == b->count && a->zero_count == b->zero_count);
    assert_true(a->sum_bits == b->sum_bits);
    assert_int_equal(a->reset_hint, b->reset_hint);
}

/* ---- in memory ------------------------------------------------------------------------------ */

static void deltas_become_counts_and_back(void **unused)
{
    const int64_t deltas[4] = {3, -1, INT64_MIN, INT64_MAX};
    uint64_t counts[4];
    int64_t back[4];

    (void)unused;
    tsdb_histogram_counts(deltas, 4, counts);
    assert_true(counts[0] == 3 && counts[1] == 2);
    tsdb_histogram_deltas(counts, 4, back);
    assert_memory_equal(back, deltas, sizeof back);
}

static void histograms_that_cannot_be_stored_are_told(void **unused)
{
    const struct tsdb_span wide = {0, TSDB_HISTOGRAM_PARTS_MAX + 1}, two = {0, 2};
    struct tsdb_histogram h = {.schema = 0};

    (void)unused;
    assert_true(tsdb_histogram_is_sound(&h));
    h.schema = 9;
    assert_false(tsdb_histogram_is_sound(&h));
    h.schema = -5;
    assert_false(tsdb_histogram_is_sound(&h));
    h.schema = TSDB_HISTOGRAM_SCHEMA_CUSTOM;
    assert_true(tsdb_histogram_is_sound(&h));
    h.custom_count = 1;
    assert_true(tsdb_histogram_is_sound(&h));
    h.schema = 3;
    assert_false(tsdb_histogram_is_sound(&h));
    h.custom_count = 0;
    h.positive = (struct tsdb_buckets){&two, NULL, 1, 1};
    assert_false(tsdb_histogram_is_sound(&h));
    h.positive.bucket_count = 2;
    assert_true(tsdb_histogram_is_sound(&h));
    h.negative = (struct tsdb_buckets){&wide, NULL, 1, wide.length};
    assert_false(tsdb_histogram_is_sound(&h));
}

static void a_copy_is_the_same_and_lies_in_its_room(void **unused)
{
    struct tsdb_histogram copy;

    (void)unused;
    for (uint64_t seed = 1; seed < 200; seed++) {
        make_series(seed, 3);
        const struct tsdb_histogram *h = &series[2].h;
        uint64_t *exact = malloc(8 * tsdb_histogram_words(h) + 8);
        assert_non_null(exact);
        tsdb_histogram_copy(h, (struct tsdb_histogram_room){exact, tsdb_histogram_words(h)}, &copy);
        assert_same(&copy, h);
        assert_int_equal(copy.t_ms, h->t_ms);
        free(exact);
    }
}

/* ---- open ----------------------------------------------------------------------------------- */

/* Encodes the series into `bytes`. Returns how many. */
static size_t encode_open(uint32_t count)
{
    size_t at = 0;

    for (uint32_t i = 0; i < count; i++) {
        const struct tsdb_histogram *h = &series[i].h;
        size_t bound = tsdb_histogram_bytes_max(h);
        assert_true(at + bound < BYTES);
        size_t written = tsdb_histogram_encode(i == 0 ? NULL : &series[i - 1].h, h, bytes + at);
        assert_true(written > 0 && written <= bound);
        at += written;
    }
    return at;
}

static void histograms_one_after_another_come_back(void **unused)
{
    (void)unused;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t count = 1 + round % SERIES;
        size_t at = 0, consumed;
        make_series(round + 1, count);
        size_t byte_count = encode_open(count);
        for (uint32_t i = 0; i < count; i++) {
            struct tsdb_histogram h;
            const struct tsdb_histogram *before = i == 0 ? NULL : &series[i - 1].h;
            assert_int_equal(
                tsdb_histogram_decode(bytes + at, byte_count - at, before, room, &h, &consumed),
                QUARRY_OK);
            assert_same(&h, &series[i].h);
            assert_int_equal(h.t_ms, series[i].h.t_ms);
            at += consumed;
        }
        assert_int_equal(at, byte_count);
    }
}

static void a_room_that_is_too_small_is_told(void **unused)
{
    struct tsdb_histogram h;
    size_t consumed;

    (void)unused;
    for (uint64_t seed = 1; seed < 100; seed++) {
        make_series(seed, 2);
        size_t words = tsdb_histogram_words(&series[0].h);
        size_t first = tsdb_histogram_encode(NULL, &series[0].h, bytes);
        size_t second = tsdb_histogram_encode(&series[0].h, &series[1].h, bytes + first);
        if (words == 0 || !tsdb_histogram_same_layout(&series[0].h, &series[1].h)) {
            continue;
        }
        const struct tsdb_histogram_room small = {room_words, words - 1};
        assert_int_equal(tsdb_histogram_decode(bytes, first, NULL, small, &h, &consumed),
                         QUARRY_NO_MEMORY);
        assert_int_equal(
            tsdb_histogram_decode(bytes + first, second, &series[0].h, small, &h, &consumed),
            QUARRY_NO_MEMORY);
    }
}

static void an_idle_histogram_costs_a_bit_for_each_bucket(void **unused)
{
    (void)unused;
    make_series(1, 1);
    series[0].h = (struct tsdb_histogram){.schema = 3, .t_ms = 1};
    point_at_own(&series[0]);
    series[0].spans[0][0] = (struct tsdb_span){0, PARTS};
    series[0].h.positive.span_count = 1;
    series[0].h.positive.bucket_count = PARTS;
    series[1] = series[0];
    point_at_own(&series[1]);
    series[1].h.t_ms += 15000;
    assert_true(tsdb_histogram_encode(&series[0].h, &series[1].h, bytes) <= 1 + 3 + 1 + 6);
}

static void damaged_open_histograms_are_read_without_harm(void **unused)
{
    uint64_t state = 3;
    uint32_t found = 0;

    (void)unused;
    for (uint32_t i = 0; i < DAMAGES; i++) {
        struct tsdb_histogram h;
        size_t consumed = 0;
        make_series(i + 1, 2);
        bool is_second = i % 2 == 0;
        size_t byte_count =
            tsdb_histogram_encode(is_second ? &series[0].h : NULL, &series[is_second].h, bytes);
        uint8_t *exact = malloc(byte_count);
        assert_non_null(exact);
        memcpy(exact, bytes, byte_count);
        exact[random_u64(&state) % byte_count] = (uint8_t)random_u64(&state);
        size_t cut = i % 3 == 0 ? random_u64(&state) % byte_count : byte_count;
        uint8_t *cut_exact = realloc(exact, cut + 1);
        assert_non_null(cut_exact);
        enum quarry_status status = tsdb_histogram_decode(
            cut_exact, cut, is_second ? &series[0].h : NULL, room, &h, &consumed);
        assert_true(status == QUARRY_OK || status == QUARRY_CORRUPT);
        assert_true(status != QUARRY_OK || (tsdb_histogram_is_sound(&h) && consumed <= cut));
        found += status == QUARRY_CORRUPT;
        free(cut_exact);
    }
    assert_true(found > DAMAGES / 10);
}

/* ---- sealed --------------------------------------------------------------------------------- */

static struct tsdb_histogram flat[SERIES];
static uint64_t scratch[TSDB_HISTOGRAMS_SCRATCH];

static size_t encode_sealed(uint32_t count)
{
    const struct tsdb_histogram *before = NULL;
    size_t at = 0;

    for (uint32_t i = 0; i < count; i++) {
        flat[i] = series[i].h;
    }
    for (uint32_t done = 0; done < count;) {
        uint32_t block = tsdb_histograms_block(flat + done, count - done);
        size_t bound = tsdb_histograms_bytes_max(flat + done, block);
        assert_true(at + bound < BYTES);
        size_t written = tsdb_histograms_encode(flat + done, block, before, scratch, bytes + at);
        assert_true(written <= bound);
        before = flat + done;
        at += written;
        done += block;
    }
    return at;
}

static void sealed_histograms_come_back(void **unused)
{
    (void)unused;
    for (uint32_t round = 0; round < ROUNDS / 10; round++) {
        struct tsdb_histogram got[TSDB_HISTOGRAMS_BLOCK];
        struct tsdb_histograms_reader reader;
        uint32_t count = 1 + round % SERIES, done = 0, taken;
        size_t words;
        make_series(round + 1, count);
        size_t byte_count = encode_sealed(count);
        tsdb_histograms_open(&reader, bytes, byte_count, count);
        do {
            assert_int_equal(tsdb_histograms_take(&reader, room, got, &taken, &words), QUARRY_OK);
            for (uint32_t i = 0; i < taken; i++) {
                assert_same(&got[i], &series[done + i].h);
            }
            done += taken;
        } while (taken > 0);
        assert_int_equal(done, count);
        assert_true(reader.at == bytes + byte_count);
    }
}

static void a_sealed_reader_says_how_much_room_it_needs(void **unused)
{
    struct tsdb_histogram got[TSDB_HISTOGRAMS_BLOCK];
    struct tsdb_histograms_reader reader;
    size_t words = 0;
    uint32_t taken;

    (void)unused;
    for (uint64_t seed = 1; seed < 100; seed++) {
        make_series(seed, 20);
        size_t byte_count = encode_sealed(20);
        if (tsdb_histogram_words(&series[0].h) == 0) {
            continue;
        }
        const struct tsdb_histogram_room none = {room_words, 0};
        tsdb_histograms_open(&reader, bytes, byte_count, 20);
        assert_int_equal(tsdb_histograms_take(&reader, none, got, &taken, &words),
                         QUARRY_NO_MEMORY);
        assert_int_equal(words, TSDB_HISTOGRAM_WORDS_MAX);
        const struct tsdb_histogram_room layout = {room_words, tsdb_histogram_words(&series[0].h)};
        if (series[0].h.positive.bucket_count > 0) {
            assert_int_equal(tsdb_histograms_take(&reader, layout, got, &taken, &words),
                             QUARRY_NO_MEMORY);
            assert_true(words > layout.count && words <= room.count);
        }
        const struct tsdb_histogram_room enough = {room_words, words};
        assert_int_equal(tsdb_histograms_take(&reader, enough, got, &taken, &words), QUARRY_OK);
        assert_same(&got[0], &series[0].h);
    }
}

static void damaged_sealed_histograms_are_read_without_harm(void **unused)
{
    uint64_t state = 4;
    uint32_t found = 0;

    (void)unused;
    for (uint32_t i = 0; i < DAMAGES / 4; i++) {
        struct tsdb_histogram got[TSDB_HISTOGRAMS_BLOCK];
        struct tsdb_histograms_reader reader;
        enum quarry_status status;
        uint32_t taken;
        size_t words;
        make_series(i % 500 + 1, 6);
        size_t byte_count = encode_sealed(6);
        uint8_t *exact = malloc(byte_count);
        assert_non_null(exact);
        memcpy(exact, bytes, byte_count);
        exact[random_u64(&state) % byte_count] = (uint8_t)random_u64(&state);
        tsdb_histograms_open(&reader, exact, byte_count, 6);
        do {
            status = tsdb_histograms_take(&reader, room, got, &taken, &words);
            for (uint32_t k = 0; status == QUARRY_OK && k < taken; k++) {
                assert_true(tsdb_histogram_is_sound(&got[k]));
            }
        } while (status == QUARRY_OK && taken > 0);
        found += status == QUARRY_CORRUPT;
        free(exact);
    }
    assert_true(found > DAMAGES / 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deltas_become_counts_and_back),
        cmocka_unit_test(histograms_that_cannot_be_stored_are_told),
        cmocka_unit_test(a_copy_is_the_same_and_lies_in_its_room),
        cmocka_unit_test(histograms_one_after_another_come_back),
        cmocka_unit_test(a_room_that_is_too_small_is_told),
        cmocka_unit_test(an_idle_histogram_costs_a_bit_for_each_bucket),
        cmocka_unit_test(damaged_open_histograms_are_read_without_harm),
        cmocka_unit_test(sealed_histograms_come_back),
        cmocka_unit_test(a_sealed_reader_says_how_much_room_it_needs),
        cmocka_unit_test(damaged_sealed_histograms_are_read_without_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
