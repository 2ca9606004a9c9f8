/*
 * Making histories and checking them.
 *
 *   stretch   threads: draw, note the time, do, note the time   │ all at rest │ check key by key
 *             ├────────── 20,000 operations ────────────────────┤             ├──▶ next stretch
 *
 * Memory is that of one stretch, since the checker needs no more than what a key may be at rest.
 *
 * Keys are of three families, each with operations whose rules meet each other:
 *
 *   values    set add replace append prepend delete, with and without a cas; get touch gat
 *   numbers   set add count up and down delete, with and without a cas; get touch
 *   tokens    set, also one that invalidates; invalidate, vivify, get, delete
 *
 * A cas that is asked for is the one that this thread has seen last of the key, so that it is often
 * right, or that minus one. Values are short as a rule; some are long, and now and then one is of
 * the largest size that the driver takes.
 *
 * Threads meet at few keys; where one CPU serves several, an operation is interrupted too seldom
 * for that, so that threads wait for each other every 64 operations and begin together.
 *
 * Times are those of CLOCK_MONOTONIC, which the kernel keeps the same on all CPUs; a counter that
 * all threads add to would order them by itself, and hide what it orders.
 */
#include "linear/history.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STRETCH      20000u
#define ROUND        256u /* operations of a thread between meetings */
#define EXPIRIES     60u  /* units of the driver */
#define SMALL_BYTES  20u
#define MEDIUM_BYTES 1500u
#define FAMILY_COUNT 3u
#define KEYS_MAX     64u

enum family { VALUES, NUMBERS, TOKENS };

struct hand {
    struct history *history;
    pthread_t thread;
    uint32_t index;
    uint64_t random;
    uint64_t next_id;
    uint64_t seen_cas[KEYS_MAX];
    struct linear_operation *operation; /* of this stretch; owned */
    size_t count;
    char *bytes; /* owned */
};

struct history {
    const struct linear_options *options;
    void *store;
    struct hand hand[LINEAR_THREADS_MAX];
    pthread_barrier_t barrier;  /* threads and the checker */
    _Atomic uint64_t met_count; /* threads that have come to a meeting, ever */
    bool is_over;               /* written at rest */
    struct linear_checker checker[KEYS_MAX];
};

static uint64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t draw(struct hand *hand)
{
    uint64_t x = hand->random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    hand->random = x;
    return x * UINT64_C(0x2545f4914f6cdd1d) >> 11;
}

static uint32_t draw_below(struct hand *hand, uint32_t bound)
{
    return (uint32_t)(draw(hand) % bound);
}

/* ---- drawing -------------------------------------------------------------------------------- */

static enum linear_kind draw_kind(struct hand *hand, enum family family)
{
    static const enum linear_kind kinds[FAMILY_COUNT][16] = {
        [VALUES] = {LINEAR_GET, LINEAR_GET, LINEAR_GET, LINEAR_GET, LINEAR_SET, LINEAR_SET,
                    LINEAR_SET, LINEAR_ADD, LINEAR_REPLACE, LINEAR_APPEND, LINEAR_PREPEND,
                    LINEAR_DELETE, LINEAR_DELETE, LINEAR_TOUCH, LINEAR_GET_AND_TOUCH, LINEAR_SET},
        [NUMBERS] = {LINEAR_GET, LINEAR_GET, LINEAR_GET, LINEAR_COUNT_UP, LINEAR_COUNT_UP,
                     LINEAR_COUNT_UP, LINEAR_COUNT_UP, LINEAR_COUNT_DOWN, LINEAR_COUNT_DOWN,
                     LINEAR_COUNT_DOWN, LINEAR_SET, LINEAR_SET, LINEAR_ADD, LINEAR_DELETE,
                     LINEAR_TOUCH, LINEAR_GET},
        [TOKENS] = {LINEAR_GET, LINEAR_GET, LINEAR_GET, LINEAR_GET, LINEAR_GET, LINEAR_VIVIFY,
                    LINEAR_VIVIFY, LINEAR_VIVIFY, LINEAR_SET, LINEAR_SET, LINEAR_SET,
                    LINEAR_INVALIDATE, LINEAR_INVALIDATE, LINEAR_INVALIDATE, LINEAR_DELETE,
                    LINEAR_DELETE},
    };

    return kinds[family][draw_below(hand, 16)];
}

