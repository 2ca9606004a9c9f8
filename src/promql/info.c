/*
 * info(): series with the labels of what describes them.
 *
 *     metric{instance="a", job="1"}                       2
 *     target_info{instance="a", job="1", version="7"}     1
 *     info(metric)  =  metric{instance="a", job="1", version="7"}  2
 *
 * Info series are those that the second argument selects, of the name target_info where it names
 * none; they belong to what has the same `instance` and `job`. Of two of one name the one with the
 * newer sample counts. What is an info series itself stays as it is.
 */
#include <promql/functions.h>

#include <promql/capture.h>
#include <promql/select.h>

#include <string.h>

struct info {
    struct eval *eval;
    struct eval_frame frame;
    const struct promql_node *wanted; /* the second argument; NULL: none */
    struct promql_node selector;      /* of info series */
    bool has_data_matchers;           /* on other labels than the name */
    bool asks_for_data;               /* one of them does not match what has no such label */
    struct eval_matrix base, values, times;
    struct eval_table identities;
    uint32_t *heads, *nexts; /* lists of info rows by identity */
    struct eval_label_buffer buffer;
    struct eval_table targets;
    struct eval_row *rows;
    size_t capacity;
};

/* ---- matchers ------------------------------------------------------------------------------- */

static bool matches(struct eval *eval, const struct quarry_tsdb_matcher *matcher,
                    struct quarry_tsdb_slice value, bool *ret_matches)
{
    struct promql_capture_group group;
    struct promql_capture *capture;
    char text[128];

    if (matcher->match == QUARRY_TSDB_EQUAL || matcher->match == QUARRY_TSDB_NOT_EQUAL) {
        *ret_matches =
            eval_slice_equal(matcher->value, value) == (matcher->match == QUARRY_TSDB_EQUAL);
        return true;
    }
    if (promql_capture_compile(matcher->value.bytes, matcher->value.count, &capture, text,
                               sizeof text) != QUARRY_OK) {
        return eval_fail(eval, PROMQL_ERROR_EXECUTION, "expanding series: %s", text);
    }
    *ret_matches = promql_capture_match(capture, value.bytes, value.count, &group, 1) ==
                   (matcher->match == QUARRY_TSDB_REGEX);
    promql_capture_free(capture);
    return true;
}

static bool is_name(const struct quarry_tsdb_matcher *matcher)
{
    return eval_slice_is(matcher->name, "__name__");
}

/* When the first selector in an expression looks: info series are looked at then. */
static bool find_moments(struct eval *eval, const struct promql_node *node,
                         struct promql_modifiers *ret_modifiers)
{
    const struct promql_modifiers *modifiers = NULL;
    const struct promql_node *inner = NULL;

    node = eval_unwrap(node);
    if (node->kind == PROMQL_SELECTOR) {
        modifiers = &node->selector.modifiers;
    } else if (node->kind == PROMQL_MATRIX_SELECTOR) {
        inner = node->matrix.selector;
    } else if (node->kind == PROMQL_SUBQUERY) {
        modifiers = &node->subquery.modifiers;
        inner = node->subquery.of;
    } else if (node->kind == PROMQL_UNARY) {
        inner = node->unary.of;
    } else if (node->kind == PROMQL_CALL) {
        for (size_t i = 0; inner == NULL && i < node->call.argument_count; i++) {
            enum promql_type type = node->call.arguments[i]->type;
            inner = type == PROMQL_VECTOR || type == PROMQL_MATRIX ? node->call.arguments[i] : NULL;
        }
    }
    if (modifiers != NULL && ret_modifiers->at == PROMQL_AT_STEP) {
        int64_t offset_ms;
        if (!eval_duration(eval, modifiers->offset, modifiers->offset_ms, &offset_ms)) {
            return false;
        }
        ret_modifiers->offset_ms = eval_plus(ret_modifiers->offset_ms, offset_ms);
        ret_modifiers->at = modifiers->at;
        ret_modifiers->at_ms = modifiers->at_ms;
    }
    return inner == NULL || find_moments(eval, inner, ret_modifiers);
}

/* Makes the selector of info series. */
static bool plan(struct info *of)
{
    size_t count = of->wanted == NULL ? 0 : of->wanted->selector.matcher_count, made = 0;
    struct quarry_tsdb_matcher *matchers = eval_take(of->eval, count + 1, sizeof *matchers);
    bool has_name = false;

    for (size_t i = 0; matchers != NULL && i < count; i++) {
        const struct quarry_tsdb_matcher *matcher = &of->wanted->selector.matchers[i];
        bool matches_nothing = true;
        has_name = has_name || (is_name(matcher) && (matcher->match == QUARRY_TSDB_EQUAL ||
                                                     matcher->match == QUARRY_TSDB_REGEX));
        if (!is_name(matcher)) {
            of->has_data_matchers = true;
            if (!matches(of->eval, matcher, eval_slice(""), &matches_nothing)) {
                return false;
            }
            of->asks_for_data = of->asks_for_data || !matches_nothing;
        }
        matchers[made++] = *matcher;
    }
    if (matchers != NULL && !has_name) {
        matchers[made++] = (struct quarry_tsdb_matcher){.match = QUARRY_TSDB_EQUAL,
                                                        .name = eval_slice("__name__"),
                                                        .value = eval_slice("target_info")};
    }
    of->selector = (struct promql_node){.kind = PROMQL_SELECTOR, .type = PROMQL_VECTOR};
    of->selector.selector.matchers = matchers;
    of->selector.selector.matcher_count = made;
    return matchers != NULL;
}

