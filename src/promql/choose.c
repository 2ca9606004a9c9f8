/*
 * Aggregations that look at all rows of a group at once: topk, bottomk, limitk, limit_ratio,
 * quantile.
 *
 * Rows are collected, and listed group by group; at each step those that are there are put in the
 * order that is asked for. What is chosen are the rows themselves, cut to the steps at which they
 * were.
 */
#include <promql/aggregate.h>

#include <promql/function.h>
#include <promql/notes.h>

#include <math.h>

struct candidate {
    double value;
    uint32_t row;
};

struct choice {
    struct eval *eval;
    struct eval_frame frame;
    const struct promql_node *node;
    enum promql_aggregation operation;
    struct eval_groups groups;
    const double *parameters;
    struct eval_matrix matrix;
    uint32_t *members;            /* rows, group by group */
    uint32_t *begins;             /* of each group in them, and one behind the last */
    struct candidate *candidates; /* room for the largest group */
    double *values;
    double *parts;   /* of limit_ratio: each row's hash, as a part of all hashes */
    uint8_t **kept;  /* of each row, at each step */
    uint32_t *order; /* rows as they were chosen, for an instant query */
    size_t order_count;
};

/* ---- parameters ----------------------------------------------------------------------------- */

/* Refuses what is no count; `*ret_is_none`: nothing is asked for at any step. */
static bool check_count(struct choice *of, bool *ret_is_none)
{
    bool is_none = true;

    for (uint32_t step = 0; step < of->frame.count; step++) {
        double value = of->parameters[step];
        if (isnan(value)) {
            return eval_fail(of->eval, PROMQL_ERROR_EXECUTION, "Parameter value is NaN");
        }
        if (value >= 9223372036854775808.0 || value <= -9223372036854775808.0) {
            return eval_fail(of->eval, PROMQL_ERROR_EXECUTION, "Scalar value %g %s int64", value,
                             value > 0 ? "overflows" : "underflows");
        }
        is_none = is_none && value < 1;
    }
    *ret_is_none = is_none;
    return true;
}

static bool check_ratio(struct choice *of, bool *ret_is_none)
{
    struct promql_range at = of->node->aggregate.parameter->at;
    bool is_none = true;

    for (uint32_t step = 0; step < of->frame.count; step++) {
        double value = of->parameters[step];
        if (isnan(value)) {
            return eval_fail(of->eval, PROMQL_ERROR_EXECUTION, "Ratio value is NaN");
        }
        if (value > 1 || value < -1) {
            eval_note_ratio(of->eval, at, value, value > 1 ? 1 : -1);
        }
        is_none = is_none && value == 0;
    }
    *ret_is_none = is_none;
    return true;
}

static void check_quantile(struct choice *of)
{
    for (uint32_t step = 0; step < of->frame.count; step++) {
        double phi = of->parameters[step];
        if (!(phi >= 0 && phi <= 1)) {
            eval_note_number(of->eval, EVAL_NOTE_INVALID_QUANTILE,
                             of->node->aggregate.parameter->at, phi);
        }
    }
}

static bool check(struct choice *of, bool *ret_is_none)
{
    *ret_is_none = false;
    if (of->operation == PROMQL_QUANTILE) {
        check_quantile(of);
        return !eval_is_failed(of->eval);
    }
    return of->operation == PROMQL_LIMIT_RATIO ? check_ratio(of, ret_is_none)
                                               : check_count(of, ret_is_none);
}

/* ---- groups --------------------------------------------------------------------------------- */

/* Lists the rows of each group in a row, in their order. */
static bool list_members(struct choice *of)
{
    size_t count = of->matrix.count;
    uint32_t *numbers = eval_take(of->eval, count, sizeof *numbers);
    uint32_t largest = 0, number;
    bool is_new;

    for (size_t i = 0; numbers != NULL && i < count; i++) {
        if (!eval_group_of(&of->groups, &of->matrix.rows[i], &numbers[i], &is_new)) {
            return false;
        }
    }
    of->members = eval_take(of->eval, count, sizeof *of->members);
    of->begins = eval_take_zero(of->eval, of->groups.table.count + 2, sizeof *of->begins);
    if (numbers == NULL || of->members == NULL || of->begins == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        of->begins[numbers[i] + 2]++;
    }
    for (number = 2; number < of->groups.table.count + 2; number++) {
        largest = of->begins[number] > largest ? of->begins[number] : largest;
        of->begins[number] += of->begins[number - 1];
    }
    for (uint32_t i = 0; i < count; i++) {
        of->members[of->begins[numbers[i] + 1]++] = i;
    }
    of->candidates = eval_take(of->eval, largest, sizeof *of->candidates);
    of->values = eval_take(of->eval, largest, sizeof *of->values);
    return of->candidates != NULL && of->values != NULL;
}

