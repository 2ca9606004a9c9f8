/*
 * Scraping by the configuration: a job for each section, the server's own page, figures.
 *
 * The server's own figures go straight from where /metrics are written to where pages are read:
 * there is history from the first minute, with no door open and nobody logged in. Their instance is
 * the address that http.listen names, so that they are those of who scrapes them from outside.
 *
 * Locking: none of its own. What writes the page is called by the scraper's thread beside the HTTP
 * door's, which may do so at the same time.
 */
#include <serve/server_scrape.h>

#include <stdio.h>
#include <string.h>

#include <serve/log.h>
#include <serve/server_metrics.h>
#include <serve/server_state.h>

/* Of the memory's limit as it was at the start: pages under way, what is known of series. */
#define MEMORY_PART 8u

/* ---- jobs ----------------------------------------------------------------------------------- */

static const char *text_of(const struct serve_config *config, uint32_t index, uint32_t which)
{
    return serve_config_group_text(config, SERVE_SCRAPES, index, which);
}

static uint64_t number_of(const struct serve_config *config, uint32_t index, uint32_t which)
{
    return serve_config_group_number(config, SERVE_SCRAPES, index, which);
}

static struct scrape_job job_of(const struct serve_config *config, uint32_t index)
{
    return (struct scrape_job){
        .name = serve_config_group_name(config, SERVE_SCRAPES, index),
        .targets = text_of(config, index, SERVE_SCRAPE_TARGETS),
        .file_sd = text_of(config, index, SERVE_SCRAPE_FILE_SD),
        .labels = text_of(config, index, SERVE_SCRAPE_LABELS),
        .path = text_of(config, index, SERVE_SCRAPE_PATH),
        .params = text_of(config, index, SERVE_SCRAPE_PARAMS),
        .user = text_of(config, index, SERVE_SCRAPE_USER),
        .password_file = text_of(config, index, SERVE_SCRAPE_PASSWORD_FILE),
        .tls_ca = text_of(config, index, SERVE_SCRAPE_TLS_CA),
        .interval_ns = number_of(config, index, SERVE_SCRAPE_INTERVAL),
        .timeout_ns = number_of(config, index, SERVE_SCRAPE_TIMEOUT),
        .sample_count_max = number_of(config, index, SERVE_SCRAPE_SAMPLES),
        .body_bytes_max = number_of(config, index, SERVE_SCRAPE_BODY),
        .label_count_max = number_of(config, index, SERVE_SCRAPE_LABEL_COUNT),
        .label_name_bytes_max = number_of(config, index, SERVE_SCRAPE_LABEL_NAME),
        .label_value_bytes_max = number_of(config, index, SERVE_SCRAPE_LABEL_VALUE),
        .is_https = number_of(config, index, SERVE_SCRAPE_SCHEME) == 1,
        .is_insecure = number_of(config, index, SERVE_SCRAPE_TLS_INSECURE) != 0,
        .honors_labels = number_of(config, index, SERVE_SCRAPE_HONOR_LABELS) != 0,
        .ignores_times = number_of(config, index, SERVE_SCRAPE_HONOR_TIMESTAMPS) == 0,
        .refuses_redirection = number_of(config, index, SERVE_SCRAPE_FOLLOW) == 0,
    };
}

enum quarry_status server_scrape_jobs(const struct serve_config *config,
                                      struct scrape_jobs **ret_jobs, struct quarry_error *error)
{
    struct scrape_jobs *jobs = NULL;
    struct quarry_error inner = {0};
    enum quarry_status status = scrape_jobs_create(&jobs);

    if (status != QUARRY_OK) {
        return error_set(error, status, "no memory for jobs of scraping");
    }
    for (uint32_t i = 0; i < serve_config_group_count(config, SERVE_SCRAPES); i++) {
        const struct scrape_job job = job_of(config, i);
        status = scrape_jobs_add(jobs, &job, &inner);
        if (status != QUARRY_OK) {
            scrape_jobs_destroy(jobs);
            return error_set(error, status, "scrape %s: %s", job.name, inner.text);
        }
    }
    *ret_jobs = jobs;
    return QUARRY_OK;
}

void server_scrape_check(const struct serve_config *config, struct serve_told *told)
{
    for (uint32_t i = 0; i < serve_config_group_count(config, SERVE_SCRAPES); i++) {
        const struct scrape_job job = job_of(config, i);
        struct scrape_jobs *jobs = NULL;
        struct quarry_error inner = {0};
        enum quarry_status status = scrape_jobs_create(&jobs);

        if (status == QUARRY_OK) {
            status = scrape_jobs_add(jobs, &job, &inner);
        }
        scrape_jobs_destroy(jobs);
        if (status != QUARRY_OK) {
            serve_told_say(told, status, "scrape %s: %s", job.name, inner.text);
        } else if (job.targets[0] == '\0' && job.file_sd[0] == '\0') {
            serve_told_say(told, QUARRY_BAD_INPUT, "scrape %s: give targets or file_sd", job.name);
        }
    }
}

