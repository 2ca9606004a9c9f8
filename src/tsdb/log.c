/*
 * The log: which segments there are, which one a window is appended to, and what becomes of them.
 *
 *     newest ──> window 9, 31 ──> window 8, 30 ──> window 9, 29 ──> window 8, 12 ──> …
 *                 appended to      appended to      full, or broken   of an earlier process
 *
 * A segment of this process has a file that is open and a table of values before; one of an earlier
 * process is a name. A window goes on in a new segment when the old one is full or broken. A
 * segment is full when it is long enough that the labels in it are a small part; its table goes to
 * the next.
 *
 * Invariants
 *   1. A segment's number is above those of all that there are; its file is made once.
 *   2. A segment that somebody waits for (`user_count`) is not freed; one that was dropped is by
 *      the last of them.
 *
 * Locking: `mutex`, rank TSDB_LOG, for a whole batch: encoding, writing, and now and then making a
 * file. Syncing takes it only to find the segment, and waits without it.
 * Cost: a list of some ten segments is gone through for a batch.
 *
 * Rejected: several logs side by side, by series. A request is of series of all of them, and would
 * be as many records and as many syncs.
 */
#include <string.h>

#include <tsdb/file_name.h>
#include <tsdb/log_parts.h>
#include <tsdb/log_read.h>

/* What a segment has at least before another is begun, where the options do not say. */
#define SEGMENT_BYTES Q_MIB(64)
/* And for each series in it, whose labels take some 30 to 60. Doubling it halves what labels add,
 * and doubles what is replayed of a window whose segments are not all wanted. */
#define BYTES_A_SERIES 640u

/* ---- entries -------------------------------------------------------------------------------- */

static struct log_entry *entry_create(struct tsdb_log *log, const struct tsdb_file_name *name,
                                      struct quarry_error *error)
{
    struct log_entry *entry = tsdb_memory_take_zero(log->memory, sizeof(*entry));
    struct tsdb_path path;

    if (entry != NULL && tsdb_file_path(log->directory, name, &path, error) == QUARRY_OK) {
        size_t byte_count = strlen(path.text) + 1;
        entry->path = tsdb_memory_take_zero(log->memory, byte_count);
        if (entry->path != NULL) {
            memcpy(entry->path, path.text, byte_count);
            entry->window = name->window;
            entry->sequence = name->number;
            entry->table.memory = log->memory;
            return entry;
        }
    }
    tsdb_memory_give(log->memory, entry);
    (void)error_set(error, QUARRY_NO_MEMORY, "log '%s': no memory for a segment", log->directory);
    return NULL;
}

static void count_syncs(const struct log_entry *entry, struct tsdb_log_stats *stats)
{
    uint64_t sync_count = 0, shared_count = 0;

    if (entry->segment != NULL) {
        log_segment_read_counts(entry->segment, &sync_count, &shared_count);
    }
    stats->sync_count += sync_count;
    stats->shared_count += shared_count;
}

static void entry_destroy(struct tsdb_log *log, struct log_entry *entry)
{
    Q_ASSERT(entry->user_count == 0); /* invariant 2 */
    log_table_fini(&entry->table);
    log_segment_destroy(entry->segment);
    tsdb_memory_give(log->memory, entry->path);
    tsdb_memory_give(log->memory, entry);
}

/* In the order of their numbers. */
static void insert_entry(struct tsdb_log *log, struct log_entry *entry)
{
    struct log_entry **link = &log->newest;

    while (*link != NULL && (*link)->sequence > entry->sequence) {
        link = &(*link)->older;
    }
    entry->older = *link;
    *link = entry;
}

/* ---- opening and closing -------------------------------------------------------------------- */

struct opening {
    struct tsdb_log *log;
    enum quarry_status status;
    struct quarry_error *error;
};

static bool find_segment(void *argument, const char *name)
{
    struct opening *opening = argument;
    struct tsdb_log *log = opening->log;
    struct tsdb_file_name parsed;

    if (!tsdb_file_parse(name, &parsed) || parsed.kind != TSDB_FILE_SEGMENT) {
        return true;
    }
    struct log_entry *entry = entry_create(log, &parsed, opening->error);
    if (entry == NULL) {
        opening->status = QUARRY_NO_MEMORY;
        return false;
    }
    insert_entry(log, entry);
    if (log->last_sequence < entry->sequence) {
        log->last_sequence = entry->sequence;
    }
    return true;
}

static enum quarry_status find_segments(struct tsdb_log *log, struct quarry_error *error)
{
    struct opening opening = {.log = log, .error = error};
    enum quarry_status status =
        quarry_vfs_list(log->vfs, log->directory, find_segment, &opening, error);

