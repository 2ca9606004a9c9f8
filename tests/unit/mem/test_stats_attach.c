/* Reading the heap statistics of another process, and why one cannot. */
#include "unit/base/cmocka_all.h"

#include "unit/os/child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mem/profile.h>
#include <mem/stats_page.h>

/* What a child does before it waits to be killed. */
struct plan {
    bool may_share_under_filter;
    bool is_filtered;         /* shmget is refused */
    bool has_harmless_filter; /* a filter is on, which lets shmget through */
    uint32_t version;         /* written over its own; 0: left alone */
    bool has_no_stats;
};

static struct page_heap *heap;
static struct mem_stats stats;
static struct mem_profile profile;
static struct mem_census census;

static void begin_stats(const struct plan *plan)
{
    struct page_heap_options options = {
        .limit_bytes = Q_MIB(256), .reserved_bytes = Q_GIB(4), .has_no_thread = true};

    CHILD_CHECK(page_heap_create(&options, &heap, NULL) == QUARRY_OK);
    mem_stats_init(&stats, &(struct mem_stats_options){.heap = heap,
                                                       .sample_mean_bytes = Q_KIB(512),
                                                       .may_share_under_filter =
                                                           plan->may_share_under_filter});
    mem_profile_init(&profile, &stats, (struct mem_code_range){0});
    for (uint64_t i = 1; i <= 100; i++) {
        mem_profile_alloc_now(&profile, (void *)(i * 64), 50, 64, 1, 2);
    }
    census.totals.live_bytes = 4711;
    CHILD_CHECK(mem_stats_refresh(&stats, &census) == QUARRY_OK);
    if (plan->version != 0) {
        ((struct mem_stats_head *)stats.segment.base)->version = plan->version;
    }
}

/* Starts a process of that plan, which then grants wishes until it is killed. */
static pid_t process_start(struct plan plan)
{
    int ready[2];
    char byte = 0;

    assert_int_equal(pipe(ready), 0);
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(240); /* should the test die first */
        if (plan.is_filtered || plan.has_harmless_filter) {
            child_deny(plan.is_filtered ? SYS_shmget : SYS_acct, EPERM);
        }
        if (!plan.has_no_stats) {
            begin_stats(&plan);
        }
        (void)!write(ready[1], "", 1);
        for (;;) {
            os_sleep_ns(Q_MS_NS);
            if (!plan.has_no_stats && mem_stats_wants_refresh(&stats)) {
                (void)mem_stats_refresh(&stats, &census);
            }
        }
    }
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    return child;
}

