/*
 * Histograms in columns: what one bucket counts, over time, is a column as any other.
 *
 *     block    | flags | count - 1 | layout, if it changed | column | column | …
 *     column   | bytes, varint | column.c's |
 *     columns  reset hints, sum, count, zero count, positive buckets, negative buckets
 *     flags    1: layout as in the block before; 2: counts are doubles
 *
 * A block is up to 64 histograms, one frame of each column: readers have a block's buckets in
 * memory and no more, and a histogram that changes its layout begins a block.
 *
 * Counts that are integers are columns of bits: their differences are what the buckets grew by.
 * Sums and counts that are doubles are decimals or not, as column.c finds.
 *
 * A column for a bucket that never counts is 4 bytes, for 64 histograms.
 *
 * Invariants
 *   1. Histograms of a block have one layout, the block's.
 *   2. What was taken is sound; of a damaged block nothing is taken.
 *   3. `layout` of a reader has been read before, and is sound; only the room may be too small.
 *
 * Locking: none. Cost: histogram_column.h.
 *
 * Rejected: blocks of 256, whose columns have fewer heads, but of which a reader of histograms with
 * 160 buckets would have 330 KB in memory. Rows of a histogram, bit-packed, which decode without a
 * matrix, but mix widths of busy and idle buckets.
 */
#include <tsdb/histogram_column.h>

#include <string.h>

#include <tsdb/histogram_layout.h>

#define FLAG_SAME_LAYOUT 1u
#define FLAG_FLOAT       2u
#define FLAGS_MAX        3u

/* Columns that are no buckets. */
enum { COLUMN_HINT, COLUMN_SUM, COLUMN_COUNT, COLUMN_ZERO, COLUMN_BUCKETS };

static uint32_t bucket_count(const struct tsdb_histogram *histogram)
{
    return histogram->positive.bucket_count + histogram->negative.bucket_count;
}

static uint64_t bucket(const struct tsdb_histogram *histogram, uint32_t index)
{
    const uint32_t positive = histogram->positive.bucket_count;

    return index < positive ? histogram->positive.buckets[index]
                            : histogram->negative.buckets[index - positive];
}

/* ---- writing -------------------------------------------------------------------------------- */

uint32_t tsdb_histograms_block(const struct tsdb_histogram *histograms, uint32_t count)
{
    uint32_t block = 1;

    while (block < count && block < TSDB_HISTOGRAMS_BLOCK &&
           tsdb_histogram_same_layout(histograms, histograms + block)) {
        block++;
    }
    return block;
}

size_t tsdb_histograms_bytes_max(const struct tsdb_histogram *first, uint32_t count)
{
    size_t column = VARINT_U32_BYTES_MAX + tsdb_column_bytes_max(count);

    return 2 + histogram_layout_bytes_max(first) + column * (COLUMN_BUCKETS + bucket_count(first));
}

/* What `column` holds of a histogram. */
static uint64_t entry(const struct tsdb_histogram *histogram, uint32_t column)
{
    switch (column) {
    case COLUMN_HINT:
        return histogram->reset_hint;
    case COLUMN_SUM:
        return histogram->sum_bits;
    case COLUMN_COUNT:
        return histogram->count;
    case COLUMN_ZERO:
        return histogram->zero_count;
    default:
        return bucket(histogram, column - COLUMN_BUCKETS);
    }
}

/* The column comes behind a length of which it is not known how many bytes it has: it is made where
 * the longest length would end, and moved. */
static uint8_t *put_column(const uint64_t *values, uint32_t count, int64_t *scratch, uint8_t *to)
{
    size_t bytes = tsdb_column_encode(values, count, scratch, to + VARINT_U32_BYTES_MAX);
    size_t length_bytes = varint_put_u32(to, (uint32_t)bytes);

    memmove(to + length_bytes, to + VARINT_U32_BYTES_MAX, bytes);
    return to + length_bytes + bytes;
}

