/*
 * Selectors: whatever the text, a selector's slices lie in the text or in the room, which is as
 * long as the text and no longer, and each is UTF-8.
 */
#include <stdlib.h>
#include <string.h>

#include <serve/prometheus/selector.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count);

static bool is_within(struct tsdb_slice slice, const char *bytes, size_t count)
{
    return slice.bytes >= bytes && slice.bytes + slice.count <= bytes + count;
}

static void check(const struct selector *selector, const char *text, const char *room, size_t count)
{
    for (size_t i = 0; i < selector->matcher_count; i++) {
        const struct quarry_tsdb_matcher *matcher = &selector->matchers[i];
        bool is_name = tsdb_slice_equal(matcher->name, tsdb_slice_of(TSDB_METRIC_NAME));
        if ((!is_name && !is_within(matcher->name, text, count) &&
             !is_within(matcher->name, room, count)) ||
            (!is_within(matcher->value, text, count) && !is_within(matcher->value, room, count)) ||
            !tsdb_utf8_is_valid(matcher->name) || !tsdb_utf8_is_valid(matcher->value)) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
    struct selector selector;
    char *text = malloc(byte_count + 1), *room = malloc(byte_count + 1);

    if (text == NULL || room == NULL) {
        abort();
    }
    memcpy(text + 1, data, byte_count); /* up to its end, where ASan looks */
    if (selector_read((struct tsdb_slice){text + 1, byte_count}, room + 1, &selector, NULL) ==
        QUARRY_OK) {
        check(&selector, text + 1, room + 1, byte_count);
    }
    free(text);
    free(room);
    return 0;
}
