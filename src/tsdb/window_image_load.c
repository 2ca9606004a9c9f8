/*
 * Images of open windows: reading. window_image.c says what is in them.
 *
 *     info ──> windows, of which those are made that are wanted
 *     chains, chunklets ──> to their places
 *     links ──> within what was handed out, and only onwards: no chain comes back to itself
 *     heads ──> checked, and put into the registry's records
 *     all well ──> the windows are shown; else heads and windows go, and the log is replayed
 *
 * A file's checksums tell damage from what was written; what else there may be in it cannot make
 * anybody read or write beyond a window's memory, or go round in a chain: places are bounded, links
 * of chains in order rise and those of late ones fall, and a head is of the end of a chain, in the
 * window in which its time is. Samples' bits are bounded by who reads them (head_read.c).
 *
 * Invariants
 *   1. Of a window that is shown, every chain is of a series that is there, and has its head in
 *      this window, or the series goes on in a later one.
 *
 * Locking: the file work's mutex; the turn's where windows are shown, shards' for records.
 * Cost: reading and a checksum; 10 ns a chunklet, 20 a series.
 */
#include <tsdb/window_image.h>

#include <tsdb/append.h>
#include <tsdb/decimal.h>
#include <tsdb/head_step.h>
#include <tsdb/snapshot.h>

#include <stdio.h>

struct image {
    struct tsdb_window *window; /* own; NULL: it is not wanted */
    int32_t number;
    uint64_t from; /* the log's first segment that it does not have */
    uint32_t used[TSDB_SHARD_COUNT];
    uint64_t chain_bytes; /* read */
    uint64_t chunklet_bytes[TSDB_SHARD_COUNT];
    uint8_t *marks[TSDB_SHARD_COUNT]; /* own; of each chunklet, by its number: see mark_of */
};

struct loading {
    struct tsdb_durable *durable;
    struct tsdb_section_file *sections;
    uint32_t count;
    int64_t max_ms; /* of heads */
    struct image images[TSDB_VIEW_WINDOWS_MAX];
};

static void part_lost(void *argument, const struct tsdb_section_info *info, uint64_t offset,
                      uint64_t byte_count)
{
    (void)argument;
    (void)info;
    (void)offset;
    (void)byte_count; /* reading says QUARRY_CORRUPT */
}

static enum quarry_status section_read(struct loading *loading, size_t number, void *buffer)
{
    return tsdb_section_file_read(loading->sections, number, buffer, part_lost, NULL, NULL);
}

/* ---- windows -------------------------------------------------------------------------------- */

/* Has addresses and pages for so many bytes more of a space, in a segment. */
static enum quarry_status segment_read(struct loading *loading, size_t number,
                                       struct tsdb_space *space, uint32_t segment,
                                       uint64_t *read_bytes)
{
    const struct tsdb_section_info info = tsdb_section_file_info(loading->sections, number);

    if (segment >= TSDB_SPACE_SEGMENTS || tsdb_space_segment_start(segment) != *read_bytes ||
        info.byte_count == 0 || info.byte_count > tsdb_space_segment_bytes(segment)) {
        return QUARRY_CORRUPT;
    }
    enum quarry_status status = tsdb_space_back(space, *read_bytes + info.byte_count);
    if (status == QUARRY_OK) {
        status = section_read(loading, number, tsdb_space_at(space, *read_bytes));
        *read_bytes += info.byte_count;
    }
    return status;
}

static enum quarry_status info_read(struct loading *loading, size_t number)
{
    const struct tsdb_section_info info = tsdb_section_file_info(loading->sections, number);
    uint8_t bytes[TSDB_WINDOW_IMAGE_INFO_BYTES];

    if (info.index != loading->count || loading->count == TSDB_VIEW_WINDOWS_MAX ||
        info.byte_count != sizeof bytes) {
        return QUARRY_CORRUPT;
    }
    enum quarry_status status = section_read(loading, number, bytes);
    int64_t window = (int64_t)endian_load_le_u64(bytes);
    if (status != QUARRY_OK || window <= INT32_MIN || window >= INT32_MAX ||
        (loading->count != 0 && window <= loading->images[loading->count - 1].number)) {
        return QUARRY_CORRUPT;
    }
    struct image *image = &loading->images[loading->count++];
    *image = (struct image){.number = (int32_t)window, .from = endian_load_le_u64(bytes + 8)};
    for (uint32_t i = 0; i < TSDB_SHARD_COUNT; i++) {
        image->used[i] = endian_load_le_u32(bytes + 16 + 4 * i);
    }
    return QUARRY_OK;
}

