/*
 * Counting without a shared line.
 *
 *   stripe  | owner | hits, misses of each kind and level |      one for each of 8 to 64 threads
 *
 * A thread's stripe is its number modulo their count. The first thread to come by owns it for good
 * and counts by plain additions; others whose numbers fall on it pay for a locked one, in figures
 * apart from its own: bits that an owner's plain addition could lose are in no word that others
 * write. Thread numbers are not given twice, so a stripe whose owner has ended stays nobody else's;
 * that costs its followers some nanoseconds a lookup, and no count.
 *
 * Windows are differences: the totals are kept once a minute for the last twelve, and every ten
 * minutes for the last two hours, and a window begins with the youngest totals that are old enough.
 * Nothing wakes up for it: insertions, ticks and readers of the metrics turn them.
 *
 * Locking: the windows' mutex, for a copy of 2 KiB.
 */
#include <block/counters.h>

void block_lookups_count_slow(struct block_stripe *stripe, uint32_t cell, uint32_t what)
{
    uint32_t nobody = 0, id = os_thread_id();

    /* Relaxed: only the owner draws a conclusion from it. */
    if (atomic_cas_relaxed_u32(&stripe->owner, &nobody, id)) {
        atomic_bump_relaxed_u64(&stripe->lookups[cell].count[what], 1);
        return;
    }
    /* Relaxed: a figure. */
    (void)atomic_add_relaxed_u64(&stripe->shared[cell].count[what], 1);
}

static void add_pairs(const struct block_pair *pairs, struct block_totals *totals)
{
    for (uint32_t i = 0; i < BLOCK_CELLS; i++) {
        totals->cell[i].hits += atomic_load_relaxed_u64(&pairs[i].count[BLOCK_HIT]);
        totals->cell[i].misses += atomic_load_relaxed_u64(&pairs[i].count[BLOCK_MISS]);
    }
}

void block_lookups_add(const struct block_lookups *lookups, struct block_totals *totals)
{
    for (uint32_t i = 0; i <= lookups->mask; i++) {
        add_pairs(lookups->stripes[i].lookups, totals);
        add_pairs(lookups->stripes[i].shared, totals);
    }
}

/* ---- windows -------------------------------------------------------------------------------- */

void block_windows_init(struct block_windows *windows, const struct block_totals *totals)
{
    os_mutex_init(&windows->mutex, OS_RANK_BLOCK_LOAD, UINT32_MAX);
    windows->by_minute =
        (struct block_window){.step_ns = BLOCK_WINDOW_SHORT_NS, .count = 1, .slot = {*totals}};
    windows->by_ten =
        (struct block_window){.step_ns = BLOCK_WINDOW_LONG_NS, .count = 1, .slot = {*totals}};
    atomic_store_relaxed_u64(&windows->next_ns, totals->time_ns + BLOCK_WINDOW_SHORT_NS);
}

static void window_turn(struct block_window *window, const struct block_totals *totals)
{
    if (totals->time_ns < window->slot[window->newest].time_ns + window->step_ns) {
        return;
    }
    window->newest = (window->newest + 1) % BLOCK_WINDOW_SLOTS;
    window->count += window->count < BLOCK_WINDOW_SLOTS;
    window->slot[window->newest] = *totals;
}

void block_windows_turn(struct block_windows *windows, const struct block_totals *totals)
{
    os_mutex_lock(&windows->mutex);
    window_turn(&windows->by_minute, totals);
    window_turn(&windows->by_ten, totals);
    /* Relaxed: a hint. */
    atomic_store_relaxed_u64(&windows->next_ns, totals->time_ns + BLOCK_WINDOW_SHORT_NS);
    os_mutex_unlock(&windows->mutex);
}

/* The youngest totals of at least that age, else the oldest there are. */
static const struct block_totals *window_begin(const struct block_window *window, uint64_t now_ns,
                                               uint64_t age_ns)
{
    uint32_t slot = window->newest;

    for (uint32_t i = 1; i < window->count && window->slot[slot].time_ns + age_ns > now_ns; i++) {
        slot = (slot + BLOCK_WINDOW_SLOTS - 1) % BLOCK_WINDOW_SLOTS;
    }
    return &window->slot[slot];
}

/* Counts that were read a moment earlier for the window's beginning may be a little higher. */
static void subtract(struct block_totals *totals, const struct block_totals *before)
{
    for (uint32_t i = 0; i < BLOCK_CELLS; i++) {
        struct quarry_block_counts *cell = &totals->cell[i];
        cell->hits = sat_sub_u64(cell->hits, before->cell[i].hits);
        cell->misses = sat_sub_u64(cell->misses, before->cell[i].misses);
        cell->inserts = sat_sub_u64(cell->inserts, before->cell[i].inserts);
        cell->evictions = sat_sub_u64(cell->evictions, before->cell[i].evictions);
    }
    totals->ghost_hits = sat_sub_u64(totals->ghost_hits, before->ghost_hits);
}

void block_windows_subtract(struct block_windows *windows, enum quarry_block_window window,
                            struct block_totals *totals, uint64_t *ret_window_ns)
{
    bool is_hour = window == QUARRY_BLOCK_WINDOW_1_HOUR;
    const struct block_window *slots = is_hour ? &windows->by_ten : &windows->by_minute;

    os_mutex_lock(&windows->mutex);
    const struct block_totals *before = window_begin(
        slots, totals->time_ns, is_hour ? 6 * BLOCK_WINDOW_LONG_NS : BLOCK_WINDOW_LONG_NS);
    subtract(totals, before);
    *ret_window_ns = totals->time_ns - before->time_ns;
    os_mutex_unlock(&windows->mutex);
}
