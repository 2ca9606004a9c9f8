/*
 * The twin's memory: address space of the real kernel, and a byte of books for every OS page.
 *
 *   RESERVED --commit--> COMMITTED --decommit--> DECOMMITTED --commit--> COMMITTED
 *      |
 *      '--file_map--> FILE                any of them --uncommit--> RESERVED, --release--> RELEASED
 *
 * Invariants:
 *   1. committed_bytes is the number of COMMITTED pages times their size, and so on for the other
 *      counters.
 *   2. Under real_backing a page can be touched if and only if it is COMMITTED or FILE (or
 *      DECOMMITTED with decommit_keeps_access).
 *   3. A reservation's books live until its last page is RELEASED. The kernel may give the address
 *      of a RELEASED page out again; a search therefore never stops at one.
 *
 * The books are mapped without reserve, so a reservation of a TiB costs only the books of the pages
 * that were ever committed. Locking: the twin's mutex. Cost: O(pages) a call, O(reservations) to
 * find one.
 */
#include <stdlib.h>
#include <string.h>

#include <sys/mman.h>

#include <os/sim.h>

/* Pages [first, first + count) of a reservation. */
struct page_range {
    struct sim_reservation *reservation;
    size_t first;
    size_t count;
};

static struct page_range find_locked(struct os_sim_state *state, const void *base, size_t bytes);
static void note_reservation_locked(struct os_sim_state *state, char *base, size_t bytes);
static enum quarry_status back_commit(struct os_sim_state *state, void *base, size_t bytes);
static enum quarry_status back_decommit(struct os_sim_state *state, void *base, size_t bytes);
static void mark_locked(struct os_sim_state *state, struct page_range range, enum sim_page mark);
static void count_all(struct page_range range, size_t ret_counts[SIM_PAGE_COUNT]);
static size_t count_pages(struct page_range range, enum sim_page mark);
static size_t count_usable(const struct os_sim_state *state, struct page_range range);
static void drop_if_empty_locked(struct os_sim_state *state, struct sim_reservation *reservation);
static void free_books(struct sim_reservation *reservation);

enum quarry_status sim_reserve(struct os *os, size_t bytes, size_t align_bytes, void **ret_base)
{
    struct os_sim_state *state = sim_enter(os);
    void *base = NULL;
    enum quarry_status status = sim_call_locked(state, OS_SIM_RESERVE);
    if (status == QUARRY_OK)
        status = os_reserve(state->real, bytes, align_bytes, &base);
    if (status == QUARRY_OK && !state->options.real_backing) {
        status = os_commit(state->real, base, bytes);
        Q_ASSERT(status == QUARRY_OK);
    }
    if (status == QUARRY_OK) {
        note_reservation_locked(state, base, bytes);
        *ret_base = base;
    }
    sim_leave(state);
    return status;
}

enum quarry_status sim_reserve_zeros(struct os *os, size_t bytes, void **ret_base)
{
    struct os_sim_state *state = sim_enter(os);
    void *base = NULL;
    enum quarry_status status = sim_call_locked(state, OS_SIM_RESERVE);
    if (status == QUARRY_OK)
        status = os_reserve_zeros(state->real, bytes, &base);
    if (status == QUARRY_OK && !state->options.real_backing) {
        status = os_commit(state->real, base, bytes);
        Q_ASSERT(status == QUARRY_OK);
    }
    if (status == QUARRY_OK) {
        note_reservation_locked(state, base, bytes);
        *ret_base = base;
    }
    sim_leave(state);
    return status;
}

enum quarry_status sim_commit(struct os *os, void *base, size_t bytes)
{
    struct os_sim_state *state = sim_enter(os);
    struct page_range range = find_locked(state, base, bytes);
    Q_ASSERT_MSG(count_pages(range, SIM_PAGE_FILE) == 0, "commit of a mapped file");
    enum quarry_status status = sim_call_locked(state, OS_SIM_COMMIT);
    if (status == QUARRY_OK)
        status = back_commit(state, base, bytes);
    if (status == QUARRY_OK)
        mark_locked(state, range, SIM_PAGE_COMMITTED);
    sim_leave(state);
    return status;
}

enum quarry_status sim_decommit(struct os *os, void *base, size_t bytes)
{
    struct os_sim_state *state = sim_enter(os);
    struct page_range range = find_locked(state, base, bytes);
    Q_ASSERT_MSG(count_usable(state, range) == range.count,
                 "decommit of pages that are not committed");
    enum quarry_status status = sim_call_locked(state, OS_SIM_DECOMMIT);
    if (status == QUARRY_OK)
        status = back_decommit(state, base, bytes);
    if (status == QUARRY_OK) {
        mark_locked(state, range, SIM_PAGE_DECOMMITTED);
        sim_work_locked(state, range.count * state->options.decommit_cost_ns_per_page);
    }
    sim_leave(state);
    return status;
}

