/*
 * Writing a heap map.
 *
 *   | header | lane … | owner … | entry entry entry … of the first lane | of the second | … |
 *
 * The lanes are pinned first, so that none goes away half way. How many chunks each has grown is
 * then read once, and exactly so many entries are written of it: chunks never leave a lane that
 * lives, and those that join later are for the next snapshot.
 *
 * An entry is made of the chunk's two bitmaps, its leaf summary, and the heads of its runs. A run
 * that began in a chunk below is carried along; over the gap between two batches, where the lock
 * was let go, the carry is believed only while its head stands. Heads of runs in page caches change
 * without the lane's lock, so a length read from a head is never trusted further than the bits:
 * only pages whose bit says "in use" are counted, each once.
 *
 * Invariants
 *   1. Of each entry: owned + other = in use; in use + scavenged ≤ pages of a chunk.
 *   2. The bytes written are what page_heap_map_bytes said for the same chunks.
 *
 * Locks: lanes_mutex while pinning; one lane's mutex at a time, for MAP_BATCH_CHUNKS chunks.
 *
 * Cost: for a chunk of long runs little more than its three cache lines; for one of single pages,
 * 512 heads. Rejected: stopping the heap as the ledger does. The sum would be of one instant, and a
 * thread that allocates would wait for the whole picture.
 */
#include <page/heap_map.h>

#include <page/heap.h>
#include <page/heap_map_format.h>

#include <string.h>

/*
 * Chunks in one stretch of the lane's lock: about 20 microseconds when all of their runs are single
 * pages. Doubling it doubles how long an allocation may wait, and saves a lock every few chunks.
 */
#define MAP_BATCH_CHUNKS 64u

/* The lanes that are in the picture, by rising id; all pinned. */
struct map_lanes {
    uint32_t count;
    uint64_t chunk_count; /* of all */
    struct page_lane *lane[PAGE_LANES_MAX];
    uint32_t grown_chunks[PAGE_LANES_MAX];
};

/* How many pages of a chunk each owner has. */
struct map_tally {
    uint32_t owner_count; /* owners in the picture; those registered later count as none */
    uint32_t met_count;
    uint16_t met[PAGE_CHUNK_PAGES]; /* owners whose pages are not 0 */
    uint16_t pages[PAGE_OWNERS_MAX];
};

/* A run met on the way, which may reach over the end of the chunk at hand. */
struct map_carry {
    uint64_t page; /* where it begins */
    uint64_t end;  /* 0: there is none */
    uint32_t head;
};

#define NO_RUN ((struct map_carry){0})

/* ---- the lanes ------------------------------------------------------------------------------ */

static void lanes_pin(struct page_heap *heap, struct map_lanes *lanes)
{
    struct page_lane *by_id[PAGE_LANES_MAX] = {NULL};
    const char *below = heap->space + heap->space_bytes;
    struct page_lane *lane;

    while ((lane = page_heap_pin_below(heap, below)) != NULL) {
        Q_ASSERT(by_id[lane->id] == NULL);
        by_id[lane->id] = lane;
        below = lane->base;
    }
    *lanes = (struct map_lanes){0};
    for (uint32_t id = 0; id < PAGE_LANES_MAX; id++) {
        if (by_id[id] != NULL) {
            os_mutex_lock(&by_id[id]->mutex);
            uint32_t grown_chunks = (uint32_t)(by_id[id]->tree.total_pages >> PAGE_CHUNK_SHIFT);
            os_mutex_unlock(&by_id[id]->mutex);
            lanes->lane[lanes->count] = by_id[id];
            lanes->grown_chunks[lanes->count++] = grown_chunks;
            lanes->chunk_count += grown_chunks;
        }
    }
}

static void lanes_unpin(struct map_lanes *lanes)
{
    for (uint32_t i = 0; i < lanes->count; i++) {
        page_heap_unpin(lanes->lane[i]);
    }
}

static uint32_t owner_count_now(struct page_heap *heap)
{
    /* Pairs with the release in page_ledger_register. */
    return atomic_load_acquire_u32(&heap->ledger.owner_count);
}

static size_t map_bytes(const struct map_lanes *lanes, uint32_t owner_count)
{
    return MAP_HEADER_BYTES + lanes->count * (size_t)MAP_LANE_BYTES +
           owner_count * (size_t)MAP_OWNER_BYTES + lanes->chunk_count * MAP_ENTRY_BYTES;
}

size_t page_heap_map_bytes(struct page_heap *heap)
{
    struct map_lanes lanes;

    lanes_pin(heap, &lanes);
    size_t bytes = map_bytes(&lanes, owner_count_now(heap));
    lanes_unpin(&lanes);
    return bytes;
}

