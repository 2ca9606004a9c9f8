/*
 * The planted heap. Each object has an address that nobody uses; objects of one kind lie in spans
 * of 8 KiB with a fixed number of others, so that the span of an address is arithmetic:
 *
 *   kind k at (k + 1) << 40, object i in span i / span_used, at slot i % span_used
 *
 * Every n-th object is sampled, n such that the weights sum up to the number of objects within one
 * sample. Figures are kept in the census, which a refresh publishes.
 */
#include "fake_heap.h"

#include <mem/mem.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SPAN_BYTES  8192u
#define KINDS_MAX   64u
#define KIND_SHIFT  40
#define HEAP_LIMIT  Q_MIB(256) /* of the page heap that is charged for the statistics */
#define CLASS_COUNT 3u

static struct page_heap *heap;
static struct mem_stats stats;
static struct mem_profile profile;
static struct mem_census census;
static struct fake_objects kinds[KINDS_MAX];
static uint32_t kind_count;
static uint64_t sampled_every_mean;

static bool span_of(void *argument, const void *object, uint32_t *ret_capacity, uint32_t *ret_used,
                    uint64_t *ret_span_bytes, uint64_t *ret_span_id)
{
    uint64_t address = (uintptr_t)object;
    uint64_t kind = (address >> KIND_SHIFT) - 1;

    (void)argument;
    if (kind >= kind_count || kinds[kind].span_used == 0) {
        return false;
    }
    *ret_capacity = (uint32_t)(SPAN_BYTES / kinds[kind].usable_bytes);
    *ret_used = kinds[kind].span_used;
    *ret_span_bytes = SPAN_BYTES;
    *ret_span_id = address / SPAN_BYTES;
    return true;
}

static uintptr_t address_of(uint32_t kind, uint64_t index)
{
    const struct fake_objects *objects = &kinds[kind];
    uintptr_t base = (uintptr_t)(kind + 1) << KIND_SHIFT;

    if (objects->span_used == 0) {
        return base + index * size_align_up(objects->usable_bytes, SPAN_BYTES);
    }
    return base + index / objects->span_used * SPAN_BYTES +
           index % objects->span_used * objects->usable_bytes;
}

static void row_init(uint32_t owner, const char *owner_name, const char *lifetime_name)
{
    struct mem_stats_row *row = &census.row[owner - 1];

    row->owner = row->lifetime = owner;
    strcpy(row->owner_name, owner_name);
    strcpy(row->lifetime_name, lifetime_name);
}

static void refresh_if_asked(void)
{
    const char *settings = getenv("QUARRY_MALLOC");

    if (heap != NULL && settings != NULL && strstr(settings, "report=1") != NULL) {
        fake_refresh();
    }
}

void fake_begin(uint64_t mean_bytes)
{
    struct quarry_error error = {0};
    const struct page_heap_options heap_options = {.limit_bytes = HEAP_LIMIT,
                                                   .has_no_thread = true};

    if (page_heap_create(&heap_options, &heap, &error) != QUARRY_OK) {
        abort();
    }
    mem_stats_init(&stats,
                   &(struct mem_stats_options){.heap = heap, .sample_mean_bytes = mean_bytes});
    mem_profile_init(&profile, &stats, mem_code_range_of_module());
    sampled_every_mean = mean_bytes;
    census.row_count = 2;
    row_init(FAKE_MALLOC, "malloc", "process");
    row_init(FAKE_CACHE, "cache", "window");
    census.class_count = CLASS_COUNT;
    census.class[0].object_bytes = 256;
    census.class[1].object_bytes = 1024;
    census.class[2].object_bytes = 4096;
    census.totals.ledger.metadata_bytes = Q_MIB(1);
    census.totals.thread_count = 4;
    census.limit_bytes = census.totals.ledger.limit_bytes = Q_GIB(1);
    census.span_of = span_of;
    census.heap = heap;
    (void)atexit(refresh_if_asked);
}

/* ---- counting ------------------------------------------------------------------------------- */

static void ledger_update(void)
{
    struct quarry_ledger *ledger = &census.totals.ledger;

    ledger->in_use_bytes = census.totals.span_bytes + census.totals.large_bytes;
    ledger->committed_bytes = ledger->in_use_bytes + ledger->cached_bytes +
                              ledger->free_backed_bytes + ledger->metadata_bytes +
                              ledger->set_aside_bytes;
    ledger->peak_bytes = size_max_u64(ledger->peak_bytes, ledger->committed_bytes);
}

static void count_class(const struct fake_objects *objects, uint64_t live_count,
                        uint64_t span_count)
{
    for (uint32_t i = 0; i < CLASS_COUNT; i++) {
        struct mem_stats_class *class = &census.class[i];
        if (class->object_bytes == objects->usable_bytes && objects->span_used > 0) {
            class->span_pages = 1;
            class->span_count += span_count;
            class->live_count += live_count;
            class->capacity_count += span_count * (SPAN_BYTES / objects->usable_bytes);
            class->alloc_count += objects->count;
            class->free_count += objects->count - live_count;
        }
    }
}

