/*
 * `quarry heap PID`: the figures of a process' heap as tables, as JSON, or as a profile for pprof.
 *
 *   (nothing)        ledger, waste, rows, classes, stacks            heap_text
 *   --profile KIND   the stacks of that profile instead
 *   --json           all of it as one object                         heap_json
 *   --pprof FILE     the profile as pprof reads it                   profile
 *   --cpu FILE       samples of CPU time instead of the heap's, for --pprof
 *   --symbol LIST    names of addresses, as pprof asks for them
 *   --sample BYTES   changes the mean distance between samples, in the process, at once
 */
#include <cli/account_text.h>
#include <cli/cli.h>
#include <cli/heap_json.h>
#include <cli/heap_text.h>
#include <cli/options.h>
#include <cli/process.h>
#include <cli/profile.h>

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TOP_DEFAULT 10u
#define TOP_MAX     16384u
#define FRAMES_MAX  8u

static const char heap_help[] =
    "usage: quarry heap PID [--profile KIND] [--top N] [--json]\n"
    "       quarry heap PID --pprof FILE [--profile KIND]\n"
    "       quarry heap PID --pprof FILE --cpu FILE\n"
    "       quarry heap PID --symbol ADDRESS[+ADDRESS...]\n"
    "       quarry heap PID --sample BYTES\n"
    "\n"
    "Shows what a process under Quarry's malloc does with its memory: the ledger, what is wasted "
    "and\n"
    "why, owners and lifetimes, size classes, and the call stacks that hold most.\n"
    "\n"
    "  --profile KIND  heap           stacks by what is alive (the default)\n"
    "                  allocs         stacks by what they ever allocated\n"
    "                  lifetimes      how old objects are when they are freed\n"
    "                  fragmentation  stacks by the free memory that their objects pin\n"
    "  --top N         stacks and classes in a table (10); of JSON: stacks in a list, 0 to look "
    "no\n"
    "                  names up\n"
    "  --json          one object on one line\n"
    "  --pprof FILE    writes the profile for pprof: gzipped protobuf; '-' is stdout\n"
    "  --cpu FILE      the profile is of CPU time: samples that a server took; '-' is stdin\n"
    "  --symbol LIST   the functions at addresses, a line each: ADDRESS NAME\n"
    "  --sample BYTES  from now on the process samples every so many bytes on average, like 512K;\n"
    "                  0 stops sampling\n"
    "\n"
    "Figures of stacks are estimates from samples; all others are counted.\n"
    "\n"
    "Exit status: 0; 1 when something cannot be written; 2 for a wrong command line; 4 when there "
    "is\n"
    "no such process, it does not run under Quarry, or it may not be looked at.\n";

struct heap_options {
    const char *pid;
    const char *pprof;  /* NULL: none */
    const char *cpu;    /* NULL: it is the heap's */
    const char *symbol; /* NULL: none are asked for */
    const char *sample; /* NULL: as it is */
    uint64_t sample_mean_bytes;
    uint32_t top;
    enum profile_kind kind;
    bool has_kind, is_json;
};

/* ---- options -------------------------------------------------------------------------------- */

enum option_code {
    OPTION_PPROF = 256,
    OPTION_PROFILE,
    OPTION_JSON,
    OPTION_TOP,
    OPTION_SYMBOL,
    OPTION_CPU,
    OPTION_SAMPLE
};

static const struct option long_options[] = {
    {"pprof", required_argument, NULL, OPTION_PPROF},
    {"profile", required_argument, NULL, OPTION_PROFILE},
    {"json", no_argument, NULL, OPTION_JSON},
    {"top", required_argument, NULL, OPTION_TOP},
    {"cpu", required_argument, NULL, OPTION_CPU},
    {"symbol", required_argument, NULL, OPTION_SYMBOL},
    {"sample", required_argument, NULL, OPTION_SAMPLE},
    {NULL, 0, NULL, 0},
};

static int set_kind(struct heap_options *options, const char *name)
{
    for (uint32_t kind = 0; kind < PROFILE_KINDS; kind++) {
        if (strcmp(profile_kind_names[kind], name) == 0) {
            options->kind = (enum profile_kind)kind;
            options->has_kind = true;
            return CLI_OK;
        }
    }
    return cli_usage_error("heap",
                           "--profile is heap, allocs, lifetimes or fragmentation, not '%s'", name);
}

