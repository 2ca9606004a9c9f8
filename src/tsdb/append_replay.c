/*
 * Appending what a log has: it was judged and acknowledged when it came first, so anything goes, in
 * any order. What is out of order within its series becomes late.
 *
 *     samples     up to TSDB_REPLAY_SAMPLES_MAX at once, an entry each
 *     histogram   one at a time: its bytes are decoded, looked at, and appended
 *
 * What is of a window that was read from its file fills it.
 *
 * A sample of a moment that another value came for before is passed over: both were acknowledged.
 *
 * Invariants
 *   1. A histogram is looked at as one that a sender brings: bytes of a file are not trusted.
 *
 * Locking: as appending. Cost: of a histogram two microseconds beside its appending.
 */
#include <tsdb/append.h>

/* All of it was judged when it was appended: anything goes, in any order. */
static const struct tsdb_rules rules_of_replay = {
    .order_min_ms = INT64_MIN, .late_min_ms = INT64_MIN, .max_ms = INT64_MAX};

/* What a replay is put into. */
struct replay_room {
    struct quarry_tsdb_entry entries[TSDB_REPLAY_SAMPLES_MAX];
    struct quarry_tsdb_sample samples[TSDB_REPLAY_SAMPLES_MAX];
    uint32_t ids[TSDB_REPLAY_SAMPLES_MAX];
    struct tsdb_append_item items[TSDB_REPLAY_SAMPLES_MAX];
    uint32_t order[TSDB_REPLAY_SAMPLES_MAX];
    uint32_t promised[TSDB_SHARD_COUNT * TSDB_VIEW_WINDOWS_MAX];
    struct quarry_tsdb_result result;
};

uint64_t tsdb_append_replayed(struct quarry_tsdb *tsdb, const struct tsdb_log_sample *samples,
                              size_t count)
{
    struct replay_room *room = tsdb_memory_take(&tsdb->small[TSDB_PART_QUERY], sizeof(*room));

    if (room == NULL) {
        return count;
    }
    Q_ASSERT(count != 0 && count <= TSDB_REPLAY_SAMPLES_MAX);
    for (size_t i = 0; i < count; i++) {
        room->ids[i] = samples[i].series;
        room->samples[i] = (struct quarry_tsdb_sample){samples[i].t_ms, samples[i].bits};
        room->entries[i] =
            (struct quarry_tsdb_entry){.samples = &room->samples[i], .sample_count = 1};
    }
    const struct quarry_tsdb_request request = {
        .is_partial = true, .entries = room->entries, .entry_count = count};
    struct tsdb_append append = {.tsdb = tsdb,
                                 .request = &request,
                                 .result = &room->result,
                                 .first_ms = samples[0].t_ms,
                                 .rules = rules_of_replay,
                                 .fills = true,
                                 .now_ns = os_monotonic_ns(os_real()),
                                 .known_ids = room->ids,
                                 .items = room->items,
                                 .order = room->order,
                                 .promised = room->promised};
    room->result = (struct quarry_tsdb_result){.taken_count = 0};
    tsdb_append_attempts(&append);
    tsdb_time_raise(tsdb, append.taken_max_ms);
    /* A duplicate is another value of a moment that had come in order before. */
    uint64_t lost_count =
        count - room->result.taken_count - room->result.refused_counts[QUARRY_TSDB_DUPLICATE];
    tsdb_memory_give(&tsdb->small[TSDB_PART_QUERY], room);
    return lost_count;
}

/* What a histogram is put into. */
struct histogram_room {
    struct quarry_tsdb_histogram histogram;
    struct quarry_tsdb_entry entry;
    struct tsdb_append_item item;
    uint32_t id, order;
    uint32_t promised[TSDB_SHARD_COUNT * TSDB_VIEW_WINDOWS_MAX];
    struct quarry_tsdb_result result;
    uint64_t words[TSDB_HISTOGRAM_WORDS_MAX];
};

static enum quarry_status histogram_get(const struct tsdb_log_histogram *from,
                                        struct histogram_room *room)
{
    const struct tsdb_histogram_room words = {room->words, TSDB_HISTOGRAM_WORDS_MAX};
    size_t consumed = 0;
    enum quarry_status status =
        tsdb_histogram_decode((const uint8_t *)from->bytes.bytes, from->bytes.count, NULL, words,
                              &room->histogram, &consumed);

    room->histogram.t_ms = from->t_ms;
    return status == QUARRY_OK && consumed == from->bytes.count &&
                   quarry_tsdb_histogram_check(&room->histogram, NULL) == QUARRY_OK
               ? QUARRY_OK
               : QUARRY_CORRUPT;
}

static enum quarry_status histogram_put(struct quarry_tsdb *tsdb, struct histogram_room *room)
{
    const struct quarry_tsdb_request request = {
        .is_partial = true, .entries = &room->entry, .entry_count = 1};
    struct tsdb_append append = {.tsdb = tsdb,
                                 .request = &request,
                                 .result = &room->result,
                                 .first_ms = room->histogram.t_ms,
                                 .rules = rules_of_replay,
                                 .fills = true,
                                 .now_ns = os_monotonic_ns(os_real()),
                                 .known_ids = &room->id,
                                 .items = &room->item,
                                 .order = &room->order,
                                 .promised = room->promised};
    void *scratch = NULL;

    room->entry = (struct quarry_tsdb_entry){.histograms = &room->histogram, .histogram_count = 1};
    room->result = (struct quarry_tsdb_result){.taken_count = 0};
    if (!tsdb_append_scratch(&append, &scratch)) {
        return QUARRY_NO_MEMORY;
    }
    tsdb_append_attempts(&append);
    tsdb_time_raise(tsdb, append.taken_max_ms);
    tsdb_memory_give(&tsdb->small[TSDB_PART_QUERY], scratch);
    return room->result.taken_count + room->result.refused_counts[QUARRY_TSDB_DUPLICATE] == 1
               ? QUARRY_OK
               : QUARRY_NO_MEMORY;
}

enum quarry_status tsdb_append_replayed_histogram(struct quarry_tsdb *tsdb,
                                                  const struct tsdb_log_histogram *histogram)
{
    const struct tsdb_memory *memory = &tsdb->small[TSDB_PART_QUERY];
    struct histogram_room *room = tsdb_memory_take(memory, sizeof(*room));

    if (room == NULL) {
        return QUARRY_NO_MEMORY;
    }
    room->id = histogram->series;
    enum quarry_status status = histogram_get(histogram, room);
    if (status == QUARRY_OK) {
        status = histogram_put(tsdb, room);
    }
    tsdb_memory_give(memory, room);
    return status;
}
