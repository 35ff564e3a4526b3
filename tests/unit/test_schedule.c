#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "../fixtures/no_threads.h"
#include "build/schedule.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT(a)   (sizeof(a) / sizeof((a)[0]))
#define MOST_TASKS 64
#define WAIT_S     60 /* until a test counts as hung */

/* A task of a test: what it needs, and what it does. */
struct job {
    struct task *task;
    struct job *needs[4], *base;
    const char *error;      /* it fails with this */
    struct meeting *meets;  /* it waits there for others */
    atomic_int *now, *most; /* how many have a slot at once */
    struct schedule *schedule;
    enum err_kind kind;
    atomic_int begun, ended;
    int order; /* in which it began, from 1 */
};

static atomic_int clock_ticks;

/* Where several tasks meet: all leave when all are there. */
struct meeting {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int missing;
    bool failed; /* nobody came, or the schedule failed */
};

static void meeting_init(struct meeting *m, int n)
{
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->changed, NULL);
    m->missing = n;
    m->failed = false;
}

static void meeting_end(void *ctx)
{
    struct meeting *m = ctx;

    pthread_mutex_lock(&m->lock);
    m->failed = true;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
}

static bool meet(struct meeting *m)
{
    struct timespec end;

    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += WAIT_S;
    pthread_mutex_lock(&m->lock);
    m->missing--;
    pthread_cond_broadcast(&m->changed);
    while (m->missing > 0 && !m->failed && pthread_cond_timedwait(&m->changed, &m->lock, &end) == 0)
        ;
    bool met = m->missing <= 0;
    pthread_mutex_unlock(&m->lock);
    return met;
}

static struct err *with_slot(struct job *j)
{
    if (!j->most)
        return NULL;
    struct err *e = schedule_take_slot(j->schedule);
    if (e)
        return e;
    int now = atomic_fetch_add(j->now, 1) + 1, most = atomic_load(j->most);
    while (now > most && !atomic_compare_exchange_weak(j->most, &most, now))
        ;
    (void)nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL); /* room for a mistake to show */
    atomic_fetch_sub(j->now, 1);
    schedule_give_slot(j->schedule);
    return NULL;
}

static struct err *work(void *ctx)
{
    struct job *j = ctx;

    atomic_fetch_add(&j->begun, 1);
    j->order = atomic_fetch_add(&clock_ticks, 1) + 1;
    assert_true(!j->base || j->base->ended == 1);
    for (size_t i = 0; i < COUNT(j->needs) && j->needs[i]; i++) {
        TRY(schedule_need(j->needs[i]->task));
        assert_int_equal(j->needs[i]->ended, 1);
    }
    TRY(with_slot(j));
    bool met = !j->meets || meet(j->meets);
    if (!met && !j->error)
        return err_new(ERR_TERMINATED, "stopped");
    if (j->error)
        return err_new(j->kind, "%s", j->error);
    atomic_fetch_add(&j->ended, 1);
    return NULL;
}

static struct schedule *schedule_of(int slots, struct meeting *stop)
{
    return schedule_new(
        &(struct schedule_opts){ .slots = slots, .on_failure = stop ? meeting_end : NULL, .ctx = stop });
}

static void add(struct schedule *s, struct job *j, struct job *base)
{
    j->schedule = s;
    j->base = base;
    j->task = schedule_add(s, base ? base->task : NULL, work, j);
}

static void must(struct err *e)
{
    if (e)
        err_print(stderr, e);
    assert_null(e);
}

static const int slot_numbers[] = { 1, 2, 7 };

static void test_nothing(void **state)
{
    (void)state;
    struct schedule *s = schedule_of(1, NULL);

    must(schedule_run(s));
    schedule_free(s);
    schedule_free(NULL);
}

/* a <- b (its base), c needs a and b; d is not started and nobody's need. */
static void test_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(slot_numbers); i++) {
        struct schedule *s = schedule_of(slot_numbers[i], NULL);
        struct job a = { 0 }, b = { 0 }, c = { .needs = { &a, &b } }, d = { 0 };

        add(s, &a, NULL);
        add(s, &b, &a);
        add(s, &c, NULL);
        add(s, &d, NULL);
        schedule_start(c.task);
        schedule_start(b.task); /* and so a */
        must(schedule_run(s));
        assert_int_equal(a.ended, 1);
        assert_int_equal(b.ended, 1);
        assert_int_equal(c.ended, 1);
        assert_int_equal(d.begun, 0);
        assert_true(a.order < b.order);
        schedule_free(s);
    }
}

