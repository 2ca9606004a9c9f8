/*
 * An open store: what its parts share.
 *
 *     writers ──> commit ──> memtable, log          readers ──> view ──> layers, version
 *                    │  full: rotate                   ↑ published
 *     background ────┴──> flush, compaction ──> install: manifest, version, view
 *
 * Three locks, in rank order, none held while a file is read or written but the install lock:
 *
 *     install   one change of the files at a time: manifest, version
 *     commit    the order of writes: sequence, log, room in the memtable; rotating
 *     store     lists: layers, picks, snapshots, what background threads do
 *
 * Who takes a lower one under a higher one ends the program in debug builds (os.h).
 */
#ifndef QUARRY_KV_STORE_H
#define QUARRY_KV_STORE_H

#include <quarry/arena.h>
#include <quarry/block.h>
#include <quarry/epoch.h>
#include <quarry/kv.h>

#include <budget/budget.h>
#include <kv/log_write.h>
#include <kv/manifest.h>
#include <kv/memtable.h>
#include <kv/pick.h>
#include <kv/sst/table_iterator.h>
#include <kv/sst/table_read.h>
#include <kv/sst/table_write.h>
#include <kv/sst/tables.h>
#include <kv/table_cache.h>
#include <kv/version.h>

struct kv_background; /* background.h */
struct kv_throttle;   /* throttle.h */
struct kv_log_set;    /* log_set.h */
struct kv_reads;      /* read.h */

/* Whose bytes: accounts below the store's own, each with an owner of its name. */
enum kv_part {
    KV_PART_META,       /* versions, open tables, small structures */
    KV_PART_MEMTABLE,   /* arenas, large batches, the log's windows */
    KV_PART_READ,       /* iterators, copies, batches */
    KV_PART_COMPACTION, /* writers, their buffers, readahead */
    KV_PARTS
};

/* Figures that many threads count; read by stats. One line each would be too many: relaxed adds of
 * what is rare, and of what is frequent once per so many in a thread's own stripe. */
#define KV_COUNT_STRIPES 16u
/* Layers that may wait to be flushed beyond write_buffer_count: large batches, explicit flushes. */
#define KV_SPARE_LAYERS 6u
enum kv_count {
    KV_COUNT_PUTS,
    KV_COUNT_DELETES,
    KV_COUNT_MERGES,
    KV_COUNT_RANGE_DELETES,
    KV_COUNT_BATCHES,
    KV_COUNT_GETS,
    KV_COUNT_GET_HITS,
    KV_COUNT_SEEKS,
    KV_COUNT_STEPS,
    KV_COUNT_FILTER_USEFUL,
    KV_COUNT_FILTER_PASSED,
    KV_COUNT_FILTER_FALSE,
    KV_COUNT_WRITTEN_BYTES,
    KV_COUNT_READ_BYTES,
    KV_COUNT_LOG_BYTES,
    KV_COUNT_FLUSHES,
    KV_COUNT_FLUSH_BYTES,
    KV_COUNT_COMPACTIONS,
    KV_COUNT_MOVES,
    KV_COUNTS
};
struct kv_counts_stripe {
    _Alignas(64) _Atomic uint64_t count[KV_COUNTS];
};

struct quarry_kv_snapshot {
    uint64_t sequence;
    uint64_t taken_ns;                          /* 0: an iterator's */
    struct quarry_kv_snapshot *next, *previous; /* guarded by the store's mutex */
};

