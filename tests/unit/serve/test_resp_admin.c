/* INFO, CONFIG, and what stands: by a server of fixed figures. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <serve/resp/counts.h>

#include "unit/serve/resp_admin_rig.h"

/* ---- INFO ----------------------------------------------------------------------------------- */

static void info_has_the_names_that_exporters_read(void **state)
{
    static const char *const names[] = {
        "redis_version:7.0.15\r\n",
        "quarry_version:1.2.3\r\n",
        "redis_mode:standalone\r\n",
        "\r\nos:Linux ",
        "process_id:",
        "run_id:",
        "tcp_port:6379\r\n",
        "uptime_in_seconds:90061\r\n",
        "uptime_in_days:1\r\n",
        "config_file:/etc/quarry/quarry.conf\r\n",
        "connected_clients:3\r\n",
        "maxclients:10000\r\n",
        "blocked_clients:0\r\n",
        "used_memory:",
        "used_memory_human:",
        "used_memory_rss:",
        "used_memory_peak:",
        "used_memory_peak_perc:",
        "used_memory_overhead:",
        "used_memory_startup:",
        "used_memory_dataset:",
        "used_memory_dataset_perc:",
        "used_memory_lua:0\r\n",
        "allocator_allocated:",
        "allocator_active:",
        "allocator_resident:",
        "total_system_memory:4294967296\r\n",
        "total_system_memory_human:4.00G\r\n",
        "maxmemory:536870912\r\n",
        "maxmemory_human:512.00M\r\n",
        "maxmemory_policy:noeviction\r\n",
        "mem_fragmentation_ratio:",
        "mem_fragmentation_bytes:",
        "mem_clients_normal:0\r\n",
        "mem_allocator:quarry-1.2.3\r\n",
        "lazyfree_pending_objects:0\r\n",
        "loading:0\r\n",
        "rdb_changes_since_last_save:0\r\n",
        "rdb_bgsave_in_progress:0\r\n",
        "rdb_last_save_time:1767225600\r\n",
        "rdb_last_bgsave_status:ok\r\n",
        "aof_enabled:1\r\n",
        "aof_last_write_status:ok\r\n",
        "aof_current_size:",
        "total_connections_received:12\r\n",
        "total_commands_processed:0\r\n",
        "instantaneous_ops_per_sec:0\r\n",
        "total_net_input_bytes:1000\r\n",
        "total_net_output_bytes:2000\r\n",
        "instantaneous_input_kbps:0.00\r\n",
        "rejected_connections:1\r\n",
        "expired_keys:0\r\n",
        "evicted_keys:0\r\n",
        "keyspace_hits:0\r\n",
        "keyspace_misses:0\r\n",
        "pubsub_channels:0\r\n",
        "latest_fork_usec:0\r\n",
        "total_error_replies:0\r\n",
        "role:master\r\n",
        "connected_slaves:0\r\n",
        "master_replid:",
        "master_repl_offset:0\r\n",
        "second_repl_offset:-1\r\n",
        "used_cpu_sys:",
        "used_cpu_user:",
        "used_cpu_sys_children:",
        "cluster_enabled:0\r\n",
        "durability:process\r\n",
        "kv_state:ok\r\n",
        "kv_memtable_bytes:",
    };
    char *answer = admin_say("info everything");

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strstr(answer, names[i]) == NULL) {
            fail_msg("no %s in:\n%s", names[i], answer);
        }
    }
    free(answer);
}

static void info_has_the_sections_that_are_asked_for(void **state)
{
    (void)state;
    admin_says("info cluster", "$30|# Cluster|cluster_enabled:0||");
    admin_says("3 info CLUSTER modules", "=47|txt:# Modules||# Cluster|cluster_enabled:0||");
    admin_says("info nothing", "$0||");
    char *usual = admin_say("info");
    char *all = admin_say("info all");

    assert_null(strstr(usual, "# Commandstats"));
    assert_non_null(strstr(usual, "# Keyspace\r\n"));
    assert_non_null(strstr(all, "# Commandstats\r\n"));
    assert_non_null(strstr(all, "# Latencystats\r\n"));
    free(usual);
    free(all);
}

