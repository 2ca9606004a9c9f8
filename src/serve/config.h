/*
 * The server's configuration: settings from several sources, each value with where it came from.
 *
 *     struct serve_config *config;
 *     struct quarry_error error = {0};
 *
 *     serve_config_create(&config, &error);                                  // defaults
 *     serve_config_read_file(config, "/etc/quarry/quarry.conf", NULL, NULL, &error);
 *     serve_config_read_environment(config, environ, NULL, NULL, &error);
 *     serve_config_set(config, "cache.item_max", "2m", "--set", &error);
 *     serve_config_check(config, &error);
 *     uint64_t bytes = serve_config_number(config, SERVE_CACHE_ITEM_MAX);
 *
 * What is set later holds. Keys are "section.name"; for a tenant, a user or a job of scraping,
 * "tenant.NAME.quota", "user.NAME.rights" and "scrape.NAME.targets". Error texts are whole
 * sentences that begin with the origin.
 *
 * Threads: a configuration is written by one thread; when it is complete, any may read it.
 */
#ifndef QUARRY_SERVE_CONFIG_H
#define QUARRY_SERVE_CONFIG_H

#include <stdio.h>

#include <base/base.h>

#include <serve/config_table.h>

/* How a value is written. */
enum serve_type {
    SERVE_TYPE_BYTES,    /* "4096", "512m", "1.5GiB"; powers of 1024 */
    SERVE_TYPE_DURATION, /* "0", "500ms", "10s", "1h30m", "7d"; kept in nanoseconds */
    SERVE_TYPE_COUNT,    /* digits */
    SERVE_TYPE_BOOL,     /* on, off; yes, no; true, false; 1, 0 */
    SERVE_TYPE_TEXT,     /* any printable bytes */
    SERVE_TYPE_ADDRESS,  /* "off", or addresses with commas between; config_address.h */
    SERVE_TYPE_CHOICE,   /* one of the words; the number is its place, from 0 */
    SERVE_TYPE_WORDS,    /* some of the words with commas between; "all", "none"; a bit each */
};

/* What one setting is; config_table.h has them all. Static, const. */
struct serve_setting {
    const char *key; /* "cache.size"; of a tenant's or user's only "quota" */
    enum serve_type type;
    const char *initial; /* as written */
    uint64_t least, most;
    bool is_live; /* a reload changes it */
    const char *words;
    const char *help;
};

#define SERVE_ENUM(id, ...) id,
enum serve_key { SERVE_SETTINGS(SERVE_ENUM) SERVE_KEY_COUNT };
enum serve_tenant_key { SERVE_TENANT_SETTINGS(SERVE_ENUM) SERVE_TENANT_KEY_COUNT };
enum serve_user_key { SERVE_USER_SETTINGS(SERVE_ENUM) SERVE_USER_KEY_COUNT };
enum serve_scrape_key { SERVE_SCRAPE_SETTINGS(SERVE_ENUM) SERVE_SCRAPE_KEY_COUNT };
#undef SERVE_ENUM

/* Values of SERVE_SERVER_DURABILITY. */
enum serve_durability { SERVE_DURABLE_NONE, SERVE_DURABLE_PROCESS, SERVE_DURABLE_POWER };
/* SERVE_SERVER_DATA where there is no folder. */
#define SERVE_DATA_OFF "off"
/* Bits of SERVE_MEMCACHED_ALLOW. */
enum serve_memcached_allow {
    SERVE_ALLOWS_FLUSH = 1,
    SERVE_ALLOWS_DUMP = 2,
    SERVE_ALLOWS_WATCH = 4,
    SERVE_ALLOWS_SHUTDOWN = 8,
};
/* Values of SERVE_KV_COMPRESSION. */
enum serve_kv_compression {
    SERVE_KV_COMPRESSION_NONE,
    SERVE_KV_COMPRESSION_SNAPPY,
    SERVE_KV_COMPRESSION_LZ4,
    SERVE_KV_COMPRESSION_ZSTD,
};
/* Values of SERVE_CACHE_FILE. */
enum serve_cache_file {
    SERVE_CACHE_FILE_AUTO,
    SERVE_CACHE_FILE_OFF,
    SERVE_CACHE_FILE_SHM,
    SERVE_CACHE_FILE_DATA,
};

/* The kinds of sections of which there can be many, each with a name. */
enum serve_group_kind { SERVE_TENANTS, SERVE_USERS, SERVE_SCRAPES, SERVE_GROUP_KIND_COUNT };

/* The file that is read when no other is named, if it is there. */
#define SERVE_CONFIG_PATH "/etc/quarry/quarry.conf"
/* Longest names of a tenant and of a user, in bytes. */
#define SERVE_TENANT_NAME_BYTES_MAX 31u
#define SERVE_USER_NAME_BYTES_MAX   63u
/* Tenants and users that sections can define, each; a file of users can have more. */
#define SERVE_GROUP_MAX 4096u
/* Room for any value as text, the closing NUL included. */
#define SERVE_VALUE_TEXT_BYTES 1024

struct serve_config;

/* Told of each thing that is wrong in a source: a whole sentence with its origin, no line end. */
typedef void serve_config_tell_function(void *argument, const char *text);

/*
 * Creates a configuration of defaults. `ret_config`: own; serve_config_destroy.
 * Errors: NO_MEMORY.
 */