/* What nobody started is done when it is needed, once, however many need it. */
static void test_on_demand(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(slot_numbers); i++) {
        struct schedule *s = schedule_of(slot_numbers[i], NULL);
        struct job low = { 0 }, middle = { .needs = { &low } }, tops[8];

        memset(tops, 0, sizeof(tops));
        add(s, &low, NULL);
        add(s, &middle, NULL);
        for (size_t k = 0; k < COUNT(tops); k++) {
            tops[k].needs[0] = k % 2 ? &middle : &low;
            add(s, &tops[k], NULL);
            schedule_start(tops[k].task);
        }
        must(schedule_run(s));
        assert_int_equal(low.begun, 1);
        assert_int_equal(middle.begun, 1);
        for (size_t k = 0; k < COUNT(tops); k++)
            assert_int_equal(tops[k].ended, 1);
        schedule_free(s);
    }
}

/* A diamond on its side: both arms are under way at once, or they would not meet. */
static void test_together(void **state)
{
    (void)state;
    struct meeting m;
    struct schedule *s = schedule_of(2, NULL);
    struct job base = { 0 }, left = { .meets = &m }, right = { .meets = &m }, top = { .needs = { &left, &right } };

    meeting_init(&m, 2);
    add(s, &base, NULL);
    add(s, &left, &base);
    add(s, &right, &base);
    add(s, &top, NULL);
    schedule_start(left.task);
    schedule_start(right.task);
    schedule_start(top.task);
    must(schedule_run(s));
    assert_int_equal(top.ended, 1);
    assert_int_equal(base.begun, 1);
    schedule_free(s);
}

/* Those that wait take nobody's place: with one slot ten wait for one another in a row, and what they need still
 * begins. */
static void test_waiting(void **state)
{
    (void)state;
    struct schedule *s = schedule_of(1, NULL);
    struct job jobs[10];

    memset(jobs, 0, sizeof(jobs));
    for (size_t i = 0; i < COUNT(jobs); i++) {
        if (i > 0)
            jobs[i].needs[0] = &jobs[i - 1];
        add(s, &jobs[i], NULL);
    }
    for (size_t i = COUNT(jobs); i-- > 0;)
        schedule_start(jobs[i].task);
    must(schedule_run(s));
    for (size_t i = 0; i < COUNT(jobs); i++)
        assert_int_equal(jobs[i].ended, 1);
    schedule_free(s);
}

static void test_slots(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(slot_numbers); i++) {
        struct schedule *s = schedule_of(slot_numbers[i], NULL);
        struct job jobs[12];
        atomic_int now = 0, most = 0;

        memset(jobs, 0, sizeof(jobs));
        for (size_t k = 0; k < COUNT(jobs); k++) {
            jobs[k].now = &now;
            jobs[k].most = &most;
            add(s, &jobs[k], NULL);
            schedule_start(jobs[k].task);
        }
        must(schedule_run(s));
        assert_true(most >= 1);
        assert_true(most <= slot_numbers[i]);
        schedule_free(s);
    }
}

/* The one that fails is the error, not those that it stopped; nothing begins after it. */
static void test_failure(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(slot_numbers); i++) {
        struct meeting never;
        struct schedule *s = schedule_of(slot_numbers[i], &never);
        struct job bad = { .error = "the cause", .kind = ERR_COMMAND }, after = { 0 }, needs = { .needs = { &bad } },
                   waits = { .meets = &never };

        meeting_init(&never, 1000);
        add(s, &waits, NULL);
        add(s, &needs, NULL);
        add(s, &bad, NULL);
        add(s, &after, &bad);
        schedule_start(after.task);
        schedule_start(needs.task);
        if (slot_numbers[i] > 1)
            schedule_start(waits.task);
        struct err *e = schedule_run(s);
        assert_non_null(e);
        assert_int_equal(err_kind(e), ERR_COMMAND);
        assert_string_equal(err_message(e), "the cause");
        assert_int_equal(after.begun, 0);
        assert_int_equal(bad.begun, 1);
        assert_int_equal(needs.ended, 0);
        err_free(e);
        schedule_free(s);
    }
}

