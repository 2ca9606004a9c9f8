/*
 * Reading a sealed window back: its bytes to where they were, and all of it checked.
 *
 *     info ──> shards' tables: within the bytes that were read?
 *     bytes ──> to the same offsets; what is damaged is zero, and known
 *     entries ──> kept: those whose id means what it did, whose times and column are whole
 *
 * After this no byte of the file is trusted for more than it was looked at: entries and times lead
 * to bytes of the space, and what is in these is bounded by their own readers (column.c, times.c).
 *
 * Invariants
 *   1. Of a shard that is published every entry lies within the space's backed bytes, is undamaged,
 *      and is of a living series that the file means by that id.
 *   2. Entries rise by local number.
 *
 * Locking: the file work's mutex; shards' for their series' last windows.
 * Cost: reading and a checksum, 0.2 ns a byte each; 50 ns a series.
 */
#include <tsdb/durable.h>
#include <tsdb/exemplars_save.h>

#include <tsdb/sealed.h>

/* Damaged stretches of a file; one with more is given up. */
#define STRETCHES_MAX 256u

struct stretch {
    uint64_t at, byte_count; /* in the space */
};

struct loading {
    struct tsdb_durable *durable;
    const struct tsdb_durable_file *file;
    struct tsdb_section_file *sections;
    struct tsdb_window *window;
    uint64_t ends[TSDB_SPACE_SEGMENTS]; /* of what was read; 0: nothing of the segment */
    struct stretch lost[STRETCHES_MAX];
    uint32_t lost_count;
    uint64_t lost_bytes;
    uint64_t sample_count; /* that there should be */
    uint64_t left_out_samples;
    bool is_hopeless;
};

/* ---- sections ------------------------------------------------------------------------------- */

/* What is lost of a section that is read whole or not at all. */
static void lost_whole(void *argument, const struct tsdb_section_info *info, uint64_t offset,
                       uint64_t byte_count)
{
    uint64_t *lost_bytes = argument;

    (void)info;
    (void)offset;
    *lost_bytes += byte_count;
}

/* The info, of either place. */
static enum quarry_status info_read(struct tsdb_section_file *sections,
                                    uint8_t info[TSDB_WINDOW_INFO_BYTES])
{
    uint64_t lost_bytes = 0;

    for (size_t i = 0; i < tsdb_section_file_count(sections); i++) {
        const struct tsdb_section_info section = tsdb_section_file_info(sections, i);
        if (section.kind == TSDB_SECTION_INFO && section.byte_count == TSDB_WINDOW_INFO_BYTES &&
            tsdb_section_file_read(sections, i, info, lost_whole, &lost_bytes, NULL) == QUARRY_OK) {
            return QUARRY_OK;
        }
    }
    return QUARRY_CORRUPT;
}

enum quarry_status tsdb_window_file_length(struct tsdb_section_file *sections, int64_t *ret_ms)
{
    uint8_t info[TSDB_WINDOW_INFO_BYTES];
    enum quarry_status status = info_read(sections, info);

    if (status == QUARRY_OK) {
        *ret_ms = (int64_t)endian_load_le_u64(info);
    }
    return status;
}

/* What of the log is in the file. */
static bool mark_read(struct tsdb_section_file *sections, struct tsdb_window_mark *ret_mark)
{
    uint8_t bytes[TSDB_WINDOW_LOG_BYTES];
    uint64_t lost_bytes = 0;

    for (size_t i = 0; i < tsdb_section_file_count(sections); i++) {
        const struct tsdb_section_info section = tsdb_section_file_info(sections, i);
        if (section.kind == TSDB_SECTION_LOG && section.byte_count == sizeof bytes &&
            tsdb_section_file_read(sections, i, bytes, lost_whole, &lost_bytes, NULL) ==
                QUARRY_OK) {
            uint64_t whole = endian_load_le_u64(bytes + 8);
            *ret_mark = (struct tsdb_window_mark){.log_from = endian_load_le_u64(bytes),
                                                  .whole_count = whole == 0 ? 0 : whole - 1};
            return true;
        }
    }
    return false;
}

static void lost_bytes_of_space(void *argument, const struct tsdb_section_info *info,
                                uint64_t offset, uint64_t byte_count)
{
    struct loading *loading = argument;

    loading->lost_bytes += byte_count;
    if (loading->lost_count == STRETCHES_MAX) {
        loading->is_hopeless = true;
        return;
    }
    loading->lost[loading->lost_count++] =
        (struct stretch){tsdb_space_segment_start(info->index) + offset, byte_count};
}

