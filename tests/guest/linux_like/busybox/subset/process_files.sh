ls /proc/self/
