/*
 * Memory of a slab: its pages' runs, and pieces for its own structures. All of it charged.
 */
#ifndef QUARRY_SLAB_META_H
#define QUARRY_SLAB_META_H

#include <slab/types.h>

/*
 * A run of `page_count` pages of 8 KiB, charged to the account; and one given back. No lock held,
 * in no gate: reclaimers may be called. `counter`: which of the slab's figures its bytes go into.
 * Errors: as quarry_pages_alloc.
 */
enum quarry_status slab_run_take(struct quarry_slab *slab, uint32_t page_count,
                                 _Atomic uint64_t *counter, void **ret_base);
void slab_run_give(struct quarry_slab *slab, void *base, uint32_t page_count,
                   _Atomic uint64_t *counter);

/*
 * A zeroed piece of `bytes`, on cache lines of its own. Up to SLAB_META_SMALL_MAX it is cut from a
 * chunk and, given back, kept for others until the slab ends; above it is a run of its own.
 * No lock held, in no gate. Errors: as quarry_pages_alloc.
 */
enum quarry_status slab_meta_take(struct quarry_slab *slab, size_t bytes, void **ret_piece);
void slab_meta_give(struct quarry_slab *slab, void *piece, size_t bytes);

/* Gives all chunks back. */
void slab_meta_fini(struct quarry_slab *slab);

#endif
