/*
 * Reading a directory, by turns, while queries are answered by what is there already.
 *
 *     1.  files of windows, the newest first     their samples, as they lay in memory
 *     2.  images of open windows, of an orderly end     likewise
 *     3.  the log behind them, window by window, the oldest first    appended as if they came again
 *     4.  ready: appends are taken
 *
 * The log's samples are acknowledged already: they are judged no more (append.c), and those that
 * are out of order within their series, by a race of two requests, become late ones. Its ids are
 * another process': a series is found by its labels, or made, by the same rules of memory as a new
 * one. So a store that has less memory than before gives windows up as it would have, and does not
 * run out of it.
 *
 * A window may have both a file and a log. The process ended between the two: the file is taken,
 * unless something of it is damaged and the log has all of it: then it is set aside, and the log is
 * replayed. Or the window was filled since: what is in segments that the file says are behind it
 * fills it again. Of a file without a head nobody knows what the log has: it is set aside as well.
 * What was set aside is never read again, nor removed.
 *
 * A window that finds no room is not read, the oldest ones first as they come last. Its file stays,
 * and its ids stay reserved (tsdb_durable_floor).
 *
 * Of a window of which not all samples find room the log stays until the window is too old, and no
 * file is written of it: when there is more memory, all of it is replayed.
 *
 * A log that cannot be read, as a whole and not for damage, freezes the store: queries are answered
 * by what there is, and no file changes, nor is anything acknowledged, until it is opened again.
 *
 * Invariants
 *   1. While it goes on nothing is sealed by time, and no series is removed.
 *
 * Locking: the file work's mutex, for a whole step; parts of it take the turn's, as appending does.
 * Cost: 0.3 us a sample of the log; a window's bytes once.
 *
 * Rejected: replaying beside new samples. Whoever was acknowledged first must stay first, of two
 * values for one moment, and late samples are ten times the work of those in order.
 */
#include <tsdb/append.h>
#include <tsdb/durable.h>
#include <tsdb/exemplars.h>
#include <tsdb/turn.h>
#include <tsdb/window_image.h>

#include <stdio.h>

/* ---- windows -------------------------------------------------------------------------------- */

/* The newest file that has not been looked at. */
static struct tsdb_durable_file *file_next(struct tsdb_durable *durable)
{
    struct tsdb_durable_file *newest = NULL;

    for (uint32_t i = 0; i < durable->file_count; i++) {
        struct tsdb_durable_file *file = &durable->files[i];
        if (!file->is_loaded && !file->is_broken && !file->is_skipped &&
            (newest == NULL || file->number > newest->number)) {
            newest = file;
        }
    }
    return newest;
}

/* Whether a window's log has all that its file has: each segment that the file speaks of. */
static bool has_whole_log(struct tsdb_durable *durable, int32_t number,
                          const struct tsdb_window_loaded *loaded)
{
    const struct tsdb_window_mark *mark = &loaded->mark;

    return loaded->has_mark && mark->whole_count != 0 &&
           tsdb_log_segment_count(durable->log, number, mark->log_from) == mark->whole_count;
}

/* What of the log is behind a file that is loaded: all, if it does not say. */
static void mark_keep(struct tsdb_durable *durable, struct tsdb_durable_file *file,
                      const struct tsdb_window_loaded *loaded)
{
    file->has_mark = loaded->has_mark;
    file->log_from = loaded->mark.log_from;
    if (loaded->has_mark) {
        tsdb_log_reserve(durable->log, loaded->mark.log_from);
    }
}

/* Whether the log has more of a window than its file. */
static bool has_more_log(struct tsdb_durable *durable, const struct tsdb_durable_file *file)
{
    uint64_t oldest = 0;

    if (!file->is_loaded || !tsdb_log_oldest_sequence(durable->log, file->number, &oldest)) {
        return false;
    }
    return !file->has_mark || tsdb_log_next_sequence(durable->log, file->number) > file->log_from;
}

/* A damaged file has another name now. */
static void aside_tell(struct tsdb_durable *durable, int32_t number, const char *name)
{
    int64_t window_ms = durable->tsdb->options.window_ms;
    struct quarry_tsdb_loss loss = {.kind = QUARRY_TSDB_LOSS_SET_ASIDE,
                                    .from_ms = number * window_ms,
                                    .to_ms = number * window_ms + window_ms - 1};

    (void)snprintf(loss.file, sizeof loss.file, "%.47s", name);
    tsdb_durable_lost(durable, &loss);
}

