/*
 * `quarry tsdb export`: a directory's samples as Prometheus' blocks, or as OpenMetrics.
 *
 * Blocks are written as a server writes them before a purge (tsdb/store_blocks). OpenMetrics wants
 * a metric's series together: names first, then the series of each.
 *
 * Locking: none.
 */
#include <cli/cmd_tsdb.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <quarry/vfs.h>

#include <cli/json_write.h>
#include <cli/progress.h>
#include <promql/promql.h>
#include <tsdb/blocks.h>
#include <tsdb/tsdb.h>

#define GRANT_BYTES Q_MIB(1)

struct export
{
    const struct tsdb_command *command;
    struct tsdb_target *target;
    struct promql_memory memory; /* of the selector */
    const struct quarry_tsdb_matcher *matchers;
    size_t matcher_count;
    int64_t min_ms, max_ms; /* both included */
    struct progress progress;
    uint64_t left_out_count, block_count;
    struct store_walk walk;

    struct tsdb_exposition_writer *writer; /* of text */
    enum quarry_status status;             /* of the names' walk */
};

/* ---- walking -------------------------------------------------------------------------------- */

/* In the form of store_walk's progress. */
static void show_progress(void *argument, uint64_t sample_count)
{
    progress_at(argument, sample_count, 0);
}

static struct quarry_tsdb_query make_query(const struct export *export,
                                           const struct quarry_tsdb_matcher *matchers, size_t count)
{
    return (struct quarry_tsdb_query){.matchers = matchers,
                                      .matcher_count = count,
                                      .min_ms = export->min_ms,
                                      .max_ms = export->max_ms};
}

/* ---- blocks --------------------------------------------------------------------------------- */

/* In the form of store_blocks' wrote. */
static void count_block(void *argument, const struct block_meta *meta)
{
    struct export *export = argument;

    export->block_count++;
    if (!export->command->is_json) {
        printf("%s  %" PRIu64 " samples of %" PRIu64 " series\n", meta->ulid, meta->sample_count,
               meta->series_count);
    }
}

static enum quarry_status write_blocks(struct export *export, struct quarry_error *error)
{
    const struct quarry_tsdb_query query =
        make_query(export, export->matchers, export->matcher_count);
    const struct store_blocks_options options = {
        .tsdb = export->target->tsdb,
        .query = &query,
        .block = {.vfs = quarry_vfs_posix(),
                  .memory = &export->target->memory.small,
                  .directory = export->command->words[1]},
        .wrote = count_block,
        .argument = export,
    };

    if (mkdir(export->command->words[1], 0777) != 0 && errno != EEXIST) {
        return error_set(error, QUARRY_IO, "%.200s: %s", export->command->words[1],
                         strerror(errno));
    }
    return store_blocks_write(&options, &export->walk, error);
}

/* ---- OpenMetrics ---------------------------------------------------------------------------- */

static void put_samples(struct export *export, const struct tsdb_labels *labels,
                        enum quarry_status *status, struct quarry_error *error)
{
    struct block_sample sample;

    while ((*status = export->walk.source.next_sample(&export->walk, &sample, error)) ==
           QUARRY_OK) {
        if (sample.histogram != NULL || sample.bits == TSDB_STALE_BITS) {
            export->left_out_count++;
            continue;
        }
        const struct tsdb_exposition_sample line = {
            .labels = *labels, .bits = sample.bits, .t_ms = sample.t_ms, .has_time = true};
        tsdb_exposition_put_sample(export->writer, &line);
    }
    *status = *status == QUARRY_NOT_FOUND ? QUARRY_OK : *status;
}

/* In the form of quarry_tsdb_name_function: the series of one metric. */
static bool put_metric(void *argument, struct quarry_tsdb_slice name)
{
    struct export *export = argument;
    struct quarry_tsdb_matcher matchers[65];
    struct quarry_error error = {0};
    struct tsdb_labels labels;
    size_t count = export->matcher_count;

    Q_ASSERT(count < 65);
    memcpy(matchers, export->matchers == NULL ? matchers : export->matchers,
           count * sizeof *matchers);
    matchers[count++] =
        (struct quarry_tsdb_matcher){QUARRY_TSDB_EQUAL, QUARRY_TSDB_TEXT("__name__"), name};
    const struct quarry_tsdb_query query = make_query(export, matchers, count);
    export->status = store_walk_begin(&export->walk, export->target->tsdb, &query,
                                      &export->target->memory.small, &error);
    if (export->status != QUARRY_OK) {
        return false;
    }
    while (export->status == QUARRY_OK && (export->status = export->walk.source.next_series(
                                               &export->walk, &labels, &error)) == QUARRY_OK) {
        put_samples(export, &labels, &export->status, &error);
    }
    export->status = export->status == QUARRY_NOT_FOUND ? QUARRY_OK : export->status;
    store_walk_end(&export->walk);
    return export->status == QUARRY_OK && export->writer->status == QUARRY_OK;
}

/* In the form of tsdb_sink. `argument`: a FILE. */
static enum quarry_status write_text(void *argument, const char *bytes, size_t byte_count)
{
    return fwrite(bytes, 1, byte_count, argument) == byte_count ? QUARRY_OK : QUARRY_IO;
}

static enum quarry_status put_text(struct export *export, FILE *file, struct quarry_error *error)
{
    const struct quarry_tsdb_query query =
        make_query(export, export->matchers, export->matcher_count);
    const struct tsdb_sink sink = {.write = write_text, .argument = file};
    struct tsdb_exposition_writer writer;

