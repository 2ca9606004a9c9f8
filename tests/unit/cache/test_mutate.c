/*
 * Files of a cache that were damaged: opened, they are a cache, cold or with what is still whole of
 * it, or are refused. Never more than that.
 *
 *     test_cache_mutate [COUNT [SECONDS [SEED]]]
 *
 * COUNT files, and then more for SECONDS. Each is a good one with a few bytes changed: mostly where
 * structures are, for in values every change is a good value.
 */
#include "unit/cache/warm_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "unit/base/random.h"

#define ITEMS       200u
#define HEADER      65536u
#define PAGE        8192u
#define TEMPLATES   2u
#define CHANGES_MAX 8u

static struct template
{
    char *bytes;
    size_t byte_count;
}
templates[TEMPLATES];

static uint64_t count = 3000, seconds, seed = 1;
static uint64_t done, refused_count, cold_count, warm_count, kept_count;

/* ---- good files ----------------------------------------------------------------------------- */

static const char *key_of(uint32_t i)
{
    static char text[32];

    (void)snprintf(text, sizeof(text), "key-%u", i);
    return text;
}

/* The file as it is, without the hole at its end. */
static struct template template_make(void)
{
    struct template made;

    made.bytes = warm_read_file(&made.byte_count);
    while (made.byte_count > HEADER + PAGE && made.bytes[made.byte_count - 1] == '\0') {
        made.byte_count--;
    }
    made.byte_count = (made.byte_count + PAGE - 1) / PAGE * PAGE;
    return made;
}

static void templates_make(void)
{
    struct quarry_cache_tenant_options options = {.name = "acme"};
    struct quarry_cache_tenant *acme;
    struct quarry_error error = {0};

    warm_open();
    assert_int_equal(quarry_cache_add_tenant(cache, &options, &acme, &error), QUARRY_OK);
    for (uint32_t i = 0; i < ITEMS; i++) {
        warm_put(i % 2 == 0 ? tenant : acme, key_of(i), i % 4 * 90, i);
    }
    for (uint32_t i = 0; i < ITEMS; i += 5) {
        warm_delete(i % 2 == 0 ? tenant : acme, key_of(i));
    }
    warm_put(tenant, "large-1", 70000, 1);
    warm_put(acme, "large-2", 140000, 2);
    templates[0] = template_make();
    warm_close();
    templates[1] = template_make();
}

/* ---- changes -------------------------------------------------------------------------------- */

static uint64_t word_choose(uint64_t *random)
{
    static const uint64_t words[] = {0,        1,          0x7f,       0xff,     0xffff,
                                     0x8000,   UINT32_MAX, UINT64_MAX, 1u << 18, 3u << 18,
                                     1u << 26, 1u << 31,   4096,       1u << 20, UINT64_MAX / 2};

    return random_u64(random) % 3 == 0 ? random_width_u64(random)
                                       : words[random_u64(random) % (sizeof(words) / 8)];
}

/* Somewhere in the file: mostly in its head, tables, and beginnings of cells. */
static size_t place_choose(const struct template *of, uint64_t *random)
{
    size_t lane = of->byte_count - HEADER, place;

    switch (random_u64(random) % 8) {
    case 0:
        return random_u64(random) % 64;
    case 1:
        return HEADER + random_u64(random) % 256;
    case 2:
        return HEADER + 1024 + random_u64(random) % 64;
    case 3:
        return HEADER + 3072 + random_u64(random) % 64;
    case 4: /* what is near the beginning of a page of the lane */
        place = random_u64(random) % (lane / PAGE) * PAGE + random_u64(random) % 64;
        break;
    case 5: /* and of one of the first */
        place = random_u64(random) % 16 * PAGE + random_u64(random) % 2048;
        break;
    default:
        place = random_u64(random) % lane;
    }
    return HEADER + (place < lane ? place : 0);
}

static void change(char *bytes, const struct template *of, uint64_t *random)
{
    size_t place = place_choose(of, random), other = place_choose(of, random);
    size_t length = (size_t)1 << random_u64(random) % 4;
    uint64_t word = word_choose(random);

    place -= place + 4096 > of->byte_count ? 4096 : 0;
    other -= other + 4096 > of->byte_count ? 4096 : 0;
    switch (random_u64(random) % 8) {
    case 0:
    case 1:
        bytes[place] = (char)(bytes[place] ^ 1 << random_u64(random) % 8);
        break;
    case 2:
        memset(bytes + place / 512 * 512, 0, 512);
        break;
    case 3:
        memmove(bytes + place / 64 * 64, bytes + other / 64 * 64, 64);
        break;
    case 4:
        memmove(bytes + place / 8 * 8, bytes + other / 8 * 8, 8);
        break;
    default:
        memcpy(bytes + place / length * length, &word, length);
    }
}

