/*
 * A description of a series being read: what series.c and series_histogram.c share.
 *
 * A function that reads says whether it could; where not, the error is set.
 */
#ifndef QUARRY_PROMQL_SERIES_READER_H
#define QUARRY_PROMQL_SERIES_READER_H

#include <promql/parser.h>
#include <promql/series.h>

/* A description being read; the lexer's position is behind what was read. */
struct series_reader {
    struct promql_parser parser;
    struct promql_series_value *values;
    size_t count, capacity;
};

char series_peek(const struct series_reader *reader);
bool series_accept(struct series_reader *reader, char character);
/* Returns: whether there were any. */
bool series_skip_blanks(struct series_reader *reader);
/* "unexpected … in series values, expected …". Returns: false. */
bool series_refuse(struct series_reader *reader, const char *expected);

bool series_read_number(struct series_reader *reader, double *ret_value);
bool series_read_count(struct series_reader *reader, uint32_t *ret_count);
struct promql_series_value series_value_of(double number);
bool series_add_value(struct series_reader *reader, const struct promql_series_value *value);
/* The same value once, or as often as is said. */
bool series_repeat(struct series_reader *reader, const struct promql_series_value *value);

/* At "{{". */
bool series_read_histograms(struct series_reader *reader);

#endif
