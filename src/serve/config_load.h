/*
 * All sources of a configuration, in their order: what `quarry serve` reads when it starts, and
 * again at each reload.
 */
#ifndef QUARRY_SERVE_CONFIG_LOAD_H
#define QUARRY_SERVE_CONFIG_LOAD_H

#include <serve/config.h>

/* A setting that was given on the command line. */
struct serve_assignment {
    const char *key;
    const char *value;
    const char *origin; /* "--memory" */
};

#define SERVE_ASSIGNMENTS_MAX 128u

/* Borrowed by whoever is given it, strings and all. */
struct serve_sources {
    const char *path;         /* NULL: SERVE_CONFIG_PATH if it is there */
    char *const *environment; /* closed by NULL; NULL: none */
    struct serve_assignment assignments[SERVE_ASSIGNMENTS_MAX];
    uint32_t assignment_count;
};

/*
 * Makes a configuration of defaults, the file, the environment and the assignments, and checks it.
 *
 * `tell`: told of all that is wrong; may be NULL. `ret_config`: own. `error`: the first.
 * Errors: those of serve_config_read_file, serve_config_set and serve_config_check; NO_MEMORY.
 */
enum quarry_status serve_config_load(const struct serve_sources *sources,
                                     serve_config_tell_function *tell, void *argument,
                                     struct serve_config **ret_config, struct quarry_error *error);
/* The file that the sources name, or that would be read; NULL: none. */
const char *serve_sources_path(const struct serve_sources *sources);

#endif
