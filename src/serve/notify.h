/*
 * Telling the service manager how the server is: systemd's protocol, without its library.
 *
 * Threads: one at a time. Cost: a datagram; nothing where nobody listens ($NOTIFY_SOCKET).
 */
#ifndef QUARRY_SERVE_NOTIFY_H
#define QUARRY_SERVE_NOTIFY_H

#include <base/base.h>

/* Whether somebody listens. */
bool serve_notify_is_on(void);
/*
 * Sends lines: "READY=1\nSTATUS=ready". What is refused is passed over: a server runs without it.
 */
void serve_notify(const char *format, ...) Q_PRINTF(1, 2);
/* As RELOADING=1, with the time that systemd 253 wants beside it. */
void serve_notify_reloading(void);
/* How often "WATCHDOG=1" is due, in nanoseconds: half of what the manager allows. 0: not wanted. */
uint64_t serve_notify_watchdog_ns(void);

#endif