    log->opened_sequence = log->last_sequence;
    return status == QUARRY_OK ? opening.status : status;
}

enum quarry_status tsdb_log_open(const struct tsdb_log_options *options, struct tsdb_log **ret_log,
                                 struct quarry_error *error)
{
    struct tsdb_log *log = tsdb_memory_take_zero(options->memory, sizeof(*log));
    size_t byte_count = strlen(options->directory) + 1;
    enum quarry_status status = QUARRY_NO_MEMORY;

    if (log != NULL) {
        log->vfs = options->vfs;
        log->memory = options->memory;
        log->segment_bytes = options->segment_bytes == 0 ? SEGMENT_BYTES : options->segment_bytes;
        os_mutex_init(&log->mutex, OS_RANK_TSDB_LOG, 0);
        log->salt = quarry_vfs_wall_ns(log->vfs);
        log->directory = tsdb_memory_take_zero(log->memory, byte_count);
        status = log_record_init(&log->record, log->memory);
    }
    if (status != QUARRY_OK || log->directory == NULL) {
        tsdb_log_close(log);
        return error_set(error, QUARRY_NO_MEMORY, "log '%s': no memory", options->directory);
    }
    memcpy(log->directory, options->directory, byte_count);
    status = find_segments(log, error);
    if (status != QUARRY_OK) {
        tsdb_log_close(log);
        return status;
    }
    *ret_log = log;
    return QUARRY_OK;
}

void tsdb_log_close(struct tsdb_log *log)
{
    if (log == NULL) {
        return;
    }
    while (log->newest != NULL) {
        struct log_entry *entry = log->newest;
        log->newest = entry->older;
        if (entry->segment != NULL) {
            log_segment_finish(entry->segment);
        }
        entry_destroy(log, entry);
    }
    log_record_fini(&log->record);
    tsdb_memory_give(log->memory, log->directory);
    tsdb_memory_give(log->memory, log);
}

/* ---- the segment of a window ---------------------------------------------------------------- */

static struct log_entry *current_of(struct tsdb_log *log, int64_t window)
{
    struct log_entry *entry = log->newest;

    while (entry != NULL && !(entry->is_current && entry->window == window)) {
        entry = entry->older;
    }
    return entry;
}

void log_leave_entry(struct tsdb_log *log, struct log_entry *entry, struct log_table *ret_table)
{
    entry->is_current = false;
    if (log_segment_status(entry->segment, NULL) != QUARRY_OK) {
        log->stats.broken_count++;
    }
    log_segment_finish(entry->segment);
    if (ret_table != NULL) {
        *ret_table = entry->table;
        entry->table = (struct log_table){.memory = log->memory};
        log_table_reset(ret_table);
    }
    log_table_fini(&entry->table);
}

static enum quarry_status begin_entry(struct tsdb_log *log, int64_t window,
                                      struct log_entry **ret_entry, struct quarry_error *error)
{
    const struct tsdb_file_name name = {
        .kind = TSDB_FILE_SEGMENT, .window = window, .number = ++log->last_sequence};
    struct log_entry *entry = entry_create(log, &name, error);

    if (entry == NULL) {
        return QUARRY_NO_MEMORY;
    }
    log->salt = log->salt * UINT64_C(0xd6e8feb86659fd93) + quarry_vfs_wall_ns(log->vfs);
    const struct log_segment_options options = {
        .vfs = log->vfs,
        .path = entry->path,
        .directory = log->directory,
        .memory = log->memory,
        .identity = {window, entry->sequence, (uint32_t)(log->salt >> 32)}};
    enum quarry_status status = log_segment_create(&options, &entry->segment, error);
    if (status != QUARRY_OK) {
        entry_destroy(log, entry);
        return status;
    }
    entry->is_current = true;
    insert_entry(log, entry);
    *ret_entry = entry;
    return QUARRY_OK;
}

static bool is_full(const struct tsdb_log *log, const struct log_entry *entry)
{
    uint64_t end = log_segment_end(entry->segment);

    return end >= log->segment_bytes && end >= entry->series_count * BYTES_A_SERIES;
}

enum quarry_status log_take_entry(struct tsdb_log *log, int64_t window,
                                  struct log_entry **ret_entry, struct quarry_error *error)
{
    struct log_entry *entry = current_of(log, window);
    struct log_table table = {.memory = log->memory};

