/*
 * What each status code is called, means, and becomes at the doors: one table.
 *
 * The table is expanded into a `switch` over the enum, so the compiler complains (-Wswitch-enum)
 * when a code is added to the header without a row here, and about a code with two rows.
 *
 *     ROW(code, retry?, name,
 *         text for people,
 *         memcached line, RESP error, HTTP status)
 *
 * Invariants:
 *   1. Every code has one row; names are distinct; any other number gets the `unknown` row.
 *   2. memcached lines have no CR or LF; RESP errors begin with a code in capitals, as clients
 * expect to switch on ("OOM", "NOPERM" and "TRYAGAIN" are Redis' own).
 *   3. HTTP is 4xx exactly when another request is needed, and 5xx when the same may do or when the
 *      fault is the server's; remote-write senders retry on the latter alone.
 *
 * Locking: none. Cost: a jump table; all strings are constants.
 *
 * Rejected: a table indexed by the number, which nothing checks for holes.
 */
#include <quarry/status.h>

/* clang-format off */
#define STATUS_TABLE(ROW)                                                                          \
    ROW(QUARRY_OK, false, "ok",                                                                    \
        "It worked.",                                                                              \
        "OK", "OK", 200)                                                                           \
    ROW(QUARRY_NO_MEMORY, true, "no-memory",                                                       \
        "The memory budget or the machine has no room left; raise the budget, free "               \
        "something, or try later.",                                                                \
        "SERVER_ERROR out of memory", "OOM the memory budget is used up", 503)                     \
    ROW(QUARRY_NO_SPACE, true, "no-space",                                                         \
        "The disk, file system or quota is full; make room and try again.",                        \
        "SERVER_ERROR out of disk space", "ERR the disk is full", 507)                             \
    ROW(QUARRY_NO_ADDRESS, false, "no-address",                                                    \
        "The reserved address range is used up; raise the limit on address space and restart.",    \
        "SERVER_ERROR out of address space", "OOM the address range is used up", 500)              \
    ROW(QUARRY_TOO_LARGE, false, "too-large",                                                      \
        "A size is over a limit of the format or of the configuration; send less, or raise "       \
        "the limit.",                                                                              \
        "SERVER_ERROR object too large for cache", "ERR too large", 413)                           \
    ROW(QUARRY_BAD_INPUT, false, "bad-input",                                                      \
        "An argument or the bytes received make no sense; correct them.",                          \
        "CLIENT_ERROR bad command line format", "ERR bad input", 400)                              \
    ROW(QUARRY_NOT_FOUND, false, "not-found",                                                      \
        "There is no such thing; check the name.",                                                 \
        "NOT_FOUND", "ERR not found", 404)                                                         \
    ROW(QUARRY_EXISTS, false, "exists",                                                            \
        "There is already such a thing; choose another name, or remove it first.",                 \
        "EXISTS", "ERR already exists", 409)                                                       \
    ROW(QUARRY_BUSY, true, "busy",                                                                 \
        "Somebody else holds it; try again later.",                                                \
        "SERVER_ERROR busy", "TRYAGAIN busy", 503)                                                 \
    ROW(QUARRY_IO, false, "io",                                                                    \
        "The operating system failed to read or write; look at the disk and at the kernel's "      \
        "log.",                                                                                    \
        "SERVER_ERROR input or output failed", "ERR input or output failed", 500)                  \
    ROW(QUARRY_CORRUPT, false, "corrupt",                                                          \
        "Stored bytes do not match their checksum or their format; restore or repair them.",       \
        "SERVER_ERROR stored data is corrupt", "ERR stored data is corrupt", 500)                  \
    ROW(QUARRY_UNSUPPORTED, false, "unsupported",                                                  \
        "This build, kernel or file does not offer that; use another way, or another version.",    \
        "CLIENT_ERROR not supported", "ERR not supported", 422)                                    \
    ROW(QUARRY_PERMISSION, false, "permission",                                                    \
        "The operating system or an access rule forbids it; ask for the right, or use "            \
        "another account.",                                                                        \
        "CLIENT_ERROR permission denied", "NOPERM permission denied", 403)                         \
    ROW(QUARRY_CANCELLED, false, "cancelled",                                                      \
        "The caller, a deadline or a shutdown ended it before it was done.",                       \
        "SERVER_ERROR cancelled", "ERR cancelled", 503)                                            \
    ROW(QUARRY_TOO_MANY, true, "too-many",                                                         \
        "A fixed number of things of this kind is in use; close some, or raise the limit.",        \
        "SERVER_ERROR too many in use", "ERR too many in use", 503)
/* clang-format on */

struct status_row {
    bool is_retryable;
    int http;
    const char *name;
    const char *text;
    const char *memcached;
    const char *resp;
};

static const struct status_row *row_of(enum quarry_status status);

const char *quarry_status_name(enum quarry_status status)
{
    return row_of(status)->name;
}

const char *quarry_status_text(enum quarry_status status)
{
    return row_of(status)->text;
}

bool quarry_status_is_retryable(enum quarry_status status)
{
    return row_of(status)->is_retryable;
}

const char *quarry_status_memcached(enum quarry_status status)
{
    return row_of(status)->memcached;
}

const char *quarry_status_resp(enum quarry_status status)
{
    return row_of(status)->resp;
}

int quarry_status_http(enum quarry_status status)
{
    return row_of(status)->http;
}

#define STATUS_CASE(code, retry, row_name, row_text, row_memcached, row_resp, row_http)            \
    case code: {                                                                                   \
        static const struct status_row row = {retry,    row_http,      row_name,                   \
                                              row_text, row_memcached, row_resp};                  \
        return &row;                                                                               \
    }

static const struct status_row *row_of(enum quarry_status status)
{
    static const struct status_row unknown = {
        false,
        500,
        "unknown-status",
        "A status that this version does not know; it comes from a newer one, or from a bug.",
        "SERVER_ERROR unknown status",
        "ERR unknown status",
    };
    switch (status) {
        STATUS_TABLE(STATUS_CASE)
    }
    return &unknown;
}
