/*
 * Making traces.
 *
 *   request ──┬─ zipf   rank by a table of cumulative weights, → key, which drift moves to colder
 *             │         ranks: the most wanted key is ever a new one
 *             ├─ loop   the next key of a range: a scan over a table, again and again
 *             └─ once   a key that no request asks for again
 *
 *   raw keys  [ zipf of phase 0 │ of phase 1 │ … │ loop of phase 0 │ … │ once ………… ]
 *             and are numbered anew in the order of their first use, so that unused ones are none
 *
 * The shapes follow the public traces of the table in the specification of the cache store, §3: web
 * objects, a content network, recommendations, an object mapper's database, a block device, and
 * several programs in turn. They are not those traces: each is a mixture with few numbers, chosen
 * so that LRU misses about as often as it does there. What they are for is to set policies side by
 * side on scans, loops, drift, phases and keys that come once.
 *
 * Sizes belong to keys: a hash of the key gives a normal deviate by Box and Muller.
 */
#include <bench/blocks/trace.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <base/base.h>

#include <bench/blocks/policy.h>
#include <bench/malloc/worker.h>

#define SIZE_MIN_BYTES 16.0
#define SIZE_MAX_BYTES 8388608.0
#define SEED           UINT64_C(0x9e3779b97f4a7c15)

static const struct bench_trace_shape shapes[] = {
    {.name = "web",
     .title = "web objects: Zipf, with keys that come once",
     .request_count = 96000,
     .zipf_permille = 940,
     .zipf_key_count = 20000,
     .zipf_skew = 1.02,
     .median_bytes = 4096,
     .size_sigma = 1.4,
     .size_step = 1},
    {.name = "cdn",
     .title = "a content network: most keys come once",
     .request_count = 67000,
     .zipf_permille = 500,
     .zipf_key_count = 5000,
     .zipf_skew = 1.08,
     .median_bytes = 32768,
     .size_sigma = 1.8,
     .size_step = 1},
    {.name = "recommender",
     .title = "recommendations: Zipf whose favourites change",
     .request_count = 1250000,
     .zipf_permille = 960,
     .zipf_key_count = 120000,
     .zipf_skew = 0.95,
     .drift_requests = 100,
     .median_bytes = 512,
     .size_sigma = 0.8,
     .size_step = 1},
    {.name = "orm",
     .title = "an object mapper: a small hot set, and loops",
     .request_count = 1500000,
     .zipf_permille = 950,
     .loop_permille = 45,
     .zipf_key_count = 60000,
     .zipf_skew = 1.15,
     .loop_key_count = 9000,
     .median_bytes = 256,
     .size_sigma = 1.0,
     .size_step = 1},
    {.name = "block_device",
     .title = "a block device: scans and loops over Zipf",
     .request_count = 1500000,
     .zipf_permille = 890,
     .loop_permille = 70,
     .zipf_key_count = 100000,
     .zipf_skew = 1.2,
     .loop_key_count = 15000,
     .median_bytes = 8192,
     .size_sigma = 0.9,
     .size_step = 4096},
    {.name = "phases",
     .title = "several programs in turn: loops and Zipf, by phases",
     .request_count = 30000,
     .zipf_permille = 500,
     .loop_permille = 400,
     .zipf_key_count = 2000,
     .zipf_skew = 0.7,
     .loop_key_count = 900,
     .phase_requests = 3000,
     .phase_count = 4,
     .median_bytes = 8192,
     .size_sigma = 0.7,
     .size_step = 4096},
};

const struct bench_trace_shape *bench_trace_shapes(size_t *ret_count)
{
    *ret_count = sizeof shapes / sizeof shapes[0];
    return shapes;
}

const struct bench_trace_shape *bench_trace_shape_find(const char *name)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        if (strcmp(shapes[i].name, name) == 0) {
            return &shapes[i];
        }
    }
    return NULL;
}

/* A trace in the making. */
struct maker {
    const struct bench_trace_shape *shape;
    double *cumulative; /* weight of the ranks up to this one; owned */
    uint64_t random;
    uint32_t request;  /* the one at hand */
    uint32_t loop_at;  /* in the loop's range */
    uint32_t once;     /* keys that came once */
    uint32_t raw_keys; /* of all sources */
};

/* From 0 to below 1. */
static double random_unit(uint64_t *state)
{
    return (double)(bench_random(state) >> 11) * 0x1p-53;
}

