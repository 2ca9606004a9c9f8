/*
 * Sets that find no cell. need.c has the essay.
 */
#ifndef QUARRY_CACHE_NEED_H
#define QUARRY_CACHE_NEED_H

#include <cache/types.h>

struct cache_need {
    /* atomic */
    _Atomic uint32_t waiting_count; /* sets that wait now */
    _Atomic uint32_t class_id;      /* of the last of them: none of its pages is emptied */
    _Atomic uint32_t freed_count;   /* what they sleep on: changes when a page has become free */
    _Atomic uint32_t turn_count;    /* turns that were taken, so that they see whether some are */
    _Atomic uint32_t work_count;    /* of what they did to make room */
    _Atomic uint32_t turn_count_before; /* as it was when a set waited last */
    _Atomic uint32_t step_count;        /* of work that sets did themselves; a figure */
};

/* So much should be open beside what is in any case, for those who wait. */
uint64_t cache_need_bytes(const struct cache_need *need);
bool cache_need_is_there(const struct cache_need *need);
/* Whether there is a cell for each that waits, as far as the last of them tells. */
bool cache_need_has_cells(struct quarry_cache *cache);
/* A page has become free: those who wait look again. */
void cache_need_tell(struct cache_need *need);

/*
 * A cell for a set that has found none, for `status`; see cache_policy_take_cell. Errors:
 * QUARRY_NO_MEMORY, QUARRY_NO_SPACE. Cost: outside the epoch waits for turns to free one; up to
 * 100 µs of work at a time where nobody takes turns.
 */
enum quarry_status cache_need_take(struct quarry_cache *cache, size_t bytes,
                                   enum quarry_status status, struct quarry_cell *ret_cell);

#endif
