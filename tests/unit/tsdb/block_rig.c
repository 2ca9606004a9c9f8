#include "unit/tsdb/block_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tsdb/block_read.h>
#include <tsdb/block_write.h>

struct tsdb_memory block_rig_memory;
struct quarry_vfs *block_rig_disk;

static struct quarry_memory *memory;
static struct quarry_lifetime *lifetime;

int block_rig_set_up(void **state)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(256), .has_no_thread = true};
    const struct quarry_account_options account_options = {.name = "blocks"};

    (void)state;
    assert_int_equal(quarry_memory_create(&options, &memory, NULL), QUARRY_OK);
    assert_int_equal(
        quarry_account_create(memory, &account_options, &block_rig_memory.account, NULL),
        QUARRY_OK);
    assert_int_equal(quarry_lifetime_begin(memory, "blocks", &lifetime, NULL), QUARRY_OK);
    assert_int_equal(quarry_pool_create(lifetime, quarry_account_owner(block_rig_memory.account),
                                        &block_rig_memory.pool),
                     QUARRY_OK);
    assert_int_equal(quarry_vfs_memory_create(1, &block_rig_disk), QUARRY_OK);
    assert_int_equal(quarry_vfs_make_directory(block_rig_disk, "/blocks", NULL), QUARRY_OK);
    return 0;
}

static uint64_t charged(void)
{
    struct quarry_account_state state;

    quarry_account_read(block_rig_memory.account, &state);
    return state.own_bytes;
}

int block_rig_tear_down(void **state)
{
    (void)state;
    assert_int_equal(charged(), 0);
    quarry_vfs_memory_destroy(block_rig_disk);
    quarry_lifetime_end(lifetime);
    quarry_account_destroy(block_rig_memory.account);
    quarry_memory_destroy(memory);
    return 0;
}

void block_rig_leave(uint64_t bytes)
{
    /* A ceiling of 0 is none. */
    uint64_t ceiling = bytes == UINT64_MAX ? 0 : charged() + bytes;

    assert_int_equal(quarry_account_set_bounds(block_rig_memory.account, 0,
                                               bytes != UINT64_MAX && ceiling == 0 ? 1 : ceiling),
                     QUARRY_OK);
}

enum quarry_status block_rig_write(struct quarry_vfs *vfs, const struct rig_shape *shape,
                                   size_t sort_bytes, struct block_meta *ret_meta,
                                   struct quarry_error *error)
{
    const struct block_write_options options = {
        .vfs = vfs, .memory = &block_rig_memory, .directory = "/blocks", .sort_bytes = sort_bytes};
    struct block_source source = rig_source(shape);
    enum quarry_status status = block_write(&options, &source, ret_meta, error);

    rig_source_destroy(source);
    return status;
}

const char *block_rig_path(const struct block_meta *meta, const char *file)
{
    static char path[256];

    (void)snprintf(path, sizeof path, "/blocks/%s%s%s", meta->ulid, file == NULL ? "" : "/",
                   file == NULL ? "" : file);
    return path;
}

enum quarry_status block_rig_read(struct quarry_vfs *vfs, const struct block_meta *meta,
                                  uint64_t *ret_hash, uint64_t *ret_sample_count,
                                  struct quarry_error *error)
{
    struct block_reader *reader = NULL;
    struct quarry_error here = {0};
    enum quarry_status status =
        block_open(&block_rig_memory, vfs, block_rig_path(meta, NULL), &reader, &here);

    if (status == QUARRY_OK) {
        struct block_source source = block_reader_source(reader);
        status =
            rig_source_hash(&source, ret_hash, ret_sample_count, &here) ? QUARRY_OK : here.status;
        block_close(reader);
    }
    if (error != NULL) {
        *error = here;
    }
    return status;
}

uint64_t block_rig_hash(const struct rig_shape *shape)
{
    struct block_source source = rig_source(shape);
    uint64_t hash = 0, count = 0;

    assert_true(rig_source_hash(&source, &hash, &count, NULL));
    rig_source_destroy(source);
    return hash;
}

uint8_t *block_rig_load(const char *path, size_t *ret_byte_count)
{
    struct quarry_vfs_file *file = NULL;
    uint64_t byte_count = 0;

    assert_int_equal(quarry_vfs_open(block_rig_disk, path, QUARRY_VFS_READ, &file, NULL),
                     QUARRY_OK);
    assert_int_equal(quarry_vfs_size(file, &byte_count, NULL), QUARRY_OK);
    uint8_t *bytes = malloc((size_t)byte_count + 1);
    assert_non_null(bytes);
    assert_int_equal(quarry_vfs_read(file, 0, bytes, (size_t)byte_count, ret_byte_count, NULL),
                     QUARRY_OK);
    quarry_vfs_close(file);
    return bytes;
}

void block_rig_store(const char *path, const void *bytes, size_t byte_count)
{
    struct quarry_vfs_file *file = NULL;

    assert_int_equal(quarry_vfs_open(block_rig_disk, path,
                                     QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_TRUNCATE,
                                     &file, NULL),
                     QUARRY_OK);
    assert_int_equal(quarry_vfs_write(file, 0, bytes, byte_count, NULL), QUARRY_OK);
    quarry_vfs_close(file);
}

static bool count_name(void *argument, const char *name)
{
    (void)name;
    ++*(size_t *)argument;
    return true;
}

size_t block_rig_name_count(const char *directory)
{
    size_t count = 0;

    (void)quarry_vfs_list(block_rig_disk, directory, count_name, &count, NULL);
    return count;
}
