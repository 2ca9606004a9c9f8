/* What commands have beyond Redis, or answer otherwise: ranges, snapshots, limits of our own. */
#include "unit/base/cmocka_all.h"
#include "unit/serve/resp_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct resp_rig rig;

static int set_up(void **state)
{
    (void)state;
    resp_rig_open(&rig);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    resp_rig_close(&rig);
    return 0;
}

static void says(const char *line, const char *answered)
{
    resp_rig_says(&rig, line, answered);
}

static void pass(uint64_t ms)
{
    /* Relaxed: one thread. */
    (void)atomic_add_relaxed_u64(&rig.now_ms, ms);
}

static void fill(void)
{
    says("MSET a 1 b 2 c 3 d 4 aa 11", "+OK\\r\\n");
}

/* ---- KV.RANGE ------------------------------------------------------------------------------- */

static void a_range_is_told_in_the_order_of_its_keys(void **state)
{
    (void)state;
    says("KV.RANGE - +", "*0\\r\\n");
    fill();
    says("KV.RANGE - + KEYS",
         "*5\\r\\n$1\\r\\na\\r\\n$2\\r\\naa\\r\\n$1\\r\\nb\\r\\n$1\\r\\nc\\r\\n$1\\r\\nd\\r\\n");
    says("KV.RANGE [b (d", "*4\\r\\n$1\\r\\nb\\r\\n$1\\r\\n2\\r\\n$1\\r\\nc\\r\\n$1\\r\\n3\\r\\n");
    says("KV.RANGE (b [d KEYS", "*2\\r\\n$1\\r\\nc\\r\\n$1\\r\\nd\\r\\n");
    says("KV.RANGE (a (b KEYS", "*1\\r\\n$2\\r\\naa\\r\\n");
    says("KV.RANGE [a [a", "*2\\r\\n$1\\r\\na\\r\\n$1\\r\\n1\\r\\n");
    says("KV.RANGE [ab + KEYS", "*3\\r\\n$1\\r\\nb\\r\\n$1\\r\\nc\\r\\n$1\\r\\nd\\r\\n");
}

static void a_range_without_keys_is_empty(void **state)
{
    (void)state;
    fill();
    says("KV.RANGE + -", "*0\\r\\n");
    says("KV.RANGE + +", "*0\\r\\n");
    says("KV.RANGE - -", "*0\\r\\n");
    says("KV.RANGE [c [b", "*0\\r\\n");
    says("KV.RANGE (a (a", "*0\\r\\n");
    says("KV.RANGE (a [a", "*0\\r\\n");
    says("KV.RANGE [a (a", "*0\\r\\n");
    says("KV.RANGE (d +", "*0\\r\\n");
    says("KV.RANGE - + LIMIT 0", "*0\\r\\n");
}

static void a_range_can_be_read_from_its_end_and_in_pieces(void **state)
{
    (void)state;
    fill();
    says("KV.RANGE + - REV KEYS LIMIT 2", "*2\\r\\n$1\\r\\nd\\r\\n$1\\r\\nc\\r\\n");
    says("KV.RANGE (c - REV KEYS LIMIT 2", "*2\\r\\n$1\\r\\nb\\r\\n$2\\r\\naa\\r\\n");
    says("KV.RANGE [c (a rev keys", "*3\\r\\n$1\\r\\nc\\r\\n$1\\r\\nb\\r\\n$2\\r\\naa\\r\\n");
    says("KV.RANGE - + REV", "*0\\r\\n");
    says("KV.RANGE - + KEYS LIMIT 2", "*2\\r\\n$1\\r\\na\\r\\n$2\\r\\naa\\r\\n");
    says("KV.RANGE (aa + KEYS LIMIT 2", "*2\\r\\n$1\\r\\nb\\r\\n$1\\r\\nc\\r\\n");
    says("KV.RANGE (c + KEYS LIMIT -1", "*1\\r\\n$1\\r\\nd\\r\\n");
}

