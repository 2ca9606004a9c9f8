/*
 * Operators of two vectors.
 *
 *     left   a{x=1}  a{x=2}        what `on` and `ignoring` leave of the labels is a *signature*:
 *     right  b{x=1}  b{x=3}        rows with the same one form a group, on both sides
 *
 * Both sides are collected and grouped once; then each group is gone through step by step. One side
 * has at most one row in a group at a step: the right one, or the left one for group_right; the
 * other, the *many* side, may have more where group_left or group_right says so. What fill puts in
 * place of a row that is missing has the signature for labels.
 *
 * Rows that go out are found by their labels; which one a pair goes to is remembered with the row
 * of the many side, for pairs stay the same from step to step.
 */
#include <promql/binary.h>

#include <promql/function.h>

#include <string.h>

/* One side's rows, listed group by group. */
struct side {
    struct eval_matrix matrix;
    uint32_t *numbers; /* each row's group */
    uint32_t *members;
    uint32_t *begins; /* of each group, and one behind the last */
};

/* Where a row's results went last. */
struct route {
    uint32_t partner, target; /* EVAL_ABSENT: nowhere yet */
};

struct match {
    struct eval *eval;
    struct eval_frame frame;
    const struct promql_node *node;
    const struct promql_matching *matching;
    bool is_swapped; /* the many side is the right one */
    struct side many, one;
    bool fills_many, fills_one;
    double many_fill, one_fill;
    struct eval_table groups;
    struct eval_label_buffer buffer;
    uint8_t *misses;      /* of each step: whether a side is empty there */
    struct route *routes; /* of rows of the many side; then one of each group, for filled ones */
    struct eval_table targets;
    struct eval_row *rows;
    size_t capacity;
};

/* ---- groups --------------------------------------------------------------------------------- */

static struct eval_labels signature(struct match *of, struct eval_labels labels)
{
    struct eval_names names = {.names = of->matching->labels, .count = of->matching->label_count};

    return of->matching->is_on
               ? eval_labels_keep(labels, names, &of->buffer)
               : eval_labels_without(labels, names, true, of->eval->options->has_type_and_unit,
                                     &of->buffer);
}

static bool number_rows(struct match *of, struct side *side)
{
    bool is_new;

    side->numbers = eval_take(of->eval, side->matrix.count, sizeof *side->numbers);
    for (size_t i = 0; side->numbers != NULL && i < side->matrix.count; i++) {
        struct eval_labels labels = side->matrix.rows[i].labels;
        if (!eval_buffer_reserve(of->eval, &of->buffer, labels.count) ||
            !eval_table_put(of->eval, &of->groups, signature(of, labels), &side->numbers[i],
                            &is_new)) {
            return false;
        }
    }
    return side->numbers != NULL;
}

static bool list_rows(struct match *of, struct side *side)
{
    size_t group_count = of->groups.count;

    side->members = eval_take(of->eval, side->matrix.count, sizeof *side->members);
    side->begins = eval_take_zero(of->eval, group_count + 2, sizeof *side->begins);
    if (side->members == NULL || side->begins == NULL) {
        return false;
    }
    for (size_t i = 0; i < side->matrix.count; i++) {
        side->begins[side->numbers[i] + 2]++;
    }
    for (size_t group = 2; group < group_count + 2; group++) {
        side->begins[group] += side->begins[group - 1];
    }
    for (uint32_t i = 0; i < side->matrix.count; i++) {
        side->members[side->begins[side->numbers[i] + 1]++] = i;
    }
    return true;
}

/* Collects both sides, and groups them. */
static bool open_sides(struct match *of)
{
    struct side *left = of->is_swapped ? &of->one : &of->many;
    struct side *right = of->is_swapped ? &of->many : &of->one;

    return eval_matrix_of(of->eval, &of->frame, of->node->binary.left, &left->matrix) &&
           eval_matrix_of(of->eval, &of->frame, of->node->binary.right, &right->matrix) &&
           number_rows(of, left) && number_rows(of, right) && list_rows(of, left) &&
           list_rows(of, right);
}

/* ---- labels of results ---------------------------------------------------------------------- */

