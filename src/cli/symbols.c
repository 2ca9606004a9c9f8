/*
 * Symbols of another process through libbacktrace, which is made for one's own.
 *
 * A state of libbacktrace for the file F believes that F is the running program. When F is
 * position-independent it therefore looks for addresses as they would be if F lay where our own
 * program lies:
 *
 *     address in its file = pc - bias of the module there
 *     what is asked for   = address in its file + bias of our own program
 *
 * A module whose bias is 0 is no position-independent one, and asked for as it is. Our own
 * libraries are in each state too, at addresses far from those of programs.
 *
 * Each address is asked for once: the answer is kept in a table by address (open addressing, at
 * most half full). Return addresses point behind the call, so pc - 1 is what is looked up.
 *
 * Files are opened as the process sees them (/proc/PID/root/...), which is another tree in a
 * container, and by their path when that cannot be. A file whose build id is not that of what was
 * loaded is not read: names from another build would be wrong ones.
 *
 * What was tried and rejected: addr2line in a child process, which is not installed everywhere and
 * takes its time for each address.
 */
#include <cli/symbols.h>

#include <cli/build_id.h>
#include <cli/cli.h>

#include <backtrace.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TABLE_SLOTS_MIN 1024u
/* Functions inlined into each other at one address. */
#define INLINED_MAX 8u
#define PATH_BYTES  512

struct module {
    struct mem_stats_module is;
    struct backtrace_state *state; /* libbacktrace never frees one */
    bool is_tried;
    char path[PATH_BYTES]; /* that was opened; the state keeps pointing to it */
};

struct entry {
    struct symbol_place place; /* pc 0: free */
    struct symbol symbol[INLINED_MAX];
};

struct symbols {
    uint32_t pid;
    uint64_t own_bias;
    struct module **module; /* own; sorted as in the snapshot */
    uint32_t module_count;
    struct entry **slot; /* own; by address */
    uint32_t slot_count; /* a power of two */
    uint32_t entry_count;
};

/* The C++ library's own, which no header of C declares. */
extern char *__cxa_demangle(const char *mangled, char *buffer, size_t *length, int *status);

/* ---- modules -------------------------------------------------------------------------------- */

static int take_own_bias(struct dl_phdr_info *info, size_t size, void *argument)
{
    (void)size;
    *(uint64_t *)argument = info->dlpi_addr;
    return 1; /* the program is the first */
}

static struct module *module_create(const struct mem_stats_module *is)
{
    struct module *module = calloc(1, sizeof(*module));

    if (module != NULL) {
        module->is = *is;
    }
    return module;
}

static bool is_same_module(const struct mem_stats_module *one, const struct mem_stats_module *other)
{
    return one->start == other->start && one->end == other->end &&
           strcmp(one->path, other->path) == 0;
}

/* A module that was there before, taken out of the old list; else a new one. */
static struct module *module_take(struct symbols *symbols, const struct mem_stats_module *is)
{
    for (uint32_t i = 0; i < symbols->module_count; i++) {
        struct module *module = symbols->module[i];
        if (module != NULL && is_same_module(&module->is, is)) {
            symbols->module[i] = NULL;
            return module;
        }
    }
    return module_create(is);
}

static void modules_free(struct symbols *symbols)
{
    for (uint32_t i = 0; i < symbols->module_count; i++) {
        free(symbols->module[i]);
    }
    free((void *)symbols->module);
}

static bool has_same_modules(const struct symbols *symbols,
                             const struct mem_stats_snapshot *snapshot)
{
    bool is_same = symbols->module_count == snapshot->module_count;

    for (uint32_t i = 0; is_same && i < symbols->module_count; i++) {
        is_same = is_same_module(&symbols->module[i]->is, &snapshot->modules[i]);
    }
    return is_same;
}

static void forget_entries(struct symbols *symbols)
{
    for (uint32_t i = 0; i < symbols->slot_count; i++) {
        if (symbols->slot[i] == NULL) {
            continue;
        }
        for (uint32_t j = 0; j < symbols->slot[i]->place.count; j++) {
            struct symbol *symbol = &symbols->slot[i]->symbol[j];
            if (symbol->function != symbol->linkage) {
                free((void *)(uintptr_t)symbol->function);
            }
            free((void *)(uintptr_t)symbol->linkage);
            free((void *)(uintptr_t)symbol->file);
        }
        free(symbols->slot[i]);
        symbols->slot[i] = NULL;
    }
    symbols->entry_count = 0;
}

