/*
 * The latency monitor: moments at which something took long, by kinds of events.
 */
#ifndef QUARRY_SERVE_RESP_LATENCY_H
#define QUARRY_SERVE_RESP_LATENCY_H

#include <serve/resp/resp.h>

void resp_latency_open(uint64_t threshold_ms);
void resp_latency_close(void);
/* A command was executed. Cost: a load, where it was not long or nothing is noted. */
void resp_latency_note(const struct resp_command *command, uint64_t now_ms, uint64_t duration_ns);
uint64_t resp_latency_threshold_ms(void);
void resp_latency_set_threshold(uint64_t threshold_ms);

#endif
