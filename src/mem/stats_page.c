/*
 * The statistics segment, the writer's part that sampling needs: making it, paying for it, forking.
 * stats_refresh.c writes the snapshot sections.
 *
 *   | head | totals | rows | classes | modules | heap map | stacks … | samples … | accounts |
 *     4 K    4 K      32 K   8 K       156 K     1 M        10.3 M     4.5 M       36 K     16 MiB
 *
 * Only what is written is ever backed by memory: a small process pays for the head, the first few
 * records of each section, and whatever its stacks and live samples take.
 *
 * Invariants:
 *   1. A page is charged before it is touched, and then has its bit in `touched`.
 *   2. The head is whole before the magic is stored.
 *   3. Nothing that was read from the segment is an index or a length here without a check: others
 *      of the same user can write to it.
 *
 * Locking: one mutex (rank PROFILE) over the segment's existence, the bits and the sections in
 * place. System calls are made under it when the segment is made, once, and in a child of fork.
 *
 * Cost of being there and not sampling: nothing but this struct.
 */
#include <mem/stats_page.h>

#include <string.h>
#include <unistd.h>

struct section_layout {
    uint64_t offset;
    uint32_t record_bytes;
    uint32_t record_max;
};

static const struct section_layout layout[MEM_STATS_SECTIONS] = {
    [MEM_STATS_TOTALS] = {MEM_STATS_AT_TOTALS, sizeof(struct mem_stats_totals), 1},
    [MEM_STATS_ROWS] = {MEM_STATS_AT_ROWS, sizeof(struct mem_stats_row), MEM_STATS_ROWS_MAX},
    [MEM_STATS_CLASSES] = {MEM_STATS_AT_CLASSES, sizeof(struct mem_stats_class),
                           MEM_STATS_CLASSES_MAX},
    [MEM_STATS_MODULES] = {MEM_STATS_AT_MODULES, sizeof(struct mem_stats_module),
                           MEM_STATS_MODULES_MAX},
    [MEM_STATS_MAP] = {MEM_STATS_AT_MAP, 1, MEM_STATS_MAP_MAX_BYTES},
    [MEM_STATS_STACKS] = {MEM_STATS_AT_STACKS, sizeof(struct mem_stats_stack),
                          MEM_STATS_STACKS_MAX},
    [MEM_STATS_SAMPLES] = {MEM_STATS_AT_SAMPLES, sizeof(struct mem_stats_sample),
                           MEM_STATS_SAMPLES_MAX},
    [MEM_STATS_ACCOUNTS] = {MEM_STATS_AT_ACCOUNTS, sizeof(struct mem_stats_account),
                            MEM_STATS_ACCOUNTS_MAX},
};

struct mem_stats_section mem_stats_layout(enum mem_stats_section_id id)
{
    return (struct mem_stats_section){
        .offset = layout[id].offset,
        .record_bytes = layout[id].record_bytes,
        .record_max = layout[id].record_max,
    };
}

/* ---- pages ---------------------------------------------------------------------------------- */

bool mem_stats_touch_locked(struct mem_stats *stats, uint64_t offset, uint64_t bytes)
{
    os_mutex_assert_held(&stats->mutex);
    Q_ASSERT(bytes > 0 && offset + bytes <= MEM_STATS_BYTES);
    uint64_t page_bytes = stats->heap->os->page_bytes;

    for (uint64_t page = offset / page_bytes; page <= (offset + bytes - 1) / page_bytes; page++) {
        uint64_t *word = &stats->touched[page / 64], bit = (uint64_t)1 << (page % 64);
        if ((*word & bit) != 0) {
            continue;
        }
        if (!page_commit_try_metadata(&stats->heap->commit, page_bytes)) {
            return false;
        }
        *word |= bit; /* invariant 1 */
        struct mem_stats_head *head = (void *)stats->segment.base;
        mem_stats_add(&head->charged_bytes, page_bytes);
    }
    return true;
}

