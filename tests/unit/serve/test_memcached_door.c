/*
 * The memcached door beyond conversations: large values, memory that fails, watchers, statistics,
 * and how things are done.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include "unit/serve/memcached_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct rig rig;

static int set_up(void **state)
{
    (void)state;
    rig_open(&rig);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_close(&rig);
    return 0;
}

static void says(const char *sent, const char *answered)
{
    rig_says(rig.connection, sent, answered);
}

/* A request with so many bytes of value. Own, to be freed. */
static char *store_of(const char *line, size_t value_bytes, size_t *ret_bytes)
{
    size_t line_bytes = strlen(line);
    char *text = malloc(line_bytes + value_bytes + 2);

    assert_non_null(text);
    memcpy(text, line, line_bytes);
    for (size_t i = 0; i < value_bytes; i++) {
        text[line_bytes + i] = (char)('a' + i % 23);
    }
    memcpy(text + line_bytes + value_bytes, "\r\n", 2);
    *ret_bytes = line_bytes + value_bytes + 2;
    return text;
}

static void store(const char *key, size_t value_bytes)
{
    char line[64];
    size_t byte_count;

    snprintf(line, sizeof line, "set %s 0 0 %zu\r\n", key, value_bytes);
    char *text = store_of(line, value_bytes, &byte_count);

    fake_clear(rig.connection);
    fake_send(rig.connection, text, byte_count);
    free(text);
    const char *answer = fake_answer(rig.connection, &byte_count);

    assert_int_equal(byte_count, 8);
    assert_memory_equal(answer, "STORED\r\n", 8);
}

/* Checks that the answer is a value as store_of makes them, between two texts. */
static void check_value(const char *before, size_t value_bytes, const char *after)
{
    size_t byte_count;
    const char *answer = fake_answer(rig.connection, &byte_count);
    size_t start = strlen(before);

    assert_int_equal(byte_count, start + value_bytes + strlen(after));
    assert_memory_equal(answer, before, start);
    for (size_t i = 0; i < value_bytes; i++) {
        if (answer[start + i] != (char)('a' + i % 23)) {
            fail_msg("byte %zu of the value is another", i);
        }
    }
    assert_memory_equal(answer + start + value_bytes, after, strlen(after));
}

/* ---- how values come and go ------------------------------------------------------------------ */

static void a_large_value_is_read_straight_to_its_cell(void **state)
{
    (void)state;
    store("a", 1000000);
    assert_true(fake_counts(rig.connection).wanted_bytes == 0); /* it came in one piece */
    size_t byte_count;
    char *text = store_of("set a 0 0 1000000\r\n", 1000000, &byte_count);

    fake_clear(rig.connection);
    fake_send(rig.connection, text, 1000);
    fake_send(rig.connection, text + 1000, byte_count - 1000);
    free(text);
    assert_true(fake_counts(rig.connection).wanted_bytes > 900000);
    fake_clear(rig.connection);
    fake_send(rig.connection, "get a\r\n", 7);
    fake_settle(rig.connection);
    check_value("VALUE a 0 1000000\r\n", 1000000, "\r\nEND\r\n");
}

static void a_small_value_is_copied_and_a_large_one_pointed_to(void **state)
{
    (void)state;
    store("small", 1024);
    store("large", 1025);
    fake_send(rig.connection, "get small\r\n", 11);
    assert_int_equal(fake_counts(rig.connection).borrowed_bytes, 0);
    fake_send(rig.connection, "get large\r\n", 11);
    assert_int_equal(fake_counts(rig.connection).borrowed_bytes, 1025);
    fake_send(rig.connection, "mg small v\r\n", 12);
    assert_int_equal(fake_counts(rig.connection).borrowed_bytes, 1025);
    fake_send(rig.connection, "mg large v\r\n", 12);
    assert_int_equal(fake_counts(rig.connection).borrowed_bytes, 2050);
}

static void open_slow(size_t value_bytes_max, size_t taken_a_turn)
{
    rig_close(&rig);
    rig_open_slow(&rig, taken_a_turn);
    quarry_cache_set_value_bytes_max(rig.cache, value_bytes_max);
}

