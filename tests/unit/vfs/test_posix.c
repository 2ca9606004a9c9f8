/* What only the machine's files do: descriptors, other processes, the kernel's refusals. */
#include "vfs_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <vfs/posix_slot.h>

#include "unit/os/child.h"

#define NEW (QUARRY_VFS_WRITE | QUARRY_VFS_CREATE)

/* In a child, where cmocka's assertions are not to be used. */
static struct quarry_vfs_file *child_open(struct vfs_rig *rig, uint32_t mode)
{
    struct quarry_vfs_file *file = NULL;
    CHILD_CHECK(quarry_vfs_open(rig->vfs, vfs_rig_path(rig, "a"), mode, &file, NULL) == QUARRY_OK);
    return file;
}

/* ---- descriptors ---- */

static void use_without_standard_files(void *argument)
{
    struct vfs_rig *rig = argument;
    struct stat facts;
    (void)close(0);
    (void)close(1);
    struct quarry_vfs_file *file = child_open(rig, NEW);
    CHILD_CHECK(fstat(0, &facts) != 0 && fstat(1, &facts) != 0);
    CHILD_CHECK(quarry_vfs_write(file, 0, "x", 1, NULL) == QUARRY_OK);
    quarry_vfs_close(file);
}

static void a_file_is_never_in_the_place_of_a_standard_one(void **state)
{
    child_assert_succeeds(use_without_standard_files, *state);
}

static void run_out_of_descriptors(void *argument)
{
    struct vfs_rig *rig = argument;
    struct quarry_error error = {0};
    struct quarry_vfs_file *file = NULL;
    struct quarry_vfs_lock *lock = NULL;
    struct rlimit limit = {.rlim_cur = 3, .rlim_max = 3};
    const char *path = vfs_rig_path(rig, "a");
    CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHILD_CHECK(quarry_vfs_open(rig->vfs, path, NEW, &file, &error) == QUARRY_TOO_MANY);
    CHILD_CHECK(error.os_errno == EMFILE);
    CHILD_CHECK(quarry_vfs_take_lock(rig->vfs, path, &lock, NULL) == QUARRY_TOO_MANY);
    CHILD_CHECK(quarry_vfs_sync_directory(rig->vfs, rig->root, NULL) == QUARRY_TOO_MANY);
    CHILD_CHECK(vfs_slots_in_use() == 0);
}

static void too_many_open_files_are_told_apart(void **state)
{
    child_assert_succeeds(run_out_of_descriptors, *state);
}

static void pipes_are_refused_without_waiting(void **state)
{
    struct vfs_rig *rig = *state;
    struct quarry_vfs_file *file = NULL;
    const char *path = vfs_rig_path(rig, "pipe");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(quarry_vfs_open(rig->vfs, path, QUARRY_VFS_READ, &file, NULL),
                     QUARRY_BAD_INPUT);
    assert_int_equal(quarry_vfs_open(rig->vfs, path, QUARRY_VFS_WRITE, &file, NULL),
                     QUARRY_BAD_INPUT);
    assert_int_equal(vfs_slots_in_use(), 0);
}

