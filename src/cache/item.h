/*
 * An item as it lies in its cell, and an extent of a large one.
 *
 *      0        4         8      9     10           12
 *     ┌────────┬─────────┬──────┬─────┬────────────┬──────────┬─────┬───────┐
 *     │ head   │ cas_low │ cas_ │ key_│ accessed   │ optional │ key │ value │
 *     │ u32    │ u32     │ mid  │bytes│ s mod 2^16 │ fields   │     │       │
 *     └────────┴─────────┴──────┴─────┴────────────┴──────────┴─────┴───────┘
 *
 *     head       31          flags          19 18 17   bytes of the value in the cell   0
 *
 *     optional, in this order, each where its flag says so:
 *       EXPIRY   u32  Unix seconds; 0: never
 *       CAS      u64  the cas, where it is not the item's sequence number
 *       LARGE    u64  bytes of the value; u64 ref48 of the first extent
 *       FLAGS    u32  the client's
 *       PINS     u32  how many pin it; the top bit: it is out of the index
 *       TENANT   u16  its tenant's id, where that is not 0
 *
 * The 40 bits of cas are a *sequence number*: it grows with every change in the cache, is never
 * given by a client, and so says what is older. It is the item's cas unless CAS is set.
 *
 * Who changes what: all is const from publication on but head's TOKEN and STALE, the expiry, the
 * cas of a large item, and an extent's next, which change under the lock of the key's bucket; and
 * FETCHED and `accessed`, which any reader sets and which a move may lose.
 */
#ifndef QUARRY_CACHE_ITEM_H
#define QUARRY_CACHE_ITEM_H

#include <string.h>

#include <quarry/cache.h>

#include <base/base.h>
#include <slab/slab.h>

struct quarry_cache;
struct quarry_cache_tenant;

#define CACHE_HEAD_LENGTH_MASK 0x3ffffu   /* bytes of the value in this cell */
#define CACHE_HEAD_VALID       (1u << 18) /* published, and not dropped; of an extent: written */
#define CACHE_HEAD_EXTENT      (1u << 19) /* an extent: struct cache_extent */
#define CACHE_HEAD_STALE       (1u << 20)
#define CACHE_HEAD_TOKEN       (1u << 21) /* somebody has won the right to renew it */
#define CACHE_HEAD_FETCHED     (1u << 22) /* read since it was stored */
#define CACHE_HEAD_EXPIRY      (1u << 24)
#define CACHE_HEAD_CAS         (1u << 25)
#define CACHE_HEAD_LARGE       (1u << 26)
#define CACHE_HEAD_FLAGS       (1u << 27)
#define CACHE_HEAD_PINS        (1u << 28)
#define CACHE_HEAD_TENANT      (1u << 29)
#define CACHE_HEAD_FIELD_SHIFT 24
#define CACHE_HEAD_FIELDS      (0x3fu << CACHE_HEAD_FIELD_SHIFT)

#define CACHE_ITEM_BYTES 12u
struct cache_item {
    _Atomic uint32_t head;
    uint32_t cas_low;
    uint8_t cas_mid;
    uint8_t key_bytes;
    _Atomic uint16_t accessed;
    char rest[];
};
Q_STATIC_ASSERT(offsetof(struct cache_item, rest) == CACHE_ITEM_BYTES, "of each item");

/*
 * A value that does not fit a cell of this size with its key lies in extents: cells of this size,
 * and a last one of what is left. Larger ones would leave more of a page unused, and would make a
 * page a matter of a few items; smaller ones would add pieces to an answer.
 */
#define CACHE_EXTENT_BYTES Q_KIB(64)

/* Cells from here on are aligned to 8 bytes, as an extent's words are, and those of its item. */
#define CACHE_ALIGNED_BYTES_MIN (QUARRY_SLAB_FINE_BYTES_MAX + 1)

struct cache_extent {
    _Atomic uint32_t head; /* EXTENT, and the bytes of the value here; VALID */
    uint32_t tenant_id;    /* of the key */
    uint64_t hash;         /* of the key */
    _Atomic uint64_t next; /* ref48; 0: the last */
    char bytes[];
};
#define CACHE_EXTENT_VALUE_BYTES ((uint32_t)(CACHE_EXTENT_BYTES - sizeof(struct cache_extent)))

/* Values from here on have a count of pins; smaller ones are copied instead. */
#define CACHE_PIN_BYTES_MIN 2048u
/* In the count of pins: the item is out of the index, and goes with its last pin. */
#define CACHE_PINS_DEAD (1u << 31)

/* Sequence numbers: 40 bits of the cache's counter. */
#define CACHE_SEQUENCE_BITS 40
#define CACHE_SEQUENCE_MASK ((UINT64_C(1) << CACHE_SEQUENCE_BITS) - 1)

/* Bytes of the optional fields, by their flags in head. */
static inline uint32_t cache_item_fields_bytes(uint32_t head)
{
    uint32_t flags = head >> CACHE_HEAD_FIELD_SHIFT;

    return (flags & 1) * 4 + (flags >> 1 & 1) * 8 + (flags >> 2 & 1) * 16 + (flags >> 3 & 1) * 4 +
           (flags >> 4 & 1) * 4 + (flags >> 5 & 1) * 2;
}

extern const uint8_t cache_item_prefix[64];
/* Where the key begins: from the item's beginning. */
static inline uint32_t cache_item_key_offset(uint32_t head)
{
    return cache_item_prefix[head >> CACHE_HEAD_FIELD_SHIFT & 63];
}

