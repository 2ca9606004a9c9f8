/*
 * Regular expressions that are read as patterns mean what RE2 makes of them: the input is an
 * expression, a NUL, and a text of ASCII.
 */
#include <stdlib.h>
#include <string.h>

#include <tsdb/matcher.h>

#define TEXT_BYTES_MAX 256u

static struct tsdb_memory objects;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count);

static void must(enum quarry_status status)
{
    if (status != QUARRY_OK) {
        abort();
    }
}

static void make_memory(void)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(64), .has_no_thread = true};
    const struct quarry_account_options account = {.name = "tsdb"};
    struct quarry_memory *memory;
    struct quarry_lifetime *lifetime;

    must(quarry_memory_create(&options, &memory, NULL));
    must(quarry_account_create(memory, &account, &objects.account, NULL));
    must(quarry_lifetime_begin(memory, "tsdb", &lifetime, NULL));
    must(quarry_pool_create(lifetime, quarry_account_owner(objects.account), &objects.pool));
}

/* A matcher of the expression, which may be a pattern, beside RE2 itself. */
static void compare(struct tsdb_slice expression, struct tsdb_slice text)
{
    struct tsdb_matcher matcher;
    struct tsdb_re2 *re2;
    char why[64];
    enum quarry_status status = tsdb_matcher_init(&matcher, &objects, TSDB_MATCH_REGEX,
                                                  tsdb_slice_of("name"), expression, NULL);
    enum quarry_status oracle = tsdb_re2_compile(expression.bytes, expression.count,
                                                 TSDB_MATCHER_RE2_BYTES, &re2, why, sizeof(why));

    if (status == QUARRY_OK) {
        must(oracle);
        if (tsdb_matcher_passes(&matcher, text) != tsdb_re2_matches(re2, text.bytes, text.count)) {
            abort();
        }
        tsdb_matcher_fini(&matcher);
    }
    if (oracle == QUARRY_OK) {
        tsdb_re2_free(re2);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
    char text[TEXT_BYTES_MAX];
    const uint8_t *end = byte_count == 0 ? NULL : memchr(data, 0, byte_count);

    if (objects.account == NULL) {
        make_memory();
    }
    if (end == NULL || data + byte_count - end - 1 > (ptrdiff_t)TEXT_BYTES_MAX) {
        return 0;
    }
    size_t text_count = (size_t)(data + byte_count - end - 1);
    for (size_t i = 0; i < text_count; i++) {
        text[i] = (char)(end[1 + i] & 0x7f);
    }
    compare((struct tsdb_slice){.bytes = (const char *)data, .count = (size_t)(end - data)},
            (struct tsdb_slice){.bytes = text, .count = text_count});
    return 0;
}