    if (entry != NULL && !is_full(log, entry) &&
        log_segment_status(entry->segment, NULL) == QUARRY_OK) {
        *ret_entry = entry;
        return QUARRY_OK;
    }
    if (entry != NULL) {
        log_leave_entry(log, entry, &table);
    }
    enum quarry_status status = begin_entry(log, window, ret_entry, error);
    if (status != QUARRY_OK) {
        log_table_fini(&table);
        return status;
    }
    (*ret_entry)->table = table;
    return QUARRY_OK;
}

void log_drop_entry(struct tsdb_log *log, struct log_entry *entry)
{
    struct log_entry **link = &log->newest;

    while (*link != entry) {
        link = &(*link)->older;
    }
    *link = entry->older;
    entry->is_dropped = true;
    entry->is_current = false;
    count_syncs(entry, &log->stats);
    if (entry->user_count == 0) {
        entry_destroy(log, entry);
    }
}

/* ---- syncing -------------------------------------------------------------------------------- */

/* The oldest segment of this process from a number on, which is not freed until it is let go. */
static struct log_entry *hold(struct tsdb_log *log, uint64_t from)
{
    struct log_entry *found = NULL;

    os_mutex_lock(&log->mutex);
    for (struct log_entry *entry = log->newest; entry != NULL && entry->sequence >= from;
         entry = entry->older) {
        found = entry->segment == NULL ? found : entry;
    }
    if (found != NULL) {
        found->user_count++;
    }
    os_mutex_unlock(&log->mutex);
    return found;
}

static void let_go(struct tsdb_log *log, struct log_entry *entry)
{
    os_mutex_lock(&log->mutex);
    Q_ASSERT(entry->user_count != 0);
    entry->user_count--;
    if (entry->user_count == 0 && entry->is_dropped) {
        entry_destroy(log, entry);
    }
    os_mutex_unlock(&log->mutex);
}

enum quarry_status tsdb_log_sync(struct tsdb_log *log, const struct tsdb_log_ticket *ticket,
                                 struct quarry_error *error)
{
    struct log_entry *entry = hold(log, ticket->sequence);
    enum quarry_status status = QUARRY_OK;

    if (entry == NULL) {
        return QUARRY_OK;
    }
    if (entry->sequence == ticket->sequence) {
        status = log_segment_sync(entry->segment, ticket->end, error);
    }
    let_go(log, entry);
    return status;
}

enum quarry_status tsdb_log_sync_all(struct tsdb_log *log, struct quarry_error *error)
{
    struct quarry_error own;
    enum quarry_status first = QUARRY_OK;
    uint64_t from = 0;

    for (;;) {
        struct log_entry *entry = hold(log, from);
        if (entry == NULL) {
            return first;
        }
        from = entry->sequence + 1;
        if (log_segment_status(entry->segment, NULL) == QUARRY_OK) {
            enum quarry_status status =
                log_segment_sync(entry->segment, log_segment_end(entry->segment), &own);
            if (status != QUARRY_OK && first == QUARRY_OK) {
                first = status;
                if (error != NULL) {
                    *error = own;
                }
            }
        }
        let_go(log, entry);
    }
}

/* ---- the end of windows --------------------------------------------------------------------- */

static struct log_entry *find_of_window(struct tsdb_log *log, int64_t window)
{
    struct log_entry *entry = log->newest;

    while (entry != NULL && entry->window != window) {
        entry = entry->older;
    }
    return entry;
}

static enum quarry_status drop_locked(struct tsdb_log *log, int64_t window, bool *ret_has_any,
                                      struct quarry_error *error) Q_REQUIRES(&log->mutex)
{
    for (;;) {
        struct log_entry *entry = find_of_window(log, window);
        if (entry == NULL) {
            return QUARRY_OK;
        }
        enum quarry_status status = quarry_vfs_remove(log->vfs, entry->path, error);
        if (status != QUARRY_OK && status != QUARRY_NOT_FOUND) {
            return status;
        }
        *ret_has_any = true;
        log_drop_entry(log, entry);
    }
}

enum quarry_status tsdb_log_drop_window(struct tsdb_log *log, int64_t window,
                                        struct quarry_error *error)
{
    bool has_any = false;

    os_mutex_lock(&log->mutex);
    enum quarry_status status = drop_locked(log, window, &has_any, error);
    os_mutex_unlock(&log->mutex);
    if (status != QUARRY_OK || !has_any) {
        return status;
    }
    return quarry_vfs_sync_directory(log->vfs, log->directory, error);
}

