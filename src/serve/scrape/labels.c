/*
 * Labels of samples: what the page says, and what the target is.
 *
 *     page      a{job="x",le="1"}       target   job="node", instance="h:80"
 *     honours   a{instance="h:80",job="x",le="1"}
 *     else      a{exported_job="x",instance="h:80",job="node",le="1"}
 *
 * Of labels that both have, the target's holds, and the page's gets "exported_" in front, as often
 * as it takes to be nobody's: shorter names first. Where the page's are honoured they hold, and one
 * that it has without a value (`instance=""`) is left out.
 *
 * Locking: none. Cost: some microseconds, once for a line that was not there the time before.
 *
 * Source: Prometheus 2.42, which does the same in the same order.
 */
#include <serve/scrape/state.h>

#include <inttypes.h>
#include <string.h>

#define EXPORTED "exported_"
/* Names with what is in front of them: for many times more labels than anybody means. */
#define NAMES_BYTES 16384u
/* What a label has around it in a key: three tags and three lengths. */
#define KEY_LABEL_BYTES 33u

/* Far above what stores take, which say so themselves. */
static const struct tsdb_label_limits limits = {
    .label_count_max = SCRAPE_SAMPLE_LABELS_MAX,
    .name_bytes_max = UINT32_MAX,
    .value_bytes_max = UINT32_MAX,
};

/* ---- room ----------------------------------------------------------------------------------- */

static enum quarry_status reserve(const struct tsdb_memory *memory, char **bytes, size_t *capacity,
                                  size_t count)
{
    void *array = *bytes;
    enum quarry_status status = tsdb_memory_grow(memory, &array, capacity, count, 1);

    *bytes = array;
    return status;
}

void scrape_label_room_clear(const struct tsdb_memory *memory, struct label_room *room)
{
    tsdb_memory_give(memory, room->text.bytes);
    tsdb_memory_give(memory, room->key);
    room->text = (struct tsdb_text_room){.bytes = NULL};
    room->key = NULL;
    room->key_capacity = 0;
}

static enum quarry_status encode(const struct tsdb_memory *memory, struct label_room *room,
                                 struct tsdb_labels labels, struct tsdb_slice *ret_key)
{
    size_t bytes = 0;

    for (size_t i = 0; i < labels.count; i++) {
        bytes += labels.labels[i].name.count + labels.labels[i].value.count + KEY_LABEL_BYTES;
    }
    enum quarry_status status = reserve(memory, &room->key, &room->key_capacity, bytes);
    if (status == QUARRY_OK) {
        *ret_key = (struct tsdb_slice){room->key,
                                       tsdb_labels_encode(labels, room->key, room->key_capacity)};
        Q_ASSERT(ret_key->count > 0);
    }
    return status;
}

/* ---- joining -------------------------------------------------------------------------------- */

static bool has_name(const struct tsdb_label_set *set, struct tsdb_slice name)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (tsdb_slice_equal(set->labels[i].name, name)) {
            return true;
        }
    }
    return false;
}

static const struct tsdb_label *find(struct tsdb_labels labels, struct tsdb_slice name)
{
    for (size_t i = 0; i < labels.count; i++) {
        if (tsdb_slice_equal(labels.labels[i].name, name)) {
            return &labels.labels[i];
        }
    }
    return NULL;
}

static void honour(struct tsdb_label_set *set, struct tsdb_labels exposed,
                   const struct facts *facts, const struct tsdb_exposition_line *line)
{
    for (size_t i = 0; i < exposed.count; i++) {
        tsdb_label_set_add(set, exposed.labels[i].name, exposed.labels[i].value);
    }
    for (size_t i = 0; i < facts->labels.count; i++) {
        const struct tsdb_label *label = &facts->labels.labels[i];
        if (!tsdb_exposition_names(line, label->name)) {
            tsdb_label_set_add(set, label->name, label->value);
        }
    }
}

/* Adds a label of the page under a name that nobody has. False: its names leave the room. */
static bool add_exported(struct tsdb_label_set *set, struct tsdb_labels exposed,
                         struct tsdb_text_room *text, const struct tsdb_label *label)
{
    struct tsdb_slice name = label->name;

    do {
        size_t count = name.count + strlen(EXPORTED);
        if (count > text->capacity - text->used) {
            return false;
        }
        char *to = text->bytes + text->used;
        memcpy(to, EXPORTED, strlen(EXPORTED));
        memcpy(to + strlen(EXPORTED), name.bytes, name.count);
        text->used += count;
        name = (struct tsdb_slice){to, count};
    } while (has_name(set, name) || find(exposed, name) != NULL);
    tsdb_label_set_add(set, name, label->value);
    return true;
}

/* The label of the page that the target has too, the next after `name` by length and bytes. */
static const struct tsdb_label *next_conflict(struct tsdb_labels exposed, struct tsdb_labels own,
                                              const struct tsdb_label *after)
{
    const struct tsdb_label *next = NULL;

    for (size_t i = 0; i < own.count; i++) {
        const struct tsdb_label *label = find(exposed, own.labels[i].name);
        if (label == NULL ||
            (after != NULL && (label->name.count < after->name.count ||
                               (label->name.count == after->name.count &&
                                tsdb_slice_compare(label->name, after->name) <= 0)))) {
            continue;
        }
        if (next == NULL || label->name.count < next->name.count) {
            next = label;
        }
    }
    return next;
}

