/*
 * Trees as Prometheus prints them, on one line.
 *
 * Matchers are sorted by their text, and the name that stood before the braces stands there again.
 * What was written in another form and means the same comes out in one form: times of `@` in
 * seconds with three places, durations in the largest units.
 */
#include <promql/print.h>

#include <promql/function.h>

#include <stdlib.h>
#include <string.h>

static void print_duration_node(struct promql_writer *writer, const struct promql_node *node);

/* Whether a name needs no quotes as a label's: letters, digits, underscores. */
static bool is_plain_label(struct quarry_tsdb_slice name)
{
    for (size_t i = 0; i < name.count; i++) {
        char character = name.bytes[i];
        bool is_letter = (character >= 'a' && character <= 'z') ||
                         (character >= 'A' && character <= 'Z') || character == '_';
        if (!is_letter && (i == 0 || character < '0' || character > '9')) {
            return false;
        }
    }
    return name.count > 0;
}

static void print_name(struct promql_writer *writer, struct quarry_tsdb_slice name)
{
    if (is_plain_label(name)) {
        promql_write(writer, name.bytes, name.count);
    } else {
        promql_write_quoted(writer, name);
    }
}

static void print_names(struct promql_writer *writer, const struct quarry_tsdb_slice *names,
                        size_t count)
{
    promql_write_text(writer, " (");
    for (size_t i = 0; i < count; i++) {
        promql_write_text(writer, i > 0 ? ", " : "");
        print_name(writer, names[i]);
    }
    promql_write_char(writer, ')');
}

void promql_print_labels(struct promql_writer *writer, const struct quarry_tsdb_label *labels,
                         size_t count)
{
    promql_write_char(writer, '{');
    for (size_t i = 0; i < count; i++) {
        promql_write_text(writer, i > 0 ? ", " : "");
        print_name(writer, labels[i].name);
        promql_write_char(writer, '=');
        promql_write_quoted(writer, labels[i].value);
    }
    promql_write_char(writer, '}');
}

/* ---- selectors ------------------------------------------------------------------------------ */

static void print_matcher(struct promql_writer *writer, const struct quarry_tsdb_matcher *matcher)
{
    static const char *const operations[] = {"=", "!=", "=~", "!~"};

    print_name(writer, matcher->name);
    promql_write_text(writer, operations[matcher->match]);
    promql_write_quoted(writer, matcher->value);
}

static int compare_texts(const void *left, const void *right)
{
    const struct quarry_tsdb_slice *a = left, *b = right;
    int order = memcmp(a->bytes, b->bytes, a->count < b->count ? a->count : b->count);

    return order != 0 ? order : a->count < b->count ? -1 : a->count > b->count;
}

/* Whether it is the matcher of the name that stands before the braces. */
static bool is_name_matcher(const struct promql_node *node,
                            const struct quarry_tsdb_matcher *matcher)
{
    const struct quarry_tsdb_slice name = QUARRY_TSDB_TEXT("__name__");

    return matcher->match == QUARRY_TSDB_EQUAL && matcher->value.count > 0 &&
           compare_texts(&matcher->name, &name) == 0 &&
           compare_texts(&matcher->value, &node->selector.name) == 0;
}

static void print_matchers(struct promql_writer *writer, const struct promql_node *node)
{
    struct quarry_tsdb_slice *texts = promql_memory_take_zero(
        writer->memory, node->selector.matcher_count, sizeof(struct quarry_tsdb_slice));
    size_t count = 0;

    for (size_t i = 0; texts != NULL && i < node->selector.matcher_count; i++) {
        struct promql_writer text = {.memory = writer->memory};

        if (!is_name_matcher(node, &node->selector.matchers[i])) {
            print_matcher(&text, &node->selector.matchers[i]);
            if (text.bytes == NULL) {
                return;
            }
            texts[count++] = (struct quarry_tsdb_slice){.bytes = text.bytes, .count = text.count};
        }
    }
    if (texts == NULL || count == 0) {
        return;
    }
    qsort(texts, count, sizeof(texts[0]), compare_texts);
    for (size_t i = 0; i < count; i++) {
        promql_write_char(writer, i == 0 ? '{' : ',');
        promql_write(writer, texts[i].bytes, texts[i].count);
    }
    promql_write_char(writer, '}');
}

