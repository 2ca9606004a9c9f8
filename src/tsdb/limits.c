/*
 * Limits of tenants.
 *
 *     leaf[tenant / 64] ──> 64 × { series, second, samples in it, own limits or NULL }
 *
 * A tenant is a number of 16 bits, so its figures are found by two loads. Leaves are made when the
 * first of their tenants comes, and stay: 2.5 KiB each, 2.5 MiB if all 65,536 come.
 *
 * The rate is counted by seconds of the wall's clock, from the beginning of each: a sender may send
 * two seconds' worth around the change of one, and never more over any longer time. A bucket that
 * drips would be smoother and need more than a word to be right without a lock.
 *
 * Limits that are replaced are kept until the store is closed, for somebody may be looking at
 * them; they change when a configuration does.
 */
#include <tsdb/limits.h>

#include <tsdb/types.h>

#define LABELS_DEFAULT      64u
#define NAME_BYTES_DEFAULT  1024u
#define VALUE_BYTES_DEFAULT 4096u
/* As many as Prometheus keeps; with a trace of 32 digits each they take half of the bytes. */
#define EXEMPLARS_DEFAULT      100000u
#define EXEMPLAR_BYTES_DEFAULT (UINT64_C(32) << 20)

struct tsdb_replaced {
    struct tsdb_replaced *next;
    struct quarry_tsdb_limits limits;
};

/* `wanted`, with `standard` where it says nothing. */
static struct quarry_tsdb_limits limits_or(const struct quarry_tsdb_limits *wanted,
                                           const struct quarry_tsdb_limits *standard)
{
#define OR(field) (wanted->field != 0 ? wanted->field : standard->field)
    return (struct quarry_tsdb_limits){
        .series_count = OR(series_count),
        .samples_per_second = OR(samples_per_second),
        .label_count = OR(label_count),
        .label_name_bytes = OR(label_name_bytes),
        .label_value_bytes = OR(label_value_bytes),
        .exemplar_count = OR(exemplar_count),
        .exemplar_bytes = OR(exemplar_bytes),
    };
#undef OR
}

void tsdb_limits_init(struct tsdb_limits *limits, const struct tsdb_memory *memory,
                      const struct quarry_tsdb_limits *standard)
{
    static const struct quarry_tsdb_limits defaults = {
        .series_count = UINT64_MAX,
        .samples_per_second = UINT64_MAX,
        .label_count = LABELS_DEFAULT,
        .label_name_bytes = NAME_BYTES_DEFAULT,
        .label_value_bytes = VALUE_BYTES_DEFAULT,
        .exemplar_count = EXEMPLARS_DEFAULT,
        .exemplar_bytes = EXEMPLAR_BYTES_DEFAULT,
    };

    limits->memory = memory;
    limits->standard = limits_or(standard, &defaults);
    os_mutex_init(&limits->mutex, OS_RANK_TSDB_LIMITS, 0);
}

void tsdb_limits_fini(struct tsdb_limits *limits)
{
    for (struct tsdb_replaced *at = limits->replaced, *next; at != NULL; at = next) {
        next = at->next;
        tsdb_memory_give(limits->memory, at);
    }
    limits->replaced = NULL;
    for (uint32_t i = 0; i < TSDB_TENANT_LEAVES; i++) {
        /* Relaxed: nobody else uses them any more. */
        tsdb_memory_give(limits->memory, atomic_exchange_relaxed_ptr(&limits->leaf[i], NULL));
    }
}

struct tsdb_tenant *tsdb_limits_tenant(struct tsdb_limits *limits, uint16_t tenant)
{
    _Atomic(void *) *leaf = &limits->leaf[tenant / TSDB_TENANTS_OF_LEAF];
    /* Acquire: pairs with the exchange below. */
    struct tsdb_tenant *tenants = atomic_load_acquire_ptr(leaf);

    if (tenants == NULL) {
        void *expected = NULL;
        tenants = tsdb_memory_take_zero(limits->memory, TSDB_TENANTS_OF_LEAF * sizeof(*tenants));
        if (tenants == NULL) {
            return NULL;
        }
        if (!atomic_cas_acq_rel_ptr(leaf, &expected, tenants)) {
            tsdb_memory_give(limits->memory, tenants);
            tenants = expected;
        }
    }
    return &tenants[tenant % TSDB_TENANTS_OF_LEAF];
}

