/*
 * A slab on a simulated page heap, with an epoch domain and an account, for tests: one at a time.
 */
#ifndef QUARRY_TESTS_UNIT_SLAB_SLAB_RIG_H
#define QUARRY_TESTS_UNIT_SLAB_SLAB_RIG_H

#include "unit/page/simulated_heap.h"

#include <budget/budget.h>
#include <ref/ref.h>
#include <slab/slab.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

struct slab_setup {
    uint64_t limit_bytes; /* of the memory; 0: 4 GiB */
    uint64_t ceiling_bytes;
    uint32_t classes_per_doubling;
    bool has_no_epoch;
    bool tracks_cells;
    bool times_locks;
};

/* Under test between slab_begin and slab_end. */
extern struct quarry_slab *slab;
extern struct quarry_epoch *epoch;
extern struct quarry_account *account;

void slab_begin(const struct slab_setup *setup);
/* Checks, destroys; nothing may be left charged or in use. */
void slab_end(void);
/* Validates the slab, and that what is charged is what the ledger has. No other thread at work. */
void slab_check(void);

/* cmocka's setup and teardown with the defaults. */
int slab_set_up(void **state);
int slab_tear_down(void **state);

/* Takes a cell, which must succeed, and fills it with words made of its `key`. */
quarry_ref take_filled(size_t bytes, uint64_t key);
/* Whether a cell is still as filled. */
bool is_filled(const void *data, size_t bytes, uint64_t key);
void fill(void *data, size_t bytes, uint64_t key);

struct quarry_slab_stats slab_stats(void);

/* An index for moving: refs by key, and the bytes that were asked for. */
#define INDEX_KEYS 65536u
struct index_slot {
    _Atomic uint64_t ref;
    uint32_t bytes;
};
extern struct index_slot index_slots[INDEX_KEYS];
/* Takes a cell for a key that has none. Its first word says the key. */
void index_put(uint64_t key, size_t bytes);
/* The key's cell is as filled; its ref goes, and the cell is given back. */
void index_remove(uint64_t key);
/* Every key's cell is as filled. */
void index_check(void);
void index_clear(void);
/* Repoints the slot of the key that the cell says. */
bool index_move(void *argument, quarry_ref old_ref, const void *old_data, quarry_ref new_ref,
                void *new_data, size_t bytes);

#endif
