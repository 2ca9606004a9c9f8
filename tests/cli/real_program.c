/*
 * A program with a fragmented heap, for whatever malloc it runs on. It says "ready" on stdout when
 * its heap is as it is to be looked at, and ends when its stdin does.
 *
 *   load_rows        900 objects of 64 KiB, kept
 *   make_temporary   400,000 objects of 200 bytes, all freed
 *   parse_config     12,122 objects of 200 bytes among them, kept
 *
 * Called with "past", it keeps the first 100 rows only, and maps and touches 64 MiB past its
 * malloc.
 *
 * It takes its time, for the heap samples at most a thousand allocations a second, and the fewer
 * there are the less exact are sums.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAST_BYTES ((size_t)64 << 20)
#define PAST_ROWS  100
#define ROWS       900
#define TEMPORARY  400000
#define KEPT_EVERY 33
/* Some pause after each row, and after so many temporary objects. */
#define PAUSE_EVERY 4000
#define ROW_PAUSE   1100 /* us */
#define PAUSE       10000
#define NOINLINE    __attribute__((noinline))
/* Keeps a call from being the last thing, which the compiler would make a jump. */
#define STAY() __asm__ volatile("" ::: "memory")

static void *rows[ROWS], *temporary[TEMPORARY], *kept[TEMPORARY / KEPT_EVERY + 1];

/* Every program has one; the tools look behind it. */
static void *xmalloc(size_t bytes)
{
    void *object = malloc(bytes);

    if (object == NULL) {
        exit(1);
    }
    return memset(object, 1, bytes);
}

static NOINLINE void *load_row(void)
{
    void *row = xmalloc(65536);

    STAY();
    return row;
}

static NOINLINE void *parse_config(void)
{
    void *setting = xmalloc(200);

    STAY();
    return setting;
}

static NOINLINE void *make_temporary(void)
{
    void *object = xmalloc(200);

    STAY();
    return object;
}

static void plant_rows(int count)
{
    for (int i = 0; i < count; i++) {
        rows[i] = load_row();
        (void)usleep(ROW_PAUSE);
    }
}

static void plant_past_the_malloc(void)
{
    void *pages =
        mmap(NULL, PAST_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (pages == MAP_FAILED) {
        exit(1);
    }
    memset(pages, 1, PAST_BYTES);
    plant_rows(PAST_ROWS);
}

static void plant(void)
{
    int kept_count = 0;

    plant_rows(ROWS);
    for (int i = 0; i < TEMPORARY; i++) {
        if (i % KEPT_EVERY == 0) {
            kept[kept_count++] = parse_config();
        }
        temporary[i] = make_temporary();
        if (i % PAUSE_EVERY == 0) {
            (void)usleep(PAUSE);
        }
    }
    for (int i = 0; i < TEMPORARY; i++) {
        free(temporary[i]);
    }
}

int main(int argument_count, char **arguments)
{
    char byte;

    if (argument_count > 1 && strcmp(arguments[1], "past") == 0) {
        plant_past_the_malloc();
    } else {
        plant();
    }
    puts("ready");
    (void)fflush(stdout);
    return read(STDIN_FILENO, &byte, 1) == 0 ? 0 : 1;
}
