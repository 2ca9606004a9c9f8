/*
 * Checkpoints, backups, ingestions and figures while others write, and files are flushed and
 * compacted.
 */
#include "unit/kv/out_rig.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define WRITERS 2
#define ROUNDS  6

static struct quarry_kv *kv;
static atomic_bool is_over;
static atomic_uint failures;

/* Each round of a writer puts its number under two keys, in one batch: they are always equal. */
static void *write_pairs(void *argument)
{
    const char *name = argument;
    struct quarry_kv_batch *batch;
    char one[24], other[24], value[256];

    if (quarry_kv_batch_create(kv, false, &batch) != QUARRY_OK) {
        atomic_fetch_add(&failures, 1);
        return NULL;
    }
    for (uint32_t i = 0; !atomic_load(&is_over); i++) {
        (void)snprintf(one, sizeof(one), "a%s%05u", name, i % 5000u);
        (void)snprintf(other, sizeof(other), "z%s%05u", name, i % 5000u);
        memset(value, 'v', sizeof(value));
        (void)snprintf(value, sizeof(value), "%u", i);
        quarry_kv_batch_clear(batch);
        if (quarry_kv_batch_put(batch, one, strlen(one), value, sizeof(value)) != QUARRY_OK ||
            quarry_kv_batch_put(batch, other, strlen(other), value, sizeof(value)) != QUARRY_OK ||
            quarry_kv_write(kv, NULL, batch, NULL) != QUARRY_OK) {
            atomic_fetch_add(&failures, 1);
        }
    }
    quarry_kv_batch_destroy(batch);
    return NULL;
}

/* That for each key of the first half the other one has the same value. */
static uint32_t check_pairs(struct quarry_kv *of)
{
    const struct quarry_kv_read_options half = {.lower = {"a", 1}, .upper = {"b", 1}};
    struct quarry_kv_iterator *iterator;
    struct quarry_kv_value value = {0};
    char other[24];
    uint32_t count = 0;

    must(quarry_kv_iterate(of, &half, &iterator, &out_error));
    for (bool is = quarry_kv_iterator_first(iterator); is; is = quarry_kv_iterator_next(iterator)) {
        struct quarry_kv_slice key = quarry_kv_iterator_key(iterator);
        struct quarry_kv_slice one = quarry_kv_iterator_value(iterator);
        memcpy(other, key.bytes, key.byte_count);
        other[0] = 'z';
        must(quarry_kv_get(of, NULL, other, key.byte_count, &value, &out_error));
        assert_int_equal(value.byte_count, one.byte_count);
        assert_memory_equal(value.bytes, one.bytes, one.byte_count);
        quarry_kv_value_release(&value);
        count++;
    }
    must(quarry_kv_iterator_status(iterator, &out_error));
    quarry_kv_iterator_destroy(iterator);
    return count;
}

/* Among the keys that are being written, and of others. */
static void ingest_round(uint32_t round)
{
    struct quarry_kv_file_writer *writer;
    const char *path = "/new.sst";
    struct quarry_kv_value value = {0};
    char text[16];

    (void)snprintf(text, sizeof(text), "%u", round);
    must(quarry_kv_file_writer_create(kv, path, &writer, &out_error));
    must(quarry_kv_file_writer_put(writer, "m ingested", 10, text, strlen(text), &out_error));
    must(quarry_kv_file_writer_put(writer, "zzz ingested", 12, text, strlen(text), &out_error));
    must(quarry_kv_file_writer_finish(writer, &out_error));
    must(quarry_kv_ingest(kv, &path, 1, false, &out_error));
    must(quarry_kv_get(kv, NULL, "zzz ingested", 12, &value, &out_error));
    assert_int_equal(value.byte_count, strlen(text));
    assert_memory_equal(value.bytes, text, strlen(text));
    quarry_kv_value_release(&value);
}

/* Until the writers have done so much more. */
static void let_write(uint64_t put_count)
{
    struct quarry_kv_stats before, now;

    quarry_kv_read_stats(kv, &before);
    do {
        (void)sched_yield();
        quarry_kv_read_stats(kv, &now);
        assert_int_equal(atomic_load(&failures), 0);
    } while (now.put_count < before.put_count + put_count);
}

static void tell_all(void)
{
    static char room[65536];
    struct quarry_kv_stats stats;

    quarry_kv_read_stats(kv, &stats);
    must(quarry_kv_property(kv, "rocksdb.stats", room, sizeof(room), NULL));
    must(quarry_kv_property(kv, "rocksdb.sstables", room, sizeof(room), NULL));
    must(quarry_kv_property(kv, "quarry.lsm", room, sizeof(room), NULL));
    must(quarry_kv_property(kv, "quarry.memory", room, sizeof(room), NULL));
    must(quarry_kv_verify(kv, &out_error));
    must(quarry_kv_validate(kv, &out_error));
}

static void copies_of_a_busy_store_are_of_one_moment(void **state)
{
    static char names[WRITERS][8] = {"x", "y"};
    struct quarry_kv_options options = out_options();
    pthread_t threads[WRITERS];
    char path[32];
    uint32_t id;

    (void)state;
    options.is_stepped = false;
    kv = out_open_with("/kv", &options);
    atomic_store(&is_over, false);
    for (uint32_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, write_pairs, names[i]), 0);
    }
    for (uint32_t round = 0; round < ROUNDS; round++) {
        (void)snprintf(path, sizeof(path), "/copy%u", round);
        let_write(500);
        must(quarry_kv_checkpoint(kv, path, &out_error));
        must(quarry_kv_backup(kv, "/backups", &id, &out_error));
        ingest_round(round);
        tell_all();
    }
    atomic_store(&is_over, true);
    for (uint32_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&failures), 0);
    assert_true(check_pairs(kv) > 0);
    must(quarry_kv_validate(kv, &out_error));
    out_shut(kv);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        (void)snprintf(path, sizeof(path), "/copy%u", round);
        kv = out_open(path);
        (void)check_pairs(kv);
        out_close(kv);
    }
    must(quarry_kv_restore(out_vfs, "/backups", 0, "/back", &out_error));
    kv = out_open("/back");
    assert_true(check_pairs(kv) > 0);
    out_close(kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(copies_of_a_busy_store_are_of_one_moment, out_set_up,
                                        out_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
