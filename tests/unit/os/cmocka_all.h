/* cmocka and the headers that it wants before itself. */
#ifndef QUARRY_TESTS_UNIT_OS_CMOCKA_ALL_H
#define QUARRY_TESTS_UNIT_OS_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
