/*
 * A skiplist that many threads insert into at once, and from which nothing is ever removed.
 *
 *     level 2   head ───────────────────────────> [m] ─────────────────> 0
 *     level 1   head ─────────> [d] ────────────> [m] ─────────────────> 0
 *     level 0   head ──> [b] ─> [d] ──> [f] ────> [m] ──> [p] ──> [t] ─> 0
 *                    <──     <─     <──     <──       <──     <──   previous
 *
 * A node is named by its offset in the arena, in 32 bits; the links of its higher levels lie below
 * it, so that the part that every comparison reads comes first: link, prefix, trailer in 24 bytes,
 * and the key right behind. Half of all comparisons end at the prefix.
 *
 * Inserting finds, at each level, the two nodes that the new one belongs between (a *splice*), and
 * links it from the bottom up, each level by one compare-and-swap. Where another thread was there
 * first, that level is searched on from where it was. From level 0 on the node is in the list; the
 * levels above are short cuts.
 *
 * Back links exist at level 0 alone, and are hints: `previous` is some node before this one, that
 * was directly before it once. The real one is found by walking forward from there, which is no
 * step at all unless two threads inserted at this place at once.
 *
 * A node that a newer one of the same key stands before is marked as superseded, in `previous`.
 * Who finds a node by its key, not by the list, knows by that whether it is the newest.
 *
 * Splices are kept between insertions. If the next key is after the last one, and before what
 * followed it at one of the lowest levels, the search begins there: a sorted batch costs two
 * comparisons a key. Else, if somebody knows an older node of the same key, the new one goes right
 * before that one, and gets no short cuts: those to the oldest of its key are as good. One node in
 * e^3 gets them all the same, lest a key that is written all the time be a list to walk along.
 * Otherwise the search begins at the top.
 *
 * A search at random waits for memory most of its time, once for each node of the lower levels.
 * Those of several keys can take turns: each looks at the node that it asked for last, asks for the
 * next, and lets the others go on. What it finds is a *place*, the nodes before it at the lowest
 * levels: they are before it whatever is inserted meanwhile, for nothing is removed. Its neighbours
 * are a few steps from there.
 *
 * A search remembers how many bytes of the key sought each of the two nodes that it lies between
 * begins with. All between them begin with the lesser of the two, which is not compared again: one
 * word of most keys is looked at, wherever they begin to differ.
 *
 * Invariants
 *   1. Each level is in the order of internal keys, and its nodes are all in the level below.
 *   2. Links only change from a node to one between; so what was before a key stays before it.
 *   3. In a splice, previous[n + 1] <= previous[n] <= the last key inserted < next[n] <=
 *      next[n + 1], unless previous[0] is the head: then the others are not used.
 *   4. `previous` is before its node, and never changes back from superseded.
 *   5. Every key between the nodes of `struct bounds` begins with as many bytes of the target's.
 *
 * Locking: none. Readers take no notice of writers, but for acquire loads of links.
 * Cost: a search of n nodes touches about 1.7 ln n of them, the upper ones in cache; the link of
 * the level below is fetched while the key is compared.
 *
 * Rejected: links back at all levels, as Pebble's: 4 bytes more for each, to save walking that
 * hardly happens. Reverse iteration by search from the top: ln n misses a step. Beginning with
 * fixed-size towers of 20: 76 bytes a node. A search that climbs from the last place by all levels:
 * keys at random would pay for it half of the time.
 *
 * Source: Pebble's arenaskl; RocksDB's InlineSkipList (links below the node, splices).
 */
#include <kv/memtable_list.h>

/* How many levels a search climbs from where the last one ended. Each more is a comparison more
 * for keys at random that come after the last one. */
#define CLIMB_LEVELS 4u
/* How far a place may lie before a key: nodes that came between, most often none. Keys whose tags
 * are alike by somebody's will are not walked to. */
#define PLACE_STEPS_MAX 16u

/* ---- comparing ------------------------------------------------------------------------------ */

