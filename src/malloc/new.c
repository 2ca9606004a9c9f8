/*
 * C++: operator new and delete, in all their forms but one: nothrow new has to swallow what a new
 * handler throws, and C cannot; libstdc++'s does, and calls ours.
 *
 * They have to be here, although libstdc++'s call malloc and free themselves, for programs that
 * link libstdc++ statically or compare who allocated with who freed; and sized delete is one call
 * less.
 *
 * This library links libc alone. What it needs of libstdc++, the handler and the exception, is
 * looked up weakly: a program that calls operator new has them.
 */
#include <stdlib.h>

#include <malloc/door.h>

typedef void new_handler(void);

/* std::get_new_handler() and std::__throw_bad_alloc() */
extern new_handler *_ZSt15get_new_handlerv(void) __attribute__((weak));
extern void _ZSt17__throw_bad_allocv(void) __attribute__((weak, noreturn));

/* Lets the program's handler make room. False: there is none. */
static bool call_handler(void)
{
    new_handler *handler = _ZSt15get_new_handlerv == NULL ? NULL : _ZSt15get_new_handlerv();

    if (handler == NULL) {
        return false;
    }
    handler();
    return true;
}

Q_COLD Q_NORETURN static void throw_bad_alloc(void)
{
    if (_ZSt17__throw_bad_allocv != NULL) {
        _ZSt17__throw_bad_allocv();
    }
    abort();
}

Q_COLD static void *new_again(size_t bytes, size_t align_bytes)
{
    while (call_handler()) {
        void *object = malloc_aligned(align_bytes, bytes);
        if (object != NULL) {
            return object;
        }
    }
    throw_bad_alloc();
}

static inline void *new_plain(size_t bytes)
{
    void *object = malloc(bytes);

    /* cppcheck-suppress memleak */
    return Q_LIKELY(object != NULL) ? object : new_again(bytes, 1);
}

static inline void *new_aligned(size_t bytes, size_t align_bytes)
{
    void *object = malloc_aligned(align_bytes, bytes);

    return Q_LIKELY(object != NULL) ? object : new_again(bytes, align_bytes);
}

/* Itanium mangling: nw new, na new[], dl delete, da delete[]; m size, R…nothrow_t, St11align_val_t.
 */
#define DEFINE_NEW(form)                                                                           \
    MALLOC_EXPORT void *_Z##form##m(size_t bytes);                                                 \
    void *_Z##form##m(size_t bytes)                                                                \
    {                                                                                              \
        return new_plain(bytes);                                                                   \
    }                                                                                              \
    MALLOC_EXPORT void *_Z##form##mSt11align_val_t(size_t bytes, size_t align_bytes);              \
    void *_Z##form##mSt11align_val_t(size_t bytes, size_t align_bytes)                             \
    {                                                                                              \
        return new_aligned(bytes, align_bytes);                                                    \
    }

#define DEFINE_DELETE_FORM(name, ...)                                                              \
    MALLOC_EXPORT void name(void *object, ##__VA_ARGS__);                                          \
    void name(void *object, ##__VA_ARGS__)

#define DEFINE_DELETE(form)                                                                        \
    DEFINE_DELETE_FORM(_Z##form##Pv)                                                               \
    {                                                                                              \
        free(object);                                                                              \
    }                                                                                              \
    DEFINE_DELETE_FORM(_Z##form##Pvm, size_t bytes)                                                \
    {                                                                                              \
        (void)bytes;                                                                               \
        free(object);                                                                              \
    }                                                                                              \
    DEFINE_DELETE_FORM(_Z##form##PvRKSt9nothrow_t, const void *nothrow)                            \
    {                                                                                              \
        (void)nothrow;                                                                             \
        free(object);                                                                              \
    }                                                                                              \
    DEFINE_DELETE_FORM(_Z##form##PvSt11align_val_t, size_t align_bytes)                            \
    {                                                                                              \
        (void)align_bytes;                                                                         \
        free(object);                                                                              \
    }                                                                                              \
    DEFINE_DELETE_FORM(_Z##form##PvmSt11align_val_t, size_t bytes, size_t align_bytes)             \
    {                                                                                              \
        (void)bytes;                                                                               \
        (void)align_bytes;                                                                         \
        free(object);                                                                              \
    }                                                                                              \
    DEFINE_DELETE_FORM(_Z##form##PvSt11align_val_tRKSt9nothrow_t, size_t align_bytes,              \
                       const void *nothrow)                                                        \
    {                                                                                              \
        (void)align_bytes;                                                                         \
        (void)nothrow;                                                                             \
        free(object);                                                                              \
    }

/* clang-format off */
DEFINE_NEW(nw)
DEFINE_NEW(na)
DEFINE_DELETE(dl)
DEFINE_DELETE(da)
