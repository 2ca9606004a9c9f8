/*
 * A protocol of lines for tests of the net, which uses all that a door can.
 *
 *     echo TEXT        TEXT
 *     lend TEXT        TEXT, borrowed from the input
 *     big N            N bytes, borrowed from a pattern; a share of them in each turn
 *     put N            after N bytes: "stored N HASH", read to where they are wanted
 *     wait TEXT        "later TEXT", posted by another thread
 *     post TEXT        the same, without waiting for it
 *     keep TEXT        "kept TEXT", withheld until "later TEXT" is posted, and sent with it
 *     drop TEXT        likewise, but forgotten then
 *     calm             "calm", when all answers before it have been taken
 *     await N          nothing: waits for good, with N bytes to come
 *     turn             the number of the turn
 *     stay             the same, after keeping the worker busy until line_door_go
 *     who              the identity, rights, peer and local end
 *     login NAME       "welcome NAME", with all rights
 *     quit             closes
 *
 * Anything else is answered by "what?". Requests are answered LINE_SHARE at a time.
 */
#ifndef QUARRY_TESTS_UNIT_SERVE_LINE_DOOR_H
#define QUARRY_TESTS_UNIT_SERVE_LINE_DOOR_H

#include <serve/door.h>

#define LINE_SHARE 20u
/* What `big` answers with, and how much of it is lent at a time. */
#define LINE_PATTERN_BYTES Q_KIB(64)

extern const struct serve_door line_door;

/* How many connections have the door open; stretches held; turns begun less those ended. */
extern _Atomic int64_t line_open_count;
extern _Atomic int64_t line_held_count;
extern _Atomic int64_t line_turn_depth;
/* Whether stretches can be held; true at the start. */
extern _Atomic bool line_can_hold;
/* Posted functions that were told that their connection is gone. */
extern _Atomic int64_t line_gone_count;

/* How often `calm` had to wait. */
extern _Atomic int64_t line_pause_count;

/* Byte `at` of what `big` answers. */
char line_pattern_byte(uint64_t at);
/* What `put` says of bytes. */
uint64_t line_hash(uint64_t hash, const char *bytes, size_t byte_count);
/* Whether a worker is in `stay`; and lets it go on. */
extern _Atomic bool line_is_staying;
void line_door_go(void);
/* Waits for the threads that `wait` has begun. */
void line_door_join(void);

#endif
