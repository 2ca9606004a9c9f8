/*
 * The HTTP API without a server: answers, errors, windows; and memory that does not suffice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <quarry/memory.h>
#include <serve/api/local.h>

#define TEXT_BYTES 4096u
#define HOUR_MS    INT64_C(3600000)
#define START_MS   (INT64_C(472000) * HOUR_MS)

struct place {
    struct quarry_memory *memory;
    struct quarry_tsdb *tsdb;
    struct api_local *local;
    char text[TEXT_BYTES];
    size_t count;
    size_t wanted; /* pieces; 0: all */
};

static bool take(void *argument, const char *bytes, size_t count)
{
    struct place *place = argument;

    assert_true(count < TEXT_BYTES - place->count);
    memcpy(place->text + place->count, bytes, count);
    place->count += count;
    place->text[place->count] = '\0';
    return place->wanted != 1;
}

static int64_t wall_ms(void *argument)
{
    (void)argument;
    return START_MS + 100 * HOUR_MS;
}

static enum quarry_status append(struct place *place)
{
    const struct quarry_tsdb_label labels[] = {
        {QUARRY_TSDB_TEXT("__name__"), QUARRY_TSDB_TEXT("up")},
        {QUARRY_TSDB_TEXT("job"), QUARRY_TSDB_TEXT("node")}};
    const double one = 1;
    struct quarry_tsdb_sample sample = {.t_ms = START_MS};
    memcpy(&sample.bits, &one, sizeof one);
    const struct quarry_tsdb_entry entry = {
        .labels = {labels, 2}, .samples = &sample, .sample_count = 1};
    const struct quarry_tsdb_request request = {.entries = &entry, .entry_count = 1};
    struct quarry_tsdb_result result;

    return quarry_tsdb_append(place->tsdb, &request, &result);
}

/* Errors: those of want of memory. */
static enum quarry_status open_place(struct place *place, uint64_t limit_bytes)
{
    const struct quarry_memory_options options = {.limit_bytes = limit_bytes,
                                                  .has_no_thread = true};
    enum quarry_status status = quarry_memory_create(&options, &place->memory, NULL);

    if (status == QUARRY_OK) {
        const struct quarry_tsdb_options tsdb_options = {
            .memory = place->memory, .has_no_thread = true, .wall_ms = wall_ms};
        status = quarry_tsdb_open(&tsdb_options, &place->tsdb, NULL);
    }
    if (status == QUARRY_OK) {
        status = append(place);
    }
    if (status == QUARRY_OK) {
        status = api_local_create(place->memory, place->tsdb, &place->local, NULL);
    }
    return status;
}

static void close_place(struct place *place)
{
    api_local_destroy(place->local);
    assert_int_equal(quarry_tsdb_close(place->tsdb), QUARRY_OK);
    if (place->memory != NULL) {
        quarry_memory_destroy(place->memory);
    }
    *place = (struct place){.memory = NULL};
}

static enum quarry_status ask(struct place *place, const char *path, const char *name,
                              const char *value, uint32_t *ret_code)
{
    const struct api_question_param params[] = {{name, value}, {"time", "1699200000"}};
    const struct api_question question = {
        .path = path, .segment = "job", .params = params, .param_count = name == NULL ? 0 : 2};

    place->count = 0;
    place->text[0] = '\0';
    return api_local_ask(place->local, &question, take, place, ret_code);
}

static void expect(struct place *place, const char *path, const char *name, const char *value,
                   uint32_t code, const char *part)
{
    uint32_t got = 0;

    assert_int_equal(ask(place, path, name, value, &got), QUARRY_OK);
    assert_int_equal(got, code);
    if (strstr(place->text, part) == NULL) {
        fail_msg("'%s' is not in '%s'", part, place->text);
    }
}

static void answers_are_those_of_the_server(void **state)
{
    struct place place = {.memory = NULL};

    (void)state;
    assert_int_equal(open_place(&place, Q_MIB(64)), QUARRY_OK);
    expect(&place, "/api/v1/query", "query", "up", 200,
           "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{"
           "\"__name__\":\"up\",\"job\":\"node\"},\"value\":[1699200000,\"1\"]}]}}");
    expect(&place, "/api/v1/query", "query", "sum(", 400, "\"errorType\":\"bad_data\"");
    expect(&place, "/api/v1/label/*/values", NULL, NULL, 200, "\"data\":[\"node\"]");
    expect(&place, "/api/v1/series", "match[]", "up", 200, "\"job\":\"node\"");
    expect(&place, "/api/v1/status/tsdb", NULL, NULL, 200, "\"numSeries\":1");
    expect(&place, "/api/v1/status/windows", NULL, NULL, 200,
           "{\"shards\":64,\"windows\":[{\"startMs\":1699200000000,\"endMs\":1699214400000,"
           "\"sealedShards\":0,");
    expect(&place, "/api/v1/nothing", NULL, NULL, 404, "leads nowhere");
    close_place(&place);
}

static void who_wants_no_more_gets_no_more(void **state)
{
    struct place place = {.memory = NULL};
    uint32_t code = 0;

    (void)state;
    assert_int_equal(open_place(&place, Q_MIB(64)), QUARRY_OK);
    place.wanted = 1;
    assert_int_equal(ask(&place, "/api/v1/query", "query", "up", &code), QUARRY_CANCELLED);
    place.wanted = 0;
    expect(&place, "/api/v1/query", "query", "up", 200, "\"node\"");
    close_place(&place);
}

/* With each limit it works, or says that there is no memory; and all is given back. */
static void want_of_memory_is_told(void **state)
{
    struct place place = {.memory = NULL};
    uint32_t unopened_count = 0, refused_count = 0, fine_count = 0;

    (void)state;
    for (uint64_t limit = Q_KIB(400); limit <= Q_KIB(1600); limit += Q_KIB(8)) {
        uint32_t code = 0;
        enum quarry_status status = open_place(&place, limit);
        if (status == QUARRY_OK) {
            status = ask(&place, "/api/v1/query", "query", "up", &code);
            fine_count += status == QUARRY_OK && code == 200;
            refused_count += status != QUARRY_OK || code != 200;
            assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
            assert_true(status != QUARRY_OK || code == 200 || code == 500);
        } else {
            assert_int_equal(status,
                             limit < Q_MIB(1) && place.memory == NULL ? status : QUARRY_NO_MEMORY);
            unopened_count++;
        }
        close_place(&place);
    }
    print_message("%u not opened, %u refused, %u fine\n", unopened_count, refused_count,
                  fine_count);
    assert_true(unopened_count + refused_count > 0 && fine_count > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_those_of_the_server),
        cmocka_unit_test(who_wants_no_more_gets_no_more),
        cmocka_unit_test(want_of_memory_is_told),
    };
    return cmocka_run_group_tests_name("api_local", tests, NULL, NULL);
}
