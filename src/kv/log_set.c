/*
 * The set of logs: which there are, and what becomes of their files.
 *
 *     oldest ──> log 12 ──> log 15 ──> log 19 = current          ready: log 22     used: 000009.log
 *                 └ of immutable layers ┘   └ of the mutable one
 *
 * A log is begun before it is needed: its file is made or taken from the used one, its first
 * segment preallocated, its name made durable. A thread of the background does that, as soon as the
 * one before is in use: a writer who had to, because flushing what came before took longer than
 * filling a memtable, waited 1 to 12 ms for the directory to be synced. So turning to it is two
 * stores. Its number is taken then as well; that it is the highest of all logs is what matters, and
 * that is looked at when it is made ready: of two threads that make one at the same time, the later
 * finds one there.
 *
 * A log that is retired is a file of which every block is allocated. One of these is kept: filled
 * with zeros and synced by the background, under its old name, which the manifest has no use for
 * any more; renamed when it becomes a log again. A crash in between leaves an old log that is
 * swept, or one of zeros under its new name, which is an empty log.
 *
 * Invariants
 *   1. Numbers rise from `oldest` to `current` to `ready`.
 *   2. What is used again has zeros from its beginning to its end, durably, before it is renamed.
 *   3. A log that somebody uses (`user_count`) is not ended.
 *
 * Locking: `mutex` around the list, for a few stores; no file is touched under it. `current` is
 * changed under commit_mutex too, so that appending looks at it without `mutex`.
 * Cost: appending is that of the log and nothing else.
 *
 * Rejected: one log over several memtables, cut at segments: a segment could go only when the last
 * of them that it has something of is flushed, and replaying would write again what is in files.
 */
#include <kv/log_set.h>

#include <stdio.h>

#include <os/os.h>

#include <kv/file_name.h>

/* Of memtables smaller than that, a window of 1 MiB for each log would be a large part. */
#define MAPPED_BUFFER_BYTES Q_MIB(4)
/* Between looks at a log that somebody uses. */
#define LOOK_NS UINT64_C(100000)

struct log_entry {
    /* const */
    uint64_t number;
    struct quarry_vfs_file *file;
    struct kv_log *log;
    char *path;
    /* guarded by mutex */
    uint32_t user_count;
    struct log_entry *next; /* newer */
};

/* A file that is to be a log again. */
struct used_file {
    struct quarry_vfs_file *file; /* NULL: none */
    uint64_t number;              /* of its name */
};

struct kv_log_set {
    /* const */
    struct quarry_kv *kv;
    struct kv_memory *memory;
    uint64_t segment_bytes; /* 0: logs are written, not mapped */
    /* guarded by mutex; `current` is changed under commit_mutex too */
    struct os_mutex mutex;
    struct log_entry *oldest, *current;
    struct log_entry *ready; /* NULL: none */
    struct used_file used;
    uint64_t ended_sync_count, ended_group_count; /* of logs that are no more */
    /* atomic */
    _Atomic bool is_preparing; /* somebody makes a log ready ahead */
};

enum quarry_status kv_log_set_create(struct quarry_kv *kv, struct kv_log_set **ret_set)
{
    struct kv_memory *memory = &kv->small[KV_PART_MEMTABLE];
    struct kv_log_set *set = kv_memory_take(memory, sizeof(*set));

    if (set == NULL) {
        return QUARRY_NO_MEMORY;
    }
    set->kv = kv;
    set->memory = memory;
    /* A log that writes costs a call for each record, and no window. */
    set->segment_bytes =
        kv->options.write_buffer_bytes < MAPPED_BUFFER_BYTES ? 0 : kv->options.log_segment_bytes;
    os_mutex_init(&set->mutex, OS_RANK_KV_LOG, 0);
    *ret_set = set;
    return QUARRY_OK;
}

/* ---- one log -------------------------------------------------------------------------------- */

static void remove_log_file(struct kv_log_set *set, uint64_t number)
{
    struct kv_path path;

    if (kv_file_path(set->kv->path, KV_FILE_LOG, number, &path, NULL) == QUARRY_OK) {
        (void)quarry_vfs_remove(set->kv->vfs, path.text, NULL);
    }
}

/* Ends the writing; the file stays open, and its name where it is. */
static enum quarry_status end_writing(struct kv_log_set *set, struct log_entry *entry,
                                      struct quarry_error *error)
{
    uint64_t sync_count = 0, group_count = 0;

    if (entry->log == NULL) {
        return QUARRY_OK;
    }
    kv_log_read_counts(entry->log, &sync_count, &group_count);
    os_mutex_lock(&set->mutex);
    set->ended_sync_count += sync_count;
    set->ended_group_count += group_count;
    os_mutex_unlock(&set->mutex);
    enum quarry_status status = kv_log_close(entry->log, error);
    entry->log = NULL;
    return status;
}

