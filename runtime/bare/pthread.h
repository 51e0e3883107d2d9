// pthread.h: there are no threads on bare machines, and nothing to lock out.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_BARE_PTHREAD_H
#define INGOT_BARE_PTHREAD_H

typedef int pthread_mutex_t;
#define PTHREAD_MUTEX_INITIALIZER 0
static inline int pthread_mutex_lock(pthread_mutex_t *m) {
  return *m = 1;
}
static inline int pthread_mutex_unlock(pthread_mutex_t *m) {
  return *m = 0;
}

#endif
