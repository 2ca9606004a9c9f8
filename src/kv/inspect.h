/*
 * The files of a store, each read by itself, without opening the store: for tools.
 *
 *     struct kv_inspector *inspector;
 *     struct kv_table *table;
 *
 *     status = kv_inspector_create(memory, NULL, NULL, &inspector, &error);
 *     status = kv_inspect_table(inspector, "data/kv/000012.sst", &table, &error);
 *     if (status == QUARRY_OK) {
 *         … kv_table_properties(table), kv_table_iterator_init, kv_table_verify …
 *         kv_inspect_close(table);
 *     }
 *     kv_inspector_destroy(inspector);
 *
 * Nothing is written and no lock is taken: a file that a store is writing may look torn.
 *
 * Threads: one at a time.
 */
#ifndef QUARRY_KV_INSPECT_H
#define QUARRY_KV_INSPECT_H

#include <kv/backup_meta.h>
#include <kv/batch.h>
#include <kv/log_read.h>
#include <kv/manifest.h>
#include <kv/sst/table_iterator.h>

struct kv_inspector;

/*
 * `vfs`: borrowed until destroyed; NULL: quarry_vfs_posix(). `comparator`: likewise; NULL: memcmp.
 * `ret_inspector`: own. Errors: QUARRY_NO_MEMORY, QUARRY_BAD_INPUT.
 * Cost: 8 MiB of the memory's budget at most for blocks, and what is read.
 */
enum quarry_status kv_inspector_create(struct quarry_memory *memory, struct quarry_vfs *vfs,
                                       const struct quarry_kv_comparator *comparator,
                                       struct kv_inspector **ret_inspector,
                                       struct quarry_error *error);
/* All that was opened with it is closed. `inspector`: given; NULL does nothing. */
void kv_inspector_destroy(struct kv_inspector *inspector);

/* ---- tables --------------------------------------------------------------------------------- */

/*
 * Opens a table. One at a time: blocks are told apart by the file's number alone.
 * `ret_table`: own; end it with kv_inspect_close. Errors: as kv_table_open; QUARRY_NOT_FOUND.
 */
enum quarry_status kv_inspect_table(struct kv_inspector *inspector, const char *path,
                                    struct kv_table **ret_table, struct quarry_error *error);
/* `table`: given. */
void kv_inspect_close(struct kv_table *table);

/* Of its footer: 0 to 5; LevelDB's tables are of version 0. */
uint32_t kv_inspect_format_version(const struct kv_table *table);

/* A data block as it stands in its file. */
struct kv_inspect_block {
    uint64_t offset;
    uint64_t stored_bytes, plain_bytes; /* without and with what compression has saved */
    uint8_t compression;                /* enum quarry_kv_compression */
};
/* Returns: false: no more of them. */
typedef bool kv_inspect_block_function(void *argument, const struct kv_inspect_block *block);
/* Reads every data block, in order. Errors: QUARRY_CORRUPT, QUARRY_IO, QUARRY_NO_MEMORY. */
enum quarry_status kv_inspect_blocks(struct kv_table *table, kv_inspect_block_function *visit,
                                     void *argument, struct quarry_error *error);

/* ---- logs and manifests --------------------------------------------------------------------- */

/*
 * `record`: borrowed for the call. Returns: QUARRY_OK: on with the next; else what reading ends
 * with.
 */
typedef enum quarry_status kv_inspect_record_function(void *argument, struct kv_slice record,
                                                      struct quarry_error *error);
/*
 * Reads the records of a log or a manifest up to their end, which is told.
 * Errors: QUARRY_NOT_FOUND (no such file), QUARRY_IO, QUARRY_NO_MEMORY, what `visit` returns.
 */
enum quarry_status kv_inspect_records(struct kv_inspector *inspector, const char *path,
                                      kv_inspect_record_function *visit, void *argument,
                                      struct kv_log_end *ret_end, struct quarry_error *error);

/* What the edits of a manifest come to. `ret_version`: one reference, own: kv_version_release. */
enum quarry_status kv_inspect_manifest(struct kv_inspector *inspector, const char *path,
                                       struct kv_manifest_state *ret_state,
                                       struct kv_version **ret_version, struct quarry_error *error);
/* An empty edit, whose arrays are the inspector's: end it with kv_edit_fini. */
void kv_inspect_edit(struct kv_inspector *inspector, struct kv_edit *edit);

/*
 * The path of the manifest that CURRENT names in a directory.
 * Errors: QUARRY_NOT_FOUND, QUARRY_CORRUPT, QUARRY_IO.
 */
enum quarry_status kv_inspect_current(struct quarry_vfs *vfs, const char *directory,
                                      struct kv_path *ret_path, struct quarry_error *error);

/* ---- backups -------------------------------------------------------------------------------- */

struct kv_inspect_backup {
    uint32_t id;
    uint64_t taken_s; /* seconds since 1970 */
    uint64_t sequence, file_count, byte_count;
};
/*
 * What a backup is. With `verifies` each of its files is read and compared with its checksum.
 * Errors: QUARRY_NOT_FOUND: there is no such backup; QUARRY_CORRUPT: names the file.
 */
enum quarry_status kv_inspect_backup(struct quarry_vfs *vfs, const char *path, uint32_t id,
                                     bool verifies, struct kv_inspect_backup *ret_backup,
                                     struct quarry_error *error);

#endif
