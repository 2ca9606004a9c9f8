/*
 * What a series costs: bytes, and the time of finding and making one.
 *
 * QUARRY_SERIES says how many series (100,000 otherwise); what is printed at a million is what
 * docs/decisions/0025-long-postings-in-croaring.md quotes. Run under callgrind with
 * --toggle-collect=find_known it counts the instructions of a known series.
 */
#include "unit/tsdb/registry_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tsdb/select.h>

#define LABELS_MAX   8u
#define BYTES_MAX    400u
#define TARGET_BYTES 200u

/* A series of a shape: its labels, sorted by name, and the bytes that they come as. */
struct shape_series {
    struct tsdb_label labels[LABELS_MAX];
    size_t count;
    char bytes[BYTES_MAX];
    size_t byte_count;
};
typedef void shape_function(uint32_t number, struct shape_series *ret_series);

static uint32_t wanted_count(void)
{
    const char *text = getenv("QUARRY_SERIES");

    return text == NULL ? 100000 : (uint32_t)strtoul(text, NULL, 10);
}

/* Adds a label to the raw bytes, as protobuf has it: tags, lengths, texts. */
static void add(struct shape_series *series, const char *name, const char *format, uint32_t number)
{
    char *at = series->bytes + series->byte_count;
    size_t name_length = strlen(name);

    at[0] = 0x0a;
    at[2] = 0x0a;
    at[3] = (char)name_length;
    memcpy(at + 4, name, name_length);
    char *value = at + 4 + name_length + 2;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    size_t length = (size_t)snprintf(value, 64, format, number);
#pragma GCC diagnostic pop
    value[-2] = 0x12;
    value[-1] = (char)length;
    at[1] = (char)(name_length + length + 4);
    series->labels[series->count++] =
        (struct tsdb_label){.name = {.bytes = at + 4, .count = name_length},
                            .value = {.bytes = value, .count = length}};
    series->byte_count += 6 + name_length + length;
}

/* Ten gauges of each host, as TSBS' cpu-only has them. */
static void tsbs(uint32_t number, struct shape_series *series)
{
    static const char *const gauges[10] = {
        "cpu_usage_user",   "cpu_usage_system",    "cpu_usage_idle",    "cpu_usage_nice",
        "cpu_usage_iowait", "cpu_usage_irq",       "cpu_usage_softirq", "cpu_usage_steal",
        "cpu_usage_guest",  "cpu_usage_guest_nice"};
    uint32_t host = number / 10;

    series->count = series->byte_count = 0;
    add(series, "__name__", gauges[number % 10], 0);
    add(series, "arch", host % 2 == 0 ? "x64" : "x86", 0);
    add(series, "datacenter", "eu-central-1%u", host % 29);
    add(series, "hostname", "host_%u", host);
    add(series, "os", "Ubuntu16.%u", host % 3);
    add(series, "region", "eu-central-%u", host % 9);
    add(series, "service", "%u", host % 20);
    add(series, "team", "team-%u", host % 5);
}

/* 880 series of each instance, in 240 metrics with up to three labels of their own. */
static void node_exporter(uint32_t number, struct shape_series *series)
{
    uint32_t instance = number / 880, metric = number % 880 % 240, nth = number % 880 / 240;

    series->count = series->byte_count = 0;
    add(series, "__name__", "node_some_metric_name_of_usual_length_%u_total", metric);
    add(series, "cluster", "production-%u", instance % 7);
    add(series, "cpu", "%u", nth);
    add(series, "device", "/dev/disk/by-id/nvme%u", metric % 11);
    add(series, "env", "production", 0);
    add(series, "instance", "node-%u.example.internal:9100", instance);
    add(series, "job", "node_exporter", 0);
    add(series, "mode", "mode-%u", metric % 8);
}

/* ---- making and finding --------------------------------------------------------------------- */

static struct tsdb_memo_key key_of(const struct shape_series *series)
{
    return tsdb_registry_key(
        rig.registry, 0, (struct tsdb_slice){.bytes = series->bytes, .count = series->byte_count});
}