static void files_are_private_and_closed_on_exec(void **state)
{
    struct vfs_rig *rig = *state;
    struct stat facts;
    (void)umask(0);
    struct quarry_vfs_file *file = vfs_rig_open(rig, "a", NEW);
    assert_ok(quarry_vfs_make_directory(rig->vfs, vfs_rig_path(rig, "d"), NULL));
    assert_int_equal(stat(vfs_rig_path(rig, "a"), &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    assert_int_equal(stat(vfs_rig_path(rig, "d"), &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0700);
    for (int fd = 3; fd < 64; fd++) {
        struct stat other;
        if (fstat(fd, &other) == 0 && other.st_ino == facts.st_ino) {
            assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        }
    }
    quarry_vfs_close(file);
}

static void signal_seen(int number)
{
    (void)number;
}

static void signals_do_not_disturb_reading_and_writing(void **state)
{
    static uint8_t bytes[1 << 20];
    static uint8_t copy[1 << 20];
    struct sigaction action = {.sa_handler = signal_seen}; /* calls are not restarted */
    struct itimerval often = {.it_interval.tv_usec = 50, .it_value.tv_usec = 50};
    struct itimerval never = {0};
    size_t byte_count = 0;
    struct quarry_vfs_file *file = vfs_rig_open(*state, "a", NEW);
    memset(bytes, 's', sizeof bytes);
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    for (unsigned turn = 0; turn < 20; turn++) {
        assert_ok(quarry_vfs_preallocate(file, 0, sizeof bytes * 4, NULL));
        assert_ok(quarry_vfs_write(file, turn, bytes, sizeof bytes, NULL));
        assert_ok(quarry_vfs_sync(file, NULL));
        assert_ok(quarry_vfs_read(file, turn, copy, sizeof copy, &byte_count, NULL));
        assert_int_equal(byte_count, sizeof copy);
        assert_memory_equal(bytes, copy, sizeof copy);
        assert_ok(quarry_vfs_truncate(file, 0, NULL));
    }
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    quarry_vfs_close(file);
}

/* ---- refusals of the kernel ---- */

static void deny_durability(void *argument)
{
    struct vfs_rig *rig = argument;
    struct quarry_error error = {0};
    struct quarry_vfs_file *file = child_open(rig, NEW);
    child_deny(SYS_fdatasync, EIO);
    child_deny(SYS_fsync, EROFS);
    child_deny(SYS_sync_file_range, ENOSYS);
    CHILD_CHECK(quarry_vfs_sync(file, &error) == QUARRY_IO);
    CHILD_CHECK(error.os_errno == EIO && strncmp(error.text, "sync '", 6) == 0);
    CHILD_CHECK(quarry_vfs_sync_directory(rig->vfs, rig->root, &error) == QUARRY_IO);
    CHILD_CHECK(error.os_errno == EROFS);
    CHILD_CHECK(quarry_vfs_start_sync(file, 0, 0, NULL) == QUARRY_OK); /* nothing to begin */
    quarry_vfs_close(file);
}

static void failed_syncs_are_told(void **state)
{
    child_assert_succeeds(deny_durability, *state);
}

static void deny_space(void *argument)
{
    struct vfs_rig *rig = argument;
    struct quarry_error error = {0};
    struct quarry_vfs_file *file = child_open(rig, NEW);
    child_deny(SYS_pwrite64, ENOSPC);
    child_deny(SYS_fallocate, EOPNOTSUPP);
    child_deny(SYS_ftruncate, EDQUOT);
    child_deny(SYS_pread64, EIO);
    CHILD_CHECK(quarry_vfs_write(file, 8192, "x", 1, &error) == QUARRY_NO_SPACE);
    CHILD_CHECK(strstr(error.text, "1 bytes at 8192: No space left on device") != NULL);
    CHILD_CHECK(quarry_vfs_preallocate(file, 0, 4096, NULL) == QUARRY_UNSUPPORTED);
    CHILD_CHECK(quarry_vfs_truncate(file, 1, NULL) == QUARRY_NO_SPACE);
    char byte;
    size_t byte_count = 9;
    CHILD_CHECK(quarry_vfs_read(file, 0, &byte, 1, &byte_count, &error) == QUARRY_IO);
    CHILD_CHECK(byte_count == 9 && error.os_errno == EIO);
    quarry_vfs_close(file);
}

static void full_disks_and_bad_ones_are_told_apart(void **state)
{
    child_assert_succeeds(deny_space, *state);
}

static void deny_names(void *argument)
{
    struct vfs_rig *rig = argument;
    const char *a = vfs_rig_path(rig, "a");
    const char *b = vfs_rig_path(rig, "b");
    uint64_t byte_count;
    bool is_directory;
    quarry_vfs_close(child_open(rig, NEW));
    child_deny(SYS_linkat, EPERM);
    child_deny(SYS_renameat2, EXDEV);
    child_deny(SYS_unlinkat, EROFS);
    child_deny(SYS_mkdirat, ENOSPC);
    child_deny(SYS_newfstatat, EIO);
    child_deny(SYS_statfs, EIO);
    child_deny(SYS_getdents64, EIO);
    CHILD_CHECK(quarry_vfs_link(rig->vfs, a, b, NULL) == QUARRY_UNSUPPORTED);
    CHILD_CHECK(quarry_vfs_rename(rig->vfs, a, b, NULL) == QUARRY_UNSUPPORTED);
    CHILD_CHECK(quarry_vfs_remove(rig->vfs, a, NULL) == QUARRY_PERMISSION);
    CHILD_CHECK(quarry_vfs_make_directory(rig->vfs, b, NULL) == QUARRY_NO_SPACE);
    CHILD_CHECK(quarry_vfs_stat(rig->vfs, a, &byte_count, &is_directory, NULL) == QUARRY_IO);
    CHILD_CHECK(quarry_vfs_free_space(rig->vfs, a, &byte_count, NULL) == QUARRY_IO);
    CHILD_CHECK(quarry_vfs_list(rig->vfs, rig->root, NULL, NULL, NULL) == QUARRY_IO);
}

static void refused_names_are_told(void **state)
{
    child_assert_succeeds(deny_names, *state);
}

static void deny_opening(void *argument)
{
    struct vfs_rig *rig = argument;
    struct quarry_vfs_file *file = NULL;
    struct quarry_vfs_lock *lock = NULL;
    const char *path = vfs_rig_path(rig, "a");
    int free_fd = dup(0);
    (void)close(free_fd);
    child_deny(SYS_fstat, EIO);
    CHILD_CHECK(quarry_vfs_open(rig->vfs, path, NEW, &file, NULL) == QUARRY_IO);
    CHILD_CHECK(quarry_vfs_take_lock(rig->vfs, path, &lock, NULL) == QUARRY_IO);
    child_deny(SYS_fcntl, ENOLCK);
    CHILD_CHECK(quarry_vfs_take_lock(rig->vfs, path, &lock, NULL) == QUARRY_IO);
    child_deny(SYS_openat, EACCES);
    CHILD_CHECK(quarry_vfs_open(rig->vfs, path, NEW, &file, NULL) == QUARRY_PERMISSION);
    CHILD_CHECK(quarry_vfs_list(rig->vfs, rig->root, NULL, NULL, NULL) == QUARRY_PERMISSION);
    CHILD_CHECK(vfs_slots_in_use() == 0);
    CHILD_CHECK(dup(0) == free_fd); /* none was left open */
}

static void an_opening_that_fails_leaves_nothing_open(void **state)
{
    child_assert_succeeds(deny_opening, *state);
}

static void deny_mapping(void *argument)
{
    struct quarry_vfs_file *file = child_open(argument, NEW);
    void *base = NULL;
    CHILD_CHECK(quarry_vfs_preallocate(file, 0, 8192, NULL) == QUARRY_OK);
    child_deny_argument(SYS_mmap, 1, 8192, ENOMEM);
    CHILD_CHECK(quarry_vfs_map(file, 0, 8192, &base, NULL) == QUARRY_NO_MEMORY);
    child_deny_argument(SYS_mmap, 1, 4096, ENODEV);
    CHILD_CHECK(quarry_vfs_map(file, 0, 4096, &base, NULL) == QUARRY_UNSUPPORTED);
    CHILD_CHECK(base == NULL);
    quarry_vfs_close(file);
}

static void mappings_that_cannot_be_are_refused(void **state)
{
    child_assert_succeeds(deny_mapping, *state);
}

static void write_past_the_limit(void *argument)
{
    struct rlimit limit = {.rlim_cur = 4096, .rlim_max = 4096};
    struct quarry_vfs_file *file = child_open(argument, NEW);
    char bytes[8192] = {0};
    CHILD_CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    CHILD_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHILD_CHECK(quarry_vfs_write(file, 0, bytes, sizeof bytes, NULL) == QUARRY_TOO_LARGE);
    uint64_t byte_count = 0;
    CHILD_CHECK(quarry_vfs_size(file, &byte_count, NULL) == QUARRY_OK && byte_count == 4096);
    quarry_vfs_close(file);
}

static void a_short_write_is_gone_on_with_until_it_fails(void **state)
{
    child_assert_succeeds(write_past_the_limit, *state);
}

/* ---- misuse ---- */

static void write_to_a_reader(void *argument)
{
    quarry_vfs_close(child_open(argument, NEW));
    (void)quarry_vfs_write(child_open(argument, QUARRY_VFS_READ), 0, "x", 1, NULL);
}

static void create_without_writing(void *argument)
{
    (void)child_open(argument, QUARRY_VFS_CREATE);
}

static void misuse_aborts(void **state)
{
    child_assert_aborts(write_to_a_reader, *state, "is_writable");
    child_assert_aborts(create_without_writing, *state, "mode");
}

/* ---- locks between processes ---- */

static void try_lock_as_rocksdb_does(void *argument)
{
    struct vfs_rig *rig = argument;
    struct flock wanted = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = open(vfs_rig_path(rig, "LOCK"), O_RDWR | O_CREAT, 0644);
    CHILD_CHECK(fd >= 0);
    CHILD_CHECK(fcntl(fd, F_SETLK, &wanted) == -1 && (errno == EAGAIN || errno == EACCES));
}

static void others_are_refused_while_we_hold_a_lock(void **state)
{
    struct vfs_rig *rig = *state;
    struct quarry_vfs_lock *lock = NULL;
    struct quarry_vfs_lock *second = NULL;
    assert_ok(quarry_vfs_take_lock(rig->vfs, vfs_rig_path(rig, "LOCK"), &lock, NULL));
    child_assert_succeeds(try_lock_as_rocksdb_does, rig);
    /* A refused second taking does not let the first one go. */
    assert_int_equal(quarry_vfs_take_lock(rig->vfs, vfs_rig_path(rig, "LOCK"), &second, NULL),
                     QUARRY_BUSY);
    child_assert_succeeds(try_lock_as_rocksdb_does, rig);
    quarry_vfs_unlock(lock);
}

/* Starts a process that has the lock when this returns, until it is killed. */
static pid_t start_holder(struct vfs_rig *rig)
{
    int pipes[2];
    char byte = 0;
    assert_int_equal(pipe(pipes), 0);
    pid_t holder = fork();
    assert_true(holder >= 0);
    if (holder == 0) {
        struct flock wanted = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int fd = open(vfs_rig_path(rig, "LOCK"), O_RDWR | O_CREAT, 0644);
        if (fd >= 0 && fcntl(fd, F_SETLK, &wanted) == 0 && write(pipes[1], "x", 1) == 1) {
            (void)pause();
        }
        _exit(1);
    }
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    (void)close(pipes[0]);
    (void)close(pipes[1]);
    return holder;
}

static void a_lock_of_another_process_is_refused_with_its_number(void **state)
{
    struct vfs_rig *rig = *state;
    struct quarry_vfs_lock *lock = NULL;
    struct quarry_error error = {0};
    char expected[64];
    pid_t holder = start_holder(rig);
    enum quarry_status status =
        quarry_vfs_take_lock(rig->vfs, vfs_rig_path(rig, "LOCK"), &lock, &error);
    assert_int_equal(kill(holder, SIGKILL), 0);
    assert_int_equal(waitpid(holder, NULL, 0), holder);
    assert_int_equal(status, QUARRY_BUSY);
    snprintf(expected, sizeof expected, "held by process %d", (int)holder);
    assert_non_null(strstr(error.text, expected));
    /* A lock does not outlive its process, however that ended. */
    assert_ok(quarry_vfs_take_lock(rig->vfs, vfs_rig_path(rig, "LOCK"), &lock, NULL));
    quarry_vfs_unlock(lock);
}

/* ---- slots ---- */

static void take_all_slots(void *argument)
{
    static void *slots[VFS_SLOTS_MAX];
    void *one_more = NULL;
    (void)argument;
    for (uint32_t at = 0; at < VFS_SLOTS_MAX; at++) {
        CHILD_CHECK(vfs_slot_take(&slots[at]) == QUARRY_OK);
        memset(slots[at], (int)at, VFS_SLOT_BYTES);
    }
    CHILD_CHECK(vfs_slot_take(&one_more) == QUARRY_TOO_MANY);
    for (uint32_t at = 0; at < VFS_SLOTS_MAX; at++) {
        CHILD_CHECK(((uint8_t *)slots[at])[VFS_SLOT_BYTES - 1] == (uint8_t)at);
        CHILD_CHECK(((uint8_t *)slots[at])[0] == (uint8_t)at);
        vfs_slot_give(slots[at]);
    }
    CHILD_CHECK(vfs_slots_in_use() == 0);
    CHILD_CHECK(vfs_slot_take(&one_more) == QUARRY_OK);
    CHILD_CHECK(one_more == slots[VFS_SLOTS_MAX - 1]); /* the warmest first */
}

static void slots_are_many_and_bounded(void **state)
{
    (void)state;
    child_assert_succeeds(take_all_slots, NULL);
}

static void open_without_addresses(void *argument)
{
    struct vfs_rig *rig = argument;
    struct quarry_vfs_file *file = NULL;
    struct quarry_vfs_lock *lock = NULL;
    child_deny(SYS_mmap, ENOMEM);
    const char *path = vfs_rig_path(rig, "a");
    CHILD_CHECK(quarry_vfs_open(rig->vfs, path, NEW, &file, NULL) != QUARRY_OK);
    CHILD_CHECK(quarry_vfs_take_lock(rig->vfs, path, &lock, NULL) != QUARRY_OK);
    CHILD_CHECK(file == NULL && lock == NULL);
}

/* First of all tests: later ones find the region made. */
static void without_addresses_for_slots_nothing_opens(void **state)
{
    child_assert_succeeds(open_without_addresses, *state);
}

#define EACH(test) cmocka_unit_test_teardown(test, vfs_rig_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(without_addresses_for_slots_nothing_opens),
        EACH(a_file_is_never_in_the_place_of_a_standard_one),
        EACH(too_many_open_files_are_told_apart),
        EACH(pipes_are_refused_without_waiting),
        EACH(files_are_private_and_closed_on_exec),
        EACH(signals_do_not_disturb_reading_and_writing),
        EACH(failed_syncs_are_told),
        EACH(full_disks_and_bad_ones_are_told_apart),
        EACH(refused_names_are_told),
        EACH(an_opening_that_fails_leaves_nothing_open),
        EACH(mappings_that_cannot_be_are_refused),
        EACH(a_short_write_is_gone_on_with_until_it_fails),
        EACH(misuse_aborts),
        EACH(others_are_refused_while_we_hold_a_lock),
        EACH(a_lock_of_another_process_is_refused_with_its_number),
        EACH(slots_are_many_and_bounded),
    };
    return cmocka_run_group_tests(tests, vfs_rig_posix, vfs_rig_end);
}
