/* Prints findings, all in one form. */
#include "layers/layers.h"

void layers_find(struct layers_report *report, const char *file, unsigned line, const char *what,
                 const char *rule, const char *remedy)
{
    report->finding_count++;
    if (line > 0) {
        fprintf(report->out, "%s:%u: %s\n", file, line, what);
    } else {
        fprintf(report->out, "%s: %s\n", file, what);
    }
    fprintf(report->out, "    rule: %s\n    do:   %s\n", rule, remedy);
}
