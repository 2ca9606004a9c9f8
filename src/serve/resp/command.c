/*
 * COMMAND: what the commands are, for client libraries and for people's prompts.
 *
 *   COMMAND, COMMAND INFO    name, words, flags, keys, categories, tips, key specs, subcommands
 *   COMMAND DOCS             summary, since, group, complexity, words (command_words.c)
 *
 * Both are told from the table and from command_forms.c, in the shape that Redis 7.0 has. A
 * subcommand is a row of its own, "config|get", and stands within its command's.
 *
 * Cost: COMMAND goes through the table twice for each command with subcommands: 150 rows.
 */
#include <serve/resp/command_forms.h>

#include <string.h>

#include <serve/resp/glob.h>
#include <serve/resp/server_commands.h>

#define NAME_BYTES_MAX 64u

static bool is_subcommand(const struct resp_command *command)
{
    return strchr(command->name, '|') != NULL;
}

/* Whether a row is one of a command's subcommands. */
static bool is_below(const struct resp_command *row, const struct resp_command *command)
{
    size_t bytes = strlen(command->name);

    return strncmp(row->name, command->name, bytes) == 0 && row->name[bytes] == '|';
}

static size_t count_below(const struct resp_command *command)
{
    const struct resp_command *row;
    size_t count = 0;

    for (size_t i = 0; (row = resp_command_at(i)) != NULL; i++) {
        count += is_below(row, command) ? 1 : 0;
    }
    return count;
}

static size_t count_top(void)
{
    const struct resp_command *row;
    size_t count = 0;

    for (size_t i = 0; (row = resp_command_at(i)) != NULL; i++) {
        count += is_subcommand(row) ? 0 : 1;
    }
    return count;
}

/* By a name as clients give it: "config|get" is a subcommand. NULL: unknown. */
static const struct resp_command *find(struct quarry_kv_slice name)
{
    const struct resp_command *row;

    for (size_t i = 0; (row = resp_command_at(i)) != NULL; i++) {
        if (resp_is(name, row->name)) {
            return row;
        }
    }
    return NULL;
}

/* ---- COMMAND INFO --------------------------------------------------------------------------- */

/* In Redis' order. */
static const struct {
    uint32_t flag;
    const char *name;
} flag_names[] = {
    {RESP_WRITES, "write"},      {RESP_READS, "readonly"},
    {RESP_DENYOOM, "denyoom"},   {RESP_ADMINISTERS, "admin"},
    {RESP_NOSCRIPT, "noscript"}, {RESP_LOADING, "loading"},
    {RESP_STALE, "stale"},       {RESP_SKIP_SLOWLOG, "skip_slowlog"},
    {RESP_FAST, "fast"},         {RESP_NO_AUTH, "no_auth"},
    {RESP_NO_MULTI, "no_multi"}, {RESP_MOVABLE_KEYS, "movablekeys"},
};
#define FLAG_COUNT (sizeof flag_names / sizeof flag_names[0])

static void say_flags(struct resp_reply *reply, uint32_t flags)
{
    size_t count = 0;

    for (size_t i = 0; i < FLAG_COUNT; i++) {
        count += (flags & flag_names[i].flag) != 0 ? 1 : 0;
    }
    resp_say_set(reply, count);
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        if ((flags & flag_names[i].flag) != 0) {
            resp_say_simple(reply, flag_names[i].name);
        }
    }
}

static size_t count_words(const char *text)
{
    size_t count = 0;

    for (size_t bytes; *text != '\0'; text += bytes) {
        text += strspn(text, " ");
        bytes = strcspn(text, " ");
        count += bytes > 0 ? 1 : 0;
    }
    return count;
}

/* Says the words of a text, which are ours and short, one by one. */
static void say_each(struct resp_reply *reply, const char *text,
                     void (*say)(struct resp_reply *reply, const char *word))
{
    char word[NAME_BYTES_MAX];

    while (*text != '\0') {
        size_t bytes = strcspn(text, " ");
        Q_ASSERT(bytes > 0 && bytes < sizeof word);
        memcpy(word, text, bytes);
        word[bytes] = '\0';
        say(reply, word);
        text += bytes + (text[bytes] == ' ');
    }
}

