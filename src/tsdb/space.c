/*
 * Spaces: what grows for a while and then goes as a whole, with no slack but its last page.
 *
 *     offset   0        64 K         192 K                    448 K
 *              | 64 KiB |  128 KiB   |       256 KiB          | …
 *               backed    backed bare  (no addresses yet)
 *
 * Everything of a window lies in spaces: the chunklets of each shard, the table of its chains, the
 * columns that are sealed. They want to grow without moving, since readers hold offsets; to cost
 * what is in them, since there are 64 for each open window; and to return their memory at the
 * moment they are done, since sealing is to cost a shard at most. Reserved runs of the page heap do
 * all three (docs/decisions/0012-reserved-runs.md); doubling segments keep their addresses, and
 * with them the lane's metadata, within twice what is used.
 *
 * Invariants
 *   1. Offsets below `backed_bytes` are backed, but for those that tsdb_space_place has skipped:
 *      whoever raises it has backed all from what it was to what it becomes.
 *   2. `charged_bytes` is 8 KiB for each backed page, charged to the account before it was backed.
 *   3. A page is zero when it is first seen: a segment whose free pages had been somebody else's
 *      gives them to the kernel before it is published.
 *
 * Locking: none. Threads that grow a space at once may back the same pages; each page is paid for
 * by one of them (page_lane_back says how many it found bare). Two that make the same segment: the
 * second gives its addresses back.
 *
 * Rejected: 8 KiB pages by a table of pointers (a load more for each chunklet, and freeing a shard
 * is then O(pages)); one reserved run for each shard (its length has to be guessed, and 16 × the
 * budget in addresses costs 0.8 % of it in metadata).
 */
#include <tsdb/space.h>

#include <quarry/memory.h>

static struct page_lane *lane_of(const struct tsdb_space *space)
{
    return (struct page_lane *)(void *)space->lane;
}

void tsdb_space_init(struct tsdb_space *space, struct quarry_lane *lane,
                     struct quarry_account *account)
{
    *space = (struct tsdb_space){.lane = lane, .account = account};
}

/* ---- growing -------------------------------------------------------------------------------- */

/* Free pages of the lane that are still backed come with a run: they are not zero, nor charged. */
static enum quarry_status segment_clean(struct page_lane *lane, void *base, uint64_t page_count)
{
    uint64_t unbacked_pages;
    enum quarry_status status = page_lane_unback(lane, base, 0, page_count, &unbacked_pages);

    if (status != QUARRY_OK) {
        page_lane_free(lane, base);
    }
    return status;
}

static enum quarry_status segment_make(struct tsdb_space *space, uint32_t segment)
{
    struct page_lane *lane = lane_of(space);
    uint64_t page_count = tsdb_space_segment_bytes(segment) >> PAGE_SHIFT;
    struct page_run run =
        page_lane_reserve_run(lane, quarry_account_owner(space->account), page_count, 1);
    void *expected = NULL;

    if (run.base == NULL) {
        return run.status;
    }
    enum quarry_status status = segment_clean(lane, run.base, page_count);
    if (status != QUARRY_OK) {
        return status;
    }
    /* Release: pairs with the acquire in tsdb_space_at. Acquire: another's is used from here on. */
    if (!atomic_cas_acq_rel_ptr(&space->segment[segment], &expected, run.base)) {
        page_lane_free(lane, run.base);
    }
    return QUARRY_OK;
}

static void backed_raise(struct tsdb_space *space, uint64_t end)
{
    uint64_t backed_bytes = atomic_load_relaxed_u64(&space->backed_bytes);

    /* Release: pairs with the acquire in tsdb_space_back. */
    while (backed_bytes < end &&
           !atomic_cas_weak_acq_rel_u64(&space->backed_bytes, &backed_bytes, end)) {
    }
}

/* Backs [from, to), within one segment that has addresses; whole pages. */
static enum quarry_status segment_back(struct tsdb_space *space, uint32_t segment, uint64_t from,
                                       uint64_t to)
{
    uint64_t start = tsdb_space_segment_start(segment), backed_pages = 0;
    enum quarry_status status = quarry_account_charge(space->account, to - from);

    if (status != QUARRY_OK) {
        return status;
    }
    status = page_lane_back(lane_of(space), atomic_load_acquire_ptr(&space->segment[segment]),
                            (from - start) >> PAGE_SHIFT, (to - from) >> PAGE_SHIFT, &backed_pages);
    if (status != QUARRY_OK) {
        backed_pages = 0;
    }
    /* Relaxed: a figure. What others have backed meanwhile, they pay for. */
    (void)atomic_add_relaxed_u64(&space->charged_bytes, backed_pages << PAGE_SHIFT);
    quarry_account_uncharge(space->account, to - from - (backed_pages << PAGE_SHIFT));
    return status;
}

