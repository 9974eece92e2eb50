echo a > f; echo b >> f; cat < f; ls nowhere 2> err; wc -l < err; { echo out; echo err >&2; } > both 2>&1; cat both; cat <<X
here $((6 * 7))
X
exec 3> third; echo 3 >&3; exec 3>&-; cat third; set -C; (echo no > f) 2> /dev/null; echo $?
