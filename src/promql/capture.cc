/*
 * RE2 with its groups.
 */
#include <promql/capture.h>

#include <re2/re2.h>

#include <cstdio>
#include <new>
#include <string>

static const int64_t program_bytes = 8 << 20;
static const size_t groups_max = 64;

struct promql_capture {
    explicit promql_capture(const std::string &expression, const RE2::Options &options)
        : re2(expression, options)
    {
    }
    RE2 re2;
};

static RE2::Options make_options()
{
    RE2::Options options;

    options.set_log_errors(false);
    options.set_dot_nl(true);
    options.set_max_mem(program_bytes);
    return options;
}

enum quarry_status promql_capture_compile(const char *expression, size_t count,
                                          struct promql_capture **ret_capture, char *ret_text,
                                          size_t capacity)
{
    try {
        std::string text(expression, count);
        promql_capture *capture = new promql_capture(text, make_options());
        if (!capture->re2.ok()) {
            std::snprintf(ret_text, capacity, "%s", capture->re2.error().c_str());
            delete capture;
            return QUARRY_BAD_INPUT;
        }
        *ret_capture = capture;
        return QUARRY_OK;
    } catch (const std::bad_alloc &) {
        std::snprintf(ret_text, capacity, "out of memory");
        return QUARRY_NO_MEMORY;
    }
}

void promql_capture_free(struct promql_capture *capture)
{
    delete capture;
}

bool promql_capture_match(const struct promql_capture *capture, const char *text, size_t count,
                          struct promql_capture_group *groups, size_t capacity)
{
    re2::StringPiece pieces[groups_max];
    int wanted = capture->re2.NumberOfCapturingGroups() + 1;
    size_t asked = capacity < groups_max ? capacity : groups_max;

    asked = static_cast<size_t>(wanted) < asked ? static_cast<size_t>(wanted) : asked;
    try {
        if (!capture->re2.Match(re2::StringPiece(text, count), 0, count, RE2::ANCHOR_BOTH, pieces,
                                static_cast<int>(asked))) {
            return false;
        }
    } catch (const std::bad_alloc &) {
        return false;
    }
    for (size_t i = 0; i < capacity; i++) {
        bool is_there = i < asked && pieces[i].data() != nullptr;
        groups[i].is_there = is_there;
        groups[i].begin = is_there ? static_cast<size_t>(pieces[i].data() - text) : 0;
        groups[i].count = is_there ? pieces[i].size() : 0;
    }
    return true;
}

int promql_capture_find(const struct promql_capture *capture, const char *name, size_t count)
{
    try {
        const auto &groups = capture->re2.NamedCapturingGroups();
        auto found = groups.find(std::string(name, count));
        return found == groups.end() ? -1 : found->second;
    } catch (const std::bad_alloc &) {
        return -1;
    }
}
