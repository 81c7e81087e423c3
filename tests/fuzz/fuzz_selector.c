/* Selectors and names: any text is read or refused; what is read can be matched. */
#include "kube/kube.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct str text = {(const char *)data, size};
    const struct kube_selector *s = NULL;
    struct err err = ERR_INIT;
    const struct val *labels = val_obj(a, "a", val_text(a, "b"), "n", val_text(a, "5"));
    if (kube_selector_parse(a, text, &s, &err) == 0)
        kube_selector_matches(s, labels);
    else
        INVARIANT(s == NULL && err.text[0] != '\0');
    kube_check_dns1123_label(text);
    kube_check_dns1123_subdomain(text);
    kube_check_dns1035_label(text);
    kube_check_qualified_name(text);
    kube_check_label_value(text);
    arena_free(a);
    return 0;
}
