/*
 * The doctor's round: every rule looks at the figures and adds what it finds; then by bytes.
 */
#include <cli/doctor.h>

#include <cli/cli.h>

#include <stdlib.h>

const char *const doctor_severity_names[] = {
    [DOCTOR_NOTE] = "note",
    [DOCTOR_WARNING] = "warning",
    [DOCTOR_CRITICAL] = "critical",
};

enum quarry_status doctor_before_init(struct doctor_before *before,
                                      const struct mem_stats_snapshot *snapshot)
{
    *before = (struct doctor_before){
        .live_bytes = calloc(snapshot->stack_count + 1, sizeof(uint64_t)),
        .stack_count = snapshot->stack_count,
        .monotonic_ns = snapshot->head->refresh_monotonic_ns,
    };
    if (before->live_bytes == NULL) {
        return QUARRY_NO_MEMORY;
    }
    for (uint32_t i = 0; i < snapshot->stack_count; i++) {
        before->live_bytes[i] = stack_figures_of(&snapshot->stacks[i], i).live_bytes;
    }
    return QUARRY_OK;
}

void doctor_before_fini(struct doctor_before *before)
{
    free(before->live_bytes);
    *before = (struct doctor_before){0};
}

/* More bytes first, then what is worse. */
static int compare_findings(const void *one, const void *other)
{
    const struct doctor_finding *a = one, *b = other;

    if (a->bytes != b->bytes) {
        return a->bytes > b->bytes ? -1 : 1;
    }
    return (int)b->severity - (int)a->severity;
}

void doctor_examine(const struct process *process, struct symbols *symbols,
                    const struct doctor_before *before, struct doctor_report *ret_report)
{
    struct doctor_case c = {
        .process = process,
        .snapshot = &process->snapshot,
        .symbols = symbols,
        .before = before,
        .figures = figures_of(&process->snapshot),
        .report = ret_report,
    };

    ret_report->count = 0;
    ret_report->is_too_small = c.figures.committed_bytes < DOCTOR_SMALL_BYTES;
    for (size_t i = 0; !ret_report->is_too_small && doctor_rules[i] != NULL; i++) {
        doctor_rules[i](&c);
    }
    for (uint32_t i = 0; i < ret_report->count; i++) {
        (void)cli_make_printable(ret_report->finding[i].text); /* it has names of the process */
    }
    qsort(ret_report->finding, ret_report->count, sizeof(ret_report->finding[0]), compare_findings);
}
