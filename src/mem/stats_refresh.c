/*
 * A refresh of the statistics: what the heap has counted, published at once.
 *
 *   collect, while readers read    modules · heap map · pinners, each into private memory
 *   publish, the sequence odd      totals, rows, classes, modules, map, each stack's pinned bytes
 *
 * So the sequence is odd for the length of a copy, some 10 µs, and a reader that meets it waits.
 *
 * The seqlock has no fence (ThreadSanitizer could not see it): every word is stored by release and
 * loaded by acquire. A reader that got a word of the new state therefore sees the odd sequence too,
 * when it looks again at the end. On x86-64 all of these are plain moves.
 *
 * Invariants:
 *   1. One refresh at a time; the sequence is even outside mem_stats_refresh.
 *   2. Memory is charged before it is touched; a section that cannot be charged has count 0.
 *   3. No lock is held while the census' callback, the loader or the page heap is asked.
 *
 * Locking: is_refreshing, taken without waiting; the mutex for moments within, to charge memory and
 * to keep what a fork copies whole.
 */
#include <mem/stats_page.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <mem/modules.h>
#include <mem/pinners.h>

Q_STATIC_ASSERT(sizeof(struct mem_pinner) * MEM_STATS_SAMPLES_MAX <= MEM_STATS_WORK_BYTES,
                "every live sample may pin a span");
Q_STATIC_ASSERT(sizeof(struct mem_stats_module) * MEM_STATS_MODULES_MAX <= MEM_STATS_WORK_BYTES,
                "modules and pinners take turns");

struct refresh {
    struct mem_stats *stats;
    const struct mem_census *census;
    struct mem_stats_head *head;
    struct mem_stats_totals totals;
    uint32_t map_bytes;
    uint32_t pinned_stack_count; /* pinners, summed up by stack, in the work room */
};

static void *section_of(const struct refresh *refresh, enum mem_stats_section_id id)
{
    return (char *)refresh->head + mem_stats_layout(id).offset;
}

static bool room_extend(struct mem_stats *stats, struct mem_room *room, size_t bytes)
{
    os_mutex_lock(&stats->mutex); /* a fork finds the room whole */
    bool is_extended = mem_room_extend(room, bytes);
    os_mutex_unlock(&stats->mutex);
    return is_extended;
}

/* How many of `count` records can be written: all, or none where the budget is full. */
static uint32_t section_prepare(struct refresh *refresh, enum mem_stats_section_id id,
                                uint32_t count)
{
    struct mem_stats_section section = mem_stats_layout(id);
    uint64_t bytes = (uint64_t)count * section.record_bytes;

    Q_ASSERT(count <= section.record_max);
    if (bytes == 0) {
        return 0;
    }
    os_mutex_lock(&refresh->stats->mutex);
    bool is_charged = mem_stats_touch_locked(refresh->stats, section.offset, bytes);
    os_mutex_unlock(&refresh->stats->mutex);
    return is_charged ? count : 0; /* invariant 2 */
}

/* ---- the seqlock ---------------------------------------------------------------------------- */

static void sequence_begin(struct refresh *refresh)
{
    uint64_t sequence = mem_stats_load(&refresh->head->sequence);

    /* Others may have written here: made odd whatever it was. Relaxed: mem_stats_publish orders. */
    mem_stats_store(&refresh->head->sequence, sequence | 1);
}

static void sequence_end(struct refresh *refresh)
{
    uint64_t sequence = mem_stats_load(&refresh->head->sequence);

    Q_DCHECK(sequence % 2 == 1); /* invariant 1 */
    /* Release: pairs with the reader's first look; all words come before it. */
    atomic_store_release_u64(mem_stats_word(&refresh->head->sequence), sequence + 1);
}

static void publish_u64(uint64_t *word, uint64_t value)
{
    mem_stats_publish(word, &value, sizeof(value));
}

static void section_publish(struct refresh *refresh, enum mem_stats_section_id id,
                            const void *records, uint32_t count)
{
    struct mem_stats_section section = mem_stats_layout(id);
    size_t bytes = size_align_up((size_t)count * section.record_bytes, sizeof(uint64_t));

    mem_stats_publish(section_of(refresh, id), records, bytes);
    publish_u64(&refresh->head->section[id].count, count);
}

