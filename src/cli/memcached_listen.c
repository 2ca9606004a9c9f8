/*
 * Where memcached's options -p, -l, -s and -Z have a server listen.
 *
 *   -l takes a list, and can be given several times; each part is
 *
 *     [notls:|mtls:] ADDRESS [:PORT]        1.2.3.4   1.2.3.4:11212   [::1]:11212   ::1   host
 *
 * Where a part has no port, -p's is meant. Without -l, memcached listens on all addresses; here it
 * is 127.0.0.1: a cache that is open to a network shall have been asked for.
 *
 * Names of hosts are looked up here, because settings hold numbers alone: a server that reads its
 * settings again must not wait for a resolver. All addresses of a name are taken, as memcached
 * does.
 */
#include <cli/memcached_line.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_HOST "127.0.0.1"
#define PART_BYTES   512

/* A part of -l, taken apart. */
struct part {
    char text[PART_BYTES]; /* `host` and `port` lie in it */
    const char *host;
    const char *port; /* NULL: -p's */
    bool is_plain;    /* notls: */
    bool is_mutual;   /* mtls: */
};

/* ---- a part --------------------------------------------------------------------------------- */

static bool take_prefix(char **at, const char *prefix)
{
    size_t length = strlen(prefix);

    if (strncmp(*at, prefix, length) != 0) {
        return false;
    }
    *at += length;
    return true;
}

/* "[::1]:80", "[::1]" */
static bool split_brackets(char *at, struct part *part)
{
    char *end = strchr(at, ']');

    if (end == NULL || (end[1] != '\0' && end[1] != ':')) {
        return false;
    }
    part->host = at + 1;
    part->port = end[1] == ':' ? end + 2 : NULL;
    *end = '\0';
    return true;
}

/* False: brackets do not match. */
static bool split_part(struct part *part)
{
    char *at = part->text;

    part->is_plain = take_prefix(&at, "notls:");
    part->is_mutual = !part->is_plain && take_prefix(&at, "mtls:");
    if (at[0] == '[') {
        return split_brackets(at, part);
    }
    char *colon = strchr(at, ':');
    part->host = at;
    part->port = NULL;
    if (colon != NULL && strchr(colon + 1, ':') == NULL) { /* two: an address of IPv6 */
        *colon = '\0';
        part->port = colon + 1;
    }
    return true;
}

/* ---- addresses ------------------------------------------------------------------------------ */

/* Adds to a list. False: it is full. */
static bool append(char list[SERVE_VALUE_TEXT_BYTES], const char *format, ...) Q_PRINTF(2, 3);
static bool append(char list[SERVE_VALUE_TEXT_BYTES], const char *format, ...)
{
    size_t used = strlen(list);
    va_list arguments;

    if (used > 0 && used + 1 < SERVE_VALUE_TEXT_BYTES) {
        list[used++] = ',';
    }
    va_start(arguments, format);
    int wrote = vsnprintf(list + used, SERVE_VALUE_TEXT_BYTES - used, format, arguments);
    va_end(arguments);
    return wrote >= 0 && (size_t)wrote < SERVE_VALUE_TEXT_BYTES - used;
}

static bool is_open(int family, const char *host, uint32_t port)
{
    char text[INET6_ADDRSTRLEN + 16];
    struct serve_address address;

    snprintf(text, sizeof text, family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, port);
    return serve_address_parse(text, &address, NULL) != QUARRY_OK ||
           !serve_address_is_loopback(&address);
}

static bool add_number(struct memcached_addresses *addresses, bool is_encrypted, int family,
                       const char *host, uint32_t port)
{
    char *list = is_encrypted ? addresses->encrypted : addresses->plain;

    addresses->is_open = addresses->is_open || is_open(family, host, port);
    return append(list, family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, port);
}

/* Whatever getaddrinfo finds for a name, or a number. */
static int add_host(struct memcached_line *line, struct memcached_addresses *addresses,
                    const char *host, bool is_encrypted, uint32_t port)
{
    const struct addrinfo wanted = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char number[INET6_ADDRSTRLEN];
    bool fits = true;
    int failed = getaddrinfo(host, "0", &wanted, &found);

    if (failed != 0) {
        return memcached_line_refuse(line, MEMCACHED_EXIT_OS,
                                     "failed to listen on one of interface(s) %s: %s", host,
                                     gai_strerror(failed));
    }
    for (const struct addrinfo *one = found; fits && one != NULL; one = one->ai_next) {
        if (getnameinfo(one->ai_addr, one->ai_addrlen, number, sizeof number, NULL, 0,
                        NI_NUMERICHOST) == 0) {
            fits = add_number(addresses, is_encrypted, one->ai_family, number, port);
        }
    }
    freeaddrinfo(found);
    return fits ? 0 : memcached_line_refuse(line, MEMCACHED_EXIT_USAGE, "-l: too many addresses");
}

