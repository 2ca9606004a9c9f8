/*
 * INFO: which sections, and those on the server, its clients and its counts.
 *
 * Names are Redis' own, for redis_exporter, client libraries and boards look at them; docs/resp.md
 * says what each one means here. What does not exist here is told as 0, as Redis tells what is
 * switched off. The section "Quarry" has what Redis has no name for.
 *
 * Cost: figures of all workers and of the store are added up once a call: some ten microseconds;
 * the sections on commands 20 µs more, as they go through all counts. Nothing waits.
 */
#include <serve/resp/info_sections.h>

#include <os/os.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <serve/resp/server_commands.h>
#include <serve/resp/state.h>

enum kind {
    KIND_DEFAULT, /* without being asked for */
    KIND_ALL,     /* by ALL and EVERYTHING */
};

struct section {
    const char *name, *title;
    enum kind kind;
    resp_info_section *write; /* NULL: it has a title alone */
};

static const struct section sections[] = {
    {"server", "Server", KIND_DEFAULT, resp_info_server},
    {"clients", "Clients", KIND_DEFAULT, resp_info_clients},
    {"memory", "Memory", KIND_DEFAULT, resp_info_memory},
    {"persistence", "Persistence", KIND_DEFAULT, resp_info_persistence},
    {"stats", "Stats", KIND_DEFAULT, resp_info_stats},
    {"replication", "Replication", KIND_DEFAULT, resp_info_replication},
    {"cpu", "CPU", KIND_DEFAULT, resp_info_cpu},
    {"modules", "Modules", KIND_DEFAULT, NULL},
    {"commandstats", "Commandstats", KIND_ALL, resp_info_commandstats},
    {"errorstats", "Errorstats", KIND_DEFAULT, resp_info_errorstats},
    {"latencystats", "Latencystats", KIND_ALL, resp_info_latencystats},
    {"cluster", "Cluster", KIND_DEFAULT, resp_info_cluster},
    {"keyspace", "Keyspace", KIND_DEFAULT, resp_info_keyspace},
    {"quarry", "Quarry", KIND_DEFAULT, resp_info_quarry},
};
#define SECTION_COUNT (sizeof sections / sizeof sections[0])

/* Whether a word asks for a section. */
static bool asks_for(struct quarry_kv_slice word, const struct section *section)
{
    return resp_is(word, section->name) || resp_is(word, "all") || resp_is(word, "everything") ||
           (resp_is(word, "default") && section->kind == KIND_DEFAULT);
}

static bool is_wanted(const struct resp_call *call, const struct section *section)
{
    bool is_asked_for = call->word_count == 1 && section->kind == KIND_DEFAULT;

    for (size_t i = 1; i < call->word_count && !is_asked_for; i++) {
        is_asked_for = asks_for(call->words[i], section);
    }
    return is_asked_for;
}

static void read_all(struct resp_info *info)
{
    resp_admin_read_figures(&info->figures);
    resp_admin_read_settings(&info->settings);
    resp_admin_read_store(&info->store);
    quarry_kv_read_stats(keyspace_kv(info->call->keyspace), &info->kv);
    (void)quarry_memory_ledger(resp_admin_settings()->memory, &info->ledger, NULL, 0);
    info->resident_bytes = os_resident_bytes();
}

enum resp_outcome resp_info(struct resp_call *call)
{
    struct resp_info info = {.call = call};

    read_all(&info);
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        if (is_wanted(call, &sections[i])) {
            resp_text_add(&info.text, "%s# %s\r\n", info.text.count == 0 ? "" : "\r\n",
                          sections[i].title);
            if (sections[i].write != NULL) {
                sections[i].write(&info);
            }
        }
    }
    resp_text_say(&info.text, call->reply);
    return RESP_ANSWERED;
}

/* ---- the server ----------------------------------------------------------------------------- */

static void tell_version(struct resp_info *info)
{
    struct utsname machine = {0};
    char path[1024] = "";
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);

    (void)uname(&machine);
    path[length < 0 ? 0 : length] = '\0';
    resp_text_add(&info->text,
                  "redis_version:" RESP_REDIS_VERSION "\r\nredis_git_sha1:00000000\r\n"
                  "redis_git_dirty:0\r\nredis_build_id:0\r\nredis_mode:standalone\r\n"
                  "quarry_version:%s\r\nos:%s %s %s\r\narch_bits:%u\r\n"
                  "monotonic_clock:POSIX clock_gettime\r\nmultiplexing_api:epoll\r\n"
                  "atomicvar_api:c11-builtin\r\ngcc_version:%d.%d.%d\r\nprocess_id:%d\r\n"
                  "process_supervised:no\r\nrun_id:%s\r\ntcp_port:%u\r\n",
                  resp_admin_settings()->version, machine.sysname, machine.release, machine.machine,
                  (unsigned)sizeof(void *) * 8, __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__,
                  (int)getpid(), resp_run_id(), info->settings.port);
    resp_text_add(&info->text, "executable:%s\r\nconfig_file:%s\r\n", path,
                  info->settings.config_path);
}

