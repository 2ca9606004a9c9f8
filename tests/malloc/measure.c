/*
 * measure FILE PRELOAD COMMAND...: runs COMMAND with PRELOAD (may be empty) as its LD_PRELOAD,
 * appends the peak resident KiB of its largest process to FILE, and ends as COMMAND ended: its exit
 * code, or 128 and the signal's number. SIGTERM is passed on, so a server may be measured in the
 * background.
 *
 * It is small and allocates nothing: a process' peak begins with that of the one that started it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

static volatile pid_t command;

static void pass_on(int signal_number)
{
    if (command > 0)
        (void)kill(command, signal_number);
}

static void become_command(const char *preload, char **arguments)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* no server outlives its test */
    if (preload[0] != '\0')
        (void)setenv("LD_PRELOAD", preload, 1);
    (void)execvp(arguments[0], arguments);
    fprintf(stderr, "measure: %s: %s\n", arguments[0], strerror(errno));
    _exit(127);
}

static int wait_for_command(void)
{
    int status = 0;

    while (waitpid(command, &status, 0) < 0) {
        if (errno != EINTR)
            return 126;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = pass_on};
    struct rusage usage;

    if (argc < 4) {
        fprintf(stderr, "usage: measure FILE PRELOAD COMMAND...\n");
        return 2;
    }
    (void)sigaction(SIGTERM, &action, NULL);
    command = fork();
    if (command < 0)
        return 126;
    if (command == 0)
        become_command(argv[2], argv + 3);
    int exit_code = wait_for_command();
    (void)getrusage(RUSAGE_CHILDREN, &usage);
    FILE *file = fopen(argv[1], "ae");
    if (file == NULL || fprintf(file, "%ld\n", usage.ru_maxrss) < 0 || fclose(file) != 0) {
        fprintf(stderr, "measure: %s: %s\n", argv[1], strerror(errno));
        return 126;
    }
    return exit_code;
}
