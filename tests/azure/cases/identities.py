"""Every identity and credential that ought to work, works."""
import json
import os

from azure import machine
from azure.acr import NULL_GUID, READER, WRITER
from azure.world import APP_SERVICE_PORT, ARC_PORT, TENANT

from .common import (CLIENT, IDS, SECRET, application, b64, count, docker_config, judge, oidc, read)

SYSTEM = machine.Identity("11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000001", "/sub/system", TENANT, system=True)
ONE = machine.Identity("11111111-0000-4000-8000-000000000002", "22222222-0000-4000-8000-000000000002",
                       "/subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/one", TENANT)
TWO = machine.Identity("11111111-0000-4000-8000-000000000003", "22222222-0000-4000-8000-000000000003",
                       "/subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/two", TENANT)
PASSWORD = "p@ss wörd:with:colons"


def managed(world, *identities):
    application(world)
    world.machine.identities = list(identities)
    for i in identities:
        world.registries["testreg.azurecr.io"].roles[i.client_id] = {"*": WRITER}


def certificate(make, **env):
    """make(pki) gives the bytes of the certificate."""
    def setup(world, runner):
        application(world)
        world.secrets.add(PASSWORD)
        return dict(IDS, CLIENT_CERTIFICATE=b64(make(world.pki)), **env)
    return setup


def used(path, host="login.microsoftonline.com"):
    def check(world, result):
        if not count(world, host=host, path=path, status=200):
            return ["%s%s was not asked" % (host, path)]
        return []
    return check


ENTRA = used("/%s/oauth2/v2.0/token" % TENANT)


def secrets(suite):
    def plain(world, runner):
        application(world)
        return dict(IDS, CLIENT_SECRET=SECRET)

    def aliases(world, runner):
        application(world)
        return {"AZURE_CLIENT_ID": CLIENT, "AZURE_TENANT_ID": TENANT, "PLUGIN_CLIENT_SECRET": SECRET}

    def file(world, runner):
        application(world)
        return dict(IDS, CLIENT_SECRET_FILE=runner.own("secrets/cs", SECRET + "\n"))

    def directory(world, runner):
        application(world)
        return dict(IDS, PLUGIN_SECRETS_DIR=os.path.dirname(runner.own("secretsdir/AZURE_CLIENT_SECRET", SECRET + "\n")))

    judge(suite, "client secret", plain, check=ENTRA)
    judge(suite, "client secret by other names", aliases, check=ENTRA)
    judge(suite, "client secret in a file", file, check=ENTRA)
    judge(suite, "client secret in a secrets directory", directory, check=ENTRA)


def certificates(suite):
    rows = [
        ("PEM", lambda p: read(p.path("app.pem")), {}),
        ("PEM, certificate first", lambda p: read(p.path("app.crt")) + read(p.path("app.key")), {}),
        ("PEM with a stranger's certificate too", lambda p: read(p.path("stranger.crt")) + read(p.path("app.pem")), {}),
        ("encrypted PEM", lambda p: read(p.encrypted("app", "enc.pem", PASSWORD)), {"CLIENT_CERTIFICATE_PASSWORD": PASSWORD}),
        ("PKCS#12 without a password", lambda p: read(p.pkcs12("app", "app.pfx", "")), {}),
        ("PKCS#12 with a password", lambda p: read(p.pkcs12("app", "app2.pfx", PASSWORD)), {"AZURE_CLIENT_CERTIFICATE_PASSWORD": PASSWORD}),
        ("PKCS#12 in the old form", lambda p: read(p.pkcs12("app", "app3.pfx", "", legacy=True)), {}),
        ("PKCS#12 in the old form with a password", lambda p: read(p.pkcs12("app", "app4.pfx", PASSWORD, legacy=True)),
         {"CLIENT_CERTIFICATE_PASSWORD": PASSWORD}),
    ]
    for name, make, env in rows:
        judge(suite, "certificate: " + name, certificate(make, **env), check=ENTRA)

    def text(world, runner):
        application(world)
        return dict(IDS, PLUGIN_CLIENT_CERTIFICATE=read(world.pki.path("app.pem")).decode())

    def binary(world, runner):
        application(world)
        return dict(IDS, CLIENT_CERTIFICATE_FILE=runner.own("secrets/pfx", read(world.pki.pkcs12("app", "b.pfx", ""))))

    def path(world, runner):
        application(world)
        return dict(IDS, AZURE_CLIENT_CERTIFICATE_PATH=runner.own("secrets/pem", read(world.pki.path("app.pem"))))

    def chain(world, runner):
        return dict(path(world, runner), AZURE_CLIENT_SEND_CERTIFICATE_CHAIN="true")

    judge(suite, "certificate: PEM as it is", text, check=ENTRA)
    judge(suite, "certificate: PKCS#12 file", binary, check=ENTRA)
    judge(suite, "certificate: AZURE_CLIENT_CERTIFICATE_PATH", path, check=ENTRA)
    judge(suite, "certificate: with its chain", chain, check=lambda w, r: [] if w.seen_chain else ["no x5c was sent"])


