/*
 * `kv_crash [--points N] [--first SEED] [--seed SEED [--point P]]`: the power is cut at every
 * single change of the disk.
 *
 *     workload ──> store ──> fault vfs: before each operation ──> what is left of the disk, eight
 *                                │                                times over: with none, some, all
 *                                v                                of what was not synced
 *                            memory vfs
 *
 * Each disk that is left is opened. It must be the store as it was after one of its writes: the
 * last that power was asked for, or a later one. Where everything written was kept, as when only
 * the process ends, one that was acknowledged with `process`, or a later one. Of some, the opening
 * is itself cut short at every change that it makes; some are written to, cut and opened again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <quarry/memory.h>

#include <base/assert.h>
#include <base/size.h>

#include "kv/workload.h"

#define POINTS_DEFAULT 3000u
#define STEPS          90u
#define DAMAGES        8u
#define DEEP_ONE_IN    24u /* disks of which the recovery is cut short as well */
#define LEFT_MAX       8192u

/* A disk that was left, and what may be on it. */
struct left {
    struct quarry_vfs *vfs;
    uint32_t floor;
    uint64_t point; /* of the run, for the failure */
};

struct crash {
    uint64_t seed, point_count, only_point;
    uint32_t step;
    struct quarry_kv_options options;
    struct quarry_memory *memory, *check_memory;
    struct quarry_vfs *disk, *fault;
    struct quarry_kv *kv;
    struct journal journal;
    uint32_t left_count;
    struct left left[LEFT_MAX];
    uint64_t checked_count, deep_count;
};

/* ---- leaving disks ---- */

/* Kept in 100; 100 is the end of the process. */
static const uint32_t kept[DAMAGES] = {0, 100, 50, 50, 10, 90, 30, 70};

static void leave(struct crash *crash, struct quarry_vfs *disk)
{
    uint64_t point = crash->point_count++;

    if (crash->only_point != UINT64_MAX && point != crash->only_point) {
        return;
    }
    for (uint32_t damage = 0; damage < DAMAGES; damage++) {
        Q_ASSERT(crash->left_count < LEFT_MAX);
        struct left *left = &crash->left[crash->left_count++];
        left->floor =
            kept[damage] == 100 ? crash->journal.process_floor : crash->journal.power_floor;
        left->point = point * DAMAGES + damage;
        rig_expect(quarry_vfs_memory_crash(disk, kept[damage], left->point + crash->seed * 977,
                                           &left->vfs),
                   NULL, "crash");
    }
}

static bool is_change(enum quarry_vfs_operation operation)
{
    switch ((int)operation) {
    case QUARRY_VFS_OP_CREATE:
    case QUARRY_VFS_OP_WRITE:
    case QUARRY_VFS_OP_SYNC:
    case QUARRY_VFS_OP_PREALLOCATE:
    case QUARRY_VFS_OP_TRUNCATE:
    case QUARRY_VFS_OP_REMOVE:
    case QUARRY_VFS_OP_RENAME:
    case QUARRY_VFS_OP_LINK:
    case QUARRY_VFS_OP_MAKE_DIRECTORY:
    case QUARRY_VFS_OP_SYNC_DIRECTORY:
        return true;
    default:
        return false;
    }
}

static void notice(void *argument, enum quarry_vfs_operation operation, const char *path,
                   uint64_t index)
{
    struct crash *crash = argument;

    (void)path;
    (void)index;
    if (is_change(operation)) {
        leave(crash, crash->disk);
    }
}

/* ---- looking at them ---- */

static struct quarry_kv *open_left(struct crash *crash, struct quarry_vfs *vfs,
                                   const struct left *left)
{
    struct quarry_kv_options options = crash->options;
    struct quarry_kv *kv = NULL;
    struct quarry_error error = {0};

    options.vfs = vfs;
    options.name = "left";
    if (quarry_kv_open(crash->check_memory, "/kv", &options, &kv, &error) != QUARRY_OK) {
        rig_fail("kv_crash --seed %" PRIu64 " --point %" PRIu64 " (step %" PRIu32
                 ", damage %" PRIu64 "): cannot be opened: %s",
                 crash->seed, left->point / DAMAGES, crash->step, left->point % DAMAGES,
                 error.text);
    }
    return kv;
}

