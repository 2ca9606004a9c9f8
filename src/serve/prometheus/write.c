/*
 * Remote write: which protocol it is, the body as it was before snappy, the answer.
 *
 *     Content-Type   application/x-protobuf                                         1.0
 *                    …;proto=prometheus.WriteRequest                                1.0
 *                    …;proto=io.prometheus.write.v2.Request                         2.0
 *                    none: 1.0, for senders that never said. Anything else: 415
 *     Content-Encoding  snappy, or none: the block format either way. Else: 415
 *
 * What is answered, and why:
 *
 *     204   all was taken, or was there already
 *     400   the body is none, or samples were refused by the rules: sending it again is useless.
 *           1.0: nothing was stored. 2.0: the rest was, and the counts in the header say so
 *     413   the body would be larger than tsdb.write_max, by its own first bytes
 *     429   the tenant has as many series, or samples a second, as it may, or new series find no
 *           room in the store: later, whole
 *     503   no memory to decode it: later
 *
 * A sender repeats after 5xx and, if it is told to, after 429. What was stored is then there
 * already, which is no error.
 *
 * Series whose labels are none (twice the same name, no metric name, no UTF-8, over a limit) are
 * left out of a request of 1.0 and counted, as Prometheus does; in 2.0 they are refused by name.
 *
 * Locking: none. Cost: the body twice in memory, as it came and decoded, and some 130 bytes for
 * each series of 1.0.
 */
#include <serve/prometheus/write.h>

#include <stdio.h>

#include <serve/log.h>

#define TYPE_PROTOBUF "application/x-protobuf"
#define PROTO_1       "prometheus.WriteRequest"
#define PROTO_2       "io.prometheus.write.v2.Request"

/* When to come back: after the second in which there were too many samples, or a while. */
#define RETRY_RATE_S 1u
#define RETRY_ROOM_S 10u

/* ---- which protocol ------------------------------------------------------------------------- */

static struct http_slice trim(struct http_slice slice)
{
    while (slice.count > 0 && (*slice.bytes == ' ' || *slice.bytes == '\t')) {
        slice = (struct http_slice){slice.bytes + 1, slice.count - 1};
    }
    while (slice.count > 0 &&
           (slice.bytes[slice.count - 1] == ' ' || slice.bytes[slice.count - 1] == '\t')) {
        slice.count--;
    }
    return slice;
}

/* Takes what is before the next ';' from the front. */
static struct http_slice take_part(struct http_slice *rest)
{
    const char *end = memchr(rest->bytes, ';', rest->count);
    size_t count = end == NULL ? rest->count : (size_t)(end - rest->bytes);
    struct http_slice part = {rest->bytes, count};
    size_t skipped = end == NULL ? count : count + 1;

    *rest = (struct http_slice){rest->bytes + skipped, rest->count - skipped};
    return trim(part);
}

struct http_slice write_media_type(struct http_slice type)
{
    return take_part(&type);
}

/* Returns: 1, 2; 0: neither. */
static int version_of_type(struct http_slice type)
{
    static const char proto[] = "proto=";
    struct http_slice rest = type;
    int version = 1;

    if (!http_slice_is(take_part(&rest), TYPE_PROTOBUF)) {
        return 0;
    }
    while (rest.count > 0) {
        struct http_slice part = take_part(&rest);
        if (part.count < sizeof proto - 1 || memcmp(part.bytes, proto, sizeof proto - 1) != 0) {
            continue;
        }
        part = (struct http_slice){part.bytes + sizeof proto - 1, part.count - (sizeof proto - 1)};
        version = http_slice_equals(part, PROTO_1) ? 1 : http_slice_equals(part, PROTO_2) ? 2 : 0;
    }
    return version;
}

/* Returns: the version; 0: it was answered with 415. */
static int negotiate(struct http_call *call)
{
    struct http_slice type = {"", 0}, coding = {"", 0};
    int version = 1;

    if (http_header(call, "content-type", &type) && type.count > 0) {
        version = version_of_type(type);
    }
    if (version == 0) {
        http_say_text(call, 415,
                      "this Content-Type is not taken; " TYPE_PROTOBUF " is, with proto=" PROTO_1
                      " or proto=" PROTO_2 "\n");
        return 0;
    }
    if (http_header(call, "content-encoding", &coding) && coding.count > 0 &&
        !http_slice_is(coding, "snappy")) {
        http_say_text(call, 415, "this Content-Encoding is not taken; only snappy is\n");
        return 0;
    }
    return version;
}

