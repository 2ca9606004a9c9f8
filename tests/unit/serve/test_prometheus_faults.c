/*
 * Prometheus' doors without memory: each allocation of each of them fails once, is told, and leaves
 * nothing behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <serve/api/api.h>
#include <serve/http/state.h>
#include <serve/prometheus/prometheus.h>
#include <serve/prometheus/selector.h>
#include <serve/scrape/scrape.h>
#include <serve/serve.h>

#define NOW_MS   INT64_C(1700000000000)
#define SERIES   40
#define STEP     256u
#define ROOM_MAX Q_MIB(8)

typedef enum http_outcome door_function(struct http_call *call, struct serve_tsdb *store,
                                        uint16_t tenant);

static struct serve_config *config;
static struct quarry_memory *memory;
static struct quarry_account *answers;
static struct serve_memory pages;
static struct serve_tsdb *store;

/* ---- the store ------------------------------------------------------------------------------ */

static int open_store(void **state)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(128)};
    const struct quarry_account_options account = {.name = "answers"};
    const struct quarry_lane_options lane = {.name = "answers"};
    const struct serve_data_dir nowhere = {.lock_fd = -1};
    struct quarry_error error = {0};

    (void)state;
    assert_int_equal(serve_config_create(&config, &error), QUARRY_OK);
    assert_int_equal(quarry_memory_create(&options, &memory, &error), QUARRY_OK);
    assert_int_equal(quarry_account_create(memory, &account, &answers, &error), QUARRY_OK);
    pages = (struct serve_memory){.memory = memory, .account = answers};
    assert_int_equal(quarry_lane_create(memory, &lane, &pages.lane, &error), QUARRY_OK);
    assert_int_equal(serve_tsdb_open(memory, config, &nowhere, Q_MIB(128), &store, &error),
                     QUARRY_OK);
    return 0;
}

static int close_store(void **state)
{
    (void)state;
    serve_tsdb_close(store);
    quarry_lane_destroy(pages.lane);
    quarry_account_destroy(answers);
    quarry_memory_destroy(memory);
    serve_config_destroy(config);
    return 0;
}

static uint64_t charged(void)
{
    struct quarry_account_state state;

    quarry_account_read(store->memory.account, &state);
    return state.charged_bytes;
}

/* ---- requests ------------------------------------------------------------------------------- */

struct message {
    char bytes[1 << 16];
    size_t count;
};

static void put(struct message *message, const void *bytes, size_t count)
{
    assert_true(count <= sizeof message->bytes - message->count);
    memcpy(message->bytes + message->count, bytes, count);
    message->count += count;
}

static void put_number(struct message *message, uint64_t number)
{
    uint8_t bytes[10];

    put(message, bytes, varint_put_u64(bytes, number));
}

static void put_field(struct message *message, uint32_t number, const void *bytes, size_t count)
{
    put_number(message, number << 3 | 2);
    put_number(message, count);
    put(message, bytes, count);
}

static void put_text(struct message *message, uint32_t number, const char *text)
{
    put_field(message, number, text, strlen(text));
}

static void put_sample(struct message *series, int64_t t_ms)
{
    struct message sample = {.count = 0};
    double value = 1.5;

    put_number(&sample, 1 << 3 | 1);
    put(&sample, &value, sizeof value);
    put_number(&sample, 2 << 3);
    put_number(&sample, (uint64_t)t_ms);
    put_field(series, 2, sample.bytes, sample.count);
}

static void put_label(struct message *series, const char *name, const char *value)
{
    struct message label = {.count = 0};

    put_text(&label, 1, name);
    put_text(&label, 2, value);
    put_field(series, 1, label.bytes, label.count);
}

static void name_of(int index, char name[16])
{
    (void)snprintf(name, 16, "m%d", index);
}

