/*
 * Version edits and manifests of any bytes: they are read or refused, and what was read is written
 * so that it reads the same. The first byte chooses: one edit; or lengths and edits as records of a
 * manifest, with checksums that are right, in a file system in memory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kv/log_write.h>
#include <kv/manifest.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct kv_memory heap;

static void set_up(void)
{
    static struct quarry_memory *memory;
    struct quarry_memory_options options = {.limit_bytes = Q_MIB(256), .has_no_thread = true};
    struct quarry_account_options account_options = {.name = "kv"};
    struct quarry_lifetime *lifetime = NULL;

    if (memory != NULL) {
        return;
    }
    Q_ASSERT(quarry_memory_create(&options, &memory, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_account_create(memory, &account_options, &heap.account, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_lifetime_begin(memory, "kv", &lifetime, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_pool_create(lifetime, quarry_account_owner(heap.account), &heap.pool) ==
             QUARRY_OK);
}

static void check_edit(const uint8_t *data, size_t size)
{
    struct kv_edit edit, again;
    struct quarry_error error = {0};

    kv_edit_init(&edit, &heap);
    kv_edit_init(&again, &heap);
    enum quarry_status status = kv_edit_decode(&edit, kv_slice(data, size), &error);
    Q_ASSERT(status == error.status);
    if (status == QUARRY_OK && edit.column_family == 0 && (edit.has & KV_EDIT_GROUP) == 0) {
        size_t count = kv_edit_encoded_bytes(&edit, KV_EDIT_ROCKSDB);
        char *room = malloc(count + 1);
        Q_ASSERT(room != NULL && kv_edit_encode(&edit, KV_EDIT_ROCKSDB, room) == count);
        Q_ASSERT(kv_edit_decode(&again, kv_slice(room, count), NULL) == QUARRY_OK);
        Q_ASSERT(again.added_count == edit.added_count);
        Q_ASSERT(again.removed_count == edit.removed_count);
        Q_ASSERT(again.log_number == edit.log_number && again.next_file == edit.next_file);
        free(room);
    }
    kv_edit_fini(&edit);
    kv_edit_fini(&again);
}

/* Records of two bytes of length each, as far as there are. */
static void write_records(struct quarry_vfs *vfs, const uint8_t *data, size_t size)
{
    struct quarry_vfs_file *file = NULL;
    struct kv_log *log = NULL;
    struct kv_log_record record;
    uint64_t end = 0;

    Q_ASSERT(quarry_vfs_open(vfs, "/m", QUARRY_VFS_WRITE | QUARRY_VFS_CREATE, &file, NULL) ==
             QUARRY_OK);
    struct kv_log_options options = {.file = file, .name = "m", .memory = &heap};
    Q_ASSERT(kv_log_create(&options, &log, NULL) == QUARRY_OK);
    while (size >= 2) {
        size_t count = size_min(endian_load_le_u16(data), size - 2);
        kv_log_record_init(&record, kv_slice(data + 2, count));
        Q_ASSERT(kv_log_append(log, &record, &end, NULL) == QUARRY_OK);
        data += 2 + count;
        size -= 2 + count;
    }
    Q_ASSERT(kv_log_close(log, NULL) == QUARRY_OK);
    quarry_vfs_close(file);
}

static void check_manifest(const uint8_t *data, size_t size)
{
    struct quarry_vfs *vfs = NULL;
    struct kv_manifest_state state;
    struct kv_version *version = NULL;
    struct quarry_error error = {0};

    Q_ASSERT(quarry_vfs_memory_create(1, &vfs) == QUARRY_OK);
    write_records(vfs, data, size);
    enum quarry_status status =
        kv_manifest_read_file(vfs, "/m", &heap, &kv_bytewise, &state, &version, &error);
    Q_ASSERT(status == error.status);
    if (status == QUARRY_OK) {
        Q_ASSERT(kv_version_validate(version, &error) == QUARRY_OK);
        kv_version_release(version);
    }
    quarry_vfs_memory_destroy(vfs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    set_up();
    if (size == 0) {
        return 0;
    }
    if (data[0] % 2 == 0) {
        check_edit(data + 1, size - 1);
    } else {
        check_manifest(data + 1, size - 1);
    }
    struct quarry_account_state account;
    quarry_account_read(heap.account, &account);
    Q_ASSERT(account.charged_bytes == 0);
    return 0;
}
