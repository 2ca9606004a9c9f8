/*
 * Arithmetic on histograms.
 *
 *     histogram ──> form ──add──> form ──> histogram
 *       spans       indexes 2 3 4 6 7        spans
 *       counts      counts  a b c d e        counts that are not 0
 *                   lost    a b c d e
 *
 * Spans are good to store and bad to merge: in a form each bucket has its index, and two sorted
 * lists become one from their far end, in place, as there is room for both. What is added is made a
 * form itself, behind the room, and is given back afterwards: a sum of a million histograms of one
 * layout takes memory once.
 *
 * Before buckets are added, both sides are made alike: the zero buckets first, at each side's own
 * schema, as that is where their borders can be; then the schemas. Widening goes on until neither
 * side changes, because to take in a bucket of one may cut another of the other side.
 *
 * Invariants:
 *  1. Indexes rise, in each side.
 *  2. What a form adds to itself lies behind its room in the memory, and goes when it is added.
 *
 * Neumaier's sum keeps apart what each addition rounds away (A. Neumaier, 1974): 1 + 1e100 + 1 -
 * 1e100 is 2. An infinite sum has lost nothing, else it would become NaN at its end.
 */
#include <promql/histogram_form.h>

#include <promql/histogram_walk.h>

#include <math.h>
#include <string.h>

void promql_number_add(struct promql_number_sum *sum, double value)
{
    const double total = sum->value + value;

    if (isinf(total)) {
        sum->lost = 0;
    } else if (fabs(sum->value) >= fabs(value)) {
        sum->lost += (sum->value - total) + value;
    } else {
        sum->lost += (value - total) + sum->value;
    }
    sum->value = total;
}

double promql_number_total(const struct promql_number_sum *sum)
{
    return sum->value + sum->lost;
}

/* Adds all of another sum. */
static void add_sum(struct promql_number_sum *to, const struct promql_number_sum *from)
{
    promql_number_add(to, from->value);
    if (from->lost != 0) {
        promql_number_add(to, from->lost);
    }
}

/* ---- a form of a histogram ------------------------------------------------------------------ */

/* Gives a side room for `room` buckets, those that it has included. */
static bool make_room(struct promql_form_side *side, struct promql_memory *memory, uint64_t room)
{
    if (room <= side->room) {
        return true;
    }
    if (room > UINT32_MAX) {
        memory->is_refused = true;
        return false;
    }
    int32_t *indexes = promql_memory_take(memory, (size_t)room * sizeof *indexes);
    struct promql_number_sum *counts = promql_memory_take(memory, (size_t)room * sizeof *counts);
    if (indexes == NULL || counts == NULL) {
        return false;
    }
    if (side->count > 0) {
        memcpy(indexes, side->indexes, side->count * sizeof *indexes);
        memcpy(counts, side->counts, side->count * sizeof *counts);
    }
    side->indexes = indexes;
    side->counts = counts;
    side->room = (uint32_t)room;
    return true;
}

static bool load_side(struct promql_form_side *side, struct promql_memory *memory,
                      const struct promql_buckets *buckets, double factor)
{
    struct promql_side_walk walk = promql_walk_side(buckets);
    int32_t index;
    double count;

    if (!make_room(side, memory, buckets->bucket_count)) {
        return false;
    }
    while (promql_side_next(&walk, &index, &count)) {
        if (side->count > 0 && index <= side->indexes[side->count - 1]) {
            promql_number_add(&side->counts[side->count - 1], count * factor); /* was cut */
            continue;
        }
        side->indexes[side->count] = index;
        side->counts[side->count++] = (struct promql_number_sum){.value = count * factor};
    }
    return true;
}

bool promql_form_init(struct promql_form *form, struct promql_memory *memory,
                      const struct promql_histogram *histogram, double factor)
{
    *form = (struct promql_form){.memory = memory,
                                 .schema = histogram->schema,
                                 .reset_hint = histogram->reset_hint,
                                 .zero_threshold = histogram->zero_threshold,
                                 .zero_count = {.value = histogram->zero_count * factor},
                                 .count = {.value = histogram->count * factor},
                                 .sum = {.value = histogram->sum * factor},
                                 .custom_bounds = histogram->custom_bounds,
                                 .custom_count = histogram->custom_count};
    return load_side(&form->positive, memory, &histogram->positive, factor) &&
           load_side(&form->negative, memory, &histogram->negative, factor);
}

/* ---- the zero bucket ------------------------------------------------------------------------ */

