#include "unit/serve/resp_admin_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <quarry/vfs.h>

struct admin_rig admin_rig;

/* ---- the server ----------------------------------------------------------------------------- */

static uint64_t now_ms(void *argument)
{
    (void)argument;
    return atomic_load_relaxed_u64(&admin_rig.now_ms);
}

static void read_figures(void *argument, struct resp_figures *ret_figures)
{
    (void)argument;
    *ret_figures = admin_rig.figures;
}

static void read_settings(void *argument, struct resp_settings *ret_settings)
{
    (void)argument;
    *ret_settings = admin_rig.server;
}

static enum quarry_status change_setting(void *argument, const char *key, const char *value,
                                         struct quarry_error *error)
{
    (void)argument;
    (void)snprintf(admin_rig.changed_key, sizeof admin_rig.changed_key, "%s", key);
    (void)snprintf(admin_rig.changed_value, sizeof admin_rig.changed_value, "%s", value);
    return admin_rig.change_status == QUARRY_OK
               ? QUARRY_OK
               : error_set(error, admin_rig.change_status, "the machine has less");
}

static enum quarry_status list_clients(void *argument, struct resp_client **ret_clients,
                                       size_t *ret_count)
{
    (void)argument;
    *ret_clients = malloc(sizeof admin_rig.clients);
    assert_non_null(*ret_clients);
    memcpy(*ret_clients, admin_rig.clients, sizeof admin_rig.clients);
    *ret_count = admin_rig.client_count;
    return QUARRY_OK;
}

static bool kill_client(void *argument, uint64_t connection_id)
{
    (void)argument;
    admin_rig.killed[admin_rig.killed_count++] = connection_id;
    return true;
}

static enum quarry_status list_users(void *argument, struct resp_user **ret_users,
                                     size_t *ret_count)
{
    (void)argument;
    *ret_users = malloc(sizeof admin_rig.users);
    assert_non_null(*ret_users);
    memcpy(*ret_users, admin_rig.users, sizeof admin_rig.users);
    *ret_count = admin_rig.user_count;
    return QUARRY_OK;
}

static void shut_down(void *argument, bool is_graceful)
{
    (void)argument;
    admin_rig.shutdowns = is_graceful ? 1 : 2;
}

/* ---- around a test -------------------------------------------------------------------------- */

static void describe_server(void)
{
    admin_rig.figures = (struct resp_figures){.uptime_seconds = 90061,
                                              .connections = 3,
                                              .connections_ever = 12,
                                              .connections_rejected = 1,
                                              .bytes_read = 1000,
                                              .bytes_written = 2000,
                                              .receives = 7,
                                              .sends = 8,
                                              .total_ram_bytes = Q_GIB(4)};
    admin_rig.server = (struct resp_settings){.memory_limit_bytes = Q_MIB(512),
                                              .connections_max = 10000,
                                              .bulk_bytes_max = Q_MIB(32),
                                              .databases = 16,
                                              .backlog = 1024,
                                              .threads = 2,
                                              .port = 6379,
                                              .unix_mode = 0600,
                                              .durability = RESP_DURABLE_PROCESS,
                                              .bind = "127.0.0.1",
                                              .data_path = "/var/lib/quarry",
                                              .config_path = "/etc/quarry/quarry.conf",
                                              .log_level = "info"};
}

static void open_admin(void)
{
    struct quarry_error error = {0};

    admin_rig.settings = (struct resp_admin_settings){.memory = admin_rig.memory,
                                                      .keyspace = admin_rig.keyspace,
                                                      .version = "1.2.3",
                                                      .worker_count = 2,
                                                      .slowlog_us = 10000,
                                                      .slowlog_length = 4,
                                                      .latency_ms = 100,
                                                      .hooks = {.read_figures = read_figures,
                                                                .read_settings = read_settings,
                                                                .change_setting = change_setting,
                                                                .list_clients = list_clients,
                                                                .kill_client = kill_client,
                                                                .list_users = list_users,
                                                                .shutdown = shut_down}};
    assert_int_equal(resp_admin_open(&admin_rig.settings, &error), QUARRY_OK);
}

