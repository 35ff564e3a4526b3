"""Every wrong variant ends with the right code, says what was refused in the words of who refused it, and what to change."""
import json
import os

from azure import machine
from azure.acr import NULL_GUID, READER
from azure.world import TENANT

from .common import (AUDIENCE, CLIENT, IDS, ISSUER, OTHER_TENANT, SECRET, SUBJECT, application, b64, count, docker_config, judge, oidc, read)
from .identities import ONE, PASSWORD, TWO, managed

AUTH, SETTING, NETWORK = 77, 64, 69
TRACE_ID = "Correlation ID: 7b2fb0b0-1111-2222-3333-444455556666"


def with_secret(change=None, **env):
    def setup(world, runner):
        app = application(world)
        world.secrets.add("wrong-secret-value")
        if change:
            change(world, app)
        return dict(IDS, CLIENT_SECRET=SECRET, **env)
    return setup


def host(world):
    return world.registries["testreg.azurecr.io"]


def secrets(suite):
    def expired(world, app):
        app.secrets[SECRET] = False

    judge(suite, "refused: wrong secret", lambda w, r: dict(with_secret()(w, r), CLIENT_SECRET="wrong-secret-value"), AUTH,
          ["refused the client secret of application '%s' in tenant '%s'" % (CLIENT, TENANT), "status 401: invalid_client: AADSTS7000215: ", TRACE_ID,
           "hint: The client secret is wrong: it must be the secret's value, not its id"])
    judge(suite, "refused: expired secret", with_secret(expired), AUTH, ["AADSTS7000222", TRACE_ID, "hint: The client secret has expired"])
    judge(suite, "refused: application of another tenant", lambda w, r: dict(
        with_secret(lambda w2, a: w2.entra.application(OTHER_TENANT, "x"))(w, r), TENANT_ID=OTHER_TENANT), AUTH,
        ["AADSTS700016", "is not in that tenant"])
    judge(suite, "refused: unknown tenant", lambda w, r: dict(with_secret()(w, r), TENANT_ID="nosuch.example"), AUTH,
          ["AADSTS90002", "The tenant is not known there"])
    judge(suite, "refused: secret without a client id", lambda w, r: dict(with_secret()(w, r), CLIENT_ID=None), SETTING,
          ["CLIENT_SECRET is set, but CLIENT_ID is not"])
    judge(suite, "refused: tenant that is no id", lambda w, r: dict(with_secret()(w, r), TENANT_ID="a/b?c"), SETTING, ["TENANT_ID is 'a/b?c'"])
    judge(suite, "refused: secret in the variable and in a file", lambda w, r: dict(with_secret()(w, r), CLIENT_SECRET_FILE="/x"), SETTING,
          ["CLIENT_SECRET and CLIENT_SECRET_FILE are both set"])


