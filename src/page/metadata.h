/*
 * Memory for the page heap's own small structures: threads, page caches, lanes.
 *
 * One reservation of address space, committed in steps and charged like everything else; pieces of
 * a few sizes, each with a list of free ones. Nothing is ever given back to the kernel but with the
 * heap: what is there is bounded by the most threads and lanes there ever were.
 */
#ifndef QUARRY_PAGE_METADATA_H
#define QUARRY_PAGE_METADATA_H

#include <base/base.h>
#include <os/os.h>
#include <page/commit.h>

/* Pieces are 64 bytes to 8 KiB, in powers of two. */
#define PAGE_METADATA_CLASSES         8
#define PAGE_METADATA_PIECE_MIN_BYTES 64u
#define PAGE_METADATA_PIECE_MAX_BYTES (PAGE_METADATA_PIECE_MIN_BYTES << (PAGE_METADATA_CLASSES - 1))

struct page_metadata_piece {
    struct page_metadata_piece *next;
};

struct page_metadata {
    /* const after init */
    struct os *os;
    struct page_commit *commit;
    char *base;
    size_t reserved_bytes;
    struct os_mutex mutex;
    /* guarded by mutex */
    size_t committed_bytes;
    size_t used_bytes;
    struct page_metadata_piece *free[PAGE_METADATA_CLASSES];
};

/*
 * `base`: a reservation of `reserved_bytes`, of which `committed_bytes` are committed and charged,
 * and `used_bytes` taken (the heap itself lives at its beginning). `lock_order`: of its mutex,
 * among those of the rank; the ledger has the next.
 */
void page_metadata_init(struct page_metadata *metadata, struct os *os, struct page_commit *commit,
                        void *base, size_t reserved_bytes, size_t committed_bytes,
                        size_t used_bytes, uint32_t lock_order);

/*
 * A zeroed piece of at least `bytes` (at most PAGE_METADATA_PIECE_MAX_BYTES), on a cache line of
 * its own; owned by the caller until it is given back. Errors: NO_MEMORY (budget or kernel),
 * NO_ADDRESS. Never reclaims: callers do without.
 */
enum quarry_status page_metadata_take(struct page_metadata *metadata, size_t bytes,
                                      void **ret_piece);
void page_metadata_give(struct page_metadata *metadata, void *piece, size_t bytes);

#endif
