/* Threads that take from one arena at once, and from one keeper. */
#include "unit/arena/arena_rig.h"

#include <pthread.h>
#include <string.h>

#include "unit/base/random.h"

#define THREADS    4u
#define PIECES_MAX 40000u

/* What a thread has got of an arena. */
struct piece {
    uint32_t offset;
    uint32_t bytes;
};

struct taker {
    pthread_t thread;
    struct quarry_arena *arena;
    uint32_t number;
    uint32_t bytes_most;
    uint32_t align_shifts; /* alignments below 2^this */
    uint64_t need_bytes;   /* of all it got */
    uint32_t piece_count;
    uint32_t refused_count; /* for want of memory */
    struct piece piece[PIECES_MAX];
};

static struct taker takers[THREADS];
static _Atomic uint32_t started_count;

static void start_together(void)
{
    (void)atomic_add_relaxed_u32(&started_count, 1);
    while (atomic_load_relaxed_u32(&started_count) < THREADS) {
        os_yield();
    }
}

/* Until it is full, or refused many times. Writes its number into all it gets. */
static void *take_until_full(void *argument)
{
    struct taker *taker = argument;
    uint64_t random = taker->number + 1;
    enum quarry_status status = QUARRY_OK;

    start_together();
    while (status != QUARRY_NO_ADDRESS && taker->piece_count < PIECES_MAX &&
           taker->refused_count < 100) {
        uint32_t bytes = 1 + (uint32_t)(random_u64(&random) % taker->bytes_most);
        uint32_t align_bytes = UINT32_C(1) << random_u64(&random) % taker->align_shifts;
        uint32_t offset;
        status = quarry_arena_alloc(taker->arena, bytes, align_bytes, &offset);
        taker->refused_count += status == QUARRY_NO_MEMORY;
        if (status == QUARRY_OK) {
            assert_int_equal(offset % align_bytes, 0);
            memset(arena_at(taker->arena, offset), (int)taker->number + 1, bytes);
            taker->piece[taker->piece_count++] = (struct piece){offset, bytes};
            taker->need_bytes += arena_need(bytes, align_bytes);
        }
    }
    return NULL;
}

static void run_takers(struct quarry_arena *arena, uint32_t bytes_most, uint32_t align_shifts)
{
    atomic_store_relaxed_u32(&started_count, 0);
    for (uint32_t i = 0; i < THREADS; i++) {
        struct taker *taker = &takers[i];
        taker->arena = arena;
        taker->number = i;
        taker->bytes_most = bytes_most;
        taker->align_shifts = align_shifts;
        taker->need_bytes = 0;
        taker->piece_count = 0;
        taker->refused_count = 0;
        assert_int_equal(pthread_create(&taker->thread, NULL, take_until_full, taker), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(takers[i].thread, NULL), 0);
    }
}

/* Everything is what its taker wrote, and the sums agree: no byte is two threads'. */
static void check_takers(const struct quarry_arena *arena)
{
    uint64_t need_bytes = QUARRY_ARENA_GRANULE;

    for (uint32_t i = 0; i < THREADS; i++) {
        need_bytes += takers[i].need_bytes;
        for (uint32_t at = 0; at < takers[i].piece_count; at++) {
            const struct piece *piece = &takers[i].piece[at];
            const char *bytes = arena_at(arena, piece->offset);
            for (uint32_t byte = 0; byte < piece->bytes; byte++) {
                assert_int_equal(bytes[byte], i + 1);
            }
        }
    }
    struct quarry_arena_state now = state_of(arena);
    assert_int_equal(now.used_bytes, need_bytes + now.lost_bytes);
    assert_int_equal(charged_bytes(), now.backed_bytes);
    rig_check();
}

static void threads_share_an_arena_to_its_last_byte(void **state)
{
    (void)state;
    static const struct {
        uint64_t capacity_bytes;
        uint32_t bytes_most;
        uint32_t align_shifts;
    } cases[] = {
        {Q_MIB(4), 200, 4}, {Q_KIB(256), 40, 7}, {Q_MIB(8), 5000, 13}, {Q_MIB(1), 9000, 1}};

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (int turn = 0; turn < 5; turn++) {
            struct quarry_arena *arena = arena_of(cases[i].capacity_bytes);
            run_takers(arena, cases[i].bytes_most, cases[i].align_shifts);
            check_takers(arena);
            quarry_arena_destroy(arena);
        }
    }
}

