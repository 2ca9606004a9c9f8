/*
 * Status codes and error messages.
 *
 * Every Quarry call that can fail returns an `enum quarry_status`. The numbers are stable: they are
 * part of the ABI, of the formats that store them and of the logs, and are never renumbered or
 * reused. A call that has more to say than the number also takes a `struct quarry_error *`, which
 * the caller owns and may leave NULL.
 *
 * Threads: everything here may be called from any thread, and from signal handlers, unless it says
 * otherwise. Nothing here allocates.
 */
#ifndef QUARRY_STATUS_H
#define QUARRY_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <quarry/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What happened. QUARRY_OK is 0 and the only success; everything else leaves the call's out
 * parameters unwritten and its object as it was, unless the call's own description says more.
 */
enum quarry_status {
    QUARRY_OK = 0,
    QUARRY_NO_MEMORY = 1,     /* the memory budget, or the machine, has no room left */
    QUARRY_NO_SPACE = 2,      /* a disk or file system is full, or a quota on it is used up */
    QUARRY_NO_ADDRESS = 3,    /* the reserved address range is used up */
    QUARRY_TOO_LARGE = 4,     /* a size is over a limit of the format or of the configuration */
    QUARRY_BAD_INPUT = 5,     /* an argument, or bytes from outside, make no sense */
    QUARRY_NOT_FOUND = 6,     /* there is no such thing */
    QUARRY_EXISTS = 7,        /* there is already such a thing */
    QUARRY_BUSY = 8,          /* somebody else holds it; the same call may succeed later */
    QUARRY_IO = 9,            /* the operating system failed to read or write */
    QUARRY_CORRUPT = 10,      /* stored bytes do not match their checksum or their format */
    QUARRY_UNSUPPORTED = 11,  /* this build or kernel lacks a feature, or a file uses an unknown one */
    QUARRY_PERMISSION = 12,   /* the operating system or an access rule forbids it */
    QUARRY_CANCELLED = 13,    /* the caller, a deadline or a shutdown ended it */
    QUARRY_TOO_MANY = 14,     /* a fixed number of things of this kind is already in use */
};

/* Bytes of text in a `struct quarry_error`, the closing NUL included. */
#define QUARRY_ERROR_TEXT_BYTES 248

/*
 * The message that goes with a status: a fixed-size, caller-owned text that names the object, the
 * value, the limit and the unit ("lane 'window': 3 pages wanted, 16384 bytes left of 64 MiB").
 * Written only when a call fails. Initialise with `{0}`; there is nothing to free.
 */
struct quarry_error {
    enum quarry_status status;
    int os_errno; /* errno of the failed system call, or 0 */
    char text[QUARRY_ERROR_TEXT_BYTES];
};

/*
 * The name of a status in lower case with hyphens ("no-memory"), for logs and machines.
 *
 * `status`: any value; numbers outside the enum give "unknown-status".
 * Returns: a static string, never NULL.
 * Errors: none. Threads: any. Cost: O(1).
 */
QUARRY_EXPORT const char *quarry_status_name(enum quarry_status status);

/*
 * One sentence that says what a status means and what to do about it, for people.
 *
 * Returns: a static string, never NULL. Errors: none. Threads: any. Cost: O(1).
 */
QUARRY_EXPORT const char *quarry_status_text(enum quarry_status status);

/*
 * Whether the same call, unchanged, may succeed later: true for QUARRY_NO_MEMORY, QUARRY_NO_SPACE,
 * QUARRY_BUSY and QUARRY_TOO_MANY, false for everything that needs another argument or a repair.
 *
 * Errors: none. Threads: any. Cost: O(1).
 */
QUARRY_EXPORT bool quarry_status_is_retryable(enum quarry_status status);

/*
 * How the three protocol doors answer a status: the memcached error line without its CR LF
 * ("SERVER_ERROR out of memory"), the RESP error without its leading '-' ("OOM ..."), and the HTTP
 * status number (503). For QUARRY_OK: "OK", "OK" and 200.
 *
 * Returns: static strings and a number. Errors: none. Threads: any. Cost: O(1).
 */
QUARRY_EXPORT const char *quarry_status_memcached(enum quarry_status status);
QUARRY_EXPORT const char *quarry_status_resp(enum quarry_status status);
QUARRY_EXPORT int quarry_status_http(enum quarry_status status);

#ifdef __cplusplus
}
#endif

#endif
