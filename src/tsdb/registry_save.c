/*
 * Snapshots of the registry: writing.
 *
 *     info: length of windows │ time │ files: number, salt │ …
 *     symbols: tenants, then names, then values
 *     series by id: last window, tenant, the numbers of its labels' symbols
 *     windows that are open, when the store is closed (window_image.c)
 *
 * A snapshot says which id means which series at a moment, and which files of windows were there
 * then: of these no series need be read. What it says of others may be out of date: a series may
 * have gone since, and its id mean another. So those are left out that have no window any more, and
 * what files say themselves is taken first.
 *
 * Labels are written as the registry has them, as numbers of symbols, so that reading makes it at
 * once (registry_bulk.c). A number means what it did as long as no series goes: symbols come behind
 * the series, and where one has gone in between, all is done again with the turn's mutex held. New
 * ones do no harm.
 *
 * Invariants
 *   1. The files that a snapshot covers were in memory when it was written, with all of their
 *      series: while they are there, no series of theirs is removed.
 *   2. Each symbol of a series that is written is written, and those above it before it.
 *
 * Locking: the file work's mutex. Series are read a slice at a time, in the epoch, symbols with the
 * registry's mutex; what is made meanwhile may be in it or not.
 * Cost: for a million series of eight labels some 45 MB and 0.2 s of CPU; as much memory while it
 * is written.
 */
#include <tsdb/durable.h>

#include <tsdb/snapshot.h>
#include <tsdb/window_image.h>

#define SLICE 512u
/* Symbols that are looked at with the registry's mutex held. */
#define SYMBOL_SLICE 4096u
/* Of symbols and of series in a section: what is read at once. */
#define CHUNK_BYTES Q_MIB(1)

/* ---- chunks --------------------------------------------------------------------------------- */

/* Sections of one kind that are being made. */
struct chunks {
    const struct tsdb_memory *memory;
    struct tsdb_slice *slices; /* own, each of them too */
    size_t count, capacity;
    size_t room; /* of the last one */
};

static void chunks_fini(struct chunks *chunks)
{
    for (size_t i = 0; i < chunks->count; i++) {
        tsdb_memory_give(chunks->memory, (char *)(uintptr_t)chunks->slices[i].bytes);
    }
    tsdb_memory_give(chunks->memory, chunks->slices);
    *chunks = (struct chunks){.memory = chunks->memory};
}

static enum quarry_status chunk_begin(struct chunks *chunks, size_t byte_count)
{
    size_t room = size_max(byte_count, CHUNK_BYTES);
    void *array = chunks->slices;
    enum quarry_status status = tsdb_memory_grow(chunks->memory, &array, &chunks->capacity,
                                                 chunks->count + 1, sizeof(*chunks->slices));

    chunks->slices = array;
    char *bytes = status == QUARRY_OK ? tsdb_memory_take(chunks->memory, room) : NULL;
    if (bytes == NULL) {
        return QUARRY_NO_MEMORY;
    }
    chunks->slices[chunks->count++] = (struct tsdb_slice){bytes, 0};
    chunks->room = room;
    return QUARRY_OK;
}

/* Room for so many bytes more, in one chunk. NULL: there is no memory. */
static uint8_t *chunks_add(struct chunks *chunks, size_t byte_count)
{
    struct tsdb_slice *last = chunks->count == 0 ? NULL : &chunks->slices[chunks->count - 1];

    if (last == NULL || chunks->room - last->count < byte_count) {
        if (chunk_begin(chunks, byte_count) != QUARRY_OK) {
            return NULL;
        }
        last = &chunks->slices[chunks->count - 1];
    }
    uint8_t *at = (uint8_t *)(uintptr_t)last->bytes + last->count;
    last->count += byte_count;
    return at;
}

/* ---- writing -------------------------------------------------------------------------------- */

struct saving {
    struct tsdb_durable *durable;
    uint8_t info[TSDB_SNAPSHOT_INFO_BYTES + TSDB_SNAPSHOT_FILE_BYTES * TSDB_DURABLE_FILES_MAX];
    struct tsdb_slice info_piece;
    struct chunks symbols, series;
    const struct tsdb_window_images *images; /* NULL: none */
    uint32_t ids[SLICE];
};

