#include "base/thread.h"

#include <signal.h>

int thread_start(pthread_t *t, void *(*fn)(void *), void *ctx)
{
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = pthread_create(t, NULL, fn, ctx);

    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return error;
}
