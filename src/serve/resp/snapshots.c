/*
 * Snapshots that clients hold.
 *
 *   slots[512] │ id, tenant, session, taken, uses, is over │ …        id 0: the slot is free
 *
 * A snapshot is the tenant's: any connection of it may read by its number, several at once. It ends
 * when it is told to, with the session that took it, or after a minute; who reads by it then reads
 * on, for each use is counted, and the last one to go ends it.
 *
 * 1. A slot's snapshot is the store's from when its id is written until its id is 0.
 * 2. A slot that is over is found by nobody, and becomes free when its uses are 0.
 *
 * Locking: one mutex of rank LEAF over all slots. The store's own lock is of a lower rank, so that
 * a snapshot is taken before and given back after: what is to be given back is put aside.
 *
 * Cost: a look through 512 slots for each call but the tick, of which a session makes few.
 */
#include <serve/resp/snapshots.h>

#include <serve/buffers.h>

#include <os/os.h>

struct slot {
    uint64_t id;
    uint64_t session_id, taken_ms;
    const struct quarry_kv_snapshot *snapshot;
    uint32_t use_count;
    uint16_t tenant;
    bool is_over;
};

struct resp_snapshots {
    struct os_mutex mutex;
    const struct serve_memory *memory; /* const */
    struct keyspace *keyspace;         /* const */
    /*
     * When the first of them is over; UINT64_MAX: there is none. Written under the mutex, read
     * without: who has a snapshot knows of it, and a little later is early enough for the others.
     */
    _Atomic uint64_t first_end_ms;
    /* guarded by mutex */
    uint64_t last_id;
    struct slot slots[RESP_SNAPSHOTS_MAX];
};

/* Snapshots that are given back once the mutex is. */
struct ended {
    size_t count;
    const struct quarry_kv_snapshot *snapshots[RESP_SNAPSHOTS_MAX];
};

enum quarry_status resp_snapshots_create(const struct serve_memory *memory,
                                         struct keyspace *keyspace,
                                         struct resp_snapshots **ret_snapshots)
{
    struct resp_snapshots *snapshots = serve_buffer_take_zeroed(memory, sizeof(*snapshots));

    if (snapshots == NULL) {
        return QUARRY_NO_MEMORY;
    }
    os_mutex_init(&snapshots->mutex, OS_RANK_LEAF, 0);
    snapshots->memory = memory;
    snapshots->keyspace = keyspace;
    atomic_store_relaxed_u64(&snapshots->first_end_ms, UINT64_MAX); /* nobody else has it yet */
    *ret_snapshots = snapshots;
    return QUARRY_OK;
}

/* Makes a slot nobody's. Its snapshot is put aside, unless it is in use: then it is over. */
static void end_locked(struct slot *slot, struct ended *ended)
{
    Q_ASSERT(slot->id != 0 && slot->snapshot != NULL);
    slot->is_over = true;
    if (slot->use_count == 0) {
        ended->snapshots[ended->count++] = slot->snapshot;
        *slot = (struct slot){0};
    }
}

/* After slots have changed. */
static void note_first_end_locked(struct resp_snapshots *snapshots)
{
    uint64_t first_ms = UINT64_MAX;

    for (size_t i = 0; i < RESP_SNAPSHOTS_MAX; i++) {
        const struct slot *slot = &snapshots->slots[i];

        if (slot->id != 0 && !slot->is_over) {
            first_ms = slot->taken_ms < first_ms ? slot->taken_ms : first_ms;
        }
    }
    /* Relaxed: see the member. */
    atomic_store_relaxed_u64(&snapshots->first_end_ms,
                             sat_add_u64(first_ms, RESP_SNAPSHOT_LIFE_MS));
}

static void give_back(struct resp_snapshots *snapshots, const struct ended *ended)
{
    struct quarry_kv *kv = keyspace_kv(snapshots->keyspace);

    for (size_t i = 0; i < ended->count; i++) {
        quarry_kv_snapshot_release(kv, ended->snapshots[i]);
    }
}

void resp_snapshots_destroy(struct resp_snapshots *snapshots)
{
    struct ended ended = {0};

    if (snapshots == NULL) {
        return;
    }
    for (size_t i = 0; i < RESP_SNAPSHOTS_MAX; i++) {
        if (snapshots->slots[i].id != 0) {
            Q_ASSERT(snapshots->slots[i].use_count == 0);
            end_locked(&snapshots->slots[i], &ended);
        }
    }
    give_back(snapshots, &ended);
    serve_buffer_give(snapshots->memory, snapshots);
}

/* A free slot; NULL: there is none, or the tenant has as many as it may. */
static struct slot *find_room_locked(struct resp_snapshots *snapshots, uint16_t tenant)
{
    struct slot *room = NULL;
    uint32_t tenant_count = 0;

    for (size_t i = 0; i < RESP_SNAPSHOTS_MAX; i++) {
        struct slot *slot = &snapshots->slots[i];

        if (slot->id == 0) {
            room = room == NULL ? slot : room;
        } else {
            tenant_count += slot->tenant == tenant;
        }
    }
    return tenant_count < RESP_SNAPSHOTS_PER_TENANT ? room : NULL;
}

