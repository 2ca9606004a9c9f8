/*
 * Places: what memory is taken from, so that loops are written once. A piece is known by a number
 * of 64 bits: a slab's ref, or malloc's pointer.
 */
#ifndef QUARRY_BENCH_SLAB_PLACE_H
#define QUARRY_BENCH_SLAB_PLACE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <base/base.h>

#include <quarry/arena.h>
#include <quarry/epoch.h>
#include <quarry/slab.h>

#include <bench/malloc/worker.h>

enum bench_place_kind {
    BENCH_PLACE_MALLOC, /* of whatever library has it in this process */
    BENCH_PLACE_SLAB,
    BENCH_PLACE_ARENA,
};

struct bench_place {
    enum bench_place_kind kind;
    struct quarry_memory *memory; /* from here on: NULL where the place is malloc */
    struct quarry_lane *lane;
    struct quarry_account *account;
    struct quarry_epoch *epoch;
    struct quarry_slab *slab;           /* a slab's place */
    struct quarry_arena_keeper *keeper; /* an arena's place */
};

/*
 * Makes a place. `times_locks`: a slab's locks are timed. Ends the process when that fails.
 */
void bench_place_init(struct bench_place *place, enum bench_place_kind kind, bool times_locks);
/* Nothing of it is used any more. */
void bench_place_fini(struct bench_place *place);

/* Ends the process unless `status` is OK. `error` may be NULL. */
void bench_place_must(enum quarry_status status, const char *what,
                      const struct quarry_error *error);

/* Takes a piece; the process ends when there is none. Not touched. */
typedef uint64_t bench_take(const struct bench_place *place, size_t bytes, void **ret_data);
typedef void bench_give(const struct bench_place *place, uint64_t piece);

static Q_ALWAYS_INLINE uint64_t bench_take_malloc(const struct bench_place *place, size_t bytes,
                                                  void **ret_data)
{
    (void)place;
    void *base = malloc(bytes);
    if (Q_UNLIKELY(base == NULL)) {
        bench_worker_die("no memory");
    }
    bench_use(base);
    *ret_data = base;
    return (uint64_t)(uintptr_t)base;
}
static Q_ALWAYS_INLINE void bench_give_malloc(const struct bench_place *place, uint64_t piece)
{
    (void)place;
    free((void *)(uintptr_t)piece);
}

static Q_ALWAYS_INLINE uint64_t bench_take_slab(const struct bench_place *place, size_t bytes,
                                                void **ret_data)
{
    struct quarry_cell cell;

    if (Q_UNLIKELY(quarry_slab_take(place->slab, bytes, &cell) != QUARRY_OK)) {
        bench_worker_die("no cell");
    }
    *ret_data = cell.data;
    return cell.ref;
}
static Q_ALWAYS_INLINE void bench_give_slab(const struct bench_place *place, uint64_t piece)
{
    quarry_slab_give(place->slab, piece);
}

#endif
