/*
 * `stats` and its groups.
 */
#ifndef QUARRY_SERVE_MEMCACHED_STATS_H
#define QUARRY_SERVE_MEMCACHED_STATS_H

#include <serve/memcached.h>

/*
 * How a figure is told: a line of text, or a packet of its own. `name` and `value`: borrowed.
 * Returns: ON, or CLOSE.
 */
typedef enum memcached_step memcached_stat_function(struct memcached_turn *turn, const char *name,
                                                    const char *value);

enum memcached_step memcached_tell_line(struct memcached_turn *turn, const char *name,
                                        const char *value);
enum memcached_step memcached_tell_packet(struct memcached_turn *turn, const char *name,
                                          const char *value);

/*
 * Tells all figures of a group, "" being the general one. Returns: false: there is no such group;
 * *ret_step is written otherwise. The phase is MEMCACHED_ASKING behind it where they come later,
 * with the end of the answer.
 */
bool memcached_tell_stats(struct memcached_turn *turn, struct memcached_word group,
                          memcached_stat_function *tell, enum memcached_step *ret_step);

/*
 * Tells what was done by prefixes of keys: `tell` gets "PREFIX a get 1 …" as a value named
 * "detailed"; NULL: lines of text, without the END.
 */
enum memcached_step memcached_tell_prefixes(struct memcached_turn *turn,
                                            memcached_stat_function *tell);

/* Begins the tenant's counts anew, and where the connection may administrate, the workers'. */
void memcached_reset_stats(struct memcached_turn *turn);

#endif
