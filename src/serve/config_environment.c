/*
 * Settings in environment variables: QUARRY_ and the key in capitals, with _ for the dot.
 *
 *     cache.item_max    QUARRY_CACHE_ITEM_MAX
 *
 * An empty value says nothing, as the files of container tools often set one for "not set".
 *
 * A variable that begins with QUARRY_ and is no setting may be somebody else's: QUARRY_MALLOC is
 * the malloc's, and Kubernetes sets QUARRY_CACHE_SERVICE_HOST where a service is called
 * quarry-cache. It is passed over, unless up to two letters would make it a setting: that one was
 * meant.
 *
 * Tenants and users are not for the environment: their names are not in capitals.
 *
 * Locking: none; nobody changes the environment meanwhile. Cost: O(variables × settings).
 */
#include <serve/config.h>

#include <string.h>

#include <serve/config_told.h>

#define PREFIX           "QUARRY_"
#define NAME_BYTES       80
#define SLIP_LETTERS_MAX 2

static void make_name(const char *key, char name[NAME_BYTES])
{
    size_t at = sizeof PREFIX - 1;

    Q_ASSERT(strlen(key) + sizeof PREFIX <= NAME_BYTES);
    memcpy(name, PREFIX, sizeof PREFIX);
    for (; *key != '\0'; key++) {
        name[at++] = *key == '.' ? '_' : (char)(*key >= 'a' && *key <= 'z' ? *key - 32 : *key);
    }
    name[at] = '\0';
}

/* The setting of a variable's name; SERVE_KEY_COUNT: of none. */
static enum serve_key find_setting(const char *variable)
{
    char name[NAME_BYTES];

    for (uint32_t i = 0; i < SERVE_KEY_COUNT; i++) {
        make_name(serve_setting((enum serve_key)i)->key, name);
        if (strcmp(name, variable) == 0) {
            return (enum serve_key)i;
        }
    }
    return SERVE_KEY_COUNT;
}

/* The variable that was meant. Returns: false when it is somebody else's. */
static bool find_meant(const char *variable, char meant[NAME_BYTES])
{
    char name[NAME_BYTES];
    size_t fewest = SLIP_LETTERS_MAX + 1;

    for (uint32_t i = 0; i < SERVE_KEY_COUNT; i++) {
        struct nearest nearest;
        make_name(serve_setting((enum serve_key)i)->key, name);
        nearest_init(&nearest, variable);
        nearest_offer(&nearest, name);
        if (nearest.name != NULL && nearest.wrong < fewest) {
            fewest = nearest.wrong;
            memcpy(meant, name, NAME_BYTES);
        }
    }
    return fewest <= SLIP_LETTERS_MAX;
}

static void read_variable(struct serve_config *config, const char *variable, const char *value,
                          struct serve_told *told)
{
    struct quarry_error problem = {0};
    enum quarry_status status = QUARRY_OK;
    enum serve_key key = find_setting(variable);
    char meant[NAME_BYTES];

    if (value[0] == '\0') {
        return;
    }
    if (key != SERVE_KEY_COUNT) {
        status = serve_config_set(config, serve_setting(key)->key, value, variable, &problem);
    } else if (find_meant(variable, meant)) {
        status = error_set(&problem, QUARRY_NOT_FOUND,
                           "%s: no setting has this variable; did you mean %s?", variable, meant);
    }
    if (status != QUARRY_OK) {
        serve_told_add(told, &problem);
    }
}

enum quarry_status serve_config_read_environment(struct serve_config *config,
                                                 char *const *environment,
                                                 serve_config_tell_function *tell, void *argument,
                                                 struct quarry_error *error)
{
    struct serve_told told = {.tell = tell, .argument = argument, .error = error};
    char variable[NAME_BYTES];

    Q_ASSERT(config != NULL && environment != NULL);
    for (; *environment != NULL && !serve_told_is_enough(&told); environment++) {
        size_t length = strcspn(*environment, "=");
        if (strncmp(*environment, PREFIX, sizeof PREFIX - 1) == 0 && length < NAME_BYTES &&
            (*environment)[length] == '=') {
            memcpy(variable, *environment, length);
            variable[length] = '\0';
            read_variable(config, variable, *environment + length + 1, &told);
        }
    }
    return told.first;
}
