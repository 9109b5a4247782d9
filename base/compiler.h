/* Compiler attributes used across the tree. */
#ifndef NTC_BASE_COMPILER_H
#define NTC_BASE_COMPILER_H

#define NTC_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define NTC_MUST_USE __attribute__((warn_unused_result))

#define NTC_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
