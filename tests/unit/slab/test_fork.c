/*
 * A child of fork finds the slab whole, whatever other threads were doing.
 */
#include "unit/slab/slab_rig.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/wait.h>

#include "unit/base/random.h"

#define FORKS         30u
#define CHILD_SECONDS 240u

static atomic_bool is_over;

static void *keep_busy(void *argument)
{
    uint64_t random = (uintptr_t)argument;
    quarry_ref refs[64] = {0};

    while (!atomic_load(&is_over)) {
        quarry_ref *ref = &refs[random_u64(&random) % COUNT_OF(refs)];
        struct quarry_cell cell;
        if (*ref != QUARRY_REF_NIL) {
            quarry_slab_retire(slab, *ref);
            *ref = QUARRY_REF_NIL;
        } else if (quarry_slab_take(slab, 16 + random_u64(&random) % 3000, &cell) == QUARRY_OK) {
            *(_Atomic uint64_t *)cell.data = UINT64_MAX; /* no key */
            *ref = cell.ref;
        }
    }
    for (uint32_t i = 0; i < COUNT_OF(refs); i++) {
        quarry_slab_give(slab, refs[i]);
    }
    return NULL;
}

static bool move_atomically(void *argument, quarry_ref old_ref, const void *old_data,
                            quarry_ref new_ref, void *new_data, size_t bytes)
{
    uint64_t key = *(const _Atomic uint64_t *)old_data;

    return key < INDEX_KEYS && index_slots[key].ref == old_ref &&
           index_move(argument, old_ref, old_data, new_ref, new_data, bytes);
}

static void *keep_moving(void *argument)
{
    (void)argument;
    while (!atomic_load(&is_over)) {
        struct quarry_slab_page page;
        uint64_t cursor = 0;
        while (quarry_slab_next_page(slab, &cursor, &page) && !atomic_load(&is_over)) {
            (void)quarry_slab_move_page(slab, page.class_id, page.page, move_atomically, NULL);
        }
        (void)quarry_slab_trim(slab);
    }
    return NULL;
}

/* In the child: nobody else is there. */
static void use_all(void)
{
    struct quarry_error error = {0};
    quarry_ref refs[500];
    struct quarry_cell cell;

    alarm(CHILD_SECONDS);
    Q_ASSERT(quarry_slab_validate(slab, &error) == QUARRY_OK);
    for (uint32_t i = 0; i < COUNT_OF(refs); i++) {
        Q_ASSERT(quarry_slab_take(slab, 40 + i * 5, &cell) == QUARRY_OK);
        fill(cell.data, 40 + i * 5, i);
        refs[i] = cell.ref;
    }
    for (uint32_t i = 0; i < COUNT_OF(refs); i++) {
        Q_ASSERT(is_filled(quarry_slab_data(slab, refs[i]), 40 + i * 5, i));
        quarry_slab_retire(slab, refs[i]);
    }
    (void)quarry_slab_compact(slab, UINT64_MAX, move_atomically, NULL);
    (void)quarry_slab_trim(slab);
    Q_ASSERT(quarry_slab_validate(slab, &error) == QUARRY_OK);
    struct quarry_slab_stats stats = slab_stats();
    Q_ASSERT_MSG(stats.cached_bytes == 0, "threads keep cells after a trim");
    Q_ASSERT_MSG(stats.limbo_count == 0, "cells wait for readers that only the parent has");
    quarry_slab_destroy(slab);
}

static void fork_once(void)
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        use_all();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_child_finds_the_slab_whole(void **state)
{
    pthread_t busy[2], mover;

    (void)state;
    is_over = false;
    for (uint64_t key = 0; key < 500; key++) {
        index_put(key, 100 + key);
    }
    for (uint32_t i = 0; i < COUNT_OF(busy); i++) {
        assert_int_equal(pthread_create(&busy[i], NULL, keep_busy, (void *)(uintptr_t)(i + 1)), 0);
    }
    assert_int_equal(pthread_create(&mover, NULL, keep_moving, NULL), 0);
    for (uint32_t i = 0; i < FORKS; i++) {
        fork_once();
    }
    is_over = true;
    for (uint32_t i = 0; i < COUNT_OF(busy); i++) {
        assert_int_equal(pthread_join(busy[i], NULL), 0);
    }
    assert_int_equal(pthread_join(mover, NULL), 0);
    index_check();
    index_clear();
    assert_int_equal(slab_stats().live_count, 0);
}

static void a_child_finds_all_classes(void **state)
{
    quarry_ref refs[300];

    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(refs); i++) {
        refs[i] = take_filled(16 + (size_t)i * i * 5, i);
    }
    assert_true(slab_stats().class_count > 160);
    fork_once();
    for (uint32_t i = 0; i < COUNT_OF(refs); i++) {
        quarry_slab_give(slab, refs[i]);
    }
}

static int set_up_many_classes(void **state)
{
    (void)state;
    slab_begin(&(struct slab_setup){.classes_per_doubling = 32});
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_child_finds_the_slab_whole, slab_set_up, slab_tear_down),
        cmocka_unit_test_setup_teardown(a_child_finds_all_classes, set_up_many_classes,
                                        slab_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
