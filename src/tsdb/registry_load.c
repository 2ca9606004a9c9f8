/*
 * Snapshots of the registry: reading. registry_save.c says what is in one.
 *
 *     nothing known yet ──> all at once (registry_bulk.c) ── no room ──┐
 *     files' series known ─────────────────────────────────────────────┴──> one by one, by labels
 *
 * One by one a series is brought back where its id is free and its labels are new; where there is
 * no room for it, it is *left out*: the store opens without it, and with all others. It is counted,
 * and its id is not given to another while the store is open, since files have samples of it.
 *
 * Room is what a new series needs (append_series.c), so that what is known can go on.
 *
 * Invariants
 *   1. A snapshot is taken whole, or nothing of it.
 *   2. While series are left out, files that may have samples of them are partial: no snapshot
 *      covers them, and they are not put away for what is missing.
 *
 * Locking: the file work's mutex and the turn's.
 * Cost: a million series of eight labels: 0.25 s of CPU at once, on two threads in part; ten times
 * as much one by one.
 */
#include <tsdb/durable.h>

#include <stdio.h>

#include <tsdb/append.h>
#include <tsdb/registry_bulk.h>
#include <tsdb/snapshot.h>

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

static enum quarry_status restore(struct quarry_tsdb *tsdb, const struct tsdb_series_known *series,
                                  bool *ret_is_new)
{
    enum quarry_status status = QUARRY_NO_MEMORY;
    bool has_room = tsdb->options.memory_bytes == 0 || tsdb_append_room_for_series(tsdb);

    if (has_room && tsdb_limits_tenant(&tsdb->limits, series->tenant) != NULL) {
        quarry_epoch_enter(tsdb->epoch);
        status = tsdb_registry_restore(tsdb->registry, series->id, series->tenant, &series->labels,
                                       ret_is_new);
        if (status == QUARRY_OK && *ret_is_new) {
            tsdb_registry_series(tsdb->registry, series->id)->last_window = series->last_window;
        }
        quarry_epoch_leave(tsdb->epoch);
    }
    return status;
}

enum quarry_status tsdb_registry_bring_back(struct tsdb_durable *durable,
                                            const struct tsdb_series_known *series,
                                            bool *ret_is_known)
{
    struct quarry_tsdb *tsdb = durable->tsdb;
    bool is_new = false;
    enum quarry_status status = restore(tsdb, series, &is_new);

    if (status == QUARRY_OK && is_new) {
        status = tenant_count(tsdb, series->tenant);
    } else if (status == QUARRY_NO_MEMORY) {
        (void)atomic_add_relaxed_u64(&durable->counters.left_out_count, 1);
        tsdb_registry_keep_id(tsdb->registry, series->id);
    }
    *ret_is_known = status == QUARRY_OK;
    return QUARRY_OK;
}

/* ---- sections ------------------------------------------------------------------------------- */

struct bringing {
    struct tsdb_durable *durable;
    struct tsdb_section_file *sections;
    int32_t window_min;
    bool marks;      /* files as covered */
    bool is_at_once; /* else one by one */
    struct tsdb_registry_bulk bulk;
    /* one by one: where symbols are, by number; the sections that they lie in */
    const uint8_t **symbols;
    size_t symbol_capacity;
    uint8_t **kept;
    size_t kept_count, kept_capacity;
};

static void part_lost(void *argument, const struct tsdb_section_info *info, uint64_t offset,
                      uint64_t byte_count)
{
    (void)argument;
    (void)info;
    (void)offset;
    (void)byte_count; /* reading says QUARRY_CORRUPT */
}

/* Of a section, some bytes at a time. */
struct bytes {
    const uint8_t *at, *end;
};

/* Passes so many bytes. NULL: there are not as many. */
static const uint8_t *bytes_take(struct bytes *bytes, size_t count)
{
    const uint8_t *at = bytes->at;

    if ((size_t)(bytes->end - at) < count) {
        return NULL;
    }
    bytes->at += count;
    return at;
}

