/*
 * ACL: who the server's users are and what they may do, in Redis' words.
 *
 * Users are those of the configuration and its files; a right of theirs is a set of categories:
 *
 *   read    +@read                    flush   +flushall +flushdb
 *   write   +@write                   admin   +@admin
 *
 * and everybody may give the commands that neither read nor write. Without users everybody is
 * "default", who may do all. Passwords are not told, nor their hashes.
 *
 * Changing users is refused with where they are changed.
 */
#include <os/os.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <serve/resp/server_commands.h>

/* As Redis has them, in its order. */
static const char *const categories[] = {
    "keyspace", "read",   "write",       "set",       "sortedset",  "list",        "hash",
    "string",   "bitmap", "hyperloglog", "geo",       "stream",     "pubsub",      "admin",
    "fast",     "slow",   "blocking",    "dangerous", "connection", "transaction", "scripting",
};
#define CATEGORY_COUNT (sizeof categories / sizeof categories[0])

enum resp_outcome resp_acl_whoami(struct resp_call *call)
{
    const char *user = call->session->user;

    resp_say_text(call->reply, user[0] == '\0' ? "default" : user);
    return RESP_ANSWERED;
}

/* ---- users ---------------------------------------------------------------------------------- */

struct users {
    struct resp_user *all; /* own */
    size_t count;
    bool needs_login;
};

/* Those of the server, or the one for all. False: an error was said. */
static bool read_users(struct resp_call *call, struct users *ret_users)
{
    const struct resp_hooks *hooks = &resp_admin_settings()->hooks;
    struct resp_settings settings;
    enum quarry_status status = QUARRY_OK;

    resp_admin_read_settings(&settings);
    *ret_users = (struct users){.needs_login = settings.needs_login};
    if (settings.needs_login && hooks->list_users != NULL) {
        status = hooks->list_users(hooks->argument, &ret_users->all, &ret_users->count);
    } else if (!settings.needs_login) {
        ret_users->all = calloc(1, sizeof *ret_users->all);
        status = ret_users->all == NULL ? QUARRY_NO_MEMORY : QUARRY_OK;
        ret_users->count = 1;
    }
    if (status != QUARRY_OK) {
        resp_say_status(call->reply, status, NULL);
        return false;
    }
    if (!settings.needs_login) {
        memcpy(ret_users->all[0].name, "default", sizeof "default");
        ret_users->all[0].rights = SERVE_ALL;
    }
    return true;
}

/* Answers with what `say` says of the users, who are read for it. */
static enum resp_outcome answer_of_users(struct resp_call *call,
                                         void (*say)(struct resp_call *call,
                                                     const struct users *users))
{
    struct users users;

    if (!call->may_wait) {
        return RESP_BUSY;
    }
    if (read_users(call, &users)) {
        say(call, &users);
        free(users.all);
    }
    return RESP_ANSWERED;
}

#define RULES_BYTES 128

/* What a user's rights are as rules of commands. */
static const char *write_rules(uint32_t rights, char room[RULES_BYTES])
{
    if ((rights & SERVE_ALL) == SERVE_ALL) {
        (void)snprintf(room, RULES_BYTES, "+@all");
        return room;
    }
    (void)snprintf(room, RULES_BYTES, "-@all +@connection +@transaction%s%s%s%s",
                   (rights & SERVE_READ) != 0 ? " +@read" : "",
                   (rights & SERVE_WRITE) != 0 ? " +@write" : "",
                   (rights & SERVE_FLUSH) != 0 ? " +flushall +flushdb" : "",
                   (rights & SERVE_ADMIN) != 0 ? " +@admin" : "");
    return room;
}

static void say_lines(struct resp_call *call, const struct users *users)
{
    char rules[RULES_BYTES], line[RULES_BYTES + RESP_USER_BYTES + 64];

    resp_say_array(call->reply, users->count);
    for (size_t i = 0; i < users->count; i++) {
        const struct resp_user *user = &users->all[i];
        (void)snprintf(line, sizeof line, "user %s on%s ~* resetchannels %s", user->name,
                       users->needs_login ? "" : " nopass", write_rules(user->rights, rules));
        resp_say_text(call->reply, line);
    }
}

enum resp_outcome resp_acl_list(struct resp_call *call)
{
    return answer_of_users(call, say_lines);
}

