/*
 * Checking a history as it went.
 *
 *   thread 1   ├── set 1 ──┤        ├─ get → 2 ─┤
 *   thread 2        ├── set 2 ──┤
 *   events     c1   c2    r1    r2  c1          r1
 *
 *   states     {∅}                after r1: {1; 2 is open} {2·1: 2 done} …   after r2: {1·2} {2·1}
 *              {value, who of those under way has taken effect}
 *
 * Between two events only calls under way can take effect. They need not be tried before one
 * returns: then every state in which it has not taken effect yet is followed through all orders of
 * the calls under way that end with it. Equal states are kept once. No state left: the history is
 * impossible.
 *
 * 1. In every state kept, each operation that has returned has taken effect, once.
 * 2. Operations that have not been called have not.
 *
 * Keys are checked apart, since a history is linearizable when each key's is (Herlihy and Wing).
 * When nothing is under way a state is one of the key alone, so that a history can be checked in
 * stretches that end at rest, in memory for one of them.
 *
 * Source: Wing and Gong 1993; Lowe, Testing for Linearizability, 2017 (just-in-time linearization,
 * states kept once). Rejected: the search with backtracking over the whole history, whose marks
 * grow with its length.
 */
#include "linear/checker.h"

#include <stdlib.h>
#include <string.h>

#define CONFIGS_MAX 200000u
#define TOLD_MAX    8u

/* A state, and who of the calls under way has taken effect, by thread. */
struct linear_config {
    struct linear_state state;
    uint32_t done;
    uint32_t unused; /* 0 */
};

struct event {
    uint64_t at_ns;
    uint32_t is_return;
    uint32_t index; /* of the operation */
};

/* Configurations, each once. Index 0 of the table is empty. */
struct set {
    struct linear_config *config;
    uint32_t *table;
    size_t count, capacity, table_count;
};

static void *must(void *memory)
{
    if (memory == NULL) {
        abort();
    }
    return memory;
}

