/* What the supervisor and a pod's init agree on beside the protocol (wire.h). */
#pragma once

#define PODINIT_VERB       "pod-init"
#define PODINIT_CONTROL_FD 3
