/*
 * `tsdb_power [--cuts N] [--seed SEED]`: the power of a real ext4 is cut under a process that
 * appends to a store with durability POWER. What it was told is taken is there.
 *
 * Skipped, saying why, where a test may not mount a file system.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#include "power/power_cut.h"
#include "tsdb/life.h"
#include "unit/base/random.h"

#define CUTS_DEFAULT 8u
#define DISK_BYTES   (UINT64_C(96) << 20)
#define SLEEP_US_MAX 20000u

static void cut_under(struct power_cut *cut, const struct life *life, uint64_t *random)
{
    const struct timespec duration = {.tv_nsec = (long)(random_u64(random) % SLEEP_US_MAX) * 1000};
    pid_t child = life_begin(life);
    int status = 0;

    life_wait(life, child, random);
    (void)nanosleep(&duration, NULL);
    /* Answers of a kernel that has given up no longer count. */
    atomic_store_release_bool(&life->told->is_cut, true);
    power_cut_now(cut);
    (void)kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    atomic_store_release_bool(&life->told->is_cut, false);
    power_cut_restore(cut);
}

int main(int argc, char **argv)
{
    uint64_t cuts = life_argument(argc, argv, "--cuts", CUTS_DEFAULT);
    uint64_t random = life_argument(argc, argv, "--seed", 1), found_count = 0;
    struct power_cut cut;
    char path[80];
    struct life life = {
        .told = life_told_create(), .directory = path, .durability = QUARRY_TSDB_DURABILITY_POWER};

    if (!power_cut_begin(&cut, DISK_BYTES)) {
        (void)printf("skipped: power cannot be cut here, see above\n");
        return 0;
    }
    (void)snprintf(path, sizeof path, "%s/tsdb", cut.mount);
    for (uint64_t i = 0; i < cuts; i++) {
        cut_under(&cut, &life, &random);
        found_count += life_check(&life);
    }
    power_cut_end(&cut);
    (void)printf("%" PRIu64 " cuts, %" PRIu64 " steps acknowledged, %" PRIu64
                 " samples found right\n",
                 cuts, (uint64_t)life.told->acknowledged, found_count);
    return 0;
}
