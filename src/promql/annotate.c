/*
 * Warnings and infos of a query.
 *
 * One sample in a million may have something to say, and then often all of a million do; so a text
 * is made, and looked for among those that are there, which are some tens at the very most: as many
 * kinds as there are, times the metrics of the query. Its position is no part of what is compared,
 * as upstream's is not.
 *
 * Texts are made of patterns, where a letter behind % is a detail:
 *
 *     %m  the metric's name in quotes      %M  ` for metric name "…"`, or nothing
 *     %l  the label in quotes              %o  the operation         %O  it in quotes
 *     %L  what is left of it, %R right     %v  the value, %w the limit
 */
#include <promql/annotate.h>

#include <promql/text.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

struct promql_annotation_note {
    struct promql_annotation_note *next;
    enum promql_annotation annotation;
    uint32_t position;
    struct quarry_tsdb_slice text; /* without position */
    /* Of PROMQL_FORCED_MONOTONICITY. */
    int64_t first_ms, last_ms;
    double lowest, highest, most;
    uint64_t sample_count;
};

#define DOCUMENTATION "https://prometheus.io/docs/prometheus/latest/querying/functions/"

static const char *const patterns[PROMQL_ANNOTATION_COUNT] = {
    [PROMQL_INVALID_QUANTILE] = "quantile value should be between 0 and 1, got %v",
    [PROMQL_INVALID_RATIO] = "ratio value should be between -1 and 1, got %v, capping to %w",
    [PROMQL_BAD_BUCKET_LABEL] = "bucket label \"le\" is missing or has a malformed value of %l%M",
    [PROMQL_MIXED_FLOATS_HISTOGRAMS] =
        "encountered a mix of histograms and floats for metric name %m",
    [PROMQL_MIXED_IN_AGGREGATION] = "encountered a mix of histograms and floats for aggregation",
    [PROMQL_MIXED_CLASSIC_NATIVE] = "vector contains a mix of classic and native histograms%M",
    [PROMQL_NATIVE_NOT_COUNTER] = "this native histogram metric is not a counter: %m",
    [PROMQL_NATIVE_NOT_GAUGE] = "this native histogram metric is not a gauge: %m",
    [PROMQL_MIXED_EXPONENTIAL_CUSTOM] = "vector contains a mix of histograms with exponential and "
                                        "custom buckets schemas for metric name %m",
    [PROMQL_INCOMPATIBLE_BUCKETS] = "incompatible bucket layout encountered for binary operator %o",
    [PROMQL_SORT_IN_RANGE] =
        "sort is ineffective for range queries since results are always ordered by labels",
    [PROMQL_RESETS_COLLIDE] = "conflicting counter resets during histogram %o",
    [PROMQL_POSSIBLE_NON_COUNTER] =
        "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: %m",
    [PROMQL_POSSIBLE_NON_COUNTER_LABEL] = "metric might not be a counter, __type__ label is not "
                                          "set to \"counter\" or \"histogram\", got %l: %m",
    [PROMQL_FORCED_MONOTONICITY] = "input to histogram_quantile needed to be fixed for "
                                   "monotonicity (see " DOCUMENTATION "#histogram_quantile)%M",
    [PROMQL_INCOMPATIBLE_TYPES] =
        "incompatible sample types encountered for binary operator %O: %L %o %R",
    [PROMQL_HISTOGRAM_IGNORED] = "ignored histogram in %o aggregation",
    [PROMQL_HISTOGRAM_IGNORED_IN_RANGE] =
        "ignored histograms in a range containing both floats and histograms for metric name %m",
    [PROMQL_QUANTILE_NAN_RESULT] =
        "input to histogram_quantile has NaN observations, result is NaN%M",
    [PROMQL_QUANTILE_NAN_SKEWED] =
        "input to histogram_quantile has NaN observations, result is skewed higher%M",
    [PROMQL_FRACTION_NAN_EXCLUDED] = "input to histogram_fraction has NaN observations, which are "
                                     "excluded from all fractions%M",
    [PROMQL_BOUNDS_RECONCILED] = "mismatched custom buckets were reconciled during %o",
};

static bool is_info(enum promql_annotation annotation)
{
    return annotation >= PROMQL_POSSIBLE_NON_COUNTER;
}

/* ---- texts ---------------------------------------------------------------------------------- */

