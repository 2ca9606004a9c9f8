/*
 * Four policies over one set of arrays: for each key the queue that it is in, its neighbours there
 * and its frequency. Queues are lists with the newest item first.
 */
#include "unit/cache/policy_sim.h"

#include <stdlib.h>
#include <string.h>

#include <cache/ghost.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"

#define NONE       UINT32_MAX
#define QUEUES_MAX 4u

enum queue { NOWHERE = 0, SMALL, MAIN, GHOST, HOT = SMALL, WARM = MAIN, COLD = GHOST };

struct sim {
    const struct policy_trace *trace;
    uint64_t capacity;
    uint8_t *queue, *frequency;
    uint32_t *next, *previous; /* next: older */
    uint32_t first[QUEUES_MAX], last[QUEUES_MAX];
    uint64_t bytes[QUEUES_MAX], count[QUEUES_MAX];
    uint64_t misses;

    /* of policy_hand alone */
    const struct policy_choice *choice;
    struct cache_ghost_table *ghosts;
    double small_share;
    bool is_full;
    uint8_t *is_second;
    uint32_t *bucket_first; /* main items by bucket, as the index has them */
    uint32_t bucket_count, hand;
};

static void sim_init(struct sim *ret_sim, const struct policy_trace *trace, uint64_t capacity)
{
    *ret_sim = (struct sim){.trace = trace, .capacity = capacity};
    ret_sim->queue = calloc(trace->key_count, 1);
    ret_sim->frequency = calloc(trace->key_count, 1);
    ret_sim->next = calloc(trace->key_count, sizeof(uint32_t));
    ret_sim->previous = calloc(trace->key_count, sizeof(uint32_t));
    assert_non_null(ret_sim->queue);
    assert_non_null(ret_sim->frequency);
    assert_non_null(ret_sim->next);
    assert_non_null(ret_sim->previous);
    for (uint32_t i = 0; i < QUEUES_MAX; i++) {
        ret_sim->first[i] = ret_sim->last[i] = NONE;
    }
}

static double sim_fini(struct sim *sim)
{
    free(sim->queue);
    free(sim->frequency);
    free(sim->next);
    free(sim->previous);
    free(sim->ghosts);
    free(sim->bucket_first);
    free(sim->is_second);
    return 1000.0 * (double)sim->misses / sim->trace->request_count;
}

static void push(struct sim *sim, enum queue queue, uint32_t key)
{
    sim->queue[key] = (uint8_t)queue;
    sim->previous[key] = NONE;
    sim->next[key] = sim->first[queue];
    if (sim->first[queue] != NONE) {
        sim->previous[sim->first[queue]] = key;
    } else {
        sim->last[queue] = key;
    }
    sim->first[queue] = key;
    sim->bytes[queue] += sim->trace->bytes[key];
    sim->count[queue]++;
}

static void pull(struct sim *sim, uint32_t key)
{
    enum queue queue = sim->queue[key];
    uint32_t next = sim->next[key], previous = sim->previous[key];

    *(previous == NONE ? &sim->first[queue] : &sim->next[previous]) = next;
    *(next == NONE ? &sim->last[queue] : &sim->previous[next]) = previous;
    sim->queue[key] = NOWHERE;
    sim->bytes[queue] -= sim->trace->bytes[key];
    sim->count[queue]--;
}

static uint32_t pop(struct sim *sim, enum queue queue)
{
    uint32_t key = sim->last[queue];

    pull(sim, key);
    return key;
}

static bool fits(const struct sim *sim, uint32_t key)
{
    return sim->trace->bytes[key] <= sim->capacity / 2;
}

/* ---- LRU ------------------------------------------------------------------------------------ */

double policy_lru(const struct policy_trace *trace, uint64_t capacity_bytes)
{
    struct sim sim;

    sim_init(&sim, trace, capacity_bytes);
    for (uint32_t i = 0; i < trace->request_count; i++) {
        uint32_t key = trace->keys[i];
        if (sim.queue[key] == MAIN) {
            pull(&sim, key);
            push(&sim, MAIN, key);
            continue;
        }
        sim.misses++;
        if (!fits(&sim, key)) {
            continue;
        }
        while (sim.bytes[MAIN] + trace->bytes[key] > capacity_bytes) {
            (void)pop(&sim, MAIN);
        }
        push(&sim, MAIN, key);
    }
    return sim_fini(&sim);
}

/* ---- memcached's segments ------------------------------------------------------------------- */

/* Hits: the first marks an item fetched, the next active; a cold one that is active turns warm. */
static void segmented_hit(struct sim *sim, uint32_t key)
{
    sim->frequency[key] = sim->frequency[key] < 2 ? sim->frequency[key] + 1 : 2;
    if (sim->queue[key] == COLD && sim->frequency[key] == 2) {
        pull(sim, key);
        push(sim, WARM, key);
        sim->frequency[key] = 1;
    }
}

/* What is too much in a segment goes on; what was active there gets another turn in the warm one.
 */
