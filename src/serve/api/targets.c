/*
 * What is scraped: /api/v1/targets, /api/v1/scrape_pools, /api/v1/targets/metadata.
 *
 * Targets are the first tenant's, as their series are: others are told of none. Nothing is
 * relabeled here, so nothing is ever dropped.
 *
 * Which families a target has is known by its series: the names of those that carry its labels,
 * each found in the table of families by itself or without what its family's type puts behind it.
 *
 * Locking: none; the scraper's is held while its targets are copied.
 */
#include <serve/api/handlers.h>

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include <os/os.h>
#include <serve/api/params.h>

/* Bytes of one family's texts: not below the table's limit (tsdb_store.c). */
#define FAMILY_BYTES_MAX Q_KIB(64)

/* All targets that whoever asks may see. Returns: NULL: it was answered why not. */
static struct scrape_targets *read_targets(struct http_call *call, struct api_request *request)
{
    static const struct scrape_targets none = {.count = 0};
    const struct api_context *context = &request->context;
    struct scrape_targets *targets = NULL;
    enum quarry_status status;

    if (context->scrape == NULL || context->tenant != 0) {
        targets = malloc(sizeof *targets);
        status = targets == NULL ? QUARRY_NO_MEMORY : QUARRY_OK;
        if (targets != NULL) {
            *targets = none;
        }
    } else {
        status = context->read_targets(context->scrape, &targets);
    }
    if (status != QUARRY_OK) {
        (void)api_fail_status(call, status, NULL);
        return NULL;
    }
    return targets;
}

/* ---- one target ----------------------------------------------------------------------------- */

/* Milliseconds since 1970 as RFC 3339 has them, in quotes; 0: Go's time of nothing. */
static void put_moment(struct http_text *text, int64_t t_ms)
{
    const time_t seconds = (time_t)(t_ms / 1000);
    struct tm parts;
    char date[40], fraction[8];

    if (t_ms <= 0 || gmtime_r(&seconds, &parts) == NULL ||
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts) == 0) {
        http_text_say(text, "\"0001-01-01T00:00:00Z\"");
        return;
    }
    int bytes = snprintf(fraction, sizeof fraction, ".%03d", (int)(t_ms % 1000));
    while (bytes > 0 && (fraction[bytes - 1] == '0' || fraction[bytes - 1] == '.')) {
        const bool is_point = fraction[--bytes] == '.';
        fraction[bytes] = '\0';
        if (is_point) {
            break;
        }
    }
    http_text_format(text, "\"%s%sZ\"", date, fraction);
}

static void put_duration(struct http_text *text, uint64_t duration_ns)
{
    char room[API_DURATION_BYTES];

    api_put_words(text, api_duration_text(duration_ns / Q_MS_NS, room));
}

#define SELF_URL_BYTES 288u

/* Where it is asked; the page that the server renders for itself has no address but its own. */
static void put_url(struct http_text *text, const struct scrape_target_state *target)
{
    static const struct quarry_tsdb_slice name = QUARRY_TSDB_TEXT("instance");

    if (target->url[0] != '\0') {
        api_put_words(text, target->url);
        return;
    }
    for (size_t i = 0; i < target->labels.count; i++) {
        const struct quarry_tsdb_label *label = &target->labels.labels[i];
        if (tsdb_slice_compare(label->name, name) == 0) {
            char url[SELF_URL_BYTES];
            (void)snprintf(url, sizeof url, "http://%.*s/metrics",
                           (int)size_min(label->value.count, 256), label->value.bytes);
            api_put_words(text, url);
            return;
        }
    }
    http_text_say(text, "\"\"");
}

static void put_target(struct http_text *text, const struct scrape_target_state *target)
{
    static const char *const healths[] = {
        [SCRAPE_UNKNOWN] = "unknown", [SCRAPE_UP] = "up", [SCRAPE_DOWN] = "down"};
    char duration[48];

    http_text_say(text, "{\"discoveredLabels\":");
    api_put_labels(text, target->discovered.labels, target->discovered.count);
    http_text_say(text, ",\"labels\":");
    api_put_labels(text, target->labels.labels, target->labels.count);
    http_text_say(text, ",\"scrapePool\":");
    api_put_words(text, target->job);
    http_text_say(text, ",\"scrapeUrl\":");
    put_url(text, target);
    http_text_say(text, ",\"globalUrl\":");
    put_url(text, target);
    http_text_say(text, ",\"lastError\":");
    api_put_words(text, target->error);
    http_text_say(text, ",\"lastScrape\":");
    put_moment(text, target->last_ms);
    (void)snprintf(duration, sizeof duration, "%.9g", (double)target->last_duration_ns / 1e9);
    http_text_format(text,
                     ",\"lastScrapeDuration\":%s,\"health\":\"%s\",\"scrapeInterval\":", duration,
                     healths[target->health]);
    put_duration(text, target->interval_ns);
    http_text_say(text, ",\"scrapeTimeout\":");
    put_duration(text, target->timeout_ns);
    http_text_say(text, "}");
}

