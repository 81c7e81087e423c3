/* What JSON reads, it prints so that it reads the same value; nothing stays alive. */
#include "value/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t before = val_live_count();
    struct arena *a = arena_new();
    const struct val *v = NULL, *again = NULL;
    struct err err = ERR_INIT;
    if (val_parse_json(a, (struct str){(const char *)data, size}, &v, &err) == 0) {
        INVARIANT(val_parse_json(a, val_json(a, v), &again, &err) == 0);
        INVARIANT(again == v);
    } else {
        INVARIANT(err.text[0] != '\0' && v == NULL);
    }
    arena_free(a);
    INVARIANT(val_live_count() == before);
    return 0;
}
