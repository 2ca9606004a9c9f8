/*
 * Text in, trees out: Prometheus' query language.
 *
 *     struct promql_parse_options options = {.allows_fill = true};
 *     struct promql_parse_error error;
 *     struct promql_node *tree;
 *
 *     if (promql_parse(&memory, text, &options, &tree, &error) != QUARRY_OK) {
 *         fprintf(stderr, "%s\n", error.text); // 1:4: parse error: unexpected end of input
 *     }
 *
 * The language is Prometheus 3's; `compat_2_42` turns to that of 2.42 where the two differ. Errors
 * have its texts: of several the first.
 */
#ifndef QUARRY_PROMQL_PARSE_H
#define QUARRY_PROMQL_PARSE_H

#include <promql/ast.h>
#include <promql/memory.h>

/* Levels of a tree, where an option does not say; operators in a row are one. Each costs up to 700
 * bytes of stack when it is evaluated: twice as many need a larger one than threads have. What
 * people write has ten. */
#define PROMQL_DEPTH_MAX 256u
/* Bytes of a query. Rules that programs write have some thousands. */
#define PROMQL_TEXT_BYTES_MAX (1024u * 1024)
/* Room for an error's text. Texts quote what was written, which is cut after some hundred bytes. */
#define PROMQL_PARSE_ERROR_BYTES 2048

/* What may be written, beside what always may. */
struct promql_parse_options {
    bool allows_experimental_functions; /* and aggregations */
    bool allows_duration_expressions;   /* foo[1m + step()] */
    bool allows_extended_selectors;     /* anchored, smoothed */
    bool allows_fill;                   /* a + fill(0) b */
    bool compat_2_42;
    uint32_t depth_max; /* 0: PROMQL_DEPTH_MAX; at most that */
};

/* Where a text is wrong, and why. */
struct promql_parse_error {
    struct promql_range at;              /* bytes */
    uint32_t line, column;               /* of at.start: from 1, in bytes; 0: the text is empty */
    char text[PROMQL_PARSE_ERROR_BYTES]; /* "1:4: parse error: …", cut behind a whole character */
};

/*
 * Parses and checks an expression.
 *
 * `memory`: the tree's and its strings'. `text`: borrowed for the call. `options`: borrowed.
 * `ret_node`: borrowed until the memory is given back. `error`: written when the call fails.
 * Errors: QUARRY_BAD_INPUT: it is none; QUARRY_TOO_LARGE: longer or deeper than allowed;
 * QUARRY_NO_MEMORY: the memory's grant, or that of a regular expression.
 * Threads: any; the memory is one thread's. Cost: some 100 ns a token, 80 KiB of stack; some 10 µs
 * for a regular expression.
 */
enum quarry_status promql_parse(struct promql_memory *memory, struct quarry_tsdb_slice text,
                                const struct promql_parse_options *options,
                                struct promql_node **ret_node, struct promql_parse_error *error);

/* The same of one selector without modifiers, as `match[]` has it: PROMQL_SELECTOR. */
enum quarry_status promql_parse_selector(struct promql_memory *memory,
                                         struct quarry_tsdb_slice text,
                                         const struct promql_parse_options *options,
                                         struct promql_node **ret_node,
                                         struct promql_parse_error *error);

#endif
