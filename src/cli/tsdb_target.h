/*
 * What a verb of `quarry tsdb` works on: a store in its directory, or a server; and what either
 * answers, which is the same JSON.
 *
 * Calls say on stderr what is wrong, and return an exit code.
 */
#ifndef QUARRY_CLI_TSDB_TARGET_H
#define QUARRY_CLI_TSDB_TARGET_H

#include <cli/json_read.h>
#include <cli/tsdb_http.h>

#include <serve/api/local.h>
#include <tsdb/tsdb.h>

#define TSDB_URL_DEFAULT "http://127.0.0.1:9090"

struct tsdb_command;

/* A memory of --memory bytes, and small memory in it. */
struct tsdb_tool_memory {
    struct quarry_memory *memory; /* own; NULL: there is none */
    struct quarry_lifetime *lifetime;
    struct tsdb_memory small;
};

struct tsdb_target {
    const struct tsdb_command *command; /* borrowed */
    /* of a directory */
    struct tsdb_tool_memory memory; /* of a server: none */
    struct quarry_tsdb *tsdb;
    int64_t window_ms; /* length of its windows */
    struct api_local *local;
    uint64_t lost_count; /* what could not be read of it */
    /* of a server */
    struct tsdb_http http;
    int64_t now_ms; /* the wall's clock; of a directory, its newest sample's time */
};

/* `wants_api`: that tsdb_target_ask can be called. */
int tsdb_target_open(const struct tsdb_command *command, bool wants_api,
                     struct tsdb_target *ret_target);
/* Returns: `code`, or that of closing where `code` is CLI_OK. */
int tsdb_target_close(struct tsdb_target *target, int code);
int tsdb_tool_memory_open(const struct tsdb_command *command, struct tsdb_tool_memory *ret_memory);
void tsdb_tool_memory_close(struct tsdb_tool_memory *memory);
/* In the form of quarry_tsdb_lost_function: says it on stderr. `argument`: a struct tsdb_target. */
void tsdb_target_tell_loss(void *argument, const struct quarry_tsdb_loss *loss);

/* An answer of the API; all-zero is none. */
struct tsdb_answer {
    char *text; /* own; malloc's */
    size_t count, capacity;
    struct json_value *document;   /* own; NULL: it was not asked for */
    const struct json_value *data; /* in the document */
};

/*
 * Asks. An answer that tells of an error is said on stderr, with the place in `expression` that it
 * is about where it says one; NULL: there is none.
 */
int tsdb_target_ask(struct tsdb_target *target, const struct api_question *question,
                    const char *expression, struct tsdb_answer *ret_answer);
void tsdb_answer_free(struct tsdb_answer *answer);
/* Prints the answer as it came, and a newline. */
void tsdb_answer_print(const struct tsdb_answer *answer);

/* In the form of api_sink_function: gathers into a struct tsdb_answer. */
bool tsdb_answer_take(void *argument, const char *bytes, size_t count);

/*
 * A time of a command line: seconds since 1970, RFC 3339, "now", or a duration before `now_ms`,
 * "-1h". `option`: its name with dashes. `text` NULL: `fallback_ms`.
 */
int tsdb_time_read(const struct tsdb_command *command, const char *option, const char *text,
                   int64_t now_ms, int64_t fallback_ms, int64_t *ret_ms);
/* A duration, "15s" or "0.5", above 0. */
int tsdb_duration_read(const struct tsdb_command *command, const char *option, const char *text,
                       int64_t *ret_ms);
/* Room for a time as text: seconds, or RFC 3339. */
#define TSDB_TIME_BYTES 40u
/* "1700000000.123", as the API takes it. Returns: `room`. */
const char *tsdb_time_seconds(int64_t t_ms, char room[TSDB_TIME_BYTES]);
/* "2023-11-14 22:13:20", and ".123" where there are milliseconds; UTC. Returns: `room`. */
const char *tsdb_time_text(int64_t t_ms, char room[TSDB_TIME_BYTES]);

#endif
