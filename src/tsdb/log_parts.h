/*
 * An open log, for the files that it is made of.
 */
#ifndef QUARRY_TSDB_LOG_PARTS_H
#define QUARRY_TSDB_LOG_PARTS_H

#include <os/os.h>

#include <tsdb/log.h>
#include <tsdb/log_record.h>
#include <tsdb/log_segment.h>
#include <tsdb/log_table.h>

struct log_entry {
    /* const */
    int64_t window;
    uint64_t sequence;
    struct log_segment *segment; /* NULL: of an earlier process */
    char *path;
    /* guarded by mutex */
    struct log_entry *older;
    struct log_table table;
    uint64_t series_count;
    uint32_t user_count;
    bool is_current; /* its window is appended to it */
    bool is_dropped; /* not in the list any more */
};

struct tsdb_log {
    /* const */
    struct quarry_vfs *vfs;
    struct tsdb_memory *memory;
    char *directory;
    uint64_t segment_bytes;
    struct os_mutex mutex;
    /* guarded by mutex */
    struct log_entry *newest;
    uint64_t last_sequence;
    uint64_t opened_sequence; /* const: segments up to it are of earlier processes */
    struct log_record record;
    uint64_t salt;               /* of the last segment */
    struct tsdb_log_stats stats; /* of what is no more, and of records */
};

/*
 * The segment that a window is to be appended to, whatever has become of the one before. With
 * `mutex`. Errors: QUARRY_NO_MEMORY, those of making a file.
 */
enum quarry_status log_take_entry(struct tsdb_log *log, int64_t window,
                                  struct log_entry **ret_entry, struct quarry_error *error);
/* Nothing more is appended to it. `ret_table`: given its table, emptied; NULL. With `mutex`. */
void log_leave_entry(struct tsdb_log *log, struct log_entry *entry, struct log_table *ret_table);
/* Takes it out of the list; it is freed when nobody waits for it. With `mutex`. */
void log_drop_entry(struct tsdb_log *log, struct log_entry *entry);

#endif
