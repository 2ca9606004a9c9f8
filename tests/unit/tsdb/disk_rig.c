#include "unit/tsdb/disk_rig.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/base/random.h"

struct quarry_memory *rig_memory;
struct quarry_account *rig_account;
struct tsdb_memory rig_small;
struct quarry_vfs *rig_disk, *rig_vfs;

static struct quarry_lifetime *lifetime;

/* ---- memory and disk ------------------------------------------------------------------------ */

static void put_disk(struct quarry_vfs *disk)
{
    rig_disk = disk;
    assert_int_equal(quarry_vfs_fault_create(rig_disk, 1, &rig_vfs), QUARRY_OK);
}

static void take_disk(void)
{
    quarry_vfs_fault_destroy(rig_vfs);
    quarry_vfs_memory_destroy(rig_disk);
}

void disk_rig_clear(void)
{
    struct quarry_vfs *disk = NULL;

    if (rig_disk != NULL) {
        take_disk();
    }
    assert_int_equal(quarry_vfs_memory_create(1, &disk), QUARRY_OK);
    put_disk(disk);
    assert_int_equal(quarry_vfs_make_directory(rig_vfs, RIG_DIRECTORY, NULL), QUARRY_OK);
    assert_int_equal(quarry_vfs_sync_directory(rig_vfs, "/", NULL), QUARRY_OK);
}

void disk_rig_lose_power(uint32_t kept_percent, uint64_t seed)
{
    struct quarry_vfs *left = NULL;

    assert_int_equal(quarry_vfs_memory_crash(rig_disk, kept_percent, seed, &left), QUARRY_OK);
    take_disk();
    put_disk(left);
}

int disk_rig_set_up(void **state)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_GIB(1), .has_no_thread = true};
    const struct quarry_account_options account_options = {.name = "tsdb"};

    (void)state;
    assert_int_equal(quarry_memory_create(&options, &rig_memory, NULL), QUARRY_OK);
    assert_int_equal(quarry_account_create(rig_memory, &account_options, &rig_account, NULL),
                     QUARRY_OK);
    assert_int_equal(quarry_lifetime_begin(rig_memory, "tsdb objects", &lifetime, NULL), QUARRY_OK);
    rig_small.account = rig_account;
    assert_int_equal(
        quarry_pool_create(lifetime, quarry_account_owner(rig_account), &rig_small.pool),
        QUARRY_OK);
    rig_disk = NULL;
    disk_rig_clear();
    return 0;
}

int disk_rig_tear_down(void **state)
{
    (void)state;
    take_disk();
    assert_int_equal(disk_rig_charged(), 0);
    quarry_lifetime_end(lifetime);
    quarry_account_destroy(rig_account);
    quarry_memory_destroy(rig_memory);
    return 0;
}

uint64_t disk_rig_charged(void)
{
    struct quarry_account_state state;

    quarry_account_read(rig_account, &state);
    return state.own_bytes;
}

void disk_rig_leave(uint64_t bytes)
{
    uint64_t ceiling = bytes == UINT64_MAX ? 0 : disk_rig_charged() + bytes;

    /* A ceiling of 0 is none. */
    assert_int_equal(quarry_account_set_bounds(rig_account, 0,
                                               bytes != UINT64_MAX && ceiling == 0 ? 1 : ceiling),
                     QUARRY_OK);
}

/* ---- series and samples --------------------------------------------------------------------- */

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t state = a * UINT64_C(0x9e3779b97f4a7c15) + b;

    return random_u64(&state);
}

static double number(uint32_t id, uint32_t step)
{
    uint64_t noise = mix(id, step), rate = mix(id, 0) % 1000;

    switch (id % 20) {
    default: /* 0 to 8: does not change */
        return (double)(mix(id, 0) % 100000);
    case 9:
    case 10:
    case 11: /* counts now and then */
        return (double)(rate + step / 7);
    case 12:
    case 13: /* counts bytes */
        return (double)(mix(id, 0) % 1000000000 + step * rate * 1000 + noise % 1000);
    case 14:
    case 15: /* pages of memory */
        return (double)((mix(id, 0) % 1000000 + noise % 200) * 4096);
    case 16:
    case 17: /* seconds of a CPU */
        return (double)(mix(id, 0) % 10000000 + step * (rate + 1) + noise % 10) / 100;
    case 18: /* a load */
        return (double)(noise % 400) / 100;
    case 19: /* random digits */
        return (double)noise / 3e7;
    }
}

