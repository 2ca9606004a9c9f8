/*
 * The functions of the rows in table_keys.h, for the files that have them.
 */
#ifndef QUARRY_SERVE_RESP_KEY_COMMANDS_H
#define QUARRY_SERVE_RESP_KEY_COMMANDS_H

#include <serve/resp/resp.h>
#include <serve/resp/table_keys.h>

#define RESP_DECLARE(name, function, ...) resp_function function;
RESP_KEY_COMMANDS(RESP_DECLARE)
#undef RESP_DECLARE

#endif
