/*
 * `quarry run -- COMMAND`: runs a program on Quarry's malloc, and reports on its heap at the end.
 *
 *   environment      LD_PRELOAD, QUARRY_MALLOC                preload
 *   the program      started, signalled, watched, waited for  run_child
 *   the report       its last statistics                      run_report
 */
#include <cli/cli.h>
#include <cli/options.h>
#include <cli/preload.h>
#include <cli/run_child.h>
#include <cli/run_report.h>

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char run_help[] =
    "usage: quarry run [OPTION...] [--] COMMAND [ARGUMENT...]\n"
    "\n"
    "Runs a program on Quarry's malloc. Its heap can be looked at meanwhile: quarry top, heap, map "
    "and\n"
    "doctor take its process number, or that of `quarry run`.\n"
    "\n"
    "  --limit BYTES    its memory never passes this, like 512M; allocations fail instead\n"
    "  --report[=FILE]  at its end reports on its memory: peak, what was wasted and why, the "
    "stacks\n"
    "                   that held most and those that pinned most; on stderr, or into FILE\n"
    "  --sample BYTES   samples an allocation every so many bytes on average (512K); 0: none\n"
    "  --hardened       checks objects when they are freed, and clears them\n"
    "\n"
    "QUARRY_MALLOC of the environment holds too; options given here win.\n"
    "\n"
    "Exit status: that of the program, or 128 and the number of the signal that ended it; 127 when "
    "there\n"
    "is no such program, 126 when it cannot be run; 1 when the library is missing; 2 for a wrong\n"
    "command line.\n";

struct command_options {
    struct preload_options preload;
    const char *report_path; /* NULL: stderr */
    char **arguments;        /* of the program */
};

/* ---- options -------------------------------------------------------------------------------- */

enum option_code { OPTION_LIMIT = 256, OPTION_REPORT, OPTION_SAMPLE, OPTION_HARDENED };

static const struct option long_options[] = {
    {"limit", required_argument, NULL, OPTION_LIMIT},
    {"report", optional_argument, NULL, OPTION_REPORT},
    {"sample", required_argument, NULL, OPTION_SAMPLE},
    {"hardened", no_argument, NULL, OPTION_HARDENED},
    {NULL, 0, NULL, 0},
};

static int set_limit(struct command_options *options)
{
    int code = option_bytes("run", "--limit", optarg, &options->preload.limit_bytes);

    if (code == CLI_OK && options->preload.limit_bytes == 0) {
        return cli_usage_error("run", "--limit takes more than 0 bytes");
    }
    return code;
}

static int set_option(struct command_options *options, int code, const char *given)
{
    switch (code) {
    case OPTION_LIMIT:
        return set_limit(options);
    case OPTION_REPORT:
        options->preload.is_reporting = true;
        options->report_path = optarg;
        return CLI_OK;
    case OPTION_SAMPLE:
        options->preload.has_sample = true;
        return option_bytes("run", "--sample", optarg, &options->preload.sample_mean_bytes);
    case OPTION_HARDENED:
        options->preload.is_hardened = true;
        return CLI_OK;
    case ':':
        return cli_usage_error("run", "'%s' takes a value", given);
    default:
        return cli_usage_error("run", "there is no option '%s'", given);
    }
}

static int parse_options(int argument_count, char **arguments, struct command_options *options)
{
    int status = CLI_OK, code = 0;

    *options = (struct command_options){0};
    opterr = 0;
    /* '+': options end where the program begins. */
    while (status == CLI_OK &&
           (code = getopt_long(argument_count, arguments, "+:", long_options, NULL)) != -1) {
        status = set_option(options, code, arguments[optind - 1]);
    }
    if (status == CLI_OK && optind == argument_count) {
        return cli_usage_error("run", "a program is missing");
    }
    options->arguments = arguments + optind;
    return status;
}

/* ---- running -------------------------------------------------------------------------------- */

/* Opened before the program runs: one that takes hours shall not end without its report. */
static FILE *open_report(const char *path)
{
    FILE *file = path != NULL ? fopen(path, "we") : stderr;

    if (file == NULL) {
        (void)cli_failure("run", "%s: %s", path, strerror(errno));
    }
    return file;
}

/* A report that fails is said, and changes nothing about how the program ended. */
static void write_report(FILE *file, const struct command_options *options,
                         struct run_report *run_report, uint32_t pid,
                         const struct run_outcome *outcome)
{
    const char *path = options->report_path != NULL ? options->report_path : "stderr";
    enum quarry_status status =
        run_report_print(file, run_report, options->arguments[0], pid, outcome);

    if (status != QUARRY_OK) {
        (void)cli_failure("run", "no memory for a report");
    }
    if (fflush(file) != 0 || ferror(file)) {
        (void)cli_failure("run", "%s: %s", path, strerror(errno));
    }
}

static int exec_exit_code(enum quarry_status status)
{
    switch ((int)status) {
    case QUARRY_NOT_FOUND:
        return RUN_NOT_FOUND;
    case QUARRY_PERMISSION:
    case QUARRY_IO:
        return RUN_NOT_EXECUTABLE;
    default:
        return CLI_FAILED;
    }
}

static int run_program(const struct command_options *options, FILE *report_file)
{
    struct run_report run_report = {0};
    const struct run_options run = {
        .arguments = options->arguments,
        .tick = report_file != NULL ? run_report_tick : NULL,
        .argument = &run_report,
    };
    struct quarry_error error = {0};
    struct run_outcome outcome;
    uint32_t pid;

    Q_ASSERT(options->arguments != NULL); /* parse_options saw to it */
    enum quarry_status status = run_child(&run, &pid, &outcome, &error);

    if (status != QUARRY_OK) {
        (void)cli_failure("run", "%s", error.text);
        return exec_exit_code(status);
    }
    if (report_file != NULL) {
        write_report(report_file, options, &run_report, pid, &outcome);
    }
    run_report_fini(&run_report);
    return outcome.exit_code;
}

static int run_run(int argument_count, char **arguments)
{
    struct command_options options;
    struct quarry_error error = {0};
    FILE *report_file = NULL;
    int code = parse_options(argument_count, arguments, &options);

    if (code != CLI_OK) {
        return code;
    }
    if (preload_set(&options.preload, &error) != QUARRY_OK) {
        return cli_failure("run", "%s", error.text);
    }
    if (options.preload.is_reporting) {
        report_file = open_report(options.report_path);
        if (report_file == NULL) {
            return CLI_FAILED;
        }
    }
    code = run_program(&options, report_file);
    if (report_file != NULL && report_file != stderr) {
        (void)fclose(report_file); /* flushed, and checked, before */
    }
    return code;
}

const struct cli_command cli_command_run = {
    .name = "run",
    .summary = "runs a program on Quarry's malloc, and reports on its heap",
    .help = run_help,
    .run = run_run,
};
