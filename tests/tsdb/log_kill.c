/*
 * `tsdb_log_kill [--kills N] [--seed SEED]`: a process that appends to the log is killed, again and
 * again. What it was told is logged, is replayed: each sample once, with its bits.
 *
 * Each life has a window of its own, drops the one three lives before it, and is looked at with the
 * two before it.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <tsdb/log.h>

#include "unit/base/random.h"

#define KILLS_DEFAULT 20u
#define LIFE_US_MAX   20000u
#define IDS           200u
#define STEPS_MAX     200000u
#define WINDOWS_KEPT  3

/* Shared with the process that is killed. */
struct shared {
    _Atomic uint32_t acknowledged; /* steps of this life */
};

static struct shared *shared;
static char directory[64];

static Q_NORETURN void fail(const char *what, uint64_t life)
{
    (void)fprintf(stderr, "tsdb_log_kill: life %" PRIu64 ", files in %s: %s\n", life, directory,
                  what);
    exit(EXIT_FAILURE);
}

static uint64_t value_of(int64_t window, uint32_t id, uint32_t step)
{
    uint64_t state = (uint64_t)window * 1000003 + id;
    double value = (double)(random_u64(&state) % 1000) + (double)step * (id % 10) / 100;

    return id % 16 == 0 ? random_u64(&state) ^ step
                        : (memcpy(&state, &value, sizeof(value)), state);
}

static void describe(void *argument, uint32_t id, struct tsdb_log_series *ret_series)
{
    static char text[32];
    static struct tsdb_label label;

    (void)argument;
    (void)snprintf(text, sizeof(text), "series-%u", id);
    label = (struct tsdb_label){tsdb_slice_of("__name__"), tsdb_slice_of(text)};
    *ret_series = (struct tsdb_log_series){.id = id, .tenant = 1, .labels = {&label, 1}};
}

