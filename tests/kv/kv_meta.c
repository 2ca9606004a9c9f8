/*
 * `kv_meta [--seeds N] [--seed S] [--operations K] [--options J] [--lane NAME] [--keep LIST]
 * [--without KINDS]`:
 * random histories of a store, held against a sorted map, under all kinds of options.
 *
 * Without --seed, N histories are run, each under an option set of its own in turn; every tenth is
 * run against RocksDB's library as well, where there is one, so that the map is held to that. Each
 * history runs in a child: a crash, an assertion and a hang are failures like any other. One that
 * fails is shrunk, by leaving out pieces of it as long as it still fails, and the line that repeats
 * it is printed:
 *
 *     kv_meta --seed 17 --operations 400 --options 3 --keep 0,5,77-79
 */
#include "kv/lane.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <base/assert.h>

#define SEEDS_DEFAULT      64u
#define OPERATIONS_DEFAULT 600u
#define OPTION_SETS        64u
#define SECONDS_MAX        120u /* of one history */
#define TRIALS_MAX         400u /* while shrinking */

struct meta {
    const struct lane_ops *lane;
    uint64_t seed;
    uint32_t operation_count, options_index;
    uint8_t *keep; /* one for each operation */
    bool is_loud;
    const char *without; /* kinds of operations; NULL: none */
};

static _Noreturn void run_child(const struct meta *meta, const char *directory)
{
    struct meta_options options;

    if (!meta->is_loud && freopen("/dev/null", "w", stderr) == NULL) {
        _exit(2);
    }
    (void)alarm(SECONDS_MAX);
    meta_options_make(meta->options_index, &options);
    run_history(meta->lane, meta->seed, meta->operation_count, &options, meta->keep, directory);
    (void)fflush(NULL);
    exit(0);
}

/* Returns: whether it failed; `rig_report` says how. */
static bool fails(const struct meta *meta)
{
    char directory[64];
    int status = 0;

    memset(rig_report, 0, sizeof *rig_report);
    rig_directory_make(directory, "kv-meta");
    (void)fflush(stdout);
    pid_t child = fork();
    Q_ASSERT(child >= 0);
    if (child == 0) {
        run_child(meta, directory);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    rig_directory_remove(directory);
    if (WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) > 1)) {
        (void)snprintf(rig_report->text, sizeof rig_report->text, "ended by %s %d",
                       WIFSIGNALED(status) ? "signal" : "status",
                       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
    return status != 0;
}

/* ---- shrinking ---- */

/* Leaves out the operations of a list of names: "backup,verify". */
static void leave_out_kinds(struct meta *meta, const char *names)
{
    for (uint32_t i = 0; i < meta->operation_count && names != NULL; i++) {
        const char *name = op_name(op_make(meta->seed, i).kind);
        size_t length = strlen(name);
        for (const char *at = strstr(names, name); at != NULL; at = strstr(at + 1, name)) {
            bool begins = at == names || at[-1] == ',';
            meta->keep[i] &= !(begins && (at[length] == ',' || at[length] == '\0'));
        }
    }
}

/* Leaves out all of a piece that is still in. Returns: how many that were. */
static uint32_t leave_out(struct meta *meta, uint32_t from, uint32_t to, uint8_t *was)
{
    uint32_t count = 0;

    for (uint32_t i = from; i < to; i++) {
        was[i] = meta->keep[i];
        count += meta->keep[i];
        meta->keep[i] = 0;
    }
    return count;
}

static void shrink(struct meta *meta)
{
    uint8_t *was = calloc(meta->operation_count, 1);
    uint32_t trial_count = 0;

    Q_ASSERT(was != NULL);
    for (uint32_t i = rig_report->operation + 1; i < meta->operation_count; i++) {
        meta->keep[i] = 0;
    }
    if (!fails(meta)) { /* it was the last look at everything that failed */
        memset(meta->keep, 1, meta->operation_count);
        leave_out_kinds(meta, meta->without);
    }
    for (uint32_t piece = meta->operation_count / 2; piece > 0; piece /= 2) {
        for (uint32_t from = 0; from < meta->operation_count; from += piece) {
            uint32_t to =
                from + piece < meta->operation_count ? from + piece : meta->operation_count;
            if (leave_out(meta, from, to, was) > 0 &&
                (trial_count++ >= TRIALS_MAX || !fails(meta))) {
                memcpy(meta->keep + from, was + from, to - from);
            }
        }
    }
    free(was);
}

static void print_repeat(const struct meta *meta)
{
    const char *comma = "";

    (void)printf("kv_meta --lane %s --seed %" PRIu64 " --operations %" PRIu32 " --options %" PRIu32
                 " --keep ",
                 meta->lane->name, meta->seed, meta->operation_count, meta->options_index);
    for (uint32_t i = 0; i < meta->operation_count; i++) {
        uint32_t end = i;
        while (end < meta->operation_count && meta->keep[end]) {
            end++;
        }
        if (end > i) {
            (void)printf(end - i > 1 ? "%s%" PRIu32 "-%" PRIu32 : "%s%" PRIu32, comma, i, end - 1);
            comma = ",";
            i = end;
        }
    }
    (void)printf("\n");
}

static void print_operations(const struct meta *meta)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < meta->operation_count; i++) {
        if (meta->keep[i] && count++ < 60) {
            (void)printf(" %s", op_name(op_make(meta->seed, i).kind));
        }
    }
    (void)printf("\n");
}

