/*
 * The write-ahead log: what has been appended to the store and is in no window's file yet.
 *
 * A log is a directory of *segments*. A segment is a file of samples of one window, so that the log
 * of a window that has been written goes whole. It stands alone: the labels of a series are in it
 * before the first sample of it. An id of a series means the same series throughout a window's
 * segments.
 *
 * What is appended has been given to the kernel when tsdb_log_append returns, and survives the end
 * of the process. tsdb_log_sync makes it survive a loss of power: who waits at the same time shares
 * one sync. That is all of durability `process` and `power`; who wants `none` appends nothing.
 *
 * A segment that could not be written or synced is *broken*: nothing is known of what was not
 * synced. It is left as it is and never synced again; its window goes on in a new one.
 *
 * The log knows nothing of the store. Appending takes plain structs; replaying gives them to
 * functions, in the order in which they were appended to a window, whole segments at a time.
 */
#ifndef QUARRY_TSDB_LOG_H
#define QUARRY_TSDB_LOG_H

#include <quarry/vfs.h>

#include <tsdb/memory.h>
#include <tsdb/types.h>

/* Of the format: the most labels of a series or an exemplar, and the most bytes of all of them. */
#define TSDB_LOG_LABELS_MAX      256u
#define TSDB_LOG_LABEL_BYTES_MAX Q_KIB(512)
/* The most bytes of one histogram. */
#define TSDB_LOG_HISTOGRAM_BYTES_MAX Q_KIB(512)

struct tsdb_log;

/* ---- what is logged ------------------------------------------------------------------------- */

/* What an id means. */
struct tsdb_log_series {
    uint32_t id;
    uint16_t tenant;
    struct tsdb_labels labels;
};

struct tsdb_log_sample {
    uint32_t series; /* an id; when replayed, what the visitor's `series` gave for it */
    int64_t t_ms;
    uint64_t bits; /* of a double */
};

struct tsdb_log_histogram {
    uint32_t series; /* as in a sample */
    int64_t t_ms;
    struct tsdb_slice bytes; /* as the codec has them; the log does not look into them */
};

struct tsdb_log_exemplar {
    uint32_t series; /* as in a sample */
    int64_t t_ms;
    uint64_t bits;
    struct tsdb_labels labels;
};

/*
 * What goes to one window. Samples that have the timestamp of the one before them, and ids that
 * rise by as much as the one before did, take a byte less each: the order in which they came is
 * the shortest. All of it is borrowed for the call.
 */
struct tsdb_log_batch {
    int64_t window;
    const struct tsdb_log_sample *samples;
    size_t sample_count;
    const struct tsdb_log_histogram *histograms;
    size_t histogram_count;
    const struct tsdb_log_exemplar *exemplars;
    size_t exemplar_count;
    /*
     * Says what an id means, which must be known: asked when it is new to the segment, and once
     * again later. The labels are borrowed until the next call. Called with the log's lock held: it
     * takes none that a thread has while it appends, and does not wait.
     */
    void (*describe)(void *argument, uint32_t id, struct tsdb_log_series *ret_series);
    void *argument;
};

/* ---- appending ------------------------------------------------------------------------------ */

struct tsdb_log_options {
    struct quarry_vfs *vfs;     /* borrowed until closed */
    const char *directory;      /* which is there; borrowed for the call */
    struct tsdb_memory *memory; /* borrowed until closed */
    /* A segment with more is followed by another; larger ones where there are many series, whose
     * labels are in each. 0: 64 MiB. */
    uint64_t segment_bytes;
};

/*
 * Opens the log in a directory; one that has no segments is an empty one. Nothing is read, and what
 * is appended goes to new segments.
 *
 * `ret_log`: own; end it with tsdb_log_close.
 * Errors: QUARRY_NO_MEMORY; those of quarry_vfs_list. Cost: a listing.
 */
enum quarry_status tsdb_log_open(const struct tsdb_log_options *options, struct tsdb_log **ret_log,
                                 struct quarry_error *error);

