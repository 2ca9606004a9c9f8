/*
 * The door of `os`: the system calls that memory, threads and clocks need, in one place.
 *
 * Two halves. What a test must be able to fail, fake or slow down — mapping memory, files that back
 * memory, clocks — goes through `struct os`, a small table of functions with a real instance
 * (`os_real`) and a simulated twin (`os_sim.h`). What a test has no use faking — threads, mutexes,
 * futexes, fork hooks, the CPU count, the barrier — is plain functions.
 *
 * Nothing here allocates from malloc: the malloc for every program is built on it.
 */
#ifndef QUARRY_OS_OS_H
#define QUARRY_OS_OS_H

#include <base/base.h>

/* ---- memory and files that back memory ------------------------------------------------------ */

struct os_file {
    int fd; /* -1: closed. The simulated twin keeps its own numbers here. */
};

/*
 * Addresses and lengths are multiples of `page_bytes`, or it is a programmer's error. All calls may
 * be made from any thread at once. None blocks on anything but the kernel.
 */
struct os {
    const struct os_ops *ops;
    size_t page_bytes;      /* const after init: the OS page, 4096 on x86-64 */
    size_t huge_page_bytes; /* const after init: 2 MiB, or 0 where there are none */
};

struct os_ops {
    /*
     * Takes `bytes` of address space that cannot be touched yet and costs no memory, aligned to
     * `align_bytes` (a power of two, at least one OS page).
     * Errors: NO_ADDRESS (RLIMIT_AS, or no hole that large), NO_MEMORY (kernel metadata).
     */
    enum quarry_status (*reserve)(struct os *os, size_t bytes, size_t align_bytes, void **ret_base);
    /*
     * As reserve, aligned to an OS page, but bytes that were not committed yet read as zero; only
     * writing faults. They cost no memory, however often they are read. Errors: as reserve.
     */
    enum quarry_status (*reserve_zeros)(struct os *os, size_t bytes, void **ret_base);
    /*
     * Makes reserved bytes readable and writable. They read as zero and are backed by the kernel at
     * first touch; the caller has reserved them against its budget before. Idempotent.
     * Errors: NO_MEMORY.
     */
    enum quarry_status (*commit)(struct os *os, void *base, size_t bytes);
    /*
     * Gives the backing of committed bytes to the kernel. They stay accessible and read as zero.
     * Not for bytes that a file is mapped over: those would come back from the file; see
     * file_punch. Errors: NO_MEMORY, BUSY (locked pages): the bytes keep their backing and
     * contents.
     */
    enum quarry_status (*decommit)(struct os *os, void *base, size_t bytes);
    /*
     * Makes bytes what reserve left them, whatever was committed or mapped over them: they cannot
     * be touched and have no backing. Errors: NO_MEMORY: everything as it was.
     */
    enum quarry_status (*uncommit)(struct os *os, void *base, size_t bytes);
    /*
     * Puts huge pages under committed bytes, whole ones: base and length are multiples of
     * `huge_page_bytes`. Contents stay, and may be read and written meanwhile. All of the range is
     * backed afterwards, what had not been touched too. May take milliseconds where memory is in
     * pieces. Errors: UNSUPPORTED (before Linux 6.1, or no huge pages here: it will stay so), BUSY
     * (pages that cannot move now), NO_MEMORY (none free, or the cgroup is full): as it was, or in
     * part done.
     */
    enum quarry_status (*collapse)(struct os *os, void *base, size_t bytes);
    /*
     * Ends a reservation or a part of it; the address space may be reused by anybody.
     * Errors: NO_MEMORY (splitting a mapping over the kernel's count of mappings): still reserved,
     * backing and contents kept.
     */
    enum quarry_status (*release)(struct os *os, void *base, size_t bytes);

