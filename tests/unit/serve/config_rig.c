#include "unit/serve/config_rig.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct serve_config *config;
struct quarry_error error;
char told[8192];

static char path_of_folder[64], path[256];

int config_rig_begin(void **state)
{
    (void)state;
    error = (struct quarry_error){0};
    told[0] = '\0';
    snprintf(path_of_folder, sizeof path_of_folder, "/tmp/quarry-config-test-XXXXXX");
    return mkdtemp(path_of_folder) == NULL || serve_config_create(&config, &error) != QUARRY_OK;
}

static int remove_entry(const char *entry, const struct stat *facts, int type, struct FTW *place)
{
    (void)facts;
    (void)type;
    (void)place;
    return remove(entry);
}

int config_rig_end(void **state)
{
    (void)state;
    serve_config_destroy(config);
    config = NULL;
    return nftw(path_of_folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

const char *folder(void)
{
    return path_of_folder;
}

const char *write_file(const char *name, const char *text)
{
    snprintf(path, sizeof path, "%s/%s", path_of_folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return path;
}

void tell_all(void *argument, const char *text)
{
    size_t used = strlen(told);

    (void)argument;
    assert_true(used + strlen(text) + 2 < sizeof told);
    snprintf(told + used, sizeof told - used, "%s\n", text);
}

void put(const char *key, const char *value)
{
    if (serve_config_set(config, key, value, "test", &error) != QUARRY_OK) {
        fail_msg("%s = %s: %s", key, value, error.text);
    }
}

void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("no '%s' in: %s", part, text);
    }
}

void put_refused(const char *key, const char *value, enum quarry_status status, const char *text)
{
    error = (struct quarry_error){0};
    assert_int_equal(serve_config_set(config, key, value, "test", &error), status);
    assert_int_equal(error.status, status);
    assert_has(error.text, "test: ");
    assert_has(error.text, text);
}

const char *shown(enum serve_key key)
{
    static char text[SERVE_VALUE_TEXT_BYTES];

    return serve_config_format(config, key, text);
}
