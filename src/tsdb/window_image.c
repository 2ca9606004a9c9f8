/*
 * Images of open windows: written into the snapshot when the store is closed.
 *
 *     info: number, first segment of the log that it does not have, chunklets by shard
 *     chains, chunklets: as they lie in memory, by segments of their spaces
 *     heads: records of the registry as they lie in memory, 16,384 a section
 *
 * An image has what the log has, up to a segment: reading it is a copy, where the log's samples
 * would be encoded again. Nothing depends on one: the log stays until the window's file is durable,
 * and where an image is not there, or damaged, or not to be used, it is replayed whole.
 *
 * Places in a window are numbers and offsets, so that its bytes mean the same at other addresses.
 * All open windows have an image, or none has: a series' head is of the last of them, and no chain
 * of theirs is without.
 *
 * None is written where the log has what memory has not (a window that lacks samples, one that is
 * partly sealed, a sync that failed), of histograms, whose writers' state is not checked here, and
 * where there are exemplars, which the log alone has.
 *
 * Invariants
 *   1. What is written does not change: nobody else uses the store any more.
 *
 * Locking: the file work's mutex. Cost: the open windows' bytes once, and the registry's records;
 * 24 bytes of memory for each section.
 *
 * Rejected: chunklets without the words that they do not use, a tenth of the bytes where series
 * have one sample, and a pass over all of them with memory for it at a time when there may be none.
 */
#include <tsdb/durable.h>
#include <tsdb/window_image.h>

#include <tsdb/shard.h>
#include <tsdb/view.h>

/* A chunk of the registry's table that is not there. */
static const char no_records[TSDB_TABLE_CHUNK_ENTRIES * sizeof(struct tsdb_series)];

/* Sections and pieces that are being put together. */
struct plan {
    struct tsdb_durable *durable;
    struct tsdb_view *view;
    struct tsdb_window_images *images;
    const struct tsdb_memory *memory;
    size_t section_capacity, piece_capacity;
};

/* ---- what may be written -------------------------------------------------------------------- */

static bool chunklets_are_floats(const struct tsdb_open_shard *shard)
{
    for (uint32_t number = 1; number <= shard->used_count; number++) {
        enum tsdb_chunklet_kind kind = tsdb_chunklet_look(tsdb_open_chunklet(shard, number)).kind;
        if (kind != TSDB_CHUNKLET_FLOATS && kind != TSDB_CHUNKLET_LATE) {
            return false;
        }
    }
    return true;
}

static bool window_may(struct tsdb_durable *durable, const struct tsdb_window *window)
{
    const struct tsdb_open *open = tsdb_window_open(window);

    if (open == NULL) {
        return true; /* it is sealed, and needs none */
    }
    if (atomic_load_relaxed_u64(&window->sealed_mask) != 0 || tsdb_open_base(open) != NULL ||
        tsdb_durable_is_lacking(durable, window->number) ||
        tsdb_durable_file_of(durable, window->number) != NULL) {
        return false;
    }
    for (uint32_t i = 0; i < TSDB_SHARD_COUNT; i++) {
        if (open->shard[i].holder_count != 0 || !chunklets_are_floats(&open->shard[i])) {
            return false;
        }
    }
    return true;
}

static bool store_may(struct tsdb_durable *durable, const struct tsdb_view *view)
{
    struct quarry_tsdb *tsdb = durable->tsdb;
    bool may = tsdb_durable_status(durable) == QUARRY_OK &&
               atomic_load_relaxed_u64(&durable->counters.left_out_count) == 0 &&
               atomic_load_relaxed_u64(&tsdb->counters.exemplar_count) == 0;

    for (uint32_t i = 0; i < view->window_count && may; i++) {
        may = window_may(durable, view->windows[i]);
    }
    return may;
}

/* ---- putting it together -------------------------------------------------------------------- */

/* A section of `piece_count` pieces, which are put behind those there are. NULL: no memory. */
static struct tsdb_slice *section_add(struct plan *plan, uint32_t kind, uint32_t index,
                                      size_t piece_count)
{
    struct tsdb_window_images *images = plan->images;
    void *sections = images->sections, *pieces = images->pieces;
    enum quarry_status status =
        tsdb_memory_grow(plan->memory, &sections, &plan->section_capacity,
                         images->section_count + 1, sizeof(*images->sections));

    images->sections = sections;
    if (status == QUARRY_OK) {
        status = tsdb_memory_grow(plan->memory, &pieces, &plan->piece_capacity,
                                  images->piece_count + piece_count, sizeof(*images->pieces));
        images->pieces = pieces;
    }
    if (status != QUARRY_OK) {
        return NULL;
    }
    /* Where its pieces are is put when none comes any more: they may still move. */
    images->sections[images->section_count++] =
        (struct tsdb_section){.kind = kind, .index = index, .piece_count = piece_count};
    images->piece_count += piece_count;
    return &images->pieces[images->piece_count - piece_count];
}

/* The first bytes of a space, a section for each of its segments. */
static enum quarry_status space_add(struct plan *plan, uint32_t kind, uint32_t index,
                                    const struct tsdb_space *space, uint64_t byte_count)
{
    for (uint32_t i = 0; tsdb_space_segment_start(i) < byte_count; i++) {
        uint64_t start = tsdb_space_segment_start(i);
        struct tsdb_slice *piece = section_add(plan, kind, index | i, 1);
        if (piece == NULL) {
            return QUARRY_NO_MEMORY;
        }
        *piece = (struct tsdb_slice){
            tsdb_space_at(space, start),
            (size_t)size_min_u64(byte_count - start, tsdb_space_segment_bytes(i))};
    }
    return QUARRY_OK;
}

