/*
 * Batches and logs beside librocksdb's: the same changes give the same bytes; its log is read by
 * our reader; a log of ours is read by it, as the log of a database of its own and by `ldb`.
 */
#include "unit/kv/mem_rig.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rocksdb/c.h>

#include <kv/log_read.h>
#include <kv/log_write.h>

#include "unit/base/random.h"

static char folder[64];

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static int set_up(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/quarry-kv-rocksdb-XXXXXX");
    assert_non_null(mkdtemp(folder));
    return mem_rig_set_up(state);
}

static int tear_down(void **state)
{
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return mem_rig_tear_down(state);
}

static void same_changes_give_the_same_bytes(void **state)
{
    rocksdb_writebatch_t *theirs = rocksdb_writebatch_create();
    struct quarry_kv_batch *ours = batch_make(false);
    uint64_t random = 9;
    char bytes[400];

    (void)state;
    memset(bytes, 'x', sizeof bytes);
    for (int i = 0; i < 20000; i++) {
        size_t key = random_u64(&random) % 200, value = random_u64(&random) % 400;
        switch (random_u64(&random) % 6) {
        case 0:
            rocksdb_writebatch_delete(theirs, bytes, key);
            quarry_kv_batch_delete(ours, bytes, key);
            break;
        case 1:
            rocksdb_writebatch_singledelete(theirs, bytes, key);
            quarry_kv_batch_single_delete(ours, bytes, key);
            break;
        case 2:
            rocksdb_writebatch_merge(theirs, bytes, key, bytes, value);
            quarry_kv_batch_merge(ours, bytes, key, bytes, value);
            break;
        case 3:
            rocksdb_writebatch_delete_range(theirs, bytes, key, bytes, 300);
            quarry_kv_batch_delete_range(ours, bytes, key, bytes, 300);
            break;
        case 4:
            rocksdb_writebatch_put_log_data(theirs, bytes, value);
            quarry_kv_batch_log_data(ours, bytes, value);
            break;
        default:
            rocksdb_writebatch_put(theirs, bytes, key, bytes, value);
            quarry_kv_batch_put(ours, bytes, key, bytes, value);
            break;
        }
    }
    size_t byte_count;
    const char *data = rocksdb_writebatch_data(theirs, &byte_count);
    assert_int_equal(quarry_kv_batch_data(ours).byte_count, byte_count);
    assert_memory_equal(quarry_kv_batch_data(ours).bytes, data, byte_count);
    assert_int_equal(quarry_kv_batch_count(ours), rocksdb_writebatch_count(theirs));
    rocksdb_writebatch_destroy(theirs);
    quarry_kv_batch_destroy(ours);
}

static rocksdb_t *open_theirs(bool creates)
{
    rocksdb_options_t *options = rocksdb_options_create();
    char *error = NULL;

    rocksdb_options_set_create_if_missing(options, creates);
    rocksdb_t *db = rocksdb_open(options, folder, &error);
    if (error != NULL) {
        fail_msg("rocksdb_open: %s", error);
    }
    rocksdb_options_destroy(options);
    return db;
}

/* The path of the only log in the folder that has something in it. */
static void find_log(char path[128])
{
    for (int number = 1; number < 40; number++) {
        FILE *file;
        snprintf(path, 128, "%s/%06d.log", folder, number);
        file = fopen(path, "r");
        if (file != NULL) {
            int first = getc(file);
            fclose(file);
            if (first != EOF) {
                return;
            }
        }
    }
    fail_msg("no log in %s", folder);
}

static struct quarry_vfs_file *open_file(const char *path, uint32_t mode)
{
    struct quarry_vfs_file *file = NULL;
    struct quarry_error error = {0};