static void print_at(struct promql_writer *writer, const struct promql_modifiers *modifiers)
{
    const uint64_t distance =
        modifiers->at_ms < 0 ? 0 - (uint64_t)modifiers->at_ms : (uint64_t)modifiers->at_ms;

    switch (modifiers->at) {
    case PROMQL_AT_STEP:
        break;
    case PROMQL_AT_TIME:
        promql_write_format(writer, " @ %s%llu.%03llu", modifiers->at_ms < 0 ? "-" : "",
                            (unsigned long long)(distance / 1000),
                            (unsigned long long)(distance % 1000));
        break;
    case PROMQL_AT_START:
        promql_write_text(writer, " @ start()");
        break;
    case PROMQL_AT_END:
        promql_write_text(writer, " @ end()");
        break;
    }
}

static void print_offset(struct promql_writer *writer, const struct promql_modifiers *modifiers)
{
    if (modifiers->offset != NULL) {
        promql_write_text(writer, " offset ");
        print_duration_node(writer, modifiers->offset);
    } else if (modifiers->offset_ms != 0) {
        promql_write_text(writer, " offset ");
        promql_write_duration(writer, modifiers->offset_ms);
    }
}

static void print_extended(struct promql_writer *writer, const struct promql_node *selector)
{
    promql_write_text(writer, selector->selector.is_anchored   ? " anchored"
                              : selector->selector.is_smoothed ? " smoothed"
                                                               : "");
}

static void print_series(struct promql_writer *writer, const struct promql_node *selector)
{
    promql_write(writer, selector->selector.name.bytes, selector->selector.name.count);
    print_matchers(writer, selector);
}

static void print_selector(struct promql_writer *writer, const struct promql_node *node)
{
    print_series(writer, node);
    print_at(writer, &node->selector.modifiers);
    print_extended(writer, node);
    print_offset(writer, &node->selector.modifiers);
}

static void print_span(struct promql_writer *writer, int64_t duration_ms,
                       const struct promql_node *duration)
{
    if (duration != NULL) {
        print_duration_node(writer, duration);
    } else {
        promql_write_duration(writer, duration_ms);
    }
}

static void print_matrix(struct promql_writer *writer, const struct promql_node *node)
{
    const struct promql_node *selector = node->matrix.selector;

    print_series(writer, selector);
    promql_write_char(writer, '[');
    print_span(writer, node->matrix.range_ms, node->matrix.range);
    promql_write_char(writer, ']');
    print_extended(writer, selector);
    print_at(writer, &selector->selector.modifiers);
    print_offset(writer, &selector->selector.modifiers);
}

void promql_print_subquery_end(struct promql_writer *writer, const struct promql_node *node)
{
    promql_write_char(writer, '[');
    print_span(writer, node->subquery.range_ms, node->subquery.range);
    promql_write_char(writer, ':');
    if (node->subquery.step_ms != 0 || node->subquery.step != NULL) {
        print_span(writer, node->subquery.step_ms, node->subquery.step);
    }
    promql_write_char(writer, ']');
    print_at(writer, &node->subquery.modifiers);
    print_offset(writer, &node->subquery.modifiers);
}

/* ---- numbers and durations ------------------------------------------------------------------ */

static void print_number(struct promql_writer *writer, const struct promql_node *node)
{
    if (node->number.is_duration) {
        promql_write_duration(
            writer, (int64_t)(node->number.value * 1000 + (node->number.value < 0 ? -0.5 : 0.5)));
    } else {
        promql_write_double(writer, node->number.value, PROMQL_NUMBER_PLAIN);
    }
}

static void print_operation(struct promql_writer *writer, const struct promql_node *node)
{
    const char *name = promql_operator_name(node->duration.operation);

    if (node->duration.left == NULL) {
        promql_write_text(writer, name);
        print_duration_node(writer, node->duration.right);
        return;
    }
    print_duration_node(writer, node->duration.left);
    promql_write_char(writer, ' ');
    promql_write_text(writer, name);
    promql_write_char(writer, ' ');
    print_duration_node(writer, node->duration.right);
}

static void print_duration_node(struct promql_writer *writer, const struct promql_node *node)
{
    if (node->kind == PROMQL_NUMBER) {
        print_number(writer, node);
        return;
    }
    promql_write_text(writer, node->duration.is_wrapped ? "(" : "");
    if (node->duration.operation < PROMQL_DUR_STEP) {
        print_operation(writer, node);
    } else {
        promql_write_text(writer, promql_operator_name(node->duration.operation));
        promql_write_char(writer, '(');
        if (node->duration.left != NULL) {
            print_duration_node(writer, node->duration.left);
            promql_write_text(writer, ", ");
            print_duration_node(writer, node->duration.right);
        }
        promql_write_char(writer, ')');
    }
    promql_write_text(writer, node->duration.is_wrapped ? ")" : "");
}

/* ---- expressions of expressions ------------------------------------------------------------- */