/* One key spec: keys from `first` up to `last`, relative to it. */
static void say_key_spec(struct resp_reply *reply, const char *flags, int32_t first, int32_t last,
                         int32_t step)
{
    resp_say_map(reply, 3);
    resp_say_text(reply, "flags");
    resp_say_set(reply, count_words(flags));
    say_each(reply, flags, resp_say_simple);
    resp_say_text(reply, "begin_search");
    resp_say_map(reply, 2);
    resp_say_text(reply, "type");
    resp_say_text(reply, "index");
    resp_say_text(reply, "spec");
    resp_say_map(reply, 1);
    resp_say_text(reply, "index");
    resp_say_integer(reply, first);
    resp_say_text(reply, "find_keys");
    resp_say_map(reply, 2);
    resp_say_text(reply, "type");
    resp_say_text(reply, "range");
    resp_say_text(reply, "spec");
    resp_say_map(reply, 3);
    resp_say_text(reply, "lastkey");
    resp_say_integer(reply, last < 0 ? last : last - first);
    resp_say_text(reply, "keystep");
    resp_say_integer(reply, step);
    resp_say_text(reply, "limit");
    resp_say_integer(reply, 0);
}

static void say_key_specs(struct resp_reply *reply, const struct resp_command *command)
{
    const struct resp_command_form *form = resp_command_form(command->name);
    int32_t first = command->first_key, last = command->last_key, step = command->key_step;

    if (first == 0) {
        resp_say_set(reply, 0);
    } else if (form->key_flags[1][0] != '\0') {
        resp_say_set(reply, 2);
        say_key_spec(reply, form->key_flags[0], first, first, step);
        say_key_spec(reply, form->key_flags[1], last, last, step);
    } else {
        resp_say_set(reply, 1);
        say_key_spec(reply, form->key_flags[0], first, last, step);
    }
}

static void say_info(struct resp_reply *reply, const struct resp_command *command);

static void say_subcommands(struct resp_reply *reply, const struct resp_command *command)
{
    const struct resp_command *row;
    size_t count = count_below(command);

    if (count == 0) { /* as Redis has it: an array, where there are any */
        resp_say_set(reply, 0);
        return;
    }
    resp_say_array(reply, count);
    for (size_t i = 0; (row = resp_command_at(i)) != NULL; i++) {
        if (is_below(row, command)) {
            say_info(reply, row);
        }
    }
}

static void say_info(struct resp_reply *reply, const struct resp_command *command)
{
    const struct resp_command_form *form = resp_command_form(command->name);

    resp_say_array(reply, 10);
    resp_say_text(reply, command->name);
    resp_say_integer(reply, command->arity);
    say_flags(reply, command->flags);
    resp_say_integer(reply, command->first_key);
    resp_say_integer(reply, command->last_key);
    resp_say_integer(reply, command->key_step);
    resp_say_set(reply, count_words(command->categories));
    say_each(reply, command->categories, resp_say_simple);
    resp_say_set(reply, count_words(form->tips));
    say_each(reply, form->tips, resp_say_text);
    say_key_specs(reply, command);
    say_subcommands(reply, command);
}

/* Of all commands, subcommands within theirs. */
static void say_all(struct resp_reply *reply,
                    void (*say)(struct resp_reply *reply, const struct resp_command *command))
{
    const struct resp_command *row;

    for (size_t i = 0; (row = resp_command_at(i)) != NULL; i++) {
        if (!is_subcommand(row)) {
            say(reply, row);
        }
    }
}

enum resp_outcome resp_command_all(struct resp_call *call)
{
    if (call->word_count > 1) {
        return resp_unknown_subcommand(call);
    }
    resp_say_array(call->reply, count_top());
    say_all(call->reply, say_info);
    return RESP_ANSWERED;
}

enum resp_outcome resp_command_info(struct resp_call *call)
{
    if (call->word_count == 2) {
        resp_say_array(call->reply, count_top());
        say_all(call->reply, say_info);
        return RESP_ANSWERED;
    }
    resp_say_array(call->reply, call->word_count - 2);
    for (size_t i = 2; i < call->word_count; i++) {
        const struct resp_command *command = find(call->words[i]);
        if (command == NULL) {
            resp_say_null(call->reply);
        } else {
            say_info(call->reply, command);
        }
    }
    return RESP_ANSWERED;
}

/* ---- COMMAND DOCS --------------------------------------------------------------------------- */