static void info_tells_the_keys_of_databases(void **state)
{
    (void)state;
    admin_put("a", "1", 0);
    admin_put("b", "2", ADMIN_NOW_MS + 60000);
    admin_tells("info keyspace", "# Keyspace\r\ndb0:keys=2,expires=1,avg_ttl=60000\r\n\r\n");
    admin_tells("info persistence", "rdb_changes_since_last_save:2\r\n");
    admin_says("save", "+OK|");
    admin_tells("info persistence", "rdb_changes_since_last_save:0\r\n");
}

static void info_tells_that_nothing_is_logged_without_durability(void **state)
{
    (void)state;
    admin_rig.server.durability = RESP_DURABLE_NONE;
    admin_tells("info persistence", "aof_enabled:0\r\n");
    admin_tells("info quarry", "durability:none\r\n");
}

static void info_counts_commands_their_time_and_their_errors(void **state)
{
    const struct resp_command *time = resp_command_find((struct quarry_kv_slice){"time", 4}, NULL);
    struct resp_call call = {.session = &admin_rig.session,
                             .command = time,
                             .now_ms = ADMIN_NOW_MS,
                             .words = &(struct quarry_kv_slice){"time", 4},
                             .word_count = 1};

    (void)state;
    resp_admin_note(&call, 0, 3000, false);
    resp_admin_note(&call, 1, 5000, false);
    resp_admin_note(&call, 2, 10000, true); /* by the executor */
    resp_admin_note_rejected(time, 1);
    resp_admin_note_error("ERR no such thing");
    resp_admin_note_error("WRONGTYPE Operation");
    resp_admin_note_error("ERR again");
    admin_tells("info commandstats",
                "cmdstat_time:calls=3,usec=18,usec_per_call=6.00,rejected_calls=1,failed_calls=1");
    admin_tells("info errorstats", "errorstat_ERR:count=2\r\nerrorstat_WRONGTYPE:count=1\r\n");
    admin_tells("info stats", "total_error_replies:3\r\n");
    admin_tells("info stats", "total_commands_processed:3\r\n");
    admin_tells("info latencystats",
                "latency_percentiles_usec_time:p50=5.120,p99=10.240,p99.9=10.240\r\n");
    atomic_store_relaxed_u64(&admin_rig.now_ms, ADMIN_NOW_MS + 500);
    admin_tells("info stats", "instantaneous_ops_per_sec:2\r\n");
    atomic_store_relaxed_u64(&admin_rig.now_ms, ADMIN_NOW_MS + 5000);
    admin_tells("info stats", "instantaneous_ops_per_sec:0\r\n");
    admin_says("config resetstat", "+OK|");
    admin_says("info commandstats", "$16|# Commandstats||");
    admin_tells("info stats", "total_net_input_bytes:0\r\n");
    admin_tells("info clients", "connected_clients:3\r\n");
}

static void buckets_hold_each_duration_below_their_end(void **state)
{
    (void)state;
    for (uint32_t i = 1; i < RESP_BUCKETS; i++) {
        assert_true(resp_histogram_end_ns(i) > resp_histogram_end_ns(i - 1));
        assert_true((double)resp_histogram_end_ns(i) <=
                    1.2501 * (double)resp_histogram_end_ns(i - 1));
    }
    assert_int_equal(resp_histogram_end_ns(0), 1024);
    assert_int_equal(resp_histogram_end_ns(4), 2048);
}

/* ---- CONFIG --------------------------------------------------------------------------------- */

static void config_get_tells_settings_by_redis_names(void **state)
{
    (void)state;
    admin_says("config get maxmemory", "*2|$9|maxmemory|$9|536870912|");
    admin_says("config get MAXMEMORY", "*2|$9|maxmemory|$9|536870912|");
    admin_says("3 config get save appendonly", "%2|$10|appendonly|$3|yes|$4|save|$0||");
    admin_says("config get appendfsync", "*2|$11|appendfsync|$8|everysec|");
    admin_says("config get slowlog-*",
               "*4|$23|slowlog-log-slower-than|$5|10000|$15|slowlog-max-len|$1|4|");
    admin_says("config get dir", "*2|$3|dir|$15|/var/lib/quarry|");
    admin_says("config get unixsocketperm", "*2|$14|unixsocketperm|$3|600|");
    admin_says("config get nosuch", "*0|");
    admin_rig.server.durability = RESP_DURABLE_POWER;
    admin_says("config get appendfsync", "*2|$11|appendfsync|$6|always|");
    admin_rig.server.durability = RESP_DURABLE_NONE;
    admin_says("config get append?nly", "*2|$10|appendonly|$2|no|");
}

