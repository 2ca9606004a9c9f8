/*
 * All keys of a tenant: lru_crawler metadump and mgdump, stats cachedump.
 */
#ifndef QUARRY_SERVE_MEMCACHED_DUMP_H
#define QUARRY_SERVE_MEMCACHED_DUMP_H

#include <serve/memcached.h>

/*
 * Reads which classes of cells are meant: `all`, `hash`, or numbers with commas between. Returns:
 * false: there can be no such class.
 */
bool memcached_dump_read_classes(struct memcached_word word, struct memcached_dumping *dumping);
void memcached_dump_add_class(struct memcached_dumping *dumping, uint32_t class_id);

/* Begins; the cursor is behind the line. */
enum memcached_step memcached_dump_begin(struct memcached_turn *turn,
                                         const struct memcached_dumping *dumping);

#endif