    /*
     * Opens `path` for reading and writing, mode 0600, created when absent. Locked exclusively for
     * this opening until closed: a second one is refused, in this process too.
     * Errors: IO, PERMISSION (also: a symbolic link, or not a regular file), NOT_FOUND (a missing
     * folder), BUSY (held already), NO_SPACE, TOO_MANY (open files).
     */
    enum quarry_status (*file_open)(struct os *os, const char *path, struct os_file *ret_file);
    void (*file_close)(struct os *os, struct os_file *file);
    /* Errors: IO. */
    enum quarry_status (*file_size)(struct os *os, struct os_file *file, uint64_t *ret_bytes);
    /* Sets the length; a longer file gets a hole. Errors: IO, NO_SPACE, TOO_LARGE. */
    enum quarry_status (*file_resize)(struct os *os, struct os_file *file, uint64_t bytes);
    /*
     * Maps [offset, offset + bytes) of the file shared over a reserved range, readable and
     * writable. Touching a page without a block behind it may raise SIGBUS when the file system is
     * full: call file_preallocate first. Errors: NO_MEMORY, IO, PERMISSION.
     */
    enum quarry_status (*file_map)(struct os *os, struct os_file *file, uint64_t offset, void *base,
                                   size_t bytes);
    /*
     * Puts blocks behind a range, keeping what is there; the file grows to the range's end if that
     * lies beyond its length. Errors: NO_SPACE, IO, UNSUPPORTED, TOO_LARGE.
     */
    enum quarry_status (*file_preallocate)(struct os *os, struct os_file *file, uint64_t offset,
                                           uint64_t bytes);
    /*
     * Takes the blocks away from a range, which then reads as zero; the length stays. Blocks that
     * lie in the range in part are zeroed in part. Errors: IO, UNSUPPORTED, TOO_LARGE.
     */
    enum quarry_status (*file_punch)(struct os *os, struct os_file *file, uint64_t offset,
                                     uint64_t bytes);
    /*
     * The first range at or after `offset` that has data blocks. A block that was preallocated and
     * never written may count as data or as a hole; everything that was written counts as data.
     * Errors: NOT_FOUND (only holes from there to the end), IO, UNSUPPORTED.
     */
    enum quarry_status (*file_next_data)(struct os *os, struct os_file *file, uint64_t offset,
                                         uint64_t *ret_start, uint64_t *ret_end);
    /* Reads or writes all `bytes`, or fails and may have done a part. Errors: IO, NO_SPACE; CORRUPT
     * for a read past the end, TOO_LARGE for a write past the file system's largest file. */
    enum quarry_status (*file_read)(struct os *os, struct os_file *file, uint64_t offset,
                                    void *buffer, size_t bytes);
    enum quarry_status (*file_write)(struct os *os, struct os_file *file, uint64_t offset,
                                     const void *buffer, size_t bytes);
    /*
     * Writes to its disk what was changed of a range that files are mapped over, and waits. Errors:
     * IO, NO_SPACE: some of it may have got there.
     */
    enum quarry_status (*file_sync)(struct os *os, void *base, size_t bytes);

    /* Nanoseconds that never go back; the zero is arbitrary. */
    uint64_t (*monotonic_ns)(struct os *os);
    /* Nanoseconds since 1970-01-01 UTC. */
    uint64_t (*wall_ns)(struct os *os);
    /* CPU time the calling thread has used. */
    uint64_t (*thread_cpu_ns)(struct os *os);
};

/* The real one: Linux by direct system calls. Usable before any constructor has run. */
struct os *os_real(void);

