/*
 * Copying a block to another place.
 */
#ifndef QUARRY_BLOCK_COPY_H
#define QUARRY_BLOCK_COPY_H

#include <string.h>

#include <block/header.h>

/*
 * Makes `to` what `from` is, under a name of its own, with one reference. `from` has none, and
 * readers may be looking at its header; nobody knows `to` yet.
 */
static inline void block_copy(struct block_header *to, struct block_header *from, uint64_t to_ref)
{
    size_t bytes = block_total_bytes(from->payload_bytes, from->extra_bytes);

    memcpy(block_header_data(to), block_header_data(from), bytes - QUARRY_BLOCK_HEADER_BYTES);
    ref_count_init(&to->count);
    to->payload_bytes = from->payload_bytes;
    to->extra_bytes = from->extra_bytes;
    to->key = from->key;
    to->entry = from->entry;
    to->kind = from->kind;
    to->level = from->level;
    to->is_background = from->is_background;
    to->is_large = from->is_large;
    /* Relaxed, and release: as in block_buffer_make; nobody else writes these. */
    atomic_store_relaxed_uptr(&to->referenced, atomic_load_relaxed_uptr(&from->referenced));
    atomic_store_release_u64(&to->ref, to_ref);
    atomic_store_relaxed_uptr(&from->referenced, 0);
    atomic_store_relaxed_u64(&from->ref, 0);
}

#endif