/* Reads a section whole. `ret_bytes`: own. */
static enum quarry_status section_read(struct bringing *bringing, size_t number,
                                       uint8_t **ret_bytes, struct bytes *ret_all)
{
    const struct tsdb_section_info info = tsdb_section_file_info(bringing->sections, number);
    struct tsdb_memory *memory = &bringing->durable->tsdb->small[TSDB_PART_QUERY];
    size_t byte_count = (size_t)info.byte_count;

    *ret_bytes = tsdb_memory_take(memory, size_max(byte_count, 1));
    if (*ret_bytes == NULL) {
        return QUARRY_NO_MEMORY;
    }
    enum quarry_status status =
        tsdb_section_file_read(bringing->sections, number, *ret_bytes, part_lost, NULL, NULL);
    *ret_all = (struct bytes){*ret_bytes, *ret_bytes + byte_count};
    if (status != QUARRY_OK) {
        tsdb_memory_give(memory, *ret_bytes);
    }
    return status;
}

/* ---- info ----------------------------------------------------------------------------------- */

/* The files that it covers: whether they are the same, their salts will tell. */
static enum quarry_status info_take(struct bringing *bringing, struct bytes bytes)
{
    struct tsdb_durable *durable = bringing->durable;
    const uint8_t *head = bytes_take(&bytes, TSDB_SNAPSHOT_INFO_BYTES), *at;

    if (head == NULL || endian_load_le_u64(head + 16) !=
                            (size_t)(bytes.end - bytes.at) / TSDB_SNAPSHOT_FILE_BYTES) {
        return QUARRY_CORRUPT;
    }
    if ((int64_t)endian_load_le_u64(head) != durable->tsdb->options.window_ms) {
        return QUARRY_BAD_INPUT;
    }
    while (bringing->marks && (at = bytes_take(&bytes, TSDB_SNAPSHOT_FILE_BYTES)) != NULL) {
        int64_t number = (int64_t)endian_load_le_u64(at);
        struct tsdb_durable_file *file = number < INT32_MIN || number > INT32_MAX
                                             ? NULL
                                             : tsdb_durable_file_of(durable, (int32_t)number);
        if (file != NULL) {
            file->salt = endian_load_le_u64(at + 8);
            file->is_covered = true;
        }
    }
    return QUARRY_OK;
}

/* ---- symbols -------------------------------------------------------------------------------- */

/* Of a symbol's bytes. */
static struct tsdb_slice symbol_text(const uint8_t *from)
{
    return (struct tsdb_slice){(const char *)from + TSDB_SNAPSHOT_SYMBOL_BYTES,
                               endian_load_le_u32(from + 8)};
}

static const uint8_t *symbol_at(const struct bringing *bringing, uint32_t number)
{
    return number < bringing->symbol_capacity ? bringing->symbols[number] : NULL;
}

/* Remembers where a symbol's bytes are. */
static enum quarry_status symbol_note(struct bringing *bringing, const uint8_t *from)
{
    uint32_t number = endian_load_le_u32(from);
    size_t before = bringing->symbol_capacity;
    void *array = (void *)bringing->symbols;

    if (number >= TSDB_SYMBOLS_MAX) {
        return QUARRY_CORRUPT;
    }
    if (number >= before) {
        enum quarry_status status =
            tsdb_memory_grow(&bringing->durable->tsdb->small[TSDB_PART_QUERY], &array,
                             &bringing->symbol_capacity, (size_t)number + 1, sizeof(uint8_t *));
        if (status != QUARRY_OK) {
            return status;
        }
        bringing->symbols = array;
        for (size_t i = before; i < bringing->symbol_capacity; i++) {
            bringing->symbols[i] = NULL;
        }
    }
    bringing->symbols[number] = from;
    return QUARRY_OK;
}

static enum quarry_status symbols_take(struct bringing *bringing, struct bytes bytes)
{
    enum quarry_status status = QUARRY_OK;

