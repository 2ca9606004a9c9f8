/*
 * count_values: a row for each value of a group, whose label is the value as text.
 */
#include <promql/aggregate.h>

#include <promql/histogram_text.h>
#include <promql/number.h>

#include <string.h>

struct counting {
    struct eval *eval;
    struct eval_frame frame;
    struct quarry_tsdb_slice label;
    struct eval_groups groups;
    struct eval_table table; /* of the rows that go out */
    struct eval_row *rows;
    size_t capacity;
    struct eval_label_buffer buffer;
};

/* A value as text, of the query's memory. */
static bool write_value(struct counting *of, const struct eval_row *row, uint32_t i,
                        struct quarry_tsdb_slice *ret_text)
{
    char digits[PROMQL_NUMBER_BYTES_MAX];

    if (row->kinds[i] == EVAL_HISTOGRAM) {
        struct promql_writer out = {.memory = of->eval->memory};
        promql_histogram_write(&out, row->histograms[i]);
        return promql_write_finish(&out, ret_text) || eval_fail_memory(of->eval);
    }
    size_t count = promql_number_write(row->values[i], PROMQL_NUMBER_PLAIN, digits);
    ret_text->bytes = promql_memory_copy(of->eval->memory, digits, count);
    ret_text->count = count;
    return ret_text->bytes != NULL || eval_fail_memory(of->eval);
}

/* The row of a group's labels and a value. */
static struct eval_row *row_of(struct counting *of, struct eval_labels group,
                               struct quarry_tsdb_slice value, bool drops_name)
{
    uint32_t number;
    bool is_new;

    if (!eval_buffer_reserve(of->eval, &of->buffer, group.count + 1)) {
        return NULL;
    }
    if (group.count != 0) {
        memcpy(of->buffer.labels, group.labels, group.count * sizeof *group.labels);
    }
    group.labels = of->buffer.labels;
    group = eval_labels_set(group, of->label, value, &of->buffer);
    if (!eval_table_put(of->eval, &of->table, group, &number, &is_new)) {
        return NULL;
    }
    if (is_new) {
        if (number == of->capacity) {
            struct eval_row *rows = eval_grow(of->eval, of->rows, &of->capacity, sizeof *rows);
            if (rows == NULL) {
                return NULL;
            }
            of->rows = rows;
        }
        if (!eval_row_init(of->eval, of->frame.count, false, &of->rows[number])) {
            return NULL;
        }
        of->rows[number].labels = of->table.keys[number];
        of->rows[number].drops_name = drops_name;
    }
    return &of->rows[number];
}

static bool count_row(struct counting *of, const struct eval_row *row)
{
    uint32_t number;
    bool is_new;

    if (!eval_group_of(&of->groups, row, &number, &is_new)) {
        return false;
    }
    for (uint32_t i = 0; i < row->count; i++) {
        struct quarry_tsdb_slice value;
        uint32_t step = row->first + i;
        if (row->kinds[i] == EVAL_NONE) {
            continue;
        }
        if (!write_value(of, row, i, &value)) {
            return false;
        }
        struct eval_row *out = row_of(of, of->groups.table.keys[number], value,
                                      row->drops_name && eval_group_has_name(of->groups.node));
        if (out == NULL) {
            return false;
        }
        eval_put(out, step, out->kinds[step] == EVAL_NONE ? 1 : out->values[step] + 1);
    }
    return true;
}

/* Refuses a label that is no UTF-8 or nothing, as Prometheus words it. */
static bool check_label(struct eval *eval, struct quarry_tsdb_slice label)
{
    char text[512];

    if (eval_is_label_name(eval, label)) {
        return true;
    }
    eval_quote(label, text, sizeof text);
    return eval_fail(eval, PROMQL_ERROR_EXECUTION, "invalid label name %s", text);
}

struct eval_stream *eval_count_values(struct eval *eval, const struct eval_frame *frame,
                                      const struct promql_node *node)
{
    struct counting of = {.eval = eval,
                          .frame = *frame,
                          .label = eval_unwrap(node->aggregate.parameter)->text.value,
                          .groups = {.eval = eval, .node = node}};
    struct eval_matrix matrix = {0};
    struct eval_stream *stream;
    struct eval_row row;

    if (!check_label(eval, of.label)) {
        return NULL;
    }
    stream = eval_vector(eval, frame, node->aggregate.of);
    if (stream == NULL) {
        return NULL;
    }
    while (stream->next(stream, &row)) {
        if (!count_row(&of, &row)) {
            return NULL;
        }
    }
    for (size_t i = 0; i < of.table.count; i++) {
        if (!eval_matrix_add(eval, &matrix, &of.rows[i])) {
            return NULL;
        }
    }
    return eval_is_failed(eval) ? NULL : eval_stream_of(eval, frame, &matrix);
}
