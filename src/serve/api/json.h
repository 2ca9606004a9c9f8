/*
 * JSON as Prometheus' API writes it, into an answer's text.
 */
#ifndef QUARRY_SERVE_API_JSON_H
#define QUARRY_SERVE_API_JSON_H

#include <quarry/tsdb.h>

#include <serve/http/text.h>

/* A string in quotes; <, > and & escaped. Bytes that are no UTF-8 become U+FFFD. Cost: O(count). */
void api_put_string(struct http_text *text, struct quarry_tsdb_slice string);
/* The same of a string that ends with NUL. */
void api_put_words(struct http_text *text, const char *words);
/* A number in quotes: "0.25", "1e+21", "NaN", "+Inf". */
void api_put_value(struct http_text *text, double value);
/* Milliseconds as seconds: 12, 12.345, 12.300. */
void api_put_time(struct http_text *text, int64_t t_ms);
/* The same two, as scalars and strings have them: "0.0000001"; 12.3. */
void api_put_plain_value(struct http_text *text, double value);
void api_put_plain_time(struct http_text *text, int64_t t_ms);
/* {"__name__":"up","job":"node"} */
void api_put_labels(struct http_text *text, const struct quarry_tsdb_label *labels, size_t count);

#endif
