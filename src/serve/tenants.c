/*
 * Tenants and their limits.
 *
 *   slots   by the address of the cache's tenant, open addressing; only ever filled, so that
 *           doors look without a lock
 *   tenant  {tenant, connections, connections_max, ns_per_request, due_ns}
 *
 * The rate is held by one word, the time at which the requests so far would be over if they came at
 * exactly the rate (GCRA). A request may come while that is less than a second ahead: a second's
 * worth at once, and the rate from then on. No timer, no bucket to refill.
 *
 * Invariants:
 *   1. A slot, once written, does not change, and the tenant behind it lives as long as the table.
 *   2. connections = connections that entered and have not left.
 *
 * Locking: none at the doors; adding is one thread's. Memory: 80 bytes a tenant and 8 a slot, by
 * malloc, once.
 */
#include <serve/tenants.h>

#include <stdlib.h>
#include <string.h>

#include <os/os.h>

#include <serve/log.h>

/* What the cache calls the tenant of all who name none; a section may give it limits too. */
#define DEFAULT_NAME "default"
/* Four times what there can be, and a power of two: most of the slots stay empty. */
#define SLOT_COUNT (4 * SERVE_GROUP_MAX)
Q_STATIC_ASSERT((SLOT_COUNT & (SLOT_COUNT - 1)) == 0, "slots are found by a mask");

struct tenant {
    struct quarry_cache_tenant *tenant;         /* const after init; borrowed from the cache */
    _Atomic(uint64_t) connection_count;         /* relaxed: a count */
    _Atomic(uint64_t) connections_max;          /* relaxed; 0: no bound */
    _Atomic(uint64_t) ns_per_request;           /* relaxed; 0: no bound */
    _Atomic(uint64_t) due_ns;                   /* relaxed: it stands for itself */
    _Atomic(uint32_t) number;                   /* relaxed: set before anybody asks */
    char name[SERVE_TENANT_NAME_BYTES_MAX + 1]; /* const after init */
};

struct serve_tenants {
    struct quarry_cache *cache;           /* const after init */
    uint32_t count;                       /* of the one thread that adds */
    _Atomic(uintptr_t) slots[SLOT_COUNT]; /* struct tenant *: release by add, acquire by find */
};

/* ---- the table ------------------------------------------------------------------------------ */

static size_t first_slot(const struct quarry_cache_tenant *tenant)
{
    return (size_t)(((uint64_t)(uintptr_t)tenant * UINT64_C(0x9e3779b97f4a7c15)) >> 40) %
           SLOT_COUNT;
}

static struct tenant *find(const struct serve_tenants *tenants,
                           const struct quarry_cache_tenant *tenant)
{
    for (size_t at = first_slot(tenant);; at = (at + 1) % SLOT_COUNT) {
        struct tenant *found = (struct tenant *)atomic_load_acquire_uptr(&tenants->slots[at]);
        if (found == NULL || found->tenant == tenant) {
            return found;
        }
    }
}

static enum quarry_status insert(struct serve_tenants *tenants, struct quarry_cache_tenant *tenant,
                                 const char *name, struct quarry_error *error)
{
    struct tenant *made = calloc(1, sizeof *made);
    size_t at = first_slot(tenant);

    Q_ASSERT(tenants->count < SLOT_COUNT / 2 && strlen(name) < sizeof made->name);
    if (made == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for tenant '%s'", name);
    }
    made->tenant = tenant;
    memcpy(made->name, name, strlen(name) + 1);
    while (atomic_load_relaxed_uptr(&tenants->slots[at]) != 0) {
        at = (at + 1) % SLOT_COUNT;
    }
    /* Pairs with the acquire of find. */
    atomic_store_release_uptr(&tenants->slots[at], (uintptr_t)made);
    tenants->count++;
    return QUARRY_OK;
}

struct quarry_cache_tenant *serve_tenants_find(void *argument, const char *name)
{
    struct serve_tenants *tenants = argument;

