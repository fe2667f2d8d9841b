/* Each thread's last error message. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char last_error[256];

int gg_fail(int status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(last_error, sizeof(last_error), format, args);
    va_end(args);
    return status;
}

void gg_set_last_error(const char *message) { snprintf(last_error, sizeof(last_error), "%s", message); }

const char *gg_last_error(void) { return last_error; }
