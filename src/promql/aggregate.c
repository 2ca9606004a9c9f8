/*
 * Aggregation: sums and their like, as rows pass by.
 *
 *              step 0   1   2   3
 *     group 0      cell cell cell cell     a row that comes in goes into the cells of its group
 *     group 1      cell cell cell cell     and is forgotten
 *
 * So memory is that of groups times steps, however many series there are; it is given back when
 * the rows are made. Histograms are added up
 * in a form of their own that a cell has when the first one comes.
 *
 * Sums of floats keep what rounding loses; means move when a sum overflows; variances are
 * Welford's. Where floats and histograms meet in one cell, there is no sum, and a warning.
 */
#include <promql/aggregate.h>

#include <promql/function.h>
#include <promql/histogram_sum.h>
#include <promql/notes.h>
#include <promql/sum.h>

#include <math.h>

/* What a cell has seen. */
enum {
    SEEN_FLOAT = 1,
    SEEN_HISTOGRAM = 2,
    SEEN_RESET = 4,    /* a hint that counting began anew */
    SEEN_NO_RESET = 8, /* one that it did not */
    SPOILED = 16,      /* histograms that do not add up */
};

/* One is cut off behind what its operation needs: 24 to 56 bytes. */
struct cell {
    struct promql_histogram_mean *histogram;
    uint8_t seen;
    union {
        struct eval_sum sum;
        struct eval_mean mean;
        struct eval_variance variance;
        double value;
    };
};

struct group {
    char *cells;
    bool drops_name;
};

struct aggregation {
    struct eval *eval;
    struct eval_frame frame;
    const struct promql_node *node;
    enum promql_aggregation operation;
    struct eval_groups groups;
    struct group *states;
    size_t capacity;
    size_t cell_bytes;
    struct promql_memory cells; /* given back when the rows are made */
};

/* ---- cells' memory -------------------------------------------------------------------------- */

static size_t cell_bytes(enum promql_aggregation operation)
{
    switch ((int)operation) {
    case PROMQL_SUM:
        return offsetof(struct cell, sum) + sizeof(struct eval_sum);
    case PROMQL_AVG:
        return offsetof(struct cell, mean) + sizeof(struct eval_mean);
    case PROMQL_STDVAR:
    case PROMQL_STDDEV:
        return offsetof(struct cell, variance) + sizeof(struct eval_variance);
    default:
        return offsetof(struct cell, value) + sizeof(double);
    }
}

static struct cell *cell_at(const struct aggregation *of, const struct group *group, uint32_t step)
{
    return (struct cell *)(void *)(group->cells + step * of->cell_bytes);
}

/* NULL: refused. */
static char *take_cells(struct aggregation *of)
{
    char *cells = promql_memory_take_zero(&of->cells, of->frame.count, of->cell_bytes);

    if (cells == NULL) {
        (void)eval_fail_memory(of->eval);
        return NULL;
    }
    return eval_hold(of->eval, of->frame.count) ? cells : NULL;
}

/* ---- groups --------------------------------------------------------------------------------- */

bool eval_group_of(struct eval_groups *groups, const struct eval_row *row, uint32_t *ret_number,
                   bool *ret_is_new)
{
    const struct promql_node *node = groups->node;
    struct eval_names names = {.names = node->aggregate.labels,
                               .count = node->aggregate.label_count};
    struct eval_labels labels;

    if (!eval_buffer_reserve(groups->eval, &groups->buffer, row->labels.count)) {
        return false;
    }
    if (node->aggregate.is_without) {
        labels = eval_labels_without(row->labels, names, true,
                                     groups->eval->options->has_type_and_unit, &groups->buffer);
    } else {
        labels = eval_labels_keep(row->labels, names, &groups->buffer);
    }
    return eval_table_put(groups->eval, &groups->table, labels, ret_number, ret_is_new);
}

bool eval_group_has_name(const struct promql_node *node)
{
    struct eval_names names = {.names = node->aggregate.labels,
                               .count = node->aggregate.label_count};

    return !node->aggregate.is_without && eval_names_have(names, eval_slice("__name__"));
}

static struct group *group_of(struct aggregation *of, const struct eval_row *row)
{
    uint32_t number;
    bool is_new;

    if (!eval_group_of(&of->groups, row, &number, &is_new)) {
        return NULL;
    }
    if (is_new) {
        if (number == of->capacity) {
            struct group *states = eval_grow(of->eval, of->states, &of->capacity, sizeof *states);
            if (states == NULL) {
                return NULL;
            }
            of->states = states;
        }
        of->states[number] = (struct group){.cells = take_cells(of)};
        if (of->states[number].cells == NULL) {
            return NULL;
        }
    }
    return &of->states[number];
}

/* ---- cells ---------------------------------------------------------------------------------- */

