/*
 * What flushes and compactions write: tables one after another, and range deletions cut to fit.
 */
#ifndef QUARRY_KV_COMPACT_OUTPUT_H
#define QUARRY_KV_COMPACT_OUTPUT_H

#include <kv/background_parts.h>

/* ---- range deletions ------------------------------------------------------------------------ */

/* Range deletions that are gathered, with bytes of their own. All-zero but for `memory` is none. */
struct kv_ranges {
    struct kv_memory *memory; /* borrowed */
    const struct quarry_kv_comparator *comparator;
    struct kv_range *ranges; /* the bytes of each in one piece, at begin.bytes */
    size_t count, capacity;
};

void kv_ranges_init(struct kv_ranges *ranges, struct kv_memory *memory,
                    const struct quarry_kv_comparator *comparator);
void kv_ranges_fini(struct kv_ranges *ranges);
/* Adds all of a layer's. `fragments`: borrowed; NULL: none. Errors: QUARRY_NO_MEMORY. */
enum quarry_status kv_ranges_add_fragments(struct kv_ranges *ranges,
                                           const struct kv_fragments *fragments);
/* Adds a table's, cut to the bounds that the manifest has for it. Errors: QUARRY_NO_MEMORY. */
enum quarry_status kv_ranges_add_table(struct kv_ranges *ranges, const struct kv_file *file,
                                       const struct kv_table *table);
/* All of them as fragments; NULL: none. Their keys are borrowed from `ranges`. */
enum quarry_status kv_ranges_finish(const struct kv_ranges *ranges,
                                    struct kv_fragments **ret_fragments);

/* ---- tables --------------------------------------------------------------------------------- */

/* A table that is whole. */
struct kv_output_file {
    struct kv_edit_file line; /* its keys in `keys` */
    char *keys;               /* own */
};

struct kv_output_options {
    struct quarry_kv *kv;
    uint32_t level;
    bool is_small; /* with small buffers */
    bool has_no_filter;
    const struct kv_stripes *stripes;
    struct kv_fragments *fragments; /* borrowed; NULL: none */
    /* Whether deletions of a range have nothing below to delete. NULL: they have. */
    bool (*is_bare)(void *argument, const struct kv_key_range *range);
    void *argument;
    uint64_t oldest_ancestor_s;
};

struct kv_output {
    struct kv_output_options options;
    struct kv_memory *memory;
    struct kv_output_file *files;
    size_t file_count, file_capacity;
    uint64_t written_bytes, written_entries;
    uint64_t told_bytes; /* of the file, to the throttle */
    /* the one that is being written */
    struct quarry_vfs_file *file; /* NULL: none */
    struct kv_table_writer *writer;
    uint64_t number;
    struct kv_slice lower; /* it begins there; bytes NULL: with the first */
    char *lower_bytes;     /* own */
    size_t lower_capacity;
    uint32_t fragment; /* the first one that is not behind */
};

void kv_output_init(struct kv_output *output, const struct kv_output_options *options);
/* Removes what was written, unless kv_output_keep was called, and frees all. */
void kv_output_fini(struct kv_output *output);
/* Adds an entry; a table is begun if none is. Errors: any. */
enum quarry_status kv_output_add(struct kv_output *output, struct kv_key key, struct kv_slice value,
                                 struct quarry_error *error);
/* About how many bytes the table has; 0: none is begun. */
uint64_t kv_output_bytes(const struct kv_output *output);
/*
 * Ends the table with the range deletions up to `upper`, a user key; bytes NULL: all that are left,
 * in a table of their own if there is none. Errors: any.
 */
enum quarry_status kv_output_cut(struct kv_output *output, struct kv_slice upper,
                                 struct quarry_error *error);
/* Puts all tables into an edit; their keys are borrowed. Makes their names durable. Errors: any. */
enum quarry_status kv_output_list(struct kv_output *output, struct kv_edit *edit,
                                  struct quarry_error *error);
/* They have been installed. */
void kv_output_keep(struct kv_output *output);

#endif
