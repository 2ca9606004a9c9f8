/*
 * The configuration: one array of values for the table's settings, and one for each tenant and
 * user.
 *
 *   config ── values[SERVE_KEY_COUNT]      {number, text, origin}
 *          ├─ groups[SERVE_TENANTS]  ──▶ {"acme", values[4]} {"globex", values[4]} …
 *          └─ groups[SERVE_USERS]    ──▶ {"ann", values[4]} …
 *
 * Invariants:
 *   1. Every value has been parsed: it is within its setting's bounds, and its text is there
 * exactly if the setting is kept as text.
 *   2. A failed set changes nothing but that its tenant or user may have been begun, with defaults.
 *
 * Sources know nothing of each other: precedence is the order in which they are read.
 *
 * Locking: none; see config.h. Cost: a set walks the table, some forty comparisons; a get is a
 * load. Memory: malloc, as a configuration is read some times in the life of a server.
 *
 * Rejected: a struct with a field for each setting. The table would need an offset and a type for
 * each, and what reads a setting would still have to know its unit.
 */
#include <serve/config.h>

#include <stdlib.h>
#include <string.h>

#include <serve/config_value.h>

#define DEFAULT_ORIGIN "default"

#define SERVE_SETTING(id, key_, type_, initial_, least_, most_, when_, words_, help_)              \
    {.key = key_,                                                                                  \
     .type = SERVE_TYPE_##type_,                                                                   \
     .initial = initial_,                                                                          \
     .least = least_,                                                                              \
     .most = most_,                                                                                \
     .is_live = IS_##when_,                                                                        \
     .words = words_,                                                                              \
     .help = help_},
#define IS_LIVE  true
#define IS_START false

static const struct serve_setting settings[] = {SERVE_SETTINGS(SERVE_SETTING)};
static const struct serve_setting tenant_settings[] = {SERVE_TENANT_SETTINGS(SERVE_SETTING)};
static const struct serve_setting user_settings[] = {SERVE_USER_SETTINGS(SERVE_SETTING)};
static const struct serve_setting scrape_settings[] = {SERVE_SCRAPE_SETTINGS(SERVE_SETTING)};

#define GROUP_VALUES_MAX 20
Q_STATIC_ASSERT(SERVE_TENANT_KEY_COUNT <= GROUP_VALUES_MAX, "room for a tenant's values");
Q_STATIC_ASSERT(SERVE_USER_KEY_COUNT <= GROUP_VALUES_MAX, "room for a user's values");
Q_STATIC_ASSERT(SERVE_SCRAPE_KEY_COUNT <= GROUP_VALUES_MAX, "room for a job's values");

static const struct kind {
    const char *prefix; /* of its keys */
    const char *noun;
    size_t name_bytes_max;
    const struct serve_setting *settings;
    uint32_t setting_count;
} kinds[] = {
    [SERVE_TENANTS] = {"tenant.", "tenant", SERVE_TENANT_NAME_BYTES_MAX, tenant_settings,
                       SERVE_TENANT_KEY_COUNT},
    [SERVE_USERS] = {"user.", "user", SERVE_USER_NAME_BYTES_MAX, user_settings,
                     SERVE_USER_KEY_COUNT},
    [SERVE_SCRAPES] = {"scrape.", "scrape", SERVE_USER_NAME_BYTES_MAX, scrape_settings,
                       SERVE_SCRAPE_KEY_COUNT},
};

struct value {
    uint64_t number;
    char *text;   /* own; NULL for numbers */
    char *origin; /* own; NULL: a default */
};

struct group {
    char name[SERVE_USER_NAME_BYTES_MAX + 1];
    struct value values[GROUP_VALUES_MAX];
};

struct groups {
    struct group *all; /* own */
    uint32_t count, capacity;
};

struct serve_config {
    struct value values[SERVE_KEY_COUNT];
    struct groups groups[SERVE_GROUP_KIND_COUNT];
};

/* ---- values --------------------------------------------------------------------------------- */

