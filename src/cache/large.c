/*
 * Values that do not fit a cell of 64 KiB with their key: a head without value bytes, and a chain
 * of extents.
 *
 *   head cell │ … │ first │ key │
 *                   └──> │ extent │ hash │ next │ 65,512 bytes │
 *                                          └──> … └──> │ extent │ hash │ 0 │ what is left │
 *
 * Extents are taken as the bytes come, each through the policy as any cell, so that many large
 * writes at once never claim more than has come of them. A class of cells of 64 KiB has pages of
 * sixteen: pages serve many values, and one that is emptied costs little.
 *
 * An extent says the hash of its item's key: who empties its page finds the item by it, and moves
 * the extent by repointing the link to it, under the lock of the key's bucket (a link is the head's
 * `first`, or `next` of the extent before). A chain of more than MOVE_LINKS_MAX is left where it
 * is, for the lock is held along the way: a value above 64 MiB is evicted instead.
 *
 * A large item's expiry and cas have fields in any case and change in place, so that two items
 * never share extents.
 *
 * Cost: 24 bytes in 64 KiB, 0.04 %; 3 % of the last extent; a piece for every 64 KiB of an answer.
 */
#include <cache/large.h>

#include <string.h>

#include <cache/policy.h>
#include <cache/store.h>

#define MOVE_LINKS_MAX 1024u

static struct cache_extent *extent_at(const struct quarry_cache *cache, uint64_t ref48)
{
    return slab_data_unchecked(cache->slab, ref48);
}

static _Atomic uint64_t *first_link(struct cache_item *item, uint32_t head)
{
    return (_Atomic uint64_t *)(void *)&cache_item_large_fields(item, head)[1];
}

/* Acquire: pairs with the release of who sets or moves the extent behind the link. */
static uint64_t link_load(const _Atomic uint64_t *link)
{
    return atomic_load_acquire_u64(link);
}

static uint32_t extent_bytes(const struct cache_extent *extent)
{
    return atomic_load_acquire_u32(&extent->head) & CACHE_HEAD_LENGTH_MASK;
}

/* ---- reading -------------------------------------------------------------------------------- */

uint64_t cache_large_charge(const struct quarry_cache *cache, const struct cache_item *item,
                            uint32_t head)
{
    uint64_t bytes = 0;

    for (uint64_t ref48 = cache_item_first_extent(item, head); ref48 != 0;
         ref48 = link_load(&extent_at(cache, ref48)->next)) {
        bytes += slab_page_of(cache->slab, ref48)->cell_bytes;
    }
    return bytes;
}

void cache_large_hit(const struct quarry_cache *cache, const struct cache_item *item, uint32_t head,
                     struct quarry_cache_hit *hit)
{
    const struct cache_extent *extent = extent_at(cache, cache_item_first_extent(item, head));

    hit->value_bytes = cache_item_value_bytes(item, head);
    hit->piece = (struct quarry_cache_piece){extent->bytes, extent_bytes(extent)};
}

size_t quarry_cache_pieces(const struct quarry_cache *cache, const struct quarry_cache_hit *hit,
                           uint64_t offset, struct quarry_cache_piece *pieces,
                           size_t piece_capacity)
{
    const struct cache_item *item = cache_item_at(cache, hit->ref);
    uint32_t head = cache_item_head(item);
    size_t count = 0;

    if (offset >= hit->value_bytes || piece_capacity == 0) {
        return 0;
    }
    if ((head & CACHE_HEAD_LARGE) == 0) {
        const char *value = hit->piece.bytes;
        pieces[0] = (struct quarry_cache_piece){value + offset, hit->value_bytes - offset};
        return 1;
    }
    uint64_t before = 0;
    for (uint64_t ref48 = cache_item_first_extent(item, head); ref48 != 0 && count < piece_capacity;
         ref48 = link_load(&extent_at(cache, ref48)->next)) {
        const struct cache_extent *extent = extent_at(cache, ref48);
        uint32_t bytes = extent_bytes(extent);
        uint64_t skipped = offset > before ? offset - before : 0;
        if (skipped < bytes) {
            pieces[count++] = (struct quarry_cache_piece){extent->bytes + skipped, bytes - skipped};
        }
        before += bytes;
    }
    return count;
}

/* ---- ending --------------------------------------------------------------------------------- */

void cache_large_retire(struct quarry_cache *cache, struct cache_item *item, uint32_t head)
{
    uint64_t next;

    for (uint64_t ref48 = cache_item_first_extent(item, head); ref48 != 0; ref48 = next) {
        struct cache_extent *extent = extent_at(cache, ref48);
        next = link_load(&extent->next);
        (void)atomic_and_release_u32(&extent->head, ~CACHE_HEAD_VALID);
        cache_cell_retire(cache, ref48);
    }
}

