/*
 * The first byte of a column: which integers stand for its values, and of what order their
 * differences are. column.c says what follows.
 */
#ifndef QUARRY_TSDB_COLUMN_FORM_H
#define QUARRY_TSDB_COLUMN_FORM_H

#include <tsdb/column.h>

#define COLUMN_BITS       0u
#define COLUMN_DECIMALS   1u
#define COLUMN_DICTIONARY 2u
#define COLUMN_NEARLY     3u

/* In place of an order: one value for all. */
#define COLUMN_CONSTANT 3u
#define COLUMN_ORDERS   4u

#define COLUMN_FORM(mapping, order) (uint8_t)((order) + COLUMN_ORDERS * (mapping))

/* The parameter of decimals: places, and zeros that were cut off. */
#define COLUMN_SHIFT_MAX               15u
#define COLUMN_SCALE(parameter)        ((parameter) % 16u)
#define COLUMN_SHIFT(parameter)        ((parameter) / 16u)
#define COLUMN_PARAMETER(scale, shift) ((scale) + 16u * (shift))

#endif
