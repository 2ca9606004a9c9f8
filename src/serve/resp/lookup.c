/*
 * Commands by their names.
 *
 *     table.h ─ rows ─> commands[] ─ hash of the lower-case name ─> places[]: index + 1, open
 *                                                                    addressing, a quarter full
 *
 * A name of up to eight letters, as nearly all are, is a word in lower case, which is looked for
 * first, without a loop over its bytes. A byte that is a small letter once 0x20 is set in it was
 * that letter in one of its two cases: so what is equal to a word of letters is that name.
 *
 * A subcommand has a row of its own, "config|get", found by both words; the row of its container
 * has no function but the one that tells of its help, and is what an unknown second word gets.
 *
 * The table of places is made once, by whoever asks first. Cost: a hash of the name, a word of the
 * table, a comparison: 25 instructions for a short name, 100 for another.
 *
 * Locking: a mutex while it is made; an acquire load afterwards.
 */
#include <serve/resp/resp.h>

#include <string.h>

#include <os/os.h>
#include <serve/resp/table.h>

#define ROW(name, function, arity, flags, first, last, step, categories, since, group, complexity, \
            summary)                                                                               \
    {name, function,   arity, flags, first,      last,                                             \
     step, categories, since, group, complexity, summary},
static const struct resp_command commands[] = {RESP_COMMANDS(ROW)};
#undef ROW

#define COMMAND_COUNT (sizeof commands / sizeof commands[0])
/* A power of two, four times the commands: next to no name meets another. */
#define PLACE_COUNT 1024u
/* No name of the table is longer. */
#define NAME_BYTES_MAX 32u

Q_STATIC_ASSERT(COMMAND_COUNT * 3 < PLACE_COUNT, "names hardly meet");

/* A name of letters, and its row. */
struct short_name {
    uint64_t name; /* 0: free */
    const struct resp_command *command;
    bool is_container;
};

static struct {
    _Atomic bool is_made; /* release: pairs with the acquire in find */
    struct os_mutex mutex;
    /* const once it is made */
    uint16_t places[PLACE_COUNT];
    struct short_name shorts[PLACE_COUNT];
    bool is_container[COMMAND_COUNT];
} lookup;

/* Of a name in any case; goes on from `hash`. */
static uint32_t hash_name(uint32_t hash, const char *bytes, size_t byte_count)
{
    for (size_t i = 0; i < byte_count; i++) {
        hash = (hash ^ (uint8_t)resp_lower(bytes[i])) * 0x01000193u;
    }
    return hash;
}

#define HASH_BEGIN 0x811c9dc5u

static uint32_t place_of(uint32_t hash)
{
    return (hash ^ hash >> 15) % PLACE_COUNT;
}

static void add_place(uint16_t index)
{
    const char *name = commands[index].name;
    uint32_t place = place_of(hash_name(HASH_BEGIN, name, strlen(name)));

    while (lookup.places[place] != 0) {
        place = (place + 1) % PLACE_COUNT;
    }
    lookup.places[place] = (uint16_t)(index + 1);
}

/* ---- short names ---------------------------------------------------------------------------- */

/* The bytes of a name, with 0x20 set in each, as a word. */
static inline uint64_t pack_name(const char *bytes, size_t byte_count)
{
    uint64_t word;

    if (byte_count >= sizeof(uint32_t)) { /* the first four and the last four, which may be same */
        uint32_t first, last;
        memcpy(&first, bytes, sizeof first);
        memcpy(&last, bytes + byte_count - sizeof last, sizeof last);
        word = first | (uint64_t)last << 8 * (byte_count - sizeof last);
    } else { /* the first, the middle and the last one, likewise */
        size_t middle = byte_count / 2, last = byte_count - 1;
        word = (uint64_t)(uint8_t)bytes[0] | (uint64_t)(uint8_t)bytes[middle] << 8 * middle |
               (uint64_t)(uint8_t)bytes[last] << 8 * last;
    }
    return word | UINT64_C(0x2020202020202020) >> 8 * (sizeof word - byte_count);
}

static inline uint32_t short_place(uint64_t name)
{
    return (uint32_t)(name * UINT64_C(0x9e3779b97f4a7c15) >> 32) % PLACE_COUNT;
}

static bool is_short(const char *name)
{
    size_t length = strlen(name);

    return length <= sizeof(uint64_t) && strspn(name, "abcdefghijklmnopqrstuvwxyz") == length;
}

