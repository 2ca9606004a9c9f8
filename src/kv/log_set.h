/*
 * The write-ahead logs of a store: one for each memtable that is not in files yet, the newest of
 * which is written to; one made ready to be the next; and used files, to be written to again.
 *
 *     ready ──turn──> current ──turn──> full … ──retire──> used ──zeroed, renamed──> ready
 *
 * Numbers are those of the store's files, and rise with what is in the logs.
 */
#ifndef QUARRY_KV_LOG_SET_H
#define QUARRY_KV_LOG_SET_H

#include <kv/store.h>

struct kv_log_set;

/* `ret_set`: own. No log is there yet. Errors: QUARRY_NO_MEMORY. */
enum quarry_status kv_log_set_create(struct quarry_kv *kv, struct kv_log_set **ret_set);
/*
 * Ends it: what was preallocated is cut off, files that wait to be used again are removed. Nobody
 * writes or syncs. NULL does nothing. Errors: of cutting off: the logs can be read all the same.
 */
enum quarry_status kv_log_set_destroy(struct kv_log_set *set, struct quarry_error *error);

/*
 * Makes a log ready to be the next, if none is: a file that has been used, or a new one. Its name
 * is durable then. Threads: any, without commit_mutex and mutex. Errors: QUARRY_NO_SPACE,
 * QUARRY_NO_MEMORY, QUARRY_IO, …: none is ready.
 */
enum quarry_status kv_log_set_prepare(struct kv_log_set *set, struct quarry_error *error);
/*
 * The same ahead of the writer who will want it, and by one thread at a time; who will try himself
 * if it fails now. Threads: any, without locks.
 */
void kv_log_set_prepare_ahead(struct kv_log_set *set);
/*
 * Has the log that was made ready be the current one. Returns: its number; 0: none is ready.
 * Threads: under commit_mutex. Cost: no system call.
 */
uint64_t kv_log_set_turn(struct kv_log_set *set);

/* The number of the current log; 0: there is none. Under commit_mutex. */
uint64_t kv_log_set_number(const struct kv_log_set *set);
/* QUARRY_OK, or why the current log cannot be written to. Under commit_mutex. Cost: a load. */
enum quarry_status kv_log_set_status(struct kv_log_set *set, struct quarry_error *error);
/*
 * Appends to the current log. `ret_end`: for kv_log_set_sync, with its number.
 * Errors: those of kv_log_append. Threads: under commit_mutex.
 */
enum quarry_status kv_log_set_append(struct kv_log_set *set, const struct kv_log_record *record,
                                     uint64_t *ret_end, struct quarry_error *error);

/*
 * Waits until log `number` up to `end`, and all logs before it, would survive a loss of power. What
 * has been retired is in files, and does. `end`: UINT64_MAX: what is in it now.
 * Errors: those of the sync. Threads: any, without commit_mutex and mutex.
 */
enum quarry_status kv_log_set_sync(struct kv_log_set *set, uint64_t number, uint64_t end,
                                   struct quarry_error *error);

/*
 * Logs below `log_number` have nothing that is not in files, as the manifest says: they are closed
 * and removed, but for one file that is zeroed to be used again; and a log is made ready to be the
 * next. Whoever syncs one meanwhile is waited for. Threads: one at a time, of the background,
 * without locks (kv_files_collect).
 */
void kv_log_set_retire(struct kv_log_set *set, uint64_t log_number);
/*
 * Removes logs below `log_number`, durably, of which nothing is wanted any more though the manifest
 * does not say so yet: those that failed, and may have records that were refused. Threads: any,
 * without locks. Errors: QUARRY_IO: they may come back with a loss of power.
 */
enum quarry_status kv_log_set_drop(struct kv_log_set *set, uint64_t log_number,
                                   struct quarry_error *error);
/* Whether a log's file is the set's, whatever its number: it is not to be removed. Any thread. */
bool kv_log_set_has(struct kv_log_set *set, uint64_t number);

/* Any thread. */
struct kv_log_set_stats {
    uint64_t live_bytes; /* written, of logs that are not retired: log_bytes_max is about them */
    uint64_t log_count;  /* of those */
    uint64_t oldest_number;
    uint64_t sync_count, group_count; /* of all there ever were: kv_log_read_counts */
};
void kv_log_set_read_stats(struct kv_log_set *set, struct kv_log_set_stats *ret_stats);

/*
 * Calls `visit` for each log that is not retired, the oldest first, with where it ended a moment
 * ago: for who copies them. It is not retired meanwhile. Any thread, without commit_mutex and
 * mutex. Returns: the first that is not QUARRY_OK.
 */
enum quarry_status kv_log_set_visit(struct kv_log_set *set,
                                    enum quarry_status (*visit)(void *argument, uint64_t number,
                                                                uint64_t end),
                                    void *argument);

#endif
