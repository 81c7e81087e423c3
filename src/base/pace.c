/* See pace.h. */
#include "base/pace.h"

_Thread_local struct pace pace = {.left = PACE_SLICE_STEPS};

void pace_pause(void)
{
    if (pace.pause)
        pace.pause();
}
