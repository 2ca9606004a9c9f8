/*
 * Who may log in: the users of all doors, from the configuration and from files.
 *
 *     serve_users_create(&options, &users, &error);
 *     serve_users_load(users, config, &error);                    // and again at each reload
 *     switch (serve_users_login(users, &request, done, mine, &identity)) { … }
 *
 * Doors log in by login.h, which is this and the connection.
 *
 * A login never makes a loop wait. A password that was right before is known by a keyed digest, and
 * answered at once; any other is hashed by a thread of its own, some 10 ms, one after the other.
 * A refusal comes a second after it was asked for, whether there is such a user or not: who guesses
 * has one guess a second and connection, and learns nothing from time.
 *
 * Threads: every call from any thread at once, but create, load and destroy, of which one at a
 * time.
 */
#ifndef QUARRY_SERVE_USERS_H
#define QUARRY_SERVE_USERS_H

#include <serve/config.h>
#include <serve/door.h>
#include <serve/password.h>

struct serve_users;

/* A refusal comes so long after it was asked for, whatever its reason. */
#define SERVE_LOGIN_DELAY_NS (1 * Q_SECOND_NS)
/* Logins that wait for their hash; more are refused untried, as late as others. Each is 1 KiB. */
#define SERVE_LOGINS_WAITING_MAX 1024u
/* Of those, from one peer: a quarter is left for the others, whatever one does. */
#define SERVE_LOGINS_OF_PEER_MAX 768u

struct serve_users_options {
    /* The tenant of a name; "" is the default one. NULL: there is none. May be NULL: all are NULL.
     */
    struct quarry_cache_tenant *(*find_tenant)(void *argument, const char *name);
    void *argument;
    uint64_t refusal_delay_ns; /* 0: SERVE_LOGIN_DELAY_NS */
};

enum serve_login_outcome {
    SERVE_LOGIN_GRANTED = 0,
    SERVE_LOGIN_REFUSED, /* at once only where there are no users at all */
    SERVE_LOGIN_BUSY,    /* no memory, or the server ends; nothing is wrong with the password */
    SERVE_LOGIN_PENDING, /* the answer comes later */
};

/* Told how a login that was pending ended: by the users' thread. `identity`: when granted. */
typedef void serve_login_done_function(void *argument, enum serve_login_outcome outcome,
                                       const struct serve_identity *identity);

struct serve_login_request {
    const char *name; /* both borrowed for the call; any bytes */
    size_t name_bytes;
    const char *password;
    size_t password_bytes;
    uint64_t peer; /* where it comes from: equal for equal addresses, without their ports */
};

/* Errors: NO_MEMORY. `options`: NULL for none. */
enum quarry_status serve_users_create(const struct serve_users_options *options,
                                      struct serve_users **ret_users, struct quarry_error *error);
/*
 * Puts the users of a configuration and its files in the place of those before. Who is logged in
 * stays so.
 *
 * Errors: NOT_FOUND, PERMISSION and IO of files; BAD_INPUT and NOT_FOUND (a tenant) of lines;
 * EXISTS (a user twice); NO_MEMORY: the users are as before.
 */
enum quarry_status serve_users_load(struct serve_users *users, const struct serve_config *config,
                                    struct quarry_error *error);
/*
 * The same in two steps, so that other parts of a reload can fail in between: commit cannot.
 * `ret_change`: own; given to one of the two.
 */
struct serve_users_change;
enum quarry_status serve_users_prepare(struct serve_users *users, const struct serve_config *config,
                                       struct serve_users_change **ret_change,
                                       struct quarry_error *error);
void serve_users_commit(struct serve_users *users, struct serve_users_change *change);
void serve_users_abort(struct serve_users_change *change);
/*
 * Ends the users' thread: logins that are pending are told SERVE_LOGIN_BUSY. NULL does nothing.
 * Threads: nobody logs in any more, and what the functions of pending logins use is still there.
 */
void serve_users_destroy(struct serve_users *users);

uint32_t serve_users_count(struct serve_users *users);
/*
 * Logs in.
 *
 * `done`: called once when the outcome is SERVE_LOGIN_PENDING, else never. `ret_identity`: written
 * when granted. Cost: 2 µs, and a malloc when pending.
 */
enum serve_login_outcome serve_users_login(struct serve_users *users,
                                           const struct serve_login_request *request,
                                           serve_login_done_function *done, void *argument,
                                           struct serve_identity *ret_identity);
/*
 * Who a name is that was proved otherwise: by a client's certificate. Returns: false: no such user.
 */
bool serve_users_find(struct serve_users *users, const char *name,
                      struct serve_identity *ret_identity);
/* All users, by name. `ret_identities`: own, of malloc. Errors: NO_MEMORY. */
enum quarry_status serve_users_list(struct serve_users *users,
                                    struct serve_identity **ret_identities, size_t *ret_count);

#endif
