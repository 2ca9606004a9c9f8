/*
 * The net by the configuration: limits, certificates, listening sockets.
 *
 * "off" is 0 among settings and SERVE_NO_LIMIT in the net; "auto" is 0 in both.
 *
 * Lists of files in settings are taken apart in a copy, whose pieces the options borrow.
 *
 * Locking: none; the main thread's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <serve/door_http.h>
#include <serve/door_memcached.h>
#include <serve/door_resp.h>
#include <serve/server_state.h>

static uint64_t or_no_limit(const struct serve_config *config, enum serve_key key)
{
    uint64_t number = serve_config_number(config, key);

    return number != 0 ? number : SERVE_NO_LIMIT;
}

void server_net_limits(const struct serve_config *config, struct serve_limits *ret_limits)
{
    *ret_limits = (struct serve_limits){
        .connections_max = serve_config_number(config, SERVE_NET_CONNECTIONS_MAX),
        .idle_timeout_ns = or_no_limit(config, SERVE_NET_IDLE_TIMEOUT),
        .line_deadline_ns = or_no_limit(config, SERVE_NET_LINE_TIMEOUT),
        .body_grace_ns = or_no_limit(config, SERVE_NET_BODY_GRACE),
        .body_bytes_per_second = serve_config_number(config, SERVE_NET_BODY_RATE_MIN),
        .reader_patience_ns = or_no_limit(config, SERVE_NET_READER_TIMEOUT),
        .drain_ns = serve_config_number(config, SERVE_NET_DRAIN_TIMEOUT),
        .output_bytes_max = serve_config_number(config, SERVE_NET_OUTPUT_MAX),
    };
    if (ret_limits->body_bytes_per_second == 0) { /* off: no speed is too low */
        ret_limits->body_grace_ns = SERVE_NO_LIMIT;
    }
    if (ret_limits->drain_ns == 0) { /* off: nothing is waited for */
        ret_limits->drain_ns = 1;
    }
}

void server_note_limits(struct server *server, const struct serve_config *config)
{
    /* Relaxed: each stands alone. */
    atomic_store_relaxed_u64(&server->connections_max,
                             serve_config_number(config, SERVE_NET_CONNECTIONS_MAX));
    atomic_store_relaxed_u64(&server->idle_timeout_seconds,
                             serve_config_number(config, SERVE_NET_IDLE_TIMEOUT) / Q_SECOND_NS);
}

/* ---- certificates --------------------------------------------------------------------------- */

/* Options of TLS, and the texts that they borrow. */
struct tls_plan {
    struct serve_tls_options options;
    char certificates[SERVE_VALUE_TEXT_BYTES];
    char keys[SERVE_VALUE_TEXT_BYTES];
};

/* The next piece of a list with commas, without blanks around it; NULL: none is left. */
static char *next_piece(char **at)
{
    char *piece = *at;

    if (piece == NULL || *piece == '\0') {
        return NULL;
    }
    char *comma = strchr(piece, ',');
    *at = comma != NULL ? comma + 1 : NULL;
    char *end = comma != NULL ? comma : piece + strlen(piece);
    while (end > piece && end[-1] == ' ') {
        end--;
    }
    *end = '\0';
    return piece + strspn(piece, " ");
}

static const char *or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

static enum quarry_status plan_tls(const struct serve_config *config, struct tls_plan *plan,
                                   struct quarry_error *error)
{
    char *certificates = plan->certificates, *keys = plan->keys, *piece;

    plan->options = (struct serve_tls_options){
        .ssl_ca_cert = or_null(serve_config_text(config, SERVE_TLS_CLIENT_CA)),
        .ssl_verify_mode = (enum serve_tls_verify)serve_config_number(config, SERVE_TLS_CLIENTS),
        .ssl_min_version =
            (enum serve_tls_version)serve_config_number(config, SERVE_TLS_VERSION_MIN),
        .ssl_ciphers = or_null(serve_config_text(config, SERVE_TLS_CIPHERS)),
        .ssl_session_cache = serve_config_number(config, SERVE_TLS_SESSION_CACHE) != 0,
        .ssl_kernel_tls = serve_config_number(config, SERVE_TLS_KERNEL) != 0,
    };
    (void)serve_config_format(config, SERVE_TLS_CERTIFICATE, certificates);
    (void)serve_config_format(config, SERVE_TLS_KEY, keys);
    while ((piece = next_piece(&certificates)) != NULL) {
        if (plan->options.certificate_count == SERVE_CERTIFICATES_MAX) {
            return error_set(error, QUARRY_TOO_MANY, "tls.certificate: more than %u files",
                             SERVE_CERTIFICATES_MAX);
        }
        plan->options.certificates[plan->options.certificate_count++] =
            (struct serve_certificate){.ssl_chain_cert = piece, .ssl_key = next_piece(&keys)};
    }
    return QUARRY_OK;
}

static bool wants_tls(const struct serve_config *config)
{
    return strcmp(serve_config_text(config, SERVE_MEMCACHED_LISTEN_TLS), "off") != 0 ||
           strcmp(serve_config_text(config, SERVE_RESP_LISTEN_TLS), "off") != 0 ||
           strcmp(serve_config_text(config, SERVE_HTTP_LISTEN_TLS), "off") != 0;
}

enum quarry_status server_tls_open(struct server *server, struct quarry_error *error)
{
    struct tls_plan plan;