/* Reads the bytes of one segment to their place. */
static enum quarry_status segment_read(struct loading *loading, size_t number,
                                       const struct tsdb_section_info *info)
{
    struct tsdb_space *space = &loading->window->sealed;
    uint64_t start = tsdb_space_segment_start(info->index), at = 0;
    enum quarry_status status = tsdb_space_place(space, start, info->byte_count, &at);

    if (status == QUARRY_OK) {
        Q_ASSERT(at == start);
        status = tsdb_space_back(space, start + info->byte_count);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    loading->ends[info->index] = start + info->byte_count;
    loading->window->sealed_end = start + info->byte_count;
    status = tsdb_section_file_read(loading->sections, number, tsdb_space_at(space, start),
                                    lost_bytes_of_space, loading, NULL);
    return status == QUARRY_CORRUPT ? QUARRY_OK : status;
}

static enum quarry_status bytes_read(struct loading *loading)
{
    enum quarry_status status = QUARRY_OK;
    int64_t last = -1;

    for (size_t i = 0; i < tsdb_section_file_count(loading->sections) && status == QUARRY_OK; i++) {
        const struct tsdb_section_info info = tsdb_section_file_info(loading->sections, i);
        if (info.kind != TSDB_SECTION_BYTES || info.byte_count == 0) {
            continue;
        }
        if (info.index >= TSDB_SPACE_SEGMENTS || (int64_t)info.index <= last ||
            info.byte_count > tsdb_space_segment_bytes(info.index)) {
            return QUARRY_CORRUPT;
        }
        last = info.index;
        status = segment_read(loading, i, &info);
    }
    return loading->is_hopeless ? QUARRY_CORRUPT : status;
}

/* ---- what is kept --------------------------------------------------------------------------- */

/* Whether bytes were read, all in one segment. */
static bool is_there(const struct loading *loading, uint64_t at, uint64_t byte_count)
{
    if (at >= TSDB_SPACE_BYTES_MAX) {
        return false;
    }
    uint64_t end = loading->ends[tsdb_space_segment(at)];
    return at < end && byte_count <= end - at;
}

static bool is_whole(const struct loading *loading, uint64_t at, uint64_t byte_count)
{
    if (!is_there(loading, at, byte_count)) {
        return false;
    }
    for (uint32_t i = 0; i < loading->lost_count; i++) {
        const struct stretch *lost = &loading->lost[i];
        if (at < lost->at + lost->byte_count && lost->at < at + byte_count) {
            return false;
        }
    }
    return true;
}

/* Whether an id means here what it means in the file. */
static bool is_meant(const struct loading *loading, uint32_t id)
{
    const struct tsdb_durable_file *file = loading->file;

    if (!file->is_covered &&
        (id / 64 >= file->id_words || (file->ids[id / 64] >> (id % 64) & 1) == 0)) {
        return false;
    }
    return tsdb_registry_has(loading->durable->tsdb->registry, id);
}

static bool entry_is_good(struct loading *loading, const struct tsdb_sealed_shard *shard,
                          uint32_t shard_number, uint64_t at, int64_t last_local)
{
    const struct tsdb_window *window = loading->window;
    const struct tsdb_sealed_entry *entry = tsdb_space_at(&window->sealed, at);

    if (!is_whole(loading, at, sizeof(*entry)) || tsdb_sealed_count(entry) == 0 ||
        entry->local > UINT32_MAX / TSDB_SHARD_COUNT || (int64_t)entry->local < last_local ||
        entry->times >= shard->times_count ||
        !is_whole(loading, entry->values_at, entry->value_bytes)) {
        return false;
    }
    uint64_t times_at = shard->times_at + (uint64_t)entry->times * sizeof(struct tsdb_sealed_times);
    const struct tsdb_sealed_times *times = tsdb_space_at(&window->sealed, times_at);
    if (!is_whole(loading, times_at, sizeof(*times)) || times->count != tsdb_sealed_count(entry) ||
        !is_whole(loading, times->at, times->byte_count)) {
        return false;
    }
    bool is_known = is_meant(loading, entry->local * TSDB_SHARD_COUNT + shard_number);
    if (!is_known && loading->file->is_partial) {
        loading->left_out_samples += tsdb_sealed_count(entry);
    }
    return is_known;
}

/* Keeps the good entries of a shard, at the table's beginning. */
static void shard_keep(struct loading *loading, struct tsdb_sealed_shard *shard, uint32_t number)
{
    uint32_t count = shard->entry_count;
    struct tsdb_sealed_entry *table = tsdb_space_at(&loading->window->sealed, shard->entries_at);
    int64_t last_local = -1;

    shard->entry_count = shard->series_count = 0;
    shard->sample_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t at = shard->entries_at + (uint64_t)i * sizeof(*table);
        if (!entry_is_good(loading, shard, number, at, last_local)) {
            continue;
        }
        table[shard->entry_count++] = table[i];
        shard->series_count += (int64_t)table[i].local != last_local;
        shard->sample_count += tsdb_sealed_count(&table[i]);
        last_local = table[i].local;
    }
}

