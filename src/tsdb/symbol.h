/*
 * Symbols: texts that series share, each stored once.
 *
 *     tenant 7 ──┬── "__name__" ──┬── "up"        ──> postings
 *                │                └── "go_info"   ──> postings
 *                └── "job" ─────────── "node"     ──> postings
 *
 * A tree of three levels: tenants, their labels' names, the names' values. A value, found by way of
 * its name, is a label: its number stands for both, so that a label costs a series 4 bytes. What a
 * symbol has below it, series or symbols, keeps it; the last one takes it along.
 *
 * Tenants share nothing: each sees names and values of its own, and pays for them.
 */
#ifndef QUARRY_TSDB_SYMBOL_H
#define QUARRY_TSDB_SYMBOL_H

#include <tsdb/chains.h>
#include <tsdb/labels.h>
#include <tsdb/limbo.h>
#include <tsdb/postings.h>
#include <tsdb/table.h>
#include <tsdb/types.h>

/* Symbols of a store, names and values together, at most. */
#define TSDB_SYMBOLS_MAX (UINT32_MAX / 4)

struct tsdb_symbol {
    struct tsdb_symbol *parent; /* const: a value's name, a name's tenant, a tenant's NULL */
    /* guarded by the owner's lock, but what is const */
    struct tsdb_symbol *next;     /* the parent's next child; stays when the symbol goes */
    struct tsdb_symbol *previous; /* and the one before; once gone, limbo's */
    union {
        struct tsdb_postings postings; /* of a value */
        struct {                       /* of a name or a tenant */
            struct tsdb_symbol *first;
            uint32_t count; /* where postings have theirs: 0 says that nothing keeps it */
        } children;
    };
    uint32_t chain;      /* the next symbol of equal hash */
    uint32_t hash;       /* const */
    uint32_t number;     /* const */
    uint32_t byte_count; /* const */
    char bytes[];        /* const */
};
Q_STATIC_ASSERT(sizeof(struct tsdb_symbol) == 56, "a short label's symbol is 64 bytes");

struct tsdb_symbols {
    struct tsdb_table table; /* of struct tsdb_symbol *, by number */
    struct tsdb_chains chains;
    struct tsdb_limbo *limbo; /* const; borrowed */
    uint64_t seed;            /* const */
    /* guarded by the owner's lock */
    struct tsdb_symbol *fresh, *waiting; /* gone, by `previous`: as limbo's lists */
    uint64_t object_bytes;               /* of all symbols, those in limbo too */
    uint64_t postings_bytes;             /* of all postings' memory */
};

/* Makes an empty tree. `limbo`: borrowed until fini. */
void tsdb_symbols_init(struct tsdb_symbols *symbols, struct tsdb_limbo *limbo, uint64_t seed);
void tsdb_symbols_fini(struct tsdb_symbols *symbols);

/*
 * The symbol of a text below a parent. `parent`: NULL for tenants. Returns: borrowed; NULL: there
 * is none. Threads: the owner's lock. Cost: a hash, a chain of about one.
 */
struct tsdb_symbol *tsdb_symbol_find(const struct tsdb_symbols *symbols,
                                     const struct tsdb_symbol *parent, struct tsdb_slice text);

/*
 * As tsdb_symbol_find, but makes the symbol where there is none. It is gone with the next
 * tsdb_symbol_release unless something was put below it.
 *
 * `text`: TSDB_LABEL_BYTES_MAX bytes at most. Errors: QUARRY_NO_MEMORY, QUARRY_TOO_MANY.
 */
enum quarry_status tsdb_symbol_get(struct tsdb_symbols *symbols, struct tsdb_symbol *parent,
                                   struct tsdb_slice text, struct tsdb_symbol **ret_symbol);

/*
 * Makes a symbol with a number that it had before.
 *
 * `text`, `parent`: as for tsdb_symbol_get. Errors: QUARRY_EXISTS: the number is taken, or the text
 * is there; QUARRY_NO_MEMORY, QUARRY_TOO_MANY (the number): nothing has changed.
 */
enum quarry_status tsdb_symbol_restore(struct tsdb_symbols *symbols, struct tsdb_symbol *parent,
                                       struct tsdb_slice text, uint32_t number);

/* Lets all symbols go that nothing is below. */
void tsdb_symbols_release_unused(struct tsdb_symbols *symbols);

/* Lets a symbol go, and those above it, when nothing is below it any more. `symbol`: may be NULL.
 */
void tsdb_symbol_release(struct tsdb_symbols *symbols, struct tsdb_symbol *symbol);

/* Adds a series to a value, and takes it out; then the symbol may be released. Errors:
 * QUARRY_NO_MEMORY. */
enum quarry_status tsdb_symbol_add(struct tsdb_symbols *symbols, struct tsdb_symbol *symbol,
                                   uint32_t id);
void tsdb_symbol_remove(struct tsdb_symbols *symbols, struct tsdb_symbol *symbol, uint32_t id);
/* Gives a value that has no series all of its series at once. `ids`: as for tsdb_postings_fill.
 * Errors: QUARRY_NO_MEMORY: it has none. */
enum quarry_status tsdb_symbol_fill(struct tsdb_symbols *symbols, struct tsdb_symbol *symbol,
                                    const uint32_t *ids, uint32_t count);

/* Limbo made a turn (tsdb_limbo_turn): what waited goes, what is fresh waits. */
void tsdb_symbols_turn(struct tsdb_symbols *symbols);

/*
 * A symbol by its number. Threads: any; inside the epoch, where a series is not removed before the
 * thread has left. Cost: four loads.
 */
static inline struct tsdb_symbol *tsdb_symbol_at(const struct tsdb_symbols *symbols,
                                                 uint32_t number)
{
    /* Const since before the number was told. */
    return *(struct tsdb_symbol *const *)tsdb_table_at(&symbols->table, number);
}

/* Its text. Borrowed as the symbol is. */
static inline struct tsdb_slice tsdb_symbol_text(const struct tsdb_symbol *symbol)
{
    return (struct tsdb_slice){.bytes = symbol->bytes, .count = symbol->byte_count};
}

/* How many are below it: series of a value, values of a name, names of a tenant. */
static inline uint32_t tsdb_symbol_count(const struct tsdb_symbol *symbol)
{
    return symbol->postings.count; /* children.count lies in the same place */
}

#endif
