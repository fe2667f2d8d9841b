/* The bytes of a cache line: what two threads write to lies that far apart, and prefetching goes in steps of it. */
#ifndef GG_CACHE_LINE_H
#define GG_CACHE_LINE_H
#if defined(__APPLE__) && defined(__aarch64__)
enum { GG_CACHE_LINE = 128 };
#else
enum { GG_CACHE_LINE = 64 };
#endif
#endif