bool tsdb_log_next_window(struct tsdb_log *log, int64_t from, int64_t *ret_window)
{
    bool is_found = false;

    os_mutex_lock(&log->mutex);
    for (struct log_entry *entry = log->newest; entry != NULL; entry = entry->older) {
        if (entry->window >= from && (!is_found || entry->window < *ret_window)) {
            *ret_window = entry->window;
            is_found = true;
        }
    }
    os_mutex_unlock(&log->mutex);
    return is_found;
}

void tsdb_log_read_stats(struct tsdb_log *log, struct tsdb_log_stats *ret_stats)
{
    os_mutex_lock(&log->mutex);
    *ret_stats = log->stats;
    for (struct log_entry *entry = log->newest; entry != NULL; entry = entry->older) {
        ret_stats->segment_count++;
        if (entry->segment != NULL) {
            ret_stats->byte_count += log_segment_end(entry->segment);
            count_syncs(entry, ret_stats);
        }
    }
    os_mutex_unlock(&log->mutex);
}

/* ---- replaying ------------------------------------------------------------------------------ */

/* The oldest segment of a window from a number on that an earlier process wrote. */
static struct log_entry *hold_old(struct tsdb_log *log, int64_t window, uint64_t from)
{
    struct log_entry *found = NULL;

    os_mutex_lock(&log->mutex);
    for (struct log_entry *entry = log->newest; entry != NULL && entry->sequence >= from;
         entry = entry->older) {
        if (entry->window == window && entry->sequence <= log->opened_sequence) {
            found = entry;
        }
    }
    if (found != NULL) {
        found->user_count++;
    }
    os_mutex_unlock(&log->mutex);
    return found;
}

enum quarry_status tsdb_log_replay(struct tsdb_log *log, int64_t window,
                                   const struct tsdb_log_visitor *visitor,
                                   struct tsdb_log_replayed *ret_replayed,
                                   struct quarry_error *error)
{
    return tsdb_log_replay_from(log, window, 0, visitor, ret_replayed, error);
}

uint64_t tsdb_log_next_sequence(struct tsdb_log *log, int64_t window)
{
    os_mutex_lock(&log->mutex);
    uint64_t sequence = log->last_sequence + 1;
    for (const struct log_entry *entry = log->newest; entry != NULL; entry = entry->older) {
        if (entry->window == window) {
            sequence = entry->sequence + 1;
            break;
        }
    }
    os_mutex_unlock(&log->mutex);
    return sequence;
}

bool tsdb_log_oldest_sequence(struct tsdb_log *log, int64_t window, uint64_t *ret_sequence)
{
    bool has = false;

    os_mutex_lock(&log->mutex);
    for (const struct log_entry *entry = log->newest; entry != NULL; entry = entry->older) {
        if (entry->window == window) {
            *ret_sequence = entry->sequence;
            has = true;
        }
    }
    os_mutex_unlock(&log->mutex);
    return has;
}

uint64_t tsdb_log_segment_count(struct tsdb_log *log, int64_t window, uint64_t below)
{
    uint64_t count = 0;

    os_mutex_lock(&log->mutex);
    for (const struct log_entry *entry = log->newest; entry != NULL; entry = entry->older) {
        count += entry->window == window && entry->sequence < below;
    }
    os_mutex_unlock(&log->mutex);
    return count;
}

void tsdb_log_end_segment(struct tsdb_log *log, int64_t window)
{
    os_mutex_lock(&log->mutex);
    struct log_entry *entry = current_of(log, window);
    if (entry != NULL) {
        log_leave_entry(log, entry, NULL);
    }
    os_mutex_unlock(&log->mutex);
}

void tsdb_log_reserve(struct tsdb_log *log, uint64_t sequence)
{
    os_mutex_lock(&log->mutex);
    if (sequence > log->last_sequence) {
        log->last_sequence = sequence - 1;
    }
    os_mutex_unlock(&log->mutex);
}

enum quarry_status tsdb_log_replay_from(struct tsdb_log *log, int64_t window, uint64_t from,
                                        const struct tsdb_log_visitor *visitor,
                                        struct tsdb_log_replayed *ret_replayed,
                                        struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    *ret_replayed = (struct tsdb_log_replayed){.segment_count = 0};
    while (status == QUARRY_OK) {
        struct log_entry *entry = hold_old(log, window, from);
        if (entry == NULL) {
            break;
        }
        from = entry->sequence + 1;
        const struct log_read_options options = {.vfs = log->vfs,
                                                 .path = entry->path,
                                                 .memory = log->memory,
                                                 .window = window,
                                                 .sequence = entry->sequence,
                                                 .visitor = visitor};
        status = log_read(&options, ret_replayed, error);
        let_go(log, entry);
    }
    return status;
}
