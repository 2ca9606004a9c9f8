/*
 * A store at a moment, as files: what a checkpoint and a backup are made of.
 */
#ifndef QUARRY_KV_CHECKPOINT_H
#define QUARRY_KV_CHECKPOINT_H

#include <kv/background.h>

/* Files and numbers that belong together; the files stay while it is held. */
struct kv_capture {
    struct kv_version *version;
    struct kv_manifest_state state;
};

/*
 * Writes memtables to files, and takes what there is then.
 * Errors: those of quarry_kv_flush; QUARRY_PERMISSION: it is read-only, and has changes that are in
 * no file. End it with kv_capture_release.
 */
enum quarry_status kv_capture_take(struct quarry_kv *kv, struct kv_capture *ret_capture,
                                   struct quarry_error *error);
void kv_capture_release(struct kv_capture *capture);

/*
 * Writes a manifest, an OPTIONS file and, the last of all, CURRENT to a directory whose tables are
 * there and synced.
 *
 * `ret_manifest`, `ret_options`: the numbers in their names.
 */
enum quarry_status kv_capture_write(struct quarry_kv *kv, const struct kv_capture *capture,
                                    const char *directory, uint64_t *ret_manifest,
                                    uint64_t *ret_options, struct quarry_error *error);

#endif
