/*
 * What nvcc is made of. It is a driver: it runs cudafe++, cicc, ptxas, fatbinary, nvlink and a host compiler, and
 * reads headers and libraries of its toolkit, none of which its own identity covers.
 */
#ifndef NTC_KERNELS_NVCC_H
#define NTC_KERNELS_NVCC_H

#include "kernels/list.h"

/* Whether a program of this path is nvcc. */
bool ntc_nvcc_is(const char *path);

/*
 * Add to `tools` the identities ("LAST-COMPONENT IDENTITY") of what the nvcc at `path` (a real path) uses with the command
 * line `words`: every program in its bin and nvvm/bin, nvcc.profile, libdevice, the toolkit's headers (those of include
 * itself and include/crt; deeper ones have to be named as tools), libcudart_static, libcudart and libcudadevrt, the host compiler
 * (-ccbin, else gcc and g++ in PATH) with the cc1plus and collect2 of its version, as and ld, and this machine's C library, which
 * stands for its headers too. What is not there is passed over. False with errno if something is there but can't be read.
 */
bool ntc_nvcc_tools(const char *path, char *const *words, struct ntc_spec_list *tools);

/* Add "LAST-COMPONENT IDENTITY" of one file or (all files below) a directory. False with errno. */
bool ntc_tool_add(struct ntc_spec_list *tools, const char *path, bool deep);

/* The file that a command's first word runs: itself if it has a '/', else from PATH. Given, or NULL. */
char *ntc_tool_find(const char *word);

#endif
