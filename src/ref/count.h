/*
 * Reference counts that neither wrap nor come back from the dead.
 *
 * A plain `_Atomic uint32_t` that begins at 1. Above REF_COUNT_CEILING it is saturated: it stays
 * so for ever, and its object is never freed, which is a leak instead of a use after free; how many
 * there are is a figure of the process. Below zero, and up from zero, ends the program.
 */
#ifndef QUARRY_REF_COUNT_H
#define QUARRY_REF_COUNT_H

#include <base/base.h>

/*
 * From here up a count is saturated. Half of the range, so that as many threads as there can be may
 * be between an increment and noticing.
 */
#define REF_COUNT_CEILING UINT32_C(0x80000000)
/* What a saturated count is set to whenever somebody notices: in the middle of what is left. */
#define REF_COUNT_SATURATED UINT32_C(0xc0000000)

/* How many counts have ever been saturated in this process. */
uint64_t ref_count_saturated(void);

/* The cold halves: what the count was before. */
Q_COLD void ref_count_acquire_slow(_Atomic uint32_t *count, uint32_t before);
Q_COLD void ref_count_release_slow(_Atomic uint32_t *count, uint32_t before);

/* One reference, the caller's. Threads: nobody else knows the object yet. */
static inline void ref_count_init(_Atomic uint32_t *count)
{
    atomic_store_relaxed_u32(count, 1);
}

/*
 * One more reference, by somebody who has one.
 * Errors: none; a count of 0 ends the program. Threads: any. Cost: one locked instruction.
 */
static inline void ref_count_acquire(_Atomic uint32_t *count)
{
    /* Relaxed: who has a reference has the object already. */
    uint32_t before = atomic_add_relaxed_u32(count, 1);

    if (Q_UNLIKELY(before - 1 >= REF_COUNT_CEILING - 2)) {
        ref_count_acquire_slow(count, before);
    }
}

/*
 * One more reference, by somebody who has found the object and may come too late.
 * Returns: false when the last reference is gone; then there is none, and will be none.
 * Threads: any, as long as the count itself can be read. Cost: a load and one locked instruction.
 */
Q_NODISCARD static inline bool ref_count_try_acquire(_Atomic uint32_t *count)
{
    uint32_t before = atomic_load_relaxed_u32(count);

    /* Acquire: pairs with the release that published the object, or handed on a reference. */
    while (before != 0 && before < REF_COUNT_CEILING &&
           !atomic_cas_weak_acquire_u32(count, &before, before + 1)) {
    }
    if (Q_UNLIKELY(before >= REF_COUNT_CEILING - 1)) {
        ref_count_acquire_slow(count, before);
    }
    return before != 0;
}

/*
 * One reference less.
 * Returns: whether it was the last: the object is the caller's alone, with all that others wrote to
 * it while they had references. Errors: none; a count of 0 ends the program.
 * Threads: any. Cost: one locked instruction.
 */
Q_NODISCARD static inline bool ref_count_release(_Atomic uint32_t *count)
{
    /* Release: for whoever drops the last one. Acquire: by whoever that is. */
    uint32_t before = atomic_sub_acq_rel_u32(count, 1);

    if (Q_UNLIKELY(before - 1 >= REF_COUNT_CEILING - 1)) {
        ref_count_release_slow(count, before);
    }
    return before == 1;
}

/* What it is now, for figures and assertions: others may be changing it. */
static inline uint32_t ref_count_read(const _Atomic uint32_t *count)
{
    return atomic_load_relaxed_u32(count);
}

#endif