void promql_print_aggregation(struct promql_writer *writer, const struct promql_node *node)
{
    promql_write_text(writer, promql_aggregation_name(node->aggregate.operation));
    if (node->aggregate.is_without || node->aggregate.label_count > 0) {
        promql_write_text(writer, node->aggregate.is_without ? " without" : " by");
        print_names(writer, node->aggregate.labels, node->aggregate.label_count);
        promql_write_char(writer, ' ');
    }
}

static void print_aggregate(struct promql_writer *writer, const struct promql_node *node)
{
    promql_print_aggregation(writer, node);
    promql_write_char(writer, '(');
    if (node->aggregate.parameter != NULL) {
        promql_print(writer, node->aggregate.parameter);
        promql_write_text(writer, ", ");
    }
    promql_print(writer, node->aggregate.of);
    promql_write_char(writer, ')');
}

static void print_fill(struct promql_writer *writer, const char *name, double value)
{
    promql_write_text(writer, name);
    promql_write_double(writer, value, PROMQL_NUMBER_G);
    promql_write_char(writer, ')');
}

static void print_fills(struct promql_writer *writer, const struct promql_matching *matching)
{
    if (matching->has_fill_left && matching->has_fill_right &&
        memcmp(&matching->fill_left, &matching->fill_right, sizeof(double)) == 0) {
        print_fill(writer, " fill (", matching->fill_left);
        return;
    }
    if (matching->has_fill_left) {
        print_fill(writer, " fill_left (", matching->fill_left);
    }
    if (matching->has_fill_right) {
        print_fill(writer, " fill_right (", matching->fill_right);
    }
}

void promql_print_matching(struct promql_writer *writer, const struct promql_node *node)
{
    const struct promql_matching *matching = &node->binary.matching;
    const bool is_grouped =
        matching->card == PROMQL_MANY_TO_ONE || matching->card == PROMQL_ONE_TO_MANY;

    promql_write_text(writer, node->binary.returns_bool ? " bool" : "");
    if (node->binary.left->type != PROMQL_VECTOR || node->binary.right->type != PROMQL_VECTOR) {
        return; /* nothing is matched */
    }
    if (matching->label_count > 0 || matching->is_on || is_grouped) {
        promql_write_text(writer, matching->is_on ? " on" : " ignoring");
        print_names(writer, matching->labels, matching->label_count);
    }
    if (is_grouped) {
        promql_write_text(writer,
                          matching->card == PROMQL_MANY_TO_ONE ? " group_left" : " group_right");
        print_names(writer, matching->include, matching->include_count);
    }
    print_fills(writer, matching);
}

static void print_chain(struct promql_writer *writer, const struct promql_node *last)
{
    const struct promql_node *node = promql_chain_first(last);

    promql_print(writer, node->binary.left);
    for (;; node = node->binary.above) {
        promql_write_char(writer, ' ');
        promql_write_text(writer, promql_operator_name(node->binary.operation));
        promql_print_matching(writer, node);
        promql_write_char(writer, ' ');
        promql_print(writer, node->binary.right);
        if (node == last) {
            return;
        }
    }
}

static void print_call(struct promql_writer *writer, const struct promql_node *node)
{
    promql_write_text(writer, node->call.function->name);
    promql_write_char(writer, '(');
    for (size_t i = 0; i < node->call.argument_count; i++) {
        promql_write_text(writer, i > 0 ? ", " : "");
        promql_print(writer, node->call.arguments[i]);
    }
    promql_write_char(writer, ')');
}

void promql_print(struct promql_writer *writer, const struct promql_node *node)
{
    switch (node->kind) {
    case PROMQL_NUMBER:
        print_number(writer, node);
        break;
    case PROMQL_TEXT:
        promql_write_quoted(writer, node->text.value);
        break;
    case PROMQL_SELECTOR:
        print_selector(writer, node);
        break;
    case PROMQL_MATRIX_SELECTOR:
        print_matrix(writer, node);
        break;
    case PROMQL_SUBQUERY:
        promql_print(writer, node->subquery.of);
        promql_print_subquery_end(writer, node);
        break;
    case PROMQL_AGGREGATE:
        print_aggregate(writer, node);
        break;
    case PROMQL_BINARY:
        print_chain(writer, node);
        break;
    case PROMQL_CALL:
        print_call(writer, node);
        break;
    case PROMQL_PAREN:
        promql_write_char(writer, '(');
        promql_print(writer, node->paren.of);
        promql_write_char(writer, ')');
        break;
    case PROMQL_UNARY:
        promql_write_text(writer, promql_operator_name(node->unary.operation));
        promql_print(writer, node->unary.of);
        break;
    case PROMQL_DURATION:
        print_duration_node(writer, node);
        break;
    }
}
