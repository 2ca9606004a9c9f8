/*
 * Fields of a header: finding them, and the forms that their values have.
 */
#ifndef QUARRY_SERVE_HTTP_FIELDS_H
#define QUARRY_SERVE_HTTP_FIELDS_H

#include <serve/http/head.h>

/* How many fields have the name; the value of the first one, where there is one. */
uint32_t http_field_find(const char *bytes, const struct http_head *head, const char *name,
                         struct http_slice *ret_value);
/* Whether a word is in the lists, with commas, of all fields of a name. */
bool http_field_has_word(const char *bytes, const struct http_head *head, const char *name,
                         const char *word);
/* The next element of a list with commas, without blanks around it; false: there is none. */
bool http_list_next(struct http_slice *rest, struct http_slice *ret_element);
/* Whether an Accept-Encoding takes gzip: named, or by "*", with a weight above 0. */
bool http_accepts_gzip(const char *bytes, const struct http_head *head);
/* The type without its parameters. */
struct http_slice http_media_type(struct http_slice value);

#endif
