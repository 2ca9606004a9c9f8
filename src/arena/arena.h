/*
 * The door of `arena`: what is behind <quarry/arena.h>, with the paths that are worth inlining.
 */
#ifndef QUARRY_ARENA_ARENA_H
#define QUARRY_ARENA_ARENA_H

#include <quarry/arena.h>

#include <base/base.h>
#include <os/os.h>
#include <page/page.h>

struct quarry_arena {
    /* const after creation */
    char *base;
    uint64_t capacity_bytes; /* of pages */
    uint64_t step_bytes;     /* what joins it at once; a power of two, of pages */
    struct page_lane *lane;
    struct quarry_account *account;     /* NULL: none is charged */
    struct quarry_arena_keeper *keeper; /* NULL: none */
    /* owner */
    uint32_t leak_token;
    /* atomic; written once a step, and read by every alloc */
    _Atomic uint32_t stepper; /* os_thread_id of a thread that takes a step, or 0; see arena.c */
    _Atomic uint64_t backed_bytes;
    _Atomic uint64_t lost_bytes;
    /* atomic, and what threads fight over */
    Q_ALIGNED(Q_CACHE_LINE_BYTES) _Atomic uint64_t top; /* nobody's from here on */
};

/* What quarry_arena_alloc takes for so many bytes, so aligned: 8 to 2^32 + 4,095. */
static inline uint64_t arena_need(uint32_t bytes, uint32_t align_bytes)
{
    uint64_t rounded =
        ((uint64_t)bytes + QUARRY_ARENA_GRANULE - 1) & ~(uint64_t)(QUARRY_ARENA_GRANULE - 1);

    return rounded + (align_bytes > QUARRY_ARENA_GRANULE ? align_bytes - QUARRY_ARENA_GRANULE : 0);
}

/* Backs as much as is needed first. */
Q_COLD enum quarry_status arena_alloc_slow(struct quarry_arena *arena, uint64_t need_bytes,
                                           uint32_t align_bytes, uint32_t *ret_offset);
/* The same when [at, at + need_bytes) has been taken already, and others came in between. */
Q_COLD enum quarry_status arena_alloc_late(struct quarry_arena *arena, uint64_t at,
                                           uint64_t need_bytes, uint32_t align_bytes,
                                           uint32_t *ret_offset);

/*
 * quarry_arena_alloc, inline. `bytes`: from 1. `align_bytes`: best a constant.
 * Cost: 15 instructions.
 */
static inline enum quarry_status arena_alloc(struct quarry_arena *arena, uint32_t bytes,
                                             uint32_t align_bytes, uint32_t *ret_offset)
{
    uint64_t need_bytes = arena_need(bytes, align_bytes);
    /* Acquire: pairs with the release in backed_raise; what lies below is charged. */
    uint64_t backed_bytes = atomic_load_acquire_u64(&arena->backed_bytes);

    Q_DCHECK(bytes >= 1);
    Q_DCHECK(bits_is_power_of_two_u64(align_bytes) && align_bytes <= QUARRY_ARENA_ALIGN_MAX);
    /* Who does not fit adds nothing; so top stays far from overflow (invariant 2). */
    if (Q_UNLIKELY(atomic_load_relaxed_u64(&arena->top) + need_bytes > backed_bytes)) {
        return arena_alloc_slow(arena, need_bytes, align_bytes, ret_offset);
    }
    /* Relaxed: only the number matters; what is written there is published by its writer. */
    uint64_t at = atomic_add_relaxed_u64(&arena->top, need_bytes);
    if (Q_UNLIKELY(at + need_bytes > backed_bytes)) {
        return arena_alloc_late(arena, at, need_bytes, align_bytes, ret_offset);
    }
    *ret_offset = (uint32_t)size_align_up_u64(at, align_bytes);
    return QUARRY_OK;
}

/* quarry_arena_at, inline. */
static inline void *arena_at(const struct quarry_arena *arena, uint32_t offset)
{
    Q_DCHECK(offset >= QUARRY_ARENA_GRANULE);
    Q_DCHECK(offset < atomic_load_relaxed_u64(&arena->top));
    Q_DCHECK(offset < atomic_load_relaxed_u64(&arena->backed_bytes));
    return arena->base + offset;
}

/* The offset of an address inside the arena. */
static inline uint32_t arena_offset_of(const struct quarry_arena *arena, const void *address)
{
    uint64_t offset = (uint64_t)((const char *)address - arena->base);

    Q_DCHECK(offset >= QUARRY_ARENA_GRANULE && offset < arena->capacity_bytes);
    return (uint32_t)offset;
}

/* ---- for the other files of this folder ----------------------------------------------------- */

/* An arena in `lane`, with its first step; it has no token yet. As quarry_arena_create. */
enum quarry_status arena_make(const struct quarry_arena_options *options,
                              struct quarry_arena_keeper *keeper, struct quarry_arena **ret_arena,
                              struct quarry_error *error);
/* Frees it: memory, addresses, charge. Returns: bytes that were charged. */
uint64_t arena_free(struct quarry_arena *arena);
/* Empties it; what is backed stays so. */
void arena_reset(struct quarry_arena *arena);
/* Whether options name a lane that can hold arenas. Errors: BAD_INPUT, UNSUPPORTED. */
enum quarry_status arena_check_lane(const struct quarry_arena_options *options,
                                    struct quarry_error *error);
/* `bytes` in whole pages, or BAD_INPUT. */
enum quarry_status arena_check_capacity(uint64_t bytes, uint64_t *ret_capacity_bytes,
                                        struct quarry_error *error);

/* Takes an arena back from its user: keeper.c. */
void arena_keeper_give(struct quarry_arena_keeper *keeper, struct quarry_arena *arena);

#endif
