"""The way to the registries: proxies, private CAs, client certificates, mirrors and maps, uploads that are sent elsewhere."""
import threading

from azure import proxy, world
from azure.acr import READER
from stage import net

from . import images
from .common import CLIENT, IDS, SECRET, application, count, judge, wait
from .transfers import MB, big

SETTING, NETWORK = 64, 69
TESTREG, OTHER, LOGIN = "testreg.azurecr.io", "other.azurecr.io", "login.microsoftonline.com"
PASSWORD = "proxy-p@ss"
BASE = "FROM %s/base/two\nCOPY f /f\n"
COPY = "FROM scratch\nCOPY big /big\n"


def with_secret(change=None, **env):
    def setup(w, runner):
        application(w)
        w.registries[OTHER].roles[CLIENT] = {"*": READER}
        if change:
            change(w)
        return dict(IDS, CLIENT_SECRET=SECRET, **env)
    return setup


def proxies(suite):
    p = proxy.Proxy(world.ADDRESS)
    url = "http://%s:%d" % (proxy.ADDRESS, proxy.PORT)
    used = {TESTREG, OTHER, LOGIN, world.BLOBS}
    base = BASE % OTHER

    def fresh(w, password=None):
        p.targets.clear()
        p.password = password
        w.secrets.add("p%40ss")
        w.secrets.add(PASSWORD)

    def only(*hosts):
        return lambda w, r: [] if p.hosts() == set(hosts) else ["through the proxy went %s" % p.hosts()]

    def behind_it():
        """Where no host has an address but for the proxy."""
        net.move(world.ADDRESS, [])
        judge(suite, "proxy: HTTPS_PROXY", with_secret(fresh, HTTPS_PROXY=url), dockerfile=base, check=only(*used))
        judge(suite, "proxy: https_proxy, a large layer", with_secret(fresh, https_proxy=url), dockerfile=COPY, files=big(3), check=only(TESTREG, LOGIN))
        judge(suite, "proxy: ALL_PROXY", with_secret(fresh, ALL_PROXY=url), dockerfile=base, check=only(*used))
        judge(suite, "proxy: with a password", with_secret(lambda w: fresh(w, "user:" + PASSWORD), HTTPS_PROXY="http://user:proxy-p%%40ss@%s:%d" % (proxy.ADDRESS, proxy.PORT)),
              dockerfile=base, check=only(*used))
        judge(suite, "proxy: refuses the password", with_secret(lambda w: fresh(w, "user:other"), HTTPS_PROXY="http://user:proxy-p%%40ss@%s:%d" % (proxy.ADDRESS, proxy.PORT)),
              NETWORK, ["407", "hint: The proxy"], check=only())
        net.move(world.ADDRESS, world.NAMES)

    behind_it()
    nobody = "http://%s:9" % proxy.ADDRESS
    judge(suite, "proxy: NO_PROXY has all hosts", with_secret(HTTPS_PROXY=nobody, NO_PROXY=".azurecr.io,login.microsoftonline.com,.blob.core.windows.net"), dockerfile=base)
    judge(suite, "proxy: no_proxy is a star", with_secret(HTTPS_PROXY=nobody, no_proxy="*"), dockerfile=base)
    forms = "*.azurecr.io, login.microsoftonline.com:443 ,192.0.2.0/24, .blob.core.windows.net"
    judge(suite, "proxy: NO_PROXY as others write it", with_secret(HTTPS_PROXY=nobody, NO_PROXY=forms), dockerfile=base)
    judge(suite, "proxy: NO_PROXY has another port", with_secret(fresh, HTTPS_PROXY=url, NO_PROXY="azurecr.io,.windows.net,login.microsoftonline.com:8443"),
          dockerfile=base, check=only(LOGIN))
    judge(suite, "proxy: NO_PROXY has the address", with_secret(fresh, HTTPS_PROXY=url, NO_PROXY="127.0.0.0/8"), dockerfile=base, check=only(*used))
    judge(suite, "proxy: NO_PROXY has the registries", with_secret(fresh, HTTPS_PROXY=url, NO_PROXY="azurecr.io,.windows.net"), dockerfile=base, check=only(LOGIN))
    judge(suite, "proxy: nobody answers there", with_secret(HTTPS_PROXY=nobody), NETWORK, [proxy.ADDRESS])
    for place in ("http://%s:9", "foo://%s"):
        judge(suite, "proxy: a token as the user, " + place[:4], with_secret(lambda w: w.secrets.add("token-of-the-proxy"),
              HTTPS_PROXY=place % ("token-of-the-proxy@" + proxy.ADDRESS)), NETWORK if place[0] == "h" else SETTING, ["proxy"] + ["That is the proxy of HTTPS_PROXY"] * (place[0] == "h"))
    for bad in ("foo://user:proxy-p%%40ss@%s:1", "http://us er:proxy-p%%40ss@%s:1x"):
        judge(suite, "proxy: written as " + bad[:5], with_secret(fresh, HTTPS_PROXY=bad % proxy.ADDRESS), SETTING, ["the proxy's address is of no form", "hint: Write HTTPS_PROXY"])
    p.stop()