/* The border that `threshold` must move to so as not to cut a populated bucket of this side. */
static double uncut(const struct promql_form_side *side, int32_t schema, double threshold)
{
    for (uint32_t i = 0; i < side->count; i++) {
        if (promql_schema_bound(schema, side->indexes[i] - 1) >= threshold) {
            break;
        }
        const double upper = promql_schema_bound(schema, side->indexes[i]);
        if (upper > threshold && promql_number_total(&side->counts[i]) != 0) {
            return upper;
        }
    }
    return threshold;
}

/* Moves what is below the threshold to the zero bucket. */
static void swallow(struct promql_form *form, struct promql_form_side *side)
{
    uint32_t gone = 0;

    while (gone < side->count &&
           promql_schema_bound(form->schema, side->indexes[gone] - 1) < form->zero_threshold) {
        add_sum(&form->zero_count, &side->counts[gone++]);
    }
    if (gone == 0) { /* there may be no arrays */
        return;
    }
    side->count -= gone;
    memmove(side->indexes, side->indexes + gone, side->count * sizeof *side->indexes);
    memmove(side->counts, side->counts + gone, side->count * sizeof *side->counts);
}

void promql_form_widen(struct promql_form *form, double threshold)
{
    double before;

    do {
        before = threshold;
        threshold = uncut(&form->positive, form->schema, threshold);
        threshold = uncut(&form->negative, form->schema, threshold);
    } while (threshold > before);
    form->zero_threshold = threshold;
    swallow(form, &form->positive);
    swallow(form, &form->negative);
}

static void reconcile_zero(struct promql_form *left, struct promql_form *right)
{
    for (;;) {
        if (left->zero_threshold > right->zero_threshold) {
            promql_form_widen(right, left->zero_threshold);
        } else if (right->zero_threshold > left->zero_threshold) {
            promql_form_widen(left, right->zero_threshold);
        } else {
            return;
        }
    }
}

/* ---- schemas and boundaries ----------------------------------------------------------------- */

/* Gives bucket `from` the index `index`, behind the `count` that are done. Returns: how many then
 * are. */
static uint32_t put_moved(struct promql_form_side *side, uint32_t count, uint32_t from,
                          int32_t index)
{
    if (count > 0 && side->indexes[count - 1] == index) {
        add_sum(&side->counts[count - 1], &side->counts[from]);
        return count;
    }
    side->indexes[count] = index;
    side->counts[count] = side->counts[from];
    return count + 1;
}

static void reduce_side(struct promql_form_side *side, int32_t steps)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < side->count; i++) {
        count = put_moved(side, count, i, ((side->indexes[i] - 1) >> steps) + 1);
    }
    side->count = count;
}

void promql_form_reduce(struct promql_form *form, int32_t schema)
{
    Q_ASSERT(schema <= form->schema);
    reduce_side(&form->positive, form->schema - schema);
    reduce_side(&form->negative, form->schema - schema);
    form->schema = schema;
}

static bool same_bounds(const struct promql_form *form, const double *bounds, uint32_t count)
{
    if (form->custom_count != count) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (form->custom_bounds[i] != bounds[i]) {
            return false;
        }
    }
    return true;
}

/* Writes what both have into `room`, when it is not NULL. Returns: how many. */
static uint32_t common_bounds(const struct promql_form *form, const double *bounds, uint32_t count,
                              double *room)
{
    uint32_t common_count = 0;

    for (uint32_t i = 0, j = 0; i < form->custom_count && j < count;) {
        if (form->custom_bounds[i] == bounds[j]) {
            if (room != NULL) {
                room[common_count] = bounds[j];
            }
            common_count++;
            i++;
            j++;
        } else if (form->custom_bounds[i] < bounds[j]) {
            i++;
        } else {
            j++;
        }
    }
    return common_count;
}

/* Moves buckets to where fewer bounds have them. */
static void rebound(struct promql_form *form, const double *bounds, uint32_t count)
{
    struct promql_form_side *side = &form->positive;
    uint32_t to = 0, done = 0;

    for (uint32_t i = 0; i < side->count; i++) {
        const uint32_t index = (uint32_t)(side->indexes[i] < 0 ? 0 : side->indexes[i]);
        if (index >= form->custom_count) {
            to = count;
        }
        while (to < count && bounds[to] < form->custom_bounds[index]) {
            to++;
        }
        done = put_moved(side, done, i, (int32_t)to);
    }
    side->count = done;
    form->custom_bounds = bounds;
    form->custom_count = count;
}

