/* Server-side apply, thin. Private to src/apiserver. */
#pragma once

#include "apiserver/request.h"

/* `live` with the applied configuration laid over it, fields that this manager no longer applies removed, and
 * its entry in managedFields. A field that another manager applied with another value is a conflict
 * (409), or with force changes its owner. */
int apply_to(struct api_request *rq, const struct val *live, const struct val *config,
             const struct val **ret);
const struct val *apply_managed_fields(struct api_request *rq, const struct val *live,
                                       const struct val *config);
