/*
 * Reloading: everything that can fail first, then everything that cannot.
 *
 *   load and check all sources      fails: nothing has happened
 *   make jobs of scraping           fails: likewise
 *   add new tenants                 fails: some are there, empty; no harm
 *   read users                      fails: those before stay
 *   change the memory's limit       fails: the old one stays
 *   read certificates               fails: those before stay, and the limit goes back
 *   ---- from here on nothing fails ----
 *   users, tenants' limits, the cache, the net's limits, the log; the new configuration is in force
 *
 * The limit can go back because it was what it was: what is committed is below it.
 *
 * Settings that only a restart changes are named in the log, each time, until one has been.
 *
 * Locking: none; the main thread's.
 */
#include <stdio.h>
#include <string.h>

#include <serve/cache_store.h>
#include <serve/log.h>
#include <serve/notify.h>
#include <serve/server_scrape.h>
#include <serve/server_state.h>
#include <serve/server_told.h>

static void log_problem(void *argument, const char *text)
{
    (void)argument;
    serve_log(SERVE_LOG_ERROR, "the configuration is wrong", serve_log_text("what", text));
}

/* ---- what can fail -------------------------------------------------------------------------- */

static enum quarry_status change_limit(struct server *server, const struct serve_budget *budget,
                                       struct quarry_error *error)
{
    if (budget->bytes == server->budget.bytes) {
        return QUARRY_OK;
    }
    enum quarry_status status = quarry_memory_set_limit(server->memory, budget->bytes);
    return status == QUARRY_OK
               ? status
               : error_set(error, status, "memory.limit: %s", quarry_status_text(status));
}

/* Users, limit and certificates. `ret_change`: to be committed. */
static enum quarry_status prepare(struct server *server, const struct serve_config *config,
                                  const struct serve_budget *budget,
                                  struct serve_users_change **ret_change,
                                  struct quarry_error *error)
{
    enum quarry_status status = serve_tenants_add(server->tenants, config, error);

    if (status == QUARRY_OK) {
        status = server_name_tenants(server, config, error);
    }
    if (status == QUARRY_OK) {
        status = serve_users_prepare(server->users, config, ret_change, error);
    }
    if (status == QUARRY_OK) {
        status = change_limit(server, budget, error);
    }
    if (status == QUARRY_OK) {
        status = server_tls_reload(server, config, error);
        if (status != QUARRY_OK) {
            (void)quarry_memory_set_limit(server->memory, server->budget.bytes);
        }
    }
    return status;
}

/* ---- what cannot ---------------------------------------------------------------------------- */

static bool is_other(const struct serve_config *before, const struct serve_config *after,
                     enum serve_key key)
{
    char old[SERVE_VALUE_TEXT_BYTES], new[SERVE_VALUE_TEXT_BYTES];

    return strcmp(serve_config_format(before, key, old), serve_config_format(after, key, new)) != 0;
}

static void log_changes(const struct server *server, const struct serve_config *config)
{
    char value[SERVE_VALUE_TEXT_BYTES];

    for (uint32_t i = 0; i < SERVE_KEY_COUNT; i++) {
        enum serve_key key = (enum serve_key)i;
        const struct serve_setting *setting = serve_setting(key);
        if (setting->is_live && is_other(server->config, config, key)) {
            serve_log(SERVE_LOG_INFO, "a setting has changed",
                      serve_log_text("setting", setting->key),
                      serve_log_text("value", serve_config_format(config, key, value)));
        } else if (!setting->is_live && is_other(server->started, config, key)) {
            serve_log(SERVE_LOG_WARNING, "a setting waits for a restart",
                      serve_log_text("setting", setting->key),
                      serve_log_text("value", serve_config_format(config, key, value)));
        }
    }
    if (serve_config_has_users(config) && !server->asks_for_login) {
        serve_log(SERVE_LOG_WARNING, "doors ask for logins only after a restart");
    }
}

static void apply(struct server *server, struct serve_config *config)
{
    struct serve_limits limits;
    const struct serve_log_options log = {
        .level = (enum serve_log_level)serve_config_number(config, SERVE_LOG_LEVEL),
        .format = (enum serve_log_format)serve_config_number(config, SERVE_LOG_FORMAT),
        .path = serve_config_text(server->started, SERVE_LOG_FILE), /* another waits */
    };

    server_net_limits(config, &limits);
    serve_net_set_limits(server->net, &limits);
    server_note_limits(server, config);
    server_allow(config);
    server_apply_http(server, config);
    serve_tenants_apply(server->tenants, config);
    serve_cache_apply(server->cache, config, server->budget.bytes);
    serve_tsdb_apply(server->tsdb, server->tenants, server->config, config);
    (void)serve_log_open(&log, NULL); /* the same file: it is open */
}