static void make_write_1(struct message *body, int64_t t_ms)
{
    char name[16];

    for (int i = 0; i < SERIES; i++) {
        struct message series = {.count = 0};
        name_of(i, name);
        put_label(&series, "__name__", name);
        put_label(&series, "job", "x");
        put_sample(&series, t_ms);
        put_sample(&series, t_ms + 1);
        put_field(body, 1, series.bytes, series.count);
    }
}

static void make_write_2(struct message *body, int64_t t_ms)
{
    char name[16];

    put_text(body, 4, "");
    put_text(body, 4, "__name__");
    for (int i = 0; i < SERIES; i++) {
        name_of(i, name);
        put_text(body, 4, name);
    }
    for (int i = 0; i < SERIES; i++) {
        struct message series = {.count = 0};
        const uint8_t refs[] = {1, (uint8_t)(2 + i)};
        put_field(&series, 1, refs, sizeof refs);
        put_sample(&series, t_ms);
        put_field(body, 5, series.bytes, series.count);
    }
}

static void make_read(struct message *body, bool is_stream)
{
    struct message query = {.count = 0}, matcher = {.count = 0};

    put_number(&query, 2 << 3);
    put_number(&query, (uint64_t)NOW_MS * 2);
    put_number(&matcher, 1 << 3);
    put_number(&matcher, 2);
    put_text(&matcher, 2, "__name__");
    put_text(&matcher, 3, "m.*");
    put_field(&query, 3, matcher.bytes, matcher.count);
    put_field(body, 1, query.bytes, query.count);
    put_number(body, 2 << 3);
    put_number(body, is_stream ? 1 : 0);
}

static void make_page(struct message *body, int64_t t_ms)
{
    char line[64];

    for (int i = 0; i < SERIES; i++) {
        int count = snprintf(line, sizeof line, "m%d{a=\"b\\n\"} 1 %lld\n", i, (long long)t_ms);
        put(body, line, (size_t)count);
    }
}

static void pack(struct message *body)
{
    static char room[1 << 17];
    struct tsdb_slice plain = {body->bytes, body->count};

    assert_true(tsdb_snappy_bytes_max(plain.count) <= sizeof room);
    size_t count = tsdb_snappy_write(plain, room);
    body->count = 0;
    put(body, room, count);
}

/* ---- asking --------------------------------------------------------------------------------- */

struct answer {
    uint32_t status;
    enum http_outcome outcome;
    size_t byte_count; /* of all pieces */
};

static struct answer ask(door_function *door, const struct message *body, const char *head,
                         const char *match)
{
    struct http_request request = {.head = {.field_count = 0}};
    struct http_param param = {HTTP_SLICE("match[]"), {match, match == NULL ? 0 : strlen(match)}};
    char fields[256];
    struct answer answer = {0};

    (void)snprintf(fields, sizeof fields, "POST / HTTP/1.1\r\n%s\r\n", head);
    request.bytes = fields;
    request.head_bytes = strlen(fields);
    assert_int_equal(http_head_parse(fields, request.head_bytes, &request.head), HTTP_WHOLE);
    request.params = match == NULL ? NULL : &param;
    request.param_count = match == NULL ? 0 : 1;
    struct http_call *call = &request.call;
    call->request = &request;
    call->body = (struct http_slice){body->bytes, body->count};
    call->is_cancelled = &request.is_cancelled;
    http_text_init(&call->body_out, &pages, Q_MIB(16));
    answer.outcome = door(call, store, 0);
    while (answer.outcome == HTTP_DONE && call->more != NULL && !call->is_last) {
        http_text_empty(&call->body_out);
        answer.outcome = call->more(call);
        answer.byte_count += call->body_out.count;
    }
    answer.status = call->status == 0 ? 200 : call->status;
    answer.byte_count = call->more == NULL ? call->body_out.count : answer.byte_count;
    if (call->end_state != NULL) {
        call->end_state(call);
    }
    http_text_fini(&call->body_out);
    return answer;
}

