/*
 * Which route a request is for.
 */
#ifndef QUARRY_SERVE_HTTP_ROUTE_H
#define QUARRY_SERVE_HTTP_ROUTE_H

#include <serve/http/http.h>

/* "*" in one path. */
#define HTTP_SEGMENTS_MAX 2u

/*
 * Finds the route of a path and a method.
 *
 * `segments`: what each "*" stood for, borrowed from the path; HTTP_SEGMENTS_MAX of them.
 * `ret_methods`: of all routes of the path, HEAD with GET, and OPTIONS; 0: it is nobody's.
 * Returns: NULL: there is none. Cost: O(routes).
 */
const struct http_route *http_route_find(const struct http_route *routes, size_t route_count,
                                         struct http_slice path, enum http_method method,
                                         struct http_slice *segments, uint32_t *ret_methods);
/* Whether a route of the path, by any method, is shared. */
bool http_route_is_shared(const struct http_route *routes, size_t route_count,
                          struct http_slice path);
/* Writes methods as Allow has them. `room`: of HTTP_ALLOW_BYTES. */
#define HTTP_ALLOW_BYTES 64u
void http_methods_print(uint32_t methods, char room[HTTP_ALLOW_BYTES]);

#endif
