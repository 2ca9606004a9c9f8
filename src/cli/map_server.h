/*
 * `quarry map --server`: the heap map of a server, over HTTP.
 */
#ifndef QUARRY_CLI_MAP_SERVER_H
#define QUARRY_CLI_MAP_SERVER_H

#include <cli/map_picture.h>

struct map_server {
    const char *url;           /* borrowed; "http://127.0.0.1:9090" */
    const char *user;          /* borrowed; NULL: nobody logs in */
    const char *password_path; /* borrowed; of a file; NULL: no password */
    const char *save;          /* borrowed; where the last snapshot is written; NULL: nowhere */
    uint32_t width, height;    /* of a picture that is printed */
    enum map_by by;
    bool is_live; /* on a terminal, until q; else one picture */
    bool is_json, is_ascii, is_coloured;
};

/*
 * Shows. On the terminal a server that does not answer is asked again and again; without one that
 * is the end. What is wrong is said on stderr.
 * Returns: CLI_OK, CLI_NO_CONNECTION, CLI_USAGE (it is no address), CLI_FAILED.
 */
int map_server_show(const struct map_server *map);

#endif
