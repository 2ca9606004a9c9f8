/*
 * Loading: default < file < environment < command line, each over the one before.
 *
 * Everything that is wrong in any source is told before the load fails, so that a file with three
 * mistakes takes one start to put right. Whether values go together is looked at only when each is
 * right by itself: else the complaints would be about values that nobody gave.
 *
 * Locking: none. Cost: some 100 µs for a file of usual size.
 */
#include <serve/config_load.h>

#include <unistd.h>

#include <serve/config_told.h>

const char *serve_sources_path(const struct serve_sources *sources)
{
    if (sources->path != NULL) {
        return sources->path;
    }
    return access(SERVE_CONFIG_PATH, F_OK) == 0 ? SERVE_CONFIG_PATH : NULL;
}

static void read_assignments(struct serve_config *config, const struct serve_sources *sources,
                             struct serve_told *told)
{
    Q_ASSERT(sources->assignment_count <= SERVE_ASSIGNMENTS_MAX);
    for (uint32_t i = 0; i < sources->assignment_count; i++) {
        const struct serve_assignment *one = &sources->assignments[i];
        struct quarry_error problem = {0};
        if (serve_config_set(config, one->key, one->value, one->origin, &problem) != QUARRY_OK) {
            serve_told_add(told, &problem);
        }
    }
}

/* What `told` is of one source's reader: the first that it says is the first of all. */
static void keep_first(struct serve_told *told, enum quarry_status status,
                       const struct quarry_error *error)
{
    if (status != QUARRY_OK && told->first == QUARRY_OK) {
        told->first = status;
        if (told->error != NULL) {
            *told->error = *error;
        }
    }
}

enum quarry_status serve_config_load(const struct serve_sources *sources,
                                     serve_config_tell_function *tell, void *argument,
                                     struct serve_config **ret_config, struct quarry_error *error)
{
    struct serve_told told = {.tell = tell, .argument = argument, .error = error};
    const char *path = serve_sources_path(sources);
    struct serve_config *config = NULL;
    struct quarry_error first = {0};

    Q_ASSERT(sources != NULL && ret_config != NULL);
    enum quarry_status status = serve_config_create(&config, error);
    if (status != QUARRY_OK) {
        return status;
    }
    if (path != NULL) {
        status = serve_config_read_file(config, path, tell, argument, &first);
        keep_first(&told, status, &first);
    }
    if (sources->environment != NULL) {
        status =
            serve_config_read_environment(config, sources->environment, tell, argument, &first);
        keep_first(&told, status, &first);
    }
    read_assignments(config, sources, &told);
    if (told.first == QUARRY_OK) {
        told.first = serve_config_check(config, tell, argument, error);
    }
    if (told.first != QUARRY_OK) {
        serve_config_destroy(config);
        return told.first;
    }
    *ret_config = config;
    return QUARRY_OK;
}
