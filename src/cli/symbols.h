/*
 * Names for addresses of another process: functions, files and lines, from the files of its
 * program and libraries.
 */
#ifndef QUARRY_CLI_SYMBOLS_H
#define QUARRY_CLI_SYMBOLS_H

#include <base/base.h>
#include <mem/mem.h>

/* A function at an address. Texts are borrowed until the symbols end. */
struct symbol {
    const char *function; /* demangled; NULL: not known */
    const char *linkage;  /* as the linker knows it; NULL: not known */
    const char *file;     /* NULL: not known */
    uint32_t line;        /* 0: not known */
};

/* What is known of one return address. */
struct symbol_place {
    uint64_t pc;
    uint32_t module; /* index in the snapshot's; SYMBOL_NO_MODULE: in none */
    uint32_t count;  /* of `symbol`; 0: no name is known */
    /* The innermost inlined function first. */
    const struct symbol *symbol;
};

#define SYMBOL_NO_MODULE UINT32_MAX

struct symbols;

/*
 * `snapshot`: its modules are copied. `pid`: the process, whose own view of files comes first.
 * Errors: NO_MEMORY.
 */
Q_NODISCARD enum quarry_status symbols_create(const struct mem_stats_snapshot *snapshot,
                                              uint32_t pid, struct symbols **ret_symbols);
void symbols_destroy(struct symbols *symbols);

/* As the process may have loaded more libraries since: takes the modules of a new snapshot. */
Q_NODISCARD enum quarry_status symbols_update(struct symbols *symbols,
                                              const struct mem_stats_snapshot *snapshot);

/*
 * Looks a return address up: what is known of the call before it. Remembers it.
 * Returns: borrowed until the symbols end or are updated.
 * Cost: the first of a module reads its debug information, up to a second for a large one.
 */
const struct symbol_place *symbols_find(struct symbols *symbols, uint64_t pc);

/* The last part of a path. */
const char *symbols_base_name(const char *path);

/* Room for one function with its place, cut if need be. */
#define SYMBOL_TEXT_BYTES 160

/*
 * "function (file.c:12)", or "function (library.so)", or "0x1234 (library.so)".
 * `inlined`: which of the functions inlined at the address, 0 the innermost.
 */
const char *symbols_describe(struct symbols *symbols, uint64_t pc, uint32_t inlined,
                             char text[SYMBOL_TEXT_BYTES]);

/* How many functions symbols_describe tells apart at an address: at least 1. */
uint32_t symbols_inlined_count(struct symbols *symbols, uint64_t pc);

/* A function in a stack. */
struct symbol_spot {
    uint32_t frame;   /* index in the stack's pcs */
    uint32_t inlined; /* as symbols_describe takes it */
};

/*
 * The function in a stack that its programmer would name: the innermost that is neither a wrapper
 * around malloc nor of the C or C++ library; the innermost of all when there is none.
 * `stack`: at least one frame deep.
 */
struct symbol_spot symbols_notable(struct symbols *symbols, const struct mem_stats_stack *stack);

/* The path of a module; NULL for SYMBOL_NO_MODULE. */
const char *symbols_module_path(const struct symbols *symbols, uint32_t module);

#endif
