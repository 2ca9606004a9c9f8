/*
 * Users from where they are defined:
 *
 *   [user ann]           password, or a file whose first line is it; tenant; rights
 *   users.file           ann:$y$j9T$…:acme:read,write      tenant and rights may be left off
 *   users.plain_file     ann:secret                        as memcached -Y reads it; one name on
 *                                                          several lines has several passwords
 *
 * Passwords that come in the clear are turned into digests here, line by line, and wiped.
 *
 * Locking: none. Cost: O(bytes), and 1 µs a password in the clear.
 */
#include <serve/users_table.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <serve/config_value.h>
#include <serve/log.h>

#define ORIGIN_BYTES 120

/* What users of plain files may do: what memcached lets its own. */
#define PLAIN_RIGHTS (SERVE_READ | SERVE_WRITE | SERVE_FLUSH)

typedef enum quarry_status read_line_function(struct users_reader *reader, char *line,
                                              const char *origin, struct quarry_error *error);

/* ---- files, line by line -------------------------------------------------------------------- */

static FILE *open_file(const char *path, struct quarry_error *error)
{
    FILE *file = fopen(path, "re");

    if (file == NULL) {
        enum quarry_status status = errno == ENOENT   ? QUARRY_NOT_FOUND
                                    : errno == EACCES ? QUARRY_PERMISSION
                                                      : QUARRY_IO;
        (void)error_set_os(error, status, errno, "%s", path);
        if (error != NULL) {
            error->status = status;
        }
    }
    return file;
}

static void warn_of_readers(FILE *file, const char *path)
{
    struct stat facts;

    if (fstat(fileno(file), &facts) == 0 && (facts.st_mode & 077) != 0) {
        serve_log(SERVE_LOG_WARNING, "a file of passwords is open to other users of the machine",
                  serve_log_text("path", path));
    }
}

static void make_origin(const char *path, uint32_t line, char origin[ORIGIN_BYTES])
{
    size_t length = strlen(path), room = ORIGIN_BYTES - 16;

    snprintf(origin, ORIGIN_BYTES, "%s:%u", length > room ? path + (length - room) : path, line);
}

static enum quarry_status read_lines(struct users_reader *reader, FILE *file, const char *path,
                                     read_line_function *read_line, struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;
    char *line = NULL, origin[ORIGIN_BYTES];
    size_t capacity = 0;
    ssize_t length;

    for (uint32_t number = 1;
         status == QUARRY_OK && (length = getline(&line, &capacity, file)) >= 0; number++) {
        make_origin(path, number, origin);
        line[strcspn(line, "\r\n")] = '\0';
        if (strlen(line) + 2 < (size_t)length) { /* more than an end of line is cut off */
            status = error_set(error, QUARRY_BAD_INPUT, "%s: a line has no zero bytes", origin);
        } else if (line[0] != '\0') {
            status = read_line(reader, line, origin, error);
        }
        explicit_bzero(line, capacity);
    }
    if (status == QUARRY_OK && ferror(file)) {
        status = error_set_os(error, QUARRY_IO, errno, "%s", path);
    }
    free(line);
    return status;
}

static enum quarry_status read_users(struct users_reader *reader, const char *path,
                                     read_line_function *read_line, bool is_secret,
                                     struct quarry_error *error)
{
    struct quarry_error local = {0}, *told = error != NULL ? error : &local;

    if (path[0] == '\0') {
        return QUARRY_OK;
    }
    FILE *file = open_file(path, told);
    if (file == NULL) {
        return told->status;
    }
    if (is_secret) {
        warn_of_readers(file, path);
    }
    enum quarry_status status = read_lines(reader, file, path, read_line, told);
    (void)fclose(file);
    return status;
}

/* ---- a line of each kind -------------------------------------------------------------------- */

static enum quarry_status read_plain_line(struct users_reader *reader, char *line,
                                          const char *origin, struct quarry_error *error)
{
    uint8_t digest[SERVE_DIGEST_BYTES];
    char *colon = strchr(line, ':');
    size_t length = colon != NULL ? strlen(colon + 1) : 0;

    if (colon == NULL || length == 0 || length > SERVE_PASSWORD_BYTES_MAX) {
        return error_set(error, QUARRY_BAD_INPUT, "%s: not NAME:PASSWORD (of 1 to %u bytes)",
                         origin, SERVE_PASSWORD_BYTES_MAX);
    }
    *colon = '\0';
    serve_password_digest(reader->key, colon + 1, length, digest);
    const struct user_facts facts = {
        .name = line, .digest = digest, .tenant = "", .rights = PLAIN_RIGHTS};
    enum quarry_status status = users_table_add(reader, &facts, origin, error);
    explicit_bzero(digest, sizeof digest);
    return status;
}

