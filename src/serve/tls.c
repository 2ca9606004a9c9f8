/*
 * TLS by OpenSSL: contexts, one for each certificate, in sets that are replaced whole.
 *
 *     tls ── mutex ── set (counted) ── context 0, 1, ... ── certificate, key
 *                       ^
 *                       +── each connection that began with it
 *
 * A client says by SNI which name it wants; the context whose certificate is for that name serves
 * it, the first one otherwise. A reload builds a new set, and only if all of it is good puts it in
 * the place of the old, which goes with its last connection. Sessions of the old set are forgotten:
 * clients that come back do a full handshake, once.
 *
 * Settings that are not offered: versions below 1.2, renegotiation and compression are off.
 *
 * Cost of an idle connection: OpenSSL gives its buffers of two records back; some 10 KiB stay with
 * it, by malloc.
 *
 * Locking: a mutex around the pointer to the set. Handshakes, files and frees are outside of it.
 */
#include <serve/tls.h>

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <os/os.h>

/* Read ahead: four records by one read. */
#define READ_AHEAD_BYTES Q_KIB(64)

struct serve_tls_set {
    _Atomic uint32_t reference_count;
    uint32_t context_count;
    SSL_CTX *contexts[SERVE_CERTIFICATES_MAX];
    int64_t expiry_s;
};

struct serve_tls {
    struct os_mutex mutex;
    struct serve_tls_set *set; /* guarded by mutex; one reference is the tls' own */
};

void serve_tls_read_error(char *ret_text, size_t capacity)
{
    unsigned long code = ERR_peek_error();

    if (code == 0) {
        (void)snprintf(ret_text, capacity, "%s", "the connection broke");
    } else {
        ERR_error_string_n(code, ret_text, capacity);
    }
    ERR_clear_error();
}

static enum quarry_status tls_fail(struct quarry_error *error, enum quarry_status status,
                                   const char *what, const char *name)
{
    char reason[96];

    serve_tls_read_error(reason, sizeof(reason));
    return error_set(error, status, "%s '%.80s': %s", what, name, reason);
}

/* ---- a context ------------------------------------------------------------------------------ */

static enum quarry_status context_load(SSL_CTX *context, const struct serve_certificate *files,
                                       struct quarry_error *error)
{
    const char *key = files->ssl_key == NULL ? files->ssl_chain_cert : files->ssl_key;

    if (SSL_CTX_use_certificate_chain_file(context, files->ssl_chain_cert) != 1) {
        return tls_fail(error, QUARRY_IO, "certificate", files->ssl_chain_cert);
    }
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
        bool is_another = ERR_GET_REASON(ERR_peek_error()) == X509_R_KEY_VALUES_MISMATCH;
        return tls_fail(error, is_another ? QUARRY_BAD_INPUT : QUARRY_IO, "key", key);
    }
    return QUARRY_OK;
}

static enum quarry_status context_set_verify(SSL_CTX *context,
                                             const struct serve_tls_options *options,
                                             struct quarry_error *error)
{
    if (options->ssl_verify_mode == SERVE_TLS_VERIFY_NONE) {
        return QUARRY_OK;
    }
    SSL_CTX_set_verify(context,
                       SSL_VERIFY_PEER | (options->ssl_verify_mode == SERVE_TLS_VERIFY_REQUIRED
                                              ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                                              : 0),
                       NULL);
    if (options->ssl_ca_cert == NULL) {
        return SSL_CTX_set_default_verify_paths(context) == 1
                   ? QUARRY_OK
                   : tls_fail(error, QUARRY_IO, "authorities", "of the system");
    }
    if (SSL_CTX_load_verify_locations(context, options->ssl_ca_cert, NULL) != 1) {
        return tls_fail(error, QUARRY_IO, "authorities", options->ssl_ca_cert);
    }
    /* What the client is told that it may show; without it some show nothing. */
    SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(options->ssl_ca_cert));
    return QUARRY_OK;
}

static uint64_t context_options(const struct serve_tls_options *options)
{
    uint64_t flags = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                     SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CIPHER_SERVER_PREFERENCE;

    return options->ssl_kernel_tls ? flags | SSL_OP_ENABLE_KTLS : flags;
}

