/*
 * The console's buttons: what an administrator may do to a server that serves.
 *
 *     GET  /api/v1/actions         the token, and names            right admin, this origin's pages
 *     POST /api/v1/actions/NAME    does it                         the same, and the token
 *
 * A browser sends passwords along with requests that a stranger's page makes it send. Three things
 * keep those out, each enough by itself: the door looks at Host and Origin of all that changes
 * something; browsers say in Sec-Fetch-Site whose page asks; and a field X-Quarry-Token has to have
 * what only a page of this origin can have read. The token is random, and this process' alone.
 *
 * Each action is logged with who asked for it, and what came of it. There are ACTIONS_A_MINUTE of
 * them, refused ones with a good token included: all of them cost work.
 *
 * What an action does is what a command of another door does as well: nothing new can go wrong. No
 * action removes a window of samples, or a single key.
 *
 * Locking: a mutex, a leaf, for the count.
 */
#include <serve/server_actions.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#include <quarry/kv.h>
#include <serve/api/json.h>
#include <serve/api/running.h>
#include <serve/log.h>
#include <serve/server_state.h>

#define TOKEN_BYTES 32u
/* Twice as many are too many for a person, and few for a script. */
#define ACTIONS_A_MINUTE 30u
#define MINUTE_NS        (60 * Q_SECOND_NS)
/* Of a parameter: a tenant's name, a size. */
#define VALUE_BYTES 256u
/* As many as a setting that is changed while serving is kept with. */
#define LIMIT_BYTES sizeof((struct server_override *)0)->value

static struct {
    char token[2 * TOKEN_BYTES + 1]; /* in hexadecimals; "": there is none. Const after opening */
    struct os_mutex mutex;
    uint64_t minute_ns; /* guarded by mutex: when it began */
    uint32_t count;     /* guarded by mutex: in this minute */
} actions;

/* What came of an action. */
struct result {
    enum quarry_status status;
    struct quarry_error error;
    char text[128]; /* of a good one */
};

typedef void action_function(struct server *server, const char *value, struct result *result);

/* ---- what may be done ----------------------------------------------------------------------- */

static void say(struct result *result, const char *text)
{
    if (result->status == QUARRY_OK) {
        (void)snprintf(result->text, sizeof result->text, "%s", text);
    }
}

static void scavenge(struct server *server, const char *value, struct result *result)
{
    uint64_t bytes = quarry_memory_trim(server->memory);

    (void)value;
    (void)snprintf(result->text, sizeof result->text, "%" PRIu64 " bytes given back", bytes);
}

/* NULL: there is none, which is said. */
static struct quarry_kv *store_of(const struct server *server, struct result *result)
{
    if (server->keyspace == NULL) {
        result->status = error_set(&result->error, QUARRY_NOT_FOUND, "there is no key-value store");
        return NULL;
    }
    return keyspace_kv(server->keyspace);
}

static void flush_kv(struct server *server, const char *value, struct result *result)
{
    struct quarry_kv *kv = store_of(server, result);

    (void)value;
    if (kv != NULL) {
        result->status = quarry_kv_flush(kv, &result->error);
        say(result, "what was in memory is in files");
    }
}

static void compact_kv(struct server *server, const char *value, struct result *result)
{
    const struct quarry_kv_slice all = {0};
    struct quarry_kv *kv = store_of(server, result);

    (void)value;
    if (kv != NULL) {
        result->status = quarry_kv_compact_range(kv, all, all, &result->error);
        say(result, "all files are merged");
    }
}

static void flush_tenant(struct server *server, const char *value, struct result *result)
{
    const char *name = strcmp(value, "default") == 0 ? "" : value;
    struct quarry_cache_tenant *tenant = serve_tenants_find(server->tenants, name);

    if (tenant == NULL) {
        result->status =
            error_set(&result->error, QUARRY_NOT_FOUND, "there is no tenant '%.100s'", value);
        return;
    }
    quarry_cache_flush(tenant, 0);
    say(result, "its items are gone");
}

