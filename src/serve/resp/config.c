/*
 * CONFIG: Redis' names for settings, mapped to those of the server.
 *
 *   maxmemory ──────────── memory.limit          a row has how the value is told, and how it is
 *   maxclients ─────────── net.connections_max   changed: by the server (a key of its own), by this
 *   slowlog-max-len ────── here                  door, or not while serving
 *
 * What can be changed is changed until the server ends or reads its configuration again; files are
 * never written. A setting that exists in Redis alone is told as what it comes to here, so that
 * tools that look for it find it, and setting it to that same value is allowed: start scripts of
 * test tools do so.
 *
 * CONFIG SET checks all pairs before it changes the first. Error texts are Redis'.
 */
#include <os/os.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <serve/resp/config_rows.h>
#include <serve/resp/glob.h>
#include <serve/resp/server_commands.h>

/* ---- CONFIG GET ----------------------------------------------------------------------------- */

#define PATTERN_BYTES_MAX 256u

/* Names are in lower case: so are patterns made. What is longer than any name matches none. */
static bool matches(struct quarry_kv_slice word, const char *name)
{
    char lower[PATTERN_BYTES_MAX];

    if (word.byte_count > sizeof lower) {
        return false;
    }
    for (size_t i = 0; i < word.byte_count; i++) {
        char c = ((const char *)word.bytes)[i];
        lower[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    return resp_glob_matches((struct quarry_kv_slice){lower, word.byte_count},
                             (struct quarry_kv_slice){name, strlen(name)});
}

static bool is_asked_for(const struct resp_call *call, const struct resp_config_row *row)
{
    for (size_t i = 2; i < call->word_count; i++) {
        if (matches(call->words[i], row->name)) {
            return true;
        }
    }
    return false;
}

enum resp_outcome resp_config_get(struct resp_call *call)
{
    struct resp_settings settings;
    bool is_told[RESP_CONFIG_ROWS_MAX];
    char text[RESP_CONFIG_TEXT_BYTES];
    const struct resp_config_row *row;
    size_t told = 0;

    resp_admin_read_settings(&settings);
    for (size_t i = 0; (row = resp_config_row(i)) != NULL; i++) {
        is_told[i] = is_asked_for(call, row);
        told += is_told[i] ? 1 : 0;
    }
    resp_say_map(call->reply, told);
    for (size_t i = 0; (row = resp_config_row(i)) != NULL; i++) {
        if (is_told[i]) {
            resp_say_text(call->reply, row->name);
            resp_say_text(call->reply, resp_config_text(row, &settings, text));
        }
    }
    return RESP_ANSWERED;
}

/* ---- CONFIG SET ----------------------------------------------------------------------------- */

/* As many pairs as there are names. */
struct pair {
    const struct resp_config_row *row;
    int64_t number;
};

static enum resp_outcome refuse(struct resp_call *call, const char *name, const char *why)
{
    resp_say_error(call->reply, "ERR CONFIG SET failed (possibly related to argument '%s') - %s",
                   name, why);
    return RESP_ANSWERED;
}

/* A number with one of Redis' units behind it: "100mb". */
static bool read_memory(struct quarry_kv_slice word, int64_t *ret_number)
{
    static const struct {
        const char *name;
        int64_t factor;
    } units[] = {{"", 1},           {"b", 1},
                 {"k", 1000},       {"kb", 1024},
                 {"m", 1000000},    {"mb", 1024 * 1024},
                 {"g", 1000000000}, {"gb", 1024 * 1024 * 1024}};
    const char *bytes = word.bytes;
    size_t digits = 0;

    while (digits < word.byte_count && bytes[digits] >= '0' && bytes[digits] <= '9') {
        digits++;
    }
    struct quarry_kv_slice unit = {bytes + digits, word.byte_count - digits};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (resp_is(unit, units[i].name)) {
            return resp_read_integer((struct quarry_kv_slice){bytes, digits}, ret_number) &&
                   !__builtin_mul_overflow(*ret_number, units[i].factor, ret_number);
        }
    }
    return false;
}

/* What is wrong with a value of a row that can be changed; NULL: nothing. */
static const char *check_number(const struct resp_config_row *row, struct quarry_kv_slice word,
                                int64_t *ret_number, char why[128])
{
    if (row->kind == RESP_CONFIG_MEMORY) {
        return read_memory(word, ret_number) ? NULL : "argument must be a memory value";
    }
    if (!resp_read_integer(word, ret_number)) {
        return "argument couldn't be parsed into an integer";
    }
    if (*ret_number < row->least || *ret_number > row->most) {
        (void)snprintf(why, 128, "argument must be between %" PRId64 " and %" PRId64 " inclusive",
                       row->least, row->most);
        return why;
    }
    return NULL;
}

/* The same of one that cannot: it can be set to what it is. */
static const char *check_fixed(const struct resp_config_row *row, struct quarry_kv_slice word,
                               const struct resp_settings *settings)
{
    char text[RESP_CONFIG_TEXT_BYTES];

    (void)resp_config_text(row, settings, text);
    bool is_same =
        strlen(text) == word.byte_count && memcmp(text, word.bytes, word.byte_count) == 0;

    return is_same                              ? NULL
           : row->kind == RESP_CONFIG_IMMUTABLE ? "can't set immutable config"
                                                : "it is as the server is made, and stays so";
}

/* All pairs. False: an error was said. */
static bool check_pairs(struct resp_call *call, struct pair *pairs, size_t pair_count)
{
    struct resp_settings settings;
    char why_room[128];

    resp_admin_read_settings(&settings);
    for (size_t i = 0; i < pair_count; i++) {
        struct quarry_kv_slice name = call->words[2 + 2 * i], value = call->words[3 + 2 * i];
        const struct resp_config_row *row = resp_config_find(name);
        if (row == NULL) {
            resp_say_error(call->reply,
                           "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                           (int)size_min(name.byte_count, 128), (const char *)name.bytes);
            return false;
        }
        for (size_t k = 0; k < i; k++) {
            if (pairs[k].row == row) {
                (void)refuse(call, row->name, "duplicate parameter");
                return false;
            }
        }
        pairs[i].row = row;
        const char *why = row->is_live ? check_number(row, value, &pairs[i].number, why_room)
                                       : check_fixed(row, value, &settings);
        if (why != NULL) {
            (void)refuse(call, row->name, why);
            return false;
        }
    }
    return true;
}

/* Has the server change a setting of its own. */
static enum quarry_status change_server(const struct pair *pair, struct quarry_error *error)
{
    const struct resp_hooks *hooks = &resp_admin_settings()->hooks;
    char value[32];

    if (hooks->change_setting == NULL) {
        return error_set(error, QUARRY_UNSUPPORTED, "the server cannot change it");
    }
    (void)snprintf(value, sizeof value, "%" PRId64 "%s", pair->number,
                   pair->number == 0 ? "" : pair->row->unit);
    return hooks->change_setting(hooks->argument, pair->row->key,
                                 pair->number == 0 ? pair->row->zero : value, error);
}

enum resp_outcome resp_config_set(struct resp_call *call)
{
    size_t pair_count = (call->word_count - 2) / 2;
    struct pair pairs[RESP_CONFIG_ROWS_MAX];

    if (!call->may_wait) {
        return RESP_BUSY;
    }
    if (call->word_count % 2 != 0) {
        resp_say_wrong_arity(call->reply, call->command);
        return RESP_ANSWERED;
    }
    if (pair_count > RESP_CONFIG_ROWS_MAX) {
        return refuse(call, "more names than there are", "duplicate parameter");
    }
    if (!check_pairs(call, pairs, pair_count)) {
        return RESP_ANSWERED;
    }
    for (size_t i = 0; i < pair_count; i++) {
        struct quarry_error error = {0};
        if (pairs[i].row->set != NULL) {
            pairs[i].row->set(pairs[i].number);
        } else if (pairs[i].row->is_live && change_server(&pairs[i], &error) != QUARRY_OK) {
            return refuse(call, pairs[i].row->name, error.text);
        }
    }
    resp_say_ok(call->reply);
    return RESP_ANSWERED;
}

/* ---- the others ----------------------------------------------------------------------------- */

enum resp_outcome resp_config_resetstat(struct resp_call *call)
{
    resp_admin_reset();
    resp_say_ok(call->reply);
    return RESP_ANSWERED;
}

enum resp_outcome resp_config_rewrite(struct resp_call *call)
{
    struct resp_settings settings;

    resp_admin_read_settings(&settings);
    if (settings.config_path[0] == '\0') {
        resp_say_error(call->reply, "ERR The server is running without a config file");
    } else {
        resp_say_error(call->reply,
                       "ERR the configuration is in %s, which the server reads and never writes",
                       settings.config_path);
    }
    return RESP_ANSWERED;
}

enum resp_outcome resp_config_help(struct resp_call *call)
{
    static const char *const lines[] = {
        "GET <pattern> [<pattern> ...]",
        "    Settings whose names match, with their values, under the names that Redis has.",
        "SET <name> <value> [<name> <value> ...]",
        "    Changes settings until the server ends or reads its configuration again.",
        "RESETSTAT",
        "    Begins the counts of INFO anew.",
        "REWRITE",
        "    Says where the configuration is; the server does not write it.",
        NULL,
    };

    resp_say_help(call, lines);
    return RESP_ANSWERED;
}