enum quarry_status serve_config_create(struct serve_config **ret_config,
                                       struct quarry_error *error);
/* `config`: given; NULL does nothing. */
void serve_config_destroy(struct serve_config *config);

/*
 * Sets one value.
 *
 * `origin`: where it comes from, for people: "--memory", "quarry.conf:12". Copied.
 * Errors: NOT_FOUND (no such setting; the text names the nearest), BAD_INPUT, TOO_LARGE, TOO_MANY
 * (tenants, users), NO_MEMORY; the value is as it was.
 */
enum quarry_status serve_config_set(struct serve_config *config, const char *key, const char *value,
                                    const char *origin, struct quarry_error *error);
/* Begins a tenant or a user with defaults, where there is none of that name. Errors: as above. */
enum quarry_status serve_config_define(struct serve_config *config, enum serve_group_kind kind,
                                       const char *name, const char *origin,
                                       struct quarry_error *error);
/* Where the value of a key comes from; NULL: there is no such setting, tenant or user. Borrowed. */
const char *serve_config_find_origin(const struct serve_config *config, const char *key);
/*
 * Sets what a file says, in the form of INI (docs/configuration.md).
 *
 * `tell`: told of all that is wrong; NULL: reading stops at the first. `error`: the first.
 * Errors: NOT_FOUND, PERMISSION and IO of the file; those of serve_config_set; EXISTS (a setting
 * twice in the file).
 */
enum quarry_status serve_config_read_file(struct serve_config *config, const char *path,
                                          serve_config_tell_function *tell, void *argument,
                                          struct quarry_error *error);
/* The same of a file that is open. `name`: what messages call it. `file`: borrowed for the call. */
enum quarry_status serve_config_read_stream(struct serve_config *config, FILE *file,
                                            const char *name, serve_config_tell_function *tell,
                                            void *argument, struct quarry_error *error);
/*
 * Sets what the environment says: QUARRY_CACHE_ITEM_MAX=2m is cache.item_max. Variables that begin
 * with QUARRY_ and are no setting are somebody else's, unless one or two letters make them one.
 *
 * `environment`: "NAME=value", closed by NULL; borrowed. Else as serve_config_read_file.
 */
enum quarry_status serve_config_read_environment(struct serve_config *config,
                                                 char *const *environment,
                                                 serve_config_tell_function *tell, void *argument,
                                                 struct quarry_error *error);
/*
 * Whether the values go together; to be called when all sources have been read.
 *
 * Errors: BAD_INPUT, PERMISSION (a door beyond this machine that anybody could use), NOT_FOUND (a
 * user of a tenant that there is not).
 */
enum quarry_status serve_config_check(const struct serve_config *config,
                                      serve_config_tell_function *tell, void *argument,
                                      struct quarry_error *error);

/* What is known of a setting. `kind` and `which`: of a tenant or user. */
const struct serve_setting *serve_setting(enum serve_key key);
const struct serve_setting *serve_group_setting(enum serve_group_kind kind, uint32_t which);
uint32_t serve_group_setting_count(enum serve_group_kind kind);

/* The value of a number: bytes, nanoseconds, ones, 0 or 1, the place of a word, bits of words. */
uint64_t serve_config_number(const struct serve_config *config, enum serve_key key);
/* The value of a text or of addresses. Borrowed from the configuration; "" when there is none. */
const char *serve_config_text(const struct serve_config *config, enum serve_key key);
/* Where it comes from: "default", "quarry.conf:12", "QUARRY_CACHE_SIZE", "--memory". Borrowed. */
const char *serve_config_origin(const struct serve_config *config, enum serve_key key);
/* Writes a value as serve_config_set would read it. Returns: `buffer`. */
const char *serve_config_format(const struct serve_config *config, enum serve_key key,
                                char buffer[SERVE_VALUE_TEXT_BYTES]);

/* The tenants and users of sections: how many, and what each is; by index from 0. */
uint32_t serve_config_group_count(const struct serve_config *config, enum serve_group_kind kind);
const char *serve_config_group_name(const struct serve_config *config, enum serve_group_kind kind,
                                    uint32_t index);
uint64_t serve_config_group_number(const struct serve_config *config, enum serve_group_kind kind,
                                   uint32_t index, uint32_t which);
const char *serve_config_group_text(const struct serve_config *config, enum serve_group_kind kind,
                                    uint32_t index, uint32_t which);
const char *serve_config_group_origin(const struct serve_config *config, enum serve_group_kind kind,
                                      uint32_t index, uint32_t which);
const char *serve_config_group_format(const struct serve_config *config, enum serve_group_kind kind,
                                      uint32_t index, uint32_t which,
                                      char buffer[SERVE_VALUE_TEXT_BYTES]);
/* The index of the one of that name. Returns: false when there is none. */
bool serve_config_group_find(const struct serve_config *config, enum serve_group_kind kind,
                             const char *name, uint32_t *ret_index);

/* Whether anybody has to log in: there are users, or a file of them is named. */
bool serve_config_has_users(const struct serve_config *config);
/* Whether there is to be a RESP door, and so a key-value store: it has an address and a folder. */
bool serve_config_wants_resp(const struct serve_config *config);
/* Whether there is to be an HTTP door. */
bool serve_config_wants_http(const struct serve_config *config);

#endif
