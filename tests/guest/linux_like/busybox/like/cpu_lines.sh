grep -c ^cpu[0-9] /proc/stat
grep -c ^processor /proc/cpuinfo
grep ^cpu /proc/stat | head -1 | awk '{print NF}'