/* Whether a node comes before what is sought, given equal prefixes. */
Q_NOINLINE static bool is_before_behind_prefix(const struct kv_list *list,
                                               const struct kv_node *node,
                                               const struct kv_list_target *target)
{
    struct kv_slice key = kv_node_key(node);
    int order = Q_LIKELY(list->comparator->compare == NULL)
                    ? kv_compare_behind_prefix(key, target->key)
                    : kv_compare(list->comparator, key, target->key);

    return order != 0 ? order < 0 : node->trailer > target->trailer;
}

/* Bytes that two unlike words, loaded as big-endian, begin with alike. */
static inline uint32_t alike(uint64_t a, uint64_t b)
{
    return bits_leading_zeros_u64(a ^ b) / 8;
}

/* Whether a node's key has 16 bytes, and a length of one byte. */
static inline bool is_ordinary(const struct kv_node *node)
{
    return (uint8_t)(node->data[0] - 16) < 0x80 - 16;
}

/* kv_node_has_key, with a look at the second word first: keys often begin alike. */
static inline bool is_same_key(const struct kv_list *list, const struct kv_node *node,
                               const struct kv_list_target *target)
{
    if (node->prefix != target->prefix ||
        (target->is_ordinary && is_ordinary(node) &&
         endian_load_be_u64(node->data + 1 + 8) != endian_load_be_u64(target->key.bytes + 8))) {
        return false;
    }
    return kv_node_has_key(list, node, target->key, target->prefix);
}

/*
 * Whether a node comes before what is sought. Given that its key begins with `*common` bytes of the
 * target's, which becomes a number of bytes that it does begin with.
 */
static inline bool is_before_from(const struct kv_list *list, uint32_t offset,
                                  const struct kv_list_target *target, uint32_t *common)
{
    const struct kv_node *node = kv_node_at(list, offset);

    if (Q_UNLIKELY(!target->is_ordinary || !is_ordinary(node))) {
        *common = 0;
        return node->prefix != target->prefix ? node->prefix < target->prefix
                                              : is_before_behind_prefix(list, node, target);
    }
    uint64_t a = node->prefix, b = target->prefix;
    uint32_t from = 0;
    if (*common != 0 || a == b) {
        uint32_t least = (uint32_t)size_min(node->data[0], target->key.count);
        from = *common != 0 ? *common : 8;
        from = from < least - 8 ? from : least - 8;
        a = endian_load_be_u64(node->data + 1 + from);
        b = endian_load_be_u64(target->key.bytes + from);
    }
    if (Q_LIKELY(a != b)) {
        *common = from + alike(a, b);
        return a < b;
    }
    *common = from + 8;
    return is_before_behind_prefix(list, node, target);
}

static inline bool is_before(const struct kv_list *list, uint32_t offset,
                             const struct kv_list_target *target)
{
    uint32_t common = 0;

    return is_before_from(list, offset, target, &common);
}

/* ---- searching ------------------------------------------------------------------------------ */

/* How many bytes of the target's key the nodes on both sides of it begin with, at least. */
struct bounds {
    uint32_t before, next;
};

/*
 * Goes along a level from a node before the target: `*before` becomes the last one that is.
 * `known`: a node that is known not to be; 0: none is. `bounds` are those of `*before` and `known`,
 * and become those of what is found. Returns: the first one that is not; 0: none.
 */
static Q_ALWAYS_INLINE uint32_t search_level(const struct kv_list *list,
                                             const struct kv_list_target *target, uint32_t level,
                                             uint32_t known, uint32_t *before,
                                             struct bounds *bounds)
{
    for (;;) {
        struct kv_node *node = kv_node_at(list, *before);
        /* Acquire: pairs with the release in link_level. */
        uint32_t next = atomic_load_acquire_u32(kv_node_next(node, level));
        if (next == known || next == 0) {
            return next; /* of none above there is none below either */
        }
        if (level != 0) {
            /* Where the search goes if this node is not before: a hint, so relaxed. */
            __builtin_prefetch(list->base + atomic_load_relaxed_u32(kv_node_next(node, level - 1)));
        }
        uint32_t common = bounds->before < bounds->next ? bounds->before : bounds->next;
        if (!is_before_from(list, next, target, &common)) {
            bounds->next = common;
            return next;
        }
        bounds->before = common;
        *before = next;
    }
}

