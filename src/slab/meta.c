/*
 * Memory of a slab.
 *
 * Structures lie apart from cells, so that nobody who writes past a cell reaches them, and so that
 * records of pages, which all begin at a multiple of 8 KiB, do not compete for the same few sets of
 * the CPU's cache. They may lie in a lane of their own, where cells are in one that has a file.
 *
 *   chunk   | head | piece | piece | piece | … bump ……………… |     16 KiB, all kinds of sizes
 *   run     | piece of more than 4 KiB                    |     whole pages
 *
 * Small pieces are kept when given back, in a list for each multiple of 64 bytes. There are as many
 * as there ever were pages with less than some 1,900 cells, threads, magazines and classes, at one
 * time; of them the ones that come and go are records, 0.2 % of their pages.
 */
#include <slab/meta.h>

#include <string.h>

/* A run in one of the slab's lanes; `counter`: which of its figures the bytes go into. */
static enum quarry_status run_take(struct quarry_slab *slab, struct page_lane *lane,
                                   uint32_t page_count, _Atomic uint64_t *counter,
                                   struct page_run *ret_run)
{
    uint64_t bytes = (uint64_t)page_count << PAGE_SHIFT;
    enum quarry_status status =
        slab->account == NULL ? QUARRY_OK : quarry_account_charge(slab->account, bytes);

    if (status != QUARRY_OK) {
        return status;
    }
    struct page_run run = page_alloc(lane, slab->owner, page_count);
    if (run.status == QUARRY_OK) {
        (void)atomic_add_relaxed_u64(counter, bytes);
        *ret_run = run;
    } else if (slab->account != NULL) {
        quarry_account_uncharge(slab->account, bytes);
    }
    return run.status;
}

static void run_give(struct quarry_slab *slab, struct page_lane *page_lane, void *base,
                     uint32_t page_count, _Atomic uint64_t *counter)
{
    struct quarry_lane *lane = (struct quarry_lane *)(void *)page_lane;

    (void)atomic_sub_relaxed_u64(counter, (uint64_t)page_count << PAGE_SHIFT);
    if (slab->account == NULL) {
        quarry_pages_free(lane, base);
    } else {
        quarry_account_pages_free(slab->account, lane, base);
    }
}

enum quarry_status slab_run_take(struct quarry_slab *slab, uint32_t page_count,
                                 struct page_run *ret_run)
{
    return run_take(slab, slab->lane, page_count, &slab->page_bytes, ret_run);
}

void slab_run_give(struct quarry_slab *slab, void *base, uint32_t page_count)
{
    run_give(slab, slab->lane, base, page_count, &slab->page_bytes);
}

void slab_run_forget(struct quarry_slab *slab, uint32_t page_count)
{
    (void)atomic_sub_relaxed_u64(&slab->page_bytes, (uint64_t)page_count << PAGE_SHIFT);
    if (slab->account != NULL) {
        quarry_account_uncharge(slab->account, (uint64_t)page_count << PAGE_SHIFT);
    }
}

static enum quarry_status meta_run_take(struct quarry_slab *slab, uint32_t page_count,
                                        void **ret_base)
{
    struct page_run run = {.base = NULL};
    enum quarry_status status =
        run_take(slab, slab->record_lane, page_count, &slab->metadata_bytes, &run);

    if (status == QUARRY_OK) {
        *ret_base = run.base;
    }
    return status;
}

void slab_meta_run_give(struct quarry_slab *slab, void *base, uint32_t page_count)
{
    run_give(slab, slab->record_lane, base, page_count, &slab->metadata_bytes);
}

/* ---- pieces --------------------------------------------------------------------------------- */

static inline size_t piece_bytes(size_t bytes)
{
    return size_align_up(bytes, SLAB_META_UNIT_BYTES);
}

static inline uint32_t piece_pages(size_t bytes)
{
    return (uint32_t)(size_align_up(bytes, PAGE_BYTES) >> PAGE_SHIFT);
}

