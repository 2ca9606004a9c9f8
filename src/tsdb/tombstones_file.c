/*
 * The file of tombstones: `deleted.qtt`.
 *
 *     chunks of series: numbers, and what they mean │ spans: number, from, to │ …
 *
 * It is written whole for each deletion, in place of the one before, as files of windows are; so
 * that a deletion is there altogether or not at all. Series are named by their labels: an id means
 * the same only as long as a process lives. docs/formats/tsdb-window.md has the bytes.
 *
 * When a store is opened it is read behind the registry and before any sample can be asked for.
 * Series that only the log has are made then, without a sample: the log finds them.
 *
 * Locking: work_mutex; while the store is opened nobody else knows it.
 */
#include <tsdb/tombstones.h>

#include <stdio.h>

#include <tsdb/durable.h>
#include <tsdb/log.h>

#define SPAN_BYTES 20u

static struct tsdb_section_place place_of(const struct tsdb_durable *durable)
{
    return (struct tsdb_section_place){.vfs = durable->vfs,
                                       .directory = durable->directory,
                                       .memory = durable->memory,
                                       .name = {.kind = TSDB_FILE_TOMBSTONES}};
}

/* ---- writing -------------------------------------------------------------------------------- */

struct saving {
    struct tsdb_durable *durable;
    struct tsdb_series_chunks chunks;
    uint8_t *spans; /* own */
    size_t span_count;
    struct tsdb_section *sections; /* own */
};

static enum quarry_status series_put(struct saving *saving, uint32_t id)
{
    struct quarry_tsdb *tsdb = saving->durable->tsdb;
    struct tsdb_label labels[TSDB_LABELS_MAX];

    quarry_epoch_enter(tsdb->epoch);
    const struct tsdb_series_known series = {
        .id = id,
        .tenant = tsdb_registry_series(tsdb->registry, id)->tenant,
        .labels = {labels, tsdb_registry_labels(tsdb->registry, id, labels)}};
    enum quarry_status status = tsdb_series_chunks_put(&saving->chunks, &series);
    quarry_epoch_leave(tsdb->epoch);
    return status;
}

/* Whether a series may be asked for its labels: one that has gone has no samples to be hidden. */
static bool is_there(struct quarry_tsdb *tsdb, uint32_t id)
{
    return tsdb_registry_has(tsdb->registry, id);
}

static enum quarry_status list_put(struct saving *saving, const struct tsdb_tombstone_list *list)
{
    struct quarry_tsdb *tsdb = saving->durable->tsdb;
    enum quarry_status status = QUARRY_OK;
    uint32_t last = TSDB_SERIES_NONE;

    /* No series goes meanwhile. */
    os_mutex_lock(&tsdb->turn_mutex);
    for (size_t i = 0; i < list->count && status == QUARRY_OK; i++) {
        const struct tsdb_tombstone *item = &list->items[i];
        if (!is_there(tsdb, item->id)) {
            continue;
        }
        if (item->id != last) {
            status = series_put(saving, item->id);
            last = item->id;
        }
        uint8_t *to = saving->spans + saving->span_count++ * SPAN_BYTES;
        endian_store_le_u32(to, item->id);
        endian_store_le_u64(to + 4, (uint64_t)item->span.from_ms);
        endian_store_le_u64(to + 12, (uint64_t)item->span.to_ms);
    }
    os_mutex_unlock(&tsdb->turn_mutex);
    return status == QUARRY_OK ? tsdb_series_chunks_finish(&saving->chunks) : status;
}

static enum quarry_status sections_write(struct saving *saving, struct quarry_error *error)
{
    const struct tsdb_section_place place = place_of(saving->durable);
    size_t count = saving->chunks.count;
    const struct tsdb_slice spans = {(const char *)saving->spans, saving->span_count * SPAN_BYTES};

    saving->sections =
        tsdb_memory_take(saving->durable->memory, (count + 1) * sizeof(*saving->sections));
    if (saving->sections == NULL) {
        return QUARRY_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        saving->sections[i] = (struct tsdb_section){.kind = TSDB_SECTION_SERIES,
                                                    .index = (uint32_t)i,
                                                    .pieces = &saving->chunks.chunks[i],
                                                    .piece_count = 1};
    }
    saving->sections[count] = (struct tsdb_section){
        .kind = TSDB_SECTION_DELETED, .index = 0, .pieces = &spans, .piece_count = 1};
    return tsdb_section_file_write(&place, saving->sections, count + 1, error);
}

