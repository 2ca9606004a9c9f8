/*
 * Passwords.
 *
 *   in files     yescrypt by libxcrypt: some 10 ms and 16 MiB a try, for who steals the file
 *   in memory    HMAC-SHA-256 under a key that the process draws at its start: 1 µs a try, for the
 *                logins of a connection that is opened for each request
 *
 * Who can read the memory of the process has the key as well, and could try passwords fast; he has
 * the cache's contents too, which the passwords are for.
 *
 * Locking: none. crypt_rn takes its working memory by mmap; the 32 KiB of its data are malloc's.
 */
#include <serve/password.h>

#include <crypt.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <os/os.h>

#define YESCRYPT_PREFIX "$y$"

Q_STATIC_ASSERT(SERVE_PASSWORD_HASH_BYTES >= CRYPT_OUTPUT_SIZE, "room for every hash of crypt(5)");

/* The least of a hash behind its last $: 22 letters are the 128 bits of the oldest kind. */
#define HASH_LETTERS_MIN 22

bool serve_password_is_hash(const char *text)
{
    const char *last = strrchr(text, '$');

    return text[0] == '$' && strlen(last + 1) >= HASH_LETTERS_MIN &&
           strlen(text) < SERVE_PASSWORD_HASH_BYTES && crypt_checksalt(text) == CRYPT_SALT_OK;
}

/* A password as a C string, in the caller's buffer. Returns: false when it cannot be one. */
static bool as_string(const char *password, size_t password_bytes,
                      char ret_text[SERVE_PASSWORD_BYTES_MAX + 1])
{
    if (password_bytes == 0 || password_bytes > SERVE_PASSWORD_BYTES_MAX ||
        memchr(password, '\0', password_bytes) != NULL) {
        return false;
    }
    memcpy(ret_text, password, password_bytes);
    ret_text[password_bytes] = '\0';
    return true;
}

/* Hashes with the salt and cost of `setting`. Returns: false for no memory, or a broken setting. */
static bool hash_by(const char *setting, const char *password, size_t password_bytes,
                    char ret_hash[SERVE_PASSWORD_HASH_BYTES])
{
    char text[SERVE_PASSWORD_BYTES_MAX + 1];
    struct crypt_data *data = calloc(1, sizeof *data);
    bool is_done = false;

    if (data != NULL && as_string(password, password_bytes, text)) {
        const char *hash = crypt_rn(text, setting, data, (int)sizeof *data);
        if (hash != NULL) {
            memcpy(ret_hash, hash, strlen(hash) + 1);
            is_done = true;
        }
        explicit_bzero(data, sizeof *data);
    }
    explicit_bzero(text, sizeof text);
    free(data);
    return is_done;
}

enum quarry_status serve_password_hash(const char *password, size_t password_bytes,
                                       char ret_hash[SERVE_PASSWORD_HASH_BYTES],
                                       struct quarry_error *error)
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE], text[SERVE_PASSWORD_BYTES_MAX + 1];
    bool is_password = as_string(password, password_bytes, text);

    explicit_bzero(text, sizeof text);
    if (!is_password) {
        return error_set(error, QUARRY_BAD_INPUT, "a password has 1 to %u bytes, none of them zero",
                         SERVE_PASSWORD_BYTES_MAX);
    }
    if (crypt_gensalt_rn(YESCRYPT_PREFIX, 0, NULL, 0, setting, (int)sizeof setting) == NULL) {
        return error_set_os(error, QUARRY_UNSUPPORTED, errno, "yescrypt");
    }
    return hash_by(setting, password, password_bytes, ret_hash)
               ? QUARRY_OK
               : error_set(error, QUARRY_NO_MEMORY, "no memory for yescrypt");
}

bool serve_password_verify(const char *hash, const char *password, size_t password_bytes)
{
    char found[SERVE_PASSWORD_HASH_BYTES];
    size_t length = strlen(hash);
    bool is_right = hash_by(hash, password, password_bytes, found) && strlen(found) == length &&
                    CRYPTO_memcmp(found, hash, length) == 0;

    explicit_bzero(found, sizeof found);
    return is_right;
}

void serve_password_digest(const uint8_t key[SERVE_DIGEST_BYTES], const char *password,
                           size_t password_bytes, uint8_t ret_digest[SERVE_DIGEST_BYTES])
{
    unsigned length = 0;
    const unsigned char *made =
        HMAC(EVP_sha256(), key, SERVE_DIGEST_BYTES, (const unsigned char *)password, password_bytes,
             ret_digest, &length);

    if (made == NULL) { /* no memory: a digest that is nobody's */
        (void)os_random(ret_digest, SERVE_DIGEST_BYTES);
    }
    Q_ASSERT(made == NULL || length == SERVE_DIGEST_BYTES);
}

bool serve_digest_is_equal(const uint8_t one[SERVE_DIGEST_BYTES],
                           const uint8_t other[SERVE_DIGEST_BYTES])
{
    return CRYPTO_memcmp(one, other, SERVE_DIGEST_BYTES) == 0;
}
