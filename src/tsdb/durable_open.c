/*
 * Opening a directory: what is there, and the registry.
 *
 *     lock ── leftovers ── log, files: their names ── series ──> quarry_tsdb_open returns
 *
 * Series come from the files that the snapshot does not cover, the newest first, then from the
 * snapshot, where it does not contradict them. Samples are read afterwards (recover.c).
 *
 * Invariants
 *   1. A file whose head cannot be read is told and left as it is.
 *   2. What fails changes nothing but leftovers, and files that are too old.
 *
 * Locking: the file work's mutex and the turn's, throughout: nobody else knows the store yet.
 * Cost: reads names, and series: some 10,000 instructions each.
 */
#include <tsdb/durable.h>

#include <stdio.h>

#include <tsdb/window_file.h>

#define LOCK_NAME "/LOCK"

static char *text_copy(const struct tsdb_memory *memory, const char *text)
{
    size_t byte_count = strlen(text) + 1;
    char *copy = tsdb_memory_take(memory, byte_count);

    return copy == NULL ? NULL : memcpy(copy, text, byte_count);
}

enum quarry_status tsdb_durable_sync_parent(struct tsdb_durable *durable, const char *directory,
                                            struct quarry_error *error)
{
    const char *last = strrchr(directory, '/');
    struct tsdb_path parent = {.text = "."};

    if (last == directory) {
        memcpy(parent.text, "/", sizeof "/");
    } else if (last != NULL) {
        size_t byte_count = (size_t)(last - directory);
        memcpy(parent.text, directory, byte_count);
        parent.text[byte_count] = '\0';
    }
    return quarry_vfs_sync_directory(durable->vfs, parent.text, error);
}

static enum quarry_status directory_have(struct tsdb_durable *durable, struct quarry_error *error)
{
    struct tsdb_path path;
    enum quarry_status status = quarry_vfs_make_directory(durable->vfs, durable->directory, error);