    while (status == QUARRY_OK && bytes.at != bytes.end) {
        const uint8_t *from = bytes_take(&bytes, TSDB_SNAPSHOT_SYMBOL_BYTES);
        if (from == NULL || bytes_take(&bytes, endian_load_le_u32(from + 8)) == NULL) {
            return QUARRY_CORRUPT;
        }
        status = bringing->is_at_once
                     ? tsdb_registry_bulk_symbol(&bringing->bulk, endian_load_le_u32(from),
                                                 endian_load_le_u32(from + 4), symbol_text(from))
                     : symbol_note(bringing, from);
    }
    return status;
}

/* ---- series --------------------------------------------------------------------------------- */

/* A label by the number of its value. Returns: false: there is no such value. */
static bool label_of(const struct bringing *bringing, uint32_t number, struct tsdb_label *ret_label)
{
    const uint8_t *value = symbol_at(bringing, number);
    const uint8_t *name = value == NULL ? NULL : symbol_at(bringing, endian_load_le_u32(value + 4));

    if (name == NULL) {
        return false;
    }
    *ret_label = (struct tsdb_label){.name = symbol_text(name), .value = symbol_text(value)};
    return true;
}

static enum quarry_status one_bring(struct bringing *bringing,
                                    const struct tsdb_registry_bulk_series *series)
{
    struct tsdb_label labels[TSDB_LABELS_MAX];
    bool is_known;

    for (uint32_t i = 0; i < series->label_count; i++) {
        uint32_t number = endian_load_le_u32(series->numbers + TSDB_SNAPSHOT_LABEL_BYTES * i);
        if (!label_of(bringing, number, &labels[i])) {
            return QUARRY_CORRUPT;
        }
    }
    const struct tsdb_series_known known = {.id = series->id,
                                            .last_window = series->last_window,
                                            .tenant = series->tenant,
                                            .labels = {labels, series->label_count}};
    if (series->id == TSDB_SERIES_NONE || !tsdb_labels_are_valid(&known.labels)) {
        return QUARRY_CORRUPT;
    }
    enum quarry_status status = tsdb_registry_bring_back(bringing->durable, &known, &is_known);
    bringing->durable->has_contradiction |= status == QUARRY_OK && !is_known;
    return status;
}

static enum quarry_status one_take(struct bringing *bringing,
                                   const struct tsdb_registry_bulk_series *series)
{
    if (series->last_window < bringing->window_min) {
        return QUARRY_OK;
    }
    if (!bringing->is_at_once) {
        return one_bring(bringing, series);
    }
    return tsdb_registry_bulk_series(&bringing->bulk, series);
}

/* Whether all that has been added has room, with what is kept for its samples. */
static bool bulk_has_room(const struct bringing *bringing)
{
    struct quarry_tsdb *tsdb = bringing->durable->tsdb;
    uint64_t limit_bytes = tsdb->options.memory_bytes;
    uint64_t kept_bytes = (uint64_t)tsdb_registry_count(tsdb->registry) * TSDB_SERIES_RESERVE_BYTES;

    return limit_bytes == 0 || tsdb_charged_bytes(tsdb) + tsdb_registry_bulk_need(&bringing->bulk) +
                                       kept_bytes + limit_bytes / TSDB_RESERVE_PART <=
                                   limit_bytes;
}

static enum quarry_status series_take(struct bringing *bringing, struct bytes bytes)
{
    enum quarry_status status = QUARRY_OK;