/* ---- targets, pools ------------------------------------------------------------------------- */

static bool is_of_pool(const struct http_call *call, const struct scrape_target_state *target)
{
    struct http_slice pool;

    return !api_param(call, "scrapePool", &pool) || http_slice_equals(pool, target->job);
}

/* The pools' names in order, each once. */
static size_t order_pools(struct scrape_targets *targets, const char **pools);

/* Nothing ever is. */
static void put_dropped_counts(struct http_text *text, const char *const *pools, size_t count)
{
    http_text_say(text, ",\"droppedTargetCounts\":{");
    for (size_t i = 0; i < count; i++) {
        http_text_add(text, ",", i > 0);
        api_put_words(text, pools[i]);
        http_text_say(text, ":0");
    }
    http_text_say(text, "}");
}

static const char **pools_of(struct http_call *call, struct api_request *request,
                             struct scrape_targets *targets, size_t *ret_count)
{
    const char **pools = promql_memory_take_zero(
        &request->memory, targets->job_count + targets->count + 1, sizeof *pools);

    if (pools == NULL) {
        (void)api_fail_status(call, QUARRY_NO_MEMORY, NULL);
        return NULL;
    }
    *ret_count = order_pools(targets, pools);
    return pools;
}

static void say_targets(struct http_call *call, const struct scrape_targets *targets,
                        const char *const *pools, size_t pool_count)
{
    struct http_text *text = &call->body_out;
    struct http_slice state = {"", 0};
    size_t said = 0;

    (void)api_param(call, "state", &state);
    const bool is_any = state.count == 0 || http_slice_is(state, "any");
    api_begin_data(call);
    http_text_say(text, "{\"activeTargets\":[");
    for (size_t i = 0; i < targets->count && (is_any || http_slice_is(state, "active")); i++) {
        if (is_of_pool(call, &targets->all[i])) {
            http_text_add(text, ",", said++ > 0);
            put_target(text, &targets->all[i]);
        }
    }
    http_text_say(text, "],\"droppedTargets\":[]");
    if (is_any || http_slice_is(state, "dropped")) {
        put_dropped_counts(text, pools, pool_count);
    } else {
        http_text_say(text, ",\"droppedTargetCounts\":null");
    }
    http_text_say(text, "}");
    api_end_data(call);
}

enum http_outcome api_targets(struct http_call *call, struct api_request *request)
{
    struct scrape_targets *targets = read_targets(call, request);
    size_t count;

    if (targets != NULL) {
        const char **pools = pools_of(call, request, targets, &count);
        if (pools != NULL) {
            say_targets(call, targets, pools, count);
        }
    }
    request->context.destroy_targets(targets);
    return HTTP_DONE;
}

static int compare_words(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static size_t order_pools(struct scrape_targets *targets, const char **pools)
{
    size_t count = 0, kept = 0;

    for (size_t i = 0; i < targets->job_count; i++) {
        pools[count++] = targets->jobs[i];
    }
    for (size_t i = 0; i < targets->count; i++) {
        pools[count++] = targets->all[i].job;
    }
    qsort(pools, count, sizeof *pools, compare_words);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || strcmp(pools[kept - 1], pools[i]) != 0) {
            pools[kept++] = pools[i];
        }
    }
    return kept;
}

enum http_outcome api_scrape_pools(struct http_call *call, struct api_request *request)
{
    struct scrape_targets *targets = read_targets(call, request);
    const char **pools = NULL;
    size_t count = 0;

    if (targets != NULL) {
        pools = pools_of(call, request, targets, &count);
    }
    if (pools != NULL) {
        api_begin_data(call);
        http_text_say(&call->body_out, "{\"scrapePools\":[");
        for (size_t i = 0; i < count; i++) {
            http_text_add(&call->body_out, ",", i > 0);
            api_put_words(&call->body_out, pools[i]);
        }
        http_text_say(&call->body_out, "]}");
        api_end_data(call);
    }
    request->context.destroy_targets(targets);
    return HTTP_DONE;
}

/* ---- families of targets -------------------------------------------------------------------- */

/* What is asked of families, and how far the answer is. */
struct families {
    struct http_call *call;
    struct api_request *request;
    struct http_slice metric;                /* count 0: any */
    const struct quarry_tsdb_matcher *asked; /* of match_target */
    size_t asked_count;
    const struct scrape_target_state *target; /* whose names come */
    char *room;                               /* of a family's texts */
    struct quarry_tsdb_slice *names;          /* of the target's families, some more than once */
    size_t count, capacity;
    size_t said;
};

