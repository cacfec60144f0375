// SPDX-License-Identifier: Apache-2.0
/*
 * Boot options: words of the command line, "name" or "name=value"; the last one counts. Read-only.
 */
#include "vmk/boot.h"
#include "vmk/string.h"

struct boot_info boot_info;

/* The word at s, of length *len; NULL behind the last. */
static const char *next_word(const char *s, size_t *len)
{
	while (*s == ' ')
		s++;
	for (*len = 0; s[*len] != '\0' && s[*len] != ' ';)
		(*len)++;
	return *len > 0 ? s : NULL;
}

bool boot_option(const char *name, char *value, size_t size)
{
	size_t name_len = strlen(name), len;
	bool found = false;

	for (const char *w = boot_info.cmdline; (w = next_word(w, &len)) != NULL; w += len) {
		size_t at = name_len;

		if (len < name_len || memcmp(w, name, name_len) != 0)
			continue;
		if (at < len && w[at++] != '=')
			continue;
		found = true;
		if (size > 0) {
			size_t n = MIN(len - at, size - 1);

			memcpy(value, w + at, n);
			value[n] = '\0';
		}
	}
	return found;
}

bool boot_option_u64(const char *name, uint64_t *value)
{
	char text[32];

	return boot_option(name, text, sizeof(text)) && str_to_u64(text, value) == 0;
}

const struct boot_module *boot_module_find(const char *name)
{
	for (unsigned i = 0; i < boot_info.modules; i++)
		if (strcmp(boot_info.module[i].name, name) == 0)
			return &boot_info.module[i];
	return NULL;
}
