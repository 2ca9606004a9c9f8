/*
 * Selectors, and the names of labels.
 *
 * A regular expression is compiled once here, to refuse what is none and to learn whether it lets
 * series pass that lack the label; stores compile it again. What stands for itself alone is not.
 */
#include <promql/parser.h>

#include "grammar.h"

#include <promql/node.h>
#include <promql/text.h>

#include <tsdb/re2_shim.h>
#include <tsdb/utf8.h>

#include <string.h>

/* What RE2 may take for an expression while it is looked at; as a store's matchers. */
#define RE2_BYTES ((size_t)1024 * 1024)
/* Bytes of an expression at most: RE2 takes some 30 bytes of stack or heap for each. */
#define REGEX_BYTES_MAX ((size_t)1024 * 1024)

/* ---- selectors ------------------------------------------------------------------------------ */

/* Whether all of it stands for itself, or for anything: then it is an expression that matches some
 * text, and needs no look by RE2. */
static bool is_plain(struct quarry_tsdb_slice text)
{
    for (size_t i = 0; i < text.count; i++) {
        char character = text.bytes[i];
        if (!((character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
              (character >= '0' && character <= '9') || strchr("_-:/ ", character) != NULL)) {
            return false;
        }
    }
    return text.count > 0;
}

/* What RE2 says, in the words of Go's parser of the same expressions. */
static void *refuse_regex(struct promql_parser *parser, struct promql_range at, const char *why)
{
    static const char *const words[][2] = {
        {"no argument for repetition operator", "missing argument to repetition operator"},
        {"missing argument to repetition operator", "missing argument to repetition operator"},
        {"bad repetition operator", "invalid nested repetition operator"},
        {"missing ]", "missing closing ]"},
        {"missing )", "missing closing )"},
        {"unexpected )", "unexpected )"},
        {"invalid perl operator", "invalid or unsupported Perl syntax"},
        {"invalid repetition size", "invalid repeat count"},
        {"trailing \\", "trailing backslash at end of expression"},
        {"invalid UTF-8", "invalid UTF-8"}};
    const char *argument = strstr(why, ": ");
    size_t count = argument == NULL ? strlen(why) : (size_t)(argument - why);

    argument = argument == NULL ? "" : argument + 2;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strlen(words[i][0]) == count && memcmp(words[i][0], why, count) == 0) {
            return promql_fail(parser, at, "error parsing regexp: %s: `%s`", words[i][1], argument);
        }
    }
    return promql_fail(parser, at, "error parsing regexp: %.*s: `%s`", (int)count, why, argument);
}

/* Compiles it, and asks whether it matches the empty text. */
static bool check_regex(struct promql_parser *parser, struct promql_range at,
                        struct quarry_tsdb_slice text, bool *ret_empty)
{
    struct tsdb_re2 *re2;
    char why[256];

    *ret_empty = text.count == 0;
    if (text.count == 0 || is_plain(text)) {
        return true;
    }
    if (text.count > REGEX_BYTES_MAX) {
        promql_fail(parser, at, "error parsing regexp: expression too large: %zu bytes",
                    text.count);
        parser->status = QUARRY_TOO_LARGE;
        return false;
    }
    enum quarry_status status =
        tsdb_re2_compile(text.bytes, text.count, RE2_BYTES, &re2, why, sizeof(why));
    if (status == QUARRY_OK) {
        *ret_empty = tsdb_re2_matches(re2, "", 0);
        tsdb_re2_free(re2);
        return true;
    }
    if (status == QUARRY_NO_MEMORY) {
        promql_fail_memory(parser);
        parser->status = QUARRY_NO_MEMORY;
        return false;
    }
    refuse_regex(parser, at, why);
    return false;
}

static enum quarry_tsdb_match match_of(int operation)
{
    return operation == T_EQL         ? QUARRY_TSDB_EQUAL
           : operation == T_NEQ       ? QUARRY_TSDB_NOT_EQUAL
           : operation == T_EQL_REGEX ? QUARRY_TSDB_REGEX
                                      : QUARRY_TSDB_NOT_REGEX;
}

/* Quoted names are of Prometheus 3. */
static bool check_quoted(struct promql_parser *parser, struct promql_token name,
                         const char *context, const char *expected)
{
    struct promql_quoted room;

    if (name.kind == T_STRING && parser->options->compat_2_42) {
        promql_fail(parser, name.at, "unexpected string %s in %s, expected %s",
                    promql_quote(&room, promql_token_text(parser, name)), context, expected);
        return false;
    }
    return true;
}

