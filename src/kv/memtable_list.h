/*
 * The skiplist of a memtable: nodes in an arena, inserted by many threads at once.
 *
 *     … | next, level 2 | next, level 1 | next, level 0 | previous | prefix | trailer | key | value
 *       <-- as many as its height has --> ^ the node's offset                         ^ data
 *
 * memtable_list.c has the essay.
 */
#ifndef QUARRY_KV_MEMTABLE_LIST_H
#define QUARRY_KV_MEMTABLE_LIST_H

#include <arena/arena.h>

#include <kv/memtable.h>

/* In `previous`: the node before this one has the same key, and so is newer. */
#define KV_NODE_SUPERSEDED 1u

struct kv_node {
    _Atomic uint32_t next;     /* 0: none; of level n, n words below */
    _Atomic uint32_t previous; /* some node before this one, and KV_NODE_SUPERSEDED */
    uint64_t prefix;           /* kv_prefix8 of the key; 0 with another comparator than memcmp */
    uint64_t trailer;
    uint8_t data[]; /* length of the key as a varint, key; likewise the value */
};
#define KV_NODE_BYTES ((uint32_t)sizeof(struct kv_node))
Q_STATIC_ASSERT(sizeof(struct kv_node) == 24, "three words before the key");

struct kv_list {
    /* const after init */
    char *base; /* of the arena */
    const struct quarry_kv_comparator *comparator;
    uint32_t head; /* a node of full height that has no key, and comes before all */
    /* atomic */
    _Atomic uint32_t height; /* of the highest node: from 1 */
};

/* What is sought: the first node that is not before a key and trailer. */
struct kv_list_target {
    struct kv_slice key;
    uint64_t prefix;
    uint64_t trailer;
    bool is_ordinary; /* its bytes are compared, and there are 16 of them at least */
};

static inline struct kv_node *kv_node_at(const struct kv_list *list, uint32_t offset)
{
    Q_DCHECK(offset >= QUARRY_ARENA_GRANULE);
    return (struct kv_node *)(void *)(list->base + offset);
}

static inline _Atomic uint32_t *kv_node_next(struct kv_node *node, uint32_t level)
{
    return &node->next - level;
}

/* A length and where its bytes begin. What is in the arena was written by us. */
static inline struct kv_slice kv_node_slice(const uint8_t *at)
{
    uint32_t byte_count = 0;
    size_t length_bytes = varint_get_u32(at, at + VARINT_U32_BYTES_MAX, &byte_count);

    return kv_slice(at + length_bytes, byte_count);
}
static inline struct kv_slice kv_node_key(const struct kv_node *node)
{
    return kv_node_slice(node->data);
}
static inline struct kv_slice kv_node_value(const struct kv_node *node)
{
    struct kv_slice key = kv_node_key(node);

    return kv_node_slice((const uint8_t *)key.bytes + key.count);
}

/* Bytes above the header that a node's links need: they are below it, and it is aligned. */
static inline uint32_t kv_node_tower_bytes(uint32_t height)
{
    return ((height - 1) * 4 + 7) & ~7u;
}
/* Bytes of a key, a value and their lengths. */
static inline uint64_t kv_node_data_bytes(size_t key_bytes, size_t value_bytes)
{
    return varint_length_u64(key_bytes) + key_bytes + varint_length_u64(value_bytes) + value_bytes;
}
/* Bytes of a node in the arena: below 2^34. */
static inline uint64_t kv_node_total_bytes(uint32_t height, uint64_t data_bytes)
{
    return kv_node_tower_bytes(height) + ((KV_NODE_BYTES + data_bytes + 7) & ~UINT64_C(7));
}

static inline uint64_t kv_list_prefix(const struct kv_list *list, struct kv_slice key)
{
    return list->comparator->compare == NULL ? kv_prefix8(key) : 0;
}

static inline struct kv_list_target kv_list_target(const struct kv_list *list, struct kv_slice key,
                                                   uint64_t trailer)
{
    bool is_ordinary = list->comparator->compare == NULL && key.count >= 16;

    return (struct kv_list_target){key, kv_list_prefix(list, key), trailer, is_ordinary};
}

