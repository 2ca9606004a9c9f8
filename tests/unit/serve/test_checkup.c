/*
 * The rules of a checkup: for each there is a plant, a change of figures of a server that is well.
 * Planted alone it is found, and nothing else is; without any nothing is found.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <serve/checkup/checkup.h>
#include <serve/checkup/history.h>
#include <serve/checkup/rules.h>

#define MINUTE_NS (60 * Q_SECOND_NS)

static struct checkup_look now, before;
static struct checkup_report report;

/* ---- a server that is well ------------------------------------------------------------------ */

static void plant_health(void)
{
    now = (struct checkup_look){
        .has_host = true,
        .has_server = true,
        .has_cache = true,
        .has_kv = true,
        .has_tsdb = true,
        .host = {.ram_bytes = Q_GIB(8),
                 .cgroup_limit_bytes = Q_GIB(4),
                 .resident_bytes = Q_GIB(2),
                 .overcommit_mode = 1,
                 .commit_limit_bytes = Q_GIB(4),
                 .commit_used_bytes = Q_GIB(4),
                 .file_count = 100,
                 .file_limit = 20000,
                 .somaxconn = 4096,
                 .huge_pages = CHECKUP_HUGE_ADVISED,
                 .cpu_count = 4,
                 .clock = "tsc"},
        .wanted = {.budget_bytes = Q_GIB(3), .files = 10128, .backlog = 1024, .threads = 4},
        .server = {.limit_bytes = Q_GIB(3),
                   .committed_bytes = Q_GIB(2),
                   .connection_count = 5000,
                   .connections_max = 10000,
                   .turned_away_count = 3,
                   .no_descriptor_count = 3,
                   .slow_reader_count = 3,
                   .slow_writer_count = 3,
                   .tls_failed_count = 3,
                   .log_left_out_count = 3,
                   .lag_max_ns = 90 * Q_MS_NS},
        .cache = {.size_bytes = Q_GIB(1),
                  .page_bytes = Q_GIB(1),
                  .cell_bytes = Q_MIB(1000),
                  .request_bytes = Q_MIB(900),
                  .item_count = 1000000,
                  .hit_count = 900000,
                  .miss_count = 100000,
                  .eviction_count = 1000,
                  .refused_count = 3,
                  .evicted_age_s = 3600,
                  .is_full = true,
                  .quota_tenant = "acme",
                  .quota_bytes = Q_MIB(100),
                  .quota_used_bytes = Q_MIB(90),
                  .idle_class_bytes = Q_MIB(50),
                  .hot_tenant = "acme",
                  .hot_key_count = 20000,
                  .hot_all_count = 900000},
        .kv = {.level0_count = 3,
               .level0_bytes = Q_MIB(100),
               .file_bytes = Q_GIB(10),
               .moving_bytes = Q_MIB(400),
               .level0_score = 0.8,
               .throttled_ns = Q_SECOND_NS,
               .stopped_ns = Q_SECOND_NS,
               .memtable_count = 2,
               .memtable_bytes = Q_MIB(100),
               .write_buffer_bytes = Q_MIB(64),
               .block_bytes = Q_MIB(500),
               .pinned_bytes = Q_MIB(5),
               .snapshot_count = 2,
               .iterator_count = 2,
               .oldest_snapshot_ns = MINUTE_NS,
               .obsolete_bytes = Q_MIB(60),
               .disk_bytes = Q_GIB(100),
               .disk_free_bytes = Q_GIB(50)},
        .tsdb = {.series_count = 50000,
                 .charged_bytes = Q_MIB(100),
                 .taken_count = 1000000,
                 .created_series_count = 60000,
                 .removed_series_count = 10000,
                 .late_refused_count = 3,
                 .series_refused_count = 3,
                 .rate_refused_count = 3,
                 .memory_refused_count = 3,
                 .early_window_count = 3,
                 .early_shard_count = 3,
                 .unexported_window_count = 3,
                 .log_failed_count = 3,
                 .save_failed_count = 3,
                 .top_label = "instance",
                 .top_label_value_count = 4000,
                 .target_count = 10},
    };
    before = now;
    before.cache.hit_count -= 90000;
    before.cache.miss_count -= 10000;
    before.cache.eviction_count -= 1000;
    before.tsdb.taken_count -= 100000;
    before.tsdb.series_count -= 100;
    before.tsdb.created_series_count -= 200;
    before.tsdb.removed_series_count -= 100;
}

