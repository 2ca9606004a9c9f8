/*
 * arena/arena.c: additions to one word, steps that back what they took, and arenas that are full;
 * keeper.c: a spare that is handed on.
 */
#include "unit/page/simulated_heap.h"

#include <arena/arena.h>
#include <budget/tree.h>
#include <ref/leak.h>

#include "interleave/interleave.h"

#define CAPACITY_BYTES Q_KIB(256)
#define STEP_BYTES     Q_KIB(64)
#define PIECE_BYTES    64u
/* In an arena that is nearly full: one piece fits, and what is then left is worth returning. */
#define LEFT_BYTES (PIECE_BYTES + 8)

static struct page_lane *lane;
static struct quarry_account *account;
static struct quarry_arena *arena;
/* In the place of the arena's memory, which is not there: a byte for each, for races alone. */
static char bytes[CAPACITY_BYTES];
/* What each thread took, and how it went. */
static struct piece {
    uint32_t offset; /* 0: nothing */
    enum quarry_status status;
} pieces[INTERLEAVE_THREADS_MAX];

static struct quarry_memory *memory(void)
{
    return (struct quarry_memory *)(void *)heap;
}

static struct quarry_arena_options options(void)
{
    return (struct quarry_arena_options){.lane = (struct quarry_lane *)(void *)lane,
                                         .account = account,
                                         .capacity_bytes = CAPACITY_BYTES};
}

/* The account and the heap outlive the schedules, and with them what they have seen. */
static void forget_peaks(void)
{
    atomic_store_relaxed_u64(&account->peak_bytes, 0);
    atomic_store_relaxed_u64(&account->budget->root.peak_bytes, 0);
    atomic_store_relaxed_u64(&heap->commit.peak_bytes, 0);
}

/* An arena in which `left_bytes` are left of the first step, or of all. */
static void make_with(uint64_t used_bytes)
{
    struct quarry_arena_options wanted = options();
    uint32_t offset;
    enum quarry_status status = quarry_arena_create(memory(), &wanted, &arena, NULL);

    Q_ASSERT(status == QUARRY_OK);
    status = quarry_arena_alloc(arena, used_bytes - QUARRY_ARENA_GRANULE, 8, &offset);
    Q_ASSERT(status == QUARRY_OK);
    forget_peaks();
    for (uint32_t i = 0; i < INTERLEAVE_THREADS_MAX; i++) {
        pieces[i] = (struct piece){0};
    }
}

static void make_near_the_step(void)
{
    make_with(STEP_BYTES - PIECE_BYTES);
}

static void make_at_the_step(void)
{
    make_with(STEP_BYTES);
}

static void make_nearly_full(void)
{
    make_with(CAPACITY_BYTES - LEFT_BYTES);
}

static void take(void)
{
    struct piece *piece = &pieces[interleave_thread()];

    piece->status = quarry_arena_alloc(arena, PIECE_BYTES, 8, &piece->offset);
    if (piece->status == QUARRY_OK) {
        Q_ASSERT(piece->offset + PIECE_BYTES <= atomic_load_relaxed_u64(&arena->backed_bytes));
        /* A look at the first bytes: of two who have the same, one finds a race. */
        interleave_plain(INTERLEAVE_SITE(PLAIN_WRITE, RELAXED, "piece"), &bytes[piece->offset],
                         PIECE_BYTES);
    }
}

static void take_aligned(void)
{
    struct piece *piece = &pieces[interleave_thread()];

    piece->status = quarry_arena_alloc(arena, 8, 64, &piece->offset);
    Q_ASSERT(piece->status != QUARRY_OK || piece->offset % 64 == 0);
}

static uint64_t taken_count(void)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < INTERLEAVE_THREADS_MAX; i++) {
        count += pieces[i].offset != 0;
    }
    return count;
}

static void backed_is_charged(void)
{
    Q_ASSERT(account->charged_bytes == arena->backed_bytes);
    Q_ASSERT(arena->stepper == 0);
}

static void unmake(void)
{
    backed_is_charged();
    quarry_arena_destroy(arena);
    Q_ASSERT(account->charged_bytes == 0);
}

