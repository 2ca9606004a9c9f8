/*
 * Expressions over a small store, evaluated: what comes out is well formed, and is the same with a
 * thread's help, in less memory (or it is refused), and at an instant as in a range of one step.
 *
 *     byte 0     how it is evaluated
 *     byte 1     steps, and where they begin
 *     the rest   an expression in text; or, with bit 7 of byte 0, choices out of which one is made
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <os/os.h>
#include <promql/promql.h>
#include <promql/script_source.h>
#include <quarry/memory.h>

#define SAMPLE_COUNT 61
#define STEP_MS      INT64_C(15000)
#define SPAN_MS      (SAMPLE_COUNT * STEP_MS)
#define DEPTH_MAX    6u
#define TEXT_BYTES   4096u
/* What one evaluation may take before it is given up: it is no finding. */
#define PATIENCE_NS (2 * Q_SECOND_NS)

static struct quarry_account *account;
static struct quarry_pool *pool;
static struct promql_crew *crew;
static struct script_store store;
static struct promql_source source;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count);

static void must(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* ---- the store ------------------------------------------------------------------------------ */

static struct quarry_tsdb_slice slice(const char *text)
{
    return (struct quarry_tsdb_slice){.bytes = text, .count = strlen(text)};
}

static const struct promql_histogram *histogram_of(size_t i, bool is_custom)
{
    static const struct promql_span spans[] = {{0, 2}, {3, 1}}, custom_spans[] = {{0, 3}};
    static const double bounds[] = {0.5, 2.5, 10};
    struct promql_histogram *made = promql_memory_take_zero(&store.memory, 1, sizeof *made);
    double *counts = promql_memory_take_zero(&store.memory, 3, sizeof *counts);

    must(made != NULL && counts != NULL);
    counts[0] = (double)(i % 20);
    counts[1] = 2;
    counts[2] = (double)i;
    *made = (struct promql_histogram){.schema = is_custom ? PROMQL_SCHEMA_CUSTOM : (int32_t)(i % 3),
                                      .zero_threshold = is_custom ? 0 : 0.001,
                                      .zero_count = is_custom ? 0 : 1,
                                      .count = counts[0] + 2 + (double)i + (is_custom ? 0 : 1),
                                      .sum = (double)i * 1.5,
                                      .positive = {.spans = is_custom ? custom_spans : spans,
                                                   .counts = counts,
                                                   .span_count = is_custom ? 1 : 2,
                                                   .bucket_count = 3},
                                      .custom_bounds = is_custom ? bounds : NULL,
                                      .custom_count = is_custom ? 3 : 0};
    return made;
}

/* The value of sample i of a series of some kind. */
static double value_of(char kind, size_t i)
{
    switch (kind) {
    case 'c':
        return (double)(i % 23) * 3; /* a counter that begins anew */
    case 'g':
        return sin((double)i) * 10;
    case 'n':
        return i % 5 == 0 ? NAN : i % 7 == 0 ? INFINITY : -(double)i;
    default:
        return (double)i * (double)(kind - '0'); /* a bucket */
    }
}

/* A series of a kind: h: histograms; x: their boundaries are its own; m: floats among them. */
static void add_series(const char *name, const char *label, const char *value, char kind)
{
    struct quarry_tsdb_label *labels = promql_memory_take(&store.memory, 3 * sizeof *labels);
    struct script_series series = {.labels = labels, .label_count = 3};
    const bool has_histograms = kind == 'h' || kind == 'x' || kind == 'm';

    series.t_ms = promql_memory_take(&store.memory, SAMPLE_COUNT * sizeof *series.t_ms);
    series.bits = promql_memory_take(&store.memory, SAMPLE_COUNT * sizeof *series.bits);
    series.start_ms = promql_memory_take_zero(&store.memory, SAMPLE_COUNT, sizeof(int64_t));
    series.histograms =
        promql_memory_take_zero(&store.memory, SAMPLE_COUNT, sizeof *series.histograms);
    must(!store.memory.is_refused);
    labels[0] = (struct quarry_tsdb_label){slice("__name__"), slice(name)};
    labels[1] = (struct quarry_tsdb_label){slice("job"), slice(name[0] < 'c' ? "one" : "two")};
    labels[2] = (struct quarry_tsdb_label){slice(label), slice(value)};
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        const double number = value_of(kind, i);
        series.t_ms[i] = (int64_t)i * STEP_MS;
        memcpy(&series.bits[i], &number, sizeof number);
        if (i == 40 && kind != 'c') {
            series.bits[i] = QUARRY_TSDB_STALE_BITS;
        } else if (has_histograms && !(kind == 'm' && i % 4 == 0)) {
            series.histograms[i] = histogram_of(i, kind == 'x');
        }
    }
    series.count = SAMPLE_COUNT;
    series.has_histograms = has_histograms;
    must(script_store_add(&store, &series) == QUARRY_OK);
}

