/*
 * Targets over a network: a small server that answers well, late, too much, nonsense; and where
 * targets are found.
 */
#include "unit/serve/scrape_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define ZLIB_CONST
#include <zlib.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static _Atomic uint64_t page_number;
static char last_request[16384]; /* of the server's thread, until its answer has come */

/* ---- answers -------------------------------------------------------------------------------- */

static char *gzipped(const char *body, size_t body_bytes, size_t *ret_bytes)
{
    size_t capacity = compressBound((uLong)body_bytes) + 64;
    unsigned char *packed = malloc(capacity);
    z_stream stream = {.next_in = (const unsigned char *)body,
                       .avail_in = (uInt)body_bytes,
                       .next_out = packed,
                       .avail_out = (uInt)capacity};

    (void)deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    (void)deflate(&stream, Z_FINISH);
    char *answer = rig_ok("Content-Encoding: gzip\r\n", packed, stream.total_out, ret_bytes);
    (void)deflateEnd(&stream);
    free(packed);
    return answer;
}

static char *plainly(const char *header, const char *body, size_t *ret_bytes)
{
    return rig_ok(header, body, strlen(body), ret_bytes);
}

static char *raw(const char *text, size_t *ret_bytes)
{
    *ret_bytes = strlen(text);
    return strdup(text);
}

static char *long_page(size_t *ret_bytes)
{
    size_t bytes = 1 << 20, line = strlen("# a comment that says little\n");
    char *page = malloc(bytes);

    for (size_t i = 0; i < bytes; i++) {
        page[i] = "# a comment that says little\n"[i % line];
    }
    char *answer = gzipped(page, bytes / line * line, ret_bytes);
    free(page);
    return answer;
}

static char *answer(const char *request, size_t *ret_bytes)
{
    char page[64];

    (void)snprintf(last_request, sizeof last_request, "%s", request);
    if (strncmp(request, "GET /good", 9) == 0) {
        (void)snprintf(page, sizeof page, "a %d\n", (int)atomic_add_relaxed_u64(&page_number, 1));
        return plainly("Content-Type: text/plain; version=0.0.4\r\n", page, ret_bytes);
    }
    if (strncmp(request, "GET /slow", 9) == 0) {
        return NULL;
    }
    if (strncmp(request, "GET /huge", 9) == 0) {
        return long_page(ret_bytes);
    }
    if (strncmp(request, "GET /gzip", 9) == 0) {
        return gzipped("a 7\n", 4, ret_bytes);
    }
    if (strncmp(request, "GET /cut", 8) == 0) {
        return raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\na 1\n", ret_bytes);
    }
    if (strncmp(request, "GET /redirect", 13) == 0) {
        return raw("HTTP/1.1 302 Found\r\nLocation: /good\r\nContent-Length: 4\r\n"
                   "Content-Type: application/openmetrics-text\r\nConnection: close\r\n\r\nb 1\n",
                   ret_bytes);
    }
    if (strncmp(request, "GET /elsewhere", 14) == 0) {
        return raw("HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n"
                   "Connection: close\r\n\r\n",
                   ret_bytes);
    }
    if (strncmp(request, "GET /openmetrics", 16) == 0) {
        return plainly("content-type: Application/OpenMetrics-Text; version=1.0.0\r\n",
                       "a_total 1 1700000000.5\n# EOF\n", ret_bytes);
    }
    if (strncmp(request, "GET /login", 10) == 0 &&
        strstr(request, "Authorization: Basic YW5uOnNlY3JldA==\r\n") != NULL) {
        return plainly("", "a 1\n", ret_bytes);
    }
    return strncmp(request, "GET /garbage", 12) == 0
               ? raw("this is no HTTP\r\n\r\n", ret_bytes)
               : raw("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\na "
                     "1\n",
                     ret_bytes);
}

static struct target *open_path(struct scrape_job job)
{
    job.name = "j";
    job.targets = rig_serve(answer);
    rig_open(&job, 1);
    return rig_target("");
}

/* ---- fetching ------------------------------------------------------------------------------- */