static int set_option(struct heap_options *options, int code, const char *given)
{
    switch (code) {
    case OPTION_PPROF:
        options->pprof = optarg;
        return CLI_OK;
    case OPTION_PROFILE:
        return set_kind(options, optarg);
    case OPTION_JSON:
        options->is_json = true;
        return CLI_OK;
    case OPTION_TOP:
        return option_count("heap", "--top", optarg, 0, TOP_MAX, &options->top);
    case OPTION_CPU:
        options->cpu = optarg;
        return CLI_OK;
    case OPTION_SYMBOL:
        options->symbol = optarg;
        return CLI_OK;
    case OPTION_SAMPLE:
        options->sample = optarg;
        return option_bytes("heap", "--sample", optarg, &options->sample_mean_bytes);
    case ':':
        return cli_usage_error("heap", "'%s' takes a value", given);
    default:
        return cli_usage_error("heap", "there is no option '%s'", given);
    }
}

static int check_options(const struct heap_options *options, int pid_count)
{
    if (pid_count != 1) {
        return cli_usage_error("heap", pid_count == 0 ? "a process number is missing"
                                                      : "one process at a time");
    }
    if (options->pprof != NULL && options->is_json) {
        return cli_usage_error("heap", "either --pprof or --json");
    }
    if (options->cpu != NULL && (options->pprof == NULL || options->has_kind)) {
        return cli_usage_error("heap", "--cpu goes with --pprof, and without --profile");
    }
    if (options->symbol != NULL &&
        (options->pprof != NULL || options->is_json || options->has_kind)) {
        return cli_usage_error("heap", "--symbol goes alone");
    }
    if (options->sample != NULL && (options->pprof != NULL || options->is_json ||
                                    options->has_kind || options->symbol != NULL)) {
        return cli_usage_error("heap", "--sample goes alone: it changes, and shows nothing");
    }
    return CLI_OK;
}

static int parse_options(int argument_count, char **arguments, struct heap_options *options)
{
    int status = CLI_OK, code = 0;

    *options = (struct heap_options){.top = TOP_DEFAULT};
    opterr = 0;
    while (status == CLI_OK &&
           (code = getopt_long(argument_count, arguments, ":", long_options, NULL)) != -1) {
        status = set_option(options, code, arguments[optind - 1]);
    }
    if (status != CLI_OK) {
        return status;
    }
    options->pid = arguments[optind];
    return check_options(options, argument_count - optind);
}

/* ---- showing -------------------------------------------------------------------------------- */

static void print_title(const struct process *process)
{
    const struct mem_stats_head *head = process->snapshot.head;
    char mean[SIZE_TEXT_BYTES];

    printf("process %u: %s\n", process->pid, process->title);
    if (process->is_stale) {
        printf("It has not answered yet: these figures are %.1f s old.\n",
               (double)process->age_ns / (double)Q_SECOND_NS);
    }
    if (head->sample_mean_bytes == 0) {
        printf("Sampling is off: 'quarry heap %u --sample 512K' turns it on.\n", process->pid);
    } else {
        printf("%" PRIu64 " allocations sampled, one in %s; %u of them are alive\n",
               head->sampled_count, size_format(head->sample_mean_bytes, mean),
               process->snapshot.sample_count);
    }
}

static enum quarry_status print_stacks(const struct heap_options *options,
                                       const struct process *process, struct symbols *symbols)
{
    const struct mem_stats_snapshot *snapshot = &process->snapshot;

    switch (options->kind) {
    case PROFILE_HEAP:
        puts("\nlargest stacks, by what is alive");
        return heap_text_stacks(stdout, snapshot, symbols, STACKS_BY_LIVE, options->top,
                                FRAMES_MAX);
    case PROFILE_ALLOCS:
        puts("\nstacks by what they allocated since the start");
        return heap_text_stacks(stdout, snapshot, symbols, STACKS_BY_ALLOC, options->top,
                                FRAMES_MAX);
    case PROFILE_LIFETIMES:
        puts("\nages, of the stacks that allocated most");
        return heap_text_lifetimes(stdout, snapshot, symbols, options->top);
    case PROFILE_FRAGMENTATION:
        puts("\nstacks by the free memory in spans under half full that their objects pin");
        return heap_text_stacks(stdout, snapshot, symbols, STACKS_BY_PINNED, options->top,
                                FRAMES_MAX);
    case PROFILE_KINDS:
        break;
    }
    Q_UNREACHABLE();
}

