/*
 * The functions of the rows in table_server.h, for the files that have them.
 */
#ifndef QUARRY_SERVE_RESP_SERVER_COMMANDS_H
#define QUARRY_SERVE_RESP_SERVER_COMMANDS_H

#include <serve/resp/admin_state.h>
#include <serve/resp/table_server.h>

#define RESP_DECLARE(name, function, ...) resp_function function;
RESP_SERVER_COMMANDS(RESP_DECLARE)
#undef RESP_DECLARE

#endif
