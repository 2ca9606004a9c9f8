/*
 * What is done with whole histograms: most of it is a form of one, changed, and a histogram of the
 * form (histogram_form.c).
 *
 * A reset is looked for as Prometheus does: a counter's buckets never fall, so one that has, or is
 * gone, says that counting began anew; so does a layout that became finer, which a running counter
 * never does. To compare buckets, the one before is made as coarse as the one after: its zero
 * bucket widened, its schema reduced, boundaries of their own cut down to those of both.
 */
#include <promql/histogram.h>

#include <promql/histogram_form.h>
#include <promql/histogram_walk.h>

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- copies --------------------------------------------------------------------------------- */

static const void *copy_bytes(struct promql_memory *memory, const void *bytes, size_t count)
{
    void *copy = count == 0 ? NULL : promql_memory_take(memory, count);

    return copy == NULL ? NULL : memcpy(copy, bytes, count);
}

static struct promql_buckets copy_buckets(struct promql_memory *memory,
                                          const struct promql_buckets *buckets)
{
    return (struct promql_buckets){
        .spans = copy_bytes(memory, buckets->spans, buckets->span_count * sizeof *buckets->spans),
        .counts =
            copy_bytes(memory, buckets->counts, buckets->bucket_count * sizeof *buckets->counts),
        .span_count = buckets->span_count,
        .bucket_count = buckets->bucket_count};
}

const struct promql_histogram *promql_histogram_copy(struct promql_memory *memory,
                                                     const struct promql_histogram *histogram)
{
    struct promql_histogram *copy = promql_memory_take(memory, sizeof *copy);

    if (copy == NULL) {
        return NULL;
    }
    *copy = *histogram;
    copy->positive = copy_buckets(memory, &histogram->positive);
    copy->negative = copy_buckets(memory, &histogram->negative);
    copy->custom_bounds = copy_bytes(memory, histogram->custom_bounds,
                                     histogram->custom_count * sizeof *histogram->custom_bounds);
    return memory->is_refused ? NULL : copy;
}

const struct promql_histogram *promql_histogram_with_hint(struct promql_memory *memory,
                                                          const struct promql_histogram *histogram,
                                                          enum promql_reset_hint hint)
{
    struct promql_histogram *copy = promql_memory_take(memory, sizeof *copy);

    if (copy != NULL) {
        *copy = *histogram;
        copy->reset_hint = hint;
    }
    return copy;
}

const struct promql_histogram *promql_histogram_compact(struct promql_memory *memory,
                                                        const struct promql_histogram *histogram)
{
    struct promql_form form;

    return promql_form_init(&form, memory, histogram, 1) ? promql_form_finish(&form) : NULL;
}

/* ---- arithmetic ----------------------------------------------------------------------------- */

const struct promql_histogram *promql_histogram_multiply(struct promql_memory *memory,
                                                         const struct promql_histogram *histogram,
                                                         double factor)
{
    struct promql_form form;

    if (!promql_form_init(&form, memory, histogram, 1)) {
        return NULL;
    }
    promql_form_multiply(&form, factor);
    return promql_form_finish(&form);
}

const struct promql_histogram *promql_histogram_divide(struct promql_memory *memory,
                                                       const struct promql_histogram *histogram,
                                                       double factor)
{
    struct promql_form form;

    if (!promql_form_init(&form, memory, histogram, 1)) {
        return NULL;
    }
    promql_form_divide(&form, factor);
    return promql_form_finish(&form);
}

const struct promql_histogram *promql_histogram_reduce(struct promql_memory *memory,
                                                       const struct promql_histogram *histogram,
                                                       int32_t schema)
{
    struct promql_form form;

    Q_ASSERT(schema >= PROMQL_SCHEMA_MIN && schema <= histogram->schema);
    if (!promql_form_init(&form, memory, histogram, 1)) {
        return NULL;
    }
    promql_form_reduce(&form, schema);
    return promql_form_finish(&form);
}

static enum promql_histogram_outcome combine(struct promql_memory *memory,
                                             const struct promql_histogram *left,
                                             const struct promql_histogram *right, double factor,
                                             struct promql_histogram_notes *notes,
                                             const struct promql_histogram **ret_histogram)
{
    struct promql_form form;
    enum promql_histogram_outcome outcome;

    if (!promql_form_init(&form, memory, left, 1)) {
        return PROMQL_HISTOGRAM_REFUSED;
    }
    outcome = promql_form_add(&form, right, factor, notes);
    if (outcome != PROMQL_HISTOGRAM_DONE) {
        return outcome;
    }
    const struct promql_histogram *histogram = promql_form_finish(&form);
    if (histogram == NULL) {
        return PROMQL_HISTOGRAM_REFUSED;
    }
    *ret_histogram = histogram;
    return PROMQL_HISTOGRAM_DONE;
}

