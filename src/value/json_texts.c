/* Compact texts of arrays and objects that stand in many others: the env of a group's pods, a template, an owner's
 * reference. Printing a list of equal pods copies them instead of walking them.
 *
 * A node knows by its `print` whether its text is kept, so others pay nothing; a node that goes away takes its
 * text along, so nothing here holds a reference. The whole is bounded: a slot a node, texts of a limited size, and
 * a clock that takes back what was not used lately.
 *
 * Read next: json.c, value.c. */
#include "value/internal.h"

#define TEXTS_SLOTS     4096u
#define TEXTS_MAX_BYTES (2u << 20) /* all texts together */
#define TEXT_MIN_BYTES  64u        /* shorter ones are walked as fast */
#define TEXT_MAX_BYTES  (16u << 10)
#define TEXT_MIN_REFS   3u /* a value that stands in fewer places is not worth it */
#define TEXT_CREDIT     4u
#define TEXT_SWEEP      8u

struct text {
    const struct val *owner;
    char *p;
    uint32_t n, credit;
};

static struct {
    struct text slots[TEXTS_SLOTS];
    size_t bytes, hand;
} texts;

static struct text *slot_of(const struct val *v)
{
    uint64_t at = ((uint64_t)(uintptr_t)v >> 3) * 0x9E3779B97F4A7C15u;
    return &texts.slots[(at >> 40) % TEXTS_SLOTS];
}

static void forget(struct text *t)
{
    texts.bytes -= t->n;
    free(t->p);
    *t = (struct text){0};
}

static void take_back(struct text *t)
{
    if (!t->owner)
        return;
    if (t->credit > 0) {
        t->credit--;
        return;
    }
    val_set_print(t->owner, VAL_PRINT_UNKNOWN);
    forget(t);
}

struct str val_text_kept(const struct val *v)
{
    struct text *t = slot_of(v);
    if (v->print != VAL_PRINT_KEPT)
        return STR_NULL;
    INVARIANT(t->owner == v);
    t->credit = TEXT_CREDIT;
    return (struct str){t->p, t->n};
}

void val_text_keep(const struct val *v, struct str text)
{
    struct text *t = slot_of(v);
    if (v->refs < TEXT_MIN_REFS || v->refs == VAL_IMMORTAL || v->print == VAL_PRINT_KEPT ||
        text.n < TEXT_MIN_BYTES || text.n > TEXT_MAX_BYTES)
        return;
    take_back(t);
    for (size_t i = 0; i < TEXT_SWEEP && texts.bytes + text.n > TEXTS_MAX_BYTES; i++)
        take_back(&texts.slots[texts.hand++ % TEXTS_SLOTS]);
    if (t->owner || texts.bytes + text.n > TEXTS_MAX_BYTES)
        return;
    *t = (struct text){.owner = v, .p = xmalloc(text.n), .n = (uint32_t)text.n};
    memcpy(t->p, text.p, text.n);
    texts.bytes += text.n;
    val_set_print(v, VAL_PRINT_KEPT);
}

void val_text_drop(const struct val *v)
{
    struct text *t = slot_of(v);
    INVARIANT(t->owner == v);
    forget(t);
}