/* ---- header, lanes, owners ------------------------------------------------------------------ */

static void put_header(uint8_t *at, struct page_heap *heap, const struct map_lanes *lanes,
                       uint32_t owner_count)
{
    struct page_commit_state state = page_commit_read(&heap->commit);

    memcpy(at + MAP_AT_MAGIC, MAP_MAGIC, sizeof(MAP_MAGIC) - 1);
    endian_store_le_u16(at + MAP_AT_VERSION, PAGE_HEAP_MAP_VERSION);
    endian_store_le_u16(at + MAP_AT_HEADER_BYTES, MAP_HEADER_BYTES);
    endian_store_le_u16(at + MAP_AT_LANE_BYTES, MAP_LANE_BYTES);
    endian_store_le_u16(at + MAP_AT_OWNER_BYTES, MAP_OWNER_BYTES);
    endian_store_le_u16(at + MAP_AT_ENTRY_BYTES, MAP_ENTRY_BYTES);
    endian_store_le_u16(at + MAP_AT_LANE_COUNT, (uint16_t)lanes->count);
    endian_store_le_u16(at + MAP_AT_OWNER_COUNT, (uint16_t)owner_count);
    endian_store_le_u16(at + MAP_AT_CHUNK_PAGES, (uint16_t)PAGE_CHUNK_PAGES);
    endian_store_le_u32(at + MAP_AT_PAGE_BYTES, (uint32_t)PAGE_BYTES);
    endian_store_le_u32(at + MAP_AT_CHUNK_COUNT, (uint32_t)lanes->chunk_count);
    endian_store_le_u64(at + MAP_AT_WALL_NS, os_wall_ns(heap->os));
    endian_store_le_u64(at + MAP_AT_COMMITTED_BYTES, state.committed_bytes);
    endian_store_le_u64(at + MAP_AT_LIMIT_BYTES, state.limit_bytes);
    endian_store_le_u64(at + MAP_AT_METADATA_BYTES,
                        atomic_load_relaxed_u64(&heap->commit.metadata_bytes));
}

static void put_lane(uint8_t *at, const struct page_lane *lane, uint32_t grown_chunks)
{
    uint16_t flags = lane->is_file_backed ? PAGE_MAP_LANE_IS_FILE_BACKED : 0;

    memset(at, 0, MAP_LANE_BYTES);
    endian_store_le_u16(at + MAP_LANE_AT_ID, (uint16_t)lane->id);
    endian_store_le_u16(at + MAP_LANE_AT_FLAGS, flags);
    endian_store_le_u32(at + MAP_LANE_AT_GROWN_CHUNKS, grown_chunks);
    endian_store_le_u32(at + MAP_LANE_AT_CHUNK_LIMIT, lane->chunk_limit);
    memcpy(at + MAP_LANE_AT_NAME, lane->name, strlen(lane->name) + 1);
}

static void put_owner(uint8_t *at, uint32_t id, const char *name)
{
    memset(at, 0, MAP_OWNER_BYTES);
    endian_store_le_u16(at + MAP_OWNER_AT_ID, (uint16_t)id);
    memcpy(at + MAP_OWNER_AT_NAME, name, strlen(name) + 1);
}

/* ---- chunks
 * ------------------------------------------------------------------------------------------------
 */

static void tally_add(struct map_tally *tally, uint32_t owner, uint32_t page_count)
{
    if (owner == PAGE_OWNER_NONE || owner >= tally->owner_count || page_count == 0) {
        return;
    }
    if (tally->pages[owner] == 0) {
        tally->met[tally->met_count++] = (uint16_t)owner;
    }
    tally->pages[owner] = (uint16_t)(tally->pages[owner] + page_count);
}

/* The owner with the most pages, of equals the one met first; forgets all. */
static uint32_t tally_finish(struct map_tally *tally)
{
    uint32_t owner = PAGE_OWNER_NONE;
    uint32_t most = 0;

    for (uint32_t i = 0; i < tally->met_count; i++) {
        uint16_t *pages = &tally->pages[tally->met[i]];
        if (*pages > most) {
            most = *pages;
            owner = tally->met[i];
        }
        *pages = 0;
    }
    tally->met_count = 0;
    return owner;
}

/* The first page from `index` on whose bit is set; PAGE_CHUNK_PAGES when there is none. */
static uint32_t next_in_use(const struct page_bits *in_use, uint32_t index)
{
    while (index < PAGE_CHUNK_PAGES) {
        uint64_t word = page_bits_block(in_use, index) >> (index % 64);
        if (word != 0) {
            return index + bits_trailing_zeros_u64(word);
        }
        index = (index / 64 + 1) * 64;
    }
    return PAGE_CHUNK_PAGES;
}