static void fill(void)
{
    add_series("a_total", "x", "1", 'c');
    add_series("a_total", "x", "2", 'c');
    add_series("a_total", "y", "1", 'c');
    add_series("b", "x", "1", 'g');
    add_series("b", "x", "2", 'n');
    add_series("c_bucket", "le", "+Inf", '9');
    add_series("c_bucket", "le", "0.1", '1');
    add_series("c_bucket", "le", "1", '3');
    add_series("h", "x", "1", 'h');
    add_series("h", "x", "2", 'h');
    add_series("h", "x", "3", 'm');
    add_series("i_info", "x", "1", '1');
    add_series("k", "x", "1", 'x');
}

static void make_store(void)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(512), .has_no_thread = true};
    const struct quarry_account_options account_options = {.name = "query"};
    struct quarry_memory *memory;
    struct quarry_lifetime *lifetime;

    must(quarry_memory_create(&options, &memory, NULL) == QUARRY_OK);
    must(quarry_account_create(memory, &account_options, &account, NULL) == QUARRY_OK);
    must(quarry_lifetime_begin(memory, "query", &lifetime, NULL) == QUARRY_OK);
    must(quarry_pool_create(lifetime, quarry_account_owner(account), &pool) == QUARRY_OK);
    must(promql_crew_create(account, pool, 1, &crew, NULL) == QUARRY_OK);
    script_store_init(&store, account, pool, Q_MIB(16));
    fill();
    source = script_store_source(&store);
}

/* ---- expressions out of bytes --------------------------------------------------------------- */

struct maker {
    const uint8_t *at, *end; /* choices; none left: the simplest */
    char text[TEXT_BYTES];
    size_t count;
};

static uint32_t choose(struct maker *maker, uint32_t count)
{
    return maker->at == maker->end ? 0 : *maker->at++ % count;
}

static void say(struct maker *maker, const char *text)
{
    const size_t count = strlen(text);

    if (sizeof maker->text - maker->count >= count) {
        memcpy(maker->text + maker->count, text, count);
        maker->count += count;
    }
}

#define SAY_ONE(maker, words) say(maker, words[choose(maker, sizeof words / sizeof words[0])])

static void say_type(struct maker *maker, enum promql_type type, uint32_t depth);

static void say_selector(struct maker *maker)
{
    static const char *const selectors[] = {
        "a_total",  "b",
        "h",        "{__name__=~\".+\"}",
        "c_bucket", "a_total{x=\"1\"}",
        "k",        "{job=\"one\"}",
        "i_info",   "b{x!=\"1\"}",
        "nothing",  "{__name__=~\"a.*|h\"}",
    };
    SAY_ONE(maker, selectors);
}

static void say_modifier(struct maker *maker)
{
    static const char *const modifiers[] = {
        "", "", "", "", " offset 1m", " offset -2m", " @ 300", " @ start()", " @ end()", " @ 0",
    };
    SAY_ONE(maker, modifiers);
}

