/* What the C library keeps of memory that was freed. */
#include "gg.h"

#include <stdlib.h> /* which says whether it is glibc */
#ifdef __GLIBC__
#include <malloc.h>
#endif

void gg_trim_heap(void) {
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}
