/*
 * Items of a cache, one by one and listed: `quarry cache get|set|delete|dump`.
 *
 * Values go through byte for byte. Keys may have any bytes, too: one that does not fit into a line
 * is sent as base64, by the flag b of the meta commands.
 *
 *   mg KEY [b] v f t s      VA 5 f0 t-1 s5        its value, 5 bytes          EN: no such item
 *   ms KEY 5 [b] T0 F0      the value             HD                          NS: not stored
 *   md KEY [b]              HD                    NF: no such item
 */
#include <cli/cmd_cache.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cli/base64.h>
#include <cli/cache_text.h>
#include <cli/cli.h>
#include <cli/json_write.h>

#define COMMAND          "cache"
#define KEY_BYTES_MAX    250u
#define VALUE_BYTES_MAX  (UINT64_C(1) << 30)
#define STDIN_STEP_BYTES (UINT64_C(1) << 16)
#define SECONDS_RELATIVE (60u * 60 * 24 * 30) /* above, a time to live is sent as a Unix time */

/* ---- keys ----------------------------------------------------------------------------------- */

/* A key as a request has it. */
struct key {
    char text[BASE64_BYTES(KEY_BYTES_MAX)];
    const char *flag; /* " b", or "" */
};

static int make_key(const char *typed, struct key *key)
{
    size_t length = strlen(typed);
    bool is_plain = true;

    if (length == 0 || length > KEY_BYTES_MAX) {
        return cli_usage_error(COMMAND, "a key has 1 to %u bytes, and this %zu", KEY_BYTES_MAX,
                               length);
    }
    for (size_t i = 0; i < length; i++) {
        is_plain = is_plain && typed[i] > ' ' && typed[i] != 0x7f;
    }
    key->flag = is_plain ? "" : " b";
    if (is_plain) {
        memcpy(key->text, typed, length + 1);
    } else {
        base64_encode(typed, length, key->text);
    }
    return CLI_OK;
}

/* ---- get ------------------------------------------------------------------------------------ */

/* What the line before a value says. */
struct found {
    uint64_t value_bytes;
    uint32_t flags;
    int64_t ttl_s; /* -1: for ever */
    uint64_t cas;
};

/* False: it is no such line. */
static bool parse_found(const char *line, struct found *found)
{
    *found = (struct found){.ttl_s = -1};
    if (strncmp(line, "VA ", 3) != 0) {
        return false;
    }
    char *end = NULL;
    found->value_bytes = strtoull(line + 3, &end, 10);
    for (const char *at = end; *at == ' '; at = end) {
        const char *value = at + 2;
        switch (at[1]) {
        case 'f':
            found->flags = (uint32_t)strtoul(value, &end, 10);
            break;
        case 't':
            found->ttl_s = strtoll(value, &end, 10);
            break;
        case 'c':
            found->cas = strtoull(value, &end, 10);
            break;
        default:
            end = strchr(value, ' ');
            end = end != NULL ? end : (char *)(uintptr_t)(value + strlen(value));
            break;
        }
    }
    return *end == '\0';
}

static int copy_value(struct cache_client *client, uint64_t byte_count, FILE *file)
{
    const char *bytes = NULL;
    size_t count = 0;

    while (byte_count > 0) {
        int code =
            cache_client_bytes(client, (size_t)size_min_u64(byte_count, SIZE_MAX), &bytes, &count);
        if (code != CLI_OK) {
            return code;
        }
        if (fwrite(bytes, 1, count, file) != count) {
            return cli_failure(COMMAND, "the value cannot be written: %s", strerror(errno));
        }
        byte_count -= count;
    }
    return CLI_OK;
}

static bool is_printable(const char *bytes, uint64_t byte_count)
{
    for (uint64_t i = 0; i < byte_count; i++) {
        if (bytes[i] < ' ' || bytes[i] > '~') {
            return false;
        }
    }
    return true;
}

