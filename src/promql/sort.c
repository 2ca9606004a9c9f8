/*
 * Sorting in place: heaps, which take no memory and no time that input could make long.
 */
#include <promql/eval.h>

#include <math.h>

/* ---- rows ----------------------------------------------------------------------------------- */

typedef int compare_function(const void *a, const void *b, void *argument);

/* Lets the row at `root` sink to where none below it is greater. */
static void sink_row(struct eval_row *rows, size_t root, size_t count, compare_function *compare,
                     void *argument)
{
    for (size_t child = root * 2 + 1; child < count; child = root * 2 + 1) {
        if (child + 1 < count && compare(&rows[child], &rows[child + 1], argument) < 0) {
            child++;
        }
        if (compare(&rows[root], &rows[child], argument) >= 0) {
            return;
        }
        struct eval_row row = rows[root];
        rows[root] = rows[child];
        rows[child] = row;
        root = child;
    }
}

void eval_sort_rows(struct eval_row *rows, size_t count, compare_function *compare, void *argument)
{
    bool is_sorted = true;

    for (size_t i = 1; i < count && is_sorted; i++) {
        is_sorted = compare(&rows[i - 1], &rows[i], argument) <= 0;
    }
    if (is_sorted) { /* as most results are */
        return;
    }
    for (size_t root = count / 2; root-- > 0;) {
        sink_row(rows, root, count, compare, argument);
    }
    for (size_t end = count; end-- > 1;) {
        struct eval_row row = rows[0];
        rows[0] = rows[end];
        rows[end] = row;
        sink_row(rows, 0, end, compare, argument);
    }
}

static int compare_labels(const void *a, const void *b, void *argument)
{
    (void)argument;
    return eval_labels_compare(((const struct eval_row *)a)->labels,
                               ((const struct eval_row *)b)->labels);
}

void eval_sort_by_labels(struct eval_row *rows, size_t count)
{
    eval_sort_rows(rows, count, compare_labels, NULL);
}

/* ---- numbers -------------------------------------------------------------------------------- */

/* NaNs are below all. */
static bool is_less(double a, double b)
{
    return isnan(a) ? !isnan(b) : a < b;
}

static void sink_value(double *values, size_t root, size_t count)
{
    for (size_t child = root * 2 + 1; child < count; child = root * 2 + 1) {
        if (child + 1 < count && is_less(values[child], values[child + 1])) {
            child++;
        }
        if (!is_less(values[root], values[child])) {
            return;
        }
        double value = values[root];
        values[root] = values[child];
        values[child] = value;
        root = child;
    }
}

static void sort_values(double *values, size_t count)
{
    for (size_t root = count / 2; root-- > 0;) {
        sink_value(values, root, count);
    }
    for (size_t end = count; end-- > 1;) {
        double value = values[0];
        values[0] = values[end];
        values[end] = value;
        sink_value(values, 0, end);
    }
}

double eval_quantile(double phi, double *values, size_t count)
{
    if (count == 0 || isnan(phi)) {
        return NAN;
    }
    if (phi < 0 || phi > 1) {
        return phi < 0 ? -INFINITY : INFINITY;
    }
    sort_values(values, count);
    double rank = phi * (double)(count - 1);
    size_t lower = (size_t)floor(rank);
    size_t upper = lower + 1 < count ? lower + 1 : count - 1;
    double weight = rank - floor(rank);
    return values[lower] * (1 - weight) + values[upper] * weight;
}
