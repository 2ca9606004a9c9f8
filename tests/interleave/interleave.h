/*
 * A small model checker for lock-free protocols: runs a scenario of two to four threads under every
 * schedule with a bounded number of preemptions, and under every value that the memory orders let a
 * load return. interleave.c has the essay; README.md says how to write a scenario.
 */
#ifndef QUARRY_TESTS_INTERLEAVE_INTERLEAVE_H
#define QUARRY_TESTS_INTERLEAVE_INTERLEAVE_H

#include <os/os.h>

#include <interleave_hooks.h>

#define INTERLEAVE_THREADS_MAX 4
#define INTERLEAVE_TRUSTED_MAX 8

struct interleave_scenario {
    const char *name;
    /*
     * Before each schedule: brings everything to the same state at the same addresses, whatever the
     * schedule before has left. May be NULL, as all but the first thread.
     */
    void (*set_up)(void);
    void (*threads[INTERLEAVE_THREADS_MAX])(void);
    /* After each step of each thread: what must hold at every instant. */
    void (*invariant)(void);
    /* After each schedule, when all threads have ended. */
    void (*check)(void);
    uint32_t preemptions; /* most in a schedule; 0: 3 */
    uint32_t oddities;    /* most loads of old values and weak CAS failures; 0: 2 */
    uint32_t steps;       /* more in one schedule are a livelock; 0: 20,000 */
    bool has_no_oddities; /* sequential consistency alone */
    bool has_no_barrier;  /* os_has_process_barrier says false */
    bool has_late_exits;  /* threads exit when all have ended: their exit hooks are not explored */
    /*
     * Parts of paths, as "/src/page/"; up to the first NULL: code that is trusted, for it has
     * scenarios of its own. Its operations are modelled, but no places to switch threads.
     */
    const char *trusted[INTERLEAVE_TRUSTED_MAX];
};

/* What a planted bug does to an operation. */
enum interleave_change {
    INTERLEAVE_WEAKEN,  /* its order becomes relaxed */
    INTERLEAVE_SKIP,    /* it does not happen; a load or what returns a value returns `value` */
    INTERLEAVE_SWAP,    /* a store or modification trades places with the thread's next operation */
    INTERLEAVE_TEAR,    /* a modification becomes a load and a store */
    INTERLEAVE_REPLACE, /* the operand (desired value) becomes `value` */
};

/*
 * A planted bug: all operations of `kind` in `function` whose object, as written, contains
 * `object`. The product's source stays as it is.
 */
struct interleave_plant {
    const char *function;
    enum interleave_kind kind;
    const char *object; /* NULL: any */
    enum interleave_change change;
    uint64_t value;
};

enum interleave_verdict {
    INTERLEAVE_CLEAN,
    INTERLEAVE_ASSERTION,
    INTERLEAVE_DEADLOCK,
    INTERLEAVE_LIVELOCK,
    INTERLEAVE_RACE,      /* of plain accesses */
    INTERLEAVE_CRASH,     /* a signal */
    INTERLEAVE_UNSTEADY,  /* the scenario is not the same in each run */
    INTERLEAVE_UNBOUNDED, /* too large: time, or a table of the checker */
};

struct interleave_result {
    enum interleave_verdict verdict;
    uint64_t schedule_count; /* explored, the one with the finding included */
    uint64_t step_count;     /* in all schedules */
    uint64_t plant_count;    /* how often the planted bug was met */
    uint64_t elapsed_ns;
    uintptr_t code;   /* of a race: the instruction after the access; 0: see the last step */
    char text[32768]; /* the finding and its schedule */
};

/* Explores a scenario in a child process. `plant` may be NULL. */
void interleave_explore(const struct interleave_scenario *scenario,
                        const struct interleave_plant *plant, struct interleave_result *ret_result);
const char *interleave_verdict_name(enum interleave_verdict verdict);

/* For cmocka tests: fail unless nothing is found, or unless the planted bug is, and say the
 * figures. */
void interleave_expect_clean(const struct interleave_scenario *scenario);
void interleave_expect_found(const struct interleave_scenario *scenario,
                             const struct interleave_plant *plant);

/*
 * INTERLEAVE_SEES_PLAIN, from CMakeLists.txt: whether the product's own plain accesses are checked
 * for races. Bugs that nothing else shows can be planted only where it is 1.
 */

/* In a scenario's thread: its index from 0; and a free choice, each of 0 to count - 1 being tried.
 */
uint32_t interleave_thread(void);
uint32_t interleave_choose(uint32_t count);

/*
 * Plain accesses that are checked: two of different threads, one of them a write, that no release
 * and acquire put in order are a race. Not a place to switch threads.
 */
#define interleave_read(object)                                                                    \
    (interleave_plain(INTERLEAVE_SITE(PLAIN_READ, RELAXED, #object), (object), sizeof *(object)),  \
     *(object))
#define interleave_write(object, value)                                                            \
    (interleave_plain(INTERLEAVE_SITE(PLAIN_WRITE, RELAXED, #object), (object), sizeof *(object)), \
     *(object) = (value))
void interleave_plain(const struct interleave_site *site, const volatile void *object,
                      size_t bytes);

#endif
