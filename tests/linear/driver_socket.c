/*
 * A server of memcached's protocol under histories, through a connection for each thread.
 *
 * Gets are meta gets, since those tell all of an item (value, flags, cas, time to live, and who has
 * won); what changes is told by classic and meta commands in turn, by the operation's id, and gets
 * that touch by the operation's delta, which they do not need: they must mean the same. Meta
 * commands tell the cas of what they stored where the server knows the flag, which is asked once;
 * classic commands tell none.
 *
 * A get that touches is not asked for the time to live: memcached tells the one before.
 *
 * A unit of expiry is 1,000 seconds, so that the time that a history takes does not turn one into
 * another.
 */
#include "linear/driver.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXPIRY_STEP     1000u
#define VALUE_BYTES_MAX 100000u
#define BUFFER_BYTES    (VALUE_BYTES_MAX + 200000u)
#define LINE_BYTES      512u

struct store {
    uint16_t port;
    bool tells_cas; /* of ms */
};

struct hands {
    const struct store *store;
    int fd;
    char *bytes; /* what has come; owned */
    size_t begin, end;
};

static void must(bool is_right, const char *what)
{
    if (!is_right) {
        (void)fprintf(stderr, "linear: %s\n", what);
        abort();
    }
}

/* ---- lines ---------------------------------------------------------------------------------- */

static void *socket_enter(void *argument, uint32_t thread)
{
    struct hands *hands = calloc(1, sizeof *hands);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;

    (void)thread;
    must(hands != NULL, "no memory");
    hands->store = argument;
    hands->bytes = malloc(BUFFER_BYTES);
    hands->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_port = htons(hands->store->port);
    must(hands->bytes != NULL &&
             connect(hands->fd, (struct sockaddr *)&address, sizeof address) == 0,
         "the server refuses a connection");
    (void)setsockopt(hands->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return hands;
}

static void socket_leave(void *argument)
{
    struct hands *hands = argument;

    (void)close(hands->fd);
    free(hands->bytes);
    free(hands);
}

static void send_all(struct hands *hands, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t sent = send(hands->fd, bytes, count, MSG_NOSIGNAL);
        must(sent > 0, "the server takes no more");
        bytes += sent;
        count -= (size_t)sent;
    }
}

static void receive(struct hands *hands)
{
    if (hands->begin > 0) {
        memmove(hands->bytes, hands->bytes + hands->begin, hands->end - hands->begin);
        hands->end -= hands->begin;
        hands->begin = 0;
    }
    must(hands->end < BUFFER_BYTES, "an answer is too long");
    ssize_t got = recv(hands->fd, hands->bytes + hands->end, BUFFER_BYTES - hands->end, 0);
    must(got > 0, "the server has closed the connection");
    hands->end += (size_t)got;
}

/* The next line without its end; `line` has room for LINE_BYTES. */
static void read_line(struct hands *hands, char *line)
{
    const char *found = NULL;

    while (found == NULL) {
        found = memchr(hands->bytes + hands->begin, '\n', hands->end - hands->begin);
        if (found == NULL) {
            receive(hands);
        }
    }
    size_t count = (size_t)(found - (hands->bytes + hands->begin));
    must(count > 0 && count < LINE_BYTES, "an answer's line is too long");
    memcpy(line, hands->bytes + hands->begin, count - 1);
    line[count - 1] = '\0';
    hands->begin += count + 1;
}

static struct linear_value read_value(struct hands *hands, size_t count)
{
    while (hands->end - hands->begin < count + 2) {
        receive(hands);
    }
    struct linear_value value = linear_value_of(hands->bytes + hands->begin, count);
    must(memcmp(hands->bytes + hands->begin + count, "\r\n", 2) == 0, "a value has no end");
    hands->begin += count + 2;
    return value;
}

static bool begins(const char *line, const char *text)
{
    return strncmp(line, text, strlen(text)) == 0;
}

/* ---- opening -------------------------------------------------------------------------------- */

/* Whether ms tells the cas: one of the two answers of the servers there are. */
static bool asks_cas(struct store *store)
{
    char line[LINE_BYTES];
    struct hands *hands = socket_enter(store, 0);

    send_all(hands, "ms key 1 c\r\na\r\n", strlen("ms key 1 c\r\na\r\n"));
    read_line(hands, line);
    bool tells = begins(line, "HD c");
    socket_leave(hands);
    return tells;
}

static void *socket_open(const void *argument)
{
    struct store *store = calloc(1, sizeof *store);
    char line[LINE_BYTES];

    must(store != NULL, "no memory");
    store->port = *(const uint16_t *)argument;
    store->tells_cas = asks_cas(store);
    struct hands *hands = socket_enter(store, 0);
    send_all(hands, "flush_all\r\n", strlen("flush_all\r\n"));
    read_line(hands, line);
    must(strcmp(line, "OK") == 0, "the server does not forget");
    socket_leave(hands);
    return store;
}

