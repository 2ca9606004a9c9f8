/* Open tables: a fake that counts, one thread and many. */
#include "unit/kv/ver_rig.h"

#include <kv/table_cache.h>

#include <pthread.h>
#include <stdio.h>

#define FILES 12u

static struct kv_table_cache *cache;
static struct kv_file files[FILES];

/* What `open` makes: a cell that says which file it is of. */
static _Atomic uint32_t open_now[FILES], opened[FILES];
static _Atomic bool fails;
/* How many must wait for a file before it is open. */
static uint32_t waiters_wanted;

static void let_others_wait(void)
{
    struct kv_table_cache_stats stats;

    do {
        os_yield();
        kv_table_cache_read_stats(cache, &stats);
    } while (stats.waited_count < waiters_wanted);
}

static enum quarry_status fake_open(void *argument, const struct kv_file *file, void **ret_table,
                                    struct quarry_error *error)
{
    (void)argument;
    if (waiters_wanted > 0) {
        let_others_wait();
    }
    if (atomic_load_relaxed_bool(&fails)) {
        return error_set(error, QUARRY_IO, "file %u cannot be opened", (uint32_t)file->number);
    }
    (void)atomic_add_relaxed_u32(&opened[file->number], 1);
    (void)atomic_add_relaxed_u32(&open_now[file->number], 1);
    *ret_table = &files[file->number];
    return QUARRY_OK;
}

static void fake_close(void *argument, void *table)
{
    const struct kv_file *file = table;

    (void)argument;
    (void)atomic_sub_relaxed_u32(&open_now[file->number], 1);
}

static const struct kv_table_ops ops = {fake_open, fake_close};

static uint32_t open_total(void)
{
    uint32_t total = 0;

    for (uint32_t i = 0; i < FILES; i++) {
        total += atomic_load_relaxed_u32(&open_now[i]);
    }
    return total;
}

static int set_up(void **state)
{
    (void)rig_set_up(state);
    struct kv_table_cache_options options = {
        .memory = &heap, .epoch = epoch, .ops = &ops, .open_max = 4};
    for (uint32_t i = 0; i < FILES; i++) {
        files[i] = (struct kv_file){.number = i};
        atomic_store_relaxed_u32(&open_now[i], 0);
        atomic_store_relaxed_u32(&opened[i], 0);
    }
    atomic_store_relaxed_bool(&fails, false);
    waiters_wanted = 0;
    assert_int_equal(kv_table_cache_create(&options, &cache), QUARRY_OK);
    return 0;
}

static int tear_down(void **state)
{
    kv_table_cache_destroy(cache);
    assert_int_equal(open_total(), 0);
    return rig_tear_down(state);
}

static struct kv_open_table *acquire(uint32_t number)
{
    struct kv_open_table *table = NULL;

    assert_int_equal(kv_open_table_acquire(cache, &files[number], &table, NULL), QUARRY_OK);
    assert_ptr_equal(table->table, &files[number]);
    return table;
}

static void a_table_is_opened_once_and_stays(void **state)
{
    (void)state;
    quarry_epoch_enter(epoch);
    assert_null(kv_open_table_peek(&files[1]));
    quarry_epoch_leave(epoch);
    for (uint32_t i = 0; i < 3; i++) {
        kv_open_table_release(acquire(1));
    }
    quarry_epoch_enter(epoch);
    assert_ptr_equal(kv_open_table_peek(&files[1]), &files[1]);
    quarry_epoch_leave(epoch);
    assert_int_equal(atomic_load_relaxed_u32(&opened[1]), 1);
}

static void no_more_than_the_bound_stay_open(void **state)
{
    struct kv_table_cache_stats stats;

    (void)state;
    for (uint32_t i = 0; i < FILES; i++) {
        kv_open_table_release(acquire(i));
        assert_in_range(open_total(), 1, 4);
    }
    kv_table_cache_read_stats(cache, &stats);
    assert_int_equal(stats.open_count, 4);
    assert_int_equal(stats.opened_count, FILES);
    assert_int_equal(stats.evicted_count, FILES - 4);
}

static void what_is_in_use_stays_even_above_the_bound(void **state)
{
    struct kv_open_table *held[FILES];

    (void)state;
    for (uint32_t i = 0; i < FILES; i++) {
        held[i] = acquire(i);
    }
    assert_int_equal(open_total(), FILES);
    for (uint32_t i = 0; i < FILES; i++) {
        kv_open_table_release(held[i]);
    }
    assert_int_equal(kv_table_cache_shrink(cache, FILES), FILES);
    assert_int_equal(open_total(), 0);
}

static void what_was_used_of_late_is_spared(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        kv_open_table_release(acquire(i));
    }
    assert_int_equal(kv_table_cache_shrink(cache, 1), 1); /* clears all marks on its way */
    quarry_epoch_enter(epoch);
    for (uint32_t i = 1; i < 4; i += 2) {
        assert_non_null(kv_open_table_peek(&files[i]));
    }
    quarry_epoch_leave(epoch);
    assert_int_equal(kv_table_cache_shrink(cache, 1), 1);
    assert_int_equal(atomic_load_relaxed_u32(&open_now[1]), 1);
    assert_int_equal(atomic_load_relaxed_u32(&open_now[2]), 0);
    assert_int_equal(atomic_load_relaxed_u32(&open_now[3]), 1);
}

