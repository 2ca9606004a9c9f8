/*
 * The command line of `quarry map`.
 */
#ifndef QUARRY_CLI_MAP_OPTIONS_H
#define QUARRY_CLI_MAP_OPTIONS_H

#include <cli/map_picture.h>

extern const char map_help[];

/* All texts are borrowed from the command line; NULL: not said. */
struct map_options {
    const char *file;
    const char *pid;
    const char *save;
    const char *server, *user, *password_path;
    enum map_by by;
    uint32_t seconds; /* 0: not said */
    bool is_demo, is_once, is_json, is_ascii;
    bool is_terminal; /* stdout */
};

/* Returns: an exit code; what is wrong is said on stderr. */
int map_options_parse(int argument_count, char **arguments, struct map_options *ret_options);

#endif