enum quarry_status sim_uncommit(struct os *os, void *base, size_t bytes)
{
    struct os_sim_state *state = sim_enter(os);
    struct page_range range = find_locked(state, base, bytes);
    enum quarry_status status = sim_call_locked(state, OS_SIM_UNCOMMIT);
    if (status == QUARRY_OK)
        status = os_uncommit(state->real, base, bytes);
    if (status == QUARRY_OK && !state->options.real_backing) {
        status = os_commit(state->real, base, bytes);
        Q_ASSERT(status == QUARRY_OK);
    }
    if (status == QUARRY_OK)
        mark_locked(state, range, SIM_PAGE_RESERVED);
    sim_leave(state);
    return status;
}

enum quarry_status sim_collapse(struct os *os, void *base, size_t bytes)
{
    struct os_sim_state *state = sim_enter(os);
    struct page_range range = find_locked(state, base, bytes);
    Q_ASSERT_MSG(os->huge_page_bytes > 0 &&
                     (((uintptr_t)base | bytes) & (os->huge_page_bytes - 1)) == 0,
                 "collapse of parts of huge pages");
    Q_ASSERT_MSG(count_usable(state, range) == range.count,
                 "collapse of pages that are not committed");
    enum quarry_status status = sim_call_locked(state, OS_SIM_COLLAPSE);
    if (status == QUARRY_OK && state->options.has_no_collapse)
        status = QUARRY_UNSUPPORTED;
    if (status == QUARRY_OK)
        sim_work_locked(state, bytes / os->huge_page_bytes * state->options.collapse_cost_ns);
    sim_leave(state);
    return status;
}

enum quarry_status sim_release(struct os *os, void *base, size_t bytes)
{
    struct os_sim_state *state = sim_enter(os);
    struct page_range range = find_locked(state, base, bytes);
    enum quarry_status status = sim_call_locked(state, OS_SIM_RELEASE);
    if (status == QUARRY_OK)
        status = os_release(state->real, base, bytes);
    if (status == QUARRY_OK) {
        mark_locked(state, range, SIM_PAGE_RELEASED);
        range.reservation->live_count -= range.count;
        state->counters.reserved_bytes -= bytes;
        drop_if_empty_locked(state, range.reservation);
    }
    sim_leave(state);
    return status;
}

void sim_check_file_map_locked(struct os_sim_state *state, char *base, size_t bytes)
{
    struct page_range range = find_locked(state, base, bytes);
    size_t free_count = count_pages(range, SIM_PAGE_RESERVED) + count_pages(range, SIM_PAGE_FILE);
    Q_ASSERT_MSG(free_count == range.count, "a file mapped over committed pages");
}

void sim_note_file_map_locked(struct os_sim_state *state, char *base, size_t bytes)
{
    mark_locked(state, find_locked(state, base, bytes), SIM_PAGE_FILE);
}

void sim_forget_reservations(struct os_sim_state *state)
{
    while (state->reservations != NULL) {
        struct sim_reservation *reservation = state->reservations;
        state->reservations = reservation->next;
        for (size_t i = 0; reservation->live_count > 0; i++) {
            if (reservation->pages[i] == SIM_PAGE_RELEASED)
                continue;
            size_t first = i;
            while (i < reservation->page_count && reservation->pages[i] != SIM_PAGE_RELEASED)
                i++;
            size_t page_bytes = state->real->page_bytes;
            enum quarry_status status = os_release(
                state->real, reservation->base + first * page_bytes, (i - first) * page_bytes);
            Q_ASSERT(status == QUARRY_OK);
            reservation->live_count -= i - first;
        }
        free_books(reservation);
    }
}

/* The pages of an address range, all in one reservation and none of them released. */
static struct page_range find_locked(struct os_sim_state *state, const void *base, size_t bytes)
{
    size_t page_bytes = state->real->page_bytes;
    Q_ASSERT_MSG(bytes > 0 && size_is_aligned(bytes, page_bytes), "length not of whole pages");
    Q_ASSERT_MSG(size_is_aligned((uintptr_t)base, page_bytes), "address not at a page");
    struct sim_reservation *reservation = state->reservations;
    for (; reservation != NULL; reservation = reservation->next) {
        size_t offset = (uintptr_t)base - (uintptr_t)reservation->base;
        size_t first = offset / page_bytes;
        size_t count = bytes / page_bytes;
        if (first >= reservation->page_count || reservation->pages[first] == SIM_PAGE_RELEASED)
            continue; /* invariant 3 */
        struct page_range range = {reservation, first, count};
        Q_ASSERT_MSG(count <= reservation->page_count - first, "range outside its reservation");
        Q_ASSERT_MSG(count_pages(range, SIM_PAGE_RELEASED) == 0, "range partly released");
        return range;
    }
    Q_ASSERT_FAILED("range outside every reservation");
}

