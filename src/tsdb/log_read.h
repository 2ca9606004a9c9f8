/*
 * Reading a segment: all that is readable of it, and what is not.
 */
#ifndef QUARRY_TSDB_LOG_READ_H
#define QUARRY_TSDB_LOG_READ_H

#include <tsdb/log.h>

struct log_read_options {
    struct quarry_vfs *vfs; /* borrowed for the call, as all of it */
    const char *path;
    struct tsdb_memory *memory;
    int64_t window; /* what the file's name says */
    uint64_t sequence;
    const struct tsdb_log_visitor *visitor;
};

/*
 * Reads a segment. `replayed`: added to. Errors: as tsdb_log_replay.
 */
enum quarry_status log_read(const struct log_read_options *options,
                            struct tsdb_log_replayed *replayed, struct quarry_error *error);

#endif