/* Returns: whether it went well. */
static bool run(struct meta *meta, bool shrinks)
{
    struct meta_options options;

    if (!fails(meta)) {
        return true;
    }
    meta_options_make(meta->options_index, &options);
    (void)printf("failed: lane %s, seed %" PRIu64 ", options %" PRIu32 " (%s), operation %" PRIu32
                 " (%s): %s\n",
                 meta->lane->name, meta->seed, meta->options_index, options.text,
                 rig_report->operation, op_name(op_make(meta->seed, rig_report->operation).kind),
                 rig_report->text);
    (void)fflush(stdout);
    if (shrinks) {
        shrink(meta);
        meta->is_loud = true;
        (void)fails(meta);
        (void)printf("shrunk: operation %" PRIu32 " (%s): %s\n", rig_report->operation,
                     op_name(op_make(meta->seed, rig_report->operation).kind), rig_report->text);
        print_operations(meta);
        print_repeat(meta);
    }
    return false;
}

/* ---- command line ---- */

static void read_keep(struct meta *meta, const char *list)
{
    memset(meta->keep, 0, meta->operation_count);
    while (*list != '\0') {
        char *end = NULL;
        unsigned long from = strtoul(list, &end, 10), to = from;
        if (*end == '-') {
            to = strtoul(end + 1, &end, 10);
        }
        for (unsigned long i = from; i <= to && i < meta->operation_count; i++) {
            meta->keep[i] = 1;
        }
        list = *end == ',' ? end + 1 : end;
        if (*end != ',' && *end != '\0') {
            break;
        }
    }
}

static const struct lane_ops *lane_of(const char *name)
{
#ifdef QUARRY_TESTS_ROCKSDB
    if (name != NULL && strcmp(name, lane_rocksdb.name) == 0) {
        return &lane_rocksdb;
    }
#endif
    return name == NULL || strcmp(name, lane_quarry.name) == 0 ? &lane_quarry : NULL;
}

static bool run_one(const struct meta *base, bool shrinks, const char *keep)
{
    struct meta meta = *base;

    meta.keep = malloc(meta.operation_count);
    Q_ASSERT(meta.keep != NULL);
    memset(meta.keep, 1, meta.operation_count);
    if (keep != NULL) {
        read_keep(&meta, keep);
    }
    leave_out_kinds(&meta, meta.without);
    bool is_right = run(&meta, shrinks);
    free(meta.keep);
    return is_right;
}

static uint32_t run_many(struct meta meta, uint64_t first, uint64_t seed_count, bool peers)
{
    uint32_t failure_count = 0;

    for (uint64_t seed = first; seed < first + seed_count && failure_count < 10; seed++) {
        meta.seed = seed;
        meta.options_index = (uint32_t)(seed % OPTION_SETS);
        failure_count += !run_one(&meta, failure_count < 3, NULL);
#ifdef QUARRY_TESTS_ROCKSDB
        if (peers && seed % 10 == 0) {
            struct meta peer = meta;
            peer.lane = &lane_rocksdb;
            failure_count += !run_one(&peer, true, NULL);
        }
#endif
    }
    (void)peers;
    return failure_count;
}

int main(int argc, char **argv)
{
    const char *seed = rig_argument_text(argc, argv, "--seed");
    const char *lane = rig_argument_text(argc, argv, "--lane");
    struct meta meta = {.lane = lane_of(lane),
                        .without = rig_argument_text(argc, argv, "--without"),
                        .operation_count =
                            (uint32_t)rig_argument(argc, argv, "--operations", OPERATIONS_DEFAULT)};
    uint64_t seed_count = rig_argument(argc, argv, "--seeds", SEEDS_DEFAULT);

    if (meta.lane == NULL || meta.operation_count == 0) {
        (void)fputs("usage: kv_meta [--seeds N] [--first S] [--seed S] [--operations K]\n"
                    "               [--options J] [--lane quarry|rocksdb] [--keep LIST] [--without "
                    "KINDS]\n",
                    stderr);
        return 2;
    }
    rig_report =
        mmap(NULL, sizeof *rig_report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    Q_ASSERT(rig_report != MAP_FAILED);
    if (seed != NULL) {
        meta.seed = strtoull(seed, NULL, 0);
        meta.options_index =
            (uint32_t)rig_argument(argc, argv, "--options", meta.seed % OPTION_SETS);
        meta.is_loud = true;
        return run_one(&meta, rig_argument_text(argc, argv, "--keep") == NULL,
                       rig_argument_text(argc, argv, "--keep"))
                   ? 0
                   : 1;
    }
    uint32_t failure_count =
        run_many(meta, rig_argument(argc, argv, "--first", 1), seed_count, lane == NULL);
    (void)printf("%" PRIu64 " histories of %" PRIu32 " operations, %" PRIu32 " failures\n",
                 seed_count, meta.operation_count, failure_count);
    return failure_count == 0 ? 0 : 1;
}
