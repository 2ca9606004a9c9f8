/* Snapshots that many threads take, read by and end at once. */
#include "unit/base/cmocka_all.h"
#include "unit/serve/resp_rig.h"

#include <pthread.h>
#include <string.h>

#define THREADS 4u
#define ROUNDS  2000u

static struct resp_rig rig;

/* One thread's work, and what it saw. */
struct worker {
    pthread_t thread;
    uint64_t session_id;
    uint32_t taken_count, refused_count, lost_count;
};

static void read_by(struct worker *worker, uint64_t id)
{
    if (resp_snapshots_acquire(rig.snapshots, 0, id) == NULL) {
        worker->lost_count++; /* another thread's tick or end came first */
        return;
    }
    resp_snapshots_release(rig.snapshots, id);
}

static void *work(void *argument)
{
    struct worker *worker = argument;

    for (uint32_t round = 0; round < ROUNDS; round++) {
        /* Relaxed: a number. */
        uint64_t now_ms = atomic_add_relaxed_u64(&rig.now_ms, 5000), id = 0;
        enum quarry_status status =
            resp_snapshots_take(rig.snapshots, 0, worker->session_id, now_ms, &id);

        if (status == QUARRY_OK) {
            worker->taken_count++;
            read_by(worker, id);
            read_by(worker, id > 2 ? id - 2 : id);
        } else {
            worker->refused_count++;
        }
        if (round % 3 == 0) {
            (void)resp_snapshots_end(rig.snapshots, 0, id);
        }
        if (round % 7 == 0) {
            resp_snapshots_tick(rig.snapshots, now_ms);
        }
        if (round % 31 == 0) {
            resp_snapshots_end_session(rig.snapshots, worker->session_id);
        }
    }
    return NULL;
}

static void threads_share_the_snapshots_of_a_tenant(void **state)
{
    struct worker workers[THREADS];
    struct resp_snapshot_told told[RESP_SNAPSHOTS_PER_TENANT];
    struct quarry_kv_stats stats;
    uint32_t taken_count = 0;

    (void)state;
    resp_rig_open(&rig);
    memset(workers, 0, sizeof(workers));
    for (uint32_t i = 0; i < THREADS; i++) {
        workers[i].session_id = i + 1;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_int_equal(workers[i].taken_count + workers[i].refused_count, ROUNDS);
        taken_count += workers[i].taken_count;
    }
    assert_true(taken_count > ROUNDS); /* else little was shared */
    quarry_kv_read_stats(keyspace_kv(rig.keyspace), &stats);
    assert_int_equal(stats.snapshot_count, resp_snapshots_list(rig.snapshots, 0, told));
    for (uint32_t i = 0; i < THREADS; i++) {
        resp_snapshots_end_session(rig.snapshots, workers[i].session_id);
    }
    quarry_kv_read_stats(keyspace_kv(rig.keyspace), &stats);
    assert_int_equal(stats.snapshot_count, 0);
    resp_rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(threads_share_the_snapshots_of_a_tenant)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
