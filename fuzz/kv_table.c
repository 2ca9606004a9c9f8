/*
 * A file of any bytes opened as a table: it is refused with a text, or all that readers do with it
 * ends in data or in errors. Checksums are those of the input, so that most of it is refused early;
 * the type none, which the corpus has, lets damage through.
 */
#include "fuzz/kv_rig.h"

#include <string.h>

#include <kv/sst/table_iterator.h>
#include <kv/sst/table_read.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Steps in each direction: a damaged index may name a block a thousand times. */
#define STEPS_MAX 2000u

static struct kv_table *open_table(struct quarry_vfs *vfs, const uint8_t *data, size_t size)
{
    static uint64_t number;
    struct quarry_vfs_file *file = NULL;
    struct quarry_error error = {0};
    struct kv_table *table = NULL;
    const struct kv_table_options options = {
        .file_number = ++number, .largest_sequence = UINT64_MAX, .is_pinned = size % 2 == 0};

    Q_ASSERT(quarry_vfs_open(vfs, "/t", (uint32_t)QUARRY_VFS_WRITE | QUARRY_VFS_CREATE, &file,
                             NULL) == QUARRY_OK);
    Q_ASSERT(quarry_vfs_write(file, 0, data, size, NULL) == QUARRY_OK);
    if (kv_table_open(fuzz_tables(), &file, &options, &table, &error) != QUARRY_OK) {
        Q_ASSERT(error.text[0] != '\0');
        quarry_vfs_close(file);
        return NULL;
    }
    return table;
}

static void walk(struct kv_table *table)
{
    struct kv_table_iterator iterator;
    struct kv_iterator *it = &iterator.base;
    const struct kv_key keys[] = {{kv_slice("", 0), 0}, {kv_slice("m", 1), UINT64_MAX}};
    uint32_t steps = 0;

    kv_table_iterator_init(&iterator, table, NULL, NULL);
    for (it->ops->first(it); it->is_valid && steps < STEPS_MAX; it->ops->next(it), steps++) {
    }
    for (it->ops->last(it); it->is_valid && steps > 0; it->ops->previous(it), steps--) {
    }
    for (size_t i = 0; i < 2; i++) {
        struct kv_table_lookup lookup = {.key = keys[i], .hash = kv_table_hash(keys[i].user)};
        struct kv_table_entry entry;
        it->ops->seek(it, keys[i]);
        it->ops->seek_before(it, keys[i]);
        if (kv_table_get(table, &lookup, &entry, NULL) == QUARRY_OK) {
            kv_table_entry_release(fuzz_tables(), &entry);
        }
        (void)kv_table_approximate_offset(table, keys[i]);
    }
    it->ops->fini(it);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct quarry_vfs *vfs = NULL;

    Q_ASSERT(quarry_vfs_memory_create(1, &vfs) == QUARRY_OK);
    struct kv_table *table = open_table(vfs, data, size);
    if (table != NULL) {
        walk(table);
        (void)kv_table_verify(table, NULL);
        kv_table_evict(table);
        kv_table_close(table);
    }
    quarry_vfs_memory_destroy(vfs);
    return 0;
}
