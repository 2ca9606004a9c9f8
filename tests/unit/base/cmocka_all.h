/*
 * cmocka, with the headers it wants included before it.
 */
#ifndef QUARRY_TESTS_UNIT_BASE_CMOCKA_ALL_H
#define QUARRY_TESTS_UNIT_BASE_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
