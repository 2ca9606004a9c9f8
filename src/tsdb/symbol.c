/*
 * Symbols.
 *
 *     number ──table──> | parent next previous | postings or children | chain hash number | text |
 *     parent, text ──hash, chains──> number
 *
 * One object holds a symbol and its text. Names, tenants and values are the same structure, for
 * they are made, found and dropped in the same way; what keeps a symbol is the only difference, and
 * both kinds count it in the same place.
 *
 * Each tenant has a name of no text with one value of no text, whose postings are all of its series
 * (registry.c puts them there).
 *
 * Invariants
 *   1. Among the children of a parent each text comes once.
 *   2. A symbol is in the table, its chain and its parent's list from tsdb_symbol_get until it is
 *      released with nothing below it; then it is in neither chain nor list, and in the table until
 *      no reader can know its number.
 *   3. A symbol that went keeps `next`: who walks the list comes from it to symbols that were in
 *      the list when it went, or their successors, and so to the end.
 *   4. The count below a symbol is 0 only in between get and add, or when it has gone.
 *
 * Locking: the owner's. Text, parent and number never change and are read without it.
 *
 * Cost: 56 bytes and the text, 8 of table, 4 of chains, besides postings: about 90 bytes a value.
 *
 * Rejected: one symbol for equal texts of different names, and a pair for each label on top. Equal
 * texts under different names are rare, the pair costs 24 bytes, and each lookup of a label
 * would be three instead of two.
 */
#include <tsdb/symbol.h>

Q_STATIC_ASSERT(offsetof(struct tsdb_symbol, postings.count) ==
                    offsetof(struct tsdb_symbol, children.count),
                "one place says whether something keeps a symbol");

static uint32_t *link_of(void *owner, uint32_t number, uint32_t *ret_hash)
{
    const struct tsdb_symbols *symbols = owner;
    struct tsdb_symbol *symbol = tsdb_symbol_at(symbols, number);

    *ret_hash = symbol->hash;
    return &symbol->chain;
}

void tsdb_symbols_init(struct tsdb_symbols *symbols, struct tsdb_limbo *limbo, uint64_t seed)
{
    *symbols = (struct tsdb_symbols){.limbo = limbo, .seed = seed};
    tsdb_table_init(&symbols->table, limbo, sizeof(struct tsdb_symbol *), TSDB_SYMBOLS_MAX);
    tsdb_chains_init(&symbols->chains, limbo->memory, link_of, symbols);
}

/* ---- finding -------------------------------------------------------------------------------- */

static uint32_t hash_of(const struct tsdb_symbols *symbols, const struct tsdb_symbol *parent,
                        struct tsdb_slice text)
{
    uint32_t above = parent == NULL ? 0 : parent->number;

    return (uint32_t)hash_xxh3_u64(text.bytes, text.count, symbols->seed + above);
}

static struct tsdb_symbol *find(const struct tsdb_symbols *symbols,
                                const struct tsdb_symbol *parent, struct tsdb_slice text,
                                uint32_t hash)
{
    uint32_t number = tsdb_chains_first(&symbols->chains, hash);

    while (number != 0) {
        struct tsdb_symbol *symbol = tsdb_symbol_at(symbols, number);
        if (symbol->hash == hash && symbol->parent == parent &&
            tsdb_slice_equal(tsdb_symbol_text(symbol), text)) {
            return symbol;
        }
        number = symbol->chain;
    }
    return NULL;
}

struct tsdb_symbol *tsdb_symbol_find(const struct tsdb_symbols *symbols,
                                     const struct tsdb_symbol *parent, struct tsdb_slice text)
{
    return find(symbols, parent, text, hash_of(symbols, parent, text));
}

/* ---- making --------------------------------------------------------------------------------- */