/* ---- choosing ------------------------------------------------------------------------------- */

/* Whether `a` is chosen before `b`: the greater, or smaller, the earlier; NaN behind all. */
static bool is_before(const struct choice *of, const struct candidate *a, const struct candidate *b)
{
    if (isnan(a->value) || isnan(b->value)) {
        return isnan(a->value) == isnan(b->value) ? a->row < b->row : isnan(b->value);
    }
    if (a->value == b->value) {
        return a->row < b->row;
    }
    return of->operation == PROMQL_BOTTOMK ? a->value < b->value : a->value > b->value;
}

/* A heap whose root is the last in the order. */
static void sink(const struct choice *of, size_t root, size_t count)
{
    struct candidate *heap = of->candidates;

    for (size_t child = root * 2 + 1; child < count; child = root * 2 + 1) {
        if (child + 1 < count && is_before(of, &heap[child], &heap[child + 1])) {
            child++;
        }
        if (!is_before(of, &heap[root], &heap[child])) {
            return;
        }
        struct candidate candidate = heap[root];
        heap[root] = heap[child];
        heap[child] = candidate;
        root = child;
    }
}

/* Puts the first `wanted` candidates of `count` in order at the front. Cost: O(count log wanted).
 */
static size_t select_first(const struct choice *of, size_t count, size_t wanted)
{
    struct candidate *heap = of->candidates;
    size_t kept = count < wanted ? count : wanted;

    for (size_t root = kept / 2; root-- > 0;) {
        sink(of, root, kept);
    }
    for (size_t i = kept; i < count; i++) {
        if (is_before(of, &heap[i], &heap[0])) {
            heap[0] = heap[i];
            sink(of, 0, kept);
        }
    }
    for (size_t end = kept; end-- > 1;) {
        struct candidate candidate = heap[0];
        heap[0] = heap[end];
        heap[end] = candidate;
        sink(of, 0, end);
    }
    return kept;
}

/* What a step of a group costs: more than its rows where they are put in order. */
static uint64_t work_of(const struct choice *of, uint32_t group)
{
    return 1 + (uint64_t)(of->begins[group + 1] - of->begins[group]);
}

/* Floats of a group at a step. */
static size_t gather(struct choice *of, uint32_t group, uint32_t step)
{
    size_t count = 0;

    for (uint32_t i = of->begins[group]; i < of->begins[group + 1]; i++) {
        const struct eval_row *row = &of->matrix.rows[of->members[i]];
        enum eval_kind kind = (enum eval_kind)eval_kind_at(row, step);
        if (kind == EVAL_FLOAT) {
            of->candidates[count++] =
                (struct candidate){.value = eval_value_at(row, step), .row = of->members[i]};
        } else if (kind == EVAL_HISTOGRAM) {
            eval_note_words(of->eval, EVAL_NOTE_HISTOGRAM_IGNORED_IN_AGGREGATION,
                            of->node->aggregate.of->at, promql_aggregation_name(of->operation),
                            NULL, NULL);
        }
    }
    return count;
}

/* Where each row's hash lies among all there are, from 0 to 1: by the bytes in which Prometheus has
 * labels, so that it takes the same rows. */
static bool place_rows(struct choice *of)
{
    size_t longest = 0;
    char *room;

    for (size_t i = 0; i < of->matrix.count; i++) {
        size_t bytes = eval_labels_pack(of->matrix.rows[i].labels, NULL, 0);
        longest = bytes > longest ? bytes : longest;
    }
    room = eval_take(of->eval, longest, 1);
    of->parts = eval_take(of->eval, of->matrix.count, sizeof *of->parts);
    if (room == NULL || of->parts == NULL) {
        return false;
    }
    for (size_t i = 0; i < of->matrix.count; i++) {
        size_t bytes = eval_labels_pack(of->matrix.rows[i].labels, room, longest);
        of->parts[i] = (double)hash_xxh64(room, bytes, 0) / 18446744073709551616.0;
    }
    return true;
}

static void keep(struct choice *of, uint32_t row, uint32_t step)
{
    of->kept[row][step] = 1;
    if (of->frame.count == 1) {
        of->order[of->order_count++] = row;
    }
}

static void choose_extremes(struct choice *of, uint32_t group, uint32_t step)
{
    double wanted = of->parameters[step];

    if (wanted < 1) {
        return;
    }
    size_t count = gather(of, group, step);
    count = select_first(of, count, wanted >= (double)count ? count : (size_t)wanted);
    for (size_t i = 0; i < count; i++) {
        keep(of, of->candidates[i].row, step);
    }
}