/* What a pair's result is called. `one`: of the row on that side, or the signature. */
static bool result_labels(struct match *of, struct eval_labels many, struct eval_labels one,
                          struct eval_labels *ret_labels)
{
    const struct promql_matching *matching = of->matching;
    struct eval_names names = {.names = matching->labels, .count = matching->label_count};
    bool drops_name = eval_drops_name(of->eval, of->node) &&
                      !(of->node->binary.returns_bool && of->eval->options->delays_name_removal);
    bool has_type_and_unit = of->eval->options->has_type_and_unit;
    struct eval_labels labels;

    if (!eval_buffer_reserve(of->eval, &of->buffer, many.count + matching->include_count)) {
        return false;
    }
    labels = eval_labels_without(many, (struct eval_names){0}, drops_name, has_type_and_unit,
                                 &of->buffer);
    if (matching->card == PROMQL_ONE_TO_ONE) {
        labels = matching->is_on ? eval_labels_keep(labels, names, &of->buffer)
                                 : eval_labels_without(labels, names, false, false, &of->buffer);
    }
    for (size_t i = 0; i < matching->include_count; i++) {
        labels = eval_labels_set(labels, matching->include[i],
                                 eval_labels_find(one, matching->include[i]), &of->buffer);
    }
    *ret_labels = labels;
    return true;
}

/* The row that goes out for a pair; `many`, `one`: NULL for what was filled in. */
static struct eval_row *target_of(struct match *of, uint32_t group, const struct eval_row *many,
                                  const struct eval_row *one)
{
    struct eval_labels signature_labels = of->groups.keys[group], labels;
    uint32_t number;
    bool is_new;

    if (!result_labels(of, many == NULL ? signature_labels : many->labels,
                       one == NULL ? signature_labels : one->labels, &labels) ||
        !eval_table_put(of->eval, &of->targets, labels, &number, &is_new)) {
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
        of->rows[number].drops_name =
            of->node->binary.returns_bool && of->eval->options->delays_name_removal;
    }
    if (many != NULL && many->drops_name && eval_is_comparison(of->node->binary.operation)) {
        of->rows[number].drops_name = true;
    }
    return &of->rows[number];
}

/* ---- steps ---------------------------------------------------------------------------------- */

static Q_NOINLINE bool fail_duplicate(struct match *of, uint32_t group,
                                      const struct eval_row *first, const struct eval_row *second)
{
    char key[512], one[512], other[512];

    eval_labels_print(of->groups.keys[group], key, sizeof key);
    eval_labels_print(first->labels, one, sizeof one);
    eval_labels_print(second->labels, other, sizeof other);
    return eval_fail(of->eval, PROMQL_ERROR_EXECUTION,
                     "found duplicate series for the match group %s on the %s hand-side of the "
                     "operation: [%s, %s];many-to-many matching not allowed: matching labels must "
                     "be unique on one side",
                     key, of->is_swapped ? "left" : "right", one, other);
}

/* The row of the one side that is there at a step; `*ret_index` EVAL_ABSENT: none. */
static bool find_one(struct match *of, uint32_t group, uint32_t step, uint32_t *ret_index)
{
    *ret_index = EVAL_ABSENT;
    if (!eval_tick(of->eval, 1 + of->one.begins[group + 1] - of->one.begins[group])) {
        return false;
    }
    for (uint32_t i = of->one.begins[group]; i < of->one.begins[group + 1]; i++) {
        uint32_t index = of->one.members[i];
        if (eval_kind_at(&of->one.matrix.rows[index], step) == EVAL_NONE) {
            continue;
        }
        if (*ret_index != EVAL_ABSENT) {
            return fail_duplicate(of, group, &of->one.matrix.rows[*ret_index],
                                  &of->one.matrix.rows[index]);
        }
        *ret_index = index;
    }
    return true;
}