/* ---- the command and the modules ------------------------------------------------------------ */

/* The arguments, NULs as spaces. Returns: the length, 0 when they cannot be read. */
static size_t command_read(char text[MEM_STATS_COMMAND_BYTES])
{
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, text, MEM_STATS_COMMAND_BYTES - 1);

    if (fd >= 0) {
        (void)close(fd);
    }
    while (length > 0 && text[length - 1] == '\0') {
        length--;
    }
    for (ssize_t i = 0; i < length; i++) {
        text[i] = text[i] == '\0' ? ' ' : text[i];
    }
    return length > 0 ? (size_t)length : 0;
}

static void refresh_command(struct refresh *refresh)
{
    Q_ALIGNED(8) char text[MEM_STATS_COMMAND_BYTES] = {0};

    if (refresh->stats->has_command) {
        return;
    }
    refresh->stats->has_command = true;
    text[command_read(text)] = '\0';
    sequence_begin(refresh);
    mem_stats_publish(refresh->head->command, text, sizeof(text));
    sequence_end(refresh);
}

/* Modules seldom change, and are published when they have. */
static void refresh_modules(struct refresh *refresh)
{
    struct mem_stats *stats = refresh->stats;
    uint64_t change_count = mem_modules_change_count();
    uint32_t count = (uint32_t)size_min_u64(mem_modules_list(NULL, 0), MEM_STATS_MODULES_MAX);

    if (change_count == stats->module_change_count ||
        section_prepare(refresh, MEM_STATS_MODULES, count) != count ||
        !room_extend(stats, &stats->work_room, count * sizeof(struct mem_stats_module))) {
        return;
    }
    struct mem_stats_module *modules = (void *)stats->work_room.base;
    count = (uint32_t)size_min_u64(mem_modules_list(modules, count), count);
    sequence_begin(refresh);
    section_publish(refresh, MEM_STATS_MODULES, modules, count);
    sequence_end(refresh);
    stats->module_change_count = change_count;
}

/* ---- the heap map --------------------------------------------------------------------------- */

static void collect_map(struct refresh *refresh)
{
    struct mem_stats *stats = refresh->stats;
    struct page_heap *heap = refresh->census->heap;
    size_t bytes = heap == NULL ? 0 : page_heap_map_bytes(heap);
    /* Some chunks more, should the heap grow meanwhile; whole words. */
    size_t capacity = size_align_up(bytes + Q_KIB(1), sizeof(uint64_t));

    refresh->map_bytes = 0;
    if (bytes == 0 || capacity > MEM_STATS_MAP_MAX_BYTES ||
        !room_extend(stats, &stats->map_room, capacity) ||
        page_heap_map_write(heap, stats->map_room.base, capacity, &bytes) != QUARRY_OK) {
        return;
    }
    refresh->map_bytes = section_prepare(refresh, MEM_STATS_MAP, (uint32_t)bytes);
}

/* ---- what stacks pin ------------------------------------------------------------------------ */

/* Room for one pinner more, some pages at a time. */
static bool pinners_extend(struct mem_stats *stats, uint32_t count)
{
    size_t bytes = ((size_t)count + 1) * sizeof(struct mem_pinner);

    if (bytes <= stats->work_room.committed_bytes) {
        return true;
    }
    return room_extend(stats, &stats->work_room,
                       size_min(size_align_up(bytes, Q_KIB(16)), MEM_STATS_WORK_BYTES));
}

static uint32_t pinners_collect(struct refresh *refresh)
{
    const struct mem_stats_sample *samples = section_of(refresh, MEM_STATS_SAMPLES);
    /* Acquire: pairs with the release that made the records there; bounded, for others can write
     * to it. */
    uint64_t count = size_min_u64(
        atomic_load_acquire_u64(mem_stats_word(&refresh->head->section[MEM_STATS_SAMPLES].count)),
        MEM_STATS_SAMPLES_MAX);
    uint32_t pinner_count = 0;

    for (uint64_t i = 0; i < count && pinners_extend(refresh->stats, pinner_count); i++) {
        struct mem_pinner *pinners = (void *)refresh->stats->work_room.base;
        struct mem_stats_sample sample;
        if (mem_stats_sample_read(&sample, &samples[i]) && sample.address != 0 &&
            mem_pinner_of(refresh->census, &sample, &pinners[pinner_count])) {
            pinner_count++;
        }
    }
    return pinner_count;
}

