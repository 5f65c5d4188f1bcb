/* Text formatting into a caller's buffer: the little of printf that the hypervisor needs. */
#ifndef VMM_FORMAT_H
#define VMM_FORMAT_H

#include <stdarg.h>
#include <stddef.h>

/*
 * Formats into `buffer` of `size` bytes and always terminates it (size > 0). Returns the length
 * without the terminator of what was stored; what does not fit is cut off.
 *
 * Understood: %% %c %s %d %i %u %x %p, the lengths l, ll and z, the flags 0 and -, a width and, for
 * %s, a precision (each a number or *). Anything else is copied as it stands.
 */
size_t format(char *buffer, size_t size, const char *text, ...)
    __attribute__((format(printf, 3, 4)));
size_t format_list(char *buffer, size_t size, const char *text, va_list arguments)
    __attribute__((format(printf, 3, 0)));

#endif
