/*
 * The registry: series by key, by labels, by id.
 *
 *     raw bytes ──hash──> memo ─────────┐
 *     labels ──> symbols ──hash──> chain├──> id ──> record ──> list of symbols ──> texts
 *     matchers ──> symbols ──> postings ┘
 *
 * A record (64 bytes) names its labels' list, which is as many numbers of symbols as it has labels;
 * lists of equal length are a table, so that none has room to spare. Symbols lead back from labels
 * to series by their postings.
 *
 * Making a series: its labels become symbols; their numbers and the tenant's make the hash that the
 * chains find it by; only then is it known whether it is there. A label that had no symbol says
 * that it is not, and so lookups of unknown series end early and make nothing.
 *
 * Removing takes it out of memo, chains and postings, and marks it as gone in the same stretch
 * under the mutex; list and id are free when all have left who were in the epoch then. So an id
 * leads to the same series as long as its finder is inside, and a record that is marked is never
 * found again.
 *
 * Invariants
 *   1. A series that is not gone is in the chains once, in the postings of each of its labels and
 * in those of its tenant, and at most once in the memo.
 *   2. A label of a series has the tenant's name symbol above it; names rise in its list.
 *   3. What is gone and not free yet is in `fresh` or `waiting`, and in no index.
 *
 * Locking: `mutex` for all but the memo's finding, records and labels, which readers reach inside
 * the epoch alone. It may be taken with no shard's lock held; under it, may_remove takes one.
 * Memory is taken under it: its rank is below those of all reclaimers, none of which takes it.
 *
 * Cost: 64 bytes of record, 4 a label, 4 of chains, 20 to 25 of memo; postings and symbols besides.
 *
 * Rejected: two numbers a label, name and value (32 bytes more for eight labels, and nothing to
 * gain, for a value's symbol knows its name). Epochs for the whole index: arrays that are copied
 * when an id comes into their midst, and bitmaps that CRoaring changes under its readers.
 */
#include <tsdb/registry.h>

/* Ids that there can be where options do not say: 16 GiB of records. */
#define SERIES_MAX_DEFAULT (UINT32_C(1) << 28)

static uint32_t *link_of(void *owner, uint32_t id, uint32_t *ret_hash)
{
    const struct tsdb_registry *registry = owner;
    struct tsdb_series *series = tsdb_registry_series(registry, id);

    *ret_hash = series->hash;
    return &series->chain;
}

/* ---- beginning and ending ------------------------------------------------------------------- */

static void init_parts(struct tsdb_registry *registry, uint32_t series_max)
{
    struct tsdb_limbo *limbo = &registry->limbo;

    tsdb_table_init(&registry->series, limbo, sizeof(struct tsdb_series), series_max);
    for (uint32_t count = 1; count <= TSDB_LABELS_MAX; count++) {
        tsdb_table_init(&registry->lists[count], limbo, count * (uint32_t)sizeof(uint32_t),
                        series_max);
    }
    tsdb_symbols_init(&registry->symbols, limbo, registry->seed);
    tsdb_chains_init(&registry->chains, limbo->memory, link_of, registry);
}

static void fini_parts(struct tsdb_registry *registry)
{
    tsdb_chains_fini(&registry->chains);
    tsdb_symbols_fini(&registry->symbols);
    for (uint32_t count = 1; count <= TSDB_LABELS_MAX; count++) {
        tsdb_table_fini(&registry->lists[count]);
    }
    tsdb_table_fini(&registry->series);
}

enum quarry_status tsdb_registry_create(const struct tsdb_registry_options *options,
                                        struct tsdb_registry **ret_registry)
{
    struct tsdb_registry *registry = tsdb_memory_take_zero(&options->memory, sizeof(*registry));

    if (registry == NULL) {
        return QUARRY_NO_MEMORY;
    }
    registry->memory = options->memory;
    tsdb_limbo_init(&registry->limbo, &registry->memory, options->epoch);
    (void)os_random(&registry->seed, sizeof(registry->seed)); /* without it hashes are just known */
    os_mutex_init(&registry->mutex, OS_RANK_TSDB_REGISTRY, 0);
    init_parts(registry, options->series_max == 0 ? SERIES_MAX_DEFAULT : options->series_max);
    if (tsdb_memo_init(&registry->memo, &registry->limbo) != QUARRY_OK) {
        tsdb_registry_destroy(registry);
        return QUARRY_NO_MEMORY;
    }
    *ret_registry = registry;
    return QUARRY_OK;
}