static double *make_weights(const struct bench_trace_shape *shape)
{
    double *cumulative = bench_policy_alloc(shape->zipf_key_count, sizeof *cumulative);
    double sum = 0;

    for (uint32_t rank = 0; rank < shape->zipf_key_count; rank++) {
        sum += pow((double)rank + 1, -shape->zipf_skew);
        cumulative[rank] = sum;
    }
    return cumulative;
}

/* The first rank whose cumulative weight is above a random one. */
static uint32_t random_rank(struct maker *maker)
{
    uint32_t first = 0;
    uint32_t last = maker->shape->zipf_key_count - 1;
    double wanted = random_unit(&maker->random) * maker->cumulative[last];

    while (first < last) {
        uint32_t middle = first + (last - first) / 2;
        if (maker->cumulative[middle] > wanted) {
            last = middle;
        } else {
            first = middle + 1;
        }
    }
    return first;
}

/* Which set of keys the request at hand is from. */
static uint32_t phase_of(const struct maker *maker)
{
    const struct bench_trace_shape *shape = maker->shape;

    return shape->phase_requests == 0 ? 0
                                      : maker->request / shape->phase_requests % shape->phase_count;
}

static uint32_t zipf_key(struct maker *maker)
{
    const struct bench_trace_shape *shape = maker->shape;
    uint32_t count = shape->zipf_key_count;
    uint32_t drift =
        shape->drift_requests == 0 ? 0 : maker->request / shape->drift_requests % count;

    return phase_of(maker) * count + (random_rank(maker) + count - drift) % count;
}

static uint32_t set_count(const struct bench_trace_shape *shape)
{
    return shape->phase_count == 0 ? 1 : shape->phase_count;
}

static uint32_t raw_key(struct maker *maker)
{
    const struct bench_trace_shape *shape = maker->shape;
    uint32_t draw = bench_random_below(&maker->random, 1000);
    uint32_t loops_from = set_count(shape) * shape->zipf_key_count;

    if (draw < shape->zipf_permille) {
        return zipf_key(maker);
    }
    if (draw < shape->zipf_permille + shape->loop_permille) {
        maker->loop_at = (maker->loop_at + 1) % shape->loop_key_count;
        return loops_from + phase_of(maker) * shape->loop_key_count + maker->loop_at;
    }
    return loops_from + set_count(shape) * shape->loop_key_count + maker->once++;
}

static uint32_t size_of_key(const struct bench_trace_shape *shape, uint32_t raw)
{
    uint64_t state = SEED ^ (((uint64_t)raw + 1) << 20);
    double radius = sqrt(-2 * log(1 - random_unit(&state)));
    double deviate = radius * cos(2 * 3.14159265358979323846 * random_unit(&state));
    double bytes = shape->median_bytes * exp(shape->size_sigma * deviate);

    bytes = fmin(fmax(bytes, SIZE_MIN_BYTES), SIZE_MAX_BYTES);
    return (uint32_t)ceil(bytes / shape->size_step) * shape->size_step;
}

void bench_trace_init(struct bench_trace *trace, const struct bench_trace_shape *shape,
                      uint32_t request_count)
{
    struct maker maker = {.shape = shape, .random = SEED, .cumulative = make_weights(shape)};

    request_count = request_count == 0 ? shape->request_count : request_count;
    Q_ASSERT(shape->zipf_permille + shape->loop_permille <= 1000);
    maker.raw_keys =
        set_count(shape) * (shape->zipf_key_count + shape->loop_key_count) + request_count;
    uint32_t *number = bench_policy_alloc(maker.raw_keys, sizeof *number); /* key + 1; 0: unused */
    *trace = (struct bench_trace){
        .request_count = request_count,
        .key = bench_policy_alloc(request_count, sizeof *trace->key),
        .bytes = bench_policy_alloc(request_count, sizeof *trace->bytes),
    };
    for (; maker.request < request_count; maker.request++) {
        uint32_t raw = raw_key(&maker);
        Q_ASSERT(raw < maker.raw_keys);
        if (number[raw] == 0) {
            uint32_t bytes = size_of_key(shape, raw);
            trace->bytes[trace->key_count++] = bytes;
            trace->unique_bytes += bytes;
            number[raw] = trace->key_count;
        }
        trace->key[maker.request] = number[raw] - 1;
    }
    free(number);
    free(maker.cumulative);
}

void bench_trace_fini(struct bench_trace *trace)
{
    free(trace->key);
    free(trace->bytes);
}
