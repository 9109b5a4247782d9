/*
 * From a specification to what the compiler is given: the program's text, and config values as macros.
 *
 * Pure but for allocation; any thread.
 */
#ifndef NTC_KERNELS_PROGRAM_H
#define NTC_KERNELS_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The arrangement, then the application, each under a #line of its own so that logs speak of "arrangement" and "application".
 * Either may be empty (then it is not there). Given: free(). NULL without memory.
 */
char *ntc_program_text(const char *arrangement, size_t arrangement_len, const char *application, size_t application_len);

/* Room for the text of any number. */
#define NTC_NUMBER_TEXT 64

/*
 * A value as C++17 reads it back, exactly: also the least int, and floats, which are hexadecimal, or made of their bits if
 * infinite or no number (NVRTC has no __builtin_huge_val).
 */
void ntc_program_int(int64_t value, char text[NTC_NUMBER_TEXT]);
void ntc_program_float(double value, char text[NTC_NUMBER_TEXT]);

/* Whether a macro may have this name: a C identifier of at most 200 characters, and not "defined". */
bool ntc_program_name_valid(const char *name);

/*
 * Whether a macro may have this value: no control characters but tabs, no backslash at its end, no comment, no
 * unfinished literal, so it can't reach beyond its line.
 */
bool ntc_program_value_valid(const char *value);

#endif
