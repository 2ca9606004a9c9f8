/*
 * Snapshots of the registry.
 *
 *     info: length of windows │ time │ files: number, salt │ …
 *     chunks of series, by id
 *
 * A snapshot says which id means which series at a moment, and which files of windows were there
 * then: of these no series need be read. What it says of others may be out of date: a series may
 * have gone since, and its id mean another. So those are left out that have no window any more, and
 * what files say themselves is taken first.
 *
 * Invariants
 *   1. The files that a snapshot covers were in memory when it was written: while they are there,
 *      no series of theirs is removed.
 *
 * Locking: the file work's mutex. Series are read a slice at a time, in the epoch, and what is made
 * meanwhile may be in it or not.
 * Cost: for a million series some 30 MB and a second of CPU; as much memory while it is written.
 */
#include <tsdb/durable.h>

#include <stdio.h>

#include <tsdb/snapshot.h>

#define INFO_BYTES      24u
#define INFO_FILE_BYTES 16u
#define SLICE           512u

/* ---- writing -------------------------------------------------------------------------------- */

struct saving {
    struct tsdb_durable *durable;
    uint8_t info[INFO_BYTES + INFO_FILE_BYTES * TSDB_DURABLE_FILES_MAX];
    struct tsdb_slice info_piece;
    struct tsdb_series_chunks chunks;
    uint32_t ids[SLICE];
};

static void info_put(struct saving *saving)
{
    const struct tsdb_durable *durable = saving->durable;
    uint64_t count = 0;

    for (uint32_t i = 0; i < durable->file_count; i++) {
        const struct tsdb_durable_file *file = &durable->files[i];
        if (file->is_loaded) { /* invariant 1 */
            uint8_t *to = saving->info + INFO_BYTES + INFO_FILE_BYTES * count++;
            endian_store_le_u64(to, (uint64_t)(int64_t)file->number);
            endian_store_le_u64(to + 8, file->salt);
        }
    }
    endian_store_le_u64(saving->info, (uint64_t)durable->tsdb->options.window_ms);
    endian_store_le_u64(saving->info + 8, (uint64_t)tsdb_time_ms(durable->tsdb));
    endian_store_le_u64(saving->info + 16, count);
    saving->info_piece = (struct tsdb_slice){(const char *)saving->info,
                                             INFO_BYTES + INFO_FILE_BYTES * (size_t)count};
}

static int32_t last_window(struct quarry_tsdb *tsdb, uint32_t id)
{
    struct os_mutex *mutex = tsdb_shard_mutex(tsdb, tsdb_shard_of(id));

    os_mutex_lock(mutex);
    int32_t number = tsdb_registry_series(tsdb->registry, id)->last_window;
    os_mutex_unlock(mutex);
    return number;
}

static enum quarry_status slice_put(struct saving *saving, uint32_t *after, size_t *ret_count)
{
    struct quarry_tsdb *tsdb = saving->durable->tsdb;
    struct tsdb_label labels[TSDB_LABELS_MAX];
    enum quarry_status status = QUARRY_OK;

    quarry_epoch_enter(tsdb->epoch);
    *ret_count = tsdb_registry_list(tsdb->registry, *after, saving->ids, SLICE);
    for (size_t i = 0; i < *ret_count && status == QUARRY_OK; i++) {
        uint32_t id = saving->ids[i];
        const struct tsdb_series_known series = {
            .id = id,
            .last_window = last_window(tsdb, id),
            .tenant = tsdb_registry_series(tsdb->registry, id)->tenant,
            .labels = {labels, tsdb_registry_labels(tsdb->registry, id, labels)}};
        status = tsdb_series_chunks_put(&saving->chunks, &series);
        *after = id;
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
    return status == QUARRY_OK ? tsdb_series_chunks_finish(&saving->chunks) : status;
}

static enum quarry_status file_write(struct saving *saving, const char *directory,
                                     struct quarry_error *error)
{
    const struct tsdb_snapshot_options options = {
        .vfs = saving->durable->vfs, .directory = directory, .memory = saving->durable->memory};
    const struct tsdb_memory *memory = saving->chunks.memory;
    size_t count = saving->chunks.count + 1;
    struct tsdb_section *sections = tsdb_memory_take(memory, count * sizeof(*sections));
    uint64_t generation = 0;