static void pages_release(struct mem_stats *stats)
{
    uint64_t page_count = 0;

    for (size_t i = 0; i < sizeof(stats->touched) / sizeof(stats->touched[0]); i++) {
        page_count += bits_count_u64(stats->touched[i]);
        stats->touched[i] = 0;
    }
    page_commit_release_metadata(&stats->heap->commit, page_count * stats->heap->os->page_bytes);
}

/* ---- the segment ---------------------------------------------------------------------------- */

void mem_stats_init(struct mem_stats *stats, const struct mem_stats_options *options)
{
    Q_ASSERT(options->heap->os->page_bytes >= MEM_STATS_ALIGN_BYTES);
    *stats = (struct mem_stats){
        .heap = options->heap,
        .may_share_under_filter = options->may_share_under_filter,
    };
    os_mutex_init(&stats->mutex, OS_RANK_PROFILE, 0);
    atomic_store_relaxed_u64(&stats->first_mean_bytes, options->sample_mean_bytes);
    mem_room_init(&stats->map_room, stats->heap, MEM_STATS_MAP_MAX_BYTES);
    mem_room_init(&stats->work_room, stats->heap, MEM_STATS_WORK_BYTES);
}

void mem_stats_fini(struct mem_stats *stats)
{
    mem_room_fini(&stats->map_room);
    mem_room_fini(&stats->work_room);
    atomic_store_relaxed_ptr(&stats->base, NULL);
    mem_segment_destroy(stats->heap->os, &stats->segment);
    pages_release(stats);
}

/* Everything of the head that is known from the start. */
static void head_write(struct mem_stats *stats, struct mem_stats_head *head)
{
    struct os *os = stats->heap->os;
    struct mem_stats_head fresh = {
        .version = MEM_STATS_VERSION,
        .head_bytes = sizeof(fresh),
        .segment_bytes = MEM_STATS_BYTES,
        .pid = (uint32_t)getpid(),
        .start_wall_ns = os_wall_ns(os),
        .start_monotonic_ns = os_monotonic_ns(os),
        .limit_bytes = page_commit_read(&stats->heap->commit).limit_bytes,
        .sample_mean_bytes = atomic_load_relaxed_u64(&stats->first_mean_bytes),
        .dropped_budget_count = atomic_load_relaxed_u64(&stats->first_dropped_count),
        .charged_bytes = mem_stats_load(&head->charged_bytes),
    };

    for (uint32_t id = 0; id < MEM_STATS_SECTIONS; id++) {
        fresh.section[id] = mem_stats_layout((enum mem_stats_section_id)id);
    }
    mem_stats_publish(head, &fresh, sizeof(fresh));
    /* Release: pairs with the acquire of a reader. Invariant 2. */
    atomic_store_release_u64(mem_stats_word(&head->magic), MEM_STATS_MAGIC);
}

static bool segment_make_locked(struct mem_stats *stats) Q_REQUIRES(&stats->mutex)
{
    /* Where not one page is to be had there is no point in asking the kernel. */
    if (!page_commit_try_metadata(&stats->heap->commit, stats->heap->os->page_bytes)) {
        return false;
    }
    page_commit_release_metadata(&stats->heap->commit, stats->heap->os->page_bytes);
    if (mem_segment_create(stats->heap->os, MEM_STATS_BYTES, stats->may_share_under_filter,
                           &stats->segment) != QUARRY_OK) {
        return false;
    }
    if (!mem_stats_touch_locked(stats, 0, sizeof(struct mem_stats_head))) {
        mem_segment_destroy(stats->heap->os, &stats->segment);
        return false;
    }
    head_write(stats, (void *)stats->segment.base);
    return true;
}

char *mem_stats_base_locked(struct mem_stats *stats)
{
    os_mutex_assert_held(&stats->mutex);
    if (stats->segment.base == NULL && segment_make_locked(stats)) {
        /* Release: pairs with the acquire in head_of. */
        atomic_store_release_ptr(&stats->base, stats->segment.base);
    }
    return stats->segment.base;
}

