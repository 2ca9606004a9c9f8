/*
 * Spaces: bytes named by their offset, which grow page by page and go back at once.
 *
 * A space begins with nothing. Its addresses come in segments, each twice as long as the one
 * before; its memory joins page by page, each charged before it can be touched. Offsets never move.
 */
#ifndef QUARRY_TSDB_SPACE_H
#define QUARRY_TSDB_SPACE_H

#include <base/base.h>
#include <page/page.h>

struct quarry_account;
struct quarry_lane;

/* Segments of a space: 64 KiB to 4 GiB, together just under 8 GiB. Twice as much would be one more;
 * a run of addresses has to be below 8 GiB. */
#define TSDB_SPACE_SEGMENTS    17u
#define TSDB_SPACE_FIRST_SHIFT 16
#define TSDB_SPACE_FIRST_BYTES ((uint64_t)1 << TSDB_SPACE_FIRST_SHIFT)

/* Where a space can end, in bytes. */
#define TSDB_SPACE_BYTES_MAX (TSDB_SPACE_FIRST_BYTES * (((uint64_t)1 << TSDB_SPACE_SEGMENTS) - 1))

struct tsdb_space {
    struct quarry_lane *lane;       /* const once it grows; borrowed; without a file */
    struct quarry_account *account; /* const; borrowed */
    _Atomic uint64_t backed_bytes;  /* offsets below are backed, but for what was skipped */
    _Atomic uint64_t charged_bytes;
    _Atomic(void *) segment[TSDB_SPACE_SEGMENTS]; /* NULL: no addresses yet */
};

/* The segment that an offset is in, and where a segment begins and ends. */
static inline uint32_t tsdb_space_segment(uint64_t offset)
{
    return bits_log2_floor_u64((offset >> TSDB_SPACE_FIRST_SHIFT) + 1);
}
static inline uint64_t tsdb_space_segment_start(uint32_t segment)
{
    return (((uint64_t)1 << segment) - 1) << TSDB_SPACE_FIRST_SHIFT;
}
static inline uint64_t tsdb_space_segment_bytes(uint32_t segment)
{
    return TSDB_SPACE_FIRST_BYTES << segment;
}

/* Makes `space`, the caller's, an empty one. Cost: none; nothing is taken. */
void tsdb_space_init(struct tsdb_space *space, struct quarry_lane *lane,
                     struct quarry_account *account);

/*
 * Has all offsets below `end_bytes` backed; new pages are zero.
 *
 * Errors: QUARRY_NO_MEMORY, QUARRY_NO_ADDRESS (TSDB_SPACE_BYTES_MAX, or the lane's): what was
 * backed stays so, and the same call may succeed later.
 * Threads: any, at once; no lock is held, for memory may be reclaimed from others.
 * Cost: two loads when it is done already; else a lock and a charge, and for a new segment a
 * search.
 */
static inline enum quarry_status tsdb_space_back(struct tsdb_space *space, uint64_t end_bytes);
enum quarry_status tsdb_space_back_slow(struct tsdb_space *space, uint64_t end_bytes);

/*
 * Finds the offset from which on `count` bytes are contiguous: `offset`, or the beginning of a
 * later segment. What is skipped is never backed, unless it is already.
 *
 * Returns: QUARRY_OK, QUARRY_NO_ADDRESS. Threads: those of one writer, who alone backs the space.
 */
enum quarry_status tsdb_space_place(struct tsdb_space *space, uint64_t offset, uint64_t count,
                                    uint64_t *ret_offset);

/* The bytes at an offset that is backed: borrowed until the space is given back. */
static inline void *tsdb_space_at(const struct tsdb_space *space, uint64_t offset)
{
    uint32_t segment = tsdb_space_segment(offset);
    /* Acquire: pairs with the release that published the segment. */
    char *base = atomic_load_acquire_ptr(&space->segment[segment]);

    Q_DCHECK(base != NULL);
    return base + (offset - tsdb_space_segment_start(segment));
}

/*
 * Gives all of it back, the memory to the kernel; the space is empty afterwards.
 *
 * Threads: no other thread uses the space. Errors: none; what the kernel refuses to take stays with
 * the lane as free pages. Cost: O(segments), a system call for each.
 */
void tsdb_space_give(struct tsdb_space *space);

/*
 * Gives the whole pages within [from, to) back, whose bytes nobody reads any more; nothing is put
 * there again. What the kernel refuses to take stays, and stays charged.
 *
 * Threads: none uses these pages. Cost: a system call for each segment.
 */
void tsdb_space_trim(struct tsdb_space *space, uint64_t from, uint64_t to);

/* Takes the charge of a space away whose lane ends whole: nothing of it is touched. */
void tsdb_space_forget(struct tsdb_space *space);

static inline enum quarry_status tsdb_space_back(struct tsdb_space *space, uint64_t end_bytes)
{
    /* Acquire: pairs with the release that raised it, so segments below are seen. */
    if (Q_LIKELY(end_bytes <= atomic_load_acquire_u64(&space->backed_bytes))) {
        return QUARRY_OK;
    }
    return tsdb_space_back_slow(space, end_bytes);
}

#endif
