/*
 * What the server tells of its configuration, as text.
 *
 *   global, scrape_configs     what Prometheus would be told to do the same: its programs read it
 *   # section.name: value      every setting in force, where it is not the default
 *   NAME=VALUE                 the same as flags: all of them, and some by Prometheus' names
 *
 * A setting that waits for a restart is told as it was at the start. Hashes of passwords are
 * secret: they are told as Prometheus tells such, by a word. Names of files that have some are not.
 *
 * The main thread writes it at the start and after each reload, so that who asks touches no
 * configuration; the one before goes with its last reader.
 *
 * Locking: asked_mutex, a leaf, for holders and which one is the newest.
 */
#include <serve/server_told.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <serve/api/params.h>
#include <serve/server_state.h>

#define SECRET "<secret>"

/* ---- values --------------------------------------------------------------------------------- */

/* Where the value that is in force lies. */
static const struct serve_config *in_force(const struct server *server, enum serve_key key)
{
    return serve_setting(key)->is_live ? server->config : server->started;
}

/* In YAML's double quotes; bytes of a configuration are printable. */
static void put_quoted(FILE *file, const char *text, size_t count)
{
    (void)fputc('"', file);
    for (size_t i = 0; i < count; i++) {
        if (text[i] == '"' || text[i] == '\\') {
            (void)fputc('\\', file);
        }
        (void)fputc(text[i], file);
    }
    (void)fputc('"', file);
}

static void put_text(FILE *file, const char *name, const char *text)
{
    (void)fprintf(file, "  %s: ", name);
    put_quoted(file, text, strlen(text));
    (void)fputc('\n', file);
}

static void put_ms(FILE *file, const char *name, uint64_t ns)
{
    char room[API_DURATION_BYTES];

    (void)fprintf(file, "  %s: %s\n", name, api_duration_text(ns / Q_MS_NS, room));
}

/* ---- as Prometheus has it ------------------------------------------------------------------- */

static const char *text_of(const struct serve_config *config, uint32_t job, uint32_t which)
{
    return serve_config_group_text(config, SERVE_SCRAPES, job, which);
}

static uint64_t number_of(const struct serve_config *config, uint32_t job, uint32_t which)
{
    return serve_config_group_number(config, SERVE_SCRAPES, job, which);
}

/* A list: "a,b" as lines of elements. */
static void put_list(FILE *file, const char *list, const char *indent)
{
    while (*list != '\0') {
        const size_t all = strcspn(list, ",");
        const size_t blanks = strspn(list, " ");
        size_t count = all - size_min(blanks, all);
        const char *element = list + (all - count);
        while (count > 0 && element[count - 1] == ' ') {
            count--;
        }
        if (count > 0) {
            (void)fprintf(file, "%s- ", indent);
            put_quoted(file, element, count);
            (void)fputc('\n', file);
        }
        list += all + (list[all] == ',');
    }
}

/* NAME=VALUE with `separator` between, as lines. */
static void put_pairs(FILE *file, const char *pairs, char separator, const char *indent,
                      const char *brackets)
{
    const char ends[] = {separator, '\0'};

    while (*pairs != '\0') {
        const size_t all = strcspn(pairs, ends);
        const size_t blanks = size_min(strspn(pairs, " "), all);
        const char *name = pairs + blanks, *equals = memchr(name, '=', all - blanks);
        if (equals != NULL) {
            (void)fputs(indent, file);
            put_quoted(file, name, (size_t)(equals - name));
            (void)fprintf(file, ": %.1s", brackets);
            put_quoted(file, equals + 1, (size_t)(pairs + all - equals - 1));
            (void)fprintf(file, "%s\n", brackets[0] == '\0' ? "" : brackets + 1);
        }
        pairs += all + (pairs[all] == separator);
    }
}

