/*
 * Memory for the page heap's own small structures.
 *
 *   | heap | piece | piece |   …   | committed, not cut yet | reserved, not committed        |
 *   ^ base                 ^ used  ^                        ^ committed            reserved ^
 *
 * Pieces come from the list of their size, else from `used` upwards. When that meets `committed`,
 * 64 KiB more are charged and committed: the system call is made under the mutex, because it
 * happens once for a few hundred threads and nobody who holds another lock of the heap waits for
 * this one (its rank is the highest).
 */
#include <page/metadata.h>

#include <string.h>

#define METADATA_STEP_BYTES ((size_t)Q_KIB(64))

void page_metadata_init(struct page_metadata *metadata, struct os *os, struct page_commit *commit,
                        void *base, size_t reserved_bytes, size_t committed_bytes,
                        size_t used_bytes, uint32_t lock_order)
{
    *metadata = (struct page_metadata){
        .os = os,
        .commit = commit,
        .base = base,
        .reserved_bytes = reserved_bytes,
        .committed_bytes = committed_bytes,
        .used_bytes = size_align_up(used_bytes, Q_CACHE_LINE_BYTES),
    };
    Q_ASSERT(used_bytes <= committed_bytes && committed_bytes <= reserved_bytes);
    os_mutex_init(&metadata->mutex, OS_RANK_METADATA, lock_order);
}

static uint32_t class_of(size_t bytes)
{
    Q_ASSERT(bytes >= 1 && bytes <= PAGE_METADATA_PIECE_MAX_BYTES);
    if (bytes <= PAGE_METADATA_PIECE_MIN_BYTES) {
        return 0;
    }
    return bits_log2_ceil_u64(bytes) - bits_log2_ceil_u64(PAGE_METADATA_PIECE_MIN_BYTES);
}

static enum quarry_status metadata_extend(struct page_metadata *metadata)
    Q_REQUIRES(&metadata->mutex)
{
    size_t step =
        size_min(METADATA_STEP_BYTES, metadata->reserved_bytes - metadata->committed_bytes);

    if (step == 0) {
        return QUARRY_NO_ADDRESS;
    }
    if (!page_commit_try(metadata->commit, step)) {
        return QUARRY_NO_MEMORY;
    }
    enum quarry_status status =
        os_commit(metadata->os, metadata->base + metadata->committed_bytes, step);
    if (status != QUARRY_OK) {
        page_commit_release(metadata->commit, step);
        return status;
    }
    page_commit_note_metadata(metadata->commit, step);
    metadata->committed_bytes += step;
    return QUARRY_OK;
}

static enum quarry_status metadata_cut(struct page_metadata *metadata, size_t piece_bytes,
                                       void **ret_piece) Q_REQUIRES(&metadata->mutex)
{
    while (metadata->committed_bytes - metadata->used_bytes < piece_bytes) {
        enum quarry_status status = metadata_extend(metadata);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    *ret_piece = metadata->base + metadata->used_bytes;
    metadata->used_bytes += piece_bytes;
    return QUARRY_OK;
}

enum quarry_status page_metadata_take(struct page_metadata *metadata, size_t bytes,
                                      void **ret_piece)
{
    uint32_t class = class_of(bytes);
    size_t piece_bytes = (size_t)PAGE_METADATA_PIECE_MIN_BYTES << class;
    enum quarry_status status = QUARRY_OK;
    void *piece;

    os_mutex_lock(&metadata->mutex);
    piece = metadata->free[class];
    if (piece != NULL) {
        metadata->free[class] = metadata->free[class]->next;
    } else {
        status = metadata_cut(metadata, piece_bytes, &piece);
    }
    os_mutex_unlock(&metadata->mutex);
    if (status == QUARRY_OK) {
        memset(piece, 0, piece_bytes);
        *ret_piece = piece;
    }
    return status;
}

void page_metadata_give(struct page_metadata *metadata, void *piece, size_t bytes)
{
    uint32_t class = class_of(bytes);
    struct page_metadata_piece *given = piece;

    os_mutex_lock(&metadata->mutex);
    given->next = metadata->free[class];
    metadata->free[class] = given;
    os_mutex_unlock(&metadata->mutex);
}