/* What tsdb_log_sync waits for: a place in a segment. */
struct tsdb_log_ticket {
    uint64_t sequence; /* of the segment */
    uint64_t end;
};

/*
 * Appends a batch, which may be empty.
 *
 * `ret_ticket`: of its end. Errors: QUARRY_TOO_LARGE (labels, a histogram), QUARRY_NO_MEMORY,
 * QUARRY_NO_SPACE, QUARRY_IO, …: a part of the batch may be replayed all the same; the next call
 * goes on in another segment where that is needed.
 * Threads: any, one after the other. Cost: one call of write for each 64 KiB or 4,096 samples, some
 * 170 instructions a sample; now and then a new file.
 */
enum quarry_status tsdb_log_append(struct tsdb_log *log, const struct tsdb_log_batch *batch,
                                   struct tsdb_log_ticket *ret_ticket, struct quarry_error *error);

/*
 * Waits until the segment of a ticket would survive a loss of power up to its end. What has been
 * dropped meanwhile is no longer wanted.
 *
 * Errors: those of the sync, told to all who wait for bytes that were not synced before.
 * Threads: any. Cost: a sync, shared with who comes while one is under way; of a segment's first
 * one, the directory's as well.
 */
enum quarry_status tsdb_log_sync(struct tsdb_log *log, const struct tsdb_log_ticket *ticket,
                                 struct quarry_error *error);
/*
 * The same for all that has been appended, for who syncs at intervals. Broken segments are passed
 * over: who waited for them has been told. Errors: the first one.
 */
enum quarry_status tsdb_log_sync_all(struct tsdb_log *log, struct quarry_error *error);

/*
 * Removes the segments of a window, durably: all of it is in a file, or is not wanted. Nobody
 * appends to the window meanwhile. Errors: QUARRY_IO: some of them may be there after the next
 * opening, and replayed. Threads: any.
 */
enum quarry_status tsdb_log_drop_window(struct tsdb_log *log, int64_t window,
                                        struct quarry_error *error);

/*
 * Copies the segments that are there into another directory, each up to what has been appended by
 * now; synced, but for the directory. Windows are not dropped meanwhile.
 *
 * Errors: QUARRY_NO_MEMORY, those of the vfs: what was copied by then stays. Threads: any.
 */
enum quarry_status tsdb_log_copy(struct tsdb_log *log, const char *directory,
                                 struct quarry_error *error);
/* Copies a file, up to so many bytes, and syncs it. Errors: as tsdb_log_copy. */
enum quarry_status tsdb_file_copy(struct quarry_vfs *vfs, struct tsdb_memory *memory,
                                  const char *from, const char *to, uint64_t byte_count,
                                  struct quarry_error *error);

/* Ends the log; nobody uses it. Syncs nothing. `log`: given; NULL does nothing. */
void tsdb_log_close(struct tsdb_log *log);

struct tsdb_log_stats {
    uint64_t segment_count, byte_count; /* that are there; bytes of this process' alone */
    uint64_t record_count, sample_count, definition_count; /* ever appended by it */
    uint64_t sync_count, shared_count; /* syncs made, and waits that shared in one */
    uint64_t broken_count;             /* segments that were left because of a failure */
};
void tsdb_log_read_stats(struct tsdb_log *log, struct tsdb_log_stats *ret_stats);

/* ---- replaying ------------------------------------------------------------------------------ */

/* How something was lost. */
enum tsdb_log_loss_kind {
    TSDB_LOG_TORN,      /* bytes behind the last record: it was never finished, or damaged */
    TSDB_LOG_DAMAGED,   /* bytes with records behind them */
    TSDB_LOG_UNDECODED, /* samples that needed what was in damaged bytes */
};
/* The name of a kind, for people. Static. */
const char *tsdb_log_loss_text(enum tsdb_log_loss_kind kind);

