/*
 * Passwords: slow hashes for files, keyed digests for memory.
 */
#ifndef QUARRY_SERVE_PASSWORD_H
#define QUARRY_SERVE_PASSWORD_H

#include <base/base.h>

/* The longest password, in bytes. */
#define SERVE_PASSWORD_BYTES_MAX 256u
/* Room for a hash, the closing NUL included. */
#define SERVE_PASSWORD_HASH_BYTES 384
#define SERVE_DIGEST_BYTES        32u

/* Whether a text is a hash that this system can check: yescrypt's, or another of crypt(5). */
bool serve_password_is_hash(const char *text);
/*
 * Hashes a password with yescrypt and a new salt. Cost: some 10 ms and 16 MiB.
 * Errors: BAD_INPUT (empty, too long, a zero byte), NO_MEMORY, UNSUPPORTED (no yescrypt here).
 */
enum quarry_status serve_password_hash(const char *password, size_t password_bytes,
                                       char ret_hash[SERVE_PASSWORD_HASH_BYTES],
                                       struct quarry_error *error);
/* Whether a password is the one of a hash. Threads: any. Cost: as serve_password_hash. */
bool serve_password_verify(const char *hash, const char *password, size_t password_bytes);

/*
 * A digest that only this process can make: of the password, by a key of its own. Cost: 1 µs.
 */
void serve_password_digest(const uint8_t key[SERVE_DIGEST_BYTES], const char *password,
                           size_t password_bytes, uint8_t ret_digest[SERVE_DIGEST_BYTES]);
/* Compares in a time that depends on nothing. */
bool serve_digest_is_equal(const uint8_t one[SERVE_DIGEST_BYTES],
                           const uint8_t other[SERVE_DIGEST_BYTES]);

#endif