void cache_large_give(struct quarry_cache *cache, struct cache_item *item, uint32_t head)
{
    uint64_t next;

    for (uint64_t ref48 = cache_item_first_extent(item, head); ref48 != 0; ref48 = next) {
        struct cache_extent *extent = extent_at(cache, ref48);
        next = link_load(&extent->next);
        (void)atomic_and_release_u32(&extent->head, ~CACHE_HEAD_VALID);
        quarry_slab_give(cache->slab, quarry_slab_ref(cache->slab, ref48));
    }
}

void cache_large_set_cas(struct cache_item *item, uint32_t head, uint64_t cas)
{
    Q_ASSERT((head & CACHE_HEAD_LARGE) != 0);
    /* Relaxed: under the lock; who reads without it may have this one or the last. */
    atomic_store_relaxed_u64((_Atomic uint64_t *)(void *)cache_item_cas_field(item, head), cas);
}

/* ---- moving --------------------------------------------------------------------------------- */

/* The link of an item's chain that leads to an extent; NULL: none near enough. */
static _Atomic uint64_t *link_to(const struct quarry_cache *cache, struct cache_item *item,
                                 uint32_t head, uint64_t ref48)
{
    _Atomic uint64_t *link = first_link(item, head);

    for (uint32_t i = 0; i < MOVE_LINKS_MAX; i++) {
        uint64_t at = link_load(link);
        if (at == ref48 || at == 0) {
            return at == 0 ? NULL : link;
        }
        link = &extent_at(cache, at)->next;
    }
    return NULL;
}

static void copy_extent(struct cache_extent *to, const struct cache_extent *from)
{
    uint32_t head = atomic_load_acquire_u32(&from->head);

    to->tenant_id = from->tenant_id;
    to->hash = from->hash;
    atomic_store_relaxed_u64(&to->next, link_load(&from->next));
    memcpy(to->bytes, from->bytes, head & CACHE_HEAD_LENGTH_MASK);
    /* Release: who guesses at the cell sees the rest. */
    atomic_store_release_u32(&to->head, head);
}

bool cache_large_move_extent(struct quarry_cache_tenant *tenant, uint64_t hash, uint64_t old48,
                             uint64_t new48, void *new_data)
{
    struct quarry_cache *cache = tenant->cache;
    struct cache_lock lock;
    _Atomic uint64_t *link = NULL;

    cache_index_lock(tenant, hash, &lock);
    struct cache_found found = cache_index_find_hash_locked(tenant, &lock, hash);
    if (found.item != NULL && (found.head & CACHE_HEAD_LARGE) != 0 &&
        !cache_item_is_pinned(found.item, found.head)) {
        link = link_to(cache, found.item, found.head, old48);
    }
    if (link != NULL) {
        struct cache_extent *from = extent_at(cache, old48);
        copy_extent(new_data, from);
        /* Release: pairs with link_load. */
        atomic_store_release_u64(link, new48);
        (void)atomic_and_release_u32(&from->head, ~CACHE_HEAD_VALID);
    }
    cache_index_unlock(&lock);
    return link != NULL;
}

/* ---- writing -------------------------------------------------------------------------------- */

/* The link of a write that the next extent is to be behind. */
static _Atomic uint64_t *last_link(const struct quarry_cache_write *write)
{
    const struct quarry_cache *cache = write->tenant->cache;

    if (write->last_ref != 0) {
        return &extent_at(cache, write->last_ref)->next;
    }
    struct cache_item *item = write->cell;
    return first_link(item, cache_item_head(item));
}

bool cache_large_extend(struct quarry_cache_write *write)
{
    struct quarry_cache_tenant *tenant = write->tenant;
    uint64_t left = write->value_bytes - write->filled_bytes;
    uint32_t bytes = left < CACHE_EXTENT_VALUE_BYTES ? (uint32_t)left : CACHE_EXTENT_VALUE_BYTES;
    struct quarry_cell cell;

    Q_ASSERT(write->room_bytes == 0 && bytes != 0);
    uint32_t cell_bytes = cache_policy_take_cell(
        tenant, size_max(sizeof(struct cache_extent) + bytes, CACHE_ALIGNED_BYTES_MIN), &cell);
    if (cell_bytes == 0) {
        return false;
    }
    struct cache_extent *extent = cell.data;
    uint64_t ref48 = cell.ref & QUARRY_REF48_MASK;
    atomic_store_release_u32(&extent->head, 0);
    extent->tenant_id = tenant->id;
    extent->hash = write->hash;
    atomic_store_relaxed_u64(&extent->next, 0);
    /* Release: who guesses at the cell sees the rest. */
    atomic_store_release_u32(&extent->head, CACHE_HEAD_VALID | CACHE_HEAD_EXTENT | bytes);
    atomic_store_release_u64(last_link(write), ref48);
    write->last_ref = ref48;
    write->room = extent->bytes;
    write->room_bytes = bytes;
    cache_write_reserve(write, cell_bytes);
    return true;
}
