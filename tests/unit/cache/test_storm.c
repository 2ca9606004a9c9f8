/*
 * Everything at once: readers, writers of every kind, evictions, moves, turns, walks, flushes, an
 * index that grows, tenants that come and go.
 *
 * Every value says which key it belongs to, how long it is, and has a sum over the rest; every
 * reader checks every value that it finds, at once and again after others had their turn. Threads
 * yield at random points.
 */
#include <cache/types.h>

#include "unit/cache/cache_rig.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/base/random.h"

#define THREADS  6u
#define KEYS     6000u
#define COUNTERS 4u
#define HITS_MIN 100u /* of each actor: a storm that reads nothing shows nothing */

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define STEPS 15000u
#else
#define STEPS 200000u
#endif

struct actor {
    pthread_t thread;
    uint64_t random;
    struct quarry_cache_tenant *tenant;
    uint64_t wrong, hits;
    uint64_t added[COUNTERS]; /* to each counter */
};

static struct actor actors[THREADS];
static _Atomic uint32_t ended_count;
static uint32_t step_count; /* of each actor */

static uint64_t roll(struct actor *actor, uint64_t sides)
{
    return random_u64(&actor->random) % sides;
}

static void maybe_yield(struct actor *actor)
{
    if (roll(actor, 32) == 0) {
        os_yield();
    }
}

/* ---- values --------------------------------------------------------------------------------- */

struct stamp {
    uint64_t key, byte_count, sum;
};

static uint64_t sum_of(const unsigned char *bytes, size_t byte_count, uint64_t sum)
{
    for (size_t i = 0; i < byte_count; i++) {
        sum = sum * 31 + bytes[i];
    }
    return sum;
}

static bool is_right(const struct quarry_cache_hit *hit, uint64_t key)
{
    struct quarry_cache_piece piece;
    struct stamp stamp = {0};
    uint64_t place = 0, sum = 0;

    while (quarry_cache_pieces(cache, hit, place, &piece, 1) == 1) {
        const unsigned char *bytes = piece.bytes;
        size_t skipped = 0;
        if (place == 0) {
            if (piece.byte_count < sizeof(stamp)) {
                return false;
            }
            memcpy(&stamp, bytes, sizeof(stamp));
            skipped = sizeof(stamp);
        }
        sum = sum_of(bytes + skipped, piece.byte_count - skipped, sum);
        place += piece.byte_count;
    }
    return place == hit->value_bytes && stamp.key == key && stamp.byte_count == place &&
           stamp.sum == sum;
}

static struct quarry_cache_key name_key(struct actor *actor, uint64_t n, char name[24])
{
    int length = snprintf(name, 24, "key-%llu", (unsigned long long)n);

    return quarry_cache_key_make(actor->tenant, name, (size_t)length);
}

static uint64_t roll_bytes(struct actor *actor)
{
    uint64_t kind = roll(actor, 200);

    return sizeof(struct stamp) + (kind == 0   ? roll(actor, 200000)
                                   : kind < 20 ? roll(actor, 6000)
                                               : roll(actor, 300));
}

static void put(struct actor *actor, uint64_t n)
{
    static _Thread_local unsigned char bytes[220000];
    char name[24];
    struct quarry_cache_key key = name_key(actor, n, name);
    struct stamp stamp = {.key = n, .byte_count = roll_bytes(actor)};
    struct quarry_cache_store_options options = {
        .mode = (enum quarry_cache_mode)roll(actor, 3),
        .client_flags = (uint32_t)roll(actor, 2),
        .expiry = roll(actor, 10) == 0 ? quarry_cache_now(cache) + (uint32_t)roll(actor, 4) : 0};

    for (size_t i = sizeof(stamp); i < stamp.byte_count; i++) {
        bytes[i] = (unsigned char)(n + i);
    }
    bytes[sizeof(stamp)] = (unsigned char)roll(actor, 256);
    stamp.sum = sum_of(bytes + sizeof(stamp), stamp.byte_count - sizeof(stamp), 0);
    memcpy(bytes, &stamp, sizeof(stamp));
    enum quarry_cache_outcome outcome =
        quarry_cache_store(actor->tenant, &key, bytes, stamp.byte_count, &options, NULL);
    actor->wrong += outcome == QUARRY_CACHE_EXISTS || outcome == QUARRY_CACHE_TOO_LARGE;
}