/* One-line calls through the table, so that a reader sees `os_commit(os, p, n)`. */
static inline enum quarry_status os_reserve(struct os *os, size_t bytes, size_t align_bytes,
                                            void **ret_base)
{
    return os->ops->reserve(os, bytes, align_bytes, ret_base);
}
static inline enum quarry_status os_reserve_zeros(struct os *os, size_t bytes, void **ret_base)
{
    return os->ops->reserve_zeros(os, bytes, ret_base);
}
static inline enum quarry_status os_commit(struct os *os, void *base, size_t bytes)
{
    return os->ops->commit(os, base, bytes);
}
static inline enum quarry_status os_decommit(struct os *os, void *base, size_t bytes)
{
    return os->ops->decommit(os, base, bytes);
}
static inline enum quarry_status os_uncommit(struct os *os, void *base, size_t bytes)
{
    return os->ops->uncommit(os, base, bytes);
}
static inline enum quarry_status os_collapse(struct os *os, void *base, size_t bytes)
{
    return os->ops->collapse(os, base, bytes);
}
static inline enum quarry_status os_release(struct os *os, void *base, size_t bytes)
{
    return os->ops->release(os, base, bytes);
}
static inline enum quarry_status os_file_open(struct os *os, const char *path,
                                              struct os_file *ret_file)
{
    return os->ops->file_open(os, path, ret_file);
}
static inline void os_file_close(struct os *os, struct os_file *file)
{
    os->ops->file_close(os, file);
}
static inline enum quarry_status os_file_size(struct os *os, struct os_file *file,
                                              uint64_t *ret_bytes)
{
    return os->ops->file_size(os, file, ret_bytes);
}
static inline enum quarry_status os_file_resize(struct os *os, struct os_file *file, uint64_t bytes)
{
    return os->ops->file_resize(os, file, bytes);
}
static inline enum quarry_status os_file_map(struct os *os, struct os_file *file, uint64_t offset,
                                             void *base, size_t bytes)
{
    return os->ops->file_map(os, file, offset, base, bytes);
}
static inline enum quarry_status os_file_preallocate(struct os *os, struct os_file *file,
                                                     uint64_t offset, uint64_t bytes)
{
    return os->ops->file_preallocate(os, file, offset, bytes);
}
static inline enum quarry_status os_file_punch(struct os *os, struct os_file *file, uint64_t offset,
                                               uint64_t bytes)
{
    return os->ops->file_punch(os, file, offset, bytes);
}
static inline enum quarry_status os_file_next_data(struct os *os, struct os_file *file,
                                                   uint64_t offset, uint64_t *ret_start,
                                                   uint64_t *ret_end)
{
    return os->ops->file_next_data(os, file, offset, ret_start, ret_end);
}
static inline enum quarry_status os_file_read(struct os *os, struct os_file *file, uint64_t offset,
                                              void *buffer, size_t bytes)
{
    return os->ops->file_read(os, file, offset, buffer, bytes);
}
static inline enum quarry_status os_file_write(struct os *os, struct os_file *file, uint64_t offset,
                                               const void *buffer, size_t bytes)
{
    return os->ops->file_write(os, file, offset, buffer, bytes);
}
static inline enum quarry_status os_file_sync(struct os *os, void *base, size_t bytes)
{
    return os->ops->file_sync(os, base, bytes);
}
static inline uint64_t os_monotonic_ns(struct os *os)
{
    return os->ops->monotonic_ns(os);
}
static inline uint64_t os_wall_ns(struct os *os)
{
    return os->ops->wall_ns(os);
}
static inline uint64_t os_thread_cpu_ns(struct os *os)
{
    return os->ops->thread_cpu_ns(os);
}

/* ---- mutexes with ranks --------------------------------------------------------------------- */

/*
 * Every mutex has a rank, and a thread takes them in rising rank only; two of the same rank are
 * taken in rising `order`. Debug builds keep the ranks a thread holds, and check the order at each
 * lock and the owner at each unlock; release builds check the owner by assertion nowhere.
 * All-zero is an unlocked mutex of rank 0, so a static one needs no code to run.
 */
struct os_mutex;

