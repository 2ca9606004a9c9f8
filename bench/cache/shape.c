/*
 * Shapes of traces.
 *
 *   request ──┬─ zipf   rank by Zipf's law → the key that the rank has just now: in the course of
 * the │         trace some ranks are given a new key, each at a moment of its own └─ once   a key
 * that no request asks for again
 *
 *   number    [ rank + generation × ranks … │ from 2^34 on: once ]
 *
 * Published, of each cluster, and taken over: Zipf's alpha, mean bytes of keys and values, how many
 * requests write, the share of requests for a key never seen before, the share of keys seen once,
 * and common TTLs. Ours: how large the set of ranks is, how many keys come once and how many are
 * renewed, chosen so that the two published shares come out (tests/bench/cache_load_test.c holds
 * them to it); how long a stretch of the cluster's time the requests stand for; and that sizes are
 * log-normal round their mean, since the tables have means only. A key's size and TTL are its own.
 *
 * The traces themselves are terabytes. These are a few million requests with their figures, and
 * what they are for is to set two servers side by side on the same requests.
 *
 * Source: Yang, Yue, Rashmi: A large scale analysis of hundreds of in-memory cache clusters at
 * Twitter, OSDI 2020, with the table of 54 clusters of March 2020 that its authors published beside
 * the traces (github.com/twitter/cache-trace, stat/2020Mar.md, CC-BY). Clusters 29, 45 and 52 are
 * among those that they recommend for questions of eviction, 19 for short TTLs.
 */
#include <bench/cache/shape.h>

#include <math.h>
#include <string.h>

#include <base/base.h>

#include <bench/malloc/worker.h>

#define SEED       UINT64_C(0x5deece66d1ce4e5b)
#define ONCE_FROM  (UINT64_C(1) << 34)
#define SIZE_SIGMA 0.6                /* of the logarithm of a value's bytes */
#define SIZE_MEAN  1.1972173631218102 /* e^(sigma²/2), by which the mean is above the median */

static const struct bench_shape shapes[] = {
    {.name = "cluster19",
     .title = "computed values, a quarter of requests write, 7 h",
     .zipf_alpha = 0.735,
     .key_bytes = 42,
     .value_bytes = 101,
     .set_permille = 250,
     .compulsory_percent = 21.2,
     .once_percent = 7.46,
     .ttl = {{1000, 7.2}},
     .key_count = 533132,
     .once_per_myriad = 0,
     .renewed_percent = 316,
     .request_count = 8000000,
     .hours = 24,
     .memory_mib = 64},
    {.name = "cluster22",
     .title = "counters, a quarter of requests write, an hour to a day",
     .zipf_alpha = 0.7624,
     .key_bytes = 54,
     .value_bytes = 8,
     .set_permille = 280,
     .compulsory_percent = 23.43,
     .once_percent = 41.48,
     .ttl = {{860, 24}, {110, 1}, {30, 0.5}},
     .key_count = 1419958,
     .once_per_myriad = 292,
     .renewed_percent = 10,
     .request_count = 6000000,
     .hours = 24,
     .memory_mib = 64},
    {.name = "cluster29",
     .title = "storage, values of 800 bytes, 1 and 2 h",
     .zipf_alpha = 1.2323,
     .key_bytes = 36,
     .value_bytes = 799,
     .set_permille = 130,
     .compulsory_percent = 4.45,
     .once_percent = 23.04,
     .ttl = {{670, 1}, {330, 2}},
     .key_count = 425000,
     .once_per_myriad = 0,
     .renewed_percent = 316,
     .request_count = 8000000,
     .hours = 8,
     .memory_mib = 48},
    {.name = "cluster45",
     .title = "storage, half of the keys come once, 15 days",
     .zipf_alpha = 0.6372,
     .key_bytes = 10,
     .value_bytes = 120,
     .set_permille = 0,
     .compulsory_percent = 35.07,
     .once_percent = 48.74,
     .ttl = {{1000, 0}},
     .key_count = 1298760,
     .once_per_myriad = 769,
     .renewed_percent = 10,
     .request_count = 4000000,
     .hours = 24,
     .memory_mib = 64},
    {.name = "cluster48",
     .title = "computed values, a third of requests write, a day",
     .zipf_alpha = 0.8191,
     .key_bytes = 44,
     .value_bytes = 70,
     .set_permille = 350,
     .compulsory_percent = 28.4,
     .once_percent = 44.28,
     .ttl = {{1000, 24}},
     .key_count = 2866024,
     .once_per_myriad = 0,
     .renewed_percent = 10,
     .request_count = 6000000,
     .hours = 48,
     .memory_mib = 64},
    {.name = "cluster52",
     .title = "storage, values of 273 bytes, half a day to two weeks",
     .zipf_alpha = 1.2117,
     .key_bytes = 20,
     .value_bytes = 273,
     .set_permille = 60,
     .compulsory_percent = 3.07,
     .once_percent = 19.36,
     .ttl = {{650, 24}, {270, 0}, {80, 12}},
     .key_count = 106000,
     .once_per_myriad = 0,
     .renewed_percent = 316,
     .request_count = 8000000,
     .hours = 48,
     .memory_mib = 32},
};