size_t tsdb_histograms_encode(const struct tsdb_histogram *histograms, uint32_t count,
                              const struct tsdb_histogram *before, uint64_t *scratch,
                              uint8_t *ret_bytes)
{
    const bool is_same = before != NULL && tsdb_histogram_same_layout(before, histograms);
    const uint32_t columns = COLUMN_BUCKETS + bucket_count(histograms);
    uint8_t *to = ret_bytes;

    Q_ASSERT(count > 0 && count <= TSDB_HISTOGRAMS_BLOCK);
    Q_ASSERT(tsdb_histograms_block(histograms, count) == count); /* invariant 1 */
    *to++ = (uint8_t)((is_same ? FLAG_SAME_LAYOUT : 0) | (histograms->is_float ? FLAG_FLOAT : 0));
    *to++ = (uint8_t)(count - 1);
    if (!is_same) {
        to = histogram_layout_put(histograms, to);
    }
    for (uint32_t column = 0; column < columns; column++) {
        for (uint32_t i = 0; i < count; i++) {
            scratch[i] = entry(&histograms[i], column);
        }
        to = put_column(scratch, count, (int64_t *)scratch + TSDB_HISTOGRAMS_BLOCK, to);
    }
    Q_ASSERT((size_t)(to - ret_bytes) <= tsdb_histograms_bytes_max(histograms, count));
    return (size_t)(to - ret_bytes);
}

/* ---- reading -------------------------------------------------------------------------------- */

void tsdb_histograms_open(struct tsdb_histograms_reader *reader, const uint8_t *bytes,
                          size_t byte_count, uint32_t count)
{
    *reader = (struct tsdb_histograms_reader){
        .at = bytes, .end = bytes + byte_count, .left = count, .is_corrupt = false};
}

/* A block's head. */
struct head {
    const uint8_t *columns;
    uint32_t count;
    struct tsdb_histogram layout; /* of the first histogram; its arrays begin the room */
};

/* Where the block's layout is told, and with *ret_head what is before it. NULL: it is damaged. */
static const uint8_t *find_layout(const struct tsdb_histograms_reader *reader,
                                  struct head *ret_head)
{
    if (reader->end - reader->at < 2 || reader->at[0] > FLAGS_MAX) {
        return NULL;
    }
    const bool is_same = (reader->at[0] & FLAG_SAME_LAYOUT) != 0;
    const bool is_float = (reader->at[0] & FLAG_FLOAT) != 0;
    ret_head->count = reader->at[1] + 1u;
    ret_head->columns = reader->at + 2;
    if (ret_head->count > size_min(reader->left, TSDB_HISTOGRAMS_BLOCK) ||
        (is_same && (reader->layout == NULL || reader->is_float != is_float))) {
        return NULL;
    }
    return is_same ? reader->layout : reader->at + 2;
}

/* Reads a head. QUARRY_NO_MEMORY: the layout does not fit the room. */
static enum quarry_status get_head(struct tsdb_histograms_reader *reader,
                                   struct tsdb_histogram_room room, struct head *ret_head)
{
    const uint8_t *layout = find_layout(reader, ret_head), *at = layout;

    if (layout == NULL) {
        return QUARRY_CORRUPT;
    }
    enum quarry_status status = histogram_layout_get(&at, reader->end, room, &ret_head->layout);
    if (status != QUARRY_OK) {
        return status;
    }
    ret_head->columns = layout == reader->layout ? ret_head->columns : at;
    ret_head->layout.is_float = (reader->at[0] & FLAG_FLOAT) != 0;
    return QUARRY_OK;
}

/* Reads one column into `ret_values`, TSDB_COLUMN_BLOCK of room. Returns what is behind it, or
 * NULL. */
static const uint8_t *get_column(const uint8_t *at, const uint8_t *end, uint32_t count,
                                 uint64_t *ret_values)
{
    struct tsdb_column_reader reader;
    uint32_t bytes;
    size_t length_bytes = varint_get_u32(at, end, &bytes);

    if (length_bytes == 0 || bytes > (size_t)(end - at) - length_bytes ||
        tsdb_column_open(&reader, at + length_bytes, bytes, count) != QUARRY_OK ||
        tsdb_column_take(&reader, ret_values) != count) {
        return NULL;
    }
    return at + length_bytes + bytes;
}