static void socket_close(void *store)
{
    free(store);
}

/* ---- answers -------------------------------------------------------------------------------- */

static enum linear_outcome outcome_of(const char *line)
{
    static const struct {
        const char *text;
        enum linear_outcome outcome;
    } words[] = {
        {"STORED", LINEAR_DONE},
        {"HD", LINEAR_DONE},
        {"DELETED", LINEAR_DONE},
        {"TOUCHED", LINEAR_DONE},
        {"NOT_STORED", LINEAR_NOT_STORED},
        {"NS", LINEAR_NOT_STORED},
        {"EXISTS", LINEAR_EXISTS},
        {"EX", LINEAR_EXISTS},
        {"NOT_FOUND", LINEAR_MISS},
        {"NF", LINEAR_MISS},
        {"EN", LINEAR_MISS},
        {"CLIENT_ERROR cannot increment", LINEAR_NOT_NUMBER},
    };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (begins(line, words[i].text)) {
            return words[i].outcome;
        }
    }
    (void)fprintf(stderr, "linear: the server says '%s'\n", line);
    return LINEAR_FAILED;
}

/* The flags of a meta answer, from `text` on. */
static void read_flags(const char *text, struct linear_operation *operation)
{
    for (const char *word = strchr(text, ' '); word != NULL; word = strchr(word + 1, ' ')) {
        switch (word[1]) {
        case 'c':
            operation->ret_cas = strtoull(word + 2, NULL, 10);
            break;
        case 'f':
            operation->ret_client_flags = (uint32_t)strtoul(word + 2, NULL, 10);
            break;
        case 't': {
            long left = strtol(word + 2, NULL, 10);
            operation->ret_expiry =
                left < 0 ? 0 : (uint32_t)(((unsigned long)left + EXPIRY_STEP - 2) / EXPIRY_STEP);
            break;
        }
        case 'W':
            operation->ret_has_won = true;
            break;
        case 'X':
            operation->ret_is_stale = true;
            break;
        case 'Z':
            operation->ret_is_token_given = true;
            break;
        default:
            break;
        }
    }
}

/* ---- operations ----------------------------------------------------------------------------- */

static void get(struct hands *hands, struct linear_operation *operation)
{
    char line[LINE_BYTES];
    char extra[32] = "";

    if (operation->kind == LINEAR_VIVIFY) {
        (void)snprintf(extra, sizeof extra, " N%u", operation->expiry * EXPIRY_STEP);
    } else if (operation->kind == LINEAR_GET_AND_TOUCH) {
        (void)snprintf(extra, sizeof extra, " T%u", operation->expiry * EXPIRY_STEP);
    }
    int count = snprintf(line, sizeof line, "mg key%u v c f%s%s\r\n", operation->key,
                         operation->kind == LINEAR_GET_AND_TOUCH ? "" : " t", extra);
    send_all(hands, line, (size_t)count);
    read_line(hands, line);
    if (begins(line, "VA ")) {
        char *after = NULL;
        size_t value_bytes = strtoul(line + 3, &after, 10);
        operation->outcome = LINEAR_DONE;
        operation->ret_expiry = operation->expiry; /* of a touch, after which nobody asks */
        read_flags(after, operation);
        operation->ret_value = read_value(hands, value_bytes);
    } else {
        operation->outcome = outcome_of(line);
    }
}

/* "gats" tells no time to live, and nobody asks for it after a touch; its keys are never stale. */
static void get_and_touch_by_word(struct hands *hands, struct linear_operation *operation)
{
    char line[LINE_BYTES];
    unsigned flags = 0;
    size_t value_bytes = 0;

    (void)snprintf(line, sizeof line, "gats %u key%u\r\n", operation->expiry * EXPIRY_STEP,
                   operation->key);
    send_all(hands, line, strlen(line));
    read_line(hands, line);
    if (strcmp(line, "END") == 0) {
        operation->outcome = LINEAR_MISS;
        return;
    }
    must(sscanf(line, "VALUE key%*u %u %zu %" SCNu64, &flags, &value_bytes, &operation->ret_cas) ==
             3,
         "gats is answered by something else");
    operation->outcome = LINEAR_DONE;
    operation->ret_client_flags = flags;
    operation->ret_expiry = operation->expiry;
    operation->ret_value = read_value(hands, value_bytes);
    read_line(hands, line);
    must(strcmp(line, "END") == 0, "gats has no end");
}

