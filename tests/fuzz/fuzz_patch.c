/* Patches of all three kinds. The input is a JSON list [object, patch]. */
#include "kube/kube.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void apply(struct arena *a, const struct val *object, const struct val *patch)
{
    struct err err = ERR_INIT;
    const struct val *out = NULL;
    const struct val_merge_schema *pod = kube_merge_schema_for(STR(""), STR("Pod"));
    if (val_patch_json(a, object, patch, &out, &err) < 0)
        INVARIANT(out == NULL && err.text[0] != '\0');
    out = NULL;
    if (val_patch_strategic(a, object, patch, pod, &out, &err) < 0)
        INVARIANT(out == NULL && err.text[0] != '\0');
    out = val_patch_merge(a, object, patch);
    if (!val_is(object, VAL_OBJECT) || !val_is(out, VAL_OBJECT))
        return;
    /* what a merge patch can make, the diff finds again (members that are null cannot be said) */
    const struct val *clean = val_patch_merge(a, NULL, out);
    INVARIANT(val_patch_merge(a, object, val_diff_merge(a, object, clean)) == clean);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t before = val_live_count();
    struct arena *a = arena_new();
    const struct val *pair = NULL;
    struct err err = ERR_INIT;
    if (val_parse_json(a, (struct str){(const char *)data, size}, &pair, &err) == 0 &&
        val_len(pair) == 2 && val_is(pair, VAL_ARRAY))
        apply(a, val_at(pair, 0), val_at(pair, 1));
    arena_free(a);
    INVARIANT(val_live_count() == before);
    return 0;
}
