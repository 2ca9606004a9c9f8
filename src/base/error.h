/*
 * Filling a caller's `struct quarry_error`.
 *
 *     return error_set(error, QUARRY_TOO_LARGE, "lane '%s': %zu pages wanted, %zu left", ...);
 */
#ifndef QUARRY_BASE_ERROR_H
#define QUARRY_BASE_ERROR_H

#include <quarry/status.h>

#include <base/annotate.h>

/*
 * Records a failure, and gives the status back so that it can be returned in the same line.
 *
 * `error`: borrowed, or NULL when the caller wants the number only; all of it is overwritten.
 * `status`: not QUARRY_OK.
 * `format`: as printf's, naming the object, the value, the limit and the unit. No numbered
 * arguments and no widths in the hundreds, for which the C library may allocate. A text that does
 * not fit is cut between characters of UTF-8 and ends in "...".
 *
 * Returns: `status`. Errors: none of its own. Threads: any, not signal handlers.
 * Cost: one vsnprintf, no allocation; nothing when `error` is NULL.
 */
enum quarry_status error_set(struct quarry_error *error, enum quarry_status status,
                             const char *format, ...) Q_PRINTF(3, 4);

/*
 * As error_set, for a system call that failed: `os_errno`, its errno, is kept in the error and its
 * meaning is put after the text ("open 'x': Permission denied").
 */
enum quarry_status error_set_os(struct quarry_error *error, enum quarry_status status, int os_errno,
                                const char *format, ...) Q_PRINTF(4, 5);

#endif
