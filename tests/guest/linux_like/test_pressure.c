/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/pressure/cpu: time passes there while two threads want one vCPU, and none while one has it to itself. */
#include "check.h"
#include <fcntl.h>

static volatile int stop;

static double pressure(void)
{
    char text[256];
    int f = open("/proc/pressure/cpu", O_RDONLY);
    CHECK(f >= 0);
    ssize_t n = read(f, text, sizeof text - 1);
    CHECK(n > 0 && read(f, text + n, 1) == 0);
    close(f);
    text[n] = 0;
    char *total = strstr(text, "total=");
    CHECK(!strncmp(text, "some ", 5) && total);
    return atof(total + 6) / 1e6;
}

static void *spin(void *arg)
{
    pin(0);
    while (!stop)
        ;
    return NULL;
}

static double pressure_with(int others)
{
    pthread_t t[2];
    stop = 0;
    for (int i = 0; i < others; i++)
        CHECK(pthread_create(&t[i], NULL, spin, NULL) == 0);
    double before = pressure();
    for (double end = now() + 0.02; now() < end;)
        ;
    double after = pressure();
    stop = 1;
    for (int i = 0; i < others; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
    return after - before;
}

int main(void)
{
    pin(0);
    usleep(10000); /* kernel threads have started now */
    CHECK(pressure_with(0) < 0.002);
    CHECK(pressure_with(2) > 0.015);
    return success();
}