static enum quarry_status infos_read(struct loading *loading)
{
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < tsdb_section_file_count(loading->sections) && status == QUARRY_OK; i++) {
        if (tsdb_section_file_info(loading->sections, i).kind == TSDB_SECTION_OPEN_INFO) {
            status = info_read(loading, i);
        }
    }
    return status;
}

/* Whether a window is neither in a file nor too old, nor purged since: its log is still there. */
static bool is_wanted(struct loading *loading, const struct image *image)
{
    struct tsdb_durable *durable = loading->durable;
    int64_t newest = loading->images[loading->count - 1].number, window = INT32_MIN;
    bool has_log = false;

    for (uint32_t i = 0; i < durable->file_count; i++) {
        newest = durable->files[i].number > newest ? durable->files[i].number : newest;
    }
    while (window < INT32_MAX && tsdb_log_next_window(durable->log, window, &window)) {
        newest = window > newest && window < INT32_MAX ? window : newest;
        has_log = has_log || window == image->number;
        window++;
    }
    return has_log && tsdb_durable_file_of(durable, image->number) == NULL &&
           image->number >= newest - durable->tsdb->options.window_count;
}

/* Whether all of it fits, with what is kept for samples and queries. */
static bool room_is_there(const struct loading *loading)
{
    struct quarry_tsdb *tsdb = loading->durable->tsdb;
    uint64_t limit_bytes = tsdb->options.memory_bytes, byte_count = 0;

    for (size_t i = 0; i < tsdb_section_file_count(loading->sections); i++) {
        const struct tsdb_section_info info = tsdb_section_file_info(loading->sections, i);
        bool is_window =
            info.kind == TSDB_SECTION_OPEN_CHAINS || info.kind == TSDB_SECTION_OPEN_CHUNKLETS;
        byte_count += is_window ? info.byte_count : 0;
    }
    return limit_bytes == 0 ||
           tsdb_charged_bytes(tsdb) + byte_count + limit_bytes / TSDB_RESERVE_PART <= limit_bytes;
}

static enum quarry_status windows_make(struct loading *loading)
{
    struct quarry_tsdb *tsdb = loading->durable->tsdb;
    enum quarry_status status = room_is_there(loading) ? QUARRY_OK : QUARRY_NO_MEMORY;

    for (uint32_t i = 0; i < loading->count && status == QUARRY_OK; i++) {
        struct image *image = &loading->images[i];
        if (is_wanted(loading, image)) {
            status = tsdb_window_create(&tsdb->window_options, image->number, &image->window, NULL);
        }
    }
    return status;
}

static enum quarry_status space_read(struct loading *loading, size_t number)
{
    const struct tsdb_section_info info = tsdb_section_file_info(loading->sections, number);
    uint32_t place = info.index >> 16, shard = info.index >> 8 & 0xff, segment = info.index & 0xff;

    if (place >= loading->count || shard >= TSDB_SHARD_COUNT) {
        return QUARRY_CORRUPT;
    }
    struct image *image = &loading->images[place];
    if (image->window == NULL) {
        return QUARRY_OK;
    }
    struct tsdb_open *open = tsdb_window_open(image->window);
    return info.kind == TSDB_SECTION_OPEN_CHAINS
               ? segment_read(loading, number, &open->chains, segment, &image->chain_bytes)
               : segment_read(loading, number, &open->shard[shard].chunklets, segment,
                              &image->chunklet_bytes[shard]);
}

static enum quarry_status spaces_read(struct loading *loading)
{
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < tsdb_section_file_count(loading->sections) && status == QUARRY_OK; i++) {
        uint32_t kind = tsdb_section_file_info(loading->sections, i).kind;
        if (kind == TSDB_SECTION_OPEN_CHAINS || kind == TSDB_SECTION_OPEN_CHUNKLETS) {
            status = space_read(loading, i);
        }
    }
    return status;
}

/* ---- links ---------------------------------------------------------------------------------- */

/* Whether a chunklet says what one may. */
static bool chunklet_is_sound(const struct tsdb_chunklet_view *view, uint32_t number, uint32_t used)
{
    bool ends = view->next == TSDB_CHUNKLET_NONE;

    if (view->used_bits > TSDB_CHUNKLET_PAYLOAD_BITS || view->count == 0) {
        return false;
    }
    if (view->kind == TSDB_CHUNKLET_FLOATS) {
        return ends || (view->next > number && view->next <= used);
    }
    return view->kind == TSDB_CHUNKLET_LATE && view->count <= TSDB_CHUNKLET_LATE_MAX &&
           (ends || view->next < number);
}