/* The family of a series' name: its own, or the one whose type adds what stands behind. */
static bool find_family(const struct families *families, struct tsdb_slice name,
                        struct tsdb_family *ret_family)
{
    static const char *const suffixes[] = {"",       "_total",   "_bucket", "_sum",
                                           "_count", "_created", "_info"};
    struct tsdb_metadata *metadata = families->request->context.store->metadata;

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        const size_t bytes = strlen(suffixes[i]);
        if (name.count <= bytes ||
            memcmp(name.bytes + name.count - bytes, suffixes[i], bytes) != 0) {
            continue;
        }
        const struct tsdb_slice base = {name.bytes, name.count - bytes};
        if (tsdb_metadata_get(metadata, 0, base, families->room, ret_family) == QUARRY_OK) {
            return true;
        }
    }
    return false;
}

static void put_family(const struct families *families, const struct tsdb_family *family)
{
    struct http_text *text = &families->call->body_out;

    http_text_say(text, families->said > 0 ? ",{\"target\":" : "{\"target\":");
    api_put_labels(text, families->target->labels.labels, families->target->labels.count);
    if (families->metric.count == 0) {
        http_text_say(text, ",\"metric\":");
        api_put_string(text, family->name);
    }
    http_text_say(text, ",\"type\":");
    api_put_words(text, tsdb_metric_type_name(family->type));
    http_text_say(text, ",\"help\":");
    api_put_string(text, family->help);
    http_text_say(text, ",\"unit\":");
    api_put_string(text, family->unit);
    http_text_say(text, "}");
}

/* Room for one name more. */
static bool make_room(struct families *families)
{
    struct promql_memory *memory = &families->request->memory;

    if (families->count < families->capacity) {
        return true;
    }
    const size_t capacity = families->capacity == 0 ? 64 : families->capacity * 2;
    struct quarry_tsdb_slice *names = promql_memory_take_zero(memory, capacity, sizeof *names);
    if (names == NULL) {
        return false;
    }
    if (families->count > 0) {
        memcpy(names, families->names, families->count * sizeof *names);
    }
    families->names = names;
    families->capacity = capacity;
    return true;
}

/* In the form of quarry_tsdb_name_function. */
static bool take_name(void *argument, struct quarry_tsdb_slice name)
{
    struct families *families = argument;
    const struct http_slice *metric = &families->metric;
    struct tsdb_family family;

    if (!find_family(families, name, &family)) {
        return true;
    }
    if (metric->count > 0 &&
        !tsdb_slice_equal(family.name, (struct tsdb_slice){metric->bytes, metric->count})) {
        return true;
    }
    if (families->count > 0 &&
        tsdb_slice_equal(families->names[families->count - 1], family.name)) {
        return true;
    }
    const char *copy =
        promql_memory_copy(&families->request->memory, family.name.bytes, family.name.count);
    if (copy == NULL || !make_room(families)) {
        return false;
    }
    families->names[families->count++] = (struct quarry_tsdb_slice){copy, family.name.count};
    return true;
}

static int compare_names(const void *left, const void *right)
{
    const struct quarry_tsdb_slice *a = left, *b = right;

    return tsdb_slice_compare(*a, *b);
}

/* Each family once, in order. */
static void put_families(struct families *families)
{
    struct tsdb_metadata *metadata = families->request->context.store->metadata;
    struct tsdb_family family;

    if (families->count > 0) {
        qsort(families->names, families->count, sizeof *families->names, compare_names);
    }
    for (size_t i = 0; i < families->count; i++) {
        const struct quarry_tsdb_slice name = families->names[i];
        if (i > 0 && tsdb_slice_equal(families->names[i - 1], name)) {
            continue;
        }
        if (tsdb_metadata_get(metadata, 0, name, families->room, &family) == QUARRY_OK) {
            put_family(families, &family);
            families->said++;
        }
    }
}

static struct quarry_tsdb_slice label_of(const struct scrape_target_state *target,
                                         struct quarry_tsdb_slice name)
{
    for (size_t i = 0; i < target->labels.count; i++) {
        if (tsdb_slice_compare(target->labels.labels[i].name, name) == 0) {
            return target->labels.labels[i].value;
        }
    }
    return (struct quarry_tsdb_slice){"", 0};
}

/* Whether a target's labels pass what was asked of them. */
static enum quarry_status is_asked_for(const struct families *families, bool *ret_passes,
                                       struct quarry_error *error)
{
    const struct tsdb_memory *memory = &families->request->context.store->memory;

