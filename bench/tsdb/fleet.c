/*
 * Fleets.
 *
 * TSBS's devops: for each host usage_user … usage_guest_nice, walks by steps of a normal
 * distribution between 0 and 100, told as whole numbers; seven of its ten tags.
 *
 * node_exporter: a model and no recording, so that it has any number of hosts and is small. The
 * table below is what the exporter of a host with 16 CPUs, four disks and six networks tells:
 * families, how many series each has, and how each moves.
 *
 *   still      info, limits, sizes, counters of what never happens      about half of all
 *   busy       counters of bytes and packets: log-normal steps
 *   slow       counters that move in every third step, by 1 to 3
 *   centis     seconds to two decimals: CPU time
 *   nanos      seconds to nine decimals: the scheduler's
 *   millis     seconds to three decimals: disks'
 *   blocks     bytes free, in use: walks in steps of 4,096
 *   few        small numbers that move now and then
 *   load       averages to two decimals, which walk
 *   noise      a duration in full precision: each value is another one
 *
 * The histogram: cumulative buckets of log-normal latencies.
 *
 * Values depend on the fleet's arguments and the step alone, so that every subject is told the same
 * and answers can be known beforehand. With churn, hosts are replaced one after the other, and the
 * series of the new one begin where those of the old one were.
 */
#include <bench/tsdb/fleet.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/base.h>

#include <bench/malloc/worker.h>

#define SEED UINT64_C(0x9e3779b97f4a7c15)
#define TEXT 64u

enum model { STILL, BUSY, SLOW, CENTIS, NANOS, MILLIS, BLOCKS, FEW, LOAD, NOISE };

/* Series of a name: `first.count` × `second.count`. */
struct axis {
    const char *label; /* NULL: there is none */
    const char *value; /* what stands before a number */
    uint32_t count;
};
struct family {
    const char *name;
    struct axis first, second;
    enum model model;
};

#define NONE                                                                                       \
    {                                                                                              \
        NULL, NULL, 1                                                                              \
    }
#define CPU                                                                                        \
    {                                                                                              \
        "cpu", "", 16                                                                              \
    }
#define DISK                                                                                       \
    {                                                                                              \
        "device", "sd", 4                                                                          \
    }
#define NETWORK                                                                                    \
    {                                                                                              \
        "device", "eth", 6                                                                         \
    }
#define MOUNT                                                                                      \
    {                                                                                              \
        "mountpoint", "/srv/", 8                                                                   \
    }
#define FAMILY(n, a, m)                                                                            \
    {                                                                                              \
        (n), a, NONE, m                                                                            \
    }
#define OF(a, b, c)                                                                                \
    {                                                                                              \
        a, b, c                                                                                    \
    }
#define PAIR(n, a, b, m)                                                                           \
    {                                                                                              \
        (n), a, b, m                                                                               \
    }

