/*
 * What a server's doctor says, asked over HTTP.
 */
#ifndef QUARRY_CLI_DOCTOR_SERVER_H
#define QUARRY_CLI_DOCTOR_SERVER_H

#include <cli/tsdb_http.h>

struct doctor_server {
    const char *url;           /* borrowed; "http://127.0.0.1:9090" */
    const char *user;          /* borrowed; NULL: nobody logs in */
    const char *password_path; /* borrowed; of a file; NULL: no password */
    bool is_json;
};

/*
 * Asks and prints; what is wrong is said on stderr.
 * Returns: CLI_OK, CLI_FOUND (a warning or worse), CLI_NO_CONNECTION, CLI_BUSY (another report is
 * being made), CLI_USAGE (it is no address), CLI_FAILED (refused, or no answer of a doctor).
 */
int doctor_server_ask(const struct doctor_server *server);

/*
 * Asks for another report that a server makes about itself. `command`: for messages.
 * `ret_answer`: own, when CLI_OK; end it with tsdb_http_answer_free.
 * Returns: the same but for CLI_FOUND; CLI_OK is an answer 200.
 */
int doctor_server_fetch(const char *command, const struct doctor_server *server, const char *path,
                        struct tsdb_http_answer *ret_answer);

#endif