static void examine(void)
{
    const struct checkup_facts facts = {.now = &now, .before = &before, .over_ns = 5 * MINUTE_NS};

    checkup_examine(&facts, CHECKUP_ALL_PARTS, &report);
}

/* ---- plants --------------------------------------------------------------------------------- */

struct plant {
    const char *id;
    void (*plant)(void);
    enum checkup_severity severity;
    const char *words; /* of its text: figures above all */
};

/* A plant of one line. */
#define PLANT(name, ...)                                                                           \
    static void plant_##name(void)                                                                 \
    {                                                                                              \
        __VA_ARGS__;                                                                               \
    }

PLANT(budget, now.wanted.budget_bytes = Q_GIB(4) - 1)
PLANT(cgroup, now.host.resident_bytes = Q_GIB(4) - Q_MIB(1))
PLANT(overcommit, now.host.overcommit_mode = 2)
PLANT(huge_pages, now.host.huge_pages = CHECKUP_HUGE_ALWAYS)
PLANT(files, now.host.file_limit = 1024)
PLANT(open_files, now.host.file_count = 19000)
PLANT(backlog, now.host.somaxconn = 128)
PLANT(swap, now.host.swapped_bytes = Q_MIB(7))
PLANT(clock, strcpy(now.host.clock, "hpet"))
PLANT(quota, now.host.cpu_quota_milli = 1500)
PLANT(root, now.host.is_root = true)

PLANT(connections, now.server.connection_count = 9000)
PLANT(turned_away, now.server.turned_away_count += 12)
PLANT(descriptors, now.server.no_descriptor_count += 5)
PLANT(readers, now.server.slow_reader_count += 2; now.server.waiting_bytes = Q_MIB(9))
PLANT(writers, now.server.slow_writer_count += 4)
PLANT(lag, now.server.lag_max_ns = 250 * Q_MS_NS)
PLANT(long_lag, now.server.lag_max_ns = 2 * Q_SECOND_NS)
PLANT(tls, now.server.tls_failed_count += 8)
PLANT(log, now.server.log_left_out_count += 77)

PLANT(age, now.cache.evicted_age_s = 12)
PLANT(misses, now.cache.hit_count = before.cache.hit_count + 3000;
      now.cache.miss_count = before.cache.miss_count + 7000)
PLANT(tenant, now.cache.quota_used_bytes = Q_MIB(99))
PLANT(rounding, now.cache.request_bytes = Q_MIB(600))
PLANT(class, now.cache.idle_class_bytes = Q_MIB(200); now.cache.idle_class_cell_bytes = 1184;
      now.cache.idle_class_page_count = 210)
PLANT(hot, now.cache.hot_key_count = 300000)
PLANT(refused, now.cache.refused_count += 6)

PLANT(throttled, now.kv.throttled_ns += 6 * Q_SECOND_NS)
PLANT(stopped, now.kv.stopped_ns += MINUTE_NS)
PLANT(level0, now.kv.level0_count = 20; now.kv.level0_score = 2.5)
PLANT(snapshot, now.kv.oldest_snapshot_ns = 90 * MINUTE_NS)
PLANT(obsolete, now.kv.obsolete_bytes = Q_GIB(2))
PLANT(pinned, now.kv.pinned_bytes = Q_MIB(300))
PLANT(memtables, now.kv.memtable_count = 5; now.kv.memtable_bytes = Q_MIB(300))
PLANT(space, now.kv.disk_free_bytes = Q_MIB(300))
PLANT(no_space, now.kv.disk_free_bytes = Q_MIB(30))
PLANT(read_only, now.kv.is_read_only = true; strcpy(now.kv.reason, "the log cannot be synced"))

PLANT(growth, now.tsdb.series_count += 20000; now.tsdb.created_series_count += 20000)
PLANT(churn, now.tsdb.created_series_count += 20000; now.tsdb.removed_series_count += 20000)
PLANT(label, strcpy(now.tsdb.top_label, "user_id"); now.tsdb.top_label_value_count = 30000)
PLANT(series, now.tsdb.series_refused_count += 41)
PLANT(rate, now.tsdb.rate_refused_count += 42)
PLANT(memory, now.tsdb.memory_refused_count += 43)
PLANT(late, now.tsdb.late_refused_count += 50000)
PLANT(early, now.tsdb.early_window_count += 2)
PLANT(early_shards, now.tsdb.early_shard_count += 9)
PLANT(export, now.tsdb.unexported_window_count += 1)
PLANT(disk, now.tsdb.log_failed_count += 44)
PLANT(left_out, now.tsdb.left_out_series_count = 45)
PLANT(targets, now.tsdb.target_down_count = 3; strcpy(now.tsdb.down_job, "node");
      strcpy(now.tsdb.down_reason, "connection refused"))

