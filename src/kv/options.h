/*
 * Options as an open store has them: checked, and no default left to be looked up.
 */
#ifndef QUARRY_KV_OPTIONS_H
#define QUARRY_KV_OPTIONS_H

#include <quarry/kv.h>

#include <base/base.h>

/* The longest name of a filter policy: with what stands before it, a key of a table's metaindex. */
#define KV_FILTER_NAME_BYTES_MAX 200u
/* The least budget that a store works in. */
#define KV_MEMORY_BYTES_MIN Q_MIB(8)

/*
 * Fills in the defaults. `options`: borrowed; NULL: all of them.
 *
 * `ret_options`: no member that has a default is zero, but block_cache_bytes, where its own cache
 * follows the budget. `ret_budget_bytes`: what it may have of the memory.
 * Errors: QUARRY_BAD_INPUT (which option, and why), QUARRY_NO_MEMORY (the budget is too small).
 */
enum quarry_status kv_options_resolve(struct quarry_memory *memory,
                                      const struct quarry_kv_options *options,
                                      struct quarry_kv_options *ret_options,
                                      uint64_t *ret_budget_bytes, struct quarry_error *error);

#endif