static uint64_t make_all(shape_function *shape, uint32_t count)
{
    uint64_t began_ns = os_monotonic_ns(os_real());

    for (uint32_t i = 0; i < count; i++) {
        struct shape_series series;
        shape(i, &series);
        struct tsdb_labels labels = {.labels = series.labels, .count = series.count};
        struct tsdb_memo_key key = key_of(&series);
        uint32_t id;
        bool is_new;
        quarry_epoch_enter(rig.epoch);
        assert_int_equal(tsdb_registry_get(rig.registry, 0, &labels, &key, &id, &is_new),
                         QUARRY_OK);
        quarry_epoch_leave(rig.epoch);
        assert_true(is_new);
    }
    return os_monotonic_ns(os_real()) - began_ns;
}

/* Of one series, in a function of its own so that a profile can tell it. */
Q_NOINLINE static uint32_t find_known(const char *bytes, size_t byte_count)
{
    quarry_epoch_enter(rig.epoch);
    uint32_t id = tsdb_registry_find(
        rig.registry, tsdb_registry_key(rig.registry, 0,
                                        (struct tsdb_slice){.bytes = bytes, .count = byte_count}));
    quarry_epoch_leave(rig.epoch);
    return id;
}

static uint64_t find_all(shape_function *shape, uint32_t count, uint64_t *ret_bytes)
{
    uint64_t began_ns = os_monotonic_ns(os_real()), found = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct shape_series series;
        shape(i, &series);
        found += find_known(series.bytes, series.byte_count) != TSDB_SERIES_NONE;
        *ret_bytes += series.byte_count;
    }
    /* The memo loses a few, by the chances of its hash; without moving entries it would be seven in
     * a thousand. */
    assert_true(found >= count - count / 1000);
    return os_monotonic_ns(os_real()) - began_ns;
}

static void report(const char *name, uint32_t count, uint64_t charged_bytes)
{
    struct tsdb_registry_state held;

    tsdb_registry_read(rig.registry, &held);
    double n = count;
    printf("%s, %u series, %u symbols; bytes a series: records %.1f, symbols %.1f, postings %.1f, "
           "memo %.1f, charged in all %.1f\n",
           name, count, held.symbol_count, (double)held.series_bytes / n,
           (double)held.symbol_bytes / n, (double)held.postings_bytes / n,
           (double)held.memo_bytes / n, (double)charged_bytes / n);
    /* What the parts say is what is charged, but for the pool's rounding of chunks and tables. */
    uint64_t told = held.series_bytes + held.symbol_bytes + held.postings_bytes + held.memo_bytes;
    assert_true(charged_bytes >= told - told / 50 && charged_bytes <= told + told / 8 + Q_KIB(256));
}

static void measure(const char *name, shape_function *shape)
{
    uint64_t raw_bytes = 0;
    uint32_t count = wanted_count();
    uint64_t make_ns = make_all(shape, count);

    rig_collect();
    uint64_t charged_bytes = rig_charged_bytes();
    report(name, count, charged_bytes);
    uint64_t find_ns = find_all(shape, count, &raw_bytes);
    printf("%s: made in %.0f ns, found in %.0f ns, texts put together included; %.0f raw bytes\n",
           name, (double)make_ns / count, (double)find_ns / count, (double)raw_bytes / count);
    assert_true(charged_bytes / count <= TARGET_BYTES);
}

static void test_a_series_of_tsbs_takes_less_than_its_part(void **state)
{
    (void)state;
    measure("tsbs", tsbs);
}

static void test_a_series_of_node_exporter_takes_less_than_its_part(void **state)
{
    (void)state;
    measure("node_exporter", node_exporter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_series_of_tsbs_takes_less_than_its_part, rig_set_up,
                                        rig_tear_down),
        cmocka_unit_test_setup_teardown(test_a_series_of_node_exporter_takes_less_than_its_part,
                                        rig_set_up, rig_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
