/*
 * The symbols of an index that is written: collected, numbered in their order, looked up again.
 *
 * Strings are interned for as long as memory lasts: a *generation*. Its numbers are *local*: dense
 * from 0, in the order in which strings came. Then it is written sorted, as a run, and the next one
 * begins. When all are there, the runs are merged into the table of symbols, and each run learns
 * the final numbers of its strings. Who has written local numbers down reads them in the same
 * generations, and needs the numbers of one at a time.
 */
#ifndef QUARRY_TSDB_BLOCK_DICTIONARY_H
#define QUARRY_TSDB_BLOCK_DICTIONARY_H

#include <tsdb/block_file.h>
#include <tsdb/block_sort.h>
#include <tsdb/types.h>

struct block_dictionary_run {
    uint64_t offset;     /* in the file of runs */
    uint64_t end;        /* likewise */
    uint64_t pair_start; /* in the file of numbers, in pairs */
    uint32_t count;      /* strings */
};

struct block_dictionary {
    struct tsdb_memory *memory; /* borrowed */
    struct quarry_vfs *vfs;     /* borrowed */
    const char *directory;      /* borrowed */
    struct block_out runs_out;
    struct block_array runs; /* struct block_dictionary_run */
    /* of the generation; own, given back by block_dictionary_merge */
    char *strings;
    struct block_dictionary_entry *entries;
    struct block_record *records;
    uint32_t *slots; /* local number + 1, or 0 */
    size_t string_capacity, string_count;
    uint32_t entry_capacity, entry_count;
    uint32_t slot_mask;
    /* once merged */
    struct block_in numbers_in;
    struct block_array map; /* uint32_t by local number: of the generation that was loaded */
};

/*
 * Begins. `directory`: where temporary files are made; borrowed, as the others, until fini.
 * `sort_bytes`: how much memory a generation is to have. Errors: QUARRY_NO_MEMORY, of the vfs.
 */
enum quarry_status block_dictionary_init(struct block_dictionary *dictionary,
                                         struct tsdb_memory *memory, struct quarry_vfs *vfs,
                                         const char *directory, size_t sort_bytes,
                                         struct quarry_error *error);
void block_dictionary_fini(struct block_dictionary *dictionary);

/* Whether strings of so many bytes in all still fit. */
bool block_dictionary_has_room(const struct block_dictionary *dictionary, size_t string_count,
                               size_t byte_count);
/* Whether they would if the generation were a new one. */
bool block_dictionary_could_hold(const struct block_dictionary *dictionary, size_t string_count,
                                 size_t byte_count);
/* The local number of a string, for which there is room. */
uint32_t block_dictionary_intern(struct block_dictionary *dictionary, struct tsdb_slice string);
/* Ends a generation, unless it is empty, and begins the next. Errors: of the vfs. */
enum quarry_status block_dictionary_spill(struct block_dictionary *dictionary,
                                          struct quarry_error *error);
/*
 * Ends all of them, and writes the table of symbols to `out`. Errors: QUARRY_TOO_LARGE: it passes
 * 4 GiB; QUARRY_NO_MEMORY, of the vfs. Cost: O(strings × log generations).
 */
enum quarry_status block_dictionary_merge(struct block_dictionary *dictionary,
                                          struct block_out *out, struct quarry_error *error);
/* Has the final numbers of a generation, counted from 0, in `map`. */
enum quarry_status block_dictionary_load(struct block_dictionary *dictionary, size_t generation,
                                         struct quarry_error *error);

#endif
