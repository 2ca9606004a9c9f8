/*
 * Versions: which files make up the store, at one moment.
 *
 * A version is immutable. A change of files makes another, of an older one and of edits; readers of
 * the older one go on undisturbed. version.c has the essay.
 */
#ifndef QUARRY_KV_VERSION_H
#define QUARRY_KV_VERSION_H

#include <kv/edit.h>
#include <kv/key.h>
#include <kv/memory.h>

#include <os/os.h>
#include <ref/ref.h>

/*
 * A file. Immutable but for what is said. It belongs to the versions that have it, and to whoever
 * holds a reference.
 */
struct kv_file {
    _Atomic uint32_t reference_count;
    bool is_compacting;     /* guarded by the store's lock: a compaction has it as its input */
    bool wants_compaction;  /* whoever wrote it marked it */
    uint8_t temperature;    /* RocksDB's; kept */
    bool has_counts;        /* entry_count and its like are known */
    bool has_sequences;     /* false: of LevelDB's, whose manifest has none: 0 and the last one */
    uint64_t number;        /* unlike any other's, for ever */
    uint64_t byte_count;    /* of the file */
    struct kv_key smallest; /* what it lies in is the file's own */
    struct kv_key largest;  /* of the end of a range deletion: without the key itself */
    uint64_t smallest_sequence, largest_sequence;
    uint64_t oldest_ancestor_s, created_s;
    uint64_t entry_count, deletion_count, range_deletion_count;
    _Atomic(void *) table; /* its entry in the table cache; NULL: not open */
};

/* Whether the largest user key itself is not in the file: it is the end of a range deletion. */
static inline bool kv_file_is_open_ended(const struct kv_file *file)
{
    return file->largest.trailer == kv_trailer(KV_SEQUENCE_MAX, KV_TYPE_RANGE_DELETE);
}

/*
 * Files that do not overlap, by rising keys: a level from 1 on, or a sublevel of level 0.
 *
 *     files            │ f0 │ f1 │ f2 │ …
 *     largest_prefix8  │ p0 │ p1 │ p2 │ …     of each one's largest key, for the search, behind
 *                                             the `common_bytes` that all of these begin with
 */
struct kv_run {
    struct kv_file **files;
    uint64_t *largest_prefix8; /* NULL with a comparator other than memcmp's */
    uint32_t file_count;
    uint32_t common_bytes; /* 0: too few to be skipped, or largest_prefix8 is NULL */
    bool may_have_ranges;  /* of some file range deletions are known, or nothing is */
    uint64_t byte_count;
};

/*
 * A stretch of keys of level 0 between two neighbouring bounds of files, and how many files lie
 * over it. It ends where the next one begins.
 */
struct kv_interval {
    struct kv_slice key; /* where it begins */
    bool is_after;       /* just after that key */
    uint32_t depth;      /* files over it */
};

struct kv_versions;

/* What becomes of a file that no version has any more. `file`: its last reference, given. */
typedef void kv_obsolete_function(void *argument, struct kv_file *file);

struct kv_version {
    _Atomic uint32_t reference_count;
    uint32_t sublevel_count;
    const struct quarry_kv_comparator *comparator; /* borrowed */
    struct kv_memory *memory;                      /* borrowed; its own and its files' */
    struct kv_run levels[QUARRY_KV_LEVELS]; /* of level 0: files by falling sequences, the newest
                                               first, and no prefixes */
    struct kv_run *sublevels; /* of level 0, the newest first: of two files that overlap, the newer
                                 one is in an earlier run */
    uint32_t *sublevel_of;    /* of each file of levels[0]: index in sublevels */
    struct kv_interval *intervals; /* of level 0, by rising keys; one less than bounds */
    uint32_t interval_count;
    uint64_t number; /* they count up */
    /* guarded by the set's mutex */
    struct kv_versions *set;
    struct kv_version *next, *previous; /* of the set's living ones */
    struct kv_version *next_limbo;
    uint64_t stamp;
};

/* ---- building ------------------------------------------------------------------------------- */

/*
 * Gathers edits, and makes a version of them and an older one.
 */
struct kv_builder;

/*
 * `base`: borrowed until it is destroyed; NULL: nothing. Errors: QUARRY_NO_MEMORY.
 */