static const struct plant plants[] = {
    {"budget-of-machine", plant_budget, CHECKUP_WARNING, "of the 4 GiB that the process may have"},
    {"cgroup-limit", plant_cgroup, CHECKUP_WARNING,
     "of the process are resident, of the cgroup's 4 GiB"},
    {"overcommit", plant_overcommit, CHECKUP_WARNING, "1 GiB are left of memory.limit"},
    {"huge-pages", plant_huge_pages, CHECKUP_NOTE, "'always'"},
    {"files", plant_files, CHECKUP_WARNING, "1024 files may be open, 100 are, and 10128 may"},
    {"files", plant_open_files, CHECKUP_CRITICAL, "20000 files may be open, 19000 are"},
    {"backlog", plant_backlog, CHECKUP_WARNING, "cuts net.backlog, 1024, to 128"},
    {"swap", plant_swap, CHECKUP_WARNING, "7 MiB of the process are swapped out"},
    {"clock", plant_clock, CHECKUP_WARNING, "'hpet'"},
    {"cpu-quota", plant_quota, CHECKUP_NOTE, "1.50 CPUs to 4 loops"},
    {"root", plant_root, CHECKUP_WARNING, "runs as root"},
    {"connections", plant_connections, CHECKUP_WARNING, "9000 of 10000 connections are open"},
    {"connections", plant_turned_away, CHECKUP_CRITICAL, "12 were turned away over the last 5 min"},
    {"descriptors", plant_descriptors, CHECKUP_CRITICAL, "stopped 5 times"},
    {"slow-clients", plant_readers, CHECKUP_WARNING, "2 clients that took no answers"},
    {"slow-clients", plant_writers, CHECKUP_WARNING, "4 that did not finish"},
    {"loop-lag", plant_lag, CHECKUP_NOTE, "took 0.25 s"},
    {"loop-lag", plant_long_lag, CHECKUP_WARNING, "took 2.00 s"},
    {"tls-handshakes", plant_tls, CHECKUP_NOTE, "8 TLS handshakes"},
    {"log-lines", plant_log, CHECKUP_NOTE, "77 lines of the log"},
    {"cache-age", plant_age, CHECKUP_WARNING,
     "1000 items were evicted over the last 5 min; the "
     "last had not been read for 12 s"},
    {"cache-misses", plant_misses, CHECKUP_WARNING, "Of 10000 gets 30 % found"},
    {"cache-quota", plant_tenant, CHECKUP_NOTE, "Tenant 'acme' has 99 MiB of its quota of 100 MiB"},
    {"cache-rounding", plant_rounding, CHECKUP_WARNING, "of 1000 MiB of cells hold neither"},
    {"cache-class", plant_class, CHECKUP_NOTE, "200 MiB are free in 210 pages of cells of 1184"},
    {"cache-hot-key", plant_hot, CHECKUP_NOTE, "About 33 % of the hits of tenant 'acme'"},
    {"cache-refused", plant_refused, CHECKUP_WARNING, "6 items were refused"},
    {"kv-stalls", plant_throttled, CHECKUP_WARNING, "slowed by 6.00 s"},
    {"kv-stalls", plant_stopped, CHECKUP_CRITICAL, "stood still for 60.00 s"},
    {"kv-level0", plant_level0, CHECKUP_WARNING, "20 files, 100 MiB, and a score of 2.5"},
    {"kv-snapshot-age", plant_snapshot, CHECKUP_WARNING, "oldest of 2 snapshots is 90 min old"},
    {"kv-obsolete-files", plant_obsolete, CHECKUP_NOTE, "2 GiB of files are kept only for 2"},
    {"kv-pinned-blocks", plant_pinned, CHECKUP_WARNING, "300 MiB of 500 MiB of the block cache"},
    {"kv-memtables", plant_memtables, CHECKUP_WARNING, "5 memtables hold 300 MiB"},
    {"kv-space", plant_space, CHECKUP_WARNING, "300 MiB are free"},
    {"kv-space", plant_no_space, CHECKUP_CRITICAL, "30 MiB are free"},
    {"kv-read-only", plant_read_only, CHECKUP_CRITICAL, "read-only: the log cannot be synced"},
    {"tsdb-growth", plant_growth, CHECKUP_WARNING, "There are 70000 series, 20100 more"},
    {"tsdb-churn", plant_churn, CHECKUP_NOTE, "20200 series began and 20100 went"},
    {"tsdb-label", plant_label, CHECKUP_WARNING, "Label 'user_id' has 30000 values"},
    {"tsdb-series-limit", plant_series, CHECKUP_WARNING, "41 samples of new series"},
    {"tsdb-rate-limit", plant_rate, CHECKUP_WARNING, "42 samples"},
    {"tsdb-memory", plant_memory, CHECKUP_CRITICAL, "43 samples"},
    {"tsdb-late", plant_late, CHECKUP_WARNING, "50000 samples were refused"},
    {"tsdb-early-window", plant_early, CHECKUP_CRITICAL, "2 windows were purged"},
    {"tsdb-early-window", plant_early_shards, CHECKUP_NOTE, "9 shards sealed"},
    {"tsdb-export", plant_export, CHECKUP_CRITICAL, "1 windows were purged"},
    {"tsdb-disk", plant_disk, CHECKUP_CRITICAL, "44 requests could not be logged"},
    {"tsdb-left-out", plant_left_out, CHECKUP_CRITICAL, "45 series had no room"},
    {"tsdb-targets", plant_targets, CHECKUP_WARNING,
     "3 of 10 scrape targets are down; one of job 'node': connection refused"},
};
#define PLANT_COUNT (sizeof plants / sizeof plants[0])

