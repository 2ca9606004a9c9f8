/*
 * COMMAND DOCS: the words of a command, from how command_forms.c writes them to nested arrays.
 *
 *   words := word { ' ' word }
 *   word  := [?] [*] [+] name '/' type [ '=' token ] [ '(' words ')' ]
 *
 * The text is ours, so what is malformed asserts. A level of nesting is a level of recursion; there
 * are four at most.
 *
 * Two passes over each list: one counts, as arrays are told with their length first.
 */
#include <serve/resp/command_forms.h>

#include <string.h>

#define NESTING_MAX 6

struct word {
    bool is_optional, is_multiple, has_token_each;
    const char *name, *token; /* token: NULL: none */
    size_t name_bytes, token_bytes;
    char type;
    const char *parts; /* NULL: none; behind the parenthesis */
    const char *end;   /* behind it */
};

/* Behind the parenthesis that closes what begins here. */
static const char *skip_parts(const char *text)
{
    uint32_t depth = 1;

    while (depth > 0) {
        Q_ASSERT(*text != '\0');
        depth += *text == '(' ? 1 : 0;
        depth -= *text == ')' ? 1 : 0;
        text++;
    }
    return text;
}

static void read_word(const char *text, struct word *ret_word)
{
    *ret_word = (struct word){0};
    ret_word->is_optional = *text == '?';
    text += ret_word->is_optional;
    ret_word->is_multiple = *text == '*';
    text += ret_word->is_multiple;
    ret_word->has_token_each = *text == '+';
    text += ret_word->has_token_each;
    ret_word->name = text;
    /* A name may have a slash of its own ("yes/no"): the last one before the type counts. */
    size_t length = strcspn(text, " =()");
    while (length > 0 && text[length - 2] != '/') {
        length--;
    }
    Q_ASSERT(length > 2);
    ret_word->name_bytes = length - 2;
    ret_word->type = text[length - 1];
    text += length;
    if (*text == '=') {
        ret_word->token = text + 1;
        ret_word->token_bytes = strcspn(text + 1, " ()");
        text += 1 + ret_word->token_bytes;
    }
    if (*text == '(') {
        ret_word->parts = text + 1;
        text = skip_parts(text + 1);
    }
    ret_word->end = text;
}

static const char *type_name(char type)
{
    static const struct {
        char type;
        const char *name;
    } types[] = {{'s', "string"},     {'i', "integer"}, {'d', "double"},
                 {'k', "key"},        {'p', "pattern"}, {'u', "unix-time"},
                 {'t', "pure-token"}, {'o', "oneof"},   {'b', "block"}};

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (types[i].type == type) {
            return types[i].name;
        }
    }
    Q_UNREACHABLE();
}

static void say_flags(struct resp_reply *reply, const struct word *word)
{
    size_t count = (size_t)word->is_optional + word->is_multiple + word->has_token_each;

    if (count == 0) {
        return;
    }
    resp_say_text(reply, "flags");
    resp_say_set(reply, count);
    if (word->is_optional) {
        resp_say_simple(reply, "optional");
    }
    if (word->is_multiple) {
        resp_say_simple(reply, "multiple");
    }
    if (word->has_token_each) {
        resp_say_simple(reply, "multiple_token");
    }
}

static void say_list(struct resp_reply *reply, const char *words, int64_t *key_index,
                     uint32_t depth);

static void say_word(struct resp_reply *reply, const struct word *word, int64_t *key_index,
                     uint32_t depth)
{
    bool has_flags = word->is_optional || word->is_multiple || word->has_token_each;
    bool is_key = word->type == 'k';

    resp_say_map(reply,
                 2 + (size_t)is_key + (word->token != NULL) + has_flags + (word->parts != NULL));
    resp_say_text(reply, "name");
    resp_say_bulk(reply, word->name, word->name_bytes);
    resp_say_text(reply, "type");
    resp_say_text(reply, type_name(word->type));
    if (is_key) {
        resp_say_text(reply, "key_spec_index");
        resp_say_integer(reply, (*key_index)++);
    }
    if (word->token != NULL) {
        resp_say_text(reply, "token");
        resp_say_bulk(reply, word->token, word->token_bytes);
    }
    say_flags(reply, word);
    if (word->parts != NULL) {
        resp_say_text(reply, "arguments");
        say_list(reply, word->parts, key_index, depth + 1);
    }
}

/* A list ends with its text, or with the parenthesis of what it is a part of. */
static bool is_end(const char *text)
{
    return *text == '\0' || *text == ')';
}

static const char *next_of(const struct word *word)
{
    return *word->end == ' ' ? word->end + 1 : word->end;
}

static void say_list(struct resp_reply *reply, const char *words, int64_t *key_index,
                     uint32_t depth)
{
    struct word word;
    size_t count = 0;

    Q_ASSERT(depth < NESTING_MAX);
    for (const char *text = words; !is_end(text); text = next_of(&word)) {
        read_word(text, &word);
        count++;
    }
    resp_say_array(reply, count);
    for (const char *text = words; !is_end(text); text = next_of(&word)) {
        read_word(text, &word);
        say_word(reply, &word, key_index, depth);
    }
}

void resp_say_words(struct resp_reply *reply, const char *words)
{
    int64_t key_index = 0;

    say_list(reply, words, &key_index, 0);
}
