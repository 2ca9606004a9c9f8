/*
 * Limbo: cells that were retired, until those who may be reading them have left.
 */
#ifndef QUARRY_SLAB_LIMBO_H
#define QUARRY_SLAB_LIMBO_H

#include <slab/types.h>

struct slab_gone;

/*
 * Takes the oldest retired cells out of the ring, those that are past, up to `most`; the thread may
 * have them again. Inside the gate.
 */
void slab_limbo_reap(struct slab_thread *thread, uint32_t most, struct slab_gone *gone);
/* Puts the `count` oldest where only their pages know of them. Inside the gate, or stopped. */
void slab_limbo_spill(struct slab_thread *thread, uint32_t count);
/* Likewise those of one page, wherever they are in the ring. Stopped. */
void slab_limbo_spill_page(struct slab_thread *thread, const struct slab_page *page);

static inline bool slab_limbo_is_full(const struct slab_limbo *limbo, size_t cell_bytes)
{
    return limbo->count == SLAB_LIMBO_CELLS ||
           (limbo->count != 0 && limbo->bytes + cell_bytes > SLAB_LIMBO_BYTES);
}

static inline struct slab_retired *slab_limbo_oldest(struct slab_limbo *limbo)
{
    return &limbo->retired[limbo->head];
}

/* There is room. */
static inline void slab_limbo_push(struct slab_limbo *limbo, quarry_ref ref, uint64_t stamp,
                                   size_t cell_bytes)
{
    uint32_t at = limbo->head + limbo->count;

    limbo->retired[at < SLAB_LIMBO_CELLS ? at : at - SLAB_LIMBO_CELLS] =
        (struct slab_retired){ref, stamp};
    limbo->count++;
    limbo->bytes += cell_bytes;
}

/* Has the epoch move on so far that what is in limbo is past, but for readers. No lock held. */
void slab_limbo_advance(struct quarry_slab *slab);
/* Frees what is past of a class' pages' limbo. No lock held. Returns: bytes of pages given back. */
uint64_t slab_limbo_settle(struct slab_class *class);

#endif
