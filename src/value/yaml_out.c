/* Values to YAML as sigs.k8s.io/yaml writes it: block style, sorted keys, lists at the indent of
 * their key, text in `|` blocks when it has lines. A string that the scalar table (yaml_scalar.c)
 * would read as something else is quoted. libyaml's emitter knows which styles a text allows.
 *
 * Source of the choices: gopkg.in/yaml.v2 encode.go. Lines are never folded. */
#include "base/pace.h"
#include "base/utf8.h"
#include "value/internal.h"
#include "value/yaml_scalar.h"

#include <yaml.h>

static int write_bytes(void *ctx, unsigned char *bytes, size_t n)
{
    pace_steps(n / 8);
    buf_add(ctx, (struct str){(const char *)bytes, n});
    return 1;
}

/* Only memory or broken UTF-8 make libyaml refuse an event; both are ours to prevent. */
static void emit(yaml_emitter_t *emitter, yaml_event_t *event, int initialized)
{
    INVARIANT(initialized);
    INVARIANT(yaml_emitter_emit(emitter, event));
}

static yaml_scalar_style_t string_style(struct str s)
{
    if (str_find(s, '\n') >= 0)
        return YAML_LITERAL_SCALAR_STYLE;
    bool is_text = yaml_scalar_resolve(s).kind == YAML_KIND_STRING && !yaml_scalar_is_base60(s);
    return is_text ? YAML_PLAIN_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE;
}

static void emit_scalar(yaml_emitter_t *emitter, struct str s, yaml_scalar_style_t style)
{
    yaml_event_t event;
    int ok = yaml_scalar_event_initialize(
        &event, NULL, NULL, (const unsigned char *)(s.p ? s.p : ""), (int)s.n, 1, 1, style);
    emit(emitter, &event, ok);
}

static void emit_string(yaml_emitter_t *emitter, struct str s)
{
    struct buf clean = BUF_INIT(SIZE_MAX / 2);
    bool is_clean = utf8_is_clean(s);
    if (!is_clean) {
        utf8_add_clean(s, &clean);
        s = buf_str(&clean);
    }
    emit_scalar(emitter, s, string_style(s));
    buf_done(&clean);
}

static void emit_value(yaml_emitter_t *emitter, const struct val *v);

static void emit_list(yaml_emitter_t *emitter, const struct val *v)
{
    yaml_event_t event;
    int ok = yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE);
    emit(emitter, &event, ok);
    for (size_t i = 0; i < val_len(v); i++)
        emit_value(emitter, val_at(v, i));
    ok = yaml_sequence_end_event_initialize(&event);
    emit(emitter, &event, ok);
}

static void emit_map(yaml_emitter_t *emitter, const struct val *v)
{
    yaml_event_t event;
    int ok = yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE);
    emit(emitter, &event, ok);
    for (size_t i = 0; i < val_len(v); i++) {
        emit_string(emitter, val_key_at(v, i));
        emit_value(emitter, val_member_at(v, i));
    }
    ok = yaml_mapping_end_event_initialize(&event);
    emit(emitter, &event, ok);
}

static void emit_plain(yaml_emitter_t *emitter, const struct val *v)
{
    struct buf text = BUF_INIT(64);
    val_print_json(v, &text);
    emit_scalar(emitter, buf_str(&text), YAML_PLAIN_SCALAR_STYLE);
    buf_done(&text);
}

static void emit_value(yaml_emitter_t *emitter, const struct val *v)
{
    pace_steps(4);
    switch (val_type(v)) {
    case VAL_ARRAY:
        emit_list(emitter, v);
        break;
    case VAL_OBJECT:
        emit_map(emitter, v);
        break;
    case VAL_STRING:
        emit_string(emitter, val_as_str(v));
        break;
    case VAL_NULL:
    case VAL_BOOL:
    case VAL_INT:
    case VAL_FLOAT:
    case _VAL_MAX:
        emit_plain(emitter, v);
        break;
    }
}

/* libyaml ends a document that ends in `|+` text with "...", which go-yaml does not. */
static void cut_end_mark(struct buf *out)
{
    if (!out->failed && str_ends(buf_str(out), STR("\n...\n")))
        buf_cut(out, out->n - 4);
}

void val_print_yaml(const struct val *v, struct buf *out)
{
    yaml_emitter_t emitter;
    INVARIANT(yaml_emitter_initialize(&emitter));
    yaml_emitter_set_output(&emitter, write_bytes, out);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);
    yaml_event_t event;
    int ok = yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING);
    emit(&emitter, &event, ok);
    ok = yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1);
    emit(&emitter, &event, ok);
    emit_value(&emitter, v);
    ok = yaml_document_end_event_initialize(&event, 1);
    emit(&emitter, &event, ok);
    ok = yaml_stream_end_event_initialize(&event);
    emit(&emitter, &event, ok);
    yaml_emitter_delete(&emitter);
    cut_end_mark(out);
}
