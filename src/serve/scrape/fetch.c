/*
 * Fetching pages by libcurl's multi interface: all of them on the scraper's thread, none waits for
 * another.
 *
 * A body is counted while it comes, unpacked, and cut off at its job's bound: a small answer that
 * unpacks to gigabytes costs what one page may. The headers are bounded too. Connections are kept
 * and used again, up to as many as there may be fetches at a time.
 *
 * libcurl's memory is the scraper's: it is told functions to take it with, once for the process, so
 * there is one scraper. What OpenSSL, the resolver and zlib take is not by those, and is malloc's.
 * Names are resolved on threads that libcurl begins and ends.
 *
 * Only http and https are spoken, to whatever a redirection points; a password goes to the host
 * that it was meant for alone. No proxy is taken from the environment.
 *
 * Locking: none; the scraper's thread. Memory: some 20 KiB a fetch, and the body.
 *
 * Source: the request is Prometheus 2.42's: Accept, Accept-Encoding, the timeout's header.
 */
#include <serve/scrape/state.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ACCEPT                                                                                     \
    "Accept: application/openmetrics-text;version=1.0.0,"                                          \
    "application/openmetrics-text;version=0.0.1;q=0.75,"                                           \
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
/* Of all headers of an answer, those that redirect included. */
#define HEADER_BYTES_MAX 65536u
/* As many as Go's client follows. */
#define REDIRECTIONS_MAX 10L
/* Of a password's file. */
#define PASSWORD_BYTES_MAX 1024u
/* Connections that are kept: doubling it doubles descriptors and memory in times of rest. */
#define CONNECTIONS_MAX 256L

struct fetch {
    struct scrape *scrape;
    struct target *target;
    CURL *easy;
    struct curl_slist *headers;
    int64_t t_ms;
    uint64_t begin_ns;
    char *body;
    size_t body_bytes, body_capacity, body_bytes_max;
    size_t header_bytes;
    bool is_openmetrics;
    const char *broken; /* why we have cut it off; NULL: we have not */
    char said[CURL_ERROR_SIZE];
};

/* ---- libcurl's memory ----------------------------------------------------------------------- */

/* Const while there is a scraper. */
static const struct tsdb_memory *curl_memory;

static void *take(size_t bytes)
{
    return tsdb_memory_take(curl_memory, size_max(bytes, 1));
}

static void give(void *object)
{
    tsdb_memory_give(curl_memory, object);
}

static void *take_zeroed(size_t count, size_t bytes)
{
    size_t all;

    return checked_mul_size(count, bytes, &all)
               ? tsdb_memory_take_zero(curl_memory, size_max(all, 1))
               : NULL;
}

static void *retake(void *object, size_t bytes)
{
    void *other = take(bytes);

    if (other != NULL && object != NULL) {
        memcpy(other, object, size_min(tsdb_memory_usable(curl_memory, object), bytes));
        give(object);
    }
    return other;
}

static char *copy_text(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = take(bytes);

    return copy == NULL ? NULL : memcpy(copy, text, bytes);
}

enum quarry_status scrape_curl_open(struct scrape *scrape, struct quarry_error *error)
{
    if (curl_memory != NULL) {
        return error_set(error, QUARRY_EXISTS, "there is a scraper already");
    }
    curl_memory = &scrape->memory;
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, take, give, retake, copy_text, take_zeroed) !=
        CURLE_OK) {
        curl_memory = NULL;
        return error_set(error, QUARRY_NO_MEMORY, "libcurl cannot be begun");
    }
    scrape->multi = curl_multi_init();
    if (scrape->multi == NULL) {
        scrape_curl_close(scrape);
        return error_set(error, QUARRY_NO_MEMORY, "no memory for libcurl");
    }
    (void)curl_multi_setopt(scrape->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_MAX);
    return QUARRY_OK;
}

void scrape_curl_close(struct scrape *scrape)
{
    if (curl_memory == &scrape->memory) {
        (void)curl_multi_cleanup(scrape->multi);
        scrape->multi = NULL;
        curl_global_cleanup();
        curl_memory = NULL;
    }
}

/* ---- what comes ----------------------------------------------------------------------------- */

/* A new body begins: what came before it redirected, or was an interim answer. */
static void begin_answer(struct fetch *fetch)
{
    fetch->is_openmetrics = false;
    fetch->body_bytes = 0;
}

static void read_content_type(struct fetch *fetch, const char *value, size_t count)
{
    static const char openmetrics[] = "application/openmetrics-text";
    size_t bytes = sizeof openmetrics - 1;

    while (count > 0 && (*value == ' ' || *value == '\t')) {
        value++;
        count--;
    }
    fetch->is_openmetrics = count >= bytes && strncasecmp(value, openmetrics, bytes) == 0 &&
                            (count == bytes || strchr("; \t\r\n", value[bytes]) != NULL);
}