/* Takes a damaged file out of the log's way. It is kept: the log may have what filled the window
 * alone. Errors: it is still there. */
static void file_put_away(struct tsdb_durable *durable, struct tsdb_durable_file *file)
{
    const struct tsdb_section_place place = tsdb_durable_place(durable, file->number);
    char name[QUARRY_VFS_NAME_BYTES_MAX];
    enum quarry_status status = tsdb_section_file_set_aside(&place, name, NULL);

    if (status != QUARRY_OK && status != QUARRY_NOT_FOUND) {
        file->is_broken = true;
        return;
    }
    if (status == QUARRY_OK) {
        aside_tell(durable, file->number, name);
    }
    os_mutex_lock(&durable->tsdb->turn_mutex);
    tsdb_durable_file_forget(durable, file->number);
    os_mutex_unlock(&durable->tsdb->turn_mutex);
}

/* Adds a window to those that are seen. */
static enum quarry_status window_show(struct tsdb_durable *durable, struct tsdb_durable_file *file,
                                      const struct tsdb_window_loaded *loaded)
{
    struct quarry_tsdb *tsdb = durable->tsdb;
    uint32_t purged_count = 0;

    os_mutex_lock(&tsdb->turn_mutex);
    enum quarry_status status =
        tsdb_views_change(&tsdb->views, loaded->window, INT32_MIN, &purged_count);
    file->is_loaded = status == QUARRY_OK;
    os_mutex_unlock(&tsdb->turn_mutex);
    if (status != QUARRY_OK) {
        tsdb_window_destroy(loaded->window);
    } else if (loaded->max_ms != INT64_MIN) {
        tsdb_time_raise(tsdb, loaded->max_ms);
    }
    return status;
}

/* Samples of a file have no room. */
static void memory_lost(struct tsdb_durable *durable, const struct tsdb_durable_file *file,
                        uint64_t sample_count)
{
    int64_t window_ms = durable->tsdb->options.window_ms;
    struct quarry_tsdb_loss loss = {.kind = QUARRY_TSDB_LOSS_MEMORY,
                                    .from_ms = file->number * window_ms,
                                    .to_ms = file->number * window_ms + window_ms - 1,
                                    .sample_count = sample_count};

    (void)snprintf(loss.file, sizeof loss.file, "window-%d.qtw", file->number);
    tsdb_durable_lost(durable, &loss);
}

/* It has no room, or cannot be read now: its file stays. */
static void file_skip(struct tsdb_durable *durable, struct tsdb_durable_file *file)
{
    memory_lost(durable, file, 0);
    file->is_skipped = true;
}

static void file_load(struct tsdb_durable *durable, struct tsdb_durable_file *file)
{
    struct tsdb_window_loaded loaded;
    enum quarry_status status = tsdb_window_load(durable, file, &loaded, NULL);
    bool is_damaged = status == QUARRY_OK && (loaded.lost_samples | loaded.lost_bytes) != 0;

    if (status == QUARRY_OK && loaded.left_out_samples != 0) {
        memory_lost(durable, file, loaded.left_out_samples);
    }
    if (status == QUARRY_CORRUPT || is_damaged) {
        tsdb_durable_file_lost(durable, file->number, loaded.lost_samples);
        if (has_whole_log(durable, file->number, &loaded)) {
            if (loaded.window != NULL) {
                tsdb_window_destroy(loaded.window);
            }
            file_put_away(durable, file);
            return;
        }
    }
    if (status == QUARRY_OK) {
        file->must_stay = is_damaged || loaded.left_out_samples != 0;
        mark_keep(durable, file, &loaded);
        status = window_show(durable, file, &loaded);
    }
    if (status == QUARRY_CORRUPT) {
        file->is_broken = true;
    } else if (status != QUARRY_OK) {
        file_skip(durable, file);
    }
}

/* ---- the log -------------------------------------------------------------------------------- */

struct replaying {
    struct tsdb_durable *durable;
    int64_t window;
    uint64_t refused_count; /* samples without room */
};

