mkdir a a/b
mkdir -p c/d/e
mkdir a; echo $?
rmdir c; echo $?
rmdir c/d/e c/d c
ls -a
mkdir x/y; echo $?
cd a/b && pwd | sed 's,.*/,,'
rmdir ../b && mkdir z; echo $?
cd ..
ls
