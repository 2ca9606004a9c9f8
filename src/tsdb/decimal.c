/* Powers of ten that are doubles, and one of two. decimal.h says what for. */
#include <tsdb/decimal.h>

const double tsdb_decimal_powers[TSDB_DECIMAL_KIB + 1] = {1e0, 1e1, 1e2, 1e3,  1e4,  1e5,  1e6,
                                                          1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 0x1p-10};
