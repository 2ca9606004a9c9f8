/*
 * Requests of RESP: from bytes to words. Pure: it keeps nothing, copies nothing and waits for
 * nothing.
 *
 *     *3\r\n $3\r\n SET\r\n $1\r\n k\r\n $5\r\n value\r\n        an array of bulks
 *     SET k "a value"\r\n                                        a line, as a person types it
 *
 * A cursor says how far a request has been read, so that one that comes in pieces can be gone on
 * with. Texts of errors are Redis' own.
 */
#ifndef QUARRY_SERVE_RESP_PARSE_H
#define QUARRY_SERVE_RESP_PARSE_H

#include <base/base.h>

#include <quarry/kv.h>

/* The longest line, of a request or of a length, as in Redis. */
#define RESP_LINE_BYTES_MAX Q_KIB(64)
/* The most words of a request. Redis has no such limit; doubled, a request that waits for its last
 * word may keep a MiB more. */
#define RESP_WORDS_MAX 65536u
/* Before a login, as in Redis. */
#define RESP_STRANGER_WORDS_MAX 10u
#define RESP_STRANGER_BULK_MAX  Q_KIB(16)

struct resp_parse_limits {
    uint64_t bulk_bytes_max;
    bool is_stranger; /* has yet to log in */
};

/* Where a request stands. All zero: none was begun. */
struct resp_cursor {
    uint32_t words_left; /* that one under way included; 0: none was begun */
    bool has_bulk;       /* its length is known */
    uint64_t bulk_bytes; /* which is so many, CR and LF not included */
};

enum resp_parsed {
    RESP_PARSED_ALL,  /* what was asked for */
    RESP_PARSED_MORE, /* more bytes are needed */
    RESP_PARSED_NONE, /* an empty request: nothing is to be said of it */
    RESP_PARSED_WRONG,
};

/* What is wrong: "Protocol error: …". */
struct resp_parse_error {
    char text[64];
};

/*
 * Reads the beginning of a request, "*3\r\n". `ret_taken`: bytes of it. ALL: the cursor is at its
 * first word.
 */
enum resp_parsed resp_parse_count(struct resp_cursor *cursor, const char *bytes, size_t byte_count,
                                  const struct resp_parse_limits *limits, size_t *ret_taken,
                                  struct resp_parse_error *error);
/* Reads the beginning of a word, "$5\r\n". */
enum resp_parsed resp_parse_bulk(struct resp_cursor *cursor, const char *bytes, size_t byte_count,
                                 const struct resp_parse_limits *limits, size_t *ret_taken,
                                 struct resp_parse_error *error);

/*
 * Reads a whole request that begins with '*', all of whose bytes are there.
 *
 * `words`: room for `room` words; they point into `bytes`. ALL: *ret_count of them, *ret_taken
 * bytes. MORE: it is not whole; *cursor says how far it goes, *ret_count words and *ret_taken bytes
 * of it were read. More words than there is room for are told as MORE as well.
 */
enum resp_parsed resp_parse_request(struct resp_cursor *cursor, const char *bytes,
                                    size_t byte_count, const struct resp_parse_limits *limits,
                                    struct quarry_kv_slice *words, uint32_t room,
                                    uint32_t *ret_count, size_t *ret_taken,
                                    struct resp_parse_error *error);

/*
 * Reads a line into words, with quotes and escapes as redis-cli has them.
 *
 * `room`: for the words' bytes, RESP_LINE_BYTES_MAX of them. NONE: a line without words. A line
 * with more than `word_room` words is WRONG.
 */
enum resp_parsed resp_parse_line(const char *bytes, size_t byte_count, char *room,
                                 struct quarry_kv_slice *words, uint32_t word_room,
                                 uint32_t *ret_count, size_t *ret_taken,
                                 struct resp_parse_error *error);

#endif
