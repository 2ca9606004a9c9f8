/*
 * The loops that `quarry bench blocks` measures caches by, over a cache made for the test: whether
 * they do what they say, release what they hold, and notice wrong bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>

#include <cmocka.h>

#include <bench/blocks/cache_rows.h>

/* A cache that never evicts, and counts what is done to it. */
#define SLOTS 65536u

struct slot {
    struct bench_cache_key key;
    void *base;
};

static struct {
    pthread_mutex_t mutex;
    struct slot slot[SLOTS];
    long held;
    long inserts, erases, lookups;
    bool is_lying; /* gives out wrong bytes */
} cache = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static struct slot *find(struct bench_cache_key key)
{
    size_t at = (size_t)(key.file * 1000003 + key.offset / 4096) % SLOTS;

    while (cache.slot[at].key.file != 0 &&
           (cache.slot[at].key.file != key.file || cache.slot[at].key.offset != key.offset)) {
        at = (at + 1) % SLOTS;
    }
    return &cache.slot[at];
}

static void *create(const struct bench_cache_options *options)
{
    (void)options;
    memset(cache.slot, 0, sizeof cache.slot);
    cache.held = cache.inserts = cache.erases = cache.lookups = 0;
    return &cache;
}

static void destroy(void *context)
{
    (void)context;
    assert_int_equal(cache.held, 0);
    for (size_t i = 0; i < SLOTS; i++) {
        free(cache.slot[i].base);
    }
}

static struct bench_cache_hold lookup(void *context, struct bench_cache_key key)
{
    struct bench_cache_hold hold = {0};

    (void)context;
    (void)pthread_mutex_lock(&cache.mutex);
    hold.base = find(key)->base;
    cache.held += hold.base != NULL;
    cache.lookups++;
    (void)pthread_mutex_unlock(&cache.mutex);
    return hold;
}

static struct bench_cache_hold alloc(void *context, size_t bytes)
{
    (void)context;
    void *base = malloc(bytes);
    assert_non_null(base);
    return (struct bench_cache_hold){.base = base};
}

/* The value that is there already stays: whoever holds it may be reading it. */
static struct bench_cache_hold insert(void *context, struct bench_cache_key key,
                                      struct bench_cache_hold value, size_t bytes)
{
    (void)context;
    assert_int_equal(bytes, BENCH_CACHE_VALUE_BYTES);
    (void)pthread_mutex_lock(&cache.mutex);
    struct slot *slot = find(key);
    if (slot->base == NULL) {
        *slot = (struct slot){key, value.base};
        if (cache.is_lying) {
            ((char *)value.base)[BENCH_CACHE_VALUE_BYTES - 1] ^= 1;
        }
    } else {
        free(value.base);
        value.base = slot->base;
    }
    cache.held++;
    cache.inserts++;
    (void)pthread_mutex_unlock(&cache.mutex);
    return value;
}

static void release(void *context, struct bench_cache_hold hold)
{
    (void)context;
    assert_non_null(hold.base);
    (void)pthread_mutex_lock(&cache.mutex);
    cache.held--;
    (void)pthread_mutex_unlock(&cache.mutex);
}

static void erase(void *context, struct bench_cache_key key)
{
    (void)context;
    (void)key;
    (void)pthread_mutex_lock(&cache.mutex);
    cache.erases++;
    (void)pthread_mutex_unlock(&cache.mutex);
}

static struct bench_cache_hold get_or_load(void *context, struct bench_cache_key key, size_t bytes,
                                           void (*load)(void *context, void *base),
                                           void *load_context)
{
    struct bench_cache_hold hold = {0};

    (void)pthread_mutex_lock(&cache.mutex);
    struct slot *slot = find(key);
    if (slot->base == NULL) {
        hold = alloc(context, bytes);
        load(load_context, hold.base);
        *slot = (struct slot){key, hold.base};
    }
    hold.base = slot->base;
    cache.held++;
    (void)pthread_mutex_unlock(&cache.mutex);
    return hold;
}

static const struct bench_cache_driver driver = {
    .name = "test",
    .create = create,
    .destroy = destroy,
    .lookup = lookup,
    .alloc = alloc,
    .insert = insert,
    .release = release,
    .erase = erase,
    .get_or_load = get_or_load,
};

/* Runs a row of the child's command line. Returns: its exit code. */
static int run(const char *row, const char *steps)
{
    char words[3][32];
    char *argv[] = {words[0], words[1], words[2], NULL};

    (void)snprintf(words[0], sizeof words[0], "%s", row);
    (void)snprintf(words[1], sizeof words[1], "%s", steps);
    (void)snprintf(words[2], sizeof words[2], "1");
    return bench_cache_child(&driver, 3, argv);
}

static void a_mix_is_of_lookups_inserts_and_erasures(void **state)
{
    (void)state;
    assert_int_equal(run("cache_bench_lean_2t", "20000"), 0);
    /* 40,000 operations of two threads: 1 % are erasures. */
    assert_true(cache.erases > 300 && cache.erases < 500);
    /* 97 % look up, and those before them that fill the cache. */
    assert_true(cache.lookups > 38000);
    assert_true(cache.inserts > 800);
}

static void what_is_put_in_is_what_hits_must_find(void **state)
{
    (void)state;
    assert_int_equal(run("cache_bench_2t", "5000"), 0);
    assert_int_equal(run("hit_512kib", "5000"), 0);
    assert_int_equal(run("insert_evict", "5000"), 0);
}

static void a_cache_that_gives_other_bytes_fails_its_row(void **state)
{
    (void)state;
    cache.is_lying = true;
    assert_int_equal(run("cache_bench_1t", "5000"), 1);
    cache.is_lying = false;
}

static void a_storm_waits_for_the_one_who_loads(void **state)
{
    (void)state;
    assert_int_equal(run("single_flight", "50"), 0);
}

static void every_row_is_found_and_no_other(void **state)
{
    (void)state;
    size_t count = 0;
    const struct bench_cache_row *rows = bench_cache_rows(&count);

    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(bench_cache_row_find(rows[i].name), &rows[i]);
        assert_true(rows[i].quick_steps <= rows[i].full_steps);
    }
    assert_int_equal(run("no_such_row", "1"), 2);
    assert_int_equal(run("hit_512kib", "0"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mix_is_of_lookups_inserts_and_erasures),
        cmocka_unit_test(what_is_put_in_is_what_hits_must_find),
        cmocka_unit_test(a_cache_that_gives_other_bytes_fails_its_row),
        cmocka_unit_test(a_storm_waits_for_the_one_who_loads),
        cmocka_unit_test(every_row_is_found_and_no_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
