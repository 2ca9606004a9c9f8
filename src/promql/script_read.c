/*
 * eval: what is asked, and what is expected.
 *
 *     eval instant at 5m sum(up)
 *       expect no_warn
 *       {} 3
 *     eval range from 0 to 5m step 1m up
 *       up{job="a"} 1 1 _ 1 1 1
 *
 * Without `expect` lines about them, warnings and infos are not looked at. A body without a result
 * expects an empty one.
 */
#include <promql/lexer.h>
#include <promql/script_parts.h>

#include <string.h>

/* `word` must come next. */
static bool expect_word(struct script *script, struct quarry_tsdb_slice *rest, const char *word)
{
    const struct quarry_tsdb_slice found = script_word(rest);

    return (found.count == strlen(word) && script_starts(found, word)) ||
           script_fault(script, "invalid evaluation command, expected '%s'", word);
}

static bool read_time(struct script *script, struct quarry_tsdb_slice *rest, const char *word,
                      int64_t *ret_ms)
{
    return expect_word(script, rest, word) && script_duration(script, script_word(rest), ret_ms);
}

/* "from 0 to 5m step 1m", at the front of `rest`. */
static bool read_steps(struct script *script, struct quarry_tsdb_slice *rest,
                       struct promql_steps *ret_steps)
{
    if (!read_time(script, rest, "from", &ret_steps->start_ms) ||
        !read_time(script, rest, "to", &ret_steps->end_ms) ||
        !read_time(script, rest, "step", &ret_steps->step_ms)) {
        return false;
    }
    return ret_steps->end_ms >= ret_steps->start_ms ||
           script_fault(script, "invalid test definition, end is before start");
}

static bool read_head(struct script *script, struct quarry_tsdb_slice rest,
                      struct script_eval *eval)
{
    const struct quarry_tsdb_slice kind = script_word(&rest);

    if (kind.count == 5 && script_starts(kind, "range")) {
        eval->is_range = true;
        if (!read_steps(script, &rest, &eval->steps)) {
            return false;
        }
    } else if (kind.count == 7 && script_starts(kind, "instant")) {
        if (script_starts(rest, "at ") || script_starts(rest, "at\t")) {
            if (!read_time(script, &rest, "at", &eval->steps.start_ms)) {
                return false;
            }
        }
        eval->steps.end_ms = eval->steps.start_ms;
    } else {
        return script_fault(script, "invalid evaluation command, neither instant nor range");
    }
    eval->expression = rest;
    return rest.count > 0 || script_fault(script, "no expression to evaluate");
}

/* What stands behind "eval": nothing, or "_fail" and its like. */
static bool read_modifier(struct script *script, struct quarry_tsdb_slice modifier,
                          struct script_eval *eval)
{
    const char *const names[] = {"_fail", "_warn", "_info", "_ordered"};
    bool *const flags[] = {&eval->fails, &eval->warns, &eval->informs, &eval->is_ordered};

    for (size_t i = 0; i < 4; i++) {
        if (modifier.count == strlen(names[i]) && script_starts(modifier, names[i])) {
            *flags[i] = true;
            return true;
        }
    }
    return modifier.count == 0 || script_fault(script, "invalid evaluation command");
}

/* ---- expect --------------------------------------------------------------------------------- */

static struct quarry_tsdb_slice behind(struct quarry_tsdb_slice text, size_t count)
{
    return (struct quarry_tsdb_slice){.bytes = text.bytes + count, .count = text.count - count};
}

/* "msg: …", "regex: …" or nothing, added to *list. */
static bool add_message(struct script *script, struct quarry_tsdb_slice rest,
                        struct script_message **list)
{
    struct script_message *message = promql_memory_take_zero(&script->scratch, 1, sizeof(*message));

    if (message == NULL) {
        return script_fault(script, "no memory for what is expected");
    }
    if (rest.count == 0) {
        message->is_any = true;
    } else if (script_starts(rest, "msg:")) {
        message->text = script_trim(behind(rest, 4));
    } else if (script_starts(rest, "regex:")) {
        message->is_regex = true;
        message->text = script_trim(behind(rest, 6));
    } else {
        return script_fault(script, "invalid expect statement, must match `expect <type> "
                                    "<match_type>: <string>` format");
    }
    message->next = *list;
    *list = message;
    return true;
}

static bool read_string(struct script *script, struct quarry_tsdb_slice rest,
                        struct script_eval *eval)
{
    uint32_t end = 0;
    char room[96];

    eval->is_string = true;
    if (rest.count < 2 || strchr("\"'`", rest.bytes[0]) == NULL ||
        promql_scan_string(rest.bytes, (uint32_t)rest.count, 1, &end, room) != NULL ||
        end != rest.count) {
        return script_fault(script, "expected string literal not valid");
    }
    eval->string = promql_unquote(&script->scratch, rest);
    return eval->string.bytes != NULL || script_fault(script, "no memory for a string");
}

/* Behind "expect". */
static bool read_expect(struct script *script, struct quarry_tsdb_slice rest,
                        struct script_eval *eval)
{
    const struct quarry_tsdb_slice line = rest;
    const struct quarry_tsdb_slice word = script_word(&rest);
    const size_t count = word.count;

