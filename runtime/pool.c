// pool.c: the threads of a context: handing out parts of a job, spinning, sleeping, waking.
// SPDX-License-Identifier: Apache-2.0
//
// Each worker has a mailbox word. The caller writes the job into the pool, sets the mailboxes of the workers
// that take part, does part 0 itself and waits for `pending` to reach zero. A job needs one store per worker
// and one decrement back: the only synchronisation of a step. Who waits spins first and then sleeps on the
// word it waits for; the word itself tells the other side that it sleeps, so that a wake-up is never lost:
//   mailbox: IDLE -> (caller) WORK -> (worker) IDLE;  IDLE -> (worker) ASLEEP -> (caller) WORK, then a wake
//   pending: count of workers still at it, plus PARKED once the caller sleeps
#include "internal.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

enum { IDLE, WORK, ASLEEP, EXIT };
static const unsigned PARKED = 1u << 31;
enum {
  SPIN_US = 100,          // between runs: default of options.spin_us
  SPIN_IN_RUN_US = 2000,  // inside a run: longer than any sensible serial stretch
  YIELD_AFTER_US = 10,    // of spinning
  PAUSES_PER_LOOK = 32,   // turns of a spin loop between looks at the clock
  MIN_STACK = 1024 * 1024 // of workers; some C libraries give much less
};

typedef struct Worker {
  _Alignas(128) atomic_uint mail; // a cache line (and its prefetched neighbour) of its own
  Pool *pool;
  int32_t id;
  pthread_t thread;
} Worker;

struct Pool {
  _Alignas(128) atomic_uint pending;
  _Alignas(128) PoolFn fn; // the job; written only while no worker is at it
  void *arg;
  int64_t spin_ns;
  atomic_bool in_run;
  unsigned generation; // of the process, see forks
  int32_t n_workers;
  uint64_t bytes;
  Worker workers[]; // numbers 1 .. n_workers as parts
};

// ---- fork --------------------------------------------------------------------------------------------

// A child of fork has none of its parent's workers. Pools remember the generation they were made in and run
// everything on the calling thread where it is not theirs.
static atomic_uint forks;
static pthread_once_t forks_once = PTHREAD_ONCE_INIT;

static void count_fork(void) {
  atomic_fetch_add(&forks, 1);
}
#ifdef __GLIBC__
// pthread_atfork lies in a part of glibc that only its development files bring; this is all that it does.
extern int __register_atfork(void (*before)(void), void (*parent)(void), void (*child)(void), void *dso);
extern void *__dso_handle __attribute__((visibility("hidden")));
static void watch_forks(void) {
  __register_atfork(NULL, NULL, count_fork, __dso_handle);
}
#else
static void watch_forks(void) {
  pthread_atfork(NULL, NULL, count_fork);
}
#endif
static bool pool_forked(const Pool *p) {
  return atomic_load_explicit(&forks, memory_order_relaxed) != p->generation;
}

// ---- workers -----------------------------------------------------------------------------------------

static int64_t spin_limit(Pool *p) {
  if (p->spin_ns == 0) return 0;
  return atomic_load_explicit(&p->in_run, memory_order_relaxed) ? SPIN_IN_RUN_US * 1000 : p->spin_ns;
}

// One look at the clock of a spin loop that began at `start`; false when its time is over. Who has spun for a while
// lets others have the processor between looks: the thread that is waited for may be among them.
static bool keep_spinning(Pool *p, int64_t start) {
  int64_t spun = ingot_park_now() - start;
  if (spun > YIELD_AFTER_US * 1000) sched_yield();
  return spun < spin_limit(p);
}

// Spins until mail comes; false if it did not come in time.
static bool spin_for_mail(Worker *w) {
  if (spin_limit(w->pool) == 0) return false;
  int64_t start = ingot_park_now();
  do {
    for (int i = 0; i < PAUSES_PER_LOOK; i++) {
      if (atomic_load_explicit(&w->mail, memory_order_relaxed) != IDLE) return true;
      ingot_park_pause();
    }
  } while (keep_spinning(w->pool, start));
  return false;
}

static unsigned wait_for_mail(Worker *w) {
  unsigned idle = IDLE;
  if (!spin_for_mail(w) && atomic_compare_exchange_strong(&w->mail, &idle, ASLEEP))
    while (atomic_load_explicit(&w->mail, memory_order_relaxed) == ASLEEP) ingot_park_wait(&w->mail, ASLEEP);
  return atomic_load_explicit(&w->mail, memory_order_acquire);
}

static void *worker_main(void *arg) {
  Worker *w = arg;
  Pool *p = w->pool;
#ifdef __linux__
  pthread_setname_np(pthread_self(), "ingot");
#endif
  while (wait_for_mail(w) != EXIT) {
    p->fn(p->arg, w->id);
    // Before the decrement: once it is seen the caller may send the next mail.
    atomic_store_explicit(&w->mail, IDLE, memory_order_relaxed);
    if (atomic_fetch_sub_explicit(&p->pending, 1, memory_order_acq_rel) == (PARKED | 1))
      ingot_park_wake(&p->pending);
  }
  return NULL;
}

// True if the worker sleeps and must be woken.
static bool send_mail(Worker *w, unsigned mail) {
  return atomic_exchange_explicit(&w->mail, mail, memory_order_acq_rel) == ASLEEP;
}

// ---- jobs --------------------------------------------------------------------------------------------

