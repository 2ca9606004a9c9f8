/*
 * Writing a sealed window.
 *
 *     info │ log │ bytes of segment 0 │ of segment 1 │ … │ chunks of series │ of exemplars │ info
 * again
 *
 * The window's bytes are written as they lie in memory: places in them are offsets, and the space
 * fills each of its segments from the beginning, so that a segment is one piece of which only the
 * end is to be found. Then the series that have samples in it, so that the file can be read alone.
 *
 * A window that was filled is written again, whole, over its file. What of the log is in the file
 * is said in it (`log`): the segments of the window below a number; and of its first file, that all
 * of its samples were in these.
 *
 * Invariants
 *   1. What is written does not change: the window is sealed, and pinned.
 *
 * Locking: the file work's mutex. Cost: the file's bytes once; memory for the series' labels, some
 * 30 bytes each.
 */
#include <tsdb/durable.h>
#include <tsdb/exemplars_save.h>

#include <tsdb/sealed.h>

/* ---- what is used --------------------------------------------------------------------------- */

/* Where the used part of each segment of a window's space ends. */
struct extents {
    uint64_t ends[TSDB_SPACE_SEGMENTS]; /* 0: nothing is in it */
};

static void extents_add(struct extents *extents, uint64_t at, uint64_t byte_count)
{
    uint32_t segment = tsdb_space_segment(at);

    if (byte_count != 0 && at + byte_count > extents->ends[segment]) {
        extents->ends[segment] = at + byte_count;
    }
}

static void extents_of_shard(const struct tsdb_window *window, uint32_t number,
                             struct extents *extents)
{
    const struct tsdb_sealed_shard *shard = &window->sealed_shard[number];

    extents_add(extents, shard->entries_at,
                (uint64_t)shard->entry_count * sizeof(struct tsdb_sealed_entry));
    extents_add(extents, shard->times_at,
                (uint64_t)shard->times_count * sizeof(struct tsdb_sealed_times));
    for (uint32_t i = 0; i < shard->entry_count; i++) {
        const struct tsdb_sealed_entry *entry = tsdb_sealed_entry_at(window, shard, i);
        extents_add(extents, entry->values_at, entry->value_bytes);
    }
    for (uint32_t i = 0; i < shard->times_count; i++) {
        const struct tsdb_sealed_times *times = tsdb_sealed_times_at(window, shard, i);
        extents_add(extents, times->at, times->byte_count);
    }
}

static void info_put(const struct tsdb_window *window, uint8_t *to)
{
    endian_store_le_u64(to, (uint64_t)(window->end_ms - window->start_ms));
    endian_store_le_u64(to + 8, atomic_load_relaxed_u64(&window->sealed_used_bytes));
    to += 16;
    for (uint32_t i = 0; i < TSDB_SHARD_COUNT; i++, to += 48) {
        const struct tsdb_sealed_shard *shard = &window->sealed_shard[i];
        endian_store_le_u64(to, shard->entries_at);
        endian_store_le_u64(to + 8, shard->times_at);
        endian_store_le_u64(to + 16, shard->entry_count);
        endian_store_le_u64(to + 24, shard->times_count);
        endian_store_le_u64(to + 32, shard->series_count);
        endian_store_le_u64(to + 40, shard->sample_count);
    }
}

/* ---- series --------------------------------------------------------------------------------- */

/* Where each shard's next entry is, for series in the order of their ids. */
struct walk {
    const struct tsdb_window *window;
    uint32_t next[TSDB_SHARD_COUNT];
};

/* Whether a shard has an entry of a local number; passes it. */
static bool walk_take(struct walk *walk, uint32_t shard, uint32_t local)
{
    const struct tsdb_sealed_shard *sealed = &walk->window->sealed_shard[shard];
    bool has = false;

    while (walk->next[shard] < sealed->entry_count &&
           tsdb_sealed_entry_at(walk->window, sealed, walk->next[shard])->local == local) {
        walk->next[shard]++;
        has = true;
    }
    return has;
}

/* The lowest local number that any shard has next; false: there is none. */
static bool walk_local(const struct walk *walk, uint32_t *ret_local)
{
    uint32_t lowest = UINT32_MAX;

    for (uint32_t i = 0; i < TSDB_SHARD_COUNT; i++) {
        const struct tsdb_sealed_shard *sealed = &walk->window->sealed_shard[i];
        if (walk->next[i] < sealed->entry_count) {
            uint32_t local = tsdb_sealed_entry_at(walk->window, sealed, walk->next[i])->local;
            lowest = local < lowest ? local : lowest;
        }
    }
    *ret_local = lowest;
    return lowest != UINT32_MAX;
}

/* Series of a window are not removed while a view has it. */
static enum quarry_status series_put(struct tsdb_durable *durable,
                                     struct tsdb_series_chunks *chunks, uint32_t id, int32_t number)
{
    const struct tsdb_registry *registry = durable->tsdb->registry;
    struct tsdb_label labels[TSDB_LABELS_MAX];

    quarry_epoch_enter(durable->tsdb->epoch);
    const struct tsdb_series_known series = {
        .id = id,
        .last_window = number,
        .tenant = tsdb_registry_series(registry, id)->tenant,
        .labels = {labels, tsdb_registry_labels(registry, id, labels)}};
    enum quarry_status status = tsdb_series_chunks_put(chunks, &series);
    quarry_epoch_leave(durable->tsdb->epoch);
    return status;
}

static enum quarry_status chunks_make(struct tsdb_durable *durable,
                                      const struct tsdb_window *window,
                                      struct tsdb_series_chunks *chunks)
{
    struct walk walk = {.window = window};
    enum quarry_status status = QUARRY_OK;
    uint32_t local;

