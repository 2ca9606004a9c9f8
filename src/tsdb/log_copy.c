/*
 * Copying a log, and files.
 *
 * A segment that is being appended to is copied up to where it ends at that moment, which is behind
 * a whole record. Segments are gone through by their numbers, so that those that are begun
 * meanwhile come too: what they hold was appended during the call.
 *
 * Locking: the log's mutex to find the next segment, and not while it is copied: who drops windows
 * is kept out by the caller. Cost: the bytes, in pieces of 64 KiB.
 */
#include <tsdb/file_name.h>
#include <tsdb/log_parts.h>

#define PIECE_BYTES Q_KIB(64)

struct copying {
    struct quarry_vfs_file *from, *to;
    uint8_t *piece;
};

static enum quarry_status pieces_copy(const struct copying *copying, uint64_t byte_count,
                                      struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;
    size_t count = PIECE_BYTES;

    for (uint64_t at = 0; at < byte_count && status == QUARRY_OK && count == PIECE_BYTES;
         at += count) {
        size_t wanted = (size_t)(byte_count - at < PIECE_BYTES ? byte_count - at : PIECE_BYTES);
        status = quarry_vfs_read(copying->from, at, copying->piece, wanted, &count, error);
        if (status == QUARRY_OK && count != 0) {
            status = quarry_vfs_write(copying->to, at, copying->piece, count, error);
        }
    }
    return status == QUARRY_OK ? quarry_vfs_sync(copying->to, error) : status;
}

enum quarry_status tsdb_file_copy(struct quarry_vfs *vfs, struct tsdb_memory *memory,
                                  const char *from, const char *to, uint64_t byte_count,
                                  struct quarry_error *error)
{
    struct copying copying = {.piece = tsdb_memory_take(memory, PIECE_BYTES)};

    if (copying.piece == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory to copy '%.200s'", from);
    }
    enum quarry_status status = quarry_vfs_open(vfs, from, QUARRY_VFS_READ, &copying.from, error);
    if (status == QUARRY_OK) {
        status =
            quarry_vfs_open(vfs, to, QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_EXCLUSIVE,
                            &copying.to, error);
    }
    if (status == QUARRY_OK) {
        status = pieces_copy(&copying, byte_count, error);
    }
    quarry_vfs_close(copying.to);
    quarry_vfs_close(copying.from);
    tsdb_memory_give(memory, copying.piece);
    return status;
}

/* The segment of the lowest number from one on. */
struct found {
    struct tsdb_file_name name;
    struct tsdb_path path;
    uint64_t byte_count;
    bool is_found;
};

static void find_from(struct tsdb_log *log, uint64_t from, struct found *found)
{
    const struct log_entry *lowest = NULL;

    found->is_found = false;
    os_mutex_lock(&log->mutex);
    for (const struct log_entry *entry = log->newest; entry != NULL && entry->sequence >= from;
         entry = entry->older) {
        lowest = entry;
    }
    if (lowest != NULL) {
        found->is_found = true;
        found->name = (struct tsdb_file_name){
            .kind = TSDB_FILE_SEGMENT, .window = lowest->window, .number = lowest->sequence};
        found->byte_count = lowest->segment == NULL ? UINT64_MAX : log_segment_end(lowest->segment);
        memcpy(found->path.text, lowest->path, strlen(lowest->path) + 1);
    }
    os_mutex_unlock(&log->mutex);
}

enum quarry_status tsdb_log_copy(struct tsdb_log *log, const char *directory,
                                 struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;
    struct found found;
    struct tsdb_path to;
    uint64_t from = 0;

    for (find_from(log, from, &found); found.is_found && status == QUARRY_OK;
         find_from(log, from, &found)) {
        from = found.name.number + 1;
        status = tsdb_file_path(directory, &found.name, &to, error);
        if (status == QUARRY_OK) {
            status = tsdb_file_copy(log->vfs, log->memory, found.path.text, to.text,
                                    found.byte_count, error);
        }
    }
    return status;
}