/* A shard as the info has it. Returns: false: its tables are not in the file. */
static bool shard_get(struct loading *loading, const uint8_t *from, struct tsdb_sealed_shard *shard)
{
    uint64_t entry_count = endian_load_le_u64(from + 16);
    uint64_t times_count = endian_load_le_u64(from + 24);

    *shard = (struct tsdb_sealed_shard){.entries_at = endian_load_le_u64(from),
                                        .times_at = endian_load_le_u64(from + 8),
                                        .entry_count = (uint32_t)entry_count,
                                        .times_count = (uint32_t)times_count};
    loading->sample_count += endian_load_le_u64(from + 40);
    return entry_count == 0 ||
           (entry_count <= UINT32_MAX && times_count <= UINT32_MAX && shard->entries_at % 8 == 0 &&
            shard->times_at % 8 == 0 &&
            is_there(loading, shard->entries_at, entry_count * sizeof(struct tsdb_sealed_entry)) &&
            is_there(loading, shard->times_at, times_count * sizeof(struct tsdb_sealed_times)));
}

static enum quarry_status shards_read(struct loading *loading)
{
    uint8_t info[TSDB_WINDOW_INFO_BYTES];
    enum quarry_status status = info_read(loading->sections, info);

    for (uint32_t i = 0; i < TSDB_SHARD_COUNT && status == QUARRY_OK; i++) {
        struct tsdb_sealed_shard *shard = &loading->window->sealed_shard[i];
        if (!shard_get(loading, info + 16 + 48 * i, shard)) {
            status = QUARRY_CORRUPT;
        } else if (shard->entry_count != 0) {
            shard_keep(loading, shard, i);
        } else {
            *shard = (struct tsdb_sealed_shard){.entry_count = 0};
        }
    }
    uint64_t used_bytes = endian_load_le_u64(info + 8);
    if (status == QUARRY_OK && used_bytes > loading->window->sealed_end) {
        status = QUARRY_CORRUPT;
    }
    atomic_store_relaxed_u64(&loading->window->sealed_used_bytes, used_bytes);
    return status;
}

/* ---- what follows --------------------------------------------------------------------------- */

/* Series have samples in this window; the latest of all. */
static int64_t shard_enter(struct loading *loading, uint32_t number)
{
    struct tsdb_window *window = loading->window;
    const struct tsdb_sealed_shard *shard = &window->sealed_shard[number];
    struct quarry_tsdb *tsdb = loading->durable->tsdb;
    struct os_mutex *mutex = tsdb_shard_mutex(tsdb, number);
    int64_t max_ms = INT64_MIN;

    os_mutex_lock(mutex);
    for (uint32_t i = 0; i < shard->entry_count; i++) {
        const struct tsdb_sealed_entry *entry = tsdb_sealed_entry_at(window, shard, i);
        struct tsdb_series *series =
            tsdb_registry_series(tsdb->registry, entry->local * TSDB_SHARD_COUNT + number);
        int64_t last_ms = tsdb_sealed_times_at(window, shard, entry->times)->last_ms;
        if (series->last_window < window->number) {
            series->last_window = window->number;
        }
        max_ms = last_ms > max_ms && last_ms < window->end_ms ? last_ms : max_ms;
    }
    os_mutex_unlock(mutex);
    return max_ms;
}