struct promql_links *promql_make_matcher(struct promql_parser *parser, struct promql_token name,
                                         int operation, struct promql_token value)
{
    struct promql_link link = {.matcher = {.match = match_of(operation)}};
    struct quarry_tsdb_matcher *matcher = &link.matcher;

    if (!check_quoted(parser, name, "label matching", "identifier or \"}\"")) {
        return NULL;
    }
    matcher->name = name.kind == T_STRING ? promql_unquote_token(parser, name)
                                          : promql_copy_token(parser, name);
    matcher->value = promql_unquote_token(parser, value);
    if (matcher->name.bytes == NULL || matcher->value.bytes == NULL) {
        return promql_fail_memory(parser);
    }
    link.passes_empty = matcher->value.count == 0;
    if (matcher->match >= QUARRY_TSDB_REGEX &&
        !check_regex(parser, promql_merge(name.at, value.at), matcher->value, &link.passes_empty)) {
        return NULL;
    }
    if (matcher->match == QUARRY_TSDB_NOT_EQUAL || matcher->match == QUARRY_TSDB_NOT_REGEX) {
        link.passes_empty = !link.passes_empty;
    }
    return promql_links_add(parser, NULL, &link);
}

struct promql_links *promql_make_metric_name(struct promql_parser *parser, struct promql_token name)
{
    struct promql_link link = {
        .matcher = {.match = QUARRY_TSDB_EQUAL, .name = QUARRY_TSDB_TEXT("__name__")}};

    if (!check_quoted(parser, name, "label matching", "identifier or \"}\"")) {
        return NULL;
    }
    link.matcher.value = promql_unquote_token(parser, name);
    link.passes_empty = link.matcher.value.count == 0;
    return link.matcher.value.bytes != NULL ? promql_links_add(parser, NULL, &link)
                                            : promql_fail_memory(parser);
}

static struct quarry_tsdb_matcher *copy_matchers(struct promql_parser *parser,
                                                 const struct promql_links *links, size_t more)
{
    const size_t count = (links == NULL ? 0 : links->count) + more;
    struct quarry_tsdb_matcher *matchers =
        promql_memory_take_zero(parser->memory, count, sizeof(*matchers));
    size_t i = 0;

    for (const struct promql_link *link = links == NULL ? NULL : links->first;
         matchers != NULL && link != NULL; link = link->next) {
        matchers[i++] = link->matcher;
    }
    return matchers;
}

struct promql_node *promql_make_selector(struct promql_parser *parser,
                                         const struct promql_token *name,
                                         const struct promql_links *matchers,
                                         struct promql_range at)
{
    struct promql_node *node = promql_make_node(parser, PROMQL_SELECTOR, PROMQL_VECTOR, at, 1);
    struct quarry_tsdb_matcher *copied = copy_matchers(parser, matchers, name != NULL);
    size_t count = matchers == NULL ? 0 : matchers->count;

    if (node == NULL || copied == NULL) {
        return promql_fail_memory(parser);
    }
    for (const struct promql_link *link = matchers == NULL ? NULL : matchers->first; link != NULL;
         link = link->next) {
        node->selector.is_selective |= !link->passes_empty;
    }
    node->selector.name = (struct quarry_tsdb_slice)QUARRY_TSDB_TEXT("");
    if (name != NULL) {
        node->selector.name = promql_copy_token(parser, *name);
        if (node->selector.name.bytes == NULL) {
            return promql_fail_memory(parser);
        }
        copied[count++] = (struct quarry_tsdb_matcher){.match = QUARRY_TSDB_EQUAL,
                                                       .name = QUARRY_TSDB_TEXT("__name__"),
                                                       .value = node->selector.name};
        node->selector.is_selective = true;
    }
    node->selector.matchers = copied;
    node->selector.matcher_count = count;
    return node;
}

/* ---- labels --------------------------------------------------------------------------------- */

struct promql_links *promql_make_label(struct promql_parser *parser, struct promql_token label)
{
    struct promql_link link = {0};
    struct promql_quoted room;

    if (!check_quoted(parser, label, "grouping opts", "label")) {
        return NULL;
    }
    link.name = label.kind == T_STRING ? promql_unquote_token(parser, label)
                                       : promql_copy_token(parser, label);
    if (link.name.bytes == NULL) {
        return promql_fail_memory(parser);
    }
    if (label.kind == T_METRIC_IDENTIFIER && parser->options->compat_2_42) {
        promql_unexpected(parser, "grouping opts", "label");
        return NULL;
    }
    if (link.name.count == 0 || !tsdb_utf8_is_valid((struct tsdb_slice){
                                    .bytes = link.name.bytes, .count = link.name.count})) {
        return promql_fail(parser, label.at, "invalid label name for grouping: %s",
                           promql_quote(&room, link.name));
    }
    return promql_links_add(parser, NULL, &link);
}