static void free_entry(struct kv_log_set *set, struct log_entry *entry)
{
    quarry_vfs_close(entry->file);
    kv_memory_give(set->memory, entry->path);
    kv_memory_give(set->memory, entry);
}

/* Ends a log of which nothing is wanted, and its file. */
static void discard(struct kv_log_set *set, struct log_entry *entry)
{
    (void)end_writing(set, entry, NULL);
    remove_log_file(set, entry->number);
    free_entry(set, entry);
}

static struct used_file take_used(struct kv_log_set *set)
{
    os_mutex_lock(&set->mutex);
    struct used_file used = set->used;
    set->used = (struct used_file){.file = NULL};
    os_mutex_unlock(&set->mutex);
    return used;
}

/* A used file under the new name. Returns: NULL: there is none, or it cannot be renamed. */
static struct quarry_vfs_file *rename_used(struct kv_log_set *set, const char *path)
{
    struct used_file used = take_used(set);
    struct kv_path before;

    if (used.file == NULL) {
        return NULL;
    }
    if (kv_file_path(set->kv->path, KV_FILE_LOG, used.number, &before, NULL) == QUARRY_OK &&
        quarry_vfs_rename(set->kv->vfs, before.text, path, NULL) == QUARRY_OK) {
        return used.file;
    }
    quarry_vfs_close(used.file);
    remove_log_file(set, used.number);
    return NULL;
}

static enum quarry_status open_file(struct kv_log_set *set, struct log_entry *entry,
                                    struct quarry_error *error)
{
    const uint32_t mode = QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_TRUNCATE;
    enum quarry_status status = QUARRY_OK;

    entry->file = rename_used(set, entry->path);
    if (entry->file == NULL) {
        status = quarry_vfs_open(set->kv->vfs, entry->path, mode, &entry->file, error);
    }
    return status;
}

static enum quarry_status begin_log(struct kv_log_set *set, struct log_entry *entry,
                                    struct quarry_error *error)
{
    enum quarry_status status = open_file(set, entry, error);

    if (status != QUARRY_OK) {
        return status;
    }
    struct kv_log_options options = {.file = entry->file,
                                     .name = entry->path,
                                     .memory = set->memory,
                                     .segment_bytes = set->segment_bytes};
    status = kv_log_create(&options, &entry->log, error);
    if (status == QUARRY_NO_MEMORY && options.segment_bytes != 0) {
        /* No window: slower, but it goes on, and with it what frees memory. */
        options.segment_bytes = 0;
        status = kv_log_create(&options, &entry->log, error);
    }
    if (status == QUARRY_OK) {
        /* A write that is to survive a loss of power needs its log's name to. */
        status = quarry_vfs_sync_directory(set->kv->vfs, set->kv->path, error);
    }
    return status;
}

static enum quarry_status create_entry(struct kv_log_set *set, struct log_entry **ret_entry,
                                       struct quarry_error *error)
{
    struct log_entry *entry = kv_memory_take(set->memory, sizeof(*entry));
    struct kv_path path;
    enum quarry_status status = QUARRY_NO_MEMORY;

    if (entry != NULL) {
        entry->number = kv_new_file_number(set->kv);
        status = kv_file_path(set->kv->path, KV_FILE_LOG, entry->number, &path, error);
        if (status == QUARRY_OK) {
            size_t path_bytes = strlen(path.text) + 1;
            entry->path = kv_memory_take(set->memory, path_bytes);
            status = entry->path == NULL ? QUARRY_NO_MEMORY : QUARRY_OK;
            if (status == QUARRY_OK) {
                memcpy(entry->path, path.text, path_bytes);
                *ret_entry = entry;
                return QUARRY_OK;
            }
        }
        kv_memory_give(set->memory, entry);
    }
    return error_set(error, status, "store '%s': no memory for a log", set->kv->path);
}

/* ---- from ready to current ------------------------------------------------------------------ */

/* Returns: whether it is the one that is ready from now on. */
static bool offer(struct kv_log_set *set, struct log_entry *entry)
{
    os_mutex_lock(&set->mutex);
    bool is_wanted =
        set->ready == NULL && (set->current == NULL || set->current->number < entry->number);
    if (is_wanted) {
        set->ready = entry;
    }
    os_mutex_unlock(&set->mutex);
    return is_wanted;
}

static bool is_ready(struct kv_log_set *set)
{
    os_mutex_lock(&set->mutex);
    bool is = set->ready != NULL;
    os_mutex_unlock(&set->mutex);
    return is;
}

enum quarry_status kv_log_set_prepare(struct kv_log_set *set, struct quarry_error *error)
{
    struct log_entry *entry = NULL;