/* A good file, changed; its length as well, now and then. Returns: its bytes. */
static size_t file_damage(char *bytes, const struct template *of, uint64_t *random)
{
    uint64_t changes = 1 + random_u64(random) % CHANGES_MAX;

    memcpy(bytes, of->bytes, of->byte_count);
    for (uint64_t i = 0; i < changes; i++) {
        change(bytes, of, random);
    }
    return random_u64(random) % 32 == 0 ? random_u64(random) % of->byte_count : of->byte_count;
}

/* ---- what becomes of them ------------------------------------------------------------------- */

/* All that a cache does is done with what was found. */
static void cache_use(uint64_t *random)
{
    struct quarry_cache_tenant_options options = {.name = "acme"};
    struct quarry_cache_tenant *acme;
    struct quarry_cache_hit hit;
    struct quarry_error error = {0};

    warm_validate();
    assert_int_equal(quarry_cache_add_tenant(cache, &options, &acme, &error), QUARRY_OK);
    for (uint32_t i = 0; i < ITEMS; i++) {
        kept_count += warm_get(i % 2 == 0 ? tenant : acme, key_of(i), &hit) == QUARRY_CACHE_HIT;
    }
    uint64_t first = random_u64(random) % ITEMS;
    for (uint64_t i = first; i < ITEMS && i < first + 20; i++) {
        warm_put(i % 2 == 0 ? acme : tenant, key_of((uint32_t)i), i * 11 % 400, i);
    }
    warm_put(tenant, "large-1", 90000, 3);
    (void)quarry_cache_turn(cache);
    quarry_cache_flush(tenant, 0);
    warm_put(tenant, "large-2", 65536, 3);
    warm_validate();
}

static void file_try(uint64_t *random)
{
    struct quarry_cache_options options = {.size_bytes = 8u << 20,
                                           .has_no_thread = true,
                                           .recovery_threads = 1,
                                           .file_path = warm_path};
    struct quarry_error error = {0};

    enum quarry_status status = quarry_cache_create(memory, &options, &cache, &error);
    if (status != QUARRY_OK) {
        cache = NULL;
        refused_count++;
        if (status != QUARRY_CORRUPT && status != QUARRY_NO_ADDRESS) {
            fail_msg("status %d: %s", (int)status, error.text);
        }
        return;
    }
    tenant = quarry_cache_default_tenant(cache);
    bool is_cold = warm_recovery().was_cold;
    cold_count += is_cold;
    warm_count += !is_cold;
    cache_use(random);
    quarry_cache_close(cache);
    cache = NULL;
}

static void damaged_files_are_a_cache_or_are_refused(void **state)
{
    struct quarry_memory_options options = {.limit_bytes = 64u << 20, .has_no_thread = true};
    struct quarry_error error = {0};
    time_t end;

    (void)state;
    templates_make();
    end = time(NULL) + (time_t)seconds;
    char *bytes = malloc(templates[0].byte_count + templates[1].byte_count);
    assert_non_null(bytes);
    assert_int_equal(quarry_memory_create(&options, &memory, &error), QUARRY_OK);
    for (; done < count || time(NULL) < end; done++) {
        uint64_t random = seed + done;
        const struct template *of = &templates[(seed + done) % TEMPLATES];
        (void)random_u64(&random);
        warm_write_file(bytes, file_damage(bytes, of, &random));
        file_try(&random);
    }
    quarry_memory_destroy(memory);
    memory = NULL;
    free(bytes);
    free(templates[0].bytes);
    free(templates[1].bytes);
    print_message("%llu damaged files: %llu refused, %llu cold, %llu warm with %llu items each\n",
                  (unsigned long long)done, (unsigned long long)refused_count,
                  (unsigned long long)cold_count, (unsigned long long)warm_count,
                  (unsigned long long)(kept_count / (warm_count + 1)));
    assert_true(done < 1000 || (refused_count != 0 && cold_count != 0 && warm_count != 0));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(damaged_files_are_a_cache_or_are_refused, warm_set_up,
                                        warm_tear_down),
    };

    count = argc > 1 ? strtoull(argv[1], NULL, 10) : count;
    seconds = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    seed = argc > 3 ? strtoull(argv[3], NULL, 10) : seed;
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    if (result != 0) {
        print_message("again: test_cache_mutate 1 0 %llu\n", (unsigned long long)(seed + done));
    }
    return result;
}