static void add_float(enum promql_aggregation operation, struct cell *cell, double value)
{
    bool is_first = (cell->seen & SEEN_FLOAT) == 0;

    cell->seen |= SEEN_FLOAT;
    switch ((int)operation) {
    case PROMQL_SUM:
        eval_sum_add(&cell->sum, value);
        break;
    case PROMQL_AVG:
        eval_mean_add(&cell->mean, value);
        break;
    case PROMQL_MIN:
        cell->value = is_first || value < cell->value || isnan(cell->value) ? value : cell->value;
        break;
    case PROMQL_MAX:
        cell->value = is_first || value > cell->value || isnan(cell->value) ? value : cell->value;
        break;
    case PROMQL_COUNT:
        cell->value += 1;
        break;
    case PROMQL_GROUP:
        cell->value = 1;
        break;
    default:
        eval_variance_add(&cell->variance, value);
        break;
    }
}

/* Adds a histogram to a sum or a mean. */
static bool add_histogram(struct aggregation *of, struct cell *cell, const struct eval_row *row,
                          const struct promql_histogram *histogram)
{
    struct promql_histogram_notes notes = {0};
    enum promql_histogram_outcome outcome;

    cell->seen |= SEEN_HISTOGRAM;
    cell->seen |= histogram->reset_hint == PROMQL_RESET_YES  ? SEEN_RESET
                  : histogram->reset_hint == PROMQL_RESET_NO ? SEEN_NO_RESET
                                                             : 0;
    if ((cell->seen & SPOILED) != 0) {
        return true;
    }
    if (cell->histogram == NULL) {
        cell->histogram = eval_take_zero(of->eval, 1, sizeof *cell->histogram);
        if (cell->histogram == NULL) {
            return false;
        }
        cell->histogram->sum.memory = of->eval->memory;
        if (promql_histogram_is_custom(histogram)) { /* its boundaries are the sum's from now on */
            histogram = promql_histogram_copy(of->eval->memory, histogram);
            if (histogram == NULL) {
                return eval_fail_memory(of->eval);
            }
        }
    }
    outcome = of->operation == PROMQL_AVG
                  ? promql_histogram_mean_add(cell->histogram, histogram, &notes)
                  : promql_histogram_sum_add(&cell->histogram->sum, histogram, &notes);
    if (outcome == PROMQL_HISTOGRAM_REFUSED) {
        return eval_fail_memory(of->eval);
    }
    if (outcome == PROMQL_HISTOGRAM_INCOMPATIBLE) {
        cell->seen |= SPOILED;
        eval_note_series(of->eval, EVAL_NOTE_MIXED_SCHEMAS_AGGREGATED, of->node->aggregate.of->at,
                         row->labels);
    }
    if (notes.bounds_reconciled) {
        eval_note_words(of->eval, EVAL_NOTE_BOUNDS_RECONCILED, of->node->aggregate.of->at,
                        "aggregation", NULL, NULL);
    }
    return true;
}

static bool add_histogram_cell(struct aggregation *of, struct cell *cell,
                               const struct eval_row *row, const struct promql_histogram *histogram)
{
    switch ((int)of->operation) {
    case PROMQL_SUM:
    case PROMQL_AVG:
        return add_histogram(of, cell, row, histogram);
    case PROMQL_COUNT:
    case PROMQL_GROUP:
        add_float(of->operation, cell, 1);
        return true;
    default:
        eval_note_words(of->eval, EVAL_NOTE_HISTOGRAM_IGNORED_IN_AGGREGATION,
                        of->node->aggregate.of->at, promql_aggregation_name(of->operation), NULL,
                        NULL);
        return true;
    }
}

static bool add_row(struct aggregation *of, const struct eval_row *row)
{
    struct group *group = group_of(of, row);

    if (group == NULL) {
        return false;
    }
    group->drops_name = group->drops_name || row->drops_name;
    for (uint32_t i = 0; i < row->count; i++) {
        struct cell *cell = cell_at(of, group, row->first + i);
        if (row->kinds[i] == EVAL_FLOAT) {
            add_float(of->operation, cell, row->values[i]);
        } else if (row->kinds[i] == EVAL_HISTOGRAM &&
                   !add_histogram_cell(of, cell, row, row->histograms[i])) {
            return false;
        }
    }
    return true;
}

/* ---- results -------------------------------------------------------------------------------- */

/* 2.42 has no variance of one value, whatever it is; later ones have none of NaN and infinities. */
static double variance_of(const struct aggregation *of, const struct cell *cell)
{
    bool is_alone = of->eval->options->compat_2_42 && cell->variance.count == 1;

    return is_alone ? 0 : eval_variance_value(&cell->variance);
}

