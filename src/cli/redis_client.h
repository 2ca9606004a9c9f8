/*
 * A client of the RESP door, or of Redis: one connection; commands one by one or many in a row.
 *
 *     struct redis_client client;
 *     struct redis_value reply;
 *     int code = redis_client_open(&options, &client);
 *     code = redis_client_call(&client, &reply, 2, (struct quarry_kv_slice[]){{"GET", 3}, key});
 *     … reply.kind …
 *     redis_value_free(&reply);
 *     redis_client_close(&client);
 *
 * Every call says what is wrong on stderr, with the address, and returns an exit code. An error
 * that the server answers with is a reply as any other.
 */
#ifndef QUARRY_CLI_REDIS_CLIENT_H
#define QUARRY_CLI_REDIS_CLIENT_H

#include <base/base.h>

#include <quarry/kv.h>

#include <cli/connection.h>

#define REDIS_ADDRESS_DEFAULT "127.0.0.1:6379"

struct redis_client_options {
    const char *command;       /* for messages: "kv get" */
    const char *address;       /* HOST:PORT or unix:PATH */
    const char *user;          /* NULL: no login; "": the default user, by its password alone */
    const char *password_path; /* its first line is the password; "-": stdin */
    uint32_t database;
};

struct redis_client {
    struct connection connection;
    size_t out_count; /* of what is to be sent */
    char out[16384];
};

enum redis_kind {
    REDIS_NIL,
    REDIS_STRING,
    REDIS_ERROR, /* its text is in `bytes` */
    REDIS_INTEGER,
    REDIS_ARRAY,
};

/* A reply. Zeroed is NIL. */
struct redis_value {
    enum redis_kind kind;
    int64_t integer;
    char *bytes; /* own; closed by a NUL that is not counted */
    size_t byte_count;
    struct redis_value *items; /* own */
    size_t item_count;
};
/* All of it; it is NIL then. */
void redis_value_free(struct redis_value *value);

/* Connects, logs in, selects the database. Returns: CLI_NO_CONNECTION when it cannot. */
int redis_client_open(const struct redis_client_options *options, struct redis_client *ret_client);
/* A closed one, too. */
void redis_client_close(struct redis_client *client);

/* Another database from now on. Every answer was read. */
int redis_client_select(struct redis_client *client, uint32_t database);

/* Adds a command to what is sent next. `words`: borrowed for the call. */
int redis_client_add(struct redis_client *client, size_t word_count,
                     const struct quarry_kv_slice *words);
/* Sends what was added. */
int redis_client_flush(struct redis_client *client);
/* Reads the next reply. `ret_reply`: own, also after a failure. */
int redis_client_read(struct redis_client *client, struct redis_value *ret_reply);
/* The three in a row. */
int redis_client_call(struct redis_client *client, struct redis_value *ret_reply, size_t word_count,
                      const struct quarry_kv_slice *words);
/* The same of words that are texts, up to a NULL. */
int redis_client_say(struct redis_client *client, struct redis_value *ret_reply,
                     const char *const *words);

/* Says that an answer is not what was expected, with the answer. Returns: CLI_FAILED. */
int redis_client_refused(const struct redis_client *client, const struct redis_value *reply);

#endif
