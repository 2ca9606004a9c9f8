/*
 * `quarry tsdb test`: runs scripts of PromQL: series, expressions, what is expected of them.
 */
#include <cli/cmd_tsdb.h>

#include <cli/json_write.h>
#include <cli/options.h>

#include <promql/promql.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define COMMAND "tsdb"
/* Bytes of a script. Prometheus' longest has 130 KiB. */
#define SCRIPT_BYTES_MAX ((size_t)64 * 1024 * 1024)
/* Folders in folders. */
#define FOLDER_DEPTH_MAX 16u
/* What a script and its queries may have. */
#define MEMORY_BYTES (UINT64_C(1) << 30)

static const char tsdb_help[] =
    "usage: quarry tsdb test [--json] [--as-written] [--quiet] FILE|FOLDER...\n"
    "\n"
    "Runs scripts of PromQL in the language of Prometheus' own tests: load, eval, expect. Of a\n"
    "folder, all files that end in .test. Each evaluation is a case; what fails is shown with its\n"
    "place, what was expected and what came of it.\n"
    "\n"
    "An instant query is evaluated in other ways as well that have to give the same: with @ in "
    "its\n"
    "selectors at other times, and as a step of a range.\n"
    "\n"
    "  --as-written            leaves the other ways out\n"
    "  --json                  one object a line for each file and each case that failed\n"
    "  --quiet                 prints the last line alone\n"
    "\n"
    "Exit status: 1 when a case failed or a file could not be read.\n";

struct test_run {
    bool is_json, is_quiet, only_as_written;
    struct quarry_account *account;
    struct quarry_pool *pool;
    uint32_t file_count, unread_count;
    struct promql_script_counts counts;
};

/* One file being run. */
struct test_file {
    struct test_run *run;
    const char *path;
};

/* ---- what is printed ------------------------------------------------------------------------ */

static void print_failed_json(const char *path, const struct promql_script_case *done)
{
    struct json json = json_begin(stdout);

    json_object(&json, NULL);
    json_string(&json, "file", path);
    json_u64(&json, "line", done->line);
    json_string(&json, "command", done->text);
    json_string(&json, "failure", done->seen);
    json_object_end(&json);
    json_finish(&json);
}

static void print_case(void *argument, const struct promql_script_case *done)
{
    const struct test_file *file = argument;

    if (done->seen == NULL || file->run->is_quiet) {
        return;
    }
    if (file->run->is_json) {
        print_failed_json(file->path, done);
    } else {
        printf("%s:%u: %s\n    %s\n", file->path, done->line, done->text, done->seen);
    }
}

static void print_counts_json(const char *path, const struct promql_script_counts *counts)
{
    struct json json = json_begin(stdout);

    json_object(&json, NULL);
    json_string(&json, "file", path);
    json_u64(&json, "cases", counts->case_count);
    json_u64(&json, "failed", counts->failed_count);
    json_u64(&json, "queries", counts->query_count);
    json_object_end(&json);
    json_finish(&json);
}

static void print_file(const struct test_run *run, const char *path,
                       const struct promql_script_counts *counts)
{
    if (run->is_quiet) {
        return;
    }
    if (run->is_json) {
        print_counts_json(path, counts);
    } else {
        printf("%-60s %6llu of %llu\n", path,
               (unsigned long long)(counts->case_count - counts->failed_count),
               (unsigned long long)counts->case_count);
    }
}

static void print_sum(const struct test_run *run)
{
    if (!run->is_json) {
        printf("%llu of %llu cases in %u files, %llu queries\n",
               (unsigned long long)(run->counts.case_count - run->counts.failed_count),
               (unsigned long long)run->counts.case_count, run->file_count,
               (unsigned long long)run->counts.query_count);
    }
}

/* ---- files ---------------------------------------------------------------------------------- */