void resp_info_server(struct resp_info *info)
{
    uint64_t seconds = info->figures.uptime_seconds;

    tell_version(info);
    RESP_INFO_NUMBERS(info, {"server_time_usec", os_wall_ns(os_real()) / 1000},
                      {"uptime_in_seconds", seconds}, {"uptime_in_days", seconds / 86400},
                      {"hz", 10}, {"configured_hz", 10},
                      {"lru_clock", os_wall_ns(os_real()) / Q_SECOND_NS & 0xffffff},
                      {"io_threads_active", info->settings.threads > 1 ? 1 : 0},
                      {"io_threads", info->settings.threads});
}

void resp_info_clients(struct resp_info *info)
{
    RESP_INFO_NUMBERS(info, {"connected_clients", info->figures.connections},
                      {"cluster_connections", 0}, {"maxclients", info->settings.connections_max},
                      {"client_recent_max_input_buffer", 0}, {"client_recent_max_output_buffer", 0},
                      {"blocked_clients", resp_executor_count()}, {"tracking_clients", 0},
                      {"clients_in_timeout_table", 0});
}

/* ---- counts --------------------------------------------------------------------------------- */

/* Bytes a second since the last INFO that was a second or more ago. */
struct rates {
    uint64_t at_ms, read, written;
    double read_kbps, written_kbps;
};

static void read_rates(const struct resp_info *info, struct rates *ret_rates)
{
    static struct rates last;
    static _Atomic(uint32_t) is_taken;
    uint32_t free = 0;

    *ret_rates = (struct rates){0};
    /* Pairs with the release below. Who finds it taken tells zeros. */
    if (!atomic_cas_acquire_u32(&is_taken, &free, 1)) {
        return;
    }
    uint64_t passed_ms = sat_sub_u64(info->call->now_ms, last.at_ms);
    if (last.at_ms == 0 || info->figures.bytes_read < last.read) {
        last = (struct rates){.at_ms = info->call->now_ms,
                              .read = info->figures.bytes_read,
                              .written = info->figures.bytes_written};
    } else if (passed_ms >= 1000) {
        double seconds = (double)passed_ms / 1000;
        last.read_kbps = (double)(info->figures.bytes_read - last.read) / 1024 / seconds;
        last.written_kbps = (double)(info->figures.bytes_written - last.written) / 1024 / seconds;
        last.at_ms = info->call->now_ms;
        last.read = info->figures.bytes_read;
        last.written = info->figures.bytes_written;
    }
    *ret_rates = last;
    atomic_store_release_u32(&is_taken, 0);
}

/* What Redis counts of things that do not exist here: exporters look for some of the names. */
static void tell_absent(struct resp_info *info)
{
    static const char *const absent[] = {
        "pubsub_channels",
        "pubsub_patterns",
        "pubsubshard_channels",
        "latest_fork_usec",
        "total_forks",
        "migrate_cached_sockets",
        "slave_expires_tracked_keys",
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "total_active_defrag_time",
        "current_active_defrag_time",
        "tracking_total_keys",
        "tracking_total_items",
        "tracking_total_prefixes",
    };

    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
        resp_info_number(info, absent[i], 0);
    }
}

void resp_info_stats(struct resp_info *info)
{
    struct resp_error_count errors[RESP_ERROR_CODES_MAX];
    const struct resp_figures *figures = &info->figures;
    struct rates rates;
    uint64_t error_total = 0;

    (void)resp_counts_read_errors(errors, &error_total);
    read_rates(info, &rates);
    RESP_INFO_NUMBERS(info, {"total_connections_received", figures->connections_ever},
                      {"total_commands_processed", resp_counts_total()},
                      {"instantaneous_ops_per_sec", resp_counts_per_second(info->call->now_ms)},
                      {"total_net_input_bytes", figures->bytes_read},
                      {"total_net_output_bytes", figures->bytes_written},
                      {"total_net_repl_input_bytes", 0}, {"total_net_repl_output_bytes", 0});
    resp_text_add(&info->text,
                  "instantaneous_input_kbps:%.2f\r\ninstantaneous_output_kbps:%.2f\r\n"
                  "instantaneous_input_repl_kbps:0.00\r\ninstantaneous_output_repl_kbps:0.00\r\n",
                  rates.read_kbps, rates.written_kbps);
    RESP_INFO_NUMBERS(info, {"rejected_connections", figures->connections_rejected},
                      {"sync_full", 0}, {"sync_partial_ok", 0}, {"sync_partial_err", 0},
                      {"expired_keys", info->store.expired});
    resp_text_add(&info->text, "expired_stale_perc:0.00\r\n");
    RESP_INFO_NUMBERS(info, {"expired_time_cap_reached_count", 0},
                      {"expire_cycle_cpu_milliseconds", 0}, {"evicted_keys", 0},
                      {"evicted_clients", 0}, {"total_eviction_exceeded_time", 0},
                      {"current_eviction_exceeded_time", 0}, {"keyspace_hits", info->store.hits},
                      {"keyspace_misses", info->store.misses});
    tell_absent(info);
    RESP_INFO_NUMBERS(info, {"unexpected_error_replies", 0}, {"total_error_replies", error_total},
                      {"dump_payload_sanitizations", 0},
                      {"total_reads_processed", figures->receives},
                      {"total_writes_processed", figures->sends},
                      {"io_threaded_reads_processed", figures->receives},
                      {"io_threaded_writes_processed", figures->sends}, {"reply_buffer_shrinks", 0},
                      {"reply_buffer_expands", 0});
}

