/*
 * Every system call that the server makes once it serves, with why. What is not here is refused.
 *
 *   X(name, check, "why")
 *
 *   ANY      with any arguments           THREAD   clone: threads, no processes
 *   DATA     never PROT_EXEC              FAMILY   streams and datagrams of the internet and of
 *   OWN      signals to this process               this machine, by TCP and UDP
 *   SELF     0, or this process           COMMAND  commands of fcntl that CONFINE_COMMANDS names
 *   NICE     the thread itself            OPTION   options of prctl that CONFINE_OPTIONS names
 *                                         REQUEST  requests of ioctl that CONFINE_REQUESTS names
 *
 * The first rows are what a request costs. Where the tests are run with security.seccomp = kill, a
 * call that is missing ends the server.
 */
#ifndef QUARRY_SERVE_CONFINE_CALLS_H
#define QUARRY_SERVE_CONFINE_CALLS_H

/* clang-format off */
#define CONFINE_CALLS(X)                                                                           \
    X(epoll_pwait, ANY, "a worker's loop, where the processor has no epoll_wait")                  \
    X(recvfrom, ANY, "a request")                                                                  \
    X(sendmsg, ANY, "an answer")                                                                   \
    X(futex, ANY, "locks; threads that wait")                                                      \
    X(read, ANY, "mail of loops; files")                                                           \
    X(write, ANY, "the same, and the log")                                                         \
    X(pread64, ANY, "tables of the key-value store")                                               \
    X(pwrite64, ANY, "its log, and the cache's file")                                              \
    X(madvise, ANY, "pages that go back to the kernel")                                            \
    X(clock_gettime, ANY, "where the machine's clock needs the kernel")                            \
    X(epoll_ctl, ANY, "connections that come and go")                                              \
    X(epoll_create1, ANY, "loops that begin late")                                                 \
    X(epoll_pwait2, ANY, "a loop with a finer clock")                                              \
    X(eventfd2, ANY, "mail of loops")                                                              \
    X(timerfd_create, ANY, "a loop with a finer clock")                                            \
    X(timerfd_settime, ANY, "the same")                                                            \
    X(accept4, ANY, "a connection")                                                                \
    X(accept, ANY, "the same")                                                                     \
    X(close, ANY, "its end")                                                                       \
    X(shutdown, ANY, "the same")                                                                   \
    X(recvmsg, ANY, "answers of name servers; reports of heaps")                                   \
    X(sendto, ANY, "answers by TLS; questions to name servers; the service manager")               \
    X(sendmmsg, ANY, "two questions to a name server")                                             \
    X(recvmmsg, ANY, "their answers")                                                              \
    X(readv, ANY, "streams in pieces")                                                             \
    X(writev, ANY, "the same; lines of the log")                                                   \
    X(preadv, ANY, "the same")                                                                     \
    X(pwritev, ANY, "the same")                                                                    \
    X(socket, FAMILY, "scraping, and its name servers")                                            \
    X(socketpair, FAMILY, "what curl wakes itself with")                                           \
    X(pipe2, ANY, "reports of heaps")                                                              \
    X(bind, ANY, "what curl and name resolution may; ports are Landlock's")                        \
    X(connect, ANY, "scraping")                                                                    \
    X(getsockname, ANY, "names of connections")                                                    \
    X(getpeername, ANY, "the same")                                                                \
    X(setsockopt, ANY, "delays of small pieces, keep-alive, TLS in the kernel")                    \
    X(getsockopt, ANY, "how a connection failed; who is at a unix socket's other end")             \
    X(ppoll, ANY, "curl; reports; name servers")                                                   \
    X(pselect6, ANY, "the same")                                                                   \
    X(mmap, DATA, "memory; tables; stacks of threads")                                             \
    X(mprotect, DATA, "guards of stacks; memory that is committed")                                \
    X(munmap, ANY, "memory that goes")                                                             \
    X(mremap, ANY, "libc's large blocks that grow")                                                \
    X(brk, ANY, "libc's small ones")                                                               \
    X(msync, ANY, "the cache's file")                                                              \
    X(mincore, ANY, "which pages are there, for the heap's map")                                   \
    X(mlock, ANY, "keys of TLS that are not to be swapped")                                        \
    X(munlock, ANY, "the same")                                                                    \
    X(membarrier, ANY, "epochs")                                                                   \
    X(clone, THREAD, "threads that begin late: queries, compactions, commands that wait")          \
    X(set_robust_list, ANY, "a thread begins")                                                     \
    X(rseq, ANY, "the same")                                                                       \
    X(exit, ANY, "a thread ends")                                                                  \
    X(exit_group, ANY, "the server ends")                                                          \
    X(wait4, ANY, "it waits for the process that makes reports")                                   \
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
    X(kill, OWN, "what a thread asks of the main one")                                             \
    X(tgkill, OWN, "the same; abort")                                                              \
    X(rt_sigaction, ANY, "signals")                                                                \
    X(rt_sigprocmask, ANY, "the same")                                                             \
    X(rt_sigreturn, ANY, "the same")                                                               \
    X(timer_create, ANY, "profiles of CPU time")                                                   \
    X(timer_settime, ANY, "the same")                                                              \
    X(timer_gettime, ANY, "the same")                                                              \
    X(timer_delete, ANY, "the same")                                                               \
    X(rt_sigtimedwait, ANY, "the main thread's wait")                                              \
    X(sigaltstack, ANY, "a thread begins")                                                         \
    X(restart_syscall, ANY, "waits that a stop has interrupted")                                   \
    X(clock_getres, ANY, "loops")                                                                  \
    X(clock_nanosleep, ANY, "threads that pause")                                                  \
    X(nanosleep, ANY, "the same")                                                                  \
    X(gettimeofday, ANY, "clocks")                                                                 \
    X(openat, ANY, "files; which ones is Landlock's")                                              \
    X(newfstatat, ANY, "the same")                                                                 \
    X(fstat, ANY, "the same")                                                                      \
    X(statx, ANY, "the same")                                                                      \
    X(statfs, ANY, "room on disks")                                                                \
    X(fstatfs, ANY, "the same")                                                                    \
    X(lseek, ANY, "files")                                                                         \
    X(fsync, ANY, "what is to survive")                                                            \
    X(fdatasync, ANY, "the same")                                                                  \
    X(sync_file_range, ANY, "the same, early")                                                     \
    X(fallocate, ANY, "room before it is written to")                                              \
    X(ftruncate, ANY, "the end of files")                                                          \
    X(flock, ANY, "the lock of a folder")                                                          \
    X(fcntl, COMMAND, "locks of stores; sockets that do not wait")                                 \
    X(fadvise64, ANY, "files that are not read again")                                             \
    X(copy_file_range, ANY, "copies")                                                              \
    X(sendfile, ANY, "copies")                                                                     \
    X(unlinkat, ANY, "files that go")                                                              \
    X(renameat, ANY, "files that take another's place")                                            \
    X(renameat2, ANY, "the same")                                                                  \
    X(linkat, ANY, "snapshots")                                                                    \
    X(mkdirat, ANY, "folders")                                                                     \
    X(readlinkat, ANY, "the program's own path")                                                   \
    X(getdents64, ANY, "folders that are listed")                                                  \
    X(faccessat, ANY, "files that may be there")                                                   \
    X(faccessat2, ANY, "the same")                                                                 \
    X(getcwd, ANY, "status pages; paths made whole")                                               \
    X(dup, ANY, "streams over a descriptor")                                                       \
    X(dup3, ANY, "the log's file anew")                                                            \
    X(getrandom, ANY, "TLS; names of blocks")                                                      \
    X(prlimit64, SELF, "stacks of threads; open files")                                            \
    X(getrusage, ANY, "figures of the process")                                                    \
    X(uname, ANY, "INFO")                                                                          \
    X(sysinfo, ANY, "memory of the machine")                                                       \
    X(getuid, ANY, "who runs it")                                                                  \
    X(geteuid, ANY, "the same")                                                                    \
    X(getgid, ANY, "the same")                                                                     \
    X(getegid, ANY, "the same")                                                                    \
    X(prctl, OPTION, "names of threads and of memory")                                             \
    X(ioctl, REQUEST, "what waits in a socket; terminals; disks that tell what is stored")