enum quarry_status tsdb_space_back_slow(struct tsdb_space *space, uint64_t end_bytes)
{
    enum quarry_status status = QUARRY_OK;

    if (end_bytes > TSDB_SPACE_BYTES_MAX) {
        return QUARRY_NO_ADDRESS;
    }
    uint64_t end = size_align_up_u64(end_bytes, PAGE_BYTES);
    uint64_t from = atomic_load_acquire_u64(&space->backed_bytes);
    while (from < end && status == QUARRY_OK) {
        uint32_t segment = tsdb_space_segment(from);
        uint64_t to = size_min_u64(end, tsdb_space_segment_start(segment) +
                                            tsdb_space_segment_bytes(segment));
        /* Acquire: pairs with the release in segment_make. */
        if (atomic_load_acquire_ptr(&space->segment[segment]) == NULL) {
            status = segment_make(space, segment);
        }
        if (status == QUARRY_OK) {
            status = segment_back(space, segment, from, to);
        }
        if (status == QUARRY_OK) {
            backed_raise(space, to);
            from = to;
        }
    }
    return status;
}

enum quarry_status tsdb_space_place(struct tsdb_space *space, uint64_t offset, uint64_t count,
                                    uint64_t *ret_offset)
{
    for (uint32_t segment = tsdb_space_segment(offset); segment < TSDB_SPACE_SEGMENTS; segment++) {
        uint64_t start = tsdb_space_segment_start(segment);
        uint64_t from = size_max_u64(start, offset);
        if (count <= start + tsdb_space_segment_bytes(segment) - from) {
            backed_raise(space, start);
            *ret_offset = from;
            return QUARRY_OK;
        }
    }
    return QUARRY_NO_ADDRESS;
}

/* ---- giving back ---------------------------------------------------------------------------- */

void tsdb_space_forget(struct tsdb_space *space)
{
    /* Relaxed, here and below: nobody else uses the space any more. */
    uint64_t charged_bytes = atomic_exchange_relaxed_u64(&space->charged_bytes, 0);

    atomic_store_relaxed_u64(&space->backed_bytes, 0);
    for (uint32_t i = 0; i < TSDB_SPACE_SEGMENTS; i++) {
        atomic_store_relaxed_ptr(&space->segment[i], NULL);
    }
    if (charged_bytes != 0) {
        quarry_account_uncharge(space->account, charged_bytes);
    }
}

void tsdb_space_give(struct tsdb_space *space)
{
    struct page_lane *lane = lane_of(space);

    for (uint32_t i = 0; i < TSDB_SPACE_SEGMENTS; i++) {
        void *base = atomic_load_relaxed_ptr(&space->segment[i]);
        uint64_t unbacked_pages;
        if (base == NULL) {
            continue;
        }
        (void)page_lane_unback(lane, base, 0, tsdb_space_segment_bytes(i) >> PAGE_SHIFT,
                               &unbacked_pages);
        page_lane_free(lane, base);
    }
    tsdb_space_forget(space);
}

/* Pages within one segment. */
static void segment_trim(struct tsdb_space *space, uint32_t segment, uint64_t from, uint64_t to)
{
    uint64_t start = tsdb_space_segment_start(segment), unbacked_pages = 0;
    void *base = atomic_load_relaxed_ptr(&space->segment[segment]); /* its threads made it */

    if (base == NULL || to <= from) {
        return;
    }
    (void)page_lane_unback(lane_of(space), base, (from - start) >> PAGE_SHIFT,
                           (to - from) >> PAGE_SHIFT, &unbacked_pages);
    if (unbacked_pages != 0) {
        (void)atomic_sub_relaxed_u64(&space->charged_bytes, unbacked_pages << PAGE_SHIFT);
        quarry_account_uncharge(space->account, unbacked_pages << PAGE_SHIFT);
    }
}

void tsdb_space_trim(struct tsdb_space *space, uint64_t from, uint64_t to)
{
    for (uint32_t i = 0; i < TSDB_SPACE_SEGMENTS; i++) {
        uint64_t start = tsdb_space_segment_start(i);
        uint64_t end = start + tsdb_space_segment_bytes(i);
        /* Segments begin and end at pages. */
        segment_trim(space, i, size_max_u64(start, size_align_up_u64(from, PAGE_BYTES)),
                     size_min_u64(end, to & ~(uint64_t)(PAGE_BYTES - 1)));
    }
}