static void get(struct actor *actor, uint64_t n)
{
    char name[24];
    struct quarry_cache_key key = name_key(actor, n, name);
    struct quarry_cache_get_options options = {.touches = roll(actor, 20) == 0,
                                               .expiry = quarry_cache_now(cache) + 5,
                                               .recaches = roll(actor, 20) == 0,
                                               .recache_seconds = 3};
    struct quarry_cache_hit hit;

    quarry_cache_enter(cache);
    quarry_cache_prefetch(actor->tenant, &key);
    quarry_cache_prefetch_item(actor->tenant, &key);
    if (quarry_cache_get(actor->tenant, &key, &options, &hit) == QUARRY_CACHE_HIT) {
        actor->hits++;
        actor->wrong += !is_right(&hit, n);
        maybe_yield(actor);
        actor->wrong += !is_right(&hit, n);
        if (roll(actor, 8) == 0 && quarry_cache_pin(actor->tenant, &hit)) {
            quarry_cache_leave(cache);
            maybe_yield(actor);
            actor->wrong += !is_right(&hit, n);
            quarry_cache_unpin(actor->tenant, hit.ref);
            return;
        }
    }
    quarry_cache_leave(cache);
}

/* ---- the rest ------------------------------------------------------------------------------- */

static void change(struct actor *actor, uint64_t n)
{
    char name[24];
    struct quarry_cache_key key = name_key(actor, n, name);
    struct quarry_cache_delete_options options = {.invalidates = roll(actor, 3) == 0};

    if (roll(actor, 2) == 0) {
        (void)quarry_cache_touch(actor->tenant, &key, quarry_cache_now(cache) + 100);
    } else {
        (void)quarry_cache_delete(actor->tenant, &key, &options);
    }
}

/* Counters are pinned to their place by being asked for all the time; see the check at the end. */
static void add_to(struct actor *actor, uint64_t which)
{
    char name[24];
    struct quarry_cache_counted counted;
    struct quarry_cache_count_options options = {.delta = 1, .vivifies = true, .initial = 1};
    int length = snprintf(name, sizeof(name), "counter-%llu", (unsigned long long)which);
    struct quarry_cache_key key = quarry_cache_key_make(tenant, name, (size_t)length);

    if (quarry_cache_count(tenant, &key, &options, &counted) == QUARRY_CACHE_HIT) {
        actor->added[which]++;
    }
}

static void walk(struct actor *actor)
{
    struct quarry_cache_hit hits[16];
    uint64_t cursor = random_u64(&actor->random);

    quarry_cache_enter(cache);
    size_t count = quarry_cache_next(actor->tenant, &cursor, hits, COUNT_OF(hits));
    for (size_t i = 0; i < count; i++) {
        actor->wrong += hits[i].key_bytes < 4;
    }
    quarry_cache_leave(cache);
}

/* How often a key is found is up to evictions, flushes and the scheduler: who found little goes on. */
static bool goes_on(const struct actor *actor, uint32_t step)
{
    return step < step_count || (actor->hits < HITS_MIN && step < 20 * step_count);
}

static void *act(void *argument)
{
    struct actor *actor = argument;

    for (uint32_t step = 0; goes_on(actor, step); step++) {
        uint64_t kind = roll(actor, 100);
        uint64_t n = roll(actor, roll(actor, 2) == 0 ? 50 : KEYS);
        if (kind < 50) {
            get(actor, n);
        } else if (kind < 85) {
            put(actor, n);
        } else if (kind < 95) {
            change(actor, n);
        } else if (kind < 98) {
            add_to(actor, roll(actor, COUNTERS));
        } else {
            walk(actor);
        }
        maybe_yield(actor);
    }
    (void)atomic_add_release_u32(&ended_count, 1);
    return NULL;
}

