/*
 * A program with a fragmented heap, for whatever malloc it runs on. It says "ready" on stdout when
 * its heap is as it is to be looked at, and ends when its stdin does.
 *
 *   load_rows        60,000 objects of 1,024 bytes, kept
 *   make_temporary   400,000 objects of 200 bytes, all freed
 *   parse_config     12,122 objects of 200 bytes among them, kept
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROWS       60000
#define TEMPORARY  400000
#define KEPT_EVERY 33
#define NOINLINE   __attribute__((noinline))
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
    void *row = xmalloc(1024);

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

int main(void)
{
    char byte;
    int kept_count = 0;

    for (int i = 0; i < ROWS; i++) {
        rows[i] = load_row();
    }
    for (int i = 0; i < TEMPORARY; i++) {
        if (i % KEPT_EVERY == 0) {
            kept[kept_count++] = parse_config();
        }
        temporary[i] = make_temporary();
    }
    for (int i = 0; i < TEMPORARY; i++) {
        free(temporary[i]);
    }
    puts("ready");
    (void)fflush(stdout);
    return read(STDIN_FILENO, &byte, 1) == 0 && kept[kept_count - 1] != NULL ? 0 : 1;
}
