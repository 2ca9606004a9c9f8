/*
 * Settings: QUARRY_MALLOC="limit=512M,background=0,sample=64K,guard=16,hardened=1,report=1".
 *
 * Read at the first allocation of the process. A wrong setting must not keep a program from
 * starting, so it is told and passed over.
 */
#include <malloc/settings.h>

#include <string.h>

#include <os/os.h>

/* Longest value of QUARRY_MALLOC, and longest name or value in it that is looked at. */
#define TEXT_BYTES 512u
#define WORD_BYTES 64u

/* ---- telling -------------------------------------------------------------------------------- */

/* One line, put together of four texts; whoever calls malloc may hold stdio's locks. */
static void tell(const char *what, const char *name, const char *rest)
{
    const char *part[] = {"quarry: QUARRY_MALLOC: ", what, " '", name, "'", rest, "\n"};
    char line[384];
    size_t bytes = 0;

    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) {
        size_t length = strnlen(part[i], sizeof line - bytes);
        memcpy(line + bytes, part[i], length);
        bytes += length;
    }
    os_tell(line, bytes);
}

/* ---- parsing -------------------------------------------------------------------------------- */

static bool parse_bool(const char *value, bool *ret_value)
{
    bool is_true = strcmp(value, "1") == 0 || strcmp(value, "on") == 0 || strcmp(value, "yes") == 0;
    bool is_false =
        strcmp(value, "0") == 0 || strcmp(value, "off") == 0 || strcmp(value, "no") == 0;

    if (is_true || is_false) {
        *ret_value = is_true;
    }
    return is_true || is_false;
}

static bool parse_size(const char *value, uint64_t *ret_bytes)
{
    if (strcmp(value, "0") == 0 || strcmp(value, "off") == 0) {
        *ret_bytes = 0;
        return true;
    }
    return size_parse(value, ret_bytes) == QUARRY_OK;
}

static bool parse_count(const char *value, uint32_t *ret_count)
{
    uint64_t count;

    if (size_parse(value, &count) != QUARRY_OK || count > UINT32_MAX) {
        return false;
    }
    *ret_count = (uint32_t)count;
    return true;
}

static bool set(struct malloc_settings *settings, const char *name, const char *value,
                bool *ret_is_known)
{
    *ret_is_known = true;
    if (strcmp(name, "limit") == 0) {
        return parse_size(value, &settings->limit_bytes);
    }
    if (strcmp(name, "sample") == 0) {
        return parse_size(value, &settings->sample_bytes);
    }
    if (strcmp(name, "guard") == 0) {
        return parse_count(value, &settings->guard_every);
    }
    if (strcmp(name, "background") == 0) {
        return parse_bool(value, &settings->has_background);
    }
    if (strcmp(name, "hardened") == 0) {
        return parse_bool(value, &settings->is_hardened);
    }
    if (strcmp(name, "report") == 0) {
        return parse_bool(value, &settings->has_report);
    }
    *ret_is_known = false;
    return false;
}

/* `word`: one name=value. */
static void parse_word(struct malloc_settings *settings, char *word)
{
    char *equals = strchr(word, '=');
    bool is_known;

    if (equals == NULL) {
        tell("ignoring", word, ": not of the form name=value");
        return;
    }
    *equals = '\0';
    if (!set(settings, word, equals + 1, &is_known)) {
        *equals = '=';
        tell(
            "ignoring", word,
            is_known
                ? ": limit and sample take a size like 512M or 0, guard a number; the others 0 or 1"
                : ": known are limit, background, sample, guard, hardened, report");
    }
}

struct malloc_settings malloc_settings_parse(const char *text)
{
    struct malloc_settings settings = {
        .sample_bytes = MALLOC_SAMPLE_DEFAULT_BYTES,
        .guard_every = MALLOC_GUARD_DEFAULT_EVERY,
        .has_background = true,
    };

    while (text != NULL && *text != '\0') {
        char word[WORD_BYTES];
        size_t length = strcspn(text, ",");
        if (length >= sizeof word) {
            memcpy(word, text, sizeof word - 1);
            word[sizeof word - 1] = '\0';
            tell("ignoring", word, "…: too long");
        } else if (length > 0) {
            memcpy(word, text, length);
            word[length] = '\0';
            parse_word(&settings, word);
        }
        text += length + (text[length] == ',');
    }
    return settings;
}

struct malloc_settings malloc_settings_read(void)
{
    char text[TEXT_BYTES];

    return malloc_settings_parse(os_environment_find("QUARRY_MALLOC", text, sizeof text) ? text
                                                                                         : NULL);
}
