/*
 * The scraper: one thread, which begins what is due, passes on what has come, and waits.
 *
 *     adopt orders ▸ look at files ▸ make targets ▸ begin those that are due ▸ libcurl ▸ reap ▸
 * wait
 *
 * The rendered page is a target like others but for how it comes: it is rendered and appended in
 * one go.
 *
 * Invariants:
 *   1. Every target is in the schedule, active or ending; those that are active are in `targets`
 *      besides, by identity.
 *   2. Targets and what they hold are changed by the thread alone; what others read of them, it
 *      changes under the mutex.
 *   3. A target has one fetch at a time: one that is due meanwhile is left out.
 *
 * Locking: a mutex, a leaf, around pointers and copies.
 *
 * What is above FETCHES_MAX waits for its turn: descriptors and bodies are bounded by it.
 *
 * Rejected: a scope of malloc around the thread. What libraries keep outlives the scraper's
 * lifetime: OpenSSL's and glibc's caches, and above all the bitmaps of the store that is appended
 * to, which were freed, at the server's end, after their memory had gone.
 */
#include <serve/scrape/state.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <quarry/lifetime.h>

#include <serve/log.h>

/* Doubling it doubles the descriptors and, at worst, the bodies that are there at a time. */
#define FETCHES_MAX 256u
#define STACK_BYTES OS_THREAD_STACK_BYTES
#define LOOK_NS     (2 * Q_SECOND_NS)
/* Of a page that is rendered. */
#define RENDER_BYTES_MAX Q_MIB(32)

#define NAME "scrape"

/* ---- scraping ------------------------------------------------------------------------------- */

static void fail(struct scrape *scrape, struct target *target, int64_t t_ms, const char *why)
{
    const struct page page = {
        .error = why, .body = {"", 0}, .t_ms = t_ms, .begin_ns = os_monotonic_ns(os_real())};

    scrape_collect(scrape, target, &page);
}

static void render(struct scrape *scrape, struct target *target, int64_t t_ms)
{
    struct page page = {.body = {"", 0}, .format = TSDB_TEXT, .t_ms = t_ms};
    struct http_text text;

    page.begin_ns = os_monotonic_ns(os_real());
    http_text_init(&text, &scrape->pages, RENDER_BYTES_MAX);
    scrape->options.render(scrape->options.render_argument, &text);
    if (text.is_failed) {
        page.error = "no memory for the page";
    } else if (text.bytes != NULL) {
        page.body = (struct tsdb_slice){text.bytes, text.count};
    }
    scrape_collect(scrape, target, &page);
    http_text_fini(&text);
}

static void begin_scrape(struct scrape *scrape, struct target *target, uint64_t wall_ns)
{
    struct quarry_error error = {0};
    int64_t t_ms = schedule_sample_ms(target, wall_ns);

    if (target->facts->job->is_self) {
        render(scrape, target, t_ms);
    } else if (!scrape_fetch_begin(scrape, target, t_ms, &error)) {
        fail(scrape, target, t_ms, error.text);
    }
}

static void end_target(struct scrape *scrape, struct target *target)
{
    if (target->fetch != NULL) {
        scrape_fetch_end(scrape, target->fetch);
    }
    if (target->last_ms != 0) {
        scrape_end_series(scrape, target);
    }
    schedule_remove(&scrape->schedule, target);
    scrape_target_give(scrape, target);
}

static void do_due(struct scrape *scrape, struct target *target, uint64_t now_ns)
{
    uint64_t wall_ns = os_wall_ns(os_real());

    if (target->phase == TARGET_ENDING) {
        end_target(scrape, target);
        return;
    }
    if (target->fetch != NULL) {
        scrape_count(scrape, skipped_count, 1);
    } else {
        begin_scrape(scrape, target, wall_ns);
    }
    scrape_count(scrape, skipped_count, schedule_next(target, now_ns, wall_ns));
    schedule_move(&scrape->schedule, target);
}

static void begin_due(struct scrape *scrape)
{
    struct target *target;
    uint64_t now_ns = os_monotonic_ns(os_real());

    while ((target = schedule_first(&scrape->schedule)) != NULL && target->due_ns <= now_ns &&
           scrape->fetch_count < FETCHES_MAX) {
        do_due(scrape, target, now_ns);
    }
}

/* ---- orders and files ----------------------------------------------------------------------- */

static void set_self(struct scrape *scrape, uint64_t interval_ns)
{
    struct job *job = NULL;

    if (interval_ns != 0 && scrape->options.render != NULL &&
        scrape_job_make_self(interval_ns, &job) != QUARRY_OK) {
        return; /* as it was */
    }
    scrape_job_release(scrape->self_job);
    scrape->self_job = job;
}

