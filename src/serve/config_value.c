/*
 * Values of settings, both ways.
 *
 * Reading is strict: a value that is only nearly right is refused with what would be right, because
 * a server that guessed shows it weeks later. Each type has one function; the setting's bounds and
 * the word for its zero are the same for all numbers.
 *
 *     "1h30m" = 1 × hour + 30 × minute; units may come in any order, each with whole digits
 *
 * Invariant: what serve_value_format writes, serve_value_parse reads as the same value, but for
 * byte counts and durations that it writes exactly or not at all: it uses the largest unit that
 * divides.
 *
 * Locking: none. Cost: O(length), no memory.
 */
#include <serve/config_value.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <serve/config_address.h>

struct unit {
    const char *name;
    uint64_t ns;
};

static const struct unit units[] = {
    {"d", 86400 * Q_SECOND_NS}, {"h", 3600 * Q_SECOND_NS}, {"m", 60 * Q_SECOND_NS},
    {"s", Q_SECOND_NS},         {"ms", Q_MS_NS},           {"us", Q_US_NS},
};
#define UNIT_COUNT (sizeof units / sizeof units[0])

bool serve_setting_is_text(const struct serve_setting *setting)
{
    return setting->type == SERVE_TYPE_TEXT || setting->type == SERVE_TYPE_ADDRESS;
}

/* ---- words ---------------------------------------------------------------------------------- */

/* The length of the word at `words`, which ends at '|' or the end. */
static size_t word_length(const char *words)
{
    return strcspn(words, "|");
}

/* The next word, or NULL. */
static const char *word_next(const char *words)
{
    words += word_length(words);
    return *words == '|' ? words + 1 : NULL;
}

static bool word_is(const char *word, const char *text, size_t length)
{
    return word_length(word) == length && memcmp(word, text, length) == 0;
}

/* The place of a text among words. Returns: false when it is none of them. */
static bool word_find(const char *words, const char *text, size_t length, uint64_t *ret_place)
{
    uint64_t place = 0;

    for (const char *word = words; word != NULL; word = word_next(word), place++) {
        if (word_is(word, text, length)) {
            *ret_place = place;
            return true;
        }
    }
    return false;
}

/* "a, b or c", cut where it does not fit. */
static void word_list(const char *words, char *text, size_t capacity)
{
    size_t used = 0;

    text[0] = '\0';
    for (const char *word = words; word != NULL && used < capacity; word = word_next(word)) {
        const char *joint = word == words ? "" : word_next(word) == NULL ? " or " : ", ";
        int wrote =
            snprintf(text + used, capacity - used, "%s%.*s", joint, (int)word_length(word), word);
        used += wrote > 0 ? (size_t)wrote : 0;
    }
}

/* ---- numbers -------------------------------------------------------------------------------- */

static bool parse_digits(const char **at, uint64_t *ret_number)
{
    uint64_t number = 0;
    const char *begin = *at;

    for (; **at >= '0' && **at <= '9'; (*at)++) {
        if (!checked_mul_u64(number, 10, &number) ||
            !checked_add_u64(number, (uint64_t)(**at - '0'), &number)) {
            return false;
        }
    }
    *ret_number = number;
    return *at != begin;
}

static const struct unit *find_unit(const char *text, size_t length)
{
    for (size_t i = 0; i < UNIT_COUNT; i++) {
        if (strlen(units[i].name) == length && memcmp(units[i].name, text, length) == 0) {
            return &units[i];
        }
    }
    return NULL;
}

enum quarry_status serve_duration_parse(const char *text, uint64_t *ret_ns)
{
    uint64_t sum = 0;

    if (strcmp(text, "0") == 0) {
        *ret_ns = 0;
        return QUARRY_OK;
    }
    for (const char *at = text; at == text || *at != '\0';) {
        uint64_t number = 0, part = 0;
        if (!parse_digits(&at, &number)) {
            return QUARRY_BAD_INPUT;
        }
        size_t length = strspn(at, "abcdefghijklmnopqrstuvwxyz");
        const struct unit *unit = find_unit(at, length);
        if (unit == NULL) {
            return QUARRY_BAD_INPUT;
        }
        if (!checked_mul_u64(number, unit->ns, &part) || !checked_add_u64(sum, part, &sum)) {
            return QUARRY_TOO_LARGE;
        }
        at += length;
    }
    *ret_ns = sum;
    return QUARRY_OK;
}

static void format_duration(uint64_t ns, char *text, size_t capacity)
{
    size_t used = 0;

    snprintf(text, capacity, "0");
    for (size_t i = 0; i < UNIT_COUNT && ns > 0; i++) {
        if (ns >= units[i].ns) {
            int wrote = snprintf(text + used, capacity - used, "%" PRIu64 "%s", ns / units[i].ns,
                                 units[i].name);
            used += wrote > 0 ? (size_t)wrote : 0;
            ns %= units[i].ns;
        }
    }
}

