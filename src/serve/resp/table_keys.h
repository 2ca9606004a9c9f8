/* Rows of table.h: strings, keys, and what an ordered store adds. Flags as Redis 7.0 tells them. */
#ifndef QUARRY_SERVE_RESP_TABLE_KEYS_H
#define QUARRY_SERVE_RESP_TABLE_KEYS_H

/* clang-format off */
#define RESP_KEY_COMMANDS(X)                                                                      \
    X("get", resp_get, 2, RESP_READS | RESP_FAST,                                                 \
      1, 1, 1, "@read @string @fast", "1.0.0", "string",                                          \
      "O(1)", "The value of a key")                                                               \
    X("set", resp_set, -3, RESP_WRITES | RESP_DENYOOM,                                            \
      1, 1, 1, "@write @string @slow", "1.0.0", "string",                                         \
      "O(1)", "Sets a key, perhaps under a condition or until a time")                            \
    X("setnx", resp_setnx, 3, RESP_WRITES | RESP_DENYOOM | RESP_FAST,                             \
      1, 1, 1, "@write @string @fast", "1.0.0", "string",                                         \
      "O(1)", "Sets a key that is not there")                                                     \
    X("setex", resp_setex, 4, RESP_WRITES | RESP_DENYOOM,                                         \
      1, 1, 1, "@write @string @slow", "2.0.0", "string",                                         \
      "O(1)", "Sets a key for some seconds")                                                      \
    X("psetex", resp_psetex, 4, RESP_WRITES | RESP_DENYOOM,                                       \
      1, 1, 1, "@write @string @slow", "2.6.0", "string",                                         \
      "O(1)", "Sets a key for some milliseconds")                                                 \
    X("getset", resp_getset, 3, RESP_WRITES | RESP_DENYOOM | RESP_FAST,                           \
      1, 1, 1, "@write @string @fast", "1.0.0", "string",                                         \
      "O(1)", "Sets a key and answers what it had")                                               \
    X("getdel", resp_getdel, 2, RESP_WRITES | RESP_FAST,                                          \
      1, 1, 1, "@write @string @fast", "6.2.0", "string",                                         \
      "O(1)", "Deletes a key and answers what it had")                                            \
    X("getex", resp_getex, -2, RESP_WRITES | RESP_FAST,                                           \
      1, 1, 1, "@write @string @fast", "6.2.0", "string",                                         \
      "O(1)", "The value of a key, whose time is changed")                                        \
    X("getrange", resp_getrange, 4, RESP_READS,                                                   \
      1, 1, 1, "@read @string @slow", "2.4.0", "string",                                          \
      "O(N) with N bytes answered", "A stretch of a value")                                       \
    X("substr", resp_getrange, 4, RESP_READS,                                                     \
      1, 1, 1, "@read @string @slow", "1.0.0", "string",                                          \
      "O(N) with N bytes answered", "GETRANGE by its former name")                                \
    X("setrange", resp_setrange, 4, RESP_WRITES | RESP_DENYOOM,                                   \
      1, 1, 1, "@write @string @slow", "2.2.0", "string",                                         \
      "O(N) with N bytes of the value", "Overwrites a stretch of a value")                        \
    X("append", resp_append, 3, RESP_WRITES | RESP_DENYOOM | RESP_FAST,                           \
      1, 1, 1, "@write @string @fast", "2.0.0", "string",                                         \
      "O(N) with N bytes of the value", "Adds bytes to the end of a value")                       \
    X("strlen", resp_strlen, 2, RESP_READS | RESP_FAST,                                           \
      1, 1, 1, "@read @string @fast", "2.2.0", "string",                                          \
      "O(1)", "How many bytes a value has")                                                       \
    X("lcs", resp_lcs, -3, RESP_READS | RESP_SLOW,                                                \
      1, 2, 1, "@read @string @slow", "7.0.0", "string",                                          \
      "O(N*M) with N and M bytes", "The longest common subsequence of two values")                \
    X("mget", resp_mget, -2, RESP_READS | RESP_FAST,                                              \
      1, -1, 1, "@read @string @fast", "1.0.0", "string",                                         \
      "O(N) with N keys", "The values of keys, at one moment")                                    \
    X("mset", resp_mset, -3, RESP_WRITES | RESP_DENYOOM,                                          \
      1, -1, 2, "@write @string @slow", "1.0.1", "string",                                        \
      "O(N) with N keys", "Sets keys, at one moment")                                             \
    X("msetnx", resp_msetnx, -3, RESP_WRITES | RESP_DENYOOM,                                      \
      1, -1, 2, "@write @string @slow", "1.0.1", "string",                                        \
      "O(N) with N keys", "Sets keys, if none of them is there")                                  \
    X("incr", resp_incr, 2, RESP_WRITES | RESP_DENYOOM | RESP_FAST,                               \
      1, 1, 1, "@write @string @fast", "1.0.0", "string",                                         \
      "O(1)", "Adds one to an integer")                                                           \
    X("decr", resp_decr, 2, RESP_WRITES | RESP_DENYOOM | RESP_FAST,                               \
      1, 1, 1, "@write @string @fast", "1.0.0", "string",                                         \
      "O(1)", "Takes one from an integer")                                                        \
    X("incrby", resp_incrby, 3, RESP_WRITES | RESP_DENYOOM | RESP_FAST,                           \
      1, 1, 1, "@write @string @fast", "1.0.0", "string",                                         \
      "O(1)", "Adds to an integer")                                                               \
    X("decrby", resp_decrby, 3, RESP_WRITES | RESP_DENYOOM | RESP_FAST,                           \
      1, 1, 1, "@write @string @fast", "1.0.0", "string",                                         \
      "O(1)", "Takes from an integer")                                                            \
    X("incrbyfloat", resp_incrbyfloat, 3, RESP_WRITES | RESP_DENYOOM | RESP_FAST,                 \
      1, 1, 1, "@write @string @fast", "2.6.0", "string",                                         \
      "O(1)", "Adds to a decimal number")                                                         \
    X("del", resp_del, -2, RESP_WRITES,                                                           \
      1, -1, 1, "@keyspace @write @slow", "1.0.0", "generic",                                     \
      "O(N) with N keys", "Deletes keys, and counts those that were there")                       \
    X("unlink", resp_del, -2, RESP_WRITES | RESP_FAST,                                            \
      1, -1, 1, "@keyspace @write @fast", "4.0.0", "generic",                                     \
      "O(N) with N keys", "The same as DEL")                                                      \
    X("exists", resp_exists, -2, RESP_READS | RESP_FAST,                                          \
      1, -1, 1, "@keyspace @read @fast", "1.0.0", "generic",                                      \
      "O(N) with N keys", "How many of its keys are there")                                       \
    X("touch", resp_touch, -2, RESP_READS | RESP_FAST,                                            \
      1, -1, 1, "@keyspace @read @fast", "3.2.1", "generic",                                      \
      "O(N) with N keys", "The same as EXISTS")                                                   \
    X("type", resp_type, 2, RESP_READS | RESP_FAST,                                               \
      1, 1, 1, "@keyspace @read @fast", "1.0.0", "generic",                                       \
      "O(1)", "Whether a key is there: string or none")                                           \
    X("expire", resp_expire, -3, RESP_WRITES | RESP_FAST,                                         \
      1, 1, 1, "@keyspace @write @fast", "1.0.0", "generic",                                      \
      "O(N) with N bytes of the value", "Has a key expire some seconds from now")                 \
    X("pexpire", resp_pexpire, -3, RESP_WRITES | RESP_FAST,                                       \
      1, 1, 1, "@keyspace @write @fast", "2.6.0", "generic",                                      \
      "O(N) with N bytes of the value", "Has a key expire some milliseconds from now")            \
    X("expireat", resp_expireat, -3, RESP_WRITES | RESP_FAST,                                     \
      1, 1, 1, "@keyspace @write @fast", "1.2.0", "generic",                                      \
      "O(N) with N bytes of the value", "Has a key expire at a time in seconds since 1970")       \
    X("pexpireat", resp_pexpireat, -3, RESP_WRITES | RESP_FAST,                                   \
      1, 1, 1, "@keyspace @write @fast", "2.6.0", "generic",                                      \
      "O(N) with N bytes of the value", "Has a key expire at so many ms since 1970")              \
    X("persist", resp_persist, 2, RESP_WRITES | RESP_FAST,                                        \
      1, 1, 1, "@keyspace @write @fast", "2.2.0", "generic",                                      \
      "O(N) with N bytes of the value", "Has a key not expire any more")                          \
    X("ttl", resp_ttl, 2, RESP_READS | RESP_FAST,                                                 \
      1, 1, 1, "@keyspace @read @fast", "1.0.0", "generic",                                       \
      "O(1)", "Seconds until a key expires")                                                      \
    X("pttl", resp_pttl, 2, RESP_READS | RESP_FAST,                                               \
      1, 1, 1, "@keyspace @read @fast", "2.6.0", "generic",                                       \
      "O(1)", "Milliseconds until a key expires")                                                 \
    X("expiretime", resp_expiretime, 2, RESP_READS | RESP_FAST,                                   \
      1, 1, 1, "@keyspace @read @fast", "7.0.0", "generic",                                       \
      "O(1)", "When a key expires, in seconds since 1970")                                        \
    X("pexpiretime", resp_pexpiretime, 2, RESP_READS | RESP_FAST,                                 \
      1, 1, 1, "@keyspace @read @fast", "7.0.0", "generic",                                       \
      "O(1)", "When a key expires, in milliseconds since 1970")                                   \
    X("rename", resp_rename, 3, RESP_WRITES,                                                      \
      1, 2, 1, "@keyspace @write @slow", "1.0.0", "generic",                                      \
      "O(N) with N bytes of the value", "Gives a value another key")                              \
    X("renamenx", resp_renamenx, 3, RESP_WRITES | RESP_FAST,                                      \
      1, 2, 1, "@keyspace @write @fast", "1.0.0", "generic",                                      \
      "O(N) with N bytes of the value", "Gives a value a key that is not there")                  \
    X("copy", resp_copy, -3, RESP_WRITES | RESP_DENYOOM | RESP_ALL_KEYS,                          \
      1, 2, 1, "@keyspace @write @slow", "6.2.0", "generic",                                      \
      "O(N) with N bytes of the value", "Sets a key to the value of another")                     \
    X("move", resp_move, 3, RESP_WRITES | RESP_FAST | RESP_ALL_KEYS,                              \
      1, 1, 1, "@keyspace @write @fast", "1.0.0", "generic",                                      \
      "O(N) with N bytes of the value", "Moves a key to another database")                        \
    X("swapdb", resp_swapdb, 3, RESP_WRITES | RESP_FAST,                                          \
      0, 0, 0, "@keyspace @write @fast @dangerous", "4.0.0", "server",                            \
      "O(1)", "Refused, as databases are stretches of one ordered store")                         \
    X("object", resp_unknown_subcommand, -2, 0,                                                   \
      0, 0, 0, "@slow", "2.2.3", "generic",                                                       \
      "Depends on the subcommand.", "Has subcommands only")                                       \
    X("object|encoding", resp_object_encoding, 3, RESP_READS,                                     \
      2, 2, 1, "@keyspace @read @slow", "2.2.3", "generic",                                       \
      "O(1)", "How Redis would keep a value")                                                     \
    X("object|freq", resp_object_freq, 3, RESP_READS,                                             \
      2, 2, 1, "@keyspace @read @slow", "4.0.0", "generic",                                       \
      "O(1)", "Refused, as it is not kept how often keys are used")                               \
    X("object|idletime", resp_object_idletime, 3, RESP_READS,                                     \
      2, 2, 1, "@keyspace @read @slow", "2.2.3", "generic",                                       \
      "O(1)", "0, as it is not kept when keys were used")                                         \
    X("object|refcount", resp_object_refcount, 3, RESP_READS,                                     \
      2, 2, 1, "@keyspace @read @slow", "2.2.3", "generic",                                       \
      "O(1)", "How many references Redis would count to a value")                                 \
    X("object|help", resp_object_help, 2, RESP_LOADING | RESP_STALE,                              \
      0, 0, 0, "@keyspace @slow", "6.2.0", "generic",                                             \
      "O(1)", "Tells the subcommands")                                                            \
    X("scan", resp_scan, -2, RESP_READS,                                                          \
      0, 0, 0, "@keyspace @read @slow", "2.8.0", "generic",                                       \
      "O(N) with N keys looked at", "Some keys, and a cursor to go on by")                        \
    X("keys", resp_keys, 2, RESP_READS | RESP_SLOW,                                               \
      0, 0, 0, "@keyspace @read @slow @dangerous", "1.0.0", "generic",                            \
      "O(N) with N keys that begin so", "All keys that match a pattern")                          \
    X("randomkey", resp_randomkey, 1, RESP_READS,                                                 \
      0, 0, 0, "@keyspace @read @slow", "1.0.0", "generic",                                       \
      "O(1)", "Some key")                                                                         \
    X("dbsize", resp_dbsize, 1, RESP_READS | RESP_FAST | RESP_SLOW,                               \
      0, 0, 0, "@keyspace @read @fast", "1.0.0", "server",                                        \
      "O(N) with N keys, after a write", "How many keys there are")                               \
    X("flushdb", resp_flushdb, -1, RESP_WRITES | RESP_FLUSHES | RESP_SLOW | RESP_ALL_KEYS,        \
      0, 0, 0, "@keyspace @write @slow @dangerous", "1.0.0", "server",                            \
      "O(1)", "Deletes all keys of the database")                                                 \
    X("flushall", resp_flushall, -1, RESP_WRITES | RESP_FLUSHES | RESP_SLOW | RESP_ALL_KEYS,      \
      0, 0, 0, "@keyspace @write @slow @dangerous", "1.0.0", "server",                            \
      "O(N) with N databases", "Deletes all keys of all databases")                               \
    X("kv.range", resp_kv_range, -3, RESP_READS,                                                  \
      0, 0, 0, "@keyspace @read @slow", "7.0.0", "generic",                                       \
      "O(N) with N keys answered", "Keys of a range in order, with their values")                 \
    X("kv.delrange", resp_kv_delrange, 3, RESP_WRITES | RESP_ALL_KEYS,                            \
      0, 0, 0, "@keyspace @write @slow @dangerous", "7.0.0", "generic",                           \
      "O(1)", "Deletes the keys of a range")                                                      \
    X("kv.snapshot", resp_unknown_subcommand, -2, 0,                                              \
      0, 0, 0, "@slow", "7.0.0", "generic",                                                       \
      "Depends on the subcommand.", "Has subcommands only")                                       \
    X("kv.snapshot|create", resp_kv_snapshot_create, 2, RESP_READS | RESP_NO_MULTI,               \
      0, 0, 0, "@keyspace @read @slow", "7.0.0", "generic",                                       \
      "O(1)", "Takes a snapshot to read by")                                                      \
    X("kv.snapshot|release", resp_kv_snapshot_release, 3, RESP_READS | RESP_NO_MULTI,             \
      0, 0, 0, "@keyspace @read @slow", "7.0.0", "generic",                                       \
      "O(1)", "Ends a snapshot")                                                                  \
    X("kv.snapshot|list", resp_kv_snapshot_list, 2, RESP_READS | RESP_NO_MULTI,                   \
      0, 0, 0, "@keyspace @read @slow", "7.0.0", "generic",                                       \
      "O(1)", "The snapshots that there are")                                                     \
    X("kv.snapshot|help", resp_kv_snapshot_help, 2, RESP_LOADING | RESP_STALE,                    \
      0, 0, 0, "@keyspace @slow", "7.0.0", "generic",                                             \
      "O(1)", "Tells the subcommands")
/* clang-format on */

#endif
