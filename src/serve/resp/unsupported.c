/*
 * What Redis has and this store has not: names of commands, by their group.
 *
 * Who sends one is told that it is unknown, as by an older Redis, and which group is missing, which
 * docs/resp.md has in a table. Looked at only when a name is in no row.
 */
#include <serve/resp/state.h>

/* Names with a blank in front and behind each. */
struct group {
    const char *name;
    const char *const *commands;
};

static const char *const hashes[] = {
    "hset", "hget",  "hgetall", "hdel",   "hexists", "hincrby", "hincrbyfloat", "hkeys", "hvals",
    "hlen", "hmget", "hmset",   "hsetnx", "hstrlen", "hscan",   "hrandfield",   NULL};
static const char *const lists[] = {
    "lpush",  "rpush", "lpushx",  "rpushx", "lpop",       "rpop",      "lrange", "llen",
    "lindex", "lset",  "linsert", "lrem",   "ltrim",      "lpos",      "lmove",  "lmpop",
    "blpop",  "brpop", "blmove",  "blmpop", "brpoplpush", "rpoplpush", NULL};
static const char *const sets[] = {
    "sadd",  "srem",       "smembers",   "sismember",   "smismember", "scard",
    "spop",  "sinter",     "sintercard", "sinterstore", "sunion",     "sunionstore",
    "sdiff", "sdiffstore", "smove",      "srandmember", "sscan",      NULL};
static const char *const sorted_sets[] = {"zadd",
                                          "zrem",
                                          "zrange",
                                          "zrangebyscore",
                                          "zrangebylex",
                                          "zrevrange",
                                          "zrevrangebyscore",
                                          "zrevrangebylex",
                                          "zrangestore",
                                          "zcard",
                                          "zcount",
                                          "zlexcount",
                                          "zscore",
                                          "zmscore",
                                          "zrank",
                                          "zrevrank",
                                          "zincrby",
                                          "zpopmin",
                                          "zpopmax",
                                          "bzpopmin",
                                          "bzpopmax",
                                          "bzmpop",
                                          "zmpop",
                                          "zinter",
                                          "zintercard",
                                          "zinterstore",
                                          "zunion",
                                          "zunionstore",
                                          "zdiff",
                                          "zdiffstore",
                                          "zremrangebyrank",
                                          "zremrangebyscore",
                                          "zremrangebylex",
                                          "zrandmember",
                                          "zscan",
                                          NULL};
static const char *const streams[] = {
    "xadd",       "xrange", "xrevrange", "xread", "xreadgroup", "xgroup", "xack",  "xclaim",
    "xautoclaim", "xdel",   "xinfo",     "xlen",  "xpending",   "xsetid", "xtrim", NULL};
static const char *const pubsub[] = {
    "subscribe",    "unsubscribe", "psubscribe", "punsubscribe", "ssubscribe",
    "sunsubscribe", "publish",     "spublish",   "pubsub",       NULL};
static const char *const scripting[] = {"eval",  "evalsha",  "eval_ro",  "evalsha_ro", "script",
                                        "fcall", "fcall_ro", "function", NULL};
static const char *const geo[] = {"geoadd",
                                  "geodist",
                                  "geohash",
                                  "geopos",
                                  "georadius",
                                  "geosearch",
                                  "geosearchstore",
                                  "georadius_ro",
                                  "georadiusbymember",
                                  "georadiusbymember_ro",
                                  NULL};
static const char *const counters[] = {"pfadd",   "pfcount",    "pfmerge",
                                       "pfdebug", "pfselftest", NULL};
static const char *const bits[] = {"setbit",   "getbit",      "bitcount", "bitop",
                                   "bitfield", "bitfield_ro", "bitpos",   NULL};
static const char *const others[] = {
    "dump",     "restore", "migrate",  "monitor",        "move",   "swapdb",    "object",
    "sort",     "sort_ro", "wait",     "psync",          "sync",   "replicaof", "slaveof",
    "replconf", "cluster", "readonly", "readwrite",      "asking", "failover",  "module",
    "lcs",      "lolwut",  "substr",   "restore-asking", NULL};

static const struct group groups[] = {
    {"hashes", hashes},
    {"lists", lists},
    {"sets", sets},
    {"sorted sets", sorted_sets},
    {"streams", streams},
    {"pub/sub", pubsub},
    {"scripting", scripting},
    {"geo", geo},
    {"hyperloglog", counters},
    {"bits", bits},
    {"such command", others},
};

const char *resp_unsupported(struct quarry_kv_slice name)
{
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        for (const char *const *at = groups[i].commands; *at != NULL; at++) {
            if (resp_is(name, *at)) {
                return groups[i].name;
            }
        }
    }
    return NULL;
}