static void unmake_stepped(void)
{
    Q_ASSERT(taken_count() == 3 && arena->lost_bytes == 0);
    Q_ASSERT(arena->backed_bytes == 2 * STEP_BYTES);
    unmake();
}

/* One of them fits. What was lost is counted: the rest of the arena is somebody's. */
static void unmake_full(void)
{
    uint64_t used_bytes = taken_count() * PIECE_BYTES + arena->lost_bytes;

    Q_ASSERT(taken_count() <= 1);
    Q_ASSERT(size_min_u64(arena->top, CAPACITY_BYTES) == CAPACITY_BYTES - LEFT_BYTES + used_bytes);
    unmake();
}

static const struct interleave_scenario stepped = {
    .name = "arena, three take at the end of a step",
    .set_up = make_near_the_step,
    .threads = {take, take, take_aligned},
    .check = unmake_stepped,
    .preemptions = 2,
    .oddities = 1,
};

static const struct interleave_scenario stepped_by_two = {
    .name = "arena, two take at the end of a step",
    .set_up = make_near_the_step,
    .threads = {take, take},
    .check = unmake,
};

static const struct interleave_scenario stepped_beyond = {
    .name = "arena, two take beyond a step",
    .set_up = make_at_the_step,
    .threads = {take, take},
    .check = unmake,
    .oddities = 1,
};

static const struct interleave_scenario full = {
    .name = "arena, three take the last bytes",
    .set_up = make_nearly_full,
    .threads = {take, take, take},
    .check = unmake_full,
};

/* ---- a keeper ------------------------------------------------------------------------------- */

static struct quarry_arena_keeper *keeper;
static struct quarry_arena *held[2];

/* The heap's own pieces of memory come back in the order in which a schedule gave them. */
static void put_pieces_in_order(size_t piece_bytes)
{
    void *piece[8];

    for (uint32_t i = 0; i < 8; i++) {
        enum quarry_status status = page_metadata_take(&heap->metadata, piece_bytes, &piece[i]);
        Q_ASSERT(status == QUARRY_OK);
        for (uint32_t at = i; at > 0 && piece[at] > piece[at - 1]; at--) {
            void *higher = piece[at];
            piece[at] = piece[at - 1];
            piece[at - 1] = higher;
        }
    }
    for (uint32_t i = 0; i < 8; i++) {
        page_metadata_give(&heap->metadata, piece[i], piece_bytes);
    }
}

static void make_keeper(void)
{
    put_pieces_in_order(sizeof(struct quarry_arena));
    struct quarry_arena_options wanted = options();
    enum quarry_status status = quarry_arena_keeper_create(memory(), &wanted, &keeper, NULL);

    Q_ASSERT(status == QUARRY_OK);
    for (uint32_t i = 0; i < 2; i++) {
        status = quarry_arena_keeper_take(keeper, CAPACITY_BYTES, &held[i], NULL);
        Q_ASSERT(status == QUARRY_OK);
    }
    forget_peaks();
}

/* Uses it, plainly: it is its alone until it is given back. */
static void use_and_give(struct quarry_arena **own)
{
    uint32_t offset;
    enum quarry_status status = quarry_arena_alloc(*own, 8, 8, &offset);

    Q_ASSERT(status == QUARRY_OK);
    interleave_plain(INTERLEAVE_SITE(PLAIN_WRITE, RELAXED, "own arena"), *own, 8);
    quarry_arena_destroy(*own);
    *own = NULL;
}

static void give_first(void)
{
    use_and_give(&held[0]);
}

static void give_second_and_take(void)
{
    use_and_give(&held[1]);
    enum quarry_status status = quarry_arena_keeper_take(keeper, CAPACITY_BYTES, &held[1], NULL);
    Q_ASSERT(status == QUARRY_OK);
    use_and_give(&held[1]);
}

static void reclaim(void)
{
    (void)quarry_arena_keeper_reclaim(keeper, UINT64_MAX);
}

static void unmake_keeper(void)
{
    Q_ASSERT(quarry_arena_keeper_spare_bytes(keeper) == account->charged_bytes);
    quarry_arena_keeper_destroy(keeper);
    Q_ASSERT(account->charged_bytes == 0);
}

