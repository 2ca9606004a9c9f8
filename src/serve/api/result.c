/*
 * Results of queries as JSON.
 *
 *     {"metric":{…},"values":[[t,"v"],…],"histograms":[[t,{…}],…]}    of a matrix
 *     {"metric":{…},"value":[t,"v"]}                                  of a vector
 *     [t,"v"]                                                         a scalar, a string
 *
 * A matrix of a thousand series with eleven thousand points each is some 300 MB of text: it is
 * written in pieces, and where the writer is, is a series, a point, and which of its two lists.
 */
#include <serve/api/result.h>

#include <serve/api/json.h>

/* Annotations of one kind in an answer: more are counted. */
#define ANNOTATIONS_MAX 10u

enum {
    STAGE_BEGIN = 0, /* the head has to be written */
    STAGE_SERIES,    /* the next series has to be begun */
    STAGE_VALUES,
    STAGE_HISTOGRAMS,
    STAGE_END,
};

static bool is_histogram(const struct promql_series *series, size_t point)
{
    return series->histograms != NULL && series->histograms[point] != NULL;
}

static void put_histogram(struct api_result_writer *writer, struct http_text *text,
                          const struct promql_histogram *histogram)
{
    const struct promql_mark mark = promql_memory_mark(writer->memory);
    struct promql_writer out = {.memory = writer->memory};
    struct quarry_tsdb_slice json;

    promql_histogram_write_json(&out, histogram);
    if (promql_write_finish(&out, &json)) {
        http_text_add(text, json.bytes, json.count);
        promql_memory_release(writer->memory, mark);
    } else {
        text->is_failed = true;
    }
}

static void put_point(struct api_result_writer *writer, struct http_text *text,
                      const struct promql_series *series, size_t point)
{
    http_text_add(text, "[", 1);
    api_put_time(text, series->t_ms[point]);
    http_text_add(text, ",", 1);
    if (is_histogram(series, point)) {
        put_histogram(writer, text, series->histograms[point]);
    } else {
        api_put_value(text, series->values[point]);
    }
    http_text_add(text, "]", 1);
}

/* ---- series --------------------------------------------------------------------------------- */

static size_t series_count(const struct api_result_writer *writer)
{
    const size_t count = writer->result->series_count;

    return writer->series_max == 0 ? count : size_min(count, writer->series_max);
}

static void put_vector_sample(struct api_result_writer *writer, struct http_text *text,
                              const struct promql_series *series)
{
    http_text_say(text, is_histogram(series, 0) ? ",\"histogram\":" : ",\"value\":");
    put_point(writer, text, series, 0);
    http_text_add(text, "}", 1);
}

/* Begins the next series, or ends the list of them. */
static void begin_series(struct api_result_writer *writer, struct http_text *text)
{
    const struct promql_series *series = &writer->result->series[writer->series];

    if (writer->series == series_count(writer)) {
        http_text_add(text, "]", 1);
        writer->stage = STAGE_END;
        return;
    }
    http_text_say(text, writer->series > 0 ? ",{\"metric\":" : "{\"metric\":");
    api_put_labels(text, series->labels, series->label_count);
    writer->point = 0;
    if (writer->result->type == PROMQL_VECTOR) {
        put_vector_sample(writer, text, series);
        writer->series++;
    } else {
        writer->stage = STAGE_VALUES;
    }
}

/* Whether a point belongs to the list that is being written. */
static bool is_due(const struct api_result_writer *writer, const struct promql_series *series,
                   size_t point)
{
    return is_histogram(series, point) == (writer->stage == STAGE_HISTOGRAMS);
}

/* Whether one of its points before the next was written into this list. */
static bool has_begun(const struct api_result_writer *writer, const struct promql_series *series)
{
    for (size_t i = writer->point; i-- > 0;) {
        if (is_due(writer, series, i)) {
            return true;
        }
        if (series->histograms == NULL) {
            return false;
        }
    }
    return false;
}

