/* thread.h - threads of this program. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>

/* pthread_create(), but no signal is delivered to the new thread: they are the main thread's business. An errno value
 * if the pod allows no more threads, else 0. */
int thread_start(pthread_t *t, void *(*fn)(void *), void *ctx);

#endif