/* Meanwhile: moves pages, turns, lets time pass, flushes, adds and removes a tenant. */
static void disturb(uint64_t round)
{
    struct quarry_slab_page page;
    uint64_t cursor = round % 7 * 3;

    if (quarry_slab_next_page(cache->slab, &cursor, &page)) {
        (void)quarry_slab_move_page(cache->slab, page.class_id, page.page, cache_item_move, cache);
    }
    for (int i = 0; i < 20; i++) {
        (void)quarry_cache_turn(cache);
    }
    if (round % 16 == 0) {
        quarry_cache_shift_clock(cache, 1);
    }
    if (round % 64 == 63) {
        quarry_cache_flush(actors[1].tenant, 0);
    }
    if (round % 8 == 0) {
        struct quarry_cache_tenant *passing = NULL;
        struct quarry_cache_tenant_options options = {.name = "passing"};
        struct quarry_cache_tenant_stats stats;
        enum quarry_status status = quarry_cache_add_tenant(cache, &options, &passing, NULL);
        if (status == QUARRY_NO_MEMORY) { /* what is free others have taken meanwhile */
            return;
        }
        assert_int_equal(status, QUARRY_OK);
        struct quarry_cache_key key = quarry_cache_key_make(passing, "a", 1);
        enum quarry_cache_outcome outcome = quarry_cache_store(
            passing, &key, "x", 1, &(struct quarry_cache_store_options){0}, NULL);
        quarry_cache_read_tenant(passing, &stats);
        assert_true(stats.item_count <= 1 && stats.set_count == (outcome == QUARRY_CACHE_HIT));
        quarry_cache_remove_tenant(passing);
    }
}

static void storm(uint64_t size_bytes, bool has_no_thread, uint32_t steps)
{
    struct quarry_cache_tenant *second = NULL;
    struct quarry_cache_tenant_options options = {.name = "second"};
    uint64_t wrong = 0, hits = 0, round = 0;

    cache_begin(
        &(struct quarry_cache_options){.size_bytes = size_bytes, .has_no_thread = has_no_thread});
    assert_int_equal(quarry_cache_add_tenant(cache, &options, &second, NULL), QUARRY_OK);
    atomic_store_relaxed_u32(&ended_count, 0);
    step_count = steps;
    memset(actors, 0, sizeof(actors));
    for (uint32_t i = 0; i < THREADS; i++) {
        actors[i].random = i * 7919 + 17;
        actors[i].tenant = i % 3 == 1 ? second : tenant;
        assert_int_equal(pthread_create(&actors[i].thread, NULL, act, &actors[i]), 0);
    }
    for (; atomic_load_acquire_u32(&ended_count) != THREADS; round++) {
        disturb(round);
        os_sleep_ns(200000);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        (void)pthread_join(actors[i].thread, NULL);
        wrong += actors[i].wrong;
        hits += actors[i].hits;
        assert_true(actors[i].hits >= HITS_MIN);
    }
    printf("%llu hits, %llu rounds of moving and turning, %llu evictions\n",
           (unsigned long long)hits, (unsigned long long)round,
           (unsigned long long)stats_now().evictions);
    assert_int_equal(wrong, 0);
}

static void nothing_wrong_is_ever_read_where_all_fits(void **state)
{
    (void)state;
    storm(Q_MIB(128), true, STEPS);
    for (uint32_t which = 0; which < COUNTERS; which++) {
        char name[24];
        uint64_t sum = 0;
        (void)snprintf(name, sizeof(name), "counter-%u", which);
        for (uint32_t i = 0; i < THREADS; i++) {
            sum += actors[i].added[which];
        }
        assert_int_equal(strtoull(value_of(name), NULL, 10), sum);
    }
    assert_int_equal(stats_now().evictions, 0);
    cache_end();
}

static void nothing_wrong_is_ever_read_where_little_fits(void **state)
{
    (void)state;
    storm(Q_MIB(4), false, STEPS / 10);
    cache_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_wrong_is_ever_read_where_all_fits),
        cmocka_unit_test(nothing_wrong_is_ever_read_where_little_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