def authorities(suite):
    w, runner = suite.world, suite.runner
    ca = runner.own("ca/own.pem", w.pki.read("ca.pem"))
    none = {"SSL_CERT_FILE": None}

    judge(suite, "CA: nobody knows it", with_secret(**none), NETWORK, ["certificate cannot be trusted", "private CA"])
    judge(suite, "CA: SSL_CERT_FILE", with_secret(SSL_CERT_FILE=ca))
    judge(suite, "CA: HARNESS_CA_PATH", with_secret(HARNESS_CA_PATH=ca, **none))
    judge(suite, "CA: of one registry alone", with_secret(PLUGIN_REGISTRY_CERTIFICATE="%s=%s" % (TESTREG, ca), **none), NETWORK, [LOGIN, "certificate cannot be trusted"])
    judge(suite, "CA: of each host", with_secret(PLUGIN_REGISTRY_CERTIFICATE="%s=%s,%s=%s" % (TESTREG, ca, LOGIN, ca), **none))
    beside = runner.own("ca-certificates.crt", w.pki.read("ca.pem"), 0o644)
    judge(suite, "CA: beside the program", with_secret(**none))
    runner.own("ca-certificates.crt", "no certificate", 0o644)
    judge(suite, "CA: beside the program, but it is none", with_secret(SSL_CERT_FILE=ca), SETTING, [beside, "no certificate"])
    runner.disown("ca-certificates.crt")


def client_certificates(suite):
    """The registry wants one; the other hosts do not."""
    w, runner = suite.world, suite.runner
    cert = runner.own("mtls/cert.pem", w.pki.read("server.crt"))
    key = runner.own("mtls/key.pem", w.pki.read("server.key"))
    stranger = runner.own("mtls/stranger.key", w.pki.read("stranger.key"))

    net.move(world.ADDRESS, world.NAMES, {TESTREG: world.STRICT_ADDRESS})
    judge(suite, "client certificate: given", with_secret(PLUGIN_REGISTRY_CLIENT_CERT="%s=%s,%s" % (TESTREG, cert, key)))
    judge(suite, "client certificate: not given", with_secret(), NETWORK, [TESTREG, "client certificate"])
    judge(suite, "client certificate: given for another host", with_secret(PLUGIN_REGISTRY_CLIENT_CERT="%s=%s,%s" % (OTHER, cert, key)), NETWORK, ["client certificate"])
    judge(suite, "client certificate: another's key", with_secret(PLUGIN_REGISTRY_CLIENT_CERT="%s=%s,%s" % (TESTREG, cert, stranger)), NETWORK,
          ["hint: Check the client certificate and key"])
    net.move(world.ADDRESS, world.NAMES)