static void a_range_is_of_pairs_in_the_third_protocol(void **state)
{
    (void)state;
    fill();
    rig.session.protocol = 3;
    says("KV.RANGE [b [c",
         "*2\\r\\n*2\\r\\n$1\\r\\nb\\r\\n$1\\r\\n2\\r\\n*2\\r\\n$1\\r\\nc\\r\\n$1\\r\\n3\\r\\n");
    says("KV.RANGE [b [c KEYS", "*2\\r\\n$1\\r\\nb\\r\\n$1\\r\\nc\\r\\n");
}

static void a_range_leaves_out_other_databases_and_what_has_expired(void **state)
{
    (void)state;
    fill();
    says("PEXPIRE b 10", ":1\\r\\n");
    rig.session.scope.database = 1;
    says("SET bb 5", "+OK\\r\\n");
    rig.session.scope.database = 0;
    pass(10);
    says("KV.RANGE [b [c KEYS", "*1\\r\\n$1\\r\\nc\\r\\n");
    rig.session.scope.database = 1;
    says("KV.RANGE - + KEYS", "*1\\r\\n$2\\r\\nbb\\r\\n");
}

static void bounds_can_be_any_bytes(void **state)
{
    (void)state;
    says("MSET \"\" empty \"\\x00\" zero \"\\xff\\xff\" high", "+OK\\r\\n");
    says("KV.RANGE [ [ ", "*2\\r\\n$0\\r\\n\\r\\n$5\\r\\nempty\\r\\n");
    says("KV.RANGE ( + KEYS", "*2\\r\\n$1\\r\\n\\x00\\r\\n$2\\r\\n\\xff\\xff\\r\\n");
    says("KV.RANGE \"(\\x00\" \"[\\xff\\xff\" KEYS", "*1\\r\\n$2\\r\\n\\xff\\xff\\r\\n");
    says("SET {k*1000} long", "+OK\\r\\n");
    says("KV.RANGE [{k*1000} [{k*1000}", "*2\\r\\n$1000\\r\\n{k*1000}\\r\\n$4\\r\\nlong\\r\\n");
    says("KV.RANGE ({k*1000} [{k*2000} KEYS", "*0\\r\\n");
}

static void words_that_are_no_range_are_refused(void **state)
{
    (void)state;
    says("KV.RANGE a +", "-ERR min or max not valid string range item\\r\\n");
    says("KV.RANGE - b", "-ERR min or max not valid string range item\\r\\n");
    says("KV.RANGE \"\" +", "-ERR min or max not valid string range item\\r\\n");
    says("KV.RANGE ({k*300} b", "-ERR min or max not valid string range item\\r\\n");
    says("KV.RANGE -- +", "-ERR min or max not valid string range item\\r\\n");
    says("KV.RANGE - + FOO", "-ERR syntax error\\r\\n");
    says("KV.RANGE - + LIMIT", "-ERR syntax error\\r\\n");
    says("KV.RANGE - + LIMIT x", "-ERR value is not an integer or out of range\\r\\n");
    says("KV.RANGE - + SNAPSHOT x", "-ERR value is not an integer or out of range\\r\\n");
    says("KV.RANGE - + SNAPSHOT 1", "-ERR no such snapshot\\r\\n");
    says("KV.RANGE - + SNAPSHOT 0", "-ERR no such snapshot\\r\\n");
    says("KV.RANGE -", "-ERR wrong number of arguments for 'kv.range' command\\r\\n");
}

/* ---- KV.DELRANGE ---------------------------------------------------------------------------- */