    tsdb_exposition_begin(&writer, TSDB_OPENMETRICS, &sink);
    export->writer = &writer;
    enum quarry_status status = quarry_tsdb_label_values(
        export->target->tsdb, &query, (struct quarry_tsdb_slice)QUARRY_TSDB_TEXT("__name__"),
        put_metric, export, error);
    status = status == QUARRY_OK ? export->status : status;
    const enum quarry_status written = tsdb_exposition_end(&writer);
    return status == QUARRY_OK ? written : status;
}

static enum quarry_status write_openmetrics(struct export *export, struct quarry_error *error)
{
    const bool is_file = export->command->word_count > 1;
    FILE *file = is_file ? fopen(export->command->words[1], "we") : stdout;

    if (file == NULL) {
        return error_set(error, QUARRY_IO, "%.200s: %s", export->command->words[1],
                         strerror(errno));
    }
    enum quarry_status status = put_text(export, file, error);
    if (is_file && fclose(file) != 0 && status == QUARRY_OK) {
        status =
            error_set(error, QUARRY_IO, "%.200s: %s", export->command->words[1], strerror(errno));
    }
    if (export->left_out_count > 0) {
        fprintf(stderr,
                "quarry %s: %" PRIu64 " stale markers and histograms were left out: the text has "
                "none\n",
                export->command->name, export->left_out_count);
    }
    return status;
}

/* ---- what is wanted ------------------------------------------------------------------------- */

static int read_selector(struct export *export)
{
    const struct tsdb_command *command = export->command;
    const struct promql_parse_options options = {.allows_fill = false};
    struct promql_parse_error error;
    struct promql_node *node = NULL;

    if (command->match_count == 0) {
        return CLI_OK;
    }
    if (command->match_count > 1) {
        return tsdb_usage_error(command, "one --match at most");
    }
    const struct quarry_tsdb_slice text = {command->matches[0], strlen(command->matches[0])};
    if (promql_parse_selector(&export->memory, text, &options, &node, &error) != QUARRY_OK) {
        return tsdb_usage_error(command, "--match: %s", error.text);
    }
    export->matchers = node->selector.matchers;
    export->matcher_count = node->selector.matcher_count;
    return export->matcher_count <= 64
               ? CLI_OK
               : tsdb_usage_error(command, "--match: more than 64 matchers");
}

static int read_range(struct export *export)
{
    const struct tsdb_command *command = export->command;
    struct quarry_tsdb_stats stats;
    int64_t now_ms;

    quarry_tsdb_read_stats(export->target->tsdb, &stats);
    now_ms = stats.max_ms;
    int code =
        tsdb_time_read(command, "--start", command->start, now_ms, stats.min_ms, &export->min_ms);
    if (code == CLI_OK) {
        code =
            tsdb_time_read(command, "--end", command->end, now_ms, stats.max_ms, &export->max_ms);
    }
    export->min_ms = export->min_ms < stats.min_ms ? stats.min_ms : export->min_ms;
    export->max_ms = export->max_ms > stats.max_ms ? stats.max_ms : export->max_ms;
    if (stats.window_count == 0) {
        export->min_ms = INT64_MAX;
        export->max_ms = INT64_MIN;
    }
    return code;
}

static int say_done(const struct export *export)
{
    if (export->command->is_json && strcmp(export->command->words[0], "blocks") == 0) {
        struct json json = json_begin(stdout);
        json_object(&json, NULL);
        json_u64(&json, "block_count", export->block_count);
        json_u64(&json, "sample_count", export->walk.sample_count);
        json_object_end(&json);
        json_finish(&json);
    }
    return CLI_OK;
}

static int run(struct export *export)
{
    const struct tsdb_command *command = export->command;
    struct quarry_error error = {0};
    int code = read_selector(export);

    if (code == CLI_OK) {
        code = read_range(export);
    }
    if (code != CLI_OK) {
        return code;
    }
    export->walk.progress = show_progress;
    export->walk.progress_argument = &export->progress;
    progress_begin(&export->progress, command->name, "samples", 0);
    const enum quarry_status status = strcmp(command->words[0], "blocks") == 0
                                          ? write_blocks(export, &error)
                                          : write_openmetrics(export, &error);
    (void)progress_end(&export->progress);
    return status == QUARRY_OK ? say_done(export) : tsdb_tool_fail(command, status, &error);
}

static int check_words(const struct tsdb_command *command)
{
    const bool is_blocks = strcmp(command->words[0], "blocks") == 0;

    if (!is_blocks && strcmp(command->words[0], "openmetrics") != 0) {
        return tsdb_usage_error(command, "'%s' is neither blocks nor openmetrics",
                                command->words[0]);
    }
    return is_blocks && command->word_count < 2 ? tsdb_usage_error(command, "where to? blocks DIR")
                                                : CLI_OK;
}

int tsdb_run_export(const struct tsdb_command *command)
{
    struct tsdb_target target;
    int code = check_words(command);

    if (code == CLI_OK) {
        code = tsdb_target_open(command, false, &target);
    }
    if (code != CLI_OK) {
        return code;
    }
    struct export *export = calloc(1, sizeof *export);
    if (export == NULL) {
        return tsdb_target_close(&target, tsdb_tool_fail(command, QUARRY_NO_MEMORY, NULL));
    }
    export->command = command;
    export->target = &target;
    promql_memory_init(&export->memory, target.memory.small.account, target.memory.small.pool,
                       GRANT_BYTES);
    code = run(export);
    promql_memory_fini(&export->memory);
    free(export);
    code = tsdb_target_close(&target, code);
    return code == CLI_OK ? cli_finish_output(command->name) : code;
}
