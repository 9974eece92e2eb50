ps -o pid,comm | head -1
ps -o comm | grep -c .
