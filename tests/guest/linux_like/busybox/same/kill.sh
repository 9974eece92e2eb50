sleep 50 & kill $!
wait $!; echo $?
sleep 50 & kill -KILL $!
wait $!; echo $?
kill -0 $$; echo $?
kill -USR1 0x 2> /dev/null; echo $?
sh -c 'kill -SEGV $$'; echo $?