static bool workers_done(Pool *p) {
  return atomic_load_explicit(&p->pending, memory_order_acquire) == 0;
}

static bool spin_for_workers(Pool *p) {
  if (workers_done(p)) return true;
  if (spin_limit(p) == 0) return false;
  int64_t start = ingot_park_now();
  do {
    for (int i = 0; i < PAUSES_PER_LOOK; i++) {
      if (workers_done(p)) return true;
      ingot_park_pause();
    }
  } while (keep_spinning(p, start));
  return false;
}

static void wait_for_workers(Pool *p) {
  if (spin_for_workers(p)) return;
  unsigned now = atomic_fetch_or(&p->pending, PARKED) | PARKED;
  while (now != PARKED) {
    ingot_park_wait(&p->pending, now);
    now = atomic_load_explicit(&p->pending, memory_order_acquire);
  }
}

void ingot_pool_run(Pool *p, int32_t n, PoolFn fn, void *arg) {
  if (n <= 1 || !p || pool_forked(p)) {
    for (int32_t i = 0; i < n; i++) fn(arg, i);
    return;
  }
  p->fn = fn, p->arg = arg;
  atomic_store_explicit(&p->pending, (unsigned)n - 1, memory_order_relaxed);
  for (int32_t i = 0; i < n - 1; i++)
    if (send_mail(&p->workers[i], WORK)) ingot_park_wake(&p->workers[i].mail);
  fn(arg, 0);
  wait_for_workers(p);
}

void ingot_pool_begin(Pool *p) {
  if (p) atomic_store_explicit(&p->in_run, true, memory_order_relaxed);
}

void ingot_pool_end(Pool *p) {
  if (p) atomic_store_explicit(&p->in_run, false, memory_order_relaxed);
}

// ---- making and ending -------------------------------------------------------------------------------

int ingot_pool_cpus(void) {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
#endif
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 ? (int)n : 1;
}

#ifdef __linux__
// The id-th processor that the creating thread may use, counted cyclically; -1: not known.
static int own_cpu(int32_t id) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0 || CPU_COUNT(&set) == 0) return -1;
  int left = id % CPU_COUNT(&set), cpu = 0;
  while (!CPU_ISSET(cpu, &set) || left-- > 0) cpu++;
  return cpu;
}

// Where the options say: on a processor of the caller's list, or on one of the creating thread's set.
static void pin(pthread_attr_t *attr, int32_t id, const struct ingot_options *o) {
  cpu_set_t one;
  bool listed = o->cpus && o->n_cpus > 0;
  int cpu = listed ? o->cpus[id % o->n_cpus] : o->flags & INGOT_PIN_THREADS ? own_cpu(id) : -1;
  if (cpu < 0 || cpu >= CPU_SETSIZE) return;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  pthread_attr_setaffinity_np(attr, sizeof one, &one);
}
#else
static void pin(pthread_attr_t *attr, int32_t id, const struct ingot_options *o) {
  (void)attr, (void)id, (void)o;
}
#endif

static bool worker_start(Worker *w, const struct ingot_options *o) {
  pthread_attr_t attr;
  size_t stack = 0;
  if (pthread_attr_init(&attr) != 0) return false;
  if (pthread_attr_getstacksize(&attr, &stack) == 0 && stack < MIN_STACK)
    pthread_attr_setstacksize(&attr, MIN_STACK);
  pin(&attr, w->id, o);
  bool ok = pthread_create(&w->thread, &attr, worker_main, w) == 0;
  pthread_attr_destroy(&attr);
  return ok;
}

// Signals of the program are for its own threads: workers are born with all of them blocked.
static bool start_workers(Pool *p, int n, const struct ingot_options *o) {
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  for (p->n_workers = 0; p->n_workers < n; p->n_workers++)
    if (!worker_start(&p->workers[p->n_workers], o)) break;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  return p->n_workers == n;
}

int ingot_pool_create(Pool **pool, int threads, const struct ingot_options *o) {
  *pool = NULL;
  if (threads <= 1) return INGOT_OK;
  pthread_once(&forks_once, watch_forks);
  uint64_t bytes = sizeof(Pool) + (uint64_t)(threads - 1) * sizeof(Worker);
  Pool *p = ingot_memory_alloc(bytes, 0);
  if (!p) return INGOT_E_MEMORY;
  p->bytes = bytes;
  p->generation = atomic_load(&forks);
  // With fewer processors than threads, who spins keeps off the processor who should work.
  bool spin = !(o->flags & INGOT_NO_SPIN) && threads <= ingot_pool_cpus();
  p->spin_ns = spin ? (int64_t)(o->spin_us > 0 ? o->spin_us : SPIN_US) * 1000 : 0;
  for (int i = 0; i < threads - 1; i++) p->workers[i].pool = p, p->workers[i].id = i + 1;
  if (!start_workers(p, threads - 1, o)) {
    ingot_pool_destroy(p);
    return INGOT_E_THREADS;
  }
  *pool = p;
  return INGOT_OK;
}

void ingot_pool_destroy(Pool *p) {
  if (!p) return;
  for (int32_t i = 0; i < p->n_workers && !pool_forked(p); i++) {
    if (send_mail(&p->workers[i], EXIT)) ingot_park_wake(&p->workers[i].mail);
    pthread_join(p->workers[i].thread, NULL);
  }
  ingot_memory_free(p, p->bytes);
}
