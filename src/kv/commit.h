/*
 * Writing: the order of writes, and what rotates.
 */
#ifndef QUARRY_KV_COMMIT_H
#define QUARRY_KV_COMMIT_H

#include <kv/view.h>

/*
 * Writes a batch in the log's form; its first 8 bytes are not looked at. Every public write comes
 * through here. Errors: as quarry_kv_put.
 */
enum quarry_status kv_commit(struct quarry_kv *kv, const struct quarry_kv_write_options *options,
                             struct kv_slice data, struct quarry_error *error);

/*
 * Makes the mutable layer immutable, if anything is in it, begins a log and a memtable, publishes
 * the view, and wakes the background. Waits until nobody is writing to what was the mutable one.
 *
 * `ret_sequence`: NULL, or the last one in what was made immutable.
 * Errors: QUARRY_NO_MEMORY, QUARRY_IO, …: it is as it was.
 * Threads: without commit_mutex and mutex.
 */
enum quarry_status kv_rotate(struct quarry_kv *kv, uint64_t *ret_sequence,
                             struct quarry_error *error);

/*
 * Runs `install` at a moment at which no write is under way, with the next sequence given to it:
 * for files that are ingested. What is in the mutable layer was rotated out before if `install`
 * asks for it. See ingest.c. commit_mutex is held meanwhile.
 */
enum quarry_status kv_commit_barrier(struct quarry_kv *kv,
                                     enum quarry_status (*install)(void *argument,
                                                                   uint64_t sequence),
                                     void *argument);

/* Turns the store read-only with an error, the first one stays; and back. Any thread, no lock. */
void kv_fail(struct quarry_kv *kv, enum quarry_status status, const struct quarry_error *error);
void kv_resume(struct quarry_kv *kv);
/* QUARRY_OK, or why it cannot be written to: QUARRY_PERMISSION with the reason. */
enum quarry_status kv_may_write(struct quarry_kv *kv, struct quarry_error *error);

#endif
