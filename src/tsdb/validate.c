/*
 * Checking a store against itself.
 *
 *     open     every chunklet handed out is in one chain; samples in chains are those counted;
 *              what a reader sees rises, and is in the window
 *     sealed   entries by local number and time; as many values as times; they rise likewise
 *     charges  accounts hold what windows hold, and nothing else
 *
 * Everything is read as queries read it, so a chain that does not lead where it should is found by
 * the samples that are missing.
 */
#include <tsdb/store.h>

#include <tsdb/exemplars.h>
#include <tsdb/open_read.h>
#include <tsdb/sealed.h>

struct check {
    struct quarry_tsdb *tsdb;
    const struct tsdb_window *window;
    struct quarry_error *error;
    struct tsdb_open_read read;
    uint64_t open_bytes, sealed_bytes; /* of all windows so far */
    int64_t t_ms[QUARRY_TSDB_BLOCK_SAMPLES];
    uint64_t bits[QUARRY_TSDB_BLOCK_SAMPLES];
    struct tsdb_histogram_batch batch;
};

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            return error_set(check->error, QUARRY_CORRUPT, __VA_ARGS__);                           \
        }                                                                                          \
    } while (0)

/* Whether a block rises from `*last_ms` on, within the window; moves `*last_ms`. */
static enum quarry_status block_check(struct check *check, uint32_t count, int64_t *last_ms)
{
    for (uint32_t i = 0; i < count; i++) {
        CHECK(check->t_ms[i] > *last_ms, "window %d: time %lld does not rise",
              check->window->number, (long long)check->t_ms[i]);
        *last_ms = check->t_ms[i];
    }
    CHECK(count == 0 ||
              (check->t_ms[0] >= check->window->start_ms && *last_ms < check->window->end_ms),
          "window %d: time %lld is another's", check->window->number, (long long)*last_ms);
    return QUARRY_OK;
}

/* ---- open ----------------------------------------------------------------------------------- */

/* Adds a chain's chunklets and samples up. */
static enum quarry_status chain_count(struct check *check, const struct tsdb_open_shard *shard,
                                      uint32_t number, uint64_t *chunklet_count,
                                      uint64_t *sample_count)
{
    while (number != TSDB_CHUNKLET_NONE) {
        CHECK(number <= shard->used_count, "window %d: chunklet %u was not handed out",
              check->window->number, number);
        struct tsdb_chunklet_view view = tsdb_chunklet_look(tsdb_open_chunklet(shard, number));
        *chunklet_count += 1;
        *sample_count += view.count;
        CHECK(*chunklet_count <= shard->used_count, "window %d: a chain does not end",
              check->window->number);
        number = view.next;
    }
    return QUARRY_OK;
}

/* What is read of a series, from where reading has begun. */
static enum quarry_status read_check(struct check *check)
{
    enum quarry_status status = QUARRY_OK;
    int64_t last_ms = INT64_MIN;
    uint32_t count = 1;

    while (status == QUARRY_OK && count != 0) {
        count = tsdb_open_read_take(&check->read, QUARRY_TSDB_BLOCK_SAMPLES, check->t_ms,
                                    check->bits, &check->batch);
        status = block_check(check, count, &last_ms);
    }
    return status != QUARRY_OK ? status : tsdb_open_read_status(&check->read);
}

static enum quarry_status chain_read(struct check *check, const struct tsdb_open_shard *shard,
                                     const struct tsdb_chain *chain)
{
    const struct tsdb_memory *memory = &check->tsdb->small[TSDB_PART_QUERY];
    enum quarry_status status = tsdb_open_read_begin(&check->read, memory, shard, chain);

    return status == QUARRY_OK ? read_check(check) : status;
}