static uint64_t hash_of(const struct linear_config *config)
{
    uint64_t words[sizeof *config / sizeof(uint64_t)];
    uint64_t hash = 0;

    memcpy(words, config, sizeof words);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        hash = (hash ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    return hash;
}

/* Where the configuration is in the table, or would be. */
static size_t slot_of(const struct set *set, const struct linear_config *config)
{
    size_t slot = hash_of(config) % set->table_count;

    while (set->table[slot] != 0 &&
           memcmp(&set->config[set->table[slot] - 1], config, sizeof *config) != 0) {
        slot = (slot + 1) % set->table_count;
    }
    return slot;
}

static void grow(struct set *set)
{
    set->capacity = set->capacity == 0 ? 64 : 2 * set->capacity;
    set->config = must(realloc(set->config, set->capacity * sizeof *set->config));
    free(set->table);
    set->table_count = 2 * set->capacity + 1;
    set->table = must(calloc(set->table_count, sizeof *set->table));
    for (size_t i = 0; i < set->count; i++) {
        set->table[slot_of(set, &set->config[i])] = (uint32_t)(i + 1);
    }
}

static void insert(struct set *set, const struct linear_config *config)
{
    if (set->count == set->capacity) {
        grow(set);
    }
    size_t slot = slot_of(set, config);
    if (set->table[slot] == 0) {
        set->config[set->count++] = *config;
        set->table[slot] = (uint32_t)set->count;
    }
}

static void fini_set(struct set *set)
{
    free(set->config);
    free(set->table);
}

void linear_checker_init(struct linear_checker *checker)
{
    *checker = (struct linear_checker){.config_capacity = 1, .config_count = 1};
    checker->config = must(calloc(1, sizeof *checker->config));
}

void linear_checker_fini(struct linear_checker *checker)
{
    free(checker->config);
}

/* ---- events --------------------------------------------------------------------------------- */

/* Calls before returns where the clock does not tell them apart: they may have been at once. */
static int compare(const void *a, const void *b)
{
    const struct event *left = a;
    const struct event *right = b;

    if (left->at_ns != right->at_ns) {
        return left->at_ns < right->at_ns ? -1 : 1;
    }
    return (int)left->is_return - (int)right->is_return;
}

static struct event *make_events(const struct linear_operation *operation, size_t count)
{
    struct event *event = must(calloc(2 * count + 1, sizeof *event));

    for (size_t i = 0; i < count; i++) {
        event[2 * i] = (struct event){operation[i].call_ns, 0, (uint32_t)i};
        event[2 * i + 1] = (struct event){operation[i].return_ns, 1, (uint32_t)i};
    }
    qsort(event, 2 * count, sizeof *event, compare);
    return event;
}

/* ---- states --------------------------------------------------------------------------------- */

/* What is under way, by thread. */
struct under_way {
    const struct linear_operation *operation[LINEAR_THREADS_MAX];
};

/* Adds all configurations to the set that follow from the n-th by one more call taking effect. */
static void follow(struct set *set, size_t n, const struct under_way *under_way)
{
    for (uint32_t i = 0; i < LINEAR_THREADS_MAX * LINEAR_CHOICES; i++) {
        uint32_t thread = i / LINEAR_CHOICES;
        const struct linear_operation *operation = under_way->operation[thread];
        struct linear_config next = set->config[n];
        if (operation == NULL || (next.done & (1u << thread)) != 0) {
            continue;
        }
        if (linear_step(&set->config[n].state, operation, i % LINEAR_CHOICES, &next.state)) {
            next.done |= 1u << thread;
            insert(set, &next);
        }
    }
}

/* A thread's call has returned: keeps what has it done. Returns: false: too many to follow. */
static bool settle(struct linear_checker *checker, const struct under_way *under_way,
                   uint32_t thread)
{
    struct set seen = {0};
    struct set kept = {0};
    uint32_t bit = 1u << thread;

    for (size_t i = 0; i < checker->config_count; i++) {
        insert(&seen, &checker->config[i]);
    }
    for (size_t i = 0; i < seen.count && seen.count <= CONFIGS_MAX; i++) {
        if ((seen.config[i].done & bit) == 0) {
            follow(&seen, i, under_way);
            continue;
        }
        struct linear_config settled = seen.config[i];
        settled.done &= ~bit;
        insert(&kept, &settled);
    }
    bool is_followed = seen.count <= CONFIGS_MAX;
    fini_set(&seen);
    free(kept.table);
    free(checker->config);
    checker->config = kept.config;
    checker->config_count = kept.count;
    if (kept.count > checker->config_count_most) {
        checker->config_count_most = kept.count;
    }
    return is_followed;
}

/* What was under way, and the states before, for who looks for the fault. */
static void explain(const struct under_way *under_way, const struct linear_operation *operation,
                    const struct linear_config *config, size_t config_count)
{
    (void)fputs("impossible: ", stderr);
    linear_print_operation(stderr, operation);
    for (uint32_t thread = 0; thread < LINEAR_THREADS_MAX; thread++) {
        if (under_way->operation[thread] != NULL && under_way->operation[thread] != operation) {
            (void)fputs("  at once:   ", stderr);
            linear_print_operation(stderr, under_way->operation[thread]);
        }
    }
    for (size_t i = 0; i < config_count; i++) {
        (void)fputs("  it was:    ", stderr);
        linear_print_state(stderr, &config[i].state);
    }
}

/* What had returned just before event `n`, the last first. */
static void tell_before(const struct event *event, size_t n,
                        const struct linear_operation *operation)
{
    uint32_t told = 0;

    while (n-- > 0 && told < TOLD_MAX) {
        if (event[n].is_return) {
            (void)fputs("  before:    ", stderr);
            linear_print_operation(stderr, &operation[event[n].index]);
            told++;
        }
    }
}

/* Returns: whether a state is left. */
static enum linear_verdict take_return(struct linear_checker *checker, struct under_way *under_way,
                                       const struct linear_operation *operation)
{
    struct linear_config before[TOLD_MAX];
    size_t before_count = checker->config_count < TOLD_MAX ? checker->config_count : TOLD_MAX;

    memcpy(before, checker->config, before_count * sizeof *before);
    if (!settle(checker, under_way, operation->thread)) {
        return LINEAR_UNDECIDED;
    }
    if (checker->config_count == 0) {
        explain(under_way, operation, before, before_count);
        return LINEAR_IMPOSSIBLE;
    }
    under_way->operation[operation->thread] = NULL;
    checker->operation_count++;
    return LINEAR_POSSIBLE;
}

enum linear_verdict linear_check(struct linear_checker *checker,
                                 const struct linear_operation *operation, size_t count)
{
    struct under_way under_way = {{NULL}};
    enum linear_verdict verdict = LINEAR_POSSIBLE;
    struct event *event = make_events(operation, count);

    for (size_t i = 0; i < 2 * count && verdict == LINEAR_POSSIBLE; i++) {
        const struct linear_operation *its = &operation[event[i].index];
        if (event[i].is_return) {
            verdict = take_return(checker, &under_way, its);
            if (verdict == LINEAR_IMPOSSIBLE) {
                tell_before(event, i, operation);
            }
        } else {
            under_way.operation[its->thread] = its;
        }
    }
    free(event);
    return verdict;
}