struct quarry_kv {
    /* ---- const while it is open ---- */
    struct quarry_memory *memory;
    struct os *os;
    char *path;
    struct quarry_kv_options options; /* no member that has a default is zero */
    struct quarry_vfs *vfs;
    struct quarry_vfs_lock *lock; /* NULL: read-only */
    const struct quarry_kv_comparator *comparator;
    const struct quarry_kv_merge_operator *merge_operator; /* NULL: none */
    bool is_bytewise;       /* the order is memcmp's: prefixes may be compared */
    bool is_read_only;      /* opened so */
    bool has_foreign_files; /* RocksDB or LevelDB has written here: its LOG is there */
    enum kv_edit_form form;
    struct quarry_account *account, *part[KV_PARTS];
    uint64_t budget_bytes;            /* of all parts, as it was when the store was opened */
    uint64_t write_memory_max;        /* of it: what one write may take, in all */
    uint64_t reserve_bytes;           /* of it, that is kept for flushes and compactions; 0: none */
    struct quarry_lifetime *lifetime; /* of all small memory */
    struct quarry_pool *pool;
    struct kv_memory small[KV_PARTS]; /* by part */
    struct quarry_epoch *epoch;       /* of readers */
    struct quarry_lane *lane;         /* of memtables */
    struct quarry_arena_keeper *keeper;
    struct quarry_block_cache *cache;
    bool owns_cache;
    struct kv_tables tables;
    struct kv_table_cache *table_cache;
    struct kv_pins pins;

    /* ---- readers ---- */
    _Atomic(void *) view;              /* struct kv_view; see view.h */
    _Atomic uint64_t visible_sequence; /* all changes up to it can be read */
    struct kv_counts_stripe *counts;   /* KV_COUNT_STRIPES */
    _Atomic uint32_t snapshot_count, iterator_count, value_count;
    _Atomic uint64_t flush_count; /* changes of files that have taken layers off the list */
    struct kv_reads *reads;       /* const while it is open; kv_reads_create, kv_reads_destroy */

    /* ---- commit ---- */
    struct os_mutex commit_mutex;
    /* guarded by commit_mutex */
    uint64_t last_sequence; /* given out */
    struct kv_log_set *log;
    /* its own */
    struct kv_commit *commit; /* commit.c: the ring in which writes are published */

    /* ---- install ---- */
    struct os_mutex install_mutex;
    /* guarded by install_mutex */
    struct kv_manifest *manifest;
    struct kv_manifest_state manifest_state;
    struct kv_versions versions;

    /* ---- store ---- */
    struct os_mutex mutex;
    _Atomic uint64_t next_file;
    /* guarded by mutex */
    struct kv_layer *mutable_layer; /* changed with commit_mutex as well */
    struct kv_layer **immutable;    /* the oldest first */
    size_t immutable_count, immutable_capacity;
    struct kv_picks picks;
    struct quarry_kv_snapshot *snapshots, *snapshots_last;
    struct kv_view *retired_views; /* readers may be inside */
    uint32_t deletions_off;        /* > 0: files are not deleted: a checkpoint is made */
    struct quarry_kv_state state;  /* and is_failed, below */
    _Atomic bool is_failed;        /* read-only by an error; `state` has it */
    _Atomic bool is_closing;
    struct kv_background *background;
    struct kv_throttle *throttle;
};

/*
 * Puts a sequence into the list of snapshots, so that flushes and compactions keep what is visible
 * at it; takes it off. `at`: the caller's until then. `sequence`: NULL: what is visible now. Cost:
 * the mutex, and a step for each snapshot that is newer.
 */
void kv_snapshot_link(struct quarry_kv *kv, struct quarry_kv_snapshot *at,
                      const uint64_t *sequence);
void kv_snapshot_unlink(struct quarry_kv *kv, struct quarry_kv_snapshot *at);

/* A number that no file has. Threads: any. */
static inline uint64_t kv_new_file_number(struct quarry_kv *kv)
{
    return atomic_add_relaxed_u64(&kv->next_file, 1);
}

static inline void kv_count(struct quarry_kv *kv, enum kv_count which, uint64_t more)
{
    struct kv_counts_stripe *stripe = &kv->counts[os_thread_id() % KV_COUNT_STRIPES];

    (void)atomic_add_relaxed_u64(&stripe->count[which], more);
}

/* All changes up to it are in the memtables that a view taken afterwards has. */
static inline uint64_t kv_visible_sequence(const struct quarry_kv *kv)
{
    /* Acquire: pairs with the release of who published. */
    return atomic_load_acquire_u64(&kv->visible_sequence);
}

#endif
