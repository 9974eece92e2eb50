/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does a thread that never gives up its vCPU keep another from running there? */
#include "check.h"

static volatile int stop;
static volatile long spins;

static void *spinner(void *arg)
{
    pin(0);
    while (!stop)
        spins++;
    return NULL;
}

int main(void)
{
    pthread_t t[2];
    pin(0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&t[i], NULL, spinner, NULL) == 0);
    long seen = spins;
    int turns = 0;
    for (double end = now() + 0.2; now() < end;) {
        volatile long work = 0;
        while (work < 100000)
            work++;
        if (spins != seen) {
            seen = spins;
            turns++; /* we were taken off, and came back */
        }
    }
    stop = 1;
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
    CHECK(turns >= 4);
    return success();
}