enum quarry_status symbols_update(struct symbols *symbols,
                                  const struct mem_stats_snapshot *snapshot)
{
    if (has_same_modules(symbols, snapshot)) {
        return QUARRY_OK;
    }
    struct module **modules = calloc(snapshot->module_count + 1, sizeof(struct module *));
    uint32_t count = 0;
    while (modules != NULL && count < snapshot->module_count) {
        modules[count] = module_take(symbols, &snapshot->modules[count]);
        if (modules[count] == NULL) {
            break;
        }
        count++;
    }
    forget_entries(symbols);
    modules_free(symbols);
    symbols->module = modules;
    symbols->module_count = count;
    return modules != NULL && count == snapshot->module_count ? QUARRY_OK : QUARRY_NO_MEMORY;
}

enum quarry_status symbols_create(const struct mem_stats_snapshot *snapshot, uint32_t pid,
                                  struct symbols **ret_symbols)
{
    struct symbols *symbols = calloc(1, sizeof(*symbols));

    if (symbols == NULL) {
        return QUARRY_NO_MEMORY;
    }
    symbols->pid = pid;
    (void)dl_iterate_phdr(take_own_bias, &symbols->own_bias);
    symbols->slot = calloc(TABLE_SLOTS_MIN, sizeof(struct entry *));
    symbols->slot_count = symbols->slot != NULL ? TABLE_SLOTS_MIN : 0;
    if (symbols->slot == NULL || symbols_update(symbols, snapshot) != QUARRY_OK) {
        symbols_destroy(symbols);
        return QUARRY_NO_MEMORY;
    }
    *ret_symbols = symbols;
    return QUARRY_OK;
}

void symbols_destroy(struct symbols *symbols)
{
    if (symbols == NULL) {
        return;
    }
    forget_entries(symbols);
    modules_free(symbols);
    free((void *)symbols->slot);
    free(symbols);
}

/* ---- asking libbacktrace -------------------------------------------------------------------- */

static void ignore_error(void *argument, const char *message, int number)
{
    (void)argument;
    (void)message;
    (void)number;
}

/* Whether the file at the module's path is what the process has loaded, not a newer build of it. */
static bool is_what_was_loaded(const struct module *module)
{
    uint8_t id[MEM_STATS_BUILD_ID_BYTES];
    uint32_t bytes = build_id_of_file(module->path, id);

    if (module->is.build_id_bytes == 0) {
        return access(module->path, R_OK) == 0; /* it cannot be told */
    }
    return bytes == module->is.build_id_bytes && memcmp(id, module->is.build_id, bytes) == 0;
}

/* Tries one name of the file. The path must stay where it is: libbacktrace keeps it. */
Q_PRINTF(2, 3)
static bool module_try(struct module *module, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(module->path, sizeof(module->path), format, arguments);
    va_end(arguments);
    if (!is_what_was_loaded(module)) {
        return false;
    }
    module->state = backtrace_create_state(module->path, 0, ignore_error, NULL);
    return module->state != NULL;
}

/*
 * Opens a module's file when it is first needed: as the process sees it, by its path, or as the
 * program that runs, which is there even when its file was replaced.
 */
static void module_open(struct symbols *symbols, struct module *module)
{
    const char *path = module->is.path;

    if (module->is_tried) {
        return;
    }
    module->is_tried = true;
    if ((path[0] == '/' && module_try(module, "/proc/%u/root%s", symbols->pid, path)) ||
        module_try(module, "%s", path)) {
        return;
    }
    if (module == symbols->module[0]) {
        /* Of a report that the server asked for, it is the same program. */
        (void)(module_try(module, "/proc/%u/exe", symbols->pid) ||
               module_try(module, "%s", "/proc/self/exe"));
    }
}

static const char *demangle(const char *linkage)
{
    int status = 0;
    char *text =
        strncmp(linkage, "_Z", 2) == 0 ? __cxa_demangle(linkage, NULL, NULL, &status) : NULL;

    return text != NULL ? text : linkage;
}

