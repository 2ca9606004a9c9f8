/*
 * The objects are made and freed in the child. It tells which pointer it is about to misuse through
 * a word that it shares with the test: an address printed by the child would be one more line on
 * stderr.
 */
#include "misuse.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <sys/mman.h>

static void *volatile *named;

void misuse_begin(void)
{
    void *page =
        mmap(NULL, sizeof *named, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    MUST(page != MAP_FAILED);
    named = page;
}

void *misuse_name(void *pointer)
{
    *named = pointer;
    return opaque(pointer);
}

void misuse_named(char ret_text[32])
{
    snprintf(ret_text, 32, "%p", *named);
}

void misuse_dies(child_body *body, size_t bytes, const char *words)
{
    struct child child;
    char address[32];

    child_run(body, (void *)bytes, &child);
    misuse_named(address);
    child_aborted(&child, (const char *const[]){words, address, NULL});
    if (child_lines(&child) != 1)
        fail_msg("more than a line: %s", child.errors);
}

void misuse_dies_with_every_size(child_body *body, const char *words)
{
    static const size_t sizes[] = {1, 8, 16, 24, 64, 200, 1000, 1024, 4096, 10000, 32768};

    QUARRY_ONLY();
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        misuse_dies(body, sizes[i], words);
}

void misuse_in_thread(void *(*body)(void *), void *object)
{
    pthread_t thread;

    MUST(pthread_create(&thread, NULL, body, object) == 0);
    MUST(pthread_join(thread, NULL) == 0);
}

void *misuse_free(void *object)
{
    free(object);
    return NULL;
}

void misuse_need_more(size_t bytes)
{
    static void *objects[5000];

    for (size_t i = 0; i < COUNT_OF(objects); i++)
        objects[i] = opaque(malloc(bytes));
    for (size_t i = 0; i < COUNT_OF(objects); i++)
        free(objects[i]);
}
