/* The machine: budgets, files, the data folder. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <serve/data_dir.h>
#include <serve/host.h>

#include "unit/serve/config_rig.h"

/* ---- the budget ----------------------------------------------------------------------------- */

static struct serve_budget budget(uint64_t ram_bytes, uint64_t cgroup_bytes)
{
    const struct os_machine machine = {.ram_bytes = ram_bytes, .cgroup_limit_bytes = cgroup_bytes};
    struct serve_budget chosen;

    serve_budget_choose(config, &machine, &chosen);
    return chosen;
}

static void a_budget_is_nine_tenths_of_the_tightest(void **state)
{
    (void)state;
    assert_int_equal(budget(Q_GIB(10), 0).bytes, Q_GIB(9));
    assert_string_equal(budget(Q_GIB(10), 0).why, "nine tenths of RAM's 10 GiB");
    assert_int_equal(budget(Q_GIB(100), Q_GIB(10)).bytes, Q_GIB(9));
    assert_string_equal(budget(Q_GIB(100), Q_GIB(10)).why, "nine tenths of the cgroup's 10 GiB");
    assert_int_equal(budget(Q_GIB(10), Q_GIB(100)).bytes, Q_GIB(9));
    assert_int_equal(budget(0, Q_GIB(10)).bytes, Q_GIB(9));
    assert_int_equal(budget(12345678, 0).bytes % 4096, 0);
}

static void a_machine_that_says_nothing_gets_a_modest_one(void **state)
{
    (void)state;
    assert_int_equal(budget(0, 0).bytes, Q_GIB(1));
    assert_has(budget(0, 0).why, "does not say");
}

static void what_was_set_is_the_budget(void **state)
{
    (void)state;
    put("memory.limit", "2g");
    assert_int_equal(budget(Q_GIB(1), Q_MIB(1)).bytes, Q_GIB(2));
    assert_string_equal(budget(Q_GIB(1), 0).why, "test");
}

/* ---- files --------------------------------------------------------------------- */

static void open_files_are_raised_towards_what_is_needed(void **state)
{
    struct rlimit before, low;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = 64;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    put("net.connections_max", "200");
    uint64_t wanted = size_min_u64(328, before.rlim_max);
    assert_int_equal(serve_host_raise_files(config), wanted);
    put("net.connections_max", "10");
    assert_int_equal(serve_host_raise_files(config), wanted);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* ---- the data folder ------------------------------------------------------------------------ */

static struct serve_data_dir first, second;

static const char *data_path(void)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/data", folder());
    return path;
}

static void a_folder_is_made_and_locked(void **state)
{
    struct stat facts;

    (void)state;
    assert_int_equal(serve_data_dir_open(&first, data_path(), &error), QUARRY_OK);
    assert_int_equal(stat(data_path(), &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0700);
    assert_string_equal(first.path, data_path());
    assert_int_equal(serve_data_dir_open(&second, data_path(), &error), QUARRY_BUSY);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "another server (process %d) has", (int)getpid());
    assert_has(error.text, wanted);
    serve_data_dir_close(&first);
    serve_data_dir_close(&first);
    assert_int_equal(serve_data_dir_open(&second, data_path(), &error), QUARRY_OK);
    serve_data_dir_close(&second);
}

static void one_folder_by_two_names_is_one(void **state)
{
    char link[128], shm_one[256], shm_two[256];

    (void)state;
    snprintf(link, sizeof link, "%s/link", folder());
    assert_int_equal(serve_data_dir_open(&first, data_path(), &error), QUARRY_OK);
    assert_int_equal(symlink(data_path(), link), 0);
    assert_int_equal(serve_data_dir_open(&second, link, &error), QUARRY_BUSY);
    serve_data_dir_shm_path(&first, "cache", shm_one, sizeof shm_one);
    serve_data_dir_close(&first);
    assert_int_equal(serve_data_dir_open(&second, link, &error), QUARRY_OK);
    serve_data_dir_shm_path(&second, "cache", shm_two, sizeof shm_two);
    assert_string_equal(shm_one, shm_two);
    assert_memory_equal(shm_one, "/dev/shm/quarry-", 16);
    serve_data_dir_close(&second);
}

static void two_folders_have_two_files(void **state)
{
    char other[128], shm_one[256], shm_two[256];

    (void)state;
    snprintf(other, sizeof other, "%s/other", folder());
    assert_int_equal(serve_data_dir_open(&first, data_path(), &error), QUARRY_OK);
    assert_int_equal(serve_data_dir_open(&second, other, &error), QUARRY_OK);
    serve_data_dir_shm_path(&first, "cache", shm_one, sizeof shm_one);
    serve_data_dir_shm_path(&second, "cache", shm_two, sizeof shm_two);
    assert_string_not_equal(shm_one, shm_two);
    serve_data_dir_close(&first);
    serve_data_dir_close(&second);
}

static void what_is_no_folder_is_refused(void **state)
{
    (void)state;
    assert_int_equal(serve_data_dir_open(&first, "/nowhere/data", &error), QUARRY_NOT_FOUND);
    assert_has(error.text, "server.data: cannot make '/nowhere/data': No such file");
    assert_int_equal(serve_data_dir_open(&first, write_file("file", ""), &error), QUARRY_NOT_FOUND);
    assert_has(error.text, "Not a directory");
    serve_data_dir_close(&first);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, config_rig_begin, config_rig_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_budget_is_nine_tenths_of_the_tightest),
        TEST(a_machine_that_says_nothing_gets_a_modest_one),
        TEST(what_was_set_is_the_budget),
        TEST(open_files_are_raised_towards_what_is_needed),
        TEST(a_folder_is_made_and_locked),
        TEST(one_folder_by_two_names_is_one),
        TEST(two_folders_have_two_files),
        TEST(what_is_no_folder_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
