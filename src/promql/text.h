/*
 * Text as Go's strconv has it: quoted, unquoted; numbers and durations, written and read.
 */
#ifndef QUARRY_PROMQL_TEXT_H
#define QUARRY_PROMQL_TEXT_H

#include <promql/memory.h>
#include <promql/number.h>
#include <quarry/tsdb.h>

/* A text that grows at its end, in a query's memory; it is copied when its room has doubled. */
struct promql_writer {
    struct promql_memory *memory; /* borrowed; it says whether all of the text is there */
    char *bytes;                  /* with a NUL behind them; NULL before the first */
    size_t count, capacity;
};

void promql_write(struct promql_writer *writer, const char *bytes, size_t count);
void promql_write_text(struct promql_writer *writer, const char *text);
void promql_write_char(struct promql_writer *writer, char character);
/* printf for short texts: what is beyond 255 bytes is cut. */
void promql_write_format(struct promql_writer *writer, const char *format, ...) Q_PRINTF(2, 3);
/* In double quotes, with escapes where Go writes some. */
void promql_write_quoted(struct promql_writer *writer, struct quarry_tsdb_slice text);
void promql_write_double(struct promql_writer *writer, double value, enum promql_number_form form);
/* "1h30m", "0s"; below 0 with a sign. */
void promql_write_duration(struct promql_writer *writer, int64_t duration_ms);

/* The whole, with a NUL behind it, borrowed from the memory. Returns: false: that has refused. */
bool promql_write_finish(struct promql_writer *writer, struct quarry_tsdb_slice *ret_text);

/* A piece of an error's text, in double or single quotes; cut where the room ends. */
struct promql_quoted {
    char text[512];
};
const char *promql_quote(struct promql_quoted *room, struct quarry_tsdb_slice text);
const char *promql_quote_rune(struct promql_quoted *room, uint32_t rune);

/* A character of UTF-8. Returns: its bytes; 1 for a byte that begins none: UINT32_MAX then. `count`
 * is from 1. */
size_t promql_rune(const char *bytes, size_t count, uint32_t *ret_rune);

/*
 * What stands between quotes, of a text that the lexer has passed: `quoted` has its quotes.
 * Returns: in memory; bytes NULL: there is none left.
 */
struct quarry_tsdb_slice promql_unquote(struct promql_memory *memory,
                                        struct quarry_tsdb_slice quoted);

/* A number as Prometheus reads it: decimal, hexadecimal, octal with a 0 in front, with underscores,
 * Inf, NaN. Returns: false: it is none, or too large for a double. */
bool promql_read_number(struct quarry_tsdb_slice text, double *ret_value);

enum promql_duration_fault {
    PROMQL_DURATION_OK = 0,
    PROMQL_DURATION_EMPTY,
    PROMQL_DURATION_INVALID,
    PROMQL_DURATION_RANGE, /* above 2^63 ns, some 292 years */
};
/* A duration: "1h30m", units once each and falling; "0". */
enum promql_duration_fault promql_read_duration(struct quarry_tsdb_slice text, int64_t *ret_ms);

#endif
