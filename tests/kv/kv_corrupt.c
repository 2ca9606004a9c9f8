/*
 * `kv_corrupt [--seeds N] [--stride N] [--seed SEED --file NAME --at OFFSET]`: damaged stores.
 *
 * A small store is made, with tables on several levels, a log and a manifest. Of each of its files
 * each byte is changed, the file is cut off at each length, is missing, or has the bytes of
 * another. The store is opened then, half of the time to be read only; everything is read by key
 * and by walking over it.
 *
 * What is wrong is told, or what is read is right. A log's end that is damaged is a log that ends
 * earlier, as after a loss of power, so what is read may be how the store was before; the same goes
 * for a manifest that is cut off.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <quarry/memory.h>

#include <base/assert.h>
#include <base/size.h>

#include "kv/workload.h"

#define STEPS     160u
#define FILES_MAX 64u

struct file {
    char name[64];
    uint64_t byte_count;
};
struct corrupt {
    uint64_t seed;
    struct quarry_kv_options options;
    struct quarry_memory *memory;
    struct quarry_vfs *disk;
    struct journal journal;
    uint32_t file_count;
    struct file files[FILES_MAX];
    uint64_t told_count, right_count, earlier_count;
};

/* What is done to a file. */
enum damage { DAMAGE_BYTE, DAMAGE_CUT, DAMAGE_MISSING, DAMAGE_SWAP };
struct mutation {
    enum damage damage;
    const struct file *file;
    uint64_t at;
};

/* ---- the store ---- */

static void make_store(struct corrupt *corrupt)
{
    static struct step step;
    struct quarry_kv *kv = NULL;
    struct quarry_error error = {0};
    const struct quarry_kv_slice none = {.bytes = NULL};

    rig_expect(quarry_kv_open(corrupt->memory, "/kv", &corrupt->options, &kv, &error), &error,
               "open");
    for (uint32_t i = 0; i < STEPS; i++) {
        workload_step(corrupt->seed, i, &step);
        if (step.kind == STEP_WRITE) {
            journal_begin(&corrupt->journal, &step);
            rig_expect(workload_write(kv, &step, &error), &error, "write");
            journal_end(&corrupt->journal, &step, OUTCOME_DONE, QUARRY_KV_PROCESS);
        }
        if (i == STEPS / 2) {
            rig_expect(quarry_kv_compact_range(kv, none, none, &error), &error, "compact");
        }
        if (i == STEPS * 3 / 4 || i == STEPS * 7 / 8) {
            rig_expect(quarry_kv_flush(kv, &error), &error, "flush");
        }
    }
    rig_expect(quarry_kv_close(kv, &error), &error, "close");
}

static bool add_file(void *argument, const char *name)
{
    struct corrupt *corrupt = argument;
    struct file *file = &corrupt->files[corrupt->file_count];
    char path[80];
    bool is_directory = false;

    Q_ASSERT(corrupt->file_count < FILES_MAX);
    (void)snprintf(file->name, sizeof file->name, "%.60s", name);
    (void)snprintf(path, sizeof path, "/kv/%s", file->name);
    rig_expect(quarry_vfs_stat(corrupt->disk, path, &file->byte_count, &is_directory, NULL), NULL,
               "stat");
    corrupt->file_count += !is_directory;
    return true;
}

/* ---- damage ---- */

static void change_byte(struct quarry_vfs *disk, const char *path, uint64_t at, uint8_t mask)
{
    struct quarry_vfs_file *file = NULL;
    uint8_t byte = 0;
    size_t byte_count = 0;

    rig_expect(quarry_vfs_open(disk, path, QUARRY_VFS_WRITE, &file, NULL), NULL, path);
    rig_expect(quarry_vfs_read(file, at, &byte, 1, &byte_count, NULL), NULL, path);
    byte ^= mask;
    rig_expect(quarry_vfs_write(file, at, &byte, 1, NULL), NULL, path);
    quarry_vfs_close(file);
}

static void cut(struct quarry_vfs *disk, const char *path, uint64_t byte_count)
{
    struct quarry_vfs_file *file = NULL;

    rig_expect(quarry_vfs_open(disk, path, QUARRY_VFS_WRITE, &file, NULL), NULL, path);
    rig_expect(quarry_vfs_truncate(file, byte_count, NULL), NULL, path);
    quarry_vfs_close(file);
}

