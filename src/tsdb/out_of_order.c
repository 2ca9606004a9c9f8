/*
 * Late samples: raw in chunklets of seven, sorted by whoever reads them.
 *
 *     chain.late ──> [ e f ] ──> [ b c d … ] ──> …        newest chunklet first, oldest sample
 * first
 *
 *     collected      | …  b c d …  e f |                  written from the end, so as they came
 *     sorted         by time; of equals the one that came first is kept
 *
 * They are few: what came within ten minutes of its time. Sorting them where they are read costs
 * the reader some 20 ns each; keeping them sorted would cost every append a search, and would move
 * what readers look at. When the window is sealed they are merged for good.
 *
 * The sort is by merging, from runs that are in order already, which late samples mostly are: a
 * sender that catches up sends in order. It is stable, which is what "the first that came" needs.
 *
 * Of a histogram its place is collected, and not itself: it is decoded when it is given.
 *
 * Concurrency: a chunklet that is not the newest does not change; the newest may have grown between
 * the count and the copy, so there is room for all that it can hold.
 */
#include <tsdb/out_of_order.h>

#include <string.h>

#include <tsdb/shard.h>

/* Chunklets of a chain, from `number` on. */
static size_t chunklet_count(const struct tsdb_open_shard *shard, uint32_t number)
{
    size_t count = 0;

    while (number != TSDB_CHUNKLET_NONE) {
        number = tsdb_chunklet_look(tsdb_open_chunklet(shard, number)).next;
        count++;
    }
    return count;
}

static enum quarry_status late_reserve(struct tsdb_late *late, const struct tsdb_memory *memory,
                                       size_t capacity)
{
    if (capacity <= late->capacity) {
        return QUARRY_OK;
    }
    tsdb_late_fini(late, memory);
    late->samples = tsdb_memory_take(memory, 2 * capacity * sizeof(*late->samples));
    late->capacity = late->samples == NULL ? 0 : capacity;
    return late->samples == NULL ? QUARRY_NO_MEMORY : QUARRY_OK;
}

/* What one chunklet has; `number` becomes the next one's. Returns: how many. */
static uint32_t chunklet_read(const struct tsdb_open_shard *shard, uint32_t *number,
                              struct tsdb_late_sample *ret_samples)
{
    struct tsdb_sample floats[TSDB_CHUNKLET_LATE_MAX];
    uint32_t own = *number, byte_count;
    uint32_t count = tsdb_late_read(tsdb_open_chunklet(shard, own), floats, number);

    for (uint32_t i = 0; i < count; i++) {
        ret_samples[i] = (struct tsdb_late_sample){.t_ms = floats[i].t_ms, .bits = floats[i].bits};
    }
    if (count == 0 && tsdb_shard_late_histogram(shard, own, &ret_samples[0].t_ms, &byte_count)) {
        ret_samples[0].bits = 0;
        ret_samples[0].number = own;
        count = 1;
    }
    return count;
}

/* Copies the chain to the end of the room, so that what came first is first. */
static void late_copy(struct tsdb_late *late, const struct tsdb_open_shard *shard, uint32_t number)
{
    size_t at = late->capacity;

    while (number != TSDB_CHUNKLET_NONE) {
        struct tsdb_late_sample samples[TSDB_CHUNKLET_LATE_MAX];
        uint32_t count = chunklet_read(shard, &number, samples);
        Q_ASSERT(count <= at);
        at -= count;
        memcpy(late->samples + at, samples, count * sizeof(*samples));
    }
    late->count = late->capacity - at;
    memmove(late->samples, late->samples + at, late->count * sizeof(*late->samples));
}

/* Where the run that begins at `from` ends: times in it do not fall. */
static size_t run_end(const struct tsdb_late_sample *samples, size_t from, size_t count)
{
    size_t end = from + 1;

    while (end < count && samples[end - 1].t_ms <= samples[end].t_ms) {
        end++;
    }
    return end;
}

/* Merges [from, middle) and [middle, end) by way of `room`; of equals the first run's come first.
 */
static void run_merge(struct tsdb_late_sample *samples, size_t from, size_t middle, size_t end,
                      struct tsdb_late_sample *room)
{
    size_t a = from, b = middle, at = 0;

    while (a < middle || b < end) {
        bool is_a = b == end || (a < middle && samples[a].t_ms <= samples[b].t_ms);
        room[at++] = samples[is_a ? a++ : b++];
    }
    memcpy(samples + from, room, at * sizeof(*room));
}

/* Merges neighbouring runs until there is one: log2(runs) passes. */
static void late_sort(struct tsdb_late *late)
{
    struct tsdb_late_sample *samples = late->samples;

    while (late->count != 0 && run_end(samples, 0, late->count) < late->count) {
        for (size_t from = 0; from < late->count;) {
            size_t middle = run_end(samples, from, late->count);
            size_t end = middle < late->count ? run_end(samples, middle, late->count) : middle;
            run_merge(samples, from, middle, end, samples + late->capacity);
            from = end;
        }
    }
}

/* Keeps the first of each moment. */
static void late_unique(struct tsdb_late *late)
{
    size_t kept = 0;

    for (size_t i = 0; i < late->count; i++) {
        if (kept == 0 || late->samples[kept - 1].t_ms != late->samples[i].t_ms) {
            late->samples[kept++] = late->samples[i];
        }
    }
    late->count = kept;
}

enum quarry_status tsdb_late_collect(struct tsdb_late *late, const struct tsdb_memory *memory,
                                     const struct tsdb_open_shard *shard,
                                     const struct tsdb_chain *chain)
{
    /* Acquire: pairs with the release in shard.c. */
    uint32_t newest = chain == NULL ? TSDB_CHUNKLET_NONE : atomic_load_acquire_u32(&chain->late);

    late->count = 0;
    if (newest == TSDB_CHUNKLET_NONE) {
        return QUARRY_OK;
    }
    enum quarry_status status =
        late_reserve(late, memory, chunklet_count(shard, newest) * TSDB_CHUNKLET_LATE_MAX);
    if (status != QUARRY_OK) {
        return status;
    }
    late_copy(late, shard, newest);
    late_sort(late);
    late_unique(late);
    return QUARRY_OK;
}

void tsdb_late_fini(struct tsdb_late *late, const struct tsdb_memory *memory)
{
    tsdb_memory_give(memory, late->samples);
    *late = (struct tsdb_late){0};
}