def mirrors(suite):
    """other.azurecr.io stands for Docker Hub and for registries that are not there."""
    hub = "FROM base/two\nCOPY f /f\n"

    def from_other(w, result):
        return [] if count(w, host=OTHER, method="GET", status=200) else ["the mirror was not asked"]

    def broken(**fault):
        return lambda w: w.rules.append(dict({"match": "^testreg.azurecr.us ", "times": -1}, **fault))

    def both(w, result):
        return from_other(w, result) + ([] if count(w, host="testreg.azurecr.us") else ["the first was not asked"])

    us_first = "testreg.azurecr.us,%s" % OTHER
    judge(suite, "mirror: Docker Hub's", with_secret(PLUGIN_REGISTRY_MIRRORS=OTHER), dockerfile=hub, check=from_other)
    judge(suite, "mirror: the first is down", with_secret(broken(status=503), PLUGIN_REGISTRY_MIRRORS=us_first), dockerfile=hub, check=both)
    judge(suite, "mirror: the first lacks it", with_secret(broken(status=404), PLUGIN_REGISTRY_MIRRORS=us_first), dockerfile=hub, check=both)
    judge(suite, "mirror: a map", with_secret(PLUGIN_REGISTRY_MAP="gone.example=%s" % OTHER), dockerfile=BASE % "gone.example", check=from_other)
    judge(suite, "mirror: a map with a path", with_secret(PLUGIN_REGISTRY_MAP="gone.example=%s/base" % OTHER), dockerfile="FROM gone.example/two\nCOPY f /f\n", check=from_other)
    judge(suite, "mirror: none has it, the registry itself", with_secret(broken(status=404), PLUGIN_REGISTRY_MAP="%s=testreg.azurecr.us" % OTHER), dockerfile=BASE % OTHER, check=both)
    judge(suite, "mirror: none has it, and no other is asked", with_secret(
        broken(status=404), PLUGIN_REGISTRY_MAP="%s=testreg.azurecr.us" % OTHER, PLUGIN_SKIP_DEFAULT_REGISTRY_FALLBACK="true"), 65, ["base/two"], dockerfile=BASE % OTHER,
        check=lambda w, r: ["the registry was asked"] if count(w, host=OTHER) else [])


def uploads_elsewhere(suite):
    """A registry that has the bytes sent to a storage host: they go there whole, and without our token."""
    def sent_on(w):
        w.storage.take_uploads = True
        w.rules.append({"match": "^%s PATCH .*uploads" % TESTREG, "redirect_host": world.BLOBS, "times": -1})

    def went(w, result):
        there = [e for e in w.log if e["host"] == world.BLOBS and e["method"] == "PATCH"]
        bad = ["the storage got a token"] if any(e["authorization"] for e in there) else []
        sizes = [size for _, _, _, size in w.uploaded if size > MB]
        return bad + ([] if [e["taken"] for e in there] == sizes and sizes else ["%s bytes came there" % [e["taken"] for e in there]])

    judge(suite, "redirect: an upload's body to a storage host", with_secret(sent_on), dockerfile=COPY, files=big(3), check=went)


def replicas(suite):
    """A registry's name may have another address at the next look: a push stays where it began, until nobody is there."""
    nowhere = "127.0.10.9"

    def begins(process):
        def work():
            while process.poll() is None and not count(suite.world, host=TESTREG, path="/oauth2/exchange"):
                wait(0.01)
            net.move(world.ADDRESS, world.NAMES, {TESTREG: nowhere})
        threading.Thread(target=work, daemon=True).start()

    def comes_back(process):
        threading.Timer(1.5, net.move, (world.ADDRESS, world.NAMES)).start()

    def several(w, result):
        return [] if w.connections >= 3 else ["there were only %d connections" % w.connections]

    files = dict(big(2), more=big(2, seed=2)["big"])
    both = "FROM scratch\nCOPY big /big\nCOPY more /more\n"
    judge(suite, "replica: another address while a push is under way", with_secret(), dockerfile=both, files=files, after=begins, check=several)
    net.move(world.ADDRESS, world.NAMES, {TESTREG: nowhere})
    judge(suite, "replica: nobody answers, then another one does", with_secret(), after=comes_back)
    net.move(world.ADDRESS, world.NAMES)


def run(suite):
    application(suite.world)
    images.small(suite.world, OTHER, "base/two", (400000,))
    suite.reachable = False
    for part in (proxies, client_certificates, replicas):
        part(suite)
    suite.reachable = True
    for part in (authorities, mirrors, uploads_elsewhere):
        part(suite)
