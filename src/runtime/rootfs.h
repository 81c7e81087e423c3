/* Builds a pod's root directory inside the pod's mount namespace, and a container's mounts inside
 * the container's. Runs only in processes of the pod, never in the supervisor.
 *
 * The root is a tmpfs; every directory of the host's / appears in it as an overlay whose changes go
 * to the pod's own directory, so any mountPath can be made and nothing a pod writes reaches the
 * host. Where the kernel refuses an overlay the directory is bound as it is, and a warning says so.
 * /proc, /dev, /run and /tmp are the pod's own. */
#pragma once

#include "runtime/wire.h"

/* Where the pod's volumes are bound: ROOTFS_VOLUMES "/" name; containers bind from there. */
#define ROOTFS_PRIVATE "/.mobula"
#define ROOTFS_VOLUMES ROOTFS_PRIVATE "/volumes"

/* On success the caller's root is the pod's. `warnings`: one line each. */
int rootfs_build(const struct wire_setup *setup, struct buf *warnings, struct err *err) MUST_USE;
/* In a container's own namespaces: its /proc, then its mounts; what else the pod has of volumes goes out
 * of sight. The mounts' sources are inside the pod's root. */
int rootfs_enter_container(const struct wire_mounts *mounts, bool is_privileged,
                           struct err *err) MUST_USE;
/* Makes the directory when it is missing, and enters it. */
int rootfs_enter_dir(const char *path, struct err *err) MUST_USE;
/* mkdir -p; false with errno. */
bool rootfs_make_dirs(const char *path, unsigned mode);
