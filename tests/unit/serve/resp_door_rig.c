#include "unit/serve/resp_door_rig.h"

#include <stdlib.h>
#include <string.h>

#include <serve/resp/admin.h>

static uint64_t now_ms(void *argument)
{
    (void)argument;
    return UINT64_C(2000000000000);
}

static void open_keyspace(struct resp_door_rig *rig)
{
    const struct quarry_kv_options kv_options = {.vfs = rig->disk,
                                                 .create_if_missing = true,
                                                 .write_buffer_bytes = Q_MIB(4),
                                                 .memory_bytes = Q_MIB(256),
                                                 .is_stepped = true};
    const struct keyspace_options options = {.now_ms = now_ms};
    enum quarry_status status =
        keyspace_open(rig->memory, "/db", &kv_options, &options, &rig->keyspace, NULL);

    Q_ASSERT(status == QUARRY_OK);
}

static void open_door(struct resp_door_rig *rig, const struct resp_door_settings *settings)
{
    struct resp_door_settings own = settings != NULL ? *settings : (struct resp_door_settings){0};
    const struct resp_admin_settings admin = {.memory = rig->memory,
                                              .keyspace = rig->keyspace,
                                              .version = "0",
                                              .worker_count = 1,
                                              .slowlog_us = -1};

    own.memory = rig->memory;
    own.keyspace = rig->keyspace;
    own.worker_count = 1;
    Q_ASSERT(resp_admin_open(&admin, NULL) == QUARRY_OK);
    Q_ASSERT(resp_open(&own, NULL) == QUARRY_OK);
}

void resp_door_rig_open(struct resp_door_rig *rig, const struct resp_door_settings *settings)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(512), .has_no_thread = true};

    *rig = (struct resp_door_rig){.memory = NULL};
    Q_ASSERT(quarry_memory_create(&options, &rig->memory, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_vfs_memory_create(1, &rig->disk) == QUARRY_OK);
    open_keyspace(rig);
    open_door(rig, settings);
}

void resp_door_rig_close(struct resp_door_rig *rig)
{
    struct quarry_account_state root;

    resp_close(); /* asserts, by its lane, that no page is out */
    resp_admin_close();
    Q_ASSERT(keyspace_close(rig->keyspace, NULL) == QUARRY_OK); /* and here that no value is */
    quarry_vfs_memory_destroy(rig->disk);
    if (quarry_memory_accounts(rig->memory, &root, 1) != 0) {
        Q_ASSERT(root.charged_bytes == 0);
    }
    quarry_memory_destroy(rig->memory);
}

uint64_t resp_door_rig_bytes(const struct resp_door_rig *rig)
{
    struct quarry_account_state states[64];
    size_t count = quarry_memory_accounts(rig->memory, states, 64);

    for (size_t i = 0; i < count && i < 64; i++) {
        if (strcmp(states[i].name, "resp") == 0) {
            return states[i].charged_bytes;
        }
    }
    Q_UNREACHABLE();
}

struct serve_connection *resp_connect(bool needs_login, size_t taken_a_turn)
{
    struct fake_options options = {.door = &resp_door,
                                   .needs_login = needs_login,
                                   .taken_a_turn = taken_a_turn,
                                   .may_yield_empty = true};

    if (!needs_login) {
        options.identity.rights = SERVE_ALL;
    }
    return fake_open(&options);
}

const char *resp_talk(struct serve_connection *connection, const char *bytes, size_t byte_count,
                      size_t piece_bytes)
{
    static char *answer;
    size_t step = piece_bytes == 0 ? byte_count : piece_bytes;
    size_t answer_bytes = 0;

    for (size_t at = 0; at < byte_count && !fake_is_closed(connection); at += step) {
        fake_send(connection, bytes + at, size_min(step, byte_count - at));
        fake_await(connection);
    }
    fake_await(connection);
    const char *said = fake_answer(connection, &answer_bytes);
    free(answer);
    answer = malloc(answer_bytes + 1);
    Q_ASSERT(answer != NULL);
    memcpy(answer, said, answer_bytes);
    answer[answer_bytes] = '\0';
    return answer;
}

void resp_door_rig_empty(struct resp_door_rig *rig)
{
    struct serve_connection *connection = resp_connect(false, 0);
    static const char flush[] = "FLUSHALL\r\n";

    (void)rig;
    (void)resp_talk(connection, flush, sizeof flush - 1, 0);
    fake_close(connection);
}
