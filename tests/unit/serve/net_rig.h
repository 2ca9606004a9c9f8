/*
 * A net with the line door for tests, and clients of it.
 */
#ifndef QUARRY_TESTS_UNIT_SERVE_NET_RIG_H
#define QUARRY_TESTS_UNIT_SERVE_NET_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <quarry/memory.h>

#include <serve/serve.h>

#include "unit/serve/line_door.h"

/* Nothing that a test waits for takes so long, however busy the machine is. */
#define RIG_PATIENCE_S 60u

extern struct quarry_memory *memory;
extern struct serve_net *net;
extern struct serve_listener *listener; /* the last one that rig_listen made */

/* Figures of what was told by the net, by kind. */
extern _Atomic uint64_t rig_news[SERVE_NEWS_NO_MEMORY + 1];

/* A memory and a net that has yet to listen; zero options: two workers, 256 MiB, and
 * patience of an hour. */
void rig_create(const struct serve_net_options *options);
/* On a free port of 127.0.0.1 if `address` is NULL; fills in address and door where missing. */
void rig_listen(struct serve_listener_options options);
void rig_start(void);
/* All of it, on one port. */
void rig_begin(const struct serve_net_options *options);
/* Ends the net and checks that nothing is left: doors, held stretches, memory, descriptors. */
void rig_end(void);

/* A client's socket, blocking, with a timeout of RIG_PATIENCE_S; connected to `listener`. */
int client_open(void);
void client_close(int fd);
/* Sends all of it; false: the connection broke. */
bool client_try_send(int fd, const char *bytes, size_t byte_count);
void client_send(int fd, const char *text);
/* Reads so many bytes, or up to the end of the stream. Returns: how many. */
size_t client_read(int fd, char *ret_bytes, size_t byte_count);
/* Reads up to the end of a line, which is left out. */
void client_read_line(int fd, char *ret_line, size_t capacity);
/* Fails the test unless these bytes come. */
void client_expect(int fd, const char *text);
/* Fails the test unless the stream ends; -1 from recv counts where `may_be_reset`. */
void client_expect_end(int fd, bool may_be_reset);
/* Reads and checks `byte_count` bytes of the pattern of `big`. */
void client_expect_pattern(int fd, uint64_t byte_count);

/* Waits until condition(argument) holds; fails the test after RIG_PATIENCE_S. */
void rig_wait(bool (*condition)(void *argument), void *argument);
struct serve_counters rig_counters(void);
/* Waits until the workers have read so many bytes in all. */
void rig_wait_received(uint64_t byte_count);
/* Waits until so many connections are there. */
void rig_wait_connections(uint64_t count);
/* Bytes that the account `net` has charged. */
uint64_t rig_charged_bytes(void);
/* Open descriptors of this process. */
unsigned rig_descriptor_count(void);

#endif
