/*
 * Many reads of values that change all the time, each checked: a value says which key it belongs to
 * and how long it is, and has a checksum of the rest.
 *
 *   test_cache_reads           a few million
 *   test_cache_reads GETS      so many hits, with figures of how far it is on stderr
 *
 * Two readers and a writer, in a cache that holds two thirds of the keys: cells are retired, pages
 * emptied and items moved under the readers.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"

#include <base/base.h>

#include <quarry/cache.h>
#include <quarry/memory.h>

#define KEYS        75000u
#define VALUE_MAX   400u
#define READERS     2u
#define CACHE_BYTES Q_MIB(16)
/* Hits between two looks at how many all have. */
#define SHARE 10000u
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define GETS 300000u
#else
#define GETS 3000000u
#endif

static uint64_t gets_wanted = GETS;
static struct quarry_cache *cache;
static struct quarry_cache_tenant *tenant;
static _Atomic uint64_t hit_count, miss_count, wrong_count, set_count, refused_count;

struct stamp {
    uint64_t key;
    uint32_t byte_count, checksum;
};

static struct quarry_cache_key key_of(const uint64_t *n)
{
    return quarry_cache_key_make(tenant, n, sizeof(*n));
}

static bool is_over(void)
{
    return atomic_load_relaxed_u64(&hit_count) >= gets_wanted;
}

/* ---- writing -------------------------------------------------------------------------------- */

static void set(uint64_t n, uint64_t *random)
{
    static unsigned char bytes[VALUE_MAX];
    const struct quarry_cache_store_options options = {.mode = QUARRY_CACHE_SET};
    struct quarry_cache_key key = key_of(&n);
    uint64_t rolled = random_u64(random);
    struct stamp stamp = {
        .key = n,
        .byte_count = sizeof(stamp) + (uint32_t)(rolled % (VALUE_MAX - sizeof(stamp))),
    };

    memset(bytes + sizeof(stamp), (int)(rolled >> 32 & 0xff), stamp.byte_count - sizeof(stamp));
    stamp.checksum = crc32c_value(bytes + sizeof(stamp), stamp.byte_count - sizeof(stamp));
    memcpy(bytes, &stamp, sizeof(stamp));
    /* An assertion of cmocka's would jump out of a thread that is not its own. */
    bool is_stored = quarry_cache_store(tenant, &key, bytes, stamp.byte_count, &options, NULL) ==
                     QUARRY_CACHE_HIT;
    (void)atomic_add_relaxed_u64(is_stored ? &set_count : &refused_count, 1);
}

static void *write_until_over(void *argument)
{
    uint64_t random = 7;

    while (!is_over()) {
        uint64_t n = random_u64(&random) % KEYS;
        struct quarry_cache_key key = key_of(&n);
        if (random_u64(&random) % 32 == 0) {
            (void)quarry_cache_delete(tenant, &key, &(struct quarry_cache_delete_options){0});
        } else {
            set(n, &random);
        }
    }
    return argument;
}

/* ---- reading -------------------------------------------------------------------------------- */

static bool is_right(const struct quarry_cache_hit *hit, uint64_t n)
{
    struct quarry_cache_piece piece;
    struct stamp stamp;

    if (quarry_cache_pieces(cache, hit, 0, &piece, 1) != 1 ||
        piece.byte_count != hit->value_bytes || piece.byte_count < sizeof(stamp)) {
        return false;
    }
    const unsigned char *bytes = piece.bytes;
    memcpy(&stamp, bytes, sizeof(stamp));
    return stamp.key == n && stamp.byte_count == piece.byte_count &&
           stamp.checksum == crc32c_value(bytes + sizeof(stamp), piece.byte_count - sizeof(stamp));
}

/* Returns: how many hits there were among SHARE gets. */
static uint64_t read_some(uint64_t *random)
{
    uint64_t hits = 0, wrong = 0;

    for (uint32_t i = 0; i < SHARE; i++) {
        uint64_t n = random_u64(random) % KEYS;
        struct quarry_cache_key key = key_of(&n);
        struct quarry_cache_hit hit;
        quarry_cache_enter(cache);
        if (quarry_cache_get(tenant, &key, NULL, &hit) == QUARRY_CACHE_HIT) {
            hits++;
            wrong += !is_right(&hit, n);
        }
        quarry_cache_leave(cache);
    }
    (void)atomic_add_relaxed_u64(&wrong_count, wrong);
    (void)atomic_add_relaxed_u64(&miss_count, SHARE - hits);
    return hits;
}

static void *read_until_over(void *argument)
{
    uint64_t random = 1 + *(const uint32_t *)argument;

    while (!is_over()) {
        uint64_t hits = read_some(&random);
        uint64_t before = atomic_add_relaxed_u64(&hit_count, hits);
        if (before / 100000000u != (before + hits) / 100000000u) {
            fprintf(stderr, "%llu of %llu gets, %llu wrong\n", (unsigned long long)(before + hits),
                    (unsigned long long)gets_wanted,
                    (unsigned long long)atomic_load_relaxed_u64(&wrong_count));
        }
    }
    return argument;
}

/* ---- the test ------------------------------------------------------------------------------- */

static void every_read_is_of_a_value_that_was_stored(void **state)
{
    const struct quarry_memory_options memory_options = {.limit_bytes = Q_MIB(128)};
    const struct quarry_cache_options options = {.size_bytes = CACHE_BYTES};
    struct quarry_memory *memory;
    struct quarry_error error = {0};
    pthread_t readers[READERS], writer;
    uint32_t seeds[READERS] = {11, 12};

    (void)state;
    assert_int_equal(quarry_memory_create(&memory_options, &memory, &error), QUARRY_OK);
    assert_int_equal(quarry_cache_create(memory, &options, &cache, &error), QUARRY_OK);
    tenant = quarry_cache_default_tenant(cache);
    assert_int_equal(pthread_create(&writer, NULL, write_until_over, NULL), 0);
    for (uint32_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, read_until_over, &seeds[i]), 0);
    }
    for (uint32_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    }
    assert_int_equal(pthread_join(writer, NULL), 0);
    print_message("%llu hits checked, %llu misses, %llu sets meanwhile\n",
                  (unsigned long long)hit_count, (unsigned long long)miss_count,
                  (unsigned long long)set_count);
    assert_int_equal(wrong_count, 0);
    assert_int_equal(refused_count, 0);
    assert_true(set_count > 0 && miss_count > 0);
    quarry_cache_close(cache);
    quarry_memory_destroy(memory);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_read_is_of_a_value_that_was_stored),
    };

    gets_wanted = argc > 1 ? strtoull(argv[1], NULL, 10) : gets_wanted;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