static void info_put(struct saving *saving)
{
    const struct tsdb_durable *durable = saving->durable;
    uint64_t count = 0;

    for (uint32_t i = 0; i < durable->file_count; i++) {
        const struct tsdb_durable_file *file = &durable->files[i];
        if (file->is_loaded && !file->is_partial) { /* invariant 1 */
            uint8_t *to =
                saving->info + TSDB_SNAPSHOT_INFO_BYTES + TSDB_SNAPSHOT_FILE_BYTES * count++;
            endian_store_le_u64(to, (uint64_t)(int64_t)file->number);
            endian_store_le_u64(to + 8, file->salt);
        }
    }
    endian_store_le_u64(saving->info, (uint64_t)durable->tsdb->options.window_ms);
    endian_store_le_u64(saving->info + 8, (uint64_t)tsdb_time_ms(durable->tsdb));
    endian_store_le_u64(saving->info + 16, count);
    saving->info_piece =
        (struct tsdb_slice){(const char *)saving->info,
                            TSDB_SNAPSHOT_INFO_BYTES + TSDB_SNAPSHOT_FILE_BYTES * (size_t)count};
}

static int32_t last_window(struct quarry_tsdb *tsdb, uint32_t id)
{
    struct os_mutex *mutex = tsdb_shard_mutex(tsdb, tsdb_shard_of(id));

    os_mutex_lock(mutex);
    int32_t number = tsdb_registry_series(tsdb->registry, id)->last_window;
    os_mutex_unlock(mutex);
    return number;
}

static enum quarry_status one_put(struct saving *saving, uint32_t id)
{
    const struct tsdb_registry *registry = saving->durable->tsdb->registry;
    const struct tsdb_series *series = tsdb_registry_series(registry, id);
    const uint32_t *numbers = tsdb_registry_symbols(registry, series);
    uint8_t *to =
        chunks_add(&saving->series, TSDB_SNAPSHOT_SERIES_BYTES +
                                        TSDB_SNAPSHOT_LABEL_BYTES * (size_t)series->label_count);

    if (to == NULL) {
        return QUARRY_NO_MEMORY;
    }
    endian_store_le_u32(to, id);
    endian_store_le_u32(to + 4, (uint32_t)last_window(saving->durable->tsdb, id));
    endian_store_le_u32(to + 8, (uint32_t)series->tenant | (uint32_t)series->label_count << 16);
    to += TSDB_SNAPSHOT_SERIES_BYTES;
    for (uint32_t i = 0; i < series->label_count; i++) {
        endian_store_le_u32(to + TSDB_SNAPSHOT_LABEL_BYTES * i, numbers[i]);
    }
    return QUARRY_OK;
}

static enum quarry_status slice_put(struct saving *saving, uint32_t *after, size_t *ret_count)
{
    struct quarry_tsdb *tsdb = saving->durable->tsdb;
    enum quarry_status status = QUARRY_OK;

    quarry_epoch_enter(tsdb->epoch);
    *ret_count = tsdb_registry_list(tsdb->registry, *after, saving->ids, SLICE);
    for (size_t i = 0; i < *ret_count && status == QUARRY_OK; i++) {
        status = one_put(saving, saving->ids[i]);
        *after = saving->ids[i];
    }
    quarry_epoch_leave(tsdb->epoch);
    return status;
}

static enum quarry_status series_put(struct saving *saving)
{
    enum quarry_status status = QUARRY_OK;
    uint32_t after = TSDB_SERIES_NONE;
    size_t count = SLICE;

    while (status == QUARRY_OK && count == SLICE) {
        status = slice_put(saving, &after, &count);
    }
    return status;
}

/* ---- symbols -------------------------------------------------------------------------------- */

static bool is_of_level(const struct tsdb_symbol *symbol, uint32_t level)
{
    for (; level > 0 && symbol != NULL; level--) {
        symbol = symbol->parent;
    }
    return symbol != NULL && symbol->parent == NULL;
}

static enum quarry_status symbol_put(struct saving *saving, const struct tsdb_symbol *symbol)
{
    uint8_t *to =
        chunks_add(&saving->symbols, TSDB_SNAPSHOT_SYMBOL_BYTES + (size_t)symbol->byte_count);

    if (to == NULL) {
        return QUARRY_NO_MEMORY;
    }
    endian_store_le_u32(to, symbol->number);
    endian_store_le_u32(to + 4, symbol->parent == NULL ? 0 : symbol->parent->number);
    endian_store_le_u32(to + 8, symbol->byte_count);
    memcpy(to + TSDB_SNAPSHOT_SYMBOL_BYTES, symbol->bytes, symbol->byte_count);
    return QUARRY_OK;
}

/* Those of a level behind a number, some of them; `*at` becomes 0 with the last. */
static enum quarry_status symbols_slice(struct saving *saving, uint32_t level, uint32_t *at)
{
    struct tsdb_registry *registry = saving->durable->tsdb->registry;
    enum quarry_status status = QUARRY_OK;

