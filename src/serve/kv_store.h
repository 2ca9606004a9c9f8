/*
 * The key-value store, as the configuration wants it.
 */
#ifndef QUARRY_SERVE_KV_STORE_H
#define QUARRY_SERVE_KV_STORE_H

#include <keyspace/keyspace.h>

#include <serve/config.h>
#include <serve/data_dir.h>

/*
 * Opens the store in the folder, and logs what was found there. Where the memory is too little for
 * it, and nobody has asked for a RESP door, there is none, which is logged.
 *
 * `memory`: borrowed until the store is closed. `budget_bytes`: the memory's limit. `ret_keyspace`:
 * own; NULL: none is wanted, or can be. Errors: as keyspace_open.
 */
enum quarry_status serve_kv_open(struct quarry_memory *memory, const struct serve_config *config,
                                 const struct serve_data_dir *data_dir, uint64_t budget_bytes,
                                 struct keyspace **ret_keyspace, struct quarry_error *error);
/* Closes it, and logs what that came to. NULL does nothing. */
void serve_kv_close(struct keyspace *keyspace);

#endif
