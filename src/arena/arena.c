/*
 * Arenas: one addition takes, steps back.
 *
 *   base                       top         backed_bytes             capacity_bytes
 *   | nil | a | b | c | … | z  | charged, nobody's yet | bare: addresses only     |
 *   0     8                    ^ atomic add            ^ a step further, when top comes near
 *
 * The run lies in a lane, reserved (page/lane_reserve.c): its addresses are the arena's, its pages
 * are charged a step at a time, to the account first and then to the budget.
 *
 * Taking is an addition to `top`, of the size rounded up to the granule, and the slack that the
 * alignment may need. It comes after a look whether the sum fits what is backed: who finds that it
 * does not adds nothing, backs more if the capacity allows, and then adds. Between the look and the
 * addition others may have come: then the bytes are taken and not backed yet (arena_alloc_late).
 * Their taker backs them; if that fails, it takes its addition back, which it can as long as nobody
 * has added since; and if that fails as well, the bytes are lost until the arena goes, and counted.
 *
 * Steps
 *   A step charges the account for all bytes between what is backed and its end, and backs them;
 *   what turns out to be backed already, by another thread's step, it uncharges. So steps need no
 *   lock to be correct. But threads that all find the same bytes lacking would charge them many
 *   times over for a moment, and evict others for nothing. So one goes first: `stepper` names it,
 *   and the others yield until what they need is there, or for as long as a step may reasonably
 *   last; then they go on themselves. A reclaimer that is called by a step may use the arena: its
 *   thread finds its own name and does not wait.
 *
 * Invariants
 *   1. [0, backed_bytes) is charged: to the account, if there is one, and by backing its pages.
 *      Nothing beyond is, when no step is under way.
 *   2. top ≤ capacity + (threads × the largest need), so below 2^53 for a million threads: a thread
 *      adds at most once after a look that said the sum was within the capacity.
 *   3. What was handed out lies below backed_bytes, and in no other's [at, at + need).
 *   4. top falls only from the end of its taker's own bytes to their beginning, when they were
 *      refused: whoever had added later has taken its own back by then.
 *
 * Locks: none. So the child of a fork needs nothing put right: a step that another thread of the
 * parent had begun leaves the account charged for its length, and its name in `stepper`, which the
 * next step waits for once.
 *
 * Cost: 15 instructions, one locked. A step is a charge, a count over bits under the lane's lock,
 * and an exchange; 2 MiB at a time it is below a nanosecond for 100 bytes.
 *
 * Rejected: a mutex around steps (reclaimers would run under it, or it would be a protocol of
 * credits as in page/lane.c; and forks would have to take every arena's). Compare-and-swap in place
 * of the addition: no slack for alignment and nothing ever lost, but threads that race repeat it.
 * Handing out bytes before they are backed, and letting a signal back them: no status for a full
 * budget.
 *
 * Source: Pebble's arena (add, then compare with the capacity; full is an error).
 */
#include <arena/arena.h>

/* Steps: a sixteenth of the capacity, within these. Doubling the largest doubles what an arena has
 * charged and does not use; 2 MiB is a huge page. */
#define STEP_BYTES_MIN Q_KIB(64)
#define STEP_BYTES_MAX Q_MIB(2)

/* How often a thread yields to one that takes a step: some hundred microseconds, a guess; a step
 * without reclaim is done after one. */
#define STEP_WAITS_MAX 1000u

Q_STATIC_ASSERT(STEP_BYTES_MIN <= QUARRY_ARENA_CAPACITY_MIN, "the first step fits");
Q_STATIC_ASSERT(STEP_BYTES_MIN % PAGE_BYTES == 0, "steps are pages");
Q_STATIC_ASSERT(QUARRY_ARENA_ALIGN_MAX <= PAGE_BYTES, "offsets are aligned as addresses are");
Q_STATIC_ASSERT(QUARRY_ARENA_CAPACITY_MAX >> PAGE_SHIFT < PAGE_HEAD_PAGES_LONG,
                "a run of the largest capacity can be reserved");

/* ---- creating ------------------------------------------------------------------------------- */

enum quarry_status arena_check_lane(const struct quarry_arena_options *options,
                                    struct quarry_error *error)
{
    const struct page_lane *lane = (const struct page_lane *)(const void *)options->lane;

    if (lane == NULL) {
        return error_set(error, QUARRY_BAD_INPUT, "an arena needs a lane");
    }
    if (lane->is_file_backed) {
        return error_set(error, QUARRY_UNSUPPORTED, "lane '%s' has a file and can hold no arena",
                         lane->name);
    }
    return QUARRY_OK;
}