    *ret_passes = true;
    for (size_t i = 0; i < families->asked_count && *ret_passes; i++) {
        const struct quarry_tsdb_matcher *asked = &families->asked[i];
        struct tsdb_matcher matcher;
        enum quarry_status status =
            tsdb_matcher_init(&matcher, memory, (enum tsdb_matcher_type)asked->match, asked->name,
                              asked->value, error);
        if (status != QUARRY_OK) {
            return status;
        }
        *ret_passes = tsdb_matcher_passes(&matcher, label_of(families->target, asked->name));
        tsdb_matcher_fini(&matcher);
    }
    return QUARRY_OK;
}

/* The families of one target's series. */
static enum quarry_status say_families(struct families *families, struct quarry_error *error)
{
    const struct scrape_target_state *target = families->target;
    struct promql_memory *memory = &families->request->memory;
    struct quarry_tsdb_matcher *matchers =
        promql_memory_take_zero(memory, target->labels.count + 1, sizeof *matchers);

    if (matchers == NULL) {
        return QUARRY_NO_MEMORY;
    }
    for (size_t i = 0; i < target->labels.count; i++) {
        matchers[i].match = QUARRY_TSDB_EQUAL;
        matchers[i].name = target->labels.labels[i].name;
        matchers[i].value = target->labels.labels[i].value;
    }
    const struct quarry_tsdb_query query = {.min_ms = API_TIME_MIN_MS,
                                            .max_ms = API_TIME_MAX_MS,
                                            .matchers = matchers,
                                            .matcher_count = target->labels.count};
    families->count = 0;
    const enum quarry_status status = quarry_tsdb_label_values(
        families->request->context.store->tsdb, &query,
        (struct quarry_tsdb_slice)QUARRY_TSDB_TEXT("__name__"), take_name, families, error);
    if (memory->is_refused) {
        return QUARRY_NO_MEMORY;
    }
    put_families(families);
    return status;
}

static enum http_outcome say_metadata(struct families *families,
                                      const struct scrape_targets *targets, int64_t limit)
{
    struct quarry_error error = {0};
    enum quarry_status status = QUARRY_OK;

    api_begin_data(families->call);
    http_text_say(&families->call->body_out, "[");
    for (size_t i = 0; i < targets->count && status == QUARRY_OK; i++) {
        bool passes = false;
        if (limit >= 0 && families->said >= (uint64_t)limit) {
            break;
        }
        families->target = &targets->all[i];
        status = is_asked_for(families, &passes, &error);
        if (status == QUARRY_OK && passes) {
            status = say_families(families, &error);
        }
    }
    if (status != QUARRY_OK) {
        return api_fail_status(families->call, status, &error);
    }
    http_text_say(&families->call->body_out, "]");
    api_end_data(families->call);
    return HTTP_DONE;
}

/* What is asked of targets. Returns: false: it was answered that it makes no sense. */
static bool read_asked(struct http_call *call, struct api_request *request,
                       struct families *families)
{
    const struct promql_parse_options options = {.allows_fill = false};
    struct promql_parse_error *error = promql_memory_take_zero(&request->memory, 1, sizeof *error);
    struct promql_node *node;
    struct http_slice text;

    families->room = promql_memory_take(&request->memory, FAMILY_BYTES_MAX);
    if (error == NULL || families->room == NULL) {
        (void)api_fail_status(call, QUARRY_NO_MEMORY, NULL);
        return false;
    }
    (void)api_param(call, "metric", &families->metric);
    if (!api_param(call, "match_target", &text)) {
        return true;
    }
    if (promql_parse_selector(&request->memory, (struct quarry_tsdb_slice){text.bytes, text.count},
                              &options, &node, error) != QUARRY_OK) {
        (void)api_fail(call, API_BAD_DATA, "invalid parameter \"match_target\": %s", error->text);
        return false;
    }
    families->asked = node->selector.matchers;
    families->asked_count = node->selector.matcher_count;
    return true;
}

enum http_outcome api_targets_metadata(struct http_call *call, struct api_request *request)
{
    struct families families = {.call = call, .request = request};
    struct http_slice value;
    int64_t limit = -1;

    if (api_param(call, "limit", &value) && !api_read_number(value, &limit)) {
        return api_fail(call, API_BAD_DATA, "limit must be a number");
    }
    if (!read_asked(call, request, &families)) {
        return HTTP_DONE;
    }
    struct scrape_targets *targets = read_targets(call, request);
    const enum http_outcome outcome =
        targets == NULL ? HTTP_DONE : say_metadata(&families, targets, limit);
    request->context.destroy_targets(targets);
    return outcome;
}