static void config_set_changes_what_is_the_servers(void **state)
{
    (void)state;
    admin_says("config set maxmemory 100mb", "+OK|");
    assert_string_equal(admin_rig.changed_key, "memory.limit");
    assert_string_equal(admin_rig.changed_value, "104857600");
    admin_says("config set timeout 300", "+OK|");
    assert_string_equal(admin_rig.changed_key, "net.idle_timeout");
    assert_string_equal(admin_rig.changed_value, "300s");
    admin_says("config set timeout 0", "+OK|");
    assert_string_equal(admin_rig.changed_value, "off");
    admin_says("config set maxclients 50", "+OK|");
    assert_string_equal(admin_rig.changed_key, "net.connections_max");
    assert_string_equal(admin_rig.changed_value, "50");
    admin_rig.change_status = QUARRY_NO_MEMORY;
    admin_says("config set maxmemory 1g",
               "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - the machine "
               "has less|");
}

static void config_set_changes_what_is_the_doors(void **state)
{
    (void)state;
    admin_says("config set slowlog-max-len 9 slowlog-log-slower-than -1", "+OK|");
    admin_says("config get slowlog-max-len", "*2|$15|slowlog-max-len|$1|9|");
    admin_says("config get slowlog-log-slower-than", "*2|$23|slowlog-log-slower-than|$2|-1|");
    admin_says("config set latency-monitor-threshold 25", "+OK|");
    admin_says("config get latency-monitor-threshold", "*2|$25|latency-monitor-threshold|$2|25|");
}

#define FAILED "-ERR CONFIG SET failed (possibly related to argument "

static void config_set_refuses_in_redis_words(void **state)
{
    (void)state;
    admin_says("config set foo bar",
               "-ERR Unknown option or number of arguments for CONFIG SET - 'foo'|");
    admin_says("config set maxmemory abc",
               FAILED "'maxmemory') - argument must be a memory value|");
    admin_says("config set maxmemory 99999999999999999gb",
               FAILED "'maxmemory') - argument must be a memory value|");
    admin_says("config set maxclients 0",
               FAILED "'maxclients') - argument must be between 1 and 4294967295 inclusive|");
    admin_says("config set timeout abc",
               FAILED "'timeout') - argument couldn't be parsed into an integer|");
    admin_says("config set timeout 1 timeout 2", FAILED "'timeout') - duplicate parameter|");
    admin_says("config set databases 4", FAILED "'databases') - can't set immutable config|");
    admin_says("config set maxmemory-policy allkeys-lru",
               FAILED "'maxmemory-policy') - it is as the server is made, and stays so|");
    admin_says("config set timeout 1 maxmemory",
               "-ERR wrong number of arguments for 'config|set' command|");
    assert_string_equal(admin_rig.changed_key, ""); /* none of them changed anything */
}

static void config_set_allows_what_is_so(void **state)
{
    (void)state;
    admin_says("config set maxmemory-policy noeviction", "+OK|");
    admin_says("config set save _", "+OK|");
    admin_says("config set appendonly yes", "+OK|");
}

static void config_rewrite_says_where_the_configuration_is(void **state)
{
    (void)state;
    admin_says("config rewrite", "-ERR the configuration is in /etc/quarry/quarry.conf, which the "
                                 "server reads and never writes|");
    admin_rig.server.config_path[0] = '\0';
    admin_says("config rewrite", "-ERR The server is running without a config file|");
    admin_says("config foo", "-ERR unknown subcommand 'foo'. Try CONFIG HELP.|");
}

/* ---- saving, waiting, ending ---------------------------------------------------------------- */

