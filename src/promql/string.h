/*
 * A text that grows in a query's memory.
 */
#ifndef QUARRY_PROMQL_STRING_H
#define QUARRY_PROMQL_STRING_H

#include <promql/memory.h>
#include <promql/number.h>

#include <quarry/tsdb.h>

/* Begins as {.memory = …}. Once the memory has refused, nothing more is written. */
struct promql_string {
    struct promql_memory *memory;
    char *bytes;
    size_t count, room;
};

/* Each adds to the end. Threads: one at a time. Cost: what is written; the text is copied when its
 * room has doubled. */
void promql_string_bytes(struct promql_string *string, const char *bytes, size_t count);
void promql_string_text(struct promql_string *string, const char *text);
void promql_string_number(struct promql_string *string, double value, enum promql_number_form form);
void promql_string_whole(struct promql_string *string, int64_t value);
/* As Go's %q: in quotes, with what is not to be seen escaped. */
void promql_string_quoted(struct promql_string *string, struct quarry_tsdb_slice text);

/* The whole, with a NUL behind it, borrowed from the memory. Returns: false: it has refused. */
bool promql_string_finish(struct promql_string *string, struct quarry_tsdb_slice *ret_text);

#endif
