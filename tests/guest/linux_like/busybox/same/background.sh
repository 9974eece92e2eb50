sleep 0.05 & sleep 0.02 & wait
echo done $?; (exit 7) & wait $!; echo $?; false & p=$!; wait $p; echo $?; wait 99999; echo $?