static double float_of(const struct aggregation *of, const struct cell *cell)
{
    switch ((int)of->operation) {
    case PROMQL_SUM:
        return eval_sum_value(&cell->sum);
    case PROMQL_AVG:
        return eval_mean_value(&cell->mean);
    case PROMQL_STDVAR:
        return variance_of(of, cell);
    case PROMQL_STDDEV:
        return sqrt(variance_of(of, cell));
    default:
        return cell->value;
    }
}

static bool put_histogram(struct aggregation *of, struct cell *cell, struct eval_row *row,
                          uint32_t step)
{
    const struct promql_histogram *histogram;

    if ((cell->seen & (SEEN_RESET | SEEN_NO_RESET)) == (SEEN_RESET | SEEN_NO_RESET)) {
        eval_note_words(of->eval, EVAL_NOTE_RESET_COLLISION, of->node->aggregate.of->at,
                        "aggregation", NULL, NULL);
    }
    if ((cell->seen & SPOILED) != 0) {
        return true;
    }
    histogram = of->operation == PROMQL_AVG ? promql_histogram_mean_finish(cell->histogram)
                                            : promql_histogram_sum_finish(&cell->histogram->sum);
    return histogram == NULL ? eval_fail_memory(of->eval)
                             : eval_put_histogram(of->eval, row, of->frame.count, step, histogram);
}

static bool put_cell(struct aggregation *of, struct cell *cell, struct eval_row *row, uint32_t step)
{
    bool has_float = (cell->seen & SEEN_FLOAT) != 0;
    bool has_histogram = (cell->seen & SEEN_HISTOGRAM) != 0;

    if (has_float && has_histogram) {
        eval_note(of->eval, EVAL_NOTE_MIXED_IN_AGGREGATION, of->node->aggregate.of->at);
        return true;
    }
    if (has_histogram) {
        return put_histogram(of, cell, row, step);
    }
    if (has_float) {
        eval_put(row, step, float_of(of, cell));
    }
    return true;
}

static bool add_group(struct aggregation *of, size_t number, struct eval_matrix *matrix)
{
    struct eval_row row;

    if (!eval_row_init(of->eval, of->frame.count, false, &row)) {
        return false;
    }
    row.labels = of->groups.table.keys[number];
    row.drops_name = of->states[number].drops_name && eval_group_has_name(of->node);
    for (uint32_t step = 0; step < of->frame.count; step++) {
        if (!put_cell(of, cell_at(of, &of->states[number], step), &row, step)) {
            return false;
        }
    }
    eval_drop(of->eval, of->frame.count);
    return eval_matrix_add(of->eval, matrix, &row);
}

static struct eval_stream *aggregate(struct aggregation *of)
{
    struct eval_stream *stream = eval_vector(of->eval, &of->frame, of->node->aggregate.of);
    struct eval_matrix matrix = {0};
    struct eval_row row;

    if (stream == NULL) {
        return NULL;
    }
    while (stream->next(stream, &row)) {
        if (!add_row(of, &row)) {
            return NULL;
        }
    }
    for (size_t number = 0; number < of->groups.table.count; number++) {
        if (eval_is_failed(of->eval) || !add_group(of, number, &matrix)) {
            return NULL;
        }
    }
    return eval_stream_of(of->eval, &of->frame, &matrix);
}

/* Groups' cells, of all steps. Apart from who chooses: the others, nested 256 deep, need no such
 * frame. */
static Q_NOINLINE struct eval_stream *fold(struct eval *eval, const struct eval_frame *frame,
                                           const struct promql_node *node)
{
    struct aggregation of = {.eval = eval,
                             .frame = *frame,
                             .node = node,
                             .operation = node->aggregate.operation,
                             .groups = {.eval = eval, .node = node}};

    of.cell_bytes = cell_bytes(of.operation);
    promql_memory_init_within(&of.cells, eval->memory);
    struct eval_stream *stream = aggregate(&of);
    promql_memory_fini(&of.cells);
    return stream;
}

struct eval_stream *eval_aggregate(struct eval *eval, const struct eval_frame *frame,
                                   const struct promql_node *node)
{
    switch (node->aggregate.operation) {
    case PROMQL_TOPK:
    case PROMQL_BOTTOMK:
    case PROMQL_QUANTILE:
    case PROMQL_LIMITK:
    case PROMQL_LIMIT_RATIO:
        return eval_choose(eval, frame, node);
    case PROMQL_COUNT_VALUES:
        return eval_count_values(eval, frame, node);
    case PROMQL_SUM:
    case PROMQL_AVG:
    case PROMQL_MIN:
    case PROMQL_MAX:
    case PROMQL_COUNT:
    case PROMQL_GROUP:
    case PROMQL_STDDEV:
    case PROMQL_STDVAR:
        break;
    }
    return fold(eval, frame, node);
}
