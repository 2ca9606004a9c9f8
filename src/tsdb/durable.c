/*
 * A store's directory: what is in it, and when it changes.
 *
 *     LOCK                      held while the store is open
 *     window-W-N.log            the log: what is in no window's file yet
 *     window-W.qtw              a sealed window, written once
 *     snapshot-G.qts            the registry: which id means which series; open windows at the end
 *
 *     append ──> log ──> open window ── sealed ──> file, synced ──> the window's log goes
 *                                                   └── purged ──> the file goes ──> its series'
 * ids
 *
 * What is true at every moment is in the log and in the files of windows; both say themselves what
 * their series are. Without a snapshot, or with a damaged one, the registry is made of these: a
 * snapshot saves the reading of every file's series, and no sample depends on one.
 *
 * Ids. Files of windows name series by id, as memory does, so that they are read as they are; the
 * log's are translated by labels when it is replayed. An id in a file must mean the same as long as
 * the file is there: series are removed from the registry only when all files with samples of them
 * are gone, durably (tsdb_durable_floor). When the store is opened, a file's series are read first,
 * unless the snapshot says that it was written with that very file there (by the salt of its
 * header); then its own are put below them, where they do not contradict.
 *
 * Opening is in durable_open.c, and what follows it in recover.c.
 *
 * Invariants
 *   1. The log of a window goes when its file is durable, or the window was purged. What fills it
 *      afterwards is logged in segments of its own, of which the file says that they are behind it,
 *      and these go when the file has been written anew.
 *   2. A window is not made while a file has its number: what the file means is decided by then.
 *   3. After a sync that failed nothing is acknowledged any more.
 *
 * Locking: `mutex`, over the turn's: for one piece of work, with its reading, writing and syncing.
 * The list of files is changed with both held, so that each alone is enough to look at it.
 *
 * Cost: that of the files.
 *
 * Rejected: ids that are never used again (8 bytes for each series that ever was, in each window);
 * series in the snapshot alone (one damaged byte would cost every sample).
 */
#include <tsdb/durable.h>

#include <stdio.h>

#include <tsdb/view.h>
#include <tsdb/window_file.h>
#include <tsdb/window_image.h>

/* Of durability PROCESS: what a loss of power may cost at most, and a sync of that. */
#define SYNC_NS UINT64_C(1000000000)
/* Until what could not be written is tried again. */
#define RETRY_NS UINT64_C(10000000000)

/* ---- losses --------------------------------------------------------------------------------- */

void tsdb_durable_lost(struct tsdb_durable *durable, const struct quarry_tsdb_loss *loss)
{
    const struct quarry_tsdb_options *options = &durable->tsdb->options;

    (void)atomic_add_relaxed_u64(&durable->counters.loss_count, 1);
    (void)atomic_add_relaxed_u64(&durable->counters.lost_samples, loss->sample_count);
    os_mutex_lock(&durable->losses_mutex);
    if (durable->loss_count < TSDB_DURABLE_LOSSES_MAX) {
        durable->losses[durable->loss_count++] = *loss;
    }
    os_mutex_unlock(&durable->losses_mutex);
    if (options->lost != NULL) {
        options->lost(options->lost_argument, loss);
    }
}

size_t quarry_tsdb_losses(struct quarry_tsdb *tsdb, struct quarry_tsdb_loss *losses,
                          size_t capacity)
{
    struct tsdb_durable *durable = tsdb->durable;

    if (durable == NULL) {
        return 0;
    }
    os_mutex_lock(&durable->losses_mutex);
    size_t count = durable->loss_count;
    for (size_t i = 0; i < count && i < capacity; i++) {
        losses[i] = durable->losses[i];
    }
    os_mutex_unlock(&durable->losses_mutex);
    return count;
}

void tsdb_durable_poison(struct tsdb_durable *durable, enum quarry_status status)
{
    uint32_t expected = QUARRY_OK;

    /* The first failure stays. Relaxed: only a number. */
    (void)atomic_cas_relaxed_u32(&durable->poison, &expected, (uint32_t)status);
}

void tsdb_durable_freeze(struct tsdb_durable *durable, enum quarry_status status)
{
    durable->is_frozen = true;
    tsdb_durable_poison(durable, status);
}

enum quarry_status tsdb_durable_status(const struct tsdb_durable *durable)
{
    return (enum quarry_status)atomic_load_relaxed_u32(&durable->poison);
}

