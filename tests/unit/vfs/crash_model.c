#include "crash_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/base/random.h"
#include "vfs_rig.h"

#define FILE_BYTES ((size_t)MODEL_SECTORS * MODEL_SECTOR_BYTES)

static uint32_t dice(struct model *model, uint32_t count)
{
    return (uint32_t)(random_u64(&model->random) % count);
}

static const char *directory_of(uint32_t name)
{
    return name < MODEL_NAMES / 2 ? "/d" : "/e";
}

static void path_of(uint32_t name, char path[16])
{
    snprintf(path, 16, "%s/%u", directory_of(name), name);
}

/* Says which history it is, so that it can be run alone. */
static void check(const struct model *model, bool holds, const char *what)
{
    if (!holds) {
        print_error("history %llu, after %u operations: %s\n", (unsigned long long)model->seed,
                    model->operation, what);
    }
    assert_true(holds);
}

/* ---- sets ---- */

static void sector_add(struct model_sector *sector, uint32_t version)
{
    sector->now = version;
    for (uint32_t at = 0; at < sector->version_count; at++) {
        if (sector->versions[at] == version) {
            return;
        }
    }
    assert_true(sector->version_count < MODEL_VERSIONS);
    sector->versions[sector->version_count++] = version;
}

static void sector_settle(struct model_sector *sector, uint32_t version)
{
    sector->versions[0] = version;
    sector->version_count = 1;
    sector->synced = version;
}

static bool sector_may_be(const struct model_sector *sector, uint32_t version)
{
    for (uint32_t at = 0; at < sector->version_count; at++) {
        if (sector->versions[at] == version) {
            return true;
        }
    }
    return false;
}

static void name_add(struct model_name *name, uint32_t file)
{
    assert_true(name->file_count < MODEL_VERSIONS);
    name->files[name->file_count++] = file;
    name->now = file;
}

static bool name_may_be(const struct model_name *name, uint32_t file)
{
    for (uint32_t at = 0; at < name->file_count; at++) {
        if (name->files[at] == file) {
            return true;
        }
    }
    return false;
}

static void size_note(struct model_file *file, uint64_t byte_count)
{
    file->byte_count = byte_count;
    if (byte_count < file->least_byte_count) {
        file->least_byte_count = byte_count;
    }
    if (byte_count > file->most_byte_count) {
        file->most_byte_count = byte_count;
    }
}

/* A block is dirty as a whole: what a failed sync forgot of it may be there after all. */
static void model_write(struct model_file *file, uint32_t sector, uint32_t version)
{
    uint32_t block = sector / MODEL_BLOCK_SECTORS;
    for (uint32_t at = 0; at < MODEL_BLOCK_SECTORS; at++) {
        struct model_sector *other = &file->sectors[block * MODEL_BLOCK_SECTORS + at];
        sector_add(other, other->now);
    }
    sector_add(&file->sectors[sector], version);
    file->is_written[block] = true;
    uint64_t end = (uint64_t)(sector + 1) * MODEL_SECTOR_BYTES;
    size_note(file, end > file->byte_count ? end : file->byte_count);
}

static void model_sync(struct model_file *file)
{
    for (uint32_t at = 0; at < MODEL_SECTORS; at++) {
        if (!file->was_dropped || file->is_written[at / MODEL_BLOCK_SECTORS]) {
            sector_settle(&file->sectors[at], file->sectors[at].now);
        }
    }
    memset(file->is_written, 0, sizeof file->is_written);
    file->synced_byte_count = file->byte_count;
    file->least_byte_count = file->byte_count;
    file->most_byte_count = file->byte_count;
    file->is_numbered |= !file->was_dropped;
}

static void model_drop(struct model_file *file)
{
    for (uint32_t at = 0; at < MODEL_SECTORS && !file->was_dropped; at++) {
        sector_settle(&file->sectors[at], file->sectors[at].synced);
    }
    memset(file->is_written, 0, sizeof file->is_written);
    file->was_dropped = true;
}

/* ---- operations ---- */

static struct quarry_vfs_file *open_name(struct model *model, uint32_t name, uint32_t mode)
{
    char path[16];
    struct quarry_vfs_file *file = NULL;
    path_of(name, path);
    assert_ok(quarry_vfs_open(model->fault, path, mode, &file, NULL));
    return file;
}