static const struct family families[] = {
    PAIR("node_cpu_seconds_total", CPU, OF("mode", "busy", 4), CENTIS),
    PAIR("node_cpu_idle_seconds_total", CPU, OF("mode", "idle", 1), CENTIS),
    PAIR("node_cpu_other_seconds_total", CPU, OF("mode", "other", 3), STILL),
    PAIR("node_cpu_guest_seconds_total", CPU, OF("mode", "guest", 2), STILL),
    FAMILY("node_cpu_scaling_frequency_hertz", CPU, FEW),
    FAMILY("node_cpu_scaling_frequency_max_hertz", CPU, STILL),
    FAMILY("node_cpu_scaling_frequency_min_hertz", CPU, STILL),
    FAMILY("node_schedstat_running_seconds_total", CPU, NANOS),
    FAMILY("node_schedstat_waiting_seconds_total", CPU, NANOS),
    FAMILY("node_schedstat_timeslices_total", CPU, BUSY),
    FAMILY("node_softnet_processed_total", CPU, BUSY),
    FAMILY("node_softnet_dropped_total", CPU, STILL),
    FAMILY("node_softnet_times_squeezed_total", CPU, STILL),
    PAIR("node_disk_operations_total", DISK, OF("operation", "op", 4), BUSY),
    PAIR("node_disk_bytes_total", DISK, OF("direction", "way", 2), BUSY),
    PAIR("node_disk_time_seconds_total", DISK, OF("operation", "op", 5), MILLIS),
    PAIR("node_disk_io_now", DISK, NONE, FEW),
    PAIR("node_disk_info", DISK, OF("major", "2", 5), STILL),
    PAIR("node_network_bytes_total", NETWORK, OF("direction", "way", 2), BUSY),
    PAIR("node_network_packets_total", NETWORK, OF("direction", "way", 2), BUSY),
    PAIR("node_network_errors_total", NETWORK, OF("kind", "kind", 14), STILL),
    PAIR("node_network_info", NETWORK, OF("property", "p", 12), STILL),
    FAMILY("node_filesystem_avail_bytes", MOUNT, BLOCKS),
    FAMILY("node_filesystem_free_bytes", MOUNT, BLOCKS),
    FAMILY("node_filesystem_files_free", MOUNT, SLOW),
    PAIR("node_filesystem_info", MOUNT, OF("fstype", "ext", 4), STILL),
    FAMILY("node_memory_bytes", OF("field", "moving", 22), BLOCKS),
    FAMILY("node_memory_still_bytes", OF("field", "still", 28), STILL),
    FAMILY("node_netstat_total", OF("field", "busy", 12), BUSY),
    FAMILY("node_netstat_slow_total", OF("field", "slow", 12), SLOW),
    FAMILY("node_netstat_still_total", OF("field", "still", 18), STILL),
    FAMILY("node_vmstat_total", OF("field", "v", 7), BUSY),
    FAMILY("node_sockstat", OF("field", "s", 16), FEW),
    FAMILY("node_load", OF("minutes", "", 3), LOAD),
    FAMILY("node_timex", OF("field", "t", 4), NOISE),
    FAMILY("node_timex_status", OF("field", "t", 12), STILL),
    FAMILY("node_hwmon_temp_celsius", OF("sensor", "temp", 12), LOAD),
    FAMILY("node_hwmon_limit_celsius", OF("sensor", "temp", 24), STILL),
    FAMILY("node_scrape_collector_duration_seconds", OF("collector", "c", 42), NOISE),
    FAMILY("node_scrape_collector_success", OF("collector", "c", 42), STILL),
    FAMILY("node_process", OF("field", "p", 10), SLOW),
    FAMILY("go_memstats", OF("field", "m", 24), BLOCKS),
    FAMILY("go_gc", OF("field", "g", 8), SLOW),
    FAMILY("node_interrupts_total", OF("vector", "", 61), SLOW),
    FAMILY("node_cpu_core_throttles_total", CPU, STILL),
    FAMILY("node_uname_info", OF("field", "u", 19), STILL),
};
#define FAMILY_COUNT (sizeof families / sizeof families[0])

static uint32_t count_of(const struct family *family)
{
    return family->first.count * family->second.count;
}

/* The family of a host's n-th series; `*number` becomes its number in it. */
static const struct family *family_at(uint32_t *number)
{
    const struct family *family = families;

    while (*number >= count_of(family)) {
        *number -= count_of(family);
        family++;
        Q_ASSERT(family < families + FAMILY_COUNT);
    }
    return family;
}

static enum model model_of(const struct bench_fleet *fleet, uint32_t index)
{
    uint32_t number = index % fleet->host_series;

    return family_at(&number)->model;
}

uint32_t bench_fleet_constant_count(enum bench_fleet_shape shape)
{
    uint32_t count = 0;

    for (size_t i = 0; shape == BENCH_FLEET_NODE && i < FAMILY_COUNT; i++) {
        count += families[i].model == STILL ? count_of(&families[i]) : 0;
    }
    return count;
}

struct bench_fleet_part bench_fleet_probe(enum bench_fleet_shape shape)
{
    struct bench_fleet_part part = {0,
                                    shape == BENCH_FLEET_TSBS ? 1 : BENCH_FLEET_HISTOGRAM_SERIES};
    const struct family *family = families;

    if (shape != BENCH_FLEET_NODE) {
        return part;
    }
    for (; strcmp(family->name, "node_netstat_slow_total") != 0; family++) {
        part.first += count_of(family);
    }
    part.count = count_of(family);
    return part;
}

static uint32_t host_series_of(enum bench_fleet_shape shape)
{
    switch (shape) {
    case BENCH_FLEET_NODE:
        return BENCH_FLEET_NODE_SERIES;
    case BENCH_FLEET_HISTOGRAM:
        return BENCH_FLEET_HISTOGRAM_SERIES;
    case BENCH_FLEET_TSBS:
    default:
        return BENCH_FLEET_TSBS_SERIES;
    }
}