/* After another thread was there first: from where it was, of what is known nothing. */
Q_NOINLINE static void search_again(const struct kv_list *list, const struct kv_list_target *target,
                                    uint32_t level, struct kv_memtable_splice *splice)
{
    struct bounds bounds = {0, 0};

    splice->next[level] = search_level(list, target, level, 0, &splice->previous[level], &bounds);
}

uint32_t kv_list_seek(const struct kv_list *list, const struct kv_list_target *target,
                      uint32_t *ret_before)
{
    uint32_t before = list->head, next = 0;
    struct bounds bounds = {0, 0};

    /* Relaxed: a level too few or too many is only a slower search. */
    for (uint32_t level = atomic_load_relaxed_u32(&list->height); level-- > 0;) {
        next = search_level(list, target, level, next, &before, &bounds);
    }
    if (ret_before != NULL) {
        *ret_before = before;
    }
    return next;
}

uint32_t kv_list_last(const struct kv_list *list)
{
    uint32_t at = list->head, next;

    for (uint32_t level = atomic_load_relaxed_u32(&list->height); level-- > 0;) {
        /* Acquire: pairs with the release in link_level. */
        while ((next = atomic_load_acquire_u32(kv_node_next(kv_node_at(list, at), level))) != 0) {
            at = next;
        }
    }
    return at == list->head ? 0 : at;
}

uint32_t kv_list_previous(const struct kv_list *list, uint32_t offset)
{
    /* Acquire: pairs with the release in set_previous. */
    uint32_t at =
        atomic_load_acquire_u32(&kv_node_at(list, offset)->previous) & ~KV_NODE_SUPERSEDED;
    uint32_t next;

    while ((next = kv_list_next(list, at)) != offset) {
        Q_DCHECK(next != 0); /* invariant 4 */
        at = next;
    }
    return at;
}

/* From the top: fills in the splice at every level of the list. */
static void search_all(const struct kv_list *list, const struct kv_list_target *target,
                       struct kv_memtable_splice *splice)
{
    uint32_t before = list->head, next = 0;
    struct bounds bounds = {0, 0};

    for (uint32_t level = atomic_load_relaxed_u32(&list->height); level-- > 0;) {
        next = search_level(list, target, level, next, &before, &bounds);
        splice->previous[level] = before;
        splice->next[level] = next;
    }
}

/* One of the searches that take turns. */
struct search {
    const struct kv_list_target *target;
    struct kv_memtable_place *place;
    uint32_t level;  /* at which it is */
    uint32_t before; /* as in search_level */
    uint32_t known;
    uint32_t next; /* to be looked at: asked for */
    struct bounds bounds;
};

/* Asks for both lines that a node's links, prefix and key may be in. */
static inline void fetch_node(const struct kv_list *list, uint32_t offset)
{
    __builtin_prefetch(list->base + offset);
    __builtin_prefetch(list->base + offset + KV_NODE_BYTES + 16);
}

/* Down from `level` to where another node is to be looked at. Returns: false: the place is found.
 */
static bool find_next(const struct kv_list *list, struct search *search)
{
    for (;;) {
        /* Acquire: pairs with the release in link_level. */
        uint32_t next =
            atomic_load_acquire_u32(kv_node_next(kv_node_at(list, search->before), search->level));
        if (next != search->known && next != 0) {
            search->next = next;
            fetch_node(list, next);
            return true;
        }
        search->known = next;
        if (search->level < KV_MEMTABLE_PLACE_LEVELS) {
            search->place->previous[search->level] = search->before;
        }
        if (search->level-- == 0) {
            return false;
        }
    }
}