static void ask(struct hands *hands, struct linear_operation *operation, char *line)
{
    send_all(hands, line, strlen(line));
    read_line(hands, line);
    if (begins(line, "HD")) {
        read_flags(line, operation);
    }
    operation->outcome = outcome_of(line);
}

static void store_by_meta(struct hands *hands, struct linear_operation *operation,
                          const char *bytes)
{
    static const char modes[] = "SERAP";
    char line[LINE_BYTES];
    char condition[48] = "";

    if (operation->has_cas) {
        (void)snprintf(condition, sizeof condition, " C%" PRIu64 "%s", operation->cas,
                       operation->invalidates ? " I" : "");
    }
    int count = snprintf(line, sizeof line, "ms key%u %u F%u T%u M%c%s%s\r\n", operation->key,
                         operation->value_bytes, operation->client_flags,
                         operation->expiry * EXPIRY_STEP, modes[operation->kind - LINEAR_SET],
                         hands->store->tells_cas ? " c" : "", condition);
    send_all(hands, line, (size_t)count);
    send_all(hands, bytes, operation->value_bytes);
    (void)snprintf(line, sizeof line, "\r\n");
    ask(hands, operation, line);
    if (operation->outcome != LINEAR_DONE) {
        operation->ret_cas = 0;
    }
}

static void store_by_word(struct hands *hands, struct linear_operation *operation,
                          const char *bytes)
{
    static const char *const words[] = {"set", "add", "replace", "append", "prepend"};
    char line[LINE_BYTES];
    char condition[32] = "";

    if (operation->has_cas) {
        (void)snprintf(condition, sizeof condition, " %" PRIu64, operation->cas);
    }
    int count = snprintf(line, sizeof line, "%s key%u %u %u %u%s\r\n",
                         operation->has_cas ? "cas" : words[operation->kind - LINEAR_SET],
                         operation->key, operation->client_flags, operation->expiry * EXPIRY_STEP,
                         operation->value_bytes, condition);
    send_all(hands, line, (size_t)count);
    send_all(hands, bytes, operation->value_bytes);
    (void)snprintf(line, sizeof line, "\r\n");
    ask(hands, operation, line);
}

static void count(struct hands *hands, struct linear_operation *operation)
{
    char line[LINE_BYTES];

    (void)snprintf(line, sizeof line, "%s key%u %" PRIu64 "\r\n",
                   operation->kind == LINEAR_COUNT_UP ? "incr" : "decr", operation->key,
                   operation->delta);
    send_all(hands, line, strlen(line));
    read_line(hands, line);
    if (line[0] >= '0' && line[0] <= '9') {
        operation->outcome = LINEAR_DONE;
        operation->ret_number = strtoull(line, NULL, 10);
    } else {
        operation->outcome = outcome_of(line);
    }
}

static void delete (struct hands *hands, struct linear_operation *operation)
{
    char line[LINE_BYTES];
    char condition[32] = "";

    if (operation->has_cas) {
        (void)snprintf(condition, sizeof condition, " C%" PRIu64, operation->cas);
    }
    (void)snprintf(line, sizeof line, "md key%u%s%s\r\n", operation->key, condition,
                   operation->kind == LINEAR_INVALIDATE ? " I" : "");
    ask(hands, operation, line);
}

static void touch(struct hands *hands, struct linear_operation *operation)
{
    char line[LINE_BYTES];

    (void)snprintf(line, sizeof line, "touch key%u %u\r\n", operation->key,
                   operation->expiry * EXPIRY_STEP);
    ask(hands, operation, line);
}

static void socket_apply(void *argument, struct linear_operation *operation, const char *bytes)
{
    struct hands *hands = argument;
    bool is_meta = operation->invalidates || operation->value_id / LINEAR_THREADS_MAX % 2 == 0;

    if (operation->kind == LINEAR_GET_AND_TOUCH && operation->delta % 2 == 0) {
        get_and_touch_by_word(hands, operation);
    } else if (operation->kind <= LINEAR_GET_AND_TOUCH) {
        get(hands, operation);
    } else if (operation->kind == LINEAR_TOUCH) {
        touch(hands, operation);
    } else if (operation->kind <= LINEAR_PREPEND) {
        (is_meta ? store_by_meta : store_by_word)(hands, operation, bytes);
    } else if (operation->kind <= LINEAR_COUNT_DOWN) {
        count(hands, operation);
    } else {
        delete (hands, operation);
    }
}

const struct linear_driver linear_driver_socket = {
    .name = "socket",
    .open = socket_open,
    .close = socket_close,
    .enter = socket_enter,
    .leave = socket_leave,
    .apply = socket_apply,
    .value_bytes_max = VALUE_BYTES_MAX,
};