static void add_short(size_t index)
{
    uint64_t name = pack_name(commands[index].name, strlen(commands[index].name));
    uint32_t place = short_place(name);

    while (lookup.shorts[place].name != 0) {
        place = (place + 1) % PLACE_COUNT;
    }
    lookup.shorts[place] = (struct short_name){name, &commands[index], lookup.is_container[index]};
}

/* NULL: it is not among the short ones. */
static inline const struct short_name *find_short(struct quarry_kv_slice name)
{
    if (name.byte_count == 0 || name.byte_count > sizeof(uint64_t)) {
        return NULL;
    }
    uint64_t word = pack_name(name.bytes, name.byte_count);
    const struct short_name *at = &lookup.shorts[short_place(word)];

    while (at->name != word && at->name != 0) {
        at = at + 1 == &lookup.shorts[PLACE_COUNT] ? lookup.shorts : at + 1;
    }
    return at->name == word ? at : NULL;
}

/* ---- all names ------------------------------------------------------------------------------ */

/* Whether the row's name is the words', with a bar between them. */
static bool is_name(const struct resp_command *command, struct quarry_kv_slice name,
                    const struct quarry_kv_slice *subcommand)
{
    size_t length = strlen(command->name);

    if (subcommand == NULL) {
        return resp_is(name, command->name);
    }
    struct quarry_kv_slice own = {command->name, name.byte_count};
    if (length != name.byte_count + 1 + subcommand->byte_count ||
        command->name[name.byte_count] != '|' ||
        !resp_is(*subcommand, command->name + name.byte_count + 1)) {
        return false;
    }
    for (size_t i = 0; i < own.byte_count; i++) {
        if (resp_lower(((const char *)name.bytes)[i]) != command->name[i]) {
            return false;
        }
    }
    return true;
}

static const struct resp_command *find(struct quarry_kv_slice name,
                                       const struct quarry_kv_slice *subcommand)
{
    uint32_t hash = hash_name(HASH_BEGIN, name.bytes, name.byte_count);

    if (subcommand != NULL) {
        hash = hash_name(hash_name(hash, "|", 1), subcommand->bytes, subcommand->byte_count);
    }
    for (uint32_t place = place_of(hash); lookup.places[place] != 0;
         place = (place + 1) % PLACE_COUNT) {
        const struct resp_command *command = &commands[lookup.places[place] - 1];
        if (is_name(command, name, subcommand)) {
            return command;
        }
    }
    return NULL;
}

/* Containers are known by the names of what they contain. */
static void note_containers(void)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const char *bar = strchr(commands[i].name, '|');
        if (bar != NULL) {
            struct quarry_kv_slice name = {commands[i].name, (size_t)(bar - commands[i].name)};
            const struct resp_command *container = find(name, NULL);
            Q_ASSERT_MSG(container != NULL, "a subcommand's container has a row");
            lookup.is_container[container - commands] = true;
        }
    }
}

Q_COLD static void make(void)
{
    os_mutex_lock(&lookup.mutex);
    if (!atomic_load_relaxed_bool(&lookup.is_made)) { /* relaxed: under the mutex */
        for (size_t i = 0; i < COMMAND_COUNT; i++) {
            Q_ASSERT(strlen(commands[i].name) <= NAME_BYTES_MAX);
            add_place((uint16_t)i);
        }
        note_containers();
        for (size_t i = 0; i < COMMAND_COUNT; i++) {
            if (is_short(commands[i].name)) {
                add_short(i);
            }
        }
        atomic_store_release_bool(&lookup.is_made, true);
    }
    os_mutex_unlock(&lookup.mutex);
}

const struct resp_command *resp_command_find(struct quarry_kv_slice name,
                                             const struct quarry_kv_slice *subcommand)
{
    /* Acquire: pairs with the release in make. */
    if (Q_UNLIKELY(!atomic_load_acquire_bool(&lookup.is_made))) {
        make();
    }
    const struct short_name *found = find_short(name);
    if (Q_LIKELY(found != NULL && (!found->is_container || subcommand == NULL))) {
        return found->command;
    }
    if (name.byte_count > NAME_BYTES_MAX) {
        return NULL;
    }
    const struct resp_command *command = find(name, NULL);
    if (subcommand == NULL || command == NULL || !lookup.is_container[command - commands]) {
        return command;
    }
    return subcommand->byte_count > NAME_BYTES_MAX ? NULL : find(name, subcommand);
}

const struct resp_command *resp_command_at(size_t index)
{
    return index < COMMAND_COUNT ? &commands[index] : NULL;
}
