/*
 * The memcached door beyond conversations: watchers, statistics, what is asked of the server, and
 * how things are done.
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
    told(watcher, " transport=tcp reason=normal cfd=");
    struct serve_connection *browser = rig_connect(&rig);
    fake_send(browser, "PUT / HTTP/1.1\r\n", 16);
    assert_true(fake_is_closed(browser));
    fake_close(browser);
    told(watcher, " transport=tcp reason=error cfd=");
    memcached_observe(NULL, QUARRY_CACHE_EVENT_EVICTED, &item);
    told(watcher, " type=eviction key=gone fetch=no ttl=-1 la=5 clsid=3 size=77\n");
    memcached_observe(NULL, QUARRY_CACHE_EVENT_EXPIRED, &item);
    fake_close(watcher);
}

/* Checks that so many lines were told or left out, and some of each. Returns: how many were left.
 */
static unsigned check_watch_figures(unsigned lines, unsigned watchers)
{
    struct serve_connection *other = rig_connect(&rig);
    size_t byte_count;
    unsigned sent = 0, skipped = 0, now = 0;

    fake_send(other, "stats\r\n", 7);
    const char *answer = fake_answer(other, &byte_count);
    char *text = strndup(answer, byte_count);
    char *at = text == NULL ? NULL : strstr(text, "STAT log_watcher_skipped ");

    assert_non_null(at);
    assert_int_equal(sscanf(at,
                            "STAT log_watcher_skipped %u\r\nSTAT log_watcher_sent %u\r\n"
                            "STAT log_watchers %u\r\n",
                            &skipped, &sent, &now),
                     3);
    assert_int_equal(sent + skipped, lines);
    assert_true(sent > 0 && skipped > 0);
    assert_int_equal(now, watchers);
    free(text);
    fake_close(other);
    return skipped;
}

