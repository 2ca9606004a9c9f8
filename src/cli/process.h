/*
 * A process whose heap is looked at: found by its number, asked for fresh figures, copied.
 */
#ifndef QUARRY_CLI_PROCESS_H
#define QUARRY_CLI_PROCESS_H

#include <base/base.h>
#include <mem/mem.h>

struct process {
    const char *command; /* of ours that looks, for messages */
    uint32_t pid;
    struct mem_stats_reader reader;
    struct mem_stats_snapshot snapshot;  /* borrowed from the reader; after process_refresh */
    bool is_stale;                       /* it did not answer: these are older figures */
    uint64_t age_ns;                     /* of the figures */
    char title[MEM_STATS_COMMAND_BYTES]; /* its command line, printable */
};

/* Whether a text is a process number: digits, not 0, and not too many. */
bool process_parse_pid(const char *text, uint32_t *ret_pid);

/*
 * Attaches to the heap statistics of a process. The number of a `quarry run` stands for the program
 * that it runs.
 *
 * `command`: borrowed. `ret_process`: own; end it with process_close.
 * Returns: an exit code; what is wrong is said on stderr, with what to do.
 */
int process_open(const char *command, const char *pid_text, struct process *ret_process);
void process_close(struct process *process);

/*
 * Where a server wants to know this of itself: takes the right to files from this process, but for
 * what names are read from. Nothing that shows memory of the process is opened behind it.
 * Returns: an exit code.
 */
int process_confine(const char *command);

/*
 * Asks the process for figures of now, and copies them. A process that does not answer within a
 * second and a half (it is stopped, or has ended) is shown as it last was.
 *
 * Returns: an exit code; what is wrong is said on stderr.
 */
int process_refresh(struct process *process);

/*
 * Copies the figures that are there, and asks for newer ones to look at next time. Says nothing.
 * Errors: those of mem_stats_snapshot.
 */
Q_NODISCARD enum quarry_status process_look(struct process *process, struct quarry_error *error);

/* Whether there is still such a process. */
bool process_is_alive(const struct process *process);

/* Whether figures of a refresh are there: without them nothing can be shown. Says so when not. */
int process_check_figures(const struct process *process);

#endif