static void set_limit(struct server *server, const char *value, struct result *result)
{
    if (strlen(value) >= LIMIT_BYTES) {
        result->status = error_set(&result->error, QUARRY_BAD_INPUT, "memory.limit is a size");
        return;
    }
    result->status = server_ask_change(server, "memory.limit", value, &result->error);
    say(result, "it is in force until the next reload");
}

static void cancel_query(struct server *server, const char *value, struct result *result)
{
    result->status = server->tsdb == NULL
                         ? error_set(&result->error, QUARRY_NOT_FOUND, "there are no queries")
                         : api_running_cancel(server->tsdb->running, value, &result->error);
    say(result, "it ends at its next look around");
}

static const struct action {
    const char *name;
    const char *title; /* on the button */
    const char *what;  /* happens, for who is asked whether it shall */
    const char *param; /* "": it takes none */
    action_function *run;
} table[] = {
    {"scavenge", "Give free memory back",
     "Memory that is free goes back to the kernel, and costs a page fault when it is used again.",
     "", scavenge},
    {"flush_kv", "Flush memtables", "What the key-value store has in memory is written to files.",
     "", flush_kv},
    {"compact_kv", "Compact the key-value store",
     "All files are merged into the last level: disk and CPU are busy meanwhile.", "", compact_kv},
    {"flush_tenant", "Flush a tenant of the cache",
     "All items that the tenant has in the cache are gone.", "tenant", flush_tenant},
    {"set_limit", "Change the memory limit",
     "The server has this much from now on; less takes from the cache and the stores.", "limit",
     set_limit},
    {"cancel_query", "End a query", "Who asked is told that the query was canceled.", "id",
     cancel_query},
};
#define ACTION_COUNT (sizeof table / sizeof table[0])

/* ---- who may ask ---------------------------------------------------------------------------- */

/* Whether a browser says that another origin's page asks; others than browsers say nothing. */
static bool is_strange(const struct http_call *call)
{
    struct http_slice site;

    return http_header(call, "sec-fetch-site", &site) && !http_slice_is(site, "same-origin") &&
           !http_slice_is(site, "none");
}

/* In the same time whatever it is. */
static bool has_token(const struct http_call *call)
{
    const size_t bytes = sizeof actions.token - 1;
    struct http_slice token;

    return actions.token[0] != '\0' && http_header(call, "x-quarry-token", &token) &&
           token.count == bytes && CRYPTO_memcmp(token.bytes, actions.token, bytes) == 0;
}

static bool is_in_time(void)
{
    uint64_t now_ns = os_monotonic_ns(os_real());

    os_mutex_lock(&actions.mutex);
    if (sat_sub_u64(now_ns, actions.minute_ns) >= MINUTE_NS) {
        actions.minute_ns = now_ns;
        actions.count = 0;
    }
    bool is_so = actions.count < ACTIONS_A_MINUTE;
    actions.count += is_so ? 1 : 0;
    os_mutex_unlock(&actions.mutex);
    return is_so;
}

static void refuse(struct http_call *call, uint32_t status, const char *type, const char *text)
{
    call->status = status;
    call->content_type = "application/json";
    http_text_format(&call->body_out,
                     "{\"status\":\"error\",\"errorType\":\"%s\",\"error\":", type);
    api_put_words(&call->body_out, text);
    http_text_say(&call->body_out, "}\n");
}

/* ---- answers -------------------------------------------------------------------------------- */

enum http_outcome server_answer_actions(struct http_call *call)
{
    struct http_text *text = &call->body_out;