/* Writes one of the two lists of a series, as far as the piece reaches. */
static void put_points(struct api_result_writer *writer, struct http_text *text, size_t piece_bytes)
{
    const struct promql_series *series = &writer->result->series[writer->series];
    bool begun = has_begun(writer, series);

    for (; writer->point < series->count && text->count < piece_bytes; writer->point++) {
        if (!is_due(writer, series, writer->point)) {
            continue;
        }
        if (begun) {
            http_text_add(text, ",", 1);
        } else {
            http_text_say(text,
                          writer->stage == STAGE_VALUES ? ",\"values\":[" : ",\"histograms\":[");
        }
        put_point(writer, text, series, writer->point);
        begun = true;
    }
    if (writer->point < series->count) {
        return;
    }
    http_text_add(text, "]", begun);
    writer->point = 0;
    if (writer->stage == STAGE_VALUES && series->histograms != NULL) {
        writer->stage = STAGE_HISTOGRAMS;
        return;
    }
    http_text_add(text, "}", 1);
    writer->stage = STAGE_SERIES;
    writer->series++;
}

/* ---- what stands around them ---------------------------------------------------------------- */

static void put_head(struct api_result_writer *writer, struct http_text *text)
{
    const struct promql_result *result = writer->result;

    http_text_say(text, "{\"status\":\"success\",\"data\":{\"resultType\":\"");
    http_text_say(text, promql_type_name(result->type));
    http_text_say(text, "\",\"result\":[");
    writer->stage = STAGE_SERIES;
    if (result->type == PROMQL_SCALAR || result->type == PROMQL_STRING) {
        api_put_plain_time(text, result->t_ms);
        http_text_add(text, ",", 1);
        if (result->type == PROMQL_SCALAR) {
            api_put_plain_value(text, result->scalar);
        } else {
            api_put_string(text, result->string);
        }
        http_text_add(text, "]", 1);
        writer->stage = STAGE_END;
    }
}

static void put_stats(struct http_text *text, const struct promql_stats *stats)
{
    const double second_ns = 1e9;

    http_text_format(text,
                     ",\"stats\":{\"timings\":{\"evalTotalTime\":%.9g,\"resultSortTime\":%.9g,"
                     "\"queryPreparationTime\":%.9g,\"innerEvalTime\":%.9g,\"execQueueTime\":0,"
                     "\"execTotalTime\":%.9g},\"samples\":{\"totalQueryableSamples\":%llu,"
                     "\"peakSamples\":%llu}}",
                     (double)(stats->select_ns + stats->eval_ns + stats->sort_ns) / second_ns,
                     (double)stats->sort_ns / second_ns, (double)stats->select_ns / second_ns,
                     (double)stats->eval_ns / second_ns, (double)stats->total_ns / second_ns,
                     (unsigned long long)stats->samples_total,
                     (unsigned long long)stats->samples_peak);
}

/* A list of texts, cut, with up to one more that is said here. */
static void put_annotations(struct http_text *text, const char *name, const char *noun,
                            const struct quarry_tsdb_slice *texts, size_t count, const char *more)
{
    char omitted[64];
    const size_t kept =
        promql_annotations_cut(count, ANNOTATIONS_MAX, noun, omitted, sizeof omitted);
    const char *const words[] = {more, omitted[0] == '\0' ? NULL : omitted};
    bool has_begun = false;

    for (size_t i = 0; i < kept; i++) {
        http_text_format(text, has_begun ? "," : ",\"%s\":[", name);
        api_put_string(text, texts[i]);
        has_begun = true;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (words[i] != NULL) {
            http_text_format(text, has_begun ? "," : ",\"%s\":[", name);
            api_put_words(text, words[i]);
            has_begun = true;
        }
    }
    http_text_add(text, "]", has_begun);
}

static void put_tail(struct api_result_writer *writer, struct http_text *text)
{
    const struct promql_result *result = writer->result;
    const bool is_cut = series_count(writer) < result->series_count;

    if (writer->has_stats) {
        put_stats(text, &result->stats);
    }
    http_text_add(text, "}", 1);
    put_annotations(text, "warnings", "warning", result->warnings, result->warning_count,
                    is_cut ? "results truncated due to limit" : NULL);
    put_annotations(text, "infos", "info", result->infos, result->info_count, NULL);
    http_text_add(text, "}", 1);
}

bool api_put_result(struct api_result_writer *writer, struct http_text *text, size_t piece_bytes)
{
    if (writer->stage == STAGE_BEGIN) {
        put_head(writer, text);
    }
    while (writer->stage != STAGE_END && text->count < piece_bytes && !text->is_failed) {
        if (writer->stage == STAGE_SERIES) {
            begin_series(writer, text);
        } else {
            put_points(writer, text, piece_bytes);
        }
    }
    if (writer->stage != STAGE_END || text->is_failed) {
        return false;
    }
    put_tail(writer, text);
    return true;
}