/* Looks at the node that was asked for. Returns: as find_next. */
static bool step(const struct kv_list *list, struct search *search)
{
    struct bounds *bounds = &search->bounds;
    uint32_t common = bounds->before < bounds->next ? bounds->before : bounds->next;

    if (is_before_from(list, search->next, search->target, &common)) {
        bounds->before = common;
        search->before = search->next;
    } else {
        bounds->next = common;
        search->known = search->next;
    }
    return find_next(list, search);
}

void kv_list_search_many(const struct kv_list *list, const struct kv_list_target *targets,
                         size_t count, struct kv_memtable_place *ret_places)
{
    struct search searches[KV_MEMTABLE_AHEAD];
    size_t left = 0;
    /* Relaxed: as in kv_list_seek. */
    uint32_t height = atomic_load_relaxed_u32(&list->height);

    Q_DCHECK(count <= KV_MEMTABLE_AHEAD);
    for (size_t i = 0; i < count; i++) {
        searches[left] = (struct search){.target = &targets[i],
                                         .place = &ret_places[i],
                                         .level = height - 1,
                                         .before = list->head};
        for (uint32_t level = height; level < KV_MEMTABLE_PLACE_LEVELS; level++) {
            ret_places[i].previous[level] = list->head;
        }
        left += find_next(list, &searches[left]);
    }
    while (left != 0) {
        for (size_t i = 0; i < left;) {
            if (step(list, &searches[i])) {
                i++;
            } else {
                searches[i] = searches[--left];
            }
        }
    }
}

/* From where the last insertion was. Returns: false: the target is not near behind it. */
static bool search_near(const struct kv_list *list, const struct kv_list_target *target,
                        struct kv_memtable_splice *splice)
{
    uint32_t level = 0;

    if (splice->previous[0] == list->head || !is_before(list, splice->previous[0], target)) {
        return false;
    }
    while (splice->next[level] != 0 && is_before(list, splice->next[level], target)) {
        if (++level == CLIMB_LEVELS) {
            return false;
        }
    }
    /* The levels above this one lie around the target already (invariant 3). */
    uint32_t before = splice->previous[level], next = splice->next[level];
    struct bounds bounds = {0, 0};
    for (level++; level-- > 0;) {
        next = search_level(list, target, level, next, &before, &bounds);
        splice->previous[level] = before;
        splice->next[level] = next;
    }
    return true;
}

/* ---- inserting ------------------------------------------------------------------------------ */

enum quarry_status kv_list_init(struct kv_list *list, struct quarry_arena *arena,
                                const struct quarry_kv_comparator *comparator)
{
    uint32_t tower_bytes = kv_node_tower_bytes(KV_MEMTABLE_HEIGHT_MAX), offset;
    enum quarry_status status = arena_alloc(arena, tower_bytes + KV_NODE_BYTES, 8, &offset);

    if (status != QUARRY_OK) {
        return status;
    }
    memset(arena_at(arena, offset), 0, tower_bytes + KV_NODE_BYTES);
    *list = (struct kv_list){
        .base = arena->base, .comparator = comparator, .head = offset + tower_bytes};
    atomic_store_relaxed_u32(&list->height, 1);
    return QUARRY_OK;
}

void kv_list_splice_init(const struct kv_list *list, struct kv_memtable_splice *splice)
{
    for (uint32_t level = 0; level < KV_MEMTABLE_HEIGHT_MAX; level++) {
        splice->previous[level] = list->head;
        splice->next[level] = 0;
    }
}

static void raise_height(struct kv_list *list, uint32_t height)
{
    uint32_t before = atomic_load_relaxed_u32(&list->height);

    /* Relaxed: the head has links of all levels from the start. */
    while (before < height && !atomic_cas_weak_relaxed_u32(&list->height, &before, height)) {
    }
}

/* `node` now stands before `next`. A mark that is there stays (invariant 4): who would take it away
 * came too late, for between a node and a newer one of its key comes only the same key. */
static void set_previous(struct kv_node *next, uint32_t node, bool has_same_key)
{
    uint32_t before = atomic_load_relaxed_u32(&next->previous);
    uint32_t after = node | (has_same_key ? KV_NODE_SUPERSEDED : 0);

    do {
        if ((before & KV_NODE_SUPERSEDED) != 0 && !has_same_key) {
            return;
        }
        /* Release: pairs with the acquire in kv_list_previous, and in the reading of the mark. */
    } while (!atomic_cas_weak_release_u32(&next->previous, &before, after));
}

