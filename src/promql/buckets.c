/*
 * histogram_quantile, histogram_quantiles and histogram_fraction: of classic histograms, whose
 * buckets are series that differ by their label `le`, and of native ones.
 *
 *     x_bucket{job="a", le="0.5"}  ┐
 *     x_bucket{job="a", le="1"}    ├ one histogram, {job="a"}
 *     x_bucket{job="a", le="+Inf"} ┘
 *     x{job="a"}                     native: one too
 *
 * Rows are collected and grouped by their labels without `le`; at each step a group's buckets, or
 * its native histogram, come to a number. Both at one step come to none, and a warning.
 */
#include <promql/functions.h>
#include <promql/notes.h>

#include <promql/classic.h>
#include <promql/histogram_value.h>
#include <promql/number.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A row's place: which histogram it belongs to, and its boundary. */
struct member {
    uint32_t row;
    double upper;
    bool is_bucket; /* it has a boundary */
};

struct histograms {
    struct eval *eval;
    struct eval_frame frame;
    const struct promql_node *node;
    bool is_fraction;
    struct eval_matrix matrix;
    struct eval_table table;
    struct eval_label_buffer buffer;
    struct member *members; /* group by group */
    uint32_t *begins;
    struct promql_classic_bucket *buckets; /* room for the largest group */
    size_t bucket_count;
};

/* ---- groups --------------------------------------------------------------------------------- */

/* A boundary's text as Go reads it: a whole decimal number. */
static bool read_boundary(struct quarry_tsdb_slice text, double *ret_value)
{
    char copy[64], *end;

    if (text.count == 0 || text.count >= sizeof copy || text.bytes[0] == ' ') {
        return false;
    }
    memcpy(copy, text.bytes, text.count);
    copy[text.count] = '\0';
    *ret_value = strtod(copy, &end);
    return *end == '\0';
}

static struct promql_range vector_at(const struct histograms *of)
{
    for (size_t i = 0; i < of->node->call.argument_count; i++) {
        if (of->node->call.arguments[i]->type == PROMQL_VECTOR) {
            return of->node->call.arguments[i]->at;
        }
    }
    return of->node->at;
}

static bool number_rows(struct histograms *of, uint32_t *numbers, struct member *members)
{
    const struct quarry_tsdb_slice le = {.bytes = "le", .count = 2};

    for (uint32_t i = 0; i < of->matrix.count; i++) {
        const struct eval_row *row = &of->matrix.rows[i];
        struct quarry_tsdb_slice text = eval_labels_find(row->labels, le);
        bool is_new;
        members[i] = (struct member){.row = i};
        members[i].is_bucket = read_boundary(text, &members[i].upper);
        if (!members[i].is_bucket && memchr(row->kinds, EVAL_FLOAT, row->count) != NULL) {
            eval_note_bucket(of->eval, vector_at(of), row->labels, text);
        }
        /* A native histogram may have a label `le`, which then stays. */
        bool is_native = memchr(row->kinds, EVAL_HISTOGRAM, row->count) != NULL;
        struct eval_names names = {.names = &le, .count = is_native ? 0 : 1};
        if (!eval_buffer_reserve(of->eval, &of->buffer, row->labels.count) ||
            !eval_table_put(of->eval, &of->table,
                            eval_labels_without(row->labels, names, false, false, &of->buffer),
                            &numbers[i], &is_new)) {
            return false;
        }
    }
    return !eval_is_failed(of->eval);
}

static bool list_members(struct histograms *of)
{
    size_t count = of->matrix.count;
    uint32_t *numbers = eval_take(of->eval, count, sizeof *numbers);
    struct member *members = eval_take(of->eval, count, sizeof *members);

    of->members = eval_take(of->eval, count, sizeof *of->members);
    of->buckets = eval_take(of->eval, count, sizeof *of->buckets);
    if (numbers == NULL || members == NULL || of->members == NULL || of->buckets == NULL ||
        !number_rows(of, numbers, members)) {
        return false;
    }
    of->begins = eval_take_zero(of->eval, of->table.count + 2, sizeof *of->begins);
    if (of->begins == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        of->begins[numbers[i] + 2]++;
    }
    for (size_t group = 2; group < of->table.count + 2; group++) {
        of->begins[group] += of->begins[group - 1];
    }
    for (size_t i = 0; i < count; i++) {
        of->members[of->begins[numbers[i] + 1]++] = members[i];
    }
    return true;
}