/* Whether a row is an info series itself, by matchers that say what names those have. */
static bool is_info(struct info *of, const struct eval_row *row, bool *ret_is_info)
{
    bool is_match = true;

    for (size_t i = 0; i < of->selector.selector.matcher_count && is_match; i++) {
        const struct quarry_tsdb_matcher *matcher = &of->selector.selector.matchers[i];
        if (!is_name(matcher)) {
            continue;
        }
        if (!matches(of->eval, matcher, eval_labels_get(row->labels, "__name__"), &is_match)) {
            return false;
        }
    }
    *ret_is_info = is_match;
    return true;
}

/* ---- finding -------------------------------------------------------------------------------- */

static struct eval_labels identity_of(struct info *of, struct eval_labels labels)
{
    static const struct quarry_tsdb_slice names[] = {QUARRY_TSDB_TEXT("instance"),
                                                     QUARRY_TSDB_TEXT("job")};
    return eval_labels_keep(labels, (struct eval_names){.names = names, .count = 2}, &of->buffer);
}

/* Lists info series by identity. */
static bool list_info(struct info *of)
{
    size_t count = of->values.count;

    of->heads = eval_take(of->eval, count, sizeof *of->heads);
    of->nexts = eval_take(of->eval, count, sizeof *of->nexts);
    for (uint32_t i = 0; of->nexts != NULL && of->heads != NULL && i < count; i++) {
        uint32_t number;
        bool is_new;
        if (!eval_buffer_reserve(of->eval, &of->buffer, of->values.rows[i].labels.count) ||
            !eval_table_put(of->eval, &of->identities, identity_of(of, of->values.rows[i].labels),
                            &number, &is_new)) {
            return false;
        }
        of->nexts[i] = is_new ? EVAL_ABSENT : of->heads[number];
        of->heads[number] = i;
    }
    return !eval_is_failed(of->eval);
}

static bool fail_duplicate(struct info *of, uint32_t a, uint32_t b, uint32_t step)
{
    char one[512], other[512];

    eval_labels_print(of->values.rows[b].labels, one, sizeof one);
    eval_labels_print(of->values.rows[a].labels, other, sizeof other);
    return eval_fail(of->eval, PROMQL_ERROR_EXECUTION,
                     "found duplicate series for info metric: existing %s @ %lld, new %s @ %lld",
                     one, (long long)(eval_value_at(&of->times.rows[b], step) * 1000), other,
                     (long long)(eval_value_at(&of->times.rows[a], step) * 1000));
}

/* Whether info row `i` counts at a step: none of its name and identity has a newer sample. */
static bool counts(struct info *of, uint32_t head, uint32_t i, uint32_t step, bool *ret_counts)
{
    struct quarry_tsdb_slice name = eval_labels_get(of->values.rows[i].labels, "__name__");
    double t = eval_value_at(&of->times.rows[i], step);

    *ret_counts = true;
    if (!eval_poll(of->eval)) { /* it may be a long list, for each of its members */
        return false;
    }
    for (uint32_t j = head; j != EVAL_ABSENT; j = of->nexts[j]) {
        if (j == i || eval_kind_at(&of->values.rows[j], step) == EVAL_NONE ||
            !eval_slice_equal(eval_labels_get(of->values.rows[j].labels, "__name__"), name)) {
            continue;
        }
        double other = eval_value_at(&of->times.rows[j], step);
        if (other == t) {
            return fail_duplicate(of, i, j, step);
        }
        *ret_counts = *ret_counts && other < t;
    }
    return true;
}

/* ---- enriching ------------------------------------------------------------------------------ */

static bool is_wanted(const struct info *of, struct quarry_tsdb_slice name)
{
    if (!of->has_data_matchers) {
        return true;
    }
    for (size_t i = 0; i < of->selector.selector.matcher_count; i++) {
        if (eval_slice_equal(of->selector.selector.matchers[i].name, name)) {
            return true;
        }
    }
    return false;
}

/* Adds an info row's labels to those in the buffer. */
static bool add_labels(struct info *of, const struct eval_row *base, const struct eval_row *info,
                       struct eval_labels *labels, bool *ret_has_added)
{
    for (size_t i = 0; i < info->labels.count; i++) {
        const struct quarry_tsdb_label *label = &info->labels.labels[i];
        if (eval_slice_is(label->name, "__name__") || !is_wanted(of, label->name) ||
            eval_labels_find(base->labels, label->name).count != 0) {
            continue;
        }
        struct quarry_tsdb_slice there = eval_labels_find(*labels, label->name);
        if (there.count != 0 && !eval_slice_equal(there, label->value)) {
            return eval_fail(of->eval, PROMQL_ERROR_EXECUTION, "conflicting label: %.*s",
                             (int)label->name.count, label->name.bytes);
        }
        *labels = eval_labels_set(*labels, label->name, label->value, &of->buffer);
        *ret_has_added = true;
    }
    return true;
}