def federated(suite):
    def token(world, runner):
        application(world)
        return {"AZURE_CLIENT_ID": CLIENT, "AZURE_TENANT_ID": TENANT, "AZURE_AUDIENCE": "x", "PLUGIN_OIDC_TOKEN_ID": oidc(world)}

    def workload(world, runner):
        application(world)
        return {"AZURE_CLIENT_ID": CLIENT, "AZURE_TENANT_ID": TENANT, "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com/",
                "AZURE_FEDERATED_TOKEN_FILE": runner.own("secrets/token", oidc(world) + "\n")}

    judge(suite, "OIDC token", token, check=ENTRA)
    judge(suite, "workload identity", workload, check=ENTRA)


def machines(suite):
    rows = [
        ("system-assigned", [SYSTEM, ONE], {}),
        ("system-assigned, with a tenant", [SYSTEM], {"TENANT_ID": TENANT}),
        ("the only user-assigned", [ONE], {}),
        ("by client id", [ONE, TWO], {"CLIENT_ID": TWO.client_id}),
        ("by object id", [ONE, TWO], {"PLUGIN_MANAGED_IDENTITY_OBJECT_ID": TWO.object_id}),
        ("by resource id", [ONE, TWO], {"PLUGIN_MANAGED_IDENTITY_RESOURCE_ID": TWO.resource_id}),
    ]
    imds = used("/metadata/identity/oauth2/token", "imds")
    for name, identities, env in rows:
        judge(suite, "managed identity: " + name, lambda w, r, i=identities, e=env: managed(w, *i) or e, check=imds)

    def late(world, runner):
        managed(world, SYSTEM)
        world.machine.not_yet = 2
        return {}

    def proxied(world, runner):
        managed(world, SYSTEM)
        return {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}

    def app_service(world, runner):
        managed(world, ONE, TWO)
        world.secrets.add(world.machine.header)
        return {"IDENTITY_ENDPOINT": "http://127.0.0.1:%d/msi/token" % APP_SERVICE_PORT, "IDENTITY_HEADER": world.machine.header,
                "PLUGIN_MANAGED_IDENTITY_RESOURCE_ID": ONE.resource_id}

    def arc(world, runner):
        managed(world, SYSTEM)
        os.makedirs(machine.ARC_KEYS, exist_ok=True)
        for d in ("/var/opt/azcmagent", machine.ARC_KEYS):
            os.chmod(d, 0o755)
        return {"IDENTITY_ENDPOINT": "http://127.0.0.1:%d/metadata/identity/oauth2/token" % ARC_PORT, "IMDS_ENDPOINT": "http://127.0.0.1:%d" % ARC_PORT}

    judge(suite, "managed identity: not ready at first", late, check=imds)
    judge(suite, "managed identity: never through a proxy", proxied, check=imds)
    judge(suite, "managed identity: App Service", app_service, check=used("/msi/token", "app-service"))
    judge(suite, "managed identity: Arc", arc, check=used("/metadata/identity/oauth2/token", "arc"))


