/*
 * The budget's base.
 *
 * Invariant: committed ≤ limit in every value the word ever has. It is asserted, in all builds, on
 * each value before it is written.
 *
 * Order: charges and releases only count. What happens to the memory itself is ordered by the lane
 * locks and by the kernel, so the exchanges are relaxed but for the pairing of a release with the
 * charge that it made room for (acq_rel), which keeps "decommit, then release" before "charge, then
 * touch".
 */
#include <page/commit.h>

static uint64_t commit_pack(uint64_t limit_units, uint64_t committed_units)
{
    Q_ASSERT(committed_units <= limit_units && limit_units <= UINT32_MAX);
    return limit_units << 32 | committed_units;
}

static uint64_t units_of(uint64_t bytes)
{
    Q_ASSERT(bytes % PAGE_COMMIT_UNIT_BYTES == 0);
    return bytes >> PAGE_COMMIT_UNIT_SHIFT;
}

void page_commit_init(struct page_commit *commit, uint64_t limit_bytes)
{
    Q_ASSERT(limit_bytes <= PAGE_COMMIT_LIMIT_MAX_BYTES);
    atomic_store_relaxed_u64(&commit->word, commit_pack(limit_bytes >> PAGE_COMMIT_UNIT_SHIFT, 0));
    atomic_store_relaxed_u64(&commit->peak_bytes, 0);
    atomic_store_relaxed_u64(&commit->metadata_bytes, 0);
    atomic_store_relaxed_u64(&commit->falling_units, PAGE_COMMIT_NOT_FALLING);
}

struct page_commit_state page_commit_read(const struct page_commit *commit)
{
    uint64_t word = atomic_load_acquire_u64(&commit->word);

    return (struct page_commit_state){(word >> 32) << PAGE_COMMIT_UNIT_SHIFT,
                                      (word & UINT32_MAX) << PAGE_COMMIT_UNIT_SHIFT};
}

static void commit_note_peak(struct page_commit *commit, uint64_t committed_bytes)
{
    uint64_t peak = atomic_load_relaxed_u64(&commit->peak_bytes);

    while (committed_bytes > peak &&
           !atomic_cas_weak_relaxed_u64(&commit->peak_bytes, &peak, committed_bytes)) {
    }
}

bool page_commit_try(struct page_commit *commit, uint64_t bytes)
{
    uint64_t units = units_of(bytes);
    uint64_t word = atomic_load_relaxed_u64(&commit->word);

    if (units == 0) {
        return true;
    }
    for (;;) {
        uint64_t limit = word >> 32, committed = word & UINT32_MAX;
        /* Relaxed: one charge more or less makes no difference to a limit on its way. */
        uint64_t goal = size_min_u64(limit, atomic_load_relaxed_u64(&commit->falling_units));
        if (units > sat_sub_u64(goal, committed)) {
            return false;
        }
        /* Pairs with the exchange in page_commit_release. */
        if (atomic_cas_weak_acq_rel_u64(&commit->word, &word,
                                        commit_pack(limit, committed + units))) {
            commit_note_peak(commit, (committed + units) << PAGE_COMMIT_UNIT_SHIFT);
            return true;
        }
    }
}

void page_commit_release(struct page_commit *commit, uint64_t bytes)
{
    uint64_t units = units_of(bytes);

    if (units == 0) {
        return;
    }
    /* Committed is the low half: a subtraction that does not borrow leaves the limit alone. */
    uint64_t word = atomic_sub_acq_rel_u64(&commit->word, units);
    Q_ASSERT((word & UINT32_MAX) >= units);
}

bool page_commit_try_metadata(struct page_commit *commit, uint64_t bytes)
{
    if (!page_commit_try(commit, bytes)) {
        return false;
    }
    page_commit_note_metadata(commit, bytes);
    return true;
}

void page_commit_release_metadata(struct page_commit *commit, uint64_t bytes)
{
    uint64_t metadata_bytes = atomic_sub_relaxed_u64(&commit->metadata_bytes, bytes);

    Q_ASSERT(metadata_bytes >= bytes);
    page_commit_release(commit, bytes);
}

void page_commit_note_metadata(struct page_commit *commit, uint64_t bytes)
{
    /* Pairs with the acquire load of ledger readers: the charge came first. */
    (void)atomic_add_release_u64(&commit->metadata_bytes, bytes);
}

uint64_t page_commit_set_limit(struct page_commit *commit, uint64_t limit_bytes)
{
    uint64_t wanted = limit_bytes >> PAGE_COMMIT_UNIT_SHIFT;
    uint64_t word = atomic_load_relaxed_u64(&commit->word);

    Q_ASSERT(limit_bytes <= PAGE_COMMIT_LIMIT_MAX_BYTES);
    for (;;) {
        uint64_t committed = word & UINT32_MAX;
        uint64_t limit = size_max_u64(wanted, committed);
        if (atomic_cas_weak_acq_rel_u64(&commit->word, &word, commit_pack(limit, committed))) {
            return limit << PAGE_COMMIT_UNIT_SHIFT;
        }
    }
}

void page_commit_set_falling(struct page_commit *commit, uint64_t limit_bytes)
{
    uint64_t units =
        limit_bytes == UINT64_MAX ? PAGE_COMMIT_NOT_FALLING : limit_bytes >> PAGE_COMMIT_UNIT_SHIFT;

    atomic_store_relaxed_u64(&commit->falling_units, units);
}

uint64_t page_commit_goal_bytes(const struct page_commit *commit)
{
    uint64_t limit = atomic_load_acquire_u64(&commit->word) >> 32;

    return size_min_u64(limit, atomic_load_relaxed_u64(&commit->falling_units))
           << PAGE_COMMIT_UNIT_SHIFT;
}

void page_commit_recount(struct page_commit *commit, uint64_t committed_bytes)
{
    uint64_t limit = atomic_load_relaxed_u64(&commit->word) >> 32;
    uint64_t committed = units_of(committed_bytes);

    atomic_store_relaxed_u64(&commit->word, commit_pack(size_max_u64(limit, committed), committed));
}
