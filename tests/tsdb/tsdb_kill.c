/*
 * `tsdb_kill [--kills N] [--seed SEED]`: a process that appends to a store with a directory is
 * killed, again and again: while it appends, seals, writes files, or opens what the one before
 * left. What it was told is taken is there, each sample once, with its bits.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#include "tsdb/life.h"
#include "unit/base/random.h"

#define KILLS_DEFAULT 15u
#define SLEEP_US_MAX  4000u

static void life_end(pid_t child, uint64_t *random)
{
    const struct timespec duration = {.tv_nsec = (long)(random_u64(random) % SLEEP_US_MAX) * 1000};
    int status = 0;

    (void)nanosleep(&duration, NULL);
    (void)kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        life_fail("it ended by itself");
    }
}

/* A clean store's directory can be removed by its names. */
static void directory_remove(const char *directory)
{
    char command[128];

    (void)snprintf(command, sizeof command, "rm -rf '%s'", directory);
    Q_ASSERT(system(command) == 0);
}

int main(int argc, char **argv)
{
    uint64_t kills = life_argument(argc, argv, "--kills", KILLS_DEFAULT);
    uint64_t random = life_argument(argc, argv, "--seed", 1), found_count = 0;
    char directory[] = "/tmp/quarry-tsdb-kill-XXXXXX";
    struct life life = {.told = life_told_create(), .directory = directory};

    Q_ASSERT(mkdtemp(directory) != NULL);
    for (uint64_t i = 0; i < kills; i++) {
        life.durability = random_u64(&random) % 3 == 0 ? QUARRY_TSDB_DURABILITY_POWER
                                                       : QUARRY_TSDB_DURABILITY_PROCESS;
        pid_t child = life_begin(&life);
        life_wait(&life, child, &random);
        life_end(child, &random);
        if (random_u64(&random) % 2 == 0) { /* else the next life opens what is left */
            found_count += life_check(&life);
        }
    }
    found_count += life_check(&life);
    directory_remove(directory);
    (void)printf("%" PRIu64 " kills, %" PRIu64 " steps acknowledged, %" PRIu64
                 " samples found right\n",
                 kills, (uint64_t)life.told->acknowledged, found_count);
    return 0;
}