/* What every rank in Quarry is. A rank is named here or does not exist. */
enum os_rank {
    OS_RANK_NONE = 0, /* unchecked: tests and start-up only */
    /* 1 to 19 are for the stores */
    OS_RANK_KV_INSTALL = 1, /* a kv store's files: one change at a time, over its writing */
    OS_RANK_KV_COMMIT = 2,  /* the order of its writes */
    /*
     * A tsdb's registry, order 0: below all that a reclaimer may take, for it takes memory under
     * it. Nobody holds it together with a kv store's.
     */
    OS_RANK_TSDB_REGISTRY = 2,
    OS_RANK_TSDB_FILES = 1, /* a tsdb's deletions, order 0, and its files, 1: over its turn, 2 */
    OS_RANK_TSDB_TURN = 1,  /* its windows: one change at a time; takes memory, as the registry */
    OS_RANK_CACHE_TURN = 3, /* a cache's turn: one at a time, and none while a tenant goes */
    OS_RANK_KV_STORE = 4,   /* its lists: layers, compactions under way, snapshots */
    OS_RANK_CACHE_TENANTS = 5, /* a cache's tenants: adding, removing, naming */
    OS_RANK_KV_BACKGROUND = 6, /* what its threads wait for */
    OS_RANK_CACHE_FILE = 7,    /* a cache's file: what its first pages say */
    OS_RANK_KV_THROTTLE = 8,   /* what its writers may do */
    OS_RANK_CACHE_POLICY = 9,  /* a cache's policy: refilling, moving; order = the policy's own */
    OS_RANK_CACHE_QUEUE = 11,  /* a tenant's queues */
    OS_RANK_KV_TABLES = 12,    /* the open tables of a key-value store */
    OS_RANK_CACHE_INDEX = 13,  /* tables that readers of a tenant's index may be in */
    OS_RANK_KV_VERSIONS = 14,  /* its versions: which are alive */
    OS_RANK_CACHE_MEMORY = 15, /* free pieces of a cache's own structures */
    OS_RANK_LEVELDB = 16,      /* making the one memory of LevelDB's API, and its shared cache */
    OS_RANK_KV_LOG = 17,       /* a kv log's end */
    OS_RANK_TSDB_LOG = 18,     /* the log of a time-series store: a batch of it */
    OS_RANK_TSDB_LIMITS = 18,  /* a tsdb's tenants: replacing their limits */
    OS_RANK_TSDB_SHARD = 18,   /* a shard's chains; order = shard + 1 */
    OS_RANK_TSDB_VIEWS = 19,   /* its views: who looks through which */
    OS_RANK_TSDB_RINGS = 19,   /* a tenant's exemplars */
    OS_RANK_BLOCK_LOAD = 20,   /* a block cache's loads under way */
    OS_RANK_BLOCK_SHARD = 22,  /* a shard of a block cache; order = shard */
    OS_RANK_SLAB_MOVE = 24,    /* one mover of a slab at a time */
    OS_RANK_SLAB_CLASS = 26,   /* a class' pages; order = class */
    OS_RANK_SLAB_PAGES = 28,   /* a slab's table of classes and spare pages */
    OS_RANK_ARENA = 30,        /* backing more of an arena; the spare one */
    OS_RANK_BUDGET = 32,       /* the tree of accounts */
    OS_RANK_EPOCH = 36,        /* an epoch domain's list of threads */
    OS_RANK_LEAK = 38,         /* a leak ledger's records */
    OS_RANK_MEM_MAKING = 41,   /* making the object heap of a memory */
    OS_RANK_MEM_HEAPS = 42,    /* the table of object heaps in this process */
    OS_RANK_MEM_POOLS = 43,    /* an object heap's table of pools */
    OS_RANK_MEM_THREADS = 44,  /* its list of threads; keeping them out of their slow paths */
    OS_RANK_MEM_POOL = 46,     /* a pool's spans that no thread owns; order = pool id */
    OS_RANK_MEM_MAP = 48,      /* entries and records of spans */
    OS_RANK_PROFILE = 49,      /* an object heap's samples and statistics */
    OS_RANK_HEAPS = 50,        /* the table of heaps in this process */
    OS_RANK_CACHES = 60,       /* a page heap's list of threads and their page caches */
    OS_RANK_LANES = 70,        /* a page heap's table of lanes and owners */
    OS_RANK_LANE_GROW = 80,    /* one grower of a lane at a time */
    OS_RANK_LANE = 90,         /* a lane's bitmaps and summaries; order = lane id */
    OS_RANK_METADATA = 100,    /* small fixed structures of a page heap */
    OS_RANK_LEAF = 200,        /* anything that takes nothing else */
};