    while (status == QUARRY_OK && bytes.at != bytes.end) {
        const uint8_t *from = bytes_take(&bytes, TSDB_SNAPSHOT_SERIES_BYTES);
        uint32_t word = from == NULL ? 0 : endian_load_le_u32(from + 8);
        const struct tsdb_registry_bulk_series series = {
            .id = from == NULL ? 0 : endian_load_le_u32(from),
            .last_window = from == NULL ? 0 : (int32_t)endian_load_le_u32(from + 4),
            .tenant = (uint16_t)word,
            .label_count = (uint8_t)(word >> 16),
            .numbers = bytes_take(&bytes, TSDB_SNAPSHOT_LABEL_BYTES * (size_t)(word >> 16 & 0xff)),
        };
        if (from == NULL || series.numbers == NULL || word >> 24 != 0) {
            return QUARRY_CORRUPT;
        }
        status = one_take(bringing, &series);
    }
    return status == QUARRY_OK && bringing->is_at_once && !bulk_has_room(bringing)
               ? QUARRY_NO_MEMORY
               : status;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static struct tsdb_memory *memory_of(const struct bringing *bringing)
{
    return &bringing->durable->tsdb->small[TSDB_PART_QUERY];
}

/* Has room to keep one section more. */
static enum quarry_status kept_reserve(struct bringing *bringing)
{
    void *array = (void *)bringing->kept;
    enum quarry_status status =
        tsdb_memory_grow(memory_of(bringing), &array, &bringing->kept_capacity,
                         bringing->kept_count + 1, sizeof(*bringing->kept));

    bringing->kept = array;
    return status;
}

static enum quarry_status section_take(struct bringing *bringing, size_t number, uint32_t kind)
{
    uint8_t *bytes = NULL;
    struct bytes all;
    enum quarry_status status = kept_reserve(bringing);

    if (status == QUARRY_OK) {
        status = section_read(bringing, number, &bytes, &all);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    if (kind == TSDB_SECTION_INFO) {
        status = info_take(bringing, all);
    } else {
        status =
            kind == TSDB_SECTION_SYMBOLS ? symbols_take(bringing, all) : series_take(bringing, all);
    }
    if (kind == TSDB_SECTION_SYMBOLS && !bringing->is_at_once) {
        bringing->kept[bringing->kept_count++] = bytes;
    } else {
        tsdb_memory_give(memory_of(bringing), bytes);
    }
    return status;
}

/* All sections of a kind. */
static enum quarry_status kind_take(struct bringing *bringing, uint32_t kind)
{
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < tsdb_section_file_count(bringing->sections) && status == QUARRY_OK;
         i++) {
        if (tsdb_section_file_info(bringing->sections, i).kind == kind) {
            status = section_take(bringing, i, kind);
        }
    }
    return status;
}

static void kept_give(struct bringing *bringing)
{
    for (size_t i = 0; i < bringing->kept_count; i++) {
        tsdb_memory_give(memory_of(bringing), bringing->kept[i]);
    }
    tsdb_memory_give(memory_of(bringing), (void *)bringing->kept);
    tsdb_memory_give(memory_of(bringing), (void *)bringing->symbols);
    bringing->kept = NULL;
    bringing->symbols = NULL;
    bringing->kept_count = bringing->kept_capacity = bringing->symbol_capacity = 0;
}

static enum quarry_status series_all_take(struct bringing *bringing)
{
    enum quarry_status status = kind_take(bringing, TSDB_SECTION_SYMBOLS);

    if (status == QUARRY_OK) {
        status = kind_take(bringing, TSDB_SECTION_LABELS);
    }
    kept_give(bringing);
    return status;
}

/* Those that came at once. */
static enum quarry_status tenants_count(struct quarry_tsdb *tsdb)
{
    enum quarry_status status = QUARRY_OK;

    for (uint32_t tenant = 0; tenant <= UINT16_MAX; tenant++) {
        uint32_t count = tsdb_registry_tenant_count(tsdb->registry, (uint16_t)tenant);
        for (uint32_t i = 0; i < count && status == QUARRY_OK; i++) {
            status = tenant_count(tsdb, (uint16_t)tenant);
        }
    }
    return status;
}

static enum quarry_status bring_at_once(struct bringing *bringing)
{
    struct quarry_tsdb *tsdb = bringing->durable->tsdb;