int admin_set_up(void **state)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(512), .has_no_thread = true};
    const struct keyspace_options keyspace_options = {.now_ms = now_ms};
    struct quarry_error error = {0};

    (void)state;
    admin_rig = (struct admin_rig){
        .session = {.id = 7, .protocol = 2, .is_logged_in = true, .created_ms = ADMIN_NOW_MS}};
    atomic_store_relaxed_u64(&admin_rig.now_ms, ADMIN_NOW_MS);
    assert_int_equal(quarry_memory_create(&options, &admin_rig.memory, &error), QUARRY_OK);
    assert_int_equal(quarry_vfs_memory_create(1, &admin_rig.disk), QUARRY_OK);
    const struct quarry_kv_options kv_options = {.vfs = admin_rig.disk,
                                                 .create_if_missing = true,
                                                 .write_buffer_bytes = Q_KIB(256),
                                                 .memory_bytes = Q_MIB(64),
                                                 .is_stepped = true};
    assert_int_equal(keyspace_open(admin_rig.memory, "/db", &kv_options, &keyspace_options,
                                   &admin_rig.keyspace, &error),
                     QUARRY_OK);
    describe_server();
    open_admin();
    return 0;
}

int admin_tear_down(void **state)
{
    struct quarry_error error = {0};

    (void)state;
    resp_admin_close();
    assert_int_equal(keyspace_close(admin_rig.keyspace, &error), QUARRY_OK);
    quarry_vfs_memory_destroy(admin_rig.disk);
    quarry_memory_destroy(admin_rig.memory);
    return 0;
}

/* ---- talking -------------------------------------------------------------------------------- */

static size_t split(char *line, struct quarry_kv_slice words[ADMIN_WORDS_MAX])
{
    char *rest = line;
    size_t count = 0;

    for (char *word; (word = strtok_r(rest, " ", &rest)) != NULL;) {
        assert_true(count < ADMIN_WORDS_MAX);
        words[count++] = (struct quarry_kv_slice){word, strcmp(word, "_") == 0 ? 0 : strlen(word)};
    }
    return count;
}

static void call_it(const struct quarry_kv_slice *words, size_t word_count,
                    struct resp_reply *reply)
{
    struct resp_call call = {
        .session = &admin_rig.session,
        .command = resp_command_find(words[0], word_count > 1 ? &words[1] : NULL),
        .words = words,
        .word_count = word_count,
        .reply = reply,
        .keyspace = admin_rig.keyspace,
        .now_ms = atomic_load_relaxed_u64(&admin_rig.now_ms),
    };

    if (call.command == NULL) {
        call.command = resp_command_find(words[0], NULL);
    }
    assert_non_null(call.command);
    admin_rig.session.last_command = call.command;
    if (call.command->function(&call) == RESP_BUSY) {
        call.may_wait = true;
        assert_int_not_equal(call.command->function(&call), RESP_BUSY);
    }
}

static char *say(const char *line, uint8_t protocol)
{
    struct resp_reply *reply = resp_reply_create(NULL, protocol);
    struct quarry_kv_slice words[ADMIN_WORDS_MAX];
    char *copy = strdup(line);

    assert_non_null(reply);
    assert_non_null(copy);
    admin_rig.session.protocol = protocol;
    call_it(words, split(copy, words), reply);
    struct quarry_kv_slice bytes = resp_reply_bytes(reply);
    char *answer = strndup(bytes.bytes == NULL ? "" : bytes.bytes, bytes.byte_count);
    assert_non_null(answer);
    resp_reply_destroy(reply);
    free(copy);
    return answer;
}

char *admin_say(const char *line)
{
    return say(line, 2);
}

char *admin_say3(const char *line)
{
    return say(line, 3);
}

/* "\r\n" as "|", in place. */
static void shorten(char *text)
{
    char *to = text;

    for (const char *from = text; *from != '\0'; from++) {
        if (from[0] == '\r' && from[1] == '\n') {
            *to++ = '|';
            from++;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

void admin_says(const char *line, const char *answered)
{
    char *answer = line[0] == '3' && line[1] == ' ' ? admin_say3(line + 2) : admin_say(line);

    shorten(answer);
    if (strcmp(answer, answered) != 0) {
        print_error("%s\n", line);
    }
    assert_string_equal(answer, answered);
    free(answer);
}

void admin_tells(const char *line, const char *part)
{
    char *answer = admin_say(line);

    if (strstr(answer, part) == NULL) {
        fail_msg("%s: no \"%s\" in:\n%s", line, part, answer);
    }
    free(answer);
}

void admin_put(const char *key, const char *value, uint64_t expires_ms)
{
    const struct quarry_kv_slice slice = {key, strlen(key)};
    const struct keyspace_keys keys = {admin_rig.session.scope, &slice, 1};
    struct keyspace_change change;
    struct quarry_error error = {0};

    assert_int_equal(keyspace_begin(admin_rig.keyspace, &keys, 1, 0, &change), QUARRY_OK);
    assert_int_equal(keyspace_put(&change, &admin_rig.session.scope, slice,
                                  (struct quarry_kv_slice){value, strlen(value)}, expires_ms),
                     QUARRY_OK);
    assert_int_equal(keyspace_commit(&change, &error), QUARRY_OK);
}
