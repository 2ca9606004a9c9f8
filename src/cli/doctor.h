/*
 * The doctor: what holds memory, why, and what to change.
 */
#ifndef QUARRY_CLI_DOCTOR_H
#define QUARRY_CLI_DOCTOR_H

#include <base/base.h>
#include <cli/figures.h>
#include <cli/process.h>
#include <cli/symbols.h>

/* Heaps below this are too small to judge: what they waste is the price of having a heap. */
#define DOCTOR_SMALL_BYTES Q_MIB(5)

enum doctor_severity {
    DOCTOR_NOTE,     /* good to know; or it goes away by itself */
    DOCTOR_WARNING,  /* worth a change */
    DOCTOR_CRITICAL, /* a quarter of the memory, or allocations fail */
};

extern const char *const doctor_severity_names[];

#define DOCTOR_TEXT_BYTES   640u
#define DOCTOR_ADVICE_BYTES 320u
#define DOCTOR_NO_STACK     UINT32_MAX
/* One for each rule, and one for each fragmented row up to a dozen and full account up to four. */
#define DOCTOR_FINDINGS_MAX 34u

struct doctor_finding {
    const char *cause; /* a word, for scripts */
    enum doctor_severity severity;
    uint64_t bytes; /* that it is about; what findings are ordered by */
    uint32_t stack; /* index of the stack to look at, or DOCTOR_NO_STACK */
    char text[DOCTOR_TEXT_BYTES];
    char advice[DOCTOR_ADVICE_BYTES]; /* what to change, with a command or a call */
};

struct doctor_report {
    bool is_too_small;
    uint32_t count;
    struct doctor_finding finding[DOCTOR_FINDINGS_MAX];
};

/* Live bytes of the stacks at an earlier look, to see what grows. */
struct doctor_before {
    uint64_t *live_bytes; /* own; by index of the stack */
    uint32_t stack_count;
    uint64_t monotonic_ns;
};

/* Errors: NO_MEMORY. */
Q_NODISCARD enum quarry_status doctor_before_init(struct doctor_before *before,
                                                  const struct mem_stats_snapshot *snapshot);
void doctor_before_fini(struct doctor_before *before);

/*
 * Examines a heap. `before`: NULL for one look alone, which cannot see growth.
 * `ret_report`: findings by bytes, most first. About 36 KiB: not for a small stack.
 */
void doctor_examine(const struct process *process, struct symbols *symbols,
                    const struct doctor_before *before, struct doctor_report *ret_report);

/* ---- for the rules -------------------------------------------------------------------------- */

struct doctor_case {
    const struct process *process;
    const struct mem_stats_snapshot *snapshot;
    struct symbols *symbols;
    const struct doctor_before *before; /* NULL: none */
    struct figures figures;
    struct doctor_report *report;
};

typedef void doctor_rule(struct doctor_case *c);

/* Closed by NULL. */
extern doctor_rule *const doctor_rules[];

#endif
