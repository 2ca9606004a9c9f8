/*
 * What a process has taken from itself: each test is a child that confines itself, tries, and says
 * by its exit code what it found. A code is the number of the line that was not as it should be.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <serve/confine.h>
#include <serve/confine_report.h>

/* In a child: ends it with this line's number unless what is said holds. */
#define HOLDS(truth)                                                                               \
    do {                                                                                           \
        if (!(truth)) {                                                                            \
            fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #truth, strerror(errno));              \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)
/* Ends it as one that found no Landlock, or no filters. */
#define SKIPPED 77

static char folder[] = "/tmp/quarry-confine-XXXXXX";
static char inside[64], outside[64];

static void make_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "1", 1), 1);
    close(fd);
}

static int set_up(void **state)
{
    char path[96];

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(inside, sizeof inside, "%s/inside", folder);
    snprintf(outside, sizeof outside, "%s/outside", folder);
    assert_int_equal(mkdir(inside, 0700), 0);
    assert_int_equal(mkdir(outside, 0700), 0);
    snprintf(path, sizeof path, "%s/file", inside);
    make_file(path);
    snprintf(path, sizeof path, "%s/file", outside);
    make_file(path);
    return 0;
}

static int tear_down(void **state)
{
    static const char *const files[] = {"inside/file",
                                        "inside/current",
                                        "inside/v1/away",
                                        "inside/v1/key",
                                        "inside/v1",
                                        "inside/v2/key",
                                        "inside/v2",
                                        "inside",
                                        "outside/file",
                                        "outside/own/key",
                                        "outside/own/key.1",
                                        "outside/own",
                                        "outside/far/v1/key",
                                        "outside/far/v1",
                                        "outside/far/v2/key",
                                        "outside/far/v2",
                                        "outside/far/key",
                                        "outside/far",
                                        "outside",
                                        ""};
    char path[96];

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        (void)remove(path);
    }
    return 0;
}

/* Returns: the status of a child that did this. */
static int status_of(void (*body)(void))
{
    int status = 0;

    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void expect_success(void (*body)(void))
{
    if (!confine_is_possible()) {
        skip();
    }
    const int status = status_of(body);

    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
        skip();
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- system calls -----------------------------------------------------------------------------
 */

static void confine_calls(enum confine_calls how)
{
    struct quarry_error error = {0};

    HOLDS(confine_privileges(&error) == QUARRY_OK);
    enum quarry_status status = confine_calls_apply(CONFINE_SERVER, how, &error);
    if (status == QUARRY_UNSUPPORTED) {
        _exit(SKIPPED);
    }
    HOLDS(status == QUARRY_OK);
}

static void try_programs(void)
{
    char *const arguments[] = {"true", NULL};

    confine_calls(CONFINE_CALLS_ERRNO);
    HOLDS(execv("/bin/true", arguments) == -1 && errno == EPERM);
    HOLDS(syscall(SYS_execveat, AT_FDCWD, "/bin/true", arguments, NULL, 0) == -1 && errno == EPERM);
    HOLDS(fork() == -1 && errno == EPERM);
    HOLDS(syscall(SYS_clone3, NULL, 0) == -1 && errno == ENOSYS);
    HOLDS(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0) == -1 && errno == EPERM);
}

static void programs_and_processes_are_refused(void **state)
{
    (void)state;
    expect_success(try_programs);
}

static void try_memory(void)
{
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    confine_calls(CONFINE_CALLS_ERRNO);
    HOLDS(page != MAP_FAILED);
    HOLDS(mprotect(page, 4096, PROT_READ | PROT_EXEC) == -1 && errno == EPERM);
    HOLDS(mprotect(page, 4096, PROT_READ) == 0);
    HOLDS(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
              MAP_FAILED &&
          errno == EPERM);
    HOLDS(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
}

static void memory_is_never_executed(void **state)
{
    (void)state;
    expect_success(try_memory);
}

static void try_sockets(void)
{
    confine_calls(CONFINE_CALLS_ERRNO);
    HOLDS(socket(AF_PACKET, SOCK_RAW, 0) == -1 && errno == EAFNOSUPPORT);
    HOLDS(socket(AF_NETLINK, SOCK_RAW, 0) == -1 && errno == EAFNOSUPPORT);
    HOLDS(socket(AF_VSOCK, SOCK_STREAM, 0) == -1 && errno == EAFNOSUPPORT);
    HOLDS(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) == -1 && errno == ESOCKTNOSUPPORT);
    HOLDS(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP) == -1 && errno == EPROTONOSUPPORT);
    HOLDS(socket(AF_INET, SOCK_STREAM, 262 /* MPTCP */) == -1 && errno == EPROTONOSUPPORT);
    HOLDS(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP) >= 0);
    int link = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
    HOLDS(link >= 0);
    HOLDS(listen(link, 1) == -1 && errno == EPERM);
    HOLDS(fcntl(link, F_SETOWN, getppid()) == -1 && errno == EINVAL);
    HOLDS(fcntl(link, F_SETSIG, SIGKILL) == -1 && errno == EINVAL);
    HOLDS(fcntl(link, F_SETFL, O_NONBLOCK) == 0 && fcntl(link, F_GETFL) >= 0);
    HOLDS(socket(AF_INET6, SOCK_STREAM, 0) >= 0 || errno == EAFNOSUPPORT);
    HOLDS(socket(AF_UNIX, SOCK_DGRAM, 0) >= 0);
}