    while (status == QUARRY_OK && walk_local(&walk, &local)) {
        for (uint32_t shard = 0; shard < TSDB_SHARD_COUNT && status == QUARRY_OK; shard++) {
            if (walk_take(&walk, shard, local)) {
                status =
                    series_put(durable, chunks, local * TSDB_SHARD_COUNT + shard, window->number);
            }
        }
    }
    return status == QUARRY_OK ? tsdb_series_chunks_finish(chunks) : status;
}

/* ---- the file ------------------------------------------------------------------------------- */

/* The sections of a file, and what they are of. */
struct plan {
    uint8_t info[TSDB_WINDOW_INFO_BYTES];
    struct tsdb_slice info_piece, bytes[TSDB_SPACE_SEGMENTS];
    uint8_t log[TSDB_WINDOW_LOG_BYTES];
    struct tsdb_slice log_piece;
    struct tsdb_series_chunks chunks;
    struct tsdb_exemplar_chunks exemplars;
    struct tsdb_section *sections;
    size_t count;
};

static void plan_add(struct plan *plan, uint32_t kind, uint32_t index,
                     const struct tsdb_slice *piece)
{
    plan->sections[plan->count++] =
        (struct tsdb_section){.kind = kind, .index = index, .pieces = piece, .piece_count = 1};
}

static void plan_bytes(struct plan *plan, const struct tsdb_window *window)
{
    struct extents extents = {.ends = {0}};

    for (uint32_t i = 0; i < TSDB_SHARD_COUNT; i++) {
        extents_of_shard(window, i, &extents);
    }
    for (uint32_t i = 0; i < TSDB_SPACE_SEGMENTS; i++) {
        uint64_t start = tsdb_space_segment_start(i);
        if (extents.ends[i] != 0) {
            plan->bytes[i] =
                (struct tsdb_slice){tsdb_space_at(&window->sealed, start), extents.ends[i] - start};
            plan_add(plan, TSDB_SECTION_BYTES, i, &plan->bytes[i]);
        }
    }
}

static void plan_mark(struct plan *plan, const struct tsdb_window_mark *mark)
{
    endian_store_le_u64(plan->log, mark->log_from);
    endian_store_le_u64(plan->log + 8, mark->whole_count == 0 ? 0 : mark->whole_count + 1);
    plan->log_piece = (struct tsdb_slice){(const char *)plan->log, sizeof plan->log};
    plan_add(plan, TSDB_SECTION_LOG, 0, &plan->log_piece);
}

static enum quarry_status plan_make(struct tsdb_durable *durable, const struct tsdb_window *window,
                                    const struct tsdb_window_mark *mark, struct plan *plan)
{
    enum quarry_status status = chunks_make(durable, window, &plan->chunks);

    if (status == QUARRY_OK) {
        status = tsdb_exemplar_chunks_make(durable->tsdb, window->number, &plan->exemplars);
    }
    if (status == QUARRY_OK) {
        plan->sections =
            tsdb_memory_take(plan->chunks.memory, (3 + TSDB_SPACE_SEGMENTS + plan->chunks.count +
                                                   plan->exemplars.count) *
                                                      sizeof(*plan->sections));
    }
    if (plan->sections == NULL) {
        return status == QUARRY_OK ? QUARRY_NO_MEMORY : status;
    }
    info_put(window, plan->info);
    plan->info_piece = (struct tsdb_slice){(const char *)plan->info, sizeof plan->info};
    plan_add(plan, TSDB_SECTION_INFO, 0, &plan->info_piece);
    plan_mark(plan, mark);
    plan_bytes(plan, window);
    for (size_t i = 0; i < plan->chunks.count; i++) {
        plan_add(plan, TSDB_SECTION_SERIES, (uint32_t)i, &plan->chunks.chunks[i]);
    }
    for (size_t i = 0; i < plan->exemplars.count; i++) {
        plan_add(plan, TSDB_SECTION_EXEMPLARS, (uint32_t)i, &plan->exemplars.chunks[i]);
    }
    plan_add(plan, TSDB_SECTION_INFO, 1, &plan->info_piece);
    return QUARRY_OK;
}

/* The salt of the file that was just written. */
static enum quarry_status salt_read(const struct tsdb_section_place *place, uint64_t *ret_salt,
                                    struct quarry_error *error)
{
    struct tsdb_section_file *sections = NULL;
    enum quarry_status status = tsdb_section_file_open(place, &sections, error);

    if (status == QUARRY_OK) {
        *ret_salt = tsdb_section_file_salt(sections);
        tsdb_section_file_close(sections);
    }
    return status;
}

enum quarry_status tsdb_window_save(struct tsdb_durable *durable, const struct tsdb_window *window,
                                    const struct tsdb_window_mark *mark, uint64_t *ret_salt,
                                    struct quarry_error *error)
{
    const struct tsdb_section_place place = tsdb_durable_place(durable, window->number);
    struct tsdb_memory *memory = &durable->tsdb->small[TSDB_PART_QUERY];
    struct plan *plan = tsdb_memory_take_zero(memory, sizeof(*plan));

    if (plan == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory to write window %d", window->number);
    }
    tsdb_series_chunks_init(&plan->chunks, memory);
    plan->exemplars.memory = plan->exemplars.bytes.memory = memory;
    enum quarry_status status = plan_make(durable, window, mark, plan);
    if (status == QUARRY_OK) {
        status = tsdb_section_file_write(&place, plan->sections, plan->count, error);
    }
    tsdb_memory_give(memory, plan->sections);
    tsdb_series_chunks_fini(&plan->chunks);
    tsdb_exemplar_chunks_fini(&plan->exemplars);
    tsdb_memory_give(memory, plan);
    return status == QUARRY_OK ? salt_read(&place, ret_salt, error) : status;
}
