/*
 * Exemplars in memory: a queue of each tenant, in which those of one series are chained.
 *
 *     tenant ──> oldest <──> record <──> record <──> newest       as they came; the oldest goes
 *                              ^                       ^
 *     buckets ──> series ── oldest ──────> …  <── newest ┘        by time, of one series
 *
 *     record     | links | time, value | label count | lengths | names and values |
 *
 * Prometheus keeps a ring of a fixed count for everybody; here each tenant has its own, made when
 * its first exemplar comes, of which count and bytes are bounded (`exemplar_count`,
 * `exemplar_bytes`): whatever a sender's labels are, the memory is known.
 *
 * Order is Prometheus': one that is the same as its series' newest is taken as nothing; one that is
 * before it, by time, then by value, then by labels, is refused. So what is in a series' chain
 * rises, and the oldest of a queue is the first of its chain.
 *
 * Series go, and their ids are another's later. So who puts an exemplar in looks under the shard's
 * lock whether the series is gone, and who removes one forgets its exemplars before the id is free.
 *
 * Invariants
 *   1. A record is in its tenant's queue and in its series' chain.
 *   2. A series is in the table if and only if it has a record.
 *   3. `count` and `bytes` are those of the queue, and within the tenant's limits after each call.
 *
 * Locking: one mutex for each tenant, below a shard's. Memory is taken before, and given back
 * after. Cost: an allocation, and a search in a chain of about one.
 */
#include <tsdb/exemplars.h>

#include <string.h>

#include <tsdb/exemplars_parts.h>
#include <tsdb/exemplars_save.h>

/* Bytes of one's labels: a character has up to four. */
#define TEXT_BYTES_MAX (4 * TSDB_EXEMPLAR_CHARACTERS_MAX)
/* Labels of one. With names of a character that is all there can be. */
#define LABELS_MAX TSDB_EXEMPLAR_CHARACTERS_MAX
/* Buckets of an empty table, a power of two. */
#define BUCKETS_FIRST 64u

static const struct tsdb_memory *memory_of(struct quarry_tsdb *tsdb)
{
    return &tsdb->small[TSDB_PART_META];
}

/* ---- records -------------------------------------------------------------------------------- */

static size_t record_bytes(const struct tsdb_exemplar_record *record)
{
    return sizeof(*record) + 2 * (size_t)record->label_count * sizeof(record->lengths[0]) +
           record->text_bytes;
}

/* Characters of UTF-8: bytes that continue none. */
static size_t characters_of(struct tsdb_slice slice)
{
    size_t count = 0;

    for (size_t i = 0; i < slice.count; i++) {
        count += ((uint8_t)slice.bytes[i] & 0xc0) != 0x80;
    }
    return count;
}

/* Whether labels are within bounds; and their bytes. */
static bool labels_fit(const struct tsdb_labels *labels, size_t *ret_bytes)
{
    size_t characters = 0, bytes = 0;

    if (labels->count > LABELS_MAX) {
        return false;
    }
    for (size_t i = 0; i < labels->count; i++) {
        const struct tsdb_label *label = &labels->labels[i];
        if (label->name.count > TEXT_BYTES_MAX || label->value.count > TEXT_BYTES_MAX) {
            return false;
        }
        bytes += label->name.count + label->value.count;
        characters += characters_of(label->name) + characters_of(label->value);
    }
    *ret_bytes = bytes;
    return characters <= TSDB_EXEMPLAR_CHARACTERS_MAX && bytes <= TEXT_BYTES_MAX;
}

static char *text_put(char *to, struct tsdb_slice slice, uint16_t *ret_length)
{
    *ret_length = (uint16_t)slice.count;
    if (slice.count != 0) {
        memcpy(to, slice.bytes, slice.count);
    }
    return to + slice.count;
}

/* Makes a record of zeros an exemplar's, whose labels fit. */
static void record_fill(struct tsdb_exemplar_record *record,
                        const struct quarry_tsdb_exemplar *exemplar, size_t text_bytes)
{
    const struct tsdb_labels *labels = &exemplar->labels;

    record->t_ms = exemplar->t_ms;
    record->bits = exemplar->bits;
    record->label_count = (uint32_t)labels->count;
    record->text_bytes = (uint32_t)text_bytes;
    char *to = (char *)(record->lengths + 2 * labels->count);
    for (size_t i = 0; i < labels->count; i++) {
        to = text_put(to, labels->labels[i].name, &record->lengths[2 * i]);
        to = text_put(to, labels->labels[i].value, &record->lengths[2 * i + 1]);
    }
}