/* ---- tests ---------------------------------------------------------------------------------- */

static void a_server_that_is_well_has_no_findings(void **state)
{
    (void)state;
    plant_health();
    examine();
    assert_int_equal(report.count, 0);
    /* Nor one of which nothing is known. */
    now = before = (struct checkup_look){
        .has_host = true, .has_server = true, .has_cache = true, .has_kv = true, .has_tsdb = true};
    examine();
    assert_int_equal(report.count, 0);
}

static void each_plant_is_found_and_nothing_else(void **state)
{
    (void)state;
    for (size_t i = 0; i < PLANT_COUNT; i++) {
        plant_health();
        plants[i].plant();
        examine();
        if (report.count != 1 || strcmp(checkup_cause(&report.finding[0]), plants[i].id) != 0 ||
            report.finding[0].severity != plants[i].severity ||
            strstr(report.finding[0].text, plants[i].words) == NULL) {
            fail_msg("plant %zu, %s: %u findings; %s: %s", i, plants[i].id, report.count,
                     report.count == 0 ? "" : checkup_cause(&report.finding[0]),
                     report.count == 0 ? "" : report.finding[0].text);
        }
        /* It is not news any more once both looks have it; what is now is told again. */
        before = now;
        examine();
        assert_true(report.count <= 1);
    }
}

static bool has_plant(const char *id)
{
    for (size_t i = 0; i < PLANT_COUNT; i++) {
        if (strcmp(plants[i].id, id) == 0) {
            return true;
        }
    }
    return false;
}

static void each_rule_has_a_plant_and_says_what_mends_it(void **state)
{
    uint32_t count = 0;

    (void)state;
    for (size_t part = 0; part < CHECKUP_PARTS; part++) {
        for (const struct checkup_rule *rule = checkup_rules[part]; rule->id != NULL; rule++) {
            if (!has_plant(rule->id)) {
                fail_msg("no plant for %s", rule->id);
            }
            assert_true(strlen(rule->id) < 32);
            assert_true(strlen(rule->why) > 10);
            assert_true(strlen(rule->mends) > 10 && strlen(rule->mends) < 320);
            count++;
        }
    }
    assert_true(count <= CHECKUP_FINDINGS_MAX);
}

