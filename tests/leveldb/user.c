#include "user.h"

#include <stdarg.h>

struct user user;

/* Without the directory that the test happens to use. */
static void print_without_paths(const char *text)
{
    size_t length = strlen(user.paths);

    for (const char *at = text; *at != '\0';) {
        if (strncmp(at, user.paths, length) == 0) {
            printf("PATHS");
            at += length;
        } else {
            putchar(*at++);
        }
    }
}

void say(const char *format, ...)
{
    char text[2048];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    print_without_paths(text);
    if (user.error != NULL) {
        printf(" -> ");
        print_without_paths(user.error);
        leveldb_free(user.error);
        user.error = NULL;
    }
    printf("\n");
    fflush(stdout);
}

void say_bytes(const char *what, const char *bytes, size_t byte_count)
{
    printf("%s: ", what);
    if (bytes == NULL) {
        printf("none");
    } else {
        printf("%zu bytes '", byte_count);
        for (size_t i = 0; i < byte_count && i < 64; i++) {
            unsigned char byte = (unsigned char)bytes[i];
            printf(byte >= ' ' && byte <= '~' ? "%c" : "\\x%02x", byte);
        }
        printf("'");
    }
    say("%s", "");
}

const char *path_of(const char *name)
{
    static char rooms[4][512];
    static unsigned next;
    char *room = rooms[next++ % 4];

    snprintf(room, sizeof(rooms[0]), "%s/%s", user.paths, name);
    return room;
}

void shell(const char *format, const char *name)
{
    char command[2048];
    size_t count = 0;
    const char *path = path_of(name);

    for (const char *at = format; *at != '\0' && count + 1 < sizeof(command);) {
        if (*at == '@') {
            count += (size_t)snprintf(command + count, sizeof(command) - count, "%s", path);
            at++;
        } else {
            command[count++] = *at++;
        }
    }
    command[count] = '\0';
    fflush(stdout);
    if (system(command) != 0) {
        printf("FAILED: %s\n", command);
        exit(1);
    }
}

leveldb_t *open_db(const char *name)
{
    leveldb_t *db = leveldb_open(user.options, path_of(name), &user.error);

    say("open %s: %s", name, db == NULL ? "no" : "yes");
    return db;
}

leveldb_t *must_open(const char *name)
{
    leveldb_t *db = open_db(name);

    if (db == NULL) {
        exit(1);
    }
    return db;
}

void put(leveldb_t *db, const char *key, const char *value)
{
    leveldb_put(db, user.write, key, strlen(key), value, strlen(value), &user.error);
    say("put %s", key);
}

void get(leveldb_t *db, const char *key)
{
    size_t count = 77;
    char *value = leveldb_get(db, user.read, key, strlen(key), &count, &user.error);
    char what[128];

    snprintf(what, sizeof(what), "get %.80s (%zu)", key, count);
    say_bytes(what, value, count);
    leveldb_free(value);
}

void list(leveldb_t *db)
{
    leveldb_iterator_t *iterator = leveldb_create_iterator(db, user.read);
    unsigned count = 0;

    for (leveldb_iter_seek_to_first(iterator); leveldb_iter_valid(iterator);
         leveldb_iter_next(iterator), count++) {
        size_t key_bytes, value_bytes;
        const char *key = leveldb_iter_key(iterator, &key_bytes);
        const char *value = leveldb_iter_value(iterator, &value_bytes);
        if (count < 5) {
            say_bytes("  key", key, key_bytes);
            say_bytes("    value", value, value_bytes);
        }
    }
    leveldb_iter_get_error(iterator, &user.error);
    say("listed %u", count);
    leveldb_iter_destroy(iterator);
}

void fill(leveldb_t *db, int from, int to)
{
    for (int i = from; i < to; i++) {
        char key[32], value[128];
        int key_bytes = snprintf(key, sizeof(key), "key%06d", i);
        int value_bytes = snprintf(value, sizeof(value), "%06d %093d", i, i * 7919);
        leveldb_put(db, user.write, key, (size_t)key_bytes, value, (size_t)value_bytes,
                    &user.error);
    }
    say("filled %d to %d", from, to);
}

int main(int argument_count, char **arguments)
{
    if (argument_count != 2) {
        fprintf(stderr, "user DIRECTORY\n");
        return 2;
    }
    user.paths = arguments[1];
    say("version %d.%d", leveldb_major_version(), leveldb_minor_version());
    user.options = leveldb_options_create();
    user.read = leveldb_readoptions_create();
    user.write = leveldb_writeoptions_create();
    user_keys();
    user_options();
    user_files();
    user_failures();
    leveldb_options_destroy(user.options);
    leveldb_readoptions_destroy(user.read);
    leveldb_writeoptions_destroy(user.write);
    say("done");
    return 0;
}
