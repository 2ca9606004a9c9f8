/*
 * Rows, and matrices of them.
 *
 *     step      0   1   2   3   4   5   6   7
 *     kinds             F   -   H   F
 *     values            1       .   2          first 2, count 4
 *     histograms        .       h   .
 *
 * Rows that flow have room for all steps of their frame; those that stay are cut to what is there,
 * so that series that come and go cost what they have. Strings of labels are the sets' or the
 * query's, and stay; arrays of labels are copied.
 */
#include <promql/eval.h>

#include <string.h>

bool eval_row_init(struct eval *eval, uint32_t step_count, bool has_histograms,
                   struct eval_row *ret_row)
{
    struct eval_row row = {.count = step_count};

    row.kinds = eval_take_zero(eval, step_count, sizeof *row.kinds);
    row.values = eval_take(eval, step_count, sizeof *row.values);
    if (row.kinds == NULL || row.values == NULL) {
        return false;
    }
    if (has_histograms && !eval_row_widen(eval, &row, step_count)) {
        return false;
    }
    *ret_row = row;
    return true;
}

void eval_row_clear(struct eval_row *row, uint32_t step_count)
{
    row->first = 0;
    row->count = step_count;
    row->drops_name = false;
    memset(row->kinds, EVAL_NONE, step_count);
}

bool eval_row_widen(struct eval *eval, struct eval_row *row, uint32_t step_count)
{
    if (row->histograms == NULL) {
        row->histograms = eval_take_zero(eval, step_count, sizeof *row->histograms);
    }
    return row->histograms != NULL;
}

bool eval_put_histogram(struct eval *eval, struct eval_row *row, uint32_t step_count, uint32_t step,
                        const struct promql_histogram *histogram)
{
    if (!eval_row_widen(eval, row, step_count)) {
        return false;
    }
    row->kinds[step] = EVAL_HISTOGRAM;
    row->values[step] = 0;
    row->histograms[step] = histogram;
    return true;
}

bool eval_row_copy_step(struct eval *eval, struct eval_row *row, uint32_t step_count,
                        const struct eval_row *from, uint32_t step)
{
    switch (eval_kind_at(from, step)) {
    case EVAL_FLOAT:
        eval_put(row, step, eval_value_at(from, step));
        return true;
    case EVAL_HISTOGRAM:
        return eval_put_histogram(eval, row, step_count, step, eval_histogram_at(from, step));
    default:
        return true;
    }
}

/* Cuts away what is absent at both ends. */
static void trim(struct eval_row *row)
{
    uint32_t begin = 0, end = row->count;

    while (end > 0 && row->kinds[end - 1] == EVAL_NONE) {
        end--;
    }
    while (begin < end && row->kinds[begin] == EVAL_NONE) {
        begin++;
    }
    row->first += begin;
    row->count = end - begin;
    row->kinds += begin;
    row->values += begin;
    row->histograms = row->histograms == NULL ? NULL : row->histograms + begin;
}

bool eval_row_is_empty(const struct eval_row *row)
{
    return row->count == 0 || memchr(row->kinds, EVAL_FLOAT, row->count) == NULL
               ? row->count == 0 || memchr(row->kinds, EVAL_HISTOGRAM, row->count) == NULL
               : false;
}

bool eval_rows_overlap(const struct eval_row *a, const struct eval_row *b)
{
    for (uint32_t i = 0; i < a->count; i++) {
        if (a->kinds[i] != EVAL_NONE && eval_kind_at(b, a->first + i) != EVAL_NONE) {
            return true;
        }
    }
    return false;
}

static uint64_t count_samples(const struct eval_row *row)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < row->count; i++) {
        count += row->kinds[i] != EVAL_NONE;
    }
    return count;
}