static void write_sector(struct quarry_vfs_file *file, uint32_t sector, uint32_t version)
{
    uint32_t words[MODEL_SECTOR_BYTES / 4];
    for (uint32_t at = 0; at < MODEL_SECTOR_BYTES / 4; at++) {
        words[at] = version;
    }
    assert_ok(
        quarry_vfs_write(file, (uint64_t)sector * MODEL_SECTOR_BYTES, words, sizeof words, NULL));
}

static void step_create(struct model *model, uint32_t name)
{
    if (model->file_count == MODEL_FILES || model->names[name].now != 0) {
        return;
    }
    uint32_t number = ++model->file_count;
    struct model_file *file = &model->files[number];
    *file = (struct model_file){0};
    for (uint32_t at = 0; at < MODEL_SECTORS; at++) {
        sector_settle(&file->sectors[at], 0);
    }
    struct quarry_vfs_file *opened =
        open_name(model, name, QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_EXCLUSIVE);
    write_sector(opened, 0, MODEL_FIRST_SECTOR | number);
    model_write(file, 0, MODEL_FIRST_SECTOR | number);
    if (dice(model, 8) > 0) {
        assert_ok(quarry_vfs_sync(opened, NULL));
        model_sync(file);
    }
    quarry_vfs_close(opened);
    name_add(&model->names[name], number);
}

static void step_write(struct model *model, uint32_t name)
{
    struct model_file *file = &model->files[model->names[name].now];
    struct quarry_vfs_file *opened = open_name(model, name, QUARRY_VFS_WRITE);
    uint32_t first = 1 + dice(model, MODEL_SECTORS - 12);
    uint32_t count = 1 + dice(model, 10);
    for (uint32_t sector = first; sector < first + count; sector++) {
        write_sector(opened, sector, model->operation);
        model_write(file, sector, model->operation);
    }
    quarry_vfs_close(opened);
}

static void step_map(struct model *model, uint32_t name)
{
    struct model_file *file = &model->files[model->names[name].now];
    struct quarry_vfs_file *opened = open_name(model, name, QUARRY_VFS_WRITE);
    uint32_t sector = 1 + dice(model, MODEL_SECTORS - 1);
    uint64_t offset = sector / MODEL_BLOCK_SECTORS * 4096u;
    void *base = NULL;
    assert_ok(quarry_vfs_preallocate(opened, offset, 4096, NULL));
    size_note(file, offset + 4096 > file->byte_count ? offset + 4096 : file->byte_count);
    assert_ok(quarry_vfs_map(opened, offset, 4096, &base, NULL));
    uint32_t *words = (uint32_t *)base + sector % MODEL_BLOCK_SECTORS * (MODEL_SECTOR_BYTES / 4);
    for (uint32_t at = 0; at < MODEL_SECTOR_BYTES / 4; at++) {
        words[at] = model->operation;
    }
    model_write(file, sector, model->operation);
    quarry_vfs_unmap(opened, base, 4096);
    quarry_vfs_close(opened);
}

static void step_truncate(struct model *model, uint32_t name)
{
    struct model_file *file = &model->files[model->names[name].now];
    struct quarry_vfs_file *opened = open_name(model, name, QUARRY_VFS_WRITE);
    uint32_t sector_count = 1 + dice(model, MODEL_SECTORS);
    assert_ok(quarry_vfs_truncate(opened, (uint64_t)sector_count * MODEL_SECTOR_BYTES, NULL));
    for (uint32_t at = sector_count; at < MODEL_SECTORS; at++) {
        sector_add(&file->sectors[at], 0);
    }
    if (file->byte_count > (uint64_t)sector_count * MODEL_SECTOR_BYTES &&
        sector_count % MODEL_BLOCK_SECTORS != 0) { /* the block of the new end may be dirty */
        uint32_t first = sector_count - sector_count % MODEL_BLOCK_SECTORS;
        for (uint32_t at = first; at < sector_count; at++) {
            sector_add(&file->sectors[at], file->sectors[at].now);
        }
    }
    size_note(file, (uint64_t)sector_count * MODEL_SECTOR_BYTES);
    quarry_vfs_close(opened);
}