/* What a group has at a step: buckets, a native histogram, or both. */
static const struct promql_histogram *gather(struct histograms *of, uint32_t group, uint32_t step)
{
    const struct promql_histogram *native = NULL;

    of->bucket_count = 0;
    (void)eval_tick(of->eval, 1 + of->begins[group + 1] - of->begins[group]); /* seen by callers */
    for (uint32_t i = of->begins[group]; i < of->begins[group + 1]; i++) {
        const struct member *member = &of->members[i];
        const struct eval_row *row = &of->matrix.rows[member->row];
        enum eval_kind kind = (enum eval_kind)eval_kind_at(row, step);
        if (kind == EVAL_HISTOGRAM) {
            native = eval_histogram_at(row, step);
        } else if (kind == EVAL_FLOAT && member->is_bucket) {
            of->buckets[of->bucket_count++] = (struct promql_classic_bucket){
                .upper = member->upper, .count = eval_value_at(row, step)};
        }
    }
    return native;
}

/* ---- numbers -------------------------------------------------------------------------------- */

static const struct eval_row *first_row(const struct histograms *of, uint32_t group)
{
    return &of->matrix.rows[of->members[of->begins[group]].row];
}

static void tell_nan(struct histograms *of, uint32_t group, enum promql_histogram_nan nan)
{
    struct eval_labels labels = first_row(of, group)->labels;

    switch (nan) {
    case PROMQL_HISTOGRAM_NAN_NONE:
        break;
    case PROMQL_HISTOGRAM_NAN_RESULT:
        eval_note_series(of->eval, EVAL_NOTE_NAN_QUANTILE_RESULT, vector_at(of), labels);
        break;
    case PROMQL_HISTOGRAM_NAN_SKEWED:
        eval_note_series(of->eval, EVAL_NOTE_NAN_QUANTILE_SKEWED, vector_at(of), labels);
        break;
    case PROMQL_HISTOGRAM_NAN_EXCLUDED:
        eval_note_series(of->eval, EVAL_NOTE_NAN_FRACTION, vector_at(of), labels);
        break;
    }
}

/* The quantile of a group at a step. Returns: whether there is one. */
static bool quantile_at(struct histograms *of, uint32_t group, uint32_t step, double phi,
                        double *ret_value)
{
    const struct promql_histogram *native = gather(of, group, step);
    struct eval_labels labels = first_row(of, group)->labels;

    if (native != NULL && of->bucket_count > 0) {
        eval_note_series(of->eval, EVAL_NOTE_MIXED_CLASSIC_NATIVE, vector_at(of), labels);
        return false;
    }
    if (native != NULL) {
        enum promql_histogram_nan nan = PROMQL_HISTOGRAM_NAN_NONE;
        *ret_value = promql_histogram_quantile(native, phi, &nan);
        tell_nan(of, group, nan);
        return true;
    }
    if (of->bucket_count == 0) {
        return false;
    }
    struct promql_classic_fix fix = {0};
    *ret_value = promql_classic_quantile(of->buckets, of->bucket_count, phi, &fix);
    if (fix.is_forced) {
        eval_note_forced(of->eval, vector_at(of), labels, eval_time(&of->frame, step), &fix);
    }
    return true;
}

static bool fraction_at(struct histograms *of, uint32_t group, uint32_t step, double lower,
                        double upper, double *ret_value)
{
    const struct promql_histogram *native = gather(of, group, step);

    if (native != NULL && of->bucket_count > 0) {
        eval_note_series(of->eval, EVAL_NOTE_MIXED_CLASSIC_NATIVE, vector_at(of),
                         first_row(of, group)->labels);
        return false;
    }
    if (native != NULL) {
        enum promql_histogram_nan nan = PROMQL_HISTOGRAM_NAN_NONE;
        *ret_value = promql_histogram_fraction(native, lower, upper, &nan);
        tell_nan(of, group, nan);
        return true;
    }
    if (of->bucket_count > 0) {
        *ret_value = promql_classic_fraction(of->buckets, of->bucket_count, lower, upper);
    }
    return of->bucket_count > 0;
}

/* ---- rows ----------------------------------------------------------------------------------- */

/* What a row that goes out is made of. */
struct asked {
    const double *first, *second;   /* quantiles; or bounds, of fractions */
    struct quarry_tsdb_slice label; /* histogram_quantiles': which quantile; count 0: none */
};

/* Labels of a row that goes out. */
static bool name_row(struct histograms *of, uint32_t group, const struct asked *asked,
                     struct eval_row *row)
{
    struct eval_label_buffer buffer = {0};
    struct eval_labels labels = of->table.keys[group];
    char digits[PROMQL_NUMBER_BYTES_MAX];

