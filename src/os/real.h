/* The functions behind os_real()'s table; real.c fills it. Their contracts are in os.h. */
#ifndef QUARRY_OS_REAL_H
#define QUARRY_OS_REAL_H

#include <os/os.h>

enum quarry_status os_linux_reserve(struct os *os, size_t bytes, size_t align_bytes,
                                    void **ret_base);
enum quarry_status os_linux_reserve_zeros(struct os *os, size_t bytes, void **ret_base);
enum quarry_status os_linux_commit(struct os *os, void *base, size_t bytes);
enum quarry_status os_linux_decommit(struct os *os, void *base, size_t bytes);
enum quarry_status os_linux_uncommit(struct os *os, void *base, size_t bytes);
enum quarry_status os_linux_collapse(struct os *os, void *base, size_t bytes);
enum quarry_status os_linux_release(struct os *os, void *base, size_t bytes);

enum quarry_status os_linux_file_open(struct os *os, const char *path, struct os_file *ret_file);
void os_linux_file_close(struct os *os, struct os_file *file);
enum quarry_status os_linux_file_size(struct os *os, struct os_file *file, uint64_t *ret_bytes);
enum quarry_status os_linux_file_resize(struct os *os, struct os_file *file, uint64_t bytes);
enum quarry_status os_linux_file_map(struct os *os, struct os_file *file, uint64_t offset,
                                     void *base, size_t bytes);
enum quarry_status os_linux_file_preallocate(struct os *os, struct os_file *file, uint64_t offset,
                                             uint64_t bytes);
enum quarry_status os_linux_file_punch(struct os *os, struct os_file *file, uint64_t offset,
                                       uint64_t bytes);
enum quarry_status os_linux_file_next_data(struct os *os, struct os_file *file, uint64_t offset,
                                           uint64_t *ret_start, uint64_t *ret_end);
enum quarry_status os_linux_file_read(struct os *os, struct os_file *file, uint64_t offset,
                                      void *buffer, size_t bytes);
enum quarry_status os_linux_file_write(struct os *os, struct os_file *file, uint64_t offset,
                                       const void *buffer, size_t bytes);
enum quarry_status os_linux_file_sync(struct os *os, void *base, size_t bytes);

uint64_t os_linux_monotonic_ns(struct os *os);
uint64_t os_linux_wall_ns(struct os *os);
uint64_t os_linux_thread_cpu_ns(struct os *os);

#endif