static uint64_t check_open(struct crash *crash, struct quarry_kv *kv, const struct left *left,
                           const char *what)
{
    struct quarry_error error = {0};
    uint64_t hash = 0;

    if (!rig_scan_hash(kv, &hash, &error)) {
        rig_fail("kv_crash --seed %" PRIu64 " --point %" PRIu64 " (step %" PRIu32
                 ", damage %" PRIu64 "), %s: cannot be read: %s",
                 crash->seed, left->point / DAMAGES, crash->step, left->point % DAMAGES, what,
                 error.text);
    }
    if (!journal_has(&crash->journal, left->floor, hash)) {
        rig_fail("kv_crash --seed %" PRIu64 " --point %" PRIu64 " (step %" PRIu32
                 ", damage %" PRIu64 "), %s: %s",
                 crash->seed, left->point / DAMAGES, crash->step, left->point % DAMAGES, what,
                 journal_has(&crash->journal, 0, hash) ? "what was durable is lost"
                                                       : "it is like this after no write");
    }
    crash->checked_count++;
    return hash;
}

static void close_left(struct quarry_kv *kv)
{
    struct quarry_error error = {0};

    rig_expect(quarry_kv_close(kv, &error), &error, "close");
}

struct recovery {
    struct crash *crash;
    struct quarry_vfs *disk;
    uint64_t random;
    uint32_t count;
    struct quarry_vfs *left[256];
};

static void notice_recovery(void *argument, enum quarry_vfs_operation operation, const char *path,
                            uint64_t index)
{
    struct recovery *recovery = argument;

    (void)path;
    (void)index;
    if (is_change(operation) && recovery->count < 256) {
        rig_expect(quarry_vfs_memory_crash(
                       recovery->disk, kept[rig_below(&recovery->random, DAMAGES)],
                       random_u64(&recovery->random), &recovery->left[recovery->count++]),
                   NULL, "crash");
    }
}

/* Opens a disk, and cuts that short at each change that it makes. */
static void check_recovery(struct crash *crash, const struct left *left)
{
    struct recovery recovery = {.crash = crash, .disk = left->vfs, .random = left->point};
    const struct quarry_vfs_fault fault = {.notice = notice_recovery, .argument = &recovery};
    struct quarry_vfs *fault_vfs = NULL;

    rig_expect(quarry_vfs_fault_create(left->vfs, 1, &fault_vfs), NULL, "fault");
    quarry_vfs_fault_set(fault_vfs, 0, &fault);
    struct quarry_kv *kv = open_left(crash, fault_vfs, left);
    (void)check_open(crash, kv, left, "whole");
    close_left(kv);
    quarry_vfs_fault_destroy(fault_vfs);
    for (uint32_t i = 0; i < recovery.count; i++) {
        kv = open_left(crash, recovery.left[i], left);
        (void)check_open(crash, kv, left, "its recovery cut short");
        close_left(kv);
        quarry_vfs_memory_destroy(recovery.left[i]);
        crash->deep_count++;
    }
}

/* Writes to a disk that was opened: that is there after the next loss, with all that was. */
static void check_goes_on(struct crash *crash, const struct left *left)
{
    const struct quarry_kv_write_options power = {.durability = QUARRY_KV_POWER};
    struct quarry_vfs *second = NULL;
    struct quarry_error error = {0};
    struct quarry_kv *kv = open_left(crash, left->vfs, left);
    uint64_t before = check_open(crash, kv, left, "first"), after = 0;

    rig_expect(quarry_kv_put(kv, &power, "z", 1, "last", 4, &error), &error, "put");
    rig_expect(quarry_vfs_memory_crash(left->vfs, 0, left->point, &second), NULL, "crash");
    close_left(kv);
    kv = open_left(crash, second, left);
    if (!rig_scan_hash(kv, &after, &error) ||
        after != model_hash_pair(before, slice_of("z", 1), slice_of("last", 4))) {
        rig_fail("kv_crash --seed %" PRIu64 " --point %" PRIu64 " (damage %" PRIu64
                 "): written to, and cut again, it is another",
                 crash->seed, left->point / DAMAGES, left->point % DAMAGES);
    }
    close_left(kv);
    quarry_vfs_memory_destroy(second);
}

static void check_left(struct crash *crash)
{
    for (uint32_t i = 0; i < crash->left_count; i++) {
        const struct left *left = &crash->left[i];
        if (left->point / DAMAGES % DEEP_ONE_IN == left->point % DAMAGES) {
            check_recovery(crash, left);
        } else if (left->point / DAMAGES % DEEP_ONE_IN == DAMAGES + left->point % DAMAGES) {
            check_goes_on(crash, left);
        } else {
            struct quarry_kv *kv = open_left(crash, left->vfs, left);
            (void)check_open(crash, kv, left, "opened");
            close_left(kv);
        }
        quarry_vfs_memory_destroy(left->vfs);
    }
    crash->left_count = 0;
}

