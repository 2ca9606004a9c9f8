/*
 * The heap profile: which stacks allocated what is sampled, what became of it, and how old it grew.
 *
 * The heap samples its allocations by bytes (sampling.h) and reports each sample and its end here.
 * Everything is written into the statistics segment as it happens, where other processes read it.
 */
#ifndef QUARRY_MEM_PROFILE_H
#define QUARRY_MEM_PROFILE_H

#include <base/base.h>

#include <mem/index.h>
#include <mem/room.h>
#include <mem/stats_page.h>
#include <mem/unwind.h>

struct mem_profile {
    /* const after init */
    struct mem_stats *stats; /* whose mutex guards the rest */
    struct mem_code_range own_code;
    /* guarded by stats->mutex */
    struct mem_index stack_index;  /* hash -> stack */
    struct mem_index sample_index; /* hash of address -> sample */
    struct mem_room used_room;     /* a bit for each sample record: taken */
    uint32_t first_free_word;      /* of those bits: no free one is in a word below */
    uint32_t stack_count;
    uint32_t window_count; /* samples since window_began_ns */
    uint64_t window_began_ns;
    _Atomic uint32_t mean_shift; /* written under the mutex: see mem_profile_mean */
};

/*
 * Samples are taken at most about so many times a second: a program that allocates 10 GiB a second
 * would spend a tenth of its time on them. While there are more, the mean is doubled, and each
 * sample stands for as much more; doubling the number doubles the cost, 0.3 % of a CPU at most.
 */
#define MEM_PROFILE_RATE_MAX 1000u

/* The mean distance between samples now, 0 for none: what was set, times a power of two. */
uint64_t mem_profile_mean(const struct mem_profile *profile);

/*
 * `stats`: borrowed until fini; initialised. `own_code`: frames that stacks do not begin with, see
 * mem_code_range_of_module. Cost: no memory.
 */
void mem_profile_init(struct mem_profile *profile, struct mem_stats *stats,
                      struct mem_code_range own_code);
/* Forgets all samples. Call it before mem_stats_fini. No other thread uses it any more. */
void mem_profile_fini(struct mem_profile *profile);

/*
 * Bytes to allocate until the next sample, by the mean of now. Counted in usable bytes: the object
 * in which the count runs out is the sample, and the next gap begins behind it.
 *
 * `ret_mean_bytes`: the mean that it was drawn by, which the sample's weight depends on.
 * `rng_state`: the caller's, any start value but the same in no two threads.
 * Returns: from 1; UINT64_MAX when sampling is off, and the caller then asks again in a while, for
 * the mean may change at any time.
 * Threads: any. Cost: 15 ns; no lock.
 */
uint64_t mem_profile_gap(struct mem_profile *profile, uint64_t *rng_state,
                         uint64_t *ret_mean_bytes);

/* What is known of a sampled allocation besides its stack. */
struct mem_profile_origin {
    size_t requested_bytes;   /* what was asked for */
    size_t usable_bytes;      /* what was given, from 1, and what the gap was counted in */
    uint64_t mean_bytes;      /* that the gap was drawn by; 0: sampling was off, no sample */
    uint32_t owner, lifetime; /* numbers that the rows of the census explain */
};

/*
 * Records a sampled allocation, with the calling thread's stack.
 *
 * `object`: not yet given to the program. `requested_bytes`: what it asked for; `usable_bytes`:
 * what it got, from 1, and what the gap was counted in. `owner`, `lifetime`: numbers that the rows
 * of the census explain. What cannot be kept (no memory, a full table) is dropped and counted.
 * Threads: any, with no lock of the page heap held; not from within itself. Leaves errno alone.
 * Cost: 2 µs for ten frames, 5 µs for 32; nearly all of it is unwinding, before the lock is taken.
 */
void mem_profile_alloc(struct mem_profile *profile, const void *object,
                       const struct mem_profile_origin *origin);

/* The same of plain figures, by the mean of now: for tests. */
static inline void mem_profile_alloc_now(struct mem_profile *profile, const void *object,
                                         size_t requested_bytes, size_t usable_bytes,
                                         uint32_t owner, uint32_t lifetime)
{
    const struct mem_profile_origin origin = {requested_bytes, usable_bytes,
                                              mem_profile_mean(profile), owner, lifetime};

    mem_profile_alloc(profile, object, &origin);
}

/*
 * Records the end of an object, if it was a sample. To be called before its memory can be allocated
 * again.
 * Returns: whether it was. Threads: any, with no lock of the page heap held. Cost: 110 ns, and 60
 * when it was none; call it for objects that may be samples.
 */
bool mem_profile_free(struct mem_profile *profile, const void *object);

/*
 * Records the end of every sampled object in [first, first + bytes): their lifetime is over.
 * Threads, cost: as mem_profile_free, and a look at every live sample.
 */
void mem_profile_end_range(struct mem_profile *profile, const void *first, uint64_t bytes);

/*
 * Records that realloc kept an object alive with another size, and maybe at another address.
 * The sample stands for as many objects as before.
 *
 * Returns: whether `object` was a sample. Threads, cost: as mem_profile_free.
 */
bool mem_profile_move(struct mem_profile *profile, const void *object, const void *new_object,
                      size_t requested_bytes, size_t usable_bytes);

/*
 * Around fork: prepare when the object heap's locks have been taken, and before the page heap's;
 * the other two after the page heap's own. The child gets a segment of its own with what was in the
 * parent's; live samples that the parent freed in the moment before they could be copied are lost,
 * and counted.
 */
void mem_profile_fork_prepare(struct mem_profile *profile) Q_ACQUIRE(&profile->stats->mutex);
void mem_profile_fork_parent(struct mem_profile *profile) Q_RELEASE(&profile->stats->mutex);
void mem_profile_fork_child(struct mem_profile *profile) Q_RELEASE(&profile->stats->mutex);

#endif