    if (status == QUARRY_OK || status == QUARRY_EXISTS) {
        /* Also of one that is there: who made it may have ended before this. */
        status = tsdb_durable_sync_parent(durable, durable->directory, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    int length = snprintf(path.text, sizeof path.text, "%s" LOCK_NAME, durable->directory);
    if (length < 0 || (size_t)length >= sizeof path.text) {
        return error_set(error, QUARRY_TOO_LARGE, "directory of %zu bytes",
                         strlen(durable->directory));
    }
    status = quarry_vfs_take_lock(durable->vfs, path.text, &durable->lock, error);
    return status == QUARRY_OK ? tsdb_file_sweep(durable->vfs, durable->directory, error) : status;
}

static enum quarry_status log_have(struct tsdb_durable *durable, struct quarry_error *error)
{
    const struct tsdb_log_options options = {.vfs = durable->vfs,
                                             .directory = durable->directory,
                                             .memory = durable->memory,
                                             .segment_bytes =
                                                 durable->tsdb->options.log_segment_bytes};

    return tsdb_log_open(&options, &durable->log, error);
}

/* The newest window with a file or a log; INT32_MIN: there is none. */
static enum quarry_status newest_window(struct tsdb_durable *durable, int32_t *ret_newest,
                                        struct quarry_error *error)
{
    int64_t window = INT64_MIN, newest = INT32_MIN;
    enum quarry_status status =
        tsdb_window_file_find(durable->vfs, durable->directory, INT32_MAX - 1, &newest, error);

    if (status != QUARRY_OK && status != QUARRY_NOT_FOUND) {
        return status;
    }
    while (window < INT32_MAX && tsdb_log_next_window(durable->log, window, &window)) {
        newest = window > newest && window < INT32_MAX ? window : newest;
        window++;
    }
    *ret_newest = newest < INT32_MIN ? INT32_MIN : (int32_t)newest;
    return QUARRY_OK;
}

/* Enters the files of windows that are kept, and removes the others. */
static enum quarry_status files_find(struct tsdb_durable *durable, int32_t newest,
                                     struct quarry_error *error)
{
    int64_t kept_min = (int64_t)newest - durable->tsdb->options.window_count, window = newest;
    enum quarry_status status;

    while ((status = tsdb_window_file_find(durable->vfs, durable->directory, window, &window,
                                           error)) == QUARRY_OK) {
        if (window < kept_min || window <= INT32_MIN) {
            const struct tsdb_section_place place =
                tsdb_window_file_place(durable->vfs, durable->directory, durable->memory, window);
            status = tsdb_section_file_remove(&place, error);
        } else if (tsdb_durable_file_add(durable, (int32_t)window, 0) == NULL) {
            status = error_set(error, QUARRY_TOO_MANY, "'%.150s': more than %u windows",
                               durable->directory, TSDB_DURABLE_FILES_MAX);
        }
        if (status != QUARRY_OK) {
            return status;
        }
        window--;
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

void tsdb_durable_file_lost(struct tsdb_durable *durable, int32_t number, uint64_t sample_count)
{
    int64_t window_ms = durable->tsdb->options.window_ms;
    struct quarry_tsdb_loss loss = {.kind = QUARRY_TSDB_LOSS_WINDOW,
                                    .from_ms = number * window_ms,
                                    .to_ms = number * window_ms + window_ms - 1,
                                    .sample_count = sample_count};

    (void)snprintf(loss.file, sizeof loss.file, "window-%d.qtw", number);
    tsdb_durable_lost(durable, &loss);
}

/* Reads what is to be known of a file. `ret_is_there`: whether its head can be read. */
static enum quarry_status file_look(struct tsdb_durable *durable, struct tsdb_durable_file *file,
                                    bool *ret_is_there, struct quarry_error *error)
{
    const struct tsdb_section_place place = tsdb_durable_place(durable, file->number);
    struct tsdb_section_file *sections = NULL;
    int64_t window_ms = 0;
    enum quarry_status status = tsdb_section_file_open(&place, &sections, error);

    *ret_is_there = false;
    if (status == QUARRY_OK) {
        status = tsdb_window_file_length(sections, &window_ms);
    }
    if (status == QUARRY_OK && window_ms != durable->tsdb->options.window_ms) {
        status = error_set(error, QUARRY_BAD_INPUT, "'%.100s' has windows of %lld ms, not %lld",
                           durable->directory, (long long)window_ms,
                           (long long)durable->tsdb->options.window_ms);
    } else if (status == QUARRY_OK) {
        uint64_t salt = tsdb_section_file_salt(sections);
        file->is_covered = file->is_covered && file->salt == salt;
        file->salt = salt;
        *ret_is_there = true;
        if (!file->is_covered) {
            status = tsdb_window_load_series(durable, file, sections, error);
        }
    }
    tsdb_section_file_close(sections);
    return status == QUARRY_CORRUPT || status == QUARRY_UNSUPPORTED ? QUARRY_OK : status;
}

/* Series of files. Those without a head are marked, and stay on the disk. */
static enum quarry_status files_look(struct tsdb_durable *durable, struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = 0; i < durable->file_count && status == QUARRY_OK; i++) {
        struct tsdb_durable_file *file = &durable->files[i];
        bool is_there = false;
        if (!file->is_broken) {
            status = file_look(durable, file, &is_there, error);
            if (status == QUARRY_OK && !is_there) {
                tsdb_durable_file_lost(durable, file->number, 0);
                file->is_broken = true;
            }
        }
    }
    return status;
}

/* The lowest window that anything is kept of. */
static int32_t lowest_window(struct tsdb_durable *durable)
{
    int32_t lowest = tsdb_durable_floor(durable);
    int64_t window = INT64_MIN;

    if (tsdb_log_next_window(durable->log, INT32_MIN, &window) && window < lowest) {
        lowest = (int32_t)window;
    }
    return lowest;
}

static void uncover_all(struct tsdb_durable *durable)
{
    for (uint32_t i = 0; i < durable->file_count; i++) {
        durable->files[i].is_covered = false;
    }
}

/* The registry: marks of the snapshot, series of files, series of the snapshot. */
static enum quarry_status registry_have(struct tsdb_durable *durable, struct quarry_error *error)
{
    int32_t lowest = lowest_window(durable);
    enum quarry_status status = tsdb_registry_mark(durable, error);

    if (status == QUARRY_OK || status == QUARRY_NOT_FOUND) {
        status = files_look(durable, error);
    }
    if (status == QUARRY_OK) {
        status = tsdb_registry_load(durable, lowest, error);
    }
    if (status == QUARRY_CORRUPT || status == QUARRY_NO_MEMORY) { /* without it, then */
        uncover_all(durable);
        status = files_look(durable, error);
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

/* Series had no room: what files have of them is neither lost nor there. */
static void left_out_tell(struct tsdb_durable *durable)
{
    uint64_t count = atomic_load_relaxed_u64(&durable->counters.left_out_count);
    struct quarry_tsdb_loss loss = {.kind = QUARRY_TSDB_LOSS_MEMORY,
                                    .from_ms = INT64_MIN,
                                    .to_ms = INT64_MAX,
                                    .series_count = count};

    if (count == 0) {
        return;
    }
    for (uint32_t i = 0; i < durable->file_count; i++) {
        durable->files[i].is_partial = true;
    }
    (void)snprintf(loss.file, sizeof loss.file, "snapshot-%06llu.qts",
                   (unsigned long long)durable->snapshot_generation);
    tsdb_durable_lost(durable, &loss);
}

static enum quarry_status contents_have(struct tsdb_durable *durable, struct quarry_error *error)
{
    int32_t newest = INT32_MIN;
    enum quarry_status status = newest_window(durable, &newest, error);

    if (status == QUARRY_OK && newest != INT32_MIN) {
        status = files_find(durable, newest, error);
    }
    if (status == QUARRY_OK) {
        status = registry_have(durable, error);
    }
    if (status == QUARRY_OK) {
        status = tsdb_tombstones_load(durable, error);
    }
    left_out_tell(durable);
    durable->replay_from = INT64_MIN;
    durable->snapshot_stamp = tsdb_durable_stamp(durable->tsdb);
    return status;
}

enum quarry_status tsdb_durable_open(struct quarry_tsdb *tsdb, struct tsdb_durable **ret_durable,
                                     struct quarry_error *error)
{
    struct tsdb_memory *memory = &tsdb->small[TSDB_PART_META];
    struct tsdb_durable *durable = tsdb_memory_take_zero(memory, sizeof(*durable));
    enum quarry_status status = QUARRY_OK;

    if (durable == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "%s: no memory for its files", tsdb->name);
    }
    *ret_durable = durable;
    durable->tsdb = tsdb;
    durable->memory = memory;
    durable->vfs = tsdb->options.vfs;
    durable->level = tsdb->options.durability;
    os_mutex_init(&durable->mutex, OS_RANK_TSDB_FILES, 1);
    os_mutex_init(&durable->losses_mutex, OS_RANK_LEAF, 0);
    durable->directory = text_copy(memory, tsdb->options.directory);
    if (durable->directory == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "%s: no memory for its files", tsdb->name);
    }
    os_mutex_lock(&durable->mutex);
    os_mutex_lock(&tsdb->turn_mutex);
    status = directory_have(durable, error);
    if (status == QUARRY_OK) {
        status = log_have(durable, error);
    }
    if (status == QUARRY_OK) {
        status = contents_have(durable, error);
    }
    os_mutex_unlock(&tsdb->turn_mutex);
    os_mutex_unlock(&durable->mutex);
    return status;
}