static void step_sync(struct model *model, uint32_t name, bool fails)
{
    struct model_file *file = &model->files[model->names[name].now];
    struct quarry_vfs_file *opened = open_name(model, name, QUARRY_VFS_READ);
    struct quarry_vfs_fault fault = {.operations = 1u << QUARRY_VFS_OP_SYNC, .status = QUARRY_IO};
    quarry_vfs_fault_set(model->fault, 0, fails ? &fault : NULL);
    assert_int_equal(quarry_vfs_sync(opened, NULL), fails ? QUARRY_IO : QUARRY_OK);
    quarry_vfs_fault_set(model->fault, 0, NULL);
    if (fails) {
        model_drop(file);
    } else {
        model_sync(file);
    }
    quarry_vfs_close(opened);
}

static void step_start_sync(struct model *model, uint32_t name)
{
    struct quarry_vfs_file *opened = open_name(model, name, QUARRY_VFS_READ);
    assert_ok(quarry_vfs_start_sync(opened, dice(model, 20000), dice(model, 20000), NULL));
    quarry_vfs_close(opened);
}

static void step_remove(struct model *model, uint32_t name)
{
    char path[16];
    path_of(name, path);
    assert_ok(quarry_vfs_remove(model->fault, path, NULL));
    model->files[model->names[name].now].is_safe = false;
    name_add(&model->names[name], 0);
}

static void step_rename(struct model *model, uint32_t name)
{
    char from[16];
    char to[16];
    uint32_t target = dice(model, MODEL_NAMES);
    if (target == name) {
        return;
    }
    path_of(name, from);
    path_of(target, to);
    assert_ok(quarry_vfs_rename(model->fault, from, to, NULL));
    model->files[model->names[target].now].is_safe = false;
    name_add(&model->names[target], model->names[name].now);
    name_add(&model->names[name], 0);
}

static void step_sync_directory(struct model *model, uint32_t name)
{
    assert_ok(quarry_vfs_sync_directory(model->fault, directory_of(name), NULL));
    for (uint32_t at = 0; at < MODEL_NAMES; at++) {
        struct model_name *synced = &model->names[at];
        if (strcmp(directory_of(at), directory_of(name)) != 0) {
            continue;
        }
        synced->files[0] = synced->now;
        synced->file_count = 1;
        synced->synced = synced->now;
        model->files[synced->now].is_safe = true;
    }
}

void model_step(struct model *model)
{
    uint32_t name = dice(model, MODEL_NAMES);
    uint32_t kind = dice(model, 32);
    model->operation++;
    if (kind < 3) {
        step_sync_directory(model, name);
    } else if (model->names[name].now == 0) {
        step_create(model, name);
    } else if (kind < 15) {
        step_write(model, name);
    } else if (kind < 18) {
        step_map(model, name);
    } else if (kind < 20) {
        step_truncate(model, name);
    } else if (kind < 25) {
        step_sync(model, name, false);
    } else if (kind < 26) {
        step_sync(model, name, true);
    } else if (kind < 28) {
        step_start_sync(model, name);
    } else if (kind < 29) {
        step_remove(model, name);
    } else {
        step_rename(model, name);
    }
}

void model_begin(struct model *model, uint64_t seed)
{
    memset(model, 0, sizeof *model);
    model->seed = seed;
    model->random = seed;
    assert_ok(quarry_vfs_memory_create(seed, &model->disk));
    assert_ok(quarry_vfs_fault_create(model->disk, seed, &model->fault));
    assert_ok(quarry_vfs_make_directory(model->fault, "/d", NULL));
    assert_ok(quarry_vfs_make_directory(model->fault, "/e", NULL));
    assert_ok(quarry_vfs_sync_directory(model->fault, "/", NULL));
    for (uint32_t at = 0; at < MODEL_NAMES; at++) {
        model->names[at].file_count = 1; /* nobody has it */
    }
}

void model_end(struct model *model)
{
    quarry_vfs_fault_destroy(model->fault);
    quarry_vfs_memory_destroy(model->disk);
}

/* ---- checking ---- */