void resp_info_commandstats(struct resp_info *info)
{
    const struct resp_command *command;

    for (size_t i = 0; (command = resp_command_at(i)) != NULL; i++) {
        struct resp_command_counts counts;
        resp_counts_read(command, &counts);
        if (counts.calls + counts.rejected > 0) {
            double duration_us = (double)counts.duration_ns / 1000;
            resp_text_add(&info->text,
                          "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,"
                          "rejected_calls=%llu,failed_calls=%llu\r\n",
                          command->name, (unsigned long long)counts.calls,
                          (unsigned long long)duration_us,
                          counts.calls == 0 ? 0 : duration_us / (double)counts.calls,
                          (unsigned long long)counts.rejected, (unsigned long long)counts.failed);
        }
    }
}

void resp_info_errorstats(struct resp_info *info)
{
    struct resp_error_count errors[RESP_ERROR_CODES_MAX];
    uint64_t total;
    size_t count = resp_counts_read_errors(errors, &total);

    for (size_t i = 0; i < count; i++) {
        resp_text_add(&info->text, "errorstat_%s:count=%llu\r\n", errors[i].code,
                      (unsigned long long)errors[i].count);
    }
}

void resp_info_latencystats(struct resp_info *info)
{
    const struct resp_command *command;

    for (size_t i = 0; (command = resp_command_at(i)) != NULL; i++) {
        struct resp_histogram histogram;
        resp_counts_read_histogram(command, &histogram);
        if (histogram.count > 0) {
            resp_text_add(&info->text,
                          "latency_percentiles_usec_%s:p50=%.3f,p99=%.3f,p99.9=%.3f\r\n",
                          command->name, resp_histogram_percentile_us(&histogram, 50),
                          resp_histogram_percentile_us(&histogram, 99),
                          resp_histogram_percentile_us(&histogram, 99.9));
        }
    }
}

/* ---- where it stands ------------------------------------------------------------------------ */

void resp_info_replication(struct resp_info *info)
{
    resp_text_add(&info->text,
                  "role:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-failover\r\n"
                  "master_replid:%s\r\n"
                  "master_replid2:0000000000000000000000000000000000000000\r\n",
                  resp_run_id());
    RESP_INFO_NUMBERS(info, {"master_repl_offset", 0});
    resp_text_add(&info->text, "second_repl_offset:-1\r\n");
    RESP_INFO_NUMBERS(info, {"repl_backlog_active", 0}, {"repl_backlog_size", 0},
                      {"repl_backlog_first_byte_offset", 0}, {"repl_backlog_histlen", 0});
}

static void tell_time(struct resp_info *info, const char *name, const struct timeval *time)
{
    resp_text_add(&info->text, "%s:%lld.%06ld\r\n", name, (long long)time->tv_sec,
                  (long)time->tv_usec);
}

void resp_info_cpu(struct resp_info *info)
{
    struct rusage own, children, thread;

    (void)getrusage(RUSAGE_SELF, &own);
    (void)getrusage(RUSAGE_CHILDREN, &children);
    (void)getrusage(RUSAGE_THREAD, &thread);
    tell_time(info, "used_cpu_sys", &own.ru_stime);
    tell_time(info, "used_cpu_user", &own.ru_utime);
    tell_time(info, "used_cpu_sys_children", &children.ru_stime);
    tell_time(info, "used_cpu_user_children", &children.ru_utime);
    tell_time(info, "used_cpu_sys_main_thread", &thread.ru_stime);
    tell_time(info, "used_cpu_user_main_thread", &thread.ru_utime);
}

void resp_info_cluster(struct resp_info *info)
{
    resp_info_number(info, "cluster_enabled", 0);
}