void bench_fleet_init(struct bench_fleet *fleet, enum bench_fleet_shape shape,
                      uint32_t series_count, uint32_t churn_steps)
{
    uint32_t host_series = host_series_of(shape);
    uint32_t total = 0;

    for (size_t i = 0; i < FAMILY_COUNT; i++) {
        total += count_of(&families[i]);
    }
    Q_ASSERT(total == BENCH_FLEET_NODE_SERIES && series_count > 0);
    *fleet = (struct bench_fleet){
        .shape = shape,
        .series_count = (series_count + host_series - 1) / host_series * host_series,
        .host_series = host_series,
        .churn_steps = churn_steps,
    };
    fleet->series = calloc(fleet->series_count, sizeof *fleet->series);
    if (fleet->series == NULL) {
        bench_worker_die("no memory");
    }
    for (uint32_t i = 0; i < fleet->series_count; i++) {
        struct bench_fleet_series *series = &fleet->series[i];
        series->random = SEED * (i + UINT64_C(1));
        series->state = bench_random_below(&series->random, 100);
    }
}

void bench_fleet_fini(struct bench_fleet *fleet)
{
    free(fleet->series);
    fleet->series = NULL;
}

uint64_t bench_fleet_host(const struct bench_fleet *fleet, uint32_t index, uint64_t step)
{
    uint64_t place = index / fleet->host_series;
    uint64_t hosts = fleet->series_count / fleet->host_series;
    uint64_t generation = 0;

    if (fleet->churn_steps != 0) { /* one after the other, all of them in churn_steps */
        generation = (step + place * fleet->churn_steps / hosts) / fleet->churn_steps;
    }
    return fleet->first_host + place + generation * hosts;
}

/* ---- labels --------------------------------------------------------------------------------- */

/* A field of bytes that are shorter than 128. */
static char *put_bytes(char *at, uint8_t tag, const char *bytes, size_t count)
{
    Q_ASSERT(count < 128);
    *at++ = (char)tag;
    *at++ = (char)count;
    memcpy(at, bytes, count);
    return at + count;
}

/* labels = 1 { name = 1, value = 2 } */
static char *put_label(char *at, const char *name, const char *value)
{
    size_t name_bytes = strlen(name);
    size_t value_bytes = strlen(value);

    Q_ASSERT(name_bytes + value_bytes + 4 < 128);
    *at++ = 0x0a;
    *at++ = (char)(name_bytes + value_bytes + 4);
    at = put_bytes(at, 0x0a, name, name_bytes);
    return put_bytes(at, 0x12, value, value_bytes);
}

/* A label whose value ends in a number. */
static char *put_numbered(char *at, const char *name, const char *text, uint64_t number)
{
    char value[TEXT];
    char digits[TEXT];
    size_t bytes = strlen(text);
    size_t first = sizeof digits - 1;

    digits[first] = '\0';
    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    Q_ASSERT(bytes + sizeof digits - first <= sizeof value);
    memcpy(value, text, bytes);
    memcpy(value + bytes, digits + first, sizeof digits - first);
    return put_label(at, name, value);
}

static char *put_tsbs_labels(uint32_t figure, uint64_t host, char *at)
{
    static const char *const names[BENCH_FLEET_TSBS_SERIES] = {
        "cpu_usage_user",   "cpu_usage_system",     "cpu_usage_idle",    "cpu_usage_nice",
        "cpu_usage_iowait", "cpu_usage_irq",        "cpu_usage_softirq", "cpu_usage_steal",
        "cpu_usage_guest",  "cpu_usage_guest_nice",
    };
    static const char *const regions[] = {"eu-central-1", "us-east-1", "ap-northeast-1"};
    static const char *const teams[] = {"SF", "NYC", "LON", "CHI"};

    at = put_label(at, "__name__", names[figure]);
    at = put_numbered(at, "datacenter", regions[host % 3], host % 9);
    at = put_numbered(at, "hostname", "host_", host);
    at = put_label(at, "os", host % 2 == 0 ? "Ubuntu16.10" : "Ubuntu15.10");
    at = put_numbered(at, "rack", "", host % 100);
    at = put_label(at, "region", regions[host % 3]);
    at = put_numbered(at, "service", "", host % 20);
    return put_label(at, "team", teams[host % 4]);
}

static char *put_axis(char *at, const struct axis *axis, uint32_t number)
{
    return axis->label == NULL ? at : put_numbered(at, axis->label, axis->value, number);
}

/* Labels are sorted: of a pair's names the first is below the second or not. */
static char *put_node_labels(uint32_t number, uint64_t host, char *at)
{
    const struct family *family = family_at(&number);
    uint32_t first = number / family->second.count;
    uint32_t second = number % family->second.count;

    const struct axis *axes[] = {&family->first, &family->second};
    uint32_t numbers[] = {first, second};

    at = put_label(at, "__name__", family->name);
    for (int is_behind = 0; is_behind < 2; is_behind++) { /* instance and job are between them */
        for (size_t i = 0; i < 2; i++) {
            bool goes_behind = axes[i]->label != NULL && strcmp(axes[i]->label, "instance") > 0;
            if (goes_behind == (is_behind == 1)) {
                at = put_axis(at, axes[i], numbers[i]);
            }
        }
        if (is_behind == 0) {
            at = put_numbered(at, "instance", "10.0.0.1:9", host);
            at = put_label(at, "job", "node");
        }
    }
    return at;
}