    if (name[0] == '\0') {
        return quarry_cache_default_tenant(tenants->cache);
    }
    struct quarry_cache_tenant *tenant = quarry_cache_find_tenant(tenants->cache, name);
    /* What a file kept and no configuration has named is nobody's. */
    return tenant != NULL && find(tenants, tenant) != NULL ? tenant : NULL;
}

/* ---- by the configuration ------------------------------------------------------------------- */

static void read_options(const struct serve_config *config, uint32_t index,
                         struct quarry_cache_tenant_options *ret_options)
{
    *ret_options = (struct quarry_cache_tenant_options){
        .name = serve_config_group_name(config, SERVE_TENANTS, index),
        .quota_bytes = serve_config_group_number(config, SERVE_TENANTS, index, SERVE_TENANT_QUOTA),
        .share_bytes = serve_config_group_number(config, SERVE_TENANTS, index, SERVE_TENANT_SHARE),
    };
}

static enum quarry_status add_one(struct serve_tenants *tenants, const struct serve_config *config,
                                  uint32_t index, struct quarry_error *error)
{
    struct quarry_cache_tenant_options options;
    struct quarry_cache_tenant *tenant = NULL;

    read_options(config, index, &options);
    if (serve_tenants_find(tenants, options.name) != NULL) {
        return QUARRY_OK;
    }
    tenant = quarry_cache_find_tenant(tenants->cache, options.name);
    if (tenant == NULL) {
        enum quarry_status status =
            quarry_cache_add_tenant(tenants->cache, &options, &tenant, error);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    return insert(tenants, tenant, options.name, error);
}

enum quarry_status serve_tenants_add(struct serve_tenants *tenants,
                                     const struct serve_config *config, struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = 0; status == QUARRY_OK && i < serve_config_group_count(config, SERVE_TENANTS);
         i++) {
        status = add_one(tenants, config, i, error);
    }
    return status;
}

static void set_limits(struct tenant *tenant, uint64_t connections_max,
                       uint64_t requests_per_second)
{
    atomic_store_relaxed_u64(&tenant->connections_max, connections_max);
    atomic_store_relaxed_u64(&tenant->ns_per_request,
                             requests_per_second == 0 ? 0 : Q_SECOND_NS / requests_per_second);
}

/* Quota and limits of one, by its section; of one without a section, none. */
static void apply_one(struct tenant *tenant, const struct serve_config *config)
{
    struct quarry_cache_tenant_options options = {.name = tenant->name};
    uint32_t index = 0;
    uint64_t connections = 0, requests = 0;

    if (serve_config_group_find(config, SERVE_TENANTS, tenant->name, &index)) {
        read_options(config, index, &options);
        connections =
            serve_config_group_number(config, SERVE_TENANTS, index, SERVE_TENANT_CONNECTIONS);
        requests = serve_config_group_number(config, SERVE_TENANTS, index, SERVE_TENANT_REQUESTS);
    } else if (strcmp(tenant->name, DEFAULT_NAME) != 0) {
        serve_log(SERVE_LOG_WARNING, "a tenant is no longer configured, and stays until a restart",
                  serve_log_text("tenant", tenant->name));
    }
    set_limits(tenant, connections, requests);
    if (quarry_cache_set_tenant(tenant->tenant, &options) != QUARRY_OK) {
        serve_log(SERVE_LOG_ERROR, "the cache refuses a tenant's quota",
                  serve_log_text("tenant", tenant->name),
                  serve_log_bytes("quota_bytes", options.quota_bytes),
                  serve_log_bytes("share_bytes", options.share_bytes));
    }
}

void serve_tenants_apply(struct serve_tenants *tenants, const struct serve_config *config)
{
    for (size_t i = 0; i < SLOT_COUNT; i++) {
        struct tenant *tenant = (struct tenant *)atomic_load_acquire_uptr(&tenants->slots[i]);
        if (tenant != NULL) {
            apply_one(tenant, config);
        }
    }
}

