/*
 * Any bytes as a log: it is read to an end that is told, without asserting; the paranoid see the
 * same records. What was read, written again, is read again.
 */
#include <kv/log_read.h>
#include <kv/log_write.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct quarry_memory *memory;
static struct kv_memory kv_memory;

static void begin(void)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(256), .has_no_thread = true};
    const struct quarry_account_options account_options = {.name = "kv"};
    struct quarry_lifetime *lifetime = NULL;

    Q_ASSERT(quarry_memory_create(&options, &memory, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_account_create(memory, &account_options, &kv_memory.account, NULL) ==
             QUARRY_OK);
    Q_ASSERT(quarry_lifetime_begin(memory, "kv objects", &lifetime, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_pool_create(lifetime, quarry_account_owner(kv_memory.account),
                                &kv_memory.pool) == QUARRY_OK);
}

static struct quarry_vfs_file *make_file(struct quarry_vfs *vfs, const char *path)
{
    struct quarry_vfs_file *file = NULL;

    Q_ASSERT(quarry_vfs_open(vfs, path, QUARRY_VFS_WRITE | QUARRY_VFS_CREATE, &file, NULL) ==
             QUARRY_OK);
    return file;
}

static struct kv_log *make_log(struct quarry_vfs_file *file)
{
    const struct kv_log_options options = {.file = file, .name = "again", .memory = &kv_memory};
    struct kv_log *to = NULL;

    Q_ASSERT(kv_log_create(&options, &to, NULL) == QUARRY_OK);
    return to;
}

/* Reads all of a file, and writes it to `to` unless that is NULL. Returns: a checksum of it. */
static uint32_t read_all(struct quarry_vfs_file *file, bool is_paranoid, struct kv_log *to,
                         struct kv_log_end *ret_end)
{
    const struct kv_log_reader_options options = {.file = file,
                                                  .name = "log",
                                                  .memory = &kv_memory,
                                                  .number = 7,
                                                  .record_bytes_max = Q_MIB(1),
                                                  .is_paranoid = is_paranoid};
    struct kv_log_reader *reader = NULL;
    struct kv_slice bytes;
    uint32_t crc = 0;

    Q_ASSERT(kv_log_reader_create(&options, &reader, NULL) == QUARRY_OK);
    while (kv_log_read(reader, &bytes, NULL) == QUARRY_OK) {
        crc = crc32c_extend(crc, bytes.bytes, bytes.count) + (uint32_t)bytes.count + 1;
        if (to != NULL) {
            struct kv_log_record record;
            uint64_t end;
            kv_log_record_init(&record, bytes);
            Q_ASSERT(kv_log_append(to, &record, &end, NULL) == QUARRY_OK);
        }
    }
    kv_log_reader_end(reader, ret_end);
    kv_log_reader_destroy(reader);
    return crc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kv_log_end plain, paranoid, again;
    struct quarry_vfs *vfs = NULL;

    if (memory == NULL) {
        begin();
    }
    Q_ASSERT(quarry_vfs_memory_create(1, &vfs) == QUARRY_OK);
    struct quarry_vfs_file *file = make_file(vfs, "/log"), *copy = make_file(vfs, "/again");
    Q_ASSERT(size == 0 || quarry_vfs_write(file, 0, data, size, NULL) == QUARRY_OK);
    struct kv_log *to = make_log(copy);
    uint32_t crc = read_all(file, false, to, &plain);
    Q_ASSERT(plain.offset + plain.dropped_bytes <= size);
    Q_ASSERT(read_all(file, true, NULL, &paranoid) == crc);
    Q_ASSERT(paranoid.offset == plain.offset && paranoid.ending == plain.ending);
    Q_ASSERT(read_all(copy, true, NULL, &again) == crc);
    Q_ASSERT(again.ending == KV_LOG_ENDS_CLEAN && again.record_count == plain.record_count);
    Q_ASSERT(kv_log_close(to, NULL) == QUARRY_OK);
    quarry_vfs_close(copy);
    quarry_vfs_close(file);
    quarry_vfs_memory_destroy(vfs);
    return 0;
}