static void value_clear(struct value *value)
{
    free(value->text);
    free(value->origin);
    *value = (struct value){0};
}

/* The default of a setting. A text's is copied, so that all texts are the value's own. */
static enum quarry_status value_begin(struct value *value, const struct serve_setting *setting)
{
    uint64_t number = 0;
    enum quarry_status status = serve_value_parse(setting, setting->initial, &number, NULL);

    Q_ASSERT_MSG(status == QUARRY_OK, "defaults in the table are valid");
    *value = (struct value){.number = number};
    if (serve_setting_is_text(setting)) {
        value->text = strdup(setting->initial);
        return value->text != NULL ? QUARRY_OK : QUARRY_NO_MEMORY;
    }
    return QUARRY_OK;
}

static enum quarry_status values_begin(struct value *values, const struct serve_setting *of,
                                       uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (value_begin(&values[i], &of[i]) != QUARRY_OK) {
            for (uint32_t j = 0; j <= i; j++) {
                value_clear(&values[j]);
            }
            return QUARRY_NO_MEMORY;
        }
    }
    return QUARRY_OK;
}

/* `name`: of the setting, whole, for the message. */
static enum quarry_status value_set(struct value *value, const struct serve_setting *setting,
                                    const char *name, const char *text, const char *origin,
                                    struct quarry_error *error)
{
    struct quarry_error inner = {0};
    struct value next = {0};
    enum quarry_status status = serve_value_parse(setting, text, &next.number, &inner);

    if (status != QUARRY_OK) {
        return error_set(error, status, "%s: %s %s", origin, name, inner.text);
    }
    next.origin = strdup(origin);
    next.text = serve_setting_is_text(setting) ? strdup(text) : NULL;
    if (next.origin == NULL || (serve_setting_is_text(setting) && next.text == NULL)) {
        value_clear(&next);
        return error_set(error, QUARRY_NO_MEMORY, "%s: no memory for %s", origin, name);
    }
    value_clear(value);
    *value = next;
    return QUARRY_OK;
}

/* ---- tenants and users ---------------------------------------------------------------------- */

bool serve_config_group_find(const struct serve_config *config, enum serve_group_kind kind,
                             const char *name, uint32_t *ret_index)
{
    const struct groups *groups = &config->groups[kind];

    for (uint32_t i = 0; i < groups->count; i++) {
        if (strcmp(groups->all[i].name, name) == 0) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

static enum quarry_status groups_grow(struct groups *groups)
{
    uint32_t capacity = groups->capacity == 0 ? 8 : groups->capacity * 2;
    struct group *all = realloc(groups->all, capacity * sizeof *all);

    if (all == NULL) {
        return QUARRY_NO_MEMORY;
    }
    groups->all = all;
    groups->capacity = capacity;
    return QUARRY_OK;
}

/* Names stand in keys, logs, statistics and files with colons. */
static bool is_group_name(const char *name, size_t bytes_max)
{
    size_t length = strlen(name);

    for (size_t i = 0; i < length; i++) {
        if (name[i] <= ' ' || name[i] > '~' || strchr(":,;\"'\\[]=", name[i]) != NULL) {
            return false;
        }
    }
    return length > 0 && length <= bytes_max;
}

static enum quarry_status group_add(struct serve_config *config, enum serve_group_kind kind,
                                    const char *name, const char *origin, uint32_t *ret_index,
                                    struct quarry_error *error)
{
    struct groups *groups = &config->groups[kind];

    if (!is_group_name(name, kinds[kind].name_bytes_max)) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "%s: '%.64s' is no name of a %s: 1 to %zu printable bytes without blanks, "
                         "quotes, brackets, = : , ; or backslash",
                         origin, name, kinds[kind].noun, kinds[kind].name_bytes_max);
    }
    if (groups->count == SERVE_GROUP_MAX) {
        return error_set(error, QUARRY_TOO_MANY, "%s: more than %u %ss", origin, SERVE_GROUP_MAX,
                         kinds[kind].noun);
    }
    if (groups->count == groups->capacity && groups_grow(groups) != QUARRY_OK) {
        return error_set(error, QUARRY_NO_MEMORY, "%s: no memory for %s %s", origin,
                         kinds[kind].noun, name);
    }
    struct group *group = &groups->all[groups->count];
    *group = (struct group){0};
    memcpy(group->name, name, strlen(name) + 1);
    if (values_begin(group->values, kinds[kind].settings, kinds[kind].setting_count) != QUARRY_OK) {
        return error_set(error, QUARRY_NO_MEMORY, "%s: no memory for %s %s", origin,
                         kinds[kind].noun, name);
    }
    *ret_index = groups->count++;
    return QUARRY_OK;
}

