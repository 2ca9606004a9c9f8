#include "heap_storm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/random.h"

/* ---- runs ----------------------------------------------------------------------------------- */

static uint64_t *last_word(char *base, uint64_t page_count)
{
    return (uint64_t *)(void *)(base + (page_count << PAGE_SHIFT)) - 1;
}

static void sign(char *base, uint64_t page_count)
{
    *(uint64_t *)(void *)base = (uintptr_t)base;
    *last_word(base, page_count) = (uintptr_t)base;
}

static void check_signature(char *base, uint64_t page_count)
{
    Q_ASSERT(*(uint64_t *)(void *)base == (uintptr_t)base);
    Q_ASSERT(*last_word(base, page_count) == (uintptr_t)base);
}

/* Mostly single pages, some short runs, few long ones. */
static uint64_t random_page_count(uint64_t *random)
{
    uint64_t kind = random_u64(random) % 100, width = random_u64(random);

    if (kind < 60) {
        return 1;
    }
    if (kind < 85) {
        return 2 + width % 14;
    }
    return kind < 96 ? 16 + width % 100 : 400 + width % 400;
}

static void take_and_hang(struct storm *storm, uint64_t *random, _Atomic(void *) *slot)
{
    struct page_lane *lane = storm->lane[random_u64(random) % STORM_LANES];
    uint32_t owner = storm->owner[random_u64(random) % STORM_OWNERS];
    uint64_t page_count = random_page_count(random);
    void *nothing = NULL;
    struct page_run run = random_u64(random) % 16 != 0
                              ? page_alloc(lane, owner, page_count)
                              : page_lane_alloc(lane, owner, page_count, 8);

    if (run.base == NULL) {
        Q_ASSERT(run.status == QUARRY_NO_MEMORY);
        return;
    }
    sign(run.base, page_count);
    /* Pairs with the acquire in storm_step. */
    if (!atomic_cas_acq_rel_ptr(slot, &nothing, run.base)) {
        page_free(lane, run.base);
    }
}

/* In place, if there is room behind it. */
static void resize(struct page_lane *lane, char *base, uint64_t page_count, uint64_t *random)
{
    uint64_t new_count = 1 + random_u64(random) % (2 * page_count);
    enum quarry_status status = page_lane_resize(lane, base, new_count);

    if (status == QUARRY_OK) {
        Q_ASSERT(page_lane_run_pages(lane, base) == new_count);
        sign(base, new_count);
    } else {
        Q_ASSERT(status == QUARRY_BUSY || status == QUARRY_NO_MEMORY);
        check_signature(base, page_count);
    }
}

static void check_and_free(struct storm *storm, char *base, uint64_t *random)
{
    struct page_lane *lane = page_heap_lane_of(storm->heap, base);
    uint64_t page_count = page_lane_run_pages(lane, base);

    check_signature(base, page_count);
    if (random_u64(random) % 16 == 0) {
        resize(lane, base, page_count, random);
    }
    *(uint64_t *)(void *)base = 0;
    if (random_u64(random) % 16 == 0) {
        page_lane_free(lane, base);
    } else {
        page_free(lane, base);
    }
}

void storm_step(struct storm *storm, uint64_t *random)
{
    _Atomic(void *) *slot = &storm->slot[random_u64(random) % STORM_SLOTS];
    void *base = atomic_load_acquire_ptr(slot);

    /* Pairs with itself in other threads: what they wrote into the run is visible. */
    if (base != NULL && atomic_cas_acq_rel_ptr(slot, &base, NULL)) {
        check_and_free(storm, base, random);
    } else if (base == NULL) {
        take_and_hang(storm, random, slot);
    }
}

void storm_free_slots(struct storm *storm)
{
    uint64_t random = 1;

    for (uint32_t i = 0; i < STORM_SLOTS; i++) {
        void *base = atomic_load_acquire_ptr(&storm->slot[i]);
        if (base != NULL && atomic_cas_acq_rel_ptr(&storm->slot[i], &base, NULL)) {
            check_and_free(storm, base, &random);
        }
    }
}

/* ---- roles ---------------------------------------------------------------------------------- */

void storm_allocate(struct storm *storm, uint64_t *random)
{
    while (!storm_is_stopping(storm)) {
        for (uint32_t i = 0; i < 256; i++) {
            storm_step(storm, random);
        }
        (void)atomic_add_relaxed_u64(&storm->step_count, 256);
    }
}

void storm_trim(struct storm *storm, uint64_t *random)
{
    (void)random;
    while (!storm_is_stopping(storm)) {
        (void)page_heap_trim(storm->heap);
    }
}