    if (is_strange(call)) {
        refuse(call, 403, "forbidden", "the token is for pages of this server");
        return HTTP_DONE;
    }
    call->content_type = "application/json";
    http_text_say(text, "{\"status\":\"success\",\"data\":{\"token\":");
    api_put_words(text, actions.token);
    for (size_t i = 0; i < ACTION_COUNT; i++) {
        http_text_say(text, i == 0 ? ",\"actions\":[{\"name\":" : ",{\"name\":");
        api_put_words(text, table[i].name);
        http_text_say(text, ",\"title\":");
        api_put_words(text, table[i].title);
        http_text_say(text, ",\"what\":");
        api_put_words(text, table[i].what);
        http_text_say(text, ",\"param\":");
        api_put_words(text, table[i].param);
        http_text_say(text, "}");
    }
    http_text_say(text, "]}}\n");
    return HTTP_DONE;
}

/* The action's parameter. False: it is missing, too long or has a NUL, which was answered. */
static bool read_value(struct http_call *call, const struct action *action, char *ret_value)
{
    struct http_slice value = {"", 0};

    ret_value[0] = '\0';
    if (action->param[0] == '\0') {
        return true;
    }
    if (!http_param(call, action->param, &value) || value.count == 0 ||
        value.count >= VALUE_BYTES || memchr(value.bytes, '\0', value.count) != NULL) {
        refuse(call, 400, "bad_data", "the action's parameter is missing, or no such value");
        return false;
    }
    memcpy(ret_value, value.bytes, value.count);
    ret_value[value.count] = '\0';
    return true;
}

static void run(struct http_call *call, const struct action *action, const char *value)
{
    struct result result = {.status = QUARRY_OK};

    action->run(call->argument, value, &result);
    bool is_done = result.status == QUARRY_OK;
    serve_log(is_done ? SERVE_LOG_INFO : SERVE_LOG_WARNING, "action",
              serve_log_text("user", call->identity.name), serve_log_text("action", action->name),
              serve_log_text("value", value),
              serve_log_text("result", is_done ? result.text : result.error.text));
    if (!is_done) {
        refuse(call, (uint32_t)quarry_status_http(result.status), "execution", result.error.text);
        return;
    }
    call->content_type = "application/json";
    http_text_say(&call->body_out, "{\"status\":\"success\",\"data\":{\"result\":");
    api_put_words(&call->body_out, result.text);
    http_text_say(&call->body_out, "}}\n");
}

/* NULL: there is none of that name. */
static const struct action *find(struct http_slice name)
{
    for (size_t i = 0; i < ACTION_COUNT; i++) {
        if (http_slice_equals(name, table[i].name)) {
            return &table[i];
        }
    }
    return NULL;
}

static enum http_outcome answer(struct http_call *call, const struct action *action)
{
    char value[VALUE_BYTES];

    if (is_strange(call) || !has_token(call)) {
        refuse(call, 403, "forbidden", "X-Quarry-Token is not what GET /api/v1/actions told");
    } else if (action == NULL) {
        refuse(call, 404, "not_found", "there is no such action");
    } else if (!is_in_time()) {
        http_say_field(call, "Retry-After", "60");
        refuse(call, 429, "too_many", "30 actions a minute are as many as may be");
    } else if (read_value(call, action, value)) {
        run(call, action, value);
    }
    return HTTP_DONE;
}

enum http_outcome server_answer_cancel(struct http_call *call)
{
    return answer(call, find(HTTP_SLICE("cancel_query")));
}

enum http_outcome server_answer_action(struct http_call *call)
{
    return answer(call, find(http_segment(call, 0)));
}

/* ---- opening -------------------------------------------------------------------------------- */

bool server_open_actions(void)
{
    unsigned char bytes[TOKEN_BYTES];

    os_mutex_init(&actions.mutex, OS_RANK_LEAF, 0);
    actions.token[0] = '\0';
    if (!os_random(bytes, sizeof bytes)) {
        return false;
    }
    for (size_t i = 0; i < sizeof bytes; i++) {
        (void)snprintf(actions.token + 2 * i, 3, "%02x", bytes[i]);
    }
    return true;
}
