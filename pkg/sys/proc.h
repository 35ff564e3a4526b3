/* proc.h - processes below this one: finding, signalling and ending them. The kernel's own tree is the register:
 * whoever is a sub-reaper (PR_SET_CHILD_SUBREAPER, or pid 1) keeps every daemon among its descendants. One thread at a
 * time. */
#ifndef SYS_PROC_H
#define SYS_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* CLOCK_MONOTONIC in milliseconds. */
int64_t proc_now_ms(void);

/* May this process be signalled? proc_fd is the mounted /proc that showed it. NULL stands for "any". */
typedef bool (*proc_filter)(int proc_fd, pid_t pid);

/* A filter: does it live in another user namespace than we do? */
bool proc_is_foreign(int proc_fd, pid_t pid);
/* Sends sig to every living descendant that the filter accepts; returns how many there were. SIGSTOP passes over
 * those that are stopped. proc_fd: an open /proc of our own pid namespace. */
size_t proc_signal_descendants(int proc_fd, int sig, proc_filter filter);
/* Stops, kills and reaps descendants until none that the filter accepts is left; false if some still are after
 * limit_ms. */
bool proc_end_descendants(int proc_fd, int64_t limit_ms, proc_filter filter);

#endif