enum quarry_status kv_builder_create(struct kv_memory *memory,
                                     const struct quarry_kv_comparator *comparator,
                                     struct kv_version *base, struct kv_builder **ret_builder);
/* NULL does nothing. */
void kv_builder_destroy(struct kv_builder *builder);

/*
 * Adds what an edit removes and adds. Keys are copied.
 *
 * A file that is removed and added again in one edit is moved: the same struct kv_file where
 * the base has it.
 * Errors: QUARRY_CORRUPT (a file is removed that is not there, added that is there; a level that
 * does not exist; the smallest key is not below the largest; sequences the wrong way),
 * QUARRY_NO_MEMORY. After one the builder is to be destroyed.
 */
enum quarry_status kv_builder_apply(struct kv_builder *builder, const struct kv_edit *edit,
                                    struct quarry_error *error);

/* What the largest sequence of files can be whose own are not known. Before finishing. */
void kv_builder_bound_sequences(struct kv_builder *builder, uint64_t last_sequence);

/*
 * Makes the version. `ret_version`: one reference, own.
 * Errors: QUARRY_CORRUPT (files of a level overlap), QUARRY_NO_MEMORY: the builder can be asked
 * again.
 */
enum quarry_status kv_builder_finish(struct kv_builder *builder, struct kv_version **ret_version,
                                     struct quarry_error *error);

/*
 * A version with files at its levels, in order, whose sublevels and intervals are to be made.
 * Errors: QUARRY_NO_MEMORY.
 */
enum quarry_status kv_version_create(struct kv_memory *memory,
                                     const struct quarry_kv_comparator *comparator,
                                     struct kv_version **ret_version);
enum quarry_status kv_version_index_level0(struct kv_version *version);
/* Frees it. Files that it was the last to have are given to `obsolete`. */
void kv_version_free(struct kv_version *version, kv_obsolete_function *obsolete, void *argument);

/* ---- references ----------------------------------------------------------------------------- */

void kv_version_acquire(struct kv_version *version);
/* The last one frees it, or has its set free it when no reader can be in it any more. */
void kv_version_release(struct kv_version *version);
void kv_file_acquire(struct kv_file *file);
/* Of a file that versions have as well: it is not the last one. */
void kv_file_release(struct kv_file *file);

/*
 * The versions of a store: the current one, and those that somebody still reads. In its owner's
 * memory.
 *
 * Readers inside the epoch use the current one without a count; iterators and compactions count.
 */
struct kv_versions {
    _Atomic(void *) current;    /* struct kv_version; never NULL after the first install */
    struct quarry_epoch *epoch; /* borrowed */
    struct os_mutex mutex;
    /* guarded by mutex */
    struct kv_version *live;  /* all of them, in no order */
    struct kv_version *limbo; /* without references, but readers may be inside; by rising stamps */
    struct kv_version *limbo_last;
    uint64_t next_number;
    uint32_t live_count;
};

void kv_versions_init(struct kv_versions *set, struct quarry_epoch *epoch);
/* Nobody reads any more. Frees all; every counted reference has been released. */
void kv_versions_fini(struct kv_versions *set);
/* Makes a version the current one. `version`: given: its reference is the set's. */
void kv_versions_install(struct kv_versions *set, struct kv_version *version);
/* Returns: borrowed until the epoch is left. Inside it. Cost: a load. */
static inline struct kv_version *kv_versions_current(const struct kv_versions *set)
{
    /* Acquire: pairs with the release in kv_versions_install. */
    return atomic_load_acquire_ptr(&set->current);
}
/* Returns: counted. Threads: any, inside the epoch or not. */
struct kv_version *kv_versions_acquire(struct kv_versions *set);
/*
 * Frees the versions that nobody can be in any more, and tells of files that have become obsolete:
 * `obsolete` owns the file's last reference, and ends it with kv_file_free. Called with no lock.
 */
void kv_versions_collect(struct kv_versions *set, kv_obsolete_function *obsolete, void *argument);
void kv_file_free(struct kv_memory *memory, struct kv_file *file);
/* Calls `visit` for each file of each version that is alive, a file more than once; locked. */
void kv_versions_visit_live(struct kv_versions *set,
                            void (*visit)(void *argument, const struct kv_file *file),
                            void *argument);