/* The form of libcurl's function for headers: a line each. */
static size_t take_header(char *line, size_t one, size_t count, void *argument)
{
    static const char content_type[] = "content-type:";
    struct fetch *fetch = argument;

    (void)one; /* it is 1 */
    fetch->header_bytes += count;
    if (fetch->header_bytes > HEADER_BYTES_MAX) {
        fetch->broken = "the answer's headers are too long";
        return 0;
    }
    if (count > 5 && memcmp(line, "HTTP/", 5) == 0) {
        begin_answer(fetch);
    } else if (count >= sizeof content_type - 1 &&
               strncasecmp(line, content_type, sizeof content_type - 1) == 0) {
        read_content_type(fetch, line + sizeof content_type - 1, count - sizeof content_type + 1);
    }
    return count;
}

/* The form of libcurl's function for bodies: unpacked pieces. */
static size_t take_body(char *bytes, size_t one, size_t count, void *argument)
{
    struct fetch *fetch = argument;
    void *array = fetch->body;

    (void)one;
    if (count > fetch->body_bytes_max - fetch->body_bytes) {
        fetch->broken = "the body is longer than body_limit";
        return 0;
    }
    enum quarry_status status = tsdb_memory_grow(
        &fetch->scrape->memory, &array, &fetch->body_capacity, fetch->body_bytes + count, 1);
    fetch->body = array;
    if (status != QUARRY_OK) {
        fetch->broken = "no memory for the body";
        return 0;
    }
    memcpy(fetch->body + fetch->body_bytes, bytes, count);
    fetch->body_bytes += count;
    return count;
}

/* ---- what is asked for ---------------------------------------------------------------------- */

/* Its first line. False: it cannot be read, or has none. */
static bool read_password(const char *path, char password[PASSWORD_BYTES_MAX])
{
    FILE *file = fopen(path, "re");
    bool is_read = file != NULL && fgets(password, PASSWORD_BYTES_MAX, file) != NULL;

    if (file != NULL) {
        (void)fclose(file);
    }
    if (is_read) {
        password[strcspn(password, "\r\n")] = '\0';
    }
    return is_read;
}

/* Sets options one after the other; the first that fails stays. */
#define SET(outcome, easy, option, value)                                                          \
    (outcome) = (outcome) == CURLE_OK ? curl_easy_setopt(easy, option, value) : (outcome)