/* Below 0, which is never: null. */
static void json_seconds(struct json *json, const char *name, int64_t seconds)
{
    if (seconds < 0) {
        json_string(json, name, NULL);
    } else {
        json_u64(json, name, (uint64_t)seconds);
    }
}

static int json_value(struct cache_client *client, const char *key, const struct found *found)
{
    char *value = malloc(found->value_bytes + 1);
    char *encoded = malloc(BASE64_BYTES(found->value_bytes));
    int code = value != NULL && encoded != NULL
                   ? cache_client_read(client, value, found->value_bytes)
                   : cli_failure(COMMAND, "no memory for the value");

    if (code == CLI_OK) {
        struct json json = json_begin(stdout);
        bool is_text = is_printable(value, found->value_bytes);
        value[found->value_bytes] = '\0';
        base64_encode(value, found->value_bytes, encoded);
        json_object(&json, NULL);
        json_string(&json, "key", key);
        json_u64(&json, "flags", found->flags);
        json_seconds(&json, "ttl_seconds", found->ttl_s);
        json_u64(&json, "cas", found->cas);
        json_u64(&json, "value_bytes", found->value_bytes);
        json_string(&json, is_text ? "value" : "value_base64", is_text ? value : encoded);
        json_object_end(&json);
        json_finish(&json);
        code = cli_finish_output(COMMAND);
    }
    free(encoded);
    free(value);
    return code;
}

static int write_value(const struct cache_command *command, struct cache_client *client,
                       const struct found *found)
{
    const char *path = command->word_count > 1 ? command->words[1] : "-";

    if (command->is_json) {
        return json_value(client, command->words[0], found);
    }
    if (strcmp(path, "-") == 0) {
        int code = copy_value(client, found->value_bytes, stdout);
        return code == CLI_OK ? cli_finish_output(COMMAND) : code;
    }
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        return cli_failure(COMMAND, "%s: %s", path, strerror(errno));
    }
    int code = copy_value(client, found->value_bytes, file);
    if (fclose(file) != 0 && code == CLI_OK) {
        code = cli_failure(COMMAND, "%s: %s", path, strerror(errno));
    }
    return code;
}

int cache_run_get(const struct cache_command *command, struct cache_client *client)
{
    struct found found;
    struct key key;
    char *line = NULL;
    int code = make_key(command->words[0], &key);

    code =
        code == CLI_OK ? cache_client_say(client, "mg %s%s v f t c\r\n", key.text, key.flag) : code;
    code = code == CLI_OK ? cache_client_line(client, &line) : code;
    if (code != CLI_OK) {
        return code;
    }
    if (strcmp(line, "EN") == 0) {
        return cli_failure(COMMAND, "there is no '%s'", command->words[0]);
    }
    return parse_found(line, &found) ? write_value(command, client, &found)
                                     : cache_client_refused(client, line);
}

/* ---- set ------------------------------------------------------------------------------------ */

struct value {
    char *bytes; /* own */
    uint64_t byte_count;
};

static int read_all(FILE *file, const char *name, struct value *value)
{
    uint64_t capacity = 0;

    *value = (struct value){0};
    for (;;) {
        if (value->byte_count == capacity) {
            capacity = capacity == 0 ? STDIN_STEP_BYTES : capacity * 2;
            char *bytes = capacity <= 2 * VALUE_BYTES_MAX ? realloc(value->bytes, capacity) : NULL;
            if (bytes == NULL) {
                return cli_failure(COMMAND, "%s: no memory for so large a value", name);
            }
            value->bytes = bytes;
        }
        size_t got = fread(value->bytes + value->byte_count, 1, capacity - value->byte_count, file);
        value->byte_count += got;
        if (got == 0) {
            break;
        }
    }
    return ferror(file) ? cli_failure(COMMAND, "%s: %s", name, strerror(errno)) : CLI_OK;
}