static void make_memory(struct tsdb_memory *ret_small)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(256), .has_no_thread = true};
    const struct quarry_account_options account_options = {.name = "tsdb"};
    struct quarry_lifetime *lifetime = NULL;
    struct quarry_memory *memory = NULL;

    Q_ASSERT(quarry_memory_create(&options, &memory, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_account_create(memory, &account_options, &ret_small->account, NULL) ==
             QUARRY_OK);
    Q_ASSERT(quarry_lifetime_begin(memory, "tsdb objects", &lifetime, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_pool_create(lifetime, quarry_account_owner(ret_small->account),
                                &ret_small->pool) == QUARRY_OK);
}

static struct tsdb_log *open_log(struct tsdb_memory *small)
{
    const struct tsdb_log_options options = {.vfs = quarry_vfs_posix(),
                                             .directory = directory,
                                             .memory = small,
                                             .segment_bytes = Q_KIB(128)};
    struct tsdb_log *log = NULL;

    Q_ASSERT(tsdb_log_open(&options, &log, NULL) == QUARRY_OK);
    return log;
}

/* ---- the process that is killed ------------------------------------------------------------- */

static Q_NORETURN void live(int64_t window, bool syncs)
{
    static struct tsdb_log_sample samples[IDS];
    struct tsdb_memory small;
    struct tsdb_log_ticket ticket;

    make_memory(&small);
    struct tsdb_log *log = open_log(&small);
    Q_ASSERT(tsdb_log_drop_window(log, window - WINDOWS_KEPT, NULL) == QUARRY_OK);
    for (uint32_t step = 0; step < STEPS_MAX; step++) {
        for (uint32_t i = 0; i < IDS; i++) {
            samples[i] = (struct tsdb_log_sample){i + 1, step, value_of(window, i + 1, step)};
        }
        const struct tsdb_log_batch batch = {
            .window = window, .samples = samples, .sample_count = IDS, .describe = describe};
        Q_ASSERT(tsdb_log_append(log, &batch, &ticket, NULL) == QUARRY_OK);
        Q_ASSERT(!syncs || tsdb_log_sync(log, &ticket, NULL) == QUARRY_OK);
        atomic_store_release_u32(&shared->acknowledged, step + 1);
    }
    for (;;) {
        (void)pause();
    }
}

/* ---- looking -------------------------------------------------------------------------------- */

struct found {
    int64_t window;
    uint64_t life;
    uint16_t counts[STEPS_MAX + 1]; /* samples of each step */
};
static struct found found;
static uint64_t sample_count;

static enum quarry_status found_series(void *argument, const struct tsdb_log_series *series,
                                       uint32_t *ret_handle)
{
    struct tsdb_log_series expected;

    (void)argument;
    describe(NULL, series->id, &expected);
    if (series->tenant != 1 || series->labels.count != 1 ||
        !tsdb_slice_equal(series->labels.labels[0].value, expected.labels.labels[0].value)) {
        fail("a series has the wrong labels", found.life);
    }
    *ret_handle = series->id;
    return QUARRY_OK;
}

static enum quarry_status found_samples(void *argument, const struct tsdb_log_sample *samples,
                                        size_t count)
{
    (void)argument;
    for (size_t i = 0; i < count; i++) {
        uint32_t step = (uint32_t)samples[i].t_ms;
        if (samples[i].t_ms < 0 || step >= STEPS_MAX ||
            samples[i].bits != value_of(found.window, samples[i].series, step)) {
            fail("a sample is wrong", found.life);
        }
        found.counts[step]++;
    }
    sample_count += count;
    return QUARRY_OK;
}

static void found_loss(void *argument, const struct tsdb_log_loss *loss)
{
    (void)argument;
    if (loss->kind != TSDB_LOG_TORN) {
        fail(tsdb_log_loss_text(loss->kind), found.life);
    }
}

/* A window has the steps up to one: all of them, once, and of the next one all or nothing. */
static void look(struct tsdb_log *log, int64_t window, uint64_t life, uint32_t acknowledged)
{
    const struct tsdb_log_visitor visitor = {
        .series = found_series, .samples = found_samples, .lost = found_loss};
    struct tsdb_log_replayed replayed;

    memset(&found, 0, sizeof(found));
    found.window = window;
    found.life = life;
    if (tsdb_log_replay(log, window, &visitor, &replayed, NULL) != QUARRY_OK) {
        fail("replaying fails", life);
    }
    for (uint32_t step = 0; step < STEPS_MAX; step++) {
        uint16_t count = found.counts[step];
        if (step < acknowledged ? count != IDS
                                : count != 0 && (count != IDS || step != acknowledged)) {
            fail("a step is not there once", life);
        }
    }
}

/* One life. Returns: how many steps it was told are logged. */
static uint32_t live_and_die(int64_t window, uint64_t *random)
{
    bool syncs = random_u64(random) % 4 == 0;
    const struct timespec duration = {.tv_nsec = (long)(random_u64(random) % LIFE_US_MAX) * 1000};
    int status = 0;

    atomic_store_release_u32(&shared->acknowledged, 0);
    pid_t child = fork();
    Q_ASSERT(child >= 0);
    if (child == 0) {
        live(window, syncs);
    }
    while (random_u64(random) % 8 != 0 && atomic_load_acquire_u32(&shared->acknowledged) == 0 &&
           waitpid(child, &status, WNOHANG) == 0) {
        (void)usleep(200);
    }
    (void)nanosleep(&duration, NULL);
    (void)kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        fail("it died by itself", (uint64_t)window);
    }
    return atomic_load_acquire_u32(&shared->acknowledged);
}

static uint64_t argument(int argc, char **argv, const char *name, uint64_t otherwise)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], name) == 0) {
            return strtoull(argv[i + 1], NULL, 10);
        }
    }
    return otherwise;
}

int main(int argc, char **argv)
{
    uint64_t kills = argument(argc, argv, "--kills", KILLS_DEFAULT);
    uint64_t random = argument(argc, argv, "--seed", 1);
    uint32_t acknowledged[WINDOWS_KEPT] = {0};
    struct tsdb_memory small;

    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    Q_ASSERT(shared != MAP_FAILED);
    (void)snprintf(directory, sizeof(directory), "/tmp/quarry-tsdb-log-XXXXXX");
    Q_ASSERT(mkdtemp(directory) != NULL);
    make_memory(&small);
    for (uint64_t life = 0; life < kills; life++) {
        acknowledged[life % WINDOWS_KEPT] = live_and_die((int64_t)life, &random);
        struct tsdb_log *log = open_log(&small);
        for (uint64_t window = life < 2 ? 0 : life - 2; window <= life; window++) {
            look(log, (int64_t)window, life, acknowledged[window % WINDOWS_KEPT]);
        }
        tsdb_log_close(log);
    }
    struct tsdb_log *log = open_log(&small);
    int64_t window = INT64_MIN;
    while (tsdb_log_next_window(log, window, &window)) {
        Q_ASSERT(tsdb_log_drop_window(log, window, NULL) == QUARRY_OK);
    }
    tsdb_log_close(log);
    Q_ASSERT(rmdir(directory) == 0);
    (void)printf("%" PRIu64 " kills, %" PRIu64 " samples found right\n", kills, sample_count);
    return 0;
}
