/*
 * A checkup: rules that look at the figures of a machine and of a server, and say what is wrong,
 * why, and what mends it.
 *
 *     struct checkup_look now = {0};
 *     checkup_read_host("", 0, &now.host);
 *     ...                                     // the parts that there are: see has_*
 *     struct checkup_facts facts = {.now = &now, .before = &before, .over_ns = over_ns};
 *     struct checkup_report report;
 *     checkup_examine(&facts, CHECKUP_ALL_PARTS, &report);
 *
 * What is counted since the beginning is judged by what came since an earlier look, so that what
 * is over is not told for ever. Rules are rows of a table for each part (rules.h); they see figures
 * and nothing else, so that a test plants any condition.
 *
 * Threads: any. Cost: of examining, some microseconds; of reading the host, some files of /proc.
 */
#ifndef QUARRY_SERVE_CHECKUP_CHECKUP_H
#define QUARRY_SERVE_CHECKUP_CHECKUP_H

#include <base/base.h>

#define CHECKUP_NAME_BYTES   64u
#define CHECKUP_REASON_BYTES 200u

/* ---- figures -------------------------------------------------------------------------------- */

enum checkup_huge_pages {
    CHECKUP_HUGE_UNKNOWN,
    CHECKUP_HUGE_NEVER,
    CHECKUP_HUGE_ADVISED,
    CHECKUP_HUGE_ALWAYS,
};

/* The machine, and what a process may have of it. 0 and "": not known, and nothing is said. */
struct checkup_host {
    uint64_t ram_bytes, cgroup_limit_bytes;         /* limit 0: none */
    uint64_t resident_bytes, swapped_bytes;         /* of the process; files of the disk left out */
    uint64_t overcommit_mode;                       /* vm.overcommit_memory */
    uint64_t commit_limit_bytes, commit_used_bytes; /* what mode 2 lets all processes have */
    uint64_t file_count, file_limit;                /* of the process */
    uint64_t somaxconn;                             /* net.core.somaxconn */
    enum checkup_huge_pages huge_pages;
    uint32_t cpu_count, cpu_quota_milli; /* quota in 1/1000 of a CPU; 0: none */
    bool is_root;
    char clock[CHECKUP_NAME_BYTES]; /* of the kernel: "tsc" */
};

/* What the server wants of the machine, and what it may have. */
struct checkup_wanted {
    uint64_t budget_bytes; /* memory.limit */
    uint64_t files;        /* as many as may have to be open */
    uint64_t backlog;      /* net.backlog */
    uint64_t threads;      /* server.threads */
};

struct checkup_server {
    uint64_t limit_bytes, committed_bytes; /* of memory */
    uint64_t connection_count, connections_max;
    uint64_t turned_away_count, no_descriptor_count; /* ever, and so all below */
    uint64_t slow_reader_count, slow_writer_count, tls_failed_count;
    uint64_t log_left_out_count;
    uint64_t lag_max_ns;    /* the longest round of a loop */
    uint64_t waiting_bytes; /* now: answers that their readers have yet to take */
};

struct checkup_cache {
    uint64_t size_bytes, page_bytes, cell_bytes, request_bytes, item_count;
    uint64_t hit_count, miss_count, eviction_count, ghost_hit_count, refused_count; /* ever */
    uint64_t evicted_age_s; /* of the tenant that evicted most: how long the last went unread */
    bool is_full;
    /* Of the tenants with a quota, the fullest; quota 0: there is none. */
    char quota_tenant[CHECKUP_NAME_BYTES];
    uint64_t quota_bytes, quota_used_bytes;
    /* The class with most in cells that are free. */
    uint64_t idle_class_cell_bytes, idle_class_bytes, idle_class_page_count;
    /* The key that is read most, and all that was counted with it. */
    char hot_tenant[CHECKUP_NAME_BYTES];
    uint64_t hot_key_count, hot_all_count;
};