/* Returns: whether there was an order. */
static bool adopt(struct scrape *scrape)
{
    os_mutex_lock(&scrape->mutex);
    struct scrape_order order = scrape->order;
    struct scrape_jobs *old = scrape->jobs;
    if (order.jobs != NULL) {
        scrape->jobs = order.jobs;
        scrape->order.jobs = NULL;
    }
    os_mutex_unlock(&scrape->mutex);
    if (order.jobs == NULL) {
        return false;
    }
    scrape_jobs_destroy(old); /* what targets hold of it stays */
    set_self(scrape, order.render_interval_ns);
    return true;
}

/* `is_ordered`: not only when it is time. */
static void look(struct scrape *scrape, bool is_ordered)
{
    uint64_t now_ns = os_monotonic_ns(os_real()), errors = scrape->files.error_count;
    struct quarry_error error = {0};

    scrape->is_sync_due = scrape->is_sync_due || is_ordered;
    if (!is_ordered && now_ns < scrape->look_due_ns) {
        return;
    }
    scrape->look_due_ns = now_ns + scrape->options.look_ns;
    bool is_other = scrape_files_look(&scrape->files, scrape->jobs);
    scrape_count(scrape, file_error_count, scrape->files.error_count - errors);
    if (is_other || scrape->is_sync_due) {
        scrape->is_sync_due = scrape_sync(scrape, &error) != QUARRY_OK;
        if (scrape->is_sync_due) {
            serve_log(SERVE_LOG_ERROR, "targets cannot be changed now",
                      serve_log_text("why", error.text));
        }
    }
}

/* ---- the thread ----------------------------------------------------------------------------- */

static int wait_ms(const struct scrape *scrape)
{
    const struct target *first = schedule_first(&scrape->schedule);
    uint64_t until_ns = scrape->look_due_ns, now_ns = os_monotonic_ns(os_real());

    if (first != NULL && scrape->fetch_count < FETCHES_MAX) {
        until_ns = size_min_u64(until_ns, first->due_ns);
    }
    return (int)((sat_sub_u64(until_ns, now_ns) + Q_MS_NS - 1) / Q_MS_NS);
}

void scrape_turn(struct scrape *scrape)
{
    int running = 0;

    look(scrape, adopt(scrape));
    begin_due(scrape);
    (void)curl_multi_perform(scrape->multi, &running);
    scrape_fetch_reap(scrape);
}

void scrape_drop_targets(struct scrape *scrape)
{
    while (scrape->schedule.count > 0) {
        struct target *target = scrape->schedule.heap[0];
        schedule_remove(&scrape->schedule, target);
        scrape_target_give(scrape, target);
    }
    scrape_files_clear(&scrape->files);
}

static void run(void *argument)
{
    struct scrape *scrape = argument;

    /* Acquire: pairs with the release of scrape_close. */
    while (!atomic_load_acquire_bool(&scrape->is_stopping)) {
        scrape_turn(scrape);
        (void)curl_multi_poll(scrape->multi, NULL, 0, wait_ms(scrape), NULL);
    }
    scrape_drop_targets(scrape);
}

/* ---- opening -------------------------------------------------------------------------------- */

static enum quarry_status open_memory(struct scrape *scrape, struct quarry_error *error)
{
    struct quarry_memory *memory = scrape->options.memory;
    const struct quarry_account_options account = {
        .name = NAME, .ceiling_bytes = scrape->options.memory_bytes_max};
    const struct quarry_lane_options lane = {.name = NAME ".pages"};

    scrape->pages.memory = memory;
    enum quarry_status status =
        quarry_account_create(memory, &account, &scrape->pages.account, error);
    if (status == QUARRY_OK) {
        scrape->memory.account = scrape->pages.account;
        status = quarry_lane_create(memory, &lane, &scrape->pages.lane, error);
    }
    if (status == QUARRY_OK) {
        status = quarry_lifetime_begin(memory, NAME, &scrape->lifetime, error);
    }
    if (status == QUARRY_OK) {
        status = quarry_pool_create(scrape->lifetime, quarry_account_owner(scrape->memory.account),
                                    &scrape->memory.pool);
        if (status != QUARRY_OK) {
            (void)error_set(error, status, NAME ": %s", quarry_status_text(status));
        }
    }
    return status;
}

static void close_memory(struct scrape *scrape)
{
    quarry_lifetime_end(scrape->lifetime);
    if (scrape->pages.lane != NULL) {
        quarry_lane_destroy(scrape->pages.lane);
    }
    quarry_account_destroy(scrape->pages.account);
}

