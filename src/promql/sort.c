/*
 * Sorting rows in place: heaps, which take no memory and no time that input could make long. Of
 * numbers one at a rank is wanted: they are divided around it.
 */
#include <promql/eval.h>

#include <math.h>

/* ---- rows ----------------------------------------------------------------------------------- */

/* What a row that sinks costs: some twenty levels of comparing labels. */
#define SINK_TICKS 32u

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

bool eval_sort_rows(struct eval *eval, struct eval_row *rows, size_t count,
                    compare_function *compare, void *argument)
{
    bool is_sorted = true;

    for (size_t i = 1; i < count && is_sorted; i++) {
        is_sorted = compare(&rows[i - 1], &rows[i], argument) <= 0;
    }
    if (is_sorted) { /* as most results are */
        return true;
    }
    for (size_t root = count / 2; root-- > 0;) {
        sink_row(rows, root, count, compare, argument);
        if (!eval_tick(eval, SINK_TICKS)) {
            return false;
        }
    }
    for (size_t end = count; end-- > 1;) {
        struct eval_row row = rows[0];
        rows[0] = rows[end];
        rows[end] = row;
        sink_row(rows, 0, end, compare, argument);
        if (!eval_tick(eval, SINK_TICKS)) {
            return false;
        }
    }
    return true;
}

static int compare_labels(const void *a, const void *b, void *argument)
{
    (void)argument;
    return eval_labels_compare(((const struct eval_row *)a)->labels,
                               ((const struct eval_row *)b)->labels);
}

bool eval_sort_by_labels(struct eval *eval, struct eval_row *rows, size_t count)
{
    return eval_sort_rows(eval, rows, count, compare_labels, NULL);
}

/* ---- numbers -------------------------------------------------------------------------------- */

/* NaNs are below all. */
static bool is_less(double a, double b)
{
    return isnan(a) ? !isnan(b) : a < b;
}

static void swap(double *a, double *b)
{
    double value = *a;
    *a = *b;
    *b = value;
}

/* The next of some numbers that who writes samples cannot foresee. */
static size_t toss(uint64_t *seed, size_t count)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (size_t)(*seed >> 11) % count;
}

/* The median of three of them. */
static double pivot_of(const double *values, size_t begin, size_t end, uint64_t *seed)
{
    double a = values[begin + toss(seed, end - begin)];
    double b = values[begin + toss(seed, end - begin)];
    double c = values[begin + toss(seed, end - begin)];
    double least = is_less(a, b) ? a : b, most = is_less(a, b) ? b : a;

    return is_less(c, least) ? least : is_less(most, c) ? most : c;
}

/* Puts the value at `rank` that would be there if they were sorted, none above it before it, and
 * none below it behind. Cost: O(count), whatever their order. */
static void place_rank(double *values, size_t count, size_t rank)
{
    uint64_t seed = (uint64_t)(uintptr_t)values | 1; /* where the kernel has put them */
    size_t begin = 0, end = count;

    while (end - begin > 1) {
        double pivot = pivot_of(values, begin, end, &seed);
        size_t low = begin, high = end, i = begin; /* below | equal | not seen | above */
        while (i < high) {
            if (is_less(values[i], pivot)) {
                swap(&values[i++], &values[low++]);
            } else if (is_less(pivot, values[i])) {
                swap(&values[i], &values[--high]);
            } else {
                i++;
            }
        }
        if (rank >= low && rank < high) {
            return;
        }
        begin = rank < low ? begin : high;
        end = rank < low ? low : end;
    }
}

/* The least of some values. */
static double least_of(const double *values, size_t count)
{
    double least = values[0];

    for (size_t i = 1; i < count; i++) {
        least = is_less(values[i], least) ? values[i] : least;
    }
    return least;
}

double eval_quantile(double phi, double *values, size_t count)
{
    if (count == 0 || isnan(phi)) {
        return NAN;
    }
    if (phi < 0 || phi > 1) {
        return phi < 0 ? -INFINITY : INFINITY;
    }
    double rank = phi * (double)(count - 1);
    size_t lower = (size_t)floor(rank);
    double weight = rank - floor(rank);
    place_rank(values, count, lower);
    double next =
        lower + 1 < count ? least_of(values + lower + 1, count - lower - 1) : values[lower];
    return values[lower] * (1 - weight) + next * weight;
}
