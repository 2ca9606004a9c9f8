/*
 * What `go tool pprof URL` reads.
 *
 *     go tool pprof http://127.0.0.1:9090/debug/pprof/heap
 *
 * The tool takes a path with /debug/pprof/ in it for one of these, and asks its sibling `symbol`
 * for the names of addresses that a profile has none for. Ours have names: they are looked up where
 * the program lies. A delta over seconds is made by the tool itself, from two profiles
 * (-diff_base).
 *
 * Locking: none.
 */
#include <serve/observe/observe.h>

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <serve/observe/child.h>

#define PID_BYTES 12u
/* Of a command line; the kernel has up to 2 MiB, nobody's is this long. */
#define COMMAND_BYTES   65536u
#define COUNT_OF(table) (sizeof(table) / sizeof((table)[0]))

static const struct {
    const char *name, *about;
} profiles[] = {
    {"heap", "what is in use, and what was allocated, by stack"},
    {"allocs", "the same, shown by what was allocated"},
    {"lifetimes", "how old objects become, by the stack that made them"},
    {"fragmentation", "free memory that objects of a stack keep from going back"},
};

static enum http_outcome answer_index(struct http_call *call)
{
    struct http_text *text = &call->body_out;

    http_text_say(text, "<!doctype html><meta charset=utf-8><title>quarry: profiles</title>\n"
                        "<h1>Profiles</h1>\n<p>For <code>go tool pprof URL</code>; with "
                        "<code>?debug=1</code> as text.</p>\n<ul>\n");
    for (size_t i = 0; i < COUNT_OF(profiles); i++) {
        http_text_format(text, "<li><a href=\"/debug/pprof/%s?debug=1\">%s</a>: %s</li>\n",
                         profiles[i].name, profiles[i].name, profiles[i].about);
    }
    http_text_say(text,
                  "<li><a href=\"/debug/pprof/profile\">profile</a>: where CPU time goes, for "
                  "<code>?seconds=30</code></li>\n");
    http_text_say(text, "<li><a href=\"/debug/pprof/cmdline\">cmdline</a>: the command line</li>\n"
                        "<li>symbol: names of addresses</li>\n</ul>\n");
    call->content_type = "text/html; charset=utf-8";
    return HTTP_DONE;
}

/* Its arguments, each closed by NUL but the last. */
static enum http_outcome answer_command_line(struct http_call *call)
{
    char *room = http_text_room(&call->body_out, COMMAND_BYTES);
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t count = fd < 0 || room == NULL ? -1 : read(fd, room, COMMAND_BYTES);

    if (fd >= 0) {
        (void)close(fd);
    }
    if (count < 0) {
        http_say_status(call, QUARRY_IO);
        return HTTP_DONE;
    }
    call->body_out.count += (size_t)count - (count > 0 && room[count - 1] == '\0' ? 1 : 0);
    call->content_type = "text/plain; charset=utf-8";
    return HTTP_DONE;
}

static bool is_text_asked(const struct http_call *call)
{
    struct http_slice debug;

    return http_param(call, "debug", &debug) && debug.count > 0 && debug.bytes[0] != '0';
}

static enum http_outcome answer_profile(struct http_call *call, const char *name)
{
    struct http_slice seconds;
    char pid[PID_BYTES];

    if (http_param(call, "seconds", &seconds) && !http_slice_equals(seconds, "0")) {
        http_say_text(call, 400,
                      "seconds is not taken: save two profiles, and give pprof the first "
                      "as -diff_base\n");
        return HTTP_DONE;
    }
    snprintf(pid, sizeof pid, "%" PRIu32, (uint32_t)getpid());
    if (is_text_asked(call)) {
        const char *const words[] = {"heap", pid, "--profile", name, "--top", "100", NULL};
        return observe_answer(call, "text/plain; charset=utf-8",
                              (struct observe_order){.words = words});
    }
    const char *const words[] = {"heap", pid, "--profile", name, "--pprof", "-", NULL};
    call->never_compress = true; /* it is */
    http_say_field(call, "Content-Disposition", "attachment; filename=\"profile.pb.gz\"");
    return observe_answer(call, "application/octet-stream", (struct observe_order){.words = words});
}

/* ---- names of addresses --------------------------------------------------------------------- */

/* Digits, and a 0x before them. */
#define ADDRESS_BYTES_MAX 18u
#define ADDRESSES_BYTES   65536u

/* Addresses apart by "+", as the tool sends them. False: something else is among them. */
static bool are_addresses(struct http_slice list)
{
    size_t word_bytes = 0;

    for (size_t i = 0; i < list.count; i++) {
        char byte = list.bytes[i];
        bool is_digit = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f') ||
                        (byte >= 'A' && byte <= 'F') || byte == 'x';

        word_bytes = is_digit ? word_bytes + 1 : 0;
        if ((!is_digit && byte != '+') || word_bytes > ADDRESS_BYTES_MAX) {
            return false;
        }
    }
    return list.count > 0;
}

/* GET: whether there are names at all; POST: those of the addresses in the body. */
static enum http_outcome answer_symbols(struct http_call *call)
{
    char pid[PID_BYTES];
    char list[ADDRESSES_BYTES + 1];

    if (call->method == HTTP_GET) {
        http_say_text(call, 200, "num_symbols: 1\n");
        return HTTP_DONE;
    }
    if (call->body.count > ADDRESSES_BYTES || !are_addresses(call->body)) {
        http_say_text(call, 400,
                      "the body is addresses like 0x55d0c0de+0x7f00beef, 64 KiB at "
                      "most\n");
        return HTTP_DONE;
    }
    memcpy(list, call->body.bytes, call->body.count);
    list[call->body.count] = '\0';
    snprintf(pid, sizeof pid, "%" PRIu32, (uint32_t)getpid());
    const char *const words[] = {"heap", pid, "--symbol", list, NULL};
    return observe_answer(call, "text/plain; charset=utf-8",
                          (struct observe_order){.words = words});
}

enum http_outcome observe_answer_pprof(struct http_call *call)
{
    struct http_slice name = http_segment(call, 0);

    if (name.count == 0) {
        return answer_index(call);
    }
    if (http_slice_equals(name, "symbol")) {
        return answer_symbols(call);
    }
    if (call->method == HTTP_POST) {
        http_say_text(call, 405, "POST is for symbol alone\n");
        return HTTP_DONE;
    }
    if (http_slice_equals(name, "profile")) {
        return observe_answer_cpu(call);
    }
    if (http_slice_equals(name, "cmdline")) {
        return answer_command_line(call);
    }
    for (size_t i = 0; i < COUNT_OF(profiles); i++) {
        if (http_slice_equals(name, profiles[i].name)) {
            return answer_profile(call, profiles[i].name);
        }
    }
    http_say_text(call, 404, "there is no such profile: /debug/pprof/ lists them\n");
    return HTTP_DONE;
}
