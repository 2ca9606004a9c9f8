/*
 * What the files of repairing share: repair.c, repair_bench.c, repair_logs.c, repair_salvage.c,
 * repair_merge.c.
 */
#ifndef QUARRY_KV_REPAIR_PARTS_H
#define QUARRY_KV_REPAIR_PARTS_H

#include <quarry/arena.h>
#include <quarry/block.h>
#include <quarry/lifetime.h>

#include <kv/copy.h>
#include <kv/manifest.h>
#include <kv/sst/table_iterator.h>
#include <kv/sst/table_write.h>

enum kv_repair_fate {
    KV_REPAIR_STAYS,   /* it is the new manifest's, or nobody's business */
    KV_REPAIR_USED_UP, /* all of its entries are in new files */
    KV_REPAIR_LOST,    /* it is moved to lost/ */
};

/* A file that was found. */
struct kv_repair_file {
    struct kv_file_name name;
    uint64_t byte_count;
    enum kv_repair_fate fate;
};

/* Bytes of a key of an added file, until the end. */
struct kv_repair_key {
    struct kv_repair_key *next;
    char bytes[];
};

/* A repair, and what it works with: there is no store. */
struct kv_repair {
    struct quarry_memory *memory;
    const char *path;
    const struct quarry_kv_options *options;
    struct quarry_vfs *vfs;
    struct quarry_error *error;
    const struct quarry_kv_comparator *comparator;
    enum kv_edit_form form;
    struct quarry_vfs_lock *lock;

    /* the bench */
    struct quarry_account *account;
    struct quarry_lifetime *lifetime;
    struct kv_memory small;
    struct quarry_block_cache *cache;
    struct quarry_lane *lane;
    struct quarry_arena_keeper *keeper;
    struct kv_tables tables;
    bool has_tables;

    /* what there is */
    struct kv_repair_file *files; /* by kind and number */
    size_t file_count, file_capacity;
    struct kv_version *version; /* of the manifest that was there; NULL: it cannot be read */
    struct kv_manifest_state state;

    /* what there will be */
    struct kv_edit edit;
    struct kv_repair_key *keys;
    uint64_t next_file, last_sequence;
    uint64_t log_sequence; /* the last one that came out of a log */
};

/* ---- repair_bench.c ------------------------------------------------------------------------- */

enum quarry_status kv_repair_bench_init(struct kv_repair *repair);
void kv_repair_bench_fini(struct kv_repair *repair);

/* A table of a file that was found. `largest_sequence`: of an ingested one; UINT64_MAX: not known
 */
enum quarry_status kv_repair_open(struct kv_repair *repair, const struct kv_repair_file *file,
                                  uint64_t largest_sequence, struct kv_table **ret_table,
                                  struct quarry_error *error);
/* A table that is being written. */
struct kv_repair_output {
    struct kv_table_writer *writer; /* NULL: none */
    struct quarry_vfs_file *file;
    struct kv_path path;
    uint64_t number;
};
enum quarry_status kv_repair_output_begin(struct kv_repair *repair,
                                          struct kv_repair_output *output);
/* Finishes it, and enters it into the edit at a level. */
enum quarry_status kv_repair_output_end(struct kv_repair *repair, struct kv_repair_output *output,
                                        uint32_t level);
/* Gives it up. None does nothing. */
void kv_repair_output_abort(struct kv_repair *repair, struct kv_repair_output *output);

/* ---- repair_logs.c, repair_salvage.c, repair_merge.c
 * ---------------------------------------------------------- */

/*
 * Writes what can be read of the logs from `log_number` on, and of `previous_log`, to tables of
 * level 0.
 */
enum quarry_status kv_repair_logs(struct kv_repair *repair, uint64_t log_number,
                                  uint64_t previous_log);
/*
 * Writes what can be read of a damaged table to a new one at a level, if there is anything.
 * `file`: what the manifest says of it; NULL: nothing.
 */
enum quarry_status kv_repair_salvage(struct kv_repair *repair, struct kv_table *table,
                                     const struct kv_file *file, uint32_t level);
/*
 * Merges all tables that can be read, and those of the edit, into one run of the last level. The
 * edit has that alone then.
 */
enum quarry_status kv_repair_merge(struct kv_repair *repair);

#endif