/* ---- words in the head ---------------------------------------------------------------------- */

/* NULL while there is no segment. */
static struct mem_stats_head *head_of(struct mem_stats *stats)
{
    /* Acquire: pairs with the release in mem_stats_base_locked; the head is whole. */
    return atomic_load_acquire_ptr(&stats->base);
}

bool mem_stats_wants_refresh(struct mem_stats *stats)
{
    struct mem_stats_head *head = head_of(stats);

    /* Relaxed: a wish, which publishes nothing. */
    return head != NULL && atomic_load_relaxed_u32((_Atomic uint32_t *)&head->wants_refresh) != 0;
}

uint64_t mem_stats_sample_mean(struct mem_stats *stats)
{
    struct mem_stats_head *head = head_of(stats);

    return head != NULL ? mem_stats_load(&head->sample_mean_bytes)
                        : atomic_load_relaxed_u64(&stats->first_mean_bytes);
}

void mem_stats_set_sample_mean(struct mem_stats *stats, uint64_t mean_bytes)
{
    os_mutex_lock(&stats->mutex); /* or a segment made meanwhile would begin with the old one */
    struct mem_stats_head *head = head_of(stats);
    if (head != NULL) {
        mem_stats_store(&head->sample_mean_bytes, mean_bytes);
    } else {
        atomic_store_relaxed_u64(&stats->first_mean_bytes, mean_bytes);
    }
    os_mutex_unlock(&stats->mutex);
}

/* ---- fork ----------------------------------------------------------------------------------- */

/* What a child of fork takes over from its parent's head. */
static void head_carry_over(struct mem_stats_head *head, const struct mem_stats_head *parent)
{
    mem_stats_store(&head->sample_mean_bytes, mem_stats_load(&parent->sample_mean_bytes));
    mem_stats_store(&head->sampled_count, mem_stats_load(&parent->sampled_count));
    mem_stats_store(&head->dropped_stack_count, mem_stats_load(&parent->dropped_stack_count));
    mem_stats_store(&head->dropped_sample_count, mem_stats_load(&parent->dropped_sample_count));
    mem_stats_store(&head->dropped_budget_count, mem_stats_load(&parent->dropped_budget_count));
    mem_stats_store(&head->fork_lost_count, mem_stats_load(&parent->fork_lost_count));
}

/* Private memory is the child's own already; only its head speaks of the parent. */
static void head_renew(struct mem_stats *stats, struct mem_stats_head *head)
{
    struct mem_stats_head parent;

    mem_stats_collect(&parent, head, sizeof(parent));
    mem_stats_store(&head->magic, 0);
    head_write(stats, head);
    head_carry_over(head, &parent);
    mem_stats_store(&head->section[MEM_STATS_STACKS].count, parent.section[MEM_STATS_STACKS].count);
    mem_stats_store(&head->section[MEM_STATS_SAMPLES].count,
                    parent.section[MEM_STATS_SAMPLES].count);
}

bool mem_stats_fork_child_locked(struct mem_stats *stats, struct mem_segment *ret_old)
{
    os_mutex_assert_held(&stats->mutex);
    struct mem_segment old = stats->segment;

    /* A thread that was refreshing is the parent's; what it had not published is not missed. */
    atomic_store_relaxed_u32(&stats->is_refreshing, 0);
    stats->history = (struct mem_stats_history){0};
    stats->module_change_count = 0;
    stats->has_command = false;
    if (!old.is_shared) {
        *ret_old = (struct mem_segment){0};
        if (old.base != NULL) {
            head_renew(stats, (void *)old.base);
        }
        return true;
    }
    *ret_old = old;
    stats->segment = (struct mem_segment){0};
    /* With one thread in the process nobody can be looking. */
    atomic_store_relaxed_ptr(&stats->base, NULL);
    pages_release(stats);
    struct mem_stats_head *head = (void *)mem_stats_base_locked(stats);
    if (head != NULL) {
        head_carry_over(head, (const void *)old.base);
    }
    return head != NULL;
}