static void a_range_is_deleted(void **state)
{
    (void)state;
    fill();
    says("KV.DELRANGE (a [b", "+OK\\r\\n");
    says("KEYS *", "*3\\r\\n$1\\r\\na\\r\\n$1\\r\\nc\\r\\n$1\\r\\nd\\r\\n");
    says("KV.DELRANGE [d [c", "+OK\\r\\n");
    says("KV.DELRANGE + -", "+OK\\r\\n");
    says("DBSIZE", ":3\\r\\n");
    says("KV.DELRANGE b +", "-ERR min or max not valid string range item\\r\\n");
    says("KV.DELRANGE [c +", "+OK\\r\\n");
    says("KEYS *", "*1\\r\\n$1\\r\\na\\r\\n");
    rig.session.scope.database = 1;
    says("SET a 1", "+OK\\r\\n");
    says("KV.DELRANGE - +", "+OK\\r\\n");
    says("DBSIZE", ":0\\r\\n");
    rig.session.scope.database = 0;
    says("EXISTS a", ":1\\r\\n");
}

static void a_transaction_deletes_and_reads_ranges_of_its_own(void **state)
{
    (void)state;
    fill();
    resp_rig_begin(&rig);
    says("SET bb 5", "+OK\\r\\n");
    says("KV.RANGE [b (c KEYS", "*2\\r\\n$1\\r\\nb\\r\\n$2\\r\\nbb\\r\\n");
    says("KV.DELRANGE [a (c", "+OK\\r\\n");
    says("KV.RANGE - + KEYS", "*2\\r\\n$1\\r\\nc\\r\\n$1\\r\\nd\\r\\n");
    says("SET b 6", "+OK\\r\\n");
    resp_rig_exec(&rig);
    says("KV.RANGE - + KEYS", "*3\\r\\n$1\\r\\nb\\r\\n$1\\r\\nc\\r\\n$1\\r\\nd\\r\\n");
}

/* ---- snapshots ------------------------------------------------------------------------------ */

static void a_snapshot_shows_what_was_there(void **state)
{
    (void)state;
    fill();
    says("KV.SNAPSHOT CREATE", ":1\\r\\n");
    says("SET b changed", "+OK\\r\\n");
    says("DEL c", ":1\\r\\n");
    says("KV.RANGE [b [c SNAPSHOT 1",
         "*4\\r\\n$1\\r\\nb\\r\\n$1\\r\\n2\\r\\n$1\\r\\nc\\r\\n$1\\r\\n3\\r\\n");
    says("KV.RANGE [b [c", "*2\\r\\n$1\\r\\nb\\r\\n$7\\r\\nchanged\\r\\n");
    says("FLUSHALL", "+OK\\r\\n");
    says("KV.RANGE + - REV KEYS LIMIT 1 SNAPSHOT 1", "*1\\r\\n$1\\r\\nd\\r\\n");
    says("KV.SNAPSHOT RELEASE 1", ":1\\r\\n");
    says("KV.RANGE - + SNAPSHOT 1", "-ERR no such snapshot\\r\\n");
    says("KV.SNAPSHOT RELEASE 1", ":0\\r\\n");
    says("KV.SNAPSHOT RELEASE -3", ":0\\r\\n");
    says("KV.SNAPSHOT RELEASE x", "-ERR value is not an integer or out of range\\r\\n");
}

static void a_snapshot_ends_after_a_minute(void **state)
{
    (void)state;
    fill();
    says("KV.SNAPSHOT CREATE", ":1\\r\\n");
    pass(RESP_SNAPSHOT_LIFE_MS - 1);
    says("KV.RANGE [b [b SNAPSHOT 1", "*2\\r\\n$1\\r\\nb\\r\\n$1\\r\\n2\\r\\n");
    says("KV.SNAPSHOT CREATE", ":2\\r\\n");
    pass(1);
    says("KV.RANGE [b [b SNAPSHOT 1", "-ERR no such snapshot\\r\\n");
    says("KV.RANGE [b [b SNAPSHOT 2 KEYS", "*1\\r\\n$1\\r\\nb\\r\\n");
}

