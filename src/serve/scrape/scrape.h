/*
 * Scraping: pages of metrics that are asked for at an interval, and put into a time-series store as
 * Prometheus puts them.
 *
 *     struct scrape *scrape;
 *     struct scrape_jobs *jobs;
 *     struct scrape_options options = {.memory = memory, .tsdb = tsdb};
 *     struct scrape_job job = {.name = "node", .targets = "127.0.0.1:9100"};
 *
 *     scrape_jobs_create(&jobs);
 *     scrape_jobs_add(jobs, &job, &error);
 *     scrape_open(&options, &jobs, &scrape, &error);      // the jobs are given
 *     …
 *     scrape_read_targets(scrape, &targets);              // for who wants to know
 *     scrape_targets_destroy(targets);
 *     scrape_close(scrape);
 *
 * A *job* is what a section of the configuration says; a *target* is one address of it. All work is
 * done by one thread, `quarry-scrape`. There is one scraper in a process, since libcurl is.
 *
 * Memory is that of an account, `scrape`: bodies, what is known of series, libcurl's. Where the
 * process' malloc is Quarry's, what TLS and JSON take is the same owner's in the ledger.
 */
#ifndef QUARRY_SERVE_SCRAPE_SCRAPE_H
#define QUARRY_SERVE_SCRAPE_SCRAPE_H

#include <quarry/memory.h>
#include <quarry/tsdb.h>

#include <tsdb/tsdb.h>

#include <serve/http/text.h>

struct scrape;
struct scrape_jobs;

/* ---- jobs ----------------------------------------------------------------------------------- */

/* Targets of all jobs together. Doubling it doubles what a file of targets can make us hold. */
#define SCRAPE_TARGETS_MAX 65536u
/* Labels of one target, those that end in the series and those that do not. */
#define SCRAPE_TARGET_LABELS_MAX 64u

/* What one job is to be. Strings: borrowed for the call, NULL is "". Zero: the default. */
struct scrape_job {
    const char *name;    /* the label job */
    const char *targets; /* HOST:PORT, several with commas between */
    const char *file_sd; /* files of targets, *: any name; several with commas between */
    const char *labels;  /* NAME=VALUE of all targets, several with commas between */
    const char *path;    /* "/metrics" */
    const char *params;  /* NAME=VALUE&…, percent-encoded, behind the path */
    const char *user;    /* of basic authentication; "": none */
    const char *password_file;
    const char *tls_ca;               /* PEM file; "": the system's */
    uint64_t interval_ns, timeout_ns; /* 15 s; 10 s, or the interval where that is less */
    uint64_t sample_count_max;        /* of a scrape; 0: any; more fail it, as do the others */
    uint64_t body_bytes_max;          /* unpacked; 32 MiB */
    uint64_t label_count_max, label_name_bytes_max, label_value_bytes_max; /* of a series */
    bool is_https;
    bool is_insecure; /* any certificate will do */
    bool honors_labels;
    bool ignores_times;       /* samples are of the scrape's time, whatever the page says */
    bool refuses_redirection; /* an answer that points elsewhere fails */
};

/* Creates a list of no jobs. `ret_jobs`: own; scrape_jobs_destroy. Errors: NO_MEMORY. */
enum quarry_status scrape_jobs_create(struct scrape_jobs **ret_jobs);
/* `jobs`: given; NULL does nothing. */
void scrape_jobs_destroy(struct scrape_jobs *jobs);
/*
 * Adds a job, after a look at everything it says; files are not opened.
 *
 * Errors: BAD_INPUT, and `error` says what is wrong with which of its settings; EXISTS (the name);
 * NO_MEMORY. The list is as it was.
 */
enum quarry_status scrape_jobs_add(struct scrape_jobs *jobs, const struct scrape_job *job,
                                   struct quarry_error *error);

/* ---- the scraper ---------------------------------------------------------------------------- */

/* Writes a page in text 0.0.4. By the scraper's thread; may take some milliseconds. */
typedef void scrape_render_function(void *argument, struct http_text *text);

