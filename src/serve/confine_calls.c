/*
 * System calls: a program for the kernel's filter, made of the table in confine_calls.h.
 *
 *     processor is another, or the call is one of another ABI ──> the process ends
 *     number is the first row's ──> allowed, or its argument decides
 *     ...
 *     clone3 ──> ENOSYS
 *     whatever else ──> EPERM, or the process ends
 *
 * clone3 has its flags in memory, where a filter cannot look; libc then asks with clone, whose
 * flags are in a register. What libraries try on their way and can do without (netlink, when names
 * are resolved; requests to terminals) is refused with an errno even where a refusal is deadly.
 *
 * Numbers are compared in the order of the table. That is no cost: the kernel runs the program once
 * for each number when it is loaded, and keeps a bit for those that are allowed whatever their
 * arguments are.
 *
 * Arguments are looked at by their lower halves: those that are, are `int`, or have no bit above
 * that the kernel takes for one below.
 *
 * Rejected: libseccomp (a library for a loop over a table).
 *
 * Locking: none.
 */
#include <serve/confine.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>

/* Later than some headers, and the same on all processors. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

#include <serve/confine_calls.h>
#include <serve/confine_report_calls.h>

#if defined(__x86_64__)
#define OWN_PROCESSOR AUDIT_ARCH_X86_64
/* Numbers from here on are those of the ABI with short pointers. */
#define OTHER_ABI 0x40000000u
#elif defined(__aarch64__)
#define OWN_PROCESSOR AUDIT_ARCH_AARCH64
#define OTHER_ABI     0x80000000u
#else
#define OWN_PROCESSOR 0u
#define OTHER_ABI     0x80000000u
#endif

enum check {
    ANY,
    DATA,
    OWN,
    SELF,
    NICE,
    THREAD,
    FAMILY,
    COMMAND,
    OPTION,
    REQUEST,
    READING,
    READING_AT,
};

struct row {
    uint32_t number;
    enum check check;
};

#define ROW(name, check, why) {SYS_##name, check},
static const struct row server_rows[] = {CONFINE_CALLS(ROW)
#if defined(__x86_64__)
                                             CONFINE_CALLS_X86(ROW)
#endif
};
static const struct row report_rows[] = {CONFINE_REPORT_CALLS(ROW)
#if defined(__x86_64__)
                                             CONFINE_REPORT_CALLS_X86(ROW)
#endif
};
#undef ROW

struct list {
    const struct row *rows;
    size_t count;
};

/* Of enum confine_list. */
static const struct list lists[] = {
    [CONFINE_SERVER] = {server_rows, sizeof server_rows / sizeof server_rows[0]},
    [CONFINE_REPORT] = {report_rows, sizeof report_rows / sizeof report_rows[0]},
};

#define ROW_COUNT (sizeof server_rows / sizeof server_rows[0])
/* What a row takes at most: a comparison for each of two dozen values, and some around them. */
#define ROW_STEPS   28u
#define STEPS_MAX   (ROW_COUNT * 2u + 14u * ROW_STEPS)
#define QUIETLY(no) (SECCOMP_RET_ERRNO | (uint32_t)(no))

Q_STATIC_ASSERT(STEPS_MAX <= BPF_MAXINSNS, "the kernel takes programs of so many steps");
Q_STATIC_ASSERT(sizeof report_rows <= sizeof server_rows, "there is room for either list");

struct program {
    struct sock_filter steps[STEPS_MAX];
    uint16_t count;
    uint32_t refusal;
};

static void add(struct program *program, uint16_t code, uint32_t value, uint8_t then,
                uint8_t otherwise)
{
    Q_ASSERT(program->count < STEPS_MAX);
    program->steps[program->count++] =
        (struct sock_filter){.code = code, .jt = then, .jf = otherwise, .k = value};
}

static void add_return(struct program *program, uint32_t action)
{
    add(program, BPF_RET | BPF_K, action, 0, 0);
}

