/* Packets of the pod-init protocol: whatever comes, decode never reads past its end, and what it
 * accepts encodes to the same bytes again. */
#include "runtime/wire.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct arena *a cleanup(cleanup_arena) = arena_new();
    struct wire_message m;
    struct err err = ERR_INIT;
    struct buf out cleanup(buf_done) = BUF_INIT(2 * WIRE_MAX_BYTES);
    if (wire_decode(a, (struct str){(const char *)bytes, n}, &m, &err) < 0)
        return 0;
    if (wire_encode(&m, &out, &err) < 0)
        INVARIANT(n > WIRE_MAX_BYTES);
    else
        INVARIANT(str_eq(buf_str(&out), (struct str){(const char *)bytes, n}));
    return 0;
}
