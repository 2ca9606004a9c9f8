/*
 * A client of HTTP servers, for `quarry tsdb`.
 *
 * Calls say on stderr what is wrong, as `command` and with the address, and return an exit code.
 */
#ifndef QUARRY_CLI_TSDB_HTTP_H
#define QUARRY_CLI_TSDB_HTTP_H

#include <base/base.h>

/* All of an answer: more is refused. */
#define TSDB_HTTP_ANSWER_MAX Q_GIB(1)

#define TSDB_HTTP_FAULT_BYTES 200u

struct tsdb_http {
    const char *command, *url; /* borrowed; "http://127.0.0.1:9090" */
    const char *user;          /* borrowed; NULL: nobody logs in */
    char *password;            /* own; wiped when it is closed */
    void *easy;                /* own; libcurl's */
    /* For who has the terminal: at most so long for an answer, and then nothing is said on stderr;
     * it is in `fault`. 0: a command's own patience, and its words. */
    uint32_t quiet_timeout_s;
    char fault[TSDB_HTTP_FAULT_BYTES];
};

struct tsdb_http_answer {
    char *bytes; /* own; malloc's; NULL: none, else with a NUL behind */
    size_t count, capacity;
    uint32_t code;
    uint64_t written_count; /* X-Prometheus-Remote-Write-Samples-Written; UINT64_MAX: not said */
};

/* `password_path`: of the file whose first line is it; NULL: none. */
int tsdb_http_open(struct tsdb_http *http, const char *command, const char *url, const char *user,
                   const char *password_path);
void tsdb_http_close(struct tsdb_http *http);

/* A text with all but letters, digits and "-._~" as %XX. Returns: own, malloc's; NULL: no memory.
 */
char *tsdb_http_escape(const char *text);

/*
 * Asks. `path`: with its query. `body` NULL: GET; else POST, of `type`.
 * Returns: CLI_NO_CONNECTION; any answer is CLI_OK. End the answer with tsdb_http_answer_free.
 */
int tsdb_http_ask(struct tsdb_http *http, const char *path, const char *type, const char *body,
                  size_t body_bytes, struct tsdb_http_answer *ret_answer);
void tsdb_http_answer_free(struct tsdb_http_answer *answer);

#endif