/* `number`: 0: any. */
static enum quarry_status make(struct tsdb_symbols *symbols, struct tsdb_slice text,
                               uint32_t number, struct tsdb_symbol **ret_symbol)
{
    enum quarry_status status = tsdb_chains_begin(&symbols->chains);

    if (status == QUARRY_OK) {
        status = number == 0 ? tsdb_table_take(&symbols->table, &number)
                             : tsdb_table_take_at(&symbols->table, number);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    struct tsdb_symbol *symbol =
        tsdb_memory_take(symbols->limbo->memory, sizeof(*symbol) + text.count);
    if (symbol == NULL) {
        tsdb_table_give(&symbols->table, number);
        return QUARRY_NO_MEMORY;
    }
    *symbol = (struct tsdb_symbol){.number = number, .byte_count = (uint32_t)text.count};
    memcpy(symbol->bytes, text.bytes, text.count);
    *(struct tsdb_symbol **)tsdb_table_at(&symbols->table, number) = symbol;
    symbols->object_bytes += tsdb_memory_usable(symbols->limbo->memory, symbol);
    *ret_symbol = symbol;
    return QUARRY_OK;
}

/* As the first child of its parent. */
static void link_child(struct tsdb_symbol *parent, struct tsdb_symbol *symbol)
{
    symbol->parent = parent;
    if (parent == NULL) {
        return;
    }
    symbol->next = parent->children.first;
    if (symbol->next != NULL) {
        symbol->next->previous = symbol;
    }
    parent->children.first = symbol;
    parent->children.count++;
}

static enum quarry_status add(struct tsdb_symbols *symbols, struct tsdb_symbol *parent,
                              struct tsdb_slice text, uint32_t hash, uint32_t number,
                              struct tsdb_symbol **ret_symbol)
{
    enum quarry_status status = make(symbols, text, number, ret_symbol);

    if (status == QUARRY_OK) {
        (*ret_symbol)->hash = hash;
        link_child(parent, *ret_symbol);
        tsdb_chains_insert(&symbols->chains, (*ret_symbol)->number);
    }
    return status;
}

enum quarry_status tsdb_symbol_get(struct tsdb_symbols *symbols, struct tsdb_symbol *parent,
                                   struct tsdb_slice text, struct tsdb_symbol **ret_symbol)
{
    uint32_t hash = hash_of(symbols, parent, text);

    Q_ASSERT(text.count <= TSDB_LABEL_BYTES_MAX);
    *ret_symbol = find(symbols, parent, text, hash);
    if (*ret_symbol != NULL) {
        return QUARRY_OK;
    }
    return add(symbols, parent, text, hash, 0, ret_symbol);
}

enum quarry_status tsdb_symbol_restore(struct tsdb_symbols *symbols, struct tsdb_symbol *parent,
                                       struct tsdb_slice text, uint32_t number)
{
    uint32_t hash = hash_of(symbols, parent, text);
    struct tsdb_symbol *symbol;

    Q_ASSERT(text.count <= TSDB_LABEL_BYTES_MAX && number != 0);
    return find(symbols, parent, text, hash) != NULL
               ? QUARRY_EXISTS
               : add(symbols, parent, text, hash, number, &symbol);
}

/* ---- going ---------------------------------------------------------------------------------- */

static void unlink_child(struct tsdb_symbol *parent, struct tsdb_symbol *symbol)
{
    if (parent == NULL) {
        return;
    }
    if (symbol->previous != NULL) {
        symbol->previous->next = symbol->next;
    } else {
        Q_ASSERT(parent->children.first == symbol);
        parent->children.first = symbol->next;
    }
    if (symbol->next != NULL) {
        symbol->next->previous = symbol->previous;
    }
    parent->children.count--;
}

/* Whether it has not gone. */
static bool is_chained(const struct tsdb_symbols *symbols, const struct tsdb_symbol *symbol)
{
    return find(symbols, symbol->parent, tsdb_symbol_text(symbol), symbol->hash) == symbol;
}

void tsdb_symbol_release(struct tsdb_symbols *symbols, struct tsdb_symbol *symbol)
{
    while (symbol != NULL && tsdb_symbol_count(symbol) == 0) {
        struct tsdb_symbol *parent = symbol->parent;
        tsdb_chains_remove(&symbols->chains, symbol->number);
        unlink_child(parent, symbol);
        symbol->previous = symbols->fresh;
        symbols->fresh = symbol;
        symbol = parent;
    }
}

void tsdb_symbols_release_unused(struct tsdb_symbols *symbols)
{
    uint32_t number = 0;

    while ((number = tsdb_table_next(&symbols->table, number)) != 0) {
        struct tsdb_symbol *symbol = tsdb_symbol_at(symbols, number);
        /* One that has gone already is in the table, and in no chain. */
        if (tsdb_symbol_count(symbol) == 0 && is_chained(symbols, symbol)) {
            tsdb_symbol_release(symbols, symbol);
        }
    }
}

static void give_all(struct tsdb_symbols *symbols, struct tsdb_symbol **list)
{
    while (*list != NULL) {
        struct tsdb_symbol *symbol = *list;
        *list = symbol->previous;
        tsdb_table_give(&symbols->table, symbol->number);
        symbols->object_bytes -= tsdb_memory_usable(symbols->limbo->memory, symbol);
        tsdb_memory_give(symbols->limbo->memory, symbol);
    }
}

void tsdb_symbols_turn(struct tsdb_symbols *symbols)
{
    give_all(symbols, &symbols->waiting);
    symbols->waiting = symbols->fresh;
    symbols->fresh = NULL;
}

void tsdb_symbols_fini(struct tsdb_symbols *symbols)
{
    uint32_t number = 0;

    give_all(symbols, &symbols->waiting);
    give_all(symbols, &symbols->fresh);
    while ((number = tsdb_table_next(&symbols->table, number)) != 0) {
        struct tsdb_symbol *symbol = tsdb_symbol_at(symbols, number);
        if (symbol->parent != NULL && symbol->parent->parent != NULL) {
            tsdb_postings_clear(&symbol->postings, symbols->limbo->memory);
        }
    }
    for (number = 0; (number = tsdb_table_next(&symbols->table, number)) != 0;) {
        tsdb_memory_give(symbols->limbo->memory, tsdb_symbol_at(symbols, number));
    }
    tsdb_chains_fini(&symbols->chains);
    tsdb_table_fini(&symbols->table);
}

/* ---- series --------------------------------------------------------------------------------- */

enum quarry_status tsdb_symbol_add(struct tsdb_symbols *symbols, struct tsdb_symbol *symbol,
                                   uint32_t id)
{
    const struct tsdb_memory *memory = symbols->limbo->memory;
    uint64_t before = tsdb_postings_held_bytes(&symbol->postings, memory);
    enum quarry_status status = tsdb_postings_add(&symbol->postings, memory, id);

    symbols->postings_bytes += tsdb_postings_held_bytes(&symbol->postings, memory) - before;
    return status;
}

void tsdb_symbol_remove(struct tsdb_symbols *symbols, struct tsdb_symbol *symbol, uint32_t id)
{
    const struct tsdb_memory *memory = symbols->limbo->memory;
    uint64_t before = tsdb_postings_held_bytes(&symbol->postings, memory);

    tsdb_postings_remove(&symbol->postings, memory, id);
    symbols->postings_bytes += tsdb_postings_held_bytes(&symbol->postings, memory) - before;
}

enum quarry_status tsdb_symbol_fill(struct tsdb_symbols *symbols, struct tsdb_symbol *symbol,
                                    const uint32_t *ids, uint32_t count)
{
    const struct tsdb_memory *memory = symbols->limbo->memory;
    enum quarry_status status = tsdb_postings_fill(&symbol->postings, memory, ids, count);

    symbols->postings_bytes += tsdb_postings_held_bytes(&symbol->postings, memory);
    return status;
}