/* Writes a pair's result. */
static bool put_pair(struct match *of, uint32_t group, uint32_t step, struct route *route,
                     uint32_t many, uint32_t one, bool *has_pair)
{
    const struct eval_row *many_row = many == EVAL_ABSENT ? NULL : &of->many.matrix.rows[many];
    const struct eval_row *one_row = one == EVAL_ABSENT ? NULL : &of->one.matrix.rows[one];
    struct eval_operand left = {.kind = EVAL_FLOAT, .value = of->many_fill};
    struct eval_operand right = {.kind = EVAL_FLOAT, .value = of->one_fill}, result;

    left = many_row == NULL ? left : eval_operand_at(many_row, step);
    right = one_row == NULL ? right : eval_operand_at(one_row, step);
    if (!eval_operate_pair(of->eval, of->node, of->is_swapped ? right : left,
                           of->is_swapped ? left : right, &result)) {
        return false;
    }
    if (result.kind == EVAL_NONE && of->eval->options->compat_2_42) {
        return true; /* what a comparison leaves out has no partner in 2.42 */
    }
    if (*has_pair && of->matching->card == PROMQL_ONE_TO_ONE) {
        return eval_fail(of->eval, PROMQL_ERROR_EXECUTION,
                         "multiple matches for labels: many-to-one matching must be explicit "
                         "(group_left/group_right)");
    }
    *has_pair = true;
    if (result.kind == EVAL_NONE) {
        return true;
    }
    if (route->target == EVAL_ABSENT || route->partner != one) {
        struct eval_row *target = target_of(of, group, many_row, one_row);
        if (target == NULL) {
            return false;
        }
        *route = (struct route){.partner = one, .target = (uint32_t)(target - of->rows)};
    }
    struct eval_row *target = &of->rows[route->target];
    if (target->kinds[step] != EVAL_NONE) {
        return eval_fail(of->eval, PROMQL_ERROR_EXECUTION, "%s",
                         of->matching->card == PROMQL_ONE_TO_ONE
                             ? "vector cannot contain metrics with the same labelset"
                             : "multiple matches for labels: grouping labels must ensure unique "
                               "matches");
    }
    return eval_put_operand(of->eval, target, of->frame.count, step, &result);
}

static bool match_step(struct match *of, uint32_t group, uint32_t step)
{
    bool has_many = false, has_pair = false;
    uint32_t one;

    if (of->misses[step] != 0) {
        return true;
    }
    if (!find_one(of, group, step, &one)) {
        return false;
    }
    if (one == EVAL_ABSENT && !of->fills_one) {
        return true;
    }
    if (!eval_tick(of->eval, of->many.begins[group + 1] - of->many.begins[group])) {
        return false;
    }
    for (uint32_t i = of->many.begins[group]; i < of->many.begins[group + 1]; i++) {
        uint32_t many = of->many.members[i];
        if (eval_kind_at(&of->many.matrix.rows[many], step) == EVAL_NONE) {
            continue;
        }
        has_many = true;
        if (!put_pair(of, group, step, &of->routes[many], many, one, &has_pair)) {
            return false;
        }
    }
    if (has_many || one == EVAL_ABSENT || !of->fills_many) {
        return true;
    }
    return put_pair(of, group, step, &of->routes[of->many.matrix.count + group], EVAL_ABSENT, one,
                    &has_pair);
}

static bool has_any(const struct side *side, uint32_t step)
{
    for (size_t i = 0; i < side->matrix.count; i++) {
        if (eval_kind_at(&side->matrix.rows[i], step) != EVAL_NONE) {
            return true;
        }
    }
    return false;
}

/* Finds the steps at which a side has nothing at all, so that there is nothing to be wrong with the
 * other one either. */
static bool find_misses(struct match *of)
{
    of->misses = eval_take_zero(of->eval, of->frame.count, 1);
    for (uint32_t step = 0; of->misses != NULL && step < of->frame.count; step++) {
        of->misses[step] = !of->fills_many && !of->fills_one &&
                           !(has_any(&of->many, step) && has_any(&of->one, step));
        if (!eval_tick(of->eval, 1 + of->many.matrix.count + of->one.matrix.count)) {
            return false;
        }
    }
    return of->misses != NULL;
}

static bool match_groups(struct match *of)
{
    size_t route_count = of->many.matrix.count + of->groups.count;

    of->routes = eval_take(of->eval, route_count, sizeof *of->routes);
    if (of->routes == NULL || !find_misses(of)) {
        return false;
    }
    for (size_t i = 0; i < route_count; i++) {
        of->routes[i] = (struct route){.target = EVAL_ABSENT};
    }
    for (uint32_t group = 0; group < of->groups.count; group++) {
        for (uint32_t step = 0; step < of->frame.count; step++) {
            if (!match_step(of, group, step)) {
                return false;
            }
        }
    }
    return true;
}