/* ---- files ---------------------------------------------------------------------------------- */

struct tsdb_section_place tsdb_durable_place(const struct tsdb_durable *durable, int32_t number)
{
    return tsdb_window_file_place(durable->vfs, durable->directory, durable->memory, number);
}

struct tsdb_durable_file *tsdb_durable_file_of(struct tsdb_durable *durable, int32_t number)
{
    for (uint32_t i = 0; i < durable->file_count; i++) {
        if (durable->files[i].number == number) {
            return &durable->files[i];
        }
    }
    return NULL;
}

struct tsdb_durable_file *tsdb_durable_file_add(struct tsdb_durable *durable, int32_t number,
                                                uint64_t salt)
{
    uint32_t count = atomic_load_relaxed_u32(&durable->file_count);

    if (count == TSDB_DURABLE_FILES_MAX) {
        return NULL;
    }
    Q_ASSERT(tsdb_durable_file_of(durable, number) == NULL);
    durable->files[count] = (struct tsdb_durable_file){.number = number, .salt = salt};
    atomic_store_relaxed_u32(&durable->file_count, count + 1); /* the mutexes order it */
    return &durable->files[count];
}

void tsdb_durable_file_forget(struct tsdb_durable *durable, int32_t number)
{
    struct tsdb_durable_file *file = tsdb_durable_file_of(durable, number);
    uint32_t count = atomic_load_relaxed_u32(&durable->file_count);

    Q_ASSERT(file != NULL);
    tsdb_memory_give(durable->memory, file->ids);
    *file = durable->files[count - 1];
    atomic_store_relaxed_u32(&durable->file_count, count - 1);
}

bool tsdb_durable_has_file(const struct tsdb_durable *durable, int32_t number)
{
    for (uint32_t i = 0; i < durable->file_count; i++) {
        if (durable->files[i].number == number) {
            return true;
        }
    }
    return false;
}

int32_t tsdb_durable_floor(const struct tsdb_durable *durable)
{
    int32_t floor = INT32_MAX;

    for (uint32_t i = 0; i < durable->file_count; i++) {
        floor = durable->files[i].number < floor ? durable->files[i].number : floor;
    }
    return floor;
}

/* ---- work ----------------------------------------------------------------------------------- */

static bool view_has(struct quarry_tsdb *tsdb, int32_t number, int32_t *ret_newest)
{
    struct tsdb_view *view = tsdb_view_acquire(&tsdb->views);
    bool has = tsdb_view_find(view, number) != NULL;

    *ret_newest =
        view->window_count == 0 ? INT32_MIN : view->windows[view->window_count - 1]->number;
    tsdb_view_release(&tsdb->views, view);
    return has;
}

/* Whether a file is of no use: its window was purged, or would be. */
static bool file_is_gone(struct tsdb_durable *durable, const struct tsdb_durable_file *file)
{
    int32_t newest = INT32_MIN;
    bool has = view_has(durable->tsdb, file->number, &newest);

    return !has && (file->is_loaded ||
                    (int64_t)file->number < (int64_t)newest - durable->tsdb->options.window_count);
}

/* Removes a file. Until that is durable it counts as there. */
static bool file_remove(struct tsdb_durable *durable, int32_t number)
{
    const struct tsdb_section_place place = tsdb_durable_place(durable, number);
    enum quarry_status status = tsdb_section_file_remove(&place, NULL);

    if (status != QUARRY_OK && status != QUARRY_NOT_FOUND) {
        return false;
    }
    /* One that was not found may have been removed and not been synced. */
    if (status == QUARRY_NOT_FOUND &&
        quarry_vfs_sync_directory(durable->vfs, durable->directory, NULL) != QUARRY_OK) {
        return false;
    }
    os_mutex_lock(&durable->tsdb->turn_mutex);
    tsdb_durable_file_forget(durable, number);
    os_mutex_unlock(&durable->tsdb->turn_mutex);
    return true;
}

/* Removes the file of one window that is gone. */
static bool sweep_files(struct tsdb_durable *durable)
{
    for (uint32_t i = 0; i < durable->file_count; i++) {
        if (file_is_gone(durable, &durable->files[i])) {
            return file_remove(durable, durable->files[i].number);
        }
    }
    return false;
}

