/*
 * Arenas: memory that is handed out front to back, and freed all at once.
 *
 * An arena is one contiguous run of addresses, of 256 KiB to 4 GiB. Taking some of it is one atomic
 * addition; what was taken is named by its offset, a number of 32 bits, of which 0 is nobody's.
 * Nothing is freed by itself: the arena goes whole. It is made for structures that many threads
 * build at once and that die together, such as a memtable.
 *
 *     struct quarry_arena *arena;
 *     struct quarry_arena_options options = {
 *         .lane = lane, .account = account, .capacity_bytes = 64u << 20};
 *     uint32_t offset;
 *
 *     if (quarry_arena_create(memory, &options, &arena, &error) != QUARRY_OK) {
 *         fprintf(stderr, "%s\n", error.text);
 *     }
 *     switch (quarry_arena_alloc(arena, 48, 8, &offset)) {
 *     case QUARRY_OK:
 *         memset(quarry_arena_at(arena, offset), 0, 48);
 *         break;
 *     case QUARRY_NO_ADDRESS:  // full: go on in the next one
 *     case QUARRY_NO_MEMORY:   // the budget is: the same call may succeed later
 *     default:
 *         break;
 *     }
 *     quarry_arena_destroy(arena);
 *
 * What an arena promises:
 *
 * - *It costs what is in it.* A new arena of any size takes addresses and its first step: 64 KiB to
 *   2 MiB, a sixteenth of its capacity. Memory joins it step by step as it fills, each charged to
 *   the budget and to the account before the first byte of it is handed out.
 * - *A refusal takes nothing away.* An arena that is full, or whose next step does not fit the
 *   budget, stays as it was, and what others have taken stays theirs. Only when threads race for
 *   the last bytes can some be lost, until the arena goes; quarry_arena_read counts them.
 * - *Contents are undefined.* What is handed out may hold what an arena before it left there: write
 *   before you read.
 *
 * A *keeper* holds on to the memory of one arena that was destroyed, so that the next of the same
 * capacity begins without a system call, and without a page fault as far as the last one had come.
 * The spare stays charged, and is the first thing given back when memory is short.
 *
 * Threads: as each call says. Forks: in the child an arena is whole, and its own.
 *
 * Source: the arenas of Pebble's memtables, and the one obsolete arena it keeps. See
 * docs/decisions/0012-reserved-runs.md for how memory joins an arena.
 */
#ifndef QUARRY_ARENA_H
#define QUARRY_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include <quarry/export.h>
#include <quarry/memory.h>
#include <quarry/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a capacity may be, in bytes. The largest fills what an offset can name. */
#define QUARRY_ARENA_CAPACITY_MIN ((uint64_t)256 << 10)
#define QUARRY_ARENA_CAPACITY_MAX ((uint64_t)4 << 30)

/* The largest alignment of what an arena hands out, in bytes. */
#define QUARRY_ARENA_ALIGN_MAX 4096u

/*
 * What sizes are rounded up to, in bytes; alignments up to it cost nothing. 8, because a structure
 * with a 64-bit field wants it; a smaller one would save 2 bytes of the average string, and cost 4
 * of each such structure.
 */
#define QUARRY_ARENA_GRANULE 8u

struct quarry_arena;
struct quarry_arena_keeper;
struct quarry_account;

/* ---- an arena ------------------------------------------------------------------------------- */

/* What an arena is to be. */
struct quarry_arena_options {
    /*
     * Where its addresses are, not a lane with a file: its lifetime. Borrowed until the arena is
     * destroyed.
     */
    struct quarry_lane *lane;
    /*
     * Charged for its memory, which the account's owner holds; NULL: the owner "arena", and no
     * account. Borrowed until destroyed.
     */
    struct quarry_account *account;
    /* QUARRY_ARENA_CAPACITY_MIN to QUARRY_ARENA_CAPACITY_MAX; rounded up to pages. */
    uint64_t capacity_bytes;
};

/*
 * Creates an arena.
 *
 * `options`: borrowed for the call. `ret_arena`: own; end it with quarry_arena_destroy.
 * `error`: says what was wrong; may be NULL.
 * Errors: QUARRY_BAD_INPUT (a capacity out of range, or no lane), QUARRY_UNSUPPORTED (a
 * lane with a file), QUARRY_NO_ADDRESS (the lane has no such stretch free), QUARRY_NO_MEMORY (the
 * first step).
 * Threads: any. Cost: some microseconds; where free pages of the lane are reused beyond the first
 * step, a system call for each stretch of them, which go back to the kernel until they are wanted.
 */
QUARRY_EXPORT enum quarry_status quarry_arena_create(struct quarry_memory *memory,
                                                     const struct quarry_arena_options *options,
                                                     struct quarry_arena **ret_arena,
                                                     struct quarry_error *error);

/*
 * Ends an arena, with everything that is in it. One that came from a keeper becomes its spare.
 *
 * `arena`: given; NULL does nothing. Threads: no other thread uses the arena any more.
 * Errors: none. Cost: O(capacity / 4 MiB) and no system call.
 */