    if (count == 4 && script_starts(word, "fail")) {
        eval->fails = true;
        return add_message(script, rest, &eval->fail);
    }
    if (count == 4 && script_starts(word, "warn")) {
        return add_message(script, rest, &eval->warn);
    }
    if (count == 4 && script_starts(word, "info")) {
        return add_message(script, rest, &eval->info);
    }
    if (count == 7 && script_starts(word, "ordered")) {
        eval->is_ordered = true;
    } else if (count == 7 && script_starts(word, "no_warn")) {
        eval->no_warn = true;
    } else if (count == 7 && script_starts(word, "no_info")) {
        eval->no_info = true;
    } else if (count == 6 && script_starts(word, "string")) {
        return read_string(script, rest, eval);
    } else if (script_starts(line, "range vector")) {
        rest = script_trim(behind(line, strlen("range vector")));
        eval->has_range_vector = true;
        return read_steps(script, &rest, &eval->vector_steps);
    } else {
        return script_fault(script, "invalid expected error/annotation type '%.*s'", (int)count,
                            word.bytes);
    }
    return rest.count == 0 ||
           script_fault(script, "nothing may follow 'expect %.*s'", (int)count, word.bytes);
}

/* ---- series --------------------------------------------------------------------------------- */

/* The place of a series with these labels: a later line replaces an earlier one. */
static struct script_expected_series *series_place(struct script *script, struct script_eval *eval,
                                                   const struct promql_series_description *series)
{
    for (size_t i = 0; i < eval->series_count; i++) {
        struct script_expected_series *other = &eval->series[i];
        if (script_compare_labels(series->labels, series->label_count, other->labels,
                                  other->label_count) == 0) {
            return other;
        }
    }
    if (eval->series_count == eval->series_capacity) {
        const size_t capacity = eval->series_capacity == 0 ? 16 : eval->series_capacity * 2;
        struct script_expected_series *grown =
            promql_memory_take_zero(&script->scratch, capacity, sizeof(*grown));

        if (grown == NULL || eval->series_count == SCRIPT_EXPECTED_MAX) {
            script_fault(script, "too many series are expected");
            return NULL;
        }
        if (eval->series_count > 0) {
            memcpy(grown, eval->series, eval->series_count * sizeof(*grown));
        }
        eval->series = grown;
        eval->series_capacity = capacity;
    }
    return &eval->series[eval->series_count++];
}

static bool read_series(struct script *script, struct quarry_tsdb_slice line,
                        struct script_eval *eval, size_t position)
{
    struct promql_series_description series;
    struct promql_parse_error error;

    if (promql_parse_series(&script->scratch, line, &series, &error) != QUARRY_OK) {
        return script_fault(script, "line %u: %s", script->line, error.text);
    }
    if (series.value_count > 1 && !eval->is_range && !eval->has_range_vector) {
        return script_fault(script,
                            "expecting multiple values in instant evaluation not allowed. consider "
                            "using 'expect range vector' directive");
    }
    struct script_expected_series *place = series_place(script, eval, &series);
    if (place == NULL) {
        return false;
    }
    *place = (struct script_expected_series){.labels = series.labels,
                                             .label_count = series.label_count,
                                             .values = series.values,
                                             .value_count = series.value_count,
                                             .position = position};
    return true;
}

/* A line that is a number alone. */
static bool read_scalar(struct quarry_tsdb_slice line, struct script_eval *eval)
{
    const bool is_negative = script_starts(line, "-");
    const bool is_signed = is_negative || script_starts(line, "+");

    if (!promql_read_number(behind(line, is_signed), &eval->scalar)) {
        return false;
    }
    eval->scalar = is_negative ? -eval->scalar : eval->scalar;
    eval->is_scalar = true;
    return true;
}

static bool read_body_line(struct script *script, struct quarry_tsdb_slice line,
                           struct script_eval *eval, size_t *position)
{
    struct quarry_tsdb_slice rest = line;
    const struct quarry_tsdb_slice word = script_word(&rest);
    const size_t legacy = strlen("expected_fail_message");

    if (script_starts(line, "expected_fail_message")) {
        struct script_message **list = &eval->fail;
        return add_message(script, (struct quarry_tsdb_slice)QUARRY_TSDB_TEXT("msg:"), list) &&
               ((*list)->text = script_trim(behind(line, legacy)), true);
    }
    if (script_starts(line, "expected_fail_regexp")) {
        struct script_message **list = &eval->fail;
        return add_message(script, (struct quarry_tsdb_slice)QUARRY_TSDB_TEXT("regex:"), list) &&
               ((*list)->text = script_trim(behind(line, legacy - 1)), true);
    }
    if (word.count == 6 && script_starts(word, "expect")) {
        return read_expect(script, rest, eval);
    }
    return read_scalar(line, eval) || read_series(script, line, eval, ++*position);
}

bool script_read_eval(struct script *script, struct quarry_tsdb_slice rest,
                      struct quarry_tsdb_slice modifier, struct script_eval *eval)
{
    struct quarry_tsdb_slice line;
    size_t position = 0;

    if (!read_modifier(script, modifier, eval) || !read_head(script, rest, eval)) {
        return false;
    }
    while (script_body_line(script, &line)) {
        if (!read_body_line(script, line, eval, &position)) {
            return false;
        }
    }
    if ((eval->warn != NULL && eval->no_warn) || (eval->info != NULL && eval->no_info)) {
        return script_fault(script, "invalid expect lines, %s cannot be used together",
                            eval->no_warn && eval->warn != NULL ? "warn and no_warn"
                                                                : "info and no_info");
    }
    return eval->fail == NULL || eval->fail->next == NULL ||
           script_fault(script, "invalid expect lines, multiple expect fail lines are not allowed");
}
