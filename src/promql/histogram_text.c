/*
 * Histograms as text, in the forms that Prometheus has for them.
 */
#include <promql/histogram_text.h>

#include <promql/histogram_walk.h>

/* ---- for people ----------------------------------------------------------------------------- */

static void put_g(struct promql_writer *writer, double value)
{
    promql_write_double(writer, value, PROMQL_NUMBER_G);
}

static void put_bucket(struct promql_writer *writer, const struct promql_bucket *bucket)
{
    promql_write_text(writer, bucket->has_lower ? ", [" : ", (");
    put_g(writer, bucket->lower);
    promql_write(writer, ",", 1);
    put_g(writer, bucket->upper);
    promql_write_text(writer, bucket->has_upper ? "]:" : "):");
    put_g(writer, bucket->count);
}

static void put_side(struct promql_writer *writer, const struct promql_histogram *histogram,
                     struct promql_side_walk walk, bool is_negative)
{
    int32_t index;
    double count;

    while (promql_side_next(&walk, &index, &count)) {
        if (count != 0) {
            const struct promql_bucket bucket =
                promql_bucket_of(histogram, is_negative, index, count);
            put_bucket(writer, &bucket);
        }
    }
}

void promql_histogram_write(struct promql_writer *writer, const struct promql_histogram *histogram)
{
    promql_write_text(writer, "{count:");
    put_g(writer, histogram->count);
    promql_write_text(writer, ", sum:");
    put_g(writer, histogram->sum);
    put_side(writer, histogram, promql_walk_side_down(&histogram->negative), true);
    if (histogram->zero_count != 0) {
        const struct promql_bucket zero = {.lower = -histogram->zero_threshold,
                                           .upper = histogram->zero_threshold,
                                           .has_lower = true,
                                           .has_upper = true,
                                           .count = histogram->zero_count};
        put_bucket(writer, &zero);
    }
    put_side(writer, histogram, promql_walk_side(&histogram->positive), false);
    promql_write(writer, "}", 1);
}

/* ---- in test scripts ------------------------------------------------------------------------ */

/* Between two parts a blank. */
static void put_name(struct promql_writer *writer, bool *is_first, const char *name)
{
    promql_write_text(writer, *is_first ? "" : " ");
    promql_write_text(writer, name);
    *is_first = false;
}

static void put_unless_0(struct promql_writer *writer, bool *is_first, const char *name,
                         double value)
{
    if (value != 0) {
        put_name(writer, is_first, name);
        put_g(writer, value);
    }
}

static void put_empty(struct promql_writer *writer, int64_t count)
{
    if (count > PROMQL_HISTOGRAM_GAP_MAX) {
        writer->memory->is_refused = true;
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        promql_write_text(writer, " 0");
    }
}

/* A side's buckets from the first populated one to the last. */
static void put_test_side(struct promql_writer *writer, bool *is_first,
                          const struct promql_buckets *buckets, const char *offset_name,
                          const char *buckets_name)
{
    struct promql_side_walk walk = promql_walk_side(buckets);
    bool has_begun = false;
    int32_t index, last = 0;
    double count;

    while (promql_side_next(&walk, &index, &count)) {
        if (count == 0) {
            continue;
        }
        if (!has_begun) {
            put_unless_0(writer, is_first, offset_name, index);
            put_name(writer, is_first, buckets_name);
        } else {
            put_empty(writer, (int64_t)index - last - 1);
            promql_write(writer, " ", 1);
        }
        put_g(writer, count);
        has_begun = true;
        last = index;
    }
    if (has_begun) {
        promql_write(writer, "]", 1);
    }
}

static void put_bounds(struct promql_writer *writer, bool *is_first,
                       const struct promql_histogram *histogram)
{
    put_name(writer, is_first, "custom_values:[");
    for (uint32_t i = 0; i < histogram->custom_count; i++) {
        promql_write_text(writer, i == 0 ? "" : " ");
        put_g(writer, histogram->custom_bounds[i]);
    }
    promql_write(writer, "]", 1);
}

void promql_histogram_write_test(struct promql_writer *writer,
                                 const struct promql_histogram *histogram)
{
    static const char *const hints[] = {NULL, "counter_reset_hint:reset",
                                        "counter_reset_hint:not_reset", "counter_reset_hint:gauge"};
    bool is_first = true;

    promql_write_text(writer, "{{");
    put_unless_0(writer, &is_first, "schema:", histogram->schema);
    put_unless_0(writer, &is_first, "count:", histogram->count);
    put_unless_0(writer, &is_first, "sum:", histogram->sum);
    put_unless_0(writer, &is_first, "z_bucket:", histogram->zero_count);
    put_unless_0(writer, &is_first, "z_bucket_w:", histogram->zero_threshold);
    if (promql_histogram_is_custom(histogram)) {
        put_bounds(writer, &is_first, histogram);
    }
    if (hints[histogram->reset_hint] != NULL) {
        put_name(writer, &is_first, hints[histogram->reset_hint]);
    }
    put_test_side(writer, &is_first, &histogram->positive, "offset:", "buckets:[");
    put_test_side(writer, &is_first, &histogram->negative, "n_offset:", "n_buckets:[");
    promql_write_text(writer, "}}");
}

/* ---- in answers ----------------------------------------------------------------------------- */

static void put_json(struct promql_writer *writer, double value)
{
    promql_write(writer, "\"", 1);
    promql_write_double(writer, value, PROMQL_NUMBER_JSON);
    promql_write(writer, "\"", 1);
}

/* Which of its boundaries belong to a bucket, in a number. */
static const char *rule_of(const struct promql_bucket *bucket)
{
    if (bucket->has_lower) {
        return bucket->has_upper ? "3," : "1,";
    }
    return bucket->has_upper ? "0," : "2,";
}

void promql_histogram_write_json(struct promql_writer *writer,
                                 const struct promql_histogram *histogram)
{
    struct promql_bucket_walk walk = promql_walk_up(histogram);
    struct promql_bucket bucket;
    bool has_buckets = false;

    promql_write_text(writer, "{\"count\":");
    put_json(writer, histogram->count);
    promql_write_text(writer, ",\"sum\":");
    put_json(writer, histogram->sum);
    while (promql_walk_next(&walk, &bucket)) {
        if (bucket.count == 0) {
            continue;
        }
        promql_write_text(writer, has_buckets ? ",[" : ",\"buckets\":[[");
        promql_write_text(writer, rule_of(&bucket));
        put_json(writer, bucket.lower);
        promql_write(writer, ",", 1);
        put_json(writer, bucket.upper);
        promql_write(writer, ",", 1);
        put_json(writer, bucket.count);
        promql_write(writer, "]", 1);
        has_buckets = true;
    }
    promql_write_text(writer, has_buckets ? "]}" : "}");
}
