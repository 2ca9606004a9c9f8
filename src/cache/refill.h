/*
 * How full a cache is, who gives, and keeping a little free.
 */
#ifndef QUARRY_CACHE_REFILL_H
#define QUARRY_CACHE_REFILL_H

#include <cache/hand.h>
#include <cache/types.h>

#define CACHE_LEVEL_STRIPES 16u

/* What items' cells take, by the threads whose number leads here. */
struct cache_level_stripe {
    _Atomic uint64_t used_bytes; /* a level: may be below 0 */
    _Atomic uint32_t taken_count;
    _Atomic uint32_t owed_bytes; /* of cells taken since something was last evicted for them */
} Q_ALIGNED(Q_CACHE_LINE_BYTES);

struct cache_levels {
    /* atomic */
    _Atomic uint32_t is_tight;    /* less is free than should be: who sets evicts */
    _Atomic uint32_t has_evicted; /* it has, and has not become much emptier since */
    _Atomic uint32_t giver;       /* id of the tenant that gives; UINT32_MAX: none */
    _Atomic uint64_t bound_bytes; /* what the memory has room for, where that is less; 0: enough */
    _Atomic uint32_t bound_until; /* seconds of the cache's clock */
    _Atomic uint64_t disk_bytes;  /* likewise the disk of its file, as was found last */
    _Atomic uint64_t disk_page_bytes; /* of which pages of items then */
    _Atomic uint32_t disk_is_bound;   /* it is believed */
    _Atomic uint32_t disk_until;
    _Atomic uint32_t disk_wait_seconds; /* how long it was believed last */
    _Atomic uint64_t pending_bytes;     /* of cells that are being written, a moment ago */
    struct cache_level_stripe stripe[CACHE_LEVEL_STRIPES];
};

/* A cache in bytes, as of a moment ago. */
struct cache_room {
    uint64_t limit_bytes; /* that it may have charged now */
    uint64_t charged_bytes;
    uint64_t over_bytes; /* charged above the limit */
    uint64_t open_bytes; /* not charged yet: pages can be added */
    uint64_t cell_bytes; /* free in pages */
    /* How much there should be: open; and free in pages, or open above that. */
    uint64_t wants_open_bytes, wants_free_bytes;
    uint64_t free_bytes; /* what there is of the latter */
};

void cache_levels_init(struct cache_levels *ret_levels);
/* An item's cells have come, or gone. Cost: an atomic addition in a line of few threads. */
void cache_levels_add(struct cache_levels *levels, uint64_t bytes);

/* What items' cells take. */
uint64_t cache_levels_used(const struct cache_levels *levels);

/* What the size, and the memory, have room for, whatever the budget wishes. Cost: four loads. */
uint64_t cache_room_hard_limit(const struct quarry_cache *cache);
/* Cost: a look at each stripe. */
struct cache_room cache_room_read(struct quarry_cache *cache);
/* How much is to be evicted: to a quarter above what is wanted. */
uint64_t cache_room_lacking(const struct cache_room *room);
/* Whether hardly more is free than is kept so: then something goes for what comes. */
bool cache_room_is_full(const struct cache_room *room);
/*
 * A page did not fit though the limit has room: the memory has none, or, where it was
 * QUARRY_NO_SPACE, the disk.
 */
void cache_room_note_refused(struct quarry_cache *cache, enum quarry_status status);
/* The size has changed: what the disk has room for bounds it as before. */
void cache_room_bound_by_disk(struct quarry_cache *cache);

/*
 * For every cell that is taken: how much is to be evicted now for it and the ones before, when less
 * is free than should be; else 0. Now and then looks. Cost: a load or two.
 */
uint64_t cache_refill_owed(struct cache_levels *levels, struct quarry_cache *cache, uint64_t bytes);

/* Looks at once. Cost: a look at each stripe. */
void cache_refill_look(struct quarry_cache *cache);

/* What a tenant may hold before it gives to others. */
uint64_t cache_tenant_share(const struct quarry_cache_tenant *tenant);
/* Whether others' needs take nothing of it now: it is within its share, and another is not. */
bool cache_tenant_is_safe(const struct quarry_cache_tenant *tenant);
/*
 * Evicts for whoever needs it, from the tenant furthest above its share. Enters the epoch. Returns:
 * what was freed; no work: nobody has anything.
 */
struct cache_evicted cache_refill_evict(struct quarry_cache *cache,
                                        const struct cache_evict_limits *limits);
/* Chooses anew who gives, and looks at the levels. Cost: O(tenants). */
void cache_refill_choose(struct quarry_cache *cache);

#endif
