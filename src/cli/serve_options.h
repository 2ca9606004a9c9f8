/*
 * The options that say how a server is to be: of `quarry serve` and of `quarry config show`.
 */
#ifndef QUARRY_CLI_SERVE_OPTIONS_H
#define QUARRY_CLI_SERVE_OPTIONS_H

#include <serve/serve.h>

/* What help says of them. */
#define SERVE_OPTIONS_HELP                                                                         \
    "  --config FILE           settings (" SERVE_CONFIG_PATH " if it is there)\n"                  \
    "  --memory BYTES          the process never has more, like 2g; auto: nine tenths of the\n"    \
    "                          cgroup's limit, or of RAM\n"                                        \
    "  --data DIR              folder of what is kept (quarry-data)\n"                             \
    "  --durability LEVEL      what outlives what: none, process (kill -9), power\n"               \
    "  --memcached ADDRESS     ADDRESS:PORT or unix:PATH, with commas between; off\n"              \
    "                          (127.0.0.1:11211)\n"                                                \
    "  --resp ADDRESS          likewise, for Redis' clients (127.0.0.1:6379)\n"                    \
    "  --http ADDRESS          likewise, for Prometheus' clients (127.0.0.1:9090)\n"               \
    "  --threads N             loops that serve connections; auto: as many as CPUs\n"              \
    "  --insecure              allows doors beyond this machine without users\n"                   \
    "  --log-format FORMAT     auto, human, logfmt, json\n"                                        \
    "  --log-level LEVEL       debug, info, warning, error\n"                                      \
    "  --user NAME             becomes that user, where root starts it\n"                          \
    "  --set SECTION.KEY=VALUE any setting; 'quarry config show' has them all\n"

/*
 * An option of the command's own, told as it is met. `name`: without dashes. Returns: false when
 * the command has none of that name.
 */
typedef bool serve_own_option(void *argument, const char *name);

/*
 * Reads options. `own`: may be NULL; its options take no values. `ret_sources`: borrows the
 * arguments and the environment.
 * Returns: an exit code; what is wrong has been said on stderr.
 */
int serve_options_parse(const char *command, int argument_count, char **arguments,
                        serve_own_option *own, void *own_argument,
                        struct serve_sources *ret_sources);
/* Loads a configuration, and says on stderr all that is wrong. Returns: an exit code. */
int serve_options_load(const char *command, const struct serve_sources *sources,
                       struct serve_config **ret_config);

#endif
