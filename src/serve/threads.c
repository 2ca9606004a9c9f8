/*
 * Threads, as /proc tells of them:
 *
 *   comm      the name
 *   stat      the state (R runs, S sleeps, D waits for a disk), CPU time in ticks
 *   wchan     the function of the kernel that it waits in; 0 when it runs
 *   syscall   "running", or the call's number, its arguments, stack pointer and program counter
 *
 * Rejected: stacks written by the threads themselves in a signal handler. Threads of ours block all
 * signals, as the library must not take a program's.
 */
#include <serve/threads.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <serve/log.h>

#define TEXT_BYTES 512
/* Fields of stat behind the name, which may hold anything: state is the first. */
#define STAT_UTIME 11
#define STAT_STIME 12

/* The first line of a file of a thread; "" when it cannot be read. */
static void read_line(const char *thread, const char *name, char text[TEXT_BYTES])
{
    char path[300];

    (void)snprintf(path, sizeof path, "/proc/self/task/%.20s/%s", thread, name);
    FILE *file = fopen(path, "re");
    text[0] = '\0';
    if (file != NULL) {
        if (fgets(text, TEXT_BYTES, file) == NULL) {
            text[0] = '\0';
        }
        (void)fclose(file);
    }
    text[strcspn(text, "\n")] = '\0';
}

/* The n-th word, from 0; "" when there are fewer. In place. */
static char *word(char *text, uint32_t n)
{
    for (; n > 0 && text != NULL; n--) {
        text = strchr(text, ' ');
        text = text != NULL ? text + 1 : NULL;
    }
    static char none[1];
    return text != NULL ? text : none;
}

static uint64_t cpu_ns(char *stat)
{
    uint64_t ticks =
        strtoull(word(stat, STAT_UTIME), NULL, 10) + strtoull(word(stat, STAT_STIME), NULL, 10);

    return ticks * (Q_SECOND_NS / (uint64_t)sysconf(_SC_CLK_TCK));
}

static void log_thread(const char *thread)
{
    char name[TEXT_BYTES], stat[TEXT_BYTES], channel[TEXT_BYTES], call[TEXT_BYTES], state[2] = "?";

    read_line(thread, "comm", name);
    read_line(thread, "stat", stat);
    read_line(thread, "wchan", channel);
    read_line(thread, "syscall", call);
    char *behind_name = strrchr(stat, ')'); /* a name may have blanks and brackets */
    char *fields = behind_name != NULL && behind_name[1] == ' ' ? behind_name + 2 : stat;
    state[0] = fields[0] != '\0' ? fields[0] : '?';
    const char *counter = strrchr(call, ' ');
    serve_log(SERVE_LOG_WARNING, "thread", serve_log_text("name", name),
              serve_log_text("id", thread), serve_log_text("state", state),
              serve_log_seconds("cpu_seconds", cpu_ns(fields)),
              serve_log_text("waits_in", strcmp(channel, "0") != 0 ? channel : ""),
              serve_log_text("at", counter != NULL ? counter + 1 : call));
}

void serve_threads_log(void)
{
    DIR *threads = opendir("/proc/self/task");

    if (threads == NULL) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(threads)) != NULL;) {
        if (entry->d_name[0] != '.') {
            log_thread(entry->d_name);
        }
    }
    (void)closedir(threads);
}