const struct bench_shape *bench_shapes(size_t *ret_count)
{
    *ret_count = sizeof shapes / sizeof shapes[0];
    return shapes;
}

const struct bench_shape *bench_shape_find(const char *name)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        if (strcmp(shapes[i].name, name) == 0) {
            return &shapes[i];
        }
    }
    return NULL;
}

static double random_unit(uint64_t *random)
{
    return (double)(bench_random(random) >> 11) * 0x1p-53;
}

/* A generator of its own for a key: its state after a few rounds of mixing. */
static uint64_t random_of_key(uint64_t number)
{
    uint64_t state = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);

    state ^= state >> 32;
    return state * UINT64_C(0xd6e8feb86659fd93) | 1;
}

/* A normal deviate, by Box and Muller. */
static double random_normal(uint64_t *random)
{
    double radius = sqrt(-2 * log(1 - random_unit(random)));

    return radius * cos(2 * 3.14159265358979323846 * random_unit(random));
}

static uint32_t value_bytes(const struct bench_shape *shape, uint64_t *random)
{
    double median = shape->value_bytes / SIZE_MEAN;
    double bytes = round(median * exp(SIZE_SIGMA * random_normal(random)));

    return (uint32_t)fmin(fmax(bytes, BENCH_WIRE_VALUE_BYTES_MIN), BENCH_WIRE_VALUE_BYTES_MAX);
}

/* In seconds of the replay, whole ones, and at least one. */
static uint32_t ttl_seconds(const struct bench_trace_maker *maker, uint64_t *random)
{
    const struct bench_shape_ttl *ttl = maker->shape->ttl;
    uint32_t draw = bench_random_below(random, 1000);

    while (draw >= ttl->permille) {
        draw -= ttl->permille;
        ttl++;
        Q_ASSERT(ttl < maker->shape->ttl + BENCH_SHAPE_TTLS);
    }
    return ttl->hours > 0 ? (uint32_t)fmax(round(ttl->hours * maker->seconds_per_hour), 1) : 0;
}

/* The key that a rank has now: ranks change theirs at moments of their own. */
static uint64_t number_of_rank(const struct bench_trace_maker *maker, uint64_t rank)
{
    uint64_t random = random_of_key(rank ^ SEED);
    double moment = random_unit(&random);
    double now = (double)maker->made_count / maker->request_count;
    double generation = floor(moment + now * maker->shape->renewed_percent / 100);

    return rank + (uint64_t)generation * maker->shape->key_count;
}

void bench_trace_begin(struct bench_trace_maker *maker, const struct bench_shape *shape,
                       uint32_t request_count, double seconds)
{
    *maker = (struct bench_trace_maker){
        .shape = shape,
        .random = SEED,
        .request_count = request_count,
        .seconds_per_hour = seconds / shape->hours,
    };
    bench_zipf_init(&maker->zipf, shape->key_count, shape->zipf_alpha);
}

bool bench_trace_next(struct bench_trace_maker *maker, struct bench_request *ret_request)
{
    const struct bench_shape *shape = maker->shape;
    uint64_t number = 0;

    if (maker->made_count == maker->request_count) {
        return false;
    }
    if (bench_random_below(&maker->random, 10000) < shape->once_per_myriad) {
        number = ONCE_FROM + maker->once_count++;
    } else {
        number = number_of_rank(maker, bench_zipf_next(&maker->zipf, &maker->random));
    }
    uint64_t random = random_of_key(number);
    maker->made_count++;
    *ret_request = (struct bench_request){
        .item = {.number = number, .key_bytes = shape->key_bytes},
        .is_set = bench_random_below(&maker->random, 1000) < shape->set_permille,
    };
    ret_request->item.value_bytes = value_bytes(shape, &random);
    ret_request->item.ttl_seconds = ttl_seconds(maker, &random);
    return true;
}