const struct tsdb_durable_image *tsdb_durable_image_of(const struct tsdb_durable *durable,
                                                       int64_t number)
{
    for (uint32_t i = 0; i < durable->image_count; i++) {
        if (durable->images[i].number == number) {
            return &durable->images[i];
        }
    }
    return NULL;
}

bool tsdb_durable_is_lacking(const struct tsdb_durable *durable, int64_t number)
{
    for (uint32_t i = 0; i < durable->lacking_count; i++) {
        if (durable->lacking[i] == number) {
            return true;
        }
    }
    return false;
}

void tsdb_durable_begin_filling(struct tsdb_durable *durable, int32_t number)
{
    tsdb_log_end_segment(durable->log, number);
}

/* Whether a window has been filled since its file was written. With the turn's mutex. */
static bool window_is_refilled(struct quarry_tsdb *tsdb, int32_t number)
{
    struct tsdb_view *view = tsdb_view_acquire(&tsdb->views);
    const struct tsdb_window *window = tsdb_view_find(view, number);
    bool is_refilled = window != NULL && window->is_refilled;

    tsdb_view_release(&tsdb->views, view);
    return is_refilled;
}

/* Whether the log of a window is not wanted: it has a file, was purged, or never was one. With the
 * turn's mutex. */
static bool log_is_gone(struct tsdb_durable *durable, int64_t window)
{
    int32_t newest = INT32_MIN;

    if (window <= INT32_MIN || window >= INT32_MAX) {
        return true;
    }
    const struct tsdb_durable_file *file = tsdb_durable_file_of(durable, (int32_t)window);
    bool has = view_has(durable->tsdb, (int32_t)window, &newest);
    if (tsdb_durable_is_lacking(durable, window)) {
        return window < (int64_t)newest - durable->tsdb->options.window_count;
    }
    return file == NULL ? !has
                        : file->is_loaded && !window_is_refilled(durable->tsdb, (int32_t)window);
}

/* Drops the log of one window that has a file, or is no more. */
static bool sweep_log(struct tsdb_durable *durable)
{
    struct quarry_tsdb *tsdb = durable->tsdb;
    int64_t window = INT64_MIN;
    bool is_done = false;

    /* Under the turn's mutex no window of the number can be made, and appended to, meanwhile. */
    os_mutex_lock(&tsdb->turn_mutex);
    while (!is_done && tsdb_log_next_window(durable->log, window, &window)) {
        if (log_is_gone(durable, window)) {
            is_done = tsdb_log_drop_window(durable->log, window, NULL) == QUARRY_OK;
        }
        if (window == INT64_MAX) {
            break;
        }
        window++;
    }
    os_mutex_unlock(&tsdb->turn_mutex);
    return is_done;
}

/* The oldest window that is sealed and has no file, or one of what it was before it was filled;
 * pinned by the view. With the turn's mutex. */
static struct tsdb_window *window_to_save(struct tsdb_durable *durable,
                                          const struct tsdb_view *view)
{
    for (uint32_t i = 0; i < view->window_count; i++) {
        struct tsdb_window *window = view->windows[i];
        const struct tsdb_durable_file *file = tsdb_durable_file_of(durable, window->number);
        if (atomic_load_acquire_u64(&window->sealed_mask) == UINT64_MAX &&
            (file == NULL || (file->is_loaded && !file->must_stay && window->is_refilled)) &&
            !tsdb_durable_is_lacking(durable, window->number)) {
            return window;
        }
    }
    return NULL;
}

static void count(_Atomic uint64_t *counter)
{
    (void)atomic_add_relaxed_u64(counter, 1);
}

/* Whether a window that is to be saved has nothing but what its log has: all of it came with this
 * process, which logs, or from the log, and nothing was deleted that the log has still. Samples of
 * an image may have come to a process that did not log, and those of a base are in a file. With the
 * turn's mutex. */
static bool log_is_whole(struct tsdb_durable *durable, const struct tsdb_window *window)
{
    return tsdb_durable_logs(durable) && !window->is_refilled &&
           !atomic_load_relaxed_bool(&durable->tsdb->tombstones.has_deleted) &&
           tsdb_durable_file_of(durable, window->number) == NULL &&
           tsdb_durable_image_of(durable, window->number) == NULL;
}