static void a_watcher_is_told_again_when_a_post_has_failed(void **state)
{
    struct serve_connection *watcher = rig_connect(&rig);

    (void)state;
    rig_says(watcher, "watch\r\n", "OK\r\n");
    fake_fail_posts(1);
    says("get first\r\n", "END\r\n");
    not_told(watcher, "key=first");
    says("get second\r\n", "END\r\n");
    told(watcher, "key=first");
    told(watcher, "key=second");
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
    unsigned skipped = check_watch_figures(1000, 1);
    char note[48];

    fake_clear(watcher);
    says("get last\r\n", "END\r\n");
    says("get later\r\n", "END\r\n");
    fake_settle(watcher);
    snprintf(note, sizeof note, "skipped=%u\nts=", skipped);
    const char *answer = fake_answer(watcher, &byte_count);

    assert_memory_equal(answer, note, strlen(note)); /* before the next line, once */
    assert_null(memmem(answer + 1, byte_count - 1, "skipped", 7));
    told(watcher, "key=last");
    told(watcher, "key=later");
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

/* Keys of any bytes come by base64: c'\r\nSTAT, and a prefix with a line end in it. */
static void keys_that_are_no_words_pretend_to_be_no_lines(void **state)
{
    (void)state;
    says("stats detail on\r\n", "OK\r\n");
    says("ms YycNClNUQVQ= 1 b\r\nx\r\n", "HD\r\n");
    says("ms Yg0KYTph 1 b\r\nx\r\n", "HD\r\n"); /* b\r\na:a */
    says("set plain 0 0 1\r\nx\r\n", "STORED\r\n");
    says("mg plain k s\r\n", "HD kplain s1\r\n");
    for (int class_id = 1; class_id < 20; class_id++) {
        char line[32];
        size_t byte_count;

        snprintf(line, sizeof line, "stats cachedump %d 0\r\n", class_id);
        fake_clear(rig.connection);
        fake_send(rig.connection, line, strlen(line));
        const char *answer = fake_answer(rig.connection, &byte_count);

        assert_null(memmem(answer, byte_count, "STAT", 4));
        assert_null(memmem(answer, byte_count, "\r\na:a", 5));
    }
    says("stats detail dump\r\n", "PREFIX b%0D%0Aa get 0 hit 0 set 1 del 0\r\nEND\r\n");
    says("stats detail off\r\n", "OK\r\n");
}

/* Whatever a request is cut at, it is expected until it has come: deadlines go by that. */
static void a_request_that_has_not_come_whole_is_expected(void **state)
{
    char long_get[2102] = "get ";
    const char *const halves[][2] = {
        {"set a 0 0 10\r\nabc", "defghij\r\n"},
        {"set a 0 0 3\r\nabc", "\r\n"},
        {"set a 0 0 3\r\nabc\r", "\n"},
        {"ms a 3\r\nab", "c\r\n"},
        {long_get, "a\r\n"},
        {"ms z 2000000\r\nx", NULL},
        {"set z 0 0 2000000\r\n", NULL},
    };

    (void)state;
    for (size_t i = 4; i < sizeof long_get - 2; i += 2) {
        strcat(long_get, "k "); /* a shorter line is left until it is whole */
    }
    for (size_t i = 0; i < sizeof halves / sizeof halves[0]; i++) {
        struct serve_connection *other = rig_connect(&rig);

        fake_send(other, halves[i][0], strlen(halves[i][0]));
        assert_true(fake_expects(other));
        if (halves[i][1] != NULL) {
            fake_send(other, halves[i][1], strlen(halves[i][1]));
            assert_false(fake_expects(other));
        }
        fake_close(other);
    }
    says("get a\r\n", "VALUE a 0 3\r\nabc\r\nEND\r\n");
    assert_false(fake_expects(rig.connection));
}

/* ---- the server ----------------------------------------------------------------------------- */

/* What the server was asked for, and the one who asked. */
static struct serve_connection *asker;
static bool is_willing;

static bool ask(void *argument, struct serve_connection *connection)
{
    assert_ptr_equal(argument, &asker);
    asker = connection;
    return is_willing;
}

static void open_with_asking(void)
{
    struct memcached_settings settings = {
        .hooks = {.argument = &asker, .ask_connections = ask, .ask_certificates = ask}};

    rig_close(&rig);
    rig_open_with(&rig, &settings, NULL);
    is_willing = true;
    asker = NULL;
}

static void give_certificates(struct serve_connection *connection, void *argument)
{
    if (connection != NULL) {
        memcached_certificates_done(connection, argument);
    }
}

static void give_connections(struct serve_connection *connection, void *argument)
{
    size_t count = *(const size_t *)argument;
    struct memcached_connection_figures *figures = calloc(count, sizeof *figures);

    assert_non_null(figures);
    for (size_t i = 0; i < count; i++) {
        figures[i].id = 100 + i;
        figures[i].idle_seconds = i;
        figures[i].state = i == 1 ? "conn_mwrite" : "conn_read";
        snprintf(figures[i].peer, sizeof figures[i].peer, "10.0.0.1:%zu", i);
        snprintf(figures[i].local, sizeof figures[i].local, "unix:/q.sock");
    }
    if (connection != NULL) {
        memcached_connections_done(connection, &figures, count);
    }
    free(figures);
}

static void certificates_are_read_and_told_of_later(void **state)
{
    char why[] = "Error certificate 'a.pem': none";

    (void)state;
    says("refresh_certs\r\n", "Error TLS not enabled\r\n");
    open_with_asking();
    says("refresh_certs\r\nmn\r\n", "");
    assert_ptr_equal(asker, rig.connection);
    assert_true(fake_waits(rig.connection));
    serve_post(NULL, serve_connection_id(asker), give_certificates, NULL);
    fake_settle(rig.connection);
    says("refresh_certs noreply\r\n", "");
    serve_post(NULL, serve_connection_id(asker), give_certificates, NULL);
    says("mn\r\n", "MN\r\n");
    fake_clear(rig.connection);
    fake_send(rig.connection, "refresh_certs noreply\r\n", 23);
    serve_post(NULL, serve_connection_id(asker), give_certificates, why);
    says("mn\r\n", "Error certificate 'a.pem': none\r\nMN\r\n");
    is_willing = false;
    says("refresh_certs\r\n", "Error TLS not enabled\r\n");
}

static void connections_of_others_are_told_of_later(void **state)
{
    size_t count = 2, many = 5000, byte_count;

    (void)state;
    open_with_asking();
    says("stats conns\r\nmn\r\n", "");
    assert_true(fake_waits(rig.connection));
    serve_post(NULL, serve_connection_id(asker), give_connections, &count);
    says("mn\r\n", "STAT 100:addr tcp:10.0.0.1:0\r\nSTAT 100:listen_addr unix:/q.sock\r\n"
                   "STAT 100:state conn_read\r\nSTAT 100:secs_since_last_cmd 0\r\n"
                   "STAT 101:addr tcp:10.0.0.1:1\r\nSTAT 101:listen_addr unix:/q.sock\r\n"
                   "STAT 101:state conn_mwrite\r\nSTAT 101:secs_since_last_cmd 1\r\n"
                   "END\r\nMN\r\nMN\r\n");
    fake_clear(rig.connection);
    fake_send(rig.connection, "stats conns\r\n", 13);
    uint64_t yields = fake_counts(rig.connection).yields;
    serve_post(NULL, serve_connection_id(asker), give_connections, &many);
    fake_settle(rig.connection);
    assert_true(fake_counts(rig.connection).yields > yields + 10); /* others had their turns */
    (void)fake_answer(rig.connection, &byte_count);
    assert_true(byte_count > many * 100);
    /* Who asks may go before he is told, or while he is. */
    fake_send(rig.connection, "stats conns\r\n", 13);
    serve_post(NULL, serve_connection_id(asker), give_connections, &count);
    fake_close(rig.connection);
    rig.connection = rig_connect(&rig);
    is_willing = false;
    says("stats conns\r\n", "");
    assert_true(fake_is_closed(rig.connection));
}

static void packets_ask_for_connections_too(void **state)
{
    static const char packet[] = "\x80\x10\x00\x05\x00\x00\x00\x00\x00\x00\x00\x05oooo"
                                 "\0\0\0\0\0\0\0\0conns";
    size_t count = 1, byte_count;

    (void)state;
    open_with_asking();
    fake_send(rig.connection, packet, sizeof packet - 1);
    serve_post(NULL, serve_connection_id(asker), give_connections, &count);
    fake_settle(rig.connection);
    const char *answer = fake_answer(rig.connection, &byte_count);

    assert_int_equal(byte_count, 5 * 24 + strlen("100:addrtcp:10.0.0.1:0") +
                                     strlen("100:listen_addrunix:/q.sock") +
                                     strlen("100:stateconn_read") +
                                     strlen("100:secs_since_last_cmd0"));
    assert_memory_equal(answer + byte_count - 24, "\x81\x10\0\0\0\0\0\0\0\0\0\0oooo", 16);
}

static void settings_say_where_the_server_listens(void **state)
{
    (void)state;
    says_something_with("stats settings\r\n", "STAT inter NULL\r\n");
    memcached_set_address(&(struct memcached_address){
        .interface = "10.0.0.7", .unix_socket = "/run/q.sock", .port = 4711});
    memcached_set_verbosity(2);
    says_something_with("stats settings\r\n", "STAT tcpport 4711\r\n");
    says_something_with("stats settings\r\n", "STAT inter 10.0.0.7\r\n");
    says_something_with("stats settings\r\n", "STAT domain_socket /run/q.sock\r\n");
    says_something_with("stats settings\r\n", "STAT verbosity 2\r\n");
    memcached_set_address(&(struct memcached_address){.port = 0});
}

static void idle(void *argument, struct memcached_server_figures *ret_figures)
{
    (void)argument;
    ret_figures->idle_timeout_seconds = 7;
    ret_figures->idle_closed = 3;
}

static void who_was_idle_is_counted_where_there_is_a_limit(void **state)
{
    struct memcached_settings settings = {.backlog = 99, .hooks = {.read_server = idle}};
    size_t byte_count;

    (void)state;
    fake_send(rig.connection, "stats\r\n", 7);
    const char *answer = fake_answer(rig.connection, &byte_count);
    assert_null(memmem(answer, byte_count, "idle_kicks", 10));
    rig_close(&rig);
    rig_open_with(&rig, &settings, NULL);
    says_something_with("stats\r\n", "STAT idle_kicks 3\r\n");
    says_something_with("stats settings\r\n", "STAT idle_timeout 7\r\n");
    says_something_with("stats settings\r\n", "STAT tcp_backlog 99\r\n");
}

static const char a_packet[] = "\x80\x0a\0\0\0\0\0\0\0\0\0\0oooo\0\0\0\0\0\0\0\0";

static void a_door_for_packets_takes_no_lines(void **state)
{
    struct memcached_settings settings = {.speech = MEMCACHED_SPEAKS_BINARY};
    struct serve_connection *other;
    size_t byte_count;

    (void)state;
    rig_close(&rig);
    rig_open_with(&rig, &settings, NULL);
    other = rig_connect(&rig);
    fake_send(rig.connection, "What is not a packet, of any length", 35);
    assert_true(fake_is_closed(rig.connection));
    fake_send(other, a_packet, 24);
    (void)fake_answer(other, &byte_count);
    assert_int_equal(byte_count, 24);
    assert_false(fake_is_closed(other));
    fake_close(other);
}

static void a_door_for_lines_takes_no_packets(void **state)
{
    struct memcached_settings settings = {.speech = MEMCACHED_SPEAKS_TEXT};

    (void)state;
    rig_close(&rig);
    rig_open_with(&rig, &settings, NULL);
    says_something_with("stats settings\r\n", "STAT binding_protocol ascii\r\n");
    fake_clear(rig.connection);
    fake_send(rig.connection, a_packet, 24);
    fake_send(rig.connection, "\r\n", 2);
    size_t byte_count;
    const char *answer = fake_answer(rig.connection, &byte_count);

    assert_int_equal(byte_count, 14); /* two lines: the packet's opcode ends one */
    assert_memory_equal(answer, "ERROR\r\nERROR\r\n", 14);
}

/* "detail on" and its like, as a packet. */
static const char *stat_packet(const char *group, size_t *ret_bytes)
{
    char packet[64] = "\x80\x10\0\0\0\0\0\0\0\0\0\0oooo";
    size_t length = strlen(group);

    packet[3] = packet[11] = (char)length;
    memcpy(packet + 24, group, length);
    fake_clear(rig.connection);
    fake_send(rig.connection, packet, 24 + length);
    return fake_answer(rig.connection, ret_bytes);
}

static void packets_count_by_prefixes_and_tell_them(void **state)
{
    static const char told_prefix[] = "detailedPREFIX a get 1 hit 0 set 0 del 0";
    struct serve_connection *other = rig_connect(&rig);
    size_t byte_count;

    (void)state;
    (void)stat_packet("detail on", &byte_count);
    assert_int_equal(byte_count, 24);
    rig_says(other, "get a:1\r\n", "END\r\n");
    const char *answer = stat_packet("detail dump", &byte_count);

    assert_int_equal(byte_count, 24 + strlen(told_prefix) + 24);
    assert_memory_equal(answer + 24, told_prefix, strlen(told_prefix));
    rig_says(other, "stats reset\r\n", "RESET\r\n");
    (void)stat_packet("detail dump", &byte_count);
    assert_int_equal(byte_count, 24); /* what nothing was done with is not told */
    (void)stat_packet("detail off", &byte_count);
    assert_int_equal(byte_count, 24);
    fake_close(other);
}

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
        TEST(others_have_their_turn_between_many_requests),
        TEST(a_watcher_is_told_what_happens),
        TEST(a_watcher_is_told_only_what_it_asked_for),
        TEST(a_watcher_is_told_of_connections_and_evictions),
        TEST(a_watcher_is_told_again_when_a_post_has_failed),
        TEST(what_a_watcher_has_no_room_for_is_left_out),
        TEST(there_are_so_many_watchers_and_no_more),
        TEST(stats_count_what_was_done),
        TEST(the_general_group_has_the_names_of_memcached),
        TEST(other_groups_are_there),
        TEST(keys_that_are_asked_for_often_become_known),
        TEST(what_is_switched_off_is_refused),
        TEST(keys_that_are_no_words_pretend_to_be_no_lines),
        TEST(a_request_that_has_not_come_whole_is_expected),
        TEST(certificates_are_read_and_told_of_later),
        TEST(connections_of_others_are_told_of_later),
        TEST(packets_ask_for_connections_too),
        TEST(settings_say_where_the_server_listens),
        TEST(who_was_idle_is_counted_where_there_is_a_limit),
        TEST(a_door_for_packets_takes_no_lines),
        TEST(a_door_for_lines_takes_no_packets),
        TEST(packets_count_by_prefixes_and_tell_them),
        TEST(shutdown_asks_the_server),
        TEST(the_door_is_opened_once_and_with_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