static void say_names(struct resp_call *call, const struct users *users)
{
    resp_say_array(call->reply, users->count);
    for (size_t i = 0; i < users->count; i++) {
        resp_say_text(call->reply, users->all[i].name);
    }
}

enum resp_outcome resp_acl_users(struct resp_call *call)
{
    return answer_of_users(call, say_names);
}

static const struct resp_user *find_user(const struct users *users, struct quarry_kv_slice name)
{
    for (size_t i = 0; i < users->count; i++) {
        if (strlen(users->all[i].name) == name.byte_count &&
            memcmp(users->all[i].name, name.bytes, name.byte_count) == 0) {
            return &users->all[i];
        }
    }
    return NULL;
}

static void say_user(struct resp_reply *reply, const struct resp_user *user, bool has_password)
{
    char rules[RULES_BYTES];

    resp_say_map(reply, 6);
    resp_say_text(reply, "flags");
    resp_say_set(reply, has_password ? 1 : 2);
    resp_say_text(reply, "on");
    if (!has_password) {
        resp_say_text(reply, "nopass");
    }
    resp_say_text(reply, "passwords");
    resp_say_array(reply, 0);
    resp_say_text(reply, "commands");
    resp_say_text(reply, write_rules(user->rights, rules));
    resp_say_text(reply, "keys");
    resp_say_text(reply, "~*");
    resp_say_text(reply, "channels");
    resp_say_text(reply, "");
    resp_say_text(reply, "selectors");
    resp_say_array(reply, 0);
}

static void say_one(struct resp_call *call, const struct users *users)
{
    const struct resp_user *user = find_user(users, call->words[2]);

    if (user == NULL) {
        resp_say_null_array(call->reply);
    } else {
        say_user(call->reply, user, users->needs_login);
    }
}

enum resp_outcome resp_acl_getuser(struct resp_call *call)
{
    return answer_of_users(call, say_one);
}

/* ---- rights --------------------------------------------------------------------------------- */

static uint32_t rights_for(const struct resp_command *command)
{
    return ((command->flags & RESP_READS) != 0 ? (uint32_t)SERVE_READ : 0) |
           ((command->flags & RESP_WRITES) != 0 ? (uint32_t)SERVE_WRITE : 0) |
           ((command->flags & RESP_FLUSHES) != 0 ? (uint32_t)SERVE_FLUSH : 0) |
           ((command->flags & RESP_ADMINISTERS) != 0 ? (uint32_t)SERVE_ADMIN : 0);
}

static void say_dryrun(struct resp_call *call, const struct resp_user *user)
{
    size_t count = call->word_count - 3;
    struct quarry_kv_slice name = call->words[3];
    const struct resp_command *command =
        resp_command_find(name, count > 1 ? &call->words[4] : NULL);
    char text[128];

    if (command == NULL) {
        resp_say_error(call->reply, "ERR Command '%.*s' not found",
                       (int)size_min(name.byte_count, 128), (const char *)name.bytes);
    } else if (command->arity > 0 ? count != (size_t)command->arity
                                  : count < (size_t)-command->arity) {
        resp_say_wrong_arity(call->reply, command);
    } else if ((rights_for(command) & ~user->rights) != 0) {
        (void)snprintf(text, sizeof text, "This user has no permissions to run the '%s' command",
                       command->name);
        resp_say_text(call->reply, text);
    } else {
        resp_say_ok(call->reply);
    }
}

static void say_verdict(struct resp_call *call, const struct users *users)
{
    const struct resp_user *user = find_user(users, call->words[2]);

    if (user == NULL) {
        resp_say_error(call->reply, "ERR User '%.*s' not found",
                       (int)size_min(call->words[2].byte_count, 128),
                       (const char *)call->words[2].bytes);
    } else {
        say_dryrun(call, user);
    }
}

enum resp_outcome resp_acl_dryrun(struct resp_call *call)
{
    return answer_of_users(call, say_verdict);
}

/* ---- categories ----------------------------------------------------------------------------- */

/* Whether a command's categories have one. */
static bool is_in(const struct resp_command *command, const char *category)
{
    size_t bytes = strlen(category);

    for (const char *text = command->categories; (text = strchr(text, '@')) != NULL;) {
        text++;
        if (strncmp(text, category, bytes) == 0 && (text[bytes] == ' ' || text[bytes] == '\0')) {
            return true;
        }
    }
    return false;
}

