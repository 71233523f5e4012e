# Runs a program and never outlives whoever started this script: standard input is a pipe that nobody writes to, so it
# ends when the starter closes it or dies, however it dies. Then the program gets its signal, ten seconds, and the end.
#
# usage: sh supervise.sh SIGNAL PROGRAM [ARGUMENT...]
signal=$1
shift
stopping=
trap 'stopping=yes' USR1
exec 3<&0 </dev/null
"$@" 3<&- &
program=$!
{
    read -r _ <&3
    kill -USR1 $$
    kill -"$signal" "$program"
    tenths=0
    while [ "$tenths" -lt 100 ] && kill -0 "$program"; do
        sleep 0.1
        tenths=$((tenths + 1))
    done
    kill -KILL "$program"
} 2>/dev/null &
watcher=$!
exec 3<&-
wait "$program"
status=$?
# A signal ends the wait before the program has ended.
while kill -0 "$program" 2>/dev/null; do
    wait "$program"
    status=$?
done
# The watcher sees for itself that the program is gone, unless it still waits for the end of the pipe.
if [ -n "$stopping" ]; then wait "$watcher"; fi
# What is left of the process group: the program's own children, or the watcher.
trap '' TERM
kill -TERM 0
wait
exit "$status"
