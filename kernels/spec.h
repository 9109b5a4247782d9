/*
 * The specification of a kernel, inside. ntcache_cuda.h has the calls that build it.
 *
 * Its key (kind kernel) has these fields:
 *
 *     form              int      of this scheme: NTC_SPEC_FORM
 *     program, arch     string
 *     arrangement       string   text; over 32 KiB as sha256, and so the three below
 *     application       string
 *     header.NAME       string
 *     config.NAME       int, bool, float or string
 *     options           list     of strings, in order
 *     names             list     of strings: name expressions, in order
 *     compiler          string   "nvrtc"
 *     compiler.nvrtc    string   identity of libnvrtc
 *     compiler.builtins string   identity of libnvrtc-builtins
 *     reach             sha256   if given
 *     directory         string   the working directory, if the options write it into the binary (-G, -lineinfo)
 *     environment.NAME  string   variables that NVRTC reads and that can change what it makes, if set
 *
 * The form counts up when the same fields would be compiled to something else: other wrapping of the texts, other
 * options added by this library.
 */
#ifndef NTC_KERNELS_SPEC_H
#define NTC_KERNELS_SPEC_H

#include <pthread.h>

#include "kernels/list.h"
#include "kernels/ntcache_cuda.h"

#define NTC_SPEC_FORM 1
#define NTC_SPEC_TEXT_MAX (32u << 10)   /* longer texts are in the key as their SHA-256 */
#define NTC_SPEC_OPTION_MAX 4096        /* characters of an option or name expression */

struct ntc_spec_text {
	char *text;                     /* NUL-terminated */
	size_t len;
};

struct ntc_spec_config {
	char *name;
	enum ntc_type type;
	int64_t number;                 /* int and bool */
	double real;
	char *string;
};

struct ntc_spec_header {
	char *name;
	struct ntc_spec_text content;
};

struct ntc_kernel_spec {
	char *program;
	char arch[16];
	struct ntc_spec_text arrangement, application;
	struct ntc_spec_config *configs;
	size_t config_count, config_room;
	struct ntc_spec_header *headers;
	size_t header_count, header_room;
	struct ntc_spec_list options, names;
	bool has_reach;
	uint8_t reach[32];

	enum ntc_err err;               /* the first error, with its text */
	char error[320];

	pthread_mutex_t lock;           /* guards the key while it is made: a complete spec may be shared */
	struct ntc_key *key;
};

#endif
