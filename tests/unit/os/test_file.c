/* Files of the real kernel, through the door. */
#include "cmocka_all.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include <os/kernel.h>
#include <os/os.h>

#include "child.h"

#define PAGE ((size_t)4096)

static struct os *os;
static char folder[64];
static char path[128]; /* of the file under test, absent at the start of each test */

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/quarry-file-test-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/data", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static int remove_file(void **state)
{
    (void)state;
    (void)unlink(path);
    return 0;
}

static struct os_file open_file(void)
{
    struct os_file file = {.fd = -1};
    assert_int_equal(os_file_open(os, path, &file), QUARRY_OK);
    assert_true(file.fd >= 0);
    return file;
}

static uint64_t size_of(struct os_file *file)
{
    uint64_t bytes = UINT64_MAX;
    assert_int_equal(os_file_size(os, file, &bytes), QUARRY_OK);
    return bytes;
}

static uint64_t disk_bytes_of(const struct os_file *file)
{
    struct stat facts;
    assert_int_equal(fstat(file->fd, &facts), 0);
    return (uint64_t)facts.st_blocks * 512;
}

static void open_creates_an_empty_private_file(void **state)
{
    (void)state;
    struct stat facts;
    struct os_file file = open_file();
    assert_int_equal(size_of(&file), 0);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    os_file_close(os, &file);
    assert_int_equal(file.fd, -1);
}

static void open_is_busy(void *unused)
{
    (void)unused;
    struct os_file file = {.fd = -1};
    CHILD_CHECK(os_file_open(os, path, &file) == QUARRY_BUSY);
    CHILD_CHECK(file.fd == -1);
}

static void open_works(void *unused)
{
    (void)unused;
    struct os_file file = {.fd = -1};
    CHILD_CHECK(os_file_open(os, path, &file) == QUARRY_OK);
}

static void a_held_file_cannot_be_opened_again(void **state)
{
    (void)state;
    struct os_file second = {.fd = -1};
    struct os_file file = open_file();
    child_assert_succeeds(open_is_busy, NULL);
    assert_int_equal(os_file_open(os, path, &second), QUARRY_BUSY);
    os_file_close(os, &file);
    child_assert_succeeds(open_works, NULL); /* and its death gives the lock back */
    file = open_file();
    os_file_close(os, &file);
}

static void open_tells_what_is_wrong_with_a_path(void **state)
{
    (void)state;
    struct os_file file = {.fd = -1};
    char other[192];
    snprintf(other, sizeof other, "%s/absent/data", folder);
    assert_int_equal(os_file_open(os, other, &file), QUARRY_NOT_FOUND);
    assert_int_equal(os_file_open(os, folder, &file), QUARRY_PERMISSION);
    assert_int_equal(os_file_open(os, "/dev/null", &file), QUARRY_PERMISSION);
    snprintf(other, sizeof other, "%s/link", folder);
    assert_int_equal(symlink("data", other), 0);
    assert_int_equal(os_file_open(os, other, &file), QUARRY_PERMISSION);
    assert_int_equal(unlink(other), 0);
    assert_int_equal(file.fd, -1);
}

static void open_with_every_descriptor_used(void *unused)
{
    (void)unused;
    struct os_file file = {.fd = -1};
    struct rlimit limit = {.rlim_cur = 3, .rlim_max = 3};
    CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHILD_CHECK(os_file_open(os, path, &file) == QUARRY_TOO_MANY);
}

static void open_with_error(void *error)
{
    struct os_file file = {.fd = -1};
    child_deny(SYS_openat, *(int *)error);
    enum quarry_status status = os_file_open(os, path, &file);
    CHILD_CHECK(status == (*(int *)error == ENOSPC ? QUARRY_NO_SPACE : QUARRY_IO));
}

static void open_without_lock(void *unused)
{
    (void)unused;
    struct os_file file = {.fd = -1};
    child_deny(SYS_flock, ENOLCK);
    CHILD_CHECK(os_file_open(os, path, &file) == QUARRY_IO);
}

static void open_tells_what_the_system_lacks(void **state)
{
    (void)state;
    int errors[] = {ENOSPC, EIO};
    child_assert_succeeds(open_with_every_descriptor_used, NULL);
    child_assert_succeeds(open_with_error, &errors[0]);
    child_assert_succeeds(open_with_error, &errors[1]);
    child_assert_succeeds(open_without_lock, NULL);
}