/* What newer processors' kernels do without. */
#define CONFINE_CALLS_X86(X)                                                                       \
    X(epoll_wait, ANY, "a worker's loop")                                                          \
    X(epoll_create, ANY, "loops that begin late")                                                  \
    X(poll, ANY, "curl; reports; name servers")                                                    \
    X(select, ANY, "the same")                                                                     \
    X(open, ANY, "files")                                                                          \
    X(stat, ANY, "the same")                                                                       \
    X(lstat, ANY, "the same")                                                                      \
    X(access, ANY, "the same")                                                                     \
    X(unlink, ANY, "the same")                                                                     \
    X(rename, ANY, "the same")                                                                     \
    X(link, ANY, "the same")                                                                       \
    X(mkdir, ANY, "folders")                                                                       \
    X(rmdir, ANY, "the same")                                                                      \
    X(readlink, ANY, "the program's own path")                                                     \
    X(dup2, ANY, "the log's file anew")                                                            \
    X(time, ANY, "clocks")
/* clang-format on */

/* Names of threads and of memory. Whether there is a filter: the heap asks, before it uses a call
 * that may end the process. Whether others may look into the process: libc asks. */
#define CONFINE_OPTIONS                                                                            \
    {                                                                                              \
        PR_SET_NAME, PR_GET_NAME, PR_SET_VMA, PR_GET_SECCOMP, PR_GET_DUMPABLE                      \
    }

/* Refused without being fatal: libraries try what they can do without. */
#define CONFINE_REQUESTS                                                                           \
    {                                                                                              \
        TCGETS, TIOCGWINSZ, FIONREAD, TIOCOUTQ, FIONBIO                                            \
    }

/* Nothing that has signals sent to others (F_SETOWN, F_SETSIG), leases, or changes of pipes. */
#define CONFINE_COMMANDS                                                                           \
    {                                                                                              \
        F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW,  \
            F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_GET_SEALS                                    \
    }

#define CONFINE_FAMILIES                                                                           \
    {                                                                                              \
        AF_UNIX, AF_INET, AF_INET6                                                                 \
    }

#endif