static CURLcode set_login(CURL *easy, const struct scrape_job *job, struct quarry_error *error)
{
    char password[PASSWORD_BYTES_MAX] = "";
    CURLcode outcome = CURLE_OK;

    if (job->user[0] == '\0') {
        return CURLE_OK;
    }
    if (job->password_file[0] != '\0' && !read_password(job->password_file, password)) {
        (void)error_set(error, QUARRY_IO, "the password cannot be read from %s",
                        job->password_file);
        return CURLE_READ_ERROR;
    }
    SET(outcome, easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    SET(outcome, easy, CURLOPT_USERNAME, job->user);
    SET(outcome, easy, CURLOPT_PASSWORD, password);
    explicit_bzero(password, sizeof password);
    return outcome;
}

static CURLcode set_tls(CURL *easy, const struct scrape_job *job)
{
    CURLcode outcome = CURLE_OK;

    SET(outcome, easy, CURLOPT_SSL_VERIFYPEER, job->is_insecure ? 0L : 1L);
    SET(outcome, easy, CURLOPT_SSL_VERIFYHOST, job->is_insecure ? 0L : 2L);
    if (job->tls_ca[0] != '\0') {
        SET(outcome, easy, CURLOPT_CAINFO, job->tls_ca);
    }
    return outcome;
}

static bool add_header(struct fetch *fetch, const char *header)
{
    struct curl_slist *longer = curl_slist_append(fetch->headers, header);

    fetch->headers = longer == NULL ? fetch->headers : longer;
    return longer != NULL;
}

static CURLcode set_request(struct fetch *fetch)
{
    const struct facts *facts = fetch->target->facts;
    const struct scrape_job *job = &facts->job->settings;
    CURL *easy = fetch->easy;
    CURLcode outcome = CURLE_OK;
    char header[96];

    (void)snprintf(header, sizeof header, "X-Prometheus-Scrape-Timeout-Seconds: %.9g",
                   (double)job->timeout_ns / 1e9);
    if (!add_header(fetch, ACCEPT) || !add_header(fetch, header)) {
        return CURLE_OUT_OF_MEMORY;
    }
    SET(outcome, easy, CURLOPT_URL, facts->url);
    SET(outcome, easy, CURLOPT_HTTPHEADER, fetch->headers);
    SET(outcome, easy, CURLOPT_USERAGENT, fetch->scrape->agent);
    SET(outcome, easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    SET(outcome, easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(outcome, easy, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(outcome, easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    SET(outcome, easy, CURLOPT_FOLLOWLOCATION, job->refuses_redirection ? 0L : 1L);
    SET(outcome, easy, CURLOPT_MAXREDIRS, REDIRECTIONS_MAX);
    SET(outcome, easy, CURLOPT_PROXY, "");
    SET(outcome, easy, CURLOPT_TIMEOUT_MS, (long)(job->timeout_ns / Q_MS_NS));
    SET(outcome, easy, CURLOPT_NOSIGNAL, 1L);
    return outcome == CURLE_OK ? set_tls(easy, job) : outcome;
}

static CURLcode set_answer(struct fetch *fetch)
{
    CURL *easy = fetch->easy;
    CURLcode outcome = CURLE_OK;

    SET(outcome, easy, CURLOPT_PRIVATE, fetch);
    SET(outcome, easy, CURLOPT_ERRORBUFFER, fetch->said);
    SET(outcome, easy, CURLOPT_HEADERFUNCTION, take_header);
    SET(outcome, easy, CURLOPT_HEADERDATA, fetch);
    SET(outcome, easy, CURLOPT_WRITEFUNCTION, take_body);
    SET(outcome, easy, CURLOPT_WRITEDATA, fetch);
    return outcome;
}

/* ---- begin and end -------------------------------------------------------------------------- */

static bool begin(struct fetch *fetch, struct quarry_error *error)
{
    fetch->easy = curl_easy_init();
    if (fetch->easy == NULL) {
        (void)error_set(error, QUARRY_NO_MEMORY, "no memory to fetch it");
        return false;
    }
    CURLcode outcome = set_answer(fetch);
    outcome = outcome == CURLE_OK ? set_request(fetch) : outcome;
    if (outcome == CURLE_OK) {
        outcome = set_login(fetch->easy, &fetch->target->facts->job->settings, error);
    }
    if (outcome == CURLE_OK) {
        outcome = curl_multi_add_handle(fetch->scrape->multi, fetch->easy) == CURLM_OK
                      ? CURLE_OK
                      : CURLE_OUT_OF_MEMORY;
    }
    if (outcome != CURLE_OK && outcome != CURLE_READ_ERROR) {
        (void)error_set(error, QUARRY_NO_MEMORY, "%s", curl_easy_strerror(outcome));
    }
    return outcome == CURLE_OK;
}

static void fetch_give(struct fetch *fetch)
{
    if (fetch->easy != NULL) {
        (void)curl_multi_remove_handle(fetch->scrape->multi, fetch->easy);
        curl_easy_cleanup(fetch->easy);
    }
    curl_slist_free_all(fetch->headers);
    tsdb_memory_give(&fetch->scrape->memory, fetch->body);
    tsdb_memory_give(&fetch->scrape->memory, fetch);
}

bool scrape_fetch_begin(struct scrape *scrape, struct target *target, int64_t t_ms,
                        struct quarry_error *error)
{
    struct fetch *fetch = tsdb_memory_take_zero(&scrape->memory, sizeof *fetch);

    if (fetch == NULL) {
        (void)error_set(error, QUARRY_NO_MEMORY, "no memory to fetch it");
        return false;
    }
    fetch->scrape = scrape;
    fetch->target = target;
    fetch->t_ms = t_ms;
    fetch->begin_ns = os_monotonic_ns(os_real());
    fetch->body_bytes_max = target->facts->job->settings.body_bytes_max;
    if (!begin(fetch, error)) {
        fetch_give(fetch);
        return false;
    }
    target->fetch = fetch;
    scrape->fetch_count++;
    return true;
}

void scrape_fetch_end(struct scrape *scrape, struct fetch *fetch)
{
    Q_ASSERT(fetch->target->fetch == fetch && scrape->fetch_count > 0);
    fetch->target->fetch = NULL;
    scrape->fetch_count--;
    fetch_give(fetch);
}

/* Why there is no page; NULL: there is one. */
static const char *why_not(struct fetch *fetch, CURLcode outcome)
{
    long code = 0;

    if (fetch->broken != NULL) {
        return fetch->broken;
    }
    if (outcome == CURLE_OPERATION_TIMEDOUT) {
        return "the timeout has passed";
    }
    if (outcome != CURLE_OK) {
        return fetch->said[0] != '\0' ? fetch->said : curl_easy_strerror(outcome);
    }
    (void)curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &code);
    if (code != 200) {
        (void)snprintf(fetch->said, sizeof fetch->said, "the server answered with status %ld",
                       code);
        return fetch->said;
    }
    return NULL;
}

static void finish(struct scrape *scrape, CURL *easy, CURLcode outcome)
{
    char *private = NULL;

    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
    struct fetch *fetch = (struct fetch *)(void *)private;
    Q_ASSERT(fetch != NULL && fetch->easy == easy);
    const struct page page = {
        .error = why_not(fetch, outcome),
        .body = {fetch->body == NULL ? "" : fetch->body, fetch->body_bytes},
        .format = fetch->is_openmetrics ? TSDB_OPENMETRICS : TSDB_TEXT,
        .t_ms = fetch->t_ms,
        .begin_ns = fetch->begin_ns,
    };
    scrape_collect(scrape, fetch->target, &page);
    scrape_fetch_end(scrape, fetch);
}

void scrape_fetch_reap(struct scrape *scrape)
{
    int left = 0;

    for (const CURLMsg *message; (message = curl_multi_info_read(scrape->multi, &left)) != NULL;) {
        if (message->msg == CURLMSG_DONE) {
            finish(scrape, message->easy_handle, message->data.result);
        }
    }
}