const struct quarry_tsdb_limits *tsdb_limits_of(const struct tsdb_limits *limits,
                                                const struct tsdb_tenant *tenant)
{
    /* Acquire: pairs with the release in tsdb_limits_set. */
    const struct quarry_tsdb_limits *own = atomic_load_acquire_ptr(&tenant->limits);

    return own != NULL ? own : &limits->standard;
}

enum quarry_status tsdb_limits_set(struct tsdb_limits *limits, uint16_t tenant,
                                   const struct quarry_tsdb_limits *wanted)
{
    struct tsdb_tenant *figures = tsdb_limits_tenant(limits, tenant);
    struct tsdb_replaced *own =
        figures == NULL ? NULL : tsdb_memory_take_zero(limits->memory, sizeof(*own));

    if (own == NULL) {
        return QUARRY_NO_MEMORY;
    }
    own->limits = limits_or(wanted, &limits->standard);
    os_mutex_lock(&limits->mutex);
    own->next = limits->replaced;
    limits->replaced = own;
    /* Release: pairs with the acquire in tsdb_limits_of. */
    atomic_store_release_ptr(&figures->limits, &own->limits);
    os_mutex_unlock(&limits->mutex);
    return QUARRY_OK;
}

/* ---- asking --------------------------------------------------------------------------------- */

bool tsdb_limits_allow_labels(const struct quarry_tsdb_limits *limits,
                              struct quarry_tsdb_labels labels)
{
    if (labels.count == 0 || labels.count > limits->label_count) {
        return false;
    }
    for (size_t i = 0; i < labels.count; i++) {
        const struct quarry_tsdb_label *label = &labels.labels[i];
        if (label->name.count == 0 || label->name.count > limits->label_name_bytes ||
            label->value.count == 0 || label->value.count > limits->label_value_bytes) {
            return false;
        }
        if (i != 0 && tsdb_slice_compare(labels.labels[i - 1].name, label->name) >= 0) {
            return false;
        }
    }
    return true;
}

bool tsdb_limits_take_samples(const struct quarry_tsdb_limits *limits, struct tsdb_tenant *tenant,
                              int64_t wall_ms, uint64_t count)
{
    uint64_t now = (uint64_t)(wall_ms / 1000);
    uint64_t second = atomic_load_relaxed_u64(&tenant->second);

    if (limits->samples_per_second == UINT64_MAX) {
        return true;
    }
    /* Relaxed: only numbers. Who first sees a new second begins it. */
    if (second != now && atomic_cas_relaxed_u64(&tenant->second, &second, now)) {
        atomic_store_relaxed_u64(&tenant->sample_count, 0);
    }
    uint64_t before = atomic_add_relaxed_u64(&tenant->sample_count, count);
    if (before >= limits->samples_per_second || count > limits->samples_per_second - before) {
        (void)atomic_sub_relaxed_u64(&tenant->sample_count, count);
        return false;
    }
    return true;
}

bool tsdb_limits_add_series(struct tsdb_limits *limits, struct tsdb_tenant *tenant)
{
    /* Relaxed: only a number; the addition is what two that race are told apart by. */
    uint64_t before = atomic_add_relaxed_u64(&tenant->series_count, 1);

    if (before >= tsdb_limits_of(limits, tenant)->series_count) {
        (void)atomic_sub_relaxed_u64(&tenant->series_count, 1);
        return false;
    }
    if (before == 0) {
        (void)atomic_add_relaxed_u64(&limits->tenant_count, 1);
    }
    return true;
}

void tsdb_limits_restore_series(struct tsdb_limits *limits, struct tsdb_tenant *tenant)
{
    if (atomic_add_relaxed_u64(&tenant->series_count, 1) == 0) {
        (void)atomic_add_relaxed_u64(&limits->tenant_count, 1);
    }
}

void tsdb_limits_remove_series(struct tsdb_limits *limits, struct tsdb_tenant *tenant)
{
    uint64_t before = atomic_sub_relaxed_u64(&tenant->series_count, 1);

    Q_ASSERT(before > 0);
    if (before == 1) {
        (void)atomic_sub_relaxed_u64(&limits->tenant_count, 1);
    }
}