/* The first ones; or those whose hash, as a part of all hashes, is below the ratio. */
static void choose_any(struct choice *of, uint32_t group, uint32_t step)
{
    double parameter = of->parameters[step], left = parameter;

    for (uint32_t i = of->begins[group]; i < of->begins[group + 1]; i++) {
        const struct eval_row *row = &of->matrix.rows[of->members[i]];
        if (eval_kind_at(row, step) == EVAL_NONE) {
            continue;
        }
        if (of->operation == PROMQL_LIMIT_RATIO) {
            double part = of->parts[of->members[i]];
            if (parameter >= 0 ? part < parameter : part >= 1 + parameter) {
                keep(of, of->members[i], step);
            }
        } else if (left >= 1) {
            keep(of, of->members[i], step);
            left -= 1;
        }
    }
}

static bool add_kept(struct choice *of, uint32_t index, struct eval_matrix *matrix)
{
    struct eval_row row = of->matrix.rows[index];
    uint8_t *kinds = eval_take(of->eval, row.count, sizeof *kinds);

    if (kinds == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < row.count; i++) {
        kinds[i] = of->kept[index][row.first + i] != 0 ? row.kinds[i] : (uint8_t)EVAL_NONE;
    }
    row.kinds = kinds;
    return eval_matrix_add(of->eval, matrix, &row);
}

static Q_NOINLINE struct eval_stream *choose_rows(struct choice *of)
{
    struct eval_matrix matrix = {0};
    size_t count = of->matrix.count;

    of->kept = eval_take(of->eval, count, sizeof *of->kept);
    of->order = eval_take(of->eval, count, sizeof *of->order);
    for (size_t i = 0; of->kept != NULL && i < count; i++) {
        of->kept[i] = eval_take_zero(of->eval, of->frame.count, sizeof **of->kept);
    }
    if (eval_is_failed(of->eval) || (of->operation == PROMQL_LIMIT_RATIO && !place_rows(of))) {
        return NULL;
    }
    for (uint32_t group = 0; group < of->groups.table.count; group++) {
        for (uint32_t step = 0; step < of->frame.count; step++) {
            if (!eval_tick(of->eval, work_of(of, group))) {
                return NULL;
            }
            if (of->operation == PROMQL_TOPK || of->operation == PROMQL_BOTTOMK) {
                choose_extremes(of, group, step);
            } else {
                choose_any(of, group, step);
            }
        }
    }
    count = of->frame.count == 1 ? of->order_count : count;
    for (uint32_t i = 0; i < count; i++) {
        if (!add_kept(of, of->frame.count == 1 ? of->order[i] : i, &matrix)) {
            return NULL;
        }
    }
    return eval_stream_of(of->eval, &of->frame, &matrix);
}

/* ---- quantiles ------------------------------------------------------------------------------ */

static Q_NOINLINE struct eval_stream *quantiles(struct choice *of)
{
    struct eval_matrix matrix = {0};

    for (uint32_t group = 0; group < of->groups.table.count; group++) {
        struct eval_row row;
        if (!eval_row_init(of->eval, of->frame.count, false, &row)) {
            return NULL;
        }
        row.labels = of->groups.table.keys[group];
        for (uint32_t i = of->begins[group];
             eval_group_has_name(of->node) && i < of->begins[group + 1]; i++) {
            row.drops_name = row.drops_name || of->matrix.rows[of->members[i]].drops_name;
        }
        for (uint32_t step = 0; step < of->frame.count; step++) {
            if (!eval_tick(of->eval, work_of(of, group))) {
                return NULL;
            }
            size_t count = gather(of, group, step);
            for (size_t i = 0; i < count; i++) {
                of->values[i] = of->candidates[i].value;
            }
            if (count > 0) {
                eval_put(&row, step, eval_quantile(of->parameters[step], of->values, count));
            }
        }
        if (!eval_matrix_add(of->eval, &matrix, &row)) {
            return NULL;
        }
    }
    return eval_stream_of(of->eval, &of->frame, &matrix);
}

struct eval_stream *eval_choose(struct eval *eval, const struct eval_frame *frame,
                                const struct promql_node *node)
{
    /* Not on the stack, which is small: aggregations within this one have theirs meanwhile. */
    struct choice *of = eval_take_zero(eval, 1, sizeof *of);
    bool is_none;

    if (of == NULL) {
        return NULL;
    }
    of->eval = of->groups.eval = eval;
    of->frame = *frame;
    of->node = of->groups.node = node;
    of->operation = node->aggregate.operation;
    of->parameters = eval_scalar(eval, frame, node->aggregate.parameter);
    if (of->parameters == NULL || !check(of, &is_none)) {
        return NULL;
    }
    if (is_none) {
        return eval_stream_of(eval, frame, &of->matrix);
    }
    if (!eval_matrix_of(eval, frame, node->aggregate.of, &of->matrix) || !list_members(of)) {
        return NULL;
    }
    return of->operation == PROMQL_QUANTILE ? quantiles(of) : choose_rows(of);
}