static void adopt(struct server *server, struct serve_config *config,
                  const struct serve_budget *budget, struct serve_users_change *change,
                  struct scrape_jobs *jobs)
{
    server->budget = *budget;
    serve_users_commit(server->users, change);
    apply(server, config);
    server_apply_scrape(server, config, jobs);
    log_changes(server, config);
    if (server->config != server->started) {
        serve_config_destroy(server->config);
    }
    server->config = config;
    server_note_settings(server);
    server_checkup_note(server);
    server_tell_config(server);
    serve_log(SERVE_LOG_INFO, "the configuration was read again",
              serve_log_count("users", serve_users_count(server->users)),
              serve_log_count("tenants", serve_config_group_count(config, SERVE_TENANTS)));
}

/* All sources, and what was changed besides. `ret_config`: own. */
static enum quarry_status load(struct server *server, struct serve_config **ret_config,
                               struct quarry_error *error)
{
    struct serve_config *config = NULL;
    enum quarry_status status =
        serve_config_load(server->sources, log_problem, NULL, &config, error);

    for (uint32_t i = 0; status == QUARRY_OK && i < server->override_count; i++) {
        status = serve_config_set(config, server->overrides[i].key, server->overrides[i].value,
                                  "CONFIG SET", error);
    }
    if (status == QUARRY_OK && server->override_count > 0) {
        status = serve_config_check(config, log_problem, NULL, error);
    }
    if (status != QUARRY_OK) {
        serve_config_destroy(config);
        config = NULL;
    }
    *ret_config = config;
    return status;
}

static enum quarry_status reload(struct server *server, struct quarry_error *error)
{
    struct serve_config *config = NULL;
    struct serve_users_change *change = NULL;
    struct scrape_jobs *jobs = NULL;
    struct serve_budget budget;

    serve_notify_reloading();
    enum quarry_status status = load(server, &config, error);
    if (status == QUARRY_OK) {
        os_machine_read("", &server->machine);
        serve_budget_choose(config, &server->machine, &budget);
        status = server_scrape_jobs(config, &jobs, error);
        if (status == QUARRY_OK) {
            status = prepare(server, config, &budget, &change, error);
        }
        if (status != QUARRY_OK) {
            log_problem(NULL, error->text);
        }
    }
    if (status == QUARRY_OK) {
        adopt(server, config, &budget, change, jobs);
    } else {
        serve_users_abort(change);
        scrape_jobs_destroy(jobs);
        serve_config_destroy(config);
        serve_log(SERVE_LOG_ERROR, "the configuration was not read again: all is as it was");
    }
    serve_notify("READY=1\nSTATUS=ready");
    return status;
}

enum quarry_status server_reload(struct server *server, struct quarry_error *error)
{
    server->override_count = 0;
    enum quarry_status status = reload(server, error);
    /* Relaxed: a figure. */
    atomic_store_relaxed_bool(&server->has_reload_failed, status != QUARRY_OK);
    return status;
}

/* The place of a key among what was changed, or the one behind them. */
static uint32_t find_override(const struct server *server, const char *key)
{
    uint32_t i = 0;

    while (i < server->override_count && strcmp(server->overrides[i].key, key) != 0) {
        i++;
    }
    return i;
}

enum quarry_status server_reload_with(struct server *server, const char *key, const char *value,
                                      struct quarry_error *error)
{
    uint32_t place = find_override(server, key), count = server->override_count;

    if (place == SERVER_OVERRIDES_MAX) {
        return error_set(error, QUARRY_TOO_MANY, "%s cannot be changed while serving", key);
    }
    struct server_override before = server->overrides[place];
    server->override_count += place == count ? 1 : 0;
    (void)snprintf(server->overrides[place].key, sizeof before.key, "%s", key);
    (void)snprintf(server->overrides[place].value, sizeof before.value, "%s", value);
    enum quarry_status status = reload(server, error);
    if (status != QUARRY_OK) {
        server->overrides[place] = before;
        server->override_count = count;
    }
    return status;
}
