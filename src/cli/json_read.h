/*
 * JSON that somebody else has written, read whole.
 *
 * What is not there, or of another kind, is 0, an empty text or nothing at all: who reads asks for
 * what is known, and passes over the rest.
 */
#ifndef QUARRY_CLI_JSON_READ_H
#define QUARRY_CLI_JSON_READ_H

#include <base/base.h>

/* A value in a document; NULL is none. Borrowed as long as the document. */
struct json_value;

/* `ret_fault`: room for what is wrong. Returns: a document, own; NULL: it is no JSON. */
struct json_value *json_read(const char *text, size_t length, char *ret_fault, size_t fault_bytes);
/* `document`: given; NULL does nothing. */
void json_read_free(struct json_value *document);

const struct json_value *json_read_member(const struct json_value *object, const char *name);
const struct json_value *json_read_item(const struct json_value *array, size_t index);
size_t json_read_count(const struct json_value *array);
/* Of a whole number; 0 where it is none or below 0. */
uint64_t json_read_u64(const struct json_value *value);
/* False where it is none. */
bool json_read_bool(const struct json_value *value);
double json_read_double(const struct json_value *value);
/* Returns: NULL: it is no text. May have NULs in it. */
const char *json_read_text(const struct json_value *value, size_t *ret_length);
/*
 * The members of an object, one after another. `*iterator`: NULL at first; the reader's own.
 * Returns: the next one's value, and its name, borrowed as the value is; NULL: there are no more.
 */
const struct json_value *json_read_next(const struct json_value *object, void **iterator,
                                        const char **ret_name);

#endif
