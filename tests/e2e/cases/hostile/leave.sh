# daemons, deaf to all that can be ignored, in sessions of their own; and a bomb as large as a limit on processes lets it
for i in 1 2 3 4 5; do
    setsid sh -c 'trap "" TERM HUP INT; (while :; do sleep 1; done) & exec sleep 1000' >/dev/null 2>&1 </dev/null &
done
(
    ulimit -u 200 2>/dev/null
    timeout 3 sh -c 'bomb() { bomb 2>/dev/null & bomb 2>/dev/null & wait; }; i=0; while [ $i -lt 150 ]; do sleep 500 2>/dev/null & i=$((i + 1)); done; wait'
) >/dev/null 2>&1
exit 0
