/*
 * What the scraper's files share. The thread's own but where it says otherwise.
 */
#ifndef QUARRY_SERVE_SCRAPE_STATE_H
#define QUARRY_SERVE_SCRAPE_STATE_H

#include <sys/stat.h>

#include <curl/curl.h>
#include <jansson.h>

#include <os/os.h>

#include <tsdb/tsdb.h>

#include <serve/scrape/scrape.h>

/* Name of the rendered page's job, and the label that names jobs. */
#define SCRAPE_SELF_JOB "quarry"
/* Longest URL of a target. */
#define SCRAPE_URL_BYTES 2048u

/* ---- job.c ---------------------------------------------------------------------------------- */

/* A job as it was given, its strings its own; const after it was made, and counted. */
struct job {
    struct scrape_job settings; /* no string is NULL, nothing is zero that has a default */
    bool is_self;               /* the rendered page's */
    uint32_t holder_count;      /* of one thread at a time */
};
struct scrape_jobs {
    struct job **all;
    size_t count;
};
void scrape_job_release(struct job *job);
/* The rendered page's. Errors: NO_MEMORY. */
enum quarry_status scrape_job_make_self(uint64_t interval_ns, struct job **ret_job);

/* The next piece of a list with commas between, without the blanks around it. False: no more. */
bool scrape_list_next(const char **list, struct tsdb_slice *ret_piece);
/* "NAME=VALUE" taken apart. False: it is no such thing. */
bool scrape_split_label(struct tsdb_slice piece, struct tsdb_label *ret_label);
/* Whether it may be the address of a target. */
bool scrape_is_address(struct tsdb_slice address);

/* ---- facts.c -------------------------------------------------------------------------------- */

/*
 * What a target is: const, in one object. Who it is, is its identity: job, address, labels,
 * everything that decides what its series are.
 */
struct facts {
    struct job *job; /* held */
    struct tsdb_labels discovered, labels;
    const char *url;
    struct hash_u128 identity;
    struct hash_u128 labels_hash; /* of `labels` alone */
};

/* A target as it was found. All borrowed. */
struct finding {
    struct job *job;
    struct tsdb_slice address;
    const struct tsdb_label *labels;
    size_t label_count;
    const char *file; /* where; NULL: in the configuration */
};
/*
 * `ret_facts`: own, of `memory`. Errors: BAD_INPUT: it can be no target, and why; NO_MEMORY.
 */
enum quarry_status scrape_facts_make(const struct tsdb_memory *memory,
                                     const struct finding *finding, struct facts **ret_facts,
                                     struct quarry_error *error);
void scrape_facts_give(const struct tsdb_memory *memory, struct facts *facts);

/* ---- files.c -------------------------------------------------------------------------------- */

/* A file of targets that some job names. */
struct target_file {
    struct target_file *next;
    char *job_name; /* own */
    char *path;     /* own */
    struct stat stamp;
    bool is_stamped; /* it was looked at */
    bool is_named;   /* by this look */
    json_t *groups;  /* own; NULL: nothing could be read yet */
};
struct target_files {
    struct target_file *first;
    uint64_t error_count;
};
/* Looks at all files. Returns: whether anything is other than it was. */
bool scrape_files_look(struct target_files *files, const struct scrape_jobs *jobs);
void scrape_files_clear(struct target_files *files);

/* ---- series.c ------------------------------------------------------------------------------- */

/* A series of a target. */
struct series {
    struct series *next; /* in its bucket */
    uint64_t hash;       /* of its key */
    uint64_t attempt;    /* the last in which it came, without a time of its own */
    uint32_t line_count; /* ways of writing it that are known */
    uint32_t key_bytes;
    bool is_live; /* its last sample was ours and no stale marker */
    char key[];   /* its labels, final, as remote write 1.0 has them */
};
/* A way of writing a series, by the hash of its bytes. */
struct line {
    struct line *next;
    struct hash_u128 hash;
    struct series *series;
    uint64_t attempt; /* the last in which it came */
};
/* All series of a target. All zero: none. */
struct series_table {
    struct line **lines;
    struct series **series;
    size_t line_buckets, series_buckets; /* powers of two, or 0 */
    size_t line_count, series_count;
    size_t kept_count; /* lines after the last scrape that succeeded */
};
struct line *series_find_line(const struct series_table *table, struct hash_u128 hash);
/* Adds a line of the series with that key. Returns: NULL: no memory. */
struct line *series_add_line(const struct tsdb_memory *memory, struct series_table *table,
                             struct hash_u128 hash, struct tsdb_slice key, uint64_t seed);
/* The series with a key; NULL. */
struct series *series_find(const struct series_table *table, struct tsdb_slice key, uint64_t hash);
/* The next series after one, in no order; NULL begins and ends it. */
struct series *series_next(const struct series_table *table, const struct series *series);
/* Forgets lines that did not come in an attempt, and series that have neither lines nor a life. */
void series_sweep(const struct tsdb_memory *memory, struct series_table *table, uint64_t attempt);
void series_clear(const struct tsdb_memory *memory, struct series_table *table);
/* Decodes a key. Returns: how many labels; 0: more than `capacity`, or no key. */
size_t series_key_labels(struct tsdb_slice key, struct tsdb_label *labels, size_t capacity);

