/*
 * Lists of ids, in memory of their own.
 */
#ifndef QUARRY_TSDB_IDS_H
#define QUARRY_TSDB_IDS_H

#include <tsdb/memory.h>

/* A list that grows. All-zero but for `memory` is an empty one. */
struct tsdb_ids {
    const struct tsdb_memory *memory; /* const; borrowed */
    uint32_t *ids;
    size_t count;
    size_t capacity;
};

/* Has room for `more` ids. Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE: as it was. */
static inline enum quarry_status tsdb_ids_reserve(struct tsdb_ids *ids, size_t more)
{
    void *array = ids->ids;
    enum quarry_status status = tsdb_memory_grow(ids->memory, &array, &ids->capacity,
                                                 ids->count + more, sizeof(ids->ids[0]));

    ids->ids = array;
    return status;
}

/* Gives the memory back; the list is empty. */
static inline void tsdb_ids_fini(struct tsdb_ids *ids)
{
    tsdb_memory_give(ids->memory, ids->ids);
    ids->ids = NULL;
    ids->count = ids->capacity = 0;
}

/*
 * Sorts a list by number and drops what comes twice.
 * Errors: QUARRY_NO_MEMORY (as much as the ids have): the list is as it was.
 * Cost: three passes; one, when it is sorted already.
 */
enum quarry_status tsdb_ids_sort(struct tsdb_ids *ids);

/*
 * Sorts a list by an order.
 *
 * `compare`: returns less than, equal to, above 0. Errors: QUARRY_NO_MEMORY: the list is as it was.
 * Cost: O(count × log count) comparisons; one for each when it is sorted already.
 */
typedef int tsdb_ids_compare(void *argument, uint32_t a, uint32_t b);
enum quarry_status tsdb_ids_sort_by(struct tsdb_ids *ids, tsdb_ids_compare *compare,
                                    void *argument);

#endif
