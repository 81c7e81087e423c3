/* Any bytes as a --set text: an answer or an error, never more. The first byte chooses the option. */
#include "chart/chart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 4096)
        return 0;
    struct arena *a = arena_new();
    enum chart_set_kind kind = (enum chart_set_kind)(data[0] % _CHART_SET_MAX);
    struct str text = {(const char *)data + 1, size - 1};
    const struct val *first = NULL, *second = NULL;
    struct err err = ERR_INIT;

    if (chart_strvals(a, kind, text, NULL, NULL, NULL, &first, &err) == 0) {
        INVARIANT(val_is(first, VAL_OBJECT));
        /* The same text over its own result changes nothing, or is refused for what it finds. */
        if (chart_strvals(a, kind, text, first, NULL, NULL, &second, &err) == 0)
            INVARIANT(val_is(second, VAL_OBJECT));
    } else {
        INVARIANT(err.code != ERR_NONE && err.text[0]);
    }
    arena_free(a);
    return 0;
}
