/*
 * Functions of each value by itself: of floats, of times, of histograms.
 *
 * A row comes in and a row goes out; where the function has no value for what is there, nothing
 * is. Times are seconds since 1970, UTC.
 */
#include <promql/functions.h>

#include <promql/histogram_value.h>

#include <math.h>

struct map_stream;

/* Writes a step's value to the row that goes out. Returns: false: failed. */
typedef void map_float(const struct map_stream *of, uint32_t step, double value,
                       struct eval_row *row);
typedef double map_histogram(const struct promql_histogram *histogram);

struct map_stream {
    struct eval_stream stream;
    struct eval_stream *of;
    map_float *of_float;         /* NULL: floats are left out */
    map_histogram *of_histogram; /* NULL: histograms are */
    double (*plain)(double value);
    const double *arguments[2];
    struct eval_row row;
    struct eval_label_buffer buffer;
};

static bool next_mapped(struct eval_stream *stream, struct eval_row *ret_row)
{
    struct map_stream *of = (struct map_stream *)stream;
    struct eval_row row;

    do {
        if (!of->of->next(of->of, &row)) {
            return false;
        }
        eval_row_clear(&of->row, stream->frame.count);
        for (uint32_t i = 0; i < row.count; i++) {
            if (row.kinds[i] == EVAL_FLOAT && of->of_float != NULL) {
                of->of_float(of, row.first + i, row.values[i], &of->row);
            } else if (row.kinds[i] == EVAL_HISTOGRAM && of->of_histogram != NULL) {
                eval_put(&of->row, row.first + i, of->of_histogram(row.histograms[i]));
            }
        }
    } while (eval_row_is_empty(&of->row));
    of->row.labels = row.labels;
    of->row.drops_name = row.drops_name;
    if (!eval_buffer_reserve(stream->eval, &of->buffer, row.labels.count)) {
        return false;
    }
    eval_row_drop_name(stream->eval, &of->row, &of->buffer);
    *ret_row = of->row;
    return true;
}

/* ---- floats --------------------------------------------------------------------------------- */

static void map_plain(const struct map_stream *of, uint32_t step, double value,
                      struct eval_row *row)
{
    eval_put(row, step, of->plain(value));
}

static void map_clamp(const struct map_stream *of, uint32_t step, double value,
                      struct eval_row *row)
{
    double low = of->arguments[0][step], high = of->arguments[1][step];

    if (!(high < low)) {
        eval_put(row, step, eval_larger(low, eval_smaller(high, value)));
    }
}

static void map_clamp_min(const struct map_stream *of, uint32_t step, double value,
                          struct eval_row *row)
{
    eval_put(row, step, eval_larger(of->arguments[0][step], value));
}

static void map_clamp_max(const struct map_stream *of, uint32_t step, double value,
                          struct eval_row *row)
{
    eval_put(row, step, eval_smaller(of->arguments[0][step], value));
}

static void map_round(const struct map_stream *of, uint32_t step, double value,
                      struct eval_row *row)
{
    double inverse = of->arguments[0] == NULL ? 1 : 1 / of->arguments[0][step];
    eval_put(row, step, floor(value * inverse + 0.5) / inverse);
}

static double sign(double value)
{
    return value < 0 ? -1 : value > 0 ? 1 : value;
}

static double degrees(double value)
{
    return value * 180 / M_PI;
}

static double radians(double value)
{
    return value * M_PI / 180;
}

static double (*plain_function(enum promql_function_id id))(double)
{
    static const struct {
        enum promql_function_id id;
        double (*function)(double);
    } functions[] = {
        {PROMQL_FN_abs, fabs},    {PROMQL_FN_acos, acos},   {PROMQL_FN_acosh, acosh},
        {PROMQL_FN_asin, asin},   {PROMQL_FN_asinh, asinh}, {PROMQL_FN_atan, atan},
        {PROMQL_FN_atanh, atanh}, {PROMQL_FN_ceil, ceil},   {PROMQL_FN_cos, cos},
        {PROMQL_FN_cosh, cosh},   {PROMQL_FN_exp, exp},     {PROMQL_FN_floor, floor},
        {PROMQL_FN_ln, log},      {PROMQL_FN_log2, log2},   {PROMQL_FN_log10, log10},
        {PROMQL_FN_sin, sin},     {PROMQL_FN_sinh, sinh},   {PROMQL_FN_sqrt, sqrt},
        {PROMQL_FN_tan, tan},     {PROMQL_FN_tanh, tanh},   {PROMQL_FN_sgn, sign},
        {PROMQL_FN_deg, degrees}, {PROMQL_FN_rad, radians},
    };

    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        if (functions[i].id == id) {
            return functions[i].function;
        }
    }
    return eval_calendar_function(id);
}

