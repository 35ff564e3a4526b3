"""A network of our own in which Azure's names are ours: loopback alone, with the address of the node's metadata service on it."""
import os
import subprocess

from lib import mounts

CLONE_NEWNET = 0x40000000


def enter(folder, address, names, more):
    """The caller becomes the only one in a new network namespace; /etc/hosts has the names, and no name server answers."""
    mounts.check(mounts.libc.unshare(CLONE_NEWNET), "unshare")
    mounts.own_namespace()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for a in more:
        subprocess.run(["ip", "address", "add", a + "/32", "dev", "lo"], check=True)
    replace(folder, "/etc/hosts", hosts(address, names))
    replace(folder, "/etc/resolv.conf", "nameserver 127.0.99.99\noptions timeout:1 attempts:1\n")
    replace(folder, "/etc/nsswitch.conf", "hosts: files dns\n")


def hosts(address, names, elsewhere=None):
    return "127.0.0.1 localhost\n" + "".join("%s %s\n" % ((elsewhere or {}).get(n, address), n) for n in names)


def move(address, names, elsewhere=None):
    """From now on the names are of that address, but for those that `elsewhere` gives another."""
    with open("/etc/hosts", "w") as f:
        f.write(hosts(address, names, elsewhere))


def replace(folder, path, text):
    own = os.path.join(folder, os.path.basename(path))
    with open(own, "w") as f:
        f.write(text)
    if os.path.exists(path):
        mounts.mount(own, path, None, mounts.MS_BIND)
