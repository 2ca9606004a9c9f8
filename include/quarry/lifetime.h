/*
 * Lifetimes: objects that die together live together, and end in one call.
 *
 * Objects of any size on the pages of a memory (quarry/memory.h), under its budget. Each comes from
 * a *pool*, which says the two things that a plain malloc cannot know: whose it is (an *owner*) and
 * how long it is for (a *lifetime*).
 *
 *     memory ──┬── lifetime "window 08:00" ──┬── pool of owner "series"
 *              │                             └── pool of owner "samples"
 *              └── lifetime "request 4711" ────── pool of owner "net"
 *
 * Objects of different lifetimes never share a page, nor 4 MiB; those of different owners never
 * share a page. So the end of a lifetime gives back all of its memory, whatever is in it and
 * without touching an object; and the memory's ledger says exactly how much each owner holds in
 * each lifetime, which has the lifetime's name in the column for lanes.
 *
 *     struct quarry_lifetime *window;
 *     struct quarry_pool *samples;
 *     struct quarry_error error = {0};
 *     uint32_t owner;
 *
 *     quarry_memory_owner(memory, "samples", &owner);
 *     if (quarry_lifetime_begin(memory, "window 08:00", &window, &error) != QUARRY_OK) {
 *         fprintf(stderr, "%s\n", error.text);
 *     }
 *     quarry_pool_create(window, owner, &samples);
 *     struct sample *sample = quarry_alloc(samples, sizeof(*sample));
 *     quarry_free(samples, sample);          // one of them, early
 *     quarry_lifetime_end(window);           // all the others
 *
 * Scopes attribute what third-party code allocates, where the process' own malloc is Quarry's:
 * while one is open, the calling thread's malloc, calloc, aligned_alloc and operator new take from
 * its pool. Such objects are freed and resized by free and realloc as ever, in a scope or out of
 * it.
 *
 *     struct quarry_pool *previous;
 *
 *     if (quarry_scope_begin(parser, &previous) == QUARRY_OK) {
 *         document = json_loads(text, 0, NULL);  // all that it allocates is `parser`'s
 *         quarry_scope_end(previous);
 *     }
 *
 * Sizes are in bytes, from 0. An object is aligned to 16 bytes, to 8 when it has up to 8; it has up
 * to an eighth more than was asked for (quarry_usable_size). Up to 32 KiB come from runs of pages
 * cut into objects of one size; more is a run of its own, in whole pages.
 *
 * Errors: the calls that return a pointer return NULL when there is no memory, and leave errno as
 * it is; quarry_pool_alloc and its like say which way. A programmer's error ends the program with a
 * line on stderr that names the address: freeing what is no object's beginning, or twice.
 *
 * Threads: any thread may allocate from any pool and free any object, at once; an object may be
 * freed by another thread than had it allocated. Threads keep a few free objects of each size for
 * each pool they have used, and some empty pages, which go back when they end or within a second or
 * two of idleness. Ending is the exception: see quarry_lifetime_end.
 *
 * Cost: allocating and freeing take some 20 instructions each, without a lock; a large object those
 * of quarry_pages_alloc. A thread's first allocation in a lifetime charges 64 pages, which it keeps
 * for the next ones and gives up when the budget is short; its first one from a pool takes 8 KiB,
 * and of each size a page or a few.
 */
#ifndef QUARRY_LIFETIME_H
#define QUARRY_LIFETIME_H

#include <stddef.h>
#include <stdint.h>

#include <quarry/export.h>
#include <quarry/memory.h>
#include <quarry/status.h>