enum quarry_status arena_check_capacity(uint64_t bytes, uint64_t *ret_capacity_bytes,
                                        struct quarry_error *error)
{
    if (bytes < QUARRY_ARENA_CAPACITY_MIN || bytes > QUARRY_ARENA_CAPACITY_MAX) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "an arena of %llu bytes: it can have 256 KiB to 4 GiB",
                         (unsigned long long)bytes);
    }
    *ret_capacity_bytes = size_align_up_u64(bytes, PAGE_BYTES);
    return QUARRY_OK;
}

enum quarry_status quarry_arena_create(struct quarry_memory *memory,
                                       const struct quarry_arena_options *options,
                                       struct quarry_arena **ret_arena, struct quarry_error *error)
{
    const struct page_lane *lane = (const struct page_lane *)(const void *)options->lane;
    enum quarry_status status = arena_check_lane(options, error);

    if (status != QUARRY_OK) {
        return status;
    }
    Q_ASSERT_MSG((void *)lane->heap == (void *)memory, "the lane is of this memory");
    return arena_make(options, NULL, ret_arena, error);
}

void quarry_arena_destroy(struct quarry_arena *arena)
{
    if (arena == NULL) {
        return;
    }
    if (arena->keeper != NULL) {
        arena_keeper_give(arena->keeper, arena);
    } else {
        (void)arena_free(arena);
    }
}

static uint64_t power_of_two_below(uint64_t value)
{
    return UINT64_C(1) << bits_log2_floor_u64(value);
}

/* Huge pages fit the run from its beginning, where the capacity and the heap's space allow it. */
static uint64_t run_align_pages(const struct page_lane *lane, uint64_t capacity_bytes)
{
    uint64_t align_bytes =
        size_min_u64(lane->heap->os->huge_page_bytes, power_of_two_below(capacity_bytes));

    while (align_bytes > PAGE_BYTES && (uint64_t)lane->base % align_bytes != 0) {
        align_bytes /= 2;
    }
    return size_max_u64(align_bytes >> PAGE_SHIFT, 1);
}

static enum quarry_status arena_owner(const struct quarry_arena *arena, uint32_t *ret_owner)
{
    if (arena->account == NULL) {
        return page_ledger_register(&arena->lane->heap->ledger, "arena", ret_owner);
    }
    *ret_owner = quarry_account_owner(arena->account);
    return QUARRY_OK;
}

static enum quarry_status arena_charge(struct quarry_arena *arena, uint64_t bytes)
{
    if (arena->account == NULL) {
        return QUARRY_OK;
    }
    enum quarry_status status = quarry_account_charge(arena->account, bytes);
    /* A ceiling may have no room because of the spare; the budget asks the keeper by itself. */
    if (status == QUARRY_NO_MEMORY && arena->keeper != NULL &&
        quarry_arena_keeper_reclaim(arena->keeper, bytes) > 0) {
        status = quarry_account_charge(arena->account, bytes);
    }
    return status;
}

static void arena_uncharge(struct quarry_arena *arena, uint64_t bytes)
{
    if (arena->account != NULL && bytes > 0) {
        quarry_account_uncharge(arena->account, bytes);
    }
}

/*
 * Makes [0, first step) backed and charged, and all the rest of the run bare: pages that were free
 * and backed have come with it.
 */
static enum quarry_status arena_begin(struct quarry_arena *arena)
{
    uint64_t step_pages = arena->step_bytes >> PAGE_SHIFT, changed_pages;
    uint64_t page_count = arena->capacity_bytes >> PAGE_SHIFT;
    enum quarry_status status = page_lane_unback(arena->lane, arena->base, step_pages,
                                                 page_count - step_pages, &changed_pages);

    if (status != QUARRY_OK) {
        return status;
    }
    status = arena_charge(arena, arena->step_bytes);
    if (status != QUARRY_OK) {
        return status;
    }
    status = page_lane_back(arena->lane, arena->base, 0, step_pages, &changed_pages);
    if (status != QUARRY_OK) {
        arena_uncharge(arena, arena->step_bytes);
        return status;
    }
    atomic_store_relaxed_u64(&arena->backed_bytes, arena->step_bytes);
    return QUARRY_OK;
}

/* Everything after the struct itself. */
static enum quarry_status arena_build(struct quarry_arena *arena)
{
    struct page_lane *lane = arena->lane;
    uint32_t owner = PAGE_OWNER_NONE;
    enum quarry_status status = arena_owner(arena, &owner);