/* In the query's memory: nested operators have theirs at the same time, and the stack is small. */
static struct match *make(struct eval *eval, const struct eval_frame *frame,
                          const struct promql_node *node)
{
    struct match *of = eval_take_zero(eval, 1, sizeof *of);
    const struct promql_matching *matching = &node->binary.matching;
    bool is_swapped = matching->card == PROMQL_ONE_TO_MANY;

    if (of == NULL) {
        return NULL;
    }
    *of = (struct match){
        .eval = eval,
        .frame = *frame,
        .node = node,
        .matching = matching,
        .is_swapped = is_swapped,
        .fills_many = matching->has_fill_left, /* of either direction, as Prometheus has it */
        .fills_one = matching->has_fill_right,
        .many_fill = matching->fill_left,
        .one_fill = matching->fill_right,
    };
    return of;
}

struct eval_stream *eval_match(struct eval *eval, const struct eval_frame *frame,
                               const struct promql_node *node)
{
    struct eval_matrix matrix = {0};
    struct match *of = make(eval, frame, node);

    if (of == NULL || !open_sides(of) || !match_groups(of)) {
        return NULL;
    }
    for (size_t i = 0; i < of->targets.count; i++) {
        if (!eval_matrix_add(eval, &matrix, &of->rows[i])) {
            return NULL;
        }
    }
    return eval_stream_of(eval, frame, &matrix);
}

/* ---- sets ----------------------------------------------------------------------------------- */

/* At which steps a group of a side has a row. */
static bool presence_of(struct match *of, const struct side *side, uint32_t group,
                        uint8_t *presence)
{
    memset(presence, 0, of->frame.count);
    for (uint32_t i = side->begins[group]; i < side->begins[group + 1]; i++) {
        const struct eval_row *row = &side->matrix.rows[side->members[i]];
        for (uint32_t j = 0; j < row->count; j++) {
            presence[row->first + j] |= row->kinds[j] != EVAL_NONE;
        }
        if (!eval_tick(of->eval, row->count)) {
            return false;
        }
    }
    return true;
}

/* Adds what of a row is there where `presence` is `wanted`. */
static bool add_where(struct match *of, const struct eval_row *row, const uint8_t *presence,
                      bool wanted, struct eval_row *ret_row)
{
    uint8_t *kinds = eval_take(of->eval, row->count, sizeof *kinds);

    for (uint32_t i = 0; kinds != NULL && i < row->count; i++) {
        kinds[i] = (presence[row->first + i] != 0) == wanted ? row->kinds[i] : (uint8_t)EVAL_NONE;
    }
    *ret_row = *row;
    ret_row->kinds = kinds;
    return kinds != NULL;
}

/* Cuts each row of a side to the steps at which the other side's group is there, or is not. */
static bool cut_side(struct match *of, struct side *side, const struct side *other, bool wanted)
{
    uint8_t *presence = eval_take(of->eval, of->frame.count, sizeof *presence);

    for (uint32_t group = 0; presence != NULL && group < of->groups.count; group++) {
        if (side->begins[group] == side->begins[group + 1]) {
            continue;
        }
        if (!presence_of(of, other, group, presence)) {
            return false;
        }
        for (uint32_t i = side->begins[group]; i < side->begins[group + 1]; i++) {
            struct eval_row *row = &side->matrix.rows[side->members[i]];
            if (!add_where(of, row, presence, wanted, row)) {
                return false;
            }
        }
    }
    return presence != NULL;
}

static bool add_side(struct match *of, const struct side *side, struct eval_matrix *matrix)
{
    for (size_t i = 0; i < side->matrix.count; i++) {
        if (!eval_matrix_add(of->eval, matrix, &side->matrix.rows[i])) {
            return false;
        }
    }
    return true;
}

struct eval_stream *eval_set_operation(struct eval *eval, const struct eval_frame *frame,
                                       const struct promql_node *node)
{
    enum promql_operator operation = node->binary.operation;
    struct eval_matrix matrix = {0};
    struct match *of = make(eval, frame, node);

    if (of == NULL || !open_sides(of)) {
        return NULL;
    }
    if (operation == PROMQL_OR ? !cut_side(of, &of->one, &of->many, false)
                               : !cut_side(of, &of->many, &of->one, operation == PROMQL_AND)) {
        return NULL;
    }
    if (!add_side(of, &of->many, &matrix)) {
        return NULL;
    }
    if (operation == PROMQL_OR &&
        (!add_side(of, &of->one, &matrix) || !eval_merge(eval, frame->count, &matrix))) {
        return NULL;
    }
    return eval_stream_of(eval, frame, &matrix);
}