static void collect_pinners(struct refresh *refresh)
{
    if (refresh->census->span_of == NULL) {
        return;
    }
    uint32_t count = pinners_collect(refresh);
    struct mem_pinner *pinners = (void *)refresh->stats->work_room.base;

    refresh->pinned_stack_count = count == 0 ? 0 : mem_pinners_share(pinners, count);
    for (uint32_t i = 0; i < refresh->pinned_stack_count; i++) {
        refresh->totals.pinned_span_bytes += pinners[i].span_bytes;
        refresh->totals.pinned_live_bytes += pinners[i].live_bytes;
    }
}

/* Every stack gets its bytes, or 0. The sequence is odd. */
static void publish_pinners(struct refresh *refresh)
{
    const struct mem_pinner *pinner = (void *)refresh->stats->work_room.base;
    const struct mem_pinner *end = pinner + refresh->pinned_stack_count;
    struct mem_stats_stack *stacks = section_of(refresh, MEM_STATS_STACKS);
    /* Acquire: as in pinners_collect. */
    uint64_t count = size_min_u64(
        atomic_load_acquire_u64(mem_stats_word(&refresh->head->section[MEM_STATS_STACKS].count)),
        MEM_STATS_STACKS_MAX);

    for (uint32_t i = 0; i < count; i++) {
        bool has_pinned = pinner < end && pinner->key == i;
        publish_u64(&stacks[i].pinned_span_bytes, has_pinned ? pinner->span_bytes : 0);
        publish_u64(&stacks[i].pinned_live_bytes, has_pinned ? pinner->live_bytes : 0);
        pinner += has_pinned;
    }
}

/* ---- peaks and integrals -------------------------------------------------------------------- */

static void history_integrate(struct mem_stats_history *history, uint64_t now_ns,
                              const uint64_t kib[MEM_STATS_INTEGRALS])
{
    uint64_t passed_ns = history->last_ns == 0 ? 0 : sat_sub_u64(now_ns, history->last_ns);

    for (uint32_t i = 0; i < MEM_STATS_INTEGRALS; i++) {
        unsigned __int128 mean_kib = ((unsigned __int128)history->last_kib[i] + kib[i]) / 2;
        history->integral_kib_ms[i] += (uint64_t)(mean_kib * passed_ns / Q_MS_NS);
        history->last_kib[i] = kib[i];
    }
    history->observed_ns += passed_ns;
    history->last_ns = now_ns;
}

static void history_update(struct mem_stats_history *history, uint64_t now_ns,
                           const struct mem_stats_totals *totals)
{
    uint64_t live_bytes = totals->live_bytes + totals->large_bytes;
    uint64_t span_bytes = totals->span_bytes + totals->large_bytes;
    uint64_t committed_bytes = totals->ledger.committed_bytes;
    const uint64_t kib[MEM_STATS_INTEGRALS] = {
        [MEM_STATS_OF_COMMITTED] = committed_bytes >> 10,
        [MEM_STATS_OF_LIVE] = live_bytes >> 10,
        [MEM_STATS_OF_SPANS] = span_bytes >> 10,
    };

    history_integrate(history, now_ns, kib);
    history->peak_live_bytes = size_max_u64(history->peak_live_bytes, live_bytes);
    history->peak_span_bytes = size_max_u64(history->peak_span_bytes, span_bytes);
    if (committed_bytes >= history->committed_peak_seen_bytes) {
        history->committed_peak_seen_bytes = committed_bytes;
        history->live_bytes_at_committed_peak = live_bytes;
    }
}

static void collect_history(struct refresh *refresh, uint64_t now_ns)
{
    struct mem_stats_totals *totals = &refresh->totals;

    os_mutex_lock(&refresh->stats->mutex); /* a fork finds it whole */
    struct mem_stats_history *history = &refresh->stats->history;
    history_update(history, now_ns, totals);
    totals->peak_live_bytes = history->peak_live_bytes;
    totals->peak_span_bytes = history->peak_span_bytes;
    totals->live_bytes_at_committed_peak = history->live_bytes_at_committed_peak;
    totals->committed_peak_seen_bytes = history->committed_peak_seen_bytes;
    totals->observed_ns = history->observed_ns;
    totals->committed_integral_kib_ms = history->integral_kib_ms[MEM_STATS_OF_COMMITTED];
    totals->live_integral_kib_ms = history->integral_kib_ms[MEM_STATS_OF_LIVE];
    totals->span_integral_kib_ms = history->integral_kib_ms[MEM_STATS_OF_SPANS];
    os_mutex_unlock(&refresh->stats->mutex);
}

