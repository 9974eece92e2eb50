/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads, mutexes, condition variables, barriers, thread-local storage: all of them futexes below. */
#include "check.h"
#include <semaphore.h>

enum { THREADS = 8, ROUNDS = 2000 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t sem;
static long counter, turn;
static __thread long mine;

static void *count(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&mutex);
        counter++;
        pthread_mutex_unlock(&mutex);
        mine++;
    }
    CHECK(mine == ROUNDS);
    pthread_barrier_wait(&barrier);
    CHECK(counter == (long)THREADS * ROUNDS);
    long me = (long)arg;
    pthread_mutex_lock(&mutex);
    while (turn != me)
        pthread_cond_wait(&cond, &mutex);
    turn++;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mutex);
    sem_post(&sem);
    return (void *)(me * 10);
}

static void *nothing(void *arg) { return arg; }

int main(void)
{
    pthread_t t[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    sem_init(&sem, 0, 0);
    for (long i = 0; i < THREADS; i++)
        CHECK(pthread_create(&t[i], NULL, count, (void *)i) == 0);
    for (int i = 0; i < THREADS; i++)
        sem_wait(&sem);
    for (long i = 0; i < THREADS; i++) {
        void *r;
        CHECK(pthread_join(t[i], &r) == 0 && (long)r == i * 10);
    }
    CHECK(turn == THREADS);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 20000000;
    if (until.tv_nsec >= 1000000000)
        until.tv_sec++, until.tv_nsec -= 1000000000;
    double start = now();
    CHECK(sem_timedwait(&sem, &until) == -1 && errno == ETIMEDOUT);
    CHECK(now() - start > 0.015);
    for (int i = 0; i < 200; i++) { /* stacks and thread structures are given back */
        CHECK(pthread_create(&t[0], NULL, nothing, NULL) == 0);
        CHECK(pthread_join(t[0], NULL) == 0);
    }
    return success();
}
