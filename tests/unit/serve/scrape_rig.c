#include "unit/serve/scrape_rig.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

struct scrape_rig rig;

/* ---- store and scraper ---------------------------------------------------------------------- */

static int64_t wall_ms(void *argument)
{
    struct timespec now;

    (void)argument;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int rig_set_up(void **state)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(512), .has_no_thread = true};

    (void)state;
    rig = (struct scrape_rig){.memory = NULL};
    assert_int_equal(quarry_memory_create(&options, &rig.memory, NULL), QUARRY_OK);
    const struct quarry_tsdb_options tsdb = {
        .memory = rig.memory, .has_no_thread = true, .wall_ms = wall_ms};
    assert_int_equal(quarry_tsdb_open(&tsdb, &rig.tsdb, NULL), QUARRY_OK);
    rig.options = (struct scrape_options){.memory = rig.memory, .tsdb = rig.tsdb};
    return 0;
}

int rig_tear_down(void **state)
{
    struct quarry_error error = {0};

    (void)state;
    rig_close();
    rig_serve_end();
    if (quarry_tsdb_validate(rig.tsdb, &error) != QUARRY_OK) {
        fail_msg("quarry_tsdb_validate: %s", error.text);
    }
    quarry_tsdb_close(rig.tsdb);
    assert_int_equal(quarry_memory_validate(rig.memory, NULL), QUARRY_OK);
    quarry_memory_destroy(rig.memory);
    return 0;
}

struct scrape_jobs *rig_jobs(const struct scrape_job *jobs, size_t count)
{
    struct scrape_jobs *list = NULL;
    struct quarry_error error = {0};

    assert_int_equal(scrape_jobs_create(&list), QUARRY_OK);
    for (size_t i = 0; i < count; i++) {
        if (scrape_jobs_add(list, &jobs[i], &error) != QUARRY_OK) {
            fail_msg("scrape_jobs_add: %s", error.text);
        }
    }
    return list;
}

void rig_open(const struct scrape_job *jobs, size_t count)
{
    struct scrape_jobs *list = rig_jobs(jobs, count);
    struct quarry_error error = {0};

    if (scrape_make(&rig.options, &list, &rig.scrape, &error) != QUARRY_OK) {
        fail_msg("scrape_make: %s", error.text);
    }
    assert_null(list);
    scrape_turn(rig.scrape);
}

void rig_close(void)
{
    if (rig.scrape != NULL) {
        scrape_drop_targets(rig.scrape);
        assert_int_equal(rig.scrape->fetch_count, 0);
        scrape_unmake(rig.scrape); /* its account ends: nothing is charged any more */
        rig.scrape = NULL;
    }
}

void rig_apply(const struct scrape_job *jobs, size_t count)
{
    scrape_apply(rig.scrape, rig_jobs(jobs, count), 0);
    scrape_turn(rig.scrape);
}

struct target *rig_target(const char *part)
{
    struct target *found = NULL;

    for (size_t i = 0; i < rig.scrape->target_count; i++) {
        if (strstr(rig.scrape->targets[i]->facts->url, part) != NULL) {
            assert_null(found);
            found = rig.scrape->targets[i];
        }
    }
    assert_non_null(found);
    return found;
}

static void collect(struct target *target, int64_t t_ms, const char *body,
                    enum tsdb_exposition_format format, const char *error)
{
    const struct page page = {.body = {body, strlen(body)},
                              .format = format,
                              .t_ms = RIG_BASE_MS + t_ms,
                              .begin_ns = os_monotonic_ns(os_real()),
                              .error = error};

    scrape_collect(rig.scrape, target, &page);
}

void rig_page(struct target *target, int64_t t_ms, const char *body)
{
    collect(target, t_ms, body, TSDB_TEXT, NULL);
}

void rig_openmetrics(struct target *target, int64_t t_ms, const char *body)
{
    collect(target, t_ms, body, TSDB_OPENMETRICS, NULL);
}