static void the_page_has_each_rule_and_what_mends_it(void **state)
{
    static char page[1 << 16], wanted[512];
    FILE *file = fopen(QUARRY_DOCTOR_PAGE, "r");

    (void)state;
    assert_non_null(file);
    page[fread(page, 1, sizeof page - 1, file)] = '\0';
    fclose(file);
    for (size_t part = 0; part < CHECKUP_PARTS; part++) {
        for (const struct checkup_rule *rule = checkup_rules[part]; rule->id != NULL; rule++) {
            snprintf(wanted, sizeof wanted, "\n| `%s` | ", rule->id);
            const char *row = strstr(page, wanted);
            snprintf(wanted, sizeof wanted, " | %s |\n", rule->mends);
            const char *mends = row == NULL ? NULL : strstr(row, wanted);
            if (mends == NULL || mends > strchr(row + 1, '\n')) {
                fail_msg("docs/doctor.md says nothing, or another thing, of %s", rule->id);
            }
        }
    }
}

static void what_is_worst_comes_first(void **state)
{
    (void)state;
    plant_health();
    plant_huge_pages();
    plant_swap();
    plant_rounding();
    plant_no_space();
    examine();
    assert_int_equal(report.count, 4);
    assert_string_equal(checkup_cause(&report.finding[0]), "kv-space");
    assert_string_equal(checkup_cause(&report.finding[1]), "cache-rounding");
    assert_string_equal(checkup_cause(&report.finding[2]), "swap");
    assert_string_equal(checkup_cause(&report.finding[3]), "huge-pages");
}

static void everything_at_once_has_room(void **state)
{
    (void)state;
    plant_health();
    for (size_t i = 0; i < PLANT_COUNT; i++) {
        plants[i].plant();
    }
    memset(now.kv.reason, 'x', sizeof now.kv.reason - 1);
    memset(now.tsdb.down_reason, 'y', sizeof now.tsdb.down_reason - 1);
    examine();
    assert_true(report.count > 35);
    for (uint32_t i = 0; i < report.count; i++) {
        assert_true(strlen(report.finding[i].text) < CHECKUP_TEXT_BYTES);
    }
}

static void parts_that_are_not_asked_or_not_there_say_nothing(void **state)
{
    const struct checkup_facts facts = {.now = &now, .before = &before, .over_ns = MINUTE_NS};

    (void)state;
    plant_health();
    plant_swap();
    plant_read_only();
    checkup_examine(&facts, 1u << CHECKUP_KV, &report);
    assert_int_equal(report.count, 1);
    assert_int_equal(report.finding[0].part, CHECKUP_KV);
    now.has_kv = false;
    checkup_examine(&facts, 1u << CHECKUP_KV, &report);
    assert_int_equal(report.count, 0);
}

/* What is counted once is told for an interval at least, and not after two of them. */
static void what_is_over_is_forgotten(void **state)
{
    static struct checkup_history history;
    const struct checkup_facts facts = {
        .now = &now, .before = &history.earlier, .over_ns = MINUTE_NS};
    const uint64_t begin_ns = 7 * Q_SECOND_NS, step_ns = CHECKUP_INTERVAL_NS;

    (void)state;
    plant_health();
    checkup_history_begin(&history, &now, begin_ns);
    assert_false(checkup_history_is_due(&history, begin_ns + step_ns - 1));
    assert_true(checkup_history_is_due(&history, begin_ns + step_ns));
    plant_refused();
    for (uint64_t step = 1; step <= 3; step++) {
        checkup_examine(&facts, 1u << CHECKUP_CACHE, &report);
        assert_int_equal(report.count, step <= 2 ? 1 : 0);
        checkup_history_add(&history, &now, begin_ns + step * step_ns);
        assert_int_equal(history.earlier_ns, begin_ns + (step - 1) * step_ns);
        assert_false(checkup_history_is_due(&history, begin_ns + step * step_ns));
    }
}

/* ---- the machine ---------------------------------------------------------------------------- */

static char root[64];

static void make_folders(const char *path)
{
    char folder[256];

    snprintf(folder, sizeof folder, "%s", path);
    for (char *at = folder + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        (void)mkdir(folder, 0700);
        *at = '/';
    }
}

