/* Time as a value: milliseconds since 1970 UTC. No clock here; a clock is part of the world (io/loop.h). */
#pragma once

#include "base/arena.h"

typedef int64_t time_ms;

/* "2026-01-02T03:04:05Z", as metav1.Time prints; and with microseconds, as metav1.MicroTime. */
struct str time_rfc3339(struct arena *arena, time_ms t);
struct str time_rfc3339_micro(struct arena *arena, time_ms t);
bool time_parse_rfc3339(struct str s, time_ms *ret);
/* kubectl's ages: 5s, 2m3s, 4h5m, 3d. Source: k8s.io/apimachinery util/duration HumanDuration. */
struct str time_human(struct arena *arena, int64_t duration_ms);
/* "10s", "1m30s", "500ms", "1h" (Go's ParseDuration, no fractions of ns needed). */
bool time_parse_duration(struct str s, int64_t *ret_ms);
