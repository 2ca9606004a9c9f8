/*
 * TLS for listeners: certificates, whose replacement connections do not notice.
 *
 * A `serve_tls` is what listeners have; a *set* is the certificates of one loading. Every
 * connection holds the set that it began with; a reload puts another one in its place for
 * connections to come.
 */
#ifndef QUARRY_SERVE_TLS_H
#define QUARRY_SERVE_TLS_H

#include <openssl/ssl.h>

#include <base/base.h>

#define SERVE_CERTIFICATES_MAX 16u

enum serve_tls_verify {
    SERVE_TLS_VERIFY_NONE = 0,
    SERVE_TLS_VERIFY_OPTIONAL, /* a certificate that is shown must be good */
    SERVE_TLS_VERIFY_REQUIRED,
};

enum serve_tls_version {
    SERVE_TLS_1_2 = 0,
    SERVE_TLS_1_3,
};

struct serve_certificate {
    const char *ssl_chain_cert; /* PEM: the certificate, then those that signed it */
    const char *ssl_key;        /* PEM; NULL: in the same file */
};

/*
 * After memcached's settings of these names. The first certificate is for clients that ask for a
 * name that none has, or for no name. Strings are borrowed for the call.
 */
struct serve_tls_options {
    struct serve_certificate certificates[SERVE_CERTIFICATES_MAX];
    uint32_t certificate_count;
    const char *ssl_ca_cert; /* PEM: who signs clients' certificates; NULL: the system's */
    enum serve_tls_verify ssl_verify_mode;
    enum serve_tls_version ssl_min_version;
    const char *ssl_ciphers; /* of TLS 1.2, in OpenSSL's words; NULL: OpenSSL's choice */
    bool ssl_session_cache;  /* sessions kept by the server; tickets are always given */
    bool ssl_kernel_tls;     /* records by the kernel where it can */
};

struct serve_tls;
struct serve_tls_set;

/*
 * Loads certificates and keys.
 *
 * `ret_tls`: own; end it with serve_tls_destroy, after the net whose listeners have it.
 * Errors: QUARRY_BAD_INPUT (no certificate, ciphers, a key that does not belong to its
 * certificate), QUARRY_IO (a file; the error names it), QUARRY_NO_MEMORY.
 */
enum quarry_status serve_tls_create(const struct serve_tls_options *options,
                                    struct serve_tls **ret_tls, struct quarry_error *error);
/*
 * Loads them anew, for connections that begin from here on. Errors: as serve_tls_create; then all
 * stays as it is. Threads: any.
 */
enum quarry_status serve_tls_reload(struct serve_tls *tls, const struct serve_tls_options *options,
                                    struct quarry_error *error);
void serve_tls_destroy(struct serve_tls *tls);

/* Seconds since 1970 when the first of the certificates in use expires. */
int64_t serve_tls_expiry_s(struct serve_tls *tls);

/* ---- for connections ------------------------------------------------------------------------ */

/*
 * Begins TLS on an accepted socket. `ret_set`: shared; give it back after the SSL was freed.
 * Returns: NULL: no memory.
 */
SSL *serve_tls_begin(struct serve_tls *tls, int fd, struct serve_tls_set **ret_set);
void serve_tls_set_release(struct serve_tls_set *set);
/* The common name of a client's verified certificate; false: it has shown none. */
bool serve_tls_read_name(SSL *ssl, char *ret_name, size_t capacity);
/* One line on what went wrong last in the calling thread, which is forgotten thereby. */
void serve_tls_read_error(char *ret_text, size_t capacity);

#endif