static const struct function {
    const char *name;
    enum promql_type type, arguments[6];
} functions[] = {
#define PROMQL_FUNCTION(name, type, experimental, variadic, since, ...)                            \
    {#name, PROMQL_##type, {__VA_ARGS__}},
#include <promql/function_table.h>
#undef PROMQL_FUNCTION
};
#define FUNCTION_COUNT (sizeof functions / sizeof functions[0])

static void say_call(struct maker *maker, enum promql_type type, uint32_t depth)
{
    size_t i = choose(maker, FUNCTION_COUNT);

    while (functions[i].type != type) {
        i = (i + 1) % FUNCTION_COUNT;
    }
    say(maker, functions[i].name);
    say(maker, "(");
    for (size_t j = 0; j < 6 && functions[i].arguments[j] != PROMQL_TYPE_NONE; j++) {
        say(maker, j > 0 ? ", " : "");
        say_type(maker, functions[i].arguments[j], depth + 1);
    }
    say(maker, ")");
}

static void say_aggregate(struct maker *maker, uint32_t depth)
{
    static const char *const names[] = {"sum",
                                        "avg",
                                        "min",
                                        "max",
                                        "count",
                                        "group",
                                        "stddev",
                                        "stdvar",
                                        "topk(2,",
                                        "limitk(1,",
                                        "bottomk(1,",
                                        "quantile(0.5,",
                                        "limit_ratio(0.5,",
                                        "count_values(\"v\","};
    static const char *const groups[] = {"", " by (x)", " by (job)", " without (x)",
                                         " by (__name__)"};
    const uint32_t i = choose(maker, sizeof names / sizeof names[0]);

    say(maker, names[i]);
    say(maker, i < 8 ? "(" : " ");
    say_type(maker, PROMQL_VECTOR, depth + 1);
    say(maker, ")");
    SAY_ONE(maker, groups);
}

static void say_binary(struct maker *maker, uint32_t depth)
{
    static const char *const operators[] = {
        " + ",
        " - ",
        " * ",
        " / ",
        " % ",
        " ^ ",
        " > ",
        " == bool ",
        " < ",
        " and ",
        " or ",
        " unless ",
        " + on (x) ",
        " * ignoring (x) ",
        " / on (job) group_left ",
        " atan2 ",
        " - on (x) group_right (job) ",
        " and on (x) ",
        " or ignoring (x) ",
    };

    say(maker, "(");
    say_type(maker, PROMQL_VECTOR, depth + 1);
    SAY_ONE(maker, operators);
    say_type(maker, PROMQL_VECTOR, depth + 1);
    say(maker, ")");
}

static void say_scaled(struct maker *maker, uint32_t depth)
{
    static const char *const operators[] = {" + ", " * ", " / ", " > ", " != bool ", " - ", " < "};

    say(maker, "(");
    say_type(maker, PROMQL_VECTOR, depth + 1);
    SAY_ONE(maker, operators);
    say_type(maker, PROMQL_SCALAR, depth + 1);
    say(maker, ")");
}

static void say_vector(struct maker *maker, uint32_t depth)
{
    switch (depth >= DEPTH_MAX ? 0 : choose(maker, 7)) {
    case 1:
    case 2:
        say_call(maker, PROMQL_VECTOR, depth);
        break;
    case 3:
        say_aggregate(maker, depth);
        break;
    case 4:
        say_binary(maker, depth);
        break;
    case 5:
        say_scaled(maker, depth);
        break;
    case 6:
        say(maker, "(-");
        say_vector(maker, depth + 1);
        say(maker, ")");
        break;
    default:
        say_selector(maker);
        say_modifier(maker);
        break;
    }
}

static void say_matrix(struct maker *maker, uint32_t depth)
{
    static const char *const ranges[] = {"[1m]", "[5m]", "[20s]", "[1h]", "[1m]"};
    static const char *const steps[] = {"[1m:]", "[5m:30s]", "[2m:10s]", "[10m:7s]"};

    if (depth >= DEPTH_MAX || choose(maker, 3) != 1) {
        say_selector(maker);
        SAY_ONE(maker, ranges);
    } else {
        say(maker, "(");
        say_vector(maker, depth + 1);
        say(maker, ")");
        SAY_ONE(maker, steps);
    }
    say_modifier(maker);
}

static void say_type(struct maker *maker, enum promql_type type, uint32_t depth)
{
    static const char *const numbers[] = {"1", "0.5", "0", "-1", "NaN", "Inf", "3", "1e9"};
    static const char *const strings[] = {"\"x\"",  "\"(.*)\"", "\"new\"",
                                          "\"$1\"", "\"job\"",  "\"\""};

    switch (type) {
    case PROMQL_VECTOR:
        say_vector(maker, depth);
        break;
    case PROMQL_MATRIX:
        say_matrix(maker, depth);
        break;
    case PROMQL_SCALAR:
        if (depth < DEPTH_MAX && choose(maker, 4) == 3) {
            say_call(maker, PROMQL_SCALAR, depth);
        } else {
            SAY_ONE(maker, numbers);
        }
        break;
    case PROMQL_STRING:
        SAY_ONE(maker, strings);
        break;
    case PROMQL_TYPE_NONE:
        break;
    }
}

/* ---- results -------------------------------------------------------------------------------- */

static int compare(const struct promql_series *a, const struct promql_series *b)
{
    return script_compare_labels(a->labels, a->label_count, b->labels, b->label_count);
}

static void check_series(const struct promql_series *series)
{
    must(series->count > 0);
    for (size_t i = 1; i < series->count; i++) {
        must(series->t_ms[i - 1] < series->t_ms[i]);
    }
    for (size_t i = 1; i < series->label_count; i++) {
        const struct quarry_tsdb_slice a = series->labels[i - 1].name, b = series->labels[i].name;
        const size_t shorter = a.count < b.count ? a.count : b.count;
        const int order = memcmp(a.bytes, b.bytes, shorter);
        must(order < 0 || (order == 0 && a.count < b.count));
    }
}

static void check(const struct promql_result *result, bool is_range)
{
    must((result->error != PROMQL_ERROR_NONE) == (result->error_text[0] != '\0'));
    must(result->error == PROMQL_ERROR_NONE || result->series_count == 0);
    must(result->stats.samples_peak <= 200000 || result->error != PROMQL_ERROR_NONE);
    for (size_t i = 0; i < result->series_count; i++) {
        check_series(&result->series[i]);
        must(!is_range || i == 0 || compare(&result->series[i - 1], &result->series[i]) < 0);
    }
}

static void must_be_same(const struct promql_result *a, const struct promql_result *b)
{
    must(a->series_count == b->series_count);
    must(a->warning_count == b->warning_count && a->info_count == b->info_count);
    for (size_t i = 0; i < a->series_count; i++) {
        const struct promql_series *one = &a->series[i], *other = &b->series[i];
        must(compare(one, other) == 0 && one->count == other->count);
        must(memcmp(one->t_ms, other->t_ms, one->count * sizeof *one->t_ms) == 0);
        must(memcmp(one->values, other->values, one->count * sizeof *one->values) == 0);
    }
}

static bool is_given_up(const struct promql_result *result)
{
    return result->error == PROMQL_ERROR_TIMEOUT;
}

/* ---- evaluating ----------------------------------------------------------------------------- */

static struct promql_options options_of(uint8_t flags)
{
    return (struct promql_options){.source = &source,
                                   .account = account,
                                   .pool = pool,
                                   .grant_bytes = Q_MIB(64),
                                   .samples_max = 200000,
                                   .deadline_ns = os_monotonic_ns(os_real()) + PATIENCE_NS,
                                   .depth_max = 64,
                                   .delays_name_removal = (flags & 1) != 0,
                                   .uses_start_times = (flags & 2) != 0,
                                   .compat_2_42 = (flags & 4) != 0,
                                   .allows_experimental_functions = true,
                                   .allows_duration_expressions = true,
                                   .allows_extended_selectors = true,
                                   .allows_fill = true};
}

static uint64_t charged(void)
{
    struct quarry_account_state state;

    quarry_account_read(account, &state);
    return state.charged_bytes;
}

/* The same with a thread's help, and with less memory. */
static void evaluate_again(uint8_t flags, struct quarry_tsdb_slice text, struct promql_steps steps,
                           const struct promql_result *expected)
{
    struct promql_options options = options_of(flags);
    struct promql_result result;

    options.crew = (flags & 8) != 0 ? crew : NULL;
    options.block_series = 1;
    options.grant_bytes = (flags & 16) != 0 ? Q_KIB(64) << (flags >> 5 & 3) : options.grant_bytes;
    (void)promql_query_range_text(&options, text, steps, &result);
    check(&result, true);
    if (result.error == PROMQL_ERROR_NONE) {
        must_be_same(expected, &result);
    } else {
        must((flags & 16) != 0 || is_given_up(&result) || result.error == expected->error);
    }
    promql_result_fini(&result);
}

/* At an instant there are as many series. */
static void evaluate_instant(uint8_t flags, struct quarry_tsdb_slice text, int64_t t_ms)
{
    const struct promql_options options = options_of(flags);
    const struct promql_steps one = {.start_ms = t_ms, .end_ms = t_ms, .step_ms = 1000};
    struct promql_result instant, range;

    (void)promql_query_instant_text(&options, text, t_ms, &instant);
    (void)promql_query_range_text(&options, text, one, &range);
    check(&instant, false);
    check(&range, true);
    must(instant.type != PROMQL_VECTOR || range.error != PROMQL_ERROR_NONE ||
         instant.error != PROMQL_ERROR_NONE || instant.series_count == range.series_count ||
         memmem(text.bytes, text.count, "step", 4) != NULL); /* which an instant has none of */
    promql_result_fini(&instant);
    promql_result_fini(&range);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
    static struct maker maker;
    struct promql_result result;

    if (account == NULL) {
        make_store();
    }
    if (byte_count < 2) {
        return 0;
    }
    struct quarry_tsdb_slice text = {.bytes = (const char *)data + 2, .count = byte_count - 2};
    if ((data[0] & 128) != 0) {
        maker.at = data + 2;
        maker.end = data + byte_count;
        maker.count = 0;
        say_vector(&maker, 0);
        text = (struct quarry_tsdb_slice){.bytes = maker.text, .count = maker.count};
    }
    const struct promql_steps steps = {.start_ms = (data[1] >> 4) * INT64_C(20000),
                                       .end_ms = SPAN_MS,
                                       .step_ms = 1 + (data[1] & 15) * INT64_C(10000) + 20000};
    const uint64_t before_bytes = charged();
    const struct promql_options options = options_of(data[0]);
    (void)promql_query_range_text(&options, text, steps, &result);
    check(&result, true);
    if (!is_given_up(&result)) {
        evaluate_again(data[0], text, steps, &result);
        evaluate_instant(data[0], text, steps.start_ms);
    }
    promql_result_fini(&result);
    must(charged() == before_bytes);
    return 0;
}