static void count_spans(const struct fake_objects *objects, uint64_t live_count)
{
    struct mem_stats_row *row = &census.row[objects->owner - 1];
    uint64_t span_count = live_count / objects->span_used;
    uint64_t live_bytes = live_count * objects->usable_bytes;

    row->span_count += span_count;
    row->span_bytes += span_count * SPAN_BYTES;
    row->live_bytes += live_bytes;
    census.totals.span_bytes += span_count * SPAN_BYTES;
    census.totals.live_bytes += live_bytes;
    if (2 * objects->span_used * objects->usable_bytes < SPAN_BYTES) {
        row->sparse_span_count += span_count;
        row->sparse_free_bytes += span_count * SPAN_BYTES - live_bytes;
    }
    count_class(objects, live_count, span_count);
}

static void count_objects(const struct fake_objects *objects)
{
    uint64_t live_count = objects->is_freed ? 0 : objects->count;

    census.totals.alloc_count += objects->count;
    census.totals.free_count += objects->count - live_count;
    if (objects->span_used > 0) {
        count_spans(objects, live_count);
    } else {
        census.row[objects->owner - 1].large_bytes += live_count * objects->usable_bytes;
        census.totals.large_bytes += live_count * objects->usable_bytes;
    }
    ledger_update();
}

/* ---- sampling ------------------------------------------------------------------------------- */

void fake_add(const struct fake_objects *objects)
{
    uint32_t kind = kind_count++;
    double mean = (double)sampled_every_mean;
    double chance = mean > 0.0 ? 1.0 - exp(-(double)objects->usable_bytes / mean) : 0.0;
    double due = 0.5;

    Q_ASSERT(kind < KINDS_MAX);
    kinds[kind] = *objects;
    count_objects(objects);
    for (uint64_t i = 0; i < objects->count; i++) {
        due += chance;
        if (due < 1.0) {
            continue;
        }
        due -= 1.0;
        const void *object = (const void *)address_of(kind, i);
        const struct mem_profile_origin origin = {
            .requested_bytes = objects->requested_bytes,
            .usable_bytes = objects->usable_bytes,
            .mean_bytes = sampled_every_mean, /* whatever their rate */
            .owner = objects->owner,
            .lifetime = objects->owner,
        };
        mem_profile_alloc(&profile, object, &origin);
        if (objects->is_freed) {
            (void)mem_profile_free(&profile, object);
        }
    }
}

/* ---- other figures -------------------------------------------------------------------------- */

void fake_set_hardened(bool is_hardened)
{
    census.is_hardened = is_hardened;
}

void fake_set_refused(uint64_t refused_count)
{
    census.totals.refused_count = refused_count;
}

void fake_set_limit(uint64_t limit_bytes)
{
    census.limit_bytes = census.totals.ledger.limit_bytes = limit_bytes;
}

void fake_set_peak(uint64_t peak_bytes)
{
    census.totals.ledger.peak_bytes = peak_bytes;
}

void fake_set_free(uint64_t free_backed_bytes, uint64_t thread_cached_bytes)
{
    census.totals.ledger.free_backed_bytes = free_backed_bytes;
    census.totals.thread_cached_bytes = thread_cached_bytes;
    census.totals.span_bytes += thread_cached_bytes;
    ledger_update();
}

void fake_set_budget(uint64_t pressure, uint64_t refused_count)
{
    struct mem_stats_totals *totals = &census.totals;

    census.account[0] = (struct mem_stats_account){
        .share = 1, .charged_bytes = Q_MIB(40), .ceiling_bytes = totals->ledger.limit_bytes};
    census.account[1] = (struct mem_stats_account){
        .owner = 3, .depth = 1, .share = 1, .name = "kv", .charged_bytes = Q_MIB(40)};
    census.account[2] = (struct mem_stats_account){
        .owner = 4,
        .depth = 2,
        .share = 3,
        .name = "kv.block\x1b",
        .charged_bytes = Q_MIB(40),
        .floor_bytes = Q_MIB(4),
        .ceiling_bytes = Q_MIB(48),
        .target_bytes = Q_MIB(44),
        .refused_count = refused_count,
        .growth_milli_per_mib = 12500,
        .loss_milli_per_mib = 3000,
        .is_elastic = 1,
    };
    census.account_count = 3;
    totals->account_count = 3;
    totals->target_move_count = 17;
    totals->pressure = pressure;
    totals->set_aside_goal_bytes = Q_MIB(2);
    totals->set_aside_paid_bytes = Q_MIB(5);
    totals->ledger.set_aside_bytes = Q_MIB(1);
    ledger_update();
}

void fake_refresh(void)
{
    if (mem_stats_refresh(&stats, &census) != QUARRY_OK) {
        abort();
    }
}

bool fake_wants_refresh(void)
{
    return mem_stats_wants_refresh(&stats);
}

uint64_t fake_sample_mean(void)
{
    return mem_stats_sample_mean(&stats);
}
