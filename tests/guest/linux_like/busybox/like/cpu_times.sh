times | head -2 | tail -1
time sleep 0 2>&1