static const struct interleave_scenario kept = {
    .name = "arena, a spare given, taken and reclaimed",
    .set_up = make_keeper,
    .threads = {give_first, give_second_and_take, reclaim},
    .check = unmake_keeper,
    .preemptions = 2,
    .oddities = 1,
};

static const struct interleave_scenario kept_by_two = {
    .name = "arena, a spare given and taken",
    .set_up = make_keeper,
    .threads = {give_first, give_second_and_take},
    .check = unmake_keeper,
};

/* ---- tests ---------------------------------------------------------------------------------- */

static void additions_and_steps_give_everybody_bytes_of_its_own(void **state)
{
    (void)state;
    interleave_expect_clean(&stepped);
    interleave_expect_clean(&stepped_by_two);
    interleave_expect_clean(&stepped_beyond);
}

static void the_last_bytes_go_to_one_and_losses_are_counted(void **state)
{
    (void)state;
    interleave_expect_clean(&full);
}

static void a_spare_belongs_to_whoever_takes_it(void **state)
{
    (void)state;
    interleave_expect_clean(&kept);
    interleave_expect_clean(&kept_by_two);
}

static void expect_all_found(const struct interleave_scenario *scenario,
                             const struct interleave_plant *plants, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        interleave_expect_found(scenario, &plants[i]);
    }
}

static void bugs_in_taking_are_found(void **state)
{
    static const struct interleave_plant at_step[] = {
        {"arena_alloc", INTERLEAVE_ADD, "top", INTERLEAVE_TEAR, 0},
    };
    static const struct interleave_plant beyond[] = {
        {"arena_alloc_slow", INTERLEAVE_ADD, "top", INTERLEAVE_TEAR, 0},
        {"backed_raise", INTERLEAVE_CAS_WEAK, "backed_bytes", INTERLEAVE_SKIP, 1},
    };
    static const struct interleave_plant at_end[] = {
        {"top_return", INTERLEAVE_CAS, "top", INTERLEAVE_TEAR, 0},
        {"top_return", INTERLEAVE_CAS, "top", INTERLEAVE_SKIP, 1},
        {"top_return", INTERLEAVE_ADD, "lost_bytes", INTERLEAVE_SKIP, 0},
    };

    (void)state;
    expect_all_found(&stepped_by_two, at_step, sizeof at_step / sizeof at_step[0]);
    expect_all_found(&stepped_beyond, beyond, sizeof beyond / sizeof beyond[0]);
    expect_all_found(&full, at_end, sizeof at_end / sizeof at_end[0]);
}

static void bugs_in_keeping_are_found(void **state)
{
    static const struct interleave_plant plants[] = {
        {"spare_take", INTERLEAVE_EXCHANGE, "spare", INTERLEAVE_WEAKEN, 0},
        {"spare_put", INTERLEAVE_EXCHANGE, "spare", INTERLEAVE_WEAKEN, 0},
        {"spare_take", INTERLEAVE_EXCHANGE, "spare", INTERLEAVE_TEAR, 0},
        {"spare_put", INTERLEAVE_EXCHANGE, "spare", INTERLEAVE_TEAR, 0},
    };

    (void)state;
    expect_all_found(&kept, plants, sizeof plants / sizeof plants[0]);
}

static int set_up(void **state)
{
    (void)state;
    heap_begin(&(struct heap_setup){0});
    lane = lane_make("lane");
    ref_leak_set_every(REF_LEAK_EVERY_MAX); /* none, rather than one at random */
    return quarry_account_create(memory(), &(struct quarry_account_options){.name = "arenas"},
                                 &account, NULL) == QUARRY_OK
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    (void)state;
    quarry_account_destroy(account);
    heap_end();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(additions_and_steps_give_everybody_bytes_of_its_own),
        cmocka_unit_test(the_last_bytes_go_to_one_and_losses_are_counted),
        cmocka_unit_test(a_spare_belongs_to_whoever_takes_it),
        cmocka_unit_test(bugs_in_taking_are_found),
        cmocka_unit_test(bugs_in_keeping_are_found),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
