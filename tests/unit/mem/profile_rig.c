#include "profile_rig.h"

#include <string.h>
#include <unistd.h>

struct mem_stats stats;
struct mem_profile profile;
struct mem_census census;

static struct mem_stats_reader reader;

void rig_begin(uint64_t mean_bytes, uint64_t limit_bytes)
{
    heap_begin(&(struct heap_setup){.limit_bytes = limit_bytes, .has_real_backing = true});
    mem_stats_init(&stats, &(struct mem_stats_options){.heap = heap,
                                                       .sample_mean_bytes = mean_bytes,
                                                       .may_share_under_filter = true});
    mem_profile_init(&profile, &stats, (struct mem_code_range){0});
    memset(&census, 0, sizeof(census));
    census.heap = heap;
    reader = (struct mem_stats_reader){.memory_fd = -1, .shm_id = -1};
}

uint64_t rig_begin_with_room(uint64_t room_bytes)
{
    rig_begin(Q_KIB(512), Q_GIB(4));
    return page_commit_set_limit(&heap->commit, heap_committed() + room_bytes);
}

void rig_end(void)
{
    mem_stats_detach(&reader);
    mem_profile_fini(&profile);
    mem_stats_fini(&stats);
    heap_end();
}

int rig_set_up(void **state)
{
    (void)state;
    rig_begin(Q_KIB(512), Q_GIB(4));
    return 0;
}

int rig_tear_down(void **state)
{
    (void)state;
    rig_end();
    return 0;
}

void sample_plant(uint64_t address, uint64_t bytes, uint64_t pc, uint32_t depth)
{
    uint64_t mean_bytes = mem_stats_sample_mean(&stats);
    struct mem_profile_event event = {
        .depth = depth,
        .sample = {.address = address,
                   .requested_bytes = bytes - bytes / 8,
                   .usable_bytes = bytes,
                   .birth_monotonic_ns = os_monotonic_ns(&sim.os),
                   .weight = MEM_STATS_WEIGHT_ONE * 2,
                   .mean_bytes = mean_bytes,
                   .owner = 3,
                   .lifetime = 4},
    };

    for (uint32_t i = 0; i < depth; i++) {
        event.pc[i] = pc + i;
    }
    os_mutex_lock(&profile.stats->mutex);
    mem_profile_record_locked(&profile, &event);
    os_mutex_unlock(&profile.stats->mutex);
}

struct mem_stats_snapshot rig_snapshot(void)
{
    struct mem_stats_snapshot snapshot = {0};
    struct quarry_error error = {0};

    mem_stats_detach(&reader);
    if (mem_stats_attach((uint32_t)getpid(), &reader, &error) != QUARRY_OK ||
        mem_stats_snapshot(&reader, &snapshot, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    return snapshot;
}

const struct mem_stats_stack *stack_of(const struct mem_stats_snapshot *snapshot, uint64_t pc)
{
    for (uint32_t i = 0; i < snapshot->stack_count; i++) {
        if (snapshot->stacks[i].depth > 0 && snapshot->stacks[i].pc[0] == pc) {
            return &snapshot->stacks[i];
        }
    }
    fail_msg("no stack begins with %llx", (unsigned long long)pc);
    return NULL;
}

/* Adds a sample's share to the sums of its stack. */
static void sum_sample(struct mem_stats_flow *sum, const struct mem_stats_sample *sample)
{
    sum->sampled_count++;
    sum->sampled_bytes += sample->usable_bytes;
    sum->weight += sample->weight;
    sum->bytes += sample->weight * sample->usable_bytes >> MEM_STATS_WEIGHT_SHIFT;
    sum->requested_bytes += sample->weight * sample->requested_bytes >> MEM_STATS_WEIGHT_SHIFT;
}

void assert_balanced(const struct mem_stats_snapshot *snapshot)
{
    for (uint32_t i = 0; i < snapshot->stack_count; i++) {
        const struct mem_stats_stack *stack = &snapshot->stacks[i];
        struct mem_stats_flow live = {0};
        for (uint32_t j = 0; j < snapshot->sample_count; j++) {
            if (snapshot->samples[j].stack == i) {
                sum_sample(&live, &snapshot->samples[j]);
            }
        }
        assert_int_equal(stack->alloc.sampled_count - stack->free.sampled_count,
                         live.sampled_count);
        assert_int_equal(stack->alloc.sampled_bytes - stack->free.sampled_bytes,
                         live.sampled_bytes);
        assert_int_equal(stack->alloc.weight - stack->free.weight, live.weight);
        assert_int_equal(stack->alloc.bytes - stack->free.bytes, live.bytes);
        assert_int_equal(stack->alloc.requested_bytes - stack->free.requested_bytes,
                         live.requested_bytes);
    }
}

uint64_t live_bytes_of(const struct mem_stats_snapshot *snapshot)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < snapshot->stack_count; i++) {
        bytes += snapshot->stacks[i].alloc.bytes - snapshot->stacks[i].free.bytes;
    }
    return bytes;
}