static enum quarry_status unknown_group_key(enum serve_group_kind kind, const char *key,
                                            const char *last, const char *origin,
                                            struct quarry_error *error)
{
    struct nearest nearest;

    nearest_init(&nearest, last);
    for (uint32_t i = 0; i < kinds[kind].setting_count; i++) {
        nearest_offer(&nearest, kinds[kind].settings[i].key);
    }
    if (nearest.name == NULL) {
        return error_set(error, QUARRY_NOT_FOUND, "%s: there is no setting '%.100s' of a %s",
                         origin, key, kinds[kind].noun);
    }
    return error_set(error, QUARRY_NOT_FOUND,
                     "%s: there is no setting '%.100s'; did you mean '%.*s%s'?", origin, key,
                     (int)size_min((size_t)(last - key), 80), key, nearest.name);
}

enum quarry_status serve_config_define(struct serve_config *config, enum serve_group_kind kind,
                                       const char *name, const char *origin,
                                       struct quarry_error *error)
{
    uint32_t index = 0;

    Q_ASSERT(config != NULL && kind < SERVE_GROUP_KIND_COUNT);
    return serve_config_group_find(config, kind, name, &index)
               ? QUARRY_OK
               : group_add(config, kind, name, origin, &index, error);
}

/* A key as "tenant.acme.quota", taken apart: the name lies between the first dot and the last. */
struct group_key {
    const struct kind *kind;
    char name[SERVE_USER_NAME_BYTES_MAX + 2]; /* one more, to be found too long */
    const char *last;                         /* behind the last dot; NULL: there is no name */
    uint32_t which;                           /* of kind->settings; their count for none of them */
};

static void group_key_parse(const char *key, const struct kind *kind, struct group_key *ret_key)
{
    const char *name = key + strlen(kind->prefix), *dot = strrchr(name, '.');

    *ret_key = (struct group_key){.kind = kind, .which = kind->setting_count};
    if (dot == NULL) {
        return;
    }
    memcpy(ret_key->name, name, size_min((size_t)(dot - name), sizeof ret_key->name - 1));
    ret_key->last = dot + 1;
    for (uint32_t i = 0; i < kind->setting_count; i++) {
        if (strcmp(kind->settings[i].key, ret_key->last) == 0) {
            ret_key->which = i;
        }
    }
}

static bool is_group_key(const char *key, enum serve_group_kind *ret_kind)
{
    for (uint32_t kind = 0; kind < SERVE_GROUP_KIND_COUNT; kind++) {
        if (strncmp(key, kinds[kind].prefix, strlen(kinds[kind].prefix)) == 0) {
            *ret_kind = (enum serve_group_kind)kind;
            return true;
        }
    }
    return false;
}

static enum quarry_status set_in_group(struct serve_config *config, enum serve_group_kind kind,
                                       const char *key, const char *text, const char *origin,
                                       struct quarry_error *error)
{
    struct group_key parsed;
    uint32_t index = 0;