static void say_docs(struct resp_reply *reply, const struct resp_command *command)
{
    const struct resp_command_form *form = resp_command_form(command->name);
    const struct resp_command *row;
    size_t below = count_below(command);
    bool has_words = form->words[0] != '\0';

    resp_say_text(reply, command->name);
    resp_say_map(reply, 4 + (size_t)has_words + (below > 0));
    resp_say_text(reply, "summary");
    resp_say_text(reply, command->summary);
    resp_say_text(reply, "since");
    resp_say_text(reply, command->since);
    resp_say_text(reply, "group");
    resp_say_text(reply, command->group);
    resp_say_text(reply, "complexity");
    resp_say_text(reply, command->complexity);
    if (has_words) {
        resp_say_text(reply, "arguments");
        resp_say_words(reply, form->words);
    }
    if (below > 0) {
        resp_say_text(reply, "subcommands");
        resp_say_map(reply, below);
        for (size_t i = 0; (row = resp_command_at(i)) != NULL; i++) {
            if (is_below(row, command)) {
                say_docs(reply, row);
            }
        }
    }
}

enum resp_outcome resp_command_docs(struct resp_call *call)
{
    size_t known = 0;

    if (call->word_count == 2) {
        resp_say_map(call->reply, count_top());
        say_all(call->reply, say_docs);
        return RESP_ANSWERED;
    }
    for (size_t i = 2; i < call->word_count; i++) {
        known += find(call->words[i]) != NULL ? 1 : 0;
    }
    resp_say_map(call->reply, known);
    for (size_t i = 2; i < call->word_count; i++) {
        const struct resp_command *command = find(call->words[i]);
        if (command != NULL) {
            say_docs(call->reply, command);
        }
    }
    return RESP_ANSWERED;
}

/* ---- COMMAND LIST and COUNT ----------------------------------------------------------------- */

enum resp_outcome resp_command_say_count(struct resp_call *call)
{
    resp_say_integer(call->reply, (int64_t)count_top());
    return RESP_ANSWERED;
}

/* Whether a command's categories have one; "@" is not a part of it. */
static bool is_in_category(const struct resp_command *command, struct quarry_kv_slice category)
{
    for (const char *text = command->categories; (text = strchr(text, '@')) != NULL;) {
        char name[NAME_BYTES_MAX];
        size_t bytes = strcspn(++text, " ");
        Q_ASSERT(bytes < sizeof name);
        memcpy(name, text, bytes);
        name[bytes] = '\0';
        if (resp_is(category, name)) {
            return true;
        }
    }
    return false;
}

/* The longest pattern that is looked at: of names, the longest of which is much shorter. */
#define PATTERN_BYTES_MAX 256u

