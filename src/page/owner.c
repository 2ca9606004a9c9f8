/*
 * Owners and the ledger.
 *
 *            lane 0   lane 1   …   lane 63
 *   owner 1    pages    pages         pages     one row of 544 bytes an owner
 *   owner 2    …
 *
 * A row is committed when its owner registers. Counters are relaxed: each is exact by itself, and a
 * reader that needs the sum to be exact stops the page caches and takes the lanes' locks first
 * (page_heap_ledger).
 */
#include <page/owner.h>

#include <string.h>

/* Makes room for one more row. */
static enum quarry_status ledger_extend(struct page_ledger *ledger, uint32_t owner)
    Q_REQUIRES(&ledger->mutex)
{
    size_t wanted_bytes =
        size_align_up((owner + 1) * sizeof(struct page_owner), ledger->os->page_bytes);

    if (wanted_bytes <= ledger->committed_bytes) {
        return QUARRY_OK;
    }
    size_t step_bytes = wanted_bytes - ledger->committed_bytes;
    if (!page_commit_try(ledger->commit, step_bytes)) {
        return QUARRY_NO_MEMORY;
    }
    enum quarry_status status =
        os_commit(ledger->os, (char *)ledger->owner + ledger->committed_bytes, step_bytes);
    if (status != QUARRY_OK) {
        page_commit_release(ledger->commit, step_bytes);
        return status;
    }
    page_commit_note_metadata(ledger->commit, step_bytes);
    ledger->committed_bytes = wanted_bytes;
    return QUARRY_OK;
}

static enum quarry_status ledger_register_locked(struct page_ledger *ledger, const char *name,
                                                 uint32_t *ret_owner) Q_REQUIRES(&ledger->mutex)
{
    uint32_t owner_count = atomic_load_relaxed_u32(&ledger->owner_count);

    for (uint32_t owner = 0; owner < owner_count; owner++) {
        if (strcmp(ledger->owner[owner].name, name) == 0) {
            *ret_owner = owner;
            return QUARRY_OK;
        }
    }
    if (owner_count == PAGE_OWNERS_MAX) {
        return QUARRY_TOO_MANY;
    }
    enum quarry_status status = ledger_extend(ledger, owner_count);
    if (status != QUARRY_OK) {
        return status;
    }
    /* Checked to fit, and the row is zero behind it. */
    memcpy(ledger->owner[owner_count].name, name, strlen(name));
    /* Pairs with the acquire loads of readers that walk the rows. */
    atomic_store_release_u32(&ledger->owner_count, owner_count + 1);
    *ret_owner = owner_count;
    return QUARRY_OK;
}

enum quarry_status page_ledger_init(struct page_ledger *ledger, struct os *os,
                                    struct page_commit *commit, uint32_t lock_order)
{
    uint32_t owner;
    void *base;

    *ledger = (struct page_ledger){
        .os = os,
        .commit = commit,
        .reserved_bytes =
            size_align_up(PAGE_OWNERS_MAX * sizeof(struct page_owner), os->page_bytes),
    };
    os_mutex_init(&ledger->mutex, OS_RANK_METADATA, lock_order + 1);
    enum quarry_status status = os_reserve(os, ledger->reserved_bytes, os->page_bytes, &base);
    if (status != QUARRY_OK) {
        return status;
    }
    ledger->owner = base;
    os_mutex_lock(&ledger->mutex);
    status = ledger_register_locked(ledger, "none", &owner);
    if (status == QUARRY_OK) {
        status = ledger_register_locked(ledger, "lost", &owner);
    }
    os_mutex_unlock(&ledger->mutex);
    if (status != QUARRY_OK) {
        page_ledger_fini(ledger);
    }
    return status;
}

void page_ledger_fini(struct page_ledger *ledger)
{
    if (os_release(ledger->os, ledger->owner, ledger->reserved_bytes) == QUARRY_OK) {
        page_commit_release_metadata(ledger->commit, ledger->committed_bytes);
    }
    ledger->owner = NULL;
}

enum quarry_status page_ledger_register(struct page_ledger *ledger, const char *name,
                                        uint32_t *ret_owner)
{
    uint32_t owner = PAGE_OWNER_NONE;

    if (name[0] == '\0' || strnlen(name, PAGE_OWNER_NAME_BYTES) == PAGE_OWNER_NAME_BYTES) {
        return QUARRY_BAD_INPUT;
    }
    os_mutex_lock(&ledger->mutex);
    enum quarry_status status = ledger_register_locked(ledger, name, &owner);
    os_mutex_unlock(&ledger->mutex);
    if (status == QUARRY_OK && owner <= PAGE_OWNER_LOST) {
        return QUARRY_BAD_INPUT; /* the names of what is nobody's */
    }
    if (status == QUARRY_OK) {
        *ret_owner = owner;
    }
    return status;
}