static uint64_t snapshots_of_store(void)
{
    struct quarry_kv_stats stats;

    quarry_kv_read_stats(keyspace_kv(rig.keyspace), &stats);
    return stats.snapshot_count;
}

static void a_snapshot_ends_with_its_session(void **state)
{
    (void)state;
    says("KV.SNAPSHOT CREATE", ":1\\r\\n");
    rig.session.id = 8;
    says("KV.SNAPSHOT CREATE", ":2\\r\\n");
    assert_int_equal(snapshots_of_store(), 2);
    resp_snapshots_end_session(rig.snapshots, 7);
    assert_int_equal(snapshots_of_store(), 1);
    says("KV.RANGE - + SNAPSHOT 1", "-ERR no such snapshot\\r\\n");
    says("KV.RANGE - + SNAPSHOT 2", "*0\\r\\n");
    resp_snapshots_end_session(rig.snapshots, 8);
    assert_int_equal(snapshots_of_store(), 0);
}

static void snapshots_are_listed_and_counted(void **state)
{
    char answer[32];

    (void)state;
    says("KV.SNAPSHOT LIST", "*0\\r\\n");
    for (unsigned i = 1; i <= RESP_SNAPSHOTS_PER_TENANT; i++) {
        (void)snprintf(answer, sizeof(answer), ":%u\\r\\n", i);
        says("KV.SNAPSHOT CREATE", answer);
    }
    says("KV.SNAPSHOT CREATE", "-ERR there are 16 snapshots already: release one\\r\\n");
    says("KV.SNAPSHOT RELEASE 3", ":1\\r\\n");
    says("KV.SNAPSHOT CREATE", ":17\\r\\n");
    for (unsigned i = 1; i < 17; i++) {
        char line[64];

        (void)snprintf(line, sizeof(line), "KV.SNAPSHOT RELEASE %u", i);
        says(line, i == 3 ? ":0\\r\\n" : ":1\\r\\n");
    }
    pass(100);
    says("KV.SNAPSHOT LIST",
         "*1\\r\\n*10\\r\\n$2\\r\\nid\\r\\n:17\\r\\n$10\\r\\nconnection\\r\\n:7\\r\\n$6\\r\\nage-"
         "ms\\r\\n:100"
         "\\r\\n$7\\r\\nrest-ms\\r\\n:59900\\r\\n$8\\r\\nsequence\\r\\n:1\\r\\n");
}

static void a_snapshot_is_its_tenants_alone(void **state)
{
    (void)state;
    says("KV.SNAPSHOT CREATE", ":1\\r\\n");
    rig.session.scope.tenant = 5;
    says("KV.RANGE - + SNAPSHOT 1", "-ERR no such snapshot\\r\\n");
    says("KV.SNAPSHOT RELEASE 1", ":0\\r\\n");
    says("KV.SNAPSHOT LIST", "*0\\r\\n");
    says("KV.SNAPSHOT CREATE", ":2\\r\\n");
}

static void a_snapshot_in_use_ends_with_its_last_use(void **state)
{
    uint64_t id;

    (void)state;
    assert_int_equal(resp_snapshots_take(rig.snapshots, 0, 7, 0, &id), QUARRY_OK);
    assert_non_null(resp_snapshots_acquire(rig.snapshots, 0, id));
    assert_non_null(resp_snapshots_acquire(rig.snapshots, 0, id));
    assert_int_equal(resp_snapshots_end(rig.snapshots, 0, id), QUARRY_OK);
    assert_null(resp_snapshots_acquire(rig.snapshots, 0, id));
    assert_int_equal(resp_snapshots_end(rig.snapshots, 0, id), QUARRY_NOT_FOUND);
    resp_snapshots_end_session(rig.snapshots, 7);
    assert_int_equal(snapshots_of_store(), 1);
    resp_snapshots_release(rig.snapshots, id);
    assert_int_equal(snapshots_of_store(), 1);
    resp_snapshots_release(rig.snapshots, id);
    assert_int_equal(snapshots_of_store(), 0);
}

