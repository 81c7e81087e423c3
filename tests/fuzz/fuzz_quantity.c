/* What reads as a quantity prints, in every form, as a text of the same quantity. */
#include "kube/quantity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct str text = {(const char *)data, size};
    struct quantity q, again;
    struct err err = ERR_INIT;
    if (quantity_parse(text, &q, &err) == 0) {
        for (int form = QUANTITY_DECIMAL; form <= QUANTITY_EXPONENT; form++) {
            struct str printed = quantity_text(a, q, (enum quantity_form)form);
            INVARIANT(quantity_parse(printed, &again, &err) == 0 && quantity_cmp(q, again) == 0);
        }
        quantity_text(a, q, quantity_form_of(text));
    }
    arena_free(a);
    return 0;
}