static void draw_cas(struct hand *hand, struct linear_operation *operation, enum family family)
{
    bool may = operation->kind == LINEAR_SET || operation->kind == LINEAR_DELETE;

    if (may && hand->seen_cas[operation->key] > 1 && draw_below(hand, 3) == 0) {
        operation->has_cas = true;
        operation->cas = hand->seen_cas[operation->key] - (draw_below(hand, 4) == 0);
        operation->invalidates =
            family == TOKENS && operation->kind == LINEAR_SET && draw_below(hand, 2) == 0;
    }
}

static uint32_t draw_length(struct hand *hand)
{
    uint32_t most = hand->history->options->driver->value_bytes_max;
    uint32_t chance = draw_below(hand, 1000);

    if (chance == 0) {
        return most - draw_below(hand, most / 4);
    }
    return chance < 50 ? draw_below(hand, MEDIUM_BYTES) : draw_below(hand, SMALL_BYTES);
}

/* The value that is stored, its bytes in hand->bytes. */
static void draw_value(struct hand *hand, struct linear_operation *operation, enum family family)
{
    operation->value_id = hand->next_id;
    hand->next_id += LINEAR_THREADS_MAX;
    if (family == NUMBERS) {
        operation->is_number = true;
        operation->value = linear_value_of_number(operation->value_id % 1000);
        operation->value_bytes = operation->value.byte_count;
        memcpy(hand->bytes, operation->value.head, operation->value_bytes);
        return;
    }
    bool joins = operation->kind == LINEAR_APPEND || operation->kind == LINEAR_PREPEND;
    operation->value_bytes = joins ? 1 + draw_below(hand, 4) : draw_length(hand);
    linear_fill(hand->bytes, operation->value_bytes, operation->value_id);
    operation->value = linear_value_of(hand->bytes, operation->value_bytes);
}

static bool is_store(enum linear_kind kind)
{
    return kind >= LINEAR_SET && kind <= LINEAR_PREPEND;
}

static void draw_operation(struct hand *hand, struct linear_operation *operation)
{
    uint32_t key = draw_below(hand, hand->history->options->key_count);
    enum family family = (enum family)(key % FAMILY_COUNT);

    *operation = (struct linear_operation){.key = key, .thread = hand->index};
    operation->kind = draw_kind(hand, family);
    operation->expiry = draw_below(hand, 3) == 0 ? 0 : 1 + draw_below(hand, EXPIRIES);
    operation->client_flags = draw_below(hand, 3) == 0 ? 0 : (uint32_t)draw(hand);
    operation->delta = 1 + draw_below(hand, 100);
    draw_cas(hand, operation, family);
    if (is_store(operation->kind)) {
        draw_value(hand, operation, family);
    }
}

/* ---- recording ------------------------------------------------------------------------------ */

/* Waits until all threads have come so far. */
static void meet(struct history *history)
{
    uint64_t count = history->options->thread_count;
    uint64_t mine = atomic_fetch_add(&history->met_count, 1);
    uint64_t wanted = (mine / count + 1) * count;

    while (atomic_load(&history->met_count) < wanted) {
        (void)sched_yield();
    }
}

static void do_one(struct hand *hand, void *hands)
{
    const struct linear_driver *driver = hand->history->options->driver;
    struct linear_operation *operation = &hand->operation[hand->count++];

    draw_operation(hand, operation);
    operation->call_ns = now_ns();
    driver->apply(hands, operation, hand->bytes);
    operation->return_ns = now_ns();
    if (operation->ret_cas != 0) {
        hand->seen_cas[operation->key] = operation->ret_cas;
    }
}

static void *run_hand(void *argument)
{
    struct hand *hand = argument;
    struct history *history = hand->history;
    const struct linear_driver *driver = history->options->driver;
    void *hands = driver->enter(history->store, hand->index);

    for (;;) {
        (void)pthread_barrier_wait(&history->barrier); /* begin */
        if (history->is_over) {
            break;
        }
        hand->count = 0;
        while (hand->count < STRETCH / history->options->thread_count) {
            if (hand->count % ROUND == 0) {
                meet(history);
            }
            do_one(hand, hands);
        }
        (void)pthread_barrier_wait(&history->barrier); /* at rest */
    }
    driver->leave(hands);
    return NULL;
}

/* ---- checking ------------------------------------------------------------------------------- */

/* By key, then by call. */
static int compare(const void *a, const void *b)
{
    const struct linear_operation *left = a;
    const struct linear_operation *right = b;

    if (left->key != right->key) {
        return left->key < right->key ? -1 : 1;
    }
    return (left->call_ns > right->call_ns) - (left->call_ns < right->call_ns);
}