static enum quarry_status print_text(const struct heap_options *options,
                                     const struct process *process, struct symbols *symbols)
{
    const struct mem_stats_snapshot *snapshot = &process->snapshot;

    print_title(process);
    if (!options->has_kind) {
        putchar('\n');
        heap_text_ledger(stdout, snapshot);
        puts("\nowners and lifetimes, most fragmented first");
        heap_text_rows(stdout, snapshot);
        if (account_text_has_budget(snapshot)) {
            puts("\nthe budget");
            heap_text_accounts(stdout, snapshot);
        }
        puts("\nsize classes, most waste first");
        heap_text_classes(stdout, snapshot, options->top);
    }
    enum quarry_status status = print_stacks(options, process, symbols);
    if (status == QUARRY_OK && !options->has_kind && snapshot->totals->pinned_span_bytes > 0) {
        puts("\npinning stacks, by the free memory in spans under half full");
        status =
            heap_text_stacks(stdout, snapshot, symbols, STACKS_BY_PINNED, options->top, FRAMES_MAX);
    }
    return status;
}

/* A line for each address that has a name. Returns: false: the list is none of addresses. */
static bool print_symbols(const char *list, struct symbols *symbols)
{
    while (*list != '\0') {
        char *end;
        uint64_t pc = strtoull(list, &end, 16);
        const struct symbol_place *place = symbols_find(symbols, pc);

        if (end == list || (*end != '\0' && *end != '+')) {
            return false;
        }
        if (place->count > 0 && place->symbol[place->count - 1].function != NULL) {
            printf("0x%" PRIx64 " %s\n", pc, place->symbol[place->count - 1].function);
        }
        list = *end == '+' ? end + 1 : end;
    }
    return true;
}

static int show(const struct heap_options *options, const struct process *process)
{
    struct quarry_error error = {0};
    struct symbols *symbols;
    enum quarry_status status = symbols_create(&process->snapshot, process->pid, &symbols);

    if (status != QUARRY_OK) {
        return cli_failure("heap", "no memory for symbols");
    }
    if (options->symbol != NULL) {
        if (!print_symbols(options->symbol, symbols)) {
            (void)snprintf(error.text, sizeof error.text, "--symbol is addresses like 0x1a+0x2b");
            status = QUARRY_BAD_INPUT;
        }
    } else if (options->cpu != NULL) {
        status = profile_write_cpu(options->pprof, options->cpu, process, symbols, &error);
    } else if (options->pprof != NULL) {
        status = profile_write(options->pprof, options->kind, process, symbols, &error);
    } else if (options->is_json) {
        status = heap_json_print(stdout, process, symbols, "heap", options->top);
    } else {
        status = print_text(options, process, symbols);
    }
    symbols_destroy(symbols);
    if (status != QUARRY_OK) {
        return cli_failure("heap", "%s",
                           error.text[0] != '\0' ? error.text : quarry_status_text(status));
    }
    return cli_finish_output("heap");
}

static int change_sampling(const struct heap_options *options, struct process *process)
{
    struct quarry_error error = {0};

    if (mem_stats_write_sample_mean(&process->reader, options->sample_mean_bytes, &error) !=
        QUARRY_OK) {
        return cli_failure("heap", "%s", error.text);
    }
    return CLI_OK;
}

static int run_heap(int argument_count, char **arguments)
{
    struct heap_options options;
    struct process process;
    int code = parse_options(argument_count, arguments, &options);

    if (code == CLI_OK) {
        code = process_open("heap", options.pid, &process);
    }
    if (code != CLI_OK) {
        return code;
    }
    if (options.sample != NULL) {
        code = change_sampling(&options, &process);
    } else {
        code = process_confine("heap");
        if (code == CLI_OK) {
            code = process_refresh(&process);
        }
        if (code == CLI_OK) {
            code = process_check_figures(&process);
        }
        if (code == CLI_OK) {
            code = show(&options, &process);
        }
    }
    process_close(&process);
    return code;
}

const struct cli_command cli_command_heap = {
    .name = "heap",
    .summary = "shows the heap of a process: tables, JSON, profiles for pprof",
    .help = heap_help,
    .run = run_heap,
};
