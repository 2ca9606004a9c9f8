/*
 * Many threads at once: batches inserted into a memtable while others read it, keys that everybody
 * writes, range deletions; records appended to a log, and syncs that are shared.
 */
#include "unit/kv/mem_rig.h"

#include <pthread.h>
#include <stdio.h>

#include <kv/log_read.h>
#include <kv/log_write.h>

#include "unit/base/random.h"

#define WRITERS   3u
#define READERS   2u
#define BATCHES   1500u
#define PER_BATCH 6u

static struct kv_memtable *memtable;
static pthread_mutex_t commit = PTHREAD_MUTEX_INITIALIZER;
static uint64_t next_sequence;
static _Atomic uint64_t published[WRITERS]; /* batches of each writer that are applied */
static _Atomic uint32_t writers_left;

/* Keys 0 to 9 are everybody's; others are one writer's, and its batch's. */
static struct kv_slice own_key(uint32_t writer, uint64_t batch, char room[32])
{
    uint64_t mixed = batch * 7919 % BATCHES;

    return kv_slice(room,
                    (size_t)snprintf(room, 32, "%06llu-%u", (unsigned long long)mixed, writer));
}

static void fill_batch(struct quarry_kv_batch *batch, uint32_t writer, uint64_t number)
{
    char room[32], end[32];
    struct kv_slice key = own_key(writer, number, room);

    quarry_kv_batch_clear(batch);
    quarry_kv_batch_put(batch, key.bytes, key.count, key.bytes, key.count);
    for (uint32_t i = 1; i < PER_BATCH - 1; i++) {
        int byte_count = snprintf(room, sizeof room, "shared-by-everyone-%llu",
                                  (unsigned long long)((number + i) % 10));
        quarry_kv_batch_put(batch, room, (size_t)byte_count, "value", 5);
    }
    int byte_count = snprintf(end, sizeof end, "zz-%u-%06llu", writer, (unsigned long long)number);
    if (number % 50 == 0) {
        quarry_kv_batch_delete_range(batch, "zz", 2, end, (size_t)byte_count);
    } else {
        quarry_kv_batch_delete(batch, end, (size_t)byte_count);
    }
}

/* The batch's own key and the next ones, between which others insert meanwhile. */
static void look_ahead(uint32_t writer, uint64_t number, struct kv_memtable_splice *splice)
{
    struct kv_slice keys[KV_MEMTABLE_AHEAD];
    char rooms[KV_MEMTABLE_AHEAD][32];

    for (uint64_t i = 0; i < KV_MEMTABLE_AHEAD; i++) {
        keys[i] = own_key(writer, number + i, rooms[i]);
    }
    kv_memtable_seek_ahead(memtable, keys, KV_MEMTABLE_AHEAD, splice);
}

static void *write_batches(void *argument)
{
    uint32_t writer = (uint32_t)(uintptr_t)argument;
    struct kv_memtable_splice splice = {.memtable_id = 0};
    struct quarry_kv_batch *batch = batch_make(false);

    for (uint64_t i = 0; i < BATCHES; i++) {
        struct kv_memtable_plan plan;
        fill_batch(batch, writer, i);
        if (i % KV_MEMTABLE_AHEAD == 0 && i / KV_MEMTABLE_AHEAD % 2 == 0) {
            look_ahead(writer, i, &splice);
        }
        Q_ASSERT(kv_memtable_plan(kv_batch_slice(batch), &plan, NULL) == QUARRY_OK);
        pthread_mutex_lock(&commit);
        Q_ASSERT(kv_memtable_prepare(memtable, &plan, next_sequence) == QUARRY_OK);
        next_sequence += PER_BATCH;
        pthread_mutex_unlock(&commit);
        kv_memtable_apply(memtable, &plan, &splice);
        atomic_store_release_u64(&published[writer], i + 1);
    }
    quarry_kv_batch_destroy(batch);
    atomic_sub_release_u32(&writers_left, 1);
    return NULL;
}