    if (!wants_tls(server->config)) {
        return QUARRY_OK;
    }
    enum quarry_status status = plan_tls(server->config, &plan, error);
    return status == QUARRY_OK ? serve_tls_create(&plan.options, &server->tls, error) : status;
}

enum quarry_status server_tls_reload(struct server *server, const struct serve_config *config,
                                     struct quarry_error *error)
{
    struct tls_plan plan;

    if (server->tls == NULL) {
        return QUARRY_OK;
    }
    enum quarry_status status = plan_tls(config, &plan, error);
    return status == QUARRY_OK ? serve_tls_reload(server->tls, &plan.options, error) : status;
}

/* ---- listening ------------------------------------------------------------------------------ */

/* A door, and the settings that say where it is. */
struct door_place {
    const struct serve_door *door;
    const struct serve_replies *replies;
    enum serve_key listen, listen_tls, unix_mode;
    const char *option;
};

static const struct door_place memcached_place = {
    &memcached_door,           &serve_replies_memcached,
    SERVE_MEMCACHED_LISTEN,    SERVE_MEMCACHED_LISTEN_TLS,
    SERVE_MEMCACHED_UNIX_MODE, "--memcached",
};
static const struct door_place resp_place = {
    &resp_door, &serve_replies_resp, SERVE_RESP_LISTEN, SERVE_RESP_LISTEN_TLS, SERVE_RESP_UNIX_MODE,
    "--resp",
};

static const struct door_place http_place = {
    &http_door, &serve_replies_http, SERVE_HTTP_LISTEN, SERVE_HTTP_LISTEN_TLS, SERVE_HTTP_UNIX_MODE,
    "--http",
};

static mode_t unix_mode(const struct serve_config *config, enum serve_key key)
{
    static const mode_t modes[] = {0600, 0660, 0666}; /* as the words of the setting */
    uint64_t place = serve_config_number(config, key);

    Q_ASSERT(place < sizeof modes / sizeof modes[0]);
    return modes[place];
}

static enum quarry_status listen_on(struct server *server, const struct door_place *place,
                                    const char *address, struct serve_tls *tls,
                                    struct quarry_error *error)
{
    bool needs_login = serve_config_has_users(server->config);
    struct serve_listener_options options = {
        .address = address,
        .door = place->door,
        .replies = place->replies,
        .tls = tls,
        .needs_login = needs_login,
        .unix_mode = unix_mode(server->config, place->unix_mode),
        .backlog = (uint32_t)serve_config_number(server->config, SERVE_NET_BACKLOG),
    };
    struct quarry_error inner = {0};

    if (!needs_login) {
        options.identity.tenant = quarry_cache_default_tenant(server->cache);
        options.identity.rights = SERVE_ALL;
    }
    enum quarry_status status =
        serve_net_listen(server->net, &options, &server->listeners[server->listener_count], &inner);
    if (status == QUARRY_BUSY) {
        return error_set(error, status,
                         "%.140s; end who has it, or choose another with %s ADDRESS:PORT",
                         inner.text, place->option);
    }
    if (status != QUARRY_OK) {
        return error_set(error, status, "%s", inner.text);
    }
    server->doors[server->listener_count] = place->door;
    server->has_tls[server->listener_count++] = tls != NULL;
    return QUARRY_OK;
}

static enum quarry_status listen_on_all(struct server *server, const struct door_place *place,
                                        enum serve_key key, struct serve_tls *tls,
                                        struct quarry_error *error)
{
    struct serve_address_list list;
    enum quarry_status status =
        serve_address_list_parse(serve_config_text(server->config, key), &list, error);

    for (uint32_t i = 0; status == QUARRY_OK && i < list.count; i++) {
        status = listen_on(server, place, list.texts[i], tls, error);
    }
    return status;
}

static enum quarry_status listen_door(struct server *server, const struct door_place *place,
                                      struct quarry_error *error)
{
    enum quarry_status status = listen_on_all(server, place, place->listen, NULL, error);

    return status == QUARRY_OK ? listen_on_all(server, place, place->listen_tls, server->tls, error)
                               : status;
}

/* Of several addresses the first that is an interface, and the first that is a file. */
static void tell_address(const struct server *server)
{
    struct memcached_address address = {.port = 0};

    for (uint32_t i = 0; i < server->listener_count; i++) {
        if (server->doors[i] != &memcached_door) {
            continue;
        }
        const char *name = serve_listener_name(server->listeners[i]);
        const char *colon = strrchr(name, ':');
        bool is_unix = strncmp(name, "unix:", 5) == 0;

        if (is_unix && address.unix_socket[0] == '\0') {
            (void)snprintf(address.unix_socket, sizeof address.unix_socket, "%s", name + 5);
        } else if (!is_unix && address.interface[0] == '\0' && colon != NULL) {
            (void)snprintf(address.interface, sizeof address.interface, "%.*s", (int)(colon - name),
                           name);
            address.port = serve_listener_port(server->listeners[i]);
        }
    }
    memcached_set_address(&address);
}

enum quarry_status server_listen(struct server *server, struct quarry_error *error)
{
    enum quarry_status status = listen_door(server, &memcached_place, error);

    if (status == QUARRY_OK && server->has_resp) {
        status = listen_door(server, &resp_place, error);
    }
    if (status == QUARRY_OK && server->has_http) {
        status = listen_door(server, &http_place, error);
    }
    tell_address(server);
    return status;
}
