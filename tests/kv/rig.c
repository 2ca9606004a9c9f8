/* What the campaigns share: see rig.h. */
#include "kv/rig.h"

#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <quarry/memory.h>

struct rig_report *rig_report;

void rig_fail(const char *format, ...)
{
    char text[sizeof rig_report->text];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (rig_report != NULL) {
        memcpy(rig_report->text, text, sizeof text);
    } else {
        (void)fprintf(stderr, "failed: %s\n", text);
    }
    (void)fflush(NULL);
    _exit(1);
}

void rig_expect(enum quarry_status status, const struct quarry_error *error, const char *what)
{
    if (status != QUARRY_OK) {
        rig_fail("%s: %s: %s", what, quarry_status_name(status), error == NULL ? "" : error->text);
    }
}

struct quarry_memory *rig_memory_create(uint64_t limit_bytes)
{
    const struct quarry_memory_options options = {.limit_bytes = limit_bytes,
                                                  .has_no_thread = true};
    struct quarry_memory *memory = NULL;
    struct quarry_error error = {0};

    rig_expect(quarry_memory_create(&options, &memory, &error), &error, "quarry_memory_create");
    return memory;
}

/* ---- directories ---- */

void rig_directory_make(char *path, const char *name)
{
    const char *base = getenv("TMPDIR");

    if (base == NULL) { /* in memory, where that is: no campaign here asks what a real disk keeps */
        base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    }
    (void)snprintf(path, 64, "%.24s/quarry-%.16s-XXXXXX", base, name);
    if (mkdtemp(path) == NULL) {
        rig_fail("no directory %s", path);
    }
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

void rig_directory_remove(const char *path)
{
    (void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

struct copying {
    struct quarry_vfs *from, *to;
    const char *from_path, *to_path;
};

static void copy_file(const struct copying *copying, const char *from_path, const char *to_path)
{
    char bytes[16384];
    struct quarry_vfs_file *from = NULL, *to = NULL;
    struct quarry_error error = {0};
    size_t byte_count = 0;

    rig_expect(quarry_vfs_open(copying->from, from_path, QUARRY_VFS_READ, &from, &error), &error,
               "copy");
    rig_expect(quarry_vfs_open(copying->to, to_path,
                               QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_TRUNCATE, &to,
                               &error),
               &error, "copy");
    for (uint64_t offset = 0;; offset += byte_count) {
        rig_expect(quarry_vfs_read(from, offset, bytes, sizeof bytes, &byte_count, &error), &error,
                   "copy");
        if (byte_count == 0) {
            break;
        }
        rig_expect(quarry_vfs_write(to, offset, bytes, byte_count, &error), &error, "copy");
    }
    rig_expect(quarry_vfs_sync(to, &error), &error, "copy");
    quarry_vfs_close(from);
    quarry_vfs_close(to);
}

static bool copy_one(void *argument, const char *name)
{
    const struct copying *copying = argument;
    char from[QUARRY_VFS_PATH_BYTES_MAX], to[QUARRY_VFS_PATH_BYTES_MAX];
    uint64_t byte_count;
    bool is_directory = true;

    (void)snprintf(from, sizeof from, "%s/%s", copying->from_path, name);
    (void)snprintf(to, sizeof to, "%s/%s", copying->to_path, name);
    if (quarry_vfs_stat(copying->from, from, &byte_count, &is_directory, NULL) == QUARRY_OK &&
        !is_directory) {
        copy_file(copying, from, to);
    }
    return true;
}

void rig_copy_directory(struct quarry_vfs *from, const char *from_path, struct quarry_vfs *to,
                        const char *to_path)
{
    struct copying copying = {.from = from, .to = to, .from_path = from_path, .to_path = to_path};
    struct quarry_error error = {0};
    enum quarry_status status = quarry_vfs_make_directory(to, to_path, &error);

    if (status != QUARRY_OK && status != QUARRY_EXISTS) {
        rig_expect(status, &error, "copy");
    }
    rig_expect(quarry_vfs_list(from, from_path, copy_one, &copying, &error), &error, "copy");
    rig_expect(quarry_vfs_sync_directory(to, to_path, &error), &error, "copy");
}

/* ---- walks ---- */

static void compare_at(const struct quarry_kv_iterator *iterator, const struct model_state *state,
                       uint32_t index, const char *what)
{
    struct quarry_kv_slice key = quarry_kv_iterator_key(iterator);
    struct quarry_kv_slice value = quarry_kv_iterator_value(iterator);

    if (index >= state->count) {
        rig_fail("%s: a walk gives %.*s, where the model has ended", what, (int)key.byte_count,
                 (const char *)key.bytes);
    }
    const struct model_entry *entry = state->entries[index];
    if (!slices_are_same(key, entry->key)) {
        rig_fail("%s: a walk gives key %.*s, not %.*s, at %u", what, (int)key.byte_count,
                 (const char *)key.bytes, (int)entry->key.byte_count,
                 (const char *)entry->key.bytes, index);
    }
    if (!slices_are_same(value, entry->value)) {
        rig_fail("%s: a walk gives another value (%zu bytes, not %zu) of %.*s", what,
                 value.byte_count, entry->value.byte_count, (int)key.byte_count,
                 (const char *)key.bytes);
    }
}

void rig_compare(struct quarry_kv *kv, const struct quarry_kv_read_options *options,
                 const struct model_state *state, bool both, const char *what)
{
    struct quarry_kv_iterator *iterator = NULL;
    struct quarry_error error = {0};
    uint32_t index = 0;

    rig_expect(quarry_kv_iterate(kv, options, &iterator, &error), &error, what);
    for (bool is_at = quarry_kv_iterator_first(iterator); is_at;
         is_at = quarry_kv_iterator_next(iterator)) {
        compare_at(iterator, state, index++, what);
    }
    rig_expect(quarry_kv_iterator_status(iterator, &error), &error, what);
    if (index != state->count) {
        rig_fail("%s: a walk ends after %u keys of %u, before %.*s", what, index, state->count,
                 (int)state->entries[index]->key.byte_count,
                 (const char *)state->entries[index]->key.bytes);
    }
    for (bool is_at = both && quarry_kv_iterator_last(iterator); is_at;
         is_at = quarry_kv_iterator_previous(iterator)) {
        compare_at(iterator, state, --index, what);
    }
    rig_expect(quarry_kv_iterator_status(iterator, &error), &error, what);
    if (both && index != 0) {
        rig_fail("%s: a walk backward ends with %u keys left", what, index);
    }
    quarry_kv_iterator_destroy(iterator);
}

bool rig_scan_hash(struct quarry_kv *kv, uint64_t *ret_hash, struct quarry_error *ret_error)
{
    struct quarry_kv_iterator *iterator = NULL;
    uint64_t hash = MODEL_HASH_START;

    if (quarry_kv_iterate(kv, NULL, &iterator, ret_error) != QUARRY_OK) {
        return false;
    }
    for (bool is_at = quarry_kv_iterator_first(iterator); is_at;
         is_at = quarry_kv_iterator_next(iterator)) {
        hash = model_hash_pair(hash, quarry_kv_iterator_key(iterator),
                               quarry_kv_iterator_value(iterator));
    }
    bool is_whole = quarry_kv_iterator_status(iterator, ret_error) == QUARRY_OK;
    quarry_kv_iterator_destroy(iterator);
    *ret_hash = hash;
    return is_whole;
}

/* ---- command lines ---- */

const char *rig_argument_text(int argc, char **argv, const char *name)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], name) == 0) {
            return argv[i + 1];
        }
    }
    return NULL;
}

uint64_t rig_argument(int argc, char **argv, const char *name, uint64_t fallback)
{
    const char *text = rig_argument_text(argc, argv, name);

    return text == NULL ? fallback : strtoull(text, NULL, 0);
}
