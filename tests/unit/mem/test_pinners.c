/* Pinners: whose objects keep sparse spans, on planted spans whose truth is known. */
#include "unit/base/cmocka_all.h"

#include "unit/base/random.h"

#include <math.h>

#include <mem/pinners.h>
#include <mem/sampling.h>

#define OBJECT_BYTES 256u
#define CAPACITY     32u
#define SPANS        20000u

/* Spans of 8 KiB from address 0 on; `used_count` says how many of the first slots are alive. */
static uint32_t used_count[SPANS];

static bool planted_span_of(void *argument, const void *object, uint32_t *ret_capacity,
                            uint32_t *ret_used, uint64_t *ret_span_bytes, uint64_t *ret_span_id)
{
    uint64_t span = (uint64_t)(uintptr_t)object / (OBJECT_BYTES * CAPACITY);

    (void)argument;
    if (span >= SPANS) {
        return false;
    }
    *ret_capacity = CAPACITY;
    *ret_used = used_count[span];
    *ret_span_bytes = OBJECT_BYTES * CAPACITY;
    *ret_span_id = span + 1000;
    return true;
}

static struct mem_census planted = {.span_of = planted_span_of};

static struct mem_stats_sample sample_in(uint32_t span, uint32_t slot, uint32_t stack,
                                         uint64_t mean_bytes)
{
    return (struct mem_stats_sample){
        .address = ((uint64_t)span * CAPACITY + slot) * OBJECT_BYTES + 16,
        .usable_bytes = OBJECT_BYTES,
        .mean_bytes = mean_bytes,
        .weight = mem_sampling_weight(OBJECT_BYTES, mean_bytes),
        .stack = stack,
    };
}

/* Means of one byte sample everything, so that an estimate is exact. */
static uint32_t add_exact(struct mem_pinner *pinners, uint32_t count, uint32_t span, uint32_t stack)
{
    struct mem_stats_sample sample = sample_in(span, count, stack, 1);

    return count + mem_pinner_of(&planted, &sample, &pinners[count]);
}

static void a_sparse_span_is_shared_by_the_stacks_of_its_samples(void **state)
{
    struct mem_pinner pinners[8];
    uint32_t count = 0;

    (void)state;
    used_count[0] = 3;
    used_count[1] = 2;
    count = add_exact(pinners, count, 0, 7);
    count = add_exact(pinners, count, 1, 9);
    count = add_exact(pinners, count, 0, 5);
    count = add_exact(pinners, count, 0, 7);
    assert_int_equal(count, 4);
    assert_int_equal(mem_pinners_share(pinners, count), 3);

    const uint64_t free_0 = 29 * OBJECT_BYTES, free_1 = 30 * OBJECT_BYTES;
    assert_int_equal(pinners[0].key, 5);
    assert_int_equal(pinners[0].span_bytes, free_0 / 3);
    assert_int_equal(pinners[0].live_bytes, OBJECT_BYTES);
    assert_int_equal(pinners[1].key, 7);
    assert_int_equal(pinners[1].span_bytes, free_0 / 3 * 2);
    assert_int_equal(pinners[1].live_bytes, 2 * OBJECT_BYTES);
    assert_int_equal(pinners[2].key, 9);
    assert_int_equal(pinners[2].span_bytes, free_1);
}

static void a_span_half_full_pins_nothing(void **state)
{
    struct mem_pinner pinner;
    struct mem_stats_sample sample = sample_in(2, 0, 1, 1);

    (void)state;
    used_count[2] = CAPACITY / 2;
    assert_false(mem_pinner_of(&planted, &sample, &pinner));
    used_count[2] = CAPACITY / 2 - 1;
    assert_true(mem_pinner_of(&planted, &sample, &pinner));
    used_count[2] = CAPACITY;
    assert_false(mem_pinner_of(&planted, &sample, &pinner));
    used_count[2] = CAPACITY + 1; /* read while it changed */
    assert_false(mem_pinner_of(&planted, &sample, &pinner));
    used_count[2] = 0; /* the sample was freed meanwhile */
    assert_false(mem_pinner_of(&planted, &sample, &pinner));
}

static void an_object_in_no_span_pins_nothing(void **state)
{
    struct mem_pinner pinner;
    struct mem_stats_sample sample = sample_in(SPANS, 0, 1, 1);

    (void)state;
    assert_false(mem_pinner_of(&planted, &sample, &pinner));
}

/* Samples the planted heap as a process would, and compares with what is there. */
static void the_estimate_is_within_five_percent_of_the_waste(void **state)
{
    static struct mem_pinner pinners[SPANS * CAPACITY / 2];
    const uint64_t mean_bytes = 4096;
    uint64_t seed = 21, rng = 22, truth = 0, live_truth = 0, estimate = 0, live_estimate = 0;
    uint64_t gap = mem_sampling_gap(mean_bytes, &rng);
    uint32_t count = 0;

    (void)state;
    for (uint32_t span = 0; span < SPANS; span++) {
        used_count[span] = (uint32_t)(random_u64(&seed) % (CAPACITY + 1));
        bool is_sparse = used_count[span] > 0 && used_count[span] < CAPACITY / 2;
        truth += is_sparse ? (CAPACITY - used_count[span]) * OBJECT_BYTES : 0;
        live_truth += is_sparse ? used_count[span] * OBJECT_BYTES : 0;
        for (uint32_t slot = 0; slot < used_count[span]; slot++) {
            if (gap > OBJECT_BYTES) {
                gap -= OBJECT_BYTES;
                continue;
            }
            gap = mem_sampling_gap(mean_bytes, &rng);
            struct mem_stats_sample sample = sample_in(span, slot, span % 10, mean_bytes);
            count += mem_pinner_of(&planted, &sample, &pinners[count]);
        }
    }
    assert_int_equal(mem_pinners_share(pinners, count), 10);
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(pinners[i].key, i);
        estimate += pinners[i].span_bytes;
        live_estimate += pinners[i].live_bytes;
    }
    assert_true(fabs((double)estimate / (double)truth - 1) < 0.05);
    assert_true(fabs((double)live_estimate / (double)live_truth - 1) < 0.05);
}

static void sharing_sorts_whatever_the_order(void **state)
{
    static struct mem_pinner pinners[1000];
    uint64_t seed = 5;

    (void)state;
    for (uint32_t round = 0; round < 50; round++) {
        uint32_t count = (uint32_t)(random_u64(&seed) % 1000) + 1;
        uint64_t live = 0;
        for (uint32_t i = 0; i < count; i++) {
            pinners[i] = (struct mem_pinner){.key = random_u64(&seed) % 50,
                                             .live_bytes = 1,
                                             .stack = (uint32_t)(random_u64(&seed) % 20)};
        }
        uint32_t stack_count = mem_pinners_share(pinners, count);
        assert_in_range(stack_count, 1, 20);
        for (uint32_t i = 0; i < stack_count; i++) {
            assert_true(i == 0 || pinners[i - 1].key < pinners[i].key);
            live += pinners[i].live_bytes;
        }
        assert_int_equal(live, count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sparse_span_is_shared_by_the_stacks_of_its_samples),
        cmocka_unit_test(a_span_half_full_pins_nothing),
        cmocka_unit_test(an_object_in_no_span_pins_nothing),
        cmocka_unit_test(the_estimate_is_within_five_percent_of_the_waste),
        cmocka_unit_test(sharing_sorts_whatever_the_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
