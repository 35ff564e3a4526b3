#include "build/schedule.h"

#include "base/thread.h"
#include "base/vec.h"

#include <pthread.h>

#define AHEAD       2  /* threads beyond the slots: for tasks that fetch what they will work on */
#define MAX_THREADS 64 /* those that wait for a task among them */

enum task_state { TASK_NEW, TASK_RUNS, TASK_DONE, TASK_FAILED };

struct task {
    struct schedule *s;
    struct task *base;
    size_t number;
    struct err *(*work)(void *ctx);
    void *ctx;
    bool started;
    enum task_state state;
};

struct schedule {
    struct schedule_opts o;
    pthread_mutex_t lock; /* of all that follows, and of the tasks */
    pthread_cond_t changed;
    VEC(struct task *) tasks;
    VEC(pthread_t) threads;
    size_t idle;    /* threads that look for a task, or will when they have begun */
    size_t waiting; /* threads that need a task of another thread */
    int free_slots;
    bool failed;
    struct err *error;
    size_t error_of; /* the number of its task */
};

struct schedule *schedule_new(const struct schedule_opts *opts)
{
    struct schedule *s = xcalloc(1, sizeof(*s));

    s->o = *opts;
    s->free_slots = opts->slots;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    return s;
}

void schedule_free(struct schedule *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->tasks.n; i++)
        free(s->tasks.items[i]);
    vec_free(&s->tasks);
    vec_free(&s->threads);
    err_free(s->error);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

struct task *schedule_add(struct schedule *s, struct task *base, struct err *(*work)(void *ctx), void *ctx)
{
    struct task *t = xcalloc(1, sizeof(*t));

    *t = (struct task){ .s = s, .base = base, .number = s->tasks.n, .work = work, .ctx = ctx };
    vec_push(&s->tasks, t);
    return t;
}

/* ---- threads: with the lock held ---- */

static void *worker(void *arg);

static bool is_ready(const struct task *t)
{
    return t->started && t->state == TASK_NEW && (!t->base || t->base->state == TASK_DONE);
}

static size_t count_ready(const struct schedule *s)
{
    size_t n = 0;

    for (size_t i = 0; !s->failed && i < s->tasks.n; i++)
        n += is_ready(s->tasks.items[i]);
    return n;
}

static bool has_room(const struct schedule *s)
{
    size_t threads = s->threads.n + 1;

    return threads < MAX_THREADS && threads - s->waiting < (size_t)s->o.slots + AHEAD;
}

static bool start_worker(struct schedule *s)
{
    pthread_t id;
    bool started = thread_start(&id, worker, s) == 0;

    if (started)
        vec_push(&s->threads, id);
    s->idle += started;
    return started;
}

/* Something became ready, or a thread became free for it. */
static void tell(struct schedule *s)
{
    size_t ready = count_ready(s);

    while (ready > s->idle && has_room(s) && start_worker(s))
        ;
    pthread_cond_broadcast(&s->changed);
}

/* ---- failures ---- */

static bool is_stop(const struct err *e)
{
    return err_kind(e) == ERR_TERMINATED || err_kind(e) == ERR_TIMEOUT;
}

/* What was stopped after the first one, because of it or as the time was over, is no failure of its own. */
static bool is_better(const struct schedule *s, const struct task *t, const struct err *e)
{
    return !is_stop(e) && !is_stop(s->error) && t->number < s->error_of;
}

void schedule_fail(struct task *t, struct err *e)
{
    struct schedule *s = t->s;

    pthread_mutex_lock(&s->lock);
    bool first = !s->failed;
    s->failed = true;
    if (first || is_better(s, t, e)) {
        err_free(s->error);
        s->error = e;
        s->error_of = t->number;
    } else {
        err_free(e);
    }
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (first && s->o.on_failure)
        s->o.on_failure(s->o.ctx);
}

struct err *schedule_stopped(void)
{
    return err_new(ERR_TERMINATED, "stopped because another part of the build failed");
}

/* ---- tasks ---- */