/* The text up to the next colon, which is made its end. NULL: there was none left. */
static char *next_part(char **at)
{
    char *part = *at;

    if (part != NULL) {
        char *colon = strchr(part, ':');
        *at = colon != NULL ? colon + 1 : NULL;
        if (colon != NULL) {
            *colon = '\0';
        }
    }
    return part;
}

static enum quarry_status read_hash_line(struct users_reader *reader, char *line,
                                         const char *origin, struct quarry_error *error)
{
    const struct serve_setting *setting = serve_group_setting(SERVE_USERS, SERVE_USER_RIGHTS);
    struct quarry_error inner = {0};
    uint64_t rights = 0;

    if (line[0] == '#') {
        return QUARRY_OK;
    }
    char *name = next_part(&line), *hash = next_part(&line), *tenant = next_part(&line),
         *words = next_part(&line);
    if (hash == NULL || line != NULL || !serve_password_is_hash(hash)) {
        return error_set(error, QUARRY_BAD_INPUT, "%s: not NAME:HASH[:TENANT[:RIGHTS]]", origin);
    }
    bool has_words = words != NULL && words[0] != '\0';
    if (serve_value_parse(setting, has_words ? words : setting->initial, &rights, &inner) !=
        QUARRY_OK) {
        return error_set(error, QUARRY_BAD_INPUT, "%s: rights: %s", origin, inner.text);
    }
    const struct user_facts facts = {.name = name,
                                     .hash = hash,
                                     .tenant = tenant != NULL ? tenant : "",
                                     .rights = (uint32_t)rights};
    return users_table_add(reader, &facts, origin, error);
}

/* ---- sections ------------------------------------------------------------------------------- */

/* The first line of a file. */
static enum quarry_status read_first_line(const char *path,
                                          char ret_hash[SERVE_PASSWORD_HASH_BYTES],
                                          struct quarry_error *error)
{
    struct quarry_error local = {0}, *told = error != NULL ? error : &local;
    FILE *file = open_file(path, told);

    if (file == NULL) {
        return told->status;
    }
    if (fgets(ret_hash, SERVE_PASSWORD_HASH_BYTES, file) == NULL) {
        ret_hash[0] = '\0';
    }
    (void)fclose(file);
    ret_hash[strcspn(ret_hash, " \t\r\n")] = '\0';
    return QUARRY_OK;
}

static enum quarry_status read_section(struct users_reader *reader,
                                       const struct serve_config *config, uint32_t index,
                                       struct quarry_error *error)
{
    const char *name = serve_config_group_name(config, SERVE_USERS, index);
    const char *path =
        serve_config_group_text(config, SERVE_USERS, index, SERVE_USER_PASSWORD_FILE);
    const char *origin = path;
    char hash[SERVE_PASSWORD_HASH_BYTES];
    struct user_facts facts = {
        .name = name,
        .hash = serve_config_group_text(config, SERVE_USERS, index, SERVE_USER_PASSWORD),
        .tenant = serve_config_group_text(config, SERVE_USERS, index, SERVE_USER_TENANT),
        .rights =
            (uint32_t)serve_config_group_number(config, SERVE_USERS, index, SERVE_USER_RIGHTS),
    };

    if (path[0] != '\0') {
        enum quarry_status status = read_first_line(path, hash, error);
        if (status != QUARRY_OK) {
            return status;
        }
        facts.hash = hash;
    } else {
        origin = serve_config_group_origin(config, SERVE_USERS, index, SERVE_USER_PASSWORD);
    }
    if (!serve_password_is_hash(facts.hash)) {
        return error_set(error, QUARRY_BAD_INPUT, "%.120s: user %s: this is no hash of a password",
                         origin, name);
    }
    return users_table_add(reader, &facts, origin, error);
}

enum quarry_status users_read(struct users_reader *reader, const struct serve_config *config,
                              struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = 0; status == QUARRY_OK && i < serve_config_group_count(config, SERVE_USERS);
         i++) {
        status = read_section(reader, config, i, error);
    }
    if (status == QUARRY_OK) {
        status = read_users(reader, serve_config_text(config, SERVE_USERS_FILE), read_hash_line,
                            false, error);
    }
    if (status == QUARRY_OK) {
        status = read_users(reader, serve_config_text(config, SERVE_USERS_PLAIN_FILE),
                            read_plain_line, true, error);
    }
    return status;
}