static inline uint32_t cache_item_head(const struct cache_item *item)
{
    /* Acquire: pairs with the release in cache_item_publish. */
    return atomic_load_acquire_u32(&item->head);
}
static inline const char *cache_item_key(const struct cache_item *item, uint32_t head)
{
    return (const char *)item + cache_item_key_offset(head);
}
static inline const char *cache_item_value(const struct cache_item *item, uint32_t head)
{
    return cache_item_key(item, head) + item->key_bytes;
}

/* Optional fields: where they are. The flag is set. */
static inline _Atomic uint32_t *cache_item_expiry_field(const struct cache_item *item)
{
    return (_Atomic uint32_t *)(uintptr_t)item->rest;
}
static inline char *cache_item_cas_field(const struct cache_item *item, uint32_t head)
{
    return (char *)(uintptr_t)item->rest + cache_item_fields_bytes(head & CACHE_HEAD_EXPIRY);
}
static inline uint64_t *cache_item_large_fields(const struct cache_item *item, uint32_t head)
{
    uint32_t before = cache_item_fields_bytes(head & (CACHE_HEAD_EXPIRY | CACHE_HEAD_CAS));
    return (uint64_t *)(void *)((char *)(uintptr_t)item->rest + before);
}
static inline char *cache_item_flags_field(const struct cache_item *item, uint32_t head)
{
    uint32_t before =
        cache_item_fields_bytes(head & (CACHE_HEAD_EXPIRY | CACHE_HEAD_CAS | CACHE_HEAD_LARGE));
    return (char *)(uintptr_t)item->rest + before;
}
static inline _Atomic uint32_t *cache_item_pins_field(const struct cache_item *item, uint32_t head)
{
    uint32_t before = cache_item_fields_bytes(
        head & (CACHE_HEAD_EXPIRY | CACHE_HEAD_CAS | CACHE_HEAD_LARGE | CACHE_HEAD_FLAGS));
    return (_Atomic uint32_t *)(void *)((char *)(uintptr_t)item->rest + before);
}
static inline char *cache_item_tenant_field(const struct cache_item *item, uint32_t head)
{
    return (char *)(uintptr_t)item->rest +
           cache_item_fields_bytes(head & CACHE_HEAD_FIELDS & ~CACHE_HEAD_TENANT);
}

/* 0: never. */
static inline uint32_t cache_item_expiry(const struct cache_item *item, uint32_t head)
{
    /* Relaxed: a figure of its own. */
    return (head & CACHE_HEAD_EXPIRY) == 0 ? 0
                                           : atomic_load_relaxed_u32(cache_item_expiry_field(item));
}
static inline uint32_t cache_item_client_flags(const struct cache_item *item, uint32_t head)
{
    uint32_t flags = 0;

    if ((head & CACHE_HEAD_FLAGS) != 0) {
        memcpy(&flags, cache_item_flags_field(item, head), sizeof(flags));
    }
    return flags;
}
static inline uint32_t cache_item_tenant_id(const struct cache_item *item, uint32_t head)
{
    uint16_t id = 0;

    if ((head & CACHE_HEAD_TENANT) != 0) {
        memcpy(&id, cache_item_tenant_field(item, head), sizeof(id));
    }
    return id;
}
/* Of the whole value. */
static inline uint64_t cache_item_value_bytes(const struct cache_item *item, uint32_t head)
{
    return (head & CACHE_HEAD_LARGE) != 0 ? cache_item_large_fields(item, head)[0]
                                          : head & CACHE_HEAD_LENGTH_MASK;
}
/* ref48 of the first extent of a large item. */
static inline uint64_t cache_item_first_extent(const struct cache_item *item, uint32_t head)
{
    const _Atomic uint64_t *first =
        (const _Atomic uint64_t *)(const void *)&cache_item_large_fields(item, head)[1];
    /* Acquire: pairs with the release of who moves the extent. */
    return atomic_load_acquire_u64(first);
}

/* The sequence number, completed by the cache's counter, which is not below it. */
static inline uint64_t cache_item_sequence(const struct cache_item *item, uint64_t counter)
{
    uint64_t low = (uint64_t)item->cas_mid << 32 | item->cas_low;
    return counter - ((counter - low) & CACHE_SEQUENCE_MASK);
}
static inline void cache_item_set_sequence(struct cache_item *item, uint64_t sequence)
{
    item->cas_low = (uint32_t)sequence;
    item->cas_mid = (uint8_t)(sequence >> 32);
}

/* ---- making items --------------------------------------------------------------------------- */

/* What an item is made from. */
struct cache_item_plan {
    uint32_t tenant_id;
    uint32_t key_bytes;
    uint64_t value_bytes;
    uint32_t client_flags;
    uint32_t expiry;
    uint64_t cas; /* 0: its sequence number */
};

/* Head flags that say which fields an item of the plan has: LARGE where it needs extents. */
uint32_t cache_item_plan_fields(const struct cache_item_plan *plan);
/* Bytes of its cell; of a large one without the extents. */
size_t cache_item_plan_bytes(const struct cache_item_plan *plan, uint32_t fields);
/*
 * Writes all of an item but its value, and of head no VALID, at `cell`. Returns: where the value
 * goes.
 */
char *cache_item_lay(void *cell, const struct cache_item_plan *plan, uint32_t fields,
                     const void *key);

/* ---- guesses -------------------------------------------------------------------------------- */

/* What seems to be in a cell: a key of a tenant. To be confirmed by the index. */
struct cache_guess {
    uint32_t head;
    uint32_t tenant_id;
    uint32_t key_bytes; /* 0: an extent, whose key has this hash */
    uint64_t hash;      /* of an extent's key */
    char key[256];
};

/*
 * Reads a cell that may be anybody's, and may be written at the same time.
 *
 * `data`: `bytes` of it. Returns: false: there is no item or extent in it, now.
 */
bool cache_item_guess(const void *data, size_t bytes, struct cache_guess *ret_guess);

#endif