/* Without the lock; the task's state was set under it. */
static void run_task(struct task *t)
{
    struct schedule *s = t->s;
    struct err *e = t->work(t->ctx);
    bool failed = e != NULL;

    if (e)
        schedule_fail(t, e);
    pthread_mutex_lock(&s->lock);
    t->state = failed ? TASK_FAILED : TASK_DONE;
    tell(s);
    pthread_mutex_unlock(&s->lock);
}

static struct task *next_ready(const struct schedule *s)
{
    for (size_t i = 0; !s->failed && i < s->tasks.n; i++)
        if (is_ready(s->tasks.items[i]))
            return s->tasks.items[i];
    return NULL;
}

/* Will there be anything to begin? */
static bool is_over(const struct schedule *s)
{
    for (size_t i = 0; !s->failed && i < s->tasks.n; i++)
        if (s->tasks.items[i]->started && s->tasks.items[i]->state == TASK_NEW)
            return false;
    return true;
}

static void *worker(void *arg)
{
    struct schedule *s = arg;

    pthread_mutex_lock(&s->lock);
    while (!is_over(s)) {
        struct task *t = next_ready(s);

        if (!t) {
            pthread_cond_wait(&s->changed, &s->lock);
            continue;
        }
        t->state = TASK_RUNS;
        s->idle--;
        pthread_mutex_unlock(&s->lock);
        run_task(t);
        pthread_mutex_lock(&s->lock);
        s->idle++;
    }
    s->idle--;
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void start(struct task *t)
{
    for (; t && !t->started; t = t->base)
        t->started = true;
}

void schedule_start(struct task *t)
{
    struct schedule *s = t->s;

    pthread_mutex_lock(&s->lock);
    start(t);
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* With the lock held: until the thread that runs it has ended it. */
static void wait_for(struct schedule *s, const struct task *t)
{
    s->waiting++;
    tell(s);
    while (t->state == TASK_RUNS && !s->failed)
        pthread_cond_wait(&s->changed, &s->lock);
    s->waiting--;
}

static struct task *base_to_do(struct task *t)
{
    pthread_mutex_lock(&t->s->lock);
    struct task *base = t->state == TASK_NEW && t->base && t->base->state != TASK_DONE ? t->base : NULL;
    pthread_mutex_unlock(&t->s->lock);
    return base;
}

struct err *schedule_need(struct task *t)
{
    struct schedule *s = t->s;
    struct task *base = base_to_do(t);

    if (base)
        TRY(schedule_need(base));
    pthread_mutex_lock(&s->lock);
    bool here = t->state == TASK_NEW && !s->failed;
    if (here)
        t->state = TASK_RUNS;
    else if (t->state == TASK_RUNS)
        wait_for(s, t);
    if (here) {
        pthread_mutex_unlock(&s->lock);
        run_task(t);
        pthread_mutex_lock(&s->lock);
    }
    bool done = t->state == TASK_DONE;
    pthread_mutex_unlock(&s->lock);
    return done ? NULL : schedule_stopped();
}

bool schedule_is_done(const struct task *t)
{
    pthread_mutex_lock(&t->s->lock);
    bool done = t->state == TASK_DONE;
    pthread_mutex_unlock(&t->s->lock);
    return done;
}

static bool last_thread(struct schedule *s, pthread_t *ret)
{
    pthread_mutex_lock(&s->lock);
    bool any = s->threads.n > 0;
    if (any)
        *ret = s->threads.items[--s->threads.n];
    pthread_mutex_unlock(&s->lock);
    return any;
}

struct err *schedule_run(struct schedule *s)
{
    pthread_t id;

    pthread_mutex_lock(&s->lock);
    s->idle++; /* this thread */
    tell(s);
    pthread_mutex_unlock(&s->lock);
    worker(s);
    while (last_thread(s, &id))
        pthread_join(id, NULL);
    return steal(&s->error);
}

/* ---- slots ---- */

struct err *schedule_take_slot(struct schedule *s)
{
    pthread_mutex_lock(&s->lock);
    while (!s->free_slots && !s->failed)
        pthread_cond_wait(&s->changed, &s->lock);
    bool taken = !s->failed;
    s->free_slots -= taken;
    pthread_mutex_unlock(&s->lock);
    return taken ? NULL : schedule_stopped();
}

void schedule_give_slot(struct schedule *s)
{
    pthread_mutex_lock(&s->lock);
    s->free_slots++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}