/* ---- limits, and other answers of our own --------------------------------------------------- */

/* Calls a command of whose words one is of so many bytes. Returns: the answer; own. */
static char *call_with(const char *line, size_t at, size_t byte_count)
{
    struct quarry_kv_slice words[RIG_WORDS_MAX];
    char *room, *bytes = calloc(byte_count + 1, 1);
    size_t word_count = resp_rig_words(line, words, &room);

    assert_non_null(bytes);
    words[at] = (struct quarry_kv_slice){bytes, byte_count};
    struct resp_reply *reply = resp_rig_call(&rig, words, word_count);
    char *answer = resp_rig_escape(resp_reply_bytes(reply));
    resp_reply_destroy(reply);
    free(bytes);
    free(room);
    return answer;
}

static void answers(const char *line, size_t at, size_t byte_count, const char *answered)
{
    char *answer = call_with(line, at, byte_count);

    if (strncmp(answer, answered, strlen(answered)) != 0) {
        fail_msg("%s with %zu bytes: %s", line, byte_count, answer);
    }
    free(answer);
}

static void a_key_of_64_kib_is_stored_and_a_longer_one_refused(void **state)
{
    (void)state;
    answers("SET k v", 1, 65532, "+OK\\r\\n");
    answers("GET k", 1, 65532, "$1\\r\\nv\\r\\n");
    answers("KV.RANGE [ [k", 2, 1, "-ERR min or max");
    answers("RENAME k l", 1, 65532, "+OK\\r\\n");
    answers("APPEND k v", 1, 65532, ":1\\r\\n");
    answers("DEL k", 1, 65532, ":1\\r\\n");
    answers("SET k v", 1, 65533, "-ERR key of 65533 bytes is longer than 65532\\r\\n");
    answers("SET k v NX", 1, 65533, "-ERR key of");
    answers("MSET a 1 k v", 3, 65533, "-ERR key of");
    answers("EXISTS a", 1, 1, ":0\\r\\n");
    answers("RENAME l k", 2, 65533, "-ERR key of");
    answers("COPY l k", 2, 65533, "-ERR key of");
    answers("MOVE k 1", 1, 65533, "-ERR key of");
    answers("DEL l k", 2, 65533, "-ERR key of");
    answers("INCR k", 1, 100000, "-ERR key of");
    answers("EXPIRE k 10", 1, 100000, "-ERR key of");
}

static void reading_a_key_that_cannot_be_stored_finds_nothing(void **state)
{
    (void)state;
    says("SET a 1", "+OK\\r\\n");
    answers("GET k", 1, 70000, "$-1\\r\\n");
    answers("MGET a k", 2, 70000, "*2\\r\\n$1\\r\\n1\\r\\n$-1\\r\\n");
    answers("EXISTS k a", 1, 70000, ":1\\r\\n");
    answers("TTL k", 1, 70000, ":-2\\r\\n");
    answers("TYPE k", 1, 70000, "+none\\r\\n");
    answers("STRLEN k", 1, 70000, ":0\\r\\n");
}

static void a_value_of_the_limit_is_stored_and_a_longer_one_refused(void **state)
{
    static const char refusal[] =
        "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\\r\\n";

    (void)state;
    answers("SET k v", 2, RIG_BULK_BYTES_MAX, "+OK\\r\\n");
    says("STRLEN k", ":33554432\\r\\n");
    says("APPEND k x", refusal);
    says("APPEND k \"\"", ":33554432\\r\\n");
    says("SETRANGE k 33554431 x", ":33554432\\r\\n");
    says("SETRANGE k 33554432 x", refusal);
    says("GETRANGE k 33554430 -1", "$2\\r\\n\\x00x\\r\\n");
    answers("SET k v", 2, RIG_BULK_BYTES_MAX + 1, refusal);
    answers("SET k v GET", 2, RIG_BULK_BYTES_MAX + 1, refusal);
    answers("MSET k v", 2, RIG_BULK_BYTES_MAX + 1, refusal);
    answers("GETSET k v", 2, RIG_BULK_BYTES_MAX + 1, refusal);
    says("STRLEN k", ":33554432\\r\\n");
}