static void segment_trim(struct sim *sim, enum queue queue, uint32_t percent)
{
    while (sim->bytes[queue] > sim->capacity * percent / 100) {
        uint32_t key = pop(sim, queue);
        bool is_active = sim->frequency[key] == 2;
        sim->frequency[key] = is_active ? 1 : sim->frequency[key];
        push(sim, is_active ? WARM : COLD, key);
    }
}

static void segmented_evict(struct sim *sim)
{
    if (sim->last[COLD] == NONE) {
        (void)pop(sim, sim->last[WARM] != NONE ? WARM : HOT);
    } else {
        (void)pop(sim, COLD);
    }
}

double policy_segmented(const struct policy_trace *trace, uint64_t capacity_bytes)
{
    struct sim sim;

    sim_init(&sim, trace, capacity_bytes);
    for (uint32_t i = 0; i < trace->request_count; i++) {
        uint32_t key = trace->keys[i];
        if (sim.queue[key] != NOWHERE) {
            segmented_hit(&sim, key);
        } else {
            sim.misses++;
            if (!fits(&sim, key)) {
                continue;
            }
            while (sim.bytes[HOT] + sim.bytes[WARM] + sim.bytes[COLD] + trace->bytes[key] >
                   capacity_bytes) {
                segmented_evict(&sim);
            }
            sim.frequency[key] = 0;
            push(&sim, HOT, key);
        }
        segment_trim(&sim, HOT, 20);
        segment_trim(&sim, WARM, 40);
    }
    return sim_fini(&sim);
}

/* ---- S3-FIFO as published ------------------------------------------------------------------- */

static void hit(struct sim *sim, uint32_t key)
{
    sim->frequency[key] = sim->frequency[key] < 3 ? sim->frequency[key] + 1 : 3;
}

static void s3fifo_ghost(struct sim *sim, uint32_t key)
{
    push(sim, GHOST, key);
    while (sim->bytes[GHOST] > sim->capacity * 9 / 10) {
        (void)pop(sim, GHOST);
    }
}

static void s3fifo_evict_main(struct sim *sim)
{
    uint32_t key = pop(sim, MAIN);

    if (sim->frequency[key] != 0) {
        sim->frequency[key]--;
        push(sim, MAIN, key);
    }
}

static void s3fifo_evict(struct sim *sim)
{
    if (sim->bytes[SMALL] <= sim->capacity / 10 && sim->last[MAIN] != NONE) {
        s3fifo_evict_main(sim);
        return;
    }
    uint32_t key = pop(sim, SMALL);
    if (sim->frequency[key] >= 2) {
        sim->frequency[key] = 0;
        push(sim, MAIN, key);
    } else {
        s3fifo_ghost(sim, key);
    }
}

double policy_s3fifo(const struct policy_trace *trace, uint64_t capacity_bytes)
{
    struct sim sim;

    sim_init(&sim, trace, capacity_bytes);
    for (uint32_t i = 0; i < trace->request_count; i++) {
        uint32_t key = trace->keys[i];
        if (sim.queue[key] == SMALL || sim.queue[key] == MAIN) {
            hit(&sim, key);
            continue;
        }
        sim.misses++;
        if (!fits(&sim, key)) {
            continue;
        }
        bool is_ghost = sim.queue[key] == GHOST;
        if (is_ghost) {
            pull(&sim, key);
        }
        while (sim.bytes[SMALL] + sim.bytes[MAIN] + trace->bytes[key] > capacity_bytes) {
            s3fifo_evict(&sim);
        }
        sim.frequency[key] = 0;
        push(&sim, is_ghost ? MAIN : SMALL, key);
    }
    return sim_fini(&sim);
}

/* ---- that of the cache ---------------------------------------------------------------------- */

/*
 * As an index would be made: a bucket for about six items, and ghosts for as many as are wanted, by
 * the mean size of what is asked for.
 */
static void hand_init(struct sim *sim, const struct policy_choice *choice)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < sim->trace->request_count; i++) {
        bytes += sim->trace->bytes[sim->trace->keys[i]];
    }
    uint64_t items = sim->capacity * sim->trace->request_count / bytes + 1;
    sim->choice = choice;
    sim->small_share = choice->small_percent / 100.0;
    sim->bucket_count = (uint32_t)(items / 6 + 1);
    sim->bucket_first = calloc(sim->bucket_count, sizeof(uint32_t));
    sim->is_second = calloc(sim->trace->key_count, 1);
    assert_non_null(sim->bucket_first);
    assert_non_null(sim->is_second);
    for (uint32_t i = 0; i < sim->bucket_count; i++) {
        sim->bucket_first[i] = NONE;
    }
    uint64_t buckets = items * choice->ghost_percent / 100 / CACHE_GHOSTS_PER_BUCKET + 1;
    sim->ghosts = aligned_alloc(64, cache_ghost_table_bytes(buckets));
    assert_non_null(sim->ghosts);
    memset(sim->ghosts, 0, cache_ghost_table_bytes(buckets));
    sim->ghosts->bucket_count = buckets;
}

