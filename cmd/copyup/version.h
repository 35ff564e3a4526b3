/* version.h - the one place that names the version. */
#ifndef COPYUP_VERSION_H
#define COPYUP_VERSION_H

#define COPYUP_VERSION "0.1.0"

#endif