static void saving_flushes_and_notes_when(void **state)
{
    struct quarry_kv_stats before, after;

    (void)state;
    admin_says("lastsave", ":1767225600|");
    admin_put("a", "1", 0);
    atomic_store_relaxed_u64(&admin_rig.now_ms, ADMIN_NOW_MS + 9000);
    quarry_kv_read_stats(keyspace_kv(admin_rig.keyspace), &before);
    admin_says("bgsave", "+Background saving started|");
    quarry_kv_read_stats(keyspace_kv(admin_rig.keyspace), &after);
    assert_true(after.flush_count > before.flush_count);
    admin_says("lastsave", ":1767225609|");
    admin_says("bgsave schedule", "+Background saving started|");
    admin_says("bgsave now", "-ERR syntax error|");
    admin_says("bgrewriteaof", "+Background append only file rewriting started|");
}

static void waiting_is_for_nobody_but_the_disk(void **state)
{
    (void)state;
    admin_says("wait 1 10", ":0|");
    admin_says("wait a 1", "-ERR value is not an integer or out of range|");
    admin_says("wait 1 -1", "-ERR timeout is negative|");
    admin_put("a", "1", 0);
    admin_says("waitaof 1 0 0", "*2|:1|:0|");
    admin_says("waitaof 2 0 0", "-ERR value is out of range, must be between 0 and 1|");
    admin_rig.server.durability = RESP_DURABLE_NONE;
    admin_put("b", "1", 0);
    admin_says("waitaof 1 0 0", "*2|:1|:0|");
}

static void shutdown_ends_the_server(void **state)
{
    (void)state;
    admin_says("shutdown foo", "-ERR syntax error|");
    admin_says("shutdown save nosave", "-ERR syntax error|");
    admin_says("shutdown abort", "-ERR No shutdown in progress.|");
    assert_int_equal(admin_rig.shutdowns, 0);
    admin_says("shutdown nosave", "");
    assert_int_equal(admin_rig.shutdowns, 1);
    admin_says("shutdown now force", "");
    assert_int_equal(admin_rig.shutdowns, 2);
}

static void what_there_is_none_of_says_so(void **state)
{
    (void)state;
    admin_says("role", "*3|$6|master|:0|*0|");
    admin_says("replicaof no one", "+OK|");
    admin_says("replicaof 1.2.3.4 foo", "-ERR Invalid master port|");
    admin_tells("replicaof 1.2.3.4 6379", "-ERR this server does not replicate");
    admin_says("failover", "-ERR FAILOVER requires connected replicas.|");
    admin_says("module list", "*0|");
    admin_tells("module load /x.so", "-ERR there are no modules");
    admin_says("cluster info", "-ERR This instance has cluster support disabled|");
    admin_tells("lolwut", "Redis ver. 7.0.15, Quarry ver. 1.2.3\n");
    admin_says("lolwut 5", "-ERR syntax error|");
}

static void time_is_in_seconds_and_microseconds(void **state)
{
    char *answer = admin_say("time");
    uint64_t seconds, microseconds;
    unsigned first, second;

    (void)state;
    assert_int_equal(sscanf(answer, "*2\r\n$%u\r\n%" SCNu64 "\r\n$%u\r\n%" SCNu64, &first, &seconds,
                            &second, &microseconds),
                     4);
    assert_true(seconds > 1700000000 && microseconds < 1000000);
    free(answer);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, admin_set_up, admin_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(info_has_the_names_that_exporters_read),
        TEST(info_has_the_sections_that_are_asked_for),
        TEST(info_tells_the_keys_of_databases),
        TEST(info_tells_that_nothing_is_logged_without_durability),
        TEST(info_counts_commands_their_time_and_their_errors),
        cmocka_unit_test(buckets_hold_each_duration_below_their_end),
        TEST(config_get_tells_settings_by_redis_names),
        TEST(config_set_changes_what_is_the_servers),
        TEST(config_set_changes_what_is_the_doors),
        TEST(config_set_refuses_in_redis_words),
        TEST(config_set_allows_what_is_so),
        TEST(config_rewrite_says_where_the_configuration_is),
        TEST(saving_flushes_and_notes_when),
        TEST(waiting_is_for_nobody_but_the_disk),
        TEST(shutdown_ends_the_server),
        TEST(what_there_is_none_of_says_so),
        TEST(time_is_in_seconds_and_microseconds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
