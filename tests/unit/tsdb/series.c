#include "unit/tsdb/series.h"

#include <math.h>
#include <string.h>

#include "unit/base/random.h"

#define STALE UINT64_C(0x7ff0000000000002)

const char *series_name(enum series_kind kind)
{
    static const char *const names[SERIES_KIND_COUNT] = {
        "constant",   "walk",     "doubles", "counter", "slow", "seconds",
        "durations",  "resets",   "states",  "stale",   "nans", "bits",
        "small bits", "products", "ratios",  "edges",   "mixed"};

    return names[kind];
}

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double unit(uint64_t *state)
{
    return (double)(random_u64(state) >> 11) * 0x1p-53;
}

static uint64_t strange(uint64_t *state)
{
    static const uint64_t known[] = {0,
                                     UINT64_C(1) << 63,
                                     STALE,
                                     UINT64_C(0x7ff0000000000000),
                                     UINT64_C(0xfff0000000000000),
                                     UINT64_C(0x7ff8000000000001),
                                     UINT64_C(0xfff8000000000000),
                                     1};
    uint64_t pick = random_u64(state) % 12;

    return pick < 8 ? known[pick] : UINT64_C(0x7ff0000000000000) | random_width_u64(state);
}

static uint64_t edge(uint64_t *state)
{
    static const double known[] = {0x1p51, -0x1p51, 0x1p51 - 1, 0x1p52,     0x1p53,    0x1p53 + 2,
                                   1e12,   1e-12,   1e-13,      0.1,        0.3,       1e22,
                                   2251.8, 0x1p63,  0x1p64,     0x1.8p1023, 0x1p-1022, -0.5};
    double value = known[random_u64(state) % (sizeof known / sizeof *known)];

    return bits_of(random_u64(state) % 3 == 0 ? nextafter(value, 0) : value);
}

/* The value that follows `*level`, which moves. */
static uint64_t next_value(enum series_kind kind, uint64_t *state, int64_t *level, double *real)
{
    const uint64_t word = random_u64(state);

    switch (kind) {
    case SERIES_CONSTANT:
        return bits_of((double)*level);
    case SERIES_WALK:
        *level += *level >= 100 ? -1 : *level <= 0 ? 1 : (int64_t)(word % 3) - 1;
        return bits_of((double)*level);
    case SERIES_DOUBLES:
        return bits_of(unit(state));
    case SERIES_COUNTER:
        *level += 900 + (int64_t)(word % 200);
        return bits_of((double)*level);
    case SERIES_SLOW:
        *level += word % 20 == 0;
        return bits_of((double)*level);
    case SERIES_SECONDS:
        *level += 1 + (int64_t)(word % 30);
        return bits_of((double)*level / 100);
    case SERIES_DURATIONS:
        return bits_of((double)(900000 + word % 200000) / 1e9);
    case SERIES_RESETS:
        *level = word % 100 == 0 ? 0 : *level + (int64_t)(word % 50);
        return bits_of((double)*level);
    case SERIES_STATES:
        return word % 8 == 0 ? bits_of((double)(*level = (int64_t)(word / 8 % 5) * 123456789))
                             : bits_of((double)*level);
    case SERIES_STALE:
        *level += (int64_t)(word % 7) - 3;
        return word % 40 == 0 ? STALE : bits_of((double)*level);
    case SERIES_NANS:
        return strange(state);
    case SERIES_BITS:
        return word;
    case SERIES_SMALL_BITS:
        *level += (int64_t)(word % 5);
        return (uint64_t)*level;
    case SERIES_PRODUCTS:
        *level += (int64_t)(word % 40);
        return bits_of(word % 2 == 0 ? (double)*level * 0.001 : (double)*level / 10 / 100);
    case SERIES_RATIOS:
        *real *= 1 + (unit(state) - 0.5) / 50;
        return bits_of(*real / 3);
    case SERIES_EDGES:
        return edge(state);
    case SERIES_MIXED:
    case SERIES_KIND_COUNT:
        break;
    }
    return 0;
}

static void fill(enum series_kind kind, uint64_t *state, uint32_t count, uint64_t *ret_bits)
{
    int64_t level = (int64_t)(random_u64(state) % 100);
    double real = 1 + unit(state);

    for (uint32_t i = 0; i < count; i++) {
        ret_bits[i] = next_value(kind, state, &level, &real);
    }
}

void series_fill(enum series_kind kind, uint64_t seed, uint32_t count, uint64_t *ret_bits)
{
    uint64_t state = seed * SERIES_KIND_COUNT + kind;

    if (kind != SERIES_MIXED) {
        fill(kind, &state, count, ret_bits);
        return;
    }
    for (uint32_t done = 0; done < count;) {
        uint32_t piece = 1 + (uint32_t)(random_u64(&state) % 40);
        piece = piece < count - done ? piece : count - done;
        fill((enum series_kind)(random_u64(&state) % SERIES_MIXED), &state, piece, ret_bits + done);
        done += piece;
    }
}

static uint64_t next_step(enum series_times kind, uint64_t *state)
{
    const uint64_t word = random_u64(state);

    switch (kind) {
    case TIMES_REGULAR:
        return 15000;
    case TIMES_MISSED:
        return word % 50 == 0 ? 30000 : 15000;
    case TIMES_JITTER:
        return 14990 + word % 20;
    case TIMES_ANY:
        return 1 + (random_width_u64(state) >> 24);
    case TIMES_WILD:
    case TIMES_KIND_COUNT:
        break;
    }
    return word;
}

void series_fill_times(enum series_times kind, uint64_t seed, uint32_t count, int64_t *ret_t_ms)
{
    uint64_t state = seed * TIMES_KIND_COUNT + kind, t = UINT64_C(1700000000000);

    for (uint32_t i = 0; i < count; i++) {
        ret_t_ms[i] = (int64_t)t;
        t += next_step(kind, &state);
    }
}