static void context_set_plain(SSL_CTX *context, const struct serve_tls_options *options)
{
    static const unsigned char session_scope[] = "quarry";

    (void)SSL_CTX_set_options(context, context_options(options));
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_cache_mode(context, options->ssl_session_cache ? SSL_SESS_CACHE_SERVER
                                                                             : SSL_SESS_CACHE_OFF);
    /* Sessions are resumed only with a scope, where clients show certificates. */
    (void)SSL_CTX_set_session_id_context(context, session_scope, sizeof(session_scope) - 1);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, READ_AHEAD_BYTES);
}

static enum quarry_status context_configure(SSL_CTX *context,
                                            const struct serve_tls_options *options,
                                            const struct serve_certificate *files,
                                            struct quarry_error *error)
{
    int version = options->ssl_min_version == SERVE_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;

    context_set_plain(context, options);
    if (SSL_CTX_set_min_proto_version(context, version) != 1) {
        return tls_fail(error, QUARRY_UNSUPPORTED, "TLS version",
                        version == TLS1_3_VERSION ? "1.3" : "1.2");
    }
    if (options->ssl_ciphers != NULL &&
        SSL_CTX_set_cipher_list(context, options->ssl_ciphers) != 1) {
        return tls_fail(error, QUARRY_BAD_INPUT, "ciphers", options->ssl_ciphers);
    }
    enum quarry_status status = context_set_verify(context, options, error);
    return status == QUARRY_OK ? context_load(context, files, error) : status;
}

static enum quarry_status context_create(const struct serve_tls_options *options,
                                         const struct serve_certificate *files,
                                         SSL_CTX **ret_context, struct quarry_error *error)
{
    ERR_clear_error();
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL) {
        return tls_fail(error, QUARRY_NO_MEMORY, "TLS", files->ssl_chain_cert);
    }
    enum quarry_status status = context_configure(context, options, files, error);
    if (status != QUARRY_OK) {
        SSL_CTX_free(context);
        return status;
    }
    *ret_context = context;
    return QUARRY_OK;
}

/* ---- a set ---------------------------------------------------------------------------------- */

void serve_tls_set_release(struct serve_tls_set *set)
{
    if (set == NULL) {
        return;
    }
    /* Acquire and release: the last one sees what the others did with the set. */
    uint32_t before = atomic_sub_acq_rel_u32(&set->reference_count, 1);
    Q_ASSERT(before > 0);
    if (before == 1) {
        for (uint32_t i = 0; i < set->context_count; i++) {
            SSL_CTX_free(set->contexts[i]);
        }
        free(set);
    }
}

/* The context whose certificate is for the name that the client asks for. */
static int on_server_name(SSL *ssl, int *alert, void *argument)
{
    const struct serve_tls_set *set = argument;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    (void)alert;
    for (uint32_t i = 0; name != NULL && i < set->context_count; i++) {
        X509 *certificate = SSL_CTX_get0_certificate(set->contexts[i]);
        if (X509_check_host(certificate, name, 0, 0, NULL) == 1) {
            (void)SSL_set_SSL_CTX(ssl, set->contexts[i]);
            break;
        }
    }
    return SSL_TLSEXT_ERR_OK;
}

static int64_t certificate_expiry_s(SSL_CTX *context)
{
    struct tm expiry = {0};

    if (ASN1_TIME_to_tm(X509_get0_notAfter(SSL_CTX_get0_certificate(context)), &expiry) != 1) {
        return INT64_MAX;
    }
    return timegm(&expiry);
}

static enum quarry_status set_fill(struct serve_tls_set *set,
                                   const struct serve_tls_options *options,
                                   struct quarry_error *error)
{
    for (uint32_t i = 0; i < options->certificate_count; i++) {
        SSL_CTX *context = NULL;
        enum quarry_status status =
            context_create(options, &options->certificates[i], &context, error);
        if (status != QUARRY_OK) {
            return status;
        }
        (void)SSL_CTX_set_tlsext_servername_callback(context, on_server_name);
        (void)SSL_CTX_set_tlsext_servername_arg(context, set);
        set->contexts[set->context_count++] = context;
        int64_t expiry_s = certificate_expiry_s(context);
        set->expiry_s = expiry_s < set->expiry_s ? expiry_s : set->expiry_s;
    }
    return QUARRY_OK;
}