void tsdb_registry_destroy(struct tsdb_registry *registry)
{
    if (registry == NULL) {
        return;
    }
    struct tsdb_memory memory = registry->memory;
    tsdb_memo_fini(&registry->memo);
    fini_parts(registry);
    tsdb_limbo_fini(&registry->limbo);
    tsdb_memory_give(&memory, registry);
}

void tsdb_registry_clear(struct tsdb_registry *registry)
{
    uint32_t series_max = registry->series.number_max;
    uint32_t floor_chunk = registry->series.floor_chunk;

    /* Nothing is in the memo, for no key has come yet; nothing removed waits for readers. */
    Q_ASSERT(registry->memo.entry_count == 0 && registry->fresh == 0 && registry->waiting == 0);
    fini_parts(registry);
    init_parts(registry, series_max);
    registry->series.floor_chunk = floor_chunk; /* ids that files have stay theirs */
    atomic_store_relaxed_u32(&registry->series_count, 0);
}

/* ---- labels --------------------------------------------------------------------------------- */

size_t tsdb_registry_labels(const struct tsdb_registry *registry, uint32_t id,
                            struct tsdb_label *ret_labels)
{
    const struct tsdb_series *series = tsdb_registry_series(registry, id);
    const uint32_t *numbers = tsdb_registry_symbols(registry, series);

    for (uint32_t i = 0; i < series->label_count; i++) {
        const struct tsdb_symbol *symbol = tsdb_symbol_at(&registry->symbols, numbers[i]);
        ret_labels[i] = (struct tsdb_label){.name = tsdb_symbol_text(symbol->parent),
                                            .value = tsdb_symbol_text(symbol)};
    }
    return series->label_count;
}

/* Two different labels, by their numbers. Those of different names are ordered by these. */
static int compare_symbols(const struct tsdb_registry *registry, uint32_t a, uint32_t b)
{
    const struct tsdb_symbol *left = tsdb_symbol_at(&registry->symbols, a);
    const struct tsdb_symbol *right = tsdb_symbol_at(&registry->symbols, b);
    int order = left->parent == right->parent ? 0
                                              : tsdb_slice_compare(tsdb_symbol_text(left->parent),
                                                                   tsdb_symbol_text(right->parent));

    return order != 0 ? order : tsdb_slice_compare(tsdb_symbol_text(left), tsdb_symbol_text(right));
}

int tsdb_registry_compare(const struct tsdb_registry *registry, uint32_t a, uint32_t b)
{
    const struct tsdb_series *left = tsdb_registry_series(registry, a);
    const struct tsdb_series *right = tsdb_registry_series(registry, b);
    const uint32_t *left_numbers = tsdb_registry_symbols(registry, left);
    const uint32_t *right_numbers = tsdb_registry_symbols(registry, right);
    uint32_t common = (uint32_t)size_min_u64(left->label_count, right->label_count);

    for (uint32_t i = 0; i < common; i++) {
        if (left_numbers[i] != right_numbers[i]) {
            int order = compare_symbols(registry, left_numbers[i], right_numbers[i]);
            if (order != 0) {
                return order; /* equal texts are those of two tenants */
            }
        }
    }
    return (left->label_count > right->label_count) - (left->label_count < right->label_count);
}

/* ---- symbols of a tenant -------------------------------------------------------------------- */

static struct tsdb_slice tenant_text(const uint16_t *tenant)
{
    return (struct tsdb_slice){.bytes = (const char *)tenant, .count = sizeof(*tenant)};
}

static const struct tsdb_slice no_text = {.bytes = "", .count = 0};

static struct tsdb_symbol *find_tenant(struct tsdb_registry *registry, uint16_t tenant)
{
    return tsdb_symbol_find(&registry->symbols, NULL, tenant_text(&tenant));
}

struct tsdb_symbol *tsdb_registry_name(struct tsdb_registry *registry, uint16_t tenant,
                                       struct tsdb_slice name)
{
    const struct tsdb_symbol *above = find_tenant(registry, tenant);

    return above == NULL ? NULL : tsdb_symbol_find(&registry->symbols, above, name);
}

struct tsdb_symbol *tsdb_registry_all(struct tsdb_registry *registry, uint16_t tenant)
{
    const struct tsdb_symbol *name = tsdb_registry_name(registry, tenant, no_text);

    return name == NULL ? NULL : tsdb_symbol_find(&registry->symbols, name, no_text);
}