/* Orders keys whose prefixes are equal. Inline words: keys are short, and memcmp is a call. */
static inline int kv_compare_behind_prefix(struct kv_slice a, struct kv_slice b)
{
    size_t least = a.count < b.count ? a.count : b.count;

    if (least > 8) {
        for (size_t at = 8; at < least; at += 8) {
            /* The last word may reach back into what has been compared. */
            size_t from = at + 8 <= least ? at : least - 8;
            uint64_t x = endian_load_be_u64(a.bytes + from);
            uint64_t y = endian_load_be_u64(b.bytes + from);
            if (x != y) {
                return x < y ? -1 : 1;
            }
        }
    }
    /* Up to 8 bytes: the shorter one was filled with zeros, so it is how the other begins. */
    return (a.count > b.count) - (a.count < b.count);
}

static inline bool kv_node_has_key(const struct kv_list *list, const struct kv_node *node,
                                   struct kv_slice key, uint64_t prefix)
{
    if (node->prefix != prefix) {
        return false;
    }
    if (Q_LIKELY(list->comparator->compare == NULL)) {
        return kv_compare_behind_prefix(kv_node_key(node), key) == 0;
    }
    return kv_compare(list->comparator, kv_node_key(node), key) == 0;
}

/*
 * An empty list, whose head is in the arena. `splice`s of it are from then on known by the caller.
 * Errors: as quarry_arena_alloc.
 */
enum quarry_status kv_list_init(struct kv_list *list, struct quarry_arena *arena,
                                const struct quarry_kv_comparator *comparator);

/*
 * Where keys belong, searched for side by side: while one search waits for memory, the others go
 * on. `ret_places`: of each target, for kv_list_insert_at. `count`: up to KV_MEMTABLE_AHEAD.
 * Threads: any. Cost: that of the searches, and of hardly more misses than one of them has.
 */
void kv_list_search_many(const struct kv_list *list, const struct kv_list_target *targets,
                         size_t count, struct kv_memtable_place *ret_places);

/* A splice that is nowhere. */
void kv_list_splice_init(const struct kv_list *list, struct kv_memtable_splice *splice);

/*
 * Links a node, whose prefix, trailer and data are written. Threads: any, at once.
 * `splice`: where the thread inserted last, or as kv_list_splice_init left it.
 * Returns: false: it does not belong near there, and is not linked: kv_list_insert_far must follow,
 * or kv_list_insert_before.
 */
bool kv_list_insert_near(struct kv_list *list, uint32_t offset, uint32_t height,
                         struct kv_memtable_splice *splice);
/*
 * Links a node where a search that may be long ago found its place. Returns: false: it belongs
 * elsewhere, or is too high, and is not linked. Threads: any. Cost: two nodes are looked at.
 */
bool kv_list_insert_at(struct kv_list *list, uint32_t offset, uint32_t height,
                       const struct kv_memtable_place *place);
/* Links a node before `older`, one of the same key, without short cuts. Returns: false: it belongs
 * elsewhere, and is not linked. Threads: any. Cost: three nodes are looked at. */
bool kv_list_insert_before(struct kv_list *list, uint32_t offset, uint32_t older);
/* Links a node that kv_list_insert_near would not. Threads: any. */
void kv_list_insert_far(struct kv_list *list, uint32_t offset, uint32_t height,
                        struct kv_memtable_splice *splice);

/*
 * The first node that is not before a target; 0: none. `ret_before`: the last one before it, which
 * may be the head; NULL: not wanted. Threads: any.
 */
uint32_t kv_list_seek(const struct kv_list *list, const struct kv_list_target *target,
                      uint32_t *ret_before);
uint32_t kv_list_last(const struct kv_list *list);
/* The node before another, which may be the head. */
uint32_t kv_list_previous(const struct kv_list *list, uint32_t offset);

static inline uint32_t kv_list_next(const struct kv_list *list, uint32_t offset)
{
    /* Acquire: pairs with the release in link_level; what the node holds is there. */
    return atomic_load_acquire_u32(kv_node_next(kv_node_at(list, offset), 0));
}

/* Order, links of all levels and back links. No writer is at work. Returns: how many nodes. */
uint64_t kv_list_validate(const struct kv_list *list);

#endif