    row->drops_name = first_row(of, group)->drops_name;
    if (!eval_buffer_reserve(of->eval, &buffer, labels.count + 1)) {
        return false;
    }
    row->labels = labels;
    eval_row_drop_name(of->eval, row, &buffer);
    if (asked->label.count == 0 || of->frame.count == 0) {
        return true;
    }
    size_t count = promql_number_write(asked->first[0], PROMQL_NUMBER_G, digits);
    struct quarry_tsdb_slice value = {.bytes = promql_memory_copy(of->eval->memory, digits, count),
                                      .count = count};
    if (value.bytes == NULL) {
        return eval_fail_memory(of->eval);
    }
    if (row->labels.labels != buffer.labels && labels.count != 0) {
        memcpy(buffer.labels, row->labels.labels, row->labels.count * sizeof *buffer.labels);
    }
    row->labels.labels = buffer.labels;
    row->labels = eval_labels_set(row->labels, asked->label, value, &buffer);
    return true;
}

static bool add_group(struct histograms *of, uint32_t group, const struct asked *asked,
                      struct eval_matrix *matrix)
{
    struct eval_row row;

    if (!eval_poll(of->eval) || !eval_row_init(of->eval, of->frame.count, false, &row) ||
        !name_row(of, group, asked, &row)) {
        return false;
    }
    for (uint32_t step = 0; step < of->frame.count; step++) {
        double value;
        bool has_value = of->is_fraction ? fraction_at(of, group, step, asked->first[step],
                                                       asked->second[step], &value)
                                         : quantile_at(of, group, step, asked->first[step], &value);
        if (has_value) {
            eval_put(&row, step, value);
        }
    }
    return eval_matrix_add(of->eval, matrix, &row);
}

static bool add_groups(struct histograms *of, const struct asked *asked, struct eval_matrix *matrix)
{
    for (uint32_t group = 0; group < of->table.count; group++) {
        if (!add_group(of, group, asked, matrix)) {
            return false;
        }
    }
    return !eval_is_failed(of->eval);
}

/* ---- calls ---------------------------------------------------------------------------------- */

/* A quantile of each step, with a warning for what is none. NULL: failed. */
static const double *quantiles(struct histograms *of, const struct promql_node *argument)
{
    double *phis = eval_scalar(of->eval, &of->frame, argument);

    for (uint32_t step = 0; phis != NULL && step < of->frame.count; step++) {
        if (!(phis[step] >= 0 && phis[step] <= 1)) {
            eval_note_number(of->eval, EVAL_NOTE_INVALID_QUANTILE, argument->at, phis[step]);
        }
    }
    return phis;
}

static bool add_asked(struct histograms *of, struct eval_matrix *matrix)
{
    const struct promql_node *node = of->node;
    enum promql_function_id id = node->call.function->id;
    struct asked asked = {.label = eval_slice("")};

    if (id != PROMQL_FN_histogram_quantiles) {
        asked.first = of->is_fraction ? eval_scalar(of->eval, &of->frame, node->call.arguments[0])
                                      : quantiles(of, node->call.arguments[0]);
        asked.second = !of->is_fraction || asked.first == NULL
                           ? asked.first
                           : eval_scalar(of->eval, &of->frame, node->call.arguments[1]);
        return asked.second != NULL && add_groups(of, &asked, matrix);
    }
    asked.label = eval_unwrap(node->call.arguments[1])->text.value;
    for (size_t i = 2; i < node->call.argument_count; i++) {
        asked.first = quantiles(of, node->call.arguments[i]);
        if (asked.first == NULL || !add_groups(of, &asked, matrix)) {
            return false;
        }
    }
    return true;
}

struct eval_stream *eval_buckets(struct eval *eval, const struct eval_frame *frame,
                                 const struct promql_node *node)
{
    struct histograms of = {.eval = eval,
                            .frame = *frame,
                            .node = node,
                            .is_fraction = node->call.function->id == PROMQL_FN_histogram_fraction};
    struct eval_matrix matrix = {0};
    const struct promql_node *vector = node->call.arguments[of.is_fraction ? 2 : 1];

    if (node->call.function->id == PROMQL_FN_histogram_quantiles) {
        vector = node->call.arguments[0];
    }
    if (!eval_matrix_of(eval, frame, vector, &of.matrix) || !list_members(&of) ||
        !add_asked(&of, &matrix)) {
        return NULL;
    }
    if (!eval->options->delays_name_removal && !eval_merge(eval, frame->count, &matrix)) {
        return NULL;
    }
    return eval_stream_of(eval, frame, &matrix);
}