static void set_name(struct symbol *symbol, const char *name)
{
    symbol->linkage = strdup(name);
    if (symbol->linkage != NULL) {
        symbol->function = demangle(symbol->linkage);
    }
}

/* Called for each function inlined at the address, innermost first. */
static int add_line(void *argument, uintptr_t pc, const char *file, int line, const char *function)
{
    struct entry *entry = argument;

    (void)pc;
    if ((file == NULL && function == NULL) || entry->place.count == INLINED_MAX) {
        return 0;
    }
    struct symbol *symbol = &entry->symbol[entry->place.count++];
    if (function != NULL) {
        set_name(symbol, function);
    }
    symbol->file = file != NULL ? strdup(file) : NULL;
    symbol->line = line > 0 ? (uint32_t)line : 0;
    return 0;
}

static void add_symbol(void *argument, uintptr_t pc, const char *name, uintptr_t value,
                       uintptr_t size)
{
    struct entry *entry = argument;

    (void)pc;
    (void)value;
    (void)size;
    if (name == NULL) {
        return;
    }
    /* The outermost function is the one that has the symbol; a line may lack its name. */
    if (entry->place.count == 0) {
        entry->place.count = 1;
    }
    struct symbol *symbol = &entry->symbol[entry->place.count - 1];
    if (symbol->function == NULL) {
        set_name(symbol, name);
    }
}

static uint32_t find_module(const struct symbols *symbols, uint64_t address)
{
    for (uint32_t i = 0; i < symbols->module_count; i++) {
        const struct mem_stats_module *is = &symbols->module[i]->is;
        if (address >= is->start && address < is->end) {
            return i;
        }
    }
    return SYMBOL_NO_MODULE;
}

static void entry_resolve(struct symbols *symbols, struct entry *entry)
{
    uint64_t address = entry->place.pc - 1; /* in the call, not behind it */

    entry->place.symbol = entry->symbol;
    entry->place.module = find_module(symbols, address);
    if (entry->place.module == SYMBOL_NO_MODULE) {
        return;
    }
    struct module *module = symbols->module[entry->place.module];
    module_open(symbols, module);
    if (module->state == NULL) {
        return;
    }
    uint64_t wanted =
        module->is.bias == 0 ? address : address - module->is.bias + symbols->own_bias;
    (void)backtrace_pcinfo(module->state, (uintptr_t)wanted, add_line, ignore_error, entry);
    (void)backtrace_syminfo(module->state, (uintptr_t)wanted, add_symbol, ignore_error, entry);
}

/* ---- the table ------------------------------------------------------------------------------ */

