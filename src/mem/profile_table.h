/*
 * The profile's tables: stacks and live samples. For profile.c.
 */
#ifndef QUARRY_MEM_PROFILE_TABLE_H
#define QUARRY_MEM_PROFILE_TABLE_H

#include <base/base.h>

#include <mem/profile.h>

/* Bytes of the bits that say which sample records are taken. */
#define MEM_PROFILE_USED_BYTES (MEM_STATS_SAMPLES_MAX / 8)

/* An allocation to be recorded. */
struct mem_profile_event {
    uint32_t depth;
    uint64_t pc[MEM_STATS_DEPTH_MAX];
    struct mem_stats_sample sample; /* all but version and stack */
    uint64_t stack_hash;            /* filled in on recording */
};

/* Where an object is after a realloc. */
struct mem_profile_place {
    const void *object;
    size_t requested_bytes;
    size_t usable_bytes;
};

/* Records it, or drops and counts it. */
void mem_profile_record_locked(struct mem_profile *profile, struct mem_profile_event *event)
    Q_REQUIRES(&profile->stats->mutex);

/* Ends a sample. Returns: whether `object` was one. */
bool mem_profile_end_locked(struct mem_profile *profile, const void *object, uint64_t now_ns)
    Q_REQUIRES(&profile->stats->mutex);

/* Ends every sample in [first, first + bytes). */
void mem_profile_end_range_locked(struct mem_profile *profile, uint64_t first, uint64_t bytes,
                                  uint64_t now_ns) Q_REQUIRES(&profile->stats->mutex);

/* Moves or resizes a sample. Returns: whether `object` was one. */
bool mem_profile_move_locked(struct mem_profile *profile, const void *object,
                             const struct mem_profile_place *place, uint64_t now_ns)
    Q_REQUIRES(&profile->stats->mutex);

/*
 * In the child of a fork with a segment of its own: copies stacks and samples from `parent`, which
 * others may be writing to. Returns: false when the budget was too small for them.
 */
Q_NODISCARD bool mem_profile_carry_locked(struct mem_profile *profile, char *parent)
    Q_REQUIRES(&profile->stats->mutex);

/* Forgets all stacks and samples. */
void mem_profile_forget_locked(struct mem_profile *profile) Q_REQUIRES(&profile->stats->mutex);

#endif