/* What is asked of a chunklet later, when it is out of the caches: its kind, and whether it is the
 * end of its chain. */
static uint8_t mark_of(enum tsdb_chunklet_kind kind, bool ends)
{
    return (uint8_t)((uint32_t)kind | (ends ? 0x80u : 0));
}

static enum quarry_status shard_check(struct loading *loading, struct image *image, uint32_t number)
{
    const struct tsdb_memory *memory = &loading->durable->tsdb->small[TSDB_PART_QUERY];
    struct tsdb_open_shard *shard = &tsdb_window_open(image->window)->shard[number];
    uint32_t used = image->used[number];
    uint64_t sample_count = 0;

    if (image->chunklet_bytes[number] != (uint64_t)used * TSDB_CHUNKLET_BYTES) {
        return QUARRY_CORRUPT;
    }
    uint8_t *marks = image->marks[number] = tsdb_memory_take(memory, (size_t)used + 1);
    if (marks == NULL) {
        return QUARRY_NO_MEMORY;
    }
    marks[0] = 0;
    for (uint32_t i = 1; i <= used; i++) {
        const struct tsdb_chunklet_view view = tsdb_chunklet_look(tsdb_open_chunklet(shard, i));
        if (!chunklet_is_sound(&view, i, used)) {
            return QUARRY_CORRUPT;
        }
        marks[i] = mark_of(view.kind, view.next == TSDB_CHUNKLET_NONE);
        sample_count += view.count;
    }
    shard->used_count = used;
    /* Relaxed: nobody else knows the window yet. */
    atomic_store_relaxed_u64(&shard->sample_count, sample_count);
    atomic_store_relaxed_u64(&shard->used_bytes, image->chunklet_bytes[number]);
    return QUARRY_OK;
}

static enum quarry_status links_check(struct loading *loading)
{
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = 0; i < loading->count; i++) {
        struct image *image = &loading->images[i];
        for (uint32_t k = 0; image->window != NULL && k < TSDB_SHARD_COUNT && status == QUARRY_OK;
             k++) {
            status = shard_check(loading, image, k);
        }
    }
    return status;
}

/* Whether a chunklet is there, of a kind. */
static bool is_kind(const struct image *image, uint32_t shard, uint32_t number,
                    enum tsdb_chunklet_kind kind)
{
    return number <= image->used[shard] && (image->marks[shard][number] & 0x7f) == kind;
}

/* ---- heads ---------------------------------------------------------------------------------- */

static bool scale_is_sound(uint32_t scale)
{
    return scale <= TSDB_DECIMAL_KIB || scale == HEAD_SCALE_NONE || scale == HEAD_SCALE_XOR ||
           (scale >= TSDB_NEARLY && scale <= TSDB_NEARLY + TSDB_NEARLY_SCALE_MAX);
}

/* Whether a head is one of a chain's end in a window. */
static bool head_is_sound(const struct image *image, uint32_t shard, const struct tsdb_head *head)
{
    const struct tsdb_window *window = image->window;

    return head->tail <= image->used[shard] &&
           image->marks[shard][head->tail] == mark_of(TSDB_CHUNKLET_FLOATS, true) &&
           head->t_ms >= window->start_ms && head->t_ms < window->end_ms &&
           scale_is_sound(head->scale) && head->order <= HEAD_ORDER_MAX &&
           head->shift + head->width <= 64 && head->is_fresh <= 1 && head->age <= 2;
}

static const struct image *image_of(const struct loading *loading, int32_t number)
{
    for (uint32_t i = 0; i < loading->count; i++) {
        if (loading->images[i].number == number && loading->images[i].window != NULL) {
            return &loading->images[i];
        }
    }
    return NULL;
}

/* Puts one record's head into the series, if it is of a window that is read. */
static bool head_take(struct loading *loading, uint32_t id, const struct tsdb_series *from)
{
    struct quarry_tsdb *tsdb = loading->durable->tsdb;
    const struct image *image = image_of(loading, from->last_window);
    uint32_t shard = tsdb_shard_of(id);

    if (image == NULL || from->head.tail == TSDB_CHUNKLET_NONE) {
        return true;
    }
    if (!head_is_sound(image, shard, &from->head)) {
        return false;
    }
    struct tsdb_series *series = tsdb_registry_series(tsdb->registry, id);
    os_mutex_lock(tsdb_shard_mutex(tsdb, shard));
    bool is_newer = series->last_window <= from->last_window;
    if (is_newer) {
        series->head = from->head;
        series->last_window = from->last_window;
    }
    os_mutex_unlock(tsdb_shard_mutex(tsdb, shard));
    if (!is_newer) {
        return false; /* a file says that it went on: the log is replayed, whole */
    }
    loading->max_ms = from->head.t_ms > loading->max_ms ? from->head.t_ms : loading->max_ms;
    return true;
}