/* ---- finding by labels ---------------------------------------------------------------------- */

/* A series that is looked for, and made if it is not there. */
struct wanted {
    uint16_t tenant;
    uint32_t count;                                   /* of symbols: one more than labels */
    struct tsdb_symbol *symbols[TSDB_LABELS_MAX + 1]; /* its tenant's, then its labels'; or NULL */
    uint32_t numbers[TSDB_LABELS_MAX];                /* of its labels' */
    uint32_t id, list;                                /* 0: not yet */
    uint32_t known_id;                                /* that it is to have; 0: any */
};

/* The symbols that there are. Returns: whether these are all. */
static bool find_symbols(struct tsdb_registry *registry, const struct tsdb_labels *labels,
                         struct wanted *wanted)
{
    const struct tsdb_symbol *tenant = find_tenant(registry, wanted->tenant);
    bool has_all = tenant != NULL;

    wanted->symbols[0] = NULL;
    for (size_t i = 0; i < labels->count; i++) {
        const struct tsdb_label *label = &labels->labels[i];
        const struct tsdb_symbol *name =
            tenant == NULL ? NULL : tsdb_symbol_find(&registry->symbols, tenant, label->name);
        struct tsdb_symbol *value =
            name == NULL ? NULL : tsdb_symbol_find(&registry->symbols, name, label->value);
        wanted->symbols[i + 1] = value;
        wanted->numbers[i] = value == NULL ? 0 : value->number;
        has_all = has_all && value != NULL;
    }
    return has_all;
}

uint32_t tsdb_registry_hash(const struct tsdb_registry *registry, uint16_t tenant,
                            const uint32_t *numbers, size_t count)
{
    return (uint32_t)hash_xxh3_u64(numbers, count * sizeof(numbers[0]), registry->seed + tenant);
}

/* The series with these labels; TSDB_SERIES_NONE. */
static uint32_t find_series(const struct tsdb_registry *registry, uint16_t tenant,
                            const uint32_t *numbers, size_t count, uint32_t hash)
{
    uint32_t id = tsdb_chains_first(&registry->chains, hash);

    while (id != TSDB_SERIES_NONE) {
        const struct tsdb_series *series = tsdb_registry_series(registry, id);
        if (series->hash == hash && series->tenant == tenant && series->label_count == count &&
            (count == 0 || memcmp(tsdb_registry_symbols(registry, series), numbers,
                                  count * sizeof(numbers[0])) == 0)) {
            break;
        }
        id = series->chain;
    }
    return id;
}

/* Has the memo find a series by a key, and by no other. */
static void remember(struct tsdb_registry *registry, const struct tsdb_memo_key *key, uint32_t id)
{
    struct tsdb_series *series = tsdb_registry_series(registry, id);

    if (key == NULL || tsdb_memo_find(&registry->memo, *key) == id) {
        return;
    }
    tsdb_memo_remove(&registry->memo, series->place, id);
    series->place = key->place;
    tsdb_memo_insert(&registry->memo, *key, id);
}

static uint32_t lookup(struct tsdb_registry *registry, const struct tsdb_labels *labels,
                       const struct tsdb_memo_key *key, struct wanted *wanted)
    Q_REQUIRES(&registry->mutex)
{
    uint32_t id = TSDB_SERIES_NONE;

    wanted->count = (uint32_t)labels->count + 1;
    wanted->id = wanted->list = wanted->known_id = 0;
    if (find_symbols(registry, labels, wanted)) {
        id = find_series(
            registry, wanted->tenant, wanted->numbers, labels->count,
            tsdb_registry_hash(registry, wanted->tenant, wanted->numbers, labels->count));
    }
    if (id != TSDB_SERIES_NONE) {
        remember(registry, key, id);
    }
    return id;
}

enum quarry_status tsdb_registry_lookup(struct tsdb_registry *registry, uint16_t tenant,
                                        const struct tsdb_labels *labels,
                                        const struct tsdb_memo_key *key, uint32_t *ret_id)
{
    if (!tsdb_labels_are_valid(labels)) {
        return QUARRY_BAD_INPUT;
    }
    struct wanted wanted;
    wanted.tenant = tenant;
    os_mutex_lock(&registry->mutex);
    uint32_t id = lookup(registry, labels, key, &wanted);
    os_mutex_unlock(&registry->mutex);
    if (id == TSDB_SERIES_NONE) {
        return QUARRY_NOT_FOUND;
    }
    *ret_id = id;
    return QUARRY_OK;
}