static enum quarry_status set_create(const struct serve_tls_options *options,
                                     struct serve_tls_set **ret_set, struct quarry_error *error)
{
    if (options->certificate_count == 0 || options->certificate_count > SERVE_CERTIFICATES_MAX) {
        return error_set(error, QUARRY_BAD_INPUT, "TLS: %u certificates, of 1 to %u",
                         options->certificate_count, SERVE_CERTIFICATES_MAX);
    }
    struct serve_tls_set *set = calloc(1, sizeof(*set));
    if (set == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "TLS: no memory for certificates");
    }
    atomic_store_relaxed_u32(&set->reference_count, 1);
    set->expiry_s = INT64_MAX;
    enum quarry_status status = set_fill(set, options, error);
    if (status != QUARRY_OK) {
        serve_tls_set_release(set);
        return status;
    }
    *ret_set = set;
    return QUARRY_OK;
}

static struct serve_tls_set *set_acquire(struct serve_tls *tls)
{
    os_mutex_lock(&tls->mutex);
    struct serve_tls_set *set = tls->set;
    /* Relaxed: the mutex keeps the tls' own reference in place meanwhile. */
    (void)atomic_add_relaxed_u32(&set->reference_count, 1);
    os_mutex_unlock(&tls->mutex);
    return set;
}

/* ---- the door ------------------------------------------------------------------------------- */

enum quarry_status serve_tls_create(const struct serve_tls_options *options,
                                    struct serve_tls **ret_tls, struct quarry_error *error)
{
    struct serve_tls_set *set = NULL;
    enum quarry_status status = set_create(options, &set, error);

    if (status != QUARRY_OK) {
        return status;
    }
    struct serve_tls *tls = calloc(1, sizeof(*tls));
    if (tls == NULL) {
        serve_tls_set_release(set);
        return error_set(error, QUARRY_NO_MEMORY, "TLS: no memory");
    }
    os_mutex_init(&tls->mutex, OS_RANK_LEAF, 0);
    tls->set = set;
    *ret_tls = tls;
    return QUARRY_OK;
}

enum quarry_status serve_tls_reload(struct serve_tls *tls, const struct serve_tls_options *options,
                                    struct quarry_error *error)
{
    struct serve_tls_set *set = NULL;
    enum quarry_status status = set_create(options, &set, error);

    if (status != QUARRY_OK) {
        return status;
    }
    os_mutex_lock(&tls->mutex);
    struct serve_tls_set *old = tls->set;
    tls->set = set;
    os_mutex_unlock(&tls->mutex);
    serve_tls_set_release(old);
    return QUARRY_OK;
}

void serve_tls_destroy(struct serve_tls *tls)
{
    if (tls != NULL) {
        serve_tls_set_release(tls->set);
        free(tls);
    }
}

int64_t serve_tls_expiry_s(struct serve_tls *tls)
{
    struct serve_tls_set *set = set_acquire(tls);
    int64_t expiry_s = set->expiry_s;

    serve_tls_set_release(set);
    return expiry_s;
}

SSL *serve_tls_begin(struct serve_tls *tls, int fd, struct serve_tls_set **ret_set)
{
    struct serve_tls_set *set = set_acquire(tls);
    SSL *ssl = SSL_new(set->contexts[0]);

    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        serve_tls_set_release(set);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_accept_state(ssl);
    *ret_set = set;
    return ssl;
}

bool serve_tls_read_name(SSL *ssl, char *ret_name, size_t capacity)
{
    X509 *certificate = SSL_get0_peer_certificate(ssl);

    if (certificate == NULL || SSL_get_verify_result(ssl) != X509_V_OK) {
        return false;
    }
    int bytes = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName,
                                          ret_name, (int)capacity);
    /* A NUL inside would show a part of the name for the whole. */
    return bytes > 0 && (size_t)bytes < capacity && strlen(ret_name) == (size_t)bytes;
}
