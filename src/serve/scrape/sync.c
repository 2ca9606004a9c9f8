/*
 * The targets that there should be, made those that there are.
 *
 *     jobs, files ──▶ facts, sorted by identity      a e     k m
 *                                                    │ │     │ │      kept: new facts, old series
 *     targets, sorted by identity                    a   f   k        e, m: new.  f: ends
 *
 * Everything that takes memory comes first: when there is none, all stays as it was, and it is
 * tried again with the next look at files. A finding that can be no target is told and left out,
 * alone.
 *
 * A target that goes has its markers written when two more of its intervals have nearly passed: if
 * it was only moved to another job it is alive there by then (collect.c).
 *
 * Locking: the mutex while the list is exchanged. Cost: O(n log n); some microseconds a target.
 */
#include <serve/scrape/state.h>

#include <stdlib.h>
#include <string.h>

#include <serve/log.h>

/* What is being put together. */
struct plan {
    struct scrape *scrape;
    struct facts **facts; /* sorted by identity, once they are all there */
    size_t count, capacity;
    struct target **targets; /* of each facts */
    size_t target_capacity;
    size_t new_count;
    enum quarry_status status; /* the first that leaves all as it was */
};

/* ---- what there should be ------------------------------------------------------------------- */

static void put_facts(struct plan *plan, struct facts *facts)
{
    void *array = plan->facts;
    enum quarry_status status =
        plan->count == SCRAPE_TARGETS_MAX
            ? QUARRY_TOO_MANY
            : tsdb_memory_grow(&plan->scrape->memory, &array, &plan->capacity, plan->count + 1,
                               sizeof(struct facts *));

    plan->facts = array;
    if (status != QUARRY_OK) {
        plan->status = status;
        scrape_facts_give(&plan->scrape->memory, facts);
        return;
    }
    plan->facts[plan->count++] = facts;
}

static void add_finding(struct plan *plan, const struct finding *finding)
{
    struct facts *facts = NULL;
    struct quarry_error error = {0};
    enum quarry_status status = QUARRY_BAD_INPUT;

    if (plan->status != QUARRY_OK) {
        return;
    }
    if (scrape_is_address(finding->address)) {
        status = scrape_facts_make(&plan->scrape->memory, finding, &facts, &error);
    } else {
        (void)error_set(&error, status, "its address is no HOST:PORT");
    }
    if (status == QUARRY_OK) {
        put_facts(plan, facts);
    } else if (status == QUARRY_NO_MEMORY) {
        plan->status = status;
    } else {
        serve_log(SERVE_LOG_ERROR, "a target is left out",
                  serve_log_text("job", finding->job->settings.name),
                  serve_log_text("file", finding->file), serve_log_text("why", error.text));
    }
}

/* Fills in the finding's labels. False: there are more than a target may have. */
static bool take_labels(json_t *object, struct tsdb_label *labels, size_t *ret_count)
{
    const char *name;
    json_t *value;
    size_t count = 0;

    json_object_foreach(object, name, value)
    {
        if (count == SCRAPE_TARGET_LABELS_MAX) {
            return false;
        }
        labels[count].name = tsdb_slice_of(name);
        labels[count++].value =
            (struct tsdb_slice){json_string_value(value), json_string_length(value)};
    }
    *ret_count = count;
    return true;
}

static void add_group(struct plan *plan, struct job *job, const char *path, const json_t *group)
{
    struct tsdb_label labels[SCRAPE_TARGET_LABELS_MAX];
    struct finding finding = {.job = job, .labels = labels, .file = path};
    const json_t *target;
    size_t i;

    if (!take_labels(json_object_get(group, "labels"), labels, &finding.label_count)) {
        serve_log(SERVE_LOG_ERROR, "a group of targets is left out: it has too many labels",
                  serve_log_text("job", job->settings.name), serve_log_text("file", path));
        return;
    }
    json_array_foreach(json_object_get(group, "targets"), i, target)
    {
        finding.address =
            (struct tsdb_slice){json_string_value(target), json_string_length(target)};
        add_finding(plan, &finding);
    }
}

