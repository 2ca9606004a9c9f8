/*
 * The query of an evaluation, in all ways.
 *
 * An instant query at t must give the same
 *   - with `@ t` in every selector that has none, at -10t, 0, t/5, t and 10t, unless it has a
 *     function whose result depends on the time of evaluation itself;
 *   - and each of these as the middle step of a range of three, a minute apart, unless it asks for
 *     start(), end(), step() or range().
 * The query with `@` is printed and parsed again: the printer is tried on the way.
 */
#include <promql/script_parts.h>

#include <promql/function.h>
#include <promql/print.h>

#include <stdio.h>
#include <string.h>

#define MINUTE_MS 60000

static struct promql_options engine_options(const struct script *script,
                                            const struct promql_source *source)
{
    return (struct promql_options){.source = source,
                                   .account = script->options->account,
                                   .pool = script->options->pool,
                                   .grant_bytes = script->grant_bytes,
                                   .samples_max = PROMQL_SCRIPT_SAMPLES_MAX,
                                   .delays_name_removal = true,
                                   .uses_start_times = true,
                                   .has_type_and_unit = true,
                                   .allows_experimental_functions = true,
                                   .allows_duration_expressions = true,
                                   .allows_extended_selectors = true,
                                   .allows_fill = true};
}

/* ---- one query ------------------------------------------------------------------------------ */

/* The result of a range, at its middle. */
static bool judge_middle(struct script *script, struct script_eval *eval,
                         const struct promql_result *result, int64_t middle_ms, const char *way)
{
    if (result->error != PROMQL_ERROR_NONE) {
        return script_fault(script, "%s: error evaluating query: %s", way, result->error_text);
    }
    return eval->is_ordered || script_compare(script, eval, result, &middle_ms, way);
}

static bool run_middle(struct script *script, struct script_eval *eval,
                       struct quarry_tsdb_slice text, int64_t t_ms, const char *way)
{
    const struct promql_source source = script_store_source(&script->store);
    const struct promql_options options = engine_options(script, &source);
    const struct promql_steps steps = {t_ms - MINUTE_MS, t_ms + MINUTE_MS, MINUTE_MS};
    struct promql_result result;

    script->counts.query_count++;
    (void)promql_query_range_text(&options, text, steps, &result);
    bool is_good = judge_middle(script, eval, &result, t_ms, way);
    promql_result_fini(&result);
    return is_good;
}

static bool judge(struct script *script, struct script_eval *eval,
                  const struct promql_result *result, const char *way)
{
    if (result->error != PROMQL_ERROR_NONE) {
        return script_check_failure(script, eval, result, way);
    }
    if (eval->fails) {
        return script_fault(script, "%s: expected an error but got none", way);
    }
    return script_check_notes(script, eval, result, way) &&
           script_compare(script, eval, result, NULL, way);
}

static bool contains(struct quarry_tsdb_slice text, const char *part)
{
    return memmem(text.bytes, text.count, part, strlen(part)) != NULL;
}

static bool asks_for_steps(struct quarry_tsdb_slice text)
{
    return contains(text, "start()") || contains(text, "end()") || contains(text, "range()") ||
           contains(text, "step()");
}

/* The query at a time, and as the middle of a range. */
static bool run_instant(struct script *script, struct script_eval *eval,
                        struct quarry_tsdb_slice text, int64_t t_ms, const char *way)
{
    const struct promql_source source = script_store_source(&script->store);
    const struct promql_options options = engine_options(script, &source);
    struct promql_result result;
    char range_way[160];

    script->counts.query_count++;
    bool has_result = promql_query_instant_text(&options, text, t_ms, &result);
    bool is_good = judge(script, eval, &result, way);
    promql_result_fini(&result);
    if (!is_good || !has_result || script->options->only_as_written || eval->has_range_vector ||
        eval->is_string || asks_for_steps(text)) {
        return is_good;
    }
    snprintf(range_way, sizeof(range_way), "%.100s, in range mode", way);
    return run_middle(script, eval, text, t_ms, range_way);
}

/* ---- the same with @ ------------------------------------------------------------------------ */

static bool depends_on_time(const struct promql_function *function)
{
    switch ((int)function->id) {
    case PROMQL_FN_days_in_month:
    case PROMQL_FN_day_of_month:
    case PROMQL_FN_day_of_week:
    case PROMQL_FN_day_of_year:
    case PROMQL_FN_hour:
    case PROMQL_FN_minute:
    case PROMQL_FN_month:
    case PROMQL_FN_year:
    case PROMQL_FN_predict_linear:
    case PROMQL_FN_start:
    case PROMQL_FN_end:
    case PROMQL_FN_step:
    case PROMQL_FN_range:
    case PROMQL_FN_time:
    case PROMQL_FN_timestamp:
        return true;
    default:
        return false;
    }
}

