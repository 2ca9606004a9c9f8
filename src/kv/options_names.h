/*
 * Options by name: Quarry's own, and RocksDB's for the same things.
 */
#ifndef QUARRY_KV_OPTIONS_NAMES_H
#define QUARRY_KV_OPTIONS_NAMES_H

#include <quarry/kv.h>

#include <base/base.h>

/* Text of any option's value, with its NUL. */
#define KV_OPTION_VALUE_BYTES 64u

/*
 * Sets an option from a file of RocksDB's. As quarry_kv_options_set, but that what RocksDB knows
 * and Quarry has no use for is passed over.
 *
 * Returns: QUARRY_NOT_FOUND: a name that Quarry does not know; nothing was set.
 */
enum quarry_status kv_options_set_rocksdb(struct quarry_kv_options *options, const char *name,
                                          const char *value, struct quarry_error *error);

/* How many options quarry_kv_options_set knows by Quarry's names; the name of one; its value. */
uint32_t kv_option_count(void);
const char *kv_option_name(uint32_t index);
/* As quarry_kv_options_set reads it. Returns: `value`. */
const char *kv_option_format(const struct quarry_kv_options *options, uint32_t index,
                             char value[KV_OPTION_VALUE_BYTES]);

#endif