static uint64_t count_overlaps(const struct linear_operation *operation, size_t count)
{
    uint64_t overlaps = 0;
    uint64_t latest_ns = 0;

    for (size_t i = 0; i < count; i++) {
        overlaps += operation[i].call_ns <= latest_ns;
        if (operation[i].return_ns > latest_ns) {
            latest_ns = operation[i].return_ns;
        }
    }
    return overlaps;
}

/* All operations of the stretch, sorted. */
static size_t gather(const struct history *history, struct linear_operation *all)
{
    size_t count = 0;

    for (uint32_t i = 0; i < history->options->thread_count; i++) {
        const struct hand *hand = &history->hand[i];
        memcpy(&all[count], hand->operation, hand->count * sizeof *all);
        count += hand->count;
    }
    qsort(all, count, sizeof *all, compare);
    return count;
}

static void check_stretch(struct history *history, struct linear_operation *all,
                          struct linear_result *result)
{
    size_t count = gather(history, all);
    size_t begin = 0;

    for (size_t end = 0; begin < count && result->verdict == LINEAR_POSSIBLE; begin = end) {
        struct linear_checker *checker = &history->checker[all[begin].key];
        for (end = begin; end < count && all[end].key == all[begin].key;) {
            end++;
        }
        result->verdict = linear_check(checker, &all[begin], end - begin);
        result->overlap_count += count_overlaps(&all[begin], end - begin);
        if (checker->config_count_most > result->states_most) {
            result->states_most = checker->config_count_most;
        }
    }
    for (size_t i = 0; i < count; i++) {
        result->failed_count += all[i].outcome == LINEAR_FAILED;
    }
    result->operation_count += count;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static void *must(void *memory)
{
    if (memory == NULL) {
        abort();
    }
    return memory;
}

static void begin(struct history *history)
{
    const struct linear_options *options = history->options;

    (void)pthread_barrier_init(&history->barrier, NULL, options->thread_count + 1);
    for (uint32_t key = 0; key < options->key_count; key++) {
        linear_checker_init(&history->checker[key]);
    }
    for (uint32_t i = 0; i < options->thread_count; i++) {
        struct hand *hand = &history->hand[i];
        hand->history = history;
        hand->index = i;
        hand->random = (options->seed + i + 1) * UINT64_C(0x9e3779b97f4a7c15);
        hand->next_id = i;
        hand->operation = must(malloc(STRETCH * sizeof *hand->operation));
        hand->bytes = must(malloc(options->driver->value_bytes_max + MEDIUM_BYTES));
        if (pthread_create(&hand->thread, NULL, run_hand, hand) != 0) {
            abort();
        }
    }
}

static void end(struct history *history)
{
    history->is_over = true;
    (void)pthread_barrier_wait(&history->barrier);
    for (uint32_t i = 0; i < history->options->thread_count; i++) {
        (void)pthread_join(history->hand[i].thread, NULL);
        free(history->hand[i].operation);
        free(history->hand[i].bytes);
    }
    for (uint32_t key = 0; key < history->options->key_count; key++) {
        linear_checker_fini(&history->checker[key]);
    }
    (void)pthread_barrier_destroy(&history->barrier);
}

static bool is_done(const struct linear_options *options, const struct linear_result *result,
                    uint64_t end_ns)
{
    bool is_enough = options->seconds != 0 ? now_ns() >= end_ns
                                           : result->operation_count >= options->operation_count;

    return is_enough || result->verdict != LINEAR_POSSIBLE;
}

struct linear_result linear_run(const struct linear_options *options)
{
    struct history *history = must(calloc(1, sizeof *history));
    struct linear_operation *all = must(malloc(STRETCH * sizeof *all));
    struct linear_result result = {.verdict = LINEAR_POSSIBLE};
    uint64_t end_ns = now_ns() + options->seconds * 1000000000u;

    if (options->thread_count == 0 || options->thread_count > LINEAR_THREADS_MAX ||
        options->key_count == 0 || options->key_count > KEYS_MAX) {
        abort();
    }
    history->options = options;
    history->store = options->driver->open(options->argument);
    begin(history);
    do {
        (void)pthread_barrier_wait(&history->barrier); /* begin */
        if (options->driver->disturb != NULL) {
            options->driver->disturb(history->store);
        }
        (void)pthread_barrier_wait(&history->barrier); /* at rest */
        check_stretch(history, all, &result);
    } while (!is_done(options, &result, end_ns));
    end(history);
    options->driver->close(history->store);
    free(all);
    free(history);
    return result;
}