bool tsdb_durable_is_saved(struct tsdb_durable *durable, int32_t number)
{
    struct quarry_tsdb *tsdb = durable->tsdb;

    os_mutex_lock(&tsdb->turn_mutex);
    struct tsdb_view *view = tsdb_view_acquire(&tsdb->views);
    const struct tsdb_window *window = tsdb_view_find(view, number);
    bool is_saved =
        window == NULL || (!window->is_refilled && tsdb_durable_file_of(durable, number) != NULL);
    tsdb_view_release(&tsdb->views, view);
    os_mutex_unlock(&tsdb->turn_mutex);
    return is_saved;
}

bool tsdb_durable_may_save(struct tsdb_durable *durable, int32_t number)
{
    os_mutex_lock(&durable->mutex);
    const struct tsdb_durable_file *file = tsdb_durable_file_of(durable, number);
    bool may = !durable->is_frozen && (file == NULL || (file->is_loaded && !file->must_stay)) &&
               !tsdb_durable_is_lacking(durable, number) &&
               quarry_vfs_monotonic_ns(durable->vfs) >= durable->retry_due_ns;
    os_mutex_unlock(&durable->mutex);
    return may;
}

/* A window to be saved, as nobody may fill it without another segment of the log: NULL: none. */
static struct tsdb_window *save_begin(struct tsdb_durable *durable, struct tsdb_view **ret_view,
                                      struct tsdb_window_mark *ret_mark)
{
    struct quarry_tsdb *tsdb = durable->tsdb;

    os_mutex_lock(&tsdb->turn_mutex);
    *ret_view = tsdb_view_acquire(&tsdb->views);
    struct tsdb_window *window = window_to_save(durable, *ret_view);
    if (window != NULL) {
        uint64_t from = tsdb_log_next_sequence(durable->log, window->number);
        *ret_mark = (struct tsdb_window_mark){.log_from = from};
        if (log_is_whole(durable, window)) {
            ret_mark->whole_count = tsdb_log_segment_count(durable->log, window->number, from);
        }
    }
    os_mutex_unlock(&tsdb->turn_mutex);
    return window;
}

/* The window has a file, or another one. */
static void save_end(struct tsdb_durable *durable, struct tsdb_window *window, uint64_t salt)
{
    os_mutex_lock(&durable->tsdb->turn_mutex);
    struct tsdb_durable_file *file = tsdb_durable_file_of(durable, window->number);
    if (file == NULL) {
        file = tsdb_durable_file_add(durable, window->number, salt);
    }
    file->salt = salt;
    file->is_loaded = true;
    file->is_covered = false;
    window->is_refilled = false;
    os_mutex_unlock(&durable->tsdb->turn_mutex);
}

/* Writes the file of one window. */
static bool save_window(struct tsdb_durable *durable)
{
    struct quarry_tsdb *tsdb = durable->tsdb;
    struct tsdb_window_mark mark;
    struct tsdb_view *view;
    struct tsdb_window *window = save_begin(durable, &view, &mark);
    enum quarry_status status = QUARRY_NOT_FOUND;
    uint64_t salt = 0;

    if (window != NULL && durable->file_count < TSDB_DURABLE_FILES_MAX) {
        status = tsdb_window_save(durable, window, &mark, &salt, NULL);
    }
    if (status == QUARRY_OK) {
        save_end(durable, window, salt);
        count(&durable->counters.saved_count);
    } else if (window != NULL) {
        count(&durable->counters.save_failed_count);
        durable->retry_due_ns = quarry_vfs_monotonic_ns(durable->vfs) + RETRY_NS;
    }
    tsdb_view_release(&tsdb->views, view);
    return status == QUARRY_OK;
}

uint64_t tsdb_durable_stamp(struct quarry_tsdb *tsdb)
{
    return atomic_load_relaxed_u64(&tsdb->counters.created_series_count) +
           atomic_load_relaxed_u64(&tsdb->counters.removed_series_count);
}

static enum quarry_status save_registry(struct tsdb_durable *durable,
                                        const struct tsdb_window_images *images)
{
    uint64_t stamp = tsdb_durable_stamp(durable->tsdb);
    enum quarry_status status = tsdb_registry_save(durable, durable->directory, images, NULL);

    if (status == QUARRY_OK) {
        durable->snapshot_stamp = stamp;
        count(&durable->counters.snapshot_count);
    } else {
        count(&durable->counters.snapshot_failed_count);
    }
    return status;
}

