/*
 * Files of the console, in the program's own read-only data.
 *
 *     ui/src ── node build.mjs ──> ui/dist, kept with the sources ── .incbin ──> the program
 *
 * The page names its script and its style sheet with a hash of their bytes: those may be kept for
 * ever, and the page itself is asked for each time. So a program that was replaced never shows the
 * page of one with the script of the other. A build without node takes ui/dist as it is; a test
 * builds it again and compares.
 *
 * Locking: none.
 */
#include <serve/console/console.h>

#include <string.h>

#include "console_files.h"

/* A file as two symbols, its first byte and the one behind its last. */
#define EMBED(symbol, path)                                                                        \
    __asm__(".pushsection .rodata\n"                                                               \
            ".balign 16\n" #symbol "_begin:\n"                                                     \
            ".incbin \"" path "\"\n" #symbol "_end:\n"                                             \
            ".byte 0\n"                                                                            \
            ".popsection\n");                                                                      \
    extern const char symbol##_begin[], symbol##_end[];

EMBED(console_page, CONSOLE_PAGE_PATH)
EMBED(console_script, CONSOLE_SCRIPT_PATH)
EMBED(console_style, CONSOLE_STYLE_PATH)

static const struct {
    const char *name; /* "": the page */
    const char *type;
    const char *begin, *end;
} files[] = {
    {"", "text/html; charset=utf-8", console_page_begin, console_page_end},
    {CONSOLE_SCRIPT_NAME, "text/javascript; charset=utf-8", console_script_begin,
     console_script_end},
    {CONSOLE_STYLE_NAME, "text/css; charset=utf-8", console_style_begin, console_style_end},
};

enum http_outcome console_answer(struct http_call *call)
{
    struct http_slice name = http_segment(call, 0);

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        bool is_page = files[i].name[0] == '\0';

        if (is_page ? name.count == 0 : http_slice_equals(name, files[i].name)) {
            http_text_add(&call->body_out, files[i].begin, (size_t)(files[i].end - files[i].begin));
            call->content_type = files[i].type;
            call->is_page = is_page;
            call->is_lasting = !is_page;
            return HTTP_DONE;
        }
    }
    http_say_text(call, 404, "this version of the console has no such file: load the page again\n");
    return HTTP_DONE;
}
