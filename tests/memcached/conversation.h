/*
 * Conversations with a memcached server, as files: what is sent, and what must be answered.
 *
 *     == a key that is not there             a conversation begins: a new connection and server
 *     ~ why                                  memcached 1.6.18 answers otherwise; docs/memcached.md
 *     > get a                                sent, with a line end behind it
 *     >> set a 0 0 1\r\nx\r\n                sent as it is
 *     < END                                  answered, with a line end behind it
 *     << key=a exp=-1\n                      answered just so
 *     p> 01 key=a extras=0000000000000000 value=x cas=0 opaque=1     a packet, sent
 *     p< 01 status=0 cas={cas} key=a extras=00 value=x opaque=1      a packet, answered
 *     @ 10                                   the server's clock moves by so many seconds
 *     ! closed                               the connection has been closed
 *     # a remark
 *
 * In all of them \r \n \t \0 \\ \xNN are bytes and {x*100} is a hundred x. {cas} is a number: any
 * one in an answer, and in a request the one that was answered last. {num} is any number in an
 * answer, {any} anything up to the end of the line.
 */
#ifndef QUARRY_TESTS_CONVERSATION_H
#define QUARRY_TESTS_CONVERSATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that may hold wildcards: each byte has a kind. */
struct pattern {
    char *bytes;
    uint8_t *kinds; /* enum pattern_kind, of each byte */
    size_t byte_count;
    size_t capacity;
};

enum pattern_kind {
    PATTERN_BYTE = 0,
    PATTERN_CAS,        /* digits */
    PATTERN_NUMBER,     /* digits */
    PATTERN_ANY,        /* all up to a carriage return, or a newline */
    PATTERN_PACKED_CAS, /* eight bytes */
};

enum step_kind {
    STEP_SEND = 0,
    STEP_EXPECT,
    STEP_CLOCK,
    STEP_CLOSED,
};

struct step {
    enum step_kind kind;
    struct pattern text;
    int64_t seconds;
    int line; /* of the file */
};

struct conversation {
    const char *file; /* borrowed */
    char title[160];
    char reason[160]; /* why memcached answers otherwise; "" where it does not */
    struct step *steps;
    size_t step_count;
    int line;
};

struct conversations {
    struct conversation *at;
    size_t count;
};

/* Reads a file; ends the test where it makes no sense. `path` is borrowed for good. */
struct conversations conversations_read(const char *path);
void conversations_free(struct conversations *conversations);

/*
 * How many bytes of a text a pattern takes up.
 *
 * `cas`: the last one that was answered, changed by a match. Returns: SIZE_MAX: it does not match;
 * SIZE_MAX - 1: it may, with more bytes.
 */
size_t pattern_match(const struct pattern *pattern, const char *text, size_t byte_count,
                     uint64_t *cas);

/* Writes what a pattern sends: the cas in the place of {cas}. Returns: own, to be freed. */
char *pattern_fill(const struct pattern *pattern, uint64_t cas, size_t *ret_bytes);

/* Prints bytes as the files have them, long runs cut. */
void print_escaped(const char *label, const char *bytes, size_t byte_count);

#endif