    if (quarry_vfs_open(quarry_vfs_posix(), path, mode, &file, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    return file;
}

static void put_theirs(rocksdb_t *db, const char *key, size_t value_bytes)
{
    rocksdb_writeoptions_t *options = rocksdb_writeoptions_create();
    char *error = NULL, *value = malloc(value_bytes + 1);

    memset(value, 'v', value_bytes);
    rocksdb_put(db, options, key, strlen(key), value, value_bytes, &error);
    assert_null(error);
    free(value);
    rocksdb_writeoptions_destroy(options);
}

static void their_log_is_read(void **state)
{
    static const size_t sizes[] = {0, 100, 32700, 32760, 70000, 5, 200000, 1};
    rocksdb_t *db = open_theirs(true);
    char path[128], key[16];
    struct kv_log_reader *reader = NULL;
    struct kv_slice record;
    struct kv_log_end end;
    uint32_t count = 0;

    (void)state;
    for (uint32_t i = 0; i < 80; i++) {
        snprintf(key, sizeof key, "key%u", i);
        put_theirs(db, key, sizes[i % COUNT_OF(sizes)]);
    }
    find_log(path);
    struct quarry_vfs_file *file = open_file(path, QUARRY_VFS_READ);
    const struct kv_log_reader_options options = {.file = file,
                                                  .name = path,
                                                  .memory = &rig_kv_memory,
                                                  .record_bytes_max = Q_MIB(64),
                                                  .is_paranoid = true};
    assert_int_equal(kv_log_reader_create(&options, &reader, NULL), QUARRY_OK);
    for (; kv_log_read(reader, &record, NULL) == QUARRY_OK; count++) {
        struct kv_batch_counts counts;
        struct kv_batch_cursor cursor;
        struct kv_batch_record change;
        assert_int_equal(kv_batch_check(record, &counts, NULL), QUARRY_OK);
        assert_int_equal(counts.change_count, 1);
        assert_int_equal(kv_batch_sequence(record), count + 1);
        kv_batch_cursor_init(&cursor, record, NULL);
        assert_int_equal(kv_batch_next(&cursor, &change, NULL), QUARRY_OK);
        snprintf(key, sizeof key, "key%u", count);
        assert_slice(change.key, key);
        assert_int_equal(change.value.count, sizes[count % COUNT_OF(sizes)]);
    }
    kv_log_reader_end(reader, &end);
    assert_int_equal(count, 80);
    assert_int_equal(end.ending, KV_LOG_ENDS_CLEAN);
    kv_log_reader_destroy(reader);
    quarry_vfs_close(file);
    rocksdb_close(db);
}

/* Batches of one put, of lengths that go over the ends of blocks, from a sequence on. */
static void write_ours(const char *path, uint64_t segment_bytes, uint32_t count, bool leaves_zeros)
{
    struct quarry_vfs_file *file =
        open_file(path, QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_TRUNCATE);
    const struct kv_log_options options = {
        .file = file, .name = path, .memory = &rig_kv_memory, .segment_bytes = segment_bytes};
    struct quarry_kv_batch *batch = batch_make(false);
    static char value[50000];
    struct kv_log *to = NULL;
    char key[16], head[KV_BATCH_HEADER_BYTES];

    memset(value, 'o', sizeof value);
    assert_int_equal(kv_log_create(&options, &to, NULL), QUARRY_OK);
    for (uint32_t i = 0; i < count; i++) {
        struct kv_log_record record;
        uint64_t record_end;
        quarry_kv_batch_clear(batch);
        snprintf(key, sizeof key, "ours%05u", i);
        quarry_kv_batch_put(batch, key, strlen(key), value, i * 977 % sizeof value);
        struct kv_slice data = kv_batch_slice(batch);
        kv_log_record_init(&record, kv_slice(data.bytes + sizeof head, data.count - sizeof head));
        endian_store_le_u64(head, i + 1000);
        endian_store_le_u32(head + 8, 1);
        record.head = kv_slice(head, sizeof head);
        assert_int_equal(kv_log_append(to, &record, &record_end, NULL), QUARRY_OK);
    }
    quarry_kv_batch_destroy(batch);
    uint64_t end = kv_log_end(to);
    assert_int_equal(kv_log_close(to, NULL), QUARRY_OK);
    if (leaves_zeros) {
        /* As a process that was killed leaves it. */
        assert_int_equal(quarry_vfs_preallocate(file, end, Q_MIB(1), NULL), QUARRY_OK);
    }
    quarry_vfs_close(file);
}

/* A log of ours in the place of theirs, and what they make of it. */
static void our_log_is_recovered_by_them(void **state)
{
    (void)state;
    for (uint32_t shape = 0; shape < 3; shape++) {
        char path[128], key[16];
        rocksdb_t *db = open_theirs(true);
        rocksdb_readoptions_t *options = rocksdb_readoptions_create();
        put_theirs(db, "theirs", 10);
        find_log(path);
        rocksdb_close(db);
        write_ours(path, shape == 0 ? 0 : Q_MIB(1), 300, shape == 2);
        db = open_theirs(false);
        for (uint32_t i = 0; i < 300; i++) {
            char *error = NULL;
            size_t byte_count = 0;
            snprintf(key, sizeof key, "ours%05u", i);
            char *value = rocksdb_get(db, options, key, strlen(key), &byte_count, &error);
            assert_null(error);
            assert_non_null(value);
            assert_int_equal(byte_count, i * 977 % 50000);
            rocksdb_free(value);
        }
        rocksdb_readoptions_destroy(options);
        rocksdb_close(db);
        nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    }
}

static void our_log_is_dumped_by_ldb(void **state)
{
    char path[128], command[256], line[512];
    uint32_t count = 0;

    (void)state;
    if (access("/usr/bin/ldb", X_OK) != 0) {
        skip();
    }
    snprintf(path, sizeof path, "%s/000007.log", folder);
    write_ours(path, Q_MIB(1), 120, true);
    snprintf(command, sizeof command, "ldb dump_wal --walfile=%s 2>&1", path);
    FILE *output = popen(command, "r");
    assert_non_null(output);
    while (fgets(line, sizeof line, output) != NULL) {
        char expected[32];
        snprintf(expected, sizeof expected, "%u,1,", count + 1000);
        count += strncmp(line, expected, strlen(expected)) == 0;
        assert_null(strstr(line, "orrupt"));
    }
    assert_int_equal(pclose(output), 0);
    assert_int_equal(count, 120);
}

#define WITH_FOLDER(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(same_changes_give_the_same_bytes),
        WITH_FOLDER(their_log_is_read),
        WITH_FOLDER(our_log_is_recovered_by_them),
        WITH_FOLDER(our_log_is_dumped_by_ldb),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
