/*
 * RE2 behind C.
 *
 * Anchored matching without submatches lets RE2 run its automaton alone, forwards. Its log is
 * switched off; its limit of memory holds for the program and for the automaton's states, which it
 * drops and makes anew when they are too many.
 *
 * No exception leaves: what the library or the language throws is only ever a lack of memory.
 *
 * Locking: RE2's own, around the automaton's states.
 */
#include <tsdb/re2_shim.h>

#include <cstring>
#include <new>

#include <re2/re2.h>

struct tsdb_re2 {
    RE2 expression;

    tsdb_re2(const re2::StringPiece &text, const RE2::Options &options) : expression(text, options)
    {
    }
};

static RE2::Options make_options(size_t memory_bytes)
{
    RE2::Options options;

    options.set_log_errors(false);
    options.set_dot_nl(true);
    options.set_never_capture(true);
    options.set_max_mem(static_cast<int64_t>(memory_bytes));
    return options;
}

static void copy_text(const std::string &text, char *ret_text, size_t capacity)
{
    size_t count = text.size() < capacity ? text.size() : capacity - 1;

    std::memcpy(ret_text, text.data(), count);
    ret_text[count] = '\0';
}

static enum quarry_status compile(const re2::StringPiece &text, size_t memory_bytes,
                                  struct tsdb_re2 **ret_re2, char *ret_text, size_t capacity)
{
    struct tsdb_re2 *made = new tsdb_re2(text, make_options(memory_bytes));

    if (made->expression.ok()) {
        *ret_re2 = made;
        return QUARRY_OK;
    }
    bool is_large = made->expression.error_code() == RE2::ErrorPatternTooLarge;
    copy_text(made->expression.error(), ret_text, capacity);
    delete made;
    return is_large ? QUARRY_TOO_LARGE : QUARRY_BAD_INPUT;
}

enum quarry_status tsdb_re2_compile(const char *expression, size_t byte_count, size_t memory_bytes,
                                    struct tsdb_re2 **ret_re2, char *ret_text, size_t text_capacity)
{
    try {
        return compile(re2::StringPiece(expression, byte_count), memory_bytes, ret_re2, ret_text,
                       text_capacity);
    } catch (...) {
        copy_text("no memory", ret_text, text_capacity);
        return QUARRY_NO_MEMORY;
    }
}

void tsdb_re2_free(struct tsdb_re2 *re2)
{
    delete re2;
}

bool tsdb_re2_matches(const struct tsdb_re2 *re2, const char *text, size_t byte_count)
{
    try {
        return re2->expression.Match(re2::StringPiece(text, byte_count), 0, byte_count,
                                     RE2::ANCHOR_BOTH, nullptr, 0);
    } catch (...) {
        return false;
    }
}