/* tsdb_exemplar_entry_function */
static void exemplar_meet(void *argument, uint32_t id, const struct quarry_tsdb_exemplar *exemplar)
{
    const struct loading *loading = argument;
    struct quarry_tsdb *tsdb = loading->durable->tsdb;

    quarry_epoch_enter(tsdb->epoch);
    if (is_meant(loading, id)) {
        struct tsdb_tenant *tenant =
            tsdb_limits_tenant(&tsdb->limits, tsdb_registry_series(tsdb->registry, id)->tenant);
        if (tenant != NULL) {
            tsdb_exemplars_restore(tsdb, tenant, id, loading->file->number, exemplar);
        }
    }
    quarry_epoch_leave(tsdb->epoch);
}

/* Reads one chunk of exemplars. Without memory they are left out: the window's samples are not. */
static void exemplars_read(struct loading *loading, size_t number)
{
    const struct tsdb_section_info info = tsdb_section_file_info(loading->sections, number);
    const struct tsdb_memory *memory = &loading->durable->tsdb->small[TSDB_PART_QUERY];
    size_t byte_count = (size_t)info.byte_count;
    char *bytes = byte_count == 0 ? NULL : tsdb_memory_take(memory, byte_count);

    if (bytes != NULL && tsdb_section_file_read(loading->sections, number, bytes, lost_whole,
                                                &loading->lost_bytes, NULL) == QUARRY_OK) {
        enum quarry_status status = tsdb_exemplar_chunk_read(
            memory, (struct tsdb_slice){bytes, byte_count}, exemplar_meet, loading);
        loading->lost_bytes += status == QUARRY_CORRUPT ? byte_count : 0;
    }
    tsdb_memory_give(memory, bytes);
}

/* All of them, the newest first. */
static void exemplars_enter(struct loading *loading)
{
    for (size_t i = tsdb_section_file_count(loading->sections); i > 0; i--) {
        if (tsdb_section_file_info(loading->sections, i - 1).kind == TSDB_SECTION_EXEMPLARS) {
            exemplars_read(loading, i - 1);
        }
    }
}

/* A window without anything in it, of which nothing is open. */
static enum quarry_status window_begin(struct loading *loading, struct quarry_error *error)
{
    struct quarry_tsdb *tsdb = loading->durable->tsdb;
    enum quarry_status status =
        tsdb_window_create(&tsdb->window_options, loading->file->number, &loading->window, error);

    if (status != QUARRY_OK) {
        return status;
    }
    /* Relaxed: nobody else knows it yet. */
    struct tsdb_open *open = atomic_exchange_relaxed_ptr(&loading->window->open, NULL);
    tsdb_open_destroy(loading->window, open);
    return tsdb_window_begin_sealed(loading->window, tsdb->name, tsdb->memory);
}

/* Whether it fits, with what is kept for samples and queries. */
static bool room_is_there(const struct loading *loading)
{
    struct quarry_tsdb *tsdb = loading->durable->tsdb;
    uint64_t limit_bytes = tsdb->options.memory_bytes, byte_count = 0;

    for (size_t i = 0; i < tsdb_section_file_count(loading->sections); i++) {
        const struct tsdb_section_info info = tsdb_section_file_info(loading->sections, i);
        byte_count += info.kind == TSDB_SECTION_BYTES ? info.byte_count : 0;
    }
    return limit_bytes == 0 ||
           tsdb_charged_bytes(tsdb) + byte_count + limit_bytes / TSDB_RESERVE_PART <= limit_bytes;
}

static enum quarry_status window_read(struct loading *loading, struct tsdb_window_loaded *loaded,
                                      struct quarry_error *error)
{
    enum quarry_status status =
        room_is_there(loading) ? window_begin(loading, error) : QUARRY_NO_MEMORY;

    if (status == QUARRY_OK) {
        status = bytes_read(loading);
    }
    if (status == QUARRY_OK) {
        status = shards_read(loading);
    }
    if (status != QUARRY_OK) {
        if (loading->window != NULL) {
            tsdb_window_destroy(loading->window);
        }
        return status;
    }
    exemplars_enter(loading);
    loaded->has_mark = mark_read(loading->sections, &loaded->mark);
    loaded->max_ms = INT64_MIN;
    uint64_t kept_count = 0;
    for (uint32_t i = 0; i < TSDB_SHARD_COUNT; i++) {
        int64_t max_ms = shard_enter(loading, i);
        loaded->max_ms = max_ms > loaded->max_ms ? max_ms : loaded->max_ms;
        kept_count += loading->window->sealed_shard[i].sample_count;
    }
    kept_count += loading->left_out_samples;
    loaded->left_out_samples = loading->left_out_samples;
    loaded->lost_samples =
        loading->sample_count > kept_count ? loading->sample_count - kept_count : 0;
    loaded->lost_bytes = loading->lost_bytes;
    loaded->window = loading->window;
    /* Release: pairs with the acquire in tsdb_window_is_sealed. */
    atomic_store_release_u64(&loading->window->sealed_mask, UINT64_MAX);
    return QUARRY_OK;
}