    if (sections == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for a snapshot");
    }
    sections[0] = (struct tsdb_section){
        .kind = TSDB_SECTION_INFO, .pieces = &saving->info_piece, .piece_count = 1};
    for (size_t i = 1; i < count; i++) {
        sections[i] = (struct tsdb_section){.kind = TSDB_SECTION_SERIES,
                                            .index = (uint32_t)(i - 1),
                                            .pieces = &saving->chunks.chunks[i - 1],
                                            .piece_count = 1};
    }
    enum quarry_status status = tsdb_snapshot_write(&options, sections, count, &generation, error);
    tsdb_memory_give(memory, sections);
    return status;
}

enum quarry_status tsdb_registry_save(struct tsdb_durable *durable, const char *directory,
                                      struct quarry_error *error)
{
    struct tsdb_memory *memory = &durable->tsdb->small[TSDB_PART_QUERY];
    struct saving *saving = tsdb_memory_take_zero(memory, sizeof(*saving));

    if (saving == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for a snapshot");
    }
    saving->durable = durable;
    tsdb_series_chunks_init(&saving->chunks, memory);
    info_put(saving);
    enum quarry_status status = series_put(saving);
    if (status == QUARRY_OK) {
        status = file_write(saving, directory, error);
    } else {
        (void)error_set(error, status, "no memory for a snapshot's series");
    }
    tsdb_series_chunks_fini(&saving->chunks);
    tsdb_memory_give(memory, saving);
    return status;
}

/* ---- bringing series back ------------------------------------------------------------------- */

/* Counts it for its tenant, whatever the limits are now. */
static enum quarry_status tenant_count(struct quarry_tsdb *tsdb, uint16_t number)
{
    struct tsdb_tenant *tenant = tsdb_limits_tenant(&tsdb->limits, number);

    if (tenant == NULL) {
        return QUARRY_NO_MEMORY;
    }
    tsdb_limits_restore_series(&tsdb->limits, tenant);
    return QUARRY_OK;
}

enum quarry_status tsdb_registry_bring_back(struct tsdb_durable *durable,
                                            const struct tsdb_series_known *series,
                                            bool *ret_is_known)
{
    struct quarry_tsdb *tsdb = durable->tsdb;
    bool is_new = false;
    enum quarry_status status =
        tsdb_limits_tenant(&tsdb->limits, series->tenant) == NULL ? QUARRY_NO_MEMORY : QUARRY_OK;

    if (status == QUARRY_OK) {
        quarry_epoch_enter(tsdb->epoch);
        status = tsdb_registry_restore(tsdb->registry, series->id, series->tenant, &series->labels,
                                       &is_new);
        if (status == QUARRY_OK && is_new) {
            tsdb_registry_series(tsdb->registry, series->id)->last_window = series->last_window;
        }
        quarry_epoch_leave(tsdb->epoch);
    }
    if (status == QUARRY_OK && is_new) {
        status = tenant_count(tsdb, series->tenant);
    }
    *ret_is_known = status == QUARRY_OK;
    return status == QUARRY_NO_MEMORY ? status : QUARRY_OK;
}

/* ---- reading -------------------------------------------------------------------------------- */

struct bringing {
    struct tsdb_durable *durable;
    int32_t window_min;
    bool restores;
    bool is_lost; /* a part of it */
};

static void part_lost(void *argument, const struct tsdb_section_info *info, uint64_t offset,
                      uint64_t byte_count)
{
    struct bringing *bringing = argument;

    (void)info;
    (void)offset;
    (void)byte_count;
    bringing->is_lost = true;
}

/* tsdb_series_function */
static enum quarry_status series_bring(void *argument, const struct tsdb_series_known *series)
{
    struct bringing *bringing = argument;
    bool is_known = false;