/* Reads a whole file. Returns: own, free it; NULL: stderr says why. */
static char *read_file(const char *path, size_t *ret_count)
{
    FILE *file = fopen(path, "rb");
    struct stat about;
    char *bytes = NULL;

    if (file == NULL || fstat(fileno(file), &about) != 0) {
        cli_failure(COMMAND, "%s: %s", path, strerror(errno));
    } else if (about.st_size < 0 || (uint64_t)about.st_size > SCRIPT_BYTES_MAX) {
        cli_failure(COMMAND, "%s: longer than %zu bytes", path, SCRIPT_BYTES_MAX);
    } else {
        bytes = malloc((size_t)about.st_size + 1);
    }
    if (bytes != NULL) {
        *ret_count = fread(bytes, 1, (size_t)about.st_size, file);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return bytes;
}

static void run_file(struct test_run *run, const char *path)
{
    struct test_file file = {.run = run, .path = path};
    const struct promql_script_options options = {.account = run->account,
                                                  .pool = run->pool,
                                                  .only_as_written = run->only_as_written,
                                                  .report = print_case,
                                                  .argument = &file};
    struct promql_script_counts counts;
    size_t count;
    char *text = read_file(path, &count);

    if (text == NULL) {
        run->unread_count++;
        return;
    }
    if (promql_script_run(&options, (struct quarry_tsdb_slice){.bytes = text, .count = count},
                          &counts) != QUARRY_OK) {
        cli_failure(COMMAND, "%s: no memory", path);
        run->unread_count++;
    }
    free(text);
    run->file_count++;
    run->counts.case_count += counts.case_count;
    run->counts.failed_count += counts.failed_count;
    run->counts.query_count += counts.query_count;
    print_file(run, path, &counts);
}

static bool is_script(const char *name)
{
    const size_t count = strlen(name);

    return count > 5 && strcmp(name + count - 5, ".test") == 0;
}

static void run_path(struct test_run *run, const char *path, uint32_t depth);

/* What a folder has, in the order of names. */
static void run_folder(struct test_run *run, const char *path, uint32_t depth)
{
    struct dirent **entries;
    int count = depth < FOLDER_DEPTH_MAX ? scandir(path, &entries, NULL, alphasort) : -1;

    if (count < 0) {
        cli_failure(COMMAND, "%s: cannot be read as a folder", path);
        run->unread_count++;
        return;
    }
    for (int i = 0; i < count; i++) {
        char inner[4096];
        const char *name = entries[i]->d_name;
        const bool fits =
            (size_t)snprintf(inner, sizeof(inner), "%s/%s", path, name) < sizeof(inner);

        if (fits && name[0] != '.' && (entries[i]->d_type == DT_DIR || is_script(name))) {
            run_path(run, inner, depth + 1);
        }
        free(entries[i]);
    }
    free(entries);
}

static void run_path(struct test_run *run, const char *path, uint32_t depth)
{
    struct stat about;

    if (stat(path, &about) == 0 && S_ISDIR(about.st_mode)) {
        run_folder(run, path, depth);
    } else {
        run_file(run, path);
    }
}

/* ---- test ----------------------------------------------------------------------------------- */

static int run_paths(struct test_run *run, int count, char **paths)
{
    const struct quarry_memory_options options = {.limit_bytes = MEMORY_BYTES,
                                                  .has_no_thread = true};
    const struct quarry_account_options account_options = {.name = "promql"};
    struct quarry_memory *memory;
    struct quarry_lifetime *lifetime;
    struct quarry_error error = {0};

    if (quarry_memory_create(&options, &memory, &error) != QUARRY_OK) {
        return cli_failure(COMMAND, "%s", error.text);
    }
    if (quarry_account_create(memory, &account_options, &run->account, &error) != QUARRY_OK ||
        quarry_lifetime_begin(memory, "promql", &lifetime, &error) != QUARRY_OK ||
        quarry_pool_create(lifetime, quarry_account_owner(run->account), &run->pool) != QUARRY_OK) {
        quarry_memory_destroy(memory);
        return cli_failure(COMMAND, "%s", error.text);
    }
    for (int i = 0; i < count; i++) {
        run_path(run, paths[i], 0);
    }
    print_sum(run);
    quarry_lifetime_end(lifetime);
    quarry_account_destroy(run->account);
    quarry_memory_destroy(memory);
    if (run->counts.failed_count > 0 || run->unread_count > 0) {
        return CLI_FAILED;
    }
    return cli_finish_output(COMMAND);
}

int tsdb_run_test(int argument_count, char **arguments)
{
    struct test_run run = {.is_json = false};
    int at = 1;

    if (argument_count > 1 &&
        (strcmp(arguments[1], "--help") == 0 || strcmp(arguments[1], "-h") == 0)) {
        fputs(tsdb_help, stdout);
        return cli_finish_output(COMMAND);
    }
    for (; at < argument_count && arguments[at][0] == '-'; at++) {
        if (strcmp(arguments[at], "--json") == 0) {
            run.is_json = true;
        } else if (strcmp(arguments[at], "--as-written") == 0) {
            run.only_as_written = true;
        } else if (strcmp(arguments[at], "--quiet") == 0) {
            run.is_quiet = true;
        } else {
            return cli_usage_error(COMMAND, "test has no option '%s'", arguments[at]);
        }
    }
    if (at == argument_count) {
        return cli_usage_error(COMMAND, "test: no files given");
    }
    return run_paths(&run, argument_count - at, arguments + at);
}
