/* Threads on one vfs: each file of its own, one file shared, names in one directory, losses of
 * power meanwhile. */
#include "vfs_rig.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "unit/base/random.h"

#define NEW        (QUARRY_VFS_WRITE | QUARRY_VFS_CREATE)
#define THREADS    4u
#define TURNS      200u
#define PART_BYTES 1000u
#define SYNC_EVERY 20u /* a real one may take ten milliseconds */

struct worker {
    pthread_t thread;
    struct vfs_rig *rig;
    struct quarry_vfs_file *shared;
    unsigned index;
    unsigned failure_count; /* cmocka's assertions belong to the first thread */
};

static void expect(struct worker *worker, bool holds)
{
    worker->failure_count += !holds;
}

static void run_workers(struct vfs_rig *rig, struct quarry_vfs_file *shared,
                        void *(*body)(void *worker))
{
    struct worker workers[THREADS];
    for (unsigned at = 0; at < THREADS; at++) {
        workers[at] = (struct worker){.rig = rig, .shared = shared, .index = at};
        assert_int_equal(pthread_create(&workers[at].thread, NULL, body, &workers[at]), 0);
    }
    for (unsigned at = 0; at < THREADS; at++) {
        assert_int_equal(pthread_join(workers[at].thread, NULL), 0);
        assert_int_equal(workers[at].failure_count, 0);
    }
}

/* ---- a file of its own ---- */

static void *use_own_file(void *argument)
{
    struct worker *worker = argument;
    struct quarry_vfs *vfs = worker->rig->vfs;
    char path[128];
    char other[128];
    snprintf(path, sizeof path, "%s/own-%u", worker->rig->root, worker->index);
    snprintf(other, sizeof other, "%s/renamed-%u", worker->rig->root, worker->index);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        struct quarry_vfs_file *file = NULL;
        char bytes[PART_BYTES];
        char copy[PART_BYTES];
        size_t byte_count = 0;
        memset(bytes, (int)(worker->index * 50 + turn % 50), sizeof bytes);
        expect(worker, quarry_vfs_open(vfs, path, NEW, &file, NULL) == QUARRY_OK);
        if (file == NULL) {
            break;
        }
        expect(worker, quarry_vfs_write(file, turn, bytes, sizeof bytes, NULL) == QUARRY_OK);
        expect(worker,
               quarry_vfs_read(file, turn, copy, sizeof copy, &byte_count, NULL) == QUARRY_OK);
        expect(worker, byte_count == sizeof copy && memcmp(bytes, copy, sizeof copy) == 0);
        quarry_vfs_close(file);
        expect(worker, quarry_vfs_rename(vfs, path, other, NULL) == QUARRY_OK);
        expect(worker, quarry_vfs_remove(vfs, other, NULL) == QUARRY_OK);
    }
    return NULL;
}

static void threads_use_files_of_their_own(void **state)
{
    run_workers(*state, NULL, use_own_file);
}

/* ---- parts of one file ---- */

static void *use_part(void *argument)
{
    struct worker *worker = argument;
    uint64_t offset = worker->index * PART_BYTES; /* not of whole blocks */
    for (unsigned turn = 0; turn < TURNS; turn++) {
        char bytes[PART_BYTES];
        char copy[PART_BYTES];
        size_t byte_count = 0;
        uint64_t size = 0;
        memset(bytes, (int)(worker->index * 50 + turn % 50), sizeof bytes);
        expect(worker,
               quarry_vfs_write(worker->shared, offset, bytes, sizeof bytes, NULL) == QUARRY_OK);
        expect(worker, quarry_vfs_read(worker->shared, offset, copy, sizeof copy, &byte_count,
                                       NULL) == QUARRY_OK);
        expect(worker, byte_count == sizeof copy && memcmp(bytes, copy, sizeof copy) == 0);
        expect(worker, quarry_vfs_size(worker->shared, &size, NULL) == QUARRY_OK &&
                           size >= offset + PART_BYTES);
        if (turn % SYNC_EVERY == 0) {
            expect(worker, quarry_vfs_sync(worker->shared, NULL) == QUARRY_OK);
        }
    }
    return NULL;
}

static void threads_share_a_file(void **state)
{
    struct quarry_vfs_file *file = vfs_rig_open(*state, "shared", NEW);
    run_workers(*state, file, use_part);
    quarry_vfs_close(file);
}

/* ---- stores through a mapping while others sync ---- */

static char *mapped;

