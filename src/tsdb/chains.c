/*
 * Linear hashing over links that lie in the entries.
 *
 *     heads ──> piece: 1,024 buckets, a number each (0: empty)
 *               number ──link──> number ──link──> 0
 *
 * There are 2^L ≤ n < 2^(L+1) buckets. A hash's bucket is its low L + 1 bits if that bucket is
 * there, else its low L bits. Growing adds bucket n and moves to it those of bucket n - 2^L whose
 * bit L is set; shrinking puts them back. So one insert moves one chain, and one removal joins two.
 *
 * Invariants
 *   1. A number is in the chain that bucket_of says, once.
 *   2. bucket_count is 0, before the first entry, or at least one piece; pieces beyond it are gone.
 *
 * Locking: the owner's.
 *
 * Cost: 4 bytes an entry, chains of one entry on average. Rejected: open addressing of numbers,
 * rebuilt when full, for at a million series that is some 100 ms in which no series is created.
 */
#include <tsdb/chains.h>

/* Buckets of a piece; what the smallest table has. 4 KiB: doubling doubles that. */
#define PIECE_BUCKETS 1024u

void tsdb_chains_init(struct tsdb_chains *chains, const struct tsdb_memory *memory,
                      tsdb_chains_link_function *link, void *owner)
{
    Q_ASSERT(link != NULL && memory != NULL);
    *chains = (struct tsdb_chains){.memory = memory, .link = link, .owner = owner};
}

void tsdb_chains_fini(struct tsdb_chains *chains)
{
    for (uint32_t i = 0; i < chains->bucket_count; i += PIECE_BUCKETS) {
        tsdb_memory_give(chains->memory, chains->heads[i / PIECE_BUCKETS]);
    }
    tsdb_memory_give(chains->memory, (void *)chains->heads);
    chains->heads = NULL;
    chains->bucket_count = 0;
}

static uint32_t *head_of(const struct tsdb_chains *chains, uint32_t bucket)
{
    return &chains->heads[bucket / PIECE_BUCKETS][bucket % PIECE_BUCKETS];
}

/* 2^L, of which there are as many buckets or more. */
static uint32_t level_of(const struct tsdb_chains *chains)
{
    return UINT32_C(1) << bits_log2_floor_u32(chains->bucket_count);
}

static uint32_t bucket_of(const struct tsdb_chains *chains, uint32_t hash)
{
    uint32_t level = level_of(chains), bucket = hash & (2 * level - 1);

    return bucket < chains->bucket_count ? bucket : hash & (level - 1);
}

/* A piece of empty buckets behind the last. */
static enum quarry_status add_piece(struct tsdb_chains *chains)
{
    size_t index = chains->bucket_count / PIECE_BUCKETS;
    void *heads = (void *)chains->heads;
    enum quarry_status status = tsdb_memory_grow(chains->memory, &heads, &chains->capacity,
                                                 index + 1, sizeof(chains->heads[0]));

    chains->heads = heads;
    if (status != QUARRY_OK) {
        return status;
    }
    chains->heads[index] = tsdb_memory_take_zero(chains->memory, PIECE_BUCKETS * sizeof(uint32_t));
    return chains->heads[index] == NULL ? QUARRY_NO_MEMORY : QUARRY_OK;
}

enum quarry_status tsdb_chains_begin(struct tsdb_chains *chains)
{
    if (chains->bucket_count != 0) {
        return QUARRY_OK;
    }
    enum quarry_status status = add_piece(chains);
    if (status == QUARRY_OK) {
        chains->bucket_count = PIECE_BUCKETS;
    }
    return status;
}

void tsdb_chains_reserve(struct tsdb_chains *chains, uint32_t count)
{
    Q_ASSERT(chains->entry_count == 0 && chains->bucket_count != 0);
    while (chains->bucket_count < count && chains->bucket_count <= UINT32_MAX / 4 &&
           add_piece(chains) == QUARRY_OK) {
        chains->bucket_count += PIECE_BUCKETS;
    }
}

/* ---- one bucket more, one less -------------------------------------------------------------- */

static void split_one(struct tsdb_chains *chains)
{
    uint32_t added = chains->bucket_count, hash;

    if (added > UINT32_MAX / 4 || (added % PIECE_BUCKETS == 0 && add_piece(chains) != QUARRY_OK)) {
        return; /* chains become longer */
    }
    uint32_t level = level_of(chains);
    uint32_t *from = head_of(chains, added - level), *to = head_of(chains, added);
    chains->bucket_count++;
    for (uint32_t number = *from; number != 0;) {
        uint32_t *link = chains->link(chains->owner, number, &hash), next = *link;
        if ((hash & level) != 0) {
            *from = next;
            *link = *to;
            *to = number;
        } else {
            from = link;
        }
        number = next;
    }
}

static void join_one(struct tsdb_chains *chains)
{
    uint32_t gone = chains->bucket_count - 1, hash;

    chains->bucket_count = gone;
    uint32_t *to = head_of(chains, gone - level_of(chains)), *from = head_of(chains, gone);
    while (*to != 0) {
        to = chains->link(chains->owner, *to, &hash);
    }
    *to = *from;
    *from = 0;
    if (gone % PIECE_BUCKETS == 0) {
        tsdb_memory_give(chains->memory, chains->heads[gone / PIECE_BUCKETS]);
    }
}

/* ---- entries -------------------------------------------------------------------------------- */

void tsdb_chains_insert(struct tsdb_chains *chains, uint32_t number)
{
    uint32_t hash;

    Q_ASSERT(chains->bucket_count != 0 && number != 0);
    if (chains->entry_count >= chains->bucket_count) {
        split_one(chains);
    }
    uint32_t *link = chains->link(chains->owner, number, &hash);
    uint32_t *head = head_of(chains, bucket_of(chains, hash));
    *link = *head;
    *head = number;
    chains->entry_count++;
}

void tsdb_chains_remove(struct tsdb_chains *chains, uint32_t number)
{
    uint32_t hash, other_hash;
    uint32_t *link = chains->link(chains->owner, number, &hash);
    uint32_t *at = head_of(chains, bucket_of(chains, hash));

    while (*at != number) {
        Q_ASSERT(*at != 0); /* invariant 1 */
        at = chains->link(chains->owner, *at, &other_hash);
    }
    *at = *link;
    *link = 0;
    chains->entry_count--;
    if (chains->entry_count < chains->bucket_count / 2 && chains->bucket_count > PIECE_BUCKETS) {
        join_one(chains);
    }
}

uint32_t tsdb_chains_first(const struct tsdb_chains *chains, uint32_t hash)
{
    return chains->bucket_count == 0 ? 0 : *head_of(chains, bucket_of(chains, hash));
}

void tsdb_chains_prefetch(const struct tsdb_chains *chains, uint32_t hash)
{
    __builtin_prefetch(head_of(chains, bucket_of(chains, hash)));
}

uint64_t tsdb_chains_held_bytes(const struct tsdb_chains *chains)
{
    uint64_t pieces = (chains->bucket_count + PIECE_BUCKETS - 1) / PIECE_BUCKETS;

    return pieces * PIECE_BUCKETS * sizeof(uint32_t) + chains->capacity * sizeof(chains->heads[0]);
}