/*
 * Links a node at one level; the splice may be behind the times. Returns: whether it was. Then what
 * it has of this level may lie within what it has of the one below, against invariant 3.
 */
static bool link_level(struct kv_list *list, uint32_t offset, uint32_t level,
                       const struct kv_list_target *target, struct kv_memtable_splice *splice)
{
    struct kv_node *node = kv_node_at(list, offset);

    for (bool was_late = false;; was_late = true) {
        struct kv_node *before = kv_node_at(list, splice->previous[level]);
        uint32_t expected = splice->next[level];
        /* Relaxed: published by the exchange. */
        atomic_store_relaxed_u32(kv_node_next(node, level), expected);
        /* Release: pairs with the acquire loads of links: the node is whole. */
        if (atomic_cas_release_u32(kv_node_next(before, level), &expected, offset)) {
            return was_late;
        }
        search_again(list, target, level, splice);
    }
}

/* At the bottom, with the back links on both sides. */
static void link_bottom(struct kv_list *list, uint32_t offset, const struct kv_list_target *target,
                        struct kv_memtable_splice *splice)
{
    struct kv_node *node = kv_node_at(list, offset);

    for (;;) {
        uint32_t previous = splice->previous[0], expected = splice->next[0];
        struct kv_node *before = kv_node_at(list, previous);
        bool is_older = previous != list->head && is_same_key(list, before, target);
        /* Relaxed, both: published by the exchange. */
        atomic_store_relaxed_u32(&node->previous, previous | (is_older ? KV_NODE_SUPERSEDED : 0));
        atomic_store_relaxed_u32(&node->next, expected);
        /* Release: as in link_level. */
        if (atomic_cas_release_u32(&before->next, &expected, offset)) {
            break;
        }
        search_again(list, target, 0, splice);
    }
    if (splice->next[0] != 0) {
        struct kv_node *next = kv_node_at(list, splice->next[0]);
        set_previous(next, offset, is_same_key(list, next, target));
    }
}

/* Links a node at all levels where the splice says. */
static inline void link_all(struct kv_list *list, uint32_t offset, uint32_t height,
                            const struct kv_list_target *target, struct kv_memtable_splice *splice)
{
    bool was_late = false;

    link_bottom(list, offset, target, splice);
    splice->previous[0] = offset;
    for (uint32_t level = 1; level < height; level++) {
        was_late |= link_level(list, offset, level, target, splice);
        splice->previous[level] = offset;
    }
    if (was_late) {
        splice->previous[0] = list->head; /* so that the next search is from the top */
    }
}

bool kv_list_insert_near(struct kv_list *list, uint32_t offset, uint32_t height,
                         struct kv_memtable_splice *splice)
{
    const struct kv_node *node = kv_node_at(list, offset);
    const struct kv_list_target target = kv_list_target(list, kv_node_key(node), node->trailer);

    Q_DCHECK(height >= 1 && height <= KV_MEMTABLE_HEIGHT_MAX);
    raise_height(list, height);
    if (!search_near(list, &target, splice)) {
        return false;
    }
    link_all(list, offset, height, &target, splice);
    return true;
}

bool kv_list_insert_before(struct kv_list *list, uint32_t offset, uint32_t older)
{
    const struct kv_node *node = kv_node_at(list, offset);
    const struct kv_list_target target = kv_list_target(list, kv_node_key(node), node->trailer);
    struct kv_memtable_splice splice;
    uint32_t previous = kv_list_previous(list, older);

    if (kv_node_at(list, older)->trailer >= target.trailer ||
        (previous != list->head && !is_before(list, previous, &target))) {
        return false; /* others have written the key meanwhile */
    }
    splice.previous[0] = previous;
    splice.next[0] = older;
    link_bottom(list, offset, &target, &splice);
    return true;
}

