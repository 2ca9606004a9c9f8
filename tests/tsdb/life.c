#include "tsdb/life.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <quarry/memory.h>

#include "unit/base/random.h"

#define SERIES       40u
#define STEP_MS      INT64_C(1000)
#define T0           INT64_C(1600000000000)
#define WINDOW_MS    INT64_C(200000) /* 200 steps */
#define WINDOW_COUNT 6u
#define ROOM         ((WINDOW_COUNT + 3) * (size_t)(WINDOW_MS / STEP_MS))

void life_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    exit(EXIT_FAILURE);
}

struct life_told *life_told_create(void)
{
    struct life_told *told =
        mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    Q_ASSERT(told != MAP_FAILED);
    return told;
}

static int64_t wall_ms(void *argument)
{
    (void)argument;
    return INT64_C(4000000000000); /* nothing is ahead of it */
}

static void store_open(const struct life *life, struct quarry_memory **ret_memory,
                       struct quarry_tsdb **ret_tsdb)
{
    const struct quarry_memory_options memory = {.limit_bytes = Q_MIB(256)};
    struct quarry_error error = {0};

    Q_ASSERT(quarry_memory_create(&memory, ret_memory, NULL) == QUARRY_OK);
    const struct quarry_tsdb_options options = {.memory = *ret_memory,
                                                .window_ms = WINDOW_MS,
                                                .window_count = WINDOW_COUNT,
                                                .out_of_order_ms = 20000,
                                                .in_order_ms = 20000,
                                                .wall_ms = wall_ms,
                                                .directory = life->directory,
                                                .durability = life->durability,
                                                .snapshot_ms = 20,
                                                .log_segment_bytes = Q_KIB(32)};
    if (quarry_tsdb_open(&options, ret_tsdb, &error) != QUARRY_OK) {
        life_fail("opening %s: %s", life->directory, error.text);
    }
    quarry_tsdb_wait_ready(*ret_tsdb);
}

static uint64_t value_of(uint32_t number, uint64_t step)
{
    uint64_t state = number * UINT64_C(1000003) + step;
    double value = (double)(step * number % 1000) / 8;
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return number % 8 == 0 ? random_u64(&state) : bits;
}

/* The labels of a series; in the caller's room. */
struct naming {
    char text[16];
    struct quarry_tsdb_label labels[2];
};

static struct quarry_tsdb_labels labels_of(struct naming *naming, uint32_t number)
{
    (void)snprintf(naming->text, sizeof naming->text, "host-%02u", number);
    naming->labels[0] =
        (struct quarry_tsdb_label){QUARRY_TSDB_TEXT("__name__"), QUARRY_TSDB_TEXT("load")};
    naming->labels[1] = (struct quarry_tsdb_label){QUARRY_TSDB_TEXT("instance"),
                                                   {naming->text, strlen(naming->text)}};
    return (struct quarry_tsdb_labels){naming->labels, 2};
}

/* ---- the process that is ended -------------------------------------------------------------- */

/* Of each fifth series samples are histograms: their sum is the value. */
static bool has_histograms(uint32_t number)
{
    return number % 5 == 4;
}

/* A histogram of three buckets; `counts`, `span`: where they lie. */
static struct quarry_tsdb_histogram histogram_of(const struct quarry_tsdb_sample *sample,
                                                 uint64_t counts[3], struct quarry_tsdb_span *span)
{
    counts[0] = (uint64_t)(sample->t_ms - T0);
    counts[1] = sample->bits % 1000;
    counts[2] = 3;
    *span = (struct quarry_tsdb_span){-2, 3};
    return (struct quarry_tsdb_histogram){.t_ms = sample->t_ms,
                                          .schema = 2,
                                          .count = counts[0] + counts[1] + counts[2],
                                          .sum_bits = sample->bits,
                                          .positive = {span, counts, 1, 3}};
}

