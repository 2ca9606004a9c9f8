/*
 * A text that grows: for answers whose length is known at their end, as INFO's and CLIENT LIST's.
 *
 * Where memory fails the text remembers, and resp_text_say answers -OOM. Memory: malloc.
 */
#ifndef QUARRY_SERVE_RESP_TEXT_H
#define QUARRY_SERVE_RESP_TEXT_H

#include <serve/resp/resp.h>

/* All zero is an empty one. */
struct resp_text {
    char *bytes; /* own */
    size_t count, capacity;
    bool has_failed;
};

void resp_text_add(struct resp_text *text, const char *format, ...) Q_PRINTF(2, 3);
/* As a bulk, or verbatim where the protocol has that; and clears it. */
void resp_text_say(struct resp_text *text, struct resp_reply *reply);
void resp_text_clear(struct resp_text *text);

/* "894.92K", as Redis tells sizes to people. Returns: `room`. */
const char *resp_human_bytes(uint64_t bytes, char room[32]);

/*
 * Says the help of a command with subcommands: a first line that names it, `lines` as they are (a
 * NULL ends them), and those of HELP.
 */
void resp_say_help(struct resp_call *call, const char *const *lines);
/* "ERR unknown subcommand 'x'. Try CONFIG HELP.": for the rows of commands with subcommands. */
enum resp_outcome resp_unknown_subcommand(struct resp_call *call);
/* The same with too many or too few words behind a subcommand that is known. */
void resp_say_wrong_form(struct resp_call *call);

#endif
