/*
 * A chunk's samples, whatever they are. No more than a switch, that readers of blocks and of the
 * chunks of a head share.
 */
#include <tsdb/block_samples.h>

void block_samples_init(struct block_samples *samples, struct tsdb_memory *memory)
{
    *samples = (struct block_samples){.encoding = BLOCK_ENCODING_XOR};
    histogram_chunk_iterator_init(&samples->histograms, memory);
}

void block_samples_fini(struct block_samples *samples)
{
    histogram_chunk_iterator_fini(&samples->histograms);
}

enum quarry_status block_samples_begin(struct block_samples *samples, enum block_encoding encoding,
                                       const uint8_t *bytes, size_t byte_count)
{
    samples->encoding = encoding;
    if (encoding == BLOCK_ENCODING_XOR) {
        return xor_chunk_read(&samples->floats, bytes, byte_count);
    }
    return histogram_chunk_read(&samples->histograms, bytes, byte_count,
                                encoding == BLOCK_ENCODING_FLOAT_HISTOGRAM);
}

enum quarry_status block_samples_next(struct block_samples *samples,
                                      struct block_sample *ret_sample)
{
    const struct tsdb_histogram *histogram = NULL;
    struct tsdb_sample sample;
    enum quarry_status status;

    if (samples->encoding == BLOCK_ENCODING_XOR) {
        status = xor_chunk_next(&samples->floats, &sample);
        if (status == QUARRY_OK) {
            *ret_sample = (struct block_sample){.t_ms = sample.t_ms, .bits = sample.bits};
        }
        return status;
    }
    status = histogram_chunk_next(&samples->histograms, &histogram);
    if (status == QUARRY_OK) {
        *ret_sample = (struct block_sample){.t_ms = histogram->t_ms, .histogram = histogram};
    }
    return status;
}

const char *block_samples_text(enum quarry_status status)
{
    if (status == QUARRY_NO_MEMORY) {
        return "no memory for the histograms of a chunk";
    }
    if (status == QUARRY_UNSUPPORTED) {
        return "histograms of a schema that is not known";
    }
    return status == QUARRY_TOO_LARGE ? "histograms of more than 4096 spans, buckets or boundaries"
                                      : "samples of a chunk are not what it counts";
}