/* Returns: own; NULL: it may not be, or there is no memory. */
static struct tsdb_exemplar_record *record_make(const struct tsdb_memory *memory,
                                                const struct quarry_tsdb_exemplar *exemplar)
{
    struct tsdb_exemplar_record *record;
    size_t text_bytes;

    if (!labels_fit(&exemplar->labels, &text_bytes)) {
        return NULL;
    }
    record = tsdb_memory_take_zero(
        memory,
        sizeof(*record) + 2 * exemplar->labels.count * sizeof(record->lengths[0]) + text_bytes);
    if (record != NULL) {
        record_fill(record, exemplar, text_bytes);
    }
    return record;
}

static double double_of(uint64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Orders by time, value, labels. Values that are not less and not greater are told by their bits.
 */
static int record_compare(const struct tsdb_exemplar_record *a,
                          const struct tsdb_exemplar_record *b)
{
    double x = double_of(a->bits), y = double_of(b->bits);

    if (a->t_ms != b->t_ms) {
        return a->t_ms < b->t_ms ? -1 : 1;
    }
    if (x < y || x > y) {
        return x < y ? -1 : 1;
    }
    if (a->bits != b->bits) {
        return a->bits < b->bits ? -1 : 1;
    }
    size_t a_bytes = record_bytes(a) - sizeof(*a), b_bytes = record_bytes(b) - sizeof(*b);
    return tsdb_slice_compare((struct tsdb_slice){(const char *)a->lengths, a_bytes},
                              (struct tsdb_slice){(const char *)b->lengths, b_bytes});
}

/* ---- series --------------------------------------------------------------------------------- */

static struct tsdb_exemplar_series **bucket_of(struct tsdb_exemplar_series **buckets,
                                               uint32_t bucket_count, uint32_t id)
{
    return &buckets[(id * UINT32_C(2654435769)) >> 7 & (bucket_count - 1)];
}

struct tsdb_exemplar_series *tsdb_exemplar_series_find(const struct tsdb_exemplar_ring *ring,
                                                       uint32_t id)
{
    struct tsdb_exemplar_series *series =
        ring->bucket_count == 0 ? NULL : *bucket_of(ring->buckets, ring->bucket_count, id);

    while (series != NULL && series->id != id) {
        series = series->next;
    }
    return series;
}

static void series_insert(struct tsdb_exemplar_ring *ring, struct tsdb_exemplar_series *series)
{
    struct tsdb_exemplar_series **bucket = bucket_of(ring->buckets, ring->bucket_count, series->id);

    series->next = *bucket;
    *bucket = series;
    ring->series_count++;
}

static void series_remove(struct tsdb_exemplar_ring *ring, struct tsdb_exemplar_series *series)
{
    struct tsdb_exemplar_series **at = bucket_of(ring->buckets, ring->bucket_count, series->id);

    while (*at != series) {
        Q_ASSERT(*at != NULL); /* invariant 2 */
        at = &(*at)->next;
    }
    *at = series->next;
    ring->series_count--;
}

/* Moves all series into a larger table. Returns: the old one. */
static struct tsdb_exemplar_series **
table_change(struct tsdb_exemplar_ring *ring, struct tsdb_exemplar_series **buckets, uint32_t count)
{
    struct tsdb_exemplar_series **old = ring->buckets;
    uint32_t old_count = ring->bucket_count;

    ring->buckets = buckets;
    ring->bucket_count = count;
    ring->series_count = 0;
    for (uint32_t i = 0; i < old_count; i++) {
        for (struct tsdb_exemplar_series *series = old[i], *next; series != NULL; series = next) {
            next = series->next;
            series_insert(ring, series);
        }
    }
    return old;
}

/* ---- the queue ------------------------------------------------------------------------------ */

/* What is given back when no lock is held. */
struct garbage {
    struct tsdb_exemplar_record *records; /* by `newer` */
    struct tsdb_exemplar_series *series;  /* by `next` */
    struct tsdb_exemplar_series **table;
    uint64_t record_count, record_bytes;
};

static void garbage_give(struct quarry_tsdb *tsdb, struct garbage *garbage)
{
    const struct tsdb_memory *memory = memory_of(tsdb);

    for (struct tsdb_exemplar_record *record = garbage->records, *next; record != NULL;
         record = next) {
        next = record->newer;
        tsdb_memory_give(memory, record);
    }
    for (struct tsdb_exemplar_series *series = garbage->series, *next; series != NULL;
         series = next) {
        next = series->next;
        tsdb_memory_give(memory, series);
    }
    tsdb_memory_give(memory, (void *)garbage->table);
    (void)atomic_sub_relaxed_u64(&tsdb->counters.exemplar_count, garbage->record_count);
    (void)atomic_sub_relaxed_u64(&tsdb->counters.exemplar_bytes, garbage->record_bytes);
}

/* Takes a record out that is the first of its series. */
static void record_remove(struct tsdb_exemplar_ring *ring, struct tsdb_exemplar_record *record,
                          struct garbage *garbage)
{
    struct tsdb_exemplar_series *series = record->series;

    Q_ASSERT(series->oldest == record);
    ring->save_at = ring->save_at == record ? record->newer : ring->save_at;
    *(record->older != NULL ? &record->older->newer : &ring->oldest) = record->newer;
    *(record->newer != NULL ? &record->newer->older : &ring->newest) = record->older;
    series->oldest = record->series_newer;
    if (series->oldest == NULL) {
        series_remove(ring, series);
        series->next = garbage->series;
        garbage->series = series;
    }
    ring->count--;
    ring->bytes -= record_bytes(record);
    garbage->record_count++;
    garbage->record_bytes += record_bytes(record);
    record->newer = garbage->records;
    garbage->records = record;
}

static void record_insert(struct tsdb_exemplar_ring *ring, struct tsdb_exemplar_series *series,
                          struct tsdb_exemplar_record *record)
{
    record->series = series;
    *(series->oldest == NULL ? &series->oldest : &series->newest->series_newer) = record;
    series->newest = record;
    record->older = ring->newest;
    *(ring->newest == NULL ? &ring->oldest : &ring->newest->newer) = record;
    ring->newest = record;
    ring->count++;
    ring->bytes += record_bytes(record);
}

/* ---- judging one ---------------------------------------------------------------------------- */

static enum tsdb_exemplar_verdict verdict_of(int order)
{
    return order > 0    ? TSDB_EXEMPLAR_TAKEN
           : order == 0 ? TSDB_EXEMPLAR_REPEATED
                        : TSDB_EXEMPLAR_REFUSED;
}

enum tsdb_exemplar_verdict tsdb_exemplars_judge(const struct tsdb_tenant *tenant, uint32_t id,
                                                const struct quarry_tsdb_exemplar *exemplar)
{
    struct tsdb_exemplar_ring *ring = tsdb_exemplar_ring_of(tenant);
    union {
        struct tsdb_exemplar_record record;
        char room[sizeof(struct tsdb_exemplar_record) + 2 * LABELS_MAX * sizeof(uint16_t) +
                  TEXT_BYTES_MAX];
    } own;
    size_t text_bytes;

    if (!labels_fit(&exemplar->labels, &text_bytes)) {
        return TSDB_EXEMPLAR_REFUSED;
    }
    if (ring == NULL) {
        return TSDB_EXEMPLAR_TAKEN;
    }
    memset(&own.record, 0, sizeof own.record);
    record_fill(&own.record, exemplar, text_bytes);
    os_mutex_lock(&ring->mutex);
    const struct tsdb_exemplar_series *known = tsdb_exemplar_series_find(ring, id);
    enum tsdb_exemplar_verdict verdict =
        known == NULL ? TSDB_EXEMPLAR_TAKEN
                      : verdict_of(record_compare(&own.record, known->newest));
    os_mutex_unlock(&ring->mutex);
    return verdict;
}

/* ---- putting one in ------------------------------------------------------------------------- */

static struct tsdb_exemplar_ring *ring_have(struct quarry_tsdb *tsdb, struct tsdb_tenant *tenant)
{
    struct tsdb_exemplar_ring *ring = tsdb_exemplar_ring_of(tenant);
    void *expected = NULL;

    if (ring != NULL) {
        return ring;
    }
    ring = tsdb_memory_take_zero(memory_of(tsdb), sizeof(*ring));
    if (ring == NULL) {
        return NULL;
    }
    os_mutex_init(&ring->mutex, OS_RANK_TSDB_RINGS, 0);
    if (!atomic_cas_acq_rel_ptr(&tenant->exemplars, &expected, ring)) {
        tsdb_memory_give(memory_of(tsdb), ring);
        ring = expected;
    }
    return ring;
}

/* What putting one in may need, taken before. */
struct supply {
    struct tsdb_exemplar_record *record;
    struct tsdb_exemplar_series *series;
    struct tsdb_exemplar_series **table; /* NULL: the one that is there will do */
    uint32_t bucket_count;
};

static uint32_t buckets_wanted(struct tsdb_exemplar_ring *ring)
{
    os_mutex_lock(&ring->mutex);
    uint32_t wanted = ring->bucket_count == 0 ? BUCKETS_FIRST : 2 * ring->bucket_count;
    bool is_full = ring->series_count >= ring->bucket_count;
    os_mutex_unlock(&ring->mutex);
    return is_full ? wanted : 0;
}

/* Returns: false: no memory, or the exemplar may not be. */
static bool supply_take(const struct tsdb_memory *memory, struct tsdb_exemplar_ring *ring,
                        const struct quarry_tsdb_exemplar *exemplar, struct supply *supply)
{
    *supply = (struct supply){.record = record_make(memory, exemplar)};
    if (supply->record == NULL) {
        return false;
    }
    supply->series = tsdb_memory_take_zero(memory, sizeof(*supply->series));
    supply->bucket_count = buckets_wanted(ring);
    if (supply->bucket_count != 0) {
        supply->table = tsdb_memory_take_zero(memory, supply->bucket_count * sizeof(void *));
    }
    /* Without a larger table chains become longer; but there must be one. */
    return supply->series != NULL &&
           (supply->table != NULL || supply->bucket_count != BUCKETS_FIRST);
}

static void supply_give(const struct tsdb_memory *memory, struct supply *supply)
{
    tsdb_memory_give(memory, supply->record);
    tsdb_memory_give(memory, supply->series);
    tsdb_memory_give(memory, (void *)supply->table);
}

/* The series, made of the supply if it is not there. */
static struct tsdb_exemplar_series *series_have(struct tsdb_exemplar_ring *ring, uint32_t id,
                                                struct supply *supply, struct garbage *garbage)
{
    struct tsdb_exemplar_series *series = tsdb_exemplar_series_find(ring, id);

    if (series != NULL) {
        return series;
    }
    if (supply->table != NULL && supply->bucket_count > ring->bucket_count) {
        garbage->table = table_change(ring, supply->table, supply->bucket_count);
        supply->table = NULL;
    }
    series = supply->series;
    supply->series = NULL;
    series->id = id;
    series_insert(ring, series);
    return series;
}

static enum tsdb_exemplar_verdict ring_add_locked(struct tsdb_exemplar_ring *ring, uint32_t id,
                                                  const struct quarry_tsdb_limits *limits,
                                                  struct supply *supply, struct garbage *garbage)
{
    const struct tsdb_exemplar_series *known = tsdb_exemplar_series_find(ring, id);

    if (known != NULL) {
        enum tsdb_exemplar_verdict verdict =
            verdict_of(record_compare(supply->record, known->newest));
        if (verdict != TSDB_EXEMPLAR_TAKEN) {
            return verdict;
        }
    }
    record_insert(ring, series_have(ring, id, supply, garbage), supply->record);
    supply->record = NULL;
    while (ring->oldest != NULL &&
           (ring->count > limits->exemplar_count || ring->bytes > limits->exemplar_bytes)) {
        record_remove(ring, ring->oldest, garbage);
    }
    return TSDB_EXEMPLAR_TAKEN;
}

/* Puts a record in front of all others, or leaves it with the supply. */
static enum tsdb_exemplar_verdict ring_restore_locked(struct tsdb_exemplar_ring *ring, uint32_t id,
                                                      const struct quarry_tsdb_limits *limits,
                                                      struct supply *supply,
                                                      struct garbage *garbage)
{
    const struct tsdb_exemplar_series *known = tsdb_exemplar_series_find(ring, id);
    struct tsdb_exemplar_record *record = supply->record;

    if (ring->count >= limits->exemplar_count ||
        ring->bytes + record_bytes(record) > limits->exemplar_bytes ||
        (known != NULL && record_compare(record, known->oldest) >= 0)) {
        return TSDB_EXEMPLAR_REFUSED;
    }
    struct tsdb_exemplar_series *series = series_have(ring, id, supply, garbage);
    supply->record = NULL;
    record->series = series;
    record->series_newer = series->oldest;
    series->oldest = record;
    series->newest = series->newest == NULL ? record : series->newest;
    record->newer = ring->oldest;
    *(ring->oldest == NULL ? &ring->newest : &ring->oldest->older) = record;
    ring->oldest = record;
    ring->count++;
    ring->bytes += record_bytes(record);
    return TSDB_EXEMPLAR_TAKEN;
}

/* How one is put in. */
typedef enum tsdb_exemplar_verdict ring_function(struct tsdb_exemplar_ring *ring, uint32_t id,
                                                 const struct quarry_tsdb_limits *limits,
                                                 struct supply *supply, struct garbage *garbage);

static enum tsdb_exemplar_verdict ring_add(struct quarry_tsdb *tsdb,
                                           struct tsdb_exemplar_ring *ring, uint32_t id,
                                           ring_function *put, struct supply *supply,
                                           struct garbage *garbage)
{
    const struct quarry_tsdb_limits *limits = tsdb_limits_of(
        &tsdb->limits,
        tsdb_limits_tenant(&tsdb->limits, tsdb_registry_series(tsdb->registry, id)->tenant));
    const struct tsdb_series *series = tsdb_registry_series(tsdb->registry, id);
    struct os_mutex *mutex = tsdb_shard_mutex(tsdb, tsdb_shard_of(id));
    enum tsdb_exemplar_verdict verdict = TSDB_EXEMPLAR_REFUSED;

    os_mutex_lock(mutex);
    if ((series->flags & TSDB_SERIES_GONE) == 0) {
        os_mutex_lock(&ring->mutex);
        verdict = put(ring, id, limits, supply, garbage);
        os_mutex_unlock(&ring->mutex);
    }
    os_mutex_unlock(mutex);
    return verdict;
}

static enum tsdb_exemplar_verdict exemplar_put(struct quarry_tsdb *tsdb, struct tsdb_tenant *tenant,
                                               uint32_t id, int32_t window,
                                               const struct quarry_tsdb_exemplar *exemplar,
                                               ring_function *put)
{
    const struct tsdb_memory *memory = memory_of(tsdb);
    struct tsdb_exemplar_ring *ring = ring_have(tsdb, tenant);
    struct garbage garbage = {.records = NULL};
    struct supply supply = {.record = NULL};
    enum tsdb_exemplar_verdict verdict = TSDB_EXEMPLAR_REFUSED;

    if (ring != NULL && supply_take(memory, ring, exemplar, &supply)) {
        uint64_t bytes = record_bytes(supply.record);
        supply.record->window = window;
        /* Before it is there, so that what is taken out again cannot come to below 0. */
        (void)atomic_add_relaxed_u64(&tsdb->counters.exemplar_count, 1);
        (void)atomic_add_relaxed_u64(&tsdb->counters.exemplar_bytes, bytes);
        verdict = ring_add(tsdb, ring, id, put, &supply, &garbage);
        garbage.record_count += verdict != TSDB_EXEMPLAR_TAKEN;
        garbage.record_bytes += verdict != TSDB_EXEMPLAR_TAKEN ? bytes : 0;
        garbage_give(tsdb, &garbage);
    }
    supply_give(memory, &supply);
    return verdict;
}

enum tsdb_exemplar_verdict tsdb_exemplars_add(struct quarry_tsdb *tsdb, struct tsdb_tenant *tenant,
                                              uint32_t id, int32_t window,
                                              const struct quarry_tsdb_exemplar *exemplar)
{
    return exemplar_put(tsdb, tenant, id, window, exemplar, ring_add_locked);
}

void tsdb_exemplars_restore(struct quarry_tsdb *tsdb, struct tsdb_tenant *tenant, uint32_t id,
                            int32_t window, const struct quarry_tsdb_exemplar *exemplar)
{
    (void)exemplar_put(tsdb, tenant, id, window, exemplar, ring_restore_locked);
}

void tsdb_exemplars_forget(struct quarry_tsdb *tsdb, uint16_t tenant, uint32_t id)
{
    struct tsdb_tenant *figures = tsdb_limits_tenant(&tsdb->limits, tenant);
    struct tsdb_exemplar_ring *ring = figures == NULL ? NULL : tsdb_exemplar_ring_of(figures);
    struct garbage garbage = {.records = NULL};

    if (ring == NULL) {
        return;
    }
    os_mutex_lock(&ring->mutex);
    const struct tsdb_exemplar_series *series = tsdb_exemplar_series_find(ring, id);
    struct tsdb_exemplar_record *record = series == NULL ? NULL : series->oldest;
    while (record != NULL) {
        struct tsdb_exemplar_record *next = record->series_newer;
        record_remove(ring, record, &garbage); /* the last takes the series with it */
        record = next;
    }
    os_mutex_unlock(&ring->mutex);
    garbage_give(tsdb, &garbage);
}

/* ---- ends, checks --------------------------------------------------------------------------- */

static void ring_fini(struct quarry_tsdb *tsdb, struct tsdb_exemplar_ring *ring)
{
    struct garbage garbage = {.table = ring->buckets};

    while (ring->oldest != NULL) {
        record_remove(ring, ring->oldest, &garbage);
    }
    garbage_give(tsdb, &garbage);
    tsdb_memory_give(memory_of(tsdb), ring);
}

struct tsdb_exemplar_ring *tsdb_exemplar_ring_next(struct quarry_tsdb *tsdb, uint32_t *at)
{
    while (*at < TSDB_TENANT_LEAVES * TSDB_TENANTS_OF_LEAF) {
        struct tsdb_tenant *tenants =
            atomic_load_acquire_ptr(&tsdb->limits.leaf[*at / TSDB_TENANTS_OF_LEAF]);
        if (tenants == NULL) {
            *at += TSDB_TENANTS_OF_LEAF;
            continue;
        }
        struct tsdb_exemplar_ring *ring =
            tsdb_exemplar_ring_of(&tenants[(*at)++ % TSDB_TENANTS_OF_LEAF]);
        if (ring != NULL) {
            return ring;
        }
    }
    return NULL;
}

void tsdb_exemplars_fini(struct quarry_tsdb *tsdb)
{
    uint32_t at = 0;

    for (struct tsdb_exemplar_ring *ring; (ring = tsdb_exemplar_ring_next(tsdb, &at)) != NULL;) {
        ring_fini(tsdb, ring);
    }
}

static enum quarry_status ring_validate(struct tsdb_exemplar_ring *ring, struct quarry_error *error)
{
    uint64_t count = 0, bytes = 0;
    uint32_t series_count = 0;

    os_mutex_lock(&ring->mutex);
    bool is_sound = true;
    for (const struct tsdb_exemplar_record *record = ring->oldest; record != NULL;
         record = record->newer) {
        const struct tsdb_exemplar_record *newer = record->series_newer;
        count++;
        bytes += record_bytes(record);
        series_count += record->series->oldest == record;
        is_sound =
            is_sound && tsdb_exemplar_series_find(ring, record->series->id) == record->series &&
            (newer == NULL ? record->series->newest == record : record_compare(record, newer) < 0);
    }
    is_sound = is_sound && count == ring->count && bytes == ring->bytes &&
               series_count == ring->series_count;
    os_mutex_unlock(&ring->mutex);
    return is_sound ? QUARRY_OK
                    : error_set(error, QUARRY_CORRUPT, "exemplars: %llu are chained, %llu counted",
                                (unsigned long long)count, (unsigned long long)ring->count);
}

enum quarry_status tsdb_exemplars_validate(struct quarry_tsdb *tsdb, struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;
    uint32_t at = 0;

    for (struct tsdb_exemplar_ring *ring;
         status == QUARRY_OK && (ring = tsdb_exemplar_ring_next(tsdb, &at)) != NULL;) {
        status = ring_validate(ring, error);
    }
    return status;
}
