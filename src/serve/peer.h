/*
 * Addresses, and who is at the other end of a connection.
 *
 * As text: "127.0.0.1:11211", "[::1]:11211", "*:11211" (every address of IPv4), "[::]:11211",
 * "localhost:11211" (IPv4's), "unix:/run/quarry.sock". Names of hosts are not looked up: a server
 * that starts must not wait for a resolver.
 */
#ifndef QUARRY_SERVE_PEER_H
#define QUARRY_SERVE_PEER_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <base/base.h>

/* The longest text of an address of the internet: "[…]:65535" and the NUL. */
#define SERVE_PEER_TEXT_BYTES (INET6_ADDRSTRLEN + 8)

struct serve_address {
    union {
        struct sockaddr any;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
    socklen_t bytes;
};

/* Errors: QUARRY_BAD_INPUT (the error says what was expected), QUARRY_TOO_LARGE (a long path). */
enum quarry_status serve_address_parse(const char *text, struct serve_address *ret_address,
                                       struct quarry_error *error);
bool serve_address_is_unix(const struct serve_address *address);
/* Whether only this machine reaches it: 127.0.0.0/8, ::1, unix sockets. */
bool serve_address_is_loopback(const struct serve_address *address);
/* Whether it stands for all addresses of the machine. */
bool serve_address_is_any(const struct serve_address *address);
/* The text, cut off at `capacity`. */
void serve_address_print(const struct serve_address *address, char *ret_text, size_t capacity);

/* Who is at the other end, as the kernel says. Small, for it travels between threads. */
struct serve_peer {
    union {
        struct sockaddr any;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
    } address;            /* AF_UNIX: nothing further */
    bool has_credentials; /* of a unix socket */
    uint32_t uid;
    uint32_t gid;
    int32_t pid;
};

/* Reads the credentials of a unix socket's other end. */
void serve_peer_read_credentials(struct serve_peer *peer, int fd);
/* "10.0.0.1:4711", or "unix:PATH" of the listener's address. */
void serve_peer_print(const struct serve_peer *peer, const char *listener_name, char *ret_text,
                      size_t capacity);

#endif