/* Puts a column's values in their places. Returns whether they may be there. */
static bool put_values(struct tsdb_histogram *histograms, uint32_t count, uint32_t column,
                       const uint64_t *values, uint64_t *matrix, uint32_t stride)
{
    for (uint32_t i = 0; i < count; i++) {
        switch (column) {
        case COLUMN_HINT:
            if (values[i] > TSDB_RESET_GAUGE) {
                return false;
            }
            histograms[i].reset_hint = (enum tsdb_reset_hint)values[i];
            break;
        case COLUMN_SUM:
            histograms[i].sum_bits = values[i];
            break;
        case COLUMN_COUNT:
            histograms[i].count = values[i];
            break;
        case COLUMN_ZERO:
            histograms[i].zero_count = values[i];
            break;
        default:
            matrix[(size_t)i * stride + column - COLUMN_BUCKETS] = values[i];
            break;
        }
    }
    return true;
}

/* Reads all columns. `matrix`: a row of buckets for each histogram. Returns what is behind, or
 * NULL. */
static const uint8_t *get_columns(const struct tsdb_histograms_reader *reader,
                                  const struct head *head, struct tsdb_histogram *histograms,
                                  uint64_t *matrix)
{
    const uint32_t stride = bucket_count(&head->layout);
    const uint8_t *at = head->columns;
    uint64_t values[TSDB_COLUMN_BLOCK];

    for (uint32_t column = 0; column < COLUMN_BUCKETS + stride; column++) {
        at = get_column(at, reader->end, head->count, values);
        if (at == NULL || !put_values(histograms, head->count, column, values, matrix, stride)) {
            return NULL;
        }
    }
    return at;
}

/* Makes the block's histograms: the layout's arrays are shared, buckets are rows of the matrix. */
static void share_layout(const struct head *head, struct tsdb_histogram *histograms,
                         const uint64_t *matrix)
{
    const uint32_t stride = bucket_count(&head->layout);

    for (uint32_t i = 0; i < head->count; i++) {
        const uint64_t *row = matrix + (size_t)i * stride;
        histograms[i] = head->layout;
        histograms[i].positive.buckets = row;
        histograms[i].negative.buckets = row + head->layout.positive.bucket_count;
    }
}

/* The words for a block of a layout that needs `layout_words` with one row of buckets. */
static size_t words_of(const struct head *head, size_t layout_words)
{
    return layout_words + (size_t)head->count * bucket_count(&head->layout);
}

static enum quarry_status give_up(struct tsdb_histograms_reader *reader)
{
    reader->is_corrupt = true;
    reader->left = 0;
    return QUARRY_CORRUPT;
}

enum quarry_status tsdb_histograms_take(struct tsdb_histograms_reader *reader,
                                        struct tsdb_histogram_room room,
                                        struct tsdb_histogram *ret_histograms, uint32_t *ret_count,
                                        size_t *ret_words)
{
    struct head head;

    if (reader->is_corrupt) {
        return QUARRY_CORRUPT;
    }
    if (reader->left == 0) {
        *ret_count = 0;
        return QUARRY_OK;
    }
    enum quarry_status status = get_head(reader, room, &head);
    if (status == QUARRY_NO_MEMORY) {
        *ret_words = TSDB_HISTOGRAM_WORDS_MAX;
        return status;
    }
    if (status != QUARRY_OK) {
        return give_up(reader);
    }
    const size_t layout_words = tsdb_histogram_words(&head.layout);
    if (words_of(&head, layout_words) > room.count) {
        *ret_words = words_of(&head, layout_words);
        return QUARRY_NO_MEMORY;
    }
    share_layout(&head, ret_histograms, room.words + layout_words);
    const uint8_t *behind = get_columns(reader, &head, ret_histograms, room.words + layout_words);
    if (behind == NULL) {
        return give_up(reader);
    }
    const bool is_same = (reader->at[0] & FLAG_SAME_LAYOUT) != 0;
    reader->layout = is_same ? reader->layout : reader->at + 2;
    reader->is_float = head.layout.is_float;
    reader->at = behind;
    reader->left -= head.count;
    *ret_count = head.count;
    return QUARRY_OK;
}