enum promql_histogram_outcome promql_histogram_add(struct promql_memory *memory,
                                                   const struct promql_histogram *left,
                                                   const struct promql_histogram *right,
                                                   struct promql_histogram_notes *notes,
                                                   const struct promql_histogram **ret_histogram)
{
    return combine(memory, left, right, 1, notes, ret_histogram);
}

enum promql_histogram_outcome
promql_histogram_subtract(struct promql_memory *memory, const struct promql_histogram *left,
                          const struct promql_histogram *right,
                          struct promql_histogram_notes *notes,
                          const struct promql_histogram **ret_histogram)
{
    return combine(memory, left, right, -1, notes, ret_histogram);
}

/* ---- comparing ------------------------------------------------------------------------------ */

static bool same_bits(double left, double right)
{
    return memcmp(&left, &right, sizeof left) == 0;
}

bool promql_number_near(double left, double right, double relative)
{
    if (isnan(left) && isnan(right)) {
        return true;
    }
    if (left == right) {
        return true;
    }
    const double size = fabs(left) + fabs(right), difference = fabs(left - right);

    if (left == 0 || right == 0 || size < DBL_MIN) {
        return difference < relative * DBL_MIN;
    }
    return difference / fmin(size, DBL_MAX) < relative;
}

/* How two counts are compared. */
typedef bool same_function(double left, double right, double relative);

static bool is_same(double left, double right, double relative)
{
    (void)relative;
    return same_bits(left, right);
}

/* The next bucket, of those that are not empty when only they matter. */
static bool next_bucket(struct promql_side_walk *walk, bool skips_empty, int32_t *ret_index,
                        double *ret_count)
{
    while (promql_side_next(walk, ret_index, ret_count)) {
        if (!skips_empty || *ret_count != 0) {
            return true;
        }
    }
    return false;
}

static bool same_side(const struct promql_buckets *left, const struct promql_buckets *right,
                      bool skips_empty, same_function *same, double relative)
{
    struct promql_side_walk walks[2] = {promql_walk_side(left), promql_walk_side(right)};

    for (;;) {
        int32_t left_index = 0, right_index = 0;
        double left_count = 0, right_count = 0;
        const bool has_left = next_bucket(&walks[0], skips_empty, &left_index, &left_count);
        const bool has_right = next_bucket(&walks[1], skips_empty, &right_index, &right_count);
        if (!has_left || !has_right) {
            return has_left == has_right;
        }
        if (left_index != right_index || !same(left_count, right_count, relative)) {
            return false;
        }
    }
}

static bool same_numbers(const struct promql_histogram *left, const struct promql_histogram *right,
                         same_function *same, double relative)
{
    if (left->schema != right->schema || left->custom_count != right->custom_count ||
        !same(left->count, right->count, relative) || !same(left->sum, right->sum, relative) ||
        !same(left->zero_count, right->zero_count, relative) ||
        !same(left->zero_threshold, right->zero_threshold, relative)) {
        return false;
    }
    for (uint32_t i = 0; i < left->custom_count; i++) {
        if (!same(left->custom_bounds[i], right->custom_bounds[i], relative)) {
            return false;
        }
    }
    return true;
}

bool promql_histogram_equal(const struct promql_histogram *left,
                            const struct promql_histogram *right)
{
    return same_numbers(left, right, is_same, 0) &&
           same_side(&left->positive, &right->positive, false, is_same, 0) &&
           same_side(&left->negative, &right->negative, false, is_same, 0);
}

bool promql_histogram_near(const struct promql_histogram *left,
                           const struct promql_histogram *right, double relative)
{
    return same_numbers(left, right, promql_number_near, relative) &&
           same_side(&left->positive, &right->positive, true, promql_number_near, relative) &&
           same_side(&left->negative, &right->negative, true, promql_number_near, relative);
}

/* ---- resets --------------------------------------------------------------------------------- */

/* Whether a populated bucket of `before` is smaller or missing in `after`. */
static bool side_fell(const struct promql_form_side *after, const struct promql_form_side *before)
{
    uint32_t at = 0;

    for (uint32_t i = 0; i < before->count; i++) {
        while (at < after->count && after->indexes[at] < before->indexes[i]) {
            at++;
        }
        const bool is_there = at < after->count && after->indexes[at] == before->indexes[i];
        const double old = promql_number_total(&before->counts[i]);
        if (is_there ? promql_number_total(&after->counts[at]) < old : old != 0) {
            return true;
        }
    }
    return false;
}

