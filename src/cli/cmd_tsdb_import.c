/*
 * `quarry tsdb import`: samples of others into a directory.
 *
 * All sources are walked over once for each window, the oldest first, and give the samples that are
 * in it; blocks say themselves whether they have any. So a window is sealed once, and what has not
 * been brought before takes a bit or two a sample meanwhile; a window that was sealed is filled.
 * What is older than the windows that are kept would be purged as soon as it is in: it is counted
 * and left out. Between windows the store's turns are taken, which seals what is done.
 *
 * Locking: none. Memory: a batch, and what reading a source takes.
 */
#include <cli/cmd_tsdb.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <cli/json_write.h>
#include <cli/progress.h>
#include <cli/tsdb_batch.h>
#include <cli/tsdb_source.h>
#include <os/os.h>

/* What a server is sent at a time: it takes what lags by up to an hour. Its windows have four. */
/* Times are within 285,000 years of 1970, so that windows of them can be counted. */
#define TIME_MAX_MS      (INT64_C(1) << 53)
#define SERVER_WINDOW_MS INT64_C(3600000)
#define SERVER_WINDOWS   4

struct import {
    const struct tsdb_command *command;
    struct tsdb_target *target;
    struct tsdb_sources sources;
    struct tsdb_batch *batch;
    struct progress progress;
    int64_t from_ms, to_ms; /* of the window under way, the end excluded */
    int64_t kept_ms;        /* samples before are left out */
    int64_t kept_count;     /* windows before the newest one that are not */
    uint64_t old_count, damage_count, passed_count;
    bool counts_old; /* the source under way is walked for the first time */
    uint64_t done_bytes;
};

/* ---- samples -------------------------------------------------------------------------------- */

static void take_series(void *argument, const struct tsdb_labels *labels)
{
    struct import *import = argument;

    tsdb_batch_series(import->batch, labels);
}

static enum quarry_status take_sample(void *argument, const struct block_sample *sample)
{
    struct import *import = argument;

    if (sample->t_ms < import->from_ms || sample->t_ms >= import->to_ms) {
        import->old_count += import->counts_old && sample->t_ms < import->kept_ms;
        return QUARRY_OK;
    }
    progress_at(&import->progress, ++import->passed_count, import->done_bytes);
    return tsdb_batch_add(import->batch, sample);
}

static bool take_damage(void *argument, const char *path, const char *what)
{
    struct import *import = argument;

    import->damage_count++;
    (void)cli_failure(import->command->name, "%.300s: %.500s", path, what);
    return !import->command->stops;
}

/* ---- windows -------------------------------------------------------------------------------- */

static int64_t window_of(const struct import *import, int64_t t_ms)
{
    const int64_t window_ms = import->target->window_ms;
    const int64_t number = t_ms / window_ms;

    return number - (t_ms % window_ms < 0);
}

/* The first and the last window that get any. Returns: false: none does. */
static bool find_windows(struct import *import, int64_t *ret_first, int64_t *ret_last)
{
    /* What is ahead of the clock is refused, and does not push out what is not. */
    const int64_t ahead_ms = (int64_t)(os_wall_ns(os_real()) / Q_MS_NS) + 600000;
    int64_t min_ms = INT64_MAX, max_ms = INT64_MIN;

    for (size_t i = 0; i < import->sources.count; i++) {
        const struct tsdb_source *source = &import->sources.all[i];
        min_ms = source->min_ms < min_ms ? source->min_ms : min_ms;
        max_ms = source->max_ms > max_ms ? source->max_ms : max_ms;
    }
    /* What a file says of itself may be anything. */
    min_ms = min_ms < -TIME_MAX_MS ? -TIME_MAX_MS : min_ms;
    max_ms = max_ms < -TIME_MAX_MS ? -TIME_MAX_MS : max_ms;
    if (min_ms > max_ms) {
        return false;
    }
    const int64_t newest_ms = max_ms < ahead_ms ? max_ms : ahead_ms;
    *ret_last = window_of(import, newest_ms);
    const int64_t kept_newest = import->target->tsdb != NULL && import->target->now_ms > newest_ms
                                    ? window_of(import, import->target->now_ms)
                                    : *ret_last;
    const int64_t kept = kept_newest - import->kept_count;
    const int64_t first = window_of(import, min_ms);
    *ret_first = first < kept ? kept : first;
    import->kept_ms = kept * import->target->window_ms;
    return true;
}