static void add_job(struct plan *plan, struct job *job)
{
    const char *targets = job->settings.targets;
    struct finding finding = {.job = job};

    while (scrape_list_next(&targets, &finding.address)) {
        add_finding(plan, &finding);
    }
    for (const struct target_file *file = plan->scrape->files.first; file != NULL;
         file = file->next) {
        const json_t *group;
        size_t i;
        if (file->groups == NULL || strcmp(file->job_name, job->settings.name) != 0) {
            continue;
        }
        json_array_foreach(file->groups, i, group)
        {
            add_group(plan, job, file->path, group);
        }
    }
}

/* The page that is rendered: a target like others, but for its address. */
static void add_self(struct plan *plan)
{
    const char *instance = plan->scrape->options.render_instance;
    const struct tsdb_label label = {tsdb_slice_of("instance"), tsdb_slice_of(instance)};
    const struct finding finding = {.job = plan->scrape->self_job,
                                    .address = tsdb_slice_of("localhost:80"),
                                    .labels = &label,
                                    .label_count = 1};

    if (plan->scrape->self_job != NULL) {
        add_finding(plan, &finding);
    }
}

/* ---- what there is -------------------------------------------------------------------------- */

static int compare(struct hash_u128 a, struct hash_u128 b)
{
    if (a.high != b.high) {
        return a.high < b.high ? -1 : 1;
    }
    return (a.low > b.low) - (a.low < b.low);
}

static int compare_facts(const void *a, const void *b)
{
    const struct facts *left = *(struct facts *const *)a, *right = *(struct facts *const *)b;

    return compare(left->identity, right->identity);
}

/* Those that are there twice are one. */
static void sort_facts(struct plan *plan)
{
    size_t kept = 0;

    if (plan->count > 0) {
        qsort(plan->facts, plan->count, sizeof(struct facts *), compare_facts);
    }
    for (size_t i = 0; i < plan->count; i++) {
        if (kept > 0 && compare_facts(&plan->facts[kept - 1], &plan->facts[i]) == 0) {
            scrape_facts_give(&plan->scrape->memory, plan->facts[i]);
        } else {
            plan->facts[kept++] = plan->facts[i];
        }
    }
    plan->count = kept;
}