struct checkup_kv {
    uint64_t level0_count, level0_bytes, file_bytes, moving_bytes; /* moving: levels 0 and 1 */
    double level0_score;
    uint64_t throttled_ns, stopped_ns; /* ever */
    uint64_t memtable_count, memtable_bytes, write_buffer_bytes;
    uint64_t block_bytes, pinned_bytes;
    uint64_t snapshot_count, iterator_count, oldest_snapshot_ns, obsolete_bytes;
    uint64_t disk_free_bytes, disk_bytes; /* disk_bytes 0: not known */
    bool is_read_only;
    char reason[CHECKUP_REASON_BYTES]; /* of that */
};

struct checkup_tsdb {
    uint64_t series_count, charged_bytes;
    uint64_t taken_count, created_series_count, removed_series_count; /* ever, and so all below */
    uint64_t late_refused_count, series_refused_count, rate_refused_count, memory_refused_count;
    uint64_t early_window_count, early_shard_count, unexported_window_count;
    uint64_t log_failed_count, save_failed_count;
    uint64_t left_out_series_count; /* when it was opened */
    char top_label[CHECKUP_NAME_BYTES];
    uint64_t top_label_value_count;
    uint64_t target_count, target_down_count;                             /* now */
    char down_job[CHECKUP_NAME_BYTES], down_reason[CHECKUP_REASON_BYTES]; /* of one of them */
};

/* Everything at one moment. Parts that are not there say nothing. */
struct checkup_look {
    bool has_host, has_server, has_cache, has_kv, has_tsdb;
    struct checkup_host host;
    struct checkup_wanted wanted;
    struct checkup_server server;
    struct checkup_cache cache;
    struct checkup_kv kv;
    struct checkup_tsdb tsdb;
};

struct checkup_facts {
    const struct checkup_look *now;
    const struct checkup_look *before; /* the earlier one, what is counted judged from */
    uint64_t over_ns;                  /* between the two */
};

/*
 * Reads what the machine gives a process. `root` is prefixed to /proc and /sys ("" for the real
 * ones); `pid` 0: this process. What cannot be read is not known. Errors: none.
 */
void checkup_read_host(const char *root, uint32_t pid, struct checkup_host *ret_host);

/* ---- findings ------------------------------------------------------------------------------- */

enum checkup_severity {
    CHECKUP_FINE,     /* nothing to say */
    CHECKUP_NOTE,     /* good to know; or it goes away by itself */
    CHECKUP_WARNING,  /* worth a change */
    CHECKUP_CRITICAL, /* requests fail, or data goes */
};
extern const char *const checkup_severity_names[];

enum checkup_part {
    CHECKUP_SYSTEM,
    CHECKUP_SERVER,
    CHECKUP_CACHE,
    CHECKUP_KV,
    CHECKUP_TSDB,
    CHECKUP_PARTS,
};
extern const char *const checkup_part_names[CHECKUP_PARTS];
#define CHECKUP_ALL_PARTS ((1u << CHECKUP_PARTS) - 1)

#define CHECKUP_TEXT_BYTES   640u
#define CHECKUP_FINDINGS_MAX 48u

struct checkup_rule;

struct checkup_finding {
    const struct checkup_rule *rule;
    enum checkup_part part;
    enum checkup_severity severity;
    uint64_t bytes;                /* that it is about; 0: it is not about bytes */
    char text[CHECKUP_TEXT_BYTES]; /* what was found, in figures, and why it matters */
};

struct checkup_report {
    uint32_t count;
    struct checkup_finding finding[CHECKUP_FINDINGS_MAX];
};

/*
 * Looks at everything. `parts`: bits 1 << CHECKUP_…, of which rules are asked.
 * `ret_report`: worst first, then by bytes. About 33 KiB: not for a small stack.
 */
void checkup_examine(const struct checkup_facts *facts, uint32_t parts,
                     struct checkup_report *ret_report);

/* The word for scripts, and what mends it. */
const char *checkup_cause(const struct checkup_finding *finding);
const char *checkup_advice(const struct checkup_finding *finding);

#endif
