/*
 * Memory of a slab: its pages' runs, and pieces for its own structures. All of it charged.
 */
#ifndef QUARRY_SLAB_META_H
#define QUARRY_SLAB_META_H

#include <slab/types.h>

/*
 * The run of a page, of `page_count` times 8 KiB, charged to the account; and one given back. No
 * lock held, in no gate: reclaimers may be called. Errors: as quarry_pages_alloc.
 */
enum quarry_status slab_run_take(struct quarry_slab *slab, uint32_t page_count,
                                 struct page_run *ret_run);
void slab_run_give(struct quarry_slab *slab, void *base, uint32_t page_count);
/* One that somebody else keeps is not charged to the slab any more. */
void slab_run_forget(struct quarry_slab *slab, uint32_t page_count);

/*
 * A zeroed piece of `bytes`, on cache lines of its own. Up to SLAB_META_SMALL_MAX it is cut from a
 * chunk and, given back, kept for others until the slab ends; above it is a run of its own.
 * No lock held, in no gate. Errors: as quarry_pages_alloc.
 */
enum quarry_status slab_meta_take(struct quarry_slab *slab, size_t bytes, void **ret_piece);
void slab_meta_give(struct quarry_slab *slab, void *piece, size_t bytes);

/* Gives a run of the slab's own structures back. */
void slab_meta_run_give(struct quarry_slab *slab, void *base, uint32_t page_count);

/* Gives all chunks back. */
void slab_meta_fini(struct quarry_slab *slab);

#endif