static bool is_like(const struct resp_command *command, struct quarry_kv_slice pattern)
{
    char lower[PATTERN_BYTES_MAX];

    if (pattern.byte_count > sizeof lower) {
        return false;
    }
    for (size_t i = 0; i < pattern.byte_count; i++) {
        char c = ((const char *)pattern.bytes)[i];
        lower[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    return resp_glob_matches((struct quarry_kv_slice){lower, pattern.byte_count},
                             (struct quarry_kv_slice){command->name, strlen(command->name)});
}

enum filter { FILTER_NONE, FILTER_MODULE, FILTER_CATEGORY, FILTER_PATTERN };

static bool passes(const struct resp_command *command, enum filter filter,
                   struct quarry_kv_slice word)
{
    switch (filter) {
    case FILTER_NONE:
        return !is_subcommand(command);
    case FILTER_MODULE:
        return false;
    case FILTER_CATEGORY:
        return is_in_category(command, word);
    case FILTER_PATTERN:
        return is_like(command, word);
    }
    Q_UNREACHABLE();
}

static void say_names(struct resp_reply *reply, enum filter filter, struct quarry_kv_slice word)
{
    const struct resp_command *row;
    size_t count = 0;

    for (size_t i = 0; (row = resp_command_at(i)) != NULL; i++) {
        count += passes(row, filter, word) ? 1 : 0;
    }
    resp_say_set(reply, count);
    for (size_t i = 0; (row = resp_command_at(i)) != NULL; i++) {
        if (passes(row, filter, word)) {
            resp_say_text(reply, row->name);
        }
    }
}

enum resp_outcome resp_command_list(struct resp_call *call)
{
    const struct quarry_kv_slice *words = call->words;
    struct quarry_kv_slice word = {"", 0};
    enum filter filter = FILTER_NONE;

    if (call->word_count == 5 && resp_is(words[2], "filterby")) {
        filter = resp_is(words[3], "module")    ? FILTER_MODULE
                 : resp_is(words[3], "aclcat")  ? FILTER_CATEGORY
                 : resp_is(words[3], "pattern") ? FILTER_PATTERN
                                                : FILTER_NONE;
        word = words[4];
    }
    if (call->word_count != 2 && filter == FILTER_NONE) {
        resp_say_syntax_error(call->reply);
        return RESP_ANSWERED;
    }
    say_names(call->reply, filter, word);
    return RESP_ANSWERED;
}

/* ---- COMMAND GETKEYS ------------------------------------------------------------------------ */

/* The keys of the command that the words from the third on are. */
struct keys {
    const struct resp_command *command;
    size_t first, last, step; /* as indices of call->words */
};

/* False: an error was said. */
static bool find_keys(struct resp_call *call, struct keys *ret_keys)
{
    size_t count = call->word_count - 2;
    const struct resp_command *command =
        resp_command_find(call->words[2], count > 1 ? &call->words[3] : NULL);

    if (command == NULL) {
        resp_say_error(call->reply, "ERR Invalid command specified");
        return false;
    }
    if (command->first_key == 0) {
        resp_say_error(call->reply, "ERR The command has no key arguments");
        return false;
    }
    if (command->arity > 0 ? count != (size_t)command->arity : count < (size_t)-command->arity) {
        resp_say_error(call->reply, "ERR Invalid number of arguments specified for command");
        return false;
    }
    size_t last =
        command->last_key < 0 ? count - (size_t)-command->last_key : (size_t)command->last_key;
    *ret_keys = (struct keys){.command = command,
                              .first = 2 + (size_t)command->first_key,
                              .last = 2 + last,
                              .step = (size_t)command->key_step};
    Q_ASSERT(ret_keys->last < call->word_count && ret_keys->step > 0);
    return true;
}

static size_t count_keys(const struct keys *keys)
{
    return keys->last < keys->first ? 0 : (keys->last - keys->first) / keys->step + 1;
}

enum resp_outcome resp_command_getkeys(struct resp_call *call)
{
    struct keys keys;

    if (find_keys(call, &keys)) {
        resp_say_array(call->reply, count_keys(&keys));
        for (size_t i = keys.first; i <= keys.last; i += keys.step) {
            resp_say_bulk(call->reply, call->words[i].bytes, call->words[i].byte_count);
        }
    }
    return RESP_ANSWERED;
}

/*
 * What SET does to its key depends on its words. Else a command does the same to all of its keys,
 * or something of its own to the second.
 */
static const char *flags_of(const struct resp_call *call, const struct keys *keys, size_t i)
{
    const struct resp_command_form *form = resp_command_form(keys->command->name);

    if (strcmp(keys->command->name, "set") == 0) {
        for (size_t word = 5; word < call->word_count; word++) {
            if (resp_is(call->words[word], "get")) {
                return "RW access update";
            }
        }
        return "OW update";
    }
    return i > keys->first && form->key_flags[1][0] != '\0' ? form->key_flags[1]
                                                            : form->key_flags[0];
}

enum resp_outcome resp_command_getkeysandflags(struct resp_call *call)
{
    struct keys keys;

    if (find_keys(call, &keys)) {
        resp_say_array(call->reply, count_keys(&keys));
        for (size_t i = keys.first; i <= keys.last; i += keys.step) {
            const char *flags = flags_of(call, &keys, i);
            resp_say_array(call->reply, 2);
            resp_say_bulk(call->reply, call->words[i].bytes, call->words[i].byte_count);
            resp_say_set(call->reply, count_words(flags));
            say_each(call->reply, flags, resp_say_simple);
        }
    }
    return RESP_ANSWERED;
}

enum resp_outcome resp_command_help(struct resp_call *call)
{
    static const char *const lines[] = {
        "(no subcommand)",
        "    All commands: names, numbers of words, flags, where their keys are.",
        "COUNT",
        "    How many there are.",
        "DOCS [<command> ...]",
        "    What commands do, and which words they take; all by default.",
        "GETKEYS <command> <word> ...",
        "    The keys among the words of a command.",
        "GETKEYSANDFLAGS <command> <word> ...",
        "    The same, and what the command does to each.",
        "INFO [<command> ...]",
        "    As without a subcommand, of some of them.",
        "LIST [FILTERBY ACLCAT <category> | PATTERN <pattern> | MODULE <name>]",
        "    Names of commands.",
        NULL,
    };

    resp_say_help(call, lines);
    return RESP_ANSWERED;
}
