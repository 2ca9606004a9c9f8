/*
 * Trees as JSON, as parse_query answers: members sorted by name, what is not there null.
 *
 * Durations that are expressions have no number yet: 0 stands for them, as upstream has it.
 */
#include <promql/print.h>

#include <promql/function.h>

static void write_json_string(struct promql_writer *writer, struct quarry_tsdb_slice text)
{
    promql_write_char(writer, '"');
    for (size_t i = 0; i < text.count;) {
        const char character = text.bytes[i];
        uint32_t rune;
        size_t taken = promql_rune(text.bytes + i, text.count - i, &rune);

        if (rune == UINT32_MAX) {
            promql_write_text(writer, "\\ufffd");
        } else if (character == '"' || character == '\\') {
            promql_write_format(writer, "\\%c", character);
        } else if (character == '\n' || character == '\r' || character == '\t') {
            promql_write_text(writer, character == '\n'   ? "\\n"
                                      : character == '\r' ? "\\r"
                                                          : "\\t");
        } else if (rune < 0x20 || character == '<' || character == '>' || character == '&' ||
                   rune == 0x2028 || rune == 0x2029) {
            promql_write_format(writer, "\\u%04x", rune);
        } else {
            promql_write(writer, text.bytes + i, taken);
        }
        i += taken;
    }
    promql_write_char(writer, '"');
}

static void write_bool(struct promql_writer *writer, const char *name, bool value)
{
    promql_write_format(writer, "\"%s\":%s", name, value ? "true" : "false");
}

static void write_list(struct promql_writer *writer, const char *name,
                       const struct quarry_tsdb_slice *names, size_t count)
{
    promql_write_format(writer, "\"%s\":[", name);
    for (size_t i = 0; i < count; i++) {
        promql_write_text(writer, i > 0 ? "," : "");
        write_json_string(writer, names[i]);
    }
    promql_write_char(writer, ']');
}

/* A member that is a node; NULL is null. */
static void write_member(struct promql_writer *writer, const char *name,
                         const struct promql_node *node)
{
    promql_write_format(writer, "\"%s\":", name);
    if (node == NULL) {
        promql_write_text(writer, "null");
    } else {
        promql_print_json(writer, node);
    }
}

/* "startOrEnd" and, behind what stands between them, "timestamp". */
static void write_start_or_end(struct promql_writer *writer,
                               const struct promql_modifiers *modifiers)
{
    promql_write_format(writer, "\"startOrEnd\":%s",
                        modifiers->at == PROMQL_AT_START ? "\"start\""
                        : modifiers->at == PROMQL_AT_END ? "\"end\""
                                                         : "null");
}

static void write_timestamp(struct promql_writer *writer, const struct promql_modifiers *modifiers)
{
    if (modifiers->at == PROMQL_AT_TIME) {
        promql_write_format(writer, "\"timestamp\":%lld", (long long)modifiers->at_ms);
    } else {
        promql_write_text(writer, "\"timestamp\":null");
    }
}

static void write_aggregate(struct promql_writer *writer, const struct promql_node *node)
{
    write_member(writer, "expr", node->aggregate.of);
    promql_write_char(writer, ',');
    write_list(writer, "grouping", node->aggregate.labels, node->aggregate.label_count);
    promql_write_format(writer, ",\"op\":\"%s\",",
                        promql_aggregation_name(node->aggregate.operation));
    write_member(writer, "param", node->aggregate.parameter);
    promql_write_text(writer, ",\"type\":\"aggregation\",");
    write_bool(writer, "without", node->aggregate.is_without);
}

static void write_fill(struct promql_writer *writer, const char *name, bool is_there, double value)
{
    promql_write_format(writer, "\"%s\":", name);
    if (is_there) {
        promql_write_double(writer, value, PROMQL_NUMBER_PLAIN);
    } else {
        promql_write_text(writer, "null");
    }
}

static void write_matching(struct promql_writer *writer, const struct promql_node *node)
{
    static const char *const cards[] = {"one-to-one", "many-to-one", "one-to-many", "many-to-many"};
    const struct promql_matching *matching = &node->binary.matching;

    if (node->binary.left->type != PROMQL_VECTOR || node->binary.right->type != PROMQL_VECTOR) {
        promql_write_text(writer, "\"matching\":null");
        return;
    }
    promql_write_format(writer, "\"matching\":{\"card\":\"%s\",\"fillValues\":{",
                        cards[matching->card]);
    write_fill(writer, "lhs", matching->has_fill_left, matching->fill_left);
    promql_write_char(writer, ',');
    write_fill(writer, "rhs", matching->has_fill_right, matching->fill_right);
    promql_write_text(writer, "},");
    write_list(writer, "include", matching->include, matching->include_count);
    promql_write_char(writer, ',');
    write_list(writer, "labels", matching->labels, matching->label_count);
    promql_write_char(writer, ',');
    write_bool(writer, "on", matching->is_on);
    promql_write_char(writer, '}');
}

/* What stands behind an operator's left side. */
static void write_operator(struct promql_writer *writer, const struct promql_node *node)
{
    const char *name = promql_operator_name(node->binary.operation);
    struct quarry_tsdb_slice text = {.bytes = name, .count = 0};

    while (name[text.count] != '\0') {
        text.count++;
    }
    promql_write_char(writer, ',');
    write_matching(writer, node);
    promql_write_text(writer, ",\"op\":");
    write_json_string(writer, text);
    promql_write_char(writer, ',');
    write_member(writer, "rhs", node->binary.right);
    promql_write_text(writer, ",\"type\":\"binaryExpr\"");
}

/* Operators in a row: all beginnings from the last one inwards, then what is behind the left sides
 * from the first one outwards. */