static void put_limits(FILE *file, const struct serve_config *config, uint32_t job)
{
    static const struct {
        const char *name;
        uint32_t which;
    } limits[] = {{"sample_limit", SERVE_SCRAPE_SAMPLES},
                  {"label_limit", SERVE_SCRAPE_LABEL_COUNT},
                  {"label_name_length_limit", SERVE_SCRAPE_LABEL_NAME},
                  {"label_value_length_limit", SERVE_SCRAPE_LABEL_VALUE}};

    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        const uint64_t most = number_of(config, job, limits[i].which);
        if (most > 0) {
            (void)fprintf(file, "  %s: %" PRIu64 "\n", limits[i].name, most);
        }
    }
    (void)fprintf(file, "  body_size_limit: %" PRIu64 "B\n",
                  number_of(config, job, SERVE_SCRAPE_BODY));
}

static void put_login(FILE *file, const struct serve_config *config, uint32_t job)
{
    const char *user = text_of(config, job, SERVE_SCRAPE_USER);
    const char *password = text_of(config, job, SERVE_SCRAPE_PASSWORD_FILE);
    const char *authority = text_of(config, job, SERVE_SCRAPE_TLS_CA);
    const bool is_insecure = number_of(config, job, SERVE_SCRAPE_TLS_INSECURE) != 0;

    if (user[0] != '\0') {
        (void)fputs("  basic_auth:\n", file);
        put_text(file, "  username", user);
        if (password[0] != '\0') {
            put_text(file, "  password_file", password);
        }
    }
    if (authority[0] != '\0' || is_insecure) {
        (void)fputs("  tls_config:\n", file);
        if (authority[0] != '\0') {
            put_text(file, "  ca_file", authority);
        }
        (void)fprintf(file, "    insecure_skip_verify: %s\n", is_insecure ? "true" : "false");
    }
}

static void put_targets(FILE *file, const struct serve_config *config, uint32_t job)
{
    const char *files = text_of(config, job, SERVE_SCRAPE_FILE_SD);
    const char *targets = text_of(config, job, SERVE_SCRAPE_TARGETS);
    const char *labels = text_of(config, job, SERVE_SCRAPE_LABELS);

    if (files[0] != '\0') {
        (void)fputs("  file_sd_configs:\n  - files:\n", file);
        put_list(file, files, "    ");
    }
    if (targets[0] != '\0') {
        (void)fputs("  static_configs:\n  - targets:\n", file);
        put_list(file, targets, "    ");
        if (labels[0] != '\0') {
            (void)fputs("    labels:\n", file);
            put_pairs(file, labels, ',', "      ", "");
        }
    }
}

static const char *truth(uint64_t value)
{
    return value != 0 ? "true" : "false";
}

static void put_job(FILE *file, const struct serve_config *config, uint32_t job)
{
    const uint64_t interval_ns = number_of(config, job, SERVE_SCRAPE_INTERVAL);
    const uint64_t asked_ns = number_of(config, job, SERVE_SCRAPE_TIMEOUT);
    const uint64_t timeout_ns =
        asked_ns != 0 ? asked_ns : size_min_u64(interval_ns, 10 * Q_SECOND_NS);
    const char *params = text_of(config, job, SERVE_SCRAPE_PARAMS);

    (void)fputs("- job_name: ", file);
    put_quoted(file, serve_config_group_name(config, SERVE_SCRAPES, job),
               strlen(serve_config_group_name(config, SERVE_SCRAPES, job)));
    (void)fprintf(file, "\n  honor_labels: %s\n  honor_timestamps: %s\n",
                  truth(number_of(config, job, SERVE_SCRAPE_HONOR_LABELS)),
                  truth(number_of(config, job, SERVE_SCRAPE_HONOR_TIMESTAMPS)));
    if (params[0] != '\0') {
        (void)fputs("  params:\n", file);
        put_pairs(file, params, '&', "    ", "[]");
    }
    put_ms(file, "scrape_interval", interval_ns);
    put_ms(file, "scrape_timeout", timeout_ns);
    put_limits(file, config, job);
    put_text(file, "metrics_path", text_of(config, job, SERVE_SCRAPE_PATH));
    (void)fprintf(file, "  scheme: %s\n",
                  number_of(config, job, SERVE_SCRAPE_SCHEME) == 1 ? "https" : "http");
    put_login(file, config, job);
    (void)fprintf(file, "  follow_redirects: %s\n",
                  truth(number_of(config, job, SERVE_SCRAPE_FOLLOW)));
    put_targets(file, config, job);
}