static struct target *find_target(const struct scrape *scrape, struct hash_u128 identity)
{
    size_t low = 0, high = scrape->target_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(scrape->targets[middle]->facts->identity, identity);
        if (order == 0) {
            return scrape->targets[middle];
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

/* Finds or makes the target of each of the facts. A new one has no facts yet. */
static void find_targets(struct plan *plan)
{
    struct scrape *scrape = plan->scrape;
    void *array = NULL;

    plan->status = tsdb_memory_grow(&scrape->memory, &array, &plan->target_capacity, plan->count,
                                    sizeof(struct target *));
    plan->targets = array;
    for (size_t i = 0; plan->status == QUARRY_OK && i < plan->count; i++) {
        plan->targets[i] = find_target(scrape, plan->facts[i]->identity);
        if (plan->targets[i] == NULL) {
            plan->targets[i] = tsdb_memory_take_zero(&scrape->memory, sizeof(struct target));
            plan->new_count++;
        }
        if (plan->targets[i] == NULL) {
            plan->count = i; /* what is behind has no place in `targets` */
            plan->status = QUARRY_NO_MEMORY;
        }
    }
    if (plan->status == QUARRY_OK) {
        plan->status = schedule_reserve(&scrape->memory, &scrape->schedule,
                                        scrape->schedule.count + plan->new_count);
    }
}

/* ---- the change ----------------------------------------------------------------------------- */

static void undo(struct plan *plan, size_t fact_count)
{
    for (size_t i = 0; plan->targets != NULL && i < plan->count; i++) {
        if (plan->targets[i]->facts == NULL) {
            tsdb_memory_give(&plan->scrape->memory, plan->targets[i]);
        }
    }
    for (size_t i = 0; i < fact_count; i++) {
        scrape_facts_give(&plan->scrape->memory, plan->facts[i]);
    }
    tsdb_memory_give(&plan->scrape->memory, plan->targets);
    tsdb_memory_give(&plan->scrape->memory, plan->facts);
}

/* Exchanges the lists; `plan` has the old facts and targets afterwards. */
static void exchange(struct plan *plan, size_t *ret_old_count)
{
    struct scrape *scrape = plan->scrape;
    struct target **old = scrape->targets;

    os_mutex_lock(&scrape->mutex);
    for (size_t i = 0; i < plan->count; i++) {
        struct facts *before = plan->targets[i]->facts;
        plan->targets[i]->facts = plan->facts[i];
        plan->facts[i] = before;
    }
    *ret_old_count = scrape->target_count;
    scrape->targets = plan->targets;
    scrape->target_count = plan->count;
    os_mutex_unlock(&scrape->mutex);
    plan->targets = old;
}

/* A target whose markers are due; one that was never scraped has none. */
static void end_target(struct scrape *scrape, struct target *target)
{
    uint64_t interval_ns = target->facts->job->settings.interval_ns;

    if (target->last_ms == 0 && target->fetch == NULL) {
        schedule_remove(&scrape->schedule, target);
        scrape_target_give(scrape, target);
        return;
    }
    target->phase = TARGET_ENDING;
    target->stale_ms = (int64_t)(target->due_wall_ns / Q_MS_NS);
    target->due_ns += interval_ns + interval_ns / 10;
    schedule_move(&scrape->schedule, target);
}

static void begin_targets(struct plan *plan)
{
    struct scrape *scrape = plan->scrape;
    uint64_t now_ns = os_monotonic_ns(os_real()), wall_ns = os_wall_ns(os_real());

    for (size_t i = 0; i < scrape->target_count; i++) {
        struct target *target = scrape->targets[i];
        const struct facts *before = plan->facts[i];
        if (before == NULL) {
            schedule_begin(target, now_ns, wall_ns);
            schedule_add(&scrape->schedule, target);
        } else if (before->job->settings.interval_ns != target->facts->job->settings.interval_ns) {
            schedule_begin(target, now_ns, wall_ns);
            schedule_move(&scrape->schedule, target);
        }
        scrape_facts_give(&scrape->memory, plan->facts[i]);
    }
}

static void end_targets(struct plan *plan, size_t old_count)
{
    struct scrape *scrape = plan->scrape;

    for (size_t i = 0; i < old_count; i++) {
        if (find_target(scrape, plan->targets[i]->facts->identity) != plan->targets[i]) {
            end_target(scrape, plan->targets[i]);
        }
    }
}

enum quarry_status scrape_sync(struct scrape *scrape, struct quarry_error *error)
{
    struct plan plan = {.scrape = scrape, .status = QUARRY_OK};
    size_t old_count = 0;

    for (size_t i = 0; i < scrape->jobs->count; i++) {
        add_job(&plan, scrape->jobs->all[i]);
    }
    add_self(&plan);
    sort_facts(&plan);
    size_t fact_count = plan.count;
    if (plan.status == QUARRY_OK) {
        find_targets(&plan);
    }
    if (plan.status != QUARRY_OK) {
        undo(&plan, fact_count);
        return error_set(error, plan.status, "targets stay as they are: %s",
                         quarry_status_text(plan.status));
    }
    exchange(&plan, &old_count);
    begin_targets(&plan);
    end_targets(&plan, old_count);
    tsdb_memory_give(&scrape->memory, plan.targets);
    tsdb_memory_give(&scrape->memory, plan.facts);
    scrape_count(scrape, target_count, scrape->target_count - old_count);
    return QUARRY_OK;
}

void scrape_target_give(struct scrape *scrape, struct target *target)
{
    if (target->fetch != NULL) {
        scrape_fetch_end(scrape, target->fetch);
    }
    scrape_count(scrape, series_count, (uint64_t)0 - target->table.series_count);
    series_clear(&scrape->memory, &target->table);
    for (size_t i = 0; i < REPORT_COUNT; i++) {
        tsdb_memory_give(&scrape->memory, target->report[i]);
    }
    scrape_facts_give(&scrape->memory, target->facts);
    tsdb_memory_give(&scrape->memory, target);
}