void os_mutex_init(struct os_mutex *mutex, enum os_rank rank, uint32_t order);
/*
 * Waits for the mutex; spins for a moment before it sleeps. Not recursive.
 * Errors: none. Threads: any. Cost: one locked instruction when it is free, inline.
 */
static inline void os_mutex_lock(struct os_mutex *mutex) Q_ACQUIRE(mutex);
/* Never waits, and so may be called in any order of ranks. */
static inline bool os_mutex_try_lock(struct os_mutex *mutex) Q_TRY_ACQUIRE(true, mutex);
static inline void os_mutex_unlock(struct os_mutex *mutex) Q_RELEASE(mutex);
/* Debug builds: abort unless the calling thread holds it. Release builds: nothing. */
static inline void os_mutex_assert_held(const struct os_mutex *mutex) Q_ASSERT_CAPABILITY(mutex);
/* After fork, in the child: makes a mutex that the forking thread took in `prepare` free again. */
void os_mutex_reset_after_fork(struct os_mutex *mutex);

/* ---- waiting -------------------------------------------------------------------------------- */

/* Sleeps while `*word == expected`, at most timeout_ns (UINT64_MAX: for ever). May wake early. */
void os_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns);
void os_futex_wake(_Atomic uint32_t *word, uint32_t waiter_count);
void os_sleep_ns(uint64_t duration_ns);
void os_yield(void);

/* ---- threads -------------------------------------------------------------------------------- */

struct os_thread; /* storage below */

/*
 * Starts a thread named `name` (15 bytes at most) with all signals blocked (but one:
 * os_threads_admit), on a stack that the caller owns until the thread has been joined:
 * `stack_bytes` of committed memory at `stack`. The C library takes memory from malloc for its
 * thread storage: call it with no lock held that malloc may want. Errors: NO_MEMORY (also: a stack
 * too small for the thread storage of all loaded libraries; OS_THREAD_STACK_BYTES will do),
 * TOO_MANY (the process' or the user's limit of threads).
 */
enum quarry_status os_thread_start(struct os_thread *thread, const char *name, void *stack,
                                   size_t stack_bytes, void (*run)(void *), void *argument);
void os_thread_join(struct os_thread *thread);
/*
 * Threads that are started from now on let one signal in: that of a profiler, whose handler runs on
 * the thread that it is about. For a program of our own, before it has threads; a library keeps all
 * signals of the program it is in from its threads.
 */
void os_threads_admit(int signal);
/*
 * From now on the calling thread works behind the others: it gets a third of the CPU that one of
 * them gets where they compete, and does not take it from one that runs just because it wakes. A
 * thread of a real-time or idle class stays what it is.
 * Errors: none: where the kernel refuses, nothing changes.
 */
void os_thread_step_back(void);
/* After fork, in the child: forgets a thread that only the parent has. */
void os_thread_forget(struct os_thread *thread);
/*
 * A small number that no other living thread of this process has; never 0, and the same in a child
 * of fork. Numbers count up as threads ask for one, and start over after 2^32 - 1 of them.
 * Cost: one load of thread storage, inline.
 */
static inline uint32_t os_thread_id(void);

/*
 * Hooks at the exit of a thread: one for each layer that keeps something for threads, of which
 * there are four (page, mem, ref, slab). Each costs a word.
 */
#define OS_THREAD_EXIT_HOOKS_MAX 8u

/*
 * Has `hook` called at the exit of every thread that called os_thread_exit_arm, before its thread
 * storage is gone. The hook that was set last is called first. A thread that arms again in or after
 * its hook is called again (glibc: four times at most). Not called when the process exits. Errors:
 * TOO_MANY (pthread keys used up, or OS_THREAD_EXIT_HOOKS_MAX hooks).
 */
