/* Force-included: banned functions become compile errors.
 * Instead: snprintf/buf_addf, str_to_i64, time_rfc3339, rng_next, arena_alloc. */
#pragma once

#ifndef MOBULA_ALLOW_BANNED
/* The standard headers that declare them come first, so that only uses are caught. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#undef alloca
#undef sprintf /* macros of fortified headers under clang */
#undef vsprintf
#pragma GCC poison strcpy strcat sprintf vsprintf strtok gets atoi atol atof strtol localtime      \
    gmtime rand srand alloca system setlocale
#endif
