# The registry's password and the token of the step are in the builder's memory, environment and files.
found() {
    echo "found in $*"
    exit 1
}
words='righ[t]-password\|c2VjcmV0LW9mLXRoZS1zdGV[w]'
for f in /proc/[0-9]*/environ /proc/[0-9]*/cmdline /proc/[0-9]*/task/*/environ; do
    case $f in /proc/$$/*) continue ;; esac
    grep -qas "$words" "$f" && found "$f"
done
for d in /proc/[0-9]*; do
    for f in "$d"/fd/* "$d"/root/mnt/context "$d"/root/mnt/state "$d"/cwd/Dockerfile; do
        case $(readlink "$f" 2>/dev/null) in
            *memfd:orders* | */mnt/context* | */mnt/state* | */blobs/*) found "$f" ;;
        esac
    done
    test -e "$d/root/mnt/context/env" && found "$d/root"
    head -c 1 "$d/mem" >/dev/null 2>&1 && test "$d" != "/proc/$$" && grep -q copyup "$d/comm" 2>/dev/null && found "$d/mem"
done
env | grep -q 'PLUGIN_\|DOCKER_\|COPYUP_' && found "the environment"
grep -rlas "$words" /etc /home /mnt /opt /root /run /srv /tmp /var /dev/shm 2>/dev/null | grep . && found "files"
test -e /mnt/context -o -e /mnt/state -o -e /run/secrets -o -e /harness -o -e /state -o -e /etc/registry && found "the directories of the pod"
exit 0
