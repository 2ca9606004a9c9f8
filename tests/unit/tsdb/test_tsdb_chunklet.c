/* Chunklets as containers: late samples, and streams of bytes across them. */
#include <stdlib.h>
#include <string.h>

#include <tsdb/chunklet.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"

#define CHUNKLETS 64u

static struct tsdb_chunklet pool[CHUNKLETS]; /* number n is pool[n - 1] */

static void clear(void)
{
    memset((void *)pool, 0, sizeof pool);
}

static void word_zero_holds_each_part_at_its_most(void **unused)
{
    const struct tsdb_chunklet_view views[] = {
        {.next = UINT32_MAX},
        {.used_bits = TSDB_CHUNKLET_PAYLOAD_BITS},
        {.count = TSDB_CHUNKLET_SAMPLES_MAX},
        {.kind = TSDB_CHUNKLET_LATE},
        {.next = 5, .used_bits = 7, .count = 9, .kind = TSDB_CHUNKLET_FLOATS}};

    (void)unused;
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        struct tsdb_chunklet_view back = tsdb_chunklet_unpack(tsdb_chunklet_pack(views[i]));
        assert_int_equal(back.next, views[i].next);
        assert_int_equal(back.used_bits, views[i].used_bits);
        assert_int_equal(back.count, views[i].count);
        assert_int_equal(back.kind, views[i].kind);
    }
}

static void seven_late_samples_fit_and_come_back_as_they_came(void **unused)
{
    struct tsdb_sample samples[TSDB_CHUNKLET_LATE_MAX];
    uint32_t next = 77;

    (void)unused;
    clear();
    for (uint32_t i = 0; i < 7; i++) {
        assert_int_equal(tsdb_late_read(pool, samples, &next), i);
        assert_true(
            tsdb_late_append(pool, (struct tsdb_sample){100 - (int64_t)i, ~UINT64_C(0) - i}));
    }
    assert_false(tsdb_late_append(pool, (struct tsdb_sample){1, 1}));
    assert_int_equal(tsdb_late_read(pool, samples, &next), 7);
    assert_int_equal(next, TSDB_CHUNKLET_NONE);
    for (uint32_t i = 0; i < 7; i++) {
        assert_true(samples[i].t_ms == 100 - (int64_t)i && samples[i].bits == ~UINT64_C(0) - i);
    }
    tsdb_chunklet_link(pool, 9);
    assert_int_equal(tsdb_late_read(pool, samples, &next), 7);
    assert_int_equal(next, 9);
}

static void chunklets_of_another_kind_have_no_late_samples_and_no_bytes(void **unused)
{
    struct tsdb_sample samples[TSDB_CHUNKLET_LATE_MAX];
    uint8_t bytes[TSDB_CHUNKLET_PAYLOAD_BYTES];
    struct tsdb_chunklet_view view;
    uint32_t next;

    (void)unused;
    clear();
    tsdb_chunklet_publish(pool, (struct tsdb_chunklet_view){
                                    .kind = TSDB_CHUNKLET_FLOATS, .count = 3, .used_bits = 300});
    assert_int_equal(tsdb_late_read(pool, samples, &next), 0);
    assert_int_equal(tsdb_bytes_read(pool, bytes, &view), 0);
    /* What a damaged file may claim. */
    atomic_store_release_u64(&pool->word, UINT64_MAX << 48 | (uint64_t)TSDB_CHUNKLET_LATE << 43);
    assert_int_equal(tsdb_late_read(pool, samples, &next), 0);
    atomic_store_release_u64(&pool->word, (uint64_t)TSDB_CHUNKLET_HISTOGRAMS << 43 | UINT64_C(0x7ff)
                                                                                         << 32);
    assert_int_equal(tsdb_bytes_read(pool, bytes, &view), 0);
}

/* Appends a sample of `count` bytes behind chunklet `*tail`, from number *used + 1 on. */
static void append(uint32_t *tail, uint32_t *used, const uint8_t *bytes, size_t count)
{
    struct tsdb_spare spares[CHUNKLETS];
    struct tsdb_chunklet *last = *tail == 0 ? NULL : &pool[*tail - 1];
    uint32_t spare_count = tsdb_bytes_spares(last, count);

    assert_true(*used + spare_count <= CHUNKLETS);
    for (uint32_t i = 0; i < spare_count; i++) {
        spares[i] = (struct tsdb_spare){&pool[*used + i], *used + i + 1};
    }
    tsdb_bytes_append(last, bytes, count, spares, spare_count);
    *used += spare_count;
    *tail = *used;
}

/* Reads the chain from number 1 on. Returns bytes, and how many samples are counted. */
static size_t read_all(uint8_t *ret_bytes, uint32_t *ret_samples)
{
    size_t byte_count = 0;
    uint32_t number = 1;

    *ret_samples = 0;
    while (number != TSDB_CHUNKLET_NONE) {
        uint8_t piece[TSDB_CHUNKLET_PAYLOAD_BYTES];
        struct tsdb_chunklet_view view;
        uint32_t count = tsdb_bytes_read(&pool[number - 1], piece, &view);
        memcpy(ret_bytes + byte_count, piece, count);
        byte_count += count;
        *ret_samples += view.count;
        number = view.next;
    }
    return byte_count;
}

static void samples_of_any_length_make_one_stream(void **unused)
{
    uint8_t bytes[CHUNKLETS * TSDB_CHUNKLET_PAYLOAD_BYTES], back[sizeof bytes];
    uint64_t state = 5;

    (void)unused;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)random_u64(&state);
    }
    for (uint32_t round = 0; round < 300; round++) {
        uint32_t tail = 0, used = 0, sample_count = 0, counted;
        size_t put = 0;
        clear();
        while (used < CHUNKLETS / 2) {
            size_t count = 1 + random_u64(&state) % (random_u64(&state) % 4 == 0 ? 900 : 40);
            append(&tail, &used, bytes + put, count);
            put += count;
            sample_count++;
            assert_int_equal(read_all(back, &counted), put);
            assert_int_equal(counted, sample_count);
        }
        assert_memory_equal(back, bytes, put);
    }
}

static void bytes_that_fill_a_chunklet_exactly_need_no_other(void **unused)
{
    uint8_t bytes[2 * TSDB_CHUNKLET_PAYLOAD_BYTES] = {1, 2, 3};
    uint32_t tail = 0, used = 0;

    (void)unused;
    clear();
    append(&tail, &used, bytes, TSDB_CHUNKLET_PAYLOAD_BYTES);
    assert_int_equal(used, 1);
    assert_int_equal(tsdb_bytes_spares(&pool[0], 1), 1);
    append(&tail, &used, bytes, 1);
    assert_int_equal(used, 2);
    append(&tail, &used, bytes, TSDB_CHUNKLET_PAYLOAD_BYTES - 1);
    assert_int_equal(used, 2);
    assert_int_equal(tsdb_bytes_spares(NULL, 2 * TSDB_CHUNKLET_PAYLOAD_BYTES), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(word_zero_holds_each_part_at_its_most),
        cmocka_unit_test(seven_late_samples_fit_and_come_back_as_they_came),
        cmocka_unit_test(chunklets_of_another_kind_have_no_late_samples_and_no_bytes),
        cmocka_unit_test(samples_of_any_length_make_one_stream),
        cmocka_unit_test(bytes_that_fill_a_chunklet_exactly_need_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