static void check_published(uint64_t *random)
{
    uint32_t writer = (uint32_t)(random_u64(random) % WRITERS);
    uint64_t count = atomic_load_acquire_u64(&published[writer]);
    struct kv_memtable_found found;
    char room[32];

    if (count != 0) {
        struct kv_slice key = own_key(writer, random_u64(random) % count, room);
        Q_ASSERT(kv_memtable_get(memtable, key, KV_SEQUENCE_MAX, &found));
        Q_ASSERT(slices_are_equal(found.value, key));
        Q_ASSERT(
            kv_memtable_get(memtable, text_slice("shared-by-everyone-5"), KV_SEQUENCE_MAX, &found));
        uint64_t newest = found.trailer;
        while (kv_memtable_older(memtable, &found)) {
            Q_ASSERT(found.trailer < newest);
            newest = found.trailer;
        }
    }
    Q_ASSERT(!kv_memtable_get(memtable, text_slice("nobody's"), KV_SEQUENCE_MAX, &found));
}

/* Some steps both ways; order holds whatever happens. */
static void check_order(uint64_t *random)
{
    struct kv_memtable_iterator iterator;
    struct kv_iterator *it = &iterator.base;
    bool is_forward = random_u64(random) % 2 == 0;
    char room[32];

    kv_memtable_iterator_init(&iterator, memtable);
    it->ops->seek(it, (struct kv_key){own_key(0, random_u64(random) % BATCHES, room),
                                      kv_trailer_seek(KV_SEQUENCE_MAX)});
    for (int i = 0; i < 100 && it->is_valid; i++) {
        struct kv_key before = it->key;
        if (is_forward) {
            it->ops->next(it);
        } else {
            it->ops->previous(it);
        }
        int order = it->is_valid ? kv_compare_keys(&kv_bytewise, before, it->key) : 0;
        Q_ASSERT(!it->is_valid || (is_forward ? order < 0 : order > 0));
    }
    it->ops->fini(it);
    (void)kv_memtable_cover(memtable, text_slice("zz-1"), KV_SEQUENCE_MAX);
}

static void *read_it(void *argument)
{
    uint64_t random = (uintptr_t)argument;

    while (atomic_load_acquire_u32(&writers_left) != 0) {
        check_published(&random);
        check_order(&random);
    }
    return NULL;
}

static void agree_once(void)
{
    pthread_t threads[WRITERS + READERS];
    char room[32];
    struct kv_memtable_found found;

    memtable = memtable_make(Q_MIB(64), false);
    next_sequence = 1;
    writers_left = WRITERS;
    for (size_t i = 0; i < WRITERS; i++) {
        atomic_store_relaxed_u64(&published[i], 0);
    }
    for (uintptr_t i = 0; i < WRITERS + READERS; i++) {
        assert_int_equal(
            pthread_create(&threads[i], NULL, i < WRITERS ? write_batches : read_it, (void *)i), 0);
    }
    for (size_t i = 0; i < WRITERS + READERS; i++) {
        pthread_join(threads[i], NULL);
    }
    kv_memtable_validate(memtable);
    for (uint32_t writer = 0; writer < WRITERS; writer++) {
        for (uint64_t i = 0; i < BATCHES; i++) {
            assert_true(
                kv_memtable_get(memtable, own_key(writer, i, room), KV_SEQUENCE_MAX, &found));
        }
    }
    struct kv_memtable_stats stats;
    kv_memtable_read_stats(memtable, &stats);
    assert_int_equal(stats.entry_count + stats.range_count,
                     (uint64_t)WRITERS * BATCHES * PER_BATCH);
    /* In the table of keys, and not in the list alone: whoever finds it full helps to make another.
     */
    assert_true(stats.has_whole_hash);
    kv_memtable_release(memtable);
}

static void writers_and_readers_agree(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        agree_once();
    }
}

/* ---- logs ----------------------------------------------------------------------------------- */

