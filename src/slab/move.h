/*
 * Moving: emptying pages, at once (quarry_slab_move_page) or a few cells at a time.
 */
#ifndef QUARRY_SLAB_MOVE_H
#define QUARRY_SLAB_MOVE_H

#include <slab/types.h>

/* Cells taken at a time to move others to. */
#define SLAB_MOVE_BATCH 32u

/* A page that is being emptied. By one thread at a time, which need not be the same. */
struct slab_mover {
    struct slab_class *class;
    struct slab_page *page;
    quarry_slab_move_function *move;
    void *argument;
    bool may_grow; /* the class may get another page for the cells */
    /*
     * Where no cell is to be had, the owner is asked with a `new_data` of NULL, and may only let go
     * of the old one. Set after slab_mover_begin; else the mover stops there.
     */
    bool asks_without_cell;
    bool is_brief;           /* the page is left at the first cell that the owner declines */
    bool is_dry;             /* no cell was to be had, in this step */
    uint32_t round, cell;    /* how often the page was gone over, and how far it is this time */
    uint32_t moved_count;    /* in all */
    uint32_t declined_count; /* in this round */
    enum quarry_status status;
    uint32_t entry_count;
    struct slab_entry entry[SLAB_MOVE_BATCH]; /* cells to move to; none between steps */
};

/*
 * Begins to empty a page: nothing is taken from it from here on, until slab_mover_end. Until then
 * nobody else moves cells of the slab.
 *
 * `move`, `argument`: as for quarry_slab_move_page. `may_grow`: the class may get a page for the
 * cells. Errors: QUARRY_NOT_FOUND, QUARRY_BUSY: nothing was begun. Cost: threads are stopped for a
 * moment.
 */
enum quarry_status slab_mover_begin(struct slab_mover *ret_mover, struct quarry_slab *slab,
                                    uint32_t class_id, uint32_t page,
                                    quarry_slab_move_function *move, void *argument, bool may_grow);
/*
 * Goes on with up to `cell_count` live cells. Returns: whether there is more to do: cells not yet
 * asked for in this round, or some were declined; false too where one had nowhere to go.
 */
bool slab_mover_step(struct slab_mover *mover, uint32_t cell_count);
/*
 * Ends it: a page without live cells goes, or is about to when readers have left; another one is as
 * it was before.
 *
 * Returns: QUARRY_OK: it goes; QUARRY_NO_MEMORY, QUARRY_BUSY: as quarry_slab_move_page.
 */
enum quarry_status slab_mover_end(struct slab_mover *mover);

/*
 * Whoever moves cells claims the slab for it, one at a time. Returns: false: another one moves.
 * slab_mover_begin does it itself. Release: pairs with the acquire of the next claim.
 */
bool slab_moving_claim(struct quarry_slab *slab);
void slab_moving_release(struct quarry_slab *slab);
/*
 * Empties a page at once, by a mover of which the class, the callback and the manner are set; the
 * claim is the caller's. Returns: as quarry_slab_move_page.
 */
enum quarry_status slab_mover_empty(struct slab_mover *mover, uint32_t index);

/*
 * Refs of some cells of a page that are in use, or with threads, from a cell on: a sample, for
 * which nobody is stopped. Inside the epoch. Returns: how many.
 */
size_t slab_peek_refs(struct quarry_slab *slab, uint32_t class_id, uint32_t page, uint32_t cell,
                      quarry_ref *refs, size_t ref_capacity);

/* Free cells in the pages of a class from which cells are taken. Cost: a lock. */
uint64_t slab_class_free_count(struct quarry_slab *slab, uint32_t class_id);

/*
 * The least size of cells above `bytes` of which one is free in a page, for who finds none of the
 * size that he wants; 0: there is none. Cost: a lock for each class.
 */
size_t slab_least_free_above(struct quarry_slab *slab, size_t bytes);

/*
 * Of quarry_slab_read_stats what is told by class, for one that there is. Cost: threads are stopped
 * for a moment.
 */
void slab_class_read_stats(struct quarry_slab *slab, uint32_t class_id,
                           struct quarry_slab_stats *ret_stats);

/* In the child of a fork: whoever was moving is gone. */
void slab_move_after_fork(struct quarry_slab *slab);

#endif