static void format_bytes(uint64_t bytes, char *text, size_t capacity)
{
    static const char letters[] = "\0kmgtpe";
    uint32_t unit = 0;

    while (unit < 6 && bytes != 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, capacity, "%" PRIu64 "%.1s", bytes, letters + unit);
}

/* ---- each type ------------------------------------------------------------------------------ */

static void format_number(const struct serve_setting *setting, uint64_t number, char *text,
                          size_t capacity)
{
    switch (setting->type) {
    case SERVE_TYPE_BYTES:
        format_bytes(number, text, capacity);
        return;
    case SERVE_TYPE_DURATION:
        format_duration(number, text, capacity);
        return;
    case SERVE_TYPE_COUNT:
        snprintf(text, capacity, "%" PRIu64, number);
        return;
    case SERVE_TYPE_BOOL:
    case SERVE_TYPE_TEXT:
    case SERVE_TYPE_ADDRESS:
    case SERVE_TYPE_CHOICE:
    case SERVE_TYPE_WORDS:
        break;
    }
    Q_UNREACHABLE();
}

static enum quarry_status refuse_number(const struct serve_setting *setting, const char *text,
                                        struct quarry_error *error)
{
    static const char *const nouns[] = {
        [SERVE_TYPE_BYTES] = "a number of bytes like 512m",
        [SERVE_TYPE_DURATION] = "a duration like 10s",
        [SERVE_TYPE_COUNT] = "a whole number",
    };
    char least[64], most[64];

    format_number(setting, setting->least, least, sizeof least);
    format_number(setting, setting->most, most, sizeof most);
    return error_set(error, QUARRY_BAD_INPUT, "takes %s from %s to %s%s%s, not '%.60s'",
                     nouns[setting->type], least, most, setting->words[0] != '\0' ? ", or " : "",
                     setting->words, text);
}

static bool read_number(const struct serve_setting *setting, const char *text, uint64_t *ret_number)
{
    const char *at = text;

    switch (setting->type) {
    case SERVE_TYPE_BYTES:
        return size_parse(text, ret_number) == QUARRY_OK;
    case SERVE_TYPE_DURATION:
        return serve_duration_parse(text, ret_number) == QUARRY_OK;
    case SERVE_TYPE_COUNT:
        return parse_digits(&at, ret_number) && *at == '\0';
    case SERVE_TYPE_BOOL:
    case SERVE_TYPE_TEXT:
    case SERVE_TYPE_ADDRESS:
    case SERVE_TYPE_CHOICE:
    case SERVE_TYPE_WORDS:
        break;
    }
    Q_UNREACHABLE();
}

static enum quarry_status parse_number(const struct serve_setting *setting, const char *text,
                                       uint64_t *ret_number, struct quarry_error *error)
{
    uint64_t number = 0;

    if (setting->words[0] != '\0' && strcmp(text, setting->words) == 0) {
        *ret_number = 0;
        return QUARRY_OK;
    }
    if (!read_number(setting, text, &number) || number < setting->least || number > setting->most) {
        return refuse_number(setting, text, error);
    }
    *ret_number = number;
    return QUARRY_OK;
}

static enum quarry_status parse_bool(const char *text, uint64_t *ret_number,
                                     struct quarry_error *error)
{
    uint64_t place = 0;

    if (!word_find("off|on|no|yes|false|true|0|1", text, strlen(text), &place)) {
        return error_set(error, QUARRY_BAD_INPUT, "takes on or off, not '%.60s'", text);
    }
    *ret_number = place % 2;
    return QUARRY_OK;
}

static enum quarry_status parse_choice(const struct serve_setting *setting, const char *text,
                                       uint64_t *ret_number, struct quarry_error *error)
{
    char list[128];

    if (!word_find(setting->words, text, strlen(text), ret_number)) {
        word_list(setting->words, list, sizeof list);
        return error_set(error, QUARRY_BAD_INPUT, "takes %s, not '%.60s'", list, text);
    }
    return QUARRY_OK;
}

static uint64_t all_words(const char *words)
{
    uint64_t bits = 0;

    for (const char *word = words; word != NULL; word = word_next(word)) {
        bits = bits << 1 | 1;
    }
    return bits;
}

