/*
 * Profiles of a heap for pprof: which values each kind has.
 *
 *   heap, allocs    alloc_objects alloc_space inuse_objects inuse_space     label bytes
 *   lifetimes       allocated, deallocated, censored: objects and space     label age
 *   fragmentation   live_space pinned_spans
 *
 * Values are estimates of the whole, not the samples: each sample was weighted by 1 / (1 -
 * exp(-size / mean)) when it was taken, so nothing is left to scale. `bytes` is the mean size of
 * the stack's objects.
 *
 * In a profile of lifetimes an object is freed (deallocated) at some age, or was alive at the end
 * (censored); allocated is the sum of both. Each stack has one sample for each range of ages.
 *
 * A profile of fragmentation lays the free bytes of each span under half full to the stacks whose
 * sampled objects are alive in it.
 *
 * Texts that are not UTF-8 would make the message invalid to strict readers: names of files are
 * bytes, and go as they are.
 */
#include <cli/profile.h>

#include <stdlib.h>

#include <cli/figures.h>
#include <cli/heap_text.h>
#include <cli/profile_build.h>

const char *const profile_kind_names[PROFILE_KINDS] = {
    [PROFILE_HEAP] = "heap",
    [PROFILE_ALLOCS] = "allocs",
    [PROFILE_LIFETIMES] = "lifetimes",
    [PROFILE_FRAGMENTATION] = "fragmentation",
};

/* ---- heap and allocs ------------------------------------------------------------------------ */

static void build_heap(struct profile_build *build)
{
    const struct mem_stats_snapshot *snapshot = &build->process->snapshot;

    profile_add_type(build, "alloc_objects", "count");
    profile_add_type(build, "alloc_space", "bytes");
    profile_add_type(build, "inuse_objects", "count");
    profile_add_type(build, "inuse_space", "bytes");
    for (uint32_t i = 0; i < snapshot->stack_count; i++) {
        struct stack_figures stack = stack_figures_of(&snapshot->stacks[i], i);
        if (stack.alloc_bytes == 0) {
            continue;
        }
        const uint64_t values[] = {stack.alloc_count, stack.alloc_bytes, stack.live_count,
                                   stack.live_bytes};
        Quarry__Pprof__Sample *sample = profile_add_sample(build, &snapshot->stacks[i], values);
        uint64_t count = size_max_u64(stack.alloc_count, 1);
        profile_label_number(build, sample, "bytes", stack.alloc_bytes / count, "bytes");
    }
}

/* ---- lifetimes ------------------------------------------------------------------------------ */

/* What is alive of each stack by its age now. */
struct live_ages {
    struct mem_stats_age_bucket (*of_stack)[MEM_STATS_AGE_BUCKETS]; /* own */
};

static bool live_ages_init(struct live_ages *ages, const struct mem_stats_snapshot *snapshot)
{
    ages->of_stack = calloc(snapshot->stack_count + 1, sizeof(ages->of_stack[0]));
    if (ages->of_stack == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < snapshot->sample_count; i++) {
        const struct mem_stats_sample *sample = &snapshot->samples[i];
        uint64_t age_ns =
            sat_sub_u64(snapshot->head->refresh_monotonic_ns, sample->birth_monotonic_ns);
        struct mem_stats_age_bucket *bucket =
            &ages->of_stack[sample->stack][mem_stats_age_bucket(age_ns)];
        bucket->weight = sat_add_u64(bucket->weight, sample->weight);
        double objects = (double)sample->weight / (double)MEM_STATS_WEIGHT_ONE;
        bucket->bytes =
            sat_add_u64(bucket->bytes, (uint64_t)(objects * (double)sample->usable_bytes));
    }
    return true;
}