static bool has_labels(const struct tsdb_registry *registry, const struct tsdb_series *series,
                       const struct tsdb_labels *labels)
{
    const uint32_t *numbers = tsdb_registry_symbols(registry, series);
    bool has = series->label_count == labels->count;

    for (size_t i = 0; i < labels->count && has; i++) {
        const struct tsdb_symbol *symbol = tsdb_symbol_at(&registry->symbols, numbers[i]);
        has = tsdb_slice_equal(tsdb_symbol_text(symbol), labels->labels[i].value) &&
              tsdb_slice_equal(tsdb_symbol_text(symbol->parent), labels->labels[i].name);
    }
    return has;
}

bool tsdb_registry_is(struct tsdb_registry *registry, uint32_t id, uint16_t tenant,
                      const struct tsdb_labels *labels)
{
    bool is = false;

    os_mutex_lock(&registry->mutex);
    if (tsdb_table_has(&registry->series, id)) {
        const struct tsdb_series *series = tsdb_registry_series(registry, id);
        is = (series->flags & TSDB_SERIES_GONE) == 0 && series->tenant == tenant &&
             has_labels(registry, series, labels);
    }
    os_mutex_unlock(&registry->mutex);
    return is;
}

/* ---- making --------------------------------------------------------------------------------- */

/* A value below a name below the tenant. */
static enum quarry_status get_value(struct tsdb_registry *registry, struct tsdb_symbol *tenant,
                                    const struct tsdb_label *label, struct tsdb_symbol **ret_symbol)
{
    struct tsdb_symbol *name;
    enum quarry_status status = tsdb_symbol_get(&registry->symbols, tenant, label->name, &name);

    if (status != QUARRY_OK) {
        tsdb_symbol_release(&registry->symbols, tenant);
        return status;
    }
    status = tsdb_symbol_get(&registry->symbols, name, label->value, ret_symbol);
    if (status != QUARRY_OK) {
        tsdb_symbol_release(&registry->symbols, name);
    }
    return status;
}

/* Those that are not there yet. */
static enum quarry_status get_symbols(struct tsdb_registry *registry,
                                      const struct tsdb_labels *labels, struct wanted *wanted)
{
    const struct tsdb_label all = {.name = no_text, .value = no_text};
    struct tsdb_symbol *tenant;
    enum quarry_status status =
        tsdb_symbol_get(&registry->symbols, NULL, tenant_text(&wanted->tenant), &tenant);

    for (size_t i = 0; i < wanted->count && status == QUARRY_OK; i++) {
        if (wanted->symbols[i] == NULL) {
            status = get_value(registry, tenant, i == 0 ? &all : &labels->labels[i - 1],
                               &wanted->symbols[i]);
        }
        if (status == QUARRY_OK && i > 0) {
            wanted->numbers[i - 1] = wanted->symbols[i]->number;
        }
    }
    return status;
}

static enum quarry_status take_id(struct tsdb_registry *registry, struct wanted *wanted)
{
    if (wanted->known_id == TSDB_SERIES_NONE) {
        return tsdb_table_take(&registry->series, &wanted->id);
    }
    enum quarry_status status = tsdb_table_take_at(&registry->series, wanted->known_id);
    if (status == QUARRY_OK) {
        wanted->id = wanted->known_id;
    }
    return status;
}

/* The record, with its list of labels. */
static enum quarry_status make_record(struct tsdb_registry *registry, struct wanted *wanted)
{
    uint32_t label_count = wanted->count - 1;
    enum quarry_status status = take_id(registry, wanted);

