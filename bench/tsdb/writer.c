/*
 * The client of remote write 1.0.
 *
 *   connection 0   series 0 … n/c − 1     │ batch │ batch │ …    each waits for its answer
 *   connection 1   series n/c … 2n/c − 1  │ batch │ batch │ …
 *
 * As Prometheus' own sender does it: a series always goes by the same connection, so that its
 * samples stay in order, and a batch is as many samples, each in a TimeSeries of its own with all
 * of its labels. Bodies are made from nothing and compressed by snappy while the client waits, one
 * at a time in one thread: what that costs is the client's, on another CPU than the server's.
 */
#include <bench/tsdb/writer.h>

#include <poll.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/base.h>

#include <bench/malloc/worker.h>

#define SERIES_BYTES (BENCH_FLEET_LABELS_BYTES + 40u) /* a sample and the lengths beside it */
#define HEAD_BYTES   256u

static char *put_varint(char *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (char)(value | 0x80);
        value >>= 7;
    }
    *at++ = (char)value;
    return at;
}

/* timeseries = 1 { labels …, samples = 2 { value = 1, timestamp = 2 } } */
static char *put_series(struct bench_writer *writer, uint32_t index, uint64_t step, char *at)
{
    char message[SERIES_BYTES];
    char sample[24];
    double value = bench_fleet_next(writer->fleet, index);
    char *end = bench_fleet_put_labels(writer->fleet, index, step, message);

    sample[0] = 0x09;
    memcpy(sample + 1, &value, sizeof value); /* little-endian, as the machine has it */
    sample[9] = 0x10;
    char *sample_end =
        put_varint(sample + 10, (uint64_t)bench_schedule_at(&writer->schedule, step));
    size_t sample_bytes = (size_t)(sample_end - sample);
    *end++ = 0x12;
    *end++ = (char)sample_bytes;
    memcpy(end, sample, sample_bytes);
    end += sample_bytes;
    Q_ASSERT((size_t)(end - message) <= sizeof message);
    *at++ = 0x0a;
    at = put_varint(at, (uint64_t)(end - message));
    memcpy(at, message, (size_t)(end - message));
    return at + (end - message);
}

int64_t bench_schedule_at(const struct bench_schedule *schedule, uint64_t step)
{
    return schedule->begin_ms + (int64_t)step * schedule->interval_ms;
}

void bench_writer_init(struct bench_writer *writer, const struct bench_server *server,
                       struct bench_fleet *fleet, struct bench_schedule schedule, uint32_t batch,
                       uint32_t link_count)
{
    size_t plain_bytes = (size_t)batch * SERIES_BYTES;

    Q_ASSERT(link_count > 0 && link_count <= BENCH_WRITER_LINKS_MAX && batch > 0);
    *writer = (struct bench_writer){
        .fleet = fleet, .schedule = schedule, .batch = batch, .link_count = link_count};
    writer->plain = malloc(plain_bytes);
    writer->packed = malloc(HEAD_BYTES + snappy_max_compressed_length(plain_bytes));
    if (writer->plain == NULL || writer->packed == NULL) {
        bench_worker_die("no memory");
    }
    for (uint32_t i = 0; i < link_count; i++) {
        struct bench_writer_link *link = &writer->link[i];
        link->first_series = (uint32_t)((uint64_t)fleet->series_count * i / link_count);
        link->series_count =
            (uint32_t)((uint64_t)fleet->series_count * (i + 1) / link_count) - link->first_series;
        if (!bench_http_open(&link->http, server)) {
            bench_worker_die("the server refuses a connection");
        }
    }
}

void bench_writer_fini(struct bench_writer *writer)
{
    for (uint32_t i = 0; i < writer->link_count; i++) {
        bench_http_close(&writer->link[i].http);
    }
    free(writer->plain);
    free(writer->packed);
}

