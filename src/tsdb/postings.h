/*
 * Postings: the ids of the series that have a label, in rising order.
 *
 * Most labels are of few series, and a few of nearly all. One id lies in the structure itself; a
 * few in an array; more in a roaring bitmap, which is CRoaring's.
 */
#ifndef QUARRY_TSDB_POSTINGS_H
#define QUARRY_TSDB_POSTINGS_H

#include <tsdb/memory.h>

/*
 * Ids that an array holds at most; above, a bitmap. Where the two cost the same: a bitmap has some
 * 60 bytes for each 65,536 ids that it has one of, an array 2 bytes more for each. Measured at a
 * million series: docs/decisions/0025-long-postings-in-croaring.md.
 */
#define TSDB_POSTINGS_FEW_MAX 512u

struct tsdb_postings {
    /*
     * count 0: 0. count 1: the id. Else a pointer to an array of ids, or, with its lowest bit set,
     * to a bitmap.
     */
    uint64_t word;
    uint32_t count;
    uint32_t room; /* of an array: ids that it has room for; of a bitmap: bytes charged for it */
};

/*
 * Adds an id, which is not there yet.
 *
 * `memory`: borrowed, the same for all calls. Errors: QUARRY_NO_MEMORY: as it was.
 * Cost: O(1) at the end; in the midst of an array, a move of what is behind.
 */
enum quarry_status tsdb_postings_add(struct tsdb_postings *postings,
                                     const struct tsdb_memory *memory, uint32_t id);

/*
 * Has empty postings hold ids, all at once.
 *
 * `ids`: in rising order, each once, none 0; borrowed for the call. Errors: QUARRY_NO_MEMORY: they
 * are empty. Cost: a copy; of a bitmap, some nanoseconds each.
 */
enum quarry_status tsdb_postings_fill(struct tsdb_postings *postings,
                                      const struct tsdb_memory *memory, const uint32_t *ids,
                                      uint32_t count);

/* Removes an id, if it is there. What becomes small gives memory back where it needs none for it.
 */
void tsdb_postings_remove(struct tsdb_postings *postings, const struct tsdb_memory *memory,
                          uint32_t id);

/*
 * Whether removing an id will find the memory that it needs for a moment: ask before removing.
 * Cost: for some hundredth of bitmaps' removals, malloc and free.
 */
bool tsdb_postings_can_remove(const struct tsdb_postings *postings, uint32_t id);

/* Removes them all, with their memory. */
void tsdb_postings_clear(struct tsdb_postings *postings, const struct tsdb_memory *memory);

bool tsdb_postings_has(const struct tsdb_postings *postings, uint32_t id);

/* Writes all ids in rising order. `ret_ids`: room for `postings->count`. */
void tsdb_postings_read(const struct tsdb_postings *postings, uint32_t *ret_ids);

/*
 * Keeps those of `ids` that are (`keeps_members`), or are not, among the postings.
 *
 * `ids`: in rising order; `*count` of them. Cost: O(*count), or O(postings × log *count) where that
 * is less.
 */
void tsdb_postings_filter(const struct tsdb_postings *postings, bool keeps_members, uint32_t *ids,
                          size_t *count);

/* Bytes beyond the structure: of the array or the bitmap. */
uint64_t tsdb_postings_held_bytes(const struct tsdb_postings *postings,
                                  const struct tsdb_memory *memory);

/* ---- bitmaps: postings_many.c --------------------------------------------------------------- */

static inline bool tsdb_postings_is_many(const struct tsdb_postings *postings)
{
    return postings->count > 1 && (postings->word & 1) != 0;
}
static inline uint32_t *tsdb_postings_few(const struct tsdb_postings *postings)
{
    Q_DCHECK(postings->count > 1 && (postings->word & 1) == 0);
    return (uint32_t *)(uintptr_t)postings->word;
}

/* From an array to a bitmap; the array goes. Errors: QUARRY_NO_MEMORY: as it was. */
enum quarry_status tsdb_postings_to_many(struct tsdb_postings *postings,
                                         const struct tsdb_memory *memory);
/* From a bitmap to an array, where there is memory for one. */
void tsdb_postings_to_few(struct tsdb_postings *postings, const struct tsdb_memory *memory);
/* Empty ones become a bitmap of ids, more than TSDB_POSTINGS_FEW_MAX. Errors: QUARRY_NO_MEMORY. */
enum quarry_status tsdb_postings_many_fill(struct tsdb_postings *postings,
                                           const struct tsdb_memory *memory, const uint32_t *ids,
                                           uint32_t count);
/* Of a bitmap: as the calls above; removing the last ids is the caller's. */
enum quarry_status tsdb_postings_many_add(struct tsdb_postings *postings,
                                          const struct tsdb_memory *memory, uint32_t id);
void tsdb_postings_many_remove(struct tsdb_postings *postings, const struct tsdb_memory *memory,
                               uint32_t id);
void tsdb_postings_many_clear(struct tsdb_postings *postings, const struct tsdb_memory *memory);
bool tsdb_postings_many_has(const struct tsdb_postings *postings, uint32_t id);
void tsdb_postings_many_read(const struct tsdb_postings *postings, uint32_t *ret_ids);
/* Recounts what a bitmap holds, by each of its containers: what `room` should say. */
uint64_t tsdb_postings_many_count_bytes(const struct tsdb_postings *postings);

#endif