/* A shard of a filling as readers see it: what lay sealed before, merged with what came. */
static enum quarry_status filling_check(struct check *check, const struct tsdb_open *open,
                                        uint32_t shard)
{
    const struct tsdb_memory *memory = &check->tsdb->small[TSDB_PART_QUERY];
    const struct tsdb_window *base = tsdb_open_base(open);
    const struct tsdb_sealed_shard *sealed = &base->sealed_shard[shard];
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = 0; i < sealed->entry_count && status == QUARRY_OK; i++) {
        uint32_t id = tsdb_sealed_entry_at(base, sealed, i)->local * TSDB_SHARD_COUNT + shard;
        status = tsdb_open_read_begin_filling(&check->read, memory, open, id, INT64_MIN);
        if (status == QUARRY_OK) {
            status = read_check(check);
        }
    }
    return status;
}

static enum quarry_status open_check(struct check *check, const struct tsdb_open *open,
                                     uint32_t shard)
{
    const struct tsdb_open_shard *own = &open->shard[shard];
    uint64_t chunklet_count = 0, sample_count = 0;
    enum quarry_status status = QUARRY_OK;
    const struct tsdb_chain *chain;

    for (uint32_t id = shard; status == QUARRY_OK && (chain = tsdb_open_chain(open, id)) != NULL;
         id += TSDB_SHARD_COUNT) {
        status = chain_count(check, own, atomic_load_acquire_u32(&chain->first), &chunklet_count,
                             &sample_count);
        if (status == QUARRY_OK) {
            status = chain_count(check, own, atomic_load_acquire_u32(&chain->late), &chunklet_count,
                                 &sample_count);
        }
        if (status == QUARRY_OK) {
            status = chain_read(check, own, chain);
        }
    }
    if (status != QUARRY_OK) {
        return status;
    }
    CHECK(chunklet_count == own->used_count && own->promised_count + own->holder_count == 0,
          "window %d, shard %u: %llu chunklets in chains, %u handed out, %u promised",
          check->window->number, shard, (unsigned long long)chunklet_count, own->used_count,
          own->promised_count);
    CHECK(sample_count == atomic_load_relaxed_u64(&own->sample_count),
          "window %d, shard %u: %llu samples in chains", check->window->number, shard,
          (unsigned long long)sample_count);
    return QUARRY_OK;
}

/* ---- sealed --------------------------------------------------------------------------------- */

/* All entries of one series, from `index` on. `ret_next`: the entry behind them. */
static enum quarry_status series_check(struct check *check, uint32_t shard, uint32_t index,
                                       uint32_t *ret_next)
{
    const struct tsdb_sealed_shard *sealed = &check->window->sealed_shard[shard];
    uint32_t local = tsdb_sealed_entry_at(check->window, sealed, index)->local, count = 1;
    uint64_t expected = 0, found = 0;
    struct tsdb_sealed_read read;
    int64_t last_ms = INT64_MIN;
    enum quarry_status status = QUARRY_OK;

    for (; index < sealed->entry_count &&
           tsdb_sealed_entry_at(check->window, sealed, index)->local == local;
         index++) {
        expected += tsdb_sealed_count(tsdb_sealed_entry_at(check->window, sealed, index));
    }
    tsdb_sealed_read_begin(&read, check->window, shard, local, INT64_MIN);
    while (status == QUARRY_OK && count != 0) {
        status = tsdb_sealed_read_take(&read, check->t_ms, check->bits, &check->batch, &count);
        found += count;
        if (status == QUARRY_OK) {
            status = block_check(check, count, &last_ms);
        }
    }
    if (status == QUARRY_NO_MEMORY) {
        return status;
    }
    CHECK(status == QUARRY_OK && found == expected,
          "window %d, shard %u, series %u: %llu samples of %llu", check->window->number, shard,
          local, (unsigned long long)found, (unsigned long long)expected);
    *ret_next = index;
    return QUARRY_OK;
}

static enum quarry_status sealed_check(struct check *check, uint32_t shard)
{
    const struct tsdb_sealed_shard *sealed = &check->window->sealed_shard[shard];
    enum quarry_status status = QUARRY_OK;
    uint32_t next = 0;

    for (uint32_t i = 0; i < sealed->entry_count && status == QUARRY_OK; i = next) {
        status = series_check(check, shard, i, &next);
        if (status == QUARRY_OK && next < sealed->entry_count) {
            CHECK(tsdb_sealed_entry_at(check->window, sealed, i)->local <
                      tsdb_sealed_entry_at(check->window, sealed, next)->local,
                  "window %d, shard %u: entries are not in order", check->window->number, shard);
        }
    }
    return status;
}

