/* Rows of table.h. */
#ifndef QUARRY_SERVE_RESP_TABLE_SERVER_H
#define QUARRY_SERVE_RESP_TABLE_SERVER_H

/* What most rows here have. */
#define RESP_ANY_TIME (RESP_LOADING | RESP_STALE)
#define RESP_OPEN     (RESP_NOSCRIPT | RESP_ANY_TIME)
#define RESP_GUARDED  (RESP_ADMINISTERS | RESP_OPEN)

/* clang-format off */
#define RESP_SERVER_COMMANDS(X)                                                                   \
    X("info", resp_info, -1, RESP_ANY_TIME,                                                       \
      0, 0, 0, "@slow @dangerous", "1.0.0", "server", "O(1)",                                     \
      "What the server is, holds and has counted")                                                \
    X("config", resp_unknown_subcommand, -2, 0,                                                   \
      0, 0, 0, "@slow", "2.0.0", "server", "Depends on the subcommand.",                          \
      "Has subcommands only")                                                                     \
    X("config|get", resp_config_get, -3, RESP_GUARDED,                                            \
      0, 0, 0, "@admin @slow @dangerous", "2.0.0", "server", "O(N) with N patterns",              \
      "Settings whose names match patterns")                                                      \
    X("config|set", resp_config_set, -4, RESP_GUARDED | RESP_SLOW,                                \
      0, 0, 0, "@admin @slow @dangerous", "2.0.0", "server", "O(N) with N settings",              \
      "Changes settings that can be changed while serving")                                       \
    X("config|resetstat", resp_config_resetstat, 2, RESP_GUARDED,                                 \
      0, 0, 0, "@admin @slow @dangerous", "2.0.0", "server", "O(1)",                              \
      "Begins the counts of INFO anew")                                                           \
    X("config|rewrite", resp_config_rewrite, 2, RESP_GUARDED,                                     \
      0, 0, 0, "@admin @slow @dangerous", "2.8.0", "server", "O(1)",                              \
      "Refused, as the configuration is not written by the server")                               \
    X("config|help", resp_config_help, 2, RESP_ANY_TIME,                                          \
      0, 0, 0, "@slow", "5.0.0", "server", "O(1)",                                                \
      "Tells the subcommands")                                                                    \
    X("command", resp_command_all, -1, RESP_ANY_TIME,                                             \
      0, 0, 0, "@slow @connection", "2.8.13", "server", "O(N) with N commands",                   \
      "All commands, with their forms")                                                           \
    X("command|count", resp_command_say_count, 2, RESP_ANY_TIME,                                  \
      0, 0, 0, "@slow @connection", "2.8.13", "server", "O(1)",                                   \
      "How many commands there are")                                                              \
    X("command|info", resp_command_info, -2, RESP_ANY_TIME,                                       \
      0, 0, 0, "@slow @connection", "2.8.13", "server", "O(N) with N names",                      \
      "The forms of commands by their names")                                                     \
    X("command|docs", resp_command_docs, -2, RESP_ANY_TIME,                                       \
      0, 0, 0, "@slow @connection", "7.0.0", "server", "O(N) with N names",                       \
      "What commands do and which words they take")                                               \
    X("command|list", resp_command_list, -2, RESP_ANY_TIME,                                       \
      0, 0, 0, "@slow @connection", "7.0.0", "server", "O(N) with N commands",                    \
      "Names of commands, all or those that pass a filter")                                       \
    X("command|getkeys", resp_command_getkeys, -4, RESP_ANY_TIME,                                 \
      0, 0, 0, "@slow @connection", "2.8.13", "server", "O(N) with N words",                      \
      "The keys among the words of a command")                                                    \
    X("command|getkeysandflags", resp_command_getkeysandflags, -4, RESP_ANY_TIME,                 \
      0, 0, 0, "@slow @connection", "7.0.0", "server", "O(N) with N words",                       \
      "The keys of a command, and what it does to them")                                          \
    X("command|help", resp_command_help, 2, RESP_ANY_TIME,                                        \
      0, 0, 0, "@slow @connection", "5.0.0", "server", "O(1)",                                    \
      "Tells the subcommands")                                                                    \
    X("client", resp_unknown_subcommand, -2, 0,                                                   \
      0, 0, 0, "@slow", "2.4.0", "connection", "Depends on the subcommand.",                      \
      "Has subcommands only")                                                                     \
    X("client|id", resp_client_id, 2, RESP_OPEN,                                                  \
      0, 0, 0, "@slow @connection", "5.0.0", "connection", "O(1)",                                \
      "The number of this connection")                                                            \
    X("client|info", resp_client_info, 2, RESP_OPEN,                                              \
      0, 0, 0, "@slow @connection", "6.2.0", "connection", "O(1)",                                \
      "The line of this connection in CLIENT LIST")                                               \
    X("client|list", resp_client_list, -2, RESP_GUARDED | RESP_SLOW,                              \
      0, 0, 0, "@admin @slow @dangerous @connection",                                             \
      "2.4.0", "connection", "O(N) with N connections",                                           \
      "All connections, a line each")                                                             \
    X("client|kill", resp_client_kill, -3, RESP_GUARDED | RESP_SLOW,                              \
      0, 0, 0, "@admin @slow @dangerous @connection",                                             \
      "2.4.0", "connection", "O(N) with N connections",                                           \
      "Ends connections")                                                                         \
    X("client|setname", resp_client_setname, 3, RESP_OPEN,                                        \
      0, 0, 0, "@slow @connection", "2.6.9", "connection", "O(1)",                                \
      "Names this connection")                                                                    \
    X("client|getname", resp_client_getname, 2, RESP_OPEN,                                        \
      0, 0, 0, "@slow @connection", "2.6.9", "connection", "O(1)",                                \
      "The name of this connection")                                                              \
    X("client|setinfo", resp_client_setinfo, 4, RESP_OPEN,                                        \
      0, 0, 0, "@slow @connection", "7.2.0", "connection", "O(1)",                                \
      "Takes note of a client library's name or version")                                         \
    X("client|pause", resp_client_pause, -3, RESP_GUARDED,                                        \
      0, 0, 0, "@admin @slow @dangerous @connection", "2.9.50", "connection", "O(1)",             \
      "Holds all commands, or those that write, for a time")                                      \
    X("client|unpause", resp_client_unpause, 2, RESP_GUARDED,                                     \
      0, 0, 0, "@admin @slow @dangerous @connection", "6.2.0", "connection", "O(1)",              \
      "Ends a pause")                                                                             \
    X("client|reply", resp_client_reply, 3, RESP_OPEN,                                            \
      0, 0, 0, "@slow @connection", "3.2.0", "connection", "O(1)",                                \
      "Switches answers off, on, or the next one off")                                            \
    X("client|no-evict", resp_client_no_evict, 3, RESP_GUARDED,                                   \
      0, 0, 0, "@admin @slow @dangerous @connection", "7.0.0", "connection", "O(1)",              \
      "Accepted, as no connection is ended for the memory of others")                             \
    X("client|no-touch", resp_client_no_touch, 3, RESP_OPEN,                                      \
      0, 0, 0, "@slow @connection", "7.2.0", "connection", "O(1)",                                \
      "Accepted, as reads change nothing that a client can ask for")                              \
    X("client|tracking", resp_client_tracking, -3, RESP_OPEN,                                     \
      0, 0, 0, "@slow @connection", "6.0.0", "connection", "O(1)",                                \
      "Refused but for OFF, as nobody is told of changes")                                        \
    X("client|trackinginfo", resp_client_trackinginfo, 2, RESP_OPEN,                              \
      0, 0, 0, "@slow @connection", "6.2.0", "connection", "O(1)",                                \
      "That this connection is told of no changes")                                               \
    X("client|getredir", resp_client_getredir, 2, RESP_OPEN,                                      \
      0, 0, 0, "@slow @connection", "6.0.0", "connection", "O(1)",                                \
      "-1, as nobody is told of changes")                                                         \
    X("client|caching", resp_client_caching, 3, RESP_OPEN,                                        \
      0, 0, 0, "@slow @connection", "6.0.0", "connection", "O(1)",                                \
      "Refused, as nobody is told of changes")                                                    \
    X("client|unblock", resp_client_unblock, -3, RESP_GUARDED,                                    \
      0, 0, 0, "@admin @slow @dangerous @connection", "5.0.0", "connection", "O(1)",              \
      "0, as no command here blocks")                                                             \
    X("client|help", resp_client_help, 2, RESP_ANY_TIME,                                          \
      0, 0, 0, "@slow @connection", "5.0.0", "connection", "O(1)",                                \
      "Tells the subcommands")                                                                    \
    X("acl", resp_unknown_subcommand, -2, 0,                                                      \
      0, 0, 0, "@slow", "6.0.0", "server", "Depends on the subcommand.",                          \
      "Has subcommands only")                                                                     \
    X("acl|whoami", resp_acl_whoami, 2, RESP_OPEN,                                                \
      0, 0, 0, "@slow", "6.0.0", "server", "O(1)",                                                \
      "The user of this connection")                                                              \
    X("acl|list", resp_acl_list, 2, RESP_GUARDED | RESP_SLOW,                                     \
      0, 0, 0, "@admin @slow @dangerous", "6.0.0", "server", "O(N) with N users",                 \
      "Users with their rules")                                                                   \
    X("acl|users", resp_acl_users, 2, RESP_GUARDED | RESP_SLOW,                                   \
      0, 0, 0, "@admin @slow @dangerous", "6.0.0", "server", "O(N) with N users",                 \
      "Names of users")                                                                           \
    X("acl|getuser", resp_acl_getuser, 3, RESP_GUARDED | RESP_SLOW,                               \
      0, 0, 0, "@admin @slow @dangerous", "6.0.0", "server", "O(N) with N users",                 \
      "What a user may do")                                                                       \
    X("acl|cat", resp_acl_cat, -2, RESP_OPEN,                                                     \
      0, 0, 0, "@slow", "6.0.0", "server", "O(N) with N commands",                                \
      "Categories of commands, or the commands of one")                                           \
    X("acl|log", resp_acl_log, -2, RESP_GUARDED,                                                  \
      0, 0, 0, "@admin @slow @dangerous", "6.0.0", "server", "O(N) with N entries",               \
      "Logins and commands that were refused")                                                    \
    X("acl|genpass", resp_acl_genpass, -2, RESP_OPEN,                                             \
      0, 0, 0, "@slow", "6.0.0", "server", "O(1)",                                                \
      "A random password")                                                                        \
    X("acl|dryrun", resp_acl_dryrun, -4, RESP_GUARDED | RESP_SLOW,                                \
      0, 0, 0, "@admin @slow @dangerous", "7.0.0", "server", "O(N) with N users",                 \
      "Whether a user may give a command")                                                        \
    X("acl|setuser", resp_acl_refused, -3, RESP_GUARDED,                                          \
      0, 0, 0, "@admin @slow @dangerous", "6.0.0", "server", "O(1)",                              \
      "Refused, as users are those of the configuration")                                         \
    X("acl|deluser", resp_acl_refused, -3, RESP_GUARDED,                                          \
      0, 0, 0, "@admin @slow @dangerous", "6.0.0", "server", "O(1)",                              \
      "Refused, as users are those of the configuration")                                         \
    X("acl|load", resp_acl_refused, 2, RESP_GUARDED,                                              \
      0, 0, 0, "@admin @slow @dangerous", "6.0.0", "server", "O(1)",                              \
      "Refused, as users are those of the configuration")                                         \
    X("acl|save", resp_acl_refused, 2, RESP_GUARDED,                                              \
      0, 0, 0, "@admin @slow @dangerous", "6.0.0", "server", "O(1)",                              \
      "Refused, as users are those of the configuration")                                         \
    X("acl|help", resp_acl_help, 2, RESP_ANY_TIME,                                                \
      0, 0, 0, "@slow", "6.0.0", "server", "O(1)",                                                \
      "Tells the subcommands")                                                                    \
    X("slowlog", resp_unknown_subcommand, -2, 0,                                                  \
      0, 0, 0, "@slow", "2.2.12", "server", "Depends on the subcommand.",                         \
      "Has subcommands only")                                                                     \
    X("slowlog|get", resp_slowlog_get, -2, RESP_ADMINISTERS | RESP_ANY_TIME,                      \
      0, 0, 0, "@admin @slow @dangerous", "2.2.12", "server", "O(N) with N entries",              \
      "The newest commands that were slow")                                                       \
    X("slowlog|len", resp_slowlog_len, 2, RESP_ADMINISTERS | RESP_ANY_TIME,                       \
      0, 0, 0, "@admin @slow @dangerous", "2.2.12", "server", "O(1)",                             \
      "How many slow commands are kept")                                                          \
    X("slowlog|reset", resp_slowlog_reset, 2, RESP_ADMINISTERS | RESP_ANY_TIME,                   \
      0, 0, 0, "@admin @slow @dangerous", "2.2.12", "server", "O(N) with N entries",              \
      "Forgets slow commands")                                                                    \
    X("slowlog|help", resp_slowlog_help, 2, RESP_ANY_TIME,                                        \
      0, 0, 0, "@slow", "6.2.0", "server", "O(1)",                                                \
      "Tells the subcommands")                                                                    \
    X("latency", resp_unknown_subcommand, -2, 0,                                                  \
      0, 0, 0, "@slow", "2.8.13", "server", "Depends on the subcommand.",                         \
      "Has subcommands only")                                                                     \
    X("latency|latest", resp_latency_latest, 2, RESP_GUARDED,                                     \
      0, 0, 0, "@admin @slow @dangerous", "2.8.13", "server", "O(1)",                             \
      "The last time that each event took long")                                                  \
    X("latency|history", resp_latency_history, 3, RESP_GUARDED,                                   \
      0, 0, 0, "@admin @slow @dangerous", "2.8.13", "server", "O(1)",                             \
      "Times at which an event took long")                                                        \
    X("latency|reset", resp_latency_reset, -2, RESP_GUARDED,                                      \
      0, 0, 0, "@admin @slow @dangerous", "2.8.13", "server", "O(1)",                             \
      "Forgets the times of events")                                                              \
    X("latency|doctor", resp_latency_doctor, 2, RESP_GUARDED,                                     \
      0, 0, 0, "@admin @slow @dangerous", "2.8.13", "server", "O(1)",                             \
      "What was slow, in words")                                                                  \
    X("latency|histogram", resp_latency_histogram, -2, RESP_GUARDED,                              \
      0, 0, 0, "@admin @slow @dangerous", "7.0.0", "server", "O(N) with N commands",              \
      "How long commands took")                                                                   \
    X("latency|help", resp_latency_help, 2, RESP_ANY_TIME,                                        \
      0, 0, 0, "@slow", "2.8.13", "server", "O(1)",                                               \
      "Tells the subcommands")                                                                    \
    X("memory", resp_unknown_subcommand, -2, 0,                                                   \
      0, 0, 0, "@slow", "4.0.0", "server", "Depends on the subcommand.",                          \
      "Has subcommands only")                                                                     \
    X("memory|usage", resp_memory_usage, -3, RESP_READS,                                          \
      2, 2, 1, "@read @slow", "4.0.0", "server", "O(1)",                                          \
      "About how many bytes a key takes")                                                         \
    X("memory|stats", resp_memory_stats, 2, RESP_SLOW,                                            \
      0, 0, 0, "@slow", "4.0.0", "server", "O(N) with N owners of memory",                        \
      "Who holds how much memory")                                                                \
    X("memory|doctor", resp_memory_doctor, 2, RESP_SLOW,                                          \
      0, 0, 0, "@slow", "4.0.0", "server", "O(1)",                                                \
      "What is wrong with the memory, in words")                                                  \
    X("memory|malloc-stats", resp_memory_malloc_stats, 2, RESP_SLOW,                              \
      0, 0, 0, "@slow", "4.0.0", "server", "O(N) with N owners of memory",                        \
      "The ledger of the page heap")                                                              \
    X("memory|purge", resp_memory_purge, 2, RESP_SLOW,                                            \
      0, 0, 0, "@slow", "4.0.0", "server", "O(N) with N free pages",                              \
      "Gives free memory back to the kernel")                                                     \
    X("memory|help", resp_memory_help, 2, RESP_ANY_TIME,                                          \
      0, 0, 0, "@slow", "4.0.0", "server", "O(1)",                                                \
      "Tells the subcommands")                                                                    \
    X("debug", resp_debug, -2, RESP_GUARDED | RESP_SLOW,                                          \
      0, 0, 0, "@admin @slow @dangerous", "1.0.0", "server", "Depends on the subcommand.",        \
      "For tests, where resp.debug allows it")                                                    \
    X("save", resp_save, 1, RESP_ADMINISTERS | RESP_NOSCRIPT | RESP_NO_MULTI | RESP_SLOW,         \
      0, 0, 0, "@admin @slow @dangerous", "1.0.0", "server", "O(N) with N bytes not in files yet",\
      "Writes what is in memory to files, and waits")                                             \
    X("bgsave", resp_bgsave, -1, RESP_ADMINISTERS | RESP_NOSCRIPT | RESP_SLOW,                    \
      0, 0, 0, "@admin @slow @dangerous", "1.0.0", "server", "O(N) with N bytes not in files yet",\
      "Writes what is in memory to files")                                                        \
    X("bgrewriteaof", resp_bgrewriteaof, 1, RESP_ADMINISTERS | RESP_NOSCRIPT | RESP_SLOW,         \
      0, 0, 0, "@admin @slow @dangerous", "1.0.0", "server", "O(N) with N bytes not in files yet",\
      "Writes what is in memory to files, so that the log ends")                                  \
    X("lastsave", resp_lastsave, 1, RESP_LOADING | RESP_STALE | RESP_FAST,                        \
      0, 0, 0, "@admin @fast @dangerous", "1.0.0", "server", "O(1)",                              \
      "When SAVE or its like last succeeded")                                                     \
    X("wait", resp_wait, 3, RESP_NOSCRIPT,                                                        \
      0, 0, 0, "@slow @connection", "3.0.0", "generic", "O(1)",                                   \
      "0, as there are no replicas")                                                              \
    X("waitaof", resp_waitaof, 4, RESP_NOSCRIPT | RESP_SLOW,                                      \
      0, 0, 0, "@slow @connection", "7.2.0", "generic", "O(1), and a write to the disk",          \
      "Waits until what was written survives a power cut")                                        \
    X("shutdown", resp_shutdown, -1, RESP_GUARDED | RESP_NO_MULTI,                                \
      0, 0, 0, "@admin @slow @dangerous", "1.0.0", "server", "O(1)",                              \
      "Ends the server")                                                                          \
    X("time", resp_time, 1, RESP_LOADING | RESP_STALE | RESP_FAST,                                \
      0, 0, 0, "@fast", "2.6.0", "server", "O(1)",                                                \
      "The server's clock, in seconds and microseconds")                                          \
    X("role", resp_role, 1, RESP_OPEN | RESP_FAST,                                                \
      0, 0, 0, "@admin @fast @dangerous", "2.8.12", "server", "O(1)",                             \
      "That it is a master without replicas")                                                     \
    X("lolwut", resp_lolwut, -1, RESP_READS | RESP_FAST,                                          \
      0, 0, 0, "@read @fast", "5.0.0", "server", "O(N) with N stones",                            \
      "Draws something, and says the version")                                                    \
    X("replicaof", resp_replicaof, 3, RESP_ADMINISTERS | RESP_NOSCRIPT | RESP_STALE,              \
      0, 0, 0, "@admin @slow @dangerous", "5.0.0", "server", "O(1)",                              \
      "Refused but for NO ONE, as there is no replication")                                       \
    X("slaveof", resp_replicaof, 3, RESP_ADMINISTERS | RESP_NOSCRIPT | RESP_STALE,                \
      0, 0, 0, "@admin @slow @dangerous", "1.0.0", "server", "O(1)",                              \
      "Refused but for NO ONE, as there is no replication")                                       \
    X("failover", resp_failover, -1, RESP_ADMINISTERS | RESP_NOSCRIPT | RESP_STALE,               \
      0, 0, 0, "@admin @slow @dangerous", "6.2.0", "server", "O(1)",                              \
      "Refused, as there are no replicas")                                                        \
    X("module", resp_unknown_subcommand, -2, 0,                                                   \
      0, 0, 0, "@slow", "4.0.0", "server", "Depends on the subcommand.",                          \
      "Has subcommands only")                                                                     \
    X("module|list", resp_module_list, 2, RESP_ADMINISTERS | RESP_NOSCRIPT,                       \
      0, 0, 0, "@admin @slow @dangerous", "4.0.0", "server", "O(1)",                              \
      "Nothing, as there are no modules")                                                         \
    X("module|load", resp_module_refused, -3, RESP_ADMINISTERS | RESP_NOSCRIPT,                   \
      0, 0, 0, "@admin @slow @dangerous", "4.0.0", "server", "O(1)",                              \
      "Refused, as there are no modules")                                                         \
    X("module|loadex", resp_module_refused, -3, RESP_ADMINISTERS | RESP_NOSCRIPT,                 \
      0, 0, 0, "@admin @slow @dangerous", "7.0.0", "server", "O(1)",                              \
      "Refused, as there are no modules")                                                         \
    X("module|unload", resp_module_refused, 3, RESP_ADMINISTERS | RESP_NOSCRIPT,                  \
      0, 0, 0, "@admin @slow @dangerous", "4.0.0", "server", "O(1)",                              \
      "Refused, as there are no modules")                                                         \
    X("module|help", resp_module_help, 2, RESP_ANY_TIME,                                          \
      0, 0, 0, "@slow", "5.0.0", "server", "O(1)",                                                \
      "Tells the subcommands")                                                                    \
    X("function", resp_unknown_subcommand, -2, 0,                                                 \
      0, 0, 0, "@slow", "7.0.0", "scripting", "Depends on the subcommand.",                       \
      "Has subcommands only")                                                                     \
    X("function|flush", resp_scripts_flushed, -2, RESP_NOSCRIPT,                                  \
      0, 0, 0, "@write @slow @scripting", "7.0.0", "scripting", "O(1)",                           \
      "Does nothing, as there are no functions")                                                  \
    X("function|list", resp_functions_listed, -2, RESP_NOSCRIPT,                                  \
      0, 0, 0, "@slow @scripting", "7.0.0", "scripting", "O(1)",                                  \
      "Nothing, as there are no functions")                                                       \
    X("script", resp_unknown_subcommand, -2, 0,                                                   \
      0, 0, 0, "@slow", "2.6.0", "scripting", "Depends on the subcommand.",                       \
      "Has subcommands only")                                                                     \
    X("script|flush", resp_scripts_flushed, -2, RESP_NOSCRIPT,                                    \
      0, 0, 0, "@slow @scripting", "2.6.0", "scripting", "O(1)",                                  \
      "Does nothing, as there are no scripts")                                                    \
    X("script|exists", resp_scripts_looked_for, -3, RESP_NOSCRIPT,                                \
      0, 0, 0, "@slow @scripting", "2.6.0", "scripting", "O(N) with N digests",                   \
      "That none of them does")                                                                   \
    X("cluster", resp_cluster, -2, 0,                                                             \
      0, 0, 0, "@slow", "3.0.0", "cluster", "Depends on the subcommand.",                         \
      "Refused, as there is no cluster")                                                          \
    X("readonly", resp_cluster, 1, RESP_LOADING | RESP_STALE | RESP_FAST,                         \
      0, 0, 0, "@fast @connection", "3.0.0", "cluster", "O(1)",                                   \
      "Refused, as there is no cluster")                                                          \
    X("readwrite", resp_cluster, 1, RESP_LOADING | RESP_STALE | RESP_FAST,                        \
      0, 0, 0, "@fast @connection", "3.0.0", "cluster", "O(1)",                                   \
      "Refused, as there is no cluster")                                                          \
    X("asking", resp_cluster, 1, RESP_FAST,                                                       \
      0, 0, 0, "@fast @connection", "3.0.0", "cluster", "O(1)",                                   \
      "Refused, as there is no cluster")
/* clang-format on */

#endif
