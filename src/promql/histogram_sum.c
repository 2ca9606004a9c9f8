/*
 * Sums and means of many histograms.
 *
 * A mean is a sum through a count, and a sum may overflow where the mean would not. Prometheus
 * adds, looks for an infinity, and goes back. Here it is known before: as long as everything in the
 * sum and in what is to be added, without signs and taken together, is finite, nothing can
 * overflow. Then, or never, the sum becomes a mean m of n - 1, and goes on as m * (n - 1) / n + h /
 * n.
 */
#include <promql/histogram_sum.h>

#include <math.h>

enum promql_histogram_outcome promql_histogram_sum_add(struct promql_histogram_sum *sum,
                                                       const struct promql_histogram *histogram,
                                                       struct promql_histogram_notes *notes)
{
    enum promql_histogram_outcome outcome = PROMQL_HISTOGRAM_DONE;

    if (sum->count == 0) {
        if (!promql_form_init(&sum->form, sum->memory, histogram, 1)) {
            return PROMQL_HISTOGRAM_REFUSED;
        }
    } else {
        outcome = promql_form_add(&sum->form, histogram, 1, notes);
    }
    sum->count += outcome == PROMQL_HISTOGRAM_DONE;
    return outcome;
}

const struct promql_histogram *promql_histogram_sum_finish(const struct promql_histogram_sum *sum)
{
    Q_ASSERT(sum->count > 0);
    return promql_form_finish(&sum->form);
}

/* ---- means ---------------------------------------------------------------------------------- */

static double size_of_side(const struct promql_form_side *side)
{
    double size = 0;

    for (uint32_t i = 0; i < side->count; i++) {
        size += fabs(side->counts[i].value);
    }
    return size;
}

static double size_of_form(const struct promql_form *form)
{
    return fabs(form->count.value) + fabs(form->sum.value) + fabs(form->zero_count.value) +
           size_of_side(&form->positive) + size_of_side(&form->negative);
}

static double size_of_buckets(const struct promql_buckets *buckets)
{
    double size = 0;

    for (uint32_t i = 0; i < buckets->bucket_count; i++) {
        size += fabs(buckets->counts[i]);
    }
    return size;
}

static bool may_overflow(const struct promql_form *form, const struct promql_histogram *histogram)
{
    return !isfinite(size_of_form(form) + fabs(histogram->count) + fabs(histogram->sum) +
                     fabs(histogram->zero_count) + size_of_buckets(&histogram->positive) +
                     size_of_buckets(&histogram->negative));
}

/* m * (n - 1) / n + h / n, where the form is m. */
static enum promql_histogram_outcome add_part(struct promql_histogram_sum *sum,
                                              const struct promql_histogram *histogram,
                                              struct promql_histogram_notes *notes)
{
    const double count = (double)sum->count + 1;
    const struct promql_histogram *part = promql_histogram_divide(sum->memory, histogram, count);

    if (part == NULL) {
        return PROMQL_HISTOGRAM_REFUSED;
    }
    promql_form_multiply(&sum->form, (count - 1) / count);
    return promql_form_add(&sum->form, part, 1, notes);
}

enum promql_histogram_outcome promql_histogram_mean_add(struct promql_histogram_mean *mean,
                                                        const struct promql_histogram *histogram,
                                                        struct promql_histogram_notes *notes)
{
    struct promql_histogram_sum *sum = &mean->sum;

    if (sum->count > 0 &&
        promql_histogram_is_custom(histogram) != (sum->form.schema == PROMQL_SCHEMA_CUSTOM)) {
        return PROMQL_HISTOGRAM_INCOMPATIBLE;
    }
    if (sum->count > 0 && !mean->is_incremental && may_overflow(&sum->form, histogram)) {
        mean->is_incremental = true;
        promql_form_divide(&sum->form, (double)sum->count);
    }
    if (!mean->is_incremental) {
        return promql_histogram_sum_add(sum, histogram, notes);
    }
    const enum promql_histogram_outcome outcome = add_part(sum, histogram, notes);
    sum->count += outcome == PROMQL_HISTOGRAM_DONE;
    return outcome;
}

const struct promql_histogram *promql_histogram_mean_finish(struct promql_histogram_mean *mean)
{
    Q_ASSERT(mean->sum.count > 0);
    if (!mean->is_incremental) {
        promql_form_divide(&mean->sum.form, (double)mean->sum.count);
        mean->is_incremental = true;
    }
    return promql_form_finish(&mean->sum.form);
}
