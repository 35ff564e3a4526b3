"""The same over HTTP/2: who we are, and what is moved. What the step moves in one long piece it moves by HTTP/1.1 there, too."""
from azure import http2, world
from stage import net

from . import identities, transfers

PARTS = (identities.secrets, identities.certificates, identities.federated, identities.basic, identities.configs, identities.anonymous,
         transfers.before_the_build, transfers.existing, transfers.mounts, transfers.manifests, transfers.breaks, transfers.twice, transfers.push_only)


class Over:
    """A suite whose tests have another name."""

    def __init__(self, suite):
        self.inner = suite
        self.args, self.world, self.runner, self.reachable = suite.args, suite.world, suite.runner, suite.reachable

    @property
    def count(self):
        return self.inner.count

    @property
    def read_back(self):
        return self.inner.read_back

    @read_back.setter
    def read_back(self, n):
        self.inner.read_back = n

    def wanted(self, name):
        return self.inner.wanted("HTTP/2: " + name)

    def say(self, name, bad, result=None):
        self.inner.say("HTTP/2: " + name, bad, result)


def run(suite):
    if suite.args.names and not any("HTTP/2" in n for n in suite.args.names):
        return
    front = http2.Front(suite.world, world.ADDRESS)
    net.move(http2.ADDRESS, world.NAMES)
    try:
        for part in PARTS:
            part(Over(suite))
        counts = front.spoken()
        suite.say("HTTP/2: it was spoken, %s" % counts, [] if counts.get("h2", 0) > counts.get("http/1.1", 0) else ["not by most requests"])
    finally:
        net.move(world.ADDRESS, world.NAMES)
        front.stop()
