/*
 * A client of HTTP servers: libcurl's easy interface, one connection that is used again.
 *
 * Only http and https are spoken, redirections are not followed, and no proxy is taken from the
 * environment: what is sent goes where the command line says. A server that says nothing for longer
 * than its longest query is given up: commands end, they do not hang.
 *
 * Locking: none; of one thread.
 */
#include <cli/tsdb_http.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include <cli/cli.h>
#include <cli/connect.h>

#define CONNECT_TIMEOUT_S 10L
/* Queries end within two minutes. */
#define ANSWER_TIMEOUT_S 150L

int tsdb_http_open(struct tsdb_http *http, const char *command, const char *url, const char *user,
                   const char *password_path)
{
    *http = (struct tsdb_http){.command = command, .url = url, .user = user};
    if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0) {
        return cli_usage_error(command, "'%.200s' is no address: http://HOST:PORT is wanted", url);
    }
    if (password_path != NULL) {
        http->password = calloc(1, CONNECT_PASSWORD_BYTES);
        int code = http->password == NULL
                       ? cli_failure(command, "no memory")
                       : connect_read_password(command, password_path, http->password);
        if (code != CLI_OK) {
            tsdb_http_close(http);
            return code;
        }
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) {
        http->easy = curl_easy_init();
    }
    return http->easy != NULL ? CLI_OK : cli_failure(command, "no memory for libcurl");
}

void tsdb_http_close(struct tsdb_http *http)
{
    if (http->easy != NULL) {
        curl_easy_cleanup(http->easy);
        curl_global_cleanup();
        http->easy = NULL;
    }
    if (http->password != NULL) {
        explicit_bzero(http->password, CONNECT_PASSWORD_BYTES);
        free(http->password);
        http->password = NULL;
    }
}

char *tsdb_http_escape(const char *text)
{
    static const char digits[] = "0123456789ABCDEF";
    char *escaped = malloc(3 * strlen(text) + 1);
    char *at = escaped;

    for (; escaped != NULL && *text != '\0'; text++) {
        const unsigned char byte = (unsigned char)*text;
        const bool is_plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                              (byte >= '0' && byte <= '9') || strchr("-._~", byte) != NULL;
        if (is_plain) {
            *at++ = (char)byte;
        } else {
            *at++ = '%';
            *at++ = digits[byte >> 4];
            *at++ = digits[byte & 15];
        }
    }
    if (escaped != NULL) {
        *at = '\0';
    }
    return escaped;
}

/* ---- what comes ----------------------------------------------------------------------------- */

/* In libcurl's form; less than all ends the transfer. */
static size_t take_body(char *bytes, size_t size, size_t count, void *argument)
{
    struct tsdb_http_answer *answer = argument;
    const size_t more = size * count;

    if (more > TSDB_HTTP_ANSWER_MAX - answer->count) {
        return 0;
    }
    if (answer->capacity - answer->count <= more) {
        const size_t capacity = size_max(2 * answer->capacity, answer->count + more + 4096);
        char *larger = realloc(answer->bytes, capacity);
        if (larger == NULL) {
            return 0;
        }
        answer->bytes = larger;
        answer->capacity = capacity;
    }
    memcpy(answer->bytes + answer->count, bytes, more);
    answer->count += more;
    answer->bytes[answer->count] = '\0';
    return more;
}

static size_t take_header(char *bytes, size_t size, size_t count, void *argument)
{
    static const char written[] = "x-prometheus-remote-write-samples-written:";
    struct tsdb_http_answer *answer = argument;
    const size_t length = size * count;
    char value[32];

    if (length > sizeof written && strncasecmp(bytes, written, sizeof written - 1) == 0) {
        const size_t value_bytes = size_min(length - (sizeof written - 1), sizeof value - 1);
        memcpy(value, bytes + sizeof written - 1, value_bytes);
        value[value_bytes] = '\0';
        answer->written_count = strtoull(value, NULL, 10);
    }
    return length;
}

void tsdb_http_answer_free(struct tsdb_http_answer *answer)
{
    free(answer->bytes);
    *answer = (struct tsdb_http_answer){0};
}

/* ---- asking --------------------------------------------------------------------------------- */

static char *join(const struct tsdb_http *http, const char *path)
{
    size_t base_bytes = strlen(http->url);

    while (base_bytes > 0 && http->url[base_bytes - 1] == '/') {
        base_bytes--;
    }
    char *url = malloc(base_bytes + strlen(path) + 1);
    if (url != NULL) {
        memcpy(url, http->url, base_bytes);
        memcpy(url + base_bytes, path, strlen(path) + 1);
    }
    return url;
}

static void set_options(const struct tsdb_http *http, struct tsdb_http_answer *answer)
{
    CURL *easy = http->easy;

    curl_easy_reset(easy);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT,
                           http->quiet_timeout_s != 0 ? (long)http->quiet_timeout_s
                                                      : ANSWER_TIMEOUT_S);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, answer);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, answer);
    if (http->user != NULL) {
        (void)curl_easy_setopt(easy, CURLOPT_USERNAME, http->user);
        (void)curl_easy_setopt(easy, CURLOPT_PASSWORD,
                               http->password == NULL ? "" : http->password);
    }
}

static CURLcode perform(const struct tsdb_http *http, const char *url, const char *type,
                        const char *body, size_t body_bytes)
{
    char field[200];
    struct curl_slist *fields = NULL;

    (void)curl_easy_setopt(http->easy, CURLOPT_URL, url);
    if (body != NULL) {
        (void)snprintf(field, sizeof field, "Content-Type: %s", type);
        fields = curl_slist_append(NULL, field);
        /* Without asking first whether the body is wanted. */
        struct curl_slist *more = fields == NULL ? NULL : curl_slist_append(fields, "Expect:");
        if (more == NULL) {
            curl_slist_free_all(fields);
            return CURLE_OUT_OF_MEMORY;
        }
        (void)curl_easy_setopt(http->easy, CURLOPT_HTTPHEADER, fields);
        (void)curl_easy_setopt(http->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_bytes);
        (void)curl_easy_setopt(http->easy, CURLOPT_POSTFIELDS, body);
    }
    const CURLcode code = curl_easy_perform(http->easy);
    curl_slist_free_all(fields);
    return code;
}

static void tell_failure(struct tsdb_http *http, const char *why)
{
    if (http->quiet_timeout_s == 0) {
        (void)cli_failure(http->command, "%s: %s", http->url, why);
    } else {
        (void)snprintf(http->fault, sizeof http->fault, "%s", why);
    }
}

int tsdb_http_ask(struct tsdb_http *http, const char *path, const char *type, const char *body,
                  size_t body_bytes, struct tsdb_http_answer *ret_answer)
{
    char why[CURL_ERROR_SIZE] = "";
    char *url = join(http, path);
    long status = 0;

    *ret_answer = (struct tsdb_http_answer){.written_count = UINT64_MAX};
    if (url == NULL) {
        tell_failure(http, "no memory");
        return CLI_FAILED;
    }
    set_options(http, ret_answer);
    (void)curl_easy_setopt(http->easy, CURLOPT_ERRORBUFFER, why);
    const CURLcode code = perform(http, url, type, body, body_bytes);
    free(url);
    if (code != CURLE_OK) {
        tsdb_http_answer_free(ret_answer);
        tell_failure(http, why[0] != '\0' ? why : curl_easy_strerror(code));
        return CLI_NO_CONNECTION;
    }
    (void)curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &status);
    ret_answer->code = (uint32_t)status;
    return CLI_OK;
}