static void sockets_are_of_three_families(void **state)
{
    (void)state;
    expect_success(try_sockets);
}

static void try_others(void)
{
    struct rlimit files;

    confine_calls(CONFINE_CALLS_ERRNO);
    HOLDS(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1 && errno == EPERM);
    HOLDS(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0) == -1 && errno == EPERM);
    HOLDS(kill(getppid(), 0) == -1 && errno == EPERM);
    HOLDS(kill(getpid(), 0) == 0);
    HOLDS(prlimit(getppid(), RLIMIT_NOFILE, NULL, &files) == -1 && errno == EPERM);
    HOLDS(prlimit(0, RLIMIT_NOFILE, NULL, &files) == 0);
    HOLDS(prlimit(getpid(), RLIMIT_NOFILE, NULL, &files) == 0);
    HOLDS(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1 && errno == EINVAL);
    HOLDS(setpriority(PRIO_PROCESS, (id_t)getppid(), 0) == -1 && errno == EPERM);
    HOLDS(setpriority(PRIO_PGRP, 0, 0) == -1 && errno == EPERM);
    HOLDS(setpriority(PRIO_PROCESS, 0, 0) == 0);
    HOLDS(chmod(inside, 0777) == -1 && errno == EPERM);
    HOLDS(prctl(PR_SET_NAME, "confined", 0, 0, 0) == 0);
    HOLDS(syscall(SYS_unshare, 0) == -1 && errno == EPERM);
    HOLDS(syscall(SYS_mount, NULL, NULL, NULL, 0, NULL) == -1 && errno == EPERM);
    HOLDS(syscall(SYS_bpf, 0, NULL, 0) == -1 && errno == EPERM);
    HOLDS(syscall(SYS_keyctl, 0, 0, 0, 0, 0) == -1 && errno == EPERM);
    HOLDS(syscall(SYS_io_uring_setup, 1, NULL) == -1 && errno == EPERM);
    HOLDS(syscall(SYS_setuid, getuid()) == -1 && errno == EPERM);
}