static void resize_makes_a_hole_and_cuts(void **state)
{
    (void)state;
    char bytes[8] = "abcdefg";
    struct os_file file = open_file();
    assert_int_equal(os_file_resize(os, &file, Q_MIB(8)), QUARRY_OK);
    assert_int_equal(size_of(&file), Q_MIB(8));
    assert_true(disk_bytes_of(&file) < Q_MIB(1));
    assert_int_equal(os_file_write(os, &file, 0, bytes, 8), QUARRY_OK);
    assert_int_equal(os_file_resize(os, &file, 3), QUARRY_OK);
    assert_int_equal(os_file_resize(os, &file, 8), QUARRY_OK);
    assert_int_equal(os_file_read(os, &file, 0, bytes, 8), QUARRY_OK);
    assert_memory_equal(bytes, "abc\0\0\0\0", 8);
    os_file_close(os, &file);
}

static void offsets_past_the_kernels_are_too_large(void **state)
{
    (void)state;
    struct os_file file = open_file();
    uint64_t start = 7;
    uint64_t end = 7;
    char byte = 1;
    uint64_t edge = INT64_MAX;
    assert_int_equal(os_file_resize(os, &file, edge + 1), QUARRY_TOO_LARGE);
    assert_int_equal(os_file_preallocate(os, &file, edge, 1), QUARRY_TOO_LARGE);
    assert_int_equal(os_file_punch(os, &file, 1, edge), QUARRY_TOO_LARGE);
    assert_int_equal(os_file_write(os, &file, UINT64_MAX, &byte, 1), QUARRY_TOO_LARGE);
    assert_int_equal(os_file_read(os, &file, UINT64_MAX, &byte, 1), QUARRY_CORRUPT);
    assert_int_equal(os_file_next_data(os, &file, UINT64_MAX, &start, &end), QUARRY_NOT_FOUND);
    assert_int_equal(start, 7);
    assert_int_equal(end, 7);
    os_file_close(os, &file);
}

static void what_is_written_can_be_read(void **state)
{
    (void)state;
    static char written[300000];
    static char read[sizeof written];
    struct os_file file = open_file();
    for (size_t i = 0; i < sizeof written; i++)
        written[i] = (char)(i * 31 % 251);
    assert_int_equal(os_file_write(os, &file, 12345, written, sizeof written), QUARRY_OK);
    assert_int_equal(os_file_read(os, &file, 12345, read, sizeof read), QUARRY_OK);
    assert_memory_equal(read, written, sizeof written);
    assert_int_equal(size_of(&file), 12345 + sizeof written);
    os_file_close(os, &file);
}

static void a_read_past_the_end_is_corrupt(void **state)
{
    (void)state;
    char bytes[8] = {0};
    struct os_file file = open_file();
    assert_int_equal(os_file_write(os, &file, 0, "abc", 3), QUARRY_OK);
    assert_int_equal(os_file_read(os, &file, 0, bytes, 3), QUARRY_OK);
    assert_int_equal(os_file_read(os, &file, 0, bytes, 4), QUARRY_CORRUPT);
    assert_int_equal(os_file_read(os, &file, 100, bytes, 1), QUARRY_CORRUPT);
    os_file_close(os, &file);
}

static void a_mapping_is_the_file_and_outlives_its_closing(void **state)
{
    (void)state;
    char bytes[5] = {0};
    void *base = NULL;
    struct os_file file = open_file();
    assert_int_equal(os_file_preallocate(os, &file, 0, 4 * PAGE), QUARRY_OK);
    assert_int_equal(os_reserve(os, 4 * PAGE, PAGE, &base), QUARRY_OK);
    assert_int_equal(os_file_map(os, &file, PAGE, (char *)base + PAGE, 2 * PAGE), QUARRY_OK);
    memcpy((char *)base + PAGE, "hello", 5);
    assert_int_equal(os_file_read(os, &file, PAGE, bytes, 5), QUARRY_OK);
    assert_memory_equal(bytes, "hello", 5);
    os_file_close(os, &file);
    memcpy((char *)base + 2 * PAGE, "world", 5); /* the mapping holds the file */
    assert_int_equal(os_release(os, base, 4 * PAGE), QUARRY_OK);

    file = open_file();
    assert_int_equal(os_reserve(os, 4 * PAGE, PAGE, &base), QUARRY_OK);
    assert_int_equal(os_file_map(os, &file, 0, base, 4 * PAGE), QUARRY_OK);
    assert_memory_equal((char *)base + PAGE, "hello", 5);
    assert_memory_equal((char *)base + 2 * PAGE, "world", 5);
    assert_int_equal(os_release(os, base, 4 * PAGE), QUARRY_OK);
    os_file_close(os, &file);
}

struct map_case {
    int error;
    enum quarry_status status;
};

static void map_with_error(void *map_case)
{
    const struct map_case *expected = map_case;
    void *base = NULL;
    struct os_file file = {.fd = -1};
    CHILD_CHECK(os_file_open(os, path, &file) == QUARRY_OK);
    CHILD_CHECK(os_reserve(os, PAGE, PAGE, &base) == QUARRY_OK);
    child_deny(SYS_mmap, expected->error);
    CHILD_CHECK(os_file_map(os, &file, 0, base, PAGE) == expected->status);
}

