/*
 * Sizes that change all at once, on real memory: values of 1 MiB, then of 64 bytes, then of 500 KB.
 * No set fails, and none does much of what others need.
 *
 *   test_cache_torture         small, and counts the work
 *   test_cache_torture long    larger, and times it, on a quiet machine
 *
 * What a set costs here is all but the copying of its value: the cell that it takes, eviction,
 * pages that it empties, and entering the index.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "unit/base/cmocka_all.h"

#include <cache/policy.h>
#include <cache/policy_parts.h>

#include "unit/base/rounds.h"

#define VALUE_MAX   Q_MIB(1)
#define WRITERS_MAX 2u
#define SAMPLES_MAX 2000000u
#define LIMIT_NS    200000u
#define TIMED_EVERY 16u
#define SIZES_SHORT 3u
#define SHORT_BYTES ROUNDS(Q_MIB(24), Q_MIB(8))

/* ---- samples -------------------------------------------------------------------------------- */

struct samples {
    uint32_t *ns;
    uint64_t count;
    uint64_t above_count; /* LIMIT_NS */
};

static void sample_add(struct samples *samples, uint64_t ns)
{
    if (samples->ns != NULL && samples->count < SAMPLES_MAX) {
        samples->ns[samples->count] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
    }
    samples->count++;
    samples->above_count += ns > LIMIT_NS;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void samples_print(struct samples *samples, const char *what)
{
    uint64_t count = samples->count < SAMPLES_MAX ? samples->count : SAMPLES_MAX;

    if (samples->ns == NULL || count == 0) {
        return;
    }
    qsort(samples->ns, count, sizeof(samples->ns[0]), compare);
    printf("  %-12s %8llu  p50 %7.1f  p99 %7.1f  p99.9 %7.1f  worst %7.1f us, above 200: %llu\n",
           what, (unsigned long long)samples->count, samples->ns[count / 2] / 1e3,
           samples->ns[count * 99 / 100] / 1e3, samples->ns[count * 999 / 1000] / 1e3,
           samples->ns[count - 1] / 1e3, (unsigned long long)samples->above_count);
}

/* ---- the cache ------------------------------------------------------------------------------ */

static struct quarry_memory *memory;
static struct quarry_cache *cache;
static struct quarry_cache_tenant *tenant;
static bool is_long;
static uint64_t cache_bytes;
static char *value;

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The clock is a system call: sets that are many are timed one in some. */
static _Thread_local bool is_timed;

static uint64_t cpu_ns(void)
{
    return !is_timed ? 0 : clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* Of this process: others may run the same test. */
static char file_path[64];
static bool has_thread; /* the cache's own takes the turns; else one of ours, which times them */

static void begin(bool has_file)
{
    const struct quarry_memory_options memory_options = {.limit_bytes = Q_MIB(512)};
    const struct quarry_cache_options options = {
        .size_bytes = cache_bytes,
        .value_bytes_max = Q_MIB(2),
        .has_no_thread = !has_thread,
        .file_path = has_file ? file_path : NULL,
    };
    struct quarry_error error = {0};

    assert_int_equal(quarry_memory_create(&memory_options, &memory, &error), QUARRY_OK);
    if (quarry_cache_create(memory, &options, &cache, &error) != QUARRY_OK) {
        fail_msg("quarry_cache_create: %s", error.text);
    }
    tenant = quarry_cache_default_tenant(cache);
    value = calloc(1, VALUE_MAX);
    assert_non_null(value);
}

static void end(void)
{
    struct quarry_error error = {0};

    assert_true(atomic_load_relaxed_u32(&cache->policy->work_max) <= CACHE_TURN_WORK);
    assert_int_equal(atomic_load_relaxed_u32(&cache->policy->need.waiting_count), 0);
    if (quarry_cache_validate(cache, &error) != QUARRY_OK) {
        fail_msg("validate: %s", error.text);
    }
    quarry_cache_close(cache);
    quarry_memory_destroy(memory);
    free(value);
    (void)remove(file_path);
}

/* ---- writers, a reader, and who takes the turns ---------------------------------------------- */

struct writer {
    pthread_t thread;
    uint64_t first, count, refused_count;
    size_t bytes;
    struct samples cpu, wall;
};

/* Stores a value. Returns: CPU beside its copying; UINT64_MAX: refused. */
static uint64_t store(uint64_t n, size_t bytes, uint64_t *ret_wall_ns)
{
    const struct quarry_cache_store_options options = {0};
    char name[32];
    int length = snprintf(name, sizeof(name), "key-%llu", (unsigned long long)n);
    struct quarry_cache_key key = quarry_cache_key_make(tenant, name, (size_t)length);
    struct quarry_cache_write write;
    uint64_t copying_ns = 0, wall_ns = clock_ns(CLOCK_MONOTONIC), begin_ns = cpu_ns();
    size_t room_bytes = 0, at = 0;
    char *room;

    if (quarry_cache_write_begin(tenant, &key, bytes, &options, &write) != QUARRY_CACHE_HIT) {
        return UINT64_MAX;
    }
    while ((room = quarry_cache_write_room(&write, &room_bytes)) != NULL) {
        uint64_t copy_ns = cpu_ns();
        memcpy(room, value + at, room_bytes);
        copying_ns += cpu_ns() - copy_ns;
        at += room_bytes;
        quarry_cache_write_filled(&write, room_bytes);
    }
    if (at != bytes) {
        quarry_cache_write_abort(&write);
        return UINT64_MAX;
    }
    if (quarry_cache_write_commit(&write, &options, NULL) != QUARRY_CACHE_HIT) {
        return UINT64_MAX;
    }
    *ret_wall_ns = clock_ns(CLOCK_MONOTONIC) - wall_ns;
    return cpu_ns() - begin_ns - copying_ns;
}

static void *write_run(void *argument)
{
    struct writer *writer = argument;

    for (uint64_t i = 0; i < writer->count; i++) {
        is_timed = writer->bytes > 4096 || i % TIMED_EVERY == 0;
        uint64_t wall_ns = 0, ns = store(writer->first + i, writer->bytes, &wall_ns);
        if (ns == UINT64_MAX) {
            writer->refused_count++;
        } else if (is_timed) {
            sample_add(&writer->cpu, ns);
            sample_add(&writer->wall, wall_ns);
        }
    }
    return NULL;
}

static _Atomic uint32_t is_over;
static struct samples turns;

static void *turn_run(void *argument)
{
    (void)argument;
    is_timed = is_long;
    while (!has_thread && atomic_load_relaxed_u32(&is_over) == 0) {
        uint64_t ns = cpu_ns();
        bool is_more = quarry_cache_turn(cache);
        sample_add(&turns, cpu_ns() - ns);
        if (!is_more) {
            const struct timespec rest = {.tv_nsec = 20000};
            (void)nanosleep(&rest, NULL);
        }
    }
    return NULL;
}

static void samples_begin(struct samples *samples)
{
    *samples = (struct samples){.ns = is_long ? calloc(SAMPLES_MAX, sizeof(uint32_t)) : NULL};
}

static void samples_end(struct samples *samples, const char *what)
{
    samples_print(samples, what);
    free(samples->ns);
}

/* Writers store so many values of a size together, while another thread takes turns. */
static void phase(uint32_t writer_count, size_t bytes, uint64_t count)
{
    struct writer writer[WRITERS_MAX];
    pthread_t turner;
    uint64_t began_ns = clock_ns(CLOCK_MONOTONIC);

    atomic_store_relaxed_u32(&is_over, 0);
    samples_begin(&turns);
    assert_int_equal(pthread_create(&turner, NULL, turn_run, NULL), 0);
    for (uint32_t i = 0; i < writer_count; i++) {
        writer[i] = (struct writer){
            .first = bytes * 10000000 + i * count, .count = count / writer_count, .bytes = bytes};
        samples_begin(&writer[i].cpu);
        samples_begin(&writer[i].wall);
        assert_int_equal(pthread_create(&writer[i].thread, NULL, write_run, &writer[i]), 0);
    }
    for (uint32_t i = 0; i < writer_count; i++) {
        assert_int_equal(pthread_join(writer[i].thread, NULL), 0);
    }
    atomic_store_relaxed_u32(&is_over, 1);
    assert_int_equal(pthread_join(turner, NULL), 0);
    if (is_long) {
        printf("%zu bytes, %u writers: %.0f MB/s\n", bytes, writer_count,
               (double)(count * bytes) * 1e3 / (double)(clock_ns(CLOCK_MONOTONIC) - began_ns));
    }
    uint64_t refused = 0;
    for (uint32_t i = 0; i < writer_count; i++) {
        refused += writer[i].refused_count;
        samples_end(&writer[i].cpu, "set, CPU");
        samples_end(&writer[i].wall, "set, wall");
    }
    samples_end(&turns, "turn, CPU");
    assert_int_equal(refused, 0);
}

static void torture(uint32_t writer_count, bool has_file)
{
    if (is_long) {
        printf("%u writers, %s\n", writer_count, has_file ? "in a file" : "in memory");
    }
    static const size_t sizes[] = {1000000, 64, 500000, 64, 1000000, 3000, 500000};

    begin(has_file);
    for (uint32_t i = 0; i < (is_long ? sizeof(sizes) / sizeof(sizes[0]) : SIZES_SHORT); i++) {
        phase(writer_count, sizes[i], ROUNDS(2, 1) * cache_bytes / (sizes[i] + 60));
    }
    end();
}

static void one_writer_is_never_refused(void **state)
{
    (void)state;
    has_thread = true;
    torture(1, false);
}

static void two_writers_are_never_refused(void **state)
{
    (void)state;
    has_thread = true;
    torture(2, false);
    has_thread = false;
    torture(2, false);
}

static void with_a_file_nobody_is_refused(void **state)
{
    (void)state;
    has_thread = true;
    torture(2, true);
    has_thread = false;
    torture(2, true);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_writer_is_never_refused),
        cmocka_unit_test(two_writers_are_never_refused),
        cmocka_unit_test(with_a_file_nobody_is_refused),
    };

    (void)snprintf(file_path, sizeof(file_path), "/dev/shm/quarry-test-torture-%d.cache",
                   (int)getpid());
    cache_bytes = SHORT_BYTES;
    is_long = argc > 1 && strcmp(argv[1], "long") == 0;
    if (is_long) {
        cache_bytes = Q_MIB(96);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