    if (status == QUARRY_OK && label_count != 0) {
        status = tsdb_table_take(&registry->lists[label_count], &wanted->list);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    struct tsdb_series *series = tsdb_registry_series(registry, wanted->id);
    series->tenant = wanted->tenant;
    series->labels = wanted->list;
    series->label_count = (uint8_t)label_count;
    series->hash = tsdb_registry_hash(registry, wanted->tenant, wanted->numbers, label_count);
    if (label_count != 0) {
        memcpy(tsdb_table_at(&registry->lists[label_count], wanted->list), wanted->numbers,
               label_count * sizeof(wanted->numbers[0]));
    }
    return QUARRY_OK;
}

/*
 * All of its symbols' postings. Returns: how many were added to; fewer than all: there is no memory
 * for the next.
 */
static uint32_t make_postings(struct tsdb_registry *registry, const struct wanted *wanted)
{
    uint32_t done = 0;

    while (done < wanted->count &&
           tsdb_symbol_add(&registry->symbols, wanted->symbols[done], wanted->id) == QUARRY_OK) {
        done++;
    }
    return done;
}

/* Everything as it was. Postings first: what a symbol that goes had below it. */
static void unmake(struct tsdb_registry *registry, const struct wanted *wanted, uint32_t done)
{
    for (uint32_t i = 0; i < done; i++) {
        tsdb_symbol_remove(&registry->symbols, wanted->symbols[i], wanted->id);
    }
    for (uint32_t i = 0; i < wanted->count; i++) {
        tsdb_symbol_release(&registry->symbols, wanted->symbols[i]);
    }
    if (wanted->list != 0) {
        tsdb_table_give(&registry->lists[wanted->count - 1], wanted->list);
    }
    if (wanted->id != 0) {
        tsdb_table_give(&registry->series, wanted->id);
    }
}

static enum quarry_status make_series(struct tsdb_registry *registry,
                                      const struct tsdb_labels *labels, struct wanted *wanted)
    Q_REQUIRES(&registry->mutex)
{
    enum quarry_status status = tsdb_chains_begin(&registry->chains);
    uint32_t done = 0;

    if (status == QUARRY_OK) {
        status = get_symbols(registry, labels, wanted);
    }
    if (status == QUARRY_OK) {
        status = make_record(registry, wanted);
    }
    if (status == QUARRY_OK) {
        done = make_postings(registry, wanted);
        status = done == wanted->count ? QUARRY_OK : QUARRY_NO_MEMORY;
    }
    if (status != QUARRY_OK) {
        unmake(registry, wanted, done);
        return status;
    }
    tsdb_chains_insert(&registry->chains, wanted->id);
    atomic_bump_relaxed_u32(&registry->series_count, 1);
    return QUARRY_OK;
}

enum quarry_status tsdb_registry_get(struct tsdb_registry *registry, uint16_t tenant,
                                     const struct tsdb_labels *labels,
                                     const struct tsdb_memo_key *key, uint32_t *ret_id,
                                     bool *ret_is_new)
{
    enum quarry_status status = QUARRY_OK;

    if (!tsdb_labels_are_valid(labels)) {
        return QUARRY_BAD_INPUT;
    }
    struct wanted wanted;
    wanted.tenant = tenant;
    os_mutex_lock(&registry->mutex);
    uint32_t id = lookup(registry, labels, key, &wanted);
    bool is_new = id == TSDB_SERIES_NONE;
    if (is_new) {
        status = make_series(registry, labels, &wanted);
        id = wanted.id;
        if (status == QUARRY_OK) {
            remember(registry, key, id);
        }
    }
    os_mutex_unlock(&registry->mutex);
    if (status == QUARRY_OK) {
        *ret_id = id;
        *ret_is_new = is_new;
    }
    return status;
}

enum quarry_status tsdb_registry_restore(struct tsdb_registry *registry, uint32_t id,
                                         uint16_t tenant, const struct tsdb_labels *labels,
                                         bool *ret_is_new)
{
    enum quarry_status status = QUARRY_OK;

    if (!tsdb_labels_are_valid(labels) || id == TSDB_SERIES_NONE) {
        return QUARRY_BAD_INPUT;
    }
    struct wanted wanted;
    wanted.tenant = tenant;
    os_mutex_lock(&registry->mutex);
    uint32_t found = lookup(registry, labels, NULL, &wanted);
    bool is_new = found == TSDB_SERIES_NONE;
    if (is_new) {
        wanted.known_id = id;
        status = make_series(registry, labels, &wanted);
    } else if (found != id) {
        status = QUARRY_EXISTS;
    }
    os_mutex_unlock(&registry->mutex);
    if (status == QUARRY_OK) {
        *ret_is_new = is_new;
    }
    return status;
}

void tsdb_registry_keep_id(struct tsdb_registry *registry, uint32_t id)
{
    os_mutex_lock(&registry->mutex);
    tsdb_table_keep(&registry->series, id);
    os_mutex_unlock(&registry->mutex);
}

bool tsdb_registry_has(struct tsdb_registry *registry, uint32_t id)
{
    os_mutex_lock(&registry->mutex);
    bool has = tsdb_table_has(&registry->series, id) &&
               (tsdb_registry_series(registry, id)->flags & TSDB_SERIES_GONE) == 0;
    os_mutex_unlock(&registry->mutex);
    return has;
}
