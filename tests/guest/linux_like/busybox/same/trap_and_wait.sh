trap 'echo hup' HUP
sleep 20 & s=$!
(sleep 0.5; kill -HUP $$) & wait $s; echo $?
kill $s
wait $s; echo $?
