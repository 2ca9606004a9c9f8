/*
 * The end of a program that misused the heap: one line on stderr, then abort().
 */
#ifndef QUARRY_MEM_PANIC_H
#define QUARRY_MEM_PANIC_H

#include <base/base.h>

enum mem_panic {
    MEM_PANIC_DOUBLE_FREE,  /* the object is free already, and freed or resized again */
    MEM_PANIC_NOT_OBJECT,   /* within the heap, but no object begins there */
    MEM_PANIC_FOREIGN,      /* not of this heap at all */
    MEM_PANIC_OVERFLOW,     /* written past its end (hardened mode, guarded objects) */
    MEM_PANIC_UNDERFLOW,    /* written before its beginning (guarded objects) */
    MEM_PANIC_WRITTEN_FREE, /* written to after it was freed (hardened mode) */
};

/*
 * Says what happened to which address, and aborts. Allocates nothing and takes no lock.
 * The line: "quarry: double free of 0x7f…" and the like; tests and people read it.
 */
Q_COLD Q_NORETURN void mem_panic(enum mem_panic what, const void *address);

/* The same with a text of the layers above: up to 120 bytes, and what follows it is the address. */
Q_COLD Q_NORETURN void mem_panic_text(const char *text, const void *address);

#endif