static void threads_that_are_refused_memory_leave_the_rest_alone(void **state)
{
    (void)state;
    for (uint64_t ceiling_bytes = Q_KIB(200); ceiling_bytes < Q_MIB(2);
         ceiling_bytes += Q_KIB(100)) {
        assert_int_equal(quarry_account_set_bounds(account, 0, ceiling_bytes), QUARRY_OK);
        struct quarry_arena *arena = arena_of(Q_MIB(2));
        run_takers(arena, 3000, 4);
        check_takers(arena);
        assert_true(charged_bytes() <= ceiling_bytes);
        /* What a taker was refused last was more than there was room for. */
        assert_true(charged_bytes() + Q_KIB(16) > ceiling_bytes);
        quarry_arena_destroy(arena);
    }
}

static void refused_by_the_budget_they_do_as_well(void **state)
{
    (void)state;
    struct quarry_arena *arena = arena_of(Q_MIB(4));

    assert_int_equal(page_heap_set_limit(heap, heap_committed() + Q_KIB(1000)), QUARRY_OK);
    run_takers(arena, 3000, 4);
    check_takers(arena);
    assert_in_range(charged_bytes(), Q_KIB(1200), Q_KIB(1256));
    quarry_arena_destroy(arena);
}

/* ---- the keeper ----------------------------------------------------------------------------- */

static struct quarry_arena_keeper *keeper;
static _Atomic bool is_over;
static _Atomic uint64_t freed_count; /* times that the reclaimer has met a spare */

/* Fills an arena a little, and gives it back; until a spare of theirs has been reclaimed, too. */
static void *turn_arenas(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument + 1;

    start_together();
    for (int turn = 0; turn < 2000 || atomic_load_relaxed_u64(&freed_count) == 0; turn++) {
        uint64_t capacity_bytes = random_u64(&random) % 4 == 0 ? Q_MIB(1) : Q_KIB(256);
        struct quarry_arena *arena = NULL;
        enum quarry_status status = quarry_arena_keeper_take(keeper, capacity_bytes, &arena, NULL);
        assert_int_equal(status, QUARRY_OK);
        uint32_t offset = take_bytes(arena, 1 + random_u64(&random) % Q_KIB(200), 8);
        *(uint64_t *)quarry_arena_at(arena, offset) = random;
        assert_int_equal(*(uint64_t *)quarry_arena_at(arena, offset), random);
        quarry_arena_destroy(arena);
    }
    return NULL;
}

static void *reclaim_spares(void *argument)
{
    (void)argument;
    start_together();
    while (!atomic_load_relaxed_bool(&is_over)) {
        (void)atomic_add_relaxed_u64(&freed_count, quarry_arena_keeper_reclaim(keeper, 1) > 0);
        os_yield();
    }
    return NULL;
}

static void threads_turn_arenas_while_the_spare_is_reclaimed(void **state)
{
    (void)state;
    pthread_t turner[THREADS - 1], reclaimer;

    keeper = keeper_make();
    atomic_store_relaxed_u64(&freed_count, 0);
    atomic_store_relaxed_bool(&is_over, false);
    atomic_store_relaxed_u32(&started_count, 0);
    assert_int_equal(pthread_create(&reclaimer, NULL, reclaim_spares, NULL), 0);
    for (uintptr_t i = 0; i < THREADS - 1; i++) {
        assert_int_equal(pthread_create(&turner[i], NULL, turn_arenas, (void *)i), 0);
    }
    for (uint32_t i = 0; i < THREADS - 1; i++) {
        assert_int_equal(pthread_join(turner[i], NULL), 0);
    }
    atomic_store_relaxed_bool(&is_over, true);
    assert_int_equal(pthread_join(reclaimer, NULL), 0);
    rig_check();
    assert_int_equal(charged_bytes(), quarry_arena_keeper_spare_bytes(keeper));
    quarry_arena_keeper_destroy(keeper);
}

#define with_memory(test) cmocka_unit_test_setup_teardown(test, rig_set_up_real, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_memory(threads_share_an_arena_to_its_last_byte),
        with_memory(threads_that_are_refused_memory_leave_the_rest_alone),
        with_memory(refused_by_the_budget_they_do_as_well),
        with_memory(threads_turn_arenas_while_the_spare_is_reclaimed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
