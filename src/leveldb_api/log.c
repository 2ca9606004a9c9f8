/*
 * LOG: what happens in a database, in lines for people.
 *
 *     2026/11/22-06:14:04.123456 flushed 4.0 MiB into 1 file, 31 ms
 *
 * LevelDB writes such a file into each database and moves the last one to LOG.old when it opens it;
 * so do we, for who looks there when something is wrong. Nobody reads it by program.
 *
 * A line is written by who has something to tell, with a mutex over it; nobody tells anything more
 * than once in a flush or a compaction. What cannot be written is left out.
 *
 * Locking: the log's mutex, a leaf, over one write to the file: lines must not cross.
 */
#include <leveldb_api/shim.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LINE_BYTES 512u

struct shim_log {
    struct os_mutex mutex;
    struct quarry_vfs_file *file; /* const */
    uint64_t byte_count;          /* guarded by mutex */
};

struct shim_log *shim_log_open(const char *path)
{
    struct quarry_vfs *vfs = quarry_vfs_posix();
    struct shim_log *log = shim_alloc(sizeof(*log));
    char *name = shim_format("%s/LOG", path), *old = shim_format("%s/LOG.old", path);
    enum quarry_status status = QUARRY_NO_MEMORY;

    os_mutex_init(&log->mutex, OS_RANK_LEAF, 0);
    if (name != NULL && old != NULL) {
        (void)quarry_vfs_rename(vfs, name, old, NULL); /* there may be none */
        status = quarry_vfs_open(vfs, name, QUARRY_VFS_WRITE | QUARRY_VFS_CREATE, &log->file, NULL);
    }
    free(name);
    free(old);
    if (status != QUARRY_OK) {
        free(log);
        return NULL;
    }
    return log;
}

void shim_log_close(struct shim_log *log)
{
    if (log != NULL) {
        quarry_vfs_close(log->file);
        free(log);
    }
}

static size_t put_time(char *room, size_t room_bytes)
{
    uint64_t now_ns = quarry_vfs_wall_ns(quarry_vfs_posix());
    time_t now_s = (time_t)(now_ns / UINT64_C(1000000000));
    struct tm parts;

    if (localtime_r(&now_s, &parts) == NULL) {
        return 0;
    }
    size_t count = strftime(room, room_bytes, "%Y/%m/%d-%H:%M:%S", &parts);
    int more = snprintf(room + count, room_bytes - count, ".%06" PRIu64 " ",
                        now_ns / 1000 % UINT64_C(1000000));
    Q_ASSERT(more > 0 && (size_t)more < room_bytes - count);
    return count + (size_t)more;
}

void shim_log_write(struct shim_log *log, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list arguments;

    if (log == NULL) {
        return;
    }
    size_t count = put_time(line, sizeof(line));
    va_start(arguments, format);
    int more = vsnprintf(line + count, sizeof(line) - count - 1, format, arguments);
    va_end(arguments);
    Q_ASSERT(more >= 0);
    count += size_min((size_t)more, sizeof(line) - count - 2);
    line[count++] = '\n';
    os_mutex_lock(&log->mutex);
    if (quarry_vfs_write(log->file, log->byte_count, line, count, NULL) == QUARRY_OK) {
        log->byte_count += count;
    }
    os_mutex_unlock(&log->mutex);
}

void shim_log_notice(void *argument, const struct quarry_kv_event_data *data)
{
    struct shim_log *log = argument;
    char read[SIZE_TEXT_BYTES], written[SIZE_TEXT_BYTES];
    const char *text = data->error == NULL ? "" : data->error->text;
    double ms = (double)data->duration_ns / 1e6;

    switch (data->event) {
    case QUARRY_KV_EVENT_FLUSHED:
        shim_log_write(log, "flushed %s into %u files, %.0f ms",
                       size_format(data->written_bytes, written), data->written_files, ms);
        break;
    case QUARRY_KV_EVENT_COMPACTED:
        shim_log_write(
            log, "compacted %u files of %s from level %u into %u of %s at level %u, %.0f ms",
            data->read_files, size_format(data->read_bytes, read), data->from_level,
            data->written_files, size_format(data->written_bytes, written), data->to_level, ms);
        break;
    case QUARRY_KV_EVENT_THROTTLED:
        shim_log_write(log, "writers begin to be slowed, or no longer are");
        break;
    case QUARRY_KV_EVENT_READ_ONLY:
        shim_log_write(log, "it has turned read-only: %s", text);
        break;
    case QUARRY_KV_EVENT_RESUMED:
        shim_log_write(log, "it takes writes again");
        break;
    case QUARRY_KV_EVENT_LOG_RETIRED:
        shim_log_write(log, "a log was left for a new one: %s", text);
        break;
    case QUARRY_KV_EVENT_CORRUPTION:
        shim_log_write(log, "damage: %s", text);
        break;
    case QUARRY_KV_EVENT_SPACE_LOW:
        shim_log_write(log, "the disk is full, %s are free: puts are refused",
                       size_format(data->free_bytes, read));
        break;
    case QUARRY_KV_EVENT_SPACE_BACK:
        shim_log_write(log, "the disk has room again, %s are free",
                       size_format(data->free_bytes, read));
        break;
    }
}