/* The same of forms that are made alike first. `ret_refused`: the memory was asked in vain. */
static bool forms_fell(struct promql_form *after, struct promql_form *before, bool *ret_refused)
{
    if (after->schema == PROMQL_SCHEMA_CUSTOM) {
        if (promql_form_intersect(after, before->custom_bounds, before->custom_count,
                                  ret_refused) &&
            !*ret_refused) {
            (void)promql_form_intersect(before, after->custom_bounds, after->custom_count,
                                        ret_refused);
        }
    } else {
        if (after->zero_threshold > before->zero_threshold) {
            const double threshold = after->zero_threshold;
            promql_form_widen(before, threshold);
            if (before->zero_threshold != threshold) {
                return true; /* a populated bucket was cut */
            }
        }
        promql_form_reduce(before, after->schema);
    }
    return promql_number_total(&after->zero_count) < promql_number_total(&before->zero_count) ||
           side_fell(&after->positive, &before->positive) ||
           side_fell(&after->negative, &before->negative);
}

bool promql_histogram_detect_reset(struct promql_memory *memory,
                                   const struct promql_histogram *current,
                                   const struct promql_histogram *previous, bool *ret_is_reset)
{
    const struct promql_mark mark = promql_memory_mark(memory);
    struct promql_form after, before;
    bool is_refused = false;

    if (current->reset_hint == PROMQL_RESET_YES || current->reset_hint == PROMQL_RESET_NO) {
        *ret_is_reset = current->reset_hint == PROMQL_RESET_YES;
        return true;
    }
    if (current->count < previous->count ||
        promql_histogram_is_custom(current) != promql_histogram_is_custom(previous) ||
        current->schema > previous->schema || current->zero_threshold < previous->zero_threshold) {
        *ret_is_reset = true;
        return true;
    }
    if (!promql_form_init(&after, memory, current, 1) ||
        !promql_form_init(&before, memory, previous, 1)) {
        return false;
    }
    const bool fell = forms_fell(&after, &before, &is_refused);
    promql_memory_release(memory, mark);
    if (is_refused) {
        return false;
    }
    *ret_is_reset = fell;
    return true;
}

const struct promql_histogram *promql_histogram_settle_hint(struct promql_memory *memory,
                                                            const struct promql_histogram *current,
                                                            const struct promql_histogram *previous)
{
    bool is_reset;

    if (current->reset_hint != PROMQL_RESET_UNKNOWN) {
        return current;
    }
    if (!promql_histogram_detect_reset(memory, current, previous, &is_reset)) {
        return NULL;
    }
    return promql_histogram_with_hint(memory, current,
                                      is_reset ? PROMQL_RESET_YES : PROMQL_RESET_NO);
}

/* ---- between two ---------------------------------------------------------------------------- */

/* What an operation that gives nothing but memory's refusal came to. */
static enum promql_histogram_outcome outcome_of(const struct promql_histogram *result,
                                                const struct promql_histogram **ret_histogram)
{
    *ret_histogram = result;
    return result == NULL ? PROMQL_HISTOGRAM_REFUSED : PROMQL_HISTOGRAM_DONE;
}

/* left + (right - left) * part. */
static enum promql_histogram_outcome interpolate(struct promql_memory *memory,
                                                 const struct promql_histogram *left,
                                                 const struct promql_histogram *right, double part,
                                                 struct promql_histogram_notes notes[2],
                                                 const struct promql_histogram **ret_histogram)
{
    const struct promql_histogram *risen;
    enum promql_histogram_outcome outcome =
        promql_histogram_subtract(memory, right, left, &notes[0], &risen);

    if (outcome != PROMQL_HISTOGRAM_DONE) {
        return outcome;
    }
    risen = promql_histogram_multiply(memory, risen, part);
    return risen == NULL ? PROMQL_HISTOGRAM_REFUSED
                         : promql_histogram_add(memory, risen, left, &notes[1], ret_histogram);
}

enum promql_histogram_outcome
promql_histogram_between(struct promql_memory *memory, struct promql_histogram_point left,
                         struct promql_histogram_point right, int64_t t_ms, bool is_counter,
                         struct promql_histogram_notes notes[2],
                         const struct promql_histogram **ret_histogram)
{
    const double part = (double)(t_ms - left.t_ms) / (double)(right.t_ms - left.t_ms);
    bool is_reset = false;

    if (t_ms == left.t_ms || t_ms == right.t_ms) {
        return outcome_of(t_ms == left.t_ms ? left.histogram : right.histogram, ret_histogram);
    }
    if (promql_histogram_is_custom(left.histogram) != promql_histogram_is_custom(right.histogram)) {
        return PROMQL_HISTOGRAM_INCOMPATIBLE;
    }
    if (is_counter &&
        !promql_histogram_detect_reset(memory, right.histogram, left.histogram, &is_reset)) {
        return PROMQL_HISTOGRAM_REFUSED;
    }
    if (is_reset) {
        return outcome_of(promql_histogram_multiply(memory, right.histogram, part), ret_histogram);
    }
    return interpolate(memory, left.histogram, right.histogram, part, notes, ret_histogram);
}
