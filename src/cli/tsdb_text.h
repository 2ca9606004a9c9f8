/*
 * Series of answers as text for people.
 */
#ifndef QUARRY_CLI_TSDB_TEXT_H
#define QUARRY_CLI_TSDB_TEXT_H

#include <cli/json_read.h>

#include <stdio.h>

/* {"__name__":"up","job":"node"} as up{job="node"}. Returns: own, malloc's; NULL: no memory. */
char *tsdb_text_labels(const struct json_value *metric);
/* How wide a text is on a terminal, in characters. */
size_t tsdb_text_width(const char *text);
/* Prints a text that others wrote: what would steer a terminal becomes '?'. */
void tsdb_text_put(FILE *file, const char *text);
/* The same, and blanks up to a width. */
void tsdb_text_put_padded(FILE *file, const char *text, size_t width);
/* A number for an axis or a table: "1.5k", "0.25", "3M". Returns: `room`. */
#define TSDB_NUMBER_BYTES 24u
const char *tsdb_text_number(double value, char room[TSDB_NUMBER_BYTES]);

#endif
