/*
 * What collecting symbols and merging them share.
 */
#ifndef QUARRY_TSDB_BLOCK_DICTIONARY_PARTS_H
#define QUARRY_TSDB_BLOCK_DICTIONARY_PARTS_H

#include <tsdb/block_dictionary.h>

#define BLOCK_RUNS_NAME    "symbols.tmp"
#define BLOCK_NUMBERS_NAME "numbers.tmp"

/* A string of a generation, by its local number. */
struct block_dictionary_entry {
    uint32_t offset;
    uint32_t length;
};

void block_dictionary_give_generation(struct block_dictionary *dictionary);

#endif
