/*
 * The orderly end: what waits for the last connection. The calls are in net.h, and what a worker
 * does meanwhile is in worker.c.
 */
#ifndef QUARRY_SERVE_DRAIN_H
#define QUARRY_SERVE_DRAIN_H

#include <serve/state.h>

/* Whether nothing listens any more and nobody is connected. Threads: any. */
bool serve_net_is_drained(const struct serve_net *net);

#endif