/* ---- all ------------------------------------------------------------------------------------ */

static void charges_add(struct check *check, const struct tsdb_open *open)
{
    check->sealed_bytes += atomic_load_relaxed_u64(&check->window->sealed.charged_bytes);
    if (open == NULL) {
        return;
    }
    if (tsdb_open_base(open) != NULL) {
        check->sealed_bytes += atomic_load_relaxed_u64(&tsdb_open_base(open)->sealed.charged_bytes);
    }
    check->open_bytes += atomic_load_relaxed_u64(&open->chains.charged_bytes);
    for (uint32_t i = 0; i < TSDB_SHARD_COUNT; i++) {
        check->open_bytes += atomic_load_relaxed_u64(&open->shard[i].chunklets.charged_bytes);
    }
}

static enum quarry_status window_check(struct check *check)
{
    const struct tsdb_open *open = tsdb_window_open(check->window);
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = 0; i < TSDB_SHARD_COUNT && status == QUARRY_OK; i++) {
        if (tsdb_window_is_sealed(check->window, i)) {
            status = sealed_check(check, i);
        } else {
            CHECK(open != NULL, "window %d: shard %u is neither open nor sealed",
                  check->window->number, i);
            status = open_check(check, open, i);
            if (status == QUARRY_OK && tsdb_open_base(open) != NULL) {
                status = filling_check(check, open, i);
            }
        }
    }
    charges_add(check, open);
    return status;
}

/* Nothing else is charged to the accounts of samples; but windows that only a query keeps. */
static enum quarry_status charges_check(struct check *check, bool are_all)
{
    struct quarry_account_state open, sealed;

    quarry_account_read(check->tsdb->part[TSDB_PART_OPEN], &open);
    quarry_account_read(check->tsdb->part[TSDB_PART_SEALED], &sealed);
    CHECK(open.own_bytes >= check->open_bytes && sealed.own_bytes >= check->sealed_bytes &&
              (!are_all ||
               (open.own_bytes == check->open_bytes && sealed.own_bytes == check->sealed_bytes)),
          "%llu open and %llu sealed bytes are charged, windows have %llu and %llu",
          (unsigned long long)open.own_bytes, (unsigned long long)sealed.own_bytes,
          (unsigned long long)check->open_bytes, (unsigned long long)check->sealed_bytes);
    return QUARRY_OK;
}

static enum quarry_status windows_check(struct check *check)
{
    struct quarry_tsdb *tsdb = check->tsdb;
    struct tsdb_view *view = tsdb_view_acquire(&tsdb->views);
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = 0; i < view->window_count && status == QUARRY_OK; i++) {
        check->window = view->windows[i];
        status = window_check(check);
    }
    bool are_all = view->next == NULL && tsdb->sealing.view == NULL;
    if (status == QUARRY_OK) {
        status = charges_check(check, are_all);
    }
    tsdb_view_release(&tsdb->views, view);
    return status;
}

enum quarry_status quarry_tsdb_validate(struct quarry_tsdb *tsdb, struct quarry_error *error)
{
    const struct tsdb_memory *memory = &tsdb->small[TSDB_PART_QUERY];
    struct check *check = tsdb_memory_take_zero(memory, sizeof(*check));

    if (check == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "%s: no memory for validating", tsdb->name);
    }
    check->tsdb = tsdb;
    check->batch.memory = memory;
    check->error = error;
    os_mutex_lock(&tsdb->turn_mutex);
    enum quarry_status status = windows_check(check);
    os_mutex_unlock(&tsdb->turn_mutex);
    tsdb_open_read_fini(&check->read, memory);
    tsdb_histogram_batch_fini(&check->batch);
    tsdb_memory_give(memory, check);
    if (status == QUARRY_OK) {
        status = tsdb_exemplars_validate(tsdb, error);
    }
    return status == QUARRY_OK ? tsdb_registry_validate(tsdb->registry, error) : status;
}
