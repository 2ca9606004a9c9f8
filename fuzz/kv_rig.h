/*
 * What fuzz targets of tables stand on: a memory, a block cache and tables, made once.
 */
#ifndef QUARRY_FUZZ_KV_RIG_H
#define QUARRY_FUZZ_KV_RIG_H

#include <kv/sst/tables.h>

/* Returns: borrowed for ever; with memcmp's order. */
struct kv_tables *fuzz_tables(void);

#endif