static void try_report(void)
{
    struct rlimit files;
    char path[96];
    int pipe_ends[2];

    HOLDS(pipe(pipe_ends) == 0);
    snprintf(path, sizeof path, "%s/file", inside);
    HOLDS(setenv(SERVE_REPORT_VARIABLE, "11", 1) == 0);
    HOLDS(serve_confine_report());
    HOLDS(write(pipe_ends[1], "1", 1) == 1);
    HOLDS(getrlimit(RLIMIT_FSIZE, &files) == 0 && files.rlim_max == 0);
    if (prctl(PR_GET_SECCOMP) != 2) {
        _exit(SKIPPED);
    }
    HOLDS(open(path, O_RDONLY) >= 0);
    HOLDS(open(path, O_RDWR) == -1 && errno == EACCES);
    HOLDS(open(path, O_WRONLY | O_APPEND) == -1 && errno == EACCES);
    HOLDS(open(path, O_RDONLY | O_TRUNC) == -1 && errno == EACCES);
    HOLDS(open(folder, O_TMPFILE | O_RDWR, 0600) == -1 && errno == EACCES);
    HOLDS(unlink(path) == -1 && errno == EPERM);
    HOLDS(socket(AF_UNIX, SOCK_STREAM, 0) == -1 && errno == EPERM);
    HOLDS(execl("/bin/true", "true", (char *)NULL) == -1 && errno == EPERM);
    HOLDS(fork() == -1 && errno == EPERM);
    HOLDS(kill(getppid(), 0) == -1 && errno == EPERM);
    HOLDS(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) == 0);
    HOLDS(mprotect(NULL, 4096, PROT_EXEC) == -1 && errno == EPERM);
    HOLDS(serve_confine_report_files());
    HOLDS(open("/proc/self/status", O_RDONLY) >= 0);
    HOLDS(open("/proc/self/exe", O_RDONLY) >= 0);
    if (open(path, O_RDONLY) >= 0) {
        _exit(SKIPPED); /* no Landlock */
    }
    HOLDS(errno == EACCES);
    HOLDS(open("/etc/passwd", O_RDONLY) == -1 && errno == EACCES);
}

static void what_makes_a_report_reads_and_does_nothing_else(void **state)
{
    (void)state;
    expect_success(try_report);
}

static void other_processes_and_the_kernel_are_out_of_reach(void **state)
{
    (void)state;
    expect_success(try_others);
}

/* What threads find: 1: confined; 2: not. One is there before, one comes after. */
static _Atomic(int) is_confined, found_before, found_after;

static void *look(void *ret_found)
{
    while (ret_found == &found_before && !is_confined) {
        sched_yield();
    }
    *(_Atomic(int) *)ret_found =
        socket(AF_PACKET, SOCK_RAW, 0) == -1 && errno == EAFNOSUPPORT ? 1 : 2;
    return NULL;
}

static void try_threads(void)
{
    pthread_t before, after;

    HOLDS(pthread_create(&before, NULL, look, &found_before) == 0);
    confine_calls(CONFINE_CALLS_KILL);
    is_confined = 1;
    HOLDS(pthread_create(&after, NULL, look, &found_after) == 0);
    HOLDS(pthread_join(before, NULL) == 0 && pthread_join(after, NULL) == 0);
    HOLDS(found_before == 1 && found_after == 1);
}

static void threads_before_and_after_are_confined(void **state)
{
    (void)state;
    expect_success(try_threads);
}

static void try_to_live(void)
{
    char *const arguments[] = {"true", NULL};

    confine_calls(CONFINE_CALLS_KILL);
    (void)execv("/bin/true", arguments);
}

static void a_refusal_ends_who_asked_for_that(void **state)
{
    (void)state;
    if (!confine_is_possible()) {
        skip();
    }
    const int status = status_of(try_to_live);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
        skip();
    }
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

/* ---- files and ports --------------------------------------------------------------------------
 */

static int begin_files(struct confine_files *files)
{
    struct quarry_error error = {0};

    HOLDS(confine_privileges(&error) == QUARRY_OK);
    enum quarry_status status = confine_files_begin(files, 0, &error);
    if (status == QUARRY_UNSUPPORTED || status == QUARRY_PERMISSION) {
        _exit(SKIPPED);
    }
    HOLDS(status == QUARRY_OK);
    return files->abi;
}