static enum quarry_status start(struct scrape *scrape, struct quarry_error *error)
{
    scrape->stack = serve_buffer_take(&scrape->pages, STACK_BYTES);
    enum quarry_status status = scrape->stack == NULL
                                    ? QUARRY_NO_MEMORY
                                    : os_thread_start(&scrape->thread, "quarry-scrape",
                                                      scrape->stack, STACK_BYTES, run, scrape);
    if (status != QUARRY_OK) {
        return error_set(error, status, "cannot start the scraper's thread");
    }
    return QUARRY_OK;
}

static void set_options(struct scrape *scrape, const struct scrape_options *options)
{
    scrape->options = *options;
    if (scrape->options.render_instance == NULL) {
        scrape->options.render_instance = "localhost";
    }
    if (scrape->options.look_ns == 0) {
        scrape->options.look_ns = LOOK_NS;
    }
    (void)snprintf(scrape->agent, sizeof scrape->agent, "Quarry/%s",
                   options->version == NULL ? "0" : options->version);
    if (!os_random(&scrape->seed, sizeof scrape->seed)) {
        scrape->seed = os_wall_ns(os_real()) ^ (uint64_t)(uintptr_t)scrape;
    }
}

enum quarry_status scrape_make(const struct scrape_options *options, struct scrape_jobs **jobs,
                               struct scrape **ret_scrape, struct quarry_error *error)
{
    struct scrape *scrape = calloc(1, sizeof *scrape);

    Q_ASSERT(options->memory != NULL && options->tsdb != NULL && *jobs != NULL);
    if (scrape == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for the scraper");
    }
    set_options(scrape, options);
    os_mutex_init(&scrape->mutex, OS_RANK_LEAF, 0);
    enum quarry_status status = open_memory(scrape, error);
    if (status == QUARRY_OK) {
        status = scrape_curl_open(scrape, error);
    }
    if (status != QUARRY_OK) {
        scrape_unmake(scrape);
        return status;
    }
    set_self(scrape, scrape->options.render_interval_ns);
    scrape->jobs = *jobs;
    scrape->is_sync_due = true;
    *jobs = NULL;
    *ret_scrape = scrape;
    return QUARRY_OK;
}

void scrape_unmake(struct scrape *scrape)
{
    scrape_curl_close(scrape);
    batch_clear(&scrape->memory, &scrape->batch);
    scrape_label_room_clear(&scrape->memory, &scrape->room);
    tsdb_memory_give(&scrape->memory, scrape->schedule.heap);
    tsdb_memory_give(&scrape->memory, scrape->targets);
    scrape_jobs_destroy(scrape->jobs);
    scrape_jobs_destroy(scrape->order.jobs);
    scrape_job_release(scrape->self_job);
    serve_buffer_give(&scrape->pages, scrape->stack);
    close_memory(scrape);
    free(scrape);
}

enum quarry_status scrape_open(const struct scrape_options *options, struct scrape_jobs **jobs,
                               struct scrape **ret_scrape, struct quarry_error *error)
{
    struct scrape *scrape = NULL;
    enum quarry_status status = scrape_make(options, jobs, &scrape, error);

    if (status != QUARRY_OK) {
        return status;
    }
    *ret_scrape = scrape; /* before there is a thread, for what renders may look at it */
    status = start(scrape, error);
    if (status != QUARRY_OK) {
        *ret_scrape = NULL;
        *jobs = scrape->jobs;
        scrape->jobs = NULL;
        scrape_unmake(scrape);
    }
    return status;
}

void scrape_close(struct scrape *scrape)
{
    if (scrape == NULL) {
        return;
    }
    atomic_store_release_bool(&scrape->is_stopping, true);
    (void)curl_multi_wakeup(scrape->multi);
    os_thread_join(&scrape->thread);
    scrape_unmake(scrape);
}

void scrape_apply(struct scrape *scrape, struct scrape_jobs *jobs, uint64_t render_interval_ns)
{
    os_mutex_lock(&scrape->mutex);
    struct scrape_jobs *unused = scrape->order.jobs;
    scrape->order = (struct scrape_order){jobs, render_interval_ns};
    os_mutex_unlock(&scrape->mutex);
    scrape_jobs_destroy(unused);
    (void)curl_multi_wakeup(scrape->multi);
}

void scrape_read_counts(struct scrape *scrape, struct scrape_counts *ret_counts)
{
    uint64_t figures[sizeof scrape->figures / sizeof scrape->figures[0]];

    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        figures[i] = atomic_load_relaxed_u64(&scrape->figures[i]);
    }
    Q_STATIC_ASSERT(sizeof figures == sizeof *ret_counts, "a figure for each count");
    memcpy(ret_counts, figures, sizeof figures);
}