def certificates(suite):
    def given(make, **env):
        def setup(world, runner):
            application(world)
            world.secrets.add(PASSWORD)
            return dict(IDS, CLIENT_CERTIFICATE=b64(make(world.pki)), **env)
        return setup

    def ec(pki):
        return read(pki.application("curve", "ec"))

    def weak(pki):
        return read(pki.application("weak", "rsa:1024"))

    rows = [
        ("not registered", lambda p: read(p.path("stranger.pem")), {}, AUTH, ["AADSTS700027", TRACE_ID, "must be registered for the application", "SHA-256 thumbprint"]),
        ("no key in it", lambda p: read(p.path("app.crt")), {}, SETTING, ["there is no private key in it"]),
        ("no certificate in it", lambda p: read(p.path("app.key")), {}, SETTING, ["there is no certificate in it"]),
        ("not of its key", lambda p: read(p.path("app.key")) + read(p.path("stranger.crt")), {}, SETTING, ["does not belong to its private key"]),
        ("an elliptic curve", ec, {}, SETTING, ["is not an RSA key"]),
        ("1024 bits", weak, {}, SETTING, ["has 1024 bits"]),
        ("neither form", lambda p: b"hello", {}, SETTING, ["neither PEM text nor a PKCS#12 file", "hint: CLIENT_CERTIFICATE holds"]),
        ("PKCS#12, wrong password", lambda p: read(p.pkcs12("app", "w1.pfx", PASSWORD)), {"CLIENT_CERTIFICATE_PASSWORD": "other"}, SETTING,
         ["the password of the PKCS#12 file is wrong"]),
        ("PKCS#12, no password", lambda p: read(p.pkcs12("app", "w2.pfx", PASSWORD)), {}, SETTING, ["has a password, and none is given"]),
        ("PKCS#12, damaged", lambda p: read(p.pkcs12("app", "w3.pfx", ""))[:-900], {}, SETTING, ["neither PEM text nor a PKCS#12 file"]),
        ("encrypted PEM, no password", lambda p: read(p.encrypted("app", "w4.pem", PASSWORD)), {}, SETTING, ["is encrypted, and no password is given"]),
        ("encrypted PEM, wrong password", lambda p: read(p.encrypted("app", "w5.pem", PASSWORD)), {"CLIENT_CERTIFICATE_PASSWORD": "other"}, SETTING,
         ["cannot be decrypted: the password is wrong"]),
    ]
    for name, make, env, code, texts in rows:
        judge(suite, "refused: certificate: " + name, given(make, **env), code, texts)
    judge(suite, "refused: certificate: no base64", lambda w, r: application(w) and dict(IDS, CLIENT_CERTIFICATE="%%%"), SETTING,
          ["CLIENT_CERTIFICATE is '***'"])
    judge(suite, "refused: certificate: without ids", lambda w, r: application(w) and {"CLIENT_CERTIFICATE": b64(read(w.pki.path("app.pem")))}, SETTING,
          ["CLIENT_CERTIFICATE is set, but CLIENT_ID and TENANT_ID are not"])
    judge(suite, "refused: certificate: no such file", lambda w, r: application(w) and dict(IDS, AZURE_CLIENT_CERTIFICATE_PATH="/no/such.pem"), SETTING,
          ["cannot read the secret AZURE_CLIENT_CERTIFICATE_PATH", "/no/such.pem"])

    def skewed(world, runner):
        env = given(lambda p: read(p.path("app.pem")))(world, runner)
        world.entra.clock = 3600
        return env

    judge(suite, "refused: certificate: the clocks differ", skewed, AUTH, ["AADSTS700024", "check the clock of the node"])


def federated(suite):
    def token(**claims):
        def setup(world, runner):
            application(world)
            return dict(IDS, PLUGIN_OIDC_TOKEN_ID=oidc(world, **claims))
        return setup

    about = "issuer '%s', the subject '%s' and the audience '%s'"
    rows = [
        ("issuer", {"iss": ISSUER + "/"}, ["AADSTS700211", about % (ISSUER + "/", SUBJECT, AUDIENCE), "exactly the issuer, subject and audience"]),
        ("subject", {"sub": SUBJECT.upper()}, ["AADSTS700213", about % (ISSUER, SUBJECT.upper(), AUDIENCE)]),
        ("audience", {"aud": "sts.example"}, ["AADSTS700212", about % (ISSUER, SUBJECT, "sts.example"), "(usual: '%s')" % AUDIENCE]),
        ("signature", {"key": "stranger"}, ["AADSTS50013"]),
        ("too old", {"lifetime": -3600}, ["AADSTS700024", "It ended 36"]),
    ]
    for name, claims, texts in rows:
        judge(suite, "refused: OIDC token: " + name, token(**claims), AUTH, ["refused the OIDC token of application '%s'" % CLIENT, TRACE_ID] + texts)
    judge(suite, "refused: OIDC token: no JWT", lambda w, r: application(w) and dict(IDS, PLUGIN_OIDC_TOKEN_ID="abc"), AUTH,
          ["AADSTS50027", "is no JWT"])
    judge(suite, "refused: OIDC token: without a tenant", lambda w, r: application(w) and {"CLIENT_ID": CLIENT, "PLUGIN_OIDC_TOKEN_ID": "abc"}, SETTING,
          ["PLUGIN_OIDC_TOKEN_ID is set, but TENANT_ID is not"])

    def gone(world, runner):
        application(world)
        return {"AZURE_CLIENT_ID": CLIENT, "AZURE_TENANT_ID": TENANT, "AZURE_FEDERATED_TOKEN_FILE": "/no/such/token"}

    def unreadable(world, runner):
        path = runner.own("secrets/unreadable", oidc(world))
        os.chown(path, 0, 0)
        return dict(gone(world, runner), AZURE_FEDERATED_TOKEN_FILE=path)

    judge(suite, "refused: workload identity: no file", gone, SETTING, ["cannot read the federated token", "azure.workload.identity/use"])
    judge(suite, "refused: workload identity: file of another user", unreadable, SETTING, ["Permission denied"])