/* ---- labels.c ------------------------------------------------------------------------------- */

/* Labels of one sample at most, those of the target included: far above what stores take. */
#define SCRAPE_SAMPLE_LABELS_MAX 512u

/* Room in which labels of samples are put together. */
struct label_room {
    struct tsdb_label exposed[SCRAPE_SAMPLE_LABELS_MAX], final[SCRAPE_SAMPLE_LABELS_MAX];
    struct tsdb_text_room text; /* of the scraper's memory */
    char *key;                  /* likewise */
    size_t key_capacity;
};
/*
 * The key of a sample's series: its labels joined with the target's.
 * Errors: BAD_INPUT, TOO_LARGE: a scrape with such a line fails; NO_MEMORY.
 */
enum quarry_status scrape_labels_key(const struct tsdb_memory *memory, struct label_room *room,
                                     const struct facts *facts,
                                     const struct tsdb_exposition_line *line,
                                     struct tsdb_slice *ret_key, struct quarry_error *error);
/* The key of a series of the scraper's own: a metric name, and the target's labels. */
enum quarry_status scrape_labels_report_key(const struct tsdb_memory *memory,
                                            struct label_room *room, const struct facts *facts,
                                            const char *metric, struct tsdb_slice *ret_key);
void scrape_label_room_clear(const struct tsdb_memory *memory, struct label_room *room);

/* ---- batch.c -------------------------------------------------------------------------------- */

/* What is to be appended at once. */
struct batch {
    struct quarry_tsdb_entry *entries;
    struct tsdb_sample *samples; /* one for each entry */
    struct series **series;      /* likewise; NULL: none of the table's */
    uint8_t *marks;              /* likewise, of enum batch_mark */
    uint8_t *refusals;           /* likewise, when it was appended */
    size_t count, capacity;
    struct batch_exemplar *exemplars; /* own; of some of them */
    size_t exemplar_count, exemplar_capacity;
    struct tsdb_label labels[SCRAPE_SAMPLE_LABELS_MAX]; /* for the store's questions */
};
struct batch_exemplar {
    struct tsdb_exposition_line line; /* of the page */
    size_t entry;
};
/* Has the last sample's line's exemplar appended with it. `line`: the page stays until then.
 * Without memory it is left out. */
void batch_add_exemplar(const struct tsdb_memory *memory, struct batch *batch,
                        const struct tsdb_exposition_line *line);
enum batch_mark { BATCH_KNOWN, BATCH_NEW, BATCH_STALE };
/* `key`: borrowed until the batch is emptied. Errors: NO_MEMORY, TOO_LARGE. */
enum quarry_status batch_add(const struct tsdb_memory *memory, struct batch *batch,
                             struct tsdb_slice key, struct tsdb_sample sample,
                             struct series *series, enum batch_mark mark);
/* Appends it all; each entry's refusal is in `refusals`. */
enum quarry_status batch_append(const struct tsdb_memory *memory, struct batch *batch,
                                struct quarry_tsdb *tsdb, struct quarry_tsdb_result *ret_result);
/* Forgets what is in it, and gives back the memory of a large one. */
void batch_empty(const struct tsdb_memory *memory, struct batch *batch);
void batch_clear(const struct tsdb_memory *memory, struct batch *batch);

/* ---- a target ------------------------------------------------------------------------------- */

/* Series of the scraper's own, of each target. */
enum report {
    REPORT_UP,
    REPORT_DURATION,
    REPORT_SAMPLES,
    REPORT_SAMPLES_LEFT,
    REPORT_SERIES_ADDED,
    REPORT_COUNT
};

enum target_phase {
    TARGET_ACTIVE,
    TARGET_ENDING, /* it is not there any more: its markers are due when it is */
};

struct fetch;
struct target {
    /* Changed by the thread under the mutex; read by others under it. */
    struct facts *facts; /* own */
    enum scrape_health health;
    char error[SCRAPE_ERROR_BYTES];
    int64_t last_ms;
    uint64_t last_duration_ns, last_sample_count;

    /* The thread's. */
    enum target_phase phase;
    struct fetch *fetch; /* under way; NULL */
    uint64_t due_ns;     /* monotonic */
    uint64_t due_wall_ns;
    int64_t stale_ms; /* of an ending one */
    size_t heap_index;
    uint64_t attempt; /* counts scrapes */
    struct series_table table;
    struct series *report[REPORT_COUNT]; /* own; NULL: not made yet */
};

/* A page that came, or did not. */
struct page {
    struct tsdb_slice body;
    enum tsdb_exposition_format format;
    int64_t t_ms;      /* of its samples */
    uint64_t begin_ns; /* monotonic */
    const char *error; /* NULL: it came; borrowed */
};

/* ---- collect.c ------------------------------------------------------------------------------ */

/* Appends what a page says, markers of what it does not say any more, and the report. */
void scrape_collect(struct scrape *scrape, struct target *target, const struct page *page);
/* Writes the markers of a target that is gone, at its `stale_ms`. */
void scrape_end_series(struct scrape *scrape, struct target *target);

