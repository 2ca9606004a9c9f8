/*
 * The heap profile: what happens outside the lock.
 *
 * A sample is prepared first: clock, weight, stack. Then the mutex is taken, for as long as it
 * takes to find two records and add to some words (profile_table.c).
 *
 * Invariants: 1. errno is the caller's own on return: malloc and free promise it.
 *
 * Locking: the segment's mutex, taken with no lock of the page heap held; nothing but the budget's
 * word is asked for under it. The first sample makes the segment under it.
 *
 * Cost: 2 to 5 µs for a sample, one in half a MiB, where a program that does nothing but allocate
 * and touch its memory spends some 100 µs.
 */
#include <mem/profile.h>

#include <errno.h>

#include <mem/profile_table.h>
#include <mem/sampling.h>

void mem_profile_init(struct mem_profile *profile, struct mem_stats *stats,
                      struct mem_code_range own_code)
{
    *profile = (struct mem_profile){.stats = stats, .own_code = own_code};
    mem_index_init(&profile->stack_index, stats->heap, MEM_STATS_STACKS_MAX);
    mem_index_init(&profile->sample_index, stats->heap, MEM_STATS_SAMPLES_MAX);
    mem_room_init(&profile->used_room, stats->heap, MEM_PROFILE_USED_BYTES);
}

void mem_profile_fini(struct mem_profile *profile)
{
    mem_index_fini(&profile->stack_index);
    mem_index_fini(&profile->sample_index);
    mem_room_fini(&profile->used_room);
}

/* ---- the rate of samples -------------------------------------------------------------------- */

/* Samples in a window, after which the rate is looked at. */
#define WINDOW_COUNT   64u
#define MEAN_SHIFT_MAX 16u

uint64_t mem_profile_mean(const struct mem_profile *profile)
{
    uint32_t shift = atomic_load_relaxed_u32(&profile->mean_shift);

    return sat_mul_u64(mem_stats_sample_mean(profile->stats), (uint64_t)1 << shift);
}

/* Doubles the mean when a window was filled too soon, halves it when it took four times as long. */
static void note_rate_locked(struct mem_profile *profile, uint64_t now_ns)
    Q_REQUIRES(&profile->stats->mutex)
{
    const uint64_t least_ns = WINDOW_COUNT * Q_SECOND_NS / MEM_PROFILE_RATE_MAX;
    uint32_t shift = atomic_load_relaxed_u32(&profile->mean_shift);
    uint64_t elapsed_ns = now_ns - profile->window_began_ns;

    if (++profile->window_count < WINDOW_COUNT && elapsed_ns < 4 * least_ns) {
        return;
    }
    if (profile->window_count == WINDOW_COUNT && elapsed_ns < least_ns) {
        shift += shift < MEAN_SHIFT_MAX;
    } else if (profile->window_count < WINDOW_COUNT) {
        shift -= shift > 0;
    }
    atomic_store_relaxed_u32(&profile->mean_shift, shift);
    profile->window_count = 0;
    profile->window_began_ns = now_ns;
}

uint64_t mem_profile_gap(struct mem_profile *profile, uint64_t *rng_state, uint64_t *ret_mean_bytes)
{
    *ret_mean_bytes = mem_profile_mean(profile);
    return mem_sampling_gap(*ret_mean_bytes, rng_state);
}

static uint64_t now_of(const struct mem_profile *profile)
{
    return os_monotonic_ns(profile->stats->heap->os);
}

Q_NOINLINE void mem_profile_alloc(struct mem_profile *profile, const void *object,
                                  const struct mem_profile_origin *origin)
{
    int caller_errno = errno; /* invariant 1 */

    Q_ASSERT(object != NULL && origin->usable_bytes > 0);
    if (origin->mean_bytes == 0) {
        return;
    }
    struct mem_profile_event event = {
        .sample = {.address = (uint64_t)(uintptr_t)object,
                   .requested_bytes = origin->requested_bytes,
                   .usable_bytes = origin->usable_bytes,
                   .birth_monotonic_ns = now_of(profile),
                   .weight = mem_sampling_weight(origin->usable_bytes, origin->mean_bytes),
                   .mean_bytes = origin->mean_bytes,
                   .owner = origin->owner,
                   .lifetime = origin->lifetime},
    };
    event.depth = mem_unwind(profile->own_code, event.pc, MEM_STATS_DEPTH_MAX);
    os_mutex_lock(&profile->stats->mutex);
    mem_profile_record_locked(profile, &event);
    note_rate_locked(profile, event.sample.birth_monotonic_ns);
    os_mutex_unlock(&profile->stats->mutex);
    errno = caller_errno;
}

bool mem_profile_free(struct mem_profile *profile, const void *object)
{
    uint64_t now_ns = now_of(profile);

    os_mutex_lock(&profile->stats->mutex);
    bool was_sample = mem_profile_end_locked(profile, object, now_ns);
    os_mutex_unlock(&profile->stats->mutex);
    return was_sample;
}

void mem_profile_end_range(struct mem_profile *profile, const void *first, uint64_t bytes)
{
    uint64_t now_ns = now_of(profile);

    os_mutex_lock(&profile->stats->mutex);
    mem_profile_end_range_locked(profile, (uint64_t)first, bytes, now_ns);
    os_mutex_unlock(&profile->stats->mutex);
}

bool mem_profile_move(struct mem_profile *profile, const void *object, const void *new_object,
                      size_t requested_bytes, size_t usable_bytes)
{
    const struct mem_profile_place place = {new_object, requested_bytes, usable_bytes};
    uint64_t now_ns = now_of(profile);

    Q_ASSERT(new_object != NULL && usable_bytes > 0);
    os_mutex_lock(&profile->stats->mutex);
    bool was_sample = mem_profile_move_locked(profile, object, &place, now_ns);
    os_mutex_unlock(&profile->stats->mutex);
    return was_sample;
}

/* ---- fork ----------------------------------------------------------------------------------- */

void mem_profile_fork_prepare(struct mem_profile *profile)
{
    os_mutex_lock(&profile->stats->mutex);
}

void mem_profile_fork_parent(struct mem_profile *profile)
{
    os_mutex_unlock(&profile->stats->mutex);
}

/* The mutex is made anew, not unlocked: nobody can wait for it. */
void mem_profile_fork_child(struct mem_profile *profile) Q_NO_THREAD_SAFETY_ANALYSIS
{
    struct mem_segment parent = {0};

    if (!mem_stats_fork_child_locked(profile->stats, &parent) ||
        (parent.base != NULL && !mem_profile_carry_locked(profile, parent.base))) {
        mem_profile_forget_locked(profile);
    }
    mem_segment_destroy(profile->stats->heap->os, &parent);
    os_mutex_reset_after_fork(&profile->stats->mutex);
}
