/nowhere 2> /dev/null; echo $?
nosuchprogram 2> /dev/null; echo $?
/bin 2> /dev/null; echo $?
cat /; echo $?
cd /nowhere; echo $?
: > /nowhere/x; echo $?
: > /; echo $?
ls /dev/null/x; echo $?
cat f/; echo $?
: > f
cat f/; echo $?
rmdir .; echo $?
rm -r /proc/self 2> /dev/null; echo $?
mkdir /proc/x; echo $?