/* What a scraper is to be. Zero means the default of what is not required. */
struct scrape_options {
    struct quarry_memory *memory;   /* required; borrowed until it is closed */
    struct quarry_tsdb *tsdb;       /* required; likewise. Samples are of its tenant 0 */
    uint64_t memory_bytes_max;      /* what its account may have; 0: no bound of its own */
    struct tsdb_metadata *metadata; /* of tenant 0; borrowed; NULL: types and helps are dropped */
    const char *version;            /* what it calls itself to targets; borrowed; NULL: "0" */
    /* A page that is rendered and not fetched: job "quarry"; borrowed. NULL: there is none. */
    scrape_render_function *render;
    void *render_argument;
    const char *render_instance; /* its label instance; NULL: "localhost" */
    uint64_t render_interval_ns; /* 0: it is left out */
    /* Between looks at files of targets, in nanoseconds; 0: 2 s. */
    uint64_t look_ns;
};

/*
 * Begins to scrape.
 *
 * `jobs`: given, cleared when it succeeds. `ret_scrape`: own; scrape_close. It is written before
 * the thread begins, and NULL when that fails.
 * Errors: NO_MEMORY, TOO_MANY (threads, lanes), EXISTS (another one is open).
 * Threads: this, scrape_apply and scrape_close: one at a time.
 * Cost: a thread with its stack, and some 300 KiB.
 */
enum quarry_status scrape_open(const struct scrape_options *options, struct scrape_jobs **jobs,
                               struct scrape **ret_scrape, struct quarry_error *error);
/*
 * Ends: what is under way is cut off. No series is ended by a stale marker, as the next start goes
 * on with them. `scrape`: given; NULL does nothing. Cost: up to the rendering or appending of one
 * page.
 */
void scrape_close(struct scrape *scrape);
/*
 * Goes on with other jobs, and another interval of the rendered page (0: it is left out). Targets
 * that are in both keep their series and their times; those that are gone end with stale markers
 * after a little more than two of their intervals, as at Prometheus. It happens soon.
 *
 * `jobs`: given.
 */
void scrape_apply(struct scrape *scrape, struct scrape_jobs *jobs, uint64_t render_interval_ns);

/* ---- what is known -------------------------------------------------------------------------- */

enum scrape_health { SCRAPE_UNKNOWN, SCRAPE_UP, SCRAPE_DOWN };

#define SCRAPE_ERROR_BYTES 160

/* One target. All it points to is of its list. */
struct scrape_target_state {
    const char *job; /* the pool it belongs to: a job of the configuration, or "quarry" */
    const char *url; /* "" for the rendered page */
    struct quarry_tsdb_labels discovered, labels; /* as found; as its series have them */
    enum scrape_health health;
    char error[SCRAPE_ERROR_BYTES]; /* of the last scrape; "" */
    int64_t last_ms;                /* when it began, since 1970; 0: never */
    uint64_t last_duration_ns;
    uint64_t last_sample_count; /* on its page */
    uint64_t interval_ns, timeout_ns;
};

struct scrape_targets {
    const struct scrape_target_state *all; /* by job, as found */
    size_t count;
    const char *const *jobs; /* the names of all jobs, with targets or without */
    size_t job_count;
};

/*
 * Reads what is known of all targets.
 *
 * `ret_targets`: own; scrape_targets_destroy. Errors: NO_MEMORY. Threads: any.
 * Cost: a copy of it all, of malloc: some 500 bytes a target.
 */
enum quarry_status scrape_read_targets(struct scrape *scrape, struct scrape_targets **ret_targets);
/* `targets`: given; NULL does nothing. */
void scrape_targets_destroy(struct scrape_targets *targets);

/* What has been done since the beginning, and what there is. */
struct scrape_counts {
    uint64_t target_count; /* now */
    uint64_t series_count; /* now: known, of all targets */
    uint64_t scrape_count, failed_count;
    uint64_t sample_count;  /* taken by the store */
    uint64_t refused_count; /* refused by it */
    uint64_t stale_count;   /* markers that were written */
    uint64_t body_bytes;    /* unpacked */
    uint64_t skipped_count; /* scrapes that were due and left out, the one before being under way */
    uint64_t file_error_count; /* files of targets that could not be read */
};
/* Threads: any. Cost: some loads; each figure is exact, together they are of about one moment. */
void scrape_read_counts(struct scrape *scrape, struct scrape_counts *ret_counts);

#endif
