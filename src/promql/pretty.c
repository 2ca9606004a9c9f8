/*
 * Trees laid out for people, as format_query answers.
 *
 * What fits into 100 bytes stays on one line. Of what does not, the parts go to lines of their own,
 * two blanks further in for each level. So each node asks how long it is, and costs its text again:
 * O(text * depth). Operators in a row are levels too, of which there may be any number: from
 * LEVELS_MAX on what is left stays on one line.
 */
#include <promql/print.h>

#include <promql/function.h>

#include <string.h>

#define LINE_BYTES 100u
/* Twice as many are four times the blanks, 128 KiB of them for a long chain, and twice the stack.
 */
#define LEVELS_MAX 256u

static void pretty(struct promql_writer *writer, const struct promql_node *node, uint32_t level);

static void indent(struct promql_writer *writer, uint32_t level)
{
    for (uint32_t i = 0; i < level; i++) {
        promql_write_text(writer, "  ");
    }
}

/* Whether it is too long for a line. */
static bool is_long(struct promql_writer *writer, const struct promql_node *node)
{
    const struct promql_mark mark = promql_memory_mark(writer->memory);
    struct promql_writer line = {.memory = writer->memory};

    promql_print(&line, node);
    promql_memory_release(writer->memory, mark);
    return line.count > LINE_BYTES;
}

static void pretty_aggregate(struct promql_writer *writer, const struct promql_node *node,
                             uint32_t level)
{
    promql_print_aggregation(writer, node);
    promql_write_text(writer, "(\n");
    if (node->aggregate.parameter != NULL) {
        pretty(writer, node->aggregate.parameter, level + 1);
        promql_write_text(writer, ",\n");
    }
    pretty(writer, node->aggregate.of, level + 1);
    promql_write_char(writer, '\n');
    indent(writer, level);
    promql_write_char(writer, ')');
}

static void pretty_call(struct promql_writer *writer, const struct promql_node *node,
                        uint32_t level)
{
    promql_write_text(writer, node->call.function->name);
    promql_write_text(writer, "(\n");
    for (size_t i = 0; i < node->call.argument_count; i++) {
        promql_write_text(writer, i > 0 ? ",\n" : "");
        pretty(writer, node->call.arguments[i], level + 1);
    }
    promql_write_char(writer, '\n');
    indent(writer, level);
    promql_write_char(writer, ')');
}

static void pretty_paren(struct promql_writer *writer, const struct promql_node *node,
                         uint32_t level)
{
    promql_write_text(writer, "(\n");
    pretty(writer, node->paren.of, level + 1);
    promql_write_char(writer, '\n');
    indent(writer, level);
    promql_write_char(writer, ')');
}

static void pretty_binary(struct promql_writer *writer, const struct promql_node *node,
                          uint32_t level)
{
    pretty(writer, node->binary.left, level + 1);
    promql_write_char(writer, '\n');
    indent(writer, level);
    promql_write_text(writer, promql_operator_name(node->binary.operation));
    promql_print_matching(writer, node);
    promql_write_char(writer, '\n');
    pretty(writer, node->binary.right, level + 1);
}

/* The sign, and what it is of without the blanks in front. */
static void pretty_unary(struct promql_writer *writer, const struct promql_node *node,
                         uint32_t level)
{
    struct promql_writer of = {.memory = writer->memory};
    size_t blanks = 0;

    pretty(&of, node->unary.of, level);
    while (blanks < of.count && of.bytes[blanks] == ' ') {
        blanks++;
    }
    promql_write_text(writer, promql_operator_name(node->unary.operation));
    if (of.bytes != NULL) {
        promql_write(writer, of.bytes + blanks, of.count - blanks);
    }
}

static void pretty(struct promql_writer *writer, const struct promql_node *node, uint32_t level)
{
    const enum promql_kind kind = node->kind;
    const bool is_broken = level < LEVELS_MAX && is_long(writer, node);

    if (is_broken && kind == PROMQL_SUBQUERY) {
        pretty(writer, node->subquery.of, level);
        promql_print_subquery_end(writer, node);
        return;
    }
    if (is_broken && kind == PROMQL_BINARY) {
        pretty_binary(writer, node, level);
        return;
    }
    if (kind != PROMQL_SUBQUERY) { /* upstream leaves those that fit where they are */
        indent(writer, level);
    }
    if (is_broken && kind == PROMQL_AGGREGATE) {
        pretty_aggregate(writer, node, level);
    } else if (is_broken && kind == PROMQL_CALL) {
        pretty_call(writer, node, level);
    } else if (is_broken && kind == PROMQL_PAREN) {
        pretty_paren(writer, node, level);
    } else if (is_broken && kind == PROMQL_UNARY) {
        pretty_unary(writer, node, level);
    } else {
        promql_print(writer, node);
    }
}

void promql_print_pretty(struct promql_writer *writer, const struct promql_node *node)
{
    pretty(writer, node, 0);
}
