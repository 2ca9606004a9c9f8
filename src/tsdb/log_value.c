/*
 * The forms of the codes of values, in their order: the same; XORs by how many of the highest bytes
 * are zero and then by how many bytes there are; decimals by their places and then by bytes.
 *
 * Invariants
 *   1. Of an XOR, zero bytes, bytes and shift are a word: log_value_xor_code counts the same way.
 *
 * Locking: none. Cost: 183 bytes.
 *
 * Rejected: bits in place of bytes, as Gorilla's: what is read again once, after a crash, is not
 * worth the shifting. A code for more decimal places: six digits that are random look like six
 * places.
 */
#include <tsdb/log_value.h>

const struct log_value_form log_value_forms[LOG_VALUE_STALE] = {
    {0, 0, 0},  {1, 56, 0}, {2, 48, 0}, {3, 40, 0}, {4, 32, 0}, {5, 24, 0}, {6, 16, 0}, {7, 8, 0},
    {8, 0, 0},  {1, 48, 0}, {2, 40, 0}, {3, 32, 0}, {4, 24, 0}, {5, 16, 0}, {6, 8, 0},  {7, 0, 0},
    {1, 40, 0}, {2, 32, 0}, {3, 24, 0}, {4, 16, 0}, {5, 8, 0},  {6, 0, 0},  {1, 32, 0}, {2, 24, 0},
    {3, 16, 0}, {4, 8, 0},  {5, 0, 0},  {1, 24, 0}, {2, 16, 0}, {3, 8, 0},  {4, 0, 0},  {1, 16, 0},
    {2, 8, 0},  {3, 0, 0},  {1, 8, 0},  {2, 0, 0},  {1, 0, 0},  {1, 0, 1},  {2, 0, 1},  {3, 0, 1},
    {4, 0, 1},  {5, 0, 1},  {6, 0, 1},  {7, 0, 1},  {8, 0, 1},  {1, 0, 2},  {2, 0, 2},  {3, 0, 2},
    {4, 0, 2},  {5, 0, 2},  {6, 0, 2},  {7, 0, 2},  {8, 0, 2},  {1, 0, 3},  {2, 0, 3},  {3, 0, 3},
    {4, 0, 3},  {5, 0, 3},  {6, 0, 3},  {7, 0, 3},  {8, 0, 3}};
