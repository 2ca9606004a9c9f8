/*
 * A store of time series in memory, inside a hard budget: Prometheus' data, in windows that die
 * whole. With a directory it is there again when it is opened (docs/tsdb.md).
 *
 * A *series* is a set of labels, of a tenant, and its samples: each a time in milliseconds with a
 * double, or with a native histogram; a series may have both, one after the other. Time is cut into
 * *windows* of 4 h. The newest ones are open: samples are appended to them. When time has passed a
 * window's end and the span in which late samples are taken, it is *sealed*: packed into columns
 * that do not change any more. When it is older than the retention it is *purged*: all of its
 * memory goes back at once, whatever was in it.
 *
 *     struct quarry_tsdb *tsdb;
 *     struct quarry_tsdb_options options = {.memory = memory};
 *     struct quarry_tsdb_label labels[] = {{QUARRY_TSDB_TEXT("__name__"), QUARRY_TSDB_TEXT("up")},
 *                                          {QUARRY_TSDB_TEXT("job"), QUARRY_TSDB_TEXT("node")}};
 *     struct quarry_tsdb_sample sample = {.t_ms = now_ms, .bits = bits_of(1.0)};
 *     struct quarry_tsdb_entry entry = {.labels = {labels, 2}, .samples = &sample,
 *                                       .sample_count = 1};
 *     struct quarry_tsdb_request request = {.entries = &entry, .entry_count = 1};
 *     struct quarry_tsdb_result result;
 *
 *     if (quarry_tsdb_open(&options, &tsdb, &error) != QUARRY_OK) {
 *         fprintf(stderr, "%s\n", error.text);
 *     }
 *     status = quarry_tsdb_append(tsdb, &request, &result);
 *     quarry_tsdb_close(tsdb);
 *
 * Time is that of the samples: the store's *time* is the greatest it has taken. An empty store
 * takes samples of any past in order, and advances, seals and purges as they come, so that 36 hours
 * can be put through it in seconds. The clock on the wall only keeps the future out.
 *
 * What is taken and what is refused are Prometheus' rules, for each series: `last` is its newest
 * sample, `time` the store's when the request began, `W` the span for late samples.
 *
 *     t above now + future_ms                          OUT_OF_BOUNDS
 *     t > last, t >= time - in_order_ms                taken
 *     t = last, t >= time - in_order_ms                same bits: taken, as nothing; else DUPLICATE
 *     otherwise, W > 0 and t >= time - W               taken, out of order
 *     otherwise, W > 0                                 TOO_OLD
 *     otherwise, t < time - in_order_ms                OUT_OF_BOUNDS
 *     otherwise                                        OUT_OF_ORDER
 *
 * A window that is sealed is *filled* when samples of it are taken: they lie beside it, are read
 * merged with it, and are sealed into it when no more come.
 *
 * Of several samples of one moment the one that was sealed is the series', then the one that came
 * in order, else the first that came. Values keep their bits, those of NaNs and of stale markers
 * (QUARRY_TSDB_STALE_BITS) too. Histograms follow the same rules; one is never the same as a float.
 * One that breaks the rules of quarry_tsdb_histogram_check is refused before its time is looked at.
 *
 * *Exemplars* are samples that stand for others: a value, when, and labels that lead elsewhere, to
 * a trace for example. Of each tenant a store keeps the newest ones; with a directory they are
 * logged and written with the window of their series' newest sample, unless that is sealed by then.
 * With durability NONE those of windows that are not sealed yet are gone when it is closed.
 *
 * Memory. All that a store uses is charged to accounts below one named by `options.name`:
 * `registry` (labels and indexes), `open` and `sealed` (samples), `query`, and its own `meta`. When
 * its bytes are used up: windows are sealed early; then new series are refused while known ones go
 * on, in room that is kept for them; then the oldest window is purged early, which is counted.
 * Nothing is ever lost but by that, and by damage to files, which is told.
 *
 * Threads: any call from any thread at once, but quarry_tsdb_open and _close. A set, with its
 * cursors, is one thread's at a time; cursors of one set may be in several threads at once. Forks:
 * the store is the parent's.
 *
 * Source: Prometheus' head and its append rules; Gorilla's compression of open windows.
 */
#ifndef QUARRY_TSDB_H
#define QUARRY_TSDB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <quarry/export.h>
#include <quarry/memory.h>
#include <quarry/status.h>