/* ---- searching ------------------------------------------------------------------------------ */

/* The eight bytes of a key behind those that all have. It begins with them, or nothing is had. */
static inline uint64_t kv_run_prefix8(const struct kv_run *run, struct kv_slice key)
{
    size_t skipped = size_min(key.count, run->common_bytes), left = key.count - skipped;

    if (left < sizeof(uint64_t) && left != 0 && key.count >= sizeof(uint64_t)) {
        /* The key's last word, without what is skipped of it, filled with zeros. */
        return endian_load_be_u64(key.bytes + key.count - sizeof(uint64_t)) << (64 - 8 * left);
    }
    return kv_prefix8(kv_slice(key.bytes + skipped, left));
}
/*
 * The first file of a run whose largest key is at or after a user key; file_count: none. Whether
 * the key is in the file's range is to be looked at: kv_file_may_have.
 *
 * `prefix8`: kv_prefix8(key). Cost: a binary search over numbers, and a compare or two.
 */
uint32_t kv_run_find(const struct kv_run *run, const struct quarry_kv_comparator *comparator,
                     struct kv_slice key, uint64_t prefix8);
/* The same for an internal key: the first file whose largest internal key is at or after it. */
uint32_t kv_run_find_key(const struct kv_run *run, const struct quarry_kv_comparator *comparator,
                         struct kv_key key, uint64_t prefix8);
/* Whether a user key lies between a file's bounds. */
bool kv_file_may_have(const struct kv_file *file, const struct quarry_kv_comparator *comparator,
                      struct kv_slice key);

/* A range of user keys: bytes NULL: from or to the end. */
struct kv_key_range {
    struct kv_slice begin, end;
    bool is_end_open; /* without `end` itself */
};
/* A run with room for files, whose own members are to be filled in; then kv_run_index. */
enum quarry_status kv_run_init(struct kv_run *run, struct kv_memory *memory, uint32_t file_count,
                               bool has_prefixes);
void kv_run_fini(struct kv_run *run, struct kv_memory *memory);
/* Fills in what follows from the files. */
void kv_run_index(struct kv_run *run);

/* Puts pointers into order, in place. `is_before`: whether a comes before b. */
typedef bool kv_is_before_function(const void *argument, const void *a, const void *b);
void kv_sort(void **members, size_t count, kv_is_before_function *is_before, const void *argument);
/* By rising smallest keys; `argument`: struct quarry_kv_comparator. */
bool kv_file_is_before(const void *argument, const void *a, const void *b);
/* Of level 0: by falling sequences, the newest first. */
bool kv_file_is_newer(const void *argument, const void *a, const void *b);

/* From the smallest to the largest key of a file. */
struct kv_key_range kv_file_range(const struct kv_file *file);
/* Makes a range cover another as well. */
void kv_range_join(struct kv_key_range *range, const struct quarry_kv_comparator *comparator,
                   const struct kv_key_range *other);
bool kv_ranges_overlap(const struct quarry_kv_comparator *comparator, const struct kv_key_range *a,
                       const struct kv_key_range *b);
/* The files of a run that overlap a range: [*ret_from, *ret_to). Returns: whether there are any. */
bool kv_run_overlap(const struct kv_run *run, const struct quarry_kv_comparator *comparator,
                    const struct kv_key_range *range, uint32_t *ret_from, uint32_t *ret_to);
/* Whether any file of the levels from `level` on overlaps a range. */
bool kv_version_has_below(const struct kv_version *version, uint32_t level,
                          const struct kv_key_range *range);

/* Checks every invariant. Errors: QUARRY_CORRUPT. For tests and quarry_kv_validate. */
enum quarry_status kv_version_validate(const struct kv_version *version,
                                       struct quarry_error *error);

/* An edit that adds all files to nothing: a snapshot. `edit`: empty; keys are borrowed from the
 * version. Errors: QUARRY_NO_MEMORY. */
enum quarry_status kv_version_snapshot(const struct kv_version *version, struct kv_edit *edit);
/* The edit's line for a file at a level. */
struct kv_edit_file kv_file_describe(const struct kv_file *file, uint32_t level);

#endif