enum quarry_status resp_snapshots_take(struct resp_snapshots *snapshots, uint16_t tenant,
                                       uint64_t session_id, uint64_t now_ms, uint64_t *ret_id)
{
    struct quarry_kv *kv = keyspace_kv(snapshots->keyspace);
    const struct quarry_kv_snapshot *snapshot;
    enum quarry_status status = quarry_kv_snapshot_take(kv, &snapshot);

    if (status != QUARRY_OK) {
        return status;
    }
    os_mutex_lock(&snapshots->mutex);
    struct slot *slot = find_room_locked(snapshots, tenant);
    if (slot != NULL) {
        *slot = (struct slot){.id = ++snapshots->last_id,
                              .session_id = session_id,
                              .taken_ms = now_ms,
                              .snapshot = snapshot,
                              .tenant = tenant};
        *ret_id = slot->id;
        note_first_end_locked(snapshots);
    }
    os_mutex_unlock(&snapshots->mutex);
    if (slot == NULL) {
        quarry_kv_snapshot_release(kv, snapshot);
        return QUARRY_TOO_MANY;
    }
    return QUARRY_OK;
}

/* A tenant's snapshot that is not over. */
static struct slot *find_locked(struct resp_snapshots *snapshots, uint16_t tenant, uint64_t id)
{
    for (size_t i = 0; i < RESP_SNAPSHOTS_MAX; i++) {
        struct slot *slot = &snapshots->slots[i];

        if (slot->id == id && id != 0 && slot->tenant == tenant && !slot->is_over) {
            return slot;
        }
    }
    return NULL;
}

enum quarry_status resp_snapshots_end(struct resp_snapshots *snapshots, uint16_t tenant,
                                      uint64_t id)
{
    struct ended ended = {0};

    os_mutex_lock(&snapshots->mutex);
    struct slot *slot = find_locked(snapshots, tenant, id);
    if (slot != NULL) {
        end_locked(slot, &ended);
        note_first_end_locked(snapshots);
    }
    os_mutex_unlock(&snapshots->mutex);
    give_back(snapshots, &ended);
    return slot != NULL ? QUARRY_OK : QUARRY_NOT_FOUND;
}

void resp_snapshots_end_session(struct resp_snapshots *snapshots, uint64_t session_id)
{
    struct ended ended = {0};

    /* Relaxed: see the member. */
    if (Q_LIKELY(atomic_load_relaxed_u64(&snapshots->first_end_ms) == UINT64_MAX)) {
        return;
    }
    os_mutex_lock(&snapshots->mutex);
    for (size_t i = 0; i < RESP_SNAPSHOTS_MAX; i++) {
        struct slot *slot = &snapshots->slots[i];

        if (slot->id != 0 && !slot->is_over && slot->session_id == session_id) {
            end_locked(slot, &ended);
        }
    }
    note_first_end_locked(snapshots);
    os_mutex_unlock(&snapshots->mutex);
    give_back(snapshots, &ended);
}

static Q_NOINLINE void end_overdue(struct resp_snapshots *snapshots, uint64_t now_ms)
{
    struct ended ended = {0};

    os_mutex_lock(&snapshots->mutex);
    for (size_t i = 0; i < RESP_SNAPSHOTS_MAX; i++) {
        struct slot *slot = &snapshots->slots[i];

        if (slot->id != 0 && !slot->is_over && now_ms >= slot->taken_ms + RESP_SNAPSHOT_LIFE_MS) {
            end_locked(slot, &ended);
        }
    }
    note_first_end_locked(snapshots);
    os_mutex_unlock(&snapshots->mutex);
    give_back(snapshots, &ended);
}

void resp_snapshots_tick(struct resp_snapshots *snapshots, uint64_t now_ms)
{
    /* Relaxed: see the member. */
    if (Q_UNLIKELY(now_ms >= atomic_load_relaxed_u64(&snapshots->first_end_ms))) {
        end_overdue(snapshots, now_ms);
    }
}

const struct quarry_kv_snapshot *resp_snapshots_acquire(struct resp_snapshots *snapshots,
                                                        uint16_t tenant, uint64_t id)
{
    const struct quarry_kv_snapshot *snapshot = NULL;

    os_mutex_lock(&snapshots->mutex);
    struct slot *slot = find_locked(snapshots, tenant, id);
    if (slot != NULL) {
        slot->use_count++;
        snapshot = slot->snapshot;
    }
    os_mutex_unlock(&snapshots->mutex);
    return snapshot;
}

void resp_snapshots_release(struct resp_snapshots *snapshots, uint64_t id)
{
    struct ended ended = {0};

    os_mutex_lock(&snapshots->mutex);
    for (size_t i = 0; i < RESP_SNAPSHOTS_MAX; i++) {
        struct slot *slot = &snapshots->slots[i];

        if (slot->id == id) {
            Q_ASSERT(slot->use_count > 0);
            slot->use_count--;
            if (slot->is_over) {
                end_locked(slot, &ended);
            }
        }
    }
    os_mutex_unlock(&snapshots->mutex);
    give_back(snapshots, &ended);
}

size_t resp_snapshots_list(struct resp_snapshots *snapshots, uint16_t tenant,
                           struct resp_snapshot_told told[RESP_SNAPSHOTS_PER_TENANT])
{
    size_t count = 0;

    os_mutex_lock(&snapshots->mutex);
    for (size_t i = 0; i < RESP_SNAPSHOTS_MAX; i++) {
        const struct slot *slot = &snapshots->slots[i];

        if (slot->id == 0 || slot->is_over || slot->tenant != tenant) {
            continue;
        }
        size_t at = count++;
        for (; at > 0 && told[at - 1].id > slot->id; at--) {
            told[at] = told[at - 1];
        }
        told[at] =
            (struct resp_snapshot_told){.id = slot->id,
                                        .session_id = slot->session_id,
                                        .taken_ms = slot->taken_ms,
                                        .ends_ms = slot->taken_ms + RESP_SNAPSHOT_LIFE_MS,
                                        .sequence = quarry_kv_snapshot_sequence(slot->snapshot)};
    }
    os_mutex_unlock(&snapshots->mutex);
    return count;
}
