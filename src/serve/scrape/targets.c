/*
 * What is known of targets, copied for who wants to know.
 *
 *     struct scrape_targets │ states │ names of jobs │ labels │ text      one object of malloc
 *
 * Under the mutex nothing is allocated: the room is measured, taken without the mutex, and measured
 * again; while it does not suffice any more, it is taken anew.
 *
 * Locking: the mutex, for a copy of it all: some 200 ns a target. The scraper waits meanwhile.
 */
#include <serve/scrape/state.h>

#include <stdlib.h>
#include <string.h>

/* What there is, in what units. */
struct room {
    size_t target_count, job_count, label_count, text_bytes;
};

/* What is written where, of an object that is large enough. */
struct copy {
    struct scrape_target_state *states;
    const char **jobs;
    struct tsdb_label *labels;
    char *text;
};

static void measure_labels(struct tsdb_labels labels, struct room *room)
{
    room->label_count += labels.count;
    for (size_t i = 0; i < labels.count; i++) {
        room->text_bytes += labels.labels[i].name.count + labels.labels[i].value.count + 2;
    }
}

/* Under the mutex. */
static struct room measure(const struct scrape *scrape)
{
    struct room room = {.target_count = scrape->target_count, .job_count = scrape->jobs->count};

    for (size_t i = 0; i < scrape->target_count; i++) {
        const struct facts *facts = scrape->targets[i]->facts;
        measure_labels(facts->discovered, &room);
        measure_labels(facts->labels, &room);
        room.text_bytes += strlen(facts->url) + strlen(facts->job->settings.name) + 2;
    }
    for (size_t i = 0; i < scrape->jobs->count; i++) {
        room.text_bytes += strlen(scrape->jobs->all[i]->settings.name) + 1;
    }
    return room;
}

static bool fits(const struct room *room, const struct room *wanted)
{
    return wanted->target_count <= room->target_count && wanted->job_count <= room->job_count &&
           wanted->label_count <= room->label_count && wanted->text_bytes <= room->text_bytes;
}

static struct tsdb_slice copy_slice(struct copy *copy, const char *bytes, size_t count)
{
    char *begin = copy->text;

    memcpy(begin, bytes, count);
    begin[count] = '\0';
    copy->text += count + 1;
    return (struct tsdb_slice){begin, count};
}

static struct tsdb_labels copy_labels(struct copy *copy, struct tsdb_labels labels)
{
    struct tsdb_label *begin = copy->labels;

    for (size_t i = 0; i < labels.count; i++) {
        const struct tsdb_label *label = &labels.labels[i];
        begin[i].name = copy_slice(copy, label->name.bytes, label->name.count);
        begin[i].value = copy_slice(copy, label->value.bytes, label->value.count);
    }
    copy->labels += labels.count;
    return (struct tsdb_labels){begin, labels.count};
}

static void copy_target(struct copy *copy, const struct target *target,
                        struct scrape_target_state *state)
{
    const struct facts *facts = target->facts;
    const struct scrape_job *job = &facts->job->settings;

    *state = (struct scrape_target_state){
        .job = copy_slice(copy, job->name, strlen(job->name)).bytes,
        .url = copy_slice(copy, facts->url, facts->job->is_self ? 0 : strlen(facts->url)).bytes,
        .discovered = copy_labels(copy, facts->discovered),
        .labels = copy_labels(copy, facts->labels),
        .health = target->health,
        .last_ms = target->last_ms,
        .last_duration_ns = target->last_duration_ns,
        .last_sample_count = target->last_sample_count,
        .interval_ns = job->interval_ns,
        .timeout_ns = job->timeout_ns,
    };
    memcpy(state->error, target->error, sizeof state->error);
}

/* Under the mutex. */
static void copy_all(const struct scrape *scrape, struct copy *copy, struct scrape_targets *targets)
{
    for (size_t i = 0; i < scrape->target_count; i++) {
        copy_target(copy, scrape->targets[i], &copy->states[i]);
    }
    for (size_t i = 0; i < scrape->jobs->count; i++) {
        const char *name = scrape->jobs->all[i]->settings.name;
        copy->jobs[i] = copy_slice(copy, name, strlen(name)).bytes;
    }
    targets->all = copy->states;
    targets->count = scrape->target_count;
    targets->job_count = scrape->jobs->count;
}

static int compare(const void *a, const void *b)
{
    const struct scrape_target_state *left = a, *right = b;
    int order = strcmp(left->job, right->job);

    return order != 0 ? order : strcmp(left->url, right->url);
}

static struct scrape_targets *take(const struct room *room, struct copy *ret_copy)
{
    size_t bytes = sizeof(struct scrape_targets) +
                   room->target_count * sizeof(struct scrape_target_state) +
                   room->job_count * sizeof(const char *) +
                   room->label_count * sizeof(struct tsdb_label) + room->text_bytes;
    struct scrape_targets *targets = malloc(bytes);

    if (targets != NULL) {
        ret_copy->states = (struct scrape_target_state *)(targets + 1);
        ret_copy->jobs = (const char **)(ret_copy->states + room->target_count);
        ret_copy->labels = (struct tsdb_label *)(ret_copy->jobs + room->job_count);
        ret_copy->text = (char *)(ret_copy->labels + room->label_count);
        *targets = (struct scrape_targets){.jobs = ret_copy->jobs};
    }
    return targets;
}

enum quarry_status scrape_read_targets(struct scrape *scrape, struct scrape_targets **ret_targets)
{
    struct scrape_targets *targets = NULL;
    struct room room = {.target_count = 0};

    for (;;) {
        struct copy copy;
        targets = take(&room, &copy);
        if (targets == NULL) {
            return QUARRY_NO_MEMORY;
        }
        os_mutex_lock(&scrape->mutex);
        struct room wanted = measure(scrape);
        bool is_enough = fits(&room, &wanted);
        if (is_enough) {
            copy_all(scrape, &copy, targets);
        }
        os_mutex_unlock(&scrape->mutex);
        if (is_enough) {
            qsort(copy.states, targets->count, sizeof copy.states[0], compare);
            *ret_targets = targets;
            return QUARRY_OK;
        }
        free(targets);
        room = wanted;
    }
}

void scrape_targets_destroy(struct scrape_targets *targets)
{
    free(targets);
}