void rig_no_page(struct target *target, int64_t t_ms)
{
    collect(target, t_ms, "", TSDB_TEXT, "it did not come");
}

/* ---- reading -------------------------------------------------------------------------------- */

static void say_labels(FILE *file, const struct quarry_tsdb_set *set, size_t index, bool has_labels)
{
    struct quarry_tsdb_label labels[80];
    size_t count = quarry_tsdb_set_labels(set, index, labels, 80);
    const char *between = "{";

    assert_in_range(count, 1, 80);
    for (size_t i = 0; i < count; i++) {
        if (tsdb_slice_equal(labels[i].name, tsdb_slice_of("__name__"))) {
            (void)fprintf(file, "%.*s", (int)labels[i].value.count, labels[i].value.bytes);
        }
    }
    for (size_t i = 0; has_labels && i < count; i++) {
        if (!tsdb_slice_equal(labels[i].name, tsdb_slice_of("__name__"))) {
            (void)fprintf(file, "%s%.*s=\"%.*s\"", between, (int)labels[i].name.count,
                          labels[i].name.bytes, (int)labels[i].value.count, labels[i].value.bytes);
            between = ",";
        }
    }
    (void)fprintf(file, "%s", between[0] == ',' ? "}" : "");
}

static void say_samples(FILE *file, struct quarry_tsdb_cursor *cursor, size_t index, int64_t base)
{
    struct quarry_tsdb_block block;

    quarry_tsdb_cursor_series(cursor, index);
    while (quarry_tsdb_cursor_next(cursor, &block) == QUARRY_OK) {
        for (uint32_t i = 0; i < block.count; i++) {
            double value;
            memcpy(&value, &block.bits[i], sizeof value);
            (void)fprintf(file, " %" PRId64 "=", block.t_ms[i] - base);
            if (block.bits[i] == TSDB_STALE_BITS) {
                (void)fprintf(file, "stale");
            } else {
                (void)fprintf(file, "%.17g", value);
            }
        }
    }
    (void)fprintf(file, "\n");
}

static struct quarry_tsdb_set *select_names(const char *name_pattern)
{
    const struct quarry_tsdb_matcher matcher = {QUARRY_TSDB_REGEX, QUARRY_TSDB_TEXT("__name__"),
                                                tsdb_slice_of(name_pattern)};
    const struct quarry_tsdb_query query = {
        .matchers = &matcher, .matcher_count = 1, .min_ms = 0, .max_ms = INT64_MAX};
    struct quarry_tsdb_set *set = NULL;

    assert_int_equal(quarry_tsdb_select(rig.tsdb, &query, &set, NULL), QUARRY_OK);
    return set;
}

char *rig_read(const char *name_pattern, int64_t base_ms, bool has_labels)
{
    struct quarry_tsdb_set *set = select_names(name_pattern);
    struct quarry_tsdb_cursor *cursor = NULL;
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);

    assert_int_equal(quarry_tsdb_cursor_create(set, &cursor), QUARRY_OK);
    for (size_t i = 0; i < quarry_tsdb_set_count(set); i++) {
        say_labels(file, set, i, has_labels);
        say_samples(file, cursor, i, base_ms);
    }
    quarry_tsdb_cursor_destroy(cursor);
    quarry_tsdb_set_close(set);
    (void)fclose(file);
    return text;
}

static void expect(const char *name_pattern, const char *expected, bool has_labels)
{
    char *text = rig_read(name_pattern, RIG_BASE_MS, has_labels);

    assert_string_equal(text, expected);
    free(text);
}

void rig_expect(const char *name_pattern, const char *expected)
{
    expect(name_pattern, expected, true);
}

void rig_expect_values(const char *name_pattern, const char *expected)
{
    expect(name_pattern, expected, false);
}

size_t rig_series_count(const char *name_pattern)
{
    struct quarry_tsdb_set *set = select_names(name_pattern);
    size_t count = quarry_tsdb_set_count(set);

    quarry_tsdb_set_close(set);
    return count;
}

/* ---- turns ---------------------------------------------------------------------------------- */

