/*
 * A program with a planted heap: `fake_program SCENE [EXIT-CODE]`.
 *
 * It plants the scene, says "ready" on stdout, and answers wishes for fresh figures until its stdin
 * ends. It says "noted" when it gets SIGUSR1. The functions have the names that the tests look for.
 */
#include "fake_heap.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KIB       1024u
#define MIB       (1024u * KIB)
#define ANSWER_MS 10
#define NOINLINE  __attribute__((noinline))
/* Keeps a call from being the last thing, which the compiler would make a jump. */
#define STAY() __asm__ volatile("" ::: "memory")

/* 20,000 objects of 256 bytes, each alone in a span: 5 MB alive, 155 MiB pinned. */
static NOINLINE void parse_config(void)
{
    fake_add(&(struct fake_objects){.owner = FAKE_MALLOC,
                                    .count = 20000,
                                    .requested_bytes = 250,
                                    .usable_bytes = 256,
                                    .span_used = 1});
    STAY();
}

/* 2,000 objects of 256 bytes, each alone in a span: the smaller pinner. */
static NOINLINE void open_session(void)
{
    fake_add(&(struct fake_objects){.owner = FAKE_MALLOC,
                                    .count = 2000,
                                    .requested_bytes = 256,
                                    .usable_bytes = 256,
                                    .span_used = 1});
    STAY();
}

/* 400 objects of 64 KiB with pages of their own. */
static NOINLINE void load_table(void)
{
    fake_add(&(struct fake_objects){
        .owner = FAKE_MALLOC, .count = 400, .requested_bytes = 64 * KIB, .usable_bytes = 64 * KIB});
    STAY();
}

/* Full spans; 1,024 bytes where 600 were asked for. */
static NOINLINE void fill_cache(void)
{
    fake_add(&(struct fake_objects){.owner = FAKE_CACHE,
                                    .count = 40000,
                                    .requested_bytes = 600,
                                    .usable_bytes = KIB,
                                    .span_used = 8});
    STAY();
}

/* 300 MB that nobody keeps. */
static NOINLINE void answer_request(void)
{
    fake_add(&(struct fake_objects){.owner = FAKE_MALLOC,
                                    .count = 300000,
                                    .requested_bytes = KIB,
                                    .usable_bytes = KIB,
                                    .span_used = 8,
                                    .is_freed = true});
    STAY();
}

/* 4 MiB a time. */
static NOINLINE void leak_buffer(void)
{
    fake_add(&(struct fake_objects){
        .owner = FAKE_MALLOC, .count = 64, .requested_bytes = 64 * KIB, .usable_bytes = 64 * KIB});
    STAY();
}

static NOINLINE void fill_exactly(void)
{
    fake_add(&(struct fake_objects){.owner = FAKE_CACHE,
                                    .count = 40000,
                                    .requested_bytes = KIB,
                                    .usable_bytes = KIB,
                                    .span_used = 8});
    STAY();
}

static void plant_all(void)
{
    fake_begin(16 * KIB);
    parse_config();
    open_session();
    load_table();
    fill_cache();
    answer_request();
}

static void plant_healthy(void)
{
    fake_begin(16 * KIB);
    fill_exactly();
}

static void plant_small(void)
{
    fake_begin(KIB);
    fake_add(&(struct fake_objects){.owner = FAKE_MALLOC,
                                    .count = 100,
                                    .requested_bytes = 256,
                                    .usable_bytes = 256,
                                    .span_used = 1});
}

static void plant_crowded(void)
{
    plant_healthy();
    fake_set_free(20 * MIB, 12 * MIB);
    fake_set_limit(72 * MIB);
    fake_set_peak(200 * MIB);
    fake_set_refused(7);
    fake_set_hardened(true);
}

/* Accounts under pressure: level 2 of 3 is high. */
static void plant_budgeted(void)
{
    plant_healthy();
    fake_set_budget(2, 9);
}

/* Nothing is sampled. */
static void plant_blind(void)
{
    fake_begin(0);
    parse_config();
}

static const struct {
    const char *name;
    void (*plant)(void);
} scenes[] = {{"all", plant_all},         {"healthy", plant_healthy},   {"small", plant_small},
              {"crowded", plant_crowded}, {"blind", plant_blind},       {"growing", plant_healthy},
              {"silent", plant_healthy},  {"budgeted", plant_budgeted}, {"leaving", plant_all}};

static void plant(const char *name)
{
    for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
        if (strcmp(scenes[i].name, name) == 0) {
            scenes[i].plant();
            return;
        }
    }
    fprintf(stderr, "no scene '%s'\n", name);
    exit(2);
}

/* Answers until stdin ends. */
static void serve(const char *scene)
{
    struct pollfd poll_fd = {.fd = STDIN_FILENO, .events = POLLIN};
    unsigned round = 0;

    while (poll(&poll_fd, 1, ANSWER_MS) == 0) {
        if (strcmp(scene, "silent") == 0) {
            continue;
        }
        if (strcmp(scene, "growing") == 0 && ++round % 50 == 0 && round < 2500) {
            leak_buffer();
        }
        if (fake_wants_refresh()) {
            fake_refresh();
        }
    }
}

static volatile sig_atomic_t got_signal;

static void note_signal(int number)
{
    static const char said[] = "noted\n";

    got_signal = number;
    (void)!write(STDOUT_FILENO, said, sizeof(said) - 1);
}

int main(int argument_count, char **arguments)
{
    const char *scene = argument_count > 1 ? arguments[1] : "all";
    const struct sigaction action = {.sa_handler = note_signal};

    (void)sigaction(SIGUSR1, &action, NULL);
    plant(scene);
    if (strcmp(scene, "leaving") != 0) {
        fake_refresh();
    }
    puts("ready");
    (void)fflush(stdout);
    serve(scene);
    if (got_signal != 0) {
        return 100 + got_signal;
    }
    return argument_count > 2 ? atoi(arguments[2]) : 0;
}
