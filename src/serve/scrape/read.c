/*
 * A page, line by line: known lines by their hash, new ones by their labels, all into the batch.
 *
 * Nothing is appended here: a page with a fault in its last line leaves no sample. What a limit is
 * above is counted to the end, so that the report says how many samples there are, and not kept.
 *
 * Samples without a time of their own are of the scrape's, and their series is one whose end will
 * be noted; who gives times knows better what they mean.
 *
 * Locking: none. Cost: for a known line its parsing, a hash of its bytes, two cache misses.
 */
#include <serve/scrape/state.h>

#include <inttypes.h>

/* Name, help and unit of a family, without escapes. */
#define FAMILY_BYTES_MAX 65536u

/* What a line says of a family goes to the table of metadata: whatever there is no room for is not
 * worth failing a scrape. */
static void note_family(struct scrape *scrape, const struct tsdb_exposition_line *line)
{
    static const uint32_t parts[] = {
        [TSDB_LINE_TYPE] = TSDB_METADATA_TYPE,
        [TSDB_LINE_HELP] = TSDB_METADATA_HELP,
        [TSDB_LINE_UNIT] = TSDB_METADATA_UNIT,
    };
    struct tsdb_text_room *text = &scrape->room.text;
    struct tsdb_family family;
    size_t bytes = line->name.text.count + line->text.count;
    void *array = text->bytes;

    if (scrape->options.metadata == NULL || bytes > FAMILY_BYTES_MAX) {
        return;
    }
    enum quarry_status status =
        tsdb_memory_grow(&scrape->memory, &array, &text->capacity, bytes, 1);
    text->bytes = array;
    text->used = 0;
    if (status == QUARRY_OK && tsdb_exposition_family(line, text, &family)) {
        (void)tsdb_metadata_put(scrape->options.metadata, 0, &family, parts[line->kind]);
    }
}

static enum quarry_status find_line(struct scrape *scrape, struct target *target,
                                    const struct tsdb_exposition_line *line,
                                    struct line **ret_known, bool *ret_is_new,
                                    struct quarry_error *error)
{
    struct hash_u128 hash = hash_xxh3_u128(line->series.bytes, line->series.count, scrape->seed);
    struct tsdb_slice key;

    *ret_known = series_find_line(&target->table, hash);
    *ret_is_new = *ret_known == NULL;
    if (!*ret_is_new) {
        return QUARRY_OK;
    }
    enum quarry_status status =
        scrape_labels_key(&scrape->memory, &scrape->room, target->facts, line, &key, error);
    if (status != QUARRY_OK) {
        return status;
    }
    *ret_known = series_add_line(&scrape->memory, &target->table, hash, key, scrape->seed);
    return *ret_known != NULL ? QUARRY_OK
                              : error_set(error, QUARRY_NO_MEMORY, "no memory for its series");
}

static enum quarry_status take_sample(struct scrape *scrape, struct target *target,
                                      const struct page *page,
                                      const struct tsdb_exposition_line *line,
                                      struct reading *reading, struct quarry_error *error)
{
    bool has_time = line->has_time && !target->facts->job->settings.ignores_times;
    struct tsdb_sample sample = {.t_ms = has_time ? line->sample.t_ms : page->t_ms,
                                 .bits = line->sample.bits};
    struct line *known = NULL;
    bool is_new = false;
    enum quarry_status status = find_line(scrape, target, line, &known, &is_new, error);

    if (status != QUARRY_OK) {
        return status;
    }
    known->attempt = target->attempt;
    if (!has_time) {
        known->series->attempt = target->attempt;
    }
    reading->new_count += is_new ? 1 : 0;
    status = batch_add(&scrape->memory, &scrape->batch,
                       (struct tsdb_slice){known->series->key, known->series->key_bytes}, sample,
                       has_time ? NULL : known->series, is_new ? BATCH_NEW : BATCH_KNOWN);
    if (status == QUARRY_OK && line->has_exemplar) {
        batch_add_exemplar(&scrape->memory, &scrape->batch, line);
    }
    return status == QUARRY_OK ? status : error_set(error, status, "no memory for its samples");
}

enum quarry_status scrape_read_page(struct scrape *scrape, struct target *target,
                                    const struct page *page, struct reading *ret_reading,
                                    struct quarry_error *error)
{
    struct tsdb_exposition reader = tsdb_exposition_of(page->format, page->body);
    uint64_t most = target->facts->job->settings.sample_count_max, counted = 0;
    struct tsdb_exposition_line line;
    enum quarry_status status;

    while ((status = tsdb_exposition_next(&reader, &line, error)) == QUARRY_OK) {
        if (line.kind != TSDB_LINE_SAMPLE) {
            note_family(scrape, &line);
            continue;
        }
        ret_reading->total++;
        ret_reading->added++;
        counted += line.sample.bits == TSDB_STALE_BITS ? 0 : 1;
        if (most != 0 && counted > most) {
            continue;
        }
        status = take_sample(scrape, target, page, &line, ret_reading, error);
        if (status != QUARRY_OK) {
            ret_reading->added--;
            return status;
        }
    }
    if (status == QUARRY_NOT_FOUND && most != 0 && counted > most) {
        return error_set(error, QUARRY_TOO_LARGE, "%" PRIu64 " samples, at most %" PRIu64, counted,
                         most);
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}