/* ---- the refresh ---------------------------------------------------------------------------- */

static void publish_head(struct refresh *refresh, uint64_t now_ns)
{
    struct mem_stats_head *head = refresh->head;

    publish_u64(&head->limit_bytes, refresh->census->limit_bytes);
    /* Release: as all words that are published. */
    atomic_store_release_u32((_Atomic uint32_t *)&head->is_hardened, refresh->census->is_hardened);
    publish_u64(&head->refresh_count, mem_stats_load(&head->refresh_count) + 1);
    publish_u64(&head->refresh_monotonic_ns, now_ns);
    publish_u64(&head->refresh_wall_ns, os_wall_ns(refresh->stats->heap->os));
}

static void publish(struct refresh *refresh, uint64_t now_ns)
{
    const struct mem_census *census = refresh->census;
    uint32_t total_count = section_prepare(refresh, MEM_STATS_TOTALS, 1);
    uint32_t row_count = section_prepare(refresh, MEM_STATS_ROWS, census->row_count);
    uint32_t class_count = section_prepare(refresh, MEM_STATS_CLASSES, census->class_count);
    uint32_t account_count = section_prepare(refresh, MEM_STATS_ACCOUNTS, census->account_count);

    sequence_begin(refresh);
    section_publish(refresh, MEM_STATS_TOTALS, &refresh->totals, total_count);
    section_publish(refresh, MEM_STATS_ROWS, census->row, row_count);
    section_publish(refresh, MEM_STATS_CLASSES, census->class, class_count);
    section_publish(refresh, MEM_STATS_ACCOUNTS, census->account, account_count);
    section_publish(refresh, MEM_STATS_MAP, refresh->stats->map_room.base, refresh->map_bytes);
    publish_pinners(refresh);
    publish_head(refresh, now_ns);
    sequence_end(refresh);
}

static enum quarry_status refresh_run(struct refresh *refresh)
{
    os_mutex_lock(&refresh->stats->mutex);
    refresh->head = (void *)mem_stats_base_locked(refresh->stats);
    os_mutex_unlock(&refresh->stats->mutex);
    if (refresh->head == NULL) {
        return QUARRY_NO_MEMORY;
    }
    uint64_t now_ns = os_monotonic_ns(refresh->stats->heap->os);

    /* Relaxed: a wish that comes from now on is for the next refresh. */
    atomic_store_relaxed_u32((_Atomic uint32_t *)&refresh->head->wants_refresh, 0);
    refresh_command(refresh);
    refresh_modules(refresh);
    collect_map(refresh);
    collect_pinners(refresh);
    collect_history(refresh, now_ns);
    publish(refresh, now_ns);
    return QUARRY_OK;
}

enum quarry_status mem_stats_refresh(struct mem_stats *stats, const struct mem_census *census)
{
    struct refresh refresh = {.stats = stats, .census = census, .totals = census->totals};
    int caller_errno = errno;

    Q_ASSERT(census->row_count <= MEM_STATS_ROWS_MAX);
    Q_ASSERT(census->class_count <= MEM_STATS_CLASSES_MAX);
    Q_ASSERT(census->account_count <= MEM_STATS_ACCOUNTS_MAX);
    /* Acquire: pairs with the release below; the rooms are as the last refresh left them. */
    if (atomic_exchange_acquire_u32(&stats->is_refreshing, 1) != 0) {
        return QUARRY_BUSY; /* invariant 1 */
    }
    refresh.totals.pinned_span_bytes = 0;
    refresh.totals.pinned_live_bytes = 0;
    enum quarry_status status = refresh_run(&refresh);
    /* Release: pairs with the acquire above. */
    atomic_store_release_u32(&stats->is_refreshing, 0);
    errno = caller_errno;
    return status;
}