static void sync_or_poison(struct tsdb_durable *durable)
{
    enum quarry_status status = tsdb_log_sync_all(durable->log, NULL);

    if (status != QUARRY_OK) {
        tsdb_durable_poison(durable, status);
    }
}

/* What is done by the clock. Returns: whether a snapshot was written. */
static bool work_by_clock(struct tsdb_durable *durable, uint64_t now_ns)
{
    int64_t snapshot_ms = durable->tsdb->options.snapshot_ms;

    if (tsdb_durable_logs(durable) && now_ns >= durable->sync_due_ns &&
        tsdb_durable_status(durable) == QUARRY_OK) {
        sync_or_poison(durable);
        durable->sync_due_ns = now_ns + SYNC_NS;
    }
    if (snapshot_ms < 0 || now_ns < durable->snapshot_due_ns) {
        return false;
    }
    durable->snapshot_due_ns = now_ns + (uint64_t)snapshot_ms * 1000000;
    return tsdb_durable_stamp(durable->tsdb) != durable->snapshot_stamp &&
           save_registry(durable, NULL) == QUARRY_OK;
}

static bool work(struct tsdb_durable *durable)
{
    uint64_t now_ns = quarry_vfs_monotonic_ns(durable->vfs);

    if (durable->is_frozen) {
        return false;
    }
    if (now_ns >= durable->retry_due_ns) {
        if (sweep_log(durable) || sweep_files(durable) || save_window(durable)) {
            return true;
        }
    }
    return work_by_clock(durable, now_ns);
}

bool tsdb_durable_turn(struct tsdb_durable *durable)
{
    bool is_done = true;

    os_mutex_lock(&durable->mutex);
    if (tsdb_durable_is_ready(durable)) {
        is_done = work(durable);
    } else {
        tsdb_recover_step(durable);
    }
    os_mutex_unlock(&durable->mutex);
    return is_done;
}

/* ---- closing -------------------------------------------------------------------------------- */

static enum quarry_status finish_locked(struct tsdb_durable *durable) Q_REQUIRES(&durable->mutex)
{
    struct tsdb_window_images images;
    enum quarry_status status = QUARRY_OK;

    if (durable->is_frozen) {
        return QUARRY_OK;
    }
    if (durable->level == QUARRY_TSDB_DURABILITY_NONE) {
        status = tsdb_durable_dump(durable, NULL);
    }
    enum quarry_status synced = tsdb_log_sync_all(durable->log, NULL);
    tsdb_window_images_make(durable, &images);
    enum quarry_status saved = save_registry(durable, &images);
    if (saved != QUARRY_OK && images.section_count != 0) {
        saved = save_registry(durable, NULL); /* what is shorter may have room */
    }
    tsdb_window_images_fini(durable, &images);
    status = status == QUARRY_OK ? synced : status;
    return status == QUARRY_OK ? saved : status;
}

enum quarry_status tsdb_durable_finish(struct tsdb_durable *durable)
{
    enum quarry_status status = tsdb_durable_status(durable);

    if (!tsdb_durable_is_ready(durable)) {
        return QUARRY_OK; /* nothing has been taken: all is in the files */
    }
    while (quarry_tsdb_turn(durable->tsdb)) {
    }
    os_mutex_lock(&durable->mutex);
    enum quarry_status finished = finish_locked(durable);
    os_mutex_unlock(&durable->mutex);
    return status == QUARRY_OK ? finished : status;
}

void tsdb_durable_close(struct tsdb_durable *durable)
{
    if (durable == NULL) {
        return;
    }
    struct tsdb_memory *memory = durable->memory;
    for (uint32_t i = 0; i < durable->file_count; i++) {
        tsdb_memory_give(memory, durable->files[i].ids);
    }
    tsdb_log_close(durable->log);
    quarry_vfs_unlock(durable->lock);
    tsdb_memory_give(memory, durable->directory);
    tsdb_memory_give(memory, durable);
}

bool quarry_tsdb_ready(struct quarry_tsdb *tsdb)
{
    return tsdb_durable_is_ready(tsdb->durable);
}

void quarry_tsdb_wait_ready(struct quarry_tsdb *tsdb)
{
    while (!quarry_tsdb_ready(tsdb)) {
        (void)quarry_tsdb_turn(tsdb);
    }
}
