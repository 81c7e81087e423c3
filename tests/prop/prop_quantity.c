/* Laws of quantities, checked against plain 128-bit arithmetic. */
#include "prop.h"

#include "kube/quantity.h"

static const struct {
    const char *suffix;
    int64_t unit; /* of nano */
} units[] = {{"n", 1},
             {"u", 1000},
             {"m", 1000000},
             {"", 1000000000},
             {"k", 1000000000000},
             {"M", 1000000000000000},
             {"Ki", 1024000000000},
             {"Mi", 1048576000000000},
             {"Gi", 1073741824000000000},
             {"e3", 1000000000000},
             {"e-3", 1000000}};

struct drawn {
    struct str text;
    struct quantity q;
    __int128 nano;
};

static bool draw_quantity(struct prop *p, struct arena *a, struct drawn *ret)
{
    size_t unit = prop_below(p, ARRAY_SIZE(units));
    int64_t number =
        prop_chance(p, 30) ? prop_range(p, -1000000000, 1000000000) : prop_range(p, -3000, 3000);
    struct err err = ERR_INIT;
    ret->text = arena_strf(a, "%lld%s", (long long)number, units[unit].suffix);
    ret->nano = (__int128)number * units[unit].unit;
    prop_note(p, "%.*s", STR_ARG(ret->text));
    return quantity_parse(ret->text, &ret->q, &err) == 0;
}

static bool parse_is_arithmetic(struct prop *p)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct drawn d;
    return draw_quantity(p, a, &d) && d.q.nano == d.nano;
}

static bool text_round_trip(struct prop *p)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct drawn d;
    struct quantity back;
    struct err err = ERR_INIT;
    if (!draw_quantity(p, a, &d))
        return false;
    for (int form = QUANTITY_DECIMAL; form <= QUANTITY_EXPONENT; form++) {
        struct str text = quantity_text(a, d.q, (enum quantity_form)form);
        prop_note(p, "as %.*s", STR_ARG(text));
        if (quantity_parse(text, &back, &err) < 0 || quantity_cmp(back, d.q) != 0)
            return false;
    }
    return true;
}

/* The canonical text of a canonical text is itself. */
static bool canonical_is_stable(struct prop *p)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct drawn d;
    const struct val *once = NULL, *twice = NULL;
    struct err err = ERR_INIT;
    if (!draw_quantity(p, a, &d))
        return false;
    bool ok = quantity_canonical(a, val_string(a, d.text), &once, &err) == 0 &&
              quantity_canonical(a, once, &twice, &err) == 0;
    prop_note(p, "%s then %s", val_as_c(once), val_as_c(twice));
    return ok && once == twice;
}

static bool order_and_sums(struct prop *p)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct drawn x, y;
    if (!draw_quantity(p, a, &x) || !draw_quantity(p, a, &y))
        return false;
    int order = (x.nano > y.nano) - (x.nano < y.nano);
    return quantity_cmp(x.q, y.q) == order && quantity_add(x.q, y.q).nano == x.nano + y.nano &&
           quantity_sub(x.q, y.q).nano == x.nano - y.nano;
}

/* Rounding away from zero: the smallest whole number whose magnitude is not below. */
static bool value_rounds_up(struct prop *p)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct drawn d;
    if (!draw_quantity(p, a, &d))
        return false;
    __int128 magnitude = d.nano < 0 ? -d.nano : d.nano;
    int64_t value = quantity_value(d.q), milli = quantity_milli(d.q);
    __int128 whole = value < 0 ? -(__int128)value : value;
    __int128 thousandths = milli < 0 ? -(__int128)milli : milli;
    bool milli_fits = magnitude <= (__int128)INT64_MAX * 1000000;
    bool milli_ok =
        milli_fits ? thousandths * 1000000 >= magnitude && (thousandths - 1) * 1000000 < magnitude
                   : milli == (d.nano < 0 ? INT64_MIN : INT64_MAX);
    return whole * 1000000000 >= magnitude && (whole - 1) * 1000000000 < magnitude && milli_ok;
}

/* A fraction written out: digits behind the point are tenths, hundredths …; finer than nano goes up. */
static bool fractions_are_exact(struct prop *p)
{
    struct buf text cleanup(buf_done) = BUF_INIT(64);
    uint64_t whole = prop_below(p, 1000), digits = prop_below(p, 16);
    __int128 nano = (__int128)whole * 1000000000, place = 100000000;
    bool rest = false;
    buf_addf(&text, "%llu.", (unsigned long long)whole);
    for (uint64_t i = 0; i < digits; i++) {
        int digit = (int)prop_below(p, 10);
        buf_addc(&text, (char)('0' + digit));
        nano += digit * place;
        rest = rest || (place == 0 && digit > 0);
        place /= 10;
    }
    struct quantity q;
    struct err err = ERR_INIT;
    prop_note(p, "%s", buf_c(&text));
    return quantity_parse(buf_str(&text), &q, &err) == 0 && q.nano == nano + (rest ? 1 : 0);
}

int main(void)
{
    PROP(parse_is_arithmetic, 20000);
    PROP(text_round_trip, 20000);
    PROP(canonical_is_stable, 20000);
    PROP(order_and_sums, 20000);
    PROP(value_rounds_up, 20000);
    PROP(fractions_are_exact, 20000);
    return prop_exit();
}
