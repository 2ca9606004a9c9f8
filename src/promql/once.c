/*
 * Aggregations that stand in an expression more than once are evaluated once.
 *
 *     sum(rate(a[5m])) / (sum(rate(a[5m])) + sum(rate(b[5m])))
 *         text 0                text 0             -
 *
 * Two of them are the same when they are printed as the same text. What came out of the first is
 * copied and kept: rows of groups, of which there are few. Those of series are not kept, for there
 * may be many; they share their sets of series.
 *
 * What has told warnings or infos is evaluated each time, as these name a place in the text.
 */
#include <promql/once.h>

#include <promql/print.h>

/* Aggregations that are looked at: dashboards have some ten. Doubling it makes four times as many
 * comparisons of texts. */
#define AGGREGATIONS_MAX 64u
/* Of a result that is kept: with more, evaluating it again is no waste to speak of, and memory is.
 */
#define KEPT_SAMPLES_MAX (UINT64_C(1) << 20)

struct once {
    const struct promql_node *node;
    struct quarry_tsdb_slice text;
    struct once *first; /* with the same text; itself when it is the first of them */
    bool is_repeated;   /* of a first one */
    bool is_kept;       /* likewise: for these moments */
    struct eval_frame frame;
    enum eval_totals totals; /* likewise: what was wanted of histograms */
    struct eval_matrix matrix;
    uint64_t samples_total; /* that it took */
};

struct eval_repeats {
    struct once members[AGGREGATIONS_MAX];
    size_t count;
};

/* ---- finding -------------------------------------------------------------------------------- */

static bool add(struct eval *eval, const struct promql_node *node)
{
    struct promql_writer writer = {.memory = eval->memory};

    if (eval->repeats == NULL) {
        eval->repeats = eval_take(eval, 1, sizeof *eval->repeats);
        if (eval->repeats == NULL) {
            return false;
        }
        eval->repeats->count = 0;
    }
    struct eval_repeats *repeats = eval->repeats;
    if (repeats->count == AGGREGATIONS_MAX) {
        return true;
    }
    struct once *added = &repeats->members[repeats->count];
    promql_print(&writer, node);
    if (eval->memory->is_refused) {
        return eval_fail_memory(eval);
    }
    *added = (struct once){
        .node = node, .text = {.bytes = writer.bytes, .count = writer.count}, .first = added};
    for (size_t i = 0; i < repeats->count && added->first == added; i++) {
        if (eval_slice_equal(repeats->members[i].text, added->text)) {
            added->first = repeats->members[i].first;
            added->first->is_repeated = true;
        }
    }
    repeats->count++;
    return eval_tick(eval, writer.count);
}

/* Chains of operators lean to the left, and may be longer than a stack is deep. */
static bool walk(struct eval *eval, const struct promql_node *node)
{
    for (; node->kind == PROMQL_BINARY; node = node->binary.left) {
        if (!walk(eval, node->binary.right)) {
            return false;
        }
    }
    switch (node->kind) {
    case PROMQL_AGGREGATE:
        return add(eval, node) && walk(eval, node->aggregate.of) &&
               (node->aggregate.parameter == NULL || walk(eval, node->aggregate.parameter));
    case PROMQL_PAREN:
        return walk(eval, node->paren.of);
    case PROMQL_UNARY:
        return walk(eval, node->unary.of);
    case PROMQL_SUBQUERY:
        return walk(eval, node->subquery.of);
    case PROMQL_CALL:
        for (size_t i = 0; i < node->call.argument_count; i++) {
            if (!walk(eval, node->call.arguments[i])) {
                return false;
            }
        }
        return true;
    case PROMQL_BINARY: /* none is left */
    case PROMQL_NUMBER:
    case PROMQL_TEXT:
    case PROMQL_SELECTOR:
    case PROMQL_MATRIX_SELECTOR:
    case PROMQL_DURATION:
        return true;
    }
    return true;
}

bool eval_once_plan(struct eval *eval)
{
    return walk(eval, eval->root);
}

/* ---- keeping -------------------------------------------------------------------------------- */

/* The first one with a node's text, if there is another. NULL: none. */
static struct once *find(const struct eval *eval, const struct promql_node *node)
{
    for (size_t i = 0; eval->repeats != NULL && i < eval->repeats->count; i++) {
        if (eval->repeats->members[i].node == node) {
            struct once *first = eval->repeats->members[i].first;
            return first->is_repeated ? first : NULL;
        }
    }
    return NULL;
}

static bool copy(struct eval *eval, const struct eval_matrix *from, struct eval_matrix *ret_matrix)
{
    struct eval_matrix matrix = {0};

    for (size_t i = 0; i < from->count; i++) {
        if (!eval_matrix_copy(eval, &matrix, &from->rows[i])) {
            return false;
        }
    }
    *ret_matrix = matrix;
    return true;
}

/* Evaluates it, and keeps a copy unless there is something to be told each time. */
static Q_NOINLINE struct eval_stream *evaluate(struct eval *eval, const struct eval_frame *frame,
                                               const struct promql_node *node, struct once *once)
{
    const uint64_t told_count = eval->told_count;
    const uint64_t samples_total = eval->result->stats.samples_total;
    struct eval_stream *stream = eval_aggregate(eval, frame, node);
    struct eval_matrix matrix;

    if (stream == NULL || !eval_collect(stream, &matrix)) {
        return NULL;
    }
    once->is_kept = false;
    if (eval->told_count == told_count && matrix.count <= KEPT_SAMPLES_MAX / frame->count) {
        const uint64_t samples_now = eval->samples_now;
        if (!copy(eval, &matrix, &once->matrix)) {
            return NULL;
        }
        eval_drop(eval, eval->samples_now - samples_now); /* it is nobody's result */
        once->samples_total = eval->result->stats.samples_total - samples_total;
        once->frame = *frame;
        once->totals = eval->totals;
        once->is_kept = true;
    }
    return eval_stream_of(eval, frame, &matrix);
}

struct eval_stream *eval_once(struct eval *eval, const struct eval_frame *frame,
                              const struct promql_node *node)
{
    struct once *once = find(eval, node);
    struct eval_matrix matrix;

    if (once == NULL) {
        return eval_aggregate(eval, frame, node);
    }
    if (!once->is_kept || once->totals != eval->totals || once->frame.start_ms != frame->start_ms ||
        once->frame.step_ms != frame->step_ms || once->frame.count != frame->count) {
        return evaluate(eval, frame, node, once);
    }
    eval->result->stats.samples_total += once->samples_total; /* as if it had been */
    return copy(eval, &once->matrix, &matrix) ? eval_stream_of(eval, frame, &matrix) : NULL;
}
