/*
 * Selecting.
 *
 *     1. the smallest set that a matcher asks for by its texts      ids, sorted
 *     2. what other matchers ask for by texts, or exclude           filtered by postings
 *     3. what is left, expressions above all                        filtered by each id's label
 *
 * A matcher that the empty text does not pass wants the label, and is *positive*. One of a few
 * texts has a set whose size is known before it is read. When no positive matcher is of texts, step
 * 1 walks over the values of one's name, the one that has fewest, and takes the sets of those that
 * pass. When none is positive, it takes all series of the tenant.
 *
 * Step 3 looks at values of series that are left, not at all values that there are: of a thousand
 * series it asks a thousand times at most, though the name has a million values. Series that follow
 * each other share values, and the last answers are kept. Where more series are left than the name
 * has values, it walks over the values instead, and filters by the sets of those that pass, or that
 * do not.
 *
 * Invariants
 *   1. Ids are in rising order between steps.
 *   2. Symbols are used inside the epoch that was entered before they were found: they are whole,
 *      though they may have gone; then they have no series.
 *
 * Locking: the registry's mutex around each look at an index: a lookup of a symbol, one posting
 * list or 4,096 ids of a filter, 128 symbols of a walk. Texts are matched without it.
 *
 * Cost: as select.h says. Union of disjoint sets (a series has one value of a name) is putting them
 * together and sorting.
 *
 * Rejected: bitmaps for what is in between. Queries end in lists of ids, nearly all of them short.
 */
#include <tsdb/select.h>

/* Ids that are filtered in one hold of the mutex. */
#define FILTER_BATCH 4096u
/* Texts that a matcher of texts is looked up by. Others are matched with values that there are. */
#define TEXTS_MAX 256u
/* Verdicts on values that step 3 keeps: 2.5 KiB of stack. */
#define VERDICTS 512u
/* Looking at a series' label costs this many times what walking past a value does. */
#define LABEL_COST 2u

struct selection {
    struct tsdb_registry *registry;
    const struct tsdb_selector *selector;
    struct tsdb_ids *ids;
};

/* What is known of a matcher before it is used. */
struct plan {
    const struct tsdb_matcher *matcher;
    const struct tsdb_symbol *name; /* NULL: no series has the label */
    bool is_positive;
    bool is_of_texts; /* of a few: looked up one by one */
    uint64_t size;    /* of a positive one of texts: how many series; else of values */
    bool is_done;
};

/* ---- symbols -------------------------------------------------------------------------------- */

void tsdb_symbol_walk_next(struct tsdb_symbol_walk *walk, struct tsdb_registry *registry)
{
    const struct tsdb_symbol *at =
        walk->last == NULL ? walk->parent->children.first : walk->last->next;

    (void)registry;
    walk->count = 0;
    for (; at != NULL && walk->count < TSDB_SELECT_BATCH; at = at->next) {
        walk->last = at;
        if (tsdb_symbol_count(at) != 0) {
            walk->batch[walk->count++] = at;
        }
    }
}

const struct tsdb_symbol *tsdb_select_label(const struct tsdb_registry *registry,
                                            const struct tsdb_series *series,
                                            const struct tsdb_symbol *name)
{
    const uint32_t *numbers = tsdb_registry_symbols(registry, series);

    for (uint32_t i = 0; i < series->label_count; i++) {
        const struct tsdb_symbol *symbol = tsdb_symbol_at(&registry->symbols, numbers[i]);
        if (symbol->parent == name) {
            return symbol;
        }
    }
    return NULL;
}

/* ---- step 1 --------------------------------------------------------------------------------- */

