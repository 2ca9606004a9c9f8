/*
 * Blocks: made, counted, freed.
 *
 *     cell  | header, 64 | payload | extra |  rounding  |       up to 512 KiB, from the slab
 *     run   | header, 64 | payload | extra |  rounding …|       above, whole pages
 *
 * A block is made with one reference, filled by whoever has that, and then perhaps entered into the
 * cache, once. What was never entered goes back at once; what was, lock-free readers may still be
 * looking at the header of, so its cell is retired and its run waits in the limbo:
 *
 *   1. A header's `count`, `key` and `referenced` stay readable until all who were inside the
 *      epoch when the last reference went have left it.
 *   2. `ref` is 0 from then on, and another's name later: a handle that outlived its block is found
 *      out by comparing it.
 *
 * Locking: none. The limbo is a stack that is taken whole, so nothing can be popped twice.
 *
 * Cost: what the slab's cells cost, and a line of header.
 */
#include <block/cache.h>

#include <string.h>

/* What lies in the payload of a large block in limbo. */
struct block_large {
    struct block_large *next;
    uint64_t stamp;
};

/* How often blocks are evicted for a cell before whole pages are asked for. */
#define EVICT_ROUNDS 8u

/* In place of a class that no slab has. */
#define LARGE_CLASS UINT64_C(0xffff)

/* What freed payloads read as in debug builds. */
#define POISON 0xcc

#ifdef QUARRY_DEBUG_CHECKS
#define IS_POISONED true
#else
#define IS_POISONED false
#endif

/* ---- large blocks --------------------------------------------------------------------------- */

/* A number that no other block has: 48 bits around the class that names no cell. */
static uint64_t large_ref(struct quarry_block_cache *cache)
{
    uint64_t serial = atomic_add_relaxed_u64(&cache->large_serial, 1) + 1;

    return serial >> 32 << 48 | LARGE_CLASS << 32 | (serial & UINT32_MAX);
}

static void large_push(struct quarry_block_cache *cache, struct block_large *large)
{
    void *first = atomic_load_relaxed_ptr(&cache->large_limbo);

    do {
        large->next = first;
        /* Release: pairs with the acquire in block_large_collect. */
    } while (!atomic_cas_weak_release_ptr(&cache->large_limbo, &first, large));
}

void block_large_collect(struct quarry_block_cache *cache)
{
    if (Q_LIKELY(atomic_load_relaxed_ptr(&cache->large_limbo) == NULL)) {
        return;
    }
    struct block_large *large = atomic_exchange_acquire_ptr(&cache->large_limbo, NULL);
    while (large != NULL) {
        struct block_large *next = large->next;
        if (ref_epoch_is_past(cache->epoch, large->stamp)) {
            void *base = block_header_of(large);
            quarry_account_pages_free(cache->account, cache->lane, base);
        } else {
            large_push(cache, large);
        }
        large = next;
    }
}

static enum quarry_status large_take(struct quarry_block_cache *cache, size_t bytes,
                                     struct quarry_cell *ret_cell)
{
    uint64_t page_count = (bytes + QUARRY_PAGE_BYTES - 1) / QUARRY_PAGE_BYTES;

    block_large_collect(cache);
    enum quarry_status status = block_cache_on_page(cache, page_count * QUARRY_PAGE_BYTES);
    if (status == QUARRY_OK) {
        status =
            quarry_account_pages_alloc(cache->account, cache->lane, page_count, &ret_cell->data);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    ret_cell->ref = large_ref(cache);
    (void)atomic_add_relaxed_u64(&cache->large_count, 1);
    (void)atomic_add_relaxed_u64(&cache->large_bytes, page_count * QUARRY_PAGE_BYTES);
    return QUARRY_OK;
}

static void large_give(struct quarry_block_cache *cache, struct block_header *header,
                       bool was_entered)
{
    uint64_t bytes = quarry_pages_count(cache->lane, header) * QUARRY_PAGE_BYTES;

    /* Relaxed: figures. */
    (void)atomic_sub_relaxed_u64(&cache->large_count, 1);
    (void)atomic_sub_relaxed_u64(&cache->large_bytes, bytes);
    if (!was_entered) {
        quarry_account_pages_free(cache->account, cache->lane, header);
        return;
    }
    struct block_large *large = block_header_data(header);
    large->stamp = ref_epoch_now(cache->epoch);
    large_push(cache, large);
    ref_epoch_advance(cache->epoch);
    block_large_collect(cache);
}

/* ---- making and freeing --------------------------------------------------------------------- */

static enum quarry_status memory_take(struct quarry_block_cache *cache, size_t bytes,
                                      struct quarry_cell *ret_cell)
{
    return bytes <= QUARRY_SLAB_CELL_BYTES_MAX ? quarry_slab_take(cache->slab, bytes, ret_cell)
                                               : large_take(cache, bytes, ret_cell);
}

/* As memory_take, where blocks of this cache can make way. */
static enum quarry_status memory_exchange(struct quarry_block_cache *cache, size_t bytes,
                                          struct quarry_cell *ret_cell)
{
    block_cache_exchange_begin(cache);
    enum quarry_status status = memory_take(cache, bytes, ret_cell);
    block_cache_exchange_end(cache);
    return status;
}

/*
 * The memory is full, or the cache holds all that it may, and other reclaimers have done what they
 * could. What this cache holds it can always exchange: some blocks go, and their cells come back as
 * soon as readers have left them, or whole pages, where most of their cells are free. Where that
 * finds no cell, of another size than most, the cache is to give whole pages first. What is left
 * then is held by readers: for their sake the cache may pass what it may hold.
 */
static enum quarry_status memory_take_slow(struct quarry_block_cache *cache, size_t bytes,
                                           struct quarry_cell *ret_cell)
{
    enum quarry_status status = QUARRY_NO_MEMORY;

