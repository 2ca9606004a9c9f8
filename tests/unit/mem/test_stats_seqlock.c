/*
 * Readers against writers: no snapshot shows two refreshes at once, and no sample two objects,
 * however the threads fall.
 */
#include "profile_rig.h"

#include <pthread.h>
#include <string.h>

#define REFRESHES 500u
#define SNAPSHOTS 300u
/* Different refreshes that must have been read, so that reading and writing did meet. */
#define CHANGES_MIN 100u

static _Atomic bool is_over;

/* Every figure of the n-th refresh is n. */
static void *refresh_all_the_time(void *argument)
{
    (void)argument;
    census.row_count = 40;
    census.class_count = 67;
    for (uint64_t n = 1; n <= REFRESHES || !atomic_load_acquire_bool(&is_over); n++) {
        census.totals.span_bytes = n;
        census.totals.refused_count = n;
        census.limit_bytes = n;
        for (uint32_t i = 0; i < census.row_count; i++) {
            census.row[i].span_bytes = n;
            census.row[i].sparse_free_bytes = n;
        }
        for (uint32_t i = 0; i < census.class_count; i++) {
            census.class[i].tail_bytes = n;
        }
        assert_int_equal(mem_stats_refresh(&stats, &census), QUARRY_OK);
        os_sleep_ns(n % 8 * 20 * Q_US_NS); /* a reader needs some 10 µs without a refresh */
    }
    return NULL;
}

static void assert_one_refresh(const struct mem_stats_snapshot *shot)
{
    uint64_t n = shot->head->limit_bytes;

    assert_int_equal(shot->totals->span_bytes, n);
    assert_int_equal(shot->totals->refused_count, n);
    assert_int_equal(shot->head->refresh_count, n);
    for (uint32_t i = 0; i < shot->row_count; i++) {
        assert_int_equal(shot->rows[i].span_bytes, n);
        assert_int_equal(shot->rows[i].sparse_free_bytes, n);
    }
    for (uint32_t i = 0; i < shot->class_count; i++) {
        assert_int_equal(shot->classes[i].tail_bytes, n);
    }
}

/* Reads at the writer's own addresses, so that the race detector sees both sides. */
static struct mem_stats_reader reader_inside(void)
{
    return (struct mem_stats_reader){
        .memory_fd = -1, .shm_id = -1, .base = atomic_load_acquire_ptr(&stats.base)};
}

static void reader_inside_end(struct mem_stats_reader *reader)
{
    reader->base = NULL; /* the segment stays attached */
    mem_stats_detach(reader);
}

/* A writer that loses its processor within a refresh is one that is busy: it is asked again. */
static void take_snapshot(struct mem_stats_reader *reader, struct mem_stats_snapshot *ret_shot)
{
    struct quarry_error error = {0};
    enum quarry_status status;

    do {
        status = mem_stats_snapshot(reader, ret_shot, &error);
    } while (status == QUARRY_BUSY);
    if (status != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
}

static void a_snapshot_is_of_one_refresh(void **state)
{
    pthread_t writer;
    struct mem_stats_snapshot shot;
    uint64_t last = 0, changes = 0;

    (void)state;
    atomic_store_release_bool(&is_over, false);
    census.heap = NULL; /* its map has tests of its own, and is slow to draw */
    assert_int_equal(mem_stats_refresh(&stats, &census), QUARRY_OK);
    struct mem_stats_reader reader = reader_inside();
    mem_stats_store(&((struct mem_stats_head *)stats.segment.base)->refresh_count, 0);
    assert_int_equal(pthread_create(&writer, NULL, refresh_all_the_time, NULL), 0);
    for (uint32_t i = 0; i < SNAPSHOTS || changes < CHANGES_MIN; i++) {
        take_snapshot(&reader, &shot);
        if (shot.head->refresh_count > 0) {
            assert_one_refresh(&shot);
            changes += shot.head->limit_bytes != last;
            last = shot.head->limit_bytes;
        }
    }
    atomic_store_release_bool(&is_over, true);
    assert_int_equal(pthread_join(writer, NULL), 0);
    reader_inside_end(&reader);
}

/* Samples whose fields all follow from their address. */
static void *sample_all_the_time(void *argument)
{
    uint64_t first = (uint64_t)(uintptr_t)argument;

    for (uint64_t n = 0; n < 5000 || !atomic_load_acquire_bool(&is_over); n++) {
        uint64_t address = first + n % 37 * 4096;
        if (!mem_profile_free(&profile, (void *)address)) {
            sample_plant(address, address % 65536 + 8, 0x1000 + address % 11, 3);
        }
    }
    for (uint64_t i = 0; i < 37; i++) {
        (void)mem_profile_free(&profile, (void *)(first + i * 4096));
    }
    return NULL;
}

static void a_sample_is_of_one_object(void **state)
{
    pthread_t writers[2];
    struct mem_stats_snapshot shot;
    struct quarry_error error = {0};

    (void)state;
    atomic_store_release_bool(&is_over, false);
    sample_plant(22, 30, 0x1000, 3);
    struct mem_stats_reader reader = reader_inside();
    assert_int_equal(pthread_create(&writers[0], NULL, sample_all_the_time, (void *)0x100010), 0);
    assert_int_equal(pthread_create(&writers[1], NULL, sample_all_the_time, (void *)0x900020), 0);
    for (uint32_t i = 0; i < SNAPSHOTS; i++) {
        take_snapshot(&reader, &shot);
        for (uint32_t j = 0; j < shot.sample_count; j++) {
            const struct mem_stats_sample *sample = &shot.samples[j];
            assert_int_equal(sample->usable_bytes, sample->address % 65536 + 8);
            assert_int_equal(shot.stacks[sample->stack].pc[0], 0x1000 + sample->address % 11);
        }
        (void)mem_stats_refresh(&stats, &census);
    }
    atomic_store_release_bool(&is_over, true);
    assert_int_equal(pthread_join(writers[0], NULL), 0);
    assert_int_equal(pthread_join(writers[1], NULL), 0);
    assert_int_equal(mem_stats_snapshot(&reader, &shot, &error), QUARRY_OK);
    assert_balanced(&shot);
    assert_int_equal(shot.sample_count, 1);
    reader_inside_end(&reader);
}

static void a_writer_that_died_in_a_refresh_is_told(void **state)
{
    struct mem_stats_snapshot shot;
    struct quarry_error error = {0};

    (void)state;
    assert_int_equal(mem_stats_refresh(&stats, &census), QUARRY_OK);
    struct mem_stats_reader reader = reader_inside();
    mem_stats_add(&((struct mem_stats_head *)stats.segment.base)->sequence, 1);
    assert_int_equal(mem_stats_snapshot(&reader, &shot, &error), QUARRY_BUSY);
    assert_non_null(strstr(error.text, "being written"));
    /* The next refresh makes it good. */
    assert_int_equal(mem_stats_refresh(&stats, &census), QUARRY_OK);
    assert_int_equal(mem_stats_snapshot(&reader, &shot, &error), QUARRY_OK);
    reader_inside_end(&reader);
}

#define SEQLOCK_TEST(f) cmocka_unit_test_setup_teardown(f, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEQLOCK_TEST(a_snapshot_is_of_one_refresh),
        SEQLOCK_TEST(a_sample_is_of_one_object),
        SEQLOCK_TEST(a_writer_that_died_in_a_refresh_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
