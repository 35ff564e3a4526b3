/* static.c - the static binary cannot load code.
 *
 * Plain glibc, linked statically, still loads shared objects: an nsswitch.conf that names "evil" makes getaddrinfo()
 * open libnss_evil.so.2, and iconv opens gconv modules. A program that enters the root of somebody's image must not
 * have that door. The definitions below stand in the link before libc.a and libcrypto.a, so the archive members with
 * the real loader are never pulled in; `files` and `dns` of nsswitch are built into libc and go on working.
 * tests/static proves that no loader is in the binary. Not part of sanitizer builds: those are dynamic and need the
 * real dlsym. */
#include <langinfo.h>
#include <stddef.h>

void *dlopen(const char *file, int mode);
void *dlsym(void *handle, const char *name);
void *dlvsym(void *handle, const char *name, const char *version);
int dlclose(void *handle);
char *dlerror(void);
int dladdr(const void *addr, void *info);
int dladdr1(const void *addr, void *info, void **extra, int flags);
int dlinfo(void *handle, int request, void *p);
void *__libc_dlopen_mode(const char *file, int mode);
void *__libc_dlsym(void *handle, const char *name);
void *__libc_dlvsym(void *handle, const char *name, const char *version);
int __libc_dlclose(void *handle);

void *dlopen(const char *file, int mode)
{
    (void)file;
    (void)mode;
    return NULL;
}

void *dlsym(void *handle, const char *name)
{
    (void)handle;
    (void)name;
    return NULL;
}

void *dlvsym(void *handle, const char *name, const char *version)
{
    (void)handle;
    (void)name;
    (void)version;
    return NULL;
}

int dlclose(void *handle)
{
    (void)handle;
    return -1;
}

char *dlerror(void)
{
    static char text[] = "dynamic loading is not supported";

    return text;
}

int dladdr(const void *addr, void *info)
{
    (void)addr;
    (void)info;
    return 0;
}

int dladdr1(const void *addr, void *info, void **extra, int flags)
{
    (void)addr;
    (void)info;
    (void)extra;
    (void)flags;
    return 0;
}

int dlinfo(void *handle, int request, void *p)
{
    (void)handle;
    (void)request;
    (void)p;
    return -1;
}

/* glibc's own entry for NSS and iconv modules (libc.a: dl-libc.o). */
void *__libc_dlopen_mode(const char *file, int mode)
{
    return dlopen(file, mode);
}

void *__libc_dlsym(void *handle, const char *name)
{
    return dlsym(handle, name);
}

void *__libc_dlvsym(void *handle, const char *name, const char *version)
{
    return dlvsym(handle, name, version);
}

int __libc_dlclose(void *handle)
{
    return dlclose(handle);
}

/* libarchive asks for "the current character set". A scratch image has no locale data, so glibc would answer
 * ANSI_X3.4-1968, and every name with a byte above 127 would be a warning and a search for gconv files. Names on Linux
 * are bytes, by convention UTF-8. */
char *nl_langinfo(nl_item item)
{
    static char codeset[] = "UTF-8", none[] = "";

    return item == CODESET ? codeset : none;
}