bool promql_form_intersect(struct promql_form *form, const double *bounds, uint32_t count,
                           bool *ret_refused)
{
    if (same_bounds(form, bounds, count)) {
        return false;
    }
    const uint32_t common_count = common_bounds(form, bounds, count, NULL);
    if (common_count == form->custom_count) {
        return true; /* the other side alone has more */
    }
    double *common = promql_memory_take(form->memory, common_count * sizeof *common);
    if (common == NULL) {
        *ret_refused = true;
        return true;
    }
    (void)common_bounds(form, bounds, count, common);
    rebound(form, common, common_count);
    return true;
}

/* ---- adding --------------------------------------------------------------------------------- */

/* How many buckets two sides have together. */
static uint32_t union_count(const struct promql_form_side *left,
                            const struct promql_form_side *right)
{
    uint32_t count = left->count + right->count;

    for (uint32_t i = 0, j = 0; i < left->count && j < right->count;) {
        const int32_t l = left->indexes[i], r = right->indexes[j];
        count -= l == r;
        i += l <= r;
        j += r <= l;
    }
    return count;
}

/* Adds `from` to `to`, which has room for both. */
static void merge_side(struct promql_form_side *to, const struct promql_form_side *from)
{
    uint32_t left = to->count, right = from->count, at = union_count(to, from);

    Q_ASSERT(at <= to->room);
    to->count = at;
    while (right > 0) {
        at--;
        if (left == 0 || to->indexes[left - 1] < from->indexes[right - 1]) {
            right--;
            to->indexes[at] = from->indexes[right];
            to->counts[at] = from->counts[right];
            continue;
        }
        left--;
        to->indexes[at] = to->indexes[left];
        to->counts[at] = to->counts[left];
        if (to->indexes[at] == from->indexes[right - 1]) {
            add_sum(&to->counts[at], &from->counts[--right]);
        }
    }
}

enum promql_reset_hint promql_reset_hint_of_sum(enum promql_reset_hint left,
                                                enum promql_reset_hint right, bool *ret_collide)
{
    if (left == right) {
        return left;
    }
    if (left == PROMQL_RESET_GAUGE || right == PROMQL_RESET_GAUGE) {
        return PROMQL_RESET_GAUGE;
    }
    if (left != PROMQL_RESET_UNKNOWN && right != PROMQL_RESET_UNKNOWN && ret_collide != NULL) {
        *ret_collide = true;
    }
    return PROMQL_RESET_UNKNOWN;
}

/* Adds `other`, whose memory is behind the form's room. Nothing can fail any more. */
static void add_form(struct promql_form *form, struct promql_form *other)
{
    if (form->schema != PROMQL_SCHEMA_CUSTOM) {
        reconcile_zero(form, other);
        if (other->schema < form->schema) {
            promql_form_reduce(form, other->schema);
        } else {
            promql_form_reduce(other, form->schema);
        }
    }
    add_sum(&form->zero_count, &other->zero_count);
    add_sum(&form->count, &other->count);
    add_sum(&form->sum, &other->sum);
    merge_side(&form->positive, &other->positive);
    merge_side(&form->negative, &other->negative);
}

/* Room for both sides' buckets, half as much again where it must be new. */
static bool make_room_for(struct promql_form_side *side, struct promql_memory *memory,
                          uint32_t more)
{
    const uint64_t needed = (uint64_t)side->count + more;

    return needed <= side->room || make_room(side, memory, needed + needed / 2);
}

enum promql_histogram_outcome promql_form_add(struct promql_form *form,
                                              const struct promql_histogram *histogram,
                                              double factor, struct promql_histogram_notes *notes)
{
    const bool is_custom = promql_histogram_is_custom(histogram);
    struct promql_histogram_notes said = {false, false};
    struct promql_form other;
    bool is_refused = false;

    if (is_custom != (form->schema == PROMQL_SCHEMA_CUSTOM)) {
        return PROMQL_HISTOGRAM_INCOMPATIBLE;
    }
    if (!make_room_for(&form->positive, form->memory, histogram->positive.bucket_count) ||
        !make_room_for(&form->negative, form->memory, histogram->negative.bucket_count)) {
        return PROMQL_HISTOGRAM_REFUSED;
    }
    if (is_custom) {
        said.bounds_reconciled = promql_form_intersect(form, histogram->custom_bounds,
                                                       histogram->custom_count, &is_refused);
    }
    const struct promql_mark mark = promql_memory_mark(form->memory);
    if (is_refused || !promql_form_init(&other, form->memory, histogram, factor)) {
        return PROMQL_HISTOGRAM_REFUSED;
    }
    if (said.bounds_reconciled) {
        rebound(&other, form->custom_bounds, form->custom_count);
    }
    add_form(form, &other);
    promql_memory_release(form->memory, mark);
    form->reset_hint =
        promql_reset_hint_of_sum(form->reset_hint, histogram->reset_hint, &said.resets_collide);
    if (notes != NULL) {
        notes->resets_collide |= said.resets_collide;
        notes->bounds_reconciled |= said.bounds_reconciled;
    }
    return PROMQL_HISTOGRAM_DONE;
}

