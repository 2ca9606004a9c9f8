/*
 * `kv_kill [--kills N] [--seed SEED]`: a process that writes is killed, again and again, now and
 * then while it opens the store. What it was told is written, with `process` or `power`, is there.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <base/assert.h>

#include "kv/writer.h"

#define KILLS_DEFAULT 20u
#define SLEEP_US_MAX  60000u

static void sleep_us(uint32_t duration_us)
{
    const struct timespec duration = {.tv_nsec = (long)duration_us * 1000};

    (void)nanosleep(&duration, NULL);
}

/* One life of the process. Returns: false: it ended by itself, with something wrong. */
static bool live_and_die(const struct writer *writer, uint64_t *random)
{
    int status = 0;
    uint64_t verified_count = writer->oracle->verified_count;
    pid_t child = fork();

    Q_ASSERT(child >= 0);
    if (child == 0) {
        writer_run(writer);
    }
    if (!rig_once_in(random, 4)) { /* else while it is opened */
        writer_wait_until_checked(writer, verified_count);
    }
    sleep_us(rig_below(random, SLEEP_US_MAX));
    (void)kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

int main(int argc, char **argv)
{
    char directory[64], path[80];
    uint64_t kill_count = rig_argument(argc, argv, "--kills", KILLS_DEFAULT);
    uint64_t random = rig_argument(argc, argv, "--seed", 1);
    struct writer writer = {.oracle = oracle_create(), .vfs = quarry_vfs_posix(), .path = path};

    rig_directory_make(directory, "kv-kill");
    (void)snprintf(path, sizeof path, "%s/kv", directory);
    for (uint64_t i = 0; i < kill_count; i++) {
        writer.durability = rig_once_in(&random, 4) ? QUARRY_KV_POWER : QUARRY_KV_PROCESS;
        if (!live_and_die(&writer, &random)) {
            rig_fail("kv_kill, life %" PRIu64 ", files in %s: %s", i, directory,
                     writer.oracle->text[0] != '\0' ? writer.oracle->text : "it died by itself");
        }
    }
    if (!writer_check(&writer)) {
        rig_fail("kv_kill, at the end, files in %s: %s", directory, writer.oracle->text);
    }
    (void)printf("%" PRIu64 " kills, %" PRIu64 " stores found right, %" PRIu64 " writes in them\n",
                 kill_count, (uint64_t)writer.oracle->verified_count,
                 (uint64_t)writer.oracle->threads[0].acknowledged +
                     (uint64_t)writer.oracle->threads[1].acknowledged);
    rig_directory_remove(directory);
    return 0;
}
