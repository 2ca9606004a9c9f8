/*
 * The head of a Prometheus data directory as a source.
 *
 * Its log names series by numbers, so all labels are kept for the time of a walk: in a table with
 * open addresses, by number. What was deleted is a list of spans for each series, which is read
 * before samples are: those in a span are left out. Prometheus writes no sample into a span that it
 * has deleted but by bringing it again later; such a one is left out too.
 *
 * Locking: none. Memory: of the tool's account; the labels of all series.
 */
#include <cli/tsdb_source.h>

#include <stdlib.h>
#include <string.h>

struct span {
    struct span *next;
    int64_t min_ms, max_ms;
};

struct known {
    uint64_t ref;
    struct tsdb_labels labels; /* own, in one piece */
    struct span *deleted;      /* own */
    bool is_taken;
};

struct head {
    struct tsdb_memory *memory;
    const struct tsdb_source_visitor *visitor;
    struct known *known; /* own; a power of two */
    size_t capacity, count;
    const struct known *last; /* whose series was told of */
};

static struct known *find(const struct head *head, uint64_t ref)
{
    const size_t mask = head->capacity - 1;
    size_t at = (size_t)(ref * UINT64_C(0x9e3779b97f4a7c15) >> 20) & mask;

    while (head->known[at].is_taken && head->known[at].ref != ref) {
        at = (at + 1) & mask;
    }
    return &head->known[at];
}

static enum quarry_status grow(struct head *head)
{
    struct head larger = *head;

    larger.capacity = head->capacity == 0 ? 1024 : 2 * head->capacity;
    larger.known = tsdb_memory_take_zero(head->memory, larger.capacity * sizeof *larger.known);
    if (larger.known == NULL) {
        return QUARRY_NO_MEMORY;
    }
    for (size_t i = 0; i < head->capacity; i++) {
        if (head->known[i].is_taken) {
            *find(&larger, head->known[i].ref) = head->known[i];
        }
    }
    tsdb_memory_give(head->memory, head->known);
    head->known = larger.known;
    head->capacity = larger.capacity;
    head->last = NULL;
    return QUARRY_OK;
}

static struct tsdb_slice put_text(char **at, struct tsdb_slice text)
{
    const struct tsdb_slice copy = {*at, text.count};

    memcpy(*at, text.bytes, text.count);
    *at += text.count;
    return copy;
}

static bool copy_labels(const struct head *head, const struct tsdb_labels *labels,
                        struct tsdb_labels *ret_labels)
{
    size_t byte_count = labels->count * sizeof *labels->labels;

    for (size_t i = 0; i < labels->count; i++) {
        byte_count += labels->labels[i].name.count + labels->labels[i].value.count;
    }
    struct tsdb_label *copy = tsdb_memory_take(head->memory, byte_count + 1);
    if (copy == NULL) {
        return false;
    }
    char *at = (char *)(copy + labels->count);
    for (size_t i = 0; i < labels->count; i++) {
        copy[i].name = put_text(&at, labels->labels[i].name);
        copy[i].value = put_text(&at, labels->labels[i].value);
    }
    *ret_labels = (struct tsdb_labels){copy, labels->count};
    return true;
}

/* ---- what the head tells -------------------------------------------------------------------- */

static enum quarry_status take_series(void *argument, uint64_t ref,
                                      const struct tsdb_labels *labels, struct quarry_error *error)
{
    struct head *head = argument;

    if (head->capacity == 0 || head->count >= head->capacity / 2) {
        const enum quarry_status status = grow(head);
        if (status != QUARRY_OK) {
            return error_set(error, status, "no memory for %zu series", head->count);
        }
    }
    struct known *known = find(head, ref);
    if (known->is_taken) {
        return QUARRY_OK;
    }
    if (!copy_labels(head, labels, &known->labels)) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for %zu series", head->count);
    }
    known->ref = ref;
    known->is_taken = true;
    head->count++;
    return QUARRY_OK;
}

static enum quarry_status take_deleted(void *argument, uint64_t ref, int64_t min_ms, int64_t max_ms,
                                       struct quarry_error *error)
{
    struct head *head = argument;
    struct known *known = head->capacity == 0 ? NULL : find(head, ref);

    if (known == NULL || !known->is_taken) {
        return QUARRY_OK;
    }
    struct span *span = tsdb_memory_take(head->memory, sizeof *span);
    if (span == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for what was deleted");
    }
    *span = (struct span){.next = known->deleted, .min_ms = min_ms, .max_ms = max_ms};
    known->deleted = span;
    return QUARRY_OK;
}

static bool is_deleted(const struct known *known, int64_t t_ms)
{
    for (const struct span *span = known->deleted; span != NULL; span = span->next) {
        if (t_ms >= span->min_ms && t_ms <= span->max_ms) {
            return true;
        }
    }
    return false;
}

static enum quarry_status take_sample(void *argument, uint64_t ref,
                                      const struct block_sample *sample, struct quarry_error *error)
{
    struct head *head = argument;
    const struct known *known = head->capacity == 0 ? NULL : find(head, ref);

    (void)error;
    if (known == NULL || !known->is_taken || is_deleted(known, sample->t_ms)) {
        return QUARRY_OK;
    }
    if (known != head->last) {
        head->visitor->series(head->visitor->argument, &known->labels);
        head->last = known;
    }
    return head->visitor->sample(head->visitor->argument, sample);
}

static void fini(struct head *head)
{
    for (size_t i = 0; i < head->capacity; i++) {
        struct span *span = head->known[i].deleted;
        while (span != NULL) {
            struct span *next = span->next;
            tsdb_memory_give(head->memory, span);
            span = next;
        }
        if (head->known[i].is_taken) {
            tsdb_memory_give(head->memory, (void *)(uintptr_t)head->known[i].labels.labels);
        }
    }
    tsdb_memory_give(head->memory, head->known);
}

static enum quarry_status walk(struct head *head, struct tsdb_source *source,
                               struct quarry_error *error)
{
    const struct prometheus_visitor first = {
        .argument = head, .series = take_series, .deleted = take_deleted};
    const struct prometheus_visitor second = {.argument = head, .sample = take_sample};
    struct prometheus_head_report report = {0};
    enum quarry_status status = prometheus_head_read(head->memory, quarry_vfs_posix(), source->path,
                                                     &first, &report, error);

    if (status != QUARRY_OK) {
        return status;
    }
    if (report.losses.damage_count > 0 && !source->was_walked &&
        !head->visitor->damaged(head->visitor->argument, source->path, report.losses.first.text)) {
        return QUARRY_CANCELLED;
    }
    return prometheus_head_read(head->memory, quarry_vfs_posix(), source->path, &second, &report,
                                error);
}

enum quarry_status tsdb_source_walk_head(struct tsdb_memory *memory, struct tsdb_source *source,
                                         const struct tsdb_source_visitor *visitor,
                                         struct quarry_error *error)
{
    struct head head = {.memory = memory, .visitor = visitor};
    const enum quarry_status status = walk(&head, source, error);

    fini(&head);
    return status;
}
