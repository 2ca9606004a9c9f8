/*
 * What is wrong with the cache: it is too small for what is asked of it, or memory in it holds
 * nothing that anybody asked for.
 */
#include <serve/checkup/rules.h>

#include <inttypes.h>

/* What is evicted had not been read for less than this: it may well have been wanted again. */
#define AGE_S             60u
#define AGE_EVICTIONS     100u
#define GETS_WORTH        1000u
#define HITS_PART         0.50
#define IDLE_PART         0.10 /* of the limit */
#define QUOTA_PART        0.98
#define WASTE_WORTH       Q_MIB(1)
#define WASTE_PART        0.25
#define ITEM_HEADER_BYTES 32u /* of a cell, at most: what an item costs whatever its size */
#define IDLE_CLASS_PART   0.10
#define HOT_PART          0.25
#define HOT_WORTH         10000u

static enum checkup_severity evicts_the_young(const struct checkup_facts *facts,
                                              struct checkup_finding *finding)
{
    const struct checkup_cache *cache = &facts->now->cache;
    uint64_t evictions = CHECKUP_ROSE(facts, cache.eviction_count);
    char span[CHECKUP_SPAN_BYTES], size[SIZE_TEXT_BYTES];

    if (evictions < AGE_EVICTIONS || cache->evicted_age_s >= AGE_S) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, cache->size_bytes,
                "%" PRIu64 " items were evicted %s; the last had not been read for %" PRIu64
                " s. The cache may have %s.",
                evictions, checkup_span(facts, span), cache->evicted_age_s,
                size_format(cache->size_bytes, size));
    return CHECKUP_WARNING;
}

static enum checkup_severity misses_while_memory_idles(const struct checkup_facts *facts,
                                                       struct checkup_finding *finding)
{
    const struct checkup_server *server = &facts->now->server;
    uint64_t hits = CHECKUP_ROSE(facts, cache.hit_count);
    uint64_t gets = hits + CHECKUP_ROSE(facts, cache.miss_count);
    uint64_t idle = sat_sub_u64(server->limit_bytes, server->committed_bytes);
    bool is_idle = checkup_part_of(idle, server->limit_bytes) >= IDLE_PART;
    char text[SIZE_TEXT_BYTES];

    if (gets < GETS_WORTH || checkup_part_of(hits, gets) >= HITS_PART || !is_idle ||
        CHECKUP_ROSE(facts, cache.eviction_count) == 0) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, idle,
                "Of %" PRIu64 " gets %.0f %% found something, and items are evicted, while nobody "
                "uses %s of memory.limit.",
                gets, 100 * checkup_part_of(hits, gets), size_format(idle, text));
    return CHECKUP_WARNING;
}

static enum checkup_severity tenant_is_at_quota(const struct checkup_facts *facts,
                                                struct checkup_finding *finding)
{
    const struct checkup_cache *cache = &facts->now->cache;
    char used[SIZE_TEXT_BYTES], quota[SIZE_TEXT_BYTES];

    if (checkup_part_of(cache->quota_used_bytes, cache->quota_bytes) < QUOTA_PART) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, cache->quota_used_bytes, "Tenant '%s' has %s of its quota of %s.",
                cache->quota_tenant, size_format(cache->quota_used_bytes, used),
                size_format(cache->quota_bytes, quota));
    return CHECKUP_NOTE;
}

static enum checkup_severity cells_are_loose(const struct checkup_facts *facts,
                                             struct checkup_finding *finding)
{
    const struct checkup_cache *cache = &facts->now->cache;
    uint64_t used =
        sat_add_u64(cache->request_bytes, sat_mul_u64(cache->item_count, ITEM_HEADER_BYTES));
    uint64_t waste = sat_sub_u64(cache->cell_bytes, used);
    char waste_text[SIZE_TEXT_BYTES], cells[SIZE_TEXT_BYTES];

