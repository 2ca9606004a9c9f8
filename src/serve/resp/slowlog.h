/*
 * The slow log: commands that took long, the newest first, in memory.
 */
#ifndef QUARRY_SERVE_RESP_SLOWLOG_H
#define QUARRY_SERVE_RESP_SLOWLOG_H

#include <serve/resp/resp.h>

/* What is kept of a command, as Redis keeps it: words, and bytes of each. */
#define RESP_SLOW_WORDS      32u
#define RESP_SLOW_WORD_BYTES 128u
/* The longest that it can be made: each is 5 KiB at most. */
#define RESP_SLOWLOG_LENGTH_MAX 10000u

/* `threshold_us`: of commands that are noted, below 0: none. */
void resp_slowlog_open(int64_t threshold_us, uint32_t length);
void resp_slowlog_close(void);

/* Notes a command if it was slow. `peer`: of who asked. Cost: a load, where it was not. */
void resp_slowlog_note(const struct resp_call *call, const char *peer, uint64_t duration_ns);

int64_t resp_slowlog_threshold_us(void);
uint32_t resp_slowlog_length_max(void);
void resp_slowlog_set_threshold(int64_t threshold_us);
/* What is above is forgotten. */
void resp_slowlog_set_length(uint32_t length);

#endif