QUARRY_EXPORT void quarry_arena_destroy(struct quarry_arena *arena);

/*
 * Takes some of an arena.
 *
 * `bytes`: from 1; rounded up to QUARRY_ARENA_GRANULE.
 * `align_bytes`: a power of two, 1 to QUARRY_ARENA_ALIGN_MAX. What is above the granule costs the
 * difference each time, whether it was needed or not: the addition cannot know.
 * `ret_offset`: a multiple of `align_bytes`, not 0. Nobody else's bytes until the arena is
 * destroyed; their contents are undefined.
 * Errors: QUARRY_NO_ADDRESS: the arena is full, or has less than that left; QUARRY_TOO_LARGE: not
 * even an empty arena of this capacity could hold it; QUARRY_NO_MEMORY: the next step does not fit
 * the budget or the account, after all that can be reclaimed.
 * Threads: any. Reclaimers may be called, with no lock held; they may use this very arena.
 * Cost: about 15 instructions, one of them atomic; for each step, about a microsecond.
 */
QUARRY_EXPORT enum quarry_status quarry_arena_alloc(struct quarry_arena *arena, size_t bytes,
                                                    size_t align_bytes, uint32_t *ret_offset);

/*
 * The bytes at an offset.
 *
 * `offset`: what quarry_arena_alloc gave, or inside of it; not 0.
 * Returns: borrowed until the arena is destroyed. Threads: any. Cost: two instructions and a call.
 */
QUARRY_EXPORT void *quarry_arena_at(const struct quarry_arena *arena, uint32_t offset);

/* How far an arena is. */
struct quarry_arena_state {
    uint64_t capacity_bytes; /* const */
    uint64_t used_bytes;     /* handed out, with what rounding, alignment and losses took */
    uint64_t lost_bytes;     /* of those, what threads that raced and were refused took */
    uint64_t backed_bytes;   /* charged: used_bytes, rounded up to a step at most */
};

/*
 * Reads how far an arena is.
 *
 * `ret_state`: written always. Threads: any; while others allocate, each number is of some moment
 * during the call. Errors: none. Cost: three loads.
 */
QUARRY_EXPORT void quarry_arena_read(const struct quarry_arena *arena,
                                     struct quarry_arena_state *ret_state);

/* ---- a keeper ------------------------------------------------------------------------------- */

/*
 * Creates a keeper of arenas that share a lane and an account.
 *
 * `options`: borrowed for the call; its lane and account until the keeper is destroyed;
 * `capacity_bytes` is not looked at. `ret_keeper`: own; end it with quarry_arena_keeper_destroy.
 * `error`: says what was wrong; may be NULL.
 * Errors: QUARRY_BAD_INPUT, QUARRY_UNSUPPORTED as quarry_arena_create; QUARRY_TOO_MANY (the
 * memory's reclaimers, of which a keeper is one), QUARRY_NO_MEMORY. Threads: any.
 */
QUARRY_EXPORT enum quarry_status
quarry_arena_keeper_create(struct quarry_memory *memory, const struct quarry_arena_options *options,
                           struct quarry_arena_keeper **ret_keeper, struct quarry_error *error);

/*
 * Ends a keeper and its spare. Arenas it gave out that are still there are the caller's leak: they
 * are reported, and the keeper stays until the last of them is destroyed.
 *
 * `keeper`: given; NULL does nothing. Threads: no other thread uses the keeper any more; not to be
 * called from inside a reclaimer.
 */
QUARRY_EXPORT void quarry_arena_keeper_destroy(struct quarry_arena_keeper *keeper);

/*
 * An arena of the keeper's lane and account: the spare, if it has the capacity, or a new one.
 *
 * `capacity_bytes`, `ret_arena`, `error`: as for quarry_arena_create. A spare comes with the memory
 * it had, charged already. Errors: as quarry_arena_create. Threads: any.
 * Cost: the spare: a lock, no system call.
 */
QUARRY_EXPORT enum quarry_status quarry_arena_keeper_take(struct quarry_arena_keeper *keeper,
                                                          uint64_t capacity_bytes,
                                                          struct quarry_arena **ret_arena,
                                                          struct quarry_error *error);

/*
 * Frees the spare, if there is one. A quarry_reclaim_function, so that an account can give it as
 * its own reclaimer; the memory asks it, before anybody else, in any case.
 *
 * `keeper`: a struct quarry_arena_keeper, borrowed. `wanted_bytes`: not 0.
 * Returns: bytes freed. Threads: any.
 */
QUARRY_EXPORT uint64_t quarry_arena_keeper_reclaim(void *keeper, uint64_t wanted_bytes);

/* Bytes that the spare has charged; 0 when there is none. Threads: any. */
QUARRY_EXPORT uint64_t quarry_arena_keeper_spare_bytes(struct quarry_arena_keeper *keeper);

#ifdef __cplusplus
}
#endif

#endif