enum quarry_status tsdb_window_load(struct tsdb_durable *durable,
                                    const struct tsdb_durable_file *file,
                                    struct tsdb_window_loaded *ret_loaded,
                                    struct quarry_error *error)
{
    const struct tsdb_section_place place = tsdb_durable_place(durable, file->number);
    struct tsdb_memory *memory = &durable->tsdb->small[TSDB_PART_QUERY];
    struct loading *loading = tsdb_memory_take_zero(memory, sizeof(*loading));

    *ret_loaded = (struct tsdb_window_loaded){.window = NULL};
    if (loading == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory to read window %d", file->number);
    }
    loading->durable = durable;
    loading->file = file;
    enum quarry_status status = tsdb_section_file_open(&place, &loading->sections, error);
    if (status == QUARRY_OK) {
        status = window_read(loading, ret_loaded, error);
    }
    tsdb_section_file_close(loading->sections);
    tsdb_memory_give(memory, loading);
    return status;
}

/* ---- series --------------------------------------------------------------------------------- */

struct meaning {
    struct tsdb_durable *durable;
    struct tsdb_durable_file *file;
};

static enum quarry_status ids_add(struct meaning *meaning, uint32_t id)
{
    struct tsdb_durable_file *file = meaning->file;
    size_t words = file->id_words, word = id / 64;
    void *array = file->ids;

    if (word >= words) {
        enum quarry_status status = tsdb_memory_grow(meaning->durable->memory, &array,
                                                     &file->id_words, word + 1, sizeof(uint64_t));
        if (status != QUARRY_OK) {
            return status;
        }
        file->ids = array;
        memset(file->ids + words, 0, (file->id_words - words) * sizeof(uint64_t));
    }
    file->ids[word] |= UINT64_C(1) << (id % 64);
    return QUARRY_OK;
}

/* tsdb_series_function */
static enum quarry_status series_meet(void *argument, const struct tsdb_series_known *series)
{
    struct meaning *meaning = argument;
    bool is_known = false;
    enum quarry_status status = tsdb_registry_bring_back(meaning->durable, series, &is_known);

    return status == QUARRY_OK && is_known ? ids_add(meaning, series->id) : status;
}

static enum quarry_status chunk_meet(struct meaning *meaning, struct tsdb_section_file *sections,
                                     size_t number)
{
    const struct tsdb_section_info info = tsdb_section_file_info(sections, number);
    struct tsdb_memory *memory = &meaning->durable->tsdb->small[TSDB_PART_QUERY];
    size_t byte_count = (size_t)info.byte_count;
    uint64_t lost_bytes = 0;
    char *bytes = byte_count == 0 ? NULL : tsdb_memory_take(memory, byte_count);
    enum quarry_status status = QUARRY_OK;

    if (bytes == NULL) {
        return byte_count == 0 ? QUARRY_OK : QUARRY_NO_MEMORY;
    }
    if (tsdb_section_file_read(sections, number, bytes, lost_whole, &lost_bytes, NULL) ==
        QUARRY_OK) {
        status = tsdb_series_chunk_read(memory, (struct tsdb_slice){bytes, byte_count}, series_meet,
                                        meaning);
    }
    tsdb_memory_give(memory, bytes);
    /* What is lost of them is told with the samples that it costs. */
    return status == QUARRY_CORRUPT ? QUARRY_OK : status;
}

enum quarry_status tsdb_window_load_series(struct tsdb_durable *durable,
                                           struct tsdb_durable_file *file,
                                           struct tsdb_section_file *sections,
                                           struct quarry_error *error)
{
    struct meaning meaning = {durable, file};
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < tsdb_section_file_count(sections) && status == QUARRY_OK; i++) {
        if (tsdb_section_file_info(sections, i).kind == TSDB_SECTION_SERIES) {
            status = chunk_meet(&meaning, sections, i);
        }
    }
    return status == QUARRY_OK ? status
                               : error_set(error, status, "window %d: its series: %s", file->number,
                                           quarry_status_text(status));
}