enum quarry_status tsdb_tombstones_save(struct tsdb_durable *durable,
                                        const struct tsdb_tombstone_list *list,
                                        struct quarry_error *error)
{
    struct saving saving = {.durable = durable};
    enum quarry_status status = QUARRY_NO_MEMORY;

    tsdb_series_chunks_init(&saving.chunks, durable->memory);
    saving.spans = tsdb_memory_take(durable->memory, (list->count + 1) * SPAN_BYTES);
    if (saving.spans != NULL) {
        status = list_put(&saving, list);
    }
    if (status == QUARRY_OK) {
        status = sections_write(&saving, error);
    }
    tsdb_series_chunks_fini(&saving.chunks);
    tsdb_memory_give(durable->memory, saving.spans);
    tsdb_memory_give(durable->memory, saving.sections);
    return status == QUARRY_OK ? status
                               : error_set(error, status, "%s: deletions could not be written: %s",
                                           durable->tsdb->name, quarry_status_text(status));
}

enum quarry_status tsdb_tombstones_copy(struct tsdb_durable *durable, const char *directory,
                                        struct quarry_error *error)
{
    const struct tsdb_file_name name = {.kind = TSDB_FILE_TOMBSTONES};
    struct tsdb_path from, to;
    uint64_t byte_count;
    bool is_directory;
    enum quarry_status status = tsdb_file_path(durable->directory, &name, &from, error);

    if (status == QUARRY_OK) {
        status = tsdb_file_path(directory, &name, &to, error);
    }
    if (status == QUARRY_OK) {
        status = quarry_vfs_stat(durable->vfs, from.text, &byte_count, &is_directory, NULL);
        if (status == QUARRY_NOT_FOUND) {
            return QUARRY_OK;
        }
    }
    return status == QUARRY_OK ? tsdb_file_copy(durable->vfs, durable->memory, from.text, to.text,
                                                UINT64_MAX, error)
                               : status;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* What a number in the file means here. */
struct meaning {
    uint32_t number, id;
};

struct loading {
    struct tsdb_durable *durable;
    struct meaning *meanings; /* own, by rising number */
    size_t meaning_count, meaning_capacity;
    struct tsdb_tombstone_list list;
};

/* Finds a series, or makes one. */
static enum quarry_status series_have(struct quarry_tsdb *tsdb,
                                      const struct tsdb_series_known *series, uint32_t *ret_id)
{
    struct tsdb_tenant *tenant = tsdb_limits_tenant(&tsdb->limits, series->tenant);
    bool is_new = false;

    if (tenant == NULL) {
        return QUARRY_NO_MEMORY;
    }
    quarry_epoch_enter(tsdb->epoch);
    enum quarry_status status =
        tsdb_registry_get(tsdb->registry, series->tenant, &series->labels, NULL, ret_id, &is_new);
    quarry_epoch_leave(tsdb->epoch);
    if (status == QUARRY_OK && is_new) {
        tsdb_limits_restore_series(&tsdb->limits, tenant);
        (void)atomic_add_relaxed_u64(&tsdb->counters.created_series_count, 1);
    }
    return status;
}

/* tsdb_series_function */
static enum quarry_status series_meet(void *argument, const struct tsdb_series_known *series)
{
    struct loading *loading = argument;
    void *meanings = loading->meanings;
    uint32_t id;