static bool has_any(const struct import *import, const struct tsdb_source *source)
{
    return source->min_ms < import->to_ms && source->max_ms >= import->from_ms;
}

static enum quarry_status bring_window(struct import *import, struct quarry_error *error)
{
    const struct tsdb_source_visitor visitor = {
        .argument = import, .series = take_series, .sample = take_sample, .damaged = take_damage};
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < import->sources.count && status == QUARRY_OK; i++) {
        struct tsdb_source *source = &import->sources.all[i];
        if (!has_any(import, source)) {
            continue;
        }
        import->counts_old = source->min_ms < import->kept_ms &&
                             !source->is_counted;
        source->is_counted = true;
        status = tsdb_source_walk(&import->sources, source, &visitor, error);
        if (status == QUARRY_OK) {
            status = tsdb_batch_flush(import->batch); /* labels are the source's */
        }
        import->done_bytes += source->byte_count;
    }
    while (status == QUARRY_OK && import->target->tsdb != NULL &&
           quarry_tsdb_turn(import->target->tsdb)) {
    }
    return status;
}

static void set_window(struct import *import, int64_t window, int64_t last)
{
    import->from_ms = window * import->target->window_ms;
    /* The last one takes what is ahead of it too, to be refused by the store's rules. */
    import->to_ms = window == last ? INT64_MAX : import->from_ms + import->target->window_ms;
}

static uint64_t count_bytes(struct import *import, int64_t first, int64_t last)
{
    uint64_t total = 0;

    for (int64_t window = first; window <= last; window++) {
        set_window(import, window, last);
        for (size_t i = 0; i < import->sources.count; i++) {
            const struct tsdb_source *source = &import->sources.all[i];
            total += has_any(import, source) ? source->byte_count : 0;
        }
    }
    return total;
}

/* Blocks that lie before all that is kept are not opened. */
static void count_old_blocks(struct import *import)
{
    for (size_t i = 0; i < import->sources.count; i++) {
        const struct tsdb_source *source = &import->sources.all[i];
        if (source->min_ms <= source->max_ms && source->max_ms < import->kept_ms) {
            import->old_count += source->sample_count;
        }
    }
}

static enum quarry_status bring(struct import *import, struct quarry_error *error)
{
    int64_t first, last;
    enum quarry_status status = QUARRY_OK;

    if (!find_windows(import, &first, &last)) {
        return QUARRY_OK;
    }
    count_old_blocks(import);
    progress_begin(&import->progress, import->command->name, "samples",
                   count_bytes(import, first, last));
    for (int64_t window = first; window <= last && status == QUARRY_OK; window++) {
        set_window(import, window, last);
        status = bring_window(import, error);
    }
    (void)progress_end(&import->progress);
    return status;
}

/* ---- what became of it ---------------------------------------------------------------------- */

static const char *word_of(size_t refusal)
{
    return quarry_tsdb_refusal_text((enum quarry_tsdb_refusal)refusal);
}

