/*
 * Storage of a thread and its number. Part of the door; include <os/os.h>. thread.c has the essay.
 */
#ifndef QUARRY_OS_THREAD_H
#define QUARRY_OS_THREAD_H

#include <pthread.h>

#include <os/os.h>
#include <os/sanitizer.h>

/*
 * A stack that does for a thread of ours which calls only ours: libc puts the
 * thread storage of every loaded library on it as well, and that of TSan's runtime passes 900 KB.
 */
#define OS_THREAD_STACK_BYTES (OS_UNDER_TSAN ? Q_MIB(2) : Q_KIB(256))

/* What Linux keeps of a thread's name, its NUL included. */
#define OS_THREAD_NAME_BYTES 16

struct os_thread {
    pthread_t handle;                /* valid while is_started */
    bool is_started;                 /* between start and join, or forget */
    void (*run)(void *);             /* const after start */
    void *argument;                  /* const after start */
    char name[OS_THREAD_NAME_BYTES]; /* const after start */
};

/* 0 until the thread asked for its number. */
extern _Thread_local uint32_t os_thread_number;
Q_COLD uint32_t os_thread_id_slow(void);

static inline uint32_t os_thread_id(void)
{
    uint32_t id = os_thread_number;
    return Q_LIKELY(id != 0) ? id : os_thread_id_slow();
}

#endif