/* ---- ports ---------------------------------------------------------------------------------- */

/* The port of a part. Returns: false: there is no TCP at it, because -p is 0 and it says none. */
static bool has_port(const struct memcached_line *line, const struct part *part, uint64_t *ret_port)
{
    if (part->port != NULL) {
        return memcached_read_number(part->port, 0, UINT16_MAX, ret_port);
    }
    *ret_port = line->port == MEMCACHED_ANY_PORT ? 0 : (uint64_t)line->port;
    return line->port != 0;
}

static int add_part(struct memcached_line *line, struct memcached_addresses *addresses,
                    struct part *part)
{
    uint64_t port = 0;

    if (!split_part(part) || part->host[0] == '\0') {
        return memcached_line_refuse(line, MEMCACHED_EXIT_OS, "Invalid address: \"%s\"",
                                     part->text);
    }
    if ((part->is_plain || part->is_mutual) && !line->has_tls) {
        return memcached_line_refuse(line, MEMCACHED_EXIT_OS,
                                     "-l %s: is for a server with -Z alone",
                                     part->is_plain ? "notls" : "mtls");
    }
    if (!has_port(line, part, &port)) {
        return part->port == NULL
                   ? 0
                   : memcached_line_refuse(line, MEMCACHED_EXIT_OS, "Invalid port number: \"%s\"",
                                           part->port);
    }
    addresses->needs_certificates = addresses->needs_certificates || part->is_mutual;
    return add_host(line, addresses, part->host, line->has_tls && !part->is_plain, (uint32_t)port);
}

/* Clients' certificates are asked for at all encrypted addresses, or at none. */
static int check_mutual(struct memcached_line *line, uint32_t mutual_count,
                        uint32_t encrypted_count)
{
    return mutual_count == 0 || mutual_count == encrypted_count
               ? 0
               : memcached_line_refuse(line, MEMCACHED_EXIT_USAGE,
                                       "-l mtls: either all encrypted addresses ask for "
                                       "certificates, or none");
}

static int add_list(struct memcached_line *line, struct memcached_addresses *addresses,
                    const char *list, uint32_t *mutual_count, uint32_t *encrypted_count)
{
    int code = 0;

    while (code == 0 && *list != '\0') {
        size_t length = strcspn(list, ", ");
        struct part part = {0};
        if (length >= sizeof part.text) {
            return memcached_line_refuse(line, MEMCACHED_EXIT_USAGE, "-l: an address of %zu bytes",
                                         length);
        }
        if (length > 0) {
            memcpy(part.text, list, length);
            code = add_part(line, addresses, &part);
            *mutual_count += part.is_mutual;
            *encrypted_count += line->has_tls && !part.is_plain;
        }
        list += length + (list[length] != '\0');
    }
    return code;
}

static int add_lists(struct memcached_line *line, struct memcached_addresses *addresses)
{
    uint32_t mutual_count = 0, encrypted_count = 0;

    for (uint32_t i = 0; i < line->listen_count; i++) {
        int code = add_list(line, addresses, line->listens[i], &mutual_count, &encrypted_count);
        if (code != 0) {
            return code;
        }
    }
    return check_mutual(line, mutual_count, encrypted_count);
}

/* ---- all of it ------------------------------------------------------------------------------ */

static int add_all(struct memcached_line *line, struct memcached_addresses *addresses)
{
    if (line->unix_path != NULL) {
        if (line->has_tls) {
            return memcached_line_refuse(line, MEMCACHED_EXIT_USAGE,
                                         "ERROR: You cannot enable SSL without a TCP port.");
        }
        if (line->listen_count > 0) {
            memcached_line_note(line, true, "-l: with -s there is a unix socket alone");
        }
        return append(addresses->plain, "unix:%s", line->unix_path)
                   ? 0
                   : memcached_line_refuse(line, MEMCACHED_EXIT_USAGE, "-s: the path is too long");
    }
    if (line->listen_count > 0) {
        return add_lists(line, addresses);
    }
    if (line->port != 0) {
        (void)add_number(addresses, line->has_tls, AF_INET, DEFAULT_HOST,
                         line->port == MEMCACHED_ANY_PORT ? 0 : (uint32_t)line->port);
    }
    return 0;
}

static void set_off_if_empty(char list[SERVE_VALUE_TEXT_BYTES])
{
    if (list[0] == '\0') {
        strcpy(list, "off");
    }
}

int memcached_line_find_addresses(struct memcached_line *line,
                                  struct memcached_addresses *ret_addresses)
{
    *ret_addresses = (struct memcached_addresses){0};
    int code = add_all(line, ret_addresses);
    set_off_if_empty(ret_addresses->plain);
    set_off_if_empty(ret_addresses->encrypted);
    return code;
}