    os_mutex_lock(&registry->mutex);
    for (uint32_t i = 0; i < SYMBOL_SLICE && status == QUARRY_OK; i++) {
        *at = tsdb_table_next(&registry->symbols.table, *at);
        if (*at == 0) {
            break;
        }
        const struct tsdb_symbol *symbol = tsdb_symbol_at(&registry->symbols, *at);
        if (tsdb_symbol_count(symbol) != 0 && is_of_level(symbol, level)) {
            status = symbol_put(saving, symbol);
        }
    }
    os_mutex_unlock(&registry->mutex);
    return status;
}

static enum quarry_status symbols_put(struct saving *saving)
{
    enum quarry_status status = QUARRY_OK;

    for (uint32_t level = 0; level < 3 && status == QUARRY_OK; level++) {
        uint32_t at = 0;
        do {
            status = symbols_slice(saving, level, &at);
        } while (at != 0 && status == QUARRY_OK);
    }
    return status;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static uint64_t removed_count(struct quarry_tsdb *tsdb)
{
    return atomic_load_acquire_u64(&tsdb->counters.removed_series_count);
}

static enum quarry_status registry_put(struct saving *saving)
{
    enum quarry_status status = series_put(saving);

    return status == QUARRY_OK ? symbols_put(saving) : status;
}

/* Series and symbols that belong together. */
static enum quarry_status registry_put_whole(struct saving *saving)
{
    struct quarry_tsdb *tsdb = saving->durable->tsdb;
    uint64_t before = removed_count(tsdb);
    enum quarry_status status = registry_put(saving);

    if (status != QUARRY_OK || removed_count(tsdb) == before) {
        return status;
    }
    chunks_fini(&saving->series);
    chunks_fini(&saving->symbols);
    os_mutex_lock(&tsdb->turn_mutex); /* now none goes */
    status = registry_put(saving);
    os_mutex_unlock(&tsdb->turn_mutex);
    return status;
}

static void plan_add(struct tsdb_section *sections, size_t *count, uint32_t kind,
                     const struct tsdb_slice *pieces, size_t piece_count)
{
    for (size_t i = 0; i < piece_count; i++) {
        sections[(*count)++] = (struct tsdb_section){
            .kind = kind, .index = (uint32_t)i, .pieces = &pieces[i], .piece_count = 1};
    }
}

static enum quarry_status file_write(struct saving *saving, const char *directory,
                                     struct quarry_error *error)
{
    const struct tsdb_snapshot_options options = {
        .vfs = saving->durable->vfs, .directory = directory, .memory = saving->durable->memory};
    const struct tsdb_memory *memory = saving->series.memory;
    const struct tsdb_window_images *images = saving->images;
    size_t image_count = images == NULL ? 0 : images->section_count, count = 0;
    struct tsdb_section *sections =
        tsdb_memory_take(memory, (1 + saving->symbols.count + saving->series.count + image_count) *
                                     sizeof(*sections));
    uint64_t generation = 0;

    if (sections == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for a snapshot");
    }
    plan_add(sections, &count, TSDB_SECTION_INFO, &saving->info_piece, 1);
    plan_add(sections, &count, TSDB_SECTION_SYMBOLS, saving->symbols.slices, saving->symbols.count);
    plan_add(sections, &count, TSDB_SECTION_LABELS, saving->series.slices, saving->series.count);
    if (image_count != 0) {
        memcpy(sections + count, images->sections, image_count * sizeof(*sections));
    }
    enum quarry_status status =
        tsdb_snapshot_write(&options, sections, count + image_count, &generation, error);
    tsdb_memory_give(memory, sections);
    return status;
}

enum quarry_status tsdb_registry_save(struct tsdb_durable *durable, const char *directory,
                                      const struct tsdb_window_images *images,
                                      struct quarry_error *error)
{
    struct tsdb_memory *memory = &durable->tsdb->small[TSDB_PART_QUERY];
    struct saving *saving = tsdb_memory_take_zero(memory, sizeof(*saving));

    if (saving == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for a snapshot");
    }
    saving->durable = durable;
    saving->images = images;
    saving->symbols.memory = saving->series.memory = memory;
    info_put(saving);
    enum quarry_status status = registry_put_whole(saving);
    if (status == QUARRY_OK) {
        status = file_write(saving, directory, error);
    } else {
        (void)error_set(error, status, "no memory for a snapshot's series");
    }
    chunks_fini(&saving->series);
    chunks_fini(&saving->symbols);
    tsdb_memory_give(memory, saving);
    return status;
}
