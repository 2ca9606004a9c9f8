/*
 * Histograms as text, in the forms that Prometheus has for them.
 */
#include <promql/histogram_text.h>

#include <promql/histogram_walk.h>

/* ---- for people ----------------------------------------------------------------------------- */

static void put_g(struct promql_string *string, double value)
{
    promql_string_number(string, value, PROMQL_NUMBER_G);
}

static void put_bucket(struct promql_string *string, const struct promql_bucket *bucket)
{
    promql_string_text(string, bucket->has_lower ? ", [" : ", (");
    put_g(string, bucket->lower);
    promql_string_bytes(string, ",", 1);
    put_g(string, bucket->upper);
    promql_string_text(string, bucket->has_upper ? "]:" : "):");
    put_g(string, bucket->count);
}

static void put_side(struct promql_string *string, const struct promql_histogram *histogram,
                     struct promql_side_walk walk, bool is_negative)
{
    int32_t index;
    double count;

    while (promql_side_next(&walk, &index, &count)) {
        if (count != 0) {
            const struct promql_bucket bucket =
                promql_bucket_of(histogram, is_negative, index, count);
            put_bucket(string, &bucket);
        }
    }
}

void promql_histogram_write(struct promql_string *string, const struct promql_histogram *histogram)
{
    promql_string_text(string, "{count:");
    put_g(string, histogram->count);
    promql_string_text(string, ", sum:");
    put_g(string, histogram->sum);
    put_side(string, histogram, promql_walk_side_down(&histogram->negative), true);
    if (histogram->zero_count != 0) {
        const struct promql_bucket zero = {.lower = -histogram->zero_threshold,
                                           .upper = histogram->zero_threshold,
                                           .has_lower = true,
                                           .has_upper = true,
                                           .count = histogram->zero_count};
        put_bucket(string, &zero);
    }
    put_side(string, histogram, promql_walk_side(&histogram->positive), false);
    promql_string_bytes(string, "}", 1);
}

/* ---- in test scripts ------------------------------------------------------------------------ */

/* Between two parts a blank. */
static void put_name(struct promql_string *string, bool *is_first, const char *name)
{
    promql_string_text(string, *is_first ? "" : " ");
    promql_string_text(string, name);
    *is_first = false;
}

static void put_unless_0(struct promql_string *string, bool *is_first, const char *name,
                         double value)
{
    if (value != 0) {
        put_name(string, is_first, name);
        put_g(string, value);
    }
}

static void put_empty(struct promql_string *string, int64_t count)
{
    if (count > PROMQL_HISTOGRAM_GAP_MAX) {
        string->memory->is_refused = true;
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        promql_string_text(string, " 0");
    }
}

/* A side's buckets from the first populated one to the last. */
static void put_test_side(struct promql_string *string, bool *is_first,
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
            put_unless_0(string, is_first, offset_name, index);
            put_name(string, is_first, buckets_name);
        } else {
            put_empty(string, (int64_t)index - last - 1);
            promql_string_bytes(string, " ", 1);
        }
        put_g(string, count);
        has_begun = true;
        last = index;
    }
    if (has_begun) {
        promql_string_bytes(string, "]", 1);
    }
}

static void put_bounds(struct promql_string *string, bool *is_first,
                       const struct promql_histogram *histogram)
{
    put_name(string, is_first, "custom_values:[");
    for (uint32_t i = 0; i < histogram->custom_count; i++) {
        promql_string_text(string, i == 0 ? "" : " ");
        put_g(string, histogram->custom_bounds[i]);
    }
    promql_string_bytes(string, "]", 1);
}

void promql_histogram_write_test(struct promql_string *string,
                                 const struct promql_histogram *histogram)
{
    static const char *const hints[] = {NULL, "counter_reset_hint:reset",
                                        "counter_reset_hint:not_reset", "counter_reset_hint:gauge"};
    bool is_first = true;

    promql_string_text(string, "{{");
    put_unless_0(string, &is_first, "schema:", histogram->schema);
    put_unless_0(string, &is_first, "count:", histogram->count);
    put_unless_0(string, &is_first, "sum:", histogram->sum);
    put_unless_0(string, &is_first, "z_bucket:", histogram->zero_count);
    put_unless_0(string, &is_first, "z_bucket_w:", histogram->zero_threshold);
    if (promql_histogram_is_custom(histogram)) {
        put_bounds(string, &is_first, histogram);
    }
    if (hints[histogram->reset_hint] != NULL) {
        put_name(string, &is_first, hints[histogram->reset_hint]);
    }
    put_test_side(string, &is_first, &histogram->positive, "offset:", "buckets:[");
    put_test_side(string, &is_first, &histogram->negative, "n_offset:", "n_buckets:[");
    promql_string_text(string, "}}");
}

/* ---- in answers ----------------------------------------------------------------------------- */

static void put_json(struct promql_string *string, double value)
{
    promql_string_bytes(string, "\"", 1);
    promql_string_number(string, value, PROMQL_NUMBER_JSON);
    promql_string_bytes(string, "\"", 1);
}

/* Which of its boundaries belong to a bucket, in a number. */
static const char *rule_of(const struct promql_bucket *bucket)
{
    if (bucket->has_lower) {
        return bucket->has_upper ? "3," : "1,";
    }
    return bucket->has_upper ? "0," : "2,";
}

void promql_histogram_write_json(struct promql_string *string,
                                 const struct promql_histogram *histogram)
{
    struct promql_bucket_walk walk = promql_walk_up(histogram);
    struct promql_bucket bucket;
    bool has_buckets = false;

    promql_string_text(string, "{\"count\":");
    put_json(string, histogram->count);
    promql_string_text(string, ",\"sum\":");
    put_json(string, histogram->sum);
    while (promql_walk_next(&walk, &bucket)) {
        if (bucket.count == 0) {
            continue;
        }
        promql_string_text(string, has_buckets ? ",[" : ",\"buckets\":[[");
        promql_string_text(string, rule_of(&bucket));
        put_json(string, bucket.lower);
        promql_string_bytes(string, ",", 1);
        put_json(string, bucket.upper);
        promql_string_bytes(string, ",", 1);
        put_json(string, bucket.count);
        promql_string_bytes(string, "]", 1);
        has_buckets = true;
    }
    promql_string_text(string, has_buckets ? "]}" : "}");
}
