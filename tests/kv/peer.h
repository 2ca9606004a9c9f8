/*
 * RocksDB's library, set up so that it means by merges and orders what the tests' options mean.
 */
#ifndef QUARRY_TESTS_KV_PEER_H
#define QUARRY_TESTS_KV_PEER_H

#include <rocksdb/c.h>

#include "kv/model.h"

/* Merges as quarry_kv_merge_append(',') does. `is_reverse`: as meta_reverse orders. Own. */
rocksdb_options_t *peer_options(bool is_reverse);
void peer_add(rocksdb_writebatch_t *batch, const struct change *change);

#endif
