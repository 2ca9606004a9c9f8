/*
 * Children that misuse an object, and must be ended for it by a line that names the pointer.
 */
#ifndef QUARRY_TESTS_MALLOC_MISUSE_H
#define QUARRY_TESTS_MALLOC_MISUSE_H

#include "common.h"

/* What the line says of each misuse. */
#define DOUBLE_FREE "double free"
/* Where the first free may have given the pages back, and nobody can know any more what was there:
   that no object begins at the address is as good an answer. */
#define FREED_ALREADY  " free"
#define NOT_OBJECT     "no object begins"
#define NOT_OURS       "not of this heap"
#define OVERFLOW       "overflow"
#define USE_AFTER_FREE "use after free"

/* Once, before any other of these. */
void misuse_begin(void);

/* In a child: this is the pointer that the line must name. Returns it, opaque. */
void *misuse_name(void *pointer);

/* The pointer named last, as it is printed. */
void misuse_named(char ret_text[32]);

/* `body(bytes)`, in a child, is ended by abort(), and has said one line: with `words` and the
 * pointer. */
void misuse_dies(child_body *body, size_t bytes, const char *words);

/* For each size to 32 KiB at which size classes change their ways. Quarry only. */
void misuse_dies_with_every_size(child_body *body, const char *words);

/* Runs `body(object)` in a thread and waits for it; frees the object as a thread of its own. */
void misuse_in_thread(void *(*body)(void *), void *object);
void *misuse_free(void *object);

/* What other threads gave back is looked at when the owner needs more, at the latest. */
void misuse_need_more(size_t bytes);

#endif
