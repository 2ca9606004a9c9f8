/*
 * Sealed times: a line where they lie on one, else differences.
 *
 *     | 3 | first | step |              regular: zigzag varints; 10 bytes for four hours
 *     | order | differences |           order 0, 1 or 2 (differences.c), in frames of 64 (frame.c)
 *
 * A scrape that was missed makes two second differences that stand out: exceptions of one frame of
 * order 2, whose others are zeros of a byte each. Times that jitter are order 1, in frames of
 * differences as wide as the jitter.
 *
 * Invariants: as column.c's. Locking: none. Cost: times.h.
 *
 * Rejected: a list of scrapes that were missed beside the line: exceptions of frames are that.
 */
#include <tsdb/times.h>

#include <string.h>

#include <tsdb/differences.h>

#define FORM_REGULAR (DIFFERENCES_ORDER_MAX + 1)

static bool is_regular(const int64_t *t_ms, uint32_t count)
{
    uint64_t step = count > 1 ? (uint64_t)t_ms[1] - (uint64_t)t_ms[0] : 0;
    uint32_t i = 1;

    while (i < count && (uint64_t)t_ms[i] - (uint64_t)t_ms[i - 1] == step) {
        i++;
    }
    return i == count;
}

static size_t put_regular(const int64_t *t_ms, uint32_t count, uint8_t *ret_bytes)
{
    uint64_t step = count > 1 ? (uint64_t)t_ms[1] - (uint64_t)t_ms[0] : 0;
    uint8_t *to = ret_bytes;

    *to++ = FORM_REGULAR;
    to += varint_put_u64(to, varint_zigzag(t_ms[0]));
    to += varint_put_u64(to, varint_zigzag((int64_t)step));
    return (size_t)(to - ret_bytes);
}

/* The order that makes them shortest. */
static uint32_t choose_order(const int64_t *t_ms, uint32_t count)
{
    size_t bound = tsdb_times_bytes_max(count);
    uint32_t chosen = 0;

    for (uint32_t order = DIFFERENCES_ORDER_MAX + 1; order-- > 0;) {
        if (count <= order) {
            continue;
        }
        size_t bytes = differences_measure(t_ms, count, order, bound);
        if (bytes < bound) {
            bound = bytes;
            chosen = order;
        }
    }
    return chosen;
}

static bool verify(const uint8_t *bytes, size_t byte_count, const int64_t *t_ms, uint32_t count)
{
    int64_t block[TSDB_COLUMN_BLOCK];
    struct tsdb_times_reader reader;
    uint32_t taken, at = 0;

    if (tsdb_times_open(&reader, bytes, byte_count, count) != QUARRY_OK) {
        return false;
    }
    while ((taken = tsdb_times_take(&reader, block)) > 0) {
        if (memcmp(block, t_ms + at, taken * sizeof *block) != 0) {
            return false;
        }
        at += taken;
    }
    return at == count;
}

size_t tsdb_times_encode(const int64_t *t_ms, uint32_t count, uint8_t *ret_bytes)
{
    size_t byte_count;

    Q_ASSERT(count > 0);
    if (is_regular(t_ms, count)) {
        byte_count = put_regular(t_ms, count, ret_bytes);
    } else {
        ret_bytes[0] = (uint8_t)choose_order(t_ms, count);
        byte_count = 1 + differences_put(t_ms, count, ret_bytes[0], ret_bytes + 1);
    }
    if (Q_UNLIKELY(!verify(ret_bytes, byte_count, t_ms, count))) {
        ret_bytes[0] = 0;
        byte_count = 1 + differences_put(t_ms, count, 0, ret_bytes + 1);
    }
    Q_ASSERT(byte_count <= tsdb_times_bytes_max(count));
    return byte_count;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* A regular stream's `last` and `growth` are all there is. */
static bool open_regular(struct tsdb_times_reader *reader, const uint8_t *at, const uint8_t *end,
                         uint32_t count)
{
    uint64_t first, step;
    size_t first_bytes = varint_get_u64(at, end, &first);

    if (first_bytes == 0 || varint_get_u64(at + first_bytes, end, &step) == 0) {
        return false;
    }
    reader->is_regular = true;
    reader->differences.left = count;
    reader->differences.growth = (uint64_t)varint_unzigzag(step);
    reader->differences.last = (uint64_t)varint_unzigzag(first) - reader->differences.growth;
    return true;
}

enum quarry_status tsdb_times_open(struct tsdb_times_reader *reader, const uint8_t *bytes,
                                   size_t byte_count, uint32_t count)
{
    const uint8_t *end = bytes + byte_count;

    Q_ASSERT(count > 0);
    *reader = (struct tsdb_times_reader){.is_corrupt = false};
    if (byte_count < 2) {
        return QUARRY_CORRUPT;
    }
    bool is_sound = bytes[0] == FORM_REGULAR
                        ? open_regular(reader, bytes + 1, end, count)
                        : differences_open(&reader->differences, bytes + 1, end, count, bytes[0]);
    return is_sound ? QUARRY_OK : QUARRY_CORRUPT;
}

static uint32_t take_regular(struct tsdb_differences *line, uint32_t count, int64_t *ret_t_ms)
{
    const uint64_t last = line->last, step = line->growth;

    for (uint32_t i = 0; i < count; i++) {
        ret_t_ms[i] = (int64_t)(last + (i + 1) * step);
    }
    line->last = last + count * step;
    line->left -= count;
    return count;
}

uint32_t tsdb_times_take(struct tsdb_times_reader *reader, int64_t *ret_t_ms)
{
    uint32_t count = (uint32_t)size_min(reader->differences.left, TSDB_COLUMN_BLOCK), done = 0;

    if (reader->is_regular) {
        return take_regular(&reader->differences, count, ret_t_ms);
    }
    while (done < count) {
        uint32_t piece = (uint32_t)size_min(count - done, TSDB_FRAME_VALUES);
        if (!differences_take(&reader->differences, piece, ret_t_ms + done)) {
            reader->is_corrupt = true;
            reader->differences.left = 0;
            return done;
        }
        done += piece;
    }
    return done;
}