/* ---- scaling -------------------------------------------------------------------------------- */

static void multiply_sum(struct promql_number_sum *sum, double factor)
{
    sum->value *= factor;
    sum->lost = isfinite(sum->value) ? sum->lost * factor : 0;
}

void promql_form_multiply(struct promql_form *form, double factor)
{
    struct promql_form_side *sides[2] = {&form->positive, &form->negative};

    multiply_sum(&form->zero_count, factor);
    multiply_sum(&form->count, factor);
    multiply_sum(&form->sum, factor);
    for (size_t s = 0; s < 2; s++) {
        for (uint32_t i = 0; i < sides[s]->count; i++) {
            multiply_sum(&sides[s]->counts[i], factor);
        }
    }
    if (factor < 0) {
        form->reset_hint = PROMQL_RESET_GAUGE;
    }
}

static void divide_sum(struct promql_number_sum *sum, double factor)
{
    sum->value /= factor;
    sum->lost = isfinite(sum->value) ? sum->lost / factor : 0;
}

void promql_form_divide(struct promql_form *form, double factor)
{
    struct promql_form_side *sides[2] = {&form->positive, &form->negative};

    divide_sum(&form->zero_count, factor);
    divide_sum(&form->count, factor);
    divide_sum(&form->sum, factor);
    for (size_t s = 0; s < 2; s++) {
        if (factor == 0) {
            sides[s]->count = 0;
        }
        for (uint32_t i = 0; i < sides[s]->count; i++) {
            divide_sum(&sides[s]->counts[i], factor);
        }
    }
    if (factor < 0) {
        form->reset_hint = PROMQL_RESET_GAUGE;
    }
}

/* ---- a histogram of a form ------------------------------------------------------------------ */

/* Counts what is not empty, and the spans that it makes. */
static uint32_t count_spans(const struct promql_form_side *side, uint32_t *ret_bucket_count)
{
    uint32_t bucket_count = 0, span_count = 0;
    int32_t last = 0;

    for (uint32_t i = 0; i < side->count; i++) {
        if (promql_number_total(&side->counts[i]) == 0) {
            continue;
        }
        span_count += bucket_count++ == 0 || side->indexes[i] != last + 1;
        last = side->indexes[i];
    }
    *ret_bucket_count = bucket_count;
    return span_count;
}

static bool finish_side(const struct promql_form_side *side, struct promql_memory *memory,
                        struct promql_buckets *ret_buckets)
{
    uint32_t bucket_count, span = 0, bucket = 0;
    const uint32_t span_count = count_spans(side, &bucket_count);
    int32_t next = 0; /* the index behind the last one */

    if (bucket_count == 0) {
        *ret_buckets = (struct promql_buckets){.span_count = 0};
        return true;
    }
    struct promql_span *spans = promql_memory_take(memory, span_count * sizeof *spans);
    double *counts = promql_memory_take(memory, bucket_count * sizeof *counts);
    if (spans == NULL || counts == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < side->count; i++) {
        const double total = promql_number_total(&side->counts[i]);
        if (total == 0) {
            continue;
        }
        if (bucket == 0 || side->indexes[i] != next) {
            spans[span++] = (struct promql_span){.offset = side->indexes[i] - next};
        }
        spans[span - 1].length++;
        counts[bucket++] = total;
        next = side->indexes[i] + 1;
    }
    Q_ASSERT(span == span_count && bucket == bucket_count);
    *ret_buckets = (struct promql_buckets){
        .spans = spans, .counts = counts, .span_count = span_count, .bucket_count = bucket_count};
    return true;
}

const struct promql_histogram *promql_form_finish(const struct promql_form *form)
{
    struct promql_histogram *histogram = promql_memory_take(form->memory, sizeof *histogram);

    if (histogram == NULL) {
        return NULL;
    }
    *histogram = (struct promql_histogram){.schema = form->schema,
                                           .reset_hint = form->reset_hint,
                                           .zero_threshold = form->zero_threshold,
                                           .zero_count = promql_number_total(&form->zero_count),
                                           .count = promql_number_total(&form->count),
                                           .sum = promql_number_total(&form->sum),
                                           .custom_bounds = form->custom_bounds,
                                           .custom_count = form->custom_count};
    return finish_side(&form->positive, form->memory, &histogram->positive) &&
                   finish_side(&form->negative, form->memory, &histogram->negative)
               ? histogram
               : NULL;
}