static struct eval_row *target_of(struct info *of, struct eval_labels labels, bool drops_name)
{
    uint32_t number;
    bool is_new;

    if (!eval_table_put(of->eval, &of->targets, labels, &number, &is_new)) {
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
        of->rows[number].labels = of->targets.keys[number];
        of->rows[number].drops_name = drops_name;
    }
    return &of->rows[number];
}

/* Puts a step of a row where its labels, with those of info series, say. */
static bool enrich_step(struct info *of, const struct eval_row *row, uint32_t head, uint32_t step,
                        bool is_itself)
{
    struct eval_labels labels = {.count = row->labels.count};
    bool has_added = false;

    if (!eval_buffer_reserve(of->eval, &of->buffer, labels.count)) {
        return false;
    }
    if (labels.count != 0) {
        memcpy(of->buffer.labels, row->labels.labels, labels.count * sizeof *of->buffer.labels);
    }
    labels.labels = of->buffer.labels;
    for (uint32_t i = is_itself ? EVAL_ABSENT : head; i != EVAL_ABSENT; i = of->nexts[i]) {
        const struct eval_row *info = &of->values.rows[i];
        bool is_counted;
        if (eval_kind_at(info, step) == EVAL_NONE) {
            continue;
        }
        if (!counts(of, head, i, step, &is_counted) ||
            !eval_buffer_reserve(of->eval, &of->buffer, labels.count + info->labels.count)) {
            return false;
        }
        labels.labels = of->buffer.labels;
        if (is_counted && !add_labels(of, row, info, &labels, &has_added)) {
            return false;
        }
    }
    if (!is_itself && !has_added && of->asks_for_data) {
        return true;
    }
    struct eval_row *target = target_of(of, labels, row->drops_name);
    if (target == NULL) {
        return false;
    }
    if (target->kinds[step] != EVAL_NONE) {
        return eval_fail(of->eval, PROMQL_ERROR_EXECUTION,
                         "vector cannot contain metrics with the same labelset");
    }
    return eval_row_copy_step(of->eval, target, of->frame.count, row, step);
}

static bool enrich_row(struct info *of, const struct eval_row *row)
{
    uint32_t number, head = EVAL_ABSENT;
    bool is_itself;

    if (!is_info(of, row, &is_itself) ||
        !eval_buffer_reserve(of->eval, &of->buffer, row->labels.count)) {
        return false;
    }
    number = eval_table_find(&of->identities, identity_of(of, row->labels));
    head = number == EVAL_ABSENT ? EVAL_ABSENT : of->heads[number];
    for (uint32_t i = 0; i < row->count; i++) {
        if (row->kinds[i] != EVAL_NONE && !enrich_step(of, row, head, row->first + i, is_itself)) {
            return false;
        }
    }
    return eval_poll(of->eval);
}

/* Collects the info series, and when their samples were. */
static bool select_info(struct info *of)
{
    struct eval_stream *stream =
        eval_selector(of->eval, &of->frame, &of->selector, EVAL_WANTS_VALUES);

    if (stream == NULL || !eval_collect(stream, &of->values)) {
        return false;
    }
    stream = eval_selector(of->eval, &of->frame, &of->selector, EVAL_WANTS_TIMES);
    if (stream == NULL || !eval_collect(stream, &of->times)) {
        return false;
    }
    Q_ASSERT(of->times.count == of->values.count);
    for (size_t i = 0; i < of->values.count; i++) {
        char text[512];
        if (of->values.rows[i].histograms == NULL) {
            continue;
        }
        eval_labels_print(of->values.rows[i].labels, text, sizeof text);
        return eval_fail(of->eval, PROMQL_ERROR_EXECUTION,
                         "this should be an info metric, with float samples: %s", text);
    }
    return true;
}

struct eval_stream *eval_info(struct eval *eval, const struct eval_frame *frame,
                              const struct promql_node *node)
{
    struct info of = {.eval = eval, .frame = *frame};
    struct eval_matrix matrix = {0};

    of.wanted = node->call.argument_count > 1 ? eval_unwrap(node->call.arguments[1]) : NULL;
    if (!plan(&of) ||
        !find_moments(eval, node->call.arguments[0], &of.selector.selector.modifiers) ||
        !eval_matrix_of(eval, frame, node->call.arguments[0], &of.base)) {
        return NULL;
    }
    if (!select_info(&of) || !list_info(&of)) {
        return NULL;
    }
    for (size_t i = 0; i < of.base.count; i++) {
        if (!enrich_row(&of, &of.base.rows[i])) {
            return NULL;
        }
    }
    for (size_t i = 0; i < of.targets.count; i++) {
        if (!eval_matrix_add(eval, &matrix, &of.rows[i])) {
            return NULL;
        }
    }
    return eval_stream_of(eval, frame, &matrix);
}
