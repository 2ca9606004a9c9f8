/*
 * Figures of the heap: what its pages and spans are doing, and what goes back to the kernel.
 *
 * A pool's row is one of an owner and a lifetime; the first so many are told one by one and the
 * rest in one, so that the number of series is bounded whatever begins lifetimes. Objects of the
 * process' malloc alone are in spans: the stores' cells are told with the stores.
 *
 * Counts of allocations are not told: they are kept with pools, and would fall when one ends.
 *
 * Locking: what the figures' owners take, one after the other. Cost: some 100 µs, and a cache line
 * or two for each span.
 */
#include <serve/server_metrics.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mem/mem.h>
#include <page/page.h>
#include <serve/server_state.h>

/* Pools told one by one: four families of each. */
#define POOLS_SHOWN_MAX 63u

/* The memory of the public interface is the page heap. */
static struct page_heap *heap_of(struct server *server)
{
    return (struct page_heap *)(void *)server->memory;
}

/* ---- pages ---------------------------------------------------------------------------------- */

static void write_pages(struct serve_metrics *metrics, const struct page_heap_counts *counts)
{
    uint64_t free_count = counts->free_page_count + counts->released_page_count;

    serve_metric_family(metrics, METRIC_quarry_pageheap_pages);
    serve_metric_u64(metrics, counts->used_page_count, "state", "used", NULL);
    serve_metric_u64(metrics, counts->free_page_count, "state", "free", NULL);
    serve_metric_u64(metrics, counts->released_page_count, "state", "released", NULL);
    serve_metric_one(metrics, METRIC_quarry_pageheap_largest_free_run_bytes,
                     counts->largest_free_page_count << PAGE_SHIFT);
    serve_metric_family(metrics, METRIC_quarry_pageheap_external_fragmentation_ratio);
    double part = (double)counts->largest_free_page_count /
                  (double)size_max_u64(free_count, counts->largest_free_page_count);
    serve_metric_double(metrics, free_count == 0 || part > 1 ? 0 : 1 - part, NULL);
    serve_metric_one(metrics, METRIC_quarry_memory_goal_bytes, counts->retain_goal_bytes);
}

static void write_scavenger(struct serve_metrics *metrics, const struct page_heap_counts *counts)
{
    static const char *const modes[PAGE_CAUSES] = {
        [PAGE_CAUSE_BACKGROUND] = "background",
        [PAGE_CAUSE_GROW] = "grow",
        [PAGE_CAUSE_LIMIT] = "budget",
        [PAGE_CAUSE_MANUAL] = "manual",
        [PAGE_CAUSE_END] = "end",
    };

    serve_metric_family(metrics, METRIC_quarry_scavenger_released_bytes_total);
    for (size_t cause = 0; cause < PAGE_CAUSES; cause++) {
        serve_metric_u64(metrics, counts->released_bytes[cause], "mode", modes[cause], NULL);
    }
    serve_metric_family(metrics, METRIC_quarry_scavenger_cpu_seconds_total);
    serve_metric_double(metrics, (double)counts->background_cpu_ns / 1e9, "mode", "background",
                        NULL);
    serve_metric_one(metrics, METRIC_quarry_scavenger_retained_bytes, counts->retained_bytes);
    serve_metric_one(metrics, METRIC_quarry_scavenger_goal_bytes, counts->retain_goal_bytes);
    serve_metric_one(metrics, METRIC_quarry_scavenger_backlog_bytes,
                     sat_sub_u64(counts->retained_bytes, counts->retain_goal_bytes));
    serve_metric_one(metrics, METRIC_quarry_scavenger_madvise_total, counts->decommit_count);
    serve_metric_one(metrics, METRIC_quarry_scavenger_errors_total, counts->decommit_error_count);
}

/* ---- pools ---------------------------------------------------------------------------------- */

/* All rows from `first` on in one. */
static struct mem_stats_row sum_rows(const struct mem_census *census, uint32_t first)
{
    struct mem_stats_row sum = {.owner_name = "other", .lifetime_name = "other"};

    for (uint32_t i = first; i < census->row_count; i++) {
        sum.span_bytes += census->row[i].span_bytes;
        sum.live_bytes += census->row[i].live_bytes;
        sum.large_bytes += census->row[i].large_bytes;
        sum.span_count += census->row[i].span_count;
    }
    return sum;
}

static uint64_t row_figure(const struct mem_stats_row *row, enum serve_metric metric)
{
    uint64_t held = row->span_bytes + row->large_bytes, live = row->live_bytes + row->large_bytes;

    return metric == METRIC_quarry_spans         ? row->span_count
           : metric == METRIC_quarry_span_bytes  ? held
           : metric == METRIC_quarry_alloc_bytes ? live
                                                 : sat_sub_u64(held, live);
}

static void write_pools(struct serve_metrics *metrics, const struct mem_census *census)
{
    static const enum serve_metric told[] = {
        METRIC_quarry_spans,
        METRIC_quarry_span_bytes,
        METRIC_quarry_alloc_bytes,
        METRIC_quarry_fragmentation_bytes,
    };
    uint32_t shown = (uint32_t)size_min(census->row_count, POOLS_SHOWN_MAX);
    const struct mem_stats_row rest = sum_rows(census, shown);

    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        serve_metric_family(metrics, told[i]);
        for (uint32_t j = 0; j <= shown; j++) {
            const struct mem_stats_row *row = j < shown ? &census->row[j] : &rest;
            serve_metric_u64(metrics, row_figure(row, told[i]), "owner", row->owner_name,
                             "lifetime", row->lifetime_name, NULL);
        }
    }
}

/* ---- classes -------------------------------------------------------------------------------- */

static uint64_t class_figure(const struct mem_stats_class *class, enum serve_metric metric)
{
    return metric == METRIC_quarry_class_objects ? class->live_count
           : metric == METRIC_quarry_class_spans
               ? class->span_count
               : class->span_count * class->span_pages * PAGE_BYTES;
}

/* The last class of a census is that of large objects, which have no spans. */
static void write_classes(struct serve_metrics *metrics, const struct mem_census *census)
{
    static const enum serve_metric told[] = {
        METRIC_quarry_class_objects,
        METRIC_quarry_class_spans,
        METRIC_quarry_class_span_bytes,
    };

    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        serve_metric_family(metrics, told[i]);
        for (uint32_t j = 0; j < census->class_count; j++) {
            char name[24] = "large";
            if (census->class[j].object_bytes != 0) {
                (void)snprintf(name, sizeof name, "%llu",
                               (unsigned long long)census->class[j].object_bytes);
            }
            serve_metric_u64(metrics, class_figure(&census->class[j], told[i]), "class", name,
                             NULL);
        }
    }
    serve_metric_one(metrics, METRIC_quarry_thread_cache_bytes, census->totals.thread_cached_bytes);
}

/* Without memory for the census, or where malloc is another's, there are none. */
static void write_objects(struct serve_metrics *metrics)
{
    struct mem_heap *heap = mem_heap_door();
    struct mem_census *census = heap == NULL ? NULL : calloc(1, sizeof *census);

    if (census == NULL) {
        return;
    }
    mem_census_take(heap, census);
    write_pools(metrics, census);
    write_classes(metrics, census);
    free(census);
}

void server_metrics_heap(struct serve_metrics *metrics, struct server *server)
{
    struct page_heap_counts counts;

    page_heap_read_counts(heap_of(server), &counts);
    write_pages(metrics, &counts);
    write_scavenger(metrics, &counts);
    write_objects(metrics);
}