static void put_file(const char *name, const char *text)
{
    char path[256];

    snprintf(path, sizeof path, "%s%s", root, name);
    make_folders(path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    fclose(file);
}

static void remove_root(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf '%s'", root);
    assert_int_equal(system(command), 0);
}

static void the_machine_is_read_from_its_files(void **state)
{
    struct checkup_host host;

    (void)state;
    strcpy(root, "/tmp/quarry-checkup-XXXXXX");
    assert_non_null(mkdtemp(root));
    put_file("/proc/meminfo", "MemTotal:  1024 kB\nCommitLimit:  512 kB\nCommitted_AS: 256 kB\n");
    put_file("/proc/sys/vm/overcommit_memory", "2\n");
    put_file("/proc/sys/net/core/somaxconn", "128\n");
    put_file("/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n");
    put_file("/sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n");
    put_file("/proc/77/status", "Pid:\t77\nUid:\t1000\t0\t0\t0\nRssAnon:\t1024 kB\n"
                                "RssShmem:\t 512 kB\nVmSwap:\t    2048 kB\n");
    put_file("/proc/77/limits", "Limit  Soft Limit\nMax open files            1024   "
                                "4096                 files     \n");
    put_file("/proc/77/fd/0", "");
    put_file("/proc/77/fd/1", "");
    checkup_read_host(root, 77, &host);
    assert_int_equal(host.ram_bytes, Q_MIB(1));
    assert_int_equal(host.overcommit_mode, 2);
    assert_int_equal(host.commit_limit_bytes, Q_KIB(512));
    assert_int_equal(host.commit_used_bytes, Q_KIB(256));
    assert_int_equal(host.somaxconn, 128);
    assert_int_equal(host.huge_pages, CHECKUP_HUGE_ALWAYS);
    assert_string_equal(host.clock, "hpet");
    assert_int_equal(host.swapped_bytes, Q_MIB(2));
    assert_int_equal(host.resident_bytes, Q_KIB(1536));
    assert_int_equal(host.file_limit, 1024);
    assert_int_equal(host.file_count, 2);
    assert_true(host.is_root);
    put_file("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    put_file("/proc/77/status", "Pid:\t77\nUid:\t0\t1000\t0\t0\n");
    put_file("/proc/77/limits", "Max open files            unlimited   unlimited  files\n");
    checkup_read_host(root, 77, &host);
    assert_int_equal(host.huge_pages, CHECKUP_HUGE_ADVISED);
    assert_false(host.is_root);
    assert_int_equal(host.swapped_bytes, 0);
    assert_true(host.file_limit == UINT64_MAX);
    remove_root();
}

/* Of a container that hides all, of files that are nonsense, and of a root that is too long. */
static void a_machine_that_says_nothing_is_not_known(void **state)
{
    static const struct checkup_host nothing;
    struct checkup_host host;
    char long_root[4096];

    (void)state;
    strcpy(root, "/tmp/quarry-checkup-XXXXXX");
    assert_non_null(mkdtemp(root));
    checkup_read_host(root, 77, &host);
    host.cpu_count = 0; /* the kernel is asked for it, not a file */
    assert_memory_equal(&host, &nothing, sizeof host);
    put_file("/proc/meminfo", "");
    put_file("/proc/sys/vm/overcommit_memory", "");
    put_file("/sys/kernel/mm/transparent_hugepage/enabled", "nonsense");
    put_file("/proc/77/status", "Pid:\nUid:\nVmSwap: -\n");
    put_file("/proc/77/limits", "Max open files");
    checkup_read_host(root, 77, &host);
    host.cpu_count = 0;
    assert_memory_equal(&host, &nothing, sizeof host);
    remove_root();
    memset(long_root, 'x', sizeof long_root - 1);
    long_root[sizeof long_root - 1] = '\0';
    checkup_read_host(long_root, 77, &host);
    host.cpu_count = 0;
    assert_memory_equal(&host, &nothing, sizeof host);
}

static void this_process_is_known(void **state)
{
    struct checkup_host host;

    (void)state;
    checkup_read_host("", 0, &host);
    assert_int_equal(host.is_root, geteuid() == 0);
    assert_true(host.file_count >= 3);
    assert_true(host.file_limit >= host.file_count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_that_is_well_has_no_findings),
        cmocka_unit_test(each_plant_is_found_and_nothing_else),
        cmocka_unit_test(each_rule_has_a_plant_and_says_what_mends_it),
        cmocka_unit_test(the_page_has_each_rule_and_what_mends_it),
        cmocka_unit_test(what_is_worst_comes_first),
        cmocka_unit_test(everything_at_once_has_room),
        cmocka_unit_test(parts_that_are_not_asked_or_not_there_say_nothing),
        cmocka_unit_test(what_is_over_is_forgotten),
        cmocka_unit_test(the_machine_is_read_from_its_files),
        cmocka_unit_test(a_machine_that_says_nothing_is_not_known),
        cmocka_unit_test(this_process_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