/* ---- settings ------------------------------------------------------------------------------- */

/* As comments: Prometheus' programs know none of them. */
static void put_settings(FILE *file, const struct server *server)
{
    char value[SERVE_VALUE_TEXT_BYTES];

    for (uint32_t i = 0; i < SERVE_KEY_COUNT; i++) {
        const enum serve_key key = (enum serve_key)i;
        const struct serve_config *config = in_force(server, key);
        if (strcmp(serve_config_origin(config, key), "default") != 0) {
            (void)fprintf(file, "# %s: %s\n", serve_setting(key)->key,
                          serve_config_format(config, key, value));
        }
    }
}

/* Sections with names, without what is secret. */
static void put_groups(FILE *file, const struct serve_config *config, enum serve_group_kind kind,
                       const char *name)
{
    char value[SERVE_VALUE_TEXT_BYTES];

    for (uint32_t i = 0; i < serve_config_group_count(config, kind); i++) {
        for (uint32_t which = 0; which < serve_group_setting_count(kind); which++) {
            const bool is_secret = kind == SERVE_USERS && which == SERVE_USER_PASSWORD;
            const char *text = serve_config_group_format(config, kind, i, which, value);
            if (strcmp(serve_config_group_origin(config, kind, i, which), "default") != 0) {
                (void)fprintf(file, "# %s.%s.%s: %s\n", name,
                              serve_config_group_name(config, kind, i),
                              serve_group_setting(kind, which)->key, is_secret ? SECRET : text);
            }
        }
    }
}

static void put_yaml(FILE *file, const struct server *server)
{
    const struct serve_config *config = server->config;
    const uint32_t job_count = serve_config_group_count(config, SERVE_SCRAPES);

    (void)fputs("global:\n  scrape_interval: 15s\n  scrape_timeout: 10s\n"
                "  evaluation_interval: 1m\n",
                file);
    if (job_count > 0) {
        (void)fputs("scrape_configs:\n", file);
    }
    for (uint32_t i = 0; i < job_count; i++) {
        put_job(file, config, i);
    }
    put_settings(file, server);
    put_groups(file, config, SERVE_SCRAPES, "scrape");
    put_groups(file, config, SERVE_TENANTS, "tenant");
    put_groups(file, config, SERVE_USERS, "user");
}

/* ---- flags ---------------------------------------------------------------------------------- */