static enum quarry_status info_add(struct plan *plan, uint32_t place,
                                   const struct tsdb_window *window)
{
    const struct tsdb_open *open = tsdb_window_open(window);
    uint8_t *to = plan->images->infos + (size_t)place * TSDB_WINDOW_IMAGE_INFO_BYTES;
    struct tsdb_slice *piece = section_add(plan, TSDB_SECTION_OPEN_INFO, place, 1);

    if (piece == NULL) {
        return QUARRY_NO_MEMORY;
    }
    *piece = (struct tsdb_slice){(const char *)to, TSDB_WINDOW_IMAGE_INFO_BYTES};
    endian_store_le_u64(to, (uint64_t)(int64_t)window->number);
    endian_store_le_u64(to + 8, tsdb_log_next_sequence(plan->durable->log, window->number));
    for (uint32_t i = 0; i < TSDB_SHARD_COUNT; i++) {
        endian_store_le_u32(to + 16 + 4 * i, open->shard[i].used_count);
    }
    return QUARRY_OK;
}

static enum quarry_status window_add(struct plan *plan, uint32_t place,
                                     const struct tsdb_window *window)
{
    const struct tsdb_open *open = tsdb_window_open(window);
    enum quarry_status status = info_add(plan, place, window);

    if (status == QUARRY_OK) {
        status = space_add(plan, TSDB_SECTION_OPEN_CHAINS, tsdb_window_image_index(place, 0, 0),
                           &open->chains, atomic_load_relaxed_u64(&open->chains.backed_bytes));
    }
    for (uint32_t i = 0; i < TSDB_SHARD_COUNT && status == QUARRY_OK; i++) {
        status = space_add(plan, TSDB_SECTION_OPEN_CHUNKLETS, tsdb_window_image_index(place, i, 0),
                           &open->shard[i].chunklets,
                           (uint64_t)open->shard[i].used_count * TSDB_CHUNKLET_BYTES);
    }
    return status;
}

/* Records, some chunks of the table to a section. */
static enum quarry_status heads_add(struct plan *plan)
{
    const struct tsdb_table *table = &plan->durable->tsdb->registry->series;

    for (size_t at = 0; at < table->use_capacity; at += TSDB_WINDOW_IMAGE_CHUNKS) {
        size_t count = size_min(table->use_capacity - at, TSDB_WINDOW_IMAGE_CHUNKS);
        struct tsdb_slice *pieces = section_add(plan, TSDB_SECTION_OPEN_HEADS,
                                                (uint32_t)(at / TSDB_WINDOW_IMAGE_CHUNKS), count);
        if (pieces == NULL) {
            return QUARRY_NO_MEMORY;
        }
        for (size_t i = 0; i < count; i++) {
            const char *chunk =
                table->uses[at + i].count == 0
                    ? no_records
                    : tsdb_table_at(table, (uint32_t)(at + i) << TSDB_TABLE_CHUNK_SHIFT);
            pieces[i] = (struct tsdb_slice){chunk, sizeof no_records};
        }
    }
    return QUARRY_OK;
}

static enum quarry_status images_put(struct plan *plan)
{
    struct tsdb_window_images *images = plan->images;
    enum quarry_status status = QUARRY_OK;
    uint32_t place = 0;
    size_t piece = 0;

    images->infos = tsdb_memory_take(plan->memory,
                                     (size_t)TSDB_VIEW_WINDOWS_MAX * TSDB_WINDOW_IMAGE_INFO_BYTES);
    if (images->infos == NULL) {
        return QUARRY_NO_MEMORY;
    }
    for (uint32_t i = 0; i < plan->view->window_count && status == QUARRY_OK; i++) {
        if (tsdb_window_open(plan->view->windows[i]) != NULL) {
            status = window_add(plan, place++, plan->view->windows[i]);
        }
    }
    if (status == QUARRY_OK && place != 0) {
        status = heads_add(plan);
    }
    for (size_t i = 0; i < images->section_count && status == QUARRY_OK; i++) {
        images->sections[i].pieces = &images->pieces[piece];
        piece += images->sections[i].piece_count;
    }
    return status;
}

void tsdb_window_images_make(struct tsdb_durable *durable, struct tsdb_window_images *ret_images)
{
    struct quarry_tsdb *tsdb = durable->tsdb;
    struct plan plan = {.durable = durable,
                        .view = tsdb_view_acquire(&tsdb->views),
                        .images = ret_images,
                        .memory = &tsdb->small[TSDB_PART_QUERY]};

    *ret_images = (struct tsdb_window_images){.view = plan.view};
    if (store_may(durable, plan.view) && images_put(&plan) != QUARRY_OK) {
        ret_images->section_count = 0; /* the log has all of it */
    }
}

void tsdb_window_images_fini(struct tsdb_durable *durable, struct tsdb_window_images *images)
{
    const struct tsdb_memory *memory = &durable->tsdb->small[TSDB_PART_QUERY];

    tsdb_memory_give(memory, images->sections);
    tsdb_memory_give(memory, images->pieces);
    tsdb_memory_give(memory, images->infos);
    tsdb_view_release(&durable->tsdb->views, images->view);
}
