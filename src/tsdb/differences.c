/*
 * Differences: what makes integers small before they are packed.
 *
 *     order 0   | frames of values |
 *     order 1   | value before the first | frames of differences |
 *     order 2   | value before the first | difference before the first | frames of 2nd differences
 * |
 *
 * There is no value before the first, so one is made up: such that the first difference is that of
 * the second value, and does not stand out in its frame. So there are as many differences as
 * values, and frames begin every 64 values whatever the order. All arithmetic is modulo 2^64.
 *
 * A frame subtracts its smallest value, so of order 1 steady growth costs nothing, and noise counts
 * once; order 2 is for what is straight, or bent evenly, alone.
 *
 * Invariants: 1. With order o there are more than o values. 2. `last` and `growth` of a reader are
 * those of the value taken last.
 *
 * Locking: none. Cost: a nanosecond a value beside its frame's.
 */
#include <tsdb/differences.h>

static inline int64_t minus(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a - (uint64_t)b);
}

/* What comes before the first value. */
struct before {
    int64_t value, growth;
};

/* ---- writing -------------------------------------------------------------------------------- */

static struct before before_first(const int64_t *values, uint32_t order)
{
    struct before before = {0, 0};

    if (order == 1) {
        before.value = minus(values[0], minus(values[1], values[0]));
    } else if (order == 2) {
        int64_t growth = minus(values[1], values[0]);
        int64_t bend = minus(minus(values[2], values[1]), growth);
        int64_t first = minus(growth, bend);
        before.growth = minus(first, bend);
        before.value = minus(values[0], first);
    }
    return before;
}

/* The `count` values from `values` on, as differences to what is before them, which moves on. */
static void make(const int64_t *values, uint32_t count, uint32_t order, struct before *before,
                 int64_t *ret_differences)
{
    for (uint32_t i = 0; i < count; i++) {
        int64_t growth = minus(values[i], before->value);
        ret_differences[i] = order == 0   ? values[i]
                             : order == 1 ? growth
                                          : minus(growth, before->growth);
        *before = (struct before){values[i], growth};
    }
}

size_t differences_measure(const int64_t *values, uint32_t count, uint32_t order, size_t bound)
{
    int64_t frame[TSDB_FRAME_VALUES];
    struct before before = before_first(values, order);
    size_t bytes = order * (size_t)VARINT_U64_BYTES_MAX;

    Q_DCHECK(count > order);
    for (uint32_t done = 0; done < count && bytes < bound; done += TSDB_FRAME_VALUES) {
        uint32_t piece = (uint32_t)size_min(count - done, TSDB_FRAME_VALUES);
        make(values + done, piece, order, &before, frame);
        bytes += tsdb_frame_plan(frame, piece).bytes_bound;
    }
    return bytes;
}

size_t differences_put(const int64_t *values, uint32_t count, uint32_t order, uint8_t *ret_bytes)
{
    int64_t frame[TSDB_FRAME_VALUES];
    struct before before = before_first(values, order);
    uint8_t *to = ret_bytes;

    Q_ASSERT(count > order && order <= DIFFERENCES_ORDER_MAX);
    if (order > 0) {
        to += varint_put_u64(to, varint_zigzag(before.value));
    }
    if (order > 1) {
        to += varint_put_u64(to, varint_zigzag(before.growth));
    }
    for (uint32_t done = 0; done < count; done += TSDB_FRAME_VALUES) {
        uint32_t piece = (uint32_t)size_min(count - done, TSDB_FRAME_VALUES);
        make(values + done, piece, order, &before, frame);
        to += tsdb_frame_put(frame, piece, tsdb_frame_plan(frame, piece), to);
    }
    return (size_t)(to - ret_bytes);
}

/* ---- reading -------------------------------------------------------------------------------- */

static bool get_zigzag(struct tsdb_differences *differences, uint64_t *ret_value)
{
    uint64_t z;
    size_t bytes = varint_get_u64(differences->at, differences->end, &z);

    if (bytes == 0) {
        return false;
    }
    differences->at += bytes;
    *ret_value = (uint64_t)varint_unzigzag(z);
    return true;
}

bool differences_open(struct tsdb_differences *differences, const uint8_t *at, const uint8_t *end,
                      uint32_t count, uint32_t order)
{
    *differences = (struct tsdb_differences){.at = at, .end = end, .order = order, .left = count};
    if (order > DIFFERENCES_ORDER_MAX || count <= order) {
        return false;
    }
    return (order < 1 || get_zigzag(differences, &differences->last)) &&
           (order < 2 || get_zigzag(differences, &differences->growth));
}

static void add_up(struct tsdb_differences *differences, uint32_t count, int64_t *values)
{
    uint64_t last = differences->last;

    for (uint32_t i = 0; i < count; i++) {
        last += (uint64_t)values[i];
        values[i] = (int64_t)last;
    }
    differences->last = last;
}

static void add_up_twice(struct tsdb_differences *differences, uint32_t count, int64_t *values)
{
    uint64_t growth = differences->growth, last = differences->last;

    for (uint32_t i = 0; i < count; i++) {
        growth += (uint64_t)values[i];
        last += growth;
        values[i] = (int64_t)last;
    }
    differences->growth = growth;
    differences->last = last;
}

bool differences_take(struct tsdb_differences *differences, uint32_t count, int64_t *ret_values)
{
    size_t bytes = tsdb_frame_get(differences->at, differences->end, count, ret_values);

    Q_DCHECK(count <= differences->left);
    if (bytes == 0) {
        return false;
    }
    differences->at += bytes;
    differences->left -= count;
    if (differences->order == 1) {
        add_up(differences, count, ret_values);
    } else if (differences->order == 2) {
        add_up_twice(differences, count, ret_values);
    }
    return true;
}
