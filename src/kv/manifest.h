/*
 * The manifest: the log of version edits that says which files make up the store, and CURRENT,
 * which names it. docs/formats/manifest.md has the bytes.
 */
#ifndef QUARRY_KV_MANIFEST_H
#define QUARRY_KV_MANIFEST_H

#include <kv/version.h>

/* The numbers that a manifest keeps besides files. */
struct kv_manifest_state {
    uint64_t manifest_number; /* of the file */
    uint64_t next_file;       /* no file has this number or a higher one */
    uint64_t last_sequence;
    uint64_t log_number;   /* logs below have nothing that is not in files */
    uint64_t previous_log; /* LevelDB's second log; 0: none */
    uint64_t minimum_log;  /* logs below are not needed; max of what RocksDB says */
    bool has_db_id;
    char db_id[64];         /* with NUL; kept when the manifest is written anew */
    enum kv_edit_form form; /* LEVELDB: it has no tag that LevelDB does not know */
    uint64_t byte_count;
    uint64_t record_count;
    bool has_torn_end; /* the last edit was torn, or damaged: it is not known which */
};

/*
 * Reads the manifest that CURRENT names.
 *
 * `ret_version`: one reference, own. Every file's size is that of the manifest: whether it is the
 * real one, see kv_manifest_check_files.
 * Errors: QUARRY_NOT_FOUND (no CURRENT), QUARRY_CORRUPT, QUARRY_UNSUPPORTED (another engine's
 * feature, by name), QUARRY_BAD_INPUT (another comparator: both names), QUARRY_IO,
 * QUARRY_NO_MEMORY. A torn record at the end is not an error; damage before it is.
 */
enum quarry_status kv_manifest_read(struct quarry_vfs *vfs, const char *directory,
                                    struct kv_memory *memory,
                                    const struct quarry_kv_comparator *comparator,
                                    struct kv_manifest_state *ret_state,
                                    struct kv_version **ret_version, struct quarry_error *error);

/* The same of one file, whatever CURRENT says; manifest_number is not set. */
enum quarry_status kv_manifest_read_file(struct quarry_vfs *vfs, const char *path,
                                         struct kv_memory *memory,
                                         const struct quarry_kv_comparator *comparator,
                                         struct kv_manifest_state *ret_state,
                                         struct kv_version **ret_version,
                                         struct quarry_error *error);

/*
 * Sees that each file is there, under either name, with its size. Errors: QUARRY_CORRUPT (which one
 * is lacking, or of another size), QUARRY_IO. Cost: a call of stat for each.
 */
enum quarry_status kv_manifest_check_files(struct quarry_vfs *vfs, const char *directory,
                                           const struct kv_version *version,
                                           struct quarry_error *error);

/* A manifest that is written to. */
struct kv_manifest;

struct kv_manifest_options {
    struct quarry_vfs *vfs; /* borrowed */
    const char *directory;  /* borrowed until it is closed */
    struct kv_memory *memory;
    const struct quarry_kv_comparator *comparator;
    enum kv_edit_form form;
    uint64_t byte_max; /* a new one is begun above it, and above twice its first size; 0: 64 MiB */
};

/*
 * Begins a new manifest with a snapshot, and has CURRENT name it. Files with has_sequences false
 * must not be at level 0 where the form is ROCKSDB: RocksDB would take them for nested.
 *
 * `state`: its next_file is the number of the manifest, and counts on.
 * `ret_manifest`: own. Errors: QUARRY_IO, QUARRY_NO_SPACE, QUARRY_NO_MEMORY: CURRENT is as it was,
 * or names the new one, which is whole.
 */
enum quarry_status kv_manifest_create(const struct kv_manifest_options *options,
                                      struct kv_manifest_state *state,
                                      const struct kv_version *version,
                                      struct kv_manifest **ret_manifest,
                                      struct quarry_error *error);
/* Whether the last call failed so that what is on the disk is not known; the next begins anew. */
bool kv_manifest_is_broken(const struct kv_manifest *manifest);
/* Closes it. NULL does nothing. */
void kv_manifest_close(struct kv_manifest *manifest);

/*
 * Appends an edit, and waits until it is on the disk.
 *
 * `edit`: gets the numbers of `state`. `version`: what the edit leads to: where this manifest has
 * become too large, or cannot be written to, a new one is begun with it, and this one removed.
 * Errors: QUARRY_IO, QUARRY_NO_SPACE, …: neither this manifest nor a new one could be written. The
 * edit may have taken effect or not, which is settled by the next call that succeeds, in favour of
 * its version: until then, remove no file that either needs. QUARRY_NO_MEMORY: nothing was written,
 * unless it was already so.
 * Threads: one at a time.
 */
enum quarry_status kv_manifest_append(struct kv_manifest *manifest, struct kv_manifest_state *state,
                                      struct kv_edit *edit, const struct kv_version *version,
                                      struct quarry_error *error);

/* Has CURRENT name a manifest: by a temporary file, renamed, and the directory synced. */
enum quarry_status kv_manifest_set_current(struct quarry_vfs *vfs, const char *directory,
                                           uint64_t number, struct quarry_error *error);

#endif
