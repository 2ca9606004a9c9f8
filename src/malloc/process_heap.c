/*
 * The process' heap, made at the first allocation.
 *
 * That may be at any time: before libc has set `environ`, before any constructor has run, inside
 * dlopen. Making it takes no library's constructor, no getenv, and no file but those of /proc and
 * the cgroup. The background thread waits for our own constructor, and then for 2 MiB: small
 * programs stay single-threaded, which some need to be (unshare, setns), and start faster.
 *
 * What is allocated while it is being made, by libc's own bookkeeping, comes from a small static
 * buffer and is never freed.
 *
 * There is no limit by default, since programs reserve much that they never touch and would be
 * refused it; but where the cgroup has one, 95 % of that is the limit, because the alternative is
 * to be killed.
 *
 * It is never unmade: destructors of other libraries free after ours have run.
 */
#include <malloc/process_heap.h>

#include <malloc/observe.h>
#include <malloc/settings.h>

#define EARLY_BYTES 32768u
/* Address space for all lanes, and for the general one: what a 47-bit address space easily has. */
#define SPACE_BYTES    Q_TIB(4)
#define GENERAL_BYTES  Q_TIB(2)
#define CGROUP_PERCENT 95u
/* Committed bytes from which the background thread runs. */
#define THREAD_MIN_BYTES Q_MIB(2)

enum heap_state {
    HEAP_NONE,
    HEAP_BEING_MADE,
    HEAP_MADE = MALLOC_HEAP_MADE,
};

struct mem_heap malloc_heap = {.map = MEM_MAP_NONE};
_Atomic uint32_t malloc_heap_state;
static uintptr_t maker; /* the thread that is making it */
static bool is_started; /* constructors have run */
static struct malloc_settings settings;

/* ---- early memory --------------------------------------------------------------------------- */

static Q_ALIGNED(16) char early[EARLY_BYTES];
static _Atomic uint64_t early_used_bytes;

void *malloc_early_alloc(size_t bytes, size_t align_bytes)
{
    align_bytes = size_max(align_bytes, 16);
    if (bytes > EARLY_BYTES || align_bytes > EARLY_BYTES) {
        return NULL;
    }
    uint64_t taken = size_align_up_u64(bytes, 16) + align_bytes;
    uint64_t used = atomic_add_relaxed_u64(&early_used_bytes, taken);
    if (used + taken > EARLY_BYTES) {
        return NULL;
    }
    return (void *)size_align_up_u64((uint64_t)early + used, align_bytes);
}

bool malloc_early_is(const void *object)
{
    return (uint64_t)((const char *)object - early) < EARLY_BYTES;
}

size_t malloc_early_usable(const void *object)
{
    return (size_t)(early + EARLY_BYTES - (const char *)object);
}

/* ---- making it ------------------------------------------------------------------------------ */

static uint64_t limit_bytes(void)
{
    struct os_machine machine;

    if (settings.limit_bytes != 0) {
        return size_min_u64(settings.limit_bytes, PAGE_COMMIT_LIMIT_MAX_BYTES);
    }
    os_machine_read("", &machine);
    if (machine.cgroup_limit_bytes != 0) {
        return size_min_u64(machine.cgroup_limit_bytes / 100 * CGROUP_PERCENT,
                            PAGE_COMMIT_LIMIT_MAX_BYTES);
    }
    return PAGE_COMMIT_LIMIT_MAX_BYTES;
}

static void refuse_end(void *argument)
{
    (void)argument;
    Q_ASSERT_MSG(false, "the memory of the process' own malloc cannot be destroyed");
}

static bool make(void)
{
    struct quarry_error error;
    struct page_heap *pages;

    settings = malloc_settings_read();
    struct page_heap_options options = {
        .limit_bytes = limit_bytes(),
        .reserved_bytes = SPACE_BYTES,
        .has_no_thread = !is_started || !settings.has_background,
        .thread_min_bytes = THREAD_MIN_BYTES,
    };
    if (page_heap_create(&options, &pages, &error) != QUARRY_OK) {
        return false;
    }
    struct mem_heap_options objects = {
        .pages = pages,
        .name = "malloc",
        .reserved_bytes = size_min_u64(GENERAL_BYTES, pages->space_bytes / 2),
        .is_door = true,
        .is_hardened = settings.is_hardened,
        .guard_every = settings.guard_every,
    };
    if (page_heap_add_end(pages, refuse_end, NULL) != QUARRY_OK) {
        page_heap_destroy(pages);
        return false;
    }
    malloc_heap.observer = malloc_observer(pages, &settings);
    if (mem_heap_init(&malloc_heap, &objects, &error) != QUARRY_OK) {
        page_heap_remove_end(pages, refuse_end, NULL);
        page_heap_destroy(pages);
        return false;
    }
    return true;
}

Q_COLD bool malloc_heap_make(void)
{
    uintptr_t self = (uintptr_t)__builtin_thread_pointer();

    for (;;) {
        uint32_t state = HEAP_NONE;
        if (atomic_cas_acquire_u32(&malloc_heap_state, &state, HEAP_BEING_MADE)) {
            break;
        }
        if (state == HEAP_MADE) {
            return true;
        }
        if (maker == self) {
            return false;
        }
        os_yield();
    }
    maker = self;
    bool is_made = make();
    maker = 0;
    /* Pairs with the acquire in malloc_heap_is_made. */
    atomic_store_release_u32(&malloc_heap_state, is_made ? HEAP_MADE : HEAP_NONE);
    return is_made;
}

__attribute__((constructor)) static void start(void)
{
    is_started = true;
    if (!malloc_heap_is_made() && !malloc_heap_make()) {
        return;
    }
    if (settings.has_background) {
        page_scavenger_want(malloc_heap.pages);
    }
    /* So that whoever wants the report can attach to it in time. */
    if (settings.has_report) {
        malloc_observe_now();
    }
}

__attribute__((destructor)) static void end(void)
{
    if (malloc_heap_is_made() && settings.has_report) {
        malloc_observe_now();
    }
}
