/*
 * A connection to the memcached door that is sent what a fuzzer made up, in pieces it chose.
 */
#ifndef QUARRY_FUZZ_MEMCACHED_SESSION_H
#define QUARRY_FUZZ_MEMCACHED_SESSION_H

#include <base/base.h>

/* How a session is to be. */
struct memcached_session {
    /* Sent before what the fuzzer made up, where that makes it a beginning of something. */
    const char *start;
    size_t start_bytes;
    bool needs_login; /* the user is u, the password p */
};

/*
 * Says `data` to the door twice: in one piece, and in pieces whose sizes its first bytes choose. The
 * answers must be the same, and nothing may be left behind.
 */
void memcached_session(const struct memcached_session *how, const uint8_t *data, size_t size);

#endif