enum quarry_status serve_tenants_create(struct quarry_cache *cache,
                                        const struct serve_config *config,
                                        struct serve_tenants **ret_tenants,
                                        struct quarry_error *error)
{
    struct serve_tenants *tenants = calloc(1, sizeof *tenants);

    if (tenants == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for tenants");
    }
    tenants->cache = cache;
    enum quarry_status status =
        insert(tenants, quarry_cache_default_tenant(cache), DEFAULT_NAME, error);
    if (status == QUARRY_OK) {
        status = serve_tenants_add(tenants, config, error);
    }
    if (status != QUARRY_OK) {
        serve_tenants_destroy(tenants);
        return status;
    }
    serve_tenants_apply(tenants, config);
    *ret_tenants = tenants;
    return QUARRY_OK;
}

void serve_tenants_destroy(struct serve_tenants *tenants)
{
    if (tenants == NULL) {
        return;
    }
    for (size_t i = 0; i < SLOT_COUNT; i++) {
        free((struct tenant *)atomic_load_relaxed_uptr(&tenants->slots[i]));
    }
    free(tenants);
}

uint16_t serve_tenants_number(const struct serve_tenants *tenants,
                              const struct quarry_cache_tenant *tenant)
{
    const struct tenant *of = tenant != NULL ? find(tenants, tenant) : NULL;

    return of != NULL ? (uint16_t)atomic_load_relaxed_u32(&of->number) : 0;
}

void serve_tenants_set_number(struct serve_tenants *tenants, const char *name, uint16_t number)
{
    const struct quarry_cache_tenant *tenant = serve_tenants_find(tenants, name);
    struct tenant *of = tenant != NULL ? find(tenants, tenant) : NULL;

    Q_ASSERT(of != NULL);
    /* A section of its name gives the default tenant limits, not a number. */
    if (strcmp(of->name, DEFAULT_NAME) != 0) {
        atomic_store_relaxed_u32(&of->number, number);
    }
}

/* ---- at the doors --------------------------------------------------------------------------- */

bool serve_tenants_enter(struct serve_tenants *tenants, const struct quarry_cache_tenant *tenant)
{
    struct tenant *of = tenant != NULL ? find(tenants, tenant) : NULL;

    if (of == NULL) {
        return true;
    }
    uint64_t most = atomic_load_relaxed_u64(&of->connections_max);
    uint64_t before = atomic_add_relaxed_u64(&of->connection_count, 1);
    if (most != 0 && before >= most) {
        (void)atomic_sub_relaxed_u64(&of->connection_count, 1);
        return false;
    }
    return true;
}

void serve_tenants_leave(struct serve_tenants *tenants, const struct quarry_cache_tenant *tenant)
{
    struct tenant *of = tenant != NULL ? find(tenants, tenant) : NULL;

    if (of != NULL) {
        uint64_t before = atomic_sub_relaxed_u64(&of->connection_count, 1);
        Q_ASSERT(before > 0); /* invariant 2 */
    }
}

/* GCRA, see above. */
static bool take(struct tenant *of, uint64_t ns_per_request, uint32_t request_count)
{
    uint64_t now_ns = os_monotonic_ns(os_real()), due_ns = atomic_load_relaxed_u64(&of->due_ns);
    uint64_t next_ns;

    do {
        if (due_ns > now_ns + Q_SECOND_NS) {
            return false;
        }
        next_ns = size_max_u64(due_ns, now_ns) + ns_per_request * request_count;
    } while (!atomic_cas_weak_relaxed_u64(&of->due_ns, &due_ns, next_ns));
    return true;
}

bool serve_tenants_admit(struct serve_tenants *tenants, const struct quarry_cache_tenant *tenant,
                         uint32_t request_count)
{
    struct tenant *of = tenant != NULL ? find(tenants, tenant) : NULL;
    uint64_t ns_per_request = of != NULL ? atomic_load_relaxed_u64(&of->ns_per_request) : 0;

    return ns_per_request == 0 || take(of, ns_per_request, request_count);
}
