sleep 30 & p=$!
kill -STOP $p
sleep 0.3
grep State /proc/$p/status
kill -CONT $p
sleep 0.3
kill $p
wait $p; echo $?
