/*
 * Parameters of the API: times, durations, numbers, in the manners that Prometheus reads.
 */
#ifndef QUARRY_SERVE_API_PARAMS_H
#define QUARRY_SERVE_API_PARAMS_H

#include <serve/http/http.h>

/* The earliest and the latest time that there is: what clients that know no better ask for. */
#define API_TIME_MIN_MS INT64_C(-9223309901257974)
#define API_TIME_MAX_MS INT64_C(9223309901257974)

/* Seconds as a number, "1435781451.781", or RFC 3339, "2015-07-01T20:10:51.781Z". Returns: false:
 * it is neither, or no time that a sample may have. */
bool api_read_time(struct http_slice text, int64_t *ret_ms);
/* Seconds as a number, "0.5", or a duration, "1h30m". Returns: false: it is neither, or too long.
 */
bool api_read_duration(struct http_slice text, int64_t *ret_ms);
/* A duration as Prometheus writes it: "15s", "1d12h", "0s". `room`: for all of it. Returns: it. */
#define API_DURATION_BYTES 64u
const char *api_duration_text(uint64_t ms, char room[API_DURATION_BYTES]);
/* A whole number from 0. */
bool api_read_count(struct http_slice text, uint64_t *ret_count);
/* Whether a text is a number of seconds, however large. */
bool api_is_number(struct http_slice text);
/* A text as Go's %q writes it: in quotes, what cannot be printed escaped; cut after 256 bytes.
 * Returns: `room`. */
#define API_QUOTED_BYTES 1100u
const char *api_quote(struct http_slice text, char room[API_QUOTED_BYTES]);
/* A number of any sign, of one digit or more. */
bool api_read_number(struct http_slice text, int64_t *ret_number);
/* 1, t, true, 0, f, false, in the cases that Go knows. */
bool api_read_bool(struct http_slice text, bool *ret_value);
/* A parameter that is there and not empty. */
bool api_param(const struct http_call *call, const char *name, struct http_slice *ret_value);

#endif
