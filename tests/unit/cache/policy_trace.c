/*
 * Making traces. Popularity follows Zipf's law over ranks, by a table of sums and a search in it;
 * with churn a rank passes to a key never seen before, so that yesterday's favourites cool. The
 * other parts of a shape are mixed in by their shares: keys asked for once, keys asked for again
 * soon, and a scan that goes around.
 */
#include "unit/cache/policy_trace.h"

#include <math.h>
#include <stdlib.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"

#define ITEM_MEDIAN 300.0
#define ITEM_MIN    32u
#define ITEM_MAX    65536u
#define RECENT_KEYS 512u

const struct policy_trace_shape policy_shapes[POLICY_SHAPES] = {
    {"web", 40000, 0.95, 15, 60, 30, 0, 0, 0.9, false},
    {"web, one size", 40000, 0.95, 15, 60, 30, 0, 0, 0, false},
    {"content network", 60000, 0.80, 20, 350, 20, 0, 0, 1.5, false},
    {"recommendations", 80000, 0.75, 30, 100, 50, 50, 20000, 0.7, false},
    {"objects, busy", 20000, 1.10, 10, 40, 20, 0, 0, 1.0, false},
    {"blocks", 30000, 0.70, 40, 150, 350, 0, 0, 0, false},
    {"scans", 30000, 0.90, 5, 20, 0, 300, 40000, 0.5, false},
    {"no churn", 50000, 1.00, 0, 0, 0, 0, 0, 0.9, false},
    {"pairs", 30000, 0.90, 10, 200, 0, 0, 0, 0.7, true},
};

struct maker {
    const struct policy_trace_shape *shape;
    struct policy_trace *trace;
    double *sum; /* of the weights of ranks up to this */
    uint32_t *key_of_rank;
    uint32_t scan_first, scan_next;
    uint64_t random;
};

static double random_unit(uint64_t *random)
{
    return (double)(random_u64(random) >> 11) / 9007199254740992.0;
}

static uint32_t random_size(struct maker *maker)
{
    if (maker->shape->size_spread == 0) {
        return (uint32_t)ITEM_MEDIAN;
    }
    double u = 1.0 - random_unit(&maker->random), v = random_unit(&maker->random);
    double normal = sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
    double bytes = ITEM_MEDIAN * exp(maker->shape->size_spread * normal);
    return bytes < ITEM_MIN ? ITEM_MIN : bytes > ITEM_MAX ? ITEM_MAX : (uint32_t)bytes;
}

static uint32_t new_key(struct maker *maker)
{
    maker->trace->bytes[maker->trace->key_count] = random_size(maker);
    return maker->trace->key_count++;
}

static uint32_t popular_rank(struct maker *maker)
{
    uint32_t low = 0, high = maker->shape->popular_count - 1;
    double wanted = random_unit(&maker->random) * maker->sum[high];

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (maker->sum[middle] < wanted) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static uint32_t popular_key(struct maker *maker)
{
    return maker->key_of_rank[popular_rank(maker)];
}

static uint32_t scan_key(struct maker *maker)
{
    uint32_t key = maker->scan_first + maker->scan_next;

    maker->scan_next = (maker->scan_next + 1) % maker->shape->scan_count;
    return key;
}

/* A key to be asked for again a little later, where the shape says so, instead of what was next. */
static uint32_t once_key(struct maker *maker, uint32_t at)
{
    uint32_t key = new_key(maker);
    uint32_t again = at + 1 + (uint32_t)(random_u64(&maker->random) % RECENT_KEYS);

    if (maker->shape->twice && again < maker->trace->request_count) {
        maker->trace->keys[again] = key + 1;
    }
    return key;
}

static uint32_t next_key(struct maker *maker, uint32_t at)
{
    const struct policy_trace_shape *shape = maker->shape;

    if (maker->trace->keys[at] != 0) {
        return maker->trace->keys[at] - 1; /* asked for the second time */
    }
    uint32_t choice = (uint32_t)(random_u64(&maker->random) % 1000);

    if (choice < shape->once) {
        return once_key(maker, at);
    }
    choice -= shape->once;
    if (choice < shape->recent && at > RECENT_KEYS) {
        return maker->trace->keys[at - 1 - random_u64(&maker->random) % RECENT_KEYS];
    }
    choice -= choice < shape->recent ? 0 : shape->recent;
    return choice < shape->scan ? scan_key(maker) : popular_key(maker);
}

static void churn(struct maker *maker)
{
    if (random_u64(&maker->random) % 1000 < maker->shape->churn) {
        uint32_t rank = popular_rank(maker);
        maker->key_of_rank[rank] = new_key(maker);
    }
}

static void maker_begin(struct maker *maker)
{
    const struct policy_trace_shape *shape = maker->shape;
    double sum = 0;

    maker->sum = calloc(shape->popular_count, sizeof(*maker->sum));
    maker->key_of_rank = calloc(shape->popular_count, sizeof(*maker->key_of_rank));
    assert_non_null(maker->sum);
    assert_non_null(maker->key_of_rank);
    for (uint32_t rank = 0; rank < shape->popular_count; rank++) {
        sum += pow(rank + 1.0, -shape->skew);
        maker->sum[rank] = sum;
        maker->key_of_rank[rank] = new_key(maker);
    }
    maker->scan_first = maker->trace->key_count;
    for (uint32_t i = 0; i < shape->scan_count; i++) {
        (void)new_key(maker);
    }
}

static void count_unique(struct policy_trace *trace)
{
    uint8_t *is_seen = calloc(trace->key_count, 1);

    assert_non_null(is_seen);
    for (uint32_t i = 0; i < trace->request_count; i++) {
        if (!is_seen[trace->keys[i]]) {
            is_seen[trace->keys[i]] = 1;
            trace->unique_bytes += trace->bytes[trace->keys[i]];
        }
    }
    free(is_seen);
}

void policy_trace_init(struct policy_trace *ret_trace, const struct policy_trace_shape *shape,
                       uint32_t request_count, uint64_t seed)
{
    struct maker maker = {.shape = shape, .trace = ret_trace, .random = seed};
    size_t keys_max = (size_t)request_count * 2 + shape->popular_count + shape->scan_count;

    *ret_trace = (struct policy_trace){.name = shape->name, .request_count = request_count};
    ret_trace->keys = calloc(request_count, sizeof(*ret_trace->keys));
    ret_trace->bytes = calloc(keys_max, sizeof(*ret_trace->bytes));
    assert_non_null(ret_trace->keys);
    assert_non_null(ret_trace->bytes);
    maker_begin(&maker);
    for (uint32_t i = 0; i < request_count; i++) {
        ret_trace->keys[i] = next_key(&maker, i);
        churn(&maker);
    }
    count_unique(ret_trace);
    free(maker.sum);
    free(maker.key_of_rank);
}

void policy_trace_fini(struct policy_trace *trace)
{
    free(trace->keys);
    free(trace->bytes);
}
