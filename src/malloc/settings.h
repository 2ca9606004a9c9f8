/*
 * Settings of the malloc: what QUARRY_MALLOC says.
 */
#ifndef QUARRY_MALLOC_SETTINGS_H
#define QUARRY_MALLOC_SETTINGS_H

#include <base/base.h>
#include <mem/mem.h>

struct malloc_settings {
    uint64_t limit_bytes;  /* hard limit on committed bytes; 0: the cgroup's, or none */
    uint64_t sample_bytes; /* mean of what lies between samples; 0: no sampling */
    uint32_t guard_every;  /* of the samples one in so many is guarded; 0: none */
    bool has_background;   /* a thread gives memory back */
    bool is_hardened;
    bool has_report; /* leave exact statistics behind at exit */
};

#define MALLOC_SAMPLE_DEFAULT_BYTES Q_KIB(512)
#define MALLOC_GUARD_DEFAULT_EVERY  MEM_GUARD_EVERY

/*
 * Reads QUARRY_MALLOC, a comma-separated list of name=value. What is wrong is named in a line on
 * stderr each and ignored. Works before `environ` is set, and allocates nothing.
 */
struct malloc_settings malloc_settings_read(void);

/* The same from a text; for tests. `text`: borrowed; NULL: nothing is set. */
struct malloc_settings malloc_settings_parse(const char *text);

#endif