/* Which file a name leads to. Returns: 0: none; UINT32_MAX: one whose number is not there. */
static uint32_t read_name(struct quarry_vfs *left, uint32_t name, uint8_t *bytes,
                          size_t *ret_byte_count)
{
    char path[16];
    struct quarry_vfs_file *file = NULL;
    path_of(name, path);
    if (quarry_vfs_open(left, path, QUARRY_VFS_READ, &file, NULL) != QUARRY_OK) {
        return 0;
    }
    assert_ok(quarry_vfs_read(file, 0, bytes, FILE_BYTES + 1, ret_byte_count, NULL));
    quarry_vfs_close(file);
    uint32_t number = 0;
    memcpy(&number, bytes, sizeof number);
    bool is_numbered = *ret_byte_count >= MODEL_SECTOR_BYTES && number > MODEL_FIRST_SECTOR &&
                       number <= MODEL_FIRST_SECTOR + MODEL_FILES;
    return is_numbered ? number - MODEL_FIRST_SECTOR : UINT32_MAX;
}

static void check_sector(const struct model *model, const struct model_file *file, uint32_t at,
                         const uint8_t *bytes, size_t byte_count)
{
    uint32_t version;
    memcpy(&version, bytes, sizeof version);
    uint64_t synced_blocks = (file->synced_byte_count + 4095) / 4096;
    if (at / MODEL_BLOCK_SECTORS >= synced_blocks) {
        return; /* what is past the synced end may be anything */
    }
    check(model, sector_may_be(&file->sectors[at], version), "a sector of no such version");
    for (size_t word = 4; word + 4 <= byte_count; word += 4) {
        assert_memory_equal(bytes + word, &version, 4);
    }
}

static void check_file(const struct model *model, const struct model_file *file,
                       const uint8_t *bytes, size_t byte_count, uint32_t kept_percent)
{
    check(model, byte_count >= file->least_byte_count && byte_count <= file->most_byte_count,
          "a size that it never had");
    for (size_t at = 0; at + 4 <= byte_count; at += MODEL_SECTOR_BYTES) {
        size_t rest = byte_count - at;
        check_sector(model, file, (uint32_t)(at / MODEL_SECTOR_BYTES), bytes + at,
                     rest < MODEL_SECTOR_BYTES ? rest : MODEL_SECTOR_BYTES);
    }
    if (file->was_dropped || (kept_percent > 0 && kept_percent < 100)) {
        return;
    }
    bool is_now = kept_percent == 100;
    assert_int_equal(byte_count, is_now ? file->byte_count : file->synced_byte_count);
    for (size_t at = 0; at < byte_count; at += MODEL_SECTOR_BYTES) {
        const struct model_sector *sector = &file->sectors[at / MODEL_SECTOR_BYTES];
        assert_memory_equal(bytes + at, is_now ? &sector->now : &sector->synced, 4);
    }
}

/* Whether a name may lead to a file whose first sector was never synced: it may be another's. */
static bool may_be_unnumbered(const struct model *model, const struct model_name *name)
{
    bool is_possible = false;
    for (uint32_t at = 0; at < name->file_count; at++) {
        is_possible |= name->files[at] != 0 && !model->files[name->files[at]].is_numbered;
    }
    return is_possible;
}

void model_check(struct model *model, struct quarry_vfs *left, uint32_t kept_percent)
{
    static uint8_t bytes[FILE_BYTES + 1];
    bool is_found[MODEL_FILES + 1] = {false};
    for (uint32_t at = 0; at < MODEL_NAMES; at++) {
        const struct model_name *name = &model->names[at];
        size_t byte_count = 0;
        uint32_t number = read_name(left, at, bytes, &byte_count);
        if (number == UINT32_MAX || !name_may_be(name, number)) {
            check(model, may_be_unnumbered(model, name), "a file under a name it never had");
            continue;
        }
        if (kept_percent == 0 && name->synced == 0 && name->file_count == 1) {
            check(model, number == 0, "a name that was not synced");
        }
        if (kept_percent == 100) {
            check(model, number == name->now, "a change of a name is missing");
        }
        is_found[number] = true;
        if (number != 0 && !may_be_unnumbered(model, name)) {
            check_file(model, &model->files[number], bytes, byte_count, kept_percent);
        }
    }
    for (uint32_t number = 1; number <= model->file_count; number++) {
        const struct model_file *file = &model->files[number];
        if (file->is_safe && file->is_numbered) {
            check(model, is_found[number], "a file without a name");
        }
    }
}