/* Puts a set behind the ids. Memory is taken without the mutex; so it is asked again how many. */
static enum quarry_status take_postings(struct selection *selection,
                                        const struct tsdb_symbol *symbol)
{
    struct tsdb_ids *ids = selection->ids;
    size_t more = 1;
    bool fits = false;

    while (!fits) {
        enum quarry_status status = tsdb_ids_reserve(ids, more);
        if (status != QUARRY_OK) {
            return status;
        }
        os_mutex_lock(&selection->registry->mutex);
        more = tsdb_symbol_count(symbol);
        fits = ids->count + more <= ids->capacity;
        if (fits) {
            tsdb_postings_read(&symbol->postings, &ids->ids[ids->count]);
            ids->count += more;
        }
        os_mutex_unlock(&selection->registry->mutex);
    }
    return QUARRY_OK;
}

static enum quarry_status take_all(struct selection *selection)
{
    struct tsdb_registry *registry = selection->registry;

    os_mutex_lock(&registry->mutex);
    const struct tsdb_symbol *all = tsdb_registry_all(registry, selection->selector->tenant);
    os_mutex_unlock(&registry->mutex);
    return all == NULL ? QUARRY_OK : take_postings(selection, all);
}

static const struct tsdb_symbol *find_value(struct tsdb_registry *registry,
                                            const struct tsdb_symbol *name, struct tsdb_slice text)
{
    os_mutex_lock(&registry->mutex);
    const struct tsdb_symbol *symbol = tsdb_symbol_find(&registry->symbols, name, text);
    os_mutex_unlock(&registry->mutex);
    return symbol;
}

static enum quarry_status take_texts(struct selection *selection, const struct plan *plan)
{
    const struct tsdb_pattern *texts = tsdb_matcher_texts(plan->matcher);
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < texts->count && status == QUARRY_OK; i++) {
        const struct tsdb_symbol *symbol =
            find_value(selection->registry, plan->name, texts->alternatives[i].text);
        if (symbol != NULL) {
            status = take_postings(selection, symbol);
        }
    }
    return status;
}

/* Puts the sets of all values behind the ids that pass, or that do not. */
static enum quarry_status take_values(struct selection *selection, const struct plan *plan,
                                      bool that_pass)
{
    struct tsdb_symbol_walk walk = {.parent = plan->name};
    enum quarry_status status = QUARRY_OK;

    do {
        os_mutex_lock(&selection->registry->mutex);
        tsdb_symbol_walk_next(&walk, selection->registry);
        os_mutex_unlock(&selection->registry->mutex);
        for (size_t i = 0; i < walk.count && status == QUARRY_OK; i++) {
            struct tsdb_slice text = tsdb_symbol_text(walk.batch[i]);
            if (tsdb_matcher_passes(plan->matcher, text) == that_pass) {
                status = take_postings(selection, walk.batch[i]);
            }
        }
    } while (walk.count != 0 && status == QUARRY_OK);
    return status;
}

/* ---- step 2 --------------------------------------------------------------------------------- */

/* Keeps those of the ids that are, or are not, in one set. */
static void filter_by_postings(struct selection *selection, const struct tsdb_symbol *symbol,
                               bool keeps_members)
{
    struct tsdb_ids *ids = selection->ids;
    size_t kept = 0;

    for (size_t from = 0; from < ids->count; from += FILTER_BATCH) {
        size_t count = size_min_u64(FILTER_BATCH, ids->count - from);
        memmove(&ids->ids[kept], &ids->ids[from], count * sizeof(ids->ids[0]));
        os_mutex_lock(&selection->registry->mutex);
        tsdb_postings_filter(&symbol->postings, keeps_members, &ids->ids[kept], &count);
        os_mutex_unlock(&selection->registry->mutex);
        kept += count;
    }
    ids->count = kept;
}

/* Keeps those of the ids that are, or are not, among others; both in rising order. */
static void filter_by_ids(struct tsdb_ids *ids, const struct tsdb_ids *others, bool keeps_members)
{
    size_t kept = 0, other = 0;

    for (size_t i = 0; i < ids->count; i++) {
        uint32_t id = ids->ids[i];
        while (other < others->count && others->ids[other] < id) {
            other++;
        }
        bool is_member = other < others->count && others->ids[other] == id;
        ids->ids[kept] = id;
        kept += is_member == keeps_members;
    }
    ids->count = kept;
}

