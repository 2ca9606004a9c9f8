/*
 * Snapshots that clients hold: KV.SNAPSHOT.
 */
#ifndef QUARRY_SERVE_RESP_SNAPSHOTS_H
#define QUARRY_SERVE_RESP_SNAPSHOTS_H

#include <serve/resp/resp.h>

/*
 * How many a tenant can have, and all of them together; how long one lives. While a snapshot lives,
 * compactions keep what it sees, so that what is overwritten meanwhile takes space twice: a minute
 * of writing, at most. Twice as many cost nothing but that each may be of another minute.
 */
#define RESP_SNAPSHOTS_PER_TENANT 16u
#define RESP_SNAPSHOTS_MAX        512u
#define RESP_SNAPSHOT_LIFE_MS     UINT64_C(60000)

struct resp_snapshots;

/*
 * Makes the table of a door. `memory`, `keyspace`: borrowed until destroyed. `ret_snapshots`: own.
 * Errors: QUARRY_NO_MEMORY. Cost: 32 KiB.
 */
enum quarry_status resp_snapshots_create(const struct serve_memory *memory,
                                         struct keyspace *keyspace,
                                         struct resp_snapshots **ret_snapshots);
/* Ends all snapshots. None is in use. `snapshots`: given; NULL does nothing. */
void resp_snapshots_destroy(struct resp_snapshots *snapshots);

/*
 * Takes a snapshot for a session, under a number that no other one had. Threads: any.
 * Errors: QUARRY_TOO_MANY, QUARRY_NO_MEMORY.
 */
enum quarry_status resp_snapshots_take(struct resp_snapshots *snapshots, uint16_t tenant,
                                       uint64_t session_id, uint64_t now_ms, uint64_t *ret_id);
/* Ends one of a tenant's. Errors: QUARRY_NOT_FOUND. One in use ends with its last use. */
enum quarry_status resp_snapshots_end(struct resp_snapshots *snapshots, uint16_t tenant,
                                      uint64_t id);
/* Ends those of a session that is at its end. Cost: a load where there are no snapshots. */
void resp_snapshots_end_session(struct resp_snapshots *snapshots, uint64_t session_id);
/*
 * Ends those whose time is over. To be called in each turn of a connection: a store that nobody
 * speaks with is not written to either, and keeps nothing more for a snapshot. Cost: a load.
 */
void resp_snapshots_tick(struct resp_snapshots *snapshots, uint64_t now_ms);

/*
 * A snapshot to read by, which stays until it is released. Threads: any.
 * Returns: NULL: the tenant has none of that number.
 */
const struct quarry_kv_snapshot *resp_snapshots_acquire(struct resp_snapshots *snapshots,
                                                        uint16_t tenant, uint64_t id);
void resp_snapshots_release(struct resp_snapshots *snapshots, uint64_t id);

/* One as KV.SNAPSHOT LIST tells of it. */
struct resp_snapshot_told {
    uint64_t id, session_id, taken_ms, ends_ms, sequence;
};
/* Writes a tenant's, by their numbers. Returns: how many; at most RESP_SNAPSHOTS_PER_TENANT. */
size_t resp_snapshots_list(struct resp_snapshots *snapshots, uint16_t tenant,
                           struct resp_snapshot_told told[RESP_SNAPSHOTS_PER_TENANT]);

#endif