static void a_slow_reader_has_little_waiting(void **state)
{
    (void)state;
    open_slow(Q_MIB(64), 100000);
    rig_set_pieces(&rig, 65536, false);
    store("a", 20000000);
    fake_clear(rig.connection);
    fake_send(rig.connection, "get a\r\n", 7);
    assert_int_equal(reference_cache_pins(rig.cache) > 0, 1);
    fake_settle(rig.connection);
    check_value("VALUE a 0 20000000\r\n", 20000000, "\r\nEND\r\n");
    assert_true(fake_counts(rig.connection).waiting_max < 2 * SERVE_OUT_WAITING_MAX);
    assert_int_equal(fake_counts(rig.connection).copied, 0);
}

static void many_large_values_in_a_line_wait_for_their_reader(void **state)
{
    char line[1024] = "get";

    (void)state;
    open_slow(0x100000, 50000);
    store("a", 900000);
    for (int i = 0; i < 100; i++) {
        strcat(line, " a");
    }
    strcat(line, "\r\n");
    fake_clear(rig.connection);
    fake_send(rig.connection, line, strlen(line));
    fake_settle(rig.connection);
    size_t byte_count;

    (void)fake_answer(rig.connection, &byte_count);
    assert_int_equal(byte_count, 100 * (strlen("VALUE a 0 900000\r\n\r\n") + 900000) + 5);
    assert_true(fake_counts(rig.connection).waiting_max < 3 * SERVE_OUT_WAITING_MAX);
}

static void a_value_on_its_way_survives_its_deletion(void **state)
{
    struct serve_connection *other = rig_connect(&rig);

    (void)state;
    fake_close(other);
    open_slow(Q_MIB(64), 100000);
    rig_set_pieces(&rig, 65536, false);
    store("a", 5000000);
    fake_clear(rig.connection);
    fake_send(rig.connection, "mg a v k\r\n", 10);
    other = rig_connect(&rig);
    rig_says(other, "delete a\r\n", "DELETED\r\n");
    fake_close(other);
    fake_settle(rig.connection);
    check_value("VA 5000000 ka\r\n", 5000000, "\r\n");
}

static void a_connection_may_close_in_the_middle_of_anything(void **state)
{
    static const char *const texts[] = {"set b 0 0 100000\r\nabc",
                                        "set b 0 0 3\r\nabc\r",
                                        "get a",
                                        "get a b c d",
                                        "mg a v",
                                        "ms b 5\r\n",
                                        "lru_crawler metadump",
                                        "watch\r\n"};

    (void)state;
    open_slow(Q_MIB(64), 100);
    store("a", 3000000);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct serve_connection *other = rig_connect(&rig);

        fake_send(other, texts[i], strlen(texts[i]));
        fake_close(other);
    }
    fake_send(rig.connection, "get a\r\n", 7);
    assert_true(reference_cache_pins(rig.cache) > 0); /* tear_down looks for what is left */
}

static void others_have_their_turn_between_many_requests(void **state)
{
    char text[20000];
    size_t byte_count = 0;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        byte_count += (size_t)sprintf(text + byte_count, "get a\r\n");
    }
    fake_send(rig.connection, text, byte_count);
    assert_true(fake_counts(rig.connection).yields >= 3);
    size_t answer_bytes;

    (void)fake_answer(rig.connection, &answer_bytes);
    assert_int_equal(answer_bytes, 5000);
}

/* ---- memory that fails ----------------------------------------------------------------------- */