    while (!is_ready(set)) {
        enum quarry_status status = create_entry(set, &entry, error);
        if (status != QUARRY_OK) {
            return status;
        }
        status = begin_log(set, entry, error);
        if (status != QUARRY_OK) {
            discard(set, entry);
            return status;
        }
        if (!offer(set, entry)) {
            discard(set, entry); /* another was quicker: look again */
        }
    }
    return QUARRY_OK;
}

void kv_log_set_prepare_ahead(struct kv_log_set *set)
{
    /* Acquire, release: what the last one made is seen. */
    if (is_ready(set) || atomic_exchange_acq_rel_bool(&set->is_preparing, true)) {
        return;
    }
    (void)kv_log_set_prepare(set, NULL);
    atomic_store_release_bool(&set->is_preparing, false);
}

uint64_t kv_log_set_turn(struct kv_log_set *set)
{
    os_mutex_assert_held(&set->kv->commit_mutex);
    os_mutex_lock(&set->mutex);
    struct log_entry *entry = set->ready;
    if (entry != NULL) {
        Q_ASSERT(set->current == NULL || set->current->number < entry->number); /* invariant 1 */
        if (set->current != NULL) {
            set->current->next = entry;
        } else {
            set->oldest = entry;
        }
        set->current = entry;
        set->ready = NULL;
    }
    os_mutex_unlock(&set->mutex);
    return entry == NULL ? 0 : entry->number;
}

uint64_t kv_log_set_number(const struct kv_log_set *set)
{
    return set->current == NULL ? 0 : set->current->number;
}

enum quarry_status kv_log_set_status(struct kv_log_set *set, struct quarry_error *error)
{
    Q_DCHECK(set->current != NULL);
    return kv_log_status(set->current->log, error);
}

enum quarry_status kv_log_set_append(struct kv_log_set *set, const struct kv_log_record *record,
                                     uint64_t *ret_end, struct quarry_error *error)
{
    Q_DCHECK(set->current != NULL);
    return kv_log_append(set->current->log, record, ret_end, error);
}

/* ---- using logs without the commit lock ----------------------------------------------------- */

/* The oldest with a number from `from` to `to`, which is not ended until it is let go. NULL: none.
 */
static struct log_entry *hold(struct kv_log_set *set, uint64_t from, uint64_t to)
{
    os_mutex_lock(&set->mutex);
    struct log_entry *entry = set->oldest;
    while (entry != NULL && entry->number < from) {
        entry = entry->next;
    }
    if (entry != NULL && entry->number <= to) {
        entry->user_count++;
    } else {
        entry = NULL;
    }
    os_mutex_unlock(&set->mutex);
    return entry;
}

static void let_go(struct kv_log_set *set, struct log_entry *entry)
{
    os_mutex_lock(&set->mutex);
    Q_ASSERT(entry->user_count != 0);
    entry->user_count--;
    os_mutex_unlock(&set->mutex);
}

enum quarry_status kv_log_set_sync(struct kv_log_set *set, uint64_t number, uint64_t end,
                                   struct quarry_error *error)
{
    struct log_entry *entry;
    enum quarry_status status = QUARRY_OK;

    for (uint64_t from = 0; status == QUARRY_OK; from++) {
        entry = hold(set, from, number);
        if (entry == NULL) {
            break;
        }
        uint64_t log_end = kv_log_end(entry->log);
        status = kv_log_sync(entry->log, entry->number == number && end < log_end ? end : log_end,
                             error);
        from = entry->number;
        let_go(set, entry);
    }
    return status;
}

enum quarry_status kv_log_set_visit(struct kv_log_set *set,
                                    enum quarry_status (*visit)(void *argument, uint64_t number,
                                                                uint64_t end),
                                    void *argument)
{
    struct log_entry *entry;
    enum quarry_status status = QUARRY_OK;

    for (uint64_t from = 0; status == QUARRY_OK; from++) {
        entry = hold(set, from, UINT64_MAX);
        if (entry == NULL) {
            break;
        }
        status = visit(argument, entry->number, kv_log_end(entry->log));
        from = entry->number;
        let_go(set, entry);
    }
    return status;
}

void kv_log_set_read_stats(struct kv_log_set *set, struct kv_log_set_stats *ret_stats)
{
    uint64_t sync_count, group_count;

    os_mutex_lock(&set->mutex);
    *ret_stats = (struct kv_log_set_stats){.sync_count = set->ended_sync_count,
                                           .group_count = set->ended_group_count};
    ret_stats->oldest_number = set->oldest == NULL ? 0 : set->oldest->number;
    for (struct log_entry *entry = set->oldest; entry != NULL; entry = entry->next) {
        kv_log_read_counts(entry->log, &sync_count, &group_count);
        ret_stats->sync_count += sync_count;
        ret_stats->group_count += group_count;
        ret_stats->live_bytes += kv_log_end(entry->log);
        ret_stats->log_count++;
    }
    os_mutex_unlock(&set->mutex);
}