    group_key_parse(key, &kinds[kind], &parsed);
    if (parsed.last == NULL) {
        return error_set(error, QUARRY_NOT_FOUND, "%s: '%.100s' is no setting: %sNAME.%s is one",
                         origin, key, kinds[kind].prefix, kinds[kind].settings[0].key);
    }
    if (parsed.which == kinds[kind].setting_count) {
        return unknown_group_key(kind, key, parsed.last, origin, error);
    }
    enum quarry_status status = serve_config_define(config, kind, parsed.name, origin, error);
    if (status != QUARRY_OK) {
        return status;
    }
    (void)serve_config_group_find(config, kind, parsed.name, &index);
    return value_set(&config->groups[kind].all[index].values[parsed.which],
                     &kinds[kind].settings[parsed.which], key, text, origin, error);
}

/* ---- settings ------------------------------------------------------------------------------- */

/* "item_max" alone, or in the wrong section: the first setting that ends in it. */
static const char *same_last_name(const char *key)
{
    const char *dot = strrchr(key, '.'), *last = dot != NULL ? dot + 1 : key;

    for (uint32_t i = 0; i < SERVE_KEY_COUNT; i++) {
        if (strcmp(strrchr(settings[i].key, '.') + 1, last) == 0) {
            return settings[i].key;
        }
    }
    return NULL;
}

static enum quarry_status unknown_key(const char *key, const char *origin,
                                      struct quarry_error *error)
{
    struct nearest nearest;

    nearest_init(&nearest, key);
    for (uint32_t i = 0; i < SERVE_KEY_COUNT; i++) {
        nearest_offer(&nearest, settings[i].key);
    }
    const char *meant = nearest.name != NULL ? nearest.name : same_last_name(key);
    if (meant == NULL) {
        return error_set(error, QUARRY_NOT_FOUND, "%s: there is no setting '%.100s'", origin, key);
    }
    return error_set(error, QUARRY_NOT_FOUND,
                     "%s: there is no setting '%.100s'; did you mean '%s'?", origin, key, meant);
}

enum quarry_status serve_config_set(struct serve_config *config, const char *key, const char *value,
                                    const char *origin, struct quarry_error *error)
{
    enum serve_group_kind kind;

    Q_ASSERT(config != NULL && key != NULL && value != NULL && origin != NULL);
    if (is_group_key(key, &kind)) {
        return set_in_group(config, kind, key, value, origin, error);
    }
    for (uint32_t i = 0; i < SERVE_KEY_COUNT; i++) {
        if (strcmp(settings[i].key, key) == 0) {
            return value_set(&config->values[i], &settings[i], key, value, origin, error);
        }
    }
    return unknown_key(key, origin, error);
}

enum quarry_status serve_config_create(struct serve_config **ret_config, struct quarry_error *error)
{
    struct serve_config *config = calloc(1, sizeof *config);

    Q_ASSERT(ret_config != NULL);
    if (config == NULL || values_begin(config->values, settings, SERVE_KEY_COUNT) != QUARRY_OK) {
        free(config);
        return error_set(error, QUARRY_NO_MEMORY, "no memory for the configuration");
    }
    *ret_config = config;
    return QUARRY_OK;
}

void serve_config_destroy(struct serve_config *config)
{
    if (config == NULL) {
        return;
    }
    for (uint32_t i = 0; i < SERVE_KEY_COUNT; i++) {
        value_clear(&config->values[i]);
    }
    for (uint32_t kind = 0; kind < SERVE_GROUP_KIND_COUNT; kind++) {
        struct groups *groups = &config->groups[kind];
        for (uint32_t i = 0; i < groups->count; i++) {
            for (uint32_t j = 0; j < GROUP_VALUES_MAX; j++) {
                value_clear(&groups->all[i].values[j]);
            }
        }
        free(groups->all);
    }
    free(config);
}

/* ---- reading -------------------------------------------------------------------------------- */

const struct serve_setting *serve_setting(enum serve_key key)
{
    Q_ASSERT(key < SERVE_KEY_COUNT);
    return &settings[key];
}

const struct serve_setting *serve_group_setting(enum serve_group_kind kind, uint32_t which)
{
    Q_ASSERT(kind < SERVE_GROUP_KIND_COUNT && which < kinds[kind].setting_count);
    return &kinds[kind].settings[which];
}