static void put_detail(struct promql_writer *writer, char letter,
                       const struct promql_annotation_details *details)
{
    const char *words[] = {['L' - 'L'] = details->left,
                           ['o' - 'L'] = details->operation,
                           ['O' - 'L'] = details->operation,
                           ['R' - 'L'] = details->right};

    switch (letter) {
    case 'v':
    case 'w':
        promql_write_double(writer, letter == 'v' ? details->value : details->limit,
                            PROMQL_NUMBER_G);
        break;
    case 'M':
        if (details->metric.count == 0) {
            break;
        }
        promql_write_text(writer, " for metric name ");
        promql_write_quoted(writer, details->metric);
        break;
    case 'm':
    case 'l':
        promql_write_quoted(writer, letter == 'm' ? details->metric : details->label);
        break;
    case 'O':
        promql_write_quoted(writer,
                            (struct quarry_tsdb_slice){words['O' - 'L'], strlen(words['O' - 'L'])});
        break;
    default:
        promql_write_text(writer, words[letter - 'L']);
        break;
    }
}

static bool make_text(struct promql_memory *memory, enum promql_annotation annotation,
                      const struct promql_annotation_details *details,
                      struct quarry_tsdb_slice *ret_text)
{
    struct promql_writer writer = {.memory = memory};

    promql_write_text(&writer, is_info(annotation) ? "PromQL info: " : "PromQL warning: ");
    for (const char *at = patterns[annotation]; *at != '\0'; at++) {
        if (*at == '%') {
            put_detail(&writer, *++at, details);
        } else {
            promql_write(&writer, at, 1);
        }
    }
    return promql_write_finish(&writer, ret_text);
}

/* ---- adding --------------------------------------------------------------------------------- */

static struct promql_annotation_note *find(const struct promql_annotations *annotations,
                                           struct quarry_tsdb_slice text)
{
    struct promql_annotation_note *note = annotations->first;

    while (note != NULL && (note->text.count != text.count ||
                            memcmp(note->text.bytes, text.bytes, text.count) != 0)) {
        note = note->next;
    }
    return note;
}

static void widen(struct promql_annotation_note *note,
                  const struct promql_annotation_details *details)
{
    note->first_ms = details->t_ms < note->first_ms ? details->t_ms : note->first_ms;
    note->last_ms = details->t_ms > note->last_ms ? details->t_ms : note->last_ms;
    note->lowest = details->lowest < note->lowest ? details->lowest : note->lowest;
    note->highest = details->highest > note->highest ? details->highest : note->highest;
    note->most = details->most > note->most ? details->most : note->most;
    note->sample_count++;
}

void promql_annotate(struct promql_annotations *annotations, enum promql_annotation annotation,
                     uint32_t position, const struct promql_annotation_details *details)
{
    static const struct promql_annotation_details none;
    const struct promql_mark mark = promql_memory_mark(annotations->memory);
    struct quarry_tsdb_slice text;

    details = details == NULL ? &none : details;
    if (!make_text(annotations->memory, annotation, details, &text)) {
        return;
    }
    struct promql_annotation_note *note = find(annotations, text);
    if (note != NULL) {
        widen(note, details);
        promql_memory_release(annotations->memory, mark);
        return;
    }
    note = promql_memory_take(annotations->memory, sizeof *note);
    if (note == NULL) {
        return;
    }
    *note = (struct promql_annotation_note){.annotation = annotation,
                                            .position = position,
                                            .text = text,
                                            .first_ms = details->t_ms,
                                            .last_ms = details->t_ms,
                                            .lowest = details->lowest,
                                            .highest = details->highest,
                                            .most = details->most,
                                            .sample_count = 1};
    *(annotations->last == NULL ? &annotations->first : &annotations->last->next) = note;
    annotations->last = note;
}

bool promql_annotations_copy(struct promql_annotations *annotations,
                             const struct promql_annotations *from)
{
    for (const struct promql_annotation_note *note = from->first; note != NULL; note = note->next) {
        if (find(annotations, note->text) != NULL) {
            continue;
        }
        struct promql_annotation_note *copy = promql_memory_take(annotations->memory, sizeof *copy);
        const char *text =
            promql_memory_copy(annotations->memory, note->text.bytes, note->text.count);
        if (copy == NULL || text == NULL) {
            return false;
        }
        *copy = *note;
        copy->next = NULL;
        copy->text.bytes = text;
        *(annotations->last == NULL ? &annotations->first : &annotations->last->next) = copy;
        annotations->last = copy;
    }
    return true;
}

