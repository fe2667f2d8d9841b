/* How C says what went wrong: a gg_status, and a sentence that gg_last_error() hands out. */
#ifndef GG_ERROR_H
#define GG_ERROR_H
#include "gg.h"

/* Leaves a message for gg_last_error() and returns status. */
int gg_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
void gg_set_last_error(const char *message); /* hands the message of another thread on to this one */
#endif
