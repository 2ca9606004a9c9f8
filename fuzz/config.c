/*
 * Configuration files of any bytes: they are read or refused with a sentence, and what was read is
 * written so that it reads the same.
 */
#include <stdio.h>
#include <string.h>

#include <serve/config.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NAME "fuzzed"

static void hear(void *argument, const char *text)
{
    uint32_t *count = argument;

    Q_ASSERT(strncmp(text, NAME ":", sizeof NAME) == 0 && strchr(text, '\n') == NULL);
    (*count)++;
}

/* A value, given back as it is shown, is the same. */
static void check_settings(struct serve_config *config)
{
    char shown[SERVE_VALUE_TEXT_BYTES], again[SERVE_VALUE_TEXT_BYTES];

    for (uint32_t i = 0; i < SERVE_KEY_COUNT; i++) {
        enum serve_key key = (enum serve_key)i;
        (void)serve_config_format(config, key, shown);
        Q_ASSERT(serve_config_set(config, serve_setting(key)->key, shown, "again", NULL) ==
                 QUARRY_OK);
        Q_ASSERT(strcmp(serve_config_format(config, key, again), shown) == 0);
    }
}

static void check_groups(const struct serve_config *config, enum serve_group_kind kind)
{
    char shown[SERVE_VALUE_TEXT_BYTES];
    uint32_t index = 0;

    for (uint32_t i = 0; i < serve_config_group_count(config, kind); i++) {
        const char *name = serve_config_group_name(config, kind, i);
        Q_ASSERT(serve_config_group_find(config, kind, name, &index) && index == i);
        for (uint32_t j = 0; j < serve_group_setting_count(kind); j++) {
            (void)serve_config_group_format(config, kind, i, j, shown);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct serve_config *config = NULL;
    uint32_t count = 0;
    FILE *file = size > 0 ? tmpfile() : NULL;

    if (file == NULL) {
        return 0;
    }
    Q_ASSERT(fwrite(data, 1, size, file) == size);
    rewind(file);
    Q_ASSERT(serve_config_create(&config, NULL) == QUARRY_OK);
    enum quarry_status status = serve_config_read_stream(config, file, NAME, hear, &count, NULL);
    Q_ASSERT((status == QUARRY_OK) == (count == 0));
    (void)serve_config_check(config, NULL, NULL, NULL);
    check_groups(config, SERVE_TENANTS);
    check_groups(config, SERVE_USERS);
    check_settings(config);
    serve_config_destroy(config);
    (void)fclose(file);
    return 0;
}
