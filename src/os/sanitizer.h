/* Which sanitizer this file is compiled for: gcc and clang say it in different ways. */
#ifndef QUARRY_OS_SANITIZER_H
#define QUARRY_OS_SANITIZER_H

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define OS_UNDER_TSAN 1
#endif
#if __has_feature(address_sanitizer)
#define OS_UNDER_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define OS_UNDER_TSAN 1
#endif
#if defined(__SANITIZE_ADDRESS__)
#define OS_UNDER_ASAN 1
#endif
#if !defined(OS_UNDER_TSAN)
#define OS_UNDER_TSAN 0
#endif
#if !defined(OS_UNDER_ASAN)
#define OS_UNDER_ASAN 0
#endif

#endif