bool eval_matrix_add(struct eval *eval, struct eval_matrix *matrix, const struct eval_row *row)
{
    struct eval_row kept = *row;

    trim(&kept);
    if (kept.count == 0) {
        return true;
    }
    if (matrix->count == matrix->capacity) {
        struct eval_row *rows = eval_grow(eval, matrix->rows, &matrix->capacity, sizeof *rows);
        if (rows == NULL) {
            return false;
        }
        matrix->rows = rows;
    }
    matrix->rows[matrix->count++] = kept;
    return eval_tick(eval, kept.count) && eval_hold(eval, count_samples(&kept));
}

/* Copies histograms to the query's memory; one that stands at several steps once. */
static bool copy_histograms(struct eval *eval, const struct eval_row *from, struct eval_row *to)
{
    const struct promql_histogram *last = NULL, *copy = NULL;

    to->histograms = eval_take_zero(eval, from->count, sizeof *to->histograms);
    if (to->histograms == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < from->count; i++) {
        if (from->kinds[i] != EVAL_HISTOGRAM) {
            continue;
        }
        if (from->histograms[i] != last) {
            last = from->histograms[i];
            copy = promql_histogram_copy(eval->memory, last);
        }
        if (copy == NULL) {
            return eval_fail_memory(eval);
        }
        to->histograms[i] = copy;
    }
    return true;
}

bool eval_matrix_copy(struct eval *eval, struct eval_matrix *matrix, const struct eval_row *row)
{
    struct eval_row from = *row, copy;

    trim(&from);
    if (from.count == 0) {
        return true;
    }
    copy = from;
    copy.kinds = eval_take(eval, from.count, sizeof *copy.kinds);
    copy.values = eval_take(eval, from.count, sizeof *copy.values);
    if (copy.kinds == NULL || copy.values == NULL ||
        !eval_labels_copy(eval, from.labels, &copy.labels)) {
        return false;
    }
    memcpy(copy.kinds, from.kinds, from.count * sizeof *copy.kinds);
    memcpy(copy.values, from.values, from.count * sizeof *copy.values);
    copy.histograms = NULL;
    if (memchr(from.kinds, EVAL_HISTOGRAM, from.count) != NULL &&
        !copy_histograms(eval, &from, &copy)) {
        return false;
    }
    return eval_matrix_add(eval, matrix, &copy);
}

/* ---- streams and matrices ------------------------------------------------------------------- */

struct matrix_stream {
    struct eval_stream stream;
    struct eval_matrix matrix;
    size_t index;
};

static bool next_of_matrix(struct eval_stream *stream, struct eval_row *ret_row)
{
    struct matrix_stream *of = (struct matrix_stream *)stream;

    eval_scratch_release(stream->eval);
    if (of->index == of->matrix.count || eval_is_failed(stream->eval)) {
        return false;
    }
    *ret_row = of->matrix.rows[of->index++];
    return eval_tick(stream->eval, 1 + ret_row->count);
}

struct eval_stream *eval_stream_of(struct eval *eval, const struct eval_frame *frame,
                                   const struct eval_matrix *matrix)
{
    struct matrix_stream *of = eval_take(eval, 1, sizeof *of);

    if (of == NULL) {
        return NULL;
    }
    *of = (struct matrix_stream){.stream = {.next = next_of_matrix, .eval = eval, .frame = *frame},
                                 .matrix = *matrix};
    return &of->stream;
}

bool eval_collect(struct eval_stream *stream, struct eval_matrix *ret_matrix)
{
    struct eval_matrix matrix = {0};
    struct eval_row row;

    if (stream->next == next_of_matrix) { /* it is collected already */
        *ret_matrix = ((struct matrix_stream *)stream)->matrix;
        return !eval_is_failed(stream->eval);
    }
    while (stream->next(stream, &row)) {
        if (!eval_matrix_copy(stream->eval, &matrix, &row)) {
            return false;
        }
    }
    *ret_matrix = matrix;
    return !eval_is_failed(stream->eval);
}

/* ---- one step for all ----------------------------------------------------------------------- */

