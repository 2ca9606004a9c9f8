/*
 * The second door of `os`: a simulated twin for tests.
 *
 * `&sim.os` goes wherever code takes a `struct os *`. Memory is real address space with books kept
 * on every OS page; files live in memory; time moves when the test says so; and any call can be
 * made to fail. Breaking the contract of os.h (decommit of what is not committed, a range outside a
 * reservation, an unaligned length) fails an assertion at once instead of doing nothing.
 *
 * This is test code: it allocates with malloc, and is a library of its own (quarry_os_sim), so that
 * no product can link it by accident.
 *
 * Threads: every call may be made from any thread at once; one mutex serialises them.
 */
#ifndef QUARRY_OS_OS_SIM_H
#define QUARRY_OS_OS_SIM_H

#include <os/os.h>

/* Bits of a kind mask: the calls that can be counted and made to fail. */
enum os_sim_kind {
    OS_SIM_RESERVE = 1 << 0,
    OS_SIM_COMMIT = 1 << 1,
    OS_SIM_DECOMMIT = 1 << 2,
    OS_SIM_RELEASE = 1 << 3,
    OS_SIM_FILE_OPEN = 1 << 4,
    OS_SIM_FILE_RESIZE = 1 << 5,
    OS_SIM_FILE_MAP = 1 << 6,
    OS_SIM_FILE_PREALLOCATE = 1 << 7,
    OS_SIM_FILE_PUNCH = 1 << 8,
    OS_SIM_FILE_READ = 1 << 9,
    OS_SIM_FILE_WRITE = 1 << 10,
    OS_SIM_FILE_NEXT_DATA = 1 << 11,
    OS_SIM_UNCOMMIT = 1 << 12,
    OS_SIM_COLLAPSE = 1 << 13,
    OS_SIM_FILE_SYNC = 1 << 14,
};
#define OS_SIM_KIND_COUNT 15
#define OS_SIM_ANY        ((1u << OS_SIM_KIND_COUNT) - 1)
#define OS_SIM_ANY_MEMORY 0x300fu
#define OS_SIM_ANY_FILE   0x4ff0u

enum os_sim_fail_mode {
    OS_SIM_ONCE,     /* the one call fails, those after it succeed */
    OS_SIM_FOR_EVER, /* so do all after it, until os_sim_fail_clear */
};

/* All-zero is a sensible default: bookkeeping only, an endless disk, free decommits. */
struct os_sim_options {
    /*
     * Decommit really gives pages back, so that they read as zero, and whatever is not committed
     * faults when touched. Off: memory can be touched from reserve to release, decommit leaves the
     * contents, and no call but reserve and release enters the kernel.
     */
    bool real_backing;
    /*
     * Decommitted pages may be touched and decommitted again without a commit, as the real kernel
     * has it. Off: a caller must commit before it uses them again, which keeps committed_bytes
     * true; touching them faults under real_backing.
     */
    bool decommit_keeps_access;
    uint64_t disk_capacity_bytes;       /* for the blocks of all files; 0: endless */
    uint64_t decommit_cost_ns_per_page; /* time and CPU that a decommit takes, per OS page */
    uint64_t collapse_cost_ns;          /* time and CPU that a collapse takes, per huge page */
    bool has_no_collapse;               /* collapse is UNSUPPORTED */
    uint64_t wall_start_ns;             /* what os_wall_ns answers first; 0: 2026-01-01 UTC */
};

struct os_sim_counters {
    uint64_t reserved_bytes;           /* now */
    uint64_t committed_bytes;          /* now */
    uint64_t committed_peak_bytes;     /* the highest that committed_bytes has been */
    uint64_t mapped_file_bytes;        /* now */
    uint64_t disk_used_bytes;          /* now: blocks of all files, open or not */
    uint64_t calls[OS_SIM_KIND_COUNT]; /* since init, by bit number of the kind; failed ones too */
};

struct os_sim_state;

struct os_sim {
    struct os os;               /* what the code under test is given */
    struct os_sim_state *state; /* own */
};

/*
 * Starts an empty twin: nothing reserved, no files, monotonic time 1 s.
 * `options`: borrowed for the call; NULL for the defaults. Errors: none; running out of memory is
 * an assertion failure in test code.
 */
void os_sim_init(struct os_sim *sim, const struct os_sim_options *options);
/* Ends it: every reservation is unmapped and every file forgotten. No thread may be inside. */
void os_sim_fini(struct os_sim *sim);

/*
 * Makes the `index`-th call (from 0, counted from now) of those whose kind is in `kind_mask` fail
 * with `status`, doing nothing. It replaces the rule before it.
 */
void os_sim_fail_at(struct os_sim *sim, uint32_t kind_mask, uint64_t index,
                    enum os_sim_fail_mode mode, enum quarry_status status);
/* From here on nothing fails by rule. */
void os_sim_fail_clear(struct os_sim *sim);
/* How many calls a rule has failed since os_sim_fail_at: 0 tells a sweep that it is through. */
uint64_t os_sim_failed_count(struct os_sim *sim);
/* Calls of the kinds in the mask since init. */
uint64_t os_sim_call_count(struct os_sim *sim, uint32_t kind_mask);
void os_sim_read_counters(struct os_sim *sim, struct os_sim_counters *ret_counters);

/* Lets time pass: the monotonic and the wall clock. */
void os_sim_advance(struct os_sim *sim, uint64_t duration_ns);
/* The calling thread works for that long: as os_sim_advance, and its CPU clock moves as well. */
void os_sim_work(struct os_sim *sim, uint64_t duration_ns);

#endif