bool kv_log_set_has(struct kv_log_set *set, uint64_t number)
{
    os_mutex_lock(&set->mutex);
    bool has = (set->ready != NULL && set->ready->number == number) ||
               (set->used.file != NULL && set->used.number == number);
    for (struct log_entry *entry = set->oldest; entry != NULL && !has; entry = entry->next) {
        has = entry->number == number;
    }
    os_mutex_unlock(&set->mutex);
    return has;
}

/* ---- the end of logs ------------------------------------------------------------------------ */

/* The oldest, if it is below a number and nobody uses it. Returns: own. */
static struct log_entry *take_retired(struct kv_log_set *set, uint64_t log_number)
{
    os_mutex_lock(&set->mutex);
    struct log_entry *entry = set->oldest;
    if (entry != NULL && entry != set->current && entry->number < log_number &&
        entry->user_count == 0) {
        set->oldest = entry->next;
    } else {
        entry = NULL;
    }
    os_mutex_unlock(&set->mutex);
    return entry;
}

static bool wants_used(struct kv_log_set *set)
{
    os_mutex_lock(&set->mutex);
    bool wants = set->used.file == NULL && set->ready == NULL;
    os_mutex_unlock(&set->mutex);
    return wants;
}

/* Zeros from its beginning to its end, of a segment's length at most. Returns: whether it is. */
static bool make_zero(struct kv_log_set *set, struct log_entry *entry, uint64_t end)
{
    uint64_t file_bytes = 0;

    if (end > set->segment_bytes ||
        quarry_vfs_truncate(entry->file, set->segment_bytes, NULL) != QUARRY_OK) {
        return false;
    }
    return quarry_vfs_size(entry->file, &file_bytes, NULL) == QUARRY_OK &&
           file_bytes == set->segment_bytes && kv_log_zero(entry->file, end, NULL) == QUARRY_OK;
}

/* Keeps the file of a log, to be used again. Returns: whether it was. `entry`: given, if so. */
static bool keep_used(struct kv_log_set *set, struct log_entry *entry, uint64_t end)
{
    if (set->segment_bytes == 0 || !wants_used(set) || !make_zero(set, entry, end)) {
        return false;
    }
    os_mutex_lock(&set->mutex);
    Q_ASSERT(set->used.file == NULL);
    set->used = (struct used_file){.file = entry->file, .number = entry->number};
    os_mutex_unlock(&set->mutex);
    entry->file = NULL;
    free_entry(set, entry);
    return true;
}

static void end_retired(struct kv_log_set *set, struct log_entry *entry)
{
    uint64_t end = kv_log_end(entry->log);
    bool is_whole = kv_log_status(entry->log, NULL) == QUARRY_OK;

    (void)end_writing(set, entry, NULL);
    if (is_whole && keep_used(set, entry, end)) {
        return;
    }
    remove_log_file(set, entry->number);
    free_entry(set, entry);
}

static bool has_below(struct kv_log_set *set, uint64_t log_number)
{
    os_mutex_lock(&set->mutex);
    bool has =
        set->oldest != NULL && set->oldest != set->current && set->oldest->number < log_number;
    os_mutex_unlock(&set->mutex);
    return has;
}

enum quarry_status kv_log_set_drop(struct kv_log_set *set, uint64_t log_number,
                                   struct quarry_error *error)
{
    struct log_entry *entry;

    while (has_below(set, log_number)) {
        entry = take_retired(set, log_number);
        if (entry != NULL) {
            discard(set, entry);
        } else {
            os_sleep_ns(LOOK_NS); /* somebody is learning that it cannot be synced */
        }
    }
    return quarry_vfs_sync_directory(set->kv->vfs, set->kv->path, error);
}

void kv_log_set_retire(struct kv_log_set *set, uint64_t log_number)
{
    struct log_entry *entry;

    while ((entry = take_retired(set, log_number)) != NULL) {
        end_retired(set, entry);
    }
    kv_log_set_prepare_ahead(set);
}

enum quarry_status kv_log_set_destroy(struct kv_log_set *set, struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK, one;
    struct log_entry *entry;

    if (set == NULL) {
        return QUARRY_OK;
    }
    while ((entry = set->oldest) != NULL) {
        Q_ASSERT(entry->user_count == 0);
        set->oldest = entry->next;
        if (kv_log_end(entry->log) == 0) {
            discard(set, entry); /* nothing to be found again */
            continue;
        }
        one = end_writing(set, entry, status == QUARRY_OK ? error : NULL);
        status = status == QUARRY_OK ? one : status;
        free_entry(set, entry);
    }
    if (set->ready != NULL) {
        discard(set, set->ready);
    }
    if (set->used.file != NULL) {
        quarry_vfs_close(set->used.file);
        remove_log_file(set, set->used.number);
    }
    kv_memory_give(set->memory, set);
    return status;
}