/* ---- the workload ---- */

static void open_store(struct crash *crash)
{
    struct quarry_error error = {0};

    rig_expect(quarry_kv_open(crash->memory, "/kv", &crash->options, &crash->kv, &error), &error,
               "open");
}

static enum quarry_kv_durability durability_of(const struct crash *crash, const struct step *step)
{
    enum quarry_kv_durability store = crash->options.durability;
    enum quarry_kv_durability asked = step->durability;

    store = store == QUARRY_KV_DEFAULT ? QUARRY_KV_PROCESS : store;
    return asked == QUARRY_KV_DEFAULT ? store : asked;
}

static void write_step(struct crash *crash, const struct step *step)
{
    struct quarry_error error = {0};

    journal_begin(&crash->journal, step);
    rig_expect(workload_write(crash->kv, step, &error), &error, "write");
    journal_end(&crash->journal, step, OUTCOME_DONE, durability_of(crash, step));
}

static void do_step(struct crash *crash, const struct step *step)
{
    struct quarry_error error = {0};
    const struct quarry_kv_slice none = {.bytes = NULL};

    switch (step->kind) {
    case STEP_WRITE:
        write_step(crash, step);
        break;
    case STEP_FLUSH:
        rig_expect(quarry_kv_flush(crash->kv, &error), &error, "flush");
        journal_sync(&crash->journal);
        break;
    case STEP_SYNC:
        rig_expect(quarry_kv_sync(crash->kv, &error), &error, "sync");
        journal_sync(&crash->journal);
        break;
    case STEP_COMPACT:
        rig_expect(quarry_kv_compact_range(crash->kv, none, none, &error), &error, "compact");
        break;
    case STEP_BACKGROUND:
        (void)quarry_kv_step(crash->kv);
        break;
    case STEP_REOPEN:
        if (crash->options.durability == QUARRY_KV_NONE) {
            rig_expect(quarry_kv_flush(crash->kv, &error), &error, "flush");
        }
        close_left(crash->kv);
        journal_sync(&crash->journal);
        open_store(crash);
        break;
    }
}

static void run(struct crash *crash, uint64_t seed)
{
    const struct quarry_vfs_fault fault = {.notice = notice, .argument = crash};
    static struct step step;

    crash->seed = seed;
    crash->point_count = 0;
    crash->step = 0;
    journal_init(&crash->journal);
    workload_options(seed, &crash->options);
    rig_expect(quarry_vfs_memory_create(seed, &crash->disk), NULL, "vfs");
    rig_expect(quarry_vfs_fault_create(crash->disk, seed, &crash->fault), NULL, "fault");
    quarry_vfs_fault_set(crash->fault, 0, &fault);
    crash->options.vfs = crash->fault;
    open_store(crash);
    check_left(crash);
    for (; crash->step < STEPS; crash->step++) {
        workload_step(seed, crash->step, &step);
        do_step(crash, &step);
        leave(crash, crash->disk); /* what was written to a mapping is no operation */
        check_left(crash);
    }
    close_left(crash->kv);
    check_left(crash);
    quarry_vfs_fault_destroy(crash->fault);
    quarry_vfs_memory_destroy(crash->disk);
    journal_fini(&crash->journal);
}

int main(int argc, char **argv)
{
    struct crash *crash = calloc(1, sizeof *crash);
    uint64_t wanted = rig_argument(argc, argv, "--points", POINTS_DEFAULT);
    uint64_t seed = rig_argument(argc, argv, "--first", 1);
    bool is_one = rig_argument_text(argc, argv, "--seed") != NULL;

    Q_ASSERT(crash != NULL);
    crash->memory = rig_memory_create(Q_MIB(128));
    crash->check_memory = rig_memory_create(Q_MIB(128));
    crash->only_point = rig_argument(argc, argv, "--point", UINT64_MAX);
    do {
        run(crash, is_one ? rig_argument(argc, argv, "--seed", 1) : seed++);
    } while (!is_one && crash->checked_count < wanted);
    (void)printf("%" PRIu64 " disks after a loss of power, %" PRIu64
                 " of them after one while another was recovered from\n",
                 crash->checked_count, crash->deep_count);
    quarry_memory_destroy(crash->memory);
    quarry_memory_destroy(crash->check_memory);
    free(crash);
    return 0;
}