static int read_value(const char *path, struct value *value)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "re");

    *value = (struct value){0};
    if (file == NULL) {
        return cli_failure(COMMAND, "%s: %s", path, strerror(errno));
    }
    int code = read_all(file, is_stdin ? "stdin" : path, value);
    if (!is_stdin) {
        (void)fclose(file);
    }
    return code;
}

static uint64_t expiry_of(uint32_t ttl_s)
{
    return ttl_s > SECONDS_RELATIVE ? (uint64_t)time(NULL) + ttl_s : ttl_s;
}

static int store(const struct cache_command *command, struct cache_client *client,
                 const struct key *key, const struct value *value)
{
    const char *mode = command->is_add ? " ME" : command->is_replace ? " MR" : "";
    char *line = NULL;
    int code = cache_client_say(client, "ms %s %" PRIu64 "%s T%" PRIu64 " F%u%s\r\n", key->text,
                                value->byte_count, key->flag, expiry_of(command->ttl_s),
                                command->flags, mode);

    code = code == CLI_OK ? cache_client_send(client, value->bytes, value->byte_count) : code;
    code = code == CLI_OK ? cache_client_send(client, "\r\n", 2) : code;
    code = code == CLI_OK ? cache_client_line(client, &line) : code;
    if (code != CLI_OK || strcmp(line, "HD") == 0) {
        return code;
    }
    return strcmp(line, "NS") == 0 ? cli_failure(COMMAND,
                                                 command->is_add ? "there is a '%s' already"
                                                                 : "there is no '%s' to replace",
                                                 command->words[0])
                                   : cache_client_refused(client, line);
}

int cache_run_set(const struct cache_command *command, struct cache_client *client)
{
    struct value value = {0};
    struct key key;
    int code = make_key(command->words[0], &key);

    code = code == CLI_OK ? read_value(command->word_count > 1 ? command->words[1] : "-", &value)
                          : code;
    code = code == CLI_OK ? store(command, client, &key, &value) : code;
    free(value.bytes);
    return code;
}

int cache_run_delete(const struct cache_command *command, struct cache_client *client)
{
    struct key key;
    char *line = NULL;
    int code = make_key(command->words[0], &key);

    code = code == CLI_OK ? cache_client_say(client, "md %s%s\r\n", key.text, key.flag) : code;
    code = code == CLI_OK ? cache_client_line(client, &line) : code;
    if (code != CLI_OK || strcmp(line, "HD") == 0) {
        return code;
    }
    return strcmp(line, "NF") == 0 ? cli_failure(COMMAND, "there is no '%s'", command->words[0])
                                   : cache_client_refused(client, line);
}

/* ---- dump ----------------------------------------------------------------------------------- */

/* An item as metadump tells of it. */
struct dumped {
    const char *key; /* with %20 for what does not fit into a line */
    int64_t expiry;  /* -1: never */
    uint64_t last_access, cas, class_id, item_bytes;
    bool is_fetched;
};

/* "key=a%20b exp=-1 la=1700000000 cas=7 fetch=yes cls=3 size=80", taken apart in place. */
static bool parse_dumped(char *line, struct dumped *item)
{
    char *save = NULL;

    *item = (struct dumped){.expiry = -1};
    for (char *word = strtok_r(line, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
        char *value = strchr(word, '=');
        if (value == NULL) {
            return false;
        }
        *value++ = '\0';
        if (strcmp(word, "key") == 0) {
            item->key = value;
        } else if (strcmp(word, "exp") == 0) {
            item->expiry = strtoll(value, NULL, 10);
        } else if (strcmp(word, "la") == 0) {
            item->last_access = strtoull(value, NULL, 10);
        } else if (strcmp(word, "cas") == 0) {
            item->cas = strtoull(value, NULL, 10);
        } else if (strcmp(word, "cls") == 0) {
            item->class_id = strtoull(value, NULL, 10);
        } else if (strcmp(word, "size") == 0) {
            item->item_bytes = strtoull(value, NULL, 10);
        } else if (strcmp(word, "fetch") == 0) {
            item->is_fetched = strcmp(value, "yes") == 0;
        }
    }
    return item->key != NULL;
}

static int digit_of(char character)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = character != '\0' ? strchr(digits, character) : NULL;

    return at != NULL ? (int)((at - digits) & 15) : -1;
}

