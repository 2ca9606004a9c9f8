/*
 * The symbols of an index: strings by number, read where they are.
 */
#ifndef QUARRY_TSDB_BLOCK_SYMBOLS_H
#define QUARRY_TSDB_BLOCK_SYMBOLS_H

#include <tsdb/block_file.h>

/* Pages that are kept, and their bytes: 1 MiB in all. The names of a store fit into one or two. */
#define BLOCK_SYMBOLS_PAGES      256u
#define BLOCK_SYMBOLS_PAGE_BYTES 4096u

struct block_symbols {
    struct block_in in;         /* of the index */
    struct block_array offsets; /* uint32_t: of every 32nd symbol, from `start` */
    uint8_t *pages;             /* own */
    uint64_t *page_tags;        /* own; which page of the file, plus 1 */
    uint64_t start;             /* of the symbols, behind their count */
    uint64_t end;               /* behind the last one */
    uint32_t count;
};

/*
 * Opens the symbols of an index that is in a file at `offset`, and checks them.
 *
 * `path`: given, also on failure; NULL: there was no memory for it.
 * Errors: QUARRY_CORRUPT, QUARRY_NO_MEMORY, QUARRY_IO. Cost: reads them once; 4 bytes of memory for
 * 32 symbols, and 1 MiB.
 */
enum quarry_status block_symbols_open(struct block_symbols *ret_symbols, struct tsdb_memory *memory,
                                      struct quarry_vfs *vfs, char *path, uint64_t offset,
                                      struct quarry_error *error);
/* All-zero does nothing. */
void block_symbols_fini(struct block_symbols *symbols);
/*
 * Appends the symbol of a number to `bytes`. Errors: QUARRY_CORRUPT: there is no such symbol;
 * QUARRY_NO_MEMORY, QUARRY_IO. Cost: up to 32 symbols are looked at.
 */
enum quarry_status block_symbols_append(struct block_symbols *symbols, uint32_t number,
                                        struct block_array *bytes, struct quarry_error *error);

#endif
