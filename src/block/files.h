/*
 * The files of a shard: from a file to its entries, which lie in a ring.
 */
#ifndef QUARRY_BLOCK_FILES_H
#define QUARRY_BLOCK_FILES_H

#include <block/clock_pro.h>

/* Slots of the smallest table: one page. */
#define BLOCK_FILES_SLOTS_MIN 1024u

struct block_files {
    uint64_t *slots;   /* hash << 32 | entry + 1; 0: empty */
    uint64_t capacity; /* slots, a power of two; 0: none yet */
    uint64_t count;    /* files */
};

/* All with the shard's lock held; entries are the clock's. */

static inline bool block_files_is_full(const struct block_files *files)
{
    return files->count * 2 >= files->capacity;
}

/*
 * Goes over to a larger table.
 * `slots`: zero, `capacity` of them. Returns: the old one, which is the caller's.
 */
uint64_t *block_files_grow(struct block_files *files, uint64_t *slots, uint64_t capacity);

/* Puts an entry, whose key is set, into the ring of its file. The table is not full. */
void block_files_enter(struct block_files *files, struct clock_pro *clock, uint32_t entry);
void block_files_leave(struct block_files *files, struct clock_pro *clock, uint32_t entry);

/* Some entry of a file; NONE: there is none. */
uint32_t block_files_find(const struct block_files *files, const struct clock_pro *clock,
                          uint64_t handle, uint64_t file);

/* NULL, or what is wrong. `entry_count`: of all rings. */
const char *block_files_validate(const struct block_files *files, const struct clock_pro *clock,
                                 uint64_t entry_count);

#endif