static struct entry **find_slot(struct entry **slots, uint32_t slot_count, uint64_t pc)
{
    uint32_t at = (uint32_t)(pc * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (slot_count - 1);

    while (slots[at] != NULL && slots[at]->place.pc != pc) {
        at = (at + 1) & (slot_count - 1);
    }
    return &slots[at];
}

static void table_grow(struct symbols *symbols)
{
    uint32_t slot_count = symbols->slot_count * 2;
    struct entry **slots = calloc(slot_count, sizeof(struct entry *));

    if (slots == NULL) {
        return;
    }
    for (uint32_t i = 0; i < symbols->slot_count; i++) {
        if (symbols->slot[i] != NULL) {
            *find_slot(slots, slot_count, symbols->slot[i]->place.pc) = symbols->slot[i];
        }
    }
    free((void *)symbols->slot);
    symbols->slot = slots;
    symbols->slot_count = slot_count;
}

const struct symbol_place *symbols_find(struct symbols *symbols, uint64_t pc)
{
    static const struct symbol_place nowhere = {.module = SYMBOL_NO_MODULE};
    struct entry **slot = find_slot(symbols->slot, symbols->slot_count, pc);

    if (pc == 0) {
        return &nowhere;
    }
    if (*slot != NULL) {
        return &(*slot)->place;
    }
    if (symbols->entry_count * 2 >= symbols->slot_count) {
        table_grow(symbols);
        slot = find_slot(symbols->slot, symbols->slot_count, pc);
    }
    struct entry *entry = calloc(1, sizeof(*entry));
    /* A table that could not grow is not filled further: each lookup ends at a free slot. */
    if (entry == NULL || symbols->entry_count + 1 >= symbols->slot_count) {
        free(entry);
        return &nowhere;
    }
    entry->place.pc = pc;
    entry_resolve(symbols, entry);
    *slot = entry;
    symbols->entry_count++;
    return &entry->place;
}

/* ---- for people ----------------------------------------------------------------------------- */

const char *symbols_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

const char *symbols_module_path(const struct symbols *symbols, uint32_t module)
{
    return module < symbols->module_count ? symbols->module[module]->is.path : NULL;
}

uint32_t symbols_inlined_count(struct symbols *symbols, uint64_t pc)
{
    const struct symbol_place *place = symbols_find(symbols, pc);

    return place->count == 0 ? 1 : place->count;
}

static void describe(const struct symbols *symbols, const struct symbol_place *place, uint64_t pc,
                     uint32_t inlined, char text[SYMBOL_TEXT_BYTES])
{
    const char *path = symbols_module_path(symbols, place->module);
    const char *module = path != NULL ? symbols_base_name(path) : "?";
    /* Names of templates fill pages; the place behind them must stay. */
    const int name_max = SYMBOL_TEXT_BYTES - 60;

    if (inlined >= place->count || place->symbol[inlined].function == NULL) {
        (void)snprintf(text, SYMBOL_TEXT_BYTES, "0x%llx (%.40s)", (unsigned long long)pc, module);
        return;
    }
    const struct symbol *symbol = &place->symbol[inlined];
    if (symbol->file == NULL) {
        (void)snprintf(text, SYMBOL_TEXT_BYTES, "%.*s (%.40s)", name_max, symbol->function, module);
    } else {
        (void)snprintf(text, SYMBOL_TEXT_BYTES, "%.*s (%.40s:%u)", name_max, symbol->function,
                       symbols_base_name(symbol->file), symbol->line);
    }
}

const char *symbols_describe(struct symbols *symbols, uint64_t pc, uint32_t inlined,
                             char text[SYMBOL_TEXT_BYTES])
{
    describe(symbols, symbols_find(symbols, pc), pc, inlined, text);
    return cli_make_printable(text);
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool ends(const char *text, const char *with)
{
    size_t length = strlen(text), with_length = strlen(with);

    return length >= with_length && strcmp(text + length - with_length, with) == 0;
}

static bool is_wrapper_name(const char *function)
{
    static const char *const beginnings[] = {"std::", "__gnu_cxx::", "operator new", "void* std::"};
    static const char *const endings[] = {"malloc",  "calloc", "realloc", "strdup",
                                          "strndup", "memdup", "alloc"};
    bool is_wrapper = false;

    for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++) {
        is_wrapper = is_wrapper || begins(function, beginnings[i]);
    }
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        is_wrapper = is_wrapper || ends(function, endings[i]);
    }
    return is_wrapper;
}

/* Of the C and C++ libraries, or of no file at all. */
static bool is_library(const struct symbols *symbols, uint32_t module)
{
    static const char *const libraries[] = {"libc.so", "libstdc++.so", "libc++.so", "libglib-2",
                                            "libquarry-malloc"};
    const char *path = symbols_module_path(symbols, module);
    bool is_one = path == NULL;

    for (size_t i = 0; !is_one && i < sizeof(libraries) / sizeof(libraries[0]); i++) {
        is_one = begins(symbols_base_name(path), libraries[i]);
    }
    return is_one;
}

struct symbol_spot symbols_notable(struct symbols *symbols, const struct mem_stats_stack *stack)
{
    Q_ASSERT(stack->depth > 0 && stack->depth <= MEM_STATS_DEPTH_MAX);
    for (uint32_t i = 0; i < stack->depth; i++) {
        const struct symbol_place *place = symbols_find(symbols, stack->pc[i]);
        if (is_library(symbols, place->module)) {
            continue;
        }
        for (uint32_t j = 0; j < place->count; j++) {
            const char *function = place->symbol[j].function;
            if (function != NULL && !is_wrapper_name(function)) {
                return (struct symbol_spot){.frame = i, .inlined = j};
            }
        }
    }
    return (struct symbol_spot){0};
}