static void add_load(struct program *program, size_t offset)
{
    add(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* The lower half, as both processors lay it out. */
static size_t argument_offset(uint32_t index)
{
    return offsetof(struct seccomp_data, args) + index * sizeof(uint64_t);
}

/* ---- what decides -----------------------------------------------------------------------------
 */

/* Allows values that are listed. */
static void add_values(struct program *program, uint32_t index, const uint32_t *values,
                       uint8_t count, uint32_t refusal)
{
    add_load(program, argument_offset(index));
    for (uint8_t i = 0; i < count; i++) {
        add(program, BPF_JMP | BPF_JEQ | BPF_K, values[i], (uint8_t)(count - i), 0);
    }
    add_return(program, refusal);
    add_return(program, SECCOMP_RET_ALLOW);
}

/* Allows an argument in which none of these bits is set. */
static void add_without(struct program *program, uint32_t index, uint32_t bits, uint32_t refusal)
{
    add_load(program, argument_offset(index));
    add(program, BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1);
    add_return(program, refusal);
    add_return(program, SECCOMP_RET_ALLOW);
}

/* Goes on if the loaded value is one of these, otherwise refuses. */
static void add_one_of(struct program *program, const uint32_t *values, uint8_t count,
                       uint32_t refusal)
{
    for (uint8_t i = 0; i < count; i++) {
        add(program, BPF_JMP | BPF_JEQ | BPF_K, values[i], (uint8_t)(count - i), 0);
    }
    add_return(program, refusal);
}

/* Streams and datagrams of three families, and no protocol but what these are by default. */
static void add_socket(struct program *program)
{
    static const uint32_t families[] = CONFINE_FAMILIES;
    static const uint32_t kinds[] = {SOCK_STREAM, SOCK_DGRAM};
    static const uint32_t protocols[] = {0, IPPROTO_TCP, IPPROTO_UDP};

    add_load(program, argument_offset(0));
    add_one_of(program, families, sizeof families / sizeof families[0], QUIETLY(EAFNOSUPPORT));
    add_load(program, argument_offset(1));
    add(program, BPF_ALU | BPF_AND | BPF_K, (uint32_t) ~(SOCK_CLOEXEC | SOCK_NONBLOCK), 0, 0);
    add_one_of(program, kinds, sizeof kinds / sizeof kinds[0], QUIETLY(ESOCKTNOSUPPORT));
    add_load(program, argument_offset(2));
    add_one_of(program, protocols, sizeof protocols / sizeof protocols[0],
               QUIETLY(EPROTONOSUPPORT));
    add_return(program, SECCOMP_RET_ALLOW);
}

/* Of the thread that calls. */
static void add_nice(struct program *program)
{
    static const uint32_t which = PRIO_PROCESS, who = 0;

    add_load(program, argument_offset(0));
    add_one_of(program, &which, 1, program->refusal);
    add_load(program, argument_offset(1));
    add_one_of(program, &who, 1, program->refusal);
    add_return(program, SECCOMP_RET_ALLOW);
}

/* Whatever is no thread of this process, or enters another namespace. */
static void add_thread(struct program *program)
{
    const uint32_t namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_PTRACE;

    add_load(program, argument_offset(0));
    add(program, BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0);
    add_return(program, program->refusal);
    add(program, BPF_JMP | BPF_JSET | BPF_K, namespaces, 0, 1);
    add_return(program, program->refusal);
    add_return(program, SECCOMP_RET_ALLOW);
}

static void add_check(struct program *program, enum check check)
{
    static const uint32_t commands[] = CONFINE_COMMANDS;
    static const uint32_t options[] = CONFINE_OPTIONS;
    static const uint32_t requests[] = CONFINE_REQUESTS;
    const uint32_t own[] = {(uint32_t)getpid(), 0};
    const uint32_t changing = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC;

    switch (check) {
    case ANY:
        add_return(program, SECCOMP_RET_ALLOW);
        break;
    case DATA:
        add_without(program, 2, PROT_EXEC, program->refusal);
        break;
    case OWN:
        add_values(program, 0, own, 1, program->refusal);
        break;
    case SELF:
        add_values(program, 0, own, 2, program->refusal);
        break;
    case NICE:
        add_nice(program);
        break;
    case THREAD:
        add_thread(program);
        break;
    case FAMILY:
        add_socket(program);
        break;
    case COMMAND:
        add_values(program, 1, commands, sizeof commands / sizeof commands[0], QUIETLY(EINVAL));
        break;
    case OPTION:
        add_values(program, 0, options, sizeof options / sizeof options[0], QUIETLY(EINVAL));
        break;
    case REQUEST:
        add_values(program, 1, requests, sizeof requests / sizeof requests[0], QUIETLY(ENOTTY));
        break;
    case READING:
        add_without(program, 1, changing, QUIETLY(EACCES));
        break;
    case READING_AT:
        add_without(program, 2, changing, QUIETLY(EACCES));
        break;
    }
}

/* ---- the program ------------------------------------------------------------------------------
 */

/* The number is loaded. What its row adds is left by returning. */
static void add_row(struct program *program, const struct row *row)
{
    const uint16_t at = program->count;

    add(program, BPF_JMP | BPF_JEQ | BPF_K, row->number, 0, 0);
    add_check(program, row->check);
    const uint16_t length = (uint16_t)(program->count - at - 1);
    Q_ASSERT(length <= ROW_STEPS);
    program->steps[at].jf = (uint8_t)length;
}

static void make(struct program *program, const struct list *list, enum confine_calls how)
{
    program->count = 0;
    program->refusal =
        how == CONFINE_CALLS_KILL ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | EPERM;
    add_load(program, offsetof(struct seccomp_data, arch));
    add(program, BPF_JMP | BPF_JEQ | BPF_K, OWN_PROCESSOR, 1, 0);
    add_return(program, SECCOMP_RET_KILL_PROCESS);
    add_load(program, offsetof(struct seccomp_data, nr));
    add(program, BPF_JMP | BPF_JGE | BPF_K, OTHER_ABI, 0, 1);
    add_return(program, SECCOMP_RET_KILL_PROCESS);
    for (size_t i = 0; i < list->count; i++) {
        add_row(program, &list->rows[i]);
    }
    add(program, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1);
    add_return(program, QUIETLY(ENOSYS));
    add_return(program, program->refusal);
}

enum quarry_status confine_calls_apply(enum confine_list list, enum confine_calls how,
                                       struct quarry_error *error)
{
    struct program program;

    Q_ASSERT(how == CONFINE_CALLS_ERRNO || how == CONFINE_CALLS_KILL);
    if (OWN_PROCESSOR == 0) {
        return error_set(error, QUARRY_UNSUPPORTED, "no list of system calls for this processor");
    }
    make(&program, &lists[list], how);
    const struct sock_fprog filter = {.len = program.count, .filter = program.steps};
    long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter);
    if (result == 0) {
        return QUARRY_OK;
    }
    if (result > 0) { /* the thread that has a filter which is not this one's */
        return error_set(error, QUARRY_BUSY, "thread %ld has a filter of its own", result);
    }
    const int why = errno;
    return error_set_os(error,
                        why == EPERM || why == EACCES    ? QUARRY_PERMISSION
                        : why == ENOSYS || why == EINVAL ? QUARRY_UNSUPPORTED
                                                         : QUARRY_IO,
                        why, "the kernel takes no filter of system calls");
}
