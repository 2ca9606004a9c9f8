/*
 * Forking while threads enter, leave, advance, acquire and release: the child finds all of it whole
 * and has the forking thread alone. A child reports by its exit code.
 */
#include "unit/base/cmocka_all.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include <sys/wait.h>

#include <ref/ref.h>

#define THREADS       3u
#define FORKS         40u
#define CHILD_SECONDS 240u

static struct quarry_memory *memory;
static struct quarry_epoch *epoch, *quiet;
static struct ref_leaks *leaks, *more_leaks;
static atomic_bool is_over;

static void *keep_busy(void *argument)
{
    uint64_t number = (uintptr_t)argument;

    while (!atomic_load(&is_over)) {
        quarry_epoch_enter(epoch);
        uint32_t token = ref_leak_note(leaks, "busy", number);
        uint32_t other = ref_leak_note(more_leaks, "busy", number);
        if (number == 0) {
            ref_epoch_advance(epoch);
        }
        ref_leak_forget(leaks, token);
        ref_leak_forget(more_leaks, other);
        quarry_epoch_leave(epoch);
    }
    return NULL;
}

/* Others that were inside at the fork are gone, and hold up nothing. */
static void child_uses_all(uint64_t stamp, uint64_t quiet_stamp)
{
    alarm(CHILD_SECONDS);
    for (uint32_t i = 0; i < REF_EPOCH_ADVANCES; i++) {
        ref_epoch_advance(epoch);
        ref_epoch_advance(quiet);
    }
    Q_ASSERT(ref_epoch_is_past(epoch, stamp));
    Q_ASSERT(!ref_epoch_is_past(quiet, quiet_stamp)); /* the forking thread is inside */
    quarry_epoch_leave(quiet);
    ref_epoch_advance(quiet);
    Q_ASSERT(ref_epoch_is_past(quiet, quiet_stamp));
    Q_ASSERT(ref_epoch_oldest_ns(epoch) == 0 && ref_epoch_oldest_ns(quiet) == 0);
    size_t before = ref_leaks_outstanding(leaks);
    uint32_t token = ref_leak_note(leaks, "child", 1);
    Q_ASSERT(ref_leaks_outstanding(leaks) == before + 1);
    ref_leak_forget(leaks, token);
    quarry_epoch_destroy(quiet);
    quarry_epoch_destroy(epoch);
    ref_leaks_destroy(more_leaks);
    ref_leaks_destroy(leaks);
    quarry_memory_destroy(memory);
    _exit(0);
}

static void a_child_finds_domains_and_ledgers_whole(void **state)
{
    (void)state;
    pthread_t thread[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, keep_busy, (void *)i), 0);
    }
    for (uint32_t i = 0; i < FORKS; i++) {
        quarry_epoch_enter(quiet);
        uint64_t stamp = ref_epoch_now(epoch), quiet_stamp = ref_epoch_now(quiet);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            child_uses_all(stamp, quiet_stamp);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        quarry_epoch_leave(quiet);
    }
    atomic_store(&is_over, true);
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    assert_int_equal(ref_leaks_outstanding(leaks), 0);
    assert_int_equal(ref_leaks_outstanding(more_leaks), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_finds_domains_and_ledgers_whole),
    };
    struct quarry_memory_options options = {.limit_bytes = Q_MIB(64), .has_no_thread = true};
    struct page_heap *heap;

    Q_ASSERT(quarry_memory_create(&options, &memory, NULL) == QUARRY_OK);
    heap = (struct page_heap *)(void *)memory;
    Q_ASSERT(quarry_epoch_create(memory, &epoch) == QUARRY_OK);
    Q_ASSERT(quarry_epoch_create(memory, &quiet) == QUARRY_OK);
    Q_ASSERT(ref_leaks_create(heap, "one", &leaks) == QUARRY_OK);
    Q_ASSERT(ref_leaks_create(heap, "two", &more_leaks) == QUARRY_OK);
    ref_leak_set_every(1);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    ref_leaks_destroy(more_leaks);
    ref_leaks_destroy(leaks);
    quarry_epoch_destroy(quiet);
    quarry_epoch_destroy(epoch);
    quarry_memory_destroy(memory);
    return failed;
}
