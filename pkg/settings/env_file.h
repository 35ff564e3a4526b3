/* env_file.h - files of NAME=VALUE lines, as godotenv has them, which drone-docker reads before its settings. Pure. */
#ifndef SETTINGS_ENV_FILE_H
#define SETTINGS_ENV_FILE_H

#include "base/err.h"
#include "base/strs.h"

/* Appends NAME=VALUE of each line to out. Empty lines and # comments are passed over, `export` in front too. A value
 * may stand in '...', as it is, or in "...", with \n, \r, \t, \", \\ and \$; both may have several lines. ERR_SETTING
 * names the line, and no value. */
MUST_USE struct err *env_file_parse(const char *text, struct strs *out);

#endif