def machines(suite):
    rows = [
        ("several, none named", [ONE, TWO], {}, AUTH, ["Multiple user assigned identities exist", "hint: Name the managed identity by its client id"]),
        ("not assigned", [ONE], {"CLIENT_ID": TWO.client_id}, AUTH, ["Identity not found", "is assigned to this machine"]),
        ("none at all", [], {}, AUTH, ["Identity not found"]),
    ]
    for name, identities, env, code, texts in rows:
        judge(suite, "refused: managed identity: " + name, lambda w, r, i=identities, e=env: managed(w, *i) or e, code, texts)

    def hostile(world, runner):
        managed(world, ONE)
        world.arc_path = "/etc/passwd"
        return {"IDENTITY_ENDPOINT": "http://127.0.0.1:40342/metadata/identity/oauth2/token", "IMDS_ENDPOINT": "http://127.0.0.1:40342"}

    def silent(world, runner, **env):
        managed(world, ONE)
        world.rules = [{"match": "^imds ", "reset": True, "times": -1}]
        return env

    judge(suite, "refused: managed identity: Arc names another file", hostile, NETWORK, ["names the key file '/etc/passwd'"])
    judge(suite, "refused: managed identity: no service, and one is asked for", lambda w, r: silent(w, r, CLIENT_ID=ONE.client_id), NETWORK,
          ["(IMDS) does not answer"])
    judge(suite, "refused: no identity anywhere", silent, AUTH, ["No credentials are known for 'testreg.azurecr.io'", "AcrPush"])


def basic(suite):
    def admin(user, password):
        def setup(world, runner):
            application(world)
            world.secrets.add("wrong-admin-password")
            host(world).admin = ("testreg", "admin-password")
            return {"PLUGIN_USERNAME": user, "PLUGIN_PASSWORD": password}
        return setup

    def elsewhere(world, runner):
        application(world)
        host(world).tokens["ci"] = ("scoped+password", {"other/*": {"pull", "push"}})
        return {"PLUGIN_USERNAME": "ci", "PLUGIN_PASSWORD": "scoped+password"}

    used = "The credentials of 'testreg' from PLUGIN_USERNAME and PLUGIN_PASSWORD were used"
    judge(suite, "refused: wrong password", admin("testreg", "wrong-admin-password"), AUTH, ["Invalid username or password.", used])
    judge(suite, "refused: unknown user", admin("nobody", "wrong-admin-password"), AUTH, ["Application not registered with AAD."])
    judge(suite, "refused: token of another repository", elsewhere, AUTH, ["refused push on repository 'team/app'", "UNAUTHORIZED", '"Action":"push"'])


def configs(suite):
    def helper(world, runner):
        application(world)
        return {"DOCKER_AUTH_CONFIG": json.dumps({"credHelpers": {"testreg.azurecr.io": "acr-env"}})}

    def ended(world, runner):
        application(world)
        token = world.make_token("refresh", -10, aud="testreg.azurecr.io", appid=CLIENT)
        return {"PLUGIN_DOCKER_CONFIG": docker_config(runner, world, {"auth": b64(NULL_GUID + ":"), "identitytoken": token})}

    judge(suite, "refused: docker config wants a helper", helper, AUTH, ["wants the credential helper 'docker-credential-acr-env'", "No helper programs are run here"])
    judge(suite, "refused: docker config has an old token", ended, AUTH, ["The token from ", "config.json was used"])


