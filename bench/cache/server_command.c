/*
 * Command lines of servers.
 *
 * Redis comes from redis-tools: its redis-check-rdb is the server under another name, and the
 * package redis-server would start a service. Options that matter: no snapshots, no log of writes,
 * and the nearest to LRU that it has. As a store it has a log of writes, which is not rewritten
 * while it is measured: a copy of its process would do that, whose CPU time nobody would see.
 */
#include <bench/cache/server_command.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/tsdb/command.h>

#define QUARRY_SPARE Q_MIB(256) /* of Quarry's budget, beside items: connections, code, threads */
#define CONNECTIONS  1024u      /* that the others take where nobody asks for more */

void bench_command_add(struct bench_command *command, const char *format, ...)
{
    va_list arguments;

    Q_ASSERT(command->count < BENCH_COMMAND_WORDS);
    va_start(arguments, format);
    int length = vsnprintf(command->text[command->count], BENCH_COMMAND_BYTES, format, arguments);
    va_end(arguments);
    Q_ASSERT(length >= 0 && (size_t)length < BENCH_COMMAND_BYTES);
    command->word[command->count] = command->text[command->count];
    command->word[++command->count] = NULL;
}

uint64_t bench_server_limit_bytes(const struct bench_server_options *options)
{
    bool has_spare = options->kind == BENCH_SERVER_QUARRY && !options->is_whole &&
                     options->store == BENCH_STORE_NONE;

    return options->memory_bytes + (has_spare ? QUARRY_SPARE : 0);
}

static uint32_t connection_count(const struct bench_server_options *options)
{
    return options->connection_count == 0 ? CONNECTIONS : options->connection_count;
}

/* Where its one door is. */
static void add_door(struct bench_command *command, const char *door,
                     const struct bench_server *server)
{
    if (server->options.is_tcp) {
        bench_command_add(command, "--%s=127.0.0.1:%u", door, server->port);
    } else {
        bench_command_add(command, "--%s=unix:%s/socket", door, server->directory.path);
    }
}

static void add_quarry_cache(struct bench_command *command, const struct bench_server *server)
{
    const struct bench_server_options *options = &server->options;

    bench_command_add(command, "--resp=off");
    bench_command_add(command, "--set=cache.file=data");
    if (!options->is_whole) {
        bench_command_add(command, "--set=cache.size=%" PRIu64, options->memory_bytes);
    }
    if (options->item_bytes_max != 0) {
        bench_command_add(command, "--set=cache.item_max=%" PRIu32, options->item_bytes_max);
    }
    add_door(command, "memcached", server);
}

static void add_quarry_store(struct bench_command *command, const struct bench_server *server)
{
    bool is_power = server->options.store == BENCH_STORE_POWER;

    bench_command_add(command, "--memcached=off");
    bench_command_add(command, "--durability=%s", is_power ? "power" : "process");
    add_door(command, "resp", server);
}

static void add_quarry(struct bench_command *command, const struct bench_server *server)
{
    const struct bench_server_options *options = &server->options;

    bench_command_add(command, "quarry");
    bench_command_add(command, "serve");
    bench_command_add(command, "--memory=%" PRIu64, bench_server_limit_bytes(options));
    bench_command_add(command, "--data=%s/data", server->directory.path);
    bench_command_add(command, "--threads=1");
    if (options->connection_count != 0) {
        bench_command_add(command, "--set=net.connections_max=%" PRIu32, options->connection_count);
    }
    for (size_t i = 0; options->settings != NULL && options->settings[i] != NULL; i++) {
        bench_command_add(command, "--set=%s", options->settings[i]);
    }
    if (options->store == BENCH_STORE_SERIES) {
        bench_series_add_quarry(command, server);
    } else {
        bench_command_add(command, "--http=off");
        (options->store == BENCH_STORE_NONE ? add_quarry_cache : add_quarry_store)(command, server);
    }
}

static void add_memcached(struct bench_command *command, const struct bench_server *server)
{
    const struct bench_server_options *options = &server->options;

    bench_command_add(command, "memcached");
    bench_command_add(command, "-t1");
    bench_command_add(command, "-U0");
    bench_command_add(command, "-c%" PRIu32, connection_count(options));
    if (options->item_bytes_max != 0) {
        bench_command_add(command, "-I%" PRIu32, options->item_bytes_max);
    }
    bench_command_add(command, "-m%" PRIu64, options->memory_bytes / Q_MIB(1));
    if (geteuid() == 0) {
        bench_command_add(command, "-uroot");
    }
    if (options->is_kept) {
        bench_command_add(command, "-e%s/memory", server->directory.path);
    }
    if (options->is_tcp) {
        bench_command_add(command, "-l127.0.0.1");
        bench_command_add(command, "-p%u", server->port);
    } else {
        bench_command_add(command, "-s%s/socket", server->directory.path);
    }
}

/* An option and its value. */
static void add_pair(struct bench_command *command, const char *option, const char *value)
{
    bench_command_add(command, "--%s", option);
    bench_command_add(command, "%s", value);
}

static void add_redis_cache(struct bench_command *command, const struct bench_server *server)
{
    add_pair(command, "appendonly", "no");
    bench_command_add(command, "--maxmemory");
    bench_command_add(command, "%" PRIu64, server->options.memory_bytes);
    add_pair(command, "maxmemory-policy", "allkeys-lru");
}

static void add_redis_store(struct bench_command *command, const struct bench_server *server)
{
    bool is_power = server->options.store == BENCH_STORE_POWER;

    add_pair(command, "appendonly", "yes");
    add_pair(command, "appendfsync", is_power ? "always" : "everysec");
    add_pair(command, "auto-aof-rewrite-percentage", "0");
}

static void add_redis(struct bench_command *command, const struct bench_server *server)
{
    const struct bench_server_options *options = &server->options;

    bench_command_add(command, "redis-server");
    add_pair(command, "save", "");
    bench_command_add(command, "--maxclients");
    bench_command_add(command, "%" PRIu32, connection_count(options));
    add_pair(command, "dir", server->directory.path);
    bench_command_add(command, "--port");
    bench_command_add(command, "%u", options->is_tcp ? server->port : 0);
    add_pair(command, "bind", "127.0.0.1");
    (options->store == BENCH_STORE_NONE ? add_redis_cache : add_redis_store)(command, server);
    if (!options->is_tcp) {
        bench_command_add(command, "--unixsocket");
        bench_command_add(command, "%s/socket", server->directory.path);
    }
}

const char *bench_server_command(struct bench_command *command, const struct bench_server *server)
{
    switch (server->options.kind) {
    case BENCH_SERVER_MEMCACHED:
        add_memcached(command, server);
        return "memcached";
    case BENCH_SERVER_REDIS:
        add_redis(command, server);
        return BENCH_REDIS_PROGRAM;
    case BENCH_SERVER_QUARRY:
        add_quarry(command, server);
        return server->options.quarry;
    case BENCH_SERVER_PROMETHEUS:
    case BENCH_SERVER_VICTORIA:
        return bench_series_command(command, server);
    case BENCH_SERVER_KIND_COUNT:
    default:
        Q_UNREACHABLE();
    }
    return NULL;
}