/* Gives the doors a little more room each time, until there is enough. Returns: the last answer. */
static struct answer sweep(door_function *door, const struct message *body, const char *head,
                           const char *match, uint32_t status)
{
    uint64_t before = charged();
    uint32_t failed_count = 0;

    for (uint64_t room = 0; room < ROOM_MAX; room += room < Q_KIB(64) ? STEP : room / 16) {
        assert_int_equal(quarry_account_set_bounds(store->memory.account, 0, before + room + 1),
                         QUARRY_OK);
        struct answer answer = ask(door, body, head, match);
        assert_int_equal(charged(), before);
        if (answer.status == status && answer.outcome == HTTP_DONE) {
            assert_true(failed_count > 0);
            assert_int_equal(quarry_account_set_bounds(store->memory.account, 0, 0), QUARRY_OK);
            return answer;
        }
        assert_true(answer.status == 503 || answer.status == 500 || answer.outcome == HTTP_FAILED);
        failed_count++;
    }
    fail_msg("%s", "no room was enough");
    return (struct answer){0};
}

static uint64_t taken(void)
{
    struct quarry_tsdb_stats stats;

    quarry_tsdb_read_stats(store->tsdb, &stats);
    return stats.taken_count;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void writes_without_memory_store_nothing_and_say_so(void **state)
{
    struct message one = {.count = 0}, two = {.count = 0}, page = {.count = 0};

    (void)state;
    make_write_1(&one, NOW_MS);
    pack(&one);
    (void)sweep(prometheus_write, &one, "", NULL, 204);
    assert_int_equal(taken(), 2 * SERIES);
    make_write_2(&two, NOW_MS + 2);
    pack(&two);
    (void)sweep(prometheus_write, &two,
                "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n",
                NULL, 204);
    assert_int_equal(taken(), 3 * SERIES);
    make_page(&page, NOW_MS + 3);
    (void)sweep(prometheus_import, &page, "", NULL, 204);
    assert_int_equal(taken(), 4 * SERIES);
}

static void reads_without_memory_leave_nothing(void **state)
{
    struct message one = {.count = 0}, samples = {.count = 0}, stream = {.count = 0};
    const struct message nothing = {.count = 0};

    (void)state;
    make_write_1(&one, NOW_MS);
    pack(&one);
    assert_int_equal(ask(prometheus_write, &one, "", NULL).status, 204);
    make_read(&samples, false);
    pack(&samples);
    assert_in_range(sweep(prometheus_read, &samples, "", NULL, 200).byte_count, SERIES * 5,
                    1 << 20);
    make_read(&stream, true);
    pack(&stream);
    assert_in_range(sweep(prometheus_read, &stream, "", NULL, 200).byte_count, SERIES * 30,
                    1 << 20);
    /* Too old to be told: the selectors are looked at all the same. */
    (void)sweep(prometheus_federate, &nothing, "", "{__name__=~\"m.*\"}", 200);
}

/* ---- the API's targets ---------------------------------------------------------------------- */

static const struct quarry_tsdb_label page_labels[] = {
    {QUARRY_TSDB_TEXT("instance"), QUARRY_TSDB_TEXT("a:1")},
    {QUARRY_TSDB_TEXT("job"), QUARRY_TSDB_TEXT("web")},
};
static const struct scrape_target_state page_target = {
    .job = "web",
    .url = "http://a:1/metrics",
    .discovered = {page_labels, 2},
    .labels = {page_labels, 2},
    .health = SCRAPE_UP,
};
static bool has_no_memory;

static enum quarry_status read_page_targets(struct scrape *scrape,
                                            struct scrape_targets **ret_targets)
{
    static const char *const jobs[] = {"web", "idle"};
    static struct scrape_targets targets = {&page_target, 1, jobs, 2};

    (void)scrape;
    *ret_targets = &targets;
    return has_no_memory ? QUARRY_NO_MEMORY : QUARRY_OK;
}

static void leave_targets(struct scrape_targets *targets)
{
    (void)targets;
}

static enum http_outcome ask_api(struct http_call *call, const char *path)
{
    const struct http_route route = {.path = path};
    const struct api_context context = {.store = store,
                                        .version = "0",
                                        .scrape = (struct scrape *)(uintptr_t)1,
                                        .read_targets = read_page_targets,
                                        .destroy_targets = leave_targets};

    call->route = &route;
    return api_answer(call, &context);
}

static enum http_outcome targets_door(struct http_call *call, struct serve_tsdb *of,
                                      uint16_t tenant)
{
    (void)of;
    (void)tenant;
    return ask_api(call, "/api/v1/targets");
}

static enum http_outcome pools_door(struct http_call *call, struct serve_tsdb *of, uint16_t tenant)
{
    (void)of;
    (void)tenant;
    return ask_api(call, "/api/v1/scrape_pools");
}

static enum http_outcome families_door(struct http_call *call, struct serve_tsdb *of,
                                       uint16_t tenant)
{
    (void)of;
    (void)tenant;
    return ask_api(call, "/api/v1/targets/metadata");
}

/* A hundred families of the target, so that the list of them grows. */
static void fill_families(void)
{
    struct message body = {.count = 0};
    char line[96];

    for (int i = 0; i < 100; i++) {
        int count = snprintf(line, sizeof line,
                             "# TYPE f%d gauge\nf%d{instance=\"a:1\",job=\"web\"} 1 %lld\n", i, i,
                             (long long)NOW_MS);
        put(&body, line, (size_t)count);
    }
    assert_int_equal(ask(prometheus_import, &body, "", NULL).status, 204);
}

static void targets_without_memory_leave_nothing(void **state)
{
    const struct message nothing = {.count = 0};

    (void)state;
    fill_families();
    has_no_memory = true;
    assert_int_equal(ask(targets_door, &nothing, "", NULL).status, 500);
    assert_int_equal(ask(pools_door, &nothing, "", NULL).status, 500);
    assert_int_equal(ask(families_door, &nothing, "", NULL).status, 500);
    has_no_memory = false;
    assert_true(ask(targets_door, &nothing, "", NULL).byte_count > 400);
    (void)sweep(targets_door, &nothing, "", NULL, 200);
    (void)sweep(pools_door, &nothing, "", NULL, 200);
    assert_true(sweep(families_door, &nothing, "", NULL, 200).byte_count > 100 * 60);
}

static void selectors_need_no_more_room_than_their_text(void **state)
{
    static const char *const texts[] = {
        "up", "{\"\\u00fc\"}", "m{a=\"\\U0001F600\\377\"}", "m{a='\\x41\\101\\a\\\\'}", "{a=`\\`}",
    };
    struct selector selector;
    struct quarry_error error = {0};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t count = strlen(texts[i]);
        char *text = malloc(count), *room = malloc(count); /* of just the size, for ASan */
        assert_non_null(text);
        assert_non_null(room);
        memcpy(text, texts[i], count);
        enum quarry_status status =
            selector_read((struct tsdb_slice){text, count}, room, &selector, &error);
        assert_int_equal(status, i == 2 ? QUARRY_BAD_INPUT : QUARRY_OK); /* \377 is no UTF-8 */
        /* And every part of it: an answer, whatever it is, and nothing behind the end is read. */
        for (size_t part = 0; part < count; part++) {
            char *cut = malloc(part + 1);
            assert_non_null(cut);
            memcpy(cut + 1, texts[i], part);
            (void)selector_read((struct tsdb_slice){cut + 1, part}, room, &selector, &error);
            free(cut);
        }
        free(text);
        free(room);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writes_without_memory_store_nothing_and_say_so, open_store,
                                        close_store),
        cmocka_unit_test_setup_teardown(reads_without_memory_leave_nothing, open_store,
                                        close_store),
        cmocka_unit_test_setup_teardown(targets_without_memory_leave_nothing, open_store,
                                        close_store),
        cmocka_unit_test(selectors_need_no_more_room_than_their_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
