/*
 * Watchers: connections that are told what happens, as it happens.
 */
#ifndef QUARRY_SERVE_MEMCACHED_WATCH_H
#define QUARRY_SERVE_MEMCACHED_WATCH_H

#include <serve/memcached.h>

/* How many there can be. memcached's number. */
#define MEMCACHED_WATCHERS_MAX 20u

/* What a watcher is told of. */
enum memcached_watched {
    MEMCACHED_WATCHES_FETCHERS = 1,
    MEMCACHED_WATCHES_MUTATIONS = 2,
    MEMCACHED_WATCHES_EVICTIONS = 4,
    MEMCACHED_WATCHES_CONNECTIONS = 8,
    MEMCACHED_WATCHES_DELETIONS = 16,
};

/*
 * Makes a connection a watcher, of `watched`; it is in MEMCACHED_WATCHING then. Returns: false:
 * there are too many.
 */
bool memcached_watch_begin(struct memcached_turn *turn, uint32_t watched);
/* It closes. */
void memcached_watch_end(struct memcached_state *state);
/* Tells of a connection that has come, or goes. */
void memcached_watch_connection(struct serve_connection *connection, bool has_come);
/* What has become of lines, and how many watch now. */
struct memcached_watch_figures {
    uint64_t sent, skipped;
    uint64_t watchers;
};
struct memcached_watch_figures memcached_watch_figures(void);
/* Before there are connections. */
void memcached_watch_open(void);
/* Begins or ends the counting of prefixes, by which requests take the slow way too. */
void memcached_count_prefixes(bool counts);

#endif
