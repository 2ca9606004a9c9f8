/*
 * What the driver of the library's cache can be told.
 */
#ifndef QUARRY_TESTS_LINEAR_CACHE_OPTIONS_H
#define QUARRY_TESTS_LINEAR_CACHE_OPTIONS_H

struct linear_cache_options {
    const char *file_path; /* where items lie; NULL: anonymous memory */
};

#endif
