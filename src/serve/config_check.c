/*
 * Whether values go together: what no setting can say alone.
 *
 * One function for each subject, each of which tells everything that is wrong with it. What depends
 * on the machine (the data folder, ports, the files of users) is found out by the server when it
 * starts; here nothing is opened, so that `quarry config check` can be run anywhere.
 *
 * Locking: none. Cost: O(users × tenants).
 */
#include <serve/config.h>

#include <inttypes.h>
#include <string.h>

#include <serve/config_address.h>
#include <serve/config_told.h>
#include <serve/peer.h>
#include <serve/password.h>
#include <serve/server_scrape.h>

bool serve_config_has_users(const struct serve_config *config)
{
    return serve_config_group_count(config, SERVE_USERS) > 0 ||
           serve_config_text(config, SERVE_USERS_FILE)[0] != '\0' ||
           serve_config_text(config, SERVE_USERS_PLAIN_FILE)[0] != '\0';
}

bool serve_config_wants_resp(const struct serve_config *config)
{
    bool is_off = strcmp(serve_config_text(config, SERVE_RESP_LISTEN), "off") == 0 &&
                  strcmp(serve_config_text(config, SERVE_RESP_LISTEN_TLS), "off") == 0;

    return !is_off && strcmp(serve_config_text(config, SERVE_SERVER_DATA), SERVE_DATA_OFF) != 0;
}

bool serve_config_wants_http(const struct serve_config *config)
{
    return strcmp(serve_config_text(config, SERVE_HTTP_LISTEN), "off") != 0 ||
           strcmp(serve_config_text(config, SERVE_HTTP_LISTEN_TLS), "off") != 0;
}

/* ---- memory --------------------------------------------------------------------------------- */

/* Tells when `key`, where it is set, is above what `bound` is set to. */
static void check_not_above(const struct serve_config *config, enum serve_key key,
                            enum serve_key bound, uint64_t divisor, struct serve_told *told)
{
    char value[SERVE_VALUE_TEXT_BYTES], limit[SERVE_VALUE_TEXT_BYTES];
    uint64_t most = serve_config_number(config, bound);

    if (most != 0 && serve_config_number(config, key) > most / divisor) {
        serve_told_say(told, QUARRY_BAD_INPUT, "%s: %s = %.32s is above %s%s = %.32s (%s)",
                       serve_config_origin(config, key), serve_setting(key)->key,
                       serve_config_format(config, key, value), divisor == 2 ? "half of " : "",
                       serve_setting(bound)->key, serve_config_format(config, bound, limit),
                       serve_config_origin(config, bound));
    }
}

static void check_memory(const struct serve_config *config, struct serve_told *told)
{
    check_not_above(config, SERVE_CACHE_SIZE, SERVE_MEMORY_LIMIT, 1, told);
    check_not_above(config, SERVE_CACHE_FLOOR, SERVE_CACHE_SIZE, 1, told);
    check_not_above(config, SERVE_CACHE_FLOOR, SERVE_MEMORY_LIMIT, 1, told);
    check_not_above(config, SERVE_CACHE_ITEM_MAX, SERVE_CACHE_SIZE, 2, told);
    check_not_above(config, SERVE_TSDB_MEMORY, SERVE_MEMORY_LIMIT, 1, told);
    check_not_above(config, SERVE_TSDB_FLOOR, SERVE_TSDB_MEMORY, 1, told);
    check_not_above(config, SERVE_TSDB_FLOOR, SERVE_MEMORY_LIMIT, 1, told);
    check_not_above(config, SERVE_TSDB_QUERY_MEMORY, SERVE_TSDB_MEMORY, 1, told);
}

/* Without a folder there is nowhere to keep anything: that has to be what was wanted. */
static void check_folder(const struct serve_config *config, struct serve_told *told)
{
    uint64_t file = serve_config_number(config, SERVE_CACHE_FILE);
    bool is_kept = file == SERVE_CACHE_FILE_AUTO
                       ? serve_config_number(config, SERVE_SERVER_DURABILITY) != SERVE_DURABLE_NONE
                       : file != SERVE_CACHE_FILE_OFF;

    if (is_kept && strcmp(serve_config_text(config, SERVE_SERVER_DATA), SERVE_DATA_OFF) == 0) {
        serve_told_say(
            told, QUARRY_BAD_INPUT,
            "%s: server.data = off keeps nothing: give server.durability = none with it, "
            "or cache.file = off",
            serve_config_origin(config, SERVE_SERVER_DATA));
    }
}