static void write_chain(struct promql_writer *writer, const struct promql_node *last)
{
    const struct promql_node *first = promql_chain_first(last), *node = last;

    for (;; node = node->binary.left) {
        write_bool(writer, "bool", node->binary.returns_bool);
        promql_write_text(writer, ",\"lhs\":");
        if (node == first) {
            break;
        }
        promql_write_char(writer, '{');
    }
    promql_print_json(writer, first->binary.left);
    for (; node != last; node = node->binary.above) {
        write_operator(writer, node);
        promql_write_char(writer, '}');
    }
    write_operator(writer, last);
}

static void write_call(struct promql_writer *writer, const struct promql_node *node)
{
    const struct promql_function *function = node->call.function;

    promql_write_text(writer, "\"args\":[");
    for (size_t i = 0; i < node->call.argument_count; i++) {
        promql_write_text(writer, i > 0 ? "," : "");
        promql_print_json(writer, node->call.arguments[i]);
    }
    promql_write_text(writer, "],\"func\":{\"argTypes\":[");
    for (size_t i = 0; i < function->argument_count; i++) {
        promql_write_format(writer, "%s\"%s\"", i > 0 ? "," : "",
                            promql_type_name(function->arguments[i]));
    }
    promql_write_format(
        writer, "],\"name\":\"%s\",\"returnType\":\"%s\",\"variadic\":%d},\"type\":\"call\"",
        function->name, promql_type_name(function->returns), function->variadic);
}

static void write_matchers(struct promql_writer *writer, const struct promql_node *selector)
{
    static const char *const operations[] = {"=", "!=", "=~", "!~"};

    promql_write_text(writer, "\"matchers\":[");
    for (size_t i = 0; i < selector->selector.matcher_count; i++) {
        const struct quarry_tsdb_matcher *matcher = &selector->selector.matchers[i];

        promql_write_text(writer, i > 0 ? ",{\"name\":" : "{\"name\":");
        write_json_string(writer, matcher->name);
        promql_write_format(writer, ",\"type\":\"%s\",\"value\":", operations[matcher->match]);
        write_json_string(writer, matcher->value);
        promql_write_char(writer, '}');
    }
    promql_write_text(writer, "],\"name\":");
    write_json_string(writer, selector->selector.name);
}

/* A selector, with a range or without. */
static void write_selector(struct promql_writer *writer, const struct promql_node *node)
{
    const bool is_matrix = node->kind == PROMQL_MATRIX_SELECTOR;
    const struct promql_node *selector = is_matrix ? node->matrix.selector : node;
    const struct promql_modifiers *modifiers = &selector->selector.modifiers;

    write_bool(writer, "anchored", selector->selector.is_anchored);
    promql_write_char(writer, ',');
    write_matchers(writer, selector);
    promql_write_format(writer, ",\"offset\":%lld,", (long long)modifiers->offset_ms);
    if (is_matrix) {
        promql_write_format(writer, "\"range\":%lld,", (long long)node->matrix.range_ms);
    }
    write_bool(writer, "smoothed", selector->selector.is_smoothed);
    promql_write_char(writer, ',');
    write_start_or_end(writer, modifiers);
    promql_write_char(writer, ',');
    write_timestamp(writer, modifiers);
    promql_write_format(writer, ",\"type\":\"%s\"",
                        is_matrix ? "matrixSelector" : "vectorSelector");
}

static void write_subquery(struct promql_writer *writer, const struct promql_node *node)
{
    const struct promql_modifiers *modifiers = &node->subquery.modifiers;

    write_member(writer, "expr", node->subquery.of);
    promql_write_format(writer, ",\"offset\":%lld,\"range\":%lld,", (long long)modifiers->offset_ms,
                        (long long)node->subquery.range_ms);
    write_start_or_end(writer, modifiers);
    promql_write_format(writer, ",\"step\":%lld,", (long long)node->subquery.step_ms);
    write_timestamp(writer, modifiers);
    promql_write_text(writer, ",\"type\":\"subquery\"");
}

static void write_leaf(struct promql_writer *writer, const struct promql_node *node)
{
    if (node->kind == PROMQL_NUMBER) {
        promql_write_text(writer, "\"type\":\"numberLiteral\",\"val\":\"");
        promql_write_double(writer, node->number.value, PROMQL_NUMBER_PLAIN);
        promql_write_char(writer, '"');
    } else {
        promql_write_text(writer, "\"type\":\"stringLiteral\",\"val\":");
        write_json_string(writer, node->text.value);
    }
}

void promql_print_json(struct promql_writer *writer, const struct promql_node *node)
{
    promql_write_char(writer, '{');
    switch (node->kind) {
    case PROMQL_AGGREGATE:
        write_aggregate(writer, node);
        break;
    case PROMQL_BINARY:
        write_chain(writer, node);
        break;
    case PROMQL_CALL:
        write_call(writer, node);
        break;
    case PROMQL_SELECTOR:
    case PROMQL_MATRIX_SELECTOR:
        write_selector(writer, node);
        break;
    case PROMQL_SUBQUERY:
        write_subquery(writer, node);
        break;
    case PROMQL_NUMBER:
    case PROMQL_TEXT:
        write_leaf(writer, node);
        break;
    case PROMQL_PAREN:
        write_member(writer, "expr", node->paren.of);
        promql_write_text(writer, ",\"type\":\"parenExpr\"");
        break;
    case PROMQL_UNARY:
        write_member(writer, "expr", node->unary.of);
        promql_write_format(writer, ",\"op\":\"%s\",\"type\":\"unaryExpr\"",
                            promql_operator_name(node->unary.operation));
        break;
    case PROMQL_DURATION: /* within ranges and offsets alone, which say 0 */
        break;
    }
    promql_write_char(writer, '}');
}