/* "%41" as "A", fit for a terminal. Cut where it does not fit. */
static const char *decode_key(const char *key, char text[KEY_BYTES_MAX + 1])
{
    size_t length = 0;

    for (; *key != '\0' && length < KEY_BYTES_MAX; key++) {
        if (*key == '%' && digit_of(key[1]) >= 0 && digit_of(key[2]) >= 0) {
            text[length++] = (char)(digit_of(key[1]) * 16 + digit_of(key[2]));
            key += 2;
        } else {
            text[length++] = *key;
        }
    }
    for (size_t i = 0; i < length; i++) {
        text[i] = text[i] == '\0' ? '?' : text[i];
    }
    text[length] = '\0';
    return cli_make_printable(text);
}

static uint64_t seconds_until(int64_t when, uint64_t now)
{
    return when > 0 && (uint64_t)when > now ? (uint64_t)when - now : 0;
}

static void print_dumped(const struct dumped *item)
{
    uint64_t now = (uint64_t)time(NULL);
    char key[KEY_BYTES_MAX + 1], size[SIZE_TEXT_BYTES], ttl[CACHE_TEXT_BYTES],
        idle[CACHE_TEXT_BYTES];

    printf("%-40s %10s  %10s  %10s  %s\n", decode_key(item->key, key),
           size_format(item->item_bytes, size),
           item->expiry <= 0 ? "-" : cache_format_seconds(seconds_until(item->expiry, now), ttl),
           cache_format_seconds(sat_sub_u64(now, item->last_access), idle),
           item->is_fetched ? "yes" : "no");
}

static void json_dumped(struct json *json, const struct dumped *item)
{
    json_object(json, NULL);
    json_string(json, "key", item->key);
    json_u64(json, "item_bytes", item->item_bytes);
    json_seconds(json, "expiry_unix_seconds", item->expiry);
    json_u64(json, "last_access_unix_seconds", item->last_access);
    json_u64(json, "cas", item->cas);
    json_u64(json, "class", item->class_id);
    json_bool(json, "was_read", item->is_fetched);
    json_object_end(json);
}

/* Lines up to END. What is above the limit is left unread. */
static int dump_lines(const struct cache_command *command, struct cache_client *client,
                      struct json *json, uint64_t *ret_shown)
{
    struct dumped item;
    char *line = NULL;
    int code;

    *ret_shown = 0;
    while ((code = cache_client_line(client, &line)) == CLI_OK && strcmp(line, "END") != 0) {
        if (strncmp(line, "key=", 4) != 0 || !parse_dumped(line, &item)) {
            return cache_client_refused(client, line);
        }
        if (command->limit != 0 && *ret_shown >= command->limit) {
            return CLI_OK; /* the connection is closed after this */
        }
        if (command->is_json) {
            json_dumped(json, &item);
        } else {
            print_dumped(&item);
        }
        (*ret_shown)++;
    }
    return code;
}

int cache_run_dump(const struct cache_command *command, struct cache_client *client)
{
    struct json json = json_begin(stdout);
    uint64_t shown = 0;
    int code = cache_client_say(client, "lru_crawler metadump all\r\n");

    if (code != CLI_OK) {
        return code;
    }
    if (command->is_json) {
        json_array(&json, NULL);
    } else {
        printf("%-40s %10s  %10s  %10s  %s\n", "key", "size", "ttl", "idle", "read");
    }
    code = dump_lines(command, client, &json, &shown);
    if (command->is_json) {
        json_array_end(&json);
        json_finish(&json);
    }
    int output = cli_finish_output(COMMAND);
    return code == CLI_OK ? output : code;
}
