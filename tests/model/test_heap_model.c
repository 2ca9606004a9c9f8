/*
 * Random histories of a whole page heap against a naive model.
 *
 * Each seed is ten thousand operations on three lanes for four owners under a limit that moves. One
 * seed in sixty-three has really backed memory and checks what is in it. QUARRY_MODEL_SEEDS says
 * how many seeds, QUARRY_MODEL_FIRST_SEED where to begin, QUARRY_MODEL_CHECK_EVERY after how many
 * operations everything is compared (1 finds the first that breaks something).
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <base/base.h>

#include "model/heap_model.h"
#include "unit/base/cmocka_all.h"

#define OPERATIONS     10000u
#define CONTENTS_EVERY 63u /* no multiple of GAP_EVERY, so that both meet */
#define GAP_EVERY      4u

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SEEDS_DEFAULT 40u
#else
#define SEEDS_DEFAULT 1000u
#endif

static uint64_t number_from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

/* How to see the history that runs again; for assertions of the heap, which know of no seeds. */
static char repeat_line[128];

static void print_repeat_line(int signal_number)
{
    (void)!write(STDERR_FILENO, repeat_line, strlen(repeat_line));
    signal(signal_number, SIG_DFL);
}

static void run_seed(uint64_t seed, uint64_t check_every)
{
    const struct heap_model_options options = {
        .source = {.random = seed},
        .has_contents = seed % CONTENTS_EVERY == 0,
        .lane_gap = seed % GAP_EVERY == 1 ? 3 : 0,
    };

    snprintf(repeat_line, sizeof(repeat_line),
             "again with QUARRY_MODEL_SEEDS=1 QUARRY_MODEL_FIRST_SEED=%llu\n",
             (unsigned long long)seed);
    struct heap_model *model = heap_model_create(&options);

    for (uint32_t i = 1; i <= OPERATIONS; i++) {
        (void)heap_model_step(model);
        if (i % check_every == 0) {
            heap_model_check(model);
        }
    }
    heap_model_destroy(model);
}

static void the_heap_agrees_with_a_naive_model_in_random_histories(void **state)
{
    uint64_t seed_count = number_from_environment("QUARRY_MODEL_SEEDS", SEEDS_DEFAULT);
    uint64_t first_seed = number_from_environment("QUARRY_MODEL_FIRST_SEED", 0);
    uint64_t check_every = number_from_environment("QUARRY_MODEL_CHECK_EVERY", OPERATIONS);

    (void)state;
    signal(SIGABRT, print_repeat_line);
    for (uint64_t seed = first_seed; seed < first_seed + seed_count; seed++) {
        run_seed(seed, check_every);
    }
    print_message("%llu seeds of %u operations\n", (unsigned long long)seed_count, OPERATIONS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_heap_agrees_with_a_naive_model_in_random_histories),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