    return series->last_window < bringing->window_min
               ? QUARRY_OK
               : tsdb_registry_bring_back(bringing->durable, series, &is_known);
}

/* The files that it covers: whether they are the same, their salts will tell. */
static enum quarry_status info_get(struct bringing *bringing, const uint8_t *from,
                                   uint64_t byte_count)
{
    struct tsdb_durable *durable = bringing->durable;

    if (byte_count < INFO_BYTES ||
        endian_load_le_u64(from + 16) != (byte_count - INFO_BYTES) / INFO_FILE_BYTES) {
        return QUARRY_CORRUPT;
    }
    if ((int64_t)endian_load_le_u64(from) != durable->tsdb->options.window_ms) {
        return QUARRY_BAD_INPUT;
    }
    for (uint64_t at = INFO_BYTES; !bringing->restores && at + INFO_FILE_BYTES <= byte_count;
         at += INFO_FILE_BYTES) {
        int64_t number = (int64_t)endian_load_le_u64(from + at);
        struct tsdb_durable_file *file = number < INT32_MIN || number > INT32_MAX
                                             ? NULL
                                             : tsdb_durable_file_of(durable, (int32_t)number);
        if (file != NULL) {
            file->salt = endian_load_le_u64(from + at + 8);
            file->is_covered = true;
        }
    }
    return QUARRY_OK;
}

static enum quarry_status section_bring(struct bringing *bringing,
                                        struct tsdb_section_file *sections, size_t number)
{
    const struct tsdb_section_info info = tsdb_section_file_info(sections, number);
    struct tsdb_memory *memory = &bringing->durable->tsdb->small[TSDB_PART_QUERY];
    size_t byte_count = (size_t)info.byte_count;
    uint8_t *bytes = byte_count == 0 ? NULL : tsdb_memory_take(memory, byte_count);

    if (bytes == NULL) {
        return byte_count == 0 ? QUARRY_OK : QUARRY_NO_MEMORY;
    }
    enum quarry_status status =
        tsdb_section_file_read(sections, number, bytes, part_lost, bringing, NULL);
    if (status == QUARRY_OK && info.kind == TSDB_SECTION_INFO) {
        status = info_get(bringing, bytes, byte_count);
    } else if (status == QUARRY_OK && info.kind == TSDB_SECTION_SERIES && bringing->restores) {
        status = tsdb_series_chunk_read(
            memory, (struct tsdb_slice){(const char *)bytes, byte_count}, series_bring, bringing);
    }
    tsdb_memory_give(memory, bytes);
    return status;
}

/* The info is the first section: it is written last here, so that all else is known to be whole. */
static enum quarry_status snapshot_bring(struct bringing *bringing,
                                         struct tsdb_section_file *sections)
{
    enum quarry_status status = QUARRY_OK;

    for (size_t i = tsdb_section_file_count(sections); i > 0 && status == QUARRY_OK; i--) {
        status = section_bring(bringing, sections, i - 1);
    }
    return status;
}

static void snapshot_lost(struct tsdb_durable *durable, uint64_t generation)
{
    struct quarry_tsdb_loss loss = {
        .kind = QUARRY_TSDB_LOSS_SNAPSHOT, .from_ms = INT64_MAX, .to_ms = INT64_MIN};

    (void)snprintf(loss.file, sizeof loss.file, "snapshot-%06llu.qts",
                   (unsigned long long)generation);
    tsdb_durable_lost(durable, &loss);
}

enum quarry_status tsdb_registry_load(struct tsdb_durable *durable, int32_t window_min,
                                      bool restores, struct quarry_error *error)
{
    const struct tsdb_snapshot_options options = {
        .vfs = durable->vfs, .directory = durable->directory, .memory = durable->memory};
    struct bringing bringing = {.durable = durable, .window_min = window_min, .restores = restores};
    uint64_t below = UINT64_MAX, generation = 0;

    for (;;) {
        struct tsdb_section_file *sections = NULL;
        enum quarry_status status =
            tsdb_snapshot_open(&options, below, &sections, &generation, error);
        if (status == QUARRY_NOT_FOUND || status == QUARRY_NO_MEMORY) {
            return status;
        }
        if (status == QUARRY_OK) {
            status = snapshot_bring(&bringing, sections);
            tsdb_section_file_close(sections);
        } else if (generation == 0 || generation >= below) {
            return status; /* the directory cannot be listed */
        }
        if (restores && status != QUARRY_OK && status != QUARRY_NO_MEMORY) {
            status = QUARRY_CORRUPT; /* files have been marked by it */
        }
        if (status == QUARRY_OK || status == QUARRY_NO_MEMORY || status == QUARRY_BAD_INPUT ||
            restores) {
            return status == QUARRY_OK
                       ? status
                       : error_set(error, status, "'%.150s': snapshot %llu: %s", durable->directory,
                                   (unsigned long long)generation, quarry_status_text(status));
        }
        if (!restores) {
            snapshot_lost(durable, generation);
        }
        below = generation;
        generation = 0;
    }
}