uint64_t rig_value(uint32_t id, uint32_t step)
{
    double value = number(id, step);
    uint64_t bits;

    if (mix(id, step + 77777) % 200 == 0) {
        return mix(id, step) % 2 == 0 ? TSDB_STALE_BITS : UINT64_C(0x7ff8000000000000) | id;
    }
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

/* What rig_describe and the visitor compare: of one id at a time. */
struct description {
    char text[5][64];
    struct tsdb_label labels[5];
};

static void describe(uint32_t id, struct description *to, struct tsdb_log_series *ret_series)
{
    static const char *const names[] = {"__name__", "device", "instance", "job", "mode"};

    (void)snprintf(to->text[0], sizeof(to->text[0]), "node_metric_%u_total", id % 97);
    (void)snprintf(to->text[1], sizeof(to->text[1]), "dev%u", id);
    (void)snprintf(to->text[2], sizeof(to->text[2]), "host-%u.example.org:9100", id / 500);
    (void)snprintf(to->text[3], sizeof(to->text[3]), "node");
    (void)snprintf(to->text[4], sizeof(to->text[4]), "%s", id % 3 == 0 ? "idle" : "user");
    for (size_t i = 0; i < 5; i++) {
        to->labels[i] = (struct tsdb_label){tsdb_slice_of(names[i]), tsdb_slice_of(to->text[i])};
    }
    *ret_series = (struct tsdb_log_series){.id = id,
                                           .tenant = (uint16_t)(id % 5 == 0 ? 65535 : id % 5),
                                           .labels = {to->labels, 5 - id % 2}};
}

void rig_describe(void *argument, uint32_t id, struct tsdb_log_series *ret_series)
{
    static struct description description;

    (void)argument;
    describe(id, &description, ret_series);
}

/* ---- what is read --------------------------------------------------------------------------- */

static enum quarry_status found_series(void *argument, const struct tsdb_log_series *series,
                                       uint32_t *ret_handle)
{
    struct rig_found *found = argument;
    struct description description;
    struct tsdb_log_series expected;

    describe(series->id, &description, &expected);
    assert_int_equal(series->tenant, expected.tenant);
    assert_int_equal(series->labels.count, expected.labels.count);
    for (size_t i = 0; i < series->labels.count; i++) {
        assert_true(
            tsdb_slice_equal(series->labels.labels[i].name, expected.labels.labels[i].name));
        assert_true(
            tsdb_slice_equal(series->labels.labels[i].value, expected.labels.labels[i].value));
    }
    found->series_count++;
    *ret_handle = RIG_HANDLE(series->id);
    return QUARRY_OK;
}

static uint32_t id_of(uint32_t handle)
{
    uint32_t id = handle - RIG_HANDLE(0);

    assert_in_range(id, 1, RIG_IDS - 1);
    return id;
}

static uint32_t step_of(int64_t t_ms)
{
    int64_t step = (t_ms - RIG_BEGIN_MS) / RIG_STEP_MS;

    assert_in_range(step, 0, RIG_STEPS - 1);
    assert_true(t_ms == rig_time((uint32_t)step));
    return (uint32_t)step;
}

static enum quarry_status found_samples(void *argument, const struct tsdb_log_sample *samples,
                                        size_t count)
{
    struct rig_found *found = argument;

    for (size_t i = 0; i < count; i++) {
        uint32_t id = id_of(samples[i].series), step = step_of(samples[i].t_ms);
        if (samples[i].bits != rig_value(id, step)) {
            fail_msg("series %u, step %u: %016llx, not %016llx", id, step,
                     (unsigned long long)samples[i].bits, (unsigned long long)rig_value(id, step));
        }
        found->counts[id][step]++;
    }
    found->sample_count += count;
    return QUARRY_OK;
}

struct tsdb_log_histogram rig_histogram(uint32_t id, uint32_t step, char bytes[64])
{
    size_t count = (id + step) % 64;

    for (size_t i = 0; i < count; i++) {
        bytes[i] = (char)mix(id * 1000 + step, i);
    }
    return (struct tsdb_log_histogram){id, rig_time(step), {bytes, count}};
}

struct tsdb_log_exemplar rig_exemplar(uint32_t id, uint32_t step, struct tsdb_label labels[1])
{
    labels[0] = (struct tsdb_label){tsdb_slice_of("trace_id"),
                                    tsdb_slice_of(step % 2 == 0 ? "0af7651916cd43dd" : "")};
    return (struct tsdb_log_exemplar){id, rig_time(step), rig_value(id, step), {labels, 1}};
}

static enum quarry_status found_histogram(void *argument,
                                          const struct tsdb_log_histogram *histogram)
{
    struct rig_found *found = argument;
    char bytes[64];
    struct tsdb_log_histogram expected =
        rig_histogram(id_of(histogram->series), step_of(histogram->t_ms), bytes);

    assert_true(tsdb_slice_equal(histogram->bytes, expected.bytes));
    found->histogram_count++;
    return QUARRY_OK;
}

static enum quarry_status found_exemplar(void *argument, const struct tsdb_log_exemplar *exemplar)
{
    struct rig_found *found = argument;
    struct tsdb_label labels[1];
    struct tsdb_log_exemplar expected =
        rig_exemplar(id_of(exemplar->series), step_of(exemplar->t_ms), labels);

    assert_true(exemplar->bits == expected.bits);
    assert_int_equal(exemplar->labels.count, 1);
    assert_true(tsdb_slice_equal(exemplar->labels.labels[0].name, labels[0].name));
    assert_true(tsdb_slice_equal(exemplar->labels.labels[0].value, labels[0].value));
    found->exemplar_count++;
    return QUARRY_OK;
}

static void found_loss(void *argument, const struct tsdb_log_loss *loss)
{
    struct rig_found *found = argument;

    if (found->loss_count < sizeof(found->losses) / sizeof(found->losses[0])) {
        found->losses[found->loss_count] = *loss;
    }
    found->loss_count++;
}

struct tsdb_log_visitor rig_visitor(struct rig_found *found)
{
    memset(found, 0, sizeof(*found));
    return (struct tsdb_log_visitor){.argument = found,
                                     .series = found_series,
                                     .samples = found_samples,
                                     .histogram = found_histogram,
                                     .exemplar = found_exemplar,
                                     .lost = found_loss};
}

/* ---- logs ----------------------------------------------------------------------------------- */

struct tsdb_log *rig_log_open(uint64_t segment_bytes)
{
    const struct tsdb_log_options options = {.vfs = rig_vfs,
                                             .directory = RIG_DIRECTORY,
                                             .memory = &rig_small,
                                             .segment_bytes = segment_bytes};
    struct quarry_error error = {0};
    struct tsdb_log *log = NULL;

    if (tsdb_log_open(&options, &log, &error) != QUARRY_OK) {
        fail_msg("tsdb_log_open: %s", error.text);
    }
    return log;
}

enum quarry_status rig_append(struct tsdb_log *log, int64_t window, uint32_t first, uint32_t count,
                              uint32_t step, struct tsdb_log_ticket *ret_ticket)
{
    struct tsdb_log_sample *samples = calloc(count, sizeof(*samples));
    const struct tsdb_log_batch batch = {
        .window = window, .samples = samples, .sample_count = count, .describe = rig_describe};

    assert_non_null(samples);
    for (uint32_t i = 0; i < count; i++) {
        samples[i] = rig_sample(first + i, step);
    }
    enum quarry_status status = tsdb_log_append(log, &batch, ret_ticket, NULL);
    free(samples);
    return status;
}

enum quarry_status rig_replay(struct rig_found *found, struct tsdb_log_replayed *ret_replayed)
{
    struct tsdb_log_visitor visitor = rig_visitor(found);
    struct tsdb_log *log = rig_log_open(0);
    struct tsdb_log_replayed one;
    enum quarry_status status = QUARRY_OK;
    int64_t window = INT64_MIN;

    *ret_replayed = (struct tsdb_log_replayed){0};
    for (bool has = tsdb_log_next_window(log, window, &window); has && status == QUARRY_OK;
         has = tsdb_log_next_window(log, window + 1, &window)) {
        status = tsdb_log_replay(log, window, &visitor, &one, NULL);
        ret_replayed->segment_count += one.segment_count;
        ret_replayed->record_count += one.record_count;
        ret_replayed->sample_count += one.sample_count;
        ret_replayed->loss_count += one.loss_count;
        ret_replayed->lost_bytes += one.lost_bytes;
        ret_replayed->lost_samples += one.lost_samples;
    }
    tsdb_log_close(log);
    return status;
}