static uint64_t run_end(const struct page_lane *lane, uint64_t page, uint32_t head)
{
    uint64_t page_count = page_head_pages(head);

    if (page_count == PAGE_HEAD_PAGES_LONG) {
        page_count = atomic_load_relaxed_u32(&lane->head[page + 1]);
    }
    return page + size_max_u64(page_count, 1);
}

/* The run that begins at a page, or NO_RUN. */
static struct map_carry run_at(const struct page_lane *lane, uint64_t page)
{
    /* Relaxed: a run that a cache takes or gives meanwhile may show either way. */
    uint32_t head = atomic_load_relaxed_u32(&lane->head[page]);

    return head == 0 ? NO_RUN : (struct map_carry){page, run_end(lane, page, head), head};
}

/*
 * How many runs of one page with this very head begin at `index`, one after the other. Chunks of
 * single pages are what a snapshot spends its time on, and mostly they have one owner.
 */
static uint32_t count_single_pages(const struct page_lane *lane, uint64_t chunk_page,
                                   const struct page_bits *in_use, uint32_t index, uint32_t head)
{
    uint32_t end = index + 1;

    while (end < PAGE_CHUNK_PAGES && page_bits_get(in_use, end) &&
           atomic_load_relaxed_u32(&lane->head[chunk_page + end]) == head) {
        end++;
    }
    return end - index;
}

/* The pages of a chunk that are in use and backed. */
static struct page_bits backed_in_use(const struct page_chunk *bits)
{
    struct page_bits backed;

    for (uint32_t i = 0; i < PAGE_BITS_WORDS; i++) {
        backed.word[i] = bits->in_use.word[i] & ~bits->scavenged.word[i];
    }
    return backed;
}

/* Backed pages of `run` in the chunk from `index` on, and below `*ret_end`, where its part ends. */
static uint32_t count_run_pages(const struct page_bits *backed, uint64_t chunk_page,
                                const struct map_carry *run, uint32_t index, uint32_t *ret_end)
{
    *ret_end = (uint32_t)(size_min_u64(run->end, chunk_page + PAGE_CHUNK_PAGES) - chunk_page);
    return page_bits_count(backed, index, *ret_end - index);
}

/*
 * Walks the runs of a chunk; `carry` comes in from the chunk below and goes out to the one above.
 * `backed`: pages in use that count; a reserved run may begin with one that does not.
 * Returns: how many of them belong to a run.
 */
static uint32_t count_owned(const struct page_lane *lane, uint32_t chunk,
                            const struct page_bits *backed, struct map_carry *carry,
                            struct map_tally *tally)
{
    const struct page_bits *in_use = &lane->tree.chunk[chunk].in_use;
    uint64_t chunk_page = (uint64_t)chunk << PAGE_CHUNK_SHIFT;
    struct map_carry run = *carry;
    uint32_t owned = 0, index = 0, page_count;

    while (index < PAGE_CHUNK_PAGES) {
        if (run.end > chunk_page + index) {
            page_count = count_run_pages(backed, chunk_page, &run, index, &index);
        } else {
            page_count = 0;
            index = next_in_use(in_use, index);
            run = index < PAGE_CHUNK_PAGES ? run_at(lane, chunk_page + index) : NO_RUN;
            if (run.head == 0) {
                index++;
            } else if (page_head_pages(run.head) == 1) {
                page_count = count_single_pages(lane, chunk_page, in_use, index, run.head);
                index += page_count;
            }
        }
        tally_add(tally, page_head_owner(run.head), page_count);
        owned += page_count;
    }
    *carry = run.end > chunk_page + PAGE_CHUNK_PAGES ? run : NO_RUN;
    return owned;
}

static void put_entry(uint8_t *at, const struct page_lane *lane, uint32_t chunk,
                      struct map_carry *carry, struct map_tally *tally)
{
    const struct page_chunk *bits = &lane->tree.chunk[chunk];
    struct page_bits backed = backed_in_use(bits);
    uint32_t in_use = page_bits_count(&backed, 0, PAGE_CHUNK_PAGES);
    uint32_t scavenged = page_bits_count(&bits->scavenged, 0, PAGE_CHUNK_PAGES);
    bool is_empty = page_bits_is_clear(&bits->in_use, 0, PAGE_CHUNK_PAGES);
    uint32_t owned = is_empty ? 0 : count_owned(lane, chunk, &backed, carry, tally);
    uint64_t largest_free = page_summary_max(lane->tree.level[PAGE_LEVELS - 1][chunk]);
    uint8_t flags = in_use >= PAGE_DENSE_CHUNK_PAGES ? PAGE_MAP_DENSE : 0;