enum quarry_status os_thread_exit_hook(void (*hook)(void));
/*
 * Does nothing where no hook is set. May call malloc where the process had 32 pthread keys before
 * the hook was set, so a malloc arms after its thread state is in place.
 * Errors: NO_MEMORY (the hook will not be called).
 */
enum quarry_status os_thread_exit_arm(void);

/* Whether the calling thread is the process' first: the one that main runs on. */
bool os_thread_is_first(void);
/*
 * Whether the calling thread is the only one that still runs, for a background thread of a process
 * whose first thread has ended: such a process lives until its last thread ends.
 * Cost: reads a folder of /proc.
 */
bool os_thread_is_last(void);

/* Hooks around fork: one for each layer that has locks. */
#define OS_FORK_HOOKS_MAX 8u

/*
 * Has the three called around fork(): `prepare` in rising rank of all that are registered, before
 * it; the other two in falling rank, after it. Registering a `prepare` again does nothing.
 *
 * `rank`: the lowest of the locks that `prepare` takes.
 * Errors: NO_MEMORY, TOO_MANY (OS_FORK_HOOKS_MAX). Threads: any, in any order of layers, with no
 * lock held that a fork would leave locked in the child: before the layer takes its first.
 */
enum quarry_status os_fork_hooks(enum os_rank rank, void (*prepare)(void), void (*parent)(void),
                                 void (*child)(void));

/*
 * A full memory barrier on every CPU that runs a thread of this process: after it returns, each
 * other thread has executed one since it was called. Lets one side of a Dekker handshake be a plain
 * store and load (see os_has_process_barrier). False when the kernel has no expedited membarrier
 * or forbids it; then both sides need sequentially consistent operations.
 */
bool os_process_barrier(void);
/* Whether os_process_barrier works here; asked once, const afterwards. Always false under TSan. */
bool os_has_process_barrier(void);

/* ---- the program's surroundings ------------------------------------------------------------- */

/*
 * The value of an environment variable, cut off at `capacity` - 1 bytes. Works before libc has set
 * `environ`, by reading the kernel's copy; allocates nothing.
 * Returns: false when there is no such variable.
 */
bool os_environment_find(const char *name, char *ret_value, size_t capacity);

/*
 * Fills `bytes` (up to 256) with what nobody can guess. Never waits.
 * Returns: false when the kernel has nothing yet, early in its life, or refuses.
 */
bool os_random(void *ret_bytes, size_t bytes);

/*
 * Which boot of the machine this is: a number that no other boot has. Returns: false when the
 * kernel does not say.
 */
bool os_boot_id(uint8_t ret_id[16]);

/* Writes a line to stderr by one system call, past stdio and its locks. Errors: none are told. */
void os_tell(const char *line, size_t bytes);

/* ---- the machine ---------------------------------------------------------------------------- */

struct os_machine {
    uint64_t ram_bytes;           /* MemTotal */
    uint64_t cgroup_limit_bytes;  /* tightest v1 or v2 limit on the path to the root; 0: none */
    uint64_t cgroup_used_bytes;   /* what that cgroup uses now; 0 when there is no limit */
    uint32_t cpu_count;           /* CPUs in the affinity mask */
    uint32_t cpu_quota_milli;     /* tightest cgroup CPU quota in 1/1000 CPU; 0: none */
    uint64_t address_limit_bytes; /* RLIMIT_AS; UINT64_MAX: none */
};

/*
 * Reads the machine's and the cgroup's limits. `root` is prefixed to /proc and /sys paths ("" for
 * the real ones), so that tests can present any cgroup tree. What cannot be read counts as "none".
 */
void os_machine_read(const char *root, struct os_machine *ret_machine);
/* Resident bytes of this process (/proc/self/statm), 0 if unreadable. */
uint64_t os_resident_bytes(void);

#include <os/gate.h>
#include <os/mutex.h>
#include <os/sanitizer.h>
#include <os/thread.h>

#endif
