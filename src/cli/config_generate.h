/*
 * Configurations of other engines, for many nodes.
 */
#ifndef QUARRY_CLI_CONFIG_GENERATE_H
#define QUARRY_CLI_CONFIG_GENERATE_H

/* `arguments[0]` is "generate". Returns: an exit code. */
int config_generate(int argument_count, char **arguments);

#endif