/* Makes a series, giving up what may be for its room. */
static enum quarry_status series_make(struct quarry_tsdb *tsdb,
                                      const struct tsdb_log_series *series, uint32_t *ret_id)
{
    bool is_new = false;

    while (!tsdb_append_room_for_series(tsdb)) {
        if (!tsdb_turn_relieve(tsdb, TSDB_RELIEF_SEAL)) {
            return QUARRY_NO_MEMORY;
        }
    }
    struct tsdb_tenant *tenant = tsdb_limits_tenant(&tsdb->limits, series->tenant);
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

/* Of the log's visitor. */
static enum quarry_status series_meet(void *argument, const struct tsdb_log_series *series,
                                      uint32_t *ret_handle)
{
    struct replaying *replaying = argument;
    struct quarry_tsdb *tsdb = replaying->durable->tsdb;

    *ret_handle = TSDB_SERIES_NONE;
    if (!tsdb_labels_are_valid(&series->labels)) {
        return QUARRY_OK;
    }
    /* Mostly the id means what it did: the registry has come from a snapshot of that process. */
    if (tsdb_registry_is(tsdb->registry, series->id, series->tenant, &series->labels)) {
        *ret_handle = series->id;
        return QUARRY_OK;
    }
    quarry_epoch_enter(tsdb->epoch);
    enum quarry_status status =
        tsdb_registry_lookup(tsdb->registry, series->tenant, &series->labels, NULL, ret_handle);
    quarry_epoch_leave(tsdb->epoch);
    if (status == QUARRY_NOT_FOUND) {
        status = series_make(tsdb, series, ret_handle);
    }
    if (status != QUARRY_OK) {
        *ret_handle = TSDB_SERIES_NONE;
        replaying->refused_count++; /* its samples are not told apart any more */
    }
    return QUARRY_OK;
}

/* Of the log's visitor. */
static enum quarry_status samples_meet(void *argument, const struct tsdb_log_sample *samples,
                                       size_t count)
{
    struct replaying *replaying = argument;
    struct tsdb_durable *durable = replaying->durable;

    for (size_t at = 0; at < count; at += TSDB_REPLAY_SAMPLES_MAX) {
        size_t part = size_min(count - at, TSDB_REPLAY_SAMPLES_MAX);
        uint64_t refused_count = tsdb_append_replayed(durable->tsdb, samples + at, part);
        replaying->refused_count += refused_count;
        (void)atomic_add_relaxed_u64(&durable->counters.replayed_count, part - refused_count);
    }
    return QUARRY_OK;
}

/* A histogram whose bytes are none, in a record that is whole: it was written so. */
static void histogram_lost(struct replaying *replaying, const struct tsdb_log_histogram *histogram)
{
    struct quarry_tsdb_loss loss = {.kind = QUARRY_TSDB_LOSS_LOG,
                                    .from_ms = histogram->t_ms,
                                    .to_ms = histogram->t_ms,
                                    .sample_count = 1};

    (void)snprintf(loss.file, sizeof loss.file, "window-%lld-*.log", (long long)replaying->window);
    tsdb_durable_lost(replaying->durable, &loss);
}

/* Of the log's visitor. */
static enum quarry_status histogram_meet(void *argument, const struct tsdb_log_histogram *histogram)
{
    struct replaying *replaying = argument;
    struct tsdb_durable *durable = replaying->durable;
    enum quarry_status status = tsdb_append_replayed_histogram(durable->tsdb, histogram);

    if (status == QUARRY_CORRUPT) {
        histogram_lost(replaying, histogram);
    } else if (status != QUARRY_OK) {
        replaying->refused_count++;
    } else {
        (void)atomic_add_relaxed_u64(&durable->counters.replayed_count, 1);
    }
    return QUARRY_OK;
}

/* Of the log's visitor. One that is older than its series' newest is passed over: they come in the
 * order in which they were taken, but from a window that is replayed for its file is damaged. */
static enum quarry_status exemplar_meet(void *argument, const struct tsdb_log_exemplar *exemplar)
{
    const struct replaying *replaying = argument;
    struct quarry_tsdb *tsdb = replaying->durable->tsdb;
    const struct quarry_tsdb_exemplar brought = {
        .t_ms = exemplar->t_ms, .bits = exemplar->bits, .labels = exemplar->labels};

    quarry_epoch_enter(tsdb->epoch);
    uint16_t tenant = tsdb_registry_series(tsdb->registry, exemplar->series)->tenant;
    struct tsdb_tenant *figures = tsdb_limits_tenant(&tsdb->limits, tenant);
    if (figures != NULL) {
        (void)tsdb_exemplars_add(tsdb, figures, exemplar->series, (int32_t)replaying->window,
                                 &brought);
    }
    quarry_epoch_leave(tsdb->epoch);
    return QUARRY_OK;
}

static void log_lost(void *argument, const struct tsdb_log_loss *lost)
{
    struct replaying *replaying = argument;
    struct quarry_tsdb_loss loss = {.kind = QUARRY_TSDB_LOSS_LOG,
                                    .from_ms = lost->t_from_ms,
                                    .to_ms = lost->t_to_ms,
                                    .offset = lost->offset,
                                    .byte_count = lost->byte_count,
                                    .sample_count = lost->sample_count};

    (void)snprintf(loss.file, sizeof loss.file, "window-%lld-%06llu.log", (long long)lost->window,
                   (unsigned long long)lost->sequence);
    tsdb_durable_lost(replaying->durable, &loss);
}

/* Its log has what had no room: it stays. */
static enum quarry_status lacking_add(struct tsdb_durable *durable, int64_t window)
{
    if (durable->lacking_count == TSDB_VIEW_WINDOWS_MAX) {
        return QUARRY_TOO_MANY;
    }
    durable->lacking[durable->lacking_count++] = (int32_t)window;
    return QUARRY_OK;
}

/* The first segment of a window that is behind what was read of it. */
static uint64_t replay_from(struct tsdb_durable *durable, int64_t window)
{
    const struct tsdb_durable_image *image = tsdb_durable_image_of(durable, window);
    const struct tsdb_durable_file *file = tsdb_durable_file_of(durable, (int32_t)window);
    uint64_t from = image == NULL ? 0 : image->from;

    return file != NULL ? file->log_from : from;
}

static void window_replay(struct tsdb_durable *durable, int64_t window)
{
    struct replaying replaying = {.durable = durable, .window = window};
    const struct tsdb_log_visitor visitor = {.argument = &replaying,
                                             .series = series_meet,
                                             .samples = samples_meet,
                                             .histogram = histogram_meet,
                                             .exemplar = exemplar_meet,
                                             .lost = log_lost};
    struct tsdb_log_replayed replayed;
    enum quarry_status status = tsdb_log_replay_from(
        durable->log, window, replay_from(durable, window), &visitor, &replayed, NULL);

    if (status == QUARRY_OK && replaying.refused_count != 0) {
        status = lacking_add(durable, window);
    }
    if (status != QUARRY_OK) {
        tsdb_durable_freeze(durable, status);
    }
    if (status != QUARRY_OK || replaying.refused_count != 0) {
        struct quarry_tsdb_loss loss = {.kind = QUARRY_TSDB_LOSS_MEMORY,
                                        .from_ms = INT64_MIN,
                                        .to_ms = INT64_MAX,
                                        .sample_count = replaying.refused_count};
        (void)snprintf(loss.file, sizeof loss.file, "window-%lld-*.log", (long long)window);
        tsdb_durable_lost(durable, &loss);
    }
}

/* The next window of the log that has no file, or one that the log is behind; those of other files
 * are done. */
static bool log_next(struct tsdb_durable *durable, int64_t *ret_window)
{
    while (tsdb_log_next_window(durable->log, durable->replay_from, ret_window)) {
        int64_t window = *ret_window;
        if (window == INT64_MAX) {
            return false;
        }
        durable->replay_from = window + 1;
        if (window <= INT32_MIN || window >= INT32_MAX) {
            continue;
        }
        struct tsdb_durable_file *file = tsdb_durable_file_of(durable, (int32_t)window);
        if (file != NULL && file->is_broken) {
            file_put_away(durable, file);
        }
        file = tsdb_durable_file_of(durable, (int32_t)window);
        if (file == NULL || has_more_log(durable, file)) {
            return true;
        }
    }
    return false;
}

void tsdb_recover_step(struct tsdb_durable *durable)
{
    struct tsdb_durable_file *file = file_next(durable);
    int64_t window;

    if (file != NULL) {
        file_load(durable, file);
        return;
    }
    if (!durable->has_looked_for_images) {
        durable->has_looked_for_images = true;
        tsdb_window_images_load(durable);
        return;
    }
    if (log_next(durable, &window)) {
        window_replay(durable, window);
        return;
    }
    uint64_t now_ns = quarry_vfs_monotonic_ns(durable->vfs);
    int64_t snapshot_ms = durable->tsdb->options.snapshot_ms;
    durable->sync_due_ns = now_ns;
    durable->snapshot_due_ns = now_ns + (snapshot_ms < 0 ? 0 : (uint64_t)snapshot_ms * 1000000);
    /* Release: pairs with the acquire in tsdb_durable_is_ready. */
    atomic_store_release_bool(&durable->is_ready, true);
}