#ifdef __cplusplus
extern "C" {
#endif

struct quarry_tsdb;
struct quarry_tsdb_set;
struct quarry_tsdb_cursor;

/* The value that ends a series: a NaN that no calculation makes. */
#define QUARRY_TSDB_STALE_BITS UINT64_C(0x7ff0000000000002)

/* Windows that a store can keep sealed: each has a lane, of which a memory has 64. */
#define QUARRY_TSDB_WINDOWS_MAX 24u

/* Samples of a block that a cursor gives. */
#define QUARRY_TSDB_BLOCK_SAMPLES 256u

/* ---- words ---------------------------------------------------------------------------------- */

/* Borrowed bytes. `bytes` is never NULL, also when `count` is 0; not NUL-terminated. */
struct quarry_tsdb_slice {
    const char *bytes;
    size_t count;
};

/* The slice of a string literal, as an initializer. */
#define QUARRY_TSDB_TEXT(literal)                                                                  \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    }

/* A label: name and value. */
struct quarry_tsdb_label {
    struct quarry_tsdb_slice name, value;
};

/* The labels of one series: sorted by name's bytes, names unique, neither names nor values empty.
 */
struct quarry_tsdb_labels {
    const struct quarry_tsdb_label *labels;
    size_t count;
};

/* A sample: milliseconds since 1970, and the bits of a double, since NaN's payload matters. */
struct quarry_tsdb_sample {
    int64_t t_ms;
    uint64_t bits;
};

/* What is known of a counter's reset between the histogram before and this one: Prometheus'
 * numbers.
 */
enum quarry_tsdb_reset_hint {
    QUARRY_TSDB_RESET_UNKNOWN = 0,
    QUARRY_TSDB_RESET_YES = 1,
    QUARRY_TSDB_RESET_NO = 2,
    QUARRY_TSDB_RESET_GAUGE = 3 /* it may fall as well as rise */
};

/* Schemas: bucket bounds grow by 2^(2^-schema), from -4 to 8; or they are listed. */
#define QUARRY_TSDB_SCHEMA_MIN    (-4)
#define QUARRY_TSDB_SCHEMA_MAX    8
#define QUARRY_TSDB_SCHEMA_CUSTOM (-53)

/* Spans, buckets and bounds that a histogram may have, each. Clients keep to 160 buckets. */
#define QUARRY_TSDB_HISTOGRAM_PARTS_MAX 4096u

/* `length` buckets in a row, `offset` behind where the span before ended (the first: index). */
struct quarry_tsdb_span {
    int32_t offset;
    uint32_t length;
};

/* One side of a histogram. `buckets`: counts, each whole (no differences), or bits of doubles, as
 * the histogram's. */
struct quarry_tsdb_buckets {
    const struct quarry_tsdb_span *spans;
    const uint64_t *buckets;
    uint32_t span_count;
    uint32_t bucket_count; /* the sum of the spans' lengths */
};

/*
 * A native histogram at one time. All arrays are borrowed. Counts are integers, or with `is_float`
 * the bits of doubles: NaN payloads and all. A histogram whose `sum_bits` are
 * QUARRY_TSDB_STALE_BITS ends its series.
 */
struct quarry_tsdb_histogram {
    int64_t t_ms;
    int32_t schema;
    bool is_float;
    enum quarry_tsdb_reset_hint reset_hint;
    uint64_t zero_threshold_bits; /* what is nearer to 0 is in the zero bucket: bits of a double */
    uint64_t zero_count;
    uint64_t count;
    uint64_t sum_bits; /* of a double, always */
    struct quarry_tsdb_buckets positive, negative;
    const uint64_t *custom_bits; /* upper bounds, of QUARRY_TSDB_SCHEMA_CUSTOM alone */
    uint32_t custom_count;
};

/*
 * Whether a histogram may be stored, by Prometheus' rules: a schema that there is; spans that name
 * as many buckets as there are; no negative counts; of integers, a count that is that of all
 * buckets (with a NaN sum it may be more); custom bounds that rise, only where the schema has them.
 * A stale marker need only have spans that fit.
 *
 * `error`: says which rule, in Prometheus' words; may be NULL.
 * Errors: QUARRY_BAD_INPUT. Threads: any. Cost: some nanoseconds a bucket.
 */
QUARRY_EXPORT enum quarry_status
quarry_tsdb_histogram_check(const struct quarry_tsdb_histogram *histogram,
                            struct quarry_error *error);

/* An exemplar. Its labels come as they are: in any order, none at all; names and values together
 * have up to 128 characters. */
struct quarry_tsdb_exemplar {
    int64_t t_ms;
    uint64_t bits; /* of a double */
    struct quarry_tsdb_labels labels;
};

/* ---- opening -------------------------------------------------------------------------------- */

/* What one tenant may have. 0: the default; UINT64_MAX or UINT32_MAX: no bound. */
struct quarry_tsdb_limits {
    uint64_t series_count;       /* at a time; default: no bound */
    uint64_t samples_per_second; /* over a second of the wall's clock; default: no bound */
    uint32_t label_count;        /* of a series; default 64 */
    uint32_t label_name_bytes;   /* default 1,024 */
    uint32_t label_value_bytes;  /* default 4,096 */
    uint32_t exemplar_count;     /* that are kept, the newest; default 100,000 */
    uint64_t exemplar_bytes;     /* that they take; default 32 MiB */
};

struct quarry_vfs;

/* What an acknowledged append survives, in a store with a directory. Numbers are stable, and those
 * of the key-value store. */
enum quarry_tsdb_durability {
    QUARRY_TSDB_DURABILITY_DEFAULT = 0, /* PROCESS */
    QUARRY_TSDB_DURABILITY_NONE = 1,    /* nothing: windows that were sealed, and a clean close */
    QUARRY_TSDB_DURABILITY_PROCESS =
        2,                            /* the end of the process; of the machine, but for a second */
    QUARRY_TSDB_DURABILITY_POWER = 3, /* a loss of power */
};

/* What was lost, or is not in use. */
enum quarry_tsdb_loss_kind {
    QUARRY_TSDB_LOSS_LOG = 0,      /* a stretch of the log: damaged, or never finished */
    QUARRY_TSDB_LOSS_WINDOW = 1,   /* part of a sealed window's file, or all of it */
    QUARRY_TSDB_LOSS_SNAPSHOT = 2, /* a snapshot: only time is lost, it is made of the rest */
    QUARRY_TSDB_LOSS_MEMORY = 3,   /* samples that have no room; a window's stay in its file */
    /* nothing more: a damaged file, in whose place the log was read, is kept under this name */
    QUARRY_TSDB_LOSS_SET_ASIDE = 4,
    /* the list of what was deleted, kept under this name: it is seen again */
    QUARRY_TSDB_LOSS_DELETIONS = 5,
};

struct quarry_tsdb_loss {
    enum quarry_tsdb_loss_kind kind;
    /* The times that it is about, both included; from INT64_MIN and to INT64_MAX where nothing is
     * known, and none where from_ms > to_ms. */
    int64_t from_ms, to_ms;
    uint64_t offset, byte_count; /* in the file; 0: all of it, or none */
    uint64_t sample_count;       /* those that are lost for certain */
    uint64_t series_count; /* of memory: those that have no room; their samples stay in files */
    char file[48];         /* its name in the directory; "" */
};
typedef void quarry_tsdb_lost_function(void *argument, const struct quarry_tsdb_loss *loss);

/* A window that is about to be purged: its samples can be selected until the call returns, those of
 * other windows too. */
struct quarry_tsdb_leaving {
    struct quarry_tsdb *tsdb;
    int64_t start_ms, end_ms; /* end excluded */
};
/*
 * Keeps what is in a window elsewhere.
 *
 * `leaving`: borrowed for the call, which may read the store and neither appends nor closes.
 * Returns: QUARRY_OK: taken. Any other: a window that was offered ahead of time is offered once
 * more when it must go, and goes then whatever is said. Threads: a thread of the store's; one call
 * at a time. Where there is none, and while a directory is read, whoever purges; in the latter case
 * the call must not wait for quarry_tsdb_ready. And the thread in quarry_tsdb_close, for what is
 * due by then: what the function needs is there until that has returned.
 */
typedef enum quarry_status quarry_tsdb_purge_function(void *argument,
                                                      const struct quarry_tsdb_leaving *leaving);

/* What a store is to be. `memory` is required; zero means the default of the rest. */
struct quarry_tsdb_options {
    struct quarry_memory *memory;  /* borrowed until the store is closed */
    struct quarry_account *parent; /* of its account; borrowed until then; NULL: the memory */
    const char *name;              /* of its account, 1 to 12 bytes, borrowed; NULL: "tsdb" */
    /* What the store may use, in bytes; 0: what the memory has. */
    uint64_t memory_bytes;
    uint64_t floor_bytes; /* it is never asked to go below */
    int64_t window_ms;    /* length of a window; 0: 4 h; 1 s to 31 days */
    /* Windows that are kept after the newest one; 0: 8. At most QUARRY_TSDB_WINDOWS_MAX. */
    uint32_t window_count;
    /* Span behind the store's time in which late samples are taken, up to all that is kept; 0: 10
     * min; below 0: none. With more than a window, windows that are sealed by then are filled. */
    int64_t out_of_order_ms;
    /* A window that is filled is sealed anew when nothing has come to it for so long; 0: 5 s; below
     * 0: in the next turn. */
    int64_t fill_quiet_ms;
    /* Span in which a series that lags may go on in order; 0: 1 h, or a window where that is less.
     */
    int64_t in_order_ms;
    int64_t future_ms; /* what may be ahead of the wall's clock; 0: 10 min */
    struct quarry_tsdb_limits limits;
    /* Series of one query, and bytes of all queries; 0: no bound, and a quarter of memory_bytes. */
    uint64_t query_series_count;
    uint64_t query_bytes;
    bool keeps_oldest;  /* refuses samples rather than purge a window before its time */
    bool has_no_thread; /* the caller seals and purges by quarry_tsdb_turn */
    /* The wall's clock in milliseconds since 1970; NULL: the machine's. */
    int64_t (*wall_ms)(void *argument);
    void *wall_argument; /* borrowed until the store is closed */

    /* Where the store's files are, made if it is not there; NULL: nowhere, it is all in memory. */
    const char *directory;  /* borrowed for the call; its parent is there */
    struct quarry_vfs *vfs; /* that the files are in; borrowed until closed; NULL: the machine's */
    enum quarry_tsdb_durability durability;
    int64_t snapshot_ms; /* between snapshots of the registry; 0: 5 min; below 0: at the end */
    uint64_t log_segment_bytes; /* of the log's files; 0: 64 MiB */
    /* Called for what is lost when files are read, in the thread that reads them; it does not call
     * the store. NULL: quarry_tsdb_losses says it. */
    quarry_tsdb_lost_function *lost;
    void *lost_argument; /* borrowed until closed */
    /* Called for each window before it is purged, by age or for memory; NULL: nobody. It is called
     * ahead of time where it can be: for the oldest one once it is sealed and the next to go. A
     * window that must go before is as it is then: what comes to it meanwhile may be missed. */
    quarry_tsdb_purge_function *before_purge;
    void *purge_argument; /* borrowed until closed */
    /* How long a request waits for that function before it purges all the same; 0: 10 s; below 0:
     * it does not. */
    int64_t purge_wait_ms;
};

/*
 * Opens a store: an empty one, or what is in its directory.
 *
 * With a directory, all series are there when it returns. Samples follow by turns
 * (quarry_tsdb_turn; its thread takes them): sealed windows, the newest first, then the log, the
 * oldest first. Queries are answered meanwhile by what is there; appends are refused with
 * QUARRY_BUSY until quarry_tsdb_ready. What is damaged is left out, and told (options.lost).
 * A window that finds no room is not read, and its file stays.
 *
 * `options`: borrowed for the call. `ret_tsdb`: own; end it with quarry_tsdb_close.
 * `error`: says what was wrong; may be NULL.
 * Errors: QUARRY_BAD_INPUT (an option), QUARRY_EXISTS (the name), QUARRY_NO_MEMORY,
 * QUARRY_TOO_MANY (lanes, epochs, threads), QUARRY_NO_ADDRESS; with a directory also QUARRY_BUSY
 * (another process has it), and those of <quarry/vfs.h>.
 * Cost: about a megabyte, and a stack for its thread; with a directory some microseconds a series.
 */
QUARRY_EXPORT enum quarry_status quarry_tsdb_open(const struct quarry_tsdb_options *options,
                                                  struct quarry_tsdb **ret_tsdb,
                                                  struct quarry_error *error);

/*
 * Closes a store: what has no directory is gone. One with a directory writes what makes the next
 * opening fast, and with durability NONE what is not in a file yet.
 *
 * `tsdb`: given; NULL does nothing. Threads: no other thread uses the store; all sets are closed,
 * or the program ends.
 * Errors: QUARRY_IO, QUARRY_NO_SPACE, QUARRY_NO_MEMORY: closed, but that could not be written; what
 * was acknowledged survives as its durability says all the same.
 */
QUARRY_EXPORT enum quarry_status quarry_tsdb_close(struct quarry_tsdb *tsdb);

/* Whether all of the directory has been read, so that appends are taken. Cost: a load. */
QUARRY_EXPORT bool quarry_tsdb_ready(struct quarry_tsdb *tsdb);
/* Takes turns until it has been. Threads: any. */
QUARRY_EXPORT void quarry_tsdb_wait_ready(struct quarry_tsdb *tsdb);

/* ---- appending ------------------------------------------------------------------------------ */

/* Why a sample, or all of an entry's, was not taken. Numbers are stable. */
enum quarry_tsdb_refusal {
    QUARRY_TSDB_TAKEN = 0,
    QUARRY_TSDB_OUT_OF_ORDER = 1,
    QUARRY_TSDB_OUT_OF_BOUNDS = 2,
    QUARRY_TSDB_TOO_OLD = 3,
    QUARRY_TSDB_DUPLICATE = 4,
    QUARRY_TSDB_BAD_LABELS = 5,           /* unsorted, twice the same name, empty, over a limit */
    QUARRY_TSDB_SERIES_LIMIT = 6,         /* the tenant has as many series as it may */
    QUARRY_TSDB_RATE_LIMIT = 7,           /* it has sent as many samples this second as it may */
    QUARRY_TSDB_NO_MEMORY = 8,            /* a new series, or the bytes of a known one */
    QUARRY_TSDB_BAD_HISTOGRAM = 9,        /* quarry_tsdb_histogram_check says why */
    QUARRY_TSDB_METRIC_SERIES_LIMIT = 10, /* its metric has as many series as it may */
    QUARRY_TSDB_METRIC_RATE_LIMIT = 11,   /* it has as many samples this second as it may */
    QUARRY_TSDB_REFUSALS
};

/* Prometheus' words for a refusal: "out of order sample". Borrowed for ever; "" for TAKEN. */
QUARRY_EXPORT const char *quarry_tsdb_refusal_text(enum quarry_tsdb_refusal refusal);

/* Samples of one series. All is borrowed for the call. */
struct quarry_tsdb_entry {
    /*
     * The labels' bytes as they came, in any encoding that always means the same labels: a series
     * that is known by them is found without a look at its labels. count 0: by its labels.
     */
    struct quarry_tsdb_slice key;
    struct quarry_tsdb_labels labels; /* count 0: `resolve` is asked when the key is not known */
    const struct quarry_tsdb_sample *samples; /* appended in this order */
    size_t sample_count;
    /*
     * Histograms of the series, in this order too. Of the next float and the next histogram the one
     * that is older is appended first, at the same time the float.
     */
    const struct quarry_tsdb_histogram *histograms;
    size_t histogram_count;
    const struct quarry_tsdb_exemplar *exemplars; /* a refused one fails nothing */
    size_t exemplar_count;
};

/*
 * Tells the labels of an entry that came with its key alone.
 *
 * `ret_labels`: borrowed until the next call, or the end of quarry_tsdb_append.
 * Returns: false: they are no labels, and the entry is refused (QUARRY_TSDB_BAD_LABELS).
 */
typedef bool quarry_tsdb_resolve_function(void *argument, size_t entry_index,
                                          struct quarry_tsdb_labels *ret_labels);

/* What is appended at once. All is borrowed for the call. */
struct quarry_tsdb_request {
    uint16_t tenant;
    /* Good samples are taken beside bad ones, as in remote write 2.0; else all or none, as in 1.0.
     * Entries with bad labels are left out in both, and fail nobody else. */
    bool is_partial;
    /* Samples of any time that is kept are taken, as if options.out_of_order_ms were all of it: for
     * what is imported. No window is purged for samples that are older than the newest one. */
    bool fills_past;
    const struct quarry_tsdb_entry *entries;
    size_t entry_count;
    quarry_tsdb_resolve_function *resolve; /* may be NULL when all entries have labels */
    void *resolve_argument;
    uint8_t *ret_refusals; /* one for each entry: its first refusal, or 0; NULL: not wanted */
};

/* What became of a request. */
struct quarry_tsdb_result {
    uint64_t taken_count;           /* samples, those that were there already included */
    uint64_t taken_histogram_count; /* of those, histograms */
    uint64_t taken_exemplar_count;  /* those that were there already included */
    uint64_t new_series_count;
    uint64_t refused_counts[QUARRY_TSDB_REFUSALS]; /* samples, by why; of a known series or not */
    uint64_t refused_exemplar_count;
    enum quarry_tsdb_refusal first;   /* the first refusal that fails the request */
    size_t first_entry, first_sample; /* histograms are numbered behind all floats of the entry */
};

/*
 * Appends samples.
 *
 * `ret_result`: written always.
 * Returns: QUARRY_OK: all taken, but for entries with bad labels.
 * Errors: QUARRY_BAD_INPUT: a sample was refused by the rules; a partial request's others are in.
 * QUARRY_TOO_MANY: by a limit; QUARRY_NO_MEMORY: the budget. Both may be tried again later, whole:
 * what is in already is taken as nothing. QUARRY_NO_ADDRESS, QUARRY_TOO_LARGE (2^32 samples).
 * Threads: any. When other threads append to the same series at the same time, what has become out
 * of order since it was looked at is left out and counted, as Prometheus does.
 * Cost: for a known series about two cache lines and 100 ns a sample; a lock for each of the 64
 * shards that it touches.
 */
QUARRY_EXPORT enum quarry_status quarry_tsdb_append(struct quarry_tsdb *tsdb,
                                                    const struct quarry_tsdb_request *request,
                                                    struct quarry_tsdb_result *ret_result);

/* ---- reading -------------------------------------------------------------------------------- */

/* How a matcher compares a label's value; an absent label has the value "". */
enum quarry_tsdb_match {
    QUARRY_TSDB_EQUAL = 0,
    QUARRY_TSDB_NOT_EQUAL = 1,
    QUARRY_TSDB_REGEX = 2, /* RE2, anchored at both ends */
    QUARRY_TSDB_NOT_REGEX = 3
};

struct quarry_tsdb_matcher {
    enum quarry_tsdb_match match;
    struct quarry_tsdb_slice name, value;
};

/* Which series, and which of their samples. */
struct quarry_tsdb_query {
    uint16_t tenant;
    const struct quarry_tsdb_matcher *matchers; /* all of them match; 0: every series */
    size_t matcher_count;
    int64_t min_ms, max_ms; /* both included */
    bool has_no_limit;      /* options.query_series_count is not for it */
};

/*
 * Selects series, in the order of their labels. Those of which no sample can be in the span may be
 * among them, with none.
 *
 * `query`: borrowed for the call. `ret_set`: own; end it with quarry_tsdb_set_close.
 * `error`: may be NULL.
 * Errors: QUARRY_BAD_INPUT (a regular expression), QUARRY_TOO_LARGE (series of one query),
 * QUARRY_NO_MEMORY.
 * Cost: a set keeps the windows that were there when it was made, until it is closed.
 */
QUARRY_EXPORT enum quarry_status quarry_tsdb_select(struct quarry_tsdb *tsdb,
                                                    const struct quarry_tsdb_query *query,
                                                    struct quarry_tsdb_set **ret_set,
                                                    struct quarry_error *error);

/* Ends a set; its cursors have ended before. `set`: given; NULL does nothing. */
QUARRY_EXPORT void quarry_tsdb_set_close(struct quarry_tsdb_set *set);

/* How many series a set has: they are numbered from 0. */
QUARRY_EXPORT size_t quarry_tsdb_set_count(const struct quarry_tsdb_set *set);

/*
 * The labels of a series of a set.
 *
 * `labels`: room for `capacity`; NULL for 0. What they point to is borrowed until the set is
 * closed. Returns: how many there are, which may be more than were written.
 */
QUARRY_EXPORT size_t quarry_tsdb_set_labels(const struct quarry_tsdb_set *set, size_t index,
                                            struct quarry_tsdb_label *labels, size_t capacity);

/*
 * Samples in rising time, no moment twice: floats alone, or histograms alone. Borrowed until the
 * cursor's next call.
 */
struct quarry_tsdb_block {
    const int64_t *t_ms;
    const uint64_t *bits; /* of floats; with histograms those of their sums */
    const struct quarry_tsdb_histogram *histograms; /* `count` of them; NULL: floats */
    uint32_t count;                                 /* 1 to QUARRY_TSDB_BLOCK_SAMPLES */
};

/*
 * Creates a cursor over a set's samples, one series at a time.
 *
 * `set`: borrowed until the cursor is destroyed. `ret_cursor`: own; quarry_tsdb_cursor_destroy.
 * Errors: QUARRY_NO_MEMORY. Cost: about 15 KiB, and with a series of histograms what 64 of them
 * need.
 */
QUARRY_EXPORT enum quarry_status quarry_tsdb_cursor_create(struct quarry_tsdb_set *set,
                                                           struct quarry_tsdb_cursor **ret_cursor);
/* `cursor`: given; NULL does nothing. */
QUARRY_EXPORT void quarry_tsdb_cursor_destroy(struct quarry_tsdb_cursor *cursor);

/* Begins with a series of the set, at the query's `min_ms`. */
QUARRY_EXPORT void quarry_tsdb_cursor_series(struct quarry_tsdb_cursor *cursor, size_t index);

/*
 * The next samples of the series, up to the query's `max_ms`. Those that are appended meanwhile
 * may be among them.
 *
 * Errors: QUARRY_NOT_FOUND: there are no more; QUARRY_NO_MEMORY: for late samples to be sorted or
 * for histograms, and the same call may succeed later; QUARRY_CORRUPT: sealed bytes make no sense.
 * Cost: some nanoseconds a sample.
 */
QUARRY_EXPORT enum quarry_status quarry_tsdb_cursor_next(struct quarry_tsdb_cursor *cursor,
                                                         struct quarry_tsdb_block *ret_block);

/* Takes a name or a value. Returns: false: no more are wanted. */
typedef bool quarry_tsdb_name_function(void *argument, struct quarry_tsdb_slice name);

/*
 * Names of labels, and values of one, in order: of the series that match; their span of time is
 * not looked at.
 *
 * Errors: as quarry_tsdb_select. Threads: `each` is called with nothing held, and may call the
 * store.
 */
QUARRY_EXPORT enum quarry_status quarry_tsdb_label_names(struct quarry_tsdb *tsdb,
                                                         const struct quarry_tsdb_query *query,
                                                         quarry_tsdb_name_function *each,
                                                         void *argument,
                                                         struct quarry_error *error);
QUARRY_EXPORT enum quarry_status
quarry_tsdb_label_values(struct quarry_tsdb *tsdb, const struct quarry_tsdb_query *query,
                         struct quarry_tsdb_slice name, quarry_tsdb_name_function *each,
                         void *argument, struct quarry_error *error);

/*
 * Takes the exemplars of one series: in rising time, those of one moment by value.
 *
 * `series`, `exemplars`: borrowed for the call. Returns: false: no more are wanted.
 */
typedef bool quarry_tsdb_exemplar_function(void *argument, const struct quarry_tsdb_labels *series,
                                           const struct quarry_tsdb_exemplar *exemplars,
                                           size_t count);

/*
 * Exemplars of the series that match, within the query's span; series in the order of their labels,
 * those without any left out.
 *
 * Errors: as quarry_tsdb_select. Threads: `each` is called with nothing held, and may call the
 * store. Cost: that of selecting, and a lock for each series.
 */
QUARRY_EXPORT enum quarry_status quarry_tsdb_exemplars(struct quarry_tsdb *tsdb,
                                                       const struct quarry_tsdb_query *query,
                                                       quarry_tsdb_exemplar_function *each,
                                                       void *argument, struct quarry_error *error);

/* ---- deleting ------------------------------------------------------------------------------- */

/*
 * Deletes the samples that queries would find: all of them, or none where it fails. With a
 * directory that is durable when it returns.
 *
 * Samples of a series that come later and behind its last one that was deleted are seen; those that
 * come late in between are not, until quarry_tsdb_clean. Labels may be named as long as the series'
 * window is kept. Exemplars stay.
 *
 * `queries`: borrowed for the call; `has_no_limit` is not looked at.
 * Errors: QUARRY_BAD_INPUT (a regular expression), QUARRY_TOO_MANY (2^20 spans are kept, and 16 of
 * a series), QUARRY_BUSY (not ready), QUARRY_NO_MEMORY, those of <quarry/vfs.h>: after QUARRY_IO it
 * may be found deleted when the store is opened again.
 * Threads: any; one deletion or cleaning at a time. Cost: reads what it deletes, some nanoseconds a
 * sample, and writes the list of all that was deleted. Memory: 24 bytes a span, twice meanwhile.
 */
QUARRY_EXPORT enum quarry_status quarry_tsdb_delete(struct quarry_tsdb *tsdb,
                                                    const struct quarry_tsdb_query *queries,
                                                    size_t query_count, struct quarry_error *error);
/*
 * Has sealed windows give back the memory of what was deleted, and forget that it was. Open ones
 * are sealed without it in their time.
 *
 * Errors: QUARRY_BUSY (not ready; a window that is filled all the while), QUARRY_NO_MEMORY, those
 * of <quarry/vfs.h>: windows that are done stay so; the others are tried by the next call.
 * Threads: as above. Cost: some 100 ns for each sample of the windows that something of was
 * deleted, and their files.
 */
QUARRY_EXPORT enum quarry_status quarry_tsdb_clean(struct quarry_tsdb *tsdb,
                                                   struct quarry_error *error);

/* ---- windows -------------------------------------------------------------------------------- */

/*
 * Does one piece of what is due: sealing a shard of a window, purging a window, removing up to some
 * thousand series whose last window is gone, giving back what readers have left. For stores without
 * a thread; with one it may be called as well.
 *
 * Returns: whether something was done, so that it should be called again.
 * Threads: one piece at a time; others wait. Cost: some milliseconds.
 */
QUARRY_EXPORT bool quarry_tsdb_turn(struct quarry_tsdb *tsdb);

/*
 * Purges the oldest window now, in whatever state, counted as early.
 *
 * Errors: QUARRY_NOT_FOUND: there is none but the newest.
 */
QUARRY_EXPORT enum quarry_status quarry_tsdb_purge_oldest(struct quarry_tsdb *tsdb);

/* One window. */
struct quarry_tsdb_window {
    int64_t start_ms, end_ms;          /* end excluded */
    uint32_t sealed_shard_count;       /* of 64 */
    uint64_t series_count;             /* with samples in it: sealed shards' */
    uint64_t sample_count;             /* late ones and duplicates among them included while open */
    uint64_t open_bytes, sealed_bytes; /* pages charged */
    uint64_t open_used_bytes, sealed_used_bytes; /* of those, what holds something */
};

/*
 * Reads the windows, the oldest first.
 *
 * `windows`: room for `capacity`; NULL for 0. Returns: how many there are, which may be more than
 * were written.
 */
QUARRY_EXPORT size_t quarry_tsdb_windows(struct quarry_tsdb *tsdb,
                                         struct quarry_tsdb_window *windows, size_t capacity);

/* ---- files ---------------------------------------------------------------------------------- */

/*
 * Copies a store into another directory, to be opened there: of all that was appended before the
 * call, and maybe some of what is meanwhile. Files of windows are linked where that is possible.
 *
 * `directory`: borrowed for the call; it is not there, and its parent is, in the store's vfs.
 * Errors: QUARRY_UNSUPPORTED (no directory of its own), QUARRY_BUSY (not ready), QUARRY_EXISTS,
 * QUARRY_NO_MEMORY, those of <quarry/vfs.h>: what has been made by then stays.
 * Threads: any; other work on files waits. Cost: copies the log, and windows where there are no
 * links. Of durability NONE, samples of open windows are not in it.
 */
QUARRY_EXPORT enum quarry_status
quarry_tsdb_snapshot(struct quarry_tsdb *tsdb, const char *directory, struct quarry_error *error);

/*
 * Reads every byte of a directory that no store has open, and changes nothing.
 *
 * `options`: of which memory, directory, vfs, lost and lost_argument are looked at.
 * Errors: QUARRY_CORRUPT: something is damaged, which was told to `lost`; QUARRY_NO_MEMORY, those
 * of <quarry/vfs.h>.
 */
QUARRY_EXPORT enum quarry_status
quarry_tsdb_verify_directory(const struct quarry_tsdb_options *options, struct quarry_error *error);

/* The first losses that were told, up to 16. `losses`: room for `capacity`; NULL for 0. Returns:
 * how many there are, which may be more than were written. */
QUARRY_EXPORT size_t quarry_tsdb_losses(struct quarry_tsdb *tsdb, struct quarry_tsdb_loss *losses,
                                        size_t capacity);

/* ---- figures -------------------------------------------------------------------------------- */

struct quarry_tsdb_stats {
    uint64_t series_count;    /* now */
    uint64_t tenant_count;    /* with series */
    uint64_t window_count;    /* now */
    int64_t min_ms, max_ms;   /* of the windows; the store's time. 0 while it is empty */
    uint64_t taken_count;     /* samples, ever */
    uint64_t late_count;      /* of those, out of order */
    uint64_t repeated_count;  /* of those, there already */
    uint64_t raced_count;     /* out of order by the time they were written, and left out */
    uint64_t histogram_count; /* of those taken, histograms */
    uint64_t exemplar_count, exemplar_bytes;               /* that are kept now, of all tenants */
    uint64_t taken_exemplar_count, refused_exemplar_count; /* ever */
    uint64_t refused_counts[QUARRY_TSDB_REFUSALS];
    uint64_t created_series_count, removed_series_count; /* ever */
    uint64_t visited_series_count; /* looked at for removal; a purge looks at none */
    uint64_t sealed_shard_count;   /* ever */
    uint64_t early_shard_count;    /* of those, before their time, for want of memory */
    uint64_t purged_window_count;  /* ever */
    uint64_t early_window_count;   /* of those, before their time: samples were lost */
    uint64_t filling_count;        /* sealed windows that were opened to be filled, ever */
    uint64_t open_filling_count;   /* of those, that are not sealed anew yet */
    uint64_t filling_failed_count; /* tries to seal one anew that found no memory, ever */
    uint64_t tombstone_count;      /* spans of series that were deleted, and are there still */
    uint64_t offered_window_count; /* that options.before_purge took, ever */
    uint64_t offer_failed_count;   /* calls of it that failed */
    uint64_t untaken_window_count; /* of those purged, that it has not taken */
    uint64_t registry_bytes, open_bytes, sealed_bytes, query_bytes, meta_bytes; /* charged */
    uint64_t charged_bytes;                                                     /* their sum */
    uint64_t peak_bytes; /* the most that was charged */
    /* Of a directory; 0 without one. */
    bool is_ready;                 /* true without one */
    enum quarry_status log_status; /* QUARRY_OK, or of the sync that failed */
    uint64_t log_bytes, log_segment_count,
        log_sample_count;                      /* bytes and samples: of this opening */
    uint64_t log_sync_count, log_failed_count; /* requests that could not be logged */
    uint64_t replayed_count;                   /* samples of the log, when it was opened */
    uint64_t loss_count, lost_sample_count;
    uint64_t left_out_series_count;                 /* that had no room when it was opened */
    uint64_t window_file_count;                     /* now */
    uint64_t saved_window_count, save_failed_count; /* ever; tries that failed */
    uint64_t snapshot_count, snapshot_failed_count;
};

/* Reads the figures; each is exact, together they are of about one moment. Cost: some loads. */
QUARRY_EXPORT void quarry_tsdb_read_stats(struct quarry_tsdb *tsdb,
                                          struct quarry_tsdb_stats *ret_stats);

/*
 * Changes a tenant's limits while running; 0: as in the options.
 *
 * Errors: QUARRY_NO_MEMORY.
 */
QUARRY_EXPORT enum quarry_status quarry_tsdb_set_limits(struct quarry_tsdb *tsdb, uint16_t tenant,
                                                        const struct quarry_tsdb_limits *limits);

/* What the series of one metric name may have together; 0: no bound. */
struct quarry_tsdb_metric_limits {
    uint64_t series_count;       /* at a time */
    uint64_t samples_per_second; /* over a second of the wall's clock */
    /* Samples that are older than the store's time by more are not read any more, and when a window
     * is sealed that ended before that, they are left out of it. */
    int64_t retention_ms;
};

/*
 * Gives a tenant's metric limits, or other ones; also while running.
 *
 * `metric`: the value of the label __name__; borrowed for the call.
 * Errors: QUARRY_NO_MEMORY; QUARRY_BAD_INPUT: no name, or one of more than 65,535 bytes, or a
 * retention below 0. Cost: while any metric has limits, a hash of the name for each entry appended.
 */
QUARRY_EXPORT enum quarry_status
quarry_tsdb_set_metric_limits(struct quarry_tsdb *tsdb, uint16_t tenant,
                              struct quarry_tsdb_slice metric,
                              const struct quarry_tsdb_metric_limits *limits);

/*
 * Checks every structure against every other: chains lead where they say, samples rise in time,
 * counts and charges add up.
 *
 * `error`: names the first difference; may be NULL. Errors: QUARRY_CORRUPT, QUARRY_NO_MEMORY.
 * Threads: nobody appends, seals or purges meanwhile. Cost: every sample is decoded.
 */
QUARRY_EXPORT enum quarry_status quarry_tsdb_validate(struct quarry_tsdb *tsdb,
                                                      struct quarry_error *error);

#ifdef __cplusplus
}
#endif

#endif