def registries(suite):
    def change(**attributes):
        return with_secret(lambda w, a: host(w).__dict__.update(attributes))

    role = "AcrPush, or on registries with repository permissions (ABAC) Container Registry Repository Writer"
    judge(suite, "refused: no role", change(roles={}), AUTH,
          ["registry 'testreg.azurecr.io' refused the token of Entra ID for the client secret of '%s'" % CLIENT, "status 401: UNAUTHORIZED", "has a role on this registry"])
    judge(suite, "refused: only a reader", change(roles={CLIENT: {"*": READER}}), AUTH, ["refused push on repository 'team/app'", role])
    judge(suite, "refused: writer of another repository", change(roles={CLIENT: {"x/*": {"pull", "push"}}}), AUTH, ["refused push on repository 'team/app'", role])
    judge(suite, "refused: firewall", change(firewall=True), AUTH, ["status 403: DENIED: client with IP '203.0.113.7' is not allowed access", "firewall"])
    judge(suite, "refused: neither audience", change(take_arm=False, take_acr=False), AUTH, ["status 401: UNAUTHORIZED"])
    judge(suite, "refused: registry of another tenant", change(tenant=OTHER_TENANT), AUTH, ["belongs to the registry's tenant"])
    suite.world.registries["testreg.azurecr.io"].tenant = TENANT
    judge(suite, "refused: no such registry", lambda w, r: dict(with_secret()(w, r), PLUGIN_REPO="nosuch.azurecr.io/a", PLUGIN_REGISTRY="nosuch.azurecr.io"), NETWORK,
          ["nosuch.azurecr.io"])


def services(suite):
    def broken(match, times=-1, **what):
        return with_secret(lambda w, a: w.rules.append(dict({"match": match, "times": times}, **what)))

    entra = "login.microsoftonline.com POST"
    judge(suite, "refused: Entra ID is down", broken(entra, status=503, body="<html>", headers={"Content-Type": "text/html"}), NETWORK,
          ["the login service 'login.microsoftonline.com' is not available", "status 503"])
    judge(suite, "refused: Entra ID throttles", broken(entra, status=429, headers={"Retry-After": "1"}), NETWORK, ["status 429"])
    judge(suite, "refused: exchange is down", broken("oauth2/exchange", status=500), NETWORK, ["gave no token", "status 500"])
    judge(suite, "refused: exchange says nothing", broken("oauth2/exchange", status=200, body=""), NETWORK, ["sent an empty answer"])
    judge(suite, "refused: exchange without a token", broken("oauth2/exchange", status=200, body="{}"), NETWORK, ["sent no refresh token"])
    judge(suite, "refused: Entra ID answers with a page", broken(entra, status=200, body="<html>hello"), NETWORK, ["cannot read the token of 'login.microsoftonline.com'"])
    judge(suite, "once: Entra ID throttles", broken(entra, 1, status=429, headers={"Retry-After": "1"}))
    judge(suite, "once: exchange throttles", broken("oauth2/exchange", 1, status=429, headers={"Retry-After": "1"}))
    judge(suite, "once: exchange breaks", broken("oauth2/exchange", 1, reset=True))


def order(suite):
    def all_of_them(world, runner):
        application(world)
        world.secrets.add("wrong-secret-value")
        return dict(IDS, PLUGIN_OIDC_TOKEN_ID=oidc(world), CLIENT_SECRET="wrong-secret-value", CLIENT_CERTIFICATE=b64(read(world.pki.path("stranger.pem"))))

    judge(suite, "an OIDC token comes before secret and certificate", all_of_them, stdout=[
        "note: CLIENT_SECRET is not used: PLUGIN_OIDC_TOKEN_ID comes first", "note: CLIENT_CERTIFICATE is not used"])

    def no_push(world, runner):
        application(world)
        return dict(IDS, CLIENT_SECRET="wrong-secret-value", PLUGIN_NO_PUSH="true", PLUGIN_TAR_PATH="@HOME@/x.tar")

    judge(suite, "without a push a wrong secret is no matter", no_push, pushed=False,
          check=lambda w, r: ["Entra ID was asked"] if count(w, host="login.microsoftonline.com") else [])


def run(suite):
    for part in (secrets, certificates, federated, machines, basic, configs, registries, services, order):
        part(suite)