    if (waste < WASTE_WORTH || checkup_part_of(waste, cache->cell_bytes) < WASTE_PART) {
        return CHECKUP_FINE;
    }
    checkup_say(
        finding, waste, "%s of %s of cells hold neither keys nor values, of %" PRIu64 " items.",
        size_format(waste, waste_text), size_format(cache->cell_bytes, cells), cache->item_count);
    return CHECKUP_WARNING;
}

static enum checkup_severity class_is_idle(const struct checkup_facts *facts,
                                           struct checkup_finding *finding)
{
    const struct checkup_cache *cache = &facts->now->cache;
    char text[SIZE_TEXT_BYTES];

    if (!cache->is_full || cache->idle_class_bytes < WASTE_WORTH ||
        checkup_part_of(cache->idle_class_bytes, cache->page_bytes) < IDLE_CLASS_PART ||
        CHECKUP_ROSE(facts, cache.eviction_count) == 0) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, cache->idle_class_bytes,
                "%s are free in %" PRIu64 " pages of cells of %" PRIu64
                " bytes, while items of other sizes are evicted.",
                size_format(cache->idle_class_bytes, text), cache->idle_class_page_count,
                cache->idle_class_cell_bytes);
    return CHECKUP_NOTE;
}

static enum checkup_severity key_is_hot(const struct checkup_facts *facts,
                                        struct checkup_finding *finding)
{
    const struct checkup_cache *cache = &facts->now->cache;
    double part = checkup_part_of(cache->hot_key_count, cache->hot_all_count);

    if (cache->hot_key_count < HOT_WORTH || part < HOT_PART) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, 0,
                "About %.0f %% of the hits of tenant '%s' are of one key, some %" PRIu64 ".",
                100 * (part > 1 ? 1 : part), cache->hot_tenant, cache->hot_key_count);
    return CHECKUP_NOTE;
}

static enum checkup_severity stores_were_refused(const struct checkup_facts *facts,
                                                 struct checkup_finding *finding)
{
    uint64_t count = CHECKUP_ROSE(facts, cache.refused_count);
    uint64_t size = facts->now->cache.size_bytes;
    char span[CHECKUP_SPAN_BYTES], text[SIZE_TEXT_BYTES];

    if (count == 0) {
        return CHECKUP_FINE;
    }
    checkup_say(finding, size,
                "%" PRIu64 " items were refused %s for want of room; the cache may have %s.", count,
                checkup_span(facts, span), size_format(size, text));
    return CHECKUP_WARNING;
}

const struct checkup_rule checkup_rules_cache[] = {
    {"cache-age", evicts_the_young, "What is in use is more than what it may have.",
     "Raise cache.size or memory.limit, or store for shorter. What goes: quarry cache top"},
    {"cache-misses", misses_while_memory_idles, "A larger cache would keep what is missed.",
     "Raise cache.size, or leave it at auto; who holds the rest: quarry top --server URL"},
    {"cache-quota", tenant_is_at_quota, "It evicts its own items, whatever is free elsewhere.",
     "Raise quota in its section [tenant NAME], or none; its figures: quarry cache tenants"},
    {"cache-rounding", cells_are_loose,
     "Items lie in cells of fixed sizes, and what a value does not fill is lost.",
     "Store values a little below the cells' sizes, or small ones together: quarry cache stats "
     "slabs"},
    {"cache-class", class_is_idle,
     "Sizes of items have changed; pages go over to another class as the cache sees what they are "
     "worth.",
     "Wait, and look again: quarry cache stats slabs. It goes at once with flush_all of the "
     "tenant."},
    {"cache-hot-key", key_is_hot,
     "One key is served by one loop after the other, and by one line "
     "of memory.",
     "Keep it with the clients for a second, or store it under several names: stats hotkeys says "
     "which it is."},
    {"cache-refused", stores_were_refused,
     "Clients got SERVER_ERROR: what is held could not be evicted, or may not be.",
     "Set cache.evicts on, raise cache.size, or look who pins: quarry cache stats"},
    {0},
};
