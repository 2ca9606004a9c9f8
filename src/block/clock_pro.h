/*
 * Clock-Pro: which entries of a cache are worth their bytes.
 *
 * The algorithm alone: entries are numbers, sizes are bytes, and what has to go is told by calls.
 * It owns no value, takes no lock and no memory but the chunks it is given. clock_pro.c has the
 * rules.
 */
#ifndef QUARRY_BLOCK_CLOCK_PRO_H
#define QUARRY_BLOCK_CLOCK_PRO_H

#include <quarry/block.h>

#include <base/base.h>

/* No entry. */
#define CLOCK_PRO_NONE UINT32_MAX

/* What an entry is. */
enum clock_pro_type {
    CLOCK_PRO_FREE = 0, /* in no ring */
    CLOCK_PRO_TEST = 1, /* a ghost: it was cold and went; its return would prove it hot */
    CLOCK_PRO_COLD = 2,
    CLOCK_PRO_HOT = 3,
};

/* One line of memory. All but the ring, `bytes` and `type` is the user's. */
struct clock_pro_entry {
    struct quarry_block_key key;
    uint64_t value;
    uint32_t next, prev; /* in the clock's ring; `next` of a free entry: the next free one */
    uint32_t file_next, file_prev;
    uint32_t bytes;
    uint8_t type; /* enum clock_pro_type */
    uint8_t kind, level;
    bool is_background;
    bool is_file_head;
    uint8_t unused[7];
};
Q_STATIC_ASSERT(sizeof(struct clock_pro_entry) == Q_CACHE_LINE_BYTES, "an entry is a line");

/*
 * Entries come in chunks of 64 KiB, numbered by 1,024 of which the last 16 do not exist: their
 * place holds the referenced bits, a byte each, so that a reader sets one without a locked
 * instruction and the hands find 64 of them in a line.
 */
#define CLOCK_PRO_CHUNK_SHIFT   10
#define CLOCK_PRO_CHUNK_NUMBERS (1u << CLOCK_PRO_CHUNK_SHIFT)
#define CLOCK_PRO_CHUNK_ENTRIES 1008u
#define CLOCK_PRO_CHUNK_BYTES   65536u

struct clock_pro_chunk {
    struct clock_pro_entry entry[CLOCK_PRO_CHUNK_ENTRIES];
    _Atomic uint8_t is_referenced[CLOCK_PRO_CHUNK_NUMBERS];
};
Q_STATIC_ASSERT(sizeof(struct clock_pro_chunk) == CLOCK_PRO_CHUNK_BYTES, "a chunk is 8 pages");

struct clock_pro;

/* What the clock tells its user, from within its calls. The user calls nothing of it meanwhile. */
struct clock_pro_events {
    /* The entry's value has to go; it has just become a ghost. */
    void (*evict)(void *argument, uint32_t entry);
    /* The ghost is about to leave the ring; its number is free afterwards. */
    void (*forget)(void *argument, uint32_t entry);
};

/* Bytes and count of entries of one type. */
struct clock_pro_sum {
    uint64_t bytes;
    uint64_t count;
};

struct clock_pro {
    const struct clock_pro_events *events; /* const after init */
    void *argument;                        /* const after init */
    struct clock_pro_chunk **chunks;       /* the user's memory: room for chunk_capacity */
    uint32_t chunk_count;
    uint32_t chunk_capacity;
    uint32_t free_entry; /* a list */
    uint64_t free_count;

    uint64_t max_bytes;
    uint64_t reserved_bytes;
    uint64_t shrink_bytes;      /* wanted besides by a clock_pro_shrink under way */
    uint64_t cold_target_bytes; /* how much of the target cold entries may have */
    struct clock_pro_sum sum[CLOCK_PRO_HOT + 1]; /* by type */
    uint32_t hand_hot, hand_cold, hand_test;     /* all NONE when the ring is empty */
    uint64_t kept_count;                         /* cold entries that hand_cold found referenced */
    uint64_t revived_count;                      /* ghosts that came back */
};

/* `max_bytes`: from 1. Without chunks there is no room for an entry. */
void clock_pro_init(struct clock_pro *clock, uint64_t max_bytes,
                    const struct clock_pro_events *events, void *argument);

/*
 * Gives room for more entries.
 *
 * `chunk`: borrowed until the clock's end; all zero. There is room in `chunks` for another.
 */
void clock_pro_add_chunk(struct clock_pro *clock, struct clock_pro_chunk *chunk);

static inline struct clock_pro_entry *clock_pro_entry(const struct clock_pro *clock, uint32_t entry)
{
    Q_DCHECK(entry >> CLOCK_PRO_CHUNK_SHIFT < clock->chunk_count);
    return &clock->chunks[entry >> CLOCK_PRO_CHUNK_SHIFT]
                ->entry[entry & (CLOCK_PRO_CHUNK_NUMBERS - 1)];
}

/* Where the entry's referenced bit is: at this address until the clock's end. */
static inline _Atomic uint8_t *clock_pro_referenced(const struct clock_pro *clock, uint32_t entry)
{
    return &clock->chunks[entry >> CLOCK_PRO_CHUNK_SHIFT]
                ->is_referenced[entry & (CLOCK_PRO_CHUNK_NUMBERS - 1)];
}

/*
 * Marks an entry as used since a hand last came by. Any thread, without the lock.
 * Relaxed both: a bit more or less is a guess less good. Load before store: a line that is only
 * read stays with all CPUs.
 */
static inline void clock_pro_touch(_Atomic uint8_t *is_referenced)
{
    if (atomic_load_relaxed_u8(is_referenced) == 0) {
        atomic_store_relaxed_u8(is_referenced, 1);
    }
}

/* What resident entries may have: max less reserved, at least 1. */
static inline uint64_t clock_pro_target(const struct clock_pro *clock)
{
    return clock->max_bytes > clock->reserved_bytes ? clock->max_bytes - clock->reserved_bytes : 1;
}

static inline uint64_t clock_pro_resident_bytes(const struct clock_pro *clock)
{
    return clock->sum[CLOCK_PRO_HOT].bytes + clock->sum[CLOCK_PRO_COLD].bytes;
}

/*
 * Enters what was in no ring, as cold; evicts first what has to go.
 *
 * `bytes`: from 1. `is_referenced`: somebody else wants it already.
 * Returns: its number; NONE: larger than the target, and not admitted. There is a free entry.
 */
uint32_t clock_pro_insert(struct clock_pro *clock, uint32_t bytes, bool is_referenced);

/*
 * A ghost has come back, and is hot; so the cold ones get more room.
 *
 * Returns: false: larger than the target, and not admitted. The entry is then free, as after
 * clock_pro_remove.
 */
bool clock_pro_revive(struct clock_pro *clock, uint32_t entry, uint32_t bytes);

/* A resident entry has another value, and counts as used. Its user has put the value in place. */
void clock_pro_replace(struct clock_pro *clock, uint32_t entry, uint32_t bytes);

/* Takes an entry of any type out. Its number is free. Nothing is told. */
void clock_pro_remove(struct clock_pro *clock, uint32_t entry);

/* Changes the target and evicts what has to go. `max_bytes`: from 1. */
void clock_pro_set_limits(struct clock_pro *clock, uint64_t max_bytes, uint64_t reserved_bytes);

/* Evicts until `bytes` less are resident than the target, or as now if that is less. Ghosts stay.
 */
void clock_pro_shrink(struct clock_pro *clock, uint64_t bytes);

/*
 * Checks the ring against the sums and the hands.
 * Returns: NULL, or what is wrong.
 */
const char *clock_pro_validate(const struct clock_pro *clock);

#endif
