sleep 30 & p=$!
kill -STOP $p
sleep 0.05
grep State /proc/$p/status
kill -CONT $p
sleep 0.05
kill $p
wait $p; echo $?
