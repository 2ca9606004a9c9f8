/*
 * Users by name. Internal to users and its reader of files.
 */
#ifndef QUARRY_SERVE_USERS_TABLE_H
#define QUARRY_SERVE_USERS_TABLE_H

#include <serve/users.h>

/* In all sources together. Doubling it doubles the 600 bytes × so many that a table may take. */
#define USERS_MAX 1000000u

struct user {
    char name[SERVE_USER_NAME_BYTES_MAX + 1];
    char *hash; /* own; NULL: the password came in the clear, and the digest is all that is kept */
    uint8_t digest[SERVE_DIGEST_BYTES];
    bool has_digest;
    uint32_t rights;
    struct quarry_cache_tenant *tenant; /* borrowed */
};

struct users_table {
    struct user *all; /* own; by name once sorted */
    uint32_t count, capacity;
    uint32_t name_count; /* once sorted: of users; who has several passwords is one */
    const char *decoy; /* a hash of one of them, for names that are nobody's; NULL: none has one */
};

/* What is needed to read users. */
struct users_reader {
    struct users_table *table;
    const struct serve_users_options *options;
    const uint8_t *key; /* of digests */
};

/*
 * Adds the users of a configuration's sections and files. Errors: as serve_users_load, but EXISTS.
 */
enum quarry_status users_read(struct users_reader *reader, const struct serve_config *config,
                              struct quarry_error *error);

/*
 * Adds a user. `origin`: for messages. `hash`: copied; NULL: `digest` is given.
 * Errors: BAD_INPUT (name), NOT_FOUND (tenant), TOO_MANY, NO_MEMORY.
 */
struct user_facts {
    const char *name;
    const char *hash;
    const uint8_t *digest;
    const char *tenant; /* "" for the default one */
    uint32_t rights;
};
enum quarry_status users_table_add(struct users_reader *reader, const struct user_facts *facts,
                                   const char *origin, struct quarry_error *error);
/* Puts users in order. Errors: EXISTS: one who is defined twice, and not by passwords in the clear.
 */
enum quarry_status users_table_sort(struct users_table *table, struct quarry_error *error);
/* The first entry of a name, and the one behind; NULL: there is none. They differ in digests alone.
 */
struct user *users_table_find(const struct users_table *table, const char *name);
struct user *users_table_next(const struct users_table *table, struct user *user);
void users_table_clear(struct users_table *table);

#endif
