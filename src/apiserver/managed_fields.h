/* metadata.managedFields: who set which field, and server-side apply on top of it. Private to src/apiserver. */
#pragma once

#include "apiserver/request.h"

/* `live` with the applied configuration laid over it, fields that this manager no longer applies removed,
 * and its entry in managedFields. A field that another manager has with another value is a
 * conflict (409), or with force changes its owner. live NULL: there is none yet. */
int managed_apply(struct api_request *rq, const struct val *live, const struct val *config,
                  const struct val **ret);
/* After a create (live NULL), update or patch: the fields that it changed are its manager's. */
const struct val *managed_update(struct api_request *rq, const struct val *live,
                                 const struct val *object);
/* `live` when `object` differs in nothing but the times of its entries. */
const struct val *managed_settle(struct api_request *rq, const struct val *live,
                                 const struct val *object);