static void *store_or_sync(void *argument)
{
    struct worker *worker = argument;
    for (unsigned turn = 0; turn < TURNS; turn++) {
        if (worker->index == 0 && turn % SYNC_EVERY == 0) {
            expect(worker, quarry_vfs_sync(worker->shared, NULL) == QUARRY_OK);
        }
        if (worker->index != 0) {
            memset(mapped + (size_t)worker->index * 4096, (int)turn, 4096);
        }
        if (worker->index == 1 && turn % 16 == 0) {
            expect(worker, quarry_vfs_start_sync(worker->shared, 0, 0, NULL) == QUARRY_OK);
        }
    }
    return NULL;
}

static void a_mapping_is_stored_to_while_it_is_synced(void **state)
{
    void *base = NULL;
    struct quarry_vfs_file *file = vfs_rig_open(*state, "mapped", NEW);
    assert_ok(quarry_vfs_preallocate(file, 0, THREADS * 4096, NULL));
    assert_ok(quarry_vfs_map(file, 0, (size_t)THREADS * 4096, &base, NULL));
    mapped = base;
    run_workers(*state, file, store_or_sync);
    for (unsigned at = 1; at < THREADS; at++) {
        assert_int_equal((uint8_t)mapped[at * 4096 + 4095], (uint8_t)(TURNS - 1));
    }
    quarry_vfs_unmap(file, base, (size_t)THREADS * 4096);
    quarry_vfs_close(file);
}

/* ---- one lock ---- */

static uint64_t holder_count; /* guarded by the lock under test */

static void *take_lock(void *argument)
{
    struct worker *worker = argument;
    char path[128];
    snprintf(path, sizeof path, "%s/LOCK", worker->rig->root);
    for (unsigned taken = 0; taken < 50;) {
        struct quarry_vfs_lock *lock = NULL;
        enum quarry_status status = quarry_vfs_take_lock(worker->rig->vfs, path, &lock, NULL);
        if (status == QUARRY_OK) {
            holder_count++;
            quarry_vfs_unlock(lock);
            taken++;
        } else {
            expect(worker, status == QUARRY_BUSY);
            (void)usleep(20);
        }
    }
    return NULL;
}

static void one_thread_at_a_time_has_a_lock(void **state)
{
    holder_count = 0;
    run_workers(*state, NULL, take_lock);
    assert_int_equal(holder_count, THREADS * 50);
}

/* ---- losses of power while others write ---- */

static void *crash_or_write(void *argument)
{
    struct worker *worker = argument;
    struct quarry_vfs *disk = worker->rig->below != NULL ? worker->rig->below : worker->rig->vfs;
    if (worker->index > 0) {
        return use_own_file(argument);
    }
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct quarry_vfs *left = NULL;
        struct quarry_vfs_file *file = NULL;
        expect(worker, quarry_vfs_memory_crash(disk, 50, seed, &left) == QUARRY_OK);
        if (left == NULL) {
            break;
        }
        /* The two share blocks; writing in one does not change the other. */
        expect(worker, quarry_vfs_open(left, "/file", NEW, &file, NULL) == QUARRY_OK);
        expect(worker, quarry_vfs_write(file, 0, "left", 4, NULL) == QUARRY_OK);
        quarry_vfs_close(file);
        quarry_vfs_memory_destroy(left);
    }
    return NULL;
}

static void power_is_lost_while_threads_write(void **state)
{
    struct vfs_rig *rig = *state;
    vfs_rig_put(rig, "file", "here");
    run_workers(rig, NULL, crash_or_write);
    vfs_rig_expect(rig, "file", "here");
}

#define EACH(test) cmocka_unit_test_teardown(test, vfs_rig_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(threads_use_files_of_their_own),
        EACH(threads_share_a_file),
        EACH(a_mapping_is_stored_to_while_it_is_synced),
        EACH(one_thread_at_a_time_has_a_lock),
        EACH(power_is_lost_while_threads_write), /* not of the machine's */
    };
    const struct CMUnitTest machine_tests[] = {
        EACH(threads_use_files_of_their_own),
        EACH(threads_share_a_file),
        EACH(a_mapping_is_stored_to_while_it_is_synced),
        EACH(one_thread_at_a_time_has_a_lock),
    };
    return cmocka_run_group_tests(machine_tests, vfs_rig_posix, vfs_rig_end) +
           cmocka_run_group_tests(tests, vfs_rig_memory, vfs_rig_end) +
           cmocka_run_group_tests(tests, vfs_rig_fault, vfs_rig_end);
}