    for (uint32_t i = 1; i <= EVICT_ROUNDS && status == QUARRY_NO_MEMORY; i++) {
        if (!block_cache_make_way(cache, bytes * i)) {
            break;
        }
        status = memory_exchange(cache, bytes, ret_cell);
    }
    if (status != QUARRY_NO_MEMORY) {
        return status;
    }
    block_cache_make_room(cache, bytes);
    return memory_take(cache, bytes, ret_cell);
}

enum quarry_status quarry_block_alloc(struct quarry_block_cache *cache, size_t payload_bytes,
                                      size_t extra_bytes, struct quarry_block *ret_block)
{
    if (payload_bytes > QUARRY_BLOCK_BYTES_MAX ||
        extra_bytes > QUARRY_BLOCK_BYTES_MAX - payload_bytes) {
        return QUARRY_TOO_LARGE;
    }
    size_t bytes = block_total_bytes(payload_bytes, extra_bytes);
    struct quarry_cell cell;
    /* What no shard would keep nothing makes way for. */
    enum quarry_status status = Q_LIKELY(bytes <= atomic_load_relaxed_u64(&cache->limits.max_bytes))
                                    ? memory_exchange(cache, bytes, &cell)
                                    : memory_take(cache, bytes, &cell);
    if (Q_UNLIKELY(status == QUARRY_NO_MEMORY)) {
        status = memory_take_slow(cache, bytes, &cell);
    }
    if (Q_UNLIKELY(status != QUARRY_OK)) {
        return status;
    }
    struct block_header *header = cell.data;
    ref_count_init(&header->count);
    header->payload_bytes = (uint32_t)payload_bytes;
    header->extra_bytes = (uint32_t)extra_bytes;
    header->is_large = bytes > QUARRY_SLAB_CELL_BYTES_MAX;
    atomic_store_relaxed_uptr(&header->referenced, 0);
    /* Release: pairs with the acquire in the mover, which looks at any cell. */
    atomic_store_release_u64(&header->ref, cell.ref);
    *ret_block = block_handle(cache, header);
    return QUARRY_OK;
}

uint64_t block_buffer_bytes(const struct quarry_block_cache *cache,
                            const struct block_header *header)
{
    return header->is_large
               ? quarry_pages_count(cache->lane, header) * QUARRY_PAGE_BYTES
               : quarry_slab_cell_bytes(cache->slab, atomic_load_relaxed_u64(&header->ref));
}

void block_buffer_free(struct quarry_block_cache *cache, struct block_header *header)
{
    /* Relaxed: the last reference was this thread's. */
    uint64_t ref = atomic_load_relaxed_u64(&header->ref);
    bool was_entered = atomic_load_relaxed_uptr(&header->referenced) != 0;

    Q_DCHECK(ref_count_read(&header->count) == 0);
    if (IS_POISONED) {
        memset(block_header_data(header), POISON,
               block_total_bytes(header->payload_bytes, header->extra_bytes) -
                   QUARRY_BLOCK_HEADER_BYTES);
    }
    atomic_store_relaxed_u64(&header->ref, 0);
    atomic_store_relaxed_uptr(&header->referenced, 0);
    if (Q_UNLIKELY(header->is_large)) {
        large_give(cache, header, was_entered);
    } else if (was_entered) {
        quarry_slab_retire(cache->slab, ref);
    } else {
        quarry_slab_give(cache->slab, ref);
    }
}

/* ---- references ----------------------------------------------------------------------------- */

struct quarry_block quarry_block_acquire(struct quarry_block_cache *cache,
                                         const struct quarry_block *block)
{
    struct block_header *header = block_held(block);

    ref_count_acquire(&header->count);
    return block_handle(cache, header);
}

void quarry_block_release(struct quarry_block_cache *cache, struct quarry_block *block)
{
    if (block->data == NULL) {
        return;
    }
    struct block_header *header = block_held(block);
    ref_leak_forget(cache->leaks, block->token);
    *block = (struct quarry_block){0};
    block_header_release(cache, header);
}

/* NULL: the block is stale, or none. */
static struct block_header *header_if_live(const struct quarry_block *block)
{
    struct block_header *header = block_header_of(block->data);

    /* Relaxed: who holds the block sees its name; who does not sees another, or 0. */
    return block->data != NULL && atomic_load_relaxed_u64(&header->ref) == block->ref ? header
                                                                                      : NULL;
}

void *quarry_block_data(const struct quarry_block *block)
{
    return header_if_live(block) != NULL ? block->data : NULL;
}

void *quarry_block_extra(const struct quarry_block *block)
{
    const struct block_header *header = header_if_live(block);

    return header == NULL ? NULL : (char *)block->data + block_extra_offset(header->payload_bytes);
}

size_t quarry_block_bytes(const struct quarry_block *block)
{
    const struct block_header *header = header_if_live(block);

    return header == NULL ? 0 : header->payload_bytes;
}