/* Both fail before either could be stopped: the one that was added first is shown, whoever was faster. */
static void test_two_failures(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct meeting m;
        struct schedule *s = schedule_of(2, NULL);
        struct job first = { .meets = &m, .error = "first", .kind = ERR_COMMAND },
                   second = { .meets = &m, .error = "second", .kind = ERR_COMMAND };

        meeting_init(&m, 2);
        add(s, &first, NULL);
        add(s, &second, NULL);
        schedule_start(second.task);
        schedule_start(first.task);
        struct err *e = schedule_run(s);
        assert_non_null(e);
        assert_string_equal(err_message(e), "first");
        err_free(e);
        schedule_free(s);
    }
}

/* The user's request to stop is no consequence of anything: it stays the error. */
static void test_stop(void **state)
{
    (void)state;
    struct meeting never;
    struct schedule *s = schedule_of(2, &never);
    struct job late = { .meets = &never, .error = "a consequence", .kind = ERR_NETWORK },
               stopped = { .error = "told to stop", .kind = ERR_TERMINATED };

    meeting_init(&never, 1000);
    add(s, &late, NULL);
    add(s, &stopped, NULL);
    schedule_start(late.task);
    schedule_start(stopped.task);
    struct err *e = schedule_run(s);
    assert_non_null(e);
    assert_int_equal(late.begun, 1);
    assert_string_equal(err_message(e), "told to stop");
    err_free(e);
    schedule_free(s);
}

/* Nor is it one that the time was over while something had failed already. */
static void test_time_over(void **state)
{
    (void)state;
    struct meeting never;
    struct schedule *s = schedule_of(2, &never);
    struct job late = { .meets = &never, .error = "the time is over", .kind = ERR_TIMEOUT },
               bad = { .error = "the cause", .kind = ERR_COMMAND };

    meeting_init(&never, 1000);
    add(s, &late, NULL);
    add(s, &bad, NULL);
    schedule_start(late.task);
    schedule_start(bad.task);
    struct err *e = schedule_run(s);
    assert_non_null(e);
    assert_int_equal(late.begun, 1);
    assert_string_equal(err_message(e), "the cause");
    err_free(e);
    schedule_free(s);
}

static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1103515245 + 12345;
    return *seed >> 16;
}

/* Any graph, any number of slots: each task that is reached ends once, after what it needs. */
static void test_random(void **state)
{
    static struct job jobs[MOST_TASKS];
    unsigned seed = 1;

    (void)state;
    for (int round = 0; round < 60; round++) {
        struct schedule *s = schedule_of(1 + (int)(next_random(&seed) % 5), NULL);
        size_t n = 2 + next_random(&seed) % (MOST_TASKS - 2);
        struct job *last = &jobs[n - 1];

        memset(jobs, 0, sizeof(jobs));
        for (size_t i = 0; i < n; i++) {
            for (size_t k = 0; i > 0 && k < next_random(&seed) % 4; k++)
                jobs[i].needs[k] = &jobs[next_random(&seed) % i];
            add(s, &jobs[i], i > 0 && next_random(&seed) % 2 ? &jobs[next_random(&seed) % i] : NULL);
        }
        for (size_t i = 0; i < n; i++)
            if (next_random(&seed) % 2)
                schedule_start(jobs[i].task);
        schedule_start(last->task);
        must(schedule_run(s));
        assert_int_equal(last->ended, 1);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(jobs[i].begun, jobs[i].ended);
        schedule_free(s);
    }
}

/* In a pod that allows no more threads all is done by the one that there is. */
static void test_no_threads(void **state)
{
    const size_t before = forbid_threads();

    test_order(state);
    test_on_demand(state);
    test_waiting(state);
    test_slots(state);
    test_random(state);
    allow_threads(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),      cmocka_unit_test(test_order),     cmocka_unit_test(test_on_demand),
        cmocka_unit_test(test_together),     cmocka_unit_test(test_waiting),   cmocka_unit_test(test_slots),
        cmocka_unit_test(test_failure),      cmocka_unit_test(test_stop),      cmocka_unit_test(test_random),
        cmocka_unit_test(test_two_failures), cmocka_unit_test(test_time_over), cmocka_unit_test(test_no_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
