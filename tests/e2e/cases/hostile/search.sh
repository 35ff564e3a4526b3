# The registry's password and the token of the step are in the builder's memory, environment and files.
found() {
    echo "found in $*"
    exit 1
}
words='righ[t]-password\|c2VjcmV0LW9mLXRoZS1zdGV[w]\|dG9rZW4tb2YtdGhlLXNlcnZpY2UtYWNjb3Vud[A]'
# all that a process shows of itself and of others; not the memory, which is tried below, nor what changes something
for d in /proc/[0-9]* /proc/[0-9]*/task/*; do
    case $d in "/proc/$$" | "/proc/$$"/*) continue ;; esac
    for f in "$d"/*; do
        case ${f##*/} in mem | pagemap | clear_refs | task | fd | cwd | root | exe) continue ;; esac
        test -f "$f" && echo "$f"
    done | xargs -r timeout 20 grep -lasD skip "$words" 2>/dev/null | grep . && found "$d"
done
for d in /proc/[0-9]*; do
    for f in "$d"/fd/* "$d"/root/mnt/context "$d"/root/mnt/state "$d"/cwd/Dockerfile; do
        case $(readlink "$f" 2>/dev/null) in
            *memfd:orders* | */mnt/context* | */mnt/state* | */blobs/*) found "$f" ;;
        esac
    done
    test -e "$d/root/mnt/context/env" -o -e "$d/root/var/run/secrets/kubernetes.io" && found "$d/root"
    head -c 1 "$d/mem" >/dev/null 2>&1 && test "$d" != "/proc/$$" && grep -q copyup "$d/comm" 2>/dev/null && found "$d/mem"
done
env | grep -q 'PLUGIN_\|DOCKER_\|COPYUP_' && found "the environment"
# every file that there is, but for the kernel's
for top in /* /.[!.]*; do
    case $top in /proc | /sys | /dev) continue ;; esac
    grep -rlasD skip "$words" "$top" | grep . && found "files"
done
grep -rlasD skip "$words" /dev/shm /dev/mqueue | grep . && found "files of /dev"
find /sys -xdev -type f -readable -size -64k \( -path '*/fs/*' -o -path '*/kernel/*' \) -exec timeout 20 grep -lasD skip "$words" {} + 2>/dev/null | grep . && found "files of /sys"
test -e /mnt/context -o -e /mnt/state -o -e /run/secrets -o -e /harness -o -e /state -o -e /var/run/secrets -o -e /etc/registry && found "the directories of the pod"
exit 0