static void a_failed_map_says_why(void **state)
{
    (void)state;
    struct map_case cases[] = {{ENOMEM, QUARRY_NO_MEMORY},
                               {EAGAIN, QUARRY_NO_MEMORY},
                               {EACCES, QUARRY_PERMISSION},
                               {ENODEV, QUARRY_IO}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        child_assert_succeeds(map_with_error, &cases[i]);
}

static void preallocate_takes_blocks_and_keeps_contents(void **state)
{
    (void)state;
    char bytes[3];
    struct os_file file = open_file();
    assert_int_equal(os_file_write(os, &file, 0, "abc", 3), QUARRY_OK);
    assert_int_equal(os_file_preallocate(os, &file, 0, Q_MIB(1)), QUARRY_OK);
    assert_int_equal(os_file_preallocate(os, &file, 0, 0), QUARRY_OK);
    assert_int_equal(size_of(&file), Q_MIB(1));
    assert_true(disk_bytes_of(&file) >= Q_MIB(1));
    assert_int_equal(os_file_read(os, &file, 0, bytes, 3), QUARRY_OK);
    assert_memory_equal(bytes, "abc", 3);
    os_file_close(os, &file);
}

static void punch_gives_blocks_back_and_leaves_zeros(void **state)
{
    (void)state;
    static char bytes[16 * 4096];
    struct os_file file = open_file();
    memset(bytes, 7, sizeof bytes);
    assert_int_equal(os_file_write(os, &file, 0, bytes, sizeof bytes), QUARRY_OK);
    uint64_t before = disk_bytes_of(&file);
    assert_int_equal(os_file_punch(os, &file, 4 * PAGE, 8 * PAGE), QUARRY_OK);
    assert_int_equal(disk_bytes_of(&file), before - 8 * PAGE);
    assert_int_equal(size_of(&file), sizeof bytes);
    assert_int_equal(os_file_read(os, &file, 0, bytes, sizeof bytes), QUARRY_OK);
    for (size_t i = 0; i < sizeof bytes; i++)
        assert_int_equal(bytes[i], i >= 4 * PAGE && i < 12 * PAGE ? 0 : 7);
    os_file_close(os, &file);
}

static void what_is_written_through_a_mapping_is_synced(void **state)
{
    (void)state;
    struct os_file file = open_file();
    void *base = NULL;
    char byte = 0;
    assert_int_equal(os_reserve(os, 4 * PAGE, PAGE, &base), QUARRY_OK);
    assert_int_equal(os_file_preallocate(os, &file, 0, 4 * PAGE), QUARRY_OK);
    assert_int_equal(os_file_map(os, &file, 0, base, 4 * PAGE), QUARRY_OK);
    memset(base, 7, 4 * PAGE);
    assert_int_equal(os_file_sync(os, base, 4 * PAGE), QUARRY_OK);
    assert_int_equal(os_file_sync(os, base, 0), QUARRY_OK);
    assert_int_equal(os_file_read(os, &file, 3 * PAGE, &byte, 1), QUARRY_OK);
    assert_int_equal(byte, 7);
    assert_int_equal(os_release(os, base, 4 * PAGE), QUARRY_OK);
    os_file_close(os, &file);
}

static void next_data_skips_holes(void **state)
{
    (void)state;
    char page[4096];
    uint64_t start = 0;
    uint64_t end = 0;
    struct os_file file = open_file();
    memset(page, 7, sizeof page);
    assert_int_equal(os_file_resize(os, &file, Q_MIB(8)), QUARRY_OK);
    assert_int_equal(os_file_next_data(os, &file, 0, &start, &end), QUARRY_NOT_FOUND);
    assert_int_equal(os_file_write(os, &file, Q_MIB(2), page, PAGE), QUARRY_OK);
    assert_int_equal(os_file_write(os, &file, Q_MIB(6), page, PAGE), QUARRY_OK);
    assert_int_equal(os_file_next_data(os, &file, 0, &start, &end), QUARRY_OK);
    assert_int_equal(start, Q_MIB(2));
    assert_int_equal(end, Q_MIB(2) + PAGE);
    assert_int_equal(os_file_next_data(os, &file, end, &start, &end), QUARRY_OK);
    assert_int_equal(start, Q_MIB(6));
    assert_int_equal(end, Q_MIB(6) + PAGE);
    assert_int_equal(os_file_next_data(os, &file, start + 5, &start, &end), QUARRY_OK);
    assert_int_equal(start, Q_MIB(6) + 5);
    assert_int_equal(os_file_next_data(os, &file, end, &start, &end), QUARRY_NOT_FOUND);
    os_file_close(os, &file);
}

struct errors_case {
    int error;
    enum quarry_status status;
};

static void calls_with_error(void *errors_case)
{
    const struct errors_case *expected = errors_case;
    struct os_file file = {.fd = -1};
    CHILD_CHECK(os_file_open(os, path, &file) == QUARRY_OK);
    child_deny(SYS_fallocate, expected->error);
    child_deny(SYS_pwrite64, expected->error);
    child_deny(SYS_ftruncate, expected->error);
    CHILD_CHECK(os_file_preallocate(os, &file, 0, PAGE) == expected->status);
    CHILD_CHECK(os_file_punch(os, &file, 0, PAGE) == expected->status);
    CHILD_CHECK(os_file_write(os, &file, 0, "a", 1) == expected->status);
    CHILD_CHECK(os_file_resize(os, &file, PAGE) == expected->status);
}

static void seeks_and_reads_with_error(void *error)
{
    char byte = 0;
    uint64_t start = 0;
    uint64_t end = 0;
    struct os_file file = {.fd = -1};
    int denied = *(int *)error;
    CHILD_CHECK(os_file_open(os, path, &file) == QUARRY_OK);
    child_deny(SYS_lseek, denied);
    child_deny(SYS_pread64, denied);
    CHILD_CHECK(os_file_size(os, &file, &start) == QUARRY_IO);
    CHILD_CHECK(os_file_read(os, &file, 0, &byte, 1) == QUARRY_IO);
    enum quarry_status status = os_file_next_data(os, &file, 0, &start, &end);
    CHILD_CHECK(status == (denied == EINVAL ? QUARRY_UNSUPPORTED : QUARRY_IO));
}

static void errors_of_the_disk_come_back_as_statuses(void **state)
{
    (void)state;
    struct errors_case cases[] = {
        {ENOSPC, QUARRY_NO_SPACE}, {EDQUOT, QUARRY_NO_SPACE},        {EIO, QUARRY_IO},
        {EFBIG, QUARRY_TOO_LARGE}, {EOPNOTSUPP, QUARRY_UNSUPPORTED}, {ENOSYS, QUARRY_UNSUPPORTED}};
    int errors[] = {EIO, EINVAL};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        child_assert_succeeds(calls_with_error, &cases[i]);
    child_assert_succeeds(seeks_and_reads_with_error, &errors[0]);
    child_assert_succeeds(seeks_and_reads_with_error, &errors[1]);
}

static volatile sig_atomic_t alarm_count;

static void on_alarm(int number)
{
    (void)number;
    alarm_count = 1;
}

/* A file in memory, which an interrupted call takes all room back of
 * (Linux before 6.13), under a storm of signals; they come again behind it. */
static void room_is_made_however_many_signals_come(void **state)
{
    const struct sigaction action = {.sa_handler = on_alarm};
    const struct itimerval often = {{0, 100}, {0, 100}}, never = {{0, 0}, {0, 0}};
    const uint64_t bytes = (uint64_t)64 << 20;
    struct sigaction before;
    struct stat facts;
    int fd = memfd_create("room", MFD_CLOEXEC);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    const long result = os_kernel_allocate(fd, 0, 0, bytes);
    alarm_count = 0;
    while (alarm_count == 0) {
        (void)usleep(100);
    }
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    assert_int_equal(result, 0);
    assert_int_equal(fstat(fd, &facts), 0);
    assert_int_equal(facts.st_blocks * 512, bytes);
    close(fd);
}

int main(void)
{
    os = os_real();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(open_creates_an_empty_private_file, remove_file),
        cmocka_unit_test_teardown(a_held_file_cannot_be_opened_again, remove_file),
        cmocka_unit_test_teardown(open_tells_what_is_wrong_with_a_path, remove_file),
        cmocka_unit_test_teardown(open_tells_what_the_system_lacks, remove_file),
        cmocka_unit_test_teardown(resize_makes_a_hole_and_cuts, remove_file),
        cmocka_unit_test_teardown(offsets_past_the_kernels_are_too_large, remove_file),
        cmocka_unit_test_teardown(what_is_written_can_be_read, remove_file),
        cmocka_unit_test_teardown(a_read_past_the_end_is_corrupt, remove_file),
        cmocka_unit_test_teardown(a_mapping_is_the_file_and_outlives_its_closing, remove_file),
        cmocka_unit_test_teardown(a_failed_map_says_why, remove_file),
        cmocka_unit_test_teardown(preallocate_takes_blocks_and_keeps_contents, remove_file),
        cmocka_unit_test_teardown(punch_gives_blocks_back_and_leaves_zeros, remove_file),
        cmocka_unit_test_teardown(what_is_written_through_a_mapping_is_synced, remove_file),
        cmocka_unit_test_teardown(next_data_skips_holes, remove_file),
        cmocka_unit_test(room_is_made_however_many_signals_come),
        cmocka_unit_test_teardown(errors_of_the_disk_come_back_as_statuses, remove_file),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
