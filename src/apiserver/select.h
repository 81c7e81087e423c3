/* Label and field selectors of lists and watches. Private to src/apiserver. */
#pragma once

#include "apiserver/request.h"

struct api_select {
    const struct kube_selector *labels; /* NULL: all */
    VEC(struct {
        struct str path;
        struct str value;
        bool negate;
    })
    fields;
    bool everything;
};
int select_parse(struct api_request *rq, struct arena *a, struct api_select *ret);
bool select_matches(const struct api_select *select, const struct resource *r,
                    const struct val *object);
