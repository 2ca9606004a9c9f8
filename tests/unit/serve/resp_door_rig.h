/*
 * The RESP door over a keyspace in files in memory, with connections that have no sockets. Without
 * cmocka, so that fuzzers use it as well.
 */
#ifndef QUARRY_TESTS_RESP_DOOR_RIG_H
#define QUARRY_TESTS_RESP_DOOR_RIG_H

#include "unit/serve/fake_connection.h"

#include <quarry/vfs.h>
#include <serve/door_resp.h>

struct resp_door_rig {
    struct quarry_memory *memory;
    struct quarry_vfs *disk;
    struct keyspace *keyspace;
};

/* `settings`: what is not the rig's own; NULL: none. */
void resp_door_rig_open(struct resp_door_rig *rig, const struct resp_door_settings *settings);
/* Checks that nothing is left behind. */
void resp_door_rig_close(struct resp_door_rig *rig);
/* What the door's account is charged for. */
uint64_t resp_door_rig_bytes(const struct resp_door_rig *rig);
/* Deletes all keys. */
void resp_door_rig_empty(struct resp_door_rig *rig);

/* A connection of everybody's; of nobody yet, where a login is asked for. */
struct serve_connection *resp_connect(bool needs_login, size_t taken_a_turn);
/*
 * Sends bytes in pieces of so many (0: all at once), and waits for what comes of them. Returns: the
 * answers since fake_clear, closed by a NUL; borrowed until the next call.
 */
const char *resp_talk(struct serve_connection *connection, const char *bytes, size_t byte_count,
                      size_t piece_bytes);

#endif