def basic(suite):
    def direct(world, runner):
        application(world)
        return {"CLIENT_ID": CLIENT, "CLIENT_SECRET": SECRET}

    def named(world, runner):
        application(world)
        return {"PLUGIN_USERNAME": CLIENT, "PLUGIN_PASSWORD": SECRET}

    def admin(world, runner):
        application(world)
        world.secrets.add("admin:password+1")
        world.registries["testreg.azurecr.io"].admin = ("testreg", "admin:password+1")
        return {"PLUGIN_USERNAME": "testreg", "PLUGIN_PASSWORD": "admin:password+1"}

    def scoped(world, runner):
        application(world)
        world.secrets.add("scoped+password")
        world.registries["testreg.azurecr.io"].tokens["ci"] = ("scoped+password", {"team/*": WRITER})
        return {"PLUGIN_USERNAME": "ci", "PLUGIN_PASSWORD": "scoped+password"}

    none = lambda w, r: ["Entra ID was asked"] if count(w, host="login.microsoftonline.com") else []
    judge(suite, "service principal at the registry itself", direct, check=none)
    judge(suite, "service principal as user name", named, check=none)
    judge(suite, "admin user", admin, check=none)
    judge(suite, "repository-scoped token", scoped, check=none)


def configs(suite):
    def host(world):
        return world.registries["testreg.azurecr.io"]

    def auth(world, runner):
        application(world)
        host(world).admin = ("testreg", "admin-password")
        return {"PLUGIN_DOCKER_CONFIG": docker_config(runner, world, {"auth": b64("testreg:admin-password")}, "https://testreg.azurecr.io")}

    def identity(world, runner):
        application(world)
        token = world.make_token("refresh", 3600, aud="testreg.azurecr.io", appid=CLIENT)
        return {"PLUGIN_DOCKER_CONFIG": docker_config(runner, world, {"auth": b64(NULL_GUID + ":"), "identitytoken": token})}

    def bearer(world, runner):
        application(world)
        token = host(world).access_token([{"type": "repository", "name": "team/app", "actions": ["pull", "push"]}], 600, "testreg.azurecr.io")
        return {"PLUGIN_DOCKER_CONFIG": docker_config(runner, world, {"registrytoken": token})}

    def by_path(world, runner):
        application(world)
        host(world).tokens["good"] = ("good-password", {"team/app": WRITER})
        text = json.dumps({"auths": {"testreg.azurecr.io": {"auth": b64("x:wrong")}, "testreg.azurecr.io/team": {"auth": b64("y:wrong")},
                                     "testreg.azurecr.io/team/app": {"auth": b64("good:good-password")}}})
        return {"DOCKER_AUTH_CONFIG": text}

    def kubernetes(world, runner):
        application(world)
        host(world).admin = ("testreg", "admin-password")
        path = docker_config(runner, world, {"username": "testreg", "password": "admin-password"}, name="k8s/.dockerconfigjson")
        return {"PLUGIN_DOCKER_CONFIG": os.path.dirname(path)}

    def helper_elsewhere(world, runner):
        env = auth(world, runner)
        docker_config(runner, world, {"auth": b64("testreg:admin-password")}, credHelpers={"other.azurecr.io": "acr-env"})
        return env

    for name, setup in (("auth", auth), ("identitytoken", identity), ("registrytoken", bearer), ("by path", by_path),
                        ("of Kubernetes", kubernetes), ("with a helper for another registry", helper_elsewhere)):
        judge(suite, "docker config: " + name, setup)


def anonymous(suite):
    base = "FROM other.azurecr.io/base/small\nCOPY f /f\n"

    def open_base(world, runner):
        application(world)
        world.registries["other.azurecr.io"].anonymous = True
        return dict(IDS, CLIENT_SECRET=SECRET)

    def nobody(world, runner):
        application(world)
        world.registries["other.azurecr.io"].anonymous = True
        return {"PLUGIN_NO_PUSH": "true", "PLUGIN_TAR_PATH": "@HOME@/out.tar"}

    def own_base(world, runner):
        application(world)
        world.registries["other.azurecr.io"].tokens["reader"] = ("reader-password", {"base/*": READER})
        world.secrets.add("reader-password")
        return dict(IDS, CLIENT_SECRET=SECRET, PLUGIN_BASE_IMAGE_REGISTRY="other.azurecr.io", PLUGIN_BASE_IMAGE_USERNAME="reader",
                    PLUGIN_BASE_IMAGE_PASSWORD="reader-password")

    judge(suite, "base image that anybody may pull, identity refused there", open_base, dockerfile=base)
    judge(suite, "base image that anybody may pull, no identity at all", nobody, dockerfile=base, pushed=False)
    judge(suite, "base image with credentials of its own", own_base, dockerfile=base)


def run(suite):
    from .images import small
    small(suite.world, "other.azurecr.io", "base/small")
    for part in (secrets, certificates, federated, machines, basic, configs, anonymous):
        part(suite)
