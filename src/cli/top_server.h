/*
 * `quarry top --server`: what a server does, over HTTP.
 */
#ifndef QUARRY_CLI_TOP_SERVER_H
#define QUARRY_CLI_TOP_SERVER_H

#include <base/base.h>

struct top_server {
    const char *url;           /* borrowed; "http://127.0.0.1:9090" */
    const char *user;          /* borrowed; NULL: nobody logs in */
    const char *password_path; /* borrowed; of a file; NULL: no password */
    uint32_t interval_s;
    bool is_live; /* on a terminal, until q; else one picture */
    bool is_json, is_ascii, is_coloured;
};

/*
 * Shows. On the terminal a server that does not answer is asked again and again; without one that
 * is the end. What is wrong is said on stderr.
 * Returns: CLI_OK, CLI_NO_CONNECTION, CLI_USAGE (it is no address), CLI_FAILED.
 */
int top_server_show(const struct top_server *top);

#endif
