/*
 * memcached's command line, as settings of a server.
 *
 * `quarry memcached` is started in the place of memcached by scripts, units and test harnesses that
 * know memcached alone: it takes what memcached 1.6 takes, by the same names, and fails with the
 * same exit codes. What has no meaning here is accepted and noted.
 */
#ifndef QUARRY_CLI_MEMCACHED_OPTIONS_H
#define QUARRY_CLI_MEMCACHED_OPTIONS_H

#include <serve/serve.h>

/* memcached's exit codes, beside 0 and 1: of sysexits.h. */
#define MEMCACHED_EXIT_USAGE   64
#define MEMCACHED_EXIT_NO_USER 67
#define MEMCACHED_EXIT_OS      71

/* The memcached whose options, names and words these are. */
#define MEMCACHED_LIKE "1.6.45"

#define MEMCACHED_NOTES_MAX     64u
#define MEMCACHED_NOTE_BYTES    160
#define MEMCACHED_TEXTS_BYTES   8192u
#define MEMCACHED_MESSAGE_BYTES 256
#define MEMCACHED_LISTENS_MAX   16u

enum memcached_task {
    MEMCACHED_SERVE = 0,
    MEMCACHED_HELP,
    MEMCACHED_VERSION,
    MEMCACHED_LICENSE,
};

/* What was accepted, and does less than it does in memcached. */
struct memcached_note {
    bool is_warning; /* said always, else with -v */
    char text[MEMCACHED_NOTE_BYTES];
};

/* What a command line asks for. Large: not for a stack that has other things on it. */
struct memcached_options {
    enum memcached_task task;
    struct serve_sources sources; /* borrows `texts`, the arguments and the environment */
    uint32_t verbosity;           /* 0 to 3: how many -v */
    bool is_daemon;
    bool raises_core_limit;
    bool is_restartable;  /* -e: SIGUSR1 ends it, and the next one goes on */
    bool needs_users;     /* -S without a file of them: a setting has to name some */
    const char *user;     /* NULL: as who it is */
    const char *pid_path; /* NULL: none */
    uint32_t note_count;
    struct memcached_note notes[MEMCACHED_NOTES_MAX];
    char error[MEMCACHED_MESSAGE_BYTES]; /* "" when there is none */
    /* texts that sources point to */
    char texts[MEMCACHED_TEXTS_BYTES];
    size_t text_bytes;
};

/*
 * Reads a command line. `arguments`: borrowed by the result, and reordered. `environment`: as of
 * serve_sources; NULL: none.
 *
 * Returns: 0, or memcached's exit code; `ret_options->error` says what is wrong.
 * Threads: one at a time: getopt_long is used.
 */
int memcached_options_parse(int argument_count, char **arguments, char *const *environment,
                            struct memcached_options *ret_options);

#endif
