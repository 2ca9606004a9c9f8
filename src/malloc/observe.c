/*
 * Watching the process' heap.
 *
 * The heap tells of each sample; the profile keeps it in the statistics segment. The figures
 * besides are counted by the background thread: once a second while there is work, sooner when a
 * reader asks, and never so often that counting takes more than a hundredth of a CPU.
 */
#include <malloc/observe.h>

#include <sys/auxv.h>

#include <malloc/process_heap.h>

/* Between two counts at least, unless a reader asks. */
#define PERIOD_NS Q_SECOND_NS
/* A count that took so long is followed by a pause a hundred times as long. */
#define PAUSE_FACTOR 100u

static struct mem_stats stats;
static struct mem_profile profile;
static struct mem_census census;
/* the background thread, or whoever has is_counting */
static _Atomic uint32_t is_counting;
static uint64_t counted_at_ns, pause_until_ns;
static bool is_hardened;

static uint64_t gap(void *argument, uint64_t *random_state, uint64_t *ret_mean_bytes)
{
    (void)argument;
    return mem_profile_gap(&profile, random_state, ret_mean_bytes);
}

static void allocated(void *argument, const void *object, const struct mem_sample *sample)
{
    const struct mem_profile_origin origin = {
        .requested_bytes = sample->requested_bytes,
        .usable_bytes = sample->usable_bytes,
        .mean_bytes = sample->mean_bytes,
        .owner = sample->pool->owner,
        .lifetime = mem_pool_lifetime_number(sample->pool),
    };

    (void)argument;
    mem_profile_alloc(&profile, object, &origin);
}

static bool freed(void *argument, const void *object)
{
    (void)argument;
    return mem_profile_free(&profile, object);
}

static void ended(void *argument, const void *base, uint64_t bytes)
{
    (void)argument;
    mem_profile_end_range(&profile, base, bytes);
}

void malloc_observe_now(void)
{
    uint64_t began_ns = os_monotonic_ns(malloc_heap.pages->os);

    /* Acquire: pairs with the release below. */
    if (atomic_exchange_acquire_u32(&is_counting, 1) != 0) {
        return;
    }
    mem_census_take(&malloc_heap, &census);
    census.is_hardened = is_hardened;
    (void)mem_stats_refresh(&stats, &census); /* BUSY or no memory: the next one will do */
    counted_at_ns = os_monotonic_ns(malloc_heap.pages->os);
    pause_until_ns = counted_at_ns + (counted_at_ns - began_ns) * PAUSE_FACTOR;
    atomic_store_release_u32(&is_counting, 0);
}

static void tick(void *argument)
{
    uint64_t now_ns = os_monotonic_ns(malloc_heap.pages->os);
    bool is_due = now_ns - counted_at_ns >= PERIOD_NS || mem_stats_wants_refresh(&stats);

    (void)argument;
    if (is_due && now_ns >= pause_until_ns) {
        malloc_observe_now();
    }
}

static void fork_prepare(void *argument) Q_NO_THREAD_SAFETY_ANALYSIS
{
    (void)argument;
    mem_profile_fork_prepare(&profile);
}

static void fork_parent(void *argument) Q_NO_THREAD_SAFETY_ANALYSIS
{
    (void)argument;
    mem_profile_fork_parent(&profile);
}

static void fork_child(void *argument) Q_NO_THREAD_SAFETY_ANALYSIS
{
    (void)argument;
    mem_profile_fork_child(&profile);
    /* Whoever was counting is gone. */
    atomic_store_relaxed_u32(&is_counting, 0);
    counted_at_ns = 0;
    pause_until_ns = 0;
}

/*
 * Frames that no stack shall begin with: those of the library. Where it is linked into a program,
 * as into `quarry` itself, its code is that of the program, whose frames are what is asked for.
 */
static struct mem_code_range own_frames(void)
{
    struct mem_code_range module = mem_code_range_of_module();
    uintptr_t entry = getauxval(AT_ENTRY);
    bool is_program = entry >= module.start && entry < module.end;

    return is_program ? (struct mem_code_range){0, 0} : module;
}

struct mem_observer malloc_observer(struct page_heap *pages, const struct malloc_settings *settings)
{
    struct mem_stats_options options = {
        .heap = pages,
        .sample_mean_bytes = settings->sample_bytes,
        .may_share_under_filter = settings->has_report,
    };

    is_hardened = settings->is_hardened;
    mem_stats_init(&stats, &options);
    mem_profile_init(&profile, &stats, own_frames());
    return (struct mem_observer){
        .gap = gap,
        .allocated = allocated,
        .freed = freed,
        .ended = ended,
        .tick = tick,
        .fork_prepare = fork_prepare,
        .fork_parent = fork_parent,
        .fork_child = fork_child,
    };
}
