/* RFC 3339 and Go durations, with the civil-calendar arithmetic of
 * howardhinnant.github.io/date_algorithms.html (days_from_civil, civil_from_days). */
#include "base/timefmt.h"

#define DAY_MS 86400000LL

static int64_t days_from_civil(int64_t y, unsigned m, unsigned d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    unsigned yoe = (unsigned)(y - era * 400);
    unsigned doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

    return era * 146097 + (int64_t)doe - 719468;
}

static void civil_from_days(int64_t z, int64_t *y, unsigned *m, unsigned *d)
{
    z += 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;

    *d = doy - (153 * mp + 2) / 5 + 1;
    *m = mp < 10 ? mp + 3 : mp - 9;
    *y = (int64_t)yoe + era * 400 + (*m <= 2);
}

static struct str format(struct arena *arena, time_ms t, bool micro)
{
    int64_t days = t / DAY_MS - (t % DAY_MS < 0);
    int64_t ms = t - days * DAY_MS;
    int64_t y;
    unsigned m, d;

    civil_from_days(days, &y, &m, &d);
    int hour = (int)(ms / 3600000), minute = (int)(ms / 60000 % 60), second = (int)(ms / 1000 % 60);
    if (micro)
        return arena_strf(arena, "%04lld-%02u-%02uT%02d:%02d:%02d.%03d000Z", (long long)y, m, d,
                          hour, minute, second, (int)(ms % 1000));
    return arena_strf(arena, "%04lld-%02u-%02uT%02d:%02d:%02dZ", (long long)y, m, d, hour, minute,
                      second);
}

struct str time_rfc3339(struct arena *arena, time_ms t)
{
    return format(arena, t, false);
}

struct str time_rfc3339_micro(struct arena *arena, time_ms t)
{
    return format(arena, t, true);
}

static bool number(struct str s, size_t at, size_t digits, int64_t low, int64_t high, int64_t *ret)
{
    uint64_t x;

    if (at + digits > s.n || !str_to_u64(str_sub(s, at, at + digits), &x))
        return false;
    *ret = (int64_t)x;
    return *ret >= low && *ret <= high;
}

static bool has_day(int64_t year, int64_t month, int64_t day)
{
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    if (month == 2)
        return day <= (leap ? 29 : 28);
    return day <= 30 + ((month + (month > 7)) & 1);
}

bool time_parse_rfc3339(struct str s, time_ms *ret)
{
    int64_t y, mo, d, h, mi, sec, ms = 0, zone_min = 0;

    if (s.n < 20 || s.p[4] != '-' || s.p[7] != '-' || (s.p[10] != 'T' && s.p[10] != 't') ||
        s.p[13] != ':' || s.p[16] != ':')
        return false;
    if (!number(s, 0, 4, 0, 9999, &y) || !number(s, 5, 2, 1, 12, &mo) ||
        !number(s, 8, 2, 1, 31, &d) || !number(s, 11, 2, 0, 23, &h) ||
        !number(s, 14, 2, 0, 59, &mi) || !number(s, 17, 2, 0, 60, &sec) || !has_day(y, mo, d))
        return false;
    size_t at = 19;
    if (s.p[at] == '.') {
        int64_t unit = 100;

        for (at++; at < s.n && s.p[at] >= '0' && s.p[at] <= '9'; at++, unit /= 10)
            ms += (s.p[at] - '0') * unit;
    }
    if (at >= s.n)
        return false;
    if (s.p[at] == '+' || s.p[at] == '-') {
        int64_t zh, zm;

        if (s.n != at + 6 || s.p[at + 3] != ':' || !number(s, at + 1, 2, 0, 23, &zh) ||
            !number(s, at + 4, 2, 0, 59, &zm))
            return false;
        zone_min = (zh * 60 + zm) * (s.p[at] == '-' ? -1 : 1);
    } else if ((s.p[at] != 'Z' && s.p[at] != 'z') || s.n != at + 1) {
        return false;
    }
    *ret = days_from_civil(y, (unsigned)mo, (unsigned)d) * DAY_MS +
           ((h * 60 + mi - zone_min) * 60 + sec) * 1000 + ms;
    return true;
}

struct str time_human(struct arena *arena, int64_t duration_ms)
{
    int64_t s = duration_ms / 1000, m = s / 60, h = m / 60, d = h / 24;

    if (s < -1)
        return STR("<invalid>");
    if (s < 0)
        return STR("0s");
    if (s < 60 * 2)
        return arena_strf(arena, "%llds", (long long)s);
    if (m < 10)
        return s % 60 ? arena_strf(arena, "%lldm%llds", (long long)m, (long long)(s % 60))
                      : arena_strf(arena, "%lldm", (long long)m);
    if (m < 60 * 3)
        return arena_strf(arena, "%lldm", (long long)m);
    if (h < 8)
        return m % 60 ? arena_strf(arena, "%lldh%lldm", (long long)h, (long long)(m % 60))
                      : arena_strf(arena, "%lldh", (long long)h);
    if (h < 48)
        return arena_strf(arena, "%lldh", (long long)h);
    if (d < 8)
        return h % 24 ? arena_strf(arena, "%lldd%lldh", (long long)d, (long long)(h % 24))
                      : arena_strf(arena, "%lldd", (long long)d);
    if (d < 365 * 2)
        return arena_strf(arena, "%lldd", (long long)d);
    if (d < 365 * 8)
        return d / 365 && d % 365
                   ? arena_strf(arena, "%lldy%lldd", (long long)(d / 365), (long long)(d % 365))
                   : arena_strf(arena, "%lldy", (long long)(d / 365));
    return arena_strf(arena, "%lldy", (long long)(d / 365));
}

/* Milliseconds of "12" + unit; each part may be used once or more, as in Go. */
static bool duration_part(struct str *s, int64_t *ret_ms)
{
    static const struct {
        struct str unit;
        double ms;
    } units[] = {{{"ms", 2}, 1},      {{"us", 2}, 1e-3}, {{"ns", 2}, 1e-6},
                 {{"h", 1}, 3600000}, {{"m", 1}, 60000}, {{"s", 1}, 1000}};
    size_t n = 0;
    double number_value;

    while (n < s->n && ((s->p[n] >= '0' && s->p[n] <= '9') || s->p[n] == '.'))
        n++;
    if (!str_to_double(str_sub(*s, 0, n), &number_value) || number_value > 1e12)
        return false;
    struct str rest = str_sub(*s, n, s->n);
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (!str_starts(rest, units[i].unit))
            continue;
        *ret_ms = (int64_t)(number_value * units[i].ms);
        *s = str_sub(rest, units[i].unit.n, rest.n);
        return true;
    }
    return false;
}

bool time_parse_duration(struct str s, int64_t *ret_ms)
{
    int64_t total = 0;

    if (str_is(s, "0")) {
        *ret_ms = 0;
        return true;
    }
    if (s.n == 0)
        return false;
    while (s.n) {
        int64_t part;

        if (!duration_part(&s, &part))
            return false;
        total += part;
    }
    *ret_ms = total;
    return true;
}