static int open_in(const char *where, const char *name, int flags)
{
    char path[192];

    snprintf(path, sizeof path, "%s/%s", where, name);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0) {
        close(fd);
    }
    return fd;
}

static void try_written(void)
{
    struct confine_files files;
    struct quarry_error error = {0};
    char from[96], to[96];

    (void)begin_files(&files);
    HOLDS(confine_files_allow(&files, inside, CONFINE_WRITE));
    HOLDS(!confine_files_allow(&files, "/nowhere/at/all", CONFINE_WRITE));
    HOLDS(confine_files_apply(&files, &error) == QUARRY_OK);
    HOLDS(open_in(inside, "file", O_RDWR) >= 0);
    HOLDS(open_in(inside, "other", O_RDWR | O_CREAT) >= 0);
    HOLDS(open_in(outside, "file", O_RDONLY) == -1 && errno == EACCES);
    HOLDS(open_in(outside, "other", O_RDWR | O_CREAT) == -1 && errno == EACCES);
    HOLDS(open_in("/etc", "passwd", O_RDONLY) == -1 && errno == EACCES);
    snprintf(from, sizeof from, "%s/other", inside);
    snprintf(to, sizeof to, "%s/other", outside);
    HOLDS(rename(from, to) == -1);
    HOLDS(link(from, to) == -1);
    HOLDS(symlink("/etc/passwd", to) == -1 && errno == EACCES);
    HOLDS(mkfifo(to, 0600) == -1 && errno == EACCES);
    HOLDS(unlink(from) == 0);
}

/* A link leads to v1 today, and to v2 tomorrow; of another the target has a neighbour. */
static void try_replaced(void)
{
    static const char *const made[] = {"v1", "v2", "far", "far/v1", "far/v2", "own"};
    struct confine_files files;
    struct quarry_error error = {0};
    char path[128], near[96], far[128];

    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", i < 2 ? inside : outside, made[i]);
        HOLDS(mkdir(path, 0700) == 0 || errno == EEXIST);
        HOLDS(open_in(path, "key", O_WRONLY | O_CREAT) >= 0);
    }
    snprintf(near, sizeof near, "%s/current", inside);
    HOLDS(symlink("v1", near) == 0 || errno == EEXIST);
    snprintf(path, sizeof path, "%s/far/v1", outside);
    snprintf(far, sizeof far, "%s/v1/away", inside);
    HOLDS(symlink(path, far) == 0 || errno == EEXIST);

    (void)begin_files(&files);
    snprintf(path, sizeof path, "%s/current/away/key", inside);
    HOLDS(confine_files_allow_replaced(&files, path, CONFINE_READ));
    snprintf(path, sizeof path, "%s/own/key", outside);
    HOLDS(confine_files_allow_replaced(&files, path, CONFINE_LOG));
    HOLDS(!confine_files_allow_replaced(&files, "/tmp/quarry-nothing", CONFINE_READ));
    HOLDS(confine_files_apply(&files, &error) == QUARRY_OK);
    HOLDS(open_in(inside, "v2/key", O_RDONLY) >= 0);
    HOLDS(open_in(outside, "far/v2/key", O_RDONLY) >= 0);
    HOLDS(open_in(outside, "far/v2/key", O_WRONLY) == -1 && errno == EACCES);
    HOLDS(open_in(outside, "own/key", O_RDONLY) == -1 && errno == EACCES);
    HOLDS(open_in(outside, "own/key.1", O_WRONLY | O_CREAT) >= 0);
    snprintf(path, sizeof path, "%s/own/key", outside);
    HOLDS(unlink(path) == -1 && errno == EACCES);
    HOLDS(open_in(outside, "file", O_RDONLY) == -1 && errno == EACCES);
}

static void files_that_are_replaced_are_found_again(void **state)
{
    (void)state;
    expect_success(try_replaced);
}