static void note_reservation_locked(struct os_sim_state *state, char *base, size_t bytes)
{
    struct sim_reservation *reservation = calloc(1, sizeof *reservation);
    Q_ASSERT(reservation != NULL);
    size_t page_count = bytes / state->real->page_bytes;
    void *pages = mmap(NULL, page_count, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    Q_ASSERT(pages != MAP_FAILED);
    *reservation = (struct sim_reservation){.next = state->reservations,
                                            .base = base,
                                            .page_count = page_count,
                                            .live_count = page_count,
                                            .tally = {[SIM_PAGE_RESERVED] = page_count},
                                            .pages = pages};
    state->reservations = reservation;
    state->counters.reserved_bytes += bytes;
}

/* Invariant 2, both halves. */
static enum quarry_status back_commit(struct os_sim_state *state, void *base, size_t bytes)
{
    return state->options.real_backing ? os_commit(state->real, base, bytes) : QUARRY_OK;
}

static enum quarry_status back_decommit(struct os_sim_state *state, void *base, size_t bytes)
{
    if (!state->options.real_backing)
        return QUARRY_OK;
    enum quarry_status status = os_decommit(state->real, base, bytes);
    if (status == QUARRY_OK && !state->options.decommit_keeps_access) {
        int failed = mprotect(base, bytes, PROT_NONE);
        Q_ASSERT(failed == 0);
    }
    return status;
}

/* Invariant 1. */
static void mark_locked(struct os_sim_state *state, struct page_range range, enum sim_page mark)
{
    size_t page_bytes = state->real->page_bytes;
    size_t counts[SIM_PAGE_COUNT];
    struct os_sim_counters *counters = &state->counters;
    count_all(range, counts);
    for (size_t i = 0; i < SIM_PAGE_COUNT; i++)
        range.reservation->tally[i] -= counts[i];
    range.reservation->tally[mark] += range.count;
    counters->committed_bytes -= counts[SIM_PAGE_COMMITTED] * page_bytes;
    counters->mapped_file_bytes -= counts[SIM_PAGE_FILE] * page_bytes;
    if (mark == SIM_PAGE_COMMITTED)
        counters->committed_bytes += range.count * page_bytes;
    if (mark == SIM_PAGE_FILE)
        counters->mapped_file_bytes += range.count * page_bytes;
    counters->committed_peak_bytes =
        size_max_u64(counters->committed_peak_bytes, counters->committed_bytes);
    /* The books of a reservation that is released as a whole are dropped next: invariant 3. */
    if (mark != SIM_PAGE_RELEASED || range.count < range.reservation->page_count)
        memset(range.reservation->pages + range.first, (int)mark, range.count);
}

/* How many pages of a range are what; known without looking for a reservation as a whole. */
static void count_all(struct page_range range, size_t ret_counts[SIM_PAGE_COUNT])
{
    const uint8_t *pages = range.reservation->pages + range.first;
    if (range.count == range.reservation->page_count) {
        memcpy(ret_counts, range.reservation->tally, sizeof range.reservation->tally);
        return;
    }
    memset(ret_counts, 0, SIM_PAGE_COUNT * sizeof *ret_counts);
    for (size_t i = 0; i < range.count; i++)
        ret_counts[pages[i]]++;
}

static size_t count_pages(struct page_range range, enum sim_page mark)
{
    size_t counts[SIM_PAGE_COUNT];
    count_all(range, counts);
    return counts[mark];
}

/* Pages that are committed, or were and may be touched still. */
static size_t count_usable(const struct os_sim_state *state, struct page_range range)
{
    size_t count = count_pages(range, SIM_PAGE_COMMITTED);
    if (state->options.decommit_keeps_access)
        count += count_pages(range, SIM_PAGE_DECOMMITTED);
    return count;
}

static void drop_if_empty_locked(struct os_sim_state *state, struct sim_reservation *reservation)
{
    if (reservation->live_count > 0)
        return;
    struct sim_reservation **link = &state->reservations;
    while (*link != reservation)
        link = &(*link)->next;
    *link = reservation->next;
    free_books(reservation);
}

static void free_books(struct sim_reservation *reservation)
{
    int failed = munmap(reservation->pages, reservation->page_count);
    Q_ASSERT(failed == 0);
    free(reservation);
}