static void a_set_without_memory_deletes_what_was_there(void **state)
{
    (void)state;
    says("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    reference_cache_fail(rig.cache, 0, 1);
    says("set a 0 0 1\r\ny\r\n", "SERVER_ERROR out of memory storing object\r\n");
    says("get a\r\n", "END\r\n");
}

static void a_value_may_run_out_of_memory_while_it_comes(void **state)
{
    size_t byte_count;
    char *text = store_of("set a 0 0 100000\r\n", 100000, &byte_count);

    (void)state;
    rig_set_pieces(&rig, 10000, false);
    for (uint64_t skip = 0; skip < 10; skip++) {
        says("set a 0 0 1\r\nx\r\n", "STORED\r\n");
        reference_cache_fail(rig.cache, skip, 1);
        fake_clear(rig.connection);
        fake_send(rig.connection, text, 5000);
        fake_send(rig.connection, text + 5000, byte_count - 5000);
        reference_cache_fail(rig.cache, 0, 0);
        size_t answer_bytes;
        const char *answer = fake_answer(rig.connection, &answer_bytes);

        assert_int_equal(answer_bytes, 43);
        assert_memory_equal(answer, "SERVER_ERROR out of memory storing object\r\n", 43);
        says("get a\r\n", "END\r\n");
    }
    free(text);
}

static void changes_without_memory_are_told_so(void **state)
{
    (void)state;
    says("set n 0 0 1\r\n9\r\n", "STORED\r\n");
    reference_cache_fail(rig.cache, 0, 1);
    says("incr n 1\r\n", "SERVER_ERROR out of memory\r\n");
    reference_cache_fail(rig.cache, 0, 1);
    says("ma n\r\n", "SERVER_ERROR out of memory\r\n");
    reference_cache_fail(rig.cache, 0, 1);
    says("md n I\r\n", "SERVER_ERROR out of memory\r\n");
    reference_cache_fail(rig.cache, 0, 1);
    says("ms n 1\r\nx\r\n", "SERVER_ERROR out of memory storing object\r\n");
    says("mg n v\r\n", "EN\r\n");
    reference_cache_fail(rig.cache, 0, 1);
    says("mg n N10\r\n", "EN\r\n");
    says("set n 0 0 1\r\n9\r\n", "STORED\r\n");
    reference_cache_fail(rig.cache, 1, 1);
    says("append n 0 0 1\r\n9\r\n", "SERVER_ERROR out of memory storing object\r\n");
    says("get n\r\n", "VALUE n 0 1\r\n9\r\nEND\r\n");
}

/* ---- watchers ------------------------------------------------------------------------------- */

/* Checks that a watcher was told a line with such a part. */
static void told(struct serve_connection *watcher, const char *part)
{
    size_t byte_count;

    fake_settle(watcher);
    const char *answer = fake_answer(watcher, &byte_count);

    if (memmem(answer, byte_count, part, strlen(part)) == NULL) {
        fail_msg("no \"%s\" in: %.*s", part, (int)byte_count, answer);
    }
}

static void not_told(struct serve_connection *watcher, const char *part)
{
    size_t byte_count;

    fake_settle(watcher);
    const char *answer = fake_answer(watcher, &byte_count);

    assert_null(memmem(answer, byte_count, part, strlen(part)));
}

static void a_watcher_is_told_what_happens(void **state)
{
    struct serve_connection *watcher = rig_connect(&rig);

    (void)state;
    rig_says(watcher, "watch fetchers mutations deletions\r\n", "OK\r\n");
    says("get a%20:b\r\n", "END\r\n");
    told(watcher, " type=item_get key=a%2520%3Ab status=not_found clsid=0 ");
    says("set a 0 100 3\r\nabc\r\n", "STORED\r\n");
    told(watcher, " type=item_store key=a status=stored cmd=set ttl=100 clsid=0 ");
    says("ms a 1 ME\r\nx\r\n", "NS\r\n");
    told(watcher, " key=a status=not_stored cmd=add ttl=0 ");
    says("cas a 0 0 1 999\r\nx\r\n", "EXISTS\r\n");
    told(watcher, " key=a status=exists cmd=cas ");
    says("mg a v\r\n", "VA 3\r\nabc\r\n");
    told(watcher, " type=item_get key=a status=found clsid=0 cfd=");
    says("delete a\r\n", "DELETED\r\n");
    told(watcher, " type=deleted key=a cmd=delete status=deleted ");
    fake_close(watcher);
    says("get a\r\n", "END\r\n");
}

static void a_watcher_is_told_only_what_it_asked_for(void **state)
{
    struct serve_connection *watcher = rig_connect(&rig);

    (void)state;
    rig_says(watcher, "watch mutations\r\n", "OK\r\n");
    says("get a\r\n", "END\r\n");
    says("set b 0 0 1\r\nx\r\n", "STORED\r\n");
    told(watcher, "key=b");
    not_told(watcher, "key=a");
    rig_says(watcher, "get a\r\n", ""); /* it is not asked any more */
    fake_close(watcher);
}

static void a_watcher_is_told_of_connections_and_evictions(void **state)
{
    struct serve_connection *watcher = rig_connect(&rig);
    const struct quarry_cache_hit item = {
        .key = "gone", .key_bytes = 4, .value_bytes = 77, .idle_seconds = 5, .class_id = 3};

    (void)state;
    rig_says(watcher, "watch connevents evictions\r\n", "OK\r\n");
    fake_close(rig_connect(&rig));
    told(watcher, " type=conn_new rip=127.0.0.1%3A40000 transport=tcp cfd=");
    told(watcher, " type=conn_close ");
    memcached_observe(NULL, QUARRY_CACHE_EVENT_EVICTED, &item);
    told(watcher, " type=eviction key=gone fetch=no ttl=-1 la=5 clsid=3 size=77\n");
    memcached_observe(NULL, QUARRY_CACHE_EVENT_EXPIRED, &item);
    fake_close(watcher);
}

static void what_a_watcher_has_no_room_for_is_left_out(void **state)
{
    struct serve_connection *watcher = rig_connect(&rig);
    size_t byte_count;

    (void)state;
    rig_says(watcher, "watch\r\n", "OK\r\n");
    for (int i = 0; i < 1000; i++) {
        says("get a\r\n", "END\r\n");
    }
    fake_clear(watcher);
    fake_settle(watcher);
    (void)fake_answer(watcher, &byte_count);
    assert_true(byte_count > 8000 && byte_count <= 16384);
    says("get last\r\n", "END\r\n");
    told(watcher, "key=last");
    fake_close(watcher);
}

static void there_are_so_many_watchers_and_no_more(void **state)
{
    struct serve_connection *watchers[20];

    (void)state;
    for (size_t i = 0; i < 20; i++) {
        watchers[i] = rig_connect(&rig);
        rig_says(watchers[i], "watch\r\n", "OK\r\n");
    }
    says("watch\r\n", "WATCHER_TOO_MANY log watcher limit reached\r\n");
    fake_close(watchers[7]);
    watchers[7] = rig_connect(&rig);
    rig_says(watchers[7], "watch\r\n", "OK\r\n");
    for (size_t i = 0; i < 20; i++) {
        fake_close(watchers[i]);
    }
}

/* ---- statistics ------------------------------------------------------------------------------ */

static void says_something_with(const char *sent, const char *part)
{
    fake_clear(rig.connection);
    fake_send(rig.connection, sent, strlen(sent));
    fake_settle(rig.connection);
    told(rig.connection, part);
}

static void stats_count_what_was_done(void **state)
{
    (void)state;
    says("set a 0 0 1\r\nx\r\nget a b\r\ndelete b\r\nflush_all\r\ntouch a 1\r\nmg a\r\n",
         "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\nNOT_FOUND\r\nOK\r\nNOT_FOUND\r\nEN\r\n");
    says_something_with("stats\r\n", "STAT cmd_get 3\r\n");
    says_something_with("stats\r\n", "STAT cmd_set 1\r\n");
    says_something_with("stats\r\n", "STAT cmd_flush 1\r\n");
    says_something_with("stats\r\n", "STAT cmd_touch 1\r\n");
    says_something_with("stats\r\n", "STAT cmd_meta 1\r\n");
    says_something_with("stats\r\n", "STAT get_hits 1\r\n");
    says_something_with("stats\r\n", "STAT get_misses 2\r\n");
    says_something_with("stats\r\n", "STAT delete_misses 1\r\n");
    says_something_with("stats\r\n", "STAT version 1.6.18\r\n");
    says("stats reset\r\n", "RESET\r\n");
    says_something_with("stats\r\n", "STAT cmd_get 0\r\n");
    says_something_with("stats\r\n", "STAT cmd_flush 0\r\n");
}

/* memcached's names of the general group, in its order. */
static const char *const general_names =
    "pid uptime time version libevent pointer_size rusage_user rusage_system max_connections "
    "curr_connections total_connections rejected_connections connection_structures "
    "response_obj_oom "
    "response_obj_count response_obj_bytes read_buf_count read_buf_bytes read_buf_bytes_free "
    "read_buf_oom reserved_fds cmd_get cmd_set cmd_flush cmd_touch cmd_meta get_hits get_misses "
    "get_expired get_flushed delete_misses delete_hits incr_misses incr_hits decr_misses decr_hits "
    "cas_misses cas_hits cas_badval touch_hits touch_misses store_too_large store_no_memory "
    "auth_cmds "
    "auth_errors bytes_read bytes_written limit_maxbytes accepting_conns listen_disabled_num "
    "time_in_listen_disabled_us threads conn_yields hash_power_level hash_bytes hash_is_expanding "
    "slab_reassign_rescues slab_reassign_chunk_rescues slab_reassign_evictions_nomem "
    "slab_reassign_inline_reclaim slab_reassign_busy_items slab_reassign_busy_deletes "
    "slab_reassign_running slabs_moved lru_crawler_running lru_crawler_starts "
    "lru_maintainer_juggles "
    "malloc_fails log_worker_dropped log_worker_written log_watcher_skipped log_watcher_sent "
    "log_watchers unexpected_napi_ids round_robin_fallback bytes curr_items total_items "
    "slab_global_page_pool expired_unfetched evicted_unfetched evicted_active evictions reclaimed "
    "crawler_reclaimed crawler_items_checked lrutail_reflocked moves_to_cold moves_to_warm "
    "moves_within_lru direct_reclaims lru_bumps_dropped ";

static void the_general_group_has_the_names_of_memcached(void **state)
{
    size_t byte_count;
    char names[8192] = "";

    (void)state;
    fake_send(rig.connection, "stats\r\n", 7);
    const char *answer = fake_answer(rig.connection, &byte_count);
    char *copy = strndup(answer, byte_count);

    assert_non_null(copy);
    for (char *line = strtok(copy, "\r\n"); line != NULL; line = strtok(NULL, "\r\n")) {
        if (strncmp(line, "STAT ", 5) == 0) {
            line[5 + strcspn(line + 5, " ")] = '\0';
            strcat(strcat(names, line + 5), " ");
        }
    }
    assert_string_equal(names, general_names);
    free(copy);
}

static void other_groups_are_there(void **state)
{
    (void)state;
    says("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    says_something_with("stats settings\r\n", "STAT item_size_max 1048576\r\n");
    says_something_with("stats settings\r\n", "STAT flush_enabled yes\r\n");
    says_something_with("stats items\r\n", "STAT items:1:number 1\r\n");
    says_something_with("stats slabs\r\n", "STAT 1:used_chunks 1\r\n");
    says_something_with("stats slabs\r\n", "STAT active_slabs 1\r\n");
    says_something_with("stats conns\r\n", ":addr tcp:127.0.0.1:40000\r\n");
    says("stats sizes\r\n", "STAT sizes_status disabled\r\nEND\r\n");
    says("stats cachedump 1 0\r\n", "ITEM a [1 b; 0 s]\r\nEND\r\n");
    says("stats cachedump 2 0\r\n", "END\r\n");
    says("set b 0 0 1\r\nx\r\nstats cachedump 1 1\r\n", "STORED\r\nITEM a [1 b; 0 s]\r\nEND\r\n");
    says("lru_crawler metadump 2,3\r\n", "END\r\n");
    says_something_with("lru_crawler metadump 1,2\r\n", "key=b exp=-1 ");
}

static void keys_that_are_asked_for_often_become_known(void **state)
{
    (void)state;
    for (int i = 0; i < 2000; i++) {
        says("get hot\r\n", "END\r\n");
    }
    says_something_with("stats hotkeys\r\n", "HOT get_miss ");
    says_something_with("stats hotkeys\r\n", " hot\r\n");
}

static void what_is_switched_off_is_refused(void **state)
{
    (void)state;
    memcached_set_allowed(false, false, false, false);
    says("flush_all\r\n", "CLIENT_ERROR flush_all not allowed\r\n");
    says("flush_all 0 noreply\r\n", "");
    says("lru_crawler metadump all\r\n", "ERROR metadump not allowed\r\n");
    says("lru_crawler mgdump all\r\n", "ERROR mgdump not allowed\r\n");
    says("stats cachedump 1 1\r\n", "CLIENT_ERROR stats cachedump not allowed\r\n");
    says("watch\r\n", "CLIENT_ERROR watch commands not allowed\r\n");
    says("shutdown\r\n", "ERROR: shutdown not enabled\r\n");
    says_something_with("stats settings\r\n", "STAT dump_enabled no\r\n");
}

/* ---- the server ----------------------------------------------------------------------------- */

static int shutdowns;

static void shut_down(void *argument, bool is_graceful)
{
    (void)argument;
    shutdowns += is_graceful ? 10 : 1;
}

static void shutdown_asks_the_server(void **state)
{
    struct memcached_settings settings = {.allows_shutdown = true, .has_debug_commands = true};

    (void)state;
    rig_close(&rig);
    settings.hooks.shutdown = shut_down;
    rig_open_with(&rig, &settings, NULL);
    says("shutdown now\r\n", "CLIENT_ERROR invalid shutdown mode\r\n");
    says("debugtime 10\r\n", "OK\r\n");
    says("debugtime p\r\n", "OK\r\n");
    says("debugtime x\r\n", "ERROR\r\n");
    assert_int_equal(quarry_cache_now(rig.cache), REFERENCE_START_SECONDS + 10);
    says("shutdown graceful\r\n", "");
    assert_int_equal(shutdowns, 10);
    assert_true(fake_is_closed(rig.connection));
}

static void the_door_is_opened_once_and_with_workers(void **state)
{
    struct memcached_settings settings = {.cache = rig.cache, .worker_count = 1};

    (void)state;
    assert_int_equal(memcached_open(&settings, NULL), QUARRY_EXISTS);
    rig_close(&rig);
    struct quarry_cache *cache = reference_cache_create(0);

    settings.cache = cache;
    settings.worker_count = 0;
    assert_int_equal(memcached_open(&settings, NULL), QUARRY_BAD_INPUT);
    settings.worker_count = MEMCACHED_WORKERS_MAX + 1;
    assert_int_equal(memcached_open(&settings, NULL), QUARRY_BAD_INPUT);
    quarry_cache_close(cache);
    rig_open(&rig);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_large_value_is_read_straight_to_its_cell),
        TEST(a_small_value_is_copied_and_a_large_one_pointed_to),
        TEST(a_slow_reader_has_little_waiting),
        TEST(many_large_values_in_a_line_wait_for_their_reader),
        TEST(a_value_on_its_way_survives_its_deletion),
        TEST(a_connection_may_close_in_the_middle_of_anything),
        TEST(others_have_their_turn_between_many_requests),
        TEST(a_set_without_memory_deletes_what_was_there),
        TEST(a_value_may_run_out_of_memory_while_it_comes),
        TEST(changes_without_memory_are_told_so),
        TEST(a_watcher_is_told_what_happens),
        TEST(a_watcher_is_told_only_what_it_asked_for),
        TEST(a_watcher_is_told_of_connections_and_evictions),
        TEST(what_a_watcher_has_no_room_for_is_left_out),
        TEST(there_are_so_many_watchers_and_no_more),
        TEST(stats_count_what_was_done),
        TEST(the_general_group_has_the_names_of_memcached),
        TEST(other_groups_are_there),
        TEST(keys_that_are_asked_for_often_become_known),
        TEST(what_is_switched_off_is_refused),
        TEST(shutdown_asks_the_server),
        TEST(the_door_is_opened_once_and_with_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