static enum quarry_status parse_words(const struct serve_setting *setting, const char *text,
                                      uint64_t *ret_number, struct quarry_error *error)
{
    uint64_t bits = 0;
    char list[128];

    if (strcmp(text, "all") == 0 || strcmp(text, "none") == 0) {
        *ret_number = text[0] == 'a' ? all_words(setting->words) : 0;
        return QUARRY_OK;
    }
    for (const char *at = text;; at++) {
        uint64_t place = 0;
        at += strspn(at, " ");
        size_t length = strcspn(at, ", ");
        if (!word_find(setting->words, at, length, &place)) {
            word_list(setting->words, list, sizeof list);
            return error_set(error, QUARRY_BAD_INPUT,
                             "takes some of %s with commas between, all or none, not '%.60s'", list,
                             text);
        }
        bits |= UINT64_C(1) << place;
        at += length + strspn(at + length, " ");
        if (*at == '\0') {
            *ret_number = bits;
            return QUARRY_OK;
        }
        if (*at != ',') {
            return error_set(error, QUARRY_BAD_INPUT,
                             "takes words with commas between, not '%.60s'", text);
        }
    }
}

static enum quarry_status parse_text(const struct serve_setting *setting, const char *text,
                                     struct quarry_error *error)
{
    size_t length = strlen(text);

    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) {
            return error_set(error, QUARRY_BAD_INPUT, "takes no control characters");
        }
    }
    if (length > setting->most) {
        return error_set(error, QUARRY_TOO_LARGE, "takes up to %" PRIu64 " bytes, not %zu",
                         setting->most, length);
    }
    if (length < setting->least) {
        return error_set(error, QUARRY_BAD_INPUT, "must not be empty");
    }
    return QUARRY_OK;
}

static enum quarry_status parse_address(const struct serve_setting *setting, const char *text,
                                        struct quarry_error *error)
{
    struct serve_address_list list;
    enum quarry_status status = parse_text(setting, text, error);

    return status != QUARRY_OK ? status : serve_address_list_parse(text, &list, error);
}

enum quarry_status serve_value_parse(const struct serve_setting *setting, const char *text,
                                     uint64_t *ret_number, struct quarry_error *error)
{
    Q_ASSERT(setting != NULL && text != NULL && ret_number != NULL);
    *ret_number = 0;
    switch (setting->type) {
    case SERVE_TYPE_BYTES:
    case SERVE_TYPE_DURATION:
    case SERVE_TYPE_COUNT:
        return parse_number(setting, text, ret_number, error);
    case SERVE_TYPE_BOOL:
        return parse_bool(text, ret_number, error);
    case SERVE_TYPE_TEXT:
        return parse_text(setting, text, error);
    case SERVE_TYPE_ADDRESS:
        return parse_address(setting, text, error);
    case SERVE_TYPE_CHOICE:
        return parse_choice(setting, text, ret_number, error);
    case SERVE_TYPE_WORDS:
        return parse_words(setting, text, ret_number, error);
    }
    Q_UNREACHABLE();
}

/* ---- back to text --------------------------------------------------------------------------- */

static void format_choice(const char *words, uint64_t place, char *text, size_t capacity)
{
    const char *word = words;

    for (; place > 0; place--) {
        word = word_next(word);
        Q_ASSERT(word != NULL);
    }
    snprintf(text, capacity, "%.*s", (int)word_length(word), word);
}

static void format_words(const char *words, uint64_t bits, char *text, size_t capacity)
{
    size_t used = 0;

    snprintf(text, capacity, "%s", bits == all_words(words) ? "all" : "none");
    if (bits == all_words(words)) {
        return;
    }
    for (const char *word = words; word != NULL; word = word_next(word), bits >>= 1) {
        if ((bits & 1) != 0) {
            int wrote = snprintf(text + used, capacity - used, "%s%.*s", used > 0 ? "," : "",
                                 (int)word_length(word), word);
            used += wrote > 0 ? (size_t)wrote : 0;
        }
    }
}

const char *serve_value_format(const struct serve_setting *setting, uint64_t number,
                               const char *text, char buffer[SERVE_VALUE_TEXT_BYTES])
{
    switch (setting->type) {
    case SERVE_TYPE_BYTES:
    case SERVE_TYPE_DURATION:
    case SERVE_TYPE_COUNT:
        if (number == 0 && setting->words[0] != '\0') {
            snprintf(buffer, SERVE_VALUE_TEXT_BYTES, "%s", setting->words);
        } else {
            format_number(setting, number, buffer, SERVE_VALUE_TEXT_BYTES);
        }
        return buffer;
    case SERVE_TYPE_BOOL:
        snprintf(buffer, SERVE_VALUE_TEXT_BYTES, "%s", number != 0 ? "on" : "off");
        return buffer;
    case SERVE_TYPE_TEXT:
    case SERVE_TYPE_ADDRESS:
        Q_ASSERT(text != NULL);
        snprintf(buffer, SERVE_VALUE_TEXT_BYTES, "%s", text);
        return buffer;
    case SERVE_TYPE_CHOICE:
        format_choice(setting->words, number, buffer, SERVE_VALUE_TEXT_BYTES);
        return buffer;
    case SERVE_TYPE_WORDS:
        format_words(setting->words, number, buffer, SERVE_VALUE_TEXT_BYTES);
        return buffer;
    }
    Q_UNREACHABLE();
}