void storm_change_limit(struct storm *storm, uint64_t *random)
{
    uint64_t high_bytes = page_commit_read(&storm->heap->commit).limit_bytes;

    while (!storm_is_stopping(storm)) {
        uint64_t limit_bytes = high_bytes / 4 + random_u64(random) % (high_bytes / 4 * 3);
        enum quarry_status status = page_heap_set_limit(storm->heap, limit_bytes);
        Q_ASSERT(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
        os_yield();
    }
    Q_ASSERT(page_heap_set_limit(storm->heap, high_bytes) == QUARRY_OK);
}

/* Its own threads' runs only: nobody else may use a lane that ends. */
static void use_lane(struct storm *storm, struct page_lane *lane, uint64_t *random)
{
    char *runs[64];

    for (uint32_t i = 0; i < 64; i++) {
        struct page_run run = page_alloc(lane, storm->owner[0], random_page_count(random));
        runs[i] = run.base;
        if (run.base != NULL) {
            sign(run.base, page_lane_run_pages(lane, run.base));
        }
        uint64_t victim = random_u64(random) % (i + 1);
        if (runs[victim] != NULL) {
            check_signature(runs[victim], page_lane_run_pages(lane, runs[victim]));
            page_free(lane, runs[victim]);
            runs[victim] = NULL;
        }
    }
}

void storm_begin_and_end_lanes(struct storm *storm, uint64_t *random)
{
    struct page_lane_options options = {.name = "passing", .reserved_bytes = Q_GIB(1)};

    while (!storm_is_stopping(storm)) {
        struct page_lane *lane;
        enum quarry_status status = page_lane_create(storm->heap, &options, &lane, NULL);
        Q_ASSERT(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
        if (status != QUARRY_OK) {
            continue;
        }
        for (uint32_t lifetime = 0; lifetime < 3; lifetime++) {
            use_lane(storm, lane, random);
            page_lane_end(lane);
        }
        use_lane(storm, lane, random);
        page_lane_destroy(lane);
    }
}

void storm_read_ledger(struct storm *storm, uint64_t *random)
{
    (void)random;
    while (!storm_is_stopping(storm)) {
        struct quarry_ledger_row rows[16];
        struct quarry_ledger totals;
        uint64_t sum_bytes = 0;
        size_t row_count = page_heap_ledger(storm->heap, &totals, rows, 16);
        Q_ASSERT(row_count <= 16 && totals.committed_bytes <= totals.limit_bytes);
        for (size_t i = 0; i < row_count; i++) {
            sum_bytes += rows[i].in_use_bytes;
        }
        Q_ASSERT(sum_bytes == totals.in_use_bytes);
        os_yield();
    }
}

static void validate_or_abort(struct storm *storm)
{
    struct quarry_error error = {0};

    if (page_heap_validate(storm->heap, &error) != QUARRY_OK) {
        (void)fprintf(stderr, "heap: %s\n", error.text);
        abort();
    }
}

void storm_validate(struct storm *storm, uint64_t *random)
{
    (void)random;
    while (!storm_is_stopping(storm)) {
        validate_or_abort(storm);
        os_sleep_ns(Q_MS_NS);
    }
}

/* ---- a storm -------------------------------------------------------------------------------- */

void storm_open(struct storm *storm, uint64_t limit_bytes)
{
    struct page_heap_options options = {.limit_bytes = limit_bytes, .reserved_bytes = Q_GIB(8)};
    enum quarry_status status;

    memset(storm, 0, sizeof(*storm));
    status = page_heap_create(&options, &storm->heap, NULL);
    Q_ASSERT(status == QUARRY_OK);
    for (uint32_t i = 0; i < STORM_LANES; i++) {
        char name[] = {'l', (char)('0' + i), '\0'};
        struct page_lane_options lane_options = {.name = name, .reserved_bytes = Q_GIB(1)};
        status = page_lane_create(storm->heap, &lane_options, &storm->lane[i], NULL);
        Q_ASSERT(status == QUARRY_OK);
    }
    for (uint32_t i = 0; i < STORM_OWNERS; i++) {
        char name[] = {'o', (char)('0' + i), '\0'};
        status = page_ledger_register(&storm->heap->ledger, name, &storm->owner[i]);
        Q_ASSERT(status == QUARRY_OK);
    }
}

/* The scavenger's thread may have a piece in flight: it lands in a moment. */
struct quarry_ledger storm_check(struct storm *storm)
{
    struct quarry_ledger totals;

    validate_or_abort(storm);
    (void)page_heap_ledger(storm->heap, &totals, NULL, 0);
    for (uint32_t i = 0; totals.in_flight_bytes != 0; i++) {
        Q_ASSERT(i < 10000);
        os_sleep_ns(Q_MS_NS);
        (void)page_heap_ledger(storm->heap, &totals, NULL, 0);
    }
    return totals;
}

void storm_close(struct storm *storm)
{
    storm_free_slots(storm);
    (void)page_heap_trim(storm->heap);
    struct quarry_ledger totals = storm_check(storm);
    Q_ASSERT(totals.in_use_bytes == 0);
    Q_ASSERT(totals.cached_bytes == 0);
    page_heap_destroy(storm->heap);
}

/* What a thread is given; it frees it. */
struct start {
    struct storm *storm;
    storm_role *role;
    uint64_t random;
};

static void *run_role(void *argument)
{
    struct start start = *(struct start *)argument;

    free(argument);
    start.role(start.storm, &start.random);
    return NULL;
}

void storm_start(struct storm *storm, storm_role *role)
{
    struct start *start = malloc(sizeof(*start));

    Q_ASSERT(start != NULL && storm->thread_count < STORM_THREADS_MAX);
    *start = (struct start){storm, role, 1000 * (storm->thread_count + 1)};
    int error = pthread_create(&storm->thread[storm->thread_count], NULL, run_role, start);
    Q_ASSERT(error == 0);
    storm->thread_count++;
}

bool storm_is_stopping(struct storm *storm)
{
    /* Relaxed: joining the threads orders all else. */
    return atomic_load_relaxed_u32(&storm->is_stopping) != 0;
}

void storm_stop(struct storm *storm)
{
    atomic_store_relaxed_u32(&storm->is_stopping, 1);
    while (storm->thread_count > 0) {
        int error = pthread_join(storm->thread[--storm->thread_count], NULL);
        Q_ASSERT(error == 0);
    }
    atomic_store_relaxed_u32(&storm->is_stopping, 0);
}