    Q_ASSERT(owned <= in_use && in_use + scavenged <= PAGE_CHUNK_PAGES); /* invariant 1 */
    if (in_use + scavenged < PAGE_CHUNK_PAGES) {
        flags |= PAGE_MAP_HAS_BACKED_FREE;
    }
    if (is_empty) {
        *carry = NO_RUN;
    }
    endian_store_le_u32(at + MAP_ENTRY_AT_CHUNK, chunk);
    endian_store_le_u16(at + MAP_ENTRY_AT_IN_USE, (uint16_t)in_use);
    endian_store_le_u16(at + MAP_ENTRY_AT_SCAVENGED, (uint16_t)scavenged);
    at[MAP_ENTRY_AT_LANE] = (uint8_t)lane->id;
    at[MAP_ENTRY_AT_FLAGS] = flags;
    endian_store_le_u16(at + MAP_ENTRY_AT_OWNER, (uint16_t)tally_finish(tally));
    endian_store_le_u16(at + MAP_ENTRY_AT_LARGEST_FREE, (uint16_t)largest_free);
    endian_store_le_u16(at + MAP_ENTRY_AT_OTHER, (uint16_t)(in_use - owned));
}

/* The first grown chunk at or above `chunk`; there is one. */
static uint32_t next_grown_locked(const struct page_lane *lane, uint32_t chunk)
    Q_REQUIRES(&lane->mutex)
{
    const struct page_ranges *ranges = &lane->tree.ranges;
    uint32_t at = page_ranges_find(ranges, chunk);

    Q_ASSERT(at < ranges->count);
    return chunk > ranges->range[at].first ? chunk : ranges->range[at].first;
}

/* Between two batches the run may have been freed and its pages given to another. */
static void carry_check_locked(const struct page_lane *lane, struct map_carry *carry)
    Q_REQUIRES(&lane->mutex)
{
    if (carry->end != 0 && (atomic_load_relaxed_u32(&lane->head[carry->page]) != carry->head ||
                            run_end(lane, carry->page, carry->head) != carry->end)) {
        *carry = NO_RUN;
    }
}

static uint8_t *put_lane_entries(uint8_t *at, struct page_lane *lane, uint32_t grown_chunks,
                                 struct map_tally *tally)
{
    struct map_carry carry = NO_RUN;
    uint32_t chunk = 0, done = 0;

    while (done < grown_chunks) {
        uint32_t batch_end = done + (uint32_t)size_min_u64(grown_chunks - done, MAP_BATCH_CHUNKS);
        os_mutex_lock(&lane->mutex);
        carry_check_locked(lane, &carry);
        for (; done < batch_end; done++, chunk++, at += MAP_ENTRY_BYTES) {
            chunk = next_grown_locked(lane, chunk);
            put_entry(at, lane, chunk, &carry, tally);
        }
        os_mutex_unlock(&lane->mutex);
    }
    return at;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static uint8_t *put_all(uint8_t *at, struct page_heap *heap, const struct map_lanes *lanes,
                        uint32_t owner_count)
{
    struct map_tally tally = {.owner_count = owner_count};

    put_header(at, heap, lanes, owner_count);
    at += MAP_HEADER_BYTES;
    for (uint32_t i = 0; i < lanes->count; i++, at += MAP_LANE_BYTES) {
        put_lane(at, lanes->lane[i], lanes->grown_chunks[i]);
    }
    for (uint32_t owner = 0; owner < owner_count; owner++, at += MAP_OWNER_BYTES) {
        put_owner(at, owner, heap->ledger.owner[owner].name);
    }
    for (uint32_t i = 0; i < lanes->count; i++) {
        at = put_lane_entries(at, lanes->lane[i], lanes->grown_chunks[i], &tally);
    }
    return at;
}

enum quarry_status page_heap_map_write(struct page_heap *heap, void *buffer, size_t capacity,
                                       size_t *ret_bytes)
{
    enum quarry_status status = QUARRY_TOO_LARGE;
    struct map_lanes lanes;

    lanes_pin(heap, &lanes);
    uint32_t owner_count = owner_count_now(heap);
    size_t bytes = map_bytes(&lanes, owner_count);
    if (bytes <= capacity) {
        const uint8_t *end = put_all(buffer, heap, &lanes, owner_count);
        Q_ASSERT((size_t)(end - (const uint8_t *)buffer) == bytes); /* invariant 2 */
        *ret_bytes = bytes;
        status = QUARRY_OK;
    }
    lanes_unpin(&lanes);
    return status;
}