static uint64_t hash_of(uint32_t key)
{
    uint64_t seed = key;

    return random_u64(&seed);
}

static uint32_t bucket_of(const struct sim *sim, uint32_t key)
{
    return (uint32_t)((hash_of(key) >> 32) * sim->bucket_count >> 32);
}

/* The frequency with which a key begins in the main queue. */
static uint32_t first_frequency(const struct sim *sim, uint32_t bucket)
{
    uint32_t wanted = sim->choice->main_first;
    uint32_t ahead = (bucket + sim->bucket_count - sim->hand) % sim->bucket_count;

    return wanted != POLICY_BY_HAND ? wanted : ahead < sim->bucket_count / 2 ? 1 : 0;
}

static void hand_enter(struct sim *sim, uint32_t key, bool is_proved)
{
    uint32_t bucket = bucket_of(sim, key);

    sim->queue[key] = MAIN;
    sim->bytes[MAIN] += sim->trace->bytes[key];
    sim->frequency[key] = is_proved ? (uint8_t)first_frequency(sim, bucket) : 0;
    sim->next[key] = sim->bucket_first[bucket];
    sim->bucket_first[bucket] = key;
}

/* One bucket of the main queue: each item there loses a frequency, or goes. */
static void hand_turn(struct sim *sim)
{
    uint32_t *at = &sim->bucket_first[sim->hand];

    while (*at != NONE) {
        uint32_t key = *at;
        if (sim->frequency[key] != 0) {
            sim->frequency[key]--;
            at = &sim->next[key];
        } else {
            *at = sim->next[key];
            sim->queue[key] = NOWHERE;
            sim->bytes[MAIN] -= sim->trace->bytes[key];
            cache_ghost_note_main(sim->ghosts, hash_of(key));
        }
    }
    sim->hand = (sim->hand + 1) % sim->bucket_count;
}

static void hand_evict(struct sim *sim)
{
    if ((double)sim->bytes[SMALL] <= (double)sim->capacity * sim->small_share &&
        sim->bytes[MAIN] != 0) {
        hand_turn(sim);
        return;
    }
    uint32_t key = pop(sim, SMALL);
    if (sim->frequency[key] >= sim->choice->promoted_at) {
        hand_enter(sim, key, true);
    } else if (sim->choice->second_chance && sim->frequency[key] != 0 && !sim->is_second[key]) {
        sim->is_second[key] = 1;
        push(sim, SMALL, key);
    } else {
        cache_ghost_note(sim->ghosts, hash_of(key));
    }
}

/* While nothing is evicted, what is too much for the small queue goes to the main one untried. */
static void hand_fill(struct sim *sim)
{
    while (sim->bytes[SMALL] > (sim->bytes[SMALL] + sim->bytes[MAIN]) / 10) {
        hand_enter(sim, pop(sim, SMALL), false);
    }
}

/* A queue that has just lost what comes back should have been longer. */
static void share_follow(struct sim *sim, uint32_t key, enum cache_ghost ghost)
{
    double step = 4.0 * (double)sim->trace->bytes[key] / (double)sim->capacity;
    double least = sim->choice->small_percent / 200.0;
    double most = sim->choice->small_percent_max / 100.0;

    if (ghost == CACHE_GHOST_YOUNG) {
        sim->small_share = sim->small_share + step > most ? most : sim->small_share + step;
    } else if (ghost == CACHE_GHOST_OF_MAIN) {
        sim->small_share = sim->small_share - step < least ? least : sim->small_share - step;
    }
}

static void hand_miss(struct sim *sim, uint32_t key)
{
    bool is_full = false;

    while (sim->bytes[SMALL] + sim->bytes[MAIN] + sim->trace->bytes[key] > sim->capacity) {
        hand_evict(sim);
        is_full = true;
    }
    sim->is_full |= is_full;
    sim->frequency[key] = sim->is_second[key] = 0;
    enum cache_ghost ghost = cache_ghost_take(sim->ghosts, hash_of(key));
    if (sim->choice->small_percent_max != 0) {
        share_follow(sim, key, ghost);
    }
    if (ghost == CACHE_GHOST_OLD || ghost == CACHE_GHOST_YOUNG) {
        hand_enter(sim, key, true);
    } else {
        push(sim, SMALL, key);
    }
    if (!sim->is_full) {
        hand_fill(sim);
    }
}

double policy_hand(const struct policy_trace *trace, uint64_t capacity_bytes,
                   const struct policy_choice *choice)
{
    struct sim sim;

    sim_init(&sim, trace, capacity_bytes);
    hand_init(&sim, choice);
    for (uint32_t i = 0; i < trace->request_count; i++) {
        uint32_t key = trace->keys[i];
        if (sim.queue[key] != NOWHERE) {
            hit(&sim, key);
            continue;
        }
        sim.misses++;
        if (fits(&sim, key)) {
            hand_miss(&sim, key);
        }
    }
    return sim_fini(&sim);
}
