/*
 * Functions of whole vectors: vector, scalar, absent, sort.
 */
#include <promql/functions.h>
#include <promql/notes.h>
#include <promql/range.h>

#include <math.h>

/* A stream of one row without labels that has `values` at all steps. */
static struct eval_stream *stream_of_values(struct eval *eval, const struct eval_frame *frame,
                                            const double *values)
{
    struct eval_matrix matrix = {0};
    struct eval_row row;

    if (values == NULL || !eval_row_init(eval, frame->count, false, &row)) {
        return NULL;
    }
    for (uint32_t step = 0; step < frame->count; step++) {
        eval_put(&row, step, values[step]);
    }
    return eval_matrix_add(eval, &matrix, &row) ? eval_stream_of(eval, frame, &matrix) : NULL;
}

struct eval_stream *eval_vector_of_time(struct eval *eval, const struct eval_frame *frame)
{
    double *values = eval_take(eval, frame->count, sizeof *values);

    for (uint32_t step = 0; values != NULL && step < frame->count; step++) {
        values[step] = (double)eval_time(frame, step) / 1000;
    }
    return stream_of_values(eval, frame, values);
}

struct eval_stream *eval_vector_of_scalar(struct eval *eval, const struct eval_frame *frame,
                                          const struct promql_node *node)
{
    return stream_of_values(eval, frame, eval_scalar(eval, frame, node->call.arguments[0]));
}

double *eval_scalar_of_vector(struct eval *eval, const struct eval_frame *frame,
                              const struct promql_node *node)
{
    struct eval_stream *stream = eval_vector(eval, frame, node->call.arguments[0]);
    double *values = eval_take(eval, frame->count, sizeof *values);
    uint32_t *counts = eval_take_zero(eval, frame->count, sizeof *counts);
    struct eval_row row;

    if (stream == NULL || values == NULL || counts == NULL) {
        return NULL;
    }
    while (stream->next(stream, &row)) {
        for (uint32_t i = 0; i < row.count; i++) {
            if (row.kinds[i] == EVAL_FLOAT) {
                values[row.first + i] = row.values[i];
                counts[row.first + i]++;
            }
        }
    }
    for (uint32_t step = 0; step < frame->count; step++) {
        values[step] = counts[step] == 1 ? values[step] : NAN;
    }
    return eval_is_failed(eval) ? NULL : values;
}

/* ---- absent --------------------------------------------------------------------------------- */

/* The labels that a selector says its series have: matchers for equality, no name twice. */
static bool labels_of_selector(struct eval *eval, const struct promql_node *node,
                               struct eval_labels *ret_labels)
{
    struct eval_label_buffer buffer = {0};
    struct eval_labels labels = {0};

    if (node->kind == PROMQL_MATRIX_SELECTOR) {
        node = node->matrix.selector;
    }
    *ret_labels = labels;
    if (node->kind != PROMQL_SELECTOR) {
        return true;
    }
    size_t count = node->selector.matcher_count;
    if (!eval_buffer_reserve(eval, &buffer, count)) {
        return false;
    }
    labels.labels = buffer.labels;
    for (size_t i = 0; i < count; i++) {
        const struct quarry_tsdb_matcher *matcher = &node->selector.matchers[i];
        bool is_first = true;
        if (eval_slice_is(matcher->name, "__name__")) {
            continue;
        }
        for (size_t j = 0; j < i; j++) { /* one that stands twice says nothing */
            const struct quarry_tsdb_matcher *before = &node->selector.matchers[j];
            is_first = is_first && !(before->match == QUARRY_TSDB_EQUAL &&
                                     eval_slice_equal(before->name, matcher->name));
        }
        bool is_said = matcher->match == QUARRY_TSDB_EQUAL && is_first;
        labels = eval_labels_set(labels, matcher->name, is_said ? matcher->value : eval_slice(""),
                                 &buffer);
    }
    *ret_labels = labels;
    return true;
}

/* The argument's rows: of a range vector, where it has samples. */
static struct eval_stream *open_present(struct eval *eval, const struct eval_frame *frame,
                                        const struct promql_node *node)
{
    if (node->call.arguments[0]->type == PROMQL_MATRIX) {
        return eval_range_call(eval, frame, node, range_function_find("present_over_time"));
    }
    return eval_vector(eval, frame, node->call.arguments[0]);
}

