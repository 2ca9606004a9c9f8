/*
 * Shortest digits and correctly rounded reading, both by the double-conversion library: fast paths
 * for nearly all numbers, exact arithmetic for the others, no locale and no allocation.
 *
 * The converter is made for each call, which stores a few words: a static one would need a
 * destructor and a lock at its first use.
 */
#include <tsdb/number_shim.h>

#include <climits>

#include <double-conversion/double-conversion.h>

using double_conversion::DoubleToStringConverter;
using double_conversion::StringToDoubleConverter;

int number_shim_digits(double value, char *room, int *ret_point)
{
    bool is_negative;
    int digit_count;

    DoubleToStringConverter::DoubleToAscii(value, DoubleToStringConverter::SHORTEST, 0, room,
                                           NUMBER_DIGITS_MAX + 1, &is_negative, &digit_count,
                                           ret_point);
    return digit_count;
}

bool number_shim_read(const char *text, size_t byte_count, double *ret_value)
{
    const StringToDoubleConverter converter(StringToDoubleConverter::NO_FLAGS, 0.0, 0.0, nullptr,
                                            nullptr);
    int read_count = 0;

    if (byte_count == 0 || byte_count > INT_MAX) {
        return false;
    }
    *ret_value = converter.StringToDouble(text, static_cast<int>(byte_count), &read_count);
    return read_count == static_cast<int>(byte_count);
}
