/* What the parts of the simulated twin share. Not a door: tests include os_sim.h. */
#ifndef QUARRY_OS_SIM_H
#define QUARRY_OS_SIM_H

#include <pthread.h>

#include <os/os_sim.h>

/* A file system block, and the unit in which a simulated disk fills. */
#define SIM_BLOCK_BYTES 4096

/* What a page of a reservation is. */
enum sim_page {
    SIM_PAGE_RESERVED = 0,
    SIM_PAGE_COMMITTED,
    SIM_PAGE_DECOMMITTED,
    SIM_PAGE_FILE,
    SIM_PAGE_RELEASED,
};
#define SIM_PAGE_COUNT 5

struct sim_reservation {
    struct sim_reservation *next;
    char *base;
    size_t page_count;
    size_t live_count;            /* pages that are not SIM_PAGE_RELEASED */
    size_t tally[SIM_PAGE_COUNT]; /* pages by what they are */
    uint8_t *pages;               /* own, mapped: a `enum sim_page` for each */
};

struct sim_file {
    char *path; /* own */
    int memfd;  /* own */
    bool is_open;
    uint64_t bytes;
    size_t block_count; /* entries of `blocks`; blocks past them are holes */
    bool *blocks;       /* own: whether a block is on the disk */
};

struct sim_rule {
    uint32_t kind_mask; /* 0: no rule */
    enum os_sim_fail_mode mode;
    enum quarry_status status;
    uint64_t calls_before; /* matching calls that still succeed */
    uint64_t failed_count;
    bool is_spent;
};

/* CPU time is per thread; a test with more threads than this is not a unit test. */
#define SIM_THREADS_MAX 256

struct sim_thread {
    uint32_t id;
    uint64_t cpu_ns;
};

struct os_sim_state {
    struct os_sim_options options; /* const after init */
    struct os *real;               /* const after init: where address space comes from */
    pthread_mutex_t mutex;
    /* guarded by mutex: everything below */
    struct os_sim_counters counters;
    struct sim_rule rule;
    struct sim_reservation *reservations; /* own, newest first */
    struct sim_file *files;               /* own; a file's number is its index */
    int file_count;
    uint64_t monotonic_ns;
    uint64_t wall_ns;
    uint32_t thread_count;
    struct sim_thread threads[SIM_THREADS_MAX];
};

/* The state behind a table, with its mutex taken, and given back. */
struct os_sim_state *sim_enter(struct os *os);
void sim_leave(struct os_sim_state *state);
/* Counts a call; what the rule has it answer, or QUARRY_OK to go on. */
enum quarry_status sim_call_locked(struct os_sim_state *state, enum os_sim_kind kind);
/* Moves all clocks, the calling thread's CPU clock too. */
void sim_work_locked(struct os_sim_state *state, uint64_t duration_ns);

/* sim_memory.c */
enum quarry_status sim_reserve(struct os *os, size_t bytes, size_t align_bytes, void **ret_base);
enum quarry_status sim_reserve_zeros(struct os *os, size_t bytes, void **ret_base);
enum quarry_status sim_commit(struct os *os, void *base, size_t bytes);
enum quarry_status sim_decommit(struct os *os, void *base, size_t bytes);
enum quarry_status sim_uncommit(struct os *os, void *base, size_t bytes);
enum quarry_status sim_collapse(struct os *os, void *base, size_t bytes);
enum quarry_status sim_release(struct os *os, void *base, size_t bytes);
/* Notes that a file lies over a range: it must be reserved and not committed. */
void sim_note_file_map_locked(struct os_sim_state *state, char *base, size_t bytes);
void sim_check_file_map_locked(struct os_sim_state *state, char *base, size_t bytes);
void sim_forget_reservations(struct os_sim_state *state);

/* sim_file.c */
enum quarry_status sim_file_open(struct os *os, const char *path, struct os_file *ret_file);
void sim_file_close(struct os *os, struct os_file *file);
enum quarry_status sim_file_size(struct os *os, struct os_file *file, uint64_t *ret_bytes);
enum quarry_status sim_file_resize(struct os *os, struct os_file *file, uint64_t bytes);
enum quarry_status sim_file_map(struct os *os, struct os_file *file, uint64_t offset, void *base,
                                size_t bytes);
enum quarry_status sim_file_preallocate(struct os *os, struct os_file *file, uint64_t offset,
                                        uint64_t bytes);
enum quarry_status sim_file_punch(struct os *os, struct os_file *file, uint64_t offset,
                                  uint64_t bytes);
enum quarry_status sim_file_next_data(struct os *os, struct os_file *file, uint64_t offset,
                                      uint64_t *ret_start, uint64_t *ret_end);
enum quarry_status sim_file_read(struct os *os, struct os_file *file, uint64_t offset, void *buffer,
                                 size_t bytes);
enum quarry_status sim_file_write(struct os *os, struct os_file *file, uint64_t offset,
                                  const void *buffer, size_t bytes);
enum quarry_status sim_file_sync(struct os *os, void *base, size_t bytes);
void sim_forget_files(struct os_sim_state *state);

#endif