static void print_summary(const struct import *import)
{
    const struct tsdb_batch_counts *counts = tsdb_batch_counts(import->batch);

    printf("%" PRIu64 " samples taken", counts->taken_count);
    if (import->target->tsdb != NULL) {
        printf(", of %" PRIu64 " new series", counts->new_series_count);
    }
    puts("");
    for (size_t i = 1; i < QUARRY_TSDB_REFUSALS; i++) {
        if (counts->refused_counts[i] > 0) {
            printf("%" PRIu64 " refused: %s\n", counts->refused_counts[i], word_of(i));
        }
    }
    if (counts->unsupported_count > 0) {
        printf("%" PRIu64 " refused: the store takes no native histograms\n",
               counts->unsupported_count);
    }
    if (counts->server_refused_count > 0) {
        printf("%" PRIu64 " refused by the server\n", counts->server_refused_count);
    }
    if (counts->unsaid_count > 0) {
        printf("%" PRIu64 " left out: text has no histograms and no stale markers\n",
               counts->unsaid_count);
    }
    if (import->old_count > 0) {
        printf("%" PRIu64 " left out: older than the windows that are kept\n", import->old_count);
    }
    if (import->damage_count > 0) {
        printf("%" PRIu64 " places are damaged\n", import->damage_count);
    }
}

static void print_summary_json(const struct import *import)
{
    const struct tsdb_batch_counts *counts = tsdb_batch_counts(import->batch);
    struct json json = json_begin(stdout);

    json_object(&json, NULL);
    json_u64(&json, "taken_count", counts->taken_count);
    json_u64(&json, "new_series_count", counts->new_series_count);
    json_object(&json, "refused");
    for (size_t i = 1; i < QUARRY_TSDB_REFUSALS; i++) {
        if (counts->refused_counts[i] > 0) {
            json_u64(&json, word_of(i), counts->refused_counts[i]);
        }
    }
    json_object_end(&json);
    json_u64(&json, "histograms_not_taken_count", counts->unsupported_count);
    json_u64(&json, "refused_by_server_count", counts->server_refused_count);
    json_u64(&json, "without_words_count", counts->unsaid_count);
    json_u64(&json, "too_old_count", import->old_count);
    json_u64(&json, "damaged_count", import->damage_count);
    json_object_end(&json);
    json_finish(&json);
}

static int finish(const struct import *import, enum quarry_status status,
                  const struct quarry_error *error)
{
    int code = CLI_OK;

    if (status == QUARRY_CANCELLED) {
        code = cli_failure(import->command->name, "stopped: what came before is in the store");
    } else if (status == QUARRY_IO && import->target->tsdb == NULL && error->text[0] == '\0') {
        code = CLI_FAILED; /* who sends has said why */
    } else if (status != QUARRY_OK) {
        code = tsdb_tool_fail(import->command, status, error);
    }
    if (import->command->is_json) {
        print_summary_json(import);
    } else {
        print_summary(import);
    }
    return code == CLI_OK && import->damage_count > 0 ? CLI_FOUND : code;
}

static int run(struct import *import)
{
    const struct tsdb_source_visitor visitor = {.argument = import, .damaged = take_damage};
    struct quarry_error error = {0};

    import->sources.memory = &import->target->memory.small;
    import->batch = tsdb_batch_create(import->target->tsdb, &import->target->http);
    enum quarry_status status =
        import->batch == NULL
            ? QUARRY_NO_MEMORY
            : tsdb_sources_find(&import->sources, import->command->words[0], &visitor, &error);
    if (import->batch == NULL) {
        return tsdb_tool_fail(import->command, status, NULL);
    }
    if (status == QUARRY_OK) {
        status = bring(import, &error);
    }
    const int code = finish(import, status, &error);
    tsdb_sources_fini(&import->sources);
    tsdb_batch_destroy(import->batch);
    return code;
}

int tsdb_run_import(const struct tsdb_command *command)
{
    struct tsdb_target target;
    int code = tsdb_target_open(command, false, &target);

    if (code != CLI_OK) {
        return code;
    }
    struct import import = {
        .command = command, .target = &target, .kept_count = command->window_count};
    if (target.tsdb == NULL) {
        target.window_ms = SERVER_WINDOW_MS;
        import.kept_count *= SERVER_WINDOWS;
        code = tsdb_tool_memory_open(command, &target.memory);
    }
    code = code == CLI_OK ? run(&import) : code;
    code = tsdb_target_close(&target, code);
    return code == CLI_OK ? cli_finish_output(command->name) : code;
}