    if (status != QUARRY_OK) {
        return status;
    }
    struct page_run run = page_lane_reserve_run(lane, owner, arena->capacity_bytes >> PAGE_SHIFT,
                                                run_align_pages(lane, arena->capacity_bytes));
    if (run.base == NULL) {
        return run.status;
    }
    arena->base = run.base;
    status = arena_begin(arena);
    if (status != QUARRY_OK) {
        page_lane_free(lane, arena->base);
    }
    return status;
}

enum quarry_status arena_make(const struct quarry_arena_options *options,
                              struct quarry_arena_keeper *keeper, struct quarry_arena **ret_arena,
                              struct quarry_error *error)
{
    struct page_lane *lane = (struct page_lane *)(void *)options->lane;
    uint64_t capacity_bytes = 0;
    void *piece;
    enum quarry_status status =
        arena_check_capacity(options->capacity_bytes, &capacity_bytes, error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = page_metadata_take(&lane->heap->metadata, sizeof(struct quarry_arena), &piece);
    if (status != QUARRY_OK) {
        return error_set(error, status, "lane '%s': no memory for the arena itself", lane->name);
    }
    struct quarry_arena *arena = piece;
    arena->capacity_bytes = capacity_bytes;
    arena->step_bytes = size_min_u64(
        size_max_u64(power_of_two_below(capacity_bytes / 16), STEP_BYTES_MIN), STEP_BYTES_MAX);
    arena->lane = lane;
    arena->account = options->account;
    arena->keeper = keeper;
    arena_reset(arena);
    status = arena_build(arena);
    if (status != QUARRY_OK) {
        page_metadata_give(&lane->heap->metadata, arena, sizeof(*arena));
        return error_set(error, status, "an arena of %llu bytes in lane '%s': %s",
                         (unsigned long long)capacity_bytes, lane->name,
                         quarry_status_text(status));
    }
    *ret_arena = arena;
    return QUARRY_OK;
}

void arena_reset(struct quarry_arena *arena)
{
    /* Offset 0 is nobody's. Relaxed: whoever uses the arena next is given it by its new user. */
    atomic_store_relaxed_u64(&arena->top, QUARRY_ARENA_GRANULE);
    atomic_store_relaxed_u64(&arena->lost_bytes, 0);
    atomic_store_relaxed_u32(&arena->stepper, 0);
}

uint64_t arena_free(struct quarry_arena *arena)
{
    struct page_lane *lane = arena->lane;
    uint64_t backed_bytes = atomic_load_acquire_u64(&arena->backed_bytes);

    page_lane_free(lane, arena->base);
    arena_uncharge(arena, backed_bytes);
    page_metadata_give(&lane->heap->metadata, arena, sizeof(*arena));
    return backed_bytes;
}

/* ---- steps ---------------------------------------------------------------------------------- */

/* Steps may end in any order, each of them backed from where the last one it saw ended. */
static void backed_raise(struct quarry_arena *arena, uint64_t end)
{
    uint64_t backed_bytes = atomic_load_relaxed_u64(&arena->backed_bytes);

    /* Release: pairs with the acquire in arena_alloc. */
    while (backed_bytes < end &&
           !atomic_cas_weak_release_u64(&arena->backed_bytes, &backed_bytes, end)) {
    }
}

/* Backs [from, to), where `from` is what was backed. Either all of it, or nothing changes. */
static enum quarry_status arena_step(struct quarry_arena *arena, uint64_t from, uint64_t to)
{
    uint64_t backed_pages;
    enum quarry_status status = arena_charge(arena, to - from);

    if (status != QUARRY_OK) {
        return status;
    }
    status = page_lane_back(arena->lane, arena->base, from >> PAGE_SHIFT, (to - from) >> PAGE_SHIFT,
                            &backed_pages);
    if (status != QUARRY_OK) {
        arena_uncharge(arena, to - from);
        return status;
    }
    /* Pages that another step has backed, that one pays for. */
    arena_uncharge(arena, to - from - (backed_pages << PAGE_SHIFT));
    backed_raise(arena, to);
    return QUARRY_OK;
}

/*
 * Waits while another thread takes a step that may do for this one too. Returns: whether the caller
 * is named as the stepper now.
 */
static bool stepper_enter(struct quarry_arena *arena, uint64_t end)
{
    uint32_t own = os_thread_id();

    for (uint32_t i = 0; i < STEP_WAITS_MAX; i++) {
        uint32_t holder = 0;
        /* Acquire: pairs with the release in stepper_leave; its step is seen. */
        if (atomic_cas_acquire_u32(&arena->stepper, &holder, own)) {
            return true;
        }
        if (holder == own || atomic_load_acquire_u64(&arena->backed_bytes) >= end) {
            return false;
        }
        os_yield();
    }
    /* It takes long, or is gone with the parent of a fork: two at a time do no harm. */
    atomic_store_relaxed_u32(&arena->stepper, own);
    return true;
}

static void stepper_leave(struct quarry_arena *arena)
{
    atomic_store_release_u32(&arena->stepper, 0);
}

/* Backs at least [0, end), within the capacity. */
static enum quarry_status arena_back(struct quarry_arena *arena, uint64_t end)
{
    bool is_stepper = stepper_enter(arena, end);
    uint64_t from = atomic_load_acquire_u64(&arena->backed_bytes);
    enum quarry_status status = QUARRY_OK;