/* What of a segment could not be replayed. */
struct tsdb_log_loss {
    enum tsdb_log_loss_kind kind;
    int64_t window;
    uint64_t sequence;           /* of the segment */
    uint64_t offset, byte_count; /* in its file; of samples that were undecoded, 0 */
    /* Samples that are lost for certain: of UNDECODED. What was in bytes that are lost is not
     * known. */
    uint64_t sample_count;
    /*
     * The times that it is about. Of bytes: from the earliest sample of the record before them to
     * the latest of the one behind, where INT64_MIN and INT64_MAX say that there is none: what is
     * appended in the order of time has nothing lost outside. Of a header, no samples: from > to.
     */
    int64_t t_from_ms, t_to_ms;
};

/* Who is told what a log holds. Functions return QUARRY_OK, or what replaying then ends with. */
struct tsdb_log_visitor {
    void *argument;
    /*
     * A series; may be called more than once for it. `ret_handle`: what its samples are given
     * with; TSDB_SERIES_NONE: they are not wanted. The labels are borrowed for the call.
     */
    enum quarry_status (*series)(void *argument, const struct tsdb_log_series *series,
                                 uint32_t *ret_handle);
    enum quarry_status (*samples)(void *argument, const struct tsdb_log_sample *samples,
                                  size_t sample_count);
    enum quarry_status (*histogram)(void *argument, const struct tsdb_log_histogram *histogram);
    enum quarry_status (*exemplar)(void *argument, const struct tsdb_log_exemplar *exemplar);
    void (*lost)(void *argument, const struct tsdb_log_loss *loss);
};

struct tsdb_log_replayed {
    uint64_t segment_count, record_count;
    uint64_t sample_count, histogram_count, exemplar_count; /* given to the visitor */
    uint64_t loss_count, lost_bytes, lost_samples;          /* told to it */
};

/*
 * Replays the segments of a window that were there when the log was opened, the oldest first.
 *
 * `visitor`: borrowed for the call. `ret_replayed`: written in any case: how far it came.
 * Errors: QUARRY_NO_MEMORY, those of opening files and of the visitor. Damage is none: it is told,
 * and what is readable is read. A part of a file that cannot be read twice is damage.
 * Threads: any; several windows at once by several. Cost: reads the files; some 120 instructions a
 * sample. Memory: 16 bytes for each series of the segment, and 300 KiB.
 */
enum quarry_status tsdb_log_replay(struct tsdb_log *log, int64_t window,
                                   const struct tsdb_log_visitor *visitor,
                                   struct tsdb_log_replayed *ret_replayed,
                                   struct quarry_error *error);

/* As tsdb_log_replay, without segments below `from`. */
enum quarry_status tsdb_log_replay_from(struct tsdb_log *log, int64_t window, uint64_t from,
                                        const struct tsdb_log_visitor *visitor,
                                        struct tsdb_log_replayed *ret_replayed,
                                        struct quarry_error *error);

/*
 * The number behind a window's newest segment, whose own are not dropped before its file is there:
 * those of others may be, and their numbers come again after the next opening. What is appended by
 * now is in those below, where nobody appends any more. Threads: any.
 */
uint64_t tsdb_log_next_sequence(struct tsdb_log *log, int64_t window);

/* The number of a window's oldest segment. Returns: false: it has none. Threads: any. */
bool tsdb_log_oldest_sequence(struct tsdb_log *log, int64_t window, uint64_t *ret_sequence);

/* How many segments of a window have numbers below one. Threads: any. */
uint64_t tsdb_log_segment_count(struct tsdb_log *log, int64_t window, uint64_t below);

/* What is appended to a window from here on goes to another segment than what was. Threads: any. */
void tsdb_log_end_segment(struct tsdb_log *log, int64_t window);

/* New segments have numbers from `sequence` on: those below it have been said to be in a window's
 * file. Threads: any. */
void tsdb_log_reserve(struct tsdb_log *log, uint64_t sequence);

/*
 * The next window that has segments: the smallest that is `from` or larger.
 * Returns: false: there is none. Threads: any.
 */
bool tsdb_log_next_window(struct tsdb_log *log, int64_t from, int64_t *ret_window);

#endif
