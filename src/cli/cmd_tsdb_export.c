/*
 * `quarry tsdb export`: a directory's samples as Prometheus' blocks, or as OpenMetrics.
 *
 * Blocks are of two hours, aligned as Prometheus and Thanos have them; each is a selection of its
 * own, so that memory is that of one. OpenMetrics wants a metric's series together: names first,
 * then the series of each.
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

#define RANGE_MS    INT64_C(7200000)
#define LABELS_MAX  1024u
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
    uint64_t sample_count, left_out_count, block_count;

    /* a walk over what is selected */
    struct quarry_tsdb_set *set;
    struct quarry_tsdb_cursor *cursor;
    size_t next_series;
    struct quarry_tsdb_block block; /* of the series under way */
    uint32_t at;                    /* in it */
    bool has_block;
    struct quarry_tsdb_label labels[LABELS_MAX];

    struct tsdb_exposition_writer *writer; /* of text */
    enum quarry_status status;             /* of the names' walk */
};

/* ---- walking -------------------------------------------------------------------------------- */

static void end_walk(struct export *export)
{
    quarry_tsdb_cursor_destroy(export->cursor);
    quarry_tsdb_set_close(export->set);
    export->cursor = NULL;
    export->set = NULL;
}

static enum quarry_status begin_walk(struct export *export,
                                     const struct quarry_tsdb_matcher *matchers, size_t count,
                                     int64_t min_ms, int64_t max_ms, struct quarry_error *error)
{
    const struct quarry_tsdb_query query = {
        .matchers = matchers, .matcher_count = count, .min_ms = min_ms, .max_ms = max_ms};
    enum quarry_status status =
        quarry_tsdb_select(export->target->tsdb, &query, &export->set, error);

    export->next_series = 0;
    export->has_block = false;
    if (status == QUARRY_OK) {
        status = quarry_tsdb_cursor_create(export->set, &export->cursor);
    }
    if (status != QUARRY_OK) {
        end_walk(export);
    }
    return status;
}

/* In the form of block_source: the next series that has a sample. */
static enum quarry_status next_series(void *argument, struct tsdb_labels *ret_labels,
                                      struct quarry_error *error)
{
    struct export *export = argument;

    while (export->next_series < quarry_tsdb_set_count(export->set)) {
        const size_t index = export->next_series++;
        quarry_tsdb_cursor_series(export->cursor, index);
        const enum quarry_status status = quarry_tsdb_cursor_next(export->cursor, &export->block);
        if (status == QUARRY_NOT_FOUND) {
            continue;
        }
        if (status != QUARRY_OK) {
            return error_set(error, status, "a series cannot be read: %s",
                             quarry_status_text(status));
        }
        const size_t count = quarry_tsdb_set_labels(export->set, index, export->labels, LABELS_MAX);
        if (count > LABELS_MAX) {
            return error_set(error, QUARRY_TOO_LARGE, "a series of %zu labels", count);
        }
        export->at = 0;
        export->has_block = true;
        *ret_labels = (struct tsdb_labels){export->labels, count};
        return QUARRY_OK;
    }
    return QUARRY_NOT_FOUND;
}

static enum quarry_status next_sample(void *argument, struct block_sample *ret_sample,
                                      struct quarry_error *error)
{
    struct export *export = argument;

    if (export->has_block && export->at == export->block.count) {
        const enum quarry_status status = quarry_tsdb_cursor_next(export->cursor, &export->block);
        export->at = 0;
        export->has_block = status == QUARRY_OK;
        if (status != QUARRY_OK && status != QUARRY_NOT_FOUND) {
            return error_set(error, status, "a series cannot be read: %s",
                             quarry_status_text(status));
        }
    }
    if (!export->has_block) {
        return QUARRY_NOT_FOUND;
    }
    const uint32_t at = export->at++;
    *ret_sample = (struct block_sample){.t_ms = export->block.t_ms[at]};
    if (export->block.histograms != NULL) {
        ret_sample->histogram = &export->block.histograms[at];
    } else {
        ret_sample->bits = export->block.bits[at];
    }
    progress_at(&export->progress, ++export->sample_count, 0);
    return QUARRY_OK;
}