/* Samples can be late by what is kept: older ones have no window to go to. */
static void check_window(const struct serve_config *config, struct serve_told *told)
{
    char value[SERVE_VALUE_TEXT_BYTES], window[SERVE_VALUE_TEXT_BYTES];
    uint64_t count = serve_config_number(config, SERVE_TSDB_WINDOWS);

    /* At most 24 windows of 31 days: no overflow. */
    if (serve_config_number(config, SERVE_TSDB_OUT_OF_ORDER) >
        serve_config_number(config, SERVE_TSDB_WINDOW) * count) {
        serve_told_say(told, QUARRY_BAD_INPUT,
                       "%s: tsdb.out_of_order = %.32s is above %u times tsdb.window = %.32s (%s)",
                       serve_config_origin(config, SERVE_TSDB_OUT_OF_ORDER),
                       serve_config_format(config, SERVE_TSDB_OUT_OF_ORDER, value), (unsigned)count,
                       serve_config_format(config, SERVE_TSDB_WINDOW, window),
                       serve_config_origin(config, SERVE_TSDB_WINDOW));
    }
}

/* ---- tenants and users ---------------------------------------------------------------------- */

static void check_tenants(const struct serve_config *config, struct serve_told *told)
{
    uint32_t count = serve_config_group_count(config, SERVE_TENANTS);
    uint64_t most = serve_config_number(config, SERVE_CACHE_TENANTS_MAX);

    if (count >= most) { /* one is for all who name none */
        serve_told_say(told, QUARRY_TOO_MANY,
                       "cache.tenants_max = %" PRIu64 ": %u tenants and the default one", most,
                       count);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t quota = serve_config_group_number(config, SERVE_TENANTS, i, SERVE_TENANT_QUOTA);
        uint64_t share = serve_config_group_number(config, SERVE_TENANTS, i, SERVE_TENANT_SHARE);
        if (quota != 0 && share > quota) {
            serve_told_say(told, QUARRY_BAD_INPUT, "%s: tenant %s: share is above its quota",
                           serve_config_group_origin(config, SERVE_TENANTS, i, SERVE_TENANT_SHARE),
                           serve_config_group_name(config, SERVE_TENANTS, i));
        }
    }
}

static void check_user(const struct serve_config *config, uint32_t user, struct serve_told *told)
{
    const char *name = serve_config_group_name(config, SERVE_USERS, user);
    const char *password = serve_config_group_text(config, SERVE_USERS, user, SERVE_USER_PASSWORD);
    const char *file = serve_config_group_text(config, SERVE_USERS, user, SERVE_USER_PASSWORD_FILE);
    const char *tenant = serve_config_group_text(config, SERVE_USERS, user, SERVE_USER_TENANT);
    uint32_t index = 0;

    if ((password[0] == '\0') == (file[0] == '\0')) {
        serve_told_say(told, QUARRY_BAD_INPUT, "user %s: give either password or password_file",
                       name);
    } else if (password[0] != '\0' && !serve_password_is_hash(password)) {
        serve_told_say(
            told, QUARRY_BAD_INPUT,
            "%s: user %s: password takes a hash, and this is none; 'quarry config password' makes "
            "one",
            serve_config_group_origin(config, SERVE_USERS, user, SERVE_USER_PASSWORD), name);
    }
    if (tenant[0] != '\0' && !serve_config_group_find(config, SERVE_TENANTS, tenant, &index)) {
        serve_told_say(told, QUARRY_NOT_FOUND, "%s: user %s: there is no [tenant %s]",
                       serve_config_group_origin(config, SERVE_USERS, user, SERVE_USER_TENANT),
                       name, tenant);
    }
}

/* ---- doors ---------------------------------------------------------------------------------- */

