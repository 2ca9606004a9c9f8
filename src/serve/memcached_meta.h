/*
 * Pieces of meta requests that several files need: what their answers echo.
 */
#ifndef QUARRY_SERVE_MEMCACHED_META_H
#define QUARRY_SERVE_MEMCACHED_META_H

#include <serve/memcached_request.h>

/*
 * Writes what an answer gives back whatever has come of the request: k and O, in the order asked.
 *
 * `out`: MEMCACHED_ECHO_BYTES. Returns: how many bytes, each word with a space before it; SIZE_MAX:
 * an opaque is too long. With `is_store` a c and an s are in it as " \1c" and " \1s", for
 * memcached_meta_stored to fill in.
 */
size_t memcached_meta_echo(char *out, const struct memcached_request *request, bool is_store);

/* Answers a meta store. `echo`: as memcached_meta_echo has written it. `stored`: of a success. */
enum memcached_step memcached_meta_stored(struct memcached_turn *turn,
                                          enum quarry_cache_outcome outcome, bool is_quiet,
                                          const char *echo, size_t echo_bytes,
                                          const struct quarry_cache_stored *stored);

/* How a request's flags say to store. */
void memcached_meta_store_options(const struct memcached_request *request,
                                  struct quarry_cache_store_options *ret_options);

#endif