/* ---- the body ------------------------------------------------------------------------------- */

/* Says when a request that found no room may be tried again. */
static void say_retry(struct http_call *call, uint32_t seconds)
{
    char value[16];

    (void)snprintf(value, sizeof value, "%u", seconds);
    http_say_field(call, "Retry-After", value);
}

/* Returns: own, of the store's memory; NULL and an answer: it could not be had. */
static char *decode(struct http_call *call, struct serve_tsdb *store, size_t *ret_count)
{
    struct tsdb_slice packed = {call->body.bytes, call->body.count};
    struct quarry_error error = {0};
    char *body = NULL;
    enum quarry_status status =
        tsdb_snappy_length(packed, store->limits.write_bytes_max, ret_count, &error);

    if (status == QUARRY_OK) {
        body = tsdb_memory_take(&store->memory, *ret_count == 0 ? 1 : *ret_count);
        if (body == NULL) {
            say_retry(call, RETRY_ROOM_S);
            http_say_status(call, QUARRY_NO_MEMORY);
            return NULL;
        }
        status = tsdb_snappy_read(packed, body, *ret_count, &error);
    }
    if (status == QUARRY_OK) {
        return body;
    }
    tsdb_memory_give(&store->memory, body);
    http_say_text(call, (uint32_t)quarry_status_http(status), "");
    http_text_format(&call->body_out, "%s\n", error.text);
    return NULL;
}

/* ---- answers -------------------------------------------------------------------------------- */

void write_count(struct write_request *request, const struct quarry_tsdb_result *result)
{
    request->taken_count += result->taken_count;
    request->taken_histogram_count += result->taken_histogram_count;
    request->taken_exemplar_count += result->taken_exemplar_count;
    for (size_t i = 0; i < QUARRY_TSDB_REFUSALS; i++) {
        request->refused_counts[i] += result->refused_counts[i];
    }
    if (request->first == QUARRY_TSDB_TAKEN) {
        request->first = result->first;
    }
}

bool write_is_refusal(enum quarry_status status, const struct quarry_tsdb_result *result)
{
    return result->first != QUARRY_TSDB_TAKEN &&
           (status == QUARRY_BAD_INPUT || status == QUARRY_TOO_MANY || status == QUARRY_NO_MEMORY);
}

static void say_value(struct http_text *text, struct tsdb_slice value)
{
    for (size_t i = 0; i < value.count; i++) {
        unsigned char byte = (unsigned char)value.bytes[i];
        if (byte == '"' || byte == '\\') {
            http_text_format(text, "\\%c", byte);
        } else if (byte < 0x20 || byte == 0x7f) {
            http_text_format(text, "\\x%02x", byte);
        } else {
            http_text_add(text, &value.bytes[i], 1);
        }
    }
}

void write_tell(struct write_request *request, const char *why, struct tsdb_labels labels)
{
    struct http_text *text = &request->call->body_out;

    request->wrong_count++;
    if (request->wrong_count > WRITE_TOLD_MAX) {
        return;
    }
    http_text_format(text, "%s", why);
    for (size_t i = 0; i < labels.count; i++) {
        const struct tsdb_label *label = &labels.labels[i];
        http_text_format(text, "%s", i == 0 ? " for series {" : ", ");
        say_value(text, label->name);
        http_text_say(text, "=\"");
        say_value(text, label->value);
        http_text_say(text, "\"");
    }
    http_text_say(text, labels.count > 0 ? "}\n" : "\n");
}

/* Whether the rules refused a sample, which no waiting changes. */
static bool has_bad_samples(const uint64_t *refused_counts)
{
    return refused_counts[QUARRY_TSDB_OUT_OF_ORDER] > 0 ||
           refused_counts[QUARRY_TSDB_OUT_OF_BOUNDS] > 0 ||
           refused_counts[QUARRY_TSDB_TOO_OLD] > 0 || refused_counts[QUARRY_TSDB_DUPLICATE] > 0 ||
           refused_counts[QUARRY_TSDB_BAD_HISTOGRAM] > 0;
}

/*
 * Answers for what the store refused, by its limits or its rules; adds nothing to a text that is
 * there. Of all or none, what cannot come right is told first; of a part, what can.
 * Returns: false: it refused nothing that fails a request.
 */