/* By the sets of values that decide: those that pass where they are wanted, else those that do not.
 */
static enum quarry_status filter_by_values(struct selection *selection, const struct plan *plan)
{
    struct tsdb_ids others = {.memory = selection->ids->memory};
    struct selection aside = {selection->registry, selection->selector, &others};
    enum quarry_status status = take_values(&aside, plan, plan->is_positive);

    if (status == QUARRY_OK) {
        status = tsdb_ids_sort(&others);
    }
    if (status == QUARRY_OK) {
        filter_by_ids(selection->ids, &others, plan->is_positive);
    }
    tsdb_ids_fini(&others);
    return status;
}

/* ---- step 3 --------------------------------------------------------------------------------- */

/* Verdicts on values, by their symbols' numbers; 0 is no symbol's. */
struct verdicts {
    uint32_t number[VERDICTS];
    bool passes[VERDICTS];
};

static bool passes_value(struct verdicts *verdicts, const struct plan *plan,
                         const struct tsdb_symbol *symbol)
{
    if (symbol == NULL) {
        return plan->matcher->matches_empty;
    }
    uint32_t slot = symbol->number % VERDICTS;
    if (verdicts->number[slot] != symbol->number) {
        verdicts->number[slot] = symbol->number;
        verdicts->passes[slot] = tsdb_matcher_passes(plan->matcher, tsdb_symbol_text(symbol));
    }
    return verdicts->passes[slot];
}

static void filter_by_labels(struct selection *selection, const struct plan *plan)
{
    struct tsdb_registry *registry = selection->registry;
    struct tsdb_ids *ids = selection->ids;
    struct verdicts verdicts = {.number = {0}};
    size_t kept = 0;

    for (size_t i = 0; i < ids->count; i++) {
        uint32_t id = ids->ids[i];
        const struct tsdb_series *series = tsdb_registry_series(registry, id);
        ids->ids[kept] = id;
        kept += passes_value(&verdicts, plan, tsdb_select_label(registry, series, plan->name));
    }
    ids->count = kept;
}

/* ---- all steps ------------------------------------------------------------------------------ */

/* How many series have one of the matcher's texts. */
static uint64_t count_texts(struct tsdb_registry *registry, const struct plan *plan)
    Q_REQUIRES(&registry->mutex)
{
    const struct tsdb_pattern *texts = tsdb_matcher_texts(plan->matcher);
    uint64_t count = 0;

    for (size_t i = 0; i < texts->count; i++) {
        const struct tsdb_symbol *symbol =
            tsdb_symbol_find(&registry->symbols, plan->name, texts->alternatives[i].text);
        count += symbol == NULL ? 0 : tsdb_symbol_count(symbol);
    }
    return count;
}

static struct plan plan_one(struct selection *selection, const struct tsdb_matcher *matcher)
{
    struct tsdb_registry *registry = selection->registry;
    const struct tsdb_pattern *texts = tsdb_matcher_texts(matcher);
    struct plan plan = {.matcher = matcher,
                        .is_positive = !matcher->matches_empty,
                        .is_of_texts = texts != NULL && texts->count <= TEXTS_MAX &&
                                       matcher->is_negated == matcher->matches_empty};

    os_mutex_lock(&registry->mutex);
    /* A name of no text is the registry's own: no label has it. */
    plan.name = matcher->name.count == 0
                    ? NULL
                    : tsdb_registry_name(registry, selection->selector->tenant, matcher->name);
    if (plan.name != NULL) {
        plan.size = plan.is_of_texts && plan.is_positive ? count_texts(registry, &plan)
                                                         : tsdb_symbol_count(plan.name);
    }
    os_mutex_unlock(&registry->mutex);
    return plan;
}

/* The one to begin with; NULL: all series. */
static struct plan *choose(struct plan *plans, size_t count)
{
    struct plan *best = NULL;