/* ---- times ---------------------------------------------------------------------------------- */

static void map_time(const struct map_stream *of, uint32_t step, double value, struct eval_row *row)
{
    (void)value;
    eval_put(row, step, (double)eval_time(&of->stream.frame, step) / 1000);
}

/* ---- histograms ----------------------------------------------------------------------------- */

static double histogram_count(const struct promql_histogram *histogram)
{
    return histogram->count;
}

static double histogram_sum(const struct promql_histogram *histogram)
{
    return histogram->sum;
}

static double histogram_deviation(const struct promql_histogram *histogram)
{
    return sqrt(promql_histogram_variance(histogram));
}

static map_histogram *histogram_function(enum promql_function_id id)
{
    return id == PROMQL_FN_histogram_count    ? histogram_count
           : id == PROMQL_FN_histogram_sum    ? histogram_sum
           : id == PROMQL_FN_histogram_avg    ? promql_histogram_average
           : id == PROMQL_FN_histogram_stddev ? histogram_deviation
           : id == PROMQL_FN_histogram_stdvar ? promql_histogram_variance
                                              : NULL;
}

/* ---- opening -------------------------------------------------------------------------------- */

static double minus_one(const struct promql_histogram *histogram)
{
    (void)histogram;
    return -1;
}

static void map_identity(const struct map_stream *of, uint32_t step, double value,
                         struct eval_row *row)
{
    (void)of;
    eval_put(row, step, value);
}

struct eval_stream *eval_nameless(struct eval *eval, const struct eval_frame *frame,
                                  struct eval_stream *stream, const struct promql_node *argument)
{
    struct map_stream *of = eval_take_zero(eval, 1, sizeof *of);

    if (of == NULL || !eval_row_init(eval, frame->count, false, &of->row)) {
        return NULL;
    }
    of->stream = (struct eval_stream){.next = next_mapped, .eval = eval, .frame = *frame};
    of->of_float = map_identity;
    of->of = stream;
    return eval_unique(eval, frame, &of->stream, argument);
}

/* timestamp() of what is no selector: the step's time, of histograms too. */
static bool next_timed(struct eval_stream *stream, struct eval_row *ret_row)
{
    struct map_stream *of = (struct map_stream *)stream;

    if (!next_mapped(stream, ret_row)) {
        return false;
    }
    for (uint32_t step = 0; step < stream->frame.count; step++) {
        if (of->row.kinds[step] != EVAL_NONE) {
            map_time(of, step, 0, &of->row);
        }
    }
    return true;
}

/* What a call is made of. Returns: false: it is no function of single values. */
static bool choose(struct map_stream *of, enum promql_function_id id)
{
    of->plain = plain_function(id);
    of->of_histogram = histogram_function(id);
    of->of_float = of->plain != NULL           ? map_plain
                   : id == PROMQL_FN_clamp     ? map_clamp
                   : id == PROMQL_FN_clamp_min ? map_clamp_min
                   : id == PROMQL_FN_clamp_max ? map_clamp_max
                   : id == PROMQL_FN_round     ? map_round
                   : id == PROMQL_FN_timestamp ? map_time
                                               : NULL;
    if (id == PROMQL_FN_timestamp) {
        of->of_histogram = minus_one;
        of->stream.next = next_timed;
    }
    return of->of_float != NULL || of->of_histogram != NULL;
}

struct eval_stream *eval_map(struct eval *eval, const struct eval_frame *frame,
                             const struct promql_node *node)
{
    struct map_stream *of = eval_take_zero(eval, 1, sizeof *of);
    size_t count = node->call.argument_count;

    if (of == NULL) {
        return NULL;
    }
    of->stream = (struct eval_stream){.next = next_mapped, .eval = eval, .frame = *frame};
    if (!choose(of, node->call.function->id)) {
        (void)eval_fail(eval, PROMQL_ERROR_INTERNAL, "unknown function '%s'",
                        node->call.function->name);
        return NULL;
    }
    for (size_t i = 1; i < count; i++) {
        Q_ASSERT(i <= 2);
        of->arguments[i - 1] = eval_scalar(eval, frame, node->call.arguments[i]);
        if (of->arguments[i - 1] == NULL) {
            return NULL;
        }
    }
    of->of = count == 0 ? eval_vector_of_time(eval, frame)
                        : eval_vector(eval, frame, node->call.arguments[0]);
    if (of->of == NULL || !eval_row_init(eval, frame->count, false, &of->row)) {
        return NULL;
    }
    return count == 0 ? &of->stream
                      : eval_unique(eval, frame, &of->stream, node->call.arguments[0]);
}
