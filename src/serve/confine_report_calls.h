/*
 * Every system call of a process that makes a report, with why; as in confine_calls.h.
 *
 *   READING, READING_AT   opens of files that are there, to be read
 */
#ifndef QUARRY_SERVE_CONFINE_REPORT_CALLS_H
#define QUARRY_SERVE_CONFINE_REPORT_CALLS_H

/* clang-format off */
#define CONFINE_REPORT_CALLS(X)                                                                    \
    X(read, ANY, "what is read")                                                                   \
    X(pread64, ANY, "memory of a process in another IPC namespace")                                \
    X(write, ANY, "the report, to a pipe")                                                         \
    X(writev, ANY, "the same")                                                                     \
    X(openat, READING_AT, "files")                                                                 \
    X(dup, ANY, "the report's pipe as a stream")                                                   \
    X(close, ANY, "files")                                                                         \
    X(lseek, ANY, "the same")                                                                      \
    X(fstat, ANY, "the same")                                                                      \
    X(newfstatat, ANY, "the same")                                                                 \
    X(statx, ANY, "the same")                                                                      \
    X(faccessat, ANY, "the same")                                                                  \
    X(faccessat2, ANY, "the same")                                                                 \
    X(readlinkat, ANY, "the program's own path; separate debug information")                       \
    X(getdents64, ANY, "how many processors there are")                                            \
    X(fcntl, COMMAND, "streams over a descriptor; locks that libraries ask for")                   \
    X(mmap, DATA, "memory; debug information")                                                     \
    X(mprotect, DATA, "memory that is committed")                                                  \
    X(munmap, ANY, "memory that goes")                                                             \
    X(mremap, ANY, "blocks that grow")                                                             \
    X(madvise, ANY, "pages that go back to the kernel")                                            \
    X(brk, ANY, "libc's small blocks")                                                             \
    X(mincore, ANY, "which pages are there")                                                       \
    X(membarrier, ANY, "epochs")                                                                   \
    X(shmget, ANY, "statistics of its own heap")                                                   \
    X(shmat, ANY, "statistics of the server's heap")                                               \
    X(shmdt, ANY, "the same")                                                                      \
    X(shmctl, ANY, "the same")                                                                     \
    X(futex, ANY, "locks")                                                                         \
    X(clone, THREAD, "the heap's background thread")                                               \
    X(set_robust_list, ANY, "a thread begins")                                                     \
    X(rseq, ANY, "the same")                                                                       \
    X(sigaltstack, ANY, "the same")                                                                \
    X(rt_sigprocmask, ANY, "the same")                                                             \
    X(rt_sigaction, ANY, "abort")                                                                  \
    X(rt_sigreturn, ANY, "signals")                                                                \
    X(tgkill, OWN, "abort")                                                                        \
    X(exit, ANY, "a thread ends")                                                                  \
    X(exit_group, ANY, "the report is made")                                                       \
    X(restart_syscall, ANY, "waits that a stop has interrupted")                                   \
    X(sched_yield, ANY, "threads that let others go first")                                        \
    X(sched_getaffinity, ANY, "how many processors there are")                                     \
    X(sched_getparam, ANY, "attributes of threads")                                                \
    X(sched_getscheduler, ANY, "background work behind all other")                                 \
    X(sched_setscheduler, SELF, "the same")                                                        \
    X(getpriority, ANY, "the same")                                                                \
    X(setpriority, NICE, "the same")                                                               \
    X(getcpu, ANY, "which processor a thread is on")                                               \
    X(gettid, ANY, "which thread")                                                                 \
    X(getpid, ANY, "which process")                                                                \
    X(getppid, ANY, "who began it")                                                                \
    X(getuid, ANY, "whose process it looks at")                                                    \
    X(geteuid, ANY, "the same")                                                                    \
    X(getgid, ANY, "the same")                                                                     \
    X(getegid, ANY, "the same")                                                                    \
    X(clock_gettime, ANY, "where the machine's clock needs the kernel")                            \
    X(clock_nanosleep, ANY, "waits for figures of now")                                            \
    X(nanosleep, ANY, "the same")                                                                  \
    X(gettimeofday, ANY, "clocks")                                                                 \
    X(getrandom, ANY, "tables of hashes")                                                          \
    X(getrusage, ANY, "figures of the process")                                                    \
    X(prlimit64, SELF, "stacks of threads; limits of memory")                                      \
    X(uname, ANY, "the machine")                                                                   \
    X(sysinfo, ANY, "memory of the machine")                                                       \
    X(getcwd, ANY, "paths made whole")                                                             \
    X(prctl, OPTION, "names of threads and of memory")                                             \
    X(ioctl, REQUEST, "whether it writes to a terminal")                                           \
    X(landlock_create_ruleset, ANY, "files are taken later")                                       \
    X(landlock_add_rule, ANY, "the same")                                                          \
    X(landlock_restrict_self, ANY, "the same")

/* What newer processors' kernels do without. */
#define CONFINE_REPORT_CALLS_X86(X)                                                                \
    X(open, READING, "files")                                                                      \
    X(stat, ANY, "the same")                                                                       \
    X(lstat, ANY, "the same")                                                                      \
    X(access, ANY, "the same")                                                                     \
    X(readlink, ANY, "the program's own path; separate debug information")                         \
    X(time, ANY, "clocks")
/* clang-format on */

#endif