struct repeat_stream {
    struct eval_stream stream;
    struct eval_stream *of;
    struct eval_row row;
};

static bool next_repeated(struct eval_stream *stream, struct eval_row *ret_row)
{
    struct repeat_stream *repeat = (struct repeat_stream *)stream;
    uint32_t count = stream->frame.count;
    struct eval_row one;

    do {
        if (!repeat->of->next(repeat->of, &one)) {
            return false;
        }
    } while (eval_kind_at(&one, 0) == EVAL_NONE);
    eval_row_clear(&repeat->row, count);
    for (uint32_t step = 0; step < count; step++) {
        if (eval_kind_at(&one, 0) == EVAL_FLOAT) {
            eval_put(&repeat->row, step, eval_value_at(&one, 0));
        } else if (!eval_put_histogram(stream->eval, &repeat->row, count, step,
                                       eval_histogram_at(&one, 0))) {
            return false;
        }
    }
    repeat->row.labels = one.labels;
    repeat->row.drops_name = one.drops_name;
    *ret_row = repeat->row;
    return true;
}

struct eval_stream *eval_repeat(struct eval *eval, const struct eval_frame *frame,
                                struct eval_stream *of)
{
    struct repeat_stream *repeat = eval_take(eval, 1, sizeof *repeat);

    if (of == NULL || repeat == NULL) {
        return NULL;
    }
    *repeat = (struct repeat_stream){
        .stream = {.next = next_repeated, .eval = eval, .frame = *frame}, .of = of};
    return eval_row_init(eval, frame->count, false, &repeat->row) ? &repeat->stream : NULL;
}

/* ---- names ---------------------------------------------------------------------------------- */

void eval_row_drop_name(const struct eval *eval, struct eval_row *row,
                        struct eval_label_buffer *buffer)
{
    if (eval->options->delays_name_removal) {
        row->drops_name = true;
    } else {
        row->labels = eval_labels_without(row->labels, (struct eval_names){0}, true,
                                          eval->options->has_type_and_unit, buffer);
    }
}

/* Adds what `from` has to `to`, a row of all steps. */
static bool join(struct eval *eval, uint32_t step_count, struct eval_row *to,
                 const struct eval_row *from)
{
    if (!eval_tick(eval, from->count)) {
        return false;
    }
    if (eval_rows_overlap(from, to)) {
        return eval_fail(eval, PROMQL_ERROR_EXECUTION,
                         "vector cannot contain metrics with the same labelset");
    }
    for (uint32_t i = 0; i < from->count; i++) {
        if (!eval_row_copy_step(eval, to, step_count, from, from->first + i)) {
            return false;
        }
    }
    return true;
}

/* A row that was cut, over all steps again. */
static bool spread(struct eval *eval, uint32_t step_count, struct eval_row *row)
{
    struct eval_row whole;

    if (!eval_row_init(eval, step_count, row->histograms != NULL, &whole)) {
        return false;
    }
    whole.labels = row->labels;
    whole.drops_name = row->drops_name;
    if (!join(eval, step_count, &whole, row)) {
        return false;
    }
    *row = whole;
    return true;
}

bool eval_merge(struct eval *eval, uint32_t step_count, struct eval_matrix *matrix)
{
    struct eval_table table = {0};
    struct eval_matrix merged = {0};

    for (size_t i = 0; i < matrix->count; i++) {
        struct eval_row *row = &matrix->rows[i];
        uint32_t number;
        bool is_new;
        if (!eval_table_put(eval, &table, row->labels, &number, &is_new)) {
            return false;
        }
        if (is_new) {
            matrix->rows[merged.count++] = *row; /* never ahead of what is still to be read */
            continue;
        }
        struct eval_row *to = &matrix->rows[number];
        if ((to->first != 0 || to->count != step_count) && !spread(eval, step_count, to)) {
            return false;
        }
        if (!join(eval, step_count, to, row)) {
            return false;
        }
    }
    matrix->count = merged.count;
    return true;
}
