/*
 * How far a long command is: a bar with rate and time left on a terminal, a line every five seconds
 * elsewhere; on stderr.
 *
 *     struct progress progress;
 *     progress_begin(&progress, "kv load", "keys", file_bytes);
 *     … progress_at(&progress, keys, bytes) …
 *     progress_end(&progress);
 *
 * Threads: one.
 */
#ifndef QUARRY_CLI_PROGRESS_H
#define QUARRY_CLI_PROGRESS_H

#include <base/base.h>

struct progress {
    const char *command;  /* borrowed; "kv load" */
    const char *unit;     /* borrowed; what is counted: "keys" */
    uint64_t total_bytes; /* 0: not known: no bar, no time left */
    uint64_t begun_ns, shown_ns;
    uint64_t count, done_bytes;
    bool is_terminal, is_shown;
};

void progress_begin(struct progress *progress, const char *command, const char *unit,
                    uint64_t total_bytes);
/* So far; shows it when it is time to. Cost: reading the clock, every 64th call. */
void progress_at(struct progress *progress, uint64_t count, uint64_t done_bytes);
/* Wipes the bar away. Returns: seconds since it was begun. */
double progress_end(struct progress *progress);

/* The line as it would be shown, without a terminal's signs. `now_ns`: monotonic. */
void progress_format(const struct progress *progress, uint64_t now_ns, char *room,
                     size_t room_bytes);

#endif