static void lcs_of_long_values_is_refused(void **state)
{
    (void)state;
    answers("SET a v", 2, 2800, "+OK\\r\\n");
    answers("SET b v", 2, 2800, "+OK\\r\\n");
    says("LCS a b LEN", ":2800\\r\\n");
    answers("SET b v", 2, 3000, "+OK\\r\\n");
    says("LCS a b LEN", "-ERR Insufficient memory, transient memory for LCS exceeds "
                        "proto-max-bulk-len\\r\\n");
}

static void an_answer_that_is_too_long_is_refused(void **state)
{
    char line[64];

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(line, sizeof(line), "SET k%02u {x*60000}", i);
        says(line, "+OK\\r\\n");
    }
    says("KV.RANGE - +", "-ERR the answer is longer than 1048576 bytes: give a LIMIT\\r\\n");
    says("KV.RANGE - + LIMIT 1", "*2\\r\\n$3\\r\\nk00\\r\\n$60000\\r\\n{x*60000}\\r\\n");
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(line, sizeof(line), "SET {k*60000}%02u v", i);
        says(line, "+OK\\r\\n");
    }
    says("KEYS *", "-ERR the answer is longer than 1048576 bytes\\r\\n");
    says("SCAN 0 COUNT 1000", "-ERR the answer is longer than 1048576 bytes\\r\\n");
    says("KEYS k00", "*1\\r\\n$3\\r\\nk00\\r\\n");
}

static void swapping_databases_is_refused(void **state)
{
    (void)state;
    says("SWAPDB 0 1", "-ERR SWAPDB is not supported: a database is a stretch of an ordered "
                       "store's keys, see docs/resp.md\\r\\n");
}

static void keys_by_a_prefix_are_those_that_begin_so(void **state)
{
    (void)state;
    says("MSET us 1 user:1 1 user:2 2 user; 3 uses 4 \"\\xff\\xff\" 5 \"\\xff\\xffa\" 6",
         "+OK\\r\\n");
    says("KEYS user:*", "*2\\r\\n$6\\r\\nuser:1\\r\\n$6\\r\\nuser:2\\r\\n");
    says("KEYS user*", "*3\\r\\n$6\\r\\nuser:1\\r\\n$6\\r\\nuser:2\\r\\n$5\\r\\nuser;\\r\\n");
    says("KEYS us", "*1\\r\\n$2\\r\\nus\\r\\n");
    says("KEYS \"\\xff\\xff*\"", "*2\\r\\n$2\\r\\n\\xff\\xff\\r\\n$3\\r\\n\\xff\\xffa\\r\\n");
    says("KEYS {k*300}*", "*0\\r\\n");
    says("KEYS {k*4096}", "*0\\r\\n");
    says("KEYS {k*4097}", "-ERR pattern of 4097 bytes is longer than 4096\\r\\n");
    says("SCAN 0 MATCH {k*4097}", "-ERR pattern of 4097 bytes is longer than 4096\\r\\n");
}

/* ---- scanning ------------------------------------------------------------------------------- */

/* Takes a SCAN's answer apart: its cursor, and a count for each of the keys k000 and so on. */
static uint64_t take_apart(const struct resp_reply *reply, uint8_t *seen, size_t seen_count)
{
    struct quarry_kv_slice bytes = resp_reply_bytes(reply);
    char *text = strndup(bytes.bytes, bytes.byte_count), *rest = NULL;
    uint64_t cursor;

    assert_non_null(text);
    assert_string_equal(strtok_r(text, "\r\n", &rest), "*2");
    (void)strtok_r(NULL, "\r\n", &rest);
    cursor = strtoull(strtok_r(NULL, "\r\n", &rest), NULL, 10);
    for (const char *line; (line = strtok_r(NULL, "\r\n", &rest)) != NULL;) {
        if (line[0] == 'k') {
            size_t number = strtoul(line + 1, NULL, 10);
            assert_true(number < seen_count);
            seen[number]++;
        }
    }
    free(text);
    return cursor;
}

