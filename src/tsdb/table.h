/*
 * Tables: entries of one size, named by numbers that stay dense.
 *
 *     directory ──> chunk of 512 entries ──> entries
 *
 * Readers go from a number to its entry by two loads and no lock, while the table grows. The lowest
 * free number is given out first, so that a table that has shrunk empties from its end, chunk by
 * chunk, and their memory comes back.
 */
#ifndef QUARRY_TSDB_TABLE_H
#define QUARRY_TSDB_TABLE_H

#include <tsdb/limbo.h>

/*
 * Entries of a chunk: 32 KiB of series, the largest object that shares a span. Doubling it halves
 * the directory (8 bytes for each chunk) and doubles what an empty store has, for each size of
 * label set in use.
 */
#define TSDB_TABLE_CHUNK_ENTRIES 512u
#define TSDB_TABLE_CHUNK_SHIFT   9u
#define TSDB_TABLE_CHUNK_WORDS   (TSDB_TABLE_CHUNK_ENTRIES / 64)

/* Where chunks lie; replaced as a whole by a longer one. */
struct tsdb_table_directory {
    struct tsdb_retired retired;
    size_t capacity;
    _Atomic(void *) chunks[]; /* atomic; NULL: there is none */
};

/* Which entries of a chunk are taken: the writer's view of it. */
struct tsdb_table_use {
    uint64_t taken[TSDB_TABLE_CHUNK_WORDS];
    uint32_t count;
};

struct tsdb_table {
    _Atomic(void *) directory; /* atomic: struct tsdb_table_directory; NULL at first */
    uint32_t entry_bytes;      /* const */
    uint32_t number_max;       /* const */
    struct tsdb_limbo *limbo;  /* const; borrowed */
    /* guarded by the owner's lock */
    struct tsdb_table_use *uses; /* by chunk, as many as the directory has room for */
    size_t use_capacity;
    uint32_t taken_count;  /* entries, the one of number 0 not among them */
    uint32_t lowest_chunk; /* none below has a free entry, but for those of `floor_chunk` */
    uint32_t floor_chunk;  /* below it none is taken but by number */
    uint64_t held_bytes;   /* of chunks, directory and uses, as asked for */
};

/*
 * Makes an empty table, which holds no memory yet.
 *
 * `limbo`: borrowed until tsdb_table_fini. `entry_bytes`: a multiple of 4; entries are aligned to
 * 64 bytes where it is a multiple of 64. `number_max`: the highest number, at least 1.
 */
void tsdb_table_init(struct tsdb_table *table, struct tsdb_limbo *limbo, uint32_t entry_bytes,
                     uint32_t number_max);
void tsdb_table_fini(struct tsdb_table *table);

/*
 * Takes the lowest free number, from 1, with an entry of zeros.
 *
 * Errors: QUARRY_NO_MEMORY; QUARRY_TOO_MANY: `number_max` entries are taken.
 * Threads: the owner's lock. Cost: a look at the uses of a chunk; now and then a chunk.
 */
enum quarry_status tsdb_table_take(struct tsdb_table *table, uint32_t *ret_number);

/*
 * Takes a number that is known, with an entry of zeros.
 *
 * Errors: QUARRY_EXISTS: it is taken; QUARRY_TOO_MANY: it is none, or above `number_max`;
 * QUARRY_NO_MEMORY. Threads, Cost: as tsdb_table_take.
 */
enum quarry_status tsdb_table_take_at(struct tsdb_table *table, uint32_t number);

/* From now on a number up to this one is taken by tsdb_table_take_at alone. */
void tsdb_table_keep(struct tsdb_table *table, uint32_t number);

/*
 * Gives a number back; a chunk that has become empty goes.
 *
 * `number`: taken, and no reader can be looking at its entry any more.
 */
void tsdb_table_give(struct tsdb_table *table, uint32_t number);

/* Whether a number is taken. Threads: the owner's lock. */
bool tsdb_table_has(const struct tsdb_table *table, uint32_t number);

/* The lowest number above `number` that is taken; 0: none. Threads: the owner's lock. */
uint32_t tsdb_table_next(const struct tsdb_table *table, uint32_t number);

/*
 * The entry of a number.
 *
 * `number`: taken, and not given back before the caller, inside the epoch, has left.
 * Returns: borrowed. Threads: any. Cost: three loads.
 */
static inline void *tsdb_table_at(const struct tsdb_table *table, uint32_t number)
{
    /* Both pair with the releases in table.c: whoever knows the number sees its chunk. */
    const struct tsdb_table_directory *directory = atomic_load_acquire_ptr(&table->directory);
    char *chunk = atomic_load_acquire_ptr(&directory->chunks[number >> TSDB_TABLE_CHUNK_SHIFT]);

    Q_DCHECK(number >> TSDB_TABLE_CHUNK_SHIFT < directory->capacity && chunk != NULL);
    return chunk + (size_t)(number & (TSDB_TABLE_CHUNK_ENTRIES - 1)) * table->entry_bytes;
}

#endif
