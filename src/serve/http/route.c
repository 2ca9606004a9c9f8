/*
 * The table of routes, looked through from the front: some dozens of comparisons of lengths.
 *
 * Locking: none; tables are const.
 */
#include <serve/http/route.h>

#include <stdio.h>
#include <string.h>

/* Whether a path is one that a pattern stands for. */
static bool path_matches(const char *pattern, struct http_slice path, struct http_slice *segments)
{
    const char *at = path.bytes, *end = at + path.count;
    uint32_t count = 0;

    for (; *pattern != '\0'; pattern++) {
        if (*pattern != '*') {
            if (at == end || *at++ != *pattern) {
                return false;
            }
            continue;
        }
        const char *slash = memchr(at, '/', (size_t)(end - at));
        size_t bytes = slash == NULL ? (size_t)(end - at) : (size_t)(slash - at);

        Q_ASSERT(count < HTTP_SEGMENTS_MAX);
        if (bytes == 0) {
            return false;
        }
        segments[count++] = (struct http_slice){at, bytes};
        at += bytes;
    }
    return at == end;
}

const struct http_route *http_route_find(const struct http_route *routes, size_t route_count,
                                         struct http_slice path, enum http_method method,
                                         struct http_slice *segments, uint32_t *ret_methods)
{
    const struct http_route *found = NULL;
    struct http_slice matched[HTTP_SEGMENTS_MAX] = {{"", 0}, {"", 0}};

    *ret_methods = 0;
    for (size_t i = 0; i < route_count && found == NULL; i++) {
        if (!path_matches(routes[i].path, path, matched)) {
            continue;
        }
        uint32_t methods = routes[i].methods;
        methods |= HTTP_OPTIONS | ((methods & HTTP_GET) != 0 ? (uint32_t)HTTP_HEAD : 0);
        *ret_methods |= methods;
        if ((methods & method & ~(uint32_t)HTTP_OPTIONS) != 0) {
            found = &routes[i];
            memcpy(segments, matched, sizeof matched);
        }
    }
    return found;
}

bool http_route_is_shared(const struct http_route *routes, size_t route_count,
                          struct http_slice path)
{
    struct http_slice segments[HTTP_SEGMENTS_MAX];

    for (size_t i = 0; i < route_count; i++) {
        if (routes[i].is_shared && path_matches(routes[i].path, path, segments)) {
            return true;
        }
    }
    return false;
}

void http_methods_print(uint32_t methods, char room[HTTP_ALLOW_BYTES])
{
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"};
    size_t used = 0;

    room[0] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if ((methods & (1u << i)) != 0) {
            used += (size_t)snprintf(room + used, HTTP_ALLOW_BYTES - used, "%s%s",
                                     used == 0 ? "" : ", ", names[i]);
            Q_ASSERT(used < HTTP_ALLOW_BYTES);
        }
    }
}
