/* What YAML reads, it prints so that it reads the same value; nothing stays alive. */
#include "value/value.h"

#define PRINT_MAX_BYTES (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_document(struct arena *a, const struct val *v)
{
    struct buf out cleanup(buf_done) = BUF_INIT(PRINT_MAX_BYTES);
    const struct val *again = NULL, *third = NULL;
    struct err err = ERR_INIT;
    val_print_yaml(v, &out);
    if (out.failed) /* aliases make more text than they take */
        return;
    INVARIANT(val_parse_yaml(a, "again", buf_str(&out), &again, &err) == 0);
    /* JSON in YAML's clothes may hold whole floats, which become ints at the first reading */
    buf_cut(&out, 0);
    val_print_yaml(again, &out);
    INVARIANT(val_parse_yaml(a, "third", buf_str(&out), &third, &err) == 0);
    INVARIANT(third == again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t before = val_live_count();
    struct arena *a = arena_new();
    struct val_docs docs = {0};
    struct err err = ERR_INIT;
    if (val_parse_yaml_docs(a, "fuzz", (struct str){(const char *)data, size}, &docs, &err) == 0)
        for (size_t i = 0; i < docs.n; i++)
            check_document(a, docs.items[i]);
    else
        INVARIANT(strncmp(err.text, "fuzz:", 5) == 0);
    arena_free(a);
    INVARIANT(val_live_count() == before);
    return 0;
}