static void a_reader_inside_the_epoch_keeps_a_table_open(void **state)
{
    (void)state;
    kv_open_table_release(acquire(1));
    quarry_epoch_enter(epoch);
    assert_ptr_equal(kv_open_table_peek(&files[1]), &files[1]);
    kv_table_cache_forget(cache, &files[1]);
    kv_table_cache_collect(cache);
    assert_null(kv_open_table_peek(&files[1]));
    assert_int_equal(open_total(), 1);
    quarry_epoch_leave(epoch);
    kv_table_cache_collect(cache);
    assert_int_equal(open_total(), 0);
}

static void a_counted_table_outlives_its_file_in_the_cache(void **state)
{
    struct kv_open_table *table = acquire(1);

    (void)state;
    kv_table_cache_forget(cache, &files[1]);
    kv_table_cache_collect(cache);
    assert_int_equal(open_total(), 1);
    kv_open_table_release(table);
    assert_int_equal(open_total(), 0);
}

static void a_file_that_cannot_be_opened_can_be_tried_again(void **state)
{
    struct kv_open_table *table = NULL;
    struct quarry_error error = {0};

    (void)state;
    atomic_store_relaxed_bool(&fails, true);
    assert_int_equal(kv_open_table_acquire(cache, &files[1], &table, &error), QUARRY_IO);
    assert_string_equal(error.text, "file 1 cannot be opened");
    atomic_store_relaxed_bool(&fails, false);
    allow_bytes(0);
    assert_int_equal(kv_open_table_acquire(cache, &files[1], &table, &error), QUARRY_NO_MEMORY);
    allow_bytes(UINT64_MAX);
    kv_open_table_release(acquire(1));
}

/* ---- threads -------------------------------------------------------------------------------- */

static _Atomic uint32_t told;

static void *want_file_7(void *argument)
{
    struct kv_open_table *table = NULL;
    struct quarry_error error = {0};
    enum quarry_status status = kv_open_table_acquire(cache, &files[7], &table, &error);

    (void)argument;
    if (status == QUARRY_OK) {
        kv_open_table_release(table);
    } else if (error.status == QUARRY_IO && error.text[0] != '\0') {
        (void)atomic_add_relaxed_u32(&told, 1);
    }
    return NULL;
}

static void run_threads(void *(*body)(void *), uint32_t count, void *arguments[])
{
    pthread_t threads[8];

    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, body, arguments[i]), 0);
    }
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

static void many_who_want_a_file_open_it_once(void **state)
{
    void *arguments[8] = {NULL};
    struct kv_table_cache_stats stats;

    (void)state;
    waiters_wanted = 7;
    run_threads(want_file_7, 8, arguments);
    assert_int_equal(atomic_load_relaxed_u32(&opened[7]), 1);
    kv_table_cache_read_stats(cache, &stats);
    assert_int_equal(stats.waited_count, 7);
}

static void all_who_wait_are_told_why_it_failed(void **state)
{
    void *arguments[8] = {NULL};

    (void)state;
    waiters_wanted = 7;
    atomic_store_relaxed_bool(&fails, true);
    atomic_store_relaxed_u32(&told, 0);
    run_threads(want_file_7, 8, arguments);
    assert_int_equal(atomic_load_relaxed_u32(&told), 8);
}

static _Atomic uint32_t wrong;

static void *use_files(void *argument)
{
    uint64_t seed = (uint64_t)(uintptr_t)argument;

    for (uint32_t i = 0; i < 3000; i++) {
        uint32_t number = (uint32_t)random_below(&seed, FILES);
        struct kv_open_table *table = NULL;
        quarry_epoch_enter(epoch);
        const struct kv_file *seen = kv_open_table_peek(&files[number]);
        /* It is open as long as we are inside. */
        if (seen != NULL &&
            (seen != &files[number] || atomic_load_relaxed_u32(&open_now[number]) == 0)) {
            (void)atomic_add_relaxed_u32(&wrong, 1);
        }
        quarry_epoch_leave(epoch);
        if (random_below(&seed, 3) == 0) {
            if (kv_open_table_acquire(cache, &files[number], &table, NULL) != QUARRY_OK ||
                table->table != &files[number]) {
                (void)atomic_add_relaxed_u32(&wrong, 1);
                continue;
            }
            if (atomic_load_relaxed_u32(&open_now[number]) == 0) {
                (void)atomic_add_relaxed_u32(&wrong, 1);
            }
            kv_open_table_release(table);
        }
        if (random_below(&seed, 50) == 0) {
            kv_table_cache_forget(cache, &files[number]);
        }
    }
    return NULL;
}

static void threads_open_use_and_close(void **state)
{
    void *arguments[4];

    (void)state;
    atomic_store_relaxed_u32(&wrong, 0);
    for (uintptr_t i = 0; i < 4; i++) {
        arguments[i] = (void *)(i + 1);
    }
    run_threads(use_files, 4, arguments);
    assert_int_equal(atomic_load_relaxed_u32(&wrong), 0);
}

#define RIGGED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIGGED(a_table_is_opened_once_and_stays),
        RIGGED(no_more_than_the_bound_stay_open),
        RIGGED(what_is_in_use_stays_even_above_the_bound),
        RIGGED(what_was_used_of_late_is_spared),
        RIGGED(a_reader_inside_the_epoch_keeps_a_table_open),
        RIGGED(a_counted_table_outlives_its_file_in_the_cache),
        RIGGED(a_file_that_cannot_be_opened_can_be_tried_again),
        RIGGED(many_who_want_a_file_open_it_once),
        RIGGED(all_who_wait_are_told_why_it_failed),
        RIGGED(threads_open_use_and_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