static void build_ages(struct profile_build *build, const struct mem_stats_stack *stack,
                       const struct mem_stats_age_bucket live[MEM_STATS_AGE_BUCKETS])
{
    char age[AGE_TEXT_BYTES];

    for (uint32_t i = 0; i < MEM_STATS_AGE_BUCKETS; i++) {
        uint64_t freed_count = figures_objects(stack->age[i].weight);
        uint64_t live_count = figures_objects(live[i].weight);
        const uint64_t values[PROFILE_VALUES_MAX] = {
            sat_add_u64(freed_count, live_count),
            sat_add_u64(stack->age[i].bytes, live[i].bytes),
            freed_count,
            stack->age[i].bytes,
            live_count,
            live[i].bytes,
        };
        if (values[1] > 0) {
            Quarry__Pprof__Sample *sample = profile_add_sample(build, stack, values);
            profile_label_text(build, sample, "age", heap_text_age(i, age));
        }
    }
}

static void build_lifetimes(struct profile_build *build)
{
    const struct mem_stats_snapshot *snapshot = &build->process->snapshot;
    struct live_ages ages;

    profile_add_type(build, "allocated_objects", "count");
    profile_add_type(build, "allocated_space", "bytes");
    profile_add_type(build, "deallocated_objects", "count");
    profile_add_type(build, "deallocated_space", "bytes");
    profile_add_type(build, "censored_objects", "count");
    profile_add_type(build, "censored_space", "bytes");
    if (!live_ages_init(&ages, snapshot)) {
        build->has_failed = true;
        return;
    }
    for (uint32_t i = 0; i < snapshot->stack_count; i++) {
        build_ages(build, &snapshot->stacks[i], ages.of_stack[i]);
    }
    free(ages.of_stack);
}

/* ---- fragmentation -------------------------------------------------------------------------- */

static void build_fragmentation(struct profile_build *build)
{
    const struct mem_stats_snapshot *snapshot = &build->process->snapshot;

    profile_add_type(build, "live_space", "bytes");
    profile_add_type(build, "pinned_spans", "bytes");
    for (uint32_t i = 0; i < snapshot->stack_count; i++) {
        const struct mem_stats_stack *stack = &snapshot->stacks[i];
        const uint64_t values[] = {stack->pinned_live_bytes, stack->pinned_span_bytes};
        if (stack->pinned_span_bytes > 0) {
            (void)profile_add_sample(build, stack, values);
        }
    }
}

/* ---- the whole ------------------------------------------------------------------------------ */

static void build_kind(struct profile_build *build, enum profile_kind kind)
{
    switch (kind) {
    case PROFILE_HEAP:
    case PROFILE_ALLOCS:
        build_heap(build);
        break;
    case PROFILE_LIFETIMES:
        build_lifetimes(build);
        break;
    case PROFILE_FRAGMENTATION:
        build_fragmentation(build);
        break;
    case PROFILE_KINDS:
        Q_UNREACHABLE();
    }
}

enum quarry_status profile_write(const char *path, enum profile_kind kind,
                                 const struct process *process, struct symbols *symbols,
                                 struct quarry_error *error)
{
    struct profile_build build;
    Quarry__Pprof__Profile profile;
    Quarry__Pprof__ValueType period_type = QUARRY__PPROF__VALUE_TYPE__INIT;
    enum quarry_status status;

    profile_build_init(&build, process, symbols);
    build_kind(&build, kind);
    period_type.type = profile_string(&build, "space");
    period_type.unit = profile_string(&build, "bytes");
    int64_t default_type = kind == PROFILE_ALLOCS ? profile_string(&build, "alloc_space") : 0;
    int64_t comment = profile_string(&build, process->snapshot.head->command);
    profile_finish(&build, &profile);
    profile.period_type = &period_type;
    profile.period = (int64_t)size_min_u64(process->snapshot.head->sample_mean_bytes, INT64_MAX);
    profile.default_sample_type = default_type;
    profile.n_comment = comment != 0;
    profile.comment = &comment;
    if (build.has_failed) {
        status = error_set(error, QUARRY_NO_MEMORY, "%s: no memory for a profile", path);
    } else {
        status = profile_save(path, &profile, error);
    }
    profile_build_fini(&build);
    return status;
}
