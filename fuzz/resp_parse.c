/*
 * Fuzzes the reading of requests: what is read of a request does not depend on how much of it is
 * there, and never lies outside of it.
 */
#include <serve/resp/parse.h>

#include <stdlib.h>
#include <string.h>

#define WORDS 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct quarry_kv_slice words[WORDS], fewer[WORDS];
static char room[RESP_LINE_BYTES_MAX];

static void check_inside(const char *bytes, size_t size, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const char *begin = words[i].bytes;
        Q_ASSERT(begin >= bytes && words[i].byte_count <= size - (size_t)(begin - bytes));
    }
}

/* With the last bytes missing it is not whole, or wrong in the same way. */
static void check_shorter(const char *bytes, size_t taken, const struct resp_parse_limits *limits)
{
    for (size_t cut = 1; cut < taken && cut < 64; cut++) {
        struct resp_cursor cursor = {.words_left = 0};
        struct resp_parse_error error;
        uint32_t count = 0;
        size_t at = 0;
        char *exact = malloc(taken - cut);
        Q_ASSERT(exact != NULL);
        memcpy(exact, bytes, taken - cut);
        enum resp_parsed parsed = resp_parse_request(&cursor, exact, taken - cut, limits, fewer,
                                                     WORDS, &count, &at, &error);
        Q_ASSERT(parsed == RESP_PARSED_MORE && at <= taken - cut);
        free(exact);
    }
}

static void fuzz_array(const char *bytes, size_t size, const struct resp_parse_limits *limits)
{
    struct resp_cursor cursor = {.words_left = 0};
    struct resp_parse_error error;
    uint32_t count = 0;
    size_t taken = 0;
    enum resp_parsed parsed =
        resp_parse_request(&cursor, bytes, size, limits, words, WORDS, &count, &taken, &error);

    if (parsed == RESP_PARSED_ALL) {
        Q_ASSERT(count > 0 && taken > 0 && taken <= size);
        check_inside(bytes, size, count);
        check_shorter(bytes, taken, limits);
    } else if (parsed == RESP_PARSED_MORE) {
        Q_ASSERT(taken <= size && cursor.words_left <= RESP_WORDS_MAX);
        Q_ASSERT(!cursor.has_bulk || cursor.bulk_bytes <= limits->bulk_bytes_max);
        check_inside(bytes, size, count);
    } else if (parsed == RESP_PARSED_WRONG) {
        Q_ASSERT(strncmp(error.text, "Protocol error: ", 16) == 0);
    }
}

static void fuzz_line(const char *bytes, size_t size)
{
    struct resp_parse_error error;
    uint32_t count = 0;
    size_t taken = 0;
    enum resp_parsed parsed =
        resp_parse_line(bytes, size, room, words, WORDS, &count, &taken, &error);

    if (parsed == RESP_PARSED_ALL) {
        Q_ASSERT(count > 0 && taken > 0 && taken <= size);
        check_inside(room, sizeof room, count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct resp_parse_limits limits = {.bulk_bytes_max = 4096,
                                             .is_stranger = size > 0 && data[0] % 2 == 1};

    if (size < 2) {
        return 0;
    }
    char *exact = malloc(size - 1); /* of just its size, for sanitizers */
    Q_ASSERT(exact != NULL);
    memcpy(exact, data + 1, size - 1);
    if (exact[0] == '*') {
        fuzz_array(exact, size - 1, &limits);
    }
    fuzz_line(exact, size - 1);
    free(exact);
    return 0;
}
