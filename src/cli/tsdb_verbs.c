/*
 * The verbs of `quarry tsdb`: their names, what they take, and what their help says.
 */
#include <cli/cmd_tsdb.h>

#define ANYWHERE TSDB_TAKES_ANYWHERE
#define RANGE    TSDB_TAKES_RANGE
#define MATCH    TSDB_TAKES_MATCH
#define LIMIT    TSDB_TAKES_LIMIT
#define JSON     TSDB_TAKES_JSON

const struct tsdb_verb tsdb_verbs[] = {
    {.name = "query",
     .group = "Asking",
     .usage = "EXPR",
     .summary = "evaluates an expression at a time",
     .help =
         "Of a directory, the time is that of its newest sample unless --time says otherwise.\n",
     .words_min = 1,
     .words_max = 1,
     .takes = ANYWHERE | TSDB_TAKES_TIME | LIMIT | JSON,
     .run = tsdb_run_query},
    {.name = "range",
     .usage = "EXPR",
     .summary = "evaluates an expression over times, and draws it",
     .help = "The hour before --end, unless --start says otherwise, in as many steps as there is\n"
             "room for. --table prints the values instead.\n",
     .words_min = 1,
     .words_max = 1,
     .takes =
         ANYWHERE | RANGE | TSDB_TAKES_STEP | TSDB_TAKES_PLOT | TSDB_TAKES_ASCII | LIMIT | JSON,
     .run = tsdb_run_range},
    {.name = "series",
     .group = "Looking",
     .usage = "[SELECTOR...]",
     .summary = "lists series, by selectors such as 'up{job=\"node\"}'",
     .words_max = TSDB_MATCHES_MAX,
     .takes = ANYWHERE | RANGE | MATCH | LIMIT | JSON,
     .run = tsdb_run_series},
    {.name = "labels",
     .usage = "[NAME]",
     .summary = "lists names of labels, or the values of one",
     .words_max = 1,
     .takes = ANYWHERE | RANGE | MATCH | LIMIT | JSON,
     .run = tsdb_run_labels},
    {.name = "top",
     .usage = "",
     .summary = "says which metrics and labels make the most series",
     .takes = ANYWHERE | LIMIT | JSON,
     .run = tsdb_run_top},
    {.name = "windows",
     .usage = "",
     .summary = "draws the windows, with their samples and memory",
     .help = "Memory is what is charged; slack is what of it holds nothing.\n",
     .takes = ANYWHERE | TSDB_TAKES_ASCII | JSON,
     .run = tsdb_run_windows},
    {.name = "verify",
     .group = "Keeping safe",
     .usage = "",
     .summary = "reads every byte of a directory, and says what is damaged",
     .help = "Nothing is written. Each damage is a line on stderr: the file, the bytes, the times\n"
             "and, where it is known, the samples that are lost.\n",
     .takes = TSDB_TAKES_DIRECTORY | JSON,
     .run = tsdb_run_verify},
    {.name = "snapshot",
     .usage = "[NEW_DIR]",
     .summary = "copies a store that can be opened elsewhere",
     .help = "Of a directory, into NEW_DIR, which is not there yet; sealed windows are linked. A\n"
             "server makes one itself, where its administration is open, and says what it is\n"
             "called.\n",
     .words_max = 1,
     .takes = ANYWHERE | JSON,
     .run = tsdb_run_snapshot},
    {.name = "import",
     .group = "Moving",
     .usage = "FILE|DIR|-",
     .summary = "brings samples from text, blocks and Prometheus' directories",
     .help =
         "Text 0.0.4, OpenMetrics (files that end in '# EOF'), a block of Prometheus, or its data\n"
         "directory with all blocks and the log. Samples come in the order of time, a window\n"
         "after the other. What is older than --windows windows before the newest sample is left\n"
         "out, and so is what the store refuses; both are counted by reason. What is damaged is\n"
         "named, and the rest goes on unless --stop.\n"
         "\n"
         "To a server, samples go as pages of text, without histograms and stale markers.\n",
     .words_min = 1,
     .words_max = 1,
     .takes = ANYWHERE | TSDB_TAKES_IMPORT | JSON,
     .run = tsdb_run_import},
    {.name = "export",
     .usage = "blocks DIR|openmetrics [FILE]",
     .summary = "writes Prometheus' blocks of two hours, or OpenMetrics",
     .help = "Blocks are what promtool, Prometheus and Thanos take; DIR is made if it is not "
             "there.\n"
             "OpenMetrics has floats alone and no stale markers: what is left out is counted.\n",
     .words_min = 1,
     .words_max = 2,
     .takes = TSDB_TAKES_DIRECTORY | RANGE | MATCH | JSON,
     .run = tsdb_run_export},
    {.name = "test",
     .group = "Testing",
     .usage = "FILE|FOLDER...",
     .summary = "runs scripts of PromQL",
     .run_own = tsdb_run_test},
};
const size_t tsdb_verb_count = sizeof tsdb_verbs / sizeof tsdb_verbs[0];