static enum quarry_status heads_take(struct loading *loading, const struct tsdb_series *records,
                                     uint32_t first, size_t count)
{
    const struct tsdb_table *table = &loading->durable->tsdb->registry->series;
    uint32_t id = first == 0 ? 0 : first - 1;

    /* Nobody else makes or removes series before the store is ready. */
    while ((id = tsdb_table_next(table, id)) != 0 && id - first < count) {
        if (!head_take(loading, id, &records[id - first])) {
            return QUARRY_CORRUPT;
        }
    }
    return QUARRY_OK;
}

static enum quarry_status heads_read(struct loading *loading)
{
    const uint32_t ids = TSDB_WINDOW_IMAGE_CHUNKS * TSDB_TABLE_CHUNK_ENTRIES;
    const size_t byte_count = ids * sizeof(struct tsdb_series);
    const struct tsdb_memory *memory = &loading->durable->tsdb->small[TSDB_PART_QUERY];
    struct tsdb_series *records = tsdb_memory_take_aligned(memory, byte_count, Q_CACHE_LINE_BYTES);
    enum quarry_status status = records == NULL ? QUARRY_NO_MEMORY : QUARRY_OK;

    for (size_t i = 0; i < tsdb_section_file_count(loading->sections) && status == QUARRY_OK; i++) {
        const struct tsdb_section_info info = tsdb_section_file_info(loading->sections, i);
        if (info.kind != TSDB_SECTION_OPEN_HEADS) {
            continue;
        }
        if (info.byte_count > byte_count || info.index > UINT32_MAX / ids) {
            status = QUARRY_CORRUPT;
            break;
        }
        status = section_read(loading, i, records);
        if (status == QUARRY_OK) {
            status = heads_take(loading, records, info.index * ids,
                                (size_t)info.byte_count / sizeof(struct tsdb_series));
        }
    }
    tsdb_memory_give(memory, records);
    return status;
}

/* As if those had not been read whose window is not shown. */
static void heads_forget(struct loading *loading)
{
    struct quarry_tsdb *tsdb = loading->durable->tsdb;
    uint32_t id = 0;

    while ((id = tsdb_table_next(&tsdb->registry->series, id)) != 0) {
        struct tsdb_series *series = tsdb_registry_series(tsdb->registry, id);
        os_mutex_lock(tsdb_shard_mutex(tsdb, tsdb_shard_of(id)));
        if (tsdb_durable_image_of(loading->durable, series->last_window) == NULL) {
            series->head = (struct tsdb_head){.age = 0};
        }
        os_mutex_unlock(tsdb_shard_mutex(tsdb, tsdb_shard_of(id)));
    }
}

/* ---- chains --------------------------------------------------------------------------------- */

/* Invariant 1, of one chain. */
static bool chain_is_sound(const struct loading *loading, const struct image *image, uint32_t id,
                           const struct tsdb_chain *chain)
{
    const struct tsdb_registry *registry = loading->durable->tsdb->registry;
    uint32_t shard = tsdb_shard_of(id);
    uint32_t first = atomic_load_relaxed_u32(&chain->first);
    uint32_t late = atomic_load_relaxed_u32(&chain->late);

    if (first == TSDB_CHUNKLET_NONE && late == TSDB_CHUNKLET_NONE) {
        return true;
    }
    if (!tsdb_table_has(&registry->series, id) ||
        (first != TSDB_CHUNKLET_NONE && !is_kind(image, shard, first, TSDB_CHUNKLET_FLOATS)) ||
        (late != TSDB_CHUNKLET_NONE && !is_kind(image, shard, late, TSDB_CHUNKLET_LATE))) {
        return false;
    }
    const struct tsdb_series *series = tsdb_registry_series(registry, id);
    return first == TSDB_CHUNKLET_NONE ||
           (series->head.tail != TSDB_CHUNKLET_NONE && series->last_window >= image->number);
}