static enum quarry_status step_put(struct quarry_tsdb *tsdb, uint64_t step)
{
    static struct quarry_tsdb_histogram histograms[SERIES];
    static struct quarry_tsdb_span spans[SERIES];
    static uint64_t counts[SERIES][3];
    static struct naming namings[SERIES];
    static struct quarry_tsdb_sample samples[SERIES];
    struct quarry_tsdb_entry entries[SERIES];
    struct quarry_tsdb_result result;

    for (uint32_t i = 0; i < SERIES; i++) {
        samples[i] = (struct quarry_tsdb_sample){T0 + (int64_t)step * STEP_MS, value_of(i, step)};
        entries[i] = (struct quarry_tsdb_entry){
            .labels = labels_of(&namings[i], i), .samples = &samples[i], .sample_count = 1};
        if (has_histograms(i)) {
            histograms[i] = histogram_of(&samples[i], counts[i], &spans[i]);
            entries[i].sample_count = 0;
            entries[i].histograms = &histograms[i];
            entries[i].histogram_count = 1;
        }
    }
    const struct quarry_tsdb_request request = {.entries = entries, .entry_count = SERIES};
    return quarry_tsdb_append(tsdb, &request, &result);
}

static Q_NORETURN void live(const struct life *life)
{
    struct quarry_memory *memory = NULL;
    struct quarry_tsdb *tsdb = NULL;

    store_open(life, &memory, &tsdb);
    atomic_store_release_bool(&life->told->is_ready, true);
    for (uint64_t step = atomic_load_acquire_u64(&life->told->acknowledged);; step++) {
        if (atomic_load_acquire_u64(&life->told->sent) <= step) {
            atomic_store_release_u64(&life->told->sent, step + 1);
        }
        enum quarry_status status = step_put(tsdb, step);
        if (status != QUARRY_OK || atomic_load_acquire_bool(&life->told->is_cut)) {
            break;
        }
        atomic_store_release_u64(&life->told->acknowledged, step + 1);
    }
    for (;;) {
        (void)pause(); /* its disk is gone */
    }
}

pid_t life_begin(const struct life *life)
{
    atomic_store_release_bool(&life->told->is_ready, false);
    pid_t child = fork();

    Q_ASSERT(child >= 0);
    if (child == 0) {
        live(life);
    }
    return child;
}

void life_wait(const struct life *life, pid_t child, uint64_t *random)
{
    uint64_t before = atomic_load_acquire_u64(&life->told->acknowledged);
    uint64_t wanted = before + 1 + random_u64(random) % 300;
    int status;

    if (random_u64(random) % 4 == 0) {
        return; /* while it is opened, or soon after */
    }
    while (atomic_load_acquire_u64(&life->told->acknowledged) < wanted) {
        if (waitpid(child, &status, WNOHANG) != 0) {
            life_fail("it ended by itself");
        }
        (void)usleep(200);
    }
}

/* ---- looking -------------------------------------------------------------------------------- */

/* Histograms where they should be, whole. */
static void block_check(uint32_t number, const struct quarry_tsdb_block *block)
{
    struct quarry_tsdb_span span;
    uint64_t counts[3];

    if ((block->histograms != NULL) != has_histograms(number)) {
        life_fail("series %u has samples of the other kind", number);
    }
    for (uint32_t i = 0; block->histograms != NULL && i < block->count; i++) {
        const struct quarry_tsdb_sample sample = {block->t_ms[i], block->bits[i]};
        const struct quarry_tsdb_histogram want = histogram_of(&sample, counts, &span);
        const struct quarry_tsdb_histogram *found = &block->histograms[i];
        if (found->t_ms != want.t_ms || found->schema != want.schema ||
            found->count != want.count || found->positive.bucket_count != 3 ||
            memcmp(found->positive.buckets, counts, sizeof counts) != 0) {
            life_fail("series %u: the histogram at %lld is another", number, (long long)want.t_ms);
        }
    }
}

