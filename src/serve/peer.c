/*
 * Addresses to and from text, credentials of unix sockets.
 *
 * Everything here is pure but for one getsockopt. Host names are refused: see the header.
 */
#include <serve/peer.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static enum quarry_status address_refuse(const char *text, struct quarry_error *error)
{
    return error_set(error, QUARRY_BAD_INPUT,
                     "address '%.80s': expected ADDRESS:PORT, [ADDRESS]:PORT, *:PORT or unix:PATH",
                     text);
}

static enum quarry_status address_parse_unix(const char *path, struct serve_address *ret_address,
                                             struct quarry_error *error)
{
    struct serve_address address = {.un.sun_family = AF_UNIX};
    size_t bytes = strlen(path) + 1;

    if (bytes == 1) {
        return error_set(error, QUARRY_BAD_INPUT, "address 'unix:': the path is missing");
    }
    if (bytes > sizeof(address.un.sun_path)) {
        return error_set(error, QUARRY_TOO_LARGE,
                         "address 'unix:%.60s...': a path of %zu bytes, of at most %zu", path,
                         bytes - 1, sizeof(address.un.sun_path) - 1);
    }
    memcpy(address.un.sun_path, path, bytes);
    address.bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
    *ret_address = address;
    return QUARRY_OK;
}

/* Decimal digits alone, up to 65535. */
static bool port_parse(const char *text, in_port_t *ret_port)
{
    uint32_t port = 0;
    size_t digits = 0;

    for (; text[digits] >= '0' && text[digits] <= '9' && digits < 6; digits++) {
        port = port * 10 + (uint32_t)(text[digits] - '0');
    }
    if (digits == 0 || text[digits] != '\0' || port > 65535) {
        return false;
    }
    *ret_port = htons((uint16_t)port);
    return true;
}

static bool address_parse_host(const char *host, in_port_t port, struct serve_address *ret_address)
{
    struct serve_address address = {0};
    const char *number = host;

    if (strcmp(host, "*") == 0) {
        number = "0.0.0.0";
    } else if (strcmp(host, "localhost") == 0) {
        number = "127.0.0.1";
    }
    if (inet_pton(AF_INET, number, &address.in4.sin_addr) == 1) {
        address.in4.sin_family = AF_INET;
        address.in4.sin_port = port;
        address.bytes = sizeof(address.in4);
    } else if (inet_pton(AF_INET6, number, &address.in6.sin6_addr) == 1) {
        address.in6.sin6_family = AF_INET6;
        address.in6.sin6_port = port;
        address.bytes = sizeof(address.in6);
    } else {
        return false;
    }
    *ret_address = address;
    return true;
}

enum quarry_status serve_address_parse(const char *text, struct serve_address *ret_address,
                                       struct quarry_error *error)
{
    char host[INET6_ADDRSTRLEN + 2];
    const char *colon = strrchr(text, ':');
    in_port_t port = 0;

    if (strncmp(text, "unix:", 5) == 0) {
        return address_parse_unix(text + 5, ret_address, error);
    }
    if (colon == NULL || (size_t)(colon - text) >= sizeof(host) || !port_parse(colon + 1, &port)) {
        return address_refuse(text, error);
    }
    size_t bytes = (size_t)(colon - text);
    bool has_brackets = bytes >= 2 && text[0] == '[' && colon[-1] == ']';
    bytes -= has_brackets ? 2 : 0;
    memcpy(host, text + (has_brackets ? 1 : 0), bytes);
    host[bytes] = '\0';
    /* Without brackets "::1" would be read as the address "::" and the port 1. */
    if ((strchr(host, ':') != NULL) != has_brackets ||
        !address_parse_host(host, port, ret_address)) {
        return address_refuse(text, error);
    }
    return QUARRY_OK;
}

bool serve_address_is_unix(const struct serve_address *address)
{
    return address->any.sa_family == AF_UNIX;
}

bool serve_address_is_loopback(const struct serve_address *address)
{
    if (address->any.sa_family == AF_INET) {
        return ntohl(address->in4.sin_addr.s_addr) >> 24 == 127;
    }
    return address->any.sa_family == AF_UNIX || IN6_IS_ADDR_LOOPBACK(&address->in6.sin6_addr);
}

bool serve_address_is_any(const struct serve_address *address)
{
    if (address->any.sa_family == AF_INET) {
        return address->in4.sin_addr.s_addr == htonl(INADDR_ANY);
    }
    return address->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address->in6.sin6_addr);
}

static void internet_print(const struct sockaddr *any, char *ret_text, size_t capacity)
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (any->sa_family == AF_INET) {
        struct sockaddr_in in4;
        memcpy(&in4, any, sizeof(in4));
        (void)inet_ntop(AF_INET, &in4.sin_addr, host, sizeof(host));
        (void)snprintf(ret_text, capacity, "%s:%u", host, ntohs(in4.sin_port));
    } else {
        struct sockaddr_in6 in6;
        memcpy(&in6, any, sizeof(in6));
        (void)inet_ntop(AF_INET6, &in6.sin6_addr, host, sizeof(host));
        (void)snprintf(ret_text, capacity, "[%s]:%u", host, ntohs(in6.sin6_port));
    }
}

void serve_address_print(const struct serve_address *address, char *ret_text, size_t capacity)
{
    if (serve_address_is_unix(address)) {
        (void)snprintf(ret_text, capacity, "unix:%s", address->un.sun_path);
    } else {
        internet_print(&address->any, ret_text, capacity);
    }
}

void serve_peer_read_credentials(struct serve_peer *peer, int fd)
{
    struct ucred credentials;
    socklen_t bytes = sizeof(credentials);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) == 0) {
        peer->has_credentials = true;
        peer->uid = credentials.uid;
        peer->gid = credentials.gid;
        peer->pid = credentials.pid;
    }
}

void serve_peer_print(const struct serve_peer *peer, const char *listener_name, char *ret_text,
                      size_t capacity)
{
    if (peer->address.any.sa_family == AF_UNIX) {
        (void)snprintf(ret_text, capacity, "%s", listener_name);
    } else {
        internet_print(&peer->address.any, ret_text, capacity);
    }
}
