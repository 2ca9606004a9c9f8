/*
 * What a request with histograms needs before any lock is taken: to know that they are sound, and
 * memory to encode them in.
 *
 *     scratch   | words: a histogram decoded | bytes: one encoded | spares: chunklets for it |
 *
 * One scratch serves all of a request, since it appends one after another. It is as large as the
 * largest histogram of the request needs; what the last one of a series needs beside that is told
 * by a code that does not look at it (shard_histogram.c).
 *
 * Histograms that break the rules are refused, and passed over from then on: the check is made
 * again for that, since bad ones are rare and a note of each good one would cost all.
 */
#include <tsdb/append.h>

bool tsdb_append_is_bad_slow(const struct tsdb_point *point)
{
    return point->histogram != NULL &&
           quarry_tsdb_histogram_check(point->histogram, NULL) != QUARRY_OK;
}

/* What the scratch must hold. */
struct sizes {
    size_t words, bytes;
    size_t good_count, total_bytes; /* of all that are sound */
    bool has_histograms;
};

static void sizes_add(struct tsdb_append *append, const struct tsdb_histogram *histogram,
                      struct sizes *sizes)
{
    sizes->has_histograms = true;
    if (quarry_tsdb_histogram_check(histogram, NULL) != QUARRY_OK) {
        append->has_bad_histograms = true;
        return;
    }
    sizes->words = size_max_u64(sizes->words, tsdb_histogram_words(histogram));
    size_t bytes = tsdb_histogram_bytes_need(histogram);
    sizes->bytes = size_max_u64(sizes->bytes, bytes);
    sizes->total_bytes += bytes;
    sizes->good_count++;
}

static struct sizes sizes_of(struct tsdb_append *append)
{
    const struct quarry_tsdb_request *request = append->request;
    struct sizes sizes = {.words = 1};

    for (size_t i = 0; i < request->entry_count; i++) {
        const struct quarry_tsdb_entry *entry = &request->entries[i];
        for (size_t k = 0; k < entry->histogram_count; k++) {
            sizes_add(append, &entry->histograms[k], &sizes);
        }
    }
    return sizes;
}

bool tsdb_append_scratch(struct tsdb_append *append, void **ret_taken)
{
    struct tsdb_histogram_scratch *scratch = &append->scratch;
    const struct sizes sizes = sizes_of(append);

    *ret_taken = NULL;
    if (!sizes.has_histograms) {
        return true;
    }
    append->histogram_count = sizes.good_count;
    append->histogram_bytes = sizes.total_bytes;
    scratch->room.count = sizes.words;
    scratch->byte_capacity = size_align_up_u64(sizes.bytes + TSDB_SHARD_HISTOGRAM_HEAD, 8);
    scratch->spare_capacity = tsdb_shard_histogram_spares(sizes.bytes);
    *ret_taken = tsdb_memory_take(&append->tsdb->small[TSDB_PART_QUERY],
                                  sizes.words * sizeof(*scratch->room.words) +
                                      scratch->spare_capacity * sizeof(*scratch->spares) +
                                      scratch->byte_capacity);
    if (*ret_taken == NULL) {
        return false;
    }
    scratch->room.words = *ret_taken;
    scratch->spares = (struct tsdb_spare *)(void *)(scratch->room.words + sizes.words);
    scratch->bytes = (uint8_t *)(scratch->spares + scratch->spare_capacity);
    return true;
}

bool tsdb_append_logged_take(struct tsdb_append *append, void **ret_taken)
{
    const size_t each = sizeof(*append->logged_histograms) + sizeof(*append->encoded);

    *ret_taken = NULL;
    if (append->logged == NULL || append->histogram_count == 0) {
        return true;
    }
    *ret_taken = tsdb_memory_take(&append->tsdb->small[TSDB_PART_QUERY],
                                  append->histogram_count * each + append->histogram_bytes);
    append->logged_histograms = *ret_taken;
    append->encoded =
        (struct tsdb_log_histogram *)(void *)(append->logged_histograms + append->histogram_count);
    append->encoded_bytes = (uint8_t *)(append->encoded + append->histogram_count);
    return *ret_taken != NULL;
}

static void entry_refuse_bad(struct tsdb_append *append, uint32_t index)
{
    struct tsdb_points points = {.entry = &append->request->entries[index]};
    struct tsdb_point point;

    while (tsdb_points_next(&points, &point)) {
        if (tsdb_append_is_bad_slow(&point)) {
            tsdb_append_refuse(append, index, point.index, 1, QUARRY_TSDB_BAD_HISTOGRAM);
        }
    }
}

void tsdb_append_refuse_bad(struct tsdb_append *append)
{
    for (uint32_t i = 0; i < append->request->entry_count && append->has_bad_histograms; i++) {
        if (append->items[i].id != TSDB_SERIES_NONE) {
            entry_refuse_bad(append, i);
        }
    }
}