#define RECORDS 400u

static struct kv_log *shared_log;

static void *append_records(void *argument)
{
    uint32_t writer = (uint32_t)(uintptr_t)argument;

    for (uint32_t i = 0; i < RECORDS; i++) {
        struct kv_log_record record;
        uint64_t end;
        char head[12] = {0}, body[5000];
        memset(body, (int)writer + 1, sizeof body);
        kv_log_record_init(&record, kv_slice(body, (i * 37) % sizeof body));
        endian_store_le_u32(head, writer);
        endian_store_le_u32(head + 4, i);
        record.head = kv_slice(head, sizeof head);
        Q_ASSERT(kv_log_append(shared_log, &record, &end, NULL) == QUARRY_OK);
        if (i % 4 == 0) {
            Q_ASSERT(kv_log_sync(shared_log, end, NULL) == QUARRY_OK);
            Q_ASSERT(kv_log_synced_end(shared_log) >= end);
        }
    }
    return NULL;
}

static void check_records(struct quarry_vfs_file *file)
{
    const struct kv_log_reader_options options = {.file = file,
                                                  .name = "log",
                                                  .memory = &rig_kv_memory,
                                                  .record_bytes_max = Q_MIB(1),
                                                  .is_paranoid = true};
    uint32_t next[WRITERS] = {0}, count = 0;
    struct kv_log_reader *reader = NULL;
    struct kv_slice record;

    assert_int_equal(kv_log_reader_create(&options, &reader, NULL), QUARRY_OK);
    for (; kv_log_read(reader, &record, NULL) == QUARRY_OK; count++) {
        uint32_t writer = endian_load_le_u32(record.bytes);
        assert_true(writer < WRITERS);
        assert_int_equal(endian_load_le_u32(record.bytes + 4), next[writer]);
        assert_int_equal(record.count, 12 + (next[writer] * 37) % 5000);
        assert_true(record.count == 12 || record.bytes[record.count - 1] == (char)(writer + 1));
        next[writer]++;
    }
    assert_int_equal(count, WRITERS * RECORDS);
    kv_log_reader_destroy(reader);
}

static void records_of_all_threads_are_whole_and_in_order(void **state)
{
    struct quarry_vfs *vfs = NULL;
    struct quarry_vfs_file *file = NULL;
    pthread_t threads[WRITERS];

    (void)state;
    assert_int_equal(quarry_vfs_memory_create(1, &vfs), QUARRY_OK);
    for (uint32_t mapped = 0; mapped < 2; mapped++) {
        assert_int_equal(quarry_vfs_open(vfs, mapped ? "/m" : "/w",
                                         QUARRY_VFS_WRITE | QUARRY_VFS_CREATE, &file, NULL),
                         QUARRY_OK);
        const struct kv_log_options options = {.file = file,
                                               .name = "log",
                                               .memory = &rig_kv_memory,
                                               .segment_bytes = mapped ? Q_MIB(2) : 0};
        assert_int_equal(kv_log_create(&options, &shared_log, NULL), QUARRY_OK);
        for (uintptr_t i = 0; i < WRITERS; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, append_records, (void *)i), 0);
        }
        for (size_t i = 0; i < WRITERS; i++) {
            pthread_join(threads[i], NULL);
        }
        uint64_t sync_count, shared_count;
        kv_log_read_counts(shared_log, &sync_count, &shared_count);
        assert_true(sync_count >= 1 && sync_count <= WRITERS * RECORDS / 4);
        check_records(file);
        assert_int_equal(kv_log_close(shared_log, NULL), QUARRY_OK);
        check_records(file);
        quarry_vfs_close(file);
    }
    quarry_vfs_memory_destroy(vfs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writers_and_readers_agree, mem_rig_set_up,
                                        mem_rig_tear_down),
        cmocka_unit_test_setup_teardown(records_of_all_threads_are_whole_and_in_order,
                                        mem_rig_set_up, mem_rig_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
