/*
 * The machine's limits, read from trees of files as the kernel presents them.
 *
 * Each test builds a tree in a folder of its own: mountinfo, the process' groups, and the groups.
 */
#include "cmocka_all.h"

#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/resource.h>
#include <sys/stat.h>

#include <os/os.h>

#include "child.h"

/* Lines of mountinfo as they are on real machines; the numbers at the front mean nothing here. */
#define MOUNT_V2        "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define MOUNT_MEMORY    "35 31 0:32 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n"
#define MOUNT_CPU       "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
#define MOUNT_HYBRID    "38 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
#define MOUNT_UNRELATED "23 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,memory\n"
#define NO_LIMIT_V1     "9223372036854771712\n"

static char root[64];

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/quarry-machine-test-XXXXXX");
    return mkdtemp(root) == NULL ? -1 : 0;
}

static int remove_entry(const char *path, const struct stat *facts, int type, struct FTW *place)
{
    (void)facts;
    (void)type;
    (void)place;
    return remove(path);
}

static int remove_root(void **state)
{
    (void)state;
    return nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Writes a file below the root, with the folders it needs. */
static void put(const char *path, const char *text)
{
    char full[2048];
    int length = snprintf(full, sizeof full, "%s%s", root, path);
    assert_in_range(length, 1, sizeof full - 1);
    for (char *slash = strchr(full + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(full, 0700); /* most are there already; fopen tells of the rest */
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static struct os_machine read_machine(void)
{
    struct os_machine machine;
    os_machine_read(root, &machine);
    return machine;
}

static void assert_memory(uint64_t limit_bytes, uint64_t used_bytes)
{
    struct os_machine machine = read_machine();
    assert_int_equal(machine.cgroup_limit_bytes, limit_bytes);
    assert_int_equal(machine.cgroup_used_bytes, used_bytes);
}

static void assert_cpu(uint32_t quota_milli)
{
    assert_int_equal(read_machine().cpu_quota_milli, quota_milli);
}

static void an_empty_tree_has_no_limits(void **state)
{
    (void)state;
    struct os_machine machine = read_machine();
    assert_int_equal(machine.ram_bytes, 0);
    assert_int_equal(machine.cgroup_limit_bytes, 0);
    assert_int_equal(machine.cgroup_used_bytes, 0);
    assert_int_equal(machine.cpu_quota_milli, 0);
    assert_true(machine.cpu_count > 0);
}

static void ram_is_the_total_of_meminfo(void **state)
{
    (void)state;
    put("/proc/meminfo", "MemFree:            1000 kB\nMemTotal:       16303428 kB\nX: 1 kB\n");
    assert_int_equal(read_machine().ram_bytes, UINT64_C(16303428) * 1024);
}

static void a_v2_limit_is_read_with_its_use(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", MOUNT_UNRELATED MOUNT_V2);
    put("/proc/self/cgroup", "0::/system.slice/db.service\n");
    put("/sys/fs/cgroup/system.slice/db.service/memory.max", "1073741824\n");
    put("/sys/fs/cgroup/system.slice/db.service/memory.high", "1048576\n"); /* ignored */
    put("/sys/fs/cgroup/system.slice/db.service/memory.current", "5000000\n");
    put("/sys/fs/cgroup/system.slice/db.service/cpu.max", "150000 100000\n");
    assert_memory(Q_GIB(1), 5000000);
    assert_cpu(1500);
}

static void max_is_no_limit_in_v2(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", MOUNT_V2);
    put("/proc/self/cgroup", "0::/a\n");
    put("/sys/fs/cgroup/a/memory.max", "max\n");
    put("/sys/fs/cgroup/a/memory.current", "5000000\n");
    put("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
    assert_memory(0, 0);
    assert_cpu(0);
}

static void the_tightest_v2_limit_on_the_way_up_holds(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", MOUNT_V2);
    put("/proc/self/cgroup", "0::/pod/box/job\n");
    put("/sys/fs/cgroup/pod/box/job/memory.max", "max\n");
    put("/sys/fs/cgroup/pod/box/memory.max", "4000000\n");
    put("/sys/fs/cgroup/pod/box/memory.current", "300\n");
    put("/sys/fs/cgroup/pod/memory.max", "3000000\n");
    put("/sys/fs/cgroup/pod/memory.current", "200\n");
    put("/sys/fs/cgroup/memory.max", "5000000\n");
    put("/sys/fs/cgroup/pod/box/job/cpu.max", "200000 100000\n");
    put("/sys/fs/cgroup/pod/box/cpu.max", "100000 100000\n");
    put("/sys/fs/cgroup/pod/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/other/memory.max", "1\n"); /* not on the way */
    assert_memory(3000000, 200);
    assert_cpu(1000);
}

static void a_v1_limit_is_read_with_its_use(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", MOUNT_UNRELATED MOUNT_MEMORY MOUNT_CPU);
    put("/proc/self/cgroup", "5:memory:/jobs/one\n4:cpu,cpuacct:/jobs\n1:name=systemd:/\n");
    put("/sys/fs/cgroup/memory/jobs/one/memory.limit_in_bytes", "67108864\n");
    put("/sys/fs/cgroup/memory/jobs/one/memory.usage_in_bytes", "1234\n");
    put("/sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us", "25000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_period_us", "100000\n");
    assert_memory(Q_MIB(64), 1234);
    assert_cpu(250);
}

static void huge_v1_values_are_no_limit(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", MOUNT_MEMORY MOUNT_CPU);
    put("/proc/self/cgroup", "5:memory:/\n4:cpu,cpuacct:/\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", NO_LIMIT_V1);
    put("/sys/fs/cgroup/memory/memory.stat", "cache 1\nhierarchical_memory_limit " NO_LIMIT_V1);
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    assert_memory(0, 0);
    assert_cpu(0);
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854710272\n"); /* 64 KiB pages */
    assert_memory(0, 0);
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "18446744073709551615\n");
    assert_memory(0, 0);
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "99999999999999999999999\n");
    assert_memory(0, 0);
}

static void v1_limits_of_ancestors_hold_where_they_count_children(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", MOUNT_MEMORY);
    put("/proc/self/cgroup", "5:memory:/a/b\n");
    put("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", NO_LIMIT_V1);
    put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "8000000\n");
    put("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "77\n");
    put("/sys/fs/cgroup/memory/a/memory.use_hierarchy", "1\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", NO_LIMIT_V1);
    assert_memory(8000000, 77);
    put("/sys/fs/cgroup/memory/a/memory.use_hierarchy", "0\n");
    assert_memory(0, 0);
}

static void a_v1_limit_above_the_mount_is_found_in_memory_stat(void **state)
{
    (void)state;
    put("/proc/self/mountinfo",
        "35 31 0:32 /docker/5f0c /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
    put("/proc/self/cgroup", "5:memory:/docker/5f0c\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", NO_LIMIT_V1);
    put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "55\n");
    put("/sys/fs/cgroup/memory/memory.stat",
        "cache 9\nrss 9\nhierarchical_memory_limit 2000000\nhierarchical_memsw_limit 1\n");
    assert_memory(2000000, 55);
}

static void hybrid_trees_obey_the_tightest_of_both_versions(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", MOUNT_MEMORY MOUNT_CPU MOUNT_HYBRID);
    put("/proc/self/cgroup", "5:memory:/a\n4:cpu,cpuacct:/a\n0::/b\n");
    put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "5000000\n");
    put("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "5\n");
    put("/sys/fs/cgroup/unified/b/memory.max", "6000000\n");
    put("/sys/fs/cgroup/unified/b/memory.current", "6\n");
    put("/sys/fs/cgroup/unified/b/cpu.max", "70000 100000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "90000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    assert_memory(5000000, 5);
    assert_cpu(700);
    put("/sys/fs/cgroup/unified/b/memory.max", "4000000\n");
    assert_memory(4000000, 6);
}

static void a_namespaced_container_sees_its_group_at_the_root(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", MOUNT_V2);
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/memory.max", "3000000\n");
    put("/sys/fs/cgroup/memory.current", "3\n");
    put("/sys/fs/cgroup/cpu.max", "50000 100000\n");
    assert_memory(3000000, 3);
    assert_cpu(500);
}

static void a_path_below_the_mounts_root_is_stripped_of_it(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", "30 23 0:26 /docker/5f0c /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
    put("/proc/self/cgroup", "0::/docker/5f0c/inner\n");
    put("/sys/fs/cgroup/inner/memory.max", "3000000\n");
    put("/sys/fs/cgroup/inner/memory.current", "3\n");
    assert_memory(3000000, 3);
    /* A longer name with the same beginning is another group. */
    put("/proc/self/cgroup", "0::/docker/5f0cd/inner\n");
    assert_memory(0, 0);
}

static void a_hosts_path_that_is_absent_falls_back_to_the_mounts_root(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", MOUNT_V2 MOUNT_MEMORY);
    put("/proc/self/cgroup", "5:memory:/docker/5f0c\n0::/docker/5f0c\n");
    put("/sys/fs/cgroup/memory.max", "3000000\n");
    put("/sys/fs/cgroup/memory.current", "3\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000\n");
    put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "2\n");
    assert_memory(2000000, 2);
    put("/proc/self/cgroup", "0::/../../system.slice\n"); /* seen from inside a namespace */
    assert_memory(2000000, 2);
}

static void a_mount_point_with_a_space_is_unescaped(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", "30 23 0:26 / /my\\040groups rw - cgroup2 none rw\n");
    put("/proc/self/cgroup", "0::/a\n");
    put("/my groups/a/memory.max", "3000000\n");
    assert_memory(3000000, 0);
}

static void lines_too_long_to_read_are_left_out(void **state)
{
    (void)state;
    static char text[20000];
    size_t length = (size_t)snprintf(text, sizeof text, "40 31 0:50 / /merged rw - overlay o ");
    memset(text + length, 'x', 10000);
    snprintf(text + length + 10000, sizeof text - length - 10000, "\n%s", MOUNT_V2);
    put("/proc/self/mountinfo", text);
    put("/proc/self/cgroup", "0::/a\n");
    put("/sys/fs/cgroup/a/memory.max", "3000000\n");
    assert_memory(3000000, 0);
}

static void many_mounts_are_read_to_the_last(void **state)
{
    (void)state;
    static char text[200000];
    size_t length = 0;
    for (int i = 0; i < 1500; i++)
        length += (size_t)snprintf(text + length, sizeof text - length,
                                   "%d 31 0:50 / /mnt/%d rw - tmpfs tmpfs rw,size=%dk\n", i, i, i);
    snprintf(text + length, sizeof text - length, "%.*s", (int)strlen(MOUNT_V2) - 1, MOUNT_V2);
    put("/proc/self/mountinfo", text); /* and the last line has no newline */
    put("/proc/self/cgroup", "0::/a");
    put("/sys/fs/cgroup/a/memory.max", "3000000");
    assert_memory(3000000, 0);
}

static void a_path_too_long_falls_back_to_the_mounts_root(void **state)
{
    (void)state;
    static char text[3000];
    strcpy(text, "0::");
    for (int i = 0; i < 150; i++)
        strcat(text, "/nested-a");
    put("/proc/self/mountinfo", MOUNT_V2);
    put("/proc/self/cgroup", text);
    put("/sys/fs/cgroup/memory.max", "3000000\n");
    assert_memory(3000000, 0);
}

static void nonsense_is_no_limit(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", "\n-\n1 2 3\n30 23 0:26 / /sys/fs/cgroup rw - cgroup2\n" MOUNT_V2);
    put("/proc/self/cgroup", "\nnonsense\n0:\n0::/a\n");
    put("/proc/meminfo", "MemTotal: much\n");
    put("/sys/fs/cgroup/a/memory.max", "a lot\n");
    put("/sys/fs/cgroup/a/cpu.max", "100000\n"); /* no period */
    assert_memory(0, 0);
    assert_cpu(0);
    put("/sys/fs/cgroup/a/memory.max", "");
    put("/sys/fs/cgroup/a/cpu.max", "100000 0\n");
    assert_memory(0, 0);
    assert_cpu(0);
    assert_int_equal(read_machine().ram_bytes, 0);
}

static void a_small_quota_is_rounded_up(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", MOUNT_V2);
    put("/proc/self/cgroup", "0::/a\n");
    put("/sys/fs/cgroup/a/cpu.max", "1 1000000\n");
    assert_cpu(1);
}

static void the_real_machine_has_memory_and_cpus(void **state)
{
    (void)state;
    struct os_machine machine;
    cpu_set_t cpus;
    os_machine_read("", &machine);
    assert_int_equal(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    assert_int_equal(machine.cpu_count, CPU_COUNT(&cpus));
    assert_true(machine.ram_bytes > Q_MIB(64));
    assert_true(os_resident_bytes() > Q_KIB(64));
    assert_true(os_resident_bytes() < machine.ram_bytes);
}

static void read_under_limits(void *unused)
{
    (void)unused;
    struct os_machine machine;
    struct rlimit limit = {.rlim_cur = Q_TIB(100), .rlim_max = RLIM_INFINITY};
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    CHILD_CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
    CHILD_CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    os_machine_read("", &machine);
    CHILD_CHECK(machine.cpu_count == 1);
    CHILD_CHECK(machine.address_limit_bytes == Q_TIB(100));
    limit.rlim_cur = RLIM_INFINITY;
    CHILD_CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    os_machine_read("", &machine);
    CHILD_CHECK(machine.address_limit_bytes == UINT64_MAX);
}

static void affinity_and_address_limit_are_the_process_own(void **state)
{
    (void)state;
    child_assert_succeeds(read_under_limits, NULL);
}

static void the_boot_has_an_id_that_stays(void **state)
{
    (void)state;
    uint8_t first[16] = {0};
    uint8_t second[16] = {0};
    const uint8_t none[16] = {0};
    assert_true(os_boot_id(first));
    assert_true(os_boot_id(second));
    assert_memory_equal(first, second, sizeof first);
    assert_memory_not_equal(first, none, sizeof first);
}

#define in_a_tree(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_a_tree(an_empty_tree_has_no_limits),
        in_a_tree(ram_is_the_total_of_meminfo),
        in_a_tree(a_v2_limit_is_read_with_its_use),
        in_a_tree(max_is_no_limit_in_v2),
        in_a_tree(the_tightest_v2_limit_on_the_way_up_holds),
        in_a_tree(a_v1_limit_is_read_with_its_use),
        in_a_tree(huge_v1_values_are_no_limit),
        in_a_tree(v1_limits_of_ancestors_hold_where_they_count_children),
        in_a_tree(a_v1_limit_above_the_mount_is_found_in_memory_stat),
        in_a_tree(hybrid_trees_obey_the_tightest_of_both_versions),
        in_a_tree(a_namespaced_container_sees_its_group_at_the_root),
        in_a_tree(a_path_below_the_mounts_root_is_stripped_of_it),
        in_a_tree(a_hosts_path_that_is_absent_falls_back_to_the_mounts_root),
        in_a_tree(a_mount_point_with_a_space_is_unescaped),
        in_a_tree(lines_too_long_to_read_are_left_out),
        in_a_tree(many_mounts_are_read_to_the_last),
        in_a_tree(a_path_too_long_falls_back_to_the_mounts_root),
        in_a_tree(nonsense_is_no_limit),
        in_a_tree(a_small_quota_is_rounded_up),
        cmocka_unit_test(the_real_machine_has_memory_and_cpus),
        cmocka_unit_test(affinity_and_address_limit_are_the_process_own),
        cmocka_unit_test(the_boot_has_an_id_that_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
