/*
 * The commands of administration without a door: over a reply in memory, a keyspace in files in
 * memory, and a server of fixed figures.
 */
#ifndef QUARRY_TESTS_RESP_ADMIN_RIG_H
#define QUARRY_TESTS_RESP_ADMIN_RIG_H

#include "unit/os/cmocka_all.h"

#include <serve/resp/admin.h>

/* 2026-01-01 00:00:00 UTC. */
#define ADMIN_NOW_MS    UINT64_C(1767225600000)
#define ADMIN_WORDS_MAX 80u

struct admin_rig {
    struct quarry_memory *memory;
    struct quarry_vfs *disk;
    struct keyspace *keyspace;
    struct resp_session session;
    struct resp_admin_settings settings;
    _Atomic(uint64_t) now_ms;
    /* what the server is, and what it was asked */
    struct resp_figures figures;
    struct resp_settings server;
    struct resp_client clients[4];
    size_t client_count;
    struct resp_user users[3];
    size_t user_count;
    uint64_t killed[4];
    size_t killed_count;
    char changed_key[64], changed_value[64];
    enum quarry_status change_status;
    int shutdowns; /* 1: graceful; 2: at once */
};
extern struct admin_rig admin_rig;

int admin_set_up(void **state);
int admin_tear_down(void **state);

/* Calls a command by a line of words with blanks between; "_" is an empty word. `ret`: own. */
char *admin_say(const char *line);
/* The same in RESP3. */
char *admin_say3(const char *line);
/* Says it, and compares the whole answer, in which "\r\n" is written "|". */
void admin_says(const char *line, const char *answered);
/* Says it, and looks for a text in the answer. */
void admin_tells(const char *line, const char *part);
/* Puts a key of the session's database. */
void admin_put(const char *key, const char *value, uint64_t expires_ms);

#endif
