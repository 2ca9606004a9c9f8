/*
 * Background work: flushing layers, compacting files, removing what is no longer needed.
 *
 * One piece of work at a time is chosen, by kv_work_next, in the order flush, manual compaction,
 * compaction by score. Threads take pieces, or quarry_kv_step does, or whoever would wait in a
 * store with is_stepped.
 */
#ifndef QUARRY_KV_BACKGROUND_H
#define QUARRY_KV_BACKGROUND_H

#include <kv/file_name.h>
#include <kv/view.h>

/* Creates what kv->background is, and starts the threads, unless is_stepped or read-only. */
enum quarry_status kv_background_start(struct quarry_kv *kv, struct quarry_error *error);
/* Ends it: what is under way is finished or given up at the next entry. NULL does nothing. */
void kv_background_stop(struct quarry_kv *kv);
/* There may be something to do. Threads: any; no lock is needed. Cost: a load if all are awake. */
void kv_background_wake(struct quarry_kv *kv);
/* Does one piece of work. Returns: whether there was one. */
bool kv_background_step(struct quarry_kv *kv);
/*
 * Waits for a change of lists (a flush or a compaction has ended, or has failed), or, is_stepped,
 * does a piece of work. `seen`: of kv_background_changes, read before the condition was looked at.
 * Returns: false: nothing is under way and nothing can be done. Threads: without locks.
 */
bool kv_background_wait(struct quarry_kv *kv, uint64_t seen);
uint64_t kv_background_changes(struct quarry_kv *kv);

/*
 * Writes layers to files of level 0, and installs them. `layers`: the oldest ones of the store's,
 * marked is_flushing. Used by the background, and by recovery with no thread yet.
 * Errors: any: nothing was installed, files are removed, marks are taken back.
 */
enum quarry_status kv_flush_layers(struct quarry_kv *kv, struct kv_layer **layers, size_t count,
                                   struct quarry_error *error);

/*
 * Changes the files: appends an edit to the manifest, makes its version the current one, drops
 * `flushed_count` of the oldest immutable layers, publishes the view. log_number, last_sequence and
 * next_file of the edit are filled in.
 * Errors: those of kv_manifest_append; nothing has changed in memory, and kv_fail was called where
 * what is on disk is not known.
 * Threads: without locks. Takes install_mutex.
 */
enum quarry_status kv_install(struct quarry_kv *kv, struct kv_edit *edit, size_t flushed_count,
                              struct quarry_error *error);

/* Opens a file of the store for the table cache (kv_table_ops). */
extern const struct kv_table_ops kv_store_table_ops;
/* Path of a table under the name that is there (.sst, .ldb). */
enum quarry_status kv_table_path(struct quarry_kv *kv, const struct kv_file *file,
                                 struct kv_path *ret_path, struct quarry_error *error);
/* How tables of a level are written. */
void kv_table_write_options_of(struct quarry_kv *kv, uint32_t level, uint64_t number,
                               struct kv_table_write_options *ret_options);

/* Removes files that no version has, old logs (or keeps one to be reused), old manifests. */
void kv_files_collect(struct quarry_kv *kv);
/* Of a directory that was just opened: what no version has and no log is. */
enum quarry_status kv_files_sweep(struct quarry_kv *kv, struct quarry_error *error);
/* No file is removed in between. They nest. */
void kv_files_hold(struct quarry_kv *kv);
void kv_files_let_go(struct quarry_kv *kv);

/* ---- throttle.h's part: how fast writers may go ---------------------------------------------- */

/*
 * Asks to write so many bytes: returns when it may, having waited as long as what is behind wants.
 * `byte_count`: 0: only deletions, which the disk's reserve is for.
 * Errors: QUARRY_BUSY (never_waits; what is behind cannot be done), QUARRY_PERMISSION (turned
 * read-only meanwhile), QUARRY_NO_SPACE (the disk is full but for the reserve), and what a flush
 * or compaction fails with without which nothing can be written.
 * Threads: without locks.
 * Cost: a load and a subtraction while nothing is behind.
 */
enum quarry_status kv_throttle_admit(struct quarry_kv *kv, uint64_t byte_count, bool never_waits,
                                     struct quarry_error *error);
/* Looks at layers, level 0 and debt. After each change of lists, under the store's mutex. */
void kv_throttle_look(struct quarry_kv *kv);
/* So many bytes were written by the background: waits for its token bucket. */
void kv_throttle_background(struct quarry_kv *kv, uint64_t byte_count);

/* Tells the listener. No lock is held. */
void kv_notify(struct quarry_kv *kv, const struct quarry_kv_event_data *data);

/* What compactions into each level have read and written, for stats. Threads: any. */
void kv_background_read_levels(struct quarry_kv *kv, uint64_t ret_read_bytes[QUARRY_KV_LEVELS],
                               uint64_t ret_written_bytes[QUARRY_KV_LEVELS]);

#endif