static bool is_local(const char *text)
{
    struct serve_address address;
    enum quarry_status status = serve_address_parse(text, &address, NULL);

    Q_ASSERT(status == QUARRY_OK); /* invariant 1 of config.c */
    return serve_address_is_loopback(&address);
}

/* A door that other machines can reach, without a login, is for those who say that they want it. */
static void check_door(const struct serve_config *config, enum serve_key key,
                       struct serve_told *told)
{
    struct serve_address_list list;
    enum quarry_status status =
        serve_address_list_parse(serve_config_text(config, key), &list, NULL);

    Q_ASSERT(status == QUARRY_OK);
    if (serve_config_has_users(config) || serve_config_number(config, SERVE_SERVER_INSECURE) != 0) {
        return;
    }
    for (uint32_t i = 0; i < list.count; i++) {
        if (!is_local(list.texts[i])) {
            serve_told_say(
                told, QUARRY_PERMISSION,
                "%s: %s = %.60s: other machines could use it without a login. Add users (a "
                "section [user NAME], or users.file), or allow it with --insecure",
                serve_config_origin(config, key), serve_setting(key)->key, list.texts[i]);
        }
    }
}

static void check_tls(const struct serve_config *config, enum serve_key key,
                      struct serve_told *told)
{
    bool is_wanted = strcmp(serve_config_text(config, key), "off") != 0;

    if (is_wanted && serve_config_text(config, SERVE_TLS_CERTIFICATE)[0] == '\0') {
        serve_told_say(told, QUARRY_BAD_INPUT, "%s: %s needs tls.certificate",
                       serve_config_origin(config, key), serve_setting(key)->key);
    }
}

/* A door that somebody asked for needs a folder for what it stores; the default one does without
 * it. */
static void check_resp(const struct serve_config *config, enum serve_key key,
                       struct serve_told *told)
{
    bool is_asked_for = strcmp(serve_config_origin(config, key), "default") != 0 &&
                        strcmp(serve_config_text(config, key), "off") != 0;

    if (is_asked_for && strcmp(serve_config_text(config, SERVE_SERVER_DATA), SERVE_DATA_OFF) == 0) {
        serve_told_say(
            told, QUARRY_BAD_INPUT,
            "%s: %s = %.60s: what clients of the RESP door write is kept in server.data, "
            "which is off (%s)",
            serve_config_origin(config, key), serve_setting(key)->key,
            serve_config_text(config, key), serve_config_origin(config, SERVE_SERVER_DATA));
    }
}

enum quarry_status serve_config_check(const struct serve_config *config,
                                      serve_config_tell_function *tell_all, void *argument,
                                      struct quarry_error *error)
{
    struct serve_told told = {.tell = tell_all, .argument = argument, .error = error};

    Q_ASSERT(config != NULL);
    check_memory(config, &told);
    check_folder(config, &told);
    check_window(config, &told);
    check_tenants(config, &told);
    for (uint32_t i = 0; i < serve_config_group_count(config, SERVE_USERS); i++) {
        check_user(config, i, &told);
    }
    server_scrape_check(config, &told);
    check_door(config, SERVE_MEMCACHED_LISTEN, &told);
    check_door(config, SERVE_MEMCACHED_LISTEN_TLS, &told);
    check_tls(config, SERVE_MEMCACHED_LISTEN_TLS, &told);
    check_door(config, SERVE_HTTP_LISTEN, &told);
    check_door(config, SERVE_HTTP_LISTEN_TLS, &told);
    check_tls(config, SERVE_HTTP_LISTEN_TLS, &told);
    if (serve_config_wants_resp(config)) {
        check_door(config, SERVE_RESP_LISTEN, &told);
        check_door(config, SERVE_RESP_LISTEN_TLS, &told);
        check_tls(config, SERVE_RESP_LISTEN_TLS, &told);
        check_not_above(config, SERVE_KV_MEMORY, SERVE_MEMORY_LIMIT, 1, &told);
    }
    check_resp(config, SERVE_RESP_LISTEN, &told);
    check_resp(config, SERVE_RESP_LISTEN_TLS, &told);
    return told.first;
}