static void scanning_tells_every_key_once_whatever_the_count(void **state)
{
    static const unsigned counts[] = {1, 3, 10, 100, 299, 300, 301, 5000};
    char line[64];

    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        (void)snprintf(line, sizeof(line), "SET k%03u v", i);
        says(line, "+OK\\r\\n");
    }
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        uint8_t seen[300] = {0};
        uint64_t cursor = 0;

        do {
            struct quarry_kv_slice words[RIG_WORDS_MAX];
            char *room;

            (void)snprintf(line, sizeof(line), "SCAN %llu COUNT %u", (unsigned long long)cursor,
                           counts[i]);
            size_t word_count = resp_rig_words(line, words, &room);
            struct resp_reply *reply = resp_rig_call(&rig, words, word_count);
            cursor = take_apart(reply, seen, 300);
            resp_reply_destroy(reply);
            free(room);
        } while (cursor != 0);
        for (size_t key = 0; key < 300; key++) {
            assert_int_equal(seen[key], 1);
        }
    }
    says("SCAN 123456789", "-ERR invalid cursor\\r\\n");
}

static void a_random_key_is_one_that_is_there(void **state)
{
    uint32_t seen[4] = {0};

    (void)state;
    says("MSET k0 v k1 v k2 v k3 v", "+OK\\r\\n");
    for (uint32_t i = 0; i < 400; i++) {
        const struct quarry_kv_slice words[] = {{"RANDOMKEY", 9}};
        struct resp_reply *reply = resp_rig_call(&rig, words, 1);
        const char *bytes = resp_reply_bytes(reply).bytes;

        assert_int_equal(resp_reply_bytes(reply).byte_count, 8);
        assert_memory_equal(bytes, "$2\r\nk", 5);
        assert_true(bytes[5] >= '0' && bytes[5] <= '3');
        seen[bytes[5] - '0']++;
        resp_reply_destroy(reply);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_true(seen[i] > 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_range_is_told_in_the_order_of_its_keys),
        TEST(a_range_without_keys_is_empty),
        TEST(a_range_can_be_read_from_its_end_and_in_pieces),
        TEST(a_range_is_of_pairs_in_the_third_protocol),
        TEST(a_range_leaves_out_other_databases_and_what_has_expired),
        TEST(bounds_can_be_any_bytes),
        TEST(words_that_are_no_range_are_refused),
        TEST(a_range_is_deleted),
        TEST(a_transaction_deletes_and_reads_ranges_of_its_own),
        TEST(a_snapshot_shows_what_was_there),
        TEST(a_snapshot_ends_after_a_minute),
        TEST(a_snapshot_ends_with_its_session),
        TEST(snapshots_are_listed_and_counted),
        TEST(a_snapshot_is_its_tenants_alone),
        TEST(a_snapshot_in_use_ends_with_its_last_use),
        TEST(a_key_of_64_kib_is_stored_and_a_longer_one_refused),
        TEST(reading_a_key_that_cannot_be_stored_finds_nothing),
        TEST(a_value_of_the_limit_is_stored_and_a_longer_one_refused),
        TEST(lcs_of_long_values_is_refused),
        TEST(an_answer_that_is_too_long_is_refused),
        TEST(swapping_databases_is_refused),
        TEST(keys_by_a_prefix_are_those_that_begin_so),
        TEST(scanning_tells_every_key_once_whatever_the_count),
        TEST(a_random_key_is_one_that_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
