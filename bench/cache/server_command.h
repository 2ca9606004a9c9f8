/*
 * Command lines of servers. Internal to server.c, and to what adds others.
 */
#ifndef QUARRY_BENCH_CACHE_SERVER_COMMAND_H
#define QUARRY_BENCH_CACHE_SERVER_COMMAND_H

#include <stddef.h>

#include <base/base.h>

#include <bench/cache/server.h>

#define BENCH_REDIS_PROGRAM "/usr/bin/redis-check-rdb"
#define BENCH_COMMAND_WORDS 48u
#define BENCH_COMMAND_BYTES 160u /* of a word */

struct bench_command {
    char text[BENCH_COMMAND_WORDS][BENCH_COMMAND_BYTES];
    char *word[BENCH_COMMAND_WORDS + 1]; /* into text; ends with NULL */
    size_t count;
};

/* Adds a word, at most BENCH_COMMAND_BYTES with its NUL. */
void bench_command_add(struct bench_command *command, const char *format, ...) Q_PRINTF(2, 3);

/* Fills an empty `command` with what starts the server. Returns: the program, for execvp. */
const char *bench_server_command(struct bench_command *command, const struct bench_server *server);

#endif
