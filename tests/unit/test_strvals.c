/* Helm's --set language: what each text becomes, and what each mistake is answered with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "chart/chart.h"

static int read_known(void *ctx, struct arena *a, struct str path, struct str *ret, struct err *err)
{
    if (!str_is(path, "known.txt"))
        return err_set(err, ERR_NOT_FOUND, "%.*s: no such file", STR_ARG(path));
    *ret = STR("the content\n");
    return 0;
}

struct good {
    enum chart_set_kind kind;
    const char *into, *text, *becomes;
};

static const struct good goods[] = {
    {CHART_SET, "{}", "a=1", "{\"a\":1}"},
    {CHART_SET, "{}", "a.b.c=x", "{\"a\":{\"b\":{\"c\":\"x\"}}}"},
    {CHART_SET, "{}", "a=1,b=2", "{\"a\":1,\"b\":2}"},
    {CHART_SET, "{}", "a=", "{\"a\":\"\"}"},
    {CHART_SET, "{}", "a=,b=1", "{\"a\":\"\",\"b\":1}"},
    {CHART_SET, "{}", "", "{}"},
    {CHART_SET, "{}", "a=true,b=FALSE,c=null,d=Null",
     "{\"a\":true,\"b\":false,\"c\":null,\"d\":null}"},
    {CHART_SET, "{}", "a=0,b=00,c=012,d=-3,e=+4",
     "{\"a\":0,\"b\":\"00\",\"c\":\"012\",\"d\":-3,\"e\":4}"},
    {CHART_SET, "{}", "a=1.5,b=1e3,c=9223372036854775808",
     "{\"a\":\"1.5\",\"b\":\"1e3\",\"c\":\"9223372036854775808\"}"},
    {CHART_SET, "{}", "a={x,1,true}", "{\"a\":[\"x\",1,true]}"},
    {CHART_SET, "{}", "a={}", "{\"a\":[\"\"]}"},
    {CHART_SET, "{}", "a={x,y},b=1", "{\"a\":[\"x\",\"y\"],\"b\":1}"},
    {CHART_SET, "{}", "a={x\\,y,z\\}}", "{\"a\":[\"x,y\",\"z}\"]}"},
    {CHART_SET, "{}", "a=x\\,y", "{\"a\":\"x,y\"}"},
    {CHART_SET, "{}", "a\\.b/c=d", "{\"a.b/c\":\"d\"}"},
    {CHART_SET, "{}", "a\\=b=c", "{\"a=b\":\"c\"}"},
    {CHART_SET, "{}", "a=b=c", "{\"a\":\"b=c\"}"},
    {CHART_SET, "{}", "a[0].b=1,a[0].c=2", "{\"a\":[{\"b\":1,\"c\":2}]}"},
    {CHART_SET, "{}", "a[1]=x", "{\"a\":[null,\"x\"]}"},
    {CHART_SET, "{}", "a[0][1]=x", "{\"a\":[[null,\"x\"]]}"},
    {CHART_SET, "{}", "a[0]={x,y}", "{\"a\":[[\"x\",\"y\"]]}"},
    {CHART_SET, "{\"a\":[1,2,3]}", "a[1]=x", "{\"a\":[1,\"x\",3]}"},
    {CHART_SET, "{\"a\":{\"b\":1}}", "a.c=2", "{\"a\":{\"b\":1,\"c\":2}}"},
    {CHART_SET, "{\"a\":{\"b\":1}}", "a=2", "{\"a\":2}"},
    {CHART_SET, "{\"a\":{\"b\":1}}", "a=null", "{\"a\":null}"},
    {CHART_SET, "{}", "a=é\\,ü", "{\"a\":\"é,ü\"}"},
    {CHART_SET, "{}", "a= x ", "{\"a\":\" x \"}"},
    {CHART_SET, "{}", "a=x\\", "{\"a\":\"x\"}"},
    {CHART_SET_STRING, "{}", "a=1,b=true,c=null,d={1,2}",
     "{\"a\":\"1\",\"b\":\"true\",\"c\":\"null\",\"d\":[\"1\",\"2\"]}"},
    {CHART_SET_JSON, "{}", "a={\"b\":[1,2,{\"c\":\"}\"}]},d=\"x,y\"",
     "{\"a\":{\"b\":[1,2,{\"c\":\"}\"}]},\"d\":\"x,y\"}"},
    {CHART_SET_JSON, "{}", "a=,b= 1.5 , c=[]", "{\"a\":null,\"b\":1.5,\" c\":[]}"},
    {CHART_SET_JSON, "{}", "a[0].b={\"x\":1}", "{\"a\":[{\"b\":{\"x\":1}}]}"},
    {CHART_SET_FILE, "{}", "a.b=known.txt", "{\"a\":{\"b\":\"the content\\n\"}}"},
};

static void every_text_becomes_what_helm_makes_of_it(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(goods); i++) {
        const struct good *g = &goods[i];
        struct arena *a = arena_new();
        const struct val *into, *becomes, *got = NULL;
        struct err err = ERR_INIT;

        assert_int_equal(val_parse_json(a, str_of(g->into), &into, &err), 0);
        assert_int_equal(val_parse_json(a, str_of(g->becomes), &becomes, &err), 0);
        if (chart_strvals(a, g->kind, str_of(g->text), into, read_known, NULL, &got, &err) < 0)
            fail_msg("%s: %s", g->text, err.text);
        if (got != becomes)
            fail_msg("%s: %.*s, not %s", g->text, STR_ARG(val_json(a, got)), g->becomes);
        arena_free(a);
    }
}

static const struct {
    enum chart_set_kind kind;
    const char *into, *text, *says;
} bads[] = {
    {CHART_SET, "{}", "a", "key \"a\" has no value"},
    {CHART_SET, "{}", "a,b=1", "key \"a\" has no value"},
    {CHART_SET, "{}", "a.b", "key \"b\" has no value"},
    {CHART_SET, "{}", "a.=1", "key \"a\" has no value"},
    {CHART_SET, "{}", "a={x,y", "must end with }"},
    {CHART_SET, "{}", "a[x]=1", "[ wants a whole number"},
    {CHART_SET, "{}", "a[1=2", "[ wants a whole number"},
    {CHART_SET, "{}", "a[-1]=2", "between 0 and 65536"},
    {CHART_SET, "{}", "a[65537]=2", "between 0 and 65536"},
    {CHART_SET, "{}", "a[0]b=2", "after ] comes"},
    {CHART_SET, "{}", "a[0]", "after ] comes"},
    {CHART_SET, "{\"a\":1}", "a.b=2", "is a number already, not a map"},
    {CHART_SET, "{\"a\":{}}", "a[0]=2", "is a map already, not a list"},
    {CHART_SET, "{\"a\":[\"x\"]}", "a[0][0]=2", "is text already, not a list"},
    {CHART_SET, "{}", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z.a.b.c.d.e.f=1",
     "at most 30 deep"},
    {CHART_SET, "{}", "a=\xff", "not UTF-8"},
    {CHART_SET_JSON, "{}", "a={\"b\":}", "not JSON"},
    {CHART_SET_JSON, "{}", "a=1 2", "a comma is expected"},
    {CHART_SET_FILE, "{}", "a=unknown.txt", "no such file"},
};

static void mistakes_are_named(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(bads); i++) {
        struct arena *a = arena_new();
        const struct val *into, *got = NULL;
        struct err err = ERR_INIT;

        assert_int_equal(val_parse_json(a, str_of(bads[i].into), &into, &err), 0);
        if (chart_strvals(a, bads[i].kind, str_of(bads[i].text), into, read_known, NULL, &got,
                          &err) == 0)
            fail_msg("%s: accepted", bads[i].text);
        if (!strstr(err.text, bads[i].says))
            fail_msg("%s: says \"%s\", not \"%s\"", bads[i].text, err.text, bads[i].says);
        assert_null(got);
        arena_free(a);
    }
}

static void the_mark_stands_under_the_place(void **state)
{
    struct arena *a = arena_new();
    struct err err = ERR_INIT;
    const struct val *got;

    assert_true(chart_strvals(a, CHART_SET, STR("a=1,b[x]=2"), NULL, NULL, NULL, &got, &err) < 0);
    assert_non_null(strstr(err.text, "\n  a=1,b[x]=2\n        ^"));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_text_becomes_what_helm_makes_of_it),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(the_mark_stands_under_the_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
