/*
 * Random histories of a whole object heap against a naive model, in several threads that take
 * turns: what one has allocated the next one frees, resizes, or ends with its lifetime.
 *
 * Some stints are those of a thread that was made for them and ends after; most of threads that
 * sleep in between, with all that they keep. QUARRY_MODEL_SEEDS says how many seeds,
 * QUARRY_MODEL_FIRST_SEED where to begin, QUARRY_MODEL_CHECK_EVERY after how many stints everything
 * is compared.
 */
#include "model/mem_model.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"

#define WORKERS     3u
#define STINTS      500u
#define STINT_MOST  60u
#define SHORT_EVERY 7u /* one seed in so many has a budget that is short */
#define AMPLE_BYTES Q_MIB(256)
#define SHORT_BYTES Q_MIB(6)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SEEDS_DEFAULT 12u
#else
#define SEEDS_DEFAULT 160u
#endif

/* Whoever has the baton works: 0 the test's own thread, else a worker. */
struct relay {
    pthread_mutex_t mutex;
    pthread_cond_t passed;
    uint32_t holder;
    uint32_t step_count;
    bool is_over;
    struct mem_model *model;
};

struct worker {
    struct relay *relay;
    uint32_t number;
};

static void stint(struct relay *relay)
{
    for (uint32_t i = 0; i < relay->step_count; i++) {
        mem_model_step(relay->model);
    }
}

static void *work(void *argument)
{
    const struct worker *worker = argument;
    struct relay *relay = worker->relay;

    (void)pthread_mutex_lock(&relay->mutex);
    while (!relay->is_over) {
        if (relay->holder == worker->number) {
            stint(relay);
            relay->holder = 0;
            (void)pthread_cond_broadcast(&relay->passed);
        }
        (void)pthread_cond_wait(&relay->passed, &relay->mutex);
    }
    (void)pthread_mutex_unlock(&relay->mutex);
    return NULL;
}

static void *work_once(void *argument)
{
    stint(argument);
    return NULL;
}

/* With the mutex held; waits until the baton is back. */
static void pass_to(struct relay *relay, uint32_t number)
{
    relay->holder = number;
    (void)pthread_cond_broadcast(&relay->passed);
    while (relay->holder != 0) {
        (void)pthread_cond_wait(&relay->passed, &relay->mutex);
    }
}

static void run_stint(struct relay *relay, uint64_t *random)
{
    uint64_t who = random_u64(random) % (2 * WORKERS + 2);
    pthread_t guest;

    relay->step_count = 1 + (uint32_t)(random_u64(random) % STINT_MOST);
    if (who == 0) {
        assert_int_equal(pthread_create(&guest, NULL, work_once, relay), 0);
        assert_int_equal(pthread_join(guest, NULL), 0);
    } else if (who == 1) {
        stint(relay);
    } else {
        pass_to(relay, 1 + (uint32_t)(who % WORKERS));
    }
}

static uint64_t run_history(uint64_t seed, uint64_t check_every)
{
    bool is_short = seed % SHORT_EVERY == SHORT_EVERY - 1;
    const struct mem_model_options options = {
        .seed = seed, .limit_bytes = is_short ? SHORT_BYTES : AMPLE_BYTES, .may_refuse = is_short};
    struct relay relay = {.mutex = PTHREAD_MUTEX_INITIALIZER, .passed = PTHREAD_COND_INITIALIZER};
    struct worker worker[WORKERS];
    pthread_t thread[WORKERS];
    uint64_t random = ~seed;

    relay.model = mem_model_create(&options);
    for (uint32_t i = 0; i < WORKERS; i++) {
        worker[i] = (struct worker){&relay, i + 1};
        assert_int_equal(pthread_create(&thread[i], NULL, work, &worker[i]), 0);
    }
    (void)pthread_mutex_lock(&relay.mutex);
    for (uint32_t i = 1; i <= STINTS; i++) {
        run_stint(&relay, &random);
        if (i % check_every == 0) {
            mem_model_check(relay.model);
        }
    }
    relay.is_over = true;
    (void)pthread_cond_broadcast(&relay.passed);
    (void)pthread_mutex_unlock(&relay.mutex);
    for (uint32_t i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    uint64_t served_count = mem_model_served_count(relay.model);
    mem_model_destroy(relay.model);
    return served_count;
}

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

static void an_object_heap_agrees_with_a_naive_model_in_random_histories(void **state)
{
    uint64_t seed_count = number_from_environment("QUARRY_MODEL_SEEDS", SEEDS_DEFAULT);
    uint64_t first_seed = number_from_environment("QUARRY_MODEL_FIRST_SEED", 0);
    uint64_t check_every = number_from_environment("QUARRY_MODEL_CHECK_EVERY", 25);
    uint64_t served_count = 0;

    (void)state;
    signal(SIGABRT, print_repeat_line);
    for (uint64_t seed = first_seed; seed < first_seed + seed_count; seed++) {
        (void)snprintf(repeat_line, sizeof(repeat_line),
                       "again with QUARRY_MODEL_SEEDS=1 QUARRY_MODEL_FIRST_SEED=%llu\n",
                       (unsigned long long)seed);
        served_count += run_history(seed, check_every);
    }
    print_message("%llu seeds: %llu objects given or taken\n", (unsigned long long)seed_count,
                  (unsigned long long)served_count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_heap_agrees_with_a_naive_model_in_random_histories),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