static void swap(struct quarry_vfs *disk, const char *path, const char *other)
{
    rig_expect(quarry_vfs_rename(disk, path, "/swapped", NULL), NULL, path);
    rig_expect(quarry_vfs_rename(disk, other, path, NULL), NULL, other);
    rig_expect(quarry_vfs_rename(disk, "/swapped", other, NULL), NULL, path);
}

static void damage(struct corrupt *corrupt, struct quarry_vfs *disk,
                   const struct mutation *mutation)
{
    char path[80], other[80];

    (void)snprintf(path, sizeof path, "/kv/%s", mutation->file->name);
    switch (mutation->damage) {
    case DAMAGE_BYTE:
        change_byte(disk, path, mutation->at,
                    (uint8_t)(1 + (mutation->at * 37 + corrupt->seed) % 255));
        break;
    case DAMAGE_CUT:
        cut(disk, path, mutation->at);
        break;
    case DAMAGE_MISSING:
        rig_expect(quarry_vfs_remove(disk, path, NULL), NULL, path);
        break;
    case DAMAGE_SWAP:
        (void)snprintf(other, sizeof other, "/kv/%s", corrupt->files[mutation->at].name);
        swap(disk, path, other);
        break;
    }
}

/* ---- looking ---- */

static _Noreturn void fail(const struct corrupt *corrupt, const struct mutation *mutation,
                           const char *what)
{
    static const char *const names[] = {"byte", "cut", "missing", "swap"};

    rig_fail("kv_corrupt --seed %" PRIu64 " --damage %u --file %s --at %" PRIu64 " (%s): %s",
             corrupt->seed, (unsigned)mutation->damage, mutation->file->name, mutation->at,
             names[mutation->damage], what);
}

static bool ends_in(const char *name, const char *end)
{
    size_t length = strlen(name), end_length = strlen(end);

    return length >= end_length && strcmp(name + length - end_length, end) == 0;
}

/* Whether what is left may be an earlier state. */
static bool may_be_earlier(const struct mutation *mutation)
{
    bool is_log = ends_in(mutation->file->name, ".log");
    bool is_manifest = strncmp(mutation->file->name, "MANIFEST", 8) == 0;

    return is_log || (is_manifest && mutation->damage == DAMAGE_CUT);
}

/* Every key by itself: as it should be, or an error. Returns: whether none was an error. */
static bool get_all(struct corrupt *corrupt, struct quarry_kv *kv, const struct mutation *mutation)
{
    const struct model_state *state = corrupt->journal.possible[0];
    bool is_whole = true;

    for (uint32_t i = 0; i < state->count; i++) {
        const struct model_entry *entry = state->entries[i];
        struct quarry_kv_value value = {0};
        enum quarry_status status =
            quarry_kv_get(kv, NULL, entry->key.bytes, entry->key.byte_count, &value, NULL);
        bool is_right = status == QUARRY_OK &&
                        slices_are_same(entry->value, slice_of(value.bytes, value.byte_count));
        bool is_told =
            status == QUARRY_CORRUPT || status == QUARRY_IO || status == QUARRY_UNSUPPORTED;
        quarry_kv_value_release(&value);
        if (!is_right && !is_told && !may_be_earlier(mutation)) {
            fail(corrupt, mutation,
                 status == QUARRY_OK ? "a get gives other bytes" : "a get finds nothing");
        }
        is_whole &= is_right;
    }
    return is_whole;
}

static void look(struct corrupt *corrupt, struct quarry_kv *kv, const struct mutation *mutation)
{
    struct quarry_error error = {0};
    uint64_t hash = 0;
    uint64_t right = model_hash(corrupt->journal.possible[0]);
    bool is_whole = get_all(corrupt, kv, mutation);

    if (!rig_scan_hash(kv, &hash, &error)) {
        corrupt->told_count++;
    } else if (hash == right) {
        corrupt->right_count++;
    } else if (!may_be_earlier(mutation)) {
        fail(corrupt, mutation, "a walk gives what is wrong, and no error");
    } else if (!journal_has(&corrupt->journal, 0, hash)) {
        fail(corrupt, mutation, "a walk gives what never was");
    } else {
        corrupt->earlier_count++;
    }
    if (quarry_kv_verify(kv, &error) == QUARRY_OK && !is_whole && !may_be_earlier(mutation)) {
        fail(corrupt, mutation, "an error when read, and none when verified");
    }
}

