/*
 * Reading the command line of a sheet. The rules are those of bench/command_line.c.
 */
#include <bench/sheet_options.h>

#include <getopt.h>
#include <string.h>

#include <base/base.h>

#include <bench/command_line.h>

#define ROUNDS_DEFAULT 5u
#define ROUNDS_QUICK   1u

enum option_key {
    KEY_JSON = 256,
    KEY_QUICK,
    KEY_AGAINST,
    KEY_INSTRUCTIONS,
    KEY_ROUNDS,
    KEY_ROWS,
};

static const struct option long_options[] = {
    {"json", no_argument, NULL, KEY_JSON},
    {"quick", no_argument, NULL, KEY_QUICK},
    {"against", required_argument, NULL, KEY_AGAINST},
    {"instructions", no_argument, NULL, KEY_INSTRUCTIONS},
    {"rounds", required_argument, NULL, KEY_ROUNDS},
    {"row", required_argument, NULL, KEY_ROWS},
    {"rows", required_argument, NULL, KEY_ROWS},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* What is being filled in, and whose names --against knows. */
struct parse {
    struct bench_sheet_options options;
    const struct bench_column *column;
    size_t column_count;
};

static const struct bench_column *named_columns;

static const char *column_name(size_t index)
{
    return named_columns[index].name;
}

static enum quarry_status apply(void *context, int key, const char *value,
                                struct quarry_error *error)
{
    struct parse *parse = context;
    struct bench_sheet_options *options = &parse->options;
    enum quarry_status status = QUARRY_OK;
    uint64_t number = 0;

    switch (key) {
    case KEY_JSON:
        options->is_json = true;
        break;
    case KEY_INSTRUCTIONS:
        options->has_instructions = true;
        break;
    case 'h':
        options->is_help = true;
        break;
    case KEY_ROWS:
        options->row_pattern = value;
        break;
    case KEY_AGAINST:
        named_columns = parse->column;
        return bench_command_line_against(value, column_name, parse->column_count,
                                          options->is_wanted, error);
    case KEY_ROUNDS:
        status = bench_command_line_number("rounds", value, 1, BENCH_SHEET_ROUNDS, &number, error);
        options->round_count = status == QUARRY_OK ? (size_t)number : options->round_count;
        break;
    default:
        break;
    }
    return status;
}

enum quarry_status bench_sheet_options_parse(int argc, char **argv,
                                             const struct bench_column *column, size_t column_count,
                                             struct bench_sheet_options *ret_options,
                                             struct quarry_error *error)
{
    bool is_quick = bench_command_line_has_quick(argc, argv);
    struct parse parse = {
        .options = {.is_quick = is_quick,
                    .round_count = is_quick ? ROUNDS_QUICK : ROUNDS_DEFAULT,
                    .row_pattern = "*"},
        .column = column,
        .column_count = column_count,
    };

    Q_ASSERT(column_count <= BENCH_COLUMNS_MAX);
    for (size_t i = 0; i < column_count; i++) {
        parse.options.is_wanted[i] = !column[i].is_unusual;
    }
    enum quarry_status status =
        bench_command_line_walk(argc, argv, long_options, apply, &parse, error);
    if (status == QUARRY_OK) {
        *ret_options = parse.options;
    }
    return status;
}

struct bench_sheet bench_sheet_of(const char *bench, const struct bench_column *column,
                                  size_t column_count, const struct bench_sheet_options *options)
{
    struct bench_sheet sheet = {
        .bench = bench,
        .column = column,
        .column_count = column_count,
        .file = stdout,
        .is_json = options->is_json,
        .is_quick = options->is_quick,
        .round_count = options->round_count,
    };

    memcpy(sheet.is_wanted, options->is_wanted, sizeof sheet.is_wanted);
    return sheet;
}

void bench_sheet_options_help(FILE *file, bool has_instructions)
{
    (void)fputs("OPTIONS\n"
                "    --json              one JSON object a line instead of tables\n"
                "    --quick             small caches and short loops, one round: do they work\n"
                "    --against LIST      subjects beside Quarry, apart by commas\n"
                "    --rows PATTERN      rows whose name matches, as the shell matches file names\n"
                "    --rounds N          rounds (5; 1 with --quick)\n",
                file);
    if (has_instructions) {
        (void)fputs(
            "    --instructions      instructions instead of times, of some rows of one thread: "
            "two\n"
            "                        runs of different length under valgrind --tool=callgrind, "
            "their\n"
            "                        difference divided. User mode only, sizes of --quick\n",
            file);
    }
    (void)fputc('\n', file);
}

/* ---- the program ---------------------------------------------------------------------------- */

static enum quarry_status read_line(const struct bench_sheet_program *program, int *argc,
                                    char **argv, struct bench_sheet_options *ret_options,
                                    struct quarry_error *error)
{
    enum quarry_status status =
        program->take == NULL ? QUARRY_OK : program->take(argc, argv, error);

    if (status == QUARRY_OK) {
        status = bench_sheet_options_parse(*argc, argv, program->column, program->column_count,
                                           ret_options, error);
    }
    if (status == QUARRY_OK && ret_options->has_instructions && !program->has_instructions) {
        return error_set(error, QUARRY_BAD_INPUT, "counts no instructions");
    }
    return status;
}

int bench_sheet_main(const struct bench_sheet_program *program, int argc, char **argv)
{
    static struct bench_sheet sheet;
    struct bench_sheet_options options;
    struct quarry_error error = {0};

    if (read_line(program, &argc, argv, &options, &error) != QUARRY_OK) {
        (void)fprintf(stderr, "quarry bench %s: %s; see --help\n", program->name, error.text);
        return 2;
    }
    if (options.is_help) {
        program->print_help(stdout);
        return 0;
    }
    sheet = bench_sheet_of(program->name, program->column, program->column_count, &options);
    return program->sit(&sheet, &options);
}