static void process_kill(pid_t child)
{
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static struct mem_stats_reader attach(pid_t child)
{
    struct mem_stats_reader reader;
    struct quarry_error error = {0};

    if (mem_stats_attach((uint32_t)child, &reader, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    return reader;
}

static struct mem_stats_snapshot snapshot(struct mem_stats_reader *reader)
{
    struct mem_stats_snapshot shot;
    struct quarry_error error = {0};

    if (mem_stats_snapshot(reader, &shot, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    return shot;
}

static void assert_planted(const struct mem_stats_snapshot *shot, pid_t child)
{
    assert_int_equal(shot->head->pid, child);
    assert_true(shot->is_refreshed);
    assert_int_equal(shot->totals->live_bytes, 4711);
    assert_int_equal(shot->sample_count, 100);
    assert_int_equal(shot->samples[0].requested_bytes, 50);
    assert_int_equal(shot->samples[0].owner, 1);
    assert_int_equal(shot->samples[0].lifetime, 2);
    assert_in_range(shot->stack_count, 1, 100);
    assert_in_range(shot->module_count, 3, 64);
}

static void assert_refused(pid_t pid, enum quarry_status status, const char *text)
{
    struct mem_stats_reader reader;
    struct quarry_error error = {0};

    assert_int_equal(mem_stats_attach((uint32_t)pid, &reader, &error), status);
    assert_int_equal(error.status, status);
    assert_non_null(strstr(error.text, text));
    assert_int_equal(mem_stats_attach((uint32_t)pid, &reader, NULL), status);
}

static void a_process_is_read_while_it_runs(void **state)
{
    pid_t child = process_start((struct plan){.may_share_under_filter = true});
    struct mem_stats_reader reader = attach(child);
    struct mem_stats_snapshot shot = snapshot(&reader);

    (void)state;
    assert_int_equal(reader.memory_fd, -1);
    assert_planted(&shot, child);
    mem_stats_detach(&reader);
    process_kill(child);
}

static void its_last_figures_outlive_it(void **state)
{
    pid_t child = process_start((struct plan){.may_share_under_filter = true});
    struct mem_stats_reader reader = attach(child);

    (void)state;
    process_kill(child);
    struct mem_stats_snapshot shot = snapshot(&reader);
    assert_planted(&shot, child);
    mem_stats_detach(&reader);
}

static void nothing_is_left_when_all_have_let_go(void **state)
{
    pid_t child = process_start((struct plan){.may_share_under_filter = true});
    struct mem_stats_reader reader = attach(child);
    int id = reader.shm_id;

    (void)state;
    process_kill(child);
    mem_stats_detach(&reader);
    struct mem_segment none;
    memset(&none, 0, sizeof(none));
    assert_int_equal(syscall(SYS_shmat, id, NULL, 010000 /* SHM_RDONLY */), -1);
    assert_int_equal(errno, EINVAL);
}

static void wishes_reach_the_process(pid_t child)
{
    struct mem_stats_reader reader = attach(child);
    struct quarry_error error = {0};
    uint64_t before = snapshot(&reader).head->refresh_count;

    assert_int_equal(mem_stats_ask_refresh(&reader, &error), QUARRY_OK);
    for (int i = 0; i < 60000 && snapshot(&reader).head->refresh_count == before; i++) {
        os_sleep_ns(Q_MS_NS);
    }
    assert_int_equal(snapshot(&reader).head->refresh_count, before + 1);
    assert_int_equal(mem_stats_write_sample_mean(&reader, Q_MIB(3), &error), QUARRY_OK);
    assert_int_equal(snapshot(&reader).head->sample_mean_bytes, Q_MIB(3));
    mem_stats_detach(&reader);
}

static void a_reader_can_ask_for_a_refresh_and_another_mean(void **state)
{
    pid_t child = process_start((struct plan){.may_share_under_filter = true});

    (void)state;
    wishes_reach_the_process(child);
    process_kill(child);
}

static void private_memory_is_read_from_outside(void **state)
{
    static const struct plan plans[] = {
        {.is_filtered = true, .may_share_under_filter = true},
        {.is_filtered = true},
        {.has_harmless_filter = true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++) {
        pid_t child = process_start(plans[i]);
        struct mem_stats_reader reader = attach(child);
        struct mem_stats_snapshot shot = snapshot(&reader);
        assert_in_range(reader.memory_fd, 0, 1 << 20);
        assert_planted(&shot, child);
        mem_stats_detach(&reader);
        wishes_reach_the_process(child);
        process_kill(child);
    }
}

static void private_memory_ends_with_its_process(void **state)
{
    pid_t child = process_start((struct plan){.is_filtered = true});
    struct mem_stats_reader reader = attach(child);
    struct mem_stats_snapshot shot;
    struct quarry_error error = {0};

    (void)state;
    process_kill(child);
    assert_int_equal(mem_stats_snapshot(&reader, &shot, &error), QUARRY_NOT_FOUND);
    assert_non_null(strstr(error.text, "has ended"));
    assert_int_not_equal(mem_stats_ask_refresh(&reader, &error), QUARRY_OK);
    mem_stats_detach(&reader);
}

static void a_filter_that_may_be_ignored_is(void **state)
{
    pid_t child =
        process_start((struct plan){.has_harmless_filter = true, .may_share_under_filter = true});
    struct mem_stats_reader reader = attach(child);

    (void)state;
    assert_int_equal(reader.memory_fd, -1);
    mem_stats_detach(&reader);
    process_kill(child);
}

static void a_process_that_does_not_exist_is_told(void **state)
{
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        _exit(0);
    }
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_refused(child, QUARRY_NOT_FOUND, "has ended"); /* a zombie */
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_refused(child, QUARRY_NOT_FOUND, "there is no process");
}

static void a_process_without_quarry_is_told(void **state)
{
    pid_t child = process_start((struct plan){.has_no_stats = true});

    (void)state;
    assert_refused(child, QUARRY_BAD_INPUT, "does not run under Quarry's malloc");
    process_kill(child);
}

static void another_version_is_told(void **state)
{
    pid_t shared = process_start((struct plan){.version = 1, .may_share_under_filter = true});
    pid_t private = process_start((struct plan){.version = 3, .is_filtered = true});

    (void)state;
    assert_refused(shared, QUARRY_UNSUPPORTED, "version 1");
    assert_refused(private, QUARRY_UNSUPPORTED, "version 3");
    process_kill(shared);
    process_kill(private);
}

/* In a child: gives up being root, if it is, and asks for the process. */
static void attach_as_another_user(void *argument)
{
    struct mem_stats_reader reader;
    struct quarry_error error = {0};
    pid_t pid = *(const pid_t *)argument;

    if (geteuid() == 0) {
        CHILD_CHECK(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
    } else {
        pid = 1;
    }
    CHILD_CHECK(mem_stats_attach((uint32_t)pid, &reader, &error) == QUARRY_PERMISSION);
    CHILD_CHECK(strstr(error.text, "Permission denied") != NULL);
}

static void another_users_process_is_refused(void **state)
{
    pid_t child = process_start((struct plan){.may_share_under_filter = true});

    (void)state;
    child_assert_succeeds(attach_as_another_user, &child);
    process_kill(child);
}

static void detaching_twice_does_nothing(void **state)
{
    pid_t child = process_start((struct plan){.may_share_under_filter = true});
    struct mem_stats_reader reader = attach(child);

    (void)state;
    (void)snapshot(&reader);
    mem_stats_detach(&reader);
    mem_stats_detach(&reader);
    process_kill(child);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_is_read_while_it_runs),
        cmocka_unit_test(its_last_figures_outlive_it),
        cmocka_unit_test(nothing_is_left_when_all_have_let_go),
        cmocka_unit_test(a_reader_can_ask_for_a_refresh_and_another_mean),
        cmocka_unit_test(private_memory_is_read_from_outside),
        cmocka_unit_test(private_memory_ends_with_its_process),
        cmocka_unit_test(a_filter_that_may_be_ignored_is),
        cmocka_unit_test(a_process_that_does_not_exist_is_told),
        cmocka_unit_test(a_process_without_quarry_is_told),
        cmocka_unit_test(another_version_is_told),
        cmocka_unit_test(another_users_process_is_refused),
        cmocka_unit_test(detaching_twice_does_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
