/* See nvcc.h. */
#include "kernels/nvcc.h"

#include <dlfcn.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"
#include "kernels/buildid.h"

static bool runnable(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

char *ntc_tool_find(const char *word)
{
	const char *list = getenv("PATH");

	if (strchr(word, '/'))
		return runnable(word) ? realpath(word, NULL) : NULL;
	while (list && *list) {
		size_t len = strcspn(list, ":");
		char *path = NULL, *found = NULL;

		/* An empty or relative entry means where the program happens to be: nothing a key could stand for. */
		if (list[0] == '/' && asprintf(&path, "%.*s/%s", (int)len, list, word) >= 0 && runnable(path))
			found = realpath(path, NULL);
		free(path);
		if (found)
			return found;
		list += len + (list[len] == ':');
	}
	return NULL;
}

bool ntc_tool_add(struct ntc_spec_list *tools, const char *path, bool deep)
{
	char identity[NTC_IDENTITY_SIZE], *line = NULL;
	const char *slash = strrchr(path, '/');
	struct stat st;
	bool good;

	if (stat(path, &st) != 0)
		return false;
	if (S_ISDIR(st.st_mode) ? !ntc_identity_of_directory(path, deep, identity) : !ntc_identity_of_file(path, identity))
		return false;
	if (asprintf(&line, "%s %s", slash ? slash + 1 : path, identity) < 0) {
		errno = ENOMEM;
		return false;
	}
	good = ntc_spec_list_add(tools, line);
	free(line);
	if (!good)
		errno = ENOMEM;
	return good;
}

bool ntc_nvcc_is(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strcmp(slash ? slash + 1 : path, "nvcc") == 0;
}

/* Everything that matches root/pattern, in order of names. */
static bool add_matching(struct ntc_spec_list *tools, const char *root, const char *pattern)
{
	char *whole = NULL;
	glob_t matches = { 0 };
	bool good = true;

	if (asprintf(&whole, "%s/%s", root, pattern) < 0) {
		errno = ENOMEM;
		return false;
	}
	if (glob(whole, 0, NULL, &matches) == 0)
		for (size_t i = 0; i < matches.gl_pathc && good; i++)
			good = access(matches.gl_pathv[i], F_OK) != 0 || ntc_tool_add(tools, matches.gl_pathv[i], false);
	free(whole);
	{
		int saved = errno;

		globfree(&matches);
		errno = saved;
	}
	return good;
}

static bool add_found(struct ntc_spec_list *tools, const char *word)
{
	char *path = ntc_tool_find(word);
	bool good = !path || ntc_tool_add(tools, path, false);

	free(path);
	return good;
}

/* What -ccbin says, or NULL. */
static const char *host_compiler(char *const *words)
{
	static const char *const names[] = { "-ccbin", "--compiler-bindir" };
	const char *said = NULL;

	for (size_t i = 0; words[i]; i++)
		for (size_t k = 0; k < NTC_COUNT(names); k++) {
			size_t len = strlen(names[k]);

			if (strncmp(words[i], names[k], len) != 0)
				continue;
			if (words[i][len] == '=')
				said = words[i] + len + 1;
			else if (words[i][len] == '\0' && words[i + 1])
				said = words[i + 1];
		}
	return said;
}

/* The compiler behind gcc's driver has the driver's version in its path: /usr/lib/gcc/MACHINE/12 for gcc-12. */
static bool add_gcc(struct ntc_spec_list *tools, const char *path)
{
	static const char *const programs[] = { "cc1plus", "cc1", "collect2" };
	const char *dash = strrchr(path, '-');
	char *pattern = NULL;
	bool good = ntc_tool_add(tools, path, false);

	for (size_t i = 0; i < NTC_COUNT(programs) && good; i++) {
		if (asprintf(&pattern, "lib/gcc/*/%s/%s", dash && strspn(dash + 1, "0123456789.") == strlen(dash + 1) ? dash + 1 : "*",
			     programs[i]) < 0) {
			errno = ENOMEM;
			return false;
		}
		good = add_matching(tools, "/usr", pattern);
		free(pattern);
		if (good && asprintf(&pattern, "libexec/gcc/*/%s/%s", "*", programs[i]) >= 0) {
			good = add_matching(tools, "/usr", pattern);
			free(pattern);
		}
	}
	return good;
}

static bool add_host(struct ntc_spec_list *tools, char *const *words)
{
	static const char *const usual[] = { "gcc", "g++" };
	const char *said = host_compiler(words);
	bool good = true;

	for (size_t i = 0; i < NTC_COUNT(usual) && good; i++) {
		struct stat st;
		char *path = NULL;

		/* -ccbin is a program or the directory of gcc and g++. */
		if (said && stat(said, &st) == 0 && S_ISDIR(st.st_mode)) {
			char *inside = NULL;

			if (asprintf(&inside, "%s/%s", said, usual[i]) >= 0)
				path = ntc_tool_find(inside);
			free(inside);
		} else {
			path = ntc_tool_find(said ? said : usual[i]);
		}
		good = !path || add_gcc(tools, path);
		free(path);
	}
	return good && add_found(tools, "as") && add_found(tools, "ld");
}

bool ntc_nvcc_tools(const char *path, char *const *words, struct ntc_spec_list *tools)
{
	static const char *const parts[] = {
		"bin/nvcc.profile", "bin/cudafe++", "bin/fatbinary", "bin/ptxas", "bin/nvlink", "bin/bin2c", "bin/crt/*",
		"nvvm/bin/*", "nvvm/libdevice/*", "include", "include/crt", "lib/libcudart_static.a", "lib/libcudadevrt.a",
		"lib/libcudart.so", "lib64/libcudart_static.a", "lib64/libcudadevrt.a", "lib64/libcudart.so",
	};
	char *root = strdup(path), *slash;
	bool good = root != NULL;
	Dl_info libc;

	/* TOP is the directory above nvcc's own. */
	for (int up = 0; up < 2 && root; up++)
		if ((slash = strrchr(root, '/')))
			*slash = '\0';
	for (size_t i = 0; i < NTC_COUNT(parts) && good; i++)
		good = add_matching(tools, root, parts[i]);
	if (good)
		good = add_host(tools, words);
	if (good && dladdr((void *)(uintptr_t)getenv, &libc) && libc.dli_fname && strstr(libc.dli_fname, "libc"))
		good = ntc_tool_add(tools, libc.dli_fname, false);
	free(root);
	return good;
}
