/*
 * The cache's policy against others, on traces of nine shapes at four sizes: S3-FIFO with a hand
 * over the index must miss no more than S3-FIFO as published, and less than what it replaces.
 * With an argument it prints the table of docs/decisions/0015.
 */
#include <stdio.h>

#include "unit/cache/policy_sim.h"

#include "unit/base/cmocka_all.h"

#define REQUESTS      200000u
#define REQUESTS_LONG 300000u
#define SIZES         4u
#define POLICIES_MAX  24u

static const double part[SIZES] = {0.25, 0.10, 0.05, 0.01};

static const struct policy_choice choices[] = {
    {"ours", 10, 2, true, 50, 1, 50},
    {"all ghosts", 10, 2, true, 100, 1, 50},
    {"no ghosts", 10, 2, true, 0, 1, 50},
    {"no second chance", 10, 2, false, 50, 1, 50},
    {"fixed", 10, 2, true, 50, 1, 0},
    {"main from 0", 10, 2, true, 50, 0, 50},
    {"promoted at 1", 10, 1, false, 50, 1, 50},
    {"share up to 30 %", 10, 2, true, 50, 1, 30},
    {"share up to 80 %", 10, 2, true, 50, 1, 80},
    {"fixed 5 %", 5, 2, true, 50, 1, 0},
    {"fixed 20 %", 20, 2, true, 50, 1, 0},
    {"fixed from 0, all ghosts", 10, 2, true, 100, 0, 0},
    {"main by hand", 10, 2, true, 50, POLICY_BY_HAND, 50},
};
#define CHOICES (sizeof(choices) / sizeof(*choices))

/* Misses of each policy relative to those of S3-FIFO as published, over all traces and sizes. */
struct comparison {
    double lru, segmented, choice[CHOICES];
    double worst; /* of the first choice, on one trace at one size */
};

static void compare_at(struct comparison *sum, const struct policy_trace *trace, double size,
                       bool prints)
{
    uint64_t bytes = (uint64_t)((double)trace->unique_bytes * size);
    double published = policy_s3fifo(trace, bytes);
    double lru = policy_lru(trace, bytes), segmented = policy_segmented(trace, bytes);

    sum->lru += lru / published;
    sum->segmented += segmented / published;
    if (prints) {
        printf("| %s, %.0f %% | %.0f | %.0f | %.0f |", trace->name, size * 100, lru, segmented,
               published);
    }
    for (size_t i = 0; i < CHOICES; i++) {
        double ours = policy_hand(trace, bytes, &choices[i]);
        sum->choice[i] += ours / published;
        sum->worst = i == 0 && ours / published > sum->worst ? ours / published : sum->worst;
        if (prints) {
            printf(" %.0f |", ours);
        }
    }
    if (prints) {
        printf("\n");
    }
}

static struct comparison compare(uint32_t request_count, bool prints)
{
    struct comparison sum = {0};
    double runs = (double)POLICY_SHAPES * SIZES;

    for (uint32_t shape = 0; shape < POLICY_SHAPES; shape++) {
        struct policy_trace trace;
        policy_trace_init(&trace, &policy_shapes[shape], request_count, 42 + shape);
        for (uint32_t size = 0; size < SIZES; size++) {
            compare_at(&sum, &trace, part[size], prints);
        }
        policy_trace_fini(&trace);
    }
    sum.lru /= runs;
    sum.segmented /= runs;
    for (size_t i = 0; i < CHOICES; i++) {
        sum.choice[i] /= runs;
    }
    return sum;
}

/* Of short traces, as the tests see it. */
static struct comparison means;

static int set_up(void **state)
{
    (void)state;
    means = compare(REQUESTS, false);
    return 0;
}

static void a_hand_over_the_index_misses_no_more_than_s3_fifo_and_less_than_segments(void **state)
{
    (void)state;

    assert_true(means.choice[0] < 1.005);
    assert_true(means.worst < 1.06); /* these traces are short, and the cache begins empty */
    assert_true(means.choice[0] < means.lru * 0.93);
    assert_true(means.choice[0] < means.segmented * 0.96);
}

static void ghosts_and_second_chances_earn_their_keep(void **state)
{
    (void)state;

    assert_true(means.choice[1] < means.choice[0]); /* twice the ghosts */
    assert_true(means.choice[0] < means.choice[2]); /* none */
    assert_true(means.choice[0] < means.choice[3]); /* no second chance */
}

static void a_share_that_follows_the_ghosts_misses_less_than_any_that_is_fixed(void **state)
{
    (void)state;

    assert_true(means.choice[0] < means.choice[4]);
    assert_true(means.choice[0] < means.choice[9]);
    assert_true(means.choice[0] < means.choice[10]);
    assert_true(means.choice[0] < means.choice[5]); /* main from 0 */
}

static void print_means(const struct comparison *of)
{
    printf("LRU %.3f, segmented %.3f, published 1.000", of->lru, of->segmented);
    for (size_t i = 0; i < CHOICES; i++) {
        printf(", %s %.3f", choices[i].name, of->choice[i]);
    }
    printf("; worst of ours %.3f\n", of->worst);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hand_over_the_index_misses_no_more_than_s3_fifo_and_less_than_segments),
        cmocka_unit_test(ghosts_and_second_chances_earn_their_keep),
        cmocka_unit_test(a_share_that_follows_the_ghosts_misses_less_than_any_that_is_fixed),
    };

    (void)argv;
    if (argc > 1) {
        struct comparison long_means = compare(REQUESTS_LONG, true);
        print_means(&long_means);
        return 0;
    }
    return cmocka_run_group_tests(tests, set_up, NULL);
}
