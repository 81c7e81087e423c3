/* What a container's processes may do beyond an ordinary user: securityContext's capabilities.
 *
 * Without a word of the pod's they have what container run-times give, less what would reach past the
 * pod here, where the network is the host's and no device cgroup stands behind device nodes: NET_RAW and
 * MKNOD. SYS_ADMIN is not among them, so a read-only mount stays one.
 *
 * Source: capabilities(7); the defaults of containerd's oci package. */
#include "runtime/pod.h"

#include <linux/capability.h>

#define BIT(cap) ((uint64_t)1 << CAP_##cap)

static const uint64_t default_capabilities = BIT(CHOWN) | BIT(DAC_OVERRIDE) | BIT(FSETID) |
                                             BIT(FOWNER) | BIT(SETGID) | BIT(SETUID) |
                                             BIT(SETFCAP) | BIT(SETPCAP) | BIT(NET_BIND_SERVICE) |
                                             BIT(SYS_CHROOT) | BIT(KILL) | BIT(AUDIT_WRITE);

/* clang-format off */
#define ROW(cap) {#cap, CAP_##cap}
/* clang-format on */
static const struct {
    const char *name;
    int number;
} names[] = {
    ROW(CHOWN),
    ROW(DAC_OVERRIDE),
    ROW(DAC_READ_SEARCH),
    ROW(FOWNER),
    ROW(FSETID),
    ROW(KILL),
    ROW(SETGID),
    ROW(SETUID),
    ROW(SETPCAP),
    ROW(LINUX_IMMUTABLE),
    ROW(NET_BIND_SERVICE),
    ROW(NET_BROADCAST),
    ROW(NET_ADMIN),
    ROW(NET_RAW),
    ROW(IPC_LOCK),
    ROW(IPC_OWNER),
    ROW(SYS_MODULE),
    ROW(SYS_RAWIO),
    ROW(SYS_CHROOT),
    ROW(SYS_PTRACE),
    ROW(SYS_PACCT),
    ROW(SYS_ADMIN),
    ROW(SYS_BOOT),
    ROW(SYS_NICE),
    ROW(SYS_RESOURCE),
    ROW(SYS_TIME),
    ROW(SYS_TTY_CONFIG),
    ROW(MKNOD),
    ROW(LEASE),
    ROW(AUDIT_WRITE),
    ROW(AUDIT_CONTROL),
    ROW(SETFCAP),
    ROW(MAC_OVERRIDE),
    ROW(MAC_ADMIN),
    ROW(SYSLOG),
    ROW(WAKE_ALARM),
    ROW(BLOCK_SUSPEND),
    ROW(AUDIT_READ),
};

static uint64_t mask_of(const struct val *list)
{
    uint64_t mask = 0;
    VAL_EACH_ITEM (item, list) {
        struct str name = val_as_str(item);
        if (str_is(name, "ALL"))
            return ~(uint64_t)0;
        if (str_starts(name, STR("CAP_")))
            name = str_sub(name, 4, name.n);
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
            if (str_is(name, names[i].name))
                mask |= (uint64_t)1 << names[i].number;
    }
    return mask;
}

uint64_t capability_mask(const struct val *security_context)
{
    const struct val *list = val_get(security_context, "capabilities");
    if (val_is_true(val_get(security_context, "privileged")))
        return ~(uint64_t)0;
    return (default_capabilities & ~mask_of(val_get(list, "drop"))) | mask_of(val_get(list, "add"));
}