    bringing->is_at_once = true;
    tsdb_registry_bulk_begin(&bringing->bulk, tsdb->registry, memory_of(bringing));
    bringing->bulk.has_no_thread = tsdb->options.has_no_thread;
    enum quarry_status status = series_all_take(bringing);
    if (status == QUARRY_OK) {
        status = tsdb_registry_bulk_finish(&bringing->bulk);
    }
    if (status == QUARRY_OK) {
        return QUARRY_OK;
    }
    tsdb_registry_bulk_abandon(&bringing->bulk);
    bringing->is_at_once = false;
    return status;
}

static enum quarry_status bring(struct bringing *bringing)
{
    enum quarry_status status = QUARRY_NO_MEMORY;

    if (tsdb_registry_count(bringing->durable->tsdb->registry) == 0) {
        status = bring_at_once(bringing);
        if (status == QUARRY_OK) {
            /* Not one by one if it fails: the series are known by now, and would not be counted. */
            return tenants_count(bringing->durable->tsdb);
        }
    }
    return status == QUARRY_NO_MEMORY ? series_all_take(bringing) : status;
}

static void snapshot_lost(struct tsdb_durable *durable, uint64_t generation)
{
    struct quarry_tsdb_loss loss = {
        .kind = QUARRY_TSDB_LOSS_SNAPSHOT, .from_ms = INT64_MAX, .to_ms = INT64_MIN};

    (void)snprintf(loss.file, sizeof loss.file, "snapshot-%06llu.qts",
                   (unsigned long long)generation);
    tsdb_durable_lost(durable, &loss);
}

static struct tsdb_snapshot_options options_of(const struct tsdb_durable *durable)
{
    return (struct tsdb_snapshot_options){
        .vfs = durable->vfs, .directory = durable->directory, .memory = durable->memory};
}

enum quarry_status tsdb_registry_mark(struct tsdb_durable *durable, struct quarry_error *error)
{
    const struct tsdb_snapshot_options options = options_of(durable);
    struct bringing bringing = {.durable = durable, .marks = true};
    uint64_t below = UINT64_MAX, generation = 0;

    for (;;) {
        enum quarry_status status =
            tsdb_snapshot_open(&options, below, &bringing.sections, &generation, error);
        if (status == QUARRY_NOT_FOUND || status == QUARRY_NO_MEMORY) {
            return status;
        }
        if (status == QUARRY_OK) {
            status = kind_take(&bringing, TSDB_SECTION_INFO);
            kept_give(&bringing);
            tsdb_section_file_close(bringing.sections);
        } else if (generation == 0 || generation >= below) {
            return status; /* the directory cannot be listed */
        }
        if (status == QUARRY_OK || status == QUARRY_NO_MEMORY || status == QUARRY_BAD_INPUT) {
            durable->snapshot_generation = status == QUARRY_OK ? generation : 0;
            return status == QUARRY_OK
                       ? status
                       : error_set(error, status, "'%.150s': snapshot %llu: %s", durable->directory,
                                   (unsigned long long)generation, quarry_status_text(status));
        }
        snapshot_lost(durable, generation);
        below = generation;
        generation = 0;
    }
}

enum quarry_status tsdb_registry_load(struct tsdb_durable *durable, int32_t window_min,
                                      struct quarry_error *error)
{
    const struct tsdb_snapshot_options options = options_of(durable);
    struct bringing bringing = {.durable = durable, .window_min = window_min};
    uint64_t generation = durable->snapshot_generation;

    if (generation == 0) {
        return QUARRY_NOT_FOUND;
    }
    enum quarry_status status =
        tsdb_snapshot_open(&options, generation + 1, &bringing.sections, &generation, error);
    if (status == QUARRY_OK) {
        status = bring(&bringing);
        tsdb_section_file_close(bringing.sections);
    }
    if (status != QUARRY_OK) {
        snapshot_lost(durable, generation);
        durable->snapshot_generation = 0;
        /* Files have been marked by it. */
        status = status == QUARRY_NO_MEMORY ? status : QUARRY_CORRUPT;
    }
    return status == QUARRY_OK
               ? status
               : error_set(error, status, "'%.150s': snapshot %llu: %s", durable->directory,
                           (unsigned long long)generation, quarry_status_text(status));
}
