/*
 * Matchers.
 *
 *     =  !=          a pattern of one text
 *     =~ !~          a pattern (pattern.c), or RE2 where the expression is none
 *
 * RE2 takes its memory from malloc, up to a limit that it keeps; the limit is charged as a whole.
 * Go's expressions, which Prometheus has, and RE2's are one language but for "\C", a single byte,
 * which Go does not have: it is refused here.
 *
 * Locking: none; const after init, but for RE2's own states.
 */
#include <tsdb/matcher.h>

/* Shown of an expression in an error. */
#define SHOWN_BYTES_MAX 80

/* Whether "\C" is in an expression, outside of "\Q…\E". */
static bool has_single_byte(struct tsdb_slice expression)
{
    bool is_quoted = false;

    for (size_t i = 0; i + 1 < expression.count; i++) {
        if (expression.bytes[i] != '\\') {
            continue;
        }
        char next = expression.bytes[i + 1];
        if (!is_quoted && next == 'C') {
            return true;
        }
        is_quoted = next == 'Q' ? true : is_quoted && next != 'E';
        i += !is_quoted || next == 'Q' || next == 'E'; /* quoted, a backslash is a byte */
    }
    return false;
}

static enum quarry_status refuse(struct quarry_error *error, enum quarry_status status,
                                 struct tsdb_slice expression, const char *why)
{
    int shown = (int)size_min_u64(expression.count, SHOWN_BYTES_MAX);

    return error_set(error, status, "regular expression '%.*s': %s", shown, expression.bytes, why);
}

static enum quarry_status init_re2(struct tsdb_matcher *matcher, struct tsdb_slice expression,
                                   struct quarry_error *error)
{
    char text[128] = "";

    if (has_single_byte(expression)) {
        return refuse(error, QUARRY_BAD_INPUT, expression, "invalid escape sequence: \\C");
    }
    if (quarry_account_charge(matcher->memory->account, TSDB_MATCHER_RE2_BYTES) != QUARRY_OK) {
        return refuse(error, QUARRY_NO_MEMORY, expression, "no memory");
    }
    enum quarry_status status =
        tsdb_re2_compile(expression.bytes, expression.count, TSDB_MATCHER_RE2_BYTES, &matcher->re2,
                         text, sizeof(text));
    if (status != QUARRY_OK) {
        quarry_account_uncharge(matcher->memory->account, TSDB_MATCHER_RE2_BYTES);
        return refuse(error, status, expression, text);
    }
    return QUARRY_OK;
}

static enum quarry_status init_value(struct tsdb_matcher *matcher, struct tsdb_slice value,
                                     struct quarry_error *error)
{
    bool is_text = matcher->type == TSDB_MATCH_EQUAL || matcher->type == TSDB_MATCH_NOT_EQUAL;
    enum quarry_status status =
        is_text ? tsdb_pattern_init_text(&matcher->pattern, matcher->memory, value)
                : tsdb_pattern_init(&matcher->pattern, matcher->memory, value);

    if (status == QUARRY_NO_MEMORY) {
        return error_set(error, status, "no memory for a matcher of %zu bytes", value.count);
    }
    return status == QUARRY_UNSUPPORTED ? init_re2(matcher, value, error) : status;
}

enum quarry_status tsdb_matcher_init(struct tsdb_matcher *matcher, const struct tsdb_memory *memory,
                                     enum tsdb_matcher_type type, struct tsdb_slice name,
                                     struct tsdb_slice value, struct quarry_error *error)
{
    if ((unsigned)type > TSDB_MATCH_NOT_REGEX) {
        return error_set(error, QUARRY_BAD_INPUT, "matcher of type %d", (int)type);
    }
    if (value.count > TSDB_MATCHER_BYTES_MAX || name.count > TSDB_MATCHER_BYTES_MAX) {
        return error_set(error, QUARRY_TOO_LARGE, "matcher of %zu bytes: at most %llu", value.count,
                         (unsigned long long)TSDB_MATCHER_BYTES_MAX);
    }
    *matcher = (struct tsdb_matcher){.type = type,
                                     .is_negated = type == TSDB_MATCH_NOT_EQUAL ||
                                                   type == TSDB_MATCH_NOT_REGEX,
                                     .memory = memory};
    char *copy = tsdb_memory_take(memory, name.count + 1);
    if (copy == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for a matcher");
    }
    memcpy(copy, name.bytes, name.count);
    matcher->name = (struct tsdb_slice){.bytes = copy, .count = name.count};
    enum quarry_status status = init_value(matcher, value, error);
    if (status != QUARRY_OK) {
        tsdb_memory_give(memory, copy);
        return status;
    }
    matcher->matches_empty = tsdb_matcher_passes(matcher, (struct tsdb_slice){.bytes = ""});
    return QUARRY_OK;
}

void tsdb_matcher_fini(struct tsdb_matcher *matcher)
{
    if (matcher->re2 != NULL) {
        tsdb_re2_free(matcher->re2);
        quarry_account_uncharge(matcher->memory->account, TSDB_MATCHER_RE2_BYTES);
    } else {
        tsdb_pattern_fini(&matcher->pattern);
    }
    tsdb_memory_give(matcher->memory, (void *)(uintptr_t)matcher->name.bytes);
}

bool tsdb_matcher_passes(const struct tsdb_matcher *matcher, struct tsdb_slice value)
{
    bool matches = matcher->re2 != NULL ? tsdb_re2_matches(matcher->re2, value.bytes, value.count)
                                        : tsdb_pattern_matches(&matcher->pattern, value);

    return matches != matcher->is_negated;
}