/* A few steps along a level. Returns: false: what is sought is further on. */
static bool walk_level(const struct kv_list *list, const struct kv_list_target *target,
                       uint32_t level, struct kv_memtable_splice *splice)
{
    for (uint32_t step = 0; step < PLACE_STEPS_MAX; step++) {
        /* Acquire: pairs with the release in link_level. */
        uint32_t next =
            atomic_load_acquire_u32(kv_node_next(kv_node_at(list, splice->previous[level]), level));
        if (next == 0 || !is_before(list, next, target)) {
            splice->next[level] = next;
            return true;
        }
        splice->previous[level] = next;
    }
    return false;
}

bool kv_list_insert_at(struct kv_list *list, uint32_t offset, uint32_t height,
                       const struct kv_memtable_place *place)
{
    const struct kv_node *node = kv_node_at(list, offset);
    const struct kv_list_target target = kv_list_target(list, kv_node_key(node), node->trailer);
    struct kv_memtable_splice splice;

    /* What the lowest one is before, the others are too. */
    if (height > KV_MEMTABLE_PLACE_LEVELS ||
        (place->previous[0] != list->head && !is_before(list, place->previous[0], &target))) {
        return false;
    }
    for (uint32_t level = 0; level < height; level++) {
        splice.previous[level] = place->previous[level];
        if (!walk_level(list, &target, level, &splice)) {
            return false;
        }
    }
    raise_height(list, height);
    link_all(list, offset, height, &target, &splice);
    return true;
}

void kv_list_insert_far(struct kv_list *list, uint32_t offset, uint32_t height,
                        struct kv_memtable_splice *splice)
{
    const struct kv_node *node = kv_node_at(list, offset);
    const struct kv_list_target target = kv_list_target(list, kv_node_key(node), node->trailer);

    raise_height(list, height);
    search_all(list, &target, splice);
    link_all(list, offset, height, &target, splice);
}

/* ---- checking ------------------------------------------------------------------------------- */

/* A level is in order, and each of its nodes is in the level below (invariant 1). */
static uint64_t validate_level(const struct kv_list *list, uint32_t level)
{
    uint32_t at = list->head, below = list->head;
    uint64_t count = 0;

    for (;;) {
        uint32_t next = atomic_load_acquire_u32(kv_node_next(kv_node_at(list, at), level));
        if (next == 0) {
            return count;
        }
        const struct kv_node *node = kv_node_at(list, next);
        const struct kv_list_target target = kv_list_target(list, kv_node_key(node), node->trailer);
        Q_ASSERT(node->prefix == target.prefix);
        Q_ASSERT(at == list->head || is_before(list, at, &target));
        while (level != 0 && below != next) {
            below = atomic_load_acquire_u32(kv_node_next(kv_node_at(list, below), level - 1));
            Q_ASSERT(below != 0);
        }
        at = next;
        count++;
    }
}

static void validate_back_links(const struct kv_list *list)
{
    uint32_t at = list->head, next;

    for (; (next = kv_list_next(list, at)) != 0; at = next) {
        const struct kv_node *node = kv_node_at(list, next);
        bool is_marked = (atomic_load_acquire_u32(&node->previous) & KV_NODE_SUPERSEDED) != 0;
        bool is_older = at != list->head && kv_node_has_key(list, kv_node_at(list, at),
                                                            kv_node_key(node), node->prefix);
        Q_ASSERT(kv_list_previous(list, next) == at);
        Q_ASSERT(is_marked == is_older);
    }
    Q_ASSERT(kv_list_last(list) == (at == list->head ? 0 : at));
}

uint64_t kv_list_validate(const struct kv_list *list)
{
    uint64_t count = validate_level(list, 0);

    for (uint32_t level = 1; level < KV_MEMTABLE_HEIGHT_MAX; level++) {
        uint64_t above = validate_level(list, level);
        Q_ASSERT(above <= count);
        Q_ASSERT(above == 0 || level < atomic_load_relaxed_u32(&list->height));
    }
    validate_back_links(list);
    return count;
}
