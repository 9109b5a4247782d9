/*
 * Which compiler options a key can vouch for.
 *
 * No look at a word proves that it names no file ("-include x", "--pch" and "--time=x" hold no slash), so what may pass
 * is listed: the options of NVRTC 13.0 that only change what is made of the texts, with the kinds of values they
 * take. Everything else reads or writes files, or might, and needs the caller's word for what it reaches.
 *
 * Pure; any thread.
 */
#ifndef NTC_KERNELS_OPTIONS_H
#define NTC_KERNELS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Check a whole command line. False with a sentence in `why` that names the word. `reach`: what files the options reach
 * is in the key, so only the spec's own options (-arch, -D ...) and those that make no cubin or PTX are refused.
 */
bool ntc_options_check(const char *const *words, size_t count, bool reach, char *why, size_t why_size);

/* Whether these options write the working directory into what they make (-G, -lineinfo). */
bool ntc_options_record_directory(const char *const *words, size_t count);

#endif