/* ---- the scraper ---------------------------------------------------------------------------- */

static void render(void *argument, struct http_text *text)
{
    server_write_metrics(argument, text);
}

/* The first address of the HTTP door, as it is written. */
static void name_instance(struct server *server, const struct serve_config *config)
{
    const char *listen = serve_config_text(config, SERVE_HTTP_LISTEN);
    size_t bytes = strcspn(listen, ", ");
    bool is_off = strcmp(listen, "off") == 0 || bytes == 0;

    (void)snprintf(server->instance, sizeof server->instance, "%.*s",
                   is_off ? 9 : (int)size_min(bytes, sizeof server->instance - 1),
                   is_off ? "localhost" : listen);
}

enum quarry_status server_open_scrape(struct server *server, struct quarry_error *error)
{
    const struct serve_config *config = server->config;
    uint64_t interval_ns = serve_config_number(config, SERVE_TSDB_SELF_SCRAPE);
    struct scrape_jobs *jobs = NULL;

    if (server->tsdb == NULL) {
        if (serve_config_group_count(config, SERVE_SCRAPES) > 0) {
            serve_log(SERVE_LOG_WARNING, "nothing is scraped: there is no time-series store");
        }
        return QUARRY_OK;
    }
    name_instance(server, config);
    const struct scrape_options options = {
        .memory = server->memory,
        .tsdb = server->tsdb->tsdb,
        .metadata = server->tsdb->metadata,
        .memory_bytes_max = size_max_u64(server->budget.bytes / MEMORY_PART, Q_MIB(2)),
        .version = server->version,
        .render = render,
        .render_argument = server,
        .render_instance = server->instance,
        .render_interval_ns = interval_ns,
    };
    enum quarry_status status = server_scrape_jobs(config, &jobs, error);
    if (status == QUARRY_OK) {
        status = scrape_open(&options, &jobs, &server->scrape, error);
    }
    scrape_jobs_destroy(jobs);
    if (status == QUARRY_NO_MEMORY && serve_config_group_count(config, SERVE_SCRAPES) == 0) {
        serve_log(SERVE_LOG_WARNING, "its own page is not scraped: the limit is too small for it",
                  serve_log_bytes("limit_bytes", server->budget.bytes));
        return QUARRY_OK;
    }
    return status;
}

void server_apply_scrape(struct server *server, const struct serve_config *config,
                         struct scrape_jobs *jobs)
{
    if (server->scrape == NULL) {
        scrape_jobs_destroy(jobs);
        return;
    }
    scrape_apply(server->scrape, jobs, serve_config_number(config, SERVE_TSDB_SELF_SCRAPE));
}

void server_close_scrape(struct server *server)
{
    scrape_close(server->scrape);
    server->scrape = NULL;
}

/* ---- figures -------------------------------------------------------------------------------- */

struct family {
    enum serve_metric metric;
    size_t at; /* of the figure, an uint64_t */
};
#define COUNT(field) offsetof(struct scrape_counts, field)

static const struct family families[] = {
    {METRIC_quarry_scrape_targets, COUNT(target_count)},
    {METRIC_quarry_scrape_series, COUNT(series_count)},
    {METRIC_quarry_scrape_scrapes_total, COUNT(scrape_count)},
    {METRIC_quarry_scrape_failures_total, COUNT(failed_count)},
    {METRIC_quarry_scrape_skipped_total, COUNT(skipped_count)},
    {METRIC_quarry_scrape_samples_total, COUNT(sample_count)},
    {METRIC_quarry_scrape_refused_samples_total, COUNT(refused_count)},
    {METRIC_quarry_scrape_stale_markers_total, COUNT(stale_count)},
    {METRIC_quarry_scrape_body_bytes_total, COUNT(body_bytes)},
    {METRIC_quarry_scrape_file_errors_total, COUNT(file_error_count)},
};

void server_metrics_scrape(struct serve_metrics *metrics, struct server *server)
{
    struct scrape_counts counts;

    if (server->scrape == NULL) {
        return;
    }
    scrape_read_counts(server->scrape, &counts);
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        uint64_t value;
        memcpy(&value, (const char *)&counts + families[i].at, sizeof value);
        serve_metric_one(metrics, families[i].metric, value);
    }
}
