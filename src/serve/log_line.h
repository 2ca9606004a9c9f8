/*
 * One line of the log, in each of its forms.
 */
#ifndef QUARRY_SERVE_LOG_LINE_H
#define QUARRY_SERVE_LOG_LINE_H

#include <serve/log.h>

/* Longer lines are cut. Doubling it doubles what one line costs on the stack. */
#define SERVE_LOG_LINE_BYTES 2048

struct serve_log_line {
    enum serve_log_format format; /* not SERVE_LOG_AUTO */
    bool has_colours;
    bool has_priority; /* "<6>" in front, and no time: for the journal, which keeps its own */
    enum serve_log_level level;
    uint64_t wall_ns;
    const char *message;
    const struct serve_log_field *fields; /* closed by one without a name */
    uint64_t left_out_count;              /* 0: none, and not said */
};

/* Writes a line with its end. Returns: its bytes. */
size_t serve_log_line_format(const struct serve_log_line *line,
                             char ret_text[SERVE_LOG_LINE_BYTES]);

#endif