struct eval_stream *eval_absent(struct eval *eval, const struct eval_frame *frame,
                                const struct promql_node *node)
{
    struct eval_stream *stream = open_present(eval, frame, node);
    struct eval_matrix matrix = {0};
    struct eval_row absent, row;

    if (stream == NULL || !eval_row_init(eval, frame->count, false, &absent) ||
        !labels_of_selector(eval, eval_unwrap(node->call.arguments[0]), &absent.labels)) {
        return NULL;
    }
    for (uint32_t step = 0; step < frame->count; step++) {
        eval_put(&absent, step, 1);
    }
    while (stream->next(stream, &row)) {
        for (uint32_t i = 0; i < row.count; i++) {
            if (row.kinds[i] != EVAL_NONE) {
                absent.kinds[row.first + i] = EVAL_NONE;
            }
        }
    }
    if (eval_is_failed(eval) || !eval_matrix_add(eval, &matrix, &absent)) {
        return NULL;
    }
    return eval_stream_of(eval, frame, &matrix);
}

/* ---- sorting -------------------------------------------------------------------------------- */

/* Names' numbers compare as numbers: "a2" < "a10". */
static int compare_natural(struct quarry_tsdb_slice a, struct quarry_tsdb_slice b)
{
    size_t i = 0, j = 0;

    while (i < a.count && j < b.count) {
        size_t i_begin = i, j_begin = j;
        while (i < a.count && a.bytes[i] >= '0' && a.bytes[i] <= '9') {
            i++;
        }
        while (j < b.count && b.bytes[j] >= '0' && b.bytes[j] <= '9') {
            j++;
        }
        if (i > i_begin && j > j_begin) {
            while (i_begin < i && a.bytes[i_begin] == '0') {
                i_begin++;
            }
            while (j_begin < j && b.bytes[j_begin] == '0') {
                j_begin++;
            }
            struct quarry_tsdb_slice left = {a.bytes + i_begin, i - i_begin};
            struct quarry_tsdb_slice right = {b.bytes + j_begin, j - j_begin};
            int order = (left.count > right.count) - (left.count < right.count);
            order = order != 0 ? order : eval_slice_compare(left, right);
            if (order != 0) {
                return order;
            }
            continue;
        }
        i = i_begin;
        j = j_begin;
        if (a.bytes[i] != b.bytes[j]) {
            return (unsigned char)a.bytes[i] < (unsigned char)b.bytes[j] ? -1 : 1;
        }
        i++;
        j++;
    }
    return (i < a.count) - (j < b.count);
}

/* NaN is last, in both directions. */
static int compare_values(double a, double b, bool is_descending)
{
    if (isnan(a) || isnan(b)) {
        return (isnan(a) != 0) - (isnan(b) != 0);
    }
    return is_descending ? (a < b) - (a > b) : (a > b) - (a < b);
}

struct sorting {
    const struct promql_node *call;
    bool is_descending, is_by_label;
};

static int compare_rows(const void *a, const void *b, void *argument)
{
    const struct eval_row *left = a, *right = b;
    const struct sorting *sorting = argument;
    int order = 0;

    if (!sorting->is_by_label) {
        order =
            compare_values(eval_value_at(left, 0), eval_value_at(right, 0), sorting->is_descending);
        return order;
    }
    for (size_t i = 1; i < sorting->call->call.argument_count && order == 0; i++) {
        struct quarry_tsdb_slice name = eval_unwrap(sorting->call->call.arguments[i])->text.value;
        order = compare_natural(eval_labels_find(left->labels, name),
                                eval_labels_find(right->labels, name));
    }
    order = order != 0 ? order : eval_labels_compare(left->labels, right->labels);
    return sorting->is_descending ? -order : order;
}

struct eval_stream *eval_sort(struct eval *eval, const struct eval_frame *frame,
                              const struct promql_node *node)
{
    enum promql_function_id id = node->call.function->id;
    struct sorting sorting = {
        .call = node,
        .is_descending = id == PROMQL_FN_sort_desc || id == PROMQL_FN_sort_by_label_desc,
        .is_by_label = id == PROMQL_FN_sort_by_label || id == PROMQL_FN_sort_by_label_desc};
    struct eval_matrix matrix, kept = {0};

    if (eval->is_range) {
        eval_note(eval, EVAL_NOTE_SORT_IN_RANGE, node->at);
    }
    if (!eval_matrix_of(eval, frame, node->call.arguments[0], &matrix)) {
        return NULL;
    }
    for (size_t i = 0; i < matrix.count; i++) {
        if (sorting.is_by_label || frame->count > 1 ||
            eval_kind_at(&matrix.rows[i], 0) == EVAL_FLOAT) {
            matrix.rows[kept.count++] = matrix.rows[i];
        }
    }
    matrix.count = kept.count;
    if (frame->count == 1 && matrix.count > 1 &&
        !eval_sort_rows(eval, matrix.rows, matrix.count, compare_rows, &sorting)) {
        return NULL;
    }
    return eval_stream_of(eval, frame, &matrix);
}
