/*
 * The commands of the RESP door, a row each, by the files that have them.
 *
 *   X(name, function, arity, flags, first, last, step, categories, since, group, complexity,
 * summary)
 *
 * A subcommand's name is "config|get". Rows are what COMMAND, COMMAND DOCS and ACL CAT tell, so
 * that they are as Redis 7.0 has them.
 */
#ifndef QUARRY_SERVE_RESP_TABLE_H
#define QUARRY_SERVE_RESP_TABLE_H

#include <serve/resp/resp.h>
#include <serve/resp/table_connection.h>
#include <serve/resp/table_keys.h>
#include <serve/resp/table_server.h>
#include <serve/resp/table_store.h>

#define RESP_COMMANDS(X)                                                                           \
    RESP_CONNECTION_COMMANDS(X)                                                                    \
    RESP_KEY_COMMANDS(X)                                                                           \
    RESP_SERVER_COMMANDS(X)                                                                        \
    RESP_STORE_COMMANDS(X)

/* Their functions, of which a file that has some includes this. */
#define RESP_DECLARE(name, function, ...) resp_function function;
RESP_COMMANDS(RESP_DECLARE)
#undef RESP_DECLARE

#endif