static void a_page_is_asked_for_as_prometheus_asks(void **state)
{
    struct target *target = open_path((struct scrape_job){.path = "/good", .params = "x=1&y=2"});

    (void)state;
    rig_scrape(target);
    assert_string_equal(target->error, "");
    assert_non_null(strstr(last_request, "GET /good?x=1&y=2 HTTP/1.1\r\n"));
    assert_non_null(
        strstr(last_request, "\r\nAccept: application/openmetrics-text;version=1.0.0,"));
    assert_non_null(strstr(last_request, "\r\nAccept-Encoding: gzip\r\n"));
    assert_non_null(strstr(last_request, "\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n"));
    assert_non_null(strstr(last_request, "\r\nUser-Agent: Quarry/0\r\n"));
    rig_scrape(target);
    char *text = rig_read("a", 0, false);
    assert_non_null(strstr(text, "=0 "));
    assert_non_null(strstr(text, "=1\n"));
    free(text);
}

/* Each fails, and for its reason; the target is asked again and its series have no sample. */
static void what_is_no_page_fails_the_scrape(void **state)
{
    static const struct {
        struct scrape_job job;
        const char *why;
    } cases[] = {
        {{.path = "/slow", .timeout_ns = 200 * Q_MS_NS}, "the timeout has passed"},
        {{.path = "/huge", .body_bytes_max = 100000}, "the body is longer than body_limit"},
        {{.path = "/none"}, "the server answered with status 404"},
        {{.path = "/garbage"}, "HTTP/0.9"},
        {{.path = "/cut"}, "transfer closed"},
        {{.path = "/elsewhere"}, "file"},
        {{.path = "/redirect", .refuses_redirection = true}, "status 302"},
        {{.path = "/login"}, "status 404"},
        {{.path = "/login", .user = "ann", .password_file = "/none/there"}, "password"},
        {{.path = "/good", .is_https = true}, "SSL"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct target *target = open_path(cases[i].job);
        rig_scrape(target);
        assert_int_equal(target->health, SCRAPE_DOWN);
        if (strstr(target->error, cases[i].why) == NULL) {
            fail_msg("%s: '%s'", cases[i].job.path, target->error);
        }
        rig_close();
        rig_serve_end();
    }
    assert_int_equal(rig_series_count("a|b"), 0);
    assert_int_equal(rig_series_count("up"), COUNT_OF(cases));
}

static void pages_come_packed_redirected_and_with_a_login(void **state)
{
    char path[] = "/tmp/quarry-scrape-XXXXXX";
    int fd = mkstemp(path);
    const struct scrape_job jobs[] = {{.path = "/gzip"},
                                      {.path = "/huge"},
                                      {.path = "/redirect"},
                                      {.path = "/openmetrics"},
                                      {.path = "/login", .user = "ann", .password_file = path}};

    (void)state;
    assert_int_equal(write(fd, "secret\n", 7), 7);
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        struct target *target = open_path(jobs[i]);
        rig_scrape(target);
        if (target->health != SCRAPE_UP) {
            fail_msg("%s: '%s'", jobs[i].path, target->error);
        }
        rig_close();
        rig_serve_end();
    }
    (void)close(fd);
    (void)unlink(path);
    assert_int_equal(rig_series_count("a"), 3);
    assert_int_equal(rig_series_count("a_total"), 1);
    assert_int_equal(rig_series_count("b"), 0);
}

/* ---- files of targets ----------------------------------------------------------------------- */

static void write_file(const char *path, const char *text)
{
    char other[128];

    (void)snprintf(other, sizeof other, "%s.new", path);
    FILE *file = fopen(other, "we");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
    assert_int_equal(rename(other, path), 0);
}

static void look_again(void)
{
    rig.scrape->look_due_ns = 0;
    scrape_turn(rig.scrape);
}