#ifdef __cplusplus
extern "C" {
#endif

struct quarry_lifetime;
struct quarry_pool;

/* ---- lifetimes and pools -------------------------------------------------------------------- */

/*
 * Begins a lifetime.
 *
 * `memory`: borrowed until the lifetime ends. `name`: 1 to 31 bytes, unlike that of any other
 * lifetime or lane of the memory; borrowed for the call.
 * `ret_lifetime`: own; end it with quarry_lifetime_end, or with the memory.
 * `error`: says what was wrong; may be NULL.
 * Errors: QUARRY_BAD_INPUT (name), QUARRY_EXISTS (name), QUARRY_TOO_MANY (63 lifetimes and lanes at
 * a time), QUARRY_NO_ADDRESS, QUARRY_NO_MEMORY.
 * Cost: as quarry_lane_create. The first one of a memory makes what all others need: 152 KiB of the
 * budget, of which it wants 192 KiB to be left.
 */
QUARRY_EXPORT enum quarry_status quarry_lifetime_begin(struct quarry_memory *memory,
                                                       const char *name,
                                                       struct quarry_lifetime **ret_lifetime,
                                                       struct quarry_error *error);

/*
 * Ends a lifetime: its pools and every object in them are gone, and their memory goes back to the
 * kernel.
 *
 * `lifetime`: given; NULL does nothing.
 * Threads: no other thread uses the lifetime, its pools or an object of it any more; a thread that
 * used them may end at the same time. No scope is open in one of its pools.
 * Errors: none; what the kernel refuses to take stays with the memory as free pages.
 * Cost: O(pages of the lifetime / 1000 + runs of small objects); no object is touched.
 */
QUARRY_EXPORT void quarry_lifetime_end(struct quarry_lifetime *lifetime);

/*
 * Creates a pool: one owner's objects in a lifetime. It ends with the lifetime.
 *
 * `owner`: from quarry_memory_owner. There may be several pools of one owner in a lifetime; the
 * ledger adds them up. `ret_pool`: borrowed until the lifetime ends.
 * Errors: QUARRY_TOO_MANY (255 pools of a memory at a time), QUARRY_NO_MEMORY.
 * Cost: about 10 KiB of the budget.
 */
QUARRY_EXPORT enum quarry_status quarry_pool_create(struct quarry_lifetime *lifetime,
                                                    uint32_t owner, struct quarry_pool **ret_pool);

/* ---- objects -------------------------------------------------------------------------------- */

/*
 * Allocates an object. Its contents are anything.
 *
 * Returns: own; free it with quarry_free, or end the lifetime. NULL: no memory, after all that can
 * be reclaimed; or more than the lifetime has addresses for.
 */
QUARRY_EXPORT void *quarry_alloc(struct quarry_pool *pool, size_t bytes);

/*
 * As quarry_alloc.
 *
 * `ret_object`: own.
 * Errors: QUARRY_NO_MEMORY; QUARRY_TOO_LARGE (more bytes than the lifetime has addresses).
 */
QUARRY_EXPORT enum quarry_status quarry_pool_alloc(struct quarry_pool *pool, size_t bytes,
                                                   void **ret_object);

/* As quarry_pool_alloc; the `bytes` are zero. Cost: memory that is known to be zero is not written.
 */
QUARRY_EXPORT enum quarry_status quarry_pool_alloc_zero(struct quarry_pool *pool, size_t bytes,
                                                        void **ret_object);

/*
 * As quarry_pool_alloc, at a multiple of `align_bytes`.
 *
 * `align_bytes`: a power of two. Errors: as quarry_pool_alloc, and QUARRY_TOO_LARGE above 1 GiB.
 * Cost: above 8 KiB, a run of pages of its own.
 */
QUARRY_EXPORT enum quarry_status quarry_pool_alloc_aligned(struct quarry_pool *pool, size_t bytes,
                                                           size_t align_bytes, void **ret_object);

/*
 * Makes an object larger or smaller: the same one where its place allows, else another with its
 * contents as far as they fit.
 *
 * `pool`: any of the memory; what has to move stays in its own pool. `object`: given, unless NULL
 * is returned; NULL: quarry_alloc from `pool`.
 * Returns: own. NULL: no memory, and the object is as it was.
 */
QUARRY_EXPORT void *quarry_realloc(struct quarry_pool *pool, void *object, size_t bytes);

/*
 * Frees an object.
 *
 * `pool`: any of the memory whose object it is. `object`: given; NULL does nothing.
 */
QUARRY_EXPORT void quarry_free(struct quarry_pool *pool, void *object);

/* How many bytes of an object may be used: at least those asked for. `pool`: any of the memory. */
QUARRY_EXPORT size_t quarry_usable_size(struct quarry_pool *pool, const void *object);

/* ---- the process' own malloc ---------------------------------------------------------------- */

/*
 * The memory behind the process' own malloc, when that is Quarry's: libquarry-malloc.so preloaded
 * or linked. Its limit, ledger, lifetimes and pools are used like those of any memory. A program
 * that is not linked with Quarry finds this function, and all others, by dlsym(RTLD_DEFAULT, …).
 *
 * Returns: borrowed for ever: it is never destroyed. NULL: malloc is another's.
 */
QUARRY_EXPORT struct quarry_memory *quarry_process_memory(void);

/*
 * Opens a scope: until quarry_scope_end the calling thread's malloc and its like take from `pool`.
 * Scopes nest, each within the one before. A thread that ends with one open leaves it.
 *
 * `pool`: of quarry_process_memory, borrowed until the scope ends. What is allocated lives until it
 * is freed or the pool's lifetime ends, whichever comes first: end the lifetime only when the code
 * that ran in the scope keeps nothing (a cache it filled, a stream's buffer, a store it wrote to).
 * `ret_previous`: what quarry_scope_end is to be given.
 * Errors: QUARRY_BAD_INPUT (a pool of another memory), QUARRY_NO_MEMORY: no scope is open.
 * Threads: the calling thread's allocations only. Cost: some ten instructions.
 */
QUARRY_EXPORT enum quarry_status quarry_scope_begin(struct quarry_pool *pool,
                                                    struct quarry_pool **ret_previous);

/* Ends the scope that was opened last. `previous`: what opening it returned. */
QUARRY_EXPORT void quarry_scope_end(struct quarry_pool *previous);

#ifdef __cplusplus
}
#endif

#endif
