/*
 * Years, months and days of a time.
 *
 * Days are counted from a March, so that the day that some years have more is a year's last one:
 * 400 years are 146,097 days, and the months from March on have 153 days in each five.
 */
#include <promql/functions.h>

#include <math.h>

#define DAY_SECONDS  86400
#define DAYS_OF_400  146097
#define DAYS_TO_1970 719468 /* from 1 March of the year 0 */

struct date {
    int64_t year, month, day; /* month and day from 1 */
};

/* Whole seconds; what no calendar has is the year 0's begin. */
static int64_t whole(double seconds)
{
    return fabs(seconds) < 9e15 ? (int64_t)seconds : INT64_MIN / 4096;
}

static int64_t floor_divide(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t days_of(double seconds)
{
    return floor_divide(whole(seconds), DAY_SECONDS);
}

static struct date date_of(double seconds)
{
    int64_t days = days_of(seconds) + DAYS_TO_1970;
    int64_t era = floor_divide(days, DAYS_OF_400);
    int64_t day_of_era = days - era * DAYS_OF_400;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day + 2) / 153; /* from March: 0 */
    int64_t civil_month = month < 10 ? month + 3 : month - 9;

    return (struct date){.year = year_of_era + era * 400 + (civil_month <= 2),
                         .month = civil_month,
                         .day = day - (153 * month + 2) / 5 + 1};
}

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int64_t month_days(int64_t year, int64_t month)
{
    static const int64_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year));
}

static double year(double seconds)
{
    return isnan(seconds) ? NAN : (double)date_of(seconds).year;
}

static double month(double seconds)
{
    return isnan(seconds) ? NAN : (double)date_of(seconds).month;
}

static double day_of_month(double seconds)
{
    return isnan(seconds) ? NAN : (double)date_of(seconds).day;
}

static double days_in_month(double seconds)
{
    struct date date = date_of(isnan(seconds) ? 0 : seconds);
    return isnan(seconds) ? NAN : (double)month_days(date.year, date.month);
}

static double day_of_year(double seconds)
{
    struct date date = date_of(isnan(seconds) ? 0 : seconds);
    int64_t day = date.day;

    for (int64_t before = 1; before < date.month; before++) {
        day += month_days(date.year, before);
    }
    return isnan(seconds) ? NAN : (double)day;
}

static double day_of_week(double seconds)
{
    int64_t day = isnan(seconds) ? 0 : (days_of(seconds) + 4) % 7; /* 1970 began with a Thursday */
    return isnan(seconds) ? NAN : (double)(day < 0 ? day + 7 : day);
}

static double part_of_day(double seconds, int64_t unit, int64_t count)
{
    int64_t second = isnan(seconds) ? 0 : whole(seconds) - days_of(seconds) * DAY_SECONDS;
    return isnan(seconds) ? NAN : (double)(second / unit % count);
}

static double hour(double seconds)
{
    return part_of_day(seconds, 3600, 24);
}

static double minute(double seconds)
{
    return part_of_day(seconds, 60, 60);
}

double (*eval_calendar_function(enum promql_function_id id))(double seconds)
{
    return id == PROMQL_FN_year            ? year
           : id == PROMQL_FN_month         ? month
           : id == PROMQL_FN_day_of_month  ? day_of_month
           : id == PROMQL_FN_days_in_month ? days_in_month
           : id == PROMQL_FN_day_of_year   ? day_of_year
           : id == PROMQL_FN_day_of_week   ? day_of_week
           : id == PROMQL_FN_hour          ? hour
           : id == PROMQL_FN_minute        ? minute
                                           : NULL;
}