static void targets_are_found_in_files_that_change(void **state)
{
    char folder[] = "/tmp/quarry-scrape-XXXXXX", path[64], pattern[64];
    struct scrape_counts counts;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/a.json", folder);
    (void)snprintf(pattern, sizeof pattern, "%s/*.json", folder);
    const struct scrape_job job = {.name = "j", .file_sd = pattern, .params = "m=1&n=2"};
    rig_open(&job, 1);
    assert_int_equal(rig.scrape->target_count, 0);
    write_file(path,
               "[{\"targets\": [\"h:1\", \"h:2\", \"h:1\"], \"labels\": {\"env\": \"x\"}},"
               "{\"targets\": [\"h\", \"no/target\"], \"labels\": {\"__metrics_path__\": \"/p\","
               "\"__scheme__\": \"https\", \"__param_n\": \"a b\", \"job\": \"k\"}}]");
    look_again();
    assert_int_equal(rig.scrape->target_count, 3);
    struct target *target = rig_target("https://h:443/p?m=1&n=a%20b");
    rig_page(target, 1000, "a 1\n");
    rig_expect("a", "a{instance=\"h:443\",job=\"k\"} 1000=1\n");
    write_file(path, "{\"targets\": []}");
    look_again();
    look_again();
    assert_int_equal(rig.scrape->target_count, 3);
    scrape_read_counts(rig.scrape, &counts);
    assert_int_equal(counts.file_error_count, 1);
    assert_int_equal(counts.target_count, 3);
    write_file(path, "[{\"targets\": [\"h:2\"], \"labels\": {\"env\": \"x\"}}]");
    look_again();
    assert_int_equal(rig.scrape->target_count, 1);
    (void)unlink(path);
    look_again();
    assert_int_equal(rig.scrape->target_count, 0);
    (void)rmdir(folder);
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void render(void *argument, struct http_text *text)
{
    http_text_format(text, "own %d\n", *(int *)argument);
}

static const struct scrape_target_state *find_state(const struct scrape_targets *targets,
                                                    const char *job)
{
    for (size_t i = 0; i < targets->count; i++) {
        if (strcmp(targets->all[i].job, job) == 0) {
            return &targets->all[i];
        }
    }
    return NULL;
}

/* Until both of its targets have been scraped, over some reloads. */
static void the_thread_scrapes_what_it_is_told_to(void **state)
{
    const char *address = rig_serve(answer);
    const struct scrape_job job = {
        .name = "j", .targets = address, .path = "/good", .interval_ns = 100 * Q_MS_NS};
    struct scrape_jobs *jobs = rig_jobs(&job, 1);
    struct scrape_targets *targets = NULL;
    struct scrape_counts counts = {0};
    struct scrape *scrape = NULL;
    int own = 7;

    (void)state;
    rig.options.render = render;
    rig.options.render_argument = &own;
    rig.options.render_interval_ns = 100 * Q_MS_NS;
    assert_int_equal(scrape_open(&rig.options, &jobs, &scrape, NULL), QUARRY_OK);
    uint64_t begin_ns = os_monotonic_ns(os_real());
    while (counts.scrape_count < 12) {
        scrape_read_counts(scrape, &counts);
        assert_int_equal(scrape_read_targets(scrape, &targets), QUARRY_OK);
        const struct scrape_target_state *found = find_state(targets, "quarry");
        assert_true(found == NULL || found->url[0] == '\0');
        found = find_state(targets, "j");
        assert_true(found == NULL || strstr(found->url, address) != NULL);
        scrape_targets_destroy(targets);
        if (counts.scrape_count > 5) {
            scrape_apply(scrape, rig_jobs(&job, 1), 100 * Q_MS_NS);
        }
        os_sleep_ns(5 * Q_MS_NS);
        assert_true(os_monotonic_ns(os_real()) - begin_ns < 60 * Q_SECOND_NS);
    }
    scrape_close(scrape);
    assert_int_equal(rig_series_count("own"), 1);
    assert_int_equal(rig_series_count("up"), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_page_is_asked_for_as_prometheus_asks),
        TEST(what_is_no_page_fails_the_scrape),
        TEST(pages_come_packed_redirected_and_with_a_login),
        TEST(targets_are_found_in_files_that_change),
        TEST(the_thread_scrapes_what_it_is_told_to),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