/* ---- finishing ------------------------------------------------------------------------------ */

/* Whole seconds, cut towards 0, as RFC 3339 has them. */
static void put_time(struct promql_writer *writer, int64_t t_ms)
{
    const time_t seconds = (time_t)(t_ms / 1000);
    struct tm parts;
    char text[64];

    if (gmtime_r(&seconds, &parts) == NULL) {
        promql_write_format(writer, "%lld", (long long)(seconds));
        return;
    }
    promql_write(writer, text, strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts));
}

static void put_monotonicity(struct promql_writer *writer,
                             const struct promql_annotation_note *note)
{
    char most[32];

    (void)snprintf(most, sizeof most, "%.2g", note->most);
    promql_write_text(writer, ", from buckets ");
    promql_write_double(writer, note->lowest, PROMQL_NUMBER_G);
    promql_write_text(writer, " to ");
    promql_write_double(writer, note->highest, PROMQL_NUMBER_G);
    promql_write_text(writer, ", with a max diff of ");
    promql_write_text(writer, most);
    promql_write_text(writer, ", over ");
    promql_write_format(writer, "%lld", (long long)((int64_t)note->sample_count));
    promql_write_text(writer, " samples from ");
    put_time(writer, note->first_ms);
    promql_write_text(writer, " to ");
    put_time(writer, note->last_ms);
}

/* " (line:column)", both from 1, columns in bytes. */
static void put_position(struct promql_writer *writer, struct quarry_tsdb_slice query,
                         uint32_t position)
{
    int64_t line = 1, column = 1;

    if (query.count == 0 || position > query.count) {
        promql_write_text(writer, query.count == 0 ? "" : " (invalid position)");
        return;
    }
    for (uint32_t i = 0; i < position; i++) {
        column = query.bytes[i] == '\n' ? 1 : column + 1;
        line += query.bytes[i] == '\n';
    }
    promql_write_text(writer, " (");
    promql_write_format(writer, "%lld", (long long)(line));
    promql_write(writer, ":", 1);
    promql_write_format(writer, "%lld", (long long)(column));
    promql_write(writer, ")", 1);
}

static bool finish_note(const struct promql_annotation_note *note, struct promql_memory *memory,
                        struct quarry_tsdb_slice query, struct quarry_tsdb_slice *ret_text)
{
    struct promql_writer writer = {.memory = memory};

    promql_write(&writer, note->text.bytes, note->text.count);
    if (note->annotation == PROMQL_FORCED_MONOTONICITY && query.count > 0) {
        put_monotonicity(&writer, note);
    }
    put_position(&writer, query, note->position);
    return promql_write_finish(&writer, ret_text);
}

/* Those that are infos, or those that are not. NULL: the memory refused. */
static const struct quarry_tsdb_slice *finish_list(const struct promql_annotations *annotations,
                                                   struct quarry_tsdb_slice query, bool infos,
                                                   size_t *ret_count)
{
    const struct promql_annotation_note *note;
    size_t count = 0;

    for (note = annotations->first; note != NULL; note = note->next) {
        count += is_info(note->annotation) == infos;
    }
    struct quarry_tsdb_slice *texts =
        promql_memory_take_zero(annotations->memory, count, sizeof *texts);
    if (texts == NULL) {
        return NULL;
    }
    size_t done = 0;
    for (note = annotations->first; note != NULL; note = note->next) {
        if (is_info(note->annotation) == infos &&
            !finish_note(note, annotations->memory, query, &texts[done++])) {
            return NULL;
        }
    }
    *ret_count = count;
    return texts;
}

bool promql_annotations_finish(const struct promql_annotations *annotations,
                               struct quarry_tsdb_slice query,
                               struct promql_annotation_texts *ret_texts)
{
    struct promql_annotation_texts texts;

    texts.warnings = finish_list(annotations, query, false, &texts.warning_count);
    texts.infos = finish_list(annotations, query, true, &texts.info_count);
    if (texts.warnings == NULL || texts.infos == NULL) {
        return false;
    }
    *ret_texts = texts;
    return true;
}

size_t promql_annotations_cut(size_t count, size_t most, const char *noun, char *room,
                              size_t room_bytes)
{
    if (count <= most) {
        *room = '\0';
        return count;
    }
    (void)snprintf(room, room_bytes, "%zu more %s annotations omitted", count - most, noun);
    return most;
}
