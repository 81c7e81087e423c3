/* How YAML reads an untagged word: the scalar table of go-yaml v2, used by reader and printer alike.
 *
 * Source: gopkg.in/yaml.v2 resolve.go, the reader behind sigs.k8s.io/yaml and so behind kubectl and
 * Helm: yes/no/on/off/y/n are booleans, 010 is eight, dates are their own kind. */
#pragma once

#include "base/str.h"

enum yaml_kind {
    YAML_KIND_STRING,
    YAML_KIND_NULL,
    YAML_KIND_BOOL,
    YAML_KIND_INT,
    YAML_KIND_FLOAT,
    YAML_KIND_TIMESTAMP,
    YAML_KIND_MERGE,
};

struct yaml_scalar {
    enum yaml_kind kind;
    bool b;
    bool fits; /* an int within int64; else only d is set */
    int64_t i;
    double d;
};

struct yaml_scalar yaml_scalar_resolve(struct str text);
/* 12:30:45 and the like: older readers take them for numbers in base 60. */
bool yaml_scalar_is_base60(struct str text);
