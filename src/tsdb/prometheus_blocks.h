/*
 * The blocks of a Prometheus data directory.
 */
#ifndef QUARRY_TSDB_PROMETHEUS_BLOCKS_H
#define QUARRY_TSDB_PROMETHEUS_BLOCKS_H

#include <tsdb/block_meta.h>
#include <tsdb/prometheus_log.h>

/*
 * Lists them in the order of their first times, and of names where those are equal. What they hold
 * may overlap. What is under way there, directories of other names, is passed over.
 *
 * `ret_blocks`: struct block_meta, whose `ulid` is the name of the block's directory; own; end it
 * with block_array_fini. `losses`: blocks whose meta.json cannot be read are counted.
 * Errors: QUARRY_NOT_FOUND: no such directory; QUARRY_NO_MEMORY, of the vfs.
 * Cost: reads each meta.json.
 */
enum quarry_status prometheus_blocks_list(struct tsdb_memory *memory, struct quarry_vfs *vfs,
                                          const char *directory, struct block_array *ret_blocks,
                                          struct prometheus_losses *losses,
                                          struct quarry_error *error);

#endif
