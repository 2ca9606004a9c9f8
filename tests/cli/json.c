/*
 * A JSON checker by recursive descent (RFC 8259). Depth is bounded, so that no input overflows the
 * stack.
 */
#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 32

struct reader {
    const char *at, *end;
    int depth;
};

static bool value(struct reader *r);

static void skip_space(struct reader *r)
{
    while (r->at < r->end && strchr(" \t\r\n", *r->at) != NULL && *r->at != '\0') {
        r->at++;
    }
}

static bool take(struct reader *r, char wanted)
{
    bool is_there = r->at < r->end && *r->at == wanted;

    r->at += is_there;
    return is_there;
}

static bool word(struct reader *r, const char *wanted)
{
    size_t length = strlen(wanted);

    if ((size_t)(r->end - r->at) < length || memcmp(r->at, wanted, length) != 0) {
        return false;
    }
    r->at += length;
    return true;
}

static bool digits(struct reader *r)
{
    const char *begin = r->at;

    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') {
        r->at++;
    }
    return r->at > begin;
}

static bool number(struct reader *r)
{
    (void)take(r, '-');
    if (!take(r, '0') && !digits(r)) {
        return false;
    }
    if (take(r, '.') && !digits(r)) {
        return false;
    }
    if (take(r, 'e') || take(r, 'E')) {
        (void)(take(r, '+') || take(r, '-'));
        return digits(r);
    }
    return true;
}

static bool escape(struct reader *r)
{
    if (r->at == r->end || strchr("\"\\/bfnrtu", *r->at) == NULL) {
        return false;
    }
    if (*r->at++ != 'u') {
        return true;
    }
    for (int i = 0; i < 4; i++, r->at++) {
        if (r->at == r->end || strchr("0123456789abcdefABCDEF", *r->at) == NULL) {
            return false;
        }
    }
    return true;
}

static bool string(struct reader *r)
{
    if (!take(r, '"')) {
        return false;
    }
    while (r->at < r->end && *r->at != '"') {
        if ((unsigned char)*r->at < ' ') {
            return false;
        }
        if (*r->at++ == '\\' && !escape(r)) {
            return false;
        }
    }
    return take(r, '"');
}

static bool member(struct reader *r)
{
    skip_space(r);
    if (!string(r)) {
        return false;
    }
    skip_space(r);
    return take(r, ':') && value(r);
}

/* What stands between brackets of one kind. */
static bool list(struct reader *r, char close, bool (*item)(struct reader *r))
{
    skip_space(r);
    if (take(r, close)) {
        return true;
    }
    do {
        if (!item(r)) {
            return false;
        }
        skip_space(r);
    } while (take(r, ','));
    return take(r, close);
}

static bool value(struct reader *r)
{
    bool is_sound = false;

    skip_space(r);
    if (r->at == r->end || r->depth == DEPTH_MAX) {
        return false;
    }
    r->depth++;
    if (take(r, '{')) {
        is_sound = list(r, '}', member);
    } else if (take(r, '[')) {
        is_sound = list(r, ']', value);
    } else if (*r->at == '"') {
        is_sound = string(r);
    } else {
        is_sound = word(r, "true") || word(r, "false") || word(r, "null") || number(r);
    }
    r->depth--;
    return is_sound;
}

bool json_is_valid(const char *text, const char *end)
{
    struct reader r = {.at = text, .end = end};

    if (!value(&r)) {
        return false;
    }
    skip_space(&r);
    return r.at == r.end;
}

bool json_number(const char *text, const char *key, uint64_t *ret_number)
{
    char quoted[64];
    char *number_end;

    (void)snprintf(quoted, sizeof(quoted), "\"%s\":", key);
    const char *found = strstr(text, quoted);
    if (found == NULL) {
        return false;
    }
    found += strlen(quoted);
    *ret_number = strtoull(found, &number_end, 10);
    return number_end > found;
}