static char *put_histogram_labels(uint32_t bucket, uint64_t host, char *at)
{
    static const char *const bounds[BENCH_FLEET_HISTOGRAM_SERIES] = {
        "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"};

    at = put_label(at, "__name__", "request_duration_seconds_bucket");
    at = put_numbered(at, "instance", "app-", host);
    at = put_label(at, "job", "app");
    return put_label(at, "le", bounds[bucket]);
}

char *bench_fleet_put_labels(const struct bench_fleet *fleet, uint32_t index, uint64_t step,
                             char *at)
{
    uint64_t host = bench_fleet_host(fleet, index, step);
    uint32_t number = index % fleet->host_series;

    switch (fleet->shape) {
    case BENCH_FLEET_NODE:
        return put_node_labels(number, host, at);
    case BENCH_FLEET_HISTOGRAM:
        return put_histogram_labels(number, host, at);
    case BENCH_FLEET_TSBS:
    default:
        return put_tsbs_labels(number, host, at);
    }
}

/* ---- values --------------------------------------------------------------------------------- */

/* Near enough a normal distribution: twelve bits of each of four, summed. About ± 2.5. */
static double normal(uint64_t *random)
{
    uint64_t bits = bench_random(random);
    double sum = 0;

    for (uint32_t i = 0; i < 4; i++) {
        sum += (double)((bits >> (12 * i)) & 0xfff) / 4096.0;
    }
    return (sum - 2) * 1.732;
}

/* A walk by `step` at most that stays between 0 and `bound`. */
static int64_t walk(struct bench_fleet_series *series, double step, int64_t bound)
{
    int64_t next = series->state + (int64_t)lround(normal(&series->random) * step);

    return next < 0 ? 0 : next > bound ? bound : next;
}

static double next_node(struct bench_fleet_series *series, enum model model)
{
    uint64_t *random = &series->random;

    switch (model) {
    case BUSY:
        series->state += (int64_t)(exp(6 + normal(random)));
        return (double)series->state;
    case SLOW:
        series->state += bench_random_below(random, 3) == 0 ? 1 + bench_random_below(random, 3) : 0;
        return (double)series->state;
    case CENTIS:
        series->state += bench_random_below(random, 300);
        return (double)series->state / 100;
    case MILLIS:
        series->state += bench_random_below(random, 2000);
        return (double)series->state / 1000;
    case NANOS:
        series->state += bench_random_below(random, 2000000000);
        return (double)series->state / 1e9;
    case BLOCKS:
        series->state = walk(series, 300, INT64_C(1) << 22);
        return (double)(series->state + (INT64_C(1) << 20)) * 4096;
    case FEW:
        series->state = bench_random_below(random, 5) == 0 ? walk(series, 3, 1000) : series->state;
        return (double)series->state;
    case LOAD:
        series->state = walk(series, 8, 6400);
        return (double)series->state / 100;
    case NOISE:
        return (double)(bench_random(random) >> 11) * 0x1p-60;
    case STILL:
    default:
        return (double)series->state;
    }
}

/* A bucket has what those below it have, which were taken to the step before it, and its own. */
static double next_bucket(struct bench_fleet *fleet, uint32_t index)
{
    static const uint8_t most[BENCH_FLEET_HISTOGRAM_SERIES] = {3,  8,  30, 60, 90, 120,
                                                               70, 40, 20, 8,  3,  2};
    struct bench_fleet_series *series = &fleet->series[index];
    uint32_t bucket = index % fleet->host_series;

    series->state += bench_random_below(&series->random, most[bucket]);
    return (double)series->state + (bucket == 0 ? 0 : fleet->series[index - 1].value);
}

double bench_fleet_next(struct bench_fleet *fleet, uint32_t index)
{
    struct bench_fleet_series *series = &fleet->series[index];

    switch (fleet->shape) {
    case BENCH_FLEET_NODE:
        series->value = next_node(series, model_of(fleet, index));
        break;
    case BENCH_FLEET_HISTOGRAM:
        series->value = next_bucket(fleet, index);
        break;
    case BENCH_FLEET_TSBS:
    default:
        series->state = walk(series, 2, 100);
        series->value = (double)series->state;
        break;
    }
    return series->value;
}