static void say_commands(struct resp_reply *reply, const char *category)
{
    const struct resp_command *row;
    size_t count = 0;

    for (size_t i = 0; (row = resp_command_at(i)) != NULL; i++) {
        count += is_in(row, category) ? 1 : 0;
    }
    resp_say_array(reply, count);
    for (size_t i = 0; (row = resp_command_at(i)) != NULL; i++) {
        if (is_in(row, category)) {
            resp_say_text(reply, row->name);
        }
    }
}

enum resp_outcome resp_acl_cat(struct resp_call *call)
{
    if (call->word_count > 3) {
        resp_say_wrong_form(call);
        return RESP_ANSWERED;
    }
    if (call->word_count == 2) {
        resp_say_array(call->reply, CATEGORY_COUNT);
        for (size_t i = 0; i < CATEGORY_COUNT; i++) {
            resp_say_text(call->reply, categories[i]);
        }
        return RESP_ANSWERED;
    }
    for (size_t i = 0; i < CATEGORY_COUNT; i++) {
        if (resp_is(call->words[2], categories[i])) {
            say_commands(call->reply, categories[i]);
            return RESP_ANSWERED;
        }
    }
    resp_say_error(call->reply, "ERR Unknown category '%.*s'",
                   (int)size_min(call->words[2].byte_count, 128),
                   (const char *)call->words[2].bytes);
    return RESP_ANSWERED;
}

/* ---- the others ----------------------------------------------------------------------------- */

#define PASSWORD_BITS_MAX 4096
/* What the kernel gives at once. */
#define RANDOM_BYTES_AT_ONCE 256u

static bool fill_random(uint8_t random[PASSWORD_BITS_MAX / 8])
{
    for (size_t done = 0; done < PASSWORD_BITS_MAX / 8; done += RANDOM_BYTES_AT_ONCE) {
        if (!os_random(random + done, RANDOM_BYTES_AT_ONCE)) {
            return false;
        }
    }
    return true;
}

enum resp_outcome resp_acl_genpass(struct resp_call *call)
{
    uint8_t random[PASSWORD_BITS_MAX / 8];
    char text[PASSWORD_BITS_MAX / 4 + 2];
    int64_t bits = 256;

    if (call->word_count > 3) {
        resp_say_wrong_form(call);
        return RESP_ANSWERED;
    }
    if (call->word_count == 3 && !resp_read_integer(call->words[2], &bits)) {
        resp_say_not_an_integer(call->reply);
        return RESP_ANSWERED;
    }
    if (bits <= 0 || bits > PASSWORD_BITS_MAX) {
        resp_say_error(call->reply, "ERR ACL GENPASS argument must be the number of bits for the "
                                    "output password, a positive number up to 4096");
        return RESP_ANSWERED;
    }
    if (!fill_random(random)) {
        resp_say_error(call->reply, "ERR the machine has no random bytes now");
        return RESP_ANSWERED;
    }
    size_t digits = ((size_t)bits + 3) / 4;
    for (size_t i = 0; i < (digits + 1) / 2; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", random[i]);
    }
    resp_say_bulk(call->reply, text, digits);
    return RESP_ANSWERED;
}

enum resp_outcome resp_acl_refused(struct resp_call *call)
{
    struct resp_settings settings;
    const char *path = settings.config_path;

    resp_admin_read_settings(&settings);
    resp_say_error(call->reply,
                   "ERR users are those of the configuration: change the [user] sections or "
                   "users.file%s%s, and have the server read it again (SIGHUP)",
                   path[0] == '\0' ? "" : " of ", path);
    return RESP_ANSWERED;
}

enum resp_outcome resp_acl_help(struct resp_call *call)
{
    static const char *const lines[] = {
        "CAT [<category>]",
        "    Categories, or the commands of one.",
        "DRYRUN <user> <command> [<word> ...]",
        "    Whether a user may give a command, which is not executed.",
        "GENPASS [<bits>]",
        "    A random password, of 256 bits unless told.",
        "GETUSER <user>",
        "    What a user may do.",
        "LIST",
        "    All users with what they may do.",
        "LOG [<count> | RESET]",
        "    Logins and commands that were refused.",
        "USERS",
        "    Names of all users.",
        "WHOAMI",
        "    The user of this connection.",
        "SETUSER, DELUSER, LOAD, SAVE",
        "    Refused: users are those of the configuration.",
        NULL,
    };

    resp_say_help(call, lines);
    return RESP_ANSWERED;
}