    Q_ASSERT(end <= arena->capacity_bytes);
    if (from < end) {
        uint64_t least = size_align_up_u64(end, PAGE_BYTES);
        uint64_t to =
            size_min_u64(size_align_up_u64(end, arena->step_bytes), arena->capacity_bytes);
        status = arena_step(arena, from, to);
        if (status == QUARRY_NO_MEMORY && least < to) {
            status = arena_step(arena, from, least);
        }
    }
    if (is_stepper) {
        stepper_leave(arena);
    }
    /* What this one was refused another may have got. */
    return atomic_load_acquire_u64(&arena->backed_bytes) >= end ? QUARRY_OK : status;
}

/* ---- taking --------------------------------------------------------------------------------- */

/* Takes an addition back that was refused, or counts what is lost. */
static void top_return(struct quarry_arena *arena, uint64_t at, uint64_t need_bytes)
{
    uint64_t end = at + need_bytes, capacity_bytes = arena->capacity_bytes;

    /* Relaxed: as the addition. */
    if (!atomic_cas_relaxed_u64(&arena->top, &end, at)) {
        uint64_t lost_bytes =
            size_min_u64(at + need_bytes, capacity_bytes) - size_min_u64(at, capacity_bytes);
        (void)atomic_add_relaxed_u64(&arena->lost_bytes, lost_bytes);
    }
}

enum quarry_status arena_alloc_late(struct quarry_arena *arena, uint64_t at, uint64_t need_bytes,
                                    uint32_t align_bytes, uint32_t *ret_offset)
{
    enum quarry_status status = at + need_bytes <= arena->capacity_bytes
                                    ? arena_back(arena, at + need_bytes)
                                    : QUARRY_NO_ADDRESS;

    if (status != QUARRY_OK) {
        top_return(arena, at, need_bytes);
        return status;
    }
    *ret_offset = (uint32_t)size_align_up_u64(at, align_bytes);
    return QUARRY_OK;
}

enum quarry_status arena_alloc_slow(struct quarry_arena *arena, uint64_t need_bytes,
                                    uint32_t align_bytes, uint32_t *ret_offset)
{
    uint64_t end = atomic_load_relaxed_u64(&arena->top) + need_bytes;

    if (need_bytes > arena->capacity_bytes - QUARRY_ARENA_GRANULE) {
        return QUARRY_TOO_LARGE;
    }
    if (end > arena->capacity_bytes) {
        return QUARRY_NO_ADDRESS;
    }
    enum quarry_status status = arena_back(arena, end);
    if (status != QUARRY_OK) {
        return status;
    }
    /* Relaxed: as in arena_alloc. Others may have taken what was backed for this one. */
    uint64_t at = atomic_add_relaxed_u64(&arena->top, need_bytes);
    return arena_alloc_late(arena, at, need_bytes, align_bytes, ret_offset);
}

enum quarry_status quarry_arena_alloc(struct quarry_arena *arena, size_t bytes, size_t align_bytes,
                                      uint32_t *ret_offset)
{
    Q_ASSERT(bytes >= 1);
    Q_ASSERT(bits_is_power_of_two_u64(align_bytes) && align_bytes <= QUARRY_ARENA_ALIGN_MAX);
    if (Q_UNLIKELY(bytes > UINT32_MAX)) {
        return QUARRY_TOO_LARGE;
    }
    return arena_alloc(arena, (uint32_t)bytes, (uint32_t)align_bytes, ret_offset);
}

void *quarry_arena_at(const struct quarry_arena *arena, uint32_t offset)
{
    return arena_at(arena, offset);
}

void quarry_arena_read(const struct quarry_arena *arena, struct quarry_arena_state *ret_state)
{
    uint64_t top = atomic_load_relaxed_u64(&arena->top);

    *ret_state = (struct quarry_arena_state){
        .capacity_bytes = arena->capacity_bytes,
        .used_bytes = size_min_u64(top, arena->capacity_bytes),
        .lost_bytes = atomic_load_relaxed_u64(&arena->lost_bytes),
        .backed_bytes = atomic_load_acquire_u64(&arena->backed_bytes),
    };
}