static size_t series_read(struct quarry_tsdb *tsdb, uint32_t number,
                          struct quarry_tsdb_sample *samples)
{
    struct naming naming;
    struct quarry_tsdb_labels labels = labels_of(&naming, number);
    const struct quarry_tsdb_matcher matcher = {QUARRY_TSDB_EQUAL, labels.labels[1].name,
                                                labels.labels[1].value};
    const struct quarry_tsdb_query query = {
        .matchers = &matcher, .matcher_count = 1, .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct quarry_tsdb_cursor *cursor = NULL;
    struct quarry_tsdb_set *set = NULL;
    struct quarry_tsdb_block block;
    size_t count = 0;

    Q_ASSERT(quarry_tsdb_select(tsdb, &query, &set, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_tsdb_cursor_create(set, &cursor) == QUARRY_OK);
    if (quarry_tsdb_set_count(set) > 1) {
        life_fail("series %u is there %zu times", number, quarry_tsdb_set_count(set));
    }
    if (quarry_tsdb_set_count(set) == 1) {
        quarry_tsdb_cursor_series(cursor, 0);
        while (quarry_tsdb_cursor_next(cursor, &block) == QUARRY_OK) {
            block_check(number, &block);
            for (uint32_t i = 0; i < block.count && count < ROOM; i++) {
                samples[count++] = (struct quarry_tsdb_sample){block.t_ms[i], block.bits[i]};
            }
        }
    }
    quarry_tsdb_cursor_destroy(cursor);
    quarry_tsdb_set_close(set);
    return count;
}

/* From the oldest window on each step once, up to those acknowledged or one more. */
static uint64_t series_check(const struct life *life, struct quarry_tsdb *tsdb, uint32_t number)
{
    static struct quarry_tsdb_sample samples[ROOM];
    struct quarry_tsdb_stats stats;
    uint64_t acknowledged = atomic_load_acquire_u64(&life->told->acknowledged);
    size_t count = series_read(tsdb, number, samples);

    quarry_tsdb_read_stats(tsdb, &stats);
    int64_t first_ms = stats.min_ms > T0 ? stats.min_ms : T0;
    uint64_t first = (uint64_t)((first_ms - T0 + STEP_MS - 1) / STEP_MS);
    for (size_t i = 0; i < count; i++) {
        uint64_t step = first + i;
        if (samples[i].t_ms != T0 + (int64_t)step * STEP_MS ||
            samples[i].bits != value_of(number, step)) {
            life_fail("series %u: step %llu is missing or wrong", number, (unsigned long long)step);
        }
    }
    if (acknowledged > first && first + count < acknowledged) {
        life_fail("series %u: %llu steps were acknowledged, %llu are there", number,
                  (unsigned long long)acknowledged, (unsigned long long)(first + count));
    }
    if (first + count > atomic_load_acquire_u64(&life->told->sent) && count != 0) {
        life_fail("series %u: %llu steps are there, fewer were sent", number,
                  (unsigned long long)(first + count));
    }
    return count;
}

uint64_t life_check(const struct life *life)
{
    struct quarry_memory *memory = NULL;
    struct quarry_tsdb *tsdb = NULL;
    struct quarry_tsdb_loss loss;
    uint64_t count = 0;

    store_open(life, &memory, &tsdb);
    for (size_t i = 0; i < quarry_tsdb_losses(tsdb, &loss, 1); i++) {
        if (loss.kind != QUARRY_TSDB_LOSS_LOG) { /* its end may be torn */
            life_fail("'%s' is damaged", loss.file);
        }
    }
    for (uint32_t i = 0; i < SERIES; i++) {
        count += series_check(life, tsdb, i);
    }
    if (quarry_tsdb_close(tsdb) != QUARRY_OK) {
        life_fail("closing it fails");
    }
    quarry_memory_destroy(memory);
    return count;
}

uint64_t life_argument(int argc, char **argv, const char *name, uint64_t otherwise)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], name) == 0) {
            return strtoull(argv[i + 1], NULL, 10);
        }
    }
    return otherwise;
}