void rig_scrape(struct target *target)
{
    uint64_t before = rig.scrape->figures[offsetof(struct scrape_counts, scrape_count) / 8];
    uint64_t begin_ns = os_monotonic_ns(os_real());

    while (wall_ms(NULL) <= target->last_ms) { /* two scrapes are not of one moment */
    }
    target->due_ns = 0;
    schedule_move(&rig.scrape->schedule, target);
    while (rig.scrape->figures[offsetof(struct scrape_counts, scrape_count) / 8] == before) {
        scrape_turn(rig.scrape);
        (void)curl_multi_poll(rig.scrape->multi, NULL, 0, 1, NULL);
        assert_true(os_monotonic_ns(os_real()) - begin_ns < 60 * Q_SECOND_NS);
    }
}

/* ---- a server ------------------------------------------------------------------------------- */

#define HELD_MAX 16

static struct {
    pthread_t thread;
    int listener, stop[2];
    int held[HELD_MAX]; /* connections that get no answer */
    size_t held_count;
    rig_answer_function *answer;
    bool is_running;
} server;

static void write_all(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t wrote = send(fd, bytes, count, MSG_NOSIGNAL);
        if (wrote <= 0) {
            return; /* who was to read it has enough */
        }
        bytes += wrote;
        count -= (size_t)wrote;
    }
}

static void answer(int fd)
{
    static char request[16384];
    size_t count = 0, bytes = 0;

    request[0] = '\0';
    while (strstr(request, "\r\n\r\n") == NULL && count < sizeof request - 1) {
        ssize_t got = recv(fd, request + count, sizeof request - 1 - count, 0);
        if (got <= 0) {
            (void)close(fd);
            return;
        }
        count += (size_t)got;
        request[count] = '\0';
        if (request[0] != 'G') { /* TLS is not spoken here */
            (void)close(fd);
            return;
        }
    }
    char *text = server.answer(request, &bytes);
    if (text == NULL && server.held_count < HELD_MAX) {
        server.held[server.held_count++] = fd;
        return;
    }
    write_all(fd, text, bytes);
    free(text);
    (void)shutdown(fd, SHUT_WR);
    (void)close(fd);
}

static void *run(void *argument)
{
    struct pollfd wanted[2] = {{server.listener, POLLIN, 0}, {server.stop[0], POLLIN, 0}};

    while (poll(wanted, 2, -1) >= 0 && wanted[1].revents == 0) {
        int fd = accept(server.listener, NULL, NULL);
        if (fd >= 0) {
            answer(fd);
        }
    }
    return argument;
}

const char *rig_serve(rig_answer_function *function)
{
    static char address[32];
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof name;

    server.answer = function;
    server.held_count = 0;
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(server.listener >= 0);
    assert_int_equal(bind(server.listener, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(server.listener, 64), 0);
    assert_int_equal(getsockname(server.listener, (struct sockaddr *)&name, &bytes), 0);
    assert_int_equal(pipe(server.stop), 0);
    assert_int_equal(pthread_create(&server.thread, NULL, run, NULL), 0);
    server.is_running = true;
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(name.sin_port));
    return address;
}

void rig_serve_end(void)
{
    if (!server.is_running) {
        return;
    }
    server.is_running = false;
    assert_int_equal(write(server.stop[1], "x", 1), 1);
    (void)pthread_join(server.thread, NULL);
    for (size_t i = 0; i < server.held_count; i++) {
        (void)close(server.held[i]);
    }
    (void)close(server.stop[0]);
    (void)close(server.stop[1]);
    (void)close(server.listener);
}

char *rig_ok(const char *header, const void *body, size_t body_bytes, size_t *ret_bytes)
{
    char *text = malloc(1024 + strlen(header) + body_bytes);

    int head = snprintf(text, 1024 + strlen(header),
                        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n",
                        body_bytes, header);
    memcpy(text + head, body, body_bytes);
    *ret_bytes = (size_t)head + body_bytes;
    return text;
}
