/*
 * Writing: the order of writes, and what rotates.
 */
#ifndef QUARRY_KV_COMMIT_H
#define QUARRY_KV_COMMIT_H

#include <kv/view.h>

/* What writing needs of its own. `ret_commit`: own. Errors: QUARRY_NO_MEMORY. */
enum quarry_status kv_commit_create(struct quarry_kv *kv, struct kv_commit **ret_commit);
/* Nobody writes. NULL does nothing. */
void kv_commit_destroy(struct quarry_kv *kv, struct kv_commit *commit);

/*
 * Writes a batch in the log's form; its first 8 bytes are not looked at. Every public write comes
 * through here. Errors: as quarry_kv_put.
 */
enum quarry_status kv_commit(struct quarry_kv *kv, const struct quarry_kv_write_options *options,
                             struct kv_slice data, struct quarry_error *error);

/*
 * Where keys belong that this thread is going to put; see kv_memtable_seek_ahead. `memtable`: the
 * newest that the caller knows.
 */
void kv_commit_seek_ahead(const struct kv_memtable *memtable, const struct kv_slice *keys,
                          size_t count);

/*
 * Makes the mutable layer immutable, if anything is in it, begins a log and a memtable, publishes
 * the view, and wakes the background. Nobody is writing to what was the mutable one any more. Waits
 * where there are too many immutable ones.
 *
 * `ret_sequence`: NULL, or the last one in what was made immutable, now or before.
 * Errors: QUARRY_NO_MEMORY, QUARRY_IO, …: it is as it was; QUARRY_PERMISSION: the store is
 * read-only, and nothing will make room.
 * Threads: without commit_mutex and mutex.
 */
enum quarry_status kv_rotate(struct quarry_kv *kv, uint64_t *ret_sequence,
                             struct quarry_error *error);
/* As it, where that is possible at once: for the background, which nobody else would do its work.
 */
void kv_try_rotate(struct quarry_kv *kv);

/*
 * Runs `install` at a moment at which no write is under way, with the next sequence given to it:
 * for files that are ingested. Writers wait meanwhile, with no lock held, so that it may install,
 * rotate, flush and wait. The sequence is used up, and visible, if it returns QUARRY_OK.
 * Returns: what it returns. Threads: without locks.
 */
enum quarry_status
kv_commit_barrier(struct quarry_kv *kv,
                  enum quarry_status (*install)(void *argument, uint64_t sequence), void *argument);

/*
 * Reserves are charged for what lets memtables be flushed when the budget is used up. Charges those
 * that are not; gives one to the budget, and returns whether there was one. Any thread.
 */
enum kv_reserve { KV_RESERVE_ROTATE, KV_RESERVE_FLUSH, KV_RESERVES };
void kv_commit_restore_reserves(struct quarry_kv *kv);
bool kv_commit_release_reserve(struct quarry_kv *kv, enum kv_reserve reserve);

/*
 * A log could not be synced: the one that is written to is left, if it is the one, and no write is
 * acknowledged before what the logs up to now have is in files. Any thread, without locks.
 */
void kv_commit_log_failed(struct quarry_kv *kv);

/* Turns the store read-only with an error, the first one stays; and back. Any thread, no lock. */
void kv_fail(struct quarry_kv *kv, enum quarry_status status, const struct quarry_error *error);
void kv_resume(struct quarry_kv *kv);
/* QUARRY_OK, or why it cannot be written to: QUARRY_PERMISSION with the reason. */
enum quarry_status kv_may_write(struct quarry_kv *kv, struct quarry_error *error);

#endif