static bool pin(struct promql_node *node, int64_t t_ms);

static bool pin_modifiers(struct promql_modifiers *modifiers, int64_t t_ms)
{
    if (modifiers->at != PROMQL_AT_TIME) {
        modifiers->at = PROMQL_AT_TIME;
        modifiers->at_ms = t_ms;
    }
    return true;
}

static bool pin_arguments(struct promql_node *node, int64_t t_ms)
{
    if (depends_on_time(node->call.function)) {
        return false;
    }
    for (size_t i = 0; i < node->call.argument_count; i++) {
        if (!pin(node->call.arguments[i], t_ms)) {
            return false;
        }
    }
    return true;
}

static bool pin(struct promql_node *node, int64_t t_ms);

static bool pin_chain(struct promql_node *last, int64_t t_ms)
{
    struct promql_node *node = promql_chain_first(last);

    if (!pin(node->binary.left, t_ms)) {
        return false;
    }
    while (pin(node->binary.right, t_ms)) {
        if (node == last) {
            return true;
        }
        node = node->binary.above;
    }
    return false;
}

/* Puts the time into all selectors that have none; below a subquery they follow it. Returns: false:
 * the expression depends on the time of evaluation besides. */
static bool pin(struct promql_node *node, int64_t t_ms)
{
    switch (node->kind) {
    case PROMQL_SELECTOR:
        return pin_modifiers(&node->selector.modifiers, t_ms);
    case PROMQL_MATRIX_SELECTOR:
        return pin_modifiers(&node->matrix.selector->selector.modifiers, t_ms);
    case PROMQL_SUBQUERY:
        return pin_modifiers(&node->subquery.modifiers, t_ms);
    case PROMQL_AGGREGATE:
        return pin(node->aggregate.of, t_ms) &&
               (node->aggregate.parameter == NULL || pin(node->aggregate.parameter, t_ms));
    case PROMQL_BINARY:
        return pin_chain(node, t_ms);
    case PROMQL_CALL:
        return pin_arguments(node, t_ms);
    case PROMQL_PAREN:
        return pin(node->paren.of, t_ms);
    case PROMQL_UNARY:
        return pin(node->unary.of, t_ms);
    case PROMQL_NUMBER:
    case PROMQL_TEXT:
    case PROMQL_DURATION:
        break;
    }
    return true;
}

/* The expression with the time in it. count 0: there is none. */
static struct quarry_tsdb_slice pinned_text(struct script *script, const struct script_eval *eval)
{
    static const struct promql_parse_options options = {.allows_experimental_functions = true,
                                                        .allows_duration_expressions = true,
                                                        .allows_extended_selectors = true,
                                                        .allows_fill = true};
    struct promql_writer writer = {.memory = &script->scratch};
    struct promql_parse_error error;
    struct promql_node *tree;

    if (promql_parse(&script->scratch, eval->expression, &options, &tree, &error) != QUARRY_OK ||
        !pin(tree, eval->steps.start_ms)) {
        return (struct quarry_tsdb_slice){.count = 0};
    }
    promql_print(&writer, tree);
    return (struct quarry_tsdb_slice){.bytes = writer.bytes, .count = writer.count};
}

static bool run_pinned(struct script *script, struct script_eval *eval)
{
    const int64_t t_ms = eval->steps.start_ms;
    const int64_t others[] = {-10 * t_ms, 0, t_ms / 5, t_ms, 10 * t_ms};
    const int64_t of_zero[] = {-1000, 0, 1000};
    const struct quarry_tsdb_slice text = pinned_text(script, eval);
    const size_t count = text.count == 0 ? 0 : t_ms == 0 ? 3 : 5;

    for (size_t i = 0; i < count; i++) {
        const int64_t at_ms = t_ms == 0 ? of_zero[i] : others[i];
        char way[128];

        snprintf(way, sizeof(way), "as %.80s at %lld ms", text.bytes, (long long)at_ms);
        if (!run_instant(script, eval, text, at_ms, way)) {
            return false;
        }
    }
    return true;
}

static bool run_range(struct script *script, struct script_eval *eval)
{
    const struct promql_source source = script_store_source(&script->store);
    const struct promql_options options = engine_options(script, &source);
    struct promql_result result;

    script->counts.query_count++;
    (void)promql_query_range_text(&options, eval->expression, eval->steps, &result);
    bool is_good = judge(script, eval, &result, "range");
    promql_result_fini(&result);
    return is_good;
}

bool script_run_eval(struct script *script, struct script_eval *eval)
{
    if (eval->is_range) {
        return run_range(script, eval);
    }
    if (!run_instant(script, eval, eval->expression, eval->steps.start_ms, "instant")) {
        return false;
    }
    return script->options->only_as_written || run_pinned(script, eval);
}
