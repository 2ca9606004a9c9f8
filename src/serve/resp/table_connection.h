/* Rows of table.h. */
#ifndef QUARRY_SERVE_RESP_TABLE_CONNECTION_H
#define QUARRY_SERVE_RESP_TABLE_CONNECTION_H

/* clang-format off */
#define RESP_CONNECTION_COMMANDS(X)                                                                \
    X("auth", resp_auth, -2,                                                                       \
      RESP_NOSCRIPT | RESP_LOADING | RESP_STALE | RESP_FAST | RESP_NO_AUTH | RESP_ALLOW_BUSY |     \
          RESP_ON_WORKER,                                                                          \
      0, 0, 0, "@fast @connection", "1.0.0", "connection", "O(1)",                                 \
      "Logs in with a password, or with a name and a password.")                                   \
    X("hello", resp_hello, -1,                                                                     \
      RESP_NOSCRIPT | RESP_LOADING | RESP_STALE | RESP_FAST | RESP_NO_AUTH | RESP_ALLOW_BUSY |     \
          RESP_ON_WORKER,                                                                          \
      0, 0, 0, "@fast @connection", "6.0.0", "connection", "O(1)",                                 \
      "Chooses the protocol, and logs in and names the connection where that is asked for.")       \
    X("ping", resp_ping, -1, RESP_FAST, 0, 0, 0, "@fast @connection", "1.0.0", "connection",       \
      "O(1)", "Says PONG, or what it was given.")                                                  \
    X("echo", resp_echo, 2, RESP_LOADING | RESP_STALE | RESP_FAST, 0, 0, 0, "@fast @connection",   \
      "1.0.0", "connection", "O(1)", "Says what it was given.")                                    \
    X("quit", resp_quit, -1,                                                                       \
      RESP_NOSCRIPT | RESP_LOADING | RESP_STALE | RESP_FAST | RESP_NO_AUTH | RESP_ALLOW_BUSY |     \
          RESP_IMMEDIATE, 0, 0, 0, "@fast @connection", "1.0.0", "connection", "O(1)",                                       \
      "Closes the connection once all answers are sent.")                                          \
    X("reset", resp_reset, 1,                                                                      \
      RESP_NOSCRIPT | RESP_LOADING | RESP_STALE | RESP_FAST | RESP_NO_AUTH | RESP_ALLOW_BUSY |     \
          RESP_IMMEDIATE | RESP_ON_WORKER,                                                                          \
      0, 0, 0, "@fast @connection", "6.2.0", "connection", "O(1)",                                 \
      "Makes the connection what it was when it began.")                                           \
    X("select", resp_select, 2, RESP_LOADING | RESP_STALE | RESP_FAST, 0, 0, 0,                    \
      "@fast @connection", "1.0.0", "connection", "O(1)",                                          \
      "Chooses the database that commands from here on are about.")                                \
    X("multi", resp_multi, 1,                                                                      \
      RESP_NOSCRIPT | RESP_LOADING | RESP_STALE | RESP_FAST | RESP_ALLOW_BUSY |                     \
          RESP_IMMEDIATE, 0, 0, 0,  \
      "@fast @transaction", "1.2.0", "transactions", "O(1)",                                       \
      "Begins a transaction: commands are queued from here on.")                                   \
    X("exec", resp_exec, 1,                                                                        \
      RESP_NOSCRIPT | RESP_LOADING | RESP_STALE | RESP_SKIP_SLOWLOG | RESP_IMMEDIATE, 0, 0, 0,     \
      "@slow @transaction", "1.2.0", "transactions", "The sum of the queued commands'",            \
      "Executes all queued commands at one moment, unless a watched key was changed.")             \
    X("discard", resp_discard, 1,                                                                  \
      RESP_NOSCRIPT | RESP_LOADING | RESP_STALE | RESP_FAST | RESP_ALLOW_BUSY |                     \
          RESP_IMMEDIATE, 0, 0, 0,  \
      "@fast @transaction", "2.0.0", "transactions", "O(N) with N queued commands",                \
      "Forgets all queued commands, and the watched keys.")                                        \
    X("watch", resp_watch, -2,                                                                     \
      RESP_NOSCRIPT | RESP_LOADING | RESP_STALE | RESP_FAST | RESP_ALLOW_BUSY |                     \
          RESP_IMMEDIATE, 1, -1, 1, \
      "@fast @transaction", "2.2.0", "transactions", "O(1) for each key",                          \
      "Has the next EXEC do nothing if one of the keys is changed before it.")                     \
    X("unwatch", resp_unwatch, 1, RESP_NOSCRIPT | RESP_LOADING | RESP_STALE | RESP_FAST | RESP_ALLOW_BUSY, \
      0, 0, 0, "@fast @transaction", "2.2.0", "transactions", "O(N) with N watched keys",                   \
      "Forgets the watched keys.")
/* clang-format on */

#endif
