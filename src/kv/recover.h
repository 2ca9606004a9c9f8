/*
 * Opening what is in a directory.
 */
#ifndef QUARRY_KV_RECOVER_H
#define QUARRY_KV_RECOVER_H

#include <kv/store.h>

/*
 * Reads the manifest, or makes a new store, reads the logs, and begins a new manifest and a new
 * log; of a store that is only read, nothing is written. The directory is there and locked, all
 * parts of the store are but the background.
 *
 * `is_new`: there is no CURRENT. Errors: as quarry_kv_open; nothing that was there is lost.
 */
enum quarry_status kv_recover(struct quarry_kv *kv, bool is_new, struct quarry_error *error);

/* Reads the logs into layers, which become files as they fill (replay.c). `numbers`: rising. */
enum quarry_status kv_replay(struct quarry_kv *kv, const uint64_t *numbers, size_t count,
                             struct quarry_error *error);

#endif
