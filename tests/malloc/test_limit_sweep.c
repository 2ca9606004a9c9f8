/*
 * Every allocation may fail: a workload of all of malloc's doors in three threads, under every
 * limit from none at all to what the workload needs.
 *
 * Each limit has a process of its own, which starts under it: what the C library allocates before
 * main may fail as well. The workload runs three times; whatever was refused it passes over, what
 * it got it checks. Then the limit is lifted in the same process, and everything must be had; and
 * in the end nothing may be left in use but what a process has from the beginning.
 */
#include "process_memory.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OBJECTS 300u
#define THREADS 2u
#define ROUNDS  3u
/* The parent asks for the peak under this limit. */
#define AMPLE_BYTES (256 * MIB)
/* Objects of start-up, a page for each size that was ever used, for each of the threads' pools. */
#define LEFT_BYTES_MAX (1 * MIB)

static bool may_fail;

static bool is_refused(const void *object)
{
    if (object == NULL) {
        MUST(may_fail);
        MUST(errno == ENOMEM);
    }
    return object == NULL;
}

static size_t size_of(unsigned index)
{
    return index % 50 == 49 ? (size_t)index * 1500 : 16 + (size_t)index * 131 % 5000;
}

static void *allocate(unsigned index)
{
    size_t bytes = size_of(index);
    void *object = NULL;

    errno = 0;
    switch (index % 5) {
    case 0:
        object = opaque(calloc(bytes / 8 + 1, 8));
        if (object != NULL)
            must_be_zero(object, bytes);
        break;
    case 1:
        object = opaque(memalign(256, bytes));
        break;
    case 2:
        errno = posix_memalign(&object, 64, bytes);
        break;
    default:
        object = opaque(malloc(bytes));
    }
    if (is_refused(object))
        return NULL;
    pattern_fill(object, bytes, index);
    return object;
}

/* Twice as large and back, as far as that goes. */
static void *resize(void *object, unsigned index)
{
    size_t bytes = size_of(index);

    errno = 0;
    void *moved = opaque(realloc(object, 2 * bytes));
    if (is_refused(moved))
        return object;
    pattern_check_prefix(moved, bytes, index);
    errno = 0;
    object = opaque(realloc(moved, bytes));
    return is_refused(object) ? moved : object;
}

static void *work(void *argument)
{
    void *objects[OBJECTS];

    (void)argument;
    for (unsigned i = 0; i < OBJECTS; i++)
        objects[i] = allocate(i);
    for (unsigned i = 0; i < OBJECTS; i += 3) {
        if (objects[i] != NULL)
            objects[i] = resize(objects[i], i);
    }
    for (unsigned i = 0; i < OBJECTS; i++) {
        if (objects[i] != NULL) {
            pattern_check_prefix(objects[i], size_of(i), i);
            free(objects[i]);
        }
    }
    return NULL;
}

static void run_round(void)
{
    pthread_t thread[THREADS];
    bool is_started[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        is_started[i] = pthread_create(&thread[i], NULL, work, NULL) == 0;
        MUST(is_started[i] || may_fail);
    }
    (void)work(NULL);
    for (unsigned i = 0; i < THREADS; i++) {
        if (is_started[i])
            MUST(pthread_join(thread[i], NULL) == 0);
    }
}

/* ---- a process under one limit -------------------------------------------------------------- */

static void check_what_is_left(struct quarry_memory *memory)
{
    struct quarry_error error = {0};
    struct quarry_ledger totals;

    (void)malloc_trim(0);
    MUST(QUARRY(memory_validate)(memory, &error) == QUARRY_OK);
    (void)QUARRY(memory_ledger)(memory, &totals, NULL, 0);
    MUST(totals.committed_bytes <= totals.limit_bytes);
    MUST(totals.in_use_bytes <= LEFT_BYTES_MAX);
}

static int live_under_the_limit(void)
{
    char line[64];

    may_fail = true;
    for (unsigned i = 0; i < ROUNDS; i++)
        run_round();
    struct quarry_memory *memory = QUARRY(process_memory)();
    if (memory == NULL) /* a limit that no heap can be made in: everything was refused */
        return 0;
    struct quarry_ledger totals;
    (void)QUARRY(memory_ledger)(memory, &totals, NULL, 0);
    uint64_t peak_bytes = totals.peak_bytes;
    MUST(peak_bytes <= totals.limit_bytes);
    check_what_is_left(memory);
    MUST(QUARRY(memory_set_limit)(memory, AMPLE_BYTES) == QUARRY_OK);
    may_fail = false;
    run_round();
    check_what_is_left(memory);
    int length = snprintf(line, sizeof line, "peak %llu\n", (unsigned long long)peak_bytes);
    MUST(write(STDERR_FILENO, line, (size_t)length) == length);
    return 0;
}

/* ---- all limits ----------------------------------------------------------------------------- */

/* Returns the peak, 0 where there was no heap. */
static size_t run_under(size_t limit_bytes)
{
    static struct child child;
    char setting[64];
    const char *const settings[] = {setting, NULL};

    (void)snprintf(setting, sizeof setting, "QUARRY_MALLOC=limit=%zu", limit_bytes);
    child_run_anew("live", settings, &child);
    if (child.status != 0)
        fail_msg("limit %zu: status 0x%x: %s", limit_bytes, (unsigned)child.status, child.errors);
    const char *peak = strstr(child.errors, "peak ");
    return peak == NULL ? 0 : strtoul(peak + 5, NULL, 10);
}

static void a_process_survives_every_limit_up_to_its_peak(void **state)
{
    unsigned run_count = 0, heap_count = 0;

    (void)state;
    QUARRY_ONLY();
    size_t peak_bytes = run_under(AMPLE_BYTES);
    assert_true(peak_bytes > MIB && peak_bytes < AMPLE_BYTES / 4);
    /* Finely where the heap is made, then by a step that is no power of two. */
    for (size_t limit_bytes = 4096; limit_bytes <= peak_bytes; run_count++) {
        heap_count += run_under(limit_bytes) > 0;
        limit_bytes += limit_bytes < MIB ? 2 * 4096 : 23 * 4096;
    }
    assert_true(heap_count > run_count / 2);
    print_message("%u limits up to %zu KiB, a heap under %u\n", run_count, peak_bytes / KIB,
                  heap_count);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_survives_every_limit_up_to_its_peak),
    };

    if (argc > 1 && strcmp(argv[1], "live") == 0)
        return live_under_the_limit();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