    if (!tsdb_labels_are_valid(&series->labels) ||
        (loading->meaning_count != 0 &&
         loading->meanings[loading->meaning_count - 1].number >= series->id)) {
        return QUARRY_CORRUPT;
    }
    enum quarry_status status =
        tsdb_memory_grow(loading->durable->memory, &meanings, &loading->meaning_capacity,
                         loading->meaning_count + 1, sizeof(*loading->meanings));
    loading->meanings = meanings;
    if (status == QUARRY_OK) {
        status = series_have(loading->durable->tsdb, series, &id);
    }
    if (status == QUARRY_OK) {
        loading->meanings[loading->meaning_count++] = (struct meaning){series->id, id};
    }
    return status;
}

/* Spans, whose numbers rise as those of the series did. */
static enum quarry_status spans_meet(struct loading *loading, const uint8_t *bytes,
                                     size_t byte_count)
{
    enum quarry_status status = byte_count % SPAN_BYTES == 0 ? QUARRY_OK : QUARRY_CORRUPT;
    size_t at = 0;

    for (size_t i = 0; i < byte_count && status == QUARRY_OK; i += SPAN_BYTES) {
        uint32_t number = endian_load_le_u32(bytes + i);
        const struct tsdb_gap span = {(int64_t)endian_load_le_u64(bytes + i + 4),
                                      (int64_t)endian_load_le_u64(bytes + i + 12)};
        while (at < loading->meaning_count && loading->meanings[at].number < number) {
            at++;
        }
        if (at == loading->meaning_count || loading->meanings[at].number != number) {
            return QUARRY_CORRUPT;
        }
        status = tsdb_tombstone_list_put(&loading->list, loading->meanings[at].id, span);
    }
    return status;
}

/* tsdb_section_lost_function: what is lost is told of the whole file. */
static void lost_whole(void *argument, const struct tsdb_section_info *info, uint64_t offset,
                       uint64_t byte_count)
{
    (void)argument;
    (void)info;
    (void)offset;
    (void)byte_count;
}

static enum quarry_status section_read(struct loading *loading, struct tsdb_section_file *sections,
                                       size_t number, struct quarry_error *error)
{
    const struct tsdb_section_info info = tsdb_section_file_info(sections, number);
    struct tsdb_memory *memory = loading->durable->memory;
    size_t byte_count = (size_t)info.byte_count;
    char *bytes = byte_count == 0 ? NULL : tsdb_memory_take(memory, byte_count);

    if (bytes == NULL) {
        return byte_count == 0 ? QUARRY_OK : QUARRY_NO_MEMORY;
    }
    enum quarry_status status =
        tsdb_section_file_read(sections, number, bytes, lost_whole, NULL, error);
    if (status == QUARRY_OK && info.kind == TSDB_SECTION_SERIES) {
        status = tsdb_series_chunk_read(memory, (struct tsdb_slice){bytes, byte_count}, series_meet,
                                        loading);
    } else if (status == QUARRY_OK && info.kind == TSDB_SECTION_DELETED) {
        status = spans_meet(loading, (const uint8_t *)bytes, byte_count);
    }
    tsdb_memory_give(memory, bytes);
    return status;
}

static enum quarry_status file_read(struct loading *loading, struct quarry_error *error)
{
    const struct tsdb_section_place place = place_of(loading->durable);
    struct tsdb_section_file *sections = NULL;
    enum quarry_status status = tsdb_section_file_open(&place, &sections, error);
    size_t count = status == QUARRY_OK ? tsdb_section_file_count(sections) : 0;

    for (size_t i = 0; i < count && status == QUARRY_OK; i++) {
        status = section_read(loading, sections, i, error);
    }
    tsdb_section_file_close(sections);
    return status == QUARRY_OK ? tsdb_tombstone_list_settle(&loading->list) : status;
}

/* What was deleted is seen again, and the file is kept to be looked at. */
static enum quarry_status damage_tell(struct tsdb_durable *durable, struct quarry_error *error)
{
    const struct tsdb_section_place place = place_of(durable);
    struct quarry_tsdb_loss loss = {
        .kind = QUARRY_TSDB_LOSS_DELETIONS, .from_ms = INT64_MIN, .to_ms = INT64_MAX};
    char name[QUARRY_VFS_NAME_BYTES_MAX];
    enum quarry_status status = tsdb_section_file_set_aside(&place, name, error);

    if (status == QUARRY_OK) {
        (void)snprintf(loss.file, sizeof loss.file, "%.47s", name);
        tsdb_durable_lost(durable, &loss);
    }
    return status;
}

enum quarry_status tsdb_tombstones_load(struct tsdb_durable *durable, struct quarry_error *error)
{
    struct loading loading = {.durable = durable, .list.memory = durable->memory};
    enum quarry_status status = file_read(&loading, error);

    if (status == QUARRY_OK) {
        tsdb_tombstones_replace(durable->tsdb, &loading.list);
    } else if (status == QUARRY_CORRUPT || status == QUARRY_UNSUPPORTED ||
               status == QUARRY_TOO_MANY) {
        status = damage_tell(durable, error);
    }
    tsdb_memory_give(durable->memory, loading.meanings);
    tsdb_tombstone_list_fini(&loading.list);
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}