static void try(struct corrupt *corrupt, const struct mutation *mutation)
{
    struct quarry_vfs *disk = NULL;
    struct quarry_kv_options options = corrupt->options;
    struct quarry_kv *kv = NULL;
    struct quarry_error error = {0};

    rig_expect(quarry_vfs_memory_crash(corrupt->disk, 100, 1, &disk), NULL, "copy");
    damage(corrupt, disk, mutation);
    options.vfs = disk;
    options.create_if_missing = false;
    options.read_only = mutation->at % 2 == 0;
    if (quarry_kv_open(corrupt->memory, "/kv", &options, &kv, &error) == QUARRY_OK) {
        look(corrupt, kv, mutation);
        rig_expect(quarry_kv_close(kv, NULL), NULL, "close");
    } else {
        corrupt->told_count++;
    }
    quarry_vfs_memory_destroy(disk);
}

/* ---- all of them ---- */

static void try_file(struct corrupt *corrupt, const struct file *file, uint64_t stride)
{
    struct mutation mutation = {.damage = DAMAGE_MISSING, .file = file};

    try(corrupt, &mutation);
    mutation.damage = DAMAGE_BYTE;
    for (mutation.at = 0; mutation.at < file->byte_count; mutation.at += stride) {
        try(corrupt, &mutation);
    }
    mutation.damage = DAMAGE_CUT;
    for (mutation.at = 0; mutation.at < file->byte_count; mutation.at += 1 + 7 * stride) {
        try(corrupt, &mutation);
    }
    mutation.damage = DAMAGE_SWAP;
    for (mutation.at = 0; mutation.at < corrupt->file_count; mutation.at++) {
        const struct file *other = &corrupt->files[mutation.at];
        if (other > file && ends_in(file->name, ".sst") && ends_in(other->name, ".sst")) {
            try(corrupt, &mutation);
        }
    }
}

static void run(uint64_t seed, uint64_t stride, int argc, char **argv)
{
    const char *only = rig_argument_text(argc, argv, "--file");
    struct corrupt *corrupt = calloc(1, sizeof *corrupt);

    Q_ASSERT(corrupt != NULL);
    corrupt->seed = seed;
    corrupt->memory = rig_memory_create(Q_MIB(128));
    workload_options(8 * seed, &corrupt->options);
    rig_expect(quarry_vfs_memory_create(seed, &corrupt->disk), NULL, "vfs");
    corrupt->options.vfs = corrupt->disk;
    journal_init(&corrupt->journal);
    make_store(corrupt);
    rig_expect(quarry_vfs_list(corrupt->disk, "/kv", add_file, corrupt, NULL), NULL, "list");
    for (uint32_t i = 0; i < corrupt->file_count; i++) {
        struct mutation mutation = {
            .damage = (enum damage)rig_argument(argc, argv, "--damage", DAMAGE_BYTE),
            .file = &corrupt->files[i],
            .at = rig_argument(argc, argv, "--at", 0)};
        if (only == NULL) {
            try_file(corrupt, &corrupt->files[i], stride);
        } else if (strcmp(only, corrupt->files[i].name) == 0) {
            try(corrupt, &mutation);
        }
    }
    (void)printf("seed %" PRIu64 ", %" PRIu32 " files: %" PRIu64 " damages told, %" PRIu64
                 " harmless, %" PRIu64 " to the end of a log\n",
                 seed, corrupt->file_count, corrupt->told_count, corrupt->right_count,
                 corrupt->earlier_count);
    quarry_vfs_memory_destroy(corrupt->disk);
    quarry_memory_destroy(corrupt->memory);
    journal_fini(&corrupt->journal);
    free(corrupt);
}

int main(int argc, char **argv)
{
    uint64_t seed_count = rig_argument(argc, argv, "--seeds", 1);
    uint64_t first = rig_argument(argc, argv, "--seed", 1);

    for (uint64_t seed = first; seed < first + seed_count; seed++) {
        run(seed, rig_argument(argc, argv, "--stride", 1), argc, argv);
    }
    return 0;
}