static bool answer_refusal(const struct write_request *request)
{
    const uint64_t *refused_counts = request->refused_counts;
    struct http_call *call = request->call;
    enum quarry_tsdb_refusal first = request->first;
    bool is_final = !request->is_partial && has_bad_samples(refused_counts);
    static const struct {
        enum quarry_tsdb_refusal refusal;
        uint32_t retry_s;
    } limits[] = {{QUARRY_TSDB_NO_MEMORY, RETRY_ROOM_S},
                  {QUARRY_TSDB_SERIES_LIMIT, RETRY_ROOM_S},
                  {QUARRY_TSDB_METRIC_SERIES_LIMIT, RETRY_ROOM_S},
                  {QUARRY_TSDB_RATE_LIMIT, RETRY_RATE_S},
                  {QUARRY_TSDB_METRIC_RATE_LIMIT, RETRY_RATE_S}};

    call->content_type = "text/plain; charset=utf-8";
    for (size_t i = 0; !is_final && i < sizeof limits / sizeof limits[0]; i++) {
        if (refused_counts[limits[i].refusal] > 0) {
            call->status = 429;
            say_retry(call, limits[i].retry_s);
            first = limits[i].refusal;
            break;
        }
    }
    if (first == QUARRY_TSDB_TAKEN) {
        return false;
    }
    call->status = call->status == 0 ? 400 : call->status;
    if (call->body_out.count == 0) {
        http_text_format(&call->body_out, "%s\n", quarry_tsdb_refusal_text(first));
    }
    return true;
}

static void say_count(struct http_call *call, const char *name, uint64_t count)
{
    char value[24];

    (void)snprintf(value, sizeof value, "%llu", (unsigned long long)count);
    http_say_field(call, name, value);
}

static void say_written(const struct write_request *request)
{
    struct http_call *call = request->call;

    say_count(call, "X-Prometheus-Remote-Write-Samples-Written",
              request->taken_count - request->taken_histogram_count);
    say_count(call, "X-Prometheus-Remote-Write-Histograms-Written", request->taken_histogram_count);
    say_count(call, "X-Prometheus-Remote-Write-Exemplars-Written", request->taken_exemplar_count);
}

static void log_left_out(const struct write_request *request)
{
    uint64_t count = request->refused_counts[QUARRY_TSDB_BAD_LABELS];

    if (count > 0) {
        serve_log(SERVE_LOG_WARNING, "samples of series with bad labels were left out",
                  serve_log_count("samples", count), serve_log_count("tenant", request->tenant));
    }
}

void write_answer(struct write_request *request)
{
    struct http_call *call = request->call;

    log_left_out(request);
    if (request->status != QUARRY_OK) {
        if (request->status == QUARRY_NO_MEMORY) {
            say_retry(call, RETRY_ROOM_S);
        }
        http_say_text(call, (uint32_t)quarry_status_http(request->status), "");
        http_text_format(&call->body_out, "%s\n",
                         request->status == QUARRY_BUSY
                             ? "the log is being read since the start: samples are taken after that"
                             : request->error.text);
        return;
    }
    if (request->wrong_count > WRITE_TOLD_MAX) {
        http_text_format(&call->body_out, "and %llu more\n",
                         (unsigned long long)(request->wrong_count - WRITE_TOLD_MAX));
    }
    if (answer_refusal(request)) {
        return;
    }
    call->status = request->wrong_count > 0 ? 400 : 204;
    call->content_type = request->wrong_count > 0 ? call->content_type : NULL;
}

/* ---- the handler ---------------------------------------------------------------------------- */

enum http_outcome prometheus_write(struct http_call *call, struct serve_tsdb *store,
                                   uint16_t tenant)
{
    struct write_request request = {.call = call, .store = store, .tenant = tenant};
    int version = negotiate(call);

    if (version == 0) {
        return HTTP_DONE;
    }
    char *body = decode(call, store, &request.body.count);
    if (body == NULL) {
        return HTTP_DONE;
    }
    request.body.bytes = body;
    request.is_partial = version == 2;
    if (version == 1) {
        write_1(&request);
    } else {
        write_2(&request);
        say_written(&request);
    }
    write_answer(&request);
    tsdb_memory_give(&store->memory, body);
    return HTTP_DONE;
}