/* ---- read.c --------------------------------------------------------------------------------- */

/* What a page came to. */
struct reading {
    uint64_t total;     /* samples on it */
    uint64_t added;     /* of those, what is left; the same here, where nothing is relabeled */
    uint64_t new_count; /* lines that were not known */
};
/*
 * Reads a page into the batch, and its lines into the target's table.
 * Errors: BAD_INPUT, TOO_LARGE, NO_MEMORY: the page fails as a whole; `ret_reading` is up to there.
 */
enum quarry_status scrape_read_page(struct scrape *scrape, struct target *target,
                                    const struct page *page, struct reading *ret_reading,
                                    struct quarry_error *error);

/* ---- fetch.c -------------------------------------------------------------------------------- */

/* Begins to fetch. False: it cannot be begun, and `error` says why. */
bool scrape_fetch_begin(struct scrape *scrape, struct target *target, int64_t t_ms,
                        struct quarry_error *error);
/* Cuts off one that is under way. */
void scrape_fetch_end(struct scrape *scrape, struct fetch *fetch);
/* Passes on all that have come to their end. */
void scrape_fetch_reap(struct scrape *scrape);
/* libcurl as a whole: with our memory. Errors: NO_MEMORY. */
enum quarry_status scrape_curl_open(struct scrape *scrape, struct quarry_error *error);
void scrape_curl_close(struct scrape *scrape);

/* ---- schedule.c ----------------------------------------------------------------------------- */

/* Targets by when they are due: a heap. */
struct schedule {
    struct target **heap;
    size_t count, capacity;
};
enum quarry_status schedule_reserve(const struct tsdb_memory *memory, struct schedule *schedule,
                                    size_t count);
/* There is room for it: schedule_reserve. */
void schedule_add(struct schedule *schedule, struct target *target);
void schedule_remove(struct schedule *schedule, struct target *target);
/* After its due_ns has changed. */
void schedule_move(struct schedule *schedule, struct target *target);
struct target *schedule_first(const struct schedule *schedule);
/* When a target is due first: at its place in the interval, by its identity. */
void schedule_begin(struct target *target, uint64_t now_ns, uint64_t wall_ns);
/* When it is due again. Returns: how many times were passed over. */
uint64_t schedule_next(struct target *target, uint64_t now_ns, uint64_t wall_ns);
/* The time of the samples of a scrape that begins now, in milliseconds. */
int64_t schedule_sample_ms(const struct target *target, uint64_t wall_ns);

/* ---- sync.c --------------------------------------------------------------------------------- */

/*
 * Makes the targets those of the jobs and their files. Errors: NO_MEMORY, TOO_MANY: they are as
 * they were.
 */
enum quarry_status scrape_sync(struct scrape *scrape, struct quarry_error *error);
/* Gives a target, which is in no list any more. */
void scrape_target_give(struct scrape *scrape, struct target *target);

/* ---- the scraper ---------------------------------------------------------------------------- */

struct scrape_order {
    struct scrape_jobs *jobs;
    uint64_t render_interval_ns;
};

struct scrape {
    /* Const after it was opened. */
    struct scrape_options options;
    struct serve_memory pages;
    struct tsdb_memory memory;
    struct quarry_lifetime *lifetime;
    uint64_t seed;
    char agent[64];
    struct os_thread thread;
    void *stack;
    CURLM *multi;

    struct os_mutex mutex; /* a leaf */
    /* Guarded by it: what others read, and what they ask for. */
    struct target **targets; /* active ones, by identity */
    size_t target_count, target_capacity;
    struct scrape_jobs *jobs;
    struct scrape_order order; /* jobs NULL: none */

    _Atomic(bool) is_stopping; /* release; pairs with the acquire of the thread */

    /* The thread's. */
    struct job *self_job; /* NULL: the page is left out */
    struct target_files files;
    struct schedule schedule;
    struct batch batch;
    struct label_room room;
    size_t fetch_count;
    uint64_t look_due_ns;
    bool is_sync_due; /* at the beginning, and when the last one failed */

    /* Figures: added to by the thread, relaxed. */
    _Atomic(uint64_t) figures[sizeof(struct scrape_counts) / sizeof(uint64_t)];
};

/* A scraper without its thread, for who takes its turns. As scrape_open. */
enum quarry_status scrape_make(const struct scrape_options *options, struct scrape_jobs **jobs,
                               struct scrape **ret_scrape, struct quarry_error *error);
/* Everything that is due, without waiting. */
void scrape_turn(struct scrape *scrape);
/* Gives all targets, by who takes the turns. */
void scrape_drop_targets(struct scrape *scrape);
/* `scrape`: given; its targets have gone. */
void scrape_unmake(struct scrape *scrape);

/* Adds to a figure. */
#define scrape_count(scrape, field, more)                                                          \
    (void)atomic_add_relaxed_u64(                                                                  \
        &(scrape)->figures[offsetof(struct scrape_counts, field) / sizeof(uint64_t)], (more))

#endif