static void folders_of_others_are_known(void **state)
{
    (void)state;
    assert_true(confine_folder_is_shared("/"));
    assert_true(confine_folder_is_shared("/etc"));
    assert_true(confine_folder_is_shared("/tmp"));
    assert_true(confine_folder_is_shared("/nowhere/at/all"));
    assert_false(confine_folder_is_shared(inside));
    assert_int_equal(setenv("HOME", inside, 1), 0);
    assert_true(confine_folder_is_shared(inside));
    assert_true(confine_folder_is_shared(folder));
    assert_false(confine_folder_is_shared(outside));
}

static void files_outside_are_out_of_reach(void **state)
{
    (void)state;
    expect_success(try_written);
}

static void try_read(void)
{
    struct confine_files files;
    struct quarry_error error = {0};
    char path[96];
    char *const arguments[] = {"true", NULL};

    (void)begin_files(&files);
    snprintf(path, sizeof path, "%s/file", inside);
    HOLDS(confine_files_allow(&files, path, CONFINE_READ));
    HOLDS(confine_files_allow(&files, "/bin", CONFINE_READ));
    HOLDS(confine_files_apply(&files, &error) == QUARRY_OK);
    HOLDS(open_in(inside, "file", O_RDONLY) >= 0);
    HOLDS(open_in(inside, "file", O_WRONLY) == -1 && errno == EACCES);
    HOLDS(open_in(inside, "more", O_WRONLY | O_CREAT) == -1 && errno == EACCES);
    HOLDS(execv("/bin/true", arguments) == -1 && errno == EACCES);
}

static void what_is_read_is_neither_written_nor_run(void **state)
{
    (void)state;
    expect_success(try_read);
}

/* Returns: 0, or an errno. `port`: 0: the kernel's choice. */
static int bind_to(uint16_t *port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int why = bind(fd, (struct sockaddr *)&address, length) == 0 ? 0 : errno;

    HOLDS(fd >= 0 && getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    *port = ntohs(address.sin_port);
    close(fd);
    return why;
}

static void try_ports(void)
{
    struct confine_files files;
    struct quarry_error error = {0};
    uint16_t free_port = 0, any = 0;

    HOLDS(bind_to(&free_port) == 0);
    if (begin_files(&files) < CONFINE_FILES_ABI_PORTS) {
        _exit(SKIPPED);
    }
    HOLDS(confine_files_allow_port(&files, 0));
    HOLDS(confine_files_apply(&files, &error) == QUARRY_OK);
    HOLDS(bind_to(&any) == 0);
    HOLDS(bind_to(&free_port) == EACCES);
}

static void ports_that_were_not_named_are_refused(void **state)
{
    (void)state;
    expect_success(try_ports);
}

static void try_signals(void)
{
    struct confine_files files;
    struct quarry_error error = {0};

    if (begin_files(&files) < 6) {
        _exit(SKIPPED);
    }
    HOLDS(confine_files_apply(&files, &error) == QUARRY_OK);
    HOLDS(kill(getppid(), 0) == -1 && errno == EPERM);
    HOLDS(kill(getpid(), 0) == 0);
    HOLDS(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == -1 && errno == EPERM);
}

static void others_get_no_signals(void **state)
{
    (void)state;
    expect_success(try_signals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_makes_a_report_reads_and_does_nothing_else),
        cmocka_unit_test(programs_and_processes_are_refused),
        cmocka_unit_test(memory_is_never_executed),
        cmocka_unit_test(sockets_are_of_three_families),
        cmocka_unit_test(other_processes_and_the_kernel_are_out_of_reach),
        cmocka_unit_test(threads_before_and_after_are_confined),
        cmocka_unit_test(a_refusal_ends_who_asked_for_that),
        cmocka_unit_test(files_outside_are_out_of_reach),
        cmocka_unit_test(files_that_are_replaced_are_found_again),
        cmocka_unit_test(folders_of_others_are_known),
        cmocka_unit_test(what_is_read_is_neither_written_nor_run),
        cmocka_unit_test(ports_that_were_not_named_are_refused),
        cmocka_unit_test(others_get_no_signals),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