static bool displace(struct tsdb_label_set *set, struct tsdb_labels exposed, struct tsdb_labels own,
                     struct tsdb_text_room *text)
{
    for (size_t i = 0; i < exposed.count; i++) {
        if (find(own, exposed.labels[i].name) == NULL) {
            tsdb_label_set_add(set, exposed.labels[i].name, exposed.labels[i].value);
        }
    }
    for (size_t i = 0; i < own.count; i++) {
        tsdb_label_set_add(set, own.labels[i].name, own.labels[i].value);
    }
    const struct tsdb_label *label = NULL;
    while ((label = next_conflict(exposed, own, label)) != NULL) {
        if (!add_exported(set, exposed, text, label)) {
            return false;
        }
    }
    return true;
}

/* ---- a job's limits ------------------------------------------------------------------------- */

static enum quarry_status check_limits(const struct scrape_job *job, struct tsdb_labels labels,
                                       struct quarry_error *error)
{
    struct tsdb_slice metric = tsdb_labels_metric_name(labels);
    int told = (int)size_min(metric.count, 50);

    if (job->label_count_max != 0 && labels.count > job->label_count_max) {
        return error_set(error, QUARRY_TOO_LARGE, "%.*s has %zu labels, at most %" PRIu64, told,
                         metric.bytes, labels.count, job->label_count_max);
    }
    for (size_t i = 0; i < labels.count; i++) {
        const struct tsdb_label *label = &labels.labels[i];
        if (job->label_name_bytes_max != 0 && label->name.count > job->label_name_bytes_max) {
            return error_set(error, QUARRY_TOO_LARGE,
                             "%.*s has a label name of %zu bytes, at most %" PRIu64, told,
                             metric.bytes, label->name.count, job->label_name_bytes_max);
        }
        if (job->label_value_bytes_max != 0 && label->value.count > job->label_value_bytes_max) {
            return error_set(error, QUARRY_TOO_LARGE,
                             "%.*s has a label value of %zu bytes, at most %" PRIu64, told,
                             metric.bytes, label->value.count, job->label_value_bytes_max);
        }
    }
    return QUARRY_OK;
}

/* ---- keys ----------------------------------------------------------------------------------- */

static enum quarry_status read_exposed(struct label_room *room,
                                       const struct tsdb_exposition_line *line,
                                       struct tsdb_labels *ret_labels, struct quarry_error *error)
{
    struct tsdb_label_set set;

    tsdb_label_set_init(&set, &limits, room->exposed);
    bool has_room = tsdb_exposition_labels(line, &set, &room->text);
    Q_ASSERT(has_room); /* as many bytes as the line has are enough */
    if (tsdb_label_set_finish_series(&set, ret_labels) != TSDB_LABELS_GOOD) {
        tsdb_label_set_tell(&set, error);
        return QUARRY_BAD_INPUT;
    }
    return QUARRY_OK;
}

static enum quarry_status join(struct label_room *room, const struct facts *facts,
                               const struct tsdb_exposition_line *line, struct tsdb_labels exposed,
                               struct tsdb_labels *ret_labels, struct quarry_error *error)
{
    struct tsdb_label_set set;
    bool is_joined = true;

    tsdb_label_set_init(&set, &limits, room->final);
    if (facts->job->settings.honors_labels) {
        honour(&set, exposed, facts, line);
    } else {
        is_joined = displace(&set, exposed, facts->labels, &room->text);
    }
    if (!is_joined) {
        return error_set(error, QUARRY_TOO_LARGE, "names of labels have more than %u bytes",
                         NAMES_BYTES);
    }
    if (tsdb_label_set_finish_series(&set, ret_labels) != TSDB_LABELS_GOOD) {
        tsdb_label_set_tell(&set, error);
        return QUARRY_BAD_INPUT;
    }
    return check_limits(&facts->job->settings, *ret_labels, error);
}

enum quarry_status scrape_labels_key(const struct tsdb_memory *memory, struct label_room *room,
                                     const struct facts *facts,
                                     const struct tsdb_exposition_line *line,
                                     struct tsdb_slice *ret_key, struct quarry_error *error)
{
    struct tsdb_labels exposed, labels;
    enum quarry_status status =
        reserve(memory, &room->text.bytes, &room->text.capacity, line->series.count + NAMES_BYTES);

    if (status != QUARRY_OK) {
        return error_set(error, status, "no memory for labels");
    }
    room->text.used = 0;
    status = read_exposed(room, line, &exposed, error);
    if (status == QUARRY_OK) {
        status = join(room, facts, line, exposed, &labels, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    status = encode(memory, room, labels, ret_key);
    return status == QUARRY_OK ? status : error_set(error, status, "no memory for labels");
}

enum quarry_status scrape_labels_report_key(const struct tsdb_memory *memory,
                                            struct label_room *room, const struct facts *facts,
                                            const char *metric, struct tsdb_slice *ret_key)
{
    struct tsdb_label_set set;
    struct tsdb_labels labels = {NULL, 0};

    tsdb_label_set_init(&set, &limits, room->final);
    tsdb_label_set_add(&set, tsdb_slice_of(TSDB_METRIC_NAME), tsdb_slice_of(metric));
    for (size_t i = 0; i < facts->labels.count; i++) {
        tsdb_label_set_add(&set, facts->labels.labels[i].name, facts->labels.labels[i].value);
    }
    enum tsdb_label_fault fault = tsdb_label_set_finish_series(&set, &labels);
    Q_ASSERT(fault == TSDB_LABELS_GOOD); /* facts.c has looked at them */
    return encode(memory, room, labels, ret_key);
}