/* Makes the link's next request of up to `count` samples. Returns: its bytes, in writer->packed. */
static size_t make_request(struct bench_writer *writer, struct bench_writer_link *link,
                           uint64_t count)
{
    char *end = writer->plain;

    for (uint64_t i = 0; i < count; i++, link->position++) {
        uint64_t step = link->position / link->series_count;
        uint32_t index = link->first_series + (uint32_t)(link->position % link->series_count);
        end = put_series(writer, index, step, end);
    }
    size_t plain_bytes = (size_t)(end - writer->plain);
    size_t packed_bytes = snappy_max_compressed_length(plain_bytes);
    char *body = writer->packed + HEAD_BYTES;
    if (snappy_compress(writer->plain, plain_bytes, body, &packed_bytes) != SNAPPY_OK) {
        bench_worker_die("snappy does not compress");
    }
    char head[HEAD_BYTES];
    int head_bytes = snprintf(head, sizeof head,
                              "POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\n"
                              "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\n"
                              "X-Prometheus-Remote-Write-Version: 0.1.0\r\n"
                              "Content-Length: %zu\r\n\r\n",
                              packed_bytes);
    Q_ASSERT(head_bytes > 0 && (size_t)head_bytes < sizeof head);
    memmove(writer->packed, head, (size_t)head_bytes);
    memmove(writer->packed + head_bytes, body, packed_bytes);
    writer->sent_bytes += packed_bytes;
    return (size_t)head_bytes + packed_bytes;
}

/* Sends the link's next request, if it has one before `end`. */
static void send_next(struct bench_writer *writer, struct bench_writer_link *link, uint64_t end)
{
    uint64_t last = end * link->series_count;
    uint64_t count = size_min_u64(writer->batch, last - link->position);

    if (count == 0) {
        return;
    }
    size_t bytes = make_request(writer, link, count);
    if (!bench_http_send(&link->http, writer->packed, bytes)) {
        bench_worker_die("the server has closed a connection");
    }
    link->is_waiting = true;
}

static void keep_refusal(struct bench_writer *writer, unsigned status, const char *body)
{
    (void)snprintf(writer->last_answer, sizeof writer->last_answer, "%u %.*s", status,
                   (int)strcspn(body, "\r\n"), body);
}

/* Waits for the answer to what the link sent last. */
static void take_answer(struct bench_writer *writer, struct bench_writer_link *link,
                        uint64_t samples)
{
    const char *body = NULL;
    size_t bytes = 0;
    unsigned status = bench_http_receive(&link->http, &body, &bytes);

    if (status == 0) {
        bench_worker_die("the server has closed a connection");
    }
    link->is_waiting = false;
    if (status / 100 == 2) {
        writer->answers.taken++;
        writer->answers.taken_samples += samples;
    } else if (status == 429 || status == 503) {
        writer->answers.busy++;
        keep_refusal(writer, status, body);
    } else {
        writer->answers.refused++;
        keep_refusal(writer, status, body);
    }
}

/* How many samples the link's last request had. */
static uint64_t last_samples(const struct bench_writer *writer,
                             const struct bench_writer_link *link, uint64_t first)
{
    uint64_t sent = link->position - first * link->series_count;
    uint64_t rest = sent % writer->batch;

    return rest == 0 ? writer->batch : rest;
}

/* Waits until an answer begins to come and takes all that have. */
static void take_answers(struct bench_writer *writer, uint64_t first)
{
    struct pollfd polled[BENCH_WRITER_LINKS_MAX];

    for (uint32_t i = 0; i < writer->link_count; i++) {
        const struct bench_writer_link *link = &writer->link[i];
        polled[i] = (struct pollfd){.fd = link->is_waiting ? link->http.fd : -1, .events = POLLIN};
    }
    if (poll(polled, writer->link_count, -1) < 0) {
        return;
    }
    for (uint32_t i = 0; i < writer->link_count; i++) {
        if (polled[i].revents != 0) {
            take_answer(writer, &writer->link[i], last_samples(writer, &writer->link[i], first));
        }
    }
}

void bench_writer_run(struct bench_writer *writer, uint64_t first, uint64_t end)
{
    bool is_busy = true;

    for (uint32_t i = 0; i < writer->link_count; i++) {
        writer->link[i].position = first * writer->link[i].series_count;
    }
    while (is_busy) {
        is_busy = false;
        for (uint32_t i = 0; i < writer->link_count; i++) {
            if (!writer->link[i].is_waiting) {
                send_next(writer, &writer->link[i], end);
            }
            is_busy = is_busy || writer->link[i].is_waiting;
        }
        if (is_busy) {
            take_answers(writer, first);
        }
    }
}

bool bench_writer_is_right(const struct bench_writer *writer)
{
    if (writer->answers.busy == 0 && writer->answers.refused == 0) {
        return true;
    }
    (void)fprintf(stderr, "remote write: %llu requests were refused, the last with %s\n",
                  (unsigned long long)(writer->answers.busy + writer->answers.refused),
                  writer->last_answer);
    return false;
}