uint32_t serve_group_setting_count(enum serve_group_kind kind)
{
    Q_ASSERT(kind < SERVE_GROUP_KIND_COUNT);
    return kinds[kind].setting_count;
}

static const struct value *value_of(const struct serve_config *config, enum serve_key key)
{
    Q_ASSERT(config != NULL && key < SERVE_KEY_COUNT);
    return &config->values[key];
}

static const char *origin_of(const struct value *value)
{
    return value->origin != NULL ? value->origin : DEFAULT_ORIGIN;
}

uint64_t serve_config_number(const struct serve_config *config, enum serve_key key)
{
    Q_ASSERT(!serve_setting_is_text(&settings[key]));
    return value_of(config, key)->number;
}

const char *serve_config_text(const struct serve_config *config, enum serve_key key)
{
    Q_ASSERT(serve_setting_is_text(&settings[key]));
    return value_of(config, key)->text;
}

const char *serve_config_origin(const struct serve_config *config, enum serve_key key)
{
    return origin_of(value_of(config, key));
}

const char *serve_config_format(const struct serve_config *config, enum serve_key key,
                                char buffer[SERVE_VALUE_TEXT_BYTES])
{
    const struct value *value = value_of(config, key);

    return serve_value_format(&settings[key], value->number, value->text, buffer);
}

const char *serve_config_find_origin(const struct serve_config *config, const char *key)
{
    enum serve_group_kind kind;
    struct group_key parsed;
    uint32_t index = 0;

    if (is_group_key(key, &kind)) {
        group_key_parse(key, &kinds[kind], &parsed);
        bool is_there = parsed.which < kinds[kind].setting_count &&
                        serve_config_group_find(config, kind, parsed.name, &index);
        return is_there ? serve_config_group_origin(config, kind, index, parsed.which) : NULL;
    }
    for (uint32_t i = 0; i < SERVE_KEY_COUNT; i++) {
        if (strcmp(settings[i].key, key) == 0) {
            return origin_of(&config->values[i]);
        }
    }
    return NULL;
}

uint32_t serve_config_group_count(const struct serve_config *config, enum serve_group_kind kind)
{
    Q_ASSERT(kind < SERVE_GROUP_KIND_COUNT);
    return config->groups[kind].count;
}

static const struct group *group_at(const struct serve_config *config, enum serve_group_kind kind,
                                    uint32_t index)
{
    Q_ASSERT(kind < SERVE_GROUP_KIND_COUNT && index < config->groups[kind].count);
    return &config->groups[kind].all[index];
}

const char *serve_config_group_name(const struct serve_config *config, enum serve_group_kind kind,
                                    uint32_t index)
{
    return group_at(config, kind, index)->name;
}

uint64_t serve_config_group_number(const struct serve_config *config, enum serve_group_kind kind,
                                   uint32_t index, uint32_t which)
{
    Q_ASSERT(!serve_setting_is_text(serve_group_setting(kind, which)));
    return group_at(config, kind, index)->values[which].number;
}

const char *serve_config_group_text(const struct serve_config *config, enum serve_group_kind kind,
                                    uint32_t index, uint32_t which)
{
    Q_ASSERT(serve_setting_is_text(serve_group_setting(kind, which)));
    return group_at(config, kind, index)->values[which].text;
}

const char *serve_config_group_origin(const struct serve_config *config, enum serve_group_kind kind,
                                      uint32_t index, uint32_t which)
{
    return origin_of(&group_at(config, kind, index)->values[which]);
}

const char *serve_config_group_format(const struct serve_config *config, enum serve_group_kind kind,
                                      uint32_t index, uint32_t which,
                                      char buffer[SERVE_VALUE_TEXT_BYTES])
{
    const struct value *value = &group_at(config, kind, index)->values[which];

    return serve_value_format(serve_group_setting(kind, which), value->number, value->text, buffer);
}