static struct slab_meta_piece **piece_list(struct slab_meta *meta, size_t bytes)
{
    Q_DCHECK(bytes != 0 && bytes <= SLAB_META_SMALL_MAX);
    return &meta->free[bytes / SLAB_META_UNIT_BYTES - 1];
}

static void piece_push(struct slab_meta *meta, void *piece, size_t bytes) Q_REQUIRES(&meta->mutex)
{
    struct slab_meta_piece **list = piece_list(meta, bytes);
    struct slab_meta_piece *first = piece;

    first->next = *list;
    *list = first;
}

static void *piece_pop(struct slab_meta *meta, size_t bytes) Q_REQUIRES(&meta->mutex)
{
    struct slab_meta_piece **list = piece_list(meta, bytes);
    struct slab_meta_piece *piece = *list;

    if (piece != NULL) {
        *list = piece->next;
        return piece;
    }
    if ((size_t)(meta->bump_end - meta->bump) < bytes) {
        return NULL;
    }
    char *cut = meta->bump;
    meta->bump += bytes;
    return cut;
}

/* What is left of the chunk before becomes a piece. */
static void chunk_add(struct slab_meta *meta, void *base) Q_REQUIRES(&meta->mutex)
{
    struct slab_meta_chunk *chunk = base;

    while (meta->bump != meta->bump_end) {
        size_t left = size_min((size_t)(meta->bump_end - meta->bump), SLAB_META_SMALL_MAX);
        piece_push(meta, meta->bump, left);
        meta->bump += left;
    }
    chunk->next = meta->chunks;
    meta->chunks = chunk;
    meta->bump = (char *)base + SLAB_META_UNIT_BYTES;
    meta->bump_end = (char *)base + (SLAB_META_CHUNK_PAGES << PAGE_SHIFT);
}

static enum quarry_status small_take(struct quarry_slab *slab, size_t bytes, void **ret_piece)
{
    struct slab_meta *meta = &slab->meta;
    void *base;

    slab_lock(slab, &meta->mutex);
    void *piece = piece_pop(meta, bytes);
    slab_unlock(slab, &meta->mutex);
    while (piece == NULL) {
        enum quarry_status status = meta_run_take(slab, SLAB_META_CHUNK_PAGES, &base);
        if (status != QUARRY_OK) {
            return status;
        }
        slab_lock(slab, &meta->mutex);
        chunk_add(meta, base);
        piece = piece_pop(meta, bytes);
        slab_unlock(slab, &meta->mutex);
    }
    *ret_piece = piece;
    return QUARRY_OK;
}

enum quarry_status slab_meta_take(struct quarry_slab *slab, size_t bytes, void **ret_piece)
{
    size_t rounded = piece_bytes(bytes);
    enum quarry_status status = rounded <= SLAB_META_SMALL_MAX
                                    ? small_take(slab, rounded, ret_piece)
                                    : meta_run_take(slab, piece_pages(bytes), ret_piece);

    if (status == QUARRY_OK) {
        memset(*ret_piece, 0, bytes);
    }
    return status;
}

void slab_meta_give(struct quarry_slab *slab, void *piece, size_t bytes)
{
    size_t rounded = piece_bytes(bytes);

    if (rounded > SLAB_META_SMALL_MAX) {
        slab_meta_run_give(slab, piece, piece_pages(bytes));
        return;
    }
    slab_lock(slab, &slab->meta.mutex);
    piece_push(&slab->meta, piece, rounded);
    slab_unlock(slab, &slab->meta.mutex);
}

void slab_meta_fini(struct quarry_slab *slab)
{
    struct slab_meta_chunk *chunk = slab->meta.chunks;

    while (chunk != NULL) {
        struct slab_meta_chunk *next = chunk->next;
        slab_meta_run_give(slab, chunk, SLAB_META_CHUNK_PAGES);
        chunk = next;
    }
    slab->meta.chunks = NULL;
}
