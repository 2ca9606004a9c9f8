/*
 * What the parts of `quarry cache` share.
 */
#ifndef QUARRY_CLI_CMD_CACHE_H
#define QUARRY_CLI_CMD_CACHE_H

#include <cli/cache_client.h>

#define CACHE_WORDS_MAX 2u

/* A command line of `quarry cache`. */
struct cache_command {
    struct cache_client_options client;
    const char *words[CACHE_WORDS_MAX]; /* what stands behind the part's name */
    uint32_t word_count;
    bool is_json, is_yes, is_once, is_ascii, is_all;
    bool is_add, is_replace;
    uint32_t interval_s;
    uint32_t ttl_s; /* 0: for ever */
    uint32_t flags; /* of the client */
    uint32_t limit; /* of items; 0: all */
};

/* The parts; each with an open client. Return: an exit code. */
typedef int cache_part_function(const struct cache_command *command, struct cache_client *client);
cache_part_function cache_run_stats, cache_run_tenants, cache_run_flush; /* cmd_cache.c */
cache_part_function cache_run_get, cache_run_set, cache_run_delete;      /* cmd_cache_items.c */
cache_part_function cache_run_dump;
cache_part_function cache_run_top; /* cmd_cache_top.c */

#endif
