/*
 * Parameters of the API.
 *
 * Times of 2^63 milliseconds do not fit into nanoseconds, and so not into Prometheus: what it calls
 * its first and its last moment, 292 million years away, is taken by name and by value.
 */
#include <serve/api/params.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <tsdb/tsdb.h>

bool api_param(const struct http_call *call, const char *name, struct http_slice *ret_value)
{
    return http_param(call, name, ret_value) && ret_value->count > 0;
}

static bool read_number(struct http_slice text, double *ret_number)
{
    uint64_t bits;

    if (!tsdb_number_read((struct tsdb_slice){text.bytes, text.count}, &bits)) {
        return false;
    }
    memcpy(ret_number, &bits, sizeof *ret_number);
    return true;
}

/* Seconds as a number, to the millisecond. */
static bool read_seconds(struct http_slice text, int64_t *ret_ms)
{
    double seconds;

    if (!read_number(text, &seconds)) {
        return false;
    }
    const double ms = round(seconds * 1000);
    if (!(fabs(ms) <= (double)API_TIME_MAX_MS)) {
        return false;
    }
    *ret_ms = (int64_t)ms;
    return true;
}

/* ---- RFC 3339 ------------------------------------------------------------------------------- */

struct reader {
    const char *at, *end;
};

/* `digits` digits, and the character behind them unless it is NUL. */
static bool read_field(struct reader *reader, int digits, char behind, int64_t *ret_value)
{
    int64_t value = 0;

    for (int i = 0; i < digits; i++) {
        if (reader->at == reader->end || *reader->at < '0' || *reader->at > '9') {
            return false;
        }
        value = value * 10 + (*reader->at++ - '0');
    }
    if (behind != '\0' && (reader->at == reader->end || *reader->at++ != behind)) {
        return false;
    }
    *ret_value = value;
    return true;
}

/* ".123456": what is behind milliseconds is dropped. */
static bool read_fraction(struct reader *reader, int64_t *ret_ms)
{
    int64_t scale = 100;

    *ret_ms = 0;
    if (reader->at == reader->end || *reader->at != '.') {
        return true;
    }
    const char *first = ++reader->at;
    for (; reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9'; reader->at++) {
        *ret_ms += (*reader->at - '0') * scale;
        scale /= 10;
    }
    return reader->at > first;
}

/* "Z", "+02:00", "-08:30", and the end. */
static bool read_zone(struct reader *reader, int64_t *ret_ms)
{
    int64_t hours = 0, minutes = 0;

    if (reader->at == reader->end) {
        return false;
    }
    const char sign = *reader->at++;
    if (sign == 'Z') {
        *ret_ms = 0;
        return reader->at == reader->end;
    }
    if ((sign != '+' && sign != '-') || !read_field(reader, 2, ':', &hours) ||
        !read_field(reader, 2, '\0', &minutes) || hours > 23 || minutes > 59) {
        return false;
    }
    *ret_ms = (hours * 60 + minutes) * 60000 * (sign == '-' ? -1 : 1);
    return reader->at == reader->end;
}

/* Days from 1970-01-01 of a date of the Gregorian calendar: years begin in March, so that the day
 * that some lack is the last. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    const int64_t from_march = (month + 9) % 12;
    const int64_t y = year - (month <= 2);

    return 365 * y + y / 4 - y / 100 + y / 400 + (from_march * 306 + 5) / 10 + day - 1 - 719468;
}

static bool is_date(int64_t year, int64_t month, int64_t day)
{
    static const int64_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return year > 0 && month >= 1 && month <= 12 && day >= 1 &&
           day <= days[month - 1] + (month == 2 && is_leap);
}

static bool read_rfc3339(struct http_slice text, int64_t *ret_ms)
{
    struct reader reader = {text.bytes, text.bytes + text.count};
    int64_t year, month, day, hour, minute, second, fraction_ms, zone_ms;

    if (!read_field(&reader, 4, '-', &year) || !read_field(&reader, 2, '-', &month) ||
        !read_field(&reader, 2, 'T', &day) || !read_field(&reader, 2, ':', &hour) ||
        !read_field(&reader, 2, ':', &minute) || !read_field(&reader, 2, '\0', &second) ||
        !read_fraction(&reader, &fraction_ms) || !read_zone(&reader, &zone_ms) ||
        !is_date(year, month, day) || hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    *ret_ms = ((days_of(year, month, day) * 24 + hour) * 60 + minute) * 60000 + second * 1000 +
              fraction_ms - zone_ms;
    return true;
}

bool api_read_time(struct http_slice text, int64_t *ret_ms)
{
    if (http_slice_equals(text, "-292273086-05-16T16:47:06Z")) {
        *ret_ms = API_TIME_MIN_MS;
        return true;
    }
    if (http_slice_equals(text, "+292277025-08-18T07:12:54.999999999Z")) {
        *ret_ms = API_TIME_MAX_MS;
        return true;
    }
    return read_seconds(text, ret_ms) || read_rfc3339(text, ret_ms);
}

/* ---- durations ------------------------------------------------------------------------------ */

/* The unit that a text begins with: falling, each once. */
static int64_t read_unit(struct reader *reader, size_t *unit)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"y", 31536000000}, {"w", 604800000}, {"d", 86400000}, {"h", 3600000},
                 {"ms", 1},          {"m", 60000},     {"s", 1000}};
    /* In falling order "ms" is the last. */
    static const size_t ranks[] = {0, 1, 2, 3, 6, 4, 5};
    const size_t left = (size_t)(reader->end - reader->at);

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        const size_t count = strlen(units[i].name);
        if (count <= left && memcmp(reader->at, units[i].name, count) == 0) {
            if (ranks[i] < *unit) {
                return 0;
            }
            *unit = ranks[i] + 1;
            reader->at += count;
            return units[i].ms;
        }
    }
    return 0;
}