static bool chains_check(const struct loading *loading)
{
    for (uint32_t i = 0; i < loading->count; i++) {
        const struct image *image = &loading->images[i];
        const struct tsdb_open *open =
            image->window == NULL ? NULL : tsdb_window_open(image->window);
        uint64_t count = image->chain_bytes / sizeof(struct tsdb_chain);
        for (uint64_t id = 0; open != NULL && id < count && id <= UINT32_MAX; id++) {
            const struct tsdb_chain *chain = tsdb_open_chain(open, (uint32_t)id);
            if (chain != NULL && !chain_is_sound(loading, image, (uint32_t)id, chain)) {
                return false;
            }
        }
    }
    return true;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static enum quarry_status images_read(struct loading *loading)
{
    enum quarry_status status = infos_read(loading);

    if (status == QUARRY_OK && loading->count != 0) {
        status = windows_make(loading);
    }
    if (status == QUARRY_OK) {
        status = spaces_read(loading);
    }
    if (status == QUARRY_OK) {
        status = links_check(loading);
    }
    if (status == QUARRY_OK && loading->count != 0) {
        status = heads_read(loading);
    }
    return status == QUARRY_OK && !chains_check(loading) ? QUARRY_CORRUPT : status;
}

/* Shows the windows, the newest first, so that heads of those that are shown are of them. One that
 * cannot be shown is replayed, and those before it. */
static enum quarry_status images_show(struct loading *loading)
{
    struct tsdb_durable *durable = loading->durable;
    struct quarry_tsdb *tsdb = durable->tsdb;
    enum quarry_status status = QUARRY_OK;
    uint32_t purged_count = 0;

    os_mutex_lock(&tsdb->turn_mutex);
    for (uint32_t i = loading->count; i > 0 && status == QUARRY_OK; i--) {
        struct image *image = &loading->images[i - 1];
        if (image->window != NULL) {
            status = tsdb_views_change(&tsdb->views, image->window, INT32_MIN, &purged_count);
        }
        if (image->window != NULL && status == QUARRY_OK) {
            durable->images[durable->image_count++] =
                (struct tsdb_durable_image){image->number, image->from};
            image->window = NULL; /* given */
        }
    }
    os_mutex_unlock(&tsdb->turn_mutex);
    return status;
}

static void snapshot_lost(struct tsdb_durable *durable)
{
    struct quarry_tsdb_loss loss = {
        .kind = QUARRY_TSDB_LOSS_SNAPSHOT, .from_ms = INT64_MAX, .to_ms = INT64_MIN};

    (void)snprintf(loss.file, sizeof loss.file, "snapshot-%06llu.qts",
                   (unsigned long long)durable->snapshot_generation);
    tsdb_durable_lost(durable, &loss);
}

static void marks_give(struct loading *loading)
{
    const struct tsdb_memory *memory = &loading->durable->tsdb->small[TSDB_PART_QUERY];

    for (uint32_t i = 0; i < loading->count; i++) {
        for (uint32_t k = 0; k < TSDB_SHARD_COUNT; k++) {
            tsdb_memory_give(memory, loading->images[i].marks[k]);
        }
    }
}

static void images_load(struct loading *loading)
{
    struct tsdb_durable *durable = loading->durable;
    enum quarry_status status = images_read(loading);

    marks_give(loading);
    if (status == QUARRY_OK) {
        status = images_show(loading);
    }
    if (status == QUARRY_OK) {
        tsdb_time_raise(durable->tsdb, loading->max_ms);
        return;
    }
    heads_forget(loading);
    for (uint32_t i = 0; i < loading->count; i++) {
        if (loading->images[i].window != NULL) {
            tsdb_window_destroy(loading->images[i].window);
        }
    }
    if (status == QUARRY_CORRUPT) {
        snapshot_lost(durable);
    }
}

void tsdb_window_images_load(struct tsdb_durable *durable)
{
    const struct tsdb_snapshot_options options = {
        .vfs = durable->vfs, .directory = durable->directory, .memory = durable->memory};
    struct tsdb_memory *memory = &durable->tsdb->small[TSDB_PART_QUERY];
    uint64_t generation = durable->snapshot_generation;

    if (generation == 0 || durable->has_contradiction ||
        atomic_load_relaxed_u64(&durable->counters.left_out_count) != 0) {
        return;
    }
    struct loading *loading = tsdb_memory_take_zero(memory, sizeof(*loading));
    if (loading == NULL) {
        return;
    }
    loading->durable = durable;
    loading->max_ms = INT64_MIN;
    if (tsdb_snapshot_open(&options, generation + 1, &loading->sections, &generation, NULL) ==
        QUARRY_OK) {
        images_load(loading);
        tsdb_section_file_close(loading->sections);
    }
    tsdb_memory_give(memory, loading);
}
