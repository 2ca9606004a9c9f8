/*
 * Users in an array, in the order of their names, found by halving. It is made whole and then
 * replaced as a whole; only the digests of those who have logged in are written later.
 *
 *     ann (hash)   bob (digest)   bob (digest)   carol (digest)
 *
 * Who is in memcached's file on several lines has several passwords, each of which is right: he has
 * an entry for each, side by side. Everybody else is defined once.
 *
 * Source: behaviour of memcached 1.6.18 with -Y, observed.
 *
 * Locking: the caller's (users.c). Memory: malloc, and wiped before it is given back.
 */
#include <serve/users_table.h>

#include <stdlib.h>
#include <string.h>

static enum quarry_status grow(struct users_table *table)
{
    uint32_t capacity = table->capacity == 0 ? 16 : table->capacity * 2;
    struct user *all = calloc(capacity, sizeof *all);

    if (all == NULL) {
        return QUARRY_NO_MEMORY;
    }
    if (table->count > 0) {
        memcpy(all, table->all, table->count * sizeof *all);
        explicit_bzero(table->all, table->count * sizeof *all);
    }
    free(table->all);
    table->all = all;
    table->capacity = capacity;
    return QUARRY_OK;
}

static bool is_name(const char *name)
{
    size_t length = strlen(name);

    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f) {
            return false;
        }
    }
    return length > 0 && length <= SERVE_USER_NAME_BYTES_MAX;
}

static enum quarry_status fill(struct users_reader *reader, struct user *user,
                               const struct user_facts *facts, const char *origin,
                               struct quarry_error *error)
{
    const struct serve_users_options *options = reader->options;

    *user = (struct user){.rights = facts->rights, .has_digest = facts->digest != NULL};
    memcpy(user->name, facts->name, strlen(facts->name) + 1);
    if (facts->digest != NULL) {
        memcpy(user->digest, facts->digest, sizeof user->digest);
    }
    if (options->find_tenant != NULL) {
        user->tenant = options->find_tenant(options->argument, facts->tenant);
        if (user->tenant == NULL) {
            return error_set(error, QUARRY_NOT_FOUND, "%s: user %s: there is no [tenant %.40s]",
                             origin, facts->name, facts->tenant);
        }
    }
    user->hash = facts->hash != NULL ? strdup(facts->hash) : NULL;
    if (facts->hash != NULL && user->hash == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for users");
    }
    return QUARRY_OK;
}

enum quarry_status users_table_add(struct users_reader *reader, const struct user_facts *facts,
                                   const char *origin, struct quarry_error *error)
{
    struct users_table *table = reader->table;

    Q_ASSERT((facts->hash == NULL) != (facts->digest == NULL));
    if (!is_name(facts->name)) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "%s: a user's name has 1 to %u bytes, without blanks", origin,
                         SERVE_USER_NAME_BYTES_MAX);
    }
    if (table->count == USERS_MAX) {
        return error_set(error, QUARRY_TOO_MANY, "%s: more than %u users", origin, USERS_MAX);
    }
    if (table->count == table->capacity && grow(table) != QUARRY_OK) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for users");
    }
    enum quarry_status status = fill(reader, &table->all[table->count], facts, origin, error);
    table->count += status == QUARRY_OK;
    return status;
}

static int compare(const void *one, const void *other)
{
    return strcmp(((const struct user *)one)->name, ((const struct user *)other)->name);
}

enum quarry_status users_table_sort(struct users_table *table, struct quarry_error *error)
{
    if (table->count > 0) {
        qsort(table->all, table->count, sizeof *table->all, compare);
    }
    table->decoy = NULL;
    table->name_count = 0;
    for (uint32_t i = 0; i < table->count; i++) {
        const struct user *user = &table->all[i], *before = i > 0 ? user - 1 : NULL;
        bool is_again = before != NULL && compare(before, user) == 0;

        table->decoy = table->decoy != NULL ? table->decoy : user->hash;
        table->name_count += is_again ? 0 : 1;
        if (is_again && (before->hash != NULL || user->hash != NULL)) {
            return error_set(error, QUARRY_EXISTS, "user %s is defined twice", user->name);
        }
    }
    return QUARRY_OK;
}

struct user *users_table_find(const struct users_table *table, const char *name)
{
    uint32_t first = 0, end = table->count;

    while (first < end) {
        uint32_t middle = first + (end - first) / 2;

        if (strcmp(table->all[middle].name, name) < 0) {
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    return first < table->count && strcmp(table->all[first].name, name) == 0 ? &table->all[first]
                                                                             : NULL;
}

struct user *users_table_next(const struct users_table *table, struct user *user)
{
    Q_ASSERT(user >= table->all && user < table->all + table->count);
    bool is_last = user + 1 == table->all + table->count;

    return is_last || strcmp(user[1].name, user->name) != 0 ? NULL : user + 1;
}

void users_table_clear(struct users_table *table)
{
    for (uint32_t i = 0; i < table->count; i++) {
        free(table->all[i].hash);
    }
    if (table->all != NULL) {
        explicit_bzero(table->all, table->count * sizeof *table->all);
    }
    free(table->all);
    *table = (struct users_table){0};
}