/* "1h30m" */
static bool read_units(struct http_slice text, int64_t *ret_ms)
{
    struct reader reader = {text.bytes, text.bytes + text.count};
    int64_t total_ms = 0;
    size_t unit = 0;

    while (reader.at < reader.end) {
        int64_t value = 0;
        const char *first = reader.at;
        while (reader.at < reader.end && *reader.at >= '0' && *reader.at <= '9' &&
               value <= INT64_MAX / 20) {
            value = value * 10 + (*reader.at++ - '0');
        }
        const int64_t unit_ms = reader.at == first ? 0 : read_unit(&reader, &unit);
        int64_t part_ms;
        if (unit_ms == 0 || __builtin_mul_overflow(value, unit_ms, &part_ms) ||
            __builtin_add_overflow(total_ms, part_ms, &total_ms) || total_ms > API_TIME_MAX_MS) {
            return false;
        }
    }
    *ret_ms = total_ms;
    return text.count > 0;
}

bool api_read_duration(struct http_slice text, int64_t *ret_ms)
{
    double seconds;

    /* What is no number becomes the least one there. */
    if (read_number(text, &seconds) && isnan(seconds)) {
        *ret_ms = -1;
        return true;
    }
    return read_seconds(text, ret_ms) || read_units(text, ret_ms);
}

const char *api_duration_text(uint64_t ms, char room[API_DURATION_BYTES])
{
    static const struct {
        const char *name;
        uint64_t ms;
        bool is_whole; /* used where nothing is left over */
    } units[] = {{"y", 31536000000, true}, {"w", 604800000, true}, {"d", 86400000, false},
                 {"h", 3600000, false},    {"m", 60000, false},    {"s", 1000, false},
                 {"ms", 1, false}};
    size_t used = 0;

    (void)snprintf(room, API_DURATION_BYTES, "0s");
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        const uint64_t count = units[i].is_whole && ms % units[i].ms != 0 ? 0 : ms / units[i].ms;
        if (count > 0) {
            used += (size_t)snprintf(room + used, API_DURATION_BYTES - used, "%" PRIu64 "%s", count,
                                     units[i].name);
            Q_ASSERT(used < API_DURATION_BYTES);
            ms -= count * units[i].ms;
        }
    }
    return room;
}

bool api_read_count(struct http_slice text, uint64_t *ret_count)
{
    uint64_t count = 0;

    for (size_t i = 0; i < text.count; i++) {
        if (text.bytes[i] < '0' || text.bytes[i] > '9' ||
            __builtin_mul_overflow(count, 10, &count) ||
            __builtin_add_overflow(count, (uint64_t)(text.bytes[i] - '0'), &count)) {
            return false;
        }
    }
    *ret_count = count;
    return text.count > 0;
}

bool api_read_number(struct http_slice text, int64_t *ret_number)
{
    const bool is_signed = text.count > 0 && (text.bytes[0] == '-' || text.bytes[0] == '+');
    const struct http_slice digits = {text.bytes + is_signed, text.count - is_signed};
    uint64_t count;

    if (!api_read_count(digits, &count) || count > INT64_MAX) {
        return false;
    }
    *ret_number = is_signed && text.bytes[0] == '-' ? -(int64_t)count : (int64_t)count;
    return true;
}

bool api_read_bool(struct http_slice text, bool *ret_value)
{
    static const char *const words[][6] = {{"0", "f", "F", "false", "FALSE", "False"},
                                           {"1", "t", "T", "true", "TRUE", "True"}};

    for (size_t i = 0; i < 12; i++) {
        if (http_slice_equals(text, words[i / 6][i % 6])) {
            *ret_value = i / 6 == 1;
            return true;
        }
    }
    return false;
}

bool api_is_number(struct http_slice text)
{
    double number;

    return read_number(text, &number);
}

/* How many bytes of a whole, printable character there are at `at`; 0: none. */
static size_t printable_bytes(const char *at, size_t left)
{
    const unsigned char first = (unsigned char)*at;
    const size_t count = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if (count > left || !tsdb_utf8_is_valid((struct tsdb_slice){at, count})) {
        return 0;
    }
    const bool is_control =
        first < ' ' || first == 0x7f || (first == 0xc2 && (unsigned char)at[1] < 0xa1);
    return is_control ? 0 : count;
}

const char *api_quote(struct http_slice text, char room[API_QUOTED_BYTES])
{
    static const char names[] = "\aa\bb\ff\nn\rr\tt\vv\"\"\\\\";
    const size_t count = size_min(text.count, 256);
    char *at = room;

    *at++ = '"';
    for (size_t i = 0; i < count;) {
        const char *name = names;
        while (*name != '\0' && *name != text.bytes[i]) {
            name += 2;
        }
        const size_t bytes = *name != '\0' ? 0 : printable_bytes(text.bytes + i, count - i);
        if (*name != '\0') {
            *at++ = '\\';
            *at++ = name[1];
        } else if (bytes == 0) {
            at += sprintf(at, "\\x%02x", (unsigned)(unsigned char)text.bytes[i]);
        } else {
            at = (char *)mempcpy(at, text.bytes + i, bytes);
        }
        i += bytes == 0 ? 1 : bytes;
    }
    *at++ = '"';
    *at = '\0';
    return room;
}
