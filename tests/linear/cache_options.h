/*
 * What the driver of the library's cache can be told.
 */
#ifndef QUARRY_TESTS_LINEAR_CACHE_OPTIONS_H
#define QUARRY_TESTS_LINEAR_CACHE_OPTIONS_H

#include <stdbool.h>

struct linear_cache_options {
    const char *file_path; /* where items lie; NULL: anonymous memory */
    bool is_full;          /* it evicts, of another tenant, all the time */
};

#endif