static int compare_lines(const void *left, const void *right)
{
    const char *a = *(char *const *)left, *b = *(char *const *)right;
    const size_t a_bytes = strcspn(a, "="), b_bytes = strcspn(b, "=");
    const int order = memcmp(a, b, size_min(a_bytes, b_bytes));

    return order != 0 ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

/* Those that programs of Prometheus' look at. */
static void put_known_flags(FILE *file, const struct server *server)
{
    const struct serve_config *config = server->started;
    const char *path = serve_sources_path(server->sources);
    char room[API_DURATION_BYTES], lookback[API_DURATION_BYTES], timeout[API_DURATION_BYTES];
    const uint64_t windows_ns = serve_config_number(config, SERVE_TSDB_WINDOW) *
                                (serve_config_number(config, SERVE_TSDB_WINDOWS) + 1);

    (void)fprintf(
        file,
        "config.file=%s\nweb.enable-admin-api=%s\nweb.enable-lifecycle=%s\n"
        "web.enable-remote-write-receiver=true\nquery.timeout=%s\n"
        "query.lookback-delta=%s\nquery.max-concurrency=%" PRIu64
        "\nstorage.tsdb.retention.time=%s\n"
        "storage.remote.read-sample-limit=%" PRIu64 "\nweb.listen-address=%s\n",
        path != NULL ? path : "", truth(serve_config_number(config, SERVE_TSDB_ADMIN_API)),
        truth(serve_config_number(config, SERVE_HTTP_LIFECYCLE)),
        api_duration_text(serve_config_number(config, SERVE_TSDB_QUERY_TIMEOUT) / Q_MS_NS, timeout),
        api_duration_text(serve_config_number(config, SERVE_TSDB_LOOKBACK) / Q_MS_NS, lookback),
        serve_config_number(config, SERVE_HTTP_THREADS),
        api_duration_text(windows_ns / Q_MS_NS, room),
        serve_config_number(config, SERVE_TSDB_READ_SAMPLES_MAX),
        serve_config_text(config, SERVE_HTTP_LISTEN));
    if (server->data_dir.path[0] != '\0') {
        (void)fprintf(file, "storage.tsdb.path=%s/tsdb\n", server->data_dir.path);
    }
}

static void put_flags(FILE *file, const struct server *server)
{
    char value[SERVE_VALUE_TEXT_BYTES];

    put_known_flags(file, server);
    for (uint32_t i = 0; i < SERVE_KEY_COUNT; i++) {
        const enum serve_key key = (enum serve_key)i;
        (void)fprintf(file, "%s=%s\n", serve_setting(key)->key,
                      serve_config_format(in_force(server, key), key, value));
    }
}

/* Lines in the order of their names. Returns: own, of malloc; NULL: no memory. */
static char *sort_lines(char *text)
{
    const size_t bytes = strlen(text);
    size_t count = 0;
    char **lines = calloc(bytes / 2 + 1, sizeof *lines), *sorted = malloc(bytes + 1), *rest = NULL;

    if (lines == NULL || sorted == NULL) {
        free(lines);
        free(sorted);
        return NULL;
    }
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        lines[count++] = line;
    }
    qsort(lines, count, sizeof *lines, compare_lines);
    char *at = sorted;
    for (size_t i = 0; i < count; i++) {
        at = stpcpy(stpcpy(at, lines[i]), "\n");
    }
    *at = '\0';
    free(lines);
    return sorted;
}

/* ---- writing it down ------------------------------------------------------------------------ */

/* What `put` writes. Returns: own, of malloc; NULL: no memory. */
static char *write_down(const struct server *server,
                        void (*put)(FILE *file, const struct server *server))
{
    char *text = NULL;
    size_t count = 0;
    FILE *file = open_memstream(&text, &count);

    if (file == NULL) {
        return NULL;
    }
    put(file, server);
    const bool is_whole = ferror(file) == 0;
    if (fclose(file) != 0 || !is_whole) {
        free(text);
        return NULL;
    }
    return text;
}

static void destroy(struct server_told *told)
{
    if (told != NULL) {
        free(told->yaml);
        free(told->flags);
        free(told);
    }
}

static struct server_told *make(const struct server *server)
{
    struct server_told *told = calloc(1, sizeof *told);

    if (told == NULL) {
        return NULL;
    }
    char *lines = write_down(server, put_flags);
    told->flags = lines == NULL ? NULL : sort_lines(lines);
    free(lines);
    told->yaml = write_down(server, put_yaml);
    told->configured_ms = (int64_t)(os_wall_ns(os_real()) / Q_MS_NS);
    told->memory_bytes = server->budget.bytes;
    told->holders = 1;
    if (told->flags == NULL || told->yaml == NULL) {
        destroy(told);
        return NULL;
    }
    return told;
}

void server_tell_config(struct server *server)
{
    struct server_told *told = make(server);

    os_mutex_lock(&server->asked_mutex);
    struct server_told *before = server->told;
    server->told = told;
    os_mutex_unlock(&server->asked_mutex);
    server_told_release(server, before);
}

struct server_told *server_told_acquire(struct server *server)
{
    os_mutex_lock(&server->asked_mutex);
    struct server_told *told = server->told;
    if (told != NULL) {
        told->holders++;
    }
    os_mutex_unlock(&server->asked_mutex);
    return told;
}

void server_told_release(struct server *server, struct server_told *told)
{
    if (told == NULL) {
        return;
    }
    os_mutex_lock(&server->asked_mutex);
    const bool is_last = --told->holders == 0;
    os_mutex_unlock(&server->asked_mutex);
    if (is_last) {
        destroy(told);
    }
}
