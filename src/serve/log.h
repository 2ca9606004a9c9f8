/*
 * The server's log: lines of a message and fields, to stderr or a file.
 *
 *     serve_log(SERVE_LOG_WARNING, "a slow reader was cut",
 *               serve_log_text("peer", peer), serve_log_bytes("waiting_bytes", waiting));
 *
 *     time=2026-11-21T20:10:00.123Z level=warning msg="a slow reader was cut" peer=10.0.0.9:4711 …
 *
 * There is one log in a process. Messages are constants, so that they can be searched for; what
 * changes is in fields. Keys and values of stores are never logged.
 *
 * Every place in the source that logs has a rate: ten lines in ten seconds. What is beyond is
 * counted, and told with the place's next line, or by serve_log_tell_left_out.
 *
 * Threads: any, all at once; not signal handlers. Cost: one write; for a line that is left out or
 * below the level, some nanoseconds. A write that fails is not tried again: a full disk stops no
 * server.
 */
#ifndef QUARRY_SERVE_LOG_H
#define QUARRY_SERVE_LOG_H

#include <base/base.h>

/* In the order of the words of log.level. */
enum serve_log_level { SERVE_LOG_DEBUG, SERVE_LOG_INFO, SERVE_LOG_WARNING, SERVE_LOG_ERROR };

/* In the order of the words of log.format. */
enum serve_log_format {
    SERVE_LOG_AUTO, /* human on a terminal, else logfmt */
    SERVE_LOG_HUMAN,
    SERVE_LOG_LOGFMT,
    SERVE_LOG_JSON,
};

struct serve_log_options {
    enum serve_log_level level;
    enum serve_log_format format;
    const char *path; /* "" or NULL: stderr. Borrowed for the call */
};

/*
 * Begins the log, or changes it: another path is opened first, and the log is as it was when that
 * fails. Before, lines of level info and above go to stderr as logfmt.
 * Errors: IO, PERMISSION, NOT_FOUND (folder). Threads: one at a time.
 */
enum quarry_status serve_log_open(const struct serve_log_options *options,
                                  struct quarry_error *error);
/* Opens the file of the same path again, after it was moved away. Errors: as serve_log_open. */
enum quarry_status serve_log_reopen(struct quarry_error *error);
/* Back to stderr. */
void serve_log_close(void);

/* Lines kept of one place in WINDOW_NS: doubling it doubles what a flood writes. */
#define SERVE_LOG_LINES_MAX 10u
#define SERVE_LOG_WINDOW_NS (10 * Q_SECOND_NS)

/*
 * Tells of places whose left out lines nobody has told yet, and whose window is over. To be called
 * each second or so. `now_ns`: monotonic.
 */
void serve_log_tell_left_out(uint64_t now_ns);
/* How many lines were left out, ever. Threads: any. */
uint64_t serve_log_left_out_count(void);

enum serve_log_kind { SERVE_LOG_TEXT = 1, SERVE_LOG_COUNT, SERVE_LOG_BYTES, SERVE_LOG_SECONDS };

struct serve_log_field {
    const char *name; /* a word; NULL closes the list */
    enum serve_log_kind kind;
    uint64_t number;
    const char *text;
};

/* Borrowed for the line. NULL is "". */
static inline struct serve_log_field serve_log_text(const char *name, const char *text)
{
    return (struct serve_log_field){.name = name, .kind = SERVE_LOG_TEXT, .text = text};
}
static inline struct serve_log_field serve_log_count(const char *name, uint64_t count)
{
    return (struct serve_log_field){.name = name, .kind = SERVE_LOG_COUNT, .number = count};
}
/* With a unit for people; a number for machines, so the name says "_bytes". */
static inline struct serve_log_field serve_log_bytes(const char *name, uint64_t bytes)
{
    return (struct serve_log_field){.name = name, .kind = SERVE_LOG_BYTES, .number = bytes};
}
/* A duration, given in nanoseconds and written in seconds. */
static inline struct serve_log_field serve_log_seconds(const char *name, uint64_t ns)
{
    return (struct serve_log_field){.name = name, .kind = SERVE_LOG_SECONDS, .number = ns};
}

/* A place that logs. Static; all but the message belong to log.c. */
struct serve_log_site {
    const char *message;
    enum serve_log_level level; /* of the last line */
    bool is_known;
    uint32_t count;           /* of lines in the window */
    uint64_t window_begin_ns; /* 0: none yet */
    uint64_t left_out_count;  /* since the last line */
    struct serve_log_site *next;
};

/* Another level, until the log is begun or changed again. Threads: any. */
void serve_log_set_level(enum serve_log_level level);
bool serve_log_is_on(enum serve_log_level level);
/* `fields`: closed by one without a name. */
void serve_log_write(struct serve_log_site *site, enum serve_log_level level,
                     const struct serve_log_field *fields);

#define serve_log(level_, message_, ...)                                                           \
    do {                                                                                           \
        static struct serve_log_site site_ = {.message = (message_)};                              \
        if (serve_log_is_on(level_)) {                                                             \
            const struct serve_log_field fields_[] = {__VA_ARGS__ __VA_OPT__(, ){.name = NULL}};   \
            serve_log_write(&site_, level_, fields_);                                              \
        }                                                                                          \
    } while (0)

#endif
