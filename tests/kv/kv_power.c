/*
 * `kv_power [--cuts N] [--seed SEED]`: the power of a real ext4 is cut under a process that writes.
 *
 * What it was told is written, with `power`, is there afterwards. With `process` the end may be
 * lost, and nothing else. Then the same with a disk that lies, whose syncs do nothing: then
 * something must be found lost, or else this test would find nothing.
 *
 * Skipped, saying why, where a test may not mount a file system.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <base/assert.h>

#include "kv/writer.h"
#include "power/power_cut.h"

#define CUTS_DEFAULT 12u
#define LIES_MAX     20u
#define DISK_BYTES   (UINT64_C(96) << 20)
#define SLEEP_US_MAX 80000u

/* ---- a disk that lies ---- */

/* From here on fdatasync does nothing in this process, and says that all is well. */
static void lie(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fdatasync, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO), /* of errno 0 */
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        (void)fputs("kv_power: no seccomp here\n", stderr);
        _exit(2);
    }
}

/* ---- cuts ---- */

static void cut_under(struct power_cut *cut, const struct writer *writer, uint64_t *random,
                      bool lies)
{
    const struct timespec duration = {.tv_nsec = (long)rig_below(random, SLEEP_US_MAX) * 1000};
    uint64_t verified_count = writer->oracle->verified_count;
    pid_t child = fork();

    Q_ASSERT(child >= 0);
    if (child == 0) {
        if (lies) {
            lie();
        }
        writer_run(writer);
    }
    if (!rig_once_in(random, 4)) { /* else while it is opened */
        writer_wait_until_checked(writer, verified_count);
    }
    (void)nanosleep(&duration, NULL);
    /* A sync that is under way meanwhile may return as if it had been made: of 250 cuts under a
     * bare pwrite and fdatasync, ext4 did that in four. */
    uint64_t acknowledged[WRITER_THREADS];
    for (uint32_t i = 0; i < WRITER_THREADS; i++) {
        acknowledged[i] = writer->oracle->threads[i].acknowledged;
    }
    power_cut_now(cut);
    (void)kill(child, SIGKILL);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    for (uint32_t i = 0; i < WRITER_THREADS; i++) {
        writer->oracle->threads[i].acknowledged = acknowledged[i];
    }
    power_cut_restore(cut);
    /* One that was just opening it when the disk went may have found fault with that. */
    writer->oracle->text[0] = '\0';
}

static void run(struct power_cut *cut, struct writer *writer, uint64_t cut_count, uint64_t seed)
{
    for (uint64_t i = 0; i < cut_count; i++) {
        writer->durability = rig_once_in(&seed, 4) ? QUARRY_KV_PROCESS : QUARRY_KV_POWER;
        writer->may_lose = writer->durability == QUARRY_KV_PROCESS;
        cut_under(cut, writer, &seed, false);
        if (!writer_check(writer)) {
            rig_fail("kv_power, cut %" PRIu64 " (%s): %s", i,
                     writer->may_lose ? "process" : "power", writer->oracle->text);
        }
    }
}

/* Returns: after how many cuts something was lost; 0: never. */
static uint64_t run_lying(struct power_cut *cut, struct writer *writer, uint64_t seed)
{
    writer->durability = QUARRY_KV_POWER;
    writer->may_lose = false;
    for (uint64_t i = 0; i < LIES_MAX; i++) {
        cut_under(cut, writer, &seed, true);
        if (!writer_check(writer)) {
            return i + 1;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct power_cut cut;
    char path[80];
    uint64_t cut_count = rig_argument(argc, argv, "--cuts", CUTS_DEFAULT);
    uint64_t seed = rig_argument(argc, argv, "--seed", 1);
    struct writer writer = {.oracle = oracle_create(), .vfs = quarry_vfs_posix(), .path = path};

    if (!power_cut_begin(&cut, DISK_BYTES)) {
        (void)printf("skipped: power cannot be cut here, see above\n");
        return 0;
    }
    (void)snprintf(path, sizeof path, "%s/kv", cut.mount);
    run(&cut, &writer, cut_count, seed);
    (void)printf("%" PRIu64 " cuts, %" PRIu64 " writes kept\n", cut_count,
                 (uint64_t)writer.oracle->threads[0].acknowledged +
                     (uint64_t)writer.oracle->threads[1].acknowledged);
    (void)snprintf(path, sizeof path, "%s/lies", cut.mount);
    memset(writer.oracle, 0, sizeof *writer.oracle);
    uint64_t lie_count = run_lying(&cut, &writer, seed);
    if (lie_count == 0) {
        rig_fail("kv_power: %u cuts of a disk that does not sync, and nothing was lost", LIES_MAX);
    }
    (void)printf("a disk that lies was found out after %" PRIu64 " cuts: %s\n", lie_count,
                 writer.oracle->text);
    power_cut_end(&cut);
    return 0;
}
