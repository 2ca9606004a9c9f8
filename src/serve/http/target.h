/*
 * Paths, parameters and forms, decoded.
 */
#ifndef QUARRY_SERVE_HTTP_TARGET_H
#define QUARRY_SERVE_HTTP_TARGET_H

#include <serve/http/http.h>

/*
 * Decodes a path. `room`: for as many bytes as `path` has; it may begin where that does.
 * Returns: false: an escape that is none, or one of a slash, a NUL or a control byte; or it is not
 * UTF-8 in its shortest form.
 */
bool http_path_decode(struct http_slice path, char *room, struct http_slice *ret_decoded);
/*
 * Decodes "a=1&b=2+3" where it lies, and adds what it says to `params`.
 *
 * `params`: room for HTTP_PARAMS_MAX, *count of which are taken. Names and values point into
 * `text`. Returns: false: an escape that is none, a NUL, or too many.
 */
bool http_params_decode(char *text, size_t text_bytes, struct http_param *params, size_t *count);

#endif