/* ---- blocks --------------------------------------------------------------------------------- */

static int64_t floor_to(int64_t t_ms, int64_t unit_ms)
{
    const int64_t rest = t_ms % unit_ms;

    return t_ms - rest - (rest < 0 ? unit_ms : 0);
}

static enum quarry_status write_block(struct export *export, int64_t range_ms,
                                      struct quarry_error *error)
{
    const int64_t last_ms = range_ms + RANGE_MS - 1;
    const struct block_source source = {
        .argument = export, .next_series = next_series, .next_sample = next_sample};
    const struct block_write_options options = {.vfs = quarry_vfs_posix(),
                                                .memory = &export->target->memory.small,
                                                .directory = export->command->words[1],
                                                .min_t_ms = range_ms,
                                                .max_t_ms = range_ms + RANGE_MS};
    struct block_meta meta;
    enum quarry_status status =
        begin_walk(export, export->matchers, export->matcher_count,
                   export->min_ms > range_ms ? export->min_ms : range_ms,
                   export->max_ms < last_ms ? export->max_ms : last_ms, error);

    if (status == QUARRY_OK) {
        status = block_write(&options, &source, &meta, error);
        end_walk(export);
    }
    if (status == QUARRY_OK) {
        export->block_count++;
        if (!export->command->is_json) {
            printf("%s  %" PRIu64 " samples of %" PRIu64 " series\n", meta.ulid, meta.sample_count,
                   meta.series_count);
        }
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

static enum quarry_status write_blocks(struct export *export, struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    if (mkdir(export->command->words[1], 0777) != 0 && errno != EEXIST) {
        return error_set(error, QUARRY_IO, "%.200s: %s", export->command->words[1],
                         strerror(errno));
    }
    if (export->min_ms > export->max_ms) {
        return QUARRY_OK;
    }
    for (int64_t range_ms = floor_to(export->min_ms, RANGE_MS);
         range_ms <= export->max_ms && status == QUARRY_OK; range_ms += RANGE_MS) {
        status = write_block(export, range_ms, error);
    }
    return status;
}

/* ---- OpenMetrics ---------------------------------------------------------------------------- */

static void put_samples(struct export *export, const struct tsdb_labels *labels,
                        enum quarry_status *status, struct quarry_error *error)
{
    struct block_sample sample;

    while ((*status = next_sample(export, &sample, error)) == QUARRY_OK) {
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
    export->status = begin_walk(export, matchers, count, export->min_ms, export->max_ms, &error);
    if (export->status != QUARRY_OK) {
        return false;
    }
    while (export->status == QUARRY_OK &&
           (export->status = next_series(export, &labels, &error)) == QUARRY_OK) {
        put_samples(export, &labels, &export->status, &error);
    }
    export->status = export->status == QUARRY_NOT_FOUND ? QUARRY_OK : export->status;
    end_walk(export);
    return export->status == QUARRY_OK && export->writer->status == QUARRY_OK;
}

/* In the form of tsdb_sink. `argument`: a FILE. */
static enum quarry_status write_text(void *argument, const char *bytes, size_t byte_count)
{
    return fwrite(bytes, 1, byte_count, argument) == byte_count ? QUARRY_OK : QUARRY_IO;
}

static enum quarry_status put_text(struct export *export, FILE *file, struct quarry_error *error)
{
    const struct quarry_tsdb_query query = {.matchers = export->matchers,
                                            .matcher_count = export->matcher_count,
                                            .min_ms = export->min_ms,
                                            .max_ms = export->max_ms};
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
        json_u64(&json, "sample_count", export->sample_count);
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
