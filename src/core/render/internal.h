/* Shared by the files of render/: labels, metadata, small steps on lists of named things. */
#pragma once

#include "core/render/render.h"

#define RENDER_CREATED_BY "kuberay-operator"
#define RENDER_APP_NAME   "kuberay"

const struct val *render_metadata(struct arena *a, const struct raycluster *cluster,
                                  struct str name, const struct val *labels);
/* The last 63 characters of NAME-head or NAME-worker. */
struct str render_identifier(struct arena *a, const struct raycluster *cluster, bool head);
/* Members that are null are left out, all the way down: the API would drop them too. */
const struct val *render_without_nulls(struct arena *a, const struct val *v);
/* Members of `over` on top of `base`; either may be NULL or no object. */
const struct val *render_overlay(struct arena *a, const struct val *base, const struct val *over);
const struct val *render_find_named(const struct val *list,
                                    const char *name); /* {name: ...} or NULL */
/* list[i].key == text for some i */
bool render_has(const struct val *list, const char *key, const char *text);
/* rayStartParams with the operator's own ones in. */
const struct val *render_params(struct arena *a, const struct raycluster *cluster,
                                const struct ray_group *group,
                                const struct render_options *options);
/* "true" in any case, as Go's strings.ToLower compares; and the same for another lower-case word. */
bool render_is_word(struct str text, const char *lower);