    for (size_t i = 0; i < count; i++) {
        struct plan *plan = &plans[i];
        if (!plan->is_positive) {
            continue;
        }
        bool is_better = best == NULL || (plan->is_of_texts && !best->is_of_texts) ||
                         (plan->is_of_texts == best->is_of_texts && plan->size < best->size);
        best = is_better ? plan : best;
    }
    return best;
}

static enum quarry_status begin(struct selection *selection, struct plan *plan)
{
    enum quarry_status status;

    if (plan == NULL) {
        return take_all(selection);
    }
    plan->is_done = true;
    status = plan->is_of_texts ? take_texts(selection, plan) : take_values(selection, plan, true);
    return status == QUARRY_OK ? tsdb_ids_sort(selection->ids) : status;
}

/* By a matcher of texts that is not the first. Returns: false: it is of more than one. */
static bool filter_by_text(struct selection *selection, const struct plan *plan)
{
    const struct tsdb_pattern *texts = tsdb_matcher_texts(plan->matcher);

    if (!plan->is_of_texts || texts->count != 1) {
        return false;
    }
    const struct tsdb_symbol *symbol =
        find_value(selection->registry, plan->name, texts->alternatives[0].text);
    if (symbol != NULL) {
        filter_by_postings(selection, symbol, plan->is_positive);
    } else if (plan->is_positive) {
        selection->ids->count = 0;
    }
    return true;
}

static enum quarry_status filter(struct selection *selection, const struct plan *plan)
{
    size_t count = selection->ids->count;

    if (count == 0 || plan->is_done || plan->name == NULL || filter_by_text(selection, plan)) {
        return QUARRY_OK; /* without the name, who is here passes: run says so */
    }
    if (!plan->is_of_texts && count / LABEL_COST > plan->size) {
        return filter_by_values(selection, plan);
    }
    filter_by_labels(selection, plan);
    return QUARRY_OK;
}

/* Those of texts first: they leave least for the others. */
static enum quarry_status run(struct selection *selection, struct plan *plans, size_t count)
{
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < count; i++) {
        if (plans[i].is_positive && plans[i].name == NULL) {
            return QUARRY_OK; /* no series has the label that it wants */
        }
    }
    status = begin(selection, choose(plans, count));
    for (uint32_t of_texts = 2; of_texts-- > 0 && status == QUARRY_OK;) {
        for (size_t i = 0; i < count && status == QUARRY_OK; i++) {
            if (plans[i].is_of_texts == (of_texts == 1)) {
                status = filter(selection, &plans[i]);
            }
        }
    }
    return status;
}

enum quarry_status tsdb_select(struct tsdb_registry *registry, const struct tsdb_selector *selector,
                               const struct tsdb_memory *memory, struct tsdb_ids *ret_ids)
{
    struct tsdb_ids ids = {.memory = memory};
    struct selection selection = {registry, selector, &ids};
    size_t count = selector->matcher_count;
    struct plan *plans = tsdb_memory_take(memory, (count + 1) * sizeof(plans[0]));

    if (plans == NULL) {
        return QUARRY_NO_MEMORY;
    }
    quarry_epoch_enter(registry->limbo.epoch);
    for (size_t i = 0; i < count; i++) {
        plans[i] = plan_one(&selection, &selector->matchers[i]);
    }
    enum quarry_status status = run(&selection, plans, count);
    quarry_epoch_leave(registry->limbo.epoch);
    tsdb_memory_give(memory, plans);
    if (status != QUARRY_OK) {
        tsdb_ids_fini(&ids);
        return status;
    }
    *ret_ids = ids;
    return QUARRY_OK;
}

/* ---- order ---------------------------------------------------------------------------------- */

static int compare_labels(void *argument, uint32_t a, uint32_t b)
{
    return tsdb_registry_compare(argument, a, b);
}

enum quarry_status tsdb_select_sort(const struct tsdb_registry *registry, struct tsdb_ids *ids)
{
    return tsdb_ids_sort_by(ids, compare_labels, (void *)(uintptr_t)registry);
}
